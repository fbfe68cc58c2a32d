/* Percentiles against the same values sorted. */
#include "mlt_test.h"

#include <stdlib.h>

#include "latency.h"
#include "meltica/base/clock.h"
#include "meltica/base/hash.h"

#define COUNT 20000u

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void test_percentiles_are_within_four_percent_of_the_sorted_values(void **state)
{
    (void)state;
    static struct mlt_latency latency;
    static int64_t values[COUNT];
    for (uint64_t i = 0; i < COUNT; i++) {
        const uint64_t r = mlt_mix64(i);
        values[i] = (int64_t)(r >> (14 + r % 45)); /* from 0 ns to about 14 days */
        mlt_latency_record(&latency, values[i]);
    }
    qsort(values, COUNT, sizeof values[0], ascending);
    static const unsigned ranks[] = { 1, 100, 500, 900, 990, 999, 1000 };
    for (size_t i = 0; i < sizeof ranks / sizeof ranks[0]; i++) {
        const int64_t exact = values[(COUNT * ranks[i] + 999) / 1000 - 1];
        const int64_t got = mlt_latency_at(&latency, ranks[i]);
        assert_true(got >= exact);
        assert_true(got - exact <= exact / 25 + 1);
    }
    assert_int_equal(latency.max_ns, values[COUNT - 1]);
}

static void test_the_largest_value_has_a_bucket(void **state)
{
    (void)state;
    static struct mlt_latency latency;
    mlt_latency_record(&latency, INT64_MAX);
    assert_int_equal(mlt_latency_at(&latency, 500), INT64_MAX);
}

static void test_negative_durations_count_as_zero_and_are_counted(void **state)
{
    (void)state;
    static struct mlt_latency latency;
    mlt_latency_record(&latency, -1270 * INT64_C(1000000));
    mlt_latency_record(&latency, 7);
    assert_int_equal(latency.negative, 1);
    assert_int_equal(mlt_latency_at(&latency, 500), 0);
    assert_int_equal(mlt_latency_at(&latency, 1000), 7);
}

static void test_without_values_there_is_no_percentile(void **state)
{
    (void)state;
    static struct mlt_latency latency;
    assert_int_equal(mlt_latency_at(&latency, 990), 0);
}

static void test_a_span_ends_where_64_bits_do(void **state)
{
    (void)state;
    assert_int_equal(mlt_span_ns(3, 10), 7);
    assert_int_equal(mlt_span_ns(10, 3), -7);
    assert_int_equal(mlt_span_ns(INT64_MIN, 1), INT64_MAX);
    assert_int_equal(mlt_span_ns(INT64_MIN, INT64_MAX), INT64_MAX);
    assert_int_equal(mlt_span_ns(INT64_MAX, -2), INT64_MIN);
    assert_int_equal(mlt_later_ns(10, -3), 7);
    assert_int_equal(mlt_later_ns(INT64_MAX - 1, 1), INT64_MAX);
    assert_int_equal(mlt_later_ns(INT64_MAX, 1), INT64_MAX);
    assert_int_equal(mlt_later_ns(INT64_MIN, -1), INT64_MIN);
    assert_int_equal(mlt_span_ns(INT64_MAX, INT64_MIN), INT64_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percentiles_are_within_four_percent_of_the_sorted_values),
        cmocka_unit_test(test_the_largest_value_has_a_bucket),
        cmocka_unit_test(test_negative_durations_count_as_zero_and_are_counted),
        cmocka_unit_test(test_without_values_there_is_no_percentile),
        cmocka_unit_test(test_a_span_ends_where_64_bits_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
