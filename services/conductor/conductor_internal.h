/*
 * What the parts of the service know of each other. A process is a `replica` (replica.c), which
 * hears of the others and decides what to own. What it owns since one moment is a `conductor`: one
 * for its own partitions from the start, and one for each that it took over; each has all that a
 * process of its own would have, also a boot id, and ends when it owns nothing any more. So a
 * take-over is a start and a hand-over an end, for everybody around.
 *
 * Threads of the process:
 *  - loop: start, stop, drain, readiness, metrics, beats, what each slot has once a second;
 *  - keeper (meltica/service/replicas.h): makes and ends conductors;
 *  - one that hears beats.
 * Of each conductor:
 *  - receiver (the hop's): on_batch;
 *  - owner (owner.c): everything that waits for NATS: claims, heads of the Data Bus, standing down;
 *  - ticker and resyncer (conductor_books.c): what books are due by time; asking for snapshots;
 *  - those of the cache (cache.h): answers of commits, fences, its return;
 *  - watcher (shared/bus): outbid.
 * One lock a conductor guards its core and all its state; that of the replica guards which there
 * are and comes first. Nothing waits for NATS while it holds either.
 */
#ifndef MELTICA_CONDUCTOR_INTERNAL_H
#define MELTICA_CONDUCTOR_INTERNAL_H

#include <pthread.h>
#include <sys/queue.h>

#include "cache.h"
#include "conductor.h"
#include "core.h"
#include "meltica/base/map.h"
#include "meltica/bus/hop.h"
#include "meltica/bus/store.h"
#include "meltica/service/hop_metrics.h"
#include "meltica/service/replicas.h"

#define MLT_CONDUCTOR_SERVICE "conductor"
#define MLT_CONDUCTOR_PARTITIONS_MAX MLT_HOP_PARTITIONS_MAX

struct conductor_config {
    int64_t ring_bytes;
    int64_t throttle_ms, published_levels, book_levels, first_depth, snapshot_depth;
    int64_t stale_after_ms, refresh_ms, backfill_max;
    int64_t metrics_instruments;
    bool merge_quotes;
};

enum conductor_phase { PHASE_WAITING, PHASE_CLAIMING, PHASE_RUNNING, PHASE_ENDED };

struct conductor_cache_metrics {
    struct mlt_gauge *available, *behind;
    struct mlt_counter *written, *conflicts, *timeouts, *unavailable;
    struct mlt_counter *checkpoints, *repairs, *fenced, *away, *rebuilt, *unusable;
    struct mlt_histogram *put;
};

struct conductor_metrics {
    struct mlt_counter *in, *out, *duplicates, *late, *stale_owner, *refused, *lost_reports;
    struct mlt_counter *unsent, *undecodable;
    struct mlt_counter *books, *books_merged, *books_late, *books_fenced, *uncached, *withdrawn,
        *overtaken, *instances_refused, *ids_below, *digests;
    struct mlt_counter *gaps, *stales, *crossed, *resynced, *requests, *snapshots, *unused, *kept;
    struct mlt_counter *doubted, *waited;
    struct mlt_counter *audits_right, *audits_wrong, *books_refused, *hold_overruns;
    struct mlt_counter *level_changes, *unknown_deletes;
    struct mlt_counter *restored, *rejoined, *replayed, *conflated;
    struct mlt_counter *accepted, *declined, *unanswered, *unqueued;
    struct mlt_counter *trades_gaps, *trades_missing, *trades_requests, *trades_filled;
    struct mlt_counter *trades_unfillable[MLT_TRADES_LOSSES];
    struct mlt_counter *merged[MLT_EVENT_TYPE_COUNT], *withheld_dropped; /* NULL: is never merged */
    struct mlt_gauge *withheld;
    struct mlt_gauge *owned, *states[MLT_BOOK_STALE + 1];
    struct mlt_counter *outbid;
    struct conductor_cache_metrics cache;
    struct mlt_histogram *stage;
    struct mlt_hop_sender_metrics sender;
    struct mlt_hop_receiver_metrics receiver;
};

/* A snapshot to be asked for, or trades; at most one of each an instrument. */
struct resync_entry {
    TAILQ_ENTRY(resync_entry) link;
    size_t token_len;
    char token[MLT_INSTRUMENT_BYTES_MAX];
    uint32_t depth;
    enum mlt_sync_need need;
    enum mlt_event_type type; /* NONE: a snapshot; else trades of this type: first..last */
    int64_t first, last;
};
TAILQ_HEAD(resync_list, resync_entry);

struct conductor_resync_counts {
    uint64_t accepted, refused, unanswered, unqueued;
};

/* What there is to be counted of a conductor, or of all that a process had. */
struct conductor_totals {
    struct mlt_conductor_counts counts;
    struct conductor_resync_counts asked;
    struct mlt_conductor_cache_counts cache;
    struct mlt_hop_sender_stats sender;
    struct mlt_hop_receiver_stats receiver;
    uint64_t unsent;
    uint64_t owned; /* partitions, now */
};

