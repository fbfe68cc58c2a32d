/* The order book on the BTCUSDT recording: right where another source says what is right, and never
 * wrong where it shows less. */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "book.h"
#include "book_tape.h"

#define SHOWN 20u
#define NOTHING_PRUNED 4096u

static struct tape tape;
static const struct mlt_book_snapshot *snapshot;
static uint64_t allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    allocations++;
    return __real_realloc(p, size);
}

static struct mlt_orderbook *seeded(uint32_t levels_max, size_t depth)
{
    struct mlt_orderbook *book = NULL;
    const struct mlt_orderbook_options options = { levels_max, TAPE_EXPONENT, TAPE_EXPONENT };
    struct mlt_book_snapshot shallow = *snapshot;
    shallow.bids.count = shallow.asks.count = depth;
    shallow.requested_depth = (uint32_t)depth;
    assert_int_equal(mlt_orderbook_create(&options, &book), MLT_OK);
    assert_int_equal(mlt_orderbook_seed(book, &shallow), MLT_OK);
    return book;
}

static void apply(struct mlt_orderbook *book, const struct tape_entry *e)
{
    assert_int_equal(mlt_orderbook_apply(book, &e->u.delta.bids, &e->u.delta.asks, e->last),
                     MLT_OK);
}

/* The deltas that the snapshot does not cover. */
static bool counts(const struct tape_entry *e)
{
    return e->type == MLT_EVENT_BOOK_DELTA && e->last > snapshot->last_update_id;
}

static bool top_is(const struct mlt_orderbook *book, enum mlt_orderbook_side side,
                   struct mlt_decimal price, struct mlt_decimal quantity)
{
    int64_t p, q;
    return mlt_orderbook_held_level(book, side, 0, &p, &q) &&
           mlt_decimal_compare(price, (struct mlt_decimal){ p, TAPE_EXPONENT }) == 0 &&
           mlt_decimal_compare(quantity, (struct mlt_decimal){ q, TAPE_EXPONENT }) == 0;
}

static bool equals_bbo(const struct mlt_orderbook *book, const struct mlt_bbo *bbo)
{
    return top_is(book, MLT_ORDERBOOK_BIDS, bbo->bid_price, bbo->bid_quantity) &&
           top_is(book, MLT_ORDERBOOK_ASKS, bbo->ask_price, bbo->ask_quantity);
}

static bool shows_both(const struct mlt_orderbook *book)
{
    return mlt_orderbook_depth(book, MLT_ORDERBOOK_BIDS) > 0 &&
           mlt_orderbook_depth(book, MLT_ORDERBOOK_ASKS) > 0;
}

/* bookTicker runs ahead of the deltas: by id, over the whole tape. */
static int by_id(const void *a, const void *b)
{
    const struct tape_entry *const *x = a, *const *y = b;
    return (*x)->last<(*y)->last ? -1 : (*x)->last>(*y)->last;
}

static void test_the_top_is_what_the_exchange_says_at_every_common_id(void **state)
{
    (void)state;
    const struct tape_entry **bbos = calloc(tape.count, sizeof *bbos);
    size_t bbo_count = 0, applied = 0, matches = 0, mismatches = 0, crossed = 0, shown = 0;
    assert_non_null(bbos);
    for (size_t i = 0; i < tape.count; i++) {
        if (tape.entries[i].type == MLT_EVENT_BBO) {
            bbos[bbo_count++] = &tape.entries[i];
        }
    }
    qsort(bbos, bbo_count, sizeof *bbos, by_id);
    struct mlt_orderbook *book = seeded(NOTHING_PRUNED, 1000);
    const uint64_t before = allocations;
    size_t at = 0;
    for (size_t i = 0; i < tape.count; i++) {
        const struct tape_entry *e = &tape.entries[i];
        if (!counts(e)) {
            continue;
        }
        assert_true(e->first <= mlt_orderbook_last(book) + 1);
        apply(book, e);
        applied++;
        crossed += mlt_orderbook_crossed(book);
        while (at < bbo_count && bbos[at]->last < e->last) {
            at++;
        }
        if (at < bbo_count && bbos[at]->last == e->last) {
            *(equals_bbo(book, &bbos[at]->u.bbo) ? &matches : &mismatches) += 1;
            shown += shows_both(book);
        }
    }
    assert_int_equal(allocations, before);
    free(bbos);
    assert_int_equal(applied, 6493);
    assert_int_equal(matches, 1072);
    assert_int_equal(mismatches, 0);
    assert_int_equal(crossed, 0);
    /* The price leaves the snapshot's 1,000 levels for a while: nothing vouches for the top then.
     */
    assert_int_equal(shown, 912);
    assert_true(top_is(book, MLT_ORDERBOOK_BIDS, (struct mlt_decimal){ 6160201, -2 },
                       (struct mlt_decimal){ 167177, -5 }));
    assert_true(top_is(book, MLT_ORDERBOOK_ASKS, (struct mlt_decimal){ 6160202, -2 },
                       (struct mlt_decimal){ 266795, -5 }));
    assert_int_equal(mlt_orderbook_held(book, MLT_ORDERBOOK_BIDS), 1971);
    assert_int_equal(mlt_orderbook_held(book, MLT_ORDERBOOK_ASKS), 2962);
    struct mlt_orderbook_counts c;
    mlt_orderbook_counts(book, &c);
    assert_int_equal(c.unknown_deletes, 26140);
    assert_int_equal(c.pruned, 0);
    assert_int_equal(c.changes, c.inserted + c.replaced + c.deleted + c.unknown_deletes);
    /* The recording has 298,111 changes and 142,458 deletes, 9 of them before the snapshot. */
    assert_int_equal(tape.changes, 298111);
    assert_int_equal(c.deleted + c.unknown_deletes, 142458 - 9);
    print_message("changes %llu: inserted %llu, replaced %llu, deleted %llu; shown at the end: %zu "
                  "bids, %zu asks\n",
                  (unsigned long long)c.changes, (unsigned long long)c.inserted,
                  (unsigned long long)c.replaced, (unsigned long long)c.deleted,
                  mlt_orderbook_depth(book, MLT_ORDERBOOK_BIDS),
                  mlt_orderbook_depth(book, MLT_ORDERBOOK_ASKS));
    mlt_orderbook_destroy(book);
}

