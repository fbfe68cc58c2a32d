/* Bodies of ticker/24hr, ticker/price and ticker/bookTicker. */
#include "format.h"
#include "rest.h"

struct quote_line {
    const char *key;
    int64_t value_e8;
};

static char *put_name(char *p, const struct sim_symbol *symbol)
{
    p = SIM_PUT(p, "{\"symbol\":\"");
    p = sim_put_bytes(p, symbol->name.data, symbol->name.len);
    return SIM_PUT(p, "\"");
}

static char *put_quotes(char *p, const struct quote_line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        p = SIM_PUT(p, ",\"");
        p = sim_put_bytes(p, lines[i].key, strlen(lines[i].key));
        p = SIM_PUT(p, "\":\"");
        p = sim_put_e8(p, lines[i].value_e8, SIM_DECIMALS);
        p = SIM_PUT(p, "\"");
    }
    return p;
}

static char *put_integer(char *p, const char *key, int64_t value)
{
    p = SIM_PUT(p, ",\"");
    p = sim_put_bytes(p, key, strlen(key));
    p = SIM_PUT(p, "\":");
    return sim_put_i64(p, value);
}

static char *put_window(char *p, const struct sim_rest *rest, const struct sim_candle *day)
{
    const int64_t unit = rest->micros ? 1 : 1000;
    p = put_integer(p, "openTime", day->open_us / unit);
    p = put_integer(p, "closeTime", day->close_us / unit);
    p = put_integer(p, "firstId", day->first_id);
    p = put_integer(p, "lastId", day->last_id);
    p = put_integer(p, "count", day->count);
    return SIM_PUT(p, "}");
}

static char *put_full(char *p, const struct sim_rest *rest, const struct sim_candle *day,
                      const struct sim_top *top, int64_t last_quantity_e8)
{
    const int64_t change = day->close_e8 - day->open_e8;
    const int64_t percent =
        day->open_e8 != 0 ? (int64_t)((sim_int128)change * 100 * SIM_ONE_E8 / day->open_e8) : 0;
    const int64_t average = day->volume_e8 != 0 ? (int64_t)(day->quote_e16 / day->volume_e8) : 0;
    const struct quote_line first[] = { { "priceChange", change } };
    const struct quote_line rest_lines[] = {
        { "weightedAvgPrice", average },
        { "prevClosePrice", day->open_e8 },
        { "lastPrice", day->close_e8 },
        { "lastQty", last_quantity_e8 },
        { "bidPrice", top->bid_e8 },
        { "bidQty", top->bid_quantity_e8 },
        { "askPrice", top->ask_e8 },
        { "askQty", top->ask_quantity_e8 },
        { "openPrice", day->open_e8 },
        { "highPrice", day->high_e8 },
        { "lowPrice", day->low_e8 },
        { "volume", day->volume_e8 },
        { "quoteVolume", (int64_t)(day->quote_e16 / SIM_ONE_E8) },
    };
    p = put_quotes(p, first, 1);
    p = SIM_PUT(p, ",\"priceChangePercent\":\"");
    p = sim_put_e8(p, percent, 3);
    p = SIM_PUT(p, "\"");
    p = put_quotes(p, rest_lines, sizeof rest_lines / sizeof rest_lines[0]);
    return put_window(p, rest, day);
}

static char *put_mini(char *p, const struct sim_rest *rest, const struct sim_candle *day)
{
    const struct quote_line lines[] = {
        { "openPrice", day->open_e8 }, { "highPrice", day->high_e8 },
        { "lowPrice", day->low_e8 },   { "lastPrice", day->close_e8 },
        { "volume", day->volume_e8 },  { "quoteVolume", (int64_t)(day->quote_e16 / SIM_ONE_E8) },
    };
    return put_window(put_quotes(p, lines, sizeof lines / sizeof lines[0]), rest, day);
}

enum ticker { TICKER_FULL, TICKER_MINI, TICKER_PRICE, TICKER_BOOK };

static int64_t last_quantity(struct sim_rest *rest, size_t symbol)
{
    struct sim_trade trade = { 0 };
    const size_t known = rest->market->ops->trade_count(rest->market, symbol, false);
    if (known > 0) {
        rest->market->ops->trade(rest->market, symbol, false, known - 1, &trade);
    }
    return trade.quantity_e8;
}

static enum mlt_status put_ticker(struct sim_rest *rest, enum ticker kind, size_t index, bool first)
{
    char text[2048], *p = text;
    struct sim_market *market = rest->market;
    struct sim_symbol symbol;
    struct sim_candle day;
    struct sim_top top = { 0 };
    market->ops->symbol(market, index, &symbol);
    p = put_name(first ? p : SIM_PUT(p, ","), &symbol);
    if (kind == TICKER_BOOK || kind == TICKER_FULL) {
        (void)market->ops->top(market, index, &top); /* zeros when nothing is known, as there */
    }
    if (kind == TICKER_BOOK) {
        const struct quote_line lines[] = { { "bidPrice", top.bid_e8 },
                                            { "bidQty", top.bid_quantity_e8 },
                                            { "askPrice", top.ask_e8 },
                                            { "askQty", top.ask_quantity_e8 } };
        p = SIM_PUT(put_quotes(p, lines, 4), "}");
        return mlt_buf_append(rest->out, text, (size_t)(p - text));
    }
    market->ops->day(market, index, &day);
    if (kind == TICKER_PRICE) {
        const struct quote_line line = { "price", day.close_e8 };
        p = SIM_PUT(put_quotes(p, &line, 1), "}");
    } else if (kind == TICKER_MINI) {
        p = put_mini(p, rest, &day);
    } else {
        p = put_full(p, rest, &day, &top, last_quantity(rest, index));
    }
    return mlt_buf_append(rest->out, text, (size_t)(p - text));
}

static enum mlt_status put_selection(struct sim_rest *rest, enum ticker kind)
{
    struct sim_selection selection;
    enum mlt_status status = MLT_OK;
    if (!sim_rest_select(rest, &selection, &status)) {
        return status;
    }
    if (!selection.one) {
        status = mlt_buf_append_byte(rest->out, '[');
    }
    bool first = true;
    for (size_t i = 0; status == MLT_OK && i < selection.count; i++) {
        const size_t symbol = selection.all ? i : selection.symbols[i];
        if (selection.all && sim_server_listing(rest->server, symbol)->unlisted) {
            continue;
        }
        status = put_ticker(rest, kind, symbol, first);
        first = false;
    }
    if (status == MLT_OK && !selection.one) {
        status = mlt_buf_append_byte(rest->out, ']');
    }
    sim_selection_fini(&selection);
    return status;
}

enum mlt_status sim_rest_ticker_24hr(struct sim_rest *rest, size_t unused)
{
    (void)unused;
    struct mlt_slice type;
    if (!sim_argument_find(rest->request, "type", &type) || mlt_slice_equal_string(type, "FULL")) {
        return put_selection(rest, TICKER_FULL);
    }
    if (mlt_slice_equal_string(type, "MINI")) {
        return put_selection(rest, TICKER_MINI);
    }
    return sim_rest_error(rest, -1130, "Data sent for parameter 'type' is not valid.");
}

enum mlt_status sim_rest_ticker_price(struct sim_rest *rest, size_t unused)
{
    (void)unused;
    return put_selection(rest, TICKER_PRICE);
}

enum mlt_status sim_rest_book_ticker(struct sim_rest *rest, size_t unused)
{
    (void)unused;
    return put_selection(rest, TICKER_BOOK);
}
