/*
 * The whole flow with two Dispatchers, of a recording whose every event is known. The one that
 * works is killed with -9, stopped and continued, and told to end; the other one takes over each
 * time: the hash over every channel in order is the one that a single process computes without any
 * network, and what was commanded before a take-over stands after it.
 */
#include "mlt_test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "flow_peers.h"
#include "golden.h"
#include "meltica/base/clock.h"
#include "mlt_consumer.h"
#include "mlt_stack.h"

#define PAGE_BYTES 262144u
#define ASLEEP_EVENTS 3000u
/* What it had in hand when it was stopped, and what came between that and its figures. */
#define AWAKE_EVENTS_MAX 1500u
/* How fast the recording is: so that what is done to the Dispatchers is over before its end. */
#define SPEED_OF_MANY "15"
#define SPEED_OF_FEW (MLT_TEST_SANITIZED ? "15" : "40")
/* One instrument is one partition's, a quarter of it: of seconds without a Dispatcher. */
#define RING_BYTES "134217728"
/* How long it takes is printed. One that does not go by the silence is a fault; a second more or
 * less is not, since the machine may be busy with other things. */
#define TAKEOVER_NS ((MLT_TEST_SANITIZED ? 10 : 5) * MLT_NS_PER_S)
#define STOPPED_IN_NS (100 * MLT_NS_PER_MS)
#define COMMAND_NS (3 * MLT_NS_PER_S)
#define CONFIRMED_NS (20 * MLT_NS_PER_S)
#define ANSWER_BYTES_MAX (1u << 20)

static struct mlt_stack stack;
static struct mlt_consumer consumer;
static struct process second;
static struct mlt_bus *bus;
static const char *paths[2];
static bool running; /* one that failed has stopped nothing */

static void copy(const char *from_path, const char *to_path)
{
    static char bytes[1u << 16];
    FILE *from = fopen(from_path, "r"), *to = fopen(to_path, "w");
    assert_true(from != NULL && to != NULL);
    const size_t len = fread(bytes, 1, sizeof bytes, from);
    assert_true(len > 0 && len < sizeof bytes);
    assert_int_equal(fwrite(bytes, 1, len, to), len);
    assert_int_equal(fclose(to), 0);
    (void)fclose(from);
}

/* Its table is gone when it takes over: it has read it. */
static void run_second(void)
{
    char table[sizeof stack.folder + 16];
    const char *const arguments[] = {
        "--instance", "dispatcher-1", "--replica",    "1",        "--replicas", "2",
        "--table",    table,          "--ring-bytes", RING_BYTES, NULL
    };
    (void)snprintf(table, sizeof table, "%s/table.json", stack.folder);
    copy(stack.table, table);
    process_start(&second, "meltica-dispatcher", stack.nats_url, arguments);
    size_t from = 0;
    process_wait_log(&second, "\"event\":\"ready\"", &from); /* one that stands by is well */
    assert_int_equal(unlink(table), 0);
}

/* replicas: as the first one is told. */
static void start(const char *replicas, bool jetstream, const char *speed)
{
    const struct mlt_stack_options options = {
        .exchange = { "--replay", paths[0], paths[1], "--speed", speed, "--send-all" },
        .adapter = { "--ring-bytes", RING_BYTES },
        .dispatcher = { "--replicas", replicas, "--ring-bytes", RING_BYTES },
        .conductor = { GOLDEN_CONDUCTOR },
        .without_jetstream = !jetstream
    };
    assert_false(running);
    running = true;
    memset(&consumer, 0, sizeof consumer);
    mlt_stack_start(&stack, &options);
    bus = url_connect(stack.nats_url, NULL);
    mlt_consumer_start(&consumer, stack.nats_url);
    run_second();
    mlt_stack_run_services(&stack);
}

static uint64_t out_of_first(void)
{
    return mlt_stack_metric(&stack, "dispatcher", "meltica_dispatcher_out_total", "");
}

/* Each becomes so in its own time: who gave up says so before the other one has begun, and what
 * one dispatched comes while the other one takes over. */
static void await_first_active(uint64_t active)
{
    const int64_t begin_ns = mlt_clock_mono_ns();
    while (mlt_stack_metric(&stack, "dispatcher", "meltica_dispatcher_active", "") != active) {
        assert_true(mlt_clock_mono_ns() - begin_ns < 2 * TAKEOVER_NS);
    }
}

static void await_active(uint64_t first, uint64_t of_second)
{
    const int64_t begin_ns = mlt_clock_mono_ns();
    await_first_active(first);
    while (process_metric(&second, "meltica_dispatcher_active") != of_second) {
        assert_true(mlt_clock_mono_ns() - begin_ns < 2 * TAKEOVER_NS);
    }
}

static void await_events(uint64_t count)
{
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BBO, count, 60));
}

/* Stopped, and how much it had dispatched by then: what comes between the two would count as of one
 * that was asleep. */
