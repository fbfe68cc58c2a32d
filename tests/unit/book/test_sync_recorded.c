/*
 * The machine on recordings. One delta of BTCUSDT left out, at each of many places in turn: the gap
 * is found right there, and nothing that is shown while LIVE differs from the book of the whole
 * recording, resynced from what that book was at the moment the snapshot was taken.
 */
#include "sync_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "book_tape.h"
#include "meltica/base/hash.h"

#define PLACES (MLT_TEST_SANITIZED ? 12u : 50u)
#define SHOWN 20u
#define DEPTH 1000u

static uint64_t allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    allocations++;
    return __real_realloc(p, size);
}

static const struct mlt_sync_options options = {
    .first_depth = DEPTH,
    .depth = DEPTH,
    .shown = SHOWN,
    .request_timeout_ns = 5 * MLT_NS_PER_S,
    .backoff_base_ns = MLT_NS_PER_S,
    .backoff_max_ns = 30 * MLT_NS_PER_S,
    .stale_after_ns = 60 * MLT_NS_PER_S,
    .seed = 1,
    .book = { 4096, TAPE_EXPONENT, TAPE_EXPONENT },
};

static enum mlt_sync_outcome feed(struct sync_fixture *f, const struct tape_entry *e)
{
    enum mlt_sync_outcome outcome;
    f->now_ns = e->received;
    assert_int_equal(mlt_sync_delta(f->sync, e->first, e->last, &e->u.delta, &outcome), MLT_OK);
    return outcome;
}

static enum mlt_sync_outcome answer(struct sync_fixture *f,
                                    const struct mlt_book_snapshot *snapshot)
{
    enum mlt_sync_outcome outcome;
    assert_int_equal(mlt_sync_snapshot(f->sync, snapshot, &outcome), MLT_OK);
    return outcome;
}

/* What the exchange's answer would be: the true book's levels, as far as that itself knows them. */
struct copy {
    struct mlt_book_snapshot snapshot;
    int64_t columns[4][DEPTH];
};

static void take_copy(const struct mlt_orderbook *truth, struct copy *copy)
{
    struct mlt_book_snapshot *s = &copy->snapshot;
    memset(s, 0, sizeof *s);
    s->last_update_id = mlt_orderbook_last(truth);
    (void)mlt_orderbook_top(truth, MLT_ORDERBOOK_BIDS, DEPTH, copy->columns[0], copy->columns[1],
                            &s->bids);
    (void)mlt_orderbook_top(truth, MLT_ORDERBOOK_ASKS, DEPTH, copy->columns[2], copy->columns[3],
                            &s->asks);
    /* Both sides end with what is known: neither is whole, so nothing is said of the depth. */
    s->requested_depth = 0;
}

/* Levels shown that differ from the truth at the same update id. */
static uint64_t wrong_levels(const struct mlt_orderbook *book, const struct mlt_orderbook *truth)
{
    uint64_t wrong = mlt_orderbook_last(book) != mlt_orderbook_last(truth);
    for (int s = 0; s < 2; s++) {
        int64_t p[2][SHOWN], q[2][SHOWN];
        struct mlt_levels view;
        const enum mlt_orderbook_side side = (enum mlt_orderbook_side)s;
        const size_t count = mlt_orderbook_top(book, side, SHOWN, p[0], q[0], &view);
        const size_t known = mlt_orderbook_top(truth, side, SHOWN, p[1], q[1], &view);
        wrong += count > known;
        for (size_t i = 0; i < count && i < known; i++) {
            wrong += p[0][i] != p[1][i] || q[0][i] != q[1][i];
        }
    }
    return wrong;
}

struct lane {
    struct sync_fixture f;
    size_t left_out;   /* delta's number */
    size_t gap_at;     /* delta that showed the gap */
    size_t answer_in;  /* deltas until the answer comes */
    uint64_t answered; /* requests */
    bool copied;       /* the exchange took the snapshot */
    struct copy copy;
    uint64_t checked, wrong, syncing;
};

/* The exchange takes the snapshot when asked, or up to two deltas later; it comes up to two after
 * that: then some of what it covers is buffered, some not, and it may be ahead of the stream. */
static void serve(struct lane *lane, const struct mlt_orderbook *truth)
{
    if (lane->f.requests == lane->answered) {
        return;
    }
    if (!lane->copied && lane->answer_in <= 2) {
        take_copy(truth, &lane->copy);
        lane->copied = true;
    }
    if (lane->answer_in-- == 0) {
        lane->answered = lane->f.requests;
        lane->copied = false;
        lane->answer_in = (size_t)(mlt_mix64(lane->answered + lane->left_out) % 5);
        assert_int_equal(answer(&lane->f, &lane->copy.snapshot), MLT_SYNC_APPLIED);
    }
}

