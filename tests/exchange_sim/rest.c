/* REST: admission by weight, parameters, errors. Bodies are made in rest_market.c, rest_ticker.c
 * and exchange_info.c, and damaged in rest_faults.c. */
#include "rest.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "meltica/base/clock.h"

#define SYMBOLS_ASKED_MAX 16384u

const char *const sim_function_names[SIM_REST_FUNCTION_COUNT] = {
    "ping",      "time",   "exchangeInfo", "depth",       "trades",       "historicalTrades",
    "aggTrades", "klines", "avgPrice",     "ticker/24hr", "ticker/price", "ticker/bookTicker",
};

struct function {
    const char *path;
    unsigned weight;        /* base; see weight_of */
    bool symbol;            /* takes and needs parameter symbol */
    const char *parameters; /* known ones, each between blanks */
    sim_rest_make_fn make;
};

static enum mlt_status make_ping(struct sim_rest *rest, size_t unused)
{
    (void)unused;
    return mlt_buf_append_string(rest->out, "{}");
}

static enum mlt_status make_time(struct sim_rest *rest, size_t unused)
{
    (void)unused;
    const int64_t now_us = sim_options_wall_us(rest->server->options);
    return mlt_buf_printf(rest->out, "{\"serverTime\":%lld}",
                          (long long)(rest->micros ? now_us : now_us / 1000));
}

static const struct function functions[SIM_REST_FUNCTION_COUNT] = {
    [SIM_REST_PING] = { "/api/v3/ping", 1, false, "", make_ping },
    [SIM_REST_TIME] = { "/api/v3/time", 1, false, "", make_time },
    [SIM_REST_EXCHANGE_INFO] = { "/api/v3/exchangeInfo", 20, false,
                                 " symbol symbols permissions showPermissionSets symbolStatus ",
                                 sim_rest_exchange_info },
    [SIM_REST_DEPTH] = { "/api/v3/depth", 5, true, " symbol limit symbolStatus ", sim_rest_depth },
    [SIM_REST_TRADES] = { "/api/v3/trades", 25, true, " symbol limit ", sim_rest_trades },
    [SIM_REST_HISTORICAL_TRADES] = { "/api/v3/historicalTrades", 25, true, " symbol limit fromId ",
                                     sim_rest_historical_trades },
    [SIM_REST_AGG_TRADES] = { "/api/v3/aggTrades", 4, true,
                              " symbol limit fromId startTime endTime ", sim_rest_agg_trades },
    [SIM_REST_KLINES] = { "/api/v3/klines", 2, true,
                          " symbol interval limit startTime endTime timeZone ", sim_rest_klines },
    [SIM_REST_AVG_PRICE] = { "/api/v3/avgPrice", 2, true, " symbol ", sim_rest_avg_price },
    [SIM_REST_TICKER_24HR] = { "/api/v3/ticker/24hr", 2, false,
                               " symbol symbols type symbolStatus ", sim_rest_ticker_24hr },
    [SIM_REST_TICKER_PRICE] = { "/api/v3/ticker/price", 2, false, " symbol symbols symbolStatus ",
                                sim_rest_ticker_price },
    [SIM_REST_BOOK_TICKER] = { "/api/v3/ticker/bookTicker", 2, false,
                               " symbol symbols symbolStatus ", sim_rest_book_ticker },
};

bool sim_argument_find(const struct sim_request *request, const char *name, struct mlt_slice *value)
{
    for (size_t i = 0; i < request->argument_count; i++) {
        if (mlt_slice_equal_string(request->arguments[i].name, name)) {
            *value = request->arguments[i].value;
            return true;
        }
    }
    return false;
}

enum mlt_status sim_rest_error(struct sim_rest *rest, int code, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (rest->answer->status == 200) {
        rest->answer->status = 400;
    }
    mlt_buf_clear(rest->out);
    enum mlt_status status = mlt_buf_printf(rest->out, "{\"code\":%d,\"msg\":", code);
    if (status == MLT_OK) {
        status = mlt_buf_append_json_string(rest->out, mlt_slice_of_string(text));
    }
    return status == MLT_OK ? mlt_buf_append_byte(rest->out, '}') : status;
}

