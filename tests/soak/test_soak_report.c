/* Each check of ./dev soak passes where all is well, and fails alone for what it is about. */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "soak_errors.h"

#define HOUR_S 3600
#define WARM_S 300

static struct soak_plan plan;
static struct mlt_stack stack;
static struct soak_watch watch;
static struct soak_steer steer;
static struct soak_probe probe;
static struct soak_run run;
static char folder[] = "/tmp/meltica-test-soak-report.XXXXXX";
static char path[64], beside[64];

/* What the services have, all at 0. */
static const char *const counters[] = {
    "meltica_nats_errors_total",
    "meltica_nats_dropped_total",
    "meltica_nats_refused_total",
    "meltica_nats_disconnects_total",
    "meltica_metrics_overflow_total",
    "meltica_drain_deadline_total",
    "meltica_rejected_total",
    "meltica_hop_overrun_batches_total",
    "meltica_hop_lost_batches_total",
    "meltica_hop_malformed_total",
    "meltica_adapter_decode_failures_total",
    "meltica_adapter_not_handed_on_total",
    "meltica_adapter_requests_dropped_total",
    "meltica_adapter_refusals_total",
    "meltica_adapter_rest_failures_total",
    "meltica_dispatcher_enrich_failed_total",
    "meltica_dispatcher_lost_total",
    "meltica_dispatcher_instruments_stored_total",
    "meltica_conductor_lost_reports_total",
    "meltica_conductor_refused_total",
    "meltica_conductor_unsent_total",
    "meltica_conductor_book_refused_total",
    "meltica_conductor_book_crossed_total",
    "meltica_conductor_book_audits_total",
    "meltica_conductor_cache_unusable_total",
    "meltica_bus_undelivered_total",
    "meltica_bus_refused_total",
    "meltica_lane_undelivered_total",
    "meltica_lane_refused_total",
    "meltica_bus_table_failures_total",
    "meltica_journal_dropped_events_total",
    "meltica_journal_failed_batches_total",
    "meltica_control_audit_failed_total",
};
#define COUNTERS (sizeof counters / sizeof counters[0])

static void say(unsigned process, const char *name, const char *labels, unsigned value)
{
    assert_int_equal(mlt_buf_printf(&probe.processes[process].metrics,
                                    "# TYPE %s counter\n%s%s %u\n", name, name, labels, value),
                     MLT_OK);
}

static void say_exchange(void)
{
    say(0, "meltica_adapter_line_rollovers_total", "", 6);
    say(0, "meltica_adapter_rest_answers_total", "{function=\"depth\"}", 720);
}

static void fill_process(unsigned n)
{
    struct soak_process *p = &probe.processes[n];
    stack.processes[n].name = soak_process_names[n];
    mlt_buf_init(&p->before, 1u << 16);
    mlt_buf_init(&p->metrics, 1u << 16);
    p->answered = true;
    for (size_t i = 0; i < COUNTERS; i++) {
        say(n, counters[i], "", 0);
    }
    for (int64_t second = WARM_S; second < HOUR_S; second++) {
        soak_series_add(&p->resident, second * MLT_NS_PER_S, 20 << 20);
        soak_series_add(&p->descriptors, second * MLT_NS_PER_S, 17);
    }
}

/* An hour in which all is well. */
static int make_good(void **state)
{
    (void)state;
    memset(&stack, 0, sizeof stack);
    memset(&watch, 0, sizeof watch);
    memset(&steer, 0, sizeof steer);
    memset(&probe, 0, sizeof probe);
    plan = (struct soak_plan){ .report = path,
                               .seconds = HOUR_S,
                               .warm_up_s = WARM_S,
                               .line_life_s = 600,
                               .poll_s = 10,
                               .symbols = 2,
                               .rate = 100,
                               .consumers = 2 };
    run = (struct soak_run){ .plan = &plan,
                             .stack = &stack,
                             .watch = &watch,
                             .steer = &steer,
                             .probe = &probe,
                             .ended_ns = (HOUR_S + 1) * MLT_NS_PER_S };
    soak_watch_open(&watch, 2);
    for (unsigned n = 0; n < SOAK_PROCESSES; n++) {
        fill_process(n);
    }
    say_exchange();
    watch.warm = true;
    watch.warm_ns = WARM_S * MLT_NS_PER_S;
    watch.events = watch.traced = watch.timed = watch.within_1s = 100000;
    for (unsigned i = 0; i < 2; i++) {
        watch.instruments[i].polls = 360;
        watch.instruments[i].live = true;
        watch.instruments[i].live_since_ns = watch.warm_ns;
    }
    steer.commands = steer.in_2s = 5000;
    steer.lists_right = true;
    probe.true_books = probe.joiner.right = 10;
    return 0;
}

