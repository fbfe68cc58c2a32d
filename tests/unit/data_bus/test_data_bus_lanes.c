/* Private lanes: what passes a filter, what a throttle merges, and that lane_previous proves both.
 */
#include "lanes.h"
#include "table.h"

#include <stdio.h>

#include "meltica/base/hash.h"

#define SENT_MAX 4096u
#define ROUNDS 400u

struct sent {
    char subject[96];
    enum mlt_event_type type;
    uint64_t epoch, sequence, previous;
    int64_t at_ns, first, last;
    uint32_t merged;
    uint64_t throttled_ns;
    bool conflated;
    enum mlt_book_state state;
    enum mlt_status_kind kind;
};

static struct {
    int64_t now_ns;
    struct sent sent[SENT_MAX];
    size_t count;
    bool broken;
    struct mlt_lanes *lanes;
    uint64_t sequences[MLT_EVENT_TYPE_COUNT];
} world;

static int64_t now(void *ctx)
{
    (void)ctx;
    return world.now_ns;
}

static const struct mlt_clock clock_of_world = { now, now, NULL };

static bool on_publish(void *ctx, const char *subject, struct mlt_slice bytes)
{
    (void)ctx;
    struct mlt_arena arena;
    struct mlt_event e;
    if (world.broken) {
        return false;
    }
    mlt_arena_init(&arena, 4096, 1u << 20);
    assert_int_equal(mlt_event_decode(bytes, &arena, &e), MLT_OK);
    assert_true(world.count < SENT_MAX);
    struct sent *s = &world.sent[world.count++];
    (void)snprintf(s->subject, sizeof s->subject, "%s", subject);
    s->type = e.type;
    s->epoch = e.epoch;
    s->sequence = e.sequence;
    s->previous = e.lane_previous;
    s->at_ns = world.now_ns;
    s->first = e.first;
    s->last = e.last;
    s->merged = e.merged;
    s->throttled_ns = e.throttled_ns;
    s->conflated = (e.quality & MLT_QUALITY_CONFLATED) != 0;
    s->state = e.type == MLT_EVENT_BOOK ? e.u.book.state : MLT_BOOK_STATE_NONE;
    s->kind = e.type == MLT_EVENT_STATUS ? e.u.status.kind : MLT_STATUS_KIND_NONE;
    mlt_arena_fini(&arena);
    return true;
}

static void set(const struct lane_line *lines, size_t count)
{
    struct mlt_routing *routing = table_of_lanes(1, 1, lines, count);
    mlt_lanes_set(world.lanes, routing);
    mlt_routing_destroy(routing);
}

static int begin(void **state)
{
    (void)state;
    const struct mlt_lanes_ports ports = { on_publish, NULL, &clock_of_world };
    memset(&world, 0, sizeof world);
    world.now_ns = 1000 * MLT_NS_PER_S;
    return mlt_lanes_create(&ports, &world.lanes) == MLT_OK ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    mlt_lanes_destroy(world.lanes);
    return 0;
}

static struct mlt_event event_of(enum mlt_event_type type)
{
    struct mlt_event e = { .type = type,
                           .instrument = MLT_SLICE_LITERAL("BTC-USDT"),
                           .epoch = 7,
                           .sequence = ++world.sequences[type] };
    e.stamps.received = world.now_ns;
    e.stamps.exchange = e.stamps.adapted = e.stamps.dispatched = MLT_STAMP_UNKNOWN;
    e.stamps.conducted = MLT_STAMP_UNKNOWN;
    e.stamps.published = world.now_ns;
    e.first = e.last = (int64_t)e.sequence * 10;
    return e;
}

static void trade(int64_t price, int64_t quantity)
{
    struct mlt_event e = event_of(MLT_EVENT_TRADE);
    e.u.trade = (struct mlt_trade){ .trade_id = e.last,
                                    .price = { price, -2 },
                                    .quantity = { quantity, -3 },
                                    .aggressor = MLT_SIDE_BUY };
    mlt_lanes_event(world.lanes, &e);
}

static void quote(void)
{
    struct mlt_event e = event_of(MLT_EVENT_BBO);
    mlt_lanes_event(world.lanes, &e);
}

