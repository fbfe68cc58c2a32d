/* Frames of the synthetic market, formatted straight into one buffer. Nothing is formatted that
 * nobody wants. */
#include <stdlib.h>

#include "format.h"
#include "synthetic_internal.h"

#define FRAME_BYTES ((size_t)4 << 10) /* of every frame without a list */
#define LEVEL_BYTES ((size_t)64)

typedef char *(*format_fn)(char *p, struct synthetic *market, struct synthetic_symbol *symbol,
                           int64_t unit, const void *arg);

/* unit: microseconds of one tick of the line's time unit. */
static void send_as(struct synthetic *market, struct sim_topic *topic,
                    struct synthetic_symbol *symbol, format_fn format, const void *arg,
                    size_t bytes, enum sim_unit unit)
{
    mlt_buf_clear(&market->frame);
    if (mlt_buf_reserve(&market->frame, bytes) != MLT_OK) {
        return;
    }
    char *start = (char *)market->frame.data, *p = start;
    p = SIM_PUT(p, "{\"stream\":\"");
    p = sim_put_bytes(p, topic->name, topic->name_len);
    p = SIM_PUT(p, "\",\"data\":");
    char *inner = p;
    p = format(p, market, symbol, unit == SIM_UNIT_US ? 1 : 1000, arg);
    *p = '}';
    const struct sim_frame frame = { mlt_slice_of(start, (size_t)(p + 1 - start)),
                                     mlt_slice_of(inner, (size_t)(p - inner)) };
    sim_hub_emit(market->market.hub, topic, &frame, unit);
}

static bool wanted(const struct sim_topic *topic)
{
    return topic != NULL && topic->line_count > 0;
}

static void send(struct synthetic *market, struct sim_topic *topic, struct synthetic_symbol *symbol,
                 format_fn format, const void *arg, size_t bytes)
{
    if (!wanted(topic)) {
        if (topic != NULL) {
            topic->unsent++;
        }
        return;
    }
    market->market.frames_passed++;
    if (topic->line_count > topic->micros_count) {
        send_as(market, topic, symbol, format, arg, bytes, SIM_UNIT_MS);
    }
    if (topic->micros_count > 0) {
        send_as(market, topic, symbol, format, arg, bytes, SIM_UNIT_US);
    }
}

static char *put_head(char *p, const char *event, const struct synthetic *market,
                      const struct synthetic_symbol *symbol, int64_t unit)
{
    p = SIM_PUT(p, "{\"e\":\"");
    p = sim_put_bytes(p, event, strlen(event));
    p = SIM_PUT(p, "\",\"E\":");
    p = sim_put_i64(p, market->now_us / unit);
    p = SIM_PUT(p, ",\"s\":\"");
    p = sim_put_bytes(p, symbol->name, strlen(symbol->name));
    return SIM_PUT(p, "\"");
}

/* ,"k":"value" */
static char *put_price(char *p, char key, int64_t value_e8)
{
    p = SIM_PUT(p, ",\"");
    *p++ = key;
    p = SIM_PUT(p, "\":\"");
    p = sim_put_e8(p, value_e8, SIM_DECIMALS);
    return SIM_PUT(p, "\"");
}

static char *put_quote(char *p, char key, sim_int128 quote_e16)
{
    return put_price(p, key, (int64_t)(quote_e16 / SIM_ONE_E8));
}

/* ,"k":value */
static char *put_number(char *p, char key, int64_t value)
{
    p = SIM_PUT(p, ",\"");
    *p++ = key;
    p = SIM_PUT(p, "\":");
    return sim_put_i64(p, value);
}

static char *put_maker(char *p, const struct sim_trade *trade)
{
    return trade->buyer_is_maker ? SIM_PUT(p, ",\"m\":true,\"M\":true}")
                                 : SIM_PUT(p, ",\"m\":false,\"M\":true}");
}

static char *format_trade(char *p, struct synthetic *market, struct synthetic_symbol *symbol,
                          int64_t unit, const void *arg)
{
    const struct sim_trade *trade = arg;
    p = put_head(p, "trade", market, symbol, unit);
    p = put_number(p, 't', trade->id);
    p = put_price(p, 'p', trade->price_e8);
    p = put_price(p, 'q', trade->quantity_e8);
    p = put_number(p, 'T', trade->time_us / unit);
    return put_maker(p, trade);
}

static char *format_aggregate(char *p, struct synthetic *market, struct synthetic_symbol *symbol,
                              int64_t unit, const void *arg)
{
    const struct sim_trade *trade = arg;
    p = put_head(p, "aggTrade", market, symbol, unit);
    p = put_number(p, 'a', trade->id);
    p = put_price(p, 'p', trade->price_e8);
    p = put_price(p, 'q', trade->quantity_e8);
    p = put_number(p, 'f', trade->first_id);
    p = put_number(p, 'l', trade->last_id);
    p = put_number(p, 'T', trade->time_us / unit);
    return put_maker(p, trade);
}

