/* Each check of ./dev chaos passes where all is well, and fails alone for what it is about. */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "chaos_report.h"
#include "chaos_script.h"
#include "meltica/base/clock.h"

static struct chaos_plan plan;
static struct chaos_ledger ledgers[CHAOS_CONSUMERS];
static struct chaos_recovery recovery;
static struct chaos_quotes quotes;
static struct chaos_damaged damaged;
static struct chaos_result result;

/* A run in which all is well. */
static int make_good(void **state)
{
    (void)state;
    plan = (struct chaos_plan){ .seconds = 120,
                                .symbols = 2,
                                .rate = 10,
                                .faults_per_minute = 90,
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
                                    .weight_budget = 3000,
                                    .quotes = &quotes,
                                    .damaged = &damaged,
                                    .kills = 6,
                                    .rollovers = 4 };
    quotes = (struct chaos_quotes){ .checked = 10 };
    damaged = (struct chaos_damaged){ .said = 100, .excused = 20 };
    for (unsigned k = CHAOS_SCRIPT_KINDS; k < CHAOS_KINDS; k++) {
        for (unsigned f = 0; f < CHAOS_FLOWS && chaos_kind_of_flow((enum chaos_kind)k); f++) {
            result.flow_faults[f][k] = 1;
        }
    }
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
    memset(result.flow_faults, 0, sizeof result.flow_faults);
    assert_fails("faults_made");
}

/* Every one of them, and by frames of trades and quotes as by those of depth. */
static void test_faults_of_the_script(void **state)
{
    (void)state;
    plan.seconds = 1000;
    result.seconds = 1001;
    result.frames = 12000;
    assert_fails(NULL);
    recovery.by_kind[CHAOS_WRONG_SYMBOL] = 0;
    assert_fails("faults_made");
    recovery.by_kind[CHAOS_WRONG_SYMBOL] = 1;
    for (unsigned f = 0; f < CHAOS_FLOWS; f++) {
        result.flow_faults[f][CHAOS_CORRUPT] = 0;
        assert_fails("faults_made");
        result.flow_faults[f][CHAOS_CORRUPT] = 1;
    }
    plan.faults_per_minute = 0; /* none was asked for */
    recovery.by_kind[CHAOS_WRONG_SYMBOL] = 0;
    assert_fails(NULL);
    plan.faults_per_minute = 10; /* so few that they do not have to have come */
    assert_fails(NULL);
    plan.faults_per_minute = 90;
    plan.seconds = 120; /* as short */
    assert_fails(NULL);
}

/* What was asked for by --only has to have come as well. */
static void test_faults_that_were_asked_for(void **state)
{
    (void)state;
    plan.only = UINT64_C(1) << CHAOS_KILL_NATS | UINT64_C(1) << CHAOS_DROP;
    memset(recovery.by_kind, 0, sizeof recovery.by_kind);
    memset(result.flow_faults, 0, sizeof result.flow_faults);
    recovery.by_kind[CHAOS_DROP] = 5;
    for (unsigned f = 0; f < CHAOS_FLOWS; f++) {
        result.flow_faults[f][CHAOS_DROP] = 5;
    }
    assert_fails("faults_made");
    recovery.by_kind[CHAOS_KILL_NATS] = 5;
    assert_fails(NULL);
    result.flow_faults[0][CHAOS_DROP] = 0;
    assert_fails("faults_made");
}

/* A long run has 100 a minute, whatever was asked for a minute. */
static void test_many_faults(void **state)
{
    (void)state;
    plan.seconds = 1800;
    result.seconds = 1800;
    result.frames = 18000;
    assert_fails("faults_made");
    recovery.faults = 2900;
    result.flow_faults[2][CHAOS_DROP] = 100; /* and one of each other kind of each flow */
    assert_fails(NULL);
    recovery.faults = 2800;
    assert_fails("faults_made");
    plan.faults_per_minute = 0;
    assert_fails("faults_made");
    plan.only = 1; /* a closer look at one */
    assert_fails(NULL);
}

static void test_quotes(void **state)
{
    (void)state;
    quotes.wrong = 1;
    assert_fails("no_wrong_quote");
    quotes.wrong = 0;
    quotes.unknown = 1;
    assert_fails("no_wrong_quote");
    quotes.unknown = 0;
    quotes.checked = 0; /* nothing was shown to be right */
    assert_fails("no_wrong_quote");
}

