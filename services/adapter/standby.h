/*
 * Hot standby (docs/decisions/0021-hot-standby.md): several Adapters have all partitions, and of
 * each partition one speaks. Which one: mlt_replicas and claims, of service "adapter". Who takes a
 * partition over says what it has held of it since the one before may not have been heard to the
 * end (cover.h).
 *
 * Threads: the loop's, but for the ports of mlt_replicas and of claims, which copy and post
 * (standby_claims.c).
 */
#ifndef MELTICA_ADAPTER_STANDBY_H
#define MELTICA_ADAPTER_STANDBY_H

#include <stdbool.h>

#include "meltica/base/error.h"

#define MLT_STANDBY_PREPARE_NS INT64_C(60000000000)

struct mlt_adapter;
struct mlt_standby;

/* Makes adapter->standby: speaks for nothing yet, and hears the others. The sender holds every
 * partition. E_NOMEM, and what subscribing gives. */
enum mlt_status mlt_standby_start(struct mlt_adapter *adapter,
                                  struct mlt_error *err) MLT_MUST_CHECK;
/* After the loop has ended, or before it began. Waits for a claim in hand, a second at most. NULL
 * is fine. */
void mlt_standby_destroy(struct mlt_standby *standby);

/* Takes stock for the beats; ten times a second by itself, and after a plan. */
void mlt_standby_look(struct mlt_standby *standby);
/* A line has ended, and what is to be said of that was. */
void mlt_standby_line_ended(struct mlt_standby *standby);
/* The Adapter ends. Partitions that a stand-by would lose nothing of are handed over to it, without
 * a word of sources that go down; then mlt_adapter_end_lines is called, at once where there are
 * none. */
void mlt_standby_drain(struct mlt_standby *standby);
/* No line is left: when what was said of them is acknowledged, or cannot be waited for, the others
 * are told that this one leaves, and mlt_service_drained is called. */
void mlt_standby_lines_ended(struct mlt_standby *standby);

/* False: another one may speak for what this one thinks it does, which therefore answers nobody. */
bool mlt_standby_in_touch(const struct mlt_standby *standby);
/* What is missing for it to be ready, in words; NULL: nothing. Besides what has to hold at any time
 * (that its beats come back, and that nothing stays unclaimed), it has to have been prepared once
 * since its start: it could have taken over without a loss whatever it did not speak for, and has
 * claimed something. Whoever replaces Adapters one by one goes by that. What keeps it cold may stay
 * (a ring that is too small, a line that is mute): where nothing else is missing it is waited for
 * MLT_STANDBY_PREPARE_NS, which is logged. Loop thread. */
const char *mlt_standby_lacks(const struct mlt_standby *standby);
/* For the service's collect(). Any thread. */
void mlt_standby_collect(struct mlt_standby *standby);

#endif
