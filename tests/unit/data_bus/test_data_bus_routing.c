#include "table.h"

#define TYPES_OF(routing, token) mlt_routing_types(routing, mlt_slice_of_string(token))
#define ALWAYS                                                                                     \
    (MLT_TYPE_BIT(MLT_EVENT_STATUS) | MLT_TYPE_BIT(MLT_EVENT_INSTRUMENT) |                         \
     MLT_TYPE_BIT(MLT_EVENT_BOOK))

static void test_tokens_and_patterns_route_what_they_name_and_nothing_else(void **state)
{
    (void)state;
    const struct line lines[] = {
        { MLT_EVENT_TRADE, "BTC-USDT" },    { MLT_EVENT_BBO, "BTC-USDT" },
        { MLT_EVENT_KLINE, "BTC-*" },       { MLT_EVENT_TICKER, "*-EUR" },
        { MLT_EVENT_AGG_TRADE, "ETH-EUR" },
    };
    struct mlt_routing *routing = table_of(4, 9, lines, 5);
    assert_int_equal(mlt_routing_revision(routing), 4);
    assert_int_equal(mlt_routing_boot(routing), 9);
    assert_int_equal(mlt_routing_ignored(routing), 0);
    assert_int_equal(TYPES_OF(routing, "BTC-USDT"), MLT_TYPE_BIT(MLT_EVENT_TRADE) |
                                                        MLT_TYPE_BIT(MLT_EVENT_BBO) |
                                                        MLT_TYPE_BIT(MLT_EVENT_KLINE) | ALWAYS);
    assert_int_equal(TYPES_OF(routing, "BTC-EUR"),
                     MLT_TYPE_BIT(MLT_EVENT_KLINE) | MLT_TYPE_BIT(MLT_EVENT_TICKER) | ALWAYS);
    assert_int_equal(TYPES_OF(routing, "ETH-EUR"),
                     MLT_TYPE_BIT(MLT_EVENT_AGG_TRADE) | MLT_TYPE_BIT(MLT_EVENT_TICKER) | ALWAYS);
    assert_int_equal(TYPES_OF(routing, "ETH-USDT"), 0);
    assert_int_equal(TYPES_OF(routing, "BTCX-USDT"), 0); /* no prefix of an asset */
    assert_int_equal(TYPES_OF(routing, "BTC"), 0);
    mlt_routing_destroy(routing);
}

static void test_everything_and_books_bring_what_they_are_made_of(void **state)
{
    (void)state;
    const struct line lines[] = { { MLT_EVENT_TRADE, "*" }, { MLT_EVENT_BOOK, "BTC-USDT" } };
    struct mlt_routing *routing = table_of(1, 1, lines, 2);
    assert_int_equal(TYPES_OF(routing, "X-Y"), MLT_TYPE_BIT(MLT_EVENT_TRADE) | ALWAYS);
    assert_int_equal(TYPES_OF(routing, "BTC-USDT"),
                     MLT_TYPE_BIT(MLT_EVENT_TRADE) | MLT_TYPE_BIT(MLT_EVENT_BOOK_DELTA) |
                         MLT_TYPE_BIT(MLT_EVENT_BOOK_SNAPSHOT) | ALWAYS);
    mlt_routing_destroy(routing);
}

static void test_what_is_no_pattern_is_left_out_and_the_rest_stands(void **state)
{
    (void)state;
    const struct line lines[] = {
        { MLT_EVENT_TRADE, "B*C" },   { MLT_EVENT_TRADE, "BT*" },
        { MLT_EVENT_TRADE, "*DT" },   { MLT_EVENT_TRADE, "" },
        { MLT_EVENT_TRADE, "**" },    { MLT_EVENT_TRADE, "a b" },
        { MLT_EVENT_NONE, "A-B" },    { (enum mlt_event_type)77, "A-B" },
        { MLT_EVENT_TRADE, "OK-OK" },
    };
    struct mlt_routing *routing = table_of(1, 1, lines, 9);
    assert_int_equal(mlt_routing_ignored(routing), 8);
    assert_int_equal(TYPES_OF(routing, "OK-OK"), MLT_TYPE_BIT(MLT_EVENT_TRADE) | ALWAYS);
    assert_int_equal(TYPES_OF(routing, "BTC-DT"), 0);
    assert_int_equal(TYPES_OF(routing, "A-B"), 0);
    mlt_routing_destroy(routing);
}

static void test_bytes_that_are_no_table_are_refused(void **state)
{
    (void)state;
    struct mlt_routing *routing = NULL;
    assert_int_equal(mlt_routing_decode(MLT_SLICE_LITERAL("\xff\xff\xff"), &routing), MLT_E_PARSE);
    assert_null(routing);
    assert_int_equal(mlt_routing_decode(MLT_SLICE_EMPTY, &routing), MLT_OK); /* an empty message */
    assert_int_equal(mlt_routing_revision(routing), 0);
    assert_int_equal(TYPES_OF(routing, "A-B"), 0);
    mlt_routing_destroy(routing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens_and_patterns_route_what_they_name_and_nothing_else),
        cmocka_unit_test(test_everything_and_books_bring_what_they_are_made_of),
        cmocka_unit_test(test_what_is_no_pattern_is_left_out_and_the_rest_stands),
        cmocka_unit_test(test_bytes_that_are_no_table_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
