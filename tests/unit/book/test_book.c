/* The order book: the window, merging, bounds, refusals; no recording needed. */
#include "mlt_test.h"

#include <stdlib.h>

#include "book.h"

#define LEVELS 512

static struct mlt_levels pairs(const int64_t *flat, size_t count, int64_t *storage)
{
    for (size_t i = 0; i < count; i++) {
        storage[i] = flat[2 * i];
        storage[count + i] = flat[2 * i + 1];
    }
    return (struct mlt_levels){ -2, -5, count, storage, storage + count };
}

#define SIDE(name, ...)                                                                            \
    const int64_t name##_flat[] = { __VA_ARGS__ };                                                 \
    int64_t name##_storage[sizeof name##_flat / sizeof name##_flat[0]];                            \
    const struct mlt_levels name =                                                                 \
        pairs(name##_flat, sizeof name##_flat / sizeof name##_flat[0] / 2, name##_storage)
#define NO_LEVELS ((struct mlt_levels){ -2, -5, 0, NULL, NULL })

static struct mlt_orderbook *new_book(uint32_t levels_max)
{
    struct mlt_orderbook *book = NULL;
    const struct mlt_orderbook_options options = { levels_max, -2, -5 };
    assert_int_equal(mlt_orderbook_create(&options, &book), MLT_OK);
    return book;
}

/* Bids 100, 99, 98 and asks 101, 102, 103, each of quantity 1, of `requested` asked for, at id 10.
 */
static struct mlt_orderbook *seeded(uint32_t requested)
{
    struct mlt_orderbook *book = new_book(LEVELS);
    SIDE(bids, 100, 1, 99, 1, 98, 1);
    SIDE(asks, 101, 1, 102, 1, 103, 1);
    const struct mlt_book_snapshot snapshot = { 10, bids, asks, requested, false };
    assert_int_equal(mlt_orderbook_seed(book, &snapshot), MLT_OK);
    return book;
}

static void assert_level(const struct mlt_orderbook *book, enum mlt_orderbook_side side, size_t i,
                         int64_t price, int64_t quantity)
{
    int64_t p = -1, q = -1;
    assert_true(mlt_orderbook_level(book, side, i, &p, &q));
    assert_int_equal(p, price);
    assert_int_equal(q, quantity);
}

static void test_a_book_that_was_not_seeded_shows_nothing(void **state)
{
    (void)state;
    struct mlt_orderbook *book = new_book(LEVELS);
    SIDE(bids, 100, 1);
    SIDE(asks, 101, 1);
    int64_t bound = 0;
    assert_int_equal(mlt_orderbook_apply(book, &bids, &asks, 5), MLT_OK);
    assert_int_equal(mlt_orderbook_held(book, MLT_ORDERBOOK_BIDS), 1);
    assert_int_equal(mlt_orderbook_depth(book, MLT_ORDERBOOK_BIDS), 0);
    assert_int_equal(mlt_orderbook_depth(book, MLT_ORDERBOOK_ASKS), 0);
    assert_false(mlt_orderbook_covers(book, 1));
    assert_true(mlt_orderbook_bound(book, MLT_ORDERBOOK_BIDS, &bound));
    assert_true(bound == INT64_MAX);
    assert_int_equal(mlt_orderbook_digest(book), 0x8c28b28a); /* of two empty sides */
    mlt_orderbook_destroy(book);
}

static void test_the_digest_is_that_of_the_wire_format(void **state)
{
    (void)state;
    struct mlt_orderbook *book = new_book(LEVELS);
    SIDE(bids, 6160201, 167177, 6160200, 1);
    SIDE(asks, 6160202, 266795);
    const struct mlt_book_snapshot snapshot = { 10, bids, asks, 2, false };
    assert_int_equal(mlt_orderbook_seed(book, &snapshot), MLT_OK);
    assert_int_equal(mlt_orderbook_digest(book), 0x6a31039d);
    int64_t many[2][25];
    for (int64_t i = 0; i < 25; i++) {
        many[0][i] = many[1][i] = 1000 - i;
    }
    const struct mlt_book_snapshot deep = {
        11, { -2, -5, 25, many[0], many[1] }, NO_LEVELS, 25, false
    };
    assert_int_equal(mlt_orderbook_seed(book, &deep), MLT_OK);
    assert_int_equal(mlt_orderbook_digest(book), 0xa460c9fe);
    mlt_orderbook_destroy(book);
}

static void test_levels_outside_the_window_are_kept_and_not_shown(void **state)
{
    (void)state;
    struct mlt_orderbook *book = seeded(3);
    SIDE(bids, 99, 0, 97, 5);
    SIDE(asks, 104, 5, 105, 5);
    const uint32_t before = mlt_orderbook_digest(book);
    assert_int_equal(mlt_orderbook_apply(book, &NO_LEVELS, &asks, 11), MLT_OK);
    assert_int_equal(mlt_orderbook_digest(book), before);
    assert_int_equal(mlt_orderbook_apply(book, &bids, &NO_LEVELS, 12), MLT_OK);
    assert_int_equal(mlt_orderbook_held(book, MLT_ORDERBOOK_BIDS), 3);
    assert_int_equal(mlt_orderbook_depth(book, MLT_ORDERBOOK_BIDS), 2);
    assert_int_equal(mlt_orderbook_held(book, MLT_ORDERBOOK_ASKS), 5);
    assert_int_equal(mlt_orderbook_depth(book, MLT_ORDERBOOK_ASKS), 3);
    assert_true(mlt_orderbook_covers(book, 2));
    assert_false(mlt_orderbook_covers(book, 3));
    int64_t price = 0, quantity = 0;
    assert_false(mlt_orderbook_level(book, MLT_ORDERBOOK_BIDS, 2, &price, &quantity));
    /* The price runs beyond the highest ask that was vouched for: nothing is left to show. */
    SIDE(gone, 101, 0, 102, 0, 103, 0);
    SIDE(risen, 103, 9);
    assert_int_equal(mlt_orderbook_apply(book, &risen, &gone, 13), MLT_OK);
    assert_int_equal(mlt_orderbook_depth(book, MLT_ORDERBOOK_ASKS), 0);
    assert_level(book, MLT_ORDERBOOK_BIDS, 0, 103, 9); /* bids above are known to be all */
    assert_false(mlt_orderbook_crossed(book));
    mlt_orderbook_destroy(book);
}

static void test_a_tightened_window_ends_at_its_last_level(void **state)
{
    (void)state;
    struct mlt_orderbook *book = seeded(3);
    SIDE(bids, 98, 0);
    SIDE(asks, 101, 0, 102, 0, 103, 0);
    int64_t bound = 0;
    assert_int_equal(mlt_orderbook_apply(book, &bids, &asks, 11), MLT_OK);
    mlt_orderbook_tighten(book);
    assert_true(mlt_orderbook_bound(book, MLT_ORDERBOOK_BIDS, &bound));
    assert_int_equal(bound, 99);
    assert_int_equal(mlt_orderbook_depth(book, MLT_ORDERBOOK_BIDS), 2);
    SIDE(back, 98, 4);
    assert_int_equal(mlt_orderbook_apply(book, &back, &NO_LEVELS, 12), MLT_OK);
    assert_int_equal(mlt_orderbook_depth(book, MLT_ORDERBOOK_BIDS), 2);
    /* Of a side without a level nothing is vouched for. */
    assert_true(mlt_orderbook_bound(book, MLT_ORDERBOOK_ASKS, &bound));
    assert_true(bound == INT64_MIN);
    mlt_orderbook_destroy(book);
    book = seeded(4); /* whole sides stay whole */
    mlt_orderbook_tighten(book);
    assert_false(mlt_orderbook_bound(book, MLT_ORDERBOOK_BIDS, &bound));
    mlt_orderbook_destroy(book);
}

static void test_a_side_with_fewer_levels_than_asked_for_is_whole(void **state)
{
    (void)state;
    struct mlt_orderbook *book = seeded(4);
    SIDE(bids, 1, 5);
    int64_t bound = 0;
    assert_false(mlt_orderbook_bound(book, MLT_ORDERBOOK_BIDS, &bound));
    assert_int_equal(mlt_orderbook_apply(book, &bids, &NO_LEVELS, 11), MLT_OK);
    assert_int_equal(mlt_orderbook_depth(book, MLT_ORDERBOOK_BIDS), 4);
    assert_true(mlt_orderbook_covers(book, 1000));
    mlt_orderbook_destroy(book);
}

static void test_a_deeper_snapshot_of_the_past_widens_the_window(void **state)
{
    (void)state;
    struct mlt_orderbook *book = seeded(3);
    SIDE(nine, 99, 9);
    assert_int_equal(mlt_orderbook_apply(book, &nine, &NO_LEVELS, 12), MLT_OK);
    SIDE(bids, 100, 1, 99, 1, 98, 1, 97, 2);
    SIDE(asks, 101, 1, 102, 1);
    const struct mlt_book_snapshot deeper = { 11, bids, asks, 2, false };
    assert_int_equal(mlt_orderbook_merge(book, &deeper), MLT_OK);
    assert_int_equal(mlt_orderbook_last(book), 11);
    assert_int_equal(mlt_orderbook_apply(book, &nine, &NO_LEVELS, 12), MLT_OK);
    assert_int_equal(mlt_orderbook_depth(book, MLT_ORDERBOOK_BIDS), 4);
    assert_level(book, MLT_ORDERBOOK_BIDS, 1, 99, 9);
    assert_level(book, MLT_ORDERBOOK_BIDS, 3, 97, 2);
    /* The asks of the snapshot were fewer than the book's: what is beyond them stays known. */
    assert_int_equal(mlt_orderbook_depth(book, MLT_ORDERBOOK_ASKS), 3);
    mlt_orderbook_destroy(book);
}

static void test_a_newer_snapshot_drops_what_it_does_not_vouch_for(void **state)
{
    (void)state;
    struct mlt_orderbook *book = seeded(3);
    SIDE(bids, 100, 4);
    SIDE(asks, 101, 4, 102, 4);
    const struct mlt_book_snapshot newer = { 20, bids, asks, 1, false };
    assert_int_equal(mlt_orderbook_merge(book, &newer), MLT_OK);
    assert_int_equal(mlt_orderbook_last(book), 20);
    assert_int_equal(mlt_orderbook_held(book, MLT_ORDERBOOK_BIDS), 1);
    assert_int_equal(mlt_orderbook_depth(book, MLT_ORDERBOOK_ASKS), 2);
    mlt_orderbook_destroy(book);
}

static void test_what_is_not_a_book_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    struct mlt_orderbook *book = seeded(3);
    const uint32_t before = mlt_orderbook_digest(book);
    SIDE(good, 90, 1);
    SIDE(unsorted, 90, 1, 91, 1);
    SIDE(twice, 90, 1, 90, 1);
    SIDE(empty_level, 90, 0);
    SIDE(negative, 90, -1);
    SIDE(below_zero, -90, 1);
    SIDE(crossing, 89, 1);
    struct mlt_levels other = good, other_quantity = good;
    other.price_exponent = -3;
    other_quantity.quantity_exponent = -8;
    const struct mlt_levels bad_bids[] = { unsorted,   twice, empty_level,   negative,
                                           below_zero, other, other_quantity };
    for (size_t i = 0; i < sizeof bad_bids / sizeof bad_bids[0]; i++) {
        const struct mlt_book_snapshot snapshot = { 50, bad_bids[i], NO_LEVELS, 3, false };
        assert_int_equal(mlt_orderbook_seed(book, &snapshot), MLT_E_PROTOCOL);
        assert_int_equal(mlt_orderbook_merge(book, &snapshot), MLT_E_PROTOCOL);
    }
    const struct mlt_book_snapshot crossed = { 50, good, crossing, 3, false };
    assert_int_equal(mlt_orderbook_seed(book, &crossed), MLT_E_PROTOCOL);
    for (size_t i = 3; i < sizeof bad_bids / sizeof bad_bids[0]; i++) {
        assert_int_equal(mlt_orderbook_apply(book, &good, &bad_bids[i], 50), MLT_E_PROTOCOL);
    }
    assert_int_equal(mlt_orderbook_last(book), 10);
    assert_int_equal(mlt_orderbook_digest(book), before);
    mlt_orderbook_destroy(book);
}

