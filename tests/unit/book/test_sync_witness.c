/* What deltas say of a snapshot that has the ids and the prices of their instrument: by its
 * quantities, and once they have come to its id. */
#include "sync_levels.h"

#include "meltica/base/hash.h"

#define WAIT_NS MLT_NS_PER_S
#define GRACE_NS (500 * MLT_NS_PER_MS)

static int set_up_waiting(void **state)
{
    (void)state;
    struct mlt_sync_options options = plain;
    options.ahead_wait_ns = WAIT_NS;
    fixture_open(&f, &options);
    return 0;
}

static enum mlt_sync_outcome give(int64_t id, int64_t quantity,
                                  enum mlt_status (*to)(struct mlt_sync *,
                                                        const struct mlt_book_snapshot *,
                                                        enum mlt_sync_outcome *))
{
    const struct mlt_book_snapshot s = {
        id, { -2, -5, 1, &bid_price, &quantity }, { -2, -5, 1, &ask_price, &quantity }, 10, false
    };
    enum mlt_sync_outcome outcome;
    assert_int_equal(to(f.sync, &s, &outcome), MLT_OK);
    return outcome;
}

static enum mlt_sync_outcome answer_of(int64_t id, int64_t quantity)
{
    return give(id, quantity, mlt_sync_answer);
}

static enum mlt_sync_outcome waited(int64_t id, int64_t quantity)
{
    assert_int_equal(mlt_sync_waiting(f.sync), MLT_SYNC_RIPE);
    return give(id, quantity, mlt_sync_waited);
}

static void assert_never_live(void)
{
    for (size_t i = 0; i < f.change_count; i++) {
        assert_int_not_equal(f.changes[i].to, MLT_SYNC_LIVE);
    }
}

static void ask_again(void)
{
    const uint64_t requests = f.requests;
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, requests + 1);
}

static void test_other_quantities_than_the_deltas_set_are_another_instruments(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(delta(11, 12), MLT_SYNC_BUFFERED);
    assert_int_equal(delta(13, 14), MLT_SYNC_BUFFERED);
    assert_int_equal(answer_of(12, 7), MLT_SYNC_UNUSED); /* 12 by the first one */
    assert_int_equal(counts().doubted, 1);
    ask_again();
    assert_int_equal(answer_of(14, 12), MLT_SYNC_UNUSED); /* that was before the second one */
    assert_int_equal(counts().doubted, 2);
    assert_never_live();
    ask_again();
    assert_int_equal(answer_of(14, 14), MLT_SYNC_APPLIED);
    assert_book(14);
}

/* What a delta set that goes on beyond the id may have been set then. */
static void test_a_delta_across_the_id_is_no_witness(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(delta(11, 12), MLT_SYNC_BUFFERED);
    assert_int_equal(delta(13, 16), MLT_SYNC_BUFFERED);
    assert_int_equal(answer_of(14, 13), MLT_SYNC_APPLIED);
    assert_book(16);
    assert_int_equal(counts().doubted, 0);
}

static enum mlt_sync_outcome set_bid(int64_t id, int64_t price, int64_t quantity)
{
    const struct mlt_book_delta d = { .bids = { -2, -5, 1, &price, &quantity },
                                      .asks = { -2, -5, 0, NULL, NULL } };
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_delta(f.sync, id, id, &d, &outcome), MLT_OK);
    return outcome;
}

