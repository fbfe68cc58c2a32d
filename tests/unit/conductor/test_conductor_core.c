#include "mlt_test.h"

#include "core.h"

#define SEEN_MAX 4096

struct seen {
    size_t count;
    struct mlt_event events[SEEN_MAX];
};

static int64_t fixed_now(void *ctx)
{
    (void)ctx;
    return 1000;
}

static void on_emit(void *ctx, uint32_t partition, const struct mlt_event *event)
{
    struct seen *seen = ctx;
    (void)partition;
    assert_true(seen->count < SEEN_MAX);
    seen->events[seen->count++] = *event;
}

static struct seen seen;
static const struct mlt_clock clock_fixed = { fixed_now, fixed_now, NULL };

static struct mlt_conductor_core *core_with_epoch(uint64_t epoch)
{
    struct mlt_conductor_core *core = NULL;
    const struct mlt_conductor_ports ports = { .emit = on_emit,
                                               .ctx = &seen,
                                               .clock = &clock_fixed };
    seen.count = 0;
    assert_int_equal(mlt_conductor_core_create(4, &ports, &core), MLT_OK);
    for (uint32_t s = 0; s < MLT_SLOT_COUNT; s++) {
        mlt_conductor_core_set_epoch(core, s, epoch);
    }
    return core;
}

static enum mlt_status send_event(struct mlt_conductor_core *core, enum mlt_event_type type,
                                  int64_t first, int64_t last)
{
    struct mlt_event e;
    memset(&e, 0, sizeof e);
    e.instrument = MLT_SLICE_LITERAL("BTC-USDT");
    e.type = type;
    e.first = first;
    e.last = last;
    e.stamps.received = last;
    if (type == MLT_EVENT_BOOK_SNAPSHOT) {
        e.rest_function = MLT_SLICE_LITERAL("depth");
        e.u.book_snapshot.last_update_id = last;
    } else {
        e.u.kline.interval = MLT_SLICE_LITERAL("1m");
    }
    return mlt_conductor_core_event(core, &e);
}

static const struct mlt_event *last_seen(void)
{
    return &seen.events[seen.count - 1];
}

static void test_epoch_started_comes_first_and_sequences_count_from_one_per_type(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_epoch(7);
    assert_int_equal(send_event(core, MLT_EVENT_BBO, 5, 5), MLT_OK);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.events[0].type, MLT_EVENT_STATUS);
    assert_int_equal(seen.events[0].u.status.kind, MLT_STATUS_EPOCH_STARTED);
    assert_int_equal(seen.events[0].sequence, 1);
    for (int64_t id = 10; id < 15; id++) {
        assert_int_equal(send_event(core, MLT_EVENT_TRADE, id, id), MLT_OK);
        assert_int_equal(last_seen()->sequence, id - 9);
        assert_int_equal(last_seen()->epoch, 7);
        assert_int_equal(last_seen()->stamps.conducted, 1000);
    }
    mlt_conductor_core_destroy(core);
}

static void test_repeats_are_dropped_by_source_position(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_epoch(1);
    static const struct {
        enum mlt_event_type type;
        int64_t first, last;
        bool passes;
    } steps[] = {
        { MLT_EVENT_BOOK_DELTA, 10, 20, true },
        { MLT_EVENT_BOOK_DELTA, 10, 20, false },
        { MLT_EVENT_BOOK_DELTA, 12, 19, false },
        { MLT_EVENT_BOOK_DELTA, 15, 25, true }, /* overlap */
        { MLT_EVENT_BBO, 30, 30, true },
        { MLT_EVENT_BBO, 30, 30, false },
        { MLT_EVENT_BBO, 29, 29, false },
        { MLT_EVENT_KLINE, 100, 110, true },
        { MLT_EVENT_KLINE, 100, 110, false },
        { MLT_EVENT_KLINE, 100, 112, true },
        { MLT_EVENT_KLINE, 160, 112, true },
        { MLT_EVENT_TICKER, 5, 5, true },
        { MLT_EVENT_TICKER, 5, 5, false },
        { MLT_EVENT_BOOK_SNAPSHOT, 9, 9, true },
        { MLT_EVENT_BOOK_SNAPSHOT, 9, 9, false },
    };
    assert_int_equal(send_event(core, MLT_EVENT_TRADE, 1, 1),
                     MLT_OK); /* EPOCH_STARTED is out of the way */
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        const size_t before = seen.count;
        assert_int_equal(send_event(core, steps[i].type, steps[i].first, steps[i].last), MLT_OK);
        assert_int_equal(seen.count - before, steps[i].passes ? 1 : 0);
    }
    struct mlt_conductor_counts counts;
    mlt_conductor_core_counts(core, &counts);
    assert_int_equal(counts.duplicates, 7);
    mlt_conductor_core_destroy(core);
}

