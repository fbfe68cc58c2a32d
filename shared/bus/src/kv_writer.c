/*
 * See kv_writer.h. A put holds a slot from its call to its answer. All slots in use are in one list
 * by age, which is also the order of sending: what has not been sent is its young end, what is due
 * to be given up its old one. The reply subject carries the slot's id, which is another one at each
 * use, so that an answer that comes late meets nothing.
 */
#include "meltica/bus/kv_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "meltica/base/clock.h"
#include "store_internal.h"

#define IN_FLIGHT_DEFAULT 1024u
#define BYTES_DEFAULT (8u << 20)
#define NONE UINT32_MAX
#define EXPECTED_HEADER "Nats-Expected-Last-Subject-Sequence"
#define CODE_NO_RESPONDERS 503
/* Codes of nats-server (server/errors.json): wrong last sequence, and that of newer servers. */
#define CODE_WRONG_SEQUENCE 10071
#define CODE_WRONG_SEQUENCE_CONSTANT 10164

struct slot {
    uint64_t id;      /* uses << 16 | index; 0: free */
    natsMsg *message; /* NULL: was handed to the connection */
    size_t bytes;
    void *about;
    int64_t put_ns;
    uint32_t older, younger; /* younger: also of the free ones */
};

struct mlt_kv_writer {
    struct mlt_bus *bus;
    char bucket[128];
    char inbox[MLT_BUS_INBOX_BYTES_MAX];
    struct mlt_bus_subscription *replies;
    void (*on_answer)(void *ctx, const struct mlt_kv_answer *answer);
    void *ctx;
    uint32_t slot_count;
    size_t bytes_max;
    int64_t answer_ns;

    pthread_mutex_t mutex;
    pthread_cond_t to_expire;
    pthread_t expirer;
    bool expirer_started;
    struct mlt_bus_flusher flusher;
    /* Under the mutex. */
    bool stop, expirer_idle; /* idle: nobody told it when to wake */
    struct slot *slots;
    uint32_t free, oldest, youngest, unsent; /* unsent: the oldest one of those */
    size_t bytes;
    struct spent spent; /* written, not yet given back */
    uint64_t uses;
    struct mlt_kv_writer_stats stats;
};

/* ---- slots; the mutex is held ---- */

static struct slot *take_slot(struct mlt_kv_writer *w)
{
    const uint32_t index = w->free;
    if (index == NONE) {
        return NULL;
    }
    struct slot *slot = &w->slots[index];
    w->free = slot->younger;
    slot->id = ++w->uses << 16 | index;
    slot->older = w->youngest;
    slot->younger = NONE;
    if (w->youngest != NONE) {
        w->slots[w->youngest].younger = index;
    } else {
        w->oldest = index;
    }
    w->youngest = index;
    if (w->unsent == NONE) {
        w->unsent = index;
    }
    w->stats.in_flight++;
    return slot;
}

static void free_slot(struct mlt_kv_writer *w, struct slot *slot)
{
    const uint32_t index = (uint32_t)(slot - w->slots);
    if (w->unsent == index) {
        w->unsent = slot->younger;
    }
    *(slot->older != NONE ? &w->slots[slot->older].younger : &w->oldest) = slot->younger;
    *(slot->younger != NONE ? &w->slots[slot->younger].older : &w->youngest) = slot->older;
    if (slot->message != NULL) {
        natsMsg_Destroy(slot->message);
        w->bytes -= slot->bytes;
    }
    *slot = (struct slot){ .younger = w->free, .older = NONE };
    w->free = index;
    w->stats.in_flight--;
}

/* Ends the put of this id; false when it waits no more. The mutex is free while its owner is told.
 */
