/* Of which instrument a snapshot is, and of when: it says neither. */
#include "sync_levels.h"

/* As deep as asked for, so that it shows bid_price to ask_price and says nothing of the rest. */
static enum mlt_sync_outcome snapshot_at(int64_t id, int64_t low)
{
    const int64_t bid = bid_price, ask = ask_price;
    bid_price = low;
    ask_price = low + 100;
    const enum mlt_sync_outcome outcome = snapshot_of(id, id, 1);
    bid_price = bid;
    ask_price = ask;
    return outcome;
}

static void test_a_snapshot_of_other_prices_is_another_instruments(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(delta(11, 12), MLT_SYNC_BUFFERED);
    assert_int_equal(snapshot_at(11, 7000), MLT_SYNC_UNUSED); /* of 100 to 200 a delta told */
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_SYNCING);
    assert_int_equal(counts().doubted, 1);
    const uint64_t requests = f.requests;
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, requests + 1);
    assert_int_equal(snapshot_at(11, 100), MLT_SYNC_APPLIED);
    assert_book(12);

    /* A book that is LIVE goes on. */
    for (unsigned i = 0; i < 3; i++) { /* however often it is said */
        assert_int_equal(snapshot_at(20, 7000), MLT_SYNC_UNUSED);
        assert_book(12);
    }
    assert_int_equal(delta(13, 13), MLT_SYNC_APPLIED);
    assert_int_equal(counts().doubted, 4);

    /* What it showed when it was given up is known, too. */
    assert_int_equal(delta(15, 15), MLT_SYNC_BUFFERED);
    mlt_sync_lost(f.sync);
    assert_int_equal(snapshot_at(16, 7000), MLT_SYNC_UNUSED); /* asked for before that */
    assert_int_equal(snapshot_at(17, 7000), MLT_SYNC_UNUSED);
    assert_int_equal(counts().doubted, 5);
}

/* A price can be far away after a while without any delta: what is said again is right. */
static void test_prices_that_are_said_again_later_are_believed(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(snapshot_at(10, 100), MLT_SYNC_APPLIED); /* nothing is known before */
    mlt_sync_source(f.sync, false);
    mlt_sync_source(f.sync, true);
    assert_int_equal(snapshot_at(500, 7000), MLT_SYNC_UNUSED);
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(snapshot_at(501, 3000), MLT_SYNC_UNUSED); /* others again */
    const int64_t until_ns = f.now_ns + 5 * MLT_NS_PER_S;      /* so long a delta might come */
    while (mlt_sync_due_ns(f.sync) < until_ns) {
        f.now_ns = mlt_sync_due_ns(f.sync);
        mlt_sync_tick(f.sync);
        assert_int_equal(snapshot_at(502, 3050), MLT_SYNC_UNUSED);
    }
    f.now_ns = until_ns > mlt_sync_due_ns(f.sync) ? until_ns : mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(snapshot_at(503, 3020), MLT_SYNC_APPLIED);
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_LIVE);
}

/* Answers n requests, the first one on its way, with another instrument's book; the next one is on
 * its way then. */
static void assert_doubted(unsigned n, int64_t id)
{
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(snapshot_at(id, 7000), MLT_SYNC_UNUSED);
        assert_int_not_equal(mlt_sync_state(f.sync), MLT_SYNC_LIVE);
        f.now_ns = f.now_ns > mlt_sync_due_ns(f.sync) ? f.now_ns : mlt_sync_due_ns(f.sync);
        mlt_sync_tick(f.sync);
    }
}

/* One that comes twice, and however often, of the same other instrument; what is asked for then
 * shows more prices. */
static void test_deltas_that_speak_against_a_snapshot_are_not_outvoted(void **state)
{
    (void)state;
    struct mlt_sync_options options = plain;
    options.first_depth = 2;
    mlt_sync_destroy(f.sync);
    fixture_open(&f, &options);
    mlt_sync_start(f.sync);
    assert_int_equal(snapshot_at(100, 100), MLT_SYNC_APPLIED);
    assert_int_equal(delta(103, 104), MLT_SYNC_BUFFERED); /* 101 and 102 are missing */
    uint64_t answered = f.requests - 1;
    int64_t id = 105;
    for (; id < 200; id++) {
        f.now_ns += 500 * MLT_NS_PER_MS;
        assert_int_equal(delta(id, id), MLT_SYNC_BUFFERED);
        mlt_sync_tick(f.sync);
        if (f.requests > answered) {
            answered = f.requests;
            assert_int_equal(snapshot_at(250, 7000), MLT_SYNC_UNUSED);
        }
        assert_int_not_equal(mlt_sync_state(f.sync), MLT_SYNC_LIVE);
    }
    assert_int_equal(f.depth, 10);
    assert_in_range(answered, 5, 20);

    /* Nor when those that did are lost: what was said before that is no word of a quiet one. */
    mlt_sync_lost(f.sync);
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    f.now_ns -= MLT_NS_PER_S; /* the wait may be longer than an instrument has to be quiet */
    mlt_sync_lost(f.sync);
    assert_int_equal(snapshot_at(251, 7000), MLT_SYNC_UNUSED);
    assert_int_equal(snapshot_at(252, 7000), MLT_SYNC_UNUSED);
    assert_int_equal(delta(id + 1, id + 1), MLT_SYNC_BUFFERED);
    assert_int_equal(snapshot_at(id, 100), MLT_SYNC_APPLIED);
    assert_book(id + 1);
}

