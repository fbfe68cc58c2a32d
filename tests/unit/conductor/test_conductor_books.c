/* Books in the Conductor's core: what leaves, in which order, with what said about it. */
#include "books_expect.h"

#include "book.h"
#include "meltica/base/hash.h"

static void test_a_book_joins_and_each_step_is_said_in_place(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_delta(&f, 10, 12);
    assert_int_equal(f.count, 3);
    assert_int_equal(f.out[0].u.status.kind, MLT_STATUS_EPOCH_STARTED);
    expect_status(1, MLT_STATUS_SYNCING, "started", MLT_BOOK_IDLE, 0, 0);
    expect_delta(2, 12, false);
    assert_int_equal(f.requests, 1);
    assert_int_equal(f.depth, 5);
    assert_int_equal(f.need, MLT_SYNC_NEED_FIRST);
    fixture_delta(&f, 13, 14);
    expect_delta(3, 14, false);

    f.now_ns += MLT_NS_PER_MS;
    fixture_snapshot(&f, 12);
    assert_int_equal(f.count, 7);
    expect(4, MLT_EVENT_BOOK_SNAPSHOT);
    const struct mlt_book_snapshot *s = &f.out[4].u.book_snapshot;
    assert_true(s->reset);
    /* As the book is after the deltas beyond it. */
    assert_int_equal(s->last_update_id, 14);
    assert_int_equal(f.out[4].last, 14);
    assert_int_equal(s->bids.count, 2);
    assert_int_equal(s->bids.quantities[0], 14);
    assert_int_equal(s->asks.quantities[1], 7);
    assert_true(s->requested_depth > 2); /* both sides are whole */
    expect_status(5, MLT_STATUS_LIVE, "joined", MLT_BOOK_SYNCING, 12, 14);
    const struct mlt_book *b = expect_book(6, MLT_BOOK_LIVE, 14, 14);
    assert_int_equal(f.out[6].sequence, 1);
    assert_int_equal(b->bids.count, 2);
    assert_int_equal(b->bids.price_exponent, -2);
    assert_int_equal(b->bids.quantity_exponent, -5);
    assert_int_equal(b->bids.quantities[0], 14);
    assert_int_equal(b->digest, mlt_book_digest(&b->bids, &b->asks));
    assert_int_equal(b->snapshot_update_id, 12);
    assert_int_equal(b->snapshot_time_ns, f.now_ns);
    assert_int_equal(b->deltas_applied, 1);
    assert_int_equal(b->known_bids, 2);
    assert_true(b->has_analytics);
    assert_int_equal(b->analytics.spread.value.mantissa, 100);
    assert_int_equal(f.out[6].quality, MLT_QUALITY_WARMING);
    const struct mlt_conductor_counts counts = fixture_counts(&f);
    assert_int_equal(counts.books, 1);
    assert_int_equal(counts.snapshots, 1);
    assert_int_equal(counts.states[MLT_BOOK_LIVE], 1);
    fixture_close(&f);
}

static void test_a_snapshot_ahead_of_the_deltas_goes_out_as_it_is(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_delta(&f, 10, 12);
    fixture_forget(&f);
    fixture_snapshot(&f, 20);
    expect(0, MLT_EVENT_BOOK_SNAPSHOT);
    assert_true(f.out[0].u.book_snapshot.reset);
    assert_int_equal(f.out[0].u.book_snapshot.last_update_id, 20);
    assert_int_equal(f.out[0].u.book_snapshot.requested_depth, 5);
    fixture_forget(&f);
    /* Covered by the snapshot: its own state is not the book's. */
    fixture_delta(&f, 13, 18);
    assert_int_equal(f.count, 1);
    expect_delta(0, 18, false);
    fixture_delta(&f, 19, 20);
    expect_delta(1, 20, true);
    fixture_delta(&f, 21, 21);
    expect_delta(2, 21, true);
    /* One that says nothing new is an ordinary event. */
    fixture_forget(&f);
    f.now_ns += 20 * MLT_NS_PER_S;
    fixture_snapshot(&f, 5);
    expect(0, MLT_EVENT_BOOK_SNAPSHOT);
    assert_false(f.out[0].u.book_snapshot.reset);
    assert_int_equal(fixture_counts(&f).unused_snapshots, 1);
    fixture_close(&f);
}

