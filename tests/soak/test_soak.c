/*
 * The soak for some seconds: its report has what docs/soak.md says, and it fails when something was
 * lost and when a service is gone.
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

#define HOLE                                                                                       \
    1000u /* sequences that the forged event jumps over, but for those that come before it */

struct soak {
    pid_t pid;
    FILE *said;
    char nats_url[64], folder[64], report[96];
};

static void become(const char *report, const char *seconds)
{
    char path[512], seed[] = "7";
    const char *build = getenv("MELTICA_BINARY_DIR");
    (void)snprintf(path, sizeof path, "%s/bin/soak", build != NULL ? build : "build/dev");
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)execl(path, path, "--seconds", seconds, "--symbols", "5", "--rate", "400", "--consumers",
                "3", "--seed", seed, "--report", report, (char *)NULL);
    _exit(127);
}

/* Until a line with that text; what stands behind it up to a comma or the end. */
static void wait_line(struct soak *s, const char *text, char *behind, size_t size)
{
    char line[1024];
    while (fgets(line, sizeof line, s->said) != NULL) {
        const char *at = strstr(line, text);
        if (at != NULL) {
            at += strlen(text);
            (void)snprintf(behind, size, "%.*s", (int)strcspn(at, ",\n"), at);
            return;
        }
    }
    fail_msg("it ended before it said \"%s\"", text);
}

static void start(struct soak *s, const char *seconds)
{
    int said[2];
    char rest[64];
    (void)snprintf(s->folder, sizeof s->folder, "/tmp/meltica-test-soak.XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    (void)snprintf(s->report, sizeof s->report, "%s/report.json", s->folder);
    assert_int_equal(pipe(said), 0);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        if (dup2(said[1], 1) < 0 || dup2(said[1], 2) < 0) {
            _exit(126);
        }
        (void)close(said[0]);
        (void)close(said[1]);
        become(s->report, seconds);
    }
    (void)close(said[1]);
    s->said = fdopen(said[0], "r");
    assert_non_null(s->said);
    wait_line(s, "NATS at ", s->nats_url, sizeof s->nats_url);
    wait_line(s, "it begins", rest, sizeof rest);
}

/* Its exit status; *report is the caller's to cJSON_Delete. */
static int end(struct soak *s, cJSON **report)
{
    char line[1024], path[128];
    static char text[1 << 20];
    int status = 0;
    while (fgets(line, sizeof line, s->said) != NULL) {
        (void)fputs(line, stdout);
    }
    (void)fclose(s->said);
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    FILE *from = fopen(s->report, "r");
    assert_non_null(from);
    text[fread(text, 1, sizeof text - 1, from)] = '\0';
    assert_int_equal(fclose(from), 0);
    *report = cJSON_Parse(text);
    assert_non_null(*report);
    (void)snprintf(path, sizeof path, "%s/report.md", s->folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(s->report), 0);
    assert_int_equal(rmdir(s->folder), 0);
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

static void assert_percentiles(const cJSON *of)
{
    assert_true(number(of, "count") > 0);
    assert_true(number(of, "p50") > 0 && number(of, "p50") <= number(of, "p95") &&
                number(of, "p95") <= number(of, "p99") && number(of, "p99") <= number(of, "max"));
}

static void assert_fields(const cJSON *r)
{
    static const char *const processes[] = { "adapter",     "dispatcher", "conductor", "data-bus",
                                             "control-bus", "nats",       "exchange" };
    assert_true(number(r, "hours") >= 8.0 / 3600);
    assert_true(number(r, "events") > 500);
    assert_true(number(r, "lost") == 0 && number(r, "unhandled_errors") == 0);
    assert_true(number(r, "trace_coverage") == 1);
    assert_true(number(r, "within_1s") > 0 && number(r, "within_1s") <= 1);
    assert_percentiles(object(r, "latency_ms"));
    assert_percentiles(object(r, "control_ms"));
    assert_percentiles(object(object(r, "control_ms"), "first_event"));
    for (size_t i = 0; i < sizeof processes / sizeof processes[0]; i++) {
        const cJSON *memory = object(object(r, "memory_bytes"), processes[i]);
        const cJSON *files = object(object(r, "descriptors"), processes[i]);
        assert_true(number(memory, "samples") >= 5 && number(memory, "last") > 1e6);
        (void)number(memory, "slope_bytes_per_hour");
        assert_true(number(files, "last") > 3);
        (void)number(files, "slope_per_hour");
    }
    assert_int_equal(cJSON_GetArraySize(object(r, "instruments")), 5);
    const cJSON *one = object(object(r, "instruments"), "SYM0005-USDT");
    assert_true(number(one, "events") > 50 && number(one, "digests_right") > 10);
    assert_true(number(one, "live_share") > 0.99 && number(one, "digests_wrong") == 0);
    assert_true(number(one, "gaps") == 0 && number(one, "resyncs") == 0);
    assert_true(number(one, "audits_right") > 0 && number(one, "audits_wrong") == 0);
    assert_true(number(object(r, "control"), "subscribe") > 0);
}

static void test_a_run_ends_with_a_report_of_what_it_measured(void **state)
{
    (void)state;
    /* The others are about time, which a busy machine may not have. */
    static const char *const checks[] = {
        "whole_duration",  "nothing_lost", "no_unhandled_errors",       "every_event_traced",
        "control_answers", "books_true",   "nothing_after_unsubscribe", "subscriptions_as_asked",
        "digests_right",
    };
    struct soak s;
    cJSON *report = NULL;
    start(&s, "8");
    const int status = end(&s, &report);
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        if (!passed(report, checks[i])) {
            fail_msg("%s", checks[i]);
        }
    }
    assert_fields(report);
    assert_true(cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(report, "slopes_judged")));
    assert_int_equal(status,
                     cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(report, "passed")) ? 0 : 1);
    cJSON_Delete(report);
}

