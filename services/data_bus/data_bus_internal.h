/* What the wiring of the Data Bus (data_bus.c) and what it counts (data_bus_metrics.c) share. */
#ifndef MELTICA_DATA_BUS_INTERNAL_H
#define MELTICA_DATA_BUS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "core.h"
#include "data_bus.h"
#include "lane_flow.h"
#include "meltica/bus/hop.h"
#include "meltica/bus/store.h"
#include "meltica/service/hop_metrics.h"
#include "meltica/service/service.h"
#include "meltica/v1/internal.pb-c.h"
#include "reader.h"

struct data_bus_config {
    bool journal;
    int64_t journal_max_age_s, journal_max_bytes, journal_drain_ms;
};

struct data_bus_metrics {
    struct mlt_counter *in, *validated, *out, *unrouted, *late, *undelivered, *duplicates;
    struct mlt_counter *stale_owner, *refused, *lost, *lost_events, *waits, *timeouts, *undecodable;
    struct mlt_counter *table_reads, *table_failures;
    struct mlt_counter *private_only, *lane_out, *lane_filtered, *lane_merged, *lane_undelivered,
        *lane_refused;
    struct mlt_gauge *lane_count;
    struct mlt_counter *journal_events, *journal_batches, *journal_bytes, *journal_dropped,
        *journal_failed;
    struct mlt_gauge *journal_in_flight, *journal_available, *revision;
    struct mlt_counter *journal_ack;
    struct mlt_gauge *journal_queue, *journal_queue_most, *journal_lag;
    struct mlt_histogram *stage, *end_to_end, *exchange;
    struct mlt_counter *exchange_old;
    struct mlt_hop_receiver_metrics receiver;
};

/* What the Adapter that knows it best said last of the exchange's clock. */
struct data_bus_clock {
    struct mlt_bus_subscription *heard; /* NULL: not yet */
    char instance[64];                  /* of its thread */
    int64_t heard_ns;                   /* of its thread; monotonic */
    uint64_t uncertainty_ns;            /* of its thread */
    atomic_bool known;
    atomic_llong offset_ns; /* the exchange's clock less the Adapter's */
};

struct data_bus {
    struct mlt_service *service;
    const struct data_bus_config *config;
    struct mlt_bus *data;
    struct data_bus_metrics metrics;
    struct mlt_table_reader *reader;
    struct mlt_journal *journal; /* NULL: off */

    /* Of the receiver's thread. */
    struct mlt_data_bus_core *core;
    struct mlt_arena arena;
    struct mlt_buf encoded, reply;
    struct mlt_trace *trace; /* NULL: off */
    int64_t batch_ns;        /* wall: when the batch in hand came; only with traces */

    struct data_bus_clock clock;
    struct mlt_lane_flow *lanes;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* monotonic clock */
    struct mlt_hop_receiver *receiver;
    pthread_t closer;
    uint32_t partitions;
    bool abandoned; /* of the receiver's thread: the batch in hand could not be handed on */
    atomic_bool stopping;
    bool receiver_open, closer_started;
};

/* data_bus_metrics.c */
void mlt_data_bus_make_metrics(struct data_bus *d);
/* An event was published: what its last stage and its whole way took. Any thread. */
void mlt_data_bus_measure(const struct data_bus *d, const struct mlt_event *event);
/* data_bus_clock.c: hears what Adapters say of the exchange's clock, until the bus ends. */
enum mlt_status mlt_data_bus_hear_clock(struct data_bus *d, struct mlt_error *err) MLT_MUST_CHECK;
void mlt_data_bus_forget_clock(struct data_bus *d);
/* now_ns: monotonic. */
void mlt_data_bus_take_clock(struct data_bus_clock *clock, const Meltica__V1__PlanStatus *status,
                             int64_t now_ns);
/* Of the receiver's thread, which alone knows the core. */
void mlt_data_bus_mirror_counts(struct data_bus *d);
/* Port of the service. */
void mlt_data_bus_collect(void *state);

#endif