/* Of a price that it need not show it says nothing; what it says is not there may not be. */
static void test_only_what_a_snapshot_shows_is_compared(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(set_bid(11, 90, 5), MLT_SYNC_BUFFERED);
    const int64_t quantity = 3;
    struct mlt_book_snapshot s = {
        11, { -2, -5, 1, &bid_price, &quantity }, { -2, -5, 1, &ask_price, &quantity }, 10, false
    };
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_answer(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_UNUSED); /* ten were asked for: there is no bid of 90 */
    assert_int_equal(counts().doubted, 1);
    ask_again();
    s.requested_depth = 1;
    assert_int_equal(mlt_sync_answer(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_UNUSED); /* none of the prices that are known */
    ask_again();
    assert_int_equal(set_bid(12, 100, 3), MLT_SYNC_BUFFERED);
    s.last_update_id = 12;
    assert_int_equal(mlt_sync_answer(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_APPLIED);
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_LIVE);
}

static void go_on(int64_t ns)
{
    f.now_ns += ns;
    mlt_sync_tick(f.sync);
}

static void test_an_answer_ahead_of_the_deltas_waits_until_they_speak_for_it(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(answer_of(14, 14), MLT_SYNC_WAITS); /* before any */
    assert_int_equal(mlt_sync_due_ns(f.sync), f.now_ns + WAIT_NS);
    assert_int_equal(delta(11, 12), MLT_SYNC_BUFFERED);
    go_on(WAIT_NS);
    assert_int_equal(mlt_sync_due_ns(f.sync), f.now_ns + GRACE_NS); /* nobody may have looked */
    go_on(GRACE_NS - 1);
    assert_int_equal(delta(13, 13), MLT_SYNC_BUFFERED); /* the time without one begins anew */
    go_on(WAIT_NS);
    go_on(GRACE_NS - 1);
    assert_int_equal(mlt_sync_waiting(f.sync), MLT_SYNC_IT_WAITS);
    assert_int_equal(f.requests, 1);
    assert_never_live();
    assert_int_equal(delta(14, 15), MLT_SYNC_BUFFERED);
    assert_int_equal(waited(14, 14), MLT_SYNC_APPLIED);
    assert_book(15);
    assert_int_equal(mlt_sync_waiting(f.sync), MLT_SYNC_NOTHING_WAITS);
    assert_int_equal(delta(16, 16), MLT_SYNC_APPLIED);
    assert_book(16);
}

static void test_an_answer_ahead_that_the_deltas_speak_against_is_never_live(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(delta(11, 12), MLT_SYNC_BUFFERED);
    assert_int_equal(answer_of(14, 7), MLT_SYNC_WAITS);
    assert_int_equal(delta(13, 14), MLT_SYNC_BUFFERED);
    assert_int_equal(waited(14, 7), MLT_SYNC_UNUSED);
    assert_int_equal(counts().doubted, 1);
    ask_again();
    assert_never_live();
    assert_int_equal(answer_of(13, 12), MLT_SYNC_APPLIED);
    assert_book(14);
}

/* Until it is ripe. */
static void wait_out(void)
{
    while (mlt_sync_waiting(f.sync) == MLT_SYNC_IT_WAITS) {
        const int64_t due = mlt_sync_due_ns(f.sync);
        assert_true(due >= f.now_ns && due < INT64_MAX);
        f.now_ns = due;
        mlt_sync_tick(f.sync);
    }
}

static void test_a_quiet_instruments_answer_is_taken_after_the_wait(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    const int64_t since_ns = f.now_ns;
    assert_int_equal(answer_of(14, 14), MLT_SYNC_WAITS);
    wait_out();
    assert_int_equal(f.now_ns, since_ns + WAIT_NS + GRACE_NS);
    assert_int_equal(waited(14, 14), MLT_SYNC_APPLIED);
    assert_book(14);
    assert_int_equal(f.requests, 1);
    /* One at the same id: the book itself is the witness. */
    assert_int_equal(answer_of(14, 14), MLT_SYNC_APPLIED);
    assert_int_equal(counts().audits_right, 1);
}

/* Who was not there for that long, and has the deltas before it all the same. */
static void test_who_did_not_come_to_look_concludes_nothing(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(answer_of(14, 7), MLT_SYNC_WAITS);
    go_on(60 * MLT_NS_PER_S);
    assert_int_equal(mlt_sync_waiting(f.sync), MLT_SYNC_IT_WAITS);
    assert_int_equal(delta(11, 12), MLT_SYNC_BUFFERED);
    assert_int_equal(mlt_sync_waiting(f.sync), MLT_SYNC_IT_WAITS);
    assert_int_equal(delta(13, 14), MLT_SYNC_BUFFERED);
    assert_int_equal(waited(14, 7), MLT_SYNC_UNUSED);
    assert_never_live();
}

/* Of one that asks more often than an answer waits. */
static void test_answers_in_a_row_wait_hardly_longer_than_the_first(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    const int64_t since_ns = f.now_ns;
    assert_int_equal(answer_of(14, 14), MLT_SYNC_WAITS);
    while (mlt_sync_waiting(f.sync) == MLT_SYNC_IT_WAITS) {
        assert_true(f.now_ns - since_ns < 3 * MLT_NS_PER_S);
        go_on(700 * MLT_NS_PER_MS);
        if (mlt_sync_waiting(f.sync) == MLT_SYNC_IT_WAITS) {
            assert_int_equal(answer_of(14, 14), MLT_SYNC_WAITS);
        }
    }
    assert_int_equal(waited(14, 14), MLT_SYNC_APPLIED);
    assert_book(14);
}

/* Other prices than are known, and no delta: once they are believed they have waited enough. */
static void test_prices_that_are_believed_do_not_wait_for_deltas(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(delta(11, 12), MLT_SYNC_BUFFERED);
    assert_int_equal(answer_of(12, 12), MLT_SYNC_APPLIED);
    mlt_sync_source(f.sync, false);
    mlt_sync_source(f.sync, true);
    const int64_t since_ns = f.now_ns, low = 7000, high = 7100, quantity = 3;
    const struct mlt_book_snapshot s = {
        500, { -2, -5, 1, &low, &quantity }, { -2, -5, 1, &high, &quantity }, 1, false
    };
    enum mlt_sync_outcome outcome = MLT_SYNC_UNUSED;
    while (outcome != MLT_SYNC_APPLIED) {
        assert_int_equal(mlt_sync_answer(f.sync, &s, &outcome), MLT_OK);
        assert_int_not_equal(outcome, MLT_SYNC_WAITS);
        assert_true(f.now_ns - since_ns < 20 * MLT_NS_PER_S);
        if (outcome == MLT_SYNC_UNUSED) {
            f.now_ns = mlt_sync_due_ns(f.sync) > f.now_ns ? mlt_sync_due_ns(f.sync) : f.now_ns;
            mlt_sync_tick(f.sync);
        }
    }
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_LIVE);
    assert_true(f.now_ns - since_ns >= 5 * MLT_NS_PER_S);
}

