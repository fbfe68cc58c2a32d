/* What books and trades need of the service: a thread that wakes the core when something is due,
 * and one that asks the Dispatcher for snapshots and missing trades and may wait for its answer. */
#include <stdlib.h>
#include <time.h>

#include "conductor_internal.h"
#include "meltica/base/hash.h"
#include "meltica/base/log.h"
#include "meltica/bus/messages.h"
#include "meltica/v1/internal.pb-c.h"

#define RESYNC_SUBJECT "meltica.int.resync"
/* The Dispatcher waits a second for the Adapter. */
#define RESYNC_TIMEOUT_NS (2 * MLT_NS_PER_S)
#define RESYNC_BYTES_MAX 4096u
/* An accepted snapshot that is not here by then is asked for again. */
#define SNAPSHOT_TIMEOUT_NS (5 * MLT_NS_PER_S)
#define BACKOFF_BASE_NS (500 * MLT_NS_PER_MS)
#define BACKOFF_MAX_NS (30 * MLT_NS_PER_S)
/* A put is answered within 500 ms, by whatever. */
#define DRAIN_NS (700 * MLT_NS_PER_MS)
/* Most instruments say something within it; the others ask then. */
#define RESTORE_WAIT_NS MLT_NS_PER_S
/* The slower of the exchange's two streams of deltas sends once a second; 500 ms come on top. */
#define AHEAD_WAIT_NS MLT_NS_PER_S

/* A trade that is late may come by itself within it: another line, a repeat of the hop. */
#define TRADES_WAIT_NS (500 * MLT_NS_PER_MS)
/* The exchange's history is some seconds behind its streams, and the budget may be spent. */
#define TRADES_TIMEOUT_NS (10 * MLT_NS_PER_S)
#define TRADES_AGAIN_NS (5 * MLT_NS_PER_S)

#define TRADES MLT_SYNC_NEED_COUNT /* their list: behind all that books need */

/* ---- time ---- */

static void wait_until(pthread_cond_t *changed, pthread_mutex_t *lock, int64_t mono_ns)
{
    const struct timespec until = { .tv_sec = (time_t)(mono_ns / MLT_NS_PER_S),
                                    .tv_nsec = (long)(mono_ns % MLT_NS_PER_S) };
    (void)pthread_cond_timedwait(changed, lock, &until);
}

static void *run_ticker(void *arg)
{
    struct conductor *c = arg;
    (void)pthread_mutex_lock(&c->lock);
    while (!c->stopping) {
        /* Without a sender nothing can leave: before the first batch, and at the end. */
        if (c->sender != NULL) {
            mlt_conductor_core_room(c->core);
        }
        const int64_t due = c->sender != NULL ? mlt_conductor_core_due_ns(c->core) : INT64_MAX;
        c->books.armed_ns = due;
        if (due == INT64_MAX) {
            (void)pthread_cond_wait(&c->books.ticker_changed, &c->lock);
        } else if (mlt_clock_mono_ns() < due) {
            wait_until(&c->books.ticker_changed, &c->lock, due);
        } else {
            mlt_conductor_core_tick(c->core);
            mlt_conductor_settled(c);
        }
    }
    (void)pthread_mutex_unlock(&c->lock);
    return NULL;
}

void mlt_conductor_on_room(void *ctx)
{
    struct conductor *c = ctx;
    (void)pthread_mutex_lock(&c->lock);
    (void)pthread_cond_signal(&c->books.ticker_changed);
    (void)pthread_mutex_unlock(&c->lock);
}

void mlt_conductor_drain_books(struct conductor *c)
{
    const int64_t until = mlt_clock_mono_ns() + DRAIN_NS;
    (void)pthread_mutex_lock(&c->lock);
    while (c->sender != NULL && mlt_conductor_core_drain(c->core) > 0 && !c->stopping &&
           mlt_clock_mono_ns() < until) {
        wait_until(&c->books.settled, &c->lock, until);
    }
    mlt_conductor_cache_checkpoint(c, UINT64_MAX, true);
    (void)pthread_mutex_unlock(&c->lock);
}

