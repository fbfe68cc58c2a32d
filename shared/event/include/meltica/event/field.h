/*
 * The closed list of event fields that a filter may compare, by type: one list for the route
 * filters of the dispatch table, for lane filters, and for what `describe` offers. Pure, any
 * thread.
 */
#ifndef MELTICA_EVENT_FIELD_H
#define MELTICA_EVENT_FIELD_H

#include "meltica/event/event.h"

enum mlt_event_field_kind {
    MLT_EVENT_FIELD_NUMBER, /* an exact decimal; counts and ids have exponent 0 */
    MLT_EVENT_FIELD_TEXT    /* bytes, compared for equality only; flags are "true" and "false" */
};

struct mlt_event_field {
    enum mlt_event_type type;
    const char *name; /* as in event.proto */
    enum mlt_event_field_kind kind;
    uint8_t form;    /* how it is stored: private to field.c */
    uint16_t offset; /* in the payload struct */
};

struct mlt_event_value {
    enum mlt_event_field_kind kind;
    bool absent; /* notional of an event that was not enriched; a measure that a book has not */
    struct mlt_decimal number;
    struct mlt_slice text; /* view of the payload or of static storage */
};

/* NULL when the type has no such field to compare. Static storage. */
const struct mlt_event_field *mlt_event_field_find(enum mlt_event_type type, struct mlt_slice name);

/* Walks the fields of a type: NULL gives the first; NULL is returned after the last. */
const struct mlt_event_field *mlt_event_field_next(enum mlt_event_type type,
                                                   const struct mlt_event_field *after);

/* Value of the field in payload, which points at the member of `u` of that type (native and
 * canonical events share the payload structs). */
struct mlt_event_value mlt_event_field_get(const struct mlt_event_field *field,
                                           const void *payload);

/* The ops of a filter. */
enum mlt_event_op {
    MLT_EVENT_OP_EQ,
    MLT_EVENT_OP_NE,
    MLT_EVENT_OP_LT,
    MLT_EVENT_OP_LE,
    MLT_EVENT_OP_GT,
    MLT_EVENT_OP_GE,
    MLT_EVENT_OP_COUNT
};

/* "eq", ...; NULL outside the list. Static. */
const char *mlt_event_op_word(enum mlt_event_op op);
/* E_PARSE for a word that is no op. */
enum mlt_status mlt_event_op_parse(struct mlt_slice word, enum mlt_event_op *out) MLT_MUST_CHECK;

/* True when `value op wanted` holds. Values of different kinds, absent values, and texts under an
 * order never hold. */
bool mlt_event_value_holds(const struct mlt_event_value *value, enum mlt_event_op op,
                           const struct mlt_event_value *wanted);

#endif
