#include "log_end.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "meltica/base/clock.h"
#include "meltica/bus/stored.h"

#define LOOK_NS (5 * MLT_NS_PER_S)

struct mlt_log_end {
    struct mlt_store *store;
    pthread_t thread;

    pthread_mutex_t lock; /* what follows; never held while the store is asked */
    pthread_cond_t wake;  /* monotonic clock */
    bool started, stop;
    uint64_t sequence;
    uint64_t stored; /* highest of those acknowledged since the last look began; 0: none */
};

static uint64_t higher(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* What was acknowledged before the look is in its answer, or is of a log that is no more. */
static void look(struct mlt_log_end *end)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_stored_report report;
    (void)pthread_mutex_lock(&end->lock);
    end->stored = 0;
    (void)pthread_mutex_unlock(&end->lock);
    const enum mlt_status status =
        mlt_stored_inspect(end->store, MLT_STORED_CONTROL, 0, &report, &err);
    if (status != MLT_OK && status != MLT_E_NOT_FOUND) {
        return;
    }
    (void)pthread_mutex_lock(&end->lock);
    end->sequence = higher(status == MLT_OK ? report.last_sequence : 0, end->stored);
    (void)pthread_mutex_unlock(&end->lock);
}

static void *run(void *argument)
{
    struct mlt_log_end *end = argument;
    (void)pthread_mutex_lock(&end->lock);
    while (!end->stop) {
        (void)pthread_mutex_unlock(&end->lock);
        look(end);
        const int64_t next_ns = mlt_clock_mono_ns() + LOOK_NS;
        const struct timespec at = { .tv_sec = (time_t)(next_ns / MLT_NS_PER_S),
                                     .tv_nsec = (long)(next_ns % MLT_NS_PER_S) };
        (void)pthread_mutex_lock(&end->lock);
        while (!end->stop && pthread_cond_timedwait(&end->wake, &end->lock, &at) == 0) {
        }
    }
    (void)pthread_mutex_unlock(&end->lock);
    return NULL;
}

enum mlt_status mlt_log_end_create(struct mlt_store *store, struct mlt_log_end **out,
                                   struct mlt_error *err)
{
    struct mlt_log_end *end = calloc(1, sizeof *end);
    if (end == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the end of the log");
    }
    end->store = store;
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&end->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&end->lock, NULL);
    end->started = pthread_create(&end->thread, NULL, run, end) == 0;
    if (!end->started) {
        mlt_log_end_destroy(end);
        return mlt_error_set(err, MLT_E_INTERNAL,
                             "the thread for the end of the log does not "
                             "start");
    }
    *out = end;
    return MLT_OK;
}

void mlt_log_end_destroy(struct mlt_log_end *end)
{
    if (end == NULL) {
        return;
    }
    if (end->started) {
        (void)pthread_mutex_lock(&end->lock);
        end->stop = true;
        (void)pthread_cond_signal(&end->wake);
        (void)pthread_mutex_unlock(&end->lock);
        (void)pthread_join(end->thread, NULL);
    }
    (void)pthread_cond_destroy(&end->wake);
    (void)pthread_mutex_destroy(&end->lock);
    free(end);
}

void mlt_log_end_stored(struct mlt_log_end *end, uint64_t sequence)
{
    (void)pthread_mutex_lock(&end->lock);
    end->stored = higher(end->stored, sequence);
    end->sequence = higher(end->sequence, sequence);
    (void)pthread_mutex_unlock(&end->lock);
}

uint64_t mlt_log_end_get(struct mlt_log_end *end)
{
    (void)pthread_mutex_lock(&end->lock);
    const uint64_t sequence = end->sequence;
    (void)pthread_mutex_unlock(&end->lock);
    return sequence;
}