static void step(struct lane *lane, const struct tape_entry *e, size_t number,
                 const struct mlt_orderbook *truth)
{
    if (number == lane->left_out) {
        return;
    }
    const size_t changes = lane->f.change_count;
    (void)feed(&lane->f, e);
    for (size_t i = changes; i < lane->f.change_count; i++) {
        if (lane->f.changes[i].to == MLT_SYNC_GAP) {
            assert_int_equal(lane->gap_at, 0);
            lane->gap_at = number;
            assert_int_equal(lane->f.changes[i].reason, MLT_SYNC_SEQUENCE_GAP);
            assert_int_equal(lane->f.changes[i].last, e->first - 1);
        }
    }
    serve(lane, truth);
    if (mlt_sync_state(lane->f.sync) == MLT_SYNC_LIVE) {
        lane->checked++;
        lane->wrong += wrong_levels(mlt_sync_book(lane->f.sync), truth);
    } else {
        lane->syncing++;
    }
}

static const struct tape_entry *first_snapshot(const struct tape *tape)
{
    for (size_t i = 0; i < tape->count; i++) {
        if (tape->entries[i].type == MLT_EVENT_BOOK_SNAPSHOT) {
            return &tape->entries[i];
        }
    }
    fail_msg("no snapshot");
    return NULL;
}

static void open_lanes(struct lane *lanes, const struct tape *tape)
{
    for (size_t i = 0; i < PLACES; i++) {
        struct lane *lane = &lanes[i];
        fixture_open(&lane->f, &options);
        /* 6,493 deltas after the snapshot; neither the first, whose absence the join shows, nor the
         * last ones, after which nothing comes to show it. */
        lane->left_out = 2 + (size_t)(mlt_mix64(i) % 6400);
        lane->answer_in = (size_t)(mlt_mix64(i + 1000) % 5);
        mlt_sync_start(lane->f.sync);
        lane->answered = lane->f.requests;
        assert_int_equal(answer(&lane->f, &first_snapshot(tape)->u.snapshot), MLT_SYNC_APPLIED);
    }
}

static void test_one_delta_left_out_is_found_there_and_nothing_wrong_is_shown(void **state)
{
    const struct tape *tape = *state;
    struct lane *lanes = calloc(PLACES, sizeof *lanes);
    struct mlt_orderbook *truth = NULL;
    const struct mlt_book_snapshot *seed = &first_snapshot(tape)->u.snapshot;
    assert_non_null(lanes);
    assert_int_equal(mlt_orderbook_create(&options.book, &truth), MLT_OK);
    assert_int_equal(mlt_orderbook_seed(truth, seed), MLT_OK);
    open_lanes(lanes, tape);
    size_t number = 0;
    for (size_t i = 0; i < tape->count; i++) {
        const struct tape_entry *e = &tape->entries[i];
        if (e->type != MLT_EVENT_BOOK_DELTA || e->last <= seed->last_update_id) {
            continue;
        }
        number++;
        assert_int_equal(mlt_orderbook_apply(truth, &e->u.delta.bids, &e->u.delta.asks, e->last),
                         MLT_OK);
        for (size_t k = 0; k < PLACES; k++) {
            step(&lanes[k], e, number, truth);
        }
    }
    assert_int_equal(number, 6493);
    uint64_t checked = 0, syncing = 0;
    for (size_t k = 0; k < PLACES; k++) {
        struct mlt_sync_counts counts;
        mlt_sync_counts(lanes[k].f.sync, &counts);
        assert_int_equal(lanes[k].gap_at, lanes[k].left_out + 1);
        assert_int_equal(lanes[k].wrong, 0);
        assert_int_equal(counts.gaps, 1);
        assert_int_equal(counts.resyncs, 1);
        assert_int_equal(counts.audits_wrong, 0);
        assert_int_equal(mlt_sync_state(lanes[k].f.sync), MLT_SYNC_LIVE);
        checked += lanes[k].checked;
        syncing += lanes[k].syncing;
        mlt_sync_destroy(lanes[k].f.sync);
    }
    print_message("%u places: %llu live books compared, %llu deltas while not live\n", PLACES,
                  (unsigned long long)checked, (unsigned long long)syncing);
    mlt_orderbook_destroy(truth);
    free(lanes);
}

