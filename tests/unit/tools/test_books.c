/* The books of a report: what they show, and best bid and offer against them. */
#include "mlt_test.h"

#include "books.h"
#include "test_books.h"

static struct market market;

static int set_up(void **state)
{
    struct mlt_books *books = NULL;
    market_init(&market, 2);
    if (mlt_books_create(&books) != MLT_OK) {
        return -1;
    }
    *state = books;
    return 0;
}

static int tear_down(void **state)
{
    mlt_books_destroy(*state);
    return 0;
}

static void take(struct mlt_books *books, struct mlt_event event)
{
    assert_int_equal(mlt_books_event(books, &event), MLT_OK);
}

static struct mlt_event bbo_now(void)
{
    static uint64_t sequence;
    struct mlt_event e = test_event(MLT_EVENT_BBO, 7, ++sequence);
    const struct mlt_levels bids = market_side(&market, 4, 0, 1),
                            asks = market_side(&market, 5, 1, 1);
    e.first = e.last = market.last;
    e.u.bbo = (struct mlt_bbo){ { bids.prices[0], -2 },
                                { bids.quantities[0], -5 },
                                { asks.prices[0], -2 },
                                { asks.quantities[0] * 10, -6 } }; /* another exponent, as sent */
    return e;
}

static void assert_report(struct mlt_books *books, const char *part)
{
    struct mlt_buf out;
    mlt_buf_init(&out, 1u << 20);
    assert_int_equal(mlt_books_report(books, &out), MLT_OK);
    assert_int_equal(mlt_buf_append_byte(&out, 0), MLT_OK);
    if (strstr((char *)out.data, part) == NULL) {
        fail_msg("%s is not in %s", part, (char *)out.data);
    }
    mlt_buf_fini(&out);
}

static void test_the_last_book_is_shown_exactly(void **state)
{
    static const int64_t bid[1] = { 6160200 }, quantity[1] = { 120000 }, ask[1] = { 6160205 };
    take(*state, market_book(&market));
    struct mlt_event book = market_book(&market);
    book.u.book.bids = (struct mlt_levels){ -2, -5, 1, bid, quantity };
    book.u.book.asks = (struct mlt_levels){ -2, -5, 1, ask, quantity };
    book.u.book.last_update_id = 77;
    take(*state, book);
    assert_report(*state, "\"books\":{\"BTC-USDT\":{\"bid\":[\"61602\",\"1.2\"],"
                          "\"ask\":[\"61602.05\",\"1.2\"],\"levels\":1,\"last_update_id\":77,"
                          "\"books\":2,");
    assert_report(*state, "\"crossed\":0,\"resyncs\":0,\"state\":\"LIVE\"}}");
}

static void test_a_side_without_levels_is_null(void **state)
{
    struct mlt_event book = market_book(&market);
    book.u.book.asks.count = 0;
    take(*state, book);
    assert_report(*state, "\"ask\":null,\"levels\":0,");
}

static void test_instruments_without_a_book_are_left_out(void **state)
{
    take(*state, bbo_now());
    take(*state, market_delta(&market));
    struct mlt_buf out;
    mlt_buf_init(&out, 1u << 10);
    assert_int_equal(mlt_books_report(*state, &out), MLT_OK);
    assert_int_equal(out.len, 10);
    assert_memory_equal(out.data, "\"books\":{}", 10);
    mlt_buf_fini(&out);
}

/* Whichever comes first, of a BOOK or of a delta after it; once an id. */
static void test_best_bid_and_offer_of_one_id_are_compared_with_the_book(void **state)
{
    take(*state, market_snapshot(&market, 100));
    take(*state, bbo_now()); /* after the snapshot */
    take(*state, market_book(&market));
    struct mlt_event delta = market_delta(&market);
    take(*state, bbo_now()); /* before the delta */
    take(*state, delta);
    struct mlt_event between = bbo_now();
    between.first = between.last = market.last + 1;
    take(*state, between); /* an id that no book is at */
    (void)market_delta(&market);
    assert_report(*state, "\"bbo_matches\":2,\"bbo_mismatches\":0,");
}

static void test_another_quantity_is_a_mismatch(void **state)
{
    take(*state, market_book(&market)); /* no snapshot came: the BOOK alone */
    struct mlt_event bbo = bbo_now();
    bbo.u.bbo.bid_quantity.mantissa++;
    take(*state, bbo);
    assert_report(*state, "\"bbo_matches\":0,\"bbo_mismatches\":1,");
}

