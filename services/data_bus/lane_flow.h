/* Private lanes at work: mlt_lanes (lanes.h) behind a lock, their publisher, and a thread that lets
 * go what has waited for its window. */
#ifndef MELTICA_DATA_BUS_LANE_FLOW_H
#define MELTICA_DATA_BUS_LANE_FLOW_H

#include "lanes.h"
#include "meltica/base/error.h"
#include "meltica/bus/outbox.h"

struct mlt_lane_flow;

/* Whether something may be published now; any thread, under the flow's lock. */
struct mlt_lane_gate {
    bool (*open)(void *ctx);
    void *ctx;
};

/* outbox is the caller's, and outlives it. While the gate is closed events wait as for room. gate
 * NULL: it is always open. E_NOMEM. */
enum mlt_status mlt_lane_flow_create(struct mlt_outbox *outbox, const struct mlt_lane_gate *gate,
                                     struct mlt_lane_flow **flow,
                                     struct mlt_error *err) MLT_MUST_CHECK;
/* As mlt_lanes_set and mlt_lanes_event; by the one thread that has the flow. An event waits for
 * room and for a connection as long as it takes, until mlt_lane_flow_stop. */
void mlt_lane_flow_set(struct mlt_lane_flow *flow, const struct mlt_routing *routing);
void mlt_lane_flow_event(struct mlt_lane_flow *flow, const struct mlt_event *event);
/* Nobody waits for room any more. Any thread. */
void mlt_lane_flow_stop(struct mlt_lane_flow *flow);
/* Nothing leaves any more: another one publishes on these lanes. Any thread. */
void mlt_lane_flow_give_up(struct mlt_lane_flow *flow);
/* What waits leaves, and the thread ends; no event may follow. More than once is fine. */
void mlt_lane_flow_end(struct mlt_lane_flow *flow);
/* Any thread; never waits: whoever asks may hold what opens the gate. While an event waits for room
 * or for the gate it is what was counted when somebody asked before. */
void mlt_lane_flow_counts(struct mlt_lane_flow *flow, struct mlt_lanes_counts *out);
void mlt_lane_flow_destroy(struct mlt_lane_flow *flow); /* ends it; NULL is fine */

#endif
