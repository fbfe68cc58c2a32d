#include "meltica/base/decimal.h"

#include <stdbool.h>

__extension__ typedef __int128 int128;
__extension__ typedef unsigned __int128 uint128;

#define EXPONENT_STEPS ((size_t)-MLT_DECIMAL_EXPONENT_MIN)
#define FAST_DIGITS_MAX 18 /* decimal digits that fit in 64 bits whatever they are */
#define DIGITS_MAX 38      /* of a 128-bit mantissa that is still divided down to 64 bits */

static const int64_t powers[19] = {
    1,
    10,
    100,
    1000,
    10000,
    100000,
    1000000,
    10000000,
    100000000,
    1000000000,
    10000000000,
    100000000000,
    1000000000000,
    10000000000000,
    100000000000000,
    1000000000000000,
    10000000000000000,
    100000000000000000,
    1000000000000000000,
};

/* Text taken apart: sign, digits with the point left out, and how many of them come after it. Zeros
 * at the end of the decimals are counted apart, so that no number of them can make the digits
 * overflow. */
struct scanned {
    bool negative;
    uint128 digits;
    size_t decimals;
    size_t zeros;
};

/* Appends zeros zeros and one digit; false when that is more than DIGITS_MAX significant ones. */
static bool push_digit(struct scanned *s, size_t *significant, size_t zeros, unsigned digit)
{
    if (s->digits == 0) {
        s->digits = digit;
        *significant = digit != 0 ? 1 : 0;
        return true;
    }
    if (zeros >= DIGITS_MAX || *significant + zeros + 1 > DIGITS_MAX) {
        return false;
    }
    for (size_t i = 0; i < zeros; i++) {
        s->digits *= 10;
    }
    s->digits = s->digits * 10 + digit;
    *significant += zeros + 1;
    return true;
}

/* E_PARSE goes before E_RANGE: the whole text is read even when its digits no longer fit. */
static enum mlt_status scan(struct mlt_slice text, struct scanned *out)
{
    size_t i = 0;
    *out = (struct scanned){ 0 };
    if (i < text.len && text.data[i] == '-') {
        out->negative = true;
        i++;
    }
    size_t whole = 0, significant = 0;
    bool point = false, fits = true;
    for (; i < text.len; i++) {
        const uint8_t c = text.data[i];
        if (c == '.' && !point) {
            point = true;
            continue;
        }
        if (c < '0' || c > '9') {
            return MLT_E_PARSE;
        }
        if (!point) {
            whole++;
            fits = fits && push_digit(out, &significant, 0, (unsigned)(c - '0'));
        } else if (c == '0') {
            out->zeros++;
        } else {
            fits = fits && push_digit(out, &significant, out->zeros, (unsigned)(c - '0'));
            out->decimals += out->zeros + 1;
            out->zeros = 0;
        }
    }
    if (whole == 0 || (point && out->decimals + out->zeros == 0)) {
        return MLT_E_PARSE;
    }
    return fits ? MLT_OK : MLT_E_RANGE;
}

static enum mlt_status to_mantissa(bool negative, uint128 digits, int64_t *mantissa)
{
    const uint128 limit = (uint128)INT64_MAX + (negative ? 1u : 0u);
    if (digits > limit) {
        return MLT_E_RANGE;
    }
    if (negative) {
        *mantissa = digits == limit ? INT64_MIN : -(int64_t)digits;
    } else {
        *mantissa = (int64_t)digits;
    }
    return MLT_OK;
}

enum mlt_status mlt_decimal_parse(struct mlt_slice text, struct mlt_decimal *out)
{
    struct scanned s;
    enum mlt_status status = scan(text, &s);
    if (status != MLT_OK) {
        return status;
    }
    if (s.decimals > EXPONENT_STEPS) {
        return MLT_E_RANGE;
    }
    int64_t mantissa = 0;
    status = to_mantissa(s.negative, s.digits, &mantissa);
    if (status != MLT_OK) {
        return status;
    }
    /* Printed zeros belong to the exponent as far as there is room for them. */
    for (; s.zeros > 0 && s.decimals < EXPONENT_STEPS; s.zeros--) {
        int64_t longer;
        if (__builtin_mul_overflow(mantissa, (int64_t)10, &longer)) {
            break;
        }
        mantissa = longer;
        s.decimals++;
    }
    out->mantissa = mantissa;
    out->exponent = -(int32_t)s.decimals;
    return MLT_OK;
}