/* ---- missing trades ---- */

static struct {
    unsigned count;
    enum mlt_event_type type;
    int64_t first, last;
} asked;
static int64_t trades_now_ns;

static int64_t trades_mono(void *ctx)
{
    (void)ctx;
    return trades_now_ns;
}

static const struct mlt_clock trades_clock = { fixed_now, trades_mono, NULL };

static void on_backfill(void *ctx, struct mlt_slice instrument, enum mlt_event_type type,
                        int64_t first, int64_t last)
{
    (void)ctx;
    assert_true(mlt_slice_equal_string(instrument, "BTC-USDT"));
    asked.count++;
    asked.type = type;
    asked.first = first;
    asked.last = last;
}

static struct mlt_conductor_core *core_with_trades(void)
{
    struct mlt_conductor_core *core = NULL;
    const struct mlt_conductor_ports ports = {
        .emit = on_emit, .backfill = on_backfill, .ctx = &seen, .clock = &trades_clock
    };
    static const struct mlt_trades_options options = { 5000, 500, 10000, 5000 };
    seen.count = 0;
    memset(&asked, 0, sizeof asked);
    trades_now_ns = 0;
    assert_int_equal(mlt_conductor_core_create(4, &ports, &core), MLT_OK);
    mlt_conductor_core_trades(core, &options);
    for (uint32_t s = 0; s < MLT_SLOT_COUNT; s++) {
        mlt_conductor_core_set_epoch(core, s, 1);
    }
    return core;
}

static void send_trade(struct mlt_conductor_core *core, enum mlt_event_type type, int64_t id,
                       bool fetched)
{
    struct mlt_event e;
    memset(&e, 0, sizeof e);
    e.instrument = MLT_SLICE_LITERAL("BTC-USDT");
    e.type = type;
    e.first = e.last = id;
    e.quality = fetched ? 0 : MLT_QUALITY_CONTIGUOUS;
    e.rest_function = fetched ? MLT_SLICE_LITERAL("historicalTrades") : MLT_SLICE_EMPTY;
    assert_int_equal(mlt_conductor_core_event(core, &e), MLT_OK);
}

static void expect_trade_status(const struct mlt_event *e, enum mlt_status_kind kind,
                                const char *reason, enum mlt_event_type type, int64_t first,
                                int64_t last)
{
    assert_int_equal(e->type, MLT_EVENT_STATUS);
    assert_int_equal(e->u.status.kind, kind);
    assert_true(mlt_slice_equal_string(e->u.status.reason, reason));
    assert_int_equal(e->u.status.lost_type, type);
    assert_int_equal(e->u.status.update_first, first);
    assert_int_equal(e->u.status.update_last, last);
    assert_true(e->sequence > 0);
}

static void test_window_of_late_trades_ends_at_its_1024th_id(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_trades();
    send_trade(core, MLT_EVENT_TRADE, 5000, true); /* fetched: nobody misses it */
    assert_int_equal(seen.count, 0);
    send_trade(core, MLT_EVENT_TRADE, 5000, false);
    const size_t before = seen.count;
    send_trade(core, MLT_EVENT_TRADE, 5000 - 1024, false);
    assert_int_equal(seen.count, before);
    send_trade(core, MLT_EVENT_TRADE, 5000 - 1023, false);
    assert_int_equal(seen.count, before + 1);
    send_trade(core, MLT_EVENT_TRADE, 5000 - 1023, false);
    assert_int_equal(seen.count, before + 1);
    mlt_conductor_core_destroy(core);
}

