/*
 * Makes the Adapters have the plan: a thread that sends it whenever what flows changed, an Adapter
 * with another boot or revision appeared, or the last attempt failed (again after a second). Level-
 * triggered: the whole plan each time, one message a partition, of which those that no Adapter
 * would answer for are left out until one is heard that does. It also decides when the listing is
 * complete, and provisions the stream of rejections. Requests block, so none of it is on the loop
 * or in the flow.
 */
#ifndef MELTICA_DISPATCHER_RECONCILE_H
#define MELTICA_DISPATCHER_RECONCILE_H

#include "adapters.h"

#include "meltica/bus/bus.h"

#define MLT_RECONCILE_GATHER_NS                                                                    \
    (20 * MLT_NS_PER_MS) /* changes that come together make one plan                               \
                          */
#define MLT_RECONCILE_RETRY_NS MLT_NS_PER_S
#define MLT_RECONCILE_REQUEST_NS MLT_NS_PER_S
#define MLT_RECONCILE_SETTLED_NS                                                                   \
    (500 * MLT_NS_PER_MS) /* no further listing for so long: complete */
#define MLT_RECONCILE_STREAM_RETRY_NS (5 * MLT_NS_PER_S)
#define MLT_RECONCILE_KNOWN_NS                                                                     \
    (3 * MLT_NS_PER_S) /* after the start: every Adapter that is there has spoken */

struct mlt_reconciler;

struct mlt_reconciler_ports {
    /* Appends the plan of one partition; *revision is what it has. Takes the Dispatcher's lock. */
    enum mlt_status (*plan)(void *ctx, uint32_t partition, struct mlt_buf *out, uint64_t *revision,
                            struct mlt_error *err);
    uint64_t (*revision)(void *ctx);
    /* The listing is complete: patterns are expanded from here on. True when that changed anything.
     */
    bool (*settled)(void *ctx);
    /* A PlanStatus, as bytes: also the answer to a plan. */
    void (*heard)(void *ctx, struct mlt_slice status);
    /* False: another Dispatcher may know better; no plan is sent now, but tried again after
     * MLT_RECONCILE_RETRY_NS. NULL: there is none. */
    bool (*may)(void *ctx);
    void *ctx;
};

struct mlt_reconciler_stats {
    uint64_t plans_sent, plans_failed;
    size_t plan_bytes;    /* the largest message of the last plan */
    size_t adapters;      /* heard lately */
    bool rejected_stream; /* MELTICA_REJECTED is there */
};

/* Starts the thread, which sends no plan before mlt_reconciler_begin. control must outlive it.
 * E_NOMEM, E_INTERNAL, and what subscribing says. */
enum mlt_status mlt_reconciler_create(struct mlt_bus *control, uint32_t partitions,
                                      uint32_t provision_replicas,
                                      const struct mlt_reconciler_ports *ports,
                                      struct mlt_reconciler **reconciler,
                                      struct mlt_error *err) MLT_MUST_CHECK;
/* The table is complete, as far as it can be: plans may leave. Any thread. */
void mlt_reconciler_begin(struct mlt_reconciler *reconciler);
/* Waits for a request in hand (a second at most). NULL is fine. */
void mlt_reconciler_destroy(struct mlt_reconciler *reconciler);

/* What flows changed. Any thread, also with the Dispatcher's lock held. */
void mlt_reconciler_changed(struct mlt_reconciler *reconciler);
/* A listing came. Any thread, as changed. */
void mlt_reconciler_listing(struct mlt_reconciler *reconciler);
/* Whether nobody would answer a request for this partition: no Adapter that has it was heard
 * lately, while others were. False while it is too early to tell. Any thread, as changed. */
bool mlt_reconciler_away(struct mlt_reconciler *reconciler, uint32_t partition);
/* A request for it, made at at_ns (monotonic), had no answer. Any thread, as changed. */
void mlt_reconciler_silent(struct mlt_reconciler *reconciler, uint32_t partition, int64_t at_ns);
void mlt_reconciler_get_stats(struct mlt_reconciler *reconciler, struct mlt_reconciler_stats *out);

#endif
