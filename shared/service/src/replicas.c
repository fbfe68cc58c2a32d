/* See replicas.h. One lock, for owners and flags; nothing of the service's runs under it. Another
 * one for beats, around what is owned and its being said. */
#include "meltica/service/replicas.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "meltica/base/log.h"

#define LEAVE_NS (200 * MLT_NS_PER_MS)

struct mlt_replicas {
    struct mlt_service *service;
    struct mlt_replicas_ports ports;
    char subject[64];
    struct mlt_timer *timer;
    int64_t said_ns; /* the loop's: when the timer sent the last beat */
    struct mlt_bus_subscription *beats;
    pthread_t keeper;
    bool keeper_started;
    uint64_t later; /* the keeper's: told of, and still in the way of themselves */
    struct mlt_gauge *peers;
    struct mlt_counter *taken[MLT_OWNERS_REASONS];
    struct mlt_counter *unsent, *unreadable; /* beats */
    atomic_llong self_heard_ns; /* when what came back was sent, monotonic; 0: nothing yet */

    pthread_mutex_t saying; /* or what was owned before would be said last; before other locks */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* monotonic clock */
    struct mlt_owners owners;
    bool stopping, draining, left; /* left: the others were told */
};

/* ---- beats ---- */

static void owned_now(struct mlt_replicas *r, struct mlt_owners_beat *beat)
{
    *beat = (struct mlt_owners_beat){ .boot = mlt_service_boot(r->service),
                                      .replica = mlt_service_replica(r->service),
                                      .replicas = mlt_service_replicas(r->service) };
    r->ports.owned(r->ports.ctx, beat);
}

/* One that cannot be sent is one that is not heard: the next one follows. */
static void send_beat(struct mlt_replicas *r, bool leaving)
{
    struct mlt_owners_beat beat;
    uint8_t bytes[MLT_OWNERS_BEAT_BYTES_MAX];
    (void)pthread_mutex_lock(&r->saying);
    owned_now(r, &beat);
    beat.leaving = leaving;
    beat.sent_ns = mlt_clock_mono_ns();
    /* Alone it goes on whatever it hears: nobody is to take its place. */
    beat.deaf = beat.replicas > 1 && !mlt_replicas_in_touch(r);
    const size_t len = mlt_owners_encode(&beat, mlt_service_instance(r->service), bytes);
    const struct mlt_slice payload = mlt_slice_of(bytes, len);
    struct mlt_bus *bus = mlt_service_data_bus(r->service);
    const enum mlt_status status =
        leaving ? mlt_bus_publish_wait(bus, r->subject, payload, mlt_clock_mono_ns() + LEAVE_NS)
                : mlt_bus_publish(bus, r->subject, payload);
    (void)pthread_mutex_unlock(&r->saying);
    if (status != MLT_OK) {
        mlt_counter_add(r->unsent, 1);
    }
    if (status != MLT_OK && status != MLT_E_CLOSED && status != MLT_E_FULL) {
        mlt_log(MLT_LOG_ERROR, "beat_failed", "the other replicas do not hear of this one",
                MLT_S("status", mlt_status_word(status)));
    }
}

static void on_beat(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_replicas *r = ctx;
    struct mlt_owners_beat beat, own;
    if (mlt_owners_decode(message->payload, &beat) != MLT_OK) {
        mlt_counter_add(r->unreadable, 1);
        mlt_log(MLT_LOG_ERROR, "beat_unreadable",
                "somebody else speaks on this subject: let only this service publish there",
                MLT_S("subject", message->subject));
        return;
    }
    const int64_t now = mlt_clock_mono_ns();
    owned_now(r, &own);
    if (r->ports.heard != NULL && beat.boot != own.boot) {
        r->ports.heard(r->ports.ctx, &beat);
    }
    (void)pthread_mutex_lock(&r->lock);
    const bool outbid = mlt_owners_hear(&r->owners, &beat, own.epochs, now) != 0;
    (void)pthread_cond_broadcast(&r->changed);
    (void)pthread_mutex_unlock(&r->lock);
    if (outbid) {
        r->ports.outbid(r->ports.ctx, &beat);
    }
    /* After all that was said before it was acted upon; as of when it was sent, since we may have
     * slept while it waited for us. */
    if (beat.boot == own.boot && beat.sent_ns > atomic_load(&r->self_heard_ns)) {
        atomic_store(&r->self_heard_ns, beat.sent_ns);
    }
}

