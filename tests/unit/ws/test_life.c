#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fixture.h"

/* ---- ends ---- */

enum how {
    CLOSE_1008,
    CLOSE_BARE,
    FIN,
    RESET,
    MASKED,
    ANSWER_403,
    ANSWER_429,
    ANSWER_302,
    GARBAGE,
    HANG_UP
};

static void end_somehow(struct conn *conn, void *ctx)
{
    const enum how how = *(const enum how *)ctx;
    const char *answer = NULL;
    switch (how) {
    case ANSWER_403:
        answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
        break;
    case ANSWER_429:
        answer = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nRetry-After: 9\r\n\r\n";
        break;
    case ANSWER_302:
        answer = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/x\r\nContent-Length: 0\r\n\r\n";
        break;
    case GARBAGE:
        answer = "SSH-2.0-something else\r\n\r\n";
        break;
    default:
        break;
    }
    if (answer != NULL || how == HANG_UP) {
        (void)conn_read_request(conn);
        (void)(answer != NULL && conn_write(conn, answer, strlen(answer)));
        if (answer != NULL) {
            conn_drain(conn);
        }
        return;
    }
    (void)peer_check(conn, conn_upgrade(conn) && conn_text(conn, "hello"), "cannot send");
    switch (how) {
    case CLOSE_1008:
        (void)conn_close_frame(conn, 1008, "Too many requests");
        conn_drain(conn);
        break;
    case CLOSE_BARE:
        (void)conn_frame(conn, true, 8, "", 0);
        conn_drain(conn);
        break;
    case RESET:
        conn_reset(conn);
        break;
    case MASKED:
        (void)conn_write(conn,
                         "\x81\x85"
                         "1234"
                         "hello",
                         11);
        (void)conn_answer_close(conn);
        break;
    default:
        break;
    }
}

static void test_each_end_is_told_once_with_code_and_reason(void **state)
{
    (void)state;
    const struct {
        enum how how;
        enum mlt_ws_end end;
        unsigned code;
        const char *text; /* NULL: any that is not empty */
        unsigned opens;
    } cases[] = {
        { CLOSE_1008, MLT_WS_CLOSED, 1008, "Too many requests", 1 },
        { CLOSE_BARE, MLT_WS_CLOSED, 0, "", 1 },
        { FIN, MLT_WS_LOST, 0, NULL, 1 },
        { RESET, MLT_WS_LOST, 0, NULL, 1 },
        { MASKED, MLT_WS_LOST, 0, NULL, 1 },
        { ANSWER_403, MLT_WS_REFUSED, 403, "HTTP 403 instead of 101", 0 },
        { ANSWER_429, MLT_WS_REFUSED, 429, "HTTP 429 instead of 101", 0 },
        { ANSWER_302, MLT_WS_REFUSED, 302, "HTTP 302 instead of 101", 0 },
        { GARBAGE, MLT_WS_REFUSED, 0, NULL, 0 },
        { HANG_UP, MLT_WS_REFUSED, 0, NULL, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct told told = { 0 };
        enum how how = cases[i].how;
        START(end_somehow, &how);
        struct mlt_ws_options options = line_options(&told, url("/ws"));
        options.connect_timeout_ns = how == GARBAGE ? 300 * MS : options.connect_timeout_ns;
        line_through(&told, &options);
        STOP();
        assert_int_equal(atomic_load(&peer.accepted), 1);
        assert_int_equal(told.end, cases[i].end);
        assert_int_equal(told.code, cases[i].code);
        assert_int_equal(told.opens, cases[i].opens);
        if (cases[i].text != NULL) {
            assert_string_equal(told.text, cases[i].text);
        } else {
            assert_true(told.text[0] != 0);
        }
    }
}

static uint16_t closed_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}

static void test_a_closed_port_is_refused(void **state)
{
    (void)state;
    struct told told = { 0 };
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_ws_options options =
        line_options(&told, url_of("ws", "127.0.0.1", closed_port(), "/ws"));
    const enum mlt_status status = mlt_ws_connect(loop, &options, &told.ws, &err);
    if (status == MLT_OK) { /* the kernel may say no at once or later */
        while (told.ends == 0) {
            run_loop();
        }
        assert_int_equal(told.end, MLT_WS_REFUSED);
    } else {
        assert_int_equal(status, MLT_E_CONNECT);
        assert_null(told.ws);
    }
    assert_int_equal(told.opens, 0);
}

