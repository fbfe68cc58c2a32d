/* Frames and depth bodies -> native instances. Keys are compared with their case: u and U, a and A
 * differ. */
#include "binance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#define FRAME_BYTES_POOLED (64u << 10)
#define ORIGINAL_BYTES_MAX                                                                         \
    4096u /* of an instance that could not become an event, kept for its Rejection */

struct mlt_binance_decoder {
    void *pool; /* for frames up to FRAME_BYTES_POOLED */
    size_t pool_bytes;
    int64_t *columns; /* 4 x MLT_EVENT_LEVELS_MAX: bid prices, quantities, ask prices, quantities */
    size_t original_len, frame_len;
    uint8_t original[ORIGINAL_BYTES_MAX];
};

/* One instance being read. The first failure sticks; readers after it do nothing. */
struct reader {
    yyjson_val *object;
    const struct mlt_binance_symbol *symbol;
    struct mlt_binance_decoder *decoder;
    int64_t time_unit_ns;
    enum mlt_status status;
};

enum mlt_status mlt_binance_decoder_create(struct mlt_binance_decoder **decoder)
{
    struct mlt_binance_decoder *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return MLT_E_NOMEM;
    }
    d->pool_bytes = yyjson_read_max_memory_usage(FRAME_BYTES_POOLED, YYJSON_READ_INSITU);
    d->pool = malloc(d->pool_bytes);
    d->columns = malloc(4 * sizeof *d->columns * MLT_EVENT_LEVELS_MAX);
    if (d->pool == NULL || d->columns == NULL) {
        mlt_binance_decoder_destroy(d);
        return MLT_E_NOMEM;
    }
    *decoder = d;
    return MLT_OK;
}

void mlt_binance_decoder_destroy(struct mlt_binance_decoder *decoder)
{
    if (decoder != NULL) {
        free(decoder->pool);
        free(decoder->columns);
        free(decoder);
    }
}

/* ---- members
 * ------------------------------------------------------------------------------------------ */

static yyjson_val *member(struct reader *r, yyjson_val *object, const char *key)
{
    yyjson_val *value = r->status == MLT_OK ? yyjson_obj_get(object, key) : NULL;
    if (value == NULL && r->status == MLT_OK) {
        r->status = MLT_E_MISSING;
    }
    return value;
}

static struct mlt_slice text_of(struct reader *r, yyjson_val *value)
{
    if (r->status == MLT_OK && !yyjson_is_str(value)) {
        r->status = MLT_E_TYPE;
    }
    return r->status == MLT_OK ? mlt_slice_of(yyjson_get_str(value), yyjson_get_len(value))
                               : MLT_SLICE_EMPTY;
}

static int64_t integer(struct reader *r, yyjson_val *object, const char *key)
{
    yyjson_val *value = member(r, object, key);
    if (r->status != MLT_OK) {
        return 0;
    }
    if (yyjson_is_uint(value)) {
        if (yyjson_get_uint(value) > INT64_MAX) {
            r->status = MLT_E_RANGE;
            return 0;
        }
        return (int64_t)yyjson_get_uint(value);
    }
    if (!yyjson_is_sint(value)) {
        /* An integer beyond 64 bits is read as a real number. */
        r->status = yyjson_is_real(value) ? MLT_E_RANGE : MLT_E_TYPE;
        return 0;
    }
    return yyjson_get_sint(value);
}

static int64_t identifier(struct reader *r, yyjson_val *object, const char *key)
{
    const int64_t value = integer(r, object, key);
    if (r->status == MLT_OK && (value < 0 || !mlt_source_position_valid(value))) {
        r->status = MLT_E_RANGE;
    }
    return value;
}

static int64_t time_ns(struct reader *r, yyjson_val *object, const char *key)
{
    int64_t ns = 0;
    const int64_t value = identifier(r, object, key);
    if (r->status == MLT_OK && __builtin_mul_overflow(value, r->time_unit_ns, &ns)) {
        r->status = MLT_E_RANGE;
    }
    return ns;
}

