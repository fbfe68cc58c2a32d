#include "fusion.h"

#include <stdlib.h>

/* Where the newest event in a BOOK came from, and when. */
struct provenance {
    uint8_t trace_id[MLT_TRACE_ID_BYTES];
    uint32_t trace_flags;
    struct mlt_stamps stamps;
    struct mlt_slice exchange; /* static, see exchange_name */
    uint32_t route;
    uint64_t route_revision;
};

#define EXCHANGE_BYTES_MAX 32

struct mlt_fusion {
    struct mlt_fusion_options options;
    struct mlt_sync_ports ports; /* the caller's */
    struct mlt_sync *sync;
    struct mlt_analytics *analytics;
    int64_t *columns; /* four of `shown`: of the last BOOK */
    char exchange_name[EXCHANGE_BYTES_MAX];

    /* What a BOOK would say now. */
    struct provenance newest;
    int64_t exchange_ns; /* time of analytics, the exchange's; MLT_STAMP_UNKNOWN: not told yet */
    int64_t last;        /* highest id that the book had in this epoch */
    int64_t snapshot_id, snapshot_ns;
    uint64_t waited_ns; /* the newest event in it, for the deltas that it was ahead of */
    uint64_t deltas;

    /* What the last BOOK of an owner before showed, with its levels in columns. */
    bool restored;
    uint32_t restored_quality;
    struct mlt_book restored_book;
    /* Since then the window ends at the last level that was known, while who follows the deltas may
     * know of more: of fewer levels than a digest has, theirs is another one. */
    bool narrowed;

    /* What the last one said. */
    bool shown;
    int64_t shown_last;
    int64_t window_ends_ns;

    uint32_t changes; /* since then */
    bool urgent;
    int64_t changed_ns; /* monotonic, of the newest change */
};

static int64_t mono_ns(const struct mlt_fusion *fusion)
{
    return fusion->ports.clock->mono_ns(fusion->ports.clock->ctx);
}

static void note(struct mlt_fusion *fusion)
{
    fusion->changes += fusion->changes < UINT32_MAX;
    fusion->changed_ns = mono_ns(fusion);
}

static void on_request(void *ctx, uint32_t depth, enum mlt_sync_need need)
{
    const struct mlt_fusion *fusion = ctx;
    fusion->ports.request(fusion->ports.ctx, depth, need);
}

static void on_changed(void *ctx, const struct mlt_sync_change *change)
{
    struct mlt_fusion *fusion = ctx;
    if (change->to != MLT_SYNC_LIVE) {
        mlt_analytics_restart_book(fusion->analytics);
    }
    if (change->to == MLT_SYNC_LIVE || change->to == MLT_SYNC_GAP || change->to == MLT_SYNC_STALE) {
        fusion->urgent = true;
    }
    if (change->to != MLT_SYNC_STALE && change->to != MLT_SYNC_SYNCING) {
        fusion->restored = false;
    }
    fusion->ports.changed(fusion->ports.ctx, change);
}

enum mlt_status mlt_fusion_create(const struct mlt_fusion_options *options,
                                  const struct mlt_sync_ports *ports, struct mlt_fusion **out)
{
    if (options->throttle_ns < 0) {
        return MLT_E_INVALID;
    }
    struct mlt_fusion *fusion = calloc(1, sizeof *fusion);
    if (fusion == NULL) {
        return MLT_E_NOMEM;
    }
    fusion->options = *options;
    fusion->ports = *ports;
    fusion->window_ends_ns = INT64_MIN;
    fusion->exchange_ns = MLT_STAMP_UNKNOWN;
    fusion->newest.stamps =
        (struct mlt_stamps){ MLT_STAMP_UNKNOWN, MLT_STAMP_UNKNOWN, MLT_STAMP_UNKNOWN,
                             MLT_STAMP_UNKNOWN, MLT_STAMP_UNKNOWN, MLT_STAMP_UNKNOWN };
    const struct mlt_sync_ports own = { on_request, on_changed, fusion, ports->clock };
    enum mlt_status status = mlt_sync_create(&options->sync, &own, &fusion->sync);
    if (status == MLT_OK) {
        status = mlt_analytics_create(options->sync.book.price_exponent,
                                      options->sync.book.quantity_exponent, &fusion->analytics);
    }
    if (status == MLT_OK) {
        fusion->columns = calloc(4 * (size_t)options->sync.shown, sizeof *fusion->columns);
        status = fusion->columns != NULL ? MLT_OK : MLT_E_NOMEM;
    }
    if (status != MLT_OK) {
        mlt_fusion_destroy(fusion);
        return status;
    }
    *out = fusion;
    return MLT_OK;
}

