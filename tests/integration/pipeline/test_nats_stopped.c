/*
 * The NATS server stops (SIGSTOP) under the whole stack and goes on later, as one does whose host
 * has no time for it. For as long as the rings of the hops hold what comes, nothing is lost at all.
 * For longer, what is lost is said in its place, no service's memory grows by more than its
 * buffers, and every book is LIVE again.
 */
#include "mlt_test.h"

#include <signal.h>
#include <stdio.h>

#include "chaos_consumer.h"
#include "meltica/base/clock.h"
#include "mlt_stack.h"
#include "mlt_subscriber.h"

#define SYMBOLS 12u
#define WAIT_S 90
#define SOME_EVENTS 10000u
#define SERVICES 5u
/* Beside its ring a service keeps a send buffer of 4 MiB, and what waits for its handlers. */
#define GROWTH_MAX ((int64_t)24 << 20)
#define RING_USUAL 8388608
#define RING_LARGE 67108864
#define RING_SMALL 1048576 /* the smallest */
#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

static const char *const services[SERVICES] = { "adapter", "conductor", "data-bus", "control-bus",
                                                "dispatcher" };

static struct mlt_stack stack;
static struct mlt_subscriber consumer;
static int64_t before[SERVICES], most[SERVICES]; /* memory */

static void look_at_memory(void)
{
    for (unsigned i = 0; i < SERVICES; i++) {
        const int64_t now = mlt_stack_resident_bytes(&stack, services[i]);
        assert_true(now > 0);
        most[i] = now > most[i] ? now : most[i];
    }
}

static uint64_t events_wanted;

static bool has_events(void *ctx)
{
    (void)ctx;
    return atomic_load(&consumer.shared->events) >= events_wanted;
}

static int64_t live_since_ns; /* wall clock */

static bool books_are_live(void *ctx)
{
    bool live = true;
    (void)ctx;
    look_at_memory();
    for (unsigned s = 0; live && s < SYMBOLS; s++) {
        live = atomic_load(&consumer.shared->live_received_ns[s]) >= live_since_ns;
    }
    return live;
}

static bool has_all(void *ctx)
{
    (void)ctx;
    look_at_memory();
    return mlt_subscriber_has_reached(&consumer);
}

static void await_books(void)
{
    live_since_ns = mlt_clock_wall_ns();
    assert_true(mlt_subscriber_wait(books_are_live, NULL, WAIT_S));
}

static void start(const char *ring_bytes)
{
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "12", "--rate", "3000", "--seed", "33" },
        .adapter = { "--ring-bytes", ring_bytes },
        .dispatcher = { "--ring-bytes", ring_bytes },
        .conductor = { "--ring-bytes", ring_bytes },
    };
    mlt_stack_start(&stack, &options);
    mlt_subscriber_start(&consumer, stack.nats_url, 0, SYMBOLS, 0);
    mlt_stack_run_services(&stack);
    events_wanted = SOME_EVENTS;
    assert_true(mlt_subscriber_wait(has_events, NULL, WAIT_S));
    await_books();
    for (unsigned i = 0; i < SERVICES; i++) {
        before[i] = most[i] = mlt_stack_resident_bytes(&stack, services[i]);
    }
}

/* All that the exchange has said by now. */
static void catch_up(void)
{
    static struct chaos_heads heads[CHAOS_SYMBOLS_MAX];
    assert_true(chaos_read_heads(&stack, SYMBOLS, heads));
    mlt_subscriber_tell_heads(&consumer, heads);
    assert_true(mlt_subscriber_wait(has_all, NULL, WAIT_S));
}

/* Nothing is missing without a word, nothing came twice, no book is wrong. */
static void end_consumer(void)
{
    const struct mlt_subscriber_shared *s = consumer.shared;
    mlt_subscriber_end(&consumer);
    for (unsigned n = 0; n < CHAOS_NAMINGS; n++) {
        if (s->named[n] > 0) {
            print_message("    said by %s: %llu\n", chaos_naming_names[n],
                          (unsigned long long)s->named[n]);
        }
    }
    print_message("    STATUS LOST: %llu\n", (unsigned long long)atomic_load(&s->lost));
    if (s->silent_holes > 0 || s->duplicates > 0) {
        fail_msg("%llu silent holes: %s; %llu duplicates: %s", (unsigned long long)s->silent_holes,
                 s->first_silent, (unsigned long long)s->duplicates, s->first_duplicate);
    }
    assert_int_equal(s->foreign, 0);
    assert_int_equal(s->books_wrong, 0);
    assert_true(s->books_right > 0);
    assert_int_equal(atomic_load(&s->dropped), 0);
}

static void stop(void)
{
    for (unsigned i = 0; i < SERVICES; i++) {
        assert_int_equal(mlt_stack_terminate(&stack, services[SERVICES - 1 - i]), 0);
    }
    mlt_subscriber_free(&consumer);
    mlt_stack_stop(&stack);
}

