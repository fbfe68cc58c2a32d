/* See reader.h. One lock; nothing waits for NATS while it holds it. */
#include "reader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "meltica/base/clock.h"
#include "meltica/base/log.h"
#include "meltica/v1/internal.pb-c.h"

#define TABLE_SUBJECT "meltica.int.table"
#define CHANGED_SUBJECT "meltica.int.table.changed"
#define REQUEST_TIMEOUT_NS MLT_NS_PER_S
#define TABLE_BYTES_MAX (1u << 20)
#define CONNECT_SLICE_NS (200 * MLT_NS_PER_MS)

struct mlt_table_reader {
    struct mlt_bus *control;
    struct mlt_bus_subscription *subscription;
    pthread_t thread;
    bool started;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* monotonic clock */
    bool ended;
    bool wanted;             /* to be asked for */
    uint64_t boot, revision; /* of the newest table read */
    uint64_t epoch;          /* the highest of a Dispatcher's claim */
    bool known;
    struct mlt_routing *fresh; /* not taken yet */
    atomic_bool has_fresh;
    uint64_t reads, failures;
};

/* ---- thread ---- */

/* With the lock: a Dispatcher that slept speaks before it learns that another one took over. Who
 * has no claim is alone. */
static bool replaced(const struct mlt_table_reader *r, uint64_t epoch)
{
    return epoch != 0 && epoch < r->epoch;
}

static void adopt(struct mlt_table_reader *r, struct mlt_slice message)
{
    struct mlt_routing *routing = NULL;
    const enum mlt_status status = mlt_routing_decode(message, &routing);
    if (status != MLT_OK) {
        mlt_log(MLT_LOG_ERROR, "table_unusable", "the dispatch table cannot be used",
                MLT_S("status", mlt_status_word(status)), MLT_U("bytes", message.len));
        (void)pthread_mutex_lock(&r->lock);
        r->failures++;
        (void)pthread_mutex_unlock(&r->lock);
        return;
    }
    const uint64_t revision = mlt_routing_revision(routing), boot = mlt_routing_boot(routing);
    const uint64_t epoch = mlt_routing_epoch(routing);
    const size_t ignored = mlt_routing_ignored(routing);
    (void)pthread_mutex_lock(&r->lock);
    const bool news =
        !replaced(r, epoch) && (!r->known || r->boot != boot || r->revision != revision);
    r->reads++;
    if (news) {
        struct mlt_routing *old = r->fresh;
        r->fresh = routing;
        routing = old; /* never taken */
        r->known = true;
        r->epoch = epoch > r->epoch ? epoch : r->epoch;
        r->boot = boot;
        r->revision = revision;
        atomic_store(&r->has_fresh, true);
        (void)pthread_cond_broadcast(&r->changed);
    }
    (void)pthread_mutex_unlock(&r->lock);
    mlt_routing_destroy(routing);
    if (news) {
        mlt_log(MLT_LOG_INFO, "table_read", "another dispatch table", MLT_U("revision", revision),
                MLT_U("ignored", ignored));
    }
}

static void read_table(struct mlt_table_reader *r, struct mlt_buf *answer)
{
    struct mlt_error err = MLT_ERROR_INIT;
    mlt_buf_clear(answer);
    const enum mlt_status status = mlt_bus_request(r->control, TABLE_SUBJECT, MLT_SLICE_EMPTY,
                                                   REQUEST_TIMEOUT_NS, answer, &err);
    if (status == MLT_OK) {
        adopt(r, mlt_buf_view(answer));
        return;
    }
    /* The Dispatcher tells once a second that it has a table: then it is asked again. */
    mlt_log(MLT_LOG_WARN, "table_unanswered", "the Dispatcher does not give its table",
            MLT_S("status", mlt_status_word(status)), MLT_S("reason", err.text));
    (void)pthread_mutex_lock(&r->lock);
    r->failures++;
    (void)pthread_mutex_unlock(&r->lock);
}

static bool await_connected(struct mlt_table_reader *r)
{
    for (;;) {
        (void)pthread_mutex_lock(&r->lock);
        const bool ended = r->ended;
        (void)pthread_mutex_unlock(&r->lock);
        if (ended) {
            return false;
        }
        if (mlt_bus_wait_connected(r->control, CONNECT_SLICE_NS) == MLT_OK) {
            return true;
        }
    }
}

static void *run(void *arg)
{
    struct mlt_table_reader *r = arg;
    struct mlt_buf answer;
    mlt_buf_init(&answer, TABLE_BYTES_MAX);
    for (;;) {
        (void)pthread_mutex_lock(&r->lock);
        while (!r->ended && !r->wanted) {
            (void)pthread_cond_wait(&r->changed, &r->lock);
        }
        r->wanted = false;
        (void)pthread_mutex_unlock(&r->lock);
        if (!await_connected(r)) {
            break;
        }
        read_table(r, &answer);
    }
    mlt_buf_fini(&answer);
    return NULL;
}

