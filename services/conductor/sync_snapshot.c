/* What a snapshot is good for: whether it joins what is held, whether it is of this instrument,
 * whether the book was right, and the book that it makes. */
#include "sync_internal.h"

/* An instrument without a delta for so long is quiet: its price may have gone without any. */
#define QUIET_NS (5 * MLT_NS_PER_S)

/* The top of both sides, to be compared with what a snapshot says of the same id. */
struct top {
    int64_t last;
    size_t count[2];
    int64_t prices[2][MLT_ORDERBOOK_DIGEST_LEVELS], quantities[2][MLT_ORDERBOOK_DIGEST_LEVELS];
};

static void take_top(const struct mlt_orderbook *book, struct top *top)
{
    struct mlt_levels view;
    top->last = mlt_orderbook_last(book);
    for (int s = 0; s < 2; s++) {
        top->count[s] =
            mlt_orderbook_top(book, (enum mlt_orderbook_side)s, MLT_ORDERBOOK_DIGEST_LEVELS,
                              top->prices[s], top->quantities[s], &view);
    }
}

/* As far as both show. */
static bool tops_agree(const struct top *a, const struct top *b)
{
    for (int s = 0; s < 2; s++) {
        const size_t count = a->count[s] < b->count[s] ? a->count[s] : b->count[s];
        for (size_t i = 0; i < count; i++) {
            if (a->prices[s][i] != b->prices[s][i] || a->quantities[s][i] != b->quantities[s][i]) {
                return false;
            }
        }
    }
    return true;
}

/* What goes on beyond the snapshot's id; all that is held where it was taken in the middle of a
 * delta, and levels were other ones for a moment: they are what those before it set. */
static enum mlt_status replay(struct mlt_sync *sync, int64_t id)
{
    enum mlt_status status = MLT_OK;
    const struct mlt_buffered_delta *deltas = sync->buffer.deltas;
    size_t from = 0;
    while (from < sync->buffer.count && deltas[from].last <= id) {
        from++;
    }
    for (size_t i = sync->blurred ? 0 : from; i < sync->buffer.count && status == MLT_OK; i++) {
        struct mlt_levels bids, asks;
        mlt_delta_buffer_at(&sync->buffer, i, sync->options.book.price_exponent,
                            sync->options.book.quantity_exponent, &bids, &asks);
        status = mlt_orderbook_apply(sync->book, &bids, &asks, deltas[i].last);
        sync->counts.replayed += i >= from;
    }
    return status;
}

/* Nothing between the snapshot and what is held is missing. */
static bool joins(const struct mlt_sync *sync, int64_t id)
{
    if (sync->restored && id < sync->needed) {
        return false; /* deltas beyond it were delivered, and do not come again */
    }
    if (sync->continuous && id >= mlt_orderbook_last(sync->book)) {
        return true;
    }
    if (sync->buffer.count > 0) {
        return sync->buffer.deltas[0].first <= id + 1;
    }
    return !sync->continuous && id >= sync->needed;
}

/* Prices that a snapshot shows, without bound on a side that is empty. */
static struct mlt_sync_range shown_by(const struct mlt_book_snapshot *s)
{
    struct mlt_sync_range shown = { INT64_MIN, INT64_MAX };
    if (s->bids.count > 0) {
        shown.low = s->bids.prices[s->bids.count - 1];
    }
    if (s->asks.count > 0) {
        shown.high = s->asks.prices[s->asks.count - 1];
    }
    return shown;
}

static bool inside(const struct mlt_sync_range *shown, int64_t price)
{
    return price >= shown->low && price <= shown->high;
}

/* *told: it has a level that is there, and not only such as are gone. */
static bool any_inside(const struct mlt_sync_range *shown, const struct mlt_levels *levels,
                       bool *told)
{
    for (size_t i = 0; i < levels->count; i++) {
        if (inside(shown, levels->prices[i])) {
            return true;
        }
        *told = *told || levels->quantities[i] > 0;
    }
    return false;
}

/* Whether something is known of the instrument's prices, and none of it is among those. A LIVE book
 * that has run out of its window knows nothing, and what was before it is no word of now. */
static bool foreign(const struct mlt_sync *sync, const struct mlt_sync_range *shown)
{
    struct mlt_sync_range top;
    const bool live = sync->state == MLT_SYNC_LIVE;
    const bool has_top = mlt_sync_top_of(sync, &top) && (live || !sync->behind);
    bool told = false;
    const bool was_left = sync->was_left && !live;
    if ((live && !has_top) || (has_top && (inside(shown, top.low) || inside(shown, top.high))) ||
        (was_left && (inside(shown, sync->left.low) || inside(shown, sync->left.high)))) {
        return false;
    }
    for (size_t i = 0; i < sync->buffer.count; i++) {
        struct mlt_levels bids, asks;
        mlt_delta_buffer_at(&sync->buffer, i, sync->options.book.price_exponent,
                            sync->options.book.quantity_exponent, &bids, &asks);
        if (any_inside(shown, &bids, &told) || any_inside(shown, &asks, &told)) {
            return false;
        }
    }
    return has_top || was_left || told;
}

