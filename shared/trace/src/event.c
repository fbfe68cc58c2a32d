/* The spans of an event's way. Their ids are computed, so that nothing of them travels with it. */
#include <stdio.h>

#include "internal.h"
#include "meltica/base/clock.h"

static bool is_change(const struct mlt_status_event *status)
{
    return status->kind != MLT_STATUS_HEADS;
}

uint32_t mlt_trace_begin_native(const struct mlt_trace *trace, const struct mlt_native_event *event)
{
    if (trace == NULL) {
        return 0;
    }
    const bool always = event->type == MLT_NATIVE_UNPARSED || event->type == MLT_EVENT_STATUS;
    return always || mlt_sampler_decide(trace_sampler(trace), event->trace_id, false, 0)
               ? MLT_TRACE_SAMPLED
               : 0;
}

bool mlt_trace_takes(const struct mlt_trace *trace, const struct mlt_event *event)
{
    if (trace == NULL) {
        return false;
    }
    if (event->type == MLT_EVENT_STATUS) {
        return is_change(&event->u.status);
    }
    return mlt_sampler_decide(trace_sampler(trace), event->trace_id, true, event->trace_flags);
}

static const struct {
    const char *name, *operation, *kind_of_operation, *destination, *destination_template;
    enum mlt_span_kind kind;
} stages[] = {
    [MLT_TRACE_ADAPT] = { "send meltica.int.native", "publish", "send", "meltica.int.native",
                          "meltica.int.native.{partition}", MLT_SPAN_PRODUCER },
    [MLT_TRACE_DISPATCH] = { "process meltica.int.native", "process", "process",
                             "meltica.int.native", "meltica.int.native.{partition}",
                             MLT_SPAN_CONSUMER },
    [MLT_TRACE_CONDUCT] = { "process meltica.int.canonical", "process", "process",
                            "meltica.int.canonical", "meltica.int.canonical.{partition}",
                            MLT_SPAN_CONSUMER },
    [MLT_TRACE_PUBLISH] = { "publish meltica.data.{instrument}", "publish", "send", NULL,
                            "meltica.data.{instrument}", MLT_SPAN_PRODUCER },
};

static void begin(struct mlt_span *span, enum mlt_trace_stage stage,
                  const uint8_t trace_id[MLT_TRACE_ID_BYTES], int64_t start_ns, int64_t end_ns)
{
    memset(span, 0, sizeof *span);
    memcpy(span->context.trace_id, trace_id, sizeof span->context.trace_id);
    span->context.flags = MLT_TRACE_SAMPLED;
    span->kind = stages[stage].kind;
    span->start_ns = start_ns;
    span->end_ns = end_ns > start_ns ? end_ns : start_ns; /* a wall clock may be set back */
    (void)snprintf(span->name, sizeof span->name, "%s", stages[stage].name);
    mlt_span_text(span, "messaging.system", mlt_slice_of_string("nats"));
    mlt_span_text(span, "messaging.operation.name", mlt_slice_of_string(stages[stage].operation));
    mlt_span_text(span, "messaging.operation.type",
                  mlt_slice_of_string(stages[stage].kind_of_operation));
    mlt_span_text(span, "messaging.destination.template",
                  mlt_slice_of_string(stages[stage].destination_template));
}

static void describe(struct mlt_span *span, struct mlt_slice instrument, int type)
{
    mlt_span_text(span, "meltica.instrument", instrument);
    mlt_span_text(span, "meltica.event.type", mlt_slice_of_string(mlt_event_type_word(type)));
}

void mlt_trace_native(struct mlt_trace *trace, const struct mlt_native_event *event, int64_t end_ns)
{
    if (trace == NULL || (event->trace_flags & MLT_TRACE_SAMPLED) == 0) {
        return;
    }
    struct mlt_span span;
    begin(&span, MLT_TRACE_ADAPT, event->trace_id, event->received, end_ns);
    mlt_trace_stage_span(event->trace_id, MLT_TRACE_ADAPT, MLT_EVENT_NONE, 0, span.context.span_id);
    describe(&span, event->instrument, event->type);
    if (event->rest_function.len > 0) {
        mlt_span_text(&span, "meltica.rest_function", event->rest_function);
    }
    if (event->exchange != MLT_STAMP_UNKNOWN) {
        mlt_span_number(&span, "meltica.exchange_age_ns",
                        mlt_span_ns(event->exchange, event->received));
    }
    if (event->type == MLT_NATIVE_UNPARSED) {
        mlt_span_fail(&span, event->u.unparsed.reason);
    } else if (event->type == MLT_EVENT_STATUS) {
        mlt_span_text(&span, "meltica.status",
                      mlt_slice_of_string(mlt_status_kind_word((int)event->u.status.kind)));
    }
    mlt_trace_record(trace, &span);
}

