/* Sending end of a hop. Elements are encoded straight into the ring (hop_ring.c); the loop thread
 * of the bus seals, publishes from the ring, and sets the place to send from back when a receiver
 * asks.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "hop_ring.h"
#include "hop_wire.h"
#include "internal.h"
#include "meltica/base/clock.h"
#include "meltica/base/log.h"

#define RING_BYTES (8u << 20)
#define SHARE_BYTES_MIN (64u << 10)
#define KEEP_NS (3 * MLT_NS_PER_S)
#define HEAD_NS (250 * MLT_NS_PER_MS)
/* A restarted receiver is heard again within this time, as long as the Adapter can hold its lines.
 */
#define ALIVE_NS (2 * MLT_NS_PER_S)
/* A slot for each that many bytes of ring: more batches than that are smaller than worth keeping.
 */
#define SLOT_BYTES 256u
#define SLOTS_MIN 256u

/* ---- back-pressure ---- */

static bool alive(const struct mlt_hop_sender *s)
{
    const int64_t acked = atomic_load(&s->last_ack_ns);
    const int64_t since = atomic_load(&s->waiting_since_ns);
    return atomic_load(&s->waiting) == 0 ||
           mlt_clock_mono_ns() - (acked > since ? acked : since) < ALIVE_NS;
}

static bool congested(const struct mlt_hop_sender *s)
{
    return hop_fill_of(s) == MLT_HOP_HALF && alive(s);
}

bool mlt_hop_congested(const struct mlt_hop_sender *sender)
{
    if (!congested(sender)) {
        return false;
    }
    /* Owed first, then looked at again: an acknowledgement in between sees the debt. */
    struct mlt_hop_sender *s = (struct mlt_hop_sender *)(uintptr_t)sender;
    atomic_store(&s->room_owed, true);
    return congested(sender);
}

enum mlt_hop_fill mlt_hop_fill(const struct mlt_hop_sender *sender)
{
    enum mlt_hop_fill told = MLT_HOP_ROOM, fill = hop_fill_of(sender);
    struct mlt_hop_sender *s = (struct mlt_hop_sender *)(uintptr_t)sender;
    while (fill != told) { /* owed first, as congestion is */
        told = fill;
        if (told != MLT_HOP_ROOM) {
            atomic_fetch_or(&s->fill_owed, 1u << told);
        }
        fill = hop_fill_of(s);
    }
    return told;
}

/* Of what somebody was told, what is not so any more. */
static unsigned eased(const struct mlt_hop_sender *s)
{
    const unsigned owed = atomic_load(&s->fill_owed);
    return owed == 0 ? 0 : owed & ~((2u << hop_fill_of(s)) - 1);
}

static void wake_waiters(struct mlt_hop_sender *s)
{
    if (atomic_load(&s->waiters) > 0) {
        (void)pthread_mutex_lock(&s->room_lock);
        (void)pthread_cond_broadcast(&s->room);
        (void)pthread_mutex_unlock(&s->room_lock);
    }
}

bool mlt_hop_wait_room(struct mlt_hop_sender *sender, int64_t max_ns)
{
    if (!mlt_hop_congested(sender)) {
        return true;
    }
    const int64_t start = mlt_clock_mono_ns();
    bool in_time = max_ns > 0;
    bool room = false;
    (void)pthread_mutex_lock(&sender->room_lock);
    atomic_fetch_add(&sender->waiters, 1);
    while (!(room = !mlt_hop_congested(sender)) && in_time) {
        in_time = mlt_bus_cond_wait(&sender->room, &sender->room_lock, start + max_ns);
    }
    atomic_fetch_sub(&sender->waiters, 1);
    (void)pthread_mutex_unlock(&sender->room_lock);
    atomic_fetch_add(&sender->blocked_ns, (unsigned long long)(mlt_clock_mono_ns() - start));
    return room;
}

void mlt_hop_on_room(struct mlt_hop_sender *sender, void (*fn)(void *ctx), void *ctx)
{
    (void)pthread_mutex_lock(&sender->room_lock);
    sender->on_room = fn;
    sender->on_room_ctx = ctx;
    (void)pthread_mutex_unlock(&sender->room_lock);
}

