/* The two clocks. Stamps are wall time, waits and intervals are monotonic. Pure cores take a
 * struct mlt_clock so that tests own time. */
#ifndef MELTICA_BASE_CLOCK_H
#define MELTICA_BASE_CLOCK_H

#include <stdint.h>

#define MLT_NS_PER_US INT64_C(1000)
#define MLT_NS_PER_MS INT64_C(1000000)
#define MLT_NS_PER_S INT64_C(1000000000)

/* ns since 1970, CLOCK_REALTIME. Any thread. */
int64_t mlt_clock_wall_ns(void);
/* ns since an arbitrary start, CLOCK_MONOTONIC. Any thread. */
int64_t mlt_clock_mono_ns(void);

/* to - from, at the ends of 64 bits where it would pass them: stamps are what others say. */
static inline int64_t mlt_span_ns(int64_t from, int64_t to)
{
    int64_t span = 0;
    return __builtin_sub_overflow(to, from, &span) ? (to < from ? INT64_MIN : INT64_MAX) : span;
}

/* at + by, at the ends of 64 bits where it would pass them. */
static inline int64_t mlt_later_ns(int64_t at, int64_t by)
{
    int64_t sum = 0;
    return __builtin_add_overflow(at, by, &sum) ? (by < 0 ? INT64_MIN : INT64_MAX) : sum;
}

struct mlt_clock {
    int64_t (*wall_ns)(void *ctx);
    int64_t (*mono_ns)(void *ctx);
    void *ctx;
};

/* The real clocks; static storage. */
const struct mlt_clock *mlt_clock_system(void);

#endif