static void test_changes_within_a_window_are_merged_and_the_last_always_leaves(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10);
    const int64_t start = f.now_ns;
    fixture_delta(&f, 11, 11);
    assert_int_equal(f.count, 2);
    expect_delta(0, 11, true);
    (void)expect_book(1, MLT_BOOK_LIVE, 11, 11);
    assert_int_equal(f.out[1].merged, 0);
    assert_int_equal(f.out[1].throttled_ns, 0);
    assert_int_equal(f.out[1].route, 6);
    assert_int_equal(f.out[1].route_revision, 3);
    assert_int_equal(f.out[1].trace_id[0], 11);
    fixture_run(&f, start + 30 * MLT_NS_PER_MS);
    fixture_delta(&f, 12, 13);
    fixture_run(&f, start + 60 * MLT_NS_PER_MS);
    const int64_t received = f.now_ns;
    fixture_delta(&f, 14, 15);
    assert_int_equal(f.count, 4);
    fixture_run(&f, start + 500 * MLT_NS_PER_MS);
    assert_int_equal(f.count, 5);
    assert_int_equal(f.out_ns[4], start + 100 * MLT_NS_PER_MS);
    (void)expect_book(4, MLT_BOOK_LIVE, 12, 15);
    assert_int_equal(f.out[4].merged, 1);
    assert_int_equal(f.out[4].throttled_ns, 40 * MLT_NS_PER_MS);
    assert_int_equal(f.out[4].stamps.received, received);
    assert_int_equal(f.out[4].stamps.exchange, received - 5);
    assert_int_equal(f.out[4].stamps.conducted, start + 100 * MLT_NS_PER_MS);
    assert_int_equal(fixture_counts(&f).books_merged, 1);
    fixture_close(&f);
}

static void test_a_hole_is_said_at_once_and_no_level_is_shown_until_a_snapshot_joins(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10);
    fixture_delta(&f, 11, 11);
    fixture_forget(&f);
    const size_t requests = f.requests;
    fixture_delta(&f, 15, 16); /* in the middle of a window */
    assert_int_equal(f.count, 4);
    expect_status(0, MLT_STATUS_GAP, "sequence_gap", MLT_BOOK_LIVE, 12, 14);
    expect_status(1, MLT_STATUS_SYNCING, "requested", MLT_BOOK_GAP, 0, 0);
    expect_delta(2, 16, false);
    const struct mlt_book *b = expect_book(3, MLT_BOOK_SYNCING, 11, 11);
    assert_int_equal(b->bids.count + b->asks.count, 0);
    assert_int_equal(b->digest_version, 0);
    assert_false(b->has_analytics);
    assert_int_equal(f.out[3].quality, MLT_QUALITY_STALE);
    assert_int_equal(f.requests, requests + 1);
    assert_int_equal(f.need, MLT_SYNC_NEED_RESYNC);
    fixture_delta(&f, 17, 18);
    expect_delta(4, 18, false);
    fixture_run(&f, f.now_ns + MLT_NS_PER_S);
    assert_int_equal(f.count, 5); /* nothing by itself */
    fixture_forget(&f);
    fixture_snapshot(&f, 17);
    expect(0, MLT_EVENT_BOOK_SNAPSHOT);
    assert_int_equal(f.out[0].last, 18);
    expect_status(1, MLT_STATUS_LIVE, "joined", MLT_BOOK_SYNCING, 17, 18);
    (void)expect_book(2, MLT_BOOK_LIVE, 12, 18);
    const struct mlt_conductor_counts counts = fixture_counts(&f);
    assert_int_equal(counts.gaps, 1);
    assert_int_equal(counts.resyncs, 1);
    fixture_close(&f);
}

static void test_a_silent_book_is_stale_with_its_last_levels(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10);
    fixture_run(&f, f.now_ns + 60 * MLT_NS_PER_S);
    assert_true(f.count >= 2);
    expect_status(0, MLT_STATUS_STALE, "silent", MLT_BOOK_LIVE, 0, 0);
    size_t n = 1;
    while (n < f.count && f.out[n].type != MLT_EVENT_BOOK) {
        n++;
    }
    const struct mlt_book *b = expect_book(n, f.out[n].u.book.state, 10, 10);
    assert_int_not_equal(b->state, MLT_BOOK_LIVE);
    assert_true((f.out[n].quality & MLT_QUALITY_STALE) != 0);
    assert_int_equal(fixture_counts(&f).stales, 1);
    fixture_forget(&f);
    fixture_delta(&f, 11, 11);
    expect_status(0, MLT_STATUS_LIVE, "resumed", MLT_BOOK_SYNCING, 11, 11);
    expect_delta(1, 11, true);
    (void)expect_book(2, MLT_BOOK_LIVE, 11, 11);
    fixture_close(&f);
}