static bool boolean(struct reader *r, yyjson_val *object, const char *key)
{
    yyjson_val *value = member(r, object, key);
    if (r->status == MLT_OK && !yyjson_is_bool(value)) {
        r->status = MLT_E_TYPE;
    }
    return r->status == MLT_OK && yyjson_get_bool(value);
}

/* A decimal as printed. */
static struct mlt_decimal printed(struct reader *r, yyjson_val *object, const char *key)
{
    struct mlt_decimal d = { 0, 0 };
    const struct mlt_slice text = text_of(r, member(r, object, key));
    if (r->status == MLT_OK) {
        r->status = mlt_decimal_parse(text, &d);
    }
    return d;
}

/* A price or quantity at its instrument's exponent, never negative. */
static struct mlt_decimal scaled(struct reader *r, yyjson_val *object, const char *key,
                                 int32_t exponent)
{
    struct mlt_decimal d = { 0, exponent };
    const struct mlt_slice text = text_of(r, member(r, object, key));
    if (r->status == MLT_OK) {
        r->status = mlt_decimal_parse_at(text, exponent, &d.mantissa);
    }
    if (r->status == MLT_OK && d.mantissa < 0) {
        r->status = MLT_E_RANGE;
    }
    return d;
}

static struct mlt_decimal price(struct reader *r, yyjson_val *object, const char *key)
{
    return scaled(r, object, key, r->symbol->price_exponent);
}

static struct mlt_decimal quantity(struct reader *r, yyjson_val *object, const char *key)
{
    return scaled(r, object, key, r->symbol->quantity_exponent);
}

static void level(struct reader *r, yyjson_val *pair, int64_t *p, int64_t *q)
{
    if (!yyjson_is_arr(pair)) {
        r->status = MLT_E_TYPE;
        return;
    }
    /* Until 2019 a level had a third, empty element: two are enough, more are ignored. */
    yyjson_val *first = yyjson_arr_get_first(pair);
    yyjson_val *second = yyjson_arr_get(pair, 1);
    if (first == NULL || second == NULL) {
        r->status = MLT_E_MISSING;
        return;
    }
    const struct mlt_slice price_text = text_of(r, first), quantity_text = text_of(r, second);
    if (r->status == MLT_OK) {
        r->status = mlt_decimal_parse_at(price_text, r->symbol->price_exponent, p);
    }
    if (r->status == MLT_OK) {
        r->status = mlt_decimal_parse_at(quantity_text, r->symbol->quantity_exponent, q);
    }
    if (r->status == MLT_OK && (*p <= 0 || *q < 0)) {
        r->status = MLT_E_RANGE;
    }
}

static struct mlt_levels side(struct reader *r, yyjson_val *object, const char *key,
                              unsigned column)
{
    struct mlt_levels levels = { 0 };
    yyjson_val *array = member(r, object, key);
    if (r->status == MLT_OK && !yyjson_is_arr(array)) {
        r->status = MLT_E_TYPE;
    }
    if (r->status == MLT_OK && yyjson_arr_size(array) > MLT_EVENT_LEVELS_MAX) {
        r->status = MLT_E_TOO_BIG;
    }
    if (r->status != MLT_OK) {
        return levels;
    }
    int64_t *prices = r->decoder->columns + (size_t)column * 2 * MLT_EVENT_LEVELS_MAX;
    int64_t *quantities = prices + MLT_EVENT_LEVELS_MAX;
    size_t i, n;
    yyjson_val *pair;
    yyjson_arr_foreach (array, i, n, pair) {
        level(r, pair, &prices[i], &quantities[i]);
        if (r->status != MLT_OK) {
            return levels;
        }
    }
    levels.price_exponent = r->symbol->price_exponent;
    levels.quantity_exponent = r->symbol->quantity_exponent;
    levels.count = yyjson_arr_size(array);
    levels.prices = prices;
    levels.quantities = quantities;
    return levels;
}

