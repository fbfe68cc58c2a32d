/*
 * Commands as they go: read, checked with the Dispatcher's table, appended to the log (stream
 * MELTICA_CONTROL) with acknowledgement, and answered when the Dispatcher says what came of it. No
 * state is kept: the log has it, and the table shows it.
 */
#ifndef MELTICA_CONTROL_BUS_COMMANDS_H
#define MELTICA_CONTROL_BUS_COMMANDS_H

#include "asker.h"
#include "meltica/service/service.h"

struct mlt_commands;

struct mlt_commands_options {
    uint32_t provision_replicas;
    const char *instance;
    struct mlt_command_limits limits;
    const struct mlt_authority *authority; /* lives longer */
};

struct mlt_commands_stats {
    uint64_t confirmed, pending, unchanged, audited, audit_failed;
    uint64_t log_sequence; /* of the last record in the log */
    uint64_t denied;       /* 401 and 403; list, status and describe included */
    /* Commands that the log did not take: it is full; it is away, or anything else; no word of it
     * came in time. */
    uint64_t log_full, log_away, log_silent;
};

enum mlt_status mlt_commands_create(struct mlt_bus *control,
                                    const struct mlt_commands_options *options,
                                    struct mlt_commands **commands,
                                    struct mlt_error *err) MLT_MUST_CHECK;
void mlt_commands_destroy(struct mlt_commands *commands); /* NULL is fine */

/* The answer to one request on a subject that names who asks, appended to *answer; within 2 s of
 * asked_ns (monotonic), when the request came, whatever it waited for since. E_PROTOCOL: *refusal
 * says why not, and *answer is untouched.
 * traceparent: goes with it to the Dispatcher; "": none. Any thread. */
enum mlt_status mlt_commands_run(struct mlt_commands *commands, enum mlt_verb verb,
                                 const char *subject, struct mlt_slice request, int64_t asked_ns,
                                 const char *traceparent, struct mlt_buf *answer,
                                 struct mlt_control_refusal *refusal) MLT_MUST_CHECK;
/* Counts and audits what was refused to a principal besides commands (status, describe). Blocks. */
void mlt_commands_denied(struct mlt_commands *commands, enum mlt_verb verb, const char *principal,
                         struct mlt_control_refusal *refusal);
void mlt_commands_get_stats(struct mlt_commands *commands, struct mlt_commands_stats *out);

#endif
