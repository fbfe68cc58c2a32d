/* See field.h. One row a field; the form says how its bytes are read. */
#include "meltica/event/field.h"

enum form {
    FORM_DECIMAL,
    FORM_NOTIONAL,
    FORM_INT64,
    FORM_UINT64,
    FORM_SLICE,
    FORM_BOOL,
    FORM_SIDE,
    FORM_BOOK_STATE,
    FORM_MEASURE
};

#define ROW(event_type, st, member, field_kind, how)                                               \
    { MLT_EVENT_##event_type, #member, MLT_EVENT_FIELD_##field_kind, (uint8_t)(how),               \
      (uint16_t)offsetof(struct mlt_##st, member) }
#define DECIMAL(type, st, member) ROW(type, st, member, NUMBER, FORM_DECIMAL)
#define INT64(type, st, member) ROW(type, st, member, NUMBER, FORM_INT64)
#define UINT64(type, st, member) ROW(type, st, member, NUMBER, FORM_UINT64)
#define TEXT(type, st, member) ROW(type, st, member, TEXT, FORM_SLICE)
#define FLAG(type, st, member) ROW(type, st, member, TEXT, FORM_BOOL)
#define MEASURE(member)                                                                            \
    { MLT_EVENT_BOOK, #member, MLT_EVENT_FIELD_NUMBER, FORM_MEASURE,                               \
      (uint16_t)offsetof(struct mlt_book, analytics.member) }
#define SIDE(type, st, member) ROW(type, st, member, TEXT, FORM_SIDE)

/* In order of type, so that a walk is a run of neighbours. */
static const struct mlt_event_field fields[] = {
    DECIMAL(TICKER, ticker, price_change),
    DECIMAL(TICKER, ticker, price_change_percent),
    DECIMAL(TICKER, ticker, weighted_average),
    DECIMAL(TICKER, ticker, last_price),
    DECIMAL(TICKER, ticker, last_quantity),
    DECIMAL(TICKER, ticker, bid_price),
    DECIMAL(TICKER, ticker, bid_quantity),
    DECIMAL(TICKER, ticker, ask_price),
    DECIMAL(TICKER, ticker, ask_quantity),
    DECIMAL(TICKER, ticker, open),
    DECIMAL(TICKER, ticker, high),
    DECIMAL(TICKER, ticker, low),
    DECIMAL(TICKER, ticker, base_volume),
    DECIMAL(TICKER, ticker, quote_volume),
    DECIMAL(TICKER, ticker, previous_close),
    UINT64(TICKER, ticker, trade_count),
    DECIMAL(BBO, bbo, bid_price),
    DECIMAL(BBO, bbo, bid_quantity),
    DECIMAL(BBO, bbo, ask_price),
    DECIMAL(BBO, bbo, ask_quantity),
    INT64(TRADE, trade, trade_id),
    DECIMAL(TRADE, trade, price),
    DECIMAL(TRADE, trade, quantity),
    SIDE(TRADE, trade, aggressor),
    { MLT_EVENT_TRADE, "notional", MLT_EVENT_FIELD_NUMBER, FORM_NOTIONAL, 0 },
    INT64(AGG_TRADE, agg_trade, aggregate_id),
    DECIMAL(AGG_TRADE, agg_trade, price),
    DECIMAL(AGG_TRADE, agg_trade, quantity),
    SIDE(AGG_TRADE, agg_trade, aggressor),
    { MLT_EVENT_AGG_TRADE, "notional", MLT_EVENT_FIELD_NUMBER, FORM_NOTIONAL, 0 },
    TEXT(KLINE, kline, interval),
    DECIMAL(KLINE, kline, open),
    DECIMAL(KLINE, kline, high),
    DECIMAL(KLINE, kline, low),
    DECIMAL(KLINE, kline, close),
    DECIMAL(KLINE, kline, base_volume),
    DECIMAL(KLINE, kline, quote_volume),
    DECIMAL(KLINE, kline, taker_buy_base_volume),
    DECIMAL(KLINE, kline, taker_buy_quote_volume),
    UINT64(KLINE, kline, trade_count),
    FLAG(KLINE, kline, closed),
    { MLT_EVENT_BOOK, "state", MLT_EVENT_FIELD_TEXT, FORM_BOOK_STATE,
      (uint16_t)offsetof(struct mlt_book, state) },
    MEASURE(mid),
    MEASURE(spread),
    MEASURE(spread_bps),
    MEASURE(microprice),
    MEASURE(volatility),
    { MLT_EVENT_INSTRUMENT, "base_asset", MLT_EVENT_FIELD_TEXT, FORM_SLICE,
      (uint16_t)offsetof(struct mlt_instrument, base) },
    { MLT_EVENT_INSTRUMENT, "quote_asset", MLT_EVENT_FIELD_TEXT, FORM_SLICE,
      (uint16_t)offsetof(struct mlt_instrument, quote) },
    TEXT(INSTRUMENT, instrument, status),
    DECIMAL(INSTRUMENT, instrument, tick_size),
    DECIMAL(INSTRUMENT, instrument, lot_size),
    DECIMAL(INSTRUMENT, instrument, minimum_notional),
};
#define FIELD_COUNT (sizeof fields / sizeof fields[0])

static const char *const op_words[] = { "eq", "ne", "lt", "le", "gt", "ge" };
_Static_assert(sizeof op_words / sizeof op_words[0] == MLT_EVENT_OP_COUNT, "one word an op");

const struct mlt_event_field *mlt_event_field_find(enum mlt_event_type type, struct mlt_slice name)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (fields[i].type == type && mlt_slice_equal_string(name, fields[i].name)) {
            return &fields[i];
        }
    }
    return NULL;
}

