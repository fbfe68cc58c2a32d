/* What the Data Bus counts. README.md has the list. */
#include <assert.h>

#include "data_bus_internal.h"

#include "meltica/base/figures.h"

static void make_journal(struct data_bus_metrics *to, struct mlt_metrics *m)
{
    to->journal_in_flight = mlt_metrics_gauge(m, "meltica_journal_in_flight_batches",
                                              "Batches that wait for their acknowledgement", NULL);
    to->journal_available =
        mlt_metrics_gauge(m, "meltica_journal_available", "1: the stream takes batches", NULL);
    to->journal_ack =
        mlt_metrics_counter_seconds(m, "meltica_journal_ack_seconds_total",
                                    "Over all acknowledged batches, from being sent", NULL);
    to->journal_queue = mlt_metrics_gauge(m, "meltica_journal_queue_bytes",
                                          "Bytes of events without acknowledgement", NULL);
    to->journal_queue_most = mlt_metrics_gauge(m, "meltica_journal_queue_high_water_bytes",
                                               "Most bytes without acknowledgement", NULL);
    to->journal_lag = mlt_metrics_gauge_seconds(
        m, "meltica_journal_lag_seconds", "Since the oldest event without acknowledgement", NULL);
}

void mlt_data_bus_make_metrics(struct data_bus_metrics *to, struct mlt_metrics *m, bool journal)
{
    const struct {
        struct mlt_counter **counter;
        const char *name, *help, *labels;
    } counters[] = {
        { &to->in, "meltica_bus_in_total", "New events", NULL },
        { &to->validated, "meltica_bus_validated_total", "Events that the table routes", NULL },
        { &to->out, "meltica_bus_out_total", "Events published", NULL },
        { &to->unrouted, "meltica_bus_unrouted_total", "Events that no subscription asks for",
          NULL },
        { &to->private_only, "meltica_bus_private_total", "Events that only private lanes ask for",
          NULL },
        { &to->lane_out, "meltica_lane_out_total", "Events published on private lanes", NULL },
        { &to->lane_filtered, "meltica_lane_filtered_total",
          "Events that the filter of a lane left out", NULL },
        { &to->lane_merged, "meltica_lane_merged_total",
          "Events of a lane that a newer one of their window replaced", NULL },
        { &to->lane_undelivered, "meltica_lane_undelivered_total",
          "Events of a lane that could not be published", NULL },
        { &to->lane_refused, "meltica_lane_refused_total",
          "Lanes, or instruments of one, beyond a limit", NULL },
        { &to->late, "meltica_bus_late_total", "Events of a route that just ended", NULL },
        { &to->undelivered, "meltica_bus_undelivered_total", "Events that could not be published",
          NULL },
        { &to->duplicates, "meltica_bus_duplicates_total", "Repeats by epoch and sequence", NULL },
        { &to->repeated, "meltica_bus_repeated_total",
          "Messages published once more, since the connection ended before the server was known to "
          "have read them",
          NULL },
        { &to->unpublished, "meltica_bus_unpublished_total",
          "Messages that NATS would not take when their turn came (log publish_refused)", NULL },
        { &to->stale_owner, "meltica_bus_stale_owner_total", "Events of an owner that was replaced",
          NULL },
        { &to->refused, "meltica_bus_refused_total", "Events beyond a limit of the Data Bus",
          NULL },
        { &to->lost, "meltica_bus_lost_total", "STATUS LOST published", NULL },
        { &to->lost_events, "meltica_bus_lost_events_total", "Sequences that LOST notices name",
          NULL },
        { &to->waits, "meltica_bus_table_waits_total", "Events that waited for a newer table",
          NULL },
        { &to->timeouts, "meltica_bus_table_timeouts_total", "Waits for a table that did not come",
          NULL },
        { &to->undecodable, "meltica_rejected_total", "What could not become an event, by reason",
          "stage=\"data_bus\",reason=\"parse\"" },
        { &to->table_reads, "meltica_bus_table_reads_total", "Dispatch tables read", NULL },
        { &to->table_failures, "meltica_bus_table_failures_total", "Reads of the table that failed",
          NULL },
        { &to->journal_events, "meltica_journal_events_total", "Events handed to the journal",
          NULL },
        { &to->journal_batches, "meltica_journal_batches_total", "Batches acknowledged", NULL },
        { &to->journal_bytes, "meltica_journal_bytes_total", "Bytes of batches", NULL },
        { &to->journal_dropped, "meltica_journal_dropped_events_total", "Holes in the journal",
          NULL },
        { &to->journal_failed, "meltica_journal_failed_batches_total", "Batches not acknowledged",
          NULL },
    };
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        *counters[i].counter =
            mlt_metrics_counter(m, counters[i].name, counters[i].help, counters[i].labels);
    }
    to->lane_count = mlt_metrics_gauge(m, "meltica_lanes", "Private lanes", NULL);
    to->unconfirmed = mlt_metrics_gauge(
        m, "meltica_bus_unconfirmed_bytes",
        "Published, and the server is not known to have read it: left again if the connection ends",
        NULL);
    to->active = mlt_metrics_gauge(m, "meltica_bus_active",
                                   "1: this instance publishes; 0: it stands by", NULL);
    to->outbid = mlt_metrics_counter(m, "meltica_bus_outbid_total",
                                     "Times that another instance took over", NULL);
    to->revision = mlt_metrics_gauge(m, "meltica_bus_table_revision", "Of the newest table", NULL);
    to->stage = mlt_metrics_histogram(m, "meltica_stage_duration_seconds",
                                      "From the stamp of the stage before to this one's",
                                      "stage=\"publish\"");
    to->end_to_end = mlt_metrics_histogram(
        m, "meltica_end_to_end_duration_seconds",
        "From the last byte received to the publish, throttling left out", NULL);
    to->exchange = mlt_metrics_histogram(
        m, "meltica_exchange_to_publish_seconds",
        "From the exchange's time of the event, by our clock, to the publish; throttling left out",
        NULL);
    to->exchange_old = mlt_metrics_counter(
        m, "meltica_exchange_to_publish_ignored_total",
        "Events whose time at the exchange is more than an hour away: no latency", NULL);
    if (journal) { /* without one it is not away either */
        make_journal(to, m);
    }
    mlt_hop_receiver_metrics_init(&to->receiver, m, "hop=\"out\"");
}

