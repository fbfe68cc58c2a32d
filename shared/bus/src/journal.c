/*
 * The journal: what was published, as batches in a stream.
 *
 * Appenders copy into the buffer of a partition, under a mutex that nobody holds while he waits.
 * One thread swaps those buffers, cuts them into batches and publishes them on a connection of its
 * own. js_PublishMsgAsync would block its caller where nats.c's own limit of messages in flight is
 * reached, and for 200 ms at a time where the stream is gone; here the thread counts what is in
 * flight itself and stops before that, so nats.c's limit is not used.
 *
 * States. AWAY: nothing is published; the stream is looked for once a second while there is a
 * connection, and made again where that is allowed (a memory stream ends with its server). TRIAL:
 * the stream was found, one batch may be in flight. FLOWING: one was acknowledged since. A batch
 * that was not acknowledged is a hole and leads to AWAY. Meanwhile the queue fills, and then the
 * newest are dropped and counted.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "meltica/base/check.h"
#include "meltica/base/clock.h"
#include "meltica/base/log.h"
#include "store_internal.h"

#define BATCH_NS (20 * MLT_NS_PER_MS)
#define BATCH_BYTES (60u << 10)
#define IN_FLIGHT_MAX 64u
#define ACK_WAIT_MS 2000
#define PROBE_NS MLT_NS_PER_S
#define QUEUE_BYTES_DEFAULT (4u << 20)
#define PARTITIONS_MAX 64u
#define KEPT_BYTES_MAX (256u << 10) /* capacity that an emptied buffer may keep */
#define NAME_BYTES_MAX 256
#define REASON_BYTES_MAX 160

enum state { AWAY, TRIAL, FLOWING };

struct part {
    struct mlt_buf fill;  /* appenders add here */
    struct mlt_buf drain; /* what the thread publishes, from `sent` on */
    size_t sent;
    uint64_t fill_events;
    int64_t first_ns; /* when the first of fill came */
    int64_t drain_ns; /* of drain */
};

/* A batch that waits for its acknowledgement. */
struct flight {
    const natsMsg *message; /* NULL: free */
    uint32_t events;
    uint32_t generation;
    size_t bytes;
    int64_t first_ns, sent_ns; /* when its first event came, at most; when it was sent */
};

struct mlt_journal {
    struct mlt_bus *bus;
    struct mlt_store *store;
    jsCtx *js;
    uint64_t id; /* in the registry */
    uint32_t partitions;
    int64_t max_age_ns, max_bytes;
    size_t queue_bytes_max;
    void (*on_state)(void *ctx, bool connected, const char *reason);
    void *ctx;

    pthread_mutex_t mutex;
    pthread_cond_t work; /* for the thread */
    pthread_t thread;
    bool started;

    /* Under the mutex. */
    bool stop;
    int64_t stop_at_ns;
    bool connected;
    enum state state;
    uint32_t generation;    /* counts the times that it went away */
    uint32_t in_flight_now; /* of this generation */
    int64_t probe_at_ns;
    size_t queued_bytes;    /* fill, drain and in flight */
    uint64_t queued_events; /* fill and drain */
    uint32_t in_flight;
    struct flight flights[IN_FLIGHT_MAX];
    char reason[REASON_BYTES_MAX];
    struct mlt_journal_stats stats;
    struct part parts[PARTITIONS_MAX];

    /* Of the thread: what the log was told last. */
    bool told_flowing;
    char told_reason[REASON_BYTES_MAX];
    uint64_t told_dropped;
};

/* ---- registry ---- */

/* nats.c may still be inside the acknowledgement handler when a context was destroyed. So the
 * handler gets a number and not a pointer, and holds this lock while it has the journal. */
#define JOURNALS_MAX 8u
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mlt_journal *registry[JOURNALS_MAX];
static uintptr_t registry_next = 1;

static bool registry_add(struct mlt_journal *journal)
{
    bool added = false;
    (void)pthread_mutex_lock(&registry_lock);
    for (size_t i = 0; !added && i < JOURNALS_MAX; i++) {
        if (registry[i] == NULL) {
            registry[i] = journal;
            journal->id = registry_next++;
            added = true;
        }
    }
    (void)pthread_mutex_unlock(&registry_lock);
    return added;
}

