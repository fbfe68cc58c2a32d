/* Which partitions have an Adapter that would answer. */
#include "mlt_test.h"

#include <stdio.h>

#include "adapters.h"

#define S MLT_NS_PER_S
#define T0 (1000 * S)

static struct mlt_adapters adapters;

static int set_up(void **state)
{
    (void)state;
    memset(&adapters, 0, sizeof adapters);
    return 0;
}

static void hear(const char *instance, uint64_t partitions, int64_t now)
{
    struct mlt_adapter said = { .boot = 1, .heard_ns = now, .partitions = partitions };
    (void)snprintf(said.instance, sizeof said.instance, "%s", instance);
    (void)mlt_adapters_heard(&adapters, &said);
}

static void test_partitions_of_one_that_is_not_heard_are_away(void **state)
{
    (void)state;
    hear("a", 0x5, T0);
    hear("b", 0xa, T0);
    assert_int_equal(mlt_adapters_away(&adapters, 4, false, T0), 0);
    hear("a", 0x5, T0 + MLT_ADAPTER_AWAY_NS - 1);
    assert_int_equal(mlt_adapters_away(&adapters, 4, false, T0 + MLT_ADAPTER_AWAY_NS - 1), 0);
    assert_int_equal(mlt_adapters_away(&adapters, 4, false, T0 + MLT_ADAPTER_AWAY_NS), 0xa);
    assert_int_equal(mlt_adapters_away(&adapters, 64, false, T0 + MLT_ADAPTER_AWAY_NS),
                     ~UINT64_C(5));
    hear("c", 0xa, T0 + MLT_ADAPTER_AWAY_NS); /* another one in its place */
    assert_int_equal(mlt_adapters_away(&adapters, 4, false, T0 + MLT_ADAPTER_AWAY_NS), 0);
}

static void test_one_that_has_all_says_none(void **state)
{
    (void)state;
    hear("a", 0, T0);
    assert_int_equal(mlt_adapters_away(&adapters, 64, true, T0), 0);
}

static void test_without_any_adapter_nothing_is_known_to_be_away(void **state)
{
    (void)state;
    assert_int_equal(mlt_adapters_away(&adapters, 4, true, T0), 0);
    hear("a", 0x5, T0);
    mlt_adapters_silent(&adapters, 0, T0 + 1);
    assert_int_equal(mlt_adapters_away(&adapters, 4, true, T0 + 1), 0); /* it is the only one */
    assert_int_equal(mlt_adapters_away(&adapters, 4, true, T0 + MLT_ADAPTER_AWAY_NS), 0);
}

static void test_one_that_does_not_answer_is_away_until_it_is_heard(void **state)
{
    (void)state;
    hear("a", 0x5, T0);
    hear("b", 0xa, T0);
    mlt_adapters_silent(&adapters, 1, T0 - 1); /* it was heard since */
    assert_int_equal(mlt_adapters_away(&adapters, 4, true, T0), 0);
    mlt_adapters_silent(&adapters, 1, T0 + 1);
    assert_int_equal(mlt_adapters_away(&adapters, 4, true, T0 + 1), 0xa); /* with all it has */
    assert_int_equal(mlt_adapters_away(&adapters, 4, false, T0 + 1), 0);
    hear("b", 0xa, T0 + 2);
    assert_int_equal(mlt_adapters_away(&adapters, 4, true, T0 + 2), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_partitions_of_one_that_is_not_heard_are_away, set_up),
        cmocka_unit_test_setup(test_one_that_has_all_says_none, set_up),
        cmocka_unit_test_setup(test_without_any_adapter_nothing_is_known_to_be_away, set_up),
        cmocka_unit_test_setup(test_one_that_does_not_answer_is_away_until_it_is_heard, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
