/* What the soak's consumer takes for a loss and what not, and the line through what was measured.
 */
#include "mlt_test.h"

#include "events.h"
#include "meltica/base/clock.h"
#include "soak_probe.h"

#define FIRST UINT64_C(1)

static struct soak_watch w;

static int open_watch(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    soak_watch_open(&w, 2);
    return 0;
}

static int close_watch(void **state)
{
    (void)state;
    soak_watch_free(&w);
    return 0;
}

static struct mlt_event event(enum mlt_event_type type, uint64_t sequence, int64_t id)
{
    const int64_t now_ns = mlt_clock_wall_ns();
    struct mlt_event e = test_event(type, 7, sequence);
    e.instrument = MLT_SLICE_LITERAL("SYM0001-USDT");
    e.first = e.last = id;
    e.trace_id[0] = 1;
    e.stamps.received = e.stamps.adapted = e.stamps.dispatched = e.stamps.conducted =
        e.stamps.published = now_ns;
    return e;
}

static void take(const struct mlt_event *e)
{
    soak_watch_event(&w, e, mlt_clock_wall_ns());
}

static void take_trade(uint64_t sequence, int64_t id)
{
    const struct mlt_event e = event(MLT_EVENT_TRADE, sequence, id);
    take(&e);
}

static void subscribe(void)
{
    soak_watch_asking(&w, MLT_EVENT_TRADE, FIRST);
    soak_watch_in_force(&w, MLT_EVENT_TRADE, FIRST);
}

static void unsubscribe(void)
{
    soak_watch_ending(&w, MLT_EVENT_TRADE, FIRST);
    soak_watch_ended(&w, MLT_EVENT_TRADE, FIRST, true);
}

static void test_a_hole_is_a_loss_while_the_stream_is_in_force(void **state)
{
    (void)state;
    subscribe();
    take_trade(4, 104); /* the first one may have any number */
    take_trade(5, 105);
    assert_int_equal(soak_watch_lost(&w.losses), 0);
    take_trade(8, 106);
    assert_int_equal(w.losses.sequence_holes, 2);
    take_trade(9, 108);
    assert_int_equal(w.losses.exchange_gaps, 1);
    assert_int_equal(soak_watch_lost(&w.losses), 3);
    assert_non_null(strstr(w.losses.first, "sequence: SYM0001-USDT TRADE"));
    take_trade(9, 108);
    assert_int_equal(w.losses.repeats, 1);
}

static void test_a_hole_over_a_time_without_subscription_is_none(void **state)
{
    (void)state;
    subscribe();
    take_trade(1, 101);
    unsubscribe();
    subscribe();
    take_trade(9, 150);
    assert_int_equal(soak_watch_lost(&w.losses), 0);
    assert_int_equal(w.withheld, 7);
    take_trade(11, 151); /* from there on nothing may be missing */
    assert_int_equal(w.losses.sequence_holes, 1);
}

static void test_another_holder_keeps_the_stream_in_force(void **state)
{
    (void)state;
    subscribe();
    subscribe();
    take_trade(1, 101);
    unsubscribe();
    take_trade(3, 103);
    assert_int_equal(w.losses.sequence_holes, 1);
    assert_int_equal(w.losses.exchange_gaps, 1);
    assert_int_equal(w.after_end, 0);
}

static void test_what_leaves_after_its_end_is_seen(void **state)
{
    (void)state;
    subscribe();
    take_trade(1, 101);
    const struct mlt_event on_its_way = event(MLT_EVENT_TRADE, 2, 102);
    unsubscribe();
    take(&on_its_way);
    assert_int_equal(w.after_end, 0);
    take_trade(3, 103);
    assert_int_equal(w.after_end, 1);
    soak_watch_asking(&w, MLT_EVENT_TRADE, FIRST); /* somebody asks again: it may come */
    take_trade(4, 104);
    assert_int_equal(w.after_end, 1);
    soak_watch_refused(&w, MLT_EVENT_TRADE, FIRST);
}

static void test_the_first_event_of_a_subscription_is_timed_once(void **state)
{
    (void)state;
    subscribe();
    take_trade(1, 101);
    take_trade(2, 102);
    assert_int_equal(w.first_event.count, 1);
    subscribe(); /* it flows already */
    take_trade(3, 103);
    assert_int_equal(w.first_event.count, 1);
}

