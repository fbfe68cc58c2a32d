#include "router_world.h"

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

static unsigned long allocations;

void *__wrap_malloc(size_t bytes)
{
    allocations++;
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    allocations++;
    return __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    allocations++;
    return __real_realloc(old, bytes);
}

/* ---- tests ---- */
static void test_subscribed_instance_leaves_with_the_route_and_its_partition(void **state)
{
    (void)state;
    start(ALL_ROUTES SUBSCRIPTION("a", "TRADE", "\"BTC-USDT\"") TABLE_END);
    struct mlt_native_event n = instance(MLT_EVENT_TRADE, "BTC-USDT");
    n.route = 0; /* the adapter's number is a hint only */
    add(n);
    run(false);
    assert_int_equal(w.count, 1);
    assert_int_equal(w.sent[0].partition,
                     mlt_instrument_slot(MLT_SLICE_LITERAL("BTC-USDT")) % PARTITIONS);
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 1u << 20);
    const struct mlt_event event = sent(0, &arena);
    assert_int_equal(event.type, MLT_EVENT_TRADE);
    assert_int_equal(event.route, 3);
    assert_int_equal(event.route_revision, 100);
    assert_true(event.stamps.dispatched == NOW_NS && event.stamps.adapted == NOW_NS - 2000);
    assert_true(mlt_slice_equal_string(event.exchange, "binance"));
    assert_memory_equal(event.trace_id, "0123456789abcdef", 16);
    assert_true(event.u.trade.price.mantissa == 6160201 && event.sequence == 0 && event.epoch == 0);
    assert_int_equal(w.last_stage_ns, 2000);
    assert_int_equal(w.losses, 0);
    mlt_arena_fini(&arena);
    stop();
}

static void test_what_nobody_asked_for_is_counted_and_dropped(void **state)
{
    (void)state;
    start(ALL_ROUTES SUBSCRIPTION("a", "TRADE", "\"BTC-USDT\"") "," SUBSCRIPTION(
        "b", "KLINE", "\"BTC-USDT\"") TABLE_END);
    add(instance(MLT_EVENT_BBO, "BTC-USDT"));   /* routed, not subscribed */
    add(instance(MLT_EVENT_TRADE, "ETH-USDT")); /* another instrument */
    struct mlt_native_event candle = instance(MLT_EVENT_KLINE, "BTC-USDT");
    candle.u.kline.interval = MLT_SLICE_LITERAL("5m"); /* an interval without a route */
    add(candle);
    add(instance(MLT_EVENT_KLINE, "BTC-USDT"));
    run(false);
    assert_int_equal(w.count, 1);
    assert_int_equal(counts().unsubscribed, 3);
    assert_int_equal(counts().rejected, 0);
    stop();
}

static uint32_t quality_of_a_trade(const char *policies, bool fetched)
{
    char json[512];
    (void)snprintf(json, sizeof json,
                   "{\"version\":1,\"routes\":[{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"%s}],"
                   "\"subscriptions\":[" SUBSCRIPTION("a", "TRADE", "\"A-B\"") TABLE_END,
                   policies);
    start(json);
    struct mlt_native_event n = instance(MLT_EVENT_TRADE, "A-B");
    n.rest_function = fetched ? MLT_SLICE_LITERAL("historicalTrades") : MLT_SLICE_EMPTY;
    add(n);
    run(false);
    assert_int_equal(w.count, 1);
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 1u << 20);
    const uint32_t quality = sent(0, &arena).quality;
    mlt_arena_fini(&arena);
    stop();
    return quality;
}

