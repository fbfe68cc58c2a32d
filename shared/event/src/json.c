/* JSON for people and scripts: protobuf's JSON mapping with the field names of event.proto, but a
 * Decimal is its exact text ("61837.63") and a side of a book a list of [price, quantity] texts. */
#include <inttypes.h>

#include "meltica/base/buf.h"
#include "meltica/event/event.h"

/* Collects the first failure, so that the writers below read as a list of members. */
struct json {
    struct mlt_buf *out;
    enum mlt_status status;
    bool first; /* no comma before the next member */
};

static void raw(struct json *j, const char *text)
{
    if (j->status == MLT_OK) {
        j->status = mlt_buf_append_string(j->out, text);
    }
}

static void name(struct json *j, const char *key)
{
    raw(j, j->first ? "\"" : ",\"");
    raw(j, key);
    raw(j, "\":");
    j->first = false;
}

static void text(struct json *j, const char *key, struct mlt_slice value)
{
    name(j, key);
    if (j->status == MLT_OK) {
        j->status = mlt_buf_append_json_string(j->out, value);
    }
}

static void word(struct json *j, const char *key, const char *value)
{
    text(j, key, mlt_slice_of_string(value));
}

static void integer(struct json *j, const char *key, int64_t value)
{
    name(j, key);
    if (j->status == MLT_OK) {
        j->status = mlt_buf_printf(j->out, "\"%" PRId64 "\"", value);
    }
}

static void count(struct json *j, const char *key, uint64_t value)
{
    name(j, key);
    if (j->status == MLT_OK) {
        j->status = mlt_buf_printf(j->out, "\"%" PRIu64 "\"", value);
    }
}

static void small(struct json *j, const char *key, int64_t value)
{
    name(j, key);
    if (j->status == MLT_OK) {
        j->status = mlt_buf_printf(j->out, "%" PRId64, value);
    }
}

static void boolean(struct json *j, const char *key, bool value)
{
    name(j, key);
    raw(j, value ? "true" : "false");
}

static void decimal_text(struct json *j, struct mlt_decimal value)
{
    char digits[MLT_DECIMAL_TEXT_BYTES_MAX];
    (void)mlt_decimal_format(value, digits, sizeof digits);
    raw(j, "\"");
    raw(j, digits);
    raw(j, "\"");
}

static void decimal(struct json *j, const char *key, struct mlt_decimal value)
{
    name(j, key);
    decimal_text(j, value);
}

static void levels(struct json *j, const char *key, const struct mlt_levels *side)
{
    name(j, key);
    raw(j, "[");
    for (size_t i = 0; i < side->count && j->status == MLT_OK; i++) {
        raw(j, i == 0 ? "[" : ",[");
        decimal_text(j, (struct mlt_decimal){ side->prices[i], side->price_exponent });
        raw(j, ",");
        decimal_text(j, (struct mlt_decimal){ side->quantities[i], side->quantity_exponent });
        raw(j, "]");
    }
    raw(j, "]");
}

static void object(struct json *j, const char *key)
{
    name(j, key);
    raw(j, "{");
    j->first = true;
}

static void end(struct json *j)
{
    raw(j, "}");
    j->first = false;
}

static const char *side_word(enum mlt_side side)
{
    return side == MLT_SIDE_BUY ? "BUY" : side == MLT_SIDE_SELL ? "SELL" : "SIDE_UNSPECIFIED";
}

static void ticker(struct json *j, const struct mlt_ticker *t)
{
    decimal(j, "price_change", t->price_change);
    decimal(j, "price_change_percent", t->price_change_percent);
    decimal(j, "weighted_average", t->weighted_average);
    decimal(j, "last_price", t->last_price);
    decimal(j, "last_quantity", t->last_quantity);
    decimal(j, "bid_price", t->bid_price);
    decimal(j, "bid_quantity", t->bid_quantity);
    decimal(j, "ask_price", t->ask_price);
    decimal(j, "ask_quantity", t->ask_quantity);
    decimal(j, "open", t->open);
    decimal(j, "high", t->high);
    decimal(j, "low", t->low);
    decimal(j, "base_volume", t->base_volume);
    decimal(j, "quote_volume", t->quote_volume);
    integer(j, "open_time", t->open_time_ns);
    integer(j, "close_time", t->close_time_ns);
    integer(j, "first_trade_id", t->first_trade_id);
    integer(j, "last_trade_id", t->last_trade_id);
    count(j, "trade_count", t->trade_count);
    decimal(j, "previous_close", t->previous_close);
}

static void kline(struct json *j, const struct mlt_kline *k)
{
    text(j, "interval", k->interval);
    integer(j, "open_time", k->open_time_ns);
    integer(j, "close_time", k->close_time_ns);
    decimal(j, "open", k->open);
    decimal(j, "high", k->high);
    decimal(j, "low", k->low);
    decimal(j, "close", k->close);
    decimal(j, "base_volume", k->base_volume);
    decimal(j, "quote_volume", k->quote_volume);
    decimal(j, "taker_buy_base_volume", k->taker_buy_base_volume);
    decimal(j, "taker_buy_quote_volume", k->taker_buy_quote_volume);
    count(j, "trade_count", k->trade_count);
    integer(j, "first_trade_id", k->first_trade_id);
    integer(j, "last_trade_id", k->last_trade_id);
    boolean(j, "closed", k->closed);
}

