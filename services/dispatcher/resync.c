#include "resync.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/log.h"
#include "meltica/base/unconst.h"
#include "meltica/bus/messages.h"
#include "meltica/v1/internal.pb-c.h"

#define SUBJECT_RESYNC "meltica.int.resync"
#define SUBJECT_FETCH "meltica.int.fetch"
#define AWAY "adapter_away"
#define REQUEST_BYTES_MAX 1024u
#define ANSWER_BYTES_MAX 1024u
#define REASON_BYTES_MAX 63u
#define REPLY_SUBJECT_BYTES_MAX 255u

struct item {
    struct mlt_demand demand;
    Meltica__V1__Priority priority;
    char instrument[MLT_INSTRUMENT_BYTES_MAX + 1];
    char reply[REPLY_SUBJECT_BYTES_MAX + 1];
};

struct mlt_resync {
    struct mlt_bus *control;
    struct mlt_resync_ports ports;
    struct mlt_bus_subscription *requests;
    pthread_t thread;

    pthread_mutex_t lock; /* never held while a port or the bus is called */
    pthread_cond_t wake;
    bool stop;
    size_t first, count;
    struct item waiting[MLT_RESYNC_WAITING_MAX];
    struct mlt_resync_stats stats;
};

static const char *const words[MLT_RESYNC_OUTCOME_COUNT] = { "accepted", "refused", "busy", "away",
                                                             "adapter_refused" };

const char *mlt_resync_outcome_word(enum mlt_resync_outcome outcome)
{
    return words[outcome];
}

/* ---- answers ---- */

static void answer(struct mlt_resync *r, const char *reply_to, enum mlt_resync_outcome outcome,
                   const char *reason)
{
    uint8_t bytes[REASON_BYTES_MAX + 16];
    char text[REASON_BYTES_MAX + 1];
    (void)snprintf(text, sizeof text, "%s", reason);
    Meltica__V1__ResyncReply reply;
    meltica__v1__resync_reply__init(&reply);
    reply.accepted = outcome == MLT_RESYNC_ACCEPTED;
    reply.reason = text;
    const size_t len = meltica__v1__resync_reply__pack(&reply, bytes);
    const enum mlt_status status =
        mlt_bus_reply(r->control, reply_to, mlt_slice_of(bytes, len), 0, NULL);
    (void)pthread_mutex_lock(&r->lock);
    r->stats.outcomes[outcome]++;
    (void)pthread_mutex_unlock(&r->lock);
    if (status != MLT_OK) {
        mlt_log(MLT_LOG_WARN, "resync_not_answered", "a request for a snapshot was not answered",
                MLT_S("reason", mlt_status_word(status)));
    }
}

static void refuse(struct mlt_resync *r, const char *reply_to, enum mlt_resync_outcome outcome,
                   const char *instrument, const char *reason)
{
    mlt_log(MLT_LOG_WARN, "resync_refused", "a request for a snapshot was refused",
            MLT_S("instrument", instrument), MLT_S("reason", reason));
    answer(r, reply_to, outcome, reason);
}

/* ---- requests: thread of the subscription ---- */

static bool put(struct mlt_resync *r, const struct item *item)
{
    (void)pthread_mutex_lock(&r->lock);
    const bool room = r->count < MLT_RESYNC_WAITING_MAX;
    if (room) {
        r->waiting[(r->first + r->count++) % MLT_RESYNC_WAITING_MAX] = *item;
        (void)pthread_cond_signal(&r->wake);
    }
    (void)pthread_mutex_unlock(&r->lock);
    return room;
}

static void take_request(struct mlt_resync *r, const char *reply_to,
                         const Meltica__V1__ResyncRequest *request)
{
    struct item item = { .priority = request->priority };
    const struct mlt_want want = { .type = (enum mlt_event_type)request->type,
                                   .depth = request->depth,
                                   .first = request->first,
                                   .last = request->last };
    const char *reason = r->ports.demand(r->ports.ctx, mlt_slice_of_string(request->instrument),
                                         &want, &item.demand);
    if (reason[0] != '\0') {
        refuse(r, reply_to, MLT_RESYNC_REFUSED, request->instrument, reason);
        return;
    }
    if (r->ports.away(r->ports.ctx, mlt_slice_of_string(request->instrument))) {
        refuse(r, reply_to, MLT_RESYNC_AWAY, request->instrument, AWAY);
        return;
    }
    /* What the table knows is a token, and an inbox that does not fit cannot be answered anyway. */
    (void)snprintf(item.instrument, sizeof item.instrument, "%s", request->instrument);
    (void)snprintf(item.reply, sizeof item.reply, "%s", reply_to);
    if (!put(r, &item)) {
        refuse(r, reply_to, MLT_RESYNC_BUSY, request->instrument, "busy");
    }
}

static void on_request(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_resync *r = ctx;
    if (message->reply[0] == '\0') {
        return; /* nobody waits: whoever needs a snapshot does */
    }
    if (r->ports.may != NULL && !r->ports.may(r->ports.ctx)) {
        return; /* who gets no answer asks again */
    }
    Meltica__V1__ResyncRequest *request =
        message->payload.len > REQUEST_BYTES_MAX
            ? NULL
            : meltica__v1__resync_request__unpack(NULL, message->payload.len,
                                                  message->payload.data);
    if (request == NULL) {
        refuse(r, message->reply, MLT_RESYNC_REFUSED, "", "parse");
        return;
    }
    take_request(r, message->reply, request);
    meltica__v1__resync_request__free_unpacked(request, NULL);
}

