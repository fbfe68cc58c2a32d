/*
 * The event loop of a process: timers, signals, work posted by other threads, and a small HTTP
 * server for health and metrics. It runs libwebsockets' loop, so that WebSocket lines (shared/ws)
 * live on the same thread. One loop a process (libwebsockets: two contexts in two threads share
 * state). Every call belongs to the thread that created the loop, except mlt_loop_post and
 * mlt_loop_stop.
 */
#ifndef MELTICA_RT_LOOP_H
#define MELTICA_RT_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "meltica/base/buf.h"
#include "meltica/base/error.h"

#define MLT_LOOP_POSTED_MAX 4096u            /* tasks waiting; post gives E_FULL beyond */
#define MLT_LOOP_ANSWER_BYTES_MAX (8u << 20) /* body of one HTTP answer */

struct mlt_loop;
struct mlt_timer;
struct lws_context;

/* Blocks SIGINT, SIGTERM, SIGHUP and SIGPIPE for this thread and all threads it will start. First
 * call in main. E_INTERNAL when the kernel refuses. */
enum mlt_status mlt_signals_block(void) MLT_MUST_CHECK;

/* *loop is the caller's to destroy on the same thread, after everything made on it. E_NOMEM,
 * E_INTERNAL (err says why). */
enum mlt_status mlt_loop_create(struct mlt_loop **loop, struct mlt_error *err) MLT_MUST_CHECK;
void mlt_loop_destroy(struct mlt_loop *loop); /* NULL is fine */

/* Runs until mlt_loop_stop. */
enum mlt_status mlt_loop_run(struct mlt_loop *loop, struct mlt_error *err) MLT_MUST_CHECK;
/* Makes run return after the callback in hand. Any thread. */
void mlt_loop_stop(struct mlt_loop *loop);

/* fn(ctx) on the loop's thread, in order of posting. Any thread, also inside the loop. E_FULL:
 * nothing was queued. Tasks still waiting when the loop is destroyed are dropped: ctx is not freed.
 */
enum mlt_status mlt_loop_post(struct mlt_loop *loop, void (*fn)(void *ctx),
                              void *ctx) MLT_MUST_CHECK;
/* Takes back every task still waiting with this fn and ctx, so that ctx may be freed. */
void mlt_loop_unpost(struct mlt_loop *loop, void (*fn)(void *ctx), void *ctx);

/* SIGINT, SIGTERM and SIGHUP as events (mlt_signals_block first). At most one handler. */
enum mlt_status mlt_loop_on_signal(struct mlt_loop *loop, void (*fn)(void *ctx, int signal_number),
                                   void *ctx, struct mlt_error *err) MLT_MUST_CHECK;

/* A timer, stopped. E_NOMEM. */
enum mlt_status mlt_timer_create(struct mlt_loop *loop, void (*fn)(void *ctx), void *ctx,
                                 struct mlt_timer **timer) MLT_MUST_CHECK;
void mlt_timer_destroy(struct mlt_timer *timer); /* NULL is fine; legal inside its own callback */
/* One shot after delay_ns (>= 0) from now, monotonic clock; replaces what was set. Periodic work
 * starts it again in its callback. Never early, up to 1 ms late (poll's resolution); two that are
 * due in the same microsecond come in any order. */
void mlt_timer_start(struct mlt_timer *timer, int64_t delay_ns);
void mlt_timer_stop(struct mlt_timer *timer);
bool mlt_timer_active(const struct mlt_timer *timer);

/* ---- HTTP server (GET and HEAD only) ---- */

struct mlt_http_answer {
    int status;               /* 200 unless changed; 304 has no body, whatever is in it */
    const char *content_type; /* static string; "text/plain; charset=utf-8" unless changed */
    struct mlt_buf *body;     /* empty, max MLT_LOOP_ANSWER_BYTES_MAX */
    /* Further header lines, each with its CRLF, 1,024 bytes at most (500 beyond); must live until
     * the handler's next call. NULL: none. */
    const char *headers;
    const char *cache_control; /* static string; "no-store" unless changed */
    /* Of the request: the value of If-None-Match, cut at 255 bytes; "" where there is none. */
    const char *if_none_match;
};
/* On the loop's thread; path without query, query without '?', both NUL-terminated and cut at 1,023
 * bytes. */
typedef void (*mlt_http_handler_fn)(void *ctx, const char *path, const char *query,
                                    struct mlt_http_answer *answer);

/* Listens on host (numeric or name, "" = all) and port (0: any free one, *bound_port says which).
 * Several requests on one connection, also pipelined ones, are answered in order; at most 64
 * connections, 5 s idle each; one more takes the place of the one that has been idle longest. At
 * most 56 of them are answers that their peers do not read as fast as they could be sent: of one
 * more the one that was not read for longest is cut. One listener a loop. E_CONFIG, E_IO (port
 * taken), E_NOMEM. */
enum mlt_status mlt_loop_listen_http(struct mlt_loop *loop, const char *host, uint16_t port,
                                     mlt_http_handler_fn handler, void *ctx, uint16_t *bound_port,
                                     struct mlt_error *err) MLT_MUST_CHECK;

/* For shared/ws and for programs that bring protocols of their own (the exchange simulator). */
struct lws_context *mlt_loop_lws(struct mlt_loop *loop);
/* Counts the turns of the loop. Within one turn each connection is read at most once (a TLS one as
 * long as it holds decrypted bytes), so that one stamp a turn is one stamp a read. */
uint64_t mlt_loop_turn(const struct mlt_loop *loop);

#endif