static void test_a_line_that_ends_leaves_what_was_known_and_says_stale(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10);
    const size_t requests = f.requests;
    fixture_status(&f, MLT_STATUS_SOURCE_DOWN);
    assert_int_equal(f.count, 3);
    expect_status(0, MLT_STATUS_SOURCE_DOWN, "closed", MLT_BOOK_STATE_NONE, 0, 0);
    expect_status(1, MLT_STATUS_STALE, "source_down", MLT_BOOK_LIVE, 0, 0);
    const struct mlt_book *b = expect_book(2, MLT_BOOK_STALE, 10, 10);
    assert_int_equal(b->bids.count, 2);
    assert_int_equal(b->digest_version, 1);
    assert_false(b->has_analytics);
    assert_int_equal(f.out[2].quality, MLT_QUALITY_STALE);
    fixture_run(&f, f.now_ns + 100 * MLT_NS_PER_S);
    assert_int_equal(f.count, 3);
    assert_int_equal(f.requests, requests); /* there is nothing to ask for yet */
    fixture_forget(&f);
    fixture_status(&f, MLT_STATUS_SOURCE_UP);
    expect_status(1, MLT_STATUS_SYNCING, "requested", MLT_BOOK_STALE, 0, 0);
    assert_int_equal(f.count, 2);
    assert_int_equal(f.requests, requests + 1);
    fixture_snapshot(&f, 30);
    expect_status(3, MLT_STATUS_LIVE, "joined", MLT_BOOK_SYNCING, 30, 30);
    (void)expect_book(4, MLT_BOOK_LIVE, 11, 30);
    fixture_close(&f);
}

/* The Adapter that had it to fetch is gone: nothing is waited for. */
static void test_another_adapter_is_asked_for_what_the_one_before_did_not_send(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10);
    fixture_delta(&f, 13, 14); /* 11 and 12 are missing */
    const size_t requests = f.requests;
    f.now_ns += MLT_NS_PER_MS;
    fixture_status_of(&f, MLT_STATUS_SOURCE_UP, "subscribed"); /* a line of the same one */
    assert_int_equal(f.requests, requests);
    f.now_ns += MLT_NS_PER_MS;
    fixture_status_of(&f, MLT_STATUS_SOURCE_DOWN, "lost");
    f.now_ns += MLT_NS_PER_MS;
    fixture_status_of(&f, MLT_STATUS_SOURCE_UP, "started");
    assert_int_equal(f.requests, requests + 1);
    fixture_close(&f);
}

static void test_a_loss_on_the_way_here_is_a_gap(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10);
    const uint32_t partition = mlt_instrument_slot(FIXTURE_INSTRUMENT) % 4;
    mlt_conductor_core_lost(f.core, partition, "hop_overrun");
    assert_int_equal(f.count, 4);
    expect_status(0, MLT_STATUS_LOST, "hop_overrun", MLT_BOOK_STATE_NONE, 0, 0);
    expect_status(1, MLT_STATUS_GAP, "lost", MLT_BOOK_LIVE, 0, 0);
    expect_status(2, MLT_STATUS_SYNCING, "requested", MLT_BOOK_GAP, 0, 0);
    expect(3, MLT_EVENT_BOOK);
    assert_true((f.out[3].quality & MLT_QUALITY_AFTER_GAP) != 0);
    fixture_close(&f);
}

static void test_a_snapshot_that_does_not_come_is_asked_for_again(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_delta(&f, 1, 1);
    assert_int_equal(f.requests, 1);
    mlt_conductor_core_resync_failed(f.core, FIXTURE_INSTRUMENT);
    assert_int_equal(f.requests, 1); /* not at once */
    fixture_run(&f, f.now_ns + 2 * MLT_NS_PER_S);
    assert_int_equal(f.requests, 2);
    /* Nor is silence an answer. */
    fixture_run(&f, f.now_ns + 20 * MLT_NS_PER_S);
    assert_true(f.requests > 2);
    fixture_close(&f);
}

static void test_other_exponents_are_another_book(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10);
    struct mlt_event e = fixture_event(&f, MLT_EVENT_INSTRUMENT);
    e.u.instrument.price_exponent = -2;
    e.u.instrument.quantity_exponent = -5;
    fixture_send(&f, &e);
    assert_int_equal(f.count, 1); /* the same: nothing happens */
    f.now_ns++;
    e = fixture_event(&f, MLT_EVENT_INSTRUMENT);
    e.u.instrument.price_exponent = -3;
    e.u.instrument.quantity_exponent = -5;
    fixture_send(&f, &e);
    expect_status(1, MLT_STATUS_IDLE, "stopped", MLT_BOOK_LIVE, 0, 0);
    expect(2, MLT_EVENT_INSTRUMENT);
    expect_status(3, MLT_STATUS_SYNCING, "started", MLT_BOOK_IDLE, 0, 0);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_SYNCING], 1);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_LIVE], 0);
    fixture_close(&f);
}

