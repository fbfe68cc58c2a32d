/* What a replay answers to REST: what has been replayed so far. */
#include <string.h>

#include "json.h"
#include "meltica/base/decimal.h"
#include "quotes.h"
#include "replay_internal.h"

static struct replay_symbol *symbol_at(struct sim_market *market, size_t symbol)
{
    return &((struct replay *)market)->symbols[symbol];
}

static bool integer(struct mlt_slice json, const char *key, int64_t *out)
{
    struct mlt_slice value;
    return sim_json_member(json, key, &value) && sim_json_integer(value, out);
}

static bool decimal(struct mlt_slice json, const char *key, int64_t *out)
{
    struct mlt_slice value;
    return sim_json_member(json, key, &value) && sim_json_plain(value, &value) &&
           mlt_decimal_parse_at(value, -SIM_DECIMALS, out) == MLT_OK;
}

bool replay_read_trade(struct mlt_slice json, bool aggregate, struct sim_trade *out)
{
    struct mlt_slice maker;
    int64_t time_ms = 0;
    memset(out, 0, sizeof *out);
    if (!integer(json, aggregate ? "a" : "t", &out->id) || !integer(json, "T", &time_ms) ||
        !decimal(json, "p", &out->price_e8) || !decimal(json, "q", &out->quantity_e8) ||
        !sim_json_member(json, "m", &maker) || time_ms > INT64_MAX / 1000) {
        return false;
    }
    out->time_us = time_ms * 1000;
    out->buyer_is_maker = mlt_slice_equal_string(maker, "true");
    return !aggregate || (integer(json, "f", &out->first_id) && integer(json, "l", &out->last_id));
}

bool replay_find(struct sim_market *market, struct mlt_slice name, size_t *symbol)
{
    const uintptr_t known = (uintptr_t)mlt_map_get(&((struct replay *)market)->by_name, name);
    *symbol = known - 1;
    return known != 0;
}

void replay_describe(struct sim_market *market, size_t symbol, struct sim_symbol *out)
{
    const struct replay_symbol *at = symbol_at(market, symbol);
    const size_t base = sim_base_length(mlt_slice_of(at->name, at->name_len));
    *out = (struct sim_symbol){ .name = mlt_slice_of(at->name, at->name_len),
                                .base = mlt_slice_of(at->name, base),
                                .quote = mlt_slice_of(at->name + base, at->name_len - base),
                                .status = MLT_SLICE_LITERAL("TRADING"),
                                .price_decimals = SIM_DECIMALS,
                                .quantity_decimals = SIM_DECIMALS };
    struct mlt_slice value;
    if (at->listing.len > 0 && sim_json_member(at->listing, "status", &value)) {
        (void)sim_json_plain(value, &out->status);
    }
}

bool replay_listing(struct sim_market *market, size_t symbol, struct mlt_slice *object)
{
    *object = symbol_at(market, symbol)->listing;
    return object->len > 0;
}

/* The first snapshot is the beginning; a later one only where the diffs have a hole. */
static enum mlt_status begin(const struct replay_symbol *symbol, struct replay_book *book)
{
    sim_book_clear(&book->book);
    book->applied = 0;
    book->begun = true;
    return symbol->snapshot_count > 0 ? sim_book_load(&book->book, symbol->snapshots[0]) : MLT_OK;
}

static enum mlt_status bridge(const struct replay_symbol *symbol, struct sim_book *book)
{
    for (size_t i = 1; i < symbol->snapshot_count; i++) {
        int64_t id = 0;
        if (integer(symbol->snapshots[i], "lastUpdateId", &id) && id > book->id) {
            return sim_book_load(book, symbol->snapshots[i]);
        }
    }
    return MLT_OK;
}