static void test_missing_trades_are_asked_for_and_filled_in_once(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_trades();
    send_trade(core, MLT_EVENT_TRADE, 100, false);
    send_trade(core, MLT_EVENT_TRADE, 101, false);
    assert_int_equal(last_seen()->quality & MLT_QUALITY_AFTER_GAP, 0);
    assert_int_equal(mlt_conductor_core_due_ns(core), INT64_MAX);
    /* More than the window of late trades lies between. */
    send_trade(core, MLT_EVENT_TRADE, 3000, false);
    assert_true((last_seen()->quality & MLT_QUALITY_AFTER_GAP) != 0);
    assert_int_equal(mlt_conductor_core_due_ns(core), 500);
    send_trade(core, MLT_EVENT_TRADE, 105, false); /* late by itself, far below the window */
    assert_true((last_seen()->quality & MLT_QUALITY_LATE) != 0);
    size_t before = seen.count;
    send_trade(core, MLT_EVENT_TRADE, 105, false);
    send_trade(core, MLT_EVENT_TRADE, 99, false);
    send_trade(core, MLT_EVENT_TRADE, 50, true); /* fetched, and nobody misses it */
    assert_int_equal(seen.count, before);
    trades_now_ns = 500;
    mlt_conductor_core_tick(core);
    assert_int_equal(asked.count, 1);
    assert_int_equal(asked.type, MLT_EVENT_TRADE);
    assert_int_equal(asked.first, 102);
    assert_int_equal(asked.last, 1101);
    assert_int_equal(seen.count, before + 2);
    expect_trade_status(&seen.events[before], MLT_STATUS_MISSING, "id_gap", MLT_EVENT_TRADE, 102,
                        104);
    expect_trade_status(&seen.events[before + 1], MLT_STATUS_MISSING, "id_gap", MLT_EVENT_TRADE,
                        106, 2999);
    mlt_conductor_core_backfill_answered(core, MLT_SLICE_LITERAL("BTC-USDT"), MLT_EVENT_TRADE, 102,
                                         MLT_TRADES_TAKEN);
    before = seen.count;
    for (int64_t id = 102; id <= 1101; id++) {
        send_trade(core, MLT_EVENT_TRADE, id, true);
    }
    assert_int_equal(seen.count, before + 999); /* 105 came before */
    assert_int_equal(last_seen()->quality, MLT_QUALITY_BACKFILLED | MLT_QUALITY_LATE);
    assert_int_equal(last_seen()->sequence, 4 + 999);
    send_trade(core, MLT_EVENT_TRADE, 1101, false);
    send_trade(core, MLT_EVENT_TRADE, 1101, true);
    assert_int_equal(seen.count, before + 999);
    mlt_conductor_core_tick(core);
    assert_int_equal(asked.count, 2);
    assert_int_equal(asked.first, 1102);
    struct mlt_conductor_counts counts;
    mlt_conductor_core_counts(core, &counts);
    assert_int_equal(counts.trades_gaps, 1);
    assert_int_equal(counts.trades_missing, 2898);
    assert_int_equal(counts.trades_filled, 999);
    mlt_conductor_core_destroy(core);
}

static void test_what_will_not_come_is_told_in_its_place(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_trades();
    send_trade(core, MLT_EVENT_AGG_TRADE, 10, false);
    send_trade(core, MLT_EVENT_AGG_TRADE, 10000, false); /* more than may be missing */
    expect_trade_status(&seen.events[seen.count - 2], MLT_STATUS_UNFILLABLE, "too_many",
                        MLT_EVENT_AGG_TRADE, 11, 9999);
    send_trade(core, MLT_EVENT_AGG_TRADE, 10003, false);
    trades_now_ns = 500;
    mlt_conductor_core_tick(core);
    mlt_conductor_core_backfill_answered(core, MLT_SLICE_LITERAL("BTC-USDT"), MLT_EVENT_AGG_TRADE,
                                         10001, MLT_TRADES_NO);
    expect_trade_status(last_seen(), MLT_STATUS_UNFILLABLE, "refused", MLT_EVENT_AGG_TRADE, 10001,
                        10002);
    /* An answer without it. */
    send_trade(core, MLT_EVENT_AGG_TRADE, 10006, false);
    trades_now_ns = 2000;
    mlt_conductor_core_tick(core);
    send_trade(core, MLT_EVENT_AGG_TRADE, 10005, true);
    expect_trade_status(&seen.events[seen.count - 2], MLT_STATUS_UNFILLABLE, "absent",
                        MLT_EVENT_AGG_TRADE, 10004, 10004);
    struct mlt_conductor_counts counts;
    mlt_conductor_core_counts(core, &counts);
    assert_int_equal(counts.trades_unfillable[MLT_TRADES_TOO_MANY], 9989);
    assert_int_equal(counts.trades_unfillable[MLT_TRADES_REFUSED], 2);
    assert_int_equal(counts.trades_unfillable[MLT_TRADES_ABSENT], 1);
    mlt_conductor_core_destroy(core);
}

static void test_without_the_word_that_every_id_comes_none_is_missing(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_trades();
    assert_int_equal(send_event(core, MLT_EVENT_TRADE, 100, 100), MLT_OK);
    assert_int_equal(send_event(core, MLT_EVENT_TRADE, 200, 200), MLT_OK);
    assert_int_equal(last_seen()->quality, 0);
    assert_int_equal(mlt_conductor_core_due_ns(core), INT64_MAX);
    mlt_conductor_core_destroy(core);
}

