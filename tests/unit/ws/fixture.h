/* One loop, one line at a time and what it told. */
#ifndef MELTICA_TEST_WS_FIXTURE_H
#define MELTICA_TEST_WS_FIXTURE_H

#include "mlt_test.h"

#include "mlt_peer.h"

#include "meltica/base/clock.h"
#include "meltica/rt/loop.h"
#include "meltica/ws/ws.h"

#define MS MLT_NS_PER_MS

struct told {
    struct mlt_ws *ws;         /* NULL after on_end */
    struct mlt_ws_stats stats; /* as they were in on_frame, on_pong and on_end */
    unsigned opens, frames, pongs, ends;
    enum mlt_ws_end end;
    unsigned code;
    char text[128];
    size_t last_len;
    int64_t last_received_ns;
    int bad; /* frames without their padding, or stamped in the future */
    void (*on_open)(struct told *told);
    void (*on_frame)(struct told *told, char *data, size_t len);
    void (*on_pong)(struct told *told);
};

extern struct mlt_loop *loop;

int make_loop(void **state);
int drop_loop(void **state);

/* Options for a server on 127.0.0.1 with limits that suit a test; url must live until connect. */
struct mlt_ws_options line_options(struct told *told, const char *url);
/* Connects and asserts that it began. */
void line_connect(struct told *told, const struct mlt_ws_options *options);
/* Runs the loop until somebody stops it; fails after 20 s. */
void run_loop(void);
/* Connects and runs until on_end. */
void line_through(struct told *told, const struct mlt_ws_options *options);
void stop_loop(void *ctx);
/* The server of the test. */
extern struct peer peer;
#define START(script, ctx) assert_true(peer_start(&peer, script, ctx))
#define STOP() assert_null(peer_stop(&peer))
/* ws://127.0.0.1: its port and path; static storage, as url_of. */
const char *url(const char *path);
/* Sends the request's head back to the test (ctx: 8,192 bytes), then closes with 1000 "bye". */
void keep_request(struct conn *conn, void *ctx);
/* Bytes that malloc has given out. */
size_t heap_bytes(void);
/* scheme://host:port/path, static storage */
const char *url_of(const char *scheme, const char *host, uint16_t port, const char *path);

#endif