/* ---- totals ---- */

/* These are nothing but figures. */
static_assert(sizeof(struct mlt_data_bus_counts) % sizeof(uint64_t) == 0 &&
                  sizeof(struct mlt_hop_receiver_stats) % sizeof(uint64_t) == 0,
              "figures of 8 bytes");

static void add_journal(const struct data_bus *d, struct mlt_journal_stats *to)
{
    const struct mlt_journal_stats before = *to;
    mlt_journal_get_stats(d->journal, to); /* what is of a moment stays as it is */
    to->events += before.events;
    to->batches += before.batches;
    to->bytes += before.bytes;
    to->dropped_events += before.dropped_events;
    to->failed_batches += before.failed_batches;
    to->ack_ns += before.ack_ns;
    to->queued_bytes_max = to->queued_bytes_max > before.queued_bytes_max ? to->queued_bytes_max
                                                                          : before.queued_bytes_max;
}

static void add_lanes(const struct data_bus *d, struct mlt_lanes_counts *to)
{
    const struct mlt_lanes_counts before = *to;
    mlt_lane_flow_counts(d->lanes, to);
    to->out += before.out;
    to->filtered += before.filtered;
    to->merged += before.merged;
    to->undelivered += before.undelivered;
    to->refused += before.refused;
}

/* All but the core's counts, which are its own thread's. */
static void add_parts(struct data_bus *d, struct data_bus_totals *to)
{
    const struct mlt_table_reader_stats before = to->table;
    mlt_table_reader_get_stats(d->reader, &to->table);
    to->table.reads += before.reads;
    to->table.failures += before.failures;
    struct mlt_outbox_stats outbox;
    mlt_outbox_get_stats(d->outbox, &outbox);
    to->repeated += outbox.repeated;
    to->unpublished += outbox.refused;
    to->unconfirmed = outbox.kept_bytes;
    add_lanes(d, &to->lanes);
    if (d->journal != NULL) {
        add_journal(d, &to->journal);
    }
    (void)pthread_mutex_lock(&d->lock);
    if (d->receiver_open) {
        mlt_hop_receiver_get_stats(d->receiver, &d->receiver_stats);
    }
    mlt_figures_add(&to->receiver, &d->receiver_stats, sizeof d->receiver_stats);
    (void)pthread_mutex_unlock(&d->lock);
}