/* Loop thread: pays what is owed once there is room. */
static void pay_room(struct mlt_hop_sender *s)
{
    const unsigned less = eased(s);
    const bool room = atomic_load(&s->room_owed) && !congested(s);
    if (less == 0 && !room) {
        return;
    }
    atomic_fetch_and(&s->fill_owed, ~less);
    if (room) {
        atomic_store(&s->room_owed, false);
    }
    (void)pthread_mutex_lock(&s->room_lock);
    void (*fn)(void *ctx) = s->on_room;
    void *ctx = s->on_room_ctx;
    (void)pthread_mutex_unlock(&s->room_lock);
    wake_waiters(s);
    if (fn != NULL) {
        fn(ctx);
    }
}

/* ---- what receivers say ---- */

static void on_ack(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_hop_sender *s = ctx;
    struct mlt_slice rest = message->payload;
    struct hop_position position;
    bool mine = false;
    while (hop_ack_next(&rest, &position) == MLT_OK) {
        if (position.boot != s->boot || position.partition >= s->partitions) {
            continue;
        }
        struct hop_partition *p = &s->parts[position.partition];
        mine = true;
        /* Before what it acknowledges: who sees that taken may rely on a receiver. */
        atomic_store(&s->known, true);
        (void)pthread_mutex_lock(&p->lock);
        if (position.number > p->acked && position.number <= p->sent) {
            p->acked = position.number;
            p->covers = false;
            p->gone_ns = p->acked + 1 >= p->oldest ? INT64_MAX : p->gone_ns;
            hop_account(s, p);
        }
        (void)pthread_mutex_unlock(&p->lock);
    }
    if (mine) {
        atomic_store(&s->last_ack_ns, mlt_clock_mono_ns());
        if (atomic_load(&s->closing)) {
            wake_waiters(s);
        }
        if (atomic_load(&s->room_owed) && !congested(s)) {
            wake_waiters(s);
            mlt_bus_want_flush(s->bus); /* on_room is called there */
        } else if (eased(s) != 0) {
            mlt_bus_want_flush(s->bus);
        }
    }
}

static void on_repeat(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_hop_sender *s = ctx;
    uint32_t partition = 0;
    uint64_t boot = 0, from = 0;
    const char *word = NULL;
    if (hop_subject_partition(message->subject, &partition, &word) != MLT_OK ||
        partition >= s->partitions || !hop_speaks_for(s, partition) ||
        hop_repeat_decode(message->payload, &boot, &from) != MLT_OK ||
        (boot != 0 && boot != s->boot)) {
        return;
    }
    struct hop_partition *p = &s->parts[partition];
    (void)pthread_mutex_lock(&p->lock);
    if (p->held) {
        /* whoever speaks answers */
    } else if (boot == 0) {
        p->head_due = true;
    } else if (from < p->send) {
        p->send = from > p->oldest ? from : p->oldest;
        p->repeats++;
        /* Nothing of it is left: the announcement says so. */
        p->head_due = p->send == p->next;
    }
    (void)pthread_mutex_unlock(&p->lock);
    mlt_bus_want_flush(s->bus);
}

/* ---- the loop thread ---- */

static struct mlt_hop header_of(const struct mlt_hop_sender *s, const struct hop_partition *p)
{
    return (struct mlt_hop){ .boot = s->boot,
                             .oldest = p->oldest,
                             .resume = p->acked + 1,
                             .epoch = p->epoch,
                             .flags = p->covers ? MLT_HOP_COVERS : 0 };
}

/* One batch with its header renewed. */
static enum mlt_status send_one(struct mlt_hop_sender *s, struct hop_partition *p)
{
    const struct hop_slot *slot = hop_slot_of(s, p, p->send);
    uint8_t *at = p->memory + slot->position % s->size;
    struct mlt_hop hop = header_of(s, p);
    hop.number = p->send;
    hop.epoch = slot->epoch;
    hop.flags |= slot->flags;
    mlt_hop_encode(&hop, at);
    return mlt_bus_publish_in_flush(s->bus, p->subject, mlt_slice_of(at, slot->len));
}

