/* Books that an owner before left: shown as STALE, and LIVE only by what follows. */
#include "books_expect.h"

#include "book.h"
#include "meltica/event/record.h"

/* Bids 100, 99 and asks 200, 201 at `last`, as fixture_snapshot and fixture_delta make them. */
static const int64_t bids[] = { 100, 99 }, asks[] = { 200, 201 };
static int64_t quantities[2], shown_quantities[2];

struct left {
    struct mlt_event book;
    struct mlt_book_checkpoint checkpoint;
    bool source_up;
};

/* The owner before had shown `shown`, and its checkpoint is of `last`. */
static struct left left_at(int64_t last, int64_t shown)
{
    struct left l;
    memset(&l, 0, sizeof l);
    quantities[0] = last;
    shown_quantities[0] = shown;
    quantities[1] = shown_quantities[1] = 7;
    l.book = fixture_event(&f, MLT_EVENT_BOOK);
    l.book.epoch = 3;
    l.book.sequence = 40;
    l.book.last = l.book.first = shown;
    l.book.u.book = (struct mlt_book){
        .last_update_id = shown,
        .bids = { -2, -5, 2, bids, shown_quantities },
        .asks = { -2, -5, 2, asks, shown_quantities },
        .state = MLT_BOOK_LIVE,
        .snapshot_update_id = 90,
        .snapshot_time_ns = f.now_ns - MLT_NS_PER_S,
        .deltas_applied = 4,
        .digest_version = 1,
        .known_bids = 2,
        .known_asks = 2,
        .has_analytics = true,
    };
    l.book.u.book.digest = mlt_book_digest(&l.book.u.book.bids, &l.book.u.book.asks);
    l.checkpoint = (struct mlt_book_checkpoint){
        .instrument = FIXTURE_INSTRUMENT,
        .epoch = 3,
        .last_update_id = last,
        .bids = { -2, -5, 2, bids, quantities },
        .asks = { -2, -5, 2, asks, quantities },
        .digest_version = 1,
        .time_ns = f.now_ns,
        .snapshot_update_id = 90,
        .snapshot_time_ns = f.now_ns - MLT_NS_PER_S,
        .state = MLT_BOOK_LIVE,
        .bids_whole = true,
        .asks_whole = true,
    };
    l.checkpoint.digest = mlt_book_digest(&l.checkpoint.bids, &l.checkpoint.asks);
    return l;
}

static void open_core(void)
{
    struct mlt_conductor_books books = fixture_books;
    books.restore_wait_ns = MLT_NS_PER_S;
    fixture_open(&f, &books, false);
}

/* The Data Bus has delivered deltas up to `delivered`, and a BOOK of `booked`. */
static void take_over_from(const struct left *l, int64_t delivered, int64_t booked)
{
    const struct mlt_head heads[] = { { MLT_EVENT_BOOK_DELTA, 31, delivered },
                                      { MLT_EVENT_BOOK, 40, booked } };
    const struct mlt_instrument_heads seed = {
        .instrument = FIXTURE_INSTRUMENT, .epoch = 3, .head_count = 2, .heads = heads
    };
    assert_int_equal(mlt_conductor_core_restore(f.core, &l->book, &l->checkpoint, l->source_up),
                     MLT_OK);
    assert_int_equal(f.count, 0);
    assert_int_equal(mlt_conductor_core_seed(f.core, &seed), MLT_OK);
    mlt_conductor_core_restored(f.core, mlt_instrument_slot(FIXTURE_INSTRUMENT) % 4);
}

static void take_over(const struct left *l, int64_t delivered)
{
    take_over_from(l, delivered, l->book.last);
}

static void open_left(int64_t last, int64_t shown, int64_t delivered)
{
    open_core();
    const struct left l = left_at(last, shown);
    take_over(&l, delivered);
}

/* A delta of before, as fixture_delta. */
static void again(int64_t first, int64_t last)
{
    static const int64_t bid = 100, ask = 200;
    struct mlt_event e = fixture_event(&f, MLT_EVENT_BOOK_DELTA);
    e.first = first;
    e.last = last;
    e.u.book_delta.bids = (struct mlt_levels){ -2, -5, 1, &bid, &last };
    e.u.book_delta.asks = (struct mlt_levels){ -2, -5, 1, &ask, &last };
    mlt_conductor_core_again(f.core, &e);
}

