#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "binance.h"
#include "meltica/base/hash.h"

static const char listing[] =
    "{\"rateLimits\":[{\"rateLimitType\":\"RAW_REQUESTS\",\"interval\":\"MINUTE\",\"intervalNum\":"
    "5,"
    "\"limit\":300000},{\"rateLimitType\":\"REQUEST_WEIGHT\",\"interval\":\"MINUTE\","
    "\"intervalNum\":1,"
    "\"limit\":6000}],\"symbols\":["
    "{\"symbol\":\"BTCUSDT\",\"status\":\"TRADING\",\"baseAsset\":\"BTC\",\"quoteAsset\":\"USDT\","
    "\"baseAssetPrecision\":8,\"quoteAssetPrecision\":8,\"filters\":[{\"filterType\":\"NEW_ONE\"},"
    "{\"filterType\":\"PRICE_FILTER\",\"tickSize\":\"0.01000000\"},{\"filterType\":\"LOT_SIZE\","
    "\"stepSize\":\"0.00001000\"},{\"filterType\":\"NOTIONAL\",\"minNotional\":\"5.00000000\"}]},"
    "{\"symbol\":\"\xe5\xb8\x81USDT\",\"status\":\"SOMETHING_NEW\",\"baseAsset\":\"\xe5\xb8\x81\","
    "\"quoteAsset\":\"USDT\",\"baseAssetPrecision\":2,\"quoteAssetPrecision\":1,\"filters\":[]},"
    "{\"symbol\":\"NOBASE\"},{\"symbol\":\"BTCUSDT\",\"baseAsset\":\"BTC\",\"quoteAsset\":\"USDT\"}"
    "]}";

struct fixture {
    struct mlt_binance_symbols *symbols;
    struct mlt_binance_decoder *decoder;
    struct mlt_binance_frame frame;
    unsigned emitted, unparsed;
    struct mlt_native_event last; /* views die with the call: only numbers are read from it */
    char reason[32], token[64];
    int64_t bid_prices[4], ask_quantities[4];
};

static void on_emit(void *ctx, const struct mlt_binance_symbol *symbol, struct mlt_slice stream,
                    struct mlt_native_event *event)
{
    struct fixture *f = ctx;
    (void)symbol;
    (void)stream;
    f->emitted++;
    f->last = *event;
    (void)snprintf(f->token, sizeof f->token, "%.*s", MLT_SLICE_FMT(event->instrument));
    if (event->type == MLT_NATIVE_UNPARSED) {
        f->unparsed++;
        (void)snprintf(f->reason, sizeof f->reason, "%.*s",
                       MLT_SLICE_FMT(event->u.unparsed.reason));
    } else if (event->type == MLT_EVENT_BOOK_DELTA) {
        for (size_t i = 0; i < event->u.book_delta.bids.count && i < 4; i++) {
            f->bid_prices[i] = event->u.book_delta.bids.prices[i];
        }
        for (size_t i = 0; i < event->u.book_delta.asks.count && i < 4; i++) {
            f->ask_quantities[i] = event->u.book_delta.asks.quantities[i];
        }
    }
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    uint32_t skipped = 0, weight = 0;
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_binance_symbols_parse(mlt_slice_of_string(listing), &f->symbols, &skipped,
                                               &weight, &err),
                     MLT_OK);
    assert_int_equal(skipped, 2);
    assert_int_equal(weight, 6000);
    assert_int_equal(mlt_binance_decoder_create(&f->decoder), MLT_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    mlt_binance_decoder_destroy(f->decoder);
    mlt_binance_symbols_destroy(f->symbols);
    free(f);
    return 0;
}

static void decode_bytes(struct fixture *f, const void *bytes, size_t len)
{
    /* Exactly the promised padding, so that the sanitizer sees a read beyond it. */
    char *copy = calloc(1, len + 8);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    f->emitted = f->unparsed = 0;
    f->reason[0] = '\0';
    assert_int_equal(mlt_binance_decode_frame(f->decoder, copy, len, MLT_BINANCE_MS_NS, f->symbols,
                                              on_emit, f, &f->frame),
                     MLT_OK);
    free(copy);
}

