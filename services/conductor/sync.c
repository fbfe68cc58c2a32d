#include <stdlib.h>

#include "sync_internal.h"

int64_t mlt_sync_now_ns(const struct mlt_sync *sync)
{
    return sync->ports.clock->mono_ns(sync->ports.clock->ctx);
}

enum mlt_status mlt_sync_create(const struct mlt_sync_options *options,
                                const struct mlt_sync_ports *ports, struct mlt_sync **out)
{
    if (options->first_depth == 0 || options->depth == 0 || options->shown == 0 ||
        options->depth > options->book.levels_max || options->request_timeout_ns <= 0 ||
        options->backoff_base_ns <= 0 || options->backoff_max_ns < options->backoff_base_ns ||
        options->stale_after_ns < 0 || options->refresh_interval_ns < 0 ||
        options->ahead_wait_ns < 0) {
        return MLT_E_INVALID;
    }
    struct mlt_sync *sync = calloc(1, sizeof *sync);
    if (sync == NULL) {
        return MLT_E_NOMEM;
    }
    const enum mlt_status status = mlt_orderbook_create(&options->book, &sync->book);
    if (status != MLT_OK) {
        free(sync);
        return status;
    }
    sync->options = *options;
    sync->ports = *ports;
    sync->retry_at_ns = sync->refine_at_ns = INT64_MIN;
    mlt_backoff_init(&sync->backoff, options->backoff_base_ns / 2, options->backoff_base_ns,
                     options->backoff_max_ns, options->seed);
    mlt_backoff_init(&sync->ahead, options->backoff_base_ns / 2, options->backoff_base_ns,
                     options->backoff_max_ns, options->seed + 1);
    mlt_backoff_init(&sync->refusals, options->backoff_base_ns / 2, options->backoff_base_ns,
                     options->backoff_max_ns, options->seed + 2);
    mlt_backoff_init(&sync->audits, options->backoff_base_ns / 2, options->backoff_base_ns,
                     options->backoff_max_ns, options->seed + 3);
    *out = sync;
    return MLT_OK;
}

void mlt_sync_destroy(struct mlt_sync *sync)
{
    if (sync != NULL) {
        mlt_delta_buffer_fini(&sync->buffer);
        mlt_orderbook_destroy(sync->book);
        free(sync);
    }
}

/* ---- transitions and requests ---- */

void mlt_sync_go(struct mlt_sync *sync, enum mlt_sync_state to, enum mlt_sync_reason reason,
                 int64_t first, int64_t last)
{
    if (sync->state == to) {
        return;
    }
    const struct mlt_sync_change change = {
        sync->state, to, reason, first, last, sync->ports.clock->wall_ns(sync->ports.clock->ctx)
    };
    sync->state = to;
    sync->mute = sync->mute && to == MLT_SYNC_STALE;
    if (to == MLT_SYNC_GAP) {
        sync->counts.gaps++;
    } else if (to == MLT_SYNC_STALE) {
        sync->counts.stales++;
    } else if (to == MLT_SYNC_LIVE) {
        sync->counts.resyncs += sync->was_live;
        sync->live_ns = mlt_sync_now_ns(sync);
        sync->was_live = sync->followed = true;
    }
    sync->ports.changed(sync->ports.ctx, &change);
}

bool mlt_sync_idle(const struct mlt_sync *sync)
{
    return sync->state == MLT_SYNC_IDLE || sync->source_down;
}

bool mlt_sync_thin(const struct mlt_sync *sync)
{
    return !mlt_orderbook_covers(sync->book, 2 * (size_t)sync->options.shown);
}

/* When the next request may and should go; INT64_MAX: none is wanted. */
static int64_t request_at(const struct mlt_sync *sync)
{
    if (sync->in_flight || mlt_sync_idle(sync)) {
        return INT64_MAX;
    }
    if (sync->mute) {
        return mlt_sync_later(sync->retry_at_ns, sync->mute_until_ns);
    }
    if (sync->state != MLT_SYNC_LIVE) {
        return sync->retry_at_ns;
    }
    if (sync->behind) {
        return INT64_MAX; /* whether it is worth it is about to be seen */
    }
    const int64_t earliest = mlt_sync_later(sync->retry_at_ns, sync->refine_at_ns);
    if (sync->seed_depth < sync->options.depth || mlt_sync_thin(sync)) {
        return earliest;
    }
    return sync->options.refresh_interval_ns > 0
               ? mlt_sync_later(earliest, sync->snapshot_ns + sync->options.refresh_interval_ns)
               : INT64_MAX;
}

