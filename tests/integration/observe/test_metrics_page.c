/*
 * /metrics of the five services of a running stack: promtool finds nothing to complain of, what
 * docs/observability.md promises is there, and what could grow with the market is bounded.
 */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "meltica/rt/metrics.h"
#include "mlt_consumer.h"
#include "mlt_stack.h"
#include "server.h"

#define BODY_BYTES_MAX (4u << 20)
#define PATIENCE_S 60
#define SYMBOLS 5 /* of the exchange */

static struct mlt_stack stack;
static struct mlt_consumer consumer;
static const char *const services[] = { "adapter", "dispatcher", "conductor", "data-bus",
                                        "control-bus" };
#define SERVICE_COUNT (sizeof services / sizeof services[0])

static bool all_books_live(void *ctx)
{
    (void)ctx;
    return consumer.counts[MLT_EVENT_BOOK] >= 20 &&
           mlt_stack_metric(&stack, "conductor", "meltica_conductor_book_states",
                            "state=\"LIVE\"") == SYMBOLS;
}

static int start(void **state)
{
    (void)state;
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "5", "--rate", "300", "--seed", "11" },
        .conductor = { "--metrics-instruments", "3" },
        .control_bus = { "--auth", "required" },
    };
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
    return mlt_consumer_wait(&consumer, all_books_live, NULL, PATIENCE_S) ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
    return 0;
}

static void page_of(const char *service, struct mlt_buf *body)
{
    mlt_buf_init(body, BODY_BYTES_MAX);
    mlt_stack_get(&stack, service, "/metrics", body);
    assert_int_equal(mlt_buf_append_byte(body, 0), MLT_OK); /* a string from here on */
}

static void promtool_agrees(const char *service, const char *page)
{
    char path[128], command[512], said[4096] = "";
    (void)snprintf(path, sizeof path, "%s/%s.prom", stack.folder, service);
    FILE *to = fopen(path, "w");
    assert_non_null(to);
    assert_true(fputs(page, to) >= 0);
    assert_int_equal(fclose(to), 0);
    (void)snprintf(command, sizeof command, "%s check metrics < %s 2>&1", PROMTOOL, path);
    FILE *from = popen(command, "r");
    assert_non_null(from);
    const size_t len = fread(said, 1, sizeof said - 1, from);
    const int status = pclose(from);
    if (status != 0 || len > 0) {
        fail_msg("promtool of %s (status %d):\n%s", service, status, said);
    }
}

static void test_promtool_has_nothing_to_complain_of(void **state)
{
    (void)state;
    for (size_t i = 0; i < SERVICE_COUNT; i++) {
        struct mlt_buf page;
        page_of(services[i], &page);
        promtool_agrees(services[i], (const char *)page.data);
        mlt_buf_fini(&page);
    }
}

/* "*": all five. A family, or the beginning of a line of it with labels. */
static const struct {
    const char *service, *line;
} promised[] = {
    { "*", "meltica_build_info{version=" },
    { "*", "meltica_ready 1" },
    { "*", "meltica_metrics_overflow_total 0" },
    { "*", "meltica_nats_connected{connection=\"data\"} 1" },
    { "*", "meltica_nats_unwritten_bytes{connection=\"data\"}" },
    { "*", "meltica_nats_queue_messages{connection=\"data\"}" },
    { "*", "meltica_nats_queue_high_water_messages{connection=\"data\"}" },
    { "*", "meltica_nats_echo_seconds_count{connection=\"data\"}" },
    { "*", "meltica_nats_echo_seconds_count{connection=\"control\"}" },
    { "adapter", "meltica_stage_duration_seconds_bucket{stage=\"adapt\",le=\"0.000001\"}" },
    { "dispatcher", "meltica_stage_duration_seconds_bucket{stage=\"dispatch\",le=\"0.000001\"}" },
    { "conductor", "meltica_stage_duration_seconds_bucket{stage=\"conduct\",le=\"0.000001\"}" },
    { "data-bus", "meltica_stage_duration_seconds_bucket{stage=\"publish\",le=\"0.000001\"}" },
    { "data-bus", "meltica_end_to_end_duration_seconds_bucket{le=\"0.000001\"}" },
    { "data-bus", "meltica_end_to_end_duration_seconds_bucket{le=\"10\"}" },
    { "adapter", "meltica_adapter_line_up{line=\"0\"} 1" },
    { "adapter", "meltica_adapter_line_topics{line=\"0\"}" },
    { "adapter", "meltica_adapter_line_states{state=\"waiting\"} 0" },
    { "adapter", "meltica_adapter_topics{state=\"LIVE\"}" },
    { "adapter", "meltica_adapter_weight_used" },
    { "adapter", "meltica_adapter_weight_limit 6000" },
    { "adapter", "meltica_adapter_rest_blocked_seconds 0.000000000" },
    { "adapter", "meltica_adapter_rest_failures_total{function=\"depth\",reason=\"http_429\"} 0" },
    { "adapter", "meltica_hop_unacked_high_water_bytes{hop=\"native\"}" },
    { "adapter", "meltica_hop_ring_bytes{hop=\"native\"}" },
    { "dispatcher", "meltica_hop_blocked_seconds_total{hop=\"canonical\"}" },
    { "dispatcher", "meltica_dispatcher_log_available 1" },
    { "conductor", "meltica_conductor_book_states{state=\"LIVE\"}" },
    { "data-bus", "meltica_journal_lag_seconds" },
    { "data-bus", "meltica_journal_queue_high_water_bytes" },
    { "control-bus", "meltica_control_rejected_total{code=\"409\"} 0" },
};

