/* A small market of one instrument, told as the Conductor tells it: the tests' own reference, with
 * digests computed over its own plain table. One thread. */
#ifndef MELTICA_TEST_BOOKS_H
#define MELTICA_TEST_BOOKS_H

#include <stdlib.h>
#include <string.h>

#include "events.h"
#include "meltica/base/hash.h"
#include "meltica/event/record.h"

#define MARKET_PRICES 200 /* prices 1000 .. 1199: bids below 1100, asks from there on */
#define MARKET_FIRST 1000
#define MARKET_MIDDLE 1100
#define MARKET_CHANGES 4

struct market {
    int64_t quantities[MARKET_PRICES];
    int64_t last;
    uint64_t epoch, delta_sequence, book_sequence, snapshot_sequence, status_sequence, random;
    /* What the events below point at. */
    int64_t prices[6][MARKET_PRICES], amounts[6][MARKET_PRICES];
};

static inline int64_t market_random(struct market *m, int64_t below)
{
    m->random++;
    return (int64_t)(mlt_mix64(m->random) % (uint64_t)below);
}

static inline void market_init(struct market *m, uint64_t seed)
{
    memset(m, 0, sizeof *m);
    m->random = seed * 1000003;
    m->epoch = 7;
    m->last = 1000;
    for (int i = 0; i < MARKET_PRICES; i++) {
        m->quantities[i] = i % 2 == 0 ? 1 + market_random(m, 1000000) : 0;
    }
}

/* Best first, at most max. */
static inline struct mlt_levels market_side(struct market *m, int slot, int side, size_t max)
{
    size_t n = 0;
    for (int i = 0; i < MARKET_PRICES && n < max; i++) {
        const int price = side == 0 ? MARKET_MIDDLE - 1 - i : MARKET_MIDDLE + i;
        if (price < MARKET_FIRST || price >= MARKET_FIRST + MARKET_PRICES) {
            break;
        }
        if (m->quantities[price - MARKET_FIRST] != 0) {
            m->prices[slot][n] = price;
            m->amounts[slot][n++] = m->quantities[price - MARKET_FIRST];
        }
    }
    return (struct mlt_levels){ -2, -5, n, m->prices[slot], m->amounts[slot] };
}

static inline uint32_t market_digest(struct market *m)
{
    const struct mlt_levels bids = market_side(m, 4, 0, 20), asks = market_side(m, 5, 1, 20);
    return mlt_book_digest(&bids, &asks);
}

/* Changes a few levels within 60 prices of the middle; the delta says so, with the digest after. */
static inline struct mlt_event market_delta(struct market *m)
{
    struct mlt_event e = test_event(MLT_EVENT_BOOK_DELTA, m->epoch, ++m->delta_sequence);
    size_t counts[2] = { 0, 0 };
    for (int i = 0; i < MARKET_CHANGES; i++) {
        const int side = (int)market_random(m, 2);
        const int64_t away = market_random(m, 60);
        const int64_t price = side == 0 ? MARKET_MIDDLE - 1 - away : MARKET_MIDDLE + away;
        const int64_t quantity = market_random(m, 3) == 0 ? 0 : 1 + market_random(m, 1000000);
        m->quantities[price - MARKET_FIRST] = quantity;
        m->prices[side][counts[side]] = price;
        m->amounts[side][counts[side]++] = quantity;
    }
    e.first = m->last + 1;
    e.last = m->last += 1 + market_random(m, 5);
    e.u.book_delta = (struct mlt_book_delta){
        { -2, -5, counts[0], m->prices[0], m->amounts[0] },
        { -2, -5, counts[1], m->prices[1], m->amounts[1] },
        market_digest(m),
        1,
    };
    return e;
}

static inline struct mlt_event market_book(struct market *m)
{
    struct mlt_event e = test_event(MLT_EVENT_BOOK, m->epoch, ++m->book_sequence);
    e.first = e.last = m->last;
    e.u.book = (struct mlt_book){ .bids = market_side(m, 2, 0, 20),
                                  .asks = market_side(m, 3, 1, 20),
                                  .last_update_id = m->last,
                                  .digest = market_digest(m),
                                  .digest_version = 1,
                                  .state = MLT_BOOK_LIVE };
    return e;
}

static inline struct mlt_event market_snapshot(struct market *m, uint32_t depth)
{
    struct mlt_event e = test_event(MLT_EVENT_BOOK_SNAPSHOT, m->epoch, ++m->snapshot_sequence);
    e.first = e.last = m->last;
    e.u.book_snapshot = (struct mlt_book_snapshot){ m->last, market_side(m, 2, 0, depth),
                                                    market_side(m, 3, 1, depth), depth, true };
    return e;
}

static inline struct mlt_event market_status(struct market *m, enum mlt_status_kind kind,
                                             const char *reason)
{
    struct mlt_event e = test_event(MLT_EVENT_STATUS, m->epoch, ++m->status_sequence);
    e.u.status.kind = kind;
    e.u.status.reason = mlt_slice_of_string(reason);
    return e;
}

static inline struct mlt_book_checkpoint market_checkpoint(struct market *m, size_t depth)
{
    return (struct mlt_book_checkpoint){ .instrument = MLT_SLICE_LITERAL("BTC-USDT"),
                                         .epoch = m->epoch,
                                         .last_update_id = m->last,
                                         .bids = market_side(m, 2, 0, depth),
                                         .asks = market_side(m, 3, 1, depth),
                                         .digest = market_digest(m),
                                         .digest_version = 1,
                                         .state = MLT_BOOK_LIVE };
}

#endif
