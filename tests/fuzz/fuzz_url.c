/* Texts from the command line and from files of secrets that say where and as whom to connect. The
 * first byte says what the rest is: w a URL of the exchange, n one of a NATS server, c a
 * credentials file, else a seed. */
#include "creds.h"
#include "input.h"
#include "internal.h"
#include "nkey.h"
#include "url.h"

static void seed(const char *text)
{
    char key[MLT_NKEY_TEXT_BYTES] = "";
    if (mlt_nkey_public(text, key) == MLT_OK) {
        MLT_CHECK(strlen(key) == sizeof key - 1 && key[0] == 'U');
    }
}

static void exchange(const char *text)
{
    struct ws_url url;
    struct mlt_error err = MLT_ERROR_INIT;
    if (ws_url_parse(text, &url, &err) != MLT_OK) {
        MLT_CHECK(err.text[0] != 0);
        return;
    }
    MLT_CHECK(url.port > 0 && url.host[0] != 0 && url.path[0] == '/');
    MLT_CHECK(strpbrk(url.host_header, " \r\n") == NULL && strpbrk(url.path, " \r\n") == NULL);
}

static void server(const char *text)
{
    struct mlt_error err = MLT_ERROR_INIT;
    const enum mlt_status status = mlt_bus_url_check(text, &err);
    MLT_CHECK(status == MLT_OK || (status == MLT_E_CONFIG && err.text[0] != '\0'));
    /* A password is not said again: none that stands before the last '@'. */
    const char *at = strrchr(text, '@'), *scheme = strstr(text, "://");
    if (status != MLT_OK && at != NULL && scheme != NULL && at - (scheme + 3) > 32) {
        char secret[33];
        memcpy(secret, at - 32, 32);
        secret[32] = '\0';
        /* Nor by chance, with what the text puts around the address. */
        MLT_CHECK(strstr(at, secret) != NULL || strchr(secret, '"') != NULL ||
                  strstr(err.text, secret) == NULL);
    }
}

static void credentials(char *text)
{
    struct mlt_bus_creds creds;
    struct mlt_error err = MLT_ERROR_INIT;
    char key[MLT_NKEY_TEXT_BYTES] = "";
    if (mlt_bus_creds_parse("/file", text, &creds, &err) != MLT_OK) {
        MLT_CHECK(strncmp(err.text, "/file is no credentials file: ", 30) == 0);
        return;
    }
    const char *dot = strchr(creds.jwt, '.');
    MLT_CHECK(strpbrk(creds.jwt, " \t\r\n") == NULL && dot != NULL);
    MLT_CHECK(strchr(dot + 1, '.') == strrchr(creds.jwt, '.'));
    MLT_CHECK(mlt_nkey_public(creds.seed, key) == MLT_OK && key[0] == 'U');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mlt_slice in = { data, size };
    const unsigned kind = take_byte(&in);
    char *text = copy_of(in, 0);
    if (kind == 'w') {
        exchange(text);
    } else if (kind == 'n') {
        server(text);
    } else if (kind == 'c') {
        credentials(text);
    } else {
        seed(text);
    }
    free(text);
    return 0;
}