static void test_an_id_below_zero_is_no_gaps_beginning(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_trades();
    send_trade(core, MLT_EVENT_TRADE, INT64_MIN, false);
    send_trade(core, MLT_EVENT_TRADE, -12, false);
    send_trade(core, MLT_EVENT_TRADE, 5, false);
    assert_int_equal(mlt_conductor_core_due_ns(core), INT64_MAX);
    send_trade(core, MLT_EVENT_TRADE, INT64_MAX, false); /* more than may be missing */
    expect_trade_status(&seen.events[seen.count - 2], MLT_STATUS_UNFILLABLE, "too_many",
                        MLT_EVENT_TRADE, 6, INT64_MAX - 1);
    mlt_conductor_core_destroy(core);
}

static void test_another_epoch_ends_what_was_missing(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_trades();
    send_trade(core, MLT_EVENT_TRADE, 100, false);
    send_trade(core, MLT_EVENT_TRADE, 110, false);
    for (uint32_t s = 0; s < MLT_SLOT_COUNT; s++) {
        mlt_conductor_core_set_epoch(core, s, 2);
    }
    trades_now_ns = 500;
    mlt_conductor_core_tick(core);
    assert_int_equal(asked.count, 0);
    const size_t before = seen.count;
    send_trade(core, MLT_EVENT_TRADE, 105, true);
    assert_int_equal(seen.count, before);
    send_trade(core, MLT_EVENT_TRADE, 113, false);
    assert_int_equal(seen.events[before].u.status.kind, MLT_STATUS_EPOCH_STARTED);
    trades_now_ns = 1500;
    mlt_conductor_core_tick(core);
    assert_int_equal(asked.first, 111);
    assert_int_equal(asked.last, 112);
    mlt_conductor_core_destroy(core);
}

static void test_a_late_trade_passes_once_and_is_marked(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_epoch(1);
    assert_int_equal(send_event(core, MLT_EVENT_TRADE, 100, 100), MLT_OK);
    assert_int_equal(send_event(core, MLT_EVENT_TRADE, 200, 200), MLT_OK);
    const size_t before = seen.count;
    assert_int_equal(send_event(core, MLT_EVENT_TRADE, 150, 150), MLT_OK);
    assert_int_equal(seen.count, before + 1);
    assert_true((last_seen()->quality & MLT_QUALITY_LATE) != 0);
    assert_int_equal(send_event(core, MLT_EVENT_TRADE, 150, 150), MLT_OK);
    assert_int_equal(send_event(core, MLT_EVENT_TRADE, 100, 100), MLT_OK);
    assert_int_equal(seen.count, before + 1);
    /* Every id of a window comes exactly once, whatever the order. */
    for (int64_t id = 1200; id > 201; id--) {
        assert_int_equal(send_event(core, MLT_EVENT_TRADE, id, id), MLT_OK);
        assert_int_equal(send_event(core, MLT_EVENT_TRADE, id, id), MLT_OK);
    }
    assert_int_equal(seen.count, before + 1 + 999);
    mlt_conductor_core_destroy(core);
}

static void test_two_candle_intervals_with_one_event_time_both_pass(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_epoch(1);
    struct mlt_event e;
    memset(&e, 0, sizeof e);
    e.instrument = MLT_SLICE_LITERAL("BTC-USDT");
    e.type = MLT_EVENT_KLINE;
    e.first = 60;
    e.last = 100;
    e.u.kline.interval = MLT_SLICE_LITERAL("1m");
    struct mlt_event five = e;
    five.u.kline.interval = MLT_SLICE_LITERAL("5m");
    assert_int_equal(mlt_conductor_core_event(core, &e), MLT_OK);
    assert_int_equal(mlt_conductor_core_event(core, &five), MLT_OK);
    assert_int_equal(seen.count, 3);
    mlt_conductor_core_destroy(core);
}

static void test_a_new_owner_goes_on_where_the_heads_say(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_epoch(12);
    const struct mlt_head heads[] = { { MLT_EVENT_BOOK_DELTA, 40, 500 },
                                      { MLT_EVENT_TRADE, 9, 77 } };
    const struct mlt_instrument_heads from = {
        .instrument = MLT_SLICE_LITERAL("BTC-USDT"), .epoch = 11, .head_count = 2, .heads = heads
    };
    assert_int_equal(mlt_conductor_core_seed(core, &from), MLT_OK);
    assert_int_equal(send_event(core, MLT_EVENT_BOOK_DELTA, 490, 500),
                     MLT_OK); /* delivered before */
    assert_int_equal(send_event(core, MLT_EVENT_TRADE, 77, 77), MLT_OK);
    assert_int_equal(seen.count, 0);
    assert_int_equal(send_event(core, MLT_EVENT_TRADE, 78, 78), MLT_OK);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.events[0].u.status.previous_epoch, 11);
    assert_int_equal(seen.events[0].u.status.head_count, 2);
    assert_int_equal(seen.events[0].u.status.heads[0].sequence, 40);
    assert_int_equal(seen.events[1].sequence, 1);
    assert_int_equal(seen.events[1].epoch, 12);
    mlt_conductor_core_destroy(core);
}

