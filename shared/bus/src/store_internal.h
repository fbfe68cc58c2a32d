/* What the JetStream parts of shared/bus know of each other. */
#ifndef MELTICA_BUS_STORE_INTERNAL_H
#define MELTICA_BUS_STORE_INTERNAL_H

#include "internal.h"
#include "meltica/bus/store.h"

struct mlt_store {
    struct mlt_bus *bus;
    bool may_provision;
    jsCtx *js;
};

/* Outcome of one JetStream request: status of nats.c, error code of the server (0: none). `about`
 * is the stream or bucket concerned; it is also how a permission violation, which nats.c reports
 * beside the request, is recognised. Sets err and returns its status. */
enum mlt_status mlt_store_status(struct mlt_bus *bus, natsStatus status, int code,
                                 struct mlt_error *err, const char *what, const char *about);

/* Letters, digits, '-' and '_' only: bucket, service and endpoint names. */
bool mlt_store_name_valid(const char *name);
/* A key of a bucket: no byte above 0x7f, no wildcard, no reserved name. */
bool mlt_store_key_valid(const char *key);

/* ms left of a deadline for an option of nats.c, where 0 would mean its default: at least 1. */
int64_t mlt_store_left_ms(int64_t deadline_mono_ns);

#endif
