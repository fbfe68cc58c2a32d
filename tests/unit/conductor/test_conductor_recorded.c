/*
 * The BTCUSDT recording through the Conductor's core: once whole, and with one delta left out at
 * each of many places. Every BOOK that says LIVE and every digest is compared with the book of the
 * whole recording at that id, and a follower who knows nothing but what comes out keeps a book of
 * its own that has to agree with each digest.
 */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "book.h"
#include "book_tape.h"
#include "core.h"
#include "meltica/base/hash.h"

#define PLACES (MLT_TEST_SANITIZED ? 10u : 50u)
#define SHOWN 20u
#define DEPTH 1000u
#define DELTAS 6493u /* after the snapshot */
#define UNKNOWN_DELETES 26140u

static const struct mlt_conductor_books options = {
    .published_levels = SHOWN,
    .book_levels = 4096,
    .first_depth = DEPTH,
    .snapshot_depth = DEPTH,
    .stale_after_ns = 60 * MLT_NS_PER_S,
    .request_timeout_ns = 5 * MLT_NS_PER_S,
    .backoff_base_ns = MLT_NS_PER_S,
    .backoff_max_ns = 30 * MLT_NS_PER_S,
    .seed = 1,
};

static const struct mlt_orderbook_options exact = { 8192, TAPE_EXPONENT, TAPE_EXPONENT };

/* What the exchange's answer would be: the true book's levels, as far as that itself knows them. */
struct copy {
    struct mlt_book_snapshot snapshot;
    int64_t columns[4][DEPTH];
};

/* What the true book knows, or all that it was told. */
typedef bool (*level_fn)(const struct mlt_orderbook *book, enum mlt_orderbook_side side, size_t i,
                         int64_t *price, int64_t *quantity);

struct lane {
    struct mlt_conductor_core *core;
    struct mlt_clock clock;
    int64_t now_ns;
    const struct mlt_orderbook *truth;
    level_fn level;
    struct mlt_orderbook *follower;
    bool following;
    size_t left_out; /* delta's number, 0: none */
    uint64_t requests, answered;
    size_t answer_in; /* deltas until the answer comes */
    bool copied;
    struct copy copy;
    /* Seen. */
    uint64_t books, live, wrong, behind, crossed, digests, digests_wrong, followed_wrong, limited;
    uint64_t gaps, syncings;
    int64_t gap_first, gap_last;
    struct mlt_event last_book;
    int64_t best[4];
};

static int64_t lane_now(void *ctx)
{
    return ((struct lane *)ctx)->now_ns;
}

static bool same_side(const struct lane *lane, enum mlt_orderbook_side side,
                      const struct mlt_levels *shown)
{
    for (size_t i = 0; i < shown->count; i++) {
        int64_t price = 0, quantity = 0;
        if (!lane->level(lane->truth, side, i, &price, &quantity) || price != shown->prices[i] ||
            quantity != shown->quantities[i]) {
            return false;
        }
    }
    return true;
}

static void see_book(struct lane *lane, const struct mlt_event *event)
{
    const struct mlt_book *b = &event->u.book;
    lane->books++;
    if (b->state != MLT_BOOK_LIVE) {
        lane->wrong += b->state != MLT_BOOK_STALE && b->bids.count + b->asks.count > 0;
        return;
    }
    lane->live++;
    lane->limited += (event->quality & MLT_QUALITY_DEPTH_LIMITED) != 0;
    lane->crossed +=
        b->bids.count > 0 && b->asks.count > 0 && b->bids.prices[0] >= b->asks.prices[0];
    if (b->last_update_id != mlt_orderbook_last(lane->truth)) {
        lane->behind++; /* the delta left out is not here to be missed yet */
    } else {
        lane->wrong += !same_side(lane, MLT_ORDERBOOK_BIDS, &b->bids) ||
                       !same_side(lane, MLT_ORDERBOOK_ASKS, &b->asks);
    }
    lane->wrong += b->digest != mlt_book_digest(&b->bids, &b->asks);
    lane->last_book = *event;
    if (b->bids.count > 0 && b->asks.count > 0) {
        lane->best[0] = b->bids.prices[0];
        lane->best[1] = b->bids.quantities[0];
        lane->best[2] = b->asks.prices[0];
        lane->best[3] = b->asks.quantities[0];
    }
}

