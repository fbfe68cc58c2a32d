/* Bodies of depth, trades, historicalTrades, aggTrades, klines and avgPrice. */
#include <stdlib.h>

#include "format.h"
#include "json.h"
#include "rest.h"

#define LIMIT_DEFAULT 500
#define LIMIT_MAX 1000
#define DEPTH_DEFAULT 100
#define DEPTH_MAX 5000
#define AVERAGE_US (INT64_C(300) * 1000000)

static char *put_time(char *p, const struct sim_rest *rest, int64_t time_us)
{
    return sim_put_i64(p, rest->micros ? time_us : time_us / 1000);
}

static char *put_quote(char *p, sim_int128 quote_e16)
{
    return sim_put_e8(p, (int64_t)(quote_e16 / SIM_ONE_E8), SIM_DECIMALS);
}

static char *put_bool(char *p, bool value)
{
    return value ? SIM_PUT(p, "true") : SIM_PUT(p, "false");
}

/* The book as it was rest->ago changes ago, or as many as are known (rest->ago: so many). */
static const struct sim_book *older_book(struct sim_rest *rest, size_t symbol,
                                         const struct sim_book *now)
{
    const struct sim_book *book = NULL;
    const int64_t id = now->id;
    for (; rest->ago > 0; rest->ago /= 2) {
        if (rest->market->ops->book_at(rest->market, symbol, id - (int64_t)rest->ago, &book) ==
            MLT_OK) {
            return book;
        }
    }
    return now;
}

enum mlt_status sim_rest_depth(struct sim_rest *rest, size_t symbol)
{
    enum mlt_status status = MLT_OK;
    int64_t limit = 0;
    if (!sim_rest_number(rest, "limit", DEPTH_DEFAULT, 1, DEPTH_MAX, &limit, &status)) {
        return status;
    }
    const struct sim_book *book = rest->market->ops->book(rest->market, symbol);
    if (book == NULL) {
        rest->answer->status = 500;
        return sim_rest_error(rest, -1000,
                              "An unknown error occurred while processing the "
                              "request.");
    }
    sim_server_depth_answered(rest->server, symbol, limit);
    return sim_book_write(rest->ago > 0 ? older_book(rest, symbol, book) : book, (size_t)limit, "",
                          rest->out);
}

static enum mlt_status put_trade(struct sim_rest *rest, const struct sim_trade *trade, bool first)
{
    char text[512], *p = text;
    p = first ? p : SIM_PUT(p, ",");
    p = SIM_PUT(p, "{\"id\":");
    p = sim_put_i64(p, trade->id);
    p = SIM_PUT(p, ",\"price\":\"");
    p = sim_put_e8(p, trade->price_e8, SIM_DECIMALS);
    p = SIM_PUT(p, "\",\"qty\":\"");
    p = sim_put_e8(p, trade->quantity_e8, SIM_DECIMALS);
    p = SIM_PUT(p, "\",\"quoteQty\":\"");
    p = put_quote(p, (sim_int128)trade->price_e8 * trade->quantity_e8);
    p = SIM_PUT(p, "\",\"time\":");
    p = put_time(p, rest, trade->time_us);
    p = SIM_PUT(p, ",\"isBuyerMaker\":");
    p = put_bool(p, trade->buyer_is_maker);
    p = SIM_PUT(p, ",\"isBestMatch\":true}");
    return mlt_buf_append(rest->out, text, (size_t)(p - text));
}

static enum mlt_status put_aggregate(struct sim_rest *rest, const struct sim_trade *trade,
                                     bool first)
{
    char text[512], *p = text;
    p = first ? p : SIM_PUT(p, ",");
    p = SIM_PUT(p, "{\"a\":");
    p = sim_put_i64(p, trade->id);
    p = SIM_PUT(p, ",\"p\":\"");
    p = sim_put_e8(p, trade->price_e8, SIM_DECIMALS);
    p = SIM_PUT(p, "\",\"q\":\"");
    p = sim_put_e8(p, trade->quantity_e8, SIM_DECIMALS);
    p = SIM_PUT(p, "\",\"f\":");
    p = sim_put_i64(p, trade->first_id);
    p = SIM_PUT(p, ",\"l\":");
    p = sim_put_i64(p, trade->last_id);
    p = SIM_PUT(p, ",\"T\":");
    p = put_time(p, rest, trade->time_us);
    p = SIM_PUT(p, ",\"m\":");
    p = put_bool(p, trade->buyer_is_maker);
    p = SIM_PUT(p, ",\"M\":true}");
    return mlt_buf_append(rest->out, text, (size_t)(p - text));
}

