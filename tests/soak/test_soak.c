/*
 * The soak for some seconds: its report has what docs/soak.md says, and it fails when something was
 * lost and when a service is gone.
 */
#include "mlt_test.h"

#include <signal.h>

#include "long_run_rig.h"

#define HOLE                                                                                       \
    1000u /* sequences that the forged event jumps over, but for those that come before it */

static const char *const arguments[] = { "--seconds",   "8", "--symbols", "5", "--rate", "400",
                                         "--consumers", "3", "--seed",    "7", NULL };
static const char *const longer[] = { "--seconds",   "60", "--symbols", "5", "--rate", "400",
                                      "--consumers", "3",  "--seed",    "7", NULL };

static void assert_percentiles(const cJSON *of)
{
    assert_true(long_run_rig_number(of, "count") > 0);
    assert_true(long_run_rig_number(of, "p50") > 0 &&
                long_run_rig_number(of, "p50") <= long_run_rig_number(of, "p95") &&
                long_run_rig_number(of, "p95") <= long_run_rig_number(of, "p99") &&
                long_run_rig_number(of, "p99") <= long_run_rig_number(of, "max"));
}

static void assert_fields(const cJSON *r)
{
    static const char *const processes[] = { "adapter",     "dispatcher", "conductor", "data-bus",
                                             "control-bus", "nats",       "exchange" };
    assert_true(long_run_rig_number(r, "hours") >= 8.0 / 3600);
    assert_true(long_run_rig_number(r, "events") > 500);
    assert_true(long_run_rig_number(r, "lost") == 0 &&
                long_run_rig_number(r, "unhandled_errors") == 0);
    assert_true(long_run_rig_number(r, "trace_coverage") == 1);
    assert_true(long_run_rig_number(r, "within_1s") > 0 &&
                long_run_rig_number(r, "within_1s") <= 1);
    assert_percentiles(long_run_rig_object(r, "latency_ms"));
    assert_percentiles(long_run_rig_object(r, "control_ms"));
    assert_percentiles(long_run_rig_object(long_run_rig_object(r, "control_ms"), "first_event"));
    for (size_t i = 0; i < sizeof processes / sizeof processes[0]; i++) {
        const cJSON *memory =
            long_run_rig_object(long_run_rig_object(r, "memory_bytes"), processes[i]);
        const cJSON *files =
            long_run_rig_object(long_run_rig_object(r, "descriptors"), processes[i]);
        assert_true(long_run_rig_number(memory, "samples") >= 5 &&
                    long_run_rig_number(memory, "last") > 1e6);
        (void)long_run_rig_number(memory, "slope_bytes_per_hour");
        assert_true(long_run_rig_number(files, "last") > 3);
        (void)long_run_rig_number(files, "slope_per_hour");
    }
    assert_int_equal(cJSON_GetArraySize(long_run_rig_object(r, "instruments")), 5);
    const cJSON *one = long_run_rig_object(long_run_rig_object(r, "instruments"), "SYM0005-USDT");
    assert_true(long_run_rig_number(one, "events") > 50 &&
                long_run_rig_number(one, "digests_right") > 10);
    assert_true(long_run_rig_number(one, "live_share") > 0.99 &&
                long_run_rig_number(one, "digests_wrong") == 0);
    assert_true(long_run_rig_number(one, "gaps") == 0 && long_run_rig_number(one, "resyncs") == 0);
    assert_true(long_run_rig_number(one, "audits_right") > 0 &&
                long_run_rig_number(one, "audits_wrong") == 0);
    assert_true(long_run_rig_number(long_run_rig_object(r, "control"), "subscribe") > 0);
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
    struct long_run_rig s = { 0 };
    cJSON *report = NULL;
    long_run_rig_start(&s, "soak", arguments);
    const int status = long_run_rig_end(&s, &report);
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        if (!long_run_rig_passed(report, checks[i])) {
            fail_msg("%s", checks[i]);
        }
    }
    assert_fields(report);
    assert_true(cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(report, "slopes_judged")));
    assert_int_equal(status, long_run_rig_passed(report, NULL) ? 0 : 1);
    cJSON_Delete(report);
}

static void test_what_is_lost_and_who_is_gone_make_it_fail(void **state)
{
    (void)state;
    struct long_run_rig s = { 0 };
    cJSON *report = NULL;
    long_run_rig_start(&s, "soak", longer);
    /* The first event of a book comes once more, with a later number. */
    long_run_rig_forge_hole(&s, MLT_EVENT_BOOK_DELTA, HOLE);
    const pid_t data_bus = long_run_rig_child(&s, "/meltica-data-bus");
    assert_true(data_bus > 0);
    assert_int_equal(kill(data_bus, SIGKILL), 0);
    assert_int_equal(long_run_rig_end(&s, &report), 1);
    assert_false(long_run_rig_passed(report, NULL));
    assert_false(long_run_rig_passed(report, "nothing_lost"));
    assert_true(long_run_rig_number(report, "lost") >= HOLE / 2);
    assert_true(long_run_rig_number(long_run_rig_object(report, "losses"), "sequence_holes") >=
                HOLE / 2);
    assert_false(long_run_rig_passed(report, "no_unhandled_errors"));
    assert_true(long_run_rig_number(report, "unhandled_errors") >= 1);
    const cJSON *gone =
        cJSON_GetObjectItemCaseSensitive(long_run_rig_object(report, "errors"), "ended_unasked");
    assert_int_equal(cJSON_GetArraySize(gone), 1);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetArrayItem(gone, 0)), "data-bus");
    assert_false(long_run_rig_passed(report, "whole_duration")); /* it does not go on without */
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
