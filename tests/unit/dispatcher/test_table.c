#include "mlt_test.h"

#include "table.h"

#include <stdio.h>
#include <stdlib.h>

#define ROUTES_HEAD "{\"version\":1,\"routes\":["
#define TRADE_ROUTE "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"}"

static struct mlt_table *parsed(const char *json)
{
    struct mlt_table *table = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    if (mlt_table_parse(mlt_slice_of_string(json), &table, &err) != MLT_OK) {
        fail_msg("refused: %s", err.text);
    }
    return table;
}

/* What is refused, the path that the message names, and the remedy in it. */
static const struct refusal {
    const char *json;
    const char *path;
    const char *remedy;
} refusals[] = {
    { "", "line 1, column 1", "write one JSON object" },
    { "{\"version\":1,\n\"routes\":[}", "line 2", "write one JSON object" },
    { "{\"version\":1} x", "line 1, column 15", "remove it" },
    { "[]", "the document: is no object", "write {...}" },
    { "{\"version\":1,\"route\":[]}", "route: is unknown",
      "known here are $schema, version, routes, subscriptions" },
    { "{\"routes\":[" TRADE_ROUTE "]}", "version: is missing", "write an integer from 1 to 1" },
    { "{\"version\":2,\"routes\":[" TRADE_ROUTE "]}", "version: is not an integer from 1 to 1",
      "" },
    { "{\"version\":1.5,\"routes\":[" TRADE_ROUTE "]}", "version: is not an integer", "" },
    { "{\"version\":1}", "routes: is missing", "write a list" },
    { "{\"version\":1,\"routes\":{}}", "routes: is no list", "write [...]" },
    { "{\"version\":1,\"routes\":[]}", "routes: has 0 entries", "write 1 to 64" },
    { ROUTES_HEAD "7]}", "routes[0]: is no object", "write {...}" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"wss\":\"x\"}]}", "routes[0].wss: is unknown",
      "known here are type, ws, rest" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"type\":\"BBO\"}]}", "routes[0].type: is there twice",
      "remove one" },
    { ROUTES_HEAD "{\"ws\":\"{symbol}@trade\"}]}", "routes[0].type: is missing", "write a string" },
    { ROUTES_HEAD "{\"type\":3}]}", "routes[0].type: is no string", "write it in quotes" },
    { ROUTES_HEAD "{\"type\":\"trade\"}]}",
      "routes[0].type: \"trade\" is none of TICKER, BBO, TRADE", "" },
    { ROUTES_HEAD "{\"type\":\"BOOK\"}]}", "routes[0].type: \"BOOK\" is none of", "" },
    { ROUTES_HEAD "{\"type\":\"STATUS\"}]}", "routes[0].type: \"STATUS\" is none of", "" },
    { ROUTES_HEAD "{\"type\":\"TRADE\"}]}", "routes[0]: has no source",
      "write \"ws\", \"rest\" or both" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"ws\":\"\"}]}", "routes[0].ws: has 0 bytes",
      "write 1 to 63" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"ws\":\"btcusdt@trade\"}]}",
      "routes[0].ws:", "write {symbol}@trade" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"ws\":\"{symbol}@tra de\"}]}",
      "routes[0].ws: \"{symbol}@tra de\" has a byte that no topic has at place 13", "use letters" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"ws\":\"{symbol}@{symbol}\"}]}",
      "routes[0].ws:", "use letters" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"ws\":\"{symbol}@x_{interval}\"}]}",
      "routes[0].ws: has {interval}", "add them" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"intervals\":[\"1m\"]}]}",
      "routes[0].intervals: belongs to KLINE only", "remove it" },
    { ROUTES_HEAD "{\"type\":\"KLINE\",\"ws\":\"{symbol}@kline\"}]}",
      "routes[0].ws: names no interval", "write {symbol}@kline_1m" },
    { ROUTES_HEAD "{\"type\":\"KLINE\",\"ws\":\"{symbol}@kline_1m\",\"intervals\":[\"1m\"]}]}",
      "routes[0].ws: has no {interval}", "write {symbol}@kline_{interval}" },
    { ROUTES_HEAD "{\"type\":\"KLINE\",\"ws\":\"{symbol}@kline_{interval}\",\"intervals\":[]}]}",
      "routes[0].intervals: has 0 entries", "write 1 to 20" },
    { ROUTES_HEAD
      "{\"type\":\"KLINE\",\"ws\":\"{symbol}@kline_{interval}\",\"intervals\":[\"1m\",5]}]}",
      "routes[0].intervals[1]: is no interval", "write one like" },
    { ROUTES_HEAD
      "{\"type\":\"KLINE\",\"ws\":\"{symbol}@kline_{interval}\",\"intervals\":[\"1m\",\"1m\"]}]}",
      "routes[0].intervals[1]: is a second route for KLINE 1m", "remove it" },
    { ROUTES_HEAD TRADE_ROUTE "," TRADE_ROUTE "]}", "routes[1]: is a second route for TRADE",
      "remove it" },
    { ROUTES_HEAD "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":\"depth\"}]}",
      "routes[0].rest: is no object", "write {...}" },
    { ROUTES_HEAD "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"fn\":\"depth\"}}]}",
      "routes[0].rest.fn: is unknown", "known here are function, interval_ms, limit" },
    { ROUTES_HEAD "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"trades\"}}]}",
      "routes[0].rest.function: \"trades\" is none of depth, exchangeInfo", "" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"rest\":{\"function\":\"depth\"}}]}",
      "routes[0].rest.function: \"depth\" gives BOOK_SNAPSHOT, not TRADE",
      "change the route's type" },
    { ROUTES_HEAD "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":5001}}]}",
      "routes[0].rest.limit: is not an integer from 1 to 5000", "write one" },
    { ROUTES_HEAD
      "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":\"10\"}}]}",
      "routes[0].rest.limit: is not an integer", "write one" },
    { ROUTES_HEAD
      "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"interval_ms\":999}}]}",
      "routes[0].rest.interval_ms: is below 1000", "raise it" },
    { "{\"version\":1,\"routes\":["
      "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"rest\":{\"function\":\"historicalTrades\","
      "\"interval_ms\":5000}}]}",
      "routes[0].rest.interval_ms: is nothing that historicalTrades has", "remove it" },
    { "{\"version\":1,\"routes\":["
      "{\"type\":\"AGG_TRADE\",\"rest\":{\"function\":\"aggTrades\"}}]}",
      "routes[0].rest: is asked for what is missing of \"ws\"", "add it" },
    { "{\"version\":1,\"routes\":["
      "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"rest\":{\"function\":\"aggTrades\"}}]}",
      "routes[0].rest.function: \"aggTrades\" gives AGG_TRADE, not TRADE",
      "change the route's type" },
    { ROUTES_HEAD
      "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"limit\":5}}]}",
      "routes[0].rest.limit: is nothing that exchangeInfo has", "remove it" },
    /* policies */
    { ROUTES_HEAD "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth\",\"filter\":[]}]}",
      "routes[0].filter: never applies to BOOK_DELTA", "remove it" },
    { ROUTES_HEAD
      "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth\",\"discard\":[{\"reason\":\"stale\"}]}]}",
      "routes[0].discard: never applies to BOOK_DELTA", "remove it" },
    { ROUTES_HEAD "{\"type\":\"BOOK_SNAPSHOT\",\"ws\":\"{symbol}@depth20\",\"filter\":[]}]}",
      "routes[0].filter: never applies to BOOK_SNAPSHOT", "remove it" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"discard\":{}}]}",
      "routes[0].discard: is no list", "write [...]" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"discard\":[{}]}]}",
      "routes[0].discard[0].reason: is missing", "write a string" },
    { ROUTES_HEAD
      "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"discard\":[{\"reason\":\"old\"}]}]}",
      "routes[0].discard[0].reason: \"old\" is none of zero, crossed, stale, not_trading", "" },
    { ROUTES_HEAD
      "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"discard\":[{\"reason\":\"crossed\"}]}]}",
      "routes[0].discard[0].reason: \"crossed\" does not apply to TRADE", "only to BBO" },
    { ROUTES_HEAD "{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\",\"discard\":[{\"reason\":"
                  "\"stale\",\"max_age_ms\":5}]}]}",
      "routes[0].discard[0].reason: \"stale\" does not apply to BBO",
      "only to TICKER, TRADE, AGG_TRADE, KLINE" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"discard\":[{\"reason\":\"zero\"}"
                  ",{\"reason\":\"zero\"}]}]}",
      "routes[0].discard[1].reason: \"zero\" is there twice", "remove one" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"discard\":[{\"reason\":\"zero\","
                  "\"max_age_ms\":5}]}]}",
      "routes[0].discard[0].max_age_ms: belongs to \"stale\" only", "remove it" },
    { ROUTES_HEAD
      "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"discard\":[{\"reason\":\"stale\"}]}]}",
      "routes[0].discard[0].max_age_ms: is missing", "write an integer from 1 to 3600000" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"filter\":[{\"field\":\"size\","
                  "\"op\":\"gt\",\"value\":\"1\"}]}]}",
      "routes[0].filter[0].field: \"size\" cannot be compared",
      "TRADE has trade_id, price, quantity" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"filter\":[{\"field\":\"price\","
                  "\"op\":\">\",\"value\":\"1\"}]}]}",
      "routes[0].filter[0].op: \">\" is none of eq, ne, lt, le, gt, ge", "" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"filter\":[{\"field\":\"price\","
                  "\"op\":\"gt\",\"value\":1.5}]}]}",
      "routes[0].filter[0].value: is a number", "write it in quotes" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"filter\":[{\"field\":\"price\","
                  "\"op\":\"gt\",\"value\":\"1e5\"}]}]}",
      "routes[0].filter[0].value: \"1e5\" is no decimal number", "write it like" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"filter\":[{\"field\":"
                  "\"aggressor\",\"op\":\"gt\",\"value\":\"BUY\"}]}]}",
      "routes[0].filter[0].op: aggressor is text", "only eq and ne compare it" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"filter\":[{\"field\":"
                  "\"notional\",\"op\":\"gt\",\"value\":\"5\"}]}]}",
      "routes[0].filter[0].field: notional is there only after", "add it to the route" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"enrich\":[\"tick\"]}]}",
      "routes[0].enrich[0]: \"tick\" is unknown", "only \"notional\" is there" },
    { ROUTES_HEAD "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"enrich\":[1]}]}",
      "routes[0].enrich[0]: is no string", "write \"notional\"" },
    { ROUTES_HEAD "{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\",\"enrich\":[\"notional\"]}]}",
      "routes[0].enrich[0]: \"notional\" does not apply to BBO", "only to TRADE, AGG_TRADE" },
    /* subscriptions */
    { ROUTES_HEAD TRADE_ROUTE "],\"subscriptions\":[{\"type\":\"TRADE\",\"instruments\":[\"*\"]}]}",
      "subscriptions[0].id: is missing", "write a string" },
    { ROUTES_HEAD TRADE_ROUTE "],\"subscriptions\":[{\"id\":\"a\",\"type\":\"TRADE\"}]}",
      "subscriptions[0].instruments: is missing", "write a list" },
    { ROUTES_HEAD TRADE_ROUTE
      "],\"subscriptions\":[{\"id\":\"a\",\"type\":\"TRADE\",\"instruments\":[]}]}",
      "subscriptions[0].instruments: has 0 entries", "write 1 to" },
    { ROUTES_HEAD TRADE_ROUTE
      "],\"subscriptions\":[{\"id\":\"a\",\"type\":\"TRADE\",\"instruments\":[\"*\",\"BTC*\"]}]}",
      "subscriptions[0].instruments[1]: \"BTC*\" is no instrument or pattern",
      "write BTC-USDT, BTC-*, *-USDT or *" },
    { ROUTES_HEAD TRADE_ROUTE
      "],\"subscriptions\":[{\"id\":\"a\",\"type\":\"TRADE\",\"instruments\":[7]}]}",
      "subscriptions[0].instruments[0]:", "write BTC-USDT" },
    { ROUTES_HEAD TRADE_ROUTE
      "],\"subscriptions\":[{\"id\":\"a\",\"type\":\"BBO\",\"instruments\":[\"*\"]}]}",
      "subscriptions[0].type: BBO needs a route for BBO", "add it to \"routes\"" },
    { ROUTES_HEAD "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth\"}],\"subscriptions\":[{\"id\":"
                  "\"a\",\"type\":\"BOOK\",\"instruments\":[\"*\"]}]}",
      "subscriptions[0].type: BOOK needs a route for BOOK_SNAPSHOT", "add it to \"routes\"" },
    { ROUTES_HEAD TRADE_ROUTE
      "],\"subscriptions\":[{\"id\":\"a\",\"type\":\"TRADE\",\"instruments\":[\"*\"]},{\"id\":"
      "\"a\",\"type\":\"TRADE\",\"instruments\":[\"*\"]}]}",
      "subscriptions[1].id: \"a\" is the id of subscriptions[0]", "choose another" },
    { ROUTES_HEAD TRADE_ROUTE
      "],\"subscriptions\":[{\"id\":\"a\",\"type\":\"TRADE\",\"instrument\":[\"*\"]}]}",
      "subscriptions[0].instrument: is unknown", "known here are id, type, instruments" },
};

