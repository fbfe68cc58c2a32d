/* Counters of the Dispatcher, mirrored from where they are kept when somebody reads them. */
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "meltica/base/figures.h"
#include "meltica/service/hop_metrics.h"

/* What one dispatcher of the process after the other counts. */
struct counted {
    struct mlt_counter *counter;
    unsigned of; /* the dispatcher that said `last` */
    uint64_t last;
};

struct dispatcher_metrics {
    struct mlt_metrics *registry;
    unsigned of; /* the dispatcher that counts: how many were before it */
    struct counted in, out, unsubscribed, enrich_failed, losses, ended, lost;
    struct counted discarded[MLT_DISCARD_COUNT];
    struct counted filtered[MLT_EVENT_TYPE_COUNT];
    struct counted plans_sent, plans_failed;
    struct counted instruments_written, instruments_failed;
    struct mlt_gauge *instruments_waiting;
    struct counted resyncs[MLT_RESYNC_OUTCOME_COUNT];
    struct counted records_applied, records_refused, expired;
    struct counted confirmed, pending, failed;
    struct mlt_gauge *log_sequence, *log_available, *waiting, *waiting_most;
    struct mlt_gauge *revision, *known, *listed, *subscribed, *adapters, *plan_bytes, *stream;
    struct mlt_gauge *active;
    struct mlt_counter *outbid, *claims_failed;
    struct mlt_histogram *stage;
    struct mlt_hop_receiver_metrics native;
    struct mlt_hop_sender_metrics canonical;
    /* Of the dispatchers before. */
    struct mlt_hop_receiver_stats native_before;
    struct mlt_hop_sender_stats canonical_before;
    uint64_t rejections_before;
    /* Series of refusals in the order of the rejector; made as they appear. */
    struct mlt_counter *rejected[MLT_REJECT_SERIES_MAX];
};

static void set(const struct dispatcher_metrics *m, struct counted *c, uint64_t value)
{
    if (c->of != m->of) {
        c->of = m->of;
        c->last = 0;
    }
    mlt_counter_add(c->counter, value - c->last);
    c->last = value;
}

