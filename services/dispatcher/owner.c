/* Ownership and life of a dispatcher. See internal.h for threads, replica.c for the process,
 * dispatcher.c for what it does. */
#include <stdlib.h>
#include <time.h>

#include "internal.h"
#include "meltica/base/hash.h"
#include "meltica/base/log.h"

#define CONNECT_SLICE_NS (200 * MLT_NS_PER_MS)
#define PAUSE_NS (20 * MLT_NS_PER_MS)
/* One that works without a claim tries again, and each time after twice as long. */
#define CLAIM_AGAIN_NS MLT_NS_PER_S
#define CLAIM_AGAIN_NS_MAX (16 * MLT_NS_PER_S)
#define EPOCH_UNCLAIMED                                                                            \
    1u /* as the others hear it; below all claims, which begin with the time                       \
        */

/* ---- who works ---- */

/* Nothing waits any more. */
static bool over(const struct dispatcher *d)
{
    return atomic_load(&d->stopping) || atomic_load(&d->outbid);
}

/* Whether we know that nobody else works. */
static bool ours(const struct dispatcher *d)
{
    return !atomic_load(&d->outbid) && (!d->shared || mlt_replicas_in_touch(d->replica->replicas));
}

bool dispatcher_may(void *ctx)
{
    const struct dispatcher *d = ctx;
    return !atomic_load(&d->stopping) && ours(d);
}

bool dispatcher_answers(void *ctx)
{
    return ours(ctx);
}

bool dispatcher_await_ours(struct dispatcher *d)
{
    while (!ours(d)) {
        if (over(d)) {
            return false;
        }
        const int64_t at = mlt_clock_mono_ns() + PAUSE_NS;
        const struct timespec until = { .tv_sec = (time_t)(at / MLT_NS_PER_S),
                                        .tv_nsec = (long)(at % MLT_NS_PER_S) };
        (void)pthread_mutex_lock(&d->life);
        if (!over(d)) {
            (void)pthread_cond_timedwait(&d->changed, &d->life, &until);
        }
        (void)pthread_mutex_unlock(&d->life);
    }
    return true;
}

enum dispatcher_phase dispatcher_phase(struct dispatcher *d, uint64_t *epoch)
{
    (void)pthread_mutex_lock(&d->life);
    const enum dispatcher_phase phase = d->phase;
    *epoch = d->epoch;
    (void)pthread_mutex_unlock(&d->life);
    return phase;
}

void dispatcher_give_up(struct dispatcher *d, uint64_t epoch)
{
    const bool news = !atomic_exchange(&d->outbid, true);
    (void)pthread_mutex_lock(&d->ends_lock);
    dispatcher_leave(d);
    (void)pthread_mutex_unlock(&d->ends_lock);
    (void)pthread_mutex_lock(&d->life);
    const uint64_t own = d->epoch;
    (void)pthread_cond_broadcast(&d->changed);
    (void)pthread_mutex_unlock(&d->life);
    if (news) {
        dispatcher_metrics_outbid(d->replica->metrics);
        mlt_log(MLT_LOG_WARN, "outbid", "another Dispatcher works from now on",
                MLT_U("epoch", epoch), MLT_U("own_epoch", own));
    }
}

/* ---- claims ---- */

static void on_outbid(void *ctx, uint32_t slot, uint64_t epoch)
{
    (void)slot; /* there is one */
    dispatcher_give_up(ctx, epoch);
}

/* Under life. */
static bool ending(const struct dispatcher *d)
{
    return d->draining || over(d);
}

static bool ends(struct dispatcher *d)
{
    (void)pthread_mutex_lock(&d->life);
    const bool end = ending(d);
    (void)pthread_mutex_unlock(&d->life);
    return end;
}

/* What was given up must not be claimed after that: whoever takes it over would be outbid by one
 * that is gone. */
static bool wanted(void *ctx)
{
    return !ends(ctx);
}

