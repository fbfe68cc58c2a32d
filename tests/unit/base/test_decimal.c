#include "mlt_test.h"

#include "meltica/base/decimal.h"
#include "meltica/base/hash.h"

static enum mlt_status parse(const char *text, struct mlt_decimal *out)
{
    return mlt_decimal_parse(mlt_slice_of_string(text), out);
}

static enum mlt_status parse_at(const char *text, int32_t exponent, int64_t *out)
{
    return mlt_decimal_parse_at(mlt_slice_of_string(text), exponent, out);
}

static void test_parse_keeps_every_printed_digit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t mantissa;
        int32_t exponent;
    } cases[] = {
        { "0", 0, 0 },
        { "1.00", 100, -2 },
        { "-12.3400", -123400, -4 },
        { "61837.63000000", 6183763000000, -8 },
        { "92233720368.54775807", INT64_MAX, -8 },
        { "-9223372036854775808", INT64_MIN, 0 },
        { "0.000000000000000001", 1, -18 },
        /* Does not fit with its zeros, fits without them. */
        { "9223372036854775807.000", INT64_MAX, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mlt_decimal d = { -1, -1 };
        assert_int_equal(parse(cases[i].text, &d), MLT_OK);
        assert_true(d.mantissa == cases[i].mantissa);
        assert_int_equal(d.exponent, cases[i].exponent);
    }
}

static void test_parse_refuses_what_is_not_a_plain_decimal(void **state)
{
    (void)state;
    static const char *const bad[] = { "",   "-",  ".",     "1.",   ".5",  "+1",  "1e5",
                                       " 1", "1 ", "1.2.3", "0x10", "NaN", "--1", "1,5" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct mlt_decimal d = { 7, 7 };
        int64_t mantissa = 7;
        assert_int_equal(parse(bad[i], &d), MLT_E_PARSE);
        assert_int_equal(parse_at(bad[i], -8, &mantissa), MLT_E_PARSE);
        assert_true(d.mantissa == 7 && mantissa == 7);
    }
    struct mlt_decimal d;
    assert_int_equal(parse("9223372036854775808", &d), MLT_E_RANGE);
    assert_int_equal(parse("92233720368.54775808", &d), MLT_E_RANGE);
    assert_int_equal(parse("99999999999999999999999999999999999999999", &d), MLT_E_RANGE);
}

static void test_parse_at_fixes_the_exponent_or_says_why_not(void **state)
{
    (void)state;
    int64_t m = 0;
    assert_int_equal(parse_at("61837.63000000", -8, &m), MLT_OK);
    assert_true(m == 6183763000000);
    assert_int_equal(parse_at("61837.63", -8, &m), MLT_OK);
    assert_true(m == 6183763000000);
    assert_int_equal(parse_at("61837.63000000", -2, &m), MLT_OK);
    assert_true(m == 6183763);
    assert_int_equal(parse_at("92233720368.54775807", -8, &m), MLT_OK);
    assert_true(m == INT64_MAX);
    assert_int_equal(parse_at("61837.635", -2, &m), MLT_E_PRECISION);
    assert_int_equal(parse_at("92233720368.54775808", -8, &m), MLT_E_RANGE);
    assert_int_equal(parse_at("92233720369", -8, &m), MLT_E_RANGE);
    assert_int_equal(parse_at("-1.5", -1, &m), MLT_OK);
    assert_true(m == -15);
}

/* The fast path and the general parser must be one function to the caller. */
static void test_parse_at_agrees_with_parse_and_rescale(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        const uint64_t r = mlt_mix64(i);
        char text[MLT_DECIMAL_TEXT_BYTES_MAX];
        const struct mlt_decimal value = { (int64_t)(r >> (r % 60)),
                                           -(int32_t)(mlt_mix64(r) % 10) };
        assert_true(mlt_decimal_format(value, text, sizeof text) > 0);
        const int32_t exponent = -(int32_t)(mlt_mix64(r + 1) % 10);
        struct mlt_decimal parsed;
        int64_t fast = 0, slow = 0;
        assert_int_equal(parse(text, &parsed), MLT_OK);
        assert_int_equal(mlt_decimal_compare(parsed, value), 0);
        const enum mlt_status a = parse_at(text, exponent, &fast);
        const enum mlt_status b = mlt_decimal_rescale(parsed, exponent, &slow);
        assert_int_equal(a, b);
        if (a == MLT_OK) {
            assert_true(fast == slow);
        }
    }
}

