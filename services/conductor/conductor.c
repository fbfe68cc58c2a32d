/* Pipeline and life of a conductor. See conductor_internal.h for threads, owner.c for ownership. */
#include <stddef.h>
#include <stdlib.h>

#include "book.h"
#include "conductor_internal.h"
#include "meltica/base/hash.h"
#include "meltica/base/log.h"

#define ARENA_BLOCK_BYTES (64u << 10)
#define ARENA_BYTES_MAX (4u << 20)
#define ROOM_WAIT_NS (2 * MLT_NS_PER_S)

static const struct mlt_config_item items[] = {
    { .key = "ring_bytes",
      .type = MLT_CONFIG_INT,
      .offset = offsetof(struct conductor_config, ring_bytes),
      .default_text = "8388608",
      .min = 1 << 20,
      .max = 1 << 30,
      .unit = "bytes",
      .doc = "How much of what was sent to the Data Bus is kept to be sent again." },
    { .key = "merge_quotes",
      .type = MLT_CONFIG_BOOL,
      .offset = offsetof(struct conductor_config, merge_quotes),
      .default_text = "true",
      .doc = "Whether TICKER, BBO and KLINE of open candles merge to the newest while the Data Bus "
             "is far behind; false: they wait as trades do, for a market that is replayed." },
    { .key = "throttle_ms",
      .type = MLT_CONFIG_INT,
      .offset = offsetof(struct conductor_config, throttle_ms),
      .default_text = "100",
      .min = 0,
      .max = 60000,
      .unit = "ms",
      .doc = "At most one BOOK of an instrument in this time; changes of its state do not wait." },
    { .key = "published_levels",
      .type = MLT_CONFIG_INT,
      .offset = offsetof(struct conductor_config, published_levels),
      .default_text = "20",
      .min = 1,
      .max = 1000,
      .doc = "Levels a side in a BOOK." },
    { .key = "book_levels",
      .type = MLT_CONFIG_INT,
      .offset = offsetof(struct conductor_config, book_levels),
      .default_text = "2048",
      .min = MLT_ORDERBOOK_LEVELS_MIN,
      .max = MLT_ORDERBOOK_LEVELS_MAX,
      .doc = "Levels a side that are kept; 32 bytes each, both sides." },
    { .key = "first_depth",
      .type = MLT_CONFIG_INT,
      .offset = offsetof(struct conductor_config, first_depth),
      .default_text = "100",
      .min = 1,
      .max = 5000,
      .doc = "Levels a side asked for while a book is not LIVE: few, so that they come soon." },
    { .key = "snapshot_depth",
      .type = MLT_CONFIG_INT,
      .offset = offsetof(struct conductor_config, snapshot_depth),
      .default_text = "1000",
      .min = 1,
      .max = 5000,
      .doc = "Levels a side asked for once a book is LIVE." },
    { .key = "stale_after_ms",
      .type = MLT_CONFIG_INT,
      .offset = offsetof(struct conductor_config, stale_after_ms),
      .default_text = "60000",
      .min = 0,
      .max = 86400000,
      .unit = "ms",
      .doc =
          "A LIVE book without a delta for so long is STALE, and asks for a snapshot; 0: never." },
    { .key = "refresh_ms",
      .type = MLT_CONFIG_INT,
      .offset = offsetof(struct conductor_config, refresh_ms),
      .default_text = "1800000",
      .min = 0,
      .max = 86400000,
      .unit = "ms",
      .doc = "A LIVE book asks for a snapshot at least this often, and is compared with it; 0: "
             "never." },
    { .key = "backfill_max",
      .type = MLT_CONFIG_INT,
      .offset = offsetof(struct conductor_config, backfill_max),
      .default_text = "10000",
      .min = 0,
      .max = 1000000,
      .doc = "Trades of an instrument that may be missing and fetched at once, and as many "
             "aggregates; more are told to be UNFILLABLE; 0: none is fetched." },
    { .key = "metrics_instruments",
      .type = MLT_CONFIG_INT,
      .offset = offsetof(struct conductor_config, metrics_instruments),
      .default_text = "200",
      .min = 0,
      .max = 2000,
      .unit = "",
      .doc = "Instruments with series of their own on /metrics, those that came first." },
};

static enum mlt_status check(const void *config, struct mlt_error *err)
{
    const struct conductor_config *cfg = config;
    if (cfg->first_depth > cfg->book_levels || cfg->snapshot_depth > cfg->book_levels) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "first_depth and snapshot_depth must not be above book_levels");
    }
    if (cfg->snapshot_depth < 2 * cfg->published_levels) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "snapshot_depth must be at least twice published_levels");
    }
    return MLT_OK;
}

/* ---- hot path ---- */

/* Under the lock. A BOOK has waited for its window, and what was made here has no batch; what
 * leaves outside of one has waited for room. */
