#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

/* ---- handshake ---- */

static void test_request_has_path_and_query_byte_for_byte_and_nothing_superfluous(void **state)
{
    (void)state;
    static char request[8192];
    struct told told = { 0 };
    START(keep_request, request);
    const struct mlt_ws_options options = line_options(
        &told, url("/stream?streams=btcusdt@depth@100ms/%E5%B8%81@trade&timeUnit=MICROSECOND"));
    line_through(&told, &options);
    STOP();
    const char *first =
        "GET /stream?streams=btcusdt@depth@100ms/%E5%B8%81@trade&timeUnit=MICROSECOND HTTP/1.1\r\n";
    assert_memory_equal(request, first, strlen(first));
    char host[64];
    (void)snprintf(host, sizeof host, "\r\nHost: 127.0.0.1:%u\r\n", peer.port);
    assert_non_null(strstr(request, host));
    assert_null(strcasestr(request, "\r\nOrigin:"));
    assert_null(strcasestr(request, "Sec-WebSocket-Extensions"));
    assert_null(strcasestr(request, "Sec-WebSocket-Protocol"));
    assert_int_equal(told.opens, 1);
    assert_int_equal(told.end, MLT_WS_CLOSED);
    assert_int_equal(told.code, 1000);
    assert_string_equal(told.text, "bye");
}

/* ---- frames ---- */

#define LONG_BYTES 200000u
static char long_message[LONG_BYTES];

static const struct {
    const char *text;
    size_t len;
} expected[] = {
    { "one byte at a time", 18 },
    { "in three frames, pinged between", 31 },
    { "", 0 },
    { "\0\xff\x80 binary", 10 },
    { long_message, LONG_BYTES },
    { long_message, 65535 },
    { long_message, 65536 },
    { long_message, 65537 },
    { "last", 4 },
};
#define EXPECTED (sizeof expected / sizeof expected[0])

static void send_shapes(struct conn *conn, void *ctx)
{
    (void)ctx;
    char payload[256];
    size_t len = sizeof payload;
    unsigned opcode = 0;
    bool ok = conn_upgrade(conn) && conn_frame_in_pieces(conn, true, 1, expected[0].text, 18, 1) &&
              conn_frame(conn, false, 1, "in three fr", 11) && conn_frame(conn, true, 9, "a", 1) &&
              conn_read_frame(conn, &opcode, payload, &len);
    (void)peer_check(conn, ok && opcode == 10 && strcmp(payload, "a") == 0,
                     "no pong between frames");
    ok = conn_frame(conn, false, 0, "ames, pinged", 12) && conn_frame(conn, false, 0, "", 0) &&
         conn_frame(conn, true, 9, "", 0);
    len = sizeof payload;
    ok = ok && conn_read_frame(conn, &opcode, payload, &len);
    (void)peer_check(conn, ok && opcode == 10 && len == 0, "no pong for an empty ping");
    ok = conn_frame(conn, true, 0, " between", 8) && conn_frame(conn, true, 1, "", 0) &&
         conn_frame(conn, true, 2, expected[3].text, 10) &&
         conn_frame_in_pieces(conn, true, 1, long_message, LONG_BYTES, 7777);
    for (size_t i = 5; ok && i < EXPECTED; i++) {
        ok = conn_frame(conn, true, 1, expected[i].text, expected[i].len);
    }
    (void)peer_check(conn, ok, "cannot send");
    (void)conn_answer_close(conn);
}

static int different;

static void compare(struct told *told, char *data, size_t len)
{
    const size_t at = told->frames - 1;
    if (at >= EXPECTED || len != expected[at].len || memcmp(data, expected[at].text, len) != 0) {
        different++;
    }
    if (at + 1 == EXPECTED) {
        mlt_ws_close(told->ws);
    }
}

static void test_messages_of_every_shape_arrive_whole_padded_and_writable(void **state)
{
    (void)state;
    for (size_t i = 0; i < LONG_BYTES; i++) {
        long_message[i] = (char)('a' + i % 23);
    }
    different = 0;
    struct told told = { .on_frame = compare };
    const int64_t before = mlt_clock_wall_ns();
    START(send_shapes, NULL);
    const struct mlt_ws_options options = line_options(&told, url("/ws"));
    line_through(&told, &options);
    STOP();
    assert_int_equal(told.frames, EXPECTED);
    assert_int_equal(different, 0);
    assert_true(told.last_received_ns > before);
    size_t bytes = 0;
    for (size_t i = 0; i < EXPECTED; i++) {
        bytes += expected[i].len;
    }
    assert_int_equal(told.stats.frames, EXPECTED);
    assert_int_equal(told.stats.bytes, bytes);
    assert_true(told.stats.fragments > EXPECTED);
    assert_int_equal(told.stats.pings, 2);
    assert_int_equal(told.stats.pongs, 2);
    assert_int_equal(told.end, MLT_WS_BY_US);
}

/* ---- no allocation per message ---- */

static _Thread_local bool counting; /* the server's thread may allocate */
static _Thread_local unsigned allocations;

