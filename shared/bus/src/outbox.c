/* See outbox.h. A ring of messages with three places: what lies before `head` was read by the
 * server, what lies before `handed` was handed to the connection of `generation`. While all was
 * handed over, whoever publishes hands over the next one itself; else it is left to the loop's
 * flushes, which keep the order. A thread of its own asks the server how far it has read. */
#include "meltica/bus/outbox.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "meltica/base/log.h"

#define BYTES_MIN (64u << 10)
#define ALIGN 16u /* not less than an entry: one fits wherever something is left */
/* Longer than a slow line takes for what may lie before it; one that ends tells at once. */
#define PING_NS (3 * MLT_NS_PER_S)
#define FAILED_NS (200 * MLT_NS_PER_MS) /* until the server is asked again that did not answer */

/* Of a message, or of what is left out at the end of the ring. Its texts follow, NUL-terminated,
 * and its payload. */
struct entry {
    uint32_t bytes; /* to the next one */
    uint32_t payload_len;
    uint16_t subject_len, trace_len; /* subject_len 0: left out */
};

union slot {
    struct entry entry;
    uint8_t bytes[ALIGN];
};

struct mlt_outbox {
    struct mlt_bus *bus;
    bool (*may)(void *ctx);
    void *ctx;
    struct mlt_bus_flusher flusher;
    pthread_t thread;
    bool started;

    pthread_mutex_t lock;      /* connection.h has its place; never held while anything waits */
    pthread_cond_t room, wake; /* of who publishes; of the thread */
    union slot *ring;
    uint64_t size;
    uint64_t head, handed, tail; /* counted on and on */
    uint64_t again_until;        /* what lies before it has been handed over before */
    unsigned generation;
    unsigned waiters;
    bool idle; /* the thread waits for something to ask for */
    bool dropped, stop;
    struct mlt_outbox_stats stats;
};

_Static_assert(sizeof(struct entry) <= ALIGN, "an entry fits into what is left of the ring");

/* ---- the ring; the lock is held ---- */

static struct entry *entry_at(const struct mlt_outbox *o, uint64_t place)
{
    return &o->ring[place % o->size / ALIGN].entry;
}

static uint64_t left_until_end(const struct mlt_outbox *o)
{
    return o->size - o->tail % o->size;
}

