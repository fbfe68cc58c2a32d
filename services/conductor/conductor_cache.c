/* The snapshot cache in the service: commits of the core go there, answers come back, and who was
 * fenced stands down. */
#include "cache.h"
#include "conductor_internal.h"
#include "meltica/base/clock.h"
#include "meltica/base/log.h"

/* An older book is not worth to be shown: it is made from the beginning. */
#define RESTORE_AGE_NS (3600 * MLT_NS_PER_S)

/* ---- ports; under the lock ---- */

bool mlt_conductor_on_commit(void *ctx, struct mlt_slice instrument, const struct mlt_event *book,
                             const struct mlt_orderbook *levels)
{
    struct conductor *c = ctx;
    if (c->cache == NULL) {
        return false;
    }
    struct mlt_head heads[MLT_STATUS_HEADS_MAX];
    const struct mlt_conductor_view view = {
        .book = book,
        .levels = levels,
        .state = book->u.book.state,
        .source_up = mlt_conductor_core_source_up(c->core, instrument),
        .heads = heads,
        .head_count = mlt_conductor_core_heads_of(c->core, instrument, heads),
    };
    return mlt_conductor_cache_commit(c->cache, instrument, &view);
}

struct asked {
    struct conductor *conductor;
    struct mlt_head heads[MLT_STATUS_HEADS_MAX];
};

static bool ask(void *ctx, struct mlt_slice instrument, struct mlt_conductor_view *view)
{
    struct asked *asked = ctx;
    const struct conductor *c = asked->conductor;
    view->levels = mlt_conductor_core_levels(c->core, instrument);
    view->state = mlt_conductor_core_state(c->core, instrument);
    view->heads = asked->heads;
    view->head_count = mlt_conductor_core_heads_of(c->core, instrument, asked->heads);
    return view->levels != NULL;
}

void mlt_conductor_cache_checkpoint(struct conductor *c, uint64_t slots, bool at_end)
{
    if (c->cache != NULL) {
        struct asked asked = { .conductor = c };
        mlt_conductor_cache_checkpoints(c->cache, slots, at_end, ask, &asked);
    }
}

void mlt_conductor_cache_metrics_set(const struct conductor_cache_metrics *m,
                                     const struct mlt_conductor_cache_counts *counts)
{
    mlt_gauge_set(m->available, counts->available ? 1 : 0);
    mlt_gauge_set(m->behind, (int64_t)counts->waiting);
    mlt_counter_set(m->written, counts->written);
    mlt_counter_set(m->conflicts, counts->conflicts);
    mlt_counter_set(m->timeouts, counts->timeouts);
    mlt_counter_set(m->unavailable, counts->unavailable);
    mlt_counter_set(m->checkpoints, counts->checkpoints);
    mlt_counter_set(m->repairs, counts->repairs);
    mlt_counter_set(m->fenced, counts->fenced);
    mlt_counter_set(m->away, counts->away);
    mlt_counter_set(m->rebuilt, counts->rebuilt);
    mlt_counter_set(m->unusable, counts->unusable);
}

/* ---- threads of the cache ---- */

static void on_fenced(void *ctx, struct mlt_slice instrument, uint64_t epoch)
{
    struct conductor *c = ctx;
    const uint32_t partition = mlt_instrument_slot(instrument) % c->partitions;
    (void)pthread_mutex_lock(&c->lock);
    if (c->epochs[partition] != 0 && epoch > c->epochs[partition]) {
        c->fence[partition] = epoch; /* the owner asks whose it is */
        (void)pthread_cond_broadcast(&c->changed);
    }
    (void)pthread_mutex_unlock(&c->lock);
}

static void on_back(void *ctx, bool rebuilt)
{
    struct conductor *c = ctx;
    (void)pthread_mutex_lock(&c->lock);
    if (c->sender != NULL) {
        mlt_conductor_core_cache_back(c->core, rebuilt);
        mlt_conductor_touched(c);
    }
    (void)pthread_mutex_unlock(&c->lock);
}

/* ---- the owner's thread ---- */

struct loading {
    struct conductor *conductor;
    uint64_t instruments, checkpoints, books;
    uint64_t *epochs;
};

static void on_loaded(void *ctx, const struct mlt_conductor_cached *cached)
{
    struct loading *loading = ctx;
    const uint32_t partition =
        mlt_instrument_slot(cached->instrument) % loading->conductor->partitions;
    loading->instruments++;
    loading->checkpoints += cached->checkpoint != NULL ? 1 : 0;
    if (cached->record->epoch > loading->epochs[partition]) {
        loading->epochs[partition] = cached->record->epoch;
    }
    if (cached->checkpoint == NULL ||
        mlt_clock_wall_ns() - cached->record->committed_ns > RESTORE_AGE_NS) {
        return;
    }
    struct conductor *c = loading->conductor;
    (void)pthread_mutex_lock(&c->lock);
    /* What cannot be taken over is made from the beginning. */
    if (mlt_conductor_core_restore(c->core, cached->book, cached->checkpoint,
                                   cached->record->source_up) == MLT_OK) {
        c->restored |= UINT64_C(1) << partition;
        loading->books++;
    }
    (void)pthread_mutex_unlock(&c->lock);
}

