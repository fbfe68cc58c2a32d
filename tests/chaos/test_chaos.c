/*
 * ./dev chaos for half a minute: what it may not find it does not find, its report has what
 * docs/chaos.md says; it fails where something is lost that nobody names, or a service ends by
 * itself; a signal ends it in order; the same seed makes the same plan.
 */
#include "mlt_test.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/bus/bus.h"
#include "meltica/event/event.h"

#define HOLE 100000u /* sequences that the forged event jumps over */
#define PLAN_MAX 64u

struct chaos {
    pid_t pid;
    FILE *said;
    char nats_url[64], folder[64], report[96];
    char plan[PLAN_MAX][32]; /* kinds of fault, in order */
    unsigned planned;
};

static void become(const char *report, const char *seed, const char *seconds)
{
    char path[512];
    const char *build = getenv("MELTICA_BINARY_DIR");
    (void)snprintf(path, sizeof path, "%s/bin/chaos", build != NULL ? build : "build/dev");
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)execl(path, path, "--seed", seed, "--seconds", seconds, "--symbols", "6", "--rate",
                "1500", "--report", report, (char *)NULL);
    _exit(127);
}

/* One more line; false: it ended. Faults are kept. */
static bool next_line(struct chaos *c, char *line, size_t size)
{
    long long at_ns = 0;
    char kind[32];
    if (fgets(line, (int)size, c->said) == NULL) {
        return false;
    }
    if (sscanf(line, "chaos: %lld %31[a-z_],", &at_ns, kind) == 2 && c->planned < PLAN_MAX) {
        (void)snprintf(c->plan[c->planned++], sizeof c->plan[0], "%s", kind);
    }
    return true;
}

/* Until a line with that text; what stands behind it up to a comma or the end. */
static void wait_line(struct chaos *c, const char *text, char *behind, size_t size)
{
    char line[1024];
    while (next_line(c, line, sizeof line)) {
        const char *at = strstr(line, text);
        if (at != NULL) {
            at += strlen(text);
            (void)snprintf(behind, size, "%.*s", (int)strcspn(at, ",\n"), at);
            return;
        }
    }
    fail_msg("it ended before it said \"%s\"", text);
}

static void start(struct chaos *c, const char *seed, const char *seconds)
{
    int said[2];
    char rest[64];
    memset(c, 0, sizeof *c);
    (void)snprintf(c->folder, sizeof c->folder, "/tmp/meltica-test-chaos.XXXXXX");
    assert_non_null(mkdtemp(c->folder));
    (void)snprintf(c->report, sizeof c->report, "%s/report.json", c->folder);
    assert_int_equal(pipe(said), 0);
    c->pid = fork();
    assert_true(c->pid >= 0);
    if (c->pid == 0) {
        if (dup2(said[1], 1) < 0 || dup2(said[1], 2) < 0) {
            _exit(126);
        }
        (void)close(said[0]);
        (void)close(said[1]);
        become(c->report, seed, seconds);
    }
    (void)close(said[1]);
    c->said = fdopen(said[0], "r");
    assert_non_null(c->said);
    wait_line(c, "NATS at ", c->nats_url, sizeof c->nats_url);
    wait_line(c, "it begins", rest, sizeof rest);
}

/* A process that the run started; 0: none of that program (NULL: of any). */
static pid_t child_of(pid_t parent, const char *program)
{
    DIR *folder = opendir("/proc");
    const struct dirent *entry;
    pid_t found = 0;
    assert_non_null(folder);
    while (found == 0 && (entry = readdir(folder)) != NULL) {
        char path[300], target[512], line[128];
        int of = 0;
        (void)snprintf(path, sizeof path, "/proc/%s/exe", entry->d_name);
        const ssize_t len = readlink(path, target, sizeof target - 1);
        target[len > 0 ? len : 0] = '\0';
        (void)snprintf(path, sizeof path, "/proc/%s/status", entry->d_name);
        FILE *from = len > 0 && strstr(target, program) != NULL ? fopen(path, "r") : NULL;
        while (from != NULL && fgets(line, sizeof line, from) != NULL) {
            of = strncmp(line, "PPid:", 5) == 0 ? (int)strtol(line + 5, NULL, 10) : of;
        }
        if (from != NULL) {
            (void)fclose(from);
        }
        found = of == parent ? (pid_t)strtol(entry->d_name, NULL, 10) : 0;
    }
    (void)closedir(folder);
    return found;
}

