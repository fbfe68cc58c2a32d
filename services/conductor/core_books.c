/* The Conductor's books: one fusion an instrument, made when something of a book comes; the STATUS
 * events of its changes; BOOKs, and what waits behind their commits. See core.h. */
#include <stdlib.h>

#include "core_internal.h"

#define HELD_BYTES_KEPT (16u << 10)

void mlt_conductor_books_fini(struct mlt_conductor_core *core)
{
    for (size_t n = 0; n < core->fused_count; n++) {
        mlt_fusion_destroy(core->fused[n]->fusion);
        mlt_fusion_destroy(core->fused[n]->retired);
        mlt_buf_fini(&core->fused[n]->held);
        mlt_buf_fini(&core->fused[n]->waits);
        free(core->fused[n]);
    }
    free(core->fused);
    free(core->dues);
    for (size_t i = 0; i < 4; i++) {
        free(core->scratch.columns[i]);
    }
}

bool mlt_conductor_fenced(const struct mlt_conductor_core *core, const struct instrument *i)
{
    return i->fused != NULL && i->fused->fenced_epoch != 0 &&
           i->fused->fenced_epoch == core->epochs[i->slot];
}

/* ---- out, or behind a commit ---- */

static void emit(struct mlt_conductor_core *core, const struct instrument *i,
                 const struct mlt_event *event)
{
    core->ports.emit(core->ports.ctx, i->slot % core->partitions, event);
}

static void clear_held(struct mlt_conductor_core *core, struct fused *f)
{
    core->holding -= f->held.len > 0;
    mlt_buf_clear(&f->held);
    if (f->held.capacity > HELD_BYTES_KEPT) {
        mlt_buf_fini(&f->held);
    }
}

static void release(struct mlt_conductor_core *core, struct fused *f)
{
    struct mlt_slice rest = mlt_buf_view(&f->held), element;
    while (mlt_batch_next(&rest, &element) == MLT_OK) {
        core->ports.emit_encoded(core->ports.ctx, f->instrument->slot % core->partitions, element);
    }
    clear_held(core, f);
}

/* What is held leaves before the BOOK that it should follow. */
static void give_up_order(struct mlt_conductor_core *core, struct fused *f)
{
    f->late = true;
    core->counts.books_late++;
    release(core, f);
}

static bool hold(struct mlt_conductor_core *core, struct fused *f, const struct mlt_event *event)
{
    const size_t bytes = mlt_event_encoded_size(event);
    uint8_t header[MLT_ELEMENT_HEADER_BYTES_MAX];
    const size_t header_bytes = mlt_batch_element_header(bytes, header);
    const bool first = f->held.len == 0;
    if (mlt_buf_reserve(&f->held, header_bytes + bytes) != MLT_OK) {
        return false;
    }
    memcpy(f->held.data + f->held.len, header, header_bytes);
    (void)mlt_event_encode(event, f->held.data + f->held.len + header_bytes);
    f->held.len += header_bytes + bytes;
    core->holding += first;
    return true;
}

void mlt_conductor_send(struct mlt_conductor_core *core, struct instrument *i,
                        const struct mlt_event *event)
{
    struct fused *f = i->fused;
    if (f != NULL && f->committing && !f->late) {
        if (hold(core, f, event)) {
            return;
        }
        core->counts.hold_overruns++;
        give_up_order(core, f);
    }
    emit(core, i, event);
}

/* ---- states ---- */

static enum mlt_status_kind kind_of(enum mlt_sync_state state)
{
    switch (state) {
    case MLT_SYNC_LIVE:
        return MLT_STATUS_LIVE;
    case MLT_SYNC_GAP:
        return MLT_STATUS_GAP;
    case MLT_SYNC_STALE:
        return MLT_STATUS_STALE;
    case MLT_SYNC_SYNCING:
        return MLT_STATUS_SYNCING;
    default:
        return MLT_STATUS_IDLE;
    }
}

void mlt_conductor_announce(struct mlt_conductor_core *core, struct fused *f)
{
    for (size_t n = 0; n < f->change_count; n++) {
        const struct mlt_sync_change *change = &f->changes[n];
        struct mlt_event event;
        mlt_conductor_status(core, f->instrument, kind_of(change->to),
                             mlt_sync_reason_word(change->reason), &event);
        event.u.status.update_first = change->first;
        event.u.status.update_last = change->last;
        event.u.status.from = (enum mlt_book_state)(change->from + 1);
        mlt_conductor_number_and_send(core, f->instrument, &event);
    }
    f->change_count = 0;
}

