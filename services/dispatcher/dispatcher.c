/* What a dispatcher does: native hop -> router -> canonical hop; table requests and announcements;
 * the reconciler. Its life is in owner.c. */
#include "dispatcher.h"

#include <stdlib.h>

#include "internal.h"
#include "meltica/base/log.h"
#include "plan.h"
#include "traces.h"

#define EXCHANGE "binance"
#define ROOM_WAIT_NS (2 * MLT_NS_PER_S)
#define FLUSH_NS MLT_NS_PER_S
#define TABLE_HEAD_BYTES_MAX 256u
#define REQUEST_BYTES_MAX (256u << 10)

_Static_assert(MLT_DEMAND_TABLE_BYTES_MAX + MLT_DEMAND_TABLE_REST_BYTES <=
                   MLT_BUS_PAYLOAD_BYTES_MAX,
               "a table that is admitted is told");

static void lock(struct dispatcher *d)
{
    (void)pthread_mutex_lock(&d->lock);
}

static void unlock(struct dispatcher *d)
{
    (void)pthread_mutex_unlock(&d->lock);
}

/* ---- announcements ---- */

/* On the DATA connection, which never blocks: a reader sees the new revision before the first batch
 * that carries it. */
void dispatcher_announce(struct dispatcher *d)
{
    uint8_t bytes[TABLE_HEAD_BYTES_MAX];
    struct mlt_buf head = { bytes, 0, sizeof bytes, sizeof bytes };
    if (!atomic_load(&d->announcing) || !dispatcher_may(d)) {
        return;
    }
    lock(d);
    const struct mlt_plan_live live = { .live = &d->live,
                                        .log_read = d->log_read,
                                        .listing_heard = !d->unsettled,
                                        .now_ns = mlt_clock_wall_ns() };
    const struct mlt_plan_from from = { d->boot, atomic_load(&d->hop_epoch) };
    const enum mlt_status status =
        mlt_plan_encode_table(d->table, d->catalogue, &live, &from, false, &head);
    unlock(d);
    /* Not taken (not connected): the next second's says the same. */
    (void)(status == MLT_OK &&
           mlt_bus_publish(mlt_service_data_bus(d->service), SUBJECT_TABLE_CHANGED,
                           mlt_buf_view(&head)) == MLT_OK);
}

static void announce_soon(const struct dispatcher *d)
{
    dispatcher_replica_announce(d->replica);
}

static void free_request(Meltica__V1__TableRequest *request)
{
    if (request != NULL) {
        meltica__v1__table_request__free_unpacked(request, NULL);
    }
}

static void on_table_request(void *ctx, const struct mlt_bus_message *message)
{
    struct dispatcher *d = ctx;
    struct mlt_buf table;
    if (!dispatcher_answers(d)) {
        return; /* another one may know better: who gets no answer asks again */
    }
    Meltica__V1__TableRequest *request =
        message->payload.len > REQUEST_BYTES_MAX
            ? NULL
            : meltica__v1__table_request__unpack(NULL, message->payload.len, message->payload.data);
    if (message->reply[0] == '\0' || request == NULL) {
        free_request(request);
        return;
    }
    mlt_buf_init(&table, MLT_BUS_PAYLOAD_BYTES_MAX);
    lock(d);
    const struct mlt_plan_live live = { .live = &d->live,
                                        .log_read = d->log_read,
                                        .listing_heard = !d->unsettled,
                                        .now_ns = mlt_clock_wall_ns(),
                                        .match_count = request->n_match,
                                        .match = request->match,
                                        .only = request->subscription[0] != '\0'
                                                    ? request->subscription
                                                    : NULL };
    const struct mlt_plan_from from = { d->boot, atomic_load(&d->hop_epoch) };
    enum mlt_status status =
        mlt_plan_encode_table(d->table, d->catalogue, &live, &from, true, &table);
    unlock(d);
    free_request(request);
    struct mlt_bus *control = mlt_service_control_bus(d->service);
    status = status == MLT_OK
                 ? mlt_bus_reply(control, message->reply, mlt_buf_view(&table), 0, NULL)
                 : mlt_bus_reply(control, message->reply, MLT_SLICE_EMPTY, 500,
                                 "the dispatch table does not fit in a message: end subscriptions");
    if (status != MLT_OK) {
        mlt_log(MLT_LOG_WARN, "table_not_answered", "a request for the table was not answered",
                MLT_S("reason", mlt_status_word(status)));
    }
    mlt_buf_fini(&table);
}

