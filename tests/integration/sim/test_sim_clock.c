/* What the simulator does by the clock: pings, the life of a line, the beginning of the market.
 * Slow, because these waits are what is tested. */
#include "meltica/base/clock.h"
#include "sim_test.h"

/* A market that nobody starts: what arrives are answers only. */
#define QUIET "--synthetic", "--symbols", "3", "--start-subscriptions", "4000000000"

static void ask(struct raw_ws *ws, const char *request, const char *answer)
{
    assert_true(raw_ws_send_text(ws, request));
    expect_text(ws, answer);
}

static void test_pings_come_and_a_client_without_pongs_is_cut(void **state)
{
    (void)state;
    const char *const arguments[] = {
        QUIET, "--ping-interval-s", "1", "--pong-timeout-s", "4", NULL
    };
    struct sim_process sim;
    struct raw_ws good, bad;
    start(&sim, arguments);
    open_line(&good, &sim, "/ws");
    open_line(&bad, &sim, "/ws");
    unsigned pings = 0;
    struct raw_frame frame;
    for (;;) { /* both get a ping a second; an unsolicited pong does not keep the line */
        assert_int_equal(raw_ws_receive(&bad, WAIT_MS, &frame), RAW_FRAME);
        if (frame.opcode != RAW_PING) {
            break;
        }
        assert_true(++pings < 10);
        assert_true(raw_ws_send(&bad, RAW_PONG, "no", 2));
        const struct raw_frame ping = expect_frame(&good, RAW_PING);
        assert_true(ping.len >= 13); /* a time in ms */
        assert_true(raw_ws_send(&good, RAW_PONG, ping.data, ping.len));
    }
    assert_int_equal(frame.opcode, RAW_CLOSE);
    assert_true(pings >= 2);
    (void)expect_frame(&good, RAW_PING); /* still served */
    raw_ws_close(&good);
    raw_ws_close(&bad);
    stop(&sim);
}

static void test_a_line_ends_after_its_life(void **state)
{
    (void)state;
    const char *const arguments[] = { QUIET, "--line-life-s", "1", NULL };
    struct sim_process sim;
    struct raw_ws ws;
    start(&sim, arguments);
    open_line(&ws, &sim, "/ws");
    expect_close(&ws, 1001);
    raw_ws_close(&ws);
    stop(&sim);
}

static void test_the_market_begins_when_subscribed_or_quiet(void **state)
{
    (void)state;
    const char *const counted[] = { "--synthetic", "--symbols", "1",   "--start-subscriptions",
                                    "2",           "--speed",   "max", NULL };
    const char *const automatic[] = { "--synthetic", "--symbols", "1", "--rate", "100000", NULL };
    struct sim_process sim;
    struct raw_ws ws;
    struct raw_frame frame;
    start(&sim, counted);
    open_line(&ws, &sim, "/ws");
    ask(&ws, "{\"method\":\"SUBSCRIBE\",\"params\":[\"sym0001usdt@trade\"],\"id\":1}",
        "{\"result\":null,\"id\":1}");
    assert_int_equal(raw_ws_receive(&ws, 100, &frame), RAW_TIMEOUT);
    ask(&ws, "{\"method\":\"SUBSCRIBE\",\"params\":[\"sym0001usdt@bookTicker\"],\"id\":2}",
        "{\"result\":null,\"id\":2}");
    (void)expect_frame(&ws, RAW_TEXT);
    raw_ws_close(&ws);
    stop(&sim);
    start(&sim, automatic); /* one is subscribed, and then nothing for 2 s */
    const int64_t begin_ns = mlt_clock_mono_ns();
    open_line(&ws, &sim, "/ws/sym0001usdt@bookTicker");
    (void)expect_frame(&ws, RAW_TEXT);
    assert_true(mlt_clock_mono_ns() - begin_ns >= 2 * MLT_NS_PER_S);
    raw_ws_close(&ws);
    stop(&sim);
}

/* The market waits for its slowest line, but not for ever. */
static void test_a_line_that_takes_nothing_is_cut_and_the_others_go_on(void **state)
{
    (void)state;
    const char *const arguments[] = {
        "--synthetic",           "--symbols", "1", "--speed", "max", "--stall-limit-s", "5",
        "--start-subscriptions", "2",         NULL
    };
    struct sim_process sim;
    struct raw_ws reader, stuck;
    start(&sim, arguments);
    open_line(&reader, &sim, "/ws/sym0001usdt@bookTicker");
    open_line(&stuck, &sim, "/ws/sym0001usdt@trade/sym0001usdt@aggTrade/sym0001usdt@bookTicker");
    for (int i = 0; i < 200000; i++) { /* far more than all buffers of the other line hold */
        (void)expect_frame(&reader, RAW_TEXT);
    }
    cJSON *status = get_json(sim.port, "/sim/status", 200);
    assert_int_equal(number_of(status, "connections"), 1);
    cJSON_Delete(status);
    raw_ws_close(&reader);
    raw_ws_close(&stuck);
    stop(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pings_come_and_a_client_without_pongs_is_cut),
        cmocka_unit_test(test_a_line_ends_after_its_life),
        cmocka_unit_test(test_the_market_begins_when_subscribed_or_quiet),
        cmocka_unit_test(test_a_line_that_takes_nothing_is_cut_and_the_others_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
