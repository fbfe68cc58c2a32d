/* Durations in a log-linear histogram: 32 steps to each doubling, so that a percentile is off by 3
 * % at most. Negative durations (clocks of two hosts) are counted apart and as 0. One thread. */
#ifndef MELTICA_TOOL_LATENCY_H
#define MELTICA_TOOL_LATENCY_H

#include <stdint.h>

#define MLT_LATENCY_STEPS 32u
#define MLT_LATENCY_BUCKETS (60u * MLT_LATENCY_STEPS)

struct mlt_latency {
    uint64_t counts[MLT_LATENCY_BUCKETS];
    uint64_t count, negative;
    int64_t max_ns;
};

void mlt_latency_record(struct mlt_latency *latency, int64_t duration_ns);
/* Upper bound of the bucket that holds the given per-mille rank (500: median, 990: p99), at most
 * the maximum seen; 0 without values. */
int64_t mlt_latency_at(const struct mlt_latency *latency, unsigned per_mille);

#endif