/* Its levels are those of the exchange at `last`. */
static void expect_levels(const struct mlt_book *b, int64_t last)
{
    const int64_t right[] = { last, 7 };
    const struct mlt_levels bid = { -2, -5, 2, bids, right }, ask = { -2, -5, 2, asks, right };
    assert_int_equal(b->bids.count, 2);
    assert_int_equal(b->asks.count, 2);
    assert_memory_equal(b->bids.prices, bids, sizeof bids);
    assert_memory_equal(b->bids.quantities, right, sizeof right);
    assert_memory_equal(b->asks.quantities, right, sizeof right);
    assert_int_equal(b->digest, mlt_book_digest(&bid, &ask));
}

static void test_last_record_is_shown_at_once_as_stale_and_numbered_anew(void **state)
{
    (void)state;
    open_left(100, 103, 105);
    assert_int_equal(f.count, 3);
    assert_int_equal(f.out[0].u.status.kind, MLT_STATUS_EPOCH_STARTED);
    assert_int_equal(f.out[0].u.status.previous_epoch, 3);
    assert_int_equal(f.out[0].u.status.head_count, 2);
    expect_status(1, MLT_STATUS_STALE, "restored", MLT_BOOK_IDLE, 100, 100);
    const struct mlt_book *b = expect_book_at(2, MLT_BOOK_STALE, 103);
    expect_levels(b, 103);
    assert_int_equal(f.out[2].epoch, 7);
    assert_int_equal(f.out[2].sequence, 1);
    assert_int_equal(f.out[2].first, 103);
    assert_true((f.out[2].quality & MLT_QUALITY_STALE) != 0);
    assert_false(b->has_analytics);
    assert_int_equal(b->snapshot_update_id, 90);
    assert_int_equal(f.requests, 0);
    assert_int_equal(fixture_counts(&f).restored, 1);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_STALE], 1);
    mlt_conductor_core_restored(f.core, mlt_instrument_slot(FIXTURE_INSTRUMENT) % 4);
    assert_int_equal(f.count, 3); /* once */
    fixture_close(&f);
}

/* The owner before went on after its record was read, and before it knew of us. */
static void test_record_behind_what_was_delivered_is_not_shown(void **state)
{
    (void)state;
    open_core();
    const struct left l = left_at(100, 103);
    take_over_from(&l, 105, 105);
    assert_int_equal(f.count, 2); /* that an epoch began, and that the book is STALE */
    for (size_t n = 0; n < f.count; n++) {
        assert_int_equal(f.out[n].type, MLT_EVENT_STATUS);
    }
    again(101, 105);
    fixture_run(&f, f.now_ns + MLT_NS_PER_S / 2);
    for (size_t n = 0; n < f.count; n++) {
        assert_true(f.out[n].type != MLT_EVENT_BOOK);
    }
    fixture_delta(&f, 106, 106);
    const struct mlt_event *e = &f.out[f.count - 1];
    assert_int_equal(e->type, MLT_EVENT_BOOK);
    assert_int_equal(e->u.book.state, MLT_BOOK_LIVE);
    assert_int_equal(e->last, 106);
    expect_levels(&e->u.book, 106);
    fixture_close(&f);
}

static void test_first_delta_that_follows_makes_it_live_without_a_snapshot(void **state)
{
    (void)state;
    open_left(105, 105, 105);
    fixture_forget(&f);
    fixture_delta(&f, 104, 107); /* over the seam */
    assert_int_equal(f.count, 3);
    expect_status(0, MLT_STATUS_LIVE, "resumed", MLT_BOOK_STALE, 104, 107);
    assert_int_equal(f.out[1].type, MLT_EVENT_BOOK_DELTA);
    assert_int_equal(f.out[1].u.book_delta.digest_version, 1);
    const struct mlt_book *b = expect_book_at(2, MLT_BOOK_LIVE, 107);
    expect_levels(b, 107);
    assert_int_equal(f.out[1].u.book_delta.digest, b->digest);
    assert_int_equal(f.out[2].first, 106);
    assert_int_equal(f.out[2].quality & MLT_QUALITY_STALE, 0);
    assert_int_equal(f.requests, 0);
    assert_int_equal(fixture_counts(&f).rejoined, 1);
    fixture_close(&f);
}