static void send_head(struct mlt_hop_sender *s, struct hop_partition *p, int64_t now)
{
    uint8_t bytes[MLT_HOP_BYTES];
    struct mlt_hop hop = header_of(s, p);
    hop.number = p->next - 1;
    hop.flags |= MLT_HOP_HEAD;
    mlt_hop_encode(&hop, bytes);
    if (mlt_bus_publish_in_flush(s->bus, p->subject, mlt_slice_of(bytes, sizeof bytes)) == MLT_OK) {
        p->head_due = false;
        p->last_sent_ns = now;
    }
}

/* False when the connection takes no more for now. */
static bool send_partition(struct mlt_hop_sender *s, uint32_t partition, int64_t now)
{
    struct hop_partition *p = &s->parts[partition];
    enum mlt_status status = MLT_OK;
    (void)pthread_mutex_lock(&p->lock);
    if (!hop_speaks_for(s, partition)) { /* since a moment ago */
        (void)pthread_mutex_unlock(&p->lock);
        return true;
    }
    hop_seal(s, p, now);
    while (p->send < p->next && (status = send_one(s, p)) == MLT_OK) {
        if (p->send <= p->sent) {
            p->repeated++;
        } else {
            p->sent = p->send;
        }
        p->send++;
        p->last_sent_ns = now;
    }
    if (status == MLT_OK && p->head_due) {
        send_head(s, p, now);
    }
    (void)pthread_mutex_unlock(&p->lock);
    if (status != MLT_OK && status != MLT_E_FULL && status != MLT_E_CLOSED) {
        mlt_log(MLT_LOG_ERROR, "hop_publish_failed", mlt_status_text(status),
                MLT_S("subject", p->subject));
    }
    return status == MLT_OK;
}

/* What the last connection took may not have been written: all that is not acknowledged goes again.
 * So it is before the acknowledgements of what it was made from, which come after it. */
static void go_back_all(struct mlt_hop_sender *s)
{
    for (uint32_t i = 0; i < s->partitions; i++) {
        struct hop_partition *p = &s->parts[i];
        (void)pthread_mutex_lock(&p->lock);
        const uint64_t from = p->acked + 1 > p->oldest ? p->acked + 1 : p->oldest;
        if (from < p->send) {
            p->send = from;
        }
        p->head_due = p->head_due || (!p->held && (p->sent > 0 || p->spoke));
        (void)pthread_mutex_unlock(&p->lock);
    }
}

static void on_flush(void *ctx, unsigned stage)
{
    struct mlt_hop_sender *s = ctx;
    if (stage != 1) {
        return;
    }
    const unsigned generation = mlt_bus_generation(s->bus);
    const int64_t now = mlt_clock_mono_ns();
    if (generation != s->generation) {
        s->generation = generation;
        go_back_all(s);
    }
    for (uint32_t i = 0; i < s->partitions; i++) {
        /* The one that found no room is the first next time. */
        const uint32_t at = (s->turn + i) % s->partitions;
        if (hop_speaks_for(s, at) && !send_partition(s, at, now)) {
            s->turn = at;
            break;
        }
    }
    pay_room(s);
    if (atomic_load(&s->waiters) > 0) {
        wake_waiters(s);
    }
}

static void on_tick(void *ctx, int64_t now)
{
    struct mlt_hop_sender *s = ctx;
    bool due = false;
    for (uint32_t i = 0; i < s->partitions; i++) {
        struct hop_partition *p = &s->parts[i];
        (void)pthread_mutex_lock(&p->lock);
        while (p->oldest < p->next && p->oldest <= p->acked &&
               now - hop_slot_of(s, p, p->oldest)->sealed_ns > s->keep_ns) {
            hop_evict(s, p);
        }
        if (p->held) {
            hop_seal(s, p, now);
        } else if ((p->sent > 0 || p->spoke) && now - p->last_sent_ns >= HEAD_NS &&
                   hop_speaks_for(s, i)) {
            p->head_due = due = true;
        }
        (void)pthread_mutex_unlock(&p->lock);
    }
    pay_room(s);
    wake_waiters(s); /* they look whether a receiver still lives */
    if (due) {
        mlt_bus_want_flush(s->bus);
    }
}

