/*
 * One process among those that share the partitions: what it owned from the start, and what it took
 * over. Who takes what when is in meltica/service/replicas.h; see conductor_internal.h for threads
 * and locks.
 */
#include <stdlib.h>

#include "conductor_internal.h"
#include "meltica/base/log.h"

/* HEADS and checkpoints of each slot once a second. All at once they would hold up the flow of all
 * instruments, and the commits behind them, for tens of milliseconds. */
#define SLOT_INTERVAL_NS (MLT_NS_PER_S / MLT_SLOT_COUNT)

static void on_slot_timer(void *ctx)
{
    struct replica *r = ctx;
    const uint64_t slots = UINT64_C(1) << r->slot_turn;
    r->slot_turn = (r->slot_turn + 1) % MLT_SLOT_COUNT;
    (void)pthread_mutex_lock(&r->lock);
    for (struct conductor *c = r->first; c != NULL; c = c->next) {
        mlt_conductor_turn(c, slots);
    }
    (void)pthread_mutex_unlock(&r->lock);
    mlt_timer_start(r->slot_timer, SLOT_INTERVAL_NS);
}

/* ---- ports ---- */

static void on_owned(void *ctx, struct mlt_owners_beat *beat)
{
    struct replica *r = ctx;
    (void)pthread_mutex_lock(&r->lock);
    for (struct conductor *c = r->first; c != NULL; c = c->next) {
        mlt_conductor_add_owned(c, beat);
    }
    (void)pthread_mutex_unlock(&r->lock);
}

static void on_outbid(void *ctx, const struct mlt_owners_beat *beat)
{
    struct replica *r = ctx;
    (void)pthread_mutex_lock(&r->lock);
    for (struct conductor *c = r->first; c != NULL; c = c->next) {
        mlt_conductor_outbid(c, beat);
    }
    (void)pthread_mutex_unlock(&r->lock);
}

static void link_conductor(struct replica *r, struct conductor *c)
{
    (void)pthread_mutex_lock(&r->lock);
    struct conductor **last = &r->first;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = c;
    if (r->draining) {
        mlt_conductor_drain(c);
    }
    (void)pthread_mutex_unlock(&r->lock);
}

static enum mlt_replicas_taken on_take_over(void *ctx, uint64_t partitions)
{
    struct replica *r = ctx;
    struct conductor *c = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const enum mlt_status status = mlt_conductor_create(r, partitions, true, &c, &err);
    if (status != MLT_OK) {
        mlt_log(MLT_LOG_ERROR, "takeover_failed", "partitions cannot be taken over",
                MLT_S("status", mlt_status_word(status)), MLT_S("reason", err.text));
        return MLT_REPLICAS_REFUSED;
    }
    link_conductor(r, c);
    return MLT_REPLICAS_TAKEN;
}

/* One that is over, out of the list; NULL: none is. Under the lock. */
static struct conductor *unlink_ended(struct replica *r)
{
    for (struct conductor **at = &r->first; *at != NULL; at = &(*at)->next) {
        struct conductor *c = *at;
        (void)pthread_mutex_lock(&c->lock);
        const bool ended = c->phase == PHASE_ENDED;
        (void)pthread_mutex_unlock(&c->lock);
        if (ended) {
            *at = c->next;
            return c;
        }
    }
    return NULL;
}

static enum mlt_replicas_rest on_tidy(void *ctx, uint64_t *failed)
{
    struct replica *r = ctx;
    struct conductor_totals totals = { 0 };
    (void)pthread_mutex_lock(&r->lock);
    struct conductor *ended = unlink_ended(r);
    const bool empty = r->first == NULL;
    if (ended != NULL) { /* no counter goes back while it ends */
        (void)pthread_mutex_lock(&ended->lock);
        mlt_conductor_totals_add(ended, &totals);
        (void)pthread_mutex_unlock(&ended->lock);
        mlt_conductor_totals_retire(&r->leaving, &totals);
        memset(&totals, 0, sizeof totals);
    }
    (void)pthread_mutex_unlock(&r->lock);
    if (ended == NULL) {
        return empty ? MLT_REPLICAS_EMPTY : MLT_REPLICAS_BUSY;
    }
    *failed = ended->unclaimed ? ended->mine : 0;
    mlt_conductor_destroy(ended, &totals);
    (void)pthread_mutex_lock(&r->lock);
    memset(&r->leaving, 0, sizeof r->leaving);
    mlt_conductor_totals_retire(&r->retired, &totals);
    (void)pthread_mutex_unlock(&r->lock);
    return MLT_REPLICAS_ENDED;
}

/* ---- seen from outside ---- */

bool mlt_replica_ready(void *state, const char **reason)
{
    struct replica *r = state;
    (void)pthread_mutex_lock(&r->lock);
    for (struct conductor *c = r->first; c != NULL && *reason == NULL; c = c->next) {
        *reason = mlt_conductor_trouble(c);
    }
    (void)pthread_mutex_unlock(&r->lock);
    return *reason == NULL;
}