static bool is_symbol_text(struct mlt_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        const uint8_t c = text.data[i];
        /* beyond ASCII: symbols may be Unicode since 2025 */
        if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
              c == '.' || c >= 0x80)) {
            return false;
        }
    }
    return text.len > 0 && text.len <= 50;
}

static enum mlt_status illegal(struct sim_rest *rest, const char *name, const char *range)
{
    return sim_rest_error(rest, -1100,
                          "Illegal characters found in parameter '%s'; legal range is '%s'.", name,
                          range);
}

static bool find_symbol(struct sim_rest *rest, struct mlt_slice name, size_t *symbol,
                        enum mlt_status *status)
{
    if (!is_symbol_text(name)) {
        *status = illegal(rest, "symbol", "^[\\w\\-._&&[^a-z]]{1,50}$");
        return false;
    }
    if (!rest->market->ops->find(rest->market, name, symbol) ||
        sim_server_listing(rest->server, *symbol)->unlisted) {
        *status = sim_rest_error(rest, -1121, "Invalid symbol.");
        return false;
    }
    *symbol = (*symbol + rest->shift) % rest->market->symbol_count;
    return true;
}

bool sim_rest_symbol(struct sim_rest *rest, size_t *symbol, enum mlt_status *status)
{
    struct mlt_slice name;
    if (!sim_argument_find(rest->request, "symbol", &name) || name.len == 0) {
        *status = sim_rest_error(rest, -1102,
                                 "Mandatory parameter 'symbol' was not sent, was empty/null, or "
                                 "malformed.");
        return false;
    }
    return find_symbol(rest, name, symbol, status);
}

bool sim_rest_number(struct sim_rest *rest, const char *name, int64_t fallback, int64_t min,
                     int64_t cut, int64_t *out, enum mlt_status *status)
{
    struct mlt_slice text;
    *out = fallback;
    if (!sim_argument_find(rest->request, name, &text)) {
        return true;
    }
    if (text.len == 0) {
        *status = sim_rest_error(rest, -1105, "Parameter '%s' was empty.", name);
        return false;
    }
    if (!sim_json_integer(text, out)) {
        *status = illegal(rest, name, "^[0-9]{1,20}$");
        return false;
    }
    if (*out < min) {
        *status = sim_rest_error(rest, -1130, "Data sent for parameter '%s' is not valid.", name);
        return false;
    }
    *out = cut > 0 && *out > cut ? cut : *out;
    return true;
}

bool sim_rest_time(struct sim_rest *rest, const char *name, int64_t fallback, int64_t *out,
                   enum mlt_status *status)
{
    const int64_t ms_max = INT64_C(100000000000000); /* above: microseconds */
    if (!sim_rest_number(rest, name, -1, 0, 0, out, status)) {
        return false;
    }
    *out = *out < 0 ? fallback : *out < ms_max ? *out * 1000 : *out;
    return true;
}

static bool select_list(struct sim_rest *rest, struct mlt_slice json,
                        struct sim_selection *selection, enum mlt_status *status)
{
    size_t unused = 0, position = 0, symbol = 0;
    struct mlt_slice element, name;
    if (!sim_json_valid(json, &unused) || json.data[0] != '[') {
        *status = sim_rest_error(rest, -1135, "Invalid JSON Request");
        return false;
    }
    selection->symbols = calloc(SYMBOLS_ASKED_MAX, sizeof *selection->symbols);
    if (selection->symbols == NULL) {
        *status = MLT_E_NOMEM;
        return false;
    }
    while (sim_json_next(json, &position, &element)) {
        if (!sim_json_plain(element, &name) || selection->count == SYMBOLS_ASKED_MAX) {
            *status = illegal(rest, "symbols", "^\\[(\"[\\w\\-._&&[^a-z]]{1,50}\"){1,}\\]$");
            return false;
        }
        if (!find_symbol(rest, name, &symbol, status)) {
            return false;
        }
        for (size_t i = 0; i < selection->count; i++) {
            if (selection->symbols[i] == symbol) {
                *status = sim_rest_error(rest, -1151,
                                         "Symbol is present multiple times in the "
                                         "list.");
                return false;
            }
        }
        selection->symbols[selection->count++] = symbol;
    }
    return true;
}

