/* Pipeline and life of a data_bus. See data_bus_internal.h for threads, replica.c for the process.
 */
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include "data_bus_internal.h"
#include "heads.h"
#include "meltica/base/hash.h"
#include "meltica/base/log.h"
#include "meltica/bus/messages.h"

#define HOP_SERVICE "data_bus"
#define SUBJECT_PREFIX "meltica.data."
#define ARENA_BLOCK_BYTES (64u << 10)
#define ARENA_BYTES_MAX (4u << 20)
#define TABLE_WAIT_NS                                                                              \
    (500 * MLT_NS_PER_MS) /* then the event is judged by the table that is there */
#define PUBLISH_SLICE_NS (200 * MLT_NS_PER_MS)
#define PAUSE_NS (20 * MLT_NS_PER_MS)
#define CONNECT_SLICE_NS (200 * MLT_NS_PER_MS)
#define EPOCH_ALONE 1u /* without a claim; below all claims, which begin with the time */
#define HEADS_REPLY_BYTES_MAX MLT_BUS_PAYLOAD_BYTES_MAX

static const struct mlt_config_item items[] = {
    { .key = "journal",
      .type = MLT_CONFIG_BOOL,
      .offset = offsetof(struct data_bus_config, journal),
      .default_text = "true",
      .doc = "Whether what is published also goes, in batches, to the stream MELTICA_JOURNAL." },
    { .key = "journal_max_age_s",
      .type = MLT_CONFIG_INT,
      .offset = offsetof(struct data_bus_config, journal_max_age_s),
      .default_text = "900",
      .min = 1,
      .max = 31536000,
      .unit = "s",
      .doc = "How long the journal keeps events; used when the stream is created." },
    { .key = "journal_max_bytes",
      .type = MLT_CONFIG_INT,
      .offset = offsetof(struct data_bus_config, journal_max_bytes),
      .default_text = "1073741824",
      .min = 1 << 20,
      .max = INT64_C(1) << 50,
      .unit = "bytes",
      .doc = "How much the journal keeps; used when the stream is created." },
    { .key = "journal_drain_ms",
      .type = MLT_CONFIG_INT,
      .offset = offsetof(struct data_bus_config, journal_drain_ms),
      .default_text = "1000",
      .min = 0,
      .max = 60000,
      .unit = "ms",
      .doc = "How long an ending service waits for the journal's acknowledgements." },
};

/* ---- hot path ---- */

/* What cannot be handed on now will not be. */
static bool over(const struct data_bus *d)
{
    return atomic_load(&d->stopping) || atomic_load(&d->outbid);
}

/* Whether we know that nobody else publishes. Who slept hears first what was said meanwhile, and
 * gives up where another one has its place. */
static bool may_publish(void *ctx)
{
    const struct data_bus *d = ctx;
    return !d->shared || mlt_replicas_in_touch(d->replica->replicas);
}

/* The outbox's: nothing is left to leave once another one has its place. */
static bool may_leave(void *ctx)
{
    const struct data_bus *d = ctx;
    return may_publish(ctx) && !atomic_load(&d->outbid);
}

/* For what tells us that it is closed before it was waited for. */
static void pause_shortly(struct data_bus *d)
{
    const int64_t at = mlt_clock_mono_ns() + PAUSE_NS;
    const struct timespec until = { .tv_sec = (time_t)(at / MLT_NS_PER_S),
                                    .tv_nsec = (long)(at % MLT_NS_PER_S) };
    (void)pthread_mutex_lock(&d->lock);
    if (!over(d)) {
        (void)pthread_cond_timedwait(&d->changed, &d->lock, &until);
    }
    (void)pthread_mutex_unlock(&d->lock);
}

/* Waits for room and for a connection as long as it takes: meanwhile nothing is acknowledged, and
 * the hops hold back or say what they lose. Gives up only where the service ends. */
static enum mlt_status publish(struct data_bus *d, const char *subject, struct mlt_slice payload,
                               const char *traceparent)
{
    for (;;) {
        const int64_t deadline = mlt_clock_mono_ns() + PUBLISH_SLICE_NS;
        const bool may = may_publish(d);
        enum mlt_status status = MLT_E_AGAIN;
        if (may && !atomic_load(&d->outbid)) {
            status = mlt_outbox_publish(d->outbox, subject, payload, traceparent, deadline);
        }
        if (mlt_status_class(status) != MLT_CLASS_RETRY) {
            return status;
        }
        if (over(d)) {
            d->abandoned = true;
            return status;
        }
        if (mlt_clock_mono_ns() < deadline) {
            pause_shortly(d);
        }
    }
}