/* ---- types
 * -------------------------------------------------------------------------------------------- */

/* m: the buyer was the maker, so the taker sold. */
static enum mlt_side aggressor(struct reader *r, yyjson_val *object)
{
    return boolean(r, object, "m") ? MLT_SIDE_SELL : MLT_SIDE_BUY;
}

static void read_trade(struct reader *r, struct mlt_native_event *e)
{
    struct mlt_trade *t = &e->u.trade;
    e->type = MLT_EVENT_TRADE;
    e->exchange = time_ns(r, r->object, "E");
    t->trade_id = identifier(r, r->object, "t");
    t->price = price(r, r->object, "p");
    t->quantity = quantity(r, r->object, "q");
    t->trade_time_ns = time_ns(r, r->object, "T");
    t->aggressor = aggressor(r, r->object);
    e->first = e->last = t->trade_id;
}

/* Of the stream and of REST alike. */
static void read_agg_trade_body(struct reader *r, struct mlt_native_event *e)
{
    struct mlt_agg_trade *t = &e->u.agg_trade;
    e->type = MLT_EVENT_AGG_TRADE;
    t->aggregate_id = identifier(r, r->object, "a");
    t->first_trade_id = identifier(r, r->object, "f");
    t->last_trade_id = identifier(r, r->object, "l");
    t->price = price(r, r->object, "p");
    t->quantity = quantity(r, r->object, "q");
    t->trade_time_ns = time_ns(r, r->object, "T");
    t->aggressor = aggressor(r, r->object);
    e->first = e->last = t->aggregate_id;
}

static void read_agg_trade(struct reader *r, struct mlt_native_event *e)
{
    e->exchange = time_ns(r, r->object, "E");
    read_agg_trade_body(r, e);
}

static void read_kline(struct reader *r, struct mlt_native_event *e)
{
    struct mlt_kline *k = &e->u.kline;
    e->type = MLT_EVENT_KLINE;
    e->exchange = time_ns(r, r->object, "E");
    yyjson_val *o = member(r, r->object, "k");
    if (r->status == MLT_OK && !yyjson_is_obj(o)) {
        r->status = MLT_E_TYPE;
    }
    k->interval = text_of(r, member(r, o, "i"));
    k->open_time_ns = time_ns(r, o, "t");
    k->close_time_ns = time_ns(r, o, "T");
    k->open = price(r, o, "o");
    k->high = price(r, o, "h");
    k->low = price(r, o, "l");
    k->close = price(r, o, "c");
    k->base_volume = printed(r, o, "v");
    k->quote_volume = printed(r, o, "q");
    k->taker_buy_base_volume = printed(r, o, "V");
    k->taker_buy_quote_volume = printed(r, o, "Q");
    k->trade_count = (uint64_t)identifier(r, o, "n");
    k->first_trade_id = integer(r, o, "f"); /* -1: the candle has no trade */
    k->last_trade_id = integer(r, o, "L");
    k->closed = boolean(r, o, "x");
    e->first = k->open_time_ns;
    e->last = e->exchange;
}

static void read_ticker(struct reader *r, struct mlt_native_event *e)
{
    struct mlt_ticker *t = &e->u.ticker;
    yyjson_val *o = r->object;
    e->type = MLT_EVENT_TICKER;
    e->exchange = time_ns(r, o, "E");
    t->price_change = printed(r, o, "p");
    t->price_change_percent = printed(r, o, "P");
    t->weighted_average = printed(r, o, "w");
    t->previous_close = price(r, o, "x");
    t->last_price = price(r, o, "c");
    t->last_quantity = quantity(r, o, "Q");
    t->bid_price = price(r, o, "b");
    t->bid_quantity = quantity(r, o, "B");
    t->ask_price = price(r, o, "a");
    t->ask_quantity = quantity(r, o, "A");
    t->open = price(r, o, "o");
    t->high = price(r, o, "h");
    t->low = price(r, o, "l");
    t->base_volume = printed(r, o, "v");
    t->quote_volume = printed(r, o, "q");
    t->open_time_ns = time_ns(r, o, "O");
    t->close_time_ns = time_ns(r, o, "C");
    t->first_trade_id = integer(r, o, "F");
    t->last_trade_id = integer(r, o, "L");
    t->trade_count = (uint64_t)identifier(r, o, "n");
    e->first = e->last = e->exchange;
}

