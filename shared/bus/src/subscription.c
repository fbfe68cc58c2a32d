/* Subscriptions. One of ours outlives nats.c's: on a DATA bus each connection gets a new one. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "connection.h"
#include "meltica/base/log.h"

#define PENDING_COUNT_MAX 65536
#define PENDING_BYTES_MAX (16u << 20)
#define SILENCE_NS (2 * MLT_NS_PER_S)

struct mlt_bus_subscription {
    struct mlt_bus *bus;
    struct mlt_bus_subscription *next; /* subs_lock */
    mlt_bus_handler_fn handler;
    void *ctx;
    char *subject, *queue;
    int count_max, bytes_max;
    natsSubscription *current; /* subs_lock */
    /* subs_lock: the server refuses it; it was asked for again, and has not said so again. */
    bool optional, refused, again;
    bool drains;      /* of who ends it */
    int64_t asked_ns; /* subs_lock, where it is refused: when it was asked for last */
    uint64_t
        dropped; /* subs_lock: by current, when last looked at; nats.c forgets it with its end */
    /* The delivery thread of a connection that ended may still be in the handler when that of the
     * next one has its first message. */
    pthread_mutex_t handler_lock;
    struct spent spent; /* handler_lock: handled, not yet given back */
    pthread_mutex_t lock;
    pthread_cond_t completed;
    unsigned live; /* delivery threads */
};

static void fill(struct mlt_bus_message *message, natsMsg *msg)
{
    const char *code = NULL, *text = NULL;
    const char *reply = natsMsg_GetReply(msg);
    *message =
        (struct mlt_bus_message){ .subject = natsMsg_GetSubject(msg),
                                  .reply = reply != NULL ? reply : "",
                                  .payload = mlt_slice_of(natsMsg_GetData(msg),
                                                          (size_t)natsMsg_GetDataLength(msg)),
                                  .error_text = "" };
    if (natsMsgHeader_Get(msg, "Nats-Service-Error-Code", &code) == NATS_OK) {
        message->error_code = mlt_service_error_code(code);
        if (natsMsgHeader_Get(msg, "Nats-Service-Error", &text) == NATS_OK) {
            message->error_text = text;
        }
    }
    if (natsMsgHeader_Get(msg, "traceparent", &message->traceparent) != NATS_OK) {
        message->traceparent = NULL;
    }
}

static void on_message(natsConnection *nc, natsSubscription *from, natsMsg *msg, void *closure)
{
    struct mlt_bus_subscription *sub = closure;
    struct mlt_bus_message message;
    (void)nc, (void)from;
    fill(&message, msg);
    atomic_fetch_add_explicit(&sub->bus->counters.received, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&sub->bus->counters.received_bytes, message.payload.len,
                              memory_order_relaxed);
    (void)pthread_mutex_lock(&sub->handler_lock);
    sub->handler(sub->ctx, &message);
    mlt_bus_spend(&sub->spent, msg, message.payload.len);
    (void)pthread_mutex_unlock(&sub->handler_lock);
}

static void on_complete(void *closure)
{
    struct mlt_bus_subscription *sub = closure;
    (void)pthread_mutex_lock(&sub->lock);
    sub->live--;
    (void)pthread_cond_broadcast(&sub->completed);
    (void)pthread_mutex_unlock(&sub->lock);
}

static void wait_completed(struct mlt_bus_subscription *sub)
{
    (void)pthread_mutex_lock(&sub->lock);
    while (sub->live > 0) {
        (void)pthread_cond_wait(&sub->completed, &sub->lock);
    }
    (void)pthread_mutex_unlock(&sub->lock);
}

static void add_live(struct mlt_bus_subscription *sub, int change)
{
    (void)pthread_mutex_lock(&sub->lock);
    sub->live += (unsigned)change;
    (void)pthread_mutex_unlock(&sub->lock);
}

static void look_at_dropped(struct mlt_bus_subscription *sub)
{
    int64_t dropped = 0;
    if (sub->current != NULL && natsSubscription_GetDropped(sub->current, &dropped) == NATS_OK &&
        dropped > 0) {
        sub->dropped = (uint64_t)dropped;
    }
}

static void retire(struct mlt_bus_subscription *sub, natsSubscription *one)
{
    atomic_fetch_add(&sub->bus->counters.dropped, sub->dropped);
    sub->dropped = 0;
    natsSubscription_Destroy(one); /* NULL is fine */
}

/* Under subs_lock; on a DATA bus under flush_lock too, so that no message can come before the
 * completion handler is in place. */
