/*
 * Layout: a side is an array of (key, quantity), worst first, so that what changes most, the best,
 * is at the end where moving is cheap. key is the price for bids and minus the price for asks: a
 * greater key is a better level on both sides, and there is one code for both.
 *
 * A delta is applied in batches of changes in price order. A first pass finds each place, searching
 * on from the place before; it replaces at once and notes inserts and deletes. A second pass moves
 * what lies between two noted places once, by the difference of inserts and deletes below it: most
 * such pieces are short, and a delete beside an insert moves nothing beyond them.
 */
#include "book.h"

#include <stdlib.h>
#include <string.h>

#define BATCH 64u
#define KEY_NONE INT64_MAX  /* bound of a side of which nothing is vouched for */
#define KEY_WHOLE INT64_MIN /* bound of a side that is whole */

struct level {
    int64_t key, quantity;
};

struct edit {
    uint32_t at;   /* index before which to insert, or of what to delete */
    int32_t shift; /* of what lies above it, up to the edit before */
    bool insert;
    struct level level; /* when insert */
};

struct side {
    struct level *levels; /* levels_max + BATCH of them */
    uint32_t count;
    int64_t bound; /* worst key inside the window */
};

struct mlt_orderbook {
    struct mlt_orderbook_options options;
    struct side sides[2];
    int64_t last;
    struct mlt_orderbook_counts counts;
    struct level storage[];
};

/* 0 for bids, -1 for asks: (x ^ m) - m is then x or -x, both ways. */
static int64_t mask_of(enum mlt_orderbook_side side)
{
    return -(int64_t)side;
}

static int64_t flip(int64_t value, int64_t mask)
{
    return (value ^ mask) - mask;
}

enum mlt_status mlt_orderbook_create(const struct mlt_orderbook_options *options,
                                     struct mlt_orderbook **out)
{
    if (options->levels_max < MLT_ORDERBOOK_LEVELS_MIN ||
        options->levels_max > MLT_ORDERBOOK_LEVELS_MAX) {
        return MLT_E_INVALID;
    }
    const size_t room = (size_t)options->levels_max + BATCH;
    struct mlt_orderbook *book = malloc(sizeof *book + 2 * room * sizeof(struct level));
    if (book == NULL) {
        return MLT_E_NOMEM;
    }
    *book = (struct mlt_orderbook){ .options = *options };
    book->sides[MLT_ORDERBOOK_BIDS].levels = book->storage;
    book->sides[MLT_ORDERBOOK_ASKS].levels = book->storage + room;
    mlt_orderbook_clear(book);
    *out = book;
    return MLT_OK;
}

void mlt_orderbook_destroy(struct mlt_orderbook *book)
{
    free(book);
}

void mlt_orderbook_clear(struct mlt_orderbook *book)
{
    book->last = 0;
    for (int i = 0; i < 2; i++) {
        book->sides[i].count = 0;
        book->sides[i].bound = KEY_NONE;
    }
}

/* ---- changes ---- */

/* Drops the `drop` worst levels; nothing at or below the best of them is vouched for any more. */
static void prune(struct mlt_orderbook *book, struct side *side, uint32_t drop)
{
    if (drop == 0) {
        return;
    }
    const int64_t best_dropped = side->levels[drop - 1].key;
    if (side->bound <= best_dropped) {
        side->bound = best_dropped + 1;
    }
    side->count -= drop;
    memmove(side->levels, side->levels + drop, side->count * sizeof side->levels[0]);
    book->counts.pruned += drop;
}

/* Lowest index below `top` whose key is not below key, or top; gallops down from top. */
static uint32_t find_below(const struct level *levels, uint32_t top, int64_t key)
{
    uint32_t high = top, step = 1;
    while (step <= high && levels[high - step].key >= key) {
        high -= step;
        step *= 2;
    }
    /* The answer is in (high - step, high]. */
    uint32_t low = step <= high ? high - step + 1 : 0;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (levels[middle].key >= key) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return high;
}

static void move_levels(struct level *levels, uint32_t from, uint32_t to, int32_t shift)
{
    memmove(levels + ((int64_t)from + shift), levels + from,
            (size_t)(to - from) * sizeof levels[0]);
}

/* Edits are best first, so by falling index. What moves down goes from the worst end on, what moves
 * up from the best end on: nothing is then written over before it was moved. */
