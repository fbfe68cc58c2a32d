/*
 * The order book that a consumer keeps: written from docs/wire-format.md and docs/late-join.md
 * alone, so that what it finds says something about the Conductor's. Price levels inside the known
 * window; a change outside of it is not known to be complete and is dropped. Pure; one thread at a
 * time.
 */
#ifndef MELTICA_TOOL_OWN_BOOK_H
#define MELTICA_TOOL_OWN_BOOK_H

#include "meltica/event/record.h"

#define MLT_OWN_BOOK_LEVELS_MAX 16384u /* a side; beyond it the worst go and the window shrinks */
#define MLT_OWN_BOOK_DIGEST_LEVELS 20u
#define MLT_OWN_BOOK_DIGEST_VERSION 1u

struct mlt_own_level {
    int64_t rank, quantity; /* rank: price of a bid, minus price of an ask; greater is better */
};

struct mlt_own_side {
    struct mlt_own_level *levels; /* worst first */
    size_t count, capacity;
    bool whole, nothing; /* no other levels exist; none is known */
    int64_t bound;       /* worst rank that is known, unless one of them */
};

struct mlt_own_book {
    struct mlt_own_side sides[2]; /* bids, asks */
    int32_t price_exponent, quantity_exponent;
    int64_t last; /* update id */
};

/* {0} is an empty book. */
void mlt_own_book_fini(struct mlt_own_book *book);

/* Replace everything. E_NOMEM (the book is then of no use); E_PROTOCOL: a side not strictly best
 * first, or of two exponents; the book is unchanged. */
enum mlt_status mlt_own_book_checkpoint(struct mlt_own_book *book,
                                        const struct mlt_book_checkpoint *from) MLT_MUST_CHECK;
enum mlt_status mlt_own_book_seed(struct mlt_own_book *book,
                                  const struct mlt_book_snapshot *from) MLT_MUST_CHECK;
/* Takes a snapshot that is not newer than the book: what it vouches for is replaced, the rest stays
 * when the book knew it. The id becomes the snapshot's: the deltas since are to be applied again.
 */
enum mlt_status mlt_own_book_merge(struct mlt_own_book *book,
                                   const struct mlt_book_snapshot *from) MLT_MUST_CHECK;
/* E_PROTOCOL: other exponents than the book's; E_NOMEM. */
enum mlt_status mlt_own_book_apply(struct mlt_own_book *book, const struct mlt_levels *bids,
                                   const struct mlt_levels *asks, int64_t last) MLT_MUST_CHECK;

/* The i-th best level from 0; false when there is none. side: 0 bids, 1 asks. */
bool mlt_own_book_level(const struct mlt_own_book *book, int side, size_t i, int64_t *price,
                        int64_t *quantity);
uint32_t mlt_own_book_digest(const struct mlt_own_book *book);
bool mlt_own_book_crossed(const struct mlt_own_book *book);

#endif