/* ---- life ---- */

static enum mlt_status listen(struct mlt_hop_sender *s, const char *service, struct mlt_error *err)
{
    char subject[HOP_SUBJECT_BYTES];
    struct mlt_bus_subscribe_options options = { .subject = subject };
    (void)snprintf(subject, sizeof subject, MLT_BUS_PREFIX_INT ".repeat.%s.*", service);
    enum mlt_status status = mlt_bus_subscribe(s->bus, &options, on_repeat, s, &s->repeat_sub, err);
    if (status == MLT_OK) {
        (void)snprintf(subject, sizeof subject, MLT_BUS_PREFIX_INT ".ack.%s", service);
        status = mlt_bus_subscribe(s->bus, &options, on_ack, s, &s->ack_sub, err);
    }
    return status;
}

static void sender_free(struct mlt_hop_sender *s)
{
    mlt_bus_unsubscribe(s->repeat_sub);
    mlt_bus_unsubscribe(s->ack_sub);
    for (uint32_t i = 0; s->parts != NULL && i < s->partitions; i++) {
        (void)pthread_mutex_destroy(&s->parts[i].lock);
        free(s->parts[i].memory);
        free(s->parts[i].slots);
    }
    free(s->parts);
    (void)pthread_mutex_destroy(&s->room_lock);
    (void)pthread_cond_destroy(&s->room);
    free(s);
}

static bool make_partitions(struct mlt_hop_sender *s, const struct mlt_hop_sender_options *options)
{
    const uint64_t mask = options->partition_mask != 0 ? options->partition_mask : UINT64_MAX;
    const int64_t now = mlt_clock_mono_ns();
    atomic_init(&s->mask, mask & ~options->held_mask);
    s->parts = calloc(s->partitions, sizeof *s->parts);
    for (uint32_t i = 0; s->parts != NULL && i < s->partitions; i++) {
        (void)pthread_mutex_init(&s->parts[i].lock, NULL);
    }
    for (uint32_t i = 0; s->parts != NULL && i < s->partitions; i++) {
        struct hop_partition *p = &s->parts[i];
        p->memory = malloc(s->size);
        p->slots = calloc((size_t)s->slot_mask + 1, sizeof *p->slots);
        p->oldest = p->next = p->send = 1;
        p->epoch = options->epoch;
        p->held = (mask & options->held_mask) >> i & 1;
        p->whole_ns = now;
        p->gone_ns = INT64_MAX;
        (void)snprintf(p->subject, sizeof p->subject, "%s.%02u", options->subject, i);
        if (p->memory == NULL || p->slots == NULL) {
            return false;
        }
    }
    return s->parts != NULL;
}

static void set_sizes(struct mlt_hop_sender *s, const struct mlt_hop_sender_options *options)
{
    const size_t ring = options->ring_bytes > 0 ? options->ring_bytes : RING_BYTES;
    s->size = ring / options->partitions;
    s->size = s->size > SHARE_BYTES_MIN ? s->size : SHARE_BYTES_MIN;
    uint32_t slots = SLOTS_MIN;
    while (slots < s->size / SLOT_BYTES && slots < 1u << 20) {
        slots *= 2;
    }
    s->slot_mask = slots - 1;
    const size_t fits = s->size / 2 - MLT_HOP_BYTES - MLT_ELEMENT_HEADER_BYTES_MAX;
    s->element_max = fits < MLT_HOP_ELEMENT_BYTES_MAX ? fits : MLT_HOP_ELEMENT_BYTES_MAX;
}

