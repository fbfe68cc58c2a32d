/* The thread of the snapshot cache that waits for JetStream, and what is read at start. */
#include "cache_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "meltica/base/clock.h"
#include "meltica/base/log.h"

#define STREAM "KV_" MLT_SNAPSHOTS_BUCKET
#define RECORDS "$KV." MLT_SNAPSHOTS_BUCKET ".*"
#define CONNECT_SLICE_NS (200 * MLT_NS_PER_MS)
#define ARENA_BLOCK_BYTES (256u << 10)
#define ARENA_BYTES_MAX (4u << 20)

/* Waits for a change, until at_ns; INT64_MAX: for ever. The lock is held. */
static void wait_work(struct mlt_conductor_cache *cache, int64_t at_ns)
{
    if (at_ns == INT64_MAX) {
        (void)pthread_cond_wait(&cache->work, &cache->lock);
        return;
    }
    const struct timespec until = { .tv_sec = (time_t)(at_ns / MLT_NS_PER_S),
                                    .tv_nsec = (long)(at_ns % MLT_NS_PER_S) };
    (void)pthread_cond_timedwait(&cache->work, &cache->lock, &until);
}

/* Epochs are in both values; 0: it is none of ours. */
static uint64_t epoch_of(const struct key *key, struct mlt_slice value)
{
    uint64_t epoch = 0;
    if (key == &key->entry->record) {
        struct mlt_snapshot_record record;
        if (mlt_snapshot_record_decode(value, &record) == MLT_OK) {
            epoch = record.epoch;
        }
        return epoch;
    }
    struct mlt_arena arena;
    struct mlt_book_checkpoint checkpoint;
    mlt_arena_init(&arena, ARENA_BLOCK_BYTES, ARENA_BYTES_MAX);
    if (mlt_book_checkpoint_decode(value, &arena, &checkpoint) == MLT_OK) {
        epoch = checkpoint.epoch;
    }
    mlt_arena_fini(&arena);
    return epoch;
}

/* ---- when it comes back ---- */

static enum mlt_status ensure_bucket(struct mlt_conductor_cache *cache, struct mlt_error *err)
{
    return mlt_stored_ensure(cache->store, MLT_STORED_SNAPSHOTS, err);
}

/* A key that we know to be in the bucket; NULL: none. Under the lock. */
static struct key *known_key(struct mlt_conductor_cache *cache)
{
    size_t position = 0;
    const struct mlt_map_entry *at = NULL;
    while ((at = mlt_map_next(&cache->entries, &position)) != NULL) {
        struct entry *entry = at->value;
        if (entry->record.revision != 0) {
            return &entry->record;
        }
    }
    return NULL;
}

/* Everything that is behind goes to the queue; with `lost` that is all there is, and expects
 * nothing. Under the lock. */
static void put_behind(struct mlt_conductor_cache *cache, bool lost)
{
    size_t position = 0;
    const struct mlt_map_entry *at = NULL;
    while ((at = mlt_map_next(&cache->entries, &position)) != NULL) {
        struct entry *entry = at->value;
        struct key *const keys[] = { &entry->record, &entry->checkpoint };
        for (size_t k = 0; k < 2; k++) {
            struct key *key = keys[k];
            if (lost) {
                key->revision = 0;
                key->suspect = false;
                key->dirty = key->bytes.len > 0 && entry->fenced_epoch < entry->epoch;
            }
            if (key->dirty) {
                mlt_cache_enqueue(cache, key);
            }
        }
    }
}

/* Called and returns with the lock, which is free while NATS is asked. */
static void probe(struct mlt_conductor_cache *cache)
{
    struct mlt_error err = MLT_ERROR_INIT;
    const struct key *known = known_key(cache);
    (void)pthread_mutex_unlock(&cache->lock);
    enum mlt_status status = mlt_bus_wait_connected(cache->options.bus, CONNECT_SLICE_NS);
    const uint64_t connections = mlt_bus_changes(cache->options.bus);
    if (status == MLT_OK) { /* by which the puts go */
        status = mlt_bus_wait_connected(cache->options.data, CONNECT_SLICE_NS);
    }
    if (status == MLT_OK) {
        status = ensure_bucket(cache, &err);
    }
    bool lost = false;
    if (status == MLT_OK && known != NULL) {
        struct mlt_buf value;
        uint64_t revision = 0;
        mlt_buf_init(&value, MLT_BUS_PAYLOAD_BYTES_MAX);
        status =
            mlt_kv_get(cache->store, MLT_SNAPSHOTS_BUCKET, known->name, &value, &revision, &err);
        lost = status == MLT_E_NOT_FOUND;
        status = lost ? MLT_OK : status;
        mlt_buf_fini(&value);
    }
    (void)pthread_mutex_lock(&cache->lock);
    if (status != MLT_OK) {
        mlt_cache_probe_later(cache);
        return;
    }
    cache->available = true;
    cache->connections = connections;
    if (lost) {
        cache->counts.rebuilt++;
        mlt_log(MLT_LOG_WARN, "cache_rebuilt",
                "the snapshot cache was empty: all records are written again",
                MLT_U("instruments", cache->entries.count));
    }
    put_behind(cache, lost);
    if (cache->options.on_back != NULL) {
        (void)pthread_mutex_unlock(&cache->lock);
        cache->options.on_back(cache->options.ctx, lost);
        (void)pthread_mutex_lock(&cache->lock);
    }
}