static void accept_and_wait(struct conn *conn, void *ctx)
{
    (void)ctx;
    conn_drain(conn);
}

static void test_a_server_that_accepts_and_says_nothing_is_given_up_in_time(void **state)
{
    (void)state;
    struct told told = { 0 };
    START(accept_and_wait, NULL);
    struct mlt_ws_options options = line_options(&told, url("/ws"));
    options.connect_timeout_ns = 150 * MS;
    const int64_t before = mlt_clock_mono_ns();
    line_through(&told, &options);
    const int64_t took = mlt_clock_mono_ns() - before;
    STOP();
    assert_int_equal(told.end, MLT_WS_REFUSED);
    assert_string_equal(told.text, "no connection in time");
    assert_true(took >= 150 * MS && took < 5000 * MS);
}

/* ---- silence ---- */

struct signs_of_life {
    unsigned count;
    bool pings; /* else single bytes of one message that never becomes whole */
};

static void live_then_fall_silent(struct conn *conn, void *ctx)
{
    const struct signs_of_life *signs = ctx;
    char got[256];
    bool ok = conn_upgrade(conn) && (signs->pings || conn_write(conn, "\x81\x7d", 2));
    for (unsigned i = 0; ok && i < signs->count; i++) {
        size_t len = sizeof got;
        unsigned opcode = 0;
        ok = conn_quiet_for(conn, 60) &&
             (signs->pings
                  ? conn_frame(conn, true, 9, "20s", 3) && conn_read_frame(conn, &opcode, got, &len)
                  : conn_write(conn, "x", 1));
    }
    (void)peer_check(conn, ok, "no pong");
    conn_drain(conn);
}

static void test_silence_ends_the_line_and_pings_and_single_bytes_are_no_silence(void **state)
{
    (void)state;
    struct signs_of_life cases[] = { { 0, true }, { 10, true }, { 10, false } };
    for (size_t i = 0; i < 3; i++) {
        struct told told = { 0 };
        START(live_then_fall_silent, &cases[i]);
        struct mlt_ws_options options = line_options(&told, url("/ws"));
        options.silence_ns = 1000 * MS;
        const int64_t before = mlt_clock_mono_ns();
        line_through(&told, &options);
        const int64_t took = mlt_clock_mono_ns() - before;
        STOP();
        assert_int_equal(told.end, MLT_WS_SILENT);
        assert_int_equal(told.stats.pongs, cases[i].pings ? cases[i].count : 0);
        assert_int_equal(told.frames, 0);
        assert_true(took >= (int64_t)cases[i].count * 60 * MS + 990 * MS);
        assert_true(took < (int64_t)cases[i].count * 60 * MS + 5000 * MS);
    }
}

/* ---- pause ---- */

#define NUMBERED 20000u

static void send_numbers(struct conn *conn, void *ctx)
{
    (void)ctx;
    static unsigned char bytes[NUMBERED * 64];
    size_t len = 0;
    for (unsigned i = 0; i < NUMBERED; i++) {
        char text[32];
        const int n = snprintf(text, sizeof text, "{\"number\":%u}", i);
        bytes[len++] = 0x81;
        bytes[len++] = (unsigned char)n;
        memcpy(bytes + len, text, (size_t)n);
        len += (size_t)n;
    }
    (void)peer_check(conn, conn_upgrade(conn) && conn_write(conn, bytes, len), "cannot send");
    (void)conn_answer_close(conn);
}

static int different;
static struct mlt_timer *resume_timer;
static unsigned while_paused;
static bool is_paused;

static void resume(void *ctx)
{
    struct told *told = ctx;
    is_paused = false;
    mlt_ws_pause(told->ws, false);
}

static void pause_now_and_then(struct told *told, char *data, size_t len)
{
    char text[32];
    const int n = snprintf(text, sizeof text, "{\"number\":%u}", told->frames - 1);
    different += (size_t)n != len || memcmp(text, data, len) != 0 ? 1 : 0;
    while_paused += is_paused ? 1 : 0;
    if (told->frames % 997 == 0) {
        is_paused = true;
        mlt_ws_pause(told->ws, true);
        mlt_timer_start(resume_timer, 3 * MS);
    }
    if (told->frames == NUMBERED) {
        mlt_ws_close(told->ws);
    }
}