static void test_heads_name_what_did_not_come(void **state)
{
    (void)state;
    const struct mlt_event ticker = event(MLT_EVENT_TICKER, 5, 0);
    take(&ticker);
    struct mlt_event heads = event(MLT_EVENT_STATUS, 0, 0);
    heads.u.status.kind = MLT_STATUS_HEADS;
    heads.u.status.head_count = 2;
    heads.u.status.heads[0] = (struct mlt_head){ MLT_EVENT_TICKER, 8, 0 };
    heads.u.status.heads[1] = (struct mlt_head){ MLT_EVENT_TRADE, 20, 0 }; /* nobody's */
    take(&heads);
    take(&heads);
    assert_int_equal(soak_watch_lost(&w.losses), 3);
}

static void test_a_loss_that_is_said_counts_but_for_what_nobody_had(void **state)
{
    (void)state;
    struct mlt_event lost = event(MLT_EVENT_STATUS, 0, 0);
    lost.u.status.kind = MLT_STATUS_LOST;
    lost.u.status.reason = MLT_SLICE_LITERAL("unrouted");
    lost.u.status.lost_type = MLT_EVENT_TRADE;
    lost.u.status.first = 3;
    lost.u.status.last = 9;
    take(&lost);
    assert_int_equal(soak_watch_lost(&w.losses), 0);
    lost.u.status.reason = MLT_SLICE_LITERAL("hop_overrun");
    take(&lost);
    assert_int_equal(w.losses.lost_notices, 1);
}

static void test_a_lane_is_a_chain(void **state)
{
    (void)state;
    static const char subject[] = "meltica.lane.local.s0123.SYM0001-USDT";
    struct mlt_event e = event(MLT_EVENT_TRADE, 5, 105);
    soak_watch_lane(&w, "s0123", MLT_EVENT_TRADE);
    soak_watch_lane_event(&w, subject, &e, mlt_clock_wall_ns());
    e.sequence = 9; /* others did not pass the filter */
    e.lane_previous = 5;
    soak_watch_lane_event(&w, subject, &e, mlt_clock_wall_ns());
    assert_int_equal(soak_watch_lost(&w.losses), 0);
    e.sequence = 15;
    e.lane_previous = 12;
    soak_watch_lane_event(&w, subject, &e, mlt_clock_wall_ns());
    assert_int_equal(w.losses.lane_holes, 1);
    soak_watch_lane_end(&w, "s0123");
    e.sequence = 30;
    e.lane_previous = 29;
    soak_watch_lane_event(&w, subject, &e, mlt_clock_wall_ns());
    assert_int_equal(w.losses.lane_holes, 1);
}

static void test_an_event_without_trace_or_stamp_is_seen(void **state)
{
    (void)state;
    struct mlt_event e = event(MLT_EVENT_TICKER, 1, 0);
    take(&e);
    assert_int_equal(w.traced, 1);
    e.sequence = 2;
    e.stamps.dispatched = MLT_STAMP_UNKNOWN;
    take(&e);
    assert_int_equal(w.untraced, 1);
    e = event(MLT_EVENT_TICKER, 3, 0);
    e.trace_id[0] = 0;
    take(&e);
    assert_int_equal(w.untraced_by_type[MLT_EVENT_TICKER], 2);
    struct mlt_event status = event(MLT_EVENT_STATUS, 1, 0);
    status.u.status.kind = MLT_STATUS_SYNCING;
    status.stamps.adapted = status.stamps.dispatched = MLT_STAMP_UNKNOWN;
    take(&status);
    assert_int_equal(w.made_inside, 1);
    assert_int_equal(w.traced, 2);
    status.sequence = 2;
    status.stamps.published = MLT_STAMP_UNKNOWN;
    take(&status);
    assert_int_equal(w.untraced, 3);
}

/* A BOOK without the stamps of the stages before is Meltica's own only where nothing new is in it.
 */
static void test_a_book_that_lost_its_stamps_is_no_book_made_inside(void **state)
{
    (void)state;
    struct mlt_event e = event(MLT_EVENT_BOOK, 1, 500);
    take(&e);
    e.sequence = 2;
    e.stamps.adapted = e.stamps.dispatched = MLT_STAMP_UNKNOWN;
    take(&e); /* the same position, another state */
    assert_true(w.made_inside == 1 && w.untraced == 0);
    e.sequence = 3;
    e.first = 501;
    e.last = 503;
    take(&e);
    assert_true(w.made_inside == 1 && w.untraced == 1);
    e.sequence = 4;
    e.merged = 2;
    e.last = 505;
    take(&e);
    assert_int_equal(w.untraced, 2);
    e.epoch++;
    e.sequence = 1;
    e.last = 507;
    take(&e); /* what a new owner was left is not known here */
    assert_true(w.made_inside == 2 && w.untraced == 2);
}