static void read_bbo(struct reader *r, struct mlt_native_event *e)
{
    e->type = MLT_EVENT_BBO;
    e->exchange = MLT_STAMP_UNKNOWN; /* bookTicker has no time at all */
    e->first = e->last = identifier(r, r->object, "u");
    e->u.bbo.bid_price = price(r, r->object, "b");
    e->u.bbo.bid_quantity = quantity(r, r->object, "B");
    e->u.bbo.ask_price = price(r, r->object, "a");
    e->u.bbo.ask_quantity = quantity(r, r->object, "A");
}

static void read_delta(struct reader *r, struct mlt_native_event *e)
{
    e->type = MLT_EVENT_BOOK_DELTA;
    e->exchange = time_ns(r, r->object, "E");
    e->first = identifier(r, r->object, "U");
    e->last = identifier(r, r->object, "u");
    e->u.book_delta.bids = side(r, r->object, "b", 0);
    e->u.book_delta.asks = side(r, r->object, "a", 1);
    if (r->status == MLT_OK && e->last < e->first) {
        r->status = MLT_E_RANGE;
    }
}

/* Partial depth and REST depth have the same shape: no symbol, no time. */
static void read_snapshot(struct reader *r, struct mlt_native_event *e)
{
    e->type = MLT_EVENT_BOOK_SNAPSHOT;
    e->exchange = MLT_STAMP_UNKNOWN;
    e->first = e->last = identifier(r, r->object, "lastUpdateId");
    e->u.book_snapshot.last_update_id = e->last;
    e->u.book_snapshot.bids = side(r, r->object, "bids", 0);
    e->u.book_snapshot.asks = side(r, r->object, "asks", 1);
}

typedef void (*read_fn)(struct reader *r, struct mlt_native_event *e);

static read_fn reader_of(yyjson_val *object, bool *symbol_in_payload)
{
    static const struct {
        const char *e;
        read_fn read;
    } types[] = {
        { "depthUpdate", read_delta },  { "trade", read_trade },
        { "aggTrade", read_agg_trade }, { "kline", read_kline },
        { "24hrTicker", read_ticker },
    };
    *symbol_in_payload = true;
    yyjson_val *e = yyjson_obj_get(object, "e");
    for (size_t i = 0; e != NULL && i < sizeof types / sizeof types[0]; i++) {
        if (yyjson_equals_str(e, types[i].e)) {
            return types[i].read;
        }
    }
    if (e != NULL) {
        return NULL;
    }
    /* bookTicker and partial depth are known by their keys alone. */
    if (yyjson_obj_get(object, "u") != NULL && yyjson_obj_get(object, "B") != NULL) {
        return read_bbo;
    }
    *symbol_in_payload = false;
    return yyjson_obj_get(object, "lastUpdateId") != NULL ? read_snapshot : NULL;
}

/* ---- instances
 * ---------------------------------------------------------------------------------------- */

struct target {
    const struct mlt_binance_symbols *symbols;
    mlt_binance_emit_fn emit;
    void *ctx;
};

static void emit_unparsed(struct mlt_binance_decoder *d, const struct target *target,
                          const struct mlt_binance_symbol *symbol, struct mlt_slice stream,
                          enum mlt_status status)
{
    struct mlt_native_event e = { .type = MLT_NATIVE_UNPARSED, .exchange = MLT_STAMP_UNKNOWN };
    if (symbol != NULL) {
        e.instrument = mlt_slice_of_string(symbol->token);
    }
    e.u.unparsed.reason = mlt_slice_of_string(status == MLT_E_NOT_FOUND  ? "unknown_symbol"
                                              : status == MLT_E_CONFLICT ? "wrong_symbol"
                                                                         : mlt_status_word(status));
    e.u.unparsed.original = mlt_slice_of(d->original, d->original_len);
    e.u.unparsed.original_bytes = d->frame_len > UINT32_MAX ? UINT32_MAX : (uint32_t)d->frame_len;
    e.u.unparsed.topic = stream;
    target->emit(target->ctx, symbol, stream, &e);
}

