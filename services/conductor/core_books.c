/* The Conductor's books: one fusion an instrument, made when something of a book comes; the STATUS
 * events of its changes; BOOKs, and what waits behind their commits. See core.h. */
#include <stdlib.h>

#include "core_internal.h"
#include "meltica/base/check.h"
#include "meltica/base/hash.h"

#define HELD_BYTES_KEPT (16u << 10)

static int64_t mono_ns(const struct mlt_conductor_core *core)
{
    return core->ports.clock->mono_ns(core->ports.clock->ctx);
}

void mlt_conductor_books_fini(struct mlt_conductor_core *core)
{
    for (size_t n = 0; n < core->fused_count; n++) {
        mlt_fusion_destroy(core->fused[n]->fusion);
        mlt_buf_fini(&core->fused[n]->held);
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

static void count_change(struct fused *f, const struct mlt_sync_change *change)
{
    struct mlt_conductor_counts *counts = &f->core->counts;
    counts->gaps += change->to == MLT_SYNC_GAP;
    counts->stales += change->to == MLT_SYNC_STALE;
    counts->crossed += change->reason == MLT_SYNC_CROSSED;
    if (change->to == MLT_SYNC_LIVE) {
        counts->resyncs += f->was_live && change->reason == MLT_SYNC_JOINED;
        f->was_live = true;
    }
}

static void on_changed(void *ctx, const struct mlt_sync_change *change)
{
    struct fused *f = ctx;
    count_change(f, change);
    MLT_CHECK(f->change_count < CHANGES_MAX);
    f->changes[f->change_count++] = *change;
}

static void on_request(void *ctx, uint32_t depth, bool urgent)
{
    struct fused *f = ctx;
    struct mlt_conductor_core *core = f->core;
    core->counts.requests++;
    if (core->ports.resync != NULL) {
        core->ports.resync(core->ports.ctx,
                           mlt_slice_of(f->instrument->token, f->instrument->token_len), depth,
                           urgent);
    }
}

/* STATUS for what changed within this call. */
static void announce(struct mlt_conductor_core *core, struct fused *f)
{
    for (size_t n = 0; n < f->change_count; n++) {
        const struct mlt_sync_change *change = &f->changes[n];
        struct mlt_event event;
        mlt_conductor_status(core, f->instrument, kind_of(change->to),
                             mlt_sync_reason_word(change->reason), &event);
        event.u.status.update_first = change->first;
        event.u.status.update_last = change->last;
        event.u.status.from = (enum mlt_book_state)(change->from + 1);
        mlt_conductor_number(core, f->instrument, &event);
        mlt_conductor_send(core, f->instrument, &event);
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
        f->hold_until_ns = mono_ns(core) + MLT_CONDUCTOR_HOLD_NS;
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
    commit(core, f);
}

/* Sets when the instrument is due next. */
static void settle(struct mlt_conductor_core *core, struct fused *f)
{
    int64_t due = INT64_MAX;
    if (mlt_conductor_owns(core, f->instrument) &&
        f->instrument->epoch == core->epochs[f->instrument->slot]) {
        due = mlt_fusion_due_ns(f->fusion);
        int64_t other = INT64_MAX;
        if (!f->committing) {
            other = !f->wanted ? INT64_MAX : mlt_fusion_book_at_ns(f->fusion);
        } else if (!f->late) {
            other = f->hold_until_ns;
        }
        due = other < due ? other : due;
    } else if (f->committing && !f->late) {
        due = f->hold_until_ns;
    }
    core->dues[f->index] = due;
    core->due_ns = due < core->due_ns ? due : core->due_ns;
}

static void book_if_due(struct mlt_conductor_core *core, struct fused *f)
{
    const int64_t at = mlt_fusion_book_at_ns(f->fusion);
    /* Mostly nothing is, and that costs no look at the clock. */
    if (f->wanted && !f->committing && at != INT64_MAX &&
        (at == INT64_MIN || at <= mono_ns(core))) {
        make_book(core, f);
    }
    settle(core, f);
}

/* ---- making a fusion ---- */

static enum mlt_status make_room(struct mlt_conductor_core *core)
{
    if (core->fused_count < core->fused_capacity) {
        return MLT_OK;
    }
    const size_t capacity = core->fused_capacity > 0 ? 2 * core->fused_capacity : 64;
    struct fused **fused = realloc(core->fused, capacity * sizeof *fused);
    if (fused == NULL) {
        return MLT_E_NOMEM;
    }
    core->fused = fused;
    int64_t *dues = realloc(core->dues, capacity * sizeof *dues);
    if (dues == NULL) {
        return MLT_E_NOMEM;
    }
    core->dues = dues;
    core->fused_capacity = capacity;
    return MLT_OK;
}

static enum mlt_status create_fusion(struct mlt_conductor_core *core, struct fused *f,
                                     int32_t price_exponent, int32_t quantity_exponent,
                                     struct mlt_fusion **out)
{
    const struct mlt_conductor_books *b = &core->books;
    const struct mlt_fusion_options options = {
        .sync = { .first_depth = b->first_depth,
                  .depth = b->snapshot_depth,
                  .shown = b->published_levels,
                  .request_timeout_ns = b->request_timeout_ns,
                  .backoff_base_ns = b->backoff_base_ns,
                  .backoff_max_ns = b->backoff_max_ns,
                  .stale_after_ns = b->stale_after_ns,
                  .refresh_interval_ns = b->refresh_ns,
                  .seed = mlt_mix64(b->seed + (f != NULL ? f->index : 0)),
                  .book = { b->book_levels, price_exponent, quantity_exponent } },
        .throttle_ns = b->throttle_ns,
    };
    const struct mlt_sync_ports ports = { on_request, on_changed, f, core->ports.clock };
    return mlt_fusion_create(&options, &ports, out);
}

static enum mlt_status first_book(struct mlt_conductor_core *core, struct instrument *i,
                                  struct fused **out)
{
    const enum mlt_status status = make_room(core);
    if (status != MLT_OK) {
        return status;
    }
    struct fused *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return MLT_E_NOMEM;
    }
    f->core = core;
    f->instrument = i;
    f->index = core->fused_count;
    mlt_buf_init(&f->held, MLT_CONDUCTOR_HOLD_BYTES_MAX);
    *out = f;
    return MLT_OK;
}

static void add_levels(const struct mlt_fusion *fusion, struct mlt_conductor_counts *to)
{
    struct mlt_orderbook_counts counts;
    mlt_orderbook_counts(mlt_fusion_levels(fusion), &counts);
    to->level_changes += counts.changes;
    to->unknown_deletes += counts.unknown_deletes;
}

/* A book at these exponents: the one that there is, or a new one. */
static enum mlt_status fuse(struct mlt_conductor_core *core, struct instrument *i,
                            int32_t price_exponent, int32_t quantity_exponent)
{
    struct fused *f = i->fused;
    if (f != NULL && mlt_fusion_fits(f->fusion, price_exponent, quantity_exponent)) {
        return MLT_OK;
    }
    enum mlt_status status = f != NULL ? MLT_OK : first_book(core, i, &f);
    if (status != MLT_OK) {
        return status;
    }
    struct mlt_fusion *fusion = NULL;
    status = create_fusion(core, f, price_exponent, quantity_exponent, &fusion);
    if (status != MLT_OK) {
        if (i->fused == NULL) {
            free(f);
        }
        return status;
    }
    if (i->fused != NULL) { /* other exponents: another book */
        mlt_fusion_stop(f->fusion);
        announce(core, f);
        add_levels(f->fusion, &core->counts); /* of books that are no more */
        mlt_fusion_destroy(f->fusion);
    } else {
        core->fused[core->fused_count] = f;
        core->dues[core->fused_count++] = INT64_MAX;
        i->fused = f;
    }
    f->fusion = fusion;
    mlt_fusion_start(fusion);
    return MLT_OK;
}

enum mlt_status mlt_conductor_core_books(struct mlt_conductor_core *core,
                                         const struct mlt_conductor_books *options)
{
    if (core->first != NULL || core->makes_books) {
        return MLT_E_INVALID;
    }
    core->books = *options;
    struct mlt_fusion *tried = NULL;
    const enum mlt_status status = create_fusion(core, NULL, 0, 0, &tried);
    mlt_fusion_destroy(tried);
    if (status != MLT_OK) {
        return status;
    }
    for (size_t i = 0; i < 4; i++) {
        core->scratch.columns[i] = calloc(options->book_levels, sizeof(int64_t));
        if (core->scratch.columns[i] == NULL) {
            return MLT_E_NOMEM;
        }
    }
    core->scratch.levels = options->book_levels;
    core->makes_books = true;
    return MLT_OK;
}

/* Levels have the exponents that INSTRUMENT announces, so they tell them as well: an owner that
 * starts between two listings need not wait for the next. */
static enum mlt_status fuse_for(struct mlt_conductor_core *core, struct instrument *i,
                                const struct mlt_levels *bids, const struct mlt_levels *asks)
{
    const struct mlt_levels *of = bids->count > 0 ? bids : asks;
    if (of->count > 0) {
        return fuse(core, i, of->price_exponent, of->quantity_exponent);
    }
    if (i->fused != NULL) {
        return MLT_OK;
    }
    return i->has_exponents ? fuse(core, i, i->price_exponent, i->quantity_exponent)
                            : MLT_E_MISSING;
}

/* ---- events ---- */

static void take_instrument(struct mlt_conductor_core *core, struct instrument *i,
                            const struct mlt_instrument *listed)
{
    i->has_exponents = true;
    i->price_exponent = listed->price_exponent;
    i->quantity_exponent = listed->quantity_exponent;
    if (i->fused != NULL &&
        fuse(core, i, listed->price_exponent, listed->quantity_exponent) != MLT_OK) {
        core->counts.books_refused++;
    }
}

static void take_delta(struct mlt_conductor_core *core, struct instrument *i,
                       struct mlt_event *event)
{
    struct mlt_book_delta *delta = &event->u.book_delta;
    delta->digest = delta->digest_version = 0;
    enum mlt_status status = fuse_for(core, i, &delta->bids, &delta->asks);
    if (status == MLT_OK) {
        status = mlt_fusion_delta(i->fused->fusion, event);
        core->counts.digests += delta->digest_version != 0;
    }
    core->counts.books_refused += status != MLT_OK;
}

static void take_snapshot(struct mlt_conductor_core *core, struct instrument *i,
                          struct mlt_event *event)
{
    const struct mlt_book_snapshot *snapshot = &event->u.book_snapshot;
    struct mlt_sync_counts before, after;
    bool used = false;
    enum mlt_status status = fuse_for(core, i, &snapshot->bids, &snapshot->asks);
    if (status == MLT_OK) {
        struct mlt_fusion *fusion = i->fused->fusion;
        mlt_fusion_counts(fusion, &before);
        status = mlt_fusion_snapshot(fusion, event, &core->scratch, &used);
        mlt_fusion_counts(fusion, &after);
        core->counts.audits_right += after.audits_right - before.audits_right;
        core->counts.audits_wrong += after.audits_wrong - before.audits_wrong;
    }
    core->counts.books_refused += status != MLT_OK;
    core->counts.snapshots += used;
    core->counts.unused_snapshots += !used;
}

/* The Dispatcher has the table and says by each event what is subscribed
 * (docs/decisions/0010-books.md). */
static void take_wants(struct instrument *i, const struct mlt_event *event)
{
    if (i->fused != NULL) {
        i->fused->wanted = (event->quality & MLT_QUALITY_WANTS_BOOK) != 0;
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
        take_wants(i, event);
        if (i->fused != NULL) {
            announce(core, i->fused); /* a delta that does not follow comes after the word of it */
        }
        break;
    case MLT_EVENT_BOOK_SNAPSHOT:
        take_snapshot(core, i, event);
        take_wants(i, event);
        if (!event->u.book_snapshot.reset && (event->quality & MLT_QUALITY_WANTS_SNAPSHOT) == 0) {
            core->counts.snapshots_kept++;
            return false;
        }
        break;
    case MLT_EVENT_TRADE:
        if (i->fused != NULL && mlt_fusion_trade(i->fused->fusion, &event->u.trade) != MLT_OK) {
            core->counts.books_refused++;
        }
        break;
    case MLT_EVENT_STATUS:
        if (i->fused != NULL && (event->u.status.kind == MLT_STATUS_SOURCE_DOWN ||
                                 event->u.status.kind == MLT_STATUS_SOURCE_UP)) {
            mlt_fusion_source(i->fused->fusion, event->u.status.kind == MLT_STATUS_SOURCE_UP);
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
    announce(core, i->fused);
    book_if_due(core, i->fused);
}

void mlt_conductor_books_lost(struct mlt_conductor_core *core, struct instrument *i)
{
    if (i->fused != NULL) {
        mlt_fusion_lost(i->fused->fusion);
        announce(core, i->fused);
        book_if_due(core, i->fused);
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

void mlt_conductor_core_committed(struct mlt_conductor_core *core, struct mlt_slice instrument,
                                  enum mlt_commit_outcome outcome)
{
    struct instrument *i = mlt_map_get(&core->map, instrument);
    struct fused *f = i != NULL ? i->fused : NULL;
    if (f == NULL || !f->committing) {
        if (f != NULL && outcome == MLT_COMMIT_FENCED) {
            f->fenced_epoch = i->epoch;
            settle(core, f);
        }
        return;
    }
    f->committing = false;
    if (outcome == MLT_COMMIT_FENCED || f->book.epoch != core->epochs[i->slot]) {
        core->counts.books_fenced++;
        if (outcome == MLT_COMMIT_FENCED) {
            f->fenced_epoch = f->book.epoch;
        }
        clear_held(core, f);
        settle(core, f);
        return;
    }
    f->uncached = outcome == MLT_COMMIT_UNAVAILABLE;
    if (f->uncached) {
        f->book.quality |= MLT_QUALITY_CACHE_UNAVAILABLE;
        core->counts.uncached++;
    }
    emit(core, i, &f->book);
    release(core, f);
    book_if_due(core, f);
}

void mlt_conductor_core_cache_back(struct mlt_conductor_core *core)
{
    for (size_t n = 0; n < core->fused_count; n++) {
        struct fused *f = core->fused[n];
        if (f->uncached && mlt_conductor_owns(core, f->instrument) &&
            f->instrument->epoch == core->epochs[f->instrument->slot]) {
            mlt_fusion_again(f->fusion);
            book_if_due(core, f);
        }
    }
}

const struct mlt_orderbook *mlt_conductor_core_levels(const struct mlt_conductor_core *core,
                                                      struct mlt_slice instrument)
{
    const struct instrument *i = mlt_map_get(&core->map, instrument);
    return i != NULL && i->fused != NULL ? mlt_fusion_levels(i->fused->fusion) : NULL;
}

void mlt_conductor_core_resync_failed(struct mlt_conductor_core *core, struct mlt_slice instrument)
{
    struct instrument *i = mlt_map_get(&core->map, instrument);
    if (i != NULL && i->fused != NULL && mlt_conductor_owns(core, i)) {
        mlt_fusion_request_failed(i->fused->fusion);
        announce(core, i->fused);
        book_if_due(core, i->fused);
    }
}

static void tick(struct mlt_conductor_core *core, struct fused *f, int64_t now)
{
    if (f->committing && !f->late && now >= f->hold_until_ns) {
        give_up_order(core, f);
    }
    if (!mlt_conductor_owns(core, f->instrument) ||
        f->instrument->epoch != core->epochs[f->instrument->slot]) {
        settle(core, f);
        return;
    }
    if (now >= mlt_fusion_due_ns(f->fusion)) {
        mlt_fusion_tick(f->fusion);
        announce(core, f);
    }
    book_if_due(core, f);
}

void mlt_conductor_core_tick(struct mlt_conductor_core *core)
{
    const int64_t now = core->fused_count > 0 ? mono_ns(core) : 0;
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
    return core->due_ns;
}

size_t mlt_conductor_core_holding(const struct mlt_conductor_core *core)
{
    return core->holding;
}

void mlt_conductor_core_counts(const struct mlt_conductor_core *core,
                               struct mlt_conductor_counts *out)
{
    *out = core->counts;
    memset(out->states, 0, sizeof out->states);
    for (size_t n = 0; n < core->fused_count; n++) {
        out->states[mlt_fusion_state(core->fused[n]->fusion) + 1]++;
        add_levels(core->fused[n]->fusion, out);
    }
}