/* Trades [begin, begin + count) of what the market knows. */
static enum mlt_status put_trades(struct sim_rest *rest, size_t symbol, bool aggregates,
                                  size_t begin, size_t count)
{
    enum mlt_status status = mlt_buf_append_byte(rest->out, '[');
    for (size_t i = 0; status == MLT_OK && i < count; i++) {
        struct sim_trade trade;
        rest->market->ops->trade(rest->market, symbol, aggregates, begin + i, &trade);
        status = aggregates ? put_aggregate(rest, &trade, i == 0) : put_trade(rest, &trade, i == 0);
    }
    return status == MLT_OK ? mlt_buf_append_byte(rest->out, ']') : status;
}

/* Index of the first trade with an id (or, by_time, a time in us) of at least `wanted`. */
static size_t lower_bound(struct sim_rest *rest, size_t symbol, bool aggregates, bool by_time,
                          int64_t wanted)
{
    size_t low = 0, high = rest->market->ops->trade_count(rest->market, symbol, aggregates);
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        struct sim_trade trade;
        rest->market->ops->trade(rest->market, symbol, aggregates, middle, &trade);
        if ((by_time ? trade.time_us : trade.id) < wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

enum mlt_status sim_rest_trades(struct sim_rest *rest, size_t symbol)
{
    enum mlt_status status = MLT_OK;
    int64_t limit = 0;
    if (!sim_rest_number(rest, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX, &limit, &status)) {
        return status;
    }
    const size_t known = rest->market->ops->trade_count(rest->market, symbol, false);
    const size_t count = smaller(known, (size_t)limit);
    return put_trades(rest, symbol, false, known - count, count);
}

enum mlt_status sim_rest_historical_trades(struct sim_rest *rest, size_t symbol)
{
    enum mlt_status status = MLT_OK;
    int64_t limit = 0, from = 0;
    if (!sim_rest_number(rest, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX, &limit, &status) ||
        !sim_rest_number(rest, "fromId", -1, 0, 0, &from, &status)) {
        return status;
    }
    const size_t known = rest->market->ops->trade_count(rest->market, symbol, false);
    size_t begin = known - smaller(known, (size_t)limit);
    if (from >= 0) {
        begin = lower_bound(rest, symbol, false, false, from);
    }
    return put_trades(rest, symbol, false, begin, smaller(known - begin, (size_t)limit));
}

enum mlt_status sim_rest_agg_trades(struct sim_rest *rest, size_t symbol)
{
    enum mlt_status status = MLT_OK;
    int64_t limit = 0, from = 0, start_us = 0, end_us = 0;
    if (!sim_rest_number(rest, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX, &limit, &status) ||
        !sim_rest_number(rest, "fromId", -1, 0, 0, &from, &status) ||
        !sim_rest_time(rest, "startTime", -1, &start_us, &status) ||
        !sim_rest_time(rest, "endTime", -1, &end_us, &status)) {
        return status;
    }
    if (from >= 0 && (start_us >= 0 || end_us >= 0)) {
        return sim_rest_error(rest, -1128, "Combination of optional parameters invalid.");
    }
    size_t begin = 0, end = rest->market->ops->trade_count(rest->market, symbol, true);
    if (end_us >= 0) { /* inclusive, to the end of that millisecond */
        end = lower_bound(rest, symbol, true, true, end_us / 1000 * 1000 + 1000);
    }
    if (from >= 0) {
        begin = lower_bound(rest, symbol, true, false, from);
    } else if (start_us >= 0) {
        begin = lower_bound(rest, symbol, true, true, start_us);
    } else {
        begin = end - smaller(end, (size_t)limit);
    }
    const size_t count = begin < end ? smaller(end - begin, (size_t)limit) : 0;
    return put_trades(rest, symbol, true, begin, count);
}

static enum mlt_status put_candle(struct sim_rest *rest, const struct sim_candle *candle,
                                  bool first)
{
    char text[512], *p = text;
    p = first ? p : SIM_PUT(p, ",");
    p = SIM_PUT(p, "[");
    p = put_time(p, rest, candle->open_us);
    const int64_t prices[4] = { candle->open_e8, candle->high_e8, candle->low_e8,
                                candle->close_e8 };
    for (size_t i = 0; i < 4; i++) {
        p = SIM_PUT(p, ",\"");
        p = sim_put_e8(p, prices[i], SIM_DECIMALS);
        p = SIM_PUT(p, "\"");
    }
    p = SIM_PUT(p, ",\"");
    p = sim_put_e8(p, candle->volume_e8, SIM_DECIMALS);
    p = SIM_PUT(p, "\",");
    p = put_time(p, rest, candle->close_us);
    p = SIM_PUT(p, ",\"");
    p = put_quote(p, candle->quote_e16);
    p = SIM_PUT(p, "\",");
    p = sim_put_i64(p, candle->count);
    p = SIM_PUT(p, ",\"");
    p = sim_put_e8(p, candle->taker_volume_e8, SIM_DECIMALS);
    p = SIM_PUT(p, "\",\"");
    p = put_quote(p, candle->taker_quote_e16);
    p = SIM_PUT(p, "\",\"0\"]");
    return mlt_buf_append(rest->out, text, (size_t)(p - text));
}

static enum mlt_status put_candles(struct sim_rest *rest, const struct sim_candle *candles,
                                   size_t count, int64_t start_us, int64_t end_us, size_t limit)
{
    size_t begin = 0, end = count;
    while (begin < end && start_us >= 0 && candles[begin].open_us < start_us) {
        begin++;
    }
    while (end > begin && end_us >= 0 && candles[end - 1].open_us > end_us) {
        end--;
    }
    if (end - begin > limit) { /* with a start the oldest from there, else the newest */
        begin = start_us >= 0 ? begin : end - limit;
        end = begin + limit;
    }
    enum mlt_status status = mlt_buf_append_byte(rest->out, '[');
    for (size_t i = begin; status == MLT_OK && i < end; i++) {
        status = put_candle(rest, &candles[i], i == begin);
    }
    return status == MLT_OK ? mlt_buf_append_byte(rest->out, ']') : status;
}

enum mlt_status sim_rest_klines(struct sim_rest *rest, size_t symbol)
{
    enum mlt_status status = MLT_OK;
    struct mlt_slice name;
    int64_t limit = 0, start_us = 0, end_us = 0;
    if (!sim_argument_find(rest->request, "interval", &name) || name.len == 0) {
        return sim_rest_error(rest, -1102,
                              "Mandatory parameter 'interval' was not sent, was "
                              "empty/null, or malformed.");
    }
    const int interval = sim_interval_find(name);
    if (interval < 0) {
        return sim_rest_error(rest, -1120, "Invalid interval.");
    }
    if (!sim_rest_number(rest, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX, &limit, &status) ||
        !sim_rest_time(rest, "startTime", -1, &start_us, &status) ||
        !sim_rest_time(rest, "endTime", -1, &end_us, &status)) {
        return status;
    }
    struct sim_candle *candles = calloc(LIMIT_MAX, sizeof *candles);
    if (candles == NULL) {
        return MLT_E_NOMEM;
    }
    const size_t count =
        rest->market->ops->candles(rest->market, symbol, interval, candles, LIMIT_MAX);
    status = put_candles(rest, candles, count, start_us, end_us, (size_t)limit);
    free(candles);
    return status;
}

enum mlt_status sim_rest_avg_price(struct sim_rest *rest, size_t symbol)
{
    const size_t known = rest->market->ops->trade_count(rest->market, symbol, false);
    struct sim_trade trade = { 0 };
    sim_int128 quote = 0;
    int64_t last_us = 0, volume = 0;
    for (size_t i = known; i > 0; i--) {
        rest->market->ops->trade(rest->market, symbol, false, i - 1, &trade);
        last_us = i == known ? trade.time_us : last_us;
        if (trade.time_us < last_us - AVERAGE_US) {
            break;
        }
        quote += (sim_int128)trade.price_e8 * trade.quantity_e8;
        volume += trade.quantity_e8;
    }
    char text[160], *p = text;
    p = SIM_PUT(p, "{\"mins\":5,\"price\":\"");
    p = sim_put_e8(p, volume > 0 ? (int64_t)(quote / volume) : 0, SIM_DECIMALS);
    p = SIM_PUT(p, "\",\"closeTime\":");
    p = put_time(p, rest, last_us);
    p = SIM_PUT(p, "}");
    return mlt_buf_append(rest->out, text, (size_t)(p - text));
}
