#include "held_book.h"

#include <stdlib.h>
#include <string.h>

void mlt_held_book_fini(struct mlt_held_book *held)
{
    mlt_own_book_fini(&held->book);
    free(held->columns);
    *held = (struct mlt_held_book){ 0 };
}

void mlt_held_book_clear(struct mlt_held_book *held)
{
    held->begun = false;
    held->ahead.last_update_id = 0;
}

/* A malformed snapshot ends it; only memory is the caller's matter. */
static enum mlt_status or_nothing(struct mlt_held_book *held, enum mlt_status status)
{
    if (status != MLT_OK) {
        mlt_held_book_clear(held);
    }
    return status == MLT_E_PROTOCOL ? MLT_OK : status;
}

/* Each side as if it were whole: what is told of it is held, wherever it is. */
static enum mlt_status begin(struct mlt_held_book *held, const struct mlt_book_snapshot *snapshot)
{
    struct mlt_book_snapshot whole = *snapshot;
    whole.requested_depth = UINT32_MAX;
    held->begun = true;
    held->ahead.last_update_id = 0;
    return or_nothing(held, mlt_own_book_seed(&held->book, &whole));
}

static enum mlt_status set_aside(struct mlt_held_book *held,
                                 const struct mlt_book_snapshot *snapshot)
{
    const size_t needed = 2 * (snapshot->bids.count + snapshot->asks.count);
    if (needed > held->capacity) {
        int64_t *columns = realloc(held->columns, needed * sizeof *columns);
        if (columns == NULL) {
            return MLT_E_NOMEM;
        }
        held->columns = columns;
        held->capacity = needed;
    }
    held->ahead = *snapshot;
    int64_t *to = held->columns;
    struct mlt_levels *sides[2] = { &held->ahead.bids, &held->ahead.asks };
    for (int side = 0; side < 2; side++) {
        struct mlt_levels *s = sides[side];
        if (s->count > 0) {
            memcpy(to, s->prices, s->count * sizeof *to);
            memcpy(to + s->count, s->quantities, s->count * sizeof *to);
        }
        s->prices = to;
        s->quantities = to + s->count;
        to += 2 * s->count;
    }
    return MLT_OK;
}

static enum mlt_status take_ahead(struct mlt_held_book *held)
{
    const enum mlt_status status = mlt_own_book_merge(&held->book, &held->ahead);
    held->ahead.last_update_id = 0;
    return or_nothing(held, status);
}

enum mlt_status mlt_held_book_snapshot(struct mlt_held_book *held,
                                       const struct mlt_book_snapshot *snapshot)
{
    if (!held->begun) {
        return begin(held, snapshot);
    }
    if (snapshot->last_update_id > held->book.last) {
        return set_aside(held, snapshot);
    }
    /* An older one would take back what came since. */
    return snapshot->last_update_id == held->book.last
               ? or_nothing(held, mlt_own_book_merge(&held->book, snapshot))
               : MLT_OK;
}

enum mlt_status mlt_held_book_delta(struct mlt_held_book *held, int64_t first, int64_t last,
                                    const struct mlt_book_delta *delta)
{
    if (!held->begun || last <= held->book.last) {
        return MLT_OK;
    }
    const int64_t ahead = held->ahead.last_update_id;
    enum mlt_status status = MLT_OK;
    if (first > held->book.last + 1) {
        if (ahead == 0 || first > ahead + 1) {
            mlt_held_book_clear(held);
            return MLT_OK;
        }
        status = begin(held, &held->ahead); /* what is missing, it covers */
    } else if (ahead > 0 && last > ahead) {
        status = take_ahead(held); /* quantities are absolute: applied once more, they stay */
    }
    if (status == MLT_OK && held->begun) {
        status =
            or_nothing(held, mlt_own_book_apply(&held->book, &delta->bids, &delta->asks, last));
    }
    if (status == MLT_OK && held->begun && held->ahead.last_update_id == last) {
        status = take_ahead(held);
    }
    return status;
}