/* Who waits for a key to be read would wait until it is back. Called and returns with the lock,
 * which is free while they are told. */
static void answer_stranded(struct mlt_conductor_cache *cache)
{
    size_t position = 0;
    const struct mlt_map_entry *at = NULL;
    cache->stranded = false;
    while ((at = mlt_map_next(&cache->entries, &position)) != NULL) {
        struct entry *entry = at->value;
        if (!entry->record.out && mlt_cache_take_waiting(&entry->record)) {
            (void)pthread_mutex_unlock(&cache->lock);
            cache->options.on_outcome(cache->options.ctx, mlt_slice_of_string(entry->token),
                                      MLT_COMMIT_UNAVAILABLE);
            (void)pthread_mutex_lock(&cache->lock);
            position = 0; /* the map may be another one */
        }
    }
}

/* ---- one key ---- */

/* A value of a higher epoch is there: this one will not be written. Under the lock. */
static void fence(struct mlt_conductor_cache *cache, struct key *key, uint64_t epoch)
{
    cache->counts.fenced++;
    key->entry->fenced_epoch = epoch;
    key->entry->record.dirty = false;
    key->entry->checkpoint.dirty = false;
    mlt_log(MLT_LOG_WARN, "cache_fenced", "another instance writes this instrument's record",
            MLT_S("key", key->name), MLT_U("epoch", epoch), MLT_U("own_epoch", key->entry->epoch));
}

/* Reads what is there and, where it may be, puts the newest value over it. Called and returns with
 * the lock, which is free meanwhile. */
static void repair(struct mlt_conductor_cache *cache, struct key *key)
{
    struct mlt_buf value, mine;
    struct mlt_error err = MLT_ERROR_INIT;
    uint64_t revision = 0;
    mlt_buf_init(&value, MLT_BUS_PAYLOAD_BYTES_MAX);
    mlt_buf_init(&mine, MLT_BUS_PAYLOAD_BYTES_MAX);
    const uint64_t own = key->entry->epoch, version = key->version;
    enum mlt_status status = mlt_buf_append(&mine, key->bytes.data, key->bytes.len);
    key->out = true; /* nobody else puts it meanwhile */
    (void)pthread_mutex_unlock(&cache->lock);
    uint64_t epoch = 0;
    if (status == MLT_OK) {
        status = mlt_kv_get(cache->store, MLT_SNAPSHOTS_BUCKET, key->name, &value, &revision, &err);
    }
    if (status == MLT_OK) {
        epoch = epoch_of(key, mlt_buf_view(&value));
    } else if (status == MLT_E_NOT_FOUND) {
        status = MLT_OK; /* revision 0: also over the marker of a deletion */
    }
    if (status == MLT_OK && epoch <= own) {
        status = mlt_kv_update(cache->store, MLT_SNAPSHOTS_BUCKET, key->name, mlt_buf_view(&mine),
                               revision, &revision, &err);
    }
    mlt_buf_fini(&value);
    mlt_buf_fini(&mine);
    (void)pthread_mutex_lock(&cache->lock);
    key->out = false;
    enum mlt_commit_outcome outcome = MLT_COMMIT_DONE;
    bool tell = false;
    if (status == MLT_OK && epoch > own) {
        tell = key->entry->fenced_epoch < epoch;
        fence(cache, key, epoch);
        outcome = MLT_COMMIT_FENCED;
    } else if (status == MLT_OK) {
        cache->counts.repairs++;
        mlt_cache_wrote(cache, key, revision, version);
    } else if (status == MLT_E_CONFLICT && cache->available) {
        mlt_cache_enqueue(cache, key); /* once more */
        return;
    } else {
        mlt_cache_set_away(cache, err.text, err.code);
        outcome = MLT_COMMIT_UNAVAILABLE;
    }
    tell = mlt_cache_take_waiting(key) || tell;
    if (tell) {
        (void)pthread_mutex_unlock(&cache->lock);
        cache->options.on_outcome(cache->options.ctx, mlt_slice_of_string(key->entry->token),
                                  outcome);
        /* Afterwards: it may give the slot another epoch, to which FENCED must not be taken. */
        if (outcome == MLT_COMMIT_FENCED && cache->options.on_fenced != NULL) {
            cache->options.on_fenced(cache->options.ctx, mlt_slice_of_string(key->entry->token),
                                     epoch);
        }
        (void)pthread_mutex_lock(&cache->lock);
    }
}

