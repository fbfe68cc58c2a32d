/* exchangeInfo -> symbols. Cold path: parsed once an hour, 2 to 3 MB. */
#include "binance.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#include "meltica/base/clock.h"
#include "meltica/base/map.h"

#define SYMBOLS_MAX 16384u
#define PRECISION_DEFAULT 8 /* what Binance prints where the body does not say */

struct mlt_binance_symbols {
    struct mlt_binance_symbol *items;
    size_t count;
    struct mlt_map by_native, by_lower, by_token;
};

static char *copy_text(const char *text, size_t len)
{
    char *copy = malloc(len + 1);
    if (copy != NULL) {
        memcpy(copy, text, len);
        copy[len] = '\0';
    }
    return copy;
}

/* *out stays NULL where the member is no text. False: no memory, which is no reason to leave a
 * symbol out of the listing. */
static bool copy_member(yyjson_val *object, const char *key, char **out)
{
    yyjson_val *value = yyjson_obj_get(object, key);
    if (!yyjson_is_str(value) || yyjson_get_len(value) == 0) {
        return true;
    }
    *out = copy_text(yyjson_get_str(value), yyjson_get_len(value));
    return *out != NULL;
}

/* Stream names have ASCII letters lowered; other UTF-8 bytes stay. */
static char *copy_lower(const char *text)
{
    char *copy = copy_text(text, strlen(text));
    for (char *p = copy; p != NULL && *p != '\0'; p++) {
        if (*p >= 'A' && *p <= 'Z') {
            *p = (char)(*p - 'A' + 'a');
        }
    }
    return copy;
}

static int32_t exponent_of(yyjson_val *object, const char *key)
{
    yyjson_val *value = yyjson_obj_get(object, key);
    const uint64_t digits = yyjson_is_uint(value) ? yyjson_get_uint(value) : PRECISION_DEFAULT;
    return digits <= (uint64_t)-MLT_DECIMAL_EXPONENT_MIN ? -(int32_t)digits : -PRECISION_DEFAULT;
}

static void decimal_member(yyjson_val *object, const char *key, struct mlt_decimal *out)
{
    yyjson_val *value = yyjson_obj_get(object, key);
    if (yyjson_is_str(value) &&
        mlt_decimal_parse(mlt_slice_of(yyjson_get_str(value), yyjson_get_len(value)), out) !=
            MLT_OK) {
        *out = (struct mlt_decimal){ 0, 0 }; /* a rule that cannot be read is a rule that is off */
    }
}

/* Filters are optional, unordered, and new ones appear without notice. */
static void read_filters(yyjson_val *object, struct mlt_binance_symbol *symbol)
{
    size_t i, n;
    yyjson_val *filter;
    yyjson_val *filters = yyjson_obj_get(object, "filters");
    yyjson_arr_foreach (filters, i, n, filter) {
        yyjson_val *type = yyjson_obj_get(filter, "filterType");
        if (yyjson_equals_str(type, "PRICE_FILTER")) {
            decimal_member(filter, "tickSize", &symbol->tick_size);
        } else if (yyjson_equals_str(type, "LOT_SIZE")) {
            decimal_member(filter, "stepSize", &symbol->lot_size);
        } else if (yyjson_equals_str(type, "NOTIONAL") || yyjson_equals_str(type, "MIN_NOTIONAL")) {
            decimal_member(filter, "minNotional", &symbol->minimum_notional);
        }
    }
}

static void symbol_fini(struct mlt_binance_symbol *symbol)
{
    free(symbol->token);
    free(symbol->native);
    free(symbol->native_lower);
    free(symbol->base);
    free(symbol->quote);
    free(symbol->status);
}

