/* What is asked for, and how urgently: a deeper snapshot, a resync, one before the other. */
#include "sync_levels.h"

static void test_a_whole_book_is_deepened_without_haste(void **state)
{
    (void)state;
    struct mlt_sync_options options = plain;
    options.first_depth = 2;
    mlt_sync_destroy(f.sync);
    fixture_open(&f, &options);
    mlt_sync_start(f.sync);
    assert_int_equal(snapshot_of(100, 100, 2), MLT_SYNC_APPLIED); /* fewer than asked for: whole */
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, 2);
    assert_int_equal(f.need, MLT_SYNC_NEED_DEPTH);
}

/* LIVE at id 100 by a whole book of depth 2, and a deeper snapshot is asked for. */
static void live_and_deepening(void)
{
    struct mlt_sync_options options = plain;
    options.first_depth = 2;
    mlt_sync_destroy(f.sync);
    fixture_open(&f, &options);
    mlt_sync_start(f.sync);
    assert_int_equal(snapshot_of(100, 100, 2), MLT_SYNC_APPLIED);
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, 2);
    assert_int_equal(f.need, MLT_SYNC_NEED_DEPTH);
}

static void assert_resync_asked(uint64_t requests)
{
    assert_int_equal(f.requests, requests);
    assert_int_equal(f.need, MLT_SYNC_NEED_RESYNC);
    assert_int_equal(f.depth, 2);
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_SYNCING);
}

/* There was no weight for it: its wait is long by now. */
static void fail_deepening(void)
{
    for (int i = 0; i < 5; i++) {
        mlt_sync_request_failed(f.sync);
        f.now_ns = mlt_sync_due_ns(f.sync);
        mlt_sync_tick(f.sync);
        assert_int_equal(f.need, MLT_SYNC_NEED_DEPTH);
    }
    mlt_sync_request_failed(f.sync);
    assert_true(mlt_sync_due_ns(f.sync) > f.now_ns + MLT_NS_PER_S);
}

static void test_a_resync_does_not_wait_because_deepening_failed(void **state)
{
    (void)state;
    live_and_deepening();
    fail_deepening();
    const uint64_t requests = f.requests;
    mlt_sync_lost(f.sync);
    assert_resync_asked(requests + 1);
    /* Its own failures are its own: the first wait, not the sixth. */
    mlt_sync_request_failed(f.sync);
    assert_true(mlt_sync_due_ns(f.sync) <= f.now_ns + MLT_NS_PER_S);
}

static void test_nor_when_the_line_is_back(void **state)
{
    (void)state;
    live_and_deepening();
    fail_deepening();
    const uint64_t requests = f.requests;
    mlt_sync_source(f.sync, false);
    assert_int_equal(f.requests, requests);
    mlt_sync_source(f.sync, true);
    assert_resync_asked(requests + 1);
}

static void test_a_resync_does_not_wait_for_the_deepening_that_is_in_flight(void **state)
{
    (void)state;
    live_and_deepening();
    mlt_sync_lost(f.sync);
    assert_resync_asked(3);
    /* Its answer may lack what was lost, and is no failure of the resync. */
    assert_int_equal(snapshot_of(100, 100, 10), MLT_SYNC_UNUSED);
    assert_resync_asked(3);
    assert_int_equal(counts().too_old, 1);
    assert_int_equal(snapshot_of(105, 105, 2), MLT_SYNC_APPLIED);
    assert_book(105);

    live_and_deepening();
    mlt_sync_source(f.sync, false);
    mlt_sync_source(f.sync, true);
    assert_resync_asked(3);
    assert_int_equal(snapshot_of(103, 103, 10), MLT_SYNC_UNUSED);
    assert_int_equal(snapshot_of(105, 105, 2), MLT_SYNC_APPLIED);
    assert_book(105);

    live_and_deepening();
    f.now_ns += plain.request_timeout_ns - 1; /* as if nothing had been heard for long */
    assert_int_equal(delta(102, 102), MLT_SYNC_BUFFERED);
    assert_resync_asked(3);
}

