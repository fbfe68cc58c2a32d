/* What the Dispatcher keeps for a Conductor that is away: enough, or said to be too little. */
#include "dispatcher_rig.h"

#include <signal.h>

#include "meltica/base/clock.h"

#define TABLE                                                                                      \
    "{\"version\":1,\"routes\":[{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"}],"                  \
    "\"subscriptions\":[{\"id\":\"t\",\"type\":\"TRADE\",\"instruments\":[\"BTC-USDT\"]}]}"
#define BEFORE 50
#define AWAY                                                                                       \
    6000 /* more than a share of the smallest ring, and much less than one of the largest */
#define OUT "meltica_dispatcher_out_total"
#define OVERRUN "meltica_hop_overrun_batches_total{hop=\"canonical\"}"
#define UNACKED "meltica_hop_unacked_bytes{hop=\"canonical\"}"
#define RING "meltica_hop_ring_bytes{hop=\"canonical\"}"

static struct rig rig;

static void send(int from, int to)
{
    for (int n = from; n < to; n++) {
        const struct mlt_native_event trade = rig_instance(MLT_EVENT_TRADE, "BTC-USDT", n);
        rig_send(&rig, &trade);
    }
}

static void await_out(int64_t count)
{
    const int64_t until_ns = mlt_clock_mono_ns() + RIG_WAIT_NS;
    while (rig_metric(&rig, OUT) < count) {
        assert_true(mlt_clock_mono_ns() < until_ns);
    }
}

/* Of what the Conductor took the Dispatcher knows: it would come again otherwise. */
static void await_acked(void)
{
    const int64_t until_ns = mlt_clock_mono_ns() + RIG_WAIT_NS;
    while (rig_metric(&rig, UNACKED) != 0) {
        assert_true(mlt_clock_mono_ns() < until_ns);
    }
}

static bool has_last(struct rig *r, const void *ctx)
{
    const int64_t *last = ctx;
    return r->event_count > 0 && r->events[r->event_count - 1].first == *last;
}

/* The Conductor goes, so much is dispatched, and it comes back. */
static void lose_conductor(const char *const *options)
{
    const int64_t last = BEFORE + AWAY - 1;
    rig_start(&rig, true, TABLE);
    rig_run_dispatcher_with(&rig, options);
    rig_wait_serves(&rig);
    send(0, BEFORE);
    assert_true(rig_wait_events(&rig, BEFORE));
    await_acked();
    rig_end_conductor(&rig);
    send(BEFORE, BEFORE + AWAY);
    await_out(BEFORE + AWAY);
    rig_run_conductor(&rig);
    assert_true(rig_wait(&rig, has_last, &last));
}

static void end(void)
{
    assert_int_equal(process_end(&rig.dispatcher, SIGTERM), 0);
    rig_end(&rig);
}

static void test_a_ring_that_is_large_enough_has_all_of_it(void **state)
{
    static const char *const options[] = { "--ring-bytes", "67108864", NULL };
    (void)state;
    lose_conductor(options);
    assert_int_equal(rig_metric(&rig, RING), 67108864 / (int)RIG_PARTITIONS);
    assert_int_equal(rig_metric(&rig, OVERRUN), 0);
    assert_int_equal(rig.losses, 0);
    assert_int_equal(rig.event_count, BEFORE + AWAY);
    for (size_t i = 0; i < rig.event_count; i++) {
        assert_int_equal(rig.events[i].first, i);
    }
    end();
}

/* What there is no room for is gone, and the first event behind it says so. */
static void test_what_a_ring_that_is_too_small_loses_is_said(void **state)
{
    static const char *const options[] = { "--ring-bytes", "1048576", NULL };
    (void)state;
    lose_conductor(options);
    assert_int_equal(rig_metric(&rig, RING), 1048576 / (int)RIG_PARTITIONS);
    assert_true(rig_metric(&rig, OVERRUN) > 0);
    assert_true(rig.losses > 0);
    assert_true(rig.event_count > BEFORE && rig.event_count < BEFORE + AWAY);
    for (size_t i = 1; i < rig.event_count; i++) { /* nothing is missing but where that is said */
        assert_true(rig.events[i].first == rig.events[i - 1].first + 1 ||
                    (rig.events[i].lost_before && rig.events[i].first > rig.events[i - 1].first));
    }
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_ring_that_is_large_enough_has_all_of_it),
        cmocka_unit_test(test_what_a_ring_that_is_too_small_loses_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
