/*
 * All that deltas have told since the first snapshot, also of levels that no snapshot vouches for:
 * the best of them is the exchange's wherever it moved since, so that best bid and offer can be
 * compared at every update id. Nothing that is shown to anybody: deeper levels may be missing. A
 * snapshot from ahead of the deltas waits until they are there. Pure; one thread at a time.
 */
#ifndef MELTICA_TOOL_HELD_BOOK_H
#define MELTICA_TOOL_HELD_BOOK_H

#include "own_book.h"

struct mlt_held_book {
    struct mlt_own_book book;
    bool begun;
    struct mlt_book_snapshot ahead; /* its columns are `columns`; last_update_id 0: none */
    int64_t *columns;
    size_t capacity; /* int64s */
};

/* {0} holds nothing. */
void mlt_held_book_fini(struct mlt_held_book *held);
/* What is held is not known to be right: begin again with the next snapshot. */
void mlt_held_book_clear(struct mlt_held_book *held);
/* One that resets. E_NOMEM; one that is malformed holds nothing from then on. */
enum mlt_status mlt_held_book_snapshot(struct mlt_held_book *held,
                                       const struct mlt_book_snapshot *snapshot) MLT_MUST_CHECK;
/* Update ids first .. last. E_NOMEM. */
enum mlt_status mlt_held_book_delta(struct mlt_held_book *held, int64_t first, int64_t last,
                                    const struct mlt_book_delta *delta) MLT_MUST_CHECK;

#endif