/* ---- BOOK ---- */

static void commit(struct mlt_conductor_core *core, struct fused *f)
{
    struct mlt_event *book = &f->book;
    if (core->ports.commit == NULL) {
        emit(core, f->instrument, book);
        return;
    }
    if (core->ports.commit(core->ports.ctx, book->instrument, book, mlt_fusion_levels(f->fusion))) {
        f->committing = true;
        f->late = false;
        f->redrawn = book->last == f->reset_last;
        f->hold_until_ns = mlt_conductor_mono_ns(core) + MLT_CONDUCTOR_HOLD_NS;
        return;
    }
    book->quality |= MLT_QUALITY_CACHE_UNAVAILABLE;
    core->counts.uncached++;
    f->uncached = true;
    emit(core, f->instrument, book);
}

static void make_book(struct mlt_conductor_core *core, struct fused *f)
{
    struct instrument *i = f->instrument;
    struct mlt_event *book = &f->book;
    struct channel *channel = &i->channels[MLT_EVENT_BOOK];
    mlt_fusion_book(f->fusion, book);
    book->instrument = mlt_slice_of(i->token, i->token_len);
    book->key = mlt_event_key(book->instrument, MLT_EVENT_BOOK, book->first, book->last,
                              (int64_t)book->u.book.state);
    f->position_before = channel->position;
    channel->position = book->last;
    channel->has_position = true;
    mlt_conductor_number(core, i, book);
    core->counts.books++;
    core->counts.books_merged += book->merged;
    f->recorded = true;
    f->ended = false;
    commit(core, f);
}

/* The owner before put out later ones than the record that this book was restored from: it was read
 * before that one knew that it was replaced. The next one to leave is LIVE, or of a snapshot. */
static bool behind(const struct fused *f)
{
    const struct channel *books = &f->instrument->channels[MLT_EVENT_BOOK];
    return mlt_fusion_restored(f->fusion) && books->has_position &&
           mlt_fusion_shows(f->fusion) < books->position;
}

/* As mlt_fusion_book_at_ns, of what may leave. */
static int64_t book_at(const struct mlt_conductor_core *core, const struct fused *f)
{
    const bool free = !f->committing && !f->withdrawing;
    const int64_t at =
        f->wanted && free && !behind(f) ? mlt_fusion_book_at_ns(f->fusion) : INT64_MAX;
    if (at == INT64_MAX || at == INT64_MIN) {
        return at;
    }
    return core->draining ? INT64_MIN : at;
}

void mlt_conductor_settle_due(struct mlt_conductor_core *core, struct fused *f)
{
    int64_t due = INT64_MAX;
    if (mlt_conductor_current(core, f->instrument)) {
        due = mlt_fusion_due_ns(f->fusion);
        int64_t other = book_at(core, f);
        if (f->conflated && other != INT64_MIN && other < f->withheld_until_ns) {
            other = f->withheld_until_ns;
        }
        if (f->committing && !f->late) {
            other = f->hold_until_ns;
        }
        due = other < due ? other : due;
    } else if (f->committing && !f->late) {
        due = f->hold_until_ns;
    }
    core->dues[f->index] = due;
    core->due_ns = due < core->due_ns ? due : core->due_ns;
}

static void set_conflated(struct mlt_conductor_core *core, struct fused *f, bool conflated)
{
    core->conflated += conflated && !f->conflated;
    core->conflated -= !conflated && f->conflated;
    f->conflated = conflated;
}

/* There is no room for the BOOK, whose window is over, and it has not waited long enough. */
static bool withheld(struct mlt_conductor_core *core, struct fused *f, int64_t now)
{
    if (mlt_conductor_room(core) == MLT_ROOM_FOR_ALL) {
        return false;
    }
    if (!f->conflated) {
        core->counts.conflated++;
        f->withheld_until_ns = now + MLT_CONDUCTOR_WITHHELD_NS;
        set_conflated(core, f, true);
    }
    return now < f->withheld_until_ns;
}