static void test_the_answer_to_the_deepening_joins_where_a_delta_proves_it(void **state)
{
    (void)state;
    live_and_deepening();
    mlt_sync_lost(f.sync);
    assert_int_equal(delta(104, 105), MLT_SYNC_BUFFERED);
    assert_int_equal(snapshot_of(103, 103, 10), MLT_SYNC_APPLIED);
    assert_book(105);
    assert_int_equal(f.requests, 3);
    assert_int_equal(snapshot_of(104, 104, 2), MLT_SYNC_UNUSED); /* the resync's: not needed */
    assert_book(105);
}

/* Which of the two is answered cannot be seen: it is as if it were the older one. */
static void test_two_requests_of_one_depth_are_told_apart_by_a_third(void **state)
{
    (void)state;
    struct mlt_sync_options options = plain;
    options.refresh_interval_ns = 10 * MLT_NS_PER_S;
    options.stale_after_ns = 0;
    mlt_sync_destroy(f.sync);
    fixture_open(&f, &options);
    live();
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(f.need, MLT_SYNC_NEED_AUDIT);
    mlt_sync_lost(f.sync);
    assert_int_equal(f.requests, 3);
    assert_int_equal(f.need, MLT_SYNC_NEED_RESYNC);
    assert_int_equal(snapshot(100), MLT_SYNC_UNUSED);
    assert_int_equal(f.requests, 4); /* at once */
    assert_int_equal(snapshot(105), MLT_SYNC_APPLIED);
    assert_book(105);
}

static void test_a_book_that_is_silent_while_it_deepens_asks_anew(void **state)
{
    (void)state;
    struct mlt_sync_options options = plain;
    options.first_depth = 2;
    options.stale_after_ns = 3 * MLT_NS_PER_S;
    mlt_sync_destroy(f.sync);
    fixture_open(&f, &options);
    mlt_sync_start(f.sync);
    assert_int_equal(snapshot_of(100, 100, 2), MLT_SYNC_APPLIED);
    f.now_ns += MLT_NS_PER_S;
    mlt_sync_tick(f.sync);
    assert_int_equal(f.need, MLT_SYNC_NEED_DEPTH);
    f.now_ns += 2 * MLT_NS_PER_S;
    mlt_sync_tick(f.sync);
    assert_resync_asked(3);
    /* Nothing is known to be missing: the deeper one does. */
    assert_int_equal(snapshot_of(100, 100, 10), MLT_SYNC_APPLIED);
    assert_book(100);
}

static void test_a_book_that_was_left_is_resynced_and_one_that_was_stopped_begins(void **state)
{
    (void)state;
    live();
    mlt_sync_stop(f.sync);
    mlt_sync_start(f.sync);
    assert_int_equal(f.need, MLT_SYNC_NEED_FIRST);
    mlt_sync_destroy(f.sync);
    fixture_open(&f, &plain);
    const struct mlt_sync_left left = { .last_update_id = 100,
                                        .bids_whole = true,
                                        .asks_whole = true };
    assert_int_equal(mlt_sync_restore(f.sync, &left), MLT_OK);
    mlt_sync_await(f.sync, 100, 0);
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, 1);
    assert_int_equal(f.need, MLT_SYNC_NEED_RESYNC);
}

static void test_a_live_book_that_is_about_to_show_too_little_asks_urgently(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(snapshot_of(100, 100, 1), MLT_SYNC_APPLIED); /* one level a side, not whole */
    f.now_ns = mlt_sync_due_ns(f.sync);
    f.need = MLT_SYNC_NEED_COUNT;
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, 2);
    assert_int_equal(f.need, MLT_SYNC_NEED_FIRST);
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_LIVE);
}

/* Deltas that could not be read, each followed by one that can. */
static void test_a_book_whose_deltas_are_refused_again_and_again_asks_rarely(void **state)
{
    (void)state;
    int64_t id = 101;
    live();
    const int64_t began_ns = f.now_ns;
    const uint64_t before = f.requests;
    uint64_t answered = f.requests;
    while (f.now_ns - began_ns < 300 * MLT_NS_PER_S) {
        mlt_sync_refused(f.sync);
        assert_int_not_equal(mlt_sync_state(f.sync), MLT_SYNC_LIVE);
        f.now_ns += 50 * MLT_NS_PER_MS;
        mlt_sync_tick(f.sync);
        (void)delta(id + 1, id + 1);
        id += 2;
        if (f.requests > answered) {
            answered = f.requests;
            (void)snapshot(id);
        }
        f.now_ns += 50 * MLT_NS_PER_MS;
        mlt_sync_tick(f.sync);
    }
    assert_in_range(f.requests - before, 20, 150); /* of 3,000 */
    assert_true(f.change_count < 600);
}

