/*
 * Two services that stand next to each other, killed with -9 in the same moment while the later one
 * has a queue: what the earlier one had handed over and the later one had not taken is gone, and
 * must be said.
 */
#include "mlt_test.h"

#include <signal.h>

#include "golden.h"
#include "meltica/base/clock.h"
#include "mlt_consumer.h"

#define BEHIND 1500u /* batches that the earlier one sends to the stopped one */

static struct mlt_stack stack;
static struct mlt_consumer consumer;

static void start(void)
{
    const char *paths[2];
    assert_true(golden_main_recording(paths));
    const struct mlt_stack_options options = { .exchange = { "--replay", paths[0], paths[1],
                                                             "--speed", "20", "--send-all" } };
    memset(&consumer, 0, sizeof consumer);
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
}

static void stop(void)
{
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
}

/* Lets the earlier one run ahead of the stopped later one, then kills both and starts both. */
static void kill_both(const char *earlier, const char *later, const char *out_metric)
{
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BBO, 3000, 60));
    assert_int_equal(kill(mlt_stack_pid(&stack, later), SIGSTOP), 0);
    const uint64_t before = mlt_stack_metric(&stack, earlier, out_metric, "");
    const int64_t end = mlt_clock_mono_ns() + 20 * MLT_NS_PER_S;
    while (mlt_stack_metric(&stack, earlier, out_metric, "") < before + BEHIND &&
           mlt_clock_mono_ns() < end) {
    }
    assert_true(mlt_stack_metric(&stack, earlier, out_metric, "") >= before + BEHIND);
    mlt_stack_kill(&stack, earlier);
    mlt_stack_kill(&stack, later);
    mlt_stack_run(&stack, later);
    mlt_stack_run(&stack, earlier);
}

static void await_more(void)
{
    const uint64_t at = mlt_consumer_count(&consumer, MLT_EVENT_BBO);
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BBO, at + 3000, 60));
}

static void test_dispatcher_and_conductor(void **state)
{
    struct mlt_tally_totals totals;
    (void)state;
    start();
    kill_both("dispatcher", "conductor", "meltica_dispatcher_out_total");
    await_more();
    mlt_consumer_totals(&consumer, &totals);
    assert_true(totals.gaps > 0); /* else the test has shown nothing */
    assert_true(totals.lost > 0);
    assert_int_equal(totals.epoch_ends_unknown, 0);
    assert_int_equal(totals.sequence_holes, 0);
    stop();
}

/* Both ends of the numbering are new: the next epoch begins without naming the one before, and that
 * is what a consumer goes by. */
static void test_conductor_and_data_bus(void **state)
{
    struct mlt_tally_totals totals;
    (void)state;
    start();
    kill_both("conductor", "data-bus", "meltica_conductor_out_total");
    await_more();
    mlt_consumer_totals(&consumer, &totals);
    assert_true(totals.gaps > 0);
    assert_true(totals.lost > 0 || totals.epoch_ends_unknown > 0);
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
        cmocka_unit_test(test_dispatcher_and_conductor),
        cmocka_unit_test(test_conductor_and_data_bus),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
