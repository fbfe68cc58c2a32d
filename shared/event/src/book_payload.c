/* Levels, heads, and the payloads that carry a book. */
#include "parts.h"

static void put_packed(struct writer *w, uint32_t field, const int64_t *values, size_t count)
{
    if (count == 0) {
        return;
    }
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        len += varint_size(zigzag(values[i]));
    }
    put_tag(w, field, WIRE_BYTES);
    put_varint(w, len);
    if (w->out == NULL) {
        w->len += len;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        put_varint(w, zigzag(values[i]));
    }
}

void mlt_put_levels(struct writer *w, const void *message)
{
    const struct mlt_levels *l = message;
    put_sint(w, 1, l->price_exponent);
    put_sint(w, 2, l->quantity_exponent);
    put_packed(w, 3, l->prices, l->count);
    put_packed(w, 4, l->quantities, l->count);
}

void mlt_put_book_delta(struct writer *w, const void *message)
{
    const struct mlt_book_delta *d = message;
    put_message(w, 1, mlt_put_levels, &d->bids);
    put_message(w, 2, mlt_put_levels, &d->asks);
    put_fixed32(w, 3, d->digest);
    put_uint(w, 4, d->digest_version);
}

void mlt_put_book_snapshot(struct writer *w, const void *message)
{
    const struct mlt_book_snapshot *s = message;
    put_sint(w, 1, s->last_update_id);
    put_message(w, 2, mlt_put_levels, &s->bids);
    put_message(w, 3, mlt_put_levels, &s->asks);
    put_uint(w, 4, s->requested_depth);
    put_uint(w, 5, s->reset ? 1 : 0);
}

/* Fields 1 to 4 and 13 of Analytics, and the repeated ones, 5 to 12, in order. */
#define SINGLE_COUNT 5
#define SPANNED_COUNT 8

struct measures {
    struct mlt_measure *single[SINGLE_COUNT];
    struct mlt_measure *spanned[SPANNED_COUNT];
};

static struct measures measures_of(struct mlt_book_analytics *a)
{
    return (struct measures){
        { &a->mid, &a->spread, &a->spread_bps, &a->microprice, &a->volatility },
        { a->bid_depth, a->ask_depth, a->imbalance, a->bid_within, a->ask_within,
          a->imbalance_within, a->vwap, a->trade_flow },
    };
}

static void put_measure(struct writer *w, const void *message)
{
    const struct mlt_measure *m = message;
    if ((m->flags & MLT_MEASURE_PRESENT) != 0) {
        put_message(w, 1, put_decimal, &m->value);
    }
    put_uint(w, 2, m->flags & ~(uint32_t)MLT_MEASURE_PRESENT);
}

static void put_analytics(struct writer *w, const void *message)
{
    struct mlt_book_analytics a = *(const struct mlt_book_analytics *)message;
    const struct measures m = measures_of(&a);
    for (uint32_t i = 0; i < SINGLE_COUNT - 1; i++) {
        if (m.single[i]->flags != 0) {
            put_message(w, i + 1, put_measure, m.single[i]);
        }
    }
    for (uint32_t i = 0; i < SPANNED_COUNT; i++) {
        for (unsigned s = 0; s < MLT_ANALYTICS_SPANS; s++) {
            put_message(w, i + 5, put_measure, &m.spanned[i][s]);
        }
    }
    if (a.volatility.flags != 0) {
        put_message(w, 13, put_measure, &a.volatility);
    }
}

void mlt_put_book(struct writer *w, const void *message)
{
    const struct mlt_book *b = message;
    put_message(w, 1, mlt_put_levels, &b->bids);
    put_message(w, 2, mlt_put_levels, &b->asks);
    put_sint(w, 3, b->last_update_id);
    put_fixed32(w, 4, b->digest);
    put_uint(w, 5, b->digest_version);
    put_uint(w, 6, (uint64_t)b->state);
    put_sint(w, 7, b->snapshot_update_id);
    put_fixed64(w, 8, (uint64_t)b->snapshot_time_ns);
    put_uint(w, 9, b->deltas_applied);
    if (b->has_analytics) {
        put_message(w, 10, put_analytics, &b->analytics);
    }
    put_uint(w, 11, b->known_bids);
    put_uint(w, 12, b->known_asks);
}

void mlt_put_head(struct writer *w, const void *message)
{
    const struct mlt_head *h = message;
    put_uint(w, 1, (uint64_t)h->type);
    put_uint(w, 2, h->sequence);
    put_sint(w, 3, h->last);
}

/* ---- decoding ---- */

/* One packed field (this contract writes each list as one) into the arena; elements are counted
 * first. */
static size_t take_packed(struct take *t, const struct field *f, const int64_t **out)
{
    struct mlt_slice bytes = take_bytes(t, f);
    size_t count = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        count += bytes.data[i] < 0x80 ? 1 : 0;
    }
    if (count > MLT_EVENT_LEVELS_MAX) {
        t->status = MLT_E_TOO_BIG;
        return 0;
    }
    int64_t *values = mlt_arena_alloc(t->arena, count * sizeof *values);
    if (values == NULL) {
        t->status = MLT_E_NOMEM;
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t v = 0;
        if (!take_varint(&bytes, &v)) {
            t->status = MLT_E_PARSE;
            return 0;
        }
        values[i] = unzigzag(v);
    }
    if (bytes.len != 0) {
        t->status = MLT_E_PARSE;
        return 0;
    }
    *out = values;
    return count;
}

