/* What somebody asks for of a book, and what is left in the cache when nobody does any more. */
#include "books_expect.h"

static void answer(enum mlt_commit_outcome outcome)
{
    mlt_conductor_core_committed(f.core, FIXTURE_INSTRUMENT, outcome);
}

/* LIVE at 11 with its record written, and nothing of it kept. */
static void open_live(void)
{
    fixture_open(&f, &fixture_books, true);
    f.cache = true;
    fixture_delta(&f, 10, 10);
    fixture_snapshot(&f, 10);
    answer(MLT_COMMIT_DONE);
    f.now_ns += 200 * MLT_NS_PER_MS;
    fixture_delta(&f, 11, 11);
    answer(MLT_COMMIT_DONE);
    f.now_ns += 200 * MLT_NS_PER_MS;
    assert_int_equal(f.committed_state, MLT_BOOK_LIVE);
    fixture_forget(&f);
}

static void assert_withdrawn(void)
{
    assert_string_equal(mlt_book_state_word((int)f.committed_state), "IDLE");
    assert_int_equal(f.committed_sequence, 0);
    assert_int_equal(f.committed_levels, 0);
    assert_int_equal(fixture_counts(&f).withdrawn, 1);
}

/* The Dispatcher's word that nobody asks for the book or its deltas. */
static void end(void)
{
    fixture_status_of(&f, MLT_STATUS_IDLE, "stopped");
}

static void test_record_of_a_book_that_is_made_no_longer_says_idle(void **state)
{
    (void)state;
    open_live();
    const size_t commits = f.commits;
    f.wants = 0; /* BOOK_DELTA alone */
    fixture_delta(&f, 12, 12);
    assert_int_equal(f.commits, commits + 1);
    assert_withdrawn();
    assert_int_equal(f.committed_epoch, 7);
    answer(MLT_COMMIT_DONE);
    fixture_delta(&f, 13, 13);
    /* Deltas go on with their digests, and nothing else leaves or is written. */
    assert_int_equal(f.count, 2);
    expect_delta(0, 12, true);
    expect_delta(1, 13, true);
    fixture_run(&f, f.now_ns + 5 * MLT_NS_PER_S);
    assert_int_equal(f.count, 2);
    assert_int_equal(f.commits, commits + 1);
    /* Somebody asks again. */
    f.wants = MLT_QUALITY_WANTS_BOOK;
    fixture_forget(&f);
    fixture_delta(&f, 14, 14);
    assert_int_equal(f.committed_state, MLT_BOOK_LIVE);
    answer(MLT_COMMIT_DONE);
    (void)expect_book(1, MLT_BOOK_LIVE, 12, 14); /* as if there had been nothing in between */
    assert_int_equal(f.out[1].sequence, 3);
    fixture_close(&f);
}

/* What is on its way leaves first. */
static void test_it_waits_for_the_commit_that_is_out(void **state)
{
    (void)state;
    open_live();
    fixture_delta(&f, 12, 12);
    const size_t commits = f.commits;
    f.wants = 0;
    fixture_delta(&f, 13, 13);
    assert_int_equal(f.commits, commits);
    answer(MLT_COMMIT_DONE);
    assert_int_equal(f.commits, commits + 1);
    assert_withdrawn();
    /* And what is wanted again waits for it, as for every commit. */
    f.wants = MLT_QUALITY_WANTS_BOOK;
    f.now_ns += 200 * MLT_NS_PER_MS;
    fixture_delta(&f, 14, 14);
    assert_int_equal(f.commits, commits + 1);
    expect_delta(f.count - 1, 14, true);
    answer(MLT_COMMIT_DONE);
    assert_int_equal(f.commits, commits + 2);
    assert_int_equal(f.committed_state, MLT_BOOK_LIVE);
    fixture_close(&f);
}

/* Heads name what left: the record that is withdrawn is no BOOK. */
static void test_it_uses_up_no_number(void **state)
{
    (void)state;
    open_live();
    f.wants = 0;
    fixture_delta(&f, 12, 12);
    fixture_forget(&f);
    mlt_conductor_core_heads(f.core, UINT64_MAX);
    expect(0, MLT_EVENT_STATUS);
    for (size_t h = 0; h < f.out[0].u.status.head_count; h++) {
        const struct mlt_head *head = &f.out[0].u.status.heads[h];
        assert_true(head->type != MLT_EVENT_BOOK || head->sequence == 2);
    }
    fixture_epoch(&f, 9);
    fixture_forget(&f);
    fixture_delta(&f, 13, 13);
    assert_int_equal(f.out[0].u.status.kind, MLT_STATUS_EPOCH_STARTED);
    bool named = false;
    for (size_t h = 0; h < f.out[0].u.status.head_count; h++) {
        const struct mlt_head *head = &f.out[0].u.status.heads[h];
        named = named || head->type == MLT_EVENT_BOOK;
        assert_true(head->type != MLT_EVENT_BOOK || head->sequence == 2);
    }
    assert_true(named);
    fixture_close(&f);
}

