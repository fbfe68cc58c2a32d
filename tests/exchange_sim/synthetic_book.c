/* What happens in the synthetic market: orders come, go and meet. Never crossed, ids contiguous,
 * trades at the touch. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meltica/base/check.h"
#include "meltica/base/hash.h"
#include "synthetic_internal.h"

#define LEVELS_LEFT_MIN 8u /* a side never gets thinner */
#define DRIFT_PERCENT 2    /* beyond, takers push back */
#define FILLS_MAX 3u

uint64_t synthetic_roll(struct synthetic *market, uint64_t sides)
{
    market->dice += UINT64_C(0x9e3779b97f4a7c15);
    return mlt_mix64(market->dice) % sides;
}

static int64_t some_quantity(struct synthetic *market)
{
    const uint64_t lots = UINT64_C(1) << synthetic_roll(market, 18);
    return (int64_t)(lots + synthetic_roll(market, lots)) * SYNTHETIC_LOT_E8;
}

/* Every change of a level is one update id. Memory for the levels was reserved at the start: what
 * could fail here cannot. */
static void change(struct synthetic *market, struct synthetic_symbol *symbol, bool bid,
                   int64_t price_e8, int64_t quantity_e8)
{
    struct synthetic_change made = { bid ? price_e8 : -price_e8, 0, quantity_e8 };
    if (sim_book_set(&symbol->book, bid, price_e8, quantity_e8, &made.old_e8) == MLT_OK) {
        symbol->changes[++symbol->book.id & market->change_mask] = made;
    }
}

int64_t synthetic_oldest_id(const struct synthetic *market, const struct synthetic_symbol *symbol)
{
    const int64_t oldest = symbol->book.id - market->change_mask; /* still in the ring */
    return oldest > symbol->first_id ? oldest : symbol->first_id;
}

static const struct sim_level *touch(const struct synthetic_symbol *symbol, bool bid)
{
    const struct sim_level *level = sim_book_level(&symbol->book, bid, 0);
    MLT_CHECK(level != NULL); /* LEVELS_LEFT_MIN */
    return level;
}

static size_t level_count(const struct synthetic_symbol *symbol, bool bid)
{
    return bid ? symbol->book.bids.count : symbol->book.asks.count;
}

static void change_touch(struct synthetic *market, struct synthetic_symbol *symbol, bool bid)
{
    const int64_t price = touch(symbol, bid)->price_e8, other = touch(symbol, !bid)->price_e8;
    const int64_t spread = bid ? other - price : price - other;
    const uint64_t what = synthetic_roll(market, 10);
    if (what < 5 && spread > SYNTHETIC_TICK_E8) {
        const int64_t step = bid ? SYNTHETIC_TICK_E8 : -SYNTHETIC_TICK_E8;
        change(market, symbol, bid, price + step, some_quantity(market));
    } else if (what == 9 && level_count(symbol, bid) > market->options->levels / 2) {
        change(market, symbol, bid, price, 0);
    } else {
        change(market, symbol, bid, price, some_quantity(market));
    }
}

static void change_deeper(struct synthetic *market, struct synthetic_symbol *symbol, bool bid)
{
    const size_t count = level_count(symbol, bid);
    const int64_t away = bid ? -SYNTHETIC_TICK_E8 : SYNTHETIC_TICK_E8;
    if (count < market->options->levels) { /* what was taken from the touch comes back behind */
        const int64_t last = sim_book_level(&symbol->book, bid, count - 1)->price_e8;
        change(market, symbol, bid, last + away * (int64_t)(1 + synthetic_roll(market, 3)),
               some_quantity(market));
        return;
    }
    /* nearer to the touch more often */
    const size_t reach = 1 + (size_t)synthetic_roll(market, count - 1);
    const size_t rank = 1 + (size_t)synthetic_roll(market, reach);
    const int64_t price = sim_book_level(&symbol->book, bid, rank)->price_e8;
    const bool remove = count > market->options->levels && synthetic_roll(market, 2) == 0;
    change(market, symbol, bid, price, remove ? 0 : some_quantity(market));
}