static void trace(struct conductor *c, const struct mlt_event *event, bool of_batch)
{
    if (!mlt_trace_takes(c->trace, event)) {
        return;
    }
    const bool came = of_batch && c->in_batch && event->type != MLT_EVENT_BOOK &&
                      event->throttled_ns == 0 && event->stamps.dispatched != MLT_STAMP_UNKNOWN;
    mlt_trace_event(c->trace, MLT_TRACE_CONDUCT, event,
                    came ? c->batch_ns : event->stamps.conducted - (int64_t)event->throttled_ns,
                    mlt_clock_wall_ns());
}

/* Under the lock. */
static void on_emit(void *ctx, uint32_t partition, const struct mlt_event *event)
{
    struct conductor *c = ctx;
    if (c->sender == NULL) {
        c->unsent++;
        return;
    }
    const size_t bytes = mlt_event_encoded_size(event);
    uint8_t *out = NULL;
    if (mlt_hop_begin(c->sender, partition, bytes, &out) != MLT_OK) {
        c->unsent++; /* the Data Bus sees the jump and says what is missing */
        return;
    }
    (void)mlt_event_encode(event, out);
    mlt_hop_end(c->sender, partition);
    trace(c, event, true);
    /* A BOOK has waited for its window, a snapshot for deltas. */
    if (c->in_batch && event->stamps.dispatched != MLT_STAMP_UNKNOWN &&
        event->type != MLT_EVENT_BOOK && event->throttled_ns == 0) {
        mlt_histogram_record_ns(c->metrics->stage,
                                mlt_span_ns(event->stamps.dispatched, event->stamps.conducted));
    }
}

/* Under the lock. */
static void on_emit_encoded(void *ctx, uint32_t partition, struct mlt_slice event)
{
    struct conductor *c = ctx;
    uint8_t *out = NULL;
    if (c->sender == NULL || mlt_hop_begin(c->sender, partition, event.len, &out) != MLT_OK) {
        c->unsent++;
        return;
    }
    memcpy(out, event.data, event.len);
    mlt_hop_end(c->sender, partition);
    if (c->trace != NULL) { /* then it has to be read again */
        struct mlt_event held;
        mlt_arena_reset(&c->held_arena);
        if (mlt_event_decode(event, &c->held_arena, &held) == MLT_OK) {
            trace(c, &held, false);
        }
    }
}

/* Under the lock. The hop's sender holds the flow up at a half (on_batch): books merge before, and
 * quotes when that was not enough. */
static enum mlt_conductor_room on_room_asked(void *ctx)
{
    const struct conductor *c = ctx;
    switch (c->sender != NULL ? mlt_hop_fill(c->sender) : MLT_HOP_ROOM) {
    case MLT_HOP_ROOM:
        return MLT_ROOM_FOR_ALL;
    case MLT_HOP_QUARTER:
        return MLT_ROOM_NOT_FOR_BOOKS;
    case MLT_HOP_THREE_EIGHTHS:
    case MLT_HOP_HALF:
    default:
        return c->merges_quotes ? MLT_ROOM_NOT_FOR_QUOTES : MLT_ROOM_NOT_FOR_BOOKS;
    }
}

/* Under the lock. */
static void take_elements(struct conductor *c, const struct mlt_hop_batch *batch)
{
    struct mlt_slice rest = batch->bytes, element;
    enum mlt_status status = MLT_OK, trouble = MLT_OK;
    bool undecodable = false;
    while ((status = mlt_batch_next(&rest, &element)) == MLT_OK) {
        struct mlt_event event;
        mlt_arena_reset(&c->arena);
        status = mlt_event_decode(element, &c->arena, &event);
        if (status != MLT_OK) {
            mlt_counter_add(c->metrics->undecodable, 1);
            undecodable = true;
            trouble = status;
            continue;
        }
        if (batch->again) {
            mlt_conductor_core_again(c->core, &event);
            continue;
        }
        status = mlt_conductor_core_event(c->core, &event);
        if (status != MLT_OK) { /* counted by the core */
            trouble = status;
        }
    }
    if (status != MLT_E_EMPTY) {
        mlt_counter_add(c->metrics->undecodable, 1);
        undecodable = true;
        trouble = status;
    }
    if (undecodable && !batch->again) { /* nobody knows whose event it was */
        mlt_conductor_core_lost(c->core, batch->partition, "undecodable");
    }
    if (trouble != MLT_OK) {
        mlt_log(MLT_LOG_ERROR, "element_refused", "an element of the hop is of no use",
                MLT_U("partition", batch->partition), MLT_U("batch", batch->hop.number),
                MLT_S("status", mlt_status_word(trouble)));
    }
}

/* Waits until the partition may be worked on. False: it is not ours, or the service ends. Locked.
 */