static const struct mlt_binance_symbol *symbol_of(struct reader *r, const struct target *target,
                                                  struct mlt_slice stream, bool in_payload)
{
    const struct mlt_binance_symbol *symbol = NULL;
    if (in_payload) {
        const struct mlt_slice native = text_of(r, member(r, r->object, "s"));
        symbol = r->status == MLT_OK ? mlt_binance_symbol_by_native(target->symbols, native) : NULL;
    } else if (stream.len > 0) {
        const uint8_t *at = memchr(stream.data, '@', stream.len);
        const size_t len = at != NULL ? (size_t)(at - stream.data) : stream.len;
        symbol = mlt_binance_symbol_by_lower(target->symbols, mlt_slice_of(stream.data, len));
    }
    if (symbol == NULL && r->status == MLT_OK) {
        r->status = MLT_E_NOT_FOUND;
    }
    return symbol;
}

static void decode_instance(struct mlt_binance_decoder *d, yyjson_val *object, int64_t time_unit_ns,
                            const struct target *target, struct mlt_slice stream)
{
    struct reader r = { .object = object, .decoder = d, .time_unit_ns = time_unit_ns };
    struct mlt_native_event e = { .exchange = MLT_STAMP_UNKNOWN };
    bool in_payload = true;
    read_fn read = yyjson_is_obj(object) ? reader_of(object, &in_payload) : NULL;
    if (read == NULL) {
        r.status = yyjson_is_obj(object) ? MLT_E_UNMAPPED : MLT_E_TYPE;
    } else {
        r.symbol = symbol_of(&r, target, stream, in_payload);
    }
    if (r.status == MLT_OK) {
        e.instrument = mlt_slice_of_string(r.symbol->token);
        read(&r, &e);
    }
    if (r.status == MLT_OK) {
        target->emit(target->ctx, r.symbol, stream, &e);
    } else {
        emit_unparsed(d, target, r.symbol, stream, r.status);
    }
}

/* ---- whole frames
 * ------------------------------------------------------------------------------------- */

/* Parses in place; *memory is what a large frame needed beyond the pool, to be freed with the
 * document. */
static enum mlt_status parse(struct mlt_binance_decoder *d, char *json, size_t len,
                             yyjson_doc **doc, void **memory)
{
    d->frame_len = len;
    d->original_len = len < ORIGINAL_BYTES_MAX ? len : ORIGINAL_BYTES_MAX;
    if (d->original_len > 0) {
        memcpy(d->original, json, d->original_len);
    }
    *doc = NULL;
    *memory = NULL;
    if (len > MLT_BINANCE_FRAME_BYTES_MAX) {
        return MLT_E_TOO_BIG;
    }
    void *pool = d->pool;
    size_t pool_bytes = d->pool_bytes;
    if (len > FRAME_BYTES_POOLED) {
        pool_bytes = yyjson_read_max_memory_usage(len, YYJSON_READ_INSITU);
        pool = *memory = malloc(pool_bytes);
        if (pool == NULL) {
            return MLT_E_NOMEM;
        }
    }
    yyjson_alc alc;
    if (!yyjson_alc_pool_init(&alc, pool, pool_bytes)) {
        return MLT_E_INTERNAL;
    }
    *doc = yyjson_read_opts(json, len, YYJSON_READ_INSITU, &alc, NULL);
    return *doc != NULL ? MLT_OK : MLT_E_PARSE;
}

