/* Body of exchangeInfo: the recorded object of each symbol where there is one, else a made one.
 * What stands around them is true of this server. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format.h"
#include "json.h"
#include "meltica/base/clock.h"
#include "rest.h"

static enum mlt_status put_head(struct sim_rest *rest)
{
    const int64_t now_us = sim_options_wall_us(rest->server->options);
    return mlt_buf_printf(
        rest->out,
        "{\"timezone\":\"UTC\",\"serverTime\":%lld,\"rateLimits\":[{\"rateLimitType\":"
        "\"REQUEST_WEIGHT\",\"interval\":\"MINUTE\",\"intervalNum\":1,\"limit\":%u},"
        "{\"rateLimitType\":\"RAW_REQUESTS\",\"interval\":\"MINUTE\",\"intervalNum\":5,"
        "\"limit\":300000}],\"exchangeFilters\":[],\"symbols\":[",
        (long long)(rest->micros ? now_us : now_us / 1000), rest->server->limits.weight_limit);
}

static enum mlt_status put_filters(struct sim_rest *rest, const struct sim_symbol *symbol)
{
    char text[512], *p = text;
    p = SIM_PUT(p, "[{\"filterType\":\"PRICE_FILTER\",\"minPrice\":\"");
    p = sim_put_e8(p, symbol->tick_e8, SIM_DECIMALS);
    p = SIM_PUT(p, "\",\"maxPrice\":\"1000000.00000000\",\"tickSize\":\"");
    p = sim_put_e8(p, symbol->tick_e8, SIM_DECIMALS);
    p = SIM_PUT(p, "\"},{\"filterType\":\"LOT_SIZE\",\"minQty\":\"");
    p = sim_put_e8(p, symbol->lot_e8, SIM_DECIMALS);
    p = SIM_PUT(p, "\",\"maxQty\":\"9000.00000000\",\"stepSize\":\"");
    p = sim_put_e8(p, symbol->lot_e8, SIM_DECIMALS);
    p = SIM_PUT(p, "\"},{\"filterType\":\"MARKET_LOT_SIZE\",\"minQty\":\"0.00000000\","
                   "\"maxQty\":\"100.00000000\",\"stepSize\":\"0.00000000\"}]");
    return mlt_buf_append(rest->out, text, (size_t)(p - text));
}

static enum mlt_status put_made(struct sim_rest *rest, const struct sim_symbol *symbol,
                                bool permission_sets)
{
    enum mlt_status status = mlt_buf_printf(
        rest->out,
        "{\"symbol\":\"%.*s\",\"status\":\"%.*s\",\"baseAsset\":\"%.*s\",\"baseAssetPrecision\":8,"
        "\"quoteAsset\":\"%.*s\",\"quotePrecision\":8,\"quoteAssetPrecision\":8,"
        "\"baseCommissionPrecision\":8,\"quoteCommissionPrecision\":8,\"orderTypes\":[\"LIMIT\","
        "\"MARKET\"],\"icebergAllowed\":true,\"ocoAllowed\":true,\"otoAllowed\":true,"
        "\"opoAllowed\":false,\"quoteOrderQtyMarketAllowed\":true,\"allowTrailingStop\":true,"
        "\"cancelReplaceAllowed\":true,\"amendAllowed\":true,\"pegInstructionsAllowed\":true,"
        "\"isSpotTradingAllowed\":true,\"isMarginTradingAllowed\":false,\"filters\":",
        MLT_SLICE_FMT(symbol->name), MLT_SLICE_FMT(symbol->status), MLT_SLICE_FMT(symbol->base),
        MLT_SLICE_FMT(symbol->quote));
    if (status == MLT_OK) {
        status = symbol->tick_e8 > 0 ? put_filters(rest, symbol)
                                     : mlt_buf_append_string(rest->out, "[]");
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_string(rest->out, ",\"permissions\":[],\"permissionSets\":[");
    }
    if (status == MLT_OK && permission_sets) {
        status = mlt_buf_append_string(rest->out, "[\"SPOT\"]");
    }
    return status == MLT_OK
               ? mlt_buf_append_string(rest->out, "],\"defaultSelfTradePreventionMode\":\"NONE\","
                                                  "\"allowedSelfTradePreventionModes\":[\"NONE\"]}")
               : status;
}

/* A value in a recorded object, and what stands there instead. */
struct piece {
    struct mlt_slice old;
    const char *text;
};

#define PIECES_MAX 3

static void add_piece(struct piece *pieces, size_t *count, struct mlt_slice old, const char *text)
{
    size_t at = (*count)++;
    for (; at > 0 && pieces[at - 1].old.data > old.data; at--) {
        pieces[at] = pieces[at - 1];
    }
    pieces[at] = (struct piece){ old, text };
}

static bool find_tick(struct mlt_slice object, struct mlt_slice *tick)
{
    struct mlt_slice filters, filter, type, word;
    size_t position = 0;
    if (!sim_json_member(object, "filters", &filters)) {
        return false;
    }
    while (sim_json_next(filters, &position, &filter)) {
        if (sim_json_member(filter, "filterType", &type) && sim_json_plain(type, &word) &&
            mlt_slice_equal_string(word, "PRICE_FILTER")) {
            return sim_json_member(filter, "tickSize", tick);
        }
    }
    return false;
}

/* A recorded object, as it is listed now; its permissionSets are emptied when they are not wanted.
 */