static void test_an_answer_that_the_deltas_do_not_come_to_is_doubted(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(answer_of(90000, 7), MLT_SYNC_WAITS);
    int64_t id = 11;
    for (; mlt_sync_waiting(f.sync) == MLT_SYNC_IT_WAITS; id++) {
        assert_true(id < 60);
        f.now_ns += 100 * MLT_NS_PER_MS;
        mlt_sync_tick(f.sync);
        assert_int_equal(delta(id, id), MLT_SYNC_BUFFERED);
    }
    assert_int_equal(id, 11 + 35);
    assert_int_equal(waited(90000, 7), MLT_SYNC_UNUSED);
    assert_int_equal(counts().doubted, 1);
    ask_again();
    assert_never_live();
    assert_int_equal(answer_of(id - 1, id - 1), MLT_SYNC_APPLIED);
    assert_book(id - 1);
}

static void end_line(void)
{
    mlt_sync_source(f.sync, false);
    mlt_sync_source(f.sync, true);
}

static void lose(void)
{
    mlt_sync_lost(f.sync);
}

static void leave_out(void)
{
    assert_int_equal(delta(20, 21), MLT_SYNC_BUFFERED);
}

/* It may lack what was missed, or the deltas that would tell are missing themselves. */
static void test_what_waits_goes_with_the_deltas_that_it_waits_for(void **state)
{
    (void)state;
    void (*const ends[])(void) = { end_line, lose, leave_out, NULL };
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        mlt_sync_destroy(f.sync);
        (void)set_up_waiting(NULL);
        mlt_sync_start(f.sync);
        assert_int_equal(delta(11, 12), MLT_SYNC_BUFFERED);
        assert_int_equal(answer_of(14, 14), MLT_SYNC_WAITS);
        if (ends[i] == NULL) {
            mlt_sync_stop(f.sync);
            assert_int_equal(mlt_sync_due_ns(f.sync), INT64_MAX);
        } else {
            ends[i]();
            assert_int_equal(f.requests, 2);
            assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_SYNCING);
        }
        assert_int_equal(mlt_sync_waiting(f.sync), MLT_SYNC_NOTHING_WAITS);
        enum mlt_sync_outcome outcome;
        const struct mlt_book_snapshot s = { .last_update_id = 14 };
        assert_int_equal(mlt_sync_waited(f.sync, &s, &outcome), MLT_E_INVALID);
        assert_int_equal(outcome, MLT_SYNC_UNUSED);
        assert_never_live();
    }
}

