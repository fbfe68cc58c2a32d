/* Requests that many answer, and what a server refused. For tools: everything here waits. */
#include <stdio.h>
#include <string.h>

#include "connection.h"
#include "meltica/base/clock.h"

/* The server's word that nobody listens. */
static bool is_nobody(natsMsg *msg)
{
    const char *code = NULL;
    return natsMsg_GetDataLength(msg) == 0 && natsMsgHeader_Get(msg, "Status", &code) == NATS_OK &&
           strcmp(code, "503") == 0;
}

static enum mlt_status take_answers(natsSubscription *subscription, const char *subject,
                                    int64_t wait_ns, int64_t quiet_ns, mlt_bus_answer_fn fn,
                                    void *ctx, struct mlt_error *err)
{
    const int64_t deadline = mlt_clock_mono_ns() + wait_ns;
    natsStatus s = NATS_OK;
    uint64_t answers = 0;
    bool more = true;
    while (more && s == NATS_OK) {
        int64_t left = deadline - mlt_clock_mono_ns();
        if (answers > 0 && quiet_ns > 0 && left > quiet_ns) {
            left = quiet_ns;
        }
        natsMsg *msg = NULL;
        s = left > 0 ? natsSubscription_NextMsg(&msg, subscription, left / MLT_NS_PER_MS + 1)
                     : NATS_TIMEOUT;
        if (s == NATS_OK && is_nobody(msg)) {
            natsMsg_Destroy(msg);
            return mlt_error_set(err, MLT_E_UNAVAILABLE, "%s: nobody serves it", subject);
        }
        if (s == NATS_OK) {
            answers++;
            more = fn(ctx, mlt_slice_of(natsMsg_GetData(msg), (size_t)natsMsg_GetDataLength(msg)));
            natsMsg_Destroy(msg);
        }
    }
    if (s == NATS_NO_RESPONDERS) {
        return mlt_error_set(err, MLT_E_UNAVAILABLE, "%s: nobody serves it", subject);
    }
    if (s == NATS_TIMEOUT || s == NATS_OK) {
        return answers > 0 ? MLT_OK
                           : mlt_error_set(err, MLT_E_TIMEOUT, "%s: no answer in time", subject);
    }
    return mlt_error_set(err, MLT_E_UNAVAILABLE, "%s: the connection ended", subject);
}

enum mlt_status mlt_bus_gather(struct mlt_bus *bus, const char *subject, int64_t wait_ns,
                               int64_t quiet_ns, mlt_bus_answer_fn fn, void *ctx,
                               struct mlt_error *err)
{
    char inbox[MLT_BUS_INBOX_BYTES_MAX];
    natsSubscription *subscription = NULL;
    natsConnection *nc = mlt_bus_nats(bus);
    if (!mlt_bus_subject_valid(subject) || nc == NULL) {
        return mlt_error_set(err, MLT_E_INVALID, "gather: bad subject or connection");
    }
    if (!mlt_bus_connected(bus)) {
        return mlt_error_set(err, MLT_E_UNAVAILABLE, "%s: not connected to NATS", subject);
    }
    enum mlt_status status = mlt_bus_make_inbox(bus, inbox, err);
    if (status != MLT_OK) {
        return status;
    }
    natsStatus s = natsConnection_SubscribeSync(&subscription, nc, inbox);
    if (s == NATS_OK) {
        s = natsConnection_PublishRequest(nc, subject, inbox, "", 0);
    }
    status = s == NATS_OK ? take_answers(subscription, subject, wait_ns, quiet_ns, fn, ctx, err)
                          : mlt_bus_status(s, err, subject);
    natsSubscription_Destroy(subscription);
    return status;
}

bool mlt_bus_denied(struct mlt_bus *bus, const char *subject)
{
    char text[512] = "", quoted[MLT_BUS_SUBJECT_BYTES_MAX + 3];
    natsConnection *nc = mlt_bus_nats(bus);
    if (nc == NULL || mlt_bus_rtt_ns(bus) < 0) {
        return false;
    }
    (void)snprintf(quoted, sizeof quoted, "\"%.*s\"", (int)MLT_BUS_SUBJECT_BYTES_MAX, subject);
    return natsConnection_ReadLastError(nc, text, sizeof text) == NATS_NOT_PERMITTED &&
           strstr(text, quoted) != NULL;
}
