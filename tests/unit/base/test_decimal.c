#include "unit.h"

#include "meltica/base/decimal.h"
#include "meltica/base/hash.h"

#include <stdio.h>

#define D(m, e) ((struct mlt_decimal){ (m), (e) })
#define ZEROS_40 "0000000000000000000000000000000000000000"

static void test_parse_keeps_the_printed_decimals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t mantissa;
        int32_t exponent;
    } cases[] = {
        { "0", 0, 0 },
        { "-0", 0, 0 },
        { "1.00", 100, -2 },
        { "-12.3400", -123400, -4 },
        { "007.5", 75, -1 },
        { "0.00000001", 1, -8 },
        { "0.000000000000000001", 1, -18 },
        { "0.0000000000000000000", 0, -18 },
        { "0." ZEROS_40, 0, -18 },
        { "9223372036854775807", INT64_MAX, 0 },
        { "-9223372036854775808", INT64_MIN, 0 },
        { "92233720368.54775807", INT64_MAX, -8 },
        { "-92233720368.54775808", INT64_MIN, -8 },
        { "92233720368.5477580700", INT64_MAX, -8 }, /* zeros dropped until it fits */
        { "92233720368.00000000", INT64_C(9223372036800000000), -8 },
        { "92233720369.00000000", INT64_C(922337203690000000), -7 },
        { "1." ZEROS_40, INT64_C(1000000000000000000), -18 },
        { ZEROS_40 "5", 5, 0 },
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct mlt_decimal out = D(99, 99);
        assert_int_equal(mlt_decimal_parse(mlt_slice_of_string(cases[i].text), &out), MLT_OK);
        if (out.mantissa != cases[i].mantissa || out.exponent != cases[i].exponent) {
            fail_msg("%s gave %lld e%d", cases[i].text, (long long)out.mantissa, (int)out.exponent);
        }
    }
}

static const char *const malformed[] = { "",
                                         "-",
                                         ".",
                                         "-.",
                                         "1.",
                                         ".5",
                                         "-.5",
                                         "+1",
                                         " 1",
                                         "1 ",
                                         "1e5",
                                         "1E5",
                                         "1.2.3",
                                         "1..2",
                                         "--1",
                                         "1-",
                                         "0x10",
                                         "1,5",
                                         "NaN",
                                         "inf",
                                         "1.-2",
                                         "1.0\n",
                                         "12345678.1234567x",
                                         "1.1234567/",
                                         "1.1234567:",
                                         "1.\xff\xff\xff\xff\xff\xff\xff\xff",
                                         "99999999999999999999999999999999999999999999x" };

static void test_parse_refuses_what_is_no_plain_number(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(malformed); i++) {
        struct mlt_decimal out = D(7, 7);
        int64_t mantissa = 7;
        const struct mlt_slice text = mlt_slice_of_string(malformed[i]);
        if (mlt_decimal_parse(text, &out) != MLT_E_PARSE ||
            mlt_decimal_parse_at(text, -8, &mantissa) != MLT_E_PARSE) {
            fail_msg("accepted: \"%s\"", malformed[i]);
        }
        assert_int_equal(out.mantissa, 7);
        assert_int_equal(out.exponent, 7);
        assert_int_equal(mantissa, 7);
    }
    struct mlt_decimal out;
    assert_int_equal(mlt_decimal_parse(MLT_SLICE_EMPTY, &out), MLT_E_PARSE);
    assert_int_equal(mlt_decimal_parse(MLT_SLICE_LITERAL("1\0"), &out), MLT_E_PARSE);
}

static void test_parse_refuses_what_does_not_fit(void **state)
{
    (void)state;
    const char *const texts[] = { "9223372036854775808",      "-9223372036854775809",
                                  "92233720368.54775808",     "0.0000000000000000001",
                                  "10000000000000000000.00",  "1" ZEROS_40,
                                  "1" ZEROS_40 ZEROS_40 ".5", "0." ZEROS_40 ZEROS_40 "1" };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct mlt_decimal out = D(7, 7);
        assert_int_equal(mlt_decimal_parse(mlt_slice_of_string(texts[i]), &out), MLT_E_RANGE);
        assert_int_equal(out.mantissa, 7);
    }
}

