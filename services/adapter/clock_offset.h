/*
 * How far the exchange's clock is from ours, by its answers to `time`: each tells its time at about
 * the middle between our question and its answer, wrong by half of the way there and back at most,
 * and by what the clocks drifted since. Of the last answers the one that is wrong by least counts.
 * Pure; one thread.
 */
#ifndef MELTICA_ADAPTER_CLOCK_OFFSET_H
#define MELTICA_ADAPTER_CLOCK_OFFSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MLT_CLOCK_SAMPLES_MAX 16u
#define MLT_CLOCK_SAMPLE_LIFE_NS INT64_C(600000000000) /* then it says nothing of now any more */
#define MLT_CLOCK_DRIFT_PPM 15 /* two clocks drift apart by so much at most: PHI of RFC 5905 */

struct mlt_clock_sample {
    /* The exchange's time less our monotonic one, so that a step of our wall clock changes nothing
     * about samples of before. */
    int64_t ahead_ns;
    int64_t way_ns; /* there and back */
    int64_t at_ns;  /* monotonic: the answer was here */
};

struct mlt_clock_offset {
    struct mlt_clock_sample samples[MLT_CLOCK_SAMPLES_MAX]; /* ring */
    size_t count, next;
    uint64_t taken;
};

struct mlt_clock_estimate {
    int64_t offset_ns;      /* the exchange's clock less ours (wall) */
    int64_t uncertainty_ns; /* wrong by so much at most */
};

/* server_ns: what the exchange said, since 1970, in steps of resolution_ns that it rounds down to.
 * sent_ns, received_ns: monotonic. An answer before its question is ignored. */
void mlt_clock_offset_add(struct mlt_clock_offset *clock, int64_t server_ns, int64_t resolution_ns,
                          int64_t sent_ns, int64_t received_ns);
/* False: nothing is known. mono_ns and wall_ns: of now, read together. */
bool mlt_clock_offset_get(const struct mlt_clock_offset *clock, int64_t mono_ns, int64_t wall_ns,
                          struct mlt_clock_estimate *out);

#endif
