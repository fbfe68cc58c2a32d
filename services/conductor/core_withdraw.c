/* Books that nobody asks for any more: they end, and the cache shows them no longer. See core.h. */
#include "core_internal.h"

/* What is in the cache would stand there as the last one left it, LIVE, for who joins late: as no
 * book is made any more it says IDLE, and so does the checkpoint. It is no BOOK that left, nor does
 * one: no number of the channel is used up. */
void mlt_conductor_withdraw_if_due(struct mlt_conductor_core *core, struct fused *f)
{
    const struct instrument *i = f->instrument;
    struct mlt_event *book = &f->book;
    if (!f->recorded || (f->wanted && !f->ended) || f->committing || f->withdrawing ||
        core->ports.commit == NULL || !mlt_conductor_current(core, i)) {
        return;
    }
    f->recorded = f->ended = false;
    mlt_conductor_status(core, i, MLT_STATUS_IDLE, "stopped", book);
    memset(&book->u, 0, sizeof book->u);
    book->type = MLT_EVENT_BOOK;
    book->epoch = i->epoch;
    book->quality = MLT_QUALITY_STALE;
    book->first = book->last = i->channels[MLT_EVENT_BOOK].position;
    book->u.book.state = MLT_BOOK_IDLE;
    book->u.book.last_update_id = book->last;
    book->key = mlt_event_key(book->instrument, MLT_EVENT_BOOK, book->first, book->last,
                              (int64_t)MLT_BOOK_IDLE);
    core->counts.withdrawn++;
    f->withdrawing =
        core->ports.commit(core->ports.ctx, book->instrument, book, mlt_fusion_levels(f->fusion));
}

void mlt_conductor_books_stopped(struct mlt_conductor_core *core, struct instrument *i)
{
    if (i->fused == NULL) {
        return;
    }
    mlt_conductor_enter_epoch(core, i);
    i->fused->wanted = false; /* it begins again with the first delta, if there ever is one */
    mlt_fusion_stop(i->fused->fusion);
    mlt_conductor_announce(core, i->fused);
    mlt_conductor_book_if_due(core, i->fused);
}