static void decode(struct fixture *f, const char *text)
{
    decode_bytes(f, text, strlen(text));
}

#define TRADE(e_, s_, t_, p_, q_, m_)                                                              \
    "{\"stream\":\"btcusdt@trade\",\"data\":{\"e\":\"" e_ "\",\"E\":1723161255343,\"s\":" s_       \
    ",\"t\":" t_ ",\"p\":" p_ ",\"q\":" q_ ",\"T\":1723161255342,\"m\":" m_                        \
    ",\"M\":true,\"new\":[]}}"

static void test_exchange_info_gives_tokens_exponents_and_rules(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mlt_binance_symbols_count(f->symbols), 2);
    const struct mlt_binance_symbol *btc =
        mlt_binance_symbol_by_lower(f->symbols, MLT_SLICE_LITERAL("btcusdt"));
    assert_non_null(btc);
    assert_string_equal(btc->token, "BTC-USDT");
    assert_int_equal(btc->price_exponent, -8);
    assert_int_equal(mlt_decimal_compare(btc->tick_size, (struct mlt_decimal){ 1, -2 }), 0);
    assert_int_equal(mlt_decimal_compare(btc->minimum_notional, (struct mlt_decimal){ 5, 0 }), 0);
    const struct mlt_binance_symbol *other =
        mlt_binance_symbol_by_token(f->symbols, MLT_SLICE_LITERAL("=E5=B8=81-USDT"));
    assert_non_null(other);
    assert_int_equal(other->price_exponent, -1);
    assert_int_equal(other->quantity_exponent, -2);
    struct mlt_binance_symbols *none = NULL;
    assert_int_equal(mlt_binance_symbols_parse(MLT_SLICE_LITERAL("{}"), &none, NULL, NULL, NULL),
                     MLT_E_MISSING);
    assert_int_equal(
        mlt_binance_symbols_parse(MLT_SLICE_LITERAL("<html>"), &none, NULL, NULL, NULL),
        MLT_E_PARSE);
}

static void test_trade_is_read_exactly_and_m_means_the_taker_sold(void **state)
{
    struct fixture *f = *state;
    decode(f, TRADE("trade", "\"BTCUSDT\"", "3735683259", "\"61837.63000000\"", "\"0.02000000\"",
                    "true"));
    assert_int_equal(f->emitted, 1);
    assert_int_equal(f->last.type, MLT_EVENT_TRADE);
    assert_string_equal(f->token, "BTC-USDT");
    assert_true(f->last.first == 3735683259 && f->last.last == 3735683259);
    assert_true(f->last.u.trade.price.mantissa == 6183763000000 &&
                f->last.u.trade.price.exponent == -8);
    assert_int_equal(f->last.u.trade.aggressor, MLT_SIDE_SELL);
    assert_true(f->last.exchange == INT64_C(1723161255343000000));
    assert_true(f->last.u.trade.trade_time_ns == INT64_C(1723161255342000000));
}

/* u and U, a and A, b and B are different members. */
static void test_keys_that_differ_in_case_only_are_told_apart(void **state)
{
    struct fixture *f = *state;
    decode(f, "{\"stream\":\"btcusdt@bookTicker\",\"data\":{\"u\":50093239212,\"s\":\"BTCUSDT\","
              "\"b\":\"1.5\","
              "\"B\":\"2.5\",\"a\":\"3.5\",\"A\":\"4.5\"}}");
    assert_int_equal(f->last.type, MLT_EVENT_BBO);
    assert_true(f->last.u.bbo.bid_price.mantissa == 150000000);
    assert_true(f->last.u.bbo.bid_quantity.mantissa == 250000000);
    assert_true(f->last.u.bbo.ask_price.mantissa == 350000000);
    assert_true(f->last.u.bbo.ask_quantity.mantissa == 450000000);
    assert_true(f->last.exchange == MLT_STAMP_UNKNOWN);
    decode(f, "{\"e\":\"depthUpdate\",\"E\":1723161255208,\"s\":\"BTCUSDT\",\"U\":5,\"u\":9,\"b\":["
              "[\"61737.63\","
              "\"0.00000000\",[]],[\"1\",\"2\"]],\"a\":[[\"61837.64\",\"1.54698\"]]}");
    assert_int_equal(f->last.type, MLT_EVENT_BOOK_DELTA);
    assert_true(f->last.first == 5 && f->last.last == 9);
    assert_true(f->bid_prices[0] == 6173763000000 && f->ask_quantities[0] == 154698000);
}