/* ---- subscription ---- */

static void on_changed(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_table_reader *r = ctx;
    Meltica__V1__Table *table =
        meltica__v1__table__unpack(NULL, message->payload.len, message->payload.data);
    if (table == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&r->lock);
    if (r->known && table->boot == r->boot && table->epoch > r->epoch) {
        r->epoch = table->epoch; /* it worked without a claim, and has one now */
    }
    /* A Dispatcher that began again may count from below. */
    if (!replaced(r, table->epoch) &&
        (!r->known || table->boot != r->boot || table->revision > r->revision)) {
        r->wanted = true;
        (void)pthread_cond_broadcast(&r->changed);
    }
    (void)pthread_mutex_unlock(&r->lock);
    meltica__v1__table__free_unpacked(table, NULL);
}

/* ---- for the taker ---- */

struct mlt_routing *mlt_table_reader_take(struct mlt_table_reader *r)
{
    if (!atomic_load_explicit(&r->has_fresh, memory_order_relaxed)) {
        return NULL;
    }
    (void)pthread_mutex_lock(&r->lock);
    struct mlt_routing *fresh = r->fresh;
    r->fresh = NULL;
    atomic_store(&r->has_fresh, false);
    (void)pthread_mutex_unlock(&r->lock);
    return fresh;
}

bool mlt_table_reader_wait(struct mlt_table_reader *r)
{
    (void)pthread_mutex_lock(&r->lock);
    while (!r->ended && r->fresh == NULL) {
        (void)pthread_cond_wait(&r->changed, &r->lock);
    }
    const bool there = r->fresh != NULL;
    (void)pthread_mutex_unlock(&r->lock);
    return there;
}

bool mlt_table_reader_await(struct mlt_table_reader *r, uint64_t revision, int64_t timeout_ns)
{
    const int64_t at = mlt_clock_mono_ns() + timeout_ns;
    const struct timespec until = { .tv_sec = (time_t)(at / MLT_NS_PER_S),
                                    .tv_nsec = (long)(at % MLT_NS_PER_S) };
    (void)pthread_mutex_lock(&r->lock);
    const uint64_t boot = r->boot;
    bool there = false, in_time = true;
    r->wanted = true;
    (void)pthread_cond_broadcast(&r->changed);
    while (!there && in_time && !r->ended) {
        there = r->fresh != NULL && (r->revision >= revision || r->boot != boot);
        if (!there) {
            in_time = pthread_cond_timedwait(&r->changed, &r->lock, &until) == 0;
        }
    }
    (void)pthread_mutex_unlock(&r->lock);
    return there;
}

void mlt_table_reader_get_stats(struct mlt_table_reader *r, struct mlt_table_reader_stats *out)
{
    (void)pthread_mutex_lock(&r->lock);
    out->reads = r->reads;
    out->failures = r->failures;
    out->revision = r->known ? r->revision : 0;
    (void)pthread_mutex_unlock(&r->lock);
}

/* ---- life ---- */

enum mlt_status mlt_table_reader_create(struct mlt_bus *control, struct mlt_table_reader **reader,
                                        struct mlt_error *err)
{
    struct mlt_table_reader *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "table reader");
    }
    r->control = control;
    r->wanted = true; /* the first one is asked for, not waited for */
    (void)pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&r->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    const struct mlt_bus_subscribe_options options = { .subject = CHANGED_SUBJECT };
    enum mlt_status status =
        mlt_bus_subscribe(control, &options, on_changed, r, &r->subscription, err);
    if (status == MLT_OK && pthread_create(&r->thread, NULL, run, r) != 0) {
        status = mlt_error_set(err, MLT_E_NOMEM, "table reader: no thread");
    }
    r->started = status == MLT_OK;
    if (status != MLT_OK) {
        mlt_table_reader_destroy(r);
        return status;
    }
    *reader = r;
    return MLT_OK;
}

void mlt_table_reader_end(struct mlt_table_reader *r)
{
    (void)pthread_mutex_lock(&r->lock);
    r->ended = true;
    (void)pthread_cond_broadcast(&r->changed);
    (void)pthread_mutex_unlock(&r->lock);
}

void mlt_table_reader_destroy(struct mlt_table_reader *r)
{
    if (r == NULL) {
        return;
    }
    mlt_table_reader_end(r);
    mlt_bus_unsubscribe(r->subscription);
    if (r->started) {
        (void)pthread_join(r->thread, NULL);
    }
    mlt_routing_destroy(r->fresh);
    (void)pthread_cond_destroy(&r->changed);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}