static void test_what_was_put_out_before_brings_it_forward_but_never_makes_it_live(void **state)
{
    (void)state;
    open_left(100, 103, 106);
    fixture_forget(&f);
    again(99, 100);
    again(101, 103);
    again(104, 104);
    fixture_delta(&f, 105, 106); /* not acknowledged, but delivered */
    assert_int_equal(f.count, 0);
    assert_int_equal(fixture_counts(&f).duplicates, 1);
    assert_int_equal(fixture_counts(&f).replayed, 3);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_STALE], 1);
    fixture_delta(&f, 107, 107);
    expect_status(0, MLT_STATUS_LIVE, "resumed", MLT_BOOK_STALE, 107, 107);
    const struct mlt_book *b = expect_book_at(2, MLT_BOOK_LIVE, 107);
    expect_levels(b, 107);
    assert_int_equal(b->deltas_applied, 4 + 2 + 1); /* 103 was in what the last BOOK said */
    assert_int_equal(f.requests, 0);
    again(108, 108); /* comes late: of no use any more */
    fixture_forget(&f);
    fixture_delta(&f, 108, 108);
    assert_int_equal(f.out[0].u.book_delta.digest_version, 1);
    fixture_close(&f);
}

static void test_delta_that_does_not_follow_is_a_gap_and_asks(void **state)
{
    (void)state;
    open_left(100, 103, 105);
    fixture_forget(&f);
    fixture_delta(&f, 106, 106);
    expect_status(0, MLT_STATUS_GAP, "sequence_gap", MLT_BOOK_STALE, 101, 105);
    assert_int_equal(f.requests, 1);
    assert_int_equal(f.need, MLT_SYNC_NEED_RESYNC);
    for (size_t n = 0; n < f.count; n++) {
        if (f.out[n].type == MLT_EVENT_BOOK) {
            assert_int_equal(f.out[n].u.book.bids.count + f.out[n].u.book.asks.count, 0);
            assert_true(f.out[n].u.book.state != MLT_BOOK_LIVE);
        }
    }
    fixture_forget(&f);
    fixture_snapshot(&f, 105);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_LIVE], 1);
    expect_levels(expect_book_at(f.count - 1, MLT_BOOK_LIVE, 106), 106);
    fixture_close(&f);
}

static void test_hole_in_what_comes_again_is_found_before_anything_new_comes(void **state)
{
    (void)state;
    open_left(100, 103, 105);
    fixture_forget(&f);
    again(102, 103); /* the ring has no more of 101 */
    expect_status(0, MLT_STATUS_GAP, "sequence_gap", MLT_BOOK_STALE, 101, 101);
    assert_int_equal(f.requests, 1);
    again(104, 105);
    assert_int_equal(fixture_counts(&f).gaps, 1);
    fixture_delta(&f, 106, 106);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_SYNCING], 1);
    fixture_close(&f);
}

static void test_quiet_book_stays_stale_until_a_snapshot_as_new_as_what_was_delivered(void **state)
{
    (void)state;
    open_left(100, 100, 105);
    fixture_forget(&f);
    fixture_run(&f, f.now_ns + 999 * MLT_NS_PER_MS);
    assert_int_equal(f.requests, 0);
    assert_int_equal(f.count, 0);
    fixture_run(&f, f.now_ns + MLT_NS_PER_MS);
    assert_int_equal(f.requests, 1);
    expect_status(0, MLT_STATUS_SYNCING, "requested", MLT_BOOK_STALE, 0, 0);
    fixture_snapshot(&f, 104); /* a consumer has seen 105 */
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_LIVE], 0);
    fixture_run(&f, f.now_ns + 3 * MLT_NS_PER_S);
    assert_int_equal(f.requests, 2);
    fixture_snapshot(&f, 105);
    expect_levels(expect_book_at(f.count - 1, MLT_BOOK_LIVE, 105), 105);
    assert_int_equal(fixture_counts(&f).rejoined, 0);
    fixture_close(&f);
}

