/*
 * A real Prometheus scrapes the five services of a running stack:
 *  - every panel of the dashboards has something to show, and every metric that a dashboard or rule
 *    names is there, so that none of them can rot;
 *  - in a healthy stack no alert fires, and each of them is made to fire by its fault.
 */
#include "mlt_test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "mlt_consumer.h"
#include "mlt_prometheus.h"
#include "server.h"

#define PATIENCE_S 60

/* TRADE is routed and not subscribed; the instrument that does not exist is only in the second. */
#define TABLE(more)                                                                                \
    "{\"version\":1,\"routes\":[{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"                \
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"},"                                              \
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"                                   \
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100,"                  \
    "\"interval_ms\":1000}},"                                                                      \
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}],"   \
    "\"subscriptions\":[{\"id\":\"b\",\"type\":\"BOOK\",\"instruments\":[\"*\"]},"                 \
    "{\"id\":\"s\",\"type\":\"BOOK_SNAPSHOT\",\"instruments\":[\"*\"]},"                           \
    "{\"id\":\"q\",\"type\":\"BBO\",\"instruments\":[\"*\"" more "]}]}"

/* TestScraped: all are there, and something flows. TestReady: commands were seen too, and the
 * exchange's clock is known. */
#define CANARIES                                                                                   \
    "{ alert: TestScraped, expr: 'count(up == 1) == 5 and on () "                                  \
    "sum(rate(meltica_bus_out_total[10s])) > 0' },"                                                \
    "{ alert: TestReady, expr: 'meltica:control_within_1s:ratio_rate15m > 0 and on () "            \
    "count(meltica_subscription_state) > 0 and on () meltica_adapter_clock_offset_seconds and "    \
    "on () meltica:exchange_to_publish_seconds:p99_rate5m' }"

static struct mlt_prometheus prometheus;
static struct mlt_stack stack;
static struct mlt_consumer consumer;
static char table_path[64];

static void write_table(const char *text)
{
    (void)snprintf(table_path, sizeof table_path, "/tmp/meltica-table.XXXXXX");
    const int fd = mkstemp(table_path);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "%s", text) > 0);
    assert_int_equal(close(fd), 0);
}

static void start(const struct mlt_stack_options *options)
{
    char endpoint[64];
    mlt_prometheus_listen(&prometheus);
    (void)snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u", prometheus.receiver.port);
    assert_int_equal(setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint, 1), 0);
    assert_int_equal(setenv("OTEL_BSP_SCHEDULE_DELAY", "100", 1), 0);
    memset(&consumer, 0, sizeof consumer);
    mlt_stack_start(&stack, options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
}

static void end(void)
{
    mlt_prometheus_stop(&prometheus);
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
    (void)unlink(table_path);
}

static void await(const char *alert)
{
    mlt_prometheus_await(&prometheus, alert, PATIENCE_S);
}

/* proves: what mlt_prometheus_forget said before the fault. */
static void await_anew(const char *alert, bool proves)
{
    if (!proves) {
        print_message("%s was active before its fault: not proven that it fires by it\n", alert);
    }
    await(alert);
}

/* The answer of a command, or what refused it, does not matter here; but somebody must have taken
 * it, which after an outage may be a moment later than we are connected. */
static void command(const char *subject, const char *request)
{
    struct mlt_buf answer;
    struct mlt_error err = MLT_ERROR_INIT;
    const int64_t until_ns = mlt_clock_mono_ns() + PATIENCE_S * MLT_NS_PER_S;
    enum mlt_status status;
    mlt_buf_init(&answer, 1u << 20);
    do {
        mlt_buf_clear(&answer);
        status = mlt_bus_request(consumer.bus, subject, mlt_slice_of_string(request),
                                 5 * MLT_NS_PER_S, &answer, &err);
        /* Nobody is there yet, or the Dispatcher was too late, as it may be on a busy machine. */
    } while ((status == MLT_E_UNAVAILABLE || mlt_stack_is_stalled(mlt_buf_view(&answer))) &&
             mlt_clock_mono_ns() < until_ns);
    mlt_buf_fini(&answer);
}

/* On a busy machine nobody may dispatch for a while after NATS is back, and a command is refused
 * for that: it is sent until the log is what refuses it. */
