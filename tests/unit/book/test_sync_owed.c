/* A stream that says nothing while snapshots show that the exchange goes on. */
#include "sync_levels.h"

/* Advances to `until`, doing what is due on the way when it is due. */
static void run(int64_t until_ns)
{
    while (mlt_sync_due_ns(f.sync) <= until_ns) {
        const int64_t due = mlt_sync_due_ns(f.sync);
        f.now_ns = due > f.now_ns ? due : f.now_ns;
        mlt_sync_tick(f.sync);
        assert_true(mlt_sync_due_ns(f.sync) > f.now_ns);
    }
    f.now_ns = until_ns;
}

static void run_for(int64_t ns)
{
    run(f.now_ns + ns);
}

static void assert_stale(void)
{
    assert_string_equal(mlt_sync_state_word(mlt_sync_state(f.sync)), "STALE");
}

/* LIVE at 101 by its deltas, and then by a snapshot of what none of them brings. */
static void live_frozen(int64_t id)
{
    live();
    assert_int_equal(delta(101, 101), MLT_SYNC_APPLIED);
    run_for(20 * MLT_NS_PER_S);
    assert_int_equal(snapshot(id), MLT_SYNC_APPLIED);
    assert_book(id);
}

static void test_a_stream_that_owes_what_a_snapshot_shows_is_dead(void **state)
{
    (void)state;
    live_frozen(140);
    run_for(3 * MLT_NS_PER_S);
    assert_book(140); /* both ways are ms behind, and one may be held up */
    run_for(500 * MLT_NS_PER_MS);
    assert_stale();
    assert_change(last_change(&f), MLT_SYNC_LIVE, MLT_SYNC_STALE, MLT_SYNC_SILENT, 102, 140);
}

/* Deltas that are here, and held up for room, are none that do not come. */
static void test_who_is_held_up_is_owed_nothing_meanwhile(void **state)
{
    (void)state;
    live_frozen(140);
    for (unsigned i = 0; i < 100; i++) {
        mlt_sync_wait_on(f.sync);
        run_for(300 * MLT_NS_PER_MS);
        assert_book(140);
    }
    run_for(MLT_NS_PER_S);
    assert_stale();
}

/* It would be LIVE nearly always, and wrong by as long as one takes to come. */
static void test_further_snapshots_do_not_make_it_live(void **state)
{
    (void)state;
    live_frozen(140);
    run_for(4 * MLT_NS_PER_S);
    const uint64_t requests = f.requests;
    for (int64_t id = 150; id < 200; id += 10) {
        run_for(60 * MLT_NS_PER_S);
        assert_int_equal(snapshot(id), MLT_SYNC_UNUSED);
        assert_stale();
    }
    assert_int_equal(f.requests, requests); /* nor is any asked for */
    assert_int_equal(delta(130, 141), MLT_SYNC_APPLIED);
    assert_change(last_change(&f), MLT_SYNC_STALE, MLT_SYNC_LIVE, MLT_SYNC_RESUMED, 130, 141);
    assert_book(141);
}

/* The whole way of it, beginning with a book that is silent. */
static void test_a_silent_book_is_live_no_longer_than_its_snapshot_is_new(void **state)
{
    (void)state;
    int64_t live_ns = 0, id = 100;
    live();
    run_for(61 * MLT_NS_PER_S);
    for (unsigned second = 0; second < 300; second++) {
        if (mlt_sync_state(f.sync) == MLT_SYNC_SYNCING) {
            id += 10;
            assert_int_equal(snapshot(id), MLT_SYNC_APPLIED);
        }
        live_ns += mlt_sync_state(f.sync) == MLT_SYNC_LIVE ? MLT_NS_PER_S : 0;
        run_for(MLT_NS_PER_S);
    }
    assert_stale();
    assert_int_equal(id, 110);
    assert_true(live_ns <= 4 * MLT_NS_PER_S);
}

