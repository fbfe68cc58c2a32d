/*
 * Batches between two services that lose nothing silently. One sender a service
 * and subject, partitions p = 0..P-1 on "<subject>.<pp>" (two digits).
 *
 * Sender: elements are gathered into the open batch of their partition; the bus's loop seals the
 * open batches just before each write. Sealed batches go into a ring, which is also the queue to
 * the connection: while that is away or full they wait there. The ring keeps what was sent for
 * keep_ns or ring_bytes. A RepeatRequest {boot, from} on "meltica.int.repeat.<service>.<pp>" sets
 * the place to send from back to `from` (go-back-N): the batches come again on their own subject,
 * in order, and then what is new. While nothing leaves on a partition its head is announced every
 * 250 ms (HOP_HEAD), so that a lost last batch is found.
 *
 * Receiver: takes batch n + 1 of a boot after batch n; repeats are dropped; at a jump it asks for a
 * repeat (again every 50 ms) and drops what comes meanwhile, since it will come again. Of a boot
 * that it does not know it begins at Hop.resume, what the last receiver of its service had
 * acknowledged; unless Hop.epoch is below one that it knows: such a sender was outbid
 * (hear_unclaimed: but for one without an epoch, which claims nothing since it is alone). Where
 * Hop.oldest is above what it waits for, the batches between are lost and it says so. A boot that
 * takes the place of another one without HOP_COVERS loses what was missing of that one, where
 * anything was. It
 * acknowledges (HopAck on "meltica.int.ack.<sender service>", at most every 5 ms) what its handler
 * took, on the same connection after the outputs that the handler produced: an acknowledged batch's
 * outputs have reached the server. While its handler is busy (3 s at most) it says its last
 * acknowledgement again every 250 ms, so that the sender holds back instead of taking it for dead.
 * A receiver that starts asks with boot 0, upon which each sender announces its heads. On a new
 * connection it asks for what it waits for, and says its acknowledgements again.
 *
 * On a new connection a sender goes back to what is not acknowledged: what the old one had taken
 * may not have been written.
 *
 * Of several senders of a service that have the same elements one speaks for a partition, and the
 * others may hold it: they gather its elements and send none. Who speaks next sends what it has
 * gathered since a time of its choosing; if it proves that nothing is missing between the one
 * before and it, its batches say so (HOP_COVERS) and the receiver tells of no loss between the two.
 */
#ifndef MELTICA_BUS_HOP_H
#define MELTICA_BUS_HOP_H

#include "meltica/bus/bus.h"
#include "meltica/event/native.h"

#define MLT_HOP_PARTITIONS_MAX 64u
#define MLT_HOP_ELEMENT_BYTES_MAX (896u << 10)
#define MLT_HOP_BATCH_BYTES 131072u /* an open batch this big is sealed at once */

/* ---- sender ---- */

struct mlt_hop_sender;

struct mlt_hop_sender_options {
    const char *service; /* "adapter": serves meltica.int.repeat.adapter.<pp>, hears
                            meltica.int.ack.adapter */
    const char *subject; /* "meltica.int.native" */
    uint32_t partitions;
    uint64_t boot;     /* random, never 0 */
    size_t ring_bytes; /* over all partitions; 0: 8 MiB */
    int64_t keep_ns;   /* 0: 3 s */
    /* Bit p: this sender speaks for partition p; 0: for all. Two senders that speak for one take it
     * from each other. */
    uint64_t partition_mask;
    /* Of every partition until mlt_hop_sender_set_epoch: what is said before that, a head too, must
     * not be taken for somebody's who claims nothing. 0: none. */
    uint64_t epoch;
    /* Bit p: partition p is held from the start (mlt_hop_sender_hold). */
    uint64_t held_mask;
};

struct mlt_hop_sender_stats {
    uint64_t elements, batches, bytes;
    uint64_t repeats_served; /* requests that moved the place back */
    uint64_t repeated_batches;
    uint64_t overrun_batches;   /* left the ring unacknowledged while a receiver was known */
    uint64_t unacked_bytes;     /* now, largest partition */
    uint64_t unacked_max_bytes; /* the most so far, largest partition */
    uint64_t ring_bytes;        /* of one partition */
    uint64_t held_bytes;        /* now, in the rings of held partitions, over all */
    uint64_t blocked_ns;        /* callers waited in mlt_hop_wait_room */
};

/* bus: a DATA one; it must outlive the sender. */
enum mlt_status mlt_hop_sender_create(struct mlt_bus *bus,
                                      const struct mlt_hop_sender_options *options,
                                      struct mlt_hop_sender **sender,
                                      struct mlt_error *err) MLT_MUST_CHECK;
/* Seals and sends what is open, waits at most flush_ns until it is written and, where a receiver is
 * alive, acknowledged. */
