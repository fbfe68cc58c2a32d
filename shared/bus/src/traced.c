/* Messages with the header of W3C Trace Context. */
#include "connection.h"

#define HEADER "traceparent"

enum mlt_status mlt_bus_hand_over_traced(struct mlt_bus *bus, natsConnection *nc,
                                         const char *subject, struct mlt_slice payload,
                                         const char *traceparent)
{
    if (traceparent == NULL) {
        return mlt_bus_hand_over(bus, nc, subject, payload);
    }
    natsMsg *msg = NULL;
    natsStatus s =
        natsMsg_Create(&msg, subject, NULL, (const char *)payload.data, (int)payload.len);
    if (s == NATS_OK) {
        s = natsMsgHeader_Set(msg, HEADER, traceparent);
    }
    const enum mlt_status status =
        s == NATS_OK ? mlt_bus_hand_over_message(bus, nc, msg) : mlt_bus_status(s, NULL, "");
    natsMsg_Destroy(msg);
    return status;
}

natsStatus mlt_bus_request_message(natsMsg **answer, natsConnection *nc, const char *subject,
                                   struct mlt_slice payload, const char *traceparent,
                                   int64_t timeout_ms)
{
    natsMsg *msg = NULL;
    natsStatus s =
        natsMsg_Create(&msg, subject, NULL, (const char *)payload.data, (int)payload.len);
    if (s == NATS_OK) {
        s = natsMsgHeader_Set(msg, HEADER, traceparent);
    }
    if (s == NATS_OK) {
        s = natsConnection_RequestMsg(answer, nc, msg, timeout_ms);
    }
    natsMsg_Destroy(msg);
    return s;
}
