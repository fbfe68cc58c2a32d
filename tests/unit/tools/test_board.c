/* What `meltica tail` draws, read as its user would. */
#include "mlt_test.h"

#include <stdio.h>

#include "board.h"
#include "events.h"

static char picture[65536];

static void draw(struct mlt_board *board, struct mlt_board_view view)
{
    struct mlt_buf out;
    mlt_buf_init(&out, sizeof picture);
    assert_int_equal(mlt_board_draw(board, &view, &out), MLT_OK);
    memcpy(picture, out.data, out.len);
    picture[out.len] = '\0';
    mlt_buf_fini(&out);
}

static const struct mlt_board_view plain = { .elapsed_ns = 1000000000,
                                             .title = "here",
                                             .connected = true };

static struct mlt_event bbo(uint64_t sequence)
{
    struct mlt_event e = test_event(MLT_EVENT_BBO, 1, sequence);
    e.u.bbo = (struct mlt_bbo){ { 6160201, -2 }, { 167177, -5 }, { 6160202, -2 }, { 5, -1 } };
    return e;
}

static int set_up(void **state)
{
    struct mlt_board *board = NULL;
    if (mlt_board_create(&board) != MLT_OK) {
        return -1;
    }
    *state = board;
    return 0;
}

static int tear_down(void **state)
{
    mlt_board_destroy(*state);
    return 0;
}

static void take(struct mlt_board *board, struct mlt_event event)
{
    assert_int_equal(mlt_board_event(board, &event, 1500 * 1000 + 1000), MLT_OK);
}

static void test_a_row_shows_prices_rates_and_latency(void **state)
{
    take(*state, bbo(1));
    take(*state, test_trade(1, 1, 7));
    draw(*state, plain);
    assert_non_null(strstr(picture, "BTC-USDT"));
    assert_non_null(strstr(picture, "61602.01"));
    assert_non_null(strstr(picture, "1.67177"));
    assert_non_null(strstr(picture, "2.50^")); /* last price, bought; decimals as the others' */
    assert_non_null(strstr(picture, "2 events, 2/s, 1 instrument | missing 0, said lost 0"));
    assert_non_null(strstr(picture, "p50 1500 us"));
    draw(*state, plain); /* nothing new: the rate is of the time since */
    assert_non_null(strstr(picture, "2 events, 0/s"));
}

static void test_holes_losses_and_a_lost_connection_are_said(void **state)
{
    take(*state, bbo(1));
    take(*state, bbo(5));
    struct mlt_event lost = test_event(MLT_EVENT_STATUS, 1, 0);
    lost.u.status.kind = MLT_STATUS_LOST;
    take(*state, lost);
    struct mlt_board_view view = plain;
    view.connected = false;
    draw(*state, view);
    assert_non_null(strstr(picture, "missing 3, said lost 1"));
    assert_non_null(strstr(picture, "LOST"));
    assert_non_null(strstr(picture, "NOT CONNECTED"));
}

static void test_a_repeat_counts_nothing(void **state)
{
    take(*state, bbo(1));
    take(*state, bbo(1));
    draw(*state, plain);
    assert_non_null(strstr(picture, "1 events"));
}

static void test_a_small_terminal_gets_no_long_lines_and_no_more_rows(void **state)
{
    char token[16];
    for (int i = 0; i < 30; i++) {
        struct mlt_event e = bbo(1);
        (void)snprintf(token, sizeof token, "T%02d-USDT", i);
        e.instrument = mlt_slice_of_string(token);
        take(*state, e);
    }
    struct mlt_board_view view = plain;
    view.rows = 10;
    view.columns = 40;
    draw(*state, view);
    unsigned lines = 0;
    for (const char *at = picture; *at != '\0';) {
        const size_t len = strcspn(at, "\n");
        assert_true(len <= 40);
        lines++;
        at += len + 1;
    }
    assert_true(lines <= 10);
    assert_non_null(strstr(picture, "... and 26 more"));
    assert_null(strstr(picture, "\x1b"));
}

/* The line of the picture that begins with that text, cut out. */
static const char *line_of(const char *begin)
{
    static char out[512];
    const char *at = picture;
    while (strncmp(at, begin, strlen(begin)) != 0) {
        at = strchr(at, '\n');
        assert_non_null(at);
        at++;
    }
    (void)snprintf(out, sizeof out, "%.*s", (int)strcspn(at, "\n"), at);
    return out;
}

