/* Books of one level a side: bid 100, ask 200, whose quantities are the update id that set them
 * last. */
#ifndef MELTICA_TESTS_SYNC_LEVELS_H
#define MELTICA_TESTS_SYNC_LEVELS_H

#include "sync_fixture.h"

static struct sync_fixture f;

static const struct mlt_sync_options plain = {
    .first_depth = 10,
    .depth = 10,
    .shown = 1,
    .request_timeout_ns = 5 * MLT_NS_PER_S,
    .backoff_base_ns = MLT_NS_PER_S,
    .backoff_max_ns = 8 * MLT_NS_PER_S,
    .stale_after_ns = 60 * MLT_NS_PER_S,
    .seed = 1,
    .book = { 512, -2, -5 },
};

static int64_t bid_price = 100, ask_price = 200;

static inline enum mlt_sync_outcome delta(int64_t first, int64_t last)
{
    const struct mlt_book_delta d = { .bids = { -2, -5, 1, &bid_price, &last },
                                      .asks = { -2, -5, 1, &ask_price, &last } };
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_delta(f.sync, first, last, &d, &outcome), MLT_OK);
    return outcome;
}

static inline enum mlt_sync_outcome snapshot_of(int64_t id, int64_t quantity, uint32_t depth)
{
    const struct mlt_book_snapshot s = {
        id, { -2, -5, 1, &bid_price, &quantity }, { -2, -5, 1, &ask_price, &quantity }, depth, false
    };
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_snapshot(f.sync, &s, &outcome), MLT_OK);
    return outcome;
}

static inline enum mlt_sync_outcome snapshot(int64_t id)
{
    return snapshot_of(id, id, 10);
}

static inline void assert_book(int64_t last)
{
    int64_t price, quantity;
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_LIVE);
    assert_int_equal(mlt_orderbook_last(mlt_sync_book(f.sync)), last);
    assert_true(
        mlt_orderbook_level(mlt_sync_book(f.sync), MLT_ORDERBOOK_BIDS, 0, &price, &quantity));
    assert_int_equal(quantity, last);
}

static inline void assert_change(const struct mlt_sync_change *c, enum mlt_sync_state from,
                                 enum mlt_sync_state to, enum mlt_sync_reason reason, int64_t first,
                                 int64_t last)
{
    assert_string_equal(mlt_sync_state_word(c->from), mlt_sync_state_word(from));
    assert_string_equal(mlt_sync_state_word(c->to), mlt_sync_state_word(to));
    assert_string_equal(mlt_sync_reason_word(c->reason), mlt_sync_reason_word(reason));
    assert_int_equal(c->first, first);
    assert_int_equal(c->last, last);
    assert_int_equal(c->at_ns, f.now_ns);
}

static inline struct mlt_sync_counts counts(void)
{
    struct mlt_sync_counts c;
    mlt_sync_counts(f.sync, &c);
    return c;
}

static inline int set_up(void **state)
{
    (void)state;
    fixture_open(&f, &plain);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    mlt_sync_destroy(f.sync);
    return 0;
}

/* LIVE at id 100. */
static inline void live(void)
{
    mlt_sync_start(f.sync);
    assert_int_equal(snapshot(100), MLT_SYNC_APPLIED);
    assert_book(100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
