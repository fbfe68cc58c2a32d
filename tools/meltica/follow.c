#include "follow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Deltas kept: until the book is joined, and then for a snapshot that is older than the stream. */
#define KEPT_MAX 4096u
#define KEPT_BYTES_MAX (16u << 20)
#define KEPT_JOINED_MAX 512u
#define KEPT_JOINED_BYTES_MAX (1u << 20)

struct kept {
    int64_t first, last;
    uint64_t epoch;
    bool digested; /* own is the digest of the own book after it */
    uint32_t own;
    int32_t price_exponent, quantity_exponent;
    size_t bids, asks;
    int64_t columns[]; /* bid prices, bid quantities, ask prices, ask quantities */
};

struct channel {
    bool seen;
    uint64_t epoch, sequence;
};

struct mlt_follow {
    struct mlt_own_book book;
    bool joined;
    bool provisional; /* joined by a checkpoint that nothing of the stream has met yet */
    bool unbroken;    /* joined, and the Conductor's book has missed nothing either */
    enum mlt_book_state state;
    struct kept *kept[KEPT_MAX]; /* a ring; each follows the one before */
    size_t kept_start, kept_count, kept_bytes;
    struct channel channels[MLT_EVENT_TYPE_COUNT];
    struct mlt_follow_counts counts;
    char wrong[160];
};

enum mlt_status mlt_follow_create(struct mlt_follow **out)
{
    *out = calloc(1, sizeof **out);
    return *out != NULL ? MLT_OK : MLT_E_NOMEM;
}

/* ---- what is kept ---- */

static struct kept *kept_at(const struct mlt_follow *f, size_t i)
{
    return f->kept[(f->kept_start + i) % KEPT_MAX];
}

static size_t kept_size(const struct kept *k)
{
    return sizeof *k + 2 * (k->bids + k->asks) * sizeof k->columns[0];
}

static void forget_first(struct mlt_follow *f)
{
    struct kept *k = kept_at(f, 0);
    f->kept_bytes -= kept_size(k);
    free(k);
    f->kept_start = (f->kept_start + 1) % KEPT_MAX;
    f->kept_count--;
}

static void forget_all(struct mlt_follow *f)
{
    while (f->kept_count > 0) {
        forget_first(f);
    }
}

void mlt_follow_destroy(struct mlt_follow *follow)
{
    if (follow != NULL) {
        forget_all(follow);
        mlt_own_book_fini(&follow->book);
        free(follow);
    }
}

static enum mlt_status keep(struct mlt_follow *f, const struct mlt_event *event)
{
    const struct mlt_book_delta *d = &event->u.book_delta;
    const size_t columns = 2 * (d->bids.count + d->asks.count);
    struct kept *k = calloc(1, sizeof *k + columns * sizeof k->columns[0]);
    if (k == NULL) {
        return MLT_E_NOMEM;
    }
    const struct mlt_levels *any = d->bids.count > 0 ? &d->bids : &d->asks;
    *k = (struct kept){ .first = event->first,
                        .last = event->last,
                        .epoch = event->epoch,
                        .price_exponent = any->price_exponent,
                        .quantity_exponent = any->quantity_exponent,
                        .bids = d->bids.count,
                        .asks = d->asks.count };
    const struct mlt_levels *sides[2] = { &d->bids, &d->asks };
    int64_t *to = k->columns;
    for (int s = 0; s < 2; s++) {
        for (size_t i = 0; i < sides[s]->count; i++) {
            to[i] = sides[s]->prices[i];
            to[sides[s]->count + i] = sides[s]->quantities[i];
        }
        to += 2 * sides[s]->count;
    }
    const size_t size = kept_size(k);
    const size_t most = f->joined ? KEPT_JOINED_MAX : KEPT_MAX;
    const size_t bytes_most = f->joined ? KEPT_JOINED_BYTES_MAX : KEPT_BYTES_MAX;
    while (f->kept_count > 0 && (f->kept_count >= most || f->kept_bytes + size > bytes_most)) {
        forget_first(f);
        f->counts.forgotten += f->joined ? 0 : 1; /* else it has served */
    }
    f->kept[(f->kept_start + f->kept_count) % KEPT_MAX] = k;
    f->kept_count++;
    f->kept_bytes += size;
    return MLT_OK;
}

