/* What the two halves of a book's synchronisation know of each other: sync.c, its states, requests
 * and deltas; sync_snapshot.c, what a snapshot is good for. */
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
    uint32_t seed_depth;      /* asked for by the snapshot that the book is from */
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
/* The deltas are where the book, or what is asked of a snapshot, is. */
void mlt_sync_reached(struct mlt_sync *sync);
/* A request came to nothing, or its answer was of no use. */
void mlt_sync_failed(struct mlt_sync *sync);

#endif
