/* What deltas say of a snapshot that has the ids and the prices of their instrument: by its
 * quantities. */
#include "sync_waiting.h"

#include "meltica/base/hash.h"

static void test_other_quantities_than_the_deltas_set_are_another_instruments(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(delta(11, 12), MLT_SYNC_BUFFERED);
    assert_int_equal(delta(13, 14), MLT_SYNC_BUFFERED);
    assert_int_equal(answer_of(12, 7), MLT_SYNC_UNUSED); /* 12 by the first one */
    assert_int_equal(counts().doubted, 1);
    ask_again();
    assert_int_equal(answer_of(14, 12), MLT_SYNC_UNUSED); /* that was before the second one */
    assert_int_equal(counts().doubted, 2);
    assert_never_live();
    ask_again();
    assert_int_equal(answer_of(14, 14), MLT_SYNC_APPLIED);
    assert_book(14);
}

/* What a delta set that goes on beyond the id may have been set then. */
static void test_a_delta_across_the_id_is_no_witness(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(delta(11, 12), MLT_SYNC_BUFFERED);
    assert_int_equal(delta(13, 16), MLT_SYNC_BUFFERED);
    assert_int_equal(answer_of(14, 13), MLT_SYNC_APPLIED);
    assert_book(16);
    assert_int_equal(counts().doubted, 0);
}

