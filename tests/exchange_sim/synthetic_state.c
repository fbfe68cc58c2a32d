/* What the synthetic market answers: streams by name, REST, the book at an earlier id. */
#include <string.h>

#include "synthetic_internal.h"

static struct synthetic_symbol *symbol_at(struct sim_market *market, size_t symbol)
{
    return &((struct synthetic *)market)->symbols[symbol];
}

/* "SYM0001USDT", or its lower-case form -> 0; the last ones have another head. */
static bool parse_name(const struct sim_market *market, struct mlt_slice name, const char *head,
                       const char *tail, size_t *symbol)
{
    size_t number = 0;
    const bool unicode = name.len == 11 && memcmp(name.data, SYNTHETIC_UNICODE, 3) == 0;
    if (name.len != 11 || (!unicode && memcmp(name.data, head, 3) != 0) ||
        memcmp(name.data + 7, tail, 4) != 0) {
        return false;
    }
    for (size_t i = 3; i < 7; i++) {
        if (name.data[i] < '0' || name.data[i] > '9') {
            return false;
        }
        number = number * 10 + (size_t)(name.data[i] - '0');
    }
    *symbol = number - 1;
    return number > 0 && number <= market->symbol_count &&
           unicode == (*symbol >=
                       market->symbol_count - ((const struct synthetic *)market)->options->unicode);
}

static int kind_of(struct mlt_slice suffix)
{
    static const char *const names[SYNTHETIC_KLINE] = {
        "trade",         "aggTrade", "bookTicker", "depth",        "depth@100ms",
        "depth5",        "depth10",  "depth20",    "depth5@100ms", "depth10@100ms",
        "depth20@100ms", "ticker",   "miniTicker", "avgPrice",
    };
    for (int i = 0; i < SYNTHETIC_KLINE; i++) {
        if (mlt_slice_equal_string(suffix, names[i])) {
            return i;
        }
    }
    const struct mlt_slice kline = MLT_SLICE_LITERAL("kline_");
    if (mlt_slice_starts_with(suffix, kline)) {
        const int interval =
            sim_interval_find(mlt_slice_of(suffix.data + kline.len, suffix.len - kline.len));
        return interval >= 0 ? SYNTHETIC_KLINE + interval : -1;
    }
    return -1;
}

int64_t synthetic_attach(struct sim_market *market, struct sim_topic *topic)
{
    const struct mlt_slice name = mlt_slice_of(topic->name, topic->name_len);
    size_t symbol = 0;
    if (mlt_slice_equal_string(name, "!miniTicker@arr")) {
        ((struct synthetic *)market)->array_topic = topic;
        return SYNTHETIC_ARRAY_ID;
    }
    const uint8_t *at = memchr(name.data, '@', name.len);
    const size_t len = (size_t)(at - name.data); /* names are valid: there is one */
    const int kind = kind_of(mlt_slice_of(at + 1, name.len - len - 1));
    if (kind < 0 || !parse_name(market, mlt_slice_of(name.data, len), "sym", "usdt", &symbol)) {
        return -1;
    }
    symbol_at(market, symbol)->topics[kind] = topic;
    return (int64_t)symbol * SYNTHETIC_KINDS_MAX + kind;
}

bool synthetic_find(struct sim_market *market, struct mlt_slice name, size_t *symbol)
{
    return parse_name(market, name, "SYM", "USDT", symbol);
}

void synthetic_describe(struct sim_market *market, size_t symbol, struct sim_symbol *out)
{
    const char *name = symbol_at(market, symbol)->name;
    *out = (struct sim_symbol){ .name = mlt_slice_of(name, 11),
                                .base = mlt_slice_of(name, 7),
                                .quote = mlt_slice_of(name + 7, 4),
                                .status = MLT_SLICE_LITERAL("TRADING"),
                                .price_decimals = SIM_DECIMALS,
                                .quantity_decimals = SIM_DECIMALS,
                                .tick_e8 = SYNTHETIC_TICK_E8,
                                .lot_e8 = SYNTHETIC_LOT_E8 };
}

void synthetic_halt(struct sim_market *market, size_t symbol, bool halted)
{
    symbol_at(market, symbol)->halted = halted;
}

bool synthetic_listing(struct sim_market *market, size_t symbol, struct mlt_slice *object)
{
    (void)market;
    (void)symbol;
    (void)object;
    return false;
}

const struct sim_book *synthetic_book(struct sim_market *market, size_t symbol)
{
    return &symbol_at(market, symbol)->book;
}

/* From the book of now backwards: every change knows what stood there before. */
enum mlt_status synthetic_book_at(struct sim_market *market, size_t symbol, int64_t id,
                                  const struct sim_book **out)
{
    struct synthetic *synthetic = (struct synthetic *)market;
    const struct synthetic_symbol *at = symbol_at(market, symbol);
    if (id > at->book.id) {
        return MLT_E_NOT_FOUND;
    }
    if (id < synthetic_oldest_id(synthetic, at)) {
        return MLT_E_RANGE;
    }
    enum mlt_status status = sim_book_copy(&synthetic->past, &at->book);
    for (int64_t i = at->book.id; status == MLT_OK && i > id; i--) {
        const struct synthetic_change *change = &at->changes[i & synthetic->change_mask];
        const bool bid = change->signed_price_e8 > 0;
        status = sim_book_set(&synthetic->past, bid,
                              bid ? change->signed_price_e8 : -change->signed_price_e8,
                              change->old_e8, NULL);
    }
    synthetic->past.id = id;
    *out = &synthetic->past;
    return status;
}

bool synthetic_top(struct sim_market *market, size_t symbol, struct sim_top *out)
{
    *out = symbol_at(market, symbol)->top;
    return true;
}

static const struct synthetic_ring *ring_of(struct sim_market *market, size_t symbol,
                                            bool aggregates)
{
    const struct synthetic_symbol *at = symbol_at(market, symbol);
    return aggregates ? &at->aggregates : &at->trades;
}

static size_t kept(uint64_t total, size_t max)
{
    return total < max ? (size_t)total : max;
}

size_t synthetic_trade_count(struct sim_market *market, size_t symbol, bool aggregates)
{
    return kept(ring_of(market, symbol, aggregates)->total, SYNTHETIC_TRADES_KEPT);
}

void synthetic_trade(struct sim_market *market, size_t symbol, bool aggregates, size_t index,
                     struct sim_trade *out)
{
    const struct synthetic_ring *ring = ring_of(market, symbol, aggregates);
    const uint64_t first = ring->total - kept(ring->total, SYNTHETIC_TRADES_KEPT);
    *out = ring->items[(first + index) % SYNTHETIC_TRADES_KEPT];
}

size_t synthetic_candles(struct sim_market *market, size_t symbol, int interval,
                         struct sim_candle *out, size_t max)
{
    const struct synthetic_symbol *at = symbol_at(market, symbol);
    const struct synthetic_history *closed = &at->closed[interval];
    if (max == 0) {
        return 0;
    }
    const size_t older =
        kept(closed->total, max - 1 < SYNTHETIC_CANDLES_KEPT ? max - 1 : SYNTHETIC_CANDLES_KEPT);
    for (size_t i = 0; i < older; i++) {
        out[i] = closed->items[(closed->total - older + i) % SYNTHETIC_CANDLES_KEPT];
    }
    out[older] = at->candles[interval];
    return older + 1;
}

void synthetic_day(struct sim_market *market, size_t symbol, struct sim_candle *out)
{
    *out = symbol_at(market, symbol)->day;
}