void mlt_hop_sender_destroy(struct mlt_hop_sender *sender, int64_t flush_ns);

/* Epoch that goes into every batch of the partition from the next one on. Any thread. */
void mlt_hop_sender_set_epoch(struct mlt_hop_sender *sender, uint32_t partition, uint64_t epoch);

/* Room for one element of `bytes` in the open batch of a partition: its tag and length are written,
 * *out is where the caller encodes exactly `bytes` bytes, then mlt_hop_end. The partition is locked
 * in between: encode and return. E_TOO_BIG above MLT_HOP_ELEMENT_BYTES_MAX or half of a partition's
 * share of the ring (of at least 64 KiB), E_INVALID for the partition; then there is no end. Never
 * blocks: what does not fit pushes the oldest batches out of the ring (overrun, the receiver will
 * say LOST). Any thread. */
enum mlt_status mlt_hop_begin(struct mlt_hop_sender *sender, uint32_t partition, size_t bytes,
                              uint8_t **out) MLT_MUST_CHECK;
void mlt_hop_end(struct mlt_hop_sender *sender, uint32_t partition);

/* Marks that something of this partition was lost before the next element: HOP_LOST on the batch
 * that begins with it (the open batch is sealed first), or, where none comes before the next write,
 * on a batch without elements. Any thread. */
void mlt_hop_mark_lost(struct mlt_hop_sender *sender, uint32_t partition);

/* Somebody else speaks for the partition from now on: nothing of it is sent, repeated or announced
 * any more, elements are taken and go nowhere. Any thread. */
void mlt_hop_sender_leave(struct mlt_hop_sender *sender, uint32_t partition);

/* From now on elements of the partition are gathered in its ring and nothing of it is sent,
 * repeated, announced or acknowledged; the ring begins anew: what was not sent is gone, since
 * somebody else speaks. What does not fit pushes the oldest out, which is no overrun. It never is
 * congested, nor waited for at the end. One that is held stays as it is; one that was left too. Any
 * thread. */
void mlt_hop_sender_hold(struct mlt_hop_sender *sender, uint32_t partition);
/* Since when (monotonic ns) the ring of a held partition has every element: since it began, or just
 * after the last element of what was pushed out of it last, or of the last batch that begins with a
 * loss (mlt_hop_mark_lost). INT64_MAX for one that is not held. Any thread. */
int64_t mlt_hop_sender_held_since(struct mlt_hop_sender *sender, uint32_t partition);
/* The partition speaks from now on with this epoch, beginning with what may have come at from_ns
 * (monotonic) or later; older batches are dropped. The numbers go on where they were, and `resume`
 * is the first that is left.
 * covered: the caller has proven that nothing between the sender before and this one is lost; the
 * headers have HOP_COVERS until something was acknowledged, and the receiver says nothing of a hole
 * or unknown end of that sender. It counts only where the ring goes back to from_ns by
 * mlt_hop_sender_held_since, looked at again under the lock. Else the first batch has HOP_LOST,
 * which is one without elements where there are none.
 * E_INVALID, with nothing changed, for a partition that is not held or an epoch of 0. Any thread.
 */
enum mlt_status mlt_hop_sender_speak(struct mlt_hop_sender *sender, uint32_t partition,
                                     uint64_t epoch, int64_t from_ns, bool covered) MLT_MUST_CHECK;
/* Not later than when (monotonic ns) the first element of the partition that is not acknowledged,
 * or that was pushed out of the ring without having been, began to be gathered; INT64_MAX when all
 * is acknowledged, or the partition is held or left. Any thread. */
int64_t mlt_hop_sender_unacked_since(struct mlt_hop_sender *sender, uint32_t partition);

/* Back-pressure. True while a receiver is alive (it acknowledged within the last 2 s, or has not
 * yet been given anything to acknowledge for so long) and some partition has more than half of its
 * share of the ring unacknowledged. Any thread, cheap. */
bool mlt_hop_congested(const struct mlt_hop_sender *sender);
/* Waits until not congested, at most max_ns; true when there is room. Not on the bus's threads
 * other than a subscription's own. */
bool mlt_hop_wait_room(struct mlt_hop_sender *sender, int64_t max_ns);
/* How much of the share of the ring of the partition that has most is not acknowledged. Unlike
 * congestion it does not ask whether a receiver is alive: without one the ring is as full. */
enum mlt_hop_fill {
    MLT_HOP_ROOM,          /* up to a quarter */
    MLT_HOP_QUARTER,       /* more than a quarter */
    MLT_HOP_THREE_EIGHTHS, /* more than three eighths */
    MLT_HOP_HALF           /* more than half: congestion, if a receiver is alive */
};
/* Any thread; one atomic load where there is room. */
enum mlt_hop_fill mlt_hop_fill(const struct mlt_hop_sender *sender);
/* Called (bus loop thread, must not block) when congestion ends, and when it is less full than
 * mlt_hop_fill told. For callers that cannot wait. */