static void test_parse_at_gives_the_mantissa_or_says_why_not(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int32_t exponent;
        enum mlt_status status;
        int64_t mantissa;
    } cases[] = {
        { "67123.45000000", -8, MLT_OK, INT64_C(6712345000000) },
        { "67123.45000000", -2, MLT_OK, 6712345 },
        { "67123.45000000", -1, MLT_E_PRECISION, 0 },
        { "67123.45000001", -7, MLT_E_PRECISION, 0 },
        { "0.00000001", -8, MLT_OK, 1 },
        { "0.00000000", -8, MLT_OK, 0 },
        { "0.00000000", 18, MLT_OK, 0 },
        { "1", -8, MLT_OK, 100000000 },
        { "1.5", -8, MLT_OK, 150000000 },
        { "-1.50000000", -2, MLT_OK, -150 },
        { "-0.00000001", -8, MLT_OK, -1 },
        { "1000", 3, MLT_OK, 1 },
        { "1001", 3, MLT_E_PRECISION, 0 },
        { "1000.0", 3, MLT_OK, 1 },
        { "1000000000000000000", 18, MLT_OK, 1 },
        { "1", -18, MLT_OK, INT64_C(1000000000000000000) },
        { "10", -18, MLT_E_RANGE, 0 },
        { "92233720368.54775807", -8, MLT_OK, INT64_MAX },
        { "-92233720368.54775808", -8, MLT_OK, INT64_MIN },
        { "92233720368.54775808", -8, MLT_E_RANGE, 0 },
        { "-92233720368.54775809", -8, MLT_E_RANGE, 0 },
        { "92233720368.00000000", -8, MLT_OK, INT64_C(9223372036800000000) },
        { "92233720369.00000000", -8, MLT_E_RANGE, 0 },
        { "92233720369.00000000", -7, MLT_OK, INT64_C(922337203690000000) },
        { "92233720368", -8, MLT_OK, INT64_C(9223372036800000000) },
        { "92233720369", -9, MLT_E_RANGE, 0 },
        { "1." ZEROS_40, -8, MLT_OK, 100000000 },
        { "0.123456789012345678", -18, MLT_OK, INT64_C(123456789012345678) },
        { "0.12345678901234567", -17, MLT_OK, INT64_C(12345678901234567) },
        { "0.12345678901234567", 18, MLT_E_PRECISION, 0 },
        { "0", -19, MLT_E_INVALID, 0 },
        { "0", 19, MLT_E_INVALID, 0 },
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int64_t mantissa = 0;
        const enum mlt_status status =
            mlt_decimal_parse_at(mlt_slice_of_string(cases[i].text), cases[i].exponent, &mantissa);
        if (status != cases[i].status || mantissa != cases[i].mantissa) {
            fail_msg("%s at %d gave %s %lld", cases[i].text, (int)cases[i].exponent,
                     mlt_status_word(status), (long long)mantissa);
        }
    }
}

/* Two ways to the same number: format then parse_at, and rescale. */
static void test_parse_at_agrees_with_format_and_rescale(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 200000; i++) {
        const int64_t mantissa = (int64_t)mlt_mix64(i) >> (mlt_mix64(~i) % 63);
        const int32_t printed = -(int32_t)(mlt_mix64(i ^ 0x5555) % 19);
        const int32_t wanted = -(int32_t)(mlt_mix64(i ^ 0xaaaa) % 19);
        char text[MLT_DECIMAL_TEXT_BYTES_MAX];
        const size_t len = mlt_decimal_format(D(mantissa, printed), text, sizeof text);
        assert_int_equal(len, strlen(text));
        struct mlt_decimal parsed = D(0, 0);
        assert_int_equal(mlt_decimal_parse(mlt_slice_of(text, len), &parsed), MLT_OK);
        assert_int_equal(parsed.mantissa, mantissa);
        assert_int_equal(parsed.exponent, printed);
        int64_t a = 1, b = 1;
        const enum mlt_status left = mlt_decimal_parse_at(mlt_slice_of(text, len), wanted, &a);
        const enum mlt_status right = mlt_decimal_rescale(D(mantissa, printed), wanted, &b);
        if (left != right || a != b) {
            fail_msg("%s at %d: %s %lld, %s %lld", text, (int)wanted, mlt_status_word(left),
                     (long long)a, mlt_status_word(right), (long long)b);
        }
    }
}

static void test_rescale_at_the_limits(void **state)
{
    (void)state;
    int64_t m = 7;
    assert_int_equal(mlt_decimal_rescale(D(INT64_MIN, -8), -8, &m), MLT_OK);
    assert_true(m == INT64_MIN);
    assert_int_equal(mlt_decimal_rescale(D(0, 18), -18, &m), MLT_OK);
    assert_int_equal(m, 0);
    m = 7;
    assert_int_equal(mlt_decimal_rescale(D(INT64_MAX, 0), -1, &m), MLT_E_RANGE);
    assert_int_equal(mlt_decimal_rescale(D(1, 1), -18, &m), MLT_E_RANGE);
    assert_int_equal(mlt_decimal_rescale(D(INT64_MAX, -8), -7, &m), MLT_E_PRECISION);
    assert_int_equal(mlt_decimal_rescale(D(INT64_C(1000000000000000000), -18), 1, &m),
                     MLT_E_PRECISION);
    assert_int_equal(m, 7);
    assert_int_equal(mlt_decimal_rescale(D(INT64_C(-1000000000000000000), -18), 0, &m), MLT_OK);
    assert_int_equal(m, -1);
}

