#include "mlt_test.h"

#include "meltica/base/clock.h"
#include "meltica/rt/backoff.h"

#define MS MLT_NS_PER_MS

/* Largest and smallest wait of many seeds at one attempt. */
static void spread(uint32_t attempt, int64_t floor_ns, int64_t *low, int64_t *high)
{
    *low = INT64_MAX;
    *high = 0;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        struct mlt_backoff b;
        mlt_backoff_init(&b, floor_ns, 100 * MS, 1000 * MS, seed);
        int64_t wait = 0;
        for (uint32_t i = 0; i <= attempt; i++) {
            wait = mlt_backoff_next_ns(&b);
        }
        *low = wait < *low ? wait : *low;
        *high = wait > *high ? wait : *high;
    }
}

static void test_wait_fills_the_range_up_to_the_doubled_base(void **state)
{
    (void)state;
    static const int64_t ceilings_ms[] = { 100, 200, 400, 800, 1000, 1000 };
    for (uint32_t attempt = 0; attempt < 6; attempt++) {
        int64_t low = 0;
        int64_t high = 0;
        spread(attempt, 0, &low, &high);
        const int64_t ceiling = ceilings_ms[attempt] * MS;
        assert_true(high <= ceiling);
        assert_true(high > ceiling * 95 / 100);
        assert_true(low < ceiling * 5 / 100);
    }
}

static void test_floor_is_never_undercut(void **state)
{
    (void)state;
    int64_t low = 0;
    int64_t high = 0;
    spread(0, 60 * MS, &low, &high);
    assert_int_equal(low, 60 * MS);
    assert_true(high > 90 * MS);
    spread(0, 5000 * MS, &low, &high); /* also above the ceiling */
    assert_int_equal(low, 5000 * MS);
    assert_int_equal(high, 5000 * MS);
}

static void test_same_seed_same_waits_and_other_seed_others(void **state)
{
    (void)state;
    struct mlt_backoff a;
    struct mlt_backoff b;
    struct mlt_backoff c;
    mlt_backoff_init(&a, 0, 100 * MS, 1000 * MS, 7);
    mlt_backoff_init(&b, 0, 100 * MS, 1000 * MS, 7);
    mlt_backoff_init(&c, 0, 100 * MS, 1000 * MS, 8);
    unsigned different = 0;
    for (unsigned i = 0; i < 50; i++) {
        const int64_t wait = mlt_backoff_next_ns(&a);
        assert_int_equal(wait, mlt_backoff_next_ns(&b));
        different += wait != mlt_backoff_next_ns(&c) ? 1 : 0;
    }
    assert_true(different > 45);
}

static void test_reset_starts_small_again(void **state)
{
    (void)state;
    struct mlt_backoff b;
    mlt_backoff_init(&b, 0, 10 * MS, 60000 * MS, 1);
    for (unsigned i = 0; i < 30; i++) {
        (void)mlt_backoff_next_ns(&b);
    }
    assert_int_equal(b.attempt, 30);
    mlt_backoff_reset(&b);
    assert_true(mlt_backoff_next_ns(&b) <= 10 * MS);
}

static void test_extreme_values_do_not_overflow(void **state)
{
    (void)state;
    struct mlt_backoff b;
    mlt_backoff_init(&b, 0, INT64_MAX / 3, INT64_MAX, 3);
    b.attempt = UINT32_MAX;
    for (unsigned i = 0; i < 100; i++) {
        assert_true(mlt_backoff_next_ns(&b) >= 0);
    }
    assert_true(b.attempt == UINT32_MAX);
    mlt_backoff_init(&b, 0, 0, 100, 3); /* no base: no wait */
    b.attempt = 1000;
    assert_int_equal(mlt_backoff_next_ns(&b), 0);
    mlt_backoff_init(&b, 0, 500, 100, 3); /* base above max */
    for (unsigned i = 0; i < 100; i++) {
        assert_true(mlt_backoff_next_ns(&b) <= 100);
    }
    mlt_backoff_init(&b, -5, -5, -5, 3);
    assert_int_equal(mlt_backoff_next_ns(&b), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wait_fills_the_range_up_to_the_doubled_base),
        cmocka_unit_test(test_floor_is_never_undercut),
        cmocka_unit_test(test_same_seed_same_waits_and_other_seed_others),
        cmocka_unit_test(test_reset_starts_small_again),
        cmocka_unit_test(test_extreme_values_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
