/* What a request of the Conductor becomes: for a book's snapshot a call of the route whose REST
 * function gives BOOK_SNAPSHOT, for missing trades one of their type's route; or a refusal. Pure;
 * the caller locks. */
#ifndef MELTICA_DISPATCHER_DEMAND_H
#define MELTICA_DISPATCHER_DEMAND_H

#include "catalogue.h"

struct mlt_want {
    enum mlt_event_type
        type;            /* NONE: a book's snapshot; TRADE, AGG_TRADE: those that are missing */
    uint32_t depth;      /* of a snapshot: levels a side, 0: what the route says */
    int64_t first, last; /* ids of trades, both included */
};

struct mlt_demand {
    const struct mlt_route *route; /* of the table */
    uint32_t limit;                /* levels a side; trades */
    int64_t from;                  /* first id of trades; else 0 */
};

/* "": *demand is filled. Else a static word: "unknown_instrument", "not_subscribed" (the answer
 * would be dropped), "no_route", or "parse" (no type that can be asked for, ids that are none or
 * too many). */
const char *mlt_demand_of(const struct mlt_table *table, const struct mlt_catalogue *catalogue,
                          struct mlt_slice instrument, const struct mlt_want *want,
                          struct mlt_demand *demand);

#endif
