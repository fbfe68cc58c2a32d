/* Answers of REST that are ahead of all deltas: whose they are, and whether they are of now, the
 * deltas tell that come to their ids. Until then they wait here, one for each instrument, without a
 * number, and are no event of its stream. See sync.h. */
#include "core_internal.h"
#include "meltica/base/check.h"

void mlt_conductor_wait_for_deltas(struct mlt_conductor_core *core, struct instrument *i,
                                   const struct mlt_event *snapshot)
{
    struct mlt_buf *waits = &i->fused->waits;
    core->counts.unused_snapshots += waits->len > 0; /* this one takes its place */
    mlt_buf_clear(waits);
    core->waits_now = true;
    if (mlt_buf_reserve(waits, mlt_event_encoded_size(snapshot)) != MLT_OK) {
        core->counts.books_refused++;
        mlt_fusion_forget_waiting(i->fused->fusion); /* another one is asked for */
        return;
    }
    waits->len = mlt_event_encode(snapshot, waits->data);
    i->fused->waits_ns = mlt_conductor_mono_ns(core);
    core->counts.snapshots_waited++;
}

/* Out of its place, so that nothing that follows finds it there. */
static void leave(struct mlt_conductor_core *core, struct fused *f)
{
    struct instrument *i = f->instrument;
    struct mlt_event event;
    mlt_arena_reset(&core->waits_arena);
    const enum mlt_status status =
        mlt_event_decode(mlt_buf_view(&f->waits), &core->waits_arena, &event);
    if (status != MLT_OK) { /* no memory: it was encoded here */
        mlt_buf_fini(&f->waits);
        core->counts.books_refused++;
        mlt_fusion_forget_waiting(f->fusion);
        mlt_conductor_announce(core, f);
        return;
    }
    event.throttled_ns = (uint64_t)(mlt_conductor_mono_ns(core) - f->waits_ns);
    struct channel *channel = &i->channels[event.type];
    const int64_t position = mlt_event_position(&event);
    if (!channel->has_position || position > channel->position) {
        channel->position = position;
        channel->has_position = true;
    }
    f->waits.len = 0; /* the event has views of it */
    if (mlt_conductor_snapshot_leaves(core, i, &event, true)) {
        mlt_conductor_number_and_send(core, i, &event);
    }
    mlt_buf_fini(&f->waits);
    mlt_conductor_announce(core, f);
}

void mlt_conductor_waited_if_ripe(struct mlt_conductor_core *core, struct fused *f)
{
    if (f->waits.len == 0) {
        return;
    }
    switch (mlt_fusion_waiting(f->fusion)) {
    case MLT_SYNC_IT_WAITS:
        return;
    case MLT_SYNC_RIPE:
        if (mlt_conductor_current(core, f->instrument)) {
            leave(core, f);
            return;
        }
        mlt_fusion_forget_waiting(f->fusion); /* another owner's by now, who asks for its own */
        break;
    default:
        break; /* what it waited for is missing */
    }
    core->counts.unused_snapshots++;
    mlt_buf_fini(&f->waits);
}