static void see_delta(struct lane *lane, const struct mlt_event *event)
{
    const struct mlt_book_delta *d = &event->u.book_delta;
    const int64_t last = mlt_orderbook_last(lane->follower);
    if (lane->following && event->last > last) {
        lane->following = event->first <= last + 1;
        assert_int_equal(mlt_orderbook_apply(lane->follower, &d->bids, &d->asks, event->last),
                         MLT_OK);
    }
    if (d->digest_version == 0) {
        return;
    }
    lane->digests++;
    assert_true(lane->following);
    lane->digests_wrong += d->digest != mlt_orderbook_digest(lane->follower);
    /* What it stands for is the truth, as far as it is known. */
    int64_t prices[SHOWN], quantities[SHOWN];
    for (int side = 0; side < 2; side++) {
        struct mlt_levels shown;
        (void)mlt_orderbook_top(lane->follower, (enum mlt_orderbook_side)side, SHOWN, prices,
                                quantities, &shown);
        lane->followed_wrong += !same_side(lane, (enum mlt_orderbook_side)side, &shown);
    }
}

static void on_emit(void *ctx, uint32_t partition, const struct mlt_event *event)
{
    struct lane *lane = ctx;
    (void)partition;
    switch (event->type) {
    case MLT_EVENT_BOOK:
        see_book(lane, event);
        break;
    case MLT_EVENT_BOOK_DELTA:
        see_delta(lane, event);
        break;
    case MLT_EVENT_BOOK_SNAPSHOT:
        if (event->u.book_snapshot.reset) {
            assert_int_equal(mlt_orderbook_seed(lane->follower, &event->u.book_snapshot), MLT_OK);
            lane->following = true;
        }
        break;
    case MLT_EVENT_STATUS:
        lane->syncings += event->u.status.kind == MLT_STATUS_SYNCING;
        if (event->u.status.kind == MLT_STATUS_GAP) {
            lane->gaps++;
            lane->gap_first = event->u.status.update_first;
            lane->gap_last = event->u.status.update_last;
            assert_true(mlt_slice_equal_string(event->u.status.reason, "sequence_gap"));
        }
        break;
    default:
        break;
    }
}

static void on_resync(void *ctx, struct mlt_slice instrument, uint32_t depth,
                      enum mlt_sync_need need)
{
    struct lane *lane = ctx;
    (void)depth;
    (void)need;
    assert_true(mlt_slice_equal_string(instrument, "BTC-USDT"));
    lane->requests++;
}

static void lane_open(struct lane *lane, const struct mlt_orderbook *truth, size_t left_out,
                      int64_t throttle_ns, int64_t now_ns)
{
    struct mlt_conductor_books books = options;
    books.throttle_ns = throttle_ns;
    memset(lane, 0, sizeof *lane);
    lane->now_ns = now_ns;
    lane->truth = truth;
    lane->level = mlt_orderbook_level;
    lane->left_out = left_out;
    lane->clock = (struct mlt_clock){ lane_now, lane_now, lane };
    const struct mlt_conductor_ports ports = {
        .emit = on_emit, .resync = on_resync, .ctx = lane, .clock = &lane->clock
    };
    assert_int_equal(mlt_conductor_core_create(4, &ports, &lane->core), MLT_OK);
    assert_int_equal(mlt_conductor_core_books(lane->core, &books), MLT_OK);
    assert_int_equal(mlt_orderbook_create(&exact, &lane->follower), MLT_OK);
    for (uint32_t s = 0; s < MLT_SLOT_COUNT; s++) {
        mlt_conductor_core_set_epoch(lane->core, s, 1);
    }
}

static void lane_close(struct lane *lane)
{
    mlt_conductor_core_destroy(lane->core);
    mlt_orderbook_destroy(lane->follower);
}

/* What is due until then, when it is due. */
static void lane_run(struct lane *lane, int64_t until_ns)
{
    int64_t due = 0;
    while ((due = mlt_conductor_core_due_ns(lane->core)) <= until_ns) {
        lane->now_ns = due > lane->now_ns ? due : lane->now_ns;
        mlt_conductor_core_tick(lane->core);
        assert_true(mlt_conductor_core_due_ns(lane->core) > due);
    }
    lane->now_ns = until_ns > lane->now_ns ? until_ns : lane->now_ns;
}

static struct mlt_event event_of(enum mlt_event_type type, int64_t received)
{
    struct mlt_event e;
    memset(&e, 0, sizeof e);
    e.instrument = MLT_SLICE_LITERAL("BTC-USDT");
    e.type = type;
    e.quality = MLT_QUALITY_WANTS_BOOK | MLT_QUALITY_WANTS_SNAPSHOT;
    e.stamps = (struct mlt_stamps){ received,          MLT_STAMP_UNKNOWN, MLT_STAMP_UNKNOWN,
                                    MLT_STAMP_UNKNOWN, MLT_STAMP_UNKNOWN, MLT_STAMP_UNKNOWN };
    return e;
}