static void command_that_is_not_stored(void)
{
    const int64_t until_ns = mlt_clock_mono_ns() + PATIENCE_S * MLT_NS_PER_S;
    do {
        assert_true(mlt_clock_mono_ns() < until_ns);
        command("meltica.control.subscribe",
                "{\"consumer\":\"d\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"]}");
    } while (mlt_stack_metric(&stack, "control-bus", "meltica_control_not_stored_total",
                              "reason=\"away\"") +
                 mlt_stack_metric(&stack, "control-bus", "meltica_control_not_stored_total",
                                  "reason=\"no_ack\"") ==
             0);
}

/* A monitor that asks every service for its statistics, and goes on without waiting for answers. */
static void ask_too_fast(void)
{
    static const char question[] = "PUB $SRV.STATS _INBOX.monitor 0\r\n\r\n";
    const struct server at = { .port = (int)strtol(strrchr(stack.nats_url, ':') + 1, NULL, 10) };
    const size_t len = sizeof question - 1, count = 20000;
    char said[4096];
    char *text = malloc(count * len + sizeof "PING\r\n");
    assert_non_null(text);
    for (size_t i = 0; i < count; i++) {
        memcpy(text + i * len, question, len);
    }
    memcpy(text + count * len, "PING\r\n", sizeof "PING\r\n");
    raw_client(&at, text, "PONG", 1, said, sizeof said);
    free(text);
}

static void pause_process(const char *name, int seconds)
{
    const pid_t pid = mlt_stack_pid(&stack, name);
    sigset_t none;
    const struct timespec time = { .tv_sec = seconds };
    (void)sigemptyset(&none);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    (void)sigtimedwait(&none, NULL, &time); /* the fault is that it does nothing for so long */
    assert_int_equal(kill(pid, SIGCONT), 0);
}

/* ---- dashboards and rules ---- */

static cJSON *names; /* of all series, as far as they were there when it was asked */

static bool is_among_names(const char *name)
{
    const cJSON *known;
    cJSON_ArrayForEach(known, names)
    {
        if (strcmp(cJSON_GetStringValue(known), name) == 0) {
            return true;
        }
    }
    return false;
}

/* What a rule records is there once the rule was evaluated, on a busy machine a little later. */
static bool is_known(const char *name)
{
    const int64_t until_ns = mlt_clock_mono_ns() + PATIENCE_S * MLT_NS_PER_S;
    while (!is_among_names(name)) {
        if (mlt_clock_mono_ns() > until_ns) {
            return false;
        }
        cJSON_Delete(names);
        names = mlt_prometheus_ask(&prometheus, "/api/v1/label/__name__/values", NULL);
    }
    return true;
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == ':';
}

