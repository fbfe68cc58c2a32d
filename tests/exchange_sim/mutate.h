/* Damages every data frame: the first user of the filter seam. What happens to frame number n
 * depends on the seed, n and the frame alone. Frames stay valid UTF-8 text, as WebSocket demands;
 * everything else may be wrong with them. */
#ifndef SIM_MUTATE_H
#define SIM_MUTATE_H

#include "filter.h"

#define SIM_MUTATE_PAD_BYTES ((size_t)10 << 20)
#define SIM_MUTATE_PAD_ONE_IN 20000u

enum sim_mutation {
    SIM_MUTATION_FLIP,     /* bits of 1 to 8 bytes */
    SIM_MUTATION_TRUNCATE, /* the end is missing */
    SIM_MUTATION_TYPE,     /* one value replaced by one of another type */
    SIM_MUTATION_HUGE,     /* one number made enormous */
    SIM_MUTATION_DEEP,     /* one value replaced by deep nesting */
    SIM_MUTATION_PAD,      /* padded to 10 MiB */
    SIM_MUTATION_COUNT
};

extern const char *const sim_mutation_names[SIM_MUTATION_COUNT];

struct sim_mutator {
    struct sim_filter filter;
    uint64_t seed, count_max; /* 0: no end */
    uint64_t frames;          /* damaged so far */
    uint64_t by_kind[SIM_MUTATION_COUNT];
};

void sim_mutator_init(struct sim_mutator *mutator, uint64_t seed, uint64_t count_max);

#endif
