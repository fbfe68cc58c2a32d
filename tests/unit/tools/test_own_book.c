/* The order book that a consumer keeps: windows, and what is refused. */
#include "mlt_test.h"

#include <stdlib.h>

#include "own_book.h"

static struct mlt_own_book book;

static int tear_down(void **state)
{
    (void)state;
    mlt_own_book_fini(&book);
    return 0;
}

static const int64_t bids[] = { 100, 99, 98 }, asks[] = { 200, 201, 202 }, some[] = { 5, 6, 7 };
static const struct mlt_levels none = { 0, 0, 0, NULL, NULL };

static struct mlt_levels side_of(const int64_t *prices, size_t count)
{
    return (struct mlt_levels){ -2, -5, count, prices, some };
}

static struct mlt_book_snapshot snapshot_of(int64_t id, size_t count, uint32_t depth)
{
    return (struct mlt_book_snapshot){ id, side_of(bids, count), side_of(asks, count), depth,
                                       true };
}

static void change_bid(int64_t price, int64_t quantity)
{
    const struct mlt_levels change = { -2, -5, 1, &price, &quantity };
    assert_int_equal(mlt_own_book_apply(&book, &change, &none, book.last + 1), MLT_OK);
}

static void test_a_side_of_which_nothing_is_known_learns_by_a_snapshot_alone(void **state)
{
    (void)state;
    const struct mlt_book_checkpoint nothing = { .last_update_id = 10 };
    assert_int_equal(mlt_own_book_checkpoint(&book, &nothing), MLT_OK);
    change_bid(100, 1);
    assert_int_equal(book.sides[0].count, 0);
    const struct mlt_book_snapshot empty = snapshot_of(11, 0, 0); /* vouches for nothing */
    assert_int_equal(mlt_own_book_merge(&book, &empty), MLT_OK);
    change_bid(100, 1);
    assert_int_equal(book.sides[0].count, 0);
    const struct mlt_book_snapshot two = snapshot_of(12, 2, 2);
    assert_int_equal(mlt_own_book_merge(&book, &two), MLT_OK);
    assert_int_equal(book.sides[0].count, 2);
    change_bid(101, 1);
    change_bid(98, 1); /* beyond what is known */
    assert_int_equal(book.sides[0].count, 3);
}

static void test_a_whole_side_stays_whole_and_an_empty_answer_takes_nothing(void **state)
{
    (void)state;
    const struct mlt_book_snapshot whole = snapshot_of(10, 3, 5), two = snapshot_of(11, 2, 2),
                                   empty = snapshot_of(12, 0, 0);
    assert_int_equal(mlt_own_book_seed(&book, &whole), MLT_OK);
    assert_int_equal(mlt_own_book_merge(&book, &two), MLT_OK);
    assert_int_equal(mlt_own_book_merge(&book, &empty), MLT_OK);
    assert_true(book.sides[0].whole && book.sides[1].whole);
    assert_int_equal(book.sides[0].count, 3);
    assert_int_equal(book.last, 12);
    change_bid(1, 1);
    assert_int_equal(book.sides[0].count, 4);
}

static void test_what_is_no_book_is_refused(void **state)
{
    (void)state;
    static const int64_t without[] = { 5, 0, 7 };
    struct mlt_book_snapshot s = snapshot_of(10, 3, 3);
    s.bids.quantities = without;
    assert_int_equal(mlt_own_book_seed(&book, &s), MLT_E_PROTOCOL);
    s = snapshot_of(10, 3, 3);
    s.asks.price_exponent = -3;
    assert_int_equal(mlt_own_book_seed(&book, &s), MLT_E_PROTOCOL);
    s = snapshot_of(10, 3, 3);
    assert_int_equal(mlt_own_book_seed(&book, &s), MLT_OK);
    struct mlt_levels change = side_of(asks, 1);
    change.quantity_exponent = -4;
    assert_int_equal(mlt_own_book_apply(&book, &none, &change, 11), MLT_E_PROTOCOL);
    assert_int_equal(mlt_own_book_apply(&book, &change, &none, 11), MLT_E_PROTOCOL);
    assert_int_equal(book.last, 10);
}

/* The worst level goes, and is not known to be gone. */
static void test_a_full_side_is_not_whole_any_more(void **state)
{
    (void)state;
    const size_t count = MLT_OWN_BOOK_LEVELS_MAX + 1;
    int64_t *prices = calloc(2 * count, sizeof *prices);
    assert_non_null(prices);
    for (size_t i = 0; i < count; i++) {
        prices[i] = (int64_t)(count - i) * 2;
        prices[count + i] = 1;
    }
    const struct mlt_book_snapshot empty = snapshot_of(10, 0, 5);
    const struct mlt_levels all = { -2, -5, count, prices, prices + count };
    assert_int_equal(mlt_own_book_seed(&book, &empty), MLT_OK);
    assert_true(book.sides[0].whole);
    /* The first delta tells the exponents, which a snapshot without levels need not. */
    assert_int_equal(mlt_own_book_apply(&book, &all, &none, 11), MLT_OK);
    free(prices);
    assert_int_equal(book.sides[0].count, MLT_OWN_BOOK_LEVELS_MAX);
    assert_false(book.sides[0].whole);
    change_bid(4, 0);
    change_bid(2, 1);
    assert_int_equal(book.sides[0].count, MLT_OWN_BOOK_LEVELS_MAX - 1);
    change_bid(3, 1); /* above the one that went */
    assert_int_equal(book.sides[0].count, MLT_OWN_BOOK_LEVELS_MAX);
}

#define EACH(test) cmocka_unit_test_teardown(test, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_a_side_of_which_nothing_is_known_learns_by_a_snapshot_alone),
        EACH(test_a_whole_side_stays_whole_and_an_empty_answer_takes_nothing),
        EACH(test_what_is_no_book_is_refused),
        EACH(test_a_full_side_is_not_whole_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
