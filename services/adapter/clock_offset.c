#include "clock_offset.h"

void mlt_clock_offset_add(struct mlt_clock_offset *clock, int64_t server_ns, int64_t resolution_ns,
                          int64_t sent_ns, int64_t received_ns)
{
    const int64_t way = received_ns - sent_ns;
    if (way < 0) {
        return;
    }
    clock->samples[clock->next] = (struct mlt_clock_sample){
        .ahead_ns = server_ns + resolution_ns / 2 - (sent_ns + way / 2),
        .way_ns = way + resolution_ns, /* what rounding hides counts as part of the way */
        .at_ns = received_ns,
    };
    clock->next = (clock->next + 1) % MLT_CLOCK_SAMPLES_MAX;
    clock->count += clock->count < MLT_CLOCK_SAMPLES_MAX;
    clock->taken++;
}

/* By how much it may be wrong now: half of its way, and what the clocks drifted since. */
static int64_t uncertainty(const struct mlt_clock_sample *sample, int64_t mono_ns)
{
    return (sample->way_ns + 1) / 2 +
           (mono_ns - sample->at_ns) * MLT_CLOCK_DRIFT_PPM / INT64_C(1000000);
}

bool mlt_clock_offset_get(const struct mlt_clock_offset *clock, int64_t mono_ns, int64_t wall_ns,
                          struct mlt_clock_estimate *out)
{
    const struct mlt_clock_sample *best = NULL;
    for (size_t i = 0; i < clock->count; i++) {
        const struct mlt_clock_sample *sample = &clock->samples[i];
        if (mono_ns - sample->at_ns <= MLT_CLOCK_SAMPLE_LIFE_NS &&
            (best == NULL || uncertainty(sample, mono_ns) < uncertainty(best, mono_ns))) {
            best = sample;
        }
    }
    if (best == NULL) {
        return false;
    }
    out->offset_ns = best->ahead_ns + (mono_ns - wall_ns);
    out->uncertainty_ns = uncertainty(best, mono_ns);
    return true;
}