static void test_format_is_exact_and_trimmed_has_no_trailing_zero(void **state)
{
    (void)state;
    char text[MLT_DECIMAL_TEXT_BYTES_MAX];
    assert_int_equal(mlt_decimal_format((struct mlt_decimal){ 100, -2 }, text, sizeof text), 4);
    assert_string_equal(text, "1.00");
    (void)mlt_decimal_format_trimmed((struct mlt_decimal){ 100, -2 }, text, sizeof text);
    assert_string_equal(text, "1");
    (void)mlt_decimal_format((struct mlt_decimal){ -5, -3 }, text, sizeof text);
    assert_string_equal(text, "-0.005");
    (void)mlt_decimal_format((struct mlt_decimal){ INT64_MIN, -8 }, text, sizeof text);
    assert_string_equal(text, "-92233720368.54775808");
    (void)mlt_decimal_format((struct mlt_decimal){ 12, 3 }, text, sizeof text);
    assert_string_equal(text, "12000");
}

static void test_multiply_and_sum_do_not_lose_a_digit(void **state)
{
    (void)state;
    struct mlt_decimal product;
    const struct mlt_decimal price = { 6160201000000, -8 }, quantity = { 167177000, -8 };
    assert_int_equal(mlt_decimal_multiply(price, quantity, &product), MLT_OK);
    char text[64];
    (void)mlt_decimal_format_trimmed(product, text, sizeof text);
    assert_string_equal(text, "102984.3922577");
    const struct mlt_decimal big = { INT64_MAX, 0 };
    assert_int_equal(mlt_decimal_multiply(big, big, &product), MLT_E_RANGE);

    struct mlt_decimal_sum sum = { 0, 0 };
    for (int i = 0; i < 10; i++) {
        assert_int_equal(mlt_decimal_sum_add(&sum, (struct mlt_decimal){ 1, -1 }), MLT_OK);
    }
    (void)mlt_decimal_sum_format(&sum, text, sizeof text);
    assert_string_equal(text, "1");
    /* Largest price times largest quantity needs more than 64 bits. */
    assert_int_equal(mlt_decimal_sum_add_product(&sum, (struct mlt_decimal){ INT64_MAX, -8 },
                                                 (struct mlt_decimal){ INT64_MAX, -8 }),
                     MLT_OK);
    (void)mlt_decimal_sum_format(&sum, text, sizeof text);
    assert_string_equal(text, "8507059173023461584740.6907784232501249");
}

static void test_compare_is_exact_across_exponents(void **state)
{
    (void)state;
    assert_int_equal(
        mlt_decimal_compare((struct mlt_decimal){ 1, 0 }, (struct mlt_decimal){ 100, -2 }), 0);
    assert_int_equal(mlt_decimal_compare((struct mlt_decimal){ INT64_MAX, 0 },
                                         (struct mlt_decimal){ INT64_MAX, -1 }),
                     1);
    assert_int_equal(
        mlt_decimal_compare((struct mlt_decimal){ -1, 18 }, (struct mlt_decimal){ -1, -18 }), -1);
    assert_int_equal(
        mlt_decimal_compare((struct mlt_decimal){ -1, -18 }, (struct mlt_decimal){ 0, 5 }), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_keeps_every_printed_digit),
        cmocka_unit_test(test_parse_refuses_what_is_not_a_plain_decimal),
        cmocka_unit_test(test_parse_at_fixes_the_exponent_or_says_why_not),
        cmocka_unit_test(test_parse_at_agrees_with_parse_and_rescale),
        cmocka_unit_test(test_format_is_exact_and_trimmed_has_no_trailing_zero),
        cmocka_unit_test(test_multiply_and_sum_do_not_lose_a_digit),
        cmocka_unit_test(test_compare_is_exact_across_exponents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