static void test_a_full_side_loses_its_worst_levels_and_the_window_shrinks(void **state)
{
    (void)state;
    struct mlt_orderbook *book = new_book(MLT_ORDERBOOK_LEVELS_MIN);
    int64_t prices[200], quantities[200];
    for (int64_t i = 0; i < 200; i++) {
        prices[i] = 1000 + i;
        quantities[i] = i + 1;
    }
    const struct mlt_book_snapshot whole = { 10, NO_LEVELS, NO_LEVELS, 5, false };
    assert_int_equal(mlt_orderbook_seed(book, &whole), MLT_OK);
    const struct mlt_levels asks = { -2, -5, 200, prices, quantities };
    assert_int_equal(mlt_orderbook_apply(book, &NO_LEVELS, &asks, 11), MLT_OK);
    const size_t held = mlt_orderbook_held(book, MLT_ORDERBOOK_ASKS);
    assert_true(held <= MLT_ORDERBOOK_LEVELS_MIN);
    assert_true(held >= MLT_ORDERBOOK_LEVELS_MIN * 3 / 4);
    int64_t bound = 0;
    assert_true(mlt_orderbook_bound(book, MLT_ORDERBOOK_ASKS, &bound));
    const size_t depth = mlt_orderbook_depth(book, MLT_ORDERBOOK_ASKS);
    for (size_t i = 0; i < depth; i++) {
        assert_level(book, MLT_ORDERBOOK_ASKS, i, 1000 + (int64_t)i, (int64_t)i + 1);
    }
    assert_true(depth > 20);
    assert_int_equal(bound, 1000 + (int64_t)depth - 1); /* the best that went is not known */
    /* A snapshot with more levels than are kept is one with fewer. */
    const struct mlt_book_snapshot deep = { 12, NO_LEVELS, asks, 500, false };
    assert_int_equal(mlt_orderbook_seed(book, &deep), MLT_OK);
    assert_int_equal(mlt_orderbook_depth(book, MLT_ORDERBOOK_ASKS), MLT_ORDERBOOK_LEVELS_MIN);
    assert_true(mlt_orderbook_bound(book, MLT_ORDERBOOK_ASKS, &bound));
    assert_int_equal(bound, 1000 + MLT_ORDERBOOK_LEVELS_MIN - 1);
    mlt_orderbook_destroy(book);
}

