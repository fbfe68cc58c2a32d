/* What the Dispatcher says to Adapters and to readers of the table, as encoded messages of
 * internal.proto. Cold path, pure; the caller locks the catalogue. */
#ifndef MELTICA_DISPATCHER_PLAN_H
#define MELTICA_DISPATCHER_PLAN_H

#include "catalogue.h"

#include "meltica/base/buf.h"

/* Who says it. */
struct mlt_plan_from {
    uint64_t boot;  /* of the Dispatcher */
    uint64_t epoch; /* of its claim, 0: it has none. Who has heard a higher one does not listen */
};

/* Appends the NativePlan of one partition: each route that has subscribed instruments in it, with
 * their tokens, and the listing (exchangeInfo, which is for no instrument) always. expanding: the
 * listing is not known yet, nothing that runs may be ended. E_TOO_BIG above payload_max with what
 * to do in err; E_NOMEM. */
enum mlt_status mlt_plan_encode(const struct mlt_table *table,
                                const struct mlt_catalogue *catalogue,
                                const struct mlt_plan_from *from, uint32_t partition,
                                uint32_t partitions, bool expanding, size_t payload_max,
                                struct mlt_buf *out, struct mlt_error *err) MLT_MUST_CHECK;

/* What a Table says besides the table of the file. */
struct mlt_plan_live {
    const struct mlt_live *live;
    bool log_read;
    bool listing_heard; /* to its end, since this Dispatcher began */
    int64_t now_ns;     /* the wall clock, by which ends of leases are told */
    size_t match_count; /* of patterns to be matched with the listing */
    char *const *match;
    const char *only; /* id of the one live subscription that is told; NULL: all of the table */
};

/* Appends a Table: with_lists the routes and subscriptions too. live: NULL for none. E_TOO_BIG,
 * E_NOMEM. */
enum mlt_status mlt_plan_encode_table(const struct mlt_table *table,
                                      const struct mlt_catalogue *catalogue,
                                      const struct mlt_plan_live *live,
                                      const struct mlt_plan_from *from, bool with_lists,
                                      struct mlt_buf *out) MLT_MUST_CHECK;

#endif