/* Of three states: each BOOK says how many the Conductor merged. */
static void book(enum mlt_book_state state)
{
    struct mlt_event e = event_of(MLT_EVENT_BOOK);
    e.u.book.state = state;
    e.merged = 2;
    mlt_lanes_event(world.lanes, &e);
}

static void notice(enum mlt_status_kind kind, enum mlt_event_type lost)
{
    struct mlt_event e = event_of(MLT_EVENT_STATUS);
    world.sequences[MLT_EVENT_STATUS]--;
    e.sequence = 0;
    e.u.status.kind = kind;
    e.u.status.lost_type = lost;
    mlt_lanes_event(world.lanes, &e);
}

/* ---- filters ---- */

static void test_only_what_passes_leaves_and_names_the_one_before(void **state)
{
    (void)state;
    static const struct lane_line lines[] = {
        { MLT_EVENT_TRADE, "BTC-USDT", "large", 0, "notional", "ge", "1000" },
        { MLT_EVENT_TRADE, "*-USDT", "all", 0, NULL, NULL, NULL },
        { MLT_EVENT_TRADE, "ETH-*", "other", 0, NULL, NULL, NULL },
    };
    set(lines, 3);
    trade(50000, 1000);  /* 500 */
    trade(50000, 2000);  /* 1000: notional was not enriched, and is calculated */
    trade(50000, 1999);  /* 999.5 */
    trade(100000, 1001); /* 1001 */
    static const struct {
        const char *subject;
        uint64_t sequence, previous;
    } wanted[] = {
        { "meltica.lane.desk.all.BTC-USDT", 1, 0 },   { "meltica.lane.desk.large.BTC-USDT", 2, 0 },
        { "meltica.lane.desk.all.BTC-USDT", 2, 1 },   { "meltica.lane.desk.all.BTC-USDT", 3, 2 },
        { "meltica.lane.desk.large.BTC-USDT", 4, 2 }, { "meltica.lane.desk.all.BTC-USDT", 4, 3 },
    };
    assert_int_equal(world.count, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(world.sent[i].subject, wanted[i].subject);
        assert_int_equal(world.sent[i].sequence, wanted[i].sequence);
        assert_int_equal(world.sent[i].previous, wanted[i].previous);
    }
    struct mlt_lanes_counts counts;
    mlt_lanes_counts(world.lanes, &counts);
    assert_int_equal(counts.filtered, 2);
    assert_int_equal(counts.out, 6);
    assert_int_equal(counts.lanes, 3);
}

static void test_one_that_did_not_leave_shows_in_the_next(void **state)
{
    (void)state;
    static const struct lane_line lines[] = { { MLT_EVENT_TRADE, "BTC-USDT", "l", 0, NULL, NULL,
                                                NULL } };
    set(lines, 1);
    trade(1, 1);
    world.broken = true;
    trade(1, 1);
    world.broken = false;
    trade(1, 1);
    assert_int_equal(world.count, 2);
    assert_int_equal(world.sent[1].sequence, 3);
    assert_int_equal(world.sent[1].previous, 2); /* the consumer has 1 */
}

static void test_a_filter_never_hides_that_a_book_is_not_live(void **state)
{
    (void)state;
    static const struct lane_line lines[] = { { MLT_EVENT_BOOK, "BTC-USDT", "wide", 0, "spread_bps",
                                                "gt", "5" } };
    set(lines, 1);
    book(MLT_BOOK_LIVE); /* no spread at all: does not pass */
    assert_int_equal(world.count, 0);
    book(MLT_BOOK_STALE);
    assert_int_equal(world.count, 1);
    assert_int_equal(world.sent[0].state, MLT_BOOK_STALE);
}

static void test_a_lane_has_no_more_than_is_its_own(void **state)
{
    (void)state;
    static const struct lane_line lines[] = {
        { MLT_EVENT_TRADE, "BTC-USDT", "t", 0, NULL, NULL, NULL },
        { MLT_EVENT_BOOK_DELTA, "ETH-USDT", "d", 0, NULL, NULL, NULL },
    };
    set(lines, 2);
    quote();
    book(MLT_BOOK_LIVE);
    assert_int_equal(world.count, 0);
    notice(MLT_STATUS_LOST, MLT_EVENT_BBO); /* not of this lane */
    assert_int_equal(world.count, 0);
    notice(MLT_STATUS_LOST, MLT_EVENT_TRADE);
    notice(MLT_STATUS_HEADS, MLT_EVENT_NONE); /* nothing was sent: no heads */
    assert_int_equal(world.count, 1);
    trade(1, 1);
    notice(MLT_STATUS_HEADS, MLT_EVENT_NONE);
    assert_int_equal(world.count, 3);
    assert_int_equal(world.sent[2].kind, MLT_STATUS_HEADS);
}

