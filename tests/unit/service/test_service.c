/* The skeleton as a process: a small service (tiny_service.c) with and without a nats-server. */
#include "mlt_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "meltica/base/clock.h"
#include "meltica/bus/bus.h"
#include "mlt_port.h"
#include "nats_fixture.h"

#define DEADLINE_MS 15000
#define ARGS_MAX 24

struct child {
    pid_t pid;
    int log_fd;       /* its stderr */
    char log[65536];  /* all of it so far */
    size_t len, used; /* used: up to where events were waited for */
    int port;         /* of its HTTP server */
    char out[16384];  /* its stdout, after wait_exit */
    int out_fd;
};

static struct nats_server server;
static char nowhere[64]; /* URL of a port where nobody listens */

/* ---- the child ---- */

static void child_start(struct child *c, const char *const *arguments)
{
    int errors[2];
    int output[2];
    const char *argv[ARGS_MAX] = { TINY_SERVICE };
    size_t count = 1;
    for (; arguments[count - 1] != NULL; count++) {
        assert_true(count < ARGS_MAX - 1);
        argv[count] = arguments[count - 1];
    }
    memset(c, 0, sizeof *c);
    assert_int_equal(pipe2(errors, O_CLOEXEC), 0);
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    const pid_t parent = getpid();
    c->pid = fork();
    assert_true(c->pid >= 0);
    if (c->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || dup2(errors[1], STDERR_FILENO) < 0 ||
            dup2(output[1], STDOUT_FILENO) < 0) {
            _exit(127);
        }
        char *plain[ARGS_MAX];
        memcpy(plain, argv, sizeof plain);
        (void)execv(TINY_SERVICE, plain);
        _exit(127);
    }
    (void)close(errors[1]);
    (void)close(output[1]);
    c->log_fd = errors[0];
    c->out_fd = output[0];
}

#define START(c, ...) child_start(c, (const char *const[]){ __VA_ARGS__, NULL })

/* One more piece of the log; false at its end. */
static bool read_log(struct child *c)
{
    struct pollfd wait = { .fd = c->log_fd, .events = POLLIN };
    assert_true(c->len < sizeof c->log - 1);
    if (poll(&wait, 1, DEADLINE_MS) != 1) {
        fail_msg("nothing in %d ms after:\n%s", DEADLINE_MS, c->log);
    }
    const ssize_t n = read(c->log_fd, c->log + c->len, sizeof c->log - 1 - c->len);
    assert_true(n >= 0);
    c->len += (size_t)n;
    c->log[c->len] = '\0';
    return n > 0;
}

/* The next line with this event, behind the last one waited for. It stays in place, its end cut
 * off. */
static char *wait_event(struct child *c, const char *event)
{
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, "\"event\":\"%s\"", event);
    for (;;) {
        char *end = memchr(c->log + c->used, '\n', c->len - c->used);
        if (end == NULL) {
            if (!read_log(c)) {
                fail_msg("no event %s in:\n%s", event, c->log);
            }
            continue;
        }
        char *line = c->log + c->used;
        *end = ' ';
        c->used = (size_t)(end - c->log) + 1;
        const char kept = c->log[c->used];
        c->log[c->used] = '\0';
        const bool found = strstr(line, wanted) != NULL;
        static char copy[8192];
        (void)snprintf(copy, sizeof copy, "%s", line);
        c->log[c->used] = kept;
        if (found) {
            return copy;
        }
    }
}

static void wait_listening(struct child *c)
{
    const char *line = wait_event(c, "listening");
    const char *port = strstr(line, "\"port\":");
    assert_non_null(port);
    c->port = (int)strtol(port + 7, NULL, 10);
    assert_true(c->port > 0);
}

