#include "format.h"

static const char pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
    "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
    "8081828384858687888990919293949596979899";

char *sim_put_u64(char *p, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    while (value >= 100) {
        at -= 2;
        memcpy(digits + at, pairs + 2 * (value % 100), 2);
        value /= 100;
    }
    if (value >= 10) {
        at -= 2;
        memcpy(digits + at, pairs + 2 * value, 2);
    } else {
        digits[--at] = (char)('0' + value);
    }
    return sim_put_bytes(p, digits + at, sizeof digits - at);
}

char *sim_put_i64(char *p, int64_t value)
{
    if (value < 0) {
        *p++ = '-';
        return sim_put_u64(p, 0 - (uint64_t)value);
    }
    return sim_put_u64(p, (uint64_t)value);
}

char *sim_put_e8(char *p, int64_t value, int decimals)
{
    uint64_t magnitude = (uint64_t)value;
    if (value < 0) {
        *p++ = '-';
        magnitude = 0 - magnitude;
    }
    p = sim_put_u64(p, magnitude / 100000000u);
    if (decimals > 0) {
        uint32_t fraction = (uint32_t)(magnitude % 100000000u);
        char digits[8];
        for (int i = 3; i >= 0; i--) {
            memcpy(digits + (size_t)(2 * i), pairs + (size_t)(2 * (fraction % 100)), 2);
            fraction /= 100;
        }
        *p++ = '.';
        p = sim_put_bytes(p, digits, (size_t)(decimals > 8 ? 8 : decimals));
    }
    return p;
}

char *sim_put_level(char *p, int64_t price_e8, int price_decimals, int64_t quantity_e8,
                    int quantity_decimals)
{
    p = SIM_PUT(p, "[\"");
    p = sim_put_e8(p, price_e8, price_decimals);
    p = SIM_PUT(p, "\",\"");
    p = sim_put_e8(p, quantity_e8, quantity_decimals);
    return SIM_PUT(p, "\"]");
}
