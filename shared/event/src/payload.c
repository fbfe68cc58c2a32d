/* One put_ and one take_ function a payload of event.proto, in its order; those of books are in
 * book_payload.c. */
#include "payload.h"

#include "parts.h"

static void put_ticker(struct writer *w, const void *message)
{
    const struct mlt_ticker *t = message;
    const struct mlt_decimal *const decimals[14] = {
        &t->price_change,
        &t->price_change_percent,
        &t->weighted_average,
        &t->last_price,
        &t->last_quantity,
        &t->bid_price,
        &t->bid_quantity,
        &t->ask_price,
        &t->ask_quantity,
        &t->open,
        &t->high,
        &t->low,
        &t->base_volume,
        &t->quote_volume,
    };
    for (uint32_t i = 0; i < 14; i++) {
        put_message(w, i + 1, put_decimal, decimals[i]);
    }
    put_fixed64(w, 15, (uint64_t)t->open_time_ns);
    put_fixed64(w, 16, (uint64_t)t->close_time_ns);
    put_sint(w, 17, t->first_trade_id);
    put_sint(w, 18, t->last_trade_id);
    put_uint(w, 19, t->trade_count);
    put_message(w, 20, put_decimal, &t->previous_close);
}

static void put_bbo(struct writer *w, const void *message)
{
    const struct mlt_bbo *b = message;
    put_message(w, 1, put_decimal, &b->bid_price);
    put_message(w, 2, put_decimal, &b->bid_quantity);
    put_message(w, 3, put_decimal, &b->ask_price);
    put_message(w, 4, put_decimal, &b->ask_quantity);
}

static void put_trade(struct writer *w, const void *message)
{
    const struct mlt_trade *t = message;
    put_sint(w, 1, t->trade_id);
    put_message(w, 2, put_decimal, &t->price);
    put_message(w, 3, put_decimal, &t->quantity);
    put_uint(w, 4, (uint64_t)t->aggressor);
    put_fixed64(w, 5, (uint64_t)t->trade_time_ns);
    if (t->has_notional) {
        put_message(w, 6, put_decimal, &t->notional);
    }
}

static void put_agg_trade(struct writer *w, const void *message)
{
    const struct mlt_agg_trade *t = message;
    put_sint(w, 1, t->aggregate_id);
    put_sint(w, 2, t->first_trade_id);
    put_sint(w, 3, t->last_trade_id);
    put_message(w, 4, put_decimal, &t->price);
    put_message(w, 5, put_decimal, &t->quantity);
    put_uint(w, 6, (uint64_t)t->aggressor);
    put_fixed64(w, 7, (uint64_t)t->trade_time_ns);
    if (t->has_notional) {
        put_message(w, 8, put_decimal, &t->notional);
    }
}

static void put_kline(struct writer *w, const void *message)
{
    const struct mlt_kline *k = message;
    put_bytes(w, 1, k->interval);
    put_fixed64(w, 2, (uint64_t)k->open_time_ns);
    put_fixed64(w, 3, (uint64_t)k->close_time_ns);
    const struct mlt_decimal *const decimals[8] = {
        &k->open,
        &k->high,
        &k->low,
        &k->close,
        &k->base_volume,
        &k->quote_volume,
        &k->taker_buy_base_volume,
        &k->taker_buy_quote_volume,
    };
    for (uint32_t i = 0; i < 8; i++) {
        put_message(w, i + 4, put_decimal, decimals[i]);
    }
    put_uint(w, 12, k->trade_count);
    put_sint(w, 13, k->first_trade_id);
    put_sint(w, 14, k->last_trade_id);
    put_uint(w, 15, k->closed ? 1 : 0);
}

static void put_instrument(struct writer *w, const void *message)
{
    const struct mlt_instrument *i = message;
    put_bytes(w, 1, i->native_symbol);
    put_bytes(w, 2, i->base);
    put_bytes(w, 3, i->quote);
    put_bytes(w, 4, i->status);
    put_message(w, 5, put_decimal, &i->tick_size);
    put_message(w, 6, put_decimal, &i->lot_size);
    put_message(w, 7, put_decimal, &i->minimum_notional);
    put_sint(w, 8, i->price_exponent);
    put_sint(w, 9, i->quantity_exponent);
}

static void put_status(struct writer *w, const void *message)
{
    const struct mlt_status_event *s = message;
    put_uint(w, 1, (uint64_t)s->kind);
    put_bytes(w, 2, s->reason);
    put_uint(w, 3, (uint64_t)s->lost_type);
    put_uint(w, 4, s->first);
    put_uint(w, 5, s->last);
    put_uint(w, 6, s->previous_epoch);
    for (size_t i = 0; i < s->head_count; i++) {
        put_message(w, 7, mlt_put_head, &s->heads[i]);
    }
    put_sint(w, 8, s->update_first);
    put_sint(w, 9, s->update_last);
    put_uint(w, 10, (uint64_t)s->from);
}