/* One delta outside what the right one shows, and then none: it does not keep it out for good. */
static void test_a_quiet_instrument_gets_over_a_delta_far_away(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(delta(11, 12), MLT_SYNC_BUFFERED); /* 100 and 200 */
    const int64_t until_ns = f.now_ns + 5 * MLT_NS_PER_S;
    while (f.now_ns < until_ns) {
        assert_doubted(1, 12);
    }
    assert_int_equal(snapshot_at(12, 7000), MLT_SYNC_APPLIED);
}

/* What is gone there was not among what the exchange has now. */
static void test_levels_that_are_gone_speak_against_no_snapshot(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    const int64_t price = 50, none = 0;
    const struct mlt_book_delta d = { .bids = { -2, -5, 1, &price, &none },
                                      .asks = { -2, -5, 0, NULL, NULL } };
    const struct mlt_book_delta empty = { .bids = { -2, -5, 0, NULL, NULL },
                                          .asks = { -2, -5, 0, NULL, NULL } };
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_delta(f.sync, 11, 12, &d, &outcome), MLT_OK);
    assert_int_equal(mlt_sync_delta(f.sync, 13, 13, &empty, &outcome), MLT_OK);
    assert_int_equal(snapshot_at(13, 100), MLT_SYNC_APPLIED);
    assert_int_equal(counts().doubted, 0);
}

/* LIVE at 90000, while deltas are at 104. */
static void live_ahead(void)
{
    live();
    assert_int_equal(delta(103, 104), MLT_SYNC_BUFFERED); /* 101 and 102 are missing */
    assert_int_equal(snapshot(90000), MLT_SYNC_APPLIED);
    assert_book(90000);
}

/* It shows the same prices, so that nothing but its id tells. */
static void test_a_snapshot_that_the_deltas_do_not_reach_is_given_up(void **state)
{
    (void)state;
    live_ahead();
    f.now_ns += 3 * MLT_NS_PER_S - 1;
    assert_int_equal(delta(105, 106), MLT_SYNC_DUPLICATE); /* they may be so far behind */
    assert_int_equal(snapshot(90001), MLT_SYNC_APPLIED);   /* one more buys it no time */
    f.now_ns += 1;
    assert_int_equal(delta(105, 106), MLT_SYNC_DUPLICATE); /* again: nobody is behind for that */
    assert_int_equal(delta(107, 107), MLT_SYNC_DUPLICATE); /* it may have waited here */
    f.now_ns += 499 * MLT_NS_PER_MS;
    assert_int_equal(delta(108, 108), MLT_SYNC_DUPLICATE);
    assert_book(90001);
    f.now_ns += MLT_NS_PER_MS;
    assert_int_equal(delta(109, 110), MLT_SYNC_BUFFERED);
    assert_change(last_change(&f), MLT_SYNC_LIVE, MLT_SYNC_GAP, MLT_SYNC_AHEAD, 110, 90001);
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_SYNCING);
    assert_int_equal(snapshot(107), MLT_SYNC_UNUSED); /* lacks 108 */
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(snapshot(109), MLT_SYNC_APPLIED);
    assert_book(110);
}

/* The deltas are here, and held up for room: they have not gone on below it. */
static void test_who_is_held_up_gives_no_snapshot_up_for_it(void **state)
{
    (void)state;
    live_ahead();
    for (unsigned i = 0; i < 50; i++) {
        f.now_ns += 300 * MLT_NS_PER_MS;
        mlt_sync_wait_on(f.sync);
        assert_int_equal(delta(105 + i, 105 + i), MLT_SYNC_DUPLICATE);
    }
    assert_book(90000);
}

/* Where it is the deltas that are late, more and more requests would not help. */
static void test_requests_for_books_that_are_given_up_become_rare(void **state)
{
    (void)state;
    int64_t id = 105;
    live_ahead();
    const int64_t began_ns = f.now_ns;
    while (f.now_ns - began_ns < 300 * MLT_NS_PER_S) {
        f.now_ns += 100 * MLT_NS_PER_MS;
        mlt_sync_tick(f.sync);
        const uint64_t requests = f.requests;
        (void)delta(id, id);
        id++;
        if (f.requests > requests || mlt_sync_state(f.sync) == MLT_SYNC_SYNCING) {
            (void)snapshot(id + 90000);
        }
    }
    assert_in_range(f.requests, 10, 60);
}

/* Else its id would be in the way of every snapshot that is right. */
static void test_an_id_that_deltas_did_not_reach_keeps_no_snapshot_out(void **state)
{
    (void)state;
    live_ahead();
    mlt_sync_lost(f.sync);
    assert_int_equal(snapshot(105), MLT_SYNC_UNUSED); /* could be of before */
    for (int64_t id = 105; id < 200; id++) {
        f.now_ns += 100 * MLT_NS_PER_MS;
        (void)delta(id, id);
        mlt_sync_tick(f.sync);
    }
    assert_int_equal(snapshot(150), MLT_SYNC_APPLIED);
    assert_book(199);
}