static void test_a_candle_without_trades_keeps_minus_one(void **state)
{
    struct fixture *f = *state;
    decode(f, "{\"e\":\"kline\",\"E\":1653818762502,\"s\":\"BTCUSDT\",\"k\":{\"t\":1653818760000,"
              "\"T\":1653818819999,\"s\":\"BTCUSDT\",\"i\":\"1m\",\"f\":-1,\"L\":-1,\"o\":\"1\","
              "\"c\":\"1\","
              "\"h\":\"1\",\"l\":\"1\",\"v\":\"0.00000000\",\"n\":0,\"x\":true,\"q\":\"0\",\"V\":"
              "\"0\",\"Q\":\"0\"}}");
    assert_int_equal(f->last.type, MLT_EVENT_KLINE);
    assert_int_equal(f->last.u.kline.first_trade_id, -1);
    assert_true(f->last.u.kline.closed);
    assert_true(f->last.first == INT64_C(1653818760000000000));
}

static void test_no_json_wrong_types_and_the_rest_are_refused_by_name(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *frame, *reason;
    } cases[] = {
        { "", "parse" },
        { "not json", "parse" },
        { "{\"stream\":\"btcusdt@trade\",\"data\":{\"e\":\"tra", "parse" },
        { "[]", "missing_field" },
        { "17", "wrong_type" },
        { "{\"stream\":\"x@y\",\"data\":7}", "wrong_type" },
        { "{\"e\":\"avgPrice\",\"s\":\"BTCUSDT\"}", "unmapped" },
        { "{}", "unmapped" },
        { TRADE("trade", "\"NOPE\"", "1", "\"1\"", "\"1\"", "true"), "unknown_symbol" },
        { TRADE("trade", "5", "1", "\"1\"", "\"1\"", "true"), "wrong_type" },
        { TRADE("trade", "\"BTCUSDT\"", "\"1\"", "\"1\"", "\"1\"", "true"), "wrong_type" },
        { TRADE("trade", "\"BTCUSDT\"", "1", "1.5", "\"1\"", "true"), "wrong_type" },
        { TRADE("trade", "\"BTCUSDT\"", "1", "\"1\"", "\"1\"", "1"), "wrong_type" },
        { TRADE("trade", "\"BTCUSDT\"", "-1", "\"1\"", "\"1\"", "true"), "out_of_range" },
        { TRADE("trade", "\"BTCUSDT\"", "9223372036854775808", "\"1\"", "\"1\"", "true"),
          "out_of_range" },
        { TRADE("trade", "\"BTCUSDT\"", "9223372036854775807", "\"1\"", "\"1\"", "true"),
          "out_of_range" }, /* no id follows it */
        { TRADE("trade", "\"BTCUSDT\"", "99999999999999999999999", "\"1\"", "\"1\"", "true"),
          "out_of_range" },
        { TRADE("trade", "\"BTCUSDT\"", "1", "\"92233720368.54775808\"", "\"1\"", "true"),
          "out_of_range" },
        { TRADE("trade", "\"BTCUSDT\"", "1", "\"-1\"", "\"1\"", "true"), "out_of_range" },
        { TRADE("trade", "\"BTCUSDT\"", "1", "\"1.123456789\"", "\"1\"", "true"), "precision" },
        { TRADE("trade", "\"BTCUSDT\"", "1", "\"1e5\"", "\"1\"", "true"), "parse" },
        { "{\"e\":\"trade\",\"E\":1,\"s\":\"BTCUSDT\",\"t\":1,\"p\":\"1\",\"T\":1,\"m\":true}",
          "missing_field" },
        { "{\"e\":\"depthUpdate\",\"E\":1,\"s\":\"BTCUSDT\",\"U\":9,\"u\":5,\"b\":[],\"a\":[]}",
          "out_of_range" },
        { "{\"e\":\"depthUpdate\",\"E\":1,\"s\":\"BTCUSDT\",\"U\":1,\"u\":5,\"b\":[[\"1\"]],\"a\":["
          "]}",
          "missing_field" },
        { "{\"e\":\"depthUpdate\",\"E\":1,\"s\":\"BTCUSDT\",\"U\":1,\"u\":5,\"b\":[[\"0\",\"1\"]],"
          "\"a\":[]}",
          "out_of_range" },
        { "{\"e\":\"depthUpdate\",\"E\":1,\"s\":\"BTCUSDT\",\"U\":1,\"u\":5,\"b\":{},\"a\":[]}",
          "wrong_type" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        decode(f, cases[i].frame);
        assert_int_equal(f->emitted, 1);
        assert_int_equal(f->unparsed, 1);
        assert_string_equal(f->reason, cases[i].reason);
        assert_int_equal(f->last.u.unparsed.original_bytes, strlen(cases[i].frame));
    }
}

