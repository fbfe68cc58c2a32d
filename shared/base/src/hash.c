#include "meltica/base/hash.h"

#include <sys/random.h>

#include "meltica/base/clock.h"

uint32_t mlt_fnv1a32(struct mlt_slice bytes)
{
    uint32_t hash = UINT32_C(0x811c9dc5);
    for (size_t i = 0; i < bytes.len; i++) {
        hash = (hash ^ bytes.data[i]) * UINT32_C(0x01000193);
    }
    return hash;
}

uint64_t mlt_fnv1a64(uint64_t state, struct mlt_slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        state = (state ^ bytes.data[i]) * UINT64_C(0x100000001b3);
    }
    return state;
}

uint64_t mlt_mix64(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t mlt_mix64_next(uint64_t *state)
{
    const uint64_t value = mlt_mix64(*state);
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return value;
}

uint64_t mlt_random64(void)
{
    uint64_t value = 0;
    /* getrandom of 8 bytes fails only before the kernel is seeded; the clocks still tell two boots
     * apart. */
    if (getrandom(&value, sizeof value, 0) != (ssize_t)sizeof value || value == 0) {
        value =
            mlt_mix64((uint64_t)mlt_clock_wall_ns() ^ ((uint64_t)mlt_clock_mono_ns() << 20)) | 1;
    }
    return value;
}
