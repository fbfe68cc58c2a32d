#include "mlt_test.h"

#include "adapter_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"

/* A sanitizer's own memory is not the Adapter's. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

static struct rig rig;
static const char *const none[] = { NULL };

static bool main_recording_here(const struct rig_seen *seen, uint64_t value)
{
    (void)value;
    return seen->by_type[MLT_EVENT_BBO] >= 73174 && seen->by_type[MLT_EVENT_TRADE] >= 19904 &&
           seen->by_type[MLT_EVENT_BOOK_DELTA] >= 6495;
}

static bool snapshots_at_least(const struct rig_seen *seen, uint64_t value)
{
    return seen->snapshots_scheduled >= value;
}

static bool trades_at_least(const struct rig_seen *seen, uint64_t value)
{
    return seen->by_type[MLT_EVENT_TRADE] >= value;
}

static const struct rig_route streams[] = {
    { 1, "{symbol}@bookTicker", "", 0, 0 },
    { 2, "{symbol}@trade", "", 0, 0 },
    { 3, "{symbol}@depth@100ms", "", 0, 0 },
};

static uint64_t resident_bytes(pid_t pid)
{
    char path[64];
    unsigned long long size = 0, pages = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *from = fopen(path, "r");
    if (from == NULL) {
        fail_msg("%s", path);
        return 0;
    }
    assert_int_equal(fscanf(from, "%llu %llu", &size, &pages), 2);
    (void)fclose(from);
    return pages * 4096;
}

/* User and system time so far, in clock ticks of 10 ms. */
static unsigned long long cpu_ticks(pid_t pid)
{
    char path[64], text[1024];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *from = fopen(path, "r");
    if (from == NULL) {
        fail_msg("%s", path);
        return 0;
    }
    const size_t len = fread(text, 1, sizeof text - 1, from);
    (void)fclose(from);
    text[len] = '\0';
    const char *at = strrchr(text, ')');
    unsigned long long user = 0, system = 0;
    assert_non_null(at);
    assert_int_equal(
        sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system), 2);
    return user + system;
}

static int tear_down(void **state)
{
    (void)state;
    rig_stop(&rig);
    return 0;
}

static void test_main_recording_arrives_whole_and_in_order(void **state)
{
    (void)state;
    const char *captures = getenv("MELTICA_CAPTURES");
    static char first[512], second[512];
    (void)snprintf(first, sizeof first, "%s/btcusdt_20240808.gz", captures != NULL ? captures : "");
    (void)snprintf(second, sizeof second, "%s/btcusdt_20240809.gz",
                   captures != NULL ? captures : "");
    FILE *there = fopen(first, "r");
    if (there == NULL) {
        print_message("skipped: the recording is not there\n");
        memset(&rig, 0, sizeof rig);
        skip();
    } else {
        (void)fclose(there);
    }
    const char *const exchange[] = { "--replay", first, second, "--speed", "max", NULL };
    const char *const instruments[] = { "BTC-USDT" };
    /* All of it, were this receiver as slow as a busy machine can make it. */
    const char *const adapter[] = { "--ring-bytes", "134217728", NULL };
    rig_start(&rig, exchange, adapter);
    rig_plan(&rig, 1, streams, 3, instruments, 1);
    rig_wait(&rig, main_recording_here, 0, "the whole recording");
    const struct rig_seen seen = rig_seen(&rig);
    assert_int_equal(seen.by_type[MLT_EVENT_BBO], 73174);
    assert_int_equal(seen.by_type[MLT_EVENT_TRADE], 19904);
    assert_int_equal(seen.by_type[MLT_EVENT_BOOK_DELTA], 6495);
    assert_int_equal(seen.order_faults, 0);
    assert_int_equal(seen.unparsed, 0);
    assert_int_equal(seen.malformed, 0);
    assert_int_equal(seen.missing, 0);
    assert_int_equal(seen.last_trade, INT64_C(3735703162));
    assert_int_equal(seen.last_delta, INT64_C(50093696318));
    assert_true(seen.lost_before <= RIG_PARTITIONS); /* the mark of a new process, nothing else */
    assert_int_equal(rig_metric(&rig, "meltica_adapter_frames_total", "kind=\"data\""), 99573);
    assert_int_equal(rig_metric(&rig, "meltica_adapter_instances_total", "type=\"TRADE\""), 19904);
    print_message("resident after the recording: %llu KiB, CPU: %llu ms\n",
                  (unsigned long long)(resident_bytes(rig.adapter.pid) / 1024),
                  10 * cpu_ticks(rig.adapter.pid));
    assert_int_equal(rig_end_adapter(&rig), 0);
}

static const char *const symbols[] = { "SYM0001-USDT", "SYM0002-USDT", "SYM0003-USDT",
                                       "SYM0004-USDT", "SYM0005-USDT" };

/* ---- a Dispatcher that does not keep up ---- */

#define STALL_NS (600 * MLT_NS_PER_MS) /* two seconds would be "dead" */