static void test_answers_errors_and_shutdown_are_no_events(void **state)
{
    struct fixture *f = *state;
    decode(f, "{\"result\":null,\"id\":7}");
    assert_int_equal(f->frame.kind, MLT_FRAME_ACK);
    assert_true(f->frame.has_id && f->frame.id == 7);
    decode(f, "{\"error\":{\"code\":2,\"msg\":\"Invalid request: invalid stream\"},\"id\":null}");
    assert_int_equal(f->frame.kind, MLT_FRAME_ERROR);
    assert_false(f->frame.has_id);
    assert_int_equal(f->frame.error_code, 2);
    assert_string_equal(f->frame.error_text, "Invalid request: invalid stream");
    decode(f, "{\"code\":3,\"msg\":\"Invalid JSON\"}");
    assert_int_equal(f->frame.kind, MLT_FRAME_ERROR);
    decode(f, "{\"stream\":\"!serverShutdown\",\"data\":{\"e\":\"serverShutdown\",\"E\":1}}");
    assert_int_equal(f->frame.kind, MLT_FRAME_SERVER_SHUTDOWN);
    assert_int_equal(f->emitted, 0);
}

static void test_arrays_of_data_give_one_instance_an_element(void **state)
{
    struct fixture *f = *state;
    decode(f, "{\"stream\":\"x@arr\",\"data\":[{\"u\":1,\"s\":\"BTCUSDT\",\"b\":\"1\",\"B\":\"1\","
              "\"a\":\"2\",\"A\":"
              "\"1\"},{\"e\":\"other\"},{\"u\":2,\"s\":\"BTCUSDT\",\"b\":\"1\",\"B\":\"1\",\"a\":"
              "\"2\",\"A\":\"1\"}]}");
    assert_int_equal(f->emitted, 3);
    assert_int_equal(f->unparsed, 1);
}