static void test_stale_record_asks_for_nothing_before_the_source_is_known_to_be_up(void **state)
{
    (void)state;
    open_core();
    struct left l = left_at(100, 100);
    l.book.u.book.state = l.checkpoint.state = MLT_BOOK_STALE;
    take_over(&l, 100);
    (void)expect_book_at(2, MLT_BOOK_STALE, 100);
    fixture_run(&f, f.now_ns + 600 * MLT_NS_PER_S);
    assert_int_equal(f.requests, 0);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_STALE], 1);
    fixture_status(&f, MLT_STATUS_SOURCE_UP);
    assert_int_equal(f.requests, 1);
    fixture_delta(&f, 101, 101); /* nothing was missed: faster than the snapshot */
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_LIVE], 1);
    fixture_close(&f);
}

/* A poll of the plan, or the answer to a request of the owner before: the line is down as it was.
 */
static void test_no_snapshot_wakes_a_book_while_its_source_is_down(void **state)
{
    (void)state;
    open_core();
    struct left l = left_at(100, 100);
    l.book.u.book.state = l.checkpoint.state = MLT_BOOK_STALE;
    take_over(&l, 100);
    fixture_snapshot(&f, 100);
    fixture_snapshot(&f, 103);
    fixture_run(&f, f.now_ns + 10 * MLT_NS_PER_S);
    fixture_snapshot(&f, 104);
    fixture_run(&f, f.now_ns + 10 * MLT_NS_PER_S);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_STALE], 1);
    assert_int_equal(f.requests, 0);
    fixture_status(&f, MLT_STATUS_SOURCE_UP);
    assert_int_equal(f.requests, 1);
    fixture_snapshot(&f, 105);
    fixture_run(&f, f.now_ns + 3 * MLT_NS_PER_S);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_LIVE], 1);
    fixture_close(&f);
}

/* What was on its way when something was lost may lack it; so may what waits for its deltas. */
static void test_an_answer_of_before_a_loss_makes_no_restored_book_live(void **state)
{
    (void)state;
    for (unsigned waits = 0; waits < 2; waits++) {
        open_left(100, 100, 100);
        fixture_run(&f, f.now_ns + MLT_NS_PER_S);
        assert_int_equal(f.requests, 1);
        if (waits == 1) {
            fixture_snapshot(&f, 103);
        }
        mlt_conductor_core_lost(f.core, mlt_instrument_slot(FIXTURE_INSTRUMENT) % 4, "hop_overrun");
        if (waits == 0) {
            fixture_snapshot(&f, 100);
        }
        fixture_run(&f, f.now_ns + 2 * MLT_NS_PER_S);
        assert_int_equal(fixture_counts(&f).states[MLT_BOOK_LIVE], 0);
        assert_true(f.requests > 1); /* another one */
        fixture_snapshot(&f, 110);
        fixture_run(&f, f.now_ns + 3 * MLT_NS_PER_S);
        assert_int_equal(fixture_counts(&f).states[MLT_BOOK_LIVE], 1);
        fixture_close(&f);
    }
}

/* The owner before was restarted itself, and had not heard of the instrument: that record is STALE
 * as well, and quiet as it is nothing but a snapshot makes the book right again. */
static void test_stale_record_of_a_source_that_was_up_asks_as_a_live_one_does(void **state)
{
    (void)state;
    open_left(100, 100, 100); /* shown STALE, as restored */
    assert_true(mlt_conductor_core_source_up(f.core, FIXTURE_INSTRUMENT));
    fixture_status(&f, MLT_STATUS_SOURCE_DOWN);
    assert_false(mlt_conductor_core_source_up(f.core, FIXTURE_INSTRUMENT));
    fixture_close(&f);

    open_core();
    struct left l = left_at(100, 100);
    l.book.u.book.state = l.checkpoint.state = MLT_BOOK_STALE;
    l.source_up = true;
    take_over(&l, 100);
    (void)expect_book_at(2, MLT_BOOK_STALE, 100);
    assert_true(mlt_conductor_core_source_up(f.core, FIXTURE_INSTRUMENT));
    fixture_run(&f, f.now_ns + MLT_NS_PER_S);
    assert_int_equal(f.requests, 1);
    fixture_snapshot(&f, 100);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_LIVE], 1);
    fixture_close(&f);
}