/* These are an Adapter's with hot_standby alone: test_hot_standby reads them there. */
static bool is_of_a_hot_standby(const char *name)
{
    static const char *const series[] = { "meltica_adapter_speaking_partitions",
                                          "meltica_adapter_held_partitions",
                                          "meltica_adapter_unguarded_partitions" };
    for (size_t i = 0; i < sizeof series / sizeof series[0]; i++) {
        if (strcmp(name, series[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Each metric of ours that an expression names. */
static void check_names(const char *where, const char *expression)
{
    for (const char *at = expression; *at != '\0';) {
        const char *begin = at;
        while (is_name_byte(*at)) {
            at++;
        }
        char name[128];
        (void)snprintf(name, sizeof name, "%.*s", (int)(at - begin), begin);
        if ((strncmp(name, "meltica", 7) == 0 || strncmp(name, "process_", 8) == 0) &&
            strpbrk(name, "_:") != NULL && !is_of_a_hot_standby(name) && !is_known(name)) {
            fail_msg("%s names %s, which no service has: %s", where, name, expression);
        }
        at += at == begin;
    }
}

/* With the instrument of the dashboard filled in. */
static void fill_in(const char *expression, char *out, size_t size)
{
    static const char variable[] = "$instrument";
    out[0] = '\0';
    for (const char *at = expression; *at != '\0';) {
        const size_t len = strlen(out);
        if (strncmp(at, variable, sizeof variable - 1) == 0) {
            (void)snprintf(out + len, size - len, "SYM0001-USDT");
            at += sizeof variable - 1;
        } else {
            (void)snprintf(out + len, size - len, "%c", *at++);
        }
    }
}

/* Now or, since a scrape may fail on a busy machine, a little later. */
static void shows_something(const char *where, const char *expression)
{
    const int64_t until_ns = mlt_clock_mono_ns() + PATIENCE_S * MLT_NS_PER_S;
    int count;
    do {
        cJSON *data = mlt_prometheus_ask(&prometheus, "/api/v1/query", expression);
        count = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(data, "result"));
        cJSON_Delete(data);
    } while (count == 0 && mlt_clock_mono_ns() < until_ns);
    if (count == 0) {
        fail_msg("%s shows nothing: %s", where, expression);
    }
}

static unsigned check_dashboard(const char *name)
{
    const char *source = getenv("MELTICA_SOURCE_DIR");
    char path[512], where[256], expression[2048];
    (void)snprintf(path, sizeof path, "%s/helm/meltica/files/dashboards/%s.json",
                   source != NULL ? source : ".", name);
    FILE *from = fopen(path, "r");
    char *text = calloc(1, 1u << 20);
    assert_true(from != NULL && text != NULL);
    assert_true(fread(text, 1, (1u << 20) - 1, from) > 0);
    (void)fclose(from);
    cJSON *board = cJSON_Parse(text);
    free(text);
    unsigned count = 0;
    const cJSON *panel, *target;
    cJSON_ArrayForEach(panel, cJSON_GetObjectItemCaseSensitive(board, "panels"))
    {
        (void)snprintf(where, sizeof where, "%s, \"%s\"", name,
                       cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(panel, "title")));
        cJSON_ArrayForEach(target, cJSON_GetObjectItemCaseSensitive(panel, "targets"))
        {
            fill_in(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(target, "expr")),
                    expression, sizeof expression);
            check_names(where, expression);
            shows_something(where, expression);
            count++;
        }
    }
    cJSON_Delete(board);
    return count;
}

static void check_rules(void)
{
    unsigned count = 0;
    cJSON *data = mlt_prometheus_ask(&prometheus, "/api/v1/rules", NULL);
    const cJSON *group, *rule;
    cJSON_ArrayForEach(group, cJSON_GetObjectItemCaseSensitive(data, "groups"))
    {
        cJSON_ArrayForEach(rule, cJSON_GetObjectItemCaseSensitive(group, "rules"))
        {
            const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(rule, "name"));
            const char *health =
                cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(rule, "health"));
            check_names(name,
                        cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(rule, "query")));
            assert_string_equal(health, "ok");
            count++;
        }
    }
    assert_true(count > 40);
    cJSON_Delete(data);
}

static void nothing_fired(void)
{
    /* Messages do take long on one, and these are right. */
    static const char *const of_a_busy_machine[] = { "MelticaNatsSlow", "MelticaLatencyHigh",
                                                     "MelticaControlSlow", "MelticaControlPending",
                                                     "MelticaJournalHoles" };
    char wrong[sizeof prometheus.fired[0].name] = "";
    (void)pthread_mutex_lock(&prometheus.lock);
    for (size_t i = 0; i < prometheus.fired_count && wrong[0] == '\0'; i++) {
        const char *name = prometheus.fired[i].name;
        bool slow = false;
        for (size_t n = 0; n < sizeof of_a_busy_machine / sizeof of_a_busy_machine[0]; n++) {
            slow = slow || strcmp(name, of_a_busy_machine[n]) == 0;
        }
        if (strncmp(name, "Meltica", 7) == 0 && !slow) {
            (void)snprintf(wrong, sizeof wrong, "%s", name);
        }
    }
    (void)pthread_mutex_unlock(&prometheus.lock);
    if (wrong[0] != '\0') {
        fail_msg("%s fired in a healthy stack", wrong);
    }
}

static void check_what_is_shown(void)
{
    names = mlt_prometheus_ask(&prometheus, "/api/v1/label/__name__/values", NULL);
    assert_true(check_dashboard("overview") > 20);
    assert_true(check_dashboard("instrument") > 8);
    assert_true(check_dashboard("control") > 20);
    assert_true(check_dashboard("nats") > 20);
    check_rules();
    cJSON_Delete(names);
    names = NULL;
}

