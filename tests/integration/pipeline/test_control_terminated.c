/*
 * SIGTERM of a Control Bus with commands on their way and more of them waiting for a worker, one
 * alone and one of two: every command that was given to it is answered, what it said is so, none
 * was carried out twice, and the same asked again with its id gives the one truth.
 */
#include "mlt_test.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "meltica/base/clock.h"
#include "steer_check.h"

/* More than the workers of one are: the others wait in its queue. */
#define ASKERS 48u
#define ASK_NS (8 * MLT_NS_PER_S)
#define CONTROL_LOG "MELTICA_CONTROL"

enum outcome { TAKEN, REFUSED, NOBODY, OUTCOMES };

struct asker {
    pthread_t thread;
    char body[192], consumer[32];
    struct said said;
    enum outcome outcome;
};

static struct rig rig;
static struct asker askers[ASKERS];
static unsigned counts[OUTCOMES], at_end; /* of those refused: since it ended */

/* ---- the signal ---- */

static struct {
    pthread_mutex_t lock;
    pid_t victim; /* 0: told, or not yet to be */
} strike = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* The Dispatcher is asked about a command that the log has. */
static void on_apply(void *ctx, const struct mlt_bus_message *message)
{
    (void)ctx, (void)message;
    (void)pthread_mutex_lock(&strike.lock);
    if (strike.victim != 0) {
        (void)kill(strike.victim, SIGTERM);
        strike.victim = 0;
    }
    (void)pthread_mutex_unlock(&strike.lock);
}

static void arm(pid_t victim)
{
    (void)pthread_mutex_lock(&strike.lock);
    strike.victim = victim;
    (void)pthread_mutex_unlock(&strike.lock);
}

static bool has_struck(void)
{
    (void)pthread_mutex_lock(&strike.lock);
    const bool struck = strike.victim == 0;
    (void)pthread_mutex_unlock(&strike.lock);
    return struck;
}

/* ---- commands ---- */

static void *ask(void *argument)
{
    struct asker *a = argument;
    a->said = rig_try_as(&rig, "", "subscribe", mlt_slice_of_string(a->body), ASK_NS);
    return NULL;
}

/* Each of another consumer, so that none depends on another. */
static void ask_all(void)
{
    memset(counts, 0, sizeof counts);
    at_end = 0;
    for (unsigned i = 0; i < ASKERS; i++) {
        struct asker *a = &askers[i];
        memset(a, 0, sizeof *a);
        (void)snprintf(a->consumer, sizeof a->consumer, "desk-%u", i);
        (void)snprintf(a->body, sizeof a->body,
                       "{\"id\":\"once-%u\",\"consumer\":\"desk-%u\",\"type\":\"%s\","
                       "\"instruments\":[\"SYM%04u-USDT\"]}",
                       i, i, i % 2 == 0 ? "TRADE" : "BBO", 1 + i % 8);
        assert_int_equal(pthread_create(&a->thread, NULL, ask, a), 0);
    }
}

/* Answered, or never given to anybody, which the caller is told at once. */
static void classify(struct asker *a)
{
    const char *status = rig_text(a->said.json, "status");
    if (a->said.json == NULL) {
        if (!a->said.unavailable) {
            fail_msg("%s: given to a Control Bus and not answered, %lld ms", a->body,
                     (long long)(a->said.took_ns / MLT_NS_PER_MS));
        }
        a->outcome = NOBODY;
    } else if (strcmp(status, "CONFIRMED") == 0 || strcmp(status, "PENDING") == 0) {
        a->outcome = TAKEN;
    } else if (rig_number(a->said.json, "code") == 503 &&
               strstr(rig_text(a->said.json, "message"), "nothing changed") != NULL) {
        a->outcome = REFUSED;
        at_end += strstr(rig_text(a->said.json, "message"), "ends") != NULL;
    } else {
        rig_fail(&a->said, a->body);
    }
    counts[a->outcome]++;
    cJSON_Delete(a->said.json);
    a->said.json = NULL;
}

static void gather(void)
{
    for (unsigned i = 0; i < ASKERS; i++) {
        assert_int_equal(pthread_join(askers[i].thread, NULL), 0);
        classify(&askers[i]);
    }
    print_message("    %u taken, %u refused, %u given to nobody\n", counts[TAKEN], counts[REFUSED],
                  counts[NOBODY]);
    assert_true(has_struck());
    assert_true(counts[TAKEN] > 0);
}

