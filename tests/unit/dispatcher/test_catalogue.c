#include "support.h"

#include "demand.h"
#include "plan.h"

#include "meltica/v1/internal.pb-c.h"

#include <stdio.h>
#include <stdlib.h>

static const struct mlt_plan_from from_77 = { 77, 9 }, from_5 = { 5, 6 }, from_1 = { 1, 0 };

static struct mlt_catalogue *catalogue_of(const struct mlt_table *table, uint64_t revision)
{
    struct mlt_catalogue *catalogue = NULL;
    assert_int_equal(mlt_catalogue_create(table, revision, &catalogue), MLT_OK);
    return catalogue;
}

static const struct mlt_catalogue_entry *list(struct mlt_catalogue *catalogue, const char *token,
                                              const char *status)
{
    const struct mlt_instrument instrument = { .status = mlt_slice_of_string(status),
                                               .price_exponent = -2,
                                               .quantity_exponent = -5 };
    const struct mlt_catalogue_entry *entry = NULL;
    assert_int_equal(
        mlt_catalogue_listing(catalogue, mlt_slice_of_string(token), &instrument, &entry), MLT_OK);
    return entry;
}

static void test_names_of_subscriptions_are_known_at_once_with_their_types(void **state)
{
    (void)state;
    struct mlt_table *table = table_of(
        ALL_ROUTES SUBSCRIPTION("a", "TRADE", "\"BTC-USDT\",\"ETH-USDT\"") "," SUBSCRIPTION(
            "b", "BOOK", "\"BTC-USDT\"") "," SUBSCRIPTION("c", "BBO", "\"*-USDT\"") TABLE_END);
    struct mlt_catalogue *catalogue = catalogue_of(table, 1000);
    const struct mlt_catalogue_entry *btc =
        mlt_catalogue_find(catalogue, MLT_SLICE_LITERAL("BTC-USDT"));
    assert_int_equal(btc->types,
                     TYPE_BIT(TRADE) | TYPE_BIT(BOOK) | TYPE_BIT(BOOK_DELTA) | TYPE_BIT(BBO));
    assert_false(btc->listed);
    assert_int_equal(btc->slot, mlt_instrument_slot(MLT_SLICE_LITERAL("BTC-USDT")));
    assert_int_equal(mlt_catalogue_find(catalogue, MLT_SLICE_LITERAL("ETH-USDT"))->types,
                     TYPE_BIT(TRADE) | TYPE_BIT(BBO));
    assert_null(mlt_catalogue_find(catalogue, MLT_SLICE_LITERAL("BTC-EUR")));
    assert_true(mlt_catalogue_has_wildcards(catalogue));
    assert_int_equal(mlt_catalogue_revision(catalogue), 1000);
    mlt_catalogue_destroy(catalogue);
    mlt_table_destroy(table);
}

static void expect_listed(struct mlt_catalogue *catalogue, uint32_t listed, uint32_t named)
{
    struct mlt_catalogue_counts counts;
    mlt_catalogue_counts(catalogue, &counts);
    assert_int_equal(counts.listed, listed);
    assert_int_equal(mlt_catalogue_matches(catalogue, MLT_SLICE_LITERAL("*-USDT")), listed);
    assert_int_equal(mlt_catalogue_matches(catalogue, MLT_SLICE_LITERAL("ETH-USDT")), named);
}

static void test_what_was_taken_off_the_list_is_not_listed(void **state)
{
    (void)state;
    struct mlt_table *table = table_of(ALL_ROUTES SUBSCRIPTION("b", "BBO", "\"*-USDT\"") TABLE_END);
    struct mlt_catalogue *catalogue = catalogue_of(table, 1000);
    (void)list(catalogue, "BTC-USDT", "TRADING");
    (void)list(catalogue, "ETH-USDT", "TRADING");
    expect_listed(catalogue, 2, 1);
    for (int i = 0; i < 2; i++) { /* as each Adapter says it */
        const struct mlt_catalogue_entry *eth = list(catalogue, "ETH-USDT", "DELISTED");
        assert_true(eth->halted);
        expect_listed(catalogue, 1, 0);
    }
    (void)list(catalogue, "SOL-USDT", "DELISTED"); /* before this Dispatcher was there */
    expect_listed(catalogue, 1, 0);
    (void)list(catalogue, "ETH-USDT", "BREAK"); /* it is back */
    expect_listed(catalogue, 2, 1);
    mlt_catalogue_destroy(catalogue);
    mlt_table_destroy(table);
}

static void expect_types(const struct mlt_catalogue *catalogue, const char *token, bool known,
                         uint32_t types)
{
    bool is_known = !known;
    assert_int_equal(mlt_catalogue_types(catalogue, mlt_slice_of_string(token), &is_known), types);
    assert_int_equal(is_known, known);
}

