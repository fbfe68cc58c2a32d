/*
 * Who of the replicas of a service owns which partitions, and which of them another one takes over:
 * the half that decides, without NATS, threads or clocks (docs/decisions/0020-standby.md). The
 * caller sends a beat each MLT_OWNERS_BEAT_NS, hands in those that it hears, its own among them,
 * and claims what mlt_owners_due says.
 *
 * `now` is this process's monotonic time in ns, everywhere: of a beat counts when it was heard,
 * never what another host's clock says. Who does not hear its own beats is cut off, and takes
 * nothing, and says so. Partitions are bits of a uint64_t: at most 64. The caller locks.
 */
#ifndef MELTICA_BUS_OWNERS_H
#define MELTICA_BUS_OWNERS_H

#include "meltica/base/buf.h"
#include "meltica/base/clock.h"
#include "meltica/base/error.h"

#define MLT_OWNERS_PARTITIONS_MAX 64u
#define MLT_OWNERS_PEERS_MAX 64u
#define MLT_OWNERS_INSTANCE_BYTES_MAX 256u
#define MLT_OWNERS_BEAT_BYTES_MAX 3072u

#define MLT_OWNERS_BEAT_NS (100 * MLT_NS_PER_MS)
/* Without a beat that names it for so long a partition has no owner. */
#define MLT_OWNERS_SILENCE_NS (800 * MLT_NS_PER_MS)
/* Without a beat of our own for so long we are cut off; what is heard after it counts from then. */
#define MLT_OWNERS_DEAF_NS (400 * MLT_NS_PER_MS)
/* After that the others have so much longer to be heard: they come back at another time. */
#define MLT_OWNERS_SETTLE_NS (1200 * MLT_NS_PER_MS)
/* Each replica waits so long for each one that comes before it. */
#define MLT_OWNERS_RANK_NS (200 * MLT_NS_PER_MS)
/* A replica that lost a partition of its own takes it back from a stand-in after this time. */
#define MLT_OWNERS_HOME_NS (10 * MLT_NS_PER_S)
/* A partition that could not be claimed is tried again after this time. */
#define MLT_OWNERS_RETRY_NS (2 * MLT_NS_PER_S)

/* What a replica says of itself. */
struct mlt_owners_beat {
    uint64_t boot; /* of the process, never 0 */
    uint32_t replica, replicas;
    bool leaving;                               /* it ends */
    bool deaf;                                  /* its own beats do not come back */
    int64_t sent_ns;                            /* its monotonic time, of use to itself alone */
    uint64_t partitions;                        /* that it owns or is about to */
    uint64_t epochs[MLT_OWNERS_PARTITIONS_MAX]; /* 0: not claimed yet, or not its own */
    /* For services with a hot standby, of what it owns; of others all are 0, and not sent.
     * plan_boots: of the Dispatcher whose plan it has applied; 0: not known, nor are the other two.
     * needs_ns: how far back, from when this was sent, whoever takes its place has to begin. */
    int64_t needs_ns[MLT_OWNERS_PARTITIONS_MAX];
    uint64_t plan_boots[MLT_OWNERS_PARTITIONS_MAX];
    uint64_t plan_revisions[MLT_OWNERS_PARTITIONS_MAX];
    uint64_t warm; /* stands by for these, and would lose nothing if it took them over now */
};

/* Why a partition is taken. */
enum mlt_owners_reason {
    MLT_OWNERS_NOTHING,
    MLT_OWNERS_SILENT,   /* nobody says that it owns it */
    MLT_OWNERS_RELEASED, /* its owner said that it gave it up */
    MLT_OWNERS_HOME,     /* it is ours, and a stand-in has it */
    MLT_OWNERS_REASONS
};
const char *mlt_owners_reason_word(enum mlt_owners_reason reason);

struct mlt_owners_peer {
    uint64_t boot; /* 0: none */
    uint32_t replica, replicas;
    bool leaving;
    int64_t heard_ns;
};

struct mlt_owners_partition {
    uint64_t boot, epoch; /* who has it, as far as was heard; 0: nobody is known to */
    bool released;
    int64_t heard_ns; /* when that changed, or was said again */
    int64_t retry_ns; /* not to be claimed before */
    int64_t lost_ns;  /* when we had it last, or began */
};

/* All of it is the functions' own. */
struct mlt_owners {
    uint64_t boot;
    uint32_t partitions, replica, replicas;
    int64_t self_heard_ns; /* when the last beat of ours that came back was sent; INT64_MIN: none */
    int64_t self_steady_ns; /* since when they do without a pause */
    struct mlt_owners_peer peers[MLT_OWNERS_PEERS_MAX];
    struct mlt_owners_partition of[MLT_OWNERS_PARTITIONS_MAX];
};

/* partitions 1..64; replica below replicas; boot: never 0. */
void mlt_owners_init(struct mlt_owners *owners, uint32_t partitions, uint32_t replica,
                     uint32_t replicas, uint64_t boot, int64_t now);

/* The partitions of this replica as long as all are well: p mod replicas = replica. */
uint64_t mlt_owners_home(const struct mlt_owners *owners);

/* A beat was heard, of whomever. own: the epochs of what we own (0: not). Returns the partitions of
 * those that the other one owns with a higher epoch: they are lost. Of one that is deaf no more
 * than that counts: what it owns nobody serves. Our own counts as of when it was sent: what waited
 * while we slept says nothing of now. */
uint64_t mlt_owners_hear(struct mlt_owners *owners, const struct mlt_owners_beat *beat,
                         const uint64_t own[MLT_OWNERS_PARTITIONS_MAX], int64_t now);

/* We own these no more, somebody else having claimed them. */
void mlt_owners_lost(struct mlt_owners *owners, uint64_t partitions, int64_t now);

/* These could not be claimed. */
void mlt_owners_failed(struct mlt_owners *owners, uint64_t partitions, int64_t now);

/* What is to be claimed now, all for the reason returned; held: what we own or claim already.
 * NOTHING: *take is 0. To be asked each MLT_OWNERS_BEAT_NS and after each beat. */
enum mlt_owners_reason mlt_owners_due(const struct mlt_owners *owners, uint64_t held, int64_t now,
                                      uint64_t *take);

/* How many other replicas are heard. */
size_t mlt_owners_peers(const struct mlt_owners *owners, int64_t now);

/* One beat on the wire (OwnerBeat, internal.proto) into out, MLT_OWNERS_BEAT_BYTES_MAX bytes;
 * returns its length. instance: shorter than MLT_OWNERS_INSTANCE_BYTES_MAX; needs_ns never
 * negative. What is said of partitions that it does not own is not sent. */
size_t mlt_owners_encode(const struct mlt_owners_beat *beat, const char *instance,
                         uint8_t out[MLT_OWNERS_BEAT_BYTES_MAX]);
/* E_PARSE: none, or one that makes no sense. */
enum mlt_status mlt_owners_decode(struct mlt_slice bytes,
                                  struct mlt_owners_beat *beat) MLT_MUST_CHECK;

#endif
