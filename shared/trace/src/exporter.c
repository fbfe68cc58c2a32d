/* The queue and its thread. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "internal.h"
#include "meltica/base/clock.h"
#include "meltica/base/hash.h"
#include "meltica/base/log.h"
#include "meltica/rt/backoff.h"

#define RETRY_BASE_NS MLT_NS_PER_S
#define RETRY_MAX_NS (5 * MLT_NS_PER_S)
#define RETRY_FLOOR_NS (10 * MLT_NS_PER_MS)

struct trace_metrics {
    struct mlt_counter *exported, *queue_full, *rejected, *refused, *gave_up, *requests, *retries;
    struct mlt_gauge *queued;
};

struct mlt_trace {
    struct mlt_sampler sampler;
    int64_t timeout_ns, patience_ns, gather_ns;
    size_t queue_max, batch_max;
    bool measured;
    struct trace_metrics metrics;
    pthread_t thread;
    bool started;

    /* Of the thread. */
    struct trace_encoder *encoder;
    struct trace_poster *poster;
    struct mlt_backoff backoff;
    struct mlt_span *batch;
    bool failing; /* said in the log */

    atomic_llong end_at_ns; /* monotonic; INT64_MAX while the service runs */
    pthread_mutex_t lock;   /* what follows; held for a copy of one span */
    pthread_cond_t wake;    /* monotonic clock */
    bool stop;
    size_t first, count;
    struct mlt_span *queue;
    struct mlt_trace_stats stats;
};

static void lock(struct mlt_trace *t)
{
    (void)pthread_mutex_lock(&t->lock);
}

static void unlock(struct mlt_trace *t)
{
    (void)pthread_mutex_unlock(&t->lock);
}

const struct mlt_sampler *trace_sampler(const struct mlt_trace *trace)
{
    return &trace->sampler;
}

void mlt_trace_record(struct mlt_trace *trace, const struct mlt_span *span)
{
    if (trace == NULL) {
        return;
    }
    lock(trace);
    trace->stats.recorded++;
    if (trace->count == trace->queue_max || trace->stop) {
        trace->stats.queue_full++;
    } else {
        trace->queue[(trace->first + trace->count++) % trace->queue_max] = *span;
        if (trace->count == trace->batch_max) {
            (void)pthread_cond_signal(&trace->wake);
        }
    }
    unlock(trace);
}

/* With the lock. */
static void wait_until(struct mlt_trace *t, int64_t at_ns)
{
    const struct timespec at = { .tv_sec = (time_t)(at_ns / MLT_NS_PER_S),
                                 .tv_nsec = (long)(at_ns % MLT_NS_PER_S) };
    (void)pthread_cond_timedwait(&t->wake, &t->lock, &at);
}

/* Up to batch_max spans, once there are as many or the oldest has waited long enough. One at a
 * time, so that whoever records never waits for more than one copy. 0: it is over. */
static size_t take_batch(struct mlt_trace *t)
{
    size_t taken = 0;
    lock(t);
    while (t->count == 0 && !t->stop) {
        wait_until(t, mlt_clock_mono_ns() + t->gather_ns);
    }
    const int64_t due_ns = mlt_clock_mono_ns() + t->gather_ns;
    while (t->count < t->batch_max && !t->stop && mlt_clock_mono_ns() < due_ns) {
        wait_until(t, due_ns);
    }
    while (t->count > 0 && taken < t->batch_max) {
        t->batch[taken++] = t->queue[t->first];
        t->first = (t->first + 1) % t->queue_max;
        t->count--;
        unlock(t);
        lock(t);
    }
    unlock(t);
    return taken;
}

