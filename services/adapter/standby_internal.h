/* Between standby.c (the loop's: who speaks, what is told) and standby_claims.c (the ports). */
#ifndef MELTICA_ADAPTER_STANDBY_INTERNAL_H
#define MELTICA_ADAPTER_STANDBY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "adapter.h"
#include "cover.h"
#include "meltica/bus/store.h"
#include "meltica/service/replicas.h"

/* The claims of one take-over: they end together. */
struct mlt_standby_claims {
    struct mlt_claims *claims;
    uint64_t partitions;
    uint64_t epochs[MLT_SLOT_COUNT];
};

/* How far it has ended. */
enum mlt_standby_end {
    MLT_STANDBY_LIVES,
    MLT_STANDBY_SETTLES,    /* what it said is to be acknowledged, and a warm one to be heard */
    MLT_STANDBY_HANDS_OVER, /* another one is to speak */
    MLT_STANDBY_ENDS_LINES,
    MLT_STANDBY_LEAVES /* what was said as lines ended is to be acknowledged */
};

enum mlt_standby_claimed { MLT_STANDBY_NEVER, MLT_STANDBY_GRANTED, MLT_STANDBY_FAILED };

struct mlt_standby {
    struct mlt_adapter *adapter;

    /* The loop's. */
    struct mlt_timer *look, *leave;
    struct mlt_cover_have have[MLT_SLOT_COUNT];
    uint64_t missing;                 /* partitions of instruments that would be said to be down */
    int64_t ended_ns[MLT_SLOT_COUNT]; /* when it was said that a line has ended, at the latest */
    int64_t lines_since_ns[MLT_SLOT_COUNT]; /* mlt_lines_heard_since */
    int64_t looked_ns;
    int64_t prepare_by_ns; /* being cold is waited for until then; 0: something else lacks */
    bool prepared;
    bool all_spoken;                            /* somebody speaks for each partition */
    int64_t stalled_since_ns, stalled_until_ns; /* what was not read in time may be unread still */
    enum mlt_standby_end end;
    uint64_t leaving; /* to be handed over as this one ends */
    int64_t drain_ns, leave_by_ns;
    bool frozen; /* nothing is read any more */
    struct mlt_gauge *speaking, *held, *warm, *unguarded, *bytes;
    struct mlt_counter *taken_covered, *taken_open, *lost, *handed_over, *claims_failed;

    /* The keeper's. */
    struct mlt_store *store;
    struct mlt_standby_claims claims[MLT_SLOT_COUNT];
    size_t claims_count;

    _Atomic enum mlt_standby_claimed claimed; /* how the last claim went */

    pthread_mutex_t lock; /* what follows; no lock but the hop's is taken under it */
    struct mlt_replicas *replicas;
    struct mlt_owners_beat own; /* partitions that are spoken for, as the beats say it */
    int64_t need_since_ns[MLT_SLOT_COUNT];
    uint64_t claiming;                /* claimed, or about to be, and not spoken for yet */
    uint64_t granted[MLT_SLOT_COUNT]; /* epoch of a claim that the loop has not heard of */
    uint64_t outbid[MLT_SLOT_COUNT];  /* epoch of somebody else's, the same */
    struct mlt_cover_said said[MLT_SLOT_COUNT];
    struct mlt_cover_peer peers[MLT_COVER_PEERS_MAX];
    int64_t seen_ns[MLT_SLOT_COUNT]; /* when whoever speaks was heard last; 0: never */
    int64_t warm_ns[MLT_SLOT_COUNT]; /* when somebody else said last that it is warm; 0: never */
    bool posted, draining, gone;
    bool tried; /* a claim of those that are being claimed may be written */
};

static inline uint64_t mlt_standby_bit(uint32_t partition)
{
    return UINT64_C(1) << partition;
}

/* ---- standby_claims.c ---- */
enum mlt_status mlt_standby_open(struct mlt_standby *standby, struct mlt_error *err) MLT_MUST_CHECK;
void mlt_standby_close(struct mlt_standby *standby);
/* Under the lock: that somebody speaks for the partition now. */
bool mlt_standby_spoken(const struct mlt_standby *standby, uint32_t partition, int64_t now_ns);

/* ---- standby.c ---- */
/* Posted by the ports: claims were granted or outbid. */
void mlt_standby_news(void *ctx);

#endif
