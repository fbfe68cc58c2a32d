/* See cache.h and cache_internal.h. */
#include "cache_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meltica/base/clock.h"
#include "meltica/base/log.h"

#define BACKOFF_MIN_NS (50 * MLT_NS_PER_MS)
#define BACKOFF_MAX_NS (400 * MLT_NS_PER_MS) /* the flag falls within 2 s of its return */
#define PUTS_MAX 8192u
#define PUT_BYTES_MAX (16u << 20)

/* ---- entries ---- */

static void init_key(struct key *key, struct entry *entry, const char *suffix)
{
    key->entry = entry;
    (void)snprintf(key->name, sizeof key->name, "%s%s", entry->token, suffix);
    mlt_buf_init(&key->bytes, MLT_BUS_PAYLOAD_BYTES_MAX);
}

struct entry *mlt_cache_entry(struct mlt_conductor_cache *cache, struct mlt_slice token)
{
    struct entry *entry = mlt_map_get(&cache->entries, token);
    if (entry != NULL || !mlt_instrument_token_valid(token)) {
        return entry;
    }
    entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return NULL;
    }
    (void)snprintf(entry->token, sizeof entry->token, "%.*s", MLT_SLICE_FMT(token));
    entry->slot = mlt_instrument_slot(token);
    init_key(&entry->record, entry, "");
    init_key(&entry->checkpoint, entry, MLT_CHECKPOINT_SUFFIX);
    if (mlt_map_put(&cache->entries, token, entry) != MLT_OK) {
        free(entry);
        return NULL;
    }
    return entry;
}

/* ---- puts ---- */

void mlt_cache_enqueue(struct mlt_conductor_cache *cache, struct key *key)
{
    if (!key->queued) {
        key->queued = true;
        key->next = NULL;
        *cache->last = key;
        cache->last = &key->next;
        (void)pthread_cond_signal(&cache->work);
    }
}

void mlt_cache_probe_later(struct mlt_conductor_cache *cache)
{
    cache->backoff_ns = cache->backoff_ns == 0 ? BACKOFF_MIN_NS : 2 * cache->backoff_ns;
    if (cache->backoff_ns > BACKOFF_MAX_NS) {
        cache->backoff_ns = BACKOFF_MAX_NS;
    }
    cache->probe_at_ns = mlt_clock_mono_ns() + cache->backoff_ns;
    (void)pthread_cond_signal(&cache->work);
}

void mlt_cache_set_away(struct mlt_conductor_cache *cache, const char *reason, int code)
{
    if (!cache->available) {
        return;
    }
    cache->available = false;
    cache->stranded = true;
    cache->counts.away++;
    if (cache->proven) {
        mlt_log(
            MLT_LOG_WARN, "cache_away",
            "books are flagged until the snapshot cache answers again; where that takes long, look "
            "at JetStream (away, no leader, slow disk)",
            MLT_S("reason", reason), MLT_I("code", code));
    }
    cache->proven = false;
    mlt_cache_probe_later(cache);
}

bool mlt_cache_put(struct mlt_conductor_cache *cache, struct key *key)
{
    if (!cache->available || key->out) {
        return false; /* put when it is back, or when that one is answered */
    }
    if (key->suspect) {
        mlt_cache_enqueue(cache, key);
        return true;
    }
    const enum mlt_status status =
        mlt_kv_writer_put(cache->writer, key->name, mlt_buf_view(&key->bytes), key->revision, key);
    switch (status) {
    case MLT_OK:
        key->out = true;
        key->out_version = key->version;
        return true;
    case MLT_E_FULL: /* put by the thread when an answer has made room */
        cache->full = true;
        mlt_cache_enqueue(cache, key);
        return true;
    case MLT_E_NOMEM: /* no answer need come that would make room */
        mlt_cache_set_away(cache, "no memory for a record", 0);
        return false;
    case MLT_E_UNAVAILABLE:
        mlt_cache_set_away(cache, "no connection to NATS", 0);
        return false;
    default: /* no put of it will ever be taken */
        cache->counts.unusable++;
        key->dirty = false;
        return false;
    }
}

void mlt_cache_wrote(struct mlt_conductor_cache *cache, struct key *key, uint64_t revision,
                     uint64_t version)
{
    key->revision = revision;
    key->suspect = false;
    key->dirty = key->version != version;
    cache->backoff_ns = 0;
    if (!cache->proven && cache->available) {
        cache->proven = true;
        mlt_log(MLT_LOG_INFO, "cache_available", "records are written to the snapshot cache",
                MLT_U("instruments", cache->entries.count));
    }
    if (key->dirty) {
        (void)mlt_cache_put(cache, key);
    }
}