static bool await_partition(struct conductor *c, uint32_t partition)
{
    const uint64_t bit = UINT64_C(1) << partition;
    for (;;) {
        if (c->receiver != NULL) {
            const bool seeded = (c->seeded & bit) != 0;
            if (c->epochs[partition] == 0 || c->stopping) {
                return false;
            }
            /* While draining what is taken up can be finished, but nothing new is asked for. */
            if (seeded || c->draining) {
                return seeded;
            }
            c->seed_wanted |= bit;
            (void)pthread_cond_broadcast(&c->changed);
        }
        (void)pthread_cond_wait(&c->changed, &c->lock);
    }
}

/* Why something may be missing before this batch; NULL: nothing is. Under the lock. */
static const char *lost_before(struct conductor *c, const struct mlt_hop_batch *batch)
{
    const uint64_t bit = UINT64_C(1) << batch->partition;
    if (batch->again) {
        return NULL;
    }
    const bool first = (c->begun & bit) == 0;
    c->begun |= bit;
    if (batch->lost_before) {
        return batch->lost_reason;
    }
    /* Both ends of the hop are new. What the Dispatcher before had sent and the Conductor before
     * had not taken is nobody's, and nobody counted it. Without a past there is no instrument to
     * say it of. */
    return first && batch->hop.resume <= 1 ? "sender_restarted" : NULL;
}

/* Who left books is known by them: they are shown as soon as that may be, also where nothing comes.
 * Not before a sender is known, or what the owner before acknowledges meanwhile would be nobody's.
 */
void mlt_conductor_on_sender(void *ctx, uint32_t partition)
{
    struct conductor *c = ctx;
    (void)pthread_mutex_lock(&c->lock);
    if ((c->restored >> partition & 1) != 0 && c->epochs[partition] != 0) {
        c->seed_wanted |= UINT64_C(1) << partition;
        (void)pthread_cond_broadcast(&c->changed);
    }
    (void)pthread_mutex_unlock(&c->lock);
}

void mlt_conductor_on_batch(void *ctx, const struct mlt_hop_batch *batch)
{
    struct conductor *c = ctx;
    (void)pthread_mutex_lock(&c->lock);
    if (batch->again && (c->restored >> batch->partition & 1) == 0) { /* of no use */
        (void)pthread_mutex_unlock(&c->lock);
        return;
    }
    mlt_conductor_core_held_up(c->core, true);
    bool ours = await_partition(c, batch->partition);
    struct mlt_hop_sender *sender = c->sender;
    (void)pthread_mutex_unlock(&c->lock);
    if (ours && mlt_hop_congested(sender)) {
        (void)mlt_hop_wait_room(sender, ROOM_WAIT_NS); /* then the ring says what it loses */
    }
    (void)pthread_mutex_lock(&c->lock);
    mlt_conductor_core_held_up(c->core, false);
    c->batch_ns = c->trace != NULL ? mlt_clock_wall_ns() : 0;
    ours = ours && c->epochs[batch->partition] != 0;
    if (ours) {
        const char *reason = lost_before(c, batch);
        if (reason != NULL) {
            mlt_conductor_core_lost(c->core, batch->partition, reason);
        }
        c->in_batch = true;
        take_elements(c, batch);
        c->in_batch = false;
        mlt_conductor_touched(c);
        mlt_conductor_settle(c); /* acknowledged is what left, at once or later */
    }
    struct mlt_hop_receiver *receiver = c->receiver;
    (void)pthread_mutex_unlock(&c->lock);
    if (!ours && receiver != NULL) {
        /* Whoever owns it acknowledges it. */
        mlt_hop_receiver_leave(receiver, batch->partition);
    }
}

void mlt_conductor_turn(struct conductor *c, uint64_t slots)
{
    (void)pthread_mutex_lock(&c->lock);
    if (c->sender != NULL) {
        mlt_conductor_core_heads(c->core, slots);
        mlt_conductor_cache_checkpoint(c, slots, false);
        mlt_conductor_touched(c);
    }
    (void)pthread_mutex_unlock(&c->lock);
}

/* ---- seen from outside ---- */

const char *mlt_conductor_trouble(struct conductor *c)
{
    const char *trouble = NULL;
    (void)pthread_mutex_lock(&c->lock);
    switch (c->phase) {
    case PHASE_WAITING:
        trouble = "waiting for NATS";
        break;
    case PHASE_CLAIMING:
        trouble = "claiming slots";
        break;
    case PHASE_ENDED: /* another one owns what it had: this process stands by, and is well */
        break;
    case PHASE_RUNNING:
        trouble = c->trouble;
        break;
    }
    (void)pthread_mutex_unlock(&c->lock);
    return trouble;
}