/* ---- the flow: thread of the native receiver, with the lock ---- */

static enum mlt_status flow_begin(void *ctx, uint32_t partition, size_t bytes, uint8_t **out)
{
    return mlt_hop_begin(((struct dispatcher *)ctx)->sender, partition, bytes, out);
}

static void flow_end(void *ctx, uint32_t partition)
{
    mlt_hop_end(((struct dispatcher *)ctx)->sender, partition);
}

static void flow_lost(void *ctx, uint32_t partition)
{
    mlt_hop_mark_lost(((struct dispatcher *)ctx)->sender, partition);
}

static void flow_stage(void *ctx, int64_t duration_ns)
{
    dispatcher_metrics_stage(((struct dispatcher *)ctx)->replica->metrics, duration_ns);
}

static void flow_listed(void *ctx, const struct mlt_event *event)
{
    mlt_instruments_heard(((struct dispatcher *)ctx)->instruments, event);
}

static void flow_rejected(void *ctx, const struct mlt_rejection *rejection)
{
    dispatcher_trace_rejected(ctx, rejection);
    mlt_log(MLT_LOG_WARN, "rejected", "an instance became no event",
            MLT_S("stage", rejection->stage), MLT_SL("reason", rejection->reason),
            MLT_SL("instrument", rejection->instrument), MLT_SL("topic", rejection->topic),
            MLT_U("bytes", rejection->original_bytes));
}

/* The DATA connection takes or refuses at once, so a flood of refusals holds up no flow. */
bool dispatcher_publish_rejection(void *ctx, const char *subject, struct mlt_slice payload)
{
    const struct replica *r = ctx;
    return mlt_bus_publish(mlt_service_data_bus(r->service), subject, payload) == MLT_OK;
}

/* Nobody's: whoever receives after us gets it, and all that follows. */
static void leave(struct dispatcher *d, uint32_t partition)
{
    (void)pthread_mutex_lock(&d->life);
    struct mlt_hop_receiver *intake = d->intake;
    (void)pthread_mutex_unlock(&d->life);
    mlt_hop_receiver_leave(intake, partition);
}

/* Until both ends are there. False: they will not be. */
static bool await_open(struct dispatcher *d)
{
    (void)pthread_mutex_lock(&d->life);
    while (!d->opened) {
        (void)pthread_cond_wait(&d->changed, &d->life);
    }
    (void)pthread_mutex_unlock(&d->life);
    return d->sender != NULL; /* it lives as long as this thread */
}

static void on_batch(void *ctx, const struct mlt_hop_batch *batch)
{
    struct dispatcher *d = ctx;
    struct mlt_catalogue_counts before, after;
    if (!await_open(d)) {
        leave(d, batch->partition);
        return;
    }
    /* Back-pressure: while the Conductor is behind nothing is acknowledged to the Adapter. */
    if (mlt_hop_congested(d->sender) && !atomic_load(&d->stopping)) {
        (void)mlt_hop_wait_room(d->sender, ROOM_WAIT_NS);
    }
    if (!dispatcher_await_ours(d)) {
        leave(d, batch->partition);
        return;
    }
    lock(d);
    const uint64_t revision = mlt_catalogue_revision(d->catalogue);
    d->batch_ns = d->trace != NULL ? mlt_clock_wall_ns() : 0;
    mlt_catalogue_counts(d->catalogue, &before);
    mlt_router_batch(d->router, batch->partition, batch->bytes, batch->lost_before);
    const bool changed = mlt_catalogue_revision(d->catalogue) != revision;
    mlt_catalogue_counts(d->catalogue, &after);
    unlock(d);
    if (batch->lost_before) {
        mlt_log(MLT_LOG_WARN, "native_lost", "native batches were lost",
                MLT_S("reason", batch->lost_reason), MLT_U("partition", batch->partition),
                MLT_U("from", batch->lost_from), MLT_U("to", batch->lost_to));
    }
    if (changed) {
        mlt_reconciler_changed(d->reconciler);
        announce_soon(d);
    }
    if (after.listed != before.listed) {
        mlt_reconciler_listing(d->reconciler);
    }
}