static bool on_publish(void *ctx, uint32_t partition, const struct mlt_event *event)
{
    struct data_bus *d = ctx;
    char subject[sizeof SUBJECT_PREFIX + MLT_INSTRUMENT_BYTES_MAX];
    memcpy(subject, SUBJECT_PREFIX, sizeof SUBJECT_PREFIX - 1);
    memcpy(subject + sizeof SUBJECT_PREFIX - 1, event->instrument.data, event->instrument.len);
    subject[sizeof SUBJECT_PREFIX - 1 + event->instrument.len] = '\0';
    char traceparent[MLT_TRACEPARENT_BYTES];
    const bool traced = mlt_trace_takes(d->trace, event);
    if (traced) {
        struct mlt_trace_context context;
        mlt_trace_event_context(event, MLT_TRACE_PUBLISH, &context);
        mlt_traceparent_format(&context, traceparent);
    }
    mlt_buf_clear(&d->encoded);
    enum mlt_status status = mlt_buf_reserve(&d->encoded, mlt_event_encoded_size(event));
    if (status == MLT_OK) {
        d->encoded.len = mlt_event_encode(event, d->encoded.data);
        status = publish(d, subject, mlt_buf_view(&d->encoded), traced ? traceparent : NULL);
    }
    if (status != MLT_OK) {
        if (!d->abandoned) {
            mlt_log(MLT_LOG_ERROR, "publish_refused", "an event cannot be published",
                    MLT_S("subject", subject), MLT_S("status", mlt_status_word(status)),
                    MLT_U("bytes", d->encoded.len));
        }
        return false;
    }
    if (traced) {
        mlt_trace_event(d->trace, MLT_TRACE_PUBLISH, event, d->batch_ns, mlt_clock_wall_ns());
    }
    if (d->journal != NULL) {
        (void)mlt_journal_append(d->journal, partition, mlt_buf_view(&d->encoded)); /* it counts */
    }
    mlt_data_bus_measure(d, event);
    return true;
}

/* ---- private lanes ---- */

static void on_lane(void *ctx, const struct mlt_event *event)
{
    const struct data_bus *d = ctx;
    mlt_lane_flow_event(d->lanes, event);
}

static void take_table(struct data_bus *d)
{
    struct mlt_routing *routing = mlt_table_reader_take(d->reader);
    if (routing != NULL) {
        mlt_lane_flow_set(d->lanes, routing);
        mlt_data_bus_core_set_table(d->core, routing);
    }
}

static void on_await_table(void *ctx, uint64_t revision)
{
    struct data_bus *d = ctx;
    if (mlt_table_reader_await(d->reader, revision, TABLE_WAIT_NS)) {
        take_table(d);
    } else {
        mlt_log(MLT_LOG_WARN, "table_late", "an event names a table that does not come",
                MLT_U("revision", revision));
    }
}

static void take_elements(struct data_bus *d, const struct mlt_hop_batch *batch)
{
    struct mlt_slice rest = batch->bytes, element;
    enum mlt_status status = MLT_OK, trouble = MLT_OK;
    while (!d->abandoned && (status = mlt_batch_next(&rest, &element)) == MLT_OK) {
        struct mlt_event event;
        mlt_arena_reset(&d->arena);
        status = mlt_event_decode(element, &d->arena, &event);
        if (status == MLT_OK) {
            status = mlt_data_bus_core_event(d->core, &event);
        } else {
            mlt_counter_add(d->metrics->undecodable, 1); /* its channel will show a jump */
        }
        trouble = status != MLT_OK ? status : trouble;
    }
    if (!d->abandoned && status != MLT_E_EMPTY) {
        mlt_counter_add(d->metrics->undecodable, 1);
        trouble = status;
    }
    if (trouble != MLT_OK) {
        mlt_log(MLT_LOG_ERROR, "element_refused", "an element of the hop is of no use",
                MLT_U("partition", batch->partition), MLT_U("batch", batch->hop.number),
                MLT_S("status", mlt_status_word(trouble)));
    }
}

/* For its own thread. */
static struct mlt_hop_receiver *receiver_of(struct data_bus *d)
{
    (void)pthread_mutex_lock(&d->lock);
    while (d->receiver == NULL) { /* being created at this moment */
        (void)pthread_cond_wait(&d->changed, &d->lock);
    }
    struct mlt_hop_receiver *receiver = d->receiver;
    (void)pthread_mutex_unlock(&d->lock);
    return receiver;
}

