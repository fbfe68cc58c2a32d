#include "mlt_test.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/check.h"
#include "meltica/base/clock.h"
#include "meltica/base/error.h"
#include "meltica/rt/loop.h"

#define MS MLT_NS_PER_MS
#define THREADS 8
#define POSTS_EACH 2000

static struct mlt_loop *loop;

static int make_loop(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    return mlt_loop_create(&loop, &err) == MLT_OK ? 0 : -1;
}

static int drop_loop(void **state)
{
    (void)state;
    mlt_loop_destroy(loop);
    loop = NULL;
    return 0;
}

static void run(void)
{
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_loop_run(loop, &err), MLT_OK);
}

static void stop(void *ctx)
{
    (void)ctx;
    mlt_loop_stop(loop);
}

/* ---- memory ---- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define INSTRUMENTED 1
#endif
#endif

/* First of all tests: what later ones leave is not the loop's. */
static void test_process_with_a_loop_stays_below_8_mib(void **state)
{
    (void)state;
#ifdef INSTRUMENTED
    skip(); /* the memory is the sanitizer's */
#else
    char line[256];
    long kib = 0;
    assert_int_equal(mlt_loop_post(loop, stop, NULL), MLT_OK);
    run();
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "VmRSS:", 6) == 0) {
            kib = strtol(line + 6, NULL, 10);
        }
    }
    assert_int_equal(fclose(file), 0);
    assert_true(kib > 100);
    if (kib > 8 * 1024) {
        fail_msg("%ld KiB resident", kib);
    }
#endif
}

/* ---- posted work ---- */

struct post {
    unsigned thread, number;
};
static struct post posts[THREADS][POSTS_EACH];
static unsigned next_number[THREADS];
static unsigned out_of_order, ran;
static unsigned foreign_thread;
static pthread_t loop_thread;

static void on_post(void *ctx)
{
    const struct post *post = ctx;
    out_of_order += post->number != next_number[post->thread] ? 1 : 0;
    next_number[post->thread] = post->number + 1;
    foreign_thread += pthread_equal(pthread_self(), loop_thread) ? 0 : 1;
    if (++ran == THREADS * POSTS_EACH) {
        mlt_loop_stop(loop);
    }
}

static void *poster(void *ctx)
{
    struct post *mine = ctx;
    for (unsigned i = 0; i < POSTS_EACH; i++) {
        enum mlt_status status = MLT_OK;
        while ((status = mlt_loop_post(loop, on_post, &mine[i])) == MLT_E_FULL) {
            (void)sched_yield(); /* the loop has the processor to thank for */
        }
        MLT_CHECK(status == MLT_OK);
    }
    return NULL;
}

static void test_posts_of_many_threads_run_on_the_loop_in_order_of_each(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    loop_thread = pthread_self();
    for (unsigned t = 0; t < THREADS; t++) {
        for (unsigned i = 0; i < POSTS_EACH; i++) {
            posts[t][i] = (struct post){ t, i };
        }
        assert_int_equal(pthread_create(&threads[t], NULL, poster, posts[t]), 0);
    }
    run();
    for (unsigned t = 0; t < THREADS; t++) {
        assert_int_equal(pthread_join(threads[t], NULL), 0);
        assert_int_equal(next_number[t], POSTS_EACH);
    }
    assert_int_equal(ran, THREADS * POSTS_EACH);
    assert_int_equal(out_of_order, 0);
    assert_int_equal(foreign_thread, 0);
}

static void count_up(void *ctx)
{
    ++*(unsigned *)ctx;
}

static void test_unposted_tasks_do_not_run_and_the_others_do(void **state)
{
    (void)state;
    unsigned kept = 0;
    unsigned taken_back = 0;
    const uint64_t turn = mlt_loop_turn(loop);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(mlt_loop_post(loop, count_up, &kept), MLT_OK);
        assert_int_equal(mlt_loop_post(loop, count_up, &taken_back), MLT_OK);
    }
    mlt_loop_unpost(loop, count_up, &taken_back);
    assert_int_equal(mlt_loop_post(loop, stop, NULL), MLT_OK);
    run();
    assert_int_equal(kept, 10);
    assert_int_equal(taken_back, 0);
    assert_true(mlt_loop_turn(loop) > turn);
}

static void test_queue_says_full_at_its_bound_and_loses_nothing(void **state)
{
    (void)state;
    unsigned count = 0;
    for (unsigned i = 0; i < MLT_LOOP_POSTED_MAX - 1; i++) {
        assert_int_equal(mlt_loop_post(loop, count_up, &count), MLT_OK);
    }
    assert_int_equal(mlt_loop_post(loop, stop, NULL), MLT_OK);
    assert_int_equal(mlt_loop_post(loop, count_up, &count), MLT_E_FULL);
    assert_int_equal(count, 0);
    run();
    assert_int_equal(count, MLT_LOOP_POSTED_MAX - 1);
    assert_int_equal(mlt_loop_post(loop, count_up, &count), MLT_OK); /* room again */
}

