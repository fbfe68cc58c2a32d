/* See lane_flow.h. */
#include "lane_flow.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define PUBLISH_SLICE_NS (200 * MLT_NS_PER_MS)
#define PAUSE_NS (20 * MLT_NS_PER_MS) /* where the bus says at once that it has no room */
#define LOOK_NS MLT_NS_PER_MS         /* between two looks at what waits, at least */

struct mlt_lane_flow {
    struct mlt_outbox *outbox;
    struct mlt_lane_gate gate;
    atomic_bool stopping, given_up;
    pthread_mutex_t lock;   /* held while events are published */
    pthread_cond_t changed; /* monotonic clock */
    struct mlt_lanes *lanes;
    int64_t due_ns; /* monotonic */
    bool ending;
    pthread_t thread;
    bool started;
    pthread_mutex_t seen_lock; /* never held while anything is waited for */
    struct mlt_lanes_counts seen;
};

static void wait_until(struct mlt_lane_flow *f, int64_t at_ns)
{
    const struct timespec until = { .tv_sec = (time_t)(at_ns / MLT_NS_PER_S),
                                    .tv_nsec = (long)(at_ns % MLT_NS_PER_S) };
    (void)pthread_cond_timedwait(&f->changed, &f->lock, &until);
}

/* Under the lock, which stays held: what comes later on a lane must not overtake this. */
static bool publish(void *ctx, const char *subject, struct mlt_slice event)
{
    struct mlt_lane_flow *f = ctx;
    for (;;) {
        const int64_t deadline = mlt_clock_mono_ns() + PUBLISH_SLICE_NS;
        const bool open = f->gate.open == NULL || f->gate.open(f->gate.ctx);
        if (atomic_load(&f->given_up)) { /* after the gate, which tells it first */
            return false;
        }
        const enum mlt_status status =
            open ? mlt_outbox_publish(f->outbox, subject, event, NULL, deadline) : MLT_E_AGAIN;
        if (mlt_status_class(status) != MLT_CLASS_RETRY || atomic_load(&f->stopping)) {
            return status == MLT_OK;
        }
        if (mlt_clock_mono_ns() < deadline) {
            const struct timespec pause = { .tv_nsec = PAUSE_NS };
            (void)nanosleep(&pause, NULL);
        }
    }
}

void mlt_lane_flow_set(struct mlt_lane_flow *f, const struct mlt_routing *routing)
{
    (void)pthread_mutex_lock(&f->lock);
    mlt_lanes_set(f->lanes, routing);
    (void)pthread_mutex_lock(&f->seen_lock); /* whose holder never waits for the other one */
    mlt_lanes_counts(f->lanes, &f->seen);    /* what is told later is of this table at least */
    (void)pthread_mutex_unlock(&f->seen_lock);
    (void)pthread_mutex_unlock(&f->lock);
}

void mlt_lane_flow_event(struct mlt_lane_flow *f, const struct mlt_event *event)
{
    (void)pthread_mutex_lock(&f->lock);
    mlt_lanes_event(f->lanes, event);
    const int64_t due_ns = mlt_lanes_due_ns(f->lanes);
    if (due_ns < f->due_ns) {
        f->due_ns = due_ns;
        (void)pthread_cond_signal(&f->changed);
    }
    (void)pthread_mutex_unlock(&f->lock);
}

static void *run(void *arg)
{
    struct mlt_lane_flow *f = arg;
    (void)pthread_mutex_lock(&f->lock);
    while (!f->ending) {
        if (f->due_ns == INT64_MAX) {
            (void)pthread_cond_wait(&f->changed, &f->lock);
            continue;
        }
        const int64_t soonest_ns = mlt_clock_mono_ns() + LOOK_NS;
        wait_until(f, f->due_ns > soonest_ns ? f->due_ns : soonest_ns);
        if (mlt_clock_mono_ns() >= f->due_ns) {
            mlt_lanes_flush(f->lanes, false);
            f->due_ns = mlt_lanes_due_ns(f->lanes);
        }
    }
    mlt_lanes_flush(f->lanes, true); /* the last state always leaves */
    (void)pthread_mutex_unlock(&f->lock);
    return NULL;
}

void mlt_lane_flow_stop(struct mlt_lane_flow *f)
{
    atomic_store(&f->stopping, true);
}

void mlt_lane_flow_give_up(struct mlt_lane_flow *f)
{
    atomic_store(&f->given_up, true);
}

void mlt_lane_flow_end(struct mlt_lane_flow *f)
{
    (void)pthread_mutex_lock(&f->lock);
    f->ending = true;
    (void)pthread_cond_signal(&f->changed);
    (void)pthread_mutex_unlock(&f->lock);
    if (f->started) {
        (void)pthread_join(f->thread, NULL);
        f->started = false;
    }
}

void mlt_lane_flow_counts(struct mlt_lane_flow *f, struct mlt_lanes_counts *out)
{
    (void)pthread_mutex_lock(&f->seen_lock);
    if (pthread_mutex_trylock(&f->lock) == 0) {
        mlt_lanes_counts(f->lanes, &f->seen);
        (void)pthread_mutex_unlock(&f->lock);
    }
    *out = f->seen;
    (void)pthread_mutex_unlock(&f->seen_lock);
}

enum mlt_status mlt_lane_flow_create(struct mlt_outbox *outbox, const struct mlt_lane_gate *gate,
                                     struct mlt_lane_flow **flow, struct mlt_error *err)
{
    struct mlt_lane_flow *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "private lanes");
    }
    f->outbox = outbox;
    f->due_ns = INT64_MAX;
    atomic_init(&f->stopping, false);
    atomic_init(&f->given_up, false);
    if (gate != NULL) {
        f->gate = *gate;
    }
    (void)pthread_mutex_init(&f->lock, NULL);
    (void)pthread_mutex_init(&f->seen_lock, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&f->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    const struct mlt_lanes_ports ports = { publish, f, mlt_clock_system() };
    enum mlt_status status = mlt_lanes_create(&ports, &f->lanes);
    if (status == MLT_OK && pthread_create(&f->thread, NULL, run, f) != 0) {
        status = MLT_E_NOMEM;
    }
    f->started = status == MLT_OK;
    if (status != MLT_OK) {
        mlt_lane_flow_destroy(f);
        return mlt_error_set(err, status, "private lanes");
    }
    *flow = f;
    return MLT_OK;
}

void mlt_lane_flow_destroy(struct mlt_lane_flow *f)
{
    if (f == NULL) {
        return;
    }
    mlt_lane_flow_end(f);
    mlt_lanes_destroy(f->lanes);
    (void)pthread_cond_destroy(&f->changed);
    (void)pthread_mutex_destroy(&f->lock);
    (void)pthread_mutex_destroy(&f->seen_lock);
    free(f);
}
