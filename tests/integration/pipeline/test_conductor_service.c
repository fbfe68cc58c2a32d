/* The real Conductor and Data Bus between a feeding Dispatcher and a checking consumer: what a
 * consumer must and must not see when Conductors are killed, replaced, or without JetStream. */
#include "flow_peers.h"

#include <signal.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"

#define WAIT_NS (20 * MLT_NS_PER_S)
#define RATE 300u /* rounds of 3 x FLOW_INSTRUMENTS events a second */

static struct {
    struct server server;
    struct feeder feeder;
    struct consumer consumer;
    struct process conductor, second, data_bus;
} flow;

static void flow_start(bool jetstream)
{
    server_start(&flow.server, jetstream, "");
    feeder_start(&flow.feeder, flow.server.url);
    consumer_start(&flow.consumer, flow.server.url);
    process_start(&flow.data_bus, "meltica-data-bus", flow.server.url, NULL);
    process_start(&flow.conductor, "meltica-conductor", flow.server.url, NULL);
}

/* Also after a failure: nothing may stay behind. */
static int flow_end(void **state)
{
    (void)state;
    process_kill(&flow.conductor);
    process_kill(&flow.second);
    process_kill(&flow.data_bus);
    consumer_end(&flow.consumer);
    feeder_end(&flow.feeder);
    server_end(&flow.server);
    memset(&flow, 0, sizeof flow);
    return 0;
}

static void test_canonical_events_come_out_numbered_from_one(void **state)
{
    (void)state;
    flow_start(true);
    for (unsigned round = 0; round < 200; round++) {
        for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
            feeder_send(&flow.feeder, i);
        }
    }
    consumer_wait(&flow.consumer, &flow.feeder);
    consumer_assert_clean(&flow.consumer);
    /* 3 x 200 an instrument, its EPOCH_STARTED and its book's SYNCING, each exactly once. */
    assert_int_equal(flow.consumer.events, FLOW_INSTRUMENTS * 602);
    assert_int_equal(flow.consumer.epochs, FLOW_INSTRUMENTS);
    assert_int_equal(flow.consumer.ignored, 0);
    char page[65536];
    size_t from = 0;
    process_wait_log(&flow.conductor, "\"event\":\"ready\"", &from);
    from = 0;
    process_wait_log(&flow.data_bus, "\"event\":\"ready\"", &from);
    assert_int_equal(process_get(&flow.conductor, "/readyz", page, sizeof page), 200);
    assert_int_equal(process_get(&flow.data_bus, "/readyz", page, sizeof page), 200);
    assert_true(process_page_until(&flow.conductor,
                                   "meltica_stage_duration_seconds_count{stage=\"conduct\"} 4800",
                                   page, sizeof page));
    assert_true(
        process_page_until(&flow.conductor, "meltica_conductor_in_total 4800", page, sizeof page));
    assert_non_null(strstr(page, "\nmeltica_conductor_duplicates_total 0\n"));
    assert_non_null(strstr(page, "\nmeltica_hop_received_batches_total{hop=\"canonical\"} "));
    assert_int_equal(process_end(&flow.conductor), 0);
    assert_int_equal(process_end(&flow.data_bus), 0);
}

static void test_a_conductor_killed_under_load_leaves_no_hole_and_no_repeat(void **state)
{
    (void)state;
    flow_start(true);
    feeder_run(&flow.feeder, RATE);
    assert_true(consumer_wait_epochs(&flow.consumer, FLOW_INSTRUMENTS));
    for (unsigned kill = 0; kill < 3; kill++) {
        assert_true(consumer_wait_events(&flow.consumer, consumer_events(&flow.consumer) + 3000));
        process_kill(&flow.conductor);
        process_start(&flow.conductor, "meltica-conductor", flow.server.url, NULL);
        assert_true(consumer_wait_epochs(&flow.consumer, (kill + 2) * FLOW_INSTRUMENTS));
    }
    assert_true(consumer_wait_events(&flow.consumer, consumer_events(&flow.consumer) + 3000));
    feeder_pause(&flow.feeder);
    consumer_wait(&flow.consumer, &flow.feeder);
    /* Positions without a hole or a repeat, and each epoch names where the one before it ended. */
    consumer_assert_clean(&flow.consumer);
    assert_int_equal(flow.consumer.epochs, 4 * FLOW_INSTRUMENTS);
}

