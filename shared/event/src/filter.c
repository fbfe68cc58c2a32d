/* See filter.h. */
#include "meltica/event/filter.h"

enum mlt_filter_fault mlt_filter_make(enum mlt_event_type type, struct mlt_slice field,
                                      struct mlt_slice op, struct mlt_slice value,
                                      struct mlt_filter *out)
{
    out->field = mlt_event_field_find(type, field);
    if (out->field == NULL) {
        return MLT_FILTER_NO_FIELD;
    }
    if (mlt_event_op_parse(op, &out->op) != MLT_OK) {
        return MLT_FILTER_NO_OP;
    }
    if (out->field->kind == MLT_EVENT_FIELD_TEXT && out->op != MLT_EVENT_OP_EQ &&
        out->op != MLT_EVENT_OP_NE) {
        return MLT_FILTER_TEXT_ORDER;
    }
    if (value.len > MLT_FILTER_TEXT_BYTES_MAX) {
        return MLT_FILTER_TEXT_TOO_LONG;
    }
    out->number = (struct mlt_decimal){ 0, 0 };
    if (out->field->kind == MLT_EVENT_FIELD_NUMBER &&
        mlt_decimal_parse(value, &out->number) != MLT_OK) {
        return MLT_FILTER_NO_NUMBER;
    }
    if (value.len > 0) {
        memcpy(out->text, value.data, value.len);
    }
    out->text[value.len] = '\0';
    return MLT_FILTER_RIGHT;
}

/* What the route may have left out. */
static void complete(const struct mlt_event *event, struct mlt_event_value *value)
{
    const bool trade = event->type == MLT_EVENT_TRADE;
    if (trade || event->type == MLT_EVENT_AGG_TRADE) {
        const struct mlt_decimal price = trade ? event->u.trade.price : event->u.agg_trade.price;
        const struct mlt_decimal quantity =
            trade ? event->u.trade.quantity : event->u.agg_trade.quantity;
        value->absent = mlt_decimal_multiply(price, quantity, &value->number) != MLT_OK;
    }
}

bool mlt_filter_holds(const struct mlt_filter *filter, const struct mlt_event *event)
{
    struct mlt_event_value value = mlt_event_field_get(filter->field, &event->u);
    const struct mlt_event_value wanted = { .kind = filter->field->kind,
                                            .number = filter->number,
                                            .text = mlt_slice_of_string(filter->text) };
    if (value.absent) {
        complete(event, &value);
    }
    return mlt_event_value_holds(&value, filter->op, &wanted);
}
