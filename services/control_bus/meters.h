/* What the Control Bus counts. README.md has the list. */
#ifndef MELTICA_CONTROL_BUS_METERS_H
#define MELTICA_CONTROL_BUS_METERS_H

#include "authority.h"
#include "commands.h"
#include "meltica/rt/metrics.h"
#include "workers.h"

#define MLT_CONTROL_CODES 10u /* of refusals, the last one for all others */

struct mlt_control_meters {
    struct mlt_counter *refused, *unavailable, *commands_refused, *reply_refused;
    struct mlt_counter *denied, *policies_taken, *policies_refused;
    struct mlt_counter *log_full, *log_away, *log_silent;
    struct mlt_counter *waited, *ended_first;
    struct mlt_counter *confirmed, *pending, *unchanged, *audited, *audit_failed;
    struct mlt_counter *codes[MLT_CONTROL_CODES];
    struct mlt_gauge *log_sequence, *waiting, *waiting_most;
    struct mlt_histogram *took[MLT_VERB_COUNT];
};

void mlt_control_meters_make(struct mlt_control_meters *to, struct mlt_metrics *metrics);
/* A command was answered: refused with a code, or 0. Any thread. */
void mlt_control_meters_answered(const struct mlt_control_meters *meters, enum mlt_verb verb,
                                 int code, int64_t took_ns);
/* A command was refused that no worker came to: since the process ends, or it had waited too long.
 * Any thread. */
void mlt_control_meters_not_begun(const struct mlt_control_meters *meters, bool ends);
/* Mirrors what is counted elsewhere. Loop thread, or one of the bus. */
void mlt_control_meters_collect(const struct mlt_control_meters *meters,
                                struct mlt_commands *commands, struct mlt_workers *workers,
                                const struct mlt_authority *authority);

#endif
