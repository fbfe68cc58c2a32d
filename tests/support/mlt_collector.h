/*
 * A collector of OTLP/HTTP for tests: a server on 127.0.0.1 that keeps the spans it takes and
 * answers as a script says. One connection a request. Fails no test itself.
 */
#ifndef MELTICA_TEST_COLLECTOR_H
#define MELTICA_TEST_COLLECTOR_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http_stub.h"

#define COLLECTOR_REQUESTS_MAX 4096u

struct collector_span {
    uint8_t trace_id[16], span_id[8], parent[8];
    bool root, failed;
    unsigned kind;
    uint64_t start_ns, end_ns;
    char name[64], service[64];
    char attributes[1024]; /* "key=value\n" each */
    char link[56];         /* traceparent of its first link, "" */
};

struct collector {
    uint16_t port;
    struct http_stub http;
    char headers[512]; /* of the answer */

    pthread_mutex_t lock; /* what follows */
    pthread_cond_t changed;
    const struct http_stub_answer *script; /* of the first requests; then 200 */
    size_t script_len;
    size_t request_count;
    int64_t asked_ns[COLLECTOR_REQUESTS_MAX]; /* monotonic */
    char head[HTTP_STUB_HEAD_BYTES_MAX];      /* of the last request */
    uint8_t *body;                            /* of the last request */
    size_t body_len;
    size_t span_count, span_room; /* of those answered with 200 */
    struct collector_span *spans;
    const char *wrong; /* first thing that was no request of OTLP */
};

/* port 0: any. False: cannot. */
bool collector_start(struct collector *collector, uint16_t port);
void collector_stop(struct collector *collector);
void collector_script(struct collector *collector, const struct http_stub_answer *answers,
                      size_t count);
/* Waits until seen says so (asked with the lock, after each request); false after timeout_ns. */
bool collector_wait(struct collector *collector,
                    bool (*seen)(struct collector *collector, void *ctx), void *ctx,
                    int64_t timeout_ns);
bool collector_wait_requests(struct collector *collector, size_t count, int64_t timeout_ns);
/* With the lock, or after collector_stop was not called yet and nothing comes: the first span of a
 * trace (NULL: any) with this name from `after` on; NULL: none. */
const struct collector_span *collector_find(const struct collector *collector,
                                            const uint8_t *trace_id, const char *name,
                                            const struct collector_span *after);
/* "" when it is not there. Static storage, 4 at a time; one thread. */
const char *collector_attribute(const struct collector_span *span, const char *key);

#endif