void mlt_conductor_book_if_due(struct mlt_conductor_core *core, struct fused *f)
{
    mlt_conductor_waited_if_ripe(core, f);
    mlt_conductor_withdraw_if_due(core, f);
    if (!f->wanted) { /* no BOOK waits any more */
        set_conflated(core, f, false);
    }
    const int64_t at = book_at(core, f);
    /* Mostly nothing is, and that costs no look at the clock. */
    const int64_t now =
        at == INT64_MAX || at == INT64_MIN ? INT64_MIN : mlt_conductor_mono_ns(core);
    if (at == INT64_MIN || (at <= now && !withheld(core, f, now))) {
        set_conflated(core, f, false);
        make_book(core, f);
    }
    mlt_conductor_settle_due(core, f);
}

/* ---- events ---- */

static void take_instrument(struct mlt_conductor_core *core, struct instrument *i,
                            const struct mlt_instrument *listed)
{
    i->has_exponents = true;
    i->price_exponent = listed->price_exponent;
    i->quantity_exponent = listed->quantity_exponent;
    if (i->fused == NULL ||
        mlt_fusion_fits(i->fused->fusion, listed->price_exponent, listed->quantity_exponent)) {
        return;
    }
    const bool idle = mlt_fusion_state(i->fused->fusion) == MLT_SYNC_IDLE; /* nobody wants it */
    const enum mlt_status status =
        idle ? mlt_conductor_equip(core, i, listed->price_exponent, listed->quantity_exponent)
             : mlt_conductor_fuse(core, i, listed->price_exponent, listed->quantity_exponent);
    core->counts.books_refused += status != MLT_OK;
}

static void take_delta(struct mlt_conductor_core *core, struct instrument *i,
                       struct mlt_event *event)
{
    struct mlt_book_delta *delta = &event->u.book_delta;
    delta->digest = delta->digest_version = 0;
    i->source_down = false; /* there is no better word of it than what it brings */
    enum mlt_status status = mlt_conductor_fuse_for(core, i, &delta->bids, &delta->asks);
    if (status == MLT_OK) {
        status = mlt_fusion_delta(i->fused->fusion, event);
        core->counts.digests += delta->digest_version != 0;
    }
    core->counts.books_refused += status != MLT_OK;
}

/* waited: it is the one that did. False: it may be another instrument's, and goes nowhere, or not
 * yet. */
static bool take_snapshot(struct mlt_conductor_core *core, struct instrument *i,
                          struct mlt_event *event, bool waited)
{
    const struct mlt_book_snapshot *snapshot = &event->u.book_snapshot;
    struct mlt_sync_counts before = { 0 }, after = { 0 };
    enum mlt_sync_outcome outcome = MLT_SYNC_UNUSED;
    if ((event->quality & MLT_QUALITY_WANTS_BOOK) == 0 &&
        (i->fused == NULL || mlt_fusion_state(i->fused->fusion) == MLT_SYNC_IDLE)) {
        core->counts.unused_snapshots++; /* who wants snapshots alone has no book */
        return true;
    }
    enum mlt_status status = mlt_conductor_fuse_for(core, i, &snapshot->bids, &snapshot->asks);
    if (status == MLT_OK) {
        struct mlt_fusion *fusion = i->fused->fusion;
        mlt_fusion_counts(fusion, &before);
        status = (waited ? mlt_fusion_waited : mlt_fusion_snapshot)(fusion, event, &core->scratch,
                                                                    &outcome);
        mlt_fusion_counts(fusion, &after);
        core->counts.audits_right += after.audits_right - before.audits_right;
        core->counts.audits_wrong += after.audits_wrong - before.audits_wrong;
    }
    core->counts.books_refused += status != MLT_OK;
    if (outcome == MLT_SYNC_WAITS) {
        mlt_conductor_wait_for_deltas(core, i, event);
        return false;
    }
    const bool used = outcome == MLT_SYNC_APPLIED;
    if (used) {
        i->fused->reset_last = event->last;
        i->fused->redrawn = i->fused->redrawn || event->last == i->fused->book.last;
    }
    core->counts.snapshots += used;
    core->counts.unused_snapshots += !used;
    core->counts.snapshots_doubted += after.doubted - before.doubted;
    return after.doubted == before.doubted;
}

