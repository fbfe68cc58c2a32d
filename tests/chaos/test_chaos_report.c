/* Each check of ./dev chaos passes where all is well, and fails alone for what it is about. */
#include "mlt_test.h"

#include <stdio.h>

#include "chaos_report.h"
#include "meltica/base/clock.h"

static struct chaos_plan plan;
static struct chaos_ledger ledgers[CHAOS_CONSUMERS];
static struct chaos_recovery recovery;
static struct chaos_result result;

/* A run in which all is well. */
static int make_good(void **state)
{
    (void)state;
    plan = (struct chaos_plan){ .seconds = 120,
                                .symbols = 2,
                                .rate = 10,
                                .weight_limit = 6000,
                                .recovery_ms = 2000,
                                .seed = 3 };
    result = (struct chaos_result){ .plan = &plan,
                                    .seconds = 120.5,
                                    .recovery = &recovery,
                                    .books_checked = 10,
                                    .subscriptions = 3,
                                    .commands = 3,
                                    .frames = 1200,
                                    .frames_sent = 1000,
                                    .connect_attempts = 20,
                                    .weight_peak = 500,
                                    .kills = 6,
                                    .rollovers = 4 };
    chaos_recovery_open(&recovery, 2);
    for (unsigned k = 0; k < CHAOS_KINDS; k++) {
        recovery.by_kind[k] = 1;
        recovery.faults++;
        mlt_latency_record(&recovery.took, MLT_NS_PER_MS);
    }
    for (unsigned i = 0; i < CHAOS_CONSUMERS; i++) {
        chaos_ledger_open(&ledgers[i], 2);
        ledgers[i].events = 100;
        result.ledgers[i] = &ledgers[i];
    }
    return 0;
}

static int forget(void **state)
{
    (void)state;
    chaos_recovery_close(&recovery);
    for (unsigned i = 0; i < CHAOS_CONSUMERS; i++) {
        chaos_ledger_close(&ledgers[i]);
    }
    return 0;
}

/* That check fails, and no other; NULL: none. */
static void assert_fails(const char *name)
{
    bool passed = false;
    unsigned failed = 0;
    cJSON *json = chaos_report_make(&result, &passed);
    const cJSON *one;
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(json, "checks"))
    {
        const char *check = cJSON_GetObjectItemCaseSensitive(one, "check")->valuestring;
        if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(one, "pass"))) {
            failed++;
            if (name == NULL || strcmp(check, name) != 0) {
                fail_msg("%s fails, not %s", check, name != NULL ? name : "none");
            }
        }
    }
    assert_int_equal(failed, name != NULL ? 1 : 0);
    assert_true(passed == (name == NULL));
    assert_true(cJSON_IsBool(cJSON_GetObjectItemCaseSensitive(json, "passed")));
    cJSON_Delete(json);
}

static void test_all_is_well(void **state)
{
    (void)state;
    assert_fails(NULL);
}

static void test_duration(void **state)
{
    (void)state;
    result.seconds = 119;
    assert_fails("whole_duration");
    result.seconds = 121;
    result.interrupted = true;
    assert_fails("whole_duration");
}

static void test_owners(void **state)
{
    (void)state;
    result.not_home = 1;
    assert_fails("owners_came_back");
}

static void test_takeovers(void **state)
{
    (void)state;
    result.takeovers_covered = 2;
    result.takeovers_told = 2; /* said: that is what it is for */
    assert_fails(NULL);
    result.takeovers_lost = 1;
    assert_fails("covered_is_silent");
}

static void test_load(void **state)
{
    (void)state;
    result.frames = 960; /* 7.97 of 10 a second */
    assert_fails("under_load");
    result.frames = 1200;
    result.frames_sent = 0;
    assert_fails("under_load");
}

static void test_faults(void **state)
{
    (void)state;
    recovery.by_kind[CHAOS_KILL_CONDUCTOR] = 0;
    assert_fails("faults_made");
    plan.seconds = 30; /* too short for each */
    assert_fails(NULL);
    recovery.faults = 0;
    assert_fails("faults_made");
}