static void registry_remove(const struct mlt_journal *journal)
{
    (void)pthread_mutex_lock(&registry_lock);
    for (size_t i = 0; i < JOURNALS_MAX; i++) {
        if (registry[i] == journal) {
            registry[i] = NULL;
        }
    }
    (void)pthread_mutex_unlock(&registry_lock);
}

/* ---- appending ---- */

bool mlt_journal_append(struct mlt_journal *journal, uint32_t partition, struct mlt_slice event)
{
    uint8_t header[MLT_ELEMENT_HEADER_BYTES_MAX];
    const size_t header_bytes = mlt_batch_element_header(event.len, header);
    const size_t bytes = header_bytes + event.len;
    bool taken = false;
    (void)pthread_mutex_lock(&journal->mutex);
    if (!journal->stop && partition < journal->partitions && bytes <= MLT_BUS_PAYLOAD_BYTES_MAX &&
        bytes <= journal->queue_bytes_max - journal->queued_bytes) {
        struct part *p = &journal->parts[partition];
        taken = mlt_buf_reserve(&p->fill, bytes) == MLT_OK &&
                mlt_buf_append(&p->fill, header, header_bytes) == MLT_OK &&
                mlt_buf_append(&p->fill, event.data, event.len) == MLT_OK;
        if (taken) {
            const bool was_below = p->fill.len - bytes < BATCH_BYTES;
            if (p->fill_events++ == 0) {
                p->first_ns = mlt_clock_mono_ns();
            }
            journal->queued_bytes += bytes;
            if (journal->queued_bytes > journal->stats.queued_bytes_max) {
                journal->stats.queued_bytes_max = journal->queued_bytes;
            }
            /* Only what changes when the thread has to wake is worth a signal. */
            if (journal->queued_events++ == 0 || (was_below && p->fill.len >= BATCH_BYTES)) {
                (void)pthread_cond_signal(&journal->work);
            }
        }
    }
    if (!taken) {
        journal->stats.dropped_events++;
    }
    (void)pthread_mutex_unlock(&journal->mutex);
    return taken;
}

/* ---- states; the mutex is held ---- */

/* A batch of an earlier generation that fails late says nothing about now. */
static void set_away(struct mlt_journal *j, const char *reason)
{
    if (j->state == AWAY) {
        return;
    }
    j->state = AWAY;
    j->generation++;
    j->in_flight_now = 0;
    j->probe_at_ns = mlt_clock_mono_ns() + PROBE_NS;
    (void)snprintf(j->reason, sizeof j->reason, "%s", reason != NULL ? reason : "");
}

static void on_bus_state(void *ctx, bool connected, const char *reason)
{
    struct mlt_journal *j = ctx;
    (void)pthread_mutex_lock(&j->mutex);
    j->connected = connected;
    if (!connected) {
        set_away(j, reason);
    }
    j->probe_at_ns = 0; /* at once when there is a connection */
    (void)pthread_cond_signal(&j->work);
    (void)pthread_mutex_unlock(&j->mutex);
    if (j->on_state != NULL) {
        j->on_state(j->ctx, connected, reason);
    }
}

/* ---- acknowledgements ---- */

/* Takes a batch out of the flights; false when it is not one (given up before). Mutex held. */
static bool land(struct mlt_journal *j, const natsMsg *message, struct flight *out)
{
    for (size_t i = 0; i < IN_FLIGHT_MAX; i++) {
        if (j->flights[i].message == message) {
            *out = j->flights[i];
            j->flights[i].message = NULL;
            j->in_flight--;
            j->in_flight_now -= out->generation == j->generation ? 1 : 0;
            j->queued_bytes -= out->bytes;
            return true;
        }
    }
    return false;
}

static void count_failed(struct mlt_journal *j, const struct flight *flight)
{
    j->stats.failed_batches++;
    j->stats.dropped_events += flight->events;
}

