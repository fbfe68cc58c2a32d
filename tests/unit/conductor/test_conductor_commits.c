/* Books and their commits to the snapshot cache: what waits for an answer, how long, and what comes
 * of one that is late, refused or never given. */
#include "books_expect.h"

static void test_what_comes_after_a_book_waits_for_its_commit(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, true);
    f.cache = true;
    fixture_delta(&f, 10, 10);
    fixture_snapshot(&f, 10);
    assert_int_equal(f.commits, 1);
    assert_int_equal(f.committed_sequence, 1);
    assert_int_equal(f.heads_in_commit, 4); /* delta, snapshot, BOOK, STATUS */
    fixture_forget(&f);
    fixture_delta(&f, 11, 11);
    struct mlt_event trade = fixture_event(&f, MLT_EVENT_TRADE);
    trade.first = trade.last = 5;
    fixture_send(&f, &trade);
    assert_int_equal(f.count, 0);
    assert_int_equal(mlt_conductor_core_holding(f.core), 1);
    mlt_conductor_core_heads(f.core, UINT64_MAX);
    assert_int_equal(f.count, 0);
    f.now_ns += 300 * MLT_NS_PER_US;
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
    assert_int_equal(f.count, 4);
    (void)expect_book(0, MLT_BOOK_LIVE, 10, 10);
    assert_int_equal(f.out[0].quality & MLT_QUALITY_CACHE_UNAVAILABLE, 0);
    expect_delta(1, 11, true);
    expect(2, MLT_EVENT_TRADE);
    /* Heads name what had left when they were made: not the BOOK. */
    expect(3, MLT_EVENT_STATUS);
    for (size_t h = 0; h < f.out[3].u.status.head_count; h++) {
        assert_int_not_equal(f.out[3].u.status.heads[h].type, MLT_EVENT_BOOK);
    }
    assert_int_equal(mlt_conductor_core_holding(f.core), 0);
    fixture_forget(&f);
    mlt_conductor_core_heads(f.core, UINT64_MAX);
    assert_int_equal(f.out[0].u.status.head_count, 1);
    assert_int_equal(f.out[0].u.status.heads[0].type, MLT_EVENT_BOOK);
    assert_int_equal(f.out[0].u.status.heads[0].sequence, 1);
    /* The one before has left, and nothing tells of it: so heads do, while the next is on its way.
     */
    f.now_ns += 200 * MLT_NS_PER_MS;
    fixture_delta(&f, 12, 12);
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
    f.now_ns += 200 * MLT_NS_PER_MS;
    fixture_delta(&f, 13, 13);
    fixture_forget(&f);
    mlt_conductor_core_heads(f.core, UINT64_MAX);
    mlt_conductor_core_heads(f.core, UINT64_MAX);
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
    fixture_forget(&f);
    mlt_conductor_core_heads(f.core, UINT64_MAX);
    assert_int_equal(f.count, 1);
    assert_int_equal(f.out[0].u.status.heads[0].type, MLT_EVENT_BOOK);
    assert_int_equal(f.out[0].u.status.heads[0].sequence, 3);
    assert_int_equal(f.out[0].u.status.heads[0].last, 13);
    assert_int_equal(fixture_counts(&f).books_late, 0);
    fixture_close(&f);
}

static void test_a_slow_commit_holds_the_flow_for_five_ms_and_no_longer(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, true);
    f.cache = true;
    fixture_delta(&f, 10, 10);
    fixture_snapshot(&f, 10);
    fixture_forget(&f);
    const int64_t start = f.now_ns;
    fixture_delta(&f, 11, 11);
    fixture_run(&f, start + 4999 * MLT_NS_PER_US);
    assert_int_equal(f.count, 0);
    fixture_run(&f, start + 5 * MLT_NS_PER_MS);
    assert_int_equal(f.count, 1);
    expect_delta(0, 11, true);
    fixture_delta(&f, 12, 12);
    assert_int_equal(f.count, 2);
    /* No second commit while the first is out, however long. */
    fixture_run(&f, start + 400 * MLT_NS_PER_MS);
    assert_int_equal(f.commits, 1);
    assert_int_equal(f.count, 2);
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_UNAVAILABLE);
    (void)expect_book(2, MLT_BOOK_LIVE, 10, 10);
    assert_int_equal(f.out[2].sequence, 1);
    assert_true((f.out[2].quality & MLT_QUALITY_CACHE_UNAVAILABLE) != 0);
    assert_int_equal(f.commits, 2); /* what was merged meanwhile follows at once */
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
    (void)expect_book(3, MLT_BOOK_LIVE, 11, 12);
    assert_int_equal(f.out[3].merged, 1);
    const struct mlt_conductor_counts counts = fixture_counts(&f);
    assert_int_equal(counts.books_late, 1);
    assert_int_equal(counts.uncached, 1);
    fixture_close(&f);
}

