/*
 * What the parts of the service know of each other. Of the replicas of the Dispatcher one works,
 * and the others stand by for it (docs/decisions/0020-standby.md). A process is a `replica`
 * (replica.c); while it works it has a `dispatcher`, with all that a process of its own would have.
 * Threads of the process:
 *  - loop: start, drain, timer of the announcements, readiness, metrics, beats;
 *  - keeper (meltica/service/replicas.h): makes and frees the dispatcher;
 *  - one that hears beats.
 * Of a dispatcher:
 *  - owner (owner.c): claims, opens everything, and closes what others hear of;
 *  - the native receiver's (on_batch), those of subscriptions (table, plan.status), the
 *    reconciler's, the control log's, the instruments'.
 */
#ifndef MELTICA_DISPATCHER_INTERNAL_H
#define MELTICA_DISPATCHER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "meltica/bus/hop.h"
#include "meltica/bus/store.h"
#include "meltica/service/replicas.h"
#include "meltica/service/service.h"

#include "control.h"
#include "instruments.h"
#include "reconcile.h"
#include "resync.h"
#include "router.h"

#define MLT_DISPATCHER_SERVICE "dispatcher"

#define SUBJECT_NATIVE "meltica.int.native"
#define SUBJECT_CANONICAL "meltica.int.canonical"
#define SUBJECT_TABLE "meltica.int.table"
#define SUBJECT_TABLE_CHANGED "meltica.int.table.changed"
#define SUBJECT_PLAN "meltica.int.plan"
#define SUBJECT_PLAN_STATUS "meltica.int.plan.status"

struct dispatcher_config {
    char *table;
    int64_t metrics_subscriptions, ring_bytes;
};

struct dispatcher_metrics;
struct replica;

enum dispatcher_phase { PHASE_CLAIMING, PHASE_RUNNING, PHASE_ENDED };

struct dispatcher {
    struct replica *replica;
    struct mlt_service *service;
    const struct mlt_table *table; /* the process's, immutable */
    size_t metrics_subscriptions;  /* that have series of their own */
    uint64_t boot;                 /* of this dispatcher: the process may have had others */
    struct mlt_trace *trace;       /* NULL: off */
    uint32_t partitions;
    bool shared;     /* there are other replicas: it claims, and works while in touch */
    bool taken_over; /* from another one */

    /* Ownership (owner.c). */
    bool owner_started;
    atomic_bool outbid;     /* another one works: nothing leaves any more */
    atomic_bool stopping;   /* nothing waits any more */
    atomic_bool announcing; /* the table is complete: it may be told */
    pthread_t owner;
    struct mlt_store *store;
    struct mlt_claims *claims;
    pthread_mutex_t life;            /* what follows; no other lock is taken under it */
    pthread_cond_t changed;          /* monotonic clock */
    uint64_t epoch;                  /* as the others hear it; 0: not claimed yet */
    atomic_ullong hop_epoch;         /* of what it sends; 0: it has no claim. Also without a lock */
    struct mlt_hop_receiver *intake; /* for its own thread: lives as long as that */
    enum dispatcher_phase phase;
    bool draining, unclaimed;
    bool opened; /* both ends of the flow are there, or will not be */

    /* The catalogue, the router and the rejector; held for a batch, or to make a message. */
    pthread_mutex_t lock;
    struct mlt_catalogue *catalogue;
    struct mlt_router *router;
    struct mlt_live live;
    int64_t batch_ns;                 /* wall: when the batch in hand came; only with traces */
    uint64_t command_revision;        /* that the last command made; 0: none */
    int64_t command_until_ns;         /* monotonic: later plans are not its doing */
    struct mlt_trace_context command; /* the last one that changed the table */
    bool unsettled;                   /* the listing has not been heard yet */
    bool log_read;                    /* live is complete */

    pthread_mutex_t ends_lock; /* the pointers: a reader of metrics at start and drain */
    struct mlt_hop_sender *sender;
    struct mlt_hop_receiver *receiver;
    struct mlt_resync *resync;
    struct mlt_hop_sender_stats sender_stats;     /* as last seen */
    struct mlt_hop_receiver_stats receiver_stats; /* the same */
    struct mlt_bus_subscription *table_requests;
    struct mlt_control *control;
    struct mlt_reconciler *reconciler;
    struct mlt_instruments *instruments;
};

/* The process. Guarded by its lock, but for what is set at the start. */
struct replica {
    struct mlt_service *service;
    const struct dispatcher_config *config;
    struct mlt_table *table; /* as it was at the start: a take-over must not depend on a file */
    struct dispatcher_metrics *metrics;
    struct mlt_rejector *rejector; /* of the active one's flow; its counts are the process's */
    struct mlt_replicas *replicas;
    struct mlt_timer *announce; /* the loop's */
    atomic_bool announce_posted;
    pthread_mutex_t lock;      /* before those of the dispatcher */
    struct dispatcher *active; /* NULL: it stands by */
    bool draining;
};

