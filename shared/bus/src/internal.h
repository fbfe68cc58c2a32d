/* What the parts of shared/bus know of each other. */
#ifndef MELTICA_BUS_INTERNAL_H
#define MELTICA_BUS_INTERNAL_H

#include <nats/nats.h>
#include <pthread.h>

#include "meltica/bus/bus.h"

/* Converts once: status and text of nats.c into ours, with "what" as context. NATS_OK gives OK. */
enum mlt_status mlt_bus_status(natsStatus status, struct mlt_error *err, const char *what);

/* The connection itself of a CONTROL bus; lives as long as the bus. NULL for a DATA bus, which has
 * a new one after each disconnect. */
natsConnection *mlt_bus_nats(struct mlt_bus *bus);

/* As mlt_bus_subject_valid, with whole-token wildcards. NULL is none. bus.c */
bool mlt_bus_pattern_valid(const char *subject);
/* A new subject for answers below the inbox prefix of the connection, NUL-terminated. inbox.c */
#define MLT_BUS_INBOX_BYTES_MAX 192u
enum mlt_status mlt_bus_make_inbox(const struct mlt_bus *bus, char out[MLT_BUS_INBOX_BYTES_MAX],
                                   struct mlt_error *err) MLT_MUST_CHECK;

/* Messages of nats.c that are done with. It frees them on a thread of its own and wakes it for each
 * one, at 8,000 a second a fifth of all changes of threads: so they are given back by the dozen.
 * One thread at a time. */
#define MLT_BUS_SPENT_MAX 64u
struct spent {
    natsMsg *messages[MLT_BUS_SPENT_MAX];
    size_t count, bytes;
};
/* Takes one, and gives all back when they are many or large. */
void mlt_bus_spend(struct spent *spent, natsMsg *message, size_t bytes);
void mlt_bus_give_back(struct spent *spent);

/* Called on the loop thread of a DATA bus just before each write, in order of adding: the place
 * where open batches are sealed and acknowledgements follow their outputs. fn may call
 * mlt_bus_publish_in_flush, never anything that waits. Remove returns when fn is not running. */
struct mlt_bus_flusher {
    /* 1: outputs (hop senders), 2: acknowledgements. Lower ones of all flushers run first; 0:
     * before all, to take down what is handled at this moment. */
    void (*fn)(void *ctx, unsigned stage);
    void *ctx;
    struct mlt_bus_flusher *next;
};
void mlt_bus_add_flusher(struct mlt_bus *bus, struct mlt_bus_flusher *flusher);
void mlt_bus_remove_flusher(struct mlt_bus *bus, struct mlt_bus_flusher *flusher);
/* Something waits to be flushed: wakes the loop, which keeps the spacing. Any thread; one atomic
 * when a flush is pending already. */
void mlt_bus_want_flush(struct mlt_bus *bus);
/* As mlt_bus_publish, for flushers. E_FULL: not now, call want_flush happens by itself when the
 * buffer was written. */
enum mlt_status mlt_bus_publish_in_flush(struct mlt_bus *bus, const char *subject,
                                         struct mlt_slice payload);
/* The same with the header traceparent, or NULL. */
enum mlt_status mlt_bus_traced_in_flush(struct mlt_bus *bus, const char *subject,
                                        struct mlt_slice payload, const char *traceparent);
/* For flushers: something that should have left in this flush does not, as if it had found no room.
 */
void mlt_bus_flush_withhold(struct mlt_bus *bus);
/* The same of a message with headers, which is copied and stays the caller's. */
enum mlt_status mlt_bus_message_in_flush(struct mlt_bus *bus, natsMsg *message);
/* A tick of the loop thread every 50 ms, for time-outs of the hops; same rules as flushers. */
struct mlt_bus_ticker {
    void (*fn)(void *ctx, int64_t mono_ns);
    void *ctx;
    struct mlt_bus_ticker *next;
};
void mlt_bus_add_ticker(struct mlt_bus *bus, struct mlt_bus_ticker *ticker);
void mlt_bus_remove_ticker(struct mlt_bus *bus, struct mlt_bus_ticker *ticker);

/* For flushers and their stages only: true when no publish of this flush was refused so far. */
bool mlt_bus_flush_complete(const struct mlt_bus *bus);
/* For flushers only: wants a flush at that time at the latest. */
void mlt_bus_flush_again_at(struct mlt_bus *bus, int64_t mono_ns);
/* Messages that wait for the handler. Not under the lock of a connection. */
size_t mlt_bus_subscription_pending(struct mlt_bus_subscription *subscription);
/* Waits at most timeout_ns until what was published on the connection of that generation has
 * reached the server; true when it has. Not on the loop. */
bool mlt_bus_flush_on(struct mlt_bus *bus, unsigned generation, int64_t timeout_ns);
/* As mlt_bus_publish, and E_CLOSED where the connection is not that of that generation, also while
 * it is made anew. traceparent: header of that name, NULL: none. The subject is valid, the payload
 * not too long. */
enum mlt_status mlt_bus_publish_on(struct mlt_bus *bus, unsigned generation, const char *subject,
                                   struct mlt_slice payload, const char *traceparent);
bool mlt_bus_is_data(const struct mlt_bus *bus);

/* On the monotonic clock. The wait is false once deadline_mono_ns has passed. */
void mlt_bus_cond_init(pthread_cond_t *cond);
bool mlt_bus_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_mono_ns);

/* Counts connections: another number than before means that there was a new one. */
unsigned mlt_bus_generation(const struct mlt_bus *bus);

#endif