static void carry_out(struct side *side, struct edit *edits, uint32_t count)
{
    struct level *levels = side->levels;
    int32_t shift = 0;
    for (uint32_t i = count; i-- > 0;) {
        struct edit *e = &edits[i];
        shift += e->insert ? 1 : -1;
        e->shift = shift;
        if (shift < 0) {
            move_levels(levels, e->insert ? e->at : e->at + 1,
                        i > 0 ? edits[i - 1].at : side->count, shift);
        }
    }
    uint32_t top = side->count;
    for (uint32_t i = 0; i < count; i++) {
        const struct edit *e = &edits[i];
        if (e->shift > 0) {
            move_levels(levels, e->insert ? e->at : e->at + 1, top, e->shift);
        }
        if (e->insert) {
            levels[(int64_t)e->at + e->shift - 1] = e->level;
        }
        top = e->at;
    }
    side->count = (uint32_t)((int64_t)side->count + shift);
}

/* One batch: the changes from `from` on that come in falling order of key. Returns the first one
 * that is left. */
static size_t apply_batch(struct mlt_orderbook *book, struct side *side, int64_t mask,
                          const struct mlt_levels *changes, size_t from)
{
    struct edit edits[BATCH];
    uint32_t edit_count = 0, inserts = 0, unknown = 0;
    uint32_t top = side->count;
    int64_t previous = 0;
    size_t i = from;
    for (; i < changes->count && edit_count < BATCH; i++) {
        const int64_t key = flip(changes->prices[i], mask), quantity = changes->quantities[i];
        if (i > from && key >= previous) {
            break;
        }
        previous = key;
        const uint32_t at = find_below(side->levels, top, key);
        const bool held = at < top && side->levels[at].key == key;
        top = at;
        if (held && quantity != 0) {
            side->levels[at].quantity = quantity;
        } else if (held || quantity != 0) {
            edits[edit_count++] =
                (struct edit){ .at = at, .insert = !held, .level = { key, quantity } };
            inserts += !held;
        } else {
            unknown++;
        }
    }
    if (edit_count > 0) {
        carry_out(side, edits, edit_count);
    }
    book->counts.changes += i - from;
    book->counts.inserted += inserts;
    book->counts.deleted += edit_count - inserts;
    book->counts.unknown_deletes += unknown;
    book->counts.replaced += i - from - edit_count - unknown;
    if (side->count > book->options.levels_max) {
        /* A few more than needed, so that the next batches need not do it again. */
        prune(book, side, side->count - book->options.levels_max + book->options.levels_max / 16);
    }
    return i;
}

static bool fits(const struct mlt_orderbook *book, const struct mlt_levels *levels)
{
    if (levels->count > 0 && (levels->price_exponent != book->options.price_exponent ||
                              levels->quantity_exponent != book->options.quantity_exponent)) {
        return false;
    }
    int64_t signs = 0;
    for (size_t i = 0; i < levels->count; i++) {
        signs |= levels->prices[i] | levels->quantities[i];
    }
    return signs >= 0;
}

bool mlt_orderbook_fits(const struct mlt_orderbook *book, const struct mlt_levels *bids,
                        const struct mlt_levels *asks)
{
    return fits(book, bids) && fits(book, asks);
}

enum mlt_status mlt_orderbook_apply(struct mlt_orderbook *book, const struct mlt_levels *bids,
                                    const struct mlt_levels *asks, int64_t last)
{
    if (!mlt_orderbook_fits(book, bids, asks)) {
        return MLT_E_PROTOCOL;
    }
    for (size_t i = 0; i < bids->count;) {
        i = apply_batch(book, &book->sides[MLT_ORDERBOOK_BIDS], mask_of(MLT_ORDERBOOK_BIDS), bids,
                        i);
    }
    for (size_t i = 0; i < asks->count;) {
        i = apply_batch(book, &book->sides[MLT_ORDERBOOK_ASKS], mask_of(MLT_ORDERBOOK_ASKS), asks,
                        i);
    }
    book->last = last;
    return MLT_OK;
}

/* ---- snapshots ---- */

static bool side_usable(const struct mlt_orderbook *book, const struct mlt_levels *levels,
                        int64_t mask)
{
    if (!fits(book, levels)) {
        return false;
    }
    for (size_t i = 0; i < levels->count; i++) {
        if (levels->quantities[i] == 0 ||
            (i > 0 && flip(levels->prices[i], mask) >= flip(levels->prices[i - 1], mask))) {
            return false;
        }
    }
    return true;
}