static void test_books(void **state)
{
    (void)state;
    result.books_wrong = 1;
    assert_fails("no_wrong_book");
    result.books_wrong = 0;
    result.books_checked = 0; /* nothing was shown to be right */
    assert_fails("no_wrong_book");
    result.books_checked = 1;
    result.books_unknown = 1;
    assert_fails("no_wrong_book");
}

static void test_ledgers(void **state)
{
    (void)state;
    ledgers[2].silent_holes = 1;
    assert_fails("no_silent_hole");
    ledgers[2].silent_holes = 0;
    ledgers[1].events = 0; /* one that got nothing proves nothing */
    assert_fails("no_silent_hole");
    ledgers[1].events = 1;
    ledgers[0].given_up = 1;
    assert_fails("no_silent_hole");
    ledgers[0].given_up = 0;
    ledgers[0].duplicates = 1;
    assert_fails("no_duplicate");
    ledgers[0].duplicates = 0;
    ledgers[0].repeats = 1; /* with their number: a consumer ignores them */
    assert_fails(NULL);
}

static void test_consumers(void **state)
{
    (void)state;
    result.dropped_here = 1;
    assert_fails("consumers_kept_up");
    result.dropped_here = 0;
    ledgers[1].foreign = 1;
    assert_fails("consumers_kept_up");
    ledgers[1].foreign = 0;
    ledgers[1].failure = MLT_E_NOMEM;
    assert_fails("consumers_kept_up");
}

static void test_recovery(void **state)
{
    (void)state;
    result.unrecovered = 1;
    assert_fails("recovered");
    result.unrecovered = 0;
    recovery.forgotten = 1;
    assert_fails("recovered");
    recovery.forgotten = 0;
    mlt_latency_record(&recovery.took, 3 * MLT_NS_PER_S);
    assert_fails("recovery_in_time");
}

static void test_subscriptions(void **state)
{
    (void)state;
    result.lost_subscriptions = 1;
    assert_fails("no_lost_subscription");
    result.lost_subscriptions = 0;
    result.subscriptions = 0;
    assert_fails("no_lost_subscription");
}

static void test_commands(void **state)
{
    (void)state;
    result.commands_failed = 1;
    assert_fails("commands_carried_out");
    result.commands_failed = 0;
    result.commands = 0;
    assert_fails("commands_carried_out");
}

static void test_exchange(void **state)
{
    (void)state;
    result.connect_attempts = 301;
    assert_fails("no_connect_storm");
    result.connect_attempts = 300;
    result.connect_refused = 1;
    assert_fails("no_connect_storm");
    result.connect_refused = 0;
    result.weight_peak = 6001;
    assert_fails("within_weight");
    result.weight_peak = 6000;
    result.rest_refused = 1;
    assert_fails("within_weight");
    result.rest_refused = -1; /* it did not say */
    assert_fails("within_weight");
}

static void test_rollovers(void **state)
{
    (void)state;
    result.rollovers = 0;
    assert_fails("rolled_over");
    plan.only = 1;
    assert_fails(NULL);
}

static void test_ends(void **state)
{
    (void)state;
    result.ended_unasked = 1;
    assert_fails("no_crash");
    result.ended_unasked = 0;
    result.bad_exits = 1;
    assert_fails("no_crash");
}

#define REPORT_TEST(test) cmocka_unit_test_setup_teardown(test, make_good, forget)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REPORT_TEST(test_all_is_well), REPORT_TEST(test_duration),      REPORT_TEST(test_load),
        REPORT_TEST(test_owners),      REPORT_TEST(test_takeovers),     REPORT_TEST(test_faults),
        REPORT_TEST(test_books),       REPORT_TEST(test_ledgers),       REPORT_TEST(test_consumers),
        REPORT_TEST(test_recovery),    REPORT_TEST(test_subscriptions), REPORT_TEST(test_exchange),
        REPORT_TEST(test_ends),        REPORT_TEST(test_commands),      REPORT_TEST(test_rollovers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
