/* The consumer's check: what it must notice, and what it must not. */
#include "mlt_test.h"

#include "events.h"
#include "tally.h"

static struct mlt_tally_totals totals_of(struct mlt_tally *tally)
{
    struct mlt_tally_totals totals;
    mlt_tally_totals(tally, &totals);
    return totals;
}

static int set_up(void **state)
{
    struct mlt_tally *tally = NULL;
    if (mlt_tally_create(&tally) != MLT_OK) {
        return -1;
    }
    *state = tally;
    return 0;
}

static int tear_down(void **state)
{
    mlt_tally_destroy(*state);
    return 0;
}

static void take(struct mlt_tally *tally, struct mlt_event event)
{
    assert_int_equal(mlt_tally_event(tally, &event), MLT_OK);
}

static void test_a_repeat_is_counted_once_and_changes_no_sum(void **state)
{
    take(*state, test_trade(5, 1, 100));
    take(*state, test_trade(5, 2, 101));
    take(*state, test_trade(5, 2, 101));
    take(*state, test_trade(4, 9, 90)); /* an owner of before */
    const struct mlt_tally_totals totals = totals_of(*state);
    assert_int_equal(totals.duplicates, 2);
    assert_int_equal(totals.source_derived, 2);
    assert_int_equal(totals.gaps, 0);
    struct mlt_buf report;
    mlt_buf_init(&report, 1u << 20);
    assert_int_equal(mlt_tally_report(*state, &report), MLT_OK);
    assert_int_equal(mlt_buf_append_byte(&report, 0), MLT_OK);
    assert_non_null(strstr((char *)report.data, "\"trade_quantity\":{\"BTC-USDT\":\"0.8\"}"));
    assert_non_null(strstr((char *)report.data, "\"trade_notional\":{\"BTC-USDT\":\"2\"}"));
    mlt_buf_fini(&report);
}

static void hash_of(struct mlt_event event, char out[65])
{
    struct mlt_tally *tally = NULL;
    struct mlt_buf report;
    assert_int_equal(mlt_tally_create(&tally), MLT_OK);
    take(tally, event);
    mlt_buf_init(&report, 1u << 20);
    assert_int_equal(mlt_tally_report(tally, &report), MLT_OK);
    assert_int_equal(mlt_buf_append_byte(&report, 0), MLT_OK);
    const char *at = strstr((char *)report.data, "\"stream_hash\":\"");
    assert_non_null(at);
    memcpy(out, at + strlen("\"stream_hash\":\""), 64);
    out[64] = '\0';
    mlt_buf_fini(&report);
    mlt_tally_destroy(tally);
}

/* Whether a delta has a digest depends on when the book was LIVE: on no word of the exchange. */
static void test_the_hash_of_a_stream_is_of_what_the_exchange_said(void **state)
{
    (void)state;
    static const int64_t price[1] = { 5 }, quantity[1] = { 6 };
    char bare[65], digested[65], other[65];
    struct mlt_event delta = test_event(MLT_EVENT_BOOK_DELTA, 5, 1);
    delta.u.book_delta.bids = (struct mlt_levels){ -2, -5, 1, price, quantity };
    hash_of(delta, bare);
    delta.u.book_delta.digest = 0xdeadbeef;
    delta.u.book_delta.digest_version = 1;
    hash_of(delta, digested);
    assert_string_equal(bare, digested);
    delta.u.book_delta.bids.price_exponent = -3;
    hash_of(delta, other);
    assert_string_not_equal(bare, other);
}

static void test_holes_are_counted_within_an_epoch_and_at_its_beginning(void **state)
{
    take(*state, test_trade(5, 1, 100));
    take(*state, test_trade(5, 4, 101)); /* 2 and 3 are missing */
    take(*state, test_trade(6, 3, 102)); /* 1 and 2 of the new epoch too */
    assert_int_equal(totals_of(*state).sequence_holes, 4);
}

static void test_a_new_epoch_that_begins_at_one_is_no_hole(void **state)
{
    take(*state, test_trade(5, 1, 100));
    take(*state, test_trade(9, 1, 101));
    const struct mlt_tally_totals totals = totals_of(*state);
    assert_int_equal(totals.sequence_holes + totals.gaps + totals.duplicates, 0);
}