static void test_the_silence_at_the_end_counts(void **state)
{
    (void)state;
    soak_watch_warm(&w);
    struct mlt_event e = event(MLT_EVENT_TICKER, 1, 0);
    take(&e);
    w.last_event_ns -= 5 * MLT_NS_PER_S; /* as if it had come so long ago */
    soak_watch_last_look(&w, mlt_clock_wall_ns());
    assert_true(w.longest_silence_ns >= 5 * MLT_NS_PER_S);
}

/* One stream alone, while all others flow. */
static void test_a_stream_that_says_nothing_is_seen(void **state)
{
    (void)state;
    soak_watch_warm(&w);
    const int64_t from_ns = mlt_clock_wall_ns();
    for (int second = 1; second <= 40; second++) {
        for (unsigned symbol = 0; symbol < 2; symbol++) {
            for (int t = MLT_EVENT_NONE + 1; t < MLT_EVENT_TYPE_COUNT; t++) {
                struct mlt_event e = event((enum mlt_event_type)t, (uint64_t)second, second);
                e.instrument = symbol == 0 ? MLT_SLICE_LITERAL("SYM0001-USDT")
                                           : MLT_SLICE_LITERAL("SYM0002-USDT");
                const bool away = symbol == 1 && t == MLT_EVENT_TICKER && second > 9 && second < 36;
                if (t != MLT_EVENT_TRADE && !away) {
                    soak_watch_event(&w, &e, from_ns + second * MLT_NS_PER_S);
                }
            }
        }
    }
    assert_true(w.stream_silence_ns == 27 * MLT_NS_PER_S);
    assert_string_equal(w.quietest_stream, "SYM0002-USDT TICKER");
    soak_watch_last_look(&w, from_ns + 40 * MLT_NS_PER_S);
    assert_true(w.stream_silence_ns == 27 * MLT_NS_PER_S);
    subscribe(); /* and nothing ever comes of it */
    soak_watch_last_look(&w,
                         w.instruments[0].demands[MLT_EVENT_TRADE].in_force_ns + 70 * MLT_NS_PER_S);
    assert_true(w.stream_silence_ns == 70 * MLT_NS_PER_S);
    unsubscribe();
    w.stream_silence_ns = 0;
    soak_watch_last_look(&w, from_ns + 40 * MLT_NS_PER_S); /* nobody wants it any more */
    assert_true(w.stream_silence_ns < 2 * MLT_NS_PER_S);
    for (int t = MLT_EVENT_NONE + 1; t < MLT_EVENT_TYPE_COUNT; t++) {
        if (t != MLT_EVENT_BOOK_SNAPSHOT) { /* of which the first minutes do not count */
            w.instruments[0].demands[t].in_force_ns = w.instruments[1].demands[t].in_force_ns = 0;
        }
    }
    soak_watch_last_look(&w, w.warm_wall_ns + SOAK_POLLS_LATER_NS + 7 * MLT_NS_PER_S);
    assert_true(w.stream_silence_ns == 7 * MLT_NS_PER_S);
    assert_non_null(strstr(w.quietest_stream, "BOOK_SNAPSHOT"));
}

static void test_a_lane_whose_last_event_is_missing_is_seen(void **state)
{
    (void)state;
    static const char subject[] = "meltica.lane.local.s0123.SYM0001-USDT";
    struct mlt_event e = event(MLT_EVENT_TRADE, 5, 105);
    soak_watch_lane(&w, "s0123", MLT_EVENT_TRADE);
    soak_watch_lane_event(&w, subject, &e, mlt_clock_wall_ns());
    struct mlt_event heads = event(MLT_EVENT_STATUS, 0, 0);
    heads.u.status.kind = MLT_STATUS_HEADS;
    heads.u.status.head_count = 2;
    heads.u.status.heads[0] = (struct mlt_head){ MLT_EVENT_TRADE, 5, 105 };
    heads.u.status.heads[1] = (struct mlt_head){ MLT_EVENT_INSTRUMENT, 9, 0 };
    soak_watch_lane_event(&w, subject, &heads, mlt_clock_wall_ns());
    assert_int_equal(soak_watch_lost(&w.losses), 0);
    heads.u.status.heads[0].sequence = 8;
    soak_watch_lane_event(&w, subject, &heads, mlt_clock_wall_ns());
    soak_watch_lane_event(&w, subject, &heads, mlt_clock_wall_ns());
    assert_int_equal(w.losses.lane_holes, 1);
}

