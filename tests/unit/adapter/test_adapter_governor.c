/* What may be asked by REST, and when: weight, refusals, and a host that does not answer. */
#include "mlt_test.h"

#include "meltica/base/clock.h"
#include "rest.h"

#define S MLT_NS_PER_S
#define T0 (1000 * S)

static struct mlt_governor governor;

static int set_up(void **state)
{
    (void)state;
    mlt_governor_init(&governor, 50, 1);
    return 0;
}

static void test_weights_are_the_exchanges(void **state)
{
    (void)state;
    static const struct {
        enum mlt_rest_function function;
        uint32_t limit, symbols, weight;
    } table[] = {
        { MLT_REST_DEPTH, 0, 1, 5 },          { MLT_REST_DEPTH, 100, 1, 5 },
        { MLT_REST_DEPTH, 101, 1, 25 },       { MLT_REST_DEPTH, 500, 1, 25 },
        { MLT_REST_DEPTH, 501, 1, 50 },       { MLT_REST_DEPTH, 1000, 1, 50 },
        { MLT_REST_DEPTH, 1001, 1, 250 },     { MLT_REST_DEPTH, 5000, 1, 250 },
        { MLT_REST_EXCHANGE_INFO, 0, 0, 20 }, { MLT_REST_TICKER_24HR, 0, 1, 2 },
        { MLT_REST_TICKER_24HR, 0, 20, 2 },   { MLT_REST_TICKER_24HR, 0, 21, 40 },
        { MLT_REST_TICKER_24HR, 0, 101, 80 }, { MLT_REST_TICKER_24HR, 0, 0, 80 },
        { MLT_REST_TIME, 0, 0, 1 },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_int_equal(mlt_rest_weight(table[i].function, table[i].limit, table[i].symbols),
                         table[i].weight);
    }
    assert_int_equal(mlt_rest_function_of("ticker/24hr"), MLT_REST_TICKER_24HR);
    assert_int_equal(mlt_rest_function_of("klines"), MLT_REST_FUNCTION_COUNT);
    assert_int_equal(mlt_rest_function_of("time"), MLT_REST_FUNCTION_COUNT); /* not for plans */
}

/* Every second of ten minutes as much as is admitted: no 60 s hold more than the share. */
static void test_share_of_the_budget_is_never_exceeded(void **state)
{
    (void)state;
    static uint32_t spent[700];
    for (unsigned s = 0; s < 600; s++) {
        for (unsigned i = 0; i < 100; i++) {
            if (mlt_governor_admit(&governor, 50, MLT_WEIGHT_RESYNC, T0 + s * S + i) == 0) {
                spent[s] += 50;
            }
        }
    }
    uint32_t total = 0, highest = 0;
    for (unsigned s = 0; s < 600; s++) {
        total += spent[s];
        total -= s >= 60 ? spent[s - 60] : 0;
        highest = total > highest ? total : highest;
    }
    assert_int_equal(highest, 3000);
}

static void test_a_fifth_is_left_to_what_is_urgent(void **state)
{
    (void)state;
    unsigned admitted = 0;
    while (mlt_governor_admit(&governor, 50, MLT_WEIGHT_DEPTH, T0) == 0) {
        admitted++;
    }
    assert_int_equal(admitted, 48);
    assert_int_equal(mlt_governor_admit(&governor, 50, MLT_WEIGHT_RESYNC, T0), 0);
    assert_int_equal(mlt_governor_admit(&governor, 50, MLT_WEIGHT_DEPTH, T0 + 61 * S), 0);
}

static void test_what_others_used_counts(void **state)
{
    (void)state;
    mlt_governor_set_limit(&governor, 1000);
    mlt_governor_set_limit(&governor, 0); /* not said: stays */
    assert_int_equal(mlt_governor_admit(&governor, 20, MLT_WEIGHT_RESYNC, T0), 0);
    mlt_governor_answered(&governor, 200, -1, 490, T0);
    assert_int_equal(mlt_governor_used(&governor, T0), 490);
    assert_int_equal(mlt_governor_admit(&governor, 5, MLT_WEIGHT_RESYNC, T0), 0);
    assert_true(mlt_governor_admit(&governor, 20, MLT_WEIGHT_RESYNC, T0) > T0);
    assert_int_equal(mlt_governor_admit(&governor, 20, MLT_WEIGHT_RESYNC, T0 + 61 * S), 0);
}

static void test_call_heavier_than_the_share_is_made_alone(void **state)
{
    (void)state;
    mlt_governor_set_limit(&governor, 100);
    assert_int_equal(mlt_governor_admit(&governor, 250, MLT_WEIGHT_DEPTH, T0), 0);
    assert_true(mlt_governor_admit(&governor, 5, MLT_WEIGHT_RESYNC, T0 + 59 * S) > 0);
    assert_int_equal(mlt_governor_admit(&governor, 250, MLT_WEIGHT_DEPTH, T0 + 61 * S), 0);
}

static void test_refusal_that_names_no_time_to_wait_is_never_answered_at_once(void **state)
{
    (void)state;
    mlt_governor_answered(&governor, 429, 0, -1, T0);
    assert_int_equal(mlt_governor_admit(&governor, 1, MLT_WEIGHT_RESYNC, T0), T0 + S);
    assert_int_equal(mlt_governor_admit(&governor, 1, MLT_WEIGHT_RESYNC, T0 + S), 0);
}

