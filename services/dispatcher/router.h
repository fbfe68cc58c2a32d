/*
 * The hot path of the Dispatcher: a batch of native instances in, canonical events out through
 * ports. For each element: decode, take a listing into the catalogue, find the route by (type,
 * instrument) with one hash lookup, apply its policies, make the canonical event and encode it in
 * the place the hop gives. A stream's instance that is refused leaves a STATUS LOST in its place
 * where its type is subscribed, which is for the Conductor alone. After warm-up nothing is
 * allocated per message. Pure but for its ports; the caller locks.
 */
#ifndef MELTICA_DISPATCHER_ROUTER_H
#define MELTICA_DISPATCHER_ROUTER_H

#include "catalogue.h"
#include "policy.h"
#include "reject.h"

#define MLT_ROUTER_ARENA_BYTES_MAX                                                                 \
    (4u << 20) /* one decoded element: two sides of 10,000 levels fit */

struct mlt_router_ports {
    /* Place for one encoded event of `bytes` bytes in a partition, then end (hop.h). */
    enum mlt_status (*begin)(void *ctx, uint32_t partition, size_t bytes, uint8_t **out);
    void (*end)(void *ctx, uint32_t partition);
    /* Something of the partition was lost before the next element. */
    void (*lost)(void *ctx, uint32_t partition);
    /* A refusal was published: for the log. */
    void (*rejected)(void *ctx, const struct mlt_rejection *rejection);
    /* Time from the Adapter's stamp to the dispatched one, for each event that leaves. NULL is
     * fine. */
    void (*stage)(void *ctx, int64_t duration_ns);
    /* A listing was taken, whether or not anything of its instrument is subscribed: its canonical
     * event. Views are valid during the call. NULL is fine. */
    void (*listed)(void *ctx, const struct mlt_event *event);
    /* An event was handed on: for traces. NULL is fine. */
    void (*sent)(void *ctx, const struct mlt_event *event);
    void *ctx;
    const struct mlt_clock *clock;
};

struct mlt_router_counts {
    uint64_t in, out;
    uint64_t
        unsubscribed; /* routed type, but nobody asked for it of this instrument (or interval) */
    uint64_t discarded[MLT_DISCARD_COUNT];
    uint64_t filtered[MLT_EVENT_TYPE_COUNT];
    uint64_t enrich_failed, rejected, lost;
    uint64_t losses; /* refused instances of which the Conductor was told */
    uint64_t ended;  /* instruments of whose books the Conductor was told that nobody asks */
};

struct mlt_router;

/* table, catalogue and rejector must outlive the router. exchange is copied (at most 31 bytes). */
enum mlt_status mlt_router_create(const struct mlt_table *table, struct mlt_catalogue *catalogue,
                                  struct mlt_rejector *rejector, uint32_t partitions,
                                  const char *exchange, const struct mlt_router_ports *ports,
                                  struct mlt_router **router) MLT_MUST_CHECK;
void mlt_router_destroy(struct mlt_router *router); /* NULL is fine */

/* One batch of a partition, in order. lost_before: something of it was lost before the batch, which
 * is passed on before its first element. */
void mlt_router_batch(struct mlt_router *router, uint32_t partition, struct mlt_slice batch,
                      bool lost_before);

/* What is subscribed is computed anew (mlt_catalogue_subscribe), once after each time: of each
 * instrument whose book and deltas nobody asks for any more the Conductor is told, by a STATUS IDLE
 * (`stopped`) in its place in the flow. It is for the Conductor alone. */
void mlt_router_ended(struct mlt_router *router);

void mlt_router_counts(const struct mlt_router *router, struct mlt_router_counts *out);

#endif