void synthetic_send_trade(struct synthetic *market, struct synthetic_symbol *symbol,
                          const struct sim_trade *trade, bool aggregate)
{
    send(market, symbol->topics[aggregate ? SYNTHETIC_AGG_TRADE : SYNTHETIC_TRADE], symbol,
         aggregate ? format_aggregate : format_trade, trade, FRAME_BYTES);
}

static char *format_book_ticker(char *p, struct synthetic *market, struct synthetic_symbol *symbol,
                                int64_t unit, const void *arg)
{
    (void)market;
    (void)unit;
    (void)arg;
    const struct sim_top *top = &symbol->top;
    p = SIM_PUT(p, "{\"u\":");
    p = sim_put_i64(p, top->id);
    p = SIM_PUT(p, ",\"s\":\"");
    p = sim_put_bytes(p, symbol->name, strlen(symbol->name));
    p = SIM_PUT(p, "\"");
    p = put_price(p, 'b', top->bid_e8);
    p = put_price(p, 'B', top->bid_quantity_e8);
    p = put_price(p, 'a', top->ask_e8);
    p = put_price(p, 'A', top->ask_quantity_e8);
    return SIM_PUT(p, "}");
}

void synthetic_send_book_ticker(struct synthetic *market, struct synthetic_symbol *symbol)
{
    send(market, symbol->topics[SYNTHETIC_BOOK_TICKER], symbol, format_book_ticker, NULL,
         FRAME_BYTES);
}

struct depth_event {
    int64_t first, last;
    const struct synthetic_change *levels; /* bids descending, then asks ascending */
    size_t count;
};

static char *put_levels(char *p, const struct synthetic_change *levels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const int64_t price = levels[i].signed_price_e8;
        p = i > 0 ? SIM_PUT(p, ",") : p;
        p = sim_put_level(p, price > 0 ? price : -price, SIM_DECIMALS, levels[i].new_e8,
                          SIM_DECIMALS);
    }
    return p;
}

static char *format_depth(char *p, struct synthetic *market, struct synthetic_symbol *symbol,
                          int64_t unit, const void *arg)
{
    const struct depth_event *event = arg;
    size_t bids = 0;
    while (bids < event->count && event->levels[bids].signed_price_e8 > 0) {
        bids++;
    }
    p = put_head(p, "depthUpdate", market, symbol, unit);
    p = put_number(p, 'U', event->first);
    p = put_number(p, 'u', event->last);
    p = SIM_PUT(p, ",\"b\":[");
    p = put_levels(p, event->levels, bids);
    p = SIM_PUT(p, "],\"a\":[");
    p = put_levels(p, event->levels + bids, event->count - bids);
    return SIM_PUT(p, "]}");
}

/* Bids are positive, asks negative: descending is bids from the best, then asks from the best. The
 * old quantity holds the id while sorting. */
static int by_level(const void *a, const void *b)
{
    const struct synthetic_change *x = a, *y = b;
    if (x->signed_price_e8 != y->signed_price_e8) {
        return x->signed_price_e8 > y->signed_price_e8 ? -1 : 1;
    }
    return x->old_e8 < y->old_e8 ? -1 : x->old_e8 > y->old_e8;
}

/* The last change of each level between two ids, sorted; false without memory. */
static bool collect(struct synthetic *market, const struct synthetic_symbol *symbol,
                    struct depth_event *event)
{
    const size_t count = (size_t)(event->last - event->first + 1);
    if (count > market->sorted_capacity) {
        void *more = realloc(market->sorted, 2 * count * sizeof *market->sorted);
        if (more == NULL) {
            return false;
        }
        market->sorted = more;
        market->sorted_capacity = 2 * count;
    }
    for (size_t i = 0; i < count; i++) {
        const int64_t id = event->first + (int64_t)i;
        market->sorted[i] = symbol->changes[id & market->change_mask];
        market->sorted[i].old_e8 = id;
    }
    qsort(market->sorted, count, sizeof *market->sorted, by_level);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (i + 1 == count ||
            market->sorted[i].signed_price_e8 != market->sorted[i + 1].signed_price_e8) {
            market->sorted[kept++] = market->sorted[i];
        }
    }
    event->levels = market->sorted;
    event->count = kept;
    return true;
}