static void test_a_second_conductor_takes_over_and_the_first_falls_silent(void **state)
{
    (void)state;
    flow_start(true);
    feeder_run(&flow.feeder, RATE);
    assert_true(consumer_wait_epochs(&flow.consumer, FLOW_INSTRUMENTS));
    const char *const other[] = { "--instance", "conductor-other", NULL };
    struct process *owner = &flow.conductor, *next = &flow.second;
    for (uint64_t turn = 2; turn <= 6; turn++) {
        assert_true(consumer_wait_events(&flow.consumer, consumer_events(&flow.consumer) + 1000));
        process_start(next, "meltica-conductor", flow.server.url, turn % 2 == 0 ? other : NULL);
        size_t from = 0;
        process_wait_log(owner, "\"event\":\"standby\"", &from);
        assert_true(consumer_wait_epochs(&flow.consumer, turn * FLOW_INSTRUMENTS));
        /* It is well: it would take over at any time. */
        char page[65536];
        assert_int_equal(process_get(owner, "/readyz", page, sizeof page), 200);
        assert_int_equal(process_get(owner, "/livez", page, sizeof page), 200);
        from = 0;
        process_wait_log(next, "\"event\":\"ready\"", &from);
        assert_int_equal(process_get(next, "/readyz", page, sizeof page), 200);
        /* The standby may go, and nobody notices. */
        assert_int_equal(process_end(owner), 0);
        struct process *const gone = owner;
        owner = next;
        next = gone;
    }
    assert_true(consumer_wait_events(&flow.consumer, consumer_events(&flow.consumer) + 1000));
    feeder_pause(&flow.feeder);
    consumer_wait(&flow.consumer, &flow.feeder);
    consumer_assert_clean(&flow.consumer);
    assert_int_equal(flow.consumer.epochs, 6 * FLOW_INSTRUMENTS);
}

static void test_without_jetstream_the_time_is_the_epoch(void **state)
{
    (void)state;
    const uint64_t before = (uint64_t)mlt_clock_wall_ns();
    flow_start(false);
    feeder_run(&flow.feeder, RATE);
    assert_true(consumer_wait_epochs(&flow.consumer, FLOW_INSTRUMENTS));
    /* Its batches have been acknowledged: else the next one must say LOST to be honest. */
    assert_true(consumer_wait_events(&flow.consumer, consumer_events(&flow.consumer) + 3000));
    process_kill(&flow.conductor);
    process_start(&flow.conductor, "meltica-conductor", flow.server.url, NULL);
    assert_true(consumer_wait_epochs(&flow.consumer, 2 * FLOW_INSTRUMENTS));
    feeder_pause(&flow.feeder);
    consumer_wait(&flow.consumer, &flow.feeder);
    consumer_assert_clean(&flow.consumer);
    assert_int_equal(flow.consumer.epochs, 2 * FLOW_INSTRUMENTS);
    const uint64_t epoch = flow.consumer.channels[0][MLT_EVENT_TRADE].epoch;
    assert_true(epoch > before && epoch < (uint64_t)mlt_clock_wall_ns());
    size_t from = 0;
    process_wait_log(&flow.conductor, "\"event\":\"epoch_by_time\"", &from);
}

static void test_nats_may_come_after_the_services(void **state)
{
    (void)state;
    server_start(&flow.server, true, "");
    server_stop(&flow.server);
    process_start(&flow.data_bus, "meltica-data-bus", flow.server.url, NULL);
    process_start(&flow.conductor, "meltica-conductor", flow.server.url, NULL);
    size_t from = 0;
    process_wait_log(&flow.conductor, "\"event\":\"listening\"", &from);
    char page[65536];
    assert_int_equal(process_get(&flow.conductor, "/readyz", page, sizeof page), 503);
    server_restart(&flow.server);
    feeder_start(&flow.feeder, flow.server.url);
    consumer_start(&flow.consumer, flow.server.url);
    feeder_run(&flow.feeder, RATE);
    assert_true(consumer_wait_events(&flow.consumer, 1000));
    feeder_pause(&flow.feeder);
    consumer_wait(&flow.consumer, &flow.feeder);
    consumer_assert_clean(&flow.consumer);
}

