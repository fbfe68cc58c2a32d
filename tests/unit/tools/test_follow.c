/* A consumer's own book: how it joins, what it follows, and what it notices. */
#include "mlt_test.h"

#include "follow.h"
#include "test_books.h"

static struct market market;

static int set_up(void **state)
{
    struct mlt_follow *follow = NULL;
    market_init(&market, 1);
    if (mlt_follow_create(&follow) != MLT_OK) {
        return -1;
    }
    *state = follow;
    return 0;
}

static int tear_down(void **state)
{
    mlt_follow_destroy(*state);
    return 0;
}

static void take(struct mlt_follow *f, struct mlt_event event)
{
    assert_int_equal(mlt_follow_event(f, &event), MLT_OK);
}

static enum mlt_follow_answer give(struct mlt_follow *f, struct mlt_book_checkpoint checkpoint)
{
    enum mlt_follow_answer answer = MLT_FOLLOW_MALFORMED;
    assert_int_equal(mlt_follow_checkpoint(f, &checkpoint, &answer), MLT_OK);
    return answer;
}

static const struct mlt_follow_counts *counts(struct mlt_follow *f)
{
    return mlt_follow_get_counts(f);
}

static void follow_deltas(struct mlt_follow *f, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        take(f, market_delta(&market));
        if (i % 7 == 0) {
            take(f, market_book(&market));
        }
    }
}

static void assert_all_right(struct mlt_follow *f)
{
    assert_string_equal(mlt_follow_wrong(f), "");
    assert_int_equal(counts(f)->digests_wrong + counts(f)->books_wrong, 0);
    assert_int_equal(counts(f)->sequence_holes + counts(f)->update_gaps, 0);
    assert_true(mlt_follow_joined(f));
    assert_int_equal(mlt_own_book_digest(mlt_follow_book(f)), market_digest(&market));
}

static void test_with_nothing_buffered_the_checkpoint_is_the_book(void **state)
{
    assert_true(mlt_follow_wants_checkpoint(*state));
    assert_int_equal(give(*state, market_checkpoint(&market, 100)), MLT_FOLLOW_JOINED);
    assert_false(mlt_follow_wants_checkpoint(*state));
    follow_deltas(*state, 500);
    assert_all_right(*state);
    assert_int_equal(counts(*state)->digests_right, 501); /* and the checkpoint's */
    assert_int_equal(counts(*state)->books_right, 72);
}

static void test_a_checkpoint_from_before_the_buffer_is_asked_for_again(void **state)
{
    const struct mlt_book_checkpoint old = market_checkpoint(&market, 100);
    struct market before = market; /* the checkpoint's levels are the first market's */
    (void)market_delta(&market);   /* missed */
    follow_deltas(*state, 3);
    struct mlt_book_checkpoint copy = old;
    copy.bids = market_side(&before, 2, 0, 100);
    copy.asks = market_side(&before, 3, 1, 100);
    assert_int_equal(give(*state, copy), MLT_FOLLOW_OLDER);
    assert_false(mlt_follow_joined(*state));
    assert_true(mlt_follow_wants_checkpoint(*state));
    struct mlt_book_checkpoint epoch = market_checkpoint(&market, 100);
    epoch.epoch--;
    assert_int_equal(give(*state, epoch), MLT_FOLLOW_OLDER);
    struct mlt_book_checkpoint gap = market_checkpoint(&market, 100);
    gap.state = MLT_BOOK_GAP;
    assert_int_equal(give(*state, gap), MLT_FOLLOW_NOT_LIVE);
    assert_int_equal(give(*state, market_checkpoint(&market, 100)), MLT_FOLLOW_JOINED);
    assert_int_equal(counts(*state)->deltas, 0); /* all covered */
    follow_deltas(*state, 20);
    assert_all_right(*state);
}

/* Nothing had come, so the checkpoint was taken; then it shows that it was from before the
 * subscription. That is no gap of the exchange's. */
static void test_a_checkpoint_from_before_the_subscription_is_given_up_again(void **state)
{
    assert_int_equal(give(*state, market_checkpoint(&market, 100)), MLT_FOLLOW_JOINED);
    (void)market_delta(&market);
    take(*state, market_delta(&market));
    assert_true(mlt_follow_wants_checkpoint(*state));
    assert_int_equal(counts(*state)->early, 1);
    assert_int_equal(counts(*state)->update_gaps, 0);
    assert_int_equal(give(*state, market_checkpoint(&market, 100)), MLT_FOLLOW_JOINED);
    follow_deltas(*state, 20);
    assert_all_right(*state);
}