/* What could not be handed on is not acknowledged: the next process gets all of it. */
static void leave(struct data_bus *d, uint32_t partition)
{
    mlt_hop_receiver_leave(receiver_of(d), partition);
}

static void on_batch(void *ctx, const struct mlt_hop_batch *batch)
{
    struct data_bus *d = ctx;
    d->batch_ns = d->trace != NULL ? mlt_clock_wall_ns() : 0;
    take_table(d);
    if (mlt_data_bus_core_table(d->core) == NULL) {
        /* Nothing can be judged without a table: everything waits, and nothing is lost silently. */
        if (!mlt_table_reader_wait(d->reader)) {
            leave(d, batch->partition);
            return;
        }
        take_table(d);
    }
    (void)mlt_data_bus_core_fence(d->core, batch->partition, batch->hop.epoch);
    if (batch->lost_before) {
        mlt_log(MLT_LOG_WARN, "hop_lost", "batches of the Conductor were lost",
                MLT_U("partition", batch->partition), MLT_S("reason", batch->lost_reason),
                MLT_U("from", batch->lost_from), MLT_U("to", batch->lost_to));
        mlt_data_bus_core_lost(d->core, batch->partition, batch->lost_reason);
    }
    take_elements(d, batch);
    mlt_data_bus_mirror_counts(d);
    if (d->abandoned) {
        leave(d, batch->partition);
    }
}

static bool has_table(const struct data_bus *d, const struct mlt_table_mark *mark)
{
    const struct mlt_routing *table = mlt_data_bus_core_table(d->core);
    return table != NULL && mlt_routing_boot(table) == mark->boot &&
           mlt_routing_revision(table) >= mark->revision;
}

/* In order with the batches: after the answer nothing leaves that only an earlier table routed, but
 * for what comes again because the connection ends. */
static void answer_mark(struct data_bus *d, const struct mlt_bus_message *message)
{
    struct mlt_table_mark mark;
    if (mlt_table_mark_read(message->payload, &mark) != MLT_OK) {
        return;
    }
    take_table(d);
    bool has = has_table(d, &mark);
    if (!has && mlt_table_reader_await(d->reader, mark.revision, TABLE_WAIT_NS)) {
        take_table(d);
        has = has_table(d, &mark);
    }
    if (mlt_outbox_behind(d->outbox)) {
        return; /* the connection ended meanwhile */
    }
    const enum mlt_status status =
        mlt_bus_reply(d->data, message->reply, MLT_SLICE_EMPTY, has ? 0 : 503,
                      has ? "" : "the table is not here yet");
    if (status != MLT_OK) { /* it will ask again */
        mlt_log(MLT_LOG_WARN, "mark_unsent", "an answer could not be sent",
                MLT_S("status", mlt_status_word(status)));
    }
}

static void on_other(void *ctx, const char *word, const struct mlt_bus_message *message)
{
    struct data_bus *d = ctx;
    if (over(d) || !may_publish(d) || mlt_outbox_behind(d->outbox)) {
        return; /* another one may know better, or it would overtake: who gets no answer asks again
                 */
    }
    if (strcmp(word, "table") == 0 && message->reply[0] != '\0') {
        answer_mark(d, message);
        return;
    }
    if (strcmp(word, "heads") != 0 || message->reply[0] == '\0') {
        return;
    }
    uint64_t heard[MLT_HOP_PARTITIONS_MAX];
    mlt_hop_receiver_epochs(receiver_of(d), heard);
    mlt_buf_clear(&d->reply);
    enum mlt_status status =
        mlt_data_bus_heads_answer(d->core, d->partitions, heard, message->payload, &d->reply);
    const bool ok = status == MLT_OK;
    mlt_log(ok ? MLT_LOG_INFO : MLT_LOG_WARN, "heads_asked", "a Conductor takes a partition over",
            MLT_S("status", mlt_status_word(status)), MLT_U("reply_bytes", d->reply.len));
    status = mlt_bus_reply(d->data, message->reply, mlt_buf_view(&d->reply), ok ? 0 : 400,
                           ok ? "" : mlt_status_text(status));
    if (status != MLT_OK) { /* it will ask again */
        mlt_log(MLT_LOG_WARN, "heads_unsent", "an answer could not be sent",
                MLT_S("status", mlt_status_word(status)));
    }
}