void mlt_fusion_destroy(struct mlt_fusion *fusion)
{
    if (fusion != NULL) {
        mlt_sync_destroy(fusion->sync);
        mlt_analytics_destroy(fusion->analytics);
        free(fusion->columns);
        free(fusion);
    }
}

void mlt_fusion_start(struct mlt_fusion *fusion)
{
    mlt_sync_start(fusion->sync);
}

void mlt_fusion_stop(struct mlt_fusion *fusion)
{
    mlt_sync_stop(fusion->sync);
}

void mlt_fusion_new_epoch(struct mlt_fusion *fusion)
{
    fusion->shown = false;
}

/* ---- what comes in ---- */

static void remember(struct mlt_fusion *fusion, const struct mlt_event *event)
{
    struct provenance *p = &fusion->newest;
    memcpy(p->trace_id, event->trace_id, sizeof p->trace_id);
    p->trace_flags = event->trace_flags;
    p->stamps = event->stamps;
    p->route = event->route;
    p->route_revision = event->route_revision;
    if (event->exchange.len <= EXCHANGE_BYTES_MAX) {
        if (event->exchange.len > 0) {
            memcpy(fusion->exchange_name, event->exchange.data, event->exchange.len);
        }
        p->exchange = mlt_slice_of(fusion->exchange_name, event->exchange.len);
    }
    /* MLT_STAMP_UNKNOWN is below every time. A snapshot has none, and our clock is another one: it
     * may be ahead of the exchange's, by years where a recording is played. */
    const int64_t at = event->stamps.exchange;
    fusion->exchange_ns = at > fusion->exchange_ns ? at : fusion->exchange_ns;
}

static uint32_t digest_version(const struct mlt_fusion *fusion)
{
    return !fusion->narrowed ||
                   mlt_orderbook_covers(mlt_sync_book(fusion->sync), MLT_ORDERBOOK_DIGEST_LEVELS)
               ? MLT_ORDERBOOK_DIGEST_VERSION
               : 0;
}

/* The book moved on, and is LIVE. A snapshot that waited may be older than what came meanwhile. */
static void moved(struct mlt_fusion *fusion, const struct mlt_event *event)
{
    if (event->throttled_ns == 0 || event->stamps.received > fusion->newest.stamps.received) {
        remember(fusion, event);
        fusion->waited_ns = event->throttled_ns;
    }
    mlt_analytics_book(fusion->analytics, mlt_sync_book(fusion->sync), fusion->exchange_ns);
    note(fusion);
}

static bool live(const struct mlt_fusion *fusion)
{
    return mlt_sync_state(fusion->sync) == MLT_SYNC_LIVE;
}

enum mlt_status mlt_fusion_delta(struct mlt_fusion *fusion, struct mlt_event *event)
{
    struct mlt_book_delta *delta = &event->u.book_delta;
    const struct mlt_orderbook *book = mlt_sync_book(fusion->sync);
    enum mlt_sync_outcome outcome;
    const enum mlt_status status =
        mlt_sync_delta(fusion->sync, event->first, event->last, delta, &outcome);
    delta->digest = delta->digest_version = 0;
    if (live(fusion)) {
        if (outcome == MLT_SYNC_APPLIED) {
            fusion->deltas++;
            moved(fusion, event);
        }
        /* A snapshot from ahead of the deltas is a state that this one does not lead to. */
        if (mlt_orderbook_last(book) == event->last) {
            delta->digest_version = digest_version(fusion);
            delta->digest = delta->digest_version != 0 ? mlt_orderbook_digest(book) : 0;
        }
        fusion->last = mlt_orderbook_last(book);
    }
    return status;
}