/* Of a price that it need not show it says nothing; what it says is not there may not be. */
static void test_only_what_a_snapshot_shows_is_compared(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(set_bid(11, 90, 5), MLT_SYNC_BUFFERED);
    const int64_t quantity = 3;
    struct mlt_book_snapshot s = {
        11, { -2, -5, 1, &bid_price, &quantity }, { -2, -5, 1, &ask_price, &quantity }, 10, false
    };
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_answer(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_UNUSED); /* ten were asked for: there is no bid of 90 */
    assert_int_equal(counts().doubted, 1);
    ask_again();
    s.requested_depth = 1;
    assert_int_equal(mlt_sync_answer(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_UNUSED); /* none of the prices that are known */
    ask_again();
    assert_int_equal(set_bid(12, 100, 3), MLT_SYNC_BUFFERED);
    s.last_update_id = 12;
    assert_int_equal(mlt_sync_answer(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_APPLIED);
    assert_int_equal(mlt_sync_state(f.sync), MLT_SYNC_LIVE);
}

/* In the middle of a delta a level may be what it is neither before nor after it, without a word,
 * and it is what it was before. At the end of one it may not. */
static void test_one_level_in_the_middle_of_a_delta_is_no_proof(void **state)
{
    (void)state;
    static const int64_t prices[] = { 100, 99, 98, 97, 96, 95 }, set[] = { 5, 6, 7, 8, 9, 10 },
                         said[] = { 5, 6, 7, 8, 9, 3 }, others[] = { 5, 6, 7, 8, 2, 3 },
                         quantity = 1;
    mlt_sync_start(f.sync);
    assert_int_equal(set_bids(11, 12, prices, set, 6), MLT_SYNC_BUFFERED);
    struct mlt_book_snapshot s = {
        12, { -2, -5, 6, prices, said }, { -2, -5, 1, &ask_price, &quantity }, 10, false
    };
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_answer(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_UNUSED); /* at its end */
    ask_again();
    assert_int_equal(set_bids(13, 16, prices, set, 1), MLT_SYNC_BUFFERED);
    s.last_update_id = 14;
    s.bids.quantities = others;
    assert_int_equal(mlt_sync_answer(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_UNUSED); /* two of the five that the second leaves alone */
    assert_int_equal(counts().doubted, 2);
    ask_again();
    s.bids.quantities = said;
    assert_int_equal(mlt_sync_answer(f.sync, &s, &outcome), MLT_OK);
    assert_int_equal(outcome, MLT_SYNC_APPLIED);
    int64_t price, at;
    assert_true(mlt_orderbook_level(mlt_sync_book(f.sync), MLT_ORDERBOOK_BIDS, 5, &price, &at));
    assert_int_equal(price, 95);
    assert_int_equal(at, 10); /* as before, since the second delta does not name it */
    assert_int_equal(counts().replayed, 1);
}

static void test_an_answer_ahead_that_the_deltas_speak_against_is_never_live(void **state)
{
    (void)state;
    mlt_sync_start(f.sync);
    assert_int_equal(delta(11, 12), MLT_SYNC_BUFFERED);
    assert_int_equal(answer_of(14, 7), MLT_SYNC_WAITS);
    assert_int_equal(delta(13, 14), MLT_SYNC_BUFFERED);
    assert_int_equal(waited(14, 7), MLT_SYNC_UNUSED);
    assert_int_equal(counts().doubted, 1);
    ask_again();
    assert_never_live();
    assert_int_equal(answer_of(13, 12), MLT_SYNC_APPLIED);
    assert_book(14);
}

/* ---- two instruments with the same ids and prices ---- */

#define PRICES 40u
#define IDS 4000

/* Quantity of a price of instrument `who` after id: that of its last change, which each id makes to
 * two of them a side. */
static int64_t quantity_after(uint64_t who, int64_t id, unsigned side, unsigned price)
{
    for (; id > 0; id--) {
        for (unsigned n = 0; n < 2; n++) {
            const uint64_t h = mlt_mix64(who * 1000003u + (uint64_t)id * 31u + side * 7u + n);
            if (h % PRICES == price) {
                return (int64_t)(h >> 40) + 1;
            }
        }
    }
    return (int64_t)(who + 1);
}

static int64_t price_of(unsigned side, unsigned n)
{
    return side == 0 ? 100 - (int64_t)n : 101 + (int64_t)n;
}

static void fill(uint64_t who, int64_t id, int64_t prices[2][PRICES], int64_t quantities[2][PRICES])
{
    for (unsigned side = 0; side < 2; side++) {
        for (unsigned n = 0; n < PRICES; n++) {
            prices[side][n] = price_of(side, n);
            quantities[side][n] = quantity_after(who, id, side, n);
        }
    }
}

static enum mlt_sync_outcome changes_of(int64_t first, int64_t last)
{
    int64_t prices[2][PRICES], quantities[2][PRICES];
    size_t count[2] = { 0, 0 };
    for (unsigned side = 0; side < 2; side++) {
        for (unsigned n = 0; n < PRICES; n++) {
            bool changed = false;
            for (int64_t id = first; id <= last; id++) {
                for (unsigned k = 0; k < 2; k++) {
                    changed =
                        changed || mlt_mix64((uint64_t)id * 31u + side * 7u + k) % PRICES == n;
                }
            }
            if (changed) {
                prices[side][count[side]] = price_of(side, n);
                quantities[side][count[side]++] = quantity_after(0, last, side, n);
            }
        }
    }
    const struct mlt_book_delta d = {
        .bids = { -2, -5, count[0], prices[0], quantities[0] },
        .asks = { -2, -5, count[1], prices[1], quantities[1] },
    };
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_delta(f.sync, first, last, &d, &outcome), MLT_OK);
    return outcome;
}

/* The book that is shown as right is the first instrument's at its id. */
static void assert_right(void)
{
    if (mlt_sync_state(f.sync) != MLT_SYNC_LIVE) {
        return;
    }
    const struct mlt_orderbook *book = mlt_sync_book(f.sync);
    for (unsigned side = 0; side < 2; side++) {
        for (unsigned n = 0; n < PRICES; n++) {
            int64_t price, quantity;
            assert_true(
                mlt_orderbook_level(book, (enum mlt_orderbook_side)side, n, &price, &quantity));
            assert_int_equal(price, price_of(side, n));
            assert_int_equal(quantity, quantity_after(0, mlt_orderbook_last(book), side, n));
        }
    }
}

struct exchange {
    uint64_t random;
    uint64_t answered; /* requests */
    int64_t held_id;
    uint64_t held_who, wrong, right;
};

static uint64_t draw(struct exchange *x, uint64_t below)
{
    x->random = mlt_mix64(x->random + 1);
    return x->random % below;
}

static enum mlt_sync_outcome hand(uint64_t who, int64_t id,
                                  enum mlt_status (*to)(struct mlt_sync *,
                                                        const struct mlt_book_snapshot *,
                                                        enum mlt_sync_outcome *))
{
    int64_t prices[2][PRICES], quantities[2][PRICES];
    fill(who, id, prices, quantities);
    const struct mlt_book_snapshot s = { id,
                                         { -2, -5, PRICES, prices[0], quantities[0] },
                                         { -2, -5, PRICES, prices[1], quantities[1] },
                                         PRICES,
                                         false };
    enum mlt_sync_outcome outcome;
    assert_int_equal(to(f.sync, &s, &outcome), MLT_OK);
    return outcome;
}

/* Every second answer is the other instrument's, at an id that fits: up to three ahead of the
 * deltas or at the last of them. */
static void answer_if_asked(struct exchange *x, int64_t last)
{
    if (f.requests == x->answered && draw(x, 40) > 0) { /* some that nobody asked for, too */
        return;
    }
    x->answered = f.requests;
    const uint64_t who = draw(x, 2);
    const int64_t id = last + (int64_t)draw(x, 4);
    x->wrong += who == 1;
    x->right += who == 0;
    if (hand(who, id, mlt_sync_answer) == MLT_SYNC_WAITS) {
        x->held_who = who;
        x->held_id = id;
    }
    assert_right();
}

/* So many came since the last one that was missing: where there is only one, which a snapshot is in
 * the middle of, nothing is left that speaks against it (docs/architecture.md, "Known limits"). */
#define WITNESSES 3

static void test_two_instruments_of_the_same_ids_and_prices_are_told_apart(void **state)
{
    (void)state;
    struct exchange x = { .random = 1 };
    uint64_t live = 0;
    unsigned held = 0;
    mlt_sync_start(f.sync);
    int64_t id = 1;
    while (id < IDS) {
        const int64_t first = id;
        id += 1 + (int64_t)draw(&x, 3);
        if (draw(&x, 50) == 0) {
            held = 0;
            continue; /* this one is missing */
        }
        held++;
        f.now_ns += (int64_t)draw(&x, 200) * MLT_NS_PER_MS;
        mlt_sync_tick(f.sync);
        (void)changes_of(first, id - 1);
        assert_right();
        if (mlt_sync_waiting(f.sync) == MLT_SYNC_RIPE) {
            (void)hand(x.held_who, x.held_id, mlt_sync_waited);
            assert_right();
        }
        if (held >= WITNESSES) {
            answer_if_asked(&x, id - 1);
        }
        live += mlt_sync_state(f.sync) == MLT_SYNC_LIVE;
    }
    assert_in_range(x.wrong, 30, IDS);
    assert_in_range(x.right, 30, IDS);
    assert_in_range(counts().doubted, 20, IDS);
    assert_in_range(live, 500, IDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAITING(test_other_quantities_than_the_deltas_set_are_another_instruments),
        WAITING(test_a_delta_across_the_id_is_no_witness),
        WAITING(test_only_what_a_snapshot_shows_is_compared),
        WAITING(test_one_level_in_the_middle_of_a_delta_is_no_proof),
        WAITING(test_an_answer_ahead_that_the_deltas_speak_against_is_never_live),
        WAITING(test_two_instruments_of_the_same_ids_and_prices_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
