/* Counters of the Dispatcher, mirrored from where they are kept when somebody reads them. */
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "meltica/service/hop_metrics.h"

struct dispatcher_metrics {
    struct mlt_metrics *registry;
    struct mlt_counter *in, *out, *unsubscribed, *enrich_failed, *lost;
    struct mlt_counter *discarded[MLT_DISCARD_COUNT];
    struct mlt_counter *filtered[MLT_EVENT_TYPE_COUNT];
    struct mlt_counter *plans_sent, *plans_failed;
    struct mlt_counter *instruments_written, *instruments_failed;
    struct mlt_gauge *instruments_waiting;
    struct mlt_counter *resyncs[MLT_RESYNC_OUTCOME_COUNT];
    struct mlt_counter *records_applied, *records_refused, *expired;
    struct mlt_counter *confirmed, *pending, *failed;
    struct mlt_gauge *log_sequence, *log_available, *waiting, *waiting_most;
    struct mlt_gauge *revision, *known, *listed, *subscribed, *adapters, *plan_bytes, *stream;
    struct mlt_histogram *stage;
    struct mlt_hop_receiver_metrics native;
    struct mlt_hop_sender_metrics canonical;
    /* Series of refusals in the order of the rejector; made as they appear. */
    struct mlt_counter *rejected[MLT_REJECT_SERIES_MAX];
};

static void create_flow(struct dispatcher_metrics *m)
{
    char labels[64];
    struct mlt_metrics *r = m->registry;
    m->in =
        mlt_metrics_counter(r, "meltica_dispatcher_in_total", "Native instances received", NULL);
    m->out = mlt_metrics_counter(r, "meltica_dispatcher_out_total", "Canonical events sent", NULL);
    m->unsubscribed = mlt_metrics_counter(r, "meltica_dispatcher_unsubscribed_total",
                                          "Instances dropped since nobody asked for them", NULL);
    m->enrich_failed =
        mlt_metrics_counter(r, "meltica_dispatcher_enrich_failed_total",
                            "Events that went on without their notional: it does not fit", NULL);
    m->lost = mlt_metrics_counter(r, "meltica_dispatcher_lost_total",
                                  "Times that something was lost before a batch", NULL);
    for (unsigned d = 0; d < MLT_DISCARD_COUNT; d++) {
        (void)snprintf(labels, sizeof labels, "reason=\"%s\"",
                       mlt_discard_word((enum mlt_discard)d));
        m->discarded[d] = mlt_metrics_counter(r, "meltica_dispatcher_discarded_total",
                                              "Events that a discard policy dropped", labels);
    }
    for (int type = 1; type < MLT_EVENT_TYPE_COUNT; type++) {
        (void)snprintf(labels, sizeof labels, "type=\"%s\"", mlt_event_type_word((int)type));
        m->filtered[type] =
            mlt_metrics_counter(r, "meltica_dispatcher_filtered_total",
                                "Events that a filter of their route dropped", labels);
    }
    m->stage =
        mlt_metrics_histogram(r, "meltica_stage_duration_seconds",
                              "Time from the stamp of the stage before", "stage=\"dispatch\"");
}

static void create_plan(struct dispatcher_metrics *m)
{
    struct mlt_metrics *r = m->registry;
    m->revision =
        mlt_metrics_gauge(r, "meltica_dispatcher_revision", "Revision of the dispatch table", NULL);
    m->known = mlt_metrics_gauge(r, "meltica_dispatcher_instruments",
                                 "Instruments of the catalogue", "state=\"known\"");
    m->listed = mlt_metrics_gauge(r, "meltica_dispatcher_instruments",
                                  "Instruments of the catalogue", "state=\"listed\"");
    m->subscribed = mlt_metrics_gauge(r, "meltica_dispatcher_instruments",
                                      "Instruments of the catalogue", "state=\"subscribed\"");
    m->adapters = mlt_metrics_gauge(r, "meltica_dispatcher_adapters",
                                    "Adapters that said something in the last seconds", NULL);
    m->plan_bytes = mlt_metrics_gauge(r, "meltica_dispatcher_plan_bytes",
                                      "Largest message of the last plan", NULL);
    m->stream = mlt_metrics_gauge(r, "meltica_dispatcher_rejected_stream",
                                  "1 when the stream of rejections is there", NULL);
    m->plans_sent = mlt_metrics_counter(r, "meltica_dispatcher_plans_total",
                                        "Plans sent to an Adapter", "outcome=\"applied\"");
    m->plans_failed = mlt_metrics_counter(r, "meltica_dispatcher_plans_total",
                                          "Plans sent to an Adapter", "outcome=\"failed\"");
    m->instruments_written =
        mlt_metrics_counter(r, "meltica_dispatcher_instruments_stored_total",
                            "Values put into meltica-instruments", "outcome=\"written\"");
    m->instruments_failed =
        mlt_metrics_counter(r, "meltica_dispatcher_instruments_stored_total",
                            "Values put into meltica-instruments", "outcome=\"failed\"");
    m->instruments_waiting =
        mlt_metrics_gauge(r, "meltica_dispatcher_instruments_waiting",
                          "Instruments that meltica-instruments does not have as they are", NULL);
    for (unsigned o = 0; o < MLT_RESYNC_OUTCOME_COUNT; o++) {
        char labels[64];
        (void)snprintf(labels, sizeof labels, "outcome=\"%s\"",
                       mlt_resync_outcome_word((enum mlt_resync_outcome)o));
        m->resyncs[o] = mlt_metrics_counter(r, "meltica_dispatcher_resyncs_total",
                                            "Snapshots that a book asked for", labels);
    }
}