static void test_run_returns_after_the_task_that_stops_and_keeps_the_rest(void **state)
{
    (void)state;
    unsigned count = 0;
    assert_int_equal(mlt_loop_post(loop, count_up, &count), MLT_OK);
    assert_int_equal(mlt_loop_post(loop, stop, NULL), MLT_OK);
    assert_int_equal(mlt_loop_post(loop, count_up, &count), MLT_OK);
    assert_int_equal(mlt_loop_post(loop, stop, NULL), MLT_OK);
    run();
    assert_int_equal(count, 1);
    run();
    assert_int_equal(count, 2);
}

static void test_stop_before_run_is_not_lost(void **state)
{
    (void)state;
    mlt_loop_stop(loop);
    run();
}

static void *stop_from_elsewhere(void *ctx)
{
    (void)ctx;
    mlt_loop_stop(loop);
    return NULL;
}

static void test_stop_from_another_thread_ends_an_idle_loop(void **state)
{
    (void)state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_from_elsewhere, NULL), 0);
    run();
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static unsigned chain_left;

static void post_again(void *ctx)
{
    (void)ctx;
    if (chain_left == 0) {
        mlt_loop_stop(loop);
        return;
    }
    chain_left--;
    MLT_CHECK(mlt_loop_post(loop, post_again, NULL) == MLT_OK);
}

static void test_a_chain_of_posts_does_not_starve_timers(void **state)
{
    (void)state;
    struct mlt_timer *timer = NULL;
    chain_left = UINT32_MAX; /* never ends by itself */
    assert_int_equal(mlt_timer_create(loop, stop, NULL, &timer), MLT_OK);
    mlt_timer_start(timer, 20 * MS);
    assert_int_equal(mlt_loop_post(loop, post_again, NULL), MLT_OK);
    run();
    assert_true(chain_left < UINT32_MAX);
    mlt_timer_destroy(timer);
}

/* ---- timers ---- */

static char fired[16];
static size_t fired_count;
static struct mlt_timer *timers[4];

static void on_named(void *ctx)
{
    assert_true(fired_count < sizeof fired - 1);
    fired[fired_count++] = *(const char *)ctx;
}

static void make_timers(void (*fn)(void *ctx))
{
    static char names[] = "abcd";
    memset(fired, 0, sizeof fired);
    fired_count = 0;
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(mlt_timer_create(loop, fn, &names[i], &timers[i]), MLT_OK);
        assert_false(mlt_timer_active(timers[i]));
    }
}

static void destroy_timers(void)
{
    for (unsigned i = 0; i < 4; i++) {
        mlt_timer_destroy(timers[i]);
        timers[i] = NULL;
    }
}

static void test_timers_fire_in_order_of_time_not_before_it_and_once(void **state)
{
    (void)state;
    struct mlt_timer *end = NULL;
    make_timers(on_named);
    assert_int_equal(mlt_timer_create(loop, stop, NULL, &end), MLT_OK);
    const int64_t begun = mlt_clock_mono_ns();
    mlt_timer_start(end, 60 * MS);
    mlt_timer_start(timers[0], 40 * MS);
    mlt_timer_start(timers[1], 5 * MS);
    mlt_timer_start(timers[2], 20 * MS);
    mlt_timer_start(timers[3], 0);
    assert_true(mlt_timer_active(timers[3]));
    run();
    assert_true(mlt_clock_mono_ns() - begun >= 60 * MS);
    assert_string_equal(fired, "dbca");
    assert_false(mlt_timer_active(timers[0]));
    destroy_timers();
    mlt_timer_destroy(end);
}

static void test_start_replaces_and_stop_cancels(void **state)
{
    (void)state;
    struct mlt_timer *end = NULL;
    make_timers(on_named);
    assert_int_equal(mlt_timer_create(loop, stop, NULL, &end), MLT_OK);
    mlt_timer_start(end, 50 * MS);
    mlt_timer_start(timers[0], 1 * MS);
    mlt_timer_start(timers[0], 30 * MS); /* later */
    mlt_timer_start(timers[1], 60000 * MS);
    mlt_timer_start(timers[1], 10 * MS); /* earlier */
    mlt_timer_start(timers[2], 5 * MS);
    mlt_timer_stop(timers[2]);
    mlt_timer_stop(timers[2]);
    assert_false(mlt_timer_active(timers[2]));
    run();
    assert_string_equal(fired, "ba");
    destroy_timers();
    mlt_timer_destroy(end);
}