/* Of conductor_books.c; guarded by the conductor's lock. */
struct conductor_books {
    pthread_t ticker, resyncer;
    bool ticker_started, resyncer_started;
    pthread_cond_t ticker_changed, resyncer_changed, settled; /* monotonic clock */
    int64_t armed_ns;                                         /* what the ticker sleeps for */
    struct resync_list lists[MLT_SYNC_NEED_COUNT + 1];        /* by need, and trades */
    struct mlt_map queued;
    struct conductor_resync_counts counts;
    const char *last_outcome; /* static; logged when it changes */
};

struct conductor {
    struct replica *replica;
    struct conductor *next; /* of the replica; its lock */
    struct mlt_service *service;
    struct mlt_bus *data, *control;
    uint64_t boot; /* random, never 0: of this conductor, not of the process */
    uint64_t mine; /* bit p: it wants partition p */
    uint32_t partitions;
    size_t ring_bytes;
    struct conductor_metrics *metrics; /* the replica's */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* monotonic clock */
    struct mlt_conductor_core *core;
    struct mlt_arena arena;            /* of the event in hand */
    struct mlt_trace *trace;           /* NULL: off */
    struct mlt_arena held_arena;       /* of one that was held, for its span */
    int64_t batch_ns;                  /* wall: when the batch in hand came; only with traces */
    struct mlt_hop_sender *sender;     /* NULL: stood down or ended */
    struct mlt_hop_receiver *receiver; /* the owner's, and its own thread's */
    bool receiver_open;                /* others may use it, under the lock */
    int64_t deferred_ns;               /* acknowledgements wait since then; 0: none does */
    /* Of a partition, 0: not owned. One for all its slots, the revision of the claim of its lowest
     * slot: hops and fences are by partition, so a partition has one owner. */
    uint64_t epochs[MLT_CONDUCTOR_PARTITIONS_MAX];
    uint64_t seeded, seed_wanted, outbid, begun; /* bits by partition */
    uint64_t restored;                           /* there are books of an owner before */
    enum conductor_phase phase; /* ENDED: it owns nothing, and sends nothing, any more */
    const char *trouble;        /* why it cannot work though it runs, static; NULL: it can */
    uint64_t unsent;
    struct mlt_hop_sender_stats sender_stats; /* as last seen: hops end before the counting */
    struct mlt_hop_receiver_stats receiver_stats;
    struct mlt_conductor_cache_counts cache_counts; /* the same */
    bool stopping, draining;
    bool merges_quotes;
    bool in_batch;   /* what leaves is of the batch in hand; else it has waited */
    bool taken_over; /* not the process's own from the start: by a claim or not at all */
    bool unclaimed;  /* it ended since its claims could not be written */
    struct conductor_books books;
    struct mlt_conductor_cache *cache;            /* NULL: before the start, and at the end */
    uint64_t fence[MLT_CONDUCTOR_PARTITIONS_MAX]; /* epoch found above ours; 0: none */

    pthread_t owner;
    bool owner_started;
    struct mlt_store *store;
    struct mlt_claims *claims;
    uint64_t claimed[MLT_CONDUCTOR_PARTITIONS_MAX]; /* revisions, 0: by time */
    int64_t absent_since_ns; /* the owner's thread: nobody answers for heads; 0: somebody does */
};

/* The process. Guarded by its lock, but for what is set at the start. */
struct replica {
    struct mlt_service *service;
    struct mlt_bus *data, *control;
    struct conductor_config config;
    struct conductor_metrics metrics;
    struct mlt_replicas *replicas;
    struct mlt_timer *slot_timer;
    uint32_t slot_turn; /* loop thread: the slot whose second is over next */
    bool draining;

    pthread_mutex_t lock;
    struct conductor *first;
    struct conductor_totals retired; /* of those that are no more */
    struct conductor_totals leaving; /* of the one that is being ended, until it is retired */
};

/* replica.c: the service's functions; state is a struct replica. */
enum mlt_status mlt_replica_start(struct mlt_service *service, const void *config, void **state,
                                  struct mlt_error *err);
void mlt_replica_drain(void *state);
void mlt_replica_stop(void *state);
bool mlt_replica_ready(void *state, const char **reason);
void mlt_replica_collect(void *state);
void mlt_replica_stats(void *state, struct mlt_buf *out);

/* conductor.c: life of one. Owns partitions `mine` from when it can; taken_over: as in the struct.
 * Keeper's thread, or the loop's at the start. */
enum mlt_status mlt_conductor_create(struct replica *replica, uint64_t mine, bool taken_over,
                                     struct conductor **conductor, struct mlt_error *err);
/* It begins to end: what it has in hand leaves, then its phase is ENDED. Any thread. */
void mlt_conductor_drain(struct conductor *c);
/* Ends it at once, and adds what it counted to *totals. NULL is fine. Not the loop's thread unless
 * the loop ended: it may wait for an answer that is out. */
