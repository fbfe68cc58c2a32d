/*
 * ./dev bench book [--rounds N] [--report FILE]: what a level change costs on the BTCUSDT
 * recording, in memory and after decoding, beside the plain way in the same run: sorted arrays,
 * binary search over the whole side for each change, a memmove for each insert and delete. Rounds
 * of both interleave; the report gives medians.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "book.h"
#include "book_tape.h"
#include "meltica/base/clock.h"

#define LEVELS 4096u
#define ROUNDS_MAX 101u
#define DIGEST_CALLS 20000u

/* ---- the plain way ---- */

struct plain_side {
    int64_t prices[LEVELS], quantities[LEVELS]; /* worst first, as in the order book */
    size_t count;
};

static struct plain_side plain[2];

static void plain_change(struct plain_side *side, bool bids, int64_t price, int64_t quantity)
{
    size_t low = 0, high = side->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (bids ? side->prices[middle] >= price : side->prices[middle] <= price) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    if (high < side->count && side->prices[high] == price) {
        if (quantity != 0) {
            side->quantities[high] = quantity;
            return;
        }
        side->count--;
        memmove(side->prices + high, side->prices + high + 1, (side->count - high) * 8);
        memmove(side->quantities + high, side->quantities + high + 1, (side->count - high) * 8);
    } else if (quantity != 0 && side->count < LEVELS) {
        memmove(side->prices + high + 1, side->prices + high, (side->count - high) * 8);
        memmove(side->quantities + high + 1, side->quantities + high, (side->count - high) * 8);
        side->prices[high] = price;
        side->quantities[high] = quantity;
        side->count++;
    }
}

static void plain_apply(const struct mlt_levels *bids, const struct mlt_levels *asks)
{
    for (size_t i = 0; i < bids->count; i++) {
        plain_change(&plain[0], true, bids->prices[i], bids->quantities[i]);
    }
    for (size_t i = 0; i < asks->count; i++) {
        plain_change(&plain[1], false, asks->prices[i], asks->quantities[i]);
    }
}

/* ---- rounds ---- */

static int64_t plain_round(const struct tape *tape, const struct mlt_book_snapshot *snapshot)
{
    plain[0].count = plain[1].count = 0;
    plain_apply(&snapshot->bids, &snapshot->asks);
    const int64_t start = mlt_clock_mono_ns();
    for (size_t i = 0; i < tape->count; i++) {
        const struct tape_entry *e = &tape->entries[i];
        if (e->type == MLT_EVENT_BOOK_DELTA && e->last > snapshot->last_update_id) {
            plain_apply(&e->u.delta.bids, &e->u.delta.asks);
        }
    }
    return mlt_clock_mono_ns() - start;
}

/* -1: refused. *digests is the sum of all, so that none is left out. */
static int64_t book_round(struct mlt_orderbook *book, const struct tape *tape,
                          const struct mlt_book_snapshot *snapshot, uint32_t *digests)
{
    if (mlt_orderbook_seed(book, snapshot) != MLT_OK) {
        return -1;
    }
    const int64_t start = mlt_clock_mono_ns();
    for (size_t i = 0; i < tape->count; i++) {
        const struct tape_entry *e = &tape->entries[i];
        if (e->type != MLT_EVENT_BOOK_DELTA || e->last <= snapshot->last_update_id) {
            continue;
        }
        if (mlt_orderbook_apply(book, &e->u.delta.bids, &e->u.delta.asks, e->last) != MLT_OK) {
            return -1;
        }
        if (digests != NULL) {
            *digests += mlt_orderbook_digest(book);
        }
    }
    return mlt_clock_mono_ns() - start;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, by_value);
    return values[count / 2];
}

struct figures {
    double book, plain, with_digest, digest; /* ns a change; digest: ns a call */
    bool same;                               /* both end with the same levels */
};

static bool same_levels(const struct mlt_orderbook *book)
{
    for (int s = 0; s < 2; s++) {
        const enum mlt_orderbook_side side = (enum mlt_orderbook_side)s;
        const size_t count = plain[s].count;
        if (count != mlt_orderbook_held(book, side)) {
            return false;
        }
        for (size_t i = 0; i < count; i++) {
            int64_t price, quantity;
            if (!mlt_orderbook_held_level(book, side, i, &price, &quantity) ||
                price != plain[s].prices[count - 1 - i] ||
                quantity != plain[s].quantities[count - 1 - i]) {
                return false;
            }
        }
    }
    return true;
}

