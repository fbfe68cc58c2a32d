/*
 * The canonical event in memory, and the native instance it is made from. Mirrors
 * proto/meltica/v1/event.proto field by field; docs/wire-format.md is the reference.
 * Slices and level arrays are views: of the caller's memory when encoding, of the arena or the
 * decoded bytes after decoding (valid until the arena is reset and while those bytes live).
 */
#ifndef MELTICA_EVENT_EVENT_H
#define MELTICA_EVENT_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "meltica/base/arena.h"
#include "meltica/base/decimal.h"
#include "meltica/base/slice.h"
#include "meltica/base/status.h"

/* Same numbers as enum EventType of event.proto. */
enum mlt_event_type {
    MLT_EVENT_NONE = 0,
    MLT_EVENT_TICKER,
    MLT_EVENT_BBO,
    MLT_EVENT_TRADE,
    MLT_EVENT_AGG_TRADE,
    MLT_EVENT_KLINE,
    MLT_EVENT_BOOK_DELTA,
    MLT_EVENT_BOOK_SNAPSHOT,
    MLT_EVENT_BOOK,
    MLT_EVENT_INSTRUMENT,
    MLT_EVENT_STATUS,
    MLT_EVENT_TYPE_COUNT
};

/* Same numbers as enum Quality. */
enum {
    MLT_QUALITY_STALE = 1,
    MLT_QUALITY_LATE = 2,
    MLT_QUALITY_BACKFILLED = 4,
    MLT_QUALITY_CACHE_UNAVAILABLE = 8,
    MLT_QUALITY_DEPTH_LIMITED = 16,
    MLT_QUALITY_WARMING = 32,
    MLT_QUALITY_CONFLATED = 64,
    MLT_QUALITY_AFTER_GAP = 128,
    /* Between the services only, on BOOK_DELTA and BOOK_SNAPSHOT: what else of its book is
     * subscribed. The Data Bus takes them off. */
    MLT_QUALITY_WANTS_BOOK = 256,
    MLT_QUALITY_WANTS_SNAPSHOT = 512,
    /* Of TRADE and AGG_TRADE: since the last one of its channel every id came here, or is missing.
     */
    MLT_QUALITY_CONTIGUOUS = 1024,
    MLT_QUALITY_INSIDE = 1792
};

enum mlt_side { MLT_SIDE_NONE, MLT_SIDE_BUY, MLT_SIDE_SELL };

/* Why an Adapter says SOURCE_UP of an instrument for the first time: what another one was asked for
 * before is not coming from it. Other reasons are for people. */
#define MLT_SOURCE_UP_STARTED "started"
/* Why LOST is said of an instance that was refused: it is counted where it was. */
#define MLT_LOST_REFUSED "refused"

enum mlt_status_kind {
    MLT_STATUS_KIND_NONE,
    MLT_STATUS_EPOCH_STARTED,
    MLT_STATUS_LOST,
    MLT_STATUS_SOURCE_DOWN,
    MLT_STATUS_SOURCE_UP,
    MLT_STATUS_LIVE,
    MLT_STATUS_GAP,
    MLT_STATUS_STALE,
    MLT_STATUS_HEADS,
    MLT_STATUS_SYNCING,
    MLT_STATUS_IDLE,
    MLT_STATUS_CACHE_REBUILT,
    MLT_STATUS_MISSING,
    MLT_STATUS_UNFILLABLE
};

/* Same numbers as enum BookState. */
enum mlt_book_state {
    MLT_BOOK_STATE_NONE,
    MLT_BOOK_IDLE,
    MLT_BOOK_SYNCING,
    MLT_BOOK_LIVE,
    MLT_BOOK_GAP,
    MLT_BOOK_STALE
};

#define MLT_STAMP_UNKNOWN INT64_MIN /* a stamp that is absent on the wire */
/* Whether a source position (an exchange's id, or a time where ids are absent) has a neighbour on
 * both sides. Every decoder refuses one that has not (E_RANGE), so that id + 1 and id - 1, which
 * continuity is checked with, cannot overflow. */
