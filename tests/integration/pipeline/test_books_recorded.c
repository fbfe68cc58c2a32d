/*
 * Recorded markets through the whole of Meltica: what the fused books are is what the recordings
 * say, at any speed, as `meltica collect` reports it.
 */
#include "mlt_test.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

#include "books.h"
#include "golden.h"
#include "mlt_consumer.h"

#define COMMON_IDS 1072 /* of bookTicker and depth */
#define LAST_ID INT64_C(50093696318)
#define SYMBOLS 4u

static struct mlt_stack stack;
static struct mlt_consumer consumer;

/* Under the consumer's lock. */
static struct seen {
    struct mlt_books *books;
    enum mlt_status status;
    int64_t last[SYMBOLS]; /* update id of the last whole LIVE BOOK */
    uint64_t limited;      /* BOOKs with fewer levels than they would show */
    uint64_t unsettled;    /* STATUS GAP, STALE */
    uint64_t deltas[SYMBOLS], live_after[SYMBOLS]; /* deltas, and how many came before LIVE */
    bool live[SYMBOLS];
} seen;

static const char *const tokens[SYMBOLS] = { "NKN-USDT", "BLZ-ETH", "LRC-BTC", "RUNE-EUR" };

static unsigned number_of(struct mlt_slice instrument)
{
    for (unsigned i = 0; i < SYMBOLS; i++) {
        if (mlt_slice_equal_string(instrument, tokens[i])) {
            return i;
        }
    }
    return 0; /* of the main recording: the only one */
}

static void look_status(unsigned i, const struct mlt_status_event *status)
{
    seen.unsettled += status->kind == MLT_STATUS_GAP || status->kind == MLT_STATUS_STALE;
    if (status->kind == MLT_STATUS_LIVE && !seen.live[i]) {
        seen.live[i] = true;
        seen.live_after[i] = seen.deltas[i];
    }
}

static void look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes)
{
    (void)ctx;
    (void)bytes;
    const unsigned i = number_of(event->instrument);
    const enum mlt_status status = mlt_books_event(seen.books, event);
    seen.status = status != MLT_OK ? status : seen.status;
    if (event->type == MLT_EVENT_BOOK_DELTA) {
        seen.deltas[i]++;
    } else if (event->type == MLT_EVENT_STATUS) {
        look_status(i, &event->u.status);
    } else if (event->type == MLT_EVENT_BOOK && event->u.book.state == MLT_BOOK_LIVE) {
        const bool limited = (event->quality & MLT_QUALITY_DEPTH_LIMITED) != 0;
        seen.limited += limited;
        seen.last[i] = limited ? seen.last[i] : event->u.book.last_update_id;
    }
}

static void start(const struct mlt_stack_options *options)
{
    memset(&seen, 0, sizeof seen);
    memset(&consumer, 0, sizeof consumer);
    assert_int_equal(mlt_books_create(&seen.books), MLT_OK);
    consumer.look = look;
    mlt_stack_start(&stack, options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
}

/* The report, after all of the stack has ended. */
static cJSON *finish(void)
{
    struct mlt_buf text;
    mlt_buf_init(&text, 1u << 20);
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
    assert_int_equal(seen.status, MLT_OK);
    assert_int_equal(mlt_buf_append_byte(&text, '{'), MLT_OK);
    assert_int_equal(mlt_books_report(seen.books, &text), MLT_OK);
    assert_int_equal(mlt_buf_append(&text, "}", 2), MLT_OK);
    print_message("%s\n", (const char *)text.data);
    cJSON *report = cJSON_Parse((const char *)text.data);
    assert_non_null(report);
    mlt_buf_fini(&text);
    mlt_books_destroy(seen.books);
    return report;
}

static const cJSON *book_of(const cJSON *report, const char *token)
{
    const cJSON *book =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(report, "books"), token);
    assert_non_null(book);
    return book;
}

static int64_t count_of(const cJSON *book, const char *member)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(book, member);
    assert_true(cJSON_IsNumber(item));
    return (int64_t)item->valuedouble;
}

static void assert_level(const cJSON *book, const char *side, const char *price,
                         const char *quantity)
{
    const cJSON *level = cJSON_GetObjectItemCaseSensitive(book, side);
    assert_int_equal(cJSON_GetArraySize(level), 2);
    assert_string_equal(cJSON_GetArrayItem(level, 0)->valuestring, price);
    assert_string_equal(cJSON_GetArrayItem(level, 1)->valuestring, quantity);
}

/* LIVE since it was first, right, never crossed. */
static void assert_sound(const cJSON *book)
{
    assert_string_equal(cJSON_GetObjectItemCaseSensitive(book, "state")->valuestring, "LIVE");
    assert_int_equal(count_of(book, "bbo_mismatches"), 0);
    assert_int_equal(count_of(book, "digest_mismatches"), 0);
    assert_true(count_of(book, "digest_matches") > 0);
    assert_int_equal(count_of(book, "crossed"), 0);
    assert_int_equal(count_of(book, "resyncs"), 0);
}

