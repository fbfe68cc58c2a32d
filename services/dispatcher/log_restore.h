/*
 * A log of commands that was lost and made anew: what is live goes into it again, one subscription
 * at a time. Thread of the control log; a second at most each.
 */
#ifndef MELTICA_DISPATCHER_LOG_RESTORE_H
#define MELTICA_DISPATCHER_LOG_RESTORE_H

#include "control.h"
#include "meltica/bus/store.h"

/* The n-th that is live, as a record. E_CONFLICT: the log has a word on that subscription already,
 * which counts; E_EMPTY: there are not so many; as mlt_stream_append. bytes: for the record. */
enum mlt_status mlt_log_restore_one(struct mlt_store *store, const struct mlt_control_ports *ports,
                                    size_t n, struct mlt_buf *bytes,
                                    struct mlt_error *err) MLT_MUST_CHECK;

#endif
