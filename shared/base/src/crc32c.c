/* CRC-32C: reflected polynomial 0x82f63b78. Slicing-by-8 tables are made once, before first use. */
#include <pthread.h>

#include "meltica/base/hash.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

static uint32_t tables[8][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void make_tables(void)
{
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t c = n;
        for (int bit = 0; bit < 8; bit++) {
            c = (c & 1) != 0 ? (c >> 1) ^ UINT32_C(0x82f63b78) : c >> 1;
        }
        tables[0][n] = c;
    }
    for (uint32_t n = 0; n < 256; n++) {
        for (int t = 1; t < 8; t++) {
            tables[t][n] = (tables[t - 1][n] >> 8) ^ tables[0][tables[t - 1][n] & 0xff];
        }
    }
}

uint32_t mlt_crc32c_portable(uint32_t crc, struct mlt_slice bytes)
{
    (void)pthread_once(&tables_once, make_tables);
    uint32_t c = ~crc;
    const uint8_t *p = bytes.data;
    size_t len = bytes.len;
    while (len >= 8) {
        const uint32_t low = c ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                                  (uint32_t)p[3] << 24);
        c = tables[7][low & 0xff] ^ tables[6][(low >> 8) & 0xff] ^ tables[5][(low >> 16) & 0xff] ^
            tables[4][low >> 24] ^ tables[3][p[4]] ^ tables[2][p[5]] ^ tables[1][p[6]] ^
            tables[0][p[7]];
        p += 8;
        len -= 8;
    }
    while (len-- > 0) {
        c = (c >> 8) ^ tables[0][(c ^ *p++) & 0xff];
    }
    return ~c;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_hardware(uint32_t crc, struct mlt_slice bytes)
{
    uint64_t c = (uint32_t)~crc;
    const uint8_t *p = bytes.data;
    size_t len = bytes.len;
    while (len >= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        c = _mm_crc32_u64(c, word);
        p += 8;
        len -= 8;
    }
    uint32_t tail = (uint32_t)c;
    while (len-- > 0) {
        tail = _mm_crc32_u8(tail, *p++);
    }
    return ~tail;
}

uint32_t mlt_crc32c(uint32_t crc, struct mlt_slice bytes)
{
    return __builtin_cpu_supports("sse4.2") ? crc_hardware(crc, bytes)
                                            : mlt_crc32c_portable(crc, bytes);
}
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
uint32_t mlt_crc32c(uint32_t crc, struct mlt_slice bytes)
{
    uint32_t c = ~crc;
    const uint8_t *p = bytes.data;
    size_t len = bytes.len;
    while (len >= 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        c = __crc32cd(c, word);
        p += 8;
        len -= 8;
    }
    while (len-- > 0) {
        c = __crc32cb(c, *p++);
    }
    return ~c;
}
#else
uint32_t mlt_crc32c(uint32_t crc, struct mlt_slice bytes)
{
    return mlt_crc32c_portable(crc, bytes);
}
#endif