/* ---- what an owner before left ---- */

static void keep_levels(const struct mlt_fusion *fusion, const struct mlt_levels *from,
                        int64_t *columns, struct mlt_levels *to)
{
    const size_t shown = fusion->options.sync.shown;
    *to = *from;
    to->count = from->count < shown ? from->count : shown;
    to->prices = columns;
    to->quantities = columns + shown;
    if (to->count > 0) {
        memcpy(columns, from->prices, to->count * sizeof *columns);
        memcpy(columns + shown, from->quantities, to->count * sizeof *columns);
    }
}

enum mlt_status mlt_fusion_restore(struct mlt_fusion *fusion, const struct mlt_fusion_left *left)
{
    const struct mlt_event *event = left->book;
    const struct mlt_book *book = &event->u.book;
    if ((book->state != MLT_BOOK_LIVE && book->state != MLT_BOOK_STALE) ||
        book->bids.count + book->asks.count == 0) {
        return MLT_E_PROTOCOL;
    }
    const enum mlt_status status = mlt_sync_restore(fusion->sync, &left->sync);
    if (status != MLT_OK) {
        return status;
    }
    remember(fusion, event);
    fusion->restored = fusion->narrowed = true;
    fusion->restored_quality = event->quality & MLT_QUALITY_DEPTH_LIMITED;
    fusion->restored_book = *book;
    fusion->restored_book.has_analytics = false; /* they were of that moment */
    keep_levels(fusion, &book->bids, fusion->columns, &fusion->restored_book.bids);
    keep_levels(fusion, &book->asks, fusion->columns + 2 * (size_t)fusion->options.sync.shown,
                &fusion->restored_book.asks);
    fusion->last = book->last_update_id > left->sync.last_update_id ? book->last_update_id
                                                                    : left->sync.last_update_id;
    fusion->snapshot_id = left->snapshot_update_id;
    fusion->snapshot_ns = left->snapshot_time_ns;
    fusion->deltas = book->deltas_applied;
    return MLT_OK;
}

void mlt_fusion_await(struct mlt_fusion *fusion, int64_t known, int64_t wait_ns)
{
    mlt_sync_await(fusion->sync, known > fusion->last ? known : fusion->last, wait_ns);
}

enum mlt_status mlt_fusion_replay(struct mlt_fusion *fusion, const struct mlt_event *event,
                                  enum mlt_sync_outcome *outcome)
{
    const enum mlt_status status =
        mlt_sync_replay(fusion->sync, event->first, event->last, &event->u.book_delta, outcome);
    if (status == MLT_OK && *outcome == MLT_SYNC_APPLIED && event->last > fusion->last) {
        fusion->deltas++; /* those before are in what the last BOOK said */
        fusion->last = event->last;
    }
    return status;
}

bool mlt_fusion_restored(const struct mlt_fusion *fusion)
{
    return mlt_sync_restored(fusion->sync);
}

/* The depth that a reader has to be told so that a side counts as whole exactly where it is: those
 * with fewer levels do. */
static uint32_t said_depth(const struct mlt_orderbook *book, const struct mlt_book_snapshot *s)
{
    const size_t counts[2] = { s->bids.count, s->asks.count };
    size_t bounded = SIZE_MAX, most = 0;
    for (int side = 0; side < 2; side++) {
        int64_t bound = 0;
        if (mlt_orderbook_bound(book, (enum mlt_orderbook_side)side, &bound) &&
            counts[side] < bounded) {
            bounded = counts[side];
        }
        most = counts[side] > most ? counts[side] : most;
    }
    return (uint32_t)(bounded != SIZE_MAX ? bounded : most + 1);
}