static bool measure(const struct tape *tape, const struct mlt_book_snapshot *snapshot,
                    unsigned rounds, struct figures *out)
{
    static double values[4][ROUNDS_MAX];
    const struct mlt_orderbook_options options = { LEVELS, TAPE_EXPONENT, TAPE_EXPONENT };
    struct mlt_orderbook *book = NULL;
    if (mlt_orderbook_create(&options, &book) != MLT_OK) {
        return false;
    }
    const double changes = (double)tape->changes;
    uint32_t digests = 0;
    bool ok = true;
    for (unsigned i = 0; i <= rounds && ok; i++) { /* the first one warms up and does not count */
        const unsigned at = i > 0 ? i - 1 : 0;
        values[0][at] = (double)plain_round(tape, snapshot) / changes;
        const int64_t digested_ns = book_round(book, tape, snapshot, &digests);
        values[1][at] = (double)digested_ns / changes;
        const int64_t book_ns = book_round(book, tape, snapshot, NULL);
        values[2][at] = (double)book_ns / changes;
        const int64_t start = mlt_clock_mono_ns();
        for (unsigned n = 0; n < DIGEST_CALLS; n++) {
            digests += mlt_orderbook_digest(book);
        }
        values[3][at] = (double)(mlt_clock_mono_ns() - start) / DIGEST_CALLS;
        ok = digested_ns > 0 && book_ns > 0;
    }
    *out = (struct figures){ .plain = median(values[0], rounds),
                             .with_digest = median(values[1], rounds),
                             .book = median(values[2], rounds),
                             .digest = median(values[3], rounds),
                             .same = same_levels(book) };
    (void)fprintf(stderr, "bench_book: digests %08" PRIx32 "\n", digests);
    mlt_orderbook_destroy(book);
    return ok;
}

static void write_report(FILE *to, const struct tape *tape, unsigned rounds,
                         const struct figures *f)
{
    (void)fprintf(to,
                  "{\n  \"changes\": %" PRIu64 ",\n  \"rounds\": %u,\n"
                  "  \"ns_per_change\": %.1f,\n  \"ns_per_change_plain\": %.1f,\n"
                  "  \"ns_per_change_with_digest_of_each_delta\": %.1f,\n"
                  "  \"ns_per_digest\": %.1f,\n  \"same_levels\": %s\n}\n",
                  tape->changes, rounds, f->book, f->plain, f->with_digest, f->digest,
                  f->same ? "true" : "false");
}

int main(int argc, char **argv)
{
    const char *report = NULL;
    unsigned rounds = 15;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--report") == 0) {
            report = argv[i + 1];
        } else if (strcmp(argv[i], "--rounds") == 0) {
            rounds = (unsigned)strtoul(argv[i + 1], NULL, 10);
        }
    }
    if (rounds == 0 || rounds > ROUNDS_MAX || argc % 2 == 0) {
        (void)fprintf(stderr, "usage: bench_book [--rounds 1..%u] [--report FILE]\n", ROUNDS_MAX);
        return 2;
    }
    struct tape tape;
    if (tape_captures() == NULL || !tape_load_btc(&tape)) {
        (void)fprintf(stderr, "bench_book: MELTICA_CAPTURES names no folder with the recording\n");
        return 1;
    }
    const struct mlt_book_snapshot *snapshot = NULL;
    for (size_t i = 0; i < tape.count && snapshot == NULL; i++) {
        if (tape.entries[i].type == MLT_EVENT_BOOK_SNAPSHOT) {
            snapshot = &tape.entries[i].u.snapshot;
        }
    }
    struct figures figures;
    int failed = snapshot == NULL || !measure(&tape, snapshot, rounds, &figures);
    if (!failed) {
        FILE *to = report != NULL ? fopen(report, "w") : NULL;
        write_report(to != NULL ? to : stdout, &tape, rounds, &figures);
        failed = !figures.same || (report != NULL && to == NULL);
        if (to != NULL) {
            failed |= fclose(to) != 0;
        }
    }
    tape_free(&tape);
    return failed;
}
