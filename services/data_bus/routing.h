/*
 * What the dispatch table lets through, as the Data Bus needs it: for an instrument the set of
 * types that some subscription asks for. Made from a Table message
 * (proto/meltica/v1/internal.proto), never changed afterwards. Any thread.
 */
#ifndef MELTICA_DATA_BUS_ROUTING_H
#define MELTICA_DATA_BUS_ROUTING_H

#include "meltica/event/demand.h"
#include "meltica/event/filter.h"
#include "meltica/event/pattern.h"

/* Different names, and different patterns, on the shared lane and on private ones. A table is taken
 * whole or not at all: there is room for whatever the Dispatcher admits. */
#define MLT_ROUTING_NAMES_MAX MLT_DEMAND_NAMES_MAX

#define MLT_ROUTING_FILTERS_MAX 16u /* of a lane */
#define MLT_ROUTING_NAME_BYTES_MAX 63u

struct mlt_routing;

/* A private lane as the table has it. */
struct mlt_lane_spec {
    char principal[MLT_ROUTING_NAME_BYTES_MAX + 1], id[MLT_ROUTING_NAME_BYTES_MAX + 1];
    enum mlt_event_type type;
    uint32_t throttle_ms;
    size_t filter_count;
    struct mlt_filter filters[MLT_ROUTING_FILTERS_MAX]; /* all of them must hold */
    size_t pattern_count;
    char **patterns; /* tokens, BASE-*, *-QUOTE, * */
};

#define MLT_TYPE_BIT(type) (UINT32_C(1) << (unsigned)(type))

/* *routing is the caller's. E_PARSE, E_LIMIT (more names or patterns than the maximum; however
 * often each is asked for, it counts once), E_NOMEM. Subscriptions of types or with patterns that
 * this version does not know are left out and counted: what they would let through shows as
 * unrouted, and the rest of the table stands. */
enum mlt_status mlt_routing_decode(struct mlt_slice table,
                                   struct mlt_routing **routing) MLT_MUST_CHECK;
void mlt_routing_destroy(struct mlt_routing *routing); /* NULL is fine */

uint64_t mlt_routing_revision(const struct mlt_routing *routing);
uint64_t mlt_routing_boot(const struct mlt_routing *routing);  /* of the Dispatcher */
uint64_t mlt_routing_epoch(const struct mlt_routing *routing); /* of its claim; 0: none */
size_t mlt_routing_ignored(const struct mlt_routing *routing);

/* MLT_TYPE_BIT of each type that is subscribed to of the instrument, 0: none. BOOK brings
 * BOOK_DELTA, and any subscription brings STATUS and INSTRUMENT. */
uint32_t mlt_routing_types(const struct mlt_routing *routing, struct mlt_slice instrument);

/* The same for private lanes: what some lane needs of the instrument, not what leaves on the shared
 * one. */
uint32_t mlt_routing_lane_types(const struct mlt_routing *routing, struct mlt_slice instrument);

/* The n-th lane in the order of the table; NULL beyond the last. Lives as long as the routing. */
const struct mlt_lane_spec *mlt_routing_lane(const struct mlt_routing *routing, size_t n);
/* False: the Dispatcher has not read the log yet, and there may be more lanes than the table
 * says. */
bool mlt_routing_lanes_known(const struct mlt_routing *routing);
/* Whether the lane's subscription covers the instrument. */
bool mlt_lane_covers(const struct mlt_lane_spec *lane, struct mlt_slice instrument);

/* Whether an event leaves where these types are subscribed to: its type is, or it is a
 * BOOK_SNAPSHOT with reset, without which deltas cannot be followed, and BOOK_DELTA is. */
bool mlt_routing_leaves(uint32_t types, const struct mlt_event *event);
/* Whether anything of the type may leave. */
bool mlt_routing_channel_leaves(uint32_t types, enum mlt_event_type type);

#endif