static void test_damaged(void **state)
{
    (void)state;
    damaged.unsaid = 2; /* of 102 */
    assert_fails(NULL);
    damaged.unsaid = 3;
    assert_fails("damaged_are_rejected");
    damaged.suppressed = 1; /* counted, and too many at once to be sent */
    assert_fails(NULL);
    damaged.forgotten = 1;
    assert_fails("damaged_are_rejected");
    result.damaged = NULL; /* two Adapters */
    assert_fails(NULL);
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
    ledgers[1].disorders = 1;
    assert_fails("no_disorder");
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
    result.weight_peak = 3001; /* the exchange takes it, and it is more than the share */
    assert_fails("within_weight");
    result.weight_budget = 9000; /* a share beyond the exchange's limit is none */
    result.weight_peak = 6001;
    assert_fails("within_weight");
    result.weight_peak = 6000;
    assert_fails(NULL);
    result.weight_budget = 0; /* the Adapter did not say */
    assert_fails("within_weight");
    result.weight_budget = 3000;
    result.weight_peak = 3000;
    assert_fails(NULL);
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

/* Repeats stand beside duplicates, in both files, with what they are. */
static void test_repeats_are_told(void **state)
{
    (void)state;
    char path[] = "/tmp/chaos-report-XXXXXX.json", beside[sizeof path], text[16384];
    const int fd = mkstemps(path, 5);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    (void)snprintf(beside, sizeof beside, "%.*s.md", (int)(strlen(path) - 5), path);
    plan.report = path;
    ledgers[0].repeats = 40;
    ledgers[2].repeats = 2;
    assert_int_equal(chaos_report(&result), 0);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof text - 1, file);
    assert_int_equal(fclose(file), 0);
    cJSON *json = cJSON_ParseWithLength(text, len);
    assert_true(cJSON_GetObjectItemCaseSensitive(json, "repeats")->valuedouble == 42);
    const char *are = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "repeats_are"));
    assert_non_null(are);
    file = fopen(beside, "r");
    assert_non_null(file);
    len = fread(text, 1, sizeof text - 1, file);
    text[len] = '\0';
    assert_int_equal(fclose(file), 0);
    assert_non_null(strstr(text, "Beside the duplicates: 42 repeats. "));
    assert_non_null(strstr(text, are));
    assert_non_null(strstr(text, "| aggTrade | corrupt | 1 |"));
    assert_non_null(strstr(text, "0, beside 42 repeats"));
    cJSON_Delete(json);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(beside), 0);
}

/* What the exchange is told: depth as before, and as many of trades and quotes. */
static void test_the_script(void **state)
{
    (void)state;
    char target[CHAOS_SCRIPT_BYTES];
    plan.symbols = 12;
    plan.rate = 20000;
    chaos_script_target(&plan, target);
    assert_string_equal(target, "/sim/script?faults=all,all@trade/aggTrade/bookTicker&seed=4"
                                "&rate=12500&flow-rate=60&snapshot-rate=100");
    plan.only = UINT64_C(1) << CHAOS_KILL_NATS; /* of the plan alone: the script has all */
    chaos_script_target(&plan, target);
    assert_non_null(strstr(target, "?faults=all,all@trade/aggTrade/bookTicker&"));
    plan.only = UINT64_C(1) << CHAOS_DROP | UINT64_C(1) << CHAOS_CUT | UINT64_C(1) << CHAOS_BUSY;
    chaos_script_target(&plan, target);
    assert_non_null(strstr(target, "?faults=drop,drop@trade/aggTrade/bookTicker,cut,busy&seed=4&"));
    plan.only = ~UINT64_C(0) >> (64 - CHAOS_KINDS); /* the longest there is */
    chaos_script_target(&plan, target);
    assert_non_null(strstr(target, ",wrong_symbol&seed=4&rate=12500&flow-rate=60&"));
    plan.rate = 1000000; /* not below one of a million, */
    plan.faults_per_minute = 1;
    chaos_script_target(&plan, target);
    assert_non_null(strstr(target, "&flow-rate=1&"));
    plan.faults_per_minute = 0; /* unless none */
    chaos_script_target(&plan, target);
    assert_string_equal(target, "/sim/script?faults=all&seed=4&rate=0&flow-rate=0&snapshot-rate=0");
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
    const struct CMUnitTest tests[] = { REPORT_TEST(test_all_is_well),
                                        REPORT_TEST(test_duration),
                                        REPORT_TEST(test_load),
                                        REPORT_TEST(test_owners),
                                        REPORT_TEST(test_takeovers),
                                        REPORT_TEST(test_faults),
                                        REPORT_TEST(test_faults_of_the_script),
                                        REPORT_TEST(test_faults_that_were_asked_for),
                                        REPORT_TEST(test_many_faults),
                                        REPORT_TEST(test_books),
                                        REPORT_TEST(test_quotes),
                                        REPORT_TEST(test_damaged),
                                        REPORT_TEST(test_ledgers),
                                        REPORT_TEST(test_consumers),
                                        REPORT_TEST(test_recovery),
                                        REPORT_TEST(test_subscriptions),
                                        REPORT_TEST(test_exchange),
                                        REPORT_TEST(test_ends),
                                        REPORT_TEST(test_commands),
                                        REPORT_TEST(test_rollovers),
                                        REPORT_TEST(test_repeats_are_told),
                                        REPORT_TEST(test_the_script) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
