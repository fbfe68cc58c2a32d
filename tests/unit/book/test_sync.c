/* The state machine, edge by edge; test_sync_snapshot.c: of which instrument a snapshot is, and
 * when. */
#include "sync_levels.h"

#include <stdlib.h>

static void test_nothing_is_asked_for_before_somebody_wants_the_book(void **state)
{
    (void)state;
    assert_int_equal(delta(1, 2), MLT_SYNC_IGNORED);
    assert_int_equal(snapshot(2), MLT_SYNC_UNUSED);
    assert_int_equal(f.requests, 0);
    assert_true(mlt_sync_due_ns(f.sync) == INT64_MAX);
    mlt_sync_start(f.sync);
    mlt_sync_start(f.sync);
    assert_int_equal(f.requests, 1);
    assert_int_equal(f.depth, 10);
    assert_int_equal(f.need, MLT_SYNC_NEED_FIRST);
    assert_int_equal(f.change_count, 1);
    assert_change(last_change(&f), MLT_SYNC_IDLE, MLT_SYNC_SYNCING, MLT_SYNC_STARTED, 0, 0);
}

static void test_a_quiet_instrument_is_live_without_any_delta(void **state)
{
    (void)state;
    live();
    assert_change(last_change(&f), MLT_SYNC_SYNCING, MLT_SYNC_LIVE, MLT_SYNC_JOINED, 100, 100);
    assert_int_equal(delta(101, 101), MLT_SYNC_APPLIED);
    assert_book(101);
}

static void test_a_snapshot_that_covers_all_that_is_buffered_is_live_at_once(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(delta(90, 95), MLT_SYNC_BUFFERED);
    assert_int_equal(delta(96, 100), MLT_SYNC_BUFFERED);
    assert_int_equal(snapshot(100), MLT_SYNC_APPLIED);
    assert_book(100);
}

static void test_the_first_delta_kept_may_begin_right_after_the_snapshot(void **state)
{
    (void)state;
    /* U = L + 1, where the test U <= L <= u would fail. */
    mlt_sync_start(f.sync);
    assert_int_equal(delta(95, 100), MLT_SYNC_BUFFERED);
    assert_int_equal(delta(101, 105), MLT_SYNC_BUFFERED);
    assert_int_equal(snapshot(100), MLT_SYNC_APPLIED);
    assert_book(105);
    assert_change(last_change(&f), MLT_SYNC_SYNCING, MLT_SYNC_LIVE, MLT_SYNC_JOINED, 100, 105);
    /* And the very first buffered too: L = U0 - 1 has lost nothing. */
    mlt_sync_stop(f.sync);
    mlt_sync_start(f.sync);
    assert_int_equal(delta(201, 205), MLT_SYNC_BUFFERED);
    assert_int_equal(snapshot(200), MLT_SYNC_APPLIED);
    assert_book(205);
}

static void test_the_snapshot_may_fall_inside_a_delta(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(delta(95, 105), MLT_SYNC_BUFFERED);
    assert_int_equal(delta(106, 110), MLT_SYNC_BUFFERED);
    assert_int_equal(snapshot(100), MLT_SYNC_APPLIED);
    assert_book(110);
}

static void test_deltas_before_the_snapshot_are_not_lost(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    for (int64_t id = 1; id <= 50; id++) {
        assert_int_equal(delta(id, id), MLT_SYNC_BUFFERED);
    }
    assert_int_equal(snapshot(25), MLT_SYNC_APPLIED);
    assert_book(50);
}

static void test_a_snapshot_older_than_the_buffer_is_asked_for_again(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(delta(110, 115), MLT_SYNC_BUFFERED);
    assert_int_equal(snapshot(108), MLT_SYNC_UNUSED);
    assert_int_equal(counts().too_old, 1);
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_SYNCING);
    assert_int_equal(f.requests, 1); /* not at once: back-off */
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, 2);
    assert_int_equal(delta(116, 116), MLT_SYNC_BUFFERED);
    assert_int_equal(snapshot(112), MLT_SYNC_APPLIED);
    assert_book(116);
}