/* ---- the main recording ---- */

static bool main_done(void *ctx)
{
    (void)ctx;
    return consumer.counts[MLT_EVENT_BBO] >= MAIN_BBO &&
           consumer.counts[MLT_EVENT_BOOK_DELTA] >= MAIN_DELTA && seen.last[0] == LAST_ID;
}

static void main_recording_at(const char *speed, int seconds)
{
    const char *paths[2];
    assert_true(golden_main_recording(paths));
    const struct mlt_stack_options options = { .exchange = { "--replay", paths[0], paths[1],
                                                             "--speed", speed, "--send-all",
                                                             "--start-depth", "1000" },
                                               .conductor = { GOLDEN_CONDUCTOR } };
    start(&options);
    assert_true(mlt_consumer_wait(&consumer, main_done, NULL, seconds));
    assert_int_equal(seen.unsettled, 0);
    const uint64_t wrong = mlt_stack_metric(
        &stack, "conductor", "meltica_conductor_book_audits_total", "outcome=\"wrong\"");
    const uint64_t right = mlt_stack_metric(
        &stack, "conductor", "meltica_conductor_book_audits_total", "outcome=\"right\"");
    print_message("%s: %llu BOOKs of few levels, %llu audits\n", speed,
                  (unsigned long long)seen.limited, (unsigned long long)right);
    assert_int_equal(wrong, 0);
    assert_true(right > 0);
    assert_true(mlt_stack_metric(&stack, "conductor",
                                 "meltica_conductor_book_unknown_deletes_total", "") > 0);
    cJSON *report = finish();
    const cJSON *book = book_of(report, "BTC-USDT");
    assert_sound(book);
    assert_int_equal(count_of(book, "bbo_matches"), COMMON_IDS);
    assert_int_equal(count_of(book, "levels"), 20);
    assert_int_equal(count_of(book, "last_update_id"), LAST_ID);
    assert_level(book, "bid", "61602.01", "1.67177");
    assert_level(book, "ask", "61602.02", "2.66795");
    cJSON_Delete(report);
}

static void test_the_main_recording_is_one_right_book_at_100_times(void **state)
{
    (void)state;
    main_recording_at("100", 60);
}

static void test_the_main_recording_is_one_right_book_as_fast_as_it_goes(void **state)
{
    (void)state;
    main_recording_at("max", 60);
}

/* In market time: only where it is asked for. */
static void test_the_main_recording_is_one_right_book_at_the_speed_of_the_market(void **state)
{
    (void)state;
    if (getenv("MELTICA_TEST_MARKET_SPEED") == NULL) {
        skip();
    }
    main_recording_at("1", 720);
}

/* ---- four symbols ---- */

static bool four_done(void *ctx)
{
    (void)ctx;
    bool live = true;
    for (unsigned i = 0; i < SYMBOLS; i++) {
        live = live && seen.live[i] && seen.last[i] > 0;
    }
    return live && consumer.counts[MLT_EVENT_BOOK_DELTA] >= 177 &&
           consumer.counts[MLT_EVENT_BBO] >= 84;
}

static void test_four_symbols_join_and_the_quiet_one_is_live_at_once(void **state)
{
    (void)state;
    const char *const paths[2] = { mlt_stack_recording("cryptofeed/BINANCE.http.0.0"),
                                   mlt_stack_recording("cryptofeed/BINANCE.ws.1.0") };
    if (paths[0] == NULL || paths[1] == NULL) {
        skip();
    }
    const struct mlt_stack_options options = { .exchange = { "--replay", paths[0], paths[1],
                                                             "--speed", "4", "--send-all" } };
    start(&options);
    assert_true(mlt_consumer_wait(&consumer, four_done, NULL, 60));
    assert_int_equal(seen.unsettled, 0);
    print_message("RUNE-EUR: LIVE after %llu of %llu deltas\n",
                  (unsigned long long)seen.live_after[3], (unsigned long long)seen.deltas[3]);
    /* Its last delta comes after 19 s of silence in the market; the book did not wait for it. */
    assert_true(seen.live_after[3] < seen.deltas[3]);
    cJSON *report = finish();
    for (unsigned i = 0; i < SYMBOLS; i++) {
        assert_sound(book_of(report, tokens[i]));
    }
    cJSON_Delete(report);
}

int main(void)
{
    const char *paths[2];
    if (!golden_main_recording(paths)) {
        print_message("skipped: the recordings are absent (MELTICA_CAPTURES)\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_main_recording_is_one_right_book_as_fast_as_it_goes),
        cmocka_unit_test(test_the_main_recording_is_one_right_book_at_100_times),
        cmocka_unit_test(test_the_main_recording_is_one_right_book_at_the_speed_of_the_market),
        cmocka_unit_test(test_four_symbols_join_and_the_quiet_one_is_live_at_once),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
