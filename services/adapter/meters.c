#include "adapter.h"

#include <stdio.h>

#include "meltica/base/clock.h"

#define REST_FAILURES "meltica_adapter_rest_failures_total"
static const char rest_failures_help[] = "REST calls without a usable answer.";

static const char *const reasons[MLT_ADAPTER_REASON_COUNT] = {
    "parse",          "missing_field", "wrong_type",     "out_of_range",
    "precision",      "unmapped",      "unknown_symbol", "too_big",
    "exchange_error", "limit",         "internal",       "wrong_symbol",
};

/* From the start, so that the first failure is a step from 0. The others are words of enum
 * mlt_status. */
static void make_rest_failures(struct mlt_adapter *adapter)
{
    static const char *const words[] = { "http_403", "http_418", "http_429",
                                         "http_4xx", "http_5xx", "http_other",
                                         "given_up", "timeout",  "unknown_symbol" };
    char labels[96];
    for (int f = 0; f < MLT_REST_FUNCTION_COUNT; f++) {
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
            (void)snprintf(labels, sizeof labels, "function=\"%s\",reason=\"%s\"",
                           mlt_rest_function_word((enum mlt_rest_function)f), words[i]);
            (void)mlt_metrics_counter(adapter->metrics, REST_FAILURES, rest_failures_help, labels);
        }
    }
}

void mlt_adapter_meters_make(struct mlt_adapter *adapter)
{
    struct mlt_metrics *m = adapter->metrics;
    struct mlt_adapter_meters *to = &adapter->meters;
    char labels[64];
    static const char frames_help[] = "Whole WebSocket messages, by what they were.";
    to->frames_data =
        mlt_metrics_counter(m, "meltica_adapter_frames_total", frames_help, "kind=\"data\"");
    to->frames_answer =
        mlt_metrics_counter(m, "meltica_adapter_frames_total", frames_help, "kind=\"answer\"");
    to->frames_shutdown =
        mlt_metrics_counter(m, "meltica_adapter_frames_total", frames_help, "kind=\"shutdown\"");
    to->bytes = mlt_metrics_counter(m, "meltica_adapter_bytes_total",
                                    "Payload bytes of WebSocket messages.", NULL);
    for (int i = 1; i < MLT_EVENT_TYPE_COUNT; i++) {
        (void)snprintf(labels, sizeof labels, "type=\"%s\"", mlt_event_type_word(i));
        to->instances[i] = mlt_metrics_counter(m, "meltica_adapter_instances_total",
                                               "Instances handed to the Dispatcher.", labels);
    }
    for (unsigned i = 0; i <= MLT_ADAPTER_REASON_COUNT; i++) {
        (void)snprintf(labels, sizeof labels, "reason=\"%s\"",
                       i < MLT_ADAPTER_REASON_COUNT ? reasons[i] : "other");
        to->unparsed[i] = mlt_metrics_counter(
            m, "meltica_adapter_unparsed_total",
            "What could not become an instance; the Dispatcher rejects it.", labels);
    }
    to->failures = mlt_metrics_counter(m, "meltica_adapter_decode_failures_total",
                                       "Frames that Meltica itself failed on (memory).", NULL);
    to->not_handed_on = mlt_metrics_counter(m, "meltica_adapter_not_handed_on_total",
                                            "Instances that the hop did not take.", NULL);
    to->holds = mlt_metrics_counter(m, "meltica_adapter_holds_total",
                                    "Times that reading stopped for the Dispatcher.", NULL);
    to->mail_dropped = mlt_metrics_counter(m, "meltica_adapter_requests_dropped_total",
                                           "Requests that found the queue to the loop full.", NULL);
    to->plans_applied = mlt_metrics_counter(m, "meltica_adapter_plans_total",
                                            "Plan parts received.", "outcome=\"applied\"");
    to->plans_refused = mlt_metrics_counter(m, "meltica_adapter_plans_total",
                                            "Plan parts received.", "outcome=\"refused\"");
    to->listings =
        mlt_metrics_counter(m, "meltica_adapter_listings_total", "exchangeInfo bodies read.", NULL);
    to->fetches =
        mlt_metrics_counter(m, "meltica_adapter_fetches_total", "Calls asked for on demand.", NULL);
    for (int i = 0; i < MLT_REST_FUNCTION_COUNT; i++) {
        (void)snprintf(labels, sizeof labels, "function=\"%s\"",
                       mlt_rest_function_word((enum mlt_rest_function)i));
        to->rest_ok[i] = mlt_metrics_counter(m, "meltica_adapter_rest_answers_total",
                                             "REST answers that were read.", labels);
    }
    to->lines_up = mlt_metrics_gauge(m, "meltica_adapter_lines", "Connections up.", NULL);
    to->adapt = mlt_metrics_histogram(m, "meltica_stage_duration_seconds",
                                      "From the stage's input to its output.", "stage=\"adapt\"");
    mlt_hop_sender_metrics_init(&to->hop, m, "hop=\"native\"");
    to->mail_most = mlt_metrics_gauge(m, "meltica_adapter_mail_high_water",
                                      "Most plans and fetches that waited for the loop.", NULL);
    make_rest_failures(adapter);
    to->rest = mlt_metrics_histogram(m, "meltica_adapter_rest_duration_seconds",
                                     "REST exchanges, answered or not.", NULL);
}