static void test_overlap_is_applied_and_repeats_are_dropped(void **state)
{
    (void)state;
    live();
    assert_int_equal(delta(98, 103), MLT_SYNC_APPLIED);
    assert_book(103);
    assert_int_equal(delta(98, 103), MLT_SYNC_DUPLICATE);
    assert_int_equal(delta(99, 101), MLT_SYNC_DUPLICATE);
    assert_book(103);
    assert_int_equal(counts().overlaps, 1);
    assert_int_equal(counts().duplicates, 2);
    assert_int_equal(delta(104, 104), MLT_SYNC_APPLIED);
    assert_book(104);
}

static void test_a_hole_is_a_gap_and_a_resync_with_its_range(void **state)
{
    (void)state;
    live();
    assert_int_equal(delta(105, 106), MLT_SYNC_BUFFERED);
    assert_change(&f.changes[f.change_count - 2], MLT_SYNC_LIVE, MLT_SYNC_GAP,
                  MLT_SYNC_SEQUENCE_GAP, 101, 104);
    assert_change(last_change(&f), MLT_SYNC_GAP, MLT_SYNC_SYNCING, MLT_SYNC_REQUESTED, 0, 0);
    assert_int_equal(f.requests, 2);
    assert_int_equal(f.need, MLT_SYNC_NEED_RESYNC);
    assert_int_equal(delta(107, 108), MLT_SYNC_BUFFERED);
    assert_int_equal(snapshot(106), MLT_SYNC_APPLIED);
    assert_book(108);
    assert_int_equal(counts().resyncs, 1);
    assert_int_equal(counts().gaps, 1);
}

static void test_a_hole_long_after_the_join_is_found_too(void **state)
{
    (void)state;
    live();
    for (int64_t id = 101; id < 2000; id++) {
        assert_int_equal(delta(id, id), MLT_SYNC_APPLIED);
    }
    assert_int_equal(delta(2001, 2001), MLT_SYNC_BUFFERED);
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_SYNCING);
}

static void test_the_bridging_delta_is_checked_when_it_comes(void **state)
{
    (void)state;
    live();
    f.now_ns += 19 * MLT_NS_PER_S;
    assert_int_equal(delta(102, 102), MLT_SYNC_BUFFERED);
    assert_int_equal(counts().gaps, 1);
}

static void test_a_hole_while_syncing_moves_the_buffer_on(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(delta(101, 105), MLT_SYNC_BUFFERED);
    assert_int_equal(delta(110, 112), MLT_SYNC_BUFFERED);
    assert_change(&f.changes[f.change_count - 2], MLT_SYNC_SYNCING, MLT_SYNC_GAP,
                  MLT_SYNC_SEQUENCE_GAP, 106, 109);
    assert_int_equal(f.requests, 1); /* the one in flight will do */
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_SYNCING);
    assert_int_equal(snapshot(103), MLT_SYNC_UNUSED);
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(snapshot(111), MLT_SYNC_APPLIED);
    assert_book(112);
}

static void test_one_request_is_in_flight_at_most_and_is_given_up_in_time(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    int64_t previous_wait = 0;
    for (uint64_t round = 1; round <= 8; round++) {
        assert_int_equal(f.requests, round);
        for (int64_t id = 1; id < 20; id++) {
            (void)delta((int64_t)round * 1000 + 3 * id, (int64_t)round * 1000 + 3 * id);
            mlt_sync_tick(f.sync);
        }
        assert_int_equal(f.requests, round);
        const int64_t due = mlt_sync_due_ns(f.sync);
        assert_int_equal(due, f.now_ns + plain.request_timeout_ns);
        f.now_ns = due;
        mlt_sync_tick(f.sync);
        assert_int_equal(f.requests, round);
        const int64_t wait = mlt_sync_due_ns(f.sync) - f.now_ns;
        assert_true(wait > 0 && wait <= plain.backoff_max_ns);
        assert_true(round > 1 || wait <= plain.backoff_base_ns);
        previous_wait = wait > previous_wait ? wait : previous_wait;
        f.now_ns += wait;
        mlt_sync_tick(f.sync);
    }
    assert_true(previous_wait > plain.backoff_base_ns); /* it does grow */
    assert_int_equal(counts().timeouts, 8);
}

