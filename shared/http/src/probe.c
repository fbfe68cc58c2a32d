#include "meltica/http/probe.h"

#include <stdbool.h>
#include <string.h>

#include <curl/curl.h>

#include "meltica/base/check.h"
#include "meltica/base/clock.h"

#define URL_SHOWN 200
#define BODY_SHOWN 160

struct body {
    char *text;
    size_t len, size;
};

/* What does not fit is left out: the answer's code is what counts. */
static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct body *body = ctx;
    const size_t len = size * count;
    const size_t room = body->size - 1 - body->len;
    const size_t taken = len < room ? len : room;
    memcpy(body->text + body->len, data, taken);
    body->len += taken;
    body->text[body->len] = '\0';
    return len;
}

static bool set_up(CURL *easy, const char *url, int64_t timeout_ns, struct body *body)
{
    const long ms = (long)((timeout_ns + MLT_NS_PER_MS - 1) / MLT_NS_PER_MS);
    bool ok = curl_easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK;
#define SET(option, value) ok = ok && curl_easy_setopt(easy, option, value) == CURLE_OK
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, body);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROTOCOLS_STR, "http");
    SET(CURLOPT_PROXY, ""); /* not what the environment says */
    SET(CURLOPT_TIMEOUT_MS, ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, ms);
#undef SET
    return ok;
}

static enum mlt_status judge(CURL *easy, const char *url, CURLcode code, const char *body,
                             struct mlt_error *err)
{
    long answer = 0;
    if (code == CURLE_OPERATION_TIMEDOUT) {
        return mlt_error_set_foreign(err, MLT_E_TIMEOUT, "curl", (int)code,
                                     "%.*s: no answer in time", URL_SHOWN, url);
    }
    if (code != CURLE_OK) {
        const bool connected = code != CURLE_COULDNT_CONNECT && code != CURLE_COULDNT_RESOLVE_HOST;
        return mlt_error_set_foreign(err, connected ? MLT_E_IO : MLT_E_CONNECT, "curl", (int)code,
                                     "%.*s: %s", URL_SHOWN, url, curl_easy_strerror(code));
    }
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer);
    if (answer < 200 || answer > 299) {
        return mlt_error_set(err, MLT_E_UNAVAILABLE, "%.*s: %ld %.*s", URL_SHOWN, url, answer,
                             BODY_SHOWN, body);
    }
    return MLT_OK;
}

enum mlt_status mlt_http_probe(const char *url, int64_t timeout_ns, char *text, size_t text_size,
                               struct mlt_error *err)
{
    MLT_CHECK(text_size > 0);
    struct body body = { .text = text, .size = text_size };
    text[0] = '\0';
    CURL *easy = curl_easy_init();
    if (easy == NULL || !set_up(easy, url, timeout_ns, &body)) {
        curl_easy_cleanup(easy);
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for libcurl");
    }
    const CURLcode code = curl_easy_perform(easy);
    if (body.len > 0 && text[body.len - 1] == '\n') {
        text[body.len - 1] = '\0';
    }
    const enum mlt_status status = judge(easy, url, code, text, err);
    curl_easy_cleanup(easy);
    return status;
}
