/*
 * The pure half of the Adapter: Binance's bytes in, structures out. No sockets, no clock, no NATS.
 * Protocol: binance-spot-api-docs web-socket-streams.md and rest-api.md; where real recordings
 * differ from the documents, the comments here say so.
 */
#ifndef MELTICA_ADAPTER_BINANCE_H
#define MELTICA_ADAPTER_BINANCE_H

#include "meltica/base/error.h"
#include "meltica/event/event.h"

#define MLT_BINANCE_FRAME_BYTES_MAX (16u << 20)
#define MLT_BINANCE_MS_NS INT64_C(1000000) /* time unit of a connection without timeUnit= */

/* ---- symbols (exchangeInfo)
 * ------------------------------------------------------------------------ */

struct mlt_binance_symbol {
    char *token;        /* "BTC-USDT" */
    char *native;       /* "BTCUSDT", any UTF-8 */
    char *native_lower; /* as stream names have it (ASCII letters lowered) */
    char *base, *quote, *status;
    struct mlt_decimal tick_size, lot_size, minimum_notional;
    int32_t price_exponent,
        quantity_exponent; /* -quoteAssetPrecision, -baseAssetPrecision: decision 0003 */
};
struct mlt_binance_symbols; /* immutable once parsed; lookups are lock-free, any thread */

/* Parses a whole exchangeInfo body. Unusable symbols are skipped and counted (*skipped may be
 * NULL); E_PARSE, E_MISSING (no symbols array), E_NOMEM. *weight_limit: REQUEST_WEIGHT per minute,
 * 0 when absent. */
enum mlt_status mlt_binance_symbols_parse(struct mlt_slice body, struct mlt_binance_symbols **out,
                                          uint32_t *skipped, uint32_t *weight_limit,
                                          struct mlt_error *err) MLT_MUST_CHECK;
void mlt_binance_symbols_destroy(struct mlt_binance_symbols *symbols);
size_t mlt_binance_symbols_count(const struct mlt_binance_symbols *symbols);
const struct mlt_binance_symbol *mlt_binance_symbols_at(const struct mlt_binance_symbols *symbols,
                                                        size_t i);
/* By native symbol (exact bytes), by lower-case native symbol, by token; NULL when unknown. */
const struct mlt_binance_symbol *
mlt_binance_symbol_by_native(const struct mlt_binance_symbols *symbols, struct mlt_slice native);
const struct mlt_binance_symbol *
mlt_binance_symbol_by_lower(const struct mlt_binance_symbols *symbols, struct mlt_slice lower);
const struct mlt_binance_symbol *
mlt_binance_symbol_by_token(const struct mlt_binance_symbols *symbols, struct mlt_slice token);

/* ---- frames
 * ------------------------------------------------------------------------------------------ */

enum mlt_binance_frame_kind {
    MLT_FRAME_EVENTS, /* data of a stream: emit was called for each element */
    MLT_FRAME_ACK,    /* result of a request: id, result null or list */
    MLT_FRAME_ERROR,  /* error of a request: id (may be absent), code, text; both shapes */
    MLT_FRAME_SERVER_SHUTDOWN
};

struct mlt_binance_frame {
    enum mlt_binance_frame_kind kind;
    struct mlt_slice stream; /* combined stream name; empty for raw frames */
    bool has_id;
    int64_t id;
    int64_t error_code;
    char error_text[128];
};

struct mlt_binance_decoder; /* parse pool and level columns, reused; one thread */

enum mlt_status mlt_binance_decoder_create(struct mlt_binance_decoder **decoder) MLT_MUST_CHECK;
void mlt_binance_decoder_destroy(struct mlt_binance_decoder *decoder);

/* Called for each instance of a frame. event views the frame and the decoder, valid during the
 * call. event->instrument is the token, ->type, ->u, ->first, ->last, ->exchange are set; route,
 * trace id and received/adapted are the caller's. symbol is NULL where the instance names none that
 * exchangeInfo lists; stream is the combined stream's name, empty in raw mode. */
typedef void (*mlt_binance_emit_fn)(void *ctx, const struct mlt_binance_symbol *symbol,
                                    struct mlt_slice stream, struct mlt_native_event *event);

