#include "command_span.h"

#include <stdio.h>

#include "meltica/base/clock.h"

void mlt_command_span_begin(struct mlt_trace *trace, const struct mlt_work *work,
                            struct mlt_span *span, char traceparent[MLT_TRACEPARENT_BYTES])
{
    char name[MLT_SPAN_NAME_BYTES_MAX];
    traceparent[0] = '\0';
    if (trace == NULL) {
        if (mlt_span_id_set(work->caller.span_id)) {
            mlt_traceparent_format(&work->caller, traceparent);
        }
        return;
    }
    (void)snprintf(name, sizeof name, "process meltica.control.%s", mlt_verb_word(work->verb));
    mlt_span_begin(span, name, MLT_SPAN_SERVER, &work->caller, mlt_clock_wall_ns());
    mlt_span_text(span, "messaging.system", mlt_slice_of_string("nats"));
    mlt_span_text(span, "messaging.operation.name", mlt_slice_of_string("process"));
    mlt_span_text(span, "messaging.operation.type", mlt_slice_of_string("process"));
    mlt_span_text(span, "messaging.destination.name", mlt_slice_of_string(work->subject));
    mlt_span_number(span, "messaging.message.body.size", (int64_t)work->len);
    mlt_traceparent_format(&span->context, traceparent);
}

void mlt_command_span_end(struct mlt_trace *trace, struct mlt_span *span, int code)
{
    if (trace == NULL) {
        return;
    }
    if (code != 0) {
        char text[16];
        (void)snprintf(text, sizeof text, "%d", code);
        mlt_span_fail(span, mlt_slice_of_string(text));
    }
    span->end_ns = mlt_clock_wall_ns();
    mlt_trace_record(trace, span);
}
