/*
 * The three consumers of a chaos run, each with a connection and a ledger of its own, and a
 * subscription that it holds from beginning to end. The first one's BOOKs are compared with the
 * exchange's own, and say when each book is LIVE. Any thread.
 */
#ifndef MELTICA_CHAOS_CONSUMER_H
#define MELTICA_CHAOS_CONSUMER_H

#include <pthread.h>

#include "chaos_report.h"
#include "meltica/bus/bus.h"
#include "mlt_stack.h"
#include "storm_truth.h"

#define CHAOS_BOOKS 48u /* of a symbol that wait to be compared; more are not */

struct chaos_consumer {
    struct chaos_group *group;
    unsigned number; /* from 0 */
    struct mlt_bus *bus;
    struct mlt_bus_subscription *subscription;
    struct mlt_arena arena;
    pthread_mutex_t lock; /* the ledger, and of the first one what is in the group */
    struct chaos_ledger ledger;
    char id[64]; /* of its subscription; "": none */
};

struct chaos_group {
    struct mlt_stack *stack;
    unsigned symbols;
    struct chaos_consumer consumers[CHAOS_CONSUMERS];
    struct chaos_recovery recovery;
    struct chaos_quotes quotes;
    struct chaos_damaged damaged;
    unsigned next_fault;                     /* of the exchange's script, that is not read */
    struct mlt_bus_subscription *rejections; /* of the first consumer */
    struct {
        struct storm_book waiting[CHAOS_BOOKS];
        unsigned count;
    } *books; /* symbols */
    struct chaos_result *result;
};

extern const enum mlt_event_type chaos_held_types[CHAOS_CONSUMERS]; /* what each subscribes */

/* Connects them. Fails the program (cmocka) where there is no server. */
void chaos_group_start(struct chaos_group *group, struct mlt_stack *stack, unsigned symbols,
                       struct chaos_result *result);
/* Each asks for its subscription until it is CONFIRMED; false: not within so many s. */
bool chaos_group_subscribe(struct chaos_group *group, int seconds);
/* Compares what waits with the exchange's own books. */
void chaos_group_compare(struct chaos_group *group);
void chaos_group_fault(struct chaos_group *group, const struct chaos_fault *fault);
/* Of a frame that left damaged, with so many bytes. */
void chaos_group_damaged(struct chaos_group *group, int64_t time_ns, uint64_t bytes);
unsigned chaos_group_judge(struct chaos_group *group);
bool chaos_group_live(struct chaos_group *group, int64_t came_ns, int64_t received_ns);
/* How often all of them together were told a STATUS of that kind so far. */
uint64_t chaos_group_told(struct chaos_group *group, enum mlt_status_kind kind);
void chaos_group_outage(struct chaos_group *group, int64_t at_ns, bool over);
/* What the exchange has sent: the last ids of each of its symbols; false: it does not answer. */
bool chaos_read_heads(struct mlt_stack *stack, unsigned symbols, struct chaos_heads *heads);
/* Whether all have all that the exchange had sent (symbols), and every trade that was missed. */
bool chaos_group_caught_up(struct chaos_group *group, const struct chaos_heads *heads);
/* Subscriptions that are not listed any more, and channels of them of which nothing came since. */
void chaos_group_count_lost(struct chaos_group *group, int64_t since_ns);
/* Listens no more; the ledgers stay. */
void chaos_group_end(struct chaos_group *group, const struct chaos_heads *heads);
void chaos_group_free(struct chaos_group *group);

#endif
