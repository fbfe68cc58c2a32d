/* Receiving end of a hop: keeps the order of each partition, asks for what is missing, acknowledges
 * what was handled. Batches are handled on the subscription's thread; asking and acknowledging
 * happens in the flushes of the bus, so that it goes out with, and after, what was made of them. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "hop_wire.h"
#include "internal.h"
#include "meltica/base/check.h"
#include "meltica/base/clock.h"
#include "meltica/base/log.h"

#define ACK_NS (5 * MLT_NS_PER_MS)
#define ASK_NS (50 * MLT_NS_PER_MS)
#define LEFT_BOOTS 8u
#define LAST_ACK_NS (500 * MLT_NS_PER_MS)
/* A handler that waits for room further on is alive: the last acknowledgement is said again, so
 * that the sender holds back instead of overwriting. One that does not come back is not. */
#define ALIVE_NS (250 * MLT_NS_PER_MS)
#define BUSY_NS_MAX (3 * MLT_NS_PER_S)
/* A sender that lives says its head each 250 ms. */
#define SILENT_NS (2 * MLT_NS_PER_S)

struct partition {
    uint64_t boot;             /* 0: none seen yet */
    uint64_t epoch;            /* the highest of the boots so far; senders that claim nothing: 0 */
    bool unclaimed;            /* the boot itself has none */
    uint64_t expected;         /* the next number to be handled */
    uint64_t highest;          /* seen of this boot; at least `expected`: there is a hole */
    uint64_t done;             /* the last one that on_batch returned from */
    uint64_t handled, acked;   /* handled: may be acknowledged */
    uint64_t begin;            /* what is below it was acknowledged by a receiver before */
    unsigned heard_generation; /* connection on which the boot was last heard */
    bool heard;                /* since the last tick */
    bool silent;               /* for SILENT_NS, and nothing of it waits to be handled */
    int64_t heard_ns;          /* the tick after it was, or the connection began */
    uint64_t left[LEFT_BOOTS]; /* boots that are over */
    unsigned left_next;
    bool away; /* somebody else's: nothing is taken, asked for or acknowledged */
    bool ask_due;
    uint64_t asked_from;
    int64_t asked_ns;
    /* Lost before the next batch. */
    const char *lost_reason; /* NULL: nothing */
    uint64_t lost_boot, lost_from, lost_to;
};

struct mlt_hop_receiver {
    struct mlt_bus *bus;
    char service[HOP_SERVICE_BYTES_MAX + 1];
    char repeat_prefix[HOP_SUBJECT_BYTES]; /* "meltica.int.repeat.<sender>" */
    char ack_subject[HOP_SUBJECT_BYTES];
    uint32_t partitions;
    struct partition *parts;
    struct mlt_bus_flusher flusher;
    struct mlt_bus_ticker ticker;
    struct mlt_bus_subscription *sub;
    void (*on_batch)(void *ctx, const struct mlt_hop_batch *batch);
    void (*on_other)(void *ctx, const char *word, const struct mlt_bus_message *message);
    void (*on_sender)(void *ctx, uint32_t partition);
    bool with_acked, hear_unclaimed;
    void *ctx;

    pthread_mutex_t lock; /* parts and stats; never held in callbacks */
    pthread_cond_t all_acked;
    struct mlt_hop_receiver_stats stats;
    atomic_bool ack_wanted;
    atomic_llong busy_since_ns; /* a message is being handled; 0: none */
    bool closing;
    bool deferring; /* the lock: what is done is not handled before mlt_hop_receiver_settled */

    /* Loop thread. */
    unsigned generation;
    int64_t last_ack_ns;
    size_t position_count; /* taken down in this flush */
    struct hop_position positions[MLT_HOP_PARTITIONS_MAX];
};

/* ---- order; the lock is held ---- */

static void note_loss(struct mlt_hop_receiver *r, struct partition *p, const char *reason,
                      uint64_t from, uint64_t to)
{
    r->stats.lost_batches += to - from + 1;
    if (p->lost_reason == NULL) {
        p->lost_reason = reason;
        p->lost_boot = p->boot;
        p->lost_from = from;
        p->lost_to = to;
    } else if (p->lost_boot == p->boot && from > p->lost_to) {
        p->lost_to = to;
    } else { /* losses of two boots are no range, nor of one whose numbers went back */
        p->lost_from = p->lost_to = 0;
    }
}

