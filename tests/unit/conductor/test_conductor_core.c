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
    const struct mlt_conductor_ports ports = { on_emit, &seen, &clock_fixed };
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
    e.u.kline.interval = MLT_SLICE_LITERAL("1m");
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
    const struct mlt_instrument_heads from = { MLT_SLICE_LITERAL("BTC-USDT"), 11, 2, heads };
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
    mlt_conductor_core_heads(core);
    assert_int_equal(last_seen()->u.status.kind, MLT_STATUS_HEADS);
    assert_int_equal(last_seen()->sequence, 0);
    assert_int_equal(last_seen()->u.status.head_count, 2); /* BBO and STATUS */
    const size_t before = seen.count;
    mlt_conductor_core_heads(core);
    assert_int_equal(seen.count, before);
    mlt_conductor_core_destroy(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_epoch_started_comes_first_and_sequences_count_from_one_per_type),
        cmocka_unit_test(test_repeats_are_dropped_by_source_position),
        cmocka_unit_test(test_a_late_trade_passes_once_and_is_marked),
        cmocka_unit_test(test_two_candle_intervals_with_one_event_time_both_pass),
        cmocka_unit_test(test_a_new_owner_goes_on_where_the_heads_say),
        cmocka_unit_test(test_a_loss_is_said_in_place_and_marks_what_follows),
        cmocka_unit_test(test_an_owner_that_was_outbid_emits_nothing),
        cmocka_unit_test(test_heads_name_the_channels_that_moved_and_no_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
