/*
 * The Snapshot Cache as its writer sees it: KV bucket meltica-snapshots, in memory, with a record
 * (the last BOOK) and a checkpoint (the whole known book) an instrument. RULINGS 5 and 6:
 *  - each write expects the revision of the one before, so that of two owners one is refused;
 *  - refused, or unanswered for 500 ms: the key is read. A higher epoch in it: FENCED. Its own or a
 *    lower one: its revision is taken and the newest value is put again;
 *  - JetStream or the bucket gone: nothing is taken, and books leave flagged. A thread looks for it
 *    until it is back, provisions the bucket where it is missing, and writes what changed
 *    meanwhile, or, where the bucket is a new one, every record and checkpoint there is.
 *
 * Threads: commit and checkpoint under the lock of the caller, which on_outcome may take: it is
 * called without a lock of the cache's, on a thread of the cache's, of its writer's or of the bus.
 * So are on_fenced and on_back.
 */
#ifndef MELTICA_CONDUCTOR_CACHE_H
#define MELTICA_CONDUCTOR_CACHE_H

#include "book.h"
#include "core.h"
#include "meltica/bus/bus.h"
#include "meltica/event/record.h"
#include "meltica/rt/metrics.h"

#define MLT_CHECKPOINT_SUFFIX ".checkpoint"
#define MLT_CHECKPOINT_NS MLT_NS_PER_S /* between two of an instrument that stays as it is */

struct mlt_conductor_cache;

struct mlt_conductor_cache_options {
    struct mlt_bus *bus;  /* a CONTROL one, for what is read; both outlive the cache */
    struct mlt_bus *data; /* a DATA one, for puts */
    uint32_t provision_replicas;
    uint32_t levels_max; /* kept a side in a book */
    uint32_t throttle_ms;
    int64_t refresh_ns; /* between snapshots; 0: none is planned */
    /* The answer of a commit that was taken; FENCED also comes without one, once an epoch and
     * instrument. Must not block. */
    void (*on_outcome)(void *ctx, struct mlt_slice instrument, enum mlt_commit_outcome outcome);
    /* NULL is fine. After FENCED: the epoch that was found. Commits are taken again; rebuilt: the
     * bucket was another one, and everything is written to it. */
    void (*on_fenced)(void *ctx, struct mlt_slice instrument, uint64_t epoch);
    void (*on_back)(void *ctx, bool rebuilt);
    void *ctx;
    struct mlt_histogram *put_duration; /* of what was written; NULL is fine */
};

struct mlt_conductor_cache_counts {
    uint64_t commits;                                   /* taken */
    uint64_t turned_away;                               /* commits not taken */
    uint64_t written, conflicts, timeouts, unavailable; /* puts of either key, by answer */
    uint64_t checkpoints;                               /* made */
    uint64_t repairs;       /* keys read after a refused put, and put again */
    uint64_t fenced;        /* keys that a higher epoch had written */
    uint64_t away, rebuilt; /* times that it went away; that its bucket was found empty */
    uint64_t unusable;      /* values found that are none, and those too big to be written */
    uint64_t waiting;       /* keys that are behind, now */
    bool available;         /* now */
    int64_t slowest_ns;     /* put, since the last call */
};

/* Starts looking for the bucket; until it is found, commits are not taken. E_NOMEM, E_INVALID, and
 * those of a subscription. */
enum mlt_status mlt_conductor_cache_create(const struct mlt_conductor_cache_options *options,
                                           struct mlt_conductor_cache **cache,
                                           struct mlt_error *err) MLT_MUST_CHECK;
/* Answers what waits with UNAVAILABLE first. Not under the caller's lock. NULL is fine. */
void mlt_conductor_cache_destroy(struct mlt_conductor_cache *cache);

/* One instrument as it is now. Views are valid during the call. */
struct mlt_conductor_view {
    const struct mlt_event *book; /* the numbered BOOK; commit only */
    const struct mlt_orderbook *levels;
    enum mlt_book_state state; /* of levels; of commit that of the BOOK */
    bool source_up;            /* mlt_conductor_core_source_up; commit only */
    const struct mlt_head *heads;
    size_t head_count;
};

/* The port of core.h: keeps the record, and the checkpoint where one is due (another state or
 * snapshot than in the last, or that is MLT_CHECKPOINT_NS old), and hands them to the writer.
 * False: not taken; it is written when that is possible again. */
bool mlt_conductor_cache_commit(struct mlt_conductor_cache *cache, struct mlt_slice instrument,
                                const struct mlt_conductor_view *view);

/* Once a second for each slot: writes the checkpoints that are behind their records, of the
 * instruments in one of `slots` (bit s: slot s); at_end: also those that were written less than
 * MLT_CHECKPOINT_NS ago. ask: the instrument as it is now (book is not used); false: it has no book
 * any more. Called from inside, under the cache's lock: must not call back into the cache. */
void mlt_conductor_cache_checkpoints(struct mlt_conductor_cache *cache, uint64_t slots, bool at_end,
                                     bool (*ask)(void *ctx, struct mlt_slice instrument,
                                                 struct mlt_conductor_view *view),
                                     void *ctx);

/* What an owner before left of an instrument. */
struct mlt_conductor_cached {
    struct mlt_slice instrument;
    const struct mlt_snapshot_record *record;
    const struct mlt_event *book;                 /* decoded from the record */
    const struct mlt_book_checkpoint *checkpoint; /* NULL: none */
};

/* At start, before the first commit: reads records and checkpoints of the instruments whose slot
 * is in `slots` (bit s: slot s), so that the first puts expect what is there, and shows each to
 * visit. Blocks (about 0.5 ms an instrument, 1 s a request at most). E_UNAVAILABLE, E_NOT_FOUND (no
 * bucket and it may not be created), E_AUTH: then the first put of each key finds out. */
enum mlt_status mlt_conductor_cache_load(struct mlt_conductor_cache *cache, uint64_t slots,
                                         void (*visit)(void *ctx,
                                                       const struct mlt_conductor_cached *cached),
                                         void *ctx, struct mlt_error *err) MLT_MUST_CHECK;

void mlt_conductor_cache_get_counts(struct mlt_conductor_cache *cache,
                                    struct mlt_conductor_cache_counts *out);

#endif