static bool ends(void *ctx)
{
    const struct mlt_trace *t = ctx;
    return mlt_clock_mono_ns() >= atomic_load(&t->end_at_ns);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* False: the end comes first. */
static bool wait_to_retry(struct mlt_trace *t, int64_t wait_ns, int64_t deadline_ns)
{
    const int64_t at_ns = mlt_clock_mono_ns() + wait_ns;
    lock(t);
    while (mlt_clock_mono_ns() < at_ns &&
           at_ns < earlier(deadline_ns, atomic_load(&t->end_at_ns))) {
        wait_until(t, at_ns);
    }
    unlock(t);
    return mlt_clock_mono_ns() >= at_ns;
}

static void say_failing(struct mlt_trace *t, const struct trace_post_result *result)
{
    if (!t->failing) {
        t->failing = true;
        mlt_log(MLT_LOG_WARN, "traces_not_sent", result->text, MLT_I("code", result->code));
    }
}

static void say_taken(struct mlt_trace *t)
{
    if (t->failing) {
        t->failing = false;
        mlt_log(MLT_LOG_INFO, "traces_sent_again", "the collector takes spans",
                MLT_B("failing", false));
    }
}

/* A batch that was taken, perhaps in part; in no case is it sent again. */
static void count_taken(struct mlt_trace *t, const struct trace_post_result *result, size_t count)
{
    uint64_t rejected = 0;
    char text[200] = "";
    if (result->too_long || !trace_decode_answer(result->body, &rejected, text, sizeof text)) {
        mlt_log(MLT_LOG_WARN, "traces_answer_unreadable",
                "the collector's answer is none of OTLP: see that the endpoint is one",
                MLT_U("bytes", result->body.len));
    }
    rejected = rejected < count ? rejected : count;
    if (text[0] != '\0') {
        mlt_log(MLT_LOG_WARN, "traces_rejected", text, MLT_U("spans", rejected));
    }
    lock(t);
    t->stats.rejected += rejected;
    t->stats.exported += count - rejected;
    unlock(t);
}

/* One batch to its end. */
static void send_batch(struct mlt_trace *t, size_t count)
{
    const int64_t deadline_ns = mlt_clock_mono_ns() + t->patience_ns;
    struct trace_post_result result = { .outcome = TRACE_POST_REFUSED, .text = "no memory" };
    struct mlt_slice payload;
    bool again = trace_encode(t->encoder, t->batch, count, &payload) == MLT_OK;
    mlt_backoff_reset(&t->backoff);
    while (again) {
        const int64_t until_ns = earlier(deadline_ns, atomic_load(&t->end_at_ns));
        trace_post(t->poster, payload, earlier(t->timeout_ns, until_ns - mlt_clock_mono_ns()),
                   &result);
        again = false;
        lock(t);
        t->stats.requests++;
        unlock(t);
        if (result.outcome == TRACE_POST_AGAIN) {
            const int64_t wait_ns = mlt_backoff_next_ns(&t->backoff);
            say_failing(t, &result);
            again = wait_to_retry(t, result.retry_after_ns > 0 ? result.retry_after_ns : wait_ns,
                                  deadline_ns);
        }
        lock(t);
        t->stats.retries += again;
        unlock(t);
    }
    if (result.outcome == TRACE_POST_TAKEN) {
        say_taken(t);
        count_taken(t, &result, count);
        return;
    }
    say_failing(t, &result);
    lock(t);
    if (result.outcome == TRACE_POST_REFUSED) {
        t->stats.refused += count;
    } else {
        t->stats.gave_up += count;
    }
    unlock(t);
}

static void *run(void *argument)
{
    struct mlt_trace *t = argument;
    size_t count = 0;
    while (!ends(t) && (count = take_batch(t)) > 0) {
        send_batch(t, count);
    }
    lock(t);
    t->stats.gave_up += t->count;
    t->count = 0;
    unlock(t);
    return NULL;
}

/* ---- figures ---- */

static void make_metrics(struct mlt_trace *t, struct mlt_metrics *m)
{
    static const char dropped[] = "meltica_trace_spans_dropped_total";
    static const char why[] = "Spans that no collector has, by reason";
    struct trace_metrics *to = &t->metrics;
    t->measured = true;
    to->exported = mlt_metrics_counter(m, "meltica_trace_spans_exported_total",
                                       "Spans that the collector took", NULL);
    to->queue_full = mlt_metrics_counter(m, dropped, why, "reason=\"queue_full\"");
    to->rejected = mlt_metrics_counter(m, dropped, why, "reason=\"rejected\"");
    to->refused = mlt_metrics_counter(m, dropped, why, "reason=\"refused\"");
    to->gave_up = mlt_metrics_counter(m, dropped, why, "reason=\"unreachable\"");
    to->requests =
        mlt_metrics_counter(m, "meltica_trace_requests_total", "Requests to the collector", NULL);
    to->retries = mlt_metrics_counter(m, "meltica_trace_retries_total",
                                      "Requests that were another attempt", NULL);
    to->queued = mlt_metrics_gauge(m, "meltica_trace_queued_spans", "Spans that wait", NULL);
}

void mlt_trace_get_stats(struct mlt_trace *trace, struct mlt_trace_stats *out)
{
    memset(out, 0, sizeof *out);
    if (trace != NULL) {
        lock(trace);
        *out = trace->stats;
        out->queued = trace->count;
        unlock(trace);
    }
}

void mlt_trace_collect(struct mlt_trace *trace)
{
    struct mlt_trace_stats stats;
    if (trace == NULL || !trace->measured) {
        return;
    }
    mlt_trace_get_stats(trace, &stats);
    mlt_counter_set(trace->metrics.exported, stats.exported);
    mlt_counter_set(trace->metrics.queue_full, stats.queue_full);
    mlt_counter_set(trace->metrics.rejected, stats.rejected);
    mlt_counter_set(trace->metrics.refused, stats.refused);
    mlt_counter_set(trace->metrics.gave_up, stats.gave_up);
    mlt_counter_set(trace->metrics.requests, stats.requests);
    mlt_counter_set(trace->metrics.retries, stats.retries);
    mlt_gauge_set(trace->metrics.queued, (int64_t)stats.queued);
}

/* ---- life ---- */

static void free_all(struct mlt_trace *t)
{
    trace_encoder_destroy(t->encoder);
    trace_poster_destroy(t->poster);
    free(t->queue);
    free(t->batch);
    (void)pthread_cond_destroy(&t->wake);
    (void)pthread_mutex_destroy(&t->lock);
    free(t);
}

static enum mlt_status build(struct mlt_trace *t, const struct mlt_trace_config *config,
                             const struct mlt_trace_options *options, struct mlt_error *err)
{
    t->queue = calloc(t->queue_max, sizeof *t->queue);
    t->batch = calloc(t->batch_max, sizeof *t->batch);
    if (t->queue == NULL || t->batch == NULL ||
        trace_encoder_create(config, options->instance, &t->encoder) != MLT_OK) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for traces");
    }
    const enum mlt_status status = trace_poster_create(config, ends, t, &t->poster, err);
    if (status != MLT_OK) {
        return status;
    }
    t->started = pthread_create(&t->thread, NULL, run, t) == 0;
    return t->started ? MLT_OK : mlt_error_set(err, MLT_E_NOMEM, "no thread for traces");
}

