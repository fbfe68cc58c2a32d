#include "own_book.h"

#include <stdlib.h>
#include <string.h>

void mlt_own_book_fini(struct mlt_own_book *book)
{
    free(book->sides[0].levels);
    free(book->sides[1].levels);
    *book = (struct mlt_own_book){ 0 };
}

static int64_t rank_of(int side, int64_t price)
{
    return side == 0 ? price : -price;
}

static bool known(const struct mlt_own_side *s, int64_t rank)
{
    return !s->nothing && (s->whole || rank >= s->bound);
}

/* First index whose rank is not below rank. */
static size_t find(const struct mlt_own_side *s, int64_t rank)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (s->levels[middle].rank < rank) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static enum mlt_status reserve(struct mlt_own_side *s, size_t count)
{
    if (count <= s->capacity) {
        return MLT_OK;
    }
    size_t capacity = s->capacity > 0 ? s->capacity : 64;
    while (capacity < count) {
        capacity *= 2;
    }
    struct mlt_own_level *levels = realloc(s->levels, capacity * sizeof *levels);
    if (levels == NULL) {
        return MLT_E_NOMEM;
    }
    s->levels = levels;
    s->capacity = capacity;
    return MLT_OK;
}

static void remove_at(struct mlt_own_side *s, size_t at, size_t n)
{
    s->count -= n;
    memmove(s->levels + at, s->levels + at + n, (s->count - at) * sizeof s->levels[0]);
}

static enum mlt_status change(struct mlt_own_side *s, int64_t rank, int64_t quantity)
{
    if (!known(s, rank)) {
        return MLT_OK;
    }
    const size_t at = find(s, rank);
    const bool held = at < s->count && s->levels[at].rank == rank;
    if (held && quantity == 0) {
        remove_at(s, at, 1);
    } else if (held) {
        s->levels[at].quantity = quantity;
    } else if (quantity != 0) {
        const enum mlt_status status = reserve(s, s->count + 1);
        if (status != MLT_OK) {
            return status;
        }
        memmove(s->levels + at + 1, s->levels + at, (s->count - at) * sizeof s->levels[0]);
        s->levels[at] = (struct mlt_own_level){ rank, quantity };
        s->count++;
        if (s->count > MLT_OWN_BOOK_LEVELS_MAX) {
            s->bound = s->levels[0].rank + 1;
            s->whole = false;
            remove_at(s, 0, 1);
        }
    }
    return MLT_OK;
}

static bool usable(int side, const struct mlt_levels *levels)
{
    for (size_t i = 0; i < levels->count; i++) {
        if (levels->quantities[i] <= 0 || levels->prices[i] < 0 ||
            (i > 0 && rank_of(side, levels->prices[i]) >= rank_of(side, levels->prices[i - 1]))) {
            return false;
        }
    }
    return true;
}

/* The exponents of what is to replace the book; false: its sides have different ones. */
static bool exponents_of(const struct mlt_levels *bids, const struct mlt_levels *asks,
                         struct mlt_own_book *book)
{
    const struct mlt_levels *any = bids->count > 0 ? bids : asks;
    if (bids->count > 0 && asks->count > 0 &&
        (bids->price_exponent != asks->price_exponent ||
         bids->quantity_exponent != asks->quantity_exponent)) {
        return false;
    }
    if (any->count > 0) {
        book->price_exponent = any->price_exponent;
        book->quantity_exponent = any->quantity_exponent;
    }
    return true;
}

/* levels above the `keep` worst ones that are held. */
static enum mlt_status put_above(struct mlt_own_side *s, int side, const struct mlt_levels *levels,
                                 size_t keep)
{
    const enum mlt_status status = reserve(s, keep + levels->count);
    if (status != MLT_OK) {
        return status;
    }
    for (size_t i = 0; i < levels->count; i++) {
        s->levels[keep + levels->count - 1 - i] =
            (struct mlt_own_level){ rank_of(side, levels->prices[i]), levels->quantities[i] };
    }
    s->count = keep + levels->count;
    return MLT_OK;
}

static enum mlt_status replace(struct mlt_own_book *book, const struct mlt_levels *bids,
                               const struct mlt_levels *asks, const bool whole[2], int64_t last)
{
    const struct mlt_levels *levels[2] = { bids, asks };
    if (!usable(0, bids) || !usable(1, asks) || !exponents_of(bids, asks, book)) {
        return MLT_E_PROTOCOL;
    }
    for (int side = 0; side < 2; side++) {
        struct mlt_own_side *s = &book->sides[side];
        const enum mlt_status status = put_above(s, side, levels[side], 0);
        if (status != MLT_OK) {
            return status;
        }
        s->whole = whole[side];
        s->nothing = !whole[side] && s->count == 0;
        s->bound = s->count > 0 ? s->levels[0].rank : 0;
    }
    book->last = last;
    return MLT_OK;
}