bool mlt_conductor_snapshot_leaves(struct mlt_conductor_core *core, struct instrument *i,
                                   struct mlt_event *event, bool waited)
{
    if (!take_snapshot(core, i, event, waited)) {
        return false;
    }
    if (!event->u.book_snapshot.reset && (event->quality & MLT_QUALITY_WANTS_SNAPSHOT) == 0) {
        core->counts.snapshots_kept++;
        return false;
    }
    return true;
}

void mlt_conductor_take_wants(struct instrument *i, const struct mlt_event *event)
{
    if (i->fused != NULL) {
        i->fused->wanted = (event->quality & MLT_QUALITY_WANTS_BOOK) != 0;
        i->fused->heard = true;
        i->fused->unheard = false;
    }
}

bool mlt_conductor_of_source(const struct mlt_event *event)
{
    return event->type == MLT_EVENT_STATUS && (event->u.status.kind == MLT_STATUS_SOURCE_DOWN ||
                                               event->u.status.kind == MLT_STATUS_SOURCE_UP);
}

void mlt_conductor_take_source(struct instrument *i, const struct mlt_event *event)
{
    const bool up = event->u.status.kind == MLT_STATUS_SOURCE_UP;
    struct fused *f = i->fused;
    i->source_down = !up;
    if (f == NULL) {
        return;
    }
    f->asleep = f->asleep && !up;
    f->down_again = false;
    if (up && mlt_slice_equal_string(event->u.status.reason, MLT_SOURCE_UP_STARTED)) {
        mlt_fusion_source_began(f->fusion);
    } else {
        mlt_fusion_source(f->fusion, up);
    }
}

bool mlt_conductor_books_before(struct mlt_conductor_core *core, struct instrument *i,
                                struct mlt_event *event)
{
    if (!core->makes_books) {
        return true;
    }
    switch (event->type) {
    case MLT_EVENT_INSTRUMENT:
        take_instrument(core, i, &event->u.instrument);
        break;
    case MLT_EVENT_BOOK_DELTA:
        take_delta(core, i, event);
        mlt_conductor_take_wants(i, event);
        if (i->fused != NULL) {
            /* A delta that does not follow comes after the word of it. */
            mlt_conductor_announce(core, i->fused);
        }
        break;
    case MLT_EVENT_BOOK_SNAPSHOT: {
        const bool leaves = mlt_conductor_snapshot_leaves(core, i, event, false);
        mlt_conductor_take_wants(i, event);
        return leaves;
    }
    case MLT_EVENT_TRADE:
        if (i->fused != NULL && i->channels[MLT_EVENT_TRADE].after_gap) {
            mlt_fusion_trades_missed(i->fused->fusion);
        }
        if (i->fused != NULL && mlt_fusion_trade(i->fused->fusion, &event->u.trade) != MLT_OK) {
            core->counts.books_refused++;
        }
        break;
    case MLT_EVENT_STATUS:
        if (mlt_conductor_of_source(event)) {
            mlt_conductor_take_source(i, event);
        }
        break;
    default:
        break;
    }
    return true;
}

void mlt_conductor_books_after(struct mlt_conductor_core *core, struct instrument *i,
                               const struct mlt_event *event)
{
    if (i->fused == NULL ||
        (event->type != MLT_EVENT_BOOK_DELTA && event->type != MLT_EVENT_BOOK_SNAPSHOT &&
         event->type != MLT_EVENT_INSTRUMENT && event->type != MLT_EVENT_STATUS)) {
        return;
    }
    mlt_conductor_announce(core, i->fused);
    mlt_conductor_book_if_due(core, i->fused);
}

void mlt_conductor_books_lost(struct mlt_conductor_core *core, struct instrument *i)
{
    if (i->fused != NULL) {
        mlt_fusion_lost(i->fused->fusion);
        mlt_conductor_announce(core, i->fused);
        mlt_conductor_book_if_due(core, i->fused);
    }
}

void mlt_conductor_books_refused(struct mlt_conductor_core *core, struct instrument *i)
{
    if (i->fused != NULL) {
        mlt_fusion_refused(i->fused->fusion);
        mlt_conductor_announce(core, i->fused);
        mlt_conductor_book_if_due(core, i->fused);
    }
}

void mlt_conductor_books_epoch(struct mlt_conductor_core *core, struct instrument *i)
{
    struct fused *f = i->fused;
    if (f == NULL) {
        return;
    }
    mlt_fusion_new_epoch(f->fusion);
    if (f->committing) { /* it never leaves: its answer finds another epoch */
        i->channels[MLT_EVENT_BOOK].sequence--;
        i->channels[MLT_EVENT_BOOK].position = f->position_before;
        if (!f->late) {
            give_up_order(core, f);
        }
    }
}

