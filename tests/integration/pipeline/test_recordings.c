/* Recorded frames through all five processes: the consumer gets exactly what is in them, the same
 * at any speed. */
#include "mlt_test.h"

#include <stdlib.h>

#include "golden.h"
#include "mlt_consumer.h"

static void start(struct mlt_stack *stack, struct mlt_consumer *consumer,
                  const struct mlt_stack_options *options)
{
    mlt_stack_start(stack, options);
    mlt_consumer_start(consumer, stack->nats_url);
    mlt_stack_run_services(stack);
}

static void main_recording_at(const char *speed, const char *expected_hash)
{
    const char *paths[2];
    assert_true(golden_main_recording(paths));
    const struct mlt_stack_options options = { .exchange = { "--replay", paths[0], paths[1],
                                                             "--speed", speed, "--send-all" },
                                               .conductor = { GOLDEN_CONDUCTOR } };
    static struct mlt_stack stack;
    static struct mlt_consumer consumer;
    memset(&consumer, 0, sizeof consumer);
    start(&stack, &consumer, &options);
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BBO, MAIN_BBO, 90));
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_TRADE, MAIN_TRADE, 10));
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BOOK_DELTA, MAIN_DELTA, 10));
    assert_int_equal(mlt_stack_exchange_status(&stack, "frames_sent"), MAIN_FRAMES);
    assert_int_equal(
        mlt_stack_metric(&stack, "adapter", "meltica_adapter_frames_total", "kind=\"data\""),
        MAIN_FRAMES);
    struct mlt_tally_totals totals;
    mlt_consumer_totals(&consumer, &totals);
    assert_int_equal(totals.gaps, 0);
    assert_int_equal(totals.duplicates, 0);
    assert_int_equal(totals.sequence_holes, 0);
    assert_int_equal(totals.lost, 0);
    static const char *const stages[] = { "adapter", "dispatcher" };
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(mlt_stack_metric(&stack, stages[i], "meltica_rejected_total", ""), 0);
    }
    assert_int_equal(mlt_stack_metric(&stack, "data-bus", "meltica_bus_unrouted_total", ""), 0);
    char *report = mlt_consumer_report(&consumer);
    char text[128];
    mlt_json_text(report, "stream_hash", text);
    assert_string_equal(text, expected_hash);
    assert_non_null(strstr(report, "\"trade_quantity\":{\"BTC-USDT\":\"437.91552\"}"));
    assert_non_null(strstr(report, "\"trade_notional\":{\"BTC-USDT\":\"27006929.5910348\"}"));
    assert_non_null(strstr(report, "\"first\":50093239189,\"last\":50093696318"));
    free(report);
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
}

static void test_main_recording_is_the_same_stream_at_any_speed(void **state)
{
    (void)state;
    const char *paths[2];
    if (!golden_main_recording(paths)) {
        skip();
    }
    char hash[128];
    golden_stream_hash(paths, 2, hash);
    main_recording_at("max", hash);
    main_recording_at("100", hash);
}

static bool four_symbols_done(void *ctx)
{
    const struct mlt_consumer *c = ctx;
    return c->counts[MLT_EVENT_BOOK_DELTA] >= 177 && c->counts[MLT_EVENT_BBO] >= 84 &&
           c->counts[MLT_EVENT_AGG_TRADE] >= 2 && c->counts[MLT_EVENT_KLINE] >= 2 &&
           c->counts[MLT_EVENT_INSTRUMENT] >= 1695;
}

static void test_four_symbol_recording_with_its_whole_listing(void **state)
{
    (void)state;
    const char *const paths[3] = { mlt_stack_recording("cryptofeed/BINANCE.0.zst"),
                                   mlt_stack_recording("cryptofeed/BINANCE.http.0.0"),
                                   mlt_stack_recording("cryptofeed/BINANCE.ws.1.0") };
    if (paths[0] == NULL || paths[1] == NULL || paths[2] == NULL) {
        skip();
    }
    char hash[128], text[128];
    golden_stream_hash(paths, 3, hash);
    const struct mlt_stack_options options = {
        .exchange = { "--replay", paths[0], paths[1], paths[2], "--speed", "max", "--send-all" },
        .conductor = { GOLDEN_CONDUCTOR },
    };
    static struct mlt_stack stack;
    static struct mlt_consumer consumer;
    start(&stack, &consumer, &options);
    assert_true(mlt_consumer_wait(&consumer, four_symbols_done, &consumer, 60));
    struct mlt_tally_totals totals;
    mlt_consumer_totals(&consumer, &totals);
    assert_int_equal(totals.gaps + totals.duplicates + totals.sequence_holes + totals.lost, 0);
    assert_int_equal(mlt_consumer_count(&consumer, MLT_EVENT_BOOK_DELTA), 177);
    assert_int_equal(mlt_consumer_count(&consumer, MLT_EVENT_BBO), 84);
    assert_int_equal(mlt_consumer_count(&consumer, MLT_EVENT_AGG_TRADE), 2);
    assert_int_equal(mlt_consumer_count(&consumer, MLT_EVENT_KLINE), 2);
    assert_int_equal(mlt_consumer_count(&consumer, MLT_EVENT_INSTRUMENT), 1695);
    char *report = mlt_consumer_report(&consumer);
    mlt_json_text(report, "stream_hash", text);
    assert_string_equal(text, hash);
    free(report);
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
        cmocka_unit_test(test_main_recording_is_the_same_stream_at_any_speed),
        cmocka_unit_test(test_four_symbol_recording_with_its_whole_listing),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