/* The server nests the error of a request; the document shows it flat. Both are read. */
static void read_answer(yyjson_val *root, yyjson_val *error, struct mlt_binance_frame *out)
{
    yyjson_val *id = yyjson_obj_get(root, "id");
    out->has_id = yyjson_is_int(id);
    out->id = out->has_id ? yyjson_get_sint(id) : 0;
    if (error == NULL) {
        out->kind = MLT_FRAME_ACK;
        return;
    }
    out->kind = MLT_FRAME_ERROR;
    out->error_code = yyjson_get_sint(yyjson_obj_get(error, "code"));
    const char *text = yyjson_get_str(yyjson_obj_get(error, "msg"));
    (void)snprintf(out->error_text, sizeof out->error_text, "%s", text != NULL ? text : "");
}

static bool is_shutdown(yyjson_val *data)
{
    return yyjson_equals_str(yyjson_obj_get(data, "e"), "serverShutdown");
}

static void decode_root(struct mlt_binance_decoder *d, yyjson_val *root, int64_t time_unit_ns,
                        const struct target *target, struct mlt_binance_frame *out)
{
    yyjson_val *stream = yyjson_obj_get(root, "stream");
    yyjson_val *data = yyjson_obj_get(root, "data");
    if (yyjson_is_str(stream) && data != NULL) {
        out->stream = mlt_slice_of(yyjson_get_str(stream), yyjson_get_len(stream));
    } else {
        yyjson_val *error = yyjson_obj_get(root, "error");
        if (error == NULL && yyjson_obj_get(root, "code") != NULL &&
            yyjson_obj_get(root, "msg") != NULL) {
            error = root;
        }
        if (error != NULL || yyjson_obj_get(root, "result") != NULL) {
            read_answer(root, error, out);
            return;
        }
        data = root;
    }
    if (is_shutdown(data)) {
        out->kind = MLT_FRAME_SERVER_SHUTDOWN;
        return;
    }
    if (!yyjson_is_arr(data)) {
        decode_instance(d, data, time_unit_ns, target, out->stream);
        return;
    }
    size_t i, n;
    yyjson_val *element;
    yyjson_arr_foreach (data, i, n, element) {
        decode_instance(d, element, time_unit_ns, target, out->stream);
    }
    if (yyjson_arr_size(data) == 0) {
        emit_unparsed(d, target, NULL, out->stream, MLT_E_MISSING);
    }
}

enum mlt_status mlt_binance_decode_frame(struct mlt_binance_decoder *decoder, char *json,
                                         size_t len, int64_t time_unit_ns,
                                         const struct mlt_binance_symbols *symbols,
                                         mlt_binance_emit_fn emit, void *ctx,
                                         struct mlt_binance_frame *out)
{
    const struct target target = { symbols, emit, ctx };
    *out = (struct mlt_binance_frame){ .kind = MLT_FRAME_EVENTS };
    yyjson_doc *doc = NULL;
    void *memory = NULL;
    const enum mlt_status status = parse(decoder, json, len, &doc, &memory);
    if (status == MLT_OK) {
        decode_root(decoder, yyjson_doc_get_root(doc), time_unit_ns, &target, out);
    } else if (status != MLT_E_NOMEM && status != MLT_E_INTERNAL) {
        emit_unparsed(decoder, &target, NULL, MLT_SLICE_EMPTY, status);
    }
    /* The document lives in the pool or in memory: there is nothing else to free. */
    if (memory != NULL) {
        out->stream = MLT_SLICE_EMPTY;
        free(memory);
    }
    return status == MLT_E_NOMEM || status == MLT_E_INTERNAL ? status : MLT_OK;
}

/* An error object in an answer's place; OK when it is none. */
static enum mlt_status refusal(yyjson_val *root, const char *what, const char *whose,
                               struct mlt_error *err)
{
    yyjson_val *code = yyjson_obj_get(root, "code");
    if (code == NULL) {
        return MLT_OK;
    }
    const char *text = yyjson_get_str(yyjson_obj_get(root, "msg"));
    return mlt_error_set_foreign(err, MLT_E_PROTOCOL, "binance", (int)yyjson_get_sint(code),
                                 "%s of %s: %s", what, whose,
                                 text != NULL ? text : "error without a text");
}

