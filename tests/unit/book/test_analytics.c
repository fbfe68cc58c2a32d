/* The analytics by hand; the rest is compared with analytics_reference.py. */
#include "mlt_test.h"

#include <stdlib.h>

#include "analytics.h"
#include "meltica/base/clock.h"

#define START (1000 * MLT_NS_PER_S)

static const int64_t bids[] = { 10000, 9999 }, asks[] = { 10002, 10100 };
static const int64_t bid_quantities[] = { 300, 50 }, ask_quantities[] = { 100, 7 };

static struct mlt_orderbook *new_book(void)
{
    struct mlt_orderbook *book = NULL;
    const struct mlt_orderbook_options options = { 64, -2, -3 };
    const struct mlt_book_snapshot snapshot = {
        1, { -2, -3, 2, bids, bid_quantities }, { -2, -3, 2, asks, ask_quantities }, 2, false
    };
    assert_int_equal(mlt_orderbook_create(&options, &book), MLT_OK);
    assert_int_equal(mlt_orderbook_seed(book, &snapshot), MLT_OK);
    return book;
}

static void assert_measure(const struct mlt_measure *m, int64_t mantissa, int32_t exponent,
                           uint32_t flags)
{
    assert_int_equal(m->flags, flags | MLT_MEASURE_PRESENT);
    assert_int_equal(m->value.mantissa, mantissa);
    assert_int_equal(m->value.exponent, exponent);
}

static struct mlt_trade trade_of(int64_t price, int64_t quantity, enum mlt_side side, int64_t at)
{
    struct mlt_trade trade;
    memset(&trade, 0, sizeof trade);
    trade.price = (struct mlt_decimal){ price, -2 };
    trade.quantity = (struct mlt_decimal){ quantity, -3 };
    trade.aggressor = side;
    trade.trade_time_ns = at;
    return trade;
}

static void test_a_small_book_measured_by_hand(void **state)
{
    (void)state;
    struct mlt_orderbook *book = new_book();
    struct mlt_analytics *analytics = NULL;
    struct mlt_book_analytics r;
    assert_int_equal(mlt_analytics_create(-2, -3, &analytics), MLT_OK);
    mlt_analytics_book(analytics, book, START);
    mlt_analytics_measure(analytics, book, START, &r);
    assert_measure(&r.mid, 100010000, -6, 0);
    assert_measure(&r.spread, 2, -2, 0);
    assert_measure(&r.spread_bps, 19998, -4, 0); /* 1.99980002 */
    /* (100.00 x 0.1 + 100.02 x 0.3) / 0.4 */
    assert_measure(&r.microprice, 100015000, -6, 0);
    assert_measure(&r.imbalance[0], 500000, -6, 0);
    assert_measure(&r.bid_depth[1], 350, -3, MLT_MEASURE_LIMITED);
    assert_measure(&r.bid_within[0], 350, -3, MLT_MEASURE_LIMITED); /* 99.95 is not vouched for */
    assert_measure(&r.ask_within[2], 100, -3, 0);                   /* 100.51 is */
    assert_int_equal(r.vwap[0].flags, MLT_MEASURE_WARMING);
    assert_int_equal(r.volatility.flags, MLT_MEASURE_WARMING);
    mlt_analytics_destroy(analytics);
    mlt_orderbook_destroy(book);
}

