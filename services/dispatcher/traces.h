/* The Dispatcher's spans: events that leave, refusals, and commands on their way to the Adapters.
 */
#ifndef MELTICA_DISPATCHER_TRACES_H
#define MELTICA_DISPATCHER_TRACES_H

#include "internal.h"

/* Ports of the router; thread of the flow, with the lock. */
void dispatcher_trace_sent(void *ctx, const struct mlt_event *event);
void dispatcher_trace_rejected(struct dispatcher *d, const struct mlt_rejection *rejection);
/* A record of the log was applied, or not (status). Where the table changed by it the plans of that
 * revision carry its trace on. Takes the lock. */
void dispatcher_trace_applied(struct dispatcher *d, const Meltica__V1__ControlRecord *record,
                              int64_t begin_ns, enum mlt_status status, bool changed,
                              uint64_t revision);
/* Appends to an encoded plan what trace it belongs to. With the lock. */
void dispatcher_trace_plan(const struct dispatcher *d, uint64_t revision, struct mlt_buf *plan);
/* Port of the control log: a command's outcome was told. */
void dispatcher_trace_answered(void *ctx, const struct mlt_control_answered *answered);

#endif
