/* Numbers and text into a caller's buffer, fast: each function returns where the next byte goes and
 * writes no NUL. The caller has the room. Any thread (pure). */
#ifndef SIM_FORMAT_H
#define SIM_FORMAT_H

#include <stdint.h>
#include <string.h>

#define SIM_NUMBER_BYTES_MAX 32u

char *sim_put_u64(char *p, uint64_t value);
char *sim_put_i64(char *p, int64_t value);
/* value x 10^-8 with exactly `decimals` (0 to 8) decimals; further ones are cut. */
char *sim_put_e8(char *p, int64_t value, int decimals);
/* ["price","quantity"] */
char *sim_put_level(char *p, int64_t price_e8, int price_decimals, int64_t quantity_e8,
                    int quantity_decimals);

static inline char *sim_put_bytes(char *p, const void *bytes, size_t len)
{
    memcpy(p, bytes, len);
    return p + len;
}

#define SIM_PUT(p, literal) sim_put_bytes((p), "" literal, sizeof(literal) - 1)

#endif
