/*
 * The exchange's own script of faults (docs/simulator.md) in a run of chaos: told when it may
 * begin, and read each second, so that who judges knows what befell which frame.
 */
#ifndef MELTICA_CHAOS_SCRIPT_H
#define MELTICA_CHAOS_SCRIPT_H

#include "chaos_consumer.h"

/* Room for what the exchange is told to begin a script. */
#define CHAOS_SCRIPT_BYTES 1024u

/* Asks the exchange for a page of /sim/; false: it does not do that, and stderr says so. */
bool chaos_tell(const struct chaos_group *group, const char *target);

/* What the exchange is told for that plan: of each kind that was asked for, frames of depth, of
 * trades and of quotes, and answers of REST. Pure. */
void chaos_script_target(const struct chaos_plan *plan, char target[CHAOS_SCRIPT_BYTES]);
/* Not before every book was LIVE: of an instrument of which nothing is known, another one's
 * snapshot is believed (services/conductor/sync.h). */
void chaos_script_begin(const struct chaos_group *group);
/* Faults that were made since the last time. */
void chaos_script_read(struct chaos_group *group);

#endif
