/*
 * One instrument's order book: price levels as integers in flat sorted arrays. Applies what it is
 * given and knows which of it may be shown; whether a delta may be applied is sync.h's decision.
 * Pure; after creation nothing allocates. One thread at a time.
 *
 * The window. A snapshot vouches for a side down to its lowest bid, or up to its highest ask; a
 * side with fewer levels than were asked for is whole, and vouched for without end. Inside the
 * window every level is known, outside only those that changed since. Those outside are kept, so
 * that a later change finds them, but never shown, digested or used (RULINGS 12).
 */
#ifndef MELTICA_CONDUCTOR_BOOK_H
#define MELTICA_CONDUCTOR_BOOK_H

#include "meltica/event/event.h"

#define MLT_ORDERBOOK_LEVELS_MIN 64u
#define MLT_ORDERBOOK_LEVELS_MAX 16384u
/* Twice what the largest seed in use gives a side: 64 KiB an instrument. */
#define MLT_ORDERBOOK_LEVELS_DEFAULT 2048u
#define MLT_ORDERBOOK_DIGEST_LEVELS 20u
#define MLT_ORDERBOOK_DIGEST_VERSION 1u

enum mlt_orderbook_side { MLT_ORDERBOOK_BIDS, MLT_ORDERBOOK_ASKS };

struct mlt_orderbook_options {
    /* Kept a side; beyond it the worst go, and the window shrinks where they were inside. */
    uint32_t levels_max;
    /* What INSTRUMENT announced; snapshots and deltas at others are refused. */
    int32_t price_exponent, quantity_exponent;
};

struct mlt_orderbook_counts {
    uint64_t changes; /* level changes applied, those without effect included */
    uint64_t inserted, replaced, deleted;
    uint64_t unknown_deletes; /* of a level that is not held: normal outside the window */
    uint64_t pruned;          /* levels dropped because a side was full */
};

struct mlt_orderbook;

/* An empty book that knows nothing. E_INVALID (levels_max outside MIN..MAX), E_NOMEM. */
enum mlt_status mlt_orderbook_create(const struct mlt_orderbook_options *options,
                                     struct mlt_orderbook **out) MLT_MUST_CHECK;
void mlt_orderbook_destroy(struct mlt_orderbook *book); /* NULL is fine */

/* Back to knowing nothing: last id 0, no levels, nothing inside the window. Counts stay. */
void mlt_orderbook_clear(struct mlt_orderbook *book);

/* Replaces everything by the snapshot; requested_depth 0 means that it is not known. E_PROTOCOL:
 * other exponents, a negative number, no quantity, a side not strictly best first, or crossed; the
 * book is then unchanged. */
enum mlt_status mlt_orderbook_seed(struct mlt_orderbook *book,
                                   const struct mlt_book_snapshot *snapshot) MLT_MUST_CHECK;

/* Replaces everything by a book that another one had: these levels, all inside its window, and no
 * others on a side that is whole. Errors as seed. */
enum mlt_status mlt_orderbook_restore(struct mlt_orderbook *book, const struct mlt_levels *bids,
                                      const struct mlt_levels *asks, bool bids_whole,
                                      bool asks_whole, int64_t last) MLT_MUST_CHECK;

/*
 * Takes a deeper or newer snapshot into a book that has missed nothing. Within the snapshot's
 * window its levels replace the book's. Beyond it, a snapshot that is not newer than the book
 * leaves levels and window as they were; a newer one drops them, since they lack what changed
 * meanwhile. The last id becomes the snapshot's: when it was older, the caller applies the deltas
 * since, all of them, before anything is read. Errors as seed.
 */
enum mlt_status mlt_orderbook_merge(struct mlt_orderbook *book,
                                    const struct mlt_book_snapshot *snapshot) MLT_MUST_CHECK;

/* Applies one delta: quantity 0 deletes, else inserts or replaces; of several changes of one price
 * the last counts. Fast when prices come best first, right in any order. last becomes the last id.
 * E_PROTOCOL: other exponents or a negative number; the book is then unchanged. */
enum mlt_status mlt_orderbook_apply(struct mlt_orderbook *book, const struct mlt_levels *bids,
                                    const struct mlt_levels *asks, int64_t last) MLT_MUST_CHECK;

/* What apply would not refuse. */
bool mlt_orderbook_fits(const struct mlt_orderbook *book, const struct mlt_levels *bids,
                        const struct mlt_levels *asks);

int64_t mlt_orderbook_last(const struct mlt_orderbook *book);

/* Levels held, and those inside the window: what may be shown. */
size_t mlt_orderbook_held(const struct mlt_orderbook *book, enum mlt_orderbook_side side);
size_t mlt_orderbook_depth(const struct mlt_orderbook *book, enum mlt_orderbook_side side);
/* True when both sides have at least `levels` inside the window, or all there are. O(1). */
bool mlt_orderbook_covers(const struct mlt_orderbook *book, size_t levels);
/* Ends each side's window at the last level inside, unless the side is whole: the window that who
 * is told these levels, and no more, has as well. */
void mlt_orderbook_tighten(struct mlt_orderbook *book);
/* The worst price that is vouched for; false when the side is whole, and *price unchanged. An empty
 * window is the best price that does not exist (INT64_MAX for bids, INT64_MIN for asks). */
bool mlt_orderbook_bound(const struct mlt_orderbook *book, enum mlt_orderbook_side side,
                         int64_t *price);

/* The i-th best level inside the window, from 0; false when there is none. O(1): the best is 0. */
bool mlt_orderbook_level(const struct mlt_orderbook *book, enum mlt_orderbook_side side, size_t i,
                         int64_t *price, int64_t *quantity);

/* As level, but over all levels held: what is outside the window is not known to be complete. For
 * audits against another source; never to be shown. */
bool mlt_orderbook_held_level(const struct mlt_orderbook *book, enum mlt_orderbook_side side,
                              size_t i, int64_t *price, int64_t *quantity);

/* True when the best bid held is not below the best ask held: something was missed. */
bool mlt_orderbook_crossed(const struct mlt_orderbook *book);

/* Up to max levels inside the window, best first, into the caller's columns (max each). *view
 * points at them and carries the exponents. Returns view->count. */
size_t mlt_orderbook_top(const struct mlt_orderbook *book, enum mlt_orderbook_side side, size_t max,
                         int64_t *prices, int64_t *quantities, struct mlt_levels *view);

/* Digest v1 over min(20, levels inside the window) a side (docs/wire-format.md). */
uint32_t mlt_orderbook_digest(const struct mlt_orderbook *book);

void mlt_orderbook_counts(const struct mlt_orderbook *book, struct mlt_orderbook_counts *out);

#endif