/* ---- ports of the reconciler: its thread ---- */

/* The listing matters only where patterns are: without them a plan is complete at once. */
static bool expanding(const struct dispatcher *d)
{
    return !d->log_read || (d->unsettled && mlt_catalogue_has_wildcards(d->catalogue));
}

static enum mlt_status make_plan(void *ctx, uint32_t partition, struct mlt_buf *out,
                                 uint64_t *revision, struct mlt_error *err)
{
    struct dispatcher *d = ctx;
    lock(d);
    *revision = mlt_catalogue_revision(d->catalogue);
    const struct mlt_plan_from from = { d->boot, atomic_load(&d->hop_epoch) };
    const enum mlt_status status =
        mlt_plan_encode(d->table, d->catalogue, &from, partition, d->partitions, expanding(d),
                        MLT_BUS_PAYLOAD_BYTES_MAX, out, err);
    if (status == MLT_OK) {
        dispatcher_trace_plan(d, *revision, out);
    }
    unlock(d);
    return status;
}

static uint64_t current_revision(void *ctx)
{
    struct dispatcher *d = ctx;
    lock(d);
    const uint64_t revision = mlt_catalogue_revision(d->catalogue);
    unlock(d);
    return revision;
}

static bool on_settled(void *ctx)
{
    struct dispatcher *d = ctx;
    lock(d);
    const bool was = d->unsettled && mlt_catalogue_has_wildcards(d->catalogue);
    d->unsettled = false;
    if (was) {
        mlt_catalogue_bump(d->catalogue);
    }
    unlock(d);
    if (was) {
        announce_soon(d);
    }
    return was;
}

static void on_plan_status(void *ctx, struct mlt_slice status)
{
    mlt_control_status(((struct dispatcher *)ctx)->control, status);
}

/* ---- ports of the control log: its thread ---- */

static void table_changed(struct dispatcher *d)
{
    mlt_reconciler_changed(d->reconciler);
    announce_soon(d);
}

static enum mlt_status apply_record(void *ctx, const Meltica__V1__ControlRecord *record,
                                    uint64_t sequence, uint64_t *revision)
{
    struct dispatcher *d = ctx;
    struct mlt_live_item *released = NULL;
    bool changed = false;
    const int64_t begin_ns = mlt_clock_wall_ns();
    lock(d);
    const bool now = d->log_read; /* else it is an old one */
    enum mlt_status status =
        mlt_live_apply(&d->live, d->table, record, sequence, &released, &changed);
    /* Before the log is read to its end nothing of it is in force: one union for all of it. */
    if (status == MLT_OK && changed && d->log_read) {
        status = mlt_catalogue_follow(d->catalogue, &d->live,
                                      mlt_live_find(&d->live, record->subscription));
        if (status != MLT_OK) {
            mlt_live_undo(&d->live, record->subscription, released);
            released = NULL;
        } else if (d->sender != NULL) { /* made by this thread, and there as long as it runs */
            mlt_router_ended(d->router);
        }
    }
    *revision = mlt_catalogue_revision(d->catalogue);
    struct mlt_live_item *item = mlt_live_find(&d->live, record->subscription);
    if (status == MLT_OK && item != NULL) {
        const struct mlt_live_clocks clocks = { mlt_clock_wall_ns(), mlt_clock_mono_ns() };
        mlt_live_lease(item, record, !now, &clocks);
        item->revision = changed ? *revision : item->revision;
    }
    changed = changed && status == MLT_OK && d->log_read;
    unlock(d);
    mlt_live_release(released);
    if (now) {
        dispatcher_trace_applied(d, record, begin_ns, status, changed, *revision);
    }
    if (changed) {
        table_changed(d);
    }
    return status;
}

