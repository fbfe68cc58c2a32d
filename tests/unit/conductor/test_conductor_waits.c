/* Answers of REST that are ahead of all deltas: nothing of them leaves before those speak for them.
 */
#include "books_expect.h"

#define WAIT_NS MLT_NS_PER_S
#define QUIET_NS (1500 * MLT_NS_PER_MS) /* WAIT_NS, and a second look */

static void open_waiting(void)
{
    struct mlt_conductor_books books = fixture_books;
    books.ahead_wait_ns = WAIT_NS;
    fixture_open(&f, &books, false);
}

static size_t snapshots_out(void)
{
    size_t count = 0;
    for (size_t i = 0; i < f.count; i++) {
        count += f.out[i].type == MLT_EVENT_BOOK_SNAPSHOT;
    }
    return count;
}

/* What a stand-by would be told of them. */
static bool told_of_snapshots(void)
{
    struct mlt_head heads[MLT_STATUS_HEADS_MAX];
    const size_t count =
        mlt_conductor_core_heads_of(f.core, mlt_slice_of_string("BTC-USDT"), heads);
    for (size_t i = 0; i < count; i++) {
        if (heads[i].type == MLT_EVENT_BOOK_SNAPSHOT) {
            return true;
        }
    }
    return false;
}

static void test_it_leaves_behind_the_delta_that_it_waited_for(void **state)
{
    (void)state;
    open_waiting();
    fixture_delta(&f, 10, 12);
    fixture_forget(&f);
    fixture_snapshot(&f, 14);
    assert_int_equal(f.count, 0);
    assert_false(told_of_snapshots());
    assert_int_equal(fixture_counts(&f).snapshots_waited, 1);
    fixture_delta(&f, 13, 13);
    assert_int_equal(f.count, 1);
    f.now_ns += 10 * MLT_NS_PER_MS;
    const int64_t received = f.now_ns;
    fixture_delta(&f, 14, 15);
    assert_int_equal(f.count, 5);
    expect_delta(1, 15, false); /* the book was not LIVE yet */
    expect(2, MLT_EVENT_BOOK_SNAPSHOT);
    assert_true(f.out[2].u.book_snapshot.reset);
    assert_int_equal(f.out[2].sequence, 1);
    assert_int_equal(f.out[2].throttled_ns, 10 * MLT_NS_PER_MS);
    assert_int_equal(f.out[2].last, 15); /* as the book is after that delta */
    assert_int_equal(f.out[2].u.book_snapshot.bids.quantities[0], 15);
    expect_status(3, MLT_STATUS_LIVE, "joined", MLT_BOOK_SYNCING, 14, 15);
    (void)expect_book(4, MLT_BOOK_LIVE, 15, 15);
    assert_int_equal(f.out[4].u.book.snapshot_update_id, 14);
    assert_true(told_of_snapshots());
    assert_int_equal(f.requests, 1);
    /* The one that brought it comes once more. */
    f.now_ns = received - 10 * MLT_NS_PER_MS;
    fixture_snapshot(&f, 14);
    f.now_ns = received;
    assert_int_equal(fixture_counts(&f).duplicates, 1);
    assert_int_equal(f.count, 5);
    fixture_delta(&f, 16, 16);
    expect_delta(5, 16, true);
    fixture_close(&f);
}

/* In both places: the hop repeats it, as it had no acknowledgement. */
static void test_one_that_comes_twice_leaves_once(void **state)
{
    (void)state;
    open_waiting();
    fixture_delta(&f, 10, 12);
    fixture_snapshot(&f, 14);
    fixture_snapshot(&f, 14);
    assert_int_equal(fixture_counts(&f).duplicates,
                     0); /* it had not come as far, for who takes over */
    fixture_delta(&f, 13, 14);
    fixture_snapshot(&f, 14);
    assert_int_equal(snapshots_out(), 1);
    assert_int_equal(fixture_counts(&f).duplicates, 1);
    fixture_close(&f);
}

static void test_a_quiet_instruments_leaves_after_the_wait(void **state)
{
    (void)state;
    open_waiting();
    fixture_delta(&f, 10, 12);
    fixture_forget(&f);
    const int64_t start = f.now_ns;
    fixture_snapshot(&f, 14);
    fixture_run(&f, start + QUIET_NS - 1);
    assert_int_equal(f.count, 0);
    fixture_run(&f, start + QUIET_NS);
    assert_int_equal(f.count, 3);
    expect(0, MLT_EVENT_BOOK_SNAPSHOT);
    assert_int_equal(f.out_ns[0], start + QUIET_NS);
    expect_status(1, MLT_STATUS_LIVE, "joined", MLT_BOOK_SYNCING, 14, 14);
    (void)expect_book(2, MLT_BOOK_LIVE, 14, 14);
    fixture_close(&f);
}