static void on_ack(jsCtx *js, natsMsg *message, jsPubAck *ack, jsPubAckErr *failure, void *closure)
{
    (void)js;
    (void)ack;
    (void)pthread_mutex_lock(&registry_lock);
    struct mlt_journal *j = NULL;
    for (size_t i = 0; i < JOURNALS_MAX; i++) {
        if (registry[i] != NULL && registry[i]->id == (uintptr_t)closure) {
            j = registry[i];
        }
    }
    struct flight flight;
    if (j != NULL) {
        (void)pthread_mutex_lock(&j->mutex);
        if (land(j, message, &flight)) {
            if (failure != NULL) {
                count_failed(j, &flight);
                if (flight.generation == j->generation) {
                    set_away(j, failure->ErrText);
                }
            } else {
                j->stats.events += flight.events;
                j->stats.batches++;
                j->stats.bytes += flight.bytes;
                j->stats.ack_ns += (uint64_t)(mlt_clock_mono_ns() - flight.sent_ns);
                if (j->state == TRIAL && flight.generation == j->generation) {
                    j->state = FLOWING;
                }
            }
            (void)pthread_cond_signal(&j->work);
        }
        (void)pthread_mutex_unlock(&j->mutex);
    }
    (void)pthread_mutex_unlock(&registry_lock);
    natsMsg_Destroy(message);
}

/* ---- publishing: the thread ---- */

/* False once deadline_ns has passed; INT64_MAX waits for ever. Mutex held. */
static bool wait_work(struct mlt_journal *j, int64_t deadline_ns)
{
    if (deadline_ns == INT64_MAX) {
        return pthread_cond_wait(&j->work, &j->mutex) == 0;
    }
    const struct timespec until = { .tv_sec = deadline_ns / MLT_NS_PER_S,
                                    .tv_nsec = deadline_ns % MLT_NS_PER_S };
    return pthread_cond_clockwait(&j->work, &j->mutex, CLOCK_MONOTONIC, &until) == 0;
}

/* Length of the next batch of a buffer, whole events, at least one; *events is how many. */
static size_t cut(struct mlt_slice rest, uint32_t *events)
{
    const uint8_t *begin = rest.data;
    size_t len = 0;
    struct mlt_slice element;
    *events = 0;
    while (mlt_batch_next(&rest, &element) == MLT_OK) {
        const size_t upto = (size_t)(element.data + element.len - begin);
        if (*events > 0 && upto > BATCH_BYTES) {
            break;
        }
        len = upto;
        ++*events;
    }
    return len;
}

/* A place in flight; NULL when none comes: the stream went away, or the time to stop is over. */
static struct flight *take_place(struct mlt_journal *j)
{
    for (;;) {
        if (j->state == AWAY || (j->stop && mlt_clock_mono_ns() >= j->stop_at_ns)) {
            return NULL;
        }
        if (j->in_flight < IN_FLIGHT_MAX && (j->state == FLOWING || j->in_flight_now == 0)) {
            break;
        }
        (void)wait_work(j, j->stop ? j->stop_at_ns : INT64_MAX);
    }
    for (size_t i = 0; i < IN_FLIGHT_MAX; i++) {
        if (j->flights[i].message == NULL) {
            return &j->flights[i];
        }
    }
    return NULL;
}

/* One batch. Called and returns with the mutex, which is free while nats.c copies and writes. False
 * when the stream went away before anything was handed over: the batch stays. */
static bool send(struct mlt_journal *j, uint32_t partition, struct flight *place,
                 struct mlt_slice batch, uint32_t events)
{
    char subject[64];
    (void)snprintf(subject, sizeof subject, MLT_JOURNAL_SUBJECT ".%02" PRIu32, partition);
    natsMsg *message = NULL;
    (void)pthread_mutex_unlock(&j->mutex);
    natsStatus status =
        natsMsg_Create(&message, subject, NULL, (const char *)batch.data, (int)batch.len);
    (void)pthread_mutex_lock(&j->mutex);
    const struct flight flight = {
        .message = message,
        .events = events,
        .generation = j->generation,
        .bytes = batch.len,
        .first_ns = j->parts[partition].drain_ns,
        .sent_ns = mlt_clock_mono_ns(),
    };
    if (j->state == AWAY) {
        natsMsg_Destroy(message);
        return false;
    }
    j->queued_events -= events;
    if (status != NATS_OK) {
        j->queued_bytes -= batch.len;
        count_failed(j, &flight);
        return true;
    }
    *place = flight; /* before it is sent: the acknowledgement may come first */
    j->in_flight++;
    j->in_flight_now++;
    (void)pthread_mutex_unlock(&j->mutex);
    jsPubOptions options;
    (void)jsPubOptions_Init(&options);
    options.MaxWait = ACK_WAIT_MS;
    status = js_PublishMsgAsync(j->js, &message, &options);
    (void)pthread_mutex_lock(&j->mutex);
    if (status != NATS_OK) { /* the message is still ours: no acknowledgement will name it */
        struct flight lost;
        if (land(j, message, &lost)) {
            count_failed(j, &lost);
        }
        natsMsg_Destroy(message);
        if (flight.generation == j->generation) {
            set_away(j, natsStatus_GetText(status));
        }
    }
    return true;
}

