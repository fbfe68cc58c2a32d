/* One POST after the other, with libcurl, on the exporter's thread. */
#include <stdio.h>
#include <stdlib.h>

#include <curl/curl.h>

#include "internal.h"
#include "meltica/base/buf.h"
#include "meltica/base/clock.h"

#define ANSWER_BYTES_MAX (64u << 10)
#define RETRY_AFTER_MAX_S 3600

struct trace_poster {
    CURL *easy;
    struct curl_slist *headers;
    struct mlt_buf answer;
    bool too_long; /* the answer: no more of it was read */
    bool (*abort)(void *ctx);
    void *ctx;
    char curl_text[CURL_ERROR_SIZE];
};

/* What is longer than an answer of OTLP is none, and might never end: 0 ends the transfer. */
static size_t on_answer(char *data, size_t one, size_t len, void *ctx)
{
    struct trace_poster *p = ctx;
    p->too_long = mlt_buf_append(&p->answer, data, one * len) != MLT_OK;
    return p->too_long ? 0 : one * len;
}

static int on_progress(void *ctx, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
                       curl_off_t up)
{
    const struct trace_poster *p = ctx;
    (void)down_all, (void)down, (void)up_all, (void)up;
    return p->abort(p->ctx) ? 1 : 0;
}

static bool add_header(struct trace_poster *p, const char *key, const char *value)
{
    char line[2 * MLT_TRACE_TEXT_BYTES_MAX + 4];
    /* "key;" is how curl says a header without a value. */
    (void)snprintf(line, sizeof line, value[0] != '\0' ? "%s: %s" : "%s;", key, value);
    struct curl_slist *longer = curl_slist_append(p->headers, line);
    p->headers = longer != NULL ? longer : p->headers;
    return longer != NULL;
}

static bool set_up(struct trace_poster *p, const struct mlt_trace_config *config)
{
    bool ok = add_header(p, "Content-Type", "application/x-protobuf") &&
              add_header(p, "User-Agent", "OTel-OTLP-Exporter-Meltica/" MELTICA_VERSION) &&
              add_header(p, "Expect", "");
    for (size_t i = 0; i < config->header_count; i++) {
        ok = ok && add_header(p, config->headers[i].key, config->headers[i].value);
    }
    ok = ok && curl_easy_setopt(p->easy, CURLOPT_URL, config->endpoint) == CURLE_OK &&
         curl_easy_setopt(p->easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
         curl_easy_setopt(p->easy, CURLOPT_POST, 1L) == CURLE_OK &&
         curl_easy_setopt(p->easy, CURLOPT_HTTPHEADER, p->headers) == CURLE_OK &&
         curl_easy_setopt(p->easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
         curl_easy_setopt(p->easy, CURLOPT_WRITEFUNCTION, on_answer) == CURLE_OK &&
         curl_easy_setopt(p->easy, CURLOPT_WRITEDATA, p) == CURLE_OK &&
         curl_easy_setopt(p->easy, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
         curl_easy_setopt(p->easy, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
         curl_easy_setopt(p->easy, CURLOPT_XFERINFODATA, p) == CURLE_OK &&
         curl_easy_setopt(p->easy, CURLOPT_ERRORBUFFER, p->curl_text) == CURLE_OK;
    if (ok && config->ca_file[0] != '\0') {
        ok = curl_easy_setopt(p->easy, CURLOPT_CAINFO, config->ca_file) == CURLE_OK;
    }
    return ok;
}

enum mlt_status trace_poster_create(const struct mlt_trace_config *config, bool (*abort)(void *ctx),
                                    void *ctx, struct trace_poster **poster, struct mlt_error *err)
{
    /* Counts its calls; the HTTP client's may come before or after. */
    const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (started != CURLE_OK) {
        return mlt_error_set_foreign(err, MLT_E_INTERNAL, "curl", (int)started,
                                     "libcurl does not start");
    }
    struct trace_poster *p = calloc(1, sizeof *p);
    if (p != NULL) {
        p->abort = abort;
        p->ctx = ctx;
        mlt_buf_init(&p->answer, ANSWER_BYTES_MAX);
        p->easy = curl_easy_init();
    }
    if (p == NULL || p->easy == NULL || !set_up(p, config)) {
        trace_poster_destroy(p);
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for libcurl");
    }
    *poster = p;
    return MLT_OK;
}

void trace_poster_destroy(struct trace_poster *poster)
{
    if (poster == NULL) {
        return;
    }
    curl_easy_cleanup(poster->easy);
    curl_slist_free_all(poster->headers);
    mlt_buf_fini(&poster->answer);
    free(poster);
}

/* OTLP/HTTP: these four say that the same may be taken later; everything else does not. */
static enum trace_post_outcome outcome_of(long code)
{
    if (code >= 200 && code < 300) {
        return TRACE_POST_TAKEN;
    }
    return code == 429 || code == 502 || code == 503 || code == 504 ? TRACE_POST_AGAIN
                                                                    : TRACE_POST_REFUSED;
}

void trace_post(struct trace_poster *p, struct mlt_slice payload, int64_t timeout_ns,
                struct trace_post_result *result)
{
    const long timeout_ms = timeout_ns > MLT_NS_PER_MS ? (long)(timeout_ns / MLT_NS_PER_MS) : 1L;
    long code = 0;
    curl_off_t retry_after_s = 0;
    *result = (struct trace_post_result){ .outcome = TRACE_POST_AGAIN, .retry_after_ns = -1 };
    mlt_buf_clear(&p->answer);
    p->too_long = false;
    p->curl_text[0] = '\0';
    CURLcode done = CURLE_FAILED_INIT;
    if (curl_easy_setopt(p->easy, CURLOPT_TIMEOUT_MS, timeout_ms) == CURLE_OK &&
        curl_easy_setopt(p->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)payload.len) ==
            CURLE_OK &&
        curl_easy_setopt(p->easy, CURLOPT_POSTFIELDS, payload.data) == CURLE_OK) {
        done = curl_easy_perform(p->easy);
    }
    if (done == CURLE_OK || p->too_long) { /* its code says what became of the batch */
        done = curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &code);
    }
    if (done != CURLE_OK) {
        (void)snprintf(result->text, sizeof result->text, "%s",
                       p->curl_text[0] != '\0' ? p->curl_text : curl_easy_strerror(done));
        return;
    }
    result->code = (int)code;
    result->outcome = outcome_of(code);
    result->body = mlt_buf_view(&p->answer);
    result->too_long = p->too_long;
    if (result->outcome != TRACE_POST_TAKEN) {
        (void)snprintf(result->text, sizeof result->text, "the collector answers %ld", code);
    }
    /* Seconds, or a date as seconds from now. */
    if (curl_easy_getinfo(p->easy, CURLINFO_RETRY_AFTER, &retry_after_s) == CURLE_OK &&
        retry_after_s > 0) {
        result->retry_after_ns =
            (retry_after_s < RETRY_AFTER_MAX_S ? retry_after_s : RETRY_AFTER_MAX_S) * MLT_NS_PER_S;
    }
}
