#ifndef SIM_SYNTHETIC_INTERNAL_H
#define SIM_SYNTHETIC_INTERNAL_H

#include "synthetic.h"

#define SYNTHETIC_TICK_E8 INT64_C(1000000) /* 0.01 */
#define SYNTHETIC_LOT_E8 INT64_C(1000)     /* 0.00001 */
#define SYNTHETIC_NAME_BYTES 16
#define SYNTHETIC_UNICODE "\u5e01" /* 3 bytes, in the place of SYM */
#define SYNTHETIC_TRADES_KEPT 1024u
#define SYNTHETIC_CANDLES_KEPT 100u

/* Streams of a symbol. */
enum synthetic_kind {
    SYNTHETIC_TRADE,
    SYNTHETIC_AGG_TRADE,
    SYNTHETIC_BOOK_TICKER,
    SYNTHETIC_DEPTH,
    SYNTHETIC_DEPTH_100,
    SYNTHETIC_PARTIAL, /* 5, 10, 20 each second, then each 100 ms */
    SYNTHETIC_TICKER = SYNTHETIC_PARTIAL + 6,
    SYNTHETIC_MINI_TICKER,
    SYNTHETIC_AVG_PRICE,
    SYNTHETIC_KLINE, /* by interval */
    SYNTHETIC_KIND_COUNT = SYNTHETIC_KLINE + SIM_INTERVAL_COUNT
};
#define SYNTHETIC_KINDS_MAX 64                /* market_id = symbol x this + kind */
#define SYNTHETIC_ARRAY_ID (INT64_C(1) << 40) /* !miniTicker@arr */

/* One change of a level; its update id follows from its place. */
struct synthetic_change {
    int64_t signed_price_e8; /* positive: bid, negative: ask */
    int64_t old_e8, new_e8;
};

struct synthetic_ring {
    struct sim_trade *items; /* newest SYNTHETIC_TRADES_KEPT */
    size_t capacity;
    uint64_t total; /* ever added */
};

struct synthetic_history {
    struct sim_candle *items; /* closed ones, newest SYNTHETIC_CANDLES_KEPT */
    uint64_t total;
};

struct synthetic_symbol {
    char name[SYNTHETIC_NAME_BYTES];
    struct sim_book book;
    int64_t base_price_e8;
    struct synthetic_change *changes;  /* ring: change with id i stands at i & mask */
    int64_t first_id;                  /* id of the first change ever */
    int64_t sent_100_id, sent_1000_id; /* last id in a depth event */
    struct sim_top top;                /* last that a bookTicker told */
    int64_t next_trade_id, next_aggregate_id;
    struct synthetic_ring trades, aggregates;
    struct sim_candle candles[SIM_INTERVAL_COUNT];
    struct synthetic_history closed[SIM_INTERVAL_COUNT];
    struct sim_candle day;
    int64_t last_quantity_e8, last_trade_us;
    bool day_changed, array_changed; /* since the last ticker, the last !miniTicker@arr */
    bool halted;                     /* nothing happens to it */
    struct sim_topic *topics[SYNTHETIC_KIND_COUNT];
};

struct synthetic {
    struct sim_market market;
    const struct sim_options *options;
    struct synthetic_symbol *symbols;
    struct sim_topic *array_topic;
    uint64_t dice;
    int64_t change_mask; /* capacity of the rings of changes - 1 */
    int64_t start_us;    /* market time of the beginning, us since 1970 */
    uint64_t actions_per_1000s, actions, slots;
    int64_t second_ns; /* market ns of the next whole second */
    int64_t now_us;    /* market time */
    int64_t next_open_us[SIM_INTERVAL_COUNT];
    int64_t begun_ns; /* monotonic; 0: not begun */
    struct sim_book past;
    struct mlt_buf frame;
    struct synthetic_change *sorted; /* of a depth event being made */
    size_t sorted_capacity;
};

/* synthetic_book.c: one thing happens to one symbol; frames go out. */
enum mlt_status synthetic_open_symbol(struct synthetic *market, size_t index) MLT_MUST_CHECK;
void synthetic_close_symbol(struct synthetic_symbol *symbol);
void synthetic_act(struct synthetic *market);
uint64_t synthetic_roll(struct synthetic *market, uint64_t sides);
int64_t synthetic_oldest_id(const struct synthetic *market, const struct synthetic_symbol *symbol);

/* synthetic_candle.c */
void synthetic_add_trade(struct synthetic *market, struct synthetic_symbol *symbol,
                         const struct sim_trade *trade);
void synthetic_roll_candles(struct synthetic *market);

/* synthetic_frames.c: each sends a frame if somebody wants it. */
void synthetic_send_trade(struct synthetic *market, struct synthetic_symbol *symbol,
                          const struct sim_trade *trade, bool aggregate);
void synthetic_send_book_ticker(struct synthetic *market, struct synthetic_symbol *symbol);
void synthetic_send_depth(struct synthetic *market, struct synthetic_symbol *symbol, bool fast);
void synthetic_send_partial(struct synthetic *market, struct synthetic_symbol *symbol, bool fast);
void synthetic_send_kline(struct synthetic *market, struct synthetic_symbol *symbol, int interval,
                          bool closed);
void synthetic_send_tickers(struct synthetic *market, struct synthetic_symbol *symbol);
void synthetic_send_array(struct synthetic *market);

/* synthetic_state.c */
int64_t synthetic_attach(struct sim_market *market, struct sim_topic *topic);
bool synthetic_find(struct sim_market *market, struct mlt_slice name, size_t *symbol);
void synthetic_describe(struct sim_market *market, size_t symbol, struct sim_symbol *out);
void synthetic_halt(struct sim_market *market, size_t symbol, bool halted);
bool synthetic_listing(struct sim_market *market, size_t symbol, struct mlt_slice *object);
const struct sim_book *synthetic_book(struct sim_market *market, size_t symbol);
enum mlt_status synthetic_book_at(struct sim_market *market, size_t symbol, int64_t id,
                                  const struct sim_book **out);
bool synthetic_top(struct sim_market *market, size_t symbol, struct sim_top *out);
size_t synthetic_trade_count(struct sim_market *market, size_t symbol, bool aggregates);
void synthetic_trade(struct sim_market *market, size_t symbol, bool aggregates, size_t index,
                     struct sim_trade *out);
size_t synthetic_candles(struct sim_market *market, size_t symbol, int interval,
                         struct sim_candle *out, size_t max);
void synthetic_day(struct sim_market *market, size_t symbol, struct sim_candle *out);

#endif