static void restart_three_times(void *ctx)
{
    on_named(ctx);
    if (fired_count < 3) {
        mlt_timer_start(timers[0], 2 * MS);
    } else {
        mlt_loop_stop(loop);
    }
}

static void test_a_timer_restarts_itself(void **state)
{
    (void)state;
    make_timers(restart_three_times);
    mlt_timer_start(timers[0], 0);
    run();
    assert_string_equal(fired, "aaa");
    destroy_timers();
}

/* Both are due when the loop turns first, a before b. */
static void start_two_due(void)
{
    mlt_timer_start(timers[0], 0);
    mlt_timer_start(timers[1], 1 * MS);
    const int64_t due = mlt_clock_mono_ns() + 2 * MS;
    while (mlt_clock_mono_ns() < due) {
    }
}

static void destroy_itself(void *ctx)
{
    on_named(ctx);
    mlt_timer_destroy(timers[0]);
    timers[0] = NULL;
    mlt_timer_destroy(timers[1]); /* and one that is due in the same turn */
    timers[1] = NULL;
    mlt_timer_start(timers[3], 5 * MS);
}

static void name_and_stop(void *ctx)
{
    on_named(ctx);
    mlt_loop_stop(loop);
}

static void test_a_timer_destroys_itself_and_another(void **state)
{
    (void)state;
    make_timers(destroy_itself);
    mlt_timer_destroy(timers[3]);
    static char d[] = "d";
    assert_int_equal(mlt_timer_create(loop, name_and_stop, d, &timers[3]), MLT_OK);
    start_two_due();
    run();
    assert_string_equal(fired, "ad");
    destroy_timers();
}

static void test_a_timer_due_with_the_stop_waits_for_the_next_run(void **state)
{
    (void)state;
    make_timers(name_and_stop);
    start_two_due();
    run();
    assert_int_equal(fired_count, 1);
    run();
    assert_string_equal(fired, "ab");
    destroy_timers();
}

/* ---- signals ---- */

static int signals[8];
static size_t signal_count;

static void on_signal(void *ctx, int number)
{
    assert_ptr_equal(ctx, signals);
    assert_true(signal_count < 8);
    signals[signal_count++] = number;
    if (signal_count == 3) {
        mlt_loop_stop(loop);
    }
}

static void test_signals_come_as_events_and_end_nothing(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    signal_count = 0;
    assert_int_equal(mlt_loop_on_signal(loop, on_signal, signals, &err), MLT_OK);
    assert_int_equal(mlt_loop_on_signal(loop, on_signal, signals, &err), MLT_E_EXISTS);
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    assert_int_equal(kill(getpid(), SIGINT), 0);
    assert_int_equal(kill(getpid(), SIGHUP), 0);
    run();
    int seen = 0;
    for (size_t i = 0; i < signal_count; i++) {
        seen |= signals[i] == SIGTERM ? 1 : signals[i] == SIGINT ? 2 : signals[i] == SIGHUP ? 4 : 8;
    }
    assert_int_equal(seen, 7);
}

static void test_a_broken_pipe_is_an_error_not_an_end(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(write(ends[1], "x", 1), -1);
    assert_int_equal(close(ends[1]), 0);
}

#define LOOP_TEST(f) cmocka_unit_test_setup_teardown(f, make_loop, drop_loop)

int main(void)
{
    if (mlt_signals_block() != MLT_OK) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        LOOP_TEST(test_process_with_a_loop_stays_below_8_mib),
        LOOP_TEST(test_posts_of_many_threads_run_on_the_loop_in_order_of_each),
        LOOP_TEST(test_unposted_tasks_do_not_run_and_the_others_do),
        LOOP_TEST(test_queue_says_full_at_its_bound_and_loses_nothing),
        LOOP_TEST(test_run_returns_after_the_task_that_stops_and_keeps_the_rest),
        LOOP_TEST(test_stop_before_run_is_not_lost),
        LOOP_TEST(test_stop_from_another_thread_ends_an_idle_loop),
        LOOP_TEST(test_a_chain_of_posts_does_not_starve_timers),
        LOOP_TEST(test_timers_fire_in_order_of_time_not_before_it_and_once),
        LOOP_TEST(test_start_replaces_and_stop_cancels),
        LOOP_TEST(test_a_timer_restarts_itself),
        LOOP_TEST(test_a_timer_destroys_itself_and_another),
        LOOP_TEST(test_a_timer_due_with_the_stop_waits_for_the_next_run),
        LOOP_TEST(test_signals_come_as_events_and_end_nothing),
        LOOP_TEST(test_a_broken_pipe_is_an_error_not_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