static const put_fn puts_by_type[MLT_EVENT_TYPE_COUNT] = {
    [MLT_EVENT_TICKER] = put_ticker,
    [MLT_EVENT_BBO] = put_bbo,
    [MLT_EVENT_TRADE] = put_trade,
    [MLT_EVENT_AGG_TRADE] = put_agg_trade,
    [MLT_EVENT_KLINE] = put_kline,
    [MLT_EVENT_BOOK_DELTA] = mlt_put_book_delta,
    [MLT_EVENT_BOOK_SNAPSHOT] = mlt_put_book_snapshot,
    [MLT_EVENT_BOOK] = mlt_put_book,
    [MLT_EVENT_INSTRUMENT] = put_instrument,
    [MLT_EVENT_STATUS] = put_status,
};

void mlt_payload_put(struct writer *w, int type, const void *payload)
{
    if (type > MLT_EVENT_NONE && type < MLT_EVENT_TYPE_COUNT) {
        put_message(w, 19u + (uint32_t)type, puts_by_type[type], payload);
    }
}

enum mlt_event_type mlt_payload_type_of_field(uint32_t field)
{
    return field > 19 && field < 19u + MLT_EVENT_TYPE_COUNT ? (enum mlt_event_type)(field - 19)
                                                            : MLT_EVENT_NONE;
}

static void take_ticker(struct take *t, struct mlt_slice bytes, void *payload)
{
    struct mlt_ticker *k = payload;
    struct mlt_decimal *const decimals[14] = {
        &k->price_change,
        &k->price_change_percent,
        &k->weighted_average,
        &k->last_price,
        &k->last_quantity,
        &k->bid_price,
        &k->bid_quantity,
        &k->ask_price,
        &k->ask_quantity,
        &k->open,
        &k->high,
        &k->low,
        &k->base_volume,
        &k->quote_volume,
    };
    EACH_FIELD (t, bytes, f) {
        if (f.number >= 1 && f.number <= 14) {
            take_decimal(t, &f, decimals[f.number - 1]);
        } else if (f.number == 15) {
            k->open_time_ns = (int64_t)number(t, &f, WIRE_FIXED64);
        } else if (f.number == 16) {
            k->close_time_ns = (int64_t)number(t, &f, WIRE_FIXED64);
        } else if (f.number == 17) {
            k->first_trade_id = take_sint(t, &f);
        } else if (f.number == 18) {
            k->last_trade_id = take_sint(t, &f);
        } else if (f.number == 19) {
            k->trade_count = number(t, &f, WIRE_VARINT);
        } else if (f.number == 20) {
            take_decimal(t, &f, &k->previous_close);
        }
    }
}

static void take_bbo(struct take *t, struct mlt_slice bytes, void *payload)
{
    struct mlt_bbo *b = payload;
    struct mlt_decimal *const decimals[4] = { &b->bid_price, &b->bid_quantity, &b->ask_price,
                                              &b->ask_quantity };
    EACH_FIELD (t, bytes, f) {
        if (f.number >= 1 && f.number <= 4) {
            take_decimal(t, &f, decimals[f.number - 1]);
        }
    }
}

static enum mlt_side take_side(struct take *t, const struct field *f)
{
    const uint64_t v = number(t, f, WIRE_VARINT);
    if (v > MLT_SIDE_SELL) {
        t->status = MLT_E_PARSE;
        return MLT_SIDE_NONE;
    }
    return (enum mlt_side)v;
}

static void take_trade(struct take *t, struct mlt_slice bytes, void *payload)
{
    struct mlt_trade *r = payload;
    EACH_FIELD (t, bytes, f) {
        switch (f.number) {
        case 1:
            r->trade_id = take_sint(t, &f);
            break;
        case 2:
            take_decimal(t, &f, &r->price);
            break;
        case 3:
            take_decimal(t, &f, &r->quantity);
            break;
        case 4:
            r->aggressor = take_side(t, &f);
            break;
        case 5:
            r->trade_time_ns = (int64_t)number(t, &f, WIRE_FIXED64);
            break;
        case 6:
            take_decimal(t, &f, &r->notional);
            r->has_notional = true;
            break;
        default:
            break;
        }
    }
}

static void take_agg_trade(struct take *t, struct mlt_slice bytes, void *payload)
{
    struct mlt_agg_trade *r = payload;
    EACH_FIELD (t, bytes, f) {
        switch (f.number) {
        case 1:
            r->aggregate_id = take_sint(t, &f);
            break;
        case 2:
            r->first_trade_id = take_sint(t, &f);
            break;
        case 3:
            r->last_trade_id = take_sint(t, &f);
            break;
        case 4:
            take_decimal(t, &f, &r->price);
            break;
        case 5:
            take_decimal(t, &f, &r->quantity);
            break;
        case 6:
            r->aggressor = take_side(t, &f);
            break;
        case 7:
            r->trade_time_ns = (int64_t)number(t, &f, WIRE_FIXED64);
            break;
        case 8:
            take_decimal(t, &f, &r->notional);
            r->has_notional = true;
            break;
        default:
            break;
        }
    }
}