static void test_what_is_wrong_is_refused_with_its_path_and_a_remedy(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct mlt_table *table = NULL;
        struct mlt_error err = MLT_ERROR_INIT;
        if (mlt_table_parse(mlt_slice_of_string(refusals[i].json), &table, &err) != MLT_E_CONFIG) {
            fail_msg("accepted: %s", refusals[i].json);
        }
        assert_null(table);
        if (strstr(err.text, refusals[i].path) == NULL ||
            strstr(err.text, refusals[i].remedy) == NULL) {
            fail_msg("%s\n  says: %s\n  and not: %s ... %s", refusals[i].json, err.text,
                     refusals[i].path, refusals[i].remedy);
        }
    }
}

static void test_limits_are_exact(void **state)
{
    (void)state;
    static char json[MLT_TABLE_FILE_BYTES_MAX + 100];
    struct mlt_table *table = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    memset(json, ' ', sizeof json);
    static const char head[] = ROUTES_HEAD TRADE_ROUTE "]}";
    memcpy(json, head, sizeof head - 1);
    assert_int_equal(mlt_table_parse(mlt_slice_of(json, MLT_TABLE_FILE_BYTES_MAX), &table, &err),
                     MLT_OK);
    mlt_table_destroy(table);
    assert_int_equal(
        mlt_table_parse(mlt_slice_of(json, MLT_TABLE_FILE_BYTES_MAX + 1), &table, &err),
        MLT_E_CONFIG);
    assert_non_null(strstr(err.text, "use patterns"));

    /* 63 bytes of id and 63 of topic fit, 64 do not. */
    for (int extra = 0; extra < 2; extra++) {
        (void)snprintf(json, sizeof json,
                       ROUTES_HEAD
                       "{\"type\":\"TRADE\",\"ws\":\"{symbol}@%0*d\"}],\"subscriptions\":[{"
                       "\"id\":\"%0*d\",\"type\":\"TRADE\",\"instruments\":[\"*\"]}]}",
                       54, 0, 63 + extra, 0);
        const enum mlt_status status = mlt_table_parse(mlt_slice_of_string(json), &table, &err);
        assert_int_equal(status, extra == 0 ? MLT_OK : MLT_E_CONFIG);
        if (status == MLT_OK) {
            mlt_table_destroy(table);
        }
    }
}