void mlt_data_bus_totals(struct data_bus *d, struct data_bus_totals *totals)
{
    struct mlt_data_bus_counts counts;
    mlt_data_bus_core_counts(d->core, &counts);
    *totals = d->before;
    mlt_figures_add(&totals->counts, &counts, sizeof counts);
    add_parts(d, totals);
}

static void set_lanes(const struct data_bus_metrics *m, const struct mlt_lanes_counts *counts)
{
    mlt_counter_set(m->lane_out, counts->out);
    mlt_counter_set(m->lane_filtered, counts->filtered);
    mlt_counter_set(m->lane_merged, counts->merged);
    mlt_counter_set(m->lane_undelivered, counts->undelivered);
    mlt_counter_set(m->lane_refused, counts->refused);
}

static void set_journal(const struct data_bus_metrics *m, const struct mlt_journal_stats *stats)
{
    mlt_counter_set(m->journal_events, stats->events);
    mlt_counter_set(m->journal_batches, stats->batches);
    mlt_counter_set(m->journal_bytes, stats->bytes);
    mlt_counter_set(m->journal_dropped, stats->dropped_events);
    mlt_counter_set(m->journal_failed, stats->failed_batches);
    mlt_counter_set(m->journal_ack, stats->ack_ns);
    mlt_gauge_set(m->journal_queue, (int64_t)stats->queued_bytes);
    mlt_gauge_set(m->journal_queue_most, (int64_t)stats->queued_bytes_max);
    mlt_gauge_set(m->journal_lag, stats->lag_ns);
    mlt_gauge_set(m->journal_in_flight, (int64_t)stats->in_flight);
    mlt_gauge_set(m->journal_available, stats->available ? 1 : 0);
}

/* Who stands by has no table, lanes or journal, and misses none. */
static void withdraw(const struct replica *r)
{
    const struct data_bus_metrics *m = &r->metrics;
    mlt_gauge_withdraw(m->revision);
    mlt_gauge_withdraw(m->lane_count);
    mlt_gauge_withdraw(m->unconfirmed);
    if (r->config->journal) {
        mlt_gauge_withdraw(m->journal_queue);
        mlt_gauge_withdraw(m->journal_queue_most);
        mlt_gauge_withdraw(m->journal_lag);
        mlt_gauge_withdraw(m->journal_in_flight);
        mlt_gauge_withdraw(m->journal_available);
    }
}

