/*
 * The whole flow with two Conductors and two Data Buses, of a recording whose every event is known.
 * One after the other is killed with -9 or told to end, and none is started again before the next
 * one is due: the hash over every channel in order is the one that a single process computes
 * without any network, so that nothing was lost, doubled or exchanged in a take-over.
 */
#include "mlt_test.h"

#include <stdlib.h>

#include "flow_peers.h"
#include "golden.h"
#include "mlt_consumer.h"
#include "mlt_stack.h"

static struct mlt_stack stack;
static struct mlt_consumer consumer;
static struct process conductor_1, data_bus_1;
static const char *paths[2];

static const char *const of_conductor_1[] = {
    "--instance",   "conductor-1",   "--replica",      "1", "--replicas", "2",
    "--ring-bytes", MAIN_RING_BYTES, GOLDEN_CONDUCTOR, NULL
};
static const char *const of_data_bus_1[] = { "--instance", "data-bus-1", "--replica", "1",
                                             "--replicas", "2",          NULL };

static void start(void)
{
    const struct mlt_stack_options options = {
        .exchange = { "--replay", paths[0], paths[1], "--speed", "30", "--send-all" },
        .adapter = { "--ring-bytes", MAIN_RING_BYTES },
        .dispatcher = { "--ring-bytes", MAIN_RING_BYTES },
        .conductor = { "--replicas", "2", "--ring-bytes", MAIN_RING_BYTES, GOLDEN_CONDUCTOR },
        .data_bus = { "--replicas", "2" },
    };
    consumer.look = golden_look;
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    process_start(&data_bus_1, "meltica-data-bus", stack.nats_url, of_data_bus_1);
    process_start(&conductor_1, "meltica-conductor", stack.nats_url, of_conductor_1);
    mlt_stack_run_services(&stack);
}

static void await_takeover(struct process *by, size_t *from)
{
    process_wait_log(by, "\"event\":\"takeover\"", from);
}

static void await_events(uint64_t count)
{
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BBO, count, 60));
}

static void test_every_event_comes_whoever_makes_it(void **state)
{
    size_t conductor_log = 0, data_bus_log = 0;
    (void)state;
    start();
    await_events(8000);
    mlt_stack_kill(&stack, "conductor");
    await_takeover(&conductor_1, &conductor_log);
    await_events(16000);
    mlt_stack_kill(&stack, "data-bus");
    await_takeover(&data_bus_1, &data_bus_log);
    await_events(24000);
    mlt_stack_run(&stack, "conductor"); /* has its own back, and has to take the others */
    await_events(30000);
    process_kill(&conductor_1);
    /* Not before it knows where the one before ended: with that one, what this Data Bus knows would
     * be gone, and the numbers would begin without a past (docs/architecture.md, "Known limits").
     */
    process_wait_log(&data_bus_1, "\"event\":\"heads_asked\"", &data_bus_log);
    await_events(36000);
    mlt_stack_run(&stack, "data-bus"); /* publishes again, and is told to end */
    await_events(42000);
    assert_int_equal(mlt_stack_terminate(&stack, "data-bus"), 0);
    await_takeover(&data_bus_1, &data_bus_log);
    golden_assert_whole(&consumer, paths);
    struct mlt_tally_totals totals;
    mlt_consumer_totals(&consumer, &totals);
    assert_int_equal(totals.epoch_ends_unknown, 0);
    assert_int_equal(process_end(&data_bus_1), 0);
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
}

int main(void)
{
    if (!golden_main_recording(paths)) {
        print_message("skipped: the recordings are absent (MELTICA_CAPTURES)\n");
        return 77;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_event_comes_whoever_makes_it) };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
