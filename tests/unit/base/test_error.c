#include "unit.h"

#include "meltica/base/error.h"

#include <string.h>

static void test_error_set_fills_all_and_returns_the_status(void **state)
{
    (void)state;
    struct mlt_error err = { MLT_E_IO, "curl", 7, "old" };
    assert_int_equal(mlt_error_set(&err, MLT_E_CONFIG, "key %s is %d", "a.b", 4), MLT_E_CONFIG);
    assert_int_equal(err.status, MLT_E_CONFIG);
    assert_string_equal(err.domain, "");
    assert_int_equal(err.code, 0);
    assert_string_equal(err.text, "key a.b is 4");
}

static void test_error_foreign_keeps_domain_and_code_through_prepend(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_error_set_foreign(&err, MLT_E_CONNECT, "errno", 111, "refused"),
                     MLT_E_CONNECT);
    assert_int_equal(mlt_error_prepend(&err, "connect %s", "host"), MLT_E_CONNECT);
    assert_int_equal(mlt_error_prepend(&err, "start"), MLT_E_CONNECT);
    assert_string_equal(err.text, "start: connect host: refused");
    assert_string_equal(err.domain, "errno");
    assert_int_equal(err.code, 111);
}

static void test_error_without_a_place_returns_the_status(void **state)
{
    (void)state;
    assert_int_equal(mlt_error_set(NULL, MLT_E_AUTH, "x"), MLT_E_AUTH);
    assert_int_equal(mlt_error_set_foreign(NULL, MLT_E_IO, "nats", 1, "x"), MLT_E_IO);
    assert_int_not_equal(mlt_error_prepend(NULL, "x"), MLT_OK);
}

static void test_error_long_texts_are_cut_and_the_outermost_context_stays(void **state)
{
    (void)state;
    char big[2 * MLT_ERROR_TEXT_BYTES_MAX];
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = '\0';
    struct mlt_error err = MLT_ERROR_INIT;
    (void)mlt_error_set(&err, MLT_E_IO, "%s", big);
    assert_int_equal(strlen(err.text), MLT_ERROR_TEXT_BYTES_MAX - 1);
    (void)mlt_error_prepend(&err, "outer");
    assert_int_equal(strlen(err.text), MLT_ERROR_TEXT_BYTES_MAX - 1);
    assert_memory_equal(err.text, "outer: xxx", 10);
    (void)mlt_error_prepend(&err, "%s", big);
    assert_int_equal(strlen(err.text), MLT_ERROR_TEXT_BYTES_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_set_fills_all_and_returns_the_status),
        cmocka_unit_test(test_error_foreign_keeps_domain_and_code_through_prepend),
        cmocka_unit_test(test_error_without_a_place_returns_the_status),
        cmocka_unit_test(test_error_long_texts_are_cut_and_the_outermost_context_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
