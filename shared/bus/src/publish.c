/* What leaves by a connection: messages, answers, requests; and what is done with. */
#include <stdio.h>

#include "answer.h"
#include "connection.h"

#define SPENT_BYTES_MAX (128u << 10)

void mlt_bus_give_back(struct spent *spent)
{
    for (size_t i = 0; i < spent->count; i++) {
        natsMsg_Destroy(spent->messages[i]);
    }
    spent->count = spent->bytes = 0;
}

void mlt_bus_spend(struct spent *spent, natsMsg *message, size_t bytes)
{
    spent->messages[spent->count++] = message;
    spent->bytes += bytes;
    if (spent->count == MLT_BUS_SPENT_MAX || spent->bytes >= SPENT_BYTES_MAX) {
        mlt_bus_give_back(spent);
    }
}

/* ---- publish ---- */

enum mlt_status mlt_bus_hand_over(struct mlt_bus *bus, natsConnection *nc, const char *subject,
                                  struct mlt_slice payload)
{
    const natsStatus s = natsConnection_Publish(nc, subject, payload.data, (int)payload.len);
    if (s != NATS_OK) {
        return mlt_bus_status(s, NULL, "");
    }
    atomic_fetch_add_explicit(&bus->counters.published, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&bus->counters.published_bytes, payload.len, memory_order_relaxed);
    return MLT_OK;
}

enum mlt_status mlt_bus_hand_over_message(struct mlt_bus *bus, natsConnection *nc, natsMsg *message)
{
    const natsStatus s = natsConnection_PublishMsg(nc, message);
    if (s != NATS_OK) {
        return mlt_bus_status(s, NULL, "");
    }
    atomic_fetch_add_explicit(&bus->counters.published, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&bus->counters.published_bytes,
                              (unsigned long long)natsMsg_GetDataLength(message),
                              memory_order_relaxed);
    return MLT_OK;
}

static enum mlt_status checked(const char *subject, struct mlt_slice payload)
{
    if (payload.len > MLT_BUS_PAYLOAD_BYTES_MAX) {
        return MLT_E_TOO_BIG;
    }
    return mlt_bus_subject_valid(subject) ? MLT_OK : MLT_E_INVALID;
}

/* With room and a connection: the caller may hand over; the link is locked then. */
static enum mlt_status lock_link(struct mlt_bus *bus)
{
    if (!atomic_load(&bus->up) && bus->kind == MLT_BUS_DATA) {
        return MLT_E_CLOSED;
    }
    (void)pthread_rwlock_rdlock(&bus->link_lock);
    enum mlt_status status = MLT_OK;
    if (bus->link == NULL || bus->refused) {
        status = MLT_E_CLOSED;
    } else if (bus->kind == MLT_BUS_DATA &&
               natsConnection_Buffered(bus->link->nc) > bus->buffered_max) {
        status = MLT_E_FULL;
        atomic_fetch_add_explicit(&bus->counters.refused_full, 1, memory_order_relaxed);
    }
    if (status != MLT_OK) {
        (void)pthread_rwlock_unlock(&bus->link_lock);
    }
    return status;
}

static enum mlt_status publish_checked(struct mlt_bus *bus, const char *subject,
                                       struct mlt_slice payload)
{
    enum mlt_status status = lock_link(bus);
    if (status == MLT_OK) {
        status = mlt_bus_hand_over(bus, bus->link->nc, subject, payload);
        (void)pthread_rwlock_unlock(&bus->link_lock);
    }
    return status;
}

enum mlt_status mlt_bus_publish_on(struct mlt_bus *bus, unsigned generation, const char *subject,
                                   struct mlt_slice payload, const char *traceparent)
{
    enum mlt_status status = lock_link(bus);
    if (status != MLT_OK) {
        return status;
    }
    status = bus->link->generation == generation
                 ? mlt_bus_hand_over_traced(bus, bus->link->nc, subject, payload, traceparent)
                 : MLT_E_CLOSED;
    (void)pthread_rwlock_unlock(&bus->link_lock);
    return status;
}

enum mlt_status mlt_bus_publish(struct mlt_bus *bus, const char *subject, struct mlt_slice payload)
{
    const enum mlt_status status = checked(subject, payload);
    return status == MLT_OK ? publish_checked(bus, subject, payload) : status;
}

