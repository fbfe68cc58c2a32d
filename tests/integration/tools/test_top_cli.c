/* meltica top on a whole Meltica: in a terminal, whose size changes and which is as it was
 * afterwards, and one look for scripts. */
#include "mlt_test.h"

#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include "command.h"
#include "meltica/base/clock.h"
#include "server.h"
#include "steer_rig.h"

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define HERE "--nats-url", rig.stack.nats_url
#define WAIT_NS (20 * MLT_NS_PER_S)
#define ENTER "\x1b[?1049h"
#define LEAVE "\x1b[?25h\x1b[?1049l"
#define FRAME "\x1b[?2026h\x1b[H"
#define FRAME_END "\x1b[J\x1b[?2026l"

static struct rig rig;

/* ---- a terminal ---- */

struct terminal {
    int fd, slave; /* slave stays open, so that its settings can be read when the command is gone */
    pid_t pid;
    struct termios before;
    size_t len, looked; /* looked: where the next look for a frame begins */
    char text[1 << 20];
};

static void start(struct terminal *t, unsigned short rows, unsigned short columns)
{
    const struct winsize size = { .ws_row = rows, .ws_col = columns };
    memset(t, 0, sizeof *t);
    assert_int_equal(openpty(&t->fd, &t->slave, NULL, NULL, &size), 0);
    assert_int_equal(tcgetattr(t->slave, &t->before), 0);
    t->pid = fork();
    assert_true(t->pid >= 0);
    if (t->pid == 0) {
        char path[512];
        const char *build = getenv("MELTICA_BINARY_DIR");
        (void)snprintf(path, sizeof path, "%s/bin/meltica", build != NULL ? build : "build/dev");
        (void)close(t->fd);
        if (login_tty(t->slave) == 0) {
            (void)execl(path, path, "top", HERE, (char *)NULL);
        }
        _exit(127);
    }
}

static bool read_more(struct terminal *t, int64_t deadline)
{
    struct pollfd fd = { .fd = t->fd, .events = POLLIN };
    const int64_t left = (deadline - mlt_clock_mono_ns()) / MLT_NS_PER_MS;
    if (left <= 0 || poll(&fd, 1, (int)left) <= 0) {
        return false;
    }
    assert_true(t->len < sizeof t->text - 1);
    const size_t room = t->len < sizeof t->text - 1 ? sizeof t->text - 1 - t->len : 0;
    const ssize_t n = read(t->fd, t->text + t->len, room);
    t->len += n > 0 ? (size_t)n : 0;
    t->text[t->len] = '\0';
    return n > 0;
}

/* The next whole frame that has this text; what came before is passed over. */
static void wait_frame(struct terminal *t, const char *part, char *out, size_t size)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    for (;;) {
        char *begin = strstr(t->text + t->looked, FRAME);
        char *end = begin != NULL ? strstr(begin, FRAME_END) : NULL;
        if (end == NULL) {
            if (!read_more(t, deadline)) {
                fail_msg("no frame with \"%s\" in: %s", part, t->text + t->looked);
            }
            continue;
        }
        (void)snprintf(out, size, "%.*s", (int)(end - begin), begin);
        t->looked = (size_t)(end - t->text);
        if (strstr(out, part) != NULL) {
            return;
        }
    }
}

/* How many rows and columns a frame takes. */
static void measure(const char *frame, unsigned *rows, unsigned *columns)
{
    unsigned column = 0;
    *rows = 1;
    *columns = 0;
    for (const char *c = frame; *c != '\0'; c++) {
        if (*c == '\x1b') {
            c += strcspn(c, "mKJHhl");
        } else if (*c == '\n') {
            ++*rows;
            column = 0;
        } else if (*c != '\r') {
            column++;
            *columns = column > *columns ? column : *columns;
        }
    }
}

