#include "book.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one side ---- */

/* First level whose rank is not above rank. */
static size_t find(const struct side *side, int64_t rank)
{
    size_t low = 0, high = side->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (side->levels[middle].rank > rank) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void reserve(struct side *side, size_t count)
{
    if (count > side->capacity) {
        side->capacity = 2 * count;
        side->levels = realloc(side->levels, side->capacity * sizeof side->levels[0]);
        if (side->levels == NULL) {
            perror("client");
            exit(1);
        }
    }
}

static size_t count_of(const Meltica__V1__Levels *levels)
{
    return levels == NULL                            ? 0
           : levels->n_prices < levels->n_quantities ? levels->n_prices
                                                     : levels->n_quantities;
}

static void side_replace(struct side *side, const Meltica__V1__Levels *levels, bool whole)
{
    side->count = count_of(levels);
    reserve(side, side->count);
    for (size_t i = 0; i < side->count; i++) {
        side->levels[i] = (struct level){ side->sign * levels->prices[i], levels->quantities[i] };
    }
    /* A side that is not whole is known down to its last level; without any, nothing is known. */
    const int64_t last = side->count > 0 ? side->levels[side->count - 1].rank : INT64_MAX;
    side->bound = whole ? INT64_MIN : last;
}

static void side_set(struct side *side, int64_t rank, int64_t quantity)
{
    const size_t at = find(side, rank);
    const bool there = at < side->count && side->levels[at].rank == rank;
    if (quantity != 0 && !there) {
        reserve(side, side->count + 1);
        memmove(side->levels + at + 1, side->levels + at,
                (side->count - at) * sizeof side->levels[0]);
        side->count++;
    } else if (quantity == 0 && there) {
        side->count--;
        memmove(side->levels + at, side->levels + at + 1,
                (side->count - at) * sizeof side->levels[0]);
    }
    if (quantity != 0) {
        side->levels[at] = (struct level){ rank, quantity };
    }
}

static void side_change(struct side *side, const Meltica__V1__Levels *levels)
{
    for (size_t i = 0; i < count_of(levels); i++) {
        const int64_t rank = side->sign * levels->prices[i];
        if (rank >= side->bound) { /* beyond the window it is not known to be complete */
            side_set(side, rank, levels->quantities[i]);
        }
    }
}

/* ---- digest ---- */

/* CRC-32C, one value, little-endian. */
static uint32_t crc_add(uint32_t crc, uint64_t value, size_t bytes)
{
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        crc = crc >> 1 ^ (((crc ^ (uint32_t)(value >> bit)) & 1u) != 0 ? 0x82f63b78u : 0u);
    }
    return crc;
}

static uint32_t crc_side(uint32_t crc, const struct side *side)
{
    const size_t count = side->count < DIGEST_LEVELS ? side->count : DIGEST_LEVELS;
    crc = crc_add(crc, count, 4);
    for (size_t i = 0; i < count; i++) {
        crc = crc_add(crc, (uint64_t)(side->sign * side->levels[i].rank), 8);
        crc = crc_add(crc, (uint64_t)side->levels[i].quantity, 8);
    }
    return crc;
}

uint32_t book_digest(const struct book *book)
{
    return crc_side(crc_side(0xffffffffu, &book->bids), &book->asks) ^ 0xffffffffu;
}

/* ---- the book ---- */

void book_init(struct book *book)
{
    *book = (struct book){ .bids = { .sign = 1 }, .asks = { .sign = -1 }, .wanted = true };
}

static void forget(struct book *book, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        meltica__v1__event__free_unpacked(book->buffer[i], NULL);
    }
    book->buffered -= count;
    memmove(book->buffer, book->buffer + count, book->buffered * sizeof book->buffer[0]);
}

static void leave(struct book *book)
{
    book->held = false;
    book->needed = 0;
    forget(book, book->buffered);
}

void book_fini(struct book *book)
{
    leave(book);
    free(book->bids.levels);
    free(book->asks.levels);
}