static void send_snapshot(struct lane *lane, const struct mlt_book_snapshot *snapshot)
{
    struct mlt_event e = event_of(MLT_EVENT_BOOK_SNAPSHOT, lane->now_ns);
    e.first = e.last = snapshot->last_update_id;
    e.u.book_snapshot = *snapshot;
    assert_int_equal(mlt_conductor_core_event(lane->core, &e), MLT_OK);
}

static void send_entry(struct lane *lane, const struct tape_entry *entry)
{
    struct mlt_event e = event_of(entry->type, entry->received);
    e.stamps.exchange = entry->exchange;
    e.first = entry->first;
    e.last = entry->last;
    if (entry->type == MLT_EVENT_TRADE) {
        e.u.trade = entry->u.trade;
    } else if (entry->type == MLT_EVENT_BBO) {
        e.u.bbo = entry->u.bbo;
    } else {
        e.u.book_delta = entry->u.delta;
    }
    assert_int_equal(mlt_conductor_core_event(lane->core, &e), MLT_OK);
}

static size_t copy_side(const struct mlt_orderbook *truth, enum mlt_orderbook_side side,
                        level_fn level, int64_t *prices, int64_t *quantities)
{
    size_t count = 0;
    while (count < DEPTH && level(truth, side, count, &prices[count], &quantities[count])) {
        count++;
    }
    return count;
}

static void take_copy(const struct mlt_orderbook *truth, struct copy *copy, level_fn level)
{
    struct mlt_book_snapshot *s = &copy->snapshot;
    int64_t(*c)[DEPTH] = copy->columns;
    memset(s, 0, sizeof *s);
    s->last_update_id = mlt_orderbook_last(truth);
    s->bids =
        (struct mlt_levels){ TAPE_EXPONENT, TAPE_EXPONENT,
                             copy_side(truth, MLT_ORDERBOOK_BIDS, level, c[0], c[1]), c[0], c[1] };
    s->asks =
        (struct mlt_levels){ TAPE_EXPONENT, TAPE_EXPONENT,
                             copy_side(truth, MLT_ORDERBOOK_ASKS, level, c[2], c[3]), c[2], c[3] };
}

/* The exchange takes the snapshot when asked, or up to two deltas later; it comes up to two after
 * that. */