/* E_MISSING for an entry that cannot be used. On failure nothing is kept. */
static enum mlt_status read_symbol(yyjson_val *object, struct mlt_binance_symbol *symbol)
{
    *symbol = (struct mlt_binance_symbol){ 0 };
    char token[MLT_INSTRUMENT_BYTES_MAX + 1];
    enum mlt_status status = MLT_E_MISSING;
    if (!copy_member(object, "symbol", &symbol->native) ||
        !copy_member(object, "baseAsset", &symbol->base) ||
        !copy_member(object, "quoteAsset", &symbol->quote) ||
        !copy_member(object, "status", &symbol->status)) {
        status = MLT_E_NOMEM;
    } else if (symbol->native != NULL && symbol->base != NULL && symbol->quote != NULL) {
        status = mlt_instrument_token(mlt_slice_of_string(symbol->base),
                                      mlt_slice_of_string(symbol->quote), token, sizeof token);
    }
    if (status == MLT_OK) {
        symbol->token = copy_text(token, strlen(token));
        symbol->native_lower = copy_lower(symbol->native);
        if (symbol->status == NULL) {
            symbol->status = copy_text("", 0);
        }
        if (symbol->token == NULL || symbol->native_lower == NULL || symbol->status == NULL) {
            status = MLT_E_NOMEM;
        }
    }
    if (status != MLT_OK) {
        symbol_fini(symbol);
        return status;
    }
    /* Bodies before 2020 have quotePrecision only. */
    symbol->price_exponent = exponent_of(
        object, yyjson_obj_get(object, "quoteAssetPrecision") != NULL ? "quoteAssetPrecision"
                                                                      : "quotePrecision");
    symbol->quantity_exponent = exponent_of(object, "baseAssetPrecision");
    read_filters(object, symbol);
    return MLT_OK;
}

static enum mlt_status index_symbol(struct mlt_binance_symbols *symbols,
                                    struct mlt_binance_symbol *symbol)
{
    enum mlt_status status =
        mlt_map_put(&symbols->by_native, mlt_slice_of_string(symbol->native), symbol);
    if (status == MLT_OK) {
        status = mlt_map_put(&symbols->by_lower, mlt_slice_of_string(symbol->native_lower), symbol);
    }
    if (status == MLT_OK) {
        status = mlt_map_put(&symbols->by_token, mlt_slice_of_string(symbol->token), symbol);
    }
    return status;
}

static uint32_t weight_limit_of(yyjson_val *root)
{
    size_t i, n;
    yyjson_val *limit;
    yyjson_val *limits = yyjson_obj_get(root, "rateLimits");
    yyjson_arr_foreach (limits, i, n, limit) {
        yyjson_val *value = yyjson_obj_get(limit, "limit");
        if (yyjson_equals_str(yyjson_obj_get(limit, "rateLimitType"), "REQUEST_WEIGHT") &&
            yyjson_equals_str(yyjson_obj_get(limit, "interval"), "MINUTE") &&
            yyjson_get_uint(yyjson_obj_get(limit, "intervalNum")) == 1 && yyjson_is_uint(value) &&
            yyjson_get_uint(value) <= UINT32_MAX) {
            return (uint32_t)yyjson_get_uint(value);
        }
    }
    return 0;
}

static enum mlt_status fill(struct mlt_binance_symbols *symbols, yyjson_val *array,
                            uint32_t *skipped)
{
    size_t i, n;
    yyjson_val *object;
    yyjson_arr_foreach (array, i, n, object) {
        struct mlt_binance_symbol *symbol = &symbols->items[symbols->count];
        const enum mlt_status status = read_symbol(object, symbol);
        if (status == MLT_E_NOMEM) {
            return status;
        }
        /* A symbol listed twice would have two owners of one name: the first stands. */
        if (status != MLT_OK ||
            mlt_map_get(&symbols->by_native, mlt_slice_of_string(symbol->native)) != NULL ||
            mlt_map_get(&symbols->by_token, mlt_slice_of_string(symbol->token)) != NULL) {
            if (status == MLT_OK) {
                symbol_fini(symbol);
            }
            (*skipped)++;
            continue;
        }
        symbols->count++;
        const enum mlt_status indexed = index_symbol(symbols, symbol);
        if (indexed != MLT_OK) {
            return indexed;
        }
    }
    return MLT_OK;
}