/* One that was started later than the other one believes in it gets its own back from it. */
static void await_half(struct process *conductor)
{
    char page[65536];
    assert_true(
        process_page_until(conductor, "meltica_conductor_owned_partitions 2", page, sizeof page));
}

static void epochs_of_all(uint64_t epochs[FLOW_INSTRUMENTS])
{
    (void)pthread_mutex_lock(&flow.consumer.mutex);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        epochs[i] = flow.consumer.channels[i][MLT_EVENT_TRADE].epoch;
    }
    (void)pthread_mutex_unlock(&flow.consumer.mutex);
}

static bool is_of_second(unsigned instrument)
{
    const uint32_t slot = mlt_instrument_slot(mlt_slice_of_string(feeder_token(instrument)));
    return slot % FLOW_PARTITIONS % 2 == 1;
}

/* Until each of the second one's has an owner that claimed since. */
static void await_second(const uint64_t before[FLOW_INSTRUMENTS])
{
    const int64_t until_ns = mlt_clock_mono_ns() + WAIT_NS;
    uint64_t now[FLOW_INSTRUMENTS];
    bool all = false;
    while (!all) {
        assert_true(mlt_clock_mono_ns() < until_ns);
        assert_true(consumer_wait_events(&flow.consumer, consumer_events(&flow.consumer) + 1));
        epochs_of_all(now);
        all = true;
        for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
            all = all && (!is_of_second(i) || now[i] > before[i]);
        }
    }
}

static void test_replicas_share_the_partitions(void **state)
{
    uint64_t before[FLOW_INSTRUMENTS], after[FLOW_INSTRUMENTS];
    (void)state;
    server_start(&flow.server, true, "");
    feeder_start(&flow.feeder, flow.server.url);
    consumer_start(&flow.consumer, flow.server.url);
    process_start(&flow.data_bus, "meltica-data-bus", flow.server.url, NULL);
    const char *const first[] = { "--replicas", "2", "--replica", "0", NULL };
    const char *const second[] = { "--replicas", "2", "--replica", "1", NULL };
    process_start(&flow.conductor, "meltica-conductor", flow.server.url, first);
    process_start(&flow.second, "meltica-conductor", flow.server.url, second);
    feeder_run(&flow.feeder, RATE);
    assert_true(consumer_wait_epochs(&flow.consumer, FLOW_INSTRUMENTS));
    assert_true(consumer_wait_events(&flow.consumer, consumer_events(&flow.consumer) + 2000));
    await_half(&flow.conductor);
    await_half(&flow.second);
    assert_true(consumer_wait_events(&flow.consumer, consumer_events(&flow.consumer) + 2000));
    epochs_of_all(before);
    char page[65536];
    assert_int_equal(process_get(&flow.conductor, "/metrics", page, sizeof page), 200);
    assert_non_null(strstr(page, "\nmeltica_conductor_stale_owner_total 0\n"));
    /* One dies; the other's partitions do not notice, and its own go on when it is back. */
    process_kill(&flow.second);
    process_start(&flow.second, "meltica-conductor", flow.server.url, second);
    await_second(before);
    feeder_pause(&flow.feeder);
    consumer_wait(&flow.consumer, &flow.feeder);
    consumer_assert_clean(&flow.consumer);
    epochs_of_all(after);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        assert_true(is_of_second(i) || after[i] == before[i]);
    }
}

