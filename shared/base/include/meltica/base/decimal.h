/* Exact decimal numbers: mantissa x 10^exponent. Never a double. Any thread (pure). */
#ifndef MELTICA_BASE_DECIMAL_H
#define MELTICA_BASE_DECIMAL_H

#include <stdint.h>

#include "meltica/base/slice.h"
#include "meltica/base/status.h"

#define MLT_DECIMAL_EXPONENT_MIN (-18)
#define MLT_DECIMAL_EXPONENT_MAX 18
/* Bytes that mlt_decimal_format needs at most, with the NUL. */
#define MLT_DECIMAL_TEXT_BYTES_MAX 48

struct mlt_decimal {
    int64_t mantissa;
    int32_t exponent;
};

/* Plain decimal notation "-12.3400": optional minus, digits, optionally a point and digits; at
 * least one digit on each side that exists. No exponent form, no plus, no space. The exponent of
 * the result is minus the number of decimals printed, so "1.00" gives 100 x 10^-2. A mantissa that
 * does not fit in 64 bits is retried without its trailing zero decimals. E_PARSE, E_RANGE. *out
 * unchanged on failure. */
enum mlt_status mlt_decimal_parse(struct mlt_slice text, struct mlt_decimal *out) MLT_MUST_CHECK;

/* As parse, at a fixed exponent: the mantissa of text x 10^-exponent. E_PRECISION when non-zero
 * decimals would be lost, E_RANGE when it does not fit. The hot path of book levels. */
enum mlt_status mlt_decimal_parse_at(struct mlt_slice text, int32_t exponent,
                                     int64_t *mantissa) MLT_MUST_CHECK;

/* Mantissa of value at another exponent; E_PRECISION, E_RANGE. */
enum mlt_status mlt_decimal_rescale(struct mlt_decimal value, int32_t exponent,
                                    int64_t *mantissa) MLT_MUST_CHECK;

/* -1, 0, 1 as a < b, a == b, a > b, exactly (128-bit inside; exponents within MIN..MAX). */
int mlt_decimal_compare(struct mlt_decimal a, struct mlt_decimal b);

/* a x b exactly, trailing zeros of the product dropped until it fits in 64 bits; E_RANGE when it
 * does not. */
enum mlt_status mlt_decimal_multiply(struct mlt_decimal a, struct mlt_decimal b,
                                     struct mlt_decimal *out) MLT_MUST_CHECK;

/* Plain notation with exactly -exponent decimals ("1.00"; exponent > 0 appends zeros). Returns the
 * length without the NUL; size must be at least MLT_DECIMAL_TEXT_BYTES_MAX. */
size_t mlt_decimal_format(struct mlt_decimal value, char *out, size_t size);

/* As format, without trailing zero decimals ("1"). */
size_t mlt_decimal_format_trimmed(struct mlt_decimal value, char *out, size_t size);

/* 128-bit accumulator for exact sums of quantities and notionals. Zero-initialise. exponent is that
 * of the finest value added so far. */
struct mlt_decimal_sum {
    __extension__ __int128 mantissa;
    int32_t exponent;
};

/* E_RANGE when 128 bits are not enough; the sum is then unchanged. */
enum mlt_status mlt_decimal_sum_add(struct mlt_decimal_sum *sum,
                                    struct mlt_decimal value) MLT_MUST_CHECK;
/* Adds a x b exactly. */
enum mlt_status mlt_decimal_sum_add_product(struct mlt_decimal_sum *sum, struct mlt_decimal a,
                                            struct mlt_decimal b) MLT_MUST_CHECK;
/* Trimmed plain notation, as mlt_decimal_format_trimmed; size at least 64. */
size_t mlt_decimal_sum_format(const struct mlt_decimal_sum *sum, char *out, size_t size);

#endif