static enum mlt_sync_need need_of(const struct mlt_sync *sync)
{
    if (sync->state != MLT_SYNC_LIVE) {
        return sync->followed ? MLT_SYNC_NEED_RESYNC : MLT_SYNC_NEED_FIRST;
    }
    if (mlt_sync_thin(sync)) {
        return MLT_SYNC_NEED_FIRST;
    }
    return sync->seed_depth < sync->options.depth ? MLT_SYNC_NEED_DEPTH : MLT_SYNC_NEED_AUDIT;
}

void mlt_sync_request_if_due(struct mlt_sync *sync)
{
    if (sync->in_flight && !mlt_sync_idle(sync) &&
        (sync->state == MLT_SYNC_GAP || sync->state == MLT_SYNC_STALE)) {
        mlt_sync_go(sync, MLT_SYNC_SYNCING, MLT_SYNC_REQUESTED, 0,
                    0); /* the one on its way will do */
    }
    /* Mostly nothing is wanted, and that costs no look at the clock. */
    const int64_t at = request_at(sync);
    if (at == INT64_MAX) {
        return;
    }
    const int64_t now = mlt_sync_now_ns(sync);
    if (now < at) {
        return;
    }
    const bool live = sync->state == MLT_SYNC_LIVE;
    const enum mlt_sync_need need = need_of(sync);
    /* What is deeper shows more prices, and the more of them the less doubt is left. */
    const uint32_t depth = live || sync->doubted ? sync->options.depth : sync->options.first_depth;
    sync->in_flight = true;
    sync->outdated = false;
    sync->asked_need = need;
    sync->asked_depth = depth;
    sync->request_due_ns = now + sync->options.request_timeout_ns;
    sync->counts.requests++;
    if (!live) {
        mlt_sync_go(sync, MLT_SYNC_SYNCING, MLT_SYNC_REQUESTED, 0, 0);
    }
    sync->ports.request(sync->ports.ctx, depth, need);
}

/* Forgets what is buffered; a snapshot has to reach beyond it from now on. */
static void discard(struct mlt_sync *sync)
{
    if (sync->buffer.count > 0) {
        sync->needed =
            mlt_sync_later(sync->needed, sync->buffer.deltas[sync->buffer.count - 1].last);
    }
    mlt_delta_buffer_clear(&sync->buffer);
}

void mlt_sync_break_off(struct mlt_sync *sync)
{
    if (sync->continuous) {
        sync->needed = mlt_sync_later(sync->needed, mlt_orderbook_last(sync->book));
    }
    sync->continuous = sync->mute = false;
    sync->owed = 0;
    mlt_sync_end_wait(sync); /* what it waited for is not coming, or not in order */
    discard(sync);
}

/* Its next request need not wait any longer. */
static void settle_restored(struct mlt_sync *sync)
{
    if (sync->restored) {
        sync->restored = false;
        sync->retry_at_ns = INT64_MIN;
    }
}

bool mlt_sync_top_of(const struct mlt_sync *sync, struct mlt_sync_range *top)
{
    int64_t quantity = 0;
    return mlt_orderbook_level(sync->book, MLT_ORDERBOOK_BIDS, 0, &top->low, &quantity) &&
           mlt_orderbook_level(sync->book, MLT_ORDERBOOK_ASKS, 0, &top->high, &quantity);
}

/* Of the request on its way; it may be answered yet. */
static void give_up(struct mlt_sync *sync)
{
    if (sync->held.id > 0) { /* it was answered */
        mlt_sync_end_wait(sync);
        return;
    }
    sync->stray_depth = sync->asked_depth;
    sync->stray_outdated = sync->outdated;
    sync->in_flight = sync->outdated = false;
}

void mlt_sync_begin_anew(struct mlt_sync *sync)
{
    if (sync->state != MLT_SYNC_LIVE) {
        return;
    }
    sync->retry_at_ns = INT64_MIN;
    mlt_backoff_reset(&sync->backoff);
    if (sync->in_flight && sync->asked_need != MLT_SYNC_NEED_RESYNC) {
        give_up(sync);
    }
}