void mlt_conductor_touched(struct conductor *c)
{
    if (mlt_conductor_core_due_ns(c->core) < c->books.armed_ns) {
        (void)pthread_cond_signal(&c->books.ticker_changed);
    }
    if (c->deferred_ns != 0) {
        mlt_conductor_settled(c);
    }
}

void mlt_conductor_settled(struct conductor *c)
{
    if (mlt_conductor_core_holding(c->core) > 0) {
        return;
    }
    (void)pthread_cond_broadcast(&c->books.settled);
    if (c->deferred_ns != 0) {
        c->deferred_ns = 0;
        mlt_hop_receiver_settled(c->receiver);
    }
}

/* Nothing waits longer than this for its commit: the ticker lets it go. */
static void await_settled(struct conductor *c)
{
    const int64_t until = mlt_clock_mono_ns() + MLT_CONDUCTOR_HOLD_NS;
    while (mlt_conductor_core_holding(c->core) > 0 && !c->stopping) {
        if (mlt_clock_mono_ns() >= until) {
            mlt_conductor_core_tick(c->core);
            break;
        }
        wait_until(&c->books.settled, &c->lock, until);
    }
    mlt_conductor_settled(c);
}

void mlt_conductor_settle(struct conductor *c)
{
    if (mlt_conductor_core_holding(c->core) == 0) {
        mlt_conductor_settled(c);
        return;
    }
    const int64_t now = mlt_clock_mono_ns();
    if (c->deferred_ns == 0 && c->receiver_open) {
        c->deferred_ns = now;
        mlt_hop_receiver_defer(c->receiver);
    }
    if (!c->receiver_open || now - c->deferred_ns >= MLT_CONDUCTOR_HOLD_NS) {
        await_settled(c);
    }
}

void mlt_conductor_settle_all(struct conductor *c)
{
    while (c->deferred_ns != 0 && !c->stopping) {
        await_settled(c);
    }
    c->deferred_ns = 0; /* cut short: it is not acknowledged, and the receiver is about to end */
}

void mlt_conductor_on_committed(void *ctx, struct mlt_slice instrument,
                                enum mlt_commit_outcome outcome)
{
    struct conductor *c = ctx;
    (void)pthread_mutex_lock(&c->lock);
    mlt_conductor_core_committed(c->core, instrument, outcome);
    mlt_conductor_touched(c);
    mlt_conductor_settled(c);
    if (c->draining) {
        (void)pthread_cond_broadcast(&c->books.settled);
    }
    (void)pthread_mutex_unlock(&c->lock);
}

/* ---- snapshots ---- */

/* One request for both: as the Adapter's queue has it, a book that is not LIVE waits for no deeper
 * snapshot than it asks for. */
static void join(const struct resync_entry *waiting, uint32_t *depth, enum mlt_sync_need *need)
{
    const bool urgent = *need <= MLT_SYNC_NEED_FIRST || waiting->need <= MLT_SYNC_NEED_FIRST;
    if (!urgent || *need == waiting->need) {
        *depth = *depth > waiting->depth ? *depth : waiting->depth;
    } else if (waiting->need < *need) {
        *depth = waiting->depth;
    }
    if (waiting->need < *need) {
        *need = waiting->need;
    }
}

void mlt_conductor_on_resync(void *ctx, struct mlt_slice instrument, uint32_t depth,
                             enum mlt_sync_need need)
{
    struct conductor *c = ctx;
    struct conductor_books *b = &c->books;
    struct resync_entry *entry = mlt_map_get(&b->queued, instrument);
    if (entry != NULL) {
        TAILQ_REMOVE(&b->lists[entry->need], entry, link);
        join(entry, &depth, &need);
    } else {
        entry = calloc(1, sizeof *entry);
        if (entry == NULL || mlt_map_put(&b->queued, instrument, entry) != MLT_OK) {
            free(entry);
            b->counts.unqueued++; /* the book asks again when no answer came */
            return;
        }
        memcpy(entry->token, instrument.data, instrument.len);
        entry->token_len = instrument.len;
    }
    entry->depth = depth;
    entry->need = need;
    TAILQ_INSERT_TAIL(&b->lists[need], entry, link);
    (void)pthread_cond_signal(&b->resyncer_changed);
}