static void again_source(enum mlt_status_kind kind)
{
    struct mlt_event e = fixture_event(&f, MLT_EVENT_STATUS);
    e.u.status.kind = kind;
    mlt_conductor_core_again(f.core, &e);
}

/* The record is from before the source was up again, which the owner before had acknowledged. */
static void test_word_of_the_source_that_was_put_out_before_is_heard(void **state)
{
    (void)state;
    open_core();
    struct left l = left_at(100, 100);
    l.book.u.book.state = l.checkpoint.state = MLT_BOOK_STALE;
    take_over(&l, 100);
    assert_false(mlt_conductor_core_source_up(f.core, FIXTURE_INSTRUMENT));
    fixture_run(&f, f.now_ns + 600 * MLT_NS_PER_S);
    assert_int_equal(f.requests, 0);
    const size_t count = f.count;
    again_source(MLT_STATUS_SOURCE_UP);
    assert_true(mlt_conductor_core_source_up(f.core, FIXTURE_INSTRUMENT));
    assert_int_equal(f.requests, 1);
    assert_int_equal(f.count, count + 1); /* SYNCING; it is not told again itself */
    expect_status(count, MLT_STATUS_SYNCING, "requested", MLT_BOOK_STALE, 0, 0);
    fixture_close(&f);

    open_left(100, 100, 100); /* the record is from before it went down */
    again_source(MLT_STATUS_SOURCE_DOWN);
    fixture_run(&f, f.now_ns + 600 * MLT_NS_PER_S);
    assert_int_equal(f.requests, 0);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_STALE], 1);
    again_source(MLT_STATUS_SOURCE_UP); /* the line had come back before that owner ended */
    assert_true(mlt_conductor_core_source_up(f.core, FIXTURE_INSTRUMENT));
    assert_int_equal(f.requests, 1);
    fixture_snapshot(&f, 105);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_LIVE], 1);
    fixture_close(&f);

    /* What is said now is newer than all that was said before. */
    open_left(100, 100, 100);
    again_source(MLT_STATUS_SOURCE_DOWN);
    fixture_status(&f, MLT_STATUS_SOURCE_DOWN);
    again_source(MLT_STATUS_SOURCE_UP);
    assert_false(mlt_conductor_core_source_up(f.core, FIXTURE_INSTRUMENT));
    assert_int_equal(f.requests, 0);
    fixture_close(&f);
}

static void test_loss_on_the_way_breaks_nothing_that_the_ids_join(void **state)
{
    (void)state;
    open_left(100, 100, 100);
    mlt_conductor_core_lost(f.core, mlt_instrument_slot(FIXTURE_INSTRUMENT) % 4,
                            "sender_restarted");
    assert_int_equal(fixture_counts(&f).gaps, 0);
    fixture_delta(&f, 101, 101);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_LIVE], 1);
    mlt_conductor_core_lost(f.core, mlt_instrument_slot(FIXTURE_INSTRUMENT) % 4, "hop_overrun");
    assert_int_equal(fixture_counts(&f).gaps, 1); /* as ever, once LIVE */
    fixture_close(&f);
}

static void test_source_that_goes_down_ends_the_waiting(void **state)
{
    (void)state;
    open_left(100, 100, 100);
    fixture_status(&f, MLT_STATUS_SOURCE_DOWN);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_STALE], 1);
    fixture_run(&f, f.now_ns + 60 * MLT_NS_PER_S);
    assert_int_equal(f.requests, 0);
    fixture_status(&f, MLT_STATUS_SOURCE_UP);
    assert_int_equal(f.requests, 1);
    fixture_close(&f);
}

