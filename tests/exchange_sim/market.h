/*
 * A source of market: what the streams carry and what REST answers, at one moment. Two exist,
 * replay.h and synthetic.h. One thread; strings and books handed out are valid until the next call.
 */
#ifndef SIM_MARKET_H
#define SIM_MARKET_H

#include "book.h"
#include "hub.h"
#include "meltica/base/error.h"

struct sim_symbol {
    struct mlt_slice name, base, quote, status;
    int price_decimals, quantity_decimals;
    int64_t tick_e8, lot_e8; /* 0: not known */
};

struct sim_trade {
    int64_t id, time_us, price_e8, quantity_e8;
    int64_t first_id, last_id; /* aggregates only */
    bool buyer_is_maker;
};

__extension__ typedef __int128 sim_int128;

struct sim_candle {
    int64_t open_us, close_us; /* close: last microsecond */
    int64_t open_e8, high_e8, low_e8, close_e8;
    int64_t volume_e8, taker_volume_e8;
    sim_int128 quote_e16, taker_quote_e16;
    int64_t first_id, last_id, count; /* ids -1 without trades */
};

struct sim_top {
    int64_t id, bid_e8, bid_quantity_e8, ask_e8, ask_quantity_e8;
};

#define SIM_INTERVAL_COUNT 16
extern const char *const sim_interval_names[SIM_INTERVAL_COUNT];
/* Index of "1m"; -1 for none. */
int sim_interval_find(struct mlt_slice name);
/* First microsecond of the candle that holds time_us, and of the next one; UTC. */
void sim_interval_bounds(int interval, int64_t time_us, int64_t *open_us, int64_t *next_us);
void sim_candle_begin(struct sim_candle *candle, int interval, int64_t time_us, int64_t close_e8);
void sim_candle_add(struct sim_candle *candle, const struct sim_trade *trade);

struct sim_market;

struct sim_market_ops {
    void (*destroy)(struct sim_market *market);
    /* Streams. Number by which the market knows a stream, -1 for one it does not. */
    int64_t (*attach)(struct sim_market *market, struct sim_topic *topic);
    void (*begin)(struct sim_market *market, int64_t now_ns);
    /* Sends what is due until a line is full; returns the monotonic time of the next call, or
     * INT64_MAX when only room or the end can change something. */
    int64_t (*pump)(struct sim_market *market, int64_t now_ns);
    /* State for REST. Symbols by index. */
    bool (*find)(struct sim_market *market, struct mlt_slice name, size_t *symbol);
    void (*symbol)(struct sim_market *market, size_t symbol, struct sim_symbol *out);
    /* Nothing happens to the symbol from now on, or again; NULL: this market cannot. */
    void (*halt)(struct sim_market *market, size_t symbol, bool halted);
    /* The exchange's own object for exchangeInfo; false: it has none and one is made. */
    bool (*listing)(struct sim_market *market, size_t symbol, struct mlt_slice *object);
    const struct sim_book *(*book)(struct sim_market *market, size_t symbol);
    /* The book after the last change with an id <= id. E_NOT_FOUND: before all that is known or
     * ahead of the market; E_RANGE: no longer known. */
    enum mlt_status (*book_at)(struct sim_market *market, size_t symbol, int64_t id,
                               const struct sim_book **out);
    bool (*top)(struct sim_market *market, size_t symbol, struct sim_top *out);
    /* Trades known so far, oldest first; aggregates likewise. */
    size_t (*trade_count)(struct sim_market *market, size_t symbol, bool aggregates);
    void (*trade)(struct sim_market *market, size_t symbol, bool aggregates, size_t index,
                  struct sim_trade *out);
    /* Up to max candles, the newest, oldest first. */
    size_t (*candles)(struct sim_market *market, size_t symbol, int interval,
                      struct sim_candle *out, size_t max);
    /* All trades so far in one candle (the rolling window is as long as the market ran). */
    void (*day)(struct sim_market *market, size_t symbol, struct sim_candle *out);
};

struct sim_market {
    const struct sim_market_ops *ops;
    struct sim_hub *hub;
    const char *mode;
    size_t symbol_count;
    size_t stream_count;    /* streams whose subscription "all" means; 0: not known */
    uint64_t frames_total;  /* of one pass; 0: not known */
    uint64_t frames_passed; /* by the market, wanted or not */
    uint64_t passes;        /* begun beyond the first */
    uint64_t skipped;       /* records that are no frame of a named stream */
    double speed;           /* 0: as fast as the lines take it */
    bool finished;
};

#endif