/* The Conductor may look for ids that are missing only where no policy takes any away. */
static void test_trades_say_whether_every_id_comes(void **state)
{
    (void)state;
    assert_int_equal(quality_of_a_trade("", false), MLT_QUALITY_CONTIGUOUS);
    assert_int_equal(quality_of_a_trade(",\"discard\":[{\"reason\":\"zero\"}]", false),
                     MLT_QUALITY_CONTIGUOUS);
    assert_int_equal(quality_of_a_trade("", true), 0);
    assert_int_equal(quality_of_a_trade(",\"discard\":[{\"reason\":\"not_trading\"}]", false), 0);
    assert_int_equal(
        quality_of_a_trade(",\"discard\":[{\"reason\":\"stale\",\"max_age_ms\":1000}]", false), 0);
    assert_int_equal(quality_of_a_trade(",\"filter\":[{\"field\":\"price\",\"op\":\"gt\","
                                        "\"value\":\"1\"}]",
                                        false),
                     0);
}

/* What else of a book is subscribed stands on its deltas and snapshots. */
static void test_parts_of_a_book_say_what_of_it_is_wanted(void **state)
{
    (void)state;
    static const struct {
        const char *token;
        enum mlt_event_type type;
        bool leaves;
        uint32_t wants;
    } cases[] = {
        { "B-USDT", MLT_EVENT_BOOK_DELTA, true, MLT_QUALITY_WANTS_BOOK },
        { "B-USDT", MLT_EVENT_BOOK_SNAPSHOT, true, MLT_QUALITY_WANTS_BOOK },
        { "D-USDT", MLT_EVENT_BOOK_DELTA, true, 0 },
        { "D-USDT", MLT_EVENT_BOOK_SNAPSHOT, true, 0 },
        { "S-USDT", MLT_EVENT_BOOK_DELTA, false, 0 },
        { "S-USDT", MLT_EVENT_BOOK_SNAPSHOT, true, MLT_QUALITY_WANTS_SNAPSHOT },
        { "BS-USDT", MLT_EVENT_BOOK_DELTA, true,
          MLT_QUALITY_WANTS_BOOK | MLT_QUALITY_WANTS_SNAPSHOT },
        { "BS-USDT", MLT_EVENT_BOOK_SNAPSHOT, true,
          MLT_QUALITY_WANTS_BOOK | MLT_QUALITY_WANTS_SNAPSHOT },
        { "B-USDT", MLT_EVENT_INSTRUMENT, true, 0 },
        { "T-USDT", MLT_EVENT_BOOK_SNAPSHOT, false, 0 },
        { "T-USDT", MLT_EVENT_TRADE, true, MLT_QUALITY_CONTIGUOUS },
    };
    start(ALL_ROUTES SUBSCRIPTION("a", "BOOK", "\"B-USDT\",\"BS-USDT\"") "," SUBSCRIPTION(
        "b", "BOOK_DELTA",
        "\"D-USDT\"") "," SUBSCRIPTION("c", "BOOK_SNAPSHOT",
                                       "\"S-USDT\",\"BS-USDT\"") "," SUBSCRIPTION("d", "TRADE",
                                                                                  "\"T-USDT\"")
              TABLE_END);
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 1u << 20);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const size_t before = w.count;
        add(instance((int)cases[i].type, cases[i].token));
        run(false);
        assert_int_equal(w.count - before, cases[i].leaves);
        if (cases[i].leaves) {
            struct mlt_event event;
            assert_int_equal(
                mlt_event_decode(mlt_slice_of(w.bytes + w.sent[before].at, w.sent[before].len),
                                 &arena, &event),
                MLT_OK);
            assert_int_equal(event.type, cases[i].type);
            assert_int_equal(event.quality, cases[i].wants);
        }
    }
    mlt_arena_fini(&arena);
    stop();
}