static void on_timer(void *ctx)
{
    struct mlt_replicas *r = ctx;
    (void)pthread_mutex_lock(&r->lock);
    const bool left = r->left;
    (void)pthread_mutex_unlock(&r->lock);
    if (!left) {
        /* Who may not hear beats may not send them either, as a rule, and each try is a line in
         * the server's log. */
        const int64_t now = mlt_clock_mono_ns();
        if (!mlt_bus_subscription_refused(r->beats) ||
            now - r->said_ns >= MLT_BUS_LISTEN_AGAIN_NS) {
            r->said_ns = now;
            send_beat(r, false);
        }
        mlt_timer_start(r->timer, MLT_OWNERS_BEAT_NS);
    }
}

void mlt_replicas_changed(struct mlt_replicas *replicas)
{
    (void)pthread_mutex_lock(&replicas->lock);
    const bool silent = replicas->left || replicas->stopping;
    (void)pthread_cond_broadcast(&replicas->changed);
    (void)pthread_mutex_unlock(&replicas->lock);
    if (!silent) {
        send_beat(replicas, false);
    }
}

enum mlt_status mlt_replicas_claim(struct mlt_service *service,
                                   const struct mlt_claims_options *options,
                                   struct mlt_store **store, uint64_t epochs[MLT_SLOT_COUNT],
                                   struct mlt_claims **claims, struct mlt_error *err)
{
    struct mlt_claims_options wanted = *options;
    enum mlt_status status = MLT_OK;
    wanted.instance = mlt_service_instance(service);
    if (*store == NULL) {
        status = mlt_store_create(mlt_service_control_bus(service),
                                  mlt_service_provision_replicas(service), store, err);
    }
    return status == MLT_OK ? mlt_claims_create(*store, &wanted, epochs, claims, err) : status;
}

int64_t mlt_replicas_self_heard_ns(const struct mlt_replicas *replicas)
{
    return atomic_load_explicit(&replicas->self_heard_ns, memory_order_acquire);
}

bool mlt_replicas_in_touch(const struct mlt_replicas *replicas)
{
    const int64_t heard = mlt_replicas_self_heard_ns(replicas);
    return heard != 0 && mlt_clock_mono_ns() - heard < MLT_OWNERS_DEAF_NS;
}

/* ---- the keeper ---- */

/* False: not before something of the service's ended. */
static bool take_over(struct mlt_replicas *r, uint64_t partitions, enum mlt_owners_reason reason)
{
    for (uint32_t p = 0; p < r->owners.partitions; p++) {
        if (((partitions & ~r->later) >> p & 1) != 0) {
            mlt_counter_add(r->taken[reason], 1);
            mlt_log(MLT_LOG_WARN, "takeover", "claiming a partition of another instance",
                    MLT_U("partition", p), MLT_S("reason", mlt_owners_reason_word(reason)));
        }
    }
    const enum mlt_replicas_taken taken = r->ports.take_over(r->ports.ctx, partitions);
    r->later = taken == MLT_REPLICAS_LATER ? partitions : 0;
    if (taken == MLT_REPLICAS_LATER) {
        return false;
    }
    if (taken == MLT_REPLICAS_REFUSED) {
        (void)pthread_mutex_lock(&r->lock);
        mlt_owners_failed(&r->owners, partitions, mlt_clock_mono_ns());
        (void)pthread_mutex_unlock(&r->lock);
    }
    send_beat(r, false);
    return true;
}

/* What is due that the service may claim now: what it may not is passed over, so that it does not
 * keep what is due for another reason from being taken. */
