#ifndef SIM_REPLAY_INTERNAL_H
#define SIM_REPLAY_INTERNAL_H

#include "meltica/recording/recording.h"
#include "replay.h"

enum replay_kind {
    REPLAY_DEPTH,
    REPLAY_BOOK_TICKER,
    REPLAY_TRADE,
    REPLAY_AGG_TRADE,
    REPLAY_KLINE,
    REPLAY_OTHER,
    REPLAY_KIND_COUNT
};

struct replay_frame {
    const uint8_t *json;
    uint32_t len, inner_at, inner_len;
    uint32_t stream;
    int64_t at_ns; /* receive time, never before that of the frame before */
};

struct replay_indexes {
    uint32_t *at; /* numbers of frames, ascending */
    size_t count, capacity;
};

struct replay_stream {
    struct sim_topic *topic;
    enum replay_kind kind;
    int interval; /* KLINE */
    const char *time_keys;
    size_t symbol;
    struct replay_indexes frames;
};

struct replay_trades {
    struct sim_trade *items;
    size_t count, capacity;
    struct replay_indexes frames; /* the frame of each */
};

/* A book that follows the depth frames of one symbol. */
struct replay_book {
    struct sim_book book;
    size_t applied; /* depth frames */
    bool begun;
};

struct replay_symbol {
    char *name; /* upper case as in payloads */
    size_t name_len;
    struct mlt_slice listing; /* its object in a recorded exchangeInfo; empty: none */
    struct mlt_slice *snapshots;
    size_t snapshot_count;
    int64_t depth_stream, ticker_stream; /* -1: not recorded */
    int64_t kline_streams[SIM_INTERVAL_COUNT];
    struct replay_trades trades, aggregates;
    struct replay_book live, past;
};

struct replay {
    struct sim_market market;
    struct mlt_recording files[SIM_REPLAY_FILES_MAX];
    size_t file_count;
    struct replay_frame *frames;
    size_t frame_count, frame_capacity;
    struct replay_stream *streams;
    size_t stream_count, stream_capacity;
    struct replay_symbol *symbols;
    size_t symbol_count, symbol_capacity;
    struct mlt_map by_name; /* upper-case name -> index + 1 */
    bool wrap;
    size_t cursor;
    int64_t begun_ns; /* monotonic time of the frame at cursor 0; 0: not begun */
    struct mlt_buf micros;
};

bool replay_grow(void **items, size_t count, size_t *capacity, size_t item_bytes);
/* Symbol of that name, made when new. */
enum mlt_status replay_symbol_of(struct replay *replay, struct mlt_slice name,
                                 size_t *symbol) MLT_MUST_CHECK;
/* How many of the indexes are frames that have been replayed. */
size_t replay_passed(const struct replay *replay, const struct replay_indexes *indexes);
struct mlt_slice replay_inner(const struct replay_frame *frame);
enum mlt_status replay_load(struct replay *replay, const struct sim_replay_options *options,
                            struct mlt_error *err) MLT_MUST_CHECK;
void replay_symbol_fini(struct replay_symbol *symbol);
extern const struct sim_market_ops replay_ops;

/* replay_state.c */
bool replay_find(struct sim_market *market, struct mlt_slice name, size_t *symbol);
void replay_describe(struct sim_market *market, size_t symbol, struct sim_symbol *out);
bool replay_listing(struct sim_market *market, size_t symbol, struct mlt_slice *object);
const struct sim_book *replay_book(struct sim_market *market, size_t symbol);
enum mlt_status replay_book_at(struct sim_market *market, size_t symbol, int64_t id,
                               const struct sim_book **out);
bool replay_top(struct sim_market *market, size_t symbol, struct sim_top *out);
size_t replay_trade_count(struct sim_market *market, size_t symbol, bool aggregates);
void replay_trade(struct sim_market *market, size_t symbol, bool aggregates, size_t index,
                  struct sim_trade *out);
size_t replay_candles(struct sim_market *market, size_t symbol, int interval,
                      struct sim_candle *out, size_t max);
void replay_day(struct sim_market *market, size_t symbol, struct sim_candle *out);
bool replay_read_trade(struct mlt_slice json, bool aggregate, struct sim_trade *out);

#endif