static void test_depth_body_is_a_snapshot_tagged_with_its_function(void **state)
{
    struct fixture *f = *state;
    const struct mlt_binance_symbol *btc =
        mlt_binance_symbol_by_native(f->symbols, MLT_SLICE_LITERAL("BTCUSDT"));
    static const char text[] =
        "{\"lastUpdateId\":5,\"bids\":[[\"2\",\"1\"]],\"asks\":[[\"3\",\"1\"]]}";
    static const char error[] = "{\"code\":-1121,\"msg\":\"Invalid symbol.\"}";
    char body[sizeof text + 8] = "", failed[sizeof error + 8] = "";
    memcpy(body, text, sizeof text - 1);
    memcpy(failed, error, sizeof error - 1);
    char short_body[sizeof text + 8] = "";
    memcpy(short_body, text, sizeof text - 2);
    struct mlt_error err = MLT_ERROR_INIT;
    f->emitted = 0;
    assert_int_equal(mlt_binance_decode_depth(f->decoder, btc, short_body, sizeof text - 2, 99,
                                              on_emit, f, &err),
                     MLT_E_PARSE);
    assert_string_equal(err.text, "depth of BTCUSDT: not JSON");
    assert_int_equal(f->emitted, 1);
    assert_int_equal(f->last.type, MLT_NATIVE_UNPARSED);
    f->emitted = 0;
    assert_int_equal(
        mlt_binance_decode_depth(f->decoder, btc, body, sizeof text - 1, 99, on_emit, f, &err),
        MLT_OK);
    assert_int_equal(f->emitted, 1);
    assert_int_equal(f->last.type, MLT_EVENT_BOOK_SNAPSHOT);
    assert_true(mlt_slice_equal_string(f->last.rest_function, "depth"));
    assert_true(f->last.received == 99 && f->last.last == 5);
    assert_int_equal(
        mlt_binance_decode_depth(f->decoder, btc, failed, sizeof error - 1, 99, on_emit, f, &err),
        MLT_E_PROTOCOL);
    assert_int_equal(err.code, -1121);
    assert_int_equal(f->emitted, 1);
}

static void decode_trades(struct fixture *f, const char *text, bool aggregates,
                          enum mlt_status expected)
{
    const struct mlt_binance_symbol *btc =
        mlt_binance_symbol_by_native(f->symbols, MLT_SLICE_LITERAL("BTCUSDT"));
    char body[1024] = "";
    struct mlt_error err = MLT_ERROR_INIT;
    assert_true(strlen(text) + 8 < sizeof body);
    memcpy(body, text, strlen(text));
    f->emitted = 0;
    assert_int_equal(mlt_binance_decode_trades(f->decoder, btc, aggregates, body, strlen(text), 99,
                                               on_emit, f, &err),
                     expected);
}

