/* Requests for snapshots of books: what the Dispatcher asks of the Adapter, what comes of it in the
 * flow, and every refusal by its name. The test is the Conductor and the Adapter. */
#include "dispatcher_rig.h"

#include <stdio.h>

#include "meltica/base/clock.h"

#define ROUTES_HEAD                                                                                \
    "{\"version\":1,\"routes\":[{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\","                    \
    "\"rest\":{\"function\":\"historicalTrades\"}},"                                               \
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"
#define SNAPSHOTS "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100}},"
#define ROUTES_TAIL                                                                                \
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}],"   \
    "\"subscriptions\":["
#define SUBSCRIBED(type, name)                                                                     \
    "{\"id\":\"" type "-" name "\",\"type\":\"" type "\",\"instruments\":[\"" name "\"]}"

#define RESYNC MELTICA__V1__PRIORITY__PRIORITY_RESYNC
#define DEPTH MELTICA__V1__PRIORITY__PRIORITY_DEPTH
#define AUDIT MELTICA__V1__PRIORITY__PRIORITY_AUDIT

#define SOON_NS                                                                                    \
    (4 * MLT_NS_PER_S) /* at once, on a machine that may be busy; less than a request              \
                        */

static struct rig rig;

/* The Adapter's end of meltica.int.fetch. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct mlt_bus_subscription *subscription;
    unsigned count;
    char function[32], instrument[32];
    uint32_t limit, route;
    int64_t from;
    Meltica__V1__Priority priority;
    bool silent;
    const char *refusal; /* NULL: accepts */
} adapter = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void on_fetch(void *ctx, const struct mlt_bus_message *message)
{
    (void)ctx;
    Meltica__V1__FetchRequest *request =
        meltica__v1__fetch_request__unpack(NULL, message->payload.len, message->payload.data);
    if (request == NULL) {
        return; /* the request stays without an answer, which the test sees */
    }
    (void)pthread_mutex_lock(&adapter.lock);
    adapter.count++;
    (void)snprintf(adapter.function, sizeof adapter.function, "%s", request->function);
    (void)snprintf(adapter.instrument, sizeof adapter.instrument, "%s", request->instrument);
    adapter.limit = request->limit;
    adapter.route = request->route;
    adapter.priority = request->priority;
    adapter.from = request->from;
    const bool silent = adapter.silent;
    char reason[32];
    (void)snprintf(reason, sizeof reason, "%s", adapter.refusal != NULL ? adapter.refusal : "");
    (void)pthread_cond_broadcast(&adapter.changed);
    (void)pthread_mutex_unlock(&adapter.lock);
    meltica__v1__fetch_request__free_unpacked(request, NULL);
    if (silent) {
        return;
    }
    Meltica__V1__FetchReply reply;
    uint8_t bytes[64];
    meltica__v1__fetch_reply__init(&reply);
    reply.accepted = reason[0] == '\0';
    reply.reason = reason;
    const size_t len = meltica__v1__fetch_reply__pack(&reply, bytes);
    /* Not sent: the Dispatcher says adapter_silent, which the test sees. */
    (void)(mlt_bus_reply(rig.control, message->reply, mlt_slice_of(bytes, len), 0, NULL) == MLT_OK);
}

static void serve_fetches(void)
{
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_bus_subscribe_options options = { .subject = "meltica.int.fetch" };
    (void)pthread_cond_init(&adapter.changed, NULL);
    assert_int_equal(
        mlt_bus_subscribe(rig.control, &options, on_fetch, NULL, &adapter.subscription, &err),
        MLT_OK);
    (void)mlt_bus_rtt_ns(rig.control);
}

