/* The pure heart of the Dispatcher: a native instance becomes a canonical event. Any thread. */
#ifndef MELTICA_DISPATCHER_CANONICAL_H
#define MELTICA_DISPATCHER_CANONICAL_H

#include "meltica/event/event.h"

/* Fills *event from native: same payload, canonical envelope, idempotency key, dispatched stamp.
 * Views are those of native. epoch, sequence and later stamps are left unset (the Conductor
 * numbers). E_UNMAPPED for an instance without a canonical type (MLT_NATIVE_UNPARSED): that is a
 * Rejection, not an event. */
enum mlt_status mlt_canonical_from_native(const struct mlt_native_event *native,
                                          struct mlt_slice exchange, uint64_t route_revision,
                                          int64_t dispatched_ns,
                                          struct mlt_event *event) MLT_MUST_CHECK;

#endif
