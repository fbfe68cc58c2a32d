#include "meltica/rt/backoff.h"

#include "meltica/base/hash.h"

void mlt_backoff_init(struct mlt_backoff *backoff, int64_t floor_ns, int64_t base_ns,
                      int64_t max_ns, uint64_t seed)
{
    *backoff = (struct mlt_backoff){
        .floor_ns = floor_ns > 0 ? floor_ns : 0,
        .base_ns = base_ns > 0 ? base_ns : 0,
        .max_ns = max_ns > 0 ? max_ns : 0,
        .random = seed,
    };
}

/* min(max, base x 2^attempt) without overflow. */
static int64_t ceiling_ns(const struct mlt_backoff *backoff)
{
    int64_t ceiling = backoff->base_ns < backoff->max_ns ? backoff->base_ns : backoff->max_ns;
    for (uint32_t i = 0; i < backoff->attempt && ceiling > 0 && ceiling < backoff->max_ns; i++) {
        ceiling = ceiling > backoff->max_ns / 2 ? backoff->max_ns : ceiling * 2;
    }
    return ceiling;
}

int64_t mlt_backoff_next_ns(struct mlt_backoff *backoff)
{
    const int64_t ceiling = ceiling_ns(backoff);
    if (backoff->attempt < UINT32_MAX) {
        backoff->attempt++;
    }
    /* SplitMix64: a Weyl sequence through the mixer. */
    backoff->random += UINT64_C(0x9e3779b97f4a7c15);
    const int64_t wait = (int64_t)(mlt_mix64(backoff->random) % ((uint64_t)ceiling + 1));
    return wait > backoff->floor_ns ? wait : backoff->floor_ns;
}

void mlt_backoff_reset(struct mlt_backoff *backoff)
{
    backoff->attempt = 0;
}