/* ---- answers and time ---- */

/* Nothing views the book of before any more. */
static void end_retired(struct fused *f)
{
    mlt_fusion_destroy(f->retired);
    f->retired = NULL;
}

/* Order was given up. A snapshot with `reset` is at the id of the BOOK, before or behind it, so
 * that the book of that id is one of two; what who follows noted of it is the other one's digest.
 */
static void undigest(struct fused *f)
{
    if (f->late && f->redrawn) {
        f->book.u.book.digest_version = 0;
        f->book.u.book.digest = 0;
    }
}

/* Order was given up, and a change of state that was said meanwhile is out: the BOOK behind it must
 * not take that back. Its record is as it was made; the commit that the change waits for follows at
 * once. Its key stays, too: the next one has that of the state. */
static void overtake(struct fused *f)
{
    struct mlt_book *b = &f->book.u.book;
    const enum mlt_book_state now = (enum mlt_book_state)(mlt_fusion_state(f->fusion) + 1);
    if (!f->late || now == MLT_BOOK_LIVE || b->state == now ||
        (b->state != MLT_BOOK_LIVE && b->state != MLT_BOOK_STALE)) {
        return;
    }
    b->state = now;
    b->has_analytics = false;
    f->book.quality |= MLT_QUALITY_STALE;
    f->book.quality &= ~(uint32_t)MLT_QUALITY_WARMING;
    f->core->counts.books_overtaken++;
    if (now != MLT_BOOK_STALE) { /* no level is shown, as ever */
        f->book.quality &= ~(uint32_t)MLT_QUALITY_DEPTH_LIMITED;
        b->bids.count = b->asks.count = 0;
        b->known_bids = b->known_asks = b->digest_version = 0;
        b->digest = 0;
        b->deltas_applied = 0;
        b->snapshot_update_id = b->snapshot_time_ns = 0;
    }
}

void mlt_conductor_core_committed(struct mlt_conductor_core *core, struct mlt_slice instrument,
                                  enum mlt_commit_outcome outcome)
{
    struct instrument *i = mlt_map_get(&core->map, instrument);
    struct fused *f = i != NULL ? i->fused : NULL;
    if (f == NULL || !f->committing) {
        const bool withdrawn = f != NULL && f->withdrawing;
        if (f != NULL && outcome == MLT_COMMIT_FENCED) {
            f->fenced_epoch = withdrawn ? f->book.epoch : i->epoch;
            mlt_conductor_settle_due(core, f);
        }
        if (withdrawn) { /* what is wanted again by now waited for that */
            f->withdrawing = false;
            mlt_conductor_book_if_due(core, f);
        }
        return;
    }
    f->committing = false;
    if (outcome == MLT_COMMIT_FENCED || f->book.epoch != core->epochs[i->slot]) {
        core->counts.books_fenced++;
        if (outcome == MLT_COMMIT_FENCED) {
            f->fenced_epoch = f->book.epoch;
        }
        end_retired(f);
        clear_held(core, f);
        mlt_conductor_settle_due(core, f);
        return;
    }
    f->uncached = outcome == MLT_COMMIT_UNAVAILABLE;
    if (f->uncached) {
        f->book.quality |= MLT_QUALITY_CACHE_UNAVAILABLE;
        core->counts.uncached++;
    }
    undigest(f);
    overtake(f);
    emit(core, i, &f->book);
    end_retired(f);
    release(core, f);
    mlt_conductor_book_if_due(core, f);
}

void mlt_conductor_core_room(struct mlt_conductor_core *core)
{
    mlt_conductor_tiers_room(core);
    for (size_t n = 0; n < core->fused_count && core->conflated > 0; n++) {
        struct fused *f = core->fused[n];
        if (f->conflated && mlt_conductor_current(core, f->instrument)) {
            if (mlt_conductor_room(core) != MLT_ROOM_FOR_ALL) {
                break;
            }
            mlt_conductor_book_if_due(core, f);
        }
    }
}

