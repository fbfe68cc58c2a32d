/* The connection to NATS against a real server. */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/bus/bus.h"
#include "mlt_test.h"
#include "nats_fixture.h"

#define WAIT_NS (10 * MLT_NS_PER_S)

static struct nats_server server;

static int setup(void **state)
{
    (void)state;
    nats_server_init(&server, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    nats_server_fini(&server);
    return 0;
}

/* ---- what the tests wait on ---- */

struct inbox {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t count, out_of_order, next;
    bool connected;
    unsigned ups, downs;
    char reason[128];
    struct mlt_bus *bus; /* of a responder */
    bool hold;           /* handlers stay inside */
    bool held;           /* one does */
    atomic_bool running;
};

static void inbox_init(struct inbox *inbox)
{
    memset(inbox, 0, sizeof *inbox);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&inbox->lock, NULL);
    (void)pthread_cond_init(&inbox->changed, &attributes);
}

static void inbox_fini(struct inbox *inbox)
{
    (void)pthread_mutex_destroy(&inbox->lock);
    (void)pthread_cond_destroy(&inbox->changed);
}

/* Under the lock; fails the test when nothing changes for WAIT_NS. */
static void await(struct inbox *inbox)
{
    const int64_t at = mlt_clock_mono_ns() + WAIT_NS;
    const struct timespec until = { .tv_sec = at / MLT_NS_PER_S, .tv_nsec = at % MLT_NS_PER_S };
    assert_int_equal(pthread_cond_timedwait(&inbox->changed, &inbox->lock, &until), 0);
}

static void await_count(struct inbox *inbox, uint64_t count)
{
    (void)pthread_mutex_lock(&inbox->lock);
    while (inbox->count < count) {
        await(inbox);
    }
    (void)pthread_mutex_unlock(&inbox->lock);
}

static void await_state(struct inbox *inbox, bool connected)
{
    (void)pthread_mutex_lock(&inbox->lock);
    while (inbox->connected != connected) {
        await(inbox);
    }
    (void)pthread_mutex_unlock(&inbox->lock);
}

static void on_state(void *ctx, bool connected, const char *reason)
{
    struct inbox *inbox = ctx;
    (void)pthread_mutex_lock(&inbox->lock);
    inbox->connected = connected;
    inbox->ups += connected;
    inbox->downs += !connected;
    (void)snprintf(inbox->reason, sizeof inbox->reason, "%s", reason);
    (void)pthread_cond_broadcast(&inbox->changed);
    (void)pthread_mutex_unlock(&inbox->lock);
}

static void on_number(void *ctx, const struct mlt_bus_message *message)
{
    struct inbox *inbox = ctx;
    uint64_t number = 0;
    atomic_store(&inbox->running, true);
    (void)pthread_mutex_lock(&inbox->lock);
    while (inbox->hold) {
        inbox->held = true;
        (void)pthread_cond_broadcast(&inbox->changed);
        (void)pthread_cond_wait(&inbox->changed, &inbox->lock);
    }
    if (message->payload.len >= sizeof number) {
        memcpy(&number, message->payload.data, sizeof number);
    }
    inbox->out_of_order += number != inbox->next;
    inbox->next = number + 1;
    inbox->count++;
    (void)pthread_cond_broadcast(&inbox->changed);
    (void)pthread_mutex_unlock(&inbox->lock);
    atomic_store(&inbox->running, false);
}

static struct mlt_bus *connect_to(const char *url, enum mlt_bus_kind kind, struct inbox *inbox)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus *bus = NULL;
    const struct mlt_bus_options options = { .kind = kind,
                                             .url = url,
                                             .name = "test",
                                             .on_state = inbox != NULL ? on_state : NULL,
                                             .ctx = inbox };
    if (mlt_bus_connect(&options, &bus, &err) != MLT_OK) {
        fail_msg("connect: %s", err.text);
    }
    if (server.pid > 0) { /* it may have taken its time */
        assert_int_equal(mlt_bus_wait_connected(bus, WAIT_NS), MLT_OK);
    }
    return bus;
}