static bool left(const struct partition *p, uint64_t boot)
{
    for (unsigned i = 0; i < LEFT_BOOTS; i++) {
        if (p->left[i] == boot) {
            return true;
        }
    }
    return false;
}

static bool covers(const struct mlt_hop *hop)
{
    return (hop->flags & MLT_HOP_COVERS) != 0;
}

static void adopt(struct mlt_hop_receiver *r, struct partition *p, const struct mlt_hop *hop)
{
    if (p->boot != 0) {
        p->left[p->left_next++ % LEFT_BOOTS] = p->boot;
    }
    /* One that covers brings all that this one may not have. */
    if (p->boot != 0 && !covers(hop)) {
        if (p->highest >= p->expected) {
            note_loss(r, p, "sender_restarted", p->expected, p->highest);
        } else if (p->heard_generation != mlt_bus_generation(r->bus)) {
            /* It ended before we heard it on this connection: nobody can tell what it had sent on
             * the one before, and others may have taken that for delivered. */
            note_loss(r, p, "sender_restarted", p->expected, p->expected);
        }
    }
    r->stats.boots++;
    p->boot = hop->boot;
    p->expected = p->begin = hop->resume > 0 ? hop->resume : 1;
    if (r->with_acked && hop->oldest > 0 && hop->oldest < p->begin) {
        p->expected = hop->oldest;
    }
    p->highest = p->expected - 1;
    p->done = p->handled = p->acked = 0;
    p->asked_from = 0;
}

/* Our sender, which gave up the partition and took it back, while nothing was heard of who had it
 * in between: the numbers that it left out were that one's time. */
static void go_on_at_resume(struct partition *p, const struct mlt_hop *hop)
{
    if (hop->resume > p->expected) {
        p->expected = hop->resume;
        if (p->highest + 1 < p->expected) {
            p->highest = p->expected - 1;
        }
    }
}

/* What the sender has no more of will not come. */
static void skip_evicted(struct mlt_hop_receiver *r, struct partition *p, const struct mlt_hop *hop)
{
    if (hop->oldest > p->expected) {
        const uint64_t from = p->expected > p->begin ? p->expected : p->begin;
        if (hop->oldest > from) {
            note_loss(r, p, "hop_overrun", from, hop->oldest - 1);
        }
        p->expected = hop->oldest;
        if (p->highest + 1 < p->expected) {
            p->highest = p->expected - 1;
        }
    }
}

static bool hole(const struct partition *p)
{
    return p->boot != 0 && p->highest >= p->expected;
}

/* Asks at once for a hole that is new. Again after a while, but only when nothing waits to be
 * handled: what was asked for may be in there, and a slow handler must not make it come twice. */
static bool ask(struct mlt_hop_receiver *r, struct partition *p, int64_t now, bool idle)
{
    const bool again = p->asked_from == p->expected;
    if (!hole(p) || (again && (!idle || now - p->asked_ns < ASK_NS))) {
        return false;
    }
    r->stats.jumps += !again;
    p->asked_from = p->expected;
    p->asked_ns = now;
    p->ask_due = true;
    return true;
}

enum verdict { TAKE, DROP, ASK };

/* An owner that slept speaks before it learns that another one took over. Were it taken for new,
 * nobody would hear that one any more. Who claims nothing gives way to whoever has a claim, also
 * where that one was there first; but as it cannot claim it is heard again once that one is gone,
 * or nobody would speak for the partition. */
static bool replaced(const struct mlt_hop_receiver *r, const struct partition *p,
                     const struct mlt_hop *hop)
{
    if (r->hear_unclaimed && hop->epoch == 0) {
        return left(p, hop->boot) && !p->silent;
    }
    const bool again = left(p, hop->boot) && !(r->hear_unclaimed && p->unclaimed);
    return hop->epoch < p->epoch || (again && hop->epoch == p->epoch);
}

