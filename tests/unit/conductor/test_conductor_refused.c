/* Instances that became no event: the Dispatcher tells of each in its place in the flow. */
#include "books_expect.h"

static void trade(int64_t id)
{
    struct mlt_event e = fixture_event(&f, MLT_EVENT_TRADE);
    e.first = e.last = id;
    e.u.trade.trade_id = id;
    fixture_send(&f, &e);
}

static size_t told(enum mlt_status_kind kind)
{
    size_t count = 0;
    for (size_t n = 0; n < f.count; n++) {
        count += f.out[n].type == MLT_EVENT_STATUS && f.out[n].u.status.kind == kind;
    }
    return count;
}

/* Nothing but its hole would tell of it, and that comes with a later delta, if there is one. */
static void test_a_refused_delta_is_a_loss_and_a_gap(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10);
    fixture_run(&f, f.now_ns + 10 * MLT_NS_PER_S);
    const size_t requests = f.requests;
    fixture_refuse(&f, MLT_EVENT_BOOK_DELTA);
    expect(0, MLT_EVENT_STATUS);
    assert_int_equal(f.out[0].u.status.kind, MLT_STATUS_LOST);
    assert_true(mlt_slice_equal_string(f.out[0].u.status.reason, "refused"));
    assert_int_equal(f.out[0].u.status.lost_type, MLT_EVENT_BOOK_DELTA);
    assert_true(f.out[0].sequence > 0);
    expect_status(1, MLT_STATUS_GAP, "lost", MLT_BOOK_LIVE, 0, 0);
    expect_status(2, MLT_STATUS_SYNCING, "requested", MLT_BOOK_GAP, 0, 0);
    (void)expect_book(3, MLT_BOOK_SYNCING, 10, 10);
    assert_int_equal(f.count, 4);
    assert_int_equal(f.requests, requests + 1);
    assert_int_equal(fixture_counts(&f).instances_refused, 1);
    fixture_delta(&f, 12, 12);
    expect_delta(4, 12, false);
    assert_true((f.out[4].quality & MLT_QUALITY_AFTER_GAP) != 0);
    fixture_snapshot(&f, 12);
    assert_int_equal(mlt_conductor_core_state(f.core, FIXTURE_INSTRUMENT), MLT_BOOK_LIVE);
    fixture_close(&f);
}

/* Others have no book, and had no word at all. */
static void test_a_refused_trade_is_a_loss_of_its_channel_alone(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10);
    trade(1);
    fixture_forget(&f);
    fixture_refuse(&f, MLT_EVENT_TRADE);
    assert_int_equal(f.count, 1);
    assert_int_equal(f.out[0].u.status.kind, MLT_STATUS_LOST);
    assert_int_equal(f.out[0].u.status.lost_type, MLT_EVENT_TRADE);
    fixture_refuse(&f, MLT_EVENT_TRADE); /* said: the next trade has the mark */
    fixture_refuse(&f, MLT_EVENT_TRADE);
    assert_int_equal(f.count, 1);
    fixture_delta(&f, 11, 11);
    expect_delta(1, 11, true);
    assert_int_equal(f.out[1].quality & MLT_QUALITY_AFTER_GAP, 0);
    fixture_forget(&f);
    trade(5);
    const size_t last = f.count - 1;
    expect(last, MLT_EVENT_TRADE);
    assert_true((f.out[last].quality & MLT_QUALITY_AFTER_GAP) != 0);
    fixture_refuse(&f, MLT_EVENT_TRADE);
    assert_int_equal(told(MLT_STATUS_LOST), 1);
    assert_int_equal(mlt_conductor_core_state(f.core, FIXTURE_INSTRUMENT), MLT_BOOK_LIVE);
    assert_int_equal(fixture_counts(&f).instances_refused, 4);
    fixture_close(&f);
}

/* All of them: between two listings, of a price with more decimals. */
static void test_a_flood_is_no_flood_of_words_or_requests(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10);
    const size_t before = f.requests;
    size_t answered = f.requests;
    int64_t live_ns = 0, id = 10;
    const int64_t began_ns = f.now_ns;
    while (f.now_ns - began_ns < 300 * MLT_NS_PER_S) {
        fixture_refuse(&f, MLT_EVENT_BOOK_DELTA);
        fixture_run(&f, f.now_ns + 50 * MLT_NS_PER_MS);
        if (f.requests > answered) {
            answered = f.requests;
            fixture_snapshot(&f, ++id);
        }
        live_ns += mlt_conductor_core_state(f.core, FIXTURE_INSTRUMENT) == MLT_BOOK_LIVE
                       ? 50 * MLT_NS_PER_MS
                       : 0;
        fixture_run(&f, f.now_ns + 50 * MLT_NS_PER_MS);
    }
    assert_int_equal(fixture_counts(&f).instances_refused, 3000);
    assert_int_equal(told(MLT_STATUS_LOST), 1);
    assert_in_range(f.requests - before, 10, 100);
    assert_true(told(MLT_STATUS_GAP) <= f.requests);
    assert_true(live_ns < 15 * MLT_NS_PER_S);
    fixture_close(&f);
}

static void test_words_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10);
    fixture_refuse(&f, MLT_EVENT_NONE);
    fixture_refuse(&f, MLT_EVENT_STATUS);
    fixture_refuse(&f, MLT_EVENT_TYPE_COUNT);
    assert_int_equal(f.count, 0);
    assert_int_equal(fixture_counts(&f).refused, 3);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_refused_delta_is_a_loss_and_a_gap),
        cmocka_unit_test(test_a_refused_trade_is_a_loss_of_its_channel_alone),
        cmocka_unit_test(test_a_flood_is_no_flood_of_words_or_requests),
        cmocka_unit_test(test_words_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