static void test_listing_and_source_state_follow_any_subscription(void **state)
{
    (void)state;
    start(ALL_ROUTES SUBSCRIPTION("a", "TRADE", "\"BTC-*\"") TABLE_END);
    add(instance(MLT_EVENT_INSTRUMENT, "BTC-USDT"));
    add(instance(MLT_EVENT_INSTRUMENT, "ETH-USDT"));
    add(instance(MLT_EVENT_STATUS, "BTC-USDT"));
    add(instance(MLT_EVENT_STATUS, "ETH-USDT"));
    run(false);
    assert_int_equal(w.count, 2);
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 1u << 20);
    struct mlt_event event = sent(0, &arena);
    assert_true(event.type == MLT_EVENT_INSTRUMENT && event.route == 7);
    assert_int_equal(event.route_revision, 101); /* the pattern has its first instrument */
    event = sent(1, &arena);
    assert_true(event.type == MLT_EVENT_STATUS && event.route == 0 &&
                event.u.status.kind == MLT_STATUS_SOURCE_DOWN);
    struct mlt_catalogue_counts known;
    mlt_catalogue_counts(w.catalogue, &known);
    assert_int_equal(known.listed, 2);
    mlt_arena_fini(&arena);
    stop();
}

static void test_listing_is_told_also_when_nothing_of_it_is_subscribed(void **state)
{
    (void)state;
    start(ALL_ROUTES SUBSCRIPTION("a", "TRADE", "\"BTC-USDT\"") TABLE_END);
    add(instance(MLT_EVENT_INSTRUMENT, "ETH-EUR"));
    run(false);
    assert_int_equal(w.count, 0);
    assert_int_equal(w.listed, 1);
    assert_string_equal(w.listed_token, "ETH-EUR");
    assert_string_equal(w.listed_status, "TRADING");
    add(instance(MLT_EVENT_INSTRUMENT, "no token"));
    add(instance(MLT_EVENT_TRADE, "BTC-USDT"));
    run(false);
    assert_int_equal(w.listed, 1);
    stop();
}

static void test_policies_drop_count_and_enrich(void **state)
{
    (void)state;
    start("{\"version\":1,\"routes\":[{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\","
          "\"discard\":[{\"reason\":\"zero\"},{\"reason\":\"not_trading\"}],\"enrich\":["
          "\"notional\"],"
          "\"filter\":[{\"field\":\"quantity\",\"op\":\"ge\",\"value\":\"0.5\"}]}],"
          "\"subscriptions\":[" SUBSCRIPTION("a", "TRADE", "\"*-USDT\"") "]}");
    struct mlt_native_event n = instance(MLT_EVENT_TRADE, "BTC-USDT");
    add(n);
    n.u.trade.quantity = decimal_of("0.4999");
    add(n);
    n.u.trade.quantity = decimal_of("0.0");
    add(n);
    n.u.trade.price = decimal_of("9223372036854775807");
    n.u.trade.quantity = decimal_of("9223372036854775807");
    add(n);
    run(false);
    assert_int_equal(w.count, 2);
    assert_int_equal(counts().filtered[MLT_EVENT_TRADE], 1);
    assert_int_equal(counts().discarded[MLT_DISCARD_ZERO], 1);
    assert_int_equal(counts().enrich_failed, 1);
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 1u << 20);
    struct mlt_event event = sent(0, &arena);
    assert_true(event.u.trade.has_notional);
    assert_int_equal(mlt_decimal_compare(event.u.trade.notional, decimal_of("30801.005")), 0);
    event = sent(1, &arena);
    assert_false(event.u.trade.has_notional);
    mlt_arena_fini(&arena);

    /* The listing says HALT; this table has no INSTRUMENT route, so that event itself is unmapped,
     * but the catalogue knows. */
    struct mlt_native_event listing = instance(MLT_EVENT_INSTRUMENT, "BTC-USDT");
    listing.u.instrument.status = MLT_SLICE_LITERAL("HALT");
    add(listing);
    add(instance(MLT_EVENT_TRADE, "BTC-USDT"));
    add(instance(MLT_EVENT_TRADE, "ETH-USDT"));
    run(false);
    assert_int_equal(counts().discarded[MLT_DISCARD_NOT_TRADING], 1);
    assert_int_equal(w.count, 3);
    stop();
}

