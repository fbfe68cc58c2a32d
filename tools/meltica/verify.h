/*
 * Joins one instrument late and checks what comes, as docs/late-join.md has it: over NATS alone,
 * with a book of its own. One call is one joiner; several may run at once, each on a thread of its
 * own, on one bus.
 */
#ifndef MELTICA_TOOL_VERIFY_H
#define MELTICA_TOOL_VERIFY_H

#include "follow.h"
#include "meltica/bus/bus.h"

#define MLT_VERIFY_BUCKET "meltica-snapshots"
#define MLT_VERIFY_JOIN_NS INT64_C(5000000000) /* given up without a book after so long */
#define MLT_VERIFY_AGAIN_NS INT64_C(50000000)  /* between two reads of the checkpoint */

struct mlt_verify_options {
    struct mlt_bus *bus; /* CONTROL, connected; borrowed */
    const char *instrument;
    int64_t duration_ns; /* how long to follow once joined */
    int stop;            /* descriptor that is readable when it is to end now; -1: none */
};

struct mlt_verify_result {
    int64_t join_ns;           /* from the subscription to the first join; -1: never */
    uint64_t checkpoint_reads; /* gets of the bucket */
    uint64_t foreign, dropped; /* messages that are no events of it; that came too fast */
    int64_t last_update_id;    /* of the own book; 0: none at the end */
    struct mlt_follow_counts counts;
    enum mlt_book_state state; /* as said last */
    uint32_t digest;           /* the same */
    bool right;                /* the verdict */
    uint64_t compared;         /* digests and books, right or wrong */
    bool undecided;            /* not right, and yet nothing was wrong: nothing was compared, or the
                                * book was not LIVE at the end */
    char malformed[160];       /* of the checkpoint, which no later one makes good; "": never */
    bool joined;               /* at the end */
    char reason[400];          /* why not; "" when right */
};

/* Blocks for the duration and up to MLT_VERIFY_JOIN_NS more. A verdict, right or not, is MLT_OK;
 * E_NOMEM, and what subscribing may fail with, are failures of the check itself. */
enum mlt_status mlt_verify(const struct mlt_verify_options *options,
                           struct mlt_verify_result *result, struct mlt_error *err) MLT_MUST_CHECK;

/* The result as one JSON object without line end. */
enum mlt_status mlt_verify_json(const struct mlt_verify_result *result, const char *instrument,
                                struct mlt_buf *out) MLT_MUST_CHECK;

#endif