enum mlt_status mlt_trace_create(const struct mlt_trace_config *config,
                                 const struct mlt_trace_options *options, struct mlt_trace **trace,
                                 struct mlt_error *err)
{
    *trace = NULL;
    if (!config->enabled) {
        return MLT_OK;
    }
    struct mlt_trace *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for traces");
    }
    t->sampler = config->sampler;
    t->timeout_ns = config->timeout_ns;
    t->patience_ns = config->patience_ns;
    t->gather_ns = config->gather_ns;
    t->queue_max = config->queue_max;
    t->batch_max = config->batch_max;
    atomic_init(&t->end_at_ns, INT64_MAX);
    const int64_t base_ns = options->retry_base_ns > 0 ? options->retry_base_ns : RETRY_BASE_NS;
    mlt_backoff_init(&t->backoff, earlier(base_ns, RETRY_FLOOR_NS), base_ns,
                     options->retry_max_ns > 0 ? options->retry_max_ns : RETRY_MAX_NS,
                     mlt_random64());
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&t->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&t->lock, NULL);
    if (options->metrics != NULL) {
        make_metrics(t, options->metrics);
    }
    const enum mlt_status status = build(t, config, options, err);
    if (status != MLT_OK) {
        free_all(t);
        return status;
    }
    *trace = t;
    return MLT_OK;
}

void mlt_trace_destroy(struct mlt_trace *trace, int64_t flush_ns)
{
    if (trace == NULL) {
        return;
    }
    atomic_store(&trace->end_at_ns, mlt_clock_mono_ns() + flush_ns);
    lock(trace);
    trace->stop = true;
    (void)pthread_cond_signal(&trace->wake);
    unlock(trace);
    (void)pthread_join(trace->thread, NULL);
    mlt_trace_collect(trace);
    free_all(trace);
}
