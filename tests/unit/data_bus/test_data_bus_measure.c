/* What the Data Bus makes of stamps: those of events as they should be, and those of clocks that
 * are wrong or of somebody who writes what he likes. */
#include "mlt_test.h"

#include <stdio.h>

#include "data_bus_internal.h"
#include "meltica/base/clock.h"

#define NOW (1700000000 * MLT_NS_PER_S)
#define MS MLT_NS_PER_MS

static struct mlt_metrics *metrics;
static struct data_bus bus;
static struct data_bus_metrics measured;

static int begin(void **state)
{
    (void)state;
    memset(&bus, 0, sizeof bus);
    memset(&measured, 0, sizeof measured);
    bus.metrics = &measured;
    assert_int_equal(mlt_metrics_create(&metrics), MLT_OK);
    measured.stage = mlt_metrics_histogram(metrics, "stage_seconds", "", NULL);
    measured.end_to_end = mlt_metrics_histogram(metrics, "whole_seconds", "", NULL);
    measured.exchange = mlt_metrics_histogram(metrics, "exchange_seconds", "", NULL);
    measured.exchange_old = mlt_metrics_counter(metrics, "ignored_total", "", NULL);
    atomic_store(&bus.clock.known, true);
    atomic_store(&bus.clock.offset_ns, -2 * MLT_NS_PER_S);
    return 0;
}

static int end(void **state)
{
    (void)state;
    mlt_metrics_destroy(metrics);
    return 0;
}

static struct mlt_event event(void)
{
    return (struct mlt_event){ .type = MLT_EVENT_TRADE,
                               .stamps = { .received = NOW,
                                           .exchange = NOW - 2 * MLT_NS_PER_S - 30 * MS,
                                           .adapted = NOW + MS,
                                           .dispatched = NOW + 2 * MS,
                                           .conducted = NOW + 3 * MS,
                                           .published = NOW + 5 * MS } };
}

static void assert_line(const char *line)
{
    struct mlt_buf page;
    char whole[128];
    mlt_buf_init(&page, 1u << 20);
    assert_int_equal(mlt_metrics_render(metrics, &page), MLT_OK);
    (void)snprintf(whole, sizeof whole, "\n%s\n", line);
    if (memmem(page.data, page.len, whole, strlen(whole)) == NULL) {
        fail_msg("no line %s in %.*s", line, (int)page.len, (const char *)page.data);
    }
    mlt_buf_fini(&page);
}

static void test_each_duration_is_measured(void **state)
{
    (void)state;
    struct mlt_event e = event();
    mlt_data_bus_measure(&bus, &e);
    e.throttled_ns = 4 * MS;
    mlt_data_bus_measure(&bus, &e);
    assert_line("stage_seconds_sum 0.004000000");
    assert_line("whole_seconds_sum 0.006000000");
    assert_line("exchange_seconds_sum 0.066000000"); /* 35 and 31 ms, by our clock */
}

/* A market of another year, whichever: no latency of nothing either. */
static void test_a_time_that_is_far_away_is_no_latency(void **state)
{
    (void)state;
    struct mlt_event e = event();
    const int64_t year_ns = INT64_C(31536000) * MLT_NS_PER_S;
    e.stamps.exchange -= year_ns;
    mlt_data_bus_measure(&bus, &e);
    e.stamps.exchange += 2 * year_ns;
    mlt_data_bus_measure(&bus, &e);
    assert_line("exchange_seconds_count 0");
    assert_line("ignored_total 2");
    assert_line("meltica_negative_durations_total 0");
}

/* A host that began in 1970 and was told the time: its events are as old as that, and the sums go
 * on upwards, however many they are. */
static void test_wrong_clocks_do_not_turn_the_sums_over(void **state)
{
    (void)state;
    struct mlt_event e = event();
    e.stamps.received = e.stamps.conducted = 0;
    e.stamps.exchange = MLT_STAMP_UNKNOWN;
    for (unsigned i = 0; i < 20; i++) { /* 20 times 53 years are more than 64 bits of ns hold */
        mlt_data_bus_measure(&bus, &e);
    }
    assert_line("whole_seconds_count 20");
    assert_line("whole_seconds_sum 72000.000000000"); /* an hour each */
    assert_line("stage_seconds_sum 72000.000000000");
}

/* Each to the end of 64 bits: nothing overflows, nothing is measured of a stamp that is not there.
 */
static void test_stamps_at_the_ends(void **state)
{
    (void)state;
    static const int64_t ends[] = { INT64_MIN, INT64_MIN + 1, -1, 0, INT64_MAX };
    for (unsigned i = 0; i < 5; i++) {
        for (unsigned j = 0; j < 5; j++) {
            struct mlt_event e = event();
            e.stamps.received = ends[i];
            e.stamps.conducted = ends[j];
            e.stamps.exchange = ends[(i + j) % 5];
            e.throttled_ns = (uint64_t)ends[j];
            mlt_data_bus_measure(&bus, &e);
        }
    }
    assert_line("whole_seconds_count 25");
    assert_line("stage_seconds_count 20");
}

static void tell(const char *instance, bool known, int64_t offset_ns, uint64_t uncertainty_ns,
                 int64_t second)
{
    char name[32];
    Meltica__V1__PlanStatus status;
    meltica__v1__plan_status__init(&status);
    (void)snprintf(name, sizeof name, "%s", instance);
    status.instance = name;
    status.clock_known = known;
    status.clock_offset_ns = offset_ns;
    status.clock_uncertainty_ns = uncertainty_ns;
    mlt_data_bus_take_clock(&bus.clock, &status, second * MLT_NS_PER_S);
}

static void assert_clock(bool known, int64_t offset_ns)
{
    assert_int_equal(atomic_load(&bus.clock.known), known);
    assert_true(!known || atomic_load(&bus.clock.offset_ns) == offset_ns);
}

/* The least uncertain one counts, as long as it is there; what nobody knows any more is not used.
 */
static void test_the_clock_is_that_of_an_adapter_that_is_there(void **state)
{
    (void)state;
    atomic_store(&bus.clock.known, false);
    tell("a", true, 100, 50, 1);
    assert_clock(true, 100);
    tell("b", true, 200, 60, 1);
    assert_clock(true, 100);
    tell("a", true, 110, 90, 2); /* its own word, though less certain */
    assert_clock(true, 110);
    tell("b", true, 210, 60, 2);
    assert_clock(true, 210);
    tell("a", false, 0, 0, 3); /* not its to take back */
    assert_clock(true, 210);
    tell("b", false, 0, 0, 4);
    assert_clock(false, 0);
    tell("b", true, 220, 60, 5);
    tell("a", false, 0, 0, 35); /* b has been silent for 30 s and no more */
    assert_clock(true, 220);
    tell("a", false, 0, 0, 36); /* b is gone, and a does not know it */
    assert_clock(false, 0);
    tell("a", true, 120, 500, 37);
    assert_clock(true, 120);
    tell("c", true, 300, 900, 70); /* worse, but there */
    assert_clock(true, 300);
}

int main(void)
{
#define MEASURE(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        MEASURE(test_each_duration_is_measured),
        MEASURE(test_a_time_that_is_far_away_is_no_latency),
        MEASURE(test_wrong_clocks_do_not_turn_the_sums_over),
        MEASURE(test_stamps_at_the_ends),
        MEASURE(test_the_clock_is_that_of_an_adapter_that_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