static enum mlt_status apply_kept(struct mlt_follow *f, struct kept *k)
{
    const int64_t *at = k->columns;
    const struct mlt_levels bids = { k->price_exponent, k->quantity_exponent, k->bids, at,
                                     at + k->bids };
    at += 2 * k->bids;
    const struct mlt_levels asks = { k->price_exponent, k->quantity_exponent, k->asks, at,
                                     at + k->asks };
    const enum mlt_status status = mlt_own_book_apply(&f->book, &bids, &asks, k->last);
    k->own = mlt_own_book_digest(&f->book);
    k->digested = status == MLT_OK;
    return status;
}

/* ---- what is wrong ---- */

static void say(struct mlt_follow *f, const char *what, int64_t at, uint32_t theirs, uint32_t own)
{
    if (f->wrong[0] == '\0') {
        (void)snprintf(f->wrong, sizeof f->wrong,
                       "%s at update id %" PRId64 ": it says %08" PRIx32 ", own book %08" PRIx32,
                       what, at, theirs, own);
    }
}

static void leave(struct mlt_follow *f)
{
    f->joined = f->unbroken = false;
}

/* Something between the book and what came is missing: at the exchange, or, where nothing came so
 * far, the checkpoint was only from before the subscription. */
static void part(struct mlt_follow *f)
{
    if (f->joined && f->provisional) {
        f->counts.early++;
    } else {
        f->counts.update_gaps++;
    }
    leave(f);
}

/* Everything kept that the book does not have yet. False: it does not follow. */
static bool catch_up(struct mlt_follow *f, enum mlt_status *status)
{
    for (size_t i = 0; i < f->kept_count; i++) {
        struct kept *k = kept_at(f, i);
        if (k->last <= f->book.last) {
            continue;
        }
        if (k->first > f->book.last + 1) {
            return false;
        }
        *status = apply_kept(f, k);
        if (*status != MLT_OK) {
            return false;
        }
        f->counts.deltas++;
    }
    return true;
}

/* ---- joining ---- */

bool mlt_follow_wants_checkpoint(const struct mlt_follow *follow)
{
    return !follow->joined &&
           (follow->state == MLT_BOOK_LIVE || follow->state == MLT_BOOK_STATE_NONE);
}

enum mlt_status mlt_follow_checkpoint(struct mlt_follow *follow,
                                      const struct mlt_book_checkpoint *checkpoint,
                                      enum mlt_follow_answer *answer)
{
    struct mlt_follow *f = follow;
    const struct kept *first = f->kept_count > 0 ? kept_at(f, 0) : NULL;
    if (first != NULL &&
        (checkpoint->epoch < first->epoch || checkpoint->last_update_id < first->first - 1)) {
        *answer = MLT_FOLLOW_OLDER;
        return MLT_OK;
    }
    if (checkpoint->state != MLT_BOOK_LIVE) {
        *answer = MLT_FOLLOW_NOT_LIVE;
        return MLT_OK;
    }
    *answer = MLT_FOLLOW_MALFORMED;
    enum mlt_status status = mlt_own_book_checkpoint(&f->book, checkpoint);
    if (status != MLT_OK) {
        return status == MLT_E_PROTOCOL ? MLT_OK : status;
    }
    if (checkpoint->digest_version == MLT_OWN_BOOK_DIGEST_VERSION) {
        const uint32_t own = mlt_own_book_digest(&f->book);
        if (own != checkpoint->digest) {
            f->counts.digests_wrong++;
            say(f, "checkpoint", checkpoint->last_update_id, checkpoint->digest, own);
            return MLT_OK;
        }
        f->counts.digests_right++;
    }
    if (!catch_up(f, &status)) {
        *answer = status == MLT_OK ? MLT_FOLLOW_OLDER : MLT_FOLLOW_MALFORMED;
        return status == MLT_E_NOMEM ? status : MLT_OK;
    }
    f->counts.checkpoints++;
    f->joined = f->unbroken = true;
    f->provisional = first == NULL;
    f->state = MLT_BOOK_LIVE;
    *answer = MLT_FOLLOW_JOINED;
    return MLT_OK;
}

