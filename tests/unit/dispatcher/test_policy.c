#include "support.h"

#include "policy.h"

#include <stdio.h>

static struct mlt_table *trade_table(const char *policies)
{
    static char json[1024];
    const int n = snprintf(
        json, sizeof json,
        "{\"version\":1,\"routes\":[{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"%s}]}", policies);
    assert_true(n > 0 && (size_t)n < sizeof json);
    return table_of(json);
}

static struct mlt_event trade_of(const char *price, const char *quantity)
{
    struct mlt_event event;
    memset(&event, 0, sizeof event);
    event.type = MLT_EVENT_TRADE;
    event.u.trade.price = decimal_of(price);
    event.u.trade.quantity = decimal_of(quantity);
    event.u.trade.aggressor = MLT_SIDE_BUY;
    return event;
}

static enum mlt_verdict verdict(const struct mlt_table *table, const char *price,
                                const char *quantity)
{
    struct mlt_event event = trade_of(price, quantity);
    return mlt_policy_apply(&table->routes[0], &event, false).verdict;
}

/* A boundary that doubles cannot tell: 0.1 + 2^-60 and its like. */
static void test_filter_compares_exact_decimals(void **state)
{
    (void)state;
    struct mlt_table *table = trade_table(
        ",\"filter\":[{\"field\":\"price\",\"op\":\"gt\",\"value\":\"0.100000000000000001\"}]");
    assert_int_equal(verdict(table, "0.100000000000000002", "1"), MLT_VERDICT_PASS);
    assert_int_equal(verdict(table, "0.100000000000000001", "1"), MLT_VERDICT_FILTERED);
    assert_int_equal(verdict(table, "0.1", "1"), MLT_VERDICT_FILTERED);
    assert_int_equal(verdict(table, "1", "1"), MLT_VERDICT_PASS);
    mlt_table_destroy(table);
}

static void test_every_filter_of_a_route_must_hold(void **state)
{
    (void)state;
    struct mlt_table *table =
        trade_table(",\"filter\":[{\"field\":\"price\",\"op\":\"ge\",\"value\":\"10\"},"
                    "{\"field\":\"quantity\",\"op\":\"lt\",\"value\":\"5\"},"
                    "{\"field\":\"aggressor\",\"op\":\"eq\",\"value\":\"BUY\"}]");
    assert_int_equal(verdict(table, "10.00", "4.999"), MLT_VERDICT_PASS);
    assert_int_equal(verdict(table, "9.99", "4.999"), MLT_VERDICT_FILTERED);
    assert_int_equal(verdict(table, "10.00", "5.000"), MLT_VERDICT_FILTERED);
    struct mlt_event sell = trade_of("10", "1");
    sell.u.trade.aggressor = MLT_SIDE_SELL;
    assert_int_equal(mlt_policy_apply(&table->routes[0], &sell, false).verdict,
                     MLT_VERDICT_FILTERED);
    mlt_table_destroy(table);
}

static void test_notional_is_exact_and_can_be_filtered_on(void **state)
{
    (void)state;
    struct mlt_table *table =
        trade_table(",\"enrich\":[\"notional\"],"
                    "\"filter\":[{\"field\":\"notional\",\"op\":\"ge\",\"value\":\"100\"}]");
    struct mlt_event event = trade_of("61602.01", "0.00162334");
    struct mlt_policy_outcome outcome = mlt_policy_apply(&table->routes[0], &event, false);
    assert_int_equal(outcome.verdict, MLT_VERDICT_PASS);
    char text[MLT_DECIMAL_TEXT_BYTES_MAX];
    mlt_decimal_format_trimmed(event.u.trade.notional, text, sizeof text);
    assert_true(event.u.trade.has_notional);
    assert_string_equal(text, "100.0010069134");
    event = trade_of("61602.01", "0.00162331");
    assert_int_equal(mlt_policy_apply(&table->routes[0], &event, false).verdict,
                     MLT_VERDICT_FILTERED);
    /* What does not fit goes on without it, and is not taken for a great number. */
    event = trade_of("9223372036854775807", "9223372036854775807");
    outcome = mlt_policy_apply(&table->routes[0], &event, false);
    assert_true(outcome.enrich_failed);
    assert_false(event.u.trade.has_notional);
    assert_int_equal(outcome.verdict, MLT_VERDICT_FILTERED);
    mlt_table_destroy(table);
}

