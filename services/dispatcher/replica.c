/*
 * One process among the replicas of the Dispatcher: it works, or stands by for the one that does.
 * To the others it is an owner of one thing, all that is dispatched (partition 0 of one), whose own
 * replica is number 0; who takes over when is in meltica/service/replicas.h.
 */
#include <stdlib.h>

#include "internal.h"
#include "meltica/base/log.h"

#define ANNOUNCE_NS MLT_NS_PER_S

/* ---- announcements: the loop's thread ---- */

static void announce(struct replica *r)
{
    (void)pthread_mutex_lock(&r->lock);
    if (r->active != NULL) {
        dispatcher_announce(r->active);
    }
    (void)pthread_mutex_unlock(&r->lock);
}

static void on_announce_time(void *ctx)
{
    struct replica *r = ctx;
    announce(r);
    mlt_timer_start(r->announce, ANNOUNCE_NS);
}

static void on_announce_posted(void *ctx)
{
    struct replica *r = ctx;
    atomic_store(&r->announce_posted, false);
    announce(r);
}

void dispatcher_replica_announce(struct replica *replica)
{
    if (!atomic_exchange(&replica->announce_posted, true) &&
        mlt_loop_post(mlt_service_loop(replica->service), on_announce_posted, replica) != MLT_OK) {
        atomic_store(&replica->announce_posted, false); /* the next second's says the same */
    }
}

/* ---- ports ---- */

static void on_owned(void *ctx, struct mlt_owners_beat *beat)
{
    struct replica *r = ctx;
    (void)pthread_mutex_lock(&r->lock);
    if (r->active != NULL && !atomic_load(&r->active->outbid)) {
        uint64_t epoch = 0;
        if (dispatcher_phase(r->active, &epoch) != PHASE_ENDED) {
            beat->partitions = 1;
            beat->epochs[0] = epoch;
        }
    }
    (void)pthread_mutex_unlock(&r->lock);
}

static void on_outbid(void *ctx, const struct mlt_owners_beat *beat)
{
    struct replica *r = ctx;
    (void)pthread_mutex_lock(&r->lock);
    if (r->active != NULL) {
        dispatcher_give_up(r->active, beat->epochs[0]);
    }
    (void)pthread_mutex_unlock(&r->lock);
}

/* It is `owned` before it can do anything. */
static enum mlt_status begin(struct replica *r, bool taken_over, struct mlt_error *err)
{
    struct dispatcher *d = NULL;
    enum mlt_status status = dispatcher_create(r, taken_over, &d, err);
    if (status != MLT_OK) {
        return status;
    }
    (void)pthread_mutex_lock(&r->lock);
    r->active = d;
    if (r->draining) {
        dispatcher_drain(d);
    }
    status = dispatcher_begin(d, err);
    if (status != MLT_OK) {
        r->active = NULL;
    }
    (void)pthread_mutex_unlock(&r->lock);
    if (status != MLT_OK) {
        dispatcher_destroy(d);
    }
    return status;
}

static enum mlt_replicas_taken on_take_over(void *ctx, uint64_t partitions)
{
    struct replica *r = ctx;
    struct mlt_error err = MLT_ERROR_INIT;
    (void)partitions;
    if (r->active != NULL) { /* it was outbid, and has not ended yet; only this thread frees it */
        return MLT_REPLICAS_LATER;
    }
    const enum mlt_status status = begin(r, true, &err);
    if (status != MLT_OK) {
        mlt_log(MLT_LOG_ERROR, "takeover_failed", "the Dispatcher cannot be taken over",
                MLT_S("status", mlt_status_word(status)), MLT_S("reason", err.text));
    }
    return status == MLT_OK ? MLT_REPLICAS_TAKEN : MLT_REPLICAS_REFUSED;
}

static enum mlt_replicas_rest on_tidy(void *ctx, uint64_t *failed)
{
    struct replica *r = ctx;
    uint64_t epoch = 0;
    (void)pthread_mutex_lock(&r->lock);
    struct dispatcher *d = r->active;
    if (d == NULL || dispatcher_phase(d, &epoch) != PHASE_ENDED) {
        (void)pthread_mutex_unlock(&r->lock);
        return d == NULL ? MLT_REPLICAS_EMPTY : MLT_REPLICAS_BUSY;
    }
    if (r->draining) { /* it owns nothing more; the rest of its end is no part of the drain */
        (void)pthread_mutex_unlock(&r->lock);
        return MLT_REPLICAS_EMPTY;
    }
    dispatcher_metrics_retire(d);
    r->active = NULL;
    (void)pthread_mutex_unlock(&r->lock);
    *failed = d->unclaimed ? 1 : 0;
    dispatcher_destroy(d);
    return MLT_REPLICAS_ENDED;
}