static void assert_memory_is_bounded(int64_t ring_bytes)
{
    look_at_memory();
    for (unsigned i = 0; i < SERVICES; i++) {
        print_message("    %s: %lld KiB before, %lld KiB at most\n", services[i],
                      (long long)(before[i] >> 10), (long long)(most[i] >> 10));
        assert_true(most[i] < before[i] + ring_bytes + GROWTH_MAX || MLT_TEST_SANITIZED);
    }
}

/* ---- stops ---- */

static uint64_t disconnects(void)
{
    return mlt_stack_metric(&stack, "adapter", "meltica_nats_disconnects_total", "\"data\"");
}

static uint64_t disconnected; /* before the stop */

static bool ring_fills(void *ctx)
{
    (void)ctx;
    const uint64_t unacked =
        mlt_stack_metric(&stack, "adapter", "meltica_hop_unacked_bytes", "hop=\"native\"");
    return unacked >= mlt_stack_metric(&stack, "adapter", "meltica_hop_ring_bytes", "") / 10;
}

/* The socket is full, and the bus's write deadline over. */
static bool is_given_up(void *ctx)
{
    (void)ctx;
    look_at_memory();
    return disconnects() > disconnected;
}

/* And the ring is not enough for what comes. */
static bool runs_over(void *ctx)
{
    return is_given_up(ctx) &&
           mlt_stack_metric(&stack, "adapter", "meltica_hop_overrun_batches_total", "") > 100;
}

/* Stops the server until that is so; then books are LIVE again, and what is not lost comes. */
static void stop_nats_until(bool (*done)(void *ctx))
{
    disconnected = disconnects();
    const int64_t begin_ns = mlt_clock_mono_ns();
    atomic_store(&consumer.shared->outage, true);
    assert_int_equal(kill(mlt_stack_pid(&stack, "nats"), SIGSTOP), 0);
    const bool is_done = mlt_subscriber_wait(done, NULL, WAIT_S);
    assert_int_equal(kill(mlt_stack_pid(&stack, "nats"), SIGCONT), 0);
    print_message("    stopped for %lld ms\n",
                  (long long)((mlt_clock_mono_ns() - begin_ns) / MLT_NS_PER_MS));
    assert_true(is_done);
    await_books();
    catch_up();
    atomic_store(&consumer.shared->outage, false);
}

/* The consumer's own connection was lost, and what was under way to it: to be seen by its numbers
 * alone. The server cuts one that finds no time to read all that comes at once when it goes on. */
static bool lane_was_cut(void)
{
    const bool cut = atomic_load(&consumer.shared->disconnects) > 0;
    if (cut) {
        print_message("    the consumer was cut meanwhile\n");
    }
    return cut;
}

static void assert_nothing_lost(void)
{
    const bool cut = lane_was_cut();
    end_consumer();
    assert_true(atomic_load(&consumer.shared->holes) == 0 || cut);
    assert_int_equal(atomic_load(&consumer.shared->lost), 0);
    for (unsigned i = 0; i < SERVICES; i++) {
        assert_int_equal(
            mlt_stack_metric(&stack, services[i], "meltica_hop_overrun_batches_total", ""), 0);
    }
}

static void test_short_stops_lose_nothing(void **state)
{
    (void)state;
    start(TEXT(RING_USUAL));
    for (unsigned times = 0; times < 3; times++) {
        stop_nats_until(ring_fills);
    }
    assert_memory_is_bounded(RING_USUAL);
    assert_nothing_lost();
    stop();
}

/* Connections end, and are made again; what they had not delivered comes again from the rings. */
static void test_a_stop_that_the_rings_outlast_loses_nothing(void **state)
{
    (void)state;
    start(TEXT(RING_LARGE));
    stop_nats_until(is_given_up);
    assert_memory_is_bounded(RING_LARGE);
    assert_nothing_lost();
    stop();
}

static void test_a_longer_stop_is_said_bounded_and_over(void **state)
{
    (void)state;
    start(TEXT(RING_SMALL));
    stop_nats_until(runs_over);
    assert_memory_is_bounded(RING_SMALL);
    assert_true(mlt_stack_metric(&stack, "dispatcher", "meltica_hop_lost_batches_total", "") > 0);
    const bool cut = lane_was_cut();
    end_consumer();
    assert_true(consumer.shared->named[CHAOS_BY_OUTAGE] == 0 || cut);
    assert_true(atomic_load(&consumer.shared->lost) > 0);
    stop();
}

int main(int argc, char **argv)
{
    mlt_subscriber_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_stops_lose_nothing),
        cmocka_unit_test(test_a_stop_that_the_rings_outlast_loses_nothing),
        cmocka_unit_test(test_a_longer_stop_is_said_bounded_and_over),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
