#include "unit.h"

#include "meltica/base/status.h"

#include <string.h>

static void test_status_every_value_has_a_distinct_word_and_a_text(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MLT_STATUS_COUNT; i++) {
        const char *word = mlt_status_word((enum mlt_status)i);
        assert_true(strlen(word) > 0);
        assert_true(strlen(mlt_status_text((enum mlt_status)i)) > 0);
        assert_string_not_equal(word, "unknown");
        for (unsigned j = 0; j < i; j++) {
            assert_string_not_equal(word, mlt_status_word((enum mlt_status)j));
        }
    }
}

static void test_status_words_and_classes_are_the_documented_ones(void **state)
{
    (void)state;
    assert_int_equal(MLT_OK, 0);
    assert_string_equal(mlt_status_word(MLT_OK), "ok");
    assert_string_equal(mlt_status_word(MLT_E_RANGE), "out_of_range");
    assert_string_equal(mlt_status_word(MLT_E_RATE), "rate_limited");
    assert_int_equal(mlt_status_class(MLT_OK), MLT_CLASS_OK);
    assert_int_equal(mlt_status_class(MLT_E_TIMEOUT), MLT_CLASS_RETRY);
    assert_int_equal(mlt_status_class(MLT_E_PARSE), MLT_CLASS_PEER);
    assert_int_equal(mlt_status_class(MLT_E_CONFIG), MLT_CLASS_FATAL);
    assert_int_equal(mlt_status_class(MLT_E_INTERNAL), MLT_CLASS_BUG);
}

static void test_status_outside_of_the_list_is_unknown_and_a_bug(void **state)
{
    (void)state;
    const enum mlt_status outside[] = { MLT_STATUS_COUNT, (enum mlt_status)9999 };
    for (size_t i = 0; i < ARRAY_COUNT(outside); i++) {
        assert_string_equal(mlt_status_word(outside[i]), "unknown");
        assert_non_null(strstr(mlt_status_text(outside[i]), "outside"));
        assert_int_equal(mlt_status_class(outside[i]), MLT_CLASS_BUG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_every_value_has_a_distinct_word_and_a_text),
        cmocka_unit_test(test_status_words_and_classes_are_the_documented_ones),
        cmocka_unit_test(test_status_outside_of_the_list_is_unknown_and_a_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