static natsStatus start(struct mlt_bus_subscription *sub, natsConnection *nc)
{
    natsSubscription *one = NULL;
    natsStatus s =
        sub->queue != NULL
            ? natsConnection_QueueSubscribe(&one, nc, sub->subject, sub->queue, on_message, sub)
            : natsConnection_Subscribe(&one, nc, sub->subject, on_message, sub);
    if (s != NATS_OK) {
        return s;
    }
    add_live(sub, 1);
    s = natsSubscription_SetOnCompleteCB(one, on_complete, sub);
    if (s == NATS_OK) {
        s = natsSubscription_SetPendingLimits(one, sub->count_max, sub->bytes_max);
    } else {
        add_live(sub, -1);
    }
    look_at_dropped(sub);
    retire(sub, sub->current);
    sub->current = one;
    return s;
}

void mlt_bus_subscriptions_start(struct mlt_bus *bus, natsConnection *nc)
{
    for (struct mlt_bus_subscription *sub = bus->subs; sub != NULL; sub = sub->next) {
        const natsStatus s = start(sub, nc);
        if (s != NATS_OK) { /* out of memory, or the connection ended: the next one tries again */
            mlt_log(MLT_LOG_WARN, "bus_subscribe_failed", natsStatus_GetText(s),
                    MLT_S("subject", sub->subject));
        }
    }
}

/* ---- what the server refuses ---- */

bool mlt_bus_subscriptions_refuse(struct mlt_bus *bus, const natsConnection *nc,
                                  const char *subject)
{
    bool ours = false;
    (void)pthread_mutex_lock(&bus->subs_lock);
    struct link *link = mlt_bus_link_acquire(bus);
    for (struct mlt_bus_subscription *sub = bus->subs; sub != NULL; sub = sub->next) {
        if (strcmp(sub->subject, subject) != 0) {
            continue;
        }
        ours = true;
        if (link == NULL || link->nc != nc) {
            continue; /* said on one that ended: the next one has asked by itself */
        }
        if (!sub->refused) {
            sub->asked_ns = mlt_clock_mono_ns();
            mlt_log(MLT_LOG_WARN, "bus_subscription_refused",
                    sub->optional
                        ? "goes on without it; meltica nats-auth gives the user what it may need"
                        : "nothing is heard there: meltica nats-auth gives the user what it needs",
                    MLT_S("bus", bus->name), MLT_S("subject", subject));
        }
        sub->refused = true;
        sub->again = false;
    }
    (void)pthread_mutex_unlock(&bus->subs_lock);
    if (link != NULL) {
        mlt_bus_link_release(link);
    }
    return ours;
}

void mlt_bus_subscriptions_forget(struct mlt_bus *bus)
{
    (void)pthread_mutex_lock(&bus->subs_lock);
    for (struct mlt_bus_subscription *sub = bus->subs; sub != NULL; sub = sub->next) {
        sub->refused = sub->again = false;
    }
    (void)pthread_mutex_unlock(&bus->subs_lock);
}

bool mlt_bus_subscriptions_deaf(struct mlt_bus *bus, char *said, size_t size)
{
    bool deaf = false;
    (void)pthread_mutex_lock(&bus->subs_lock);
    for (const struct mlt_bus_subscription *sub = bus->subs; sub != NULL; sub = sub->next) {
        if (sub->refused && !sub->optional) {
            (void)snprintf(said, size, "Permissions Violation for Subscription to \"%s\"",
                           sub->subject);
            deaf = true;
        }
    }
    (void)pthread_mutex_unlock(&bus->subs_lock);
    return deaf;
}

bool mlt_bus_subscription_refused(struct mlt_bus_subscription *subscription)
{
    (void)pthread_mutex_lock(&subscription->bus->subs_lock);
    const bool refused = subscription->refused;
    (void)pthread_mutex_unlock(&subscription->bus->subs_lock);
    return refused;
}

/* The server says nothing where it takes one: who was not refused in this time is heard. */
static void look_again(struct mlt_bus_subscription *sub, natsConnection *nc, int64_t after_ns)
{
    const int64_t since_ns = mlt_clock_mono_ns() - sub->asked_ns;
    if (sub->again && since_ns >= SILENCE_NS) {
        sub->refused = sub->again = false;
        atomic_fetch_add(&sub->bus->counters.listened_again, 1);
        mlt_log(MLT_LOG_INFO, "bus_subscription_taken", "the server refuses it no more",
                MLT_S("bus", sub->bus->name), MLT_S("subject", sub->subject));
    } else if (!sub->again && since_ns >= after_ns) {
        sub->asked_ns = mlt_clock_mono_ns();
        sub->again = start(sub, nc) == NATS_OK;
    }
}

