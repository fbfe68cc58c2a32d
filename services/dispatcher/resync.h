/*
 * Answers meltica.int.resync: a book needs a snapshot, or trades are missing. The request is judged
 * by the table, and then asked of the Adapter (meltica.int.fetch) by a thread of its own, so that
 * an Adapter that is slow or away holds up neither the flow nor the table. One that is known to be
 * away is not asked: a second for each of its books would be the others' too. What waits is
 * bounded; what finds no place is refused at once. Counts are by outcome.
 */
#ifndef MELTICA_DISPATCHER_RESYNC_H
#define MELTICA_DISPATCHER_RESYNC_H

#include "demand.h"

#include "meltica/base/clock.h"
#include "meltica/bus/bus.h"

#define MLT_RESYNC_WAITING_MAX 1024u
#define MLT_RESYNC_FETCH_NS MLT_NS_PER_S /* an Adapter answers within so long, or is silent */

struct mlt_resync;

struct mlt_resync_ports {
    /* mlt_demand_of with the Dispatcher's lock. Threads of the subscription. */
    const char *(*demand)(void *ctx, struct mlt_slice instrument, const struct mlt_want *want,
                          struct mlt_demand *demand);
    /* mlt_reconciler_away and _silent of the instrument's partition. Those threads and its own. */
    bool (*away)(void *ctx, struct mlt_slice instrument);
    void (*silent)(void *ctx, struct mlt_slice instrument, int64_t at_ns);
    /* False: another Dispatcher may know better, and a request is not answered here. NULL: there is
     * none. Threads of the subscription. */
    bool (*may)(void *ctx);
    void *ctx;
};

enum mlt_resync_outcome {
    MLT_RESYNC_ACCEPTED, /* the Adapter has it */
    MLT_RESYNC_REFUSED,  /* by the table: unknown_instrument, not_subscribed, no_route; or parse */
    MLT_RESYNC_BUSY,     /* too many wait */
    MLT_RESYNC_AWAY,     /* no Adapter, or it does not answer: adapter_away, adapter_silent */
    MLT_RESYNC_ADAPTER,  /* the Adapter said no, in its own words */
    MLT_RESYNC_OUTCOME_COUNT
};
const char *mlt_resync_outcome_word(enum mlt_resync_outcome outcome); /* static */

struct mlt_resync_stats {
    uint64_t outcomes[MLT_RESYNC_OUTCOME_COUNT];
};

/* Serves from now on. control must outlive it. E_NOMEM, E_INTERNAL, and what subscribing says. */
enum mlt_status mlt_resync_create(struct mlt_bus *control, const struct mlt_resync_ports *ports,
                                  struct mlt_resync **resync, struct mlt_error *err) MLT_MUST_CHECK;
/* Waits for a call in hand, MLT_RESYNC_FETCH_NS at most; what waits is not answered. NULL is fine.
 */
void mlt_resync_destroy(struct mlt_resync *resync);
/* Any thread. */
void mlt_resync_get_stats(struct mlt_resync *resync, struct mlt_resync_stats *out);

#endif