bool mlt_cache_take_waiting(struct key *key)
{
    const bool waiting = key == &key->entry->record && key->entry->waiting;
    key->entry->waiting = key->entry->waiting && !waiting;
    return waiting;
}

void mlt_cache_on_answer(void *ctx, const struct mlt_kv_answer *answer)
{
    struct mlt_conductor_cache *cache = ctx;
    struct key *key = answer->about;
    bool told = false;
    (void)pthread_mutex_lock(&cache->lock);
    key->out = false;
    if (cache->full) {
        cache->full = false;
        (void)pthread_cond_signal(&cache->work);
    }
    switch (answer->outcome) {
    case MLT_KV_WRITTEN:
        cache->counts.written++;
        if (cache->options.put_duration != NULL) {
            mlt_histogram_record_ns(cache->options.put_duration, answer->duration_ns);
        }
        mlt_cache_wrote(cache, key, answer->revision, key->out_version);
        told = mlt_cache_take_waiting(key);
        break;
    case MLT_KV_CONFLICT: /* who waits is answered when it is known whose value that is */
        cache->counts.conflicts++;
        key->suspect = true;
        if (cache->available) {
            mlt_cache_enqueue(cache, key);
        } else { /* it is read when the cache is back, and nobody waits for that */
            told = mlt_cache_take_waiting(key);
        }
        break;
    case MLT_KV_TIMEOUT: /* it may be written: so it is read before it is written again */
        cache->counts.timeouts++;
        key->suspect = true;
        mlt_cache_set_away(cache, "a record was not acknowledged within 500 ms", 0);
        told = mlt_cache_take_waiting(key);
        break;
    case MLT_KV_UNAVAILABLE:
    case MLT_KV_OUTCOME_COUNT:
        cache->counts.unavailable++;
        key->suspect = answer->code == 0; /* else the server says that it is not written */
        mlt_cache_set_away(cache, "the server did not take a record", answer->code);
        told = mlt_cache_take_waiting(key);
        break;
    }
    (void)pthread_mutex_unlock(&cache->lock);
    if (told) {
        cache->options.on_outcome(cache->options.ctx, mlt_slice_of_string(key->entry->token),
                                  answer->outcome == MLT_KV_WRITTEN ? MLT_COMMIT_DONE
                                                                    : MLT_COMMIT_UNAVAILABLE);
    }
}

/* ---- values; the lock is held ---- */

static void copy_heads(struct mlt_head *to, size_t *count, const struct mlt_conductor_view *view)
{
    *count = view->head_count < MLT_STATUS_HEADS_MAX ? view->head_count : MLT_STATUS_HEADS_MAX;
    memcpy(to, view->heads, *count * sizeof *to);
}

/* Room for the new value of a key, which is dirty then; NULL: it keeps the one before. */
static uint8_t *begin_value(struct mlt_conductor_cache *cache, struct key *key, size_t bytes)
{
    mlt_buf_clear(&key->bytes);
    if (mlt_buf_reserve(&key->bytes, bytes) != MLT_OK) {
        cache->counts.unusable++;
        key->dirty = false;
        return NULL;
    }
    key->bytes.len = bytes;
    key->version++;
    key->dirty = true;
    return key->bytes.data;
}

static bool keep_record(struct mlt_conductor_cache *cache, struct entry *entry,
                        const struct mlt_conductor_view *view)
{
    const struct mlt_book *book = &view->book->u.book;
    const size_t event_bytes = mlt_event_encoded_size(view->book);
    uint8_t *event = malloc(event_bytes);
    if (event == NULL) {
        return false;
    }
    (void)mlt_event_encode(view->book, event);
    struct mlt_snapshot_record record = {
        .event = mlt_slice_of(event, event_bytes),
        .epoch = view->book->epoch,
        .last_update_id = book->last_update_id,
        .committed_ns = mlt_clock_wall_ns(),
        .snapshot_update_id = book->snapshot_update_id,
        .snapshot_time_ns = book->snapshot_time_ns,
        .deltas_applied = book->deltas_applied,
        .state = book->state,
        .throttle_ms = cache->options.throttle_ms,
        .refresh_due_ns = cache->options.refresh_ns > 0 && book->snapshot_time_ns > 0
                              ? book->snapshot_time_ns + cache->options.refresh_ns
                              : 0,
        .source_up = view->source_up,
    };
    copy_heads(record.heads, &record.head_count, view);
    uint8_t *out = begin_value(cache, &entry->record, mlt_snapshot_record_encoded_size(&record));
    if (out != NULL) {
        (void)mlt_snapshot_record_encode(&record, out);
    }
    free(event);
    entry->epoch = view->book->epoch;
    entry->state = book->state;
    entry->snapshot_id = book->snapshot_update_id;
    entry->snapshot_time_ns = book->snapshot_time_ns;
    entry->owed = true;
    return out != NULL;
}