void synthetic_send_depth(struct synthetic *market, struct synthetic_symbol *symbol, bool fast)
{
    int64_t *sent = fast ? &symbol->sent_100_id : &symbol->sent_1000_id;
    struct sim_topic *topic = symbol->topics[fast ? SYNTHETIC_DEPTH_100 : SYNTHETIC_DEPTH];
    struct depth_event event = { *sent + 1, symbol->book.id, NULL, 0 };
    *sent = symbol->book.id;
    if (event.first <= event.last && wanted(topic) && collect(market, symbol, &event)) {
        send(market, topic, symbol, format_depth, &event, FRAME_BYTES + event.count * LEVEL_BYTES);
    }
}

static char *put_top_levels(char *p, const struct synthetic_symbol *symbol, bool bid, size_t count)
{
    const struct sim_level *level;
    for (size_t i = 0; i < count && (level = sim_book_level(&symbol->book, bid, i)) != NULL; i++) {
        p = i > 0 ? SIM_PUT(p, ",") : p;
        p = sim_put_level(p, level->price_e8, SIM_DECIMALS, level->quantity_e8, SIM_DECIMALS);
    }
    return p;
}

static char *format_partial(char *p, struct synthetic *market, struct synthetic_symbol *symbol,
                            int64_t unit, const void *arg)
{
    (void)market;
    (void)unit;
    const size_t count = *(const size_t *)arg;
    p = SIM_PUT(p, "{\"lastUpdateId\":");
    p = sim_put_i64(p, symbol->book.id);
    p = SIM_PUT(p, ",\"bids\":[");
    p = put_top_levels(p, symbol, true, count);
    p = SIM_PUT(p, "],\"asks\":[");
    p = put_top_levels(p, symbol, false, count);
    return SIM_PUT(p, "]}");
}

void synthetic_send_partial(struct synthetic *market, struct synthetic_symbol *symbol, bool fast)
{
    static const size_t counts[3] = { 5, 10, 20 };
    for (size_t i = 0; i < 3; i++) {
        send(market, symbol->topics[SYNTHETIC_PARTIAL + (fast ? 3u : 0u) + i], symbol,
             format_partial, &counts[i], FRAME_BYTES);
    }
}

struct kline_event {
    int interval;
    bool closed;
};

static char *format_kline(char *p, struct synthetic *market, struct synthetic_symbol *symbol,
                          int64_t unit, const void *arg)
{
    const struct kline_event *event = arg;
    const struct sim_candle *candle = &symbol->candles[event->interval];
    p = put_head(p, "kline", market, symbol, unit);
    p = SIM_PUT(p, ",\"k\":{\"t\":");
    p = sim_put_i64(p, candle->open_us / unit);
    p = put_number(p, 'T', candle->close_us / unit);
    p = SIM_PUT(p, ",\"s\":\"");
    p = sim_put_bytes(p, symbol->name, strlen(symbol->name));
    p = SIM_PUT(p, "\",\"i\":\"");
    p = sim_put_bytes(p, sim_interval_names[event->interval],
                      strlen(sim_interval_names[event->interval]));
    p = SIM_PUT(p, "\"");
    p = put_number(p, 'f', candle->first_id);
    p = put_number(p, 'L', candle->last_id);
    p = put_price(p, 'o', candle->open_e8);
    p = put_price(p, 'c', candle->close_e8);
    p = put_price(p, 'h', candle->high_e8);
    p = put_price(p, 'l', candle->low_e8);
    p = put_price(p, 'v', candle->volume_e8);
    p = put_number(p, 'n', candle->count);
    p = event->closed ? SIM_PUT(p, ",\"x\":true") : SIM_PUT(p, ",\"x\":false");
    p = put_quote(p, 'q', candle->quote_e16);
    p = put_price(p, 'V', candle->taker_volume_e8);
    p = put_quote(p, 'Q', candle->taker_quote_e16);
    return SIM_PUT(p, ",\"B\":\"0\"}}");
}

void synthetic_send_kline(struct synthetic *market, struct synthetic_symbol *symbol, int interval,
                          bool closed)
{
    const struct kline_event event = { interval, closed };
    send(market, symbol->topics[SYNTHETIC_KLINE + interval], symbol, format_kline, &event,
         FRAME_BYTES);
}

static char *put_mini(char *p, const struct synthetic *market,
                      const struct synthetic_symbol *symbol, int64_t unit)
{
    const struct sim_candle *day = &symbol->day;
    p = put_head(p, "24hrMiniTicker", market, symbol, unit);
    p = put_price(p, 'c', day->close_e8);
    p = put_price(p, 'o', day->open_e8);
    p = put_price(p, 'h', day->high_e8);
    p = put_price(p, 'l', day->low_e8);
    p = put_price(p, 'v', day->volume_e8);
    p = put_quote(p, 'q', day->quote_e16);
    return SIM_PUT(p, "}");
}