static bool snapshot_usable(const struct mlt_orderbook *book,
                            const struct mlt_book_snapshot *snapshot)
{
    const struct mlt_levels *bids = &snapshot->bids, *asks = &snapshot->asks;
    return side_usable(book, bids, mask_of(MLT_ORDERBOOK_BIDS)) &&
           side_usable(book, asks, mask_of(MLT_ORDERBOOK_ASKS)) &&
           (bids->count == 0 || asks->count == 0 || bids->prices[0] < asks->prices[0]);
}

/* The worst key that a snapshot's side vouches for. */
static int64_t snapshot_bound(const struct mlt_levels *levels, uint32_t requested, int64_t mask)
{
    if (levels->count < requested) {
        return KEY_WHOLE;
    }
    return levels->count > 0 ? flip(levels->prices[levels->count - 1], mask) : KEY_NONE;
}

/* Puts the snapshot's levels above the `keep` worst ones that are held already. */
static void take_side(struct mlt_orderbook *book, struct side *side,
                      const struct mlt_levels *levels, int64_t mask, uint32_t keep)
{
    const uint32_t max = book->options.levels_max;
    const uint32_t count = levels->count < max ? (uint32_t)levels->count : max;
    side->count = keep;
    if (count < levels->count) {
        book->counts.pruned += levels->count - count;
        side->bound = flip(levels->prices[count - 1], mask);
    }
    if (keep > max - count) {
        prune(book, side, keep - (max - count));
    }
    for (uint32_t i = 0; i < count; i++) {
        side->levels[side->count + count - 1 - i] =
            (struct level){ flip(levels->prices[i], mask), levels->quantities[i] };
    }
    side->count += count;
}

/* requested: by side, as in snapshot_bound. */
static enum mlt_status replace_all(struct mlt_orderbook *book,
                                   const struct mlt_book_snapshot *snapshot,
                                   const uint32_t requested[2])
{
    if (!snapshot_usable(book, snapshot)) {
        return MLT_E_PROTOCOL;
    }
    const struct mlt_levels *levels[2] = { &snapshot->bids, &snapshot->asks };
    for (int i = 0; i < 2; i++) {
        const int64_t mask = mask_of((enum mlt_orderbook_side)i);
        book->sides[i].bound = snapshot_bound(levels[i], requested[i], mask);
        take_side(book, &book->sides[i], levels[i], mask, 0);
    }
    book->last = snapshot->last_update_id;
    return MLT_OK;
}

enum mlt_status mlt_orderbook_seed(struct mlt_orderbook *book,
                                   const struct mlt_book_snapshot *snapshot)
{
    const uint32_t requested[2] = { snapshot->requested_depth, snapshot->requested_depth };
    return replace_all(book, snapshot, requested);
}

enum mlt_status mlt_orderbook_restore(struct mlt_orderbook *book, const struct mlt_levels *bids,
                                      const struct mlt_levels *asks, bool bids_whole,
                                      bool asks_whole, int64_t last)
{
    const struct mlt_book_snapshot snapshot = { .last_update_id = last,
                                                .bids = *bids,
                                                .asks = *asks };
    const uint32_t requested[2] = { bids_whole ? UINT32_MAX : 0, asks_whole ? UINT32_MAX : 0 };
    return replace_all(book, &snapshot, requested);
}

enum mlt_status mlt_orderbook_merge(struct mlt_orderbook *book,
                                    const struct mlt_book_snapshot *snapshot)
{
    if (snapshot->last_update_id > book->last) {
        return mlt_orderbook_seed(book, snapshot);
    }
    if (!snapshot_usable(book, snapshot)) {
        return MLT_E_PROTOCOL;
    }
    const struct mlt_levels *levels[2] = { &snapshot->bids, &snapshot->asks };
    for (int i = 0; i < 2; i++) {
        struct side *side = &book->sides[i];
        const int64_t mask = mask_of((enum mlt_orderbook_side)i);
        const int64_t bound = snapshot_bound(levels[i], snapshot->requested_depth, mask);
        const uint32_t keep = find_below(side->levels, side->count, bound);
        side->bound = side->bound < bound ? side->bound : bound;
        take_side(book, side, levels[i], mask, keep);
    }
    book->last = snapshot->last_update_id;
    return MLT_OK;
}

/* ---- reading ---- */

int64_t mlt_orderbook_last(const struct mlt_orderbook *book)
{
    return book->last;
}

size_t mlt_orderbook_held(const struct mlt_orderbook *book, enum mlt_orderbook_side side)
{
    return book->sides[side].count;
}

