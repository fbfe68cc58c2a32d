/*
 * What of a trace goes from one process to the next: W3C Trace Context (level 1), and the span ids
 * of the stages of an event, which are computed and never carried. Any thread (pure).
 */
#ifndef MELTICA_TRACE_CONTEXT_H
#define MELTICA_TRACE_CONTEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "meltica/event/event.h"

#define MLT_SPAN_ID_BYTES 8u
#define MLT_TRACEPARENT_BYTES 56u /* with its NUL */
#define MLT_TRACE_SAMPLED 1u      /* of flags */

struct mlt_trace_context {
    uint8_t trace_id[MLT_TRACE_ID_BYTES];
    uint8_t span_id[MLT_SPAN_ID_BYTES]; /* all zero: none */
    uint32_t flags;                     /* W3C trace-flags, 8 bits */
};

/* "00-<trace id>-<span id>-<flags>", lower case. */
void mlt_traceparent_format(const struct mlt_trace_context *context,
                            char out[MLT_TRACEPARENT_BYTES]);
/* False, and *context all zero, for NULL, "" and whatever the standard calls invalid: another
 * length, upper case, version ff, an id of zeros. Of a later version the first four fields count.
 */
bool mlt_traceparent_parse(const char *text, struct mlt_trace_context *context);

/* The way of an event. A stage that does its work again (a repeat after a kill) gives the same
 * span. */
enum mlt_trace_stage {
    MLT_TRACE_ADAPT = 1,
    MLT_TRACE_DISPATCH,
    MLT_TRACE_CONDUCT,
    MLT_TRACE_PUBLISH,
};

/* Of one event. From the Conductor on several events may have one trace id (a BOOK has that of its
 * last delta): there type and sequence are part of it. Never all zero. */
void mlt_trace_stage_span(const uint8_t trace_id[MLT_TRACE_ID_BYTES], enum mlt_trace_stage stage,
                          enum mlt_event_type type, uint64_t sequence,
                          uint8_t out[MLT_SPAN_ID_BYTES]);

/* New random ids; flags are left. The first of a trace, and one more span of the same trace. */
void mlt_trace_new_trace(struct mlt_trace_context *context);
void mlt_trace_new_span(struct mlt_trace_context *context);

static inline bool mlt_span_id_set(const uint8_t id[MLT_SPAN_ID_BYTES])
{
    uint8_t any = 0;
    for (unsigned i = 0; i < MLT_SPAN_ID_BYTES; i++) {
        any |= id[i];
    }
    return any != 0;
}

#endif