/* Its deltas go on, so that it is never of an id that they have not come to. */
static void test_a_live_book_goes_on_while_an_answer_waits(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(delta(11, 12), MLT_SYNC_BUFFERED);
    assert_int_equal(answer_of(12, 12), MLT_SYNC_APPLIED);
    assert_int_equal(answer_of(14, 14), MLT_SYNC_WAITS); /* not asked for */
    assert_book(12);
    assert_int_equal(delta(13, 13), MLT_SYNC_APPLIED);
    assert_book(13);
    assert_int_equal(delta(14, 15), MLT_SYNC_APPLIED);
    assert_int_equal(waited(14, 13), MLT_SYNC_APPLIED); /* 14 and 15 are the same delta's */
    assert_book(15);
    assert_int_equal(counts().audits_right, 1);
    /* Another one's, whose id it comes to. */
    assert_int_equal(answer_of(17, 7), MLT_SYNC_WAITS);
    assert_int_equal(delta(16, 17), MLT_SYNC_APPLIED);
    assert_int_equal(waited(17, 7), MLT_SYNC_UNUSED);
    assert_book(17);
    assert_int_equal(counts().gaps, 0);
    assert_int_equal(f.requests, 1);
}

/* LIVE at 12 with as much as is ever asked for. */
static void live_at_12(void)
{
    mlt_sync_start(f.sync);
    assert_int_equal(delta(11, 12), MLT_SYNC_BUFFERED);
    assert_int_equal(answer_of(12, 12), MLT_SYNC_APPLIED);
}

/* A LIVE book has missed nothing: what changed since would have come. That its stream is dead is
 * noticed as early as ever. */
static void test_a_live_book_is_not_moved_by_what_no_delta_comes_to(void **state)
{
    (void)state;
    live_at_12();
    const int64_t since_ns = f.now_ns;
    assert_int_equal(answer_of(20, 20), MLT_SYNC_WAITS);
    wait_out();
    assert_int_equal(waited(20, 20), MLT_SYNC_UNUSED);
    assert_int_equal(counts().doubted, 1);
    assert_book(12);
    while (mlt_sync_state(f.sync) == MLT_SYNC_LIVE) {
        f.now_ns = mlt_sync_due_ns(f.sync);
        mlt_sync_tick(f.sync);
        assert_in_range(f.now_ns - since_ns, 0, 3500 * MLT_NS_PER_MS);
    }
    assert_change(last_change(&f), MLT_SYNC_LIVE, MLT_SYNC_STALE, MLT_SYNC_SILENT, 13, 20);
}

/* A poll of few levels, which takes nothing away and renews nothing. */
static struct mlt_book_snapshot shallow(int64_t id, const int64_t *quantity)
{
    return (struct mlt_book_snapshot){
        id, { -2, -5, 1, &bid_price, quantity }, { -2, -5, 1, &ask_price, quantity }, 5, false
    };
}

static void test_a_shallow_answer_ahead_is_not_used(void **state)
{
    (void)state;
    live_at_12();
    const int64_t quantity = 13;
    const struct mlt_book_snapshot s = shallow(14, &quantity);
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_answer(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_UNUSED);
    assert_int_equal(counts().shallow, 1);
    assert_int_equal(mlt_sync_waiting(f.sync), MLT_SYNC_NOTHING_WAITS);
    assert_book(12);
}

/* What was held for one that came to nothing is no part of what is held for the next. */
static void test_deltas_of_an_answer_that_came_to_nothing_are_forgotten(void **state)
{
    (void)state;
    live_at_12();
    assert_int_equal(answer_of(14, 7), MLT_SYNC_WAITS); /* nobody asked for it */
    assert_int_equal(set_bid(13, 90, 5), MLT_SYNC_APPLIED);
    assert_int_equal(delta(14, 14), MLT_SYNC_APPLIED);
    assert_int_equal(waited(14, 7), MLT_SYNC_UNUSED);
    assert_int_equal(set_bid(15, 90, 6), MLT_SYNC_APPLIED);
    assert_int_equal(delta(16, 16), MLT_SYNC_APPLIED);
    /* Right at 17: it has 6 at 90, which 15 set, and nobody holds 15. */
    const int64_t bids[] = { 100, 90 }, bid_quantities[] = { 17, 6 }, quantity = 17;
    const struct mlt_book_snapshot s = {
        17, { -2, -5, 2, bids, bid_quantities }, { -2, -5, 1, &ask_price, &quantity }, 10, false
    };
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_answer(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_WAITS);
    assert_int_equal(delta(17, 17), MLT_SYNC_APPLIED);
    assert_int_equal(mlt_sync_waited(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_APPLIED);
    assert_int_equal(counts().doubted, 1);
    assert_int_equal(counts().audits_right, 1);
    assert_book(17);
}

/* The book went on by its deltas while the answer to its request waited: nothing is in flight after
 * it. */
static void test_after_a_wait_requests_go_on(void **state)
{
    (void)state;
    live_at_12();
    f.now_ns += plain.stale_after_ns;
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, 2);
    const int64_t quantity = 12;
    const struct mlt_book_snapshot s = shallow(20, &quantity);
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_answer(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_WAITS);
    assert_int_equal(delta(13, 13), MLT_SYNC_APPLIED); /* LIVE again by it */
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_LIVE);
    wait_out();
    assert_int_equal(mlt_sync_waited(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_UNUSED);
    assert_book(13);
    mlt_sync_lost(f.sync);
    assert_int_equal(f.requests, 3);
    assert_int_equal(mlt_sync_due_ns(f.sync), f.now_ns + plain.request_timeout_ns);
}

