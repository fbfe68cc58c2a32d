/* All around standby.c but the Adapter itself: claims, beats, rings, the loop and the time are the
 * test's (the linker gives us its calls). One a process. */
#ifndef MELTICA_TEST_STANDBY_WORLD_H
#define MELTICA_TEST_STANDBY_WORLD_H

#include "standby_internal.h"

#define PARTITIONS 4u
#define BOOT 7u
#define TIMERS_MAX 4u
#define POSTED_MAX 8u

struct fake_timer {
    void (*fn)(void *ctx);
    void *ctx;
    int64_t at_ns; /* 0: not set */
};

struct world {
    int64_t now_ns;
    struct fake_timer timers[TIMERS_MAX];
    unsigned timer_count;
    struct {
        void (*fn)(void *ctx);
        void *ctx;
    } posted[POSTED_MAX];
    unsigned posted_count;
    bool full; /* nothing can be posted */

    struct mlt_replicas_ports ports;
    int64_t self_heard_ns;
    bool drained, in_touch;
    uint64_t home;                    /* partitions whose place is here */
    struct mlt_owners_beat beats[64]; /* as they were sent */
    unsigned beat_count;

    uint64_t next_epoch;
    bool no_claims;
    void (*on_outbid)(void *ctx, uint32_t slot, uint64_t epoch);
    bool (*wanted)(void *ctx);
    void *claims_ctx;
    unsigned claims_made, claims_ended;

    int64_t held_since_ns[PARTITIONS], unacked_since_ns[PARTITIONS];
    bool held[PARTITIONS];
    struct {
        uint32_t partition;
        uint64_t epoch;
        int64_t from_ns;
        bool covered;
    } spoken[16];
    unsigned spoken_count, holds;

    bool paused, lines_ended;
    uint64_t speaks_at_end; /* when lines ended: of these sources are said to go down */
    unsigned announced;
};
extern struct world world;

/* What a beat of ours would say now. */
struct mlt_owners_beat world_owned(void);

#endif
