/*
 * One HTTP GET that waits: for health checks, which are processes of their own and have no loop.
 */
#ifndef MELTICA_HTTP_PROBE_H
#define MELTICA_HTTP_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include "meltica/base/error.h"

/* Asks url (http only, no redirects, no proxy) and waits timeout_ns at most. OK when the answer is
 * 200 to 299. Else err says the URL and what came: E_UNAVAILABLE with the code and the body's first
 * bytes, E_CONNECT, E_TIMEOUT, E_IO, E_NOMEM. What of the body fits is in `body`, NUL-terminated
 * and without the newline at its end; "" without an answer. One thread at a time. */
enum mlt_status mlt_http_probe(const char *url, int64_t timeout_ns, char *body, size_t body_size,
                               struct mlt_error *err) MLT_MUST_CHECK;

#endif
