/*
 * What the parts of the service know of each other. Of the replicas of the Data Bus one publishes,
 * and the others stand by for it (docs/decisions/0020-standby.md). A process is a `replica`
 * (replica.c); while it publishes it has a `data_bus`, with all that a process of its own would
 * have. Threads of the process:
 *  - loop: start, stop, drain, readiness, metrics, beats;
 *  - keeper (meltica/service/replicas.h): makes and ends the data_bus;
 *  - one that hears beats.
 * Of a data_bus:
 *  - owner (data_bus.c): claims, opens the intake, and closes it, which may have to wait;
 *  - receiver (the hop's): the core, the journal's and the live lane's bytes; it alone touches the
 *    core;
 *  - reader (reader.c): the dispatch table;
 *  - lanes (lane_flow.c): what has waited for the window of a private lane.
 */
#ifndef MELTICA_DATA_BUS_INTERNAL_H
#define MELTICA_DATA_BUS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "core.h"
#include "data_bus.h"
#include "lane_flow.h"
#include "meltica/bus/hop.h"
#include "meltica/bus/outbox.h"
#include "meltica/bus/store.h"
#include "meltica/service/hop_metrics.h"
#include "meltica/service/replicas.h"
#include "meltica/service/service.h"
#include "meltica/v1/internal.pb-c.h"
#include "reader.h"

#define MLT_DATA_BUS_SERVICE "data-bus"

struct data_bus_config {
    bool journal;
    int64_t journal_max_age_s, journal_max_bytes, journal_drain_ms;
};

struct data_bus_metrics {
    struct mlt_counter *in, *validated, *out, *unrouted, *late, *undelivered, *duplicates;
    struct mlt_counter *repeated, *unpublished, *stale_owner, *refused, *lost, *lost_events, *waits,
        *timeouts, *undecodable;
    struct mlt_counter *table_reads, *table_failures;
    struct mlt_counter *private_only, *lane_out, *lane_filtered, *lane_merged, *lane_undelivered,
        *lane_refused;
    struct mlt_gauge *lane_count, *active, *unconfirmed;
    struct mlt_counter *outbid;
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

/* What a data_bus counts, or all that a process had. */
struct data_bus_totals {
    struct mlt_data_bus_counts counts;
    struct mlt_lanes_counts lanes;
    struct mlt_journal_stats journal;
    struct mlt_table_reader_stats table;
    struct mlt_hop_receiver_stats receiver;
    uint64_t repeated, unpublished, unconfirmed; /* of the outbox; bytes now */
};

enum data_bus_phase { PHASE_CLAIMING, PHASE_RUNNING, PHASE_ENDED };

struct replica;

struct data_bus {
    struct replica *replica;
    struct mlt_service *service;
    const struct data_bus_config *config;
    struct mlt_bus *data;
    struct mlt_outbox *outbox; /* of all that consumers get */
    struct data_bus_metrics *metrics;
    struct mlt_table_reader *reader;
    struct mlt_journal *journal;   /* NULL: off */
    struct data_bus_totals before; /* what the process counted before this one */

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
    struct mlt_hop_receiver_stats receiver_stats; /* as last seen */
    pthread_t owner;
    struct mlt_store *store;
    struct mlt_claims *claims;
    uint64_t epoch; /* of the claim; 0: not yet */
    uint32_t partitions;
    enum data_bus_phase phase;
    bool abandoned; /* of the receiver's thread: the batch in hand could not be handed on */
    bool shared;    /* there are other replicas: it claims, and publishes while in touch */
    bool taken_over, unclaimed;
    bool receiver_open, owner_started, draining;
    atomic_bool outbid, stopping; /* nothing waits any more */
};

/* The process. Guarded by its lock, but for what is set at the start. */
struct replica {
    struct mlt_service *service;
    const struct data_bus_config *config;
    struct data_bus_metrics metrics;
    struct mlt_replicas *replicas;
    pthread_mutex_t lock;
    struct data_bus *active; /* NULL: it stands by */
    bool draining;
    struct data_bus_totals retired; /* of those that are no more */
};

/* replica.c: the service's functions; state is a struct replica. */
enum mlt_status mlt_bus_replica_start(struct mlt_service *service, const void *config, void **state,
                                      struct mlt_error *err);
void mlt_bus_replica_drain(void *state);
void mlt_bus_replica_stop(void *state);
bool mlt_bus_replica_ready(void *state, const char **reason);

/* data_bus.c: life of one. Keeper's thread, or the loop's at the start; before: what is counted
 * already. */
enum mlt_status mlt_data_bus_create(struct replica *replica, bool taken_over,
                                    const struct data_bus_totals *before, struct data_bus **out,
                                    struct mlt_error *err);
/* It begins to end: what it has in hand leaves, then its phase is ENDED. Any thread. */
void mlt_data_bus_drain(struct data_bus *d);
/* Another one publishes: at once nothing leaves, or is acknowledged, any more, and it ends. Any
 * thread. */
void mlt_data_bus_give_up(struct data_bus *d, uint64_t epoch);
/* Ends it at once, and leaves in *totals all that is counted by then. NULL is fine. Not the loop's
 * thread unless the loop ended. */
void mlt_data_bus_destroy(struct data_bus *d, struct data_bus_totals *totals);
enum data_bus_phase mlt_data_bus_phase(struct data_bus *d, uint64_t *epoch);

/* data_bus_metrics.c */
void mlt_data_bus_make_metrics(struct data_bus_metrics *to, struct mlt_metrics *m, bool journal);
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
/* All that was counted by then, and before. */
void mlt_data_bus_totals(struct data_bus *d, struct data_bus_totals *totals);
/* Port of the service: state is the replica. */
void mlt_data_bus_collect(void *state);

#endif
