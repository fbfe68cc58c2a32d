/*
 * What the parts of the service know of each other. Threads:
 *  - loop: start, stop, drain, readiness, metrics, HEADS once a second;
 *  - receiver (the hop's): on_batch;
 *  - owner (owner.c): everything that waits for NATS: claims, heads of the Data Bus, standing down;
 *  - watcher (shared/bus): outbid.
 * One lock guards the core and all state; nothing waits for NATS while it holds it.
 */
#ifndef MELTICA_CONDUCTOR_INTERNAL_H
#define MELTICA_CONDUCTOR_INTERNAL_H

#include <pthread.h>

#include "conductor.h"
#include "core.h"
#include "meltica/bus/hop.h"
#include "meltica/bus/store.h"
#include "meltica/service/hop_metrics.h"

#define MLT_CONDUCTOR_SERVICE "conductor"
#define MLT_CONDUCTOR_PARTITIONS_MAX MLT_HOP_PARTITIONS_MAX

struct conductor_config {
    int64_t ring_bytes;
};

enum conductor_phase { PHASE_WAITING, PHASE_CLAIMING, PHASE_RUNNING, PHASE_STANDBY, PHASE_ENDED };

struct conductor_metrics {
    struct mlt_counter *in, *out, *duplicates, *late, *stale_owner, *refused, *lost_reports;
    struct mlt_counter *unsent, *undecodable;
    struct mlt_gauge *owned;
    struct mlt_histogram *stage;
    struct mlt_hop_sender_metrics sender;
    struct mlt_hop_receiver_metrics receiver;
};

struct conductor {
    struct mlt_service *service;
    struct mlt_bus *data, *control;
    uint32_t partitions;
    uint64_t mine; /* bit p: this replica wants partition p */
    size_t ring_bytes;
    struct mlt_timer *heads_timer;
    struct conductor_metrics metrics;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* monotonic clock */
    struct mlt_conductor_core *core;
    struct mlt_arena arena;            /* of the event in hand */
    struct mlt_hop_sender *sender;     /* NULL: stood down or ended */
    struct mlt_hop_receiver *receiver; /* the owner's, and its own thread's */
    bool receiver_open;                /* others may use it, under the lock */
    /* Of a partition, 0: not owned. One for all its slots, the revision of the claim of its lowest
     * slot: hops and fences are by partition, so a partition has one owner. */
    uint64_t epochs[MLT_CONDUCTOR_PARTITIONS_MAX];
    uint64_t seeded, seed_wanted, outbid, begun; /* bits by partition */
    enum conductor_phase phase;
    const char *trouble; /* why it cannot work though it runs, static; NULL: it can */
    uint64_t unsent;
    bool stopping, draining;

    pthread_t owner;
    bool owner_started;
    struct mlt_store *store;
    struct mlt_claims *claims;
    uint64_t claimed[MLT_CONDUCTOR_PARTITIONS_MAX]; /* revisions, 0: by time */
    int64_t absent_since_ns; /* the owner's thread: nobody answers for heads; 0: somebody does */
};

/* owner.c: the thread. */
void *mlt_conductor_owner(void *arg);
/* conductor.c: for the hop receiver. */
void mlt_conductor_on_batch(void *ctx, const struct mlt_hop_batch *batch);

#endif
