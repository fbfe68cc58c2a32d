#include "unit.h"

#include "meltica/base/decimal.h"

#define D(m, e) ((struct mlt_decimal){ (m), (e) })

static void assert_sum(const struct mlt_decimal_sum *sum, const char *expected)
{
    char text[64];
    assert_int_equal(mlt_decimal_sum_format(sum, text, sizeof text), strlen(expected));
    assert_string_equal(text, expected);
}

static void test_sum_mixes_exponents_exactly(void **state)
{
    (void)state;
    struct mlt_decimal_sum sum = { 0 };
    assert_sum(&sum, "0");
    assert_int_equal(mlt_decimal_sum_add(&sum, D(5, 2)), MLT_OK);
    assert_sum(&sum, "500");
    assert_int_equal(mlt_decimal_sum_add(&sum, D(1, -18)), MLT_OK);
    assert_sum(&sum, "500.000000000000000001");
    assert_int_equal(mlt_decimal_sum_add(&sum, D(-500, 0)), MLT_OK);
    assert_sum(&sum, "0.000000000000000001");
    assert_int_equal(mlt_decimal_sum_add(&sum, D(-2, -18)), MLT_OK);
    assert_sum(&sum, "-0.000000000000000001");
    assert_int_equal(sum.exponent, -18);
}

static void test_sum_goes_beyond_64_bits(void **state)
{
    (void)state;
    struct mlt_decimal_sum sum = { 0 };
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(mlt_decimal_sum_add(&sum, D(INT64_MAX, -8)), MLT_OK);
    }
    assert_sum(&sum, "92233720368547.75807");
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(mlt_decimal_sum_add(&sum, D(INT64_MIN, -8)), MLT_OK);
    }
    assert_sum(&sum, "-92233720368547.75809");
}

static void test_sum_of_products_is_exact(void **state)
{
    (void)state;
    struct mlt_decimal_sum sum = { 0 };
    assert_int_equal(mlt_decimal_sum_add_product(&sum, D(6712345, -2), D(12345678, -8)), MLT_OK);
    assert_sum(&sum, "8286.844999491");
    assert_int_equal(mlt_decimal_sum_add_product(&sum, D(1, -15), D(1, -15)), MLT_OK);
    assert_sum(&sum, "8286.844999491000000000000000000001");
}

static void test_sum_that_overflows_is_unchanged(void **state)
{
    (void)state;
    struct mlt_decimal_sum sum = { 0 };
    assert_int_equal(mlt_decimal_sum_add_product(&sum, D(INT64_MAX, 0), D(INT64_MAX, 0)), MLT_OK);
    assert_sum(&sum, "85070591730234615847396907784232501249");
    assert_int_equal(mlt_decimal_sum_add(&sum, D(1, -18)), MLT_E_RANGE);
    assert_int_equal(mlt_decimal_sum_add_product(&sum, D(INT64_MAX, 0), D(INT64_MAX, 0)), MLT_OK);
    assert_int_equal(mlt_decimal_sum_add_product(&sum, D(INT64_MAX, 0), D(INT64_MAX, 0)),
                     MLT_E_RANGE);
    assert_sum(&sum, "170141183460469231694793815568465002498");
    assert_int_equal(mlt_decimal_sum_add(&sum, D(1, -37)), MLT_E_RANGE);
    char small[63] = "x";
    assert_int_equal(mlt_decimal_sum_format(&sum, small, sizeof small), 0);
    assert_string_equal(small, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sum_mixes_exponents_exactly),
        cmocka_unit_test(test_sum_goes_beyond_64_bits),
        cmocka_unit_test(test_sum_of_products_is_exact),
        cmocka_unit_test(test_sum_that_overflows_is_unchanged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
