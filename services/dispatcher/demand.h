/* What a request for a snapshot of a book becomes: a call of the route whose REST function gives
 * BOOK_SNAPSHOT, or a refusal. Pure; the caller locks. */
#ifndef MELTICA_DISPATCHER_DEMAND_H
#define MELTICA_DISPATCHER_DEMAND_H

#include "catalogue.h"

struct mlt_demand {
    const struct mlt_route *route; /* of the table */
    uint32_t limit;                /* levels a side */
};

/* depth: levels a side, 0: what the route says. "": *demand is filled. Else a static word:
 * "unknown_instrument", "not_subscribed" (nothing of its book is: the answer would be dropped) or
 * "no_route". */
const char *mlt_demand_of(const struct mlt_table *table, const struct mlt_catalogue *catalogue,
                          struct mlt_slice instrument, uint32_t depth, struct mlt_demand *demand);

#endif