static void instrument(struct json *j, const struct mlt_instrument *i)
{
    text(j, "native_symbol", i->native_symbol);
    text(j, "base_asset", i->base);
    text(j, "quote_asset", i->quote);
    text(j, "status", i->status);
    decimal(j, "tick_size", i->tick_size);
    decimal(j, "lot_size", i->lot_size);
    decimal(j, "minimum_notional", i->minimum_notional);
    small(j, "price_exponent", i->price_exponent);
    small(j, "quantity_exponent", i->quantity_exponent);
}

/* "LIVE", not BOOK_LIVE: the words that people meet in the documentation. */
static void state_word(struct json *j, const char *key, enum mlt_book_state state)
{
    word(j, key, mlt_book_state_word((int)state));
}

static void status(struct json *j, const struct mlt_status_event *s)
{
    word(j, "kind", mlt_status_kind_word((int)s->kind));
    text(j, "reason", s->reason);
    word(j, "lost_type", mlt_event_type_word((int)s->lost_type));
    count(j, "first", s->first);
    count(j, "last", s->last);
    count(j, "previous_epoch", s->previous_epoch);
    name(j, "heads");
    raw(j, "[");
    for (size_t i = 0; i < s->head_count; i++) {
        raw(j, i == 0 ? "{" : ",{");
        j->first = true;
        word(j, "type", mlt_event_type_word((int)s->heads[i].type));
        count(j, "sequence", s->heads[i].sequence);
        integer(j, "last", s->heads[i].last);
        end(j);
    }
    raw(j, "]");
    integer(j, "update_first", s->update_first);
    integer(j, "update_last", s->update_last);
    state_word(j, "from", s->from);
}

static void measure_object(struct json *j, const struct mlt_measure *m)
{
    raw(j, "{");
    j->first = true;
    if ((m->flags & MLT_MEASURE_PRESENT) != 0) {
        decimal(j, "value", m->value);
    }
    small(j, "flags", m->flags & ~(uint32_t)MLT_MEASURE_PRESENT);
    end(j);
}

static void measure(struct json *j, const char *key, const struct mlt_measure *m)
{
    if (m->flags != 0) {
        name(j, key);
        measure_object(j, m);
    }
}

static void measures(struct json *j, const char *key,
                     const struct mlt_measure list[MLT_ANALYTICS_SPANS])
{
    name(j, key);
    for (unsigned i = 0; i < MLT_ANALYTICS_SPANS; i++) {
        raw(j, i == 0 ? "[" : ",");
        measure_object(j, &list[i]);
    }
    raw(j, "]");
}

static void book_state(struct json *j, const struct mlt_book *b)
{
    state_word(j, "state", b->state);
    integer(j, "snapshot_update_id", b->snapshot_update_id);
    integer(j, "snapshot_time", b->snapshot_time_ns);
    count(j, "deltas_applied", b->deltas_applied);
    small(j, "known_bids", b->known_bids);
    small(j, "known_asks", b->known_asks);
    if (!b->has_analytics) {
        return;
    }
    const struct mlt_book_analytics *a = &b->analytics;
    object(j, "analytics");
    measure(j, "mid", &a->mid);
    measure(j, "spread", &a->spread);
    measure(j, "spread_bps", &a->spread_bps);
    measure(j, "microprice", &a->microprice);
    measures(j, "bid_depth", a->bid_depth);
    measures(j, "ask_depth", a->ask_depth);
    measures(j, "imbalance", a->imbalance);
    measures(j, "bid_within", a->bid_within);
    measures(j, "ask_within", a->ask_within);
    measures(j, "imbalance_within", a->imbalance_within);
    measures(j, "vwap", a->vwap);
    measures(j, "trade_flow", a->trade_flow);
    measure(j, "volatility", &a->volatility);
    end(j);
}

