#include "pool.h"

#include <ctype.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/hash.h"
#include "meltica/base/log.h"
#include "meltica/bus/stored.h"

#define READ_AGAIN_NS (200 * MLT_NS_PER_MS) /* while the first call waits for it */
#define READ_SOON 15u                       /* so often; then once a second */

enum phase { IDLE, ASKED, ANSWERED };

struct mlt_pool {
    struct mlt_bus *control;
    uint32_t provision_replicas;
    char egress[MLT_EGRESS_BYTES_MAX + 1];
    struct mlt_loop *loop;
    void (*known)(void *ctx);
    void *ctx;
    struct mlt_bus_subscription *subscription;
    pthread_t thread;
    bool started;
    _Atomic int64_t blocked_until_ns, offset_ns; /* offset_ns: 0 until the first question */

    _Atomic uint64_t born; /* of the ledger that was asked last; 0: none yet */
    atomic_bool lost;      /* another one was heard since */
    atomic_bool read;      /* it was read once */

    pthread_mutex_t lock; /* never held while the store is asked */
    pthread_cond_t wake;
    enum phase phase;
    bool stop;
    struct mlt_pool_answer answer; /* want: since it was asked */

    /* Of the thread. */
    struct mlt_store *store; /* NULL: not made yet */
    bool bucket;
    unsigned reads;
    struct mlt_reserve reserve;
};

bool mlt_egress_valid(const char *egress)
{
    size_t len = 0;
    for (; egress[len] != '\0'; len++) {
        const unsigned char c = (unsigned char)egress[len];
        if (len == MLT_EGRESS_BYTES_MAX || (!isalnum(c) && c != '-' && c != '_')) {
            return false;
        }
    }
    return len > 0;
}

/* Any thread. The loop that is full looks each second. */
static void tell_loop(struct mlt_pool *pool)
{
    const enum mlt_status status = mlt_loop_post(pool->loop, pool->known, pool->ctx);
    if (status != MLT_OK) {
        mlt_log(MLT_LOG_DEBUG, "weight_not_posted", mlt_status_text(status),
                MLT_S("egress", pool->egress));
    }
}

/* Any thread. True: that is news. */
static bool learn_blocked(struct mlt_pool *pool, int64_t until_ns)
{
    if (!mlt_ledger_believable(until_ns, mlt_clock_wall_ns() + atomic_load(&pool->offset_ns))) {
        return false; /* nothing shorter would be learnt after it */
    }
    int64_t known = atomic_load(&pool->blocked_until_ns);
    while (until_ns > known) {
        if (atomic_compare_exchange_weak(&pool->blocked_until_ns, &known, until_ns)) {
            return true;
        }
    }
    return false;
}

/* ---- the store: thread of the pool ---- */

static enum mlt_status ensure(struct mlt_pool *pool, struct mlt_error *err)
{
    enum mlt_status status = MLT_OK;
    if (pool->store == NULL) {
        status = mlt_store_create(pool->control, pool->provision_replicas, &pool->store, err);
    }
    if (status == MLT_OK && !pool->bucket) {
        status = mlt_stored_ensure(pool->store, MLT_STORED_WEIGHT, err);
        pool->bucket = status == MLT_OK;
    }
    return status;
}

static enum mlt_status get(void *ctx, struct mlt_buf *value, uint64_t *revision,
                           struct mlt_error *err)
{
    struct mlt_pool *pool = ctx;
    const enum mlt_status status = ensure(pool, err);
    return status == MLT_OK
               ? mlt_kv_get(pool->store, MLT_WEIGHT_BUCKET, pool->egress, value, revision, err)
               : status;
}

static enum mlt_status update(void *ctx, struct mlt_slice value, uint64_t expected,
                              uint64_t *revision, struct mlt_error *err)
{
    struct mlt_pool *pool = ctx;
    enum mlt_status status = ensure(pool, err);
    if (status == MLT_OK) {
        status = mlt_kv_update(pool->store, MLT_WEIGHT_BUCKET, pool->egress, value, expected,
                               revision, err);
    }
    pool->bucket = status == MLT_OK || status == MLT_E_CONFLICT;
    return status;
}

/* For a refusal that is in it already: a start must not call into a ban. */
static void read_once(struct mlt_pool *pool)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_ledger ledger;
    struct mlt_buf value;
    uint64_t revision = 0;
    mlt_buf_init(&value, MLT_LEDGER_BYTES_MAX);
    pool->reads += pool->reads < READ_SOON;
    const enum mlt_status status = get(pool, &value, &revision, &err);
    if (status == MLT_OK && mlt_ledger_decode(mlt_buf_view(&value), &ledger) == MLT_OK) {
        (void)learn_blocked(pool, ledger.blocked_until_ns);
    }
    if (status == MLT_OK || status == MLT_E_NOT_FOUND) {
        atomic_store(&pool->read, true);
        tell_loop(pool);
    }
    mlt_buf_fini(&value);
}

/* With the lock: until it is woken, or the ledger should be read again. */
static void wait_for_question(struct mlt_pool *pool)
{
    if (atomic_load(&pool->read)) {
        (void)pthread_cond_wait(&pool->wake, &pool->lock);
        return;
    }
    const int64_t at_ns =
        mlt_clock_mono_ns() + (pool->reads < READ_SOON ? READ_AGAIN_NS : MLT_NS_PER_S);
    const struct timespec at = { .tv_sec = (time_t)(at_ns / MLT_NS_PER_S),
                                 .tv_nsec = (long)(at_ns % MLT_NS_PER_S) };
    (void)pthread_cond_timedwait(&pool->wake, &pool->lock, &at);
}

