#include "policy.h"

static bool is_zero(struct mlt_decimal value)
{
    return value.mantissa == 0;
}

static bool has_zero(const struct mlt_event *event)
{
    if (event->type == MLT_EVENT_TRADE) {
        return is_zero(event->u.trade.price) || is_zero(event->u.trade.quantity);
    }
    return event->type == MLT_EVENT_AGG_TRADE &&
           (is_zero(event->u.agg_trade.price) || is_zero(event->u.agg_trade.quantity));
}

/* An empty side has price 0 on the wire: a one-sided market is not a crossed one. */
static bool crossed(const struct mlt_event *event)
{
    if (event->type != MLT_EVENT_BBO) {
        return false;
    }
    const struct mlt_bbo *bbo = &event->u.bbo;
    return !is_zero(bbo->bid_price) && !is_zero(bbo->ask_price) &&
           mlt_decimal_compare(bbo->bid_price, bbo->ask_price) >= 0;
}

static bool stale(const struct mlt_route *route, const struct mlt_event *event)
{
    int64_t age;
    return event->stamps.exchange != MLT_STAMP_UNKNOWN &&
           !__builtin_sub_overflow(event->stamps.received, event->stamps.exchange, &age) &&
           age > route->stale_after_ns;
}

static bool discards(const struct mlt_route *route, enum mlt_discard discard,
                     const struct mlt_event *event, bool halted)
{
    if ((route->discards & UINT32_C(1) << discard) == 0) {
        return false;
    }
    switch (discard) {
    case MLT_DISCARD_ZERO:
        return has_zero(event);
    case MLT_DISCARD_CROSSED:
        return crossed(event);
    case MLT_DISCARD_STALE:
        return stale(route, event);
    case MLT_DISCARD_NOT_TRADING:
        return halted;
    default:
        return false;
    }
}

static bool enrich_notional(struct mlt_event *event)
{
    if (event->type == MLT_EVENT_TRADE) {
        struct mlt_trade *trade = &event->u.trade;
        trade->has_notional =
            mlt_decimal_multiply(trade->price, trade->quantity, &trade->notional) == MLT_OK;
        return trade->has_notional;
    }
    struct mlt_agg_trade *trade = &event->u.agg_trade;
    trade->has_notional =
        mlt_decimal_multiply(trade->price, trade->quantity, &trade->notional) == MLT_OK;
    return trade->has_notional;
}

struct mlt_policy_outcome mlt_policy_apply(const struct mlt_route *route, struct mlt_event *event,
                                           bool halted)
{
    struct mlt_policy_outcome outcome = { MLT_VERDICT_PASS, MLT_DISCARD_COUNT, false };
    for (unsigned d = 0; route->discards != 0 && d < MLT_DISCARD_COUNT; d++) {
        if (discards(route, (enum mlt_discard)d, event, halted)) {
            outcome.verdict = MLT_VERDICT_DISCARDED;
            outcome.discard = (enum mlt_discard)d;
            return outcome;
        }
    }
    outcome.enrich_failed = route->enrich_notional && !enrich_notional(event);
    for (size_t i = 0; i < route->filter_count; i++) {
        if (!mlt_filter_holds(&route->filters[i], event)) {
            outcome.verdict = MLT_VERDICT_FILTERED;
            break;
        }
    }
    return outcome;
}
