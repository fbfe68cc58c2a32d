/*
 * One comparison of an event's field with a fixed value: what the filters of a route
 * (docs/dispatch-table.md) and of a private lane (docs/control.md) are made of. Pure, any thread.
 */
#ifndef MELTICA_EVENT_FILTER_H
#define MELTICA_EVENT_FILTER_H

#include "meltica/event/field.h"

#define MLT_FILTER_TEXT_BYTES_MAX 63u

struct mlt_filter {
    const struct mlt_event_field *field;
    enum mlt_event_op op;
    struct mlt_decimal number;                /* NUMBER fields */
    char text[MLT_FILTER_TEXT_BYTES_MAX + 1]; /* as written */
};

/* What is wrong with a comparison, in the order in which it is looked at. */
enum mlt_filter_fault {
    MLT_FILTER_RIGHT,
    MLT_FILTER_NO_FIELD,     /* the type has no such field to compare */
    MLT_FILTER_NO_OP,        /* none of eq, ne, lt, le, gt, ge */
    MLT_FILTER_TEXT_ORDER,   /* text, and an op that is neither eq nor ne */
    MLT_FILTER_NO_NUMBER,    /* a number field, and no decimal of 64 bits */
    MLT_FILTER_TEXT_TOO_LONG /* above MLT_FILTER_TEXT_BYTES_MAX */
};

/* Fills *out where the answer is RIGHT; it has copies, and lasts as long as it is kept. */
enum mlt_filter_fault mlt_filter_make(enum mlt_event_type type, struct mlt_slice field,
                                      struct mlt_slice op, struct mlt_slice value,
                                      struct mlt_filter *out) MLT_MUST_CHECK;

/* True when the event, of the field's type, passes. The notional of a trade that was not enriched
 * is calculated (price x quantity, exact); where it does not fit in 64 bits it never passes. */
bool mlt_filter_holds(const struct mlt_filter *filter, const struct mlt_event *event);

#endif