/* What a pattern covers, and what it brings, by walking over all. */
static void test_what_patterns_cover_is_what_matches_them(void **state)
{
    (void)state;
    static const char *const names[] = { "A-B", "A-C",  "B-A",  "C-A", "A=2DB-C",
                                         "A",   "AA-B", "A-BB", "B-B" };
    static const char *const patterns[] = { "*",   "A-*", "*-A",    "B-*",     "*-B", "C-*",
                                            "*-C", "D-*", "AA-*",   "*-BB",    "*-D", "A=2DB-*",
                                            "A-B", "A",   "A=2D-*", "*-2DB-C", "*-*", "**" };
    enum { NAMES = sizeof names / sizeof names[0] };
    struct mlt_table *table =
        table_of(ALL_ROUTES SUBSCRIPTION("a", "TRADE", "\"A-*\",\"*-A\"") "," SUBSCRIPTION(
            "b", "BBO", "\"*-B\",\"B-*\"") "," SUBSCRIPTION("c", "TICKER", "\"*\"") TABLE_END);
    struct mlt_catalogue *catalogue = catalogue_of(table, 1000);
    bool listed[NAMES] = { false };
    for (unsigned step = 0; step < 200; step++) { /* in and out in turns that differ */
        const size_t n = step * 7 % NAMES;
        listed[n] = step % 5 != 0;
        (void)list(catalogue, names[n], listed[n] ? "TRADING" : "DELISTED");
        for (size_t p = 0; p < sizeof patterns / sizeof patterns[0]; p++) {
            const struct mlt_slice pattern = mlt_slice_of_string(patterns[p]);
            uint32_t count = 0;
            for (size_t i = 0; i < NAMES; i++) {
                count +=
                    listed[i] && (mlt_pattern_wild(pattern)
                                      ? mlt_pattern_match(pattern, mlt_slice_of_string(names[i]))
                                      : strcmp(patterns[p], names[i]) == 0);
            }
            if (mlt_catalogue_matches(catalogue, pattern) != count) {
                fail_msg("step %u, %s: %u, not %u", step, patterns[p],
                         mlt_catalogue_matches(catalogue, pattern), count);
            }
        }
    }
    expect_types(catalogue, "A-B", true, TYPE_BIT(TRADE) | TYPE_BIT(BBO) | TYPE_BIT(TICKER));
    expect_types(catalogue, "X-A", true, TYPE_BIT(TRADE) | TYPE_BIT(TICKER));
    expect_types(catalogue, "B-X", true, TYPE_BIT(BBO) | TYPE_BIT(TICKER));
    expect_types(catalogue, "A", true, TYPE_BIT(TICKER));
    mlt_catalogue_destroy(catalogue);
    mlt_table_destroy(table);
}

/* ---- places of private channels ---- */

/* A subscription of so many names to BBO, as the log has it. */
static void apply(const struct mlt_table *table, struct mlt_live *live, const char *id, bool lane,
                  char **names, size_t count)
{
    char who[] = "desk", text[32];
    struct mlt_live_item *released = NULL;
    bool changed = false;
    Meltica__V1__ControlRecord record;
    meltica__v1__control_record__init(&record);
    (void)snprintf(text, sizeof text, "%s", id);
    record.subscription = text;
    record.principal = record.consumer = who;
    record.type = MELTICA__V1__EVENT_TYPE__BBO;
    record.active = true;
    record.private_lane = lane;
    record.instruments = names;
    record.n_instruments = count;
    assert_int_equal(mlt_live_apply(live, table, &record, 1, &released, &changed), MLT_OK);
    assert_null(released);
}

/* An instrument that two patterns of a private channel cover has one place in it. */
static void test_what_two_patterns_cover_has_one_place(void **state)
{
    (void)state;
    char base[] = "A-*", quote[] = "*-Q0", name[] = "A-Q0", text[32];
    char *both[] = { base, quote, name };
    struct mlt_table *table =
        table_of(ALL_ROUTES SUBSCRIPTION("a", "TRADE", "\"BTC-USDT\"") TABLE_END);
    struct mlt_catalogue *catalogue = catalogue_of(table, 1000);
    struct mlt_live live;
    mlt_live_init(&live);
    for (unsigned i = 0; i < MLT_CATALOGUE_LANE_PLACES_MAX / 2; i++) {
        (void)snprintf(text, sizeof text, "A-Q%u", i);
        (void)list(catalogue, text, "TRADING");
    }
    apply(table, &live, "s1", true, both, 2);
    apply(table, &live, "s2", true, both, 1);
    assert_int_equal(mlt_catalogue_follow(catalogue, &live, live.items[0]), MLT_OK);
    apply(table, &live, "s3", true, both + 2, 1); /* the places are taken */
    assert_int_equal(mlt_catalogue_follow(catalogue, &live, live.items[2]), MLT_E_LIMIT);
    mlt_live_fini(&live);
    mlt_catalogue_destroy(catalogue);
    mlt_table_destroy(table);
}

static void test_types_of_a_token_do_not_make_it_known(void **state)
{
    (void)state;
    struct mlt_table *table = table_of(ALL_ROUTES SUBSCRIPTION(
        "a", "TRADE", "\"BTC-USDT\"") "," SUBSCRIPTION("b", "BBO", "\"*-USDT\"") TABLE_END);
    struct mlt_catalogue *catalogue = catalogue_of(table, 1000);
    (void)list(catalogue, "BTC-EUR", "TRADING");
    struct mlt_catalogue_counts before, after;
    mlt_catalogue_counts(catalogue, &before);
    expect_types(catalogue, "BTC-USDT", true, TYPE_BIT(TRADE) | TYPE_BIT(BBO));
    expect_types(catalogue, "ETH-USDT", true, TYPE_BIT(BBO)); /* a pattern covers it */
    expect_types(catalogue, "BTC-EUR", true, 0);
    expect_types(catalogue, "ETH-EUR", false, 0);
    expect_types(catalogue, "no token-USDT", false, 0);
    expect_types(catalogue, "", false, 0);
    mlt_catalogue_counts(catalogue, &after);
    assert_int_equal(after.known, before.known);
    mlt_catalogue_destroy(catalogue);
    mlt_table_destroy(table);
}