static void create_control(struct dispatcher_metrics *m)
{
    static const char *const records = "Records of the log of live subscriptions";
    static const char *const outcomes = "Commands, by what came of them";
    struct mlt_metrics *r = m->registry;
    m->records_applied = mlt_metrics_counter(r, "meltica_dispatcher_log_records_total", records,
                                             "outcome=\"applied\"");
    m->records_refused = mlt_metrics_counter(r, "meltica_dispatcher_log_records_total", records,
                                             "outcome=\"refused\"");
    m->confirmed = mlt_metrics_counter(r, "meltica_dispatcher_commands_total", outcomes,
                                       "outcome=\"confirmed\"");
    m->pending = mlt_metrics_counter(r, "meltica_dispatcher_commands_total", outcomes,
                                     "outcome=\"pending\"");
    m->failed =
        mlt_metrics_counter(r, "meltica_dispatcher_commands_total", outcomes, "outcome=\"failed\"");
    m->expired = mlt_metrics_counter(r, "meltica_dispatcher_leases_expired_total",
                                     "Live subscriptions whose lease ended", NULL);
    m->log_sequence = mlt_metrics_gauge(r, "meltica_dispatcher_log_sequence",
                                        "Sequence of the last record that was read", NULL);
    m->log_available = mlt_metrics_gauge(r, "meltica_dispatcher_log_available",
                                         "1 while the log of live subscriptions can be read", NULL);
    m->waiting = mlt_metrics_gauge(r, "meltica_dispatcher_waiting_commands",
                                   "Commands that wait for their outcome", NULL);
    m->waiting_most = mlt_metrics_gauge(r, "meltica_dispatcher_waiting_commands_high_water",
                                        "Most commands that waited for their outcome", NULL);
}

static void collect_control(struct dispatcher *d)
{
    const struct dispatcher_metrics *m = d->metrics;
    struct mlt_control_stats stats;
    mlt_control_get_stats(d->control, &stats);
    mlt_counter_set(m->records_applied, stats.applied);
    mlt_counter_set(m->records_refused, stats.refused);
    mlt_counter_set(m->confirmed, stats.confirmed);
    mlt_counter_set(m->pending, stats.pending);
    mlt_counter_set(m->failed, stats.failed);
    mlt_counter_set(m->expired, stats.expired);
    mlt_gauge_set(m->log_sequence, (int64_t)stats.sequence);
    mlt_gauge_set(m->log_available, stats.available);
    mlt_gauge_set(m->waiting, (int64_t)stats.waiting);
    mlt_gauge_set(m->waiting_most, (int64_t)stats.waiting_most);
}

enum mlt_status dispatcher_metrics_create(struct mlt_metrics *registry,
                                          struct dispatcher_metrics **metrics)
{
    struct dispatcher_metrics *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return MLT_E_NOMEM;
    }
    m->registry = registry;
    create_flow(m);
    create_plan(m);
    create_control(m);
    mlt_hop_receiver_metrics_init(&m->native, registry, "hop=\"native\"");
    mlt_hop_sender_metrics_init(&m->canonical, registry, "hop=\"canonical\"");
    *metrics = m;
    return MLT_OK;
}