static bool compare(struct book *book, const char *what, uint32_t version, uint32_t digest)
{
    if (version == 1 && digest != book_digest(book)) {
        (void)fprintf(stderr, "%s at %" PRId64 " has digest %08" PRIx32 ", own %08" PRIx32 "\n",
                      what, book->last, digest, book_digest(book));
        book->wrong++;
        book->held = false;
    }
    return book->held;
}

static void replace(struct book *book, const Meltica__V1__Levels *bids, bool bids_whole,
                    const Meltica__V1__Levels *asks, bool asks_whole, int64_t last)
{
    side_replace(&book->bids, bids, bids_whole);
    side_replace(&book->asks, asks, asks_whole);
    book->last = last;
    book->held = true;
}

static bool apply(struct book *book, const Meltica__V1__Event *event)
{
    const Meltica__V1__BookDelta *delta = event->book_delta;
    side_change(&book->bids, delta->bids);
    side_change(&book->asks, delta->asks);
    book->last = event->source->last;
    return compare(book, "BOOK_DELTA", delta->digest_version, delta->digest);
}

void book_checkpoint(struct book *book, const Meltica__V1__BookCheckpoint *c)
{
    const Meltica__V1__Event *first = book->buffered > 0 ? book->buffer[0] : NULL;
    if (c->state != MELTICA__V1__BOOK_STATE__BOOK_LIVE || c->last_update_id < book->needed ||
        (first != NULL &&
         (c->epoch < first->epoch || c->last_update_id < first->source->first - 1))) {
        return;
    }
    replace(book, c->bids, c->bids_whole, c->asks, c->asks_whole, c->last_update_id);
    book->epoch = c->epoch > book->epoch ? c->epoch : book->epoch;
    bool right = compare(book, "checkpoint", c->digest_version, c->digest);
    for (size_t i = 0; i < book->buffered && right; i++) {
        if (book->buffer[i]->source->last > book->last) {
            right = apply(book, book->buffer[i]);
        }
    }
    forget(book, book->buffered);
}

bool book_on_delta(struct book *book, Meltica__V1__Event *event)
{
    if (event->source == NULL) {
        return false;
    }
    const int64_t first = event->source->first, last = event->source->last;
    book->epoch = event->epoch;
    book->wanted = book->wanted || event->book_delta->digest_version == 1;
    if (book->held && last <= book->last) {
        return false; /* the book has it already */
    }
    if (book->held && first <= book->last + 1) {
        (void)apply(book, event);
        return false;
    }
    if (book->held ||
        (book->buffered > 0 && first > book->buffer[book->buffered - 1]->source->last + 1)) {
        leave(book); /* update ids are missing */
    } else if (book->buffered == BUFFERED_DELTAS_MAX) {
        forget(book, 1);
    }
    book->buffer[book->buffered++] = event;
    return true;
}

void book_on_snapshot(struct book *book, const Meltica__V1__BookSnapshot *s)
{
    if (!s->reset) {
        return;
    }
    const bool back = book->held && s->last_update_id < book->last;
    leave(book);
    if (!back) {
        replace(book, s->bids, count_of(s->bids) < s->requested_depth, s->asks,
                count_of(s->asks) < s->requested_depth, s->last_update_id);
    }
}

/* Drops a book that is below an update id whose deltas have left: they are missing here. */
static void expect(struct book *book, int64_t update_id)
{
    if (book->held && update_id > book->last) {
        leave(book);
        book->needed = update_id;
    }
}

bool book_on_book(struct book *book, const Meltica__V1__Book *published)
{
    book->wanted = published->state == MELTICA__V1__BOOK_STATE__BOOK_LIVE;
    if (book->wanted) {
        expect(book, published->last_update_id); /* deltas leave before the BOOK */
    }
    return book->wanted && book->held && published->digest_version == 1 &&
           published->last_update_id == book->last &&
           compare(book, "BOOK", published->digest_version, published->digest);
}