static const char *demand(const struct mlt_table *table, const struct mlt_catalogue *catalogue,
                          const char *token, uint32_t depth, struct mlt_demand *out)
{
    const struct mlt_want want = { .depth = depth };
    return mlt_demand_of(table, catalogue, mlt_slice_of_string(token), &want, out);
}

static const char *demand_trades(const struct mlt_table *table,
                                 const struct mlt_catalogue *catalogue, enum mlt_event_type type,
                                 int64_t first, int64_t last, struct mlt_demand *out)
{
    const struct mlt_want want = { type, 0, first, last };
    return mlt_demand_of(table, catalogue, MLT_SLICE_LITERAL("BTC-USDT"), &want, out);
}

static void test_demand_for_trades_finds_the_route_of_their_type(void **state)
{
    (void)state;
    struct mlt_table *table = table_of(
        "{\"version\":1,\"routes\":[{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"rest\":"
        "{\"function\":\"historicalTrades\"}},"
        "{\"type\":\"AGG_TRADE\",\"ws\":\"{symbol}@aggTrade\",\"rest\":{\"function\":"
        "\"aggTrades\"}},{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"}],\"subscriptions\":"
        "[" SUBSCRIPTION("a", "TRADE", "\"BTC-USDT\"") TABLE_END);
    struct mlt_catalogue *catalogue = catalogue_of(table, 1000);
    struct mlt_demand out = { NULL, 0, 0 };
    assert_string_equal(demand_trades(table, catalogue, MLT_EVENT_TRADE, 500, 1499, &out), "");
    assert_string_equal(out.route->rest_function, "historicalTrades");
    assert_int_equal(out.from, 500);
    assert_int_equal(out.limit, 1000);
    assert_string_equal(demand_trades(table, catalogue, MLT_EVENT_TRADE, 0, 0, &out), "");
    assert_int_equal(out.limit, 1);
    assert_string_equal(demand_trades(table, catalogue, MLT_EVENT_AGG_TRADE, 5, 6, &out),
                        "not_subscribed");
    assert_string_equal(demand_trades(table, catalogue, MLT_EVENT_TRADE, 5, 4, &out), "parse");
    assert_string_equal(demand_trades(table, catalogue, MLT_EVENT_TRADE, -1, 4, &out), "parse");
    assert_string_equal(demand_trades(table, catalogue, MLT_EVENT_TRADE, 0, 1000, &out), "parse");
    assert_string_equal(demand_trades(table, catalogue, MLT_EVENT_TRADE, 0, INT64_MAX, &out),
                        "parse");
    assert_string_equal(demand_trades(table, catalogue, MLT_EVENT_BBO, 5, 6, &out), "parse");
    assert_string_equal(demand_trades(table, catalogue, (enum mlt_event_type)77, 5, 6, &out),
                        "parse");
    mlt_catalogue_destroy(catalogue);
    mlt_table_destroy(table);
    table = table_of(ALL_ROUTES SUBSCRIPTION("a", "TRADE", "\"BTC-USDT\"") TABLE_END);
    catalogue = catalogue_of(table, 1000);
    assert_string_equal(demand_trades(table, catalogue, MLT_EVENT_TRADE, 5, 6, &out), "no_route");
    mlt_catalogue_destroy(catalogue);
    mlt_table_destroy(table);
}

static void test_demand_for_a_snapshot_finds_its_route_or_a_reason(void **state)
{
    (void)state;
    struct mlt_table *table =
        table_of(ALL_ROUTES SUBSCRIPTION("a", "TRADE", "\"LTC-USDT\"") "," SUBSCRIPTION(
            "b", "BOOK_DELTA",
            "\"ETH-USDT\"") "," SUBSCRIPTION("c", "BOOK",
                                             "\"*-EUR\"") "," SUBSCRIPTION("d", "BOOK_SNAPSHOT",
                                                                           "\"BTC-USDT\"")
                     TABLE_END);
    struct mlt_catalogue *catalogue = catalogue_of(table, 1000);
    struct mlt_demand out = { NULL, 0, 0 };
    assert_string_equal(demand(table, catalogue, "BTC-EUR", 0, &out), "");
    assert_int_equal(out.route->number, 6);
    assert_int_equal(out.limit, 100);
    assert_string_equal(demand(table, catalogue, "ETH-USDT", 1000, &out), "");
    assert_int_equal(out.limit, 1000);
    assert_string_equal(demand(table, catalogue, "BTC-USDT", 5, &out), "");
    assert_string_equal(demand(table, catalogue, "LTC-USDT", 0, &out), "not_subscribed");
    assert_string_equal(demand(table, catalogue, "XRP-USDT", 0, &out), "unknown_instrument");
    mlt_catalogue_destroy(catalogue);
    mlt_table_destroy(table);
    table =
        table_of("{\"version\":1,\"routes\":[{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth\"},"
                 "{\"type\":\"BOOK_SNAPSHOT\",\"ws\":\"{symbol}@depth20\"}],\"subscriptions\":"
                 "[" SUBSCRIPTION("a", "BOOK", "\"BTC-USDT\"") TABLE_END);
    catalogue = catalogue_of(table, 1000);
    assert_string_equal(demand(table, catalogue, "BTC-USDT", 0, &out), "no_route");
    mlt_catalogue_destroy(catalogue);
    mlt_table_destroy(table);
}