void dispatcher_metrics_destroy(struct dispatcher_metrics *metrics)
{
    free(metrics);
}

void dispatcher_metrics_stage(struct dispatcher_metrics *metrics, int64_t duration_ns)
{
    mlt_histogram_record_ns(metrics->stage, duration_ns);
}

static void collect_rejected(struct dispatcher_metrics *m, const struct mlt_reject_series *series,
                             size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (m->rejected[i] == NULL) {
            char labels[128];
            (void)snprintf(labels, sizeof labels, "stage=\"%s\",reason=\"%s\"", series[i].stage,
                           series[i].reason);
            m->rejected[i] = mlt_metrics_counter(m->registry, "meltica_rejected_total",
                                                 "Instances that became a Rejection", labels);
        }
        mlt_counter_set(m->rejected[i], series[i].count);
    }
}

static void collect_router(struct dispatcher *d)
{
    struct dispatcher_metrics *m = d->metrics;
    struct mlt_router_counts counts;
    struct mlt_catalogue_counts instruments;
    size_t series_count;
    (void)pthread_mutex_lock(&d->lock);
    mlt_router_counts(d->router, &counts);
    mlt_catalogue_counts(d->catalogue, &instruments);
    const uint64_t revision = mlt_catalogue_revision(d->catalogue);
    const struct mlt_reject_series *series = mlt_rejector_series(d->rejector, &series_count);
    collect_rejected(m, series, series_count);
    (void)pthread_mutex_unlock(&d->lock);
    mlt_counter_set(m->in, counts.in);
    mlt_counter_set(m->out, counts.out);
    mlt_counter_set(m->unsubscribed, counts.unsubscribed);
    mlt_counter_set(m->enrich_failed, counts.enrich_failed);
    mlt_counter_set(m->lost, counts.lost);
    for (unsigned i = 0; i < MLT_DISCARD_COUNT; i++) {
        mlt_counter_set(m->discarded[i], counts.discarded[i]);
    }
    for (int type = 1; type < MLT_EVENT_TYPE_COUNT; type++) {
        mlt_counter_set(m->filtered[type], counts.filtered[type]);
    }
    mlt_gauge_set(m->revision, (int64_t)revision);
    mlt_gauge_set(m->known, instruments.known);
    mlt_gauge_set(m->listed, instruments.listed);
    mlt_gauge_set(m->subscribed, instruments.subscribed);
}

void dispatcher_metrics_collect(struct dispatcher *dispatcher)
{
    struct dispatcher_metrics *m = dispatcher->metrics;
    struct mlt_reconciler_stats stats;
    struct mlt_hop_sender_stats sender;
    struct mlt_hop_receiver_stats receiver;
    collect_router(dispatcher);
    collect_control(dispatcher);
    (void)pthread_mutex_lock(&dispatcher->receiver_lock);
    if (dispatcher->receiver != NULL) { /* ends before the rest when draining */
        mlt_hop_receiver_get_stats(dispatcher->receiver, &receiver);
        mlt_hop_receiver_metrics_set(&m->native, &receiver);
    }
    if (dispatcher->resync != NULL) { /* comes when the control log is read */
        struct mlt_resync_stats resyncs;
        mlt_resync_get_stats(dispatcher->resync, &resyncs);
        for (unsigned o = 0; o < MLT_RESYNC_OUTCOME_COUNT; o++) {
            mlt_counter_set(m->resyncs[o], resyncs.outcomes[o]);
        }
    }
    (void)pthread_mutex_unlock(&dispatcher->receiver_lock);
    mlt_hop_sender_get_stats(dispatcher->sender, &sender);
    mlt_hop_sender_metrics_set(&m->canonical, &sender);
    mlt_reconciler_get_stats(dispatcher->reconciler, &stats);
    struct mlt_instruments_stats stored;
    mlt_instruments_get_stats(dispatcher->instruments, &stored);
    mlt_counter_set(m->instruments_written, stored.written);
    mlt_counter_set(m->instruments_failed, stored.failed);
    mlt_gauge_set(m->instruments_waiting, (int64_t)stored.waiting);
    mlt_counter_set(m->plans_sent, stats.plans_sent);
    mlt_counter_set(m->plans_failed, stats.plans_failed);
    mlt_gauge_set(m->adapters, (int64_t)stats.adapters);
    mlt_gauge_set(m->plan_bytes, (int64_t)stats.plan_bytes);
    mlt_gauge_set(m->stream, stats.rejected_stream);
}