/* Publishes what a partition has, as far as the state allows. Mutex as in send; drain is the
 * thread's alone and needs none. */
static void publish(struct mlt_journal *j, uint32_t partition)
{
    struct part *p = &j->parts[partition];
    if (p->drain.len == 0) {
        const struct mlt_buf empty = p->drain;
        p->drain = p->fill;
        p->drain_ns = p->first_ns;
        p->fill = empty;
        p->fill_events = 0;
    }
    while (p->sent < p->drain.len) {
        struct flight *place = take_place(j);
        if (place == NULL) {
            return; /* drain stays, and is before fill in order */
        }
        uint32_t events = 0;
        const struct mlt_slice rest = { p->drain.data + p->sent, p->drain.len - p->sent };
        (void)pthread_mutex_unlock(&j->mutex);
        const size_t len = cut(rest, &events);
        (void)pthread_mutex_lock(&j->mutex);
        MLT_CHECK(len > 0);
        if (!send(j, partition, place, mlt_slice_of(rest.data, len), events)) {
            return;
        }
        p->sent += len;
    }
    p->sent = 0;
    mlt_buf_clear(&p->drain);
    if (p->drain.capacity > KEPT_BYTES_MAX) {
        mlt_buf_fini(&p->drain);
    }
}

/* The partition whose turn it is, or -1 with the time when there will be one. Mutex held. */
static int64_t find_due(struct mlt_journal *j, int64_t now, int64_t *wake_ns)
{
    int64_t due = -1;
    int64_t due_since = INT64_MAX;
    *wake_ns = INT64_MAX;
    for (uint32_t i = 0; i < j->partitions; i++) {
        const struct part *p = &j->parts[i];
        if (p->drain.len == 0 && p->fill_events == 0) {
            continue;
        }
        const int64_t at = p->first_ns + BATCH_NS;
        if (p->drain.len > 0 || p->fill.len >= BATCH_BYTES || j->stop || at <= now) {
            if (p->first_ns < due_since) {
                due = i;
                due_since = p->first_ns;
            }
        } else if (at < *wake_ns) {
            *wake_ns = at;
        }
    }
    return due;
}

/* Looks for the stream. The mutex is free meanwhile. */
static void probe(struct mlt_journal *j)
{
    struct mlt_stream_spec spec = mlt_stored[MLT_STORED_JOURNAL].stream;
    spec.max_bytes = j->max_bytes;
    spec.max_age_ns = j->max_age_ns;
    struct mlt_error err = MLT_ERROR_INIT;
    (void)pthread_mutex_unlock(&j->mutex);
    const enum mlt_status status = mlt_store_ensure_stream(j->store, &spec, &err);
    (void)pthread_mutex_lock(&j->mutex);
    if (status == MLT_OK && j->connected) {
        j->state = TRIAL;
        return;
    }
    j->probe_at_ns = mlt_clock_mono_ns() + PROBE_NS;
    if (status != MLT_OK) {
        (void)snprintf(j->reason, sizeof j->reason, "%.*s", REASON_BYTES_MAX - 1, err.text);
    }
}