enum mlt_status mlt_binance_symbols_parse(struct mlt_slice body, struct mlt_binance_symbols **out,
                                          uint32_t *skipped, uint32_t *weight_limit,
                                          struct mlt_error *err)
{
    yyjson_doc *doc = yyjson_read((const char *)body.data, body.len, 0);
    if (doc == NULL) {
        return mlt_error_set(err, MLT_E_PARSE, "exchangeInfo: not JSON");
    }
    yyjson_val *array = yyjson_obj_get(yyjson_doc_get_root(doc), "symbols");
    uint32_t unused = 0;
    struct mlt_binance_symbols *symbols = NULL;
    enum mlt_status status = MLT_OK;
    if (!yyjson_is_arr(array)) {
        status = mlt_error_set(err, MLT_E_MISSING, "exchangeInfo: no array \"symbols\"");
    } else if (yyjson_arr_size(array) > SYMBOLS_MAX) {
        status =
            mlt_error_set(err, MLT_E_TOO_BIG, "exchangeInfo: more than %u symbols", SYMBOLS_MAX);
    } else {
        symbols = calloc(1, sizeof *symbols);
        if (symbols != NULL) {
            mlt_map_init(&symbols->by_native, SYMBOLS_MAX);
            mlt_map_init(&symbols->by_lower, SYMBOLS_MAX);
            mlt_map_init(&symbols->by_token, SYMBOLS_MAX);
            symbols->items = calloc(yyjson_arr_size(array) + 1, sizeof *symbols->items);
        }
        if (symbols == NULL || symbols->items == NULL) {
            status = mlt_error_set(err, MLT_E_NOMEM, "exchangeInfo");
        }
    }
    if (status == MLT_OK) {
        status = fill(symbols, array, skipped != NULL ? skipped : &unused);
    }
    if (status == MLT_OK) {
        if (weight_limit != NULL) {
            *weight_limit = weight_limit_of(yyjson_doc_get_root(doc));
        }
        *out = symbols;
    } else {
        mlt_binance_symbols_destroy(symbols);
    }
    yyjson_doc_free(doc);
    return status;
}

void mlt_binance_symbols_destroy(struct mlt_binance_symbols *symbols)
{
    if (symbols == NULL) {
        return;
    }
    for (size_t i = 0; i < symbols->count; i++) {
        symbol_fini(&symbols->items[i]);
    }
    mlt_map_fini(&symbols->by_native);
    mlt_map_fini(&symbols->by_lower);
    mlt_map_fini(&symbols->by_token);
    free(symbols->items);
    free(symbols);
}

size_t mlt_binance_symbols_count(const struct mlt_binance_symbols *symbols)
{
    return symbols->count;
}

const struct mlt_binance_symbol *mlt_binance_symbols_at(const struct mlt_binance_symbols *symbols,
                                                        size_t i)
{
    return &symbols->items[i];
}

const struct mlt_binance_symbol *
mlt_binance_symbol_by_native(const struct mlt_binance_symbols *symbols, struct mlt_slice native)
{
    return mlt_map_get(&symbols->by_native, native);
}

const struct mlt_binance_symbol *
mlt_binance_symbol_by_lower(const struct mlt_binance_symbols *symbols, struct mlt_slice lower)
{
    return mlt_map_get(&symbols->by_lower, lower);
}

const struct mlt_binance_symbol *
mlt_binance_symbol_by_token(const struct mlt_binance_symbols *symbols, struct mlt_slice token)
{
    return mlt_map_get(&symbols->by_token, token);
}

enum mlt_status mlt_binance_decode_time(struct mlt_slice body, int64_t *time_ns,
                                        struct mlt_error *err)
{
    yyjson_doc *doc = yyjson_read((const char *)body.data, body.len, 0);
    if (doc == NULL) {
        return mlt_error_set(err, MLT_E_PARSE, "time: not JSON");
    }
    yyjson_val *time = yyjson_obj_get(yyjson_doc_get_root(doc), "serverTime");
    const uint64_t ms = yyjson_is_uint(time) ? yyjson_get_uint(time) : 0;
    yyjson_doc_free(doc);
    if (ms == 0 || ms > (uint64_t)(INT64_MAX / MLT_NS_PER_MS)) {
        return mlt_error_set(err, MLT_E_MISSING, "time: no \"serverTime\" in ms");
    }
    *time_ns = (int64_t)ms * MLT_NS_PER_MS;
    return MLT_OK;
}