/* A second for each of its requests at most, and none begins once it ends. */
static enum mlt_status try_claim(struct dispatcher *d, uint64_t *epoch, struct mlt_error *err)
{
    uint64_t epochs[MLT_SLOT_COUNT] = { 0 };
    const struct mlt_claims_options options = {
        .service = MLT_DISPATCHER_SERVICE,
        .boot = d->boot,
        .slots = 1,
        .on_outbid = on_outbid,
        .wanted = wanted,
        .ctx = d,
    };
    const enum mlt_status status =
        mlt_replicas_claim(d->service, &options, &d->store, epochs, &d->claims, err);
    *epoch = status == MLT_OK ? epochs[0] : 0;
    if (status != MLT_OK && status != MLT_E_CLOSED) {
        dispatcher_metrics_unclaimed(d->replica->metrics);
    }
    return status;
}

/* *epoch 0: it cannot be had, and it works without. False: it ends, or may not work without. */
static bool claim(struct dispatcher *d, uint64_t *epoch)
{
    struct mlt_bus *control = mlt_service_control_bus(d->service);
    struct mlt_error err = MLT_ERROR_INIT;
    *epoch = 0;
    for (;;) {
        enum mlt_status status = MLT_E_AGAIN; /* of this turn: without a connection there is none */
        if (ends(d)) {
            return false;
        }
        if (mlt_bus_wait_connected(control, CONNECT_SLICE_NS) == MLT_OK) {
            status = try_claim(d, epoch, &err);
        }
        if (status == MLT_OK) {
            return true;
        }
        if (ends(d)) { /* for which reason it was not tried to the end */
            return false;
        }
        if (d->taken_over) { /* whoever has it may live, and would never learn of it */
            mlt_log(MLT_LOG_WARN, "takeover_failed",
                    "it cannot be claimed: all stays as it is until JetStream answers",
                    MLT_S("status", mlt_status_word(status)), MLT_S("reason", err.text));
            (void)pthread_mutex_lock(&d->life);
            d->unclaimed = true;
            (void)pthread_mutex_unlock(&d->life);
            return false;
        }
        if (mlt_bus_connected(control) && status != MLT_E_AGAIN) {
            mlt_log(MLT_LOG_WARN, "unclaimed",
                    "it cannot be claimed: it works as one that is alone, and nobody stands in, "
                    "until it can",
                    MLT_S("status", mlt_status_word(status)), MLT_S("reason", err.text));
            return true;
        }
    }
}

/* ---- the owner ---- */

static void set_phase(struct dispatcher *d, enum dispatcher_phase phase)
{
    (void)pthread_mutex_lock(&d->life);
    d->phase = phase;
    (void)pthread_mutex_unlock(&d->life);
    mlt_replicas_changed(d->replica->replicas);
}

/* Waits for so long; false: it ends. */
static bool await_time(struct dispatcher *d, int64_t for_ns)
{
    const int64_t at = mlt_clock_mono_ns() + for_ns;
    const struct timespec until = { .tv_sec = (time_t)(at / MLT_NS_PER_S),
                                    .tv_nsec = (long)(at % MLT_NS_PER_S) };
    (void)pthread_mutex_lock(&d->life);
    while (!ending(d) && pthread_cond_timedwait(&d->changed, &d->life, &until) == 0) {
    }
    const bool goes_on = !ending(d);
    (void)pthread_mutex_unlock(&d->life);
    return goes_on;
}

static void set_epoch(struct dispatcher *d, uint64_t epoch)
{
    (void)pthread_mutex_lock(&d->life);
    atomic_store(&d->hop_epoch, epoch);
    d->epoch = epoch != 0 ? epoch : EPOCH_UNCLAIMED;
    (void)pthread_mutex_unlock(&d->life);
}

/* One that works without a claim. Who is not in touch leaves it: somebody may have claimed. */
static void claim_again(struct dispatcher *d)
{
    struct mlt_error err = MLT_ERROR_INIT;
    uint64_t epoch = 0;
    if (!ours(d) || try_claim(d, &epoch, &err) != MLT_OK) {
        return; /* told when it began; counted */
    }
    if (ends(d)) { /* since it was written: it is given back or another one's, and not worked by */
        return;
    }
    set_epoch(d, epoch);
    dispatcher_claimed(d);
    mlt_log(MLT_LOG_INFO, "claimed", "it has its claim: another one stands in for it from now on",
            MLT_U("epoch", epoch));
    mlt_replicas_changed(d->replica->replicas);
}