/* Applies depth frames up to `count` of them and none beyond `id_max`. */
static enum mlt_status advance(const struct replay *replay, const struct replay_symbol *symbol,
                               struct replay_book *book, size_t count, int64_t id_max)
{
    enum mlt_status status = MLT_OK;
    if (!book->begun || count < book->applied || book->book.id > id_max) {
        status = begin(symbol, book);
    }
    const struct replay_stream *stream =
        symbol->depth_stream >= 0 ? &replay->streams[symbol->depth_stream] : NULL;
    while (status == MLT_OK && stream != NULL && book->applied < count) {
        const struct mlt_slice json =
            replay_inner(&replay->frames[stream->frames.at[book->applied]]);
        int64_t first = 0, last = 0;
        if (sim_book_ids(json, &first, &last) == MLT_OK) {
            if (last > id_max) {
                return MLT_OK;
            }
            if (book->book.id > 0 && first > book->book.id + 1) {
                status = bridge(symbol, &book->book);
            }
            if (status == MLT_OK && last > book->book.id) {
                status = sim_book_apply(&book->book, json);
            }
        }
        book->applied++;
    }
    return status;
}

const struct sim_book *replay_book(struct sim_market *market, size_t symbol)
{
    const struct replay *replay = (const struct replay *)market;
    struct replay_symbol *at = symbol_at(market, symbol);
    const size_t count = at->depth_stream >= 0
                             ? replay_passed(replay, &replay->streams[at->depth_stream].frames)
                             : 0;
    return advance(replay, at, &at->live, count, INT64_MAX) == MLT_OK ? &at->live.book : NULL;
}

enum mlt_status replay_book_at(struct sim_market *market, size_t symbol, int64_t id,
                               const struct sim_book **out)
{
    const struct replay *replay = (const struct replay *)market;
    struct replay_symbol *at = symbol_at(market, symbol);
    const struct replay_indexes *frames =
        at->depth_stream >= 0 ? &replay->streams[at->depth_stream].frames : NULL;
    const enum mlt_status status =
        advance(replay, at, &at->past, frames != NULL ? frames->count : 0, id);
    if (status != MLT_OK) {
        return status;
    }
    if (at->past.book.id > id || at->past.book.id == 0) {
        return MLT_E_RANGE; /* before the first snapshot or diff */
    }
    if (at->past.book.id < id && (frames == NULL || at->past.applied == frames->count)) {
        return MLT_E_NOT_FOUND;
    }
    *out = &at->past.book;
    return MLT_OK;
}

bool replay_top(struct sim_market *market, size_t symbol, struct sim_top *out)
{
    const struct replay *replay = (const struct replay *)market;
    const struct replay_symbol *at = symbol_at(market, symbol);
    memset(out, 0, sizeof *out);
    const struct sim_book *book = replay_book(market, symbol);
    const struct sim_level *bid = book != NULL ? sim_book_level(book, true, 0) : NULL;
    const struct sim_level *ask = book != NULL ? sim_book_level(book, false, 0) : NULL;
    if (bid != NULL && ask != NULL) {
        *out = (struct sim_top){ book->id, bid->price_e8, bid->quantity_e8, ask->price_e8,
                                 ask->quantity_e8 };
    }
    if (at->ticker_stream >= 0) {
        const struct replay_indexes *frames = &replay->streams[at->ticker_stream].frames;
        const size_t count = replay_passed(replay, frames);
        struct sim_top top = { 0 };
        if (count > 0) {
            const struct mlt_slice json = replay_inner(&replay->frames[frames->at[count - 1]]);
            if (integer(json, "u", &top.id) && top.id > out->id &&
                decimal(json, "b", &top.bid_e8) && decimal(json, "B", &top.bid_quantity_e8) &&
                decimal(json, "a", &top.ask_e8) && decimal(json, "A", &top.ask_quantity_e8)) {
                *out = top;
            }
        }
    }
    return out->id != 0;
}

size_t replay_trade_count(struct sim_market *market, size_t symbol, bool aggregates)
{
    const struct replay_symbol *at = symbol_at(market, symbol);
    return replay_passed((const struct replay *)market,
                         aggregates ? &at->aggregates.frames : &at->trades.frames);
}

void replay_trade(struct sim_market *market, size_t symbol, bool aggregates, size_t index,
                  struct sim_trade *out)
{
    const struct replay_symbol *at = symbol_at(market, symbol);
    *out = aggregates ? at->aggregates.items[index] : at->trades.items[index];
}

