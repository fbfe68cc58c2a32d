/*
 * Feeds the analytics, and prints what they were fed and what they said, for analytics_reference.py
 * to calculate again. With "recorded": the BTCUSDT recording; else a seeded market.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analytics.h"
#include "book_tape.h"
#include "meltica/base/check.h"
#include "meltica/base/hash.h"

#define STEPS 6000

static struct mlt_analytics *analytics;
static struct mlt_orderbook *book;

static void print_side(const struct mlt_levels *levels)
{
    (void)printf(" %zu", levels->count);
    for (size_t i = 0; i < levels->count; i++) {
        (void)printf(" %" PRId64 " %" PRId64, levels->prices[i], levels->quantities[i]);
    }
}

static void seed(const struct mlt_book_snapshot *s)
{
    MLT_CHECK(mlt_orderbook_seed(book, s) == MLT_OK);
    (void)printf("seed %" PRIu32, s->requested_depth);
    print_side(&s->bids);
    print_side(&s->asks);
    (void)printf("\n");
}

static void apply(const struct mlt_levels *bids, const struct mlt_levels *asks, int64_t last,
                  int64_t at_ns)
{
    MLT_CHECK(mlt_orderbook_apply(book, bids, asks, last) == MLT_OK);
    mlt_analytics_book(analytics, book, at_ns);
    (void)printf("delta %" PRId64, at_ns);
    print_side(bids);
    print_side(asks);
    (void)printf("\n");
}

static void trade(const struct mlt_trade *t, int32_t price_exponent, int32_t quantity_exponent)
{
    int64_t price = 0, quantity = 0;
    MLT_CHECK(mlt_analytics_trade(analytics, t) == MLT_OK);
    MLT_CHECK(mlt_decimal_rescale(t->price, price_exponent, &price) == MLT_OK);
    MLT_CHECK(mlt_decimal_rescale(t->quantity, quantity_exponent, &quantity) == MLT_OK);
    (void)printf("trade %" PRId64 " %" PRId64 " %" PRId64 " %s\n", t->trade_time_ns, price,
                 quantity, t->aggressor == MLT_SIDE_BUY ? "buy" : "sell");
}

static void print_measures(const char *name, const struct mlt_measure *m, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)printf("= %s %zu %" PRIu32 " %" PRId64 " %" PRId32 "\n", name, i, m[i].flags,
                     m[i].value.mantissa, m[i].value.exponent);
    }
}

static void measure(int64_t at_ns)
{
    struct mlt_book_analytics r;
    mlt_analytics_measure(analytics, book, at_ns, &r);
    (void)printf("measure %" PRId64 "\n", at_ns);
    print_measures("mid", &r.mid, 1);
    print_measures("spread", &r.spread, 1);
    print_measures("spread_bps", &r.spread_bps, 1);
    print_measures("microprice", &r.microprice, 1);
    print_measures("bid_depth", r.bid_depth, MLT_ANALYTICS_SPANS);
    print_measures("ask_depth", r.ask_depth, MLT_ANALYTICS_SPANS);
    print_measures("imbalance", r.imbalance, MLT_ANALYTICS_SPANS);
    print_measures("bid_within", r.bid_within, MLT_ANALYTICS_SPANS);
    print_measures("ask_within", r.ask_within, MLT_ANALYTICS_SPANS);
    print_measures("imbalance_within", r.imbalance_within, MLT_ANALYTICS_SPANS);
    print_measures("vwap", r.vwap, MLT_ANALYTICS_SPANS);
    print_measures("trade_flow", r.trade_flow, MLT_ANALYTICS_SPANS);
    print_measures("volatility", &r.volatility, 1);
}

static void open_all(int32_t price_exponent, int32_t quantity_exponent)
{
    const struct mlt_orderbook_options options = { 8192, price_exponent, quantity_exponent };
    MLT_CHECK(mlt_orderbook_create(&options, &book) == MLT_OK);
    MLT_CHECK(mlt_analytics_create(price_exponent, quantity_exponent, &analytics) == MLT_OK);
    (void)printf("exponents %" PRId32 " %" PRId32 "\n", price_exponent, quantity_exponent);
}

static int recorded(void)
{
    struct tape tape;
    if (tape_captures() == NULL) {
        (void)puts("skipped");
        return 0;
    }
    if (!tape_load_btc(&tape)) {
        return 1;
    }
    open_all(TAPE_EXPONENT, TAPE_EXPONENT);
    size_t deltas = 0;
    /* The snapshot first: one of the deltas received before it reaches beyond it. */
    for (size_t i = 0; i < tape.count; i++) {
        if (tape.entries[i].type == MLT_EVENT_BOOK_SNAPSHOT) {
            seed(&tape.entries[i].u.snapshot);
        }
    }
    for (size_t i = 0; i < tape.count; i++) {
        const struct tape_entry *e = &tape.entries[i];
        if (e->type == MLT_EVENT_BOOK_DELTA && e->last > mlt_orderbook_last(book)) {
            apply(&e->u.delta.bids, &e->u.delta.asks, e->last, e->exchange);
            if (++deltas % 40 == 0) {
                measure(e->exchange);
            }
        } else if (e->type == MLT_EVENT_TRADE) {
            trade(&e->u.trade, TAPE_EXPONENT, TAPE_EXPONENT);
        }
    }
    tape_free(&tape);
    return 0;
}

