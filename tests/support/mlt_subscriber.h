/*
 * Consumers in processes of their own, for tests and benchmarks that stop one of them: the program
 * runs itself once more for each, with what both have in common in shared memory. Each follows the
 * live lane with a ledger (chaos_ledger.h) and says how late events come. Of the parent: one
 * thread.
 */
#ifndef MELTICA_TEST_SUBSCRIBER_H
#define MELTICA_TEST_SUBSCRIBER_H

#include <stdatomic.h>
#include <sys/types.h>

#include "chaos_ledger.h"
#include "latency.h"

#define MLT_SUBSCRIBER_PHASES 3u

/* From where to the consumer's callback; what a throttle added is taken off. */
enum mlt_subscriber_span {
    MLT_SUBSCRIBER_RECEIVED,  /* the Adapter's frame */
    MLT_SUBSCRIBER_PUBLISHED, /* the Data Bus */
    MLT_SUBSCRIBER_SPANS
};

struct mlt_subscriber_shared {
    /* Before it is started. */
    char url[192], name[32];
    unsigned symbols;      /* of the synthetic market */
    int pending_count_max; /* messages that nats.c keeps for its handler */
    /* At any time, by the parent. */
    _Atomic int64_t pause_ns; /* it rests after each event: a slow one */
    _Atomic uint32_t phase;   /* what `latency` is counted under; 0: nothing */
    _Atomic bool outage;      /* NATS is away: numbers alone may say what is missing */
    _Atomic uint32_t heads_version;
    struct chaos_heads heads[CHAOS_SYMBOLS_MAX]; /* before their version */
    _Atomic bool ending;
    /* At any time, by the child. */
    _Atomic uint32_t
        reached_version; /* it has all that these heads name, and every trade that was missed */
    _Atomic uint64_t events, connects, disconnects;
    _Atomic uint64_t dropped; /* by nats.c, since its handler was too slow */
    _Atomic uint64_t holes;   /* that were named, of any kind */
    _Atomic uint64_t lost;    /* STATUS LOST */
    _Atomic int64_t live_received_ns[CHAOS_SYMBOLS_MAX]; /* of the newest BOOK that is LIVE */
    /* By the child; to be read once it has ended. */
    struct mlt_latency latency[MLT_SUBSCRIBER_PHASES][MLT_SUBSCRIBER_SPANS];
    uint64_t silent_holes, duplicates, foreign, named[CHAOS_NAMINGS];
    uint64_t books_wrong, books_right; /* digests, too */
    char first_silent[256], first_duplicate[256];
};

struct mlt_subscriber {
    struct mlt_subscriber_shared *shared;
    pid_t pid; /* 0: not started, or ended */
    int fd;
};

/* First of main: where this process is a subscriber, follows until it is told to end, and does not
 * return. */
void mlt_subscriber_main(int argc, char **argv);

/* Starts one and waits until its subscription is with the server. pending_count_max 0: so many that
 * nothing is dropped. Fails the test (cmocka) after 20 s. */
void mlt_subscriber_start(struct mlt_subscriber *subscriber, const char *nats_url, unsigned number,
                          unsigned symbols, int pending_count_max);
void mlt_subscriber_signal(const struct mlt_subscriber *subscriber, int signal);
/* Whether done(ctx) is true within so many seconds; it is asked each few ms. */
bool mlt_subscriber_wait(bool (*done)(void *ctx), void *ctx, int seconds);
/* Heads that it has to reach: mlt_subscriber_has_reached says when. */
void mlt_subscriber_tell_heads(struct mlt_subscriber *subscriber, const struct chaos_heads *heads);
bool mlt_subscriber_has_reached(const struct mlt_subscriber *subscriber);
/* Ends it, upon which all of `shared` may be read; fails the test unless its status is 0. */
void mlt_subscriber_end(struct mlt_subscriber *subscriber);
void mlt_subscriber_free(struct mlt_subscriber *subscriber);

#endif