enum doubt { FINE, DOUBTED, BELIEVED };

/* Deltas that go on and speak against it are not outvoted, however often it comes: the one that is
 * right shows prices of theirs. Where none came for a while, and one would have, the instrument is
 * quiet, and what was said all that while is believed. */
static enum doubt doubt_of(struct mlt_sync *sync, const struct mlt_book_snapshot *snapshot)
{
    const int64_t now = mlt_sync_now_ns(sync);
    const struct mlt_sync_range shown = shown_by(snapshot);
    sync->blurred = false;
    if (snapshot->bids.price_exponent != sync->options.book.price_exponent ||
        (!mlt_sync_contradicted(sync, snapshot, &sync->blurred) && !foreign(sync, &shown))) {
        sync->doubted = false;
        return FINE;
    }
    if (sync->state == MLT_SYNC_LIVE) { /* its deltas say otherwise, however often it is said */
        sync->doubted = false;
        return DOUBTED;
    }
    const bool again =
        sync->doubted && shown.low <= sync->doubt.high && sync->doubt.low <= shown.high;
    sync->doubted_ns = again ? mlt_sync_later(sync->doubted_ns, sync->told_ns) : now;
    sync->doubt = shown;
    sync->doubted = now - sync->doubted_ns < QUIET_NS;
    return sync->doubted ? DOUBTED : BELIEVED;
}

/* Of the book before and after a snapshot, as far as they are of one id. Where they differ either
 * of the two was wrong, and nothing says which. */
static bool audit(struct mlt_sync *sync, const struct top *before)
{
    struct top after;
    if (before->last != mlt_orderbook_last(sync->book)) {
        return true;
    }
    take_top(sync->book, &after);
    const bool right = tops_agree(before, &after);
    if (right) {
        mlt_backoff_reset(&sync->audits);
    }
    sync->counts.audits_right += right;
    sync->counts.audits_wrong += !right;
    sync->counts.doubted += !right;
    return right;
}

/* What came of it is of no use: another one is asked for, after a while. */
static void give_up_both(struct mlt_sync *sync, enum mlt_sync_reason reason, int64_t id,
                         struct mlt_backoff *backoff)
{
    mlt_sync_tear(sync, reason, id, mlt_orderbook_last(sync->book));
    sync->retry_at_ns = mlt_sync_now_ns(sync) + mlt_backoff_next_ns(backoff);
    mlt_sync_request_if_due(sync);
}

/* The book is whole again at its last id; L is the snapshot's. */
static void joined(struct mlt_sync *sync, int64_t id, bool newer)
{
    const int64_t now = mlt_sync_now_ns(sync), last = mlt_orderbook_last(sync->book);
    sync->counts.snapshots++;
    sync->heard_ns = sync->snapshot_ns = now;
    sync->continuous = true;
    sync->restored = false;
    sync->stray_depth = 0;
    sync->retry_at_ns = INT64_MIN;
    if (last <= sync->seen) {
        mlt_sync_reached(sync);
    } else if (newer) { /* one more does not prolong the time of one that deltas are below */
        sync->beyond_until_ns = sync->behind ? sync->beyond_until_ns : now + MLT_SYNC_AHEAD_NS;
        sync->beyond = last;
    }
    if (mlt_orderbook_covers(sync->book, 2 * (size_t)sync->options.shown)) {
        mlt_backoff_reset(&sync->backoff);
        sync->refine_at_ns = now + sync->options.backoff_base_ns;
    } else {
        /* A snapshot that gives too little is not asked for again and again. */
        sync->refine_at_ns = now + mlt_backoff_next_ns(&sync->backoff);
    }
    mlt_delta_buffer_clear(&sync->buffer);
    mlt_sync_go(sync, MLT_SYNC_LIVE, MLT_SYNC_JOINED, id, last);
    mlt_sync_request_if_due(sync);
}

/* The answer to a request that another one took the place of, and of no use: nothing of the one
 * that is in flight follows from it. Where the two are of one depth it may as well be the only
 * answer. */
static bool stray(struct mlt_sync *sync, const struct mlt_book_snapshot *snapshot)
{
    const uint32_t depth = snapshot->requested_depth;
    if (sync->stray_depth == 0 || depth != sync->stray_depth || depth == sync->asked_depth) {
        return false;
    }
    sync->stray_depth = 0;
    return (sync->stray_outdated && sync->buffer.count == 0) ||
           !joins(sync, snapshot->last_update_id);
}