static void test_decimals_stand_under_each_other_and_headings_over_their_numbers(void **state)
{
    struct mlt_event whole = bbo(2);
    whole.u.bbo.bid_price = (struct mlt_decimal){ 61600, 0 };
    whole.u.bbo.ask_price = (struct mlt_decimal){ 61600500, -3 };
    take(*state, bbo(1));
    take(*state, test_trade(1, 1, 7));
    take(*state, whole);
    draw(*state, plain);
    const char *row = line_of("BTC-USDT");
    assert_non_null(strstr(row, "61600.00  "));
    assert_non_null(strstr(row, "61600.50  "));
    const size_t end_of_ask = (size_t)(strstr(row, "61600.50") - row) + 8;
    const char *header = line_of("INSTRUMENT");
    assert_int_equal(strstr(header, "ASK") - header + 3, end_of_ask);
}

static void test_eighty_columns_have_every_price_and_the_verdict(void **state)
{
    take(*state, bbo(1));
    take(*state, test_trade(1, 1, 7));
    struct mlt_board_view view = plain;
    view.columns = 80;
    view.rows = 24;
    draw(*state, view);
    const char *header = line_of("INSTRUMENT");
    static const char *const titles[] = { "BID", "ASK", "LAST", "EVENTS/S", "HOLES", "STATUS" };
    for (unsigned i = 0; i < sizeof titles / sizeof titles[0]; i++) {
        assert_non_null(strstr(header, titles[i]));
    }
    assert_null(strstr(header, "DELTAS"));
    view.columns = 140;
    draw(*state, view);
    assert_non_null(strstr(line_of("INSTRUMENT"), "DELTAS"));
    assert_non_null(strstr(line_of("INSTRUMENT"), "QUANTITY"));
}

static void test_an_instrument_with_nothing_but_a_listing_takes_no_row(void **state)
{
    struct mlt_event listing = test_event(MLT_EVENT_INSTRUMENT, 1, 1);
    listing.instrument = MLT_SLICE_LITERAL("QUIET-EUR");
    take(*state, listing);
    take(*state, bbo(1));
    draw(*state, plain);
    assert_null(strstr(picture, "QUIET-EUR"));
    assert_non_null(strstr(picture, "... and 1 without market data"));
    assert_non_null(strstr(picture, "2 instruments"));
    struct mlt_event lost = test_event(MLT_EVENT_STATUS, 1, 0);
    lost.instrument = listing.instrument;
    lost.u.status.kind = MLT_STATUS_LOST;
    take(*state, lost); /* but a loss is never hidden */
    draw(*state, plain);
    assert_non_null(strstr(picture, "QUIET-EUR"));
}

static void test_a_silence_is_said_and_the_rate_is_of_a_second(void **state)
{
    struct mlt_board_view quarter = plain;
    quarter.elapsed_ns = 250000000;
    take(*state, bbo(1));
    take(*state, bbo(2));
    draw(*state, quarter);
    assert_non_null(strstr(picture, "2 events, 0/s"));
    for (int i = 0; i < 3; i++) {
        draw(*state, quarter);
    }
    assert_non_null(strstr(picture, "2 events, 2/s"));
    assert_null(strstr(picture, "nothing for"));
    for (int i = 0; i < 3; i++) {
        draw(*state, plain);
    }
    assert_non_null(strstr(picture, "nothing for 3 s"));
}

static void test_the_head_stands_below_the_title_and_leaves_room_for_the_table(void **state)
{
    take(*state, bbo(1));
    struct mlt_board_view view = plain;
    view.head = "one\n\nthree\nfour\n";
    draw(*state, view);
    assert_non_null(strstr(picture, "here\none\n\nthree\nfour\n1 events"));
    view.rows = 9;
    view.columns = 40;
    draw(*state, view);
    assert_non_null(strstr(picture, "here\none\n\nthree\n1 events"));
    assert_non_null(strstr(picture, "\nBTC-USDT"));
    unsigned lines = 0;
    for (const char *at = picture; *at != '\0'; at++) {
        lines += *at == '\n';
    }
    assert_true(lines < view.rows);
}

static void test_rest_answers_are_no_latency(void **state)
{
    struct mlt_event snapshot = test_event(MLT_EVENT_TICKER, 1, 1);
    snapshot.rest_function = MLT_SLICE_LITERAL("ticker");
    take(*state, snapshot);
    draw(*state, plain);
    assert_null(strstr(picture, "p50"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_row_shows_prices_rates_and_latency, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_holes_losses_and_a_lost_connection_are_said, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_repeat_counts_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_small_terminal_gets_no_long_lines_and_no_more_rows,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_decimals_stand_under_each_other_and_headings_over_their_numbers, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(test_eighty_columns_have_every_price_and_the_verdict,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_instrument_with_nothing_but_a_listing_takes_no_row,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_silence_is_said_and_the_rate_is_of_a_second, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_the_head_stands_below_the_title_and_leaves_room_for_the_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rest_answers_are_no_latency, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