/* ---- the tests ---- */

static void a_collector_refuses(void)
{
    atomic_store(&prometheus.refuses_spans, true);
    command("meltica.control.subscribe", /* always traced */
            "{\"consumer\":\"d\",\"type\":\"TRADE\",\"instruments\":[\"SYM0002-USDT\"]}");
    await("MelticaSpansDropped");
}

static void a_receiver_stands_still(void)
{
    assert_false(mlt_prometheus_fired(&prometheus, "MelticaHopFull"));
    const bool proves = mlt_prometheus_forget(&prometheus, "MelticaLatencyHigh");
    const pid_t dispatcher = mlt_stack_pid(&stack, "dispatcher");
    assert_int_equal(kill(dispatcher, SIGSTOP), 0);
    await("MelticaServiceDown");
    await("MelticaHopFull");
    assert_int_equal(kill(dispatcher, SIGCONT), 0);
    await_anew("MelticaLatencyHigh", proves);
}

/* What came between two Adapters nobody has. On a slow machine something was lost before already.
 */
static void an_adapter_dies(void)
{
    mlt_stack_kill(&stack, "adapter");
    mlt_stack_run(&stack, "adapter");
    mlt_prometheus_targets(&prometheus);
    await("MelticaEventsLost");
}

static void the_exchange_goes(void)
{
    assert_false(mlt_prometheus_fired(&prometheus, "MelticaRestFailing"));
    mlt_stack_kill(&stack, "exchange");
    await("MelticaExchangeLinesDown");
    await("MelticaBooksNotLive");
    for (unsigned i = 1; i <= 3; i++) {
        char request[128];
        (void)snprintf(
            request, sizeof request,
            "{\"consumer\":\"late\",\"type\":\"TRADE\",\"instruments\":[\"SYM000%u-USDT\"]}", i);
        command("meltica.control.subscribe", request);
    }
    await("MelticaControlPending");
    await("MelticaControlSlow");
    await("MelticaRestFailing");
    await("MelticaNoEvents");
    mlt_stack_kill(&stack, "adapter");
    mlt_stack_run(&stack, "adapter");
    mlt_prometheus_targets(&prometheus);
    await("MelticaNotReady");
}

static void test_alerts_of_flow(void **state)
{
    (void)state;
    write_table(TABLE(""));
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "3", "--rate", "3000", "--seed", "7",
                      "--start-subscriptions", "0" },
        .adapter = { "--ring-bytes", "1048576", "--clock-interval-ms", "1000" },
        .table = table_path,
    };
    start(&options);
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BOOK, 60, PATIENCE_S));
    mlt_prometheus_start(&prometheus, &stack, CANARIES);
    await("TestScraped");
    command("meltica.control.subscribe",
            "{\"consumer\":\"d\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"],"
            "\"ttl_s\":600}");
    await("TestReady");
    check_what_is_shown();
    nothing_fired();
    a_collector_refuses();
    a_receiver_stands_still();
    an_adapter_dies();
    the_exchange_goes();
    end();
}