/* One now and then is mended at once. */
static void test_a_delta_that_is_refused_now_and_then_costs_no_wait(void **state)
{
    (void)state;
    live();
    for (int64_t id = 110; id < 200; id += 10) {
        f.now_ns += 6 * MLT_NS_PER_S;
        const uint64_t requests = f.requests;
        mlt_sync_refused(f.sync);
        assert_change(&f.changes[f.change_count - 2], MLT_SYNC_LIVE, MLT_SYNC_GAP, MLT_SYNC_LOST, 0,
                      0);
        assert_int_equal(f.requests, requests + 1);
        assert_int_equal(snapshot(id), MLT_SYNC_APPLIED);
        assert_book(id);
    }
}

/* What was asked for before may lack it. */
/* Who asks for the book again does not wait for what failed before that. */
static void test_a_book_that_is_wanted_again_asks_at_once(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    for (unsigned i = 0; i < 12; i++) {
        mlt_sync_request_failed(f.sync);
        f.now_ns = mlt_sync_due_ns(f.sync) > f.now_ns ? mlt_sync_due_ns(f.sync) : f.now_ns;
        mlt_sync_tick(f.sync);
    }
    mlt_sync_request_failed(f.sync);
    const uint64_t requests = f.requests;
    mlt_sync_stop(f.sync);
    mlt_sync_start(f.sync);
    assert_int_equal(f.requests, requests + 1);
}

static void test_an_answer_of_before_a_refused_delta_makes_no_book_live(void **state)
{
    (void)state;
    live();
    f.now_ns += 6 * MLT_NS_PER_S;
    mlt_sync_refused(f.sync);
    const uint64_t requests = f.requests;
    const size_t changes = f.change_count;
    mlt_sync_refused(f.sync);
    assert_int_equal(f.change_count, changes);
    assert_int_equal(snapshot(110), MLT_SYNC_UNUSED);
    assert_int_equal(f.requests, requests); /* nor is the next one asked for at once */
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, requests + 1);
    assert_int_equal(snapshot(120), MLT_SYNC_APPLIED);
    assert_book(120);
}

/* A book that is silent has missed nothing until then. */
static void test_a_silent_book_whose_delta_is_refused_is_a_gap(void **state)
{
    (void)state;
    live();
    f.now_ns += plain.stale_after_ns;
    mlt_sync_tick(f.sync);
    mlt_sync_refused(f.sync);
    assert_change(&f.changes[f.change_count - 2], MLT_SYNC_SYNCING, MLT_SYNC_GAP, MLT_SYNC_LOST, 0,
                  0);
    assert_int_equal(snapshot(100), MLT_SYNC_UNUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_whole_book_is_deepened_without_haste),
        TEST(test_a_resync_does_not_wait_because_deepening_failed),
        TEST(test_nor_when_the_line_is_back),
        TEST(test_a_resync_does_not_wait_for_the_deepening_that_is_in_flight),
        TEST(test_the_answer_to_the_deepening_joins_where_a_delta_proves_it),
        TEST(test_two_requests_of_one_depth_are_told_apart_by_a_third),
        TEST(test_a_book_that_is_silent_while_it_deepens_asks_anew),
        TEST(test_a_book_that_was_left_is_resynced_and_one_that_was_stopped_begins),
        TEST(test_a_live_book_that_is_about_to_show_too_little_asks_urgently),
        TEST(test_a_book_whose_deltas_are_refused_again_and_again_asks_rarely),
        TEST(test_a_delta_that_is_refused_now_and_then_costs_no_wait),
        TEST(test_a_book_that_is_wanted_again_asks_at_once),
        TEST(test_an_answer_of_before_a_refused_delta_makes_no_book_live),
        TEST(test_a_silent_book_whose_delta_is_refused_is_a_gap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
