#include "fixture.h"

#include <malloc.h>
#include <stdio.h>

struct mlt_loop *loop;
struct peer peer;

int make_loop(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    return mlt_loop_create(&loop, &err) == MLT_OK ? 0 : -1;
}

int drop_loop(void **state)
{
    (void)state;
    mlt_loop_destroy(loop);
    loop = NULL;
    return 0;
}

void stop_loop(void *ctx)
{
    (void)ctx;
    mlt_loop_stop(loop);
}

static bool too_late;

static void on_deadline(void *ctx)
{
    (void)ctx;
    too_late = true;
    mlt_loop_stop(loop);
}

void run_loop(void)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_timer *deadline = NULL;
    too_late = false;
    assert_int_equal(mlt_timer_create(loop, on_deadline, NULL, &deadline), MLT_OK);
    mlt_timer_start(deadline, 20 * MLT_NS_PER_S);
    assert_int_equal(mlt_loop_run(loop, &err), MLT_OK);
    mlt_timer_destroy(deadline);
    assert_false(too_late);
}

static void on_open(void *ctx)
{
    struct told *told = ctx;
    told->opens++;
    if (told->on_open != NULL) {
        told->on_open(told);
    }
}

static void on_frame(void *ctx, char *data, size_t len, int64_t received_ns)
{
    struct told *told = ctx;
    static const char zeros[MLT_WS_FRAME_PADDING];
    told->frames++;
    told->last_len = len;
    told->bad += memcmp(data + len, zeros, sizeof zeros) != 0 ? 1 : 0;
    told->bad += received_ns > mlt_clock_wall_ns() || received_ns < told->last_received_ns ? 1 : 0;
    told->last_received_ns = received_ns;
    mlt_ws_get_stats(told->ws, &told->stats);
    if (told->on_frame != NULL) {
        told->on_frame(told, data, len);
    }
    memset(data, 0xa5, len + MLT_WS_FRAME_PADDING); /* it is ours to overwrite */
}

static void on_pong(void *ctx)
{
    struct told *told = ctx;
    told->pongs++;
    mlt_ws_get_stats(told->ws, &told->stats);
    if (told->on_pong != NULL) {
        told->on_pong(told);
    }
}

static void on_end(void *ctx, enum mlt_ws_end end, unsigned code, const char *text)
{
    struct told *told = ctx;
    told->ends++;
    told->end = end;
    told->code = code;
    (void)snprintf(told->text, sizeof told->text, "%s", text);
    mlt_ws_get_stats(told->ws, &told->stats);
    told->ws = NULL;
    mlt_loop_stop(loop);
}

struct mlt_ws_options line_options(struct told *told, const char *url)
{
    return (struct mlt_ws_options){
        .url = url,
        .frame_bytes_max = 1u << 20,
        .connect_timeout_ns = 5 * MLT_NS_PER_S,
        .silence_ns = 0,
        .on_open = on_open,
        .on_frame = on_frame,
        .on_pong = on_pong,
        .on_end = on_end,
        .ctx = told,
    };
}

void line_connect(struct told *told, const struct mlt_ws_options *options)
{
    struct mlt_error err = MLT_ERROR_INIT;
    const enum mlt_status status = mlt_ws_connect(loop, options, &told->ws, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(status, MLT_OK);
    assert_non_null(told->ws);
    assert_int_equal(told->ends, 0);
}

void line_through(struct told *told, const struct mlt_ws_options *options)
{
    line_connect(told, options);
    while (told->ends == 0) {
        run_loop();
    }
    assert_int_equal(told->ends, 1);
    assert_int_equal(told->bad, 0);
}

const char *url_of(const char *scheme, const char *host, uint16_t port, const char *path)
{
    static char url[512];
    (void)snprintf(url, sizeof url, "%s://%s:%u%s", scheme, host, port, path);
    return url;
}

const char *url(const char *path)
{
    return url_of("ws", "127.0.0.1", peer.port, path);
}

void keep_request(struct conn *conn, void *ctx)
{
    (void)conn_upgrade(conn);
    memcpy(ctx, conn->request, sizeof conn->request);
    (void)conn_close_frame(conn, 1000, "bye");
    conn_drain(conn);
}

size_t heap_bytes(void)
{
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}