static void test_a_loss_is_said_in_place_and_marks_what_follows(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_epoch(1);
    assert_int_equal(send_event(core, MLT_EVENT_BBO, 1, 1), MLT_OK);
    const uint32_t partition = mlt_instrument_slot(MLT_SLICE_LITERAL("BTC-USDT")) % 4;
    mlt_conductor_core_lost(core, (partition + 1) % 4, "other");
    assert_int_equal(seen.count, 2);
    mlt_conductor_core_lost(core, partition, "hop");
    assert_int_equal(seen.count, 3);
    assert_int_equal(last_seen()->u.status.kind, MLT_STATUS_LOST);
    assert_int_equal(last_seen()->sequence, 2); /* of the STATUS channel, after EPOCH_STARTED */
    assert_int_equal(send_event(core, MLT_EVENT_BBO, 5, 5), MLT_OK);
    assert_true((last_seen()->quality & MLT_QUALITY_AFTER_GAP) != 0);
    assert_int_equal(send_event(core, MLT_EVENT_BBO, 6, 6), MLT_OK);
    assert_true((last_seen()->quality & MLT_QUALITY_AFTER_GAP) == 0);
    mlt_conductor_core_destroy(core);
}

static void test_an_owner_that_was_outbid_emits_nothing(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_epoch(1);
    mlt_conductor_core_set_epoch(core, mlt_instrument_slot(MLT_SLICE_LITERAL("BTC-USDT")), 0);
    assert_int_equal(send_event(core, MLT_EVENT_BBO, 1, 1), MLT_E_STALE_OWNER);
    mlt_conductor_core_lost(core, mlt_instrument_slot(MLT_SLICE_LITERAL("BTC-USDT")) % 4, "hop");
    assert_int_equal(seen.count, 0);
    mlt_conductor_core_destroy(core);
}

static void test_heads_name_the_channels_that_moved_and_no_others(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_epoch(3);
    assert_int_equal(send_event(core, MLT_EVENT_BBO, 1, 1), MLT_OK);
    mlt_conductor_core_heads(core, UINT64_MAX);
    assert_int_equal(last_seen()->u.status.kind, MLT_STATUS_HEADS);
    assert_int_equal(last_seen()->sequence, 0);
    assert_int_equal(last_seen()->u.status.head_count, 2); /* BBO and STATUS */
    const size_t before = seen.count;
    mlt_conductor_core_heads(core, UINT64_MAX);
    assert_int_equal(seen.count, before);
    mlt_conductor_core_destroy(core);
}

/* Who was away when a channel moved last finds it, though nothing moves any more. */
static void test_each_tenth_heads_name_all_channels(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_epoch(3);
    assert_int_equal(send_event(core, MLT_EVENT_BBO, 1, 1), MLT_OK);
    assert_int_equal(send_event(core, MLT_EVENT_TRADE, 7, 7), MLT_OK);
    mlt_conductor_core_heads(core, UINT64_MAX);
    for (unsigned round = 0; round < 3; round++) {
        const size_t before = seen.count;
        for (unsigned turn = 1; turn < 10; turn++) {
            assert_int_equal(seen.count, before);
            mlt_conductor_core_heads(core, UINT64_MAX);
        }
        assert_int_equal(seen.count, before + 1);
        assert_int_equal(last_seen()->u.status.kind, MLT_STATUS_HEADS);
        assert_int_equal(last_seen()->u.status.head_count, 3); /* TRADE, BBO and STATUS */
        assert_int_equal(last_seen()->u.status.heads[0].sequence, 1);
        mlt_conductor_core_heads(core, UINT64_MAX); /* the first one of the next ten */
    }
    mlt_conductor_core_destroy(core);
}

static void test_heads_are_of_the_slots_that_are_asked_for(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_epoch(3);
    const uint64_t its = UINT64_C(1) << mlt_instrument_slot(MLT_SLICE_LITERAL("BTC-USDT"));
    assert_int_equal(send_event(core, MLT_EVENT_BBO, 1, 1), MLT_OK);
    const size_t before = seen.count;
    mlt_conductor_core_heads(core, ~its);
    assert_int_equal(seen.count, before);
    mlt_conductor_core_heads(core, its);
    assert_int_equal(seen.count, before + 1);
    assert_int_equal(last_seen()->u.status.kind, MLT_STATUS_HEADS);
    mlt_conductor_core_destroy(core);
}