static inline bool mlt_source_position_valid(int64_t position)
{
    return position > INT64_MIN && position < INT64_MAX;
}

#define MLT_TRACE_ID_BYTES 16
#define MLT_INSTRUMENT_BYTES_MAX 96 /* token */
#define MLT_EVENT_LEVELS_MAX 10000  /* a side; decoders refuse more (E_TOO_BIG) */
#define MLT_STATUS_HEADS_MAX 16
#define MLT_TRADES_PAGE_MAX 1000u /* ids of a request for trades: what one answer of REST holds */

struct mlt_levels {
    int32_t price_exponent;
    int32_t quantity_exponent;
    size_t count;
    const int64_t *prices;     /* count */
    const int64_t *quantities; /* count */
};

struct mlt_ticker {
    struct mlt_decimal price_change, price_change_percent, weighted_average, last_price,
        last_quantity;
    struct mlt_decimal bid_price, bid_quantity, ask_price, ask_quantity;
    struct mlt_decimal open, high, low, base_volume, quote_volume, previous_close;
    int64_t open_time_ns, close_time_ns;
    int64_t first_trade_id, last_trade_id; /* -1: none */
    uint64_t trade_count;
};

struct mlt_bbo {
    struct mlt_decimal bid_price, bid_quantity, ask_price, ask_quantity;
};

struct mlt_trade {
    int64_t trade_id;
    struct mlt_decimal price, quantity;
    enum mlt_side aggressor;
    int64_t trade_time_ns;
    bool has_notional;
    struct mlt_decimal notional;
};

struct mlt_agg_trade {
    int64_t aggregate_id, first_trade_id, last_trade_id;
    struct mlt_decimal price, quantity;
    enum mlt_side aggressor;
    int64_t trade_time_ns;
    bool has_notional;
    struct mlt_decimal notional;
};

struct mlt_kline {
    struct mlt_slice interval;
    int64_t open_time_ns, close_time_ns;
    struct mlt_decimal open, high, low, close, base_volume, quote_volume;
    struct mlt_decimal taker_buy_base_volume, taker_buy_quote_volume;
    uint64_t trade_count;
    int64_t first_trade_id, last_trade_id; /* -1: none */
    bool closed;
};

struct mlt_book_delta {
    struct mlt_levels bids, asks;
    uint32_t digest, digest_version;
};

struct mlt_book_snapshot {
    int64_t last_update_id;
    struct mlt_levels bids, asks;
    uint32_t requested_depth;
    bool reset;
};

enum {
    MLT_MEASURE_PRESENT = 1, /* value is set; on the wire: there is a value */
    MLT_MEASURE_WARMING = 2, /* the window is not yet full: over what there is */
    MLT_MEASURE_LIMITED = 4  /* the book's known window ends before the measure does */
};

struct mlt_measure {
    struct mlt_decimal value;
    uint32_t flags;
};

#define MLT_ANALYTICS_SPANS 3

/* docs/analytics.md has formula, unit and rounding of each. */
struct mlt_book_analytics {
    struct mlt_measure mid, spread, spread_bps, microprice;
    /* Of the best 1, 5, 20 levels, and of those within 5, 10, 50 bps of mid. */
    struct mlt_measure bid_depth[MLT_ANALYTICS_SPANS], ask_depth[MLT_ANALYTICS_SPANS];
    struct mlt_measure imbalance[MLT_ANALYTICS_SPANS];
    struct mlt_measure bid_within[MLT_ANALYTICS_SPANS], ask_within[MLT_ANALYTICS_SPANS];
    struct mlt_measure imbalance_within[MLT_ANALYTICS_SPANS];
    /* Over the last 1, 10, 60 s. */
    struct mlt_measure vwap[MLT_ANALYTICS_SPANS], trade_flow[MLT_ANALYTICS_SPANS];
    struct mlt_measure volatility; /* 60 s */
};

