#include "mlt_test.h"

#include "adapter_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"

static struct rig rig;
static const char *const none[] = { NULL };

static bool bbo_at_least(const struct rig_seen *seen, uint64_t value)
{
    return seen->by_type[MLT_EVENT_BBO] >= value;
}

static bool trades_at_least(const struct rig_seen *seen, uint64_t value)
{
    return seen->by_type[MLT_EVENT_TRADE] >= value;
}

static bool down_at_least(const struct rig_seen *seen, uint64_t value)
{
    return seen->sources_down >= value;
}

static bool up_at_least(const struct rig_seen *seen, uint64_t value)
{
    return seen->sources_up >= value;
}

static const struct rig_route streams[] = {
    { 1, "{symbol}@bookTicker", "", 0, 0 },
    { 2, "{symbol}@trade", "", 0, 0 },
    { 3, "{symbol}@depth@100ms", "", 0, 0 },
};

static int tear_down(void **state)
{
    (void)state;
    rig_stop(&rig);
    return 0;
}

static const char *const small[] = { "--synthetic",           "--symbols", "5", "--rate", "500",
                                     "--start-subscriptions", "1",         NULL };
static const char *const symbols[] = { "SYM0001-USDT", "SYM0002-USDT", "SYM0003-USDT",
                                       "SYM0004-USDT", "SYM0005-USDT" };

static void test_line_that_is_cut_comes_back(void **state)
{
    (void)state;
    const char *const exchange[] = {
        "--synthetic",           "--symbols", "3", "--rate", "500", "--line-life-s", "2",
        "--start-subscriptions", "1",         NULL
    };
    rig_start(&rig, exchange, none);
    rig_plan(&rig, 1, streams, 3, symbols, 3);
    rig_wait(&rig, down_at_least, 3, "SOURCE_DOWN of every instrument");
    rig_wait(&rig, up_at_least, 3, "SOURCE_UP of every instrument");
    const struct rig_seen seen = rig_seen(&rig);
    assert_string_equal(seen.source_reason, "closed");
    rig_wait(&rig, bbo_at_least, seen.by_type[MLT_EVENT_BBO] + 50, "data after it");
}

static void test_exchange_that_dies_and_returns_is_found_again(void **state)
{
    (void)state;
    const char *const adapter[] = { "--listing-interval-ms", "1000", NULL };
    rig_start(&rig, small, adapter);
    rig_plan(&rig, 1, streams, 3, symbols, 5);
    rig_wait(&rig, bbo_at_least, 50, "BBO");
    rig_restart_exchange(&rig, small);
    rig_wait(&rig, down_at_least, 5, "SOURCE_DOWN of every instrument");
    rig_wait(&rig, up_at_least, 5, "SOURCE_UP of every instrument");
    const struct rig_seen seen = rig_seen(&rig);
    assert_string_equal(seen.source_reason, "lost");
    rig_wait(&rig, bbo_at_least, seen.by_type[MLT_EVENT_BBO] + 50, "data after it");
    assert_int_equal(rig_end_adapter(&rig), 0);
}

static void test_planned_rollover_leaves_no_hole(void **state)
{
    (void)state;
    const char *const exchange[] = {
        "--synthetic",           "--symbols", "1", "--rate", "500", "--line-life-s", "30",
        "--start-subscriptions", "1",         NULL
    };
    const char *const adapter[] = { "--rollover-ms", "1500", "--spare-connection", "false", NULL };
    rig_start(&rig, exchange, adapter);
    rig_plan(&rig, 1, streams + 1, 1, symbols, 1);
    const int64_t until_ns = mlt_clock_mono_ns() + RIG_WAIT_NS;
    uint64_t rollovers = 0;
    while (rollovers < 2 && mlt_clock_mono_ns() < until_ns) {
        rig_wait(&rig, trades_at_least, rig_seen(&rig).by_type[MLT_EVENT_TRADE] + 50, "trades");
        rollovers = rig_metric(&rig, "meltica_adapter_line_rollovers_total", "");
    }
    assert_true(rollovers >= 2);
    const struct rig_seen seen = rig_seen(&rig);
    assert_int_equal(seen.sources_down, 0);
    assert_int_equal(seen.trade_holes, 0);
    assert_int_equal(seen.unparsed, 0);
}