void *__real_malloc(size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    allocations += counting ? 1 : 0;
    return __real_malloc(bytes);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    allocations += counting ? 1 : 0;
    return __real_realloc(memory, bytes);
}

#define STEADY 5000u

static void send_steady(struct conn *conn, void *ctx)
{
    (void)ctx;
    bool ok = conn_upgrade(conn);
    static const char payload[900] = "x";
    unsigned char frame[4 + sizeof payload] = { 0x81, 126, sizeof payload >> 8,
                                                sizeof payload & 0xff };
    memcpy(frame + 4, payload, sizeof payload);
    for (unsigned i = 0; ok && i < STEADY; i++) {
        ok = conn_write(conn, frame, sizeof frame);
    }
    (void)peer_check(conn, ok, "cannot send");
    (void)conn_answer_close(conn);
}

static void count_allocations(struct told *told, char *data, size_t len)
{
    (void)data;
    (void)len;
    counting = told->frames >= 10 && told->frames < STEADY;
    if (told->frames == STEADY) {
        mlt_ws_close(told->ws);
    }
}

static void test_a_message_costs_no_allocation_after_the_first_ones(void **state)
{
    (void)state;
    allocations = 0;
    struct told told = { .on_frame = count_allocations };
    START(send_steady, NULL);
    const struct mlt_ws_options options = line_options(&told, url("/ws"));
    line_through(&told, &options);
    STOP();
    assert_int_equal(told.frames, STEADY);
    assert_int_equal(allocations, 0);
}

/* ---- pings ---- */

#define PINGS 200u

static void tell_of_pong(struct told *told)
{
    told->bad += mlt_ws_send(told->ws, MLT_SLICE_LITERAL("ponged")) == MLT_OK ? 0 : 1;
}

/* A pong is out before on_pong is called: a ping that comes between the two is not counted, so the
 * server waits for both. */
static bool told_of_pong(struct conn *conn)
{
    char got[16];
    size_t len = sizeof got;
    unsigned opcode = 0;
    return peer_check(conn,
                      conn_read_frame(conn, &opcode, got, &len) && opcode == 1 &&
                          strcmp(got, "ponged") == 0,
                      "not told of a pong");
}

static void ping_in_a_crowd(struct conn *conn, void *ctx)
{
    (void)ctx;
    char payload[200];
    char got[256];
    bool ok = conn_upgrade(conn);
    for (unsigned i = 0; ok && i < PINGS; i++) {
        const size_t len = i % 126;
        memset(payload, (int)('A' + i % 26), sizeof payload);
        for (unsigned k = 0; ok && k < 20; k++) {
            ok = conn_frame(conn, true, 1, "{\"data\":\"before the ping\"}", 26);
        }
        ok = ok && conn_frame(conn, true, 9, payload, len);
        for (unsigned k = 0; ok && k < 20; k++) {
            ok = conn_frame(conn, true, 1, "{\"data\":\"behind the ping\"}", 26);
        }
        size_t got_len = sizeof got;
        unsigned opcode = 0;
        ok = peer_check(conn,
                        ok && conn_read_frame(conn, &opcode, got, &got_len) && opcode == 10 &&
                            got_len == len && memcmp(got, payload, len) == 0,
                        "the pong is not the ping's");
        ok = ok && told_of_pong(conn);
    }
    (void)conn_close_frame(conn, 1001, "");
    conn_drain(conn);
}

static void test_pings_are_answered_with_their_payload_and_counted_while_frames_come(void **state)
{
    (void)state;
    struct told told = { .on_pong = tell_of_pong };
    START(ping_in_a_crowd, NULL);
    const struct mlt_ws_options options = line_options(&told, url("/ws"));
    line_through(&told, &options);
    STOP();
    assert_int_equal(told.frames, PINGS * 40);
    assert_int_equal(told.stats.pings, PINGS);
    assert_int_equal(told.stats.pongs, PINGS);
    assert_int_equal(told.pongs, PINGS);
    assert_int_equal(told.code, 1001);
}

/* Each frame is answered by a message of ours, and a ping follows it at once. */
static void ping_between_sends(struct conn *conn, void *ctx)
{
    (void)ctx;
    char got[256];
    bool ok = conn_upgrade(conn);
    for (unsigned i = 0; ok && i < PINGS; i++) {
        unsigned seen = 0;
        ok = conn_text(conn, "say something") && conn_frame(conn, true, 9, "p", 1);
        for (unsigned k = 0; ok && k < 3; k++) {
            unsigned opcode = 0;
            size_t len = sizeof got;
            ok = conn_read_frame(conn, &opcode, got, &len);
            seen += opcode == 10 ? 100 : got[0] == 'a' ? 10 : 1; /* pong, answer, ponged */
        }
        ok = peer_check(conn, ok && seen == 111, "pong or message is missing");
    }
    (void)conn_close_frame(conn, 1000, "");
    conn_drain(conn);
}

static void answer_frame(struct told *told, char *data, size_t len)
{
    (void)data;
    (void)len;
    told->bad += mlt_ws_send(told->ws, MLT_SLICE_LITERAL("answer")) == MLT_OK ? 0 : 1;
}