/* ---- calls: thread of its own ---- */

static enum mlt_status encode(const struct item *item, struct mlt_buf *out)
{
    Meltica__V1__FetchRequest request;
    meltica__v1__fetch_request__init(&request);
    request.function = mlt_unconst(item->demand.route->rest_function);
    request.instrument = mlt_unconst(item->instrument);
    request.limit = item->demand.limit;
    request.route = item->demand.route->number;
    request.priority = item->priority;
    request.from = item->demand.from;
    const size_t bytes = meltica__v1__fetch_request__get_packed_size(&request);
    const enum mlt_status status = mlt_buf_reserve(out, bytes);
    if (status == MLT_OK) {
        out->len += meltica__v1__fetch_request__pack(&request, out->data + out->len);
    }
    return status;
}

/* What the Adapter said, or did not say. */
static enum mlt_resync_outcome judge(enum mlt_status status, struct mlt_slice said, char *reason,
                                     size_t size)
{
    if (status != MLT_OK) {
        const char *word = status == MLT_E_UNAVAILABLE ? AWAY
                           : status == MLT_E_TIMEOUT   ? "adapter_silent"
                                                       : mlt_status_word(status);
        (void)snprintf(reason, size, "%s", word);
        return MLT_RESYNC_AWAY;
    }
    struct mlt_taken taken;
    if (mlt_fetch_reply_read(said, &taken) != MLT_OK) {
        (void)snprintf(reason, size, "adapter_unreadable");
        return MLT_RESYNC_ADAPTER;
    }
    (void)snprintf(reason, size, "%s", taken.reason);
    return taken.accepted ? MLT_RESYNC_ACCEPTED : MLT_RESYNC_ADAPTER;
}

static void call(struct mlt_resync *r, const struct item *item)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf request, said;
    char reason[REASON_BYTES_MAX + 1];
    const struct mlt_slice instrument = mlt_slice_of_string(item->instrument);
    if (r->ports.away(r->ports.ctx, instrument)) { /* since it began to wait */
        refuse(r, item->reply, MLT_RESYNC_AWAY, item->instrument, AWAY);
        return;
    }
    const int64_t at_ns = mlt_clock_mono_ns();
    mlt_buf_init(&request, REQUEST_BYTES_MAX);
    mlt_buf_init(&said, ANSWER_BYTES_MAX);
    enum mlt_status status = encode(item, &request);
    if (status == MLT_OK) {
        status = mlt_bus_request(r->control, SUBJECT_FETCH, mlt_buf_view(&request),
                                 MLT_RESYNC_FETCH_NS, &said, &err);
    }
    if (status == MLT_E_TIMEOUT) {
        r->ports.silent(r->ports.ctx, instrument, at_ns);
    }
    const enum mlt_resync_outcome outcome =
        judge(status, mlt_buf_view(&said), reason, sizeof reason);
    if (outcome == MLT_RESYNC_ACCEPTED) {
        answer(r, item->reply, outcome, reason);
    } else {
        refuse(r, item->reply, outcome, item->instrument, reason);
    }
    mlt_buf_fini(&said);
    mlt_buf_fini(&request);
}

static void *run(void *argument)
{
    struct mlt_resync *r = argument;
    (void)pthread_mutex_lock(&r->lock);
    while (!r->stop) {
        if (r->count == 0) {
            (void)pthread_cond_wait(&r->wake, &r->lock);
            continue;
        }
        const struct item item = r->waiting[r->first];
        r->first = (r->first + 1) % MLT_RESYNC_WAITING_MAX;
        r->count--;
        (void)pthread_mutex_unlock(&r->lock);
        call(r, &item);
        (void)pthread_mutex_lock(&r->lock);
    }
    (void)pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- life ---- */

static void free_all(struct mlt_resync *r)
{
    (void)pthread_cond_destroy(&r->wake);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

static void end_thread(struct mlt_resync *r)
{
    (void)pthread_mutex_lock(&r->lock);
    r->stop = true;
    (void)pthread_cond_signal(&r->wake);
    (void)pthread_mutex_unlock(&r->lock);
    (void)pthread_join(r->thread, NULL);
}

enum mlt_status mlt_resync_create(struct mlt_bus *control, const struct mlt_resync_ports *ports,
                                  struct mlt_resync **resync, struct mlt_error *err)
{
    const struct mlt_bus_subscribe_options requests = { .subject = SUBJECT_RESYNC };
    struct mlt_resync *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for requests for snapshots");
    }
    r->control = control;
    r->ports = *ports;
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_cond_init(&r->wake, NULL);
    if (pthread_create(&r->thread, NULL, run, r) != 0) {
        free_all(r);
        return mlt_error_set(err, MLT_E_INTERNAL, "the thread for snapshots does not start");
    }
    const enum mlt_status status =
        mlt_bus_subscribe(control, &requests, on_request, r, &r->requests, err);
    if (status != MLT_OK) {
        end_thread(r);
        free_all(r);
        return status;
    }
    *resync = r;
    return MLT_OK;
}

void mlt_resync_destroy(struct mlt_resync *resync)
{
    if (resync == NULL) {
        return;
    }
    mlt_bus_unsubscribe(resync->requests);
    end_thread(resync);
    free_all(resync);
}

void mlt_resync_get_stats(struct mlt_resync *resync, struct mlt_resync_stats *out)
{
    (void)pthread_mutex_lock(&resync->lock);
    *out = resync->stats;
    (void)pthread_mutex_unlock(&resync->lock);
}