static void serve(struct lane *lane)
{
    if (lane->requests == lane->answered) {
        return;
    }
    if (!lane->copied && lane->answer_in <= 2) {
        take_copy(lane->truth, &lane->copy, mlt_orderbook_level);
        lane->copied = true;
    }
    if (lane->answer_in-- == 0) {
        lane->answered = lane->requests;
        lane->copied = false;
        lane->answer_in = (size_t)(mlt_mix64(lane->answered + lane->left_out) % 5);
        send_snapshot(lane, &lane->copy.snapshot);
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

/* ---- the whole ---- */

/* With answers: requests after the first are answered from all that the recording tells, as the
 * exchange would; else there is the recording's own snapshot only, of it `depth` levels a side. */
static void run_whole(const struct tape *tape, struct lane *lane, struct mlt_orderbook *truth,
                      bool answers, uint32_t depth)
{
    bool seeded = false;
    for (size_t i = 0; i < tape->count; i++) {
        const struct tape_entry *e = &tape->entries[i];
        lane_run(lane, e->received);
        if (e->type == MLT_EVENT_BOOK_SNAPSHOT) {
            assert_int_equal(mlt_orderbook_seed(truth, &e->u.snapshot), MLT_OK);
            seeded = true;
            for (size_t k = 0; k < i; k++) { /* those before it that reach beyond it */
                const struct tape_entry *b = &tape->entries[k];
                if (b->type == MLT_EVENT_BOOK_DELTA && b->last > e->u.snapshot.last_update_id) {
                    assert_int_equal(
                        mlt_orderbook_apply(truth, &b->u.delta.bids, &b->u.delta.asks, b->last),
                        MLT_OK);
                }
            }
            struct mlt_book_snapshot told = e->u.snapshot;
            if (depth < DEPTH) {
                told.requested_depth = depth;
                told.bids.count = told.asks.count = depth;
            }
            send_snapshot(lane, &told);
            continue;
        }
        if (e->type == MLT_EVENT_BOOK_DELTA && seeded) {
            assert_int_equal(
                mlt_orderbook_apply(truth, &e->u.delta.bids, &e->u.delta.asks, e->last), MLT_OK);
        }
        send_entry(lane, e);
        if (seeded && lane->requests > lane->answered) {
            lane->answered = lane->requests;
            if (answers) {
                take_copy(truth, &lane->copy, mlt_orderbook_held_level);
                send_snapshot(lane, &lane->copy.snapshot);
            } else {
                mlt_conductor_core_resync_failed(lane->core, MLT_SLICE_LITERAL("BTC-USDT"));
            }
        }
    }
    lane_run(lane, lane->now_ns + MLT_NS_PER_S);
}

static void whole(const struct tape *tape, bool answers)
{
    static struct lane lane;
    struct mlt_orderbook *truth = NULL;
    assert_int_equal(mlt_orderbook_create(&exact, &truth), MLT_OK);
    lane_open(&lane, truth, 0, 100 * MLT_NS_PER_MS, tape->entries[0].received);
    lane.level = answers ? mlt_orderbook_held_level : mlt_orderbook_level;
    run_whole(tape, &lane, truth, answers, DEPTH);
    struct mlt_conductor_counts counts;
    mlt_conductor_core_counts(lane.core, &counts);
    print_message("%llu deltas with digest, %llu BOOKs, %llu with fewer than 20 levels, "
                  "%llu requests\n",
                  (unsigned long long)lane.digests, (unsigned long long)lane.books,
                  (unsigned long long)lane.limited, (unsigned long long)lane.requests);
    assert_int_equal(lane.wrong + lane.crossed + lane.behind, 0);
    assert_int_equal(lane.digests_wrong + lane.followed_wrong, 0);
    assert_int_equal(lane.gaps, 0);
    assert_int_equal(counts.gaps + counts.stales + counts.resyncs + counts.books_refused, 0);
    assert_int_equal(counts.audits_wrong, 0);
    assert_int_equal(lane.syncings, 1);
    assert_true(counts.level_changes > counts.unknown_deletes);
    assert_true(answers ? counts.unknown_deletes > 0 : counts.unknown_deletes == UNKNOWN_DELETES);
    /* One before the snapshot reaches beyond it; it went out before it. */
    assert_int_equal(lane.digests, DELTAS - 1);
    assert_int_equal(lane.books, lane.live);
    /* The last state has left. */
    const struct mlt_book *last = &lane.last_book.u.book;
    assert_int_equal(last->last_update_id, mlt_orderbook_last(truth));
    assert_int_equal(last->asks.count, SHOWN);
    if (answers) {
        assert_true(lane.requests > 1);
        assert_int_equal(lane.limited, 0);
        assert_int_equal(last->bids.count, SHOWN);
        assert_int_equal(lane.best[0], INT64_C(6160201000000));
        assert_int_equal(lane.best[1], INT64_C(167177000));
        assert_int_equal(lane.best[2], INT64_C(6160202000000));
        assert_int_equal(lane.best[3], INT64_C(266795000));
    } else {
        /* The price has left what the only snapshot vouches for: that is not shown. */
        assert_int_equal(lane.live + counts.books_merged, DELTAS);
        assert_int_equal(last->bids.count, 0);
        assert_true((lane.last_book.quality & MLT_QUALITY_DEPTH_LIMITED) != 0);
    }
    lane_close(&lane);
    mlt_orderbook_destroy(truth);
}

static void test_the_whole_recording_is_one_live_book(void **state)
{
    whole(*state, true);
}

static void test_one_snapshot_vouches_for_its_own_levels_and_no_others(void **state)
{
    whole(*state, false);
}

/* Never asked again: what is published shrinks, and what is left is the book of 1,000 levels. */
static void seeded_with(const struct tape *tape, uint32_t depth)
{
    static struct lane lane;
    struct mlt_orderbook *truth = NULL;
    assert_int_equal(mlt_orderbook_create(&exact, &truth), MLT_OK);
    lane_open(&lane, truth, 0, 0, tape->entries[0].received);
    run_whole(tape, &lane, truth, false, depth);
    struct mlt_conductor_counts counts;
    mlt_conductor_core_counts(lane.core, &counts);
    print_message("seeded with %u: %llu BOOKs, %llu with fewer than 20 levels\n", depth,
                  (unsigned long long)lane.live, (unsigned long long)lane.limited);
    assert_int_equal(lane.wrong + lane.crossed + lane.behind, 0);
    assert_int_equal(lane.digests_wrong + lane.followed_wrong, 0);
    assert_int_equal(lane.gaps + counts.stales + counts.resyncs + counts.books_refused, 0);
    assert_true(lane.live >= DELTAS);
    assert_true(lane.limited > 0 && lane.limited < lane.live);
    lane_close(&lane);
    mlt_orderbook_destroy(truth);
}

static void test_fewer_levels_to_begin_with_show_none_that_differs(void **state)
{
    seeded_with(*state, 20);
    seeded_with(*state, 100);
    seeded_with(*state, 500);
}

/* ---- with one left out ---- */

static void step(struct lane *lane, const struct tape_entry *e, size_t number)
{
    if (number == lane->left_out) {
        return;
    }
    const uint64_t gaps = lane->gaps, requests = lane->requests;
    send_entry(lane, e);
    if (lane->gaps > gaps) {
        assert_int_equal(number, lane->left_out + 1);
        assert_int_equal(lane->gap_last, e->first - 1);
        assert_int_equal(lane->requests, requests + 1);
    }
    serve(lane);
}

static void check_lane(const struct lane *lane)
{
    struct mlt_conductor_counts counts;
    mlt_conductor_core_counts(lane->core, &counts);
    assert_int_equal(lane->gaps, 1);
    assert_int_equal(lane->wrong, 0);
    assert_int_equal(lane->crossed, 0);
    assert_int_equal(lane->digests_wrong, 0);
    assert_int_equal(lane->followed_wrong, 0);
    assert_true(lane->behind <= 1);
    assert_int_equal(counts.resyncs, 1);
    assert_int_equal(counts.audits_wrong, 0);
    assert_int_equal(counts.states[MLT_BOOK_LIVE], 1);
    assert_int_equal(lane->last_book.u.book.last_update_id, mlt_orderbook_last(lane->truth));
    /* All but a few around the two joins. */
    assert_true(lane->digests > DELTAS - 30);
}

static void test_one_delta_left_out_is_a_gap_there_and_no_book_is_wrong(void **state)
{
    const struct tape *tape = *state;
    struct lane *lanes = calloc(PLACES, sizeof *lanes);
    struct mlt_orderbook *truth = NULL;
    const struct tape_entry *seed = first_snapshot(tape);
    assert_non_null(lanes);
    assert_int_equal(mlt_orderbook_create(&exact, &truth), MLT_OK);
    assert_int_equal(mlt_orderbook_seed(truth, &seed->u.snapshot), MLT_OK);
    for (size_t k = 0; k < PLACES; k++) {
        /* Neither the first, whose absence the join shows, nor the last ones, after which nothing
         * comes to show it. */
        lane_open(&lanes[k], truth, 2 + (size_t)(mlt_mix64(k) % 6400), 350 * MLT_NS_PER_MS,
                  seed->received);
        lanes[k].answer_in = (size_t)(mlt_mix64(k + 1000) % 5);
        send_snapshot(&lanes[k], &seed->u.snapshot);
        lanes[k].answered = lanes[k].requests;
    }
    size_t number = 0;
    for (size_t i = 0; i < tape->count; i++) {
        const struct tape_entry *e = &tape->entries[i];
        if (e->type != MLT_EVENT_BOOK_DELTA || e->last <= seed->u.snapshot.last_update_id) {
            continue;
        }
        number++;
        const int64_t at = e->received > seed->received ? e->received : seed->received;
        for (size_t k = 0; k < PLACES; k++) {
            lane_run(&lanes[k], at);
        }
        assert_int_equal(mlt_orderbook_apply(truth, &e->u.delta.bids, &e->u.delta.asks, e->last),
                         MLT_OK);
        for (size_t k = 0; k < PLACES; k++) {
            step(&lanes[k], e, number);
        }
    }
    assert_int_equal(number, DELTAS);
    uint64_t live = 0;
    for (size_t k = 0; k < PLACES; k++) {
        lane_run(&lanes[k], lanes[k].now_ns + MLT_NS_PER_S);
        check_lane(&lanes[k]);
        live += lanes[k].live;
        lane_close(&lanes[k]);
    }
    print_message("%u places: %llu LIVE BOOKs compared\n", PLACES, (unsigned long long)live);
    mlt_orderbook_destroy(truth);
    free(lanes);
}

int main(void)
{
    static struct tape tape;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_the_whole_recording_is_one_live_book, &tape),
        cmocka_unit_test_prestate(test_one_snapshot_vouches_for_its_own_levels_and_no_others,
                                  &tape),
        cmocka_unit_test_prestate(test_fewer_levels_to_begin_with_show_none_that_differs, &tape),
        cmocka_unit_test_prestate(test_one_delta_left_out_is_a_gap_there_and_no_book_is_wrong,
                                  &tape),
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