static enum verdict judge(struct mlt_hop_receiver *r, struct partition *p,
                          const struct mlt_hop *hop)
{
    const bool head = (hop->flags & MLT_HOP_HEAD) != 0;
    if (hop->boot != p->boot) {
        if (replaced(r, p, hop)) {
            r->stats.duplicates++;
            return DROP;
        }
        adopt(r, p, hop);
    } else if (hop->epoch > p->epoch && covers(hop)) {
        go_on_at_resume(p, hop);
    }
    p->unclaimed = hop->epoch == 0;
    if (hop->epoch > p->epoch) {
        p->epoch = hop->epoch;
    }
    p->heard_generation = mlt_bus_generation(r->bus);
    p->heard = true;
    p->silent = false;
    skip_evicted(r, p, hop);
    if (head) { /* in order with all that was sent: nothing above it exists */
        p->highest = hop->number + 1 > p->expected ? hop->number : p->expected - 1;
    } else if (hop->number == p->expected) {
        return TAKE;
    }
    if (hop->number < p->expected) {
        r->stats.duplicates += !head;
        return DROP;
    }
    if (hop->number > p->highest) {
        p->highest = hop->number;
    }
    return ask(r, p, mlt_clock_mono_ns(), false) ? ASK : DROP;
}

static void fill(struct mlt_hop_batch *batch, struct partition *p)
{
    batch->lost_reason = "";
    batch->again = batch->hop.number < p->begin;
    if (batch->again) {
        return; /* whoever acknowledged it has said what was lost before it */
    }
    if (p->lost_reason != NULL) {
        batch->lost_before = true;
        batch->lost_reason = p->lost_reason;
        batch->lost_from = p->lost_from;
        batch->lost_to = p->lost_to;
        p->lost_reason = NULL;
    } else if ((batch->hop.flags & MLT_HOP_LOST) != 0) {
        batch->lost_before = true;
        batch->lost_reason = "upstream_lost";
    }
}

/* ---- messages ---- */

static void want_ack(struct mlt_hop_receiver *r)
{
    if (!atomic_exchange(&r->ack_wanted, true)) {
        mlt_bus_want_flush(r->bus);
    }
}

static void handle(struct mlt_hop_receiver *r, struct mlt_hop_batch *batch)
{
    struct partition *p = &r->parts[batch->partition];
    (void)pthread_mutex_lock(&r->lock);
    const uint64_t boot = p->boot;
    const enum verdict verdict = p->away ? DROP : judge(r, p, &batch->hop);
    const bool new_sender = p->boot != boot;
    if (verdict == TAKE) {
        fill(batch, p);
        r->stats.batches++;
        r->stats.bytes += batch->bytes.len;
        if (p->highest < batch->hop.number) {
            p->highest = batch->hop.number;
        }
    }
    (void)pthread_mutex_unlock(&r->lock);
    if (new_sender && r->on_sender != NULL) {
        r->on_sender(r->ctx, batch->partition);
    }
    if (verdict == ASK) {
        mlt_bus_want_flush(r->bus);
    }
    if (verdict != TAKE) {
        return;
    }
    r->on_batch(r->ctx, batch);
    (void)pthread_mutex_lock(&r->lock);
    const bool handled = !p->away && !r->deferring;
    if (!p->away) {
        p->done = batch->hop.number;
        p->expected = batch->hop.number + 1;
    }
    if (handled) {
        p->handled = p->done;
    }
    (void)pthread_mutex_unlock(&r->lock);
    if (handled) {
        want_ack(r);
    }
}

/* Number 0 is that of a sender that has sent nothing yet: an announcement only. */
static bool plausible(const struct mlt_hop *hop)
{
    return hop->boot != 0 && hop->number < UINT64_MAX && hop->oldest <= hop->number + 1 &&
           (hop->number > 0 || (hop->flags & MLT_HOP_HEAD) != 0);
}

static void serve(struct mlt_hop_receiver *r, const struct mlt_bus_message *message)
{
    struct mlt_hop_batch batch = { .bytes = message->payload };
    const char *word = NULL;
    if (hop_subject_partition(message->subject, &batch.partition, &word) != MLT_OK) {
        if (r->on_other != NULL) {
            r->on_other(r->ctx, word, message);
        }
        return;
    }
    if (batch.partition >= r->partitions || mlt_hop_decode(batch.bytes, &batch.hop) != MLT_OK ||
        !plausible(&batch.hop)) {
        (void)pthread_mutex_lock(&r->lock);
        r->stats.malformed++;
        (void)pthread_mutex_unlock(&r->lock);
        return;
    }
    handle(r, &batch);
}