void mlt_adapter_unparsed(struct mlt_adapter *adapter, struct mlt_slice reason)
{
    unsigned i = 0;
    while (i < MLT_ADAPTER_REASON_COUNT && !mlt_slice_equal_string(reason, reasons[i])) {
        i++;
    }
    mlt_counter_add(adapter->meters.unparsed[i], 1);
}

void mlt_adapter_rest_failed(struct mlt_adapter *adapter, enum mlt_rest_function function,
                             const char *reason)
{
    char labels[96];
    (void)snprintf(labels, sizeof labels, "function=\"%s\",reason=\"%s\"",
                   mlt_rest_function_word(function), reason);
    mlt_counter_add(
        mlt_metrics_counter(adapter->metrics, REST_FAILURES, rest_failures_help, labels), 1);
}

static void mirror(struct mlt_adapter *adapter, const char *name, const char *help,
                   const char *labels, uint64_t value)
{
    mlt_counter_set(mlt_metrics_counter(adapter->metrics, name, help, labels), value);
}

static void gauge(struct mlt_adapter *adapter, const char *name, const char *help,
                  const char *labels, int64_t value)
{
    mlt_gauge_set(mlt_metrics_gauge(adapter->metrics, name, help, labels), value);
}

static void collect_hop(struct mlt_adapter *adapter)
{
    struct mlt_hop_sender_stats stats = { 0 };
    mlt_hop_sender_get_stats(adapter->sender, &stats);
    mlt_hop_sender_metrics_set(&adapter->meters.hop, &stats);
}

/* States of lines by number, in the order of enum mlt_line_state. */
static const char *const line_states[] = { "free", "waiting", "connecting", "up", "closing" };

/* At most MLT_LINES_MAX: of those that were ever used. */
static void meter_each_line(struct mlt_adapter *adapter)
{
    uint32_t by_state[MLT_LINE_CLOSING + 1] = { 0 };
    char labels[32];
    for (uint32_t i = 0; i < MLT_LINES_MAX; i++) {
        const struct mlt_line *line = &adapter->lines.lines[i];
        by_state[line->state]++;
        adapter->meters.line_used[i] |= line->state != MLT_LINE_FREE;
        if (!adapter->meters.line_used[i]) {
            continue;
        }
        (void)snprintf(labels, sizeof labels, "line=\"%u\"", i);
        gauge(adapter, "meltica_adapter_line_up", "1 while this connection is up.", labels,
              line->state == MLT_LINE_UP);
        gauge(adapter, "meltica_adapter_line_topics", "Topics on this connection.", labels,
              line->state == MLT_LINE_FREE ? 0 : line->topics);
    }
    for (unsigned s = MLT_LINE_WAITING; s <= MLT_LINE_CLOSING; s++) {
        (void)snprintf(labels, sizeof labels, "state=\"%s\"", line_states[s]);
        gauge(adapter, "meltica_adapter_line_states", "Connections, by state.", labels,
              by_state[s]);
    }
}