static void test_revision_grows_once_a_batch_and_only_when_what_flows_changes(void **state)
{
    (void)state;
    struct mlt_table *table = table_of(ALL_ROUTES SUBSCRIPTION(
        "a", "TRADE", "\"*-USDT\"") "," SUBSCRIPTION("b", "BBO", "\"BTC-USDT\"") TABLE_END);
    struct mlt_catalogue *catalogue = catalogue_of(table, 1000);
    mlt_catalogue_begin(catalogue);
    (void)list(catalogue, "BTC-USDT", "TRADING"); /* named already */
    (void)list(catalogue, "BTC-EUR", "TRADING");  /* nobody wants it */
    assert_int_equal(mlt_catalogue_revision(catalogue), 1000);
    (void)list(catalogue, "ETH-USDT", "TRADING");
    assert_int_equal(mlt_catalogue_revision(catalogue), 1001);
    (void)list(catalogue, "SOL-USDT", "TRADING");
    assert_int_equal(mlt_catalogue_revision(catalogue), 1001);
    mlt_catalogue_begin(catalogue);
    (void)list(catalogue, "SOL-USDT", "HALT");
    assert_int_equal(mlt_catalogue_revision(catalogue), 1001);
    (void)list(catalogue, "XRP-USDT", "TRADING");
    assert_int_equal(mlt_catalogue_revision(catalogue), 1002);
    mlt_catalogue_bump(catalogue);
    assert_int_equal(mlt_catalogue_revision(catalogue), 1003);
    struct mlt_catalogue_counts counts;
    mlt_catalogue_counts(catalogue, &counts);
    assert_int_equal(counts.known, 5);
    assert_int_equal(counts.listed, 5);
    assert_int_equal(counts.subscribed, 4);
    mlt_catalogue_destroy(catalogue);
    mlt_table_destroy(table);
}

/* A Dispatcher that starts anew gets what flows before it has heard the listing. */
static void test_what_a_pattern_covers_is_known_when_its_first_instance_comes(void **state)
{
    (void)state;
    struct mlt_table *table =
        table_of(ALL_ROUTES SUBSCRIPTION("a", "TRADE", "\"*-USDT\"") TABLE_END);
    struct mlt_catalogue *catalogue = catalogue_of(table, 5);
    const struct mlt_catalogue_entry *entry =
        mlt_catalogue_find(catalogue, MLT_SLICE_LITERAL("ETH-USDT"));
    assert_int_equal(entry->types, TYPE_BIT(TRADE));
    assert_false(entry->listed);
    assert_int_equal(mlt_catalogue_revision(catalogue), 6);
    assert_ptr_equal(mlt_catalogue_find(catalogue, MLT_SLICE_LITERAL("ETH-USDT")), entry);
    assert_null(mlt_catalogue_find(catalogue, MLT_SLICE_LITERAL("ETH.X-USDT")));
    assert_ptr_equal(list(catalogue, "ETH-USDT", "TRADING"), entry);
    assert_true(entry->listed && !entry->halted);
    assert_int_equal(entry->price_exponent, -2);
    (void)list(catalogue, "ETH-USDT", "A_STATUS_LONGER_THAN_ANY_WORD");
    assert_true(entry->halted);
    assert_string_equal(entry->status, "A_STATUS_LONGER_THAN_AN");
    mlt_catalogue_destroy(catalogue);
    mlt_table_destroy(table);
}

static void test_limit_is_counted_and_leaves_the_rest_alone(void **state)
{
    (void)state;
    struct mlt_table *table =
        table_of(ALL_ROUTES SUBSCRIPTION("a", "TRADE", "\"*-USDT\"") TABLE_END);
    struct mlt_catalogue *catalogue = catalogue_of(table, 5);
    char token[32];
    const struct mlt_instrument instrument = { .status = MLT_SLICE_LITERAL("TRADING") };
    const struct mlt_catalogue_entry *entry;
    for (unsigned i = 0; i < MLT_CATALOGUE_INSTRUMENTS_MAX; i++) {
        (void)snprintf(token, sizeof token, "T%u-USDT", i);
        (void)list(catalogue, token, "TRADING");
    }
    assert_int_equal(
        mlt_catalogue_listing(catalogue, MLT_SLICE_LITERAL("ONE-USDT"), &instrument, &entry),
        MLT_E_LIMIT);
    assert_null(mlt_catalogue_find(catalogue, MLT_SLICE_LITERAL("TWO-USDT")));
    assert_int_equal(
        mlt_catalogue_listing(catalogue, MLT_SLICE_LITERAL("a.b"), &instrument, &entry),
        MLT_E_PROTOCOL);
    struct mlt_catalogue_counts counts;
    mlt_catalogue_counts(catalogue, &counts);
    assert_int_equal(counts.refused, 2);
    assert_int_equal(counts.known, MLT_CATALOGUE_INSTRUMENTS_MAX);
    assert_non_null(mlt_catalogue_find(catalogue, MLT_SLICE_LITERAL("T7-USDT")));
    mlt_catalogue_destroy(catalogue);
    mlt_table_destroy(table);
}

