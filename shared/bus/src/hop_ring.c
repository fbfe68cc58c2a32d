/* What a hop's sender gathers, and keeps: see hop_ring.h. */
#include "hop_ring.h"

#include "meltica/base/check.h"
#include "meltica/base/clock.h"

/* ---- ring; the partition's lock is held ---- */

void hop_evict(struct mlt_hop_sender *s, struct hop_partition *p)
{
    const struct hop_slot *slot = hop_slot_of(s, p, p->oldest);
    if (p->held) {
        p->whole_ns = slot->sealed_ns + 1;
    } else if (p->oldest > p->acked) {
        p->overrun += atomic_load_explicit(&s->known, memory_order_relaxed) ? 1 : 0;
        p->gone_ns = p->gone_ns == INT64_MAX ? slot->opened_ns : p->gone_ns;
    }
    p->oldest++;
    if (p->send < p->oldest) {
        p->send = p->oldest;
    }
}

void hop_seal(struct mlt_hop_sender *s, struct hop_partition *p, int64_t now)
{
    if (!hop_open_says_something(p)) {
        return;
    }
    if (p->next - p->oldest > s->slot_mask) {
        hop_evict(s, p);
    }
    *hop_slot_of(s, p, p->next) = (struct hop_slot){ .position = p->open_position,
                                                     .epoch = p->epoch,
                                                     .opened_ns = p->opened_ns,
                                                     .sealed_ns = p->held ? p->last_ns : now,
                                                     .len = (uint32_t)p->open_len,
                                                     .flags = p->open_flags };
    if (p->held && (p->open_flags & MLT_HOP_LOST) != 0) {
        p->whole_ns = p->last_ns + 1;
    }
    p->next++;
    p->batches++;
    p->bytes += p->open_len;
    p->open_position += p->open_len;
    p->open_len = 0;
    p->open_elements = 0;
    p->open_flags = 0;
}

/* Opens or goes on with a batch that has room for `need` bytes more. */
static void make_room(struct mlt_hop_sender *s, struct hop_partition *p, size_t need)
{
    if (p->open_elements > 0 &&
        (p->open_len + need > MLT_HOP_BATCH_BYTES || p->open_at + p->open_len + need > s->size)) {
        hop_seal(s, p, mlt_clock_mono_ns());
    }
    if (!hop_open_says_something(p)) {
        p->opened_ns = mlt_clock_mono_ns();
    }
    if (p->open_elements == 0) {
        size_t at = (size_t)(p->open_position % s->size);
        if (at + MLT_HOP_BYTES + need > s->size) {
            p->open_position += s->size - at;
            at = 0;
        }
        p->open_at = at;
        p->open_len = MLT_HOP_BYTES;
    }
    const uint64_t end = p->open_position + p->open_len + need;
    while (p->oldest < p->next && end - hop_slot_of(s, p, p->oldest)->position > s->size) {
        hop_evict(s, p);
    }
}

uint64_t hop_unacked_bytes(const struct mlt_hop_sender *s, const struct hop_partition *p)
{
    const uint64_t first = p->acked + 1 > p->oldest ? p->acked + 1 : p->oldest;
    const uint64_t end = p->open_position + p->open_len;
    return end - (first < p->next ? hop_slot_of(s, p, first)->position : p->open_position);
}

static enum mlt_hop_fill fill_at(const struct mlt_hop_sender *s, uint64_t unacked)
{
    return unacked > s->size / 2       ? MLT_HOP_HALF
           : unacked > s->size / 8 * 3 ? MLT_HOP_THREE_EIGHTHS
           : unacked > s->size / 4     ? MLT_HOP_QUARTER
                                       : MLT_HOP_ROOM;
}