static struct mlt_event candle(const char *interval, int64_t open, int64_t event_time)
{
    struct mlt_event e;
    memset(&e, 0, sizeof e);
    e.instrument = MLT_SLICE_LITERAL("BTC-USDT");
    e.type = MLT_EVENT_KLINE;
    e.first = open;
    e.last = event_time;
    e.u.kline.interval = mlt_slice_of_string(interval);
    return e;
}

static void test_a_new_owner_tells_delivered_candles_by_their_interval(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_epoch(12);
    const struct mlt_head heads[] = { { MLT_EVENT_KLINE, 7, 100 } };
    const struct mlt_candle_head candles[] = {
        { MLT_SLICE_LITERAL("1m"), 60, 100 },
        { MLT_SLICE_LITERAL("5m"), 0, 98 },
    };
    const struct mlt_instrument_heads from = { .instrument = MLT_SLICE_LITERAL("BTC-USDT"),
                                               .epoch = 11,
                                               .head_count = 1,
                                               .heads = heads,
                                               .candle_count = 2,
                                               .candles = candles };
    assert_int_equal(mlt_conductor_core_seed(core, &from), MLT_OK);
    static const struct {
        const char *interval;
        int64_t open, event_time;
        bool passes;
    } steps[] = {
        { "1m", 60, 100, false }, /* delivered */
        { "5m", 0, 98, false },   /* delivered */
        { "5m", 0, 100, true },   /* the same event time as the last of 1m, but not delivered */
        { "1h", 0, 100, true },   /* an interval that was never delivered */
        { "1m", 60, 102, true },
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct mlt_event e = candle(steps[i].interval, steps[i].open, steps[i].event_time);
        struct mlt_conductor_counts before, after;
        mlt_conductor_core_counts(core, &before);
        assert_int_equal(mlt_conductor_core_event(core, &e), MLT_OK);
        mlt_conductor_core_counts(core, &after);
        assert_int_equal(after.duplicates - before.duplicates, steps[i].passes ? 0 : 1);
    }
    assert_int_equal(seen.count, 4); /* EPOCH_STARTED and three candles */
    struct mlt_event late_seed = candle("1m", 60, 104);
    assert_int_equal(mlt_conductor_core_event(core, &late_seed), MLT_OK);
    assert_int_equal(mlt_conductor_core_seed(core, &from), MLT_E_EXISTS);
    mlt_conductor_core_destroy(core);
}

static void test_more_candle_intervals_than_the_exchange_has_are_refused_not_swallowed(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_epoch(1);
    static const char *const intervals[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i", "j",
                                             "k", "l", "m", "n", "o", "p", "q", "r", "s", "t" };
    for (size_t i = 0; i < sizeof intervals / sizeof intervals[0]; i++) {
        struct mlt_event e = candle(intervals[i], 1, 1);
        assert_int_equal(mlt_conductor_core_event(core, &e), MLT_OK);
    }
    struct mlt_event e = candle("u", 1, 1);
    assert_int_equal(mlt_conductor_core_event(core, &e), MLT_E_LIMIT);
    struct mlt_conductor_counts counts;
    mlt_conductor_core_counts(core, &counts);
    assert_int_equal(counts.refused, 1);
    assert_int_equal(counts.duplicates, 0);
    mlt_conductor_core_destroy(core);
}

static enum mlt_status send_status(struct mlt_conductor_core *core, enum mlt_status_kind kind,
                                   int64_t received)
{
    struct mlt_event e;
    memset(&e, 0, sizeof e);
    e.instrument = MLT_SLICE_LITERAL("BTC-USDT");
    e.type = MLT_EVENT_STATUS;
    e.stamps.received = received;
    e.u.status.kind = kind;
    return mlt_conductor_core_event(core, &e);
}

static void test_a_line_that_ends_and_comes_back_is_said_each_time_and_once(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_epoch(2);
    const struct mlt_head heads[] = { { MLT_EVENT_STATUS, 3, 0 } }; /* none with a position */
    const struct mlt_instrument_heads from = {
        .instrument = MLT_SLICE_LITERAL("BTC-USDT"), .epoch = 1, .head_count = 1, .heads = heads
    };
    assert_int_equal(mlt_conductor_core_seed(core, &from), MLT_OK);
    static const struct {
        enum mlt_status_kind kind;
        int64_t received;
        bool passes;
    } steps[] = {
        { MLT_STATUS_SOURCE_DOWN, 50, true }, /* though Meltica's own STATUS came at 1000 */
        { MLT_STATUS_SOURCE_DOWN, 50, false }, { MLT_STATUS_SOURCE_UP, 50, true },
        { MLT_STATUS_SOURCE_UP, 50, false },   { MLT_STATUS_SOURCE_DOWN, 51, true },
        { MLT_STATUS_SOURCE_UP, 50, false },   { MLT_STATUS_SOURCE_DOWN, 50, false },
    };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct mlt_conductor_counts before, after;
        mlt_conductor_core_counts(core, &before);
        assert_int_equal(send_status(core, steps[i].kind, steps[i].received), MLT_OK);
        mlt_conductor_core_counts(core, &after);
        assert_int_equal(after.out - before.out, (steps[i].passes ? 1 : 0) + (i == 0 ? 1 : 0));
    }
    mlt_conductor_core_destroy(core);
}