static void meter_rest(struct mlt_adapter *adapter, int64_t now_ns)
{
    struct mlt_governor *governor = &adapter->governor;
    unsigned flying = 0;
    for (unsigned i = 0; i < MLT_REST_FLIGHT_MAX; i++) {
        flying += adapter->rest.in_flight[i];
    }
    gauge(adapter, "meltica_adapter_weight_used", "Request weight that counts against the share.",
          NULL, mlt_governor_used(governor, now_ns));
    gauge(adapter, "meltica_adapter_weight_limit",
          "Request weight a minute that the exchange allows its address.", NULL, governor->limit);
    gauge(adapter, "meltica_adapter_weight_share",
          "Request weight a minute that this Adapter may use.", NULL, mlt_governor_share(governor));
    gauge(adapter, "meltica_adapter_rest_in_flight", "REST calls that wait for their answer.", NULL,
          flying);
    uint32_t waiting[MLT_WEIGHT_CLASS_COUNT];
    mlt_rest_waiting(&adapter->rest, waiting);
    for (int i = 0; i < MLT_WEIGHT_CLASS_COUNT; i++) {
        char labels[32];
        (void)snprintf(labels, sizeof labels, "class=\"%s\"",
                       mlt_weight_class_word((enum mlt_weight_class)i));
        if (i != MLT_WEIGHT_OWN && i != MLT_WEIGHT_SCHEDULE) { /* what is not on demand */
            gauge(adapter, "meltica_adapter_rest_waiting",
                  "REST calls on demand that wait to be made.", labels, waiting[i]);
        }
    }
    mlt_gauge_raise(mlt_metrics_gauge(adapter->metrics, "meltica_adapter_rest_waiting_high_water",
                                      "Most REST calls on demand that waited.", NULL),
                    (int64_t)adapter->rest.demand_most);
    const int64_t blocked = governor->blocked_until_ns - now_ns;
    mlt_gauge_set(
        mlt_metrics_gauge_seconds(adapter->metrics, "meltica_adapter_rest_blocked_seconds",
                                  "For how long the exchange forbids calls (429, 418, 403).", NULL),
        blocked > 0 ? blocked : 0);
}

/* known: false, nothing is: 0 would be a statement, and so would be what it was. */
static void seconds(struct mlt_metrics *metrics, const char *name, const char *help, bool known,
                    int64_t ns)
{
    struct mlt_gauge *gauge = mlt_metrics_gauge_seconds(metrics, name, help, NULL);
    if (known) {
        mlt_gauge_set(gauge, ns);
    } else {
        mlt_gauge_withdraw(gauge);
    }
}

void mlt_adapter_meter_clock(struct mlt_metrics *metrics, const struct mlt_clock_offset *clock,
                             int64_t mono_ns, int64_t wall_ns)
{
    struct mlt_clock_estimate estimate = { 0 };
    const bool known = mlt_clock_offset_get(clock, mono_ns, wall_ns, &estimate);
    mlt_counter_set(mlt_metrics_counter(metrics, "meltica_adapter_clock_samples_total",
                                        "Answers that told the exchange's time.", NULL),
                    clock->taken);
    seconds(metrics, "meltica_adapter_clock_offset_seconds", "The exchange's clock less ours.",
            known, estimate.offset_ns);
    seconds(metrics, "meltica_adapter_clock_uncertainty_seconds",
            "The offset is wrong by so much at most.", known, estimate.uncertainty_ns);
}

/* A line in one word: state in the lowest byte, then 24 bits of topics, then its age in s. */
static void note_lines(struct mlt_adapter *adapter)
{
    const int64_t now = mlt_clock_mono_ns();
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        const struct mlt_line *line = &adapter->lines.lines[n];
        const bool up = line->state == MLT_LINE_UP;
        const uint64_t age_s = up && now > line->opened_at_ns
                                   ? (uint64_t)((now - line->opened_at_ns) / MLT_NS_PER_S)
                                   : 0;
        atomic_store(&adapter->meters.lines[n], (uint64_t)line->state |
                                                    (uint64_t)(line->topics & 0xffffff) << 8 |
                                                    age_s << 32);
    }
}

