#include "traces.h"

/* A plan that is said again later, to an Adapter that starts, is no part of the command. */
#define COMMAND_NS (5 * MLT_NS_PER_S)

static void messaging(struct mlt_span *span, const char *subject)
{
    mlt_span_text(span, "messaging.system", mlt_slice_of_string("nats"));
    mlt_span_text(span, "messaging.operation.name", mlt_slice_of_string("process"));
    mlt_span_text(span, "messaging.operation.type", mlt_slice_of_string("process"));
    mlt_span_text(span, "messaging.destination.template", mlt_slice_of_string(subject));
}

void dispatcher_trace_sent(void *ctx, const struct mlt_event *event)
{
    struct dispatcher *d = ctx;
    if (mlt_trace_takes(d->trace, event)) {
        mlt_trace_event(d->trace, MLT_TRACE_DISPATCH, event, d->batch_ns, mlt_clock_wall_ns());
    }
}

/* In the place of the event's span, below the Adapter's. */
void dispatcher_trace_rejected(struct dispatcher *d, const struct mlt_rejection *rejection)
{
    if (d->trace == NULL) {
        return;
    }
    struct mlt_trace_context parent = { .flags = MLT_TRACE_SAMPLED };
    struct mlt_span span;
    if (rejection->trace_id != NULL) {
        memcpy(parent.trace_id, rejection->trace_id, sizeof parent.trace_id);
        mlt_trace_stage_span(parent.trace_id, MLT_TRACE_ADAPT, MLT_EVENT_NONE, 0, parent.span_id);
    }
    mlt_span_begin(&span, "process meltica.int.native", MLT_SPAN_CONSUMER, &parent, d->batch_ns);
    messaging(&span, "meltica.int.native.{partition}");
    mlt_span_text(&span, "meltica.stage", mlt_slice_of_string(rejection->stage));
    mlt_span_text(&span, "meltica.instrument", rejection->instrument);
    mlt_span_fail(&span, rejection->reason);
    span.end_ns = mlt_clock_wall_ns();
    mlt_trace_record(d->trace, &span);
}

void dispatcher_trace_applied(struct dispatcher *d, const Meltica__V1__ControlRecord *record,
                              int64_t begin_ns, enum mlt_status status, bool changed,
                              uint64_t revision)
{
    struct mlt_trace_context context;
    if (!mlt_traceparent_parse(record->traceparent, &context)) {
        return;
    }
    if (d->trace != NULL) {
        struct mlt_span span;
        mlt_span_begin(&span, "process meltica.int.control", MLT_SPAN_CONSUMER, &context, begin_ns);
        messaging(&span, "meltica.int.control.{principal}.{subscription}");
        mlt_span_text(&span, "meltica.verb", mlt_slice_of_string(record->verb));
        mlt_span_text(&span, "meltica.subscription", mlt_slice_of_string(record->subscription));
        mlt_span_number(&span, "meltica.revision", (int64_t)revision);
        if (status != MLT_OK) {
            mlt_span_fail(&span, mlt_slice_of_string(mlt_status_word(status)));
        }
        span.end_ns = mlt_clock_wall_ns();
        mlt_trace_record(d->trace, &span);
        context = span.context;
    }
    if (changed) {
        (void)pthread_mutex_lock(&d->lock);
        d->command = context;
        d->command_revision = revision;
        d->command_until_ns = mlt_clock_mono_ns() + COMMAND_NS;
        (void)pthread_mutex_unlock(&d->lock);
    }
}

void dispatcher_trace_plan(const struct dispatcher *d, uint64_t revision, struct mlt_buf *plan)
{
    char traceparent[MLT_TRACEPARENT_BYTES];
    if (d->command_revision != revision || mlt_clock_mono_ns() >= d->command_until_ns) {
        return;
    }
    mlt_traceparent_format(&d->command, traceparent);
    /* Two messages of a type behind each other are one, to protobuf. */
    Meltica__V1__NativePlan more;
    meltica__v1__native_plan__init(&more);
    more.traceparent = traceparent;
    if (mlt_buf_reserve(plan, meltica__v1__native_plan__get_packed_size(&more)) == MLT_OK) {
        plan->len += meltica__v1__native_plan__pack(&more, plan->data + plan->len);
    } /* else the plan is at its limit, and goes without */
}

void dispatcher_trace_answered(void *ctx, const struct mlt_control_answered *answered)
{
    struct dispatcher *d = ctx;
    struct mlt_trace_context parent;
    if (d->trace == NULL || !mlt_traceparent_parse(answered->traceparent, &parent)) {
        return;
    }
    struct mlt_span span;
    mlt_span_begin(&span, "process meltica.int.apply", MLT_SPAN_SERVER, &parent,
                   answered->begin_ns);
    messaging(&span, "meltica.int.apply.{shard}");
    mlt_span_text(&span, "meltica.subscription", mlt_slice_of_string(answered->subscription));
    mlt_span_text(&span, "meltica.outcome", mlt_slice_of_string(answered->outcome));
    if (strcmp(answered->outcome, "FAILED") == 0) {
        mlt_span_fail(&span, mlt_slice_of_string("FAILED"));
    }
    span.end_ns = mlt_clock_wall_ns();
    mlt_trace_record(d->trace, &span);
}