static enum mlt_status on_snapshot(struct mlt_follow *f, const struct mlt_book_snapshot *snapshot)
{
    if (!snapshot->reset) {
        return MLT_OK;
    }
    const bool older = snapshot->last_update_id < f->book.last;
    enum mlt_status status = f->unbroken && older ? mlt_own_book_merge(&f->book, snapshot)
                                                  : mlt_own_book_seed(&f->book, snapshot);
    f->joined = status == MLT_OK && catch_up(f, &status);
    f->unbroken = f->joined;
    f->counts.resets += f->joined;
    return status == MLT_E_PROTOCOL ? MLT_OK : status;
}

/* ---- what follows ---- */

static enum mlt_status on_delta(struct mlt_follow *f, const struct mlt_event *event)
{
    const struct mlt_book_delta *d = &event->u.book_delta;
    const int64_t before = f->joined           ? f->book.last
                           : f->kept_count > 0 ? kept_at(f, f->kept_count - 1)->last
                                               : event->first - 1;
    if (event->last <= before) {
        f->counts.covered++;
        return MLT_OK;
    }
    if (event->first > before + 1) {
        part(f);
        forget_all(f);
    }
    f->provisional = false;
    if (f->kept_count > 0 && event->first > kept_at(f, f->kept_count - 1)->last + 1) {
        forget_all(f); /* the checkpoint was ahead of the stream: what came between was covered */
    }
    enum mlt_status status = keep(f, event);
    if (status == MLT_OK && f->joined) {
        struct kept *k = kept_at(f, f->kept_count - 1);
        status = apply_kept(f, k);
        if (status == MLT_OK) {
            f->counts.deltas++;
            f->counts.crossed += mlt_own_book_crossed(&f->book);
        } else if (status == MLT_E_PROTOCOL) {
            leave(f); /* its exponents changed: another book */
            return MLT_OK;
        }
    }
    if (d->digest_version != MLT_OWN_BOOK_DIGEST_VERSION || status != MLT_OK) {
        return status;
    }
    f->state = MLT_BOOK_LIVE;
    if (f->joined) {
        const uint32_t own = kept_at(f, f->kept_count - 1)->own;
        if (own == d->digest) {
            f->counts.digests_right++;
        } else {
            f->counts.digests_wrong++;
            say(f, "BOOK_DELTA", event->last, d->digest, own);
            leave(f);
        }
    }
    return MLT_OK;
}

static bool same_levels(const struct mlt_own_book *book, int side, const struct mlt_levels *shown)
{
    for (size_t i = 0; i < shown->count; i++) {
        int64_t price = 0, quantity = 0;
        if (!mlt_own_book_level(book, side, i, &price, &quantity) || price != shown->prices[i] ||
            quantity != shown->quantities[i]) {
            return false;
        }
    }
    return true;
}

/* The own digest when the book was at that id; false: not held. */
static bool digest_at(const struct mlt_follow *f, int64_t last, uint32_t *own)
{
    for (size_t i = f->kept_count; i-- > 0;) {
        const struct kept *k = kept_at(f, i);
        if (k->last == last && k->digested) {
            *own = k->own;
            return true;
        }
        if (k->last < last) {
            break;
        }
    }
    return false;
}

static void on_book(struct mlt_follow *f, const struct mlt_book *book)
{
    f->counts.books++;
    f->state = book->state;
    if (book->state != MLT_BOOK_LIVE || book->digest_version != MLT_OWN_BOOK_DIGEST_VERSION ||
        !f->joined) {
        f->counts.books_unchecked++;
        return;
    }
    uint32_t own = 0;
    bool right = false;
    if (book->last_update_id == f->book.last) {
        own = mlt_own_book_digest(&f->book);
        right = own == book->digest && same_levels(&f->book, 0, &book->bids) &&
                same_levels(&f->book, 1, &book->asks);
    } else if (book->last_update_id > f->book.last) {
        part(f); /* its deltas did not come */
        f->counts.books_unchecked++;
        return;
    } else if (digest_at(f, book->last_update_id, &own)) {
        right = own == book->digest;
    } else {
        f->counts.books_unchecked++;
        return;
    }
    if (right) {
        f->counts.books_right++;
    } else {
        f->counts.books_wrong++;
        say(f, "BOOK", book->last_update_id, book->digest, own);
        leave(f);
    }
}

