/* Replay through the filter, and to more than one line. */
#include "sim_test.h"

#define MAIN_STREAMS "btcusdt@depth@100ms/btcusdt@bookTicker/btcusdt@trade"

#define MAIN_FILES capture("btcusdt_20240808.gz"), capture("btcusdt_20240809.gz")

static void test_mutated_frames_are_counted_and_end_at_the_count(void **state)
{
    (void)state;
    const char *const arguments[] = { "--replay", MAIN_FILES,       "--speed", "max", "--mutate",
                                      "7",        "--mutate-count", "120000",  NULL };
    struct sim_process sim;
    struct raw_ws ws;
    struct raw_frame frame;
    uint64_t sum[2] = { 0, 0 };
    unsigned huge[2] = { 0, 0 };
    for (int run = 0; run < 2; run++) {
        start(&sim, arguments);
        open_line(&ws, &sim, "/stream?streams=" MAIN_STREAMS);
        for (int i = 0; i < 120000; i++) {
            frame = expect_frame(&ws, RAW_TEXT);
            for (size_t b = 0; b < frame.len; b += 1 + frame.len / 64) {
                sum[run] = sum[run] * 31 + frame.data[b];
            }
            huge[run] += frame.len == (size_t)10 << 20 ? 1 : 0;
        }
        cJSON *status = get_json(sim.port, "/sim/status", 200);
        assert_int_equal(number_of(status, "frames_mutated"), 120000);
        assert_int_equal(number_of(status, "frames_sent"), 120000);
        assert_int_equal(number_of(status, "passes"), 1);
        assert_true(cJSON_IsTrue(member(status, "finished")));
        cJSON_Delete(status);
        /* nothing follows the last one */
        assert_int_equal(raw_ws_receive(&ws, 50, &frame), RAW_TIMEOUT);
        raw_ws_close(&ws);
        stop(&sim);
    }
    assert_true(huge[0] >= 1 && huge[0] < 30);
    assert_int_equal(huge[0], huge[1]);
    assert_true(sum[0] == sum[1]);
}

static void test_two_lines_share_the_market_and_each_has_its_order(void **state)
{
    (void)state;
    const char *const arguments[] = { "--replay", MAIN_FILES, "--speed", "max", NULL };
    struct sim_process sim;
    struct raw_ws a, b;
    int64_t last_u = 0, last_t = 0;
    start(&sim, arguments);
    open_line(&a, &sim, "/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker");
    open_line(&b, &sim, "/ws/btcusdt@trade");
    for (int i = 0; i < 19904; i++) { /* in turn, so that neither holds up the other */
        const struct raw_frame trade = expect_frame(&b, RAW_TEXT);
        const uint8_t *t = memmem(trade.data, trade.len, "\"t\":", 4);
        const int64_t id = strtoll((const char *)t + 4, NULL, 10);
        assert_true(last_t == 0 || id == last_t + 1);
        last_t = id;
        for (int k = 0; k < 4 && i * 4 + k < 79669; k++) {
            const struct raw_frame frame = expect_frame(&a, RAW_TEXT);
            if (memmem(frame.data, frame.len, "@bookTicker", 11) != NULL) {
                const uint8_t *u = memmem(frame.data, frame.len, "\"u\":", 4);
                const int64_t update = strtoll((const char *)u + 4, NULL, 10);
                assert_true(update > last_u);
                last_u = update;
            }
        }
    }
    assert_int_equal(last_t, 3735703162);
    raw_ws_close(&a);
    raw_ws_close(&b);
    stop(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mutated_frames_are_counted_and_end_at_the_count),
        cmocka_unit_test(test_two_lines_share_the_market_and_each_has_its_order),
    };
    return captures_present() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