void mlt_bus_subscriptions_again(struct mlt_bus *bus, int64_t after_ns)
{
    struct queues queues = { 0 };
    (void)pthread_mutex_lock(&bus->subs_lock);
    mlt_bus_subscriptions_queues(bus, &queues);
    (void)pthread_mutex_unlock(&bus->subs_lock);
    if (queues.refused == 0) {
        return; /* without standing in the way of who writes */
    }
    (void)pthread_mutex_lock(&bus->flush_lock);
    (void)pthread_mutex_lock(&bus->subs_lock);
    struct link *link = mlt_bus_link_acquire(bus);
    for (struct mlt_bus_subscription *sub = bus->subs; sub != NULL && link != NULL;
         sub = sub->next) {
        if (sub->refused) {
            look_again(sub, link->nc, after_ns);
        }
    }
    (void)pthread_mutex_unlock(&bus->subs_lock);
    (void)pthread_mutex_unlock(&bus->flush_lock);
    if (link != NULL) {
        mlt_bus_link_release(link);
    }
}

/* ---- life ---- */

static void sub_free(struct mlt_bus_subscription *sub)
{
    mlt_bus_give_back(&sub->spent);
    (void)pthread_mutex_destroy(&sub->handler_lock);
    (void)pthread_mutex_destroy(&sub->lock);
    (void)pthread_cond_destroy(&sub->completed);
    free(sub->subject);
    free(sub->queue);
    free(sub);
}

void mlt_bus_subscriptions_end_all(struct mlt_bus *bus)
{
    while (bus->subs != NULL) {
        struct mlt_bus_subscription *sub = bus->subs;
        bus->subs = sub->next;
        wait_completed(sub);
        retire(sub, sub->current);
        sub_free(sub);
    }
}

static uint64_t natural(int value)
{
    return value > 0 ? (uint64_t)value : 0;
}

void mlt_bus_subscriptions_queues(struct mlt_bus *bus, struct queues *out)
{
    for (struct mlt_bus_subscription *sub = bus->subs; sub != NULL; sub = sub->next) {
        int messages = 0, bytes = 0, most = 0, most_bytes = 0;
        look_at_dropped(sub);
        out->dropped += sub->dropped;
        out->refused += sub->refused;
        if (sub->current == NULL ||
            natsSubscription_GetPending(sub->current, &messages, &bytes) != NATS_OK ||
            natsSubscription_GetMaxPending(sub->current, &most, &most_bytes) != NATS_OK) {
            continue; /* ended: nothing waits */
        }
        out->messages += natural(messages);
        out->bytes += natural(bytes);
        out->max = natural(most) > out->max ? natural(most) : out->max;
    }
}

static struct mlt_bus_subscription *sub_make(struct mlt_bus *bus,
                                             const struct mlt_bus_subscribe_options *options,
                                             mlt_bus_handler_fn handler, void *ctx)
{
    struct mlt_bus_subscription *sub = calloc(1, sizeof *sub);
    if (sub == NULL) {
        return NULL;
    }
    const size_t bytes =
        options->pending_bytes_max > 0 ? options->pending_bytes_max : PENDING_BYTES_MAX;
    sub->bus = bus;
    sub->handler = handler;
    sub->ctx = ctx;
    sub->optional = options->optional;
    sub->count_max =
        options->pending_count_max > 0 ? options->pending_count_max : PENDING_COUNT_MAX;
    sub->bytes_max = bytes < INT_MAX ? (int)bytes : INT_MAX;
    (void)pthread_mutex_init(&sub->handler_lock, NULL);
    (void)pthread_mutex_init(&sub->lock, NULL);
    mlt_bus_cond_init(&sub->completed);
    sub->subject = strdup(options->subject);
    sub->queue =
        options->queue != NULL && options->queue[0] != '\0' ? strdup(options->queue) : NULL;
    if (sub->subject == NULL ||
        (options->queue != NULL && options->queue[0] != '\0' && sub->queue == NULL)) {
        sub_free(sub);
        return NULL;
    }
    return sub;
}

static void unlink_sub(struct mlt_bus_subscription *sub)
{
    struct mlt_bus_subscription **at = &sub->bus->subs;
    while (*at != NULL && *at != sub) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = sub->next;
    }
}