/* Which way a taker goes: free near the base price, back towards it further away. */
static bool taker_buys(struct synthetic *market, const struct synthetic_symbol *symbol)
{
    const int64_t price = touch(symbol, true)->price_e8;
    const int64_t drift = (price - symbol->base_price_e8) * 100 / symbol->base_price_e8;
    if (drift >= DRIFT_PERCENT || drift <= -DRIFT_PERCENT) {
        return drift < 0;
    }
    return synthetic_roll(market, 2) == 0;
}

static void fill(struct synthetic *market, struct synthetic_symbol *symbol, bool buy,
                 int64_t price_e8, int64_t quantity_e8)
{
    const bool bid = !buy; /* side of the maker */
    change(market, symbol, bid, price_e8, touch(symbol, bid)->quantity_e8 - quantity_e8);
    const struct sim_trade trade = { .id = symbol->next_trade_id++,
                                     .time_us = market->now_us,
                                     .price_e8 = price_e8,
                                     .quantity_e8 = quantity_e8,
                                     .buyer_is_maker = !buy };
    synthetic_add_trade(market, symbol, &trade);
    synthetic_send_trade(market, symbol, &trade, false);
}

/* One taker order against the touch: one or a few fills, one aggregate. */
static void take(struct synthetic *market, struct synthetic_symbol *symbol)
{
    const bool buy = taker_buys(market, symbol);
    const struct sim_level level = *touch(symbol, !buy);
    int64_t lots = level.quantity_e8 / SYNTHETIC_LOT_E8;
    const bool all = level_count(symbol, !buy) > LEVELS_LEFT_MIN && synthetic_roll(market, 2) == 0;
    if (!all && lots > 1) {
        lots = 1 + (int64_t)synthetic_roll(market, (uint64_t)lots - 1);
    }
    if (!all && lots * SYNTHETIC_LOT_E8 >= level.quantity_e8 &&
        level_count(symbol, !buy) <= LEVELS_LEFT_MIN) {
        change_touch(market, symbol, !buy); /* the last lot of a thin side is not for sale */
        return;
    }
    const uint64_t dice = synthetic_roll(market, 20);
    int64_t fills = dice == 0 ? FILLS_MAX : dice == 1 ? 2 : 1;
    fills = fills > lots ? lots : fills;
    struct sim_trade aggregate = { .id = symbol->next_aggregate_id++,
                                   .time_us = market->now_us,
                                   .price_e8 = level.price_e8,
                                   .quantity_e8 = lots * SYNTHETIC_LOT_E8,
                                   .first_id = symbol->next_trade_id,
                                   .last_id = symbol->next_trade_id + fills - 1,
                                   .buyer_is_maker = !buy };
    for (int64_t i = 0; i < fills; i++) {
        const int64_t part = i + 1 < fills ? lots / (fills - i) : lots;
        lots -= part;
        fill(market, symbol, buy, level.price_e8, part * SYNTHETIC_LOT_E8);
    }
    struct synthetic_ring *ring = &symbol->aggregates;
    ring->items[ring->total++ % SYNTHETIC_TRADES_KEPT] = aggregate;
    synthetic_send_trade(market, symbol, &aggregate, true);
}

static void tell_top(struct synthetic *market, struct synthetic_symbol *symbol)
{
    const struct sim_level *bid = touch(symbol, true), *ask = touch(symbol, false);
    if (bid->price_e8 == symbol->top.bid_e8 && ask->price_e8 == symbol->top.ask_e8 &&
        bid->quantity_e8 == symbol->top.bid_quantity_e8 &&
        ask->quantity_e8 == symbol->top.ask_quantity_e8) {
        return;
    }
    symbol->top = (struct sim_top){ symbol->book.id, bid->price_e8, bid->quantity_e8, ask->price_e8,
                                    ask->quantity_e8 };
    synthetic_send_book_ticker(market, symbol);
}