void mlt_conductor_on_backfill(void *ctx, struct mlt_slice instrument, enum mlt_event_type type,
                               int64_t first, int64_t last)
{
    struct conductor *c = ctx;
    struct conductor_books *b = &c->books;
    struct resync_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        b->counts.unqueued++; /* asked for again when no answer came */
        return;
    }
    memcpy(entry->token, instrument.data, instrument.len);
    entry->token_len = instrument.len;
    entry->type = type;
    entry->first = first;
    entry->last = last;
    TAILQ_INSERT_TAIL(&b->lists[TRADES], entry, link);
    (void)pthread_cond_signal(&b->resyncer_changed);
}

/* The next to be asked for, out of the queue; NULL: none. Under the lock. */
static struct resync_entry *take_entry(struct conductor_books *b)
{
    size_t which = MLT_SYNC_NEED_RESYNC;
    while (which < TRADES && TAILQ_EMPTY(&b->lists[which])) {
        which++;
    }
    struct resync_entry *entry = TAILQ_FIRST(&b->lists[which]);
    if (entry != NULL) {
        TAILQ_REMOVE(&b->lists[which], entry, link);
        if (which != TRADES) {
            (void)mlt_map_remove(&b->queued, mlt_slice_of(entry->token, entry->token_len));
        }
    }
    return entry;
}

static Meltica__V1__Priority priority_of(enum mlt_sync_need need)
{
    switch (need) {
    case MLT_SYNC_NEED_RESYNC:
        return MELTICA__V1__PRIORITY__PRIORITY_RESYNC;
    case MLT_SYNC_NEED_FIRST:
        return MELTICA__V1__PRIORITY__PRIORITY_FIRST;
    case MLT_SYNC_NEED_AUDIT:
        return MELTICA__V1__PRIORITY__PRIORITY_AUDIT;
    case MLT_SYNC_NEED_DEPTH:
    case MLT_SYNC_NEED_COUNT:
    default:
        return MELTICA__V1__PRIORITY__PRIORITY_DEPTH;
    }
}

static enum mlt_status ask(struct conductor *c, const struct resync_entry *entry, bool *accepted,
                           struct mlt_error *err)
{
    char token[MLT_INSTRUMENT_BYTES_MAX + 1];
    uint8_t packed[MLT_INSTRUMENT_BYTES_MAX + 64];
    memcpy(token, entry->token, entry->token_len);
    token[entry->token_len] = '\0';
    Meltica__V1__ResyncRequest request;
    meltica__v1__resync_request__init(&request);
    request.instrument = token;
    request.depth = entry->depth;
    request.priority = entry->type == MLT_EVENT_NONE ? priority_of(entry->need)
                                                     : MELTICA__V1__PRIORITY__PRIORITY_DEPTH;
    request.type = (Meltica__V1__EventType)entry->type;
    request.first = entry->first;
    request.last = entry->last;
    const size_t bytes = meltica__v1__resync_request__pack(&request, packed);
    struct mlt_buf answer;
    mlt_buf_init(&answer, RESYNC_BYTES_MAX);
    enum mlt_status status = mlt_bus_request(
        c->control, RESYNC_SUBJECT, mlt_slice_of(packed, bytes), RESYNC_TIMEOUT_NS, &answer, err);
    if (status == MLT_OK) {
        struct mlt_taken taken;
        const bool read = mlt_resync_reply_read(mlt_buf_view(&answer), &taken) == MLT_OK;
        *accepted = read && taken.accepted;
        if (!*accepted) {
            (void)mlt_error_set(err, MLT_E_PROTOCOL, "%s",
                                read ? taken.reason : "unreadable answer");
        }
    }
    mlt_buf_fini(&answer);
    return status;
}