/* Nor of a book that never had any delta at all. */
static void test_nor_does_a_stream_live_that_never_said_anything(void **state)
{
    (void)state;
    live();
    run_for(MLT_NS_PER_S);
    assert_int_equal(snapshot(105), MLT_SYNC_APPLIED);
    run_for(3500 * MLT_NS_PER_MS);
    assert_stale();
    assert_change(last_change(&f), MLT_SYNC_LIVE, MLT_SYNC_STALE, MLT_SYNC_SILENT, 1, 105);
}

static void test_what_one_after_the_other_shows_gives_it_no_more_time(void **state)
{
    (void)state;
    live_frozen(140);
    for (int64_t id = 141; id <= 143; id++) {
        run_for(MLT_NS_PER_S);
        assert_int_equal(snapshot(id), MLT_SYNC_APPLIED);
    }
    run_for(MLT_NS_PER_S);
    assert_stale();
}

/* One that shows less than is known is not used, and says as much of the stream. */
static void test_a_shallow_snapshot_shows_it_too(void **state)
{
    (void)state;
    live();
    assert_int_equal(delta(101, 101), MLT_SYNC_APPLIED);
    assert_int_equal(snapshot_of(140, 140, 5), MLT_SYNC_UNUSED);
    assert_int_equal(counts().shallow, 1);
    run_for(3500 * MLT_NS_PER_MS);
    assert_stale();
    assert_change(last_change(&f), MLT_SYNC_LIVE, MLT_SYNC_STALE, MLT_SYNC_SILENT, 102, 140);
    assert_int_equal(delta(101, 101), MLT_SYNC_DUPLICATE); /* it comes again */
    assert_stale();
    assert_int_equal(delta(102, 120), MLT_SYNC_APPLIED);
    assert_book(120);
}

/* Deltas are rare there, and what a snapshot says is what is known. */
static void test_a_quiet_instrument_stays_live(void **state)
{
    (void)state;
    live();
    assert_int_equal(delta(101, 101), MLT_SYNC_APPLIED);
    for (int64_t id = 101; id < 110; id++) { /* ids may go on without anything to see */
        run_for(20 * MLT_NS_PER_S);
        assert_int_equal(snapshot_of(id, 101, 10), MLT_SYNC_APPLIED);
        run_for(20 * MLT_NS_PER_S);
        assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_LIVE);
    }
    assert_int_equal(counts().stales, 0);
}

/* What is beyond the levels that are known says nothing; what is not there any more does. */
static void test_levels_are_compared_as_far_as_both_are_known(void **state)
{
    (void)state;
    const int64_t bids[] = { 100, 99 }, asks[] = { 200, 201 }, quantities[] = { 101, 7 };
    struct mlt_book_snapshot s = {
        120, { -2, -5, 2, bids, quantities }, { -2, -5, 2, asks, quantities }, 2, false
    };
    enum mlt_sync_outcome outcome;
    mlt_sync_start(f.sync);
    assert_int_equal(snapshot_of(100, 101, 1), MLT_SYNC_APPLIED);
    assert_int_equal(mlt_sync_snapshot(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_APPLIED);
    run_for(4 * MLT_NS_PER_S);
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_LIVE);
    s.last_update_id = 130;
    s.bids.count = 1; /* of 2 that were asked for */
    assert_int_equal(mlt_sync_snapshot(f.sync, &s, &outcome), MLT_OK);
    run_for(4 * MLT_NS_PER_S);
    assert_stale();
}

static void test_deltas_that_reach_it_have_paid(void **state)
{
    (void)state;
    live_frozen(140);
    run_for(2 * MLT_NS_PER_S);
    assert_int_equal(delta(102, 139), MLT_SYNC_DUPLICATE);
    run_for(MLT_NS_PER_S);
    assert_int_equal(delta(140, 140), MLT_SYNC_DUPLICATE);
    run_for(50 * MLT_NS_PER_S);
    assert_book(140);
    assert_int_equal(counts().stales, 0);
}

/* Whoever was stopped for a while sees the time first, and then what came meanwhile. */
static void test_who_did_not_look_has_not_seen_what_came(void **state)
{
    (void)state;
    live_frozen(140);
    f.now_ns += 30 * MLT_NS_PER_S;
    mlt_sync_tick(f.sync);
    assert_book(140);
    assert_int_equal(delta(102, 140), MLT_SYNC_DUPLICATE);
    run_for(4 * MLT_NS_PER_S);
    assert_book(140);
    assert_int_equal(counts().stales, 0);
}

