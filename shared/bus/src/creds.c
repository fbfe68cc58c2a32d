/* Credentials of a NATS user. */
#include "creds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nkey.h"

#define CREDS_BYTES_MAX 65536u
#define PAYLOAD_BYTES_MAX 16384u
#define JWT_MARK "-----BEGIN NATS USER JWT-----"
#define SEED_MARK "-----BEGIN USER NKEY SEED-----"

enum mlt_status mlt_bus_read_secret(const char *path, char *out, size_t size, struct mlt_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return mlt_error_set_foreign(err, MLT_E_CONFIG, "errno", errno, "cannot open %s: %s", path,
                                     strerror(errno));
    }
    size_t used = 0;
    ssize_t got = 0;
    while (used < size - 1 && (got = read(fd, out + used, size - 1 - used)) > 0) {
        used += (size_t)got;
    }
    const int code = errno;
    (void)close(fd);
    if (got < 0) {
        return mlt_error_set_foreign(err, MLT_E_CONFIG, "errno", code, "cannot read %s: %s", path,
                                     strerror(code));
    }
    while (used > 0 && strchr(" \t\r\n", out[used - 1]) != NULL) {
        used--;
    }
    out[used] = '\0';
    if (used == 0 || used == size - 1) {
        return mlt_error_set(err, MLT_E_CONFIG, "%s is %s", path,
                             used == 0 ? "empty" : "too long for a secret");
    }
    return MLT_OK;
}

/* ---- credentials files ---- */

/* The line behind a mark, which is a line of its own; cut to it. NULL: none. */
static char *line_behind(char *text, const char *mark, char **rest)
{
    char *at = strstr(text, mark);
    if (at == NULL || (at != text && at[-1] != '\n')) {
        return NULL;
    }
    at += strlen(mark);
    at += strspn(at, " \t\r");
    if (*at++ != '\n') {
        return NULL;
    }
    char *end = at + strcspn(at, " \t\r\n");
    *rest = *end != '\0' ? end + 1 : end;
    *end = '\0';
    return at;
}

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

/* base64url without padding; false: it is not, or too long. NUL-terminated. */
static bool decode(const char *text, size_t len, char *out, size_t size)
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t used = 0;
    for (size_t i = 0; i < len; i++) {
        const int digit = digit_of(text[i]);
        if (digit < 0 || used + 1 >= size) {
            return false;
        }
        bits = bits << 6 | (uint32_t)digit;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[used++] = (char)(uint8_t)(bits >> held);
        }
    }
    out[used] = '\0';
    return used > 0;
}

/* The server judges a JWT; here only its shape, and when it ends. A name can hold the word, but not
 * with its quotes: those are escaped. */
static bool read_jwt(const char *jwt, int64_t *end_s)
{
    static const char member[] = "\"exp\":";
    char payload[PAYLOAD_BYTES_MAX];
    const char *first = strchr(jwt, '.');
    const char *second = first != NULL ? strchr(first + 1, '.') : NULL;
    if (second == NULL || second[1] == '\0' || strchr(second + 1, '.') != NULL) {
        return false;
    }
    if (!decode(first + 1, (size_t)(second - first - 1), payload, sizeof payload) ||
        payload[0] != '{') {
        return false;
    }
    const char *at = strstr(payload, member);
    *end_s = at != NULL ? strtoll(at + sizeof member - 1, NULL, 10) : 0;
    return true;
}

enum mlt_status mlt_bus_creds_parse(const char *path, char *text, struct mlt_bus_creds *out,
                                    struct mlt_error *err)
{
    char public_key[MLT_NKEY_TEXT_BYTES];
    char *rest = NULL;
    *out = (struct mlt_bus_creds){ .jwt = line_behind(text, JWT_MARK, &rest) };
    out->seed = out->jwt != NULL ? line_behind(rest, SEED_MARK, &rest) : NULL;
    if (out->jwt == NULL || !read_jwt(out->jwt, &out->end_s)) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "%s is no credentials file: no JWT of a user behind " JWT_MARK, path);
    }
    if (out->seed == NULL || mlt_nkey_public(out->seed, public_key) != MLT_OK) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "%s is no credentials file: no seed of a user behind " SEED_MARK,
                             path);
    }
    return MLT_OK;
}

/* A file that is one, held while it is used. */
struct held {
    char *text; /* owns what creds views */
    struct mlt_bus_creds creds;
};

static void let_go(struct held *held)
{
    if (held->text != NULL) {
        explicit_bzero(held->text, CREDS_BYTES_MAX);
        free(held->text);
    }
}

/* The caller lets go of it, after a failure too. */
static enum mlt_status hold(const char *path, struct held *held, struct mlt_error *err)
{
    *held = (struct held){ .text = malloc(CREDS_BYTES_MAX) };
    if (held->text == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for %s", path);
    }
    const enum mlt_status status = mlt_bus_read_secret(path, held->text, CREDS_BYTES_MAX, err);
    return status == MLT_OK ? mlt_bus_creds_parse(path, held->text, &held->creds, err) : status;
}

enum mlt_status mlt_bus_creds_check(const char *path, int64_t *end_s, struct mlt_error *err)
{
    struct held held;
    const enum mlt_status status = hold(path, &held, err);
    if (end_s != NULL) {
        *end_s = status == MLT_OK ? held.creds.end_s : 0;
    }
    let_go(&held);
    return status;
}

natsStatus mlt_bus_creds_jwt(char **jwt, char **error, void *closure)
{
    struct held held;
    (void)error; /* who asks why looks at the file */
    const enum mlt_status status = hold(closure, &held, NULL);
    *jwt = status == MLT_OK && held.creds.jwt != NULL ? strdup(held.creds.jwt) : NULL;
    let_go(&held);
    return *jwt != NULL ? NATS_OK : NATS_ILLEGAL_STATE;
}

natsStatus mlt_bus_creds_sign(char **error, unsigned char **signature, int *len, const char *nonce,
                              void *closure)
{
    struct held held;
    natsStatus s = NATS_ILLEGAL_STATE;
    (void)error;
    if (hold(closure, &held, NULL) == MLT_OK) {
        s = nats_Sign(held.creds.seed, nonce, signature, len);
    }
    let_go(&held);
    return s;
}

/* ---- who it is ---- */

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

void mlt_bus_self(const struct mlt_bus_options *o, char out[MLT_BUS_SELF_BYTES_MAX])
{
    if (given(o->creds_file)) {
        (void)snprintf(out, MLT_BUS_SELF_BYTES_MAX, "the credentials of %s", o->creds_file);
    } else if (given(o->nkey_seed_file)) {
        (void)snprintf(out, MLT_BUS_SELF_BYTES_MAX, "the NKey of %s", o->nkey_seed_file);
    } else if (given(o->token_file)) {
        (void)snprintf(out, MLT_BUS_SELF_BYTES_MAX, "the token of %s", o->token_file);
    } else if (given(o->user)) {
        (void)snprintf(out, MLT_BUS_SELF_BYTES_MAX, "the user %s%s%s", o->user,
                       given(o->password_file) ? " with the password of " : "",
                       given(o->password_file) ? o->password_file : "");
    } else {
        (void)snprintf(out, MLT_BUS_SELF_BYTES_MAX,
                       o->url != NULL && strchr(o->url, '@') != NULL
                           ? "the user of nats_url"
                           : "a client without a user (no credentials are configured)");
    }
}