static void create_flow(struct dispatcher_metrics *m)
{
    char labels[64];
    struct mlt_metrics *r = m->registry;
    m->in.counter =
        mlt_metrics_counter(r, "meltica_dispatcher_in_total", "Native instances received", NULL);
    m->out.counter =
        mlt_metrics_counter(r, "meltica_dispatcher_out_total", "Canonical events sent", NULL);
    m->unsubscribed.counter =
        mlt_metrics_counter(r, "meltica_dispatcher_unsubscribed_total",
                            "Instances dropped since nobody asked for them", NULL);
    m->losses.counter = mlt_metrics_counter(
        r, "meltica_dispatcher_losses_told_total",
        "Refused instances of which the Conductor was told, as losses of their channels", NULL);
    m->ended.counter = mlt_metrics_counter(
        r, "meltica_dispatcher_books_ended_total",
        "Instruments of whose books the Conductor was told that nobody asks", NULL);
    m->enrich_failed.counter =
        mlt_metrics_counter(r, "meltica_dispatcher_enrich_failed_total",
                            "Events that went on without their notional: it does not fit", NULL);
    m->lost.counter = mlt_metrics_counter(r, "meltica_dispatcher_lost_total",
                                          "Times that something was lost before a batch", NULL);
    for (unsigned d = 0; d < MLT_DISCARD_COUNT; d++) {
        (void)snprintf(labels, sizeof labels, "reason=\"%s\"",
                       mlt_discard_word((enum mlt_discard)d));
        m->discarded[d].counter =
            mlt_metrics_counter(r, "meltica_dispatcher_discarded_total",
                                "Events that a discard policy dropped", labels);
    }
    for (int type = 1; type < MLT_EVENT_TYPE_COUNT; type++) {
        (void)snprintf(labels, sizeof labels, "type=\"%s\"", mlt_event_type_word((int)type));
        m->filtered[type].counter =
            mlt_metrics_counter(r, "meltica_dispatcher_filtered_total",
                                "Events that a filter of their route dropped", labels);
    }
    m->active =
        mlt_metrics_gauge(r, "meltica_dispatcher_active",
                          "1 where this process dispatches, 0 where it stands by or is deaf", NULL);
    m->outbid = mlt_metrics_counter(r, "meltica_dispatcher_outbid_total",
                                    "Times that another process took over", NULL);
    m->claims_failed = mlt_metrics_counter(r, "meltica_dispatcher_claims_failed_total",
                                           "Claims that could not be written", NULL);
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
    m->plans_sent.counter = mlt_metrics_counter(r, "meltica_dispatcher_plans_total",
                                                "Plans sent to an Adapter", "outcome=\"applied\"");
    m->plans_failed.counter = mlt_metrics_counter(r, "meltica_dispatcher_plans_total",
                                                  "Plans sent to an Adapter", "outcome=\"failed\"");
    m->instruments_written.counter =
        mlt_metrics_counter(r, "meltica_dispatcher_instruments_stored_total",
                            "Values put into meltica-instruments", "outcome=\"written\"");
    m->instruments_failed.counter =
        mlt_metrics_counter(r, "meltica_dispatcher_instruments_stored_total",
                            "Values put into meltica-instruments", "outcome=\"failed\"");
    m->instruments_waiting =
        mlt_metrics_gauge(r, "meltica_dispatcher_instruments_waiting",
                          "Instruments that meltica-instruments does not have as they are", NULL);
    for (unsigned o = 0; o < MLT_RESYNC_OUTCOME_COUNT; o++) {
        char labels[64];
        (void)snprintf(labels, sizeof labels, "outcome=\"%s\"",
                       mlt_resync_outcome_word((enum mlt_resync_outcome)o));
        m->resyncs[o].counter = mlt_metrics_counter(r, "meltica_dispatcher_resyncs_total",
                                                    "Snapshots that a book asked for", labels);
    }
}

