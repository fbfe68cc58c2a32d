#include "reconcile.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/log.h"
#include "meltica/bus/stored.h"
#include "meltica/v1/internal.pb-c.h"

#define NEVER INT64_MAX
#define SUBJECT_PLAN "meltica.int.plan"
#define SUBJECT_PLAN_STATUS "meltica.int.plan.status"
#define STATUS_BYTES_MAX (256u << 10)

struct mlt_reconciler {
    struct mlt_bus *control;
    uint32_t partitions;
    uint32_t provision_replicas;
    struct mlt_reconciler_ports ports;
    struct mlt_bus_subscription *statuses;
    struct mlt_store *store;
    pthread_t thread;

    pthread_mutex_t lock; /* never held while a port or the bus is called */
    pthread_cond_t wake;
    bool stop, begun;
    bool settling;                                  /* until the listing is complete */
    int64_t plan_at_ns, settle_at_ns, stream_at_ns; /* monotonic; NEVER */
    uint64_t sent_revision;
    int64_t known_ns;   /* from then on it is known who is there */
    uint64_t told_away; /* thread: bit p, the log says that partition p is left out */
    struct mlt_adapters adapters;
    struct mlt_reconciler_stats stats;
};

static void lock(struct mlt_reconciler *r)
{
    (void)pthread_mutex_lock(&r->lock);
}

static void unlock(struct mlt_reconciler *r)
{
    (void)pthread_mutex_unlock(&r->lock);
}

/* With the lock: the plan is due at at_ns, unless it is due earlier. */
static void plan_due(struct mlt_reconciler *r, int64_t at_ns)
{
    if (at_ns < r->plan_at_ns) {
        r->plan_at_ns = at_ns;
        (void)pthread_cond_signal(&r->wake);
    }
}

void mlt_reconciler_begin(struct mlt_reconciler *reconciler)
{
    lock(reconciler);
    reconciler->begun = true;
    (void)pthread_cond_signal(&reconciler->wake);
    unlock(reconciler);
}

void mlt_reconciler_changed(struct mlt_reconciler *reconciler)
{
    lock(reconciler);
    plan_due(reconciler, mlt_clock_mono_ns() + MLT_RECONCILE_GATHER_NS);
    unlock(reconciler);
}

void mlt_reconciler_listing(struct mlt_reconciler *reconciler)
{
    lock(reconciler);
    if (reconciler->settling) {
        reconciler->settle_at_ns = mlt_clock_mono_ns() + MLT_RECONCILE_SETTLED_NS;
        (void)pthread_cond_signal(&reconciler->wake);
    }
    unlock(reconciler);
}

/* ---- what Adapters say ---- */

/* sending: it is the answer to a plan, which needs no further one. */
static void heard(struct mlt_reconciler *r, const Meltica__V1__PlanStatus *status, uint64_t current,
                  bool sending)
{
    struct mlt_adapter said = { .boot = status->boot,
                                .revision = status->revision,
                                .heard_ns = mlt_clock_mono_ns(),
                                .topics_pending = status->topics_pending,
                                .topics_live = status->topics_live,
                                .topics_failed = status->topics_failed,
                                .partitions = status->partitions };
    (void)snprintf(said.instance, sizeof said.instance, "%s", status->instance);
    lock(r);
    const bool fresh = mlt_adapters_heard(&r->adapters, &said);
    /* One that has another revision gets the plan; one that goes on saying so, no more often than
     * failed attempts are repeated. */
    if (!sending && said.revision != current && (fresh || r->plan_at_ns == NEVER)) {
        plan_due(r, said.heard_ns + MLT_RECONCILE_GATHER_NS);
    }
    unlock(r);
    if (fresh) {
        mlt_log(MLT_LOG_INFO, "adapter_seen", "an Adapter speaks that was not known",
                MLT_S("adapter", said.instance), MLT_U("revision", said.revision));
    }
}

/* Nobody's who answers: only the plan matters, of which it has to have every part before it speaks
 * for one. */