static void test_a_lane_that_stays_goes_on_and_one_that_ends_is_silent(void **state)
{
    (void)state;
    static const struct lane_line lines[] = {
        { MLT_EVENT_TRADE, "BTC-USDT", "stays", 0, NULL, NULL, NULL },
        { MLT_EVENT_BBO, "BTC-USDT", "ends", 100, NULL, NULL, NULL },
    };
    set(lines, 2);
    trade(1, 1);
    quote();
    quote(); /* waits */
    assert_int_equal(world.count, 2);
    set(lines, 1);
    world.now_ns += MLT_NS_PER_S;
    mlt_lanes_flush(world.lanes, true);
    quote();
    assert_int_equal(world.count, 2);
    trade(1, 1);
    assert_int_equal(world.count, 3);
    assert_int_equal(world.sent[2].previous, 1);
    world.sequences[MLT_EVENT_TRADE] = 0; /* another owner counts from 1 */
    struct mlt_event e = event_of(MLT_EVENT_TRADE);
    e.epoch = 8;
    mlt_lanes_event(world.lanes, &e);
    assert_int_equal(world.sent[3].previous, 0);
}

/* ---- throttle ---- */

static void test_a_change_of_state_does_not_wait(void **state)
{
    (void)state;
    static const struct lane_line lines[] = { { MLT_EVENT_BOOK, "BTC-USDT", "b", 250, NULL, NULL,
                                                NULL } };
    set(lines, 1);
    book(MLT_BOOK_LIVE);
    book(MLT_BOOK_LIVE); /* waits */
    book(MLT_BOOK_GAP);
    assert_int_equal(world.count, 2);
    assert_int_equal(world.sent[1].state, MLT_BOOK_GAP);
    assert_int_equal(world.sent[0].merged, 2);
    assert_int_equal(world.sent[1].merged, 5); /* six states */
    assert_int_equal(world.sent[1].first, 20);
    book(MLT_BOOK_GAP);
    book(MLT_BOOK_GAP);
    book(MLT_BOOK_GAP);
    notice(MLT_STATUS_LOST, MLT_EVENT_NONE); /* what waits goes before it */
    assert_int_equal(world.count, 4);
    assert_int_equal(world.sent[2].type, MLT_EVENT_BOOK);
    assert_int_equal(world.sent[2].merged, 8); /* nine states */
    assert_int_equal(world.sent[2].first, 40);
    assert_true(world.sent[2].conflated);
    assert_int_equal(world.sent[3].kind, MLT_STATUS_LOST);
}

/* Each window ends by itself, whichever was opened last. */
static void test_lanes_of_different_windows_each_keep_their_own(void **state)
{
    (void)state;
    static const struct lane_line lines[] = {
        { MLT_EVENT_BBO, "BTC-USDT", "fast", 100, NULL, NULL, NULL },
        { MLT_EVENT_BBO, "BTC-USDT", "slow", 300, NULL, NULL, NULL },
    };
    set(lines, 2);
    const int64_t start = world.now_ns;
    quote();
    world.now_ns += 10 * MLT_NS_PER_MS;
    quote();
    assert_int_equal(world.count, 2);
    assert_true(mlt_lanes_due_ns(world.lanes) == start + 100 * MLT_NS_PER_MS);
    world.now_ns = start + 100 * MLT_NS_PER_MS;
    mlt_lanes_flush(world.lanes, false);
    assert_int_equal(world.count, 3);
    assert_true(world.sent[2].throttled_ns == 90 * MLT_NS_PER_MS);
    assert_true(mlt_lanes_due_ns(world.lanes) == start + 300 * MLT_NS_PER_MS);
    world.now_ns = start + 300 * MLT_NS_PER_MS;
    mlt_lanes_flush(world.lanes, false);
    assert_int_equal(world.count, 4);
    assert_true(world.sent[3].throttled_ns == 290 * MLT_NS_PER_MS);
    assert_int_equal(world.sent[3].last, 20);
    assert_true(mlt_lanes_due_ns(world.lanes) == INT64_MAX);
}