/* An answer of REST: what makes an instance of it, or of each element where it is an array. */
struct rest_answer {
    struct target target;                    /* symbols: where elements name theirs */
    const struct mlt_binance_symbol *symbol; /* whose it is; NULL: each element says it */
    const struct mlt_binance_symbol *asked;  /* whom they have to name; NULL: anybody */
    struct mlt_slice function;               /* static text */
    bool array;
    read_fn read;
    int64_t completed_ns;
};

static void rest_instance(struct mlt_binance_decoder *decoder, yyjson_val *object,
                          const struct rest_answer *answer)
{
    struct reader r = { .object = object,
                        .symbol = answer->symbol,
                        .decoder = decoder,
                        .time_unit_ns = MLT_BINANCE_MS_NS,
                        .status = yyjson_is_obj(object) ? MLT_OK : MLT_E_TYPE };
    struct mlt_native_event e = { .exchange = MLT_STAMP_UNKNOWN,
                                  .received = answer->completed_ns,
                                  .rest_function = answer->function };
    if (answer->symbol == NULL) {
        const struct mlt_slice native = text_of(&r, member(&r, object, "symbol"));
        if (r.status == MLT_OK) {
            r.symbol = mlt_binance_symbol_by_native(answer->target.symbols, native);
            r.status = r.symbol != NULL ? MLT_OK : MLT_E_NOT_FOUND;
        }
        if (r.status == MLT_OK && answer->asked != NULL && r.symbol != answer->asked) {
            r.symbol = answer->asked;
            r.status = MLT_E_CONFLICT;
        }
    }
    if (r.status == MLT_OK) {
        e.instrument = mlt_slice_of_string(r.symbol->token);
        answer->read(&r, &e);
    }
    if (r.status == MLT_OK) {
        answer->target.emit(answer->target.ctx, r.symbol, MLT_SLICE_EMPTY, &e);
    } else {
        emit_unparsed(decoder, &answer->target, r.symbol, answer->function, r.status);
    }
}

/* whose names the call in err. */
static enum mlt_status decode_rest(struct mlt_binance_decoder *decoder,
                                   const struct rest_answer *answer, const char *whose, char *body,
                                   size_t len, struct mlt_error *err)
{
    yyjson_doc *doc = NULL;
    void *memory = NULL;
    enum mlt_status status = parse(decoder, body, len, &doc, &memory);
    if (status == MLT_OK) {
        yyjson_val *root = yyjson_doc_get_root(doc);
        if (answer->array && yyjson_is_arr(root)) {
            size_t i, n;
            yyjson_val *object;
            yyjson_arr_foreach (root, i, n, object) {
                rest_instance(decoder, object, answer);
            }
        } else {
            status = refusal(root, (const char *)answer->function.data, whose, err);
            if (status == MLT_OK) {
                rest_instance(decoder, root, answer);
            }
        }
    } else {
        if (status != MLT_E_NOMEM && status != MLT_E_INTERNAL) {
            emit_unparsed(decoder, &answer->target, answer->symbol, answer->function, status);
        }
        status = status == MLT_E_TOO_BIG /* it would be as long again */
                     ? MLT_OK
                     : mlt_error_set(err, status, "%s of %s: %s",
                                     (const char *)answer->function.data, whose,
                                     status == MLT_E_PARSE ? "not JSON" : mlt_status_text(status));
    }
    free(memory);
    return status;
}

enum mlt_status mlt_binance_decode_depth(struct mlt_binance_decoder *decoder,
                                         const struct mlt_binance_symbol *symbol, char *body,
                                         size_t len, int64_t completed_ns, mlt_binance_emit_fn emit,
                                         void *ctx, struct mlt_error *err)
{
    const struct rest_answer answer = { .target = { NULL, emit, ctx },
                                        .symbol = symbol,
                                        .function = MLT_SLICE_LITERAL("depth"),
                                        .read = read_snapshot,
                                        .completed_ns = completed_ns };
    return decode_rest(decoder, &answer, symbol->native, body, len, err);
}