static uint64_t due(struct mlt_replicas *r, uint64_t held, enum mlt_owners_reason *reason)
{
    uint64_t unfit = 0, take = 0, fit = 0;
    do {
        unfit |= take & ~fit;
        (void)pthread_mutex_lock(&r->lock);
        *reason = r->draining
                      ? MLT_OWNERS_NOTHING
                      : mlt_owners_due(&r->owners, held | unfit, mlt_clock_mono_ns(), &take);
        take = *reason == MLT_OWNERS_NOTHING ? 0 : take;
        (void)pthread_mutex_unlock(&r->lock);
        fit = take != 0 && r->ports.fit != NULL ? r->ports.fit(r->ports.ctx, take) & take : take;
    } while (take != 0 && fit == 0);
    return fit;
}

/* What the service has of before; true: something of it ended. */
static bool tidy(struct mlt_replicas *r)
{
    uint64_t failed = 0;
    const enum mlt_replicas_rest rest = r->ports.tidy(r->ports.ctx, &failed);
    (void)pthread_mutex_lock(&r->lock);
    mlt_owners_failed(&r->owners, failed, mlt_clock_mono_ns());
    const bool leaves = rest == MLT_REPLICAS_EMPTY && r->draining && !r->left;
    r->left = r->left || leaves;
    (void)pthread_mutex_unlock(&r->lock);
    if (leaves) {
        send_beat(r, true);
        mlt_service_drained(r->service);
    }
    return rest == MLT_REPLICAS_ENDED;
}

/* Under the lock. */
static void wait_beat(struct mlt_replicas *r)
{
    const int64_t at = mlt_clock_mono_ns() + MLT_OWNERS_BEAT_NS;
    const struct timespec until = { .tv_sec = (time_t)(at / MLT_NS_PER_S),
                                    .tv_nsec = (long)(at % MLT_NS_PER_S) };
    (void)pthread_cond_timedwait(&r->changed, &r->lock, &until);
}

static void *keep(void *arg)
{
    struct mlt_replicas *r = arg;
    uint64_t held = 0;
    bool stopping = false, idle = false;
    while (!stopping) {
        struct mlt_owners_beat own;
        enum mlt_owners_reason reason = MLT_OWNERS_NOTHING;
        (void)pthread_mutex_lock(&r->lock);
        if (idle && !r->stopping) {
            wait_beat(r);
        }
        (void)pthread_mutex_unlock(&r->lock);
        owned_now(r, &own);
        (void)pthread_mutex_lock(&r->lock);
        mlt_owners_lost(&r->owners, held & ~own.partitions, mlt_clock_mono_ns());
        held = own.partitions;
        stopping = r->stopping;
        (void)pthread_mutex_unlock(&r->lock);
        const uint64_t take = due(r, held, &reason);
        r->later &= take; /* another one has the rest, or what it waited for is gone */
        if (!stopping) {
            const bool begun = take != 0 && take_over(r, take, reason);
            idle = !begun && !tidy(r);
        }
    }
    return NULL;
}

/* ---- life ---- */

void mlt_replicas_drain(struct mlt_replicas *replicas)
{
    (void)pthread_mutex_lock(&replicas->lock);
    replicas->draining = true;
    (void)pthread_cond_broadcast(&replicas->changed);
    (void)pthread_mutex_unlock(&replicas->lock);
}

uint64_t mlt_replicas_home(const struct mlt_replicas *replicas)
{
    return mlt_owners_home(&replicas->owners);
}

void mlt_replicas_collect(struct mlt_replicas *replicas)
{
    (void)pthread_mutex_lock(&replicas->lock);
    const size_t peers = mlt_owners_peers(&replicas->owners, mlt_clock_mono_ns());
    (void)pthread_mutex_unlock(&replicas->lock);
    mlt_gauge_set(replicas->peers, (int64_t)peers);
}