static enum mlt_status put_recorded(struct sim_rest *rest, struct mlt_slice object,
                                    const struct sim_listing *listing, bool permission_sets)
{
    struct piece pieces[PIECES_MAX];
    size_t count = 0;
    struct mlt_slice old;
    char word[32], tick[32];
    if (!permission_sets && sim_json_member(object, "permissionSets", &old)) {
        add_piece(pieces, &count, old, "[]");
    }
    if (listing->status[0] != '\0' && sim_json_member(object, "status", &old)) {
        (void)snprintf(word, sizeof word, "\"%s\"", listing->status);
        add_piece(pieces, &count, old, word);
    }
    if (listing->tick_e8 > 0 && find_tick(object, &old)) {
        char *p = SIM_PUT(tick, "\"");
        p = sim_put_e8(p, listing->tick_e8, SIM_DECIMALS);
        p = SIM_PUT(p, "\"");
        *p = '\0';
        add_piece(pieces, &count, old, tick);
    }
    enum mlt_status status = MLT_OK;
    const uint8_t *from = object.data;
    for (size_t i = 0; status == MLT_OK && i < count; i++) {
        status = mlt_buf_append(rest->out, from, (size_t)(pieces[i].old.data - from));
        if (status == MLT_OK) {
            status = mlt_buf_append_string(rest->out, pieces[i].text);
        }
        from = pieces[i].old.data + pieces[i].old.len;
    }
    return status == MLT_OK
               ? mlt_buf_append(rest->out, from, (size_t)(object.data + object.len - from))
               : status;
}

/* Whether a text list such as ["SPOT","MARGIN"], or one word, shares a word with `json`. */
static bool shares_word(struct mlt_slice list, struct mlt_slice json)
{
    char quoted[64];
    size_t at = 0;
    while (at < list.len) {
        size_t end = at;
        while (end < list.len &&
               ((list.data[end] >= 'A' && list.data[end] <= 'Z') ||
                (list.data[end] >= '0' && list.data[end] <= '9') || list.data[end] == '_')) {
            end++;
        }
        if (end > at && end - at < sizeof quoted - 3) {
            const int len = snprintf(quoted, sizeof quoted, "\"%.*s\"", (int)(end - at),
                                     (const char *)list.data + at);
            if (json.len > 0 && memmem(json.data, json.len, quoted, (size_t)len) != NULL) {
                return true;
            }
        }
        at = end + 1;
    }
    return false;
}

struct listing_filter {
    bool permission_sets, by_permission, by_status;
    struct mlt_slice permissions, status;
};

static bool passes(const struct listing_filter *filter, struct mlt_slice object,
                   const struct sim_symbol *symbol)
{
    const struct mlt_slice spot = MLT_SLICE_LITERAL("[\"SPOT\"]");
    struct mlt_slice value;
    if (filter->by_status && !mlt_slice_equal(symbol->status, filter->status)) {
        return false;
    }
    if (!filter->by_permission) {
        return true;
    }
    if (object.len == 0) {
        return shares_word(filter->permissions, spot);
    }
    return (sim_json_member(object, "permissions", &value) &&
            shares_word(filter->permissions, value)) ||
           (sim_json_member(object, "permissionSets", &value) &&
            shares_word(filter->permissions, value));
}

static bool read_filter(struct sim_rest *rest, struct listing_filter *filter,
                        enum mlt_status *status)
{
    struct mlt_slice text;
    memset(filter, 0, sizeof *filter);
    filter->permission_sets = true;
    if (sim_argument_find(rest->request, "showPermissionSets", &text)) {
        filter->permission_sets = mlt_slice_equal_string(text, "true");
        if (!filter->permission_sets && !mlt_slice_equal_string(text, "false")) {
            *status = sim_rest_error(rest, -1130,
                                     "Data sent for parameter 'showPermissionSets' is not valid.");
            return false;
        }
    }
    filter->by_status = sim_argument_find(rest->request, "symbolStatus", &filter->status);
    filter->by_permission = sim_argument_find(rest->request, "permissions", &filter->permissions);
    const bool named = sim_argument_find(rest->request, "symbol", &text) ||
                       sim_argument_find(rest->request, "symbols", &text);
    if (named && (filter->by_status || filter->by_permission)) {
        *status = sim_rest_error(rest, -1128, "Combination of optional parameters invalid.");
        return false;
    }
    return true;
}

enum mlt_status sim_rest_exchange_info(struct sim_rest *rest, size_t unused)
{
    (void)unused;
    struct listing_filter filter;
    struct sim_selection selection;
    enum mlt_status status = MLT_OK;
    if (!read_filter(rest, &filter, &status) || !sim_rest_select(rest, &selection, &status)) {
        return status;
    }
    status = put_head(rest);
    bool first = true;
    for (size_t i = 0; status == MLT_OK && i < selection.count; i++) {
        const size_t index = selection.all ? i : selection.symbols[i];
        struct sim_symbol symbol;
        struct mlt_slice object = MLT_SLICE_EMPTY;
        const struct sim_listing *listing = sim_server_listing(rest->server, index);
        sim_server_symbol(rest->server, index, &symbol);
        (void)rest->market->ops->listing(rest->market, index, &object);
        if (listing->unlisted || !passes(&filter, object, &symbol)) {
            continue;
        }
        status = first ? MLT_OK : mlt_buf_append_byte(rest->out, ',');
        if (status == MLT_OK) {
            status = object.len > 0 ? put_recorded(rest, object, listing, filter.permission_sets)
                                    : put_made(rest, &symbol, filter.permission_sets);
        }
        first = false;
    }
    sim_selection_fini(&selection);
    return status == MLT_OK ? mlt_buf_append_string(rest->out, "]}") : status;
}