/* The documentation's own answers, and what is none. */
static void test_rest_trades(void **state)
{
    struct fixture *f = *state;
    decode_trades(
        f,
        "[{\"id\":28457,\"price\":\"4.00000100\",\"qty\":\"12.00000000\",\"quoteQty\":"
        "\"48.000012\",\"time\":1499865549590,\"isBuyerMaker\":true,\"isBestMatch\":true},"
        "{\"id\":28458,\"price\":\"4.1\",\"qty\":\"1\",\"quoteQty\":\"4.1\",\"time\":"
        "1499865549591,\"isBuyerMaker\":false,\"isBestMatch\":true}]",
        false, MLT_OK);
    assert_int_equal(f->emitted, 2);
    const struct mlt_native_event *e = &f->last;
    assert_int_equal(e->type, MLT_EVENT_TRADE);
    assert_true(mlt_slice_equal_string(e->rest_function, "historicalTrades"));
    assert_true(e->received == 99 && e->exchange == MLT_STAMP_UNKNOWN);
    assert_true(e->first == 28458 && e->last == 28458 && e->u.trade.trade_id == 28458);
    assert_int_equal(e->u.trade.aggressor, MLT_SIDE_BUY);
    assert_int_equal(e->u.trade.trade_time_ns, INT64_C(1499865549591000000));
    decode_trades(f,
                  "[{\"a\":26129,\"p\":\"0.01633102\",\"q\":\"4.70443515\",\"f\":27781,\"l\":27785,"
                  "\"T\":1498793709153,\"m\":true,\"M\":true}]",
                  true, MLT_OK);
    assert_int_equal(f->emitted, 1);
    assert_int_equal(e->type, MLT_EVENT_AGG_TRADE);
    assert_true(mlt_slice_equal_string(e->rest_function, "aggTrades"));
    assert_true(e->first == 26129 && e->u.agg_trade.first_trade_id == 27781 &&
                e->u.agg_trade.last_trade_id == 27785);
    assert_int_equal(e->u.agg_trade.aggressor, MLT_SIDE_SELL);
    assert_int_equal(e->exchange, MLT_STAMP_UNKNOWN);

    decode_trades(f, "[]", false, MLT_OK);
    assert_int_equal(f->emitted, 0);
    /* One that cannot be read is refused by itself. */
    decode_trades(f,
                  "[7,{\"id\":1},{\"id\":2,\"price\":\"1\",\"qty\":\"1\",\"time\":5,"
                  "\"isBuyerMaker\":true}]",
                  false, MLT_OK);
    assert_int_equal(f->emitted, 3);
    assert_int_equal(e->type, MLT_EVENT_TRADE);
    /* The same word as of a body that is no JSON, but this one is an answer. */
    decode_trades(f,
                  "[{\"id\":1,\"price\":\"1\",\"qty\":\"1\",\"time\":5,\"isBuyerMaker\":true},"
                  "{\"id\":2,\"price\":\"1e5\",\"qty\":\"1\",\"time\":5,\"isBuyerMaker\":true}]",
                  false, MLT_OK);
    assert_int_equal(f->emitted, 2);
    assert_int_equal(e->type, MLT_NATIVE_UNPARSED);
    assert_true(mlt_slice_equal_string(e->u.unparsed.reason, "parse"));
    decode_trades(f, "{\"a\":1}", true, MLT_OK);
    assert_int_equal(f->emitted, 1);
    assert_int_equal(e->type, MLT_NATIVE_UNPARSED);
    decode_trades(f, "[{\"id\":1", false, MLT_E_PARSE);
    assert_int_equal(f->emitted, 1);
    assert_int_equal(e->type, MLT_NATIVE_UNPARSED);
    assert_true(mlt_slice_equal_string(e->u.unparsed.reason, "parse"));
    decode_trades(f, "", false, MLT_E_PARSE);
    assert_int_equal(f->emitted, 1);
    decode_trades(f, "{\"code\":-1121,\"msg\":\"Invalid symbol.\"}", false, MLT_E_PROTOCOL);
    assert_int_equal(f->emitted, 0);
}

/* Seeded: bit flips, cuts, repeated and swapped pieces of real shapes. Each frame ends as events,
 * refusals or an answer: never silence, never a crash, never a read outside of the buffer. */
static void test_hundred_thousand_mutated_frames_are_all_accounted_for(void **state)
{
    struct fixture *f = *state;
    static const char *const shapes[] = {
        TRADE("trade", "\"BTCUSDT\"", "3735683259", "\"61837.63000000\"", "\"0.02000000\"", "true"),
        "{\"stream\":\"btcusdt@depth\",\"data\":{\"e\":\"depthUpdate\",\"E\":1723161255208,\"s\":"
        "\"BTCUSDT\",\"U\":5,"
        "\"u\":9,\"b\":[[\"61737.63\",\"0.00000000\"]],\"a\":[[\"61837.64\",\"1.54698\"]]}}",
        "{\"u\":1,\"s\":\"BTCUSDT\",\"b\":\"1\",\"B\":\"1\",\"a\":\"2\",\"A\":\"1\"}",
        "{\"result\":null,\"id\":7}",
    };
    unsigned events = 0, refused = 0, answers = 0;
    char frame[1024];
    for (uint64_t seed = 0; seed < 100000; seed++) {
        uint64_t r = mlt_mix64(seed);
        const char *shape = shapes[r % 4];
        size_t len = strlen(shape);
        memcpy(frame, shape, len);
        const unsigned mutations = 1 + (unsigned)((r >> 8) % 4);
        for (unsigned m = 0; m < mutations && len > 0; m++) {
            r = mlt_mix64(r);
            const size_t at = (size_t)((r >> 8) % len);
            switch (r % 4) {
            case 0:
                frame[at] = (char)(frame[at] ^ (char)(1u << ((r >> 40) % 7)));
                break;
            case 1:
                len = at;
                break;
            case 2:
                memset(frame + at, "{[9\"-.\\e"[(r >> 40) % 8], len - at < 20 ? len - at : 20);
                break;
            default:
                memmove(frame, frame + at, len - at);
                len -= at;
                break;
            }
        }
        decode_bytes(f, frame, len);
        if (f->frame.kind != MLT_FRAME_EVENTS) {
            answers++;
            assert_int_equal(f->emitted, 0);
        } else {
            assert_true(f->emitted >= 1);
            refused += f->unparsed;
            events += f->emitted - f->unparsed;
        }
    }
    assert_true(events > 500 && refused > 10000 && answers > 100);
}