static void test_alerts_of_nats(void **state)
{
    (void)state;
    write_table(TABLE(""));
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "3", "--rate", "3000", "--seed", "8",
                      "--start-subscriptions", "0" },
        .dispatcher = { "--replica", "1", "--replicas", "2" },
        .table = table_path,
    };
    start(&options);
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BOOK, 60, PATIENCE_S));
    mlt_prometheus_start(&prometheus, &stack, CANARIES);
    await("TestScraped");
    nothing_fired();
    const bool proves = mlt_prometheus_forget(&prometheus, "MelticaNatsSlow");
    pause_process("nats", 2);
    await_anew("MelticaNatsSlow", proves);
    const bool proves_drops = mlt_prometheus_forget(&prometheus, "MelticaNatsDropping");
    ask_too_fast();
    await_anew("MelticaNatsDropping", proves_drops);
    mlt_stack_kill(&stack, "nats");
    await("MelticaNatsDisconnected");
    mlt_stack_set_jetstream(&stack, false);
    mlt_stack_run(&stack, "nats");
    await("MelticaJournalAway");
    await("MelticaJournalHoles");
    await("MelticaCacheAway");
    await("MelticaControlLogAway");
    assert_false(mlt_prometheus_fired(&prometheus, "MelticaAuditFailed"));
    assert_false(mlt_prometheus_fired(&prometheus, "MelticaControlNotStored"));
    assert_int_equal(mlt_bus_wait_connected(consumer.bus, 10 * MLT_NS_PER_S), MLT_OK);
    command_that_is_not_stored();
    await("MelticaAuditFailed");
    await("MelticaControlNotStored");
    /* It was another one's stand-in, and can claim nothing now. On a busy machine its beats may
     * have been away for so long before that nobody dispatched then, either. */
    const bool proves_nobody = mlt_prometheus_forget(&prometheus, "MelticaNobodyDispatches");
    mlt_stack_kill(&stack, "dispatcher");
    mlt_stack_run(&stack, "dispatcher");
    mlt_prometheus_targets(&prometheus);
    await_anew("MelticaNobodyDispatches", proves_nobody);
    end();
}

/* Its host's clock is behind the Adapter's by more than the way takes. */
static void a_data_bus_with_another_clock(void)
{
    mlt_stack_kill(&stack, "data-bus");
    assert_int_equal(setenv("LD_PRELOAD", CLOCK_BEHIND, 1), 0);
    mlt_stack_run(&stack, "data-bus");
    assert_int_equal(unsetenv("LD_PRELOAD"), 0);
    mlt_prometheus_targets(&prometheus);
    await("MelticaClocksDiffer");
}

static void test_alerts_of_damaged_market(void **state)
{
    (void)state;
    write_table(TABLE(",\"NOSUCH-USDT\""));
    /* exchangeInfo alone uses up a budget of 20. */
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "3", "--rate", "1000", "--seed", "9",
                      "--start-subscriptions", "0", "--mutate", "5", "--weight-limit", "40" },
        .table = table_path,
        .control_bus = { "--policy", NULL },
    };
    struct mlt_stack_options with_policy = options;
    char policy[] = "/tmp/meltica-policy.XXXXXX";
    const int fd = mkstemp(policy);
    assert_true(dprintf(fd, "{\"version\":1,\"roles\":{\"viewer\":{\"verbs\":[\"list\"],"
                            "\"types\":[\"*\"],\"instruments\":[\"*\"],\"subscriptions\":0,"
                            "\"streams\":0,\"wildcard_matches\":0}},"
                            "\"principals\":{\"guest\":\"viewer\"}}") > 0);
    assert_int_equal(close(fd), 0);
    with_policy.control_bus[1] = policy;
    start(&with_policy);
    mlt_prometheus_start(&prometheus, &stack, CANARIES);
    await("TestScraped");
    await("MelticaRejecting");
    await("MelticaTopicsFailed");
    await("MelticaRestWeight");
    assert_false(mlt_prometheus_fired(&prometheus, "MelticaControlDenied"));
    for (unsigned i = 0; i < 12; i++) {
        command("meltica.control.as.guest.subscribe",
                "{\"consumer\":\"d\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"]}");
    }
    await("MelticaControlDenied");
    (void)unlink(policy);
    assert_false(mlt_prometheus_fired(&prometheus, "MelticaClocksDiffer"));
    a_data_bus_with_another_clock();
    end();
}

/* One in four snapshots is refused, the others come late: then the deltas got to their ids before
 * them, which is what an audit needs. One in ten frames of depth has a wrong quantity. The polls of
 * the table show less of a book than is known, and are no audits: those are what the Conductor asks
 * for itself. */
