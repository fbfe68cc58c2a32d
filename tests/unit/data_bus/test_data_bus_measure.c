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

static int begin(void **state)
{
    (void)state;
    memset(&bus, 0, sizeof bus);
    assert_int_equal(mlt_metrics_create(&metrics), MLT_OK);
    bus.metrics.stage = mlt_metrics_histogram(metrics, "stage_seconds", "", NULL);
    bus.metrics.end_to_end = mlt_metrics_histogram(metrics, "whole_seconds", "", NULL);
    bus.metrics.exchange = mlt_metrics_histogram(metrics, "exchange_seconds", "", NULL);
    bus.metrics.exchange_old = mlt_metrics_counter(metrics, "ignored_total", "", NULL);
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

int main(void)
{
#define MEASURE(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        MEASURE(test_each_duration_is_measured),
        MEASURE(test_a_time_that_is_far_away_is_no_latency),
        MEASURE(test_wrong_clocks_do_not_turn_the_sums_over),
        MEASURE(test_stamps_at_the_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