size_t mlt_orderbook_depth(const struct mlt_orderbook *book, enum mlt_orderbook_side side)
{
    const struct side *s = &book->sides[side];
    uint32_t low = 0, high = s->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (s->levels[middle].key >= s->bound) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return s->count - high;
}

static bool inside(const struct side *side, size_t i)
{
    return i < side->count && side->levels[side->count - 1 - i].key >= side->bound;
}

bool mlt_orderbook_covers(const struct mlt_orderbook *book, size_t levels)
{
    for (int i = 0; i < 2; i++) {
        const struct side *side = &book->sides[i];
        if (levels > 0 && side->bound != KEY_WHOLE && !inside(side, levels - 1)) {
            return false;
        }
    }
    return true;
}

void mlt_orderbook_tighten(struct mlt_orderbook *book)
{
    for (int i = 0; i < 2; i++) {
        struct side *side = &book->sides[i];
        const size_t depth = mlt_orderbook_depth(book, (enum mlt_orderbook_side)i);
        if (side->bound != KEY_WHOLE) {
            side->bound = depth > 0 ? side->levels[side->count - depth].key : KEY_NONE;
        }
    }
}

bool mlt_orderbook_bound(const struct mlt_orderbook *book, enum mlt_orderbook_side side,
                         int64_t *price)
{
    const int64_t bound = book->sides[side].bound;
    if (bound == KEY_WHOLE) {
        return false;
    }
    if (bound == KEY_NONE) {
        *price = side == MLT_ORDERBOOK_BIDS ? INT64_MAX : INT64_MIN;
    } else {
        *price = flip(bound, mask_of(side));
    }
    return true;
}

bool mlt_orderbook_level(const struct mlt_orderbook *book, enum mlt_orderbook_side side, size_t i,
                         int64_t *price, int64_t *quantity)
{
    return inside(&book->sides[side], i) &&
           mlt_orderbook_held_level(book, side, i, price, quantity);
}

bool mlt_orderbook_held_level(const struct mlt_orderbook *book, enum mlt_orderbook_side side,
                              size_t i, int64_t *price, int64_t *quantity)
{
    const struct side *s = &book->sides[side];
    if (i >= s->count) {
        return false;
    }
    const struct level *level = &s->levels[s->count - 1 - i];
    *price = flip(level->key, mask_of(side));
    *quantity = level->quantity;
    return true;
}

bool mlt_orderbook_crossed(const struct mlt_orderbook *book)
{
    const struct side *bids = &book->sides[MLT_ORDERBOOK_BIDS];
    const struct side *asks = &book->sides[MLT_ORDERBOOK_ASKS];
    return bids->count > 0 && asks->count > 0 &&
           bids->levels[bids->count - 1].key >= -asks->levels[asks->count - 1].key;
}

size_t mlt_orderbook_top(const struct mlt_orderbook *book, enum mlt_orderbook_side side, size_t max,
                         int64_t *prices, int64_t *quantities, struct mlt_levels *view)
{
    const struct side *s = &book->sides[side];
    const int64_t mask = mask_of(side);
    size_t count = max < s->count ? max : s->count;
    if (count > 0 && !inside(s, count - 1)) {
        const size_t depth = mlt_orderbook_depth(book, side);
        count = count < depth ? count : depth;
    }
    const struct level *level = s->levels + s->count;
    for (size_t i = 0; i < count; i++) {
        level--;
        prices[i] = flip(level->key, mask);
        quantities[i] = level->quantity;
    }
    *view = (struct mlt_levels){ book->options.price_exponent, book->options.quantity_exponent,
                                 count, prices, quantities };
    return count;
}

uint32_t mlt_orderbook_digest(const struct mlt_orderbook *book)
{
    int64_t columns[4][MLT_ORDERBOOK_DIGEST_LEVELS];
    struct mlt_levels bids, asks;
    (void)mlt_orderbook_top(book, MLT_ORDERBOOK_BIDS, MLT_ORDERBOOK_DIGEST_LEVELS, columns[0],
                            columns[1], &bids);
    (void)mlt_orderbook_top(book, MLT_ORDERBOOK_ASKS, MLT_ORDERBOOK_DIGEST_LEVELS, columns[2],
                            columns[3], &asks);
    return mlt_book_digest(&bids, &asks);
}

void mlt_orderbook_counts(const struct mlt_orderbook *book, struct mlt_orderbook_counts *out)
{
    *out = book->counts;
}