static void test_alerts_of_forbidding_exchange(void **state)
{
    (void)state;
    write_table(TABLE(""));
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "3", "--rate", "300", "--seed", "10",
                      "--start-subscriptions", "0", "--faults", "busy,slow:3,falsify",
                      "--fault-rate", "100000", "--fault-snapshot-rate", "1000", "--clock-skew-ms",
                      "1500" },
        .adapter = { "--clock-interval-ms", "1000" },
        .conductor = { "--refresh-ms", "2000" },
        .table = table_path,
    };
    start(&options);
    mlt_prometheus_start(&prometheus, &stack, CANARIES);
    await("TestScraped");
    await("MelticaRestForbidden");
    await("MelticaBookWrong");
    await("MelticaClockOffset");
    assert_false(mlt_prometheus_fired(&prometheus, "MelticaServiceAbsent"));
    mlt_stack_kill(&stack, "conductor"); /* and discovery names it no longer */
    mlt_prometheus_targets(&prometheus);
    await("MelticaServiceAbsent");
    end();
}

/* ---- rights that are taken away ---- */

/* Every service is a user of its own, who may do all but what is named; others need no name. */
#define USER(name, denied)                                                                         \
    "{ user: meltica-" name ", password: pw, permissions: { publish: { deny: [" denied "] } } }, "
#define USERS(dispatcher, data_bus)                                                                \
    "authorization { users: [ " USER("adapter", "") USER("conductor", "") USER("control-bus", "")  \
        USER("dispatcher", dispatcher) USER("data-bus", data_bus) "{ user: other, password: pw } " \
                                                                  "] }\nno_auth_user: other\n"

static char passwords[64];

static void make_passwords(bool make)
{
    static const char *const names_of[] = { "adapter", "conductor", "control-bus", "dispatcher",
                                            "data-bus" };
    char path[128];
    if (make) {
        (void)snprintf(passwords, sizeof passwords, "/tmp/meltica-passwords.XXXXXX");
        assert_non_null(mkdtemp(passwords));
    }
    for (size_t i = 0; i < sizeof names_of / sizeof names_of[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", passwords, names_of[i]);
        if (make) {
            FILE *to = fopen(path, "w");
            assert_non_null(to);
            assert_true(fputs("pw\n", to) >= 0);
            assert_int_equal(fclose(to), 0);
        } else {
            (void)unlink(path);
        }
    }
    if (!make) {
        (void)rmdir(passwords);
    }
}

/* Until it is no longer active. */
static void await_end(const char *alert)
{
    const int64_t until_ns = mlt_clock_mono_ns() + PATIENCE_S * MLT_NS_PER_S;
    while (!mlt_prometheus_forget(&prometheus, alert)) {
        if (mlt_clock_mono_ns() > until_ns) {
            fail_msg("%s is active although its fault is over", alert);
        }
    }
}

/* The Data Bus judges by a table of before, the Dispatcher reads no further. */
static void test_alerts_of_lacking_rights(void **state)
{
    (void)state;
    write_table(TABLE(""));
    make_passwords(true);
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "3", "--rate", "300", "--seed", "11",
                      "--start-subscriptions", "0" },
        .table = table_path,
        .nats_users = USERS("", ""),
        .password_folder = passwords,
    };
    start(&options);
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BOOK, 20, PATIENCE_S));
    mlt_prometheus_start(&prometheus, &stack, CANARIES);
    await("TestScraped");
    nothing_fired();
    mlt_stack_reload_nats(&stack, USERS("", "\"meltica.int.table\""));
    command("meltica.control.subscribe",
            "{\"consumer\":\"d\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"]}");
    await("MelticaUnrouted");
    assert_false(mlt_prometheus_fired(&prometheus, "MelticaControlLogBehind"));
    mlt_stack_reload_nats(&stack, USERS("\"$JS.API.DIRECT.GET.MELTICA_CONTROL\"", ""));
    command("meltica.control.subscribe",
            "{\"consumer\":\"d\",\"type\":\"TRADE\",\"instruments\":[\"SYM0002-USDT\"]}");
    await("MelticaControlLogBehind");
    mlt_stack_reload_nats(&stack, USERS("", ""));
    await_end("MelticaControlLogBehind");
    end();
    make_passwords(false);
}

/* One test a process, by name: after a failure nothing was stopped. */
int main(int argc, char **argv)
{
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alerts_of_flow),
        cmocka_unit_test(test_alerts_of_nats),
        cmocka_unit_test(test_alerts_of_damaged_market),
        cmocka_unit_test(test_alerts_of_forbidding_exchange),
        cmocka_unit_test(test_alerts_of_lacking_rights),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
