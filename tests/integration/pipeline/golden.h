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

/* False where the recording is absent: the test is skipped. */
bool golden_main_recording(const char *paths[2]);
/* stream_hash of recordings, from `meltica inspect`, which needs no NATS. out at least 128 bytes.
 */
void golden_stream_hash(const char *const *paths, unsigned count, char *out);
/* Waits until every event of the main recording came; nothing was lost, and no number or id is
 * missing. */
void golden_assert_nothing_lost(struct mlt_consumer *consumer);
/* The same, and the hash over every channel is the one of a single process. */
void golden_assert_whole(struct mlt_consumer *consumer, const char *const paths[2]);

#endif
