/* The exchange's clock by its answers: the middle of the way, the shortest of the last ones, bounds
 * that hold, and steps of our own clock. */
#include "mlt_test.h"

#include "clock_offset.h"
#include "meltica/base/clock.h"

#define MS MLT_NS_PER_MS
#define S MLT_NS_PER_S
#define MONO (1000 * S)              /* now, monotonic */
#define WALL (1700000000 * S)        /* and by the wall clock */
#define SKEW (-(2 * S + 500 * 1000)) /* of the exchange */

static struct mlt_clock_offset offset;
static struct mlt_clock_estimate estimate;

static int begin(void **state)
{
    (void)state;
    memset(&offset, 0, sizeof offset);
    return 0;
}

/* A question at `at`, `there` ns on its way, the answer `back` ns on its own. */
static void ask(int64_t at, int64_t there, int64_t back, int64_t resolution)
{
    const int64_t exact = WALL + (at - MONO) + there + SKEW;
    mlt_clock_offset_add(&offset, exact - exact % resolution, resolution, at, at + there + back);
}

static int64_t error(void)
{
    assert_true(mlt_clock_offset_get(&offset, MONO, WALL, &estimate));
    return estimate.offset_ns > SKEW ? estimate.offset_ns - SKEW : SKEW - estimate.offset_ns;
}

static void test_nothing_is_known_before_the_first_answer(void **state)
{
    (void)state;
    assert_false(mlt_clock_offset_get(&offset, MONO, WALL, &estimate));
    mlt_clock_offset_add(&offset, WALL, 1, MONO, MONO - 1); /* before its question */
    assert_false(mlt_clock_offset_get(&offset, MONO, WALL, &estimate));
}

static void test_an_even_way_gives_the_exact_offset(void **state)
{
    (void)state;
    ask(MONO - S, 20 * MS, 20 * MS, 1);
    assert_true(error() <= 1);
    assert_int_equal(estimate.uncertainty_ns, 20 * MS + 1);
}

static void test_the_shortest_way_counts(void **state)
{
    (void)state;
    ask(MONO - 3 * S, 1 * MS, 300 * MS, 1);
    ask(MONO - 2 * S, 3 * MS, 1 * MS, 1);
    ask(MONO - 1 * S, 900 * MS, 2 * MS, 1);
    assert_int_equal(error(), 1 * MS);
    assert_int_equal(estimate.uncertainty_ns, 2 * MS + 1);
}

static void test_the_error_is_never_above_what_is_stated(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (unsigned i = 0; i < 20000; i++) {
        begin(NULL);
        for (unsigned n = 0; n < 4; n++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            ask(MONO - S, (int64_t)(seed >> 33) % (200 * MS), (int64_t)(seed >> 13) % (200 * MS),
                MS);
        }
        const int64_t wrong = error();
        assert_true(wrong <= estimate.uncertainty_ns);
    }
}

static void test_answers_get_old(void **state)
{
    (void)state;
    ask(MONO - MLT_CLOCK_SAMPLE_LIFE_NS - 10 * S, 0, MS, 1);
    assert_false(mlt_clock_offset_get(&offset, MONO, WALL, &estimate));
    ask(MONO - S, 40 * MS, 40 * MS, 1);
    assert_true(error() <= 1);
    for (unsigned i = 0; i < MLT_CLOCK_SAMPLES_MAX; i++) { /* the ring forgets the best one too */
        ask(MONO - S / 2, 50 * MS, 50 * MS, 1);
    }
    assert_true(error() <= 1);
    assert_int_equal(estimate.uncertainty_ns, 50 * MS + 1);
    assert_int_equal(offset.taken, MLT_CLOCK_SAMPLES_MAX + 2);
}

static void test_a_step_of_our_clock_is_seen_at_once(void **state)
{
    (void)state;
    ask(MONO - S, MS, MS, 1);
    assert_true(mlt_clock_offset_get(&offset, MONO, WALL + 3 * S, &estimate));
    assert_true(estimate.offset_ns - (SKEW - 3 * S) <= 1);
    assert_true(estimate.offset_ns - (SKEW - 3 * S) >= -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nothing_is_known_before_the_first_answer, begin),
        cmocka_unit_test_setup(test_an_even_way_gives_the_exact_offset, begin),
        cmocka_unit_test_setup(test_the_shortest_way_counts, begin),
        cmocka_unit_test_setup(test_the_error_is_never_above_what_is_stated, begin),
        cmocka_unit_test_setup(test_answers_get_old, begin),
        cmocka_unit_test_setup(test_a_step_of_our_clock_is_seen_at_once, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