static void test_a_failed_request_is_repeated_after_a_wait(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    mlt_sync_request_failed(f.sync);
    mlt_sync_request_failed(f.sync); /* none in flight: no effect */
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, 1);
    assert_int_equal(counts().failures, 1);
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, 2);
}

static void test_silence_makes_it_stale_and_the_next_delta_live(void **state)
{
    (void)state;
    live();
    f.now_ns += plain.stale_after_ns - 1;
    mlt_sync_tick(f.sync);
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_LIVE);
    assert_int_equal(mlt_sync_due_ns(f.sync), f.now_ns + 1);
    f.now_ns++;
    mlt_sync_tick(f.sync);
    assert_change(&f.changes[f.change_count - 2], MLT_SYNC_LIVE, MLT_SYNC_STALE, MLT_SYNC_SILENT, 0,
                  0);
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_SYNCING);
    assert_int_equal(f.requests, 2);
    assert_int_equal(delta(101, 103), MLT_SYNC_APPLIED);
    assert_change(last_change(&f), MLT_SYNC_SYNCING, MLT_SYNC_LIVE, MLT_SYNC_RESUMED, 101, 103);
    assert_book(103);
    /* The snapshot that was asked for is of before the delta, and joins. */
    assert_int_equal(snapshot(100), MLT_SYNC_APPLIED);
    assert_book(103);
    assert_int_equal(counts().audits_right, 1);
}

static void test_silence_ends_with_a_snapshot_that_says_the_same(void **state)
{
    (void)state;
    live();
    f.now_ns += plain.stale_after_ns;
    mlt_sync_tick(f.sync);
    assert_int_equal(snapshot(100), MLT_SYNC_APPLIED);
    assert_book(100);
}

static void test_a_line_that_ended_is_stale_until_a_snapshot_after_it_is_back(void **state)
{
    (void)state;
    live();
    mlt_sync_source(f.sync, false);
    assert_change(last_change(&f), MLT_SYNC_LIVE, MLT_SYNC_STALE, MLT_SYNC_SOURCE_DOWN, 0, 0);
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, 1);
    mlt_sync_source(f.sync, true);
    assert_int_equal(f.requests, 2);
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_SYNCING);
    assert_int_equal(snapshot(99), MLT_SYNC_UNUSED); /* of before: would go back in time */
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(snapshot(110), MLT_SYNC_APPLIED);
    assert_book(110);
}

/* It is not waited for until its time is up: the Adapter that had it to fetch is gone. */
static void test_a_request_is_made_again_where_another_adapter_began(void **state)
{
    (void)state;
    live();
    assert_int_equal(delta(103, 104), MLT_SYNC_BUFFERED); /* 101 and 102 are missing */
    assert_int_equal(f.requests, 2);
    assert_int_equal(f.need, MLT_SYNC_NEED_RESYNC);
    mlt_sync_source(f.sync, true); /* a line of the same one */
    assert_int_equal(f.requests, 2);
    mlt_sync_source_began(f.sync);
    assert_int_equal(f.requests, 3);
    assert_int_equal(f.need, MLT_SYNC_NEED_RESYNC);
    assert_int_equal(snapshot(102), MLT_SYNC_APPLIED);
    assert_book(104);
    mlt_sync_source_began(f.sync); /* nothing is on its way */
    assert_int_equal(f.requests, 3);
}

/* The line ended meanwhile, or it is not known to be up. */
static void test_a_request_is_made_again_when_the_source_is_up(void **state)
{
    (void)state;
    live();
    assert_int_equal(delta(103, 104), MLT_SYNC_BUFFERED);
    mlt_sync_source(f.sync, false);
    assert_int_equal(f.requests, 2);
    mlt_sync_source_began(f.sync);
    assert_int_equal(f.requests, 3);
    assert_true(mlt_sync_source_up(f.sync));
    /* Of before, and no delta has shown that it lacks nothing. */
    assert_int_equal(snapshot(104), MLT_SYNC_UNUSED);
    assert_int_equal(f.requests, 4);
    assert_int_equal(snapshot(110), MLT_SYNC_APPLIED);
    assert_book(110);
}