static void heard_standby(struct mlt_reconciler *r, const Meltica__V1__PlanStatus *status,
                          uint64_t current)
{
    lock(r);
    if (status->revision != current && r->plan_at_ns == NEVER) {
        plan_due(r, mlt_clock_mono_ns() + MLT_RECONCILE_GATHER_NS);
    }
    unlock(r);
}

static void on_status(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_reconciler *r = ctx;
    Meltica__V1__PlanStatus *status =
        message->payload.len > STATUS_BYTES_MAX
            ? NULL
            : meltica__v1__plan_status__unpack(NULL, message->payload.len, message->payload.data);
    if (status == NULL) {
        mlt_log(MLT_LOG_WARN, "plan_status_unreadable", "a PlanStatus cannot be read",
                MLT_U("bytes", message->payload.len));
        return;
    }
    const uint64_t current = r->ports.revision(r->ports.ctx);
    if (status->standby) {
        heard_standby(r, status, current);
    } else {
        heard(r, status, current, false);
        r->ports.heard(r->ports.ctx, message->payload);
    }
    meltica__v1__plan_status__free_unpacked(status, NULL);
}

/* ---- who is there ---- */

static uint64_t away(struct mlt_reconciler *r, bool silent)
{
    const int64_t now_ns = mlt_clock_mono_ns();
    lock(r);
    const uint64_t partitions =
        now_ns < r->known_ns ? 0 : mlt_adapters_away(&r->adapters, r->partitions, silent, now_ns);
    unlock(r);
    return partitions;
}

bool mlt_reconciler_away(struct mlt_reconciler *reconciler, uint32_t partition)
{
    return (away(reconciler, true) >> partition & 1) != 0;
}

void mlt_reconciler_silent(struct mlt_reconciler *reconciler, uint32_t partition, int64_t at_ns)
{
    lock(reconciler);
    mlt_adapters_silent(&reconciler->adapters, partition, at_ns);
    unlock(reconciler);
}

/* ---- the plan ---- */

/* One partition: OK when an Adapter has it, E_TIMEOUT when none answers. */
static enum mlt_status send_part(struct mlt_reconciler *r, uint32_t partition, uint64_t *revision,
                                 size_t *bytes)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf plan, answer;
    mlt_buf_init(&plan, MLT_BUS_PAYLOAD_BYTES_MAX);
    mlt_buf_init(&answer, STATUS_BYTES_MAX);
    enum mlt_status status = r->ports.plan(r->ports.ctx, partition, &plan, revision, &err);
    const int64_t at_ns = mlt_clock_mono_ns();
    if (status == MLT_OK) {
        status = mlt_bus_request(r->control, SUBJECT_PLAN, mlt_buf_view(&plan),
                                 MLT_RECONCILE_REQUEST_NS, &answer, &err);
    }
    if (status == MLT_E_TIMEOUT) {
        mlt_reconciler_silent(r, partition, at_ns);
    }
    if (status == MLT_OK) {
        Meltica__V1__PlanStatus *reply =
            meltica__v1__plan_status__unpack(NULL, answer.len, answer.data);
        if (reply == NULL || !reply->applied) {
            status = mlt_error_set(&err, MLT_E_PROTOCOL, "the Adapter refused the plan: %s",
                                   reply != NULL ? reply->reason : "its answer is unreadable");
        } else {
            heard(r, reply, *revision, true);
            r->ports.heard(r->ports.ctx, mlt_buf_view(&answer));
        }
        if (reply != NULL) {
            meltica__v1__plan_status__free_unpacked(reply, NULL);
        }
    }
    if (status != MLT_OK && status != MLT_E_UNAVAILABLE) {
        mlt_log(MLT_LOG_WARN, "plan_failed", err.text, MLT_U("partition", partition),
                MLT_U("revision", *revision), MLT_S("reason", mlt_status_word(status)));
    }
    *bytes = plan.len > *bytes ? plan.len : *bytes;
    mlt_buf_fini(&answer);
    mlt_buf_fini(&plan);
    return status;
}