static bool has_line(const char *page, const char *beginning)
{
    const size_t len = strlen(beginning);
    for (const char *line = page; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, beginning, len) == 0) {
            return true;
        }
    }
    return false;
}

static void test_what_is_promised_is_there(void **state)
{
    (void)state;
    for (size_t i = 0; i < SERVICE_COUNT; i++) {
        struct mlt_buf page;
        page_of(services[i], &page);
        for (size_t n = 0; n < sizeof promised / sizeof promised[0]; n++) {
            if ((promised[n].service[0] == '*' || strcmp(promised[n].service, services[i]) == 0) &&
                !has_line((const char *)page.data, promised[n].line)) {
                fail_msg("%s has no line that begins with %s", services[i], promised[n].line);
            }
        }
        mlt_buf_fini(&page);
    }
}

/* Each series has a line at least. What a service makes after its start: Adapter: two of each line,
 * and failures of REST by function and status word; Dispatcher: what is rejected. */
static void test_no_service_can_come_near_the_bound_on_series(void **state)
{
    (void)state;
    for (size_t i = 0; i < SERVICE_COUNT; i++) {
        struct mlt_buf page;
        size_t series = strcmp(services[i], "adapter") == 0 ? 2 * 144 + 6 * (size_t)MLT_STATUS_COUNT
                        : strcmp(services[i], "dispatcher") == 0 ? 48
                                                                 : 0;
        page_of(services[i], &page);
        for (const char *line = (const char *)page.data; line != NULL; line = strchr(line, '\n')) {
            line += *line == '\n';
            series += *line != '#' && *line != '\0';
        }
        mlt_buf_fini(&page);
        if (series > MLT_METRICS_SERIES_MAX / 2) {
            fail_msg("%s could have %zu series, its registry takes %u", services[i], series,
                     MLT_METRICS_SERIES_MAX);
        }
        assert_int_equal(
            mlt_stack_metric(&stack, services[i], "meltica_metrics_overflow_total", ""), 0);
    }
}

static void test_a_book_has_series_of_its_own_up_to_the_bound(void **state)
{
    (void)state;
    struct mlt_buf page;
    page_of("conductor", &page);
    unsigned states = 0, live = 0;
    for (const char *line = (const char *)page.data; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, "meltica_book_state{instrument=\"", 31) == 0) {
            states++;
            live += strncmp(strchr(line, ' '), " 3\n", 3) == 0;
        }
    }
    assert_int_equal(states, 3); /* of five */
    assert_int_equal(live, 3);
    mlt_buf_fini(&page);
    assert_int_equal(mlt_stack_metric(&stack, "conductor", "meltica_instruments_hidden", ""), 2);
    assert_true(mlt_stack_metric(&stack, "conductor", "meltica_instrument_events_total",
                                 "type=\"BOOK\"") > 0);
}

/* One request as a principal, whose answer goes to `reply`, over a socket of its own: the library
 * lets nobody name a reply. Returns when the server has taken it. */
static void ask_raw(const char *verb, const char *request, const char *reply)
{
    const struct server at = { .port = (int)strtol(strrchr(stack.nats_url, ':') + 1, NULL, 10) };
    char text[1024], said[4096];
    (void)snprintf(text, sizeof text, "PUB meltica.control.as.desk.%s %s %zu\r\n%s\r\nPING\r\n",
                   verb, reply, strlen(request), request);
    raw_client(&at, text, "PONG", 1, said, sizeof said);
}

static void ask(const char *verb, const char *request, int code, struct mlt_buf *answer)
{
    char subject[64];
    struct mlt_error err = MLT_ERROR_INIT;
    (void)snprintf(subject, sizeof subject, "meltica.control.as.desk.%s", verb);
    mlt_buf_clear(answer);
    const enum mlt_status status = mlt_bus_request(
        consumer.bus, subject, mlt_slice_of_string(request), 5 * MLT_NS_PER_S, answer, &err);
    if (status != (code == 0 ? MLT_OK : MLT_E_PROTOCOL)) {
        fail_msg("%s: %s: %.*s", verb, err.text, (int)answer->len, (const char *)answer->data);
    }
}

