#include "unit.h"

#include "meltica/base/clock.h"

#include <time.h>

static void test_clock_mono_never_goes_back(void **state)
{
    (void)state;
    int64_t last = mlt_clock_mono_ns();
    assert_true(last > 0);
    for (int i = 0; i < 10000; i++) {
        const int64_t now = mlt_clock_mono_ns();
        assert_true(now >= last);
        last = now;
    }
}

static void test_clock_wall_is_nanoseconds_since_1970(void **state)
{
    (void)state;
    const int64_t before = (int64_t)time(NULL);
    const int64_t seconds = mlt_clock_wall_ns() / MLT_NS_PER_S;
    /* time(NULL) may lag one tick behind; a step of the clock in between is no failure of ours. */
    assert_in_range(seconds, before - 1, before + 60);
}

static void test_clock_system_gives_the_same_clocks(void **state)
{
    (void)state;
    const struct mlt_clock *clock = mlt_clock_system();
    const int64_t first = mlt_clock_mono_ns();
    const int64_t second = clock->mono_ns(clock->ctx);
    assert_in_range(second, first, mlt_clock_mono_ns());
    assert_in_range(clock->wall_ns(clock->ctx) / MLT_NS_PER_S,
                    mlt_clock_wall_ns() / MLT_NS_PER_S - 60,
                    mlt_clock_wall_ns() / MLT_NS_PER_S + 1);
    assert_ptr_equal(clock, mlt_clock_system());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock_mono_never_goes_back),
        cmocka_unit_test(test_clock_wall_is_nanoseconds_since_1970),
        cmocka_unit_test(test_clock_system_gives_the_same_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