static void test_a_book_that_waits_for_its_commit_outlives_other_exponents(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, true);
    f.cache = true;
    fixture_delta(&f, 10, 10);
    fixture_snapshot(&f, 10);
    assert_int_equal(f.commits, 1);
    fixture_forget(&f);
    for (int32_t exponent = -3; exponent > -6; exponent--) { /* and again, before the answer */
        f.now_ns++;
        struct mlt_event e = fixture_event(&f, MLT_EVENT_INSTRUMENT);
        e.u.instrument.price_exponent = exponent;
        e.u.instrument.quantity_exponent = -5;
        fixture_send(&f, &e);
    }
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
    const struct mlt_book *b = expect_book(0, MLT_BOOK_LIVE, 10, 10);
    assert_int_equal(b->bids.price_exponent, -2);
    assert_int_equal(b->bids.count, 2);
    assert_int_equal(b->bids.prices[0], 100);
    assert_int_equal(b->asks.prices[1], 201);
    expect_status(1, MLT_STATUS_IDLE, "stopped", MLT_BOOK_LIVE, 0, 0);
    expect(2, MLT_EVENT_INSTRUMENT);
    fixture_close(&f);
}

static void test_instruments_without_book_events_have_no_book(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    struct mlt_event e = fixture_event(&f, MLT_EVENT_INSTRUMENT);
    e.u.instrument.price_exponent = -2;
    fixture_send(&f, &e);
    e = fixture_event(&f, MLT_EVENT_TRADE);
    e.first = e.last = 1;
    fixture_send(&f, &e);
    const struct mlt_conductor_counts counts = fixture_counts(&f);
    for (size_t s = 0; s < 6; s++) {
        assert_int_equal(counts.states[s], 0);
    }
    assert_int_equal(f.requests, 0);
    assert_int_equal(mlt_conductor_core_due_ns(f.core), INT64_MAX);
    fixture_close(&f);
}

/* As a recording is played, or with our clock wrong: a snapshot, which we alone can time, must not
 * put the trades that follow it in the past. */
static void test_the_windows_of_trades_go_by_the_exchanges_clock(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    f.behind_ns = 700 * 86400 * MLT_NS_PER_S;
    fixture_live(&f, 10);
    struct mlt_event e = fixture_event(&f, MLT_EVENT_TRADE);
    e.first = e.last = e.u.trade.trade_id = 1;
    e.u.trade.price = (struct mlt_decimal){ 150, -2 };
    e.u.trade.quantity = (struct mlt_decimal){ 3, -5 };
    e.u.trade.aggressor = MLT_SIDE_SELL;
    e.u.trade.trade_time_ns = e.stamps.exchange;
    fixture_send(&f, &e);
    fixture_delta(&f, 11, 11);
    const struct mlt_book *b = &f.out[f.count - 1].u.book;
    assert_int_equal(f.out[f.count - 1].type, MLT_EVENT_BOOK);
    for (int i = 0; i < MLT_ANALYTICS_SPANS; i++) {
        assert_int_equal(b->analytics.vwap[i].value.mantissa, 1500000);
        assert_int_equal(b->analytics.trade_flow[i].value.mantissa, -1000000);
    }
    fixture_snapshot(&f, 11); /* nor those that came before it */
    f.now_ns += 200 * MLT_NS_PER_MS;
    fixture_delta(&f, 12, 12);
    b = &f.out[f.count - 1].u.book;
    assert_int_equal(f.out[f.count - 1].type, MLT_EVENT_BOOK);
    assert_int_equal(b->analytics.vwap[0].value.mantissa, 1500000);
    fixture_close(&f);
}

static void test_trades_are_in_the_measures_of_the_next_book(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10);
    struct mlt_event e = fixture_event(&f, MLT_EVENT_TRADE);
    e.first = e.last = e.u.trade.trade_id = 1;
    e.u.trade.price = (struct mlt_decimal){ 150, -2 };
    e.u.trade.quantity = (struct mlt_decimal){ 3, -5 };
    e.u.trade.aggressor = MLT_SIDE_BUY;
    e.u.trade.trade_time_ns = f.now_ns - 5;
    fixture_send(&f, &e);
    assert_int_equal(f.count, 1); /* a trade alone makes no BOOK */
    fixture_delta(&f, 11, 11);
    const struct mlt_book *b = expect_book(2, MLT_BOOK_LIVE, 11, 11);
    assert_true((b->analytics.vwap[0].flags & MLT_MEASURE_PRESENT) != 0);
    assert_int_equal(b->analytics.vwap[0].value.mantissa, 1500000);
    assert_int_equal(b->analytics.vwap[0].value.exponent, -6);
    fixture_close(&f);
}