/* Batches wait for room, and the deltas may be in them. */
static void test_no_silence_is_concluded_while_the_flow_is_held_up(void **state)
{
    (void)state;
    open_waiting();
    fixture_delta(&f, 10, 12);
    fixture_forget(&f);
    fixture_snapshot(&f, 14);
    mlt_conductor_core_held_up(f.core, true);
    fixture_run(&f, f.now_ns + 20 * MLT_NS_PER_S);
    assert_int_equal(f.count, 0);
    mlt_conductor_core_held_up(f.core, false);
    fixture_run(&f, f.now_ns + QUIET_NS);
    assert_int_equal(snapshots_out(), 1);
    fixture_close(&f);
}

/* A stream says by its subject whose it is. */
static void test_a_streams_snapshot_does_not_wait(void **state)
{
    (void)state;
    open_waiting();
    fixture_delta(&f, 10, 12);
    const int64_t bid = 100, ask = 200, quantity = 14;
    struct mlt_event e = fixture_event(&f, MLT_EVENT_BOOK_SNAPSHOT);
    e.first = e.last = 14;
    e.u.book_snapshot = (struct mlt_book_snapshot){ .last_update_id = 14,
                                                    .bids = { -2, -5, 1, &bid, &quantity },
                                                    .asks = { -2, -5, 1, &ask, &quantity },
                                                    .requested_depth = 5 };
    fixture_send(&f, &e);
    assert_int_equal(snapshots_out(), 1);
    assert_int_equal(fixture_counts(&f).snapshots_waited, 0);
    fixture_close(&f);
}

static void test_what_it_waits_for_is_lost_and_another_is_asked_for(void **state)
{
    (void)state;
    open_waiting();
    fixture_delta(&f, 10, 12);
    fixture_snapshot(&f, 14);
    assert_int_equal(f.requests, 1);
    fixture_delta(&f, 14, 14); /* 13 is missing */
    assert_int_equal(f.requests, 2);
    assert_int_equal(fixture_counts(&f).unused_snapshots, 1);
    fixture_run(&f, f.now_ns + 2 * QUIET_NS);
    assert_int_equal(snapshots_out(), 0);
    fixture_snapshot(&f, 14);
    assert_int_equal(snapshots_out(), 1);
    assert_int_equal(mlt_conductor_core_state(f.core, mlt_slice_of_string("BTC-USDT")),
                     MLT_BOOK_LIVE);
    fixture_close(&f);
}

static void test_nothing_leaves_while_the_instrument_is_anothers(void **state)
{
    (void)state;
    open_waiting();
    fixture_delta(&f, 10, 12);
    fixture_forget(&f);
    fixture_snapshot(&f, 14);
    fixture_epoch(&f, 0);
    fixture_run(&f, f.now_ns + 2 * QUIET_NS);
    assert_int_equal(f.count, 0);
    /* Ours again: what speaks for it are the ids of the exchange, whoever's epoch it is. */
    fixture_epoch(&f, 9);
    fixture_run(&f, f.now_ns + 2 * QUIET_NS);
    assert_int_equal(f.count, 0);
    fixture_delta(&f, 13, 14);
    assert_int_equal(f.out[0].u.status.kind, MLT_STATUS_EPOCH_STARTED);
    assert_int_equal(snapshots_out(), 1);
    expect(2, MLT_EVENT_BOOK_SNAPSHOT);
    assert_int_equal(f.out[2].epoch, 9);
    assert_int_equal(f.requests, 1);
    fixture_close(&f);
}

/* It may be another instrument's: as one of other prices it goes nowhere, wanted or not. */
static void test_one_that_the_deltas_speak_against_never_leaves(void **state)
{
    (void)state;
    open_waiting();
    fixture_delta(&f, 10, 12);
    fixture_snapshot(&f, 16);
    fixture_delta(&f, 13, 14);
    const int64_t price = 99, quantity = 8; /* 7 by the snapshot */
    struct mlt_event e = fixture_event(&f, MLT_EVENT_BOOK_DELTA);
    e.first = 15;
    e.last = 16;
    e.u.book_delta.bids = (struct mlt_levels){ -2, -5, 1, &price, &quantity };
    e.u.book_delta.asks = (struct mlt_levels){ -2, -5, 0, NULL, NULL };
    fixture_send(&f, &e);
    assert_int_equal(snapshots_out(), 0);
    assert_int_equal(fixture_counts(&f).snapshots_doubted, 1);
    assert_int_equal(mlt_conductor_core_state(f.core, mlt_slice_of_string("BTC-USDT")),
                     MLT_BOOK_SYNCING);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_leaves_behind_the_delta_that_it_waited_for),
        cmocka_unit_test(test_one_that_comes_twice_leaves_once),
        cmocka_unit_test(test_a_quiet_instruments_leaves_after_the_wait),
        cmocka_unit_test(test_no_silence_is_concluded_while_the_flow_is_held_up),
        cmocka_unit_test(test_a_streams_snapshot_does_not_wait),
        cmocka_unit_test(test_what_it_waits_for_is_lost_and_another_is_asked_for),
        cmocka_unit_test(test_nothing_leaves_while_the_instrument_is_anothers),
        cmocka_unit_test(test_one_that_the_deltas_speak_against_never_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
