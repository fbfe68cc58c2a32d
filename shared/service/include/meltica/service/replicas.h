/*
 * Replicas of a service that stand in for each other (docs/decisions/0020-standby.md): beats on
 * meltica.int.owners.<service>, ten times a second, and a thread, the keeper, that takes over what
 * mlt_owners_due says (meltica/bus/owners.h). What is owned, claimed and ended is the service's.
 *
 * Threads: the loop's (beats, create, start, drain), one that hears, and the keeper. The functions
 * of the ports are called without any lock of ours, `owned` on any of them.
 */
#ifndef MELTICA_SERVICE_REPLICAS_H
#define MELTICA_SERVICE_REPLICAS_H

#include "meltica/bus/owners.h"
#include "meltica/bus/store.h"
#include "meltica/service/service.h"

struct mlt_replicas;

/* What a service still has of what it owned. */
enum mlt_replicas_rest {
    MLT_REPLICAS_EMPTY, /* nothing */
    MLT_REPLICAS_BUSY,  /* something that goes on */
    MLT_REPLICAS_ENDED /* there was something that had ended; it was freed, and there may be more */
};

/* What became of what was to be taken over. */
enum mlt_replicas_taken {
    MLT_REPLICAS_TAKEN,  /* it is being claimed, and is `owned` */
    MLT_REPLICAS_LATER,  /* what the service had of it has not ended yet: when it has, or is tidied
                          */
    MLT_REPLICAS_REFUSED /* that cannot be: tried again after MLT_OWNERS_RETRY_NS */
};

struct mlt_replicas_ports {
    /* Adds what is owned, with its epochs, and what is being claimed, with epoch 0. */
    void (*owned)(void *ctx, struct mlt_owners_beat *beat);
    /* Another one owns something of ours with a higher epoch: it is to be given up. */
    void (*outbid)(void *ctx, const struct mlt_owners_beat *beat);
    /* Keeper: begin to claim these. LATER: asked again when mlt_replicas_changed is called, and
     * with each beat. */
    enum mlt_replicas_taken (*take_over)(void *ctx, uint64_t partitions);
    /* Keeper: frees one thing that ended, if there is one; *failed: its partitions, where its
     * claims could not be written. */
    enum mlt_replicas_rest (*tidy)(void *ctx, uint64_t *failed);
    /* Another one's beat was heard, of one that is deaf too: before anything is decided by it, so
     * that take_over knows what was said last. One thread, in the order in which they came. NULL:
     * ignored. */
    void (*heard)(void *ctx, const struct mlt_owners_beat *beat);
    /* Keeper: those of what is due that the service may claim, before that is told and counted; the
     * others are asked about again with each beat. NULL: all. */
    uint64_t (*fit)(void *ctx, uint64_t partitions);
    void *ctx;
};

struct mlt_replicas_options {
    const char *name;    /* in the subject, and of service: "conductor" */
    const char *metrics; /* what the names of its metrics begin with: "meltica_conductor" */
    uint32_t partitions; /* 1..64 */
};

/* Hears from now on; says and takes nothing before mlt_replicas_start. Strings are the caller's and
 * outlive it. E_NOMEM, and what subscribing gives. */
enum mlt_status mlt_replicas_create(struct mlt_service *service,
                                    const struct mlt_replicas_options *options,
                                    const struct mlt_replicas_ports *ports,
                                    struct mlt_replicas **replicas,
                                    struct mlt_error *err) MLT_MUST_CHECK;
/* With what is owned from the start being `owned`. E_NOMEM. */
enum mlt_status mlt_replicas_start(struct mlt_replicas *replicas,
                                   struct mlt_error *err) MLT_MUST_CHECK;
/* No port is called any more when it returns, but for `owned` by mlt_replicas_changed. After the
 * loop has ended, or before it began. More than once, and NULL, are fine. */
void mlt_replicas_stop(struct mlt_replicas *replicas);
/* Stops it, and frees it: nobody may call mlt_replicas_changed any more. NULL is fine. */
void mlt_replicas_destroy(struct mlt_replicas *replicas);

/* Claims for a service of replicas, with its instance in place of the options': as
 * mlt_claims_create, on *store, which is made first where it is NULL, and is the caller's whatever
 * comes of it. Waits for JetStream; not on the loop's thread. E_UNAVAILABLE and what both give. */
enum mlt_status mlt_replicas_claim(struct mlt_service *service,
                                   const struct mlt_claims_options *options,
                                   struct mlt_store **store, uint64_t epochs[MLT_SLOT_COUNT],
                                   struct mlt_claims **claims,
                                   struct mlt_error *err) MLT_MUST_CHECK;

/* The partitions that are this replica's own. */
uint64_t mlt_replicas_home(const struct mlt_replicas *replicas);
/* What is owned changed, or something ended: the others are told, and the keeper looks. Any thread,
 * without locks that `owned` takes. */
void mlt_replicas_changed(struct mlt_replicas *replicas);
/* Nothing is taken any more. When tidy says EMPTY the others are told that this one leaves, and
 * mlt_service_drained is called. Any thread. */
void mlt_replicas_drain(struct mlt_replicas *replicas);
/* False: our own beats do not come back, so that somebody may own what we do without our knowing.
 * When they do, whatever was said before them was heard. Any thread, cheap. */
bool mlt_replicas_in_touch(const struct mlt_replicas *replicas);
/* When the newest of our own beats that came back was sent (monotonic ns): whatever is heard from
 * now on was said after that, however long it waited for us. 0: none came back yet. Any thread,
 * cheap.
 */
int64_t mlt_replicas_self_heard_ns(const struct mlt_replicas *replicas);
/* For the service's collect(). */
void mlt_replicas_collect(struct mlt_replicas *replicas);

#endif