/* ---- plan ---- */

#define PARTITIONS 4u

static Meltica__V1__NativePlan *plan_of(const struct mlt_table *table,
                                        const struct mlt_catalogue *catalogue, uint32_t partition,
                                        bool expanding)
{
    struct mlt_buf bytes;
    struct mlt_error err = MLT_ERROR_INIT;
    mlt_buf_init(&bytes, 1u << 20);
    assert_int_equal(mlt_plan_encode(table, catalogue, &from_77, partition, PARTITIONS, expanding,
                                     1u << 20, &bytes, &err),
                     MLT_OK);
    Meltica__V1__NativePlan *plan = meltica__v1__native_plan__unpack(NULL, bytes.len, bytes.data);
    assert_non_null(plan);
    mlt_buf_fini(&bytes);
    return plan;
}

static const Meltica__V1__PlanRoute *route_in(const Meltica__V1__NativePlan *plan, uint32_t number)
{
    for (size_t i = 0; i < plan->n_routes; i++) {
        if (plan->routes[i]->route == number) {
            return plan->routes[i];
        }
    }
    return NULL;
}

static bool names(const Meltica__V1__PlanRoute *route, const char *token)
{
    for (size_t i = 0; route != NULL && i < route->n_instruments; i++) {
        if (strcmp(route->instruments[i], token) == 0) {
            return true;
        }
    }
    return false;
}

static bool planned(const struct mlt_table *table, const struct mlt_catalogue *catalogue,
                    uint32_t route, const char *token)
{
    const uint32_t partition = mlt_instrument_slot(mlt_slice_of_string(token)) % PARTITIONS;
    Meltica__V1__NativePlan *plan = plan_of(table, catalogue, partition, false);
    const bool there = names(route_in(plan, route), token);
    meltica__v1__native_plan__free_unpacked(plan, NULL);
    return there;
}

/* Else each such topic would be one that failed, for ever, and many of them hide others. */
static void test_plan_has_what_was_taken_off_the_list_only_by_its_name(void **state)
{
    (void)state;
    struct mlt_table *table = table_of(ALL_ROUTES SUBSCRIPTION(
        "a", "TRADE", "\"*-USDT\"") "," SUBSCRIPTION("b", "BBO", "\"ETH-USDT\"") TABLE_END);
    struct mlt_catalogue *catalogue = catalogue_of(table, 9);
    uint32_t trade = 0, bbo = 0;
    for (size_t i = 0; i < table->route_count; i++) {
        trade = table->routes[i].type == MLT_EVENT_TRADE ? table->routes[i].number : trade;
        bbo = table->routes[i].type == MLT_EVENT_BBO ? table->routes[i].number : bbo;
    }
    static const char *const status[] = { "TRADING", "DELISTED", "DELISTED", "TRADING" };
    static const uint64_t revisions[] = { 9, 10, 10, 11 };
    for (size_t i = 0; i < 4; i++) {
        mlt_catalogue_begin(catalogue);
        (void)list(catalogue, "ETH-USDT", status[i]);
        assert_int_equal(mlt_catalogue_revision(catalogue), revisions[i]);
        assert_int_equal(planned(table, catalogue, trade, "ETH-USDT"), status[i][0] == 'T');
        assert_true(planned(table, catalogue, bbo, "ETH-USDT"));
        expect_types(catalogue, "ETH-USDT", true, TYPE_BIT(TRADE) | TYPE_BIT(BBO));
    }
    mlt_catalogue_destroy(catalogue);
    mlt_table_destroy(table);
}