/* Decodes one complete text frame. json must have 8 readable bytes of padding after len (yyjson in
 * situ) and is overwritten. time_unit_ns: 1,000,000 (ms) or 1,000 (us) of the connection. An
 * element that cannot become an event is emitted as MLT_NATIVE_UNPARSED with its reason: one of
 * parse, missing_field, wrong_type, out_of_range, precision, unmapped (no canonical type for it),
 * unknown_symbol, too_big; so every frame is an emit, an ACK, an ERROR or SERVER_SHUTDOWN. Never
 * allocates after warm-up for frames up to 64 KiB; larger ones use a temporary pool up to
 * MLT_BINANCE_FRAME_BYTES_MAX (above: too_big). Recognises, with their traps: trade, aggTrade,
 * kline (f = L = -1), 24hrTicker, bookTicker (no e), depthUpdate, partial depth (symbol from the
 * stream name, so combined mode only), arrays of data and serverShutdown; every other type is
 * unmapped. JSON keys are case-sensitive. Unknown members are ignored. E_* only for internal
 * failures (E_NOMEM). */
enum mlt_status mlt_binance_decode_frame(struct mlt_binance_decoder *decoder, char *json,
                                         size_t len, int64_t time_unit_ns,
                                         const struct mlt_binance_symbols *symbols,
                                         mlt_binance_emit_fn emit, void *ctx,
                                         struct mlt_binance_frame *out) MLT_MUST_CHECK;

/* ---- REST
 * -------------------------------------------------------------------------------------------- */

/* Body of GET /api/v3/depth for one symbol: emits one BOOK_SNAPSHOT with rest_function "depth", or
 * MLT_NATIVE_UNPARSED. OK: it is an answer, even where instances of it were refused; asked again it
 * would say the same, and so would one that is too_big. E_PARSE: the body is no JSON (cut short, or
 * of something in between), is emitted as one MLT_NATIVE_UNPARSED, and may be whole when asked for
 * again. E_PROTOCOL: an error object {"code","msg"}, with the code in err. E_NOMEM, E_INTERNAL:
 * nothing was emitted. completed_ns: wall time at which the answer was whole. body is overwritten,
 * padding as for frames. */
enum mlt_status mlt_binance_decode_depth(struct mlt_binance_decoder *decoder,
                                         const struct mlt_binance_symbol *symbol, char *body,
                                         size_t len, int64_t completed_ns, mlt_binance_emit_fn emit,
                                         void *ctx, struct mlt_error *err) MLT_MUST_CHECK;

/* Body of GET /api/v3/historicalTrades or, aggregates, /api/v3/aggTrades: emits one TRADE or
 * AGG_TRADE an element, in their order, with that rest_function, equal to the event of the stream
 * but for the exchange's stamp, which the answer does not have. The rest as
 * mlt_binance_decode_depth. */
enum mlt_status mlt_binance_decode_trades(struct mlt_binance_decoder *decoder,
                                          const struct mlt_binance_symbol *symbol, bool aggregates,
                                          char *body, size_t len, int64_t completed_ns,
                                          mlt_binance_emit_fn emit, void *ctx,
                                          struct mlt_error *err) MLT_MUST_CHECK;

/* Body of GET /api/v3/ticker/24hr (type FULL), one object or an array of them: emits one TICKER an
 * element, with rest_function "ticker/24hr" and the closing time of its window as source position
 * (the answer has no event time, and unlike the time of completion this one is equal on every
 * retry). asked: whose it is to be, NULL: anybody's; another symbol's is refused (wrong_symbol).
 * The rest as mlt_binance_decode_depth. */
enum mlt_status mlt_binance_decode_ticker_24hr(struct mlt_binance_decoder *decoder,
                                               const struct mlt_binance_symbols *symbols,
                                               const struct mlt_binance_symbol *asked, char *body,
                                               size_t len, int64_t completed_ns,
                                               mlt_binance_emit_fn emit, void *ctx,
                                               struct mlt_error *err) MLT_MUST_CHECK;

/* Body of GET /api/v3/time: the exchange's time, in steps of 1 ms, since 1970. E_PARSE, E_MISSING
 * (no serverTime, or none that is a time). */
enum mlt_status mlt_binance_decode_time(struct mlt_slice body, int64_t *time_ns,
                                        struct mlt_error *err) MLT_MUST_CHECK;

#endif