static void test_pause_stops_at_once_and_resume_loses_nothing(void **state)
{
    (void)state;
    struct told told = { .on_frame = pause_now_and_then };
    different = 0;
    while_paused = 0;
    is_paused = false;
    assert_int_equal(mlt_timer_create(loop, resume, &told, &resume_timer), MLT_OK);
    START(send_numbers, NULL);
    struct mlt_ws_options options = line_options(&told, url("/ws"));
    line_through(&told, &options);
    STOP();
    mlt_timer_destroy(resume_timer);
    assert_int_equal(told.frames, NUMBERED);
    assert_int_equal(different, 0);
    assert_int_equal(while_paused, 0);
    assert_int_equal(told.stats.pings, 0); /* resuming is not mistaken for one */
}

static void pause_for_long(struct told *told, char *data, size_t len)
{
    (void)data;
    (void)len;
    if (told->frames == 1) {
        mlt_ws_pause(told->ws, true);
        mlt_timer_start(resume_timer, 1300 * MS);
    }
}

static void test_a_pause_is_no_silence(void **state)
{
    (void)state;
    struct told told = { .on_frame = pause_for_long };
    const int64_t before = mlt_clock_mono_ns();
    assert_int_equal(mlt_timer_create(loop, resume, &told, &resume_timer), MLT_OK);
    START(send_numbers, NULL);
    struct mlt_ws_options options = line_options(&told, url("/ws"));
    options.silence_ns = 1000 * MS; /* a window that was shut may take a while to open */
    line_through(&told, &options);
    STOP();
    mlt_timer_destroy(resume_timer);
    assert_int_equal(told.end, MLT_WS_SILENT);
    assert_int_equal(told.frames, NUMBERED);
    assert_true(mlt_clock_mono_ns() - before >= 2290 * MS);
}

/* ---- send ---- */

static void read_messages(struct conn *conn, void *ctx)
{
    (void)ctx;
    static char got[70000];
    bool ok = conn_upgrade(conn);
    for (unsigned i = 0; ok && i < 16; i++) {
        size_t len = sizeof got;
        unsigned opcode = 0;
        ok = conn_read_frame(conn, &opcode, got, &len) && opcode == 1;
        ok = ok &&
             (i == 15 ? len == 65536 && got[65535] == 'z' : len == 1 && got[0] == (char)('a' + i));
    }
    (void)peer_check(conn, ok, "messages are not what was sent");
    (void)conn_close_frame(conn, 1000, "all here");
    conn_drain(conn);
}

static char most[65537];

static void send_sixteen(struct told *told)
{
    for (unsigned i = 0; i < 15; i++) {
        const char text = (char)('a' + i);
        told->bad += mlt_ws_send(told->ws, mlt_slice_of(&text, 1)) == MLT_OK ? 0 : 1;
    }
    memset(most, 'z', sizeof most);
    told->bad += mlt_ws_send(told->ws, mlt_slice_of(most, 65537)) == MLT_E_TOO_BIG ? 0 : 1;
    told->bad += mlt_ws_send(told->ws, mlt_slice_of(most, 65536)) == MLT_OK ? 0 : 1;
    told->bad += mlt_ws_send(told->ws, MLT_SLICE_LITERAL("no")) == MLT_E_FULL ? 0 : 1;
}

static void test_sixteen_messages_wait_and_leave_in_order(void **state)
{
    (void)state;
    struct told told = { .on_open = send_sixteen };
    START(read_messages, NULL);
    const struct mlt_ws_options options = line_options(&told, url("/ws"));
    line_connect(&told, &options);
    assert_int_equal(mlt_ws_send(told.ws, MLT_SLICE_LITERAL("early")), MLT_E_CLOSED);
    while (told.ends == 0) {
        run_loop();
    }
    STOP();
    assert_int_equal(told.bad, 0);
    assert_int_equal(told.end, MLT_WS_CLOSED);
    assert_string_equal(told.text, "all here");
}

/* ---- close ---- */

static void expect_close(struct conn *conn, void *ctx)
{
    unsigned *code = ctx;
    unsigned char payload[256];
    unsigned opcode = 0;
    bool ok = conn_upgrade(conn) && conn_text(conn, "1") && conn_text(conn, "2");
    do {
        size_t len = sizeof payload;
        ok = ok && conn_read_frame(conn, &opcode, payload, &len);
    } while (ok && opcode != 8);
    *code = ok ? (unsigned)payload[0] << 8 | payload[1] : 0;
    if (ok) {
        (void)conn_frame(conn, true, 8, payload, 2);
    }
    conn_drain(conn);
}