void synthetic_act(struct synthetic *market)
{
    struct synthetic_symbol *symbol =
        &market->symbols[synthetic_roll(market, market->market.symbol_count)];
    const uint64_t what = synthetic_roll(market, 4);
    if (symbol->halted) {
        return;
    }
    if (what == 0) {
        take(market, symbol);
    } else if (what == 1) {
        change_deeper(market, symbol, synthetic_roll(market, 2) == 0);
    } else {
        change_touch(market, symbol, synthetic_roll(market, 2) == 0);
    }
    tell_top(market, symbol);
}

static enum mlt_status fill_book(struct synthetic *market, struct synthetic_symbol *symbol)
{
    for (int side = 0; side < 2; side++) {
        const bool bid = side == 0;
        for (unsigned i = 0; i < market->options->levels; i++) {
            const int64_t away = (int64_t)(i + 1) * SYNTHETIC_TICK_E8;
            const int64_t price = symbol->base_price_e8 + (bid ? -away : away);
            const enum mlt_status status =
                sim_book_set(&symbol->book, bid, price, some_quantity(market), NULL);
            if (status != MLT_OK) {
                return status;
            }
        }
    }
    return MLT_OK;
}

enum mlt_status synthetic_open_symbol(struct synthetic *market, size_t index)
{
    struct synthetic_symbol *symbol = &market->symbols[index];
    const bool unicode = index >= market->market.symbol_count - market->options->unicode;
    (void)snprintf(symbol->name, sizeof symbol->name, "%s%04zuUSDT",
                   unicode ? SYNTHETIC_UNICODE : "SYM", index + 1);
    sim_book_init(&symbol->book);
    /* 500.00 to 50499.99: room for the book below, products far from 64 bits */
    symbol->base_price_e8 = (int64_t)(50000 + synthetic_roll(market, 5000000)) * SYNTHETIC_TICK_E8;
    symbol->changes = calloc((size_t)market->change_mask + 1, sizeof *symbol->changes);
    symbol->trades.items = calloc(SYNTHETIC_TRADES_KEPT, sizeof *symbol->trades.items);
    symbol->aggregates.items = calloc(SYNTHETIC_TRADES_KEPT, sizeof *symbol->aggregates.items);
    if (symbol->changes == NULL || symbol->trades.items == NULL ||
        symbol->aggregates.items == NULL) {
        return MLT_E_NOMEM;
    }
    const enum mlt_status status = fill_book(market, symbol);
    if (status != MLT_OK) {
        return status;
    }
    symbol->book.id = symbol->first_id = 1000000 + (int64_t)index * 1000;
    symbol->sent_100_id = symbol->sent_1000_id = symbol->book.id;
    symbol->next_trade_id = symbol->next_aggregate_id = 1;
    symbol->top = (struct sim_top){ .id = symbol->book.id,
                                    .bid_e8 = touch(symbol, true)->price_e8,
                                    .bid_quantity_e8 = touch(symbol, true)->quantity_e8,
                                    .ask_e8 = touch(symbol, false)->price_e8,
                                    .ask_quantity_e8 = touch(symbol, false)->quantity_e8 };
    for (int i = 0; i < SIM_INTERVAL_COUNT; i++) {
        sim_candle_begin(&symbol->candles[i], i, market->start_us, symbol->base_price_e8);
    }
    symbol->day = symbol->candles[0];
    symbol->day.open_us = market->start_us;
    return MLT_OK;
}

void synthetic_close_symbol(struct synthetic_symbol *symbol)
{
    sim_book_fini(&symbol->book);
    free(symbol->changes);
    free(symbol->trades.items);
    free(symbol->aggregates.items);
    for (int i = 0; i < SIM_INTERVAL_COUNT; i++) {
        free(symbol->closed[i].items);
    }
}
