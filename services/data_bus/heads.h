/* Answers a starting Conductor (HeadsRequest -> HeadsReply, internal.proto). Cold. */
#ifndef MELTICA_DATA_BUS_HEADS_H
#define MELTICA_DATA_BUS_HEADS_H

#include "core.h"
#include "meltica/base/buf.h"

#define MLT_DATA_BUS_HEADS_PAGE 512u /* instruments in one answer: at most about 600 KB */

/* Fences the request's partition below its epoch and appends the answer to reply: where each
 * instrument of the partition stands, or only the fence when that is above the request's epoch.
 * heard: the epochs that the hop knows, by partition: these are fences, too.
 * E_PARSE; E_RANGE (no such partition: the services disagree about their number); E_TOO_BIG and
 * E_NOMEM. On failure nothing was fenced below the request's epoch. */
enum mlt_status mlt_data_bus_heads_answer(struct mlt_data_bus_core *core, uint32_t partitions,
                                          const uint64_t *heard, struct mlt_slice request,
                                          struct mlt_buf *reply) MLT_MUST_CHECK;

#endif
