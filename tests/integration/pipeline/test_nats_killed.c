/*
 * The NATS server killed with -9 and started again under load. What it had taken and not handed on
 * is gone with it: between the services it comes again, and what a consumer missed is a hole in
 * `sequence`, up to the last event, whose place HEADS names.
 */
#include "mlt_test.h"

#include "golden.h"
#include "mlt_consumer.h"

static struct mlt_stack stack;
static struct mlt_consumer consumer;

/* Where the channels stand, as events and HEADS say. */
static struct {
    uint64_t epoch[MLT_EVENT_TYPE_COUNT], last[MLT_EVENT_TYPE_COUNT];
    uint64_t got[MLT_EVENT_TYPE_COUNT], missing[MLT_EVENT_TYPE_COUNT];
    uint64_t head[MLT_EVENT_TYPE_COUNT];
    unsigned epochs;
    bool wrong_order;
} seen;

static void look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes)
{
    (void)ctx, (void)bytes;
    if (event->type == MLT_EVENT_STATUS && event->u.status.kind == MLT_STATUS_HEADS) {
        for (size_t h = 0; h < event->u.status.head_count; h++) {
            seen.head[event->u.status.heads[h].type] = event->u.status.heads[h].sequence;
        }
    }
    if (event->sequence == 0) {
        return;
    }
    uint64_t *last = &seen.last[event->type];
    if (seen.epoch[event->type] != event->epoch) {
        seen.epochs += seen.epoch[event->type] != 0;
        seen.wrong_order = seen.wrong_order || event->epoch < seen.epoch[event->type];
        seen.epoch[event->type] = event->epoch;
        *last = 0;
    }
    if (event->sequence > *last) { /* else a repeat */
        seen.missing[event->type] += event->sequence - *last - 1;
        seen.got[event->type]++;
        *last = event->sequence;
    }
}

static bool complete(void *ctx)
{
    (void)ctx;
    return seen.head[MLT_EVENT_BBO] >= MAIN_BBO && seen.head[MLT_EVENT_TRADE] >= MAIN_TRADE &&
           seen.head[MLT_EVENT_BOOK_DELTA] >= MAIN_DELTA;
}

static void check_channel(enum mlt_event_type type, uint64_t expected)
{
    const uint64_t after_last = seen.head[type] - seen.last[type];
    print_message("type %d: got %llu, missing %llu, after the last %llu\n", (int)type,
                  (unsigned long long)seen.got[type], (unsigned long long)seen.missing[type],
                  (unsigned long long)after_last);
    assert_int_equal(seen.head[type], expected);
    assert_int_equal(seen.got[type] + seen.missing[type] + after_last, expected);
}

static void test_nats_killed_what_is_lost_is_a_hole_that_can_be_seen(void **state)
{
    const char *paths[2];
    (void)state;
    assert_true(golden_main_recording(paths));
    const struct mlt_stack_options options = {
        .exchange = { "--replay", paths[0], paths[1], "--speed", "30", "--send-all" },
        .adapter = { "--ring-bytes", MAIN_RING_BYTES },
        .dispatcher = { "--ring-bytes", MAIN_RING_BYTES },
        .conductor = { "--ring-bytes", MAIN_RING_BYTES },
    };
    mlt_stack_start(&stack, &options);
    memset(&consumer, 0, sizeof consumer);
    memset(&seen, 0, sizeof seen);
    consumer.look = look;
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
    for (uint64_t at = 15000; at <= 45000; at += 15000) {
        assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BBO, at, 60));
        mlt_stack_kill(&stack, "nats");
        mlt_stack_run(&stack, "nats");
    }
    const bool all = mlt_consumer_wait(&consumer, complete, NULL, 90);
    print_message("STATUS LOST: %llu\n",
                  (unsigned long long)mlt_consumer_status_count(&consumer, MLT_STATUS_LOST));
    /* All that the exchange sent was numbered, once: the hops lost and doubled nothing. */
    check_channel(MLT_EVENT_BBO, MAIN_BBO);
    check_channel(MLT_EVENT_TRADE, MAIN_TRADE);
    check_channel(MLT_EVENT_BOOK_DELTA, MAIN_DELTA);
    assert_true(all);
    assert_int_equal(seen.epochs, 0);
    assert_false(seen.wrong_order);
    mlt_consumer_stop(&consumer);
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
        cmocka_unit_test(test_nats_killed_what_is_lost_is_a_hole_that_can_be_seen),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