static void test_routes_are_numbered_in_order_and_intervals_make_one_each(void **state)
{
    (void)state;
    struct mlt_table *table = parsed(
        ROUTES_HEAD TRADE_ROUTE
        ",{\"type\":\"KLINE\",\"ws\":\"{symbol}@kline_{interval}\",\"intervals\":[\"1m\",\"4h\"]},"
        "{\"type\":\"KLINE\",\"ws\":\"{symbol}@kline_1d\"},"
        "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":5000}}]}");
    assert_int_equal(table->route_count, 5);
    for (size_t i = 0; i < table->route_count; i++) {
        assert_int_equal(table->routes[i].number, i + 1);
    }
    assert_string_equal(table->routes[1].ws_topic, "{symbol}@kline_1m");
    assert_string_equal(table->routes[2].ws_topic, "{symbol}@kline_4h");
    assert_string_equal(table->routes[3].interval, "1d");
    assert_int_equal(table->routes[4].rest_limit, 5000);
    assert_int_equal(table->routes[4].rest_interval_ms, 0);
    assert_int_equal(mlt_table_route(table, MLT_EVENT_KLINE, MLT_SLICE_LITERAL("1m"))->number, 2);
    assert_int_equal(mlt_table_route(table, MLT_EVENT_KLINE, MLT_SLICE_LITERAL("4h"))->number, 3);
    assert_int_equal(mlt_table_route(table, MLT_EVENT_KLINE, MLT_SLICE_LITERAL("1d"))->number, 4);
    assert_null(mlt_table_route(table, MLT_EVENT_KLINE, MLT_SLICE_LITERAL("1M")));
    assert_int_equal(mlt_table_route(table, MLT_EVENT_TRADE, MLT_SLICE_EMPTY)->number, 1);
    assert_null(mlt_table_route(table, MLT_EVENT_BBO, MLT_SLICE_EMPTY));
    mlt_table_destroy(table);
}