static void on_heads(struct mlt_follow *f, const struct mlt_event *event)
{
    for (size_t h = 0; h < event->u.status.head_count; h++) {
        const struct mlt_head *head = &event->u.status.heads[h];
        struct channel *c = &f->channels[head->type < MLT_EVENT_TYPE_COUNT ? head->type : 0];
        if (c->seen && c->epoch == event->epoch && head->sequence > c->sequence) {
            f->counts.sequence_holes += head->sequence - c->sequence;
            c->sequence = head->sequence;
        }
    }
}

static void on_status(struct mlt_follow *f, const struct mlt_event *event)
{
    switch (event->u.status.kind) {
    case MLT_STATUS_LIVE:
        f->state = MLT_BOOK_LIVE;
        f->counts.lives++;
        break;
    case MLT_STATUS_GAP:
        f->state = MLT_BOOK_GAP;
        leave(f);
        break;
    case MLT_STATUS_IDLE:
        f->state = MLT_BOOK_IDLE;
        leave(f);
        break;
    case MLT_STATUS_SYNCING:
        f->state = MLT_BOOK_SYNCING;
        break;
    case MLT_STATUS_STALE:
        /* The levels are what was last known. After silence, or with a new owner, the next delta
         * may follow; after source_down only a new snapshot helps. */
        f->state = MLT_BOOK_STALE;
        f->unbroken = f->unbroken && (mlt_slice_equal_string(event->u.status.reason, "silent") ||
                                      mlt_slice_equal_string(event->u.status.reason, "restored"));
        break;
    case MLT_STATUS_HEADS:
        on_heads(f, event);
        break;
    default:
        break;
    }
}

/* False for a repeat. */
static bool count_sequence(struct mlt_follow *f, const struct mlt_event *event)
{
    struct channel *c = &f->channels[event->type];
    if (c->seen &&
        (event->epoch < c->epoch || (event->epoch == c->epoch && event->sequence <= c->sequence))) {
        f->counts.repeats++;
        return false;
    }
    if (c->seen) {
        const uint64_t before = event->epoch == c->epoch ? c->sequence : 0;
        f->counts.sequence_holes += event->sequence - before - 1;
    }
    *c = (struct channel){ true, event->epoch, event->sequence };
    f->counts.events++;
    return true;
}

enum mlt_status mlt_follow_event(struct mlt_follow *follow, const struct mlt_event *event)
{
    if (event->sequence > 0 && !count_sequence(follow, event)) {
        return MLT_OK;
    }
    switch (event->type) {
    case MLT_EVENT_BOOK_DELTA:
        return on_delta(follow, event);
    case MLT_EVENT_BOOK_SNAPSHOT:
        return on_snapshot(follow, &event->u.book_snapshot);
    case MLT_EVENT_BOOK:
        on_book(follow, &event->u.book);
        return MLT_OK;
    case MLT_EVENT_STATUS:
        on_status(follow, event);
        return MLT_OK;
    default:
        return MLT_OK;
    }
}

bool mlt_follow_joined(const struct mlt_follow *follow)
{
    return follow->joined;
}

const struct mlt_own_book *mlt_follow_book(const struct mlt_follow *follow)
{
    return &follow->book;
}

enum mlt_book_state mlt_follow_state(const struct mlt_follow *follow)
{
    return follow->state;
}

const struct mlt_follow_counts *mlt_follow_get_counts(const struct mlt_follow *follow)
{
    return &follow->counts;
}

const char *mlt_follow_wrong(const struct mlt_follow *follow)
{
    return follow->wrong;
}