static void test_durations_leave_out_what_a_throttle_held(void **state)
{
    (void)state;
    struct mlt_event e = event(MLT_EVENT_TICKER, 1, 0);
    const int64_t now_ns = e.stamps.received + 1500 * MLT_NS_PER_MS;
    soak_watch_event(&w, &e, now_ns);
    assert_int_equal(w.timed, 0); /* not warm yet */
    soak_watch_warm(&w);
    e.sequence = 2;
    soak_watch_event(&w, &e, now_ns);
    assert_true(w.timed == 1 && w.within_1s == 0);
    assert_int_equal(w.latency.max_ns, 1500 * MLT_NS_PER_MS);
    e.sequence = 3;
    e.throttled_ns = (uint64_t)(1400 * MLT_NS_PER_MS);
    soak_watch_event(&w, &e, now_ns);
    assert_true(w.timed == 2 && w.within_1s == 1);
    e.sequence = 4; /* held for longer than it took: that is none within a second */
    e.throttled_ns = (uint64_t)(3000 * MLT_NS_PER_MS);
    soak_watch_event(&w, &e, now_ns);
    assert_true(w.timed == 3 && w.within_1s == 1);
    e = event(MLT_EVENT_BOOK_SNAPSHOT, 1, 0);
    e.rest_function = MLT_SLICE_LITERAL("depth");
    soak_watch_event(&w, &e, e.stamps.received + 3);
    assert_int_equal(w.kinds[SOAK_POLL].count, 1);
    assert_int_equal(w.instruments[0].polls, 1);
}

static void test_a_line_through_values_has_their_slope(void **state)
{
    (void)state;
    struct soak_series s = { 0 };
    for (int64_t i = 0; i <= 3600; i++) { /* an hour, 1,000 a minute more, and a wobble */
        soak_series_add(&s, 5 * MLT_NS_PER_S + i * MLT_NS_PER_S,
                        50000000 + i * 1000 / 60 + (i % 2 == 0 ? 40 : -40));
    }
    assert_true(soak_series_slope(&s) > 59990 && soak_series_slope(&s) < 60010);
    assert_true(soak_series_growth(&s) > 59990 && soak_series_growth(&s) < 60010);
    assert_true(soak_series_mean(&s) > 50029900 && soak_series_mean(&s) < 50030100);
    assert_true(s.first == 50000040 && s.last == 50060040 && s.max == 50060040);
    struct soak_series flat = { 0 };
    for (int64_t i = 0; i < 100; i++) {
        soak_series_add(&flat, i * MLT_NS_PER_S, 17);
    }
    assert_true(soak_series_slope(&flat) == 0 && soak_series_growth(&flat) == 0);
    assert_true(soak_series_flat(&flat, 0) && soak_series_flat(&s, 60010));
    assert_false(soak_series_flat(&s, 59990));
}

#define WATCH(name) cmocka_unit_test_setup_teardown(name, open_watch, close_watch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WATCH(test_a_hole_is_a_loss_while_the_stream_is_in_force),
        WATCH(test_a_hole_over_a_time_without_subscription_is_none),
        WATCH(test_another_holder_keeps_the_stream_in_force),
        WATCH(test_what_leaves_after_its_end_is_seen),
        WATCH(test_the_first_event_of_a_subscription_is_timed_once),
        WATCH(test_heads_name_what_did_not_come),
        WATCH(test_a_loss_that_is_said_counts_but_for_what_nobody_had),
        WATCH(test_a_lane_is_a_chain),
        WATCH(test_a_lane_whose_last_event_is_missing_is_seen),
        WATCH(test_an_event_without_trace_or_stamp_is_seen),
        WATCH(test_a_book_that_lost_its_stamps_is_no_book_made_inside),
        WATCH(test_the_silence_at_the_end_counts),
        WATCH(test_a_stream_that_says_nothing_is_seen),
        WATCH(test_durations_leave_out_what_a_throttle_held),
        cmocka_unit_test(test_a_line_through_values_has_their_slope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
