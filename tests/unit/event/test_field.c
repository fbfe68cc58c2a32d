#include "mlt_test.h"

#include "meltica/event/field.h"

static const struct mlt_event_field *field(enum mlt_event_type type, const char *name)
{
    const struct mlt_event_field *f = mlt_event_field_find(type, mlt_slice_of_string(name));
    assert_non_null(f);
    return f;
}

static struct mlt_event_value number(int64_t mantissa, int32_t exponent)
{
    return (struct mlt_event_value){ .kind = MLT_EVENT_FIELD_NUMBER,
                                     .number = { mantissa, exponent } };
}

static struct mlt_event_value text(const char *word)
{
    return (struct mlt_event_value){ .kind = MLT_EVENT_FIELD_TEXT,
                                     .text = mlt_slice_of_string(word) };
}

static bool holds(const struct mlt_event_value value, enum mlt_event_op op,
                  struct mlt_event_value wanted)
{
    return mlt_event_value_holds(&value, op, &wanted);
}

static void test_each_form_of_field_reads_its_member(void **state)
{
    (void)state;
    struct mlt_ticker ticker = { .previous_close = { 42, -1 }, .trade_count = 7 };
    struct mlt_trade trade = { .trade_id = -3,
                               .price = { 60000, -2 },
                               .aggressor = MLT_SIDE_SELL,
                               .has_notional = true,
                               .notional = { 5, 0 } };
    struct mlt_agg_trade agg = { .aggressor = MLT_SIDE_BUY };
    struct mlt_kline kline = { .interval = MLT_SLICE_LITERAL("1m"), .closed = true };
    struct mlt_instrument instrument = { .quote = MLT_SLICE_LITERAL("USDT") };

    struct mlt_event_value v =
        mlt_event_field_get(field(MLT_EVENT_TICKER, "previous_close"), &ticker);
    assert_true(v.kind == MLT_EVENT_FIELD_NUMBER && v.number.mantissa == 42 &&
                v.number.exponent == -1);
    v = mlt_event_field_get(field(MLT_EVENT_TICKER, "trade_count"), &ticker);
    assert_true(v.number.mantissa == 7 && v.number.exponent == 0);
    ticker.trade_count = UINT64_MAX;
    v = mlt_event_field_get(field(MLT_EVENT_TICKER, "trade_count"), &ticker);
    assert_true(v.number.mantissa == INT64_MAX);
    v = mlt_event_field_get(field(MLT_EVENT_TRADE, "trade_id"), &trade);
    assert_true(v.number.mantissa == -3);
    v = mlt_event_field_get(field(MLT_EVENT_TRADE, "aggressor"), &trade);
    assert_true(v.kind == MLT_EVENT_FIELD_TEXT && mlt_slice_equal_string(v.text, "SELL"));
    v = mlt_event_field_get(field(MLT_EVENT_TRADE, "notional"), &trade);
    assert_true(!v.absent && v.number.mantissa == 5);
    v = mlt_event_field_get(field(MLT_EVENT_AGG_TRADE, "aggressor"), &agg);
    assert_true(mlt_slice_equal_string(v.text, "BUY"));
    v = mlt_event_field_get(field(MLT_EVENT_AGG_TRADE, "notional"), &agg);
    assert_true(v.absent);
    v = mlt_event_field_get(field(MLT_EVENT_KLINE, "interval"), &kline);
    assert_true(mlt_slice_equal_string(v.text, "1m"));
    v = mlt_event_field_get(field(MLT_EVENT_KLINE, "closed"), &kline);
    assert_true(mlt_slice_equal_string(v.text, "true"));
    v = mlt_event_field_get(field(MLT_EVENT_INSTRUMENT, "quote_asset"), &instrument);
    assert_true(mlt_slice_equal_string(v.text, "USDT"));
}

static void test_fields_are_those_of_their_type_only(void **state)
{
    (void)state;
    assert_null(mlt_event_field_find(MLT_EVENT_BBO, MLT_SLICE_LITERAL("price")));
    assert_null(mlt_event_field_find(MLT_EVENT_TRADE, MLT_SLICE_LITERAL("Price")));
    assert_null(mlt_event_field_next(MLT_EVENT_BOOK_DELTA, NULL));
    assert_null(mlt_event_field_next(MLT_EVENT_BOOK_SNAPSHOT, NULL));
    unsigned count = 0;
    for (const struct mlt_event_field *f = mlt_event_field_next(MLT_EVENT_BBO, NULL); f != NULL;
         f = mlt_event_field_next(MLT_EVENT_BBO, f)) {
        assert_int_equal(f->type, MLT_EVENT_BBO);
        count++;
    }
    assert_int_equal(count, 4);
}

/* 0.10 is 0.1, and neither is a double. */
static void test_numbers_compare_exactly_under_every_op(void **state)
{
    (void)state;
    assert_true(holds(number(10, -2), MLT_EVENT_OP_EQ, number(1, -1)));
    assert_false(holds(number(10, -2), MLT_EVENT_OP_NE, number(1, -1)));
    assert_true(holds(number(10, -2), MLT_EVENT_OP_LE, number(1, -1)));
    assert_true(holds(number(10, -2), MLT_EVENT_OP_GE, number(1, -1)));
    assert_false(holds(number(10, -2), MLT_EVENT_OP_LT, number(1, -1)));
    assert_false(holds(number(10, -2), MLT_EVENT_OP_GT, number(1, -1)));
    /* Equal as doubles, different as numbers. */
    assert_true(holds(number(9007199254740993, 0), MLT_EVENT_OP_GT, number(9007199254740992, 0)));
    assert_true(holds(number(9007199254740993, 0), MLT_EVENT_OP_NE, number(9007199254740992, 0)));
    assert_true(holds(number(-1, 0), MLT_EVENT_OP_LT, number(1, -18)));
}

static void test_texts_are_equal_or_not_and_never_in_order(void **state)
{
    (void)state;
    assert_true(holds(text("BUY"), MLT_EVENT_OP_EQ, text("BUY")));
    assert_false(holds(text("BUY"), MLT_EVENT_OP_EQ, text("SELL")));
    assert_true(holds(text("BUY"), MLT_EVENT_OP_NE, text("SELL")));
    assert_false(holds(text("BUY"), MLT_EVENT_OP_LT, text("SELL")));
    assert_false(holds(text("1"), MLT_EVENT_OP_EQ, number(1, 0)));
    struct mlt_event_value absent = number(1, 0);
    absent.absent = true;
    assert_false(holds(absent, MLT_EVENT_OP_NE, number(2, 0)));
}

static void test_ops_have_one_word_each(void **state)
{
    (void)state;
    for (int op = 0; op < MLT_EVENT_OP_COUNT; op++) {
        enum mlt_event_op parsed;
        const char *word = mlt_event_op_word((enum mlt_event_op)op);
        assert_int_equal(mlt_event_op_parse(mlt_slice_of_string(word), &parsed), MLT_OK);
        assert_int_equal(parsed, op);
    }
    enum mlt_event_op parsed;
    assert_int_equal(mlt_event_op_parse(MLT_SLICE_LITERAL("=="), &parsed), MLT_E_PARSE);
    assert_null(mlt_event_op_word(MLT_EVENT_OP_COUNT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_form_of_field_reads_its_member),
        cmocka_unit_test(test_fields_are_those_of_their_type_only),
        cmocka_unit_test(test_numbers_compare_exactly_under_every_op),
        cmocka_unit_test(test_texts_are_equal_or_not_and_never_in_order),
        cmocka_unit_test(test_ops_have_one_word_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
