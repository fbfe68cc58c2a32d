/* What a starting Conductor asks the Data Bus (HeadsRequest -> HeadsReply, internal.proto). Cold.
 */
#ifndef MELTICA_CONDUCTOR_HEADS_H
#define MELTICA_CONDUCTOR_HEADS_H

#include "core.h"
#include "meltica/base/buf.h"

/* Appends the request for one page of a partition. */
enum mlt_status mlt_conductor_heads_request(uint64_t epoch, uint32_t partition, uint32_t from,
                                            struct mlt_buf *out) MLT_MUST_CHECK;

/* Seeds the core with one page. *next: 0, or the page to ask for; *fence: above the epoch that was
 * asked with, that owner is refused (and nothing was seeded). E_PARSE; E_LIMIT, E_NOMEM and
 * E_PROTOCOL of the core. */
enum mlt_status mlt_conductor_heads_seed(struct mlt_conductor_core *core, struct mlt_slice reply,
                                         uint32_t *next, uint64_t *fence) MLT_MUST_CHECK;

#endif
