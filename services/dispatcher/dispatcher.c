/* Wiring: native hop -> router -> canonical hop; table requests and announcements; the reconciler.
 */
#include "dispatcher.h"

#include <stdlib.h>

#include "internal.h"
#include "meltica/base/log.h"
#include "plan.h"
#include "traces.h"

#define EXCHANGE "binance"
#define ANNOUNCE_NS MLT_NS_PER_S
#define ROOM_WAIT_NS (2 * MLT_NS_PER_S)
#define FLUSH_NS MLT_NS_PER_S
#define TABLE_HEAD_BYTES_MAX 256u
#define REQUEST_BYTES_MAX (256u << 10)

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
static void announce(struct dispatcher *d)
{
    uint8_t bytes[TABLE_HEAD_BYTES_MAX];
    struct mlt_buf head = { bytes, 0, sizeof bytes, sizeof bytes };
    lock(d);
    const struct mlt_plan_live live = { .live = &d->live,
                                        .log_read = d->log_read,
                                        .listing_heard = !d->unsettled };
    const enum mlt_status status =
        mlt_plan_encode_table(d->table, d->catalogue, &live, d->boot, false, &head);
    unlock(d);
    /* Not taken (not connected): the next second's says the same. */
    (void)(status == MLT_OK &&
           mlt_bus_publish(mlt_service_data_bus(d->service), SUBJECT_TABLE_CHANGED,
                           mlt_buf_view(&head)) == MLT_OK);
}

static void on_announce_time(void *ctx)
{
    struct dispatcher *d = ctx;
    announce(d);
    mlt_timer_start(d->announce, ANNOUNCE_NS);
}

static void on_announce_posted(void *ctx)
{
    struct dispatcher *d = ctx;
    atomic_store(&d->announce_posted, false);
    announce(d);
}

static void announce_soon(struct dispatcher *d)
{
    if (!atomic_exchange(&d->announce_posted, true) &&
        mlt_loop_post(mlt_service_loop(d->service), on_announce_posted, d) != MLT_OK) {
        atomic_store(&d->announce_posted, false);
    }
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
                                        .match_count = request->n_match,
                                        .match = request->match };
    enum mlt_status status =
        mlt_plan_encode_table(d->table, d->catalogue, &live, d->boot, true, &table);
    unlock(d);
    free_request(request);
    struct mlt_bus *control = mlt_service_control_bus(d->service);
    status = status == MLT_OK
                 ? mlt_bus_reply(control, message->reply, mlt_buf_view(&table), 0, NULL)
                 : mlt_bus_reply(control, message->reply, MLT_SLICE_EMPTY, 500,
                                 "the dispatch table does not fit in a message: use patterns");
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
    dispatcher_metrics_stage(((struct dispatcher *)ctx)->metrics, duration_ns);
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
static bool publish_rejection(void *ctx, const char *subject, struct mlt_slice payload)
{
    const struct dispatcher *d = ctx;
    return mlt_bus_publish(mlt_service_data_bus(d->service), subject, payload) == MLT_OK;
}