static void test_a_bid_at_an_ask_is_a_crossed_book(void **state)
{
    (void)state;
    struct mlt_orderbook *book = seeded(3);
    SIDE(bids, 101, 1);
    assert_false(mlt_orderbook_crossed(book));
    assert_int_equal(mlt_orderbook_apply(book, &bids, &NO_LEVELS, 11), MLT_OK);
    assert_true(mlt_orderbook_crossed(book));
    mlt_orderbook_destroy(book);
}

static void test_options_out_of_range_are_refused(void **state)
{
    (void)state;
    struct mlt_orderbook *book = NULL;
    const struct mlt_orderbook_options few = { MLT_ORDERBOOK_LEVELS_MIN - 1, 0, 0 };
    const struct mlt_orderbook_options many = { MLT_ORDERBOOK_LEVELS_MAX + 1, 0, 0 };
    assert_int_equal(mlt_orderbook_create(&few, &book), MLT_E_INVALID);
    assert_int_equal(mlt_orderbook_create(&many, &book), MLT_E_INVALID);
    assert_null(book);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_book_that_was_not_seeded_shows_nothing),
        cmocka_unit_test(test_the_digest_is_that_of_the_wire_format),
        cmocka_unit_test(test_levels_outside_the_window_are_kept_and_not_shown),
        cmocka_unit_test(test_a_tightened_window_ends_at_its_last_level),
        cmocka_unit_test(test_a_side_with_fewer_levels_than_asked_for_is_whole),
        cmocka_unit_test(test_a_deeper_snapshot_of_the_past_widens_the_window),
        cmocka_unit_test(test_a_newer_snapshot_drops_what_it_does_not_vouch_for),
        cmocka_unit_test(test_what_is_not_a_book_is_refused_and_changes_nothing),
        cmocka_unit_test(test_a_full_side_loses_its_worst_levels_and_the_window_shrinks),
        cmocka_unit_test(test_a_bid_at_an_ask_is_a_crossed_book),
        cmocka_unit_test(test_options_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
