/* Numbers and times of the command line, and when an event of a file is due in a replay. */
#include "mlt_test.h"

#include "events_file.h"
#include "meltica/base/clock.h"
#include "numbers.h"

#define NOW INT64_C(1700000000000000000)

static void test_counts_are_whole_and_within_their_range(void **state)
{
    (void)state;
    int64_t value = 0;
    assert_true(mlt_tool_count("1", 10, &value));
    assert_int_equal(value, 1);
    assert_true(mlt_tool_count("10", 10, &value));
    static const char *const wrong[] = { "",   "0",  "11", "-1",  "+1",
                                         " 1", "1 ", "1x", "1.5", "99999999999999999999999" };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(mlt_tool_count(wrong[i], 10, &value));
    }
}

static void test_since_is_an_age_or_a_moment(void **state)
{
    (void)state;
    int64_t value = 0;
    assert_true(mlt_tool_since("90s", NOW, &value));
    assert_int_equal(value, NOW - 90 * MLT_NS_PER_S);
    assert_true(mlt_tool_since("365d", NOW, &value));
    assert_int_equal(value, NOW - (int64_t)MLT_TOOL_SECONDS_MAX * MLT_NS_PER_S);
    assert_true(mlt_tool_since("2026-01-31", NOW, &value));
    assert_int_equal(value, INT64_C(1769817600000000000));
    assert_true(mlt_tool_since("2026-01-31T12:00:00Z", NOW, &value));
    assert_int_equal(value, INT64_C(1769860800000000000));
    static const char *const wrong[] = {
        "",           "0s",         "366d",       "1w", "1h2",
        "2026-13-01", "1970-01-01", "9999-01-01", "h",  "99999999999999999999999d"
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(mlt_tool_since(wrong[i], NOW, &value));
    }
}

static void test_replay_keeps_the_pace_and_stays_within_64_bits(void **state)
{
    (void)state;
    assert_int_equal(mlt_events_file_due_ns(NOW, NOW + 3000, 1), 3000);
    assert_int_equal(mlt_events_file_due_ns(NOW, NOW + 3000, 3), 1000);
    assert_int_equal(mlt_events_file_due_ns(NOW, NOW - 1, 1), 0); /* no waiting for what is past */
    assert_int_equal(mlt_events_file_due_ns(INT64_MIN, INT64_MAX, 1), INT64_MAX);
    assert_int_equal(mlt_events_file_due_ns(INT64_MAX, INT64_MIN, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_are_whole_and_within_their_range),
        cmocka_unit_test(test_since_is_an_age_or_a_moment),
        cmocka_unit_test(test_replay_keeps_the_pace_and_stays_within_64_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