static void on_log_read(void *ctx)
{
    struct dispatcher *d = ctx;
    lock(d);
    const enum mlt_status status = mlt_catalogue_subscribe(d->catalogue, &d->live);
    d->log_read = true;
    for (size_t i = 0; i < d->live.count; i++) {
        d->live.items[i]->revision = mlt_catalogue_revision(d->catalogue);
    }
    const size_t bytes = mlt_catalogue_table_bytes(d->catalogue, &d->live);
    unlock(d);
    if (bytes > MLT_DEMAND_TABLE_BYTES_MAX) { /* an earlier release admitted it: it stays */
        mlt_log(MLT_LOG_ERROR, "table_too_long",
                "all that is subscribed hardly fits in a message, and nothing more is admitted: "
                "end subscriptions by their ids",
                MLT_U("bytes", bytes), MLT_U("bytes_max", MLT_DEMAND_TABLE_BYTES_MAX));
    }
    if (status != MLT_OK) {
        mlt_log(MLT_LOG_ERROR, "live_refused", "live subscriptions cannot be in force",
                MLT_S("reason", mlt_status_word(status)));
    }
    table_changed(d);
}

static struct mlt_live *lock_live(void *ctx, const struct mlt_table **table)
{
    struct dispatcher *d = ctx;
    lock(d);
    *table = d->table;
    return &d->live;
}

static void unlock_live(void *ctx)
{
    unlock((struct dispatcher *)ctx);
}

static const char *find_demand(void *ctx, struct mlt_slice instrument, const struct mlt_want *want,
                               struct mlt_demand *demand)
{
    struct dispatcher *d = ctx;
    lock(d);
    const char *reason = mlt_demand_of(d->table, d->catalogue, instrument, want, demand);
    const bool unknown =
        strcmp(reason, "unknown_instrument") == 0 || strcmp(reason, "not_subscribed") == 0;
    if (unknown && !d->log_read) { /* of those who are refused for good the books end */
        reason = "log_not_read";
    }
    unlock(d);
    return reason;
}

static bool adapter_away(void *ctx, struct mlt_slice instrument)
{
    const struct dispatcher *d = ctx;
    return mlt_reconciler_away(d->reconciler, mlt_instrument_slot(instrument) % d->partitions);
}

static void adapter_silent(void *ctx, struct mlt_slice instrument, int64_t at_ns)
{
    const struct dispatcher *d = ctx;
    mlt_reconciler_silent(d->reconciler, mlt_instrument_slot(instrument) % d->partitions, at_ns);
}

/* Requests of others: only now is what the table says complete. */
static enum mlt_status serve(struct dispatcher *d, struct mlt_error *err)
{
    struct mlt_bus *control = mlt_service_control_bus(d->service);
    const struct mlt_bus_subscribe_options requests = { .subject = SUBJECT_TABLE };
    const struct mlt_resync_ports ports = { find_demand, adapter_away, adapter_silent,
                                            dispatcher_answers, d };
    struct mlt_resync *resync = NULL;
    const enum mlt_status status = mlt_resync_create(control, &ports, &resync, err);
    (void)pthread_mutex_lock(&d->ends_lock);
    d->resync = resync;
    (void)pthread_mutex_unlock(&d->ends_lock);
    /* The table last: whoever gets it may ask for anything. */
    return status == MLT_OK
               ? mlt_bus_subscribe(control, &requests, on_table_request, d, &d->table_requests, err)
               : status;
}