void mlt_conductor_load_cache(struct conductor *c, uint64_t epochs[MLT_CONDUCTOR_PARTITIONS_MAX])
{
    struct loading loading = { .conductor = c, .epochs = epochs };
    struct mlt_error err = MLT_ERROR_INIT;
    uint64_t slots = 0;
    for (uint32_t slot = 0; slot < MLT_SLOT_COUNT; slot++) {
        slots |= (c->mine >> (slot % c->partitions) & 1) << slot;
    }
    const enum mlt_status status =
        mlt_conductor_cache_load(c->cache, slots, on_loaded, &loading, &err);
    if (status == MLT_OK) {
        mlt_log(MLT_LOG_INFO, "cache_loaded", "records of the owner before were read",
                MLT_U("instruments", loading.instruments),
                MLT_U("checkpoints", loading.checkpoints), MLT_U("books", loading.books));
    } else {
        mlt_log(MLT_LOG_WARN, "cache_unread",
                "records of the owner before cannot be read: books are flagged until they can",
                MLT_S("status", mlt_status_word(status)), MLT_S("reason", err.text));
    }
}

/* ---- life ---- */

void mlt_conductor_cache_metrics_init(struct conductor_cache_metrics *to, struct mlt_metrics *m)
{
    static const char puts[] = "meltica_conductor_cache_puts_total";
    static const char puts_help[] = "Puts of records and checkpoints, by answer";
    to->available = mlt_metrics_gauge(m, "meltica_conductor_cache_available",
                                      "1: the snapshot cache takes records", NULL);
    to->behind = mlt_metrics_gauge(m, "meltica_conductor_cache_behind",
                                   "Records and checkpoints not yet written", NULL);
    to->written = mlt_metrics_counter(m, puts, puts_help, "answer=\"written\"");
    to->conflicts = mlt_metrics_counter(m, puts, puts_help, "answer=\"conflict\"");
    to->timeouts = mlt_metrics_counter(m, puts, puts_help, "answer=\"timeout\"");
    to->unavailable = mlt_metrics_counter(m, puts, puts_help, "answer=\"unavailable\"");
    to->checkpoints = mlt_metrics_counter(m, "meltica_conductor_cache_checkpoints_total",
                                          "Checkpoints made", NULL);
    to->repairs = mlt_metrics_counter(m, "meltica_conductor_cache_repairs_total",
                                      "Refused puts that were read and put again", NULL);
    to->fenced = mlt_metrics_counter(m, "meltica_conductor_cache_fenced_total",
                                     "Keys found written by a higher epoch", NULL);
    to->away = mlt_metrics_counter(m, "meltica_conductor_cache_away_total",
                                   "Times that the snapshot cache went away", NULL);
    to->rebuilt = mlt_metrics_counter(m, "meltica_conductor_cache_rebuilt_total",
                                      "Times that it was found empty and written again", NULL);
    to->unusable = mlt_metrics_counter(m, "meltica_conductor_cache_unusable_total",
                                       "Values that are none, or too big", NULL);
    to->put = mlt_metrics_histogram(m, "meltica_conductor_cache_put_duration_seconds",
                                    "From a put to its acknowledgement", NULL);
}

enum mlt_status mlt_conductor_start_cache(struct conductor *c, const struct conductor_config *cfg,
                                          struct mlt_error *err)
{
    const struct mlt_conductor_cache_options options = {
        .bus = c->control,
        .data = c->data,
        .provision_replicas = mlt_service_provision_replicas(c->service),
        .levels_max = (uint32_t)cfg->book_levels,
        .throttle_ms = (uint32_t)cfg->throttle_ms,
        .refresh_ns = cfg->refresh_ms * MLT_NS_PER_MS,
        .put_duration = c->metrics->cache.put,
        .on_outcome = mlt_conductor_on_committed,
        .on_fenced = on_fenced,
        .on_back = on_back,
        .ctx = c,
    };
    return mlt_conductor_cache_create(&options, &c->cache, err);
}

void mlt_conductor_stop_cache(struct conductor *c)
{
    (void)pthread_mutex_lock(&c->lock);
    struct mlt_conductor_cache *cache = c->cache;
    c->cache = NULL; /* nothing is committed any more */
    if (cache != NULL) {
        mlt_conductor_cache_get_counts(cache, &c->cache_counts);
    }
    (void)pthread_mutex_unlock(&c->lock);
    mlt_conductor_cache_destroy(cache);
}
