/*
 * Data Buses of which one publishes, and stops in some way under flow: another one does, within two
 * seconds, and a consumer misses nothing. What it has already may come again, and is to be ignored.
 */
#include "standby_rig.h"

#include <signal.h>
#include <stdlib.h>

/* Further books of every instrument have come, of the same owners. Returns after how long. */
static int64_t await_flow(int64_t begin)
{
    const struct place then = place();
    (void)await_live(&then, 0, 0);
    return mlt_clock_mono_ns() - begin;
}

/* What flows may still be what another one published. */
static void await_active(unsigned data_bus, uint64_t active)
{
    const int64_t deadline = mlt_clock_mono_ns() + 30 * MLT_NS_PER_S;
    while (process_metric(&rig.data_buses[data_bus], "meltica_bus_active") != active) {
        assert_true(mlt_clock_mono_ns() < deadline);
    }
}

/* Of those from `first` on exactly one says that it publishes: two may for as long as one of them
 * has not heard that it was outbid, and what it says then nobody takes. Which one. */
static unsigned await_one(unsigned first, unsigned count)
{
    const int64_t deadline = mlt_clock_mono_ns() + 30 * MLT_NS_PER_S;
    for (;;) {
        unsigned active = 0, which = 0;
        for (unsigned n = first; n < first + count; n++) {
            if (process_metric(&rig.data_buses[n], "meltica_bus_active") > 0) {
                active++;
                which = n;
            }
        }
        if (active == 1) {
            return which;
        }
        assert_true(mlt_clock_mono_ns() < deadline);
        (void)await_flow(0);
    }
}

/* It has its own back, of all `count`. */
static void await_return(unsigned data_bus, unsigned count)
{
    const int64_t deadline = mlt_clock_mono_ns() + 30 * MLT_NS_PER_S;
    while (await_one(0, count) != data_bus) {
        assert_true(mlt_clock_mono_ns() < deadline);
        (void)await_flow(0);
    }
}

static void test_a_data_bus_killed_under_load_is_replaced(void **state)
{
    (void)state;
    rig_start(true, 1, 2);
    rig.repeating = true;
    await_active(0, 1);
    await_active(1, 0);
    int64_t at = mlt_clock_mono_ns();
    process_kill(&rig.data_buses[0]);
    assert_in_time("Data Bus killed", await_flow(at));
    await_active(1, 1);
    assert_int_equal(
        process_metric(&rig.data_buses[1], "meltica_bus_takeovers_total{reason=\"silent\"}"), 1);
    /* Number 0 is back, and the stand-in falls silent. */
    run_data_bus(0, "2");
    size_t from = 0;
    process_wait_log(&rig.data_buses[1], "\"event\":\"standby\"", &from);
    (void)await_flow(0);
    await_active(0, 1);
    await_active(1, 0);
    const uint64_t out = process_metric(&rig.data_buses[1], "meltica_bus_out_total");
    (void)await_flow(0);
    assert_int_equal(process_metric(&rig.data_buses[1], "meltica_bus_out_total"), out);
    /* And ends. */
    assert_int_equal(process_end(&rig.data_buses[0]), 0);
    at = mlt_clock_mono_ns();
    assert_in_time("Data Bus ended", await_flow(at));
    assert_int_equal(
        process_metric(&rig.data_buses[1], "meltica_bus_takeovers_total{reason=\"released\"}"), 1);
    assert_true(process_metric(&rig.data_buses[1], "meltica_bus_out_total") > out);
    assert_complete();
    print_message("    %llu repeats\n", (unsigned long long)rig.repeats);
}

/* It has a queue of what another one published meanwhile, and lets it be. */
static void test_a_data_bus_that_slept_publishes_nothing_any_more(void **state)
{
    (void)state;
    rig_start(true, 1, 2);
    rig.repeating = true;
    int64_t at = mlt_clock_mono_ns();
    rig_hold(CONDUCTORS);
    assert_int_equal(kill(rig.data_buses[0].pid, SIGSTOP), 0);
    assert_in_time("Data Bus stopped", await_flow(at));
    await_active(1, 1);
    for (unsigned round = 0; round < 10; round++) {
        (void)await_flow(0);
    }
    (void)pthread_mutex_lock(&rig.mutex);
    const uint64_t repeats = rig.repeats;
    (void)pthread_mutex_unlock(&rig.mutex);
    rig_let_go(CONDUCTORS);
    assert_int_equal(kill(rig.data_buses[0].pid, SIGCONT), 0);
    size_t from = 0;
    process_wait_log(&rig.data_buses[0], "\"event\":\"standby\"", &from);
    (void)await_flow(0);
    (void)pthread_mutex_lock(&rig.mutex);
    const uint64_t more = rig.repeats - repeats;
    (void)pthread_mutex_unlock(&rig.mutex);
    /* What its connection had taken and not written when it was stopped: a batch or two. */
    print_message("    %llu repeats after it woke\n", (unsigned long long)more);
    assert_true(more < 10 * FLOW_INSTRUMENTS);
    await_active(0, 0);
    /* Without a restart. */
    from = 0;
    process_wait_log(&rig.data_buses[1], "\"event\":\"standby\"", &from);
    assert_int_equal(
        process_metric(&rig.data_buses[0], "meltica_bus_takeovers_total{reason=\"home\"}"), 1);
    (void)await_flow(0);
    await_active(0, 1);
    await_active(1, 0);
    assert_complete();
}