enum mlt_status mlt_hop_sender_create(struct mlt_bus *bus,
                                      const struct mlt_hop_sender_options *options,
                                      struct mlt_hop_sender **sender, struct mlt_error *err)
{
    if (options->partitions == 0 || options->partitions > MLT_HOP_PARTITIONS_MAX ||
        options->boot == 0 || !mlt_bus_subject_valid(options->service) ||
        !mlt_bus_subject_valid(options->subject) ||
        strlen(options->service) > HOP_SERVICE_BYTES_MAX ||
        strlen(options->subject) + 4 > MLT_BUS_SUBJECT_BYTES_MAX) {
        return mlt_error_set(err, MLT_E_INVALID, "hop sender: bad options");
    }
    struct mlt_hop_sender *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for a hop sender");
    }
    s->bus = bus;
    s->boot = options->boot;
    s->keep_ns = options->keep_ns > 0 ? options->keep_ns : KEEP_NS;
    s->partitions = options->partitions;
    (void)pthread_mutex_init(&s->room_lock, NULL);
    mlt_bus_cond_init(&s->room);
    set_sizes(s, options);
    enum mlt_status status = make_partitions(s, options)
                                 ? listen(s, options->service, err)
                                 : mlt_error_set(err, MLT_E_NOMEM, "no memory for a hop's ring");
    if (status != MLT_OK) {
        sender_free(s);
        return status;
    }
    s->flusher = (struct mlt_bus_flusher){ .fn = on_flush, .ctx = s };
    s->ticker = (struct mlt_bus_ticker){ .fn = on_tick, .ctx = s };
    mlt_bus_add_flusher(bus, &s->flusher);
    mlt_bus_add_ticker(bus, &s->ticker);
    *sender = s;
    return MLT_OK;
}

/* All is with the server, and acknowledged by a receiver that is there: what a receiver that ends
 * at the same time had not taken would be nobody's. */
static bool all_settled(struct mlt_hop_sender *s)
{
    const bool acks = atomic_load(&s->known) && alive(s);
    bool all = true;
    for (uint32_t i = 0; i < s->partitions; i++) {
        struct hop_partition *p = &s->parts[i];
        (void)pthread_mutex_lock(&p->lock);
        all = all && (!hop_speaks_for(s, i) || (!hop_open_says_something(p) && p->send == p->next &&
                                                (!acks || p->acked + 1 == p->next)));
        (void)pthread_mutex_unlock(&p->lock);
    }
    return all;
}

void mlt_hop_sender_destroy(struct mlt_hop_sender *sender, int64_t flush_ns)
{
    if (sender == NULL) {
        return;
    }
    const int64_t deadline = mlt_clock_mono_ns() + flush_ns;
    bool in_time = flush_ns > 0;
    atomic_store(&sender->closing, true);
    mlt_bus_want_flush(sender->bus);
    (void)pthread_mutex_lock(&sender->room_lock);
    atomic_fetch_add(&sender->waiters, 1);
    while (in_time && !all_settled(sender)) {
        in_time = mlt_bus_cond_wait(&sender->room, &sender->room_lock, deadline);
    }
    atomic_fetch_sub(&sender->waiters, 1);
    (void)pthread_mutex_unlock(&sender->room_lock);
    if (in_time) {
        (void)mlt_bus_flush_on(sender->bus, mlt_bus_generation(sender->bus),
                               deadline - mlt_clock_mono_ns());
    }
    mlt_bus_remove_flusher(sender->bus, &sender->flusher);
    mlt_bus_remove_ticker(sender->bus, &sender->ticker);
    sender_free(sender);
}

void mlt_hop_sender_get_stats(struct mlt_hop_sender *sender, struct mlt_hop_sender_stats *out)
{
    *out = (struct mlt_hop_sender_stats){ .blocked_ns = atomic_load(&sender->blocked_ns),
                                          .ring_bytes = sender->size };
    for (uint32_t i = 0; i < sender->partitions; i++) {
        struct hop_partition *p = &sender->parts[i];
        (void)pthread_mutex_lock(&p->lock);
        const uint64_t bytes = hop_unacked_bytes(sender, p);
        const uint64_t unacked = p->held ? 0 : bytes;
        out->held_bytes += p->held ? bytes : 0;
        out->elements += p->elements;
        out->batches += p->batches;
        out->bytes += p->bytes;
        out->repeats_served += p->repeats;
        out->repeated_batches += p->repeated;
        out->overrun_batches += p->overrun;
        out->unacked_bytes = unacked > out->unacked_bytes ? unacked : out->unacked_bytes;
        out->unacked_max_bytes =
            p->unacked_max > out->unacked_max_bytes ? p->unacked_max : out->unacked_max_bytes;
        (void)pthread_mutex_unlock(&p->lock);
    }
}