static void restate(struct mlt_fusion *fusion, struct mlt_event *event,
                    const struct mlt_fusion_scratch *scratch)
{
    const struct mlt_orderbook *book = mlt_sync_book(fusion->sync);
    struct mlt_book_snapshot *s = &event->u.book_snapshot;
    mlt_sync_tighten(fusion->sync);
    (void)mlt_orderbook_top(book, MLT_ORDERBOOK_BIDS, scratch->levels, scratch->columns[0],
                            scratch->columns[1], &s->bids);
    (void)mlt_orderbook_top(book, MLT_ORDERBOOK_ASKS, scratch->levels, scratch->columns[2],
                            scratch->columns[3], &s->asks);
    s->requested_depth = said_depth(book, s);
    s->last_update_id = event->first = event->last = mlt_orderbook_last(book);
}

/* Whether the book knows other than what the snapshot tells, and who follows the deltas has to
 * learn that: a shallow one at the id of a deeper one before takes nothing away, and of one with
 * more levels than are kept the rest is not known for long. */
static bool differs(const struct mlt_fusion *fusion, const struct mlt_book_snapshot *snapshot)
{
    const struct mlt_orderbook *book = mlt_sync_book(fusion->sync);
    return mlt_orderbook_depth(book, MLT_ORDERBOOK_BIDS) != snapshot->bids.count ||
           mlt_orderbook_depth(book, MLT_ORDERBOOK_ASKS) != snapshot->asks.count;
}

typedef enum mlt_status (*take_fn)(struct mlt_sync *sync, const struct mlt_book_snapshot *snapshot,
                                   enum mlt_sync_outcome *outcome);

static enum mlt_status take(struct mlt_fusion *fusion, struct mlt_event *event,
                            const struct mlt_fusion_scratch *scratch, take_fn by,
                            enum mlt_sync_outcome *outcome)
{
    struct mlt_book_snapshot *snapshot = &event->u.book_snapshot;
    struct mlt_sync_counts before, after;
    const bool covered = live(fusion) && fusion->last >= snapshot->last_update_id;
    mlt_sync_counts(fusion->sync, &before);
    const enum mlt_status status = by(fusion->sync, snapshot, outcome);
    mlt_sync_counts(fusion->sync, &after);
    snapshot->reset = *outcome == MLT_SYNC_APPLIED;
    if (snapshot->reset) {
        fusion->narrowed = false;
        fusion->snapshot_id = snapshot->last_update_id;
        fusion->snapshot_ns = event->stamps.received;
        fusion->deltas = after.replayed - before.replayed;
        moved(fusion, event);
        fusion->last = mlt_orderbook_last(mlt_sync_book(fusion->sync));
        if (covered || fusion->last > snapshot->last_update_id || differs(fusion, snapshot)) {
            restate(fusion, event, scratch);
        }
    }
    return status;
}

enum mlt_status mlt_fusion_snapshot(struct mlt_fusion *fusion, struct mlt_event *event,
                                    const struct mlt_fusion_scratch *scratch,
                                    enum mlt_sync_outcome *outcome)
{
    const bool answer = event->rest_function.len > 0;
    return take(fusion, event, scratch, answer ? mlt_sync_answer : mlt_sync_snapshot, outcome);
}

enum mlt_status mlt_fusion_waited(struct mlt_fusion *fusion, struct mlt_event *event,
                                  const struct mlt_fusion_scratch *scratch,
                                  enum mlt_sync_outcome *outcome)
{
    return take(fusion, event, scratch, mlt_sync_waited, outcome);
}

enum mlt_sync_wait mlt_fusion_waiting(const struct mlt_fusion *fusion)
{
    return mlt_sync_waiting(fusion->sync);
}

void mlt_fusion_forget_waiting(struct mlt_fusion *fusion)
{
    mlt_sync_forget_waiting(fusion->sync);
}

void mlt_fusion_wait_on(struct mlt_fusion *fusion)
{
    mlt_sync_wait_on(fusion->sync);
}

enum mlt_status mlt_fusion_trade(struct mlt_fusion *fusion, const struct mlt_trade *trade)
{
    return mlt_analytics_trade(fusion->analytics, trade);
}

void mlt_fusion_trades_missed(struct mlt_fusion *fusion)
{
    mlt_analytics_restart_trades(fusion->analytics);
}