static uint64_t bytes_of(size_t subject_len, size_t trace_len, size_t payload_len)
{
    const uint64_t bytes =
        sizeof(struct entry) + subject_len + 1 + trace_len + 1 + (uint64_t)payload_len;
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static bool has_room(const struct mlt_outbox *o, uint64_t bytes)
{
    const uint64_t left = left_until_end(o);
    return o->size - (o->tail - o->head) >= (bytes > left ? left : 0) + bytes;
}

static void keep(struct mlt_outbox *o, const char *subject, struct mlt_slice payload,
                 const char *traceparent, uint64_t bytes)
{
    const uint64_t left = left_until_end(o);
    const size_t subject_len = strlen(subject);
    const size_t trace_len = traceparent != NULL ? strlen(traceparent) : 0;
    if (bytes > left) {
        *entry_at(o, o->tail) = (struct entry){ .bytes = (uint32_t)left };
        o->tail += left;
    }
    struct entry *e = entry_at(o, o->tail);
    *e = (struct entry){ (uint32_t)bytes, (uint32_t)payload.len, (uint16_t)subject_len,
                         (uint16_t)trace_len };
    uint8_t *to = (uint8_t *)(e + 1);
    memcpy(to, subject, subject_len + 1);
    to += subject_len + 1;
    if (trace_len > 0) {
        memcpy(to, traceparent, trace_len);
    }
    to[trace_len] = '\0';
    to += trace_len + 1;
    if (payload.len > 0) {
        memcpy(to, payload.data, payload.len);
    }
    o->tail += bytes;
}

/* ---- who publishes ---- */

static enum mlt_status checked(const struct mlt_outbox *o, const char *subject,
                               struct mlt_slice payload, uint64_t bytes)
{
    if (payload.len > MLT_BUS_PAYLOAD_BYTES_MAX || bytes > o->size / 2) {
        return MLT_E_TOO_BIG;
    }
    return mlt_bus_subject_valid(subject) ? MLT_OK : MLT_E_INVALID;
}

static bool is_enough(const struct mlt_outbox *o, uint64_t bytes)
{
    return bytes > 0 ? has_room(o, bytes) : o->head == o->tail;
}

/* Waits until there is room for so much; 0: until nothing is kept. E_FULL, E_CLOSED. */
static enum mlt_status make_room(struct mlt_outbox *o, uint64_t bytes, int64_t deadline)
{
    bool in_time = true;
    o->waiters++;
    while (!o->dropped && !is_enough(o, bytes) && in_time) {
        (void)pthread_cond_signal(&o->wake); /* the server is asked at once */
        in_time = mlt_bus_cond_wait(&o->room, &o->lock, deadline);
    }
    o->waiters--;
    if (o->dropped) {
        return MLT_E_CLOSED;
    }
    return is_enough(o, bytes) ? MLT_OK : MLT_E_FULL;
}

/* Where all before it was handed over to the connection that there is, and it did not wait, so that
 * whoever publishes has just asked whether it may; else the loop does it. */
static enum mlt_status hand_over(struct mlt_outbox *o, const char *subject,
                                 struct mlt_slice payload, const char *traceparent, bool waited)
{
    if (waited || o->handed != o->tail) {
        return MLT_E_FULL;
    }
    return mlt_bus_publish_on(o->bus, o->generation, subject, payload, traceparent);
}

/* What no later turn changes. All else is: no room, no connection, no memory. */
static bool is_final(enum mlt_status status)
{
    return status == MLT_E_TOO_BIG || status == MLT_E_INVALID;
}

enum mlt_status mlt_outbox_publish(struct mlt_outbox *outbox, const char *subject,
                                   struct mlt_slice payload, const char *traceparent,
                                   int64_t deadline_mono_ns)
{
    struct mlt_outbox *o = outbox;
    const uint64_t bytes =
        bytes_of(strlen(subject), traceparent != NULL ? strlen(traceparent) : 0, payload.len);
    enum mlt_status status = checked(o, subject, payload, bytes);
    if (status != MLT_OK) {
        return status;
    }
    (void)pthread_mutex_lock(&o->lock);
    const bool waited = o->dropped || !has_room(o, bytes);
    if (waited) {
        status = make_room(o, bytes, deadline_mono_ns);
    }
    if (status == MLT_OK) {
        status = hand_over(o, subject, payload, traceparent, waited);
        if (!is_final(status)) {
            keep(o, subject, payload, traceparent, bytes);
            if (status != MLT_OK) {
                mlt_bus_want_flush(o->bus);
            } else {
                o->handed = o->tail;
                if (o->idle) {
                    (void)pthread_cond_signal(&o->wake);
                }
            }
            status = MLT_OK;
        }
    }
    (void)pthread_mutex_unlock(&o->lock);
    return status;
}

bool mlt_outbox_behind(struct mlt_outbox *outbox)
{
    (void)pthread_mutex_lock(&outbox->lock);
    const bool behind =
        outbox->handed != outbox->tail ||
        (outbox->generation != mlt_bus_generation(outbox->bus) && outbox->head != outbox->tail);
    (void)pthread_mutex_unlock(&outbox->lock);
    return behind;
}

bool mlt_outbox_wait(struct mlt_outbox *outbox, int64_t deadline_mono_ns)
{
    (void)pthread_mutex_lock(&outbox->lock);
    const enum mlt_status status = make_room(outbox, 0, deadline_mono_ns);
    (void)pthread_mutex_unlock(&outbox->lock);
    return status != MLT_E_FULL;
}

void mlt_outbox_drop(struct mlt_outbox *outbox)
{
    (void)pthread_mutex_lock(&outbox->lock);
    outbox->dropped = true;
    outbox->head = outbox->handed = outbox->again_until = outbox->tail;
    (void)pthread_cond_broadcast(&outbox->room);
    (void)pthread_mutex_unlock(&outbox->lock);
}

/* ---- the loop thread ---- */

/* The server may not have read what the connection before had. */
static void begin_again(struct mlt_outbox *o, unsigned generation)
{
    o->generation = generation;
    o->again_until = o->handed > o->again_until ? o->handed : o->again_until;
    o->handed = o->head;
    if (o->again_until > o->head) {
        mlt_log(MLT_LOG_WARN, "published_again",
                "the connection ended: what the server may not have got is published once more",
                MLT_U("bytes", o->again_until - o->head));
    }
}

static enum mlt_status hand_over_kept(struct mlt_outbox *o, const struct entry *e)
{
    const char *subject = (const char *)(e + 1);
    const char *traceparent = subject + e->subject_len + 1;
    const struct mlt_slice payload =
        mlt_slice_of((const uint8_t *)traceparent + e->trace_len + 1, e->payload_len);
    return mlt_bus_traced_in_flush(o->bus, subject, payload, e->trace_len > 0 ? traceparent : NULL);
}

static void hand_over_all(struct mlt_outbox *o)
{
    while (o->handed < o->tail) {
        const struct entry *e = entry_at(o, o->handed);
        if (e->subject_len > 0) {
            const enum mlt_status status = hand_over_kept(o, e);
            const bool never = is_final(status);
            if (status != MLT_OK && !never) { /* the rest later */
                mlt_bus_flush_again_at(o->bus, mlt_clock_mono_ns() + MLT_OUTBOX_CONFIRM_NS);
                break;
            }
            o->stats.repeated += !never && o->handed < o->again_until;
            o->stats.refused += never;
            if (never) {
                mlt_log(MLT_LOG_ERROR, "publish_refused", "a message cannot be published",
                        MLT_S("subject", (const char *)(e + 1)),
                        MLT_S("status", mlt_status_word(status)), MLT_U("bytes", e->payload_len));
            }
        }
        o->handed += e->bytes;
    }
    if (o->idle && o->handed > o->head) {
        (void)pthread_cond_signal(&o->wake);
    }
}

static void on_flush(void *ctx, unsigned stage)
{
    struct mlt_outbox *o = ctx;
    if (stage != 1) {
        return;
    }
    const unsigned generation = mlt_bus_generation(o->bus);
    (void)pthread_mutex_lock(&o->lock);
    if (generation != o->generation) {
        begin_again(o, generation);
    }
    if (o->dropped) {
        mlt_bus_flush_withhold(o->bus); /* it may be made of what was dropped */
    } else if (o->handed < o->tail) {
        if (o->may == NULL || o->may(o->ctx)) {
            hand_over_all(o);
        } else {
            mlt_bus_flush_withhold(o->bus);
            mlt_bus_flush_again_at(o->bus, mlt_clock_mono_ns() + MLT_OUTBOX_CONFIRM_NS);
        }
    }
    (void)pthread_mutex_unlock(&o->lock);
}

/* ---- what the server has read ---- */

static void wait_for_something(struct mlt_outbox *o)
{
    o->idle = true;
    (void)pthread_cond_wait(&o->wake, &o->lock);
    o->idle = false;
}

static void *confirm_main(void *arg)
{
    struct mlt_outbox *o = arg;
    int64_t next_ns = 0;
    bool failed = false;
    (void)pthread_mutex_lock(&o->lock);
    while (!o->stop) {
        if (o->handed <= o->head) {
            wait_for_something(o);
            continue;
        }
        if ((failed || o->waiters == 0) && mlt_clock_mono_ns() < next_ns) {
            (void)mlt_bus_cond_wait(&o->wake, &o->lock, next_ns);
            continue;
        }
        const uint64_t until = o->handed;
        const unsigned generation = o->generation;
        (void)pthread_mutex_unlock(&o->lock);
        failed = !mlt_bus_flush_on(o->bus, generation, PING_NS);
        (void)pthread_mutex_lock(&o->lock);
        next_ns = mlt_clock_mono_ns() + (failed ? FAILED_NS : MLT_OUTBOX_CONFIRM_NS);
        /* Of another connection it says nothing: what was handed to this one begins again. */
        if (!failed && generation == o->generation && until > o->head) {
            o->head = until;
            (void)pthread_cond_broadcast(&o->room);
        }
    }
    (void)pthread_mutex_unlock(&o->lock);
    return NULL;
}

/* ---- life ---- */

enum mlt_status mlt_outbox_create(struct mlt_bus *bus, const struct mlt_outbox_options *options,
                                  struct mlt_outbox **outbox, struct mlt_error *err)
{
    const uint64_t bytes = options->bytes > 0 ? options->bytes : MLT_OUTBOX_BYTES;
    if (!mlt_bus_is_data(bus) || bytes < BYTES_MIN || bytes > UINT32_MAX / 2) {
        return mlt_error_set(err, MLT_E_INVALID, "outbox: bad options");
    }
    struct mlt_outbox *o = calloc(1, sizeof *o);
    union slot *ring = o != NULL ? malloc(bytes / ALIGN * ALIGN) : NULL;
    if (ring == NULL) {
        free(o);
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for an outbox");
    }
    o->bus = bus;
    o->may = options->may;
    o->ctx = options->ctx;
    o->ring = ring;
    o->size = bytes / ALIGN * ALIGN;
    o->generation = mlt_bus_generation(bus);
    (void)pthread_mutex_init(&o->lock, NULL);
    mlt_bus_cond_init(&o->room);
    mlt_bus_cond_init(&o->wake);
    if (pthread_create(&o->thread, NULL, confirm_main, o) != 0) {
        mlt_outbox_destroy(o);
        return mlt_error_set(err, MLT_E_NOMEM, "outbox: no thread");
    }
    o->started = true;
    o->flusher = (struct mlt_bus_flusher){ .fn = on_flush, .ctx = o };
    mlt_bus_add_flusher(bus, &o->flusher);
    *outbox = o;
    return MLT_OK;
}

void mlt_outbox_get_stats(struct mlt_outbox *outbox, struct mlt_outbox_stats *out)
{
    (void)pthread_mutex_lock(&outbox->lock);
    *out = outbox->stats;
    out->kept_bytes = outbox->tail - outbox->head;
    (void)pthread_mutex_unlock(&outbox->lock);
}

void mlt_outbox_destroy(struct mlt_outbox *outbox)
{
    if (outbox == NULL) {
        return;
    }
    if (outbox->started) {
        mlt_bus_remove_flusher(outbox->bus, &outbox->flusher);
        (void)pthread_mutex_lock(&outbox->lock);
        outbox->stop = true;
        (void)pthread_cond_signal(&outbox->wake);
        (void)pthread_mutex_unlock(&outbox->lock);
        (void)pthread_join(outbox->thread, NULL);
    }
    (void)pthread_cond_destroy(&outbox->room);
    (void)pthread_cond_destroy(&outbox->wake);
    (void)pthread_mutex_destroy(&outbox->lock);
    free(outbox->ring);
    free(outbox);
}
