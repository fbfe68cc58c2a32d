/* The spans of a command's way: the plan that it changed, and what the exchange was asked for it.
 */
#include "adapter.h"

#include "meltica/base/clock.h"

/* Subscriptions of a plan leave within the time that changes are gathered, and the pace of a line;
 * what leaves later is for something else. */
#define COMMAND_NS (5 * MLT_NS_PER_S)

/* Topics that are wanted: a plan that changes nothing has no part in a command. */
static uint32_t wanted(const struct mlt_adapter *adapter)
{
    uint32_t counts[MLT_TOPIC_STATE_COUNT], sum = 0;
    mlt_topics_counts(&adapter->topics, UINT64_MAX, counts);
    for (int i = 0; i < MLT_TOPIC_STATE_COUNT; i++) {
        sum += counts[i];
    }
    return sum;
}

void mlt_adapter_trace_plan(struct mlt_adapter *adapter, const Meltica__V1__NativePlan *plan,
                            struct mlt_adapter_plan_trace *t)
{
    t->active = mlt_traceparent_parse(plan->traceparent, &t->parent) && adapter->trace != NULL;
    if (t->active) {
        t->begin_ns = mlt_clock_wall_ns();
        t->wanted = wanted(adapter);
    }
}

void mlt_adapter_trace_planned(struct mlt_adapter *adapter, const Meltica__V1__NativePlan *plan,
                               const struct mlt_adapter_plan_trace *t, enum mlt_status status)
{
    if (!t->active || (status == MLT_OK && wanted(adapter) == t->wanted)) {
        return;
    }
    struct mlt_span span;
    mlt_span_begin(&span, "process meltica.int.plan", MLT_SPAN_SERVER, &t->parent, t->begin_ns);
    mlt_span_text(&span, "messaging.system", mlt_slice_of_string("nats"));
    mlt_span_text(&span, "messaging.operation.name", mlt_slice_of_string("process"));
    mlt_span_text(&span, "messaging.operation.type", mlt_slice_of_string("process"));
    mlt_span_text(&span, "messaging.destination.name", mlt_slice_of_string("meltica.int.plan"));
    mlt_span_number(&span, "meltica.revision", (int64_t)plan->revision);
    mlt_span_number(&span, "meltica.partition", plan->partition);
    mlt_span_number(&span, "meltica.topics", wanted(adapter));
    if (status != MLT_OK) {
        mlt_span_fail(&span, mlt_slice_of_string(mlt_status_word(status)));
    }
    span.end_ns = mlt_clock_wall_ns();
    mlt_trace_record(adapter->trace, &span);
    adapter->command = span.context;
    adapter->command_until_ns = mlt_clock_mono_ns() + COMMAND_NS;
}

void mlt_adapter_trace_asked(struct mlt_adapter *adapter, uint32_t line)
{
    if (adapter->trace == NULL || mlt_clock_mono_ns() >= adapter->command_until_ns) {
        return;
    }
    /* The newest id is that of a request that leaves for the first time; one that is repeated has
     * its place already, or was asked before the command. */
    const int64_t id = adapter->lines.next_id;
    struct mlt_adapter_asked *place = &adapter->asked[adapter->asked_next];
    for (unsigned i = 0; i < MLT_ADAPTER_ASKED_MAX; i++) {
        if (adapter->asked[i].id == id) {
            return;
        }
    }
    *place = (struct mlt_adapter_asked){ id, line, mlt_clock_wall_ns(), adapter->command };
    adapter->asked_next = (adapter->asked_next + 1) % MLT_ADAPTER_ASKED_MAX;
}

void mlt_adapter_trace_answered(struct mlt_adapter *adapter, uint32_t line, int64_t id,
                                const char *error)
{
    struct mlt_adapter_asked *asked = NULL;
    for (unsigned i = 0; adapter->trace != NULL && i < MLT_ADAPTER_ASKED_MAX; i++) {
        if (id != 0 && adapter->asked[i].id == id && adapter->asked[i].line == line) {
            asked = &adapter->asked[i];
        }
    }
    if (asked == NULL) {
        return;
    }
    bool subscribe = true;
    uint32_t names = 0;
    for (unsigned i = 0; i < MLT_LINE_REQUESTS_MAX; i++) {
        const struct mlt_line_request *request = &adapter->lines.lines[line].requests[i];
        if (request->id == id) {
            subscribe = request->subscribe;
            names = request->names;
        }
    }
    struct mlt_span span;
    mlt_span_begin(&span, subscribe ? "SUBSCRIBE exchange" : "UNSUBSCRIBE exchange",
                   MLT_SPAN_CLIENT, &asked->parent, asked->begin_ns);
    mlt_span_text(&span, "url.full", mlt_slice_of_string(adapter->line_url));
    mlt_span_text(&span, "network.protocol.name", mlt_slice_of_string("websocket"));
    mlt_span_number(&span, "meltica.line", line);
    mlt_span_number(&span, "meltica.topics", names);
    if (error != NULL) {
        mlt_span_fail(&span, mlt_slice_of_string("refused"));
    }
    span.end_ns = mlt_clock_wall_ns();
    mlt_trace_record(adapter->trace, &span);
    asked->id = 0;
}