void mlt_fusion_lost(struct mlt_fusion *fusion)
{
    mlt_analytics_restart_trades(fusion->analytics);
    mlt_sync_lost(fusion->sync);
}

void mlt_fusion_refused(struct mlt_fusion *fusion)
{
    mlt_sync_refused(fusion->sync);
}

void mlt_fusion_source(struct mlt_fusion *fusion, bool up)
{
    if (!up) {
        mlt_analytics_restart_trades(fusion->analytics);
    }
    mlt_sync_source(fusion->sync, up);
}

void mlt_fusion_source_began(struct mlt_fusion *fusion)
{
    mlt_sync_source_began(fusion->sync);
}

bool mlt_fusion_source_up(const struct mlt_fusion *fusion)
{
    return mlt_sync_source_up(fusion->sync);
}

void mlt_fusion_request_failed(struct mlt_fusion *fusion)
{
    mlt_sync_request_failed(fusion->sync);
}

void mlt_fusion_tick(struct mlt_fusion *fusion)
{
    mlt_sync_tick(fusion->sync);
}

int64_t mlt_fusion_due_ns(const struct mlt_fusion *fusion)
{
    return mlt_sync_due_ns(fusion->sync);
}

/* ---- what goes out ---- */

int64_t mlt_fusion_book_at_ns(const struct mlt_fusion *fusion)
{
    if (fusion->urgent) {
        return INT64_MIN;
    }
    return fusion->changes > 0 ? fusion->window_ends_ns : INT64_MAX;
}

void mlt_fusion_again(struct mlt_fusion *fusion)
{
    fusion->urgent = true;
}

/* Levels are shown while LIVE, and as what was last known while STALE. */
static void show_levels(struct mlt_fusion *fusion, struct mlt_event *out)
{
    const struct mlt_orderbook *book = mlt_sync_book(fusion->sync);
    const size_t shown = fusion->options.sync.shown;
    struct mlt_book *b = &out->u.book;
    (void)mlt_orderbook_top(book, MLT_ORDERBOOK_BIDS, shown, fusion->columns,
                            fusion->columns + shown, &b->bids);
    (void)mlt_orderbook_top(book, MLT_ORDERBOOK_ASKS, shown, fusion->columns + 2 * shown,
                            fusion->columns + 3 * shown, &b->asks);
    b->digest_version = digest_version(fusion);
    b->digest = b->digest_version != 0 ? mlt_orderbook_digest(book) : 0;
    b->known_bids = (uint32_t)mlt_orderbook_depth(book, MLT_ORDERBOOK_BIDS);
    b->known_asks = (uint32_t)mlt_orderbook_depth(book, MLT_ORDERBOOK_ASKS);
    if (!mlt_orderbook_covers(book, shown)) {
        out->quality |= MLT_QUALITY_DEPTH_LIMITED;
    }
}

static uint32_t flags_of(const struct mlt_measure *measures, size_t count)
{
    uint32_t flags = 0;
    for (size_t i = 0; i < count; i++) {
        flags |= measures[i].flags;
    }
    return flags;
}

static void measure(struct mlt_fusion *fusion, struct mlt_event *out)
{
    struct mlt_book_analytics *a = &out->u.book.analytics;
    mlt_analytics_measure(fusion->analytics, mlt_sync_book(fusion->sync), fusion->exchange_ns, a);
    out->u.book.has_analytics = true;
    /* Only what has a window warms. */
    const uint32_t flags = flags_of(a->vwap, MLT_ANALYTICS_SPANS) |
                           flags_of(a->trade_flow, MLT_ANALYTICS_SPANS) |
                           flags_of(&a->volatility, 1);
    if ((flags & MLT_MEASURE_WARMING) != 0) {
        out->quality |= MLT_QUALITY_WARMING;
    }
}