static void test_heads_reveal_a_lost_last_event(void **state)
{
    take(*state, test_trade(5, 1, 100));
    struct mlt_event heads = test_event(MLT_EVENT_STATUS, 5, 0);
    heads.u.status.kind = MLT_STATUS_HEADS;
    heads.u.status.head_count = 1;
    heads.u.status.heads[0] = (struct mlt_head){ MLT_EVENT_TRADE, 3, 102 };
    take(*state, heads);
    assert_int_equal(totals_of(*state).sequence_holes, 2);
    take(*state, test_trade(5, 2, 101));
    take(*state, test_trade(5, 3, 102));
    assert_int_equal(totals_of(*state).sequence_holes, 0);
}

static struct mlt_event epoch_started(uint64_t epoch, uint64_t previous, uint64_t trades)
{
    struct mlt_event event = test_event(MLT_EVENT_STATUS, epoch, 1);
    event.u.status.kind = MLT_STATUS_EPOCH_STARTED;
    event.u.status.previous_epoch = previous;
    event.u.status.head_count = trades > 0 ? 1 : 0;
    event.u.status.heads[0] = (struct mlt_head){ MLT_EVENT_TRADE, trades, 100 };
    return event;
}

static void test_the_end_of_an_epoch_is_checked_when_the_next_one_starts(void **state)
{
    take(*state, epoch_started(5, 0, 0));
    take(*state, test_trade(5, 1, 100));
    take(*state, test_trade(5, 2, 101));
    take(*state, epoch_started(6, 5, 2));
    take(*state, test_trade(6, 1, 102));
    take(*state, epoch_started(6, 5, 9)); /* a repeat says nothing */
    assert_int_equal(totals_of(*state).sequence_holes, 0);
    take(*state, epoch_started(7, 6, 4)); /* 2 to 4 of epoch 6 */
    assert_int_equal(totals_of(*state).sequence_holes, 3);
    assert_int_equal(totals_of(*state).epoch_ends_unknown, 0);
    take(*state, epoch_started(9, 8, 2)); /* all of epoch 8 */
    assert_int_equal(totals_of(*state).sequence_holes, 5);
    take(*state, epoch_started(10, 0, 0)); /* nobody knows how epoch 9 ended */
    assert_int_equal(totals_of(*state).epoch_ends_unknown, 1);
}

static void test_heads_reveal_a_channel_of_which_nothing_came(void **state)
{
    take(*state, test_trade(5, 1, 100));
    struct mlt_event heads = test_event(MLT_EVENT_STATUS, 6, 0);
    heads.u.status.kind = MLT_STATUS_HEADS;
    heads.u.status.head_count = 2;
    heads.u.status.heads[0] = (struct mlt_head){ MLT_EVENT_TRADE, 1, 102 };
    heads.u.status.heads[1] = (struct mlt_head){ MLT_EVENT_BBO, 2, 102 };
    take(*state, heads);
    assert_int_equal(totals_of(*state).sequence_holes, 3);
}

static void test_status_lost_and_gaps_in_exchange_ids_are_counted(void **state)
{
    take(*state, test_trade(5, 1, 100));
    take(*state, test_trade(5, 2, 103));
    struct mlt_event lost = test_event(MLT_EVENT_STATUS, 5, 0);
    lost.u.status.kind = MLT_STATUS_LOST;
    take(*state, lost);
    const struct mlt_tally_totals totals = totals_of(*state);
    assert_int_equal(totals.gaps, 1);
    assert_int_equal(totals.lost, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_repeat_is_counted_once_and_changes_no_sum, set_up,
                                        tear_down),
        cmocka_unit_test(test_the_hash_of_a_stream_is_of_what_the_exchange_said),
        cmocka_unit_test_setup_teardown(test_holes_are_counted_within_an_epoch_and_at_its_beginning,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_new_epoch_that_begins_at_one_is_no_hole, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_heads_reveal_a_lost_last_event, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_heads_reveal_a_channel_of_which_nothing_came, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_the_end_of_an_epoch_is_checked_when_the_next_one_starts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_status_lost_and_gaps_in_exchange_ids_are_counted,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