/* The command ended by itself, and the terminal is as it was before. */
static void expect_left(struct terminal *t)
{
    int status = 0;
    struct termios after;
    while (read_more(t, mlt_clock_mono_ns() + WAIT_NS) && strstr(t->text, LEAVE) == NULL) {
    }
    assert_int_equal(waitpid(t->pid, &status, 0), t->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(tcgetattr(t->slave, &after), 0);
    assert_int_equal(after.c_lflag, t->before.c_lflag);
    assert_int_equal(after.c_cc[VMIN], t->before.c_cc[VMIN]);
    /* One screen of its own, and nothing after it. */
    const char *enter = strstr(t->text, ENTER), *leave = strstr(t->text, LEAVE);
    assert_non_null(enter);
    assert_non_null(leave);
    assert_string_equal(leave + sizeof LEAVE - 1, "");
    assert_null(strstr(enter + 1, ENTER));
    (void)close(t->fd);
    (void)close(t->slave);
}

static void type(struct terminal *t, const char *keys)
{
    assert_int_equal(write(t->fd, keys, strlen(keys)), (ssize_t)strlen(keys));
}

static struct terminal terminal;
static char frame[65536];

static void test_it_fills_its_terminal_follows_its_size_and_leaves_it(void **state)
{
    (void)state;
    unsigned rows = 0, columns = 0;
    start(&terminal, 24, 80);
    wait_frame(&terminal, "data-bus-0", frame, sizeof frame);
    wait_frame(&terminal, "SYM0001-USDT", frame, sizeof frame);
    measure(frame, &rows, &columns);
    assert_int_equal(rows, 24);
    assert_true(columns <= 80);
    /* Not in the same frame: a service that answers late is in the next one. */
    wait_frame(&terminal, "of 30 by rate", frame, sizeof frame);
    wait_frame(&terminal, "lines: adapter-0#0 UP", frame, sizeof frame);
    /* Nothing is cleared between two frames: it does not flicker. */
    assert_null(strstr(strstr(terminal.text, FRAME), "\x1b[2J"));
    const struct winsize size = { .ws_row = 50, .ws_col = 120 };
    assert_int_equal(ioctl(terminal.fd, TIOCSWINSZ, &size), 0);
    wait_frame(&terminal, "1-30 of 30", frame, sizeof frame); /* all have room now */
    measure(frame, &rows, &columns);
    assert_true(rows <= 50 && rows > 40);
    type(&terminal, "q");
    expect_left(&terminal);
}

static void test_keys_sort_and_scroll(void **state)
{
    (void)state;
    start(&terminal, 24, 80);
    wait_frame(&terminal, "of 30 by rate", frame, sizeof frame);
    type(&terminal, "n");
    wait_frame(&terminal, "1-11 of 30 by name", frame, sizeof frame);
    assert_non_null(strstr(frame, "SYM0011-USDT"));
    assert_null(strstr(frame, "SYM0012-USDT"));
    type(&terminal, "\x1b[B");
    wait_frame(&terminal, "2-12 of 30", frame, sizeof frame);
    assert_null(strstr(frame, "SYM0001-USDT"));
    type(&terminal, "\x1b[6~\x1b[6~\x1b[6~");
    wait_frame(&terminal, "20-30 of 30", frame, sizeof frame);
    type(&terminal, "\x1b[5~\x1b[5~\x1b[A");
    wait_frame(&terminal, "1-11 of 30", frame, sizeof frame);
    type(&terminal, "g");
    wait_frame(&terminal, "by gaps", frame, sizeof frame);
    type(&terminal, "\x03"); /* Ctrl-C */
    expect_left(&terminal);
}

static void test_a_signal_leaves_the_terminal_as_it_was(void **state)
{
    (void)state;
    static const int signals[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP };
    for (unsigned i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        start(&terminal, 24, 80);
        wait_frame(&terminal, "SYM0001-USDT", frame, sizeof frame);
        assert_int_equal(kill(terminal.pid, signals[i]), 0);
        expect_left(&terminal);
    }
}

static void test_what_happens_is_seen(void **state)
{
    (void)state;
    start(&terminal, 40, 100);
    wait_frame(&terminal, "dispatcher-0", frame, sizeof frame);
    mlt_stack_kill(&rig.stack, "control-bus");
    wait_frame(&terminal, "nobody answers as: meltica-control", frame, sizeof frame);
    mlt_stack_run(&rig.stack, "control-bus");
    do {
        wait_frame(&terminal, "control-bus-0", frame, sizeof frame);
    } while (strstr(frame, "nobody answers") != NULL); /* the test's own time limit ends it */
    type(&terminal, "q");
    expect_left(&terminal);
}

/* ---- for scripts ---- */

/* One that answers late is missing in one look. */
static bool sees_all_services(struct rig *r, void *ctx)
{
    cJSON **json = ctx;
    struct command c;
    (void)r;
    assert_int_equal(command_run(&c, ARGS("top", "--json", "--seconds", "2", HERE), NULL), 0);
    *json = cJSON_Parse(command_out(&c));
    command_free(&c);
    assert_non_null(*json);
    const bool all = cJSON_GetArraySize(cJSON_GetObjectItem(*json, "services")) == 5;
    if (!all) {
        cJSON_Delete(*json);
    }
    return all;
}

static void test_one_look_is_text_or_json(void **state)
{
    (void)state;
    struct command c;
    assert_int_equal(
        command_run(&c, ARGS("top", "--once", "--seconds", "3", "--sort", "name", HERE), NULL), 0);
    assert_string_equal(command_err(&c), "");
    assert_null(strchr(command_out(&c), '\x1b'));
    assert_non_null(strstr(command_out(&c), "\nSYM0001-USDT "));
    assert_non_null(strstr(command_out(&c), "\nSYM0030-USDT "));
    command_free(&c);

    cJSON *json = NULL;
    assert_true(rig_until(sees_all_services, &rig, &json, 20));
    const cJSON *totals = cJSON_GetObjectItem(json, "totals");
    assert_int_equal(rig_number(totals, "instruments"), 30);
    /* 300 frames a second, each an event or two. */
    const double per_s = cJSON_GetObjectItem(totals, "per_s")->valuedouble;
    assert_true(per_s > 100 && per_s < 1500);
    assert_int_equal(rig_number(totals, "holes"), 0);
    const cJSON *services = cJSON_GetObjectItem(json, "services");
    assert_int_equal(cJSON_GetArraySize(services), 5);
    static const char *const order[] = { "adapter-0", "dispatcher-0", "conductor-0", "data-bus-0",
                                         "control-bus-0" };
    for (int i = 0; i < 5; i++) {
        const cJSON *one = cJSON_GetArrayItem(services, i);
        assert_string_equal(rig_text(one, "instance"), order[i]);
        assert_true(cJSON_IsTrue(cJSON_GetObjectItem(one, "ready")));
        if (i < 4) {
            assert_true(cJSON_GetObjectItem(one, "in_per_s")->valuedouble > 100);
        }
    }
    const cJSON *row = cJSON_GetObjectItem(json, "instruments")->child;
    for (; row != NULL; row = row->next) {
        assert_string_equal(rig_text(row, "book"), "LIVE");
    }
    cJSON_Delete(json);
}

static void test_what_it_may_not_see_is_said(void **state)
{
    (void)state;
    struct server server;
    struct command c;
    char password[64] = "/tmp/meltica-top.XXXXXX";
    const int fd = mkstemp(password);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "secret\n") > 0);
    assert_int_equal(close(fd), 0);
    server_start(&server, false,
                 "authorization { users: [ { user: \"a\", password: \"secret\", permissions: { "
                 "publish: [\"nothing\"], subscribe: [\"_INBOX.>\", \"meltica.data.*\"] } }, "
                 "{ user: \"b\", password: \"secret\", permissions: { publish: [\"$SRV.>\"], "
                 "subscribe: [\"_INBOX.>\"] } } ] }");
    assert_int_equal(command_run(&c,
                                 ARGS("top", "--json", "--seconds", "1", "--user", "a",
                                      "--password-file", password, "--nats-url", server.url),
                                 NULL),
                     0);
    cJSON *json = cJSON_Parse(command_out(&c));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(json, "services")));
    assert_string_equal(rig_text(json, "services_trouble"), "this user may not ask $SRV.STATS");
    cJSON_Delete(json);
    command_free(&c);
    assert_int_equal(command_run(&c,
                                 ARGS("top", "--json", "--seconds", "1", "--user", "b",
                                      "--password-file", password, "--nats-url", server.url),
                                 NULL),
                     1);
    assert_non_null(strstr(command_err(&c), "may not listen to meltica.data.*"));
    command_free(&c);
    assert_int_equal(command_run(&c, ARGS("top", "--sort", "price"), NULL), 2);
    command_free(&c);
    server_end(&server);
    (void)unlink(password);
}