static void stamp(struct mlt_fusion *fusion, struct mlt_event *out, int64_t now_ns)
{
    const struct provenance *p = &fusion->newest;
    memcpy(out->trace_id, p->trace_id, sizeof out->trace_id);
    out->trace_flags = p->trace_flags;
    out->route = p->route;
    out->route_revision = p->route_revision;
    out->exchange = p->exchange;
    out->stamps = p->stamps;
    if (fusion->changes > 0) {
        out->merged = fusion->changes - 1;
        /* Being late after the window is ours. */
        const int64_t until_ns = now_ns < fusion->window_ends_ns ? now_ns : fusion->window_ends_ns;
        out->throttled_ns =
            until_ns > fusion->changed_ns ? (uint64_t)(until_ns - fusion->changed_ns) : 0;
        out->throttled_ns += fusion->waited_ns;
    } else { /* nothing came that it would stem from: a change of state by itself */
        out->stamps =
            (struct mlt_stamps){ MLT_STAMP_UNKNOWN, MLT_STAMP_UNKNOWN, MLT_STAMP_UNKNOWN,
                                 MLT_STAMP_UNKNOWN, MLT_STAMP_UNKNOWN, MLT_STAMP_UNKNOWN };
        out->stamps.received = fusion->ports.clock->wall_ns(fusion->ports.clock->ctx);
    }
    out->stamps.conducted = out->stamps.published = MLT_STAMP_UNKNOWN;
}

static bool shows_left(const struct mlt_fusion *fusion)
{
    return mlt_sync_state(fusion->sync) == MLT_SYNC_STALE && fusion->restored;
}

int64_t mlt_fusion_shows(const struct mlt_fusion *fusion)
{
    return shows_left(fusion) ? fusion->restored_book.last_update_id : fusion->last;
}

void mlt_fusion_book(struct mlt_fusion *fusion, struct mlt_event *out)
{
    const enum mlt_sync_state state = mlt_sync_state(fusion->sync);
    const int64_t now = mono_ns(fusion);
    const bool left = shows_left(fusion);
    const int64_t last = mlt_fusion_shows(fusion);
    memset(out, 0, sizeof *out);
    out->type = MLT_EVENT_BOOK;
    stamp(fusion, out, now);
    struct mlt_book *b = &out->u.book;
    b->bids.price_exponent = b->asks.price_exponent = fusion->options.sync.book.price_exponent;
    b->bids.quantity_exponent = b->asks.quantity_exponent =
        fusion->options.sync.book.quantity_exponent;
    b->state = (enum mlt_book_state)(state + 1);
    if (left) {
        *b = fusion->restored_book;
        b->state = MLT_BOOK_STALE;
        out->quality |= fusion->restored_quality;
    } else if (state == MLT_SYNC_LIVE || state == MLT_SYNC_STALE) {
        show_levels(fusion, out);
        b->snapshot_update_id = fusion->snapshot_id;
        b->snapshot_time_ns = fusion->snapshot_ns;
        b->deltas_applied = fusion->deltas;
    }
    if (state == MLT_SYNC_LIVE) {
        measure(fusion, out);
    } else {
        out->quality |= MLT_QUALITY_STALE;
    }
    b->last_update_id = out->last = last;
    out->first = fusion->shown && fusion->shown_last < last ? fusion->shown_last + 1 : last;
    fusion->shown = true;
    fusion->shown_last = last;
    fusion->changes = 0;
    fusion->urgent = false;
    fusion->window_ends_ns = now + fusion->options.throttle_ns;
}

enum mlt_sync_state mlt_fusion_state(const struct mlt_fusion *fusion)
{
    return mlt_sync_state(fusion->sync);
}

const struct mlt_orderbook *mlt_fusion_levels(const struct mlt_fusion *fusion)
{
    return mlt_sync_book(fusion->sync);
}

bool mlt_fusion_fits(const struct mlt_fusion *fusion, int32_t price_exponent,
                     int32_t quantity_exponent)
{
    return fusion->options.sync.book.price_exponent == price_exponent &&
           fusion->options.sync.book.quantity_exponent == quantity_exponent;
}

void mlt_fusion_counts(const struct mlt_fusion *fusion, struct mlt_sync_counts *out)
{
    mlt_sync_counts(fusion->sync, out);
}
