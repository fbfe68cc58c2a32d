/* Small events for the tests of what consumes them. */
#ifndef MELTICA_TEST_EVENTS_H
#define MELTICA_TEST_EVENTS_H

#include "meltica/event/event.h"

static inline struct mlt_event test_event(enum mlt_event_type type, uint64_t epoch,
                                          uint64_t sequence)
{
    struct mlt_event e;
    memset(&e, 0, sizeof e);
    e.instrument = MLT_SLICE_LITERAL("BTC-USDT");
    e.type = type;
    e.epoch = epoch;
    e.sequence = sequence;
    e.stamps.received = 1000;
    e.stamps.exchange = e.stamps.adapted = e.stamps.dispatched = e.stamps.conducted =
        e.stamps.published = MLT_STAMP_UNKNOWN;
    return e;
}

static inline struct mlt_event test_trade(uint64_t epoch, uint64_t sequence, int64_t id)
{
    struct mlt_event e = test_event(MLT_EVENT_TRADE, epoch, sequence);
    e.first = e.last = id;
    e.u.trade = (struct mlt_trade){
        .trade_id = id, .price = { 250, -2 }, .quantity = { 4, -1 }, .aggressor = MLT_SIDE_BUY
    };
    return e;
}

#endif