static void test_huge_and_deep_frames_are_refused_or_read_without_growing(void **state)
{
    struct fixture *f = *state;
    const size_t len = 10u << 20;
    char *frame = malloc(len);
    assert_non_null(frame);
    memset(frame, '[', len);
    decode_bytes(f, frame, len);
    assert_string_equal(f->reason, "parse");
    static const char quote[] =
        "{\"u\":1,\"s\":\"BTCUSDT\",\"b\":\"1\",\"B\":\"1\",\"a\":\"2\",\"A\":\"1\"}";
    memset(frame, ' ', len);
    memcpy(frame, quote, sizeof quote - 1);
    decode_bytes(f, frame, len);
    assert_int_equal(f->last.type, MLT_EVENT_BBO);
    free(frame);
    char *over = calloc(1, MLT_BINANCE_FRAME_BYTES_MAX + 1);
    assert_non_null(over);
    decode_bytes(f, over, MLT_BINANCE_FRAME_BYTES_MAX + 1);
    assert_string_equal(f->reason, "too_big");
    free(over);
}

static void test_the_exchange_s_time_is_read(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    int64_t time_ns = 0;
    assert_int_equal(mlt_binance_decode_time(MLT_SLICE_LITERAL("{\"serverTime\":1499827319559}"),
                                             &time_ns, &err),
                     MLT_OK);
    assert_int_equal(time_ns, INT64_C(1499827319559000000));
    static const struct {
        const char *body;
        enum mlt_status status;
    } wrong[] = {
        { "{\"serverTime\"", MLT_E_PARSE },
        { "{}", MLT_E_MISSING },
        { "{\"serverTime\":-1}", MLT_E_MISSING },
        { "{\"serverTime\":1.5}", MLT_E_MISSING },
        { "{\"serverTime\":\"1499\"}", MLT_E_MISSING },
        { "[]", MLT_E_MISSING },
        { "{\"serverTime\":18446744073709551615}", MLT_E_MISSING },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(
            mlt_binance_decode_time(mlt_slice_of_string(wrong[i].body), &time_ns, &err),
            wrong[i].status);
    }
    assert_int_equal(time_ns, INT64_C(1499827319559000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exchange_info_gives_tokens_exponents_and_rules),
        cmocka_unit_test(test_trade_is_read_exactly_and_m_means_the_taker_sold),
        cmocka_unit_test(test_keys_that_differ_in_case_only_are_told_apart),
        cmocka_unit_test(test_a_candle_without_trades_keeps_minus_one),
        cmocka_unit_test(test_no_json_wrong_types_and_the_rest_are_refused_by_name),
        cmocka_unit_test(test_answers_errors_and_shutdown_are_no_events),
        cmocka_unit_test(test_arrays_of_data_give_one_instance_an_element),
        cmocka_unit_test(test_the_exchange_s_time_is_read),
        cmocka_unit_test(test_depth_body_is_a_snapshot_tagged_with_its_function),
        cmocka_unit_test(test_rest_trades),
        cmocka_unit_test(test_hundred_thousand_mutated_frames_are_all_accounted_for),
        cmocka_unit_test(test_huge_and_deep_frames_are_refused_or_read_without_growing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
