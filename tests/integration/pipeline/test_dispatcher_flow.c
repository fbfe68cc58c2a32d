/* The Dispatcher as a process: what goes in at its native hop, what comes out, and what it tells.
 */
#include "dispatcher_rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"

#define ROUTES                                                                                     \
    "{\"version\":1,\"routes\":[{\"type\":\"TICKER\",\"ws\":\"{symbol}@ticker\"},"                 \
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"enrich\":[\"notional\"]},"                    \
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}],"   \
    "\"subscriptions\":["
#define TRADES_OF(instruments) "{\"id\":\"t\",\"type\":\"TRADE\",\"instruments\":[" instruments "]}"
#define TICKERS_OF(instruments)                                                                    \
    "{\"id\":\"k\",\"type\":\"TICKER\",\"instruments\":[" instruments "]}"

static struct rig rig;

static struct mlt_event last_event(struct mlt_arena *arena)
{
    struct mlt_event event;
    assert_int_equal(mlt_event_decode(mlt_slice_of(rig.last_bytes, rig.last_len), arena, &event),
                     MLT_OK);
    return event;
}

static void test_ticker_goes_through_with_its_envelope(void **state)
{
    (void)state;
    rig_start(&rig, false, ROUTES TICKERS_OF("\"BTC-USDT\"") "]}");
    rig_run_dispatcher(&rig);
    const struct mlt_native_event native = rig_instance(MLT_EVENT_TICKER, "BTC-USDT", 77);
    rig_send(&rig, &native);
    assert_true(rig_wait_events(&rig, 1));
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 1u << 20);
    const struct mlt_event event = last_event(&arena);
    assert_true(mlt_slice_equal_string(event.instrument, "BTC-USDT"));
    assert_int_equal(event.type, MLT_EVENT_TICKER);
    assert_int_equal(event.route, 1);
    assert_true(mlt_slice_equal_string(event.exchange, "binance"));
    assert_true(event.first == 77 && event.last == 77);
    assert_true(event.key == mlt_event_key(event.instrument, MLT_EVENT_TICKER, 77, 77, 0));
    assert_memory_equal(event.trace_id, "0123456789abcdef", 16);
    assert_true(event.stamps.received == native.received && event.stamps.adapted == native.adapted);
    assert_true(event.stamps.dispatched >= native.received);
    assert_true(event.epoch == 0 && event.sequence == 0);
    /* The revision is the wall clock's milliseconds at start. */
    const uint64_t now_ms = (uint64_t)(mlt_clock_wall_ns() / MLT_NS_PER_MS);
    assert_true(event.route_revision > now_ms - 60000 && event.route_revision <= now_ms);
    assert_int_equal(event.u.ticker.last_price.mantissa, 6160201);
    mlt_arena_fini(&arena);

    /* SIGTERM drains: what came just before is still handed on. */
    for (int i = 0; i < 500; i++) {
        const struct mlt_native_event more = rig_instance(MLT_EVENT_TICKER, "BTC-USDT", 100 + i);
        rig_send(&rig, &more);
    }
    assert_true(rig_wait_events(&rig, 2));
    assert_int_equal(process_end(&rig.dispatcher, SIGTERM), 0);
    rig_end(&rig);
}

struct rejected {
    const char *subject;
};

static bool has_rejection(struct rig *r, const void *ctx)
{
    const struct rejected *wanted = ctx;
    for (size_t i = 0; i < r->rejection_count; i++) {
        if (strcmp(r->rejection_log[i].subject, wanted->subject) == 0) {
            return true;
        }
    }
    return false;
}

static void wait_stream(void)
{
    /* The stream is provisioned by a thread of its own: ask until the server has it. */
    const int64_t deadline = mlt_clock_mono_ns() + RIG_WAIT_NS;
    struct mlt_buf answer;
    struct mlt_error err = MLT_ERROR_INIT;
    mlt_buf_init(&answer, 1u << 20);
    bool there = false;
    while (!there && mlt_clock_mono_ns() < deadline) {
        mlt_buf_clear(&answer);
        const enum mlt_status status =
            mlt_bus_request(rig.control, "$JS.API.STREAM.INFO.MELTICA_REJECTED", MLT_SLICE_EMPTY,
                            MLT_NS_PER_S, &answer, &err);
        assert_int_equal(mlt_buf_append_byte(&answer, 0), MLT_OK);
        there = status == MLT_OK && strstr((const char *)answer.data, "\"error\"") == NULL;
    }
    assert_true(there);
    assert_non_null(strstr((const char *)answer.data, "meltica.int.rejected."));
    mlt_buf_fini(&answer);
}