static struct mlt_bus_subscription *subscribe(struct mlt_bus *bus, const char *subject,
                                              mlt_bus_handler_fn handler, void *ctx)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus_subscription *sub = NULL;
    const struct mlt_bus_subscribe_options options = { .subject = subject };
    if (mlt_bus_subscribe(bus, &options, handler, ctx, &sub, &err) != MLT_OK) {
        fail_msg("subscribe: %s", err.text);
    }
    return sub;
}

static struct mlt_slice number_slice(const uint64_t *number)
{
    return mlt_slice_of(number, sizeof *number);
}

/* ---- tests ---- */

static void test_subject_table(void **state)
{
    (void)state;
    char long_one[MLT_BUS_SUBJECT_BYTES_MAX + 2];
    static const char *const good[] = { "a", "a.b", "meltica.int.native.00", "$KV.x", "a-b_c.D9=" };
    static const char *const bad[] = { "",    ".",    "a.",    ".a",    "a..b", "a b", "a*",
                                       "a.>", "a\tb", "a\r\n", "a\x7f", "*",    ">" };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(mlt_bus_subject_valid(good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(mlt_bus_subject_valid(bad[i]));
    }
    memset(long_one, 'x', sizeof long_one);
    long_one[MLT_BUS_SUBJECT_BYTES_MAX] = '\0';
    assert_true(mlt_bus_subject_valid(long_one));
    long_one[MLT_BUS_SUBJECT_BYTES_MAX] = 'x';
    long_one[MLT_BUS_SUBJECT_BYTES_MAX + 1] = '\0';
    assert_false(mlt_bus_subject_valid(long_one));
    assert_false(mlt_bus_subject_valid(NULL));
}

/* 100,000 messages arrive once and in order, in far fewer writes. */
static void test_round_trip_batches(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    struct inbox inbox;
    struct mlt_bus_stats stats, received;
    inbox_init(&inbox);
    struct mlt_bus *from = connect_to(server.url, MLT_BUS_DATA, NULL);
    struct mlt_bus *to = connect_to(server.url, MLT_BUS_DATA, NULL);
    struct mlt_bus_subscription *sub = subscribe(to, "t.numbers", on_number, &inbox);
    assert_true(mlt_bus_rtt_ns(to) > 0);
    for (uint64_t i = 0; i < COUNT; i++) {
        /* Never more under way than the subscription may hold. */
        if (i % 10000 == 0 && i >= 20000) {
            await_count(&inbox, i - 20000);
        }
        assert_int_equal(mlt_bus_publish_wait(from, "t.numbers", number_slice(&i),
                                              mlt_clock_mono_ns() + WAIT_NS),
                         MLT_OK);
    }
    await_count(&inbox, COUNT);
    mlt_bus_get_stats(from, &stats);
    mlt_bus_get_stats(to, &received);
    assert_int_equal(inbox.out_of_order, 0);
    assert_int_equal(inbox.count, COUNT);
    assert_int_equal(stats.published, COUNT);
    assert_int_equal(stats.published_bytes, COUNT * 8);
    assert_int_equal(received.received, COUNT);
    assert_true(stats.writes > 0 && stats.writes < COUNT / 20);
    print_message("%d messages in %llu writes\n", COUNT, (unsigned long long)stats.writes);
    mlt_bus_unsubscribe(sub);
    mlt_bus_destroy(from, MLT_NS_PER_S);
    mlt_bus_destroy(to, MLT_NS_PER_S);
    inbox_fini(&inbox);
}

/* Publishes `bytes` again and again for 100 ms, and on a busy machine until some were written; how
 * many spacings passed, and the writes in them. */
static uint64_t writes_of(struct mlt_slice bytes, uint64_t *spacings)
{
    struct mlt_bus_stats before, after;
    struct mlt_bus *bus = connect_to(server.url, MLT_BUS_DATA, NULL);
    assert_true(mlt_bus_rtt_ns(bus) > 0);
    mlt_bus_get_stats(bus, &before);
    const int64_t start = mlt_clock_mono_ns();
    int64_t elapsed = 0;
    after = before;
    for (uint64_t i = 0;
         elapsed < 100 * MLT_NS_PER_MS || (after.writes - before.writes <= 5 && elapsed < WAIT_NS);
         i++) {
        /* Not too much: a full socket would add writes that no spacing holds back. */
        if (i % 4096 == 0) {
            assert_int_equal(mlt_bus_publish(bus, "t.spacing", bytes), MLT_OK);
            mlt_bus_get_stats(bus, &after);
        }
        elapsed = mlt_clock_mono_ns() - start;
    }
    mlt_bus_get_stats(bus, &after);
    mlt_bus_destroy(bus, MLT_NS_PER_S);
    *spacings = (uint64_t)(elapsed / MLT_BUS_SPACING_NS);
    return after.writes - before.writes;
}

/* However fast it is published, a write leaves each spacing, not more often and not much later; big
 * ones each second spacing. */
static void test_spacing(void **state)
{
    (void)state;
    static const uint8_t big[MLT_BUS_CROWD_BYTES];
    const uint64_t one = 1;
    uint64_t spacings = 0;
    uint64_t writes = writes_of(number_slice(&one), &spacings);
    assert_true(writes <= spacings + 2);
    assert_true(writes > 5);
    writes = writes_of(mlt_slice_of(big, sizeof big), &spacings);
    assert_true(writes <= spacings / 2 + 2);
    assert_true(writes > 5);
}

/* Down: E_CLOSED at once and nothing kept. Up again on the same port: the subscription is back,
 * what is published then arrives. */
static void test_server_restart(void **state)
{
    (void)state;
    struct inbox inbox, from_state, to_state;
    inbox_init(&inbox);
    inbox_init(&from_state);
    inbox_init(&to_state);
    struct mlt_bus *from = connect_to(server.url, MLT_BUS_DATA, &from_state);
    struct mlt_bus *to = connect_to(server.url, MLT_BUS_DATA, &to_state);
    struct mlt_bus *control = connect_to(server.url, MLT_BUS_CONTROL, NULL);
    struct mlt_bus_subscription *sub = subscribe(to, "t.restart", on_number, &inbox);
    uint64_t number = 0;
    assert_true(mlt_bus_rtt_ns(to) > 0);
    assert_int_equal(mlt_bus_publish(from, "t.restart", number_slice(&number)), MLT_OK);
    await_count(&inbox, 1);

    nats_server_kill(&server);
    await_state(&from_state, false);
    await_state(&to_state, false);
    number = 7;
    assert_int_equal(mlt_bus_publish(from, "t.restart", number_slice(&number)), MLT_E_CLOSED);
    assert_int_equal(mlt_bus_publish_wait(from, "t.restart", number_slice(&number),
                                          mlt_clock_mono_ns() + 20 * MLT_NS_PER_MS),
                     MLT_E_CLOSED);
    assert_int_equal(mlt_bus_rtt_ns(from), -1);

    nats_server_start(&server);
    assert_int_equal(mlt_bus_wait_connected(to, WAIT_NS), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(control, WAIT_NS), MLT_OK);
    assert_true(mlt_bus_rtt_ns(to) > 0); /* its subscription is at the server */
    number = 1;
    assert_int_equal(mlt_bus_publish_wait(from, "t.restart", number_slice(&number),
                                          mlt_clock_mono_ns() + WAIT_NS),
                     MLT_OK);
    await_count(&inbox, 2);
    assert_int_equal(inbox.count, 2);
    assert_int_equal(inbox.out_of_order, 0);
    struct mlt_bus_stats stats;
    mlt_bus_get_stats(from, &stats);
    assert_int_equal(stats.reconnects, 1);
    assert_int_equal(stats.disconnects, 1);
    mlt_bus_unsubscribe(sub);
    mlt_bus_destroy(from, MLT_NS_PER_S);
    mlt_bus_destroy(to, MLT_NS_PER_S);
    mlt_bus_destroy(control, MLT_NS_PER_S);
    inbox_fini(&inbox);
    inbox_fini(&from_state);
    inbox_fini(&to_state);
}

static void on_request(void *ctx, const struct mlt_bus_message *message)
{
    struct inbox *inbox = ctx;
    if (mlt_slice_equal_string(message->payload, "silent")) {
        return;
    }
    const bool refuse = mlt_slice_equal_string(message->payload, "refuse");
    if (mlt_bus_reply(inbox->bus, message->reply, message->payload, refuse ? 409 : 0,
                      refuse ? "not like this" : NULL) != MLT_OK) {
        inbox->out_of_order++;
    }
}

/* On either kind: an answer, an answer with error headers, none in time, nobody there (at once). */
static void request_on(enum mlt_bus_kind kind)
{
    struct inbox inbox;
    struct mlt_buf answer;
    struct mlt_error err = MLT_ERROR_INIT;
    inbox_init(&inbox);
    mlt_buf_init(&answer, 1024);
    struct mlt_bus *asks = connect_to(server.url, kind, NULL);
    inbox.bus = connect_to(server.url, kind, NULL);
    struct mlt_bus_subscription *sub = subscribe(inbox.bus, "t.ask", on_request, &inbox);
    assert_true(mlt_bus_rtt_ns(inbox.bus) > 0);
    assert_int_equal(
        mlt_bus_request(asks, "t.ask", MLT_SLICE_LITERAL("hello"), WAIT_NS, &answer, &err), MLT_OK);
    assert_true(mlt_slice_equal_string(mlt_buf_view(&answer), "hello"));
    mlt_buf_clear(&answer);
    assert_int_equal(
        mlt_bus_request(asks, "t.ask", MLT_SLICE_LITERAL("refuse"), WAIT_NS, &answer, &err),
        MLT_E_PROTOCOL);
    assert_int_equal(err.code, 409);
    assert_string_equal(err.text, "not like this");
    assert_true(mlt_slice_equal_string(mlt_buf_view(&answer), "refuse"));
    assert_int_equal(mlt_bus_request(asks, "t.ask", MLT_SLICE_LITERAL("silent"), 50 * MLT_NS_PER_MS,
                                     &answer, &err),
                     MLT_E_TIMEOUT);
    const int64_t before = mlt_clock_mono_ns();
    assert_int_equal(
        mlt_bus_request(asks, "t.nobody", MLT_SLICE_LITERAL("x"), WAIT_NS, &answer, &err),
        MLT_E_UNAVAILABLE);
    assert_true(mlt_clock_mono_ns() - before < WAIT_NS / 2);
    assert_int_equal(inbox.out_of_order, 0);
    mlt_bus_unsubscribe(sub);
    mlt_bus_destroy(asks, MLT_NS_PER_S);
    mlt_bus_destroy(inbox.bus, MLT_NS_PER_S);
    mlt_buf_fini(&answer);
    inbox_fini(&inbox);
}

static void test_requests(void **state)
{
    (void)state;
    request_on(MLT_BUS_CONTROL);
    request_on(MLT_BUS_DATA);
}

struct waiter {
    struct mlt_bus *bus;
    enum mlt_status status;
    int64_t deadline_ns;
    atomic_bool done;
};

static void *wait_and_publish(void *ctx)
{
    struct waiter *waiter = ctx;
    const uint64_t number = 0;
    waiter->status =
        mlt_bus_publish_wait(waiter->bus, "t.cap", number_slice(&number), waiter->deadline_ns);
    atomic_store(&waiter->done, true);
    return NULL;
}

static struct mlt_bus *connect_small(const char *url)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus *bus = NULL;
    const struct mlt_bus_options options = {
        .kind = MLT_BUS_DATA, .url = url, .name = "small", .buffered_bytes_max = 64 << 10
    };
    assert_int_equal(mlt_bus_connect(&options, &bus, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(bus, WAIT_NS), MLT_OK);
    return bus;
}

/* A server that reads nothing: the cap holds, waiting ends with its deadline, goes on when the
 * server does, and ends when the bus is destroyed. */
static void test_full_and_waiting(void **state)
{
    (void)state;
    static uint8_t block[32 << 10];
    struct mlt_bus_stats stats;
    pthread_t thread;
    enum mlt_status status = MLT_OK;
    struct mlt_bus *bus = connect_small(server.url);
    assert_int_equal(kill(server.pid, SIGSTOP), 0);
    uint64_t taken = 0;
    const int64_t start = mlt_clock_mono_ns();
    while ((status = mlt_bus_publish_wait(bus, "t.cap", mlt_slice_of(block, sizeof block),
                                          mlt_clock_mono_ns() + 500 * MLT_NS_PER_MS)) == MLT_OK) {
        taken++;
    }
    assert_int_equal(status, MLT_E_FULL);
    assert_int_equal(mlt_bus_publish(bus, "t.cap", mlt_slice_of(block, 1)), MLT_E_FULL);
    mlt_bus_get_stats(bus, &stats);
    assert_int_equal(stats.published, taken);
    assert_true(stats.refused_full >= 2);
    struct waiter waiter = { .bus = bus, .deadline_ns = mlt_clock_mono_ns() + WAIT_NS };
    assert_int_equal(pthread_create(&thread, NULL, wait_and_publish, &waiter), 0);
    assert_int_equal(kill(server.pid, SIGCONT), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(waiter.status, MLT_OK);
    mlt_bus_get_stats(bus, &stats);
    if (mlt_clock_mono_ns() - start < 2 * MLT_NS_PER_S) { /* before the write deadline */
        assert_int_equal(stats.disconnects, 0);
    }
    assert_int_equal(mlt_bus_wait_connected(bus, WAIT_NS), MLT_OK);
    assert_true(mlt_bus_rtt_ns(bus) > 0);
    mlt_bus_destroy(bus, MLT_NS_PER_S);
}

/* A server that takes nothing for the write deadline is given up. */
static void test_write_deadline(void **state)
{
    (void)state;
    static uint8_t block[32 << 10];
    struct inbox inbox;
    inbox_init(&inbox);
    struct mlt_bus *bus = connect_to(server.url, MLT_BUS_DATA, &inbox);
    await_state(&inbox, true);
    const int64_t start = mlt_clock_mono_ns();
    assert_int_equal(kill(server.pid, SIGSTOP), 0);
    /* Until the kernel's buffers are full too. */
    while (mlt_bus_publish_wait(bus, "t.cap", mlt_slice_of(block, sizeof block),
                                mlt_clock_mono_ns() + 500 * MLT_NS_PER_MS) == MLT_OK) {
    }
    await_state(&inbox, false);
    assert_true(mlt_clock_mono_ns() - start > MLT_NS_PER_S);
    /* Waiting for room is waiting for a connection now, and ends with the bus. */
    pthread_t thread;
    struct waiter waiter = { .bus = bus, .deadline_ns = mlt_clock_mono_ns() + WAIT_NS };
    assert_int_equal(pthread_create(&thread, NULL, wait_and_publish, &waiter), 0);
    assert_false(atomic_load(&waiter.done));
    assert_int_equal(kill(server.pid, SIGCONT), 0);
    assert_int_equal(mlt_bus_wait_connected(bus, WAIT_NS), MLT_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(waiter.status, MLT_OK);
    mlt_bus_destroy(bus, MLT_NS_PER_S);
    inbox_fini(&inbox);
}

struct flood {
    struct mlt_bus *bus;
    atomic_bool stop;
};

static void *flood(void *ctx)
{
    struct flood *flood = ctx;
    uint64_t number = 0;
    while (!atomic_load(&flood->stop)) {
        number += mlt_bus_publish(flood->bus, "t.flood", number_slice(&number)) == MLT_OK;
    }
    return NULL;
}

/* After unsubscribe returns, no handler runs, whatever comes. */
static void test_unsubscribe_under_load(void **state)
{
    (void)state;
    struct inbox inbox;
    pthread_t thread;
    inbox_init(&inbox);
    struct flood load = { .bus = connect_to(server.url, MLT_BUS_DATA, NULL) };
    struct mlt_bus *to = connect_to(server.url, MLT_BUS_DATA, NULL);
    assert_int_equal(pthread_create(&thread, NULL, flood, &load), 0);
    for (int i = 0; i < 20; i++) {
        struct mlt_bus_subscription *sub = subscribe(to, "t.flood", on_number, &inbox);
        (void)pthread_mutex_lock(&inbox.lock);
        const uint64_t seen = inbox.count;
        (void)pthread_mutex_unlock(&inbox.lock);
        await_count(&inbox, seen + 100);
        mlt_bus_unsubscribe(sub);
        const uint64_t after = inbox.count; /* not locked: nobody else may touch it now */
        assert_false(atomic_load(&inbox.running));
        assert_true(mlt_bus_rtt_ns(to) > 0);
        assert_int_equal(inbox.count, after);
    }
    atomic_store(&load.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    /* One that is left open ends with its bus. */
    (void)subscribe(to, "t.flood", on_number, &inbox);
    mlt_bus_destroy(load.bus, MLT_NS_PER_S);
    mlt_bus_destroy(to, MLT_NS_PER_S);
    inbox_fini(&inbox);
}

/* A handler that stands still: what is above the limit is dropped, the newest, and counted. */
static void test_pending_limit(void **state)
{
    (void)state;
    struct inbox inbox;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus_subscription *sub = NULL;
    struct mlt_bus_stats stats;
    const struct mlt_bus_subscribe_options options = { .subject = "t.slow",
                                                       .pending_count_max = 10 };
    inbox_init(&inbox);
    inbox.hold = true;
    struct mlt_bus *from = connect_to(server.url, MLT_BUS_DATA, NULL);
    struct mlt_bus *to = connect_to(server.url, MLT_BUS_DATA, NULL);
    assert_int_equal(mlt_bus_subscribe(to, &options, on_number, &inbox, &sub, &err), MLT_OK);
    assert_true(mlt_bus_rtt_ns(to) > 0);
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(mlt_bus_publish(from, "t.slow", number_slice(&i)), MLT_OK);
        (void)pthread_mutex_lock(&inbox.lock);
        while (!inbox.held) { /* the first one is in the handler, the others wait or are dropped */
            await(&inbox);
        }
        (void)pthread_mutex_unlock(&inbox.lock);
    }
    assert_true(mlt_bus_rtt_ns(from) > 0 && mlt_bus_rtt_ns(to) > 0);
    mlt_bus_get_stats(to, &stats);
    assert_int_equal(stats.slow_consumer_dropped, 89);
    (void)pthread_mutex_lock(&inbox.lock);
    inbox.hold = false;
    (void)pthread_cond_broadcast(&inbox.changed);
    (void)pthread_mutex_unlock(&inbox.lock);
    await_count(&inbox, 100 - stats.slow_consumer_dropped);
    assert_int_equal(inbox.out_of_order, 0);
    mlt_bus_unsubscribe(sub);
    mlt_bus_get_stats(to, &stats); /* the count outlives the subscription */
    assert_int_equal(stats.slow_consumer_dropped, 89);
    mlt_bus_destroy(from, MLT_NS_PER_S);
    mlt_bus_destroy(to, MLT_NS_PER_S);
    inbox_fini(&inbox);
}

/* Nobody there at the start: connect returns, the subscription made meanwhile works once the server
 * is there, on_state told both. */
static void test_server_away_at_start(void **state)
{
    (void)state;
    static const enum mlt_bus_kind kinds[] = { MLT_BUS_DATA, MLT_BUS_CONTROL };
    for (size_t i = 0; i < 2; i++) {
        struct inbox inbox, states;
        const uint64_t number = 0;
        inbox_init(&inbox);
        inbox_init(&states);
        nats_server_kill(&server);
        struct mlt_bus *bus = connect_to(server.url, kinds[i], &states);
        assert_false(mlt_bus_connected(bus));
        assert_int_equal(states.downs, 1);
        assert_int_equal(mlt_bus_wait_connected(bus, 10 * MLT_NS_PER_MS), MLT_E_TIMEOUT);
        struct mlt_buf answer;
        mlt_buf_init(&answer, 16);
        assert_int_equal(mlt_bus_request(bus, "t.x", MLT_SLICE_EMPTY, WAIT_NS, &answer, NULL),
                         MLT_E_UNAVAILABLE);
        mlt_buf_fini(&answer);
        struct mlt_bus_subscription *sub = subscribe(bus, "t.early", on_number, &inbox);
        nats_server_start(&server);
        assert_int_equal(mlt_bus_wait_connected(bus, WAIT_NS), MLT_OK);
        char version[32];
        mlt_bus_server_version(bus, version, sizeof version);
        assert_memory_equal(version, "2.", 2);
        assert_int_equal(mlt_bus_publish(bus, "t.early", number_slice(&number)), MLT_OK);
        await_count(&inbox, 1);
        await_state(&states, true);
        assert_int_equal(states.ups, 1);
        mlt_bus_unsubscribe(sub);
        mlt_bus_destroy(bus, MLT_NS_PER_S);
        inbox_fini(&inbox);
        inbox_fini(&states);
    }
}

static void test_arguments(void **state)
{
    (void)state;
    static uint8_t big[MLT_BUS_PAYLOAD_BYTES_MAX + 1];
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus_subscription *sub = NULL;
    struct mlt_bus *bus = connect_to(server.url, MLT_BUS_DATA, NULL);
    assert_int_equal(mlt_bus_publish(bus, "t.*", MLT_SLICE_EMPTY), MLT_E_INVALID);
    assert_int_equal(mlt_bus_publish(bus, "t.big", mlt_slice_of(big, sizeof big)), MLT_E_TOO_BIG);
    assert_int_equal(mlt_bus_publish(bus, "t.big", mlt_slice_of(big, sizeof big - 1)), MLT_OK);
    const struct mlt_bus_subscribe_options bad = { .subject = "t. x" };
    assert_int_equal(mlt_bus_subscribe(bus, &bad, on_number, NULL, &sub, &err), MLT_E_INVALID);
    assert_true(mlt_bus_rtt_ns(bus) > 0);
    mlt_bus_destroy(bus, MLT_NS_PER_S);
    mlt_bus_destroy(NULL, 0);
    struct mlt_bus_options options = { .kind = MLT_BUS_DATA, .url = "nats://127.0.0.1:port" };
    assert_int_equal(mlt_bus_connect(&options, &bus, &err), MLT_E_CONFIG);
    options = (struct mlt_bus_options){ .url = server.url, .creds_file = "/nonexistent" };
    assert_int_equal(mlt_bus_connect(&options, &bus, &err), MLT_E_CONFIG);
    assert_non_null(strstr(err.text, "/nonexistent"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subject_table),  cmocka_unit_test(test_round_trip_batches),
        cmocka_unit_test(test_server_restart), cmocka_unit_test(test_spacing),
        cmocka_unit_test(test_requests),       cmocka_unit_test(test_full_and_waiting),
        cmocka_unit_test(test_write_deadline), cmocka_unit_test(test_unsubscribe_under_load),
        cmocka_unit_test(test_pending_limit),  cmocka_unit_test(test_server_away_at_start),
        cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests_name("bus", tests, setup, teardown);
}
