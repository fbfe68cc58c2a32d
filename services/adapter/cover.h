/*
 * Whether an Adapter that holds a partition can take it over without a loss: what the one that
 * speaks for it has said of itself, against what the stand-by has gathered
 * (docs/decisions/0021-hot-standby.md). Pure. Times are this process's monotonic ns.
 */
#ifndef MELTICA_ADAPTER_COVER_H
#define MELTICA_ADAPTER_COVER_H

#include "meltica/bus/owners.h"

/* What two Adapters, their beats and two front ends of the exchange may differ by. */
#define MLT_COVER_MARGIN_NS (3 * MLT_NS_PER_S)

/* By how much the clock of another process is behind ours, and what its beats need at least to
 * come: what comes later than that was made earlier. Clocks drift, so that only the last minute
 * counts. */
#define MLT_COVER_WINDOW_NS (30 * MLT_NS_PER_S)
#define MLT_COVER_STEADY_NS MLT_NS_PER_S
#define MLT_COVER_PEERS_MAX 16u

struct mlt_cover_peer {
    uint64_t boot;                   /* 0: free */
    int64_t ahead_ns, ahead_last_ns; /* least in this window, and in the one before it */
    int64_t window_ns;               /* when this one began */
    int64_t first_ns, last_ns;       /* when it was heard first, and last */
};

/* When a beat of another Adapter was made, at the latest, by our clock: it came not before at_ns.
 * INT64_MIN for one that is not heard for long enough to tell; a burst of what waited somewhere is
 * no time. Of more peers than there is room for the one that was heard least recently is forgotten.
 */
int64_t mlt_cover_made(struct mlt_cover_peer peers[MLT_COVER_PEERS_MAX],
                       const struct mlt_owners_beat *beat, int64_t at_ns);

/* Of one partition: who speaks for it, by the last beat that named it. */
struct mlt_cover_said {
    uint64_t boot, epoch; /* 0: nobody was heard */
    int64_t heard_ns;     /* not later than when that beat was made; INT64_MIN: not known */
    int64_t need_ns;      /* how far back from then whoever follows has to begin */
    uint64_t plan_boot;   /* 0: it did not say, nor need_ns */
    uint64_t plan_revision;
    bool released; /* it said after that that it gave the partition up */
};

/* Of one partition: what the stand-by has. */
struct mlt_cover_have {
    int64_t ring_since_ns;   /* the hop's ring has everything that came since then */
    int64_t topics_since_ns; /* every topic was brought without a pause since then, but for those
                                whose instruments will be said to be down */
    uint64_t plan_boot;      /* of the Dispatcher; 0: no plan */
    uint64_t plan_revision;
};

enum mlt_cover {
    MLT_COVERED,
    MLT_COVER_NOBODY, /* nobody was heard to speak for it */
    MLT_COVER_UNSAID, /* who did, did not say what is needed */
    MLT_COVER_PLAN,   /* the plan here is another Dispatcher's, or older */
    MLT_COVER_RING,   /* the ring does not go back so far, or something was lost in it */
    MLT_COVER_TOPICS, /* a topic was not brought for so long */
    MLT_COVER_COUNT
};
/* "covered", "nobody_heard", ... */
const char *mlt_cover_word(enum mlt_cover cover);

/* A beat of another Adapter, made not before made_ns (mlt_cover_made): what it says of the
 * partition becomes *said. One that is deaf, that has not claimed yet, or that has a lower epoch
 * than another one that was heard, says nothing of it. */
void mlt_cover_heard(struct mlt_cover_said *said, const struct mlt_owners_beat *beat,
                     uint32_t partition, int64_t made_ns);

/* From when on whoever follows has to say everything; INT64_MIN where that is not known. */
int64_t mlt_cover_from(const struct mlt_cover_said *said);

/* MLT_COVERED, or the first reason why not. */
enum mlt_cover mlt_cover_judge(const struct mlt_cover_said *said,
                               const struct mlt_cover_have *have);

#endif