/* Tells the log of changes, without the mutex: a slow reader of the log must not stop appenders. */
static void tell(struct mlt_journal *j)
{
    const bool flowing = j->state == FLOWING;
    const bool away = j->state == AWAY && j->reason[0] != '\0' &&
                      (j->told_flowing || strcmp(j->told_reason, j->reason) != 0);
    if (!away && (!flowing || j->told_flowing)) {
        return;
    }
    const uint64_t dropped = j->stats.dropped_events;
    (void)snprintf(j->told_reason, sizeof j->told_reason, "%s", flowing ? "" : j->reason);
    j->told_flowing = flowing;
    (void)pthread_mutex_unlock(&j->mutex);
    if (flowing) {
        mlt_log(MLT_LOG_INFO, "journal_flowing", "the journal takes events",
                MLT_U("dropped_events", dropped), MLT_U("hole_events", dropped - j->told_dropped));
    } else {
        mlt_log(MLT_LOG_WARN, "journal_away", "nothing is journalled until the stream is back",
                MLT_S("reason", j->told_reason), MLT_U("dropped_events", dropped));
    }
    (void)pthread_mutex_lock(&j->mutex);
    j->told_dropped = flowing ? dropped : j->told_dropped;
}

/* One step; false at the end. Mutex held. */
static bool step(struct mlt_journal *j)
{
    tell(j);
    const int64_t now = mlt_clock_mono_ns();
    if (j->stop && (now >= j->stop_at_ns || (j->queued_events == 0 && j->in_flight == 0))) {
        return false;
    }
    const int64_t end = j->stop ? j->stop_at_ns : INT64_MAX;
    if (j->state == AWAY) {
        if (j->connected && now >= j->probe_at_ns) {
            probe(j);
        } else {
            const int64_t until = j->connected ? j->probe_at_ns : INT64_MAX;
            (void)wait_work(j, until < end ? until : end);
        }
        return true;
    }
    int64_t wake_ns = INT64_MAX;
    const int64_t due = find_due(j, now, &wake_ns);
    if (due >= 0) {
        publish(j, (uint32_t)due);
    } else {
        (void)wait_work(j, wake_ns < end ? wake_ns : end);
    }
    return true;
}

static void *run(void *arg)
{
    struct mlt_journal *j = arg;
    (void)pthread_mutex_lock(&j->mutex);
    while (step(j)) {
    }
    (void)pthread_mutex_unlock(&j->mutex);
    return NULL;
}

/* ---- life ---- */

static void fini_parts(struct mlt_journal *j)
{
    for (uint32_t i = 0; i < PARTITIONS_MAX; i++) {
        mlt_buf_fini(&j->parts[i].fill);
        mlt_buf_fini(&j->parts[i].drain);
    }
}

static enum mlt_status connect_bus(struct mlt_journal *j, const struct mlt_journal_options *options,
                                   struct mlt_error *err)
{
    char name[NAME_BYTES_MAX];
    struct mlt_bus_options bus = options->bus;
    (void)snprintf(name, sizeof name, "%s/journal", bus.name != NULL ? bus.name : "meltica");
    bus.kind = MLT_BUS_CONTROL;
    bus.name = name;
    bus.on_state = on_bus_state;
    bus.ctx = j;
    enum mlt_status status = mlt_bus_connect(&bus, &j->bus, err);
    if (status == MLT_OK) {
        status = mlt_store_create(j->bus, options->provision_replicas, &j->store, err);
    }
    if (status == MLT_OK) {
        jsOptions js;
        (void)jsOptions_Init(&js);
        js.PublishAsync.AckHandler = on_ack;
        js.PublishAsync.AckHandlerClosure = (void *)(uintptr_t)j->id;
        status = mlt_bus_status(natsConnection_JetStream(&j->js, mlt_bus_nats(j->bus), &js), err,
                                "JetStream context");
    }
    return status;
}