/* Once for each change. */
static void say_away(struct mlt_reconciler *r, uint64_t left_out)
{
    if ((left_out & ~r->told_away) != 0) {
        mlt_log(MLT_LOG_WARN, "plan_parts_away",
                "no Adapter brings these partitions: their parts of the plan wait for one",
                MLT_U("partitions", left_out));
    } else if (left_out == 0 && r->told_away != 0) {
        mlt_log(MLT_LOG_INFO, "plan_parts_back", "every partition has its Adapter again",
                MLT_U("partitions", r->told_away));
    }
    r->told_away = left_out;
}

struct round {
    uint64_t left;            /* bit p: part p is still to be sent */
    uint64_t first, revision; /* of the first part, and of the last one */
    size_t bytes;
    bool all, any, stop; /* all parts are taken; some were sent */
};

/* Those that are left; with `silent` not those whose Adapter has just not answered. After one that
 * is refused all begins anew. */
static void send_parts(struct mlt_reconciler *r, bool silent, struct round *round)
{
    for (uint32_t p = 0; p < r->partitions && !round->stop; p++) {
        const uint64_t bit = UINT64_C(1) << p;
        if ((round->left & bit) == 0 || (away(r, silent) & bit) != 0) {
            continue;
        }
        if (r->ports.may != NULL && !r->ports.may(r->ports.ctx)) {
            round->stop = true; /* all of it later */
            round->all = false;
            continue;
        }
        round->left &= ~bit;
        const enum mlt_status status = send_part(r, p, &round->revision, &round->bytes);
        round->all = round->all && status == MLT_OK;
        round->first = round->any ? round->first : round->revision;
        round->any = true;
        lock(r);
        round->stop = r->stop || (status != MLT_OK && status != MLT_E_TIMEOUT);
        unlock(r);
    }
}

static void send_plan(struct mlt_reconciler *r)
{
    struct round round = { .left =
                               r->partitions < 64 ? (UINT64_C(1) << r->partitions) - 1 : UINT64_MAX,
                           .all = true };
    /* Each may be another Adapter's: one that does not answer takes a second for each part, and has
     * them after all others; one that is away is not waited for. */
    send_parts(r, true, &round);
    send_parts(r, false, &round);
    if (!round.stop) {
        say_away(r, round.left);
    }
    const uint64_t first = round.first, revision = round.revision;
    const size_t bytes = round.bytes;
    const bool all = round.all && round.left == 0;
    lock(r);
    r->stats.plans_sent += all;
    r->stats.plans_failed += !all;
    r->stats.plan_bytes = bytes;
    const bool news = all && r->sent_revision != first;
    if (!all) {
        plan_due(r, mlt_clock_mono_ns() + MLT_RECONCILE_RETRY_NS);
    } else if (first != revision) {
        plan_due(r, mlt_clock_mono_ns()); /* it changed meanwhile: the first parts are old */
    } else {
        r->sent_revision = revision;
    }
    unlock(r);
    if (news) {
        mlt_log(MLT_LOG_INFO, "plan_applied", "an Adapter took the plan", MLT_U("revision", first),
                MLT_U("largest_bytes", bytes));
    }
}

/* ---- stream of rejections ---- */

static void ensure_stream(struct mlt_reconciler *r)
{
    const char *name = mlt_stored[MLT_STORED_REJECTED].stream.name;
    struct mlt_error err = MLT_ERROR_INIT;
    enum mlt_status status = MLT_OK;
    if (r->store == NULL) {
        status = mlt_store_create(r->control, r->provision_replicas, &r->store, &err);
    }
    if (status == MLT_OK) {
        status = mlt_stored_ensure(r->store, MLT_STORED_REJECTED, &err);
    }
    if (status == MLT_OK) {
        mlt_log(MLT_LOG_INFO, "rejected_stream", "the stream of rejections is there",
                MLT_S("stream", name));
    } else {
        mlt_log(MLT_LOG_DEBUG, "rejected_stream_away", err.text, MLT_S("stream", name));
    }
    lock(r);
    r->stats.rejected_stream = status == MLT_OK;
    r->stream_at_ns =
        status == MLT_OK ? NEVER : mlt_clock_mono_ns() + MLT_RECONCILE_STREAM_RETRY_NS;
    unlock(r);
}

/* ---- thread ---- */