static void test_what_was_buffered_after_the_checkpoint_is_applied(void **state)
{
    follow_deltas(*state, 5);
    struct market then = market;
    follow_deltas(*state, 6);
    assert_int_equal(give(*state, market_checkpoint(&then, 100)), MLT_FOLLOW_JOINED);
    assert_int_equal(counts(*state)->deltas, 6);
    follow_deltas(*state, 20);
    assert_all_right(*state);
}

/* The bucket may be ahead of the stream: what it covers is dropped when it comes. */
static void test_a_checkpoint_ahead_of_the_stream_covers_what_comes(void **state)
{
    follow_deltas(*state, 2);
    static struct market ahead;
    ahead = market;
    for (int i = 0; i < 4; i++) {
        (void)market_delta(&ahead);
    }
    assert_int_equal(give(*state, market_checkpoint(&ahead, 100)), MLT_FOLLOW_JOINED);
    follow_deltas(*state, 30);
    assert_int_equal(counts(*state)->covered, 4);
    assert_all_right(*state);
}

/* Levels beyond what the checkpoint vouches for come and go unseen: they are not in the digest. */
static void test_only_the_known_window_counts(void **state)
{
    assert_int_equal(give(*state, market_checkpoint(&market, 25)), MLT_FOLLOW_JOINED);
    follow_deltas(*state, 30);
    assert_all_right(*state);
    const struct mlt_own_side *bids = &mlt_follow_book(*state)->sides[0];
    assert_false(bids->whole);
    assert_true(bids->levels[0].rank >= bids->bound);
}

static void test_a_wrong_digest_is_noticed_once_and_the_book_is_given_up(void **state)
{
    assert_int_equal(give(*state, market_checkpoint(&market, 100)), MLT_FOLLOW_JOINED);
    struct mlt_event delta = market_delta(&market);
    delta.u.book_delta.digest ^= 1;
    take(*state, delta);
    assert_int_equal(counts(*state)->digests_wrong, 1);
    assert_non_null(strstr(mlt_follow_wrong(*state), "BOOK_DELTA at update id"));
    assert_true(mlt_follow_wants_checkpoint(*state));
    follow_deltas(*state, 5);
    assert_int_equal(counts(*state)->digests_wrong, 1);
    assert_int_equal(give(*state, market_checkpoint(&market, 100)), MLT_FOLLOW_JOINED);
}

static void test_a_level_that_the_delta_did_not_have_is_noticed(void **state)
{
    assert_int_equal(give(*state, market_checkpoint(&market, 100)), MLT_FOLLOW_JOINED);
    struct mlt_event delta = market_delta(&market);
    delta.u.book_delta.bids.count = delta.u.book_delta.asks.count = 0;
    take(*state, delta);
    assert_int_equal(counts(*state)->digests_wrong, 1);
}

static void test_a_book_with_another_level_is_noticed(void **state)
{
    assert_int_equal(give(*state, market_checkpoint(&market, 100)), MLT_FOLLOW_JOINED);
    struct mlt_event book = market_book(&market);
    int64_t quantities[20];
    memcpy(quantities, book.u.book.bids.quantities, sizeof quantities);
    quantities[3]++;
    book.u.book.bids.quantities = quantities;
    take(*state, book);
    assert_int_equal(counts(*state)->books_wrong, 1);
    assert_non_null(strstr(mlt_follow_wrong(*state), "BOOK at update id"));
}

static void test_missing_update_ids_end_the_book_until_a_reset(void **state)
{
    assert_int_equal(give(*state, market_checkpoint(&market, 100)), MLT_FOLLOW_JOINED);
    follow_deltas(*state, 3);
    (void)market_delta(&market);
    market.delta_sequence--; /* lost at the exchange, not on the lane */
    struct mlt_event after = market_delta(&market);
    after.u.book_delta.digest_version = 0;
    take(*state, after);
    take(*state, market_status(&market, MLT_STATUS_GAP, "sequence_gap"));
    assert_false(mlt_follow_joined(*state));
    assert_false(mlt_follow_wants_checkpoint(*state)); /* it would be the one of before */
    assert_int_equal(counts(*state)->update_gaps, 1);
    assert_int_equal(counts(*state)->sequence_holes, 0);
    take(*state, market_status(&market, MLT_STATUS_SYNCING, "requested"));
    take(*state, market_snapshot(&market, 100));
    take(*state, market_status(&market, MLT_STATUS_LIVE, "joined"));
    assert_true(mlt_follow_joined(*state));
    follow_deltas(*state, 20);
    assert_int_equal(counts(*state)->digests_wrong + counts(*state)->books_wrong, 0);
    assert_int_equal(counts(*state)->resets, 1);
}