static void test_a_change_of_state_while_a_commit_is_out_follows_its_answer(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, true);
    f.cache = true;
    fixture_delta(&f, 10, 10);
    fixture_snapshot(&f, 10);
    fixture_forget(&f);
    fixture_delta(&f, 20, 20);
    assert_int_equal(f.count, 0);
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
    (void)expect_book(0, MLT_BOOK_LIVE, 10, 10);
    expect_status(1, MLT_STATUS_GAP, "sequence_gap", MLT_BOOK_LIVE, 11, 19);
    expect_status(2, MLT_STATUS_SYNCING, "requested", MLT_BOOK_GAP, 0, 0);
    expect_delta(3, 20, false);
    assert_int_equal(f.count, 4);
    assert_int_equal(f.commits, 2);
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
    (void)expect_book(4, MLT_BOOK_SYNCING, 10, 10);
    fixture_close(&f);
}

/* Of one level a side; the digest of a BOOK of it is of that. */
static void send_shallow(int64_t id)
{
    const int64_t bid = 100, ask = 200;
    struct mlt_event e = fixture_event(&f, MLT_EVENT_BOOK_SNAPSHOT);
    e.first = e.last = id;
    e.rest_function = MLT_SLICE_LITERAL("depth");
    e.u.book_snapshot = (struct mlt_book_snapshot){ .last_update_id = id,
                                                    .bids = { -2, -5, 1, &bid, &id },
                                                    .asks = { -2, -5, 1, &ask, &id },
                                                    .requested_depth = 1 };
    fixture_send(&f, &e);
}

/* The order that consumers are owed is snapshot behind BOOK: then each digest is that of the book
 * before it. Where it was given up that of the BOOK would be of another book than theirs. */
static void test_a_late_book_has_no_digest_behind_a_deeper_snapshot_of_its_id(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        fixture_open(&f, &fixture_books, true);
        f.cache = true;
        fixture_delta(&f, 10, 10);
        f.now_ns += MLT_NS_PER_MS;
        send_shallow(10);
        mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
        f.now_ns += 200 * MLT_NS_PER_MS;
        fixture_delta(&f, 11, 11);
        assert_int_equal(f.commits, 2);
        fixture_forget(&f);
        fixture_snapshot(&f, 11);
        fixture_run(&f, f.now_ns + (late ? 6 : 1) * MLT_NS_PER_MS);
        assert_int_equal(f.count, late);
        mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
        const size_t at = late ? 1 : 0;
        expect(1 - at, MLT_EVENT_BOOK_SNAPSHOT);
        const struct mlt_book *b = expect_book(at, MLT_BOOK_LIVE, 11, 11);
        assert_int_equal(b->bids.count, 1);
        assert_int_equal(b->bids.quantities[0], 11);
        assert_int_equal(b->digest_version, late ? 0 : 1);
        fixture_close(&f);
    }
}

/* The book of that id was another one when its delta came. */
static void test_a_late_book_has_no_digest_at_the_id_of_a_snapshot_before_it(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        fixture_open(&f, &fixture_books, true);
        f.cache = true;
        fixture_delta(&f, 10, 10);
        f.now_ns += MLT_NS_PER_MS;
        fixture_snapshot(&f, 10);
        fixture_forget(&f);
        fixture_delta(&f, 11, 11);
        f.now_ns += MLT_NS_PER_MS;
        fixture_snapshot(&f, 11); /* a later one does not make it another */
        fixture_run(&f, f.now_ns + (late ? 6 : 1) * MLT_NS_PER_MS);
        mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
        const size_t at = late ? 2 : 0;
        expect(late ? 0 : 1, MLT_EVENT_BOOK_DELTA);
        const struct mlt_book *b = expect_book(at, MLT_BOOK_LIVE, 10, 10);
        assert_int_equal(b->digest_version, late ? 0 : 1);
        fixture_close(&f);
    }
}

/* LIVE at 11, whose BOOK's commit takes longer than what comes after it waits, and nothing kept. */
static void open_late(void)
{
    fixture_open(&f, &fixture_books, true);
    f.cache = true;
    fixture_delta(&f, 10, 10);
    fixture_snapshot(&f, 10);
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
    fixture_run(&f, f.now_ns + 200 * MLT_NS_PER_MS);
    fixture_delta(&f, 11, 11);
    fixture_run(&f, f.now_ns + 6 * MLT_NS_PER_MS);
    assert_int_equal(fixture_counts(&f).books_late, 1);
    fixture_forget(&f);
}

