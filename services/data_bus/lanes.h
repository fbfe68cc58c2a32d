/*
 * Private lanes: of what leaves, to the subject of one subscription only what passes its filter,
 * and no more of one instrument than its throttle lets through (docs/control.md). Numbers are those
 * of the instrument's channels; `lane_previous` names the event before on the lane, so that what is
 * left out and what is lost can be told apart (RULINGS 4). Pure: the caller locks and keeps time.
 */
#ifndef MELTICA_DATA_BUS_LANES_H
#define MELTICA_DATA_BUS_LANES_H

#include "meltica/base/buf.h"
#include "meltica/base/clock.h"
#include "routing.h"

#define MLT_LANES_MAX 256u
#define MLT_LANES_PLACES_MAX 16384u /* (lane, instrument) of all lanes */

struct mlt_lanes;

struct mlt_lanes_ports {
    /* An encoded event for its subject. False: it did not leave; the next one shows it. */
    bool (*publish)(void *ctx, const char *subject, struct mlt_slice event);
    void *ctx;
    const struct mlt_clock *clock;
};

struct mlt_lanes_counts {
    uint64_t out, filtered, merged; /* merged: into a newer one of their window */
    uint64_t undelivered;
    uint64_t refused; /* lanes or places beyond the maxima, or without memory */
    uint64_t lanes;   /* now */
};

enum mlt_status mlt_lanes_create(const struct mlt_lanes_ports *ports,
                                 struct mlt_lanes **lanes) MLT_MUST_CHECK;
void mlt_lanes_destroy(struct mlt_lanes *lanes); /* NULL is fine */

/* The lanes of this table from now on. Those that stay go on where they are; of those that end
 * nothing leaves any more, what waits for its window included. A table that does not know all
 * lanes ends none. What finds no place is left out and counted. */
void mlt_lanes_set(struct mlt_lanes *lanes, const struct mlt_routing *routing);

/* One event of the flow, in order; its published stamp is set. */
void mlt_lanes_event(struct mlt_lanes *lanes, const struct mlt_event *event);

/* When something is due, monotonic; INT64_MAX: nothing waits. May be too early, never too late. */
int64_t mlt_lanes_due_ns(const struct mlt_lanes *lanes);
/* Sends what has waited for its window, or (all) whatever waits. */
void mlt_lanes_flush(struct mlt_lanes *lanes, bool all);

void mlt_lanes_counts(const struct mlt_lanes *lanes, struct mlt_lanes_counts *out);

#endif
