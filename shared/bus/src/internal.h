/* What the parts of shared/bus know of each other. */
#ifndef MELTICA_BUS_INTERNAL_H
#define MELTICA_BUS_INTERNAL_H

#include <nats/nats.h>

#include "meltica/bus/bus.h"

/* Converts once: status and text of nats.c into ours, with "what" as context. NATS_OK gives OK. */
enum mlt_status mlt_bus_status(natsStatus status, struct mlt_error *err, const char *what);

/* The connection itself; lives as long as the bus. */
natsConnection *mlt_bus_nats(struct mlt_bus *bus);

/* Called on the loop thread of a DATA bus just before each write, in order of adding: the place where
 * open batches are sealed and acknowledgements follow their outputs. fn may call
 * mlt_bus_publish_in_flush, never anything that waits. Remove returns when fn is not running. */
struct mlt_bus_flusher {
    /* 1: outputs (hop senders), 2: acknowledgements. Lower ones of all flushers run first; 0: before
     * all, to take down what is handled at this moment. */
    void (*fn)(void *ctx, unsigned stage);
    void *ctx;
    struct mlt_bus_flusher *next;
};
void mlt_bus_add_flusher(struct mlt_bus *bus, struct mlt_bus_flusher *flusher);
void mlt_bus_remove_flusher(struct mlt_bus *bus, struct mlt_bus_flusher *flusher);
/* Something waits to be flushed: wakes the loop, which keeps the spacing. Any thread; one atomic when
 * a flush is pending already. */
void mlt_bus_want_flush(struct mlt_bus *bus);
/* As mlt_bus_publish, for flushers. E_FULL: not now, call want_flush happens by itself when the
 * buffer was written. */
enum mlt_status mlt_bus_publish_in_flush(struct mlt_bus *bus, const char *subject,
                                         struct mlt_slice payload);
/* A tick of the loop thread every 50 ms, for time-outs of the hops; same rules as flushers. */
struct mlt_bus_ticker {
    void (*fn)(void *ctx, int64_t mono_ns);
    void *ctx;
    struct mlt_bus_ticker *next;
};
void mlt_bus_add_ticker(struct mlt_bus *bus, struct mlt_bus_ticker *ticker);
void mlt_bus_remove_ticker(struct mlt_bus *bus, struct mlt_bus_ticker *ticker);

#endif