static void test_used_weight_is_a_whole_number_or_none(void **state)
{
    (void)state;
    assert_int_equal(mlt_governor_weight_of("1200"), 1200);
    assert_int_equal(mlt_governor_weight_of("99999999999999999999999"), UINT32_MAX);
    assert_int_equal(mlt_governor_weight_of(""), -1);
    assert_int_equal(mlt_governor_weight_of("-1"), -1);
    assert_int_equal(mlt_governor_weight_of("12 "), -1);
}

static void test_429_and_418_are_obeyed_to_the_second(void **state)
{
    (void)state;
    mlt_governor_answered(&governor, 429, 7, -1, T0);
    assert_int_equal(mlt_governor_admit(&governor, 1, MLT_WEIGHT_RESYNC, T0 + 1), T0 + 7 * S);
    assert_int_equal(mlt_governor_admit(&governor, 1, MLT_WEIGHT_RESYNC, T0 + 7 * S - 1),
                     T0 + 7 * S);
    assert_int_equal(mlt_governor_admit(&governor, 1, MLT_WEIGHT_RESYNC, T0 + 7 * S), 0);
    mlt_governor_answered(&governor, 418, 130, -1, T0 + 8 * S);
    mlt_governor_answered(&governor, 200, -1, 1,
                          T0 + 9 * S); /* an older call's answer frees nothing */
    assert_int_equal(mlt_governor_admit(&governor, 1, MLT_WEIGHT_RESYNC, T0 + 137 * S),
                     T0 + 138 * S);
    assert_int_equal(mlt_governor_admit(&governor, 1, MLT_WEIGHT_RESYNC, T0 + 138 * S), 0);
    mlt_governor_answered(&governor, 429, -1, -1,
                          T0 + 140 * S); /* no Retry-After: a whole window */
    assert_true(mlt_governor_admit(&governor, 1, MLT_WEIGHT_RESYNC, T0 + 199 * S) > 0);
    assert_int_equal(mlt_governor_admit(&governor, 1, MLT_WEIGHT_RESYNC, T0 + 200 * S), 0);
}

/* A wall before the exchange: it names a time, or a minute is waited. 5xx is no answer. */
static void test_403_is_obeyed_and_5xx_held_back(void **state)
{
    (void)state;
    mlt_governor_answered(&governor, 403, 5, -1, T0);
    assert_int_equal(mlt_governor_admit(&governor, 1, MLT_WEIGHT_RESYNC, T0 + 1), T0 + 5 * S);
    assert_int_equal(mlt_governor_admit(&governor, 1, MLT_WEIGHT_RESYNC, T0 + 5 * S), 0);
    mlt_governor_answered(&governor, 403, -1, -1, T0 + 10 * S);
    assert_int_equal(mlt_governor_admit(&governor, 1, MLT_WEIGHT_RESYNC, T0 + 11 * S), T0 + 70 * S);
    assert_int_equal(mlt_governor_admit(&governor, 1, MLT_WEIGHT_RESYNC, T0 + 70 * S), 0);
    for (int code = 500; code < 505; code++) {
        const int64_t now = T0 + (code - 400) * S;
        mlt_governor_answered(&governor, code, -1, -1, now);
        const int64_t later = mlt_governor_admit(&governor, 1, MLT_WEIGHT_RESYNC, now);
        assert_true(later > now);
        assert_int_equal(mlt_governor_admit(&governor, 1, MLT_WEIGHT_RESYNC, later), 0);
        mlt_governor_answered(&governor, 200, -1, -1, later);
    }
}

static void test_host_that_does_not_answer_is_asked_less_and_less(void **state)
{
    (void)state;
    int64_t now = T0;
    unsigned calls = 0;
    while (now < T0 + 600 * S) {
        const int64_t later = mlt_governor_admit(&governor, 1, MLT_WEIGHT_RESYNC, now);
        if (later != 0) {
            now = later;
            continue;
        }
        calls++;
        mlt_governor_unanswered(&governor, now);
        mlt_governor_unanswered(&governor, now); /* a second call that failed with it */
        now += 1;
    }
    assert_in_range(calls, 15, 120);
    mlt_governor_answered(&governor, 200, -1, -1, now);
    assert_int_equal(mlt_governor_admit(&governor, 1, MLT_WEIGHT_RESYNC, now), 0);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_weights_are_the_exchanges),
        TEST(test_share_of_the_budget_is_never_exceeded),
        TEST(test_a_fifth_is_left_to_what_is_urgent),
        TEST(test_what_others_used_counts),
        TEST(test_call_heavier_than_the_share_is_made_alone),
        TEST(test_429_and_418_are_obeyed_to_the_second),
        TEST(test_403_is_obeyed_and_5xx_held_back),
        TEST(test_refusal_that_names_no_time_to_wait_is_never_answered_at_once),
        TEST(test_used_weight_is_a_whole_number_or_none),
        TEST(test_host_that_does_not_answer_is_asked_less_and_less),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