/* What was asked for while nobody listened may lack what came until somebody did. */
static void test_an_answer_of_before_the_adapter_began_needs_a_delta(void **state)
{
    (void)state;
    live();
    mlt_sync_lost(f.sync);
    assert_int_equal(f.requests, 2);
    mlt_sync_source_began(f.sync);
    assert_int_equal(f.requests, 3);
    assert_int_equal(snapshot(105), MLT_SYNC_UNUSED);
    assert_int_equal(f.requests, 4);
    assert_int_equal(snapshot(105), MLT_SYNC_APPLIED);
    assert_book(105);
}

/* Of another Adapter: the one that said so may never come back. */
static void test_a_delta_says_that_the_line_is_back(void **state)
{
    (void)state;
    live();
    mlt_sync_source(f.sync, false);
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, 1);
    assert_int_equal(delta(105, 105), MLT_SYNC_BUFFERED);
    assert_true(mlt_sync_source_up(f.sync));
    assert_int_equal(f.requests, 2);
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_SYNCING);
    assert_int_equal(snapshot(103), MLT_SYNC_UNUSED); /* 104 is missing */
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(snapshot(104), MLT_SYNC_APPLIED);
    assert_book(105);
}

static void test_a_loss_on_the_way_is_a_gap(void **state)
{
    (void)state;
    live();
    mlt_sync_lost(f.sync);
    assert_change(&f.changes[f.change_count - 2], MLT_SYNC_LIVE, MLT_SYNC_GAP, MLT_SYNC_LOST, 0, 0);
    assert_int_equal(snapshot(120), MLT_SYNC_APPLIED);
    assert_book(120);
}

/* What was asked for before may lack what nobody saw, and no delta comes to show it. */
static void test_a_snapshot_asked_for_before_the_line_ended_makes_no_quiet_book_live(void **state)
{
    (void)state;
    live();
    mlt_sync_lost(f.sync); /* one is on its way */
    const uint64_t requests = f.requests;
    mlt_sync_source(f.sync, false);
    mlt_sync_source(f.sync, true);
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_SYNCING);
    assert_int_equal(f.requests, requests);
    assert_int_equal(snapshot(100), MLT_SYNC_UNUSED);
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_SYNCING);
    assert_int_equal(f.requests, requests + 1); /* at once */
    assert_int_equal(snapshot(105), MLT_SYNC_APPLIED);
    assert_book(105);
    assert_int_equal(counts().too_old, 1);
}

static void test_nor_does_one_from_before_a_loss(void **state)
{
    (void)state;
    live();
    mlt_sync_lost(f.sync);
    const uint64_t requests = f.requests;
    mlt_sync_lost(f.sync); /* more of it */
    assert_int_equal(snapshot(103), MLT_SYNC_UNUSED);
    assert_int_equal(f.requests, requests + 1);
    assert_int_equal(snapshot(105), MLT_SYNC_APPLIED);
    assert_book(105);
}

static void test_a_delta_that_joins_it_proves_an_older_snapshot(void **state)
{
    (void)state;
    live();
    mlt_sync_lost(f.sync);
    const uint64_t requests = f.requests;
    mlt_sync_lost(f.sync);
    assert_int_equal(delta(104, 105), MLT_SYNC_BUFFERED);
    assert_int_equal(snapshot(103), MLT_SYNC_APPLIED);
    assert_book(105);
    assert_int_equal(f.requests, requests);
}

static void test_a_book_that_crosses_is_never_live(void **state)
{
    (void)state;
    live();
    ask_price = 100;
    assert_int_equal(delta(101, 101), MLT_SYNC_IGNORED);
    ask_price = 200;
    assert_change(&f.changes[f.change_count - 2], MLT_SYNC_LIVE, MLT_SYNC_GAP, MLT_SYNC_CROSSED,
                  101, 101);
    assert_int_equal(snapshot(100), MLT_SYNC_UNUSED); /* lacks 101, which is not held any more */
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(snapshot(101), MLT_SYNC_APPLIED);
    assert_book(101);
}

