/*
 * Two Adapters, of which one stands by for the other, and a recording whose every event is known.
 * The one that speaks is killed with -9, comes back and has its own back from the other one, and is
 * told to end: the hash over every channel in order is the one that a single process computes
 * without any network, and consumers are told nothing.
 */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "golden.h"
#include "hot_rig.h"
#include "meltica/base/clock.h"

#define STREAMS 3u
/* Some seconds of 12 times the traffic. */
#define RING_BYTES "67108864"
#define SPEED "12"

static const char table[] =
    "{\"version\":1,\"routes\":["
    "{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"},"
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100}},"
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":3600000}}],"
    "\"subscriptions\":["
    "{\"id\":\"books\",\"type\":\"BOOK\",\"instruments\":[\"*\"]},"
    "{\"id\":\"bbo\",\"type\":\"BBO\",\"instruments\":[\"*\"]},"
    "{\"id\":\"trade\",\"type\":\"TRADE\",\"instruments\":[\"*\"]}]}";

static struct mlt_stack stack;
static struct mlt_consumer consumer;
static struct hot_rig rig = { &stack, &consumer };
static const char *paths[2];
static char table_path[64];

static void await_more(uint64_t events)
{
    const uint64_t count = mlt_consumer_count(&consumer, MLT_EVENT_BBO) + events;
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BBO, count, 60));
}

/* Each stream is on a line of either. */
static bool both_have_all(void *ctx)
{
    struct mlt_buf body;
    (void)ctx;
    mlt_buf_init(&body, 1u << 20);
    mlt_stack_get(&stack, "exchange", "/sim/status", &body);
    cJSON *status = cJSON_ParseWithLength((const char *)body.data, body.len);
    mlt_buf_fini(&body);
    unsigned full = 0;
    const cJSON *one;
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(status, "streams"))
    {
        const cJSON *lines = cJSON_GetObjectItemCaseSensitive(one, "lines");
        full += cJSON_IsNumber(lines) && lines->valuedouble == 2;
    }
    cJSON_Delete(status);
    return full == STREAMS;
}

static void start(void)
{
    const struct mlt_stack_options options = {
        .exchange = { "--replay", paths[0], paths[1], "--speed", SPEED, "--start-subscriptions",
                      "1000" },
        .adapter = { HOT_FIRST, "--ring-bytes", RING_BYTES },
        .second_adapter = { HOT_SECOND, "--ring-bytes", RING_BYTES },
        .conductor = { GOLDEN_CONDUCTOR },
        .table = table_path,
    };
    hot_make_table(table_path, table);
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
    assert_true(mlt_consumer_wait(&consumer, both_have_all, NULL, 30));
    hot_tell_exchange(&rig, "/sim/start");
}

/* Of two, the one that speaks for the instrument's partition as long as both are well. */
static const char *home_of_recording(void)
{
    const uint32_t slot = mlt_instrument_slot(MLT_SLICE_LITERAL("BTC-USDT"));
    return slot % HOT_PARTITIONS % 2 == 0 ? "adapter" : "adapter-2";
}

/* What it took over so far. */
struct taken {
    uint64_t covered, told;
};

static struct taken taken_by(const char *adapter)
{
    return (struct taken){ hot_taken(&rig, adapter, true), hot_taken(&rig, adapter, false) };
}

static void assert_covered(const char *by, const struct taken *before)
{
    hot_await_speaks_for_all(&rig, by);
    const struct taken now = taken_by(by);
    assert_true(now.covered > before->covered);
    assert_int_equal(now.told, before->told);
}

static void test_every_event_comes_whoever_brings_it(void **state)
{
    (void)state;
    static const enum mlt_status_kind loud[] = { MLT_STATUS_LOST,    MLT_STATUS_SOURCE_DOWN,
                                                 MLT_STATUS_GAP,     MLT_STATUS_STALE,
                                                 MLT_STATUS_MISSING, MLT_STATUS_UNFILLABLE };
    start();
    const char *first = home_of_recording(), *second = hot_other(first);
    await_more(1000);
    hot_await_home(&rig); /* where one of them began late, the other one has all */
    hot_await_warm(&rig);
    struct taken before = taken_by(second);
    mlt_stack_kill(&stack, first);
    await_more(2000);
    assert_covered(second, &before);
    mlt_stack_run(&stack, first);
    hot_await_home(&rig); /* it has what is its own from one that lives */
    assert_int_equal(taken_by(first).told, 0);
    assert_int_equal(taken_by(first).covered, HOT_PARTITIONS / 2);
    await_more(1000);
    hot_await_warm(&rig);
    before = taken_by(second);
    assert_int_equal(mlt_stack_terminate(&stack, first), 0);
    await_more(1000);
    assert_covered(second, &before);
    golden_assert_whole(&consumer, paths);
    for (size_t i = 0; i < sizeof loud / sizeof loud[0]; i++) {
        if (mlt_consumer_status_count(&consumer, loud[i]) != 0) {
            fail_msg("consumers were told %s", mlt_status_kind_word((int)loud[i]));
        }
    }
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
    (void)unlink(table_path);
}

int main(void)
{
    if (!golden_main_recording(paths)) {
        print_message("skipped: the recordings are absent (MELTICA_CAPTURES)\n");
        return 77;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(
        test_every_event_comes_whoever_brings_it) };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