static void test_compare_is_exact_and_antisymmetric(void **state)
{
    (void)state;
    static const struct {
        struct mlt_decimal a, b;
        int order;
    } cases[] = {
        { { 100, -2 }, { 1, 0 }, 0 },
        { { 0, -18 }, { 0, 18 }, 0 },
        { { 101, -2 }, { 1, 0 }, 1 },
        { { -1, 18 }, { 1, -18 }, -1 },
        { { 0, 0 }, { 1, -18 }, -1 },
        { { 0, 0 }, { -1, -18 }, 1 },
        { { 1, 18 }, { INT64_MAX, -18 }, 1 },
        { { -1, 18 }, { INT64_MIN, -18 }, -1 },
        { { INT64_MIN, 0 }, { INT64_MIN, 0 }, 0 },
        { { INT64_MAX, 18 }, { INT64_MAX, 17 }, 1 },
        { { 1, 1 }, { INT64_C(1000000000000000001), -17 }, -1 },
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(mlt_decimal_compare(cases[i].a, cases[i].b), cases[i].order);
        assert_int_equal(mlt_decimal_compare(cases[i].b, cases[i].a), -cases[i].order);
    }
}

static void test_multiply_is_exact_or_refused(void **state)
{
    (void)state;
    struct mlt_decimal p = D(7, 7);
    assert_int_equal(mlt_decimal_multiply(D(6712345, -2), D(150000000, -8), &p), MLT_OK);
    assert_int_equal(mlt_decimal_compare(p, D(1006851750, -4)), 0);
    /* The product needs more than 64 bits until its zeros are dropped. */
    assert_int_equal(
        mlt_decimal_multiply(D(INT64_C(6712345000000), -8), D(INT64_C(100000000000), -8), &p),
        MLT_OK);
    assert_int_equal(mlt_decimal_compare(p, D(6712345000, -2)), 0);
    assert_int_equal(mlt_decimal_multiply(D(0, -18), D(5, -18), &p), MLT_OK);
    assert_int_equal(p.mantissa, 0);
    assert_int_equal(mlt_decimal_multiply(D(0, 18), D(5, 18), &p), MLT_OK);
    assert_int_equal(p.mantissa, 0);
    assert_int_equal(mlt_decimal_multiply(D(-1, 10), D(1, 18), &p), MLT_OK);
    assert_int_equal(p.mantissa, INT64_C(-10000000000));
    assert_int_equal(p.exponent, 18);
    p = D(7, 7);
    assert_int_equal(mlt_decimal_multiply(D(INT64_MAX, 0), D(INT64_MAX, 0), &p), MLT_E_RANGE);
    assert_int_equal(mlt_decimal_multiply(D(1, -18), D(1, -18), &p), MLT_E_RANGE);
    assert_int_equal(mlt_decimal_multiply(D(INT64_MAX, 18), D(1, 18), &p), MLT_E_RANGE);
    assert_int_equal(p.mantissa, 7);
    assert_int_equal(mlt_decimal_multiply(D(INT64_MIN, 0), D(1, 0), &p), MLT_OK);
    assert_true(p.mantissa == INT64_MIN);
}

static void test_format_prints_the_decimals_of_the_exponent(void **state)
{
    (void)state;
    static const struct {
        struct mlt_decimal value;
        const char *full;
        const char *trimmed;
    } cases[] = {
        { { 100, -2 }, "1.00", "1" },
        { { 0, -8 }, "0.00000000", "0" },
        { { 0, 5 }, "0", "0" },
        { { 5, 2 }, "500", "500" },
        { { -1, -2 }, "-0.01", "-0.01" },
        { { -120, -1 }, "-12.0", "-12" },
        { { INT64_MAX, -8 }, "92233720368.54775807", "92233720368.54775807" },
        { { INT64_MIN, -18 }, "-9.223372036854775808", "-9.223372036854775808" },
        { { INT64_MIN, 18 },
          "-9223372036854775808000000000000000000",
          "-9223372036854775808000000000000000000" },
    };
    char text[MLT_DECIMAL_TEXT_BYTES_MAX];
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(mlt_decimal_format(cases[i].value, text, sizeof text),
                         strlen(cases[i].full));
        assert_string_equal(text, cases[i].full);
        assert_int_equal(mlt_decimal_format_trimmed(cases[i].value, text, sizeof text),
                         strlen(cases[i].trimmed));
        assert_string_equal(text, cases[i].trimmed);
    }
    assert_int_equal(mlt_decimal_format(D(1, 0), text, 8), 0);
    assert_string_equal(text, "");
    assert_int_equal(mlt_decimal_format(D(1, 19), text, sizeof text), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_keeps_the_printed_decimals),
        cmocka_unit_test(test_parse_refuses_what_is_no_plain_number),
        cmocka_unit_test(test_parse_refuses_what_does_not_fit),
        cmocka_unit_test(test_parse_at_gives_the_mantissa_or_says_why_not),
        cmocka_unit_test(test_parse_at_agrees_with_format_and_rescale),
        cmocka_unit_test(test_rescale_at_the_limits),
        cmocka_unit_test(test_compare_is_exact_and_antisymmetric),
        cmocka_unit_test(test_multiply_is_exact_or_refused),
        cmocka_unit_test(test_format_prints_the_decimals_of_the_exponent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
