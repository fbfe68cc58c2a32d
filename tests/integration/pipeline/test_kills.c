/*
 * Each process of the flow killed with -9 under load: the far side has every event, in order, once
 * (by the consumer's rule), or a STATUS LOST in its place.
 */
#include "mlt_test.h"

#include <stdlib.h>

#include "golden.h"
#include "mlt_consumer.h"

static struct mlt_stack stack;
static struct mlt_consumer consumer;

static bool start(const char *speed)
{
    const char *paths[2];
    if (!golden_main_recording(paths)) {
        return false;
    }
    const struct mlt_stack_options options = {
        .exchange = { "--replay", paths[0], paths[1], "--speed", speed, "--send-all" },
        .adapter = { "--ring-bytes", MAIN_RING_BYTES },
        .dispatcher = { "--ring-bytes", MAIN_RING_BYTES },
        .conductor = { "--ring-bytes", MAIN_RING_BYTES, GOLDEN_CONDUCTOR },
    };
    memset(&consumer, 0, sizeof consumer);
    consumer.look = golden_look;
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
    return true;
}

static void stop(void)
{
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
}

/* Killed twice in the middle of the recording: nothing is lost and nothing is doubled, since the
 * hash over every channel in order is the one that a single process computes without any network.
 */
static void killed_and_complete(const char *name)
{
    const char *paths[2];
    if (!start("30")) {
        skip();
    }
    assert_true(golden_main_recording(paths));
    for (uint64_t at = 15000; at <= 40000; at += 25000) {
        assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BBO, at, 60));
        mlt_stack_kill(&stack, name);
        mlt_stack_run(&stack, name);
    }
    golden_assert_whole(&consumer, paths);
    stop();
}

static void test_dispatcher_killed_nothing_is_lost(void **state)
{
    (void)state;
    killed_and_complete("dispatcher");
}

static void test_conductor_killed_nothing_is_lost(void **state)
{
    (void)state;
    killed_and_complete("conductor");
}

static void test_data_bus_killed_nothing_is_lost(void **state)
{
    (void)state;
    killed_and_complete("data-bus");
}

static bool loss_was_said(void *ctx)
{
    const struct mlt_consumer *c = ctx;
    return c->kinds[MLT_STATUS_LOST] > 0;
}

/* What the exchange sent while nobody listened is gone: that must be said, and the flow go on. */
static void test_adapter_killed_the_loss_is_said_and_the_flow_goes_on(void **state)
{
    (void)state;
    if (!start("50")) {
        skip();
    }
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BBO, 10000, 60));
    mlt_stack_kill(&stack, "adapter");
    mlt_stack_run(&stack, "adapter");
    assert_true(mlt_consumer_wait(&consumer, loss_was_said, &consumer, 20));
    const uint64_t before = mlt_consumer_count(&consumer, MLT_EVENT_BBO);
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BBO, before + 5000, 60));
    struct mlt_tally_totals totals;
    mlt_consumer_totals(&consumer, &totals);
    assert_int_equal(totals.sequence_holes, 0);
    assert_int_equal(totals.duplicates, 0);
    stop();
}

int main(void)
{
    const char *paths[2];
    if (!golden_main_recording(paths)) {
        print_message("skipped: the recordings are absent (MELTICA_CAPTURES)\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dispatcher_killed_nothing_is_lost),
        cmocka_unit_test(test_conductor_killed_nothing_is_lost),
        cmocka_unit_test(test_data_bus_killed_nothing_is_lost),
        cmocka_unit_test(test_adapter_killed_the_loss_is_said_and_the_flow_goes_on),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