static void *run(void *argument)
{
    struct mlt_pool *pool = argument;
    (void)pthread_mutex_lock(&pool->lock);
    while (!pool->stop) {
        if (!atomic_load(&pool->read)) {
            (void)pthread_mutex_unlock(&pool->lock);
            read_once(pool);
            (void)pthread_mutex_lock(&pool->lock);
        }
        if (pool->phase != ASKED) {
            if (!pool->stop) {
                wait_for_question(pool);
            }
            continue;
        }
        struct mlt_pool_answer answer = { .want = pool->answer.want, .err = MLT_ERROR_INIT };
        const int64_t offset_ns = atomic_load(&pool->offset_ns);
        (void)pthread_mutex_unlock(&pool->lock);
        const bool lost = atomic_exchange(&pool->lost, false);
        if (lost) {
            pool->reserve.known = false; /* its revision may be that of the new one, too */
        }
        answer.status =
            mlt_reserve(&pool->reserve, &answer.want, offset_ns, &answer.result, &answer.err);
        atomic_store(&pool->born, pool->reserve.born);
        if (lost && answer.status != MLT_OK) {
            atomic_store(&pool->lost, true); /* still to be said */
        }
        (void)pthread_mutex_lock(&pool->lock);
        pool->answer = answer;
        pool->phase = ANSWERED;
        (void)learn_blocked(pool, answer.result.blocked_until_ns);
        tell_loop(pool);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* ---- what others write: thread of the subscription ---- */

/* Also what was refused by compare-and-set: that the exchange said no is true all the same. */
static void on_ledger(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_pool *pool = ctx;
    struct mlt_ledger ledger;
    if (mlt_ledger_decode(message->payload, &ledger) != MLT_OK) {
        return; /* the marker of a deletion, or of another release: the next reading judges it */
    }
    /* Also one that an Adapter wrote in vain, which did not know the new one yet: a question that
     * would not be needed. */
    const uint64_t born = atomic_load(&pool->born);
    const bool lost = born != 0 && ledger.born != born;
    if (lost) {
        atomic_store(&pool->lost, true);
    }
    if (learn_blocked(pool, ledger.blocked_until_ns) || lost) {
        tell_loop(pool);
    }
}

/* ---- the loop's side ---- */

bool mlt_pool_idle(struct mlt_pool *pool)
{
    (void)pthread_mutex_lock(&pool->lock);
    const bool idle = pool->phase == IDLE;
    (void)pthread_mutex_unlock(&pool->lock);
    return idle;
}

void mlt_pool_ask(struct mlt_pool *pool, const struct mlt_ledger_want *want, int64_t offset_ns)
{
    (void)pthread_mutex_lock(&pool->lock);
    pool->answer.want = *want;
    atomic_store(&pool->offset_ns, offset_ns);
    pool->phase = ASKED;
    (void)pthread_cond_signal(&pool->wake);
    (void)pthread_mutex_unlock(&pool->lock);
}

bool mlt_pool_lost(struct mlt_pool *pool)
{
    return atomic_load(&pool->lost);
}

bool mlt_pool_read(struct mlt_pool *pool)
{
    return atomic_load(&pool->read);
}

bool mlt_pool_take(struct mlt_pool *pool, struct mlt_pool_answer *answer)
{
    (void)pthread_mutex_lock(&pool->lock);
    const bool some = pool->phase == ANSWERED;
    if (some) {
        *answer = pool->answer;
        pool->phase = IDLE;
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return some;
}

int64_t mlt_pool_blocked_until_ns(struct mlt_pool *pool)
{
    return atomic_load(&pool->blocked_until_ns);
}

/* ---- life ---- */

void mlt_pool_destroy(struct mlt_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    mlt_bus_unsubscribe(pool->subscription);
    (void)pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    (void)pthread_cond_signal(&pool->wake);
    (void)pthread_mutex_unlock(&pool->lock);
    if (pool->started) {
        (void)pthread_join(pool->thread, NULL);
    }
    mlt_loop_unpost(pool->loop, pool->known, pool->ctx);
    mlt_store_destroy(pool->store);
    (void)pthread_cond_destroy(&pool->wake);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool);
}

enum mlt_status mlt_pool_create(const struct mlt_pool_options *options, struct mlt_pool **out,
                                struct mlt_error *err)
{
    char subject[sizeof "$KV." MLT_WEIGHT_BUCKET "." + MLT_EGRESS_BYTES_MAX];
    /* Without it each reading of the ledger tells what others write, only later. */
    const struct mlt_bus_subscribe_options ledger = { .subject = subject, .optional = true };
    struct mlt_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the shared weight");
    }
    const struct mlt_reserve_store store = { get, update, pool };
    pool->control = options->control;
    pool->provision_replicas = options->provision_replicas;
    pool->loop = options->loop;
    pool->known = options->known;
    pool->ctx = options->ctx;
    (void)snprintf(pool->egress, sizeof pool->egress, "%s", options->egress);
    (void)snprintf(subject, sizeof subject, "$KV." MLT_WEIGHT_BUCKET ".%s", pool->egress);
    mlt_reserve_init(&pool->reserve, &store, mlt_clock_system(), mlt_random64());
    (void)pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&pool->wake, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    pool->started = pthread_create(&pool->thread, NULL, run, pool) == 0;
    const enum mlt_status status =
        pool->started
            ? mlt_bus_subscribe(pool->control, &ledger, on_ledger, pool, &pool->subscription, err)
            : mlt_error_set(err, MLT_E_INTERNAL, "the thread for shared weight does not start");
    if (status != MLT_OK) {
        mlt_pool_destroy(pool);
        return status;
    }
    *out = pool;
    return MLT_OK;
}