/* What was said is so; asked again each is there, once, and so it is in the log. */
static void assert_truth(void)
{
    uint64_t last = 0, held = 0, once = 0, twice = 0;
    for (unsigned i = 0; i < ASKERS; i++) {
        assert_int_equal(rig_listed(&rig, askers[i].consumer), askers[i].outcome == TAKEN);
    }
    assert_true(rig_stream(&rig, CONTROL_LOG, &last, &held));
    assert_int_equal(last, counts[TAKEN]);
    for (unsigned i = 0; i < ASKERS; i++) {
        rig_confirm(&rig, "subscribe", askers[i].body, NULL);
        assert_int_equal(rig_listed(&rig, askers[i].consumer), 1);
    }
    assert_true(rig_stream(&rig, CONTROL_LOG, &last, &held));
    assert_int_equal(last, ASKERS);
    steer_answers(&once, &twice);
    assert_int_equal(twice, 0);
}

/* Who listens does so on a connection of its own: that nobody is there the server says to any one
 * subscription of who asks that covers the inbox. */
static void run(void (*strike_it)(void))
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus_subscription *steps = NULL;
    const struct mlt_bus_subscribe_options apply = { .subject = "meltica.int.apply.00" };
    struct rig listener = { .client = NULL };
    rig_start(&rig, "8", "200");
    const struct mlt_bus_options bus = { .kind = MLT_BUS_CONTROL,
                                         .url = rig.stack.nats_url,
                                         .name = "listener" };
    assert_int_equal(mlt_bus_connect(&bus, &listener.client, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(listener.client, 5 * MLT_NS_PER_S), MLT_OK);
    struct mlt_bus_subscription *tap = steer_tap(&listener);
    assert_int_equal(mlt_bus_subscribe(listener.client, &apply, on_apply, NULL, &steps, &err),
                     MLT_OK);
    assert_true(mlt_bus_rtt_ns(listener.client) >= 0);
    strike_it();
    assert_truth();
    mlt_bus_unsubscribe(steps);
    mlt_bus_unsubscribe(tap);
    mlt_bus_destroy(listener.client, 0);
    rig_stop(&rig);
}

/* ---- the tests ---- */

static bool is_gone(struct rig *r, void *ctx)
{
    (void)ctx;
    return mlt_stack_gone(&r->stack, "control-bus") || mlt_bus_rtt_ns(r->client) < 0;
}

static void strike_the_only_one(void)
{
    arm(mlt_stack_pid(&rig.stack, "control-bus"));
    ask_all();
    gather();
    assert_true(rig_until(is_gone, &rig, NULL, 20)); /* a second signal would end it at once */
    assert_int_equal(mlt_stack_terminate(&rig.stack, "control-bus"), 0);
    mlt_stack_run(&rig.stack, "control-bus");
    rig_wait_ready(&rig);
}

static void test_sigterm_of_the_only_control_bus_every_command_is_answered(void **state)
{
    (void)state;
    run(strike_the_only_one);
}

/* It goes; the one of the stack stays, and takes what comes later. */
static void strike_a_second(const char *drain_timeout_ms)
{
    struct command second;
    const char *const arguments[] = { "--nats-url",
                                      rig.stack.nats_url,
                                      "--http-host",
                                      "127.0.0.1",
                                      "--http-port",
                                      "0",
                                      "--replica",
                                      "1",
                                      "--replicas",
                                      "2",
                                      "--drain-timeout-ms",
                                      drain_timeout_ms,
                                      NULL };
    command_start_program(&second, "meltica-control-bus", arguments);
    assert_true(command_wait_said(&second, "micro_registered"));
    arm(second.pid);
    ask_all();
    gather();
    assert_int_equal(counts[NOBODY], 0);
    assert_int_equal(command_end(&second), at_end > 0 ? 1 : 0);
    command_free(&second);
}

static void strike_one_of_two(void)
{
    strike_a_second("20000");
    assert_int_equal(at_end, 0);
}

/* What waits for a worker when it is told to end is refused, and it says that it was cut short. */
static void strike_one_of_two_that_has_no_time(void)
{
    strike_a_second("100");
}

static void test_sigterm_of_one_of_two_control_buses_every_command_is_answered(void **state)
{
    (void)state;
    run(strike_one_of_two);
}

static void test_a_control_bus_without_time_to_end_refuses_and_says_so(void **state)
{
    (void)state;
    run(strike_one_of_two_that_has_no_time);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sigterm_of_the_only_control_bus_every_command_is_answered),
        cmocka_unit_test(test_sigterm_of_one_of_two_control_buses_every_command_is_answered),
        cmocka_unit_test(test_a_control_bus_without_time_to_end_refuses_and_says_so),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
