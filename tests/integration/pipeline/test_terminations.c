/*
 * SIGTERM under load, as a rolling restart does it: nothing is lost, nothing is doubled (by the
 * consumer's rule), and no loss is said where there was none.
 */
#include "mlt_test.h"

#include <stdlib.h>

#include "golden.h"
#include "mlt_consumer.h"

/* Under ThreadSanitizer a service takes longer to start again than a ring keeps what comes
 * meanwhile: there may be losses then, but none that is not said. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MAY_OVERRUN true
#endif
#endif
#ifndef MAY_OVERRUN
#define MAY_OVERRUN false
#endif
#define SPEED "30"

static struct mlt_stack stack;
static struct mlt_consumer consumer;

static uint64_t epoch, revision; /* highest seen: of the Conductor, and of the Dispatcher */

static void look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes)
{
    epoch = event->epoch > epoch ? event->epoch : epoch;
    revision = event->route_revision > revision ? event->route_revision : revision;
    golden_look(ctx, event, bytes);
}

static void start(const char *const paths[2])
{
    const struct mlt_stack_options options = {
        .exchange = { "--replay", paths[0], paths[1], "--speed", SPEED, "--send-all" },
        .adapter = { "--ring-bytes", MAIN_RING_BYTES },
        .dispatcher = { "--ring-bytes", MAIN_RING_BYTES },
        .conductor = { "--ring-bytes", MAIN_RING_BYTES, GOLDEN_CONDUCTOR },
    };
    memset(&consumer, 0, sizeof consumer);
    consumer.look = look;
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
}

static void await_all(void)
{
    if (!mlt_consumer_wait_count(&consumer, MLT_EVENT_BBO, MAIN_BBO, 60)) {
        struct mlt_tally_totals totals;
        mlt_consumer_totals(&consumer, &totals);
        fail_msg("%llu BBO of %u, %llu STATUS LOST, %llu gaps, %llu sequence holes",
                 (unsigned long long)mlt_consumer_count(&consumer, MLT_EVENT_BBO), MAIN_BBO,
                 (unsigned long long)totals.lost, (unsigned long long)totals.gaps,
                 (unsigned long long)totals.sequence_holes);
    }
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_TRADE, MAIN_TRADE, 10));
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BOOK_DELTA, MAIN_DELTA, 10));
}

struct successor {
    const char *name;
    uint64_t epoch, revision;
};

static bool is_at_work(void *ctx)
{
    const struct successor *before = ctx;
    return strcmp(before->name, "dispatcher") == 0  ? revision > before->revision
           : strcmp(before->name, "conductor") == 0 ? epoch > before->epoch
                                                    : true;
}

/* It drains in time and says that it did. */
static void terminate(const char *name)
{
    const int status = mlt_stack_terminate(&stack, name);
    for (unsigned i = 0; status != 0 && i < MLT_STACK_PROCESSES; i++) {
        if (strcmp(stack.processes[i].name, name) == 0) {
            fail_msg("%s ended with %d; its last words:\n%s", name, status,
                     stack.processes[i].last_words);
        }
    }
}

static void stop(void)
{
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
}

static void test_sigterm_under_load_loses_nothing(void **state)
{
    static const char *const order[] = { "dispatcher", "conductor", "data-bus" };
    const char *paths[2];
    char expected[128], text[128];
    (void)state;
    assert_true(golden_main_recording(paths));
    golden_stream_hash(paths, 2, expected);
    start(paths);
    uint64_t at = 5000;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 3; i++, at += 9000) {
            assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BBO, at, 60));
            (void)pthread_mutex_lock(&consumer.lock);
            struct successor before = { order[i], epoch, revision };
            (void)pthread_mutex_unlock(&consumer.lock);
            terminate(order[i]);
            mlt_stack_run(&stack, order[i]);
            /* Else its neighbour would end before it was acknowledged: two ends new at once. */
            assert_true(mlt_consumer_wait(&consumer, is_at_work, &before, 30));
        }
    }
    struct mlt_tally_totals totals;
    if (MAY_OVERRUN) {
        mlt_consumer_totals(&consumer, &totals);
        assert_true(totals.gaps + totals.sequence_holes == 0 || totals.lost > 0);
        stop();
        return;
    }
    await_all();
    mlt_consumer_totals(&consumer, &totals);
    assert_int_equal(totals.gaps, 0);
    assert_int_equal(totals.sequence_holes, 0);
    assert_int_equal(totals.lost, 0);
    char *report = mlt_consumer_report(&consumer);
    mlt_json_text(report, "stream_hash", text);
    assert_string_equal(text, expected);
    free(report);
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
        cmocka_unit_test(test_sigterm_under_load_loses_nothing),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