static void test_what_cannot_be_applied_breaks_the_book_off(void **state)
{
    (void)state;
    live();
    const int64_t negative = -1;
    const struct mlt_book_delta bad = { .bids = { -2, -5, 1, &bid_price, &negative } };
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_delta(f.sync, 101, 102, &bad, &outcome), MLT_E_PROTOCOL);
    assert_int_equal(outcome, MLT_SYNC_IGNORED);
    assert_change(&f.changes[f.change_count - 2], MLT_SYNC_LIVE, MLT_SYNC_GAP, MLT_SYNC_MALFORMED,
                  101, 102);
    const struct mlt_book_snapshot none = {
        110, { -2, -5, 1, &bid_price, &negative }, { -2, -5, 0, NULL, NULL }, 10, false
    };
    assert_int_equal(mlt_sync_snapshot(f.sync, &none, &outcome), MLT_E_PROTOCOL);
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_SYNCING);
    assert_int_equal(counts().refused, 2);
}

static void test_a_live_book_deepens_without_leaving_live(void **state)
{
    (void)state;
    struct mlt_sync_options options = plain;
    options.first_depth = 1;
    mlt_sync_destroy(f.sync);
    fixture_open(&f, &options);
    mlt_sync_start(f.sync);
    assert_int_equal(f.depth, 1);
    assert_int_equal(snapshot_of(100, 100, 1), MLT_SYNC_APPLIED);
    assert_int_equal(f.requests, 1);
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, 2);
    assert_int_equal(f.depth, 10);
    assert_int_equal(f.need, MLT_SYNC_NEED_FIRST); /* it shows too little as it is */
    assert_int_equal(delta(101, 101), MLT_SYNC_APPLIED);
    assert_int_equal(delta(102, 102), MLT_SYNC_APPLIED);
    assert_int_equal(snapshot(101), MLT_SYNC_APPLIED);
    assert_book(102);
    assert_int_equal(last_change(&f)->to, MLT_SYNC_LIVE);
    assert_int_equal(f.change_count, 2); /* SYNCING, LIVE: nothing since */
    assert_int_equal(delta(103, 103), MLT_SYNC_APPLIED);
    assert_int_equal(f.requests, 2);
}

static void test_a_shallow_snapshot_ahead_takes_nothing_from_a_deep_book(void **state)
{
    (void)state;
    struct mlt_sync_options options = plain;
    options.refresh_interval_ns = 10 * MLT_NS_PER_S;
    mlt_sync_destroy(f.sync);
    fixture_open(&f, &options);
    mlt_sync_start(f.sync);
    assert_int_equal(snapshot_of(100, 100, 10), MLT_SYNC_APPLIED);
    assert_int_equal(snapshot_of(105, 100, 5), MLT_SYNC_UNUSED);
    assert_book(100);
    assert_int_equal(counts().shallow, 1);
    /* Nor is it the answer to what was asked for. */
    f.now_ns += 10 * MLT_NS_PER_S;
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, 2);
    assert_int_equal(snapshot_of(106, 100, 5), MLT_SYNC_UNUSED);
    f.now_ns += MLT_NS_PER_S;
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, 2);
    assert_int_equal(snapshot_of(107, 107, 10), MLT_SYNC_APPLIED);
    assert_book(107);
    /* One that is not ahead says nothing against what is known beyond it. */
    assert_int_equal(snapshot_of(107, 107, 5), MLT_SYNC_APPLIED);
    assert_int_equal(counts().audits_right, 1);
    /* A deeper one than is ever asked for does not make the asked one shallow. */
    assert_int_equal(snapshot_of(108, 108, 50), MLT_SYNC_APPLIED);
    assert_int_equal(snapshot_of(109, 109, 10), MLT_SYNC_APPLIED);
    assert_book(109);
}

static void test_a_snapshot_ahead_of_the_stream_moves_a_live_book_on(void **state)
{
    (void)state;
    live();
    assert_int_equal(snapshot(110), MLT_SYNC_APPLIED);
    assert_book(110);
    assert_int_equal(delta(101, 110), MLT_SYNC_DUPLICATE);
    assert_int_equal(delta(105, 111), MLT_SYNC_APPLIED);
    assert_book(111);
    /* One from before, that nobody asked for, is of no use and changes nothing. */
    assert_int_equal(snapshot(105), MLT_SYNC_UNUSED);
    assert_book(111);
}