/* The snapshot left the exchange before deltas that were here first. */
static void test_a_resetting_snapshot_may_be_older_than_the_stream(void **state)
{
    assert_int_equal(give(*state, market_checkpoint(&market, 22)), MLT_FOLLOW_JOINED);
    take(*state, market_delta(&market));
    static struct market then;
    then = market;
    take(*state, market_delta(&market));
    take(*state, market_delta(&market));
    take(*state, market_snapshot(&then, 90));
    assert_true(mlt_follow_joined(*state));
    assert_int_equal(counts(*state)->resets, 1);
    follow_deltas(*state, 300); /* many of them beyond the first 22 levels */
    assert_all_right(*state);
}

/* What it does not reach stays as the book knew it. */
static void test_a_narrower_snapshot_takes_nothing_away(void **state)
{
    assert_int_equal(give(*state, market_checkpoint(&market, 40)), MLT_FOLLOW_JOINED);
    static struct market then;
    then = market;
    take(*state, market_delta(&market));
    take(*state, market_snapshot(&then, 5));
    follow_deltas(*state, 50);
    assert_all_right(*state);
    const struct mlt_levels bids = market_side(&market, 4, 0, MARKET_PRICES);
    size_t i = 0;
    int64_t price = 0, quantity = 0;
    for (; mlt_own_book_level(mlt_follow_book(*state), 0, i, &price, &quantity); i++) {
        assert_true(i < bids.count && price == bids.prices[i] && quantity == bids.quantities[i]);
    }
    assert_true(i > 20);
}

/* At the id that is here already it is the Conductor's book, which knows no more than it shows. */
static void test_a_snapshot_of_the_same_state_is_taken_instead(void **state)
{
    assert_int_equal(give(*state, market_checkpoint(&market, 40)), MLT_FOLLOW_JOINED);
    take(*state, market_snapshot(&market, 25));
    assert_int_equal(mlt_follow_book(*state)->sides[0].count, 25);
    assert_int_equal(mlt_follow_book(*state)->sides[1].count, 25);
    assert_int_equal(counts(*state)->resets, 1);
}

/* After a gap nothing is kept: the snapshot's window is all that is known. */
static void test_a_snapshot_after_a_gap_begins_anew(void **state)
{
    assert_int_equal(give(*state, market_checkpoint(&market, 40)), MLT_FOLLOW_JOINED);
    take(*state, market_status(&market, MLT_STATUS_GAP, "lost"));
    take(*state, market_snapshot(&market, 25));
    const struct mlt_own_side *bids = &mlt_follow_book(*state)->sides[0];
    assert_true(mlt_follow_joined(*state));
    assert_int_equal(bids->count, 25);
    assert_true(bids->bound == bids->levels[0].rank);
}

static void test_a_snapshot_that_resets_nothing_changes_nothing(void **state)
{
    assert_int_equal(give(*state, market_checkpoint(&market, 100)), MLT_FOLLOW_JOINED);
    struct mlt_event other = market_snapshot(&market, 5);
    other.u.book_snapshot.reset = false;
    take(*state, other);
    follow_deltas(*state, 20);
    assert_all_right(*state);
    assert_int_equal(counts(*state)->resets, 0);
}

static void test_holes_of_any_channel_are_counted(void **state)
{
    take(*state, test_trade(7, 5, 1)); /* where a late joiner begins is no hole */
    take(*state, test_trade(7, 6, 2));
    take(*state, test_trade(7, 8, 3));
    take(*state, test_trade(7, 8, 3));
    assert_int_equal(counts(*state)->sequence_holes, 1);
    assert_int_equal(counts(*state)->repeats, 1);
    struct mlt_event heads = market_status(&market, MLT_STATUS_HEADS, "heads");
    heads.sequence = 0;
    heads.u.status.head_count = 1;
    heads.u.status.heads[0] = (struct mlt_head){ MLT_EVENT_TRADE, 10, 5 };
    take(*state, heads);
    assert_int_equal(counts(*state)->sequence_holes, 3);
    take(*state, test_trade(8, 2, 4)); /* a new epoch begins with 1 */
    assert_int_equal(counts(*state)->sequence_holes, 4);
}