static uint64_t stream_messages(void)
{
    struct mlt_buf answer;
    struct mlt_error err = MLT_ERROR_INIT;
    mlt_buf_init(&answer, 1u << 20);
    assert_int_equal(mlt_bus_request(rig.control, "$JS.API.STREAM.INFO.MELTICA_REJECTED",
                                     MLT_SLICE_EMPTY, RIG_WAIT_NS, &answer, &err),
                     MLT_OK);
    assert_int_equal(mlt_buf_append_byte(&answer, 0), MLT_OK);
    const char *at = strstr((const char *)answer.data, "\"messages\":");
    const uint64_t count = at != NULL ? strtoull(at + strlen("\"messages\":"), NULL, 10) : 0;
    mlt_buf_fini(&answer);
    return count;
}

static void test_unmapped_and_unparsed_are_seen_and_other_flows_are_not_touched(void **state)
{
    (void)state;
    rig_start(&rig, true, ROUTES TRADES_OF("\"BTC-USDT\"") "]}");
    rig_run_dispatcher(&rig);
    wait_stream();
    struct mlt_native_event unparsed = rig_instance(MLT_NATIVE_UNPARSED, "BTC-USDT", 0);
    unparsed.u.unparsed.reason = MLT_SLICE_LITERAL("out_of_range");
    unparsed.u.unparsed.topic = MLT_SLICE_LITERAL("btcusdt@trade");
    unparsed.u.unparsed.original = MLT_SLICE_LITERAL("{\"p\":\"1e999\"}");
    unparsed.u.unparsed.original_bytes = 13;
    struct mlt_native_event unmapped = rig_instance(MLT_EVENT_KLINE, "BTC-USDT", 1);
    unmapped.u.kline.interval = MLT_SLICE_LITERAL("1m");
    for (int i = 1; i <= 30; i++) {
        const struct mlt_native_event trade = rig_instance(MLT_EVENT_TRADE, "BTC-USDT", i);
        rig_send(&rig, &trade);
        if (i == 10) {
            rig_send(&rig, &unparsed);
        } else if (i == 20) {
            rig_send(&rig, &unmapped);
        }
    }
    static const struct rejected first = { "meltica.int.rejected.adapter.out_of_range" };
    static const struct rejected second = { "meltica.int.rejected.dispatcher.unmapped" };
    assert_true(rig_wait(&rig, has_rejection, &first));
    assert_true(rig_wait(&rig, has_rejection, &second));
    assert_true(rig_wait_events(&rig, 31));
    assert_int_equal(rig.event_count, 31);
    for (size_t i = 0; i < 31; i++) {
        if (i == 10) { /* in the place of the one that was refused */
            assert_int_equal(rig.events[i].type, MLT_EVENT_STATUS);
        } else {
            assert_int_equal(rig.events[i].type, MLT_EVENT_TRADE);
            assert_int_equal(rig.events[i].first, i < 10 ? i + 1 : i);
        }
    }
    const Meltica__V1__Rejection *r = rig.rejection_log[0].message;
    assert_string_equal(r->reason, "out_of_range");
    assert_string_equal(r->topic, "btcusdt@trade");
    assert_memory_equal(r->original.data, "{\"p\":\"1e999\"}", 13);
    assert_int_equal(
        rig_metric(&rig, "meltica_rejected_total{stage=\"adapter\",reason=\"out_of_range\"}"), 1);
    assert_int_equal(
        rig_metric(&rig, "meltica_rejected_total{stage=\"dispatcher\",reason=\"unmapped\"}"), 1);
    assert_int_equal(rig_metric(&rig, "meltica_dispatcher_out_total"), 30);
    assert_int_equal(rig_metric(&rig, "meltica_dispatcher_in_total"), 32);
    assert_int_equal(rig_metric(&rig, "meltica_dispatcher_losses_told_total"), 1);
    assert_true(rig_metric(&rig, "meltica_hop_received_batches_total{hop=\"native\"}") > 0);
    const int64_t until_ns = mlt_clock_mono_ns() + RIG_WAIT_NS;
    while (stream_messages() < 2 && mlt_clock_mono_ns() < until_ns) {
        /* who listens may have one before the stream does */
    }
    assert_int_equal(stream_messages(), 2);
    assert_int_equal(process_end(&rig.dispatcher, SIGTERM), 0);
    rig_end(&rig);
}