static uint64_t stop_first(pid_t pid)
{
    for (;;) {
        const int64_t begin_ns = mlt_clock_mono_ns();
        const uint64_t out = out_of_first();
        assert_int_equal(kill(pid, SIGSTOP), 0);
        if (mlt_clock_mono_ns() - begin_ns < STOPPED_IN_NS) {
            return out;
        }
        assert_int_equal(kill(pid, SIGCONT), 0); /* the test's own time limit ends it */
    }
}

/* Events go on to come. */
static void await_more(void)
{
    await_events(mlt_consumer_count(&consumer, MLT_EVENT_BBO) + 500);
}

/* NULL: refused, or not answered; why is in err. */
static char *command(const char *verb, const char *request, struct mlt_error *err)
{
    char subject[64];
    struct mlt_buf answer;
    mlt_buf_init(&answer, ANSWER_BYTES_MAX);
    (void)snprintf(subject, sizeof subject, "meltica.control.%s", verb);
    char *text = NULL;
    if (mlt_bus_request(bus, subject, mlt_slice_of_string(request), COMMAND_NS, &answer, err) ==
        MLT_OK) {
        text = malloc(answer.len + 1);
        assert_non_null(text);
        memcpy(text, answer.data, answer.len);
        text[answer.len] = '\0';
    }
    mlt_buf_fini(&answer);
    return text;
}

/* A subscription of a consumer of that name is confirmed, asked for again as long as the Dispatcher
 * that took over has not heard what is listed. */
static void subscribe(const char *name)
{
    const int64_t deadline_ns = mlt_clock_mono_ns() + CONFIRMED_NS;
    struct mlt_error err = MLT_ERROR_INIT;
    char request[128];
    bool confirmed = false;
    (void)snprintf(request, sizeof request,
                   "{\"consumer\":\"%s\",\"type\":\"TRADE\",\"instruments\":[\"BTC-USDT\"]}", name);
    while (!confirmed) {
        char *answer = command("subscribe", request, &err);
        confirmed = answer != NULL && strstr(answer, "CONFIRMED") != NULL;
        if (!confirmed && mlt_clock_mono_ns() >= deadline_ns) {
            fail_msg("%s: %s", name, answer != NULL ? answer : err.text);
        }
        free(answer);
    }
}

static void assert_listed(const char *const *consumers, size_t count)
{
    struct mlt_error err = MLT_ERROR_INIT;
    for (size_t i = 0; i < count; i++) {
        char request[64];
        (void)snprintf(request, sizeof request, "{\"consumer\":\"%s\"}", consumers[i]);
        char *answer = command("list", request, &err);
        if (answer == NULL || strstr(answer, "\"TRADE\"") == NULL) {
            fail_msg("%s: %s", consumers[i], answer != NULL ? answer : err.text);
        }
        free(answer);
    }
}

static void stop(void)
{
    mlt_bus_destroy(bus, 0);
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
    running = false;
}

static void assert_in_time(const char *what, int64_t at_ns)
{
    const int64_t took_ns = mlt_clock_mono_ns() - at_ns;
    print_message("    %s: 500 more events after %lld ms\n", what,
                  (long long)(took_ns / MLT_NS_PER_MS));
    assert_true(took_ns < TAKEOVER_NS);
}

/* ---- epochs of what is sent ---- */

static struct {
    pthread_mutex_t lock;
    struct mlt_bus_subscription *sub;
    size_t count; /* of boots */
    struct {
        uint64_t boot, epoch;
    } of[16];
    uint64_t messages, without, changed;
} sent = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void on_sent(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_hop hop;
    size_t at = 0;
    (void)ctx;
    if (mlt_hop_decode(message->payload, &hop) != MLT_OK) {
        return;
    }
    (void)pthread_mutex_lock(&sent.lock);
    while (at < sent.count && sent.of[at].boot != hop.boot) {
        at++;
    }
    if (at == sent.count && at < sizeof sent.of / sizeof sent.of[0]) {
        sent.of[at].boot = hop.boot;
        sent.of[at].epoch = hop.epoch;
        sent.count++;
    }
    sent.messages++;
    sent.without += hop.epoch == 0;
    sent.changed += at < sent.count && sent.of[at].epoch != hop.epoch;
    (void)pthread_mutex_unlock(&sent.lock);
}

static void listen_to_sent(void)
{
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_bus_subscribe_options options = { .subject = "meltica.int.canonical.*" };
    assert_int_equal(mlt_bus_subscribe(bus, &options, on_sent, NULL, &sent.sub, &err), MLT_OK);
}

/* Whoever took over claimed before its first word, and claimed above all before it. */
static void assert_epochs(size_t boots)
{
    mlt_bus_unsubscribe(sent.sub);
    assert_true(sent.messages > 0);
    assert_int_equal(sent.without, 0);
    assert_int_equal(sent.changed, 0);
    assert_int_equal(sent.count, boots);
    for (size_t i = 1; i < sent.count; i++) {
        assert_true(sent.of[i].epoch > sent.of[i - 1].epoch);
    }
}

