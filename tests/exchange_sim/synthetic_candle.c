#include <stdlib.h>

#include "synthetic_internal.h"

void synthetic_add_trade(struct synthetic *market, struct synthetic_symbol *symbol,
                         const struct sim_trade *trade)
{
    struct synthetic_ring *ring = &symbol->trades;
    ring->items[ring->total++ % SYNTHETIC_TRADES_KEPT] = *trade;
    for (int i = 0; i < SIM_INTERVAL_COUNT; i++) {
        sim_candle_add(&symbol->candles[i], trade);
    }
    sim_candle_add(&symbol->day, trade);
    symbol->day.close_us = market->now_us;
    symbol->last_quantity_e8 = trade->quantity_e8;
    symbol->last_trade_us = trade->time_us;
    symbol->day_changed = symbol->array_changed = true;
}

/* Closes a candle of every symbol; without memory the closed one is forgotten. */
static void roll_interval(struct synthetic *market, int interval)
{
    for (size_t s = 0; s < market->market.symbol_count; s++) {
        struct synthetic_symbol *symbol = &market->symbols[s];
        struct synthetic_history *closed = &symbol->closed[interval];
        struct sim_candle *candle = &symbol->candles[interval];
        synthetic_send_kline(market, symbol, interval, true);
        if (closed->items == NULL) {
            closed->items = calloc(SYNTHETIC_CANDLES_KEPT, sizeof *closed->items);
        }
        if (closed->items != NULL) {
            closed->items[closed->total++ % SYNTHETIC_CANDLES_KEPT] = *candle;
        }
        sim_candle_begin(candle, interval, market->now_us, candle->close_e8);
    }
}

void synthetic_roll_candles(struct synthetic *market)
{
    for (int i = 0; i < SIM_INTERVAL_COUNT; i++) {
        int64_t open_us = 0;
        if (market->now_us >= market->next_open_us[i]) {
            roll_interval(market, i);
            sim_interval_bounds(i, market->now_us, &open_us, &market->next_open_us[i]);
        }
    }
}