/* An owner without JetStream had the time as epoch; the claims of the next one are below it. */
static void test_an_epoch_below_the_last_owners_is_raised(void **state)
{
    (void)state;
    server_start(&flow.server, true, "");
    feeder_start(&flow.feeder, flow.server.url);
    consumer_start(&flow.consumer, flow.server.url);
    process_start(&flow.data_bus, "meltica-data-bus", flow.server.url, NULL);
    size_t from = 0;
    process_wait_log(&flow.data_bus, "\"event\":\"ready\"", &from);
    const uint64_t high = (uint64_t)(mlt_clock_wall_ns() + 3600 * MLT_NS_PER_S);
    for (uint32_t p = 0; p < FLOW_PARTITIONS; p++) {
        feeder_fence(&flow.feeder, p, high);
    }
    process_start(&flow.conductor, "meltica-conductor", flow.server.url, NULL);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        feeder_send(&flow.feeder, i);
    }
    consumer_wait(&flow.consumer, &flow.feeder);
    consumer_assert_clean(&flow.consumer);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        assert_int_equal(flow.consumer.channels[i][MLT_EVENT_TRADE].epoch, high + 1);
    }
    from = 0;
    process_wait_log(&flow.conductor, "\"event\":\"epoch_raised\"", &from);
}

static void test_a_restart_of_nats_changes_no_number(void **state)
{
    (void)state;
    flow_start(true);
    feeder_run(&flow.feeder, RATE);
    assert_true(consumer_wait_epochs(&flow.consumer, FLOW_INSTRUMENTS));
    assert_true(consumer_wait_events(&flow.consumer, consumer_events(&flow.consumer) + 2000));
    server_restart(&flow.server);
    assert_true(consumer_wait_events(&flow.consumer, consumer_events(&flow.consumer) + 5000));
    feeder_pause(&flow.feeder);
    consumer_wait(&flow.consumer, &flow.feeder);
    /* The live lane is at most once: what the server had in hand is a hole that the consumer sees
     * by the sequence, and nothing else. */
    assert_int_equal(flow.consumer.epochs, FLOW_INSTRUMENTS);
    assert_int_equal(flow.consumer.bad_epochs, 0);
    assert_int_equal(flow.consumer.unknown, 0);
    assert_true(flow.consumer.disorder <= flow.consumer.holes);
    assert_int_equal(flow.consumer.lost, 0);
}

/* After a restart of NATS a Conductor may be quicker than the Data Bus that knows its past. */
static void test_a_data_bus_that_connects_again_is_waited_for(void **state)
{
    (void)state;
    flow_start(true);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        feeder_send(&flow.feeder, i);
    }
    consumer_wait(&flow.consumer, &flow.feeder);
    process_kill(&flow.conductor);
    assert_int_equal(kill(flow.data_bus.pid, SIGSTOP), 0);
    server_restart(&flow.server);
    assert_int_equal(mlt_bus_wait_connected(flow.consumer.bus, 20 * MLT_NS_PER_S), MLT_OK);
    assert_true(mlt_bus_rtt_ns(flow.consumer.bus) > 0); /* it is subscribed again */
    process_start(&flow.conductor, "meltica-conductor", flow.server.url, NULL);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        feeder_send(&flow.feeder, i);
    }
    size_t from = 0;
    process_wait_log(&flow.conductor, "\"event\":\"heads_awaited\"", &from);
    assert_int_equal(kill(flow.data_bus.pid, SIGCONT), 0);
    consumer_wait(&flow.consumer, &flow.feeder);
    assert_int_equal(flow.consumer.epochs, 2 * FLOW_INSTRUMENTS);
    assert_int_equal(flow.consumer.bad_epochs, 0);
    assert_int_equal(flow.consumer.disorder, 0);
    assert_false(process_has_logged(&flow.conductor, "\"event\":\"heads_none\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_canonical_events_come_out_numbered_from_one, flow_end),
        cmocka_unit_test_teardown(test_a_conductor_killed_under_load_leaves_no_hole_and_no_repeat,
                                  flow_end),
        cmocka_unit_test_teardown(test_a_second_conductor_takes_over_and_the_first_falls_silent,
                                  flow_end),
        cmocka_unit_test_teardown(test_without_jetstream_the_time_is_the_epoch, flow_end),
        cmocka_unit_test_teardown(test_nats_may_come_after_the_services, flow_end),
        cmocka_unit_test_teardown(test_replicas_share_the_partitions, flow_end),
        cmocka_unit_test_teardown(test_an_epoch_below_the_last_owners_is_raised, flow_end),
        cmocka_unit_test_teardown(test_a_restart_of_nats_changes_no_number, flow_end),
        cmocka_unit_test_teardown(test_a_data_bus_that_connects_again_is_waited_for, flow_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