static void test_the_whole_recording_needs_one_snapshot_and_no_memory(void **state)
{
    const struct tape *tape = *state;
    static struct sync_fixture f;
    struct mlt_sync_options calm = options;
    calm.shown = 1;
    fixture_open(&f, &calm);
    mlt_sync_start(f.sync);
    uint64_t before = 0, applied = 0, buffered = 0;
    for (size_t i = 0; i < tape->count; i++) {
        const struct tape_entry *e = &tape->entries[i];
        if (e->type == MLT_EVENT_BOOK_SNAPSHOT) {
            f.now_ns = e->received;
            assert_int_equal(answer(&f, &e->u.snapshot), MLT_SYNC_APPLIED);
            before = allocations;
        } else if (e->type == MLT_EVENT_BOOK_DELTA) {
            const enum mlt_sync_outcome outcome = feed(&f, e);
            applied += outcome == MLT_SYNC_APPLIED;
            buffered += outcome == MLT_SYNC_BUFFERED;
            if (f.requests > 1) {
                mlt_sync_request_failed(f.sync); /* the recording has one snapshot only */
            }
        }
    }
    struct mlt_sync_counts counts;
    mlt_sync_counts(f.sync, &counts);
    assert_int_equal(allocations, before);
    assert_int_equal(buffered, 3);
    assert_int_equal(counts.gaps, 0);
    /* One of those before the snapshot reaches beyond it, and is applied in the join. */
    assert_int_equal(applied, 6492);
    mlt_sync_destroy(f.sync);
}

static void test_all_four_symbols_join_and_the_quiet_one_is_live_at_once(void **state)
{
    static struct sync_fixture f[4];
    struct tape tape;
    (void)state;
    assert_true(tape_load_cryptofeed(&tape));
    assert_int_equal(tape.symbol_count, 4);
    size_t joined = 0, deltas_after[4] = { 0 };
    int64_t live_at[4] = { 0 }, next_at[4] = { 0 };
    struct mlt_sync_options of_tape = options;
    for (size_t i = 0; i < tape.count; i++) {
        const struct tape_entry *e = &tape.entries[i];
        struct sync_fixture *s = &f[e->symbol];
        const struct mlt_levels *side =
            e->type == MLT_EVENT_BOOK_DELTA ? &e->u.delta.bids : &e->u.snapshot.bids;
        if (e->type != MLT_EVENT_BOOK_DELTA && e->type != MLT_EVENT_BOOK_SNAPSHOT) {
            continue;
        }
        if (s->sync == NULL) {
            of_tape.book.price_exponent = side->price_exponent;
            of_tape.book.quantity_exponent = side->quantity_exponent;
            fixture_open(s, &of_tape);
            mlt_sync_start(s->sync);
        }
        if (e->type == MLT_EVENT_BOOK_SNAPSHOT) {
            s->now_ns = e->received;
            assert_int_equal(answer(s, &e->u.snapshot), MLT_SYNC_APPLIED);
            assert_int_equal(mlt_sync_state(s->sync), MLT_SYNC_LIVE);
            live_at[e->symbol] = e->received;
            joined++;
        } else {
            const bool live = live_at[e->symbol] != 0;
            const enum mlt_sync_outcome outcome = feed(s, e);
            assert_true(outcome == (live ? MLT_SYNC_APPLIED : MLT_SYNC_BUFFERED) ||
                        outcome == MLT_SYNC_DUPLICATE);
            deltas_after[e->symbol] += outcome == MLT_SYNC_APPLIED;
            if (live && next_at[e->symbol] == 0) {
                next_at[e->symbol] = e->received;
            }
        }
    }
    assert_int_equal(joined, 4);
    for (unsigned i = 0; i < 4; i++) {
        struct mlt_sync_counts counts;
        mlt_sync_counts(f[i].sync, &counts);
        assert_int_equal(mlt_sync_state(f[i].sync), MLT_SYNC_LIVE);
        assert_int_equal(counts.gaps, 0);
        print_message("%s: live, next delta after %.1f s, %zu applied\n", tape.tokens[i],
                      next_at[i] != 0 ? (double)(next_at[i] - live_at[i]) / 1e9 : -1.0,
                      deltas_after[i]);
        if (strcmp(tape.tokens[i], "RUNE-EUR") == 0) {
            assert_true(next_at[i] - live_at[i] > 19 * MLT_NS_PER_S);
        }
        mlt_sync_destroy(f[i].sync);
    }
    tape_free(&tape);
}

int main(void)
{
    static struct tape tape;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_one_delta_left_out_is_found_there_and_nothing_wrong_is_shown,
                                  &tape),
        cmocka_unit_test_prestate(test_the_whole_recording_needs_one_snapshot_and_no_memory, &tape),
        cmocka_unit_test(test_all_four_symbols_join_and_the_quiet_one_is_live_at_once),
    };
    if (tape_captures() == NULL) {
        (void)puts("skipped: no recordings");
        return 77;
    }
    if (!tape_load_btc(&tape)) {
        return 1;
    }
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tape_free(&tape);
    return failed;
}