static void test_refusals_are_observable_and_disturb_no_other_flow(void **state)
{
    (void)state;
    start("{\"version\":1,\"routes\":[{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"}],"
          "\"subscriptions\":[" SUBSCRIPTION("a", "TRADE", "\"BTC-USDT\"") "]}");
    struct mlt_native_event unparsed = instance(MLT_NATIVE_UNPARSED, "BTC-USDT");
    unparsed.u.unparsed.reason = MLT_SLICE_LITERAL("out_of_range");
    unparsed.u.unparsed.topic = MLT_SLICE_LITERAL("btcusdt@trade");
    unparsed.u.unparsed.original = MLT_SLICE_LITERAL("{\"p\":\"1e400\"}");
    unparsed.u.unparsed.original_bytes = 70000;

    add(instance(MLT_EVENT_TRADE, "BTC-USDT"));
    add(unparsed);
    add(instance(MLT_EVENT_TRADE, "BTC-USDT"));
    run(false);
    assert_string_equal(w.subject, "meltica.int.rejected.adapter.out_of_range");
    Meltica__V1__Rejection *r = last_rejection();
    assert_string_equal(r->stage, "adapter");
    assert_string_equal(r->reason, "out_of_range");
    assert_string_equal(r->instrument, "BTC-USDT");
    assert_string_equal(r->topic, "btcusdt@trade");
    assert_int_equal(r->original_bytes, 70000);
    assert_int_equal(r->original.len, 13);
    assert_memory_equal(r->original.data, "{\"p\":\"1e400\"}", 13);
    assert_true(r->received == (uint64_t)(NOW_NS - 3000) && r->suppressed == 0);
    assert_memory_equal(r->trace_id.data, "0123456789abcdef", 16);
    meltica__v1__rejection__free_unpacked(r, NULL);

    add(instance(MLT_EVENT_TRADE, "BTC-USDT"));
    add_bytes("\xff\xff\xff", 3);
    add(instance(MLT_EVENT_TRADE, "BTC-USDT"));
    run(false);
    assert_string_equal(w.subject, "meltica.int.rejected.dispatcher.parse");
    r = last_rejection();
    assert_memory_equal(r->original.data, "\xff\xff\xff", 3);
    meltica__v1__rejection__free_unpacked(r, NULL);

    add(instance(MLT_EVENT_BBO, "BTC-USDT")); /* a type that the table has no route for */
    add(instance(MLT_EVENT_TRADE, "BTC-USDT"));
    run(false);
    assert_string_equal(w.subject, "meltica.int.rejected.dispatcher.unmapped");
    r = last_rejection();
    assert_string_equal(r->topic, "BBO");
    meltica__v1__rejection__free_unpacked(r, NULL);

    assert_int_equal(w.count, 6);
    assert_int_equal(counts().rejected, 3);
    assert_int_equal(w.rejected, 3);
    assert_int_equal(w.losses, 0);
    size_t series_count;
    const struct mlt_reject_series *series = mlt_rejector_series(w.rejector, &series_count);
    assert_int_equal(series_count, 3);
    assert_string_equal(series[0].reason, "out_of_range");
    assert_int_equal(series[0].count, 1);
    stop();
}

static void test_broken_rest_of_a_batch_is_refused_and_said_to_be_lost(void **state)
{
    (void)state;
    start(ALL_ROUTES SUBSCRIPTION("a", "TRADE", "\"BTC-USDT\"") TABLE_END);
    add(instance(MLT_EVENT_TRADE, "BTC-USDT"));
    batch[batch_len++] = 0x0a; /* an element whose length runs past the end */
    batch[batch_len++] = 0x7f;
    run(false);
    assert_int_equal(w.count, 1);
    assert_int_equal(w.losses, 1);
    assert_int_equal(w.lost_partition, 2);
    assert_int_equal(counts().rejected, 1);
    stop();
}