static void test_reading_stops_for_a_slow_dispatcher_and_nothing_is_lost(void **state)
{
    (void)state;
    const char *const exchange[] = { "--synthetic",           "--symbols", "1", "--rate", "20000",
                                     "--start-subscriptions", "1",         NULL };
    const char *const adapter[] = { "--ring-bytes", "1048576", NULL };
    rig_start(&rig, exchange, adapter);
    rig_plan(&rig, 1, streams + 1, 1, symbols, 1);
    rig_wait(&rig, trades_at_least, 100, "trades");
    uint64_t holds = 0;
    for (unsigned i = 0; i < 10 && holds == 0; i++) { /* a slow exchange may not fill the ring */
        (void)pthread_mutex_lock(&rig.lock);
        rig.stall_until_ns = mlt_clock_mono_ns() + STALL_NS;
        const uint64_t before = rig.seen.by_type[MLT_EVENT_TRADE];
        (void)pthread_mutex_unlock(&rig.lock);
        rig_wait(&rig, trades_at_least, before + 10000, "trades after the stall");
        holds = rig_metric(&rig, "meltica_adapter_holds_total", "");
    }
    assert_true(holds >= 1);
    const struct rig_seen seen = rig_seen(&rig);
    assert_int_equal(seen.trade_holes, 0);
    assert_int_equal(rig_metric(&rig, "meltica_hop_overrun_batches_total", ""), 0);
}

/* ---- hostile frames ---- */

#define MUTATED "20000"

static bool mutated_all_counted(const struct rig_seen *seen, uint64_t value)
{
    uint64_t events = seen->unparsed;
    for (int i = 1; i < MLT_EVENT_TYPE_COUNT; i++) {
        events += i != MLT_EVENT_INSTRUMENT && i != MLT_EVENT_STATUS ? seen->by_type[i] : 0;
    }
    return events >= value;
}

static void test_every_damaged_frame_is_an_event_or_a_refusal(void **state)
{
    (void)state;
    const char *const exchange[] = {
        "--synthetic", "--symbols", "3", "--rate",         "1000",  "--speed",
        "max",         "--mutate",  "7", "--mutate-count", MUTATED, "--start-subscriptions",
        "9",           NULL
    };
    rig_start(&rig, exchange, none);
    rig_plan(&rig, 1, streams, 3, symbols, 3);
    rig_wait(&rig, mutated_all_counted, 20000, "every damaged frame");
    const struct rig_seen seen = rig_seen(&rig);
    assert_true(mutated_all_counted(&seen, 20000));
    assert_false(mutated_all_counted(&seen, 20001));
    assert_true(seen.unparsed > 1000);
    assert_int_equal(seen.malformed, 0);
    assert_int_equal(rig_metric(&rig, "meltica_adapter_line_ended_total", ""), 0);
    print_message("resident after %s damaged frames: %llu KiB\n", MUTATED,
                  (unsigned long long)(resident_bytes(rig.adapter.pid) / 1024));
    assert_int_equal(rig_end_adapter(&rig), 0);
}

/* ---- many instruments ---- */

#define MANY 500u

static bool many_are_live(const struct rig_seen *seen, uint64_t value)
{
    return seen->by_type[MLT_EVENT_BBO] >= value && seen->by_type[MLT_EVENT_INSTRUMENT] >= MANY;
}

static void test_five_hundred_instruments_fit_in_memory(void **state)
{
    (void)state;
    static char names[MANY][24];
    static const char *pointers[MANY];
    const char *const exchange[] = { "--synthetic", "--symbols", "500", "--rate", "2000", NULL };
    const struct rig_route routes[] = {
        { 1, "{symbol}@bookTicker", "", 0, 0 },  { 2, "{symbol}@trade", "", 0, 0 },
        { 3, "{symbol}@depth@100ms", "", 0, 0 }, { 4, "{symbol}@ticker", "", 0, 0 },
        { 6, "", "depth", 60000, 100 },
    };
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof names[i], "SYM%04u-USDT", i + 1);
        pointers[i] = names[i];
    }
    rig_start(&rig, exchange, none);
    rig_plan(&rig, 1, routes, 5, pointers, MANY);
    rig_wait(&rig, many_are_live, 2000, "BBO of many");
    rig_wait(&rig, snapshots_at_least, 300, "the first snapshots");
    Meltica__V1__NativePlan stale;
    meltica__v1__native_plan__init(&stale);
    stale.boot = 77;
    Meltica__V1__PlanStatus *status = rig_plan_part(&rig, &stale);
    const int64_t until_ns = mlt_clock_mono_ns() + RIG_WAIT_NS;
    while (status->topics_live < 4 * MANY && mlt_clock_mono_ns() < until_ns) {
        meltica__v1__plan_status__free_unpacked(status, NULL);
        rig_await_status(&rig); /* one comes each second */
        status = rig_plan_part(&rig, &stale);
    }
    assert_int_equal(status->topics_live, 4 * MANY);
    assert_int_equal(status->topics_pending + status->topics_failed, 0);
    assert_int_equal(status->connections, 4); /* three of 921 and the spare one */
    meltica__v1__plan_status__free_unpacked(status, NULL);
    const struct rig_seen seen = rig_seen(&rig);
    assert_int_equal(seen.sources_down, 0);
    assert_int_equal(seen.unparsed, 0);
    const uint64_t resident = resident_bytes(rig.adapter.pid);
    print_message("resident with 500 instruments: %llu KiB\n",
                  (unsigned long long)(resident / 1024));
    assert_true(SANITIZED || resident < 32u << 20);
    assert_int_equal(rig_end_adapter(&rig), 0);
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_main_recording_arrives_whole_and_in_order),
        TEST(test_reading_stops_for_a_slow_dispatcher_and_nothing_is_lost),
        TEST(test_every_damaged_frame_is_an_event_or_a_refusal),
        TEST(test_five_hundred_instruments_fit_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
