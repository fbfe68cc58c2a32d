/*
 * Whether anybody saw a fault: three consumers who know every id that the exchange gave, judged as
 * chaos judges, and a line of the test's own for quotes, which have no ids that follow each other.
 * Failures end the test (cmocka). Of the test's thread.
 */
#ifndef MELTICA_TEST_FLOW_JUDGE_H
#define MELTICA_TEST_FLOW_JUDGE_H

#include "chaos_consumer.h"
#include "hot_witness.h"
#include "mlt_consumer.h"

#define FLOW_LIVE_S 20

/* What a fault that nobody sees must not say; it may say SOURCE_UP. */
#define FLOW_LOUD 8u
extern const enum mlt_status_kind flow_loud[FLOW_LOUD];

/* How far the exchange was at a time. */
struct flow_moment {
    int64_t came_ns, received_ns;
    struct chaos_heads heads[HOT_WITNESS_SYMBOLS];
    struct hot_mark quotes;
};

/* How far a channel has come. */
struct flow_number {
    uint64_t epoch, sequence;
};

struct flow_judge {
    struct mlt_stack *stack;
    unsigned symbols;
    struct chaos_group group;
    struct chaos_result result;
    struct mlt_consumer watch; /* whoever waits looks again with each event */
    struct hot_witness witness;
    struct flow_number quotes[HOT_WITNESS_SYMBOLS];
    uint64_t unsure;       /* BOOKs that are not LIVE, or say that they are old; under its lock */
    struct flow_moment at; /* of the last flow_await */
};

/* Until now, of all three consumers. */
struct flow_seen {
    uint64_t kinds[FLOW_LOUD], named, silent, unsure;
    struct hot_mark quotes;
};

/* Of zeroes it is made ready; symbols: HOT_WITNESS_SYMBOLS at most. */
void flow_judge_init(struct flow_judge *judge, struct mlt_stack *stack, unsigned symbols);
/* The stack is started, its services do not run yet. */
void flow_judge_listen(struct flow_judge *judge);
/* They run: every book is LIVE, and all is subscribed, within so many seconds. */
void flow_judge_subscribe(struct flow_judge *judge, int seconds);
/* Opens the witness's line; before that no quotes are looked at. */
void flow_judge_witness(struct flow_judge *judge);

struct flow_seen flow_seen_now(struct flow_judge *judge);
/* Every book is LIVE by what an Adapter received since that wall time, and all that the exchange
 * had sent by then has come, or was said to be lost. */
void flow_await(struct flow_judge *judge, const char *what, int64_t since_ns);
/* Since `before`, up to what flow_await has seen to come. */
void flow_assert_nothing_seen(struct flow_judge *judge, const char *what,
                              const struct flow_seen *before);

/* The consumers listen no more; the services may end then. */
void flow_judge_end(struct flow_judge *judge);
/* Every id that the exchange gave came once, or was said to be missing; no book was wrong, of so
 * many events of each consumer at least. Ends the watch and the witness. */
void flow_judge_verdict(struct flow_judge *judge, uint64_t events);
void flow_judge_free(struct flow_judge *judge);

#endif
