/*
 * What several payloads and records are made of: decimals, levels, heads. Decoding: fields of
 * another wire type than documented are E_PARSE, unknown fields are skipped.
 */
#ifndef MELTICA_EVENT_PARTS_H
#define MELTICA_EVENT_PARTS_H

#include "meltica/event/event.h"
#include "wire.h"

struct take {
    struct mlt_arena *arena;
    enum mlt_status status;
};

static inline uint64_t number(struct take *t, const struct field *f, enum wire_type type)
{
    if (f->type != type) {
        t->status = MLT_E_PARSE;
    }
    return f->value;
}

static inline int64_t take_sint(struct take *t, const struct field *f)
{
    return unzigzag(number(t, f, WIRE_VARINT));
}

static inline int32_t take_sint32(struct take *t, const struct field *f)
{
    const int64_t v = take_sint(t, f);
    if (v < INT32_MIN || v > INT32_MAX) {
        t->status = MLT_E_PARSE;
        return 0;
    }
    return (int32_t)v;
}

/* An exponent outside of the contract could not be printed, nor compared. */
static inline int32_t take_exponent(struct take *t, const struct field *f)
{
    const int32_t exponent = take_sint32(t, f);
    if (exponent < MLT_DECIMAL_EXPONENT_MIN || exponent > MLT_DECIMAL_EXPONENT_MAX) {
        t->status = MLT_E_PARSE;
    }
    return exponent;
}

static inline uint32_t take_uint32(struct take *t, const struct field *f)
{
    const uint64_t v = number(t, f, WIRE_VARINT);
    if (v > UINT32_MAX) {
        t->status = MLT_E_PARSE;
    }
    return (uint32_t)v;
}

static inline struct mlt_slice take_bytes(struct take *t, const struct field *f)
{
    if (f->type != WIRE_BYTES) {
        t->status = MLT_E_PARSE;
    }
    return f->bytes;
}

/* Walks the fields of a message; body uses f and t. */
#define EACH_FIELD(t, bytes, f)                                                                    \
    struct mlt_slice rest_ = (bytes);                                                              \
    struct field f;                                                                                \
    enum mlt_status walk_;                                                                         \
    while ((t)->status == MLT_OK &&                                                                \
           ((walk_ = take_field(&rest_, &f)) == MLT_OK ||                                          \
            ((t)->status = walk_ == MLT_E_EMPTY ? MLT_OK : walk_, false)))

static inline void put_decimal(struct writer *w, const void *message)
{
    const struct mlt_decimal *d = message;
    put_sint(w, 1, d->mantissa);
    put_sint(w, 2, d->exponent);
}

static inline void take_decimal(struct take *t, const struct field *outer, struct mlt_decimal *d)
{
    const struct mlt_slice bytes = take_bytes(t, outer);
    EACH_FIELD (t, bytes, f) {
        if (f.number == 1) {
            d->mantissa = take_sint(t, &f);
        } else if (f.number == 2) {
            d->exponent = take_exponent(t, &f);
        }
    }
}

/* A state that is newer than this code is none that it could rely on. */
static inline enum mlt_book_state take_state(struct take *t, const struct field *f)
{
    const uint64_t state = number(t, f, WIRE_VARINT);
    return state <= MLT_BOOK_STALE ? (enum mlt_book_state)state : MLT_BOOK_STATE_NONE;
}

/* A message of exponents and columns; columns of different length are E_PARSE, of more than
 * MLT_EVENT_LEVELS_MAX E_TOO_BIG. */
void mlt_put_levels(struct writer *w, const void *message);
void mlt_take_levels(struct take *t, const struct field *outer, struct mlt_levels *l);

void mlt_put_head(struct writer *w, const void *message);
/* Appends to heads; more than MLT_STATUS_HEADS_MAX are E_TOO_BIG. */
void mlt_take_head(struct take *t, const struct field *outer, struct mlt_head *heads,
                   size_t *count);

void mlt_put_book_delta(struct writer *w, const void *message);
void mlt_put_book_snapshot(struct writer *w, const void *message);
void mlt_put_book(struct writer *w, const void *message);
void mlt_take_book_delta(struct take *t, struct mlt_slice bytes, void *payload);
void mlt_take_book_snapshot(struct take *t, struct mlt_slice bytes, void *payload);
void mlt_take_book(struct take *t, struct mlt_slice bytes, void *payload);

#endif