void mlt_hop_on_room(struct mlt_hop_sender *sender, void (*fn)(void *ctx), void *ctx);

void mlt_hop_sender_get_stats(struct mlt_hop_sender *sender, struct mlt_hop_sender_stats *out);

/* ---- receiver ---- */

struct mlt_hop_receiver;

struct mlt_hop_batch {
    uint32_t partition;
    struct mlt_hop hop;
    /* The message: walk its elements with mlt_batch_next. Valid during the call. */
    struct mlt_slice bytes;
    /* Batches of this partition were lost before this one: the ring had no more of them, the sender
     * said HOP_LOST, or an earlier boot of it ended with a hole. */
    bool lost_before;
    const char
        *lost_reason; /* "hop_overrun", "upstream_lost", "sender_restarted"; "" without loss */
    uint64_t lost_from, lost_to; /* batch numbers, 0 when unknown */
    bool again; /* with_acked: a receiver before has acknowledged it; says nothing of losses */
};

struct mlt_hop_receiver_options {
    const char *service;        /* own: "dispatcher" */
    const char *sender_service; /* "adapter" */
    const char *subject;        /* "meltica.int.native" */
    uint32_t partitions;
    /* In order by partition, on one thread. Outputs must be handed to what brings them
     * to `bus` (a hop sender, an outbox, mlt_bus_publish) before it returns; it may wait for room.
     */
    void (*on_batch)(void *ctx, const struct mlt_hop_batch *batch);
    /* Of a sender that it does not know it begins with the oldest batch in the ring, not at
     * Hop.resume: those below come with `again`, as far as the ring has them. */
    bool with_acked;
    /* A sender is known now that was not: what is acknowledged to it from here on is this
     * receiver's. On the thread of on_batch, before its batches; NULL: ignored. */
    void (*on_sender)(void *ctx, uint32_t partition);
    /* Requests on "<subject>.<word>" with a word that is no partition, in order with the batches;
     * NULL: ignored. */
    void (*on_other)(void *ctx, const char *word, const struct mlt_bus_message *message);
    void *ctx;
    /* A sender without an epoch is heard also where others had one, unless it was heard before
     * them and they were heard within the last two seconds, and until somebody speaks who has the
     * highest: of a service that claims nothing while it is alone, and gives way. False: it is not
     * heard then. */
    bool hear_unclaimed;
    size_t pending_bytes_max; /* 0: 16 MiB */
    /* Bit p: takes, and acknowledges, partition p; 0: all. */
    uint64_t partition_mask;
};

struct mlt_hop_receiver_stats {
    uint64_t batches, bytes, duplicates, jumps, repeats_asked, lost_batches, malformed;
    uint64_t boots; /* senders seen */
};

enum mlt_status mlt_hop_receiver_create(struct mlt_bus *bus,
                                        const struct mlt_hop_receiver_options *options,
                                        struct mlt_hop_receiver **receiver,
                                        struct mlt_error *err) MLT_MUST_CHECK;
/* When it returns no callback runs or will come; what was handled is acknowledged if the bus lives.
 */
void mlt_hop_receiver_destroy(struct mlt_hop_receiver *receiver);
/* From now on nothing of this partition is handed out or acknowledged, nor is the batch in hand:
 * for a handler that does not own the partition, or that could not hand on what it got because its
 * service ends. Whoever receives after it gets all of it. Any thread, also inside on_batch. */
void mlt_hop_receiver_leave(struct mlt_hop_receiver *receiver, uint32_t partition);
/* For a handler that cannot hand on at once all that it makes of a batch. Inside on_batch: neither
 * the batch in hand nor what is handled after it is acknowledged until everything of both was
 * handed on and mlt_hop_receiver_settled says so. Settled is for any thread; must not run beside an
 * on_batch that has made something and not yet deferred. Destroy waits for it, half a second. */
void mlt_hop_receiver_defer(struct mlt_hop_receiver *receiver);
void mlt_hop_receiver_settled(struct mlt_hop_receiver *receiver);
/* The highest Hop.epoch that came, by partition, also where nothing but heads came: whoever speaks
 * with a lower one is not heard. Any thread. */
void mlt_hop_receiver_epochs(struct mlt_hop_receiver *receiver,
                             uint64_t epochs[MLT_HOP_PARTITIONS_MAX]);
void mlt_hop_receiver_get_stats(const struct mlt_hop_receiver *receiver,
                                struct mlt_hop_receiver_stats *out);

#endif