/* ---- life ---- */

enum data_bus_phase mlt_data_bus_phase(struct data_bus *d, uint64_t *epoch)
{
    (void)pthread_mutex_lock(&d->lock);
    const enum data_bus_phase phase = d->phase;
    *epoch = d->epoch;
    (void)pthread_mutex_unlock(&d->lock);
    return phase;
}

void mlt_data_bus_give_up(struct data_bus *d, uint64_t epoch)
{
    (void)pthread_mutex_lock(&d->lock);
    const bool news = !atomic_load(&d->outbid);
    const uint64_t own = d->epoch;
    atomic_store(&d->outbid, true);
    mlt_lane_flow_give_up(d->lanes);
    for (uint32_t p = 0; d->receiver_open && p < d->partitions; p++) {
        mlt_hop_receiver_leave(d->receiver, p);
    }
    mlt_outbox_drop(d->outbox);
    (void)pthread_cond_broadcast(&d->changed);
    (void)pthread_mutex_unlock(&d->lock);
    if (news) {
        mlt_table_reader_end(d->reader); /* who waits for a table lets go */
        mlt_counter_add(d->metrics->outbid, 1);
        mlt_log(MLT_LOG_WARN, "outbid", "another Data Bus publishes from now on",
                MLT_U("epoch", epoch), MLT_U("own_epoch", own));
    }
}

static void on_outbid(void *ctx, uint32_t slot, uint64_t epoch)
{
    (void)slot; /* there is one */
    mlt_data_bus_give_up(ctx, epoch);
}

static void close_receiver(struct data_bus *d)
{
    (void)pthread_mutex_lock(&d->lock);
    const bool open = d->receiver_open;
    struct mlt_hop_receiver *receiver = d->receiver;
    d->receiver_open = false;
    if (open) {
        mlt_hop_receiver_get_stats(receiver, &d->receiver_stats);
    }
    (void)pthread_mutex_unlock(&d->lock);
    if (open) {
        mlt_table_reader_end(d->reader); /* who waits for a table lets go */
        mlt_hop_receiver_destroy(receiver);
    }
    mlt_lane_flow_end(d->lanes);
}

static bool ending(const struct data_bus *d)
{
    return d->draining || over(d);
}

static bool ends(struct data_bus *d)
{
    (void)pthread_mutex_lock(&d->lock);
    const bool end = ending(d);
    (void)pthread_mutex_unlock(&d->lock);
    return end;
}

static enum mlt_status try_claim(struct data_bus *d, uint64_t *epoch, struct mlt_error *err)
{
    uint64_t epochs[MLT_SLOT_COUNT] = { 0 };
    uint64_t boot = 0;
    while (boot == 0) {
        boot = mlt_random64(); /* of this data_bus: the process may have had others */
    }
    const struct mlt_claims_options options = {
        .service = MLT_DATA_BUS_SERVICE,
        .boot = boot,
        .slots = 1,
        .on_outbid = on_outbid,
        .ctx = d,
    };
    const enum mlt_status status =
        mlt_replicas_claim(d->service, &options, &d->store, epochs, &d->claims, err);
    *epoch = epochs[0];
    return status;
}

/* False: it ends, or the claim cannot be had. */
static bool claim(struct data_bus *d)
{
    struct mlt_bus *control = mlt_service_control_bus(d->service);
    struct mlt_error err = MLT_ERROR_INIT;
    uint64_t epoch = 0;
    for (;;) {
        enum mlt_status status = MLT_E_AGAIN; /* of this turn: without a connection there is none */
        if (ends(d)) {
            return false;
        }
        if (mlt_bus_wait_connected(control, CONNECT_SLICE_NS) == MLT_OK) {
            status = try_claim(d, &epoch, &err);
        }
        if (status == MLT_OK) {
            break;
        }
        if (d->taken_over) { /* whoever has it may live, and would never learn of it */
            mlt_log(MLT_LOG_WARN, "takeover_failed",
                    "it cannot be claimed: all stays as it is until JetStream answers",
                    MLT_S("status", mlt_status_word(status)), MLT_S("reason", err.text));
            d->unclaimed = true;
            return false;
        }
        if (mlt_bus_connected(control) && status != MLT_E_AGAIN) {
            epoch = (uint64_t)mlt_clock_wall_ns();
            mlt_log(MLT_LOG_WARN, "epoch_by_time",
                    "it cannot be claimed: it publishes, and nobody would stand in",
                    MLT_S("status", mlt_status_word(status)), MLT_S("reason", err.text));
            break;
        }
    }
    (void)pthread_mutex_lock(&d->lock);
    d->epoch = epoch;
    (void)pthread_mutex_unlock(&d->lock);
    return true;
}