/* A snapshot tells no time: it is in no window before something did, and moves none after that. */
static void test_a_state_without_a_time_counts_as_the_newest(void **state)
{
    (void)state;
    struct mlt_orderbook *book = new_book();
    struct mlt_analytics *analytics = NULL;
    struct mlt_book_analytics r;
    assert_int_equal(mlt_analytics_create(-2, -3, &analytics), MLT_OK);
    mlt_analytics_book(analytics, book, MLT_STAMP_UNKNOWN);
    mlt_analytics_measure(analytics, book, MLT_STAMP_UNKNOWN, &r);
    assert_measure(&r.mid, 100010000, -6, 0);
    assert_int_equal(r.vwap[0].flags & MLT_MEASURE_PRESENT, 0);
    assert_int_equal(r.volatility.flags & MLT_MEASURE_PRESENT, 0);
    const struct mlt_trade one = trade_of(10000, 100, MLT_SIDE_BUY, START);
    assert_int_equal(mlt_analytics_trade(analytics, &one), MLT_OK);
    mlt_analytics_book(analytics, book, MLT_STAMP_UNKNOWN);
    mlt_analytics_measure(analytics, book, MLT_STAMP_UNKNOWN, &r);
    assert_measure(&r.vwap[0], 100000000, -6, MLT_MEASURE_WARMING);
    mlt_analytics_book(analytics, book, START + 61 * MLT_NS_PER_S);
    mlt_analytics_measure(analytics, book, START + 61 * MLT_NS_PER_S, &r);
    assert_measure(&r.volatility, 0, -12, 0);
    mlt_analytics_destroy(analytics);
    mlt_orderbook_destroy(book);
}

static void test_trades_leave_their_windows_step_by_step(void **state)
{
    (void)state;
    struct mlt_orderbook *book = new_book();
    struct mlt_analytics *analytics = NULL;
    struct mlt_book_analytics r;
    assert_int_equal(mlt_analytics_create(-2, -3, &analytics), MLT_OK);
    const struct mlt_trade one = trade_of(10000, 100, MLT_SIDE_BUY, START);
    const struct mlt_trade two = trade_of(10003, 200, MLT_SIDE_SELL, START + MLT_NS_PER_MS);
    assert_int_equal(mlt_analytics_trade(analytics, &one), MLT_OK);
    assert_int_equal(mlt_analytics_trade(analytics, &two), MLT_OK);
    mlt_analytics_measure(analytics, book, START + 999 * MLT_NS_PER_MS, &r);
    assert_measure(&r.vwap[0], 100020000, -6, MLT_MEASURE_WARMING);
    assert_measure(&r.trade_flow[0], -333333, -6, MLT_MEASURE_WARMING);
    mlt_analytics_measure(analytics, book, START + 1000 * MLT_NS_PER_MS, &r);
    assert_int_equal(r.vwap[0].flags, 0); /* full, and nothing in it */
    assert_measure(&r.vwap[1], 100020000, -6, MLT_MEASURE_WARMING);
    mlt_analytics_measure(analytics, book, START + 59 * MLT_NS_PER_S, &r);
    assert_measure(&r.vwap[2], 100020000, -6, MLT_MEASURE_WARMING);
    mlt_analytics_measure(analytics, book, START + 60 * MLT_NS_PER_S, &r);
    assert_int_equal(r.vwap[2].flags, 0);
    mlt_analytics_destroy(analytics);
    mlt_orderbook_destroy(book);
}

static void test_what_cannot_be_summed_is_refused(void **state)
{
    (void)state;
    struct mlt_analytics *analytics = NULL;
    assert_int_equal(mlt_analytics_create(-2, -3, &analytics), MLT_OK);
    const struct mlt_trade sideless = trade_of(1, 1, MLT_SIDE_NONE, START);
    const struct mlt_trade negative = trade_of(-1, 1, MLT_SIDE_BUY, START);
    const struct mlt_trade huge = trade_of(INT64_MAX, INT64_MAX, MLT_SIDE_BUY, START);
    struct mlt_trade precise = trade_of(1, 1, MLT_SIDE_BUY, START);
    precise.price.exponent = -3;
    assert_int_equal(mlt_analytics_trade(analytics, &sideless), MLT_E_MISSING);
    assert_int_equal(mlt_analytics_trade(analytics, &negative), MLT_E_RANGE);
    assert_int_equal(mlt_analytics_trade(analytics, &huge), MLT_E_RANGE);
    assert_int_equal(mlt_analytics_trade(analytics, &precise), MLT_E_PRECISION);
    mlt_analytics_destroy(analytics);
}