/* Under the lock. Instruments come and go by hundreds: only what is new is said. */
static void say(struct conductor *c, const char *outcome, const struct resync_entry *entry,
                const char *reason)
{
    if (c->books.last_outcome == outcome) {
        return;
    }
    c->books.last_outcome = outcome;
    mlt_log(strcmp(outcome, "accepted") == 0 ? MLT_LOG_INFO : MLT_LOG_WARN, "resync",
            "snapshots are asked for, and this is what becomes of it from now on",
            MLT_S("outcome", outcome),
            MLT_SL("instrument", mlt_slice_of(entry->token, entry->token_len)),
            MLT_S("reason", reason));
}

static void tell_trades(struct conductor *c, const struct resync_entry *entry,
                        enum mlt_trades_answer answer)
{
    mlt_conductor_core_backfill_answered(c->core, mlt_slice_of(entry->token, entry->token_len),
                                         entry->type, entry->first, answer);
}

/* Then the answer to the one before is no word of that one. */
static bool asked_anew(const struct conductor *c, const struct resync_entry *entry)
{
    return mlt_map_get(&c->books.queued, mlt_slice_of(entry->token, entry->token_len)) != NULL;
}

static void fail(struct conductor *c, const struct resync_entry *entry)
{
    if (entry->type != MLT_EVENT_NONE) {
        tell_trades(c, entry, MLT_TRADES_LATER);
    } else if (!asked_anew(c, entry)) {
        mlt_conductor_core_resync_failed(c->core, mlt_slice_of(entry->token, entry->token_len));
    }
}

static bool is_one_of(const char *word, const char *const *words, size_t count)
{
    for (size_t n = 0; n < count; n++) {
        if (strcmp(word, words[n]) == 0) {
            return true;
        }
    }
    return false;
}

/* Under the lock. Refused, in a word of services/dispatcher/README.md: will it be otherwise soon?
 */
static void refuse(struct conductor *c, const struct resync_entry *entry, const char *reason)
{
    /* Nobody wants it any more, or it is no more: that ends a book, too. Without a function to ask
     * by it goes on by what its stream brings. */
    static const char *const ended[] = { "not_subscribed", "unknown_instrument", "unknown_symbol" };
    static const char *const unasked[] = { "no_route", "unknown_function", "parse" };
    const bool trades = entry->type != MLT_EVENT_NONE;
    const bool over = is_one_of(reason, ended, 3);
    if (!over && !(trades && is_one_of(reason, unasked, 3))) {
        fail(c, entry);
    } else if (trades) {
        tell_trades(c, entry, MLT_TRADES_NO);
    } else if (!asked_anew(c, entry)) {
        mlt_conductor_core_resync_refused(c->core, mlt_slice_of(entry->token, entry->token_len));
    }
}

/* Under the lock. Nobody answers: who waits need not find that out one after the other. */
static void fail_all(struct conductor *c)
{
    struct resync_entry *entry = NULL;
    while ((entry = take_entry(&c->books)) != NULL) {
        c->books.counts.unanswered++;
        fail(c, entry);
        free(entry);
    }
}