/* Under the lock. */
static void sum(struct replica *r, struct conductor_totals *totals)
{
    *totals = r->retired;
    mlt_conductor_totals_retire(totals, &r->leaving);
    for (struct conductor *c = r->first; c != NULL; c = c->next) {
        (void)pthread_mutex_lock(&c->lock);
        mlt_conductor_totals_add(c, totals);
        (void)pthread_mutex_unlock(&c->lock);
    }
}

void mlt_replica_collect(void *state)
{
    struct replica *r = state;
    struct conductor_totals totals;
    (void)pthread_mutex_lock(&r->lock);
    sum(r, &totals);
    mlt_conductor_metrics_set(&r->metrics, &totals);
    (void)pthread_mutex_unlock(&r->lock);
    mlt_replicas_collect(r->replicas);
}

void mlt_replica_stats(void *state, struct mlt_buf *out)
{
    struct replica *r = state;
    struct conductor_totals totals;
    (void)pthread_mutex_lock(&r->lock);
    sum(r, &totals);
    (void)pthread_mutex_unlock(&r->lock);
    const struct mlt_conductor_counts *counts = &totals.counts;
    const enum mlt_status status =
        mlt_buf_printf(out,
                       "{\"in\":%llu,\"out\":%llu,\"duplicates\":%llu,\"late\":%llu,"
                       "\"lost_reports\":%llu,\"books\":%llu,\"books_live\":%llu,\"gaps\":%llu,"
                       "\"owned_partitions\":%llu}",
                       (unsigned long long)counts->in, (unsigned long long)counts->out,
                       (unsigned long long)counts->duplicates, (unsigned long long)counts->late,
                       (unsigned long long)counts->lost_reports, (unsigned long long)counts->books,
                       (unsigned long long)counts->states[MLT_BOOK_LIVE],
                       (unsigned long long)counts->gaps, (unsigned long long)totals.owned);
    if (status != MLT_OK) { /* then there are no figures this time */
        mlt_log(MLT_LOG_WARN, "stats_failed", "no room for the figures",
                MLT_S("status", mlt_status_word(status)));
    }
}

/* ---- life ---- */

void mlt_replica_drain(void *state)
{
    struct replica *r = state;
    (void)pthread_mutex_lock(&r->lock);
    r->draining = true;
    for (struct conductor *c = r->first; c != NULL; c = c->next) {
        mlt_conductor_drain(c);
    }
    (void)pthread_mutex_unlock(&r->lock);
    mlt_replicas_drain(r->replicas);
}

void mlt_replica_stop(void *state)
{
    struct replica *r = state;
    mlt_timer_destroy(r->slot_timer);
    mlt_replicas_stop(r->replicas);
    for (;;) { /* the others are walked meanwhile: they say what is owned as they end */
        (void)pthread_mutex_lock(&r->lock);
        struct conductor *c = r->first;
        r->first = c != NULL ? c->next : NULL;
        (void)pthread_mutex_unlock(&r->lock);
        if (c == NULL) {
            break;
        }
        mlt_conductor_destroy(c, &r->retired);
    }
    mlt_replicas_destroy(r->replicas); /* conductors say to it that they end */
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

static enum mlt_status build(struct replica *r, struct mlt_error *err)
{
    const struct mlt_replicas_ports ports = {
        .owned = on_owned, .outbid = on_outbid, .take_over = on_take_over, .tidy = on_tidy, .ctx = r
    };
    const struct mlt_replicas_options options = { .name = MLT_CONDUCTOR_SERVICE,
                                                  .metrics = "meltica_conductor",
                                                  .partitions =
                                                      mlt_service_partitions(r->service) };
    enum mlt_status status = mlt_replicas_create(r->service, &options, &ports, &r->replicas, err);
    if (status != MLT_OK) {
        return status;
    }
    status = mlt_timer_create(mlt_service_loop(r->service), on_slot_timer, r, &r->slot_timer);
    if (status != MLT_OK) {
        return mlt_error_set(err, status, "no timer");
    }
    const uint64_t home = mlt_replicas_home(r->replicas);
    if (home != 0) {
        struct conductor *c = NULL;
        status = mlt_conductor_create(r, home, false, &c, err);
        if (status != MLT_OK) {
            return status;
        }
        link_conductor(r, c);
    }
    return mlt_replicas_start(r->replicas, err);
}

enum mlt_status mlt_replica_start(struct mlt_service *service, const void *config, void **state,
                                  struct mlt_error *err)
{
    const struct conductor_config *cfg = config;
    struct replica *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "conductor");
    }
    r->service = service;
    r->data = mlt_service_data_bus(service);
    r->control = mlt_service_control_bus(service);
    r->config = *cfg;
    (void)pthread_mutex_init(&r->lock, NULL);
    mlt_conductor_metrics_init(&r->metrics, mlt_service_metrics(service));
    const enum mlt_status status = build(r, err);
    if (status != MLT_OK) {
        mlt_replica_stop(r);
        return status;
    }
    mlt_timer_start(r->slot_timer, SLOT_INTERVAL_NS);
    *state = r;
    return MLT_OK;
}
