/*
 * The live half of the dispatch table: subscriptions that came over the Control Bus, as the log has
 * them. Which topics are needed is the union of what stands here and in the file, computed anew
 * with each change (mlt_catalogue_subscribe): there is no count that could drift, and who leaves
 * takes with it only what nobody else asks for. Pure; the caller locks.
 */
#ifndef MELTICA_DISPATCHER_LIVE_H
#define MELTICA_DISPATCHER_LIVE_H

#include "table.h"

#include "meltica/v1/internal.pb-c.h"

#define MLT_LIVE_NAME_BYTES_MAX 63u /* id, principal, consumer, request */
#define MLT_LIVE_SUBSCRIPTIONS_MAX 4096u
#define MLT_LIVE_FILTERS_MAX 16u /* of one lane */
#define MLT_LIVE_LANES_MAX 256u  /* private ones; the Data Bus has the same */
#define MLT_LIVE_PATTERNS_MAX MLT_DEMAND_LIVE_NAMES_MAX /* over all of them */

enum mlt_live_state { MLT_LIVE_PENDING, MLT_LIVE_CONFIRMED, MLT_LIVE_FAILED };
const char *mlt_live_state_word(enum mlt_live_state state); /* static */

/* A private lane; which one, its owner and id say. */
struct mlt_live_lane {
    uint32_t throttle_ms;
    size_t filter_count;
    struct mlt_filter filters[]; /* of the subscription's type */
};

struct mlt_live_item {
    struct mlt_subscription subscription;
    struct mlt_live_lane *lane; /* NULL: the shared one */
    size_t table_bytes;         /* that it takes in the message of the table, at most */
    char principal[MLT_LIVE_NAME_BYTES_MAX + 1], consumer[MLT_LIVE_NAME_BYTES_MAX + 1];
    char request[MLT_LIVE_NAME_BYTES_MAX + 1];
    uint64_t sequence;         /* in the log */
    uint64_t written;          /* sequence that the bucket has; 0: none */
    uint64_t written_revision; /* of the bucket's value, as it was written here; 0: not known */
    uint64_t revision;         /* of the table since which it is in force */
    int64_t lease_end_ns;      /* since 1970, as it is told, listed and written; 0: none */
    int64_t lease_over_ns;     /* monotonic: when it does end */
    enum mlt_live_state state;
};

/* The lane's filters as messages in `out`, in the order in which they came, and pointers to them in
 * `list`; both have room for MLT_LIVE_FILTERS_MAX. Views of the lane. How many. */
size_t mlt_live_comparisons(const struct mlt_live_lane *lane, Meltica__V1__Comparison *out,
                            Meltica__V1__Comparison **list);
/* A live subscription as a record of the log says it, but for active, verb and time; all of it are
 * views, of the item and of comparisons and filter, which hold MLT_LIVE_FILTERS_MAX each. */
void mlt_live_record(const struct mlt_live_item *item, Meltica__V1__ControlRecord *record,
                     Meltica__V1__Comparison *comparisons, Meltica__V1__Comparison **filter);

struct mlt_live {
    size_t count, capacity, patterns, lanes, table_bytes;
    struct mlt_live_item **items; /* by id: the same whatever of the log is still there to replay */
};

void mlt_live_init(struct mlt_live *live);
void mlt_live_fini(struct mlt_live *live);

/* What the log says of one subscription, at a sequence above all before. *changed: the union may be
 * another one; else only the lease is. An ended subscription that is not known changes nothing.
 * An item that is replaced or removed stays until mlt_live_release, because mlt_live_undo may need
 * it. E_PROTOCOL (a record that no Control Bus writes: type
 * unknown or without a route, no valid name, pattern or lane; or the id of a subscription that is
 * live of another principal or consumer), E_LIMIT, E_NOMEM: nothing changed.
 */
enum mlt_status mlt_live_apply(struct mlt_live *live, const struct mlt_table *table,
                               const Meltica__V1__ControlRecord *record, uint64_t sequence,
                               struct mlt_live_item **released, bool *changed) MLT_MUST_CHECK;
void mlt_live_release(struct mlt_live_item *item); /* NULL is fine */
/* Takes back what apply did for a subscription when the catalogue could not follow; released is
 * what apply gave, the live half's again. */
void mlt_live_undo(struct mlt_live *live, const char *id, struct mlt_live_item *released);

struct mlt_live_item *mlt_live_find(const struct mlt_live *live, const char *id);
/*
 * Leases end by the monotonic clock, so that no step of the wall clock ends one or makes it last.
 * What the log says are times of the wall clock; how long the lease was to last is lease_end - time
 * of its record.
 */
struct mlt_live_clocks {
    int64_t wall_ns, mono_ns;
};
/* When the lease of the item ends by that clock; the record is the one that the item is of. A
 * record that was written just now (old: false) gives what it says from now on, whatever its
 * writer's clock; an old one, read at the start, what is left of it, and never more than it says.
 * Where its end is not what this clock has for it by MLT_LIVE_LEASE_OFF_NS, the item's end is this
 * clock's. */
#define MLT_LIVE_LEASE_OFF_NS (10 * MLT_NS_PER_S)
void mlt_live_lease(struct mlt_live_item *item, const Meltica__V1__ControlRecord *record, bool old,
                    const struct mlt_live_clocks *now);
/* After a step of the wall clock: the ends that are told are its times again. */
void mlt_live_tell_leases(struct mlt_live *live, const struct mlt_live_clocks *now);
/* The one whose lease ends first; NULL: no leases. */
struct mlt_live_item *mlt_live_next_lease(const struct mlt_live *live);

#endif
