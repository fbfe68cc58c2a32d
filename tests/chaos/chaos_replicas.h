/*
 * Services of which a chaos run has two: who stands in for whom, whether each has what it is to
 * have, and what came of the take-overs of an Adapter with a hot standby.
 */
#ifndef MELTICA_CHAOS_REPLICAS_H
#define MELTICA_CHAOS_REPLICAS_H

#include "chaos_consumer.h"

/* Name of the process that stands in for a victim of that kind; NULL: nobody does. */
const char *chaos_stand_in(enum chaos_kind kind);

/* A second one of each of them, which know of each other. */
void chaos_replicas_add(struct mlt_stack_options *to);

/* Each Conductor has its half, the first Data Bus publishes, one Dispatcher, whichever, dispatches,
 * and each partition has one Adapter that speaks for it, whichever. */
bool chaos_replicas_home(struct mlt_stack *stack);

/* Where an Adapter stood when the other one was to be killed. */
struct chaos_takeover {
    const char *by; /* who is left; NULL: no Adapter's take-over */
    uint64_t covered, told, lost;
};

/* victim: the process that is killed next. Both run. */
struct chaos_takeover chaos_takeover_begin(struct chaos_group *group, enum chaos_kind kind,
                                           const char *victim);
/* Every book is LIVE again; who is left has not been touched. Counts in the group's result. */
void chaos_takeover_end(struct chaos_group *group, const struct chaos_takeover *before);

#endif