/* Who follows has dropped the book by then, and would take it up again. */
static void test_a_late_book_does_not_take_back_the_gap_that_overtook_it(void **state)
{
    (void)state;
    open_late();
    fixture_delta(&f, 20, 20);
    expect_status(0, MLT_STATUS_GAP, "sequence_gap", MLT_BOOK_LIVE, 12, 19);
    expect_status(1, MLT_STATUS_SYNCING, "requested", MLT_BOOK_GAP, 0, 0);
    expect_delta(2, 20, false);
    const size_t commits = f.commits;
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
    assert_int_equal(f.count, 4);
    const struct mlt_book *b = expect_book(3, MLT_BOOK_SYNCING, 11, 11);
    assert_int_equal(f.out[3].quality, MLT_QUALITY_STALE);
    assert_int_equal(b->snapshot_update_id + b->snapshot_time_ns + (int64_t)b->deltas_applied, 0);
    assert_int_equal(f.out[3].sequence, 2);
    assert_int_equal(b->bids.count + b->asks.count + b->known_bids + b->known_asks, 0);
    assert_int_equal(b->digest_version, 0);
    assert_false(b->has_analytics);
    assert_int_equal(fixture_counts(&f).books_overtaken, 1);
    /* The record says LIVE yet, and is made right at once. */
    assert_int_equal(f.commits, commits + 1);
    assert_int_equal(f.committed_state, MLT_BOOK_SYNCING);
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
    (void)expect_book(4, MLT_BOOK_SYNCING, 11, 11);
    fixture_close(&f);
}

static void test_nor_that_the_line_ended(void **state)
{
    (void)state;
    open_late();
    fixture_status(&f, MLT_STATUS_SOURCE_DOWN);
    const size_t before = f.count;
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
    const struct mlt_book *b = expect_book(before, MLT_BOOK_STALE, 11, 11);
    assert_true((f.out[before].quality & MLT_QUALITY_STALE) != 0);
    assert_int_equal(b->bids.count, 2); /* what was known last is shown, as ever */
    assert_int_equal(b->digest, mlt_book_digest(&b->bids, &b->asks));
    assert_false(b->has_analytics);
    assert_int_equal(f.committed_state, MLT_BOOK_STALE);
    fixture_close(&f);
}

static void test_one_that_nothing_overtook_is_as_it_was_made(void **state)
{
    (void)state;
    open_late();
    fixture_delta(&f, 12, 12);
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
    const struct mlt_book *b = expect_book(1, MLT_BOOK_LIVE, 11, 11);
    assert_true(b->has_analytics);
    assert_int_equal(b->bids.count, 2);
    assert_int_equal(f.out[1].quality & MLT_QUALITY_STALE, 0);
    assert_int_equal(fixture_counts(&f).books_overtaken, 0);
    fixture_close(&f);
}

static void test_without_a_cache_a_book_leaves_at_once_and_says_so(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, true);
    fixture_live(&f, 10);
    fixture_delta(&f, 11, 11);
    (void)expect_book(1, MLT_BOOK_LIVE, 11, 11);
    assert_true((f.out[1].quality & MLT_QUALITY_CACHE_UNAVAILABLE) != 0);
    assert_int_equal(f.commits, 0);
    assert_int_equal(fixture_counts(&f).uncached, 2);
    fixture_close(&f);
}

static void test_the_flag_falls_when_the_cache_is_back_also_of_a_quiet_book(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, true);
    fixture_live(&f, 10);
    fixture_delta(&f, 11, 11);
    fixture_run(&f, f.now_ns + MLT_NS_PER_S); /* nothing more to say, and all of it flagged */
    fixture_forget(&f);
    f.cache = true;
    mlt_conductor_core_cache_back(f.core, false);
    assert_int_equal(f.count, 0);
    assert_int_equal(f.commits, 1);
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
    assert_int_equal(f.count, 1);
    assert_int_equal(f.out[0].type, MLT_EVENT_BOOK);
    assert_int_equal(f.out[0].u.book.last_update_id, 11);
    assert_int_equal(f.out[0].quality & MLT_QUALITY_CACHE_UNAVAILABLE, 0);
    mlt_conductor_core_cache_back(f.core, false); /* and no further one */
    assert_int_equal(f.commits, 1);
    fixture_forget(&f);
    mlt_conductor_core_cache_back(f.core, true);
    assert_int_equal(f.count, 1);
    expect_status(0, MLT_STATUS_CACHE_REBUILT, "bucket_empty", MLT_BOOK_STATE_NONE, 0, 0);
    assert_int_equal(f.commits, 1);
    assert_non_null(mlt_conductor_core_levels(f.core, FIXTURE_INSTRUMENT));
    assert_null(mlt_conductor_core_levels(f.core, MLT_SLICE_LITERAL("NONE-USDT")));
    fixture_close(&f);
}

