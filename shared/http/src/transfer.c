#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "internal.h"

#include "meltica/base/clock.h"

#define BODY_BYTES_MIN (16u << 10)

struct transfer *http_transfer_create(const char *url, mlt_http_done_fn done, void *ctx,
                                      const struct mlt_http_options *options)
{
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (transfer == NULL) {
        return NULL;
    }
    transfer->url = strdup(url);
    if (transfer->url == NULL) {
        free(transfer);
        return NULL;
    }
    transfer->done = done;
    transfer->ctx = ctx;
    transfer->body_bytes_max = options->body_bytes_max;
    transfer->began_mono_ns = mlt_clock_mono_ns();
    transfer->deadline_mono_ns = transfer->began_mono_ns + options->timeout_ns;
    transfer->response.retry_after_s = -1;
    return transfer;
}

void http_transfer_destroy(struct transfer *transfer)
{
    if (transfer != NULL) {
        curl_easy_cleanup(transfer->easy);
        free(transfer->response.body);
        free(transfer->url);
        free(transfer);
    }
}

/* ---- body ---- */

static bool reserve(struct transfer *transfer, size_t bytes)
{
    const size_t need = bytes + MLT_HTTP_BODY_PADDING;
    if (need <= transfer->capacity) {
        return true;
    }
    const size_t most = transfer->body_bytes_max + MLT_HTTP_BODY_PADDING;
    size_t capacity = transfer->capacity < BODY_BYTES_MIN ? BODY_BYTES_MIN : transfer->capacity;
    while (capacity < need) {
        capacity *= 2;
    }
    if (capacity > most) {
        capacity = most;
    }
    char *body = realloc(transfer->response.body, capacity);
    if (body == NULL) {
        transfer->no_memory = true;
        return false;
    }
    transfer->response.body = body;
    transfer->capacity = capacity;
    return true;
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct transfer *transfer = ctx;
    const size_t len = size * count;
    const size_t have = transfer->response.body_len;
    if (len > transfer->body_bytes_max - have) {
        transfer->too_big = true;
        return CURL_WRITEFUNC_ERROR;
    }
    if (!reserve(transfer, have + len)) {
        return CURL_WRITEFUNC_ERROR;
    }
    memcpy(transfer->response.body + have, data, len);
    transfer->response.body_len += len;
    transfer->response.completed_ns = mlt_clock_wall_ns(); /* the last one stands */
    return len;
}

/* ---- headers ---- */

int64_t mlt_http_retry_after(const char *text)
{
    int64_t value = 0;
    if (*text < '0' || *text > '9') {
        return -1;
    }
    for (; *text >= '0' && *text <= '9'; text++) {
        value = value * 10 + (*text - '0');
        if (value > INT32_MAX) {
            return INT32_MAX;
        }
    }
    return *text == 0 ? value : -1;
}

static const char *header(const struct transfer *transfer, const char *name)
{
    struct curl_header *found = NULL;
    /* Names compare without case; -1: the answer proper, not an earlier one. */
    return curl_easy_header(transfer->easy, name, 0, CURLH_HEADER, -1, &found) == CURLHE_OK
               ? found->value
               : NULL;
}

static void take_headers(struct transfer *transfer)
{
    const char *retry_after = header(transfer, "Retry-After");
    if (retry_after != NULL) {
        transfer->response.retry_after_s = mlt_http_retry_after(retry_after);
    }
    const char *weight = header(transfer, "X-MBX-USED-WEIGHT-1M");
    if (weight != NULL && strlen(weight) < sizeof transfer->response.used_weight_1m) {
        (void)snprintf(transfer->response.used_weight_1m, sizeof transfer->response.used_weight_1m,
                       "%s", weight);
    }
}

/* ---- life with libcurl ---- */

static long milliseconds(int64_t ns)
{
    const int64_t ms = (ns + MLT_NS_PER_MS - 1) / MLT_NS_PER_MS;
    return ms > INT_MAX ? INT_MAX : (long)ms;
}

bool http_transfer_begin(struct transfer *transfer, const struct mlt_http_options *options,
                         int64_t left_ns)
{
    CURL *easy = curl_easy_init();
    transfer->easy = easy;
    if (easy == NULL) {
        return false;
    }
    const bool plain = strncasecmp(transfer->url, "http://", 7) == 0;
    bool ok = curl_easy_setopt(easy, CURLOPT_URL, transfer->url) == CURLE_OK;
#define SET(option, value) ok = ok && curl_easy_setopt(easy, option, value) == CURLE_OK
    SET(CURLOPT_PRIVATE, transfer);
    SET(CURLOPT_ERRORBUFFER, transfer->curl_text);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, transfer);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); /* a name server that does not answer delays no shutdown */
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROTOCOLS_STR, plain ? "http" : "https");
    SET(CURLOPT_PROXY, ""); /* not what the environment says */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_TIMEOUT_MS, milliseconds(left_ns));
    SET(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(left_ns));
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_USERAGENT, options->user_agent);
    /* No Accept-Encoding and no decoding: what is bounded is what arrives. */
    SET(CURLOPT_ACCEPT_ENCODING, NULL);
    if (options->ca_file != NULL && options->ca_file[0] != 0) {
        SET(CURLOPT_CAINFO, options->ca_file);
        SET(CURLOPT_CAPATH, NULL);
    }
#undef SET
    return ok;
}

static void finish(struct transfer *transfer, enum mlt_status status)
{
    struct mlt_http_response *response = &transfer->response;
    response->status = status;
    response->took_ns = mlt_clock_mono_ns() - transfer->began_mono_ns;
    if (response->completed_ns == 0 || status != MLT_OK) {
        response->completed_ns = mlt_clock_wall_ns();
    }
    if (status != MLT_OK) { /* half a body is none */
        free(response->body);
        response->body = NULL;
        response->body_len = 0;
        transfer->capacity = 0;
    } else if (reserve(transfer, response->body_len)) { /* also of an empty body */
        memset(response->body + response->body_len, 0, MLT_HTTP_BODY_PADDING);
    } else {
        finish(transfer, MLT_E_IO);
    }
}

static enum mlt_status status_of(const struct transfer *transfer, CURLcode code)
{
    if (transfer->too_big) {
        return MLT_E_TOO_BIG;
    }
    switch ((int)code) {
    case CURLE_OK:
        return MLT_OK;
    case CURLE_OPERATION_TIMEDOUT:
        return MLT_E_TIMEOUT;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return MLT_E_CONNECT;
    default:
        return MLT_E_IO;
    }
}

void http_transfer_end(struct transfer *transfer, CURLcode code)
{
    struct mlt_http_response *response = &transfer->response;
    long http_code = 0;
    if (curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &http_code) == CURLE_OK) {
        response->code = (int)http_code;
    }
    take_headers(transfer);
    const enum mlt_status status = status_of(transfer, code);
    if (transfer->too_big) {
        (void)snprintf(response->text, sizeof response->text, "body over %zu bytes",
                       transfer->body_bytes_max);
    } else if (transfer->no_memory) {
        (void)snprintf(response->text, sizeof response->text, "no memory for the body");
    } else if (code != CURLE_OK) {
        (void)snprintf(response->text, sizeof response->text, "%.120s",
                       transfer->curl_text[0] != 0 ? transfer->curl_text
                                                   : curl_easy_strerror(code));
    }
    finish(transfer, status);
    curl_easy_cleanup(transfer->easy);
    transfer->easy = NULL;
}

void http_transfer_fail(struct transfer *transfer, enum mlt_status status, const char *text)
{
    (void)snprintf(transfer->response.text, sizeof transfer->response.text, "%s", text);
    finish(transfer, status);
}