static bool finish(struct mlt_kv_writer *w, uint64_t id, struct mlt_kv_answer answer)
{
    const uint32_t index = (uint32_t)(id & (MLT_KV_IN_FLIGHT_MAX - 1));
    if (index >= w->slot_count || w->slots[index].id != id) {
        return false;
    }
    struct slot *slot = &w->slots[index];
    answer.about = slot->about;
    answer.duration_ns = mlt_clock_mono_ns() - slot->put_ns;
    if (answer.outcome == MLT_KV_WRITTEN && answer.duration_ns > w->stats.slowest_ns) {
        w->stats.slowest_ns = answer.duration_ns;
    }
    w->stats.answers[answer.outcome]++;
    free_slot(w, slot);
    (void)pthread_mutex_unlock(&w->mutex);
    w->on_answer(w->ctx, &answer);
    (void)pthread_mutex_lock(&w->mutex);
    return true;
}

/* ---- answers ---- */

static struct mlt_kv_answer read_answer(struct mlt_slice json, bool *malformed)
{
    const struct mlt_js_answer said = mlt_js_answer_read(json);
    const bool conflict =
        said.code == CODE_WRONG_SEQUENCE || said.code == CODE_WRONG_SEQUENCE_CONSTANT;
    *malformed = false;
    switch (said.kind) {
    case MLT_JS_SILENT:
        return (struct mlt_kv_answer){ .outcome = MLT_KV_UNAVAILABLE, .code = CODE_NO_RESPONDERS };
    case MLT_JS_REFUSED:
        return (struct mlt_kv_answer){ .outcome = conflict ? MLT_KV_CONFLICT : MLT_KV_UNAVAILABLE,
                                       .code = said.code };
    case MLT_JS_STORED:
        return (struct mlt_kv_answer){ .outcome = MLT_KV_WRITTEN, .revision = said.sequence };
    default:
        *malformed = true;
        return (struct mlt_kv_answer){ .outcome = MLT_KV_UNAVAILABLE };
    }
}

static void on_reply(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_kv_writer *w = ctx;
    const uint64_t id = strtoull(message->subject + strlen(w->inbox) + 1, NULL, 10);
    bool malformed = false;
    const struct mlt_kv_answer answer = read_answer(message->payload, &malformed);
    (void)pthread_mutex_lock(&w->mutex);
    w->stats.malformed += malformed ? 1 : 0;
    if (!finish(w, id, answer)) {
        w->stats.late_answers++;
    }
    (void)pthread_mutex_unlock(&w->mutex);
}

/* ---- threads ---- */

/* Loop thread of the bus: what came since the last write leaves with the next one. What finds no
 * room, or no connection, is the first of a later flush, unless it was given up before. */
static void on_flush(void *ctx, unsigned stage)
{
    struct mlt_kv_writer *w = ctx;
    if (stage != 1) {
        return;
    }
    (void)pthread_mutex_lock(&w->mutex);
    while (w->unsent != NONE) {
        struct slot *slot = &w->slots[w->unsent];
        const enum mlt_status status = mlt_bus_message_in_flush(w->bus, slot->message);
        if (status == MLT_E_FULL || status == MLT_E_CLOSED) {
            break;
        }
        /* Any other failure is an answer that does not come. */
        mlt_bus_spend(&w->spent, slot->message, slot->bytes);
        slot->message = NULL;
        w->bytes -= slot->bytes;
        w->unsent = slot->younger;
    }
    (void)pthread_mutex_unlock(&w->mutex);
}

static void *expire_all(void *arg)
{
    struct mlt_kv_writer *w = arg;
    (void)pthread_mutex_lock(&w->mutex);
    while (!w->stop) {
        if (w->oldest == NONE) {
            w->expirer_idle = true;
            (void)pthread_cond_wait(&w->to_expire, &w->mutex);
            w->expirer_idle = false;
            continue;
        }
        const struct slot *slot = &w->slots[w->oldest];
        if (mlt_clock_mono_ns() - slot->put_ns >= w->answer_ns) {
            (void)finish(w, slot->id, (struct mlt_kv_answer){ .outcome = MLT_KV_TIMEOUT });
        } else {
            (void)mlt_bus_cond_wait(&w->to_expire, &w->mutex, slot->put_ns + w->answer_ns);
        }
    }
    (void)pthread_mutex_unlock(&w->mutex);
    return NULL;
}