/* Until it ends. */
static void work(struct dispatcher *d)
{
    struct mlt_error err = MLT_ERROR_INIT;
    int64_t pause_ns = CLAIM_AGAIN_NS;
    if (dispatcher_open(d, &err) != MLT_OK) {
        mlt_service_fail(d->service, "not_open", err.text);
    }
    while (d->shared && atomic_load(&d->hop_epoch) == 0 && await_time(d, pause_ns)) {
        claim_again(d);
        pause_ns = pause_ns < CLAIM_AGAIN_NS_MAX ? 2 * pause_ns : CLAIM_AGAIN_NS_MAX;
    }
    (void)pthread_mutex_lock(&d->life);
    while (!ending(d)) {
        (void)pthread_cond_wait(&d->changed, &d->life);
    }
    (void)pthread_mutex_unlock(&d->life);
}

static void *own(void *arg)
{
    struct dispatcher *d = arg;
    uint64_t epoch = 0;
    if (!d->shared || claim(d, &epoch)) {
        set_epoch(d, epoch);
        set_phase(d, PHASE_RUNNING);
        /* Without a claim nothing of it would show that another one works: that one is heard first.
         */
        if (d->shared && epoch == 0 ? await_time(d, MLT_OWNERS_SILENCE_NS) : !ends(d)) {
            work(d);
        }
    }
    dispatcher_close(d);
    if (atomic_load(&d->outbid)) {
        mlt_log(MLT_LOG_WARN, "standby", "another Dispatcher took over: standing by",
                MLT_S("instance", mlt_service_instance(d->service)));
    }
    set_phase(d, PHASE_ENDED);
    return NULL;
}

/* ---- life ---- */

void dispatcher_drain(struct dispatcher *d)
{
    (void)pthread_mutex_lock(&d->life);
    d->draining = true;
    (void)pthread_cond_broadcast(&d->changed);
    (void)pthread_mutex_unlock(&d->life);
}

void dispatcher_destroy(struct dispatcher *d)
{
    if (d == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&d->life);
    atomic_store(&d->stopping, true);
    (void)pthread_cond_broadcast(&d->changed);
    (void)pthread_mutex_unlock(&d->life);
    if (d->owner_started) {
        (void)pthread_join(d->owner, NULL);
    }
    mlt_claims_destroy(d->claims);
    mlt_store_destroy(d->store);
    dispatcher_end(d);
    dispatcher_destroy_core(d);
    (void)pthread_cond_destroy(&d->changed);
    (void)pthread_mutex_destroy(&d->life);
    (void)pthread_mutex_destroy(&d->ends_lock);
    (void)pthread_mutex_destroy(&d->lock);
    free(d);
}

enum mlt_status dispatcher_create(struct replica *replica, bool taken_over,
                                  struct dispatcher **dispatcher, struct mlt_error *err)
{
    struct dispatcher *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the Dispatcher");
    }
    d->replica = replica;
    d->service = replica->service;
    d->partitions = mlt_service_partitions(d->service);
    while (d->boot == 0) {
        d->boot = mlt_random64();
    }
    d->metrics_subscriptions = (size_t)replica->config->metrics_subscriptions;
    d->trace = mlt_service_trace(d->service);
    d->shared = mlt_service_replicas(d->service) > 1;
    d->taken_over = taken_over;
    (void)pthread_mutex_init(&d->life, NULL);
    (void)pthread_mutex_init(&d->lock, NULL);
    (void)pthread_mutex_init(&d->ends_lock, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&d->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    const enum mlt_status status = dispatcher_create_core(d, err);
    if (status != MLT_OK) {
        dispatcher_destroy(d);
        return status;
    }
    *dispatcher = d;
    return MLT_OK;
}

enum mlt_status dispatcher_begin(struct dispatcher *d, struct mlt_error *err)
{
    if (pthread_create(&d->owner, NULL, own, d) != 0) {
        return mlt_error_set(err, MLT_E_NOMEM, "no thread for the Dispatcher");
    }
    d->owner_started = true;
    return MLT_OK;
}