enum mlt_status mlt_journal_create(const struct mlt_journal_options *options,
                                   struct mlt_journal **journal, struct mlt_error *err)
{
    if (options->partitions == 0 || options->partitions > PARTITIONS_MAX) {
        return mlt_error_set(err, MLT_E_INVALID, "journal: 1 to %u partitions", PARTITIONS_MAX);
    }
    const struct mlt_stream_spec *usual = &mlt_stored[MLT_STORED_JOURNAL].stream;
    struct mlt_journal *j = calloc(1, sizeof *j);
    if (j == NULL || pthread_mutex_init(&j->mutex, NULL) != 0) {
        free(j);
        return mlt_error_set(err, MLT_E_NOMEM, "journal");
    }
    (void)pthread_cond_init(&j->work, NULL);
    j->partitions = options->partitions;
    j->max_age_ns = options->max_age_ns > 0 ? options->max_age_ns : usual->max_age_ns;
    j->max_bytes = options->max_bytes > 0 ? options->max_bytes : usual->max_bytes;
    j->queue_bytes_max = options->queue_bytes > 0 ? options->queue_bytes : QUEUE_BYTES_DEFAULT;
    j->on_state = options->bus.on_state;
    j->ctx = options->bus.ctx;
    for (uint32_t i = 0; i < PARTITIONS_MAX; i++) {
        mlt_buf_init(&j->parts[i].fill, j->queue_bytes_max);
        mlt_buf_init(&j->parts[i].drain, j->queue_bytes_max);
    }
    enum mlt_status status = MLT_OK;
    if (!registry_add(j)) {
        status =
            mlt_error_set(err, MLT_E_LIMIT, "more than %u journals in a process", JOURNALS_MAX);
    }
    if (status == MLT_OK) {
        status = connect_bus(j, options, err);
    }
    if (status == MLT_OK && pthread_create(&j->thread, NULL, run, j) != 0) {
        status = mlt_error_set(err, MLT_E_NOMEM, "journal: no thread");
    }
    j->started = status == MLT_OK;
    if (status != MLT_OK) {
        mlt_journal_destroy(j, 0);
        return status;
    }
    *journal = j;
    return MLT_OK;
}

/* What did not get out is a hole too. */
static void report_end(struct mlt_journal *j)
{
    (void)pthread_mutex_lock(&j->mutex);
    j->stats.dropped_events += j->queued_events;
    for (size_t i = 0; i < IN_FLIGHT_MAX; i++) {
        if (j->flights[i].message != NULL) {
            count_failed(j, &j->flights[i]);
            j->flights[i].message = NULL;
        }
    }
    mlt_log(j->stats.dropped_events > 0 ? MLT_LOG_WARN : MLT_LOG_INFO, "journal_ended",
            "the journal is closed", MLT_U("events", j->stats.events),
            MLT_U("dropped_events", j->stats.dropped_events),
            MLT_U("failed_batches", j->stats.failed_batches));
    (void)pthread_mutex_unlock(&j->mutex);
}

void mlt_journal_destroy(struct mlt_journal *journal, int64_t drain_ns)
{
    if (journal == NULL) {
        return;
    }
    if (journal->started) {
        (void)pthread_mutex_lock(&journal->mutex);
        journal->stop = true;
        journal->stop_at_ns = mlt_clock_mono_ns() + (drain_ns > 0 ? drain_ns : 0);
        (void)pthread_cond_signal(&journal->work);
        (void)pthread_mutex_unlock(&journal->mutex);
        (void)pthread_join(journal->thread, NULL);
        report_end(journal);
    }
    registry_remove(journal);
    jsCtx_Destroy(journal->js);
    mlt_store_destroy(journal->store);
    mlt_bus_destroy(journal->bus, 0);
    fini_parts(journal);
    (void)pthread_cond_destroy(&journal->work);
    (void)pthread_mutex_destroy(&journal->mutex);
    free(journal);
}

/* Mutex held. */
static int64_t lag_ns(const struct mlt_journal *j)
{
    const int64_t now = mlt_clock_mono_ns();
    int64_t oldest = now;
    for (size_t i = 0; i < IN_FLIGHT_MAX; i++) {
        if (j->flights[i].message != NULL && j->flights[i].first_ns < oldest) {
            oldest = j->flights[i].first_ns;
        }
    }
    for (uint32_t i = 0; i < j->partitions; i++) {
        const struct part *p = &j->parts[i];
        if (p->drain.len > 0 && p->drain_ns < oldest) {
            oldest = p->drain_ns;
        }
        if (p->fill_events > 0 && p->first_ns < oldest) {
            oldest = p->first_ns;
        }
    }
    return now - oldest;
}

void mlt_journal_get_stats(struct mlt_journal *journal, struct mlt_journal_stats *out)
{
    (void)pthread_mutex_lock(&journal->mutex);
    *out = journal->stats;
    out->in_flight = journal->in_flight;
    out->queued_bytes = journal->queued_bytes;
    out->lag_ns = lag_ns(journal);
    out->available = journal->state != AWAY;
    (void)pthread_mutex_unlock(&journal->mutex);
}
