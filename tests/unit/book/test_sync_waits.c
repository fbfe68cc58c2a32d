/* Answers that are ahead of all deltas: what they wait for, how long, and what ends it. */
#include "sync_waiting.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAITING(test_an_answer_ahead_of_the_deltas_waits_until_they_speak_for_it),
        WAITING(test_a_quiet_instruments_answer_is_taken_after_the_wait),
        WAITING(test_who_did_not_come_to_look_concludes_nothing),
        WAITING(test_answers_in_a_row_wait_hardly_longer_than_the_first),
        WAITING(test_prices_that_are_believed_do_not_wait_for_deltas),
        WAITING(test_an_answer_that_the_deltas_do_not_come_to_is_doubted),
        WAITING(test_what_waits_goes_with_the_deltas_that_it_waits_for),
        WAITING(test_a_live_book_goes_on_while_an_answer_waits),
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
        WAITING(test_an_older_answer_does_not_take_the_place_of_one_that_waits),
        WAITING(test_a_source_that_began_leaves_it_to_deltas_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