static void test_policies_are_read_and_said_in_words(void **state)
{
    (void)state;
    struct mlt_table *table =
        parsed(ROUTES_HEAD
               "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\","
               "\"filter\":[{\"field\":\"notional\",\"op\":\"ge\",\"value\":\"10.50\"},"
               "{\"field\":\"aggressor\",\"op\":\"eq\",\"value\":\"BUY\"}],"
               "\"enrich\":[\"notional\"],"
               "\"discard\":[{\"reason\":\"stale\",\"max_age_ms\":1500},{\"reason\":\"zero\"}]}]}");
    const struct mlt_route *route = &table->routes[0];
    assert_int_equal(route->stale_after_ns, 1500000000);
    assert_true(route->enrich_notional);
    assert_int_equal(route->filter_count, 2);
    assert_true(route->filters[0].number.mantissa == 1050 &&
                route->filters[0].number.exponent == -2);
    static const char *const words[] = { "discard:zero", "discard:stale max_age_ms 1500",
                                         "enrich:notional", "filter:notional ge 10.50",
                                         "filter:aggressor eq BUY" };
    char text[MLT_TABLE_POLICY_BYTES_MAX];
    for (size_t i = 0; i < 5; i++) {
        assert_true(mlt_table_policy_text(route, i, text, sizeof text));
        assert_string_equal(text, words[i]);
    }
    assert_false(mlt_table_policy_text(route, 5, text, sizeof text));
    mlt_table_destroy(table);
}