static bool keep_checkpoint(struct mlt_conductor_cache *cache, struct entry *entry,
                            const struct mlt_conductor_view *view)
{
    const size_t max = cache->options.levels_max;
    int64_t *columns = cache->columns;
    int64_t price = 0;
    struct mlt_book_checkpoint checkpoint = {
        .instrument = mlt_slice_of_string(entry->token),
        .epoch = entry->epoch,
        .last_update_id = mlt_orderbook_last(view->levels),
        .time_ns = mlt_clock_wall_ns(),
        .snapshot_update_id = entry->snapshot_id,
        .snapshot_time_ns = entry->snapshot_time_ns,
        .state = view->state,
    };
    copy_heads(checkpoint.heads, &checkpoint.head_count, view);
    /* In the other states the levels are wrong, or none are known. */
    if (view->state == MLT_BOOK_LIVE || view->state == MLT_BOOK_STALE) {
        (void)mlt_orderbook_top(view->levels, MLT_ORDERBOOK_BIDS, max, columns, columns + max,
                                &checkpoint.bids);
        (void)mlt_orderbook_top(view->levels, MLT_ORDERBOOK_ASKS, max, columns + 2 * max,
                                columns + 3 * max, &checkpoint.asks);
        checkpoint.bids_whole = !mlt_orderbook_bound(view->levels, MLT_ORDERBOOK_BIDS, &price);
        checkpoint.asks_whole = !mlt_orderbook_bound(view->levels, MLT_ORDERBOOK_ASKS, &price);
        checkpoint.digest = mlt_orderbook_digest(view->levels);
        checkpoint.digest_version = MLT_ORDERBOOK_DIGEST_VERSION;
    }
    uint8_t *out =
        begin_value(cache, &entry->checkpoint, mlt_book_checkpoint_encoded_size(&checkpoint));
    if (out == NULL) {
        return false;
    }
    (void)mlt_book_checkpoint_encode(&checkpoint, out);
    cache->counts.checkpoints++;
    entry->owed = false;
    entry->checkpoint_mono_ns = mlt_clock_mono_ns();
    entry->checkpoint_state = view->state;
    entry->checkpoint_snapshot_id = entry->snapshot_id;
    return true;
}

static bool checkpoint_due(const struct entry *entry)
{
    return entry->checkpoint_mono_ns == 0 || entry->checkpoint_state != entry->state ||
           entry->checkpoint_snapshot_id != entry->snapshot_id ||
           mlt_clock_mono_ns() - entry->checkpoint_mono_ns >= MLT_CHECKPOINT_NS;
}

/* ---- the ports ---- */

bool mlt_conductor_cache_commit(struct mlt_conductor_cache *cache, struct mlt_slice instrument,
                                const struct mlt_conductor_view *view)
{
    bool taken = false;
    (void)pthread_mutex_lock(&cache->lock);
    struct entry *entry = mlt_cache_entry(cache, instrument);
    if (entry != NULL && keep_record(cache, entry, view)) {
        taken = mlt_cache_put(cache, &entry->record);
        entry->waiting = taken;
        if (checkpoint_due(entry) && keep_checkpoint(cache, entry, view)) {
            (void)mlt_cache_put(cache, &entry->checkpoint);
        }
    }
    *(taken ? &cache->counts.commits : &cache->counts.turned_away) += 1;
    (void)pthread_mutex_unlock(&cache->lock);
    return taken;
}

/* Where nothing is written nobody notices that the server was another one meanwhile. */
static void check_connection(struct mlt_conductor_cache *cache)
{
    const uint64_t connections = mlt_bus_changes(cache->options.bus);
    if (connections != cache->connections) {
        cache->connections = connections;
        mlt_cache_set_away(cache, "the connection to NATS ended", 0);
    }
}

void mlt_conductor_cache_checkpoints(struct mlt_conductor_cache *cache, uint64_t slots, bool at_end,
                                     bool (*ask)(void *ctx, struct mlt_slice instrument,
                                                 struct mlt_conductor_view *view),
                                     void *ctx)
{
    size_t position = 0;
    const struct mlt_map_entry *at = NULL;
    (void)pthread_mutex_lock(&cache->lock);
    check_connection(cache);
    while ((at = mlt_map_next(&cache->entries, &position)) != NULL) {
        struct entry *entry = at->value;
        struct mlt_conductor_view view = { 0 };
        if ((slots >> entry->slot & 1) != 0 && entry->owed && (at_end || checkpoint_due(entry)) &&
            ask(ctx, mlt_slice_of_string(entry->token), &view) &&
            keep_checkpoint(cache, entry, &view)) {
            (void)mlt_cache_put(cache, &entry->checkpoint);
        }
    }
    (void)pthread_mutex_unlock(&cache->lock);
}