/* ---- health ---- */

bool dispatcher_replica_ready(void *state, const char **reason)
{
    struct replica *r = state;
    (void)pthread_mutex_lock(&r->lock);
    if (r->active != NULL) { /* else it stands by, and is well */
        uint64_t epoch = 0;
        const enum dispatcher_phase phase = dispatcher_phase(r->active, &epoch);
        struct mlt_control_stats stats = { 0 };
        (void)pthread_mutex_lock(&r->active->ends_lock);
        if (r->active->control != NULL) {
            mlt_control_get_stats(r->active->control, &stats);
        }
        (void)pthread_mutex_unlock(&r->active->ends_lock);
        if (phase == PHASE_CLAIMING) {
            *reason = "claiming";
        } else if (phase == PHASE_RUNNING && !stats.log_read) {
            *reason = "control log not read";
        } else if (phase == PHASE_RUNNING && r->active->shared &&
                   !mlt_replicas_in_touch(r->replicas)) {
            *reason = "its own beats do not come back"; /* and nothing leaves */
        }
    }
    (void)pthread_mutex_unlock(&r->lock);
    return *reason == NULL;
}

/* ---- life ---- */

void dispatcher_replica_drain(void *state)
{
    struct replica *r = state;
    (void)pthread_mutex_lock(&r->lock);
    r->draining = true;
    if (r->active != NULL) {
        dispatcher_drain(r->active);
    }
    (void)pthread_mutex_unlock(&r->lock);
    mlt_replicas_drain(r->replicas);
}

void dispatcher_replica_stop(void *state)
{
    struct replica *r = state;
    mlt_timer_destroy(r->announce);
    mlt_replicas_stop(r->replicas);
    dispatcher_destroy(r->active);
    mlt_loop_unpost(mlt_service_loop(r->service), on_announce_posted, r);
    mlt_replicas_destroy(r->replicas); /* the dispatcher says to it that it ends */
    mlt_rejector_destroy(r->rejector);
    dispatcher_metrics_destroy(r->metrics);
    mlt_table_destroy(r->table);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

static enum mlt_status build(struct replica *r, struct mlt_error *err)
{
    const struct mlt_reject_ports reject = { dispatcher_publish_rejection, r, mlt_clock_system() };
    const struct mlt_replicas_ports ports = {
        .owned = on_owned, .outbid = on_outbid, .take_over = on_take_over, .tidy = on_tidy, .ctx = r
    };
    const struct mlt_replicas_options options = { .name = MLT_DISPATCHER_SERVICE,
                                                  .metrics = "meltica_dispatcher",
                                                  .partitions = 1 };
    enum mlt_status status = mlt_table_load(r->config->table, &r->table, err);
    if (status != MLT_OK) {
        return status;
    }
    status = dispatcher_metrics_create(mlt_service_metrics(r->service), &r->metrics);
    if (status == MLT_OK) {
        status = mlt_rejector_create(&reject, &r->rejector);
    }
    if (status == MLT_OK) {
        status = mlt_timer_create(mlt_service_loop(r->service), on_announce_time, r, &r->announce);
    }
    if (status != MLT_OK) {
        return mlt_error_set(err, status, "the Dispatcher: %s", mlt_status_text(status));
    }
    status = mlt_replicas_create(r->service, &options, &ports, &r->replicas, err);
    if (status == MLT_OK && mlt_replicas_home(r->replicas) != 0) {
        status = begin(r, false, err);
    }
    if (status == MLT_OK) {
        status = mlt_replicas_start(r->replicas, err);
    }
    if (status == MLT_OK) {
        mlt_timer_start(r->announce, ANNOUNCE_NS);
    }
    return status;
}

enum mlt_status dispatcher_replica_start(struct mlt_service *service, const void *config,
                                         void **state, struct mlt_error *err)
{
    struct replica *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the Dispatcher");
    }
    r->service = service;
    r->config = config;
    (void)pthread_mutex_init(&r->lock, NULL);
    const enum mlt_status status = build(r, err);
    if (status != MLT_OK) {
        dispatcher_replica_stop(r);
        return status;
    }
    *state = r;
    return MLT_OK;
}
