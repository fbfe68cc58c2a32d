/*
 * Puts what is said of a subscription into the bucket meltica-dispatch, where a Dispatcher that was
 * replaced and does not know it yet must not overwrite what its successor wrote. Blocks, three
 * seconds at most.
 */
#ifndef MELTICA_DISPATCHER_APPLIED_H
#define MELTICA_DISPATCHER_APPLIED_H

#include "meltica/bus/store.h"

/* *revision: of the value that is there, as this Dispatcher wrote it; 0: not known, it is read
 * first. The new one on success, else 0. may is asked between the two: whoever slept before it says
 * no, and what somebody else wrote after it makes the value another one's. E_AGAIN: it said no;
 * E_CONFLICT: somebody else wrote meanwhile; and as mlt_kv_get and mlt_kv_update. */
enum mlt_status mlt_applied_put(struct mlt_store *store, const char *subscription,
                                struct mlt_slice value, uint64_t *revision, bool (*may)(void *ctx),
                                void *ctx, struct mlt_error *err) MLT_MUST_CHECK;

#endif