/* Makes room for one more at the end by dropping the oldest. */
static struct sim_candle *push(struct sim_candle *out, size_t *count, size_t max)
{
    if (*count == max) {
        memmove(out, out + 1, (max - 1) * sizeof *out);
        return &out[max - 1];
    }
    return &out[(*count)++];
}

static size_t candles_from_trades(const struct replay_trades *trades, size_t known, int interval,
                                  struct sim_candle *out, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < known; i++) {
        const struct sim_trade *trade = &trades->items[i];
        while (count == 0 || trade->time_us > out[count - 1].close_us) {
            const int64_t start = count == 0 ? trade->time_us : out[count - 1].close_us + 1;
            const int64_t price = count == 0 ? trade->price_e8 : out[count - 1].close_e8;
            sim_candle_begin(push(out, &count, max), interval, start, price);
        }
        sim_candle_add(&out[count - 1], trade);
    }
    return count;
}

static bool read_quote(struct mlt_slice json, const char *key, sim_int128 *out)
{
    int64_t value = 0;
    if (!decimal(json, key, &value)) {
        return false;
    }
    *out = (sim_int128)value * SIM_ONE_E8;
    return true;
}

static bool read_candle(struct mlt_slice json, struct sim_candle *out)
{
    struct mlt_slice k;
    memset(out, 0, sizeof *out);
    if (!sim_json_member(json, "k", &k) || !integer(k, "t", &out->open_us) ||
        !integer(k, "T", &out->close_us) || !integer(k, "f", &out->first_id) ||
        !integer(k, "L", &out->last_id) || !integer(k, "n", &out->count) ||
        !decimal(k, "o", &out->open_e8) || !decimal(k, "h", &out->high_e8) ||
        !decimal(k, "l", &out->low_e8) || !decimal(k, "c", &out->close_e8) ||
        !decimal(k, "v", &out->volume_e8) || !decimal(k, "V", &out->taker_volume_e8) ||
        !read_quote(k, "q", &out->quote_e16) || !read_quote(k, "Q", &out->taker_quote_e16)) {
        return false;
    }
    out->open_us *= 1000;
    out->close_us = out->close_us * 1000 + 999;
    return true;
}

static size_t candles_from_frames(const struct replay *replay, const struct replay_stream *stream,
                                  struct sim_candle *out, size_t max)
{
    size_t count = 0;
    const size_t known = replay_passed(replay, &stream->frames);
    for (size_t i = 0; i < known; i++) {
        struct sim_candle candle;
        if (!read_candle(replay_inner(&replay->frames[stream->frames.at[i]]), &candle)) {
            continue;
        }
        if (count > 0 && out[count - 1].open_us == candle.open_us) {
            out[count - 1] = candle;
        } else {
            *push(out, &count, max) = candle;
        }
    }
    return count;
}

size_t replay_candles(struct sim_market *market, size_t symbol, int interval,
                      struct sim_candle *out, size_t max)
{
    const struct replay *replay = (const struct replay *)market;
    const struct replay_symbol *at = symbol_at(market, symbol);
    const size_t known = replay_passed(replay, &at->trades.frames);
    if (max == 0) {
        return 0;
    }
    if (at->trades.count > 0) {
        return candles_from_trades(&at->trades, known, interval, out, max);
    }
    return at->kline_streams[interval] >= 0
               ? candles_from_frames(replay, &replay->streams[at->kline_streams[interval]], out,
                                     max)
               : 0;
}

void replay_day(struct sim_market *market, size_t symbol, struct sim_candle *out)
{
    const struct replay_symbol *at = symbol_at(market, symbol);
    const size_t known = replay_passed((const struct replay *)market, &at->trades.frames);
    *out = (struct sim_candle){ .first_id = -1, .last_id = -1 };
    for (size_t i = 0; i < known; i++) {
        if (i == 0) {
            out->open_us = at->trades.items[i].time_us;
        }
        sim_candle_add(out, &at->trades.items[i]);
        out->close_us = at->trades.items[i].time_us;
    }
}