/* Under ends_lock. */
static void set_epoch(struct dispatcher *d)
{
    for (uint32_t p = 0; d->sender != NULL && p < d->partitions; p++) {
        mlt_hop_sender_set_epoch(d->sender, p, atomic_load(&d->hop_epoch));
    }
}

/* Adapters and the Data Bus get it with a plan and a table, so that they refuse whoever has a lower
 * one. */
void dispatcher_claimed(struct dispatcher *d)
{
    (void)pthread_mutex_lock(&d->ends_lock);
    set_epoch(d);
    if (d->reconciler != NULL) {
        mlt_reconciler_changed(d->reconciler);
    }
    (void)pthread_mutex_unlock(&d->ends_lock);
    announce_soon(d);
}

static enum mlt_status open_sender(struct dispatcher *d, struct mlt_error *err)
{
    const struct mlt_hop_sender_options options = { .service = MLT_DISPATCHER_SERVICE,
                                                    .subject = SUBJECT_CANONICAL,
                                                    .partitions = d->partitions,
                                                    .boot = d->boot,
                                                    .ring_bytes =
                                                        (size_t)d->replica->config->ring_bytes,
                                                    .epoch = atomic_load(&d->hop_epoch) };
    struct mlt_hop_sender *sender = NULL;
    const enum mlt_status status =
        mlt_hop_sender_create(mlt_service_data_bus(d->service), &options, &sender, err);
    if (status != MLT_OK) {
        return status;
    }
    (void)pthread_mutex_lock(&d->ends_lock);
    d->sender = sender;
    set_epoch(d); /* it may have been claimed while that was made */
    for (uint32_t p = 0; p < d->partitions && atomic_load(&d->outbid); p++) {
        mlt_hop_sender_leave(sender, p);
    }
    (void)pthread_mutex_unlock(&d->ends_lock);
    return MLT_OK;
}

/* The receiver first, and then the sender: whom a take-over finds at work is heard by the
 * Conductors until we speak, and by then we must have begun behind what it had acknowledged. */
static enum mlt_status open_ends(struct dispatcher *d, struct mlt_hop_receiver **made,
                                 struct mlt_error *err)
{
    const struct mlt_hop_receiver_options receiver = { .service = MLT_DISPATCHER_SERVICE,
                                                       .sender_service = "adapter",
                                                       .subject = SUBJECT_NATIVE,
                                                       .partitions = d->partitions,
                                                       .on_batch = on_batch,
                                                       /* after Adapters with a hot standby, one
                                                        * without */
                                                       .hear_unclaimed = true,
                                                       .ctx = d };
    enum mlt_status status =
        mlt_hop_receiver_create(mlt_service_data_bus(d->service), &receiver, made, err);
    if (status == MLT_OK) {
        status = open_sender(d, err);
        (void)pthread_mutex_lock(&d->life);
        d->intake = *made;
        d->opened = true;
        (void)pthread_cond_broadcast(&d->changed);
        (void)pthread_mutex_unlock(&d->life);
    }
    return status;
}

/* The flow comes last: with its first batch everything else must be there. */
/* In this order: what is not sent any more must not be acknowledged. Without a receiver nothing is
 * left: one that is being made, or ends, acknowledges what it took, and what was made of it has to
 * go; whoever comes next begins behind it. */
void dispatcher_leave(struct dispatcher *d)
{
    if (d->receiver == NULL) {
        return;
    }
    for (uint32_t p = 0; p < d->partitions; p++) {
        mlt_hop_receiver_leave(d->receiver, p);
        if (d->sender != NULL) {
            mlt_hop_sender_leave(d->sender, p);
        }
    }
}