static void on_message(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_hop_receiver *r = ctx;
    atomic_store(&r->busy_since_ns, mlt_clock_mono_ns());
    serve(r, message);
    atomic_store(&r->busy_since_ns, 0);
}

/* ---- the loop thread ---- */

/* A new connection: what was asked for or on its way may be gone with the old one. */
static void ask_all(struct mlt_hop_receiver *r, int64_t now)
{
    for (uint32_t i = 0; i < r->partitions; i++) {
        r->parts[i].ask_due = !r->parts[i].away;
        r->parts[i].asked_from = r->parts[i].expected;
        r->parts[i].asked_ns = now;
        r->parts[i].heard_ns = now;
    }
}

static void take_positions(struct mlt_hop_receiver *r, int64_t now)
{
    r->position_count = 0;
    if (!atomic_load(&r->ack_wanted)) {
        return;
    }
    if (!r->closing && now - r->last_ack_ns < ACK_NS) {
        mlt_bus_flush_again_at(r->bus, r->last_ack_ns + ACK_NS);
        return;
    }
    atomic_store(&r->ack_wanted, false); /* before looking: what comes after it wants again */
    for (uint32_t i = 0; i < r->partitions; i++) {
        const struct partition *p = &r->parts[i];
        if (p->boot != 0 && !p->away) {
            r->positions[r->position_count++] =
                (struct hop_position){ .partition = i, .boot = p->boot, .number = p->handled };
        }
    }
}

static void send_asks(struct mlt_hop_receiver *r)
{
    uint8_t bytes[HOP_REPEAT_BYTES];
    char subject[HOP_SUBJECT_BYTES + 12];
    for (uint32_t i = 0; i < r->partitions; i++) {
        struct partition *p = &r->parts[i];
        if (!p->ask_due) {
            continue;
        }
        hop_repeat_encode(p->boot, p->boot != 0 ? p->expected : 0, bytes);
        (void)snprintf(subject, sizeof subject, "%s.%02" PRIu32, r->repeat_prefix, i);
        if (mlt_bus_publish_in_flush(r->bus, subject, mlt_slice_of(bytes, sizeof bytes)) !=
            MLT_OK) {
            return;
        }
        p->ask_due = false;
        r->stats.repeats_asked++;
    }
}

static void send_acks(struct mlt_hop_receiver *r, int64_t now)
{
    uint8_t bytes[HOP_ACK_BYTES_MAX];
    size_t kept = 0;
    for (size_t i = 0; i < r->position_count; i++) { /* left since they were taken down? */
        if (!r->parts[r->positions[i].partition].away) {
            r->positions[kept++] = r->positions[i];
        }
    }
    r->position_count = kept;
    if (kept == 0) {
        return;
    }
    const size_t len = hop_ack_encode(r->service, r->positions, r->position_count, bytes);
    /* Outputs that found no room in this flush are made of what would be acknowledged here. */
    if (!mlt_bus_flush_complete(r->bus) ||
        mlt_bus_publish_in_flush(r->bus, r->ack_subject, mlt_slice_of(bytes, len)) != MLT_OK) {
        /* Not at once: where nothing is written in between that would be without end. */
        atomic_store(&r->ack_wanted, true);
        mlt_bus_flush_again_at(r->bus, now + ACK_NS);
        return;
    }
    r->last_ack_ns = now;
    for (size_t i = 0; i < r->position_count; i++) {
        struct partition *p = &r->parts[r->positions[i].partition];
        if (p->boot == r->positions[i].boot) {
            p->acked = r->positions[i].number;
        }
    }
    (void)pthread_cond_broadcast(&r->all_acked);
}

static void on_flush(void *ctx, unsigned stage)
{
    struct mlt_hop_receiver *r = ctx;
    if (stage == 1) {
        return;
    }
    const int64_t now = mlt_clock_mono_ns();
    const unsigned generation = mlt_bus_generation(r->bus);
    (void)pthread_mutex_lock(&r->lock);
    if (stage == 0) {
        if (generation != r->generation) {
            r->generation = generation;
            ask_all(r, now);
            atomic_store(&r->ack_wanted, true); /* the last ones may never have arrived */
        }
        take_positions(r, now);
    } else {
        send_asks(r);
        send_acks(r, now);
    }
    (void)pthread_mutex_unlock(&r->lock);
}