static enum mlt_status parse_at_slow(struct mlt_slice text, int32_t exponent, int64_t *mantissa)
{
    struct scanned s;
    enum mlt_status status = scan(text, &s);
    if (status != MLT_OK) {
        return status;
    }
    int64_t shift = -(int64_t)exponent - (int64_t)s.decimals; /* decimals to append, or to drop */
    for (; shift > 0 && s.digits != 0; shift--) {
        if (s.digits > (uint128)INT64_MAX) {
            return MLT_E_RANGE;
        }
        s.digits *= 10;
    }
    for (; shift < 0 && s.digits != 0; shift++) {
        if (s.digits % 10 != 0) {
            return MLT_E_PRECISION;
        }
        s.digits /= 10;
    }
    return to_mantissa(s.negative, s.digits, mantissa);
}

/* Value of eight digits at p, all in one word: the first digit is its lowest byte. False when one
 * of them is no digit. */
static bool read_eight_digits(const uint8_t *p, uint64_t *value)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    const uint64_t high = UINT64_C(0xf0f0f0f0f0f0f0f0);
    const uint64_t over = ((word + UINT64_C(0x0606060606060606)) & high) >> 4;
    if (((word & high) | over) != UINT64_C(0x3333333333333333)) {
        return false;
    }
    /* Neighbours are joined to pairs, pairs to fours, fours to the eight. */
    word = ((word & UINT64_C(0x0f0f0f0f0f0f0f0f)) * (10 * 256 + 1)) >> 8;
    word = ((word & UINT64_C(0x00ff00ff00ff00ff)) * (100 * 65536 + 1)) >> 16;
    *value = ((word & UINT64_C(0x0000ffff0000ffff)) * (UINT64_C(10000) * 4294967296 + 1)) >> 32;
    return true;
}

/* Plain digits with at most one point, FAST_DIGITS_MAX digits at most, no sign. False: not of that
 * kind, which says nothing about whether it is a number. */
static bool read_fast(struct mlt_slice text, uint64_t *value, size_t *decimals)
{
    const uint8_t *p = text.data;
    const uint8_t *const end = p + text.len;
    if (text.len > FAST_DIGITS_MAX + 1) {
        return false;
    }
    uint64_t v = 0;
    while (p < end && (uint8_t)(*p - '0') <= 9) {
        v = v * 10 + (uint8_t)(*p++ - '0');
    }
    *decimals = 0;
    if (p == end) {
        *value = v;
        return text.len > 0 && text.len <= FAST_DIGITS_MAX;
    }
    if (*p != '.' || p == text.data) {
        return false;
    }
    p++;
    if (p == end) {
        return false;
    }
    *decimals = (size_t)(end - p);
    uint64_t eight;
    if (end - p >= 8 && read_eight_digits(p, &eight)) {
        v = v * 100000000 + eight;
        p += 8;
    }
    while (p < end && (uint8_t)(*p - '0') <= 9) {
        v = v * 10 + (uint8_t)(*p++ - '0');
    }
    *value = v;
    return p == end;
}

enum mlt_status mlt_decimal_parse_at(struct mlt_slice text, int32_t exponent, int64_t *mantissa)
{
    if (exponent < MLT_DECIMAL_EXPONENT_MIN || exponent > MLT_DECIMAL_EXPONENT_MAX) {
        return MLT_E_INVALID;
    }
    uint64_t value;
    size_t decimals;
    if (!read_fast(text, &value, &decimals)) {
        return parse_at_slow(text, exponent, mantissa);
    }
    const int32_t shift = -exponent - (int32_t)decimals; /* zeros to append, or decimals to drop */
    if (shift < 0) {
        /* The exchange prints 8 decimals whatever the tick is: the common case. */
        if (shift < -FAST_DIGITS_MAX) {
            return parse_at_slow(text, exponent, mantissa);
        }
        const uint64_t divisor = (uint64_t)powers[-shift];
        if (value % divisor != 0) {
            return MLT_E_PRECISION;
        }
        value /= divisor;
    } else if (shift > 0) {
        int64_t scaled;
        if (__builtin_mul_overflow((int64_t)value, powers[shift], &scaled)) {
            return MLT_E_RANGE;
        }
        value = (uint64_t)scaled;
    }
    *mantissa = (int64_t)value;
    return MLT_OK;
}