static struct mlt_event moved(struct market *m, int64_t price, int64_t quantity)
{
    static int64_t prices[1], quantities[1];
    struct mlt_event e = test_event(MLT_EVENT_BOOK_DELTA, m->epoch, ++m->delta_sequence);
    const struct mlt_levels level = { -2, -5, 1, prices, quantities },
                            none = { -2, -5, 0, NULL, NULL };
    prices[0] = price;
    quantities[0] = quantity;
    m->quantities[price - MARKET_FIRST] = quantity;
    e.first = e.last = ++m->last;
    const bool bid = price < MARKET_MIDDLE;
    e.u.book_delta = (struct mlt_book_delta){ bid ? level : none, bid ? none : level, 0, 0 };
    return e;
}

/* The price left what the snapshot vouches for: no levels are a mismatch only where they are all.
 */
static void test_where_nothing_is_vouched_for_what_is_held_is_compared(void **state)
{
    for (int i = 0; i < MARKET_PRICES; i++) {
        market.quantities[i] = 5 + i;
    }
    take(*state, market_snapshot(&market, 1));
    take(*state, market_book(&market));
    take(*state, moved(&market, MARKET_MIDDLE - 2, 77)); /* not in the snapshot */
    take(*state, moved(&market, MARKET_MIDDLE - 1, 0));
    take(*state, bbo_now());
    assert_report(*state, "\"bbo_matches\":1,\"bbo_mismatches\":0,\"bbo_by_held\":1,");
    struct mlt_event book = market_book(&market);
    book.u.book.bids.count = 0;
    book.quality |= MLT_QUALITY_DEPTH_LIMITED;
    take(*state, book);
    take(*state, moved(&market, MARKET_MIDDLE - 2, 78));
    struct mlt_event bbo = bbo_now();
    bbo.u.bbo.bid_quantity.mantissa++;
    take(*state, bbo);
    assert_report(*state, "\"bbo_matches\":1,\"bbo_mismatches\":1,\"bbo_by_held\":2,");
}

/* A snapshot from ahead: the book is at its id, and the deltas come after it. */
static void test_ids_that_the_book_skips_are_compared_with_what_is_held(void **state)
{
    take(*state, market_snapshot(&market, 100));
    take(*state, market_book(&market));
    const struct market then = market;
    (void)market_delta(&market);
    take(*state, bbo_now());
    (void)market_delta(&market);
    const struct mlt_event second = bbo_now();
    (void)market_delta(&market);
    const struct mlt_event third = bbo_now();
    take(*state, market_snapshot(&market, 100));
    take(*state, second);
    take(*state, third);
    assert_report(*state, "\"bbo_matches\":1,\"bbo_mismatches\":0,\"bbo_by_held\":0,");
    market = then;
    for (int i = 0; i < 3; i++) {
        take(*state, market_delta(&market));
    }
    assert_report(*state, "\"bbo_matches\":3,\"bbo_mismatches\":0,\"bbo_by_held\":2,");
}

static void test_crossed_books_and_resyncs_are_counted(void **state)
{
    take(*state, market_status(&market, MLT_STATUS_LIVE, "joined"));
    take(*state, market_book(&market));
    take(*state, market_status(&market, MLT_STATUS_GAP, "crossed"));
    take(*state, market_status(&market, MLT_STATUS_LIVE, "joined"));
    struct mlt_event book = market_book(&market);
    const struct mlt_levels bids = book.u.book.bids;
    book.u.book.bids = book.u.book.asks;
    book.u.book.asks = bids;
    take(*state, book);
    struct mlt_event gap =
        market_book(&market); /* not LIVE: no levels, and it counts for nothing */
    gap.u.book.state = MLT_BOOK_GAP;
    gap.u.book.bids.count = gap.u.book.asks.count = 0;
    take(*state, gap);
    assert_report(*state, "\"crossed\":1,\"resyncs\":1,\"state\":\"GAP\"");
    assert_report(*state, "\"levels\":20,");
}

static void test_digests_are_compared_as_they_come(void **state)
{
    take(*state, market_snapshot(&market, 100));
    for (int i = 0; i < 10; i++) {
        take(*state, market_delta(&market));
    }
    take(*state, market_book(&market));
    assert_report(*state, "\"digest_matches\":11,\"digest_mismatches\":0,");
    struct mlt_event delta = market_delta(&market);
    delta.u.book_delta.digest++;
    take(*state, delta);
    assert_report(*state, "\"digest_matches\":11,\"digest_mismatches\":1,");
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_the_last_book_is_shown_exactly),
        EACH(test_a_side_without_levels_is_null),
        EACH(test_instruments_without_a_book_are_left_out),
        EACH(test_best_bid_and_offer_of_one_id_are_compared_with_the_book),
        EACH(test_another_quantity_is_a_mismatch),
        EACH(test_where_nothing_is_vouched_for_what_is_held_is_compared),
        EACH(test_ids_that_the_book_skips_are_compared_with_what_is_held),
        EACH(test_crossed_books_and_resyncs_are_counted),
        EACH(test_digests_are_compared_as_they_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