static void test_a_fenced_owner_emits_nothing_until_it_has_another_epoch(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, true);
    f.cache = true;
    fixture_delta(&f, 10, 10);
    fixture_snapshot(&f, 10);
    fixture_forget(&f);
    fixture_delta(&f, 11, 11);
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_FENCED);
    struct mlt_event e = fixture_event(&f, MLT_EVENT_TRADE);
    assert_int_equal(mlt_conductor_core_event(f.core, &e), MLT_E_STALE_OWNER);
    mlt_conductor_core_lost(f.core, mlt_instrument_slot(FIXTURE_INSTRUMENT) % 4, "hop_overrun");
    mlt_conductor_core_heads(f.core, UINT64_MAX);
    fixture_run(&f, f.now_ns + 100 * MLT_NS_PER_S);
    assert_int_equal(f.count, 0);
    assert_int_equal(f.commits, 1);
    assert_int_equal(mlt_conductor_core_holding(f.core), 0);
    assert_int_equal(fixture_counts(&f).books_fenced, 1);
    assert_int_equal(fixture_counts(&f).stale_owner, 1);
    fixture_epoch(&f, 9);
    fixture_delta(&f, 12, 12);
    assert_true(f.count >= 2);
    assert_int_equal(f.out[0].epoch, 9);
    assert_int_equal(f.out[0].u.status.kind, MLT_STATUS_EPOCH_STARTED);
    fixture_close(&f);
}

static void test_a_commit_of_an_earlier_epoch_comes_to_nothing(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, true);
    f.cache = true;
    fixture_delta(&f, 10, 10);
    fixture_snapshot(&f, 10);
    fixture_forget(&f);
    fixture_delta(&f, 11, 11);
    fixture_epoch(&f, 9);
    fixture_delta(&f, 12, 12);
    expect_delta(0, 11, true); /* of the old epoch, no longer waiting */
    assert_int_equal(f.out[1].u.status.kind, MLT_STATUS_EPOCH_STARTED);
    for (size_t h = 0; h < f.out[1].u.status.head_count; h++) {
        /* The BOOK that never left is not named. */
        assert_int_not_equal(f.out[1].u.status.heads[h].type, MLT_EVENT_BOOK);
    }
    expect_delta(2, 12, true);
    assert_int_equal(f.count, 3);
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
    assert_int_equal(f.count, 3);
    fixture_run(&f, f.now_ns + 200 * MLT_NS_PER_MS);
    assert_int_equal(f.commits, 2);
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
    (void)expect_book(3, MLT_BOOK_LIVE, 12, 12);
    assert_int_equal(f.out[3].epoch, 9);
    assert_int_equal(f.out[3].sequence, 1);
    /* Nor is one where others did leave. */
    f.now_ns += 200 * MLT_NS_PER_MS;
    fixture_delta(&f, 13, 13);
    fixture_epoch(&f, 11);
    fixture_forget(&f);
    fixture_delta(&f, 14, 14);
    size_t at = 0;
    while (f.out[at].type != MLT_EVENT_STATUS) {
        at++;
        assert_true(at < f.count);
    }
    assert_int_equal(f.out[at].u.status.kind, MLT_STATUS_EPOCH_STARTED);
    unsigned named = 0;
    for (size_t h = 0; h < f.out[at].u.status.head_count; h++) {
        const struct mlt_head *head = &f.out[at].u.status.heads[h];
        if (head->type == MLT_EVENT_BOOK) {
            named++;
            assert_int_equal(head->sequence, 1);
            assert_int_equal(head->last, 12);
        }
    }
    assert_int_equal(named, 1);
    fixture_close(&f);
}