/* After a gap in their ids the windows of trades begin anew, and say so. */
static void test_missing_trades_make_the_measures_begin_anew(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10);
    struct mlt_event e = fixture_event(&f, MLT_EVENT_TRADE);
    e.quality = MLT_QUALITY_CONTIGUOUS;
    e.u.trade.quantity = (struct mlt_decimal){ 3, -5 };
    e.u.trade.aggressor = MLT_SIDE_BUY;
    for (int64_t id = 1; id <= 2; id++) {
        e.first = e.last = e.u.trade.trade_id = id;
        e.u.trade.price = (struct mlt_decimal){ 149 + id, -2 };
        e.u.trade.trade_time_ns = f.now_ns;
        fixture_send(&f, &e);
        f.now_ns += 2 * MLT_NS_PER_S;
    }
    fixture_delta(&f, 11, 11);
    const struct mlt_book *b = expect_book(f.count - 1, MLT_BOOK_LIVE, 11, 11);
    assert_int_equal(b->analytics.vwap[1].value.mantissa, 1505000);
    e.first = e.last = e.u.trade.trade_id = 5; /* 3 and 4 are missing */
    e.u.trade.price = (struct mlt_decimal){ 160, -2 };
    e.u.trade.trade_time_ns = f.now_ns;
    fixture_send(&f, &e);
    f.now_ns += MLT_NS_PER_S;
    fixture_delta(&f, 12, 12);
    b = expect_book(f.count - 1, MLT_BOOK_LIVE, 12, 12);
    assert_int_equal(b->analytics.vwap[1].value.mantissa, 1600000);
    assert_true((b->analytics.vwap[1].flags & MLT_MEASURE_WARMING) != 0);
    fixture_close(&f);
}

static struct mlt_event trade_now(int64_t id)
{
    struct mlt_event e = fixture_event(&f, MLT_EVENT_TRADE);
    e.first = e.last = e.u.trade.trade_id = id;
    e.u.trade.price = (struct mlt_decimal){ 150, -2 };
    e.u.trade.quantity = (struct mlt_decimal){ 3, -5 };
    e.u.trade.aggressor = MLT_SIDE_BUY;
    e.u.trade.trade_time_ns = f.now_ns;
    return e;
}

static void test_a_line_that_ends_begins_the_windows_of_trades_anew(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10);
    struct mlt_event e = trade_now(1);
    fixture_send(&f, &e);
    fixture_status(&f, MLT_STATUS_SOURCE_DOWN);
    f.now_ns += MLT_NS_PER_MS;
    fixture_status(&f, MLT_STATUS_SOURCE_UP);
    fixture_snapshot(&f, 10);
    fixture_delta(&f, 11, 11);
    fixture_run(&f, f.now_ns + 200 * MLT_NS_PER_MS);
    const struct mlt_book *b = expect_book(f.count - 1, MLT_BOOK_LIVE, 11, 11);
    assert_int_equal(b->analytics.vwap[2].flags, MLT_MEASURE_WARMING); /* without a value */
    fixture_close(&f);
}

static void test_a_gap_begins_the_volatility_anew(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10);
    int64_t id = 10;
    for (int second = 0; second < 70; second++) {
        f.now_ns += MLT_NS_PER_S;
        id++;
        fixture_delta(&f, id, id);
    }
    const struct mlt_book *b = expect_book(f.count - 1, MLT_BOOK_LIVE, id, id);
    assert_int_equal(b->analytics.volatility.flags, MLT_MEASURE_PRESENT);
    fixture_delta(&f, id + 5, id + 5);
    fixture_snapshot(&f, id + 5);
    b = &f.out[f.count - 1].u.book;
    assert_int_equal(f.out[f.count - 1].type, MLT_EVENT_BOOK);
    assert_int_equal(b->state, MLT_BOOK_LIVE);
    assert_int_equal(b->analytics.volatility.flags, MLT_MEASURE_WARMING);
    fixture_close(&f);
}

/* ---- the throttle as a property ---- */

/* Deltas at random times. The model: the first leaves at once, each window of 100 ms has one BOOK
 * at most, and what came within leaves at its end. */
static void throttle_round(uint64_t seed, int64_t throttle_ns)
{
    struct mlt_conductor_books books = fixture_books;
    books.throttle_ns = throttle_ns;
    fixture_open(&f, &books, false);
    fixture_live(&f, 10);
    int64_t window_ends = INT64_MIN, waits_since = 10, last = 10;
    uint64_t merged = 0, deltas = 0;
    size_t seen = 0;
    for (int n = 0; n < 400; n++) {
        const uint64_t r = mlt_mix64(seed * 1000 + (uint64_t)n);
        const int64_t until = f.now_ns + (int64_t)(r % 8 == 0 ? 150 : r % 40) * MLT_NS_PER_MS +
                              (int64_t)(r >> 32 & 0xffff);
        const bool waiting = waits_since < last;
        fixture_run(&f, until);
        if (waiting && until >= window_ends) { /* left at the end of the window */
            assert_int_equal(f.count, seen + 1);
            assert_int_equal(f.out_ns[seen], window_ends);
            (void)expect_book(seen, MLT_BOOK_LIVE, waits_since + 1, last);
            merged += f.out[seen].merged + 1;
            seen++;
            window_ends += throttle_ns;
            waits_since = last;
        }
        assert_int_equal(f.count, seen);
        last++;
        deltas++;
        fixture_delta(&f, last, last);
        expect_delta(seen++, last, true);
        if (f.now_ns >= window_ends) {
            assert_int_equal(f.count, seen + 1);
            (void)expect_book(seen, MLT_BOOK_LIVE, last, last);
            merged += f.out[seen].merged + 1;
            seen++;
            window_ends = f.now_ns + throttle_ns;
            waits_since = last;
        }
        assert_int_equal(f.count, seen);
    }
    fixture_run(&f, f.now_ns + MLT_NS_PER_S);
    if (waits_since < last) {
        (void)expect_book(seen, MLT_BOOK_LIVE, waits_since + 1, last);
        merged += f.out[seen].merged + 1;
    }
    assert_int_equal(merged, deltas);
    fixture_close(&f);
}