/* While nothing is connected, a DATA bus keeps it for the next connection. */
static natsStatus begin(struct mlt_bus *bus, struct mlt_bus_subscription *sub)
{
    natsStatus s = NATS_OK;
    (void)pthread_mutex_lock(&bus->flush_lock);
    (void)pthread_mutex_lock(&bus->subs_lock);
    struct link *link = mlt_bus_link_acquire(bus);
    if (link != NULL) {
        s = start(sub, link->nc);
        if (bus->kind == MLT_BUS_DATA && s == NATS_CONNECTION_CLOSED) {
            s = NATS_OK;
        }
        mlt_bus_link_release(link);
    }
    if (s == NATS_OK) {
        sub->next = bus->subs;
        bus->subs = sub;
    }
    (void)pthread_mutex_unlock(&bus->subs_lock);
    (void)pthread_mutex_unlock(&bus->flush_lock);
    return s;
}

/* A subscription may have wildcards: nats.c checks those, only what would break its line is ours.
 */
static bool subject_acceptable(const char *subject)
{
    const size_t len = subject != NULL ? strnlen(subject, MLT_BUS_SUBJECT_BYTES_MAX + 1) : 0;
    if (len == 0 || len > MLT_BUS_SUBJECT_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)subject[i] <= ' ' || subject[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

enum mlt_status mlt_bus_subscribe(struct mlt_bus *bus,
                                  const struct mlt_bus_subscribe_options *options,
                                  mlt_bus_handler_fn handler, void *ctx,
                                  struct mlt_bus_subscription **subscription, struct mlt_error *err)
{
    if (!subject_acceptable(options->subject) || handler == NULL) {
        return mlt_error_set(err, MLT_E_INVALID, "bad subject of a subscription");
    }
    struct mlt_bus_subscription *sub = sub_make(bus, options, handler, ctx);
    if (sub == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory to subscribe to %s", options->subject);
    }
    const natsStatus s = begin(bus, sub);
    if (s != NATS_OK) {
        if (sub->current != NULL) {
            (void)natsSubscription_Unsubscribe(sub->current);
            wait_completed(sub);
            natsSubscription_Destroy(sub->current);
        }
        sub_free(sub);
        return mlt_bus_status(s, err, options->subject);
    }
    *subscription = sub;
    return MLT_OK;
}

size_t mlt_bus_subscription_pending(struct mlt_bus_subscription *subscription)
{
    int count = 0, bytes = 0;
    (void)pthread_mutex_lock(&subscription->bus->subs_lock);
    if (subscription->current == NULL ||
        natsSubscription_GetPending(subscription->current, &count, &bytes) != NATS_OK) {
        count = 0;
    }
    (void)pthread_mutex_unlock(&subscription->bus->subs_lock);
    return (size_t)count;
}

void mlt_bus_unsubscribe(struct mlt_bus_subscription *subscription)
{
    struct mlt_bus_subscription *sub = subscription;
    if (sub == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&sub->bus->subs_lock);
    unlink_sub(sub);
    look_at_dropped(sub);
    natsSubscription *one = sub->current;
    sub->current = NULL;
    (void)pthread_mutex_unlock(&sub->bus->subs_lock);
    if (one != NULL) {
        (void)natsSubscription_Unsubscribe(one); /* fails when the connection ended: so did this */
    }
    wait_completed(sub);
    retire(sub, one);
    sub_free(sub);
}

void mlt_bus_unsubscribe_drained(struct mlt_bus_subscription *const *subscriptions, size_t count,
                                 int64_t wait_ns)
{
    const int64_t until_ns = mlt_clock_mono_ns() + wait_ns;
    /* All begin to end before one is waited for. Without a connection there is nothing to wait for.
     */
    for (size_t i = 0; i < count; i++) {
        struct mlt_bus_subscription *sub = subscriptions[i];
        if (sub != NULL) {
            (void)pthread_mutex_lock(&sub->bus->subs_lock);
            sub->drains =
                sub->current != NULL &&
                natsSubscription_DrainTimeout(sub->current, wait_ns / MLT_NS_PER_MS) == NATS_OK;
            (void)pthread_mutex_unlock(&sub->bus->subs_lock);
        }
    }
    for (size_t i = 0; i < count; i++) {
        struct mlt_bus_subscription *sub = subscriptions[i];
        const int64_t left_ms = (until_ns - mlt_clock_mono_ns()) / MLT_NS_PER_MS;
        if (sub != NULL && sub->drains && left_ms > 0) {
            /* Too late, or ended by its connection: what follows ends it in any case. */
            (void)natsSubscription_WaitForDrainCompletion(sub->current, left_ms);
        }
        mlt_bus_unsubscribe(sub);
    }
}