static uint64_t compare_shown(const struct mlt_orderbook *shallow, const struct mlt_orderbook *deep)
{
    uint64_t wrong = 0;
    for (int s = 0; s < 2; s++) {
        const enum mlt_orderbook_side side = (enum mlt_orderbook_side)s;
        const size_t depth = mlt_orderbook_depth(shallow, side);
        assert_true(depth <= mlt_orderbook_depth(deep, side));
        for (size_t i = 0; i < depth; i++) {
            int64_t p[2] = { 0, 0 }, q[2] = { 0, 0 };
            assert_true(mlt_orderbook_level(shallow, side, i, &p[0], &q[0]));
            assert_true(mlt_orderbook_level(deep, side, i, &p[1], &q[1]));
            wrong += p[0] != p[1] || q[0] != q[1];
        }
    }
    return wrong;
}

/* True when a book without a window, that shows the best of all it holds, would show another top.
 */
static bool naive_differs(const struct mlt_orderbook *shallow, const struct mlt_orderbook *deep)
{
    for (size_t n = 0; n < 2 * (size_t)SHOWN; n++) {
        const enum mlt_orderbook_side side = n < SHOWN ? MLT_ORDERBOOK_BIDS : MLT_ORDERBOOK_ASKS;
        int64_t p[2] = { 0, 0 }, q[2] = { 0, 0 };
        if (!mlt_orderbook_held_level(shallow, side, n % SHOWN, &p[0], &q[0]) ||
            !mlt_orderbook_held_level(deep, side, n % SHOWN, &p[1], &q[1]) || p[0] != p[1] ||
            q[0] != q[1]) {
            return true;
        }
    }
    return false;
}

/* Also with a book that prunes: with `levels_max` for all but the reference. */
static void shown_is_right(size_t depth, uint32_t levels_max)
{
    struct mlt_orderbook *deep = seeded(NOTHING_PRUNED, 1000);
    struct mlt_orderbook *shallow = seeded(levels_max, depth);
    int64_t first = 0, thin = 0;
    uint64_t wrong = 0, naive_wrong = 0, compared = 0;
    for (size_t i = 0; i < tape.count; i++) {
        const struct tape_entry *e = &tape.entries[i];
        if (!counts(e)) {
            continue;
        }
        compared++;
        first = first == 0 ? e->received : first;
        apply(deep, e);
        apply(shallow, e);
        wrong += compare_shown(shallow, deep);
        naive_wrong += naive_differs(shallow, deep);
        if (thin == 0 && !mlt_orderbook_covers(shallow, 20)) {
            thin = e->received;
        }
    }
    assert_int_equal(wrong, 0);
    /* It does happen that less than 20 can be shown, or this would have tested nothing. */
    assert_true(depth > 500 || thin != 0);
    /* And that the window is what makes it right. */
    assert_true(depth > 500 || naive_wrong > 0);
    print_message(
        "seeded with %zu: fewer than 20 levels to show after %.1f s; without a window the "
        "top is wrong after %llu of %llu deltas\n",
        depth, thin != 0 ? (double)(thin - first) / 1e9 : -1.0, (unsigned long long)naive_wrong,
        (unsigned long long)compared);
    mlt_orderbook_destroy(shallow);
    mlt_orderbook_destroy(deep);
}

static void test_a_book_of_fewer_levels_never_shows_one_that_differs(void **state)
{
    (void)state;
    shown_is_right(20, NOTHING_PRUNED);
    shown_is_right(100, NOTHING_PRUNED);
    shown_is_right(500, NOTHING_PRUNED);
    shown_is_right(1000, 1024);
    shown_is_right(1000, MLT_ORDERBOOK_LEVELS_DEFAULT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_top_is_what_the_exchange_says_at_every_common_id),
        cmocka_unit_test(test_a_book_of_fewer_levels_never_shows_one_that_differs),
    };
    if (tape_captures() == NULL) {
        (void)puts("skipped: no recordings");
        return 77;
    }
    if (!tape_load_btc(&tape)) {
        return 1;
    }
    for (size_t i = 0; i < tape.count && snapshot == NULL; i++) {
        if (tape.entries[i].type == MLT_EVENT_BOOK_SNAPSHOT) {
            snapshot = &tape.entries[i].u.snapshot;
        }
    }
    const int failed = snapshot != NULL ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
    tape_free(&tape);
    return failed;
}