void mlt_conductor_cache_get_counts(struct mlt_conductor_cache *cache,
                                    struct mlt_conductor_cache_counts *out)
{
    size_t position = 0;
    const struct mlt_map_entry *at = NULL;
    struct mlt_kv_writer_stats stats;
    mlt_kv_writer_get_stats(cache->writer, &stats);
    (void)pthread_mutex_lock(&cache->lock);
    *out = cache->counts;
    out->available = cache->available;
    out->slowest_ns = stats.slowest_ns;
    while ((at = mlt_map_next(&cache->entries, &position)) != NULL) {
        const struct entry *entry = at->value;
        out->waiting += entry->record.dirty ? 1 : 0;
        out->waiting += entry->checkpoint.dirty ? 1 : 0;
    }
    (void)pthread_mutex_unlock(&cache->lock);
}

/* ---- life ---- */

static struct mlt_conductor_cache *make(const struct mlt_conductor_cache_options *options)
{
    struct mlt_conductor_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) {
        return NULL;
    }
    cache->options = *options;
    cache->columns = calloc((size_t)4 * options->levels_max, sizeof *cache->columns);
    if (cache->columns == NULL) {
        free(cache);
        return NULL;
    }
    cache->last = &cache->first;
    mlt_map_init(&cache->entries, MLT_CONDUCTOR_INSTRUMENTS_MAX);
    (void)pthread_mutex_init(&cache->lock, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&cache->work, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return cache;
}

enum mlt_status mlt_conductor_cache_create(const struct mlt_conductor_cache_options *options,
                                           struct mlt_conductor_cache **out, struct mlt_error *err)
{
    if (options->levels_max == 0 || options->levels_max > MLT_ORDERBOOK_LEVELS_MAX) {
        return mlt_error_set(err, MLT_E_INVALID, "snapshot cache: levels");
    }
    struct mlt_conductor_cache *cache = make(options);
    if (cache == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "snapshot cache");
    }
    const struct mlt_kv_writer_options writer = { .bucket = MLT_SNAPSHOTS_BUCKET,
                                                  .on_answer = mlt_cache_on_answer,
                                                  .ctx = cache,
                                                  .in_flight_max = PUTS_MAX,
                                                  .bytes_max = PUT_BYTES_MAX };
    enum mlt_status status =
        mlt_store_create(options->bus, options->provision_replicas, &cache->store, err);
    if (status == MLT_OK) {
        status = mlt_kv_writer_create(options->data, &writer, &cache->writer, err);
    }
    if (status == MLT_OK && pthread_create(&cache->thread, NULL, mlt_cache_mend, cache) != 0) {
        status = mlt_error_set(err, MLT_E_NOMEM, "no thread for the snapshot cache");
    }
    cache->thread_started = status == MLT_OK;
    if (status != MLT_OK) {
        mlt_conductor_cache_destroy(cache);
        return status;
    }
    *out = cache;
    return MLT_OK;
}

void mlt_conductor_cache_destroy(struct mlt_conductor_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&cache->lock);
    cache->stop = true;
    (void)pthread_cond_signal(&cache->work);
    (void)pthread_mutex_unlock(&cache->lock);
    if (cache->thread_started) {
        (void)pthread_join(cache->thread, NULL);
    }
    mlt_kv_writer_destroy(cache->writer); /* answers what is out */
    mlt_store_destroy(cache->store);
    size_t position = 0;
    const struct mlt_map_entry *at = NULL;
    while ((at = mlt_map_next(&cache->entries, &position)) != NULL) {
        struct entry *entry = at->value;
        if (entry->waiting) { /* its put was refused, and the thread ended before it was read */
            cache->options.on_outcome(cache->options.ctx, mlt_slice_of_string(entry->token),
                                      MLT_COMMIT_UNAVAILABLE);
        }
        mlt_buf_fini(&entry->record.bytes);
        mlt_buf_fini(&entry->checkpoint.bytes);
        free(entry);
    }
    mlt_map_fini(&cache->entries);
    (void)pthread_cond_destroy(&cache->work);
    (void)pthread_mutex_destroy(&cache->lock);
    free(cache->columns);
    free(cache);
}
