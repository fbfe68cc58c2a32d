/* What comes of an Adapter that took over from another one: by another host's clock, and partly
 * what that one had brought already (docs/decisions/0021-hot-standby.md). */
#include "books_fixture.h"

static struct books_fixture f;

static unsigned told(enum mlt_event_type type)
{
    unsigned count = 0;
    for (size_t n = 0; n < f.count; n++) {
        count += f.out[n].type == type;
    }
    return count;
}

static unsigned told_source(enum mlt_status_kind kind)
{
    unsigned count = 0;
    for (size_t n = 0; n < f.count; n++) {
        count += f.out[n].type == MLT_EVENT_STATUS && f.out[n].u.status.kind == kind;
    }
    return count;
}

/* Whether it was told. */
static bool source(enum mlt_status_kind kind, int64_t received_ns)
{
    struct mlt_event e = fixture_event(&f, MLT_EVENT_STATUS);
    e.stamps.received = received_ns;
    e.u.status.kind = kind;
    e.u.status.reason = MLT_SLICE_LITERAL("closed");
    const unsigned before = told_source(kind);
    fixture_send(&f, &e);
    return told_source(kind) > before;
}

static bool down(int64_t received_ns)
{
    return source(MLT_STATUS_SOURCE_DOWN, received_ns);
}

static bool up(int64_t received_ns)
{
    return source(MLT_STATUS_SOURCE_UP, received_ns);
}

static void open_live(void)
{
    fixture_open(&f, &fixture_books, false);
    fixture_live(&f, 100);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_LIVE], 1);
}

static int64_t status_position(void)
{
    struct mlt_head heads[MLT_STATUS_HEADS_MAX];
    const size_t count = mlt_conductor_core_heads_of(f.core, FIXTURE_INSTRUMENT, heads);
    for (size_t n = 0; n < count; n++) {
        if (heads[n].type == MLT_EVENT_STATUS) {
            return heads[n].last;
        }
    }
    return 0;
}

static void test_how_sources_stand_is_told_by_a_clock_that_is_behind_too(void **state)
{
    (void)state;
    /* It said that all is down as it ended; the next one says 20 ms later that it is up. */
    open_live();
    const int64_t then = f.now_ns;
    assert_true(down(then));
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_STALE], 1);
    const size_t requests = f.requests;
    assert_true(up(then - 280 * MLT_NS_PER_MS));
    assert_int_equal(f.requests, requests + 1);
    assert_true(status_position() == then); /* for an owner after this one */
    fixture_close(&f);

    /* The exchange ended the lines of both, and only the first one came back. */
    open_live();
    assert_true(down(then - MLT_NS_PER_S));
    assert_true(up(then));
    fixture_snapshot(&f, 101);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_LIVE], 1);
    assert_true(down(then - 200 * MLT_NS_PER_MS));
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_STALE], 1);
    fixture_close(&f);

    /* The same word once more is no harm, and its reason may be another one. */
    open_live();
    assert_true(up(then));
    assert_true(up(then - MLT_NS_PER_S));
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_LIVE], 1);
    fixture_close(&f);
}

static void test_words_that_come_again_make_no_book_stale(void **state)
{
    (void)state;
    open_live();
    const int64_t then = f.now_ns;
    assert_true(down(then));
    assert_true(up(then + MLT_NS_PER_MS));
    assert_true(down(then - MLT_NS_PER_S)); /* another one's */
    assert_true(up(then - MLT_NS_PER_S));
    fixture_snapshot(&f, 101); /* asked for before it went down again */
    f.now_ns += MLT_NS_PER_MS;
    fixture_snapshot(&f, 102);
    assert_int_equal(fixture_counts(&f).states[MLT_BOOK_LIVE], 1);
    const uint64_t duplicates = fixture_counts(&f).duplicates;
    fixture_forget(&f);
    for (unsigned round = 0; round < 2; round++) {
        assert_false(down(then));
        assert_false(up(then + MLT_NS_PER_MS));
        assert_false(down(then - MLT_NS_PER_S));
        assert_int_equal(fixture_counts(&f).states[MLT_BOOK_LIVE], 1);
        assert_false(up(then - MLT_NS_PER_S));
    }
    assert_int_equal(f.count, 0);
    assert_int_equal(fixture_counts(&f).duplicates, duplicates + 8);
    fixture_close(&f);
}