void mlt_adapter_meter_lines(struct mlt_adapter *adapter)
{
    mlt_adapter_meter_clock(adapter->metrics, &adapter->clock, mlt_clock_mono_ns(),
                            mlt_clock_wall_ns());
    const struct mlt_lines_counters *c = &adapter->lines.counters;
    mirror(adapter, "meltica_adapter_line_attempts_total", "Connections begun.", NULL, c->attempts);
    mirror(adapter, "meltica_adapter_line_attempts_held_total",
           "Times that a connection had to wait, since the attempts of 5 minutes were used up.",
           NULL, c->attempts_held);
    gauge(adapter, "meltica_adapter_line_attempts_left",
          "Connections that may be begun now, of those of any "
          "5 minutes that are this Adapter's.",
          NULL,
          (int64_t)adapter->lines.options.attempts -
              mlt_lines_attempts_used(&adapter->lines, mlt_clock_mono_ns()));
    mirror(adapter, "meltica_adapter_line_opened_total", "Connections that came up.", NULL,
           c->opened);
    mirror(adapter, "meltica_adapter_line_ended_total", "Connections that ended.", NULL, c->ended);
    mirror(adapter, "meltica_adapter_line_rollovers_total", "Connections handed over.", NULL,
           c->rollovers);
    mirror(adapter, "meltica_adapter_requests_total", "SUBSCRIBE and UNSUBSCRIBE sent.", NULL,
           c->requests);
    mirror(adapter, "meltica_adapter_requests_repeated_total", "Requests sent once more.", NULL,
           c->resent);
    mirror(adapter, "meltica_adapter_acks_total", "Requests acknowledged.", NULL, c->acks);
    mirror(adapter, "meltica_adapter_refusals_total", "Requests refused.", NULL, c->refusals);
    mirror(adapter, "meltica_adapter_reminders_total",
           "Topics that were acknowledged, sent nothing, and were subscribed once more.", NULL,
           c->reminders);
    mirror(adapter, "meltica_adapter_no_acks_total", "Requests given up.", NULL, c->no_acks);
    mirror(adapter, "meltica_adapter_line_cuts_covered_total",
           "Connections that ended while each of their topics went on by its other copy.", NULL,
           c->cuts_covered);
    gauge(adapter, "meltica_adapter_topics_lacking_copies",
          "Topics that come by fewer connections than line_copies, those that failed not counted.",
          NULL, (int64_t)mlt_topics_lacking(&adapter->topics, adapter->lines.options.copies));
    mlt_gauge_set(adapter->meters.lines_up, mlt_lines_up_count(&adapter->lines));
    note_lines(adapter);
    uint32_t counts[MLT_TOPIC_STATE_COUNT];
    mlt_topics_counts(&adapter->topics, UINT64_MAX, counts);
    for (int i = 0; i < MLT_TOPIC_STATE_COUNT; i++) {
        char labels[32];
        (void)snprintf(labels, sizeof labels, "state=\"%s\"",
                       mlt_topic_state_word((enum mlt_topic_state)i));
        gauge(adapter, "meltica_adapter_topics", "Topics that the plan wants, by state.", labels,
              counts[i]);
    }
    meter_each_line(adapter);
    meter_rest(adapter, mlt_clock_mono_ns());
    gauge(adapter, "meltica_adapter_instruments_listed", "Symbols of exchangeInfo.", NULL,
          (int64_t)mlt_binance_symbols_count(adapter->symbols));
}

/* Also on a thread of the bus: the sender's counters have their own lock. */
void mlt_adapter_collect(void *state)
{
    const struct mlt_adapter *adapter = state;
    collect_hop(state);
    if (adapter->standby != NULL) {
        mlt_standby_collect(adapter->standby);
    }
}

void mlt_adapter_stats(void *state, struct mlt_buf *out)
{
    static const char *const words[] = { "FREE", "WAITING", "CONNECTING", "UP", "CLOSING" };
    struct mlt_adapter *adapter = state;
    const size_t before = out->len;
    enum mlt_status status =
        mlt_buf_printf(out, "{\"lines\":%lld,\"frames\":%llu,\"listings\":%llu,\"connections\":[",
                       (long long)mlt_gauge_get(adapter->meters.lines_up),
                       (unsigned long long)mlt_counter_get(adapter->meters.frames_data),
                       (unsigned long long)mlt_counter_get(adapter->meters.listings));
    const char *comma = "";
    for (uint32_t n = 0; n < MLT_LINES_MAX && status == MLT_OK; n++) {
        const uint64_t line = atomic_load(&adapter->meters.lines[n]);
        const unsigned word = (unsigned)(line & 0xff);
        if (word == MLT_LINE_FREE) {
            continue;
        }
        status = mlt_buf_printf(out, "%s{\"line\":%u,\"state\":\"%s\",\"topics\":%u,\"age_s\":%u}",
                                comma, n, words[word], (unsigned)(line >> 8 & 0xffffff),
                                (unsigned)(line >> 32));
        comma = ",";
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_string(out, "]}");
    }
    if (status != MLT_OK) { /* an answer that does not fit stays empty */
        out->len = before;
    }
}