void book_on_status(struct book *book, const Meltica__V1__Status *status)
{
    switch (status->kind) {
    case MELTICA__V1__STATUS_KIND__GAP:
    case MELTICA__V1__STATUS_KIND__IDLE:
        leave(book);
        book->wanted = false;
        break;
    case MELTICA__V1__STATUS_KIND__SYNCING:
        book->wanted = false;
        break;
    case MELTICA__V1__STATUS_KIND__LIVE:
        book->wanted = true;
        break;
    case MELTICA__V1__STATUS_KIND__HEADS:
        for (size_t i = 0; i < status->n_heads; i++) {
            if (status->heads[i]->type == MELTICA__V1__EVENT_TYPE__BOOK_DELTA) {
                expect(book, status->heads[i]->last);
            }
        }
        break;
    default:
        break;
    }
}

/* ---- numbers ---- */

/* Brings a channel that was seen to a number: how many up to it were sent and did not come. */
static uint64_t reach(struct channels *channels, Meltica__V1__EventType type, uint64_t epoch,
                      uint64_t sequence)
{
    if ((unsigned)type >= TYPES_MAX || !channels->last[type].seen ||
        epoch < channels->last[type].epoch) {
        return 0;
    }
    struct position *last = &channels->last[type];
    const uint64_t came = epoch == last->epoch ? last->sequence : 0; /* a new one begins at 1 */
    *last = (struct position){ true, epoch, sequence > came ? sequence : came };
    return last->sequence - came;
}

bool channels_is_new(struct channels *channels, const Meltica__V1__Event *event)
{
    if (event->sequence == 0) {
        return true; /* a notice, not part of a channel */
    }
    if ((unsigned)event->type >= TYPES_MAX) {
        return false;
    }
    const uint64_t epoch = event->epoch, sequence = event->sequence;
    const struct position before = channels->last[event->type];
    if (before.seen &&
        (epoch < before.epoch || (epoch == before.epoch && sequence <= before.sequence))) {
        return false;
    }
    channels->gaps += reach(channels, event->type, epoch, sequence - 1);
    channels->last[event->type] = (struct position){ true, epoch, sequence };
    channels->events++;
    return true;
}

/* Counts events that were sent and did not come, also when nothing came after them. */
static void count_heads(struct channels *channels, uint64_t epoch,
                        const Meltica__V1__Status *status)
{
    for (size_t i = 0; i < status->n_heads; i++) {
        const Meltica__V1__Head *head = status->heads[i];
        channels->gaps += reach(channels, head->type, epoch, head->sequence);
    }
}

/* Counts what is missing at the end of the epoch before the one that starts. */
static void end_epoch(struct channels *channels, uint64_t started,
                      const Meltica__V1__Status *status)
{
    uint64_t highest = 0;
    for (size_t i = 0; i < TYPES_MAX; i++) {
        highest = channels->last[i].epoch > highest ? channels->last[i].epoch : highest;
    }
    if (highest == 0 || started <= highest) {
        return; /* nothing came before, or it is a repeat */
    }
    if (status->previous_epoch == highest) {
        count_heads(channels, highest, status);
    } else {
        channels->gaps++; /* the end of the last one seen is unknown */
    }
}

void channels_on_status(struct channels *channels, uint64_t epoch,
                        const Meltica__V1__Status *status)
{
    switch (status->kind) {
    case MELTICA__V1__STATUS_KIND__HEADS:
        count_heads(channels, epoch, status);
        break;
    case MELTICA__V1__STATUS_KIND__EPOCH_STARTED:
        end_epoch(channels, epoch, status);
        break;
    case MELTICA__V1__STATUS_KIND__LOST:
        if (strcmp(status->reason, "unrouted") == 0) {
            /* Nobody had asked for first to last: they are no loss. */
            const uint64_t before = status->first > 0 ? status->first - 1 : 0;
            channels->gaps += reach(channels, status->lost_type, epoch, before);
            (void)reach(channels, status->lost_type, epoch, status->last);
        }
        break;
    default:
        break;
    }
}