static void test_one_book_a_window_and_the_last_state_always_leaves(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        throttle_round(seed, (int64_t)(1 + mlt_mix64(seed) % 150) * MLT_NS_PER_MS);
    }
    throttle_round(99, 0);
}

/* A shallow snapshot at the id of a deeper one takes nothing away from the book, and must not from
 * those who follow it either. */
static void test_a_shallow_snapshot_at_the_same_id_tells_all_that_is_known(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10);
    mlt_conductor_core_lost(f.core, mlt_instrument_slot(FIXTURE_INSTRUMENT) % 4, "hop_overrun");
    fixture_forget(&f);
    static const int64_t bid = 100, ask = 200, quantity = 10;
    struct mlt_event e = fixture_event(&f, MLT_EVENT_BOOK_SNAPSHOT);
    e.first = e.last = 10;
    e.u.book_snapshot.last_update_id = 10;
    e.u.book_snapshot.bids = (struct mlt_levels){ -2, -5, 1, &bid, &quantity };
    e.u.book_snapshot.asks = (struct mlt_levels){ -2, -5, 1, &ask, &quantity };
    e.u.book_snapshot.requested_depth = 1;
    fixture_send(&f, &e);
    expect(0, MLT_EVENT_BOOK_SNAPSHOT);
    const struct mlt_book_snapshot *told = &f.out[0].u.book_snapshot;
    assert_true(told->reset);
    size_t at = 0;
    while (f.out[at].type != MLT_EVENT_BOOK) {
        at++;
        assert_true(at < f.count);
    }
    assert_int_equal(f.out[at].u.book.state, MLT_BOOK_LIVE);
    assert_int_equal(told->bids.count, f.out[at].u.book.known_bids);
    assert_int_equal(told->asks.count, f.out[at].u.book.known_asks);
    fixture_close(&f);
}

static void send_two_levels(int64_t id)
{
    static const int64_t bids[] = { 100, 98 }, asks[] = { 200, 202 };
    const int64_t quantities[] = { id, 7 };
    struct mlt_event e = fixture_event(&f, MLT_EVENT_BOOK_SNAPSHOT);
    e.first = e.last = e.u.book_snapshot.last_update_id = id;
    e.u.book_snapshot.bids = (struct mlt_levels){ -2, -5, 2, bids, quantities };
    e.u.book_snapshot.asks = (struct mlt_levels){ -2, -5, 2, asks, quantities };
    e.u.book_snapshot.requested_depth = 2;
    fixture_send(&f, &e);
}

/* Nor does it take away that there are no others. */
static void test_a_snapshot_that_ends_where_a_whole_book_does_says_that_it_is_whole(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10); /* two levels of five that were asked for */
    static const int64_t bids[] = { 100, 99 }, asks[] = { 200, 201 }, quantities[] = { 10, 7 };
    struct mlt_event e = fixture_event(&f, MLT_EVENT_BOOK_SNAPSHOT);
    e.first = e.last = e.u.book_snapshot.last_update_id = 10;
    e.u.book_snapshot.bids = (struct mlt_levels){ -2, -5, 2, bids, quantities };
    e.u.book_snapshot.asks = (struct mlt_levels){ -2, -5, 2, asks, quantities };
    e.u.book_snapshot.requested_depth = 2;
    fixture_send(&f, &e);
    expect(0, MLT_EVENT_BOOK_SNAPSHOT);
    assert_true(f.out[0].u.book_snapshot.reset);
    assert_int_equal(f.out[0].u.book_snapshot.bids.count, 2);
    assert_int_equal(f.out[0].u.book_snapshot.requested_depth, 3);
    fixture_close(&f);
}

/* Who is told levels knows nothing beyond the last of them, though the book knew that 98 is gone.
 */