static void on_batch(void *ctx, const struct mlt_hop_batch *batch)
{
    struct dispatcher *d = ctx;
    struct mlt_catalogue_counts before, after;
    /* Back-pressure: while the Conductor is behind nothing is acknowledged to the Adapter. */
    if (mlt_hop_congested(d->sender) && !atomic_load(&d->stopping)) {
        (void)mlt_hop_wait_room(d->sender, ROOM_WAIT_NS);
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
    const enum mlt_status status =
        mlt_plan_encode(d->table, d->catalogue, d->boot, partition, d->partitions, expanding(d),
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
        status = mlt_catalogue_subscribe(d->catalogue, &d->live);
        if (status != MLT_OK) {
            mlt_live_undo(&d->live, record->subscription, released);
            released = NULL;
        }
    }
    *revision = mlt_catalogue_revision(d->catalogue);
    struct mlt_live_item *item = mlt_live_find(&d->live, record->subscription);
    if (status == MLT_OK && item != NULL && changed) {
        item->revision = *revision;
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
    unlock(d);
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

static void begin_announcing(void *ctx)
{
    struct dispatcher *d = ctx;
    mlt_timer_start(d->announce, 0);
}

static const char *find_demand(void *ctx, struct mlt_slice instrument, const struct mlt_want *want,
                               struct mlt_demand *demand)
{
    struct dispatcher *d = ctx;
    lock(d);
    const char *reason = mlt_demand_of(d->table, d->catalogue, instrument, want, demand);
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
    const struct mlt_resync_ports ports = { find_demand, adapter_away, adapter_silent, d };
    struct mlt_resync *resync = NULL;
    const enum mlt_status status = mlt_resync_create(control, &ports, &resync, err);
    (void)pthread_mutex_lock(&d->receiver_lock);
    d->resync = resync;
    (void)pthread_mutex_unlock(&d->receiver_lock);
    /* The table last: whoever gets it may ask for anything. */
    return status == MLT_OK
               ? mlt_bus_subscribe(control, &requests, on_table_request, d, &d->table_requests, err)
               : status;
}

/* The receiver comes last: with its first batch everything else must be there. */
static void open_flow(void *ctx)
{
    struct dispatcher *d = ctx;
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_hop_receiver_options receiver = { .service = "dispatcher",
                                                       .sender_service = "adapter",
                                                       .subject = SUBJECT_NATIVE,
                                                       .partitions = d->partitions,
                                                       .on_batch = on_batch,
                                                       .ctx = d };
    struct mlt_hop_receiver *made = NULL;
    if (atomic_load(&d->stopping)) {
        return;
    }
    enum mlt_status status = serve(d, &err);
    if (status == MLT_OK) {
        mlt_reconciler_begin(d->reconciler);
        status = mlt_loop_post(mlt_service_loop(d->service), begin_announcing, d);
    }
    if (status == MLT_OK) {
        status = mlt_hop_receiver_create(mlt_service_data_bus(d->service), &receiver, &made, &err);
    }
    if (status != MLT_OK) {
        mlt_service_fail(d->service, "flow_not_open", err.text);
        return;
    }
    (void)pthread_mutex_lock(&d->receiver_lock);
    if (!atomic_load(&d->stopping)) {
        d->receiver = made;
        made = NULL;
    }
    (void)pthread_mutex_unlock(&d->receiver_lock);
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

static void end_intake(struct dispatcher *d)
{
    atomic_store(&d->stopping, true);
    (void)pthread_mutex_lock(&d->receiver_lock);
    struct mlt_hop_receiver *receiver = d->receiver;
    d->receiver = NULL;
    (void)pthread_mutex_unlock(&d->receiver_lock);
    mlt_hop_receiver_destroy(receiver);
}

static void stop(void *state)
{
    struct dispatcher *d = state;
    end_intake(d);
    mlt_control_stop(d->control);
    mlt_bus_unsubscribe(d->table_requests);
    mlt_resync_destroy(d->resync);
    mlt_reconciler_destroy(d->reconciler); /* until then it tells the log what it hears */
    mlt_control_destroy(d->control);
    mlt_instruments_destroy(d->instruments);
    mlt_timer_destroy(d->announce);
    mlt_hop_sender_destroy(d->sender, FLUSH_NS);
    mlt_router_destroy(d->router);
    mlt_rejector_destroy(d->rejector);
    mlt_catalogue_destroy(d->catalogue);
    mlt_live_fini(&d->live);
    mlt_table_destroy(d->table);
    dispatcher_metrics_destroy(d->metrics);
    (void)pthread_mutex_destroy(&d->receiver_lock);
    (void)pthread_mutex_destroy(&d->lock);
    free(d);
}

static enum mlt_status create_core(struct dispatcher *d, const char *table_path,
                                   struct mlt_error *err)
{
    const struct mlt_reject_ports reject_ports = { publish_rejection, d, mlt_clock_system() };
    const struct mlt_router_ports router_ports = { flow_begin,
                                                   flow_end,
                                                   flow_lost,
                                                   flow_rejected,
                                                   flow_stage,
                                                   flow_listed,
                                                   d->trace != NULL ? dispatcher_trace_sent : NULL,
                                                   d,
                                                   mlt_clock_system() };
    enum mlt_status status = mlt_table_load(table_path, &d->table, err);
    if (status != MLT_OK) {
        return status;
    }
    /* Grows over restarts, as long as the clock does; never as fast as a millisecond each. */
    const uint64_t first_revision = (uint64_t)(mlt_clock_wall_ns() / MLT_NS_PER_MS);
    status = mlt_catalogue_create(d->table, first_revision, &d->catalogue);
    if (status == MLT_OK) {
        d->unsettled = true;
        status = mlt_rejector_create(&reject_ports, &d->rejector);
    }
    if (status == MLT_OK) {
        status = mlt_router_create(d->table, d->catalogue, d->rejector, d->partitions, EXCHANGE,
                                   &router_ports, &d->router);
    }
    if (status == MLT_OK) {
        status = dispatcher_metrics_create(mlt_service_metrics(d->service), &d->metrics);
    }
    return status == MLT_OK
               ? MLT_OK
               : mlt_error_set(err, status, "%s: %s", table_path, mlt_status_text(status));
}

/* The flow opens when the log of live subscriptions is read (open_flow). */
static enum mlt_status create_flow(struct dispatcher *d, struct mlt_error *err)
{
    struct mlt_bus *data = mlt_service_data_bus(d->service);
    struct mlt_bus *control = mlt_service_control_bus(d->service);
    const uint32_t provision_replicas = mlt_service_provision_replicas(d->service);
    const struct mlt_hop_sender_options sender = { .service = "dispatcher",
                                                   .subject = SUBJECT_CANONICAL,
                                                   .partitions = d->partitions,
                                                   .boot = d->boot };
    const struct mlt_reconciler_ports ports = { make_plan, current_revision, on_settled,
                                                on_plan_status, d };
    const struct mlt_control_ports log = {
        apply_record, on_log_read, open_flow, lock_live, unlock_live, dispatcher_trace_answered, d
    };
    enum mlt_status status = mlt_hop_sender_create(data, &sender, &d->sender, err);
    if (status == MLT_OK) {
        status = mlt_instruments_create(control, provision_replicas, &d->instruments, err);
    }
    if (status == MLT_OK) {
        status = mlt_timer_create(mlt_service_loop(d->service), on_announce_time, d, &d->announce);
    }
    if (status == MLT_OK) {
        status = mlt_control_create(control, d->partitions, provision_replicas, d->boot, &log,
                                    &d->control, err);
    }
    if (status == MLT_OK) {
        status = mlt_reconciler_create(control, d->partitions, provision_replicas, &ports,
                                       &d->reconciler, err);
    }
    return status == MLT_OK ? mlt_control_start(d->control, err) : status;
}

static enum mlt_status start(struct mlt_service *service, const void *config, void **state,
                             struct mlt_error *err)
{
    const struct dispatcher_config *c = config;
    struct dispatcher *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the Dispatcher");
    }
    d->service = service;
    d->partitions = mlt_service_partitions(service);
    d->boot = mlt_service_boot(service);
    d->metrics_subscriptions = (size_t)c->metrics_subscriptions;
    d->trace = mlt_service_trace(service);
    (void)pthread_mutex_init(&d->lock, NULL);
    (void)pthread_mutex_init(&d->receiver_lock, NULL);
    enum mlt_status status = create_core(d, c->table, err);
    if (status == MLT_OK) {
        status = create_flow(d, err);
    }
    if (status != MLT_OK) {
        stop(d);
        return status;
    }
    mlt_log(MLT_LOG_INFO, "table_read", "the dispatch table is read", MLT_S("table", c->table),
            MLT_U("routes", d->table->route_count),
            MLT_U("subscriptions", d->table->subscription_count),
            MLT_U("revision", current_revision(d)));
    *state = d;
    return MLT_OK;
}

/* Intake ends; what was taken leaves with the sender's flush in stop. */
static void drain(void *state)
{
    struct dispatcher *d = state;
    end_intake(d);
    mlt_service_drained(d->service);
}

static bool ready(void *state, const char **reason)
{
    struct mlt_control_stats stats;
    mlt_control_get_stats(((struct dispatcher *)state)->control, &stats);
    *reason = stats.log_read ? NULL : "control log not read";
    return *reason == NULL;
}

static void collect(void *state)
{
    dispatcher_metrics_collect(state);
}

static void stats(void *state, struct mlt_buf *out)
{
    struct dispatcher *d = state;
    struct mlt_router_counts counts;
    lock(d);
    mlt_router_counts(d->router, &counts);
    const uint64_t revision = mlt_catalogue_revision(d->catalogue);
    unlock(d);
    const size_t before = out->len;
    if (mlt_buf_printf(
            out, "{\"revision\":\"%llu\",\"in\":\"%llu\",\"out\":\"%llu\",\"rejected\":\"%llu\"}",
            (unsigned long long)revision, (unsigned long long)counts.in,
            (unsigned long long)counts.out, (unsigned long long)counts.rejected) != MLT_OK) {
        out->len = before;
    }
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
};

const struct mlt_service_spec mlt_dispatcher_spec = {
    .name = "dispatcher",
    .description =
        "Routes native instances by the dispatch table and makes canonical events of them.",
    .items = items,
    .item_count = sizeof items / sizeof items[0],
    .config_bytes = sizeof(struct dispatcher_config),
    .check = check,
    .start = start,
    .drain = drain,
    .stop = stop,
    .ready = ready,
    .collect = collect,
    .families = dispatcher_families,
    .stats = stats,
};