static void payload(struct json *j, const struct mlt_event *e)
{
    switch (e->type) {
    case MLT_EVENT_TICKER:
        object(j, "ticker");
        ticker(j, &e->u.ticker);
        break;
    case MLT_EVENT_BBO:
        object(j, "bbo");
        decimal(j, "bid_price", e->u.bbo.bid_price);
        decimal(j, "bid_quantity", e->u.bbo.bid_quantity);
        decimal(j, "ask_price", e->u.bbo.ask_price);
        decimal(j, "ask_quantity", e->u.bbo.ask_quantity);
        break;
    case MLT_EVENT_TRADE:
        object(j, "trade");
        integer(j, "trade_id", e->u.trade.trade_id);
        decimal(j, "price", e->u.trade.price);
        decimal(j, "quantity", e->u.trade.quantity);
        word(j, "aggressor", side_word(e->u.trade.aggressor));
        integer(j, "trade_time", e->u.trade.trade_time_ns);
        if (e->u.trade.has_notional) {
            decimal(j, "notional", e->u.trade.notional);
        }
        break;
    case MLT_EVENT_AGG_TRADE:
        object(j, "agg_trade");
        integer(j, "aggregate_id", e->u.agg_trade.aggregate_id);
        integer(j, "first_trade_id", e->u.agg_trade.first_trade_id);
        integer(j, "last_trade_id", e->u.agg_trade.last_trade_id);
        decimal(j, "price", e->u.agg_trade.price);
        decimal(j, "quantity", e->u.agg_trade.quantity);
        word(j, "aggressor", side_word(e->u.agg_trade.aggressor));
        integer(j, "trade_time", e->u.agg_trade.trade_time_ns);
        if (e->u.agg_trade.has_notional) {
            decimal(j, "notional", e->u.agg_trade.notional);
        }
        break;
    case MLT_EVENT_KLINE:
        object(j, "kline");
        kline(j, &e->u.kline);
        break;
    case MLT_EVENT_BOOK_DELTA:
        object(j, "book_delta");
        levels(j, "bids", &e->u.book_delta.bids);
        levels(j, "asks", &e->u.book_delta.asks);
        small(j, "digest", e->u.book_delta.digest);
        small(j, "digest_version", e->u.book_delta.digest_version);
        break;
    case MLT_EVENT_BOOK_SNAPSHOT:
        object(j, "book_snapshot");
        integer(j, "last_update_id", e->u.book_snapshot.last_update_id);
        levels(j, "bids", &e->u.book_snapshot.bids);
        levels(j, "asks", &e->u.book_snapshot.asks);
        small(j, "requested_depth", e->u.book_snapshot.requested_depth);
        boolean(j, "reset", e->u.book_snapshot.reset);
        break;
    case MLT_EVENT_BOOK:
        object(j, "book");
        levels(j, "bids", &e->u.book.bids);
        levels(j, "asks", &e->u.book.asks);
        integer(j, "last_update_id", e->u.book.last_update_id);
        small(j, "digest", e->u.book.digest);
        small(j, "digest_version", e->u.book.digest_version);
        book_state(j, &e->u.book);
        break;
    case MLT_EVENT_INSTRUMENT:
        object(j, "instrument_info");
        instrument(j, &e->u.instrument);
        break;
    case MLT_EVENT_STATUS:
        object(j, "status");
        status(j, &e->u.status);
        break;
    default:
        return;
    }
    end(j);
}

static void stamp(struct json *j, const char *key, int64_t received, int64_t value)
{
    if (value != MLT_STAMP_UNKNOWN) {
        integer(j, key, (int64_t)((uint64_t)value - (uint64_t)received));
    }
}

enum mlt_status mlt_event_to_json(const struct mlt_event *e, struct mlt_buf *out)
{
    static const char hex[] = "0123456789abcdef";
    struct json j = { out, MLT_OK, true };
    const size_t start = out->len;
    char trace[2 * MLT_TRACE_ID_BYTES + 1];
    for (size_t i = 0; i < MLT_TRACE_ID_BYTES; i++) {
        trace[2 * i] = hex[e->trace_id[i] >> 4];
        trace[2 * i + 1] = hex[e->trace_id[i] & 15];
    }
    trace[sizeof trace - 1] = '\0';
    raw(&j, "{");
    text(&j, "instrument", e->instrument);
    word(&j, "type", mlt_event_type_word((int)e->type));
    count(&j, "key", e->key);
    count(&j, "epoch", e->epoch);
    count(&j, "sequence", e->sequence);
    object(&j, "source");
    small(&j, "route", e->route);
    integer(&j, "first", e->first);
    integer(&j, "last", e->last);
    text(&j, "rest_function", e->rest_function);
    text(&j, "exchange", e->exchange);
    end(&j);
    word(&j, "trace_id", trace);
    small(&j, "trace_flags", e->trace_flags);
    object(&j, "stamps");
    integer(&j, "received", e->stamps.received);
    stamp(&j, "exchange", e->stamps.received, e->stamps.exchange);
    stamp(&j, "adapted", e->stamps.received, e->stamps.adapted);
    stamp(&j, "dispatched", e->stamps.received, e->stamps.dispatched);
    stamp(&j, "conducted", e->stamps.received, e->stamps.conducted);
    stamp(&j, "published", e->stamps.received, e->stamps.published);
    end(&j);
    small(&j, "quality", e->quality);
    count(&j, "route_revision", e->route_revision);
    count(&j, "lane_previous", e->lane_previous);
    small(&j, "merged", e->merged);
    count(&j, "throttled_ns", e->throttled_ns);
    payload(&j, e);
    raw(&j, "}");
    if (j.status != MLT_OK) {
        out->len = start;
    }
    return j.status;
}
