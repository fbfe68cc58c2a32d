/* Policies of a route, applied to one canonical event in the order discard, enrich, filter. Pure;
 * any thread. */
#ifndef MELTICA_DISPATCHER_POLICY_H
#define MELTICA_DISPATCHER_POLICY_H

#include "table.h"

enum mlt_verdict { MLT_VERDICT_PASS, MLT_VERDICT_DISCARDED, MLT_VERDICT_FILTERED };

struct mlt_policy_outcome {
    enum mlt_verdict verdict;
    enum mlt_discard discard; /* where DISCARDED */
    bool enrich_failed; /* the notional does not fit in 64 bits: the event passes without it */
};

/* event may be changed by enrich. halted: the listing is known and says that the instrument does
 * not trade. */
struct mlt_policy_outcome mlt_policy_apply(const struct mlt_route *route, struct mlt_event *event,
                                           bool halted);

#endif