void mlt_sync_tear(struct mlt_sync *sync, enum mlt_sync_reason reason, int64_t first, int64_t last)
{
    struct mlt_sync_range top;
    settle_restored(sync);
    mlt_sync_break_off(sync);
    /* Else it is not known whether its prices were the instrument's. */
    if (reason != MLT_SYNC_CROSSED && reason != MLT_SYNC_AUDIT && !sync->behind &&
        mlt_sync_top_of(sync, &top)) {
        sync->left = top;
        sync->was_left = true;
    }
    mlt_orderbook_clear(sync->book);
    sync->told_ns = mlt_sync_now_ns(sync);
    if (reason == MLT_SYNC_LOST || reason == MLT_SYNC_MALFORMED) {
        sync->outdated = sync->in_flight; /* no delta that is held tells what it must reach */
    }
    mlt_sync_begin_anew(sync);
    mlt_sync_go(sync, MLT_SYNC_GAP, reason, first, last);
}

static void gap(struct mlt_sync *sync, enum mlt_sync_reason reason, int64_t first, int64_t last)
{
    mlt_sync_tear(sync, reason, first, last);
    mlt_sync_request_if_due(sync);
}

void mlt_sync_failed(struct mlt_sync *sync)
{
    mlt_sync_end_wait(sync);
    sync->in_flight = sync->outdated = false;
    if (sync->continuous) {
        mlt_delta_buffer_clear(&sync->buffer); /* the book itself has them */
    }
    sync->retry_at_ns = mlt_sync_now_ns(sync) + mlt_backoff_next_ns(&sync->backoff);
    mlt_sync_request_if_due(sync);
}

void mlt_sync_start(struct mlt_sync *sync)
{
    if (sync->state != MLT_SYNC_IDLE) {
        return;
    }
    if (sync->source_down) {
        mlt_sync_go(sync, MLT_SYNC_STALE, MLT_SYNC_SOURCE_DOWN, 0, 0);
        return;
    }
    mlt_sync_go(sync, MLT_SYNC_SYNCING, MLT_SYNC_STARTED, 0, 0);
    mlt_sync_request_if_due(sync);
}

void mlt_sync_stop(struct mlt_sync *sync)
{
    if (sync->state == MLT_SYNC_IDLE) {
        return;
    }
    mlt_sync_end_wait(sync);
    mlt_delta_buffer_clear(&sync->buffer);
    mlt_orderbook_clear(sync->book);
    sync->continuous = sync->in_flight = sync->outdated = sync->followed = false;
    sync->needed = sync->seen = sync->owed = 0;
    mlt_sync_reached(sync);
    sync->doubted = sync->mute = false;
    sync->stray_depth = 0;
    settle_restored(sync);
    sync->retry_at_ns = INT64_MIN; /* who wants it again does not wait for what failed before */
    mlt_backoff_reset(&sync->backoff);
    mlt_sync_go(sync, MLT_SYNC_IDLE, MLT_SYNC_STOPPED, 0, 0);
}

/* ---- deltas ---- */

static enum mlt_status buffer_delta(struct mlt_sync *sync, int64_t first, int64_t last,
                                    const struct mlt_book_delta *delta)
{
    size_t dropped = 0;
    const enum mlt_status status =
        mlt_delta_buffer_push(&sync->buffer, first, last, delta, &dropped);
    sync->counts.overflows += dropped;
    if (status != MLT_OK) {
        discard(sync); /* with a hole in it, it would be of no use */
        sync->needed = mlt_sync_later(sync->needed, last);
    }
    return status;
}

/* Into a book that waits for a snapshot. */
static enum mlt_status hold(struct mlt_sync *sync, int64_t first, int64_t last,
                            const struct mlt_book_delta *delta, enum mlt_sync_outcome *outcome)
{
    const size_t count = sync->buffer.count;
    const int64_t end = count > 0 ? sync->buffer.deltas[count - 1].last : sync->needed;
    if (last <= end) {
        sync->counts.duplicates++;
        *outcome = MLT_SYNC_DUPLICATE;
        return MLT_OK;
    }
    if (count > 0 && first > end + 1) {
        gap(sync, MLT_SYNC_SEQUENCE_GAP, end + 1, first - 1);
    }
    const enum mlt_status status = buffer_delta(sync, first, last, delta);
    if (status == MLT_OK) {
        sync->counts.buffered++;
        *outcome = MLT_SYNC_BUFFERED;
    }
    if (!sync->in_flight) {
        sync->counts.overflows += mlt_delta_buffer_shrink(
            &sync->buffer, MLT_DELTA_BUFFER_DELTAS_IDLE, MLT_DELTA_BUFFER_LEVELS_IDLE);
    }
    mlt_sync_request_if_due(sync);
    return status;
}