static void test_whom_nobody_follows_any_more_is_given_up_until_something_comes(void **state)
{
    (void)state;
    open_left(100, 100, 100);
    fixture_run(&f, f.now_ns + MLT_NS_PER_S);
    assert_int_equal(f.requests, 1);
    fixture_forget(&f);
    mlt_conductor_core_resync_refused(f.core, FIXTURE_INSTRUMENT);
    expect_status(0, MLT_STATUS_IDLE, "stopped", MLT_BOOK_SYNCING, 0, 0);
    fixture_run(&f, f.now_ns + 600 * MLT_NS_PER_S);
    assert_int_equal(f.count, 1);
    assert_int_equal(f.requests, 1);
    fixture_delta(&f, 101, 101);
    expect_status(1, MLT_STATUS_SYNCING, "started", MLT_BOOK_IDLE, 0, 0);
    assert_int_equal(f.requests, 2);
    /* Who is followed is asked for again. */
    mlt_conductor_core_resync_refused(f.core, FIXTURE_INSTRUMENT);
    fixture_run(&f, f.now_ns + 3 * MLT_NS_PER_S);
    assert_int_equal(f.requests, 3);
    fixture_close(&f);
}

/* What came again had the word that BOOK is subscribed. */
static void test_who_was_heard_of_is_asked_for_again(void **state)
{
    (void)state;
    open_left(100, 100, 101);
    again(101, 101);
    fixture_run(&f, f.now_ns + MLT_NS_PER_S);
    assert_int_equal(f.requests, 1);
    mlt_conductor_core_resync_refused(f.core, FIXTURE_INSTRUMENT);
    fixture_run(&f, f.now_ns + 3 * MLT_NS_PER_S);
    assert_int_equal(f.requests, 2);
    fixture_close(&f);
}

static void test_refresh_of_a_restored_book_comes_when_its_snapshot_is_old(void **state)
{
    (void)state;
    struct mlt_conductor_books books = fixture_books;
    books.refresh_ns = 100 * MLT_NS_PER_S;
    books.stale_after_ns = 0;
    fixture_open(&f, &books, false);
    struct left l = left_at(100, 100);
    l.checkpoint.snapshot_time_ns = f.now_ns - 90 * MLT_NS_PER_S;
    take_over(&l, 100);
    fixture_delta(&f, 101, 101);
    const size_t requests = f.requests;
    fixture_run(&f, f.now_ns + 9 * MLT_NS_PER_S);
    assert_int_equal(f.requests, requests);
    fixture_run(&f, f.now_ns + MLT_NS_PER_S);
    assert_int_equal(f.requests, requests + 1);
    assert_int_equal(f.need, MLT_SYNC_NEED_AUDIT);
    fixture_close(&f);
}

static void refused(struct left l)
{
    assert_int_equal(mlt_conductor_core_restore(f.core, &l.book, &l.checkpoint, true),
                     MLT_E_PROTOCOL);
}

static void test_what_is_no_book_is_not_taken_over(void **state)
{
    (void)state;
    open_core();
    struct left l = left_at(100, 100);
    l.checkpoint.digest++;
    refused(l);
    l = left_at(100, 100);
    l.checkpoint.state = MLT_BOOK_GAP;
    refused(l);
    l = left_at(100, 100);
    l.book.u.book.state = MLT_BOOK_SYNCING;
    refused(l);
    l = left_at(100, 100);
    l.checkpoint.instrument = MLT_SLICE_LITERAL("ETH-USDT");
    refused(l);
    l = left_at(100, 100);
    l.checkpoint.bids.count = l.checkpoint.asks.count = 0;
    l.checkpoint.digest = mlt_book_digest(&l.checkpoint.bids, &l.checkpoint.asks);
    refused(l);
    l = left_at(100, 100);
    l.checkpoint.asks.prices = bids; /* crossed */
    l.checkpoint.digest = mlt_book_digest(&l.checkpoint.bids, &l.checkpoint.asks);
    refused(l);
    mlt_conductor_core_restored(f.core, mlt_instrument_slot(FIXTURE_INSTRUMENT) % 4);
    assert_int_equal(f.count, 0);
    fixture_delta(&f, 101, 101); /* as if there had been nothing */
    expect_status(1, MLT_STATUS_SYNCING, "started", MLT_BOOK_IDLE, 0, 0);
    l = left_at(100, 100);
    assert_int_equal(mlt_conductor_core_restore(f.core, &l.book, &l.checkpoint, true),
                     MLT_E_EXISTS);
    fixture_close(&f);
}

