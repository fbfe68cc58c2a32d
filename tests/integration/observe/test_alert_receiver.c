/* What the other tests of Prometheus believe: when an alert counts as fired. A stub says what
 * Prometheus would, and at last Prometheus itself. */
#include "mlt_test.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "mlt_prometheus.h"

#define PATIENCE_S 30
#define ALERT(name, since) "[{\"labels\":{\"alertname\":\"" name "\"},\"startsAt\":\"" since "\"}]"
#define FIRST "2026-01-02T03:04:05.600Z"
#define SECOND "2026-01-02T03:09:05.350Z"

static struct mlt_prometheus prometheus;
static struct http_stub api;
static const char *active; /* what the API answers to /api/v1/alerts */

static struct http_stub_answer answer(void *ctx, const char *head, const void *body, size_t len)
{
    (void)ctx, (void)body, (void)len;
    const bool asked = strncmp(head, "GET /api/v1/alerts ", 19) == 0;
    return (struct http_stub_answer){ .code = asked ? 200 : 404,
                                      .body = active,
                                      .body_len = asked ? strlen(active) : 0 };
}

static void set_active(const char *alerts)
{
    static char text[512];
    (void)snprintf(text, sizeof text, "{\"status\":\"success\",\"data\":{\"alerts\":%s}}", alerts);
    active = text;
}

static int start(void **state)
{
    (void)state;
    mlt_prometheus_listen(&prometheus);
    assert_true(http_stub_start(&api, 0, answer, NULL));
    (void)snprintf(prometheus.port, sizeof prometheus.port, "%u", (unsigned)api.port);
    set_active("[]");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    mlt_prometheus_stop(&prometheus);
    http_stub_stop(&api);
    return 0;
}

/* Returns when it was taken. */
static void tell(const char *alerts)
{
    const struct sockaddr_in address = { .sin_family = AF_INET,
                                         .sin_port = htons(prometheus.receiver.port),
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    char request[1024], said[256];
    const int len = snprintf(request, sizeof request,
                             "POST /api/v2/alerts HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s",
                             strlen(alerts), alerts);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(write(fd, request, (size_t)len), len);
    assert_true(read(fd, said, sizeof said) > 12);
    assert_memory_equal(said, "HTTP/1.1 200", 12);
    assert_int_equal(close(fd), 0);
}

static void test_what_was_forgotten_counts_when_it_begins_anew(void **state)
{
    (void)state;
    tell(ALERT("Slow", FIRST));
    tell(ALERT("Other", FIRST));
    assert_true(mlt_prometheus_fired(&prometheus, "Slow"));
    assert_true(mlt_prometheus_forget(&prometheus, "Slow"));
    assert_false(mlt_prometheus_fired(&prometheus, "Slow"));
    assert_true(mlt_prometheus_fired(&prometheus, "Other"));
    tell(ALERT("Slow", FIRST)); /* told again, or that it no longer fires */
    assert_false(mlt_prometheus_fired(&prometheus, "Slow"));
    tell(ALERT("Slow", SECOND));
    assert_true(mlt_prometheus_fired(&prometheus, "Slow"));
    tell(ALERT("Slow", FIRST)); /* of another instance */
    assert_true(mlt_prometheus_forget(&prometheus, "Slow"));
    tell(ALERT("Slow", SECOND));
    assert_false(mlt_prometheus_fired(&prometheus, "Slow"));
}

static void test_what_is_active_proves_nothing(void **state)
{
    (void)state;
    set_active("[{\"labels\":{\"alertname\":\"Slow\"},\"state\":\"firing\"},"
               "{\"labels\":{\"alertname\":\"Soon\"},\"state\":\"pending\"}]");
    tell(ALERT("Slow", FIRST));
    assert_false(mlt_prometheus_forget(&prometheus, "Slow"));
    assert_true(mlt_prometheus_fired(&prometheus, "Slow"));
    assert_false(mlt_prometheus_forget(&prometheus, "Soon"));
    assert_true(mlt_prometheus_forget(&prometheus, "Other")); /* never heard of */
}

static void read_since(const char *alert, char *since, size_t size)
{
    since[0] = '\0';
    (void)pthread_mutex_lock(&prometheus.lock);
    for (size_t i = 0; i < prometheus.fired_count; i++) {
        if (strcmp(prometheus.fired[i].name, alert) == 0) {
            (void)snprintf(since, size, "%s", prometheus.fired[i].since);
        }
    }
    (void)pthread_mutex_unlock(&prometheus.lock);
}

/* It fires for two seconds of four. */
static void test_prometheus_says_when_an_alert_began(void **state)
{
    (void)state;
    const struct mlt_stack_options options = { .exchange = { "--synthetic", "--symbols", "1" } };
    const int64_t until_ns = mlt_clock_mono_ns() + PATIENCE_S * MLT_NS_PER_S;
    struct mlt_stack stack;
    char first[40], second[40];
    mlt_stack_start(&stack, &options);
    mlt_prometheus_listen(&prometheus);
    mlt_prometheus_start(&prometheus, &stack, "{ alert: Blinks, expr: 'vector(time() % 4) < 2' }");
    mlt_prometheus_await(&prometheus, "Blinks", PATIENCE_S);
    while (!mlt_prometheus_forget(&prometheus, "Blinks")) {
        assert_true(mlt_clock_mono_ns() < until_ns);
    }
    read_since("Blinks", first, sizeof first);
    mlt_prometheus_await(&prometheus, "Blinks", PATIENCE_S);
    read_since("Blinks", second, sizeof second);
    assert_int_equal(strlen(first), sizeof FIRST - 1);
    assert_int_equal(strlen(second), sizeof SECOND - 1);
    assert_true(strcmp(first, second) < 0);
    mlt_prometheus_stop(&prometheus);
    mlt_stack_stop(&stack);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_was_forgotten_counts_when_it_begins_anew, start,
                                        stop),
        cmocka_unit_test_setup_teardown(test_what_is_active_proves_nothing, start, stop),
        cmocka_unit_test(test_prometheus_says_when_an_alert_began),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
