/* All that deltas told: also what no snapshot vouches for, and through snapshots from ahead. */
#include "mlt_test.h"

#include "held_book.h"
#include "test_books.h"

static struct market market;
static struct mlt_held_book held;

static int set_up(void **state)
{
    (void)state;
    market_init(&market, 5);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_held_book_fini(&held);
    return 0;
}

static void snapshot(const struct mlt_event *event)
{
    assert_int_equal(mlt_held_book_snapshot(&held, &event->u.book_snapshot), MLT_OK);
}

static void delta(const struct mlt_event *event)
{
    assert_int_equal(mlt_held_book_delta(&held, event->first, event->last, &event->u.book_delta),
                     MLT_OK);
}

/* The best `count` levels of both sides are the market's, at its id. */
static void assert_best(size_t count)
{
    assert_true(held.begun);
    assert_int_equal(held.book.last, market.last);
    for (int side = 0; side < 2; side++) {
        const struct mlt_levels levels = market_side(&market, 4 + side, side, count);
        for (size_t i = 0; i < levels.count; i++) {
            int64_t price = 0, quantity = 0;
            assert_true(mlt_own_book_level(&held.book, side, i, &price, &quantity));
            assert_int_equal(price, levels.prices[i]);
            assert_int_equal(quantity, levels.quantities[i]);
        }
    }
}

static void test_levels_beyond_the_snapshot_are_held(void **state)
{
    (void)state;
    struct mlt_event e = market_snapshot(&market, 3);
    snapshot(&e);
    /* Each price of the range moves, best first from far below the three that the snapshot has. */
    for (int away = 50; away >= 0; away--) {
        const int64_t prices[2] = { MARKET_MIDDLE - 1 - away, MARKET_MIDDLE + away };
        const int64_t quantity = away < 10 ? 0 : 7 + away;
        market.quantities[prices[0] - MARKET_FIRST] = quantity;
        market.quantities[prices[1] - MARKET_FIRST] = quantity;
        const struct mlt_book_delta d = {
            { -2, -5, 1, &prices[0], &quantity }, { -2, -5, 1, &prices[1], &quantity }, 0, 0
        };
        const int64_t id = ++market.last;
        assert_int_equal(mlt_held_book_delta(&held, id, id, &d), MLT_OK);
    }
    assert_best(20);
}

static void test_a_snapshot_from_ahead_waits_for_the_deltas(void **state)
{
    (void)state;
    struct mlt_event e = market_snapshot(&market, 100);
    snapshot(&e);
    struct market then = market; /* the same changes again, as they come */
    for (int i = 0; i < 5; i++) {
        e = market_delta(&market);
    }
    struct mlt_event ahead = market_snapshot(&market, 100);
    const struct market after = market;
    snapshot(&ahead);
    market = then;
    for (int i = 0; i < 5; i++) {
        assert_best(20); /* not yet the snapshot's */
        e = market_delta(&market);
        delta(&e);
    }
    assert_best(20);
    assert_int_equal(held.ahead.last_update_id, 0); /* taken */
    assert_int_equal(market.last, after.last);
    e = market_delta(&market);
    delta(&e);
    assert_best(20);
}

/* An exchange takes snapshots at any id, also within a delta. */
static void test_a_snapshot_within_a_delta_is_taken_before_it(void **state)
{
    (void)state;
    struct mlt_event e = market_snapshot(&market, 3);
    snapshot(&e);
    struct mlt_event ahead = market_snapshot(&market, 100);
    ahead.u.book_snapshot.last_update_id = market.last + 1;
    snapshot(&ahead);
    e = market_delta(&market);
    e.last = market.last += 5;
    delta(&e);
    assert_best(20);
}

static void test_a_hole_ends_it_unless_a_snapshot_covers_it(void **state)
{
    (void)state;
    struct mlt_event e = market_snapshot(&market, 100);
    snapshot(&e);
    (void)market_delta(&market);
    struct mlt_event ahead = market_snapshot(&market, 100);
    snapshot(&ahead);
    e = market_delta(&market);
    delta(&e);
    assert_best(20);
    (void)market_delta(&market);
    e = market_delta(&market);
    delta(&e);
    assert_false(held.begun);
    e = market_snapshot(&market, 100);
    snapshot(&e);
    assert_best(20);
}

static void test_repeats_and_older_snapshots_change_nothing(void **state)
{
    (void)state;
    struct mlt_event old = market_snapshot(&market, 100);
    snapshot(&old);
    struct mlt_event e = market_delta(&market);
    delta(&e);
    delta(&e);
    old.u.book_snapshot.bids.count = 1;
    snapshot(&old);
    assert_best(20);
}

static void test_a_hole_beyond_the_snapshot_from_ahead_ends_it_too(void **state)
{
    (void)state;
    struct mlt_event e = market_snapshot(&market, 100);
    snapshot(&e);
    (void)market_delta(&market);
    e = market_snapshot(&market, 100);
    snapshot(&e); /* ahead */
    market.last++;
    e = market_delta(&market);
    delta(&e);
    assert_false(held.begun);
}

static void test_a_malformed_snapshot_ends_it(void **state)
{
    (void)state;
    struct mlt_event e = market_snapshot(&market, 100);
    snapshot(&e);
    static const int64_t prices[2] = { 1, 2 }, quantities[2] = { 1, 1 }; /* the worse one first */
    e.u.book_snapshot.bids = (struct mlt_levels){ -2, -5, 2, prices, quantities };
    snapshot(&e);
    assert_false(held.begun);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_levels_beyond_the_snapshot_are_held),
        EACH(test_a_snapshot_from_ahead_waits_for_the_deltas),
        EACH(test_a_snapshot_within_a_delta_is_taken_before_it),
        EACH(test_a_hole_ends_it_unless_a_snapshot_covers_it),
        EACH(test_repeats_and_older_snapshots_change_nothing),
        EACH(test_a_hole_beyond_the_snapshot_from_ahead_ends_it_too),
        EACH(test_a_malformed_snapshot_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