static void open_flow(void *ctx)
{
    struct dispatcher *d = ctx;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_hop_receiver *made = NULL;
    if (atomic_load(&d->stopping)) {
        return;
    }
    enum mlt_status status = serve(d, &err);
    if (status == MLT_OK) {
        mlt_reconciler_begin(d->reconciler);
        atomic_store(&d->announcing, true);
        announce_soon(d);
        status = open_ends(d, &made, &err);
    }
    if (status != MLT_OK) {
        mlt_service_fail(d->service, "flow_not_open", err.text);
    }
    (void)pthread_mutex_lock(&d->ends_lock);
    d->receiver = made;
    if (atomic_load(&d->outbid)) { /* while it was made */
        dispatcher_leave(d);
    }
    if (atomic_load(&d->stopping)) {
        d->receiver = NULL;
    } else {
        made = NULL;
    }
    (void)pthread_mutex_unlock(&d->ends_lock);
    mlt_hop_receiver_destroy(made);
}

/* ---- life ---- */

static enum mlt_status check(const void *config, struct mlt_error *err)
{
    const struct dispatcher_config *c = config;
    struct mlt_table *table = NULL;
    struct mlt_catalogue *catalogue = NULL;
    enum mlt_status status = mlt_table_load(c->table, &table, err);
    if (status != MLT_OK) {
        return status;
    }
    status = mlt_catalogue_create(table, 0, &catalogue);
    if (status != MLT_OK) {
        status = mlt_error_set(err, status == MLT_E_LIMIT ? MLT_E_CONFIG : status,
                               "%s: names more than %u instruments: use patterns such as *-USDT",
                               c->table, MLT_CATALOGUE_INSTRUMENTS_MAX);
    }
    mlt_catalogue_destroy(catalogue);
    mlt_table_destroy(table);
    return status;
}

enum mlt_status dispatcher_create_core(struct dispatcher *d, struct mlt_error *err)
{
    const char *path = d->replica->config->table;
    const struct mlt_router_ports router_ports = { flow_begin,
                                                   flow_end,
                                                   flow_lost,
                                                   flow_rejected,
                                                   flow_stage,
                                                   flow_listed,
                                                   d->trace != NULL ? dispatcher_trace_sent : NULL,
                                                   d,
                                                   mlt_clock_system() };
    d->table = d->replica->table;
    /* Grows over restarts and take-overs, as long as the clock does; never as fast as a millisecond
     * each. */
    const uint64_t first_revision = (uint64_t)(mlt_clock_wall_ns() / MLT_NS_PER_MS);
    enum mlt_status status = mlt_catalogue_create(d->table, first_revision, &d->catalogue);
    if (status == MLT_OK) {
        d->unsettled = true;
        status = mlt_router_create(d->table, d->catalogue, d->replica->rejector, d->partitions,
                                   EXCHANGE, &router_ports, &d->router);
    }
    if (status != MLT_OK) {
        return mlt_error_set(err, status, "%s: %s", path, mlt_status_text(status));
    }
    mlt_log(MLT_LOG_INFO, "table_read", "the dispatch table is read", MLT_S("table", path),
            MLT_U("routes", d->table->route_count),
            MLT_U("subscriptions", d->table->subscription_count),
            MLT_U("revision", current_revision(d)));
    return MLT_OK;
}

void dispatcher_destroy_core(struct dispatcher *d)
{
    mlt_router_destroy(d->router);
    mlt_catalogue_destroy(d->catalogue);
    mlt_live_fini(&d->live);
}