static bool check_status(struct sim_rest *rest, const struct sim_selection *selection,
                         enum mlt_status *status)
{
    struct mlt_slice wanted;
    if (!sim_argument_find(rest->request, "symbolStatus", &wanted)) {
        return true;
    }
    if (!mlt_slice_equal_string(wanted, "TRADING") && !mlt_slice_equal_string(wanted, "HALT") &&
        !mlt_slice_equal_string(wanted, "BREAK")) {
        *status = sim_rest_error(rest, -1122, "Invalid symbolStatus.");
        return false;
    }
    struct sim_symbol symbol;
    if (selection->one) {
        sim_server_symbol(rest->server, selection->symbols[0], &symbol);
        if (!mlt_slice_equal(wanted, symbol.status)) {
            *status = sim_rest_error(rest, -1220,
                                     "The symbol's status does not match the "
                                     "requested symbolStatus.");
            return false;
        }
    }
    return true;
}

bool sim_rest_select(struct sim_rest *rest, struct sim_selection *selection,
                     enum mlt_status *status)
{
    struct mlt_slice one, list;
    memset(selection, 0, sizeof *selection);
    const bool has_one = sim_argument_find(rest->request, "symbol", &one);
    const bool has_list = sim_argument_find(rest->request, "symbols", &list);
    if (has_one && has_list) {
        *status = sim_rest_error(rest, -1128, "Combination of optional parameters invalid.");
        return false;
    }
    bool fine = true;
    if (has_one) {
        selection->one = true;
        selection->symbols = calloc(1, sizeof *selection->symbols);
        selection->count = 1;
        *status = selection->symbols == NULL ? MLT_E_NOMEM : MLT_OK;
        fine = selection->symbols != NULL && sim_rest_symbol(rest, selection->symbols, status);
    } else if (has_list) {
        fine = select_list(rest, list, selection, status);
    } else {
        selection->all = true;
        selection->count = rest->market->symbol_count;
    }
    fine = fine && check_status(rest, selection, status);
    if (!fine) {
        sim_selection_fini(selection);
    }
    return fine;
}

void sim_selection_fini(struct sim_selection *selection)
{
    free(selection->symbols);
    memset(selection, 0, sizeof *selection);
}

/* How many symbols the request names; 0: all. Rough on purpose: the weight is taken before the
 * parameters are looked at. */
static size_t symbols_named(const struct sim_request *request)
{
    struct mlt_slice text;
    if (sim_argument_find(request, "symbol", &text)) {
        return 1;
    }
    size_t commas = 0;
    if (!sim_argument_find(request, "symbols", &text)) {
        return 0;
    }
    for (size_t i = 0; i < text.len; i++) {
        commas += text.data[i] == ',' ? 1 : 0;
    }
    return commas + 1;
}

static unsigned weight_of(enum sim_function function, const struct sim_request *request)
{
    struct mlt_slice text;
    int64_t limit = 100;
    const size_t named = symbols_named(request);
    switch (function) {
    case SIM_REST_DEPTH:
        if (sim_argument_find(request, "limit", &text) && !sim_json_integer(text, &limit)) {
            limit = 100;
        }
        return limit <= 100 ? 5 : limit <= 500 ? 25 : limit <= 1000 ? 50 : 250;
    case SIM_REST_TICKER_24HR:
        return named == 0 || named > 100 ? 80 : named > 20 ? 40 : 2;
    case SIM_REST_TICKER_PRICE:
    case SIM_REST_BOOK_TICKER:
        return named == 1 && sim_argument_find(request, "symbol", &text) ? 2 : 4;
    default:
        return functions[function].weight;
    }
}