/* Its exit status; *report is the caller's to cJSON_Delete. */
static int end(struct chaos *c, cJSON **report)
{
    char line[1024], path[128];
    static char text[1 << 20];
    int status = 0;
    while (next_line(c, line, sizeof line)) {
        (void)fputs(line, stdout);
    }
    (void)fclose(c->said);
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    FILE *from = fopen(c->report, "r");
    assert_non_null(from);
    text[fread(text, 1, sizeof text - 1, from)] = '\0';
    assert_int_equal(fclose(from), 0);
    *report = cJSON_Parse(text);
    assert_non_null(*report);
    (void)snprintf(path, sizeof path, "%s/report.md", c->folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(c->report), 0);
    assert_int_equal(rmdir(c->folder), 0);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* ---- what a report says ---- */

static double number(const cJSON *object, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsNumber(value)) {
        fail_msg("no number %s", name);
    }
    return value->valuedouble;
}

static const cJSON *object(const cJSON *of, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(of, name);
    if (!cJSON_IsObject(value)) {
        fail_msg("no object %s", name);
    }
    return value;
}

static bool passed(const cJSON *report, const char *check)
{
    const cJSON *one;
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(report, "checks"))
    {
        const char *is = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(one, "check"));
        if (is != NULL && strcmp(is, check) == 0) {
            return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(one, "pass"));
        }
    }
    fail_msg("no check %s", check);
    return false;
}

static bool all_passed(const cJSON *report)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(report, "passed"));
}

static void assert_fields(const cJSON *r)
{
    static const char *const kinds[] = { "kill_adapter",
                                         "kill_dispatcher",
                                         "kill_conductor",
                                         "kill_data_bus",
                                         "kill_control_bus",
                                         "kill_nats",
                                         "shutdown_notice",
                                         "reset",
                                         "close",
                                         "unheard",
                                         "stall",
                                         "drop",
                                         "truncate" };
    double faults = 0;
    const cJSON *one;
    cJSON_ArrayForEach(one, object(r, "faults_by_kind"))
    {
        faults += one->valuedouble;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        (void)number(object(r, "faults_by_kind"), kinds[i]);
    }
    assert_true(number(r, "faults") >= 15 && number(r, "faults") == faults);
    assert_true(number(r, "wrong_live_books") == 0 && number(r, "silent_holes") == 0);
    assert_true(number(r, "duplicates") == 0 && number(r, "lost_subscriptions") == 0);
    const cJSON *recovery = object(r, "recovery_ms");
    assert_true(number(recovery, "count") == number(r, "faults"));
    assert_true(number(recovery, "p50") <= number(recovery, "p99") &&
                number(recovery, "p99") <= number(recovery, "max"));
    assert_true(number(r, "connect_attempts_max_5min") >= 1 &&
                number(r, "connect_attempts_max_5min") <= 300);
    assert_true(number(r, "weight_max") > 0 && number(r, "events") > 10000);
    assert_true(number(object(r, "books"), "compared_with_exchange") > 100);
    assert_true(number(object(r, "books"), "right_by_digest") > 100);
    assert_true(number(object(r, "named_holes"), "outage") >= 0);
}

static void test_half_a_minute_of_faults(void **state)
{
    (void)state;
    /* How long a recovery took is about time, which a busy machine may not have. */
    static const char *const checks[] = {
        "whole_duration",   "faults_made",   "no_wrong_book",     "no_silent_hole",
        "no_duplicate",     "recovered",     "no_crash",          "no_lost_subscription",
        "no_connect_storm", "within_weight", "consumers_kept_up",
    };
    struct chaos c;
    cJSON *report = NULL;
    start(&c, "7", "30");
    const int status = end(&c, &report);
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        if (!passed(report, checks[i])) {
            fail_msg("%s", checks[i]);
        }
    }
    assert_fields(report);
    static const char *const plan[] = { "kill_adapter", "shutdown_notice", "close",
                                        "kill_conductor", "unheard" }; /* of this seed */
    assert_true(c.planned >= 5);
    for (size_t i = 0; i < sizeof plan / sizeof plan[0]; i++) {
        assert_string_equal(c.plan[i], plan[i]);
    }
    assert_int_equal(status, all_passed(report) ? 0 : 1);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(report, "seed")),
                        "7");
    cJSON_Delete(report);
}