/* What an owner before left, and the exchange has not moved: nothing need be waited for. */
static void test_a_restored_book_at_its_own_id_does_not_wait(void **state)
{
    (void)state;
    const int64_t id = 50;
    const struct mlt_sync_left left = {
        id, { -2, -5, 1, &bid_price, &id }, { -2, -5, 1, &ask_price, &id }, true, true, 0
    };
    assert_int_equal(mlt_sync_restore(f.sync, &left), MLT_OK);
    mlt_sync_await(f.sync, id, MLT_NS_PER_S);
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, 1);
    assert_int_equal(answer_of(id, id), MLT_SYNC_APPLIED);
    assert_book(id);
}

/* What comes meanwhile and is of no use is no reason to forget the one that is. */
static void test_what_is_of_no_use_does_not_end_the_wait(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(delta(11, 12), MLT_SYNC_BUFFERED);
    assert_int_equal(answer_of(14, 14), MLT_SYNC_WAITS);
    assert_int_equal(answer_of(5, 5), MLT_SYNC_UNUSED);  /* too old */
    assert_int_equal(answer_of(12, 7), MLT_SYNC_UNUSED); /* another instrument's */
    const int64_t quantity = 15;
    const struct mlt_book_snapshot s = shallow(15, &quantity);
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_answer(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_UNUSED);
    mlt_sync_request_failed(f.sync); /* what said so was wrong: it came */
    assert_int_equal(mlt_sync_waiting(f.sync), MLT_SYNC_IT_WAITS);
    assert_int_equal(f.requests, 1);
    assert_int_equal(delta(13, 14), MLT_SYNC_BUFFERED);
    assert_int_equal(waited(14, 14), MLT_SYNC_APPLIED);
    assert_book(14);
}

static void test_one_that_can_be_used_at_once_ends_the_wait(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(delta(11, 12), MLT_SYNC_BUFFERED);
    assert_int_equal(answer_of(14, 14), MLT_SYNC_WAITS);
    assert_int_equal(answer_of(12, 12), MLT_SYNC_APPLIED);
    assert_book(12);
    assert_int_equal(mlt_sync_waiting(f.sync), MLT_SYNC_NOTHING_WAITS);
    assert_int_equal(delta(13, 13), MLT_SYNC_APPLIED);
}

/* Another Adapter has begun: what was asked of the one before may never come. This one did. */
static void test_a_source_that_began_ends_no_wait_for_deltas_that_flow(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(delta(11, 12), MLT_SYNC_BUFFERED);
    assert_int_equal(answer_of(14, 14), MLT_SYNC_WAITS);
    mlt_sync_source_began(f.sync);
    assert_int_equal(mlt_sync_waiting(f.sync), MLT_SYNC_IT_WAITS);
    assert_int_equal(f.requests, 1);
    mlt_sync_stop(f.sync);
    mlt_sync_start(f.sync);
    assert_int_equal(answer_of(14, 14), MLT_SYNC_WAITS);
    mlt_sync_source_began(f.sync); /* nobody listened when that was made */
    assert_int_equal(mlt_sync_waiting(f.sync), MLT_SYNC_NOTHING_WAITS);
    assert_int_equal(f.requests, 3);
}

static void test_a_live_book_takes_what_says_the_same(void **state)
{
    (void)state;
    live_at_12();
    assert_int_equal(answer_of(20, 12), MLT_SYNC_WAITS); /* changes that it does not show */
    wait_out();
    assert_int_equal(waited(20, 12), MLT_SYNC_APPLIED);
    assert_int_equal(mlt_orderbook_last(mlt_sync_book(f.sync)), 20);
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_LIVE);
    assert_int_equal(counts().doubted, 0);
}

