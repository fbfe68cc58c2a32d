/*
 * 100,000 damaged frames (bit flips, truncation, wrong types, huge numbers, deep nesting, 10 MB)
 * through a running Adapter: it lives, its memory stays flat, and each frame is accounted for.
 */
#include "mlt_test.h"

#include <stdlib.h>

#include "golden.h"
#include "mlt_consumer.h"
#include "scrape.h"

#define FRAMES 100000u
#define GROWTH_BYTES_MAX (8u << 20)

static struct mlt_stack stack;
static struct mlt_consumer consumer;

static uint64_t frames_read(void)
{
    return mlt_stack_metric(&stack, "adapter", "meltica_adapter_frames_total", "");
}

struct progress {
    uint64_t wanted;
};

static bool frames_reached(void *ctx)
{
    const struct progress *p = ctx;
    return frames_read() >= p->wanted;
}

static uint64_t resident_now(void)
{
    return mlt_stack_metric(&stack, "adapter", "process_resident_memory_bytes", "");
}

static void test_a_hundred_thousand_damaged_frames(void **state)
{
    (void)state;
    const char *paths[2];
    assert_true(golden_main_recording(paths));
    const struct mlt_stack_options options = {
        .exchange = { "--replay", paths[0], paths[1], "--speed", "max", "--send-all", "--mutate",
                      "7", "--mutate-count", "100000" }
    };
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
    struct progress quarter = { FRAMES / 4 }, all = { FRAMES };
    assert_true(mlt_consumer_wait(&consumer, frames_reached, &quarter, 120));
    const uint64_t early = resident_now();
    assert_true(mlt_consumer_wait(&consumer, frames_reached, &all, 240));
    const uint64_t late = resident_now();
    print_message("resident after a quarter %llu, at the end %llu bytes\n",
                  (unsigned long long)early, (unsigned long long)late);
    assert_true(early > 0);
#if !MLT_TEST_SANITIZED /* a sanitizer keeps what was freed */
    assert_true(late < early + GROWTH_BYTES_MAX);
#endif
    assert_int_equal(mlt_stack_exchange_status(&stack, "frames_mutated"), FRAMES);
    /* Each frame became instances (good or refused), an answer, or a shutdown notice. */
    const uint64_t good =
        mlt_stack_metric(&stack, "adapter", "meltica_adapter_instances_total", "");
    const uint64_t refused =
        mlt_stack_metric(&stack, "adapter", "meltica_adapter_unparsed_total", "");
    const uint64_t other =
        mlt_stack_metric(&stack, "adapter", "meltica_adapter_frames_total", "kind=\"answer\"") +
        mlt_stack_metric(&stack, "adapter", "meltica_adapter_frames_total", "kind=\"shutdown\"");
    assert_true(refused > FRAMES / 10);
    assert_true(good >
                FRAMES / 100); /* damage is in every frame, rarely where it does not matter */
    assert_true(good + refused + other >= frames_read());
    mlt_consumer_stop(&consumer);
    assert_int_equal(mlt_stack_terminate(&stack, "adapter"), 0); /* it lived */
    mlt_stack_stop(&stack);
}

int main(void)
{
    const char *paths[2];
    if (!golden_main_recording(paths)) {
        print_message("skipped: the recordings are absent (MELTICA_CAPTURES)\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hundred_thousand_damaged_frames),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
