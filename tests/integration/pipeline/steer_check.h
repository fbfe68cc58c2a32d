/*
 * What every test of live subscriptions checks of the whole: each request is answered once, and
 * audited, the answer is the one that the model (steer_model.h) gives, and the exchange has what it
 * must. Failures end the test (cmocka). One thread.
 */
#ifndef MELTICA_TEST_STEER_CHECK_H
#define MELTICA_TEST_STEER_CHECK_H

#include "steer_model.h"

/* Counts answers of the Control Bus on the wire, whoever they are for. One at a time. */
struct mlt_bus_subscription *steer_tap(struct rig *rig);
/* Answered requests, and those that were answered more than once. */
void steer_answers(uint64_t *once, uint64_t *twice);

/* Audit records of commands, and of leases that ended; -1: MELTICA_AUDIT does not answer. */
int64_t steer_commands_audited(struct rig *rig);
int64_t steer_leases_audited(struct rig *rig);

/* Whether an answer is what must come of a command; else why (200 bytes) says what is not. */
bool steer_answer_right(const struct model_command *command, const struct said *said, char *why);
void steer_check_answer(const struct model_command *command, const struct said *said);
/* What the answer said of the lease is what a repeated command must say. */
void steer_keep_lease(struct model_command *command, const cJSON *answer);

/* Waits until the exchange has exactly what the model wants. */
void steer_settle(struct model *model, struct rig *rig, int seconds);
/* Number of commands: from the environment (MELTICA_TEST_COMMANDS). */
unsigned steer_commands(unsigned otherwise);

#endif