static void test_shutdown_notice_moves_the_streams_without_a_hole(void **state)
{
    (void)state;
    rig_start(&rig, small, none);
    rig_plan(&rig, 1, streams + 1, 1, symbols, 1);
    rig_wait(&rig, trades_at_least, 20, "trades");
    struct mlt_buf body;
    int status = 0;
    mlt_buf_init(&body, 1u << 20);
    rig_get(rig.exchange.port, "/sim/shutdown-notice", &body, &status);
    assert_int_equal(status, 200);
    mlt_buf_fini(&body);
    const int64_t until_ns = mlt_clock_mono_ns() + RIG_WAIT_NS;
    uint64_t rollovers = 0;
    while (rollovers < 1 && mlt_clock_mono_ns() < until_ns) {
        rig_wait(&rig, trades_at_least, rig_seen(&rig).by_type[MLT_EVENT_TRADE] + 20, "trades");
        rollovers = rig_metric(&rig, "meltica_adapter_line_rollovers_total", "");
    }
    assert_int_equal(rollovers, 1);
    const struct rig_seen seen = rig_seen(&rig);
    assert_int_equal(seen.sources_down, 0);
    assert_int_equal(seen.trade_holes, 0);
    assert_true(rig_metric(&rig, "meltica_adapter_frames_total", "kind=\"shutdown\"") >= 1);
}

static void test_attempts_that_are_used_up_are_told_and_kept_to(void **state)
{
    (void)state;
    const char *const exchange[] = {
        "--synthetic",           "--symbols", "1", "--rate", "500", "--line-life-s", "1",
        "--start-subscriptions", "1",         NULL
    };
    /* One of sixteen: 15 of 240. */
    const char *const adapter[] = { "--egress",
                                    "office",
                                    "--egress-adapters",
                                    "16",
                                    "--weight-share",
                                    "90",
                                    "--reconnect-max-ms",
                                    "250",
                                    NULL };
    struct mlt_buf body;
    int status = 0;
    long opened = 0;
    rig_start(&rig, exchange, adapter);
    rig_plan(&rig, 1, streams + 1, 1, symbols, 1);
    rig_await_words(&rig.adapter, "line_attempts_used_up");
    while (rig_metric(&rig, "meltica_adapter_line_attempts_held_total", "") == 0) {
        rig_await_status(&rig);
    }
    assert_int_equal(rig_metric(&rig, "meltica_adapter_line_attempts_total", ""), 15);
    assert_int_equal(rig_metric(&rig, "meltica_adapter_line_attempts_left", ""), 0);
    /* By the exchange, too, which counts a connection when it has answered it. */
    while (opened < 15) {
        mlt_buf_init(&body, 1u << 20);
        rig_get(rig.exchange.port, "/sim/status", &body, &status);
        assert_int_equal(status, 200);
        assert_int_equal(mlt_buf_append_byte(&body, 0), MLT_OK);
        const char *at = strstr((const char *)body.data, "\"connections_opened\":");
        assert_non_null(at);
        opened = strtol(strchr(at, ':') + 1, NULL, 10);
        mlt_buf_fini(&body);
    }
    assert_int_equal(opened, 15);
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_line_that_is_cut_comes_back),
        TEST(test_exchange_that_dies_and_returns_is_found_again),
        TEST(test_planned_rollover_leaves_no_hole),
        TEST(test_shutdown_notice_moves_the_streams_without_a_hole),
        TEST(test_attempts_that_are_used_up_are_told_and_kept_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