/* ---- what must fail ---- */

struct forger {
    struct mlt_bus *bus;
    struct mlt_arena arena;
    int done[2]; /* pipe: written once it is published */
    bool forged;
};

/* A trade comes once more, with a later number: as if those before were lost. */
static void forge(void *ctx, const struct mlt_bus_message *message)
{
    struct forger *f = ctx;
    struct mlt_event e;
    static uint8_t bytes[1 << 16];
    mlt_arena_reset(&f->arena);
    if (f->forged || mlt_event_decode(message->payload, &f->arena, &e) != MLT_OK ||
        e.type != MLT_EVENT_TRADE || mlt_event_encoded_size(&e) > sizeof bytes - 16) {
        return;
    }
    e.sequence += HOLE + 1;
    const size_t len = mlt_event_encode(&e, bytes);
    f->forged = mlt_bus_publish(f->bus, message->subject, mlt_slice_of(bytes, len)) == MLT_OK;
    assert_int_equal(write(f->done[1], "", 1), 1);
}

static void lose_and_double(const char *nats_url)
{
    static struct forger f;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus_subscription *subscription = NULL;
    const struct mlt_bus_options options = { .kind = MLT_BUS_CONTROL,
                                             .url = nats_url,
                                             .name = "test-forger" };
    const struct mlt_bus_subscribe_options one = { .subject = "meltica.data.SYM0001-USDT" };
    assert_int_equal(pipe(f.done), 0);
    mlt_arena_init(&f.arena, 65536, 16u << 20);
    assert_int_equal(mlt_bus_connect(&options, &f.bus, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(f.bus, 5 * MLT_NS_PER_S), MLT_OK);
    assert_int_equal(mlt_bus_subscribe(f.bus, &one, forge, &f, &subscription, &err), MLT_OK);
    struct pollfd fd = { .fd = f.done[0], .events = POLLIN };
    assert_int_equal(poll(&fd, 1, 10000), 1);
    assert_true(mlt_bus_rtt_ns(f.bus) >= 0); /* it has left */
    mlt_bus_unsubscribe(subscription);
    mlt_bus_destroy(f.bus, MLT_NS_PER_S);
    mlt_arena_fini(&f.arena);
    (void)close(f.done[0]);
    (void)close(f.done[1]);
}

/* Also: it does not end the run when a service ends by itself, it says so; and a signal does. */
static void test_a_hole_a_double_and_a_crash_make_it_fail(void **state)
{
    (void)state;
    struct chaos c;
    char rest[64];
    cJSON *report = NULL;
    start(&c, "8", "600");
    lose_and_double(c.nats_url);
    wait_line(&c, " close", rest, sizeof rest); /* its turn is five faults away */
    const pid_t control_bus = child_of(c.pid, "/meltica-control-bus");
    assert_true(control_bus > 0);
    assert_int_equal(kill(control_bus, SIGKILL), 0);
    wait_line(&c, "control-bus ended by itself", rest, sizeof rest);
    assert_int_equal(kill(c.pid, SIGINT), 0);
    assert_int_equal(end(&c, &report), 1);
    assert_false(all_passed(report));
    assert_false(passed(report, "no_silent_hole"));
    assert_true(number(report, "silent_holes") >= 3); /* one for each consumer */
    assert_false(passed(report, "no_duplicate"));
    assert_false(passed(report, "no_crash"));
    assert_true(number(object(report, "ends"), "ended_unasked") == 1);
    assert_false(passed(report, "whole_duration"));
    cJSON_Delete(report);
}

static void test_wrong_usage(void **state)
{
    (void)state;
    char path[512];
    int status = 0;
    const char *build = getenv("MELTICA_BINARY_DIR");
    (void)snprintf(path, sizeof path, "%s/bin/chaos", build != NULL ? build : "build/dev");
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execl(path, path, "--symbols", "0", "--report", "/tmp/never", (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_a_minute_of_faults),
        cmocka_unit_test(test_a_hole_a_double_and_a_crash_make_it_fail),
        cmocka_unit_test(test_wrong_usage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