static void test_a_restated_snapshot_leaves_the_book_with_the_window_that_it_told(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_delta(&f, 10, 10);
    struct mlt_event e = fixture_event(&f, MLT_EVENT_BOOK_DELTA);
    static const int64_t bid = 98, none = 0;
    e.first = e.last = 11;
    e.u.book_delta.bids = (struct mlt_levels){ -2, -5, 1, &bid, &none };
    e.u.book_delta.asks = (struct mlt_levels){ -2, -5, 0, NULL, NULL };
    fixture_send(&f, &e);
    f.now_ns += MLT_NS_PER_MS;
    fixture_forget(&f);
    send_two_levels(10); /* 11 is applied to it */
    expect(0, MLT_EVENT_BOOK_SNAPSHOT);
    assert_int_equal(f.out[0].last, 11);
    assert_int_equal(f.out[0].u.book_snapshot.bids.count, 1);
    int64_t bound = 0;
    const struct mlt_orderbook *book = mlt_conductor_core_levels(f.core, FIXTURE_INSTRUMENT);
    assert_true(mlt_orderbook_bound(book, MLT_ORDERBOOK_BIDS, &bound));
    assert_int_equal(bound, 100);
    fixture_close(&f);
}

/* The book is kept, deltas prove it and consumers of deltas can join; no more than that is
 * numbered. */
/* The table's schedule may ask for 5,000 levels, of which the book keeps fewer. */
static void test_a_snapshot_deeper_than_the_book_goes_out_as_deep_as_the_book(void **state)
{
    (void)state;
    struct mlt_conductor_books books = fixture_books;
    books.book_levels = MLT_ORDERBOOK_LEVELS_MIN;
    fixture_open(&f, &books, false);
    fixture_delta(&f, 10, 10);
    fixture_forget(&f);
    int64_t bids[80], asks[80], quantities[80];
    for (int i = 0; i < 80; i++) {
        bids[i] = 150 - i;
        asks[i] = 151 + i;
        quantities[i] = 1 + i;
    }
    quantities[49] = quantities[50] = 10; /* of ask 200 and bid 100, as the delta says */
    struct mlt_event e = fixture_event(&f, MLT_EVENT_BOOK_SNAPSHOT);
    e.first = e.last = 10;
    e.u.book_snapshot.last_update_id = 10;
    e.u.book_snapshot.bids = (struct mlt_levels){ -2, -5, 80, bids, quantities };
    e.u.book_snapshot.asks = (struct mlt_levels){ -2, -5, 80, asks, quantities };
    e.u.book_snapshot.requested_depth = 5000; /* whole, but not in this book */
    fixture_send(&f, &e);
    expect(0, MLT_EVENT_BOOK_SNAPSHOT);
    const struct mlt_book_snapshot *out = &f.out[0].u.book_snapshot;
    assert_true(out->reset);
    assert_int_equal(out->bids.count, MLT_ORDERBOOK_LEVELS_MIN);
    assert_int_equal(out->asks.count, MLT_ORDERBOOK_LEVELS_MIN);
    assert_int_equal(out->requested_depth, MLT_ORDERBOOK_LEVELS_MIN); /* not whole */
    assert_int_equal(out->bids.prices[MLT_ORDERBOOK_LEVELS_MIN - 1], 150 - 63);
    fixture_close(&f);
}

/* What another owner has is its to count: a book that was SYNCING when its slot was lost would be
 * so for ever. */
static void test_books_of_slots_that_were_lost_are_in_no_state(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_delta(&f, 100, 100);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_SYNCING], 1);
    fixture_epoch(&f, 0);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_SYNCING], 0);
    fixture_epoch(&f, 9);
    fixture_live(&f, 100);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_LIVE], 1);
    const uint64_t changes = fixture_counts(&f).level_changes;
    fixture_epoch(&f, 0);
    const struct mlt_conductor_counts counts = fixture_counts(&f);
    for (int s = MLT_BOOK_IDLE; s <= MLT_BOOK_STALE; s++) {
        assert_int_equal(counts.states[s], 0);
    }
    assert_int_equal(counts.level_changes, changes); /* what was done stays done */
    fixture_close(&f);
}

static void test_what_nobody_subscribed_to_is_not_numbered(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    f.wants = 0;
    fixture_delta(&f, 10, 12);
    fixture_forget(&f);
    fixture_snapshot(&f, 12);
    assert_int_equal(f.count, 2);
    expect(0, MLT_EVENT_BOOK_SNAPSHOT);
    assert_true(f.out[0].u.book_snapshot.reset);
    assert_int_equal(f.out[0].sequence, 1);
    expect_status(1, MLT_STATUS_LIVE, "joined", MLT_BOOK_SYNCING, 12, 12);
    assert_true(mlt_conductor_core_due_ns(f.core) > f.now_ns);
    fixture_delta(&f, 13, 13);
    expect_delta(2, 13, true);
    assert_int_equal(f.count, 3);
    /* One that says nothing new, some time later. */
    f.now_ns += 20 * MLT_NS_PER_S;
    fixture_snapshot(&f, 5);
    assert_int_equal(f.count, 3);
    assert_int_equal(fixture_counts(&f).snapshots_kept, 1);
    assert_int_equal(fixture_counts(&f).books, 0);
    f.wants = MLT_QUALITY_WANTS_SNAPSHOT;
    f.now_ns += 20 * MLT_NS_PER_S;
    fixture_snapshot(&f, 5);
    assert_int_equal(f.count, 4);
    expect(3, MLT_EVENT_BOOK_SNAPSHOT);
    assert_int_equal(f.out[3].sequence, 2); /* the one that was kept is no hole */
    f.wants = MLT_QUALITY_WANTS_BOOK;
    fixture_delta(&f, 14, 14);
    assert_int_equal(f.count, 6);
    expect_delta(4, 14, true);
    (void)expect_book(5, MLT_BOOK_LIVE, 14, 14);
    f.wants = 0;
    fixture_delta(&f, 15, 15);
    f.now_ns += MLT_NS_PER_S;
    mlt_conductor_core_tick(f.core);
    assert_int_equal(f.count, 7);
    fixture_close(&f);
}