static void read_ticker_24hr(struct reader *r, struct mlt_native_event *e)
{
    struct mlt_ticker *t = &e->u.ticker;
    yyjson_val *o = r->object;
    e->type = MLT_EVENT_TICKER;
    t->price_change = printed(r, o, "priceChange");
    t->price_change_percent = printed(r, o, "priceChangePercent");
    t->weighted_average = printed(r, o, "weightedAvgPrice");
    t->previous_close = price(r, o, "prevClosePrice");
    t->last_price = price(r, o, "lastPrice");
    t->last_quantity = quantity(r, o, "lastQty");
    t->bid_price = price(r, o, "bidPrice");
    t->bid_quantity = quantity(r, o, "bidQty");
    t->ask_price = price(r, o, "askPrice");
    t->ask_quantity = quantity(r, o, "askQty");
    t->open = price(r, o, "openPrice");
    t->high = price(r, o, "highPrice");
    t->low = price(r, o, "lowPrice");
    t->base_volume = printed(r, o, "volume");
    t->quote_volume = printed(r, o, "quoteVolume");
    t->open_time_ns = time_ns(r, o, "openTime");
    t->close_time_ns = time_ns(r, o, "closeTime");
    t->first_trade_id = integer(r, o, "firstId");
    t->last_trade_id = integer(r, o, "lastId");
    t->trade_count = (uint64_t)identifier(r, o, "count");
    e->first = e->last = t->close_time_ns;
}

enum mlt_status mlt_binance_decode_ticker_24hr(struct mlt_binance_decoder *decoder,
                                               const struct mlt_binance_symbols *symbols,
                                               const struct mlt_binance_symbol *asked, char *body,
                                               size_t len, int64_t completed_ns,
                                               mlt_binance_emit_fn emit, void *ctx,
                                               struct mlt_error *err)
{
    const struct rest_answer answer = { .target = { symbols, emit, ctx },
                                        .asked = asked,
                                        .function = MLT_SLICE_LITERAL("ticker/24hr"),
                                        .array = true,
                                        .read = read_ticker_24hr,
                                        .completed_ns = completed_ns };
    return decode_rest(decoder, &answer, asked != NULL ? asked->token : "all", body, len, err);
}

static void read_historical_trade(struct reader *r, struct mlt_native_event *e)
{
    struct mlt_trade *t = &e->u.trade;
    e->type = MLT_EVENT_TRADE;
    t->trade_id = identifier(r, r->object, "id");
    t->price = price(r, r->object, "price");
    t->quantity = quantity(r, r->object, "qty");
    t->trade_time_ns = time_ns(r, r->object, "time");
    t->aggressor = boolean(r, r->object, "isBuyerMaker") ? MLT_SIDE_SELL : MLT_SIDE_BUY;
    e->first = e->last = t->trade_id;
}

enum mlt_status mlt_binance_decode_trades(struct mlt_binance_decoder *decoder,
                                          const struct mlt_binance_symbol *symbol, bool aggregates,
                                          char *body, size_t len, int64_t completed_ns,
                                          mlt_binance_emit_fn emit, void *ctx,
                                          struct mlt_error *err)
{
    const struct rest_answer answer = { .target = { NULL, emit, ctx },
                                        .symbol = symbol,
                                        .function = aggregates
                                                        ? MLT_SLICE_LITERAL("aggTrades")
                                                        : MLT_SLICE_LITERAL("historicalTrades"),
                                        .array = true,
                                        .read = aggregates ? read_agg_trade_body
                                                           : read_historical_trade,
                                        .completed_ns = completed_ns };
    return decode_rest(decoder, &answer, symbol->native, body, len, err);
}