/* The reply's reason, "" when accepted; static. */
static const char *request_bytes(struct mlt_slice payload)
{
    static char reason[64];
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf answer;
    mlt_buf_init(&answer, 4096);
    const enum mlt_status status = mlt_bus_request(rig.control, "meltica.int.resync", payload,
                                                   5 * MLT_NS_PER_S, &answer, &err);
    if (status != MLT_OK) {
        fail_msg("meltica.int.resync: %s", err.text);
    }
    Meltica__V1__ResyncReply *reply =
        meltica__v1__resync_reply__unpack(NULL, answer.len, answer.data);
    assert_non_null(reply);
    assert_int_equal(reply->accepted, reply->reason[0] == '\0');
    (void)snprintf(reason, sizeof reason, "%s", reply->reason);
    meltica__v1__resync_reply__free_unpacked(reply, NULL);
    mlt_buf_fini(&answer);
    return reason;
}

static size_t encode(const char *instrument, uint32_t depth, Meltica__V1__Priority priority,
                     uint8_t out[128])
{
    char token[64];
    (void)snprintf(token, sizeof token, "%s", instrument);
    Meltica__V1__ResyncRequest request;
    meltica__v1__resync_request__init(&request);
    request.instrument = token;
    request.depth = depth;
    request.priority = priority;
    return meltica__v1__resync_request__pack(&request, out);
}

static const char *resync(const char *instrument, uint32_t depth, Meltica__V1__Priority priority)
{
    uint8_t bytes[128];
    const size_t len = encode(instrument, depth, priority, bytes);
    return request_bytes(mlt_slice_of(bytes, len));
}

static const char *resync_trades(const char *instrument, int64_t first, int64_t last)
{
    char token[64];
    uint8_t bytes[128];
    (void)snprintf(token, sizeof token, "%s", instrument);
    Meltica__V1__ResyncRequest request;
    meltica__v1__resync_request__init(&request);
    request.instrument = token;
    request.type = (Meltica__V1__EventType)MLT_EVENT_TRADE;
    request.first = first;
    request.last = last;
    return request_bytes(mlt_slice_of(bytes, meltica__v1__resync_request__pack(&request, bytes)));
}

static struct mlt_native_event snapshot_of(const char *token, uint32_t depth)
{
    static int64_t prices[1] = { 100 }, quantities[1] = { 1 };
    struct mlt_native_event n = rig_instance(MLT_EVENT_BOOK_SNAPSHOT, token, 0);
    n.rest_function = MLT_SLICE_LITERAL("depth");
    n.exchange = MLT_STAMP_UNKNOWN;
    n.u.book_snapshot.last_update_id = 7;
    n.u.book_snapshot.requested_depth = depth;
    n.u.book_snapshot.bids =
        (struct mlt_levels){ .count = 1, .prices = prices, .quantities = quantities };
    return n;
}

static int start(void **state)
{
    (void)state;
    rig_start(&rig, true,
              ROUTES_HEAD SNAPSHOTS ROUTES_TAIL SUBSCRIBED("BOOK", "BTC-USDT") "," SUBSCRIBED(
                  "BOOK_DELTA", "ETH-USDT") "," SUBSCRIBED("TRADE", "LTC-USDT") "]}");
    rig_run_dispatcher(&rig);
    rig_wait_says(&rig, "\"event\":\"log_read\"");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    mlt_bus_unsubscribe(adapter.subscription);
    adapter.subscription = NULL;
    rig_end(&rig);
    return 0;
}

static void test_without_an_adapter_it_is_said_at_once(void **state)
{
    (void)state;
    const int64_t begin_ns = mlt_clock_mono_ns();
    assert_string_equal(resync("BTC-USDT", 100, RESYNC), "adapter_away");
    assert_true(mlt_clock_mono_ns() - begin_ns < SOON_NS);
    serve_fetches();
}

