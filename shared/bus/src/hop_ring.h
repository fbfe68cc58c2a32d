/* What the two halves of a hop's sender share: the rings with what is gathered in them
 * (hop_ring.c), and who sends it and hears of it (hop_sender.c).
 *
 * A partition's ring is addressed by positions that only grow; position modulo size is the place in
 * memory. A batch is contiguous: where it would cross the end, the rest of the memory is skipped.
 */
#ifndef MELTICA_BUS_HOP_RING_H
#define MELTICA_BUS_HOP_RING_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "hop_wire.h"
#include "internal.h"
#include "meltica/bus/hop.h"

struct hop_slot { /* a sealed batch */
    uint64_t position;
    uint64_t epoch;
    /* Before its first element was gathered; when it was sealed, or, while it was held, after its
     * last one was. */
    int64_t opened_ns, sealed_ns;
    uint32_t len, flags;
};

struct hop_partition {
    pthread_mutex_t lock;
    uint8_t *memory;
    struct hop_slot *slots; /* by number modulo slots */
    char subject[HOP_SUBJECT_BYTES];
    /* Batches oldest..next-1 are in the ring. send: the next to be published; sent: the highest
     * ever published; acked: the last acknowledged. */
    uint64_t oldest, next, send, sent, acked;
    /* The open batch; nothing of it is written while it has no element. */
    uint64_t open_position;
    int64_t opened_ns;
    size_t open_at, open_len;
    uint32_t open_elements, open_flags;
    uint64_t epoch;
    /* Somebody else speaks: elements stay in the ring, and whole_ns is since when it has all of
     * them. */
    bool held;
    int64_t whole_ns, last_ns; /* last_ns: when the last one came */
    bool spoke;      /* it was held, and announces itself also where it sent nothing yet */
    bool covers;     /* proven to follow whoever spoke before, and nothing acknowledged since */
    int64_t gone_ns; /* began to be gathered, and left the ring unacknowledged; INT64_MAX: none */
    bool head_due;
    bool waiting; /* something is not acknowledged */
    enum mlt_hop_fill fill;
    int64_t last_sent_ns;
    uint64_t elements, batches, bytes, repeats, repeated, overrun;
    uint64_t unacked_max;
};

struct mlt_hop_sender {
    struct mlt_bus *bus;
    uint64_t boot;
    int64_t keep_ns;
    uint32_t partitions, slot_mask;
    size_t size; /* of one partition's ring */
    size_t element_max;
    atomic_ullong mask; /* bit p: speaks for p */
    struct hop_partition *parts;
    struct mlt_bus_flusher flusher;
    struct mlt_bus_ticker ticker;
    struct mlt_bus_subscription *repeat_sub, *ack_sub;
    unsigned generation; /* loop thread: connection that was sent on */
    uint32_t turn;       /* loop thread: partition that sends first */

    atomic_bool known;   /* some receiver acknowledged once */
    atomic_uint waiting; /* partitions with something not acknowledged */
    atomic_uint filled;  /* partitions by fill: see hop_fill_of */
    atomic_llong last_ack_ns, waiting_since_ns;

    atomic_bool room_owed; /* somebody was told "congested" */
    atomic_uint fill_owed; /* bit f: somebody was told that it is as full as mlt_hop_fill f */
    atomic_bool closing;   /* somebody waits until all is acknowledged */
    atomic_int waiters;
    pthread_mutex_t room_lock;
    pthread_cond_t room;
    void (*on_room)(void *ctx);
    void *on_room_ctx;
    atomic_ullong blocked_ns;
};

static inline bool hop_speaks_for(const struct mlt_hop_sender *s, uint32_t partition)
{
    return (atomic_load_explicit(&s->mask, memory_order_relaxed) >> partition & 1) != 0;
}

/* `filled` counts the partitions that are at least as full as each mlt_hop_fill but ROOM, a byte
 * each, so that one load tells of all. */
#define HOP_FILL_BITS 8u
static_assert(MLT_HOP_PARTITIONS_MAX < 1u << HOP_FILL_BITS, "a byte counts the partitions");

/* What a partition that is as full adds to `filled`. */
static inline unsigned hop_fill_weight(enum mlt_hop_fill fill)
{
    static const unsigned weights[] = { [MLT_HOP_ROOM] = 0,
                                        [MLT_HOP_QUARTER] = 0x000001,
                                        [MLT_HOP_THREE_EIGHTHS] = 0x000101,
                                        [MLT_HOP_HALF] = 0x010101 };
    return weights[fill];
}

static inline enum mlt_hop_fill hop_fill_of(const struct mlt_hop_sender *s)
{
    const unsigned filled = atomic_load(&s->filled);
    return filled == 0                        ? MLT_HOP_ROOM
           : filled >> 2 * HOP_FILL_BITS != 0 ? MLT_HOP_HALF
           : filled >> HOP_FILL_BITS != 0     ? MLT_HOP_THREE_EIGHTHS
                                              : MLT_HOP_QUARTER;
}

/* ---- the partition's lock is held ---- */

static inline struct hop_slot *hop_slot_of(const struct mlt_hop_sender *s,
                                           const struct hop_partition *p, uint64_t number)
{
    return &p->slots[number & s->slot_mask];
}

/* A loss is worth a batch of its own: the element that would carry it may never come, while what
 * tells of the loss is acknowledged and forgotten on the other side. */
static inline bool hop_open_says_something(const struct hop_partition *p)
{
    return p->open_elements > 0 || (p->open_flags & MLT_HOP_LOST) != 0;
}

/* The oldest batch leaves the ring; there is one. */
void hop_evict(struct mlt_hop_sender *s, struct hop_partition *p);
/* The open batch, if it says anything, becomes one of the ring. */
void hop_seal(struct mlt_hop_sender *s, struct hop_partition *p, int64_t now);
/* Not acknowledged, with the open batch; of a held partition: all that it has. */
uint64_t hop_unacked_bytes(const struct mlt_hop_sender *s, const struct hop_partition *p);
/* Keeps the sender's counts of partitions in step with this one. */
void hop_account(struct mlt_hop_sender *s, struct hop_partition *p);

#endif