/* ---- a market of its own ---- */

static uint64_t state;

static int64_t roll(int64_t sides)
{
    state = mlt_mix64(state);
    return (int64_t)(state % (uint64_t)sides);
}

struct market {
    int64_t now_ns, middle, last;
};

static struct mlt_levels side(const struct market *m, bool bids, size_t count, int64_t spread,
                              bool deletes, int64_t *columns)
{
    int64_t price = bids ? m->middle - spread : m->middle + spread;
    for (size_t i = 0; i < count; i++) {
        columns[i] = price;
        columns[count + i] = deletes && roll(3) == 0 ? 0 : 1 + roll(roll(5) == 0 ? 100000000 : 900);
        price += (bids ? -1 : 1) * (1 + roll(roll(6) == 0 ? 40 : 3));
    }
    return (struct mlt_levels){ -2, -5, count, columns, columns + count };
}

/* A new book around a new middle, now and then with few levels or none. */
static void market_seed(struct market *m)
{
    int64_t columns[2][200];
    const size_t count = (size_t)(roll(8) == 0 ? roll(12) : 60 + roll(40));
    m->middle += roll(61) - 30;
    struct mlt_book_snapshot s = { ++m->last, side(m, true, count, 1 + roll(3), false, columns[0]),
                                   side(m, false, count, roll(3), false, columns[1]),
                                   (uint32_t)roll(120), false };
    seed(&s);
}

static void market_trade(const struct market *m)
{
    struct mlt_trade t;
    memset(&t, 0, sizeof t);
    t.price = (struct mlt_decimal){ m->middle + roll(9) - 4, -2 };
    t.quantity = (struct mlt_decimal){ 1 + roll(100000), -5 };
    t.aggressor = roll(3) == 0 ? MLT_SIDE_BUY : MLT_SIDE_SELL;
    t.trade_time_ns = m->now_ns - (roll(5) == 0 ? roll(INT64_C(90000000000)) : 0);
    trade(&t, -2, -5);
}

static void market(uint64_t seed_of_market)
{
    struct market m = { INT64_C(1723161255000000000), 100000, 10 };
    state = seed_of_market;
    open_all(-2, -5);
    market_seed(&m);
    for (int i = 0; i < STEPS; i++) {
        int64_t columns[2][60];
        m.now_ns += roll(400) == 0  ? roll(INT64_C(150000000000))
                    : roll(20) == 0 ? (INT64_C(1000000000) - m.now_ns % INT64_C(1000000000))
                                    : roll(INT64_C(120000000));
        const int64_t what = roll(1000);
        if (what < 4) {
            market_seed(&m);
            mlt_analytics_book(analytics, book, m.now_ns);
            (void)printf("delta %" PRId64 " 0 0\n", m.now_ns);
        } else if (what < 6) {
            mlt_analytics_restart_trades(analytics);
            (void)puts("restart_trades");
        } else if (what < 8) {
            mlt_analytics_restart_book(analytics);
            (void)puts("restart_book");
        } else if (what < 500) {
            market_trade(&m);
        } else if (what < 900) {
            const struct mlt_levels none = { -2, -5, 0, NULL, NULL };
            const bool bids = roll(2) == 0;
            const struct mlt_levels some =
                side(&m, bids, (size_t)roll(12), 2 + roll(4), true, columns[0]);
            apply(bids ? &some : &none, bids ? &none : &some, ++m.last, m.now_ns);
        } else {
            measure(m.now_ns - (roll(6) == 0 ? roll(INT64_C(100000000)) : 0));
        }
    }
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc > 1 && strcmp(argv[1], "recorded") == 0) {
        failed = recorded();
    } else {
        market(argc > 1 ? strtoull(argv[1], NULL, 10) : 1);
    }
    mlt_analytics_destroy(analytics);
    mlt_orderbook_destroy(book);
    return failed;
}