/* Exit status; 128 and more for a signal. */
static int wait_exit(struct child *c)
{
    int status = 0;
    size_t out_len = 0;
    ssize_t n = 0;
    while (read_log(c)) {
    }
    while ((n = read(c->out_fd, c->out + out_len, sizeof c->out - 1 - out_len)) > 0) {
        out_len += (size_t)n;
    }
    c->out[out_len] = '\0';
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    (void)close(c->log_fd);
    (void)close(c->out_fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void expect_exit(struct child *c, int status)
{
    const int got = wait_exit(c);
    if (got != status) {
        fail_msg("exit status %d instead of %d:\n%s", got, status, c->log);
    }
}

static void expect_logged(const struct child *c, const char *text)
{
    if (strstr(c->log, text) == NULL) {
        fail_msg("the log lacks \"%s\":\n%s", text, c->log);
    }
}

static void end(struct child *c)
{
    assert_int_equal(kill(c->pid, SIGTERM), 0);
    expect_exit(c, 0);
}

/* ---- HTTP ---- */

static char answer[1 << 20];

/* Status of GET path; the body is in `body`. */
static const char *body;

static int get(const struct child *c, const char *path)
{
    const struct timeval deadline = { .tv_sec = DEADLINE_MS / 1000 };
    const struct sockaddr_in address = { .sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)c->port),
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    char request[256];
    size_t len = 0;
    ssize_t n = 0;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    const int request_len = snprintf(
        request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    assert_int_equal(send(fd, request, (size_t)request_len, MSG_NOSIGNAL), request_len);
    while ((n = recv(fd, answer + len, sizeof answer - 1 - len, 0)) > 0) {
        len += (size_t)n;
    }
    assert_int_equal(n, 0);
    assert_int_equal(close(fd), 0);
    answer[len] = '\0';
    body = strstr(answer, "\r\n\r\n");
    assert_non_null(body);
    body += 4;
    return (int)strtol(answer + 9, NULL, 10);
}

static void expect_page(const struct child *c, const char *path, int status, const char *text)
{
    const int got = get(c, path);
    if (got != status || strcmp(body, text) != 0) {
        fail_msg("%s: %d \"%s\" instead of %d \"%s\"", path, got, body, status, text);
    }
}

static void expect_metric(const char *line)
{
    char whole[256];
    (void)snprintf(whole, sizeof whole, "\n%s\n", line);
    if (strstr(body, whole) == NULL) {
        fail_msg("no \"%s\" in:\n%s", line, body);
    }
}

/* ---- NATS ---- */

static struct mlt_bus *bus;

static void connect_bus(void)
{
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_bus_options options = { .kind = MLT_BUS_CONTROL,
                                             .url = server.url,
                                             .name = "test" };
    assert_int_equal(mlt_bus_connect(&options, &bus, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(bus, DEADLINE_MS * MLT_NS_PER_MS), MLT_OK);
}

static cJSON *request(const char *subject)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf out;
    mlt_buf_init(&out, 1 << 20);
    const enum mlt_status status =
        mlt_bus_request(bus, subject, MLT_SLICE_EMPTY, DEADLINE_MS * MLT_NS_PER_MS, &out, &err);
    if (status != MLT_OK) {
        fail_msg("%s: %s %s", subject, mlt_status_word(status), err.text);
    }
    cJSON *json = cJSON_ParseWithLength((const char *)out.data, out.len);
    mlt_buf_fini(&out);
    return json;
}

static const cJSON *member(const cJSON *json, const char *path)
{
    char name[64];
    while (*path != '\0' && json != NULL) {
        const size_t len = strcspn(path, ".");
        (void)snprintf(name, sizeof name, "%.*s", (int)len, path);
        json = cJSON_GetObjectItemCaseSensitive(json, name);
        path += len + (path[len] == '.' ? 1 : 0);
    }
    if (json == NULL) {
        fail_msg("no member %s", name);
    }
    return json;
}

static const char *text_of(const cJSON *json, const char *path)
{
    const char *text = cJSON_GetStringValue(member(json, path));
    assert_non_null(text);
    return text;
}

static int start_nats(void **state)
{
    (void)state;
    nats_server_init(&server, NULL);
    return 0;
}

static int stop_nats(void **state)
{
    (void)state;
    mlt_bus_destroy(bus, 0);
    bus = NULL;
    nats_server_fini(&server);
    return 0;
}

/* ---- without NATS ---- */

static void test_lives_without_nats_and_says_what_is_missing(void **state)
{
    (void)state;
    struct child c;
    START(&c, "--nats-url", nowhere, "--http-host", "127.0.0.1");
    wait_listening(&c);
    const char *started = wait_event(&c, "tiny_started");
    assert_non_null(strstr(started,
                           "\"instance_name\":\"tiny-one-0\",\"partition_count\":4,"
                           "\"provision_replicas\":1,\"boot_is_set\":true,\"buses\":true"));
    assert_non_null(strstr(wait_event(&c, "not_ready"), "\"missing\":\"nats\""));
    expect_page(&c, "/livez", 200, "live\n");
    expect_page(&c, "/healthz", 200, "live\n");
    expect_page(&c, "/readyz", 503, "not ready: nats\n");
    expect_page(&c, "/nothing", 404, "see /livez, /readyz and /metrics\n");
    assert_int_equal(get(&c, "/metrics"), 200);
    assert_non_null(
        strstr(answer, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    expect_metric("meltica_build_info{version=\"" MELTICA_VERSION "\",service=\"tiny-one\"} 1");
    expect_metric("meltica_ready 0");
    expect_metric("meltica_nats_connected{connection=\"data\"} 0");
    expect_metric("meltica_nats_connected{connection=\"control\"} 0");
    expect_metric("meltica_tiny_collected_total 1");
    expect_metric("meltica_drain_deadline_total 0");
    expect_metric("meltica_micro_replies_refused_total 0");
    assert_non_null(strstr(body, "\nprocess_resident_memory_bytes "));
    end(&c);
    expect_logged(&c, "\"event\":\"draining\"");
    expect_logged(&c, "\"event\":\"tiny_drain\"");
    expect_logged(&c, "\"event\":\"tiny_stop\"");
    expect_logged(&c, "\"event\":\"stopped\"");
    expect_logged(&c, "\"service\":\"tiny-one\",\"instance\":\"tiny-one-0\"");
}

static void test_options_reach_the_service(void **state)
{
    (void)state;
    struct child c;
    assert_int_equal(setenv("MELTICA_STREAMS_PER_CONNECTION", "5", 1), 0);
    START(&c, "--nats-url", nowhere, "--instance", "my_own-7", "--partitions", "64", "--provision",
          "external", "--http-host", "");
    assert_int_equal(unsetenv("MELTICA_STREAMS_PER_CONNECTION"), 0);
    assert_non_null(strstr(wait_event(&c, "variables_ignored"),
                           "\"names\":\"MELTICA_STREAMS_PER_CONNECTION\""));
    wait_listening(&c);
    assert_non_null(
        strstr(wait_event(&c, "tiny_started"),
               "\"instance_name\":\"my_own-7\",\"partition_count\":64,\"provision_replicas\":0"));
    expect_page(&c, "/livez", 200, "live\n"); /* "" listens on IPv4 too */
    end(&c);
}

static void test_hangup_is_logged_and_ends_nothing(void **state)
{
    (void)state;
    struct child c;
    START(&c, "--nats-url", nowhere, "--http-host", "127.0.0.1");
    wait_listening(&c);
    (void)wait_event(&c, "not_ready");
    assert_int_equal(kill(c.pid, SIGHUP), 0);
    assert_non_null(strstr(wait_event(&c, "signal"), "reserved"));
    expect_page(&c, "/livez", 200, "live\n");
    assert_int_equal(kill(c.pid, SIGINT), 0);
    expect_exit(&c, 0);
}

static void test_slow_drain_is_waited_for_and_not_ready(void **state)
{
    (void)state;
    struct child c;
    START(&c, "--nats-url", nowhere, "--http-host", "127.0.0.1", "--drain-ms", "2500");
    wait_listening(&c);
    (void)wait_event(&c, "not_ready");
    const int64_t begun = mlt_clock_mono_ns();
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    (void)wait_event(&c, "tiny_drain");
    expect_page(&c, "/readyz", 503, "not ready: draining\n");
    expect_page(&c, "/livez", 200, "live\n");
    expect_exit(&c, 0);
    assert_true(mlt_clock_mono_ns() - begun >= 2490 * MLT_NS_PER_MS);
    assert_null(strstr(c.log, "drain_deadline\""));
}

static void test_drain_deadline_cuts_and_is_said(void **state)
{
    (void)state;
    struct child c;
    START(&c, "--nats-url", nowhere, "--drain-ms", "-1", "--drain-timeout-ms", "300");
    (void)wait_event(&c, "not_ready");
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    (void)wait_event(&c, "drain_deadline");
    (void)wait_event(&c, "tiny_stop");
    expect_exit(&c, 1);
    expect_logged(&c, "\"event\":\"stopped\"");
}

static void test_second_signal_ends_a_drain_at_once(void **state)
{
    (void)state;
    struct child c;
    START(&c, "--nats-url", nowhere, "--drain-ms", "-1", "--drain-timeout-ms", "60000");
    (void)wait_event(&c, "not_ready");
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    (void)wait_event(&c, "tiny_drain");
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    expect_exit(&c, 1);
    expect_logged(&c, "\"event\":\"ended_at_once\"");
    assert_null(strstr(c.log, "tiny_stop"));
}

static void test_second_signal_ends_a_stop_that_hangs(void **state)
{
    (void)state;
    struct child c;
    START(&c, "--nats-url", nowhere, "--stop", "never");
    (void)wait_event(&c, "not_ready");
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    (void)wait_event(&c, "tiny_stop");
    assert_int_equal(kill(c.pid, SIGINT), 0);
    expect_exit(&c, 1);
}

/* ---- configuration and failures ---- */

static void test_actions_print_and_exit(void **state)
{
    (void)state;
    struct child c;
    START(&c, "--print-config", "--partitions=9");
    expect_exit(&c, 0);
    assert_non_null(strstr(c.out, "nats_url = nats://127.0.0.1:4222   # default\n"));
    assert_non_null(strstr(c.out, "partitions = 9   # --partitions\n"));
    assert_non_null(strstr(c.out, "drain_ms = 0   # default\n"));
    /* Also what does not fit together: whoever looks for a mistake must see it. */
    START(&c, "--print-config", "--replica=5", "--replicas=2");
    expect_exit(&c, 0);
    assert_non_null(strstr(c.out, "replica = 5   # --replica\n"));
    START(&c, "--check-config");
    expect_exit(&c, 0);
    assert_string_equal(c.out, "configuration is good\n");
    START(&c, "--version");
    expect_exit(&c, 0);
    assert_string_equal(c.out, "meltica-tiny-one " MELTICA_VERSION "\n");
    START(&c, "--help");
    expect_exit(&c, 0);
    assert_non_null(strstr(c.out, "meltica-tiny-one: a service for tests\n"));
    assert_non_null(strstr(c.out, "--nats-url VALUE"));
    assert_non_null(strstr(c.out, "--gate-file VALUE"));
    START(&c, "--config-docs");
    expect_exit(&c, 0);
    assert_non_null(strstr(c.out, "## meltica-tiny-one\n\na service for tests\n\n| key |"));
    assert_non_null(strstr(c.out, "| `gate_file` |"));
    assert_null(strstr(c.out, "| `nats_url` |")); /* those of every service stand in one place */
}

static void test_wrong_configuration_ends_with_2_and_names_the_key(void **state)
{
    (void)state;
    static const struct {
        const char *flag, *text;
    } cases[] = {
        { "--partitions=65", "partitions (--partitions): \\\"65\\\" is wrong" },
        { "--nats-ulr=x", "unknown flag --nats-ulr; did you mean --nats-url?" },
        { "--replica=1", "replica: 1 is not below replicas, 1; count from 0" },
        { "--instance=a b", "instance: \\\"a b\\\" is wrong; use up to 63 letters" },
        { "--nats-creds-file=/no/file", "nats_creds_file: \\\"/no/file\\\" cannot be read" },
        { "--tls-ca-file=/no/file", "tls_ca_file: \\\"/no/file\\\" cannot be read" },
        { "--nats-user=x", "nats_user and nats_password_file belong together" },
        { "--tls-cert-file=/dev/null", "tls_cert_file and tls_key_file belong together" },
        { "--start=unchecked", "start: unchecked does not go; use well" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct child c;
        START(&c, cases[i].flag);
        expect_exit(&c, 2);
        expect_logged(&c, "\"event\":\"start_failed\"");
        expect_logged(&c, cases[i].text);
        START(&c, cases[i].flag, "--check-config");
        expect_exit(&c, 2);
        expect_logged(&c, cases[i].text);
    }
}

static void test_a_wrong_variable_of_traces_ends_with_2_and_is_named(void **state)
{
    (void)state;
    struct child c;
    assert_int_equal(setenv("OTEL_TRACES_SAMPLER", "sometimes", 1), 0);
    START(&c, "--check-config");
    assert_int_equal(unsetenv("OTEL_TRACES_SAMPLER"), 0);
    expect_exit(&c, 2);
    expect_logged(&c, "OTEL_TRACES_SAMPLER: \\\"sometimes\\\" is wrong; use always_on");
}

static void test_start_that_fails_cleans_up(void **state)
{
    (void)state;
    struct child c;
    START(&c, "--nats-url", nowhere, "--start", "fail");
    expect_exit(&c, 1);
    expect_logged(&c, "the start goes badly");
    expect_logged(&c, "\"step\":\"service\"");
    assert_null(strstr(c.log, "tiny_stop"));
    START(&c, "--nats-url", nowhere, "--start", "config");
    expect_exit(&c, 2);
    START(&c, "--nats-url", nowhere, "--nats-nkey-file", "/dev/null");
    expect_exit(&c, 2);
    expect_logged(&c, "\"step\":\"nats\"");
}

static void test_port_that_is_taken_is_said(void **state)
{
    (void)state;
    struct child first;
    struct child second;
    char port[16];
    START(&first, "--nats-url", nowhere, "--http-host", "127.0.0.1");
    wait_listening(&first);
    (void)wait_event(&first, "not_ready");
    (void)snprintf(port, sizeof port, "%d", first.port);
    START(&second, "--nats-url", nowhere, "--http-host", "127.0.0.1", "--http-port", port);
    expect_exit(&second, 1);
    expect_logged(&second, "Address already in use");
    end(&first);
}

/* ---- with NATS ---- */

static void expect_status(const char *word, bool ready)
{
    cJSON *json = request("meltica.int.status.tiny-one");
    assert_string_equal(text_of(json, "service"), "tiny-one");
    assert_string_equal(text_of(json, "instance"), "tiny-one-0");
    assert_string_equal(text_of(json, "version"), MELTICA_VERSION);
    assert_int_equal(strlen(text_of(json, "boot")), 16);
    assert_string_equal(text_of(json, "state"), word);
    assert_int_equal(cJSON_IsTrue(member(json, "ready")), ready);
    assert_true(cJSON_IsTrue(member(json, "nats.control.connected")));
    assert_memory_equal(text_of(json, "nats.control.server"), "2.", 2);
    assert_int_equal(member(json, "partitions")->valueint, 4);
    cJSON_Delete(json);
}

static void test_ready_with_nats_away_without_and_back_again(void **state)
{
    (void)state;
    struct child c;
    nats_server_kill(&server);
    START(&c, "--nats-url", server.url, "--http-host", "127.0.0.1");
    wait_listening(&c);
    (void)wait_event(&c, "not_ready");
    expect_page(&c, "/readyz", 503, "not ready: nats\n");
    nats_server_start(&server);
    /* Which of the two comes first is open. */
    (void)wait_event(&c, "micro_registered");
    connect_bus();
    while (get(&c, "/readyz") != 200) {
        assert_string_equal(body, "not ready: nats\n");
    }
    assert_string_equal(body, "ready\n");
    expect_status("ready", true);
    assert_int_equal(get(&c, "/metrics"), 200);
    expect_metric("meltica_ready 1");
    expect_metric("meltica_nats_connected{connection=\"data\"} 1");
    expect_metric("meltica_nats_connected{connection=\"control\"} 1");
    expect_metric("meltica_nats_reconnects_total{connection=\"control\"} 0");

    nats_server_kill(&server);
    assert_non_null(strstr(wait_event(&c, "not_ready"), "\"missing\":\"nats\""));
    expect_page(&c, "/readyz", 503, "not ready: nats\n");
    expect_page(&c, "/livez", 200, "live\n");
    nats_server_start(&server);
    (void)wait_event(&c, "ready");
    expect_page(&c, "/readyz", 200, "ready\n");
    assert_int_equal(mlt_bus_wait_connected(bus, DEADLINE_MS * MLT_NS_PER_MS), MLT_OK);
    expect_status("ready", true); /* registered still, without registering again */
    assert_int_equal(get(&c, "/metrics"), 200);
    expect_metric("meltica_nats_disconnects_total{connection=\"control\"} 1");
    end(&c);
}

static void test_micro_service_tells_who_it_is(void **state)
{
    (void)state;
    struct child c;
    connect_bus();
    START(&c, "--nats-url", server.url, "--http-host", "127.0.0.1");
    wait_listening(&c);
    (void)wait_event(&c, "micro_registered");
    cJSON *json = request("$SRV.INFO.meltica-tiny-one");
    assert_string_equal(text_of(json, "name"), "meltica-tiny-one");
    assert_string_equal(text_of(json, "version"), MELTICA_VERSION);
    assert_string_equal(text_of(json, "description"), "a service for tests");
    assert_string_equal(text_of(json, "metadata.instance"), "tiny-one-0");
    assert_string_equal(text_of(json, "metadata.partitions"), "4");
    assert_int_equal(strlen(text_of(json, "metadata.boot")), 16);
    const cJSON *endpoints = member(json, "endpoints");
    assert_int_equal(cJSON_GetArraySize(endpoints), 2);
    assert_string_equal(text_of(cJSON_GetArrayItem(endpoints, 0), "name"), "status");
    assert_string_equal(text_of(cJSON_GetArrayItem(endpoints, 0), "subject"),
                        "meltica.int.status.tiny-one");
    assert_string_equal(text_of(cJSON_GetArrayItem(endpoints, 1), "subject"),
                        "meltica.test.tiny.fail");
    cJSON_Delete(json);
    json = request("$SRV.STATS.meltica-tiny-one");
    endpoints = member(json, "endpoints");
    assert_int_equal(member(cJSON_GetArrayItem(endpoints, 0), "data.collected")->valueint, 1);
    const cJSON *own = member(cJSON_GetArrayItem(endpoints, 0), "data.service");
    assert_string_equal(text_of(own, "instance"), "tiny-one-0");
    assert_true(cJSON_IsBool(member(own, "ready")));
    assert_true(cJSON_IsTrue(member(own, "nats.control.connected")));
    const int64_t time_ns = strtoll(text_of(own, "time_ns"), NULL, 10);
    assert_true(llabs(mlt_clock_wall_ns() - time_ns) < 10 * MLT_NS_PER_S);
    cJSON_Delete(json);
    end(&c);
}

static void test_own_condition_is_part_of_readiness(void **state)
{
    (void)state;
    struct child c;
    char gate[] = "/tmp/meltica-gate-XXXXXX";
    const int fd = mkstemp(gate);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(gate), 0);
    connect_bus();
    START(&c, "--nats-url", server.url, "--http-host", "127.0.0.1", "--gate-file", gate);
    wait_listening(&c);
    (void)wait_event(&c, "micro_registered");
    while (get(&c, "/readyz"), strcmp(body, "not ready: gate\n") != 0) {
        assert_non_null(strstr(body, "nats")); /* the data connection is still on its way */
    }
    expect_status("not_ready", false);
    const int made = open(gate, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(made >= 0);
    assert_int_equal(close(made), 0);
    (void)wait_event(&c, "ready"); /* noticed without anybody asking */
    expect_page(&c, "/readyz", 200, "ready\n");
    assert_int_equal(unlink(gate), 0);
    expect_page(&c, "/readyz", 503, "not ready: gate\n");
    end(&c);
}

/* Runs --healthcheck as a container does: beside the service, with its configuration. */
static void check_health(const struct child *c, const char *const *more, int status,
                         const char *said)
{
    struct child check;
    char port[16];
    const char *arguments[8] = { "--healthcheck", "--http-port", port };
    (void)snprintf(port, sizeof port, "%d", c->port);
    for (size_t i = 0; more[i] != NULL; i++) {
        arguments[3 + i] = more[i];
    }
    child_start(&check, arguments);
    expect_exit(&check, status);
    if (status == 0) {
        assert_string_equal(check.out, said);
    } else {
        expect_logged(&check, "\"event\":\"healthcheck_failed\"");
        expect_logged(&check, said);
    }
}

#define CHECK_HEALTH(c, status, said, ...)                                                         \
    check_health(c, (const char *const[]){ __VA_ARGS__ NULL }, status, said)

static void test_healthcheck_says_what_readyz_says(void **state)
{
    (void)state;
    struct child c;
    nats_server_kill(&server);
    START(&c, "--nats-url", server.url);
    wait_listening(&c);
    (void)wait_event(&c, "not_ready");
    CHECK_HEALTH(&c, 1, "/readyz: 503 not ready: nats", );
    nats_server_start(&server);
    (void)wait_event(&c, "ready");
    CHECK_HEALTH(&c, 0, "ready\n", );
    CHECK_HEALTH(&c, 0, "ready\n", "--http-host=127.0.0.1", );
    /* Only what is needed to ask is checked: whether the rest is right, the service has said. */
    CHECK_HEALTH(&c, 0, "ready\n", "--nats-creds-file=/no/file", );
    end(&c);
    CHECK_HEALTH(&c, 1, "/readyz: Could", );
}

static void test_healthcheck_wants_a_port_of_its_own_choice(void **state)
{
    (void)state;
    struct child c;
    START(&c, "--healthcheck");
    expect_exit(&c, 2);
    expect_logged(&c, "http_port: 0 is a free port that nobody else knows; name one");
}

static void test_service_that_gives_up_drains_and_ends_with_1(void **state)
{
    (void)state;
    struct child c;
    connect_bus();
    START(&c, "--nats-url", server.url);
    (void)wait_event(&c, "micro_registered");
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf out;
    mlt_buf_init(&out, 100);
    assert_int_equal(mlt_bus_request(bus, "meltica.test.tiny.fail", MLT_SLICE_EMPTY,
                                     DEADLINE_MS * MLT_NS_PER_MS, &out, &err),
                     MLT_OK);
    assert_true(mlt_slice_equal_string(mlt_buf_view(&out), "failing"));
    mlt_buf_fini(&out);
    expect_exit(&c, 1);
    expect_logged(&c, "\"event\":\"tiny_outbid\"");
    expect_logged(&c, "another one owns it");
    expect_logged(&c, "\"event\":\"tiny_drain\"");
    expect_logged(&c, "\"event\":\"tiny_stop\"");
}

#define NATS_TEST(f) cmocka_unit_test_setup_teardown(f, start_nats, stop_nats)

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)setenv("TSAN_OPTIONS", "atexit_sleep_ms=0",
                 0); /* else each child takes a second to end */
    (void)snprintf(nowhere, sizeof nowhere, "nats://127.0.0.1:%d", mlt_free_port());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lives_without_nats_and_says_what_is_missing),
        cmocka_unit_test(test_options_reach_the_service),
        cmocka_unit_test(test_hangup_is_logged_and_ends_nothing),
        cmocka_unit_test(test_slow_drain_is_waited_for_and_not_ready),
        cmocka_unit_test(test_drain_deadline_cuts_and_is_said),
        cmocka_unit_test(test_second_signal_ends_a_drain_at_once),
        cmocka_unit_test(test_second_signal_ends_a_stop_that_hangs),
        cmocka_unit_test(test_actions_print_and_exit),
        cmocka_unit_test(test_wrong_configuration_ends_with_2_and_names_the_key),
        cmocka_unit_test(test_a_wrong_variable_of_traces_ends_with_2_and_is_named),
        cmocka_unit_test(test_start_that_fails_cleans_up),
        cmocka_unit_test(test_port_that_is_taken_is_said),
        cmocka_unit_test(test_healthcheck_wants_a_port_of_its_own_choice),
        NATS_TEST(test_healthcheck_says_what_readyz_says),
        NATS_TEST(test_ready_with_nats_away_without_and_back_again),
        NATS_TEST(test_micro_service_tells_who_it_is),
        NATS_TEST(test_own_condition_is_part_of_readiness),
        NATS_TEST(test_service_that_gives_up_drains_and_ends_with_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