static char *format_mini(char *p, struct synthetic *market, struct synthetic_symbol *symbol,
                         int64_t unit, const void *arg)
{
    (void)arg;
    return put_mini(p, market, symbol, unit);
}

static char *format_ticker(char *p, struct synthetic *market, struct synthetic_symbol *symbol,
                           int64_t unit, const void *arg)
{
    (void)arg;
    const struct sim_candle *day = &symbol->day;
    const int64_t change = day->close_e8 - day->open_e8;
    p = put_head(p, "24hrTicker", market, symbol, unit);
    p = put_price(p, 'p', change);
    p = SIM_PUT(p, ",\"P\":\"");
    p = sim_put_e8(p, (int64_t)((sim_int128)change * 100 * SIM_ONE_E8 / day->open_e8), 3);
    p = SIM_PUT(p, "\"");
    p = put_price(p, 'w', day->volume_e8 > 0 ? (int64_t)(day->quote_e16 / day->volume_e8) : 0);
    p = put_price(p, 'x', symbol->base_price_e8);
    p = put_price(p, 'c', day->close_e8);
    p = put_price(p, 'Q', symbol->last_quantity_e8);
    p = put_price(p, 'b', symbol->top.bid_e8);
    p = put_price(p, 'B', symbol->top.bid_quantity_e8);
    p = put_price(p, 'a', symbol->top.ask_e8);
    p = put_price(p, 'A', symbol->top.ask_quantity_e8);
    p = put_price(p, 'o', day->open_e8);
    p = put_price(p, 'h', day->high_e8);
    p = put_price(p, 'l', day->low_e8);
    p = put_price(p, 'v', day->volume_e8);
    p = put_quote(p, 'q', day->quote_e16);
    p = put_number(p, 'O', day->open_us / unit);
    p = put_number(p, 'C', market->now_us / unit);
    p = put_number(p, 'F', day->first_id);
    p = put_number(p, 'L', day->last_id);
    p = put_number(p, 'n', day->count);
    return SIM_PUT(p, "}");
}

/* Average of the running minute and the four before it. */
static int64_t average_e8(const struct synthetic_symbol *symbol)
{
    const struct sim_candle *now = &symbol->candles[1]; /* 1m */
    const struct synthetic_history *closed = &symbol->closed[1];
    sim_int128 quote = now->quote_e16;
    int64_t volume = now->volume_e8;
    for (uint64_t i = 1; i <= 4 && i <= closed->total; i++) {
        const struct sim_candle *candle =
            &closed->items[(closed->total - i) % SYNTHETIC_CANDLES_KEPT];
        quote += candle->quote_e16;
        volume += candle->volume_e8;
    }
    return volume > 0 ? (int64_t)(quote / volume) : symbol->day.close_e8;
}

static char *format_average(char *p, struct synthetic *market, struct synthetic_symbol *symbol,
                            int64_t unit, const void *arg)
{
    (void)arg;
    p = put_head(p, "avgPrice", market, symbol, unit);
    p = SIM_PUT(p, ",\"i\":\"5m\"");
    p = put_price(p, 'w', average_e8(symbol));
    p = put_number(p, 'T', symbol->last_trade_us / unit);
    return SIM_PUT(p, "}");
}

void synthetic_send_tickers(struct synthetic *market, struct synthetic_symbol *symbol)
{
    send(market, symbol->topics[SYNTHETIC_AVG_PRICE], symbol, format_average, NULL, FRAME_BYTES);
    if (symbol->day_changed) {
        symbol->day_changed = false;
        send(market, symbol->topics[SYNTHETIC_TICKER], symbol, format_ticker, NULL, FRAME_BYTES);
        send(market, symbol->topics[SYNTHETIC_MINI_TICKER], symbol, format_mini, NULL, FRAME_BYTES);
    }
}

static char *format_array(char *p, struct synthetic *market, struct synthetic_symbol *symbol,
                          int64_t unit, const void *arg)
{
    (void)symbol;
    (void)arg;
    bool first = true;
    p = SIM_PUT(p, "[");
    for (size_t i = 0; i < market->market.symbol_count; i++) {
        if (market->symbols[i].array_changed) {
            p = first ? p : SIM_PUT(p, ",");
            p = put_mini(p, market, &market->symbols[i], unit);
            first = false;
        }
    }
    return SIM_PUT(p, "]");
}

void synthetic_send_array(struct synthetic *market)
{
    bool any = false;
    for (size_t i = 0; i < market->market.symbol_count; i++) {
        any = any || market->symbols[i].array_changed;
    }
    if (any) {
        send(market, market->array_topic, NULL, format_array, NULL,
             FRAME_BYTES + market->market.symbol_count * 512);
    }
    for (size_t i = 0; i < market->market.symbol_count; i++) {
        market->symbols[i].array_changed = false;
    }
}