static void test_a_snapshot_that_contradicts_the_book_is_a_gap(void **state)
{
    (void)state;
    live();
    assert_int_equal(snapshot_of(100, 77, 10), MLT_SYNC_UNUSED);
    assert_change(last_change(&f), MLT_SYNC_LIVE, MLT_SYNC_GAP, MLT_SYNC_AUDIT, 100, 100);
    assert_int_equal(counts().audits_wrong, 1);
    assert_int_equal(counts().doubted, 1); /* and goes nowhere */
    /* Neither of the two is believed: the next one is. */
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_SYNCING);
    assert_int_equal(snapshot_of(101, 101, 10), MLT_SYNC_APPLIED);
    assert_book(101);
}

static void test_a_refresh_is_asked_for_in_its_interval(void **state)
{
    (void)state;
    struct mlt_sync_options options = plain;
    options.refresh_interval_ns = 30 * MLT_NS_PER_S;
    mlt_sync_destroy(f.sync);
    fixture_open(&f, &options);
    live();
    assert_int_equal(mlt_sync_due_ns(f.sync), f.now_ns + options.refresh_interval_ns);
    f.now_ns += options.refresh_interval_ns;
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, 2);
    assert_int_equal(f.need, MLT_SYNC_NEED_AUDIT);
}

static void test_a_full_buffer_loses_its_oldest_and_wants_a_newer_snapshot(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    for (int64_t id = 1; id <= 10000; id++) {
        assert_int_equal(delta(id, id), MLT_SYNC_BUFFERED);
    }
    assert_true(counts().overflows > 0);
    assert_int_equal(snapshot(10), MLT_SYNC_UNUSED);
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(snapshot(9000), MLT_SYNC_APPLIED);
    assert_book(10000);
}

static void test_deltas_keep_a_book_from_being_silent(void **state)
{
    (void)state;
    live();
    for (int64_t id = 101; id <= 110; id++) {
        f.now_ns += plain.stale_after_ns - 1;
        mlt_sync_tick(f.sync);
        assert_int_equal(delta(id, id), MLT_SYNC_APPLIED);
    }
    assert_int_equal(counts().stales, 0);
    assert_int_equal(mlt_sync_due_ns(f.sync), f.now_ns + plain.stale_after_ns);
}

static void test_a_buffered_delta_that_crosses_the_snapshot_makes_no_book_live(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    ask_price = 100;
    assert_int_equal(delta(101, 101), MLT_SYNC_BUFFERED);
    ask_price = 200;
    assert_int_equal(snapshot(100), MLT_SYNC_UNUSED);
    assert_change(last_change(&f), MLT_SYNC_SYNCING, MLT_SYNC_GAP, MLT_SYNC_CROSSED, 100, 101);
    assert_int_equal(f.requests, 1); /* not at once: it may be no better */
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, 2);
    assert_int_equal(snapshot(100), MLT_SYNC_UNUSED); /* lacks 101 */
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(snapshot(101), MLT_SYNC_APPLIED);
    assert_book(101);
}

static void test_waits_begin_anew_when_a_snapshot_joined(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    for (int i = 0; i < 6; i++) {
        mlt_sync_request_failed(f.sync);
        f.now_ns = mlt_sync_due_ns(f.sync);
        mlt_sync_tick(f.sync);
    }
    mlt_sync_request_failed(f.sync);
    assert_true(mlt_sync_due_ns(f.sync) - f.now_ns > plain.backoff_base_ns);
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(snapshot(100), MLT_SYNC_APPLIED);
    mlt_sync_lost(f.sync);
    mlt_sync_request_failed(f.sync);
    assert_true(mlt_sync_due_ns(f.sync) - f.now_ns <= plain.backoff_base_ns);
}

/* The exchange refuses snapshots for minutes: what is held meanwhile is what a later one needs. */
static void test_while_nothing_is_asked_for_little_is_buffered(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    for (int64_t id = 1; id <= 1000; id++) {
        (void)delta(id, id);
    }
    assert_int_equal(counts().overflows, 0); /* its answer may be of any of them */
    mlt_sync_request_failed(f.sync);
    for (int64_t id = 1001; id <= 3000; id++) {
        assert_int_equal(delta(id, id), MLT_SYNC_BUFFERED);
        assert_in_range(counts().overflows, id - 512, id - 256);
    }
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    const uint64_t overflows = counts().overflows;
    for (int64_t id = 3001; id <= 6000; id++) {
        assert_int_equal(delta(id, id), MLT_SYNC_BUFFERED);
    }
    assert_int_equal(counts().overflows, overflows);
    assert_int_equal(snapshot(2900), MLT_SYNC_APPLIED);
    assert_book(6000);
}