static void test_request_becomes_a_fetch_and_its_answer_an_event(void **state)
{
    (void)state;
    assert_string_equal(resync("BTC-USDT", 0, RESYNC), "");
    assert_string_equal(adapter.function, "depth");
    assert_string_equal(adapter.instrument, "BTC-USDT");
    assert_int_equal(adapter.limit, 100); /* the route's */
    assert_int_equal(adapter.route, 3);
    assert_int_equal(adapter.priority, RESYNC);
    assert_string_equal(resync("BTC-USDT", 1000, AUDIT), "");
    assert_int_equal(adapter.limit, 1000);
    assert_int_equal(adapter.priority, AUDIT);

    const struct mlt_native_event native = snapshot_of("BTC-USDT", 1000);
    rig_send(&rig, &native);
    assert_true(rig_wait_events(&rig, 1));
    struct mlt_arena arena;
    struct mlt_event event;
    mlt_arena_init(&arena, 4096, 1u << 20);
    assert_int_equal(mlt_event_decode(mlt_slice_of(rig.last_bytes, rig.last_len), &arena, &event),
                     MLT_OK);
    assert_int_equal(event.type, MLT_EVENT_BOOK_SNAPSHOT);
    assert_int_equal(event.u.book_snapshot.requested_depth, 1000);
    assert_int_equal(event.route, 3);
    mlt_arena_fini(&arena);
}

static void test_missing_trades_become_a_fetch_and_its_answer_events(void **state)
{
    (void)state;
    assert_string_equal(resync_trades("LTC-USDT", 500, 509), "");
    assert_string_equal(adapter.function, "historicalTrades");
    assert_string_equal(adapter.instrument, "LTC-USDT");
    assert_int_equal(adapter.from, 500);
    assert_int_equal(adapter.limit, 10);
    assert_int_equal(adapter.route, 1);
    assert_int_equal(adapter.priority, DEPTH);
    assert_string_equal(resync_trades("BTC-USDT", 500, 509), "not_subscribed");
    assert_string_equal(resync_trades("LTC-USDT", 500, 1500), "parse");
    const size_t before = rig.event_count;
    struct mlt_native_event native = rig_instance(MLT_EVENT_TRADE, "LTC-USDT", 500);
    native.rest_function = MLT_SLICE_LITERAL("historicalTrades");
    rig_send(&rig, &native);
    assert_true(rig_wait_events(&rig, before + 1));
    struct mlt_arena arena;
    struct mlt_event event;
    mlt_arena_init(&arena, 4096, 1u << 20);
    assert_int_equal(mlt_event_decode(mlt_slice_of(rig.last_bytes, rig.last_len), &arena, &event),
                     MLT_OK);
    assert_true(mlt_slice_equal_string(event.rest_function, "historicalTrades"));
    assert_int_equal(event.quality & MLT_QUALITY_CONTIGUOUS, 0);
    mlt_arena_fini(&arena);
}

/* Whoever follows deltas needs a book too. */
static void test_deltas_alone_are_enough_for_a_snapshot(void **state)
{
    (void)state;
    assert_string_equal(resync("ETH-USDT", 500, RESYNC), "");
    assert_string_equal(adapter.instrument, "ETH-USDT");
    const size_t before = rig.event_count;
    const struct mlt_native_event native = snapshot_of("ETH-USDT", 500);
    rig_send(&rig, &native);
    assert_true(rig_wait_events(&rig, before + 1));
    assert_string_equal(rig.events[before].instrument, "ETH-USDT");
}

/* It answers before it counts. */
static void expect_resyncs(const char *outcome, int64_t expected)
{
    const int64_t until_ns = mlt_clock_mono_ns() + RIG_WAIT_NS;
    char series[96];
    int64_t count = 0;
    (void)snprintf(series, sizeof series, "meltica_dispatcher_resyncs_total{outcome=\"%s\"}",
                   outcome);
    do {
        count = rig_metric(&rig, series);
    } while (count < expected && mlt_clock_mono_ns() < until_ns);
    assert_int_equal(count, expected);
}