static void *run_resyncer(void *arg)
{
    struct conductor *c = arg;
    struct conductor_books *b = &c->books;
    (void)pthread_mutex_lock(&c->lock);
    while (!c->stopping) {
        struct resync_entry *entry = take_entry(b);
        if (entry == NULL) {
            (void)pthread_cond_wait(&b->resyncer_changed, &c->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&c->lock);
        struct mlt_error err = MLT_ERROR_INIT;
        bool accepted = false;
        const enum mlt_status status = ask(c, entry, &accepted, &err);
        (void)pthread_mutex_lock(&c->lock);
        if (accepted) {
            b->counts.accepted++;
            say(c, "accepted", entry, "");
            if (entry->type != MLT_EVENT_NONE) {
                tell_trades(c, entry, MLT_TRADES_TAKEN);
            }
        } else if (status == MLT_OK || status == MLT_E_PROTOCOL) {
            b->counts.refused++;
            say(c, "refused", entry, err.text);
            refuse(c, entry, err.text);
        } else {
            b->counts.unanswered++;
            say(c, "unanswered", entry, err.text);
            fail(c, entry);
            fail_all(c);
        }
        free(entry);
        mlt_conductor_touched(c);
    }
    (void)pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* ---- life ---- */

enum mlt_status mlt_conductor_start_books(struct conductor *c, const struct conductor_config *cfg,
                                          struct mlt_error *err)
{
    struct conductor_books *b = &c->books;
    const struct mlt_conductor_books options = {
        .throttle_ns = cfg->throttle_ms * MLT_NS_PER_MS,
        .published_levels = (uint32_t)cfg->published_levels,
        .book_levels = (uint32_t)cfg->book_levels,
        .first_depth = (uint32_t)cfg->first_depth,
        .snapshot_depth = (uint32_t)cfg->snapshot_depth,
        .stale_after_ns = cfg->stale_after_ms * MLT_NS_PER_MS,
        .refresh_ns = cfg->refresh_ms * MLT_NS_PER_MS,
        .request_timeout_ns = SNAPSHOT_TIMEOUT_NS,
        .backoff_base_ns = BACKOFF_BASE_NS,
        .backoff_max_ns = BACKOFF_MAX_NS,
        .ahead_wait_ns = AHEAD_WAIT_NS,
        .restore_wait_ns = RESTORE_WAIT_NS,
        .seed = mlt_random64(),
    };
    const enum mlt_status status = mlt_conductor_core_books(c->core, &options);
    if (status != MLT_OK) {
        return mlt_error_set(err, status, "books");
    }
    const struct mlt_trades_options trades = { (uint32_t)cfg->backfill_max, TRADES_WAIT_NS,
                                               TRADES_TIMEOUT_NS, TRADES_AGAIN_NS };
    mlt_conductor_core_trades(c->core, &trades);
    b->armed_ns = INT64_MAX;
    b->ticker_started = pthread_create(&b->ticker, NULL, run_ticker, c) == 0;
    b->resyncer_started =
        b->ticker_started && pthread_create(&b->resyncer, NULL, run_resyncer, c) == 0;
    return b->resyncer_started ? MLT_OK : mlt_error_set(err, MLT_E_NOMEM, "no thread");
}

void mlt_conductor_init_books(struct conductor *c, const pthread_condattr_t *monotonic)
{
    struct conductor_books *b = &c->books;
    (void)pthread_cond_init(&b->ticker_changed, monotonic);
    (void)pthread_cond_init(&b->resyncer_changed, monotonic);
    (void)pthread_cond_init(&b->settled, monotonic);
    for (size_t i = 0; i < sizeof b->lists / sizeof b->lists[0]; i++) {
        TAILQ_INIT(&b->lists[i]);
    }
    mlt_map_init(&b->queued, MLT_CONDUCTOR_INSTRUMENTS_MAX);
}

void mlt_conductor_stop_books(struct conductor *c)
{
    struct conductor_books *b = &c->books;
    (void)pthread_mutex_lock(&c->lock);
    (void)pthread_cond_broadcast(&b->ticker_changed);
    (void)pthread_cond_broadcast(&b->resyncer_changed);
    (void)pthread_cond_broadcast(&b->settled);
    (void)pthread_mutex_unlock(&c->lock);
    if (b->ticker_started) {
        (void)pthread_join(b->ticker, NULL);
    }
    if (b->resyncer_started) {
        (void)pthread_join(b->resyncer, NULL);
    }
    struct resync_entry *entry = NULL;
    while ((entry = take_entry(b)) != NULL) {
        free(entry);
    }
    mlt_map_fini(&b->queued);
    (void)pthread_cond_destroy(&b->ticker_changed);
    (void)pthread_cond_destroy(&b->resyncer_changed);
    (void)pthread_cond_destroy(&b->settled);
}
