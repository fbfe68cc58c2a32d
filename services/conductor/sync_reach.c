/* Whether the deltas come to where a snapshot says that the exchange is: those that go on below it
 * say that it is no answer of now, and where none comes the stream is dead. And those that came and
 * could not be read. */
#include "sync_internal.h"

/* Whoever did not come to look for that long has not seen what came meanwhile either. */
#define AHEAD_GRACE_NS (500 * MLT_NS_PER_MS)
/* LIVE for so long: what is refused then has nothing to do with what was before. */
#define CALM_NS (5 * MLT_NS_PER_S)

void mlt_sync_reached(struct mlt_sync *sync)
{
    sync->beyond = 0;
    sync->behind = sync->late = false;
    mlt_backoff_reset(&sync->ahead);
}

/* A delta shows whether the book's id, or what is asked of the next snapshot, is of this stream,
 * which comes there in time. True: it did not. */
static bool overdue(struct mlt_sync *sync, int64_t last, bool moved)
{
    if (sync->beyond == 0 || !moved) {
        return false;
    }
    if (last >= sync->beyond) {
        mlt_sync_reached(sync);
        return false;
    }
    const int64_t now = mlt_sync_now_ns(sync);
    sync->behind = true;
    if (now < sync->beyond_until_ns) {
        return false;
    }
    if (!sync->late) {
        sync->late = true;
        sync->beyond_until_ns = now + AHEAD_GRACE_NS;
        return false;
    }
    return true;
}

/* It is no answer about this instrument as it is now. What is asked for in its place waits longer
 * each time: where deltas are that late, requests are no help. */
static void give_up_ahead(struct mlt_sync *sync, int64_t last)
{
    if (sync->continuous) {
        mlt_sync_tear(sync, MLT_SYNC_AHEAD, last, mlt_orderbook_last(sync->book));
        sync->retry_at_ns = mlt_sync_now_ns(sync) + mlt_backoff_next_ns(&sync->ahead);
    } else { /* what it was when its line ended says no more of prices than of ids */
        mlt_orderbook_clear(sync->book);
    }
    if (sync->buffer.count == 0) {
        sync->needed = last - 1;
    }
    sync->beyond = 0;
    sync->behind = sync->late = false;
}

void mlt_sync_came(struct mlt_sync *sync, int64_t last, bool moved)
{
    if (sync->owed > 0 && moved &&
        (last >= sync->owed || sync->reminded || mlt_sync_now_ns(sync) >= sync->owed_until_ns)) {
        sync->owed = 0; /* or they go on below it, and then it is the snapshot that is in doubt */
    }
    if (overdue(sync, last, moved)) {
        give_up_ahead(sync, last);
    }
}

/* ---- answers that wait for deltas ---- */

void mlt_sync_hold(struct mlt_sync *sync, int64_t id, uint32_t depth, bool asked, bool outdated)
{
    const int64_t now = mlt_sync_now_ns(sync);
    sync->held = (struct mlt_sync_held){ .id = id,
                                         .depth = depth,
                                         .quiet_ns = now + sync->options.ahead_wait_ns,
                                         .behind_ns = now + MLT_SYNC_AHEAD_NS,
                                         .asked = asked };
    sync->in_flight = true;
    sync->outdated = outdated;
}

void mlt_sync_end_wait(struct mlt_sync *sync)
{
    if (sync->held.id > 0) {
        sync->held = (struct mlt_sync_held){ .id = 0 };
        sync->in_flight = sync->outdated = false;
    }
}

void mlt_sync_forget_waiting(struct mlt_sync *sync)
{
    if (sync->held.id > 0) {
        sync->counts.failures++;
        mlt_sync_failed(sync);
    }
}

/* One came: the time without any begins anew. */
static void heard(struct mlt_sync_held *held, int64_t until_ns)
{
    held->quiet_ns = until_ns;
    held->quiet_late = false;
}

void mlt_sync_wait_on(struct mlt_sync *sync)
{
    const int64_t now = mlt_sync_now_ns(sync), then = now + AHEAD_GRACE_NS;
    if (sync->held.id > 0 && !sync->held.ripe) {
        heard(&sync->held, now + sync->options.ahead_wait_ns);
        sync->held.behind_ns = mlt_sync_later(sync->held.behind_ns, then);
    }
    if (sync->owed > 0) {
        sync->owed_until_ns = mlt_sync_later(sync->owed_until_ns, then);
    }
    if (sync->beyond > 0) {
        sync->beyond_until_ns = mlt_sync_later(sync->beyond_until_ns, then);
    }
}

/* What came while nobody looked is looked at first. */
static bool is_over(int64_t *until_ns, bool *late, int64_t now)
{
    if (now < *until_ns) {
        return false;
    }
    if (!*late) {
        *late = true;
        *until_ns = now + AHEAD_GRACE_NS;
        return false;
    }
    return true;
}