static void test_loss_before_a_batch_is_passed_on_before_its_first_event(void **state)
{
    (void)state;
    start(ALL_ROUTES SUBSCRIPTION("a", "TRADE", "\"BTC-USDT\"") TABLE_END);
    add(instance(MLT_EVENT_TRADE, "BTC-USDT"));
    run(false);
    add(instance(MLT_EVENT_TRADE, "BTC-USDT"));
    run(true);
    assert_int_equal(w.count, 2);
    assert_int_equal(w.losses, 1);
    assert_int_equal(w.lost_at, 1);
    assert_int_equal(w.lost_partition, 2);
    stop();
}

static void test_event_that_the_hop_cannot_take_is_refused_by_reason(void **state)
{
    (void)state;
    start(ALL_ROUTES SUBSCRIPTION("a", "TRADE", "\"BTC-USDT\"") TABLE_END);
    w.refuse_begin = MLT_E_TOO_BIG;
    add(instance(MLT_EVENT_TRADE, "BTC-USDT"));
    run(false);
    w.refuse_begin = MLT_OK;
    add(instance(MLT_EVENT_TRADE, "BTC-USDT"));
    run(false);
    assert_string_equal(w.subject, "meltica.int.rejected.dispatcher.too_big");
    assert_int_equal(w.count, 1);
    assert_int_equal(w.losses, 1); /* the word of it found no place either */
    assert_int_equal(w.lost_partition,
                     mlt_instrument_slot(MLT_SLICE_LITERAL("BTC-USDT")) % PARTITIONS);
    stop();
}

static void test_refusals_are_at_most_100_a_second_and_say_how_many_were_not_sent(void **state)
{
    (void)state;
    start(ALL_ROUTES SUBSCRIPTION("a", "TRADE", "\"BTC-USDT\"") TABLE_END);
    for (unsigned i = 0; i < 250; i++) {
        add_bytes("\xff\xff", 2);
    }
    run(false);
    assert_int_equal(w.published, 100);
    assert_int_equal(counts().rejected, 250);
    w.mono_ns += MLT_NS_PER_S - 1;
    add_bytes("\xff\xff", 2);
    run(false);
    assert_int_equal(w.published, 100);
    w.mono_ns += 1;
    add_bytes("\xff\xff", 2);
    run(false);
    assert_int_equal(w.published, 101);
    Meltica__V1__Rejection *r = last_rejection();
    assert_int_equal(r->suppressed, 151);
    meltica__v1__rejection__free_unpacked(r, NULL);
    /* What the bus does not take counts as not sent. */
    w.publish_fails = true;
    add_bytes("\xff\xff", 2);
    run(false);
    w.publish_fails = false;
    add_bytes("\xff\xff", 2);
    run(false);
    r = last_rejection();
    assert_int_equal(r->suppressed, 1);
    meltica__v1__rejection__free_unpacked(r, NULL);
    stop();
}

static void test_reasons_from_the_wire_are_words_and_bounded_in_number(void **state)
{
    (void)state;
    start(ALL_ROUTES SUBSCRIPTION("a", "TRADE", "\"BTC-USDT\"") TABLE_END);
    static const char *const bad[] = {
        "", "a.b", "*", ">", "with space", "UPPER", "a_word_of_more_than_31_bytes_is_no_word"
    };
    struct mlt_native_event n = instance(MLT_NATIVE_UNPARSED, "");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        n.u.unparsed.reason = mlt_slice_of_string(bad[i]);
        add(n);
        run(false);
        assert_string_equal(w.subject, "meltica.int.rejected.adapter.other");
    }
    char reason[32];
    for (unsigned i = 0; i < 3 * MLT_REJECT_SERIES_MAX; i++) {
        (void)snprintf(reason, sizeof reason, "reason_%u", i);
        n.u.unparsed.reason = mlt_slice_of_string(reason);
        add(n);
        run(false);
        w.mono_ns += MLT_NS_PER_S;
    }
    size_t count;
    const struct mlt_reject_series *series = mlt_rejector_series(w.rejector, &count);
    assert_int_equal(count, MLT_REJECT_SERIES_MAX);
    uint64_t all = 0;
    for (size_t i = 0; i < count; i++) {
        all += series[i].count;
    }
    assert_int_equal(all, sizeof bad / sizeof bad[0] + (size_t)3 * MLT_REJECT_SERIES_MAX);
    assert_string_equal(series[count - 1].reason, "other");
    assert_string_equal(w.subject, "meltica.int.rejected.any.other");
    stop();
}