enum mlt_status dispatcher_open(struct dispatcher *d, struct mlt_error *err)
{
    struct mlt_bus *control = mlt_service_control_bus(d->service);
    const uint32_t provision_replicas = mlt_service_provision_replicas(d->service);
    const struct mlt_reconciler_ports ports = { make_plan,      current_revision, on_settled,
                                                on_plan_status, dispatcher_may,   d };
    const struct mlt_control_ports log = { apply_record,   on_log_read,
                                           open_flow,      lock_live,
                                           unlock_live,    dispatcher_trace_answered,
                                           dispatcher_may, d };
    struct mlt_instruments *instruments = NULL;
    struct mlt_control *made = NULL;
    struct mlt_reconciler *reconciler = NULL;
    enum mlt_status status = mlt_instruments_create(control, provision_replicas, &instruments, err);
    if (status == MLT_OK) {
        status = mlt_control_create(control, d->partitions, provision_replicas, d->boot, &log,
                                    &made, err);
    }
    (void)pthread_mutex_lock(&d->ends_lock);
    d->instruments = instruments;
    d->control = made;
    (void)pthread_mutex_unlock(&d->ends_lock);
    if (status == MLT_OK) { /* it tells the log what it hears */
        status = mlt_reconciler_create(control, d->partitions, provision_replicas, &ports,
                                       &reconciler, err);
    }
    (void)pthread_mutex_lock(&d->ends_lock);
    d->reconciler = reconciler;
    (void)pthread_mutex_unlock(&d->ends_lock);
    return status == MLT_OK ? mlt_control_start(d->control, err) : status;
}

void dispatcher_close(struct dispatcher *d)
{
    atomic_store(&d->stopping, true);
    (void)pthread_mutex_lock(&d->ends_lock);
    struct mlt_hop_receiver *receiver = d->receiver;
    d->receiver = NULL;
    if (receiver != NULL) {
        mlt_hop_receiver_get_stats(receiver, &d->receiver_stats);
    }
    (void)pthread_mutex_unlock(&d->ends_lock);
    mlt_hop_receiver_destroy(receiver);
    mlt_control_stop(d->control); /* its thread may be about to open the flow */
    (void)pthread_mutex_lock(&d->ends_lock);
    struct mlt_hop_sender *sender = d->sender;
    d->sender = NULL;
    if (sender != NULL) {
        mlt_hop_sender_get_stats(sender, &d->sender_stats);
    }
    (void)pthread_mutex_unlock(&d->ends_lock);
    /* Who was outbid has nothing to say that would pass. */
    mlt_hop_sender_destroy(sender, atomic_load(&d->outbid) ? 0 : FLUSH_NS);
}

void dispatcher_end(struct dispatcher *d)
{
    mlt_bus_unsubscribe(d->table_requests);
    mlt_resync_destroy(d->resync);
    mlt_reconciler_destroy(d->reconciler); /* until then it tells the log what it hears */
    mlt_control_destroy(d->control);
    mlt_instruments_destroy(d->instruments);
}

static const struct mlt_config_item items[] = {
    { .key = "table",
      .type = MLT_CONFIG_STRING,
      .offset = offsetof(struct dispatcher_config, table),
      .default_text = MLT_DISPATCH_TABLE,
      .unit = "",
      .doc = "File with the dispatch table (docs/dispatch-table.md)." },
    { .key = "metrics_subscriptions",
      .type = MLT_CONFIG_INT,
      .offset = offsetof(struct dispatcher_config, metrics_subscriptions),
      .default_text = "200",
      .min = 0,
      .max = 4096,
      .unit = "",
      .doc = "Live subscriptions with series of their own on /metrics, the first by id." },
    { .key = "ring_bytes",
      .type = MLT_CONFIG_INT,
      .offset = offsetof(struct dispatcher_config, ring_bytes),
      .default_text = "8388608",
      .min = 1 << 20,
      .max = 1 << 30,
      .unit = "bytes",
      .doc = "How much of what was sent to the Conductors is kept to be sent again." },
};

const struct mlt_service_spec mlt_dispatcher_spec = {
    .name = MLT_DISPATCHER_SERVICE,
    .description =
        "Routes native instances by the dispatch table and makes canonical events of them.",
    .items = items,
    .item_count = sizeof items / sizeof items[0],
    .config_bytes = sizeof(struct dispatcher_config),
    .check = check,
    .start = dispatcher_replica_start,
    .drain = dispatcher_replica_drain,
    .stop = dispatcher_replica_stop,
    .ready = dispatcher_replica_ready,
    .collect = dispatcher_metrics_collect,
    .families = dispatcher_families,
    .stats = dispatcher_stats,
};