/* It is LIVE by the word of a snapshot alone, which may have been wrong: it has no better one. */
static void test_a_book_that_no_delta_has_come_to_takes_the_next_answer(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(answer_of(20, 7), MLT_SYNC_WAITS);
    wait_out();
    assert_int_equal(waited(20, 7), MLT_SYNC_APPLIED);
    assert_int_equal(answer_of(23, 23), MLT_SYNC_WAITS);
    wait_out();
    assert_int_equal(waited(23, 23), MLT_SYNC_APPLIED);
    assert_book(23);
}

/* Deltas that are here, and held up for room, are no deltas that do not come. */
static void test_who_is_held_up_is_not_quiet(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(answer_of(14, 14), MLT_SYNC_WAITS);
    for (unsigned i = 0; i < 100; i++) {
        f.now_ns = mlt_sync_due_ns(f.sync);
        mlt_sync_wait_on(f.sync);
        mlt_sync_tick(f.sync);
        assert_int_equal(mlt_sync_waiting(f.sync), MLT_SYNC_IT_WAITS);
        assert_true(mlt_sync_due_ns(f.sync) > f.now_ns);
    }
    wait_out();
    assert_int_equal(waited(14, 14), MLT_SYNC_APPLIED);
}

static enum mlt_sync_outcome set_bids(int64_t first, int64_t last, const int64_t *prices,
                                      const int64_t *quantities, size_t count)
{
    const struct mlt_book_delta d = { .bids = { -2, -5, count, prices, quantities },
                                      .asks = { -2, -5, 0, NULL, NULL } };
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_delta(f.sync, first, last, &d, &outcome), MLT_OK);
    return outcome;
}

/* In the middle of a delta a level may be what it is neither before nor after it, without a word,
 * and it is what it was before. At the end of one it may not. */
