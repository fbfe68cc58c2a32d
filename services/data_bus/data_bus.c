/*
 * Pipeline and life of the service. Threads:
 *  - loop: start, stop, drain, readiness, metrics;
 *  - receiver (the hop's): the core, the journal's and the live lane's bytes; it alone touches the
 * core;
 *  - reader (reader.c): the dispatch table;
 *  - lanes (lane_flow.c): what has waited for the window of a private lane;
 *  - closer: ends the intake while draining, which may have to wait.
 */
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include "data_bus_internal.h"
#include "heads.h"
#include "meltica/base/log.h"
#include "meltica/v1/internal.pb-c.h"

#define HOP_SERVICE "data_bus"
#define SUBJECT_PREFIX "meltica.data."
#define ARENA_BLOCK_BYTES (64u << 10)
#define ARENA_BYTES_MAX (4u << 20)
#define TABLE_WAIT_NS                                                                              \
    (500 * MLT_NS_PER_MS) /* then the event is judged by the table that is there */
#define PUBLISH_SLICE_NS (200 * MLT_NS_PER_MS)
#define PAUSE_NS (20 * MLT_NS_PER_MS)
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

/* For what tells us that it is closed before it was waited for. */
static void pause_shortly(struct data_bus *d)
{
    const int64_t at = mlt_clock_mono_ns() + PAUSE_NS;
    const struct timespec until = { .tv_sec = (time_t)(at / MLT_NS_PER_S),
                                    .tv_nsec = (long)(at % MLT_NS_PER_S) };
    (void)pthread_mutex_lock(&d->lock);
    if (!atomic_load(&d->stopping)) {
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
        const enum mlt_status status =
            traceparent == NULL
                ? mlt_bus_publish_wait(d->data, subject, payload, deadline)
                : mlt_bus_publish_traced(d->data, subject, payload, traceparent, deadline);
        if (mlt_status_class(status) != MLT_CLASS_RETRY) {
            return status;
        }
        if (atomic_load(&d->stopping)) {
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
            mlt_counter_add(d->metrics.undecodable, 1); /* its channel will show a jump */
        }
        trouble = status != MLT_OK ? status : trouble;
    }
    if (!d->abandoned && status != MLT_E_EMPTY) {
        mlt_counter_add(d->metrics.undecodable, 1);
        trouble = status;
    }
    if (trouble != MLT_OK) {
        mlt_log(MLT_LOG_ERROR, "element_refused", "an element of the hop is of no use",
                MLT_U("partition", batch->partition), MLT_U("batch", batch->hop.number),
                MLT_S("status", mlt_status_word(trouble)));
    }
}

