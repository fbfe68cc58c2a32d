/* The span of a command, below the caller's where it has one. It is always made. */
#ifndef MELTICA_CONTROL_BUS_COMMAND_SPAN_H
#define MELTICA_CONTROL_BUS_COMMAND_SPAN_H

#include "meltica/trace/trace.h"
#include "workers.h"

/* traceparent: what goes on with the command, "" for none; without a tracer the caller's. */
void mlt_command_span_begin(struct mlt_trace *trace, const struct mlt_work *work,
                            struct mlt_span *span, char traceparent[MLT_TRACEPARENT_BYTES]);
/* code: of a refusal, 0: it was carried out. Nothing without a tracer. */
void mlt_command_span_end(struct mlt_trace *trace, struct mlt_span *span, int code);

#endif