/* ---- put ---- */

static enum mlt_status subject_of(const struct mlt_kv_writer *w, const char *key, char *out,
                                  size_t size)
{
    if (!mlt_store_key_valid(key)) {
        return MLT_E_INVALID;
    }
    const int n = snprintf(out, size, "$KV.%s.%s", w->bucket, key);
    return n > 0 && (size_t)n < size ? MLT_OK : MLT_E_TOO_BIG;
}

static enum mlt_status make_message(const struct mlt_kv_writer *w, const struct slot *slot,
                                    const char *subject, struct mlt_slice value, uint64_t expected,
                                    natsMsg **message)
{
    char reply[MLT_BUS_INBOX_BYTES_MAX + 24];
    char number[24];
    (void)snprintf(reply, sizeof reply, "%s.%" PRIu64, w->inbox, slot->id);
    (void)snprintf(number, sizeof number, "%" PRIu64, expected);
    natsStatus status =
        natsMsg_Create(message, subject, reply, (const char *)value.data, (int)value.len);
    if (status == NATS_OK) {
        status = natsMsgHeader_Set(*message, EXPECTED_HEADER, number);
        if (status != NATS_OK) {
            natsMsg_Destroy(*message);
            *message = NULL;
        }
    }
    return mlt_bus_status(status, NULL, "");
}

/* The mutex is held. */
static enum mlt_status enqueue(struct mlt_kv_writer *w, const char *subject, struct mlt_slice value,
                               uint64_t expected, void *about)
{
    struct slot *slot = value.len <= w->bytes_max - w->bytes ? take_slot(w) : NULL;
    if (slot == NULL) {
        w->stats.refused_full++;
        return MLT_E_FULL;
    }
    const enum mlt_status status = make_message(w, slot, subject, value, expected, &slot->message);
    if (status != MLT_OK) {
        free_slot(w, slot);
        return status;
    }
    slot->bytes = value.len;
    slot->about = about;
    slot->put_ns = mlt_clock_mono_ns();
    w->bytes += value.len;
    w->stats.puts++;
    if (w->expirer_idle) { /* else it wakes at a time that is before this one's */
        (void)pthread_cond_signal(&w->to_expire);
    }
    return MLT_OK;
}

enum mlt_status mlt_kv_writer_put(struct mlt_kv_writer *writer, const char *key,
                                  struct mlt_slice value, uint64_t expected, void *about)
{
    char subject[MLT_BUS_SUBJECT_BYTES_MAX + 1];
    enum mlt_status status = subject_of(writer, key, subject, sizeof subject);
    if (status == MLT_OK && value.len > MLT_BUS_PAYLOAD_BYTES_MAX) {
        status = MLT_E_TOO_BIG;
    }
    if (status == MLT_OK && !mlt_bus_connected(writer->bus)) {
        status = MLT_E_UNAVAILABLE;
    }
    if (status == MLT_OK) {
        (void)pthread_mutex_lock(&writer->mutex);
        status = enqueue(writer, subject, value, expected, about);
        (void)pthread_mutex_unlock(&writer->mutex);
    }
    if (status == MLT_OK) {
        mlt_bus_want_flush(writer->bus);
    }
    return status;
}

void mlt_kv_writer_get_stats(struct mlt_kv_writer *writer, struct mlt_kv_writer_stats *out)
{
    (void)pthread_mutex_lock(&writer->mutex);
    *out = writer->stats;
    writer->stats.slowest_ns = 0;
    (void)pthread_mutex_unlock(&writer->mutex);
}

/* ---- life ---- */

static enum mlt_status subscribe(struct mlt_kv_writer *w, struct mlt_error *err)
{
    char subject[MLT_BUS_INBOX_BYTES_MAX + 2];
    (void)snprintf(subject, sizeof subject, "%s.*", w->inbox);
    const struct mlt_bus_subscribe_options options = { .subject = subject };
    return mlt_bus_subscribe(w->bus, &options, on_reply, w, &w->replies, err);
}