struct mlt_book {
    struct mlt_levels bids, asks;
    int64_t last_update_id;
    uint32_t digest, digest_version;
    enum mlt_book_state state;
    int64_t snapshot_update_id, snapshot_time_ns; /* of the last snapshot merged */
    uint64_t deltas_applied;                      /* since that snapshot */
    uint32_t known_bids, known_asks;              /* levels inside the known window */
    bool has_analytics;
    struct mlt_book_analytics analytics;
};

struct mlt_instrument {
    struct mlt_slice native_symbol, base, quote, status;
    struct mlt_decimal tick_size, lot_size, minimum_notional;
    int32_t price_exponent, quantity_exponent;
};

struct mlt_head {
    enum mlt_event_type type;
    uint64_t sequence;
    int64_t last;
};

struct mlt_status_event {
    enum mlt_status_kind kind;
    struct mlt_slice reason;
    enum mlt_event_type lost_type;
    uint64_t first, last, previous_epoch;
    size_t head_count; /* <= MLT_STATUS_HEADS_MAX */
    struct mlt_head heads[MLT_STATUS_HEADS_MAX];
    int64_t update_first, update_last; /* exchange update ids of a book's change, ids of
                                          trades of lost_type; 0: none */
    enum mlt_book_state from;
};

struct mlt_stamps { /* ns since 1970, all absolute here (relative only on the wire) */
    int64_t received;
    int64_t exchange, adapted, dispatched, conducted, published; /* or MLT_STAMP_UNKNOWN */
};

struct mlt_event {
    struct mlt_slice instrument; /* token */
    enum mlt_event_type type;    /* says which member of u is set */
    uint64_t key;
    uint64_t epoch, sequence;
    uint32_t route;
    int64_t first, last; /* source positions */
    struct mlt_slice rest_function, exchange;
    uint8_t trace_id[MLT_TRACE_ID_BYTES];
    uint32_t trace_flags; /* W3C; 1: sampled */
    struct mlt_stamps stamps;
    uint32_t quality;
    uint64_t route_revision, lane_previous, throttled_ns;
    uint32_t merged;
    union {
        struct mlt_ticker ticker;
        struct mlt_bbo bbo;
        struct mlt_trade trade;
        struct mlt_agg_trade agg_trade;
        struct mlt_kline kline;
        struct mlt_book_delta book_delta;
        struct mlt_book_snapshot book_snapshot;
        struct mlt_book book;
        struct mlt_instrument instrument;
        struct mlt_status_event status;
    } u;
};

/* Native instance, as the Adapter hands it to the Dispatcher. type is a canonical payload
 * shape, or MLT_NATIVE_UNPARSED. */
enum { MLT_NATIVE_UNPARSED = 100 };

struct mlt_native_event {
    struct mlt_slice instrument;
    uint32_t route;
    uint8_t trace_id[MLT_TRACE_ID_BYTES];
    uint32_t trace_flags;
    int64_t received, exchange /* or MLT_STAMP_UNKNOWN */, adapted; /* absolute ns */
    int64_t first, last;
    struct mlt_slice rest_function;
    int type; /* enum mlt_event_type or MLT_NATIVE_UNPARSED */
    union {
        struct mlt_ticker ticker;
        struct mlt_bbo bbo;
        struct mlt_trade trade;
        struct mlt_agg_trade agg_trade;
        struct mlt_kline kline;
        struct mlt_book_delta book_delta;
        struct mlt_book_snapshot book_snapshot;
        struct mlt_instrument instrument;
        struct mlt_status_event status; /* SOURCE_DOWN, SOURCE_UP */
        struct {
            struct mlt_slice reason, original, topic;
            uint32_t original_bytes;
        } unparsed;
    } u;
};

/* "BOOK_DELTA"; "UNSPECIFIED" outside the list. Static. */
const char *mlt_event_type_word(int type);
const char *mlt_status_kind_word(int kind);
const char *mlt_book_state_word(int state); /* "LIVE" */