static void create_control(struct dispatcher_metrics *m)
{
    static const char *const records = "Records of the log of live subscriptions";
    static const char *const outcomes = "Commands, by what came of them";
    struct mlt_metrics *r = m->registry;
    m->records_applied.counter = mlt_metrics_counter(r, "meltica_dispatcher_log_records_total",
                                                     records, "outcome=\"applied\"");
    m->records_refused.counter = mlt_metrics_counter(r, "meltica_dispatcher_log_records_total",
                                                     records, "outcome=\"refused\"");
    m->confirmed.counter = mlt_metrics_counter(r, "meltica_dispatcher_commands_total", outcomes,
                                               "outcome=\"confirmed\"");
    m->pending.counter = mlt_metrics_counter(r, "meltica_dispatcher_commands_total", outcomes,
                                             "outcome=\"pending\"");
    m->failed.counter =
        mlt_metrics_counter(r, "meltica_dispatcher_commands_total", outcomes, "outcome=\"failed\"");
    m->expired.counter = mlt_metrics_counter(r, "meltica_dispatcher_leases_expired_total",
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

/* Under ends_lock, as what follows. */
static void set_control(struct dispatcher_metrics *m, const struct dispatcher *d)
{
    struct mlt_control_stats stats;
    mlt_control_get_stats(d->control, &stats);
    set(m, &m->records_applied, stats.applied);
    set(m, &m->records_refused, stats.refused);
    set(m, &m->confirmed, stats.confirmed);
    set(m, &m->pending, stats.pending);
    set(m, &m->failed, stats.failed);
    set(m, &m->expired, stats.expired);
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

static void set_router(struct dispatcher_metrics *m, struct dispatcher *d)
{
    struct mlt_router_counts counts;
    struct mlt_catalogue_counts instruments;
    size_t series_count;
    (void)pthread_mutex_lock(&d->lock);
    mlt_router_counts(d->router, &counts);
    mlt_catalogue_counts(d->catalogue, &instruments);
    const uint64_t revision = mlt_catalogue_revision(d->catalogue);
    const struct mlt_reject_series *series =
        mlt_rejector_series(d->replica->rejector, &series_count);
    collect_rejected(m, series, series_count);
    (void)pthread_mutex_unlock(&d->lock);
    set(m, &m->in, counts.in);
    set(m, &m->out, counts.out);
    set(m, &m->unsubscribed, counts.unsubscribed);
    set(m, &m->enrich_failed, counts.enrich_failed);
    set(m, &m->losses, counts.losses);
    set(m, &m->ended, counts.ended);
    set(m, &m->lost, counts.lost);
    for (unsigned i = 0; i < MLT_DISCARD_COUNT; i++) {
        set(m, &m->discarded[i], counts.discarded[i]);
    }
    for (int type = 1; type < MLT_EVENT_TYPE_COUNT; type++) {
        set(m, &m->filtered[type], counts.filtered[type]);
    }
    mlt_gauge_set(m->revision, (int64_t)revision);
    mlt_gauge_set(m->known, instruments.known);
    mlt_gauge_set(m->listed, instruments.listed);
    mlt_gauge_set(m->subscribed, instruments.subscribed);
}

static void set_hops(struct dispatcher_metrics *m, struct dispatcher *d)
{
    struct mlt_hop_receiver_stats native = m->native_before;
    struct mlt_hop_sender_stats canonical = m->canonical_before;
    if (d->receiver != NULL) { /* ends before the rest when draining */
        mlt_hop_receiver_get_stats(d->receiver, &d->receiver_stats);
    }
    if (d->sender != NULL) {
        mlt_hop_sender_get_stats(d->sender, &d->sender_stats);
    }
    mlt_figures_add(&native, &d->receiver_stats, sizeof native);
    mlt_figures_add(&canonical, &d->sender_stats, sizeof canonical);
    /* Of now, not of all. */
    canonical.unacked_bytes = d->sender_stats.unacked_bytes;
    canonical.unacked_max_bytes = d->sender_stats.unacked_max_bytes;
    canonical.ring_bytes = d->sender_stats.ring_bytes;
    mlt_hop_receiver_metrics_set(&m->native, &native);
    mlt_hop_sender_metrics_set(&m->canonical, &canonical);
}

static void set_reconciler(struct dispatcher_metrics *m, const struct dispatcher *d)
{
    struct mlt_reconciler_stats stats;
    mlt_reconciler_get_stats(d->reconciler, &stats);
    set(m, &m->plans_sent, stats.plans_sent);
    set(m, &m->plans_failed, stats.plans_failed);
    mlt_gauge_set(m->adapters, (int64_t)stats.adapters);
    mlt_gauge_set(m->plan_bytes, (int64_t)stats.plan_bytes);
    mlt_gauge_set(m->stream, stats.rejected_stream);
}

void dispatcher_metrics_set(struct dispatcher *dispatcher)
{
    struct dispatcher *d = dispatcher;
    struct dispatcher_metrics *m = d->replica->metrics;
    set_router(m, d);
    (void)pthread_mutex_lock(&d->ends_lock);
    set_hops(m, d);
    if (d->control != NULL) { /* what follows comes when it is claimed */
        set_control(m, d);
    }
    if (d->resync != NULL) { /* comes when the control log is read */
        struct mlt_resync_stats resyncs;
        mlt_resync_get_stats(d->resync, &resyncs);
        for (unsigned o = 0; o < MLT_RESYNC_OUTCOME_COUNT; o++) {
            set(m, &m->resyncs[o], resyncs.outcomes[o]);
        }
    }
    if (d->reconciler != NULL) {
        set_reconciler(m, d);
    }
    if (d->instruments != NULL) {
        struct mlt_instruments_stats stored;
        mlt_instruments_get_stats(d->instruments, &stored);
        set(m, &m->instruments_written, stored.written);
        set(m, &m->instruments_failed, stored.failed);
        mlt_gauge_set(m->instruments_waiting, (int64_t)stored.waiting);
    }
    (void)pthread_mutex_unlock(&d->ends_lock);
}

void dispatcher_metrics_retire(struct dispatcher *dispatcher)
{
    struct dispatcher_metrics *m = dispatcher->replica->metrics;
    struct mlt_router_counts counts;
    dispatcher_metrics_set(dispatcher);
    mlt_router_counts(dispatcher->router, &counts); /* the flow has ended */
    m->rejections_before += counts.rejected;
    mlt_figures_add(&m->native_before, &dispatcher->receiver_stats, sizeof m->native_before);
    mlt_figures_add(&m->canonical_before, &dispatcher->sender_stats, sizeof m->canonical_before);
    m->of++;
}

/* Who stands by has no table, log or Adapters, and misses none. */
static void withdraw(const struct dispatcher_metrics *m)
{
    struct mlt_gauge *const gauges[] = { m->revision,
                                         m->known,
                                         m->listed,
                                         m->subscribed,
                                         m->adapters,
                                         m->plan_bytes,
                                         m->stream,
                                         m->log_sequence,
                                         m->log_available,
                                         m->waiting,
                                         m->waiting_most,
                                         m->instruments_waiting,
                                         m->canonical.unacked,
                                         m->canonical.unacked_max,
                                         m->canonical.ring };
    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++) {
        mlt_gauge_withdraw(gauges[i]);
    }
}

void dispatcher_metrics_outbid(struct dispatcher_metrics *metrics)
{
    mlt_counter_add(metrics->outbid, 1);
}

void dispatcher_metrics_unclaimed(struct dispatcher_metrics *metrics)
{
    mlt_counter_add(metrics->claims_failed, 1);
}

/* Who claims dispatches nothing yet, and may never; who is not in touch holds still. */
static bool works(struct dispatcher *d)
{
    uint64_t epoch = 0;
    return d != NULL && dispatcher_phase(d, &epoch) == PHASE_RUNNING && dispatcher_answers(d);
}

void dispatcher_metrics_collect(void *state)
{
    struct replica *r = state;
    (void)pthread_mutex_lock(&r->lock);
    mlt_gauge_set(r->metrics->active, works(r->active) ? 1 : 0);
    if (r->active != NULL) {
        dispatcher_metrics_set(r->active);
    } else {
        withdraw(r->metrics);
    }
    (void)pthread_mutex_unlock(&r->lock);
    mlt_replicas_collect(r->replicas);
}

void dispatcher_stats(void *state, struct mlt_buf *out)
{
    struct replica *r = state;
    struct mlt_router_counts counts = { 0 };
    unsigned long long revision = 0; /* it stands by */
    (void)pthread_mutex_lock(&r->lock);
    if (r->active != NULL) {
        dispatcher_metrics_set(r->active); /* so that in and out are of now */
        (void)pthread_mutex_lock(&r->active->lock);
        mlt_router_counts(r->active->router, &counts);
        revision = mlt_catalogue_revision(r->active->catalogue);
        (void)pthread_mutex_unlock(&r->active->lock);
    }
    const struct dispatcher_metrics *m = r->metrics;
    const unsigned long long rejected = m->rejections_before + counts.rejected;
    const size_t before = out->len;
    if (mlt_buf_printf(
            out, "{\"revision\":\"%llu\",\"in\":\"%llu\",\"out\":\"%llu\",\"rejected\":\"%llu\"}",
            revision, (unsigned long long)mlt_counter_get(m->in.counter),
            (unsigned long long)mlt_counter_get(m->out.counter), rejected) != MLT_OK) {
        out->len = before;
    }
    (void)pthread_mutex_unlock(&r->lock);
}
