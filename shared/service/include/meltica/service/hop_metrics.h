/*
 * The figures of a hop's two ends as metrics, the same names in every service; the label says which
 * hop. Made once at start, mirrored in the service's collect().
 */
#ifndef MELTICA_SERVICE_HOP_METRICS_H
#define MELTICA_SERVICE_HOP_METRICS_H

#include "meltica/bus/hop.h"
#include "meltica/rt/metrics.h"

struct mlt_hop_sender_metrics {
    struct mlt_counter *elements, *batches, *bytes, *repeats_served, *repeated, *overrun, *blocked;
    struct mlt_gauge *unacked, *unacked_max, *ring;
};

struct mlt_hop_receiver_metrics {
    struct mlt_counter *batches, *bytes, *duplicates, *jumps, *repeats_asked, *lost, *malformed;
    struct mlt_counter *boots;
};

/* label: "hop=\"out\"", static. */
static inline void mlt_hop_sender_metrics_init(struct mlt_hop_sender_metrics *m,
                                               struct mlt_metrics *metrics, const char *label)
{
    m->elements = mlt_metrics_counter(metrics, "meltica_hop_sent_elements_total",
                                      "Elements handed to the hop", label);
    m->batches =
        mlt_metrics_counter(metrics, "meltica_hop_sent_batches_total", "Batches sealed", label);
    m->bytes =
        mlt_metrics_counter(metrics, "meltica_hop_sent_bytes_total", "Bytes of batches", label);
    m->repeats_served = mlt_metrics_counter(metrics, "meltica_hop_repeats_served_total",
                                            "Requests that set the sender back", label);
    m->repeated = mlt_metrics_counter(metrics, "meltica_hop_repeated_batches_total",
                                      "Batches sent again", label);
    m->overrun =
        mlt_metrics_counter(metrics, "meltica_hop_overrun_batches_total",
                            "Batches that left the ring before they were acknowledged", label);
    m->blocked = mlt_metrics_counter_seconds(metrics, "meltica_hop_blocked_seconds_total",
                                             "Time that callers waited for room", label);
    m->unacked = mlt_metrics_gauge(metrics, "meltica_hop_unacked_bytes",
                                   "Bytes not acknowledged, largest partition", label);
    m->unacked_max =
        mlt_metrics_gauge(metrics, "meltica_hop_unacked_high_water_bytes",
                          "Most bytes not acknowledged at once, largest partition", label);
    m->ring = mlt_metrics_gauge(metrics, "meltica_hop_ring_bytes",
                                "Bytes that one partition's ring keeps", label);
}

static inline void mlt_hop_sender_metrics_set(const struct mlt_hop_sender_metrics *m,
                                              const struct mlt_hop_sender_stats *stats)
{
    mlt_counter_set(m->elements, stats->elements);
    mlt_counter_set(m->batches, stats->batches);
    mlt_counter_set(m->bytes, stats->bytes);
    mlt_counter_set(m->repeats_served, stats->repeats_served);
    mlt_counter_set(m->repeated, stats->repeated_batches);
    mlt_counter_set(m->overrun, stats->overrun_batches);
    mlt_counter_set(m->blocked, stats->blocked_ns);
    mlt_gauge_set(m->unacked, (int64_t)stats->unacked_bytes);
    mlt_gauge_set(m->unacked_max, (int64_t)stats->unacked_max_bytes);
    mlt_gauge_set(m->ring, (int64_t)stats->ring_bytes);
}

static inline void mlt_hop_receiver_metrics_init(struct mlt_hop_receiver_metrics *m,
                                                 struct mlt_metrics *metrics, const char *label)
{
    m->batches = mlt_metrics_counter(metrics, "meltica_hop_received_batches_total",
                                     "Batches taken in order", label);
    m->bytes =
        mlt_metrics_counter(metrics, "meltica_hop_received_bytes_total", "Bytes of batches", label);
    m->duplicates = mlt_metrics_counter(metrics, "meltica_hop_received_duplicates_total",
                                        "Batches dropped as repeats", label);
    m->jumps =
        mlt_metrics_counter(metrics, "meltica_hop_jumps_total", "Jumps in batch numbers", label);
    m->repeats_asked = mlt_metrics_counter(metrics, "meltica_hop_repeats_asked_total",
                                           "Requests to send again", label);
    m->lost = mlt_metrics_counter(metrics, "meltica_hop_lost_batches_total",
                                  "Batches that the sender no longer had", label);
    m->malformed = mlt_metrics_counter(metrics, "meltica_hop_malformed_total",
                                       "Messages without sense", label);
    m->boots = mlt_metrics_counter(metrics, "meltica_hop_senders_seen_total",
                                   "Processes that sent on this hop", label);
}

static inline void mlt_hop_receiver_metrics_set(const struct mlt_hop_receiver_metrics *m,
                                                const struct mlt_hop_receiver_stats *stats)
{
    mlt_counter_set(m->batches, stats->batches);
    mlt_counter_set(m->bytes, stats->bytes);
    mlt_counter_set(m->duplicates, stats->duplicates);
    mlt_counter_set(m->jumps, stats->jumps);
    mlt_counter_set(m->repeats_asked, stats->repeats_asked);
    mlt_counter_set(m->lost, stats->lost_batches);
    mlt_counter_set(m->malformed, stats->malformed);
    mlt_counter_set(m->boots, stats->boots);
}

#endif