static bool open_receiver(struct data_bus *d)
{
    const struct mlt_hop_receiver_options options = {
        .service = HOP_SERVICE,
        .sender_service = "conductor",
        .subject = "meltica.int.out",
        .partitions = d->partitions,
        .on_batch = on_batch,
        .on_other = on_other,
        .ctx = d,
    };
    struct mlt_hop_receiver *receiver = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    if (mlt_hop_receiver_create(d->data, &options, &receiver, &err) != MLT_OK) {
        mlt_service_fail(d->service, "hops_failed", err.text);
        return false;
    }
    (void)pthread_mutex_lock(&d->lock);
    d->receiver = receiver;
    d->receiver_open = true;
    d->phase = PHASE_RUNNING;
    for (uint32_t p = 0; atomic_load(&d->outbid) && p < d->partitions; p++) {
        mlt_hop_receiver_leave(receiver, p); /* while it was made */
    }
    (void)pthread_cond_broadcast(&d->changed);
    (void)pthread_mutex_unlock(&d->lock);
    return true;
}

static void *own(void *arg)
{
    struct data_bus *d = arg;
    if (!d->shared || claim(d)) {
        mlt_replicas_changed(d->replica->replicas);
        if (open_receiver(d)) {
            (void)pthread_mutex_lock(&d->lock);
            while (!ending(d)) {
                (void)pthread_cond_wait(&d->changed, &d->lock);
            }
            (void)pthread_mutex_unlock(&d->lock);
        }
    }
    close_receiver(d);
    while (!over(d) && !mlt_outbox_wait(d->outbox, mlt_clock_mono_ns() + PUBLISH_SLICE_NS)) {
        /* what private channels were told last is in nobody's ring */
    }
    (void)pthread_mutex_lock(&d->lock);
    d->phase = PHASE_ENDED;
    (void)pthread_mutex_unlock(&d->lock);
    if (atomic_load(&d->outbid)) {
        mlt_log(MLT_LOG_WARN, "standby", "another Data Bus took over: standing by",
                MLT_S("instance", mlt_service_instance(d->service)));
    }
    mlt_replicas_changed(d->replica->replicas);
    return NULL;
}

void mlt_data_bus_drain(struct data_bus *d)
{
    (void)pthread_mutex_lock(&d->lock);
    d->draining = true;
    (void)pthread_cond_broadcast(&d->changed);
    (void)pthread_mutex_unlock(&d->lock);
}

void mlt_data_bus_destroy(struct data_bus *d, struct data_bus_totals *totals)
{
    if (d == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&d->lock);
    atomic_store(&d->stopping, true);
    if (d->lanes != NULL) {
        mlt_lane_flow_stop(d->lanes);
    }
    (void)pthread_cond_broadcast(&d->changed);
    (void)pthread_mutex_unlock(&d->lock);
    if (d->owner_started) {
        (void)pthread_join(d->owner, NULL);
    }
    mlt_claims_destroy(d->claims);
    mlt_store_destroy(d->store);
    mlt_data_bus_forget_clock(d);
    if (d->owner_started) {
        mlt_data_bus_totals(d, totals);
    }
    mlt_table_reader_destroy(d->reader);
    if (d->journal != NULL) {
        mlt_journal_destroy(d->journal, d->config->journal_drain_ms * MLT_NS_PER_MS);
    }
    mlt_data_bus_core_destroy(d->core);
    mlt_lane_flow_destroy(d->lanes);
    mlt_outbox_destroy(d->outbox);
    mlt_buf_fini(&d->encoded);
    mlt_buf_fini(&d->reply);
    mlt_arena_fini(&d->arena);
    (void)pthread_cond_destroy(&d->changed);
    (void)pthread_mutex_destroy(&d->lock);
    free(d);
}

static enum mlt_status open_journal(struct data_bus *d, struct mlt_error *err)
{
    struct mlt_journal_options options = {
        .provision_replicas = mlt_service_provision_replicas(d->service),
        .partitions = d->partitions,
        .max_age_ns = d->config->journal_max_age_s * MLT_NS_PER_S,
        .max_bytes = d->config->journal_max_bytes,
    };
    mlt_service_bus_options(d->service, &options.bus);
    options.bus.name = "meltica-data-bus/journal";
    return mlt_journal_create(&options, &d->journal, err);
}

