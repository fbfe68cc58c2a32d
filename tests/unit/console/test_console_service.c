/* meltica-console as a process with a nats-server: page, configuration and health on one port. */
#include "mlt_test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nats_fixture.h"

#define DEADLINE_MS 15000

static struct nats_server server;
static char dir[] = "/tmp/meltica-console-XXXXXX";
static char answer[65536];

struct child {
    pid_t pid;
    int log_fd;
    char log[32768];
    size_t len;
};

static void start(struct child *c, const char *const *argv)
{
    int errors[2];
    memset(c, 0, sizeof *c);
    assert_int_equal(pipe(errors), 0);
    const pid_t parent = getpid();
    c->pid = fork();
    assert_true(c->pid >= 0);
    if (c->pid == 0) {
        char *plain[16] = { 0 };
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        memcpy(plain, argv, 15 * sizeof plain[0]);
        if (getppid() == parent && dup2(errors[1], STDERR_FILENO) >= 0) {
            (void)execv(CONSOLE, plain);
        }
        _exit(127);
    }
    (void)close(errors[1]);
    c->log_fd = errors[0];
}

/* What stands behind text in the log, once it is there; NULL where the log ended before. */
static const char *wait_log(struct child *c, const char *text)
{
    const char *found = NULL;
    while ((found = strstr(c->log, text)) == NULL) {
        struct pollfd wait = { .fd = c->log_fd, .events = POLLIN };
        assert_int_equal(poll(&wait, 1, DEADLINE_MS), 1);
        const ssize_t n = read(c->log_fd, c->log + c->len, sizeof c->log - 1 - c->len);
        assert_true(n >= 0);
        if (n == 0) {
            return NULL;
        }
        c->len += (size_t)n;
    }
    return found + strlen(text);
}

static int wait_exit(struct child *c)
{
    int status = 0;
    (void)wait_log(c, "a text that no log has");
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    (void)close(c->log_fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int get(int port, const char *path, const char *header)
{
    const struct timeval deadline = { .tv_sec = DEADLINE_MS / 1000 };
    const struct sockaddr_in address = { .sin_family = AF_INET,
                                         .sin_port = htons((uint16_t)port),
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    char request[512];
    size_t len = 0;
    ssize_t n = 0;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    const int request_len =
        snprintf(request, sizeof request,
                 "GET %s HTTP/1.1\r\nHost: x\r\n%sConnection: close\r\n\r\n", path, header);
    assert_int_equal(send(fd, request, (size_t)request_len, MSG_NOSIGNAL), request_len);
    while ((n = recv(fd, answer + len, sizeof answer - 1 - len, 0)) > 0) {
        len += (size_t)n;
    }
    assert_int_equal(n, 0);
    assert_int_equal(close(fd), 0);
    answer[len] = '\0';
    return (int)strtol(answer + 9, NULL, 10);
}

static void expect(const char *text)
{
    if (strstr(answer, text) == NULL) {
        fail_msg("no \"%s\" in:\n%s", text, answer);
    }
}

static void test_page_and_health_on_one_port(void **state)
{
    struct child c;
    char tag[64];
    (void)state;
    const char *const argv[16] = { CONSOLE,       "--nats-url",    server.url,
                                   "--http-host", "127.0.0.1",     "--web-dir",
                                   dir,           "--nats-ws-url", "ws://127.0.0.1:9333",
                                   "--label",     "test" };
    start(&c, argv);
    const char *port_text = wait_log(&c, "\"event\":\"listening\"");
    assert_non_null(port_text);
    port_text = strstr(port_text, "\"port\":");
    assert_non_null(port_text);
    const int port = (int)strtol(port_text + 7, NULL, 10);
    assert_non_null(wait_log(&c, "\"event\":\"ready\""));

    assert_int_equal(get(port, "/healthz", ""), 200);
    assert_int_equal(get(port, "/readyz", ""), 200);
    assert_int_equal(get(port, "/", ""), 200);
    expect("\r\n\r\n<!doctype html><title>x</title>");
    expect("Cache-Control: no-cache\r\n");
    expect("connect-src 'self' ws://127.0.0.1:9333;");
    const char *at = strstr(answer, "ETag: ");
    assert_non_null(at);
    (void)snprintf(tag, sizeof tag, "If-None-Match: %.*s\r\n", (int)strcspn(at + 6, "\r"), at + 6);
    assert_int_equal(get(port, "/", tag), 304);
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    assert_null(strstr(answer, "Content-Length"));
    assert_int_equal(get(port, "/config.json", ""), 200);
    expect("{\"nats_ws\":\"ws://127.0.0.1:9333\",\"label\":\"test\",");
    expect("\"control\":false}");
    assert_int_equal(get(port, "/../page", ""), 404);
    assert_int_equal(get(port, "/metrics", ""), 200);
    expect("meltica_console_requests_total{page=\"index\"} 1\n");
    expect("meltica_console_requests_total{page=\"not_modified\"} 1\n");
    expect("meltica_console_requests_total{page=\"none\"} 1\n");
    expect("meltica_console_files 1\n");
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    assert_int_equal(wait_exit(&c), 0);
}

static void test_without_a_page_it_does_not_start(void **state)
{
    struct child c;
    (void)state;
    const char *const argv[16] = { CONSOLE, "--web-dir", "/nowhere", "--nats-url", server.url };
    start(&c, argv);
    assert_non_null(wait_log(&c, "name the folder of the built page"));
    assert_int_equal(wait_exit(&c), 2);
}

static int set_up(void **state)
{
    char path[128];
    (void)state;
    nats_server_init(&server, NULL);
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/index.html", dir);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs("<!doctype html><title>x</title>", f) >= 0);
    return fclose(f);
}

static int tear_down(void **state)
{
    char path[128];
    (void)state;
    nats_server_fini(&server);
    (void)snprintf(path, sizeof path, "%s/index.html", dir);
    return unlink(path) != 0 || rmdir(dir) != 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page_and_health_on_one_port),
        cmocka_unit_test(test_without_a_page_it_does_not_start),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