/* Where the time of its completion tells what is a repeat: what was set back by less than a repeat
 * may be old is taken for one, and whatever is older than that is new. */
static void test_what_a_clock_that_was_set_back_stamps_is_no_repeat(void **state)
{
    (void)state;
    const int64_t then = 1000 * MLT_NS_PER_S, back = then - 10 * MLT_NS_PER_S;
    const struct {
        int64_t received;
        bool passes;
    } steps[] = {
        { then, true },  { then, false },    { back + 1, false },
        { back, true }, /* and goes on from there */
        { back, false }, { back + 1, true }, { back - 3600 * MLT_NS_PER_S, true },
        { then, true }, /* set right again */
    };
    static const enum mlt_event_type types[] = { MLT_EVENT_BOOK_SNAPSHOT, MLT_EVENT_INSTRUMENT };
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        struct mlt_conductor_core *core = core_with_epoch(1);
        assert_int_equal(send_event(core, MLT_EVENT_TRADE, 1, 1), MLT_OK); /* and EPOCH_STARTED */
        for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
            const size_t before = seen.count;
            assert_int_equal(send_event(core, types[t], steps[i].received, steps[i].received),
                             MLT_OK);
            assert_int_equal(seen.count - before, steps[i].passes ? 1 : 0);
        }
        assert_int_equal(last_seen()->sequence, 5);
        mlt_conductor_core_destroy(core);
    }
}

static void test_heads_are_not_sent_for_what_another_owns(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_epoch(3);
    assert_int_equal(send_event(core, MLT_EVENT_BBO, 1, 1), MLT_OK);
    const size_t before = seen.count;
    mlt_conductor_core_set_epoch(core, mlt_instrument_slot(MLT_SLICE_LITERAL("BTC-USDT")), 0);
    mlt_conductor_core_heads(core, UINT64_MAX);
    assert_int_equal(seen.count, before);
    mlt_conductor_core_destroy(core);
}

static void test_a_second_epoch_of_the_same_owner_names_where_its_first_ended(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_epoch(3);
    assert_int_equal(send_event(core, MLT_EVENT_BBO, 1, 1), MLT_OK);
    assert_int_equal(send_event(core, MLT_EVENT_BBO, 2, 2), MLT_OK);
    mlt_conductor_core_set_epoch(core, mlt_instrument_slot(MLT_SLICE_LITERAL("BTC-USDT")), 9);
    assert_int_equal(send_event(core, MLT_EVENT_BBO, 3, 3), MLT_OK);
    assert_int_equal(seen.count, 5);
    const struct mlt_event *started = &seen.events[3];
    assert_int_equal(started->u.status.kind, MLT_STATUS_EPOCH_STARTED);
    assert_int_equal(started->u.status.previous_epoch, 3);
    assert_int_equal(started->u.status.head_count, 2);
    assert_int_equal(started->u.status.heads[0].type, MLT_EVENT_BBO);
    assert_int_equal(started->u.status.heads[0].sequence, 2);
    assert_int_equal(last_seen()->epoch, 9);
    assert_int_equal(last_seen()->sequence, 1);
    mlt_conductor_core_destroy(core);
}

static void
test_a_channel_that_rested_in_the_last_epoch_is_no_head_but_keeps_its_position(void **state)
{
    (void)state;
    struct mlt_conductor_core *core = core_with_epoch(12);
    const struct mlt_head heads[] = { { MLT_EVENT_BBO, 0, 500 }, { MLT_EVENT_TRADE, 9, 77 } };
    const struct mlt_instrument_heads from = {
        .instrument = MLT_SLICE_LITERAL("BTC-USDT"), .epoch = 11, .head_count = 2, .heads = heads
    };
    assert_int_equal(mlt_conductor_core_seed(core, &from), MLT_OK);
    assert_int_equal(send_event(core, MLT_EVENT_BBO, 500, 500), MLT_OK);
    assert_int_equal(seen.count, 0);
    assert_int_equal(send_event(core, MLT_EVENT_BBO, 501, 501), MLT_OK);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.events[0].u.status.head_count, 1);
    assert_int_equal(seen.events[0].u.status.heads[0].type, MLT_EVENT_TRADE);
    mlt_conductor_core_destroy(core);
}

