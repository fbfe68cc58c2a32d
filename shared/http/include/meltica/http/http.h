/*
 * HTTP GETs in the background: libcurl multi on one thread of its own. Answers come to the loop's
 * thread. Every answer is bounded in size and time, TLS is verified, redirects are not followed.
 */
#ifndef MELTICA_HTTP_HTTP_H
#define MELTICA_HTTP_HTTP_H

#include <stdint.h>

#include "meltica/base/error.h"
#include "meltica/base/slice.h"
#include "meltica/rt/loop.h"

#define MLT_HTTP_WAITING_MAX 1024u /* requests not answered yet */
#define MLT_HTTP_BODY_PADDING 16u  /* zero bytes after the body, readable and writable */

struct mlt_http_client;

struct mlt_http_options {
    struct mlt_loop *loop;
    const char *ca_file; /* PEM; NULL or "": the system's */
    const char *user_agent;
    int64_t timeout_ns; /* from mlt_http_get to the last byte, waiting for a connection included */
    size_t body_bytes_max;
    unsigned connections_max; /* requests on their way at the same time; the others wait */
};

struct mlt_http_response {
    enum mlt_status status; /* OK: an HTTP answer is here, whatever its code. E_TIMEOUT, E_CONNECT,
                               E_TOO_BIG, E_IO, E_CLOSED (client destroyed) otherwise */
    int code;               /* HTTP status, 0 without an answer */
    int64_t retry_after_s;  /* Retry-After in seconds, -1 when absent or a date */
    /* X-MBX-USED-WEIGHT-1M, or any header asked for: looked up case-insensitively */
    char used_weight_1m[24]; /* "" when absent */
    char *body; /* valid and writable during the call, MLT_HTTP_BODY_PADDING zeros after */
    size_t body_len;
    int64_t completed_ns; /* wall time at which the last byte was here */
    int64_t took_ns;
    char text[128]; /* what went wrong, for people */
};
/* On the loop's thread, exactly once a request that was accepted. */
typedef void (*mlt_http_done_fn)(void *ctx, const struct mlt_http_response *response);

enum mlt_status mlt_http_client_create(const struct mlt_http_options *options,
                                       struct mlt_http_client **client,
                                       struct mlt_error *err) MLT_MUST_CHECK;
/* Ends the thread; what is in flight is answered with E_CLOSED before it returns (an answer that is
 * here already, with that). Loop thread, also inside done. */
void mlt_http_client_destroy(struct mlt_http_client *client);

/* url is copied. E_FULL above MLT_HTTP_WAITING_MAX, E_NOMEM; then done is not called. Loop thread.
 */
enum mlt_status mlt_http_get(struct mlt_http_client *client, const char *url, mlt_http_done_fn done,
                             void *ctx) MLT_MUST_CHECK;

/* Seconds that a Retry-After header says, at most INT32_MAX; -1: a date, or none. Pure. */
int64_t mlt_http_retry_after(const char *text);

#endif