size_t mlt_conductor_core_drain(struct mlt_conductor_core *core)
{
    size_t waiting = 0;
    core->draining = true;
    mlt_conductor_tiers_room(core);
    for (size_t n = 0; n < core->fused_count; n++) {
        struct fused *f = core->fused[n];
        if (mlt_conductor_current(core, f->instrument)) {
            mlt_conductor_book_if_due(core, f);
            waiting += f->committing || f->withdrawing;
        }
    }
    return waiting;
}

static void say_rebuilt(struct mlt_conductor_core *core, struct fused *f)
{
    struct mlt_event event;
    mlt_conductor_status(core, f->instrument, MLT_STATUS_CACHE_REBUILT, "bucket_empty", &event);
    mlt_conductor_number_and_send(core, f->instrument, &event);
}

void mlt_conductor_core_cache_back(struct mlt_conductor_core *core, bool rebuilt)
{
    for (size_t n = 0; n < core->fused_count; n++) {
        struct fused *f = core->fused[n];
        if (!mlt_conductor_current(core, f->instrument)) {
            continue;
        }
        if (rebuilt && f->instrument->channels[MLT_EVENT_BOOK].sequence > 0) {
            say_rebuilt(core, f);
        }
        if (f->uncached) {
            mlt_fusion_again(f->fusion);
            mlt_conductor_book_if_due(core, f);
        }
    }
}

const struct mlt_orderbook *mlt_conductor_core_levels(const struct mlt_conductor_core *core,
                                                      struct mlt_slice instrument)
{
    const struct instrument *i = mlt_map_get(&core->map, instrument);
    return i != NULL && i->fused != NULL ? mlt_fusion_levels(i->fused->fusion) : NULL;
}

enum mlt_book_state mlt_conductor_core_state(const struct mlt_conductor_core *core,
                                             struct mlt_slice instrument)
{
    const struct instrument *i = mlt_map_get(&core->map, instrument);
    return i != NULL && i->fused != NULL
               ? (enum mlt_book_state)(mlt_fusion_state(i->fused->fusion) + 1)
               : MLT_BOOK_STATE_NONE;
}

void mlt_conductor_core_resync_failed(struct mlt_conductor_core *core, struct mlt_slice instrument)
{
    struct instrument *i = mlt_map_get(&core->map, instrument);
    if (i != NULL && i->fused != NULL && mlt_conductor_owns(core, i)) {
        mlt_fusion_request_failed(i->fused->fusion);
        mlt_conductor_announce(core, i->fused);
        mlt_conductor_book_if_due(core, i->fused);
    }
}

static void tick(struct mlt_conductor_core *core, struct fused *f, int64_t now)
{
    if (f->committing && !f->late && now >= f->hold_until_ns) {
        give_up_order(core, f);
    }
    if (!mlt_conductor_current(core, f->instrument)) {
        mlt_conductor_settle_due(core, f);
        return;
    }
    if (core->held_up) {
        mlt_fusion_wait_on(f->fusion);
    }
    if (now >= mlt_fusion_due_ns(f->fusion)) {
        mlt_fusion_tick(f->fusion);
        mlt_conductor_announce(core, f);
    }
    mlt_conductor_book_if_due(core, f);
}

void mlt_conductor_core_held_up(struct mlt_conductor_core *core, bool held_up)
{
    core->held_up = held_up;
}

void mlt_conductor_core_tick(struct mlt_conductor_core *core)
{
    mlt_conductor_trades_tick(core);
    mlt_conductor_tiers_tick(core);
    const int64_t now = core->fused_count > 0 ? mlt_conductor_mono_ns(core) : 0;
    if (core->fused_count == 0 || now < core->due_ns) {
        return;
    }
    for (size_t n = 0; n < core->fused_count; n++) {
        if (now >= core->dues[n]) {
            tick(core, core->fused[n], now);
        }
    }
    core->due_ns = INT64_MAX;
    for (size_t n = 0; n < core->fused_count; n++) {
        core->due_ns = core->dues[n] < core->due_ns ? core->dues[n] : core->due_ns;
    }
}

int64_t mlt_conductor_core_due_ns(const struct mlt_conductor_core *core)
{
    const int64_t due = core->due_ns < core->trades_due_ns ? core->due_ns : core->trades_due_ns;
    const int64_t kept = mlt_conductor_tiers_due_ns(core);
    return kept < due ? kept : due;
}

size_t mlt_conductor_core_holding(const struct mlt_conductor_core *core)
{
    return core->holding;
}