/* ---- what must fail ---- */

struct forger {
    struct mlt_bus *bus;
    struct mlt_arena arena;
    int done[2]; /* pipe: written once it is published */
    bool forged;
};

/* The first event of a book comes once more, with a later number: as if those before were lost. */
static void forge(void *ctx, const struct mlt_bus_message *message)
{
    struct forger *f = ctx;
    struct mlt_event e;
    static uint8_t bytes[1 << 16];
    mlt_arena_reset(&f->arena);
    if (f->forged || mlt_event_decode(message->payload, &f->arena, &e) != MLT_OK ||
        e.type != MLT_EVENT_BOOK_DELTA || mlt_event_encoded_size(&e) > sizeof bytes - 16) {
        return;
    }
    e.sequence += HOLE + 1;
    const size_t len = mlt_event_encode(&e, bytes);
    f->forged = mlt_bus_publish(f->bus, message->subject, mlt_slice_of(bytes, len)) == MLT_OK;
    assert_int_equal(write(f->done[1], "", 1), 1);
}

static void lose_some(const char *nats_url)
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

/* A process of that program that the soak started. */
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

static void test_what_is_lost_and_who_is_gone_make_it_fail(void **state)
{
    (void)state;
    struct soak s;
    cJSON *report = NULL;
    start(&s, "60");
    lose_some(s.nats_url);
    const pid_t data_bus = child_of(s.pid, "/meltica-data-bus");
    assert_true(data_bus > 0);
    assert_int_equal(kill(data_bus, SIGKILL), 0);
    assert_int_equal(end(&s, &report), 1);
    assert_false(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(report, "passed")));
    assert_false(passed(report, "nothing_lost"));
    assert_true(number(report, "lost") >= HOLE / 2);
    assert_true(number(object(report, "losses"), "sequence_holes") >= HOLE / 2);
    assert_false(passed(report, "no_unhandled_errors"));
    assert_true(number(report, "unhandled_errors") >= 1);
    const cJSON *gone = cJSON_GetObjectItemCaseSensitive(object(report, "errors"), "ended_unasked");
    assert_int_equal(cJSON_GetArraySize(gone), 1);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetArrayItem(gone, 0)), "data-bus");
    assert_false(passed(report, "whole_duration")); /* it does not go on without */
    cJSON_Delete(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_run_ends_with_a_report_of_what_it_measured),
        cmocka_unit_test(test_what_is_lost_and_who_is_gone_make_it_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