enum mlt_status mlt_own_book_checkpoint(struct mlt_own_book *book,
                                        const struct mlt_book_checkpoint *from)
{
    const bool whole[2] = { from->bids_whole, from->asks_whole };
    return replace(book, &from->bids, &from->asks, whole, from->last_update_id);
}

enum mlt_status mlt_own_book_seed(struct mlt_own_book *book, const struct mlt_book_snapshot *from)
{
    const bool whole[2] = { from->bids.count < from->requested_depth,
                            from->asks.count < from->requested_depth };
    return replace(book, &from->bids, &from->asks, whole, from->last_update_id);
}

enum mlt_status mlt_own_book_merge(struct mlt_own_book *book, const struct mlt_book_snapshot *from)
{
    const struct mlt_levels *levels[2] = { &from->bids, &from->asks };
    if (!usable(0, levels[0]) || !usable(1, levels[1]) ||
        !exponents_of(levels[0], levels[1], book)) {
        return MLT_E_PROTOCOL;
    }
    for (int side = 0; side < 2; side++) {
        struct mlt_own_side *s = &book->sides[side];
        const size_t count = levels[side]->count;
        const bool whole = count < from->requested_depth;
        if (!whole && count == 0) {
            continue; /* it vouches for nothing */
        }
        const int64_t bound = whole ? 0 : rank_of(side, levels[side]->prices[count - 1]);
        const size_t keep = whole ? 0 : find(s, bound);
        const enum mlt_status status = put_above(s, side, levels[side], keep);
        if (status != MLT_OK) {
            return status;
        }
        s->bound = s->nothing || (!s->whole && bound < s->bound) ? bound : s->bound;
        s->whole = s->whole || whole;
        s->nothing = false;
    }
    book->last = from->last_update_id;
    return MLT_OK;
}

static bool fits(const struct mlt_own_book *book, const struct mlt_levels *levels)
{
    return levels->count == 0 || (levels->price_exponent == book->price_exponent &&
                                  levels->quantity_exponent == book->quantity_exponent);
}

/* No level, and no end of what is known, at whatever exponents. */
static bool blank(const struct mlt_own_book *book)
{
    bool is = true;
    for (int side = 0; side < 2; side++) {
        const struct mlt_own_side *s = &book->sides[side];
        is = is && s->count == 0 && (s->whole || s->nothing);
    }
    return is;
}

/* A change of a level has any order, and quantity 0 ends it. */
static bool changes_usable(const struct mlt_levels *levels)
{
    bool usable = true;
    for (size_t i = 0; i < levels->count; i++) {
        usable = usable && levels->prices[i] >= 0 && levels->quantities[i] >= 0;
    }
    return usable;
}

enum mlt_status mlt_own_book_apply(struct mlt_own_book *book, const struct mlt_levels *bids,
                                   const struct mlt_levels *asks, int64_t last)
{
    const struct mlt_levels *levels[2] = { bids, asks };
    if ((blank(book) && !exponents_of(bids, asks, book)) || !fits(book, bids) ||
        !fits(book, asks) || !changes_usable(bids) || !changes_usable(asks)) {
        return MLT_E_PROTOCOL;
    }
    enum mlt_status status = MLT_OK;
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < levels[side]->count && status == MLT_OK; i++) {
            status = change(&book->sides[side], rank_of(side, levels[side]->prices[i]),
                            levels[side]->quantities[i]);
        }
    }
    book->last = last;
    return status;
}

bool mlt_own_book_level(const struct mlt_own_book *book, int side, size_t i, int64_t *price,
                        int64_t *quantity)
{
    const struct mlt_own_side *s = &book->sides[side];
    if (i >= s->count) {
        return false;
    }
    const struct mlt_own_level *level = &s->levels[s->count - 1 - i];
    *price = rank_of(side, level->rank);
    *quantity = level->quantity;
    return true;
}

uint32_t mlt_own_book_digest(const struct mlt_own_book *book)
{
    int64_t prices[2][MLT_OWN_BOOK_DIGEST_LEVELS], quantities[2][MLT_OWN_BOOK_DIGEST_LEVELS];
    struct mlt_levels views[2];
    for (int side = 0; side < 2; side++) {
        size_t n = 0;
        while (n < MLT_OWN_BOOK_DIGEST_LEVELS &&
               mlt_own_book_level(book, side, n, &prices[side][n], &quantities[side][n])) {
            n++;
        }
        views[side] = (struct mlt_levels){ 0, 0, n, prices[side], quantities[side] };
    }
    return mlt_book_digest(&views[0], &views[1]);
}

bool mlt_own_book_crossed(const struct mlt_own_book *book)
{
    int64_t bid = 0, ask = 0, quantity = 0;
    return mlt_own_book_level(book, 0, 0, &bid, &quantity) &&
           mlt_own_book_level(book, 1, 0, &ask, &quantity) && bid >= ask;
}
