/*
 * What cache.c (commits, answers, life) and cache_mend.c (the thread that looks for JetStream,
 * reads what was refused and puts again) know of each other.
 *
 * Each instrument has two keys. A key's `bytes` are the newest value, `dirty` as long as it is not
 * acknowledged; one put of a key is out at most. What is dirty and not out is in the queue of the
 * thread, unless the cache is away: then it is put there when it is back.
 */
#ifndef MELTICA_CONDUCTOR_CACHE_INTERNAL_H
#define MELTICA_CONDUCTOR_CACHE_INTERNAL_H

#include <pthread.h>

#include "cache.h"
#include "meltica/base/map.h"
#include "meltica/bus/kv_writer.h"
#include "meltica/bus/stored.h"

#define CACHE_KEY_BYTES_MAX (MLT_INSTRUMENT_BYTES_MAX + sizeof MLT_CHECKPOINT_SUFFIX)

struct entry;

struct key {
    struct entry *entry;
    char name[CACHE_KEY_BYTES_MAX];
    struct mlt_buf bytes; /* empty: never had a value of ours */
    uint64_t version;     /* counts values; which one is out */
    uint64_t out_version;
    uint64_t revision; /* in the bucket, as far as is known; 0: none */
    bool dirty, out;
    bool suspect; /* a put was refused or not answered: to be read first */
    bool queued;
    struct key *next; /* in the queue */
};

struct entry {
    char token[MLT_INSTRUMENT_BYTES_MAX + 1];
    uint32_t slot;
    struct key record, checkpoint;
    uint64_t epoch;        /* of the newest value */
    uint64_t fenced_epoch; /* a value of a higher one than this was found; 0: no */
    bool waiting;          /* a commit was taken and not answered */
    bool owed;             /* the record is newer than the checkpoint */
    /* Of the newest record and of the checkpoint. */
    int64_t snapshot_id, snapshot_time_ns;
    enum mlt_book_state state;
    int64_t checkpoint_snapshot_id, checkpoint_mono_ns;
    enum mlt_book_state checkpoint_state;
};

struct mlt_conductor_cache {
    struct mlt_conductor_cache_options options;
    struct mlt_store *store;
    struct mlt_kv_writer *writer;
    pthread_t thread;
    bool thread_started;

    pthread_mutex_t lock;
    pthread_cond_t work; /* for the thread; monotonic clock */
    bool stop;
    bool available;
    bool proven;   /* something was written since it became available */
    bool stranded; /* it went away: commits that wait for the thread are to be answered */
    bool full;     /* the writer had no room: an answer makes some */
    int64_t probe_at_ns, backoff_ns;
    uint64_t connections; /* of the bus, when last looked at */
    struct mlt_map entries;
    struct key *first, **last; /* queue */
    int64_t *columns;          /* 4 of levels_max */
    struct mlt_conductor_cache_counts counts;
};

/* cache.c; all but the first under the lock. */
void mlt_cache_on_answer(void *ctx, const struct mlt_kv_answer *answer);
struct entry *mlt_cache_entry(struct mlt_conductor_cache *cache, struct mlt_slice token);
/* Looks for JetStream the later, the more often that was in vain. */
void mlt_cache_probe_later(struct mlt_conductor_cache *cache);
void mlt_cache_set_away(struct mlt_conductor_cache *cache, const char *reason, int code);
void mlt_cache_enqueue(struct mlt_conductor_cache *cache, struct key *key);
/* Hands a dirty key's value to the writer, or queues it: true. False: it waits for the cache to be
 * back, or is none that could be written. */
bool mlt_cache_put(struct mlt_conductor_cache *cache, struct key *key);
/* The key is at this revision, with what was `version`. */
void mlt_cache_wrote(struct mlt_conductor_cache *cache, struct key *key, uint64_t revision,
                     uint64_t version);
/* Takes the answer that somebody waits for; false: nobody does. Then tell it without the lock. */
bool mlt_cache_take_waiting(struct key *key);

/* cache_mend.c: the thread. */
void *mlt_cache_mend(void *arg);

#endif