static void test_heads_are_those_of_the_epoch(void **state)
{
    (void)state;
    static const struct lane_line lines[] = { { MLT_EVENT_TRADE, "BTC-USDT", "t", 0, NULL, NULL,
                                                NULL } };
    set(lines, 1);
    trade(1, 1);
    notice(MLT_STATUS_HEADS, MLT_EVENT_NONE);
    assert_int_equal(world.count, 2);
    struct mlt_event e = event_of(MLT_EVENT_STATUS);
    e.sequence = 0;
    e.epoch = 8;
    e.u.status.kind = MLT_STATUS_HEADS;
    mlt_lanes_event(world.lanes, &e);
    assert_int_equal(world.count, 2); /* nothing of the new owner's has left on it */
}

/* For any input: the first at once, at most one a window, the last state always, and nothing
 * uncounted: sequence - lane_previous = merged + 1. */
static void check_throttle(uint64_t seed, size_t events, int64_t window_ns)
{
    static struct lane_line lines[] = { { MLT_EVENT_BBO, "BTC-USDT", "q", 100, NULL, NULL, NULL } };
    lines[0].throttle_ms = (uint32_t)(window_ns / MLT_NS_PER_MS);
    set(lines, 1);
    world.count = 0;
    uint64_t random = seed;
    for (size_t i = 0; i < events; i++) {
        random = mlt_mix64(random + i);
        const int64_t wait_ns = (int64_t)(random % 4 == 0 ? random % (uint64_t)(3 * window_ns)
                                                          : random % (uint64_t)MLT_NS_PER_MS);
        /* The clock stops where something is due, as the thread does. */
        const int64_t until_ns = world.now_ns + wait_ns;
        while (mlt_lanes_due_ns(world.lanes) <= until_ns) {
            world.now_ns = mlt_lanes_due_ns(world.lanes);
            mlt_lanes_flush(world.lanes, false);
        }
        world.now_ns = until_ns;
        quote();
    }
    world.now_ns += window_ns;
    mlt_lanes_flush(world.lanes, false);
    assert_true(mlt_lanes_due_ns(world.lanes) == INT64_MAX);
    assert_true(world.count > 0);
    uint64_t sum = 0;
    for (size_t i = 0; i < world.count; i++) {
        const struct sent *s = &world.sent[i];
        sum += s->merged + 1;
        assert_int_equal(s->first, s->last - 10 * (int64_t)s->merged);
        if (i > 0) {
            assert_true(s->at_ns - s[-1].at_ns >= window_ns);
            assert_int_equal(s->previous, s[-1].sequence);
            assert_int_equal(s->sequence - s->previous, s->merged + 1);
        }
    }
    assert_int_equal(sum, events);
    assert_int_equal(world.sent[world.count - 1].sequence, world.sequences[MLT_EVENT_BBO]);
    set(lines, 0);
}

static void test_throttle_holds_for_any_input(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        check_throttle(seed, 1 + seed % 60, (int64_t)(1 + seed % 300) * MLT_NS_PER_MS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_only_what_passes_leaves_and_names_the_one_before,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_one_that_did_not_leave_shows_in_the_next, begin, end),
        cmocka_unit_test_setup_teardown(test_a_filter_never_hides_that_a_book_is_not_live, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_a_lane_has_no_more_than_is_its_own, begin, end),
        cmocka_unit_test_setup_teardown(test_a_lane_that_stays_goes_on_and_one_that_ends_is_silent,
                                        begin, end),
        cmocka_unit_test_setup_teardown(test_a_change_of_state_does_not_wait, begin, end),
        cmocka_unit_test_setup_teardown(test_lanes_of_different_windows_each_keep_their_own, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_heads_are_those_of_the_epoch, begin, end),
        cmocka_unit_test_setup_teardown(test_throttle_holds_for_any_input, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
