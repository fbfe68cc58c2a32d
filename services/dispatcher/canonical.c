#include "canonical.h"

#include "meltica/base/hash.h"

enum mlt_status mlt_canonical_from_native(const struct mlt_native_event *native,
                                          struct mlt_slice exchange, uint64_t route_revision,
                                          int64_t dispatched_ns, struct mlt_event *event)
{
    if (native->type <= MLT_EVENT_NONE || native->type >= MLT_EVENT_TYPE_COUNT) {
        return MLT_E_UNMAPPED;
    }
    memset(event, 0, sizeof *event);
    event->instrument = native->instrument;
    event->type = (enum mlt_event_type)native->type;
    event->route = native->route;
    event->first = native->first;
    event->last = native->last;
    event->rest_function = native->rest_function;
    event->exchange = exchange;
    memcpy(event->trace_id, native->trace_id, sizeof event->trace_id);
    event->trace_flags = native->trace_flags;
    event->stamps.received = native->received;
    event->stamps.exchange = native->exchange;
    event->stamps.adapted = native->adapted;
    event->stamps.dispatched = dispatched_ns;
    event->stamps.conducted = MLT_STAMP_UNKNOWN;
    event->stamps.published = MLT_STAMP_UNKNOWN;
    event->route_revision = route_revision;
    /* Candles of two intervals may have the same open and event time; first is the open time
     * already. */
    const int64_t discriminator =
        event->type == MLT_EVENT_KLINE
            ? (int64_t)mlt_fnv1a64(MLT_FNV1A64_INIT, native->u.kline.interval)
            : 0;
    event->key =
        mlt_event_key(event->instrument, event->type, event->first, event->last, discriminator);
    switch (event->type) {
    case MLT_EVENT_TICKER:
        event->u.ticker = native->u.ticker;
        break;
    case MLT_EVENT_BBO:
        event->u.bbo = native->u.bbo;
        break;
    case MLT_EVENT_TRADE:
        event->u.trade = native->u.trade;
        break;
    case MLT_EVENT_AGG_TRADE:
        event->u.agg_trade = native->u.agg_trade;
        break;
    case MLT_EVENT_KLINE:
        event->u.kline = native->u.kline;
        break;
    case MLT_EVENT_BOOK_DELTA:
        event->u.book_delta = native->u.book_delta;
        break;
    case MLT_EVENT_BOOK_SNAPSHOT:
        event->u.book_snapshot = native->u.book_snapshot;
        break;
    case MLT_EVENT_INSTRUMENT:
        event->u.instrument = native->u.instrument;
        break;
    case MLT_EVENT_STATUS:
        event->u.status = native->u.status;
        break;
    default:
        return MLT_E_UNMAPPED;
    }
    return MLT_OK;
}