void mlt_take_levels(struct take *t, const struct field *outer, struct mlt_levels *l)
{
    size_t prices = 0, quantities = 0;
    const struct mlt_slice bytes = take_bytes(t, outer);
    EACH_FIELD (t, bytes, f) {
        switch (f.number) {
        case 1:
            l->price_exponent = take_exponent(t, &f);
            break;
        case 2:
            l->quantity_exponent = take_exponent(t, &f);
            break;
        case 3:
            prices = take_packed(t, &f, &l->prices);
            break;
        case 4:
            quantities = take_packed(t, &f, &l->quantities);
            break;
        default:
            break;
        }
    }
    if (t->status == MLT_OK && prices != quantities) {
        t->status = MLT_E_PARSE;
    }
    l->count = prices;
}

void mlt_take_head(struct take *t, const struct field *outer, struct mlt_head *heads, size_t *count)
{
    if (*count == MLT_STATUS_HEADS_MAX) {
        t->status = MLT_E_TOO_BIG;
        return;
    }
    struct mlt_head *h = &heads[(*count)++];
    const struct mlt_slice bytes = take_bytes(t, outer);
    EACH_FIELD (t, bytes, f) {
        if (f.number == 1) {
            const uint64_t type = number(t, &f, WIRE_VARINT);
            h->type = type < MLT_EVENT_TYPE_COUNT ? (enum mlt_event_type)type : MLT_EVENT_NONE;
        } else if (f.number == 2) {
            h->sequence = number(t, &f, WIRE_VARINT);
        } else if (f.number == 3) {
            h->last = take_sint(t, &f);
        }
    }
}

void mlt_take_book_delta(struct take *t, struct mlt_slice bytes, void *payload)
{
    struct mlt_book_delta *d = payload;
    EACH_FIELD (t, bytes, f) {
        if (f.number == 1) {
            mlt_take_levels(t, &f, &d->bids);
        } else if (f.number == 2) {
            mlt_take_levels(t, &f, &d->asks);
        } else if (f.number == 3) {
            d->digest = (uint32_t)number(t, &f, WIRE_FIXED32);
        } else if (f.number == 4) {
            d->digest_version = take_uint32(t, &f);
        }
    }
}

void mlt_take_book_snapshot(struct take *t, struct mlt_slice bytes, void *payload)
{
    struct mlt_book_snapshot *s = payload;
    EACH_FIELD (t, bytes, f) {
        if (f.number == 1) {
            s->last_update_id = take_sint(t, &f);
        } else if (f.number == 2) {
            mlt_take_levels(t, &f, &s->bids);
        } else if (f.number == 3) {
            mlt_take_levels(t, &f, &s->asks);
        } else if (f.number == 4) {
            s->requested_depth = take_uint32(t, &f);
        } else if (f.number == 5) {
            s->reset = number(t, &f, WIRE_VARINT) != 0;
        }
    }
}

static void take_measure(struct take *t, const struct field *outer, struct mlt_measure *m)
{
    const struct mlt_slice bytes = take_bytes(t, outer);
    EACH_FIELD (t, bytes, f) {
        if (f.number == 1) {
            take_decimal(t, &f, &m->value);
            m->flags |= MLT_MEASURE_PRESENT;
        } else if (f.number == 2) {
            m->flags |= take_uint32(t, &f) & ~(uint32_t)MLT_MEASURE_PRESENT;
        }
    }
}

static void take_analytics(struct take *t, const struct field *outer, struct mlt_book_analytics *a)
{
    const struct measures m = measures_of(a);
    unsigned spans[SPANNED_COUNT] = { 0 };
    const struct mlt_slice bytes = take_bytes(t, outer);
    EACH_FIELD (t, bytes, f) {
        if (f.number >= 5 && f.number <= 12) {
            /* More spans than are known here belong to a later version. */
            unsigned *span = &spans[f.number - 5];
            if (*span < MLT_ANALYTICS_SPANS) {
                take_measure(t, &f, &m.spanned[f.number - 5][(*span)++]);
            }
        } else if (f.number >= 1 && f.number <= 4) {
            take_measure(t, &f, m.single[f.number - 1]);
        } else if (f.number == 13) {
            take_measure(t, &f, &a->volatility);
        }
    }
}

/* The fields after those of the levels. */
static void take_book_state(struct take *t, const struct field *f, struct mlt_book *b)
{
    switch (f->number) {
    case 6:
        b->state = take_state(t, f);
        break;
    case 7:
        b->snapshot_update_id = take_sint(t, f);
        break;
    case 8:
        b->snapshot_time_ns = (int64_t)number(t, f, WIRE_FIXED64);
        break;
    case 9:
        b->deltas_applied = number(t, f, WIRE_VARINT);
        break;
    case 10:
        b->has_analytics = true;
        take_analytics(t, f, &b->analytics);
        break;
    case 11:
        b->known_bids = take_uint32(t, f);
        break;
    case 12:
        b->known_asks = take_uint32(t, f);
        break;
    default:
        break;
    }
}

void mlt_take_book(struct take *t, struct mlt_slice bytes, void *payload)
{
    struct mlt_book *b = payload;
    EACH_FIELD (t, bytes, f) {
        if (f.number == 1) {
            mlt_take_levels(t, &f, &b->bids);
        } else if (f.number == 2) {
            mlt_take_levels(t, &f, &b->asks);
        } else if (f.number == 3) {
            b->last_update_id = take_sint(t, &f);
        } else if (f.number == 4) {
            b->digest = (uint32_t)number(t, &f, WIRE_FIXED32);
        } else if (f.number == 5) {
            b->digest_version = take_uint32(t, &f);
        } else {
            take_book_state(t, &f, b);
        }
    }
}