static int forget(void **state)
{
    (void)state;
    for (unsigned n = 0; n < SOAK_PROCESSES; n++) {
        mlt_buf_fini(&probe.processes[n].before);
        mlt_buf_fini(&probe.processes[n].metrics);
    }
    soak_watch_free(&watch);
    return 0;
}

/* These checks fail, separated by spaces, and no other. */
static void assert_fail(const char *names)
{
    static char text[1 << 18];
    char failed[512] = "";
    const int status = soak_report(&run);
    FILE *from = fopen(path, "r");
    assert_non_null(from);
    text[fread(text, 1, sizeof text - 1, from)] = '\0';
    assert_int_equal(fclose(from), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(beside), 0);
    cJSON *json = cJSON_Parse(text);
    const cJSON *one;
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(json, "checks"))
    {
        /* What digests are right is the follower's to say, of real events. */
        const char *check = cJSON_GetObjectItemCaseSensitive(one, "check")->valuestring;
        if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(one, "pass")) &&
            strcmp(check, "digests_right") != 0) {
            (void)snprintf(failed + strlen(failed), sizeof failed - strlen(failed), "%s%s",
                           failed[0] != '\0' ? " " : "", check);
        }
    }
    cJSON_Delete(json);
    assert_string_equal(failed, names);
    assert_int_equal(status, 1);
}

static void test_all_is_well(void **state)
{
    (void)state;
    assert_fail("");
}

static void test_a_stream_that_was_silent(void **state)
{
    (void)state;
    watch.stream_silence_ns = 34 * MLT_NS_PER_S; /* 30, and 200 frames of 50 a second */
    assert_fail("");
    watch.stream_silence_ns = 35 * MLT_NS_PER_S;
    assert_fail("streams_flow");
}

static void test_an_instrument_that_was_not_polled(void **state)
{
    (void)state;
    watch.instruments[1].polls = 3; /* all the others were, often enough for both */
    assert_fail("rest_polls");
}

/* A line that ended before it was replaced: what it had of tickers nobody can miss by a number. */
static void test_a_source_that_was_down(void **state)
{
    (void)state;
    watch.source_downs = 1;
    assert_fail("rollovers");
}

static void test_consumers_that_stood_still(void **state)
{
    (void)state;
    steer.commands = steer.in_2s = 1;
    assert_fail("control_within_2s");
}

static void test_a_process_that_was_not_looked_at(void **state)
{
    (void)state;
    memset(&probe.processes[2].resident, 0, sizeof probe.processes[2].resident);
    for (int64_t second = 0; second < 60; second++) {
        soak_series_add(&probe.processes[2].resident, second * MLT_NS_PER_S, 20 << 20);
    }
    assert_fail("flat_memory flat_descriptors");
}

static void test_memory_that_grows(void **state)
{
    (void)state;
    struct soak_series *s = &probe.processes[3].resident;
    memset(s, 0, sizeof *s);
    for (int64_t second = WARM_S; second < HOUR_S; second++) {
        soak_series_add(s, second * MLT_NS_PER_S, (20 << 20) + second * (5 << 20) / HOUR_S);
    }
    assert_fail("flat_memory");
}

static void test_a_counter_that_moved(void **state)
{
    (void)state;
    say(3, "meltica_nats_refused_total", "", 1);
    assert_fail("no_unhandled_errors");
}

/* As after a change of its name. */
static void test_a_counter_that_nobody_has(void **state)
{
    (void)state;
    for (unsigned n = 0; n < SOAK_SERVICES; n++) {
        mlt_buf_clear(&probe.processes[n].metrics);
        for (size_t i = 1; i < COUNTERS; i++) {
            say(n, counters[i], "", 0);
        }
    }
    say_exchange();
    assert_fail("no_unhandled_errors");
}

int main(void)
{
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    (void)snprintf(path, sizeof path, "%s/report.json", folder);
    (void)snprintf(beside, sizeof beside, "%s/report.md", folder);
#define RUN(name) cmocka_unit_test_setup_teardown(name, make_good, forget)
    const struct CMUnitTest tests[] = {
        RUN(test_all_is_well),
        RUN(test_a_stream_that_was_silent),
        RUN(test_an_instrument_that_was_not_polled),
        RUN(test_a_source_that_was_down),
        RUN(test_consumers_that_stood_still),
        RUN(test_a_process_that_was_not_looked_at),
        RUN(test_memory_that_grows),
        RUN(test_a_counter_that_moved),
        RUN(test_a_counter_that_nobody_has),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)rmdir(folder);
    return failed;
}