/* Onto the book, which it follows, perhaps with overlap. Without an outcome: it showed that the
 * book is wrong. */
static enum mlt_status advance(struct mlt_sync *sync, int64_t first, int64_t last,
                               const struct mlt_book_delta *delta, enum mlt_sync_outcome *outcome)
{
    const int64_t end = mlt_orderbook_last(sync->book);
    const enum mlt_status status =
        mlt_orderbook_apply(sync->book, &delta->bids, &delta->asks, last);
    if (status != MLT_OK) {
        return status;
    }
    if (mlt_orderbook_crossed(sync->book)) {
        gap(sync, MLT_SYNC_CROSSED, first, last);
        return MLT_OK;
    }
    sync->counts.applied++;
    sync->counts.overlaps += first <= end;
    if (!sync->in_flight) {
        if (sync->buffer.count > 0) { /* of one that came to nothing: this one is not in it */
            mlt_delta_buffer_clear(&sync->buffer);
        }
    } else if (buffer_delta(sync, first, last, delta) != MLT_OK) {
        /* The book has it; only the snapshot on its way has to be that new. */
        sync->counts.overflows++;
    }
    *outcome = MLT_SYNC_APPLIED;
    return MLT_OK;
}

/* Onto a book that has missed nothing. moved: it is the furthest that came. */
static enum mlt_status follow(struct mlt_sync *sync, int64_t first, int64_t last, bool moved,
                              const struct mlt_book_delta *delta, enum mlt_sync_outcome *outcome)
{
    const int64_t end = mlt_orderbook_last(sync->book);
    if (last <= end) {
        sync->counts.duplicates++;
        *outcome = MLT_SYNC_DUPLICATE;
        if (sync->mute && moved && last == end) { /* what a snapshot told is what it leads to */
            mlt_sync_go(sync, MLT_SYNC_LIVE, MLT_SYNC_RESUMED, first, last);
            mlt_sync_request_if_due(sync);
        }
        return MLT_OK;
    }
    if (first > end + 1) {
        gap(sync, MLT_SYNC_SEQUENCE_GAP, end + 1, first - 1);
        return hold(sync, first, last, delta, outcome);
    }
    const enum mlt_status status = advance(sync, first, last, delta, outcome);
    if (status == MLT_OK && *outcome == MLT_SYNC_APPLIED) {
        settle_restored(sync);
        mlt_sync_go(sync, MLT_SYNC_LIVE, MLT_SYNC_RESUMED, first, last);
        mlt_sync_request_if_due(sync);
    }
    return status;
}

static bool usable(struct mlt_sync *sync, int64_t first, int64_t last,
                   const struct mlt_book_delta *delta)
{
    if (first >= 0 && first <= last && last < INT64_MAX &&
        mlt_orderbook_fits(sync->book, &delta->bids, &delta->asks)) {
        return true;
    }
    sync->counts.refused++;
    gap(sync, MLT_SYNC_MALFORMED, first, last);
    return false;
}

enum mlt_status mlt_sync_delta(struct mlt_sync *sync, int64_t first, int64_t last,
                               const struct mlt_book_delta *delta, enum mlt_sync_outcome *outcome)
{
    *outcome = MLT_SYNC_IGNORED;
    if (sync->state == MLT_SYNC_IDLE) {
        return MLT_OK;
    }
    if (!usable(sync, first, last, delta)) {
        return MLT_E_PROTOCOL;
    }
    if (sync->source_down) {
        mlt_sync_source(sync, true); /* there is no better word of it than what it brings */
    }
    sync->heard_ns = sync->told_ns = mlt_sync_now_ns(sync);
    const bool moved = last > sync->seen; /* what comes again says nothing of where they are */
    sync->seen = mlt_sync_later(sync->seen, last);
    mlt_sync_came(sync, last, moved);
    const enum mlt_status status = sync->continuous
                                       ? follow(sync, first, last, moved, delta, outcome)
                                       : hold(sync, first, last, delta, outcome);
    mlt_sync_ripen(sync, sync->seen);
    return status;
}

/* ---- what an owner before left ---- */

/* The depth that it was seeded with, as far as the book tells: deltas take some levels out of the
 * window, and what is nearly as deep as wanted need not be asked for again. */
