/*
 * A book that is slow and plainly right: unsorted levels, nothing dropped, one change at a time.
 * What the order book is compared with. Small prices only.
 */
#ifndef MELTICA_TESTS_NAIVE_BOOK_H
#define MELTICA_TESTS_NAIVE_BOOK_H

#include <string.h>

#include "book.h"

#define NAIVE_PRICES 512 /* prices 0..511; quantity 0: no level */

struct naive_side {
    int64_t quantities[NAIVE_PRICES];
    bool nothing, whole; /* vouched for */
    int64_t bound;       /* otherwise: the worst price that is */
};

struct naive_book {
    struct naive_side sides[2];
    int64_t last;
    uint64_t changes, unknown;
};

static inline void naive_clear(struct naive_book *naive)
{
    memset(naive, 0, sizeof *naive);
    naive->sides[0].nothing = naive->sides[1].nothing = true;
}

static inline void naive_apply_side(struct naive_book *naive, int side,
                                    const struct mlt_levels *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        int64_t *held = &naive->sides[side].quantities[changes->prices[i]];
        naive->changes++;
        if (changes->quantities[i] == 0 && *held == 0) {
            naive->unknown++;
        }
        *held = changes->quantities[i];
    }
}

static inline void naive_apply(struct naive_book *naive, const struct mlt_levels *bids,
                               const struct mlt_levels *asks, int64_t last)
{
    naive_apply_side(naive, 0, bids);
    naive_apply_side(naive, 1, asks);
    naive->last = last;
}

static inline bool naive_vouched(const struct naive_side *s, int side, int64_t price)
{
    return !s->nothing && (s->whole || (side == 0 ? price >= s->bound : price <= s->bound));
}

/* Levels of the snapshot replace all that it vouches for; what it does not stays only if asked. */
static inline void naive_take(struct naive_book *naive, const struct mlt_book_snapshot *snapshot,
                              bool keep)
{
    const struct mlt_levels *levels[2] = { &snapshot->bids, &snapshot->asks };
    for (int side = 0; side < 2; side++) {
        struct naive_side fresh = { .nothing = levels[side]->count == 0 };
        struct naive_side *old = &naive->sides[side];
        if (levels[side]->count < snapshot->requested_depth) {
            fresh.whole = true;
            fresh.nothing = false;
        } else if (levels[side]->count > 0) {
            fresh.bound = levels[side]->prices[levels[side]->count - 1];
        }
        for (int64_t price = 0; keep && price < NAIVE_PRICES; price++) {
            if (!naive_vouched(&fresh, side, price)) {
                fresh.quantities[price] = old->quantities[price];
            }
        }
        for (size_t i = 0; i < levels[side]->count; i++) {
            fresh.quantities[levels[side]->prices[i]] = levels[side]->quantities[i];
        }
        if (keep && !old->nothing && !fresh.whole &&
            (fresh.nothing || old->whole ||
             (side == 0 ? old->bound < fresh.bound : old->bound > fresh.bound))) {
            fresh.nothing = false;
            fresh.whole = old->whole;
            fresh.bound = old->bound;
        }
        *old = fresh;
    }
    naive->last = snapshot->last_update_id;
}

static inline void naive_seed(struct naive_book *naive, const struct mlt_book_snapshot *snapshot)
{
    naive_take(naive, snapshot, false);
}

static inline void naive_merge(struct naive_book *naive, const struct mlt_book_snapshot *snapshot)
{
    naive_take(naive, snapshot, snapshot->last_update_id <= naive->last);
}

static inline size_t naive_held(const struct naive_book *naive, int side)
{
    size_t count = 0;
    for (int64_t price = 0; price < NAIVE_PRICES; price++) {
        count += naive->sides[side].quantities[price] != 0;
    }
    return count;
}

/* Best first, inside the window. */
static inline size_t naive_top(const struct naive_book *naive, int side, size_t max,
                               int64_t *prices, int64_t *quantities)
{
    const struct naive_side *s = &naive->sides[side];
    size_t count = 0;
    for (int64_t i = 0; i < NAIVE_PRICES && count < max; i++) {
        const int64_t price = side == 0 ? NAIVE_PRICES - 1 - i : i;
        if (s->quantities[price] != 0 && naive_vouched(s, side, price)) {
            prices[count] = price;
            quantities[count++] = s->quantities[price];
        }
    }
    return count;
}

/* NULL, or what differs. exact: nothing was pruned, so all must be equal; else what the book shows
 * must be how the naive one's begins. */
static inline const char *naive_differs(const struct naive_book *naive,
                                        const struct mlt_orderbook *book, bool exact)
{
    int64_t prices[2][NAIVE_PRICES], quantities[2][NAIVE_PRICES];
    struct mlt_levels views[2];
    for (int side = 0; side < 2; side++) {
        const enum mlt_orderbook_side s = (enum mlt_orderbook_side)side;
        const size_t shown = mlt_orderbook_depth(book, s);
        const size_t expected =
            naive_top(naive, side, NAIVE_PRICES, prices[side], quantities[side]);
        if (shown > expected || (exact && shown != expected)) {
            return "depth";
        }
        if (exact && mlt_orderbook_held(book, s) != naive_held(naive, side)) {
            return "held";
        }
        for (size_t i = 0; i < shown; i++) {
            int64_t price = 0, quantity = 0;
            if (!mlt_orderbook_level(book, s, i, &price, &quantity) || price != prices[side][i] ||
                quantity != quantities[side][i]) {
                return "level";
            }
        }
        int64_t bound = 0;
        const struct naive_side *n = &naive->sides[side];
        if (exact && (mlt_orderbook_bound(book, s, &bound) == n->whole ||
                      (!n->whole && !n->nothing && bound != n->bound))) {
            return "bound";
        }
        views[side] = (struct mlt_levels){ 0, 0, shown, prices[side], quantities[side] };
    }
    if (mlt_orderbook_digest(book) != mlt_book_digest(&views[0], &views[1])) {
        return "digest";
    }
    struct mlt_orderbook_counts counts;
    mlt_orderbook_counts(book, &counts);
    if (counts.changes != naive->changes ||
        counts.changes !=
            counts.inserted + counts.replaced + counts.deleted + counts.unknown_deletes ||
        (exact && counts.unknown_deletes != naive->unknown)) {
        return "counts";
    }
    return mlt_orderbook_last(book) != naive->last ? "last" : NULL;
}

#endif
