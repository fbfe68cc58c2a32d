/*
 * Conductors that share the partitions, one of which stops in some way under flow: the others own
 * what it had, each book is LIVE again within two seconds, and a consumer misses nothing and gets
 * nothing twice. There is no repeat to be ignored.
 */
#include "standby_rig.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

static uint64_t metric(unsigned conductor, const char *name)
{
    return process_metric(&rig.conductors[conductor], name);
}

static void assert_owned(unsigned conductor, uint64_t partitions)
{
    assert_int_equal(metric(conductor, "meltica_conductor_owned_partitions"), partitions);
}

static uint64_t taken(unsigned conductor)
{
    return metric(conductor, "meltica_conductor_takeovers_total{reason=\"silent\"}") +
           metric(conductor, "meltica_conductor_takeovers_total{reason=\"released\"}") +
           metric(conductor, "meltica_conductor_takeovers_total{reason=\"home\"}");
}

#define OF_0 (1u << 0 | 1u << 2) /* of two replicas */
#define OF_1 (1u << 1 | 1u << 3)

static void test_an_owner_killed_under_load_is_replaced(void **state)
{
    (void)state;
    rig_start(true, 2, 1);
    for (unsigned turn = 0; turn < 2; turn++) { /* each of them once */
        const unsigned gone = 1 - turn, stays = turn;
        struct place then = place();
        int64_t at = mlt_clock_mono_ns();
        process_kill(&rig.conductors[gone]);
        assert_in_time("killed", await_live(&then, gone == 0 ? OF_0 : OF_1, at));
        assert_owned(stays, FLOW_PARTITIONS);
        assert_int_equal(metric(stays, "meltica_conductor_takeovers_total{reason=\"silent\"}"), 2);
        /* It is back, and has its own. */
        then = place();
        at = mlt_clock_mono_ns();
        run_conductor(gone, "2");
        assert_in_time("back", await_live(&then, gone == 0 ? OF_0 : OF_1, at));
        size_t from = 0;
        process_wait_log(&rig.conductors[stays], "\"event\":\"standby\"", &from);
        assert_owned(stays, 2);
        assert_owned(gone, 2);
        char page[4096];
        assert_int_equal(process_get(&rig.conductors[stays], "/readyz", page, sizeof page), 200);
    }
    assert_int_equal(metric(0, "meltica_conductor_peers"), 1);
    assert_complete();
}

static void test_an_owner_that_ends_hands_over_at_once(void **state)
{
    (void)state;
    rig_start(true, 2, 1);
    struct place then = place();
    assert_int_equal(process_end(&rig.conductors[1]), 0);
    const int64_t at = mlt_clock_mono_ns();
    assert_in_time("ended", await_live(&then, OF_1, at));
    assert_int_equal(metric(0, "meltica_conductor_takeovers_total{reason=\"released\"}"), 2);
    assert_int_equal(metric(0, "meltica_conductor_takeovers_total{reason=\"silent\"}"), 0);
    assert_owned(0, FLOW_PARTITIONS);
    assert_complete();
}

static void test_an_owner_that_slept_stands_by_and_has_its_own_back(void **state)
{
    (void)state;
    rig_start(true, 2, 1);
    struct place then = place();
    int64_t at = mlt_clock_mono_ns();
    rig_hold(1);
    assert_int_equal(kill(rig.conductors[1].pid, SIGSTOP), 0);
    assert_in_time("stopped", await_live(&then, OF_1, at));
    assert_owned(0, FLOW_PARTITIONS);
    then = place();
    rig_let_go(1);
    assert_int_equal(kill(rig.conductors[1].pid, SIGCONT), 0);
    size_t from = 0;
    process_wait_log(&rig.conductors[1], "\"event\":\"standby\"", &from);
    assert_owned(1, 0);
    (void)await_live(&then, 0, 0); /* nobody else notices */
    assert_clean();
    /* Without a restart. */
    (void)await_live(&then, OF_1, 0);
    assert_int_equal(metric(1, "meltica_conductor_takeovers_total{reason=\"home\"}"), 2);
    from = 0;
    process_wait_log(&rig.conductors[0], "\"event\":\"standby\"", &from);
    assert_owned(0, 2);
    assert_owned(1, 2);
    assert_complete();
}

/* It announces itself before it learns that it was replaced, also to a Data Bus that knows nothing
 * of it: whoever took over is heard all the same. */
static void test_an_owner_that_slept_is_not_taken_for_new_by_a_new_data_bus(void **state)
{
    (void)state;
    rig_start(true, 2, 2);
    rig.repeating = true;
    struct place then = place();
    rig_hold(1);
    assert_int_equal(kill(rig.conductors[1].pid, SIGSTOP), 0);
    (void)await_live(&then, OF_1, 0);
    process_kill(&rig.data_buses[0]);
    then = place();
    (void)await_live(&then, 0, 0);
    rig_let_go(1);
    assert_int_equal(kill(rig.conductors[1].pid, SIGCONT), 0);
    size_t from = 0;
    process_wait_log(&rig.conductors[1], "\"event\":\"standby\"", &from);
    /* Some rounds, but not until it has its own back: on a busy machine they take their time. */
    const struct place asleep = place();
    const int64_t until_ns = mlt_clock_mono_ns() + 5 * MLT_NS_PER_S;
    for (unsigned round = 0; round < 10 && mlt_clock_mono_ns() < until_ns; round++) {
        then = place();
        (void)await_live(&then, 0, 0);
    }
    assert_clean();
    (void)await_live(&asleep, OF_1, 0); /* it is well: it has its own back */
    assert_owned(1, 2);
    assert_complete();
}