/* all_heard: whatever the boot has said was looked at. */
static void look_for_silence(struct partition *p, int64_t now, bool all_heard)
{
    if (p->heard) {
        p->heard = false;
        p->heard_ns = now;
    } else if (all_heard && now - p->heard_ns >= SILENT_NS) {
        p->silent = true;
    }
}

static void on_tick(void *ctx, int64_t now)
{
    struct mlt_hop_receiver *r = ctx;
    const int64_t since = atomic_load(&r->busy_since_ns);
    const bool idle = since == 0 && mlt_bus_subscription_pending(r->sub) == 0;
    const bool all_heard =
        idle && mlt_bus_connected(r->bus) && mlt_bus_generation(r->bus) == r->generation;
    bool due = false;
    (void)pthread_mutex_lock(&r->lock);
    for (uint32_t i = 0; i < r->partitions; i++) {
        look_for_silence(&r->parts[i], now, all_heard);
        due = (!r->parts[i].away && ask(r, &r->parts[i], now, idle)) || due;
    }
    (void)pthread_mutex_unlock(&r->lock);
    if (since != 0 && now - since < BUSY_NS_MAX && now - r->last_ack_ns >= ALIVE_NS) {
        atomic_store(&r->ack_wanted, true);
        due = true;
    }
    if (due) {
        mlt_bus_want_flush(r->bus);
    }
}

/* ---- life ---- */

static void receiver_free(struct mlt_hop_receiver *r)
{
    (void)pthread_mutex_destroy(&r->lock);
    (void)pthread_cond_destroy(&r->all_acked);
    free(r->parts);
    free(r);
}

static bool options_valid(const struct mlt_hop_receiver_options *options)
{
    return options->partitions > 0 && options->partitions <= MLT_HOP_PARTITIONS_MAX &&
           options->on_batch != NULL && mlt_bus_subject_valid(options->service) &&
           mlt_bus_subject_valid(options->sender_service) &&
           mlt_bus_subject_valid(options->subject) &&
           strlen(options->service) <= HOP_SERVICE_BYTES_MAX &&
           strlen(options->sender_service) <= HOP_SERVICE_BYTES_MAX &&
           strlen(options->subject) + 4 <= MLT_BUS_SUBJECT_BYTES_MAX;
}

static struct mlt_hop_receiver *receiver_make(struct mlt_bus *bus,
                                              const struct mlt_hop_receiver_options *options)
{
    struct mlt_hop_receiver *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return NULL;
    }
    r->bus = bus;
    r->partitions = options->partitions;
    r->on_batch = options->on_batch;
    r->on_other = options->on_other;
    r->on_sender = options->on_sender;
    r->with_acked = options->with_acked;
    r->hear_unclaimed = options->hear_unclaimed;
    r->ctx = options->ctx;
    (void)pthread_mutex_init(&r->lock, NULL);
    mlt_bus_cond_init(&r->all_acked);
    (void)snprintf(r->service, sizeof r->service, "%s", options->service);
    (void)snprintf(r->repeat_prefix, sizeof r->repeat_prefix, MLT_BUS_PREFIX_INT ".repeat.%s",
                   options->sender_service);
    (void)snprintf(r->ack_subject, sizeof r->ack_subject, MLT_BUS_PREFIX_INT ".ack.%s",
                   options->sender_service);
    r->parts = calloc(r->partitions, sizeof *r->parts);
    if (r->parts == NULL) {
        receiver_free(r);
        return NULL;
    }
    for (uint32_t i = 0; i < r->partitions; i++) {
        r->parts[i].away = options->partition_mask != 0 && (options->partition_mask >> i & 1) == 0;
    }
    return r;
}