static void test_book_stands_for_what_it_is_made_of(void **state)
{
    (void)state;
    assert_int_equal(mlt_table_types_of(MLT_EVENT_BOOK),
                     1u << MLT_EVENT_BOOK | 1u << MLT_EVENT_BOOK_DELTA);
    assert_int_equal(mlt_table_types_of(MLT_EVENT_TRADE), 1u << MLT_EVENT_TRADE);
    assert_int_equal(mlt_table_sources_of(MLT_EVENT_BOOK),
                     1u << MLT_EVENT_BOOK_DELTA | 1u << MLT_EVENT_BOOK_SNAPSHOT);
    assert_int_equal(mlt_table_sources_of(MLT_EVENT_TRADE), 1u << MLT_EVENT_TRADE);
}

static void check_shipped(const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/services/dispatcher/%s", getenv("MELTICA_SOURCE_DIR"),
                   name);
    struct mlt_table *table = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    if (mlt_table_load(path, &table, &err) != MLT_OK) {
        fail_msg("%s", err.text);
    }
    for (int type = MLT_EVENT_TICKER; type <= MLT_EVENT_BOOK_SNAPSHOT; type++) {
        assert_non_null(table->first_of_type[type]);
    }
    assert_non_null(table->first_of_type[MLT_EVENT_INSTRUMENT]);
    assert_true(table->subscription_count > 0);
    mlt_table_destroy(table);
}