/* ---- plan ---- */

struct wanted_plan {
    size_t from;       /* plans of the log before it are old */
    const char *token; /* TRADE route names it; NULL: not looked at */
    int expanding;     /* -1: not looked at */
};

static bool names(const Meltica__V1__NativePlan *plan, const char *token)
{
    for (size_t i = 0; i < plan->n_routes; i++) {
        for (size_t k = 0; k < plan->routes[i]->n_instruments; k++) {
            if (strcmp(plan->routes[i]->instruments[k], token) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Every partition has a plan of one revision, and the token is where it belongs. */
static bool has_plan(struct rig *r, const void *ctx)
{
    const struct wanted_plan *wanted = ctx;
    for (size_t i = wanted->from; i < r->plan_count; i++) {
        uint32_t partitions = 0;
        bool named = wanted->token == NULL, expanding = wanted->expanding < 0;
        for (size_t k = i; k < r->plan_count; k++) {
            const Meltica__V1__NativePlan *plan = r->plan_log[k];
            if (plan->revision == r->plan_log[i]->revision && plan->boot == r->plan_log[i]->boot) {
                partitions |= 1u << plan->partition;
                named = named || names(plan, wanted->token);
                expanding = expanding || plan->expanding == wanted->expanding;
            }
        }
        if (partitions == (1u << RIG_PARTITIONS) - 1 && named && expanding) {
            return true;
        }
    }
    return false;
}

/* The listing has no instruments and is in every part. */
static bool has_listing(const Meltica__V1__NativePlan *plan)
{
    for (size_t i = 0; i < plan->n_routes; i++) {
        if (strcmp(plan->routes[i]->rest_function, "exchangeInfo") == 0) {
            return plan->routes[i]->n_instruments == 0;
        }
    }
    return false;
}

static void refuse_plans(bool refuse)
{
    (void)pthread_mutex_lock(&rig.lock);
    rig.refuse_plans = refuse;
    (void)pthread_mutex_unlock(&rig.lock);
}

static bool has_plans(struct rig *r, const void *ctx)
{
    const size_t *count = ctx;
    return r->plan_count >= *count;
}

static size_t plan_count(void)
{
    (void)pthread_mutex_lock(&rig.lock);
    const size_t count = rig.plan_count;
    (void)pthread_mutex_unlock(&rig.lock);
    return count;
}

static void test_plan_comes_is_repeated_until_taken_and_goes_to_each_new_adapter(void **state)
{
    (void)state;
    rig_start(&rig, true, ROUTES TRADES_OF("\"BTC-USDT\",\"ETH-USDT\"") "]}");
    refuse_plans(true);
    rig_run_dispatcher(&rig);
    /* Refused: the first part comes again, and no other before it is taken. */
    static const size_t two = 2;
    struct wanted_plan wanted = { 0, "BTC-USDT", 0 };
    assert_true(rig_wait(&rig, has_plans, &two));
    (void)pthread_mutex_lock(&rig.lock);
    assert_int_equal(rig.plan_log[0]->partition, 0);
    assert_int_equal(rig.plan_log[1]->partition, 0);
    (void)pthread_mutex_unlock(&rig.lock);
    refuse_plans(false);
    assert_true(rig_wait(&rig, has_plan, &wanted));
    (void)pthread_mutex_lock(&rig.lock);
    const uint64_t revision = rig.plan_log[0]->revision;
    uint32_t listings = 0;
    for (size_t k = 0; k < rig.plan_count; k++) {
        const Meltica__V1__NativePlan *plan = rig.plan_log[k];
        assert_true(plan->revision == revision);
        listings |= has_listing(plan) ? 1u << plan->partition : 0;
    }
    (void)pthread_mutex_unlock(&rig.lock);
    assert_int_equal(listings, (1u << RIG_PARTITIONS) - 1);
    /* An Adapter with another boot has nothing: it gets the plan again. */
    wanted.from = plan_count();
    rig_say_status(&rig, rig.adapter_boot + 1, 0);
    assert_true(rig_wait(&rig, has_plan, &wanted));
    /* One that has the revision gets none: the next status of a third boot is what brings one. */
    rig_say_status(&rig, rig.adapter_boot + 1, revision);
    wanted.from = plan_count();
    rig_say_status(&rig, rig.adapter_boot + 2, 0);
    assert_true(rig_wait(&rig, has_plan, &wanted));
    assert_int_equal(process_end(&rig.dispatcher, SIGTERM), 0);
    rig_end(&rig);
}

static void test_patterns_end_nothing_before_the_listing_and_are_expanded_after_it(void **state)
{
    (void)state;
    rig_start(&rig, true, ROUTES TRADES_OF("\"*-USDT\"") "]}");
    rig_run_dispatcher(&rig);
    struct wanted_plan wanted = { 0, NULL, 1 };
    assert_true(rig_wait(&rig, has_plan, &wanted));
    /* An instance that comes before the listing is routed already. */
    const struct mlt_native_event early = rig_instance(MLT_EVENT_TRADE, "SOL-USDT", 1);
    rig_send(&rig, &early);
    assert_true(rig_wait_events(&rig, 1));
    static const char *const listed[] = { "BTC-USDT", "ETH-USDT", "SOL-USDT", "BTC-EUR" };
    for (size_t i = 0; i < 4; i++) {
        const struct mlt_native_event n = rig_instance(MLT_EVENT_INSTRUMENT, listed[i], 1);
        rig_send(&rig, &n);
    }
    for (size_t i = 0; i < 3; i++) {
        wanted = (struct wanted_plan){ 0, listed[i], 0 };
        assert_true(rig_wait(&rig, has_plan, &wanted));
    }
    assert_true(rig_wait_events(&rig, 4)); /* three listings besides */
    (void)pthread_mutex_lock(&rig.lock);
    for (size_t i = 0; i < rig.plan_count; i++) {
        assert_false(names(rig.plan_log[i], "BTC-EUR"));
        assert_true(i == 0 || rig.plan_log[i]->revision >= rig.plan_log[i - 1]->revision);
    }
    (void)pthread_mutex_unlock(&rig.lock);
    assert_int_equal(rig_metric(&rig, "meltica_dispatcher_instruments{state=\"listed\"}"), 4);
    assert_int_equal(process_end(&rig.dispatcher, SIGTERM), 0);
    rig_end(&rig);
}

/* ---- kill ---- */

#define LOAD_COUNT 150000
#define KILLS 3

static const char *const load_tokens[] = { "BTC-USDT", "ETH-USDT", "SOL-USDT" };

struct progress {
    int64_t id;
};

/* That id or a later one is among the last that came. */
static bool has_reached(struct rig *r, const void *ctx)
{
    const struct progress *wanted = ctx;
    for (size_t i = r->event_count; i > 0 && r->event_count - i < 4096; i--) {
        if (r->events[i - 1].first >= wanted->id) {
            return true;
        }
    }
    return false;
}

static bool has_id(struct rig *r, const void *ctx)
{
    const struct progress *wanted = ctx;
    for (size_t i = r->event_count; i > 0; i--) {
        if (r->events[i - 1].first == wanted->id) {
            return true;
        }
    }
    return false;
}

/* Sends without a pause, but never more than the hop can keep: a real Adapter stops reading then.
 */
static void *send_load(void *argument)
{
    (void)argument;
    for (int i = 1; i <= LOAD_COUNT; i++) {
        const struct mlt_native_event n = rig_instance(MLT_EVENT_TRADE, load_tokens[i % 3], i);
        while (mlt_hop_congested(rig.natives)) {
            (void)mlt_hop_wait_room(rig.natives, RIG_WAIT_NS);
        }
        rig_send(&rig, &n);
    }
    return NULL;
}

static void test_killed_under_load_loses_nothing(void **state)
{
    (void)state;
    pthread_t producer;
    rig_start(&rig, false, ROUTES TRADES_OF("\"*\"") "]}");
    rig_run_dispatcher(&rig);
    assert_int_equal(pthread_create(&producer, NULL, send_load, NULL), 0);
    for (int kill_count = 1; kill_count <= KILLS; kill_count++) {
        const struct progress some = { (int64_t)kill_count * LOAD_COUNT / (KILLS + 1) };
        assert_true(rig_wait(&rig, has_reached, &some));
        assert_int_equal(process_end(&rig.dispatcher, SIGKILL), 128 + SIGKILL);
        rig_run_dispatcher(&rig);
    }
    (void)pthread_join(producer, NULL);
    for (int k = 0; k < 3; k++) {
        const struct progress last = { LOAD_COUNT - k };
        if (!rig_wait(&rig, has_id, &last)) {
            fail_msg("stopped at %zu events without id %d: %s", rig.event_count, LOAD_COUNT - k,
                     rig.dispatcher.words);
        }
    }
    /* Per instrument every id, first seen in order; repeats are the Conductor's to drop. */
    static uint8_t have[LOAD_COUNT + 1];
    int64_t highest[3] = { 0, 0, 0 };
    (void)pthread_mutex_lock(&rig.lock);
    for (size_t i = 0; i < rig.event_count; i++) {
        const int64_t id = rig.events[i].first;
        assert_true(id >= 1 && id <= LOAD_COUNT);
        const size_t k = (size_t)(id % 3);
        assert_string_equal(rig.events[i].instrument, load_tokens[k]);
        if (!have[id]) {
            if (id <= highest[k]) {
                fail_msg("id %lld came first after %lld", (long long)id, (long long)highest[k]);
            }
            highest[k] = id;
            have[id] = 1;
        }
    }
    size_t missing = 0;
    for (int i = 1; i <= LOAD_COUNT; i++) {
        missing += have[i] == 0;
    }
    const size_t repeats = rig.event_count - (LOAD_COUNT - missing);
    const unsigned losses = rig.losses;
    (void)pthread_mutex_unlock(&rig.lock);
    print_message("%d instances, %d kills: %zu missing, %zu repeated, %u losses said\n", LOAD_COUNT,
                  KILLS, missing, repeats, losses);
    assert_true(missing == 0 || losses > 0); /* never silently */
#if !MLT_TEST_SANITIZED
    /* A sanitized Dispatcher may take longer to start than a ring lasts. */
    assert_int_equal(missing, 0);
    assert_int_equal(losses, 0);
#endif
    rig_end(&rig);
}

/* ---- configuration ---- */

static void test_wrong_table_ends_the_start_with_its_place(void **state)
{
    (void)state;
    static const char text[] = "{\"version\":1,\"routes\":[{\"type\":\"TRADE\",\"wss\":\"x\"}]}";
    char path[] = "/tmp/meltica-dispatch-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    (void)close(fd);
    const char *const arguments[] = { "--check-config", "--table", path, NULL };
    struct process process;
    process_start(&process, MELTICA_DISPATCHER, arguments);
    assert_int_equal(process_end(&process, 0), 2);
    if (strstr(process.words, "routes[0].wss: is unknown") == NULL) {
        fail_msg("%s", process.words);
    }
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ticker_goes_through_with_its_envelope),
        cmocka_unit_test(test_unmapped_and_unparsed_are_seen_and_other_flows_are_not_touched),
        cmocka_unit_test(test_plan_comes_is_repeated_until_taken_and_goes_to_each_new_adapter),
        cmocka_unit_test(test_patterns_end_nothing_before_the_listing_and_are_expanded_after_it),
        cmocka_unit_test(test_killed_under_load_loses_nothing),
        cmocka_unit_test(test_wrong_table_ends_the_start_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
