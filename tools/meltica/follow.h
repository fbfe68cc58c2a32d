/*
 * Follows one instrument as docs/late-join.md has it: buffers deltas until a checkpoint or a
 * resetting snapshot joins them, applies what follows, and compares its own book with each digest
 * of the stream. A pure machine: where checkpoints come from is the caller's. One thread at a time.
 */
#ifndef MELTICA_TOOL_FOLLOW_H
#define MELTICA_TOOL_FOLLOW_H

#include "own_book.h"

struct mlt_follow;

struct mlt_follow_counts {
    uint64_t events;                       /* with a sequence */
    uint64_t deltas;                       /* applied */
    uint64_t covered;                      /* deltas that the book had already */
    uint64_t digests_right, digests_wrong; /* of deltas and of checkpoints */
    uint64_t books;                        /* BOOK events */
    /* LIVE ones by digest and levels; unchecked: of a state that is not held (any more). */
    uint64_t books_right, books_wrong, books_unchecked;
    uint64_t sequence_holes;      /* sequences missing within an epoch, and at its beginning */
    uint64_t repeats;             /* (epoch, sequence) not above the last one */
    uint64_t early;               /* checkpoints that turned out to be from before the stream */
    uint64_t update_gaps;         /* update ids that do not follow each other */
    uint64_t checkpoints, resets; /* taken */
    uint64_t crossed;             /* own book after a delta */
    uint64_t forgotten;           /* deltas dropped from a full buffer */
    uint64_t lives;               /* STATUS LIVE */
};

enum mlt_follow_answer {
    MLT_FOLLOW_JOINED,
    MLT_FOLLOW_OLDER,     /* of an earlier epoch, or before what is buffered: get it again */
    MLT_FOLLOW_NOT_LIVE,  /* the book in it is not right: get it again */
    MLT_FOLLOW_MALFORMED, /* no book that could be used */
};

enum mlt_status mlt_follow_create(struct mlt_follow **out) MLT_MUST_CHECK;
void mlt_follow_destroy(struct mlt_follow *follow); /* NULL is fine */

/* One event of the instrument, in the order of arrival; nothing of it is kept. E_NOMEM. */
enum mlt_status mlt_follow_event(struct mlt_follow *follow,
                                 const struct mlt_event *event) MLT_MUST_CHECK;

/* True while the book is not known and a checkpoint could help. */
bool mlt_follow_wants_checkpoint(const struct mlt_follow *follow);
/* E_NOMEM. */
enum mlt_status mlt_follow_checkpoint(struct mlt_follow *follow,
                                      const struct mlt_book_checkpoint *checkpoint,
                                      enum mlt_follow_answer *answer) MLT_MUST_CHECK;

bool mlt_follow_joined(const struct mlt_follow *follow);
/* Of use only while joined. */
const struct mlt_own_book *mlt_follow_book(const struct mlt_follow *follow);
/* As STATUS and BOOK said last; NONE before. */
enum mlt_book_state mlt_follow_state(const struct mlt_follow *follow);
const struct mlt_follow_counts *mlt_follow_get_counts(const struct mlt_follow *follow);
/* What was wrong first; "" when nothing was. */
const char *mlt_follow_wrong(const struct mlt_follow *follow);

#endif
