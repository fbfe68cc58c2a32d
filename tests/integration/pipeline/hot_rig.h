/*
 * Two Adapters of a whole stack, of which one stands by for the other partition by partition:
 * "adapter" and "adapter-2". Waits look at their metrics with each event that a consumer gets.
 * Failures end the test (cmocka).
 */
#ifndef MELTICA_TEST_HOT_RIG_H
#define MELTICA_TEST_HOT_RIG_H

#include "mlt_consumer.h"
#include "mlt_stack.h"

#define HOT_PARTITIONS 4u
/* Of the first one; of the second one. One line each, so that the newest one is known. */
#define HOT_FIRST "--spare-connection", "false", "--replicas", "2", "--hot-standby", "true"
#define HOT_SECOND                                                                                 \
    "--instance", "adapter-1", "--replica", "1", "--spare-connection", "false", "--replicas", "2", \
        "--hot-standby", "true"

/* Every type that a stream brings, books and candles of all, and snapshots every 10 s. */
extern const char hot_table[];

struct hot_rig {
    struct mlt_stack *stack;
    struct mlt_consumer *consumer; /* runs */
};

/* The other one of the two. */
const char *hot_other(const char *adapter);
/* Partitions that it speaks for; that it holds; of those, that it could take over without a loss.
 */
uint64_t hot_speaks(const struct hot_rig *rig, const char *adapter);
uint64_t hot_holds(const struct hot_rig *rig, const char *adapter);
uint64_t hot_warm(const struct hot_rig *rig, const char *adapter);
/* Partitions that it took over so far. */
uint64_t hot_taken(const struct hot_rig *rig, const char *adapter, bool covered);

/* Until both together speak for every partition, each once, and what each holds is warm, as the
 * other one knows. */
void hot_await_warm(const struct hot_rig *rig);
/* That, and that one speaks for some: one that a busy machine kept from its beats has them back. */
void hot_await_speaks_warm(const struct hot_rig *rig, const char *adapter);
/* That, for long enough that it is not only just so: it can die now, whatever an acknowledgement
 * takes. */
void hot_await_firm(const struct hot_rig *rig, const char *adapter);
void hot_pass_time(const struct hot_rig *rig, int64_t ns);
/* Until it speaks for every one. */
void hot_await_speaks_for_all(const struct hot_rig *rig, const char *adapter);
/* Until it speaks for none, holds all of them, and hears the other one. */
void hot_await_stands_by(const struct hot_rig *rig, const char *adapter);
/* Until each of the two speaks for its half. */
void hot_await_home(const struct hot_rig *rig);

void hot_tell_exchange(const struct hot_rig *rig, const char *path);
/* A temporary file with that text; the caller's to unlink. */
void hot_make_table(char path[64], const char *text);

#endif