enum mlt_status mlt_bus_publish_wait(struct mlt_bus *bus, const char *subject,
                                     struct mlt_slice payload, int64_t deadline_mono_ns)
{
    enum mlt_status status = checked(subject, payload);
    if (status == MLT_OK) {
        status = publish_checked(bus, subject, payload);
    }
    if (status != MLT_E_FULL && status != MLT_E_CLOSED) {
        return status;
    }
    bool in_time = true;
    (void)pthread_mutex_lock(&bus->room_lock);
    atomic_fetch_add(&bus->room_waiters, 1);
    while ((status == MLT_E_FULL || status == MLT_E_CLOSED) && in_time &&
           !atomic_load(&bus->destroying)) {
        const uint64_t turn = bus->room_turn;
        (void)pthread_mutex_unlock(&bus->room_lock);
        status = publish_checked(bus, subject, payload);
        (void)pthread_mutex_lock(&bus->room_lock);
        while ((status == MLT_E_FULL || status == MLT_E_CLOSED) && in_time &&
               turn == bus->room_turn && !atomic_load(&bus->destroying)) {
            in_time = mlt_bus_cond_wait(&bus->room, &bus->room_lock, deadline_mono_ns);
        }
    }
    atomic_fetch_sub(&bus->room_waiters, 1);
    if (atomic_load(&bus->destroying)) {
        status = status == MLT_OK ? MLT_OK : MLT_E_CLOSED;
        (void)pthread_cond_broadcast(&bus->room);
    }
    (void)pthread_mutex_unlock(&bus->room_lock);
    return status;
}

/* ---- requests ---- */

enum mlt_status mlt_bus_reply(struct mlt_bus *bus, const char *reply, struct mlt_slice payload,
                              int error_code, const char *error_text)
{
    enum mlt_status status = checked(reply, payload);
    if (status != MLT_OK || error_code <= 0) {
        return status != MLT_OK ? status : publish_checked(bus, reply, payload);
    }
    char code[16];
    natsMsg *msg = NULL;
    (void)snprintf(code, sizeof code, "%d", error_code);
    natsStatus s = natsMsg_Create(&msg, reply, NULL, (const char *)payload.data, (int)payload.len);
    if (s == NATS_OK) {
        s = natsMsgHeader_Set(msg, "Nats-Service-Error-Code", code);
    }
    if (s == NATS_OK) {
        s = natsMsgHeader_Set(msg, "Nats-Service-Error", error_text != NULL ? error_text : "");
    }
    status = mlt_bus_status(s, NULL, "");
    if (status == MLT_OK && (status = lock_link(bus)) == MLT_OK) {
        status = mlt_bus_hand_over_message(bus, bus->link->nc, msg);
        (void)pthread_rwlock_unlock(&bus->link_lock);
    }
    natsMsg_Destroy(msg);
    return status;
}

static enum mlt_status take_answer(natsMsg *msg, const char *subject, struct mlt_buf *answer,
                                   struct mlt_error *err)
{
    const char *code = NULL, *text = NULL;
    const enum mlt_status status =
        mlt_buf_append(answer, natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg));
    if (status != MLT_OK) {
        return mlt_error_set(err, status, "answer on %s: %s", subject, mlt_status_text(status));
    }
    if (natsMsgHeader_Get(msg, "Nats-Service-Error-Code", &code) == NATS_OK) {
        if (natsMsgHeader_Get(msg, "Nats-Service-Error", &text) != NATS_OK) {
            text = "";
        }
        return mlt_error_set_foreign(err, MLT_E_PROTOCOL, "peer", mlt_service_error_code(code),
                                     "%s", text);
    }
    return MLT_OK;
}

enum mlt_status mlt_bus_request(struct mlt_bus *bus, const char *subject, struct mlt_slice payload,
                                int64_t timeout_ns, struct mlt_buf *answer, struct mlt_error *err)
{
    return mlt_bus_request_traced(bus, subject, payload, NULL, timeout_ns, answer, err);
}

enum mlt_status mlt_bus_request_traced(struct mlt_bus *bus, const char *subject,
                                       struct mlt_slice payload, const char *traceparent,
                                       int64_t timeout_ns, struct mlt_buf *answer,
                                       struct mlt_error *err)
{
    natsMsg *msg = NULL;
    enum mlt_status status = checked(subject, payload);
    if (status != MLT_OK) {
        return mlt_error_set(err, status, "request: bad subject or payload");
    }
    struct link *link = atomic_load(&bus->up) ? mlt_bus_link_acquire(bus) : NULL;
    if (link == NULL) {
        return mlt_error_set(err, MLT_E_UNAVAILABLE, "%s: not connected to NATS", subject);
    }
    const int64_t timeout_ms = timeout_ns > MLT_NS_PER_MS ? timeout_ns / MLT_NS_PER_MS : 1;
    const natsStatus s =
        traceparent == NULL
            ? natsConnection_Request(&msg, link->nc, subject, payload.data, (int)payload.len,
                                     timeout_ms)
            : mlt_bus_request_message(&msg, link->nc, subject, payload, traceparent, timeout_ms);
    status =
        s == NATS_OK ? take_answer(msg, subject, answer, err) : mlt_bus_status(s, err, subject);
    if (status == MLT_E_CLOSED || status == MLT_E_IO) {
        status = mlt_error_set(err, MLT_E_UNAVAILABLE, "%s: the connection ended", subject);
    }
    natsMsg_Destroy(msg);
    mlt_bus_link_release(link);
    return status;
}