/* Instrument token of (base, quote): BASE-QUOTE with every byte outside A-Za-z0-9_ (and '-' inside
 * an asset) as =XX. Writes at most size-1 bytes and a NUL. E_TOO_BIG, E_INVALID (an empty asset).
 */
enum mlt_status mlt_instrument_token(struct mlt_slice base, struct mlt_slice quote, char *out,
                                     size_t size) MLT_MUST_CHECK;
/* True when every byte is legal in a token (also a legal subject token and KV key) and 1..MAX long.
 */
bool mlt_instrument_token_valid(struct mlt_slice token);
/* Slot 0..63 = FNV-1a 32 of the token mod 64; partition = slot mod partitions. */
#define MLT_SLOT_COUNT 64
uint32_t mlt_instrument_slot(struct mlt_slice token);

/* Idempotency key: FNV-1a 64 over token, 0x00, type byte, first i64le, last i64le, discriminator
 * i64le. discriminator: KLINE FNV-1a 64 of the interval's text, else 0. */
uint64_t mlt_event_key(struct mlt_slice token, enum mlt_event_type type, int64_t first,
                       int64_t last, int64_t discriminator);

/* Source position of an event within its channel (RULINGS 11): update, trade or aggregate id, event
 * time, or for what a REST answer or Meltica itself gave the time of its completion. It decides
 * what is a repeat; how, docs/wire-format.md says. */
static inline int64_t mlt_event_position(const struct mlt_event *event)
{
    switch (event->type) {
    case MLT_EVENT_BOOK_SNAPSHOT:
    case MLT_EVENT_INSTRUMENT:
    case MLT_EVENT_STATUS:
        return event->stamps.received;
    default:
        return event->last;
    }
}

/* Digest v1 of a book's top (RULINGS 13): CRC-32C over bids then asks: u32le count, then count x
 * (i64le price, i64le quantity). At most 20 levels a side are used. */
uint32_t mlt_book_digest(const struct mlt_levels *bids, const struct mlt_levels *asks);

/* Encoded size of one event, then its bytes into out (exactly that size). Pure; never allocates. */
size_t mlt_event_encoded_size(const struct mlt_event *event);
size_t mlt_event_encode(const struct mlt_event *event, uint8_t *out);
/* Decodes one Event. Views point into the arena. E_PARSE on malformed bytes, E_TOO_BIG above
 * MLT_EVENT_LEVELS_MAX or a too long token, E_MISSING without instrument, type or payload of that
 * type, E_NOMEM when the arena is exhausted. */
enum mlt_status mlt_event_decode(struct mlt_slice bytes, struct mlt_arena *arena,
                                 struct mlt_event *out) MLT_MUST_CHECK;

/* A batch is repeated field 1 (length-delimited events): the body of meltica.journal.* . This walks
 * any batch without copying: *rest is what remains; each call gives the next element of field 1.
 * E_EMPTY at the end, E_PARSE on malformed bytes; other fields are skipped. */
enum mlt_status mlt_batch_next(struct mlt_slice *rest, struct mlt_slice *element) MLT_MUST_CHECK;
/* Writes tag and length that go before an element of element_bytes; returns how many bytes that
 * took. */
#define MLT_ELEMENT_HEADER_BYTES_MAX 11
size_t mlt_batch_element_header(size_t element_bytes, uint8_t *out);

/* One JSON object for people and scripts, without line end: the names of event.proto, a Decimal as
 * its exact text, a side of a book as [[price, quantity], ...], 64-bit integers as strings
 * (protobuf's JSON mapping), trace_id in hex, stamps.received absolute and the others relative to
 * it, as on the wire. Appends to out; on failure (E_TOO_BIG, E_NOMEM) out is unchanged. */
struct mlt_buf;
enum mlt_status mlt_event_to_json(const struct mlt_event *event,
                                  struct mlt_buf *out) MLT_MUST_CHECK;

#endif