static void wait_until(struct mlt_reconciler *r, int64_t at_ns)
{
    if (at_ns == NEVER) {
        (void)pthread_cond_wait(&r->wake, &r->lock);
        return;
    }
    const struct timespec at = { .tv_sec = (time_t)(at_ns / MLT_NS_PER_S),
                                 .tv_nsec = (long)(at_ns % MLT_NS_PER_S) };
    (void)pthread_cond_timedwait(&r->wake, &r->lock, &at);
}

static int64_t earliest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void settle(struct mlt_reconciler *r)
{
    if (r->ports.settled(r->ports.ctx)) {
        mlt_log(MLT_LOG_INFO, "listing_complete", "patterns are expanded",
                MLT_U("revision", r->ports.revision(r->ports.ctx)));
    }
    lock(r);
    r->settling = false;
    r->settle_at_ns = NEVER;
    plan_due(r, mlt_clock_mono_ns());
    unlock(r);
}

static void *run(void *argument)
{
    struct mlt_reconciler *r = argument;
    lock(r);
    while (!r->stop) {
        const int64_t now_ns = mlt_clock_mono_ns();
        if (now_ns >= r->settle_at_ns) {
            unlock(r);
            settle(r);
            lock(r);
        } else if (r->begun && now_ns >= r->plan_at_ns) {
            r->plan_at_ns = NEVER;
            unlock(r);
            send_plan(r);
            lock(r);
        } else if (now_ns >= r->stream_at_ns && mlt_bus_connected(r->control)) {
            unlock(r);
            ensure_stream(r);
            lock(r);
        } else {
            /* A disconnected bus leaves the stream due: look again when the plan is tried again. */
            const int64_t stream_ns =
                now_ns >= r->stream_at_ns ? now_ns + MLT_RECONCILE_RETRY_NS : r->stream_at_ns;
            const int64_t plan_ns = r->begun ? r->plan_at_ns : NEVER;
            wait_until(r, earliest(earliest(plan_ns, r->settle_at_ns), stream_ns));
        }
    }
    unlock(r);
    return NULL;
}

static void free_all(struct mlt_reconciler *r)
{
    mlt_bus_unsubscribe(r->statuses);
    mlt_store_destroy(r->store);
    (void)pthread_cond_destroy(&r->wake);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

enum mlt_status mlt_reconciler_create(struct mlt_bus *control, uint32_t partitions,
                                      uint32_t provision_replicas,
                                      const struct mlt_reconciler_ports *ports,
                                      struct mlt_reconciler **reconciler, struct mlt_error *err)
{
    struct mlt_reconciler *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the reconciler");
    }
    r->control = control;
    r->partitions = partitions;
    r->provision_replicas = provision_replicas;
    r->ports = *ports;
    r->settling = true;
    r->settle_at_ns = NEVER;
    r->plan_at_ns = r->stream_at_ns = mlt_clock_mono_ns();
    r->known_ns = r->plan_at_ns + MLT_RECONCILE_KNOWN_NS;
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&r->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&r->lock, NULL);
    const struct mlt_bus_subscribe_options options = { .subject = SUBJECT_PLAN_STATUS };
    enum mlt_status status = mlt_bus_subscribe(control, &options, on_status, r, &r->statuses, err);
    if (status == MLT_OK && pthread_create(&r->thread, NULL, run, r) != 0) {
        status = mlt_error_set(err, MLT_E_INTERNAL, "the reconciler's thread does not start");
    }
    if (status != MLT_OK) {
        free_all(r);
        return status;
    }
    *reconciler = r;
    return MLT_OK;
}

void mlt_reconciler_destroy(struct mlt_reconciler *reconciler)
{
    if (reconciler == NULL) {
        return;
    }
    lock(reconciler);
    reconciler->stop = true;
    (void)pthread_cond_signal(&reconciler->wake);
    unlock(reconciler);
    (void)pthread_join(reconciler->thread, NULL);
    free_all(reconciler);
}

void mlt_reconciler_get_stats(struct mlt_reconciler *reconciler, struct mlt_reconciler_stats *out)
{
    lock(reconciler);
    *out = reconciler->stats;
    out->adapters = mlt_adapters_live(&reconciler->adapters, mlt_clock_mono_ns());
    unlock(reconciler);
}