/* What could not be handed on is not acknowledged: the next process gets all of it. */
static void leave(struct data_bus *d, uint32_t partition)
{
    (void)pthread_mutex_lock(&d->lock);
    while (d->receiver == NULL) { /* being created at this moment */
        (void)pthread_cond_wait(&d->changed, &d->lock);
    }
    struct mlt_hop_receiver *receiver = d->receiver;
    (void)pthread_mutex_unlock(&d->lock);
    mlt_hop_receiver_leave(receiver, partition);
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

/* In order with the batches: after the answer nothing leaves that only an earlier table routed. */
static void answer_mark(struct data_bus *d, const struct mlt_bus_message *message)
{
    Meltica__V1__TableMark *mark =
        meltica__v1__table_mark__unpack(NULL, message->payload.len, message->payload.data);
    if (mark == NULL) {
        return;
    }
    take_table(d);
    const struct mlt_routing *table = mlt_data_bus_core_table(d->core);
    bool has = table != NULL && mlt_routing_boot(table) == mark->boot &&
               mlt_routing_revision(table) >= mark->revision;
    if (!has && mlt_table_reader_await(d->reader, mark->revision, TABLE_WAIT_NS)) {
        take_table(d);
        table = mlt_data_bus_core_table(d->core);
        has =
            mlt_routing_boot(table) == mark->boot && mlt_routing_revision(table) >= mark->revision;
    }
    meltica__v1__table_mark__free_unpacked(mark, NULL);
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
    if (strcmp(word, "table") == 0 && message->reply[0] != '\0') {
        answer_mark(d, message);
        return;
    }
    if (strcmp(word, "heads") != 0 || message->reply[0] == '\0') {
        return;
    }
    mlt_buf_clear(&d->reply);
    enum mlt_status status =
        mlt_data_bus_heads_answer(d->core, d->partitions, message->payload, &d->reply);
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

/* ---- health ---- */

static bool ready(void *state, const char **reason)
{
    struct data_bus *d = state;
    struct mlt_table_reader_stats stats;
    mlt_table_reader_get_stats(d->reader, &stats);
    *reason = stats.reads == 0 ? "no dispatch table yet" : NULL;
    return *reason == NULL;
}

static void stats(void *state, struct mlt_buf *out)
{
    const struct data_bus *d = state;
    const enum mlt_status status =
        mlt_buf_printf(out,
                       "{\"in\":%llu,\"validated\":%llu,\"out\":%llu,\"unrouted\":%llu,"
                       "\"lost\":%llu}",
                       (unsigned long long)mlt_counter_get(d->metrics.in),
                       (unsigned long long)mlt_counter_get(d->metrics.validated),
                       (unsigned long long)mlt_counter_get(d->metrics.out),
                       (unsigned long long)mlt_counter_get(d->metrics.unrouted),
                       (unsigned long long)mlt_counter_get(d->metrics.lost));
    if (status != MLT_OK) { /* then there are no figures this time */
        mlt_log(MLT_LOG_WARN, "stats_failed", "no room for the figures",
                MLT_S("status", mlt_status_word(status)));
    }
}

/* ---- life ---- */

static void close_receiver(struct data_bus *d)
{
    (void)pthread_mutex_lock(&d->lock);
    const bool open = d->receiver_open;
    struct mlt_hop_receiver *receiver = d->receiver;
    d->receiver_open = false;
    (void)pthread_mutex_unlock(&d->lock);
    if (open) {
        mlt_table_reader_end(d->reader); /* who waits for a table lets go */
        mlt_hop_receiver_destroy(receiver);
    }
    if (d->lanes != NULL) {
        mlt_lane_flow_end(d->lanes);
    }
}

static void *close_intake(void *arg)
{
    struct data_bus *d = arg;
    close_receiver(d);
    mlt_service_drained(d->service);
    return NULL;
}

static void drain(void *state)
{
    struct data_bus *d = state;
    d->closer_started = pthread_create(&d->closer, NULL, close_intake, d) == 0;
    if (!d->closer_started) {
        mlt_service_drained(d->service); /* stop() closes it */
    }
}

static void stop(void *state)
{
    struct data_bus *d = state;
    (void)pthread_mutex_lock(&d->lock);
    atomic_store(&d->stopping, true);
    if (d->lanes != NULL) {
        mlt_lane_flow_stop(d->lanes);
    }
    (void)pthread_cond_broadcast(&d->changed);
    (void)pthread_mutex_unlock(&d->lock);
    if (d->closer_started) {
        (void)pthread_join(d->closer, NULL);
    }
    close_receiver(d);
    mlt_data_bus_forget_clock(d);
    mlt_table_reader_destroy(d->reader);
    if (d->journal != NULL) {
        mlt_journal_destroy(d->journal, d->config->journal_drain_ms * MLT_NS_PER_MS);
    }
    mlt_data_bus_core_destroy(d->core);
    mlt_lane_flow_destroy(d->lanes);
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

static enum mlt_status open_receiver(struct data_bus *d, struct mlt_error *err)
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
    const enum mlt_status status = mlt_hop_receiver_create(d->data, &options, &receiver, err);
    if (status == MLT_OK) {
        (void)pthread_mutex_lock(&d->lock);
        d->receiver = receiver;
        d->receiver_open = true;
        (void)pthread_cond_broadcast(&d->changed);
        (void)pthread_mutex_unlock(&d->lock);
    }
    return status;
}

static enum mlt_status build(struct data_bus *d, struct mlt_error *err)
{
    const struct mlt_data_bus_ports ports = { on_publish, on_lane, on_await_table, d,
                                              mlt_clock_system() };
    enum mlt_status status = mlt_data_bus_core_create(d->partitions, &ports, &d->core);
    if (status != MLT_OK) {
        return mlt_error_set(err, status, "core");
    }
    status = mlt_lane_flow_create(d->data, &d->lanes, err);
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
    if (status == MLT_OK) {
        status = open_receiver(d, err);
    }
    return status;
}

static enum mlt_status start(struct mlt_service *service, const void *config, void **state,
                             struct mlt_error *err)
{
    struct data_bus *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "data bus");
    }
    d->service = service;
    d->config = config;
    d->data = mlt_service_data_bus(service);
    d->trace = mlt_service_trace(service);
    d->partitions = mlt_service_partitions(service);
    mlt_arena_init(&d->arena, ARENA_BLOCK_BYTES, ARENA_BYTES_MAX);
    mlt_buf_init(&d->encoded, MLT_BUS_PAYLOAD_BYTES_MAX);
    mlt_buf_init(&d->reply, HEADS_REPLY_BYTES_MAX);
    atomic_init(&d->stopping, false);
    (void)pthread_mutex_init(&d->lock, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&d->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    mlt_data_bus_make_metrics(d);
    const enum mlt_status status = build(d, err);
    if (status != MLT_OK) {
        stop(d);
        return status;
    }
    *state = d;
    return MLT_OK;
}

const struct mlt_service_spec mlt_data_bus_spec = {
    .name = "data-bus",
    .description = "Publishes validated events in order on meltica.data.*",
    .items = items,
    .item_count = sizeof items / sizeof items[0],
    .config_bytes = sizeof(struct data_bus_config),
    .start = start,
    .drain = drain,
    .stop = stop,
    .ready = ready,
    .collect = mlt_data_bus_collect,
    .stats = stats,
};