static void test_a_new_owner_goes_on_with_the_same_book(void **state)
{
    assert_int_equal(give(*state, market_checkpoint(&market, 100)), MLT_FOLLOW_JOINED);
    follow_deltas(*state, 5);
    market.epoch++;
    market.delta_sequence = market.book_sequence = market.snapshot_sequence = 0;
    follow_deltas(*state, 20);
    assert_all_right(*state);
}

static void test_stale_and_idle_say_what_they_are(void **state)
{
    assert_int_equal(give(*state, market_checkpoint(&market, 100)), MLT_FOLLOW_JOINED);
    take(*state, market_status(&market, MLT_STATUS_STALE, "silent"));
    assert_int_equal(mlt_follow_state(*state), MLT_BOOK_STALE);
    assert_true(mlt_follow_joined(*state));
    follow_deltas(*state, 5);
    assert_int_equal(mlt_follow_state(*state), MLT_BOOK_LIVE);
    assert_all_right(*state);
    take(*state, market_status(&market, MLT_STATUS_IDLE, "stopped"));
    assert_false(mlt_follow_joined(*state));
    assert_int_equal(mlt_follow_state(*state), MLT_BOOK_IDLE);
}

static void test_what_is_said_to_be_missing_ends_the_book_at_once(void **state)
{
    assert_int_equal(give(*state, market_checkpoint(&market, 100)), MLT_FOLLOW_JOINED);
    take(*state, market_status(&market, MLT_STATUS_GAP, "lost"));
    assert_false(mlt_follow_joined(*state));
    follow_deltas(*state, 3);
    assert_int_equal(counts(*state)->digests_right, 1); /* the checkpoint's */
}

/* Deltas that were lost show in a BOOK that is ahead of all that came. */
static void test_a_book_ahead_of_the_deltas_ends_the_book(void **state)
{
    assert_int_equal(give(*state, market_checkpoint(&market, 100)), MLT_FOLLOW_JOINED);
    follow_deltas(*state, 3);
    (void)market_delta(&market);
    take(*state, market_book(&market));
    assert_false(mlt_follow_joined(*state));
    assert_int_equal(counts(*state)->update_gaps, 1);
}

/* A BOOK may leave after deltas that follow it. */
static void test_a_late_book_is_compared_with_the_state_of_then(void **state)
{
    assert_int_equal(give(*state, market_checkpoint(&market, 100)), MLT_FOLLOW_JOINED);
    take(*state, market_delta(&market));
    static struct market then;
    then = market;
    struct mlt_event book = market_book(&then);
    take(*state, market_delta(&market));
    take(*state, book);
    assert_int_equal(counts(*state)->books_right, 1);
    book.sequence++;
    book.u.book.digest ^= 1;
    take(*state, book);
    assert_int_equal(counts(*state)->books_wrong, 1);
    assert_false(mlt_follow_joined(*state));
}

static void test_a_delta_at_other_exponents_ends_the_book(void **state)
{
    assert_int_equal(give(*state, market_checkpoint(&market, 100)), MLT_FOLLOW_JOINED);
    struct mlt_event e = market_delta(&market);
    e.u.book_delta.bids.price_exponent = e.u.book_delta.asks.price_exponent = -3;
    take(*state, e);
    assert_false(mlt_follow_joined(*state));
    assert_int_equal(counts(*state)->digests_wrong, 0);
}

/* Between it and the first delta that was kept an id is missing. */
static void test_a_reset_that_the_deltas_do_not_join_is_no_book(void **state)
{
    static struct market then;
    then = market;
    market.last++;
    follow_deltas(*state, 3);
    take(*state, market_snapshot(&then, 100));
    assert_false(mlt_follow_joined(*state));
    market.snapshot_sequence = then.snapshot_sequence;
    take(*state, market_snapshot(&market, 100));
    assert_true(mlt_follow_joined(*state));
}