static void make_metrics(struct mlt_replicas *r, const char *prefix)
{
    struct mlt_metrics *m = mlt_service_metrics(r->service);
    char name[96], labels[64];
    (void)snprintf(name, sizeof name, "%s_peers", prefix);
    r->peers = mlt_metrics_gauge(m, name, "Other replicas that are heard", NULL);
    (void)snprintf(name, sizeof name, "%s_beats_unsent_total", prefix);
    r->unsent =
        mlt_metrics_counter(m, name, "Beats for which there was no room or connection", NULL);
    (void)snprintf(name, sizeof name, "%s_beats_unreadable_total", prefix);
    r->unreadable = mlt_metrics_counter(m, name, "What came as a beat and is none", NULL);
    (void)snprintf(name, sizeof name, "%s_takeovers_total", prefix);
    for (int n = MLT_OWNERS_NOTHING + 1; n < MLT_OWNERS_REASONS; n++) {
        (void)snprintf(labels, sizeof labels, "reason=\"%s\"",
                       mlt_owners_reason_word((enum mlt_owners_reason)n));
        r->taken[n] =
            mlt_metrics_counter(m, name, "Partitions claimed from others, by reason", labels);
    }
}

enum mlt_status mlt_replicas_create(struct mlt_service *service,
                                    const struct mlt_replicas_options *options,
                                    const struct mlt_replicas_ports *ports,
                                    struct mlt_replicas **replicas, struct mlt_error *err)
{
    struct mlt_replicas *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "replicas");
    }
    r->service = service;
    r->ports = *ports;
    atomic_init(&r->self_heard_ns, 0);
    (void)pthread_mutex_init(&r->saying, NULL);
    (void)pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&r->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)snprintf(r->subject, sizeof r->subject, "meltica.int.owners.%s", options->name);
    mlt_owners_init(&r->owners, options->partitions, mlt_service_replica(service),
                    mlt_service_replicas(service), mlt_service_boot(service), mlt_clock_mono_ns());
    make_metrics(r, options->metrics);
    /* The only one does its work without: nobody could stand in for it. */
    const struct mlt_bus_subscribe_options beats = { .subject = r->subject,
                                                     .optional =
                                                         mlt_service_replicas(service) <= 1 };
    enum mlt_status status = mlt_timer_create(mlt_service_loop(service), on_timer, r, &r->timer);
    if (status == MLT_OK) {
        status =
            mlt_bus_subscribe(mlt_service_control_bus(service), &beats, on_beat, r, &r->beats, err);
    } else {
        status = mlt_error_set(err, status, "no timer for beats");
    }
    if (status != MLT_OK) {
        mlt_replicas_destroy(r);
        return status;
    }
    *replicas = r;
    return MLT_OK;
}

enum mlt_status mlt_replicas_start(struct mlt_replicas *replicas, struct mlt_error *err)
{
    if (pthread_create(&replicas->keeper, NULL, keep, replicas) != 0) {
        return mlt_error_set(err, MLT_E_NOMEM, "no thread");
    }
    replicas->keeper_started = true;
    mlt_timer_start(replicas->timer, 0);
    return MLT_OK;
}

void mlt_replicas_stop(struct mlt_replicas *replicas)
{
    if (replicas == NULL) {
        return;
    }
    mlt_timer_destroy(replicas->timer);
    mlt_bus_unsubscribe(replicas->beats);
    replicas->timer = NULL;
    replicas->beats = NULL;
    (void)pthread_mutex_lock(&replicas->lock);
    replicas->stopping = true;
    (void)pthread_cond_broadcast(&replicas->changed);
    (void)pthread_mutex_unlock(&replicas->lock);
    if (replicas->keeper_started) {
        (void)pthread_join(replicas->keeper, NULL);
        replicas->keeper_started = false;
    }
}

void mlt_replicas_destroy(struct mlt_replicas *replicas)
{
    if (replicas == NULL) {
        return;
    }
    mlt_replicas_stop(replicas);
    (void)pthread_cond_destroy(&replicas->changed);
    (void)pthread_mutex_destroy(&replicas->lock);
    (void)pthread_mutex_destroy(&replicas->saying);
    free(replicas);
}