/* One of its two connections is dead, or may not: it publishes nothing, and does not keep the
 * others from it. */
static void test_a_data_bus_that_does_not_hear_itself_is_replaced(void **state)
{
    (void)state;
    rig_start(true, 1, 2);
    rig.repeating = true;
    process_kill(&rig.data_buses[0]);
    (void)await_flow(0);
    await_active(1, 1);
    size_t from = 0;
    run_deaf_data_bus(0); /* it claims what is its own, as any does that starts */
    process_wait_log(&rig.data_buses[1], "\"event\":\"standby\"", &from);
    from = 0;
    process_wait_log(&rig.data_buses[0], "its own beats do not come back", &from);
    (void)await_flow(0);
    await_active(1, 1);
    assert_int_equal(process_metric(&rig.data_buses[0], "meltica_bus_out_total"), 0);
    from = 0;
    process_wait_log(&rig.data_buses[0], "\"event\":\"standby\"", &from); /* by the claim */
    (void)await_flow(0);
    assert_complete();
}

/* From one to two and back, as a rolling update does it. */
static void test_data_buses_scaled_from_one_to_two_and_back(void **state)
{
    (void)state;
    rig_start(true, 1, 1);
    rig.repeating = true;
    run_data_bus(1, "2");
    size_t from = 0;
    process_wait_log(&rig.data_buses[1], "\"event\":\"ready\"", &from);
    for (unsigned round = 0; round < 20; round++) { /* longer than an owner may be silent */
        (void)await_flow(0);
    }
    await_active(1, 0); /* it hears the one that knows nothing of it */
    assert_int_equal(process_end(&rig.data_buses[0]), 0);
    (void)await_flow(0);
    await_active(1, 1);
    run_data_bus(0, "2");
    from = 0;
    process_wait_log(&rig.data_buses[1], "\"event\":\"standby\"", &from);
    (void)await_flow(0);
    assert_int_equal(process_end(&rig.data_buses[1]), 0);
    (void)await_flow(0);
    await_active(0, 1);
    assert_complete();
}

/* One after the other is told the new number; each of the three publishes at some time. Killed at
 * three, and back to two. */
static void test_data_buses_scaled_from_two_to_three_and_back(void **state)
{
    (void)state;
    rig_start(true, 1, 2);
    rig.repeating = true;
    run_data_bus(2, "3");
    size_t from = 0;
    process_wait_log(&rig.data_buses[2], "\"event\":\"ready\"", &from);
    (void)await_flow(0);
    await_active(0, 1);
    await_active(2, 0);
    assert_int_equal(process_end(&rig.data_buses[1]), 0);
    (void)await_flow(0);
    run_data_bus(1, "3");
    from = 0;
    process_wait_log(&rig.data_buses[1], "\"event\":\"ready\"", &from);
    int64_t at = mlt_clock_mono_ns();
    assert_int_equal(process_end(&rig.data_buses[0]), 0);
    assert_in_time("Data Bus of three ended", await_flow(at));
    (void)await_one(1, 2); /* number 1, unless it has only begun to listen */
    run_data_bus(0, "3");
    await_return(0, 3);
    for (unsigned n = 0; n < 2; n++) {
        at = mlt_clock_mono_ns();
        process_kill(&rig.data_buses[n]);
        assert_in_time("Data Bus of three killed", await_flow(at));
        (void)await_one(n + 1, 2 - n);
    }
    assert_clean();
    run_data_bus(0, "2");
    from = 0;
    process_wait_log(&rig.data_buses[0], "\"event\":\"ready\"", &from);
    while (process_metric(&rig.data_buses[0], "meltica_bus_active") == 0 ||
           process_metric(&rig.data_buses[2], "meltica_bus_active") > 0) {
        (void)await_flow(0); /* it fails where nothing flows for long */
    }
    run_data_bus(1, "2");
    from = 0;
    process_wait_log(&rig.data_buses[1], "\"event\":\"ready\"", &from);
    assert_int_equal(process_end(&rig.data_buses[2]), 0);
    (void)await_flow(0);
    await_active(0, 1);
    await_active(1, 0);
    assert_complete();
    print_message("    %llu repeats\n", (unsigned long long)rig.repeats);
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_data_bus_killed_under_load_is_replaced, rig_end),
        cmocka_unit_test_teardown(test_a_data_bus_that_slept_publishes_nothing_any_more, rig_end),
        cmocka_unit_test_teardown(test_a_data_bus_that_does_not_hear_itself_is_replaced, rig_end),
        cmocka_unit_test_teardown(test_data_buses_scaled_from_one_to_two_and_back, rig_end),
        cmocka_unit_test_teardown(test_data_buses_scaled_from_two_to_three_and_back, rig_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return standby_run(run_all);
}