/* Keeps the sender's counts of partitions in step. */
void hop_account(struct mlt_hop_sender *s, struct hop_partition *p)
{
    const bool ours = hop_speaks_for(s, (uint32_t)(p - s->parts));
    const bool waiting = ours && (hop_open_says_something(p) || p->acked + 1 < p->next);
    const uint64_t unacked = ours ? hop_unacked_bytes(s, p) : 0;
    const enum mlt_hop_fill fill = fill_at(s, unacked);
    p->unacked_max = unacked > p->unacked_max ? unacked : p->unacked_max;
    if (waiting != p->waiting) {
        p->waiting = waiting;
        if (!waiting) {
            atomic_fetch_sub(&s->waiting, 1);
        } else if (atomic_fetch_add(&s->waiting, 1) == 0) {
            atomic_store(&s->waiting_since_ns, mlt_clock_mono_ns());
        }
    }
    if (fill != p->fill) {
        atomic_fetch_add(&s->filled, hop_fill_weight(fill) - hop_fill_weight(p->fill));
        p->fill = fill;
    }
}

/* ---- elements ---- */

enum mlt_status mlt_hop_begin(struct mlt_hop_sender *sender, uint32_t partition, size_t bytes,
                              uint8_t **out)
{
    uint8_t header[MLT_ELEMENT_HEADER_BYTES_MAX];
    if (partition >= sender->partitions) {
        return MLT_E_INVALID;
    }
    if (bytes > sender->element_max) {
        return MLT_E_TOO_BIG;
    }
    struct hop_partition *p = &sender->parts[partition];
    const size_t header_len = mlt_batch_element_header(bytes, header);
    (void)pthread_mutex_lock(&p->lock);
    make_room(sender, p, header_len + bytes);
    uint8_t *at = p->memory + p->open_at + p->open_len;
    memcpy(at, header, header_len);
    *out = at + header_len;
    p->open_len += header_len + bytes;
    p->open_elements++;
    p->elements++;
    return MLT_OK;
}

void mlt_hop_end(struct mlt_hop_sender *sender, uint32_t partition)
{
    struct hop_partition *p = &sender->parts[partition];
    if (p->held) {
        p->last_ns = mlt_clock_mono_ns();
    }
    if (p->open_len >= MLT_HOP_BATCH_BYTES) {
        hop_seal(sender, p, mlt_clock_mono_ns());
    }
    hop_account(sender, p);
    const bool held = p->held;
    (void)pthread_mutex_unlock(&p->lock);
    if (!held) { /* those are sealed by the ticks */
        mlt_bus_want_flush(sender->bus);
    }
}

void mlt_hop_sender_set_epoch(struct mlt_hop_sender *sender, uint32_t partition, uint64_t epoch)
{
    MLT_CHECK(partition < sender->partitions);
    struct hop_partition *p = &sender->parts[partition];
    (void)pthread_mutex_lock(&p->lock);
    hop_seal(sender, p, mlt_clock_mono_ns());
    p->epoch = epoch;
    (void)pthread_mutex_unlock(&p->lock);
}

void mlt_hop_mark_lost(struct mlt_hop_sender *sender, uint32_t partition)
{
    MLT_CHECK(partition < sender->partitions);
    struct hop_partition *p = &sender->parts[partition];
    (void)pthread_mutex_lock(&p->lock);
    if (p->open_elements > 0) {
        hop_seal(sender, p, mlt_clock_mono_ns());
    }
    if (!hop_open_says_something(p)) {
        make_room(sender, p, 0);
        p->open_flags |= MLT_HOP_LOST;
        p->last_ns = mlt_clock_mono_ns();
        hop_account(sender, p);
    }
    (void)pthread_mutex_unlock(&p->lock);
    mlt_bus_want_flush(sender->bus);
}

void mlt_hop_sender_leave(struct mlt_hop_sender *sender, uint32_t partition)
{
    MLT_CHECK(partition < sender->partitions);
    struct hop_partition *p = &sender->parts[partition];
    (void)pthread_mutex_lock(&p->lock);
    atomic_fetch_and(&sender->mask, ~(UINT64_C(1) << partition));
    p->held = false;
    hop_account(sender, p); /* nobody has to wait for it */
    (void)pthread_mutex_unlock(&p->lock);
}

/* ---- held partitions ---- */