/* As a rolling update does it: one after the other is told the new number. */
static void test_scaled_from_two_to_three_and_back(void **state)
{
    (void)state;
    rig_start(true, 2, 1);
    struct place then = place();
    run_conductor(2, "3");
    (void)await_live(&then, 1u << 2, 0);
    for (unsigned n = 2; n-- > 0;) {
        then = place();
        assert_int_equal(process_end(&rig.conductors[n]), 0);
        (void)await_live(&then, n == 1 ? OF_1 : 1u << 0 | 1u << 3, 0); /* 3 waits for number 0 */
        then = place();
        run_conductor(n, "3");
        (void)await_live(&then, n == 1 ? 1u << 1 : 1u << 0 | 1u << 3, 0);
    }
    assert_owned(0, 2);
    assert_owned(1, 1);
    assert_owned(2, 1);
    assert_clean();
    then = place();
    assert_int_equal(process_end(&rig.conductors[2]), 0);
    (void)await_live(&then, 1u << 2, 0);
    for (unsigned n = 2; n-- > 0;) {
        then = place();
        assert_int_equal(process_end(&rig.conductors[n]), 0);
        (void)await_live(&then, n == 1 ? 1u << 1 : OF_0, 0);
        then = place();
        run_conductor(n, "2");
        (void)await_live(&then, n == 1 ? OF_1 : OF_0, 0);
    }
    assert_owned(0, 2);
    assert_owned(1, 2);
    assert_complete();
}

/* Nobody is heard while NATS is away, and nobody takes anything for that. */
static void test_nats_killed_changes_no_owner(void **state)
{
    (void)state;
    rig_start(true, 3, 1);
    rig.repeating = true;
    rig.lossy = true;
    for (unsigned turn = 0; turn < 2; turn++) {
        struct place then = place();
        rig_hold(BEATERS);
        if (turn == 0) {
            server_restart(&rig.server);
        } else { /* away for longer than an owner may be silent */
            server_stop(&rig.server);
            const int64_t until = mlt_clock_mono_ns() + 2 * MLT_NS_PER_S;
            const struct timespec end = { .tv_sec = until / MLT_NS_PER_S,
                                          .tv_nsec = until % MLT_NS_PER_S };
            (void)pthread_mutex_lock(&rig.mutex);
            while (mlt_clock_mono_ns() < until) {
                (void)pthread_cond_timedwait(&rig.changed, &rig.mutex, &end);
            }
            (void)pthread_mutex_unlock(&rig.mutex);
            server_restart(&rig.server);
        }
        rig_let_go(BEATERS);
        (void)await_live(&then, 0, 0);
        for (unsigned round = 0; round < 40; round++) { /* 3 x 50 ms each: past all that waits */
            then = place();
            (void)await_live(&then, 0, 0);
        }
    }
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(taken(n), 0);
        assert_int_equal(metric(n, "meltica_conductor_outbid_total"), 0);
        assert_true(metric(n, "meltica_conductor_beats_unsent_total") > 0);
    }
    assert_clean();
}

static void test_what_is_no_beat_changes_nothing_and_is_counted(void **state)
{
    (void)state;
    rig_start(true, 2, 1);
    struct place then = place();
    assert_int_equal(mlt_bus_publish(rig.bus, "meltica.int.owners.conductor",
                                     mlt_slice_of_string("a beat, believe me")),
                     MLT_OK);
    size_t from = 0;
    process_wait_log(&rig.conductors[0], "\"event\":\"beat_unreadable\"", &from);
    assert_int_equal(metric(0, "meltica_conductor_beats_unreadable_total"), 1);
    assert_int_equal(metric(0, "meltica_conductor_beats_unsent_total"), 0);
    (void)await_live(&then, 0, 0);
    assert_owned(0, 2);
    assert_complete();
}

/* A claim that cannot be written is none: the owner might live, and never learn of it. */
static void test_without_jetstream_nobody_stands_in(void **state)
{
    (void)state;
    rig_start(false, 2, 1);
    struct place then = place();
    process_kill(&rig.conductors[1]);
    rig.ownerless = OF_1;
    size_t from = 0;
    process_wait_log(&rig.conductors[0], "\"event\":\"takeover_failed\"", &from);
    assert_owned(0, 2);
    (void)await_live(&then, 0, 0);
    run_conductor(1, "2"); /* it numbers from the time, as ever */
    from = 0;
    process_wait_log(&rig.conductors[1], "\"event\":\"epoch_by_time\"", &from);
    pause_feeding();
    assert_clean();
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_an_owner_killed_under_load_is_replaced, rig_end),
        cmocka_unit_test_teardown(test_an_owner_that_ends_hands_over_at_once, rig_end),
        cmocka_unit_test_teardown(test_an_owner_that_slept_stands_by_and_has_its_own_back, rig_end),
        cmocka_unit_test_teardown(test_an_owner_that_slept_is_not_taken_for_new_by_a_new_data_bus,
                                  rig_end),
        cmocka_unit_test_teardown(test_scaled_from_two_to_three_and_back, rig_end),
        cmocka_unit_test_teardown(test_nats_killed_changes_no_owner, rig_end),
        cmocka_unit_test_teardown(test_what_is_no_beat_changes_nothing_and_is_counted, rig_end),
        cmocka_unit_test_teardown(test_without_jetstream_nobody_stands_in, rig_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return standby_run(run_all);
}