void mlt_sync_ripen(struct mlt_sync *sync, int64_t last)
{
    struct mlt_sync_held *held = &sync->held;
    if (held->id == 0 || held->ripe) {
        return;
    }
    if (last >= held->id) {
        held->ripe = true;
    } else if (is_over(&held->behind_ns, &held->behind_late, mlt_sync_now_ns(sync))) {
        held->ripe = held->unreached = true;
    } else {
        heard(held, mlt_sync_now_ns(sync) + sync->options.ahead_wait_ns);
    }
}

void mlt_sync_waits_no_longer(struct mlt_sync *sync, int64_t now)
{
    struct mlt_sync_held *held = &sync->held;
    if (held->id > 0 && !held->ripe) {
        held->ripe = is_over(&held->quiet_ns, &held->quiet_late, now);
    }
}

/* ---- changes that the stream owes ---- */

/* Of one side, as far as both are known: what is beyond either says nothing. */
static bool side_differs(const struct mlt_orderbook *book, enum mlt_orderbook_side side,
                         const struct mlt_levels *said, uint32_t asked)
{
    int64_t price, quantity;
    for (size_t i = 0; i < said->count; i++) {
        if (!mlt_orderbook_level(book, side, i, &price, &quantity)) {
            return !mlt_orderbook_bound(book, side, &price); /* the book says that it has no more */
        }
        if (price != said->prices[i] || quantity != said->quantities[i]) {
            return true;
        }
    }
    return said->count < asked && mlt_orderbook_level(book, side, said->count, &price, &quantity);
}

bool mlt_sync_differs(const struct mlt_sync *sync, const struct mlt_book_snapshot *snapshot)
{
    const uint32_t asked = snapshot->requested_depth;
    return side_differs(sync->book, MLT_ORDERBOOK_BIDS, &snapshot->bids, asked) ||
           side_differs(sync->book, MLT_ORDERBOOK_ASKS, &snapshot->asks, asked);
}

bool mlt_sync_owes(const struct mlt_sync *sync, const struct mlt_book_snapshot *snapshot)
{
    const int64_t id = snapshot->last_update_id;
    /* Of a restored book's nobody has listened all the while. */
    return sync->continuous && !sync->restored && sync->owed == 0 && id > sync->seen &&
           id > mlt_orderbook_last(sync->book) &&
           mlt_orderbook_fits(sync->book, &snapshot->bids, &snapshot->asks) &&
           mlt_sync_differs(sync, snapshot);
}

void mlt_sync_owe(struct mlt_sync *sync, int64_t id)
{
    sync->owed = id;
    sync->reminded = false;
    sync->owed_until_ns = mlt_sync_now_ns(sync) + MLT_SYNC_AHEAD_NS;
}

void mlt_sync_remind(struct mlt_sync *sync, int64_t now)
{
    if (sync->state != MLT_SYNC_LIVE || sync->owed == 0 || now < sync->owed_until_ns) {
        return;
    }
    if (!sync->reminded) {
        sync->reminded = true;
        sync->owed_until_ns = now + AHEAD_GRACE_NS;
        return;
    }
    const int64_t owed = sync->owed;
    sync->owed = 0;
    sync->mute = true;
    sync->mute_until_ns = INT64_MAX;
    mlt_sync_begin_anew(sync);
    mlt_sync_end_wait(sync);
    sync->in_flight = sync->outdated = false; /* no answer makes it LIVE */
    sync->stray_depth = 0;
    mlt_sync_go(sync, MLT_SYNC_STALE, MLT_SYNC_SILENT, sync->seen + 1, owed);
}

/* ---- deltas that could not be read ---- */

/* Each of them is a hole that the next delta would show, if there is one that can be read. Where
 * all cannot the book is LIVE for as long as its snapshot takes to be followed by the next of them,
 * and it is the waits that keep that rare. */
void mlt_sync_refused(struct mlt_sync *sync)
{
    if (mlt_sync_idle(sync)) {
        return;
    }
    if (sync->restored) { /* of the book the ids tell; of an answer nothing does */
        mlt_sync_outdate(sync);
        return;
    }
    const int64_t now = mlt_sync_now_ns(sync);
    const bool live = sync->state == MLT_SYNC_LIVE;
    int64_t wait_ns = 0;
    if (live && now - sync->live_ns >= CALM_NS) {
        mlt_backoff_reset(&sync->refusals);
    } else if (live || (sync->in_flight && !sync->outdated)) {
        wait_ns = mlt_backoff_next_ns(&sync->refusals);
    }
    if (live || sync->continuous) {
        mlt_sync_tear(sync, MLT_SYNC_LOST, 0, 0);
    } else {
        mlt_sync_break_off(sync);
        sync->told_ns = now;
        sync->outdated = sync->in_flight;
    }
    if (wait_ns > 0) {
        sync->retry_at_ns = mlt_sync_later(sync->retry_at_ns, now + wait_ns);
    }
    mlt_sync_request_if_due(sync);
}