/* replica.c: the service's functions; state is a struct replica. */
enum mlt_status dispatcher_replica_start(struct mlt_service *service, const void *config,
                                         void **state, struct mlt_error *err);
void dispatcher_replica_drain(void *state);
void dispatcher_replica_stop(void *state);
bool dispatcher_replica_ready(void *state, const char **reason);
/* Tells the active one's table soon, from the loop. Any thread. */
void dispatcher_replica_announce(struct replica *replica);

/* owner.c: life of one. */
/* Makes what needs no NATS, of the process's table; nothing runs yet. Keeper's thread, or the
 * loop's at the start. */
enum mlt_status dispatcher_create(struct replica *replica, bool taken_over,
                                  struct dispatcher **dispatcher,
                                  struct mlt_error *err) MLT_MUST_CHECK;
/* Its owner begins to claim, and opens everything. The same threads. E_NOMEM. */
enum mlt_status dispatcher_begin(struct dispatcher *d, struct mlt_error *err) MLT_MUST_CHECK;
/* It begins to end: what it has in hand leaves, then its phase is ENDED. Any thread. */
void dispatcher_drain(struct dispatcher *d);
/* Another one works: at once nothing leaves, or is acknowledged, any more, and it ends. Any
 * thread. */
void dispatcher_give_up(struct dispatcher *d, uint64_t epoch);
/* Ends it at once; its last figures are dispatcher_metrics_retire's. NULL is fine. Not the loop's
 * thread unless the loop ended. */
void dispatcher_destroy(struct dispatcher *d);
enum dispatcher_phase dispatcher_phase(struct dispatcher *d, uint64_t *epoch);
/* Whether it may say something: we know that nobody else works, and it does not end. Who slept
 * hears first what was said meanwhile, and gives up where another one has its place. ctx: the
 * dispatcher. Any thread, cheap. */
bool dispatcher_may(void *ctx);
/* The same for answers, which it also gives while it ends: nobody else could yet. */
bool dispatcher_answers(void *ctx);
/* Waits until we know that nobody else works, also where it ends; false: somebody does, or nobody
 * can tell before it ends. Any thread but the loop's. */
bool dispatcher_await_ours(struct dispatcher *d);

/* dispatcher.c: what it does. */
enum mlt_status dispatcher_create_core(struct dispatcher *d, struct mlt_error *err) MLT_MUST_CHECK;
void dispatcher_destroy_core(struct dispatcher *d);
/* Makes everything that speaks with others; the flow opens when the log of live subscriptions is
 * read. Owner's thread. */
enum mlt_status dispatcher_open(struct dispatcher *d, struct mlt_error *err) MLT_MUST_CHECK;
/* The intake ends, and what was taken leaves, unless another one works. Owner's thread. */
void dispatcher_close(struct dispatcher *d);
/* Nothing of the flow is acknowledged or sent any more. Under ends_lock. */
void dispatcher_leave(struct dispatcher *d);
/* It has a claim now, as hop_epoch says: what leaves from here on has it. Owner's thread. */
void dispatcher_claimed(struct dispatcher *d);
/* The rest of what dispatcher_open made. Waits for requests in hand, a second at most. */
void dispatcher_end(struct dispatcher *d);
/* Port of the rejector; ctx: the replica. */
bool dispatcher_publish_rejection(void *ctx, const char *subject, struct mlt_slice payload);
/* Tells that there is a table. Loop's thread. */
void dispatcher_announce(struct dispatcher *d);

/* metrics.c */
enum mlt_status dispatcher_metrics_create(struct mlt_metrics *registry,
                                          struct dispatcher_metrics **metrics) MLT_MUST_CHECK;
void dispatcher_metrics_destroy(struct dispatcher_metrics *metrics);
void dispatcher_metrics_stage(struct dispatcher_metrics *metrics, int64_t duration_ns);
void dispatcher_metrics_outbid(struct dispatcher_metrics *metrics);
void dispatcher_metrics_unclaimed(struct dispatcher_metrics *metrics);
/* The figures of the dispatcher as they are, on top of those that retired. */
void dispatcher_metrics_set(struct dispatcher *dispatcher);
/* It counts no more: the next one's figures begin with nothing. Nobody reads meanwhile. */
void dispatcher_metrics_retire(struct dispatcher *dispatcher);
/* Ports of the service: state is the replica. */
void dispatcher_metrics_collect(void *state);
void dispatcher_stats(void *state, struct mlt_buf *out);
/* families.c: what /metrics says of single live subscriptions. Loop thread; state is the replica,
 * whose lock it takes. */
enum mlt_status dispatcher_families(void *state, struct mlt_buf *out);

#endif