static enum mlt_status build(struct data_bus *d, struct mlt_error *err)
{
    const struct mlt_data_bus_ports ports = { on_publish, on_lane, on_await_table, d,
                                              mlt_clock_system() };
    const struct mlt_lane_gate gate = { may_publish, d };
    enum mlt_status status = mlt_data_bus_core_create(d->partitions, &ports, &d->core);
    if (status != MLT_OK) {
        return mlt_error_set(err, status, "core");
    }
    const struct mlt_outbox_options outbox = { .may = may_leave, .ctx = d };
    status = mlt_outbox_create(d->data, &outbox, &d->outbox, err);
    if (status != MLT_OK) {
        return status;
    }
    status = mlt_lane_flow_create(d->outbox, &gate, &d->lanes, err);
    if (status != MLT_OK) {
        return status;
    }
    status = mlt_data_bus_hear_clock(d, err);
    if (status != MLT_OK) {
        return status;
    }
    status = mlt_table_reader_create(mlt_service_control_bus(d->service), &d->reader, err);
    if (status == MLT_OK && d->config->journal) {
        status = open_journal(d, err);
    }
    if (status == MLT_OK && pthread_create(&d->owner, NULL, own, d) != 0) {
        status = mlt_error_set(err, MLT_E_NOMEM, "no thread");
    }
    d->owner_started = status == MLT_OK;
    return status;
}

enum mlt_status mlt_data_bus_create(struct replica *replica, bool taken_over,
                                    const struct data_bus_totals *before, struct data_bus **out,
                                    struct mlt_error *err)
{
    struct data_bus *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "data bus");
    }
    d->replica = replica;
    d->service = replica->service;
    d->config = replica->config;
    d->metrics = &replica->metrics;
    d->data = mlt_service_data_bus(d->service);
    d->trace = mlt_service_trace(d->service);
    d->partitions = mlt_service_partitions(d->service);
    d->before = *before;
    d->shared = mlt_service_replicas(d->service) > 1;
    d->epoch = d->shared ? 0 : EPOCH_ALONE;
    d->taken_over = taken_over;
    mlt_arena_init(&d->arena, ARENA_BLOCK_BYTES, ARENA_BYTES_MAX);
    mlt_buf_init(&d->encoded, MLT_BUS_PAYLOAD_BYTES_MAX);
    mlt_buf_init(&d->reply, HEADS_REPLY_BYTES_MAX);
    atomic_init(&d->stopping, false);
    atomic_init(&d->outbid, false);
    (void)pthread_mutex_init(&d->lock, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&d->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    const enum mlt_status status = build(d, err);
    if (status != MLT_OK) {
        struct data_bus_totals none;
        mlt_data_bus_destroy(d, &none);
        return status;
    }
    *out = d;
    return MLT_OK;
}

static void stats(void *state, struct mlt_buf *out)
{
    const struct replica *r = state;
    const enum mlt_status status =
        mlt_buf_printf(out,
                       "{\"in\":%llu,\"validated\":%llu,\"out\":%llu,\"unrouted\":%llu,"
                       "\"lost\":%llu}",
                       (unsigned long long)mlt_counter_get(r->metrics.in),
                       (unsigned long long)mlt_counter_get(r->metrics.validated),
                       (unsigned long long)mlt_counter_get(r->metrics.out),
                       (unsigned long long)mlt_counter_get(r->metrics.unrouted),
                       (unsigned long long)mlt_counter_get(r->metrics.lost));
    if (status != MLT_OK) { /* then there are no figures this time */
        mlt_log(MLT_LOG_WARN, "stats_failed", "no room for the figures",
                MLT_S("status", mlt_status_word(status)));
    }
}

const struct mlt_service_spec mlt_data_bus_spec = {
    .name = MLT_DATA_BUS_SERVICE,
    .description = "Publishes validated events in order on meltica.data.*",
    .items = items,
    .item_count = sizeof items / sizeof items[0],
    .config_bytes = sizeof(struct data_bus_config),
    .start = mlt_bus_replica_start,
    .drain = mlt_bus_replica_drain,
    .stop = mlt_bus_replica_stop,
    .ready = mlt_bus_replica_ready,
    .collect = mlt_data_bus_collect,
    .stats = stats,
};