enum mlt_status mlt_decimal_rescale(struct mlt_decimal value, int32_t exponent, int64_t *mantissa)
{
    const int64_t shift = (int64_t)value.exponent - exponent;
    if (value.mantissa == 0 || shift == 0) {
        *mantissa = value.mantissa;
        return MLT_OK;
    }
    if (shift > 0) {
        int64_t result = 0;
        if (shift > 18 || __builtin_mul_overflow(value.mantissa, powers[shift], &result)) {
            return MLT_E_RANGE;
        }
        *mantissa = result;
        return MLT_OK;
    }
    if (shift < -18 || value.mantissa % powers[-shift] != 0) {
        return MLT_E_PRECISION;
    }
    *mantissa = value.mantissa / powers[-shift];
    return MLT_OK;
}

int mlt_decimal_compare(struct mlt_decimal a, struct mlt_decimal b)
{
    int128 x = a.mantissa, y = b.mantissa;
    const bool opposite = (x < 0) != (y < 0) || x == 0 || y == 0;
    int64_t shift = (int64_t)a.exponent - b.exponent;
    /* 64 bits times 10^18 fits in 128; beyond that the one with the higher exponent is farther from
     * 0. */
    if (!opposite && shift > 18) {
        return x > 0 ? 1 : -1;
    }
    if (!opposite && shift < -18) {
        return y > 0 ? -1 : 1;
    }
    if (!opposite && shift > 0) {
        x *= powers[shift];
    } else if (!opposite && shift < 0) {
        y *= powers[-shift];
    }
    return (x > y) - (x < y);
}

enum mlt_status mlt_decimal_multiply(struct mlt_decimal a, struct mlt_decimal b,
                                     struct mlt_decimal *out)
{
    int128 product = (int128)a.mantissa * b.mantissa;
    int64_t exponent = (int64_t)a.exponent + b.exponent;
    if (product == 0) {
        exponent = exponent < MLT_DECIMAL_EXPONENT_MIN ? MLT_DECIMAL_EXPONENT_MIN : exponent;
        exponent = exponent > MLT_DECIMAL_EXPONENT_MAX ? MLT_DECIMAL_EXPONENT_MAX : exponent;
    }
    while (product > INT64_MAX || product < INT64_MIN || exponent < MLT_DECIMAL_EXPONENT_MIN) {
        if (product % 10 != 0) {
            return MLT_E_RANGE;
        }
        product /= 10;
        exponent++;
    }
    for (; exponent > MLT_DECIMAL_EXPONENT_MAX; exponent--) {
        product *= 10;
        if (product > INT64_MAX || product < INT64_MIN) {
            return MLT_E_RANGE;
        }
    }
    *out = (struct mlt_decimal){ (int64_t)product, (int32_t)exponent };
    return MLT_OK;
}

size_t mlt_decimal_format(struct mlt_decimal value, char *out, size_t size)
{
    if (size < MLT_DECIMAL_TEXT_BYTES_MAX || value.exponent < MLT_DECIMAL_EXPONENT_MIN ||
        value.exponent > MLT_DECIMAL_EXPONENT_MAX) {
        if (size > 0) {
            out[0] = '\0';
        }
        return 0;
    }
    char reversed[MLT_DECIMAL_TEXT_BYTES_MAX];
    size_t n = 0;
    uint64_t magnitude =
        value.mantissa < 0 ? 0 - (uint64_t)value.mantissa : (uint64_t)value.mantissa;
    for (int32_t e = value.mantissa == 0 ? 0 : value.exponent; e > 0; e--) {
        reversed[n++] = '0';
    }
    const size_t decimals = value.exponent < 0 ? (size_t)-value.exponent : 0;
    size_t digits = 0;
    do {
        if (digits == decimals && decimals > 0) {
            reversed[n++] = '.';
        }
        reversed[n++] = (char)('0' + magnitude % 10);
        magnitude /= 10;
        digits++;
    } while (magnitude > 0 || digits <= decimals);
    size_t len = 0;
    if (value.mantissa < 0) {
        out[len++] = '-';
    }
    while (n > 0) {
        out[len++] = reversed[--n];
    }
    out[len] = '\0';
    return len;
}

size_t mlt_decimal_format_trimmed(struct mlt_decimal value, char *out, size_t size)
{
    while (value.exponent < 0 && value.mantissa % 10 == 0) {
        value.mantissa /= 10;
        value.exponent++;
    }
    return mlt_decimal_format(value, out, size);
}