static void test_plan_has_each_subscribed_instrument_in_its_partition_under_each_route(void **state)
{
    (void)state;
    struct mlt_table *table =
        table_of(ALL_ROUTES SUBSCRIPTION("a", "TRADE", "\"*-USDT\"") "," SUBSCRIPTION(
            "b", "BOOK", "\"BTC-USDT\"") "," SUBSCRIPTION("c", "BOOK_SNAPSHOT", "\"ETH-USDT\"")
                     TABLE_END);
    struct mlt_catalogue *catalogue = catalogue_of(table, 9);
    (void)list(catalogue, "ETH-USDT", "TRADING");
    (void)list(catalogue, "SOL-USDT", "TRADING");
    (void)list(catalogue, "SOL-EUR", "TRADING");
    static const char *const tokens[] = { "BTC-USDT", "ETH-USDT", "SOL-USDT" };
    size_t trades = 0;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        Meltica__V1__NativePlan *plan = plan_of(table, catalogue, p, p == 1);
        assert_int_equal(plan->revision, 10);
        assert_int_equal(plan->boot, 77);
        assert_true(plan->epoch == 9);
        assert_int_equal(plan->partition, p);
        assert_int_equal(plan->expanding, p == 1);
        const Meltica__V1__PlanRoute *listing = route_in(plan, 7);
        assert_non_null(listing);
        assert_int_equal(listing->n_instruments, 0);
        assert_string_equal(listing->rest_function, "exchangeInfo");
        assert_int_equal(listing->rest_interval_ms, 60000);
        for (size_t i = 0; i < 3; i++) {
            const bool here = mlt_instrument_slot(mlt_slice_of_string(tokens[i])) % PARTITIONS == p;
            assert_int_equal(names(route_in(plan, 3), tokens[i]), here);
            trades += here;
            assert_int_equal(names(route_in(plan, 5), tokens[i]), here && i == 0);
            /* A book's snapshots are fetched on demand; only who asks for them gets them by plan.
             */
            assert_int_equal(names(route_in(plan, 6), tokens[i]), here && i == 1);
        }
        const Meltica__V1__PlanRoute *trade = route_in(plan, 3);
        if (trade != NULL) {
            assert_string_equal(trade->ws_topic, "{symbol}@trade");
            assert_int_equal(trade->type, MLT_EVENT_TRADE);
        }
        const Meltica__V1__PlanRoute *snapshot = route_in(plan, 6);
        if (snapshot != NULL) {
            assert_string_equal(snapshot->rest_function, "depth");
            assert_int_equal(snapshot->rest_limit, 100);
        }
        assert_null(route_in(plan, 1)); /* nobody asked for TICKER */
        assert_false(names(trade, "SOL-EUR"));
        meltica__v1__native_plan__free_unpacked(plan, NULL);
    }
    assert_int_equal(trades, 3);
    mlt_catalogue_destroy(catalogue);
    mlt_table_destroy(table);
}

static void test_plan_above_the_payload_says_what_to_do(void **state)
{
    (void)state;
    struct mlt_table *table =
        table_of(ALL_ROUTES SUBSCRIPTION("a", "TRADE", "\"*-USDT\"") TABLE_END);
    struct mlt_catalogue *catalogue = catalogue_of(table, 9);
    char token[32];
    for (unsigned i = 0; i < 500; i++) {
        (void)snprintf(token, sizeof token, "T%u-USDT", i);
        (void)list(catalogue, token, "TRADING");
    }
    struct mlt_buf bytes;
    struct mlt_error err = MLT_ERROR_INIT;
    mlt_buf_init(&bytes, 1u << 20);
    assert_int_equal(
        mlt_plan_encode(table, catalogue, &from_1, 0, 1, false, 1u << 20, &bytes, &err), MLT_OK);
    const size_t whole = bytes.len;
    assert_true(whole < 65536);
    mlt_buf_clear(&bytes);
    assert_int_equal(mlt_plan_encode(table, catalogue, &from_1, 0, 1, false, whole, &bytes, &err),
                     MLT_OK);
    mlt_buf_clear(&bytes);
    assert_int_equal(
        mlt_plan_encode(table, catalogue, &from_1, 0, 1, false, whole - 1, &bytes, &err),
        MLT_E_TOO_BIG);
    assert_non_null(strstr(err.text, "raise --partitions"));
    assert_int_equal(bytes.len, 0);
    mlt_buf_fini(&bytes);
    mlt_catalogue_destroy(catalogue);
    mlt_table_destroy(table);
}

static void test_table_message_has_routes_policies_and_subscriptions(void **state)
{
    (void)state;
    struct mlt_table *table = table_of(
        "{\"version\":1,\"routes\":["
        "{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\",\"discard\":[{\"reason\":\"crossed\"}],"
        "\"filter\":[{\"field\":\"bid_price\",\"op\":\"gt\",\"value\":\"0.5\"}]},"
        "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"
        "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"interval_ms\":5000}}],"
        "\"subscriptions\":[" SUBSCRIPTION("x", "BBO", "\"*\"") "," SUBSCRIPTION(
            "y", "BOOK", "\"BTC-USDT\",\"ETH-*\"") "]}");
    struct mlt_catalogue *catalogue = catalogue_of(table, 42);
    (void)list(catalogue, "SOL-EUR", "TRADING");
    struct mlt_buf bytes;
    mlt_buf_init(&bytes, 1u << 20);
    assert_int_equal(mlt_plan_encode_table(table, catalogue, NULL, &from_5, true, &bytes), MLT_OK);
    Meltica__V1__Table *message = meltica__v1__table__unpack(NULL, bytes.len, bytes.data);
    assert_int_equal(message->revision, 43);
    assert_int_equal(message->boot, 5);
    assert_true(message->epoch == 6);
    assert_int_equal(message->n_routes, 3);
    assert_int_equal(message->routes[0]->n_policies, 2);
    assert_string_equal(message->routes[0]->policies[0], "discard:crossed");
    assert_string_equal(message->routes[0]->policies[1], "filter:bid_price gt 0.5");
    assert_int_equal(message->routes[2]->rest_interval_ms, 5000);
    assert_int_equal(message->instruments_listed, 1);
    assert_int_equal(message->instruments_subscribed, 2);
    assert_int_equal(message->n_subscriptions, 2); /* what a BOOK brings its readers know */
    for (size_t i = 0; i < 2; i++) {
        const Meltica__V1__TableSubscription *s = message->subscriptions[i];
        const bool book = strcmp(s->id, "y") == 0;
        assert_false(s->implied);
        assert_int_equal(s->type, book ? MLT_EVENT_BOOK : MLT_EVENT_BBO);
        assert_int_equal(s->n_instruments, book ? 2 : 1);
    }
    meltica__v1__table__free_unpacked(message, NULL);

    for (int heard = 0; heard < 2; heard++) {
        const struct mlt_plan_live live = { .listing_heard = heard != 0, .now_ns = 5 + heard };
        mlt_buf_clear(&bytes);
        assert_int_equal(
            mlt_plan_encode_table(table, catalogue, &live, &from_5, heard != 0, &bytes), MLT_OK);
        message = meltica__v1__table__unpack(NULL, bytes.len, bytes.data);
        assert_int_equal(message->listing_heard, heard);
        assert_int_equal(message->now, 5 + heard);
        meltica__v1__table__free_unpacked(message, NULL);
    }

    mlt_buf_clear(&bytes);
    assert_int_equal(mlt_plan_encode_table(table, catalogue, NULL, &from_5, false, &bytes), MLT_OK);
    message = meltica__v1__table__unpack(NULL, bytes.len, bytes.data);
    assert_int_equal(message->revision, 43);
    assert_int_equal(message->n_routes + message->n_subscriptions, 0);
    meltica__v1__table__free_unpacked(message, NULL);
    mlt_buf_fini(&bytes);
    mlt_catalogue_destroy(catalogue);
    mlt_table_destroy(table);
}