/* Unknown and repeated parameters. */
static bool check_parameters(struct sim_rest *rest, const struct function *function,
                             enum mlt_status *status)
{
    const struct sim_request *request = rest->request;
    size_t known = 0;
    for (size_t i = 0; i < request->argument_count; i++) {
        char word[64];
        (void)snprintf(word, sizeof word, " %.*s ", MLT_SLICE_FMT(request->arguments[i].name));
        known += strstr(function->parameters, word) != NULL ? 1 : 0;
        for (size_t j = 0; j < i; j++) {
            if (mlt_slice_equal(request->arguments[i].name, request->arguments[j].name)) {
                *status =
                    sim_rest_error(rest, -1101, "Duplicate values for parameter '%.*s' detected.",
                                   MLT_SLICE_FMT(request->arguments[i].name));
                return false;
            }
        }
    }
    if (known != request->argument_count) {
        *status =
            sim_rest_error(rest, -1101, "Too many parameters; expected '%zu' and received '%zu'.",
                           known, request->argument_count);
        return false;
    }
    return true;
}

static bool check_time_unit(struct sim_rest *rest, enum mlt_status *status)
{
    const struct mlt_slice unit = rest->request->time_unit;
    rest->micros =
        mlt_slice_equal_string(unit, "MICROSECOND") || mlt_slice_equal_string(unit, "microsecond");
    if (unit.len > 0 && !rest->micros && !mlt_slice_equal_string(unit, "MILLISECOND") &&
        !mlt_slice_equal_string(unit, "millisecond")) {
        *status = sim_rest_error(rest, -1194,
                                 "Invalid value for time unit; expected either "
                                 "MICROSECOND or MILLISECOND.");
        return false;
    }
    return true;
}

static enum mlt_status refuse(struct sim_rest *rest, enum sim_admission admission, int64_t until_ns)
{
    rest->server->rest_refused++;
    if (admission == SIM_BANNED) {
        rest->answer->status = 418;
        return sim_rest_error(rest, -1003,
                              "Way too much request weight used; IP banned until %lld. Please use "
                              "WebSocket Streams for live updates to avoid bans.",
                              (long long)(until_ns / MLT_NS_PER_MS));
    }
    rest->answer->status = 429;
    return sim_rest_error(rest, -1003,
                          "Too much request weight used; current limit is %u request weight per 1 "
                          "MINUTE. Please use WebSocket Streams for live updates to avoid polling "
                          "the API.",
                          rest->server->limits.weight_limit);
}

enum mlt_status sim_rest_answer(struct sim_server *server, const struct sim_request *request,
                                struct sim_answer *answer)
{
    size_t which = 0, symbol = 0;
    while (which < SIM_REST_FUNCTION_COUNT && strcmp(functions[which].path, request->path) != 0) {
        which++;
    }
    answer->status = 404;
    answer->type = request->accepts_html ? "text/html" : "application/json;charset=UTF-8";
    if (which == SIM_REST_FUNCTION_COUNT) {
        return request->accepts_html
                   ? mlt_buf_append_string(&answer->body, "<html><body><h2>404 Not found</h2>"
                                                          "</body></html>")
                   : MLT_OK;
    }
    answer->type = "application/json;charset=UTF-8";
    struct sim_rest rest = { .server = server,
                             .market = server->market,
                             .request = request,
                             .answer = answer,
                             .out = &answer->body };
    const struct function *function = &functions[which];
    int64_t until_ns = 0;
    enum mlt_status status = MLT_OK;
    server->rest_requests[which]++;
    const enum sim_admission admission = sim_limits_take(
        &server->limits, request->address, weight_of((enum sim_function)which, request),
        mlt_clock_wall_ns(), &answer->used_weight, &answer->retry_after_s, &until_ns);
    answer->has_weight = true;
    if (admission != SIM_ADMITTED) {
        return refuse(&rest, admission, until_ns);
    }
    answer->status = 200;
    if (!request->get) {
        answer->status = 405;
        return sim_rest_error(&rest, -1000, "Request method not supported");
    }
    if (!check_time_unit(&rest, &status) || !check_parameters(&rest, function, &status) ||
        (function->symbol && !sim_rest_symbol(&rest, &symbol, &status))) {
        return status;
    }
    return sim_rest_befall(&rest, (enum sim_function)which, function->make, symbol);
}