static void test_who_is_fenced_by_it_says_nothing_more(void **state)
{
    (void)state;
    open_live();
    f.wants = 0;
    fixture_delta(&f, 12, 12);
    answer(MLT_COMMIT_FENCED);
    struct mlt_event e = fixture_event(&f, MLT_EVENT_TRADE);
    assert_int_equal(mlt_conductor_core_event(f.core, &e), MLT_E_STALE_OWNER);
    fixture_close(&f);
}

/* Unsubscribed, and subscribed again before it would have been silent. */
static void test_a_book_that_nobody_asks_for_ends_and_begins_anew(void **state)
{
    (void)state;
    open_live();
    end();
    expect_status(0, MLT_STATUS_IDLE, "stopped", MLT_BOOK_LIVE, 0, 0);
    assert_int_equal(f.count, 1); /* the word itself goes nowhere */
    assert_withdrawn();
    answer(MLT_COMMIT_DONE);
    assert_int_equal(mlt_conductor_core_state(f.core, FIXTURE_INSTRUMENT), MLT_BOOK_IDLE);
    const size_t commits = f.commits, requests = f.requests;
    end(); /* it comes again */
    fixture_run(&f, f.now_ns + 600 * MLT_NS_PER_S);
    assert_int_equal(f.count, 1);
    assert_int_equal(f.commits, commits);
    assert_int_equal(f.requests, requests);
    /* Nothing of before is gone on with, and what would follow it does not. */
    fixture_forget(&f);
    fixture_delta(&f, 12, 12);
    expect_status(0, MLT_STATUS_SYNCING, "started", MLT_BOOK_IDLE, 0, 0);
    expect_delta(1, 12, false);
    assert_int_equal(f.requests, requests + 1);
    assert_int_equal(f.need, MLT_SYNC_NEED_FIRST);
    fixture_snapshot(&f, 12);
    answer(MLT_COMMIT_DONE);
    assert_int_equal(f.committed_state, MLT_BOOK_LIVE);
    fixture_close(&f);
}

/* It is withdrawn though somebody asks again by the time its commit is answered. */
static void test_the_end_of_a_book_is_written_also_where_another_one_begins(void **state)
{
    (void)state;
    open_live();
    fixture_delta(&f, 12, 12); /* its BOOK's commit is out */
    end();
    fixture_delta(&f, 13, 13);
    assert_int_equal(f.committed_state, MLT_BOOK_LIVE);
    answer(MLT_COMMIT_DONE);
    assert_withdrawn();
    answer(MLT_COMMIT_DONE);
    fixture_snapshot(&f, 13);
    assert_int_equal(f.committed_state, MLT_BOOK_LIVE);
    fixture_close(&f);
}

/* Other exponents: the levels of the record are none of the book's that is being made. */
static void test_other_exponents_withdraw_the_record_of_before(void **state)
{
    (void)state;
    open_live();
    struct mlt_event e = fixture_event(&f, MLT_EVENT_INSTRUMENT);
    e.u.instrument.price_exponent = -3;
    e.u.instrument.quantity_exponent = -5;
    fixture_send(&f, &e);
    expect_status(0, MLT_STATUS_IDLE, "stopped", MLT_BOOK_LIVE, 0, 0);
    assert_withdrawn();
    fixture_close(&f);
}

/* Nobody wants the book: nor does a new listing begin one. */
static void test_other_exponents_begin_no_book_that_nobody_wants(void **state)
{
    (void)state;
    open_live();
    end();
    answer(MLT_COMMIT_DONE);
    const size_t requests = f.requests;
    struct mlt_event e = fixture_event(&f, MLT_EVENT_INSTRUMENT);
    e.u.instrument.price_exponent = -3;
    e.u.instrument.quantity_exponent = -5;
    fixture_forget(&f);
    fixture_send(&f, &e);
    fixture_run(&f, f.now_ns + 5 * MLT_NS_PER_S);
    assert_int_equal(f.count, 1);
    expect(0, MLT_EVENT_INSTRUMENT);
    assert_int_equal(f.requests, requests);
    assert_int_equal(mlt_conductor_core_state(f.core, FIXTURE_INSTRUMENT), MLT_BOOK_IDLE);
    fixture_close(&f);
}

