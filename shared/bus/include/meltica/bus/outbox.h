/*
 * Messages that are published in order and that no hop's ring has. What was handed to a connection
 * may never have reached the server when that connection ends: it is kept until the server is known
 * to have read it (it answers a PING behind it, asked for up to 50 times a second, and without a
 * pause while somebody waits for room), and where the connection ended before that it leaves again
 * on the next one, byte for byte, before anything newer. Whoever subscribes may get it twice, and
 * never in another order.
 *
 * Acknowledgements to hops on the same bus (meltica/bus/hop.h) wait until all of it has left again:
 * what is made of an acknowledged batch has reached the server, also over several connections.
 */
#ifndef MELTICA_BUS_OUTBOX_H
#define MELTICA_BUS_OUTBOX_H

#include "meltica/base/clock.h"
#include "meltica/bus/bus.h"

#define MLT_OUTBOX_BYTES (8u << 20)
#define MLT_OUTBOX_CONFIRM_NS (20 * MLT_NS_PER_MS) /* between two PINGs */

struct mlt_outbox;

struct mlt_outbox_options {
    size_t bytes; /* that are kept at most; 0: MLT_OUTBOX_BYTES; at least 64 KiB */
    /* Whether something that was not handed over yet, or leaves again, may leave now; it is asked
     * again 20 ms later. On the bus's loop thread: it must not block. NULL: always. */
    bool (*may)(void *ctx);
    void *ctx;
};

struct mlt_outbox_stats {
    uint64_t repeated;   /* messages that left again on a new connection */
    uint64_t refused;    /* that the connection would not take when their turn came: too big */
    uint64_t kept_bytes; /* now: what the server is not known to have read */
};

/* bus: a DATA one, which outlives it. E_INVALID, E_NOMEM. */
enum mlt_status mlt_outbox_create(struct mlt_bus *bus, const struct mlt_outbox_options *options,
                                  struct mlt_outbox **outbox, struct mlt_error *err) MLT_MUST_CHECK;

/* Takes one message, of any thread; subject and payload are copied. traceparent: header of that
 * name, or NULL. OK: it leaves, as long as this process lives and mlt_outbox_drop is not called,
 * with a connection or with the next one. E_FULL: there was no room until deadline_mono_ns; nothing
 * was taken. E_CLOSED: after mlt_outbox_drop. E_INVALID for a bad subject, E_TOO_BIG above
 * MLT_BUS_PAYLOAD_BYTES_MAX, half of what can be kept, or what the server takes (where that is
 * found only when its turn comes it is counted as refused). Not on the bus's loop thread. */
enum mlt_status mlt_outbox_publish(struct mlt_outbox *outbox, const char *subject,
                                   struct mlt_slice payload, const char *traceparent,
                                   int64_t deadline_mono_ns) MLT_MUST_CHECK;

/* True while something that was taken has not been handed to this connection: what is published
 * past the outbox now would overtake it. Any thread. */
bool mlt_outbox_behind(struct mlt_outbox *outbox);

/* Waits until the server has read all that was taken; false: not by deadline_mono_ns. True also
 * after mlt_outbox_drop. Not on the bus's loop thread. */
bool mlt_outbox_wait(struct mlt_outbox *outbox, int64_t deadline_mono_ns);

/* Somebody else publishes: what is kept does not leave any more, nothing is taken, and hops on the
 * bus get no acknowledgement as long as it lives. Any thread. */
void mlt_outbox_drop(struct mlt_outbox *outbox);

void mlt_outbox_get_stats(struct mlt_outbox *outbox, struct mlt_outbox_stats *out);

/* What has not left by then does not leave. NULL is fine. Waits for a PING that is under way,
 * three seconds at most. */
void mlt_outbox_destroy(struct mlt_outbox *outbox);

#endif