static void test_refusals_have_names(void **state)
{
    (void)state;
    const unsigned before = adapter.count;
    assert_string_equal(resync("NO-SUCH", 100, DEPTH), "unknown_instrument");
    assert_string_equal(resync("not a token", 100, DEPTH), "unknown_instrument");
    assert_string_equal(resync("", 100, DEPTH), "unknown_instrument");
    assert_string_equal(resync("LTC-USDT", 100, DEPTH), "not_subscribed");
    assert_string_equal(request_bytes(MLT_SLICE_LITERAL("\xff\xff\xff")), "parse");
    assert_int_equal(adapter.count, before); /* none of it went to the Adapter */
    adapter.refusal = "unknown_symbol";
    assert_string_equal(resync("BTC-USDT", 100, DEPTH), "unknown_symbol");
    adapter.refusal = NULL;
    expect_resyncs("accepted", 4);
    expect_resyncs("refused", 7);
    expect_resyncs("adapter_refused", 1);
    expect_resyncs("away", 1);
}

static void await_fetch(unsigned count)
{
    (void)pthread_mutex_lock(&adapter.lock);
    while (adapter.count < count) { /* the test's own time limit ends it */
        (void)pthread_cond_wait(&adapter.changed, &adapter.lock);
    }
    (void)pthread_mutex_unlock(&adapter.lock);
}

static void *ask_silent(void *reason)
{
    (void)snprintf(reason, 64, "%s", resync("BTC-USDT", 100, RESYNC));
    return NULL;
}

/* Long before the Dispatcher gives up the Adapter, a second: a trade has gone through, and it has
 * answered for its table. */
static bool flows_beside_a_silent_adapter(void)
{
    char reason[64] = "";
    pthread_t thread;
    const unsigned before = adapter.count;
    adapter.silent = true;
    assert_int_equal(pthread_create(&thread, NULL, ask_silent, reason), 0);
    await_fetch(before + 1);
    const int64_t begin_ns = mlt_clock_mono_ns();
    const size_t events = rig.event_count;
    const struct mlt_native_event native = rig_instance(MLT_EVENT_TRADE, "LTC-USDT", 5);
    rig_send(&rig, &native);
    assert_true(rig_wait_events(&rig, events + 1));
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf table;
    mlt_buf_init(&table, 1u << 20);
    assert_int_equal(
        mlt_bus_request(rig.control, "meltica.int.table", MLT_SLICE_EMPTY, SOON_NS, &table, &err),
        MLT_OK);
    mlt_buf_fini(&table);
    const int64_t took_ns = mlt_clock_mono_ns() - begin_ns;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(reason, "adapter_silent");
    adapter.silent = false;
    assert_string_equal(resync("BTC-USDT", 100, RESYNC), "");
    return took_ns < 800 * MLT_NS_PER_MS;
}

/* Each time if it did; a busy machine takes the processor away now and then. */
static void test_silent_adapter_holds_up_neither_the_flow_nor_the_table(void **state)
{
    (void)state;
    bool flows = false;
    for (unsigned i = 0; i < 5 && !flows; i++) {
        flows = flows_beside_a_silent_adapter();
    }
    assert_true(flows);
}

static void test_table_without_snapshots_has_no_route(void **state)
{
    (void)state;
    (void)stop(NULL);
    rig_start(&rig, false, ROUTES_HEAD ROUTES_TAIL SUBSCRIBED("BOOK_DELTA", "BTC-USDT") "]}");
    rig_run_dispatcher(&rig);
    assert_string_equal(resync("BTC-USDT", 100, RESYNC), "no_route");
    /* Without JetStream the log, which may have it, is not read. */
    assert_string_equal(resync("NO-SUCH", 100, RESYNC), "log_not_read");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_an_adapter_it_is_said_at_once),
        cmocka_unit_test(test_request_becomes_a_fetch_and_its_answer_an_event),
        cmocka_unit_test(test_missing_trades_become_a_fetch_and_its_answer_events),
        cmocka_unit_test(test_deltas_alone_are_enough_for_a_snapshot),
        cmocka_unit_test(test_refusals_have_names),
        cmocka_unit_test(test_silent_adapter_holds_up_neither_the_flow_nor_the_table),
        cmocka_unit_test(test_table_without_snapshots_has_no_route),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
