/*
 * The Dispatcher's end of the Control Bus: a thread that reads the log (stream MELTICA_CONTROL)
 * into the live half of the table, answers when what it says is in force, and ends leases
 * (docs/decisions/0008-control.md). The log is the only way in: a request on meltica.int.apply.00
 * says that there is something new in it and waits for the outcome.
 */
#ifndef MELTICA_DISPATCHER_CONTROL_H
#define MELTICA_DISPATCHER_CONTROL_H

#include "confirm.h"

#include "meltica/bus/bus.h"

struct mlt_control;

/* A request for the outcome of a command, and what was told. */
struct mlt_control_answered {
    const char *traceparent, *subscription, *outcome;
    int64_t begin_ns; /* wall */
};

/* What the thread does to the Dispatcher; each takes the Dispatcher's lock as it needs. */
struct mlt_control_ports {
    /* One record of the log, in order. *revision: of the table that has it. Not MLT_OK: it cannot
     * be in force, and nothing changed. */
    enum mlt_status (*apply)(void *ctx, const Meltica__V1__ControlRecord *record, uint64_t sequence,
                             uint64_t *revision);
    /* Everything that the log had at the start was applied. */
    void (*log_read)(void *ctx);
    /* The flow may begin: the log is read, or JetStream is not there and nobody waits for it. */
    void (*open)(void *ctx);
    /* The live half, locked until unlock. */
    struct mlt_live *(*lock)(void *ctx, const struct mlt_table **table);
    void (*unlock)(void *ctx);
    void (*answered)(void *ctx, const struct mlt_control_answered *answered);
    /* False: another Dispatcher may know better: nothing is answered or written now. */
    bool (*may)(void *ctx);
    void *ctx;
};

struct mlt_control_stats {
    uint64_t applied, refused, confirmed, pending, failed, expired;
    uint64_t sequence;              /* of the last record of the log that was read */
    uint64_t waiting, waiting_most; /* commands that wait for their outcome: now, the most */
    bool log_read, available;       /* the last look at the log worked */
};

/* control: a CONTROL bus that outlives it. Nothing happens before mlt_control_start. */
enum mlt_status mlt_control_create(struct mlt_bus *control, uint32_t partitions,
                                   uint32_t provision_replicas, uint64_t boot,
                                   const struct mlt_control_ports *ports, struct mlt_control **out,
                                   struct mlt_error *err) MLT_MUST_CHECK;
enum mlt_status mlt_control_start(struct mlt_control *control,
                                  struct mlt_error *err) MLT_MUST_CHECK;
/* No port is called any more when it returns; waits for a request in hand (four seconds at most).
 * NULL is fine, and so is doing it twice. */
void mlt_control_stop(struct mlt_control *control);
void mlt_control_destroy(struct mlt_control *control); /* NULL is fine */

/* A PlanStatus came, as bytes. Any thread. */
void mlt_control_status(struct mlt_control *control, struct mlt_slice status);
void mlt_control_get_stats(struct mlt_control *control, struct mlt_control_stats *out);

#endif
