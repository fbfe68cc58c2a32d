#include "latency.h"

static unsigned bucket_of(uint64_t ns)
{
    if (ns < MLT_LATENCY_STEPS) {
        return (unsigned)ns;
    }
    const unsigned power = 63u - (unsigned)__builtin_clzll(ns); /* >= 5 */
    const unsigned step = (unsigned)(ns >> (power - 5)) & (MLT_LATENCY_STEPS - 1);
    return (power - 4) * MLT_LATENCY_STEPS + step;
}

static int64_t upper_bound(unsigned bucket)
{
    if (bucket < MLT_LATENCY_STEPS) {
        return (int64_t)bucket;
    }
    const unsigned power = bucket / MLT_LATENCY_STEPS + 4;
    const uint64_t step = bucket % MLT_LATENCY_STEPS;
    return (int64_t)(((MLT_LATENCY_STEPS + step + 1) << (power - 5)) - 1);
}

void mlt_latency_record(struct mlt_latency *latency, int64_t duration_ns)
{
    if (duration_ns < 0) {
        latency->negative++;
        duration_ns = 0;
    }
    latency->counts[bucket_of((uint64_t)duration_ns)]++;
    latency->count++;
    if (duration_ns > latency->max_ns) {
        latency->max_ns = duration_ns;
    }
}

int64_t mlt_latency_at(const struct mlt_latency *latency, unsigned per_mille)
{
    if (latency->count == 0) {
        return 0;
    }
    const uint64_t rank = (latency->count * per_mille + 999) / 1000;
    uint64_t below = 0;
    for (unsigned b = 0; b < MLT_LATENCY_BUCKETS; b++) {
        below += latency->counts[b];
        if (below >= rank && below > 0) {
            const int64_t bound = upper_bound(b);
            return bound < latency->max_ns ? bound : latency->max_ns;
        }
    }
    return latency->max_ns;
}
