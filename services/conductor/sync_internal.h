/* What the parts of a book's synchronisation know of each other: sync.c, its states, requests
 * and deltas; sync_snapshot.c, what a snapshot is good for; sync_witness.c, what deltas say of one;
 * sync_reach.c, whether deltas come to where one was. */
#ifndef MELTICA_CONDUCTOR_SYNC_INTERNAL_H
#define MELTICA_CONDUCTOR_SYNC_INTERNAL_H

#include "delta_buffer.h"
#include "meltica/rt/backoff.h"
#include "sync.h"

/* How far the way of deltas may be behind that of snapshots. Both are ms behind the exchange; a
 * line that was held up sends what waited. */
#define MLT_SYNC_AHEAD_NS (3 * MLT_NS_PER_S)

struct mlt_sync_range {
    int64_t low, high; /* prices */
};

/* An answer that is ahead of all deltas that came, and waits for them. It is in flight still, as
 * far as everything else goes. */
struct mlt_sync_held {
    int64_t id;                   /* 0: none */
    uint32_t depth;               /* asked for */
    int64_t quiet_ns;             /* without a delta by then the instrument is quiet */
    int64_t behind_ns;            /* deltas have to be there by then */
    bool quiet_late, behind_late; /* and that was over once */
    bool ripe;                    /* it waits no longer */
    bool unreached;               /* as deltas went on below it for too long */
    bool asked;                   /* it was asked for */
    bool unheard; /* the source began after it was made: only a delta speaks for it */
};

struct mlt_sync {
    struct mlt_sync_options options;
    struct mlt_sync_ports ports;
    struct mlt_orderbook *book;
    struct mlt_delta_buffer buffer; /* each follows the one before; filled unless LIVE and calm */
    enum mlt_sync_state state;
    bool continuous; /* the book has missed nothing up to its last id: LIVE, or only silent */
    bool source_down, was_live;
    bool followed;  /* LIVE since it was started, or with an owner before */
    bool restored;  /* by an owner before, and no delta or snapshot since */
    int64_t needed; /* a snapshot below this id lacks what was seen and is no longer held */
    struct mlt_sync_range left; /* best bid to best ask of the book that was last given up */
    bool was_left, doubted;
    bool blurred;                /* the snapshot in hand, as mlt_sync_contradicted says */
    bool behind;                 /* below `beyond` deltas came */
    bool late;                   /* and its time was up once */
    struct mlt_sync_range doubt; /* what the last snapshot showed, which was doubted */
    int64_t doubted_ns;          /* the first one in a row that showed it */
    int64_t told_ns;             /* since then no delta came, and one would have come here */
    int64_t seen;                /* the furthest of the deltas that came, of use or not */
    /* The id of the book, or of the one before, which is what `needed` says, where it is a
     * snapshot's word alone: no delta has reached it. 0: one has. */
    int64_t beyond;
    int64_t beyond_until_ns;  /* deltas have to be there by then */
    struct mlt_backoff ahead; /* of books that were given up for it, in a row */
    /* A snapshot at this id showed changes that no delta has brought, though none was missed. 0:
     * none did. */
    int64_t owed;
    int64_t owed_until_ns;       /* deltas have to be there by then */
    bool reminded;               /* and its time was up once */
    bool mute;                   /* STALE, as they were not: only a delta makes it LIVE */
    int64_t mute_until_ns;       /* or a snapshot, from then on */
    uint32_t seed_depth;         /* asked for by the snapshot that the book is from */
    int64_t live_ns;             /* since then it is LIVE, or was */
    struct mlt_backoff refusals; /* of deltas that could not be read, of a book just LIVE again */
    struct mlt_sync_held held;
    struct mlt_backoff audits; /* of books and snapshots that differed, in a row */
    bool in_flight;
    bool outdated; /* in flight since before something was missed: its answer may lack that */
    int64_t request_due_ns;        /* in flight: given up then */
    enum mlt_sync_need asked_need; /* of the last request, with its depth */
    uint32_t asked_depth;
    uint32_t stray_depth;              /* of the one before, which may be answered yet; 0: none */
    bool stray_outdated;               /* that answer may lack what was missed since */
    int64_t retry_at_ns, refine_at_ns; /* no request before: at all, while LIVE */
    int64_t heard_ns, snapshot_ns;
    struct mlt_backoff backoff;
    struct mlt_sync_counts counts;
};

static inline int64_t mlt_sync_later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* sync.c */
int64_t mlt_sync_now_ns(const struct mlt_sync *sync);
/* Into a state, and tells it where it is another one. */
void mlt_sync_go(struct mlt_sync *sync, enum mlt_sync_state to, enum mlt_sync_reason reason,
                 int64_t first, int64_t last);
/* Nothing of it is wanted, or can come. */
bool mlt_sync_idle(const struct mlt_sync *sync);
/* Soon nothing could be shown. */
bool mlt_sync_thin(const struct mlt_sync *sync);
/* Best bid and best ask; false: it has not both. */
bool mlt_sync_top_of(const struct mlt_sync *sync, struct mlt_sync_range *top);
void mlt_sync_request_if_due(struct mlt_sync *sync);
/* What the book has is of no use any more: a GAP. */
void mlt_sync_tear(struct mlt_sync *sync, enum mlt_sync_reason reason, int64_t first, int64_t last);
/* The book is no longer known to be right. */
void mlt_sync_break_off(struct mlt_sync *sync);
/* The answer on its way, or that waits, may lack what was missed just now. */
void mlt_sync_outdate(struct mlt_sync *sync);
/* A request came to nothing, or its answer was of no use. */
void mlt_sync_failed(struct mlt_sync *sync);
/* Leaving LIVE: what the book asked for until now was not urgent. Its failures are no reason for
 * the resync to wait, nor will its request do, which stands behind those of all others. */
void mlt_sync_begin_anew(struct mlt_sync *sync);

/* sync_witness.c */
/* Deltas that came say other than the snapshot of what it shows: it is another instrument's.
 * *blurred: few levels differ, in the middle of a delta. */
bool mlt_sync_contradicted(const struct mlt_sync *sync, const struct mlt_book_snapshot *snapshot,
                           bool *blurred);

/* sync_reach.c */
/* An answer waits for the deltas. */
void mlt_sync_hold(struct mlt_sync *sync, int64_t id, uint32_t depth, bool asked, bool outdated);
/* Nothing waits; what was in flight is not. */
void mlt_sync_end_wait(struct mlt_sync *sync);
/* A delta came to `last`, and was taken: whether that is what is waited for. */
void mlt_sync_ripen(struct mlt_sync *sync, int64_t last);
/* Whether it is too long that none came. */
void mlt_sync_waits_no_longer(struct mlt_sync *sync, int64_t now);
/* The deltas are where the book, or what is asked of a snapshot, is. */
void mlt_sync_reached(struct mlt_sync *sync);
/* A delta came; moved: none came as far before. It shows whether the ids of snapshots are those of
 * its stream, which comes there in time. */
void mlt_sync_came(struct mlt_sync *sync, int64_t last, bool moved);
/* It shows other levels than the book has, as far as both are known. */
bool mlt_sync_differs(const struct mlt_sync *sync, const struct mlt_book_snapshot *snapshot);
/* A snapshot shows changes beyond what has missed nothing: the stream owes them. */
bool mlt_sync_owes(const struct mlt_sync *sync, const struct mlt_book_snapshot *snapshot);
/* It does, up to this id. */
void mlt_sync_owe(struct mlt_sync *sync, int64_t id);
/* Where its time is up: STALE. */
void mlt_sync_remind(struct mlt_sync *sync, int64_t now);

#endif
