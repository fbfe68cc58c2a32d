/*
 * A server of HTTP/1.1 on 127.0.0.1 for tests: one connection a request and one at a time, each
 * answered by a function on the server's thread. Fails no test itself.
 */
#ifndef MELTICA_TEST_HTTP_STUB_H
#define MELTICA_TEST_HTTP_STUB_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_STUB_HEAD_BYTES_MAX 8192u
#define HTTP_STUB_BODY_BYTES_MAX (16u << 20)

struct http_stub_answer {
    int code;            /* 0: the connection ends without an answer */
    const char *headers; /* "Retry-After: 1\r\n"; NULL: none */
    const void *body;
    size_t body_len;
};

/* head: with the empty line at its end. body: a byte 0 follows. What the answer points to stays
 * until the next call, or until http_stub_stop returns. */
typedef struct http_stub_answer http_stub_fn(void *ctx, const char *head, const void *body,
                                             size_t len);

struct http_stub {
    uint16_t port;
    int listen_fd;
    http_stub_fn *fn;
    void *ctx;
    pthread_t thread;
    pthread_mutex_t lock; /* what follows */
    int fd;               /* the connection, -1: none */
    bool stopping;
};

/* port 0: any. False: cannot, and there is nothing to stop. */
bool http_stub_start(struct http_stub *stub, uint16_t port, http_stub_fn *fn, void *ctx);
/* Returns though somebody is connected and says nothing. */
void http_stub_stop(struct http_stub *stub);

#endif
