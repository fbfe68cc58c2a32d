#include "mlt_test.h"

#include "plan_maker.h"

#define TICKER(symbol, last)                                                                       \
    "{\"symbol\":\"" symbol "\",\"priceChange\":\"-1.5\",\"priceChangePercent\":\"-0.125\","       \
    "\"weightedAvgPrice\":\"100.25\",\"prevClosePrice\":\"101.5\",\"lastPrice\":" last             \
    ",\"lastQty\":\"0.5\",\"bidPrice\":\"99.9\",\"bidQty\":\"2\",\"askPrice\":\"100.1\","          \
    "\"askQty\":\"3\",\"openPrice\":\"101.5\",\"highPrice\":\"103\",\"lowPrice\":\"98\","          \
    "\"volume\":\"1000.5\",\"quoteVolume\":\"100300.125\",\"openTime\":1499783499040,"             \
    "\"closeTime\":1499869899040,\"firstId\":28385,\"lastId\":28460,\"count\":76}"

static struct mlt_binance_symbols *symbols;
static struct mlt_binance_decoder *decoder;
static struct {
    unsigned events, unparsed;
    char tokens[4][32], reason[32], function[32];
    struct mlt_native_event last;
} got;

static void on_emit(void *ctx, const struct mlt_binance_symbol *symbol, struct mlt_slice stream,
                    struct mlt_native_event *event)
{
    (void)ctx;
    (void)symbol;
    (void)stream;
    if (event->type == MLT_NATIVE_UNPARSED) {
        got.unparsed++;
        (void)snprintf(got.reason, sizeof got.reason, "%.*s",
                       MLT_SLICE_FMT(event->u.unparsed.reason));
        return;
    }
    assert_int_equal(event->type, MLT_EVENT_TICKER);
    (void)snprintf(got.tokens[got.events % 4], 32, "%.*s", MLT_SLICE_FMT(event->instrument));
    (void)snprintf(got.function, sizeof got.function, "%.*s", MLT_SLICE_FMT(event->rest_function));
    got.last = *event;
    got.events++;
}

static int set_up(void **state)
{
    (void)state;
    memset(&got, 0, sizeof got);
    symbols = make_symbols(3);
    return mlt_binance_decoder_create(&decoder) == MLT_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_binance_symbols_destroy(symbols);
    mlt_binance_decoder_destroy(decoder);
    return 0;
}

static enum mlt_status decode_of(const struct mlt_binance_symbol *asked, const char *text,
                                 struct mlt_error *err)
{
    const size_t len = strlen(text);
    char *body = calloc(1, len + 16);
    assert_non_null(body);
    memcpy(body, text, len + 1);
    const enum mlt_status status = mlt_binance_decode_ticker_24hr(
        decoder, symbols, asked, body, len, 1700000000000000000, on_emit, NULL, err);
    free(body);
    return status;
}

static enum mlt_status decode(const char *text, struct mlt_error *err)
{
    return decode_of(NULL, text, err);
}

static void test_object_is_one_ticker(void **state)
{
    (void)state;
    assert_int_equal(decode(TICKER("C000USDT", "\"100.0\""), NULL), MLT_OK);
    assert_int_equal(got.events, 1);
    assert_string_equal(got.tokens[0], "C000-USDT");
    assert_string_equal(got.function, "ticker/24hr");
    const struct mlt_ticker *t = &got.last.u.ticker;
    assert_int_equal(got.last.first, 1499869899040000000);
    assert_int_equal(got.last.last, 1499869899040000000);
    assert_int_equal(got.last.exchange, MLT_STAMP_UNKNOWN);
    assert_int_equal(t->last_price.mantissa, 10000000000);
    assert_int_equal(t->last_price.exponent, -8);
    assert_int_equal(t->previous_close.mantissa, 10150000000);
    assert_int_equal(t->bid_quantity.mantissa, 200000000);
    assert_int_equal(t->price_change.mantissa, -15);
    assert_int_equal(t->price_change.exponent, -1);
    assert_int_equal(t->quote_volume.mantissa, 100300125);
    assert_int_equal(t->open_time_ns, 1499783499040000000);
    assert_int_equal(t->first_trade_id, 28385);
    assert_int_equal(t->last_trade_id, 28460);
    assert_int_equal(t->trade_count, 76);
}

/* Another symbol's answer is nobody's: not its own either, who did not ask. */
static void test_another_symbols_answer_is_refused(void **state)
{
    (void)state;
    const struct mlt_binance_symbol *asked = mlt_binance_symbols_at(symbols, 0);
    assert_int_equal(decode_of(asked, TICKER("C001USDT", "\"100.0\""), NULL), MLT_OK);
    assert_int_equal(got.events, 0);
    assert_int_equal(got.unparsed, 1);
    assert_string_equal(got.reason, "wrong_symbol");
    assert_int_equal(decode_of(asked, TICKER("C000USDT", "\"100.0\""), NULL), MLT_OK);
    assert_int_equal(got.events, 1);
    assert_string_equal(got.tokens[0], "C000-USDT");
}

static void test_array_is_one_ticker_an_element(void **state)
{
    (void)state;
    assert_int_equal(
        decode("[" TICKER("C000USDT", "\"1\"") "," TICKER("NOSUCH", "\"1\"") "," TICKER(
                   "C001USDT", "7") "," TICKER("C002USDT", "\"1\"") "]",
               NULL),
        MLT_OK);
    assert_int_equal(got.events, 2);
    assert_string_equal(got.tokens[1], "C002-USDT");
    assert_int_equal(got.unparsed, 2);
    assert_string_equal(got.reason, "wrong_type");
}

#define BETWEEN_GOOD_ONES(price)                                                                   \
    "[" TICKER("C000USDT", "\"1\"") "," TICKER("C001USDT", price) "," TICKER("C002USDT",           \
                                                                             "\"1\"") "]"

/* "parse" is the word for a number too: the body is an answer all the same. */
static void test_one_odd_price_is_refused_by_itself(void **state)
{
    static const char *const bodies[] = { BETWEEN_GOOD_ONES("\"\""), BETWEEN_GOOD_ONES("\"1e5\""),
                                          BETWEEN_GOOD_ONES("\"NaN\"") };
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        memset(&got, 0, sizeof got);
        assert_int_equal(decode(bodies[i], NULL), MLT_OK);
        assert_int_equal(got.events, 2);
        assert_int_equal(got.unparsed, 1);
        assert_string_equal(got.reason, "parse");
    }
}

static void test_error_object_is_said(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(decode("{\"code\":-1121,\"msg\":\"Invalid symbol.\"}", &err), MLT_E_PROTOCOL);
    assert_int_equal(err.code, -1121);
    assert_string_equal(err.text, "ticker/24hr of all: Invalid symbol.");
    assert_int_equal(got.events + got.unparsed, 0);
}

static void test_damaged_bodies_are_refused(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(decode("{\"symbol\":", &err), MLT_E_PARSE);
    assert_string_equal(err.text, "ticker/24hr of all: not JSON");
    assert_string_equal(got.reason, "parse");
    assert_int_equal(decode("7", NULL), MLT_OK);
    assert_string_equal(got.reason, "wrong_type");
    assert_int_equal(decode("{\"symbol\":\"C000USDT\"}", NULL), MLT_OK);
    assert_string_equal(got.reason, "missing_field");
    assert_int_equal(got.unparsed, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_object_is_one_ticker),           TEST(test_another_symbols_answer_is_refused),
        TEST(test_array_is_one_ticker_an_element), TEST(test_one_odd_price_is_refused_by_itself),
        TEST(test_error_object_is_said),           TEST(test_damaged_bodies_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