/* Trades, deltas with levels, candles, refused and unwanted instances: after the first round
 * nothing is allocated for any of them. */
static void test_nothing_is_allocated_per_message_after_warm_up(void **state)
{
    (void)state;
    start(ALL_ROUTES SUBSCRIPTION("a", "TRADE",
                                  "\"*\"") "," SUBSCRIPTION("b", "BOOK", "\"BTC-USDT\"") TABLE_END);
    static int64_t prices[1000], quantities[1000];
    for (int i = 0; i < 1000; i++) {
        prices[i] = 6000000 - i;
        quantities[i] = (int64_t)i * 1000;
    }
    struct mlt_native_event delta = instance(MLT_EVENT_BOOK_DELTA, "BTC-USDT");
    delta.u.book_delta.bids = (struct mlt_levels){ -2, -5, 1000, prices, quantities };
    delta.u.book_delta.asks = (struct mlt_levels){ -2, -5, 500, prices, quantities };
    struct mlt_native_event unparsed = instance(MLT_NATIVE_UNPARSED, "BTC-USDT");
    unparsed.u.unparsed.reason = MLT_SLICE_LITERAL("parse");
    for (unsigned round = 0; round < 50; round++) {
        add(instance(MLT_EVENT_TRADE, "BTC-USDT"));
        add(instance(MLT_EVENT_TRADE, "ETH-USDT"));
        add(delta);
        add(instance(MLT_EVENT_BBO, "BTC-USDT"));
        add(instance(MLT_EVENT_INSTRUMENT, "ETH-USDT"));
        add(unparsed);
        const unsigned long before = allocations;
        run(round == 3);
        if (round > 0) {
            assert_int_equal(allocations, before);
        } else {
            assert_true(allocations > before);
        }
    }
    assert_int_equal(counts().out, 50 * 4);
    assert_int_equal(counts().in, 50 * 6);
    assert_int_equal(counts().unsubscribed, 50);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subscribed_instance_leaves_with_the_route_and_its_partition),
        cmocka_unit_test(test_what_nobody_asked_for_is_counted_and_dropped),
        cmocka_unit_test(test_parts_of_a_book_say_what_of_it_is_wanted),
        cmocka_unit_test(test_trades_say_whether_every_id_comes),
        cmocka_unit_test(test_listing_and_source_state_follow_any_subscription),
        cmocka_unit_test(test_listing_is_told_also_when_nothing_of_it_is_subscribed),
        cmocka_unit_test(test_policies_drop_count_and_enrich),
        cmocka_unit_test(test_refusals_are_observable_and_disturb_no_other_flow),
        cmocka_unit_test(test_broken_rest_of_a_batch_is_refused_and_said_to_be_lost),
        cmocka_unit_test(test_loss_before_a_batch_is_passed_on_before_its_first_event),
        cmocka_unit_test(test_event_that_the_hop_cannot_take_is_refused_by_reason),
        cmocka_unit_test(test_refusals_are_at_most_100_a_second_and_say_how_many_were_not_sent),
        cmocka_unit_test(test_reasons_from_the_wire_are_words_and_bounded_in_number),
        cmocka_unit_test(test_nothing_is_allocated_per_message_after_warm_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