static void test_every_event_comes_whoever_dispatches_it(void **state)
{
    static const char *const consumers[] = { "before", "replaced", "asleep", "awake", "ended" };
    size_t from = 0;
    (void)state;
    start("2", true, SPEED_OF_MANY);
    listen_to_sent();
    await_events(3000);
    await_active(1, 0);
    subscribe(consumers[0]);
    /* Killed. (One that stood still at the start may have been taken for silent before.) */
    const uint64_t silent =
        process_metric(&second, "meltica_dispatcher_takeovers_total{reason=\"silent\"}");
    for (uint64_t i = 0; i < silent; i++) {
        process_wait_log(&second, "\"event\":\"takeover\"", &from);
    }
    int64_t at = mlt_clock_mono_ns();
    mlt_stack_kill(&stack, "dispatcher");
    process_wait_log(&second, "\"event\":\"takeover\"", &from);
    await_more();
    assert_in_time("killed", at);
    assert_int_equal(
        process_metric(&second, "meltica_dispatcher_takeovers_total{reason=\"silent\"}"),
        silent + 1);
    subscribe(consumers[1]);
    assert_listed(consumers, 2);
    /* It is back, and has its own at once. */
    mlt_stack_run(&stack, "dispatcher");
    process_wait_log(&second, "\"event\":\"standby\"", &from);
    await_more();
    await_active(1, 0);
    /* It sleeps. */
    const pid_t pid = mlt_stack_pid(&stack, "dispatcher");
    const uint64_t out = stop_first(pid);
    at = mlt_clock_mono_ns();
    process_wait_log(&second, "\"event\":\"takeover\"", &from);
    await_more();
    assert_in_time("stopped", at);
    subscribe(consumers[2]);
    await_events(mlt_consumer_count(&consumer, MLT_EVENT_BBO) + ASLEEP_EVENTS);
    /* It wakes, with a queue of what another one dispatched meanwhile, and lets it be. */
    assert_int_equal(kill(pid, SIGCONT), 0);
    await_active(0, 1);
    const uint64_t more = out_of_first() - out;
    print_message("    %llu events after it woke\n", (unsigned long long)more);
    assert_true(more < AWAKE_EVENTS_MAX);
    await_more();
    subscribe(consumers[3]);
    assert_listed(consumers, 4);
    /* Ten seconds later it has its own back, without a restart. */
    process_wait_log(&second, "\"event\":\"standby\"", &from);
    await_more();
    await_active(1, 0);
    assert_int_equal(mlt_stack_metric(&stack, "dispatcher", "meltica_dispatcher_takeovers_total",
                                      "reason=\"home\""),
                     1);
    /* It ends. */
    at = mlt_clock_mono_ns();
    assert_int_equal(mlt_stack_terminate(&stack, "dispatcher"), 0);
    process_wait_log(&second, "\"event\":\"takeover\"", &from);
    await_more();
    assert_in_time("ended", at);
    assert_int_equal(
        process_metric(&second, "meltica_dispatcher_takeovers_total{reason=\"released\"}"), 1);
    subscribe(consumers[4]);
    assert_listed(consumers, 5);
    golden_assert_whole(&consumer, paths);
    /* The first, its stand-in, itself again, its stand-in, itself, its stand-in. */
    assert_epochs(6 + 2 * silent);
    assert_int_equal(process_end(&second), 0);
    stop();
}

/* From one to two and back, as a rolling update does it: one that was told that it is alone claims
 * nothing, is heard all the same, and gives way to one with a claim. */
static void test_scaled_from_one_to_two_and_back(void **state)
{
    size_t from = 0;
    (void)state;
    start("1", true, SPEED_OF_FEW);
    await_events(8000);
    await_active(1, 0);
    assert_int_equal(mlt_stack_terminate(&stack, "dispatcher"), 0);
    process_wait_log(&second, "\"event\":\"slots_claimed\"", &from);
    await_more();
    mlt_stack_run(&stack, "dispatcher"); /* and the other one is still there */
    await_more();
    await_events(mlt_consumer_count(&consumer, MLT_EVENT_BBO) + 6000);
    await_active(0, 1);
    assert_int_equal(process_end(&second), 0);
    await_more();
    await_first_active(1);
    subscribe("alone");
    golden_assert_whole(&consumer, paths);
    stop();
}

/* Nobody can claim: number 0 works all the same, and the other one leaves alone what it would take
 * from one that may live. */
static void test_without_jetstream_one_works_and_nobody_stands_in(void **state)
{
    size_t from = 0;
    (void)state;
    start("2", false, SPEED_OF_FEW);
    await_events(4000);
    await_active(1, 0);
    mlt_stack_kill(&stack, "dispatcher");
    process_wait_log(&second, "\"event\":\"takeover_failed\"", &from);
    mlt_stack_run(&stack, "dispatcher");
    await_more();
    await_active(1, 0);
    golden_assert_nothing_lost(&consumer);
    assert_int_equal(process_end(&second), 0);
    stop();
}

int main(void)
{
    if (!golden_main_recording(paths)) {
        print_message("skipped: the recordings are absent (MELTICA_CAPTURES)\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_event_comes_whoever_dispatches_it),
        cmocka_unit_test(test_scaled_from_one_to_two_and_back),
        cmocka_unit_test(test_without_jetstream_one_works_and_nobody_stands_in),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