/* ---- how long the table is ---- */

#define PACKED_MAX (2u << 20)

static size_t packed(const struct mlt_table *table, const struct mlt_catalogue *catalogue,
                     const struct mlt_plan_live *live, size_t *subscriptions)
{
    struct mlt_buf bytes;
    mlt_buf_init(&bytes, PACKED_MAX);
    assert_int_equal(mlt_plan_encode_table(table, catalogue, live, &from_77, true, &bytes), MLT_OK);
    Meltica__V1__Table *message = meltica__v1__table__unpack(NULL, bytes.len, bytes.data);
    assert_non_null(message);
    assert_int_equal(message->table_bytes, mlt_catalogue_table_bytes(catalogue, live->live));
    *subscriptions = message->n_subscriptions;
    meltica__v1__table__free_unpacked(message, NULL);
    const size_t len = bytes.len;
    mlt_buf_fini(&bytes);
    return len;
}

#define LONG_NAMES 1000

/* A subscription of 1,000 names of the longest kind; every second one on a private channel. */
struct long_record {
    Meltica__V1__ControlRecord message;
    Meltica__V1__Comparison comparison, *filter[1];
    char texts[LONG_NAMES][MLT_INSTRUMENT_BYTES_MAX + 1], *names[LONG_NAMES];
    char id[MLT_LIVE_NAME_BYTES_MAX + 1], who[MLT_LIVE_NAME_BYTES_MAX + 1];
    char field[16], op[4], value[16];
};

static void init_long(struct long_record *r)
{
    Meltica__V1__ControlRecord *message = &r->message;
    memset(r, 0, sizeof *r);
    meltica__v1__control_record__init(message);
    meltica__v1__comparison__init(&r->comparison);
    (void)snprintf(r->field, sizeof r->field, "bid_price");
    (void)snprintf(r->op, sizeof r->op, "ge");
    (void)snprintf(r->value, sizeof r->value, "0.00000001");
    r->comparison.field = r->field;
    r->comparison.op = r->op;
    r->comparison.value = r->value;
    r->filter[0] = &r->comparison;
    memset(r->who, 'w', sizeof r->who - 1);
    for (size_t i = 0; i < LONG_NAMES; i++) {
        memset(r->texts[i], 'A', sizeof r->texts[i] - 1);
        (void)snprintf(r->texts[i] + MLT_INSTRUMENT_BYTES_MAX - 6, 7, "%04zu-*", i);
        r->names[i] = r->texts[i];
    }
    message->subscription = r->id;
    message->principal = message->consumer = r->who;
    message->type = MELTICA__V1__EVENT_TYPE__BBO;
    message->instruments = r->names;
    message->n_instruments = LONG_NAMES;
    message->filter = r->filter;
    message->lease_end = UINT64_MAX;
}

/* As the Dispatcher takes it, but that what is refused stays. */
static enum mlt_status take_long(const struct mlt_table *table, struct mlt_catalogue *catalogue,
                                 struct mlt_live *live, struct long_record *r, size_t n,
                                 bool active)
{
    struct mlt_live_item *released = NULL;
    bool changed = false;
    (void)snprintf(r->id, sizeof r->id, "s%062zu", n);
    r->message.active = active;
    r->message.private_lane = n % 2 == 1;
    r->message.n_filter = n % 2;
    r->message.throttle_ms = n % 2 == 1 ? 60000 : 0;
    assert_int_equal(mlt_live_apply(live, table, &r->message, UINT64_MAX, &released, &changed),
                     MLT_OK);
    struct mlt_live_item *item = mlt_live_find(live, r->id);
    if (item != NULL) {
        item->state = MLT_LIVE_CONFIRMED; /* the longest word */
    }
    mlt_live_release(released);
    return mlt_catalogue_follow(catalogue, live, item);
}