void mlt_hop_sender_hold(struct mlt_hop_sender *sender, uint32_t partition)
{
    MLT_CHECK(partition < sender->partitions);
    struct hop_partition *p = &sender->parts[partition];
    (void)pthread_mutex_lock(&p->lock);
    if (hop_speaks_for(sender, partition)) {
        atomic_fetch_and(&sender->mask, ~(UINT64_C(1) << partition));
        p->held = true;
        p->whole_ns = mlt_clock_mono_ns();
        p->oldest = p->send = p->next;
        p->acked = p->next - 1;
        p->open_len = 0;
        p->open_elements = p->open_flags = 0;
        p->gone_ns = INT64_MAX;
        p->head_due = p->spoke = p->covers = false;
        hop_account(sender, p);
    }
    (void)pthread_mutex_unlock(&p->lock);
    mlt_bus_want_flush(sender->bus); /* whoever waited for room because of it */
}

int64_t mlt_hop_sender_held_since(struct mlt_hop_sender *sender, uint32_t partition)
{
    MLT_CHECK(partition < sender->partitions);
    struct hop_partition *p = &sender->parts[partition];
    int64_t since = INT64_MAX;
    (void)pthread_mutex_lock(&p->lock);
    if (p->held) {
        if ((p->open_flags & MLT_HOP_LOST) != 0) {
            hop_seal(sender, p, mlt_clock_mono_ns());
        }
        since = p->whole_ns;
    }
    (void)pthread_mutex_unlock(&p->lock);
    return since;
}

/* What is left of a held ring is this speaker's. */
static void begin_at(struct mlt_hop_sender *s, struct hop_partition *p, uint64_t epoch,
                     int64_t from_ns)
{
    hop_seal(s, p, mlt_clock_mono_ns());
    while (p->oldest < p->next && hop_slot_of(s, p, p->oldest)->sealed_ns < from_ns) {
        p->oldest++;
    }
    for (uint64_t n = p->oldest; n < p->next; n++) {
        hop_slot_of(s, p, n)->epoch = epoch;
    }
    p->send = p->oldest;
    p->acked = p->oldest - 1;
    p->epoch = epoch;
}

static void begin_with_loss(struct mlt_hop_sender *s, struct hop_partition *p)
{
    if (p->oldest < p->next) {
        hop_slot_of(s, p, p->oldest)->flags |= MLT_HOP_LOST;
    } else {
        make_room(s, p, 0);
        p->open_flags |= MLT_HOP_LOST;
    }
    p->gone_ns = 0; /* nobody who follows can tell how much that was */
}

enum mlt_status mlt_hop_sender_speak(struct mlt_hop_sender *sender, uint32_t partition,
                                     uint64_t epoch, int64_t from_ns, bool covered)
{
    if (partition >= sender->partitions || epoch == 0) {
        return MLT_E_INVALID;
    }
    struct hop_partition *p = &sender->parts[partition];
    (void)pthread_mutex_lock(&p->lock);
    const bool held = p->held;
    if (held) {
        begin_at(sender, p, epoch, from_ns);
        p->covers = covered && p->whole_ns <= from_ns;
        if (!p->covers) {
            begin_with_loss(sender, p);
        }
        p->held = false;
        p->spoke = p->head_due = true;
        atomic_fetch_or(&sender->mask, UINT64_C(1) << partition);
        hop_account(sender, p);
    }
    (void)pthread_mutex_unlock(&p->lock);
    if (!held) {
        return MLT_E_INVALID;
    }
    mlt_bus_want_flush(sender->bus);
    return MLT_OK;
}

int64_t mlt_hop_sender_unacked_since(struct mlt_hop_sender *sender, uint32_t partition)
{
    MLT_CHECK(partition < sender->partitions);
    struct hop_partition *p = &sender->parts[partition];
    int64_t since = INT64_MAX;
    (void)pthread_mutex_lock(&p->lock);
    if (hop_speaks_for(sender, partition)) {
        if (p->gone_ns != INT64_MAX) {
            since = p->gone_ns;
        } else if (p->acked + 1 < p->next) {
            since = hop_slot_of(sender, p, p->acked + 1)->opened_ns;
        } else if (hop_open_says_something(p)) {
            since = p->opened_ns;
        }
    }
    (void)pthread_mutex_unlock(&p->lock);
    return since;
}
