/* What the main recording holds (its known answers), and what the cores make of it in one process.
 */
#ifndef MELTICA_TEST_GOLDEN_H
#define MELTICA_TEST_GOLDEN_H

#include "mlt_consumer.h"
#include "mlt_stack.h"

#define MAIN_BBO 73174u
#define MAIN_TRADE 19904u
#define MAIN_DELTA 6495u
#define MAIN_FRAMES (MAIN_BBO + MAIN_TRADE + MAIN_DELTA)
/* --ring-bytes for some seconds of it at 30 times its pace, while who takes it is away: one
 * instrument is one partition's, a quarter of it. Half of that, where a sender holds back, is what
 * is sent again to one that asks, and must be much less than its queue takes (16 MiB): what that
 * drops would be gone with a sender that is killed. */
#define MAIN_RING_BYTES "16777216"

/* Of a Conductor whose every event is counted: a recording that is replayed waits for who is
 * behind, so nothing has to be merged. */
#define GOLDEN_CONDUCTOR "--merge-quotes", "false"

/* False where the recording is absent: the test is skipped. */
bool golden_main_recording(const char *paths[2]);
/* stream_hash of recordings, from `meltica inspect`, which needs no NATS. out at least 128 bytes.
 */
void golden_stream_hash(const char *const *paths, unsigned count, char *out);
/* mlt_consumer's look: prints each loss that is said, though there was none. */
void golden_look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes);
/* Waits until every event of the main recording came; nothing was lost, and no number or id is
 * missing. */
void golden_assert_nothing_lost(struct mlt_consumer *consumer);
/* The same, and the hash over every channel is the one of a single process. */
void golden_assert_whole(struct mlt_consumer *consumer, const char *const paths[2]);

#endif