static enum mlt_status start_thread(struct mlt_kv_writer *w, struct mlt_error *err)
{
    w->expirer_started = pthread_create(&w->expirer, NULL, expire_all, w) == 0;
    return w->expirer_started ? MLT_OK
                              : mlt_error_set(err, MLT_E_NOMEM, "no thread for a bucket's writer");
}

static struct mlt_kv_writer *make(struct mlt_bus *bus, const struct mlt_kv_writer_options *options)
{
    struct mlt_kv_writer *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return NULL;
    }
    w->bus = bus;
    w->on_answer = options->on_answer;
    w->ctx = options->ctx;
    w->slot_count = options->in_flight_max != 0 ? options->in_flight_max : IN_FLIGHT_DEFAULT;
    w->bytes_max = options->bytes_max != 0 ? options->bytes_max : BYTES_DEFAULT;
    w->answer_ns = options->answer_ns != 0 ? options->answer_ns : MLT_KV_ANSWER_NS;
    (void)snprintf(w->bucket, sizeof w->bucket, "%s", options->bucket);
    w->slots = calloc(w->slot_count, sizeof *w->slots);
    if (w->slots == NULL) {
        free(w);
        return NULL;
    }
    for (uint32_t i = 0; i < w->slot_count; i++) {
        w->slots[i] =
            (struct slot){ .older = NONE, .younger = i + 1 < w->slot_count ? i + 1 : NONE };
    }
    w->oldest = w->youngest = w->unsent = NONE;
    w->flusher = (struct mlt_bus_flusher){ .fn = on_flush, .ctx = w };
    (void)pthread_mutex_init(&w->mutex, NULL);
    mlt_bus_cond_init(&w->to_expire);
    return w;
}

enum mlt_status mlt_kv_writer_create(struct mlt_bus *bus,
                                     const struct mlt_kv_writer_options *options,
                                     struct mlt_kv_writer **writer, struct mlt_error *err)
{
    if (!mlt_store_name_valid(options->bucket) || options->on_answer == NULL ||
        options->in_flight_max > MLT_KV_IN_FLIGHT_MAX || options->answer_ns < 0) {
        return mlt_error_set(err, MLT_E_INVALID, "writer of a bucket: name or limits");
    }
    struct mlt_kv_writer *w = make(bus, options);
    if (w == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "writer of bucket %s", options->bucket);
    }
    enum mlt_status status = mlt_bus_make_inbox(w->bus, w->inbox, err);
    if (status == MLT_OK) {
        status = subscribe(w, err);
    }
    if (status == MLT_OK) {
        status = start_thread(w, err);
    }
    if (status != MLT_OK) {
        mlt_kv_writer_destroy(w);
        return status;
    }
    mlt_bus_add_flusher(bus, &w->flusher);
    *writer = w;
    return MLT_OK;
}

void mlt_kv_writer_destroy(struct mlt_kv_writer *w)
{
    if (w == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&w->mutex);
    w->stop = true;
    (void)pthread_cond_broadcast(&w->to_expire);
    (void)pthread_mutex_unlock(&w->mutex);
    mlt_bus_remove_flusher(w->bus, &w->flusher);
    if (w->expirer_started) {
        (void)pthread_join(w->expirer, NULL);
    }
    mlt_bus_unsubscribe(w->replies);
    (void)pthread_mutex_lock(&w->mutex);
    while (w->oldest != NONE) {
        (void)finish(w, w->slots[w->oldest].id,
                     (struct mlt_kv_answer){ .outcome = MLT_KV_UNAVAILABLE });
    }
    (void)pthread_mutex_unlock(&w->mutex);
    mlt_bus_give_back(&w->spent);
    (void)pthread_cond_destroy(&w->to_expire);
    (void)pthread_mutex_destroy(&w->mutex);
    free(w->slots);
    free(w);
}