static void test_it_is_live_where_the_stream_comes_to_the_snapshots_id(void **state)
{
    (void)state;
    live_frozen(140);
    run_for(4 * MLT_NS_PER_S);
    assert_int_equal(delta(102, 139), MLT_SYNC_DUPLICATE);
    assert_stale();
    assert_int_equal(delta(140, 140), MLT_SYNC_DUPLICATE);
    assert_change(last_change(&f), MLT_SYNC_STALE, MLT_SYNC_LIVE, MLT_SYNC_RESUMED, 140, 140);
    assert_book(140);
}

static void test_what_was_missed_meanwhile_is_a_gap(void **state)
{
    (void)state;
    live_frozen(140);
    run_for(4 * MLT_NS_PER_S);
    const uint64_t requests = f.requests;
    assert_int_equal(delta(150, 151), MLT_SYNC_BUFFERED);
    assert_change(&f.changes[f.change_count - 2], MLT_SYNC_STALE, MLT_SYNC_GAP,
                  MLT_SYNC_SEQUENCE_GAP, 141, 149);
    assert_int_equal(f.requests, requests + 1);
    assert_int_equal(snapshot(150), MLT_SYNC_APPLIED);
    assert_book(151);
}

/* Where they go on below it, it is the snapshot that is wrong. */
static void test_deltas_that_go_on_below_it_say_ahead(void **state)
{
    (void)state;
    live_frozen(90000);
    for (int64_t id = 102; mlt_sync_state(f.sync) == MLT_SYNC_LIVE; id++) {
        assert_true(id < 200);
        (void)delta(id, id);
        run_for(100 * MLT_NS_PER_MS);
    }
    assert_int_equal(counts().stales, 0);
    assert_int_equal(counts().gaps, 1);
}

/* The line says that it begins, or began anew after its end: a snapshot is worth something again.
 */
static void test_a_source_that_is_up_again_may_be_asked(void **state)
{
    (void)state;
    live_frozen(140);
    run_for(4 * MLT_NS_PER_S);
    uint64_t requests = f.requests;
    mlt_sync_source_began(f.sync);
    assert_int_equal(snapshot(145), MLT_SYNC_UNUSED); /* what it holds may come now */
    run_for(MLT_NS_PER_S - 1);
    assert_int_equal(f.requests, requests);
    assert_stale();
    run_for(1);
    assert_int_equal(f.requests, requests + 1);
    assert_int_equal(snapshot(150), MLT_SYNC_APPLIED);
    run_for(4 * MLT_NS_PER_S);
    assert_stale();
    mlt_sync_source(f.sync, false);
    requests = f.requests;
    mlt_sync_source(f.sync, true);
    assert_int_equal(f.requests, requests + 1);
    assert_int_equal(snapshot(160), MLT_SYNC_APPLIED);
    run_for(50 * MLT_NS_PER_S);
    assert_book(160);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_stream_that_owes_what_a_snapshot_shows_is_dead),
        TEST(test_who_is_held_up_is_owed_nothing_meanwhile),
        TEST(test_further_snapshots_do_not_make_it_live),
        TEST(test_a_silent_book_is_live_no_longer_than_its_snapshot_is_new),
        TEST(test_nor_does_a_stream_live_that_never_said_anything),
        TEST(test_what_one_after_the_other_shows_gives_it_no_more_time),
        TEST(test_a_shallow_snapshot_shows_it_too),
        TEST(test_a_quiet_instrument_stays_live),
        TEST(test_levels_are_compared_as_far_as_both_are_known),
        TEST(test_deltas_that_reach_it_have_paid),
        TEST(test_who_did_not_look_has_not_seen_what_came),
        TEST(test_it_is_live_where_the_stream_comes_to_the_snapshots_id),
        TEST(test_what_was_missed_meanwhile_is_a_gap),
        TEST(test_deltas_that_go_on_below_it_say_ahead),
        TEST(test_a_source_that_is_up_again_may_be_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