void mlt_conductor_destroy(struct conductor *c, struct conductor_totals *totals);
/* Loop thread: the second of these slots is over. */
void mlt_conductor_turn(struct conductor *c, uint64_t slots);
/* Why it cannot work, static; NULL: it can. */
const char *mlt_conductor_trouble(struct conductor *c);
/* Adds what it owns, or claims just now, to the beat. */
void mlt_conductor_add_owned(struct conductor *c, struct mlt_owners_beat *beat);

/* owner.c: the thread. */
void *mlt_conductor_owner(void *arg);
/* Others own these with a higher epoch. Takes the lock. */
void mlt_conductor_outbid(struct conductor *c, const struct mlt_owners_beat *beat);
/* conductor.c: for the hop receiver. */
void mlt_conductor_on_batch(void *ctx, const struct mlt_hop_batch *batch);
void mlt_conductor_on_sender(void *ctx, uint32_t partition);

/* conductor_metrics.c */
void mlt_conductor_metrics_init(struct conductor_metrics *to, struct mlt_metrics *metrics);
/* Adds what one counted so far. Under its lock. */
void mlt_conductor_totals_add(struct conductor *c, struct conductor_totals *to);
/* The hops' figures are taken down, before they end. Under the lock. */
void mlt_conductor_keep_hop_stats(struct conductor *c);
/* What a conductor that is no more counted: without what is of a moment. */
void mlt_conductor_totals_retire(struct conductor_totals *to, const struct conductor_totals *of);
void mlt_conductor_metrics_set(struct conductor_metrics *m, const struct conductor_totals *totals);
void mlt_conductor_cache_metrics_init(struct conductor_cache_metrics *to, struct mlt_metrics *m);
void mlt_conductor_cache_metrics_set(const struct conductor_cache_metrics *m,
                                     const struct mlt_conductor_cache_counts *counts);

/* conductor_families.c: what /metrics says of single instruments; state is the replica. Loop
 * thread; takes the locks. */
enum mlt_status mlt_conductor_families(void *state, struct mlt_buf *out);

/* conductor_books.c. Init with the lock; then options and threads of books, when the core is there
 * and nothing came yet. Stopped after `stopping` is set, without the lock. */
void mlt_conductor_init_books(struct conductor *c, const pthread_condattr_t *monotonic);
enum mlt_status mlt_conductor_start_books(struct conductor *c, const struct conductor_config *cfg,
                                          struct mlt_error *err);
void mlt_conductor_stop_books(struct conductor *c);
/* While draining, without the lock, when nothing comes in any more: BOOKs that wait for their
 * window or their commit leave, and the checkpoints are written. */
void mlt_conductor_drain_books(struct conductor *c);
/* For the hop's sender: there is room again. */
void mlt_conductor_on_room(void *ctx);
/* Port of the core: a snapshot is wanted. */
void mlt_conductor_on_resync(void *ctx, struct mlt_slice instrument, uint32_t depth,
                             enum mlt_sync_need need);
/* Port of the core: trades are missing. */
void mlt_conductor_on_backfill(void *ctx, struct mlt_slice instrument, enum mlt_event_type type,
                               int64_t first, int64_t last);
/* For the cache: the answer of a commit. Takes the lock. */
void mlt_conductor_on_committed(void *ctx, struct mlt_slice instrument,
                                enum mlt_commit_outcome outcome);
/* conductor_cache.c. Started after books, before the owner; stopped, without the lock, after the
 * owner ended and before books are. */
enum mlt_status mlt_conductor_start_cache(struct conductor *c, const struct conductor_config *cfg,
                                          struct mlt_error *err);
void mlt_conductor_stop_cache(struct conductor *c);
/* Port of the core. */
bool mlt_conductor_on_commit(void *ctx, struct mlt_slice instrument, const struct mlt_event *book,
                             const struct mlt_orderbook *levels);
/* Under the lock: once a second for each slot, and for the last time. */
void mlt_conductor_cache_checkpoint(struct conductor *c, uint64_t slots, bool at_end);
/* The owner's thread, before the hops open: takes over what is there, books among it; the highest
 * epoch of each partition's records into epochs. Waits for NATS. */
void mlt_conductor_load_cache(struct conductor *c, uint64_t epochs[MLT_CONDUCTOR_PARTITIONS_MAX]);

/* Under the lock, after calls into the core: the ticker learns of an earlier time. */
void mlt_conductor_touched(struct conductor *c);
/* Under the lock. After a batch: it is acknowledged when nothing waits behind a commit; where there
 * was no such moment for the time that a commit may take, it waits for one and gives up the lock
 * meanwhile. */
void mlt_conductor_settle(struct conductor *c);
/* Under the lock, when something left that had waited: is that all? */
void mlt_conductor_settled(struct conductor *c);
/* Under the lock, which it gives up meanwhile, with the receiver not open any more: from then on no
 * acknowledgement is deferred. */
void mlt_conductor_settle_all(struct conductor *c);

#endif
