/* What loop.c and http_server.c share. Loop thread only, but for the fields that say otherwise. */
#ifndef MELTICA_RT_SRC_INTERNAL_H
#define MELTICA_RT_SRC_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <libwebsockets.h>

#include "meltica/rt/loop.h"

struct http_server;

struct task {
    void (*fn)(void *ctx);
    void *ctx;
};

struct mlt_loop {
    struct lws_context *context;
    struct lws_vhost *vhost; /* of this library only: no listener, no HTTP role */
    struct lws_log_cx log;
    pthread_t owner;
    atomic_bool stopping; /* any thread */
    uint64_t turn;

    pthread_mutex_t lock; /* guards the four below */
    struct task *tasks;   /* ring of MLT_LOOP_POSTED_MAX */
    uint32_t first, count;
    bool woken; /* a wake-up is on its way: one is enough for all that wait */

    void (*on_signal)(void *ctx, int signal_number);
    void *signal_ctx;

    struct http_server *http;
};

#define MLT_RT_LISTENER_PROTOCOL "meltica-http-listener"
#define MLT_RT_HTTP_PROTOCOL "meltica-http"

/* Gives fd to the loop; opaque is what the protocol's callback finds on the connection. NULL: fd is
 * still the caller's. */
struct lws *mlt_rt_adopt(struct mlt_loop *loop, int fd, const char *protocol, void *opaque);

int mlt_rt_listener_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user,
                             void *in, size_t len);
int mlt_rt_http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                         size_t len);
/* Before the context goes: what must not outlive it. */
void mlt_rt_http_stop(struct http_server *server);
/* After the context, which closed every connection. */
void mlt_rt_http_free(struct http_server *server);

static inline bool mlt_rt_stopping(struct mlt_loop *loop)
{
    return atomic_load(&loop->stopping);
}

#endif