static bool all_live(struct rig *r, void *ctx)
{
    (void)r, (void)ctx;
    struct command c;
    (void)command_run(&c, ARGS("top", "--json", "--seconds", "1", HERE), NULL);
    cJSON *json = cJSON_Parse(command_out(&c));
    const bool live = rig_number(cJSON_GetObjectItem(json, "totals"), "books_live") == 30;
    cJSON_Delete(json);
    command_free(&c);
    return live;
}

static int begin(void **state)
{
    (void)state;
    const struct mlt_stack_options options = { .exchange = { "--synthetic", "--symbols", "30",
                                                             "--rate", "300", "--seed", "7" } };
    mlt_stack_start(&rig.stack, &options);
    mlt_stack_run_services(&rig.stack);
    assert_true(rig_until(all_live, &rig, NULL, 40));
    return 0;
}

static int end(void **state)
{
    (void)state;
    mlt_stack_stop(&rig.stack);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_fills_its_terminal_follows_its_size_and_leaves_it),
        cmocka_unit_test(test_keys_sort_and_scroll),
        cmocka_unit_test(test_a_signal_leaves_the_terminal_as_it_was),
        cmocka_unit_test(test_one_look_is_text_or_json),
        cmocka_unit_test(test_what_happens_is_seen),
        cmocka_unit_test(test_what_it_may_not_see_is_said),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, begin, end));
}
