#include "workers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "meltica/base/clock.h"

struct mlt_workers {
    struct mlt_workers_ports ports;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop;
    int64_t until_ns; /* where it stops: what is begun later is refused */
    size_t first, count, most;
    struct mlt_work *queue[MLT_WORKERS_QUEUE_MAX];
    size_t thread_count;
    pthread_t threads[MLT_WORKERS_THREADS];
};

static void *work(void *argument)
{
    struct mlt_workers *w = argument;
    (void)pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->stop && w->count == 0) {
            (void)pthread_cond_wait(&w->changed, &w->lock);
        }
        if (w->count == 0) {
            break;
        }
        struct mlt_work *next = w->queue[w->first];
        const int64_t now_ns = mlt_clock_mono_ns();
        const bool ends = w->stop && now_ns >= w->until_ns;
        const bool late = now_ns - next->put_ns > w->ports.patience_ns;
        w->first = (w->first + 1) % MLT_WORKERS_QUEUE_MAX;
        w->count--;
        (void)pthread_mutex_unlock(&w->lock);
        if (ends || late) {
            w->ports.refuse(w->ports.ctx, next, ends);
        } else {
            w->ports.run(w->ports.ctx, next);
        }
        free(next);
        (void)pthread_mutex_lock(&w->lock);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return NULL;
}

enum mlt_status mlt_workers_create(const struct mlt_workers_ports *ports,
                                   struct mlt_workers **workers, struct mlt_error *err)
{
    struct mlt_workers *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for workers");
    }
    w->ports = *ports;
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->changed, NULL);
    while (w->thread_count < MLT_WORKERS_THREADS) {
        if (pthread_create(&w->threads[w->thread_count], NULL, work, w) != 0) {
            mlt_workers_destroy(w, 0);
            return mlt_error_set(err, MLT_E_INTERNAL, "a worker's thread does not start");
        }
        w->thread_count++;
    }
    *workers = w;
    return MLT_OK;
}

void mlt_workers_destroy(struct mlt_workers *workers, int64_t until_ns)
{
    if (workers == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&workers->lock);
    workers->stop = true;
    workers->until_ns = until_ns;
    (void)pthread_cond_broadcast(&workers->changed);
    (void)pthread_mutex_unlock(&workers->lock);
    for (size_t i = 0; i < workers->thread_count; i++) {
        (void)pthread_join(workers->threads[i], NULL);
    }
    (void)pthread_cond_destroy(&workers->changed);
    (void)pthread_mutex_destroy(&workers->lock);
    free(workers);
}

void mlt_workers_waiting(struct mlt_workers *workers, size_t *now, size_t *most)
{
    (void)pthread_mutex_lock(&workers->lock);
    *now = workers->count;
    *most = workers->most;
    (void)pthread_mutex_unlock(&workers->lock);
}

enum mlt_status mlt_workers_put(struct mlt_workers *workers, enum mlt_verb verb,
                                const struct mlt_bus_message *message)
{
    const size_t reply_len = strlen(message->reply);
    const size_t subject_len = strlen(message->subject);
    if (reply_len > MLT_BUS_SUBJECT_BYTES_MAX || subject_len > MLT_BUS_SUBJECT_BYTES_MAX) {
        return MLT_E_TOO_BIG;
    }
    /* Anybody may send anything; what is too long is refused for its length, whatever it says. */
    const size_t len = message->payload.len <= MLT_CONTROL_REQUEST_BYTES_MAX
                           ? message->payload.len
                           : MLT_CONTROL_REQUEST_BYTES_MAX + 1;
    struct mlt_work *next = calloc(1, sizeof *next + len);
    if (next == NULL) {
        return MLT_E_NOMEM;
    }
    next->verb = verb;
    next->put_ns = mlt_clock_mono_ns();
    (void)mlt_traceparent_parse(message->traceparent, &next->caller);
    next->len = len;
    memcpy(next->reply, message->reply, reply_len + 1);
    memcpy(next->subject, message->subject, subject_len + 1);
    if (next->len > 0) {
        memcpy(next->request, message->payload.data, next->len);
    }
    (void)pthread_mutex_lock(&workers->lock);
    const bool room = workers->count < MLT_WORKERS_QUEUE_MAX;
    if (room) {
        workers->queue[(workers->first + workers->count++) % MLT_WORKERS_QUEUE_MAX] = next;
        workers->most = workers->count > workers->most ? workers->count : workers->most;
        (void)pthread_cond_signal(&workers->changed);
    }
    (void)pthread_mutex_unlock(&workers->lock);
    if (!room) {
        free(next);
        return MLT_E_FULL;
    }
    return MLT_OK;
}