static void test_lateness_after_the_window_is_not_the_window_s(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10);
    const int64_t start = f.now_ns;
    fixture_delta(&f, 11, 11);
    f.now_ns = start + 60 * MLT_NS_PER_MS;
    fixture_delta(&f, 12, 12);
    fixture_forget(&f);
    f.now_ns = start + 107 * MLT_NS_PER_MS; /* the ticker had no processor */
    mlt_conductor_core_tick(f.core);
    (void)expect_book(0, MLT_BOOK_LIVE, 12, 12);
    assert_int_equal(f.out[0].throttled_ns, 40 * MLT_NS_PER_MS);
    fixture_close(&f);
}

static void test_options_that_make_no_book_are_refused(void **state)
{
    (void)state;
    const struct mlt_conductor_ports ports = { .emit = fixture_emit, .ctx = &f };
    struct mlt_conductor_core *core = NULL;
    assert_int_equal(mlt_conductor_core_create(4, &ports, &core), MLT_OK);
    struct mlt_conductor_books books = fixture_books;
    books.published_levels = 0;
    assert_int_equal(mlt_conductor_core_books(core, &books), MLT_E_INVALID);
    books = fixture_books;
    books.throttle_ns = -1;
    assert_int_equal(mlt_conductor_core_books(core, &books), MLT_E_INVALID);
    books = fixture_books;
    books.snapshot_depth = books.book_levels + 1;
    assert_int_equal(mlt_conductor_core_books(core, &books), MLT_E_INVALID);
    assert_int_equal(mlt_conductor_core_books(core, &fixture_books), MLT_OK);
    mlt_conductor_core_destroy(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_book_joins_and_each_step_is_said_in_place),
        cmocka_unit_test(test_a_snapshot_ahead_of_the_deltas_goes_out_as_it_is),
        cmocka_unit_test(test_a_snapshot_deeper_than_the_book_goes_out_as_deep_as_the_book),
        cmocka_unit_test(test_books_of_slots_that_were_lost_are_in_no_state),
        cmocka_unit_test(test_what_nobody_subscribed_to_is_not_numbered),
        cmocka_unit_test(test_changes_within_a_window_are_merged_and_the_last_always_leaves),
        cmocka_unit_test(test_a_hole_is_said_at_once_and_no_level_is_shown_until_a_snapshot_joins),
        cmocka_unit_test(test_a_silent_book_is_stale_with_its_last_levels),
        cmocka_unit_test(test_a_line_that_ends_leaves_what_was_known_and_says_stale),
        cmocka_unit_test(test_another_adapter_is_asked_for_what_the_one_before_did_not_send),
        cmocka_unit_test(test_a_loss_on_the_way_here_is_a_gap),
        cmocka_unit_test(test_a_snapshot_that_does_not_come_is_asked_for_again),
        cmocka_unit_test(test_other_exponents_are_another_book),
        cmocka_unit_test(test_a_book_that_waits_for_its_commit_outlives_other_exponents),
        cmocka_unit_test(test_instruments_without_book_events_have_no_book),
        cmocka_unit_test(test_trades_are_in_the_measures_of_the_next_book),
        cmocka_unit_test(test_the_windows_of_trades_go_by_the_exchanges_clock),
        cmocka_unit_test(test_missing_trades_make_the_measures_begin_anew),
        cmocka_unit_test(test_a_line_that_ends_begins_the_windows_of_trades_anew),
        cmocka_unit_test(test_a_gap_begins_the_volatility_anew),
        cmocka_unit_test(test_one_book_a_window_and_the_last_state_always_leaves),
        cmocka_unit_test(test_a_shallow_snapshot_at_the_same_id_tells_all_that_is_known),
        cmocka_unit_test(test_a_snapshot_that_ends_where_a_whole_book_does_says_that_it_is_whole),
        cmocka_unit_test(test_a_restated_snapshot_leaves_the_book_with_the_window_that_it_told),
        cmocka_unit_test(test_lateness_after_the_window_is_not_the_window_s),
        cmocka_unit_test(test_options_that_make_no_book_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
