/* Exact 128-bit sums, for totals that must match to the last digit. */
#include "meltica/base/decimal.h"

#include <stdbool.h>

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

static bool scale_up(int128 *value, int64_t steps)
{
    for (; steps > 0 && *value != 0; steps--) {
        if (__builtin_mul_overflow(*value, (int128)10, value)) {
            return false;
        }
    }
    return true;
}

static enum mlt_status add(struct mlt_decimal_sum *sum, int128 mantissa, int64_t exponent)
{
    int128 base = sum->mantissa;
    const int64_t finest = exponent < sum->exponent ? exponent : sum->exponent;
    if (finest < 2 * (int64_t)MLT_DECIMAL_EXPONENT_MIN) {
        return MLT_E_RANGE;
    }
    if (!scale_up(&base, sum->exponent - finest) || !scale_up(&mantissa, exponent - finest) ||
        __builtin_add_overflow(base, mantissa, &base)) {
        return MLT_E_RANGE;
    }
    sum->mantissa = base;
    sum->exponent = (int32_t)finest;
    return MLT_OK;
}

enum mlt_status mlt_decimal_sum_add(struct mlt_decimal_sum *sum, struct mlt_decimal value)
{
    return add(sum, value.mantissa, value.exponent);
}

enum mlt_status mlt_decimal_sum_add_product(struct mlt_decimal_sum *sum, struct mlt_decimal a,
                                            struct mlt_decimal b)
{
    return add(sum, (int128)a.mantissa * b.mantissa, (int64_t)a.exponent + b.exponent);
}

size_t mlt_decimal_sum_format(const struct mlt_decimal_sum *sum, char *out, size_t size)
{
    int128 mantissa = sum->mantissa;
    int32_t exponent = sum->exponent;
    while (exponent < 0 && mantissa % 10 == 0) {
        mantissa /= 10;
        exponent++;
    }
    if (size < 64 || exponent < 2 * MLT_DECIMAL_EXPONENT_MIN || exponent > 0) {
        if (size > 0) {
            out[0] = '\0';
        }
        return 0;
    }
    char reversed[64];
    size_t n = 0;
    uint128 magnitude = mantissa < 0 ? 0 - (uint128)mantissa : (uint128)mantissa;
    const size_t decimals = (size_t)-exponent;
    size_t digits = 0;
    do {
        if (digits == decimals && decimals > 0) {
            reversed[n++] = '.';
        }
        reversed[n++] = (char)('0' + (int)(magnitude % 10));
        magnitude /= 10;
        digits++;
    } while (magnitude > 0 || digits <= decimals);
    size_t len = 0;
    if (mantissa < 0) {
        out[len++] = '-';
    }
    while (n > 0) {
        out[len++] = reversed[--n];
    }
    out[len] = '\0';
    return len;
}
