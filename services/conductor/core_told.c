/* What the Dispatcher tells the Conductor in the flow, and nobody else: core.h,
 * mlt_conductor_core_event. */
#include "core_internal.h"

/* An instance of the instrument became no event: a loss of its channel, said in its place. Of
 * several between two events of it one is told. */
static void take_refused(struct mlt_conductor_core *core, struct instrument *i,
                         const struct mlt_event *told)
{
    const enum mlt_event_type type = told->u.status.lost_type;
    if (type <= MLT_EVENT_NONE || type >= MLT_EVENT_TYPE_COUNT || type == MLT_EVENT_STATUS) {
        core->counts.refused++;
        return;
    }
    core->counts.instances_refused++;
    mlt_conductor_enter_epoch(core, i);
    if (!i->channels[type].after_gap || mlt_conductor_is_merged(type)) {
        mlt_conductor_release(core, i); /* what came before the loss leaves before it is said */
    }
    if (!i->channels[type].after_gap) {
        struct mlt_event event;
        mlt_conductor_status(core, i, MLT_STATUS_LOST, MLT_LOST_REFUSED, &event);
        event.u.status.lost_type = type;
        mlt_conductor_number_and_send(core, i, &event);
        i->channels[type].after_gap = true;
    }
    if (type == MLT_EVENT_BOOK_DELTA) {
        mlt_conductor_books_refused(core, i);
    }
}

bool mlt_conductor_take_word(struct mlt_conductor_core *core, struct instrument *i,
                             const struct mlt_event *event)
{
    if (event->type != MLT_EVENT_STATUS) {
        return false;
    }
    switch (event->u.status.kind) {
    case MLT_STATUS_IDLE:
        mlt_conductor_books_stopped(core, i); /* once more changes nothing */
        return true;
    case MLT_STATUS_LOST:
        take_refused(core, i, event);
        return true;
    default:
        return false;
    }
}