static uint32_t depth_of(const struct mlt_sync *sync)
{
    const uint32_t wanted = sync->options.depth;
    if (mlt_orderbook_covers(sync->book, wanted / 2)) {
        return wanted;
    }
    const size_t bids = mlt_orderbook_depth(sync->book, MLT_ORDERBOOK_BIDS);
    const size_t asks = mlt_orderbook_depth(sync->book, MLT_ORDERBOOK_ASKS);
    return (uint32_t)(bids < asks ? bids : asks);
}

enum mlt_status mlt_sync_restore(struct mlt_sync *sync, const struct mlt_sync_left *left)
{
    if (sync->state != MLT_SYNC_IDLE || sync->source_down) {
        return MLT_E_INVALID;
    }
    const enum mlt_status status =
        mlt_orderbook_restore(sync->book, &left->bids, &left->asks, left->bids_whole,
                              left->asks_whole, left->last_update_id);
    if (status != MLT_OK) {
        return status;
    }
    const int64_t now = mlt_sync_now_ns(sync);
    sync->continuous = sync->restored = sync->followed = true;
    sync->beyond = left->last_update_id;
    sync->beyond_until_ns = INT64_MAX;
    sync->behind = sync->late = false;
    sync->retry_at_ns = INT64_MAX;
    sync->seed_depth = depth_of(sync);
    sync->heard_ns = now;
    sync->snapshot_ns = now - (left->snapshot_age_ns > 0 ? left->snapshot_age_ns : 0);
    mlt_sync_go(sync, MLT_SYNC_STALE, MLT_SYNC_RESTORED, left->last_update_id,
                left->last_update_id);
    return MLT_OK;
}

void mlt_sync_await(struct mlt_sync *sync, int64_t known, int64_t wait_ns)
{
    if (sync->restored) {
        sync->needed = mlt_sync_later(sync->needed, known);
        sync->beyond = mlt_sync_later(sync->beyond, known);
        sync->beyond_until_ns = mlt_sync_now_ns(sync) + MLT_SYNC_AHEAD_NS;
        sync->retry_at_ns = wait_ns < INT64_MAX ? mlt_sync_now_ns(sync) + wait_ns : INT64_MAX;
    }
}

enum mlt_status mlt_sync_replay(struct mlt_sync *sync, int64_t first, int64_t last,
                                const struct mlt_book_delta *delta, enum mlt_sync_outcome *outcome)
{
    *outcome = MLT_SYNC_IGNORED;
    if (!sync->restored) {
        return MLT_OK;
    }
    if (!usable(sync, first, last, delta)) {
        return MLT_E_PROTOCOL;
    }
    const int64_t end = mlt_orderbook_last(sync->book);
    if (last <= end) {
        sync->counts.duplicates++;
        *outcome = MLT_SYNC_DUPLICATE;
        return MLT_OK;
    }
    if (first > end + 1) {
        gap(sync, MLT_SYNC_SEQUENCE_GAP, end + 1, first - 1);
        return MLT_OK;
    }
    return advance(sync, first, last, delta, outcome);
}

bool mlt_sync_restored(const struct mlt_sync *sync)
{
    return sync->restored;
}

void mlt_sync_request_failed(struct mlt_sync *sync)
{
    if (sync->in_flight && sync->held.id == 0) { /* else it was answered */
        sync->counts.failures++;
        mlt_sync_failed(sync);
    }
}

/* ---- the rest of what happens ---- */

void mlt_sync_tighten(struct mlt_sync *sync)
{
    mlt_orderbook_tighten(sync->book);
}

void mlt_sync_outdate(struct mlt_sync *sync)
{
    sync->outdated = sync->in_flight;
    sync->held.unheard = sync->held.id > 0;
}

void mlt_sync_lost(struct mlt_sync *sync)
{
    if (mlt_sync_idle(sync)) {
        return;
    }
    if (sync->restored) { /* of the book the ids tell; of an answer nothing does */
        mlt_sync_outdate(sync);
        return;
    }
    gap(sync, MLT_SYNC_LOST, 0, 0);
}

