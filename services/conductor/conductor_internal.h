/*
 * What the parts of the service know of each other. Threads:
 *  - loop: start, stop, drain, readiness, metrics, what each slot has once a second;
 *  - receiver (the hop's): on_batch;
 *  - owner (owner.c): everything that waits for NATS: claims, heads of the Data Bus, standing down;
 *  - ticker and resyncer (conductor_books.c): what books are due by time; asking for snapshots;
 *  - those of the cache (cache.h): answers of commits, fences, its return;
 *  - watcher (shared/bus): outbid.
 * One lock guards the core and all state; nothing waits for NATS while it holds it.
 */
#ifndef MELTICA_CONDUCTOR_INTERNAL_H
#define MELTICA_CONDUCTOR_INTERNAL_H

#include <pthread.h>
#include <sys/queue.h>

#include "conductor.h"
#include "core.h"
#include "meltica/base/map.h"
#include "meltica/bus/hop.h"
#include "meltica/bus/store.h"
#include "meltica/service/hop_metrics.h"

#define MLT_CONDUCTOR_SERVICE "conductor"
#define MLT_CONDUCTOR_PARTITIONS_MAX MLT_HOP_PARTITIONS_MAX

struct conductor_config {
    int64_t ring_bytes;
    int64_t throttle_ms, published_levels, book_levels, first_depth, snapshot_depth;
    int64_t stale_after_ms, refresh_ms, backfill_max;
    int64_t metrics_instruments;
};

enum conductor_phase { PHASE_WAITING, PHASE_CLAIMING, PHASE_RUNNING, PHASE_STANDBY, PHASE_ENDED };

struct conductor_cache_metrics {
    struct mlt_gauge *available, *behind;
    struct mlt_counter *written, *conflicts, *timeouts, *unavailable;
    struct mlt_counter *checkpoints, *repairs, *fenced, *away, *rebuilt, *unusable;
    struct mlt_histogram *put;
};

struct conductor_metrics {
    struct mlt_counter *in, *out, *duplicates, *late, *stale_owner, *refused, *lost_reports;
    struct mlt_counter *unsent, *undecodable;
    struct mlt_counter *books, *books_merged, *books_late, *books_fenced, *uncached, *digests;
    struct mlt_counter *gaps, *stales, *crossed, *resynced, *requests, *snapshots, *unused, *kept;
    struct mlt_counter *doubted;
    struct mlt_counter *audits_right, *audits_wrong, *books_refused, *hold_overruns;
    struct mlt_counter *level_changes, *unknown_deletes;
    struct mlt_counter *restored, *rejoined, *replayed, *conflated;
    struct mlt_counter *accepted, *declined, *unanswered, *unqueued;
    struct mlt_counter *trades_gaps, *trades_missing, *trades_requests, *trades_filled;
    struct mlt_counter *trades_unfillable[MLT_TRADES_LOSSES];
    struct mlt_gauge *owned, *states[MLT_BOOK_STALE + 1];
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
    struct mlt_service *service;
    struct mlt_bus *data, *control;
    uint32_t partitions;
    uint32_t slot_turn; /* loop thread: the slot whose second is over next */
    uint64_t mine;      /* bit p: this replica wants partition p */
    size_t ring_bytes;
    size_t metrics_instruments; /* that have series of their own */
    struct mlt_timer *slot_timer;
    struct conductor_metrics metrics;

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
    enum conductor_phase phase;
    const char *trouble; /* why it cannot work though it runs, static; NULL: it can */
    uint64_t unsent;
    bool stopping, draining;
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

/* owner.c: the thread. */
void *mlt_conductor_owner(void *arg);
/* conductor.c: for the hop receiver. */
void mlt_conductor_on_batch(void *ctx, const struct mlt_hop_batch *batch);
void mlt_conductor_on_sender(void *ctx, uint32_t partition);

/* conductor_metrics.c */
void mlt_conductor_metrics_init(struct conductor_metrics *to, struct mlt_metrics *metrics);
/* Under the lock. */
void mlt_conductor_metrics_collect(struct conductor *c);

/* conductor_families.c: what /metrics says of single instruments. Loop thread; takes the lock. */
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
/* Under the lock: once a second for each slot, and for the last time; and with the other metrics.
 */
void mlt_conductor_cache_checkpoint(struct conductor *c, uint64_t slots, bool at_end);
void mlt_conductor_cache_metrics(struct conductor *c);
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
