/* What the ladder of a book says. */
#include "mlt_test.h"

#include <stdlib.h>

#include "ladder.h"
#include "test_books.h"

static struct market market;

static char *draw(const struct mlt_event *book, struct mlt_ladder_view view)
{
    struct mlt_buf out;
    mlt_buf_init(&out, 1u << 20);
    assert_int_equal(mlt_ladder_draw(book, "BTC-USDT", &view, &out), MLT_OK);
    assert_int_equal(mlt_buf_append_byte(&out, 0), MLT_OK);
    return (char *)out.data;
}

static unsigned lines(const char *text)
{
    unsigned n = 0;
    while ((text = strchr(text, '\n')) != NULL) {
        n++;
        text++;
    }
    return n;
}

static struct mlt_event book_with_measures(void)
{
    struct mlt_event e = market_book(&market);
    e.stamps.received = 1000000000;
    e.u.book.has_analytics = true;
    e.u.book.analytics.spread = (struct mlt_measure){ { 10, -1 }, MLT_MEASURE_PRESENT };
    e.u.book.analytics.mid = (struct mlt_measure){ { 10995, -3 }, MLT_MEASURE_PRESENT };
    e.u.book.analytics.vwap[2] =
        (struct mlt_measure){ { 11, 0 }, MLT_MEASURE_PRESENT | MLT_MEASURE_WARMING };
    return e;
}

static void test_asks_above_bids_below_best_in_the_middle(void **state)
{
    (void)state;
    market_init(&market, 3);
    const struct mlt_event e = book_with_measures();
    char *text = draw(&e, (struct mlt_ladder_view){ .connected = true, .now_ns = 1012000000 });
    assert_null(strchr(text, '\x1b'));
    const char *worst_ask = strstr(text, " 11.38 "), *best_ask = strstr(text, " 11.00 ");
    const char *spread = strstr(text, "spread 1 (- bps)  mid 10.995  microprice -");
    const char *best_bid = strstr(text, " 10.98 "), *worst_bid = strstr(text, " 10.60 ");
    assert_true(worst_ask != NULL && best_ask != NULL && spread != NULL && best_bid != NULL &&
                worst_bid != NULL);
    assert_true(worst_ask < best_ask && best_ask < spread && spread < best_bid &&
                best_bid < worst_bid);
    assert_non_null(strstr(text, "  LIVE  update 1000 "));
    assert_non_null(strstr(text, " 12 ms old"));
    assert_non_null(strstr(text, "vwap of 60 s 11~"));
    assert_non_null(strstr(text, "quality: good"));
    assert_int_equal(lines(text), 47);
    free(text);
}

static void test_a_small_terminal_gets_the_best_levels(void **state)
{
    (void)state;
    market_init(&market, 3);
    const struct mlt_event e = book_with_measures();
    char *text = draw(&e, (struct mlt_ladder_view){ .rows = 14, .columns = 40, .connected = true });
    assert_int_equal(lines(text), 13); /* 3 levels a side, the cursor's line is free */
    assert_non_null(strstr(text, " 11.00 "));
    assert_null(strstr(text, " 11.08 "));
    for (const char *at = text; *at != '\0'; at += strcspn(at, "\n") + 1) {
        assert_true(strcspn(at, "\n") <= 40);
    }
    free(text);
}

static void test_what_is_wrong_stands_out(void **state)
{
    (void)state;
    market_init(&market, 3);
    struct mlt_event e = market_book(&market);
    e.u.book.state = MLT_BOOK_GAP;
    e.u.book.bids.count = e.u.book.asks.count = 0;
    e.quality = MLT_QUALITY_STALE | MLT_QUALITY_DEPTH_LIMITED | MLT_QUALITY_CACHE_UNAVAILABLE;
    char *text = draw(&e, (struct mlt_ladder_view){ .colours = true });
    assert_non_null(strstr(text, "\x1b[1;31mBTC-USDT  GAP "));
    assert_non_null(strstr(text, "NOT CONNECTED"));
    assert_non_null(strstr(text, "quality: stale, cache unavailable, limited"));
    free(text);
    text = draw(NULL, (struct mlt_ladder_view){ .connected = true });
    assert_string_equal(text, "BTC-USDT  no BOOK yet\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asks_above_bids_below_best_in_the_middle),
        cmocka_unit_test(test_a_small_terminal_gets_the_best_levels),
        cmocka_unit_test(test_what_is_wrong_stands_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
