/* Pipeline and life of the service. See conductor_internal.h for threads, owner.c for ownership. */
#include <stddef.h>
#include <stdlib.h>

#include "conductor_internal.h"
#include "meltica/base/log.h"

#define ARENA_BLOCK_BYTES (64u << 10)
#define ARENA_BYTES_MAX (4u << 20)
#define HEADS_INTERVAL_NS MLT_NS_PER_S
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
};

/* ---- hot path ---- */

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
    if (event->stamps.dispatched != MLT_STAMP_UNKNOWN) {
        mlt_histogram_record_ns(c->metrics.stage,
                                event->stamps.conducted - event->stamps.dispatched);
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
            mlt_counter_add(c->metrics.undecodable, 1);
            undecodable = true;
            trouble = status;
            continue;
        }
        status = mlt_conductor_core_event(c->core, &event);
        if (status != MLT_OK) { /* counted by the core */
            trouble = status;
        }
    }
    if (status != MLT_E_EMPTY) {
        mlt_counter_add(c->metrics.undecodable, 1);
        undecodable = true;
        trouble = status;
    }
    if (undecodable) { /* nobody knows whose event it was */
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

void mlt_conductor_on_batch(void *ctx, const struct mlt_hop_batch *batch)
{
    struct conductor *c = ctx;
    (void)pthread_mutex_lock(&c->lock);
    bool ours = await_partition(c, batch->partition);
    struct mlt_hop_sender *sender = c->sender;
    (void)pthread_mutex_unlock(&c->lock);
    if (ours && mlt_hop_congested(sender)) {
        (void)mlt_hop_wait_room(sender, ROOM_WAIT_NS); /* then the ring says what it loses */
    }
    (void)pthread_mutex_lock(&c->lock);
    ours = ours && c->epochs[batch->partition] != 0;
    if (ours) {
        const char *reason = lost_before(c, batch);
        if (reason != NULL) {
            mlt_conductor_core_lost(c->core, batch->partition, reason);
        }
        take_elements(c, batch);
    }
    struct mlt_hop_receiver *receiver = c->receiver;
    (void)pthread_mutex_unlock(&c->lock);
    if (!ours && receiver != NULL) {
        /* Whoever owns it acknowledges it. */
        mlt_hop_receiver_leave(receiver, batch->partition);
    }
}

static void on_heads_timer(void *ctx)
{
    struct conductor *c = ctx;
    (void)pthread_mutex_lock(&c->lock);
    if (c->sender != NULL) {
        mlt_conductor_core_heads(c->core);
    }
    (void)pthread_mutex_unlock(&c->lock);
    mlt_timer_start(c->heads_timer, HEADS_INTERVAL_NS);
}

/* ---- health ---- */

static bool ready(void *state, const char **reason)
{
    struct conductor *c = state;
    (void)pthread_mutex_lock(&c->lock);
    switch (c->phase) {
    case PHASE_WAITING:
        *reason = "waiting for NATS";
        break;
    case PHASE_CLAIMING:
        *reason = "claiming slots";
        break;
    case PHASE_STANDBY:
        *reason = "outbid";
        break;
    case PHASE_ENDED:
        *reason = "ended";
        break;
    case PHASE_RUNNING:
        *reason = c->trouble;
        break;
    }
    (void)pthread_mutex_unlock(&c->lock);
    return *reason == NULL;
}

static void make_metrics(struct conductor *c)
{
    struct mlt_metrics *m = mlt_service_metrics(c->service);
    struct conductor_metrics *to = &c->metrics;
    to->in = mlt_metrics_counter(m, "meltica_conductor_in_total", "Canonical events taken", NULL);
    to->out = mlt_metrics_counter(m, "meltica_conductor_out_total",
                                  "Events numbered, STATUS events among them", NULL);
    to->duplicates =
        mlt_metrics_counter(m, "meltica_conductor_duplicates_total",
                            "Events dropped because their source position was covered", NULL);
    to->late = mlt_metrics_counter(m, "meltica_conductor_late_total",
                                   "Trades passed on after a younger one", NULL);
    to->stale_owner = mlt_metrics_counter(m, "meltica_conductor_stale_owner_total",
                                          "Events of slots that are not owned", NULL);
    to->refused = mlt_metrics_counter(m, "meltica_conductor_refused_total",
                                      "Events beyond a limit of the Conductor", NULL);
    to->lost_reports = mlt_metrics_counter(m, "meltica_conductor_lost_reports_total",
                                           "Times that something was lost on the way here", NULL);
    to->unsent = mlt_metrics_counter(m, "meltica_conductor_unsent_total",
                                     "Numbered events that the hop did not take", NULL);
    to->undecodable = mlt_metrics_counter(m, "meltica_rejected_total",
                                          "What could not become an event, by reason",
                                          "stage=\"conductor\",reason=\"parse\"");
    to->owned = mlt_metrics_gauge(m, "meltica_conductor_owned_partitions",
                                  "Partitions that this instance numbers", NULL);
    to->stage = mlt_metrics_histogram(m, "meltica_stage_duration_seconds",
                                      "From the stamp of the stage before to this one's",
                                      "stage=\"conduct\"");
    mlt_hop_receiver_metrics_init(&to->receiver, m, "hop=\"canonical\"");
    mlt_hop_sender_metrics_init(&to->sender, m, "hop=\"out\"");
}

static void collect(void *state)
{
    struct conductor *c = state;
    struct mlt_conductor_counts counts;
    (void)pthread_mutex_lock(&c->lock);
    mlt_conductor_core_counts(c->core, &counts);
    int64_t owned = 0;
    for (uint32_t p = 0; p < c->partitions; p++) {
        owned += c->epochs[p] != 0 ? 1 : 0;
    }
    if (c->receiver_open) {
        struct mlt_hop_receiver_stats stats;
        mlt_hop_receiver_get_stats(c->receiver, &stats);
        mlt_hop_receiver_metrics_set(&c->metrics.receiver, &stats);
    }
    if (c->sender != NULL) {
        struct mlt_hop_sender_stats stats;
        mlt_hop_sender_get_stats(c->sender, &stats);
        mlt_hop_sender_metrics_set(&c->metrics.sender, &stats);
    }
    mlt_counter_set(c->metrics.unsent, c->unsent);
    (void)pthread_mutex_unlock(&c->lock);
    mlt_counter_set(c->metrics.in, counts.in);
    mlt_counter_set(c->metrics.out, counts.out);
    mlt_counter_set(c->metrics.duplicates, counts.duplicates);
    mlt_counter_set(c->metrics.late, counts.late);
    mlt_counter_set(c->metrics.stale_owner, counts.stale_owner);
    mlt_counter_set(c->metrics.refused, counts.refused);
    mlt_counter_set(c->metrics.lost_reports, counts.lost_reports);
    mlt_gauge_set(c->metrics.owned, owned);
}

static void stats(void *state, struct mlt_buf *out)
{
    struct conductor *c = state;
    struct mlt_conductor_counts counts;
    (void)pthread_mutex_lock(&c->lock);
    mlt_conductor_core_counts(c->core, &counts);
    (void)pthread_mutex_unlock(&c->lock);
    const enum mlt_status status =
        mlt_buf_printf(out,
                       "{\"in\":%llu,\"out\":%llu,\"duplicates\":%llu,\"late\":%llu,"
                       "\"lost_reports\":%llu}",
                       (unsigned long long)counts.in, (unsigned long long)counts.out,
                       (unsigned long long)counts.duplicates, (unsigned long long)counts.late,
                       (unsigned long long)counts.lost_reports);
    if (status != MLT_OK) { /* then there are no figures this time */
        mlt_log(MLT_LOG_WARN, "stats_failed", "no room for the figures",
                MLT_S("status", mlt_status_word(status)));
    }
}

/* ---- life ---- */

static void stop(void *state)
{
    struct conductor *c = state;
    (void)pthread_mutex_lock(&c->lock);
    c->stopping = true;
    (void)pthread_cond_broadcast(&c->changed);
    (void)pthread_mutex_unlock(&c->lock);
    if (c->owner_started) {
        (void)pthread_join(c->owner, NULL);
    }
    mlt_claims_destroy(c->claims);
    mlt_store_destroy(c->store);
    mlt_timer_destroy(c->heads_timer);
    mlt_hop_sender_destroy(c->sender, 0);
    mlt_conductor_core_destroy(c->core);
    mlt_arena_fini(&c->arena);
    (void)pthread_cond_destroy(&c->changed);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}

static void drain(void *state)
{
    struct conductor *c = state;
    (void)pthread_mutex_lock(&c->lock);
    c->draining = true; /* the owner closes the hops and says when it is done */
    (void)pthread_cond_broadcast(&c->changed);
    (void)pthread_mutex_unlock(&c->lock);
}

static enum mlt_status build(struct conductor *c, struct mlt_error *err)
{
    const struct mlt_conductor_ports ports = { on_emit, c, mlt_clock_system() };
    enum mlt_status status = mlt_conductor_core_create(c->partitions, &ports, &c->core);
    if (status != MLT_OK) {
        return mlt_error_set(err, status, "core");
    }
    status = mlt_timer_create(mlt_service_loop(c->service), on_heads_timer, c, &c->heads_timer);
    if (status == MLT_OK && pthread_create(&c->owner, NULL, mlt_conductor_owner, c) != 0) {
        status = mlt_error_set(err, MLT_E_NOMEM, "no thread");
    }
    c->owner_started = status == MLT_OK;
    return status;
}

static enum mlt_status start(struct mlt_service *service, const void *config, void **state,
                             struct mlt_error *err)
{
    const struct conductor_config *cfg = config;
    struct conductor *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "conductor");
    }
    c->service = service;
    c->data = mlt_service_data_bus(service);
    c->control = mlt_service_control_bus(service);
    c->partitions = mlt_service_partitions(service);
    c->ring_bytes = (size_t)cfg->ring_bytes;
    for (uint32_t p = 0; p < c->partitions; p++) {
        if (p % mlt_service_replicas(service) == mlt_service_replica(service)) {
            c->mine |= UINT64_C(1) << p;
        }
    }
    mlt_arena_init(&c->arena, ARENA_BLOCK_BYTES, ARENA_BYTES_MAX);
    (void)pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&c->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    make_metrics(c);
    enum mlt_status status = c->mine != 0
                                 ? build(c, err)
                                 : mlt_error_set(err, MLT_E_CONFIG,
                                                 "more replicas than partitions: this one has "
                                                 "nothing to own");
    if (status != MLT_OK) {
        stop(c);
        return status;
    }
    mlt_timer_start(c->heads_timer, HEADS_INTERVAL_NS);
    *state = c;
    return MLT_OK;
}

const struct mlt_service_spec mlt_conductor_spec = {
    .name = MLT_CONDUCTOR_SERVICE,
    .description = "Numbers canonical events and drops repeats",
    .items = items,
    .item_count = sizeof items / sizeof items[0],
    .config_bytes = sizeof(struct conductor_config),
    .start = start,
    .drain = drain,
    .stop = stop,
    .ready = ready,
    .collect = collect,
    .stats = stats,
};