static void test_zero_discards_trades_without_price_or_quantity(void **state)
{
    (void)state;
    struct mlt_table *table = trade_table(",\"discard\":[{\"reason\":\"zero\"}]");
    struct mlt_event event = trade_of("0.00", "1");
    struct mlt_policy_outcome outcome = mlt_policy_apply(&table->routes[0], &event, false);
    assert_int_equal(outcome.verdict, MLT_VERDICT_DISCARDED);
    assert_int_equal(outcome.discard, MLT_DISCARD_ZERO);
    assert_int_equal(verdict(table, "1", "0.000"), MLT_VERDICT_DISCARDED);
    assert_int_equal(verdict(table, "0.00000001", "0.00000001"), MLT_VERDICT_PASS);
    mlt_table_destroy(table);
}

static void test_crossed_discards_bbo_at_and_above_the_ask_but_no_one_sided_market(void **state)
{
    (void)state;
    struct mlt_table *table =
        table_of("{\"version\":1,\"routes\":[{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\","
                 "\"discard\":[{\"reason\":\"crossed\"}]}]}");
    static const struct {
        const char *bid, *ask;
        enum mlt_verdict verdict;
    } cases[] = {
        { "1.00", "1.01", MLT_VERDICT_PASS },      { "1.01", "1.010", MLT_VERDICT_DISCARDED },
        { "1.02", "1.01", MLT_VERDICT_DISCARDED }, { "1.00", "0.00", MLT_VERDICT_PASS },
        { "0.00", "0.00", MLT_VERDICT_PASS },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mlt_event event;
        memset(&event, 0, sizeof event);
        event.type = MLT_EVENT_BBO;
        event.u.bbo.bid_price = decimal_of(cases[i].bid);
        event.u.bbo.ask_price = decimal_of(cases[i].ask);
        const struct mlt_policy_outcome outcome =
            mlt_policy_apply(&table->routes[0], &event, false);
        if (outcome.verdict != cases[i].verdict) {
            fail_msg("%s / %s", cases[i].bid, cases[i].ask);
        }
    }
    mlt_table_destroy(table);
}

static void test_stale_discards_by_the_age_at_receipt(void **state)
{
    (void)state;
    struct mlt_table *table =
        trade_table(",\"discard\":[{\"reason\":\"stale\",\"max_age_ms\":1000}]");
    const int64_t now = INT64_C(1700000000000000000);
    static const struct {
        int64_t exchange_before_ns;
        enum mlt_verdict verdict;
    } cases[] = {
        { 0, MLT_VERDICT_PASS },
        { 1000000000, MLT_VERDICT_PASS },
        { 1000000001, MLT_VERDICT_DISCARDED },
        { -5000000000, MLT_VERDICT_PASS }, /* the exchange's clock is ahead */
    };
    struct mlt_event event = trade_of("1", "1");
    event.stamps.received = now;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        event.stamps.exchange = now - cases[i].exchange_before_ns;
        assert_int_equal(mlt_policy_apply(&table->routes[0], &event, false).verdict,
                         cases[i].verdict);
    }
    event.stamps.exchange = MLT_STAMP_UNKNOWN;
    assert_int_equal(mlt_policy_apply(&table->routes[0], &event, false).verdict, MLT_VERDICT_PASS);
    mlt_table_destroy(table);
}

static void test_not_trading_discards_only_where_the_route_says_so(void **state)
{
    (void)state;
    struct mlt_table *with = trade_table(",\"discard\":[{\"reason\":\"not_trading\"}]");
    struct mlt_table *without = trade_table("");
    struct mlt_event event = trade_of("1", "1");
    const struct mlt_policy_outcome outcome = mlt_policy_apply(&with->routes[0], &event, true);
    assert_int_equal(outcome.verdict, MLT_VERDICT_DISCARDED);
    assert_int_equal(outcome.discard, MLT_DISCARD_NOT_TRADING);
    assert_int_equal(mlt_policy_apply(&with->routes[0], &event, false).verdict, MLT_VERDICT_PASS);
    assert_int_equal(mlt_policy_apply(&without->routes[0], &event, true).verdict, MLT_VERDICT_PASS);
    mlt_table_destroy(with);
    mlt_table_destroy(without);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filter_compares_exact_decimals),
        cmocka_unit_test(test_every_filter_of_a_route_must_hold),
        cmocka_unit_test(test_notional_is_exact_and_can_be_filtered_on),
        cmocka_unit_test(test_zero_discards_trades_without_price_or_quantity),
        cmocka_unit_test(test_crossed_discards_bbo_at_and_above_the_ask_but_no_one_sided_market),
        cmocka_unit_test(test_stale_discards_by_the_age_at_receipt),
        cmocka_unit_test(test_not_trading_discards_only_where_the_route_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