/* Before anybody wanted its book, and after its exponents changed: the source is down all the same.
 */
static void test_a_book_begins_as_its_source_said_last(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, true);
    fixture_status(&f, MLT_STATUS_SOURCE_DOWN);
    fixture_delta(&f, 10, 10); /* there is no better word of it than what it brings */
    assert_int_equal(mlt_conductor_core_state(f.core, FIXTURE_INSTRUMENT), MLT_BOOK_SYNCING);
    fixture_snapshot(&f, 10);
    assert_int_equal(mlt_conductor_core_state(f.core, FIXTURE_INSTRUMENT), MLT_BOOK_LIVE);
    f.now_ns++;
    fixture_status(&f, MLT_STATUS_SOURCE_DOWN);
    assert_int_equal(mlt_conductor_core_state(f.core, FIXTURE_INSTRUMENT), MLT_BOOK_STALE);
    struct mlt_event e = fixture_event(&f, MLT_EVENT_INSTRUMENT);
    e.u.instrument.price_exponent = -3;
    e.u.instrument.quantity_exponent = -5;
    const size_t requests = f.requests;
    fixture_send(&f, &e);
    fixture_run(&f, f.now_ns + 5 * MLT_NS_PER_S);
    assert_int_equal(mlt_conductor_core_state(f.core, FIXTURE_INSTRUMENT), MLT_BOOK_STALE);
    assert_int_equal(f.requests, requests);
    assert_false(mlt_conductor_core_source_up(f.core, FIXTURE_INSTRUMENT));
    f.now_ns++;
    fixture_status(&f, MLT_STATUS_SOURCE_UP);
    assert_int_equal(f.requests, requests + 1);
    fixture_close(&f);
}

static void test_snapshots_alone_begin_no_book(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, true);
    f.wants = MLT_QUALITY_WANTS_SNAPSHOT;
    fixture_snapshot(&f, 10);
    assert_int_equal(f.count, 2);
    expect(1, MLT_EVENT_BOOK_SNAPSHOT);
    assert_false(f.out[1].u.book_snapshot.reset);
    assert_int_equal(mlt_conductor_core_state(f.core, FIXTURE_INSTRUMENT), MLT_BOOK_STATE_NONE);
    fixture_close(&f);
    open_live();
    end();
    fixture_forget(&f);
    f.wants = MLT_QUALITY_WANTS_SNAPSHOT;
    f.now_ns += 20 * MLT_NS_PER_S;
    fixture_snapshot(&f, 12);
    assert_int_equal(f.count, 1);
    assert_int_equal(mlt_conductor_core_state(f.core, FIXTURE_INSTRUMENT), MLT_BOOK_IDLE);
    fixture_close(&f);
}

/* The word of the end did not come: a Dispatcher died with it. */
static void test_a_book_that_nobody_follows_ends_when_it_asks(void **state)
{
    (void)state;
    open_live();
    fixture_run(&f, f.now_ns + 61 * MLT_NS_PER_S);
    answer(MLT_COMMIT_DONE);
    const size_t requests = f.requests;
    fixture_forget(&f);
    mlt_conductor_core_resync_refused(f.core, FIXTURE_INSTRUMENT);
    expect_status(0, MLT_STATUS_IDLE, "stopped", MLT_BOOK_SYNCING, 0, 0);
    answer(MLT_COMMIT_DONE);
    assert_withdrawn();
    fixture_run(&f, f.now_ns + 600 * MLT_NS_PER_S);
    assert_int_equal(f.requests, requests);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_of_a_book_that_is_made_no_longer_says_idle),
        cmocka_unit_test(test_it_waits_for_the_commit_that_is_out),
        cmocka_unit_test(test_it_uses_up_no_number),
        cmocka_unit_test(test_who_is_fenced_by_it_says_nothing_more),
        cmocka_unit_test(test_a_book_that_nobody_asks_for_ends_and_begins_anew),
        cmocka_unit_test(test_the_end_of_a_book_is_written_also_where_another_one_begins),
        cmocka_unit_test(test_other_exponents_withdraw_the_record_of_before),
        cmocka_unit_test(test_snapshots_alone_begin_no_book),
        cmocka_unit_test(test_a_book_begins_as_its_source_said_last),
        cmocka_unit_test(test_other_exponents_begin_no_book_that_nobody_wants),
        cmocka_unit_test(test_a_book_that_nobody_follows_ends_when_it_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