static void test_a_half_is_rounded_to_even(void **state)
{
    (void)state;
    struct mlt_orderbook *book = new_book();
    struct mlt_analytics *analytics = NULL;
    struct mlt_book_analytics r;
    assert_int_equal(mlt_analytics_create(-2, -3, &analytics), MLT_OK);
    /* (bids - asks) / (bids + asks) = 2, 6, 10 in 4,000,000: 0.5, 1.5 and 2.5 x 10^-6. */
    static const int64_t over[] = { 1, 3, 5 }, expected[] = { 0, 2, 2 };
    for (int i = 0; i < 3; i++) {
        const int64_t bid = 2000000 + over[i], ask = 2000000 - over[i];
        const struct mlt_levels b = { -2, -3, 1, bids, &bid }, a = { -2, -3, 1, asks, &ask };
        assert_int_equal(mlt_orderbook_apply(book, &b, &a, 2 + i), MLT_OK);
        mlt_analytics_measure(analytics, book, START, &r);
        assert_measure(&r.imbalance[0], expected[i], -6, 0);
    }
    mlt_analytics_destroy(analytics);
    mlt_orderbook_destroy(book);
}

/* At the least exponent there are no further decimals. */
static void test_exponents_end_where_decimals_do(void **state)
{
    (void)state;
    struct mlt_orderbook *book = NULL;
    struct mlt_analytics *analytics = NULL;
    struct mlt_book_analytics r;
    const struct mlt_orderbook_options options = { 64, MLT_DECIMAL_EXPONENT_MIN + 2, -3 };
    const int32_t exponent = options.price_exponent;
    const struct mlt_book_snapshot snapshot = { 1,
                                                { exponent, -3, 2, bids, bid_quantities },
                                                { exponent, -3, 2, asks, ask_quantities },
                                                2,
                                                false };
    assert_int_equal(mlt_orderbook_create(&options, &book), MLT_OK);
    assert_int_equal(mlt_orderbook_seed(book, &snapshot), MLT_OK);
    assert_int_equal(mlt_analytics_create(exponent, -3, &analytics), MLT_OK);
    mlt_analytics_measure(analytics, book, START, &r);
    assert_measure(&r.mid, 1000100, MLT_DECIMAL_EXPONENT_MIN, 0);
    assert_measure(&r.microprice, 1000150, MLT_DECIMAL_EXPONENT_MIN, 0);
    mlt_analytics_destroy(analytics);
    mlt_orderbook_destroy(book);
}

/* A price a million times another is no return; and what came before it is none of its series. */
static void test_a_return_beyond_all_bounds_begins_anew(void **state)
{
    (void)state;
    struct mlt_orderbook *book = NULL;
    struct mlt_analytics *analytics = NULL;
    struct mlt_book_analytics r;
    const struct mlt_orderbook_options options = { 64, -2, -3 };
    const int64_t prices[] = { 1, INT64_C(4000000000000) };
    int64_t at = START;
    assert_int_equal(mlt_orderbook_create(&options, &book), MLT_OK);
    assert_int_equal(mlt_analytics_create(-2, -3, &analytics), MLT_OK);
    for (int p = 0; p < 2; p++) {
        const int64_t bid = prices[p], ask = prices[p] + 1, quantity = 1;
        const struct mlt_book_snapshot snapshot = {
            1 + p, { -2, -3, 1, &bid, &quantity }, { -2, -3, 1, &ask, &quantity }, 1, false
        };
        assert_int_equal(mlt_orderbook_seed(book, &snapshot), MLT_OK);
        mlt_analytics_book(analytics, book, at);
        at += 30 * MLT_NS_PER_S;
    }
    mlt_analytics_measure(analytics, book, at - 15 * MLT_NS_PER_S, &r);
    assert_measure(&r.volatility, 0, -12, MLT_MEASURE_WARMING);
    mlt_analytics_destroy(analytics);
    mlt_orderbook_destroy(book);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_small_book_measured_by_hand),
        cmocka_unit_test(test_trades_leave_their_windows_step_by_step),
        cmocka_unit_test(test_a_state_without_a_time_counts_as_the_newest),
        cmocka_unit_test(test_a_half_is_rounded_to_even),
        cmocka_unit_test(test_what_cannot_be_summed_is_refused),
        cmocka_unit_test(test_exponents_end_where_decimals_do),
        cmocka_unit_test(test_a_return_beyond_all_bounds_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