static void close_twice(struct told *told)
{
    mlt_ws_close(told->ws);
    mlt_ws_close(told->ws);
    told->bad += mlt_ws_send(told->ws, MLT_SLICE_LITERAL("late")) == MLT_E_CLOSED ? 0 : 1;
    mlt_ws_pause(told->ws, true);
}

static void close_on_frame(struct told *told, char *data, size_t len)
{
    (void)data;
    (void)len;
    mlt_ws_pause(told->ws, true);
    close_twice(told);
}

static void test_closing_says_1000_and_ends_once_without_further_frames(void **state)
{
    (void)state;
    for (unsigned in_frame = 0; in_frame < 2; in_frame++) {
        unsigned code = 0;
        struct told told = { .on_open = in_frame ? NULL : close_twice,
                             .on_frame = in_frame ? close_on_frame : NULL };
        START(expect_close, &code);
        const struct mlt_ws_options options = line_options(&told, url("/ws"));
        line_through(&told, &options);
        STOP();
        assert_int_equal(told.end, MLT_WS_BY_US);
        assert_int_equal(told.frames, in_frame);
        assert_int_equal(code, 1000);
    }
}

static void never_answer_close(struct conn *conn, void *ctx)
{
    (void)ctx;
    (void)conn_upgrade(conn);
    conn_drain(conn);
}

static void test_a_server_that_ignores_the_close_is_left_after_a_second(void **state)
{
    (void)state;
    struct told told = { .on_open = close_twice };
    START(never_answer_close, NULL);
    const struct mlt_ws_options options = line_options(&told, url("/ws"));
    const int64_t before = mlt_clock_mono_ns();
    line_through(&told, &options);
    STOP();
    assert_int_equal(told.end, MLT_WS_BY_US);
    assert_true(mlt_clock_mono_ns() - before < 8000 * MS);
}

static void test_closing_before_it_is_up_ends_once(void **state)
{
    (void)state;
    const char *hosts[] = { "127.0.0.1", "localhost", "does-not-exist.invalid" };
    for (size_t i = 0; i < 3; i++) {
        struct told told = { 0 };
        START(accept_and_wait, NULL);
        const struct mlt_ws_options options =
            line_options(&told, url_of("ws", hosts[i], peer.port, "/ws"));
        line_connect(&told, &options);
        mlt_ws_close(told.ws);
        mlt_ws_close(told.ws);
        assert_int_equal(told.ends, 0);
        while (told.ends == 0) {
            run_loop();
        }
        STOP();
        assert_int_equal(told.ends, 1);
        assert_int_equal(told.opens, 0);
        assert_int_equal(told.end, MLT_WS_BY_US);
    }
}

static void stop_on_frame(struct told *told, char *data, size_t len)
{
    (void)told;
    (void)data;
    (void)len;
    mlt_loop_stop(loop);
}

static void test_lines_that_are_open_when_the_loop_goes_end_once(void **state)
{
    unsigned code = 0;
    struct told up = { .on_frame = stop_on_frame };
    struct told resolving = { 0 };
    START(expect_close, &code);
    const struct mlt_ws_options options = line_options(&up, url("/ws"));
    line_connect(&up, &options);
    run_loop();
    const struct mlt_ws_options other = line_options(&resolving, url_of("ws", "localhost", 1, "/"));
    line_connect(&resolving, &other);
    assert_int_equal(up.ends + resolving.ends, 0);
    assert_int_equal(drop_loop(state), 0);
    assert_int_equal(make_loop(state), 0);
    STOP();
    assert_int_equal(up.ends, 1);
    assert_int_equal(resolving.ends, 1);
    assert_int_equal(resolving.end, MLT_WS_BY_US);
}

/* ---- names ---- */

static void test_a_name_is_resolved_and_each_of_its_addresses_tried(void **state)
{
    (void)state;
    static char request[8192];
    struct told told = { 0 };
    START(keep_request, request); /* on 127.0.0.1 only; localhost may also be ::1 */
    const struct mlt_ws_options options =
        line_options(&told, url_of("ws", "localhost", peer.port, "/ws"));
    line_through(&told, &options);
    STOP();
    assert_int_equal(told.end, MLT_WS_CLOSED);
    assert_non_null(strstr(request, "\r\nHost: localhost:"));
}

static void test_a_name_that_does_not_exist_is_refused(void **state)
{
    (void)state;
    struct told told = { 0 };
    struct mlt_ws_options options = line_options(&told, "ws://does-not-exist.invalid/ws");
    options.connect_timeout_ns = 500 * MS;
    line_through(&told, &options);
    assert_int_equal(told.end, MLT_WS_REFUSED);
    assert_non_null(strstr(told.text, "resolved"));
}