/* More of them than are remembered: below what was forgotten the time tells. */
static void test_words_too_many_to_be_remembered_are_not_told_again(void **state)
{
    (void)state;
    open_live();
    const int64_t then = f.now_ns;
    for (int64_t n = 0; n < 20; n++) {
        assert_true(source(n % 2 == 0 ? MLT_STATUS_SOURCE_DOWN : MLT_STATUS_SOURCE_UP, then + n));
    }
    fixture_forget(&f);
    for (int64_t n = 0; n < 20; n++) {
        assert_false(source(n % 2 == 0 ? MLT_STATUS_SOURCE_DOWN : MLT_STATUS_SOURCE_UP, then + n));
    }
    assert_int_equal(f.count, 0);
    assert_true(down(then + 20));
    fixture_close(&f);
}

/* An owner before told words up to a time; which, nobody knows. */
static void test_words_of_an_owner_before_are_told_by_the_time(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    const int64_t then = f.now_ns, back = then - 10 * MLT_NS_PER_S;
    const struct mlt_head heads[] = { { MLT_EVENT_STATUS, 3, then } };
    const struct mlt_instrument_heads from = {
        .instrument = FIXTURE_INSTRUMENT, .epoch = 6, .head_count = 1, .heads = heads
    };
    assert_int_equal(mlt_conductor_core_seed(f.core, &from), MLT_OK);
    assert_false(down(then - 1));
    assert_false(up(then));
    assert_true(down(then + 1));
    assert_false(up(then)); /* though it is another kind */
    assert_false(down(back + 1));
    assert_true(up(back)); /* a clock was set back */
    assert_false(up(back));
    assert_true(down(back + 1)); /* and goes on from there */
    assert_true(status_position() == back + 1);
    assert_true(down(back - 3600 * MLT_NS_PER_S));
    assert_true(status_position() == back - 3600 * MLT_NS_PER_S);
    fixture_close(&f);
}

/* Of a stream, or where `function` is not empty of REST. Whether it was told. */
static bool snapshot(int64_t id, int64_t received_ns, const char *function)
{
    const int64_t bid = 100, ask = 200;
    struct mlt_event e = fixture_event(&f, MLT_EVENT_BOOK_SNAPSHOT);
    e.first = e.last = id;
    e.stamps.received = received_ns;
    e.rest_function = mlt_slice_of_string(function);
    e.u.book_snapshot.last_update_id = id;
    e.u.book_snapshot.bids = (struct mlt_levels){ -2, -5, 1, &bid, &id };
    e.u.book_snapshot.asks = (struct mlt_levels){ -2, -5, 1, &ask, &id };
    e.u.book_snapshot.requested_depth = 5;
    const unsigned before = told(MLT_EVENT_BOOK_SNAPSHOT);
    fixture_send(&f, &e);
    return told(MLT_EVENT_BOOK_SNAPSHOT) > before;
}

/* ahead_ns: the clock of who takes over before that of the other one. */
static void take_over(int64_t ahead_ns)
{
    fixture_open(&f, &fixture_books, false);
    const int64_t step = 100 * MLT_NS_PER_MS, then = f.now_ns;
    for (int64_t n = 1; n <= 300; n++) { /* for 30 s */
        assert_true(snapshot(1000 + n, then + n * step, ""));
    }
    for (int64_t n = 30; n <= 300; n++) {
        assert_false(snapshot(1000 + n, then + n * step + ahead_ns, ""));
    }
    for (int64_t n = 301; n <= 320; n++) {
        assert_true(snapshot(1000 + n, then + n * step + ahead_ns, ""));
    }
    fixture_close(&f);
}

static void test_snapshots_of_a_stream_are_told_once_whatever_the_clock(void **state)
{
    (void)state;
    take_over(0);
    take_over(3 * MLT_NS_PER_S);
    take_over(-3 * MLT_NS_PER_S);
    take_over(-60 * MLT_NS_PER_S);
}