/* Whether the deltas that would speak for it, or against it, are yet to come. */
static bool premature(const struct mlt_sync *sync, int64_t id)
{
    const int64_t book = sync->continuous ? mlt_orderbook_last(sync->book) : 0;
    return sync->options.ahead_wait_ns > 0 &&
           id > mlt_sync_later(mlt_sync_later(sync->seen, sync->needed), book);
}

/* No delta has come to it: each id has its own, and of a book that they have come to none is
 * missing. One that says what the book does is as good as it. */
static bool unspoken(const struct mlt_sync *sync, const struct mlt_book_snapshot *snapshot)
{
    return sync->state == MLT_SYNC_LIVE && mlt_orderbook_last(sync->book) <= sync->seen &&
           premature(sync, snapshot->last_update_id) && mlt_sync_differs(sync, snapshot);
}

static uint32_t depth_of(const struct mlt_sync *sync, const struct mlt_book_snapshot *snapshot)
{
    return snapshot->requested_depth > 0 ? snapshot->requested_depth : sync->options.depth;
}

/* What is known of its coming. */
struct coming {
    bool asked, outdated;
    bool may_wait;
    bool waited; /* it was ahead of the deltas, and they came, or none did */
};

/* One may be another instrument's. */
static enum mlt_status doubted(struct mlt_sync *sync, struct coming coming)
{
    sync->counts.doubted++;
    if (coming.asked || !sync->continuous) {
        mlt_sync_failed(sync);
    }
    return MLT_OK;
}

/* An owner before left it while the source was down: nothing is asked for, and no snapshot makes it
 * LIVE, before a delta comes or the source is up. */
static bool asleep(const struct mlt_sync *sync)
{
    return sync->restored && sync->retry_at_ns == INT64_MAX;
}

static enum mlt_status take(struct mlt_sync *sync, const struct mlt_book_snapshot *snapshot,
                            struct coming coming, enum mlt_sync_outcome *outcome)
{
    const int64_t id = snapshot->last_update_id;
    const bool asked = coming.asked;
    if (mlt_sync_idle(sync) || asleep(sync)) {
        return MLT_OK;
    }
    if (coming.outdated &&
        sync->buffer.count == 0) { /* nor does any delta show that it lacks nothing */
        sync->counts.too_old++;
        mlt_sync_request_if_due(sync);
        return MLT_OK;
    }
    if (id < 0 || id == INT64_MAX || !joins(sync, id)) {
        sync->counts.too_old++;
        if (asked || !sync->continuous) {
            mlt_sync_failed(sync);
        }
        return MLT_OK;
    }
    const enum doubt doubt = doubt_of(sync, snapshot);
    if (doubt == DOUBTED) {
        return doubted(sync, coming);
    }
    if (sync->mute &&
        mlt_sync_now_ns(sync) < sync->mute_until_ns) { /* one more proves nothing: whether the
                                                          stream is back a delta says */
        return MLT_OK;
    }
    struct top before;
    const bool deepen = sync->continuous;
    const bool owes = mlt_sync_owes(sync, snapshot);
    const bool newer = !deepen || id > mlt_orderbook_last(sync->book);
    const uint32_t depth = depth_of(sync, snapshot);
    if (sync->state == MLT_SYNC_LIVE && newer && depth < sync->seed_depth &&
        depth < sync->options.depth && !mlt_sync_thin(sync)) {
        /* It would take away what is known beyond it; the deltas get there as well. */
        sync->in_flight = asked && !coming.waited;
        sync->counts.shallow++;
        if (owes) {
            mlt_sync_owe(sync, id);
        }
        return MLT_OK;
    }
    if (coming.may_wait && doubt == FINE && premature(sync, id)) {
        mlt_sync_hold(sync, id, depth, asked, coming.outdated);
        if (owes) {
            mlt_sync_owe(sync, id);
        }
        *outcome = MLT_SYNC_WAITS;
        return MLT_OK;
    }
    if (coming.waited && unspoken(sync, snapshot)) {
        return doubted(sync, coming);
    }
    if (deepen) {
        take_top(sync->book, &before);
    }
    if ((deepen ? mlt_orderbook_merge(sync->book, snapshot)
                : mlt_orderbook_seed(sync->book, snapshot)) != MLT_OK) {
        sync->counts.refused++;
        mlt_sync_failed(sync);
        return MLT_E_PROTOCOL;
    }
    if (replay(sync, id) != MLT_OK || mlt_orderbook_crossed(sync->book)) {
        give_up_both(sync, MLT_SYNC_CROSSED, id, &sync->backoff);
        return MLT_OK;
    }
    if (deepen && !audit(sync, &before)) {
        give_up_both(sync, MLT_SYNC_AUDIT, id, &sync->audits);
        return MLT_OK;
    }
    if (newer || depth > sync->seed_depth) {
        sync->seed_depth = depth;
    }
    if (owes) {
        mlt_sync_owe(sync, id);
    }
    *outcome = MLT_SYNC_APPLIED;
    joined(sync, id, newer);
    return MLT_OK;
}