void mlt_conductor_add_owned(struct conductor *c, struct mlt_owners_beat *beat)
{
    (void)pthread_mutex_lock(&c->lock);
    if (c->phase != PHASE_ENDED) {
        beat->partitions |= c->mine & ~c->outbid;
        for (uint32_t p = 0; p < c->partitions; p++) {
            if ((c->mine & ~c->outbid & UINT64_C(1) << p) != 0) {
                beat->epochs[p] = c->epochs[p];
            }
        }
    }
    (void)pthread_mutex_unlock(&c->lock);
}

/* ---- life ---- */

void mlt_conductor_destroy(struct conductor *c, struct conductor_totals *totals)
{
    if (c == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&c->lock);
    c->stopping = true;
    (void)pthread_cond_broadcast(&c->changed);
    (void)pthread_mutex_unlock(&c->lock);
    if (c->owner_started) {
        (void)pthread_join(c->owner, NULL);
    }
    mlt_conductor_stop_cache(c); /* its answers go to books */
    mlt_conductor_stop_books(c);
    mlt_claims_destroy(c->claims);
    mlt_store_destroy(c->store);
    mlt_hop_sender_destroy(c->sender, 0);
    c->sender = NULL;
    if (c->core != NULL) {
        (void)pthread_mutex_lock(&c->lock);
        mlt_conductor_totals_add(c, totals);
        (void)pthread_mutex_unlock(&c->lock);
    }
    mlt_conductor_core_destroy(c->core);
    mlt_arena_fini(&c->arena);
    mlt_arena_fini(&c->held_arena);
    (void)pthread_cond_destroy(&c->changed);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}

void mlt_conductor_drain(struct conductor *c)
{
    (void)pthread_mutex_lock(&c->lock);
    c->draining = true; /* the owner closes the hops and says when it is done */
    (void)pthread_cond_broadcast(&c->changed);
    (void)pthread_mutex_unlock(&c->lock);
}

static enum mlt_status build(struct conductor *c, const struct conductor_config *cfg,
                             struct mlt_error *err)
{
    const struct mlt_conductor_ports ports = { .emit = on_emit,
                                               .emit_encoded = on_emit_encoded,
                                               .commit = mlt_conductor_on_commit,
                                               .resync = mlt_conductor_on_resync,
                                               .backfill = mlt_conductor_on_backfill,
                                               .room = on_room_asked,
                                               .ctx = c,
                                               .clock = mlt_clock_system() };
    enum mlt_status status = mlt_conductor_core_create(c->partitions, &ports, &c->core);
    if (status != MLT_OK) {
        return mlt_error_set(err, status, "core");
    }
    status = mlt_conductor_start_books(c, cfg, err);
    if (status == MLT_OK) {
        status = mlt_conductor_start_cache(c, cfg, err);
    }
    if (status == MLT_OK && pthread_create(&c->owner, NULL, mlt_conductor_owner, c) != 0) {
        status = mlt_error_set(err, MLT_E_NOMEM, "no thread");
    }
    c->owner_started = status == MLT_OK;
    return status;
}

enum mlt_status mlt_conductor_create(struct replica *replica, uint64_t mine, bool taken_over,
                                     struct conductor **conductor, struct mlt_error *err)
{
    struct conductor *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "conductor");
    }
    c->replica = replica;
    c->service = replica->service;
    c->data = replica->data;
    c->control = replica->control;
    c->partitions = mlt_service_partitions(replica->service);
    c->mine = mine;
    c->taken_over = taken_over;
    c->ring_bytes = (size_t)replica->config.ring_bytes;
    c->merges_quotes = replica->config.merge_quotes;
    c->metrics = &replica->metrics;
    do {
        c->boot = mlt_random64();
    } while (c->boot == 0);
    mlt_arena_init(&c->arena, ARENA_BLOCK_BYTES, ARENA_BYTES_MAX);
    mlt_arena_init(&c->held_arena, ARENA_BLOCK_BYTES, ARENA_BYTES_MAX);
    c->trace = mlt_service_trace(replica->service);
    (void)pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&c->changed, &attributes);
    mlt_conductor_init_books(c, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    const enum mlt_status status = build(c, &replica->config, err);
    if (status != MLT_OK) {
        struct conductor_totals none = { 0 };
        mlt_conductor_destroy(c, &none);
        return status;
    }
    *conductor = c;
    return MLT_OK;
}

const struct mlt_service_spec mlt_conductor_spec = {
    .name = MLT_CONDUCTOR_SERVICE,
    .description = "Numbers canonical events, drops repeats and keeps order books",
    .items = items,
    .item_count = sizeof items / sizeof items[0],
    .config_bytes = sizeof(struct conductor_config),
    .check = check,
    .start = mlt_replica_start,
    .drain = mlt_replica_drain,
    .stop = mlt_replica_stop,
    .ready = mlt_replica_ready,
    .collect = mlt_replica_collect,
    .families = mlt_conductor_families,
    .stats = mlt_replica_stats,
};