static void test_ids_of_snapshots_may_be_set_back_by_the_exchange(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    const int64_t then = f.now_ns, later = then + 10 * MLT_NS_PER_S;
    assert_true(snapshot(5000, then, ""));
    assert_false(snapshot(10, then + MLT_NS_PER_S, ""));
    assert_false(snapshot(11, later - 1, ""));
    assert_true(snapshot(12, later, ""));
    assert_false(snapshot(12, later + 1, ""));
    assert_true(snapshot(13, later + 1, ""));
    fixture_close(&f);
}

/* An answer of REST may be below what a stream has brought, or be another instrument's. */
static void test_answers_of_rest_are_no_position_of_a_stream(void **state)
{
    (void)state;
    fixture_open(&f, &fixture_books, false);
    const int64_t then = f.now_ns;
    assert_true(snapshot(5000, then, ""));
    assert_true(snapshot(4000, then + 1, "depth"));
    assert_false(snapshot(4000, then + 1, "depth"));
    assert_true(snapshot(9000, then + 2, "depth"));
    assert_true(snapshot(5001, then + 3, ""));
    assert_false(snapshot(9001, then + 2, "depth"));
    fixture_close(&f);
}

/* ---- ids that the exchange has set back ---- */

static void send_received(enum mlt_event_type type, int64_t id, int64_t received_ns)
{
    struct mlt_event e = fixture_event(&f, type);
    e.first = e.last = id;
    e.stamps.received = received_ns;
    fixture_send(&f, &e);
}

/* They are dropped; but nothing else would tell of it. */
static void test_ids_that_were_set_back_are_counted(void **state)
{
    (void)state;
    static const enum mlt_event_type types[] = { MLT_EVENT_TRADE, MLT_EVENT_AGG_TRADE,
                                                 MLT_EVENT_BBO, MLT_EVENT_BOOK_DELTA };
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        fixture_open(&f, &fixture_books, false);
        const int64_t then = f.now_ns;
        send_received(types[t], 90000, then);
        send_received(types[t], 90000, then);                    /* it comes again */
        send_received(types[t], 90000, then + 9 * MLT_NS_PER_S); /* by another line */
        assert_int_equal(fixture_counts(&f).ids_below, 0);
        send_received(types[t], 1, then + 10 * MLT_NS_PER_S);
        send_received(types[t], 2, then + 11 * MLT_NS_PER_S);
        assert_int_equal(fixture_counts(&f).ids_below, 2);
        assert_int_equal(fixture_counts(&f).duplicates, 4);
        send_received(types[t], 90001, then + 20 * MLT_NS_PER_S);
        send_received(types[t], 90001, then + 20 * MLT_NS_PER_S);
        assert_int_equal(fixture_counts(&f).ids_below, 2);
        fixture_close(&f);
    }
}

/* An owner that only knows from the one before how far the ids were. */
static void test_ids_set_back_before_a_take_over_are_counted_too(void **state)
{
    (void)state;
    const struct mlt_head heads[] = { { MLT_EVENT_TRADE, 7, 90000 } };
    const struct mlt_instrument_heads from = {
        .instrument = FIXTURE_INSTRUMENT, .epoch = 1, .head_count = 1, .heads = heads
    };
    fixture_open(&f, &fixture_books, false);
    assert_int_equal(mlt_conductor_core_seed(f.core, &from), MLT_OK);
    for (int64_t second = 1; second <= 15; second++) {
        send_received(MLT_EVENT_TRADE, second, second * MLT_NS_PER_S);
    }
    assert_int_equal(fixture_counts(&f).ids_below, 5);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_how_sources_stand_is_told_by_a_clock_that_is_behind_too),
        cmocka_unit_test(test_words_that_come_again_make_no_book_stale),
        cmocka_unit_test(test_words_too_many_to_be_remembered_are_not_told_again),
        cmocka_unit_test(test_words_of_an_owner_before_are_told_by_the_time),
        cmocka_unit_test(test_snapshots_of_a_stream_are_told_once_whatever_the_clock),
        cmocka_unit_test(test_ids_of_snapshots_may_be_set_back_by_the_exchange),
        cmocka_unit_test(test_answers_of_rest_are_no_position_of_a_stream),
        cmocka_unit_test(test_ids_that_were_set_back_are_counted),
        cmocka_unit_test(test_ids_set_back_before_a_take_over_are_counted_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
