/* Exponential back-off with full jitter: wait = random in [0, min(max, base x 2^attempt)], but
 * never below floor. Never gives up. One thread. */
#ifndef MELTICA_RT_BACKOFF_H
#define MELTICA_RT_BACKOFF_H

#include <stdint.h>

struct mlt_backoff {
    int64_t floor_ns, base_ns, max_ns;
    uint32_t attempt; /* failures since the last reset */
    uint64_t random;
};

/* seed decides the jitter (mlt_random64() in production, fixed in tests). */
void mlt_backoff_init(struct mlt_backoff *backoff, int64_t floor_ns, int64_t base_ns,
                      int64_t max_ns, uint64_t seed);
/* Wait before the next attempt; counts one attempt. */
int64_t mlt_backoff_next_ns(struct mlt_backoff *backoff);
void mlt_backoff_reset(struct mlt_backoff *backoff);

#endif