/* ---- many ---- */

#define CYCLES 1000u

static void greet_and_close_every_other(struct conn *conn, void *ctx)
{
    (void)ctx;
    if (!conn_upgrade(conn) || !conn_text(conn, "hello")) {
        return; /* the client closed while it connected */
    }
    if (conn->number % 2 == 0) {
        (void)conn_close_frame(conn, 1000, "");
    }
    unsigned char payload[256];
    unsigned opcode = 0;
    size_t len = sizeof payload;
    if (conn_read_frame(conn, &opcode, payload, &len) && opcode == 8 && conn->number % 2 == 1) {
        (void)conn_frame(conn, true, 8, payload, len);
    }
}

static void close_line(struct told *told, char *data, size_t len)
{
    (void)data;
    (void)len;
    mlt_ws_close(told->ws);
}

static void test_a_thousand_connections_leave_nothing_behind(void **state)
{
    (void)state;
    START(greet_and_close_every_other, NULL);
    unsigned before = 0;
    size_t heap_before = 0;
    for (unsigned i = 0; i < CYCLES; i++) {
        struct told told = { .on_frame = i % 2 == 1 ? close_line : NULL };
        const struct mlt_ws_options options = line_options(&told, url("/ws"));
        line_connect(&told, &options);
        if (i % 10 == 9) {
            mlt_ws_close(told.ws);
        }
        while (told.ends == 0) {
            run_loop();
        }
        assert_int_equal(told.ends, 1);
        if (i == 99) {
            before = open_descriptors();
            heap_before = heap_bytes();
        }
    }
    const size_t heap_after = heap_bytes();
    /* The server's side of the last one may still be open, then or now. */
    const unsigned after = open_descriptors();
    STOP();
    assert_in_range(after, before - 1, before + 1);
    assert_true(heap_after < heap_before + (64u << 10));
}

/* ---- wrong options ---- */

static void test_options_out_of_range_are_refused_before_anything_happens(void **state)
{
    (void)state;
    struct told told = { 0 };
    for (unsigned i = 0; i < 6; i++) {
        struct mlt_ws_options options =
            line_options(&told, i == 0 ? "http://h/" : "ws://127.0.0.1/");
        options.frame_bytes_max = i == 1 ? 0 : i == 2 ? (1u << 30) + 1 : 1000;
        options.connect_timeout_ns = i == 3 ? 0 : i == 4 ? 60 * MLT_NS_PER_S + 1 : MS;
        options.silence_ns = i == 5 ? -1 : 0;
        struct mlt_ws *ws = (struct mlt_ws *)&told;
        struct mlt_error err = MLT_ERROR_INIT;
        assert_int_equal(mlt_ws_connect(loop, &options, &ws, &err), MLT_E_CONFIG);
        assert_null(ws);
        assert_true(err.text[0] != 0);
    }
    assert_int_equal(told.ends, 0);
}

int main(void)
{
    if (mlt_signals_block() != MLT_OK) {
        return 1;
    }
#define LINE_TEST(name) cmocka_unit_test_setup_teardown(name, make_loop, drop_loop)
    const struct CMUnitTest tests[] = {
        LINE_TEST(test_each_end_is_told_once_with_code_and_reason),
        LINE_TEST(test_a_closed_port_is_refused),
        LINE_TEST(test_a_server_that_accepts_and_says_nothing_is_given_up_in_time),
        LINE_TEST(test_silence_ends_the_line_and_pings_and_single_bytes_are_no_silence),
        LINE_TEST(test_pause_stops_at_once_and_resume_loses_nothing),
        LINE_TEST(test_a_pause_is_no_silence),
        LINE_TEST(test_sixteen_messages_wait_and_leave_in_order),
        LINE_TEST(test_closing_says_1000_and_ends_once_without_further_frames),
        LINE_TEST(test_a_server_that_ignores_the_close_is_left_after_a_second),
        LINE_TEST(test_closing_before_it_is_up_ends_once),
        LINE_TEST(test_lines_that_are_open_when_the_loop_goes_end_once),
        LINE_TEST(test_a_name_is_resolved_and_each_of_its_addresses_tried),
        LINE_TEST(test_a_name_that_does_not_exist_is_refused),
        LINE_TEST(test_a_thousand_connections_leave_nothing_behind),
        LINE_TEST(test_options_out_of_range_are_refused_before_anything_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
