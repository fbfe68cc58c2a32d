/* Books that an owner before left: taken over STALE, brought forward by what it had put out
 * already, LIVE by what follows. See core.h and docs/decisions/0010-books.md. */
#include "core_internal.h"
#include "meltica/event/record.h"

static bool shows(enum mlt_book_state state)
{
    return state == MLT_BOOK_LIVE || state == MLT_BOOK_STALE;
}

/* Both are of one instrument and exponents, and the levels are those that were written. */
static bool usable(const struct mlt_event *book, const struct mlt_book_checkpoint *checkpoint)
{
    return book->type == MLT_EVENT_BOOK && shows(book->u.book.state) && shows(checkpoint->state) &&
           mlt_slice_equal(book->instrument, checkpoint->instrument) &&
           checkpoint->bids.count + checkpoint->asks.count > 0 && checkpoint->last_update_id > 0 &&
           checkpoint->digest_version == MLT_ORDERBOOK_DIGEST_VERSION &&
           checkpoint->digest == mlt_book_digest(&checkpoint->bids, &checkpoint->asks);
}

static int64_t age_of(const struct mlt_conductor_core *core, int64_t wall_ns)
{
    return wall_ns > 0 ? core->ports.clock->wall_ns(core->ports.clock->ctx) - wall_ns : 0;
}

enum mlt_status mlt_conductor_core_restore(struct mlt_conductor_core *core,
                                           const struct mlt_event *book,
                                           const struct mlt_book_checkpoint *checkpoint,
                                           bool source_up)
{
    struct instrument *i = NULL;
    if (!core->makes_books) {
        return MLT_E_INVALID;
    }
    if (!usable(book, checkpoint)) {
        return MLT_E_PROTOCOL;
    }
    enum mlt_status status = mlt_conductor_instrument(core, book->instrument, &i);
    if (status == MLT_OK && (i->epoch != 0 || i->fused != NULL)) {
        status = MLT_E_EXISTS;
    }
    const struct mlt_levels *of =
        checkpoint->bids.count > 0 ? &checkpoint->bids : &checkpoint->asks;
    if (status == MLT_OK) {
        status = mlt_conductor_equip(core, i, of->price_exponent, of->quantity_exponent);
    }
    if (status != MLT_OK) {
        return status;
    }
    const struct mlt_fusion_left left = {
        .sync = { .last_update_id = checkpoint->last_update_id,
                  .bids = checkpoint->bids,
                  .asks = checkpoint->asks,
                  .bids_whole = checkpoint->bids_whole,
                  .asks_whole = checkpoint->asks_whole,
                  .snapshot_age_ns = age_of(core, checkpoint->snapshot_time_ns) },
        .book = book,
        .snapshot_update_id = checkpoint->snapshot_update_id,
        .snapshot_time_ns = checkpoint->snapshot_time_ns,
    };
    struct fused *f = i->fused;
    status = mlt_fusion_restore(f->fusion, &left); /* else it is IDLE, and starts as ever */
    f->restored = f->unsaid = f->wanted = f->recorded = status == MLT_OK;
    f->asleep = book->u.book.state == MLT_BOOK_STALE && !source_up;
    i->source_down = f->asleep;
    return status;
}

bool mlt_conductor_core_source_up(const struct mlt_conductor_core *core,
                                  struct mlt_slice instrument)
{
    const struct instrument *i = mlt_map_get(&core->map, instrument);
    const struct fused *f = i != NULL ? i->fused : NULL;
    return f != NULL && mlt_fusion_source_up(f->fusion) &&
           !(f->asleep && mlt_fusion_restored(f->fusion));
}

void mlt_conductor_core_restored(struct mlt_conductor_core *core, uint32_t partition)
{
    for (size_t n = 0; n < core->fused_count; n++) {
        struct fused *f = core->fused[n];
        struct instrument *i = f->instrument;
        if (!f->unsaid || i->slot % core->partitions != partition || !mlt_conductor_owns(core, i)) {
            continue;
        }
        const struct channel *deltas = &i->channels[MLT_EVENT_BOOK_DELTA];
        f->unsaid = false;
        mlt_fusion_await(f->fusion, deltas->has_position ? deltas->position : 0,
                         f->asleep ? INT64_MAX : core->books.restore_wait_ns);
        mlt_conductor_enter_epoch(core, i);
        mlt_conductor_announce(core, f);
        mlt_conductor_book_if_due(core, f);
    }
}

void mlt_conductor_books_again(struct mlt_conductor_core *core, struct instrument *i,
                               const struct mlt_event *event)
{
    struct fused *f = i->fused;
    const bool delta = event->type == MLT_EVENT_BOOK_DELTA;
    if (f == NULL && mlt_conductor_of_source(event)) {
        mlt_conductor_take_source(i, event);
    }
    if ((!delta && !mlt_conductor_of_source(event)) || f == NULL || f->unsaid ||
        i->epoch != core->epochs[i->slot]) {
        return;
    }
    /* DOWN ends a restored book, and the UP that was said behind it has to end that. */
    if (!mlt_fusion_restored(f->fusion) && (delta || !f->down_again)) {
        return;
    }
    if (delta) {
        enum mlt_sync_outcome outcome;
        mlt_conductor_take_wants(i, event);
        core->counts.books_refused += mlt_fusion_replay(f->fusion, event, &outcome) != MLT_OK;
        core->counts.replayed += outcome == MLT_SYNC_APPLIED;
    } else {
        mlt_conductor_take_source(i, event);
        f->down_again = event->u.status.kind == MLT_STATUS_SOURCE_DOWN;
    }
    mlt_conductor_announce(core, f);
    mlt_conductor_book_if_due(core, f);
}

void mlt_conductor_core_again(struct mlt_conductor_core *core, const struct mlt_event *event)
{
    struct instrument *i = mlt_map_get(&core->map, event->instrument);
    if (i != NULL && mlt_conductor_owns(core, i)) {
        mlt_conductor_books_again(core, i, event);
    }
}

void mlt_conductor_core_resync_refused(struct mlt_conductor_core *core, struct mlt_slice instrument)
{
    struct instrument *i = mlt_map_get(&core->map, instrument);
    struct fused *f = i != NULL ? i->fused : NULL;
    /* One that never was LIVE may be one that nobody can fetch, and its deltas go on. */
    const bool over = f != NULL && (f->restored ? !f->heard : f->was_live && f->unheard);
    if (!over || !mlt_conductor_owns(core, i)) {
        mlt_conductor_core_resync_failed(core, instrument);
        return;
    }
    mlt_conductor_books_stopped(core, i);
}