/* The stage before, where the event passed it: events that Meltica makes begin in the middle. */
static void set_parent(struct mlt_span *span, enum mlt_trace_stage stage,
                       const struct mlt_event *event)
{
    if ((stage == MLT_TRACE_DISPATCH && event->stamps.adapted != MLT_STAMP_UNKNOWN) ||
        (stage == MLT_TRACE_CONDUCT && event->stamps.dispatched != MLT_STAMP_UNKNOWN) ||
        (stage == MLT_TRACE_PUBLISH && event->stamps.conducted != MLT_STAMP_UNKNOWN)) {
        mlt_trace_stage_span(event->trace_id, (enum mlt_trace_stage)(stage - 1), event->type,
                             event->sequence, span->parent);
    }
}

static void name_subject(struct mlt_span *span, const struct mlt_event *event)
{
    char subject[16 + MLT_INSTRUMENT_BYTES_MAX];
    const int len = snprintf(subject, sizeof subject, "meltica.data.%.*s",
                             (int)event->instrument.len, (const char *)event->instrument.data);
    mlt_span_text(span, "messaging.destination.name", mlt_slice_of(subject, (size_t)len));
}

void mlt_trace_event(struct mlt_trace *trace, enum mlt_trace_stage stage,
                     const struct mlt_event *event, int64_t start_ns, int64_t end_ns)
{
    if (trace == NULL) {
        return;
    }
    struct mlt_span span;
    begin(&span, stage, event->trace_id, start_ns, end_ns);
    mlt_trace_stage_span(event->trace_id, stage, event->type, event->sequence,
                         span.context.span_id);
    set_parent(&span, stage, event);
    describe(&span, event->instrument, (int)event->type);
    if (event->sequence != 0) {
        mlt_span_number(&span, "meltica.sequence", (int64_t)event->sequence);
    }
    if (event->throttled_ns != 0) {
        mlt_span_number(&span, "meltica.throttled_ns", (int64_t)event->throttled_ns);
    }
    if (event->type == MLT_EVENT_STATUS) {
        mlt_span_text(&span, "meltica.status",
                      mlt_slice_of_string(mlt_status_kind_word((int)event->u.status.kind)));
        if (event->u.status.reason.len > 0) {
            mlt_span_text(&span, "meltica.reason", event->u.status.reason);
        }
    }
    if (stage == MLT_TRACE_PUBLISH) {
        name_subject(&span, event);
    }
    mlt_trace_record(trace, &span);
}

void mlt_trace_consumed(struct mlt_trace *trace, const struct mlt_event *event,
                        const char *traceparent, int64_t start_ns, int64_t end_ns)
{
    struct mlt_trace_context parent;
    struct mlt_span span;
    if (trace == NULL || !mlt_traceparent_parse(traceparent, &parent)) {
        return;
    }
    mlt_span_begin(&span, "process meltica.data.{instrument}", MLT_SPAN_CONSUMER, &parent,
                   start_ns);
    span.end_ns = end_ns > start_ns ? end_ns : start_ns;
    mlt_span_text(&span, "messaging.system", mlt_slice_of_string("nats"));
    mlt_span_text(&span, "messaging.operation.name", mlt_slice_of_string("process"));
    mlt_span_text(&span, "messaging.operation.type", mlt_slice_of_string("process"));
    mlt_span_text(&span, "messaging.destination.template",
                  mlt_slice_of_string("meltica.data.{instrument}"));
    name_subject(&span, event);
    describe(&span, event->instrument, (int)event->type);
    mlt_trace_record(trace, &span);
}

void mlt_trace_event_context(const struct mlt_event *event, enum mlt_trace_stage stage,
                             struct mlt_trace_context *out)
{
    memcpy(out->trace_id, event->trace_id, sizeof out->trace_id);
    mlt_trace_stage_span(event->trace_id, stage, event->type, event->sequence, out->span_id);
    out->flags = MLT_TRACE_SAMPLED;
}