static void test_more_than_may_wait_does_not(void **state)
{
    (void)state;
    static int64_t prices[2000], quantities[2000];
    fixture_open(&f, &fixture_books, true);
    f.cache = true;
    fixture_delta(&f, 10, 10);
    fixture_snapshot(&f, 10);
    fixture_forget(&f);
    for (int64_t n = 0; n < 2000; n++) {
        prices[n] = 1000000 - n;
        quantities[n] = INT64_C(1000000000000) + n;
    }
    size_t sent = 0;
    while (f.count == 0) {
        assert_true(sent < 100);
        struct mlt_event e = fixture_event(&f, MLT_EVENT_BOOK_SNAPSHOT);
        f.now_ns += 1000;
        e.stamps.received = f.now_ns;
        e.rest_function = MLT_SLICE_LITERAL("depth");
        e.u.book_snapshot.last_update_id = 5;
        e.u.book_snapshot.bids = (struct mlt_levels){ -2, -5, 2000, prices, quantities };
        fixture_send(&f, &e);
        sent++;
    }
    assert_int_equal(f.count, sent); /* all of it, in order, and nothing of it twice */
    assert_int_equal(fixture_counts(&f).hold_overruns, 1);
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
    (void)expect_book(sent, MLT_BOOK_LIVE, 10, 10);
    fixture_close(&f);
}

static void test_without_room_books_merge_and_the_newest_leaves_when_there_is_some(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 10);
    fixture_delta(&f, 11, 11); /* a BOOK at once, and its window begins */
    fixture_forget(&f);
    f.room = MLT_ROOM_NOT_FOR_BOOKS;
    for (int64_t id = 12; id <= 20; id++) {
        fixture_delta(&f, id, id);
        fixture_run(&f, f.now_ns + 50 * MLT_NS_PER_MS);
    }
    assert_int_equal(f.count, 9); /* deltas alone; and nothing that is due comes again and again */
    assert_int_equal(fixture_counts(&f).conflated, 1);
    mlt_conductor_core_room(f.core); /* there is none */
    assert_int_equal(f.count, 9);
    f.room = MLT_ROOM_FOR_ALL;
    mlt_conductor_core_room(f.core);
    assert_int_equal(f.count, 10);
    (void)expect_book(9, MLT_BOOK_LIVE, 12, 20);
    assert_int_equal(f.out[9].merged, 8);
    assert_int_equal(f.out[9].throttled_ns, 0); /* its window was over when the newest came */
    f.room = MLT_ROOM_NOT_FOR_BOOKS;
    fixture_forget(&f);
    fixture_delta(&f, 22, 22); /* a change of state does not wait */
    size_t books = 0;
    for (size_t n = 0; n < f.count; n++) {
        books += f.out[n].type == MLT_EVENT_BOOK;
    }
    assert_int_equal(books, 1);
    fixture_close(&f);
}

static void test_at_the_end_what_waits_leaves_with_what_came_meanwhile(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, true);
    f.cache = true;
    fixture_live(&f, 10);
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
    f.now_ns += MLT_NS_PER_MS;
    fixture_delta(&f, 11, 11);
    fixture_forget(&f);
    assert_int_equal(mlt_conductor_core_drain(f.core), 1);
    assert_int_equal(f.count, 0); /* its commit is out */
    fixture_delta(&f, 12, 12);
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
    (void)expect_book(0, MLT_BOOK_LIVE, 11, 11);
    expect_delta(1, 12, true);
    assert_int_equal(mlt_conductor_core_drain(f.core), 1); /* the next one, at once */
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, MLT_COMMIT_DONE);
    (void)expect_book(2, MLT_BOOK_LIVE, 12, 12);
    assert_int_equal(mlt_conductor_core_drain(f.core), 0);
    assert_int_equal(f.count, 3);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_comes_after_a_book_waits_for_its_commit),
        cmocka_unit_test(test_a_slow_commit_holds_the_flow_for_five_ms_and_no_longer),
        cmocka_unit_test(test_a_change_of_state_while_a_commit_is_out_follows_its_answer),
        cmocka_unit_test(test_a_late_book_has_no_digest_behind_a_deeper_snapshot_of_its_id),
        cmocka_unit_test(test_a_late_book_has_no_digest_at_the_id_of_a_snapshot_before_it),
        cmocka_unit_test(test_a_late_book_does_not_take_back_the_gap_that_overtook_it),
        cmocka_unit_test(test_nor_that_the_line_ended),
        cmocka_unit_test(test_one_that_nothing_overtook_is_as_it_was_made),
        cmocka_unit_test(test_without_a_cache_a_book_leaves_at_once_and_says_so),
        cmocka_unit_test(test_the_flag_falls_when_the_cache_is_back_also_of_a_quiet_book),
        cmocka_unit_test(test_a_fenced_owner_emits_nothing_until_it_has_another_epoch),
        cmocka_unit_test(test_a_commit_of_an_earlier_epoch_comes_to_nothing),
        cmocka_unit_test(test_more_than_may_wait_does_not),
        cmocka_unit_test(test_without_room_books_merge_and_the_newest_leaves_when_there_is_some),
        cmocka_unit_test(test_at_the_end_what_waits_leaves_with_what_came_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