/* Out of the queue, where it had to wait for room. As repair. */
static void put_now(struct mlt_conductor_cache *cache, struct key *key)
{
    if (!mlt_cache_put(cache, key) && mlt_cache_take_waiting(key)) {
        (void)pthread_mutex_unlock(&cache->lock);
        cache->options.on_outcome(cache->options.ctx, mlt_slice_of_string(key->entry->token),
                                  MLT_COMMIT_UNAVAILABLE);
        (void)pthread_mutex_lock(&cache->lock);
    }
}

/* Under the lock. */
static struct key *next_key(struct mlt_conductor_cache *cache)
{
    struct key *key = cache->first;
    cache->first = key->next;
    if (cache->first == NULL) {
        cache->last = &cache->first;
    }
    key->queued = false;
    return key;
}

void *mlt_cache_mend(void *arg)
{
    struct mlt_conductor_cache *cache = arg;
    (void)pthread_mutex_lock(&cache->lock);
    while (!cache->stop) {
        if (cache->stranded) {
            answer_stranded(cache);
            continue;
        }
        if (!cache->available) {
            if (mlt_clock_mono_ns() >= cache->probe_at_ns) {
                probe(cache);
            } else {
                wait_work(cache, cache->probe_at_ns);
            }
            continue;
        }
        if (cache->first == NULL || cache->full) {
            wait_work(cache, INT64_MAX);
            continue;
        }
        struct key *key = next_key(cache);
        if (key->dirty && !key->out) {
            if (key->suspect) {
                repair(cache, key);
            } else {
                put_now(cache, key);
            }
        }
    }
    (void)pthread_mutex_unlock(&cache->lock);
    return NULL;
}

/* ---- at start ---- */

/* Takes over what is there of one instrument, if it is one of ours. */
static void load_one(struct mlt_conductor_cache *cache, struct mlt_slice value, uint64_t revision,
                     uint64_t slots, struct mlt_arena *arena,
                     void (*visit)(void *ctx, const struct mlt_conductor_cached *cached), void *ctx)
{
    struct mlt_snapshot_record record;
    struct mlt_event book;
    struct mlt_book_checkpoint checkpoint;
    mlt_arena_reset(arena);
    if (mlt_snapshot_record_decode(value, &record) != MLT_OK ||
        mlt_event_decode(record.event, arena, &book) != MLT_OK || book.type != MLT_EVENT_BOOK) {
        (void)pthread_mutex_lock(&cache->lock);
        cache->counts.unusable++;
        (void)pthread_mutex_unlock(&cache->lock);
        return;
    }
    if ((slots >> mlt_instrument_slot(book.instrument) & 1) == 0) {
        return;
    }
    (void)pthread_mutex_lock(&cache->lock);
    struct entry *entry = mlt_cache_entry(cache, book.instrument);
    (void)pthread_mutex_unlock(&cache->lock);
    if (entry == NULL) {
        return;
    }
    struct mlt_buf bytes;
    uint64_t checkpoint_revision = 0;
    mlt_buf_init(&bytes, MLT_BUS_PAYLOAD_BYTES_MAX);
    const bool found = mlt_kv_get(cache->store, MLT_SNAPSHOTS_BUCKET, entry->checkpoint.name,
                                  &bytes, &checkpoint_revision, NULL) == MLT_OK;
    const bool usable =
        found && mlt_book_checkpoint_decode(mlt_buf_view(&bytes), arena, &checkpoint) == MLT_OK;
    (void)pthread_mutex_lock(&cache->lock);
    entry->record.revision = revision;
    entry->checkpoint.revision = found ? checkpoint_revision : 0;
    cache->counts.unusable += found && !usable ? 1 : 0;
    (void)pthread_mutex_unlock(&cache->lock);
    visit(ctx, &(struct mlt_conductor_cached){ .instrument = book.instrument,
                                               .record = &record,
                                               .book = &book,
                                               .checkpoint = usable ? &checkpoint : NULL });
    mlt_buf_fini(&bytes);
}

enum mlt_status mlt_conductor_cache_load(struct mlt_conductor_cache *cache, uint64_t slots,
                                         void (*visit)(void *ctx,
                                                       const struct mlt_conductor_cached *cached),
                                         void *ctx, struct mlt_error *err)
{
    struct mlt_arena arena;
    struct mlt_buf value;
    uint64_t revision = 0;
    mlt_arena_init(&arena, ARENA_BLOCK_BYTES, ARENA_BYTES_MAX);
    mlt_buf_init(&value, MLT_BUS_PAYLOAD_BYTES_MAX);
    enum mlt_status status = ensure_bucket(cache, err);
    while (status == MLT_OK) {
        mlt_buf_clear(&value);
        status = mlt_stream_next_current(cache->store, STREAM, RECORDS, revision + 1, &value,
                                         &revision, err);
        if (status == MLT_OK && value.len > 0) { /* empty: the marker of a deletion */
            load_one(cache, mlt_buf_view(&value), revision, slots, &arena, visit, ctx);
        } else if (status == MLT_E_NOT_FOUND) {
            status = MLT_OK;
            break;
        }
    }
    mlt_buf_fini(&value);
    mlt_arena_fini(&arena);
    return status;
}
