/*
 * A week of rollovers, with a day of LIFE_S seconds: 500 instruments with quotes, trades and books
 * on lines that the exchange ends after a day each, and the Adapter replaces before, seven times
 * and more. The market begins when every stream is subscribed and ends by itself, so what it sent
 * is known: each frame must have become one event, none two, and no book may have been fetched
 * again.
 */
#include "mlt_test.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mlt_consumer.h"
#include "mlt_stack.h"

#define SYMBOLS 500u
#define DAYS 7u
#define LIFE_S "20"
#define ROLLOVER_MS "19167" /* 23 of 24 hours */
#define MARKET_S "170"      /* eight days and what comes before the first begins */

/* Fewer levels than asked for: each snapshot is the whole book, so nothing but a hole could make a
 * book ask for another one. */
#define TABLE                                                                                      \
    "{\"version\":1,\"routes\":[{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"                \
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"},"                                              \
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"                                   \
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100,"                  \
    "\"interval_ms\":600000}},"                                                                    \
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":600000}}],"  \
    "\"subscriptions\":[{\"id\":\"q\",\"type\":\"BBO\",\"instruments\":[\"*-USDT\"]},"             \
    "{\"id\":\"t\",\"type\":\"TRADE\",\"instruments\":[\"*-USDT\"]},"                              \
    "{\"id\":\"b\",\"type\":\"BOOK\",\"instruments\":[\"*-USDT\"]}]}"

static struct mlt_stack stack;
static struct mlt_consumer consumer;
static char table_path[64];

static void write_table(void)
{
    (void)snprintf(table_path, sizeof table_path, "/tmp/meltica-week.XXXXXX");
    const int fd = mkstemp(table_path);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "%s", TABLE) > 0);
    assert_int_equal(close(fd), 0);
}

static cJSON *exchange_status(void)
{
    struct mlt_buf body;
    mlt_buf_init(&body, 4u << 20);
    mlt_stack_get(&stack, "exchange", "/sim/status", &body);
    cJSON *status = cJSON_ParseWithLength((const char *)body.data, body.len);
    mlt_buf_fini(&body);
    assert_non_null(status);
    return status;
}

static uint64_t number(const cJSON *object, const char *member)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, member);
    return item != NULL ? (uint64_t)item->valuedouble : 0;
}

static uint64_t depth_requests(void)
{
    cJSON *status = exchange_status();
    const uint64_t count =
        number(cJSON_GetObjectItemCaseSensitive(status, "rest_requests"), "depth");
    cJSON_Delete(status);
    return count;
}

static bool finished(void)
{
    cJSON *status = exchange_status();
    const bool is = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(status, "finished"));
    cJSON_Delete(status);
    return is;
}

/* Frames that the market had while nobody listened, of all streams. */
static uint64_t unsent(const cJSON *status)
{
    uint64_t sum = 0;
    const cJSON *stream;
    cJSON_ArrayForEach(stream, cJSON_GetObjectItemCaseSensitive(status, "streams"))
    {
        sum += number(stream, "unsent");
    }
    return sum;
}

static bool all_books_live(void *ctx)
{
    (void)ctx;
    return consumer.kinds[MLT_STATUS_LIVE] >= SYMBOLS;
}

static uint64_t events(void)
{
    return consumer.counts[MLT_EVENT_BBO] + consumer.counts[MLT_EVENT_TRADE] +
           consumer.counts[MLT_EVENT_BOOK_DELTA];
}

static bool have_all(void *ctx)
{
    return events() >= *(const uint64_t *)ctx;
}

static void test_seven_rollovers_of_500_symbols_lose_and_double_nothing(void **state)
{
    (void)state;
    write_table();
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "500", "--levels", "40", "--rate", "2000",
                      "--seed", "17", "--line-life-s", LIFE_S, "--seconds", MARKET_S,
                      "--start-subscriptions", "1500" },
        .adapter = { "--rollover-ms", ROLLOVER_MS },
        .conductor = { "--refresh-ms", "0", "--snapshot-depth", "100" },
        .table = table_path,
    };
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
    assert_true(mlt_consumer_wait(&consumer, all_books_live, NULL, 120));
    assert_int_equal(
        mlt_stack_metric(&stack, "conductor", "meltica_conductor_book_states", "state=\"LIVE\""),
        SYMBOLS);
    const uint64_t fetched = depth_requests();
    assert_true(fetched >= SYMBOLS);
    /* The spare line has no streams: where it is replaced nothing rolls over. */
    const uint64_t lines = (uint64_t)mlt_stack_exchange_status(&stack, "connections") - 1;
    assert_true(lines >= 2);

    uint64_t rounds = 0;
    while (!finished() && ++rounds < 1000) { /* a round is half a second of market */
        (void)mlt_consumer_wait_count(&consumer, MLT_EVENT_BBO,
                                      mlt_consumer_count(&consumer, MLT_EVENT_BBO) + 300, 2);
    }
    cJSON *status = exchange_status();
    assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(status, "finished")));
    uint64_t sent = number(status, "frames_passed");
    assert_true(sent > 100000);
    assert_true(mlt_consumer_wait(&consumer, have_all, &sent, 20));
    const uint64_t rollovers =
        mlt_stack_metric(&stack, "adapter", "meltica_adapter_line_rollovers_total", "");
    print_message("%llu frames of %u instruments on %llu lines, %llu rollovers, %llu snapshots\n",
                  (unsigned long long)sent, SYMBOLS, (unsigned long long)lines,
                  (unsigned long long)rollovers, (unsigned long long)fetched);
    assert_true(rollovers >= (uint64_t)DAYS * lines);

    struct mlt_tally_totals totals;
    mlt_consumer_totals(&consumer, &totals);
    (void)pthread_mutex_lock(&consumer.lock);
    assert_int_equal(events(), sent); /* none lost, none doubled */
    assert_int_equal(consumer.kinds[MLT_STATUS_LIVE], SYMBOLS);
    assert_int_equal(consumer.kinds[MLT_STATUS_SOURCE_DOWN], 0);
    assert_int_equal(consumer.kinds[MLT_STATUS_GAP], 0);
    assert_int_equal(consumer.kinds[MLT_STATUS_LOST], 0);
    (void)pthread_mutex_unlock(&consumer.lock);
    assert_int_equal(unsent(status), 0);
    assert_int_equal(totals.gaps, 0);
    assert_int_equal(totals.duplicates, 0);
    assert_int_equal(totals.sequence_holes, 0);
    assert_int_equal(totals.lost, 0);
    assert_int_equal(depth_requests(), fetched); /* no snapshot because of a rollover */
    cJSON_Delete(status);

    static const char *const services[] = { "adapter", "dispatcher", "control-bus", "conductor",
                                            "data-bus" };
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(mlt_stack_terminate(&stack, services[i]), 0);
    }
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
    (void)unlink(table_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seven_rollovers_of_500_symbols_lose_and_double_nothing),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