/* ---- allocations ---- */

static size_t allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

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

void *__wrap_realloc(void *memory, size_t size)
{
    allocations++;
    return __real_realloc(memory, size);
}

static uint8_t encoded[4096];

static void on_emit_encode(void *ctx, uint32_t partition, const struct mlt_event *event)
{
    size_t *bytes = ctx;
    (void)partition;
    assert_true(mlt_event_encoded_size(event) <= sizeof encoded);
    *bytes += mlt_event_encode(event, encoded);
}

static void test_after_warm_up_an_event_costs_no_allocation(void **state)
{
    (void)state;
    size_t bytes = 0;
    struct mlt_conductor_core *core = NULL;
    const struct mlt_conductor_ports ports = { .emit = on_emit_encode,
                                               .ctx = &bytes,
                                               .clock = &clock_fixed };
    assert_int_equal(mlt_conductor_core_create(4, &ports, &core), MLT_OK);
    for (uint32_t s = 0; s < MLT_SLOT_COUNT; s++) {
        mlt_conductor_core_set_epoch(core, s, 5);
    }
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 1u << 20);
    const int64_t prices[] = { 100, 99 }, quantities[] = { 5, 0 };
    size_t before = 0;
    for (int64_t n = 1; n <= 1000; n++) {
        struct mlt_event e;
        memset(&e, 0, sizeof e);
        e.instrument = MLT_SLICE_LITERAL("BTC-USDT");
        e.type = MLT_EVENT_BOOK_DELTA;
        e.first = n;
        e.last = n;
        e.u.book_delta.bids = (struct mlt_levels){ -2, -8, 2, prices, quantities };
        uint8_t wire[512];
        const size_t size = mlt_event_encode(&e, wire);
        mlt_arena_reset(&arena);
        struct mlt_event decoded;
        assert_int_equal(mlt_event_decode(mlt_slice_of(wire, size), &arena, &decoded), MLT_OK);
        assert_int_equal(mlt_conductor_core_event(core, &decoded), MLT_OK);
        mlt_conductor_core_heads(core, UINT64_MAX);
        if (n == 1) {
            assert_true(allocations > 0); /* the counter counts */
            before = allocations;
        }
    }
    assert_int_equal(allocations, before);
    assert_true(bytes > 1000);
    mlt_arena_fini(&arena);
    mlt_conductor_core_destroy(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_epoch_started_comes_first_and_sequences_count_from_one_per_type),
        cmocka_unit_test(test_repeats_are_dropped_by_source_position),
        cmocka_unit_test(test_missing_trades_are_asked_for_and_filled_in_once),
        cmocka_unit_test(test_window_of_late_trades_ends_at_its_1024th_id),
        cmocka_unit_test(test_what_will_not_come_is_told_in_its_place),
        cmocka_unit_test(test_without_the_word_that_every_id_comes_none_is_missing),
        cmocka_unit_test(test_another_epoch_ends_what_was_missing),
        cmocka_unit_test(test_an_id_below_zero_is_no_gaps_beginning),
        cmocka_unit_test(test_a_late_trade_passes_once_and_is_marked),
        cmocka_unit_test(test_two_candle_intervals_with_one_event_time_both_pass),
        cmocka_unit_test(test_a_new_owner_goes_on_where_the_heads_say),
        cmocka_unit_test(test_a_loss_is_said_in_place_and_marks_what_follows),
        cmocka_unit_test(test_an_owner_that_was_outbid_emits_nothing),
        cmocka_unit_test(test_heads_name_the_channels_that_moved_and_no_others),
        cmocka_unit_test(test_each_tenth_heads_name_all_channels),
        cmocka_unit_test(test_heads_are_of_the_slots_that_are_asked_for),
        cmocka_unit_test(test_a_new_owner_tells_delivered_candles_by_their_interval),
        cmocka_unit_test(
            test_more_candle_intervals_than_the_exchange_has_are_refused_not_swallowed),
        cmocka_unit_test(test_a_line_that_ends_and_comes_back_is_said_each_time_and_once),
        cmocka_unit_test(test_what_a_clock_that_was_set_back_stamps_is_no_repeat),
        cmocka_unit_test(test_heads_are_not_sent_for_what_another_owns),
        cmocka_unit_test(test_a_second_epoch_of_the_same_owner_names_where_its_first_ended),
        cmocka_unit_test(
            test_a_channel_that_rested_in_the_last_epoch_is_no_head_but_keeps_its_position),
        cmocka_unit_test(test_after_warm_up_an_event_costs_no_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
