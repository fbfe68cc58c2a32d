/*
 * An order book as the exchange keeps it: absolute quantities by price, an update id. Prices and
 * quantities are integers in units of 10^-8, which hold everything Binance prints. The best level
 * is the last of its array, so that the frequent changes near the touch move little memory. One
 * thread at a time.
 */
#ifndef SIM_BOOK_H
#define SIM_BOOK_H

#include "meltica/base/buf.h"

#define SIM_DECIMALS 8
#define SIM_ONE_E8 INT64_C(100000000)
#define SIM_LEVELS_MAX 65536u

struct sim_level {
    int64_t price_e8, quantity_e8;
};

struct sim_side {
    struct sim_level *levels;
    size_t count, capacity;
    bool bids;
};

struct sim_book {
    struct sim_side bids, asks;
    int64_t id;                            /* last update id */
    int price_decimals, quantity_decimals; /* printed */
};

void sim_book_init(struct sim_book *book);
void sim_book_fini(struct sim_book *book);
void sim_book_clear(struct sim_book *book);
/* E_NOMEM; to is unchanged then. */
enum mlt_status sim_book_copy(struct sim_book *to, const struct sim_book *from) MLT_MUST_CHECK;

/* Sets a level; quantity 0 removes it. *old (may be NULL) is what stood there, 0 for nothing.
 * E_FULL beyond SIM_LEVELS_MAX, E_NOMEM. The update id is the caller's. */
enum mlt_status sim_book_set(struct sim_book *book, bool bid, int64_t price_e8, int64_t quantity_e8,
                             int64_t *old) MLT_MUST_CHECK;

/* Level by rank, 0 the best; NULL beyond the end. Valid until the next change. */
const struct sim_level *sim_book_level(const struct sim_book *book, bool bid, size_t rank);

/* Body of GET /api/v3/depth: replaces the whole book. E_PARSE, E_MISSING, E_RANGE, ... */
enum mlt_status sim_book_load(struct sim_book *book, struct mlt_slice json) MLT_MUST_CHECK;

/* Payload of a depthUpdate: applies every level and takes its u, whatever the book's id is. */
enum mlt_status sim_book_apply(struct sim_book *book, struct mlt_slice json) MLT_MUST_CHECK;

/* First and last update id of a depthUpdate. */
enum mlt_status sim_book_ids(struct mlt_slice json, int64_t *first, int64_t *last) MLT_MUST_CHECK;

/* Appends {"lastUpdateId":…,"bids":[…],"asks":[…] and `extra` before the closing brace. */
enum mlt_status sim_book_write(const struct sim_book *book, size_t limit, const char *extra,
                               struct mlt_buf *out) MLT_MUST_CHECK;

#endif