/* One that was kept by an owner before is no better. */
static void test_a_restored_book_that_the_deltas_do_not_reach_is_given_up(void **state)
{
    (void)state;
    const int64_t id = 90000;
    const struct mlt_sync_left left = {
        id, { -2, -5, 1, &bid_price, &id }, { -2, -5, 1, &ask_price, &id }, true, true, 0
    };
    assert_int_equal(mlt_sync_restore(f.sync, &left), MLT_OK);
    mlt_sync_await(f.sync, id, MLT_NS_PER_S);
    int64_t last = 105;
    for (; last < 200; last++) {
        f.now_ns += 100 * MLT_NS_PER_MS;
        (void)delta(last, last);
        mlt_sync_tick(f.sync);
    }
    assert_false(mlt_sync_restored(f.sync));
    assert_int_equal(snapshot(150), MLT_SYNC_APPLIED);
    assert_book(199);
}

/* The way of snapshots is shorter: that is no fault, and nor is a quiet instrument. */
static void test_deltas_that_reach_the_snapshot_in_time_follow_it(void **state)
{
    (void)state;
    live();
    assert_int_equal(delta(101, 101), MLT_SYNC_APPLIED);
    assert_int_equal(delta(103, 104), MLT_SYNC_BUFFERED);
    assert_int_equal(snapshot(110), MLT_SYNC_APPLIED);
    f.now_ns += 2 * MLT_NS_PER_S;
    assert_int_equal(delta(105, 110), MLT_SYNC_DUPLICATE);
    f.now_ns += 10 * MLT_NS_PER_S;
    assert_int_equal(delta(111, 111), MLT_SYNC_APPLIED);
    assert_book(111);
    f.now_ns += 10 * MLT_NS_PER_S;
    assert_int_equal(delta(112, 112), MLT_SYNC_APPLIED);
    assert_book(112);
}

static void assert_nobody_is_vouched_for(void (*end)(void))
{
    mlt_sync_start(f.sync);
    assert_int_equal(snapshot_at(90000, 7000), MLT_SYNC_APPLIED); /* nothing is known */
    assert_int_equal(delta(105, 105), MLT_SYNC_DUPLICATE);
    end();
    f.now_ns += 4 * MLT_NS_PER_S;
    for (int64_t id = 106; id < 120; id++) { /* its id keeps nothing out any more */
        f.now_ns += 100 * MLT_NS_PER_MS;
        (void)delta(id, id);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(snapshot_at(90000, 7000), MLT_SYNC_UNUSED);
    }
    assert_int_equal(snapshot_at(115, 100), MLT_SYNC_APPLIED);
    assert_book(119);
}

static void lose(void)
{
    mlt_sync_lost(f.sync);
}

static void end_line(void)
{
    mlt_sync_source(f.sync, false);
    mlt_sync_source(f.sync, true);
}

/* Prices of a book that was beyond the deltas are no word of the instrument's. */
static void test_what_was_ahead_vouches_for_nobody(void **state)
{
    (void)state;
    assert_nobody_is_vouched_for(lose);
    mlt_sync_destroy(f.sync);
    fixture_open(&f, &plain);
    assert_nobody_is_vouched_for(end_line);
}

/* Of a side that is empty nothing can be said. */
static void test_a_side_without_levels_shows_every_price(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(snapshot_of(10, 10, 10), MLT_SYNC_APPLIED);
    mlt_sync_lost(f.sync);
    const int64_t price = 50, quantity = 11;
    const struct mlt_book_snapshot s = {
        11, { -2, -5, 1, &price, &quantity }, { -2, -5, 0, NULL, NULL }, 10, false
    };
    enum mlt_sync_outcome outcome;
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(mlt_sync_snapshot(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_APPLIED);
    assert_int_equal(counts().doubted, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_snapshot_of_other_prices_is_another_instruments),
        TEST(test_prices_that_are_said_again_later_are_believed),
        TEST(test_deltas_that_speak_against_a_snapshot_are_not_outvoted),
        TEST(test_a_snapshot_that_the_deltas_do_not_reach_is_given_up),
        TEST(test_who_is_held_up_gives_no_snapshot_up_for_it),
        TEST(test_a_quiet_instrument_gets_over_a_delta_far_away),
        TEST(test_levels_that_are_gone_speak_against_no_snapshot),
        TEST(test_requests_for_books_that_are_given_up_become_rare),
        TEST(test_an_id_that_deltas_did_not_reach_keeps_no_snapshot_out),
        TEST(test_a_restored_book_that_the_deltas_do_not_reach_is_given_up),
        TEST(test_what_was_ahead_vouches_for_nobody),
        TEST(test_deltas_that_reach_the_snapshot_in_time_follow_it),
        TEST(test_a_side_without_levels_shows_every_price),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
