/* What the files of the Dispatcher's wiring share. Threads: the loop (start, timers, stop), the
 * native receiver's thread (on_batch), threads of subscriptions (table, plan.status), the
 * reconciler's. */
#ifndef MELTICA_DISPATCHER_INTERNAL_H
#define MELTICA_DISPATCHER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "meltica/bus/hop.h"
#include "meltica/service/service.h"

#include "control.h"
#include "instruments.h"
#include "reconcile.h"
#include "resync.h"
#include "router.h"

#define SUBJECT_NATIVE "meltica.int.native"
#define SUBJECT_CANONICAL "meltica.int.canonical"
#define SUBJECT_TABLE "meltica.int.table"
#define SUBJECT_TABLE_CHANGED "meltica.int.table.changed"
#define SUBJECT_PLAN "meltica.int.plan"
#define SUBJECT_PLAN_STATUS "meltica.int.plan.status"

struct dispatcher_config {
    char *table;
    int64_t metrics_subscriptions;
};

struct dispatcher_metrics;

struct dispatcher {
    struct mlt_service *service;
    struct mlt_table *table;      /* immutable */
    size_t metrics_subscriptions; /* that have series of their own */
    uint32_t partitions;
    uint64_t boot;
    struct mlt_trace *trace; /* NULL: off */

    /* The catalogue, the router and the rejector; held for a batch, or to make a message. */
    pthread_mutex_t lock;
    struct mlt_catalogue *catalogue;
    struct mlt_router *router;
    struct mlt_rejector *rejector;
    struct mlt_live live;
    bool unsettled;                   /* the listing has not been heard yet */
    bool log_read;                    /* live is complete */
    int64_t batch_ns;                 /* wall: when the batch in hand came; only with traces */
    struct mlt_trace_context command; /* the last one that changed the table */
    uint64_t command_revision;        /* that it made; 0: none */
    int64_t command_until_ns;         /* monotonic: later plans are not its doing */

    struct mlt_hop_sender *sender;
    pthread_mutex_t receiver_lock; /* the pointers: a reader of metrics at start and drain */
    struct mlt_hop_receiver *receiver;
    struct mlt_resync *resync;
    struct mlt_bus_subscription *table_requests;
    struct mlt_control *control;
    struct mlt_reconciler *reconciler;
    struct mlt_instruments *instruments;
    struct mlt_timer *announce;
    atomic_bool announce_posted;
    atomic_bool stopping;
    struct dispatcher_metrics *metrics;
};

/* metrics.c */
enum mlt_status dispatcher_metrics_create(struct mlt_metrics *registry,
                                          struct dispatcher_metrics **metrics) MLT_MUST_CHECK;
void dispatcher_metrics_destroy(struct dispatcher_metrics *metrics);
void dispatcher_metrics_stage(struct dispatcher_metrics *metrics, int64_t duration_ns);
void dispatcher_metrics_collect(struct dispatcher *dispatcher);
/* families.c: what /metrics says of single live subscriptions. Loop thread; takes the lock. */
enum mlt_status dispatcher_families(void *state, struct mlt_buf *out);

#endif