/* Beyond a side that is not whole nothing is known, whatever the other side is. */
static void test_window_is_the_checkpoints(void **state)
{
    (void)state;
    open_core();
    struct left l = left_at(100, 100);
    l.checkpoint.asks_whole = false;
    take_over(&l, 100);
    const struct mlt_orderbook *book = mlt_conductor_core_levels(f.core, FIXTURE_INSTRUMENT);
    int64_t price = 0;
    assert_false(mlt_orderbook_bound(book, MLT_ORDERBOOK_BIDS, &price));
    assert_true(mlt_orderbook_bound(book, MLT_ORDERBOOK_ASKS, &price));
    assert_int_equal(price, 201);
    /* Consumers may know of asks beyond, and have another digest. */
    fixture_forget(&f);
    fixture_delta(&f, 101, 101);
    assert_int_equal(f.out[1].u.book_delta.digest_version, 0);
    assert_int_equal(expect_book_at(2, MLT_BOOK_LIVE, 101)->digest_version, 0);
    fixture_forget(&f);
    struct mlt_event e = fixture_event(&f, MLT_EVENT_BOOK_SNAPSHOT); /* not whole either */
    quantities[0] = e.first = e.last = e.u.book_snapshot.last_update_id = 101;
    e.u.book_snapshot.bids = (struct mlt_levels){ -2, -5, 2, bids, quantities };
    e.u.book_snapshot.asks = (struct mlt_levels){ -2, -5, 2, asks, quantities };
    e.u.book_snapshot.requested_depth = 2;
    fixture_send(&f, &e);
    fixture_delta(&f, 102, 102);
    assert_int_equal(f.out[f.count - 1].type, MLT_EVENT_BOOK_DELTA);
    assert_int_equal(f.out[f.count - 1].u.book_delta.digest_version, 1);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_record_is_shown_at_once_as_stale_and_numbered_anew),
        cmocka_unit_test(test_record_behind_what_was_delivered_is_not_shown),
        cmocka_unit_test(test_first_delta_that_follows_makes_it_live_without_a_snapshot),
        cmocka_unit_test(test_what_was_put_out_before_brings_it_forward_but_never_makes_it_live),
        cmocka_unit_test(test_delta_that_does_not_follow_is_a_gap_and_asks),
        cmocka_unit_test(test_hole_in_what_comes_again_is_found_before_anything_new_comes),
        cmocka_unit_test(test_quiet_book_stays_stale_until_a_snapshot_as_new_as_what_was_delivered),
        cmocka_unit_test(test_stale_record_asks_for_nothing_before_the_source_is_known_to_be_up),
        cmocka_unit_test(test_an_answer_of_before_a_loss_makes_no_restored_book_live),
        cmocka_unit_test(test_no_snapshot_wakes_a_book_while_its_source_is_down),
        cmocka_unit_test(test_stale_record_of_a_source_that_was_up_asks_as_a_live_one_does),
        cmocka_unit_test(test_word_of_the_source_that_was_put_out_before_is_heard),
        cmocka_unit_test(test_loss_on_the_way_breaks_nothing_that_the_ids_join),
        cmocka_unit_test(test_source_that_goes_down_ends_the_waiting),
        cmocka_unit_test(test_whom_nobody_follows_any_more_is_given_up_until_something_comes),
        cmocka_unit_test(test_who_was_heard_of_is_asked_for_again),
        cmocka_unit_test(test_refresh_of_a_restored_book_comes_when_its_snapshot_is_old),
        cmocka_unit_test(test_what_is_no_book_is_not_taken_over),
        cmocka_unit_test(test_window_is_the_checkpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