static struct mlt_table *table_with_policies(void)
{
    return table_of(
        "{\"version\":1,\"routes\":[{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\","
        "\"discard\":[{\"reason\":\"crossed\"}],\"filter\":[{\"field\":\"bid_price\",\"op\":\"gt\","
        "\"value\":\"0.5\"}]}],\"subscriptions\":[" SUBSCRIPTION("x", "BBO", "\"*\"") "]}");
}

/* What is counted is never less than what it takes in the end, and what ends gives it back. */
static void test_a_table_that_would_not_fit_in_a_message_is_refused(void **state)
{
    (void)state;
    static struct long_record r;
    struct mlt_table *table = table_with_policies();
    struct mlt_catalogue *catalogue = catalogue_of(table, 1000);
    struct mlt_live live;
    const struct mlt_plan_live told = { .live = &live, .log_read = true, .now_ns = 1 };
    size_t count = 0, told_of = 0, len = 0;
    init_long(&r);
    mlt_live_init(&live);
    len = packed(table, catalogue, &told, &told_of); /* the file's */
    assert_true(len <= mlt_catalogue_table_bytes(catalogue, &live) + 64);
    while (count < 16 && take_long(table, catalogue, &live, &r, count, true) == MLT_OK) {
        len = packed(table, catalogue, &told, &told_of);
        assert_int_equal(told_of, ++count + 1);
        assert_true(len <= mlt_catalogue_table_bytes(catalogue, &live) + 64);
    }
    assert_int_equal(count, 9); /* of 98 KB each: ten are more than 944 KiB */
    assert_true(len <= MLT_DEMAND_TABLE_BYTES_MAX + 64);
    for (size_t n = 0; n < 2; n++) { /* what was refused is there, too */
        assert_int_equal(take_long(table, catalogue, &live, &r, n, false), MLT_OK);
    }
    assert_int_equal(take_long(table, catalogue, &live, &r, 0, true), MLT_OK);
    for (size_t n = 0; n <= count; n++) {
        assert_int_equal(take_long(table, catalogue, &live, &r, n, false), MLT_OK);
    }
    assert_int_equal(live.count, 0);
    assert_int_equal(live.table_bytes, 0);
    mlt_live_fini(&live);
    mlt_catalogue_destroy(catalogue);
    mlt_table_destroy(table);
}

/* As the log of an earlier release may have it: nothing of it is lost, and who names one is told of
 * that one. */
static void test_what_is_live_beyond_the_message_stays_and_is_told_one_by_one(void **state)
{
    (void)state;
    static struct long_record r;
    struct mlt_table *table = table_with_policies();
    struct mlt_catalogue *catalogue = catalogue_of(table, 1000);
    struct mlt_live live;
    struct mlt_plan_live one = { .live = &live, .log_read = true };
    size_t told_of = 0;
    init_long(&r);
    mlt_live_init(&live);
    for (size_t n = 0; n < 16; n++) {
        const enum mlt_status status = take_long(table, catalogue, &live, &r, n, true);
        assert_int_equal(status, n < 9 ? MLT_OK : MLT_E_LIMIT);
    }
    assert_int_equal(mlt_catalogue_subscribe(catalogue, &live), MLT_OK);
    expect_types(catalogue, "X-Y", true, TYPE_BIT(BBO));
    one.only = r.id;
    assert_true(packed(table, catalogue, &one, &told_of) < 110000);
    assert_int_equal(told_of, 1);
    one.only = "x"; /* of the file */
    assert_true(packed(table, catalogue, &one, &told_of) < 1000);
    assert_int_equal(told_of, 0);
    assert_int_equal(take_long(table, catalogue, &live, &r, 15, false), MLT_OK);
    mlt_live_fini(&live);
    mlt_catalogue_destroy(catalogue);
    mlt_table_destroy(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_subscriptions_are_known_at_once_with_their_types),
        cmocka_unit_test(test_plan_has_what_was_taken_off_the_list_only_by_its_name),
        cmocka_unit_test(test_what_was_taken_off_the_list_is_not_listed),
        cmocka_unit_test(test_what_patterns_cover_is_what_matches_them),
        cmocka_unit_test(test_what_two_patterns_cover_has_one_place),
        cmocka_unit_test(test_a_table_that_would_not_fit_in_a_message_is_refused),
        cmocka_unit_test(test_what_is_live_beyond_the_message_stays_and_is_told_one_by_one),
        cmocka_unit_test(test_types_of_a_token_do_not_make_it_known),
        cmocka_unit_test(test_demand_for_a_snapshot_finds_its_route_or_a_reason),
        cmocka_unit_test(test_demand_for_trades_finds_the_route_of_their_type),
        cmocka_unit_test(test_revision_grows_once_a_batch_and_only_when_what_flows_changes),
        cmocka_unit_test(test_what_a_pattern_covers_is_known_when_its_first_instance_comes),
        cmocka_unit_test(test_limit_is_counted_and_leaves_the_rest_alone),
        cmocka_unit_test(
            test_plan_has_each_subscribed_instrument_in_its_partition_under_each_route),
        cmocka_unit_test(test_plan_above_the_payload_says_what_to_do),
        cmocka_unit_test(test_table_message_has_routes_policies_and_subscriptions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