static void test_own_messages_are_not_mistaken_for_pongs(void **state)
{
    (void)state;
    struct told told = { .on_frame = answer_frame, .on_pong = tell_of_pong };
    START(ping_between_sends, NULL);
    const struct mlt_ws_options options = line_options(&told, url("/ws"));
    line_through(&told, &options);
    STOP();
    assert_int_equal(told.frames, PINGS);
    assert_int_equal(told.stats.pings, PINGS);
    assert_int_equal(told.stats.pongs, PINGS);
}

/* ---- too big ---- */

#define HUGE_BYTES (10u << 20)

static void send_huge(struct conn *conn, void *ctx)
{
    unsigned *close_code = ctx;
    char *huge = malloc(HUGE_BYTES);
    if (!peer_check(conn, huge != NULL, "no memory")) {
        return;
    }
    memset(huge, 'h', HUGE_BYTES);
    (void)(conn_upgrade(conn) && conn_frame(conn, true, 1, huge, HUGE_BYTES));
    free(huge);
    unsigned char payload[256];
    size_t len = sizeof payload;
    unsigned opcode = 0;
    if (conn_read_frame(conn, &opcode, payload, &len) && opcode == 8 && len >= 2) {
        *close_code = (unsigned)payload[0] << 8 | payload[1];
        (void)conn_frame(conn, true, 8, payload, 2);
    }
    conn_drain(conn);
}

static void test_a_message_over_the_limit_ends_the_line_with_1009(void **state)
{
    (void)state;
    unsigned close_code = 0;
    struct told told = { 0 };
    START(send_huge, &close_code);
    const struct mlt_ws_options options = line_options(&told, url("/ws"));
    const size_t before = heap_bytes();
    line_through(&told, &options);
    const size_t after = heap_bytes();
    STOP();
    assert_int_equal(told.end, MLT_WS_TOO_BIG);
    assert_int_equal(told.frames, 0);
    assert_int_equal(close_code, 1009);
    assert_true(after < before + (512u << 10));
}

static void send_endless_fragments(struct conn *conn, void *ctx)
{
    (void)ctx;
    static char piece[50000];
    bool ok = conn_upgrade(conn) && conn_frame(conn, false, 1, piece, sizeof piece);
    while (ok) {
        ok = conn_frame(conn, false, 0, piece, sizeof piece);
    }
}

static void test_fragments_without_end_end_the_line_at_the_limit(void **state)
{
    (void)state;
    struct told told = { 0 };
    START(send_endless_fragments, NULL);
    const struct mlt_ws_options options = line_options(&told, url("/ws"));
    line_through(&told, &options);
    STOP();
    assert_int_equal(told.end, MLT_WS_TOO_BIG);
    assert_int_equal(told.frames, 0);
    assert_true(told.stats.fragments * 50000 <= (1u << 20) + 50000 + (64u << 10));
}

static size_t heap_at_small;

static void huge_then_small(struct conn *conn, void *ctx)
{
    (void)ctx;
    char *huge = calloc(1, HUGE_BYTES);
    (void)peer_check(
        conn, huge != NULL && conn_upgrade(conn) && conn_frame(conn, true, 1, huge, HUGE_BYTES),
        "cannot send");
    free(huge);
    (void)conn_text(conn, "small");
    (void)conn_answer_close(conn);
}

static void look_at_heap(struct told *told, char *data, size_t len)
{
    (void)data;
    if (len == 5) {
        heap_at_small = heap_bytes();
        mlt_ws_close(told->ws);
    }
}

static void test_a_huge_message_leaves_no_huge_buffer_behind(void **state)
{
    (void)state;
    struct told told = { .on_frame = look_at_heap };
    START(huge_then_small, NULL);
    struct mlt_ws_options options = line_options(&told, url("/ws"));
    options.frame_bytes_max = HUGE_BYTES; /* exactly */
    const size_t before = heap_bytes();
    line_through(&told, &options);
    STOP();
    assert_int_equal(told.frames, 2);
    assert_int_equal(told.stats.bytes, HUGE_BYTES + 5);
    assert_true(heap_at_small < before + (1u << 20));
}

int main(void)
{
    if (mlt_signals_block() != MLT_OK) {
        return 1;
    }
#define LINE_TEST(name) cmocka_unit_test_setup_teardown(name, make_loop, drop_loop)
    const struct CMUnitTest tests[] = {
        LINE_TEST(test_request_has_path_and_query_byte_for_byte_and_nothing_superfluous),
        LINE_TEST(test_messages_of_every_shape_arrive_whole_padded_and_writable),
        LINE_TEST(test_a_message_costs_no_allocation_after_the_first_ones),
        LINE_TEST(test_pings_are_answered_with_their_payload_and_counted_while_frames_come),
        LINE_TEST(test_own_messages_are_not_mistaken_for_pongs),
        LINE_TEST(test_a_message_over_the_limit_ends_the_line_with_1009),
        LINE_TEST(test_fragments_without_end_end_the_line_at_the_limit),
        LINE_TEST(test_a_huge_message_leaves_no_huge_buffer_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