/* While one waits: one that is newer, and as deep, takes its place, in its time, or what comes is
 * used at once. Else that one goes on waiting, as if nothing had come. */
static enum mlt_status come_meanwhile(struct mlt_sync *sync,
                                      const struct mlt_book_snapshot *snapshot, bool may_wait,
                                      enum mlt_sync_outcome *outcome)
{
    const struct mlt_sync_held held = sync->held;
    const struct coming coming = { .may_wait = may_wait, .outdated = sync->outdated };
    const struct mlt_backoff backoff = sync->backoff;
    const int64_t retry_at_ns = sync->retry_at_ns;
    const uint64_t gaps = sync->counts.gaps;
    sync->held.id = 0;
    sync->in_flight = sync->outdated = false;
    const enum mlt_status status = take(sync, snapshot, coming, outcome);
    const bool waits = *outcome == MLT_SYNC_WAITS;
    const bool better = waits && sync->held.id >= held.id && sync->held.depth >= held.depth;
    if (!waits && (status != MLT_OK || *outcome != MLT_SYNC_UNUSED || sync->counts.gaps != gaps ||
                   sync->in_flight)) {
        return status;
    }
    const int64_t id = better ? sync->held.id : held.id;
    const uint32_t depth = better ? sync->held.depth : held.depth;
    sync->held = held;
    sync->held.id = id;
    sync->held.depth = depth;
    sync->in_flight = true;
    sync->outdated = coming.outdated;
    sync->backoff = backoff;
    sync->retry_at_ns = retry_at_ns;
    if (waits && !better) {
        sync->counts.shallow++;
        *outcome = MLT_SYNC_UNUSED;
    }
    return status;
}

static enum mlt_status come(struct mlt_sync *sync, const struct mlt_book_snapshot *snapshot,
                            bool may_wait, enum mlt_sync_outcome *outcome)
{
    *outcome = MLT_SYNC_UNUSED;
    if (!mlt_sync_idle(sync) && stray(sync, snapshot)) {
        sync->counts.too_old++;
        return MLT_OK;
    }
    if (sync->held.id > 0) {
        return come_meanwhile(sync, snapshot, may_wait, outcome);
    }
    const struct coming coming = {
        .asked = sync->in_flight,
        .outdated = sync->outdated || (sync->stray_depth > 0 && sync->stray_outdated &&
                                       sync->stray_depth == sync->asked_depth),
        .may_wait = may_wait,
    };
    sync->stray_depth = 0;
    sync->in_flight = sync->outdated = false;
    return take(sync, snapshot, coming, outcome);
}

enum mlt_status mlt_sync_snapshot(struct mlt_sync *sync, const struct mlt_book_snapshot *snapshot,
                                  enum mlt_sync_outcome *outcome)
{
    return come(sync, snapshot, false, outcome);
}

enum mlt_status mlt_sync_answer(struct mlt_sync *sync, const struct mlt_book_snapshot *snapshot,
                                enum mlt_sync_outcome *outcome)
{
    return come(sync, snapshot, true, outcome);
}

enum mlt_status mlt_sync_waited(struct mlt_sync *sync, const struct mlt_book_snapshot *snapshot,
                                enum mlt_sync_outcome *outcome)
{
    *outcome = MLT_SYNC_UNUSED;
    if (sync->held.id == 0 || !sync->held.ripe || snapshot->last_update_id != sync->held.id) {
        return MLT_E_INVALID;
    }
    const struct coming coming = {
        .asked = sync->held.asked,
        .outdated = sync->outdated,
        .waited = true,
    };
    const bool unreached = sync->held.unreached, unheard = sync->held.unheard;
    mlt_sync_end_wait(sync);
    if (unreached) {
        return doubted(sync, coming);
    }
    if (unheard && premature(sync, snapshot->last_update_id)) { /* it may lack what was missed */
        sync->counts.too_old++;
        mlt_sync_failed(sync);
        return MLT_OK;
    }
    return take(sync, snapshot, coming, outcome);
}

enum mlt_sync_wait mlt_sync_waiting(const struct mlt_sync *sync)
{
    if (sync->held.id == 0) {
        return MLT_SYNC_NOTHING_WAITS;
    }
    return sync->held.ripe ? MLT_SYNC_RIPE : MLT_SYNC_IT_WAITS;
}
