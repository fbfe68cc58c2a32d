/* The state machine, edge by edge. Books here have one level a side: bid 100, ask 200, whose
 * quantities are the update id that set them last. */
#include "sync_fixture.h"

#include <stdlib.h>

static struct sync_fixture f;

static const struct mlt_sync_options plain = {
    .first_depth = 10,
    .depth = 10,
    .shown = 1,
    .request_timeout_ns = 5 * MLT_NS_PER_S,
    .backoff_base_ns = MLT_NS_PER_S,
    .backoff_max_ns = 8 * MLT_NS_PER_S,
    .stale_after_ns = 60 * MLT_NS_PER_S,
    .seed = 1,
    .book = { 512, -2, -5 },
};

static int64_t bid_price = 100, ask_price = 200;

static enum mlt_sync_outcome delta(int64_t first, int64_t last)
{
    const struct mlt_book_delta d = { .bids = { -2, -5, 1, &bid_price, &last },
                                      .asks = { -2, -5, 1, &ask_price, &last } };
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_delta(f.sync, first, last, &d, &outcome), MLT_OK);
    return outcome;
}

static enum mlt_sync_outcome snapshot_of(int64_t id, int64_t quantity, uint32_t depth)
{
    const struct mlt_book_snapshot s = {
        id, { -2, -5, 1, &bid_price, &quantity }, { -2, -5, 1, &ask_price, &quantity }, depth, false
    };
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_snapshot(f.sync, &s, &outcome), MLT_OK);
    return outcome;
}

static enum mlt_sync_outcome snapshot(int64_t id)
{
    return snapshot_of(id, id, 10);
}

static void assert_book(int64_t last)
{
    int64_t price, quantity;
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_LIVE);
    assert_int_equal(mlt_orderbook_last(mlt_sync_book(f.sync)), last);
    assert_true(
        mlt_orderbook_level(mlt_sync_book(f.sync), MLT_ORDERBOOK_BIDS, 0, &price, &quantity));
    assert_int_equal(quantity, last);
}

static void assert_change(const struct mlt_sync_change *c, enum mlt_sync_state from,
                          enum mlt_sync_state to, enum mlt_sync_reason reason, int64_t first,
                          int64_t last)
{
    assert_string_equal(mlt_sync_state_word(c->from), mlt_sync_state_word(from));
    assert_string_equal(mlt_sync_state_word(c->to), mlt_sync_state_word(to));
    assert_string_equal(mlt_sync_reason_word(c->reason), mlt_sync_reason_word(reason));
    assert_int_equal(c->first, first);
    assert_int_equal(c->last, last);
    assert_int_equal(c->at_ns, f.now_ns);
}

static struct mlt_sync_counts counts(void)
{
    struct mlt_sync_counts c;
    mlt_sync_counts(f.sync, &c);
    return c;
}

static int set_up(void **state)
{
    (void)state;
    fixture_open(&f, &plain);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_sync_destroy(f.sync);
    return 0;
}

/* LIVE at id 100. */
static void live(void)
{
    mlt_sync_start(f.sync);
    assert_int_equal(snapshot(100), MLT_SYNC_APPLIED);
    assert_book(100);
}

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
    assert_int_equal(snapshot_of(105, 105, 5), MLT_SYNC_UNUSED);
    assert_book(100);
    assert_int_equal(counts().shallow, 1);
    /* Nor is it the answer to what was asked for. */
    f.now_ns += 10 * MLT_NS_PER_S;
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, 2);
    assert_int_equal(snapshot_of(106, 106, 5), MLT_SYNC_UNUSED);
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
    assert_int_equal(snapshot_of(100, 77, 10), MLT_SYNC_APPLIED);
    assert_change(&f.changes[f.change_count - 2], MLT_SYNC_LIVE, MLT_SYNC_GAP, MLT_SYNC_AUDIT, 100,
                  100);
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_LIVE);
    assert_int_equal(counts().audits_wrong, 1);
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

/* ---- whose is it ---- */

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

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
        TEST(test_a_snapshot_of_other_prices_is_another_instruments),
        TEST(test_prices_that_are_said_again_later_are_believed),
        TEST(test_deltas_that_speak_against_a_snapshot_are_not_outvoted),
        TEST(test_a_snapshot_that_the_deltas_do_not_reach_is_given_up),
        TEST(test_a_quiet_instrument_gets_over_a_delta_far_away),
        TEST(test_levels_that_are_gone_speak_against_no_snapshot),
        TEST(test_requests_for_books_that_are_given_up_become_rare),
        TEST(test_an_id_that_deltas_did_not_reach_keeps_no_snapshot_out),
        TEST(test_a_restored_book_that_the_deltas_do_not_reach_is_given_up),
        TEST(test_what_was_ahead_vouches_for_nobody),
        TEST(test_deltas_that_reach_the_snapshot_in_time_follow_it),
        TEST(test_a_side_without_levels_shows_every_price),
        TEST(test_a_whole_book_is_deepened_without_haste),
        TEST(test_a_resync_does_not_wait_because_deepening_failed),
        TEST(test_nor_when_the_line_is_back),
        TEST(test_a_resync_does_not_wait_for_the_deepening_that_is_in_flight),
        TEST(test_the_answer_to_the_deepening_joins_where_a_delta_proves_it),
        TEST(test_two_requests_of_one_depth_are_told_apart_by_a_third),
        TEST(test_a_book_that_is_silent_while_it_deepens_asks_anew),
        TEST(test_a_book_that_was_left_is_resynced_and_one_that_was_stopped_begins),
        TEST(test_a_live_book_that_is_about_to_show_too_little_asks_urgently),
        TEST(test_while_nothing_is_asked_for_little_is_buffered),
        TEST(test_options_that_cannot_work_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