const struct mlt_event_field *mlt_event_field_next(enum mlt_event_type type,
                                                   const struct mlt_event_field *after)
{
    for (size_t i = after == NULL ? 0 : (size_t)(after - fields) + 1; i < FIELD_COUNT; i++) {
        if (fields[i].type == type) {
            return &fields[i];
        }
    }
    return NULL;
}

static struct mlt_slice side_word(enum mlt_side side)
{
    return side == MLT_SIDE_BUY    ? MLT_SLICE_LITERAL("BUY")
           : side == MLT_SIDE_SELL ? MLT_SLICE_LITERAL("SELL")
                                   : MLT_SLICE_LITERAL("SIDE_UNSPECIFIED");
}

static void notional_of(enum mlt_event_type type, const void *payload, struct mlt_event_value *out)
{
    if (type == MLT_EVENT_TRADE) {
        const struct mlt_trade *trade = payload;
        out->absent = !trade->has_notional;
        out->number = trade->notional;
    } else {
        const struct mlt_agg_trade *trade = payload;
        out->absent = !trade->has_notional;
        out->number = trade->notional;
    }
}

struct mlt_event_value mlt_event_field_get(const struct mlt_event_field *field, const void *payload)
{
    struct mlt_event_value value = { .kind = field->kind };
    const uint8_t *at = (const uint8_t *)payload + field->offset;
    switch ((enum form)field->form) {
    case FORM_DECIMAL:
        memcpy(&value.number, at, sizeof value.number);
        break;
    case FORM_NOTIONAL:
        notional_of(field->type, payload, &value);
        break;
    case FORM_INT64:
        memcpy(&value.number.mantissa, at, sizeof value.number.mantissa);
        break;
    case FORM_UINT64: {
        uint64_t count;
        memcpy(&count, at, sizeof count);
        value.number.mantissa = count <= INT64_MAX ? (int64_t)count : INT64_MAX;
        break;
    }
    case FORM_SLICE:
        memcpy(&value.text, at, sizeof value.text);
        break;
    case FORM_BOOL: {
        bool flag;
        memcpy(&flag, at, sizeof flag);
        value.text = flag ? MLT_SLICE_LITERAL("true") : MLT_SLICE_LITERAL("false");
        break;
    }
    case FORM_SIDE: {
        enum mlt_side side;
        memcpy(&side, at, sizeof side);
        value.text = side_word(side);
        break;
    }
    case FORM_BOOK_STATE: {
        enum mlt_book_state state;
        memcpy(&state, at, sizeof state);
        value.text = mlt_slice_of_string(mlt_book_state_word((int)state));
        break;
    }
    case FORM_MEASURE: {
        struct mlt_measure measure;
        memcpy(&measure, at, sizeof measure);
        value.absent = !((const struct mlt_book *)payload)->has_analytics ||
                       (measure.flags & MLT_MEASURE_PRESENT) == 0;
        value.number = measure.value;
        break;
    }
    }
    return value;
}

const char *mlt_event_op_word(enum mlt_event_op op)
{
    return (unsigned)op < MLT_EVENT_OP_COUNT ? op_words[op] : NULL;
}

enum mlt_status mlt_event_op_parse(struct mlt_slice word, enum mlt_event_op *out)
{
    for (unsigned i = 0; i < MLT_EVENT_OP_COUNT; i++) {
        if (mlt_slice_equal_string(word, op_words[i])) {
            *out = (enum mlt_event_op)i;
            return MLT_OK;
        }
    }
    return MLT_E_PARSE;
}

bool mlt_event_value_holds(const struct mlt_event_value *value, enum mlt_event_op op,
                           const struct mlt_event_value *wanted)
{
    if (value->kind != wanted->kind || value->absent || wanted->absent) {
        return false;
    }
    if (value->kind == MLT_EVENT_FIELD_TEXT) {
        const bool equal = mlt_slice_equal(value->text, wanted->text);
        return op == MLT_EVENT_OP_EQ ? equal : op == MLT_EVENT_OP_NE && !equal;
    }
    const int order = mlt_decimal_compare(value->number, wanted->number);
    switch (op) {
    case MLT_EVENT_OP_EQ:
        return order == 0;
    case MLT_EVENT_OP_NE:
        return order != 0;
    case MLT_EVENT_OP_LT:
        return order < 0;
    case MLT_EVENT_OP_LE:
        return order <= 0;
    case MLT_EVENT_OP_GT:
        return order > 0;
    case MLT_EVENT_OP_GE:
        return order >= 0;
    default:
        return false;
    }
}