void mlt_sync_source(struct mlt_sync *sync, bool up)
{
    if (up && sync->restored) { /* the deltas since its end, if any, come or are missing */
        sync->retry_at_ns = sync->retry_at_ns == INT64_MAX ? INT64_MIN : sync->retry_at_ns;
        mlt_sync_outdate(sync);
        mlt_sync_request_if_due(sync);
        return;
    }
    if (up && sync->mute) { /* it begins anew: what it holds comes now, else it is asked */
        sync->mute_until_ns = mlt_sync_now_ns(sync) + sync->options.backoff_base_ns;
        return;
    }
    if (up != sync->source_down) {
        return; /* known */
    }
    sync->source_down = !up;
    if (sync->state == MLT_SYNC_IDLE) {
        return;
    }
    if (up) {
        sync->told_ns = mlt_sync_now_ns(sync);
        mlt_sync_request_if_due(sync);
    } else {
        settle_restored(sync);
        mlt_sync_break_off(sync);
        sync->outdated = sync->in_flight;
        mlt_sync_begin_anew(sync);
        mlt_sync_go(sync, MLT_SYNC_STALE, MLT_SYNC_SOURCE_DOWN, 0, 0);
    }
}

void mlt_sync_source_began(struct mlt_sync *sync)
{
    const bool told = sync->held.id > 0 && sync->buffer.count > 0; /* its stream flows already */
    const bool asked = sync->in_flight && !told;
    sync->held.unheard = told;
    if (asked) {
        give_up(sync);
        sync->stray_outdated = true; /* nobody listened to the stream when it was made */
        sync->retry_at_ns = INT64_MIN;
    }
    mlt_sync_source(sync, true);
    if (asked) {
        mlt_sync_request_if_due(sync);
    }
}

void mlt_sync_tick(struct mlt_sync *sync)
{
    const int64_t now = mlt_sync_now_ns(sync);
    mlt_sync_waits_no_longer(sync, now);
    if (sync->in_flight && sync->held.id == 0 && now >= sync->request_due_ns) {
        sync->counts.timeouts++;
        sync->stray_depth = 0;
        mlt_sync_failed(sync);
    }
    if (sync->state == MLT_SYNC_LIVE && sync->options.stale_after_ns > 0 &&
        now - sync->heard_ns >= sync->options.stale_after_ns) {
        mlt_sync_begin_anew(sync);
        mlt_sync_go(sync, MLT_SYNC_STALE, MLT_SYNC_SILENT, 0, 0);
    }
    mlt_sync_remind(sync, now);
    mlt_sync_request_if_due(sync);
}

int64_t mlt_sync_due_ns(const struct mlt_sync *sync)
{
    int64_t due = sync->in_flight ? sync->request_due_ns : request_at(sync);
    if (sync->held.id > 0) { /* what is ripe waits for the caller */
        due = sync->held.ripe ? INT64_MAX : sync->held.quiet_ns;
    }
    if (sync->state == MLT_SYNC_LIVE && sync->options.stale_after_ns > 0) {
        const int64_t stale = sync->heard_ns + sync->options.stale_after_ns;
        due = stale < due ? stale : due;
    }
    if (sync->state == MLT_SYNC_LIVE && sync->owed > 0) {
        due = sync->owed_until_ns < due ? sync->owed_until_ns : due;
    }
    return due;
}

enum mlt_sync_state mlt_sync_state(const struct mlt_sync *sync)
{
    return sync->state;
}

bool mlt_sync_source_up(const struct mlt_sync *sync)
{
    return !sync->source_down;
}

const struct mlt_orderbook *mlt_sync_book(const struct mlt_sync *sync)
{
    return sync->book;
}

void mlt_sync_counts(const struct mlt_sync *sync, struct mlt_sync_counts *out)
{
    *out = sync->counts;
}

const char *mlt_sync_state_word(enum mlt_sync_state state)
{
    static const char *const words[] = { "IDLE", "SYNCING", "LIVE", "GAP", "STALE" };
    _Static_assert(sizeof words / sizeof words[0] == MLT_SYNC_STATE_COUNT, "a word each");
    return (unsigned)state < MLT_SYNC_STATE_COUNT ? words[state] : "unknown";
}

const char *mlt_sync_reason_word(enum mlt_sync_reason reason)
{
    static const char *const words[] = { "started",     "stopped",      "requested", "joined",
                                         "resumed",     "sequence_gap", "lost",      "crossed",
                                         "malformed",   "audit",        "ahead",     "silent",
                                         "source_down", "restored" };
    _Static_assert(sizeof words / sizeof words[0] == MLT_SYNC_REASON_COUNT, "a word each");
    return (unsigned)reason < MLT_SYNC_REASON_COUNT ? words[reason] : "unknown";
}