static void test_options_that_cannot_work_are_refused(void **state)
{
    (void)state;
    struct mlt_sync *sync = NULL;
    const struct mlt_sync_ports ports = { fixture_request, fixture_changed, &f, &f.clock };
    for (int i = 0; i < 5; i++) {
        struct mlt_sync_options options = plain;
        options.first_depth = i == 0 ? 0 : 10;
        options.depth = i == 1 ? 513 : 10;
        options.shown = i == 2 ? 0 : 1;
        options.request_timeout_ns = i == 3 ? 0 : 1;
        options.book.levels_max = i == 4 ? 1 : 512;
        options.depth = i == 4 ? 1 : options.depth;
        assert_int_equal(mlt_sync_create(&options, &ports, &sync), MLT_E_INVALID);
    }
    assert_null(sync);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_is_asked_for_before_somebody_wants_the_book),
        TEST(test_a_quiet_instrument_is_live_without_any_delta),
        TEST(test_a_snapshot_that_covers_all_that_is_buffered_is_live_at_once),
        TEST(test_the_first_delta_kept_may_begin_right_after_the_snapshot),
        TEST(test_the_snapshot_may_fall_inside_a_delta),
        TEST(test_deltas_before_the_snapshot_are_not_lost),
        TEST(test_a_snapshot_older_than_the_buffer_is_asked_for_again),
        TEST(test_overlap_is_applied_and_repeats_are_dropped),
        TEST(test_a_hole_is_a_gap_and_a_resync_with_its_range),
        TEST(test_a_hole_long_after_the_join_is_found_too),
        TEST(test_the_bridging_delta_is_checked_when_it_comes),
        TEST(test_a_hole_while_syncing_moves_the_buffer_on),
        TEST(test_one_request_is_in_flight_at_most_and_is_given_up_in_time),
        TEST(test_a_failed_request_is_repeated_after_a_wait),
        TEST(test_silence_makes_it_stale_and_the_next_delta_live),
        TEST(test_silence_ends_with_a_snapshot_that_says_the_same),
        TEST(test_a_line_that_ended_is_stale_until_a_snapshot_after_it_is_back),
        TEST(test_a_request_is_made_again_where_another_adapter_began),
        TEST(test_a_request_is_made_again_when_the_source_is_up),
        TEST(test_an_answer_of_before_the_adapter_began_needs_a_delta),
        TEST(test_a_delta_says_that_the_line_is_back),
        TEST(test_a_loss_on_the_way_is_a_gap),
        TEST(test_a_snapshot_asked_for_before_the_line_ended_makes_no_quiet_book_live),
        TEST(test_nor_does_one_from_before_a_loss),
        TEST(test_a_delta_that_joins_it_proves_an_older_snapshot),
        TEST(test_a_book_that_crosses_is_never_live),
        TEST(test_what_cannot_be_applied_breaks_the_book_off),
        TEST(test_a_live_book_deepens_without_leaving_live),
        TEST(test_a_shallow_snapshot_ahead_takes_nothing_from_a_deep_book),
        TEST(test_a_snapshot_ahead_of_the_stream_moves_a_live_book_on),
        TEST(test_a_snapshot_that_contradicts_the_book_is_a_gap),
        TEST(test_a_refresh_is_asked_for_in_its_interval),
        TEST(test_a_full_buffer_loses_its_oldest_and_wants_a_newer_snapshot),
        TEST(test_deltas_keep_a_book_from_being_silent),
        TEST(test_a_buffered_delta_that_crosses_the_snapshot_makes_no_book_live),
        TEST(test_waits_begin_anew_when_a_snapshot_joined),
        TEST(test_while_nothing_is_asked_for_little_is_buffered),
        TEST(test_options_that_cannot_work_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
