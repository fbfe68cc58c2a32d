/*
 * A consumer for tests: follows the live lane over NATS alone, counts and checks with the CLI's
 * tally, and remembers what tests ask about. Waits are on conditions with a deadline, never sleeps.
 */
#ifndef MELTICA_TEST_CONSUMER_H
#define MELTICA_TEST_CONSUMER_H

#include <pthread.h>

#include "meltica/bus/bus.h"
#include "meltica/event/event.h"
#include "tally.h"

struct mlt_consumer {
    struct mlt_bus *bus;
    struct mlt_bus_subscription *subscription;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct mlt_arena arena;
    struct mlt_tally *tally;
    uint64_t counts[MLT_EVENT_TYPE_COUNT];     /* numbered events by type */
    uint64_t kinds[MLT_STATUS_UNFILLABLE + 1]; /* STATUS by kind, notices too */
    uint64_t foreign;
    uint64_t epochs[MLT_EVENT_TYPE_COUNT]; /* last seen by type */
    /* For what a test wants to look at closer; under the lock, NULL: nothing. */
    void (*look)(void *ctx, const struct mlt_event *event, struct mlt_slice bytes);
    void *ctx;
};

void mlt_consumer_start(struct mlt_consumer *consumer, const char *nats_url);
/* The same as somebody: URL, credentials and TLS are the options'; kind and name are not. */
void mlt_consumer_start_as(struct mlt_consumer *consumer, const struct mlt_bus_options *options);
void mlt_consumer_stop(struct mlt_consumer *consumer);

/* Waits until done(ctx) (called under the lock after each event, and at least each 100 ms) or the
 * deadline; false: the deadline came. One that takes its time, since it asks a process, is called
 * after a rest of nine times that, at most 100 ms: what is asked has other work. */
bool mlt_consumer_wait(struct mlt_consumer *consumer, bool (*done)(void *ctx), void *ctx,
                       int seconds);
/* Until `count` events of a type came. */
bool mlt_consumer_wait_count(struct mlt_consumer *consumer, enum mlt_event_type type,
                             uint64_t count, int seconds);
uint64_t mlt_consumer_count(struct mlt_consumer *consumer, enum mlt_event_type type);
uint64_t mlt_consumer_status_count(struct mlt_consumer *consumer, enum mlt_status_kind kind);
void mlt_consumer_totals(struct mlt_consumer *consumer, struct mlt_tally_totals *totals);
/* The tally's report as one NUL-terminated JSON object; free it. */
char *mlt_consumer_report(struct mlt_consumer *consumer);
/* Text of a string member of a flat piece of JSON; "" when absent. out at least 128 bytes. */
void mlt_json_text(const char *json, const char *member, char *out);

#endif
