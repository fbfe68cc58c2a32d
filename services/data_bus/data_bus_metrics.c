/* What the Data Bus counts. README.md has the list. */
#include "data_bus_internal.h"

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

void mlt_data_bus_make_metrics(struct data_bus *d)
{
    struct mlt_metrics *m = mlt_service_metrics(d->service);
    struct data_bus_metrics *to = &d->metrics;
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
    if (d->config->journal) { /* without one it is not away either */
        make_journal(to, m);
    }
    mlt_hop_receiver_metrics_init(&to->receiver, m, "hop=\"out\"");
}

static void collect_lanes(struct data_bus *d)
{
    struct mlt_lanes_counts counts;
    mlt_lane_flow_counts(d->lanes, &counts);
    mlt_counter_set(d->metrics.lane_out, counts.out);
    mlt_counter_set(d->metrics.lane_filtered, counts.filtered);
    mlt_counter_set(d->metrics.lane_merged, counts.merged);
    mlt_counter_set(d->metrics.lane_undelivered, counts.undelivered);
    mlt_counter_set(d->metrics.lane_refused, counts.refused);
    mlt_gauge_set(d->metrics.lane_count, (int64_t)counts.lanes);
}

static void collect_journal(struct data_bus *d)
{
    struct mlt_journal_stats stats;
    mlt_journal_get_stats(d->journal, &stats);
    mlt_counter_set(d->metrics.journal_events, stats.events);
    mlt_counter_set(d->metrics.journal_batches, stats.batches);
    mlt_counter_set(d->metrics.journal_bytes, stats.bytes);
    mlt_counter_set(d->metrics.journal_dropped, stats.dropped_events);
    mlt_counter_set(d->metrics.journal_failed, stats.failed_batches);
    mlt_counter_set(d->metrics.journal_ack, stats.ack_ns);
    mlt_gauge_set(d->metrics.journal_queue, (int64_t)stats.queued_bytes);
    mlt_gauge_set(d->metrics.journal_queue_most, (int64_t)stats.queued_bytes_max);
    mlt_gauge_set(d->metrics.journal_lag, stats.lag_ns);
    mlt_gauge_set(d->metrics.journal_in_flight, (int64_t)stats.in_flight);
    mlt_gauge_set(d->metrics.journal_available, stats.available ? 1 : 0);
}

/* The core's counts are mirrored by its own thread, after each batch. */
void mlt_data_bus_collect(void *state)
{
    struct data_bus *d = state;
    struct mlt_table_reader_stats table;
    mlt_table_reader_get_stats(d->reader, &table);
    mlt_counter_set(d->metrics.table_reads, table.reads);
    mlt_counter_set(d->metrics.table_failures, table.failures);
    mlt_gauge_set(d->metrics.revision, (int64_t)table.revision);
    collect_lanes(d);
    if (d->journal != NULL) {
        collect_journal(d);
    }
    (void)pthread_mutex_lock(&d->lock);
    if (d->receiver_open) {
        struct mlt_hop_receiver_stats stats;
        mlt_hop_receiver_get_stats(d->receiver, &stats);
        mlt_hop_receiver_metrics_set(&d->metrics.receiver, &stats);
    }
    (void)pthread_mutex_unlock(&d->lock);
}

/* What is further away is no latency: a recording is played, or the exchange's market is another
 * day's, in the past or to come. A few of them would outweigh the sum of all others, or make it
 * seem that everything took no time. */
#define EXCHANGE_AGE_MAX_NS (3600 * MLT_NS_PER_S)

static void measure_exchange(const struct data_bus *d, int64_t age_ns)
{
    if (age_ns > EXCHANGE_AGE_MAX_NS || age_ns < -EXCHANGE_AGE_MAX_NS) {
        mlt_counter_add(d->metrics.exchange_old, 1);
    } else {
        mlt_histogram_record_ns(d->metrics.exchange, age_ns);
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
        mlt_histogram_record_ns(d->metrics.stage,
                                mlt_span_ns(stamps->conducted, stamps->published));
    }
    mlt_histogram_record_ns(d->metrics.end_to_end, mlt_span_ns(stamps->received, end_ns));
    if (stamps->exchange != MLT_STAMP_UNKNOWN && event->rest_function.len == 0 &&
        atomic_load_explicit(&d->clock.known, memory_order_relaxed)) {
        const int64_t offset_ns = atomic_load_explicit(&d->clock.offset_ns, memory_order_relaxed);
        measure_exchange(d, mlt_span_ns(mlt_span_ns(offset_ns, stamps->exchange), end_ns));
    }
}

void mlt_data_bus_mirror_counts(struct data_bus *d)
{
    struct mlt_data_bus_counts counts;
    const struct data_bus_metrics *m = &d->metrics;
    mlt_data_bus_core_counts(d->core, &counts);
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