static void test_commands_are_counted_and_each_subscription_has_its_state(void **state)
{
    (void)state;
    struct mlt_buf answer;
    mlt_buf_init(&answer, BODY_BYTES_MAX);
    ask("subscribe",
        "{\"consumer\":\"d\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"],\"ttl_s\":600}",
        0, &answer);
    ask("subscribe",
        "{\"consumer\":\"d\",\"type\":\"NONSENSE\",\"instruments\":[\"SYM0001-USDT\"]}", 400,
        &answer);
    struct mlt_buf page;
    page_of("dispatcher", &page);
    const char *text = (const char *)page.data;
    promtool_agrees("dispatcher", text);
    const char *line = strstr(text, "\nmeltica_subscription_state{subscription=");
    assert_non_null(line);
    assert_non_null(
        strstr(line, "principal=\"desk\",consumer=\"d\",type=\"TRADE\",channel=\"shared\"} 1"));
    assert_non_null(strstr(text, "\nmeltica_subscription_lease_end_timestamp_seconds{"));
    assert_true(has_line(text, "meltica_subscriptions{state=\"confirmed\"} 1"));
    mlt_buf_fini(&page);
    assert_int_equal(mlt_stack_metric(&stack, "control-bus", "meltica_control_log_sequence", ""),
                     mlt_stack_metric(&stack, "dispatcher", "meltica_dispatcher_log_sequence", ""));
    assert_int_equal(
        mlt_stack_metric(&stack, "control-bus", "meltica_control_rejected_total", "code=\"400\""),
        1);
    assert_int_equal(mlt_stack_metric(&stack, "control-bus",
                                      "meltica_control_command_duration_seconds_count",
                                      "verb=\"subscribe\""),
                     2);
    mlt_buf_fini(&answer);
}

/* It once ended the Control Bus. */
static void test_an_answer_that_would_go_astray_is_counted(void **state)
{
    (void)state;
    struct mlt_buf answer;
    mlt_buf_init(&answer, BODY_BYTES_MAX);
    ask_raw("list", "{}", "meltica.data.SYM0001-USDT");
    ask("list", "{}", 0, &answer); /* the same endpoint: it has handled the one before */
    assert_int_equal(
        mlt_stack_metric(&stack, "control-bus", "meltica_control_reply_refused_total", ""), 1);
    mlt_buf_fini(&answer);
}

/* What others send to where the echoes go. */
struct forger {
    struct mlt_bus *bus;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned answered; /* echoes of a service that were followed by forged ones */
};

static void forge(void *ctx, const struct mlt_bus_message *message)
{
    static const int64_t forged[] = { INT64_MIN, 1, INT64_MAX };
    struct forger *f = ctx;
    for (size_t i = 0; i < 3; i++) {
        if (memcmp(message->payload.data, &forged[i], message->payload.len) == 0) {
            return;
        }
    }
    bool sent = true;
    for (size_t i = 0; i < 3; i++) {
        sent = mlt_bus_publish(f->bus, message->subject,
                               mlt_slice_of(&forged[i], sizeof forged[i])) == MLT_OK &&
               sent;
    }
    (void)pthread_mutex_lock(&f->lock);
    f->answered += sent;
    (void)pthread_cond_signal(&f->changed);
    (void)pthread_mutex_unlock(&f->lock);
}

static void test_an_echo_of_somebody_else_is_not_measured(void **state)
{
    (void)state;
    struct forger f = { .bus = consumer.bus,
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .changed = PTHREAD_COND_INITIALIZER };
    struct mlt_bus_subscription *heard;
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_bus_subscribe_options options = { .subject = "_INBOX.*.echo.>" };
    assert_int_equal(mlt_bus_subscribe(consumer.bus, &options, forge, &f, &heard, &err), MLT_OK);
    /* Each connection of each service, and then once more: the server has delivered the first. */
    (void)pthread_mutex_lock(&f.lock);
    while (f.answered < 4 * SERVICE_COUNT) {
        (void)pthread_cond_wait(&f.changed, &f.lock);
    }
    (void)pthread_mutex_unlock(&f.lock);
    mlt_bus_unsubscribe(heard);
    for (size_t i = 0; i < SERVICE_COUNT; i++) {
        assert_true(mlt_stack_metric(&stack, services[i], "meltica_nats_echo_seconds_sum", "") <
                    60);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_promtool_has_nothing_to_complain_of),
        cmocka_unit_test(test_what_is_promised_is_there),
        cmocka_unit_test(test_no_service_can_come_near_the_bound_on_series),
        cmocka_unit_test(test_a_book_has_series_of_its_own_up_to_the_bound),
        cmocka_unit_test(test_commands_are_counted_and_each_subscription_has_its_state),
        cmocka_unit_test(test_an_answer_that_would_go_astray_is_counted),
        cmocka_unit_test(test_an_echo_of_somebody_else_is_not_measured),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, start, stop));
}