static void test_one_level_in_the_middle_of_a_delta_is_no_proof(void **state)
{
    (void)state;
    static const int64_t prices[] = { 100, 99, 98, 97, 96, 95 }, set[] = { 5, 6, 7, 8, 9, 10 },
                         said[] = { 5, 6, 7, 8, 9, 3 }, others[] = { 5, 6, 7, 8, 2, 3 },
                         quantity = 1;
    mlt_sync_start(f.sync);
    assert_int_equal(set_bids(11, 12, prices, set, 6), MLT_SYNC_BUFFERED);
    struct mlt_book_snapshot s = {
        12, { -2, -5, 6, prices, said }, { -2, -5, 1, &ask_price, &quantity }, 10, false
    };
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_answer(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_UNUSED); /* at its end */
    ask_again();
    assert_int_equal(set_bids(13, 16, prices, set, 1), MLT_SYNC_BUFFERED);
    s.last_update_id = 14;
    s.bids.quantities = others;
    assert_int_equal(mlt_sync_answer(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_UNUSED); /* two of the five that the second leaves alone */
    assert_int_equal(counts().doubted, 2);
    ask_again();
    s.bids.quantities = said;
    assert_int_equal(mlt_sync_answer(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_APPLIED);
    int64_t price, at;
    assert_true(mlt_orderbook_level(mlt_sync_book(f.sync), MLT_ORDERBOOK_BIDS, 5, &price, &at));
    assert_int_equal(price, 95);
    assert_int_equal(at, 10); /* as before, since the second delta does not name it */
    assert_int_equal(counts().replayed, 1);
}

/* What was on its way when something was lost, and comes behind the answer to the next request. */
static void test_an_older_answer_does_not_take_the_place_of_one_that_waits(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(answer_of(14, 14), MLT_SYNC_WAITS);
    assert_int_equal(answer_of(13, 13), MLT_SYNC_UNUSED);
    assert_int_equal(answer_of(15, 15), MLT_SYNC_WAITS);
    wait_out();
    assert_int_equal(waited(15, 15), MLT_SYNC_APPLIED);
    assert_book(15);
}

/* Deltas of the source before flowed; whether the new one has missed something no silence tells. */
static void test_a_source_that_began_leaves_it_to_deltas_alone(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(delta(11, 12), MLT_SYNC_BUFFERED);
    assert_int_equal(answer_of(14, 14), MLT_SYNC_WAITS);
    mlt_sync_source_began(f.sync);
    wait_out();
    assert_int_equal(waited(14, 14), MLT_SYNC_UNUSED);
    assert_never_live();
    ask_again();
    assert_int_equal(answer_of(14, 14), MLT_SYNC_WAITS);
    wait_out();
    assert_int_equal(waited(14, 14), MLT_SYNC_APPLIED);
    assert_book(14);
}

/* ---- two instruments with the same ids and prices ---- */

#define PRICES 40u
#define IDS 4000

/* Quantity of a price of instrument `who` after id: that of its last change, which each id makes to
 * two of them a side. */
static int64_t quantity_after(uint64_t who, int64_t id, unsigned side, unsigned price)
{
    for (; id > 0; id--) {
        for (unsigned n = 0; n < 2; n++) {
            const uint64_t h = mlt_mix64(who * 1000003u + (uint64_t)id * 31u + side * 7u + n);
            if (h % PRICES == price) {
                return (int64_t)(h >> 40) + 1;
            }
        }
    }
    return (int64_t)(who + 1);
}

static int64_t price_of(unsigned side, unsigned n)
{
    return side == 0 ? 100 - (int64_t)n : 101 + (int64_t)n;
}

static void fill(uint64_t who, int64_t id, int64_t prices[2][PRICES], int64_t quantities[2][PRICES])
{
    for (unsigned side = 0; side < 2; side++) {
        for (unsigned n = 0; n < PRICES; n++) {
            prices[side][n] = price_of(side, n);
            quantities[side][n] = quantity_after(who, id, side, n);
        }
    }
}

static enum mlt_sync_outcome changes_of(int64_t first, int64_t last)
{
    int64_t prices[2][PRICES], quantities[2][PRICES];
    size_t count[2] = { 0, 0 };
    for (unsigned side = 0; side < 2; side++) {
        for (unsigned n = 0; n < PRICES; n++) {
            bool changed = false;
            for (int64_t id = first; id <= last; id++) {
                for (unsigned k = 0; k < 2; k++) {
                    changed =
                        changed || mlt_mix64((uint64_t)id * 31u + side * 7u + k) % PRICES == n;
                }
            }
            if (changed) {
                prices[side][count[side]] = price_of(side, n);
                quantities[side][count[side]++] = quantity_after(0, last, side, n);
            }
        }
    }
    const struct mlt_book_delta d = {
        .bids = { -2, -5, count[0], prices[0], quantities[0] },
        .asks = { -2, -5, count[1], prices[1], quantities[1] },
    };
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_delta(f.sync, first, last, &d, &outcome), MLT_OK);
    return outcome;
}

/* The book that is shown as right is the first instrument's at its id. */
static void assert_right(void)
{
    if (mlt_sync_state(f.sync) != MLT_SYNC_LIVE) {
        return;
    }
    const struct mlt_orderbook *book = mlt_sync_book(f.sync);
    for (unsigned side = 0; side < 2; side++) {
        for (unsigned n = 0; n < PRICES; n++) {
            int64_t price, quantity;
            assert_true(
                mlt_orderbook_level(book, (enum mlt_orderbook_side)side, n, &price, &quantity));
            assert_int_equal(price, price_of(side, n));
            assert_int_equal(quantity, quantity_after(0, mlt_orderbook_last(book), side, n));
        }
    }
}

struct exchange {
    uint64_t random;
    uint64_t answered; /* requests */
    int64_t held_id;
    uint64_t held_who, wrong, right;
};

static uint64_t draw(struct exchange *x, uint64_t below)
{
    x->random = mlt_mix64(x->random + 1);
    return x->random % below;
}

static enum mlt_sync_outcome hand(uint64_t who, int64_t id,
                                  enum mlt_status (*to)(struct mlt_sync *,
                                                        const struct mlt_book_snapshot *,
                                                        enum mlt_sync_outcome *))
{
    int64_t prices[2][PRICES], quantities[2][PRICES];
    fill(who, id, prices, quantities);
    const struct mlt_book_snapshot s = { id,
                                         { -2, -5, PRICES, prices[0], quantities[0] },
                                         { -2, -5, PRICES, prices[1], quantities[1] },
                                         PRICES,
                                         false };
    enum mlt_sync_outcome outcome;
    assert_int_equal(to(f.sync, &s, &outcome), MLT_OK);
    return outcome;
}

/* Every second answer is the other instrument's, at an id that fits: up to three ahead of the
 * deltas or at the last of them. */
static void answer_if_asked(struct exchange *x, int64_t last)
{
    if (f.requests == x->answered && draw(x, 40) > 0) { /* some that nobody asked for, too */
        return;
    }
    x->answered = f.requests;
    const uint64_t who = draw(x, 2);
    const int64_t id = last + (int64_t)draw(x, 4);
    x->wrong += who == 1;
    x->right += who == 0;
    if (hand(who, id, mlt_sync_answer) == MLT_SYNC_WAITS) {
        x->held_who = who;
        x->held_id = id;
    }
    assert_right();
}

/* So many came since the last one that was missing: where there is only one, which a snapshot is in
 * the middle of, nothing is left that speaks against it (docs/architecture.md, "Known limits"). */
#define WITNESSES 3

static void test_two_instruments_of_the_same_ids_and_prices_are_told_apart(void **state)
{
    (void)state;
    struct exchange x = { .random = 1 };
    uint64_t live = 0;
    unsigned held = 0;
    mlt_sync_start(f.sync);
    int64_t id = 1;
    while (id < IDS) {
        const int64_t first = id;
        id += 1 + (int64_t)draw(&x, 3);
        if (draw(&x, 50) == 0) {
            held = 0;
            continue; /* this one is missing */
        }
        held++;
        f.now_ns += (int64_t)draw(&x, 200) * MLT_NS_PER_MS;
        mlt_sync_tick(f.sync);
        (void)changes_of(first, id - 1);
        assert_right();
        if (mlt_sync_waiting(f.sync) == MLT_SYNC_RIPE) {
            (void)hand(x.held_who, x.held_id, mlt_sync_waited);
            assert_right();
        }
        if (held >= WITNESSES) {
            answer_if_asked(&x, id - 1);
        }
        live += mlt_sync_state(f.sync) == MLT_SYNC_LIVE;
    }
    assert_in_range(x.wrong, 30, IDS);
    assert_in_range(x.right, 30, IDS);
    assert_in_range(counts().doubted, 20, IDS);
    assert_in_range(live, 500, IDS);
}

#define WAITING(name) cmocka_unit_test_setup_teardown(name, set_up_waiting, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAITING(test_other_quantities_than_the_deltas_set_are_another_instruments),
        WAITING(test_a_delta_across_the_id_is_no_witness),
        WAITING(test_only_what_a_snapshot_shows_is_compared),
        WAITING(test_an_answer_ahead_of_the_deltas_waits_until_they_speak_for_it),
        WAITING(test_an_answer_ahead_that_the_deltas_speak_against_is_never_live),
        WAITING(test_a_quiet_instruments_answer_is_taken_after_the_wait),
        WAITING(test_an_answer_that_the_deltas_do_not_come_to_is_doubted),
        WAITING(test_what_waits_goes_with_the_deltas_that_it_waits_for),
        WAITING(test_a_live_book_goes_on_while_an_answer_waits),
        WAITING(test_who_did_not_come_to_look_concludes_nothing),
        WAITING(test_answers_in_a_row_wait_hardly_longer_than_the_first),
        WAITING(test_prices_that_are_believed_do_not_wait_for_deltas),
        WAITING(test_a_live_book_is_not_moved_by_what_no_delta_comes_to),
        WAITING(test_a_shallow_answer_ahead_is_not_used),
        WAITING(test_deltas_of_an_answer_that_came_to_nothing_are_forgotten),
        WAITING(test_after_a_wait_requests_go_on),
        WAITING(test_a_restored_book_at_its_own_id_does_not_wait),
        WAITING(test_what_is_of_no_use_does_not_end_the_wait),
        WAITING(test_one_that_can_be_used_at_once_ends_the_wait),
        WAITING(test_a_source_that_began_ends_no_wait_for_deltas_that_flow),
        WAITING(test_a_live_book_takes_what_says_the_same),
        WAITING(test_a_book_that_no_delta_has_come_to_takes_the_next_answer),
        WAITING(test_who_is_held_up_is_not_quiet),
        WAITING(test_one_level_in_the_middle_of_a_delta_is_no_proof),
        WAITING(test_an_older_answer_does_not_take_the_place_of_one_that_waits),
        WAITING(test_a_source_that_began_leaves_it_to_deltas_alone),
        WAITING(test_two_instruments_of_the_same_ids_and_prices_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