/* The core's counts are mirrored by its own thread, after each batch. */
void mlt_data_bus_collect(void *state)
{
    struct replica *r = state;
    const struct data_bus_metrics *m = &r->metrics;
    (void)pthread_mutex_lock(&r->lock);
    mlt_gauge_set(m->active, r->active != NULL ? 1 : 0);
    if (r->active != NULL) {
        struct data_bus_totals totals = r->active->before;
        add_parts(r->active, &totals);
        mlt_counter_set(m->table_reads, totals.table.reads);
        mlt_counter_set(m->table_failures, totals.table.failures);
        mlt_gauge_set(m->revision, (int64_t)totals.table.revision);
        mlt_counter_set(m->repeated, totals.repeated);
        mlt_counter_set(m->unpublished, totals.unpublished);
        mlt_gauge_set(m->unconfirmed, (int64_t)totals.unconfirmed);
        set_lanes(m, &totals.lanes);
        mlt_gauge_set(m->lane_count, (int64_t)totals.lanes.lanes);
        if (r->active->journal != NULL) {
            set_journal(m, &totals.journal);
        }
        mlt_hop_receiver_metrics_set(&m->receiver, &totals.receiver);
    } else {
        withdraw(r);
    }
    (void)pthread_mutex_unlock(&r->lock);
    mlt_replicas_collect(r->replicas);
}

/* What is further away is no latency: a recording is played, or the exchange's market is another
 * day's, in the past or to come. A few of them would outweigh the sum of all others, or make it
 * seem that everything took no time. */
#define EXCHANGE_AGE_MAX_NS (3600 * MLT_NS_PER_S)

static void measure_exchange(const struct data_bus *d, int64_t age_ns)
{
    if (age_ns > EXCHANGE_AGE_MAX_NS || age_ns < -EXCHANGE_AGE_MAX_NS) {
        mlt_counter_add(d->metrics->exchange_old, 1);
    } else {
        mlt_histogram_record_ns(d->metrics->exchange, age_ns);
    }
}

/* Stamps are what others say. */
void mlt_data_bus_measure(const struct data_bus *d, const struct mlt_event *event)
{
    const struct mlt_stamps *stamps = &event->stamps;
    const int64_t throttled_ns =
        event->throttled_ns < INT64_MAX ? (int64_t)event->throttled_ns : INT64_MAX;
    const int64_t end_ns = mlt_span_ns(throttled_ns, stamps->published);
    if (stamps->dispatched == MLT_STAMP_UNKNOWN) {
        return; /* Meltica's own: it has no way behind it */
    }
    if (stamps->conducted != MLT_STAMP_UNKNOWN) {
        mlt_histogram_record_ns(d->metrics->stage,
                                mlt_span_ns(stamps->conducted, stamps->published));
    }
    mlt_histogram_record_ns(d->metrics->end_to_end, mlt_span_ns(stamps->received, end_ns));
    if (stamps->exchange != MLT_STAMP_UNKNOWN && event->rest_function.len == 0 &&
        atomic_load_explicit(&d->clock.known, memory_order_relaxed)) {
        const int64_t offset_ns = atomic_load_explicit(&d->clock.offset_ns, memory_order_relaxed);
        measure_exchange(d, mlt_span_ns(mlt_span_ns(offset_ns, stamps->exchange), end_ns));
    }
}

void mlt_data_bus_mirror_counts(struct data_bus *d)
{
    struct mlt_data_bus_counts counts;
    const struct data_bus_metrics *m = d->metrics;
    mlt_data_bus_core_counts(d->core, &counts);
    mlt_figures_add(&counts, &d->before.counts, sizeof counts);
    mlt_counter_set(m->in, counts.in);
    mlt_counter_set(m->validated, counts.validated);
    mlt_counter_set(m->out, counts.out);
    mlt_counter_set(m->unrouted, counts.unrouted);
    mlt_counter_set(m->late, counts.late);
    mlt_counter_set(m->private_only, counts.private_only);
    mlt_counter_set(m->undelivered, counts.undelivered);
    mlt_counter_set(m->duplicates, counts.duplicates);
    mlt_counter_set(m->stale_owner, counts.stale_owner);
    mlt_counter_set(m->refused, counts.refused);
    mlt_counter_set(m->lost, counts.lost);
    mlt_counter_set(m->lost_events, counts.lost_events);
    mlt_counter_set(m->waits, counts.table_waits);
    mlt_counter_set(m->timeouts, counts.table_timeouts);
}