static void take_kline(struct take *t, struct mlt_slice bytes, void *payload)
{
    struct mlt_kline *k = payload;
    struct mlt_decimal *const decimals[8] = {
        &k->open,
        &k->high,
        &k->low,
        &k->close,
        &k->base_volume,
        &k->quote_volume,
        &k->taker_buy_base_volume,
        &k->taker_buy_quote_volume,
    };
    EACH_FIELD (t, bytes, f) {
        if (f.number == 1) {
            k->interval = take_bytes(t, &f);
        } else if (f.number == 2) {
            k->open_time_ns = (int64_t)number(t, &f, WIRE_FIXED64);
        } else if (f.number == 3) {
            k->close_time_ns = (int64_t)number(t, &f, WIRE_FIXED64);
        } else if (f.number >= 4 && f.number <= 11) {
            take_decimal(t, &f, decimals[f.number - 4]);
        } else if (f.number == 12) {
            k->trade_count = number(t, &f, WIRE_VARINT);
        } else if (f.number == 13) {
            k->first_trade_id = take_sint(t, &f);
        } else if (f.number == 14) {
            k->last_trade_id = take_sint(t, &f);
        } else if (f.number == 15) {
            k->closed = number(t, &f, WIRE_VARINT) != 0;
        }
    }
}

static void take_instrument(struct take *t, struct mlt_slice bytes, void *payload)
{
    struct mlt_instrument *i = payload;
    struct mlt_slice *const texts[4] = { &i->native_symbol, &i->base, &i->quote, &i->status };
    struct mlt_decimal *const decimals[3] = { &i->tick_size, &i->lot_size, &i->minimum_notional };
    EACH_FIELD (t, bytes, f) {
        if (f.number >= 1 && f.number <= 4) {
            *texts[f.number - 1] = take_bytes(t, &f);
        } else if (f.number >= 5 && f.number <= 7) {
            take_decimal(t, &f, decimals[f.number - 5]);
        } else if (f.number == 8) {
            i->price_exponent = take_exponent(t, &f);
        } else if (f.number == 9) {
            i->quantity_exponent = take_exponent(t, &f);
        }
    }
}

static void take_status(struct take *t, struct mlt_slice bytes, void *payload)
{
    struct mlt_status_event *s = payload;
    EACH_FIELD (t, bytes, f) {
        switch (f.number) {
        case 1:
            s->kind = (enum mlt_status_kind)take_uint32(t, &f);
            break;
        case 2:
            s->reason = take_bytes(t, &f);
            break;
        case 3:
            s->lost_type = (enum mlt_event_type)take_uint32(t, &f);
            break;
        case 4:
            s->first = number(t, &f, WIRE_VARINT);
            break;
        case 5:
            s->last = number(t, &f, WIRE_VARINT);
            break;
        case 6:
            s->previous_epoch = number(t, &f, WIRE_VARINT);
            break;
        case 7:
            mlt_take_head(t, &f, s->heads, &s->head_count);
            break;
        case 8:
            s->update_first = take_sint(t, &f);
            break;
        case 9:
            s->update_last = take_sint(t, &f);
            break;
        case 10:
            s->from = take_state(t, &f);
            break;
        default:
            break;
        }
    }
}

typedef void (*take_fn)(struct take *t, struct mlt_slice bytes, void *payload);

static const take_fn takes_by_type[MLT_EVENT_TYPE_COUNT] = {
    [MLT_EVENT_TICKER] = take_ticker,
    [MLT_EVENT_BBO] = take_bbo,
    [MLT_EVENT_TRADE] = take_trade,
    [MLT_EVENT_AGG_TRADE] = take_agg_trade,
    [MLT_EVENT_KLINE] = take_kline,
    [MLT_EVENT_BOOK_DELTA] = mlt_take_book_delta,
    [MLT_EVENT_BOOK_SNAPSHOT] = mlt_take_book_snapshot,
    [MLT_EVENT_BOOK] = mlt_take_book,
    [MLT_EVENT_INSTRUMENT] = take_instrument,
    [MLT_EVENT_STATUS] = take_status,
};

enum mlt_status mlt_payload_take(enum mlt_event_type type, struct mlt_slice bytes,
                                 struct mlt_arena *arena, void *payload)
{
    struct take t = { arena, MLT_OK };
    takes_by_type[type](&t, bytes, payload);
    return t.status;
}
