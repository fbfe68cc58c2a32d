/* Machines whose answers wait for deltas, as the Conductor's do, in the world of sync_levels.h. */
#ifndef MELTICA_TESTS_SYNC_WAITING_H
#define MELTICA_TESTS_SYNC_WAITING_H

#include "sync_levels.h"

#define WAIT_NS MLT_NS_PER_S
#define GRACE_NS (500 * MLT_NS_PER_MS)

static inline int set_up_waiting(void **state)
{
    (void)state;
    struct mlt_sync_options options = plain;
    options.ahead_wait_ns = WAIT_NS;
    fixture_open(&f, &options);
    return 0;
}

static inline enum mlt_sync_outcome give(int64_t id, int64_t quantity,
                                         enum mlt_status (*to)(struct mlt_sync *,
                                                               const struct mlt_book_snapshot *,
                                                               enum mlt_sync_outcome *))
{
    const struct mlt_book_snapshot s = {
        id, { -2, -5, 1, &bid_price, &quantity }, { -2, -5, 1, &ask_price, &quantity }, 10, false
    };
    enum mlt_sync_outcome outcome;
    assert_int_equal(to(f.sync, &s, &outcome), MLT_OK);
    return outcome;
}

static inline enum mlt_sync_outcome answer_of(int64_t id, int64_t quantity)
{
    return give(id, quantity, mlt_sync_answer);
}

static inline enum mlt_sync_outcome waited(int64_t id, int64_t quantity)
{
    assert_int_equal(mlt_sync_waiting(f.sync), MLT_SYNC_RIPE);
    return give(id, quantity, mlt_sync_waited);
}

static inline void assert_never_live(void)
{
    for (size_t i = 0; i < f.change_count; i++) {
        assert_int_not_equal(f.changes[i].to, MLT_SYNC_LIVE);
    }
}

static inline void ask_again(void)
{
    const uint64_t requests = f.requests;
    f.now_ns = mlt_sync_due_ns(f.sync);
    mlt_sync_tick(f.sync);
    assert_int_equal(f.requests, requests + 1);
}

static inline enum mlt_sync_outcome set_bids(int64_t first, int64_t last, const int64_t *prices,
                                             const int64_t *quantities, size_t count)
{
    const struct mlt_book_delta d = { .bids = { -2, -5, count, prices, quantities },
                                      .asks = { -2, -5, 0, NULL, NULL } };
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_delta(f.sync, first, last, &d, &outcome), MLT_OK);
    return outcome;
}

static inline enum mlt_sync_outcome set_bid(int64_t id, int64_t price, int64_t quantity)
{
    return set_bids(id, id, &price, &quantity, 1);
}

#define WAITING(name) cmocka_unit_test_setup_teardown(name, set_up_waiting, tear_down)

#endif
