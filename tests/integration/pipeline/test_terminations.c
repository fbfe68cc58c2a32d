/*
 * SIGTERM under load, as a rolling restart does it: nothing is lost, nothing is doubled (by the
 * consumer's rule), and no loss is said where there was none.
 */
#include "mlt_test.h"

#include <stdlib.h>

#include "golden.h"
#include "mlt_consumer.h"

static struct mlt_stack stack;
static struct mlt_consumer consumer;

static void start(const char *const paths[2])
{
    const struct mlt_stack_options options = { .exchange = { "--replay", paths[0], paths[1],
                                                             "--speed", "200", "--send-all" } };
    memset(&consumer, 0, sizeof consumer);
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
}

static void await_all(void)
{
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BBO, MAIN_BBO, 60));
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_TRADE, MAIN_TRADE, 10));
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BOOK_DELTA, MAIN_DELTA, 10));
}

static void stop(void)
{
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
}

static void test_one_after_another_nothing_is_lost(void **state)
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
            assert_int_equal(mlt_stack_terminate(&stack, order[i]), 0);
            mlt_stack_run(&stack, order[i]);
        }
    }
    await_all();
    struct mlt_tally_totals totals;
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
        cmocka_unit_test(test_one_after_another_nothing_is_lost),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