/* Depth that a narrower snapshot of before leaves: where the book missed nothing. */
static size_t depth_after(struct mlt_follow *f, const char *reason)
{
    assert_int_equal(give(f, market_checkpoint(&market, 40)), MLT_FOLLOW_JOINED);
    static struct market then;
    then = market;
    take(f, market_delta(&market));
    take(f, market_status(&market, MLT_STATUS_STALE, reason));
    take(f, market_snapshot(&then, 5));
    assert_true(mlt_follow_joined(f));
    return mlt_follow_book(f)->sides[0].count;
}

static void test_a_new_owner_breaks_nothing(void **state)
{
    assert_true(depth_after(*state, "restored") > 20);
}

static void test_a_line_that_ended_may_have_missed_something(void **state)
{
    assert_true(depth_after(*state, "source_down") < 20);
}

static void test_a_checkpoint_that_is_no_book_is_refused(void **state)
{
    struct mlt_book_checkpoint checkpoint = market_checkpoint(&market, 100);
    checkpoint.digest ^= 1;
    assert_int_equal(give(*state, checkpoint), MLT_FOLLOW_MALFORMED);
    assert_int_equal(counts(*state)->digests_wrong, 1);
    checkpoint = market_checkpoint(&market, 100);
    market.prices[2][1] = market.prices[2][0];
    assert_int_equal(give(*state, checkpoint), MLT_FOLLOW_MALFORMED);
    assert_false(mlt_follow_joined(*state));
}

/* Neither price nor quantity is below zero: whoever says so speaks of no book. */
static void test_changes_below_zero_are_none(void **state)
{
    (void)state;
    static const int64_t wrong[] = { -1, INT64_MIN }, right[] = { 0, 5 };
    const struct mlt_levels none = { .count = 0 };
    for (int i = 0; i < 2; i++) {
        const struct mlt_levels prices = { 0, 0, 1, &wrong[i], &right[1] };
        const struct mlt_levels quantities = { 0, 0, 1, &right[1], &wrong[i] };
        const struct mlt_levels *const levels[] = { &prices, &quantities };
        for (int which = 0; which < 2; which++) {
            struct mlt_own_book book = { .sides = { { .whole = true }, { .whole = true } } };
            assert_int_equal(mlt_own_book_apply(&book, &none, levels[which], 7), MLT_E_PROTOCOL);
            assert_int_equal(mlt_own_book_apply(&book, levels[which], &none, 7), MLT_E_PROTOCOL);
            assert_int_equal(book.sides[0].count + book.sides[1].count, 0);
            assert_int_equal(book.last, 0);
            mlt_own_book_fini(&book);
        }
    }
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_with_nothing_buffered_the_checkpoint_is_the_book),
        EACH(test_a_checkpoint_from_before_the_buffer_is_asked_for_again),
        EACH(test_a_checkpoint_from_before_the_subscription_is_given_up_again),
        EACH(test_what_was_buffered_after_the_checkpoint_is_applied),
        EACH(test_a_checkpoint_ahead_of_the_stream_covers_what_comes),
        EACH(test_only_the_known_window_counts),
        EACH(test_a_wrong_digest_is_noticed_once_and_the_book_is_given_up),
        EACH(test_a_level_that_the_delta_did_not_have_is_noticed),
        EACH(test_a_book_with_another_level_is_noticed),
        EACH(test_missing_update_ids_end_the_book_until_a_reset),
        EACH(test_a_resetting_snapshot_may_be_older_than_the_stream),
        EACH(test_a_narrower_snapshot_takes_nothing_away),
        EACH(test_a_snapshot_of_the_same_state_is_taken_instead),
        EACH(test_a_snapshot_after_a_gap_begins_anew),
        EACH(test_a_snapshot_that_resets_nothing_changes_nothing),
        EACH(test_holes_of_any_channel_are_counted),
        EACH(test_a_new_owner_goes_on_with_the_same_book),
        EACH(test_stale_and_idle_say_what_they_are),
        EACH(test_what_is_said_to_be_missing_ends_the_book_at_once),
        EACH(test_a_book_ahead_of_the_deltas_ends_the_book),
        EACH(test_a_late_book_is_compared_with_the_state_of_then),
        EACH(test_a_delta_at_other_exponents_ends_the_book),
        EACH(test_a_reset_that_the_deltas_do_not_join_is_no_book),
        EACH(test_a_new_owner_breaks_nothing),
        EACH(test_a_line_that_ended_may_have_missed_something),
        EACH(test_changes_below_zero_are_none),
        EACH(test_a_checkpoint_that_is_no_book_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
