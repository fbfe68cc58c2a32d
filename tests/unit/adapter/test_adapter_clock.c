/* The exchange's clock by its answers: the middle of the way, the shortest of the last ones, bounds
 * that hold, and steps of our own clock. */
#include "mlt_test.h"

#include "adapter.h"
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

/* What drifted since an answer of so long ago. */
static int64_t drift(int64_t age_ns)
{
    return age_ns * MLT_CLOCK_DRIFT_PPM / 1000000;
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
    assert_int_equal(estimate.uncertainty_ns, 20 * MS + 1 + drift(S - 40 * MS));
}

static void test_the_shortest_way_counts(void **state)
{
    (void)state;
    ask(MONO - 3 * S, 1 * MS, 300 * MS, 1);
    ask(MONO - 2 * S, 3 * MS, 1 * MS, 1);
    ask(MONO - 1 * S, 900 * MS, 2 * MS, 1);
    assert_int_equal(error(), 1 * MS);
    assert_int_equal(estimate.uncertainty_ns, 2 * MS + 1 + drift(2 * S - 4 * MS));
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
    assert_int_equal(estimate.uncertainty_ns, 50 * MS + 1 + drift(400 * MS));
    assert_int_equal(offset.taken, MLT_CLOCK_SAMPLES_MAX + 2);
}

/* An exchange whose clock runs 15 millionths fast, asked for minutes: the bound holds all the
 * while, and a new answer of a longer way counts before an old one of a short one. */
static void test_the_bound_holds_while_clocks_drift_apart(void **state)
{
    (void)state;
    const int64_t asked[] = { 590 * S, 300 * S, 40 * S };
    const int64_t ways[] = { MS, 2 * MS, 4 * MS };
    for (unsigned i = 0; i < 3; i++) {
        begin(NULL);
        for (unsigned n = 0; n <= i; n++) {
            const int64_t at = MONO - asked[n];
            mlt_clock_offset_add(&offset, WALL + (at - MONO) + SKEW + ways[n] - drift(asked[n]), 1,
                                 at, at + ways[n]);
        }
        const int64_t wrong = error();
        assert_true(wrong <= estimate.uncertainty_ns);
    }
    assert_int_equal(estimate.uncertainty_ns, 2 * MS + 1 + drift(40 * S - 4 * MS));
}

static bool page_has(struct mlt_metrics *metrics, const char *text)
{
    struct mlt_buf page;
    mlt_buf_init(&page, 1u << 20);
    assert_int_equal(mlt_metrics_render(metrics, &page), MLT_OK);
    const bool has = memmem(page.data, page.len, text, strlen(text)) != NULL;
    mlt_buf_fini(&page);
    return has;
}

/* What is not known any more must not stand there as if it were. */
static void test_an_offset_that_is_not_known_any_more_has_no_gauge(void **state)
{
    (void)state;
    struct mlt_metrics *metrics = NULL;
    assert_int_equal(mlt_metrics_create(&metrics), MLT_OK);
    mlt_adapter_meter_clock(metrics, &offset, MONO, WALL);
    assert_false(page_has(metrics, "meltica_adapter_clock_offset_seconds"));
    ask(MONO - S, MS, MS, 1);
    mlt_adapter_meter_clock(metrics, &offset, MONO, WALL);
    assert_true(page_has(metrics, "\nmeltica_adapter_clock_offset_seconds -2.000"));
    assert_true(page_has(metrics, "\nmeltica_adapter_clock_uncertainty_seconds 0.001"));
    const int64_t later = MLT_CLOCK_SAMPLE_LIFE_NS;
    mlt_adapter_meter_clock(metrics, &offset, MONO + later, WALL + later);
    assert_false(page_has(metrics, "meltica_adapter_clock_offset_seconds"));
    assert_false(page_has(metrics, "meltica_adapter_clock_uncertainty_seconds"));
    assert_true(page_has(metrics, "\nmeltica_adapter_clock_samples_total 1\n"));
    ask(MONO + later - S, MS, MS, 1);
    mlt_adapter_meter_clock(metrics, &offset, MONO + later, WALL + later);
    assert_true(page_has(metrics, "\nmeltica_adapter_clock_offset_seconds -2.000"));
    mlt_metrics_destroy(metrics);
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
        cmocka_unit_test_setup(test_the_bound_holds_while_clocks_drift_apart, begin),
        cmocka_unit_test_setup(test_an_offset_that_is_not_known_any_more_has_no_gauge, begin),
        cmocka_unit_test_setup(test_a_step_of_our_clock_is_seen_at_once, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
