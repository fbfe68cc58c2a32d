/*
 * One process among the replicas of the Data Bus: it publishes, or stands by for the one that does.
 * To the others it is an owner of one thing, all of what is published (partition 0 of one), whose
 * own replica is number 0; who takes over when is in meltica/service/replicas.h.
 */
#include <stdlib.h>

#include "data_bus_internal.h"
#include "meltica/base/log.h"

/* ---- ports ---- */

static void on_owned(void *ctx, struct mlt_owners_beat *beat)
{
    struct replica *r = ctx;
    (void)pthread_mutex_lock(&r->lock);
    if (r->active != NULL && !atomic_load(&r->active->outbid)) {
        uint64_t epoch = 0;
        if (mlt_data_bus_phase(r->active, &epoch) != PHASE_ENDED) {
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
        mlt_data_bus_give_up(r->active, beat->epochs[0]);
    }
    (void)pthread_mutex_unlock(&r->lock);
}

static enum mlt_status begin(struct replica *r, bool taken_over, struct mlt_error *err)
{
    struct data_bus *d = NULL;
    const enum mlt_status status = mlt_data_bus_create(r, taken_over, &r->retired, &d, err);
    if (status == MLT_OK) {
        (void)pthread_mutex_lock(&r->lock);
        r->active = d;
        if (r->draining) {
            mlt_data_bus_drain(d);
        }
        (void)pthread_mutex_unlock(&r->lock);
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
        mlt_log(MLT_LOG_ERROR, "takeover_failed", "the Data Bus cannot be taken over",
                MLT_S("status", mlt_status_word(status)), MLT_S("reason", err.text));
    }
    return status == MLT_OK ? MLT_REPLICAS_TAKEN : MLT_REPLICAS_REFUSED;
}

static enum mlt_replicas_rest on_tidy(void *ctx, uint64_t *failed)
{
    struct replica *r = ctx;
    uint64_t epoch = 0;
    struct data_bus_totals totals;
    (void)pthread_mutex_lock(&r->lock);
    struct data_bus *d = r->active;
    if (d == NULL || mlt_data_bus_phase(d, &epoch) != PHASE_ENDED) {
        (void)pthread_mutex_unlock(&r->lock);
        return d == NULL ? MLT_REPLICAS_EMPTY : MLT_REPLICAS_BUSY;
    }
    r->active = NULL;
    (void)pthread_mutex_unlock(&r->lock);
    *failed = d->unclaimed ? 1 : 0;
    mlt_data_bus_destroy(d, &totals);
    r->retired = totals;
    return MLT_REPLICAS_ENDED;
}

/* ---- health ---- */

bool mlt_bus_replica_ready(void *state, const char **reason)
{
    struct replica *r = state;
    (void)pthread_mutex_lock(&r->lock);
    if (r->active != NULL) { /* else it stands by, and is well */
        struct mlt_table_reader_stats stats;
        uint64_t epoch = 0;
        mlt_table_reader_get_stats(r->active->reader, &stats);
        if (mlt_data_bus_phase(r->active, &epoch) == PHASE_CLAIMING) {
            *reason = "claiming";
        } else if (stats.reads == 0) {
            *reason = "no dispatch table yet";
        } else if (r->active->shared && !mlt_replicas_in_touch(r->replicas)) {
            *reason = "its own beats do not come back"; /* and nothing leaves */
        }
    }
    (void)pthread_mutex_unlock(&r->lock);
    return *reason == NULL;
}

/* ---- life ---- */

void mlt_bus_replica_drain(void *state)
{
    struct replica *r = state;
    (void)pthread_mutex_lock(&r->lock);
    r->draining = true;
    if (r->active != NULL) {
        mlt_data_bus_drain(r->active);
    }
    (void)pthread_mutex_unlock(&r->lock);
    mlt_replicas_drain(r->replicas);
}

void mlt_bus_replica_stop(void *state)
{
    struct replica *r = state;
    mlt_replicas_stop(r->replicas);
    mlt_data_bus_destroy(r->active, &r->retired);
    mlt_replicas_destroy(r->replicas); /* the data_bus says to it that it ends */
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

static enum mlt_status build(struct replica *r, struct mlt_error *err)
{
    const struct mlt_replicas_ports ports = {
        .owned = on_owned, .outbid = on_outbid, .take_over = on_take_over, .tidy = on_tidy, .ctx = r
    };
    const struct mlt_replicas_options options = { .name = MLT_DATA_BUS_SERVICE,
                                                  .metrics = "meltica_bus",
                                                  .partitions = 1 };
    enum mlt_status status = mlt_replicas_create(r->service, &options, &ports, &r->replicas, err);
    if (status == MLT_OK && mlt_replicas_home(r->replicas) != 0) {
        status = begin(r, false, err);
    }
    return status == MLT_OK ? mlt_replicas_start(r->replicas, err) : status;
}

enum mlt_status mlt_bus_replica_start(struct mlt_service *service, const void *config, void **state,
                                      struct mlt_error *err)
{
    struct replica *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "data bus");
    }
    r->service = service;
    r->config = config;
    (void)pthread_mutex_init(&r->lock, NULL);
    mlt_data_bus_make_metrics(&r->metrics, mlt_service_metrics(service), r->config->journal);
    const enum mlt_status status = build(r, err);
    if (status != MLT_OK) {
        mlt_bus_replica_stop(r);
        return status;
    }
    *state = r;
    return MLT_OK;
}
