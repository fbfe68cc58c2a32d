#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "mlt_port.h"

#define WAIT_NS (10 * MLT_NS_PER_S)
#define RELAY_LINES_MAX 8

static int left_ms(int64_t deadline)
{
    const int64_t left = (deadline - mlt_clock_mono_ns()) / MLT_NS_PER_MS;
    return left > 0 ? (int)left : 0;
}

static int listen_any(int *port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof a;
    assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static int dial(int port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in a = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    if (connect(fd, (const struct sockaddr *)&a, sizeof a) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* Appends to out until it holds `until` `count` times; false at end of file or time. */
static bool read_until(int fd, const char *until, int count, char *out, size_t size)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    size_t used = strlen(out);
    for (;;) {
        int seen = 0;
        for (const char *at = out; (at = strstr(at, until)) != NULL; at += strlen(until)) {
            seen++;
        }
        if (seen >= count) {
            return true;
        }
        struct pollfd wait = { .fd = fd, .events = POLLIN };
        if (used == size - 1 || poll(&wait, 1, left_ms(deadline)) != 1) {
            return false;
        }
        const ssize_t got = read(fd, out + used, size - 1 - used);
        if (got <= 0) {
            return false;
        }
        used += (size_t)got;
        out[used] = '\0';
    }
}

static void launch(struct server *s)
{
    int out[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    char port[16], config[96];
    (void)snprintf(port, sizeof port, "%d", s->port);
    (void)snprintf(config, sizeof config, "%s/nats.conf", s->dir);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(out[1], STDERR_FILENO);
        const char *const args[] = { "nats-server", "-a", "127.0.0.1", "-p",
                                     port,          "-c", config,      NULL };
        (void)execvp(args[0], (char *const *)(uintptr_t)args);
        _exit(127);
    }
    (void)close(out[1]);
    s->pid = pid;
    s->log_fd = out[0];
    char log[16384] = "";
    if (!read_until(s->log_fd, "Server is ready", 1, log, sizeof log)) {
        fail_msg("nats-server does not start: %s", log);
    }
}

void server_start(struct server *s, bool jetstream, const char *config)
{
    *s = (struct server){ .jetstream = jetstream, .log_fd = -1 };
    (void)snprintf(s->dir, sizeof s->dir, "/tmp/meltica-test-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    s->port = mlt_free_port();
    assert_true(s->port > 0);
    (void)snprintf(s->url, sizeof s->url, "nats://127.0.0.1:%d", s->port);
    char path[96];
    (void)snprintf(path, sizeof path, "%s/nats.conf", s->dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    if (jetstream) {
        (void)fprintf(file, "jetstream { store_dir: \"%s/js\" }\n", s->dir);
    }
    (void)fprintf(file, "%s\n", config);
    assert_int_equal(fclose(file), 0);
    launch(s);
}

static void end_process(struct server *s, int signal)
{
    if (s->pid > 0) {
        (void)kill(s->pid, signal);
        (void)kill(s->pid, SIGCONT);
        (void)waitpid(s->pid, NULL, 0);
        (void)close(s->log_fd);
        s->pid = 0;
    }
}

void server_stop(struct server *s)
{
    end_process(s, SIGTERM);
}

void server_restart(struct server *s)
{
    end_process(s, SIGKILL);
    launch(s);
}

void server_pause(struct server *s)
{
    int status = 0;
    assert_int_equal(kill(s->pid, SIGSTOP), 0);
    assert_int_equal(waitpid(s->pid, &status, WUNTRACED), s->pid);
    assert_true(WIFSTOPPED(status));
}

void server_resume(struct server *s)
{
    assert_int_equal(kill(s->pid, SIGCONT), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void server_end(struct server *s)
{
    end_process(s, SIGKILL);
    (void)nftw(s->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct mlt_bus *connect_as(enum mlt_bus_kind kind, const char *url, const char *user)
{
    const struct mlt_bus_options options = {
        .kind = kind, .url = url, .name = "test", .user = user
    };
    struct mlt_bus *bus = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    if (mlt_bus_connect(&options, &bus, &err) != MLT_OK) {
        fail_msg("connect: %s", err.text);
    }
    assert_int_equal(mlt_bus_wait_connected(bus, WAIT_NS), MLT_OK);
    return bus;
}

struct mlt_bus *url_connect(const char *url, const char *user)
{
    return connect_as(MLT_BUS_CONTROL, url, user);
}

struct mlt_bus *server_connect_data(const struct server *s)
{
    return connect_as(MLT_BUS_DATA, s->url, NULL);
}

struct mlt_bus *server_connect(const struct server *s, const char *user)
{
    return url_connect(s->url, user);
}

void raw_client(const struct server *s, const char *lines, const char *until, int count, char *out,
                size_t size)
{
    const int fd = dial(s->port);
    assert_true(fd >= 0);
    out[0] = '\0';
    static const char hello[] =
        "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n";
    if (strncmp(lines, "CONNECT ", 8) != 0) {
        assert_int_equal(write(fd, hello, sizeof hello - 1), sizeof hello - 1);
    }
    assert_int_equal(write(fd, lines, strlen(lines)), strlen(lines));
    if (!read_until(fd, until, count, out, size)) {
        fail_msg("'%s' did not come %d times: %s", until, count, out);
    }
    (void)close(fd);
}

/* ---- relay ---- */

enum { RELAY_CUT = 1, RELAY_MEND = 1 << 10, RELAY_END = 1 << 20 };

struct line {
    int a, b;
    bool swallowed;                  /* all from the text on */
    char tail[RELAY_TEXT_BYTES_MAX]; /* the text may be in two reads */
    size_t tail_len;
};

static void close_line(struct line *line)
{
    (void)close(line->a);
    (void)close(line->b);
    line->a = -1;
}

static bool send_all(int to, const char *bytes, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        const ssize_t n = send(to, bytes + sent, len - sent, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        sent += (size_t)n;
    }
    return true;
}

static bool pump(int from, int to)
{
    char bytes[16384];
    const ssize_t got = read(from, bytes, sizeof bytes);
    return got > 0 && send_all(to, bytes, (size_t)got);
}

/* How much at the end of the bytes the text may begin with. */
static size_t begun(const char *bytes, size_t len, const char *text)
{
    size_t n = strlen(text) - 1 < len ? strlen(text) - 1 : len;
    while (memcmp(bytes + len - n, text, n) != 0) {
        n--;
    }
    return n;
}

/* From the client, and from the text on: a line that is being made is made. The other way all goes
 * on. */
static bool swallow(struct relay *relay, struct line *line)
{
    char bytes[RELAY_TEXT_BYTES_MAX + 16384];
    const size_t text_len = strlen(relay->text);
    memcpy(bytes, line->tail, line->tail_len);
    const ssize_t got = read(line->a, bytes + line->tail_len, 16384);
    if (got <= 0) {
        return false;
    }
    const size_t len = line->tail_len + (size_t)got;
    uint64_t found = 0;
    size_t first = len;
    for (size_t i = 0; i + text_len <= len; i++) {
        if (memcmp(bytes + i, relay->text, text_len) == 0) {
            first = found == 0 ? i : first;
            found++;
        }
    }
    line->tail_len = begun(bytes, len, relay->text);
    memcpy(line->tail, bytes + len - line->tail_len, line->tail_len);
    if (!line->swallowed) {
        const size_t before = found == 0 ? len - line->tail_len : first;
        line->swallowed = found > 0;
        if (!send_all(line->b, bytes, before)) {
            return false;
        }
    }
    latch_add(&relay->swallowed, found);
    return true;
}

static bool from_client(struct relay *relay, struct line *line)
{
    return atomic_load(&relay->swallowing) ? swallow(relay, line) : pump(line->a, line->b);
}

static void relay_accept(struct relay *relay, struct line *lines, bool cut)
{
    const int a = accept(relay->listen_fd, NULL, NULL);
    const int b = cut ? -1 : dial(relay->target_port);
    for (int i = 0; b >= 0 && i < RELAY_LINES_MAX; i++) {
        if (lines[i].a < 0) {
            lines[i] = (struct line){ .a = a, .b = b };
            return;
        }
    }
    (void)close(a);
    (void)close(b);
}

static void *relay_run(void *arg)
{
    struct relay *relay = arg;
    struct line lines[RELAY_LINES_MAX];
    for (int i = 0; i < RELAY_LINES_MAX; i++) {
        lines[i].a = -1;
    }
    bool cut = false;
    for (;;) {
        struct pollfd p[2 + 2 * RELAY_LINES_MAX] = { { .fd = relay->command_fd, .events = POLLIN },
                                                     { .fd = relay->listen_fd, .events = POLLIN } };
        for (int i = 0; i < RELAY_LINES_MAX; i++) {
            p[2 + 2 * i] = (struct pollfd){ .fd = lines[i].a, .events = POLLIN };
            p[3 + 2 * i] =
                (struct pollfd){ .fd = lines[i].a < 0 ? -1 : lines[i].b, .events = POLLIN };
        }
        (void)poll(p, 2 + 2 * RELAY_LINES_MAX, -1);
        uint64_t command = 0;
        bool cut_now = false;
        if (p[0].revents != 0) {
            (void)!read(relay->command_fd, &command, sizeof command);
            cut_now = (command & RELAY_CUT) != 0; /* a mend may have come with it */
            cut = (cut || cut_now) && (command & RELAY_MEND) == 0;
            if (cut_now) {
                atomic_store(&relay->swallowing, false);
            }
        }
        for (int i = 0; i < RELAY_LINES_MAX; i++) {
            if (lines[i].a >= 0 && (cut || cut_now || command >= RELAY_END ||
                                    (p[2 + 2 * i].revents != 0 && !from_client(relay, &lines[i])) ||
                                    (p[3 + 2 * i].revents != 0 && !pump(lines[i].b, lines[i].a)))) {
                close_line(&lines[i]);
            }
        }
        if (cut_now) {
            latch_add(&relay->cuts, 1);
        }
        if (command >= RELAY_END) {
            return NULL;
        }
        if (p[1].revents != 0) {
            relay_accept(relay, lines, cut);
        }
    }
}

void relay_start(struct relay *relay, int target_port)
{
    *relay = (struct relay){ .target_port = target_port };
    relay->listen_fd = listen_any(&relay->port);
    assert_int_equal(listen(relay->listen_fd, 8), 0);
    relay->command_fd = eventfd(0, EFD_CLOEXEC);
    (void)snprintf(relay->url, sizeof relay->url, "nats://127.0.0.1:%d", relay->port);
    latch_init(&relay->swallowed);
    latch_init(&relay->cuts);
    assert_int_equal(pthread_create(&relay->thread, NULL, relay_run, relay), 0);
}

static void relay_command(struct relay *relay, uint64_t command)
{
    assert_int_equal(write(relay->command_fd, &command, sizeof command), sizeof command);
}

void relay_swallow(struct relay *relay, const char *text)
{
    assert_true(strlen(text) < sizeof relay->text);
    (void)snprintf(relay->text, sizeof relay->text, "%s", text);
    atomic_store(&relay->swallowing, true);
}

void relay_cut(struct relay *relay)
{
    const uint64_t before = latch_count(&relay->cuts);
    relay_command(relay, RELAY_CUT);
    assert_true(latch_wait(&relay->cuts, before + 1, 20 * MLT_NS_PER_S));
}

void relay_mend(struct relay *relay)
{
    relay_command(relay, RELAY_MEND);
}

void relay_end(struct relay *relay)
{
    relay_command(relay, RELAY_END);
    (void)pthread_join(relay->thread, NULL);
    (void)close(relay->listen_fd);
    (void)close(relay->command_fd);
}

/* ---- latch ---- */

void latch_init(struct latch *latch)
{
    (void)pthread_mutex_init(&latch->mutex, NULL);
    (void)pthread_cond_init(&latch->changed, NULL);
    latch->count = 0;
}

void latch_add(struct latch *latch, uint64_t n)
{
    (void)pthread_mutex_lock(&latch->mutex);
    latch->count += n;
    (void)pthread_cond_broadcast(&latch->changed);
    (void)pthread_mutex_unlock(&latch->mutex);
}

uint64_t latch_count(struct latch *latch)
{
    (void)pthread_mutex_lock(&latch->mutex);
    const uint64_t count = latch->count;
    (void)pthread_mutex_unlock(&latch->mutex);
    return count;
}

bool latch_wait(struct latch *latch, uint64_t n, int64_t timeout_ns)
{
    const int64_t at = mlt_clock_mono_ns() + timeout_ns;
    const struct timespec until = { .tv_sec = at / MLT_NS_PER_S, .tv_nsec = at % MLT_NS_PER_S };
    (void)pthread_mutex_lock(&latch->mutex);
    int rc = 0;
    while (latch->count < n && rc == 0) {
        rc = pthread_cond_clockwait(&latch->changed, &latch->mutex, CLOCK_MONOTONIC, &until);
    }
    const bool reached = latch->count >= n;
    (void)pthread_mutex_unlock(&latch->mutex);
    return reached;
}