enum mlt_status mlt_hop_receiver_create(struct mlt_bus *bus,
                                        const struct mlt_hop_receiver_options *options,
                                        struct mlt_hop_receiver **receiver, struct mlt_error *err)
{
    char subject[HOP_SUBJECT_BYTES];
    if (!options_valid(options)) {
        return mlt_error_set(err, MLT_E_INVALID, "hop receiver: bad options");
    }
    struct mlt_hop_receiver *r = receiver_make(bus, options);
    if (r == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for a hop receiver");
    }
    (void)snprintf(subject, sizeof subject, "%s.*", options->subject);
    const struct mlt_bus_subscribe_options from = { .subject = subject,
                                                    .pending_bytes_max =
                                                        options->pending_bytes_max };
    const enum mlt_status status = mlt_bus_subscribe(bus, &from, on_message, r, &r->sub, err);
    if (status != MLT_OK) {
        receiver_free(r);
        return status;
    }
    r->flusher = (struct mlt_bus_flusher){ .fn = on_flush, .ctx = r };
    r->ticker = (struct mlt_bus_ticker){ .fn = on_tick, .ctx = r };
    mlt_bus_add_flusher(bus, &r->flusher);
    mlt_bus_add_ticker(bus, &r->ticker);
    mlt_bus_want_flush(bus); /* the first one asks where the senders stand */
    *receiver = r;
    return MLT_OK;
}

static bool all_acked(const struct mlt_hop_receiver *r)
{
    for (uint32_t i = 0; i < r->partitions; i++) {
        if (!r->parts[i].away && r->parts[i].acked < r->parts[i].handled) {
            return false;
        }
    }
    return true;
}

void mlt_hop_receiver_destroy(struct mlt_hop_receiver *receiver)
{
    if (receiver == NULL) {
        return;
    }
    mlt_bus_remove_ticker(receiver->bus, &receiver->ticker); /* it looks at the subscription */
    mlt_bus_unsubscribe(receiver->sub);
    const int64_t deadline = mlt_clock_mono_ns() + LAST_ACK_NS;
    bool in_time = mlt_bus_connected(receiver->bus);
    (void)pthread_mutex_lock(&receiver->lock);
    receiver->closing = true;
    while (in_time && (receiver->deferring || !all_acked(receiver))) {
        atomic_store(&receiver->ack_wanted, true);
        mlt_bus_want_flush(receiver->bus);
        in_time = mlt_bus_cond_wait(&receiver->all_acked, &receiver->lock, deadline);
    }
    (void)pthread_mutex_unlock(&receiver->lock);
    mlt_bus_remove_flusher(receiver->bus, &receiver->flusher);
    receiver_free(receiver);
}

void mlt_hop_receiver_leave(struct mlt_hop_receiver *receiver, uint32_t partition)
{
    MLT_CHECK(partition < receiver->partitions);
    (void)pthread_mutex_lock(&receiver->lock);
    receiver->parts[partition].away = true;
    receiver->parts[partition].ask_due = false;
    (void)pthread_mutex_unlock(&receiver->lock);
}

void mlt_hop_receiver_defer(struct mlt_hop_receiver *receiver)
{
    (void)pthread_mutex_lock(&receiver->lock);
    receiver->deferring = true;
    (void)pthread_mutex_unlock(&receiver->lock);
}

void mlt_hop_receiver_settled(struct mlt_hop_receiver *receiver)
{
    (void)pthread_mutex_lock(&receiver->lock);
    receiver->deferring = false;
    for (uint32_t i = 0; i < receiver->partitions; i++) {
        if (!receiver->parts[i].away) {
            receiver->parts[i].handled = receiver->parts[i].done;
        }
    }
    (void)pthread_mutex_unlock(&receiver->lock);
    want_ack(receiver);
}

void mlt_hop_receiver_epochs(struct mlt_hop_receiver *receiver,
                             uint64_t epochs[MLT_HOP_PARTITIONS_MAX])
{
    (void)pthread_mutex_lock(&receiver->lock);
    for (uint32_t i = 0; i < MLT_HOP_PARTITIONS_MAX; i++) {
        epochs[i] = i < receiver->partitions ? receiver->parts[i].epoch : 0;
    }
    (void)pthread_mutex_unlock(&receiver->lock);
}

void mlt_hop_receiver_get_stats(const struct mlt_hop_receiver *receiver,
                                struct mlt_hop_receiver_stats *out)
{
    struct mlt_hop_receiver *r = (struct mlt_hop_receiver *)(uintptr_t)receiver;
    (void)pthread_mutex_lock(&r->lock);
    *out = r->stats;
    (void)pthread_mutex_unlock(&r->lock);
}