static void test_shipped_tables_are_good_and_route_every_type(void **state)
{
    (void)state;
    struct mlt_table *table = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    check_shipped("dispatch.json");
    check_shipped("dispatch-all.json");
    assert_int_equal(mlt_table_load("/nonexistent/dispatch.json", &table, &err), MLT_E_CONFIG);
    assert_non_null(strstr(err.text, "/nonexistent/dispatch.json: cannot be opened"));
}

static const struct {
    const char *pattern, *token;
    int valid, wild, match;
} patterns[] = {
    { "*", "BTC-USDT", 1, 1, 1 },
    { "BTC-USDT", "BTC-USDT", 1, 0, 1 },
    { "BTC-USDT", "BTC-USD", 1, 0, 0 },
    { "BTC-*", "BTC-USDT", 1, 1, 1 },
    { "BTC-*", "BTCB-USDT", 1, 1, 0 },
    { "BTC-*", "WBTC-USDT", 1, 1, 0 },
    { "*-USDT", "BTC-USDT", 1, 1, 1 },
    { "*-USDT", "USDT-BTC", 1, 1, 0 },
    { "*-USD", "BTC-USDT", 1, 1, 0 },
    { "=E5=B8=81-*", "=E5=B8=81-USDT", 1, 1, 1 },
    { "A=2DB-*", "A=2DB-USDT", 1, 1, 1 },
    { "", "BTC-USDT", 0, 0, 0 },
    { "BTC", "BTC-USDT", 0, 0, 0 },
    { "-USDT", "BTC-USDT", 0, 0, 0 },
    { "BTC-", "BTC-USDT", 0, 0, 0 },
    { "*-*", "BTC-USDT", 0, 0, -1 },
    { "B*-USDT", "BTC-USDT", 0, 0, 0 },
    { "BTC-US*", "BTC-USDT", 0, 0, 0 },
    { "BTC-USDT-X", "BTC-USDT-X", 0, 0, 0 },
    { "BTC.USDT", "BTC.USDT", 0, 0, 0 },
    { "BTC->", "BTC-USDT", 0, 0, 0 },
    { "**", "BTC-USDT", 0, 0, 0 },
};

static void test_patterns(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        const struct mlt_slice pattern = mlt_slice_of_string(patterns[i].pattern);
        if (mlt_pattern_valid(pattern) != patterns[i].valid ||
            mlt_pattern_wild(pattern) != patterns[i].wild) {
            fail_msg("%s: valid %d, wild %d", patterns[i].pattern, mlt_pattern_valid(pattern),
                     mlt_pattern_wild(pattern));
        }
        if (patterns[i].match >= 0 &&
            mlt_pattern_match(pattern, mlt_slice_of_string(patterns[i].token)) !=
                patterns[i].match) {
            fail_msg("%s against %s", patterns[i].pattern, patterns[i].token);
        }
    }
    char longest[MLT_INSTRUMENT_BYTES_MAX + 2];
    memset(longest, 'A', sizeof longest);
    longest[1] = '-';
    assert_true(mlt_pattern_valid(mlt_slice_of(longest, MLT_INSTRUMENT_BYTES_MAX)));
    assert_false(mlt_pattern_valid(mlt_slice_of(longest, MLT_INSTRUMENT_BYTES_MAX + 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_wrong_is_refused_with_its_path_and_a_remedy),
        cmocka_unit_test(test_limits_are_exact),
        cmocka_unit_test(test_routes_are_numbered_in_order_and_intervals_make_one_each),
        cmocka_unit_test(test_policies_are_read_and_said_in_words),
        cmocka_unit_test(test_book_stands_for_what_it_is_made_of),
        cmocka_unit_test(test_shipped_tables_are_good_and_route_every_type),
        cmocka_unit_test(test_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
