/*
 * A synthetic market through the real processes while the Data Bus stands still: nothing that is
 * lossless is missing in the end, and of BBO each instrument's newest is the exchange's.
 */
#include "mlt_test.h"

#include <cjson/cJSON.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/decimal.h"
#include "mlt_consumer.h"
#include "mlt_stack.h"

#define SYMBOLS 8u

static const char table[] =
    "{\"version\":1,\"routes\":["
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"},"
    "{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100,"
    "\"interval_ms\":60000}},"
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":300000}}],"
    "\"subscriptions\":["
    "{\"id\":\"trades\",\"type\":\"TRADE\",\"instruments\":[\"*\"]},"
    "{\"id\":\"quotes\",\"type\":\"BBO\",\"instruments\":[\"*\"]},"
    "{\"id\":\"books\",\"type\":\"BOOK\",\"instruments\":[\"*\"]}]}";

static char table_path[] = "/tmp/meltica-tiers-table.XXXXXX";
static struct mlt_stack stack;
static struct mlt_consumer consumer;
/* Under the consumer's lock: the newest BBO of each symbol, and what was merged. */
static struct {
    struct mlt_bbo bbo[SYMBOLS];
    int64_t last[SYMBOLS];
    uint64_t merged, disorder;
} seen;

static void look(void *ctx, const struct mlt_event *e, struct mlt_slice bytes)
{
    unsigned symbol = 0;
    char token[MLT_INSTRUMENT_BYTES_MAX + 1];
    (void)ctx;
    (void)bytes;
    (void)snprintf(token, sizeof token, "%.*s", MLT_SLICE_FMT(e->instrument));
    if (e->type != MLT_EVENT_BBO || sscanf(token, "SYM%4u-USDT", &symbol) != 1 || symbol == 0 ||
        symbol > SYMBOLS) {
        return;
    }
    seen.disorder += e->first > e->last || e->first <= seen.last[symbol - 1];
    seen.merged += e->merged;
    seen.last[symbol - 1] = e->last;
    seen.bbo[symbol - 1] = e->u.bbo;
}

static bool is(const struct mlt_decimal *value, const cJSON *json, const char *member)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, member));
    struct mlt_decimal other;
    assert_non_null(text);
    assert_int_equal(mlt_decimal_parse(mlt_slice_of_string(text), &other), MLT_OK);
    return mlt_decimal_compare(*value, other) == 0;
}

/* The market has ended, and the newest BBO of each symbol is the exchange's. */
static bool newest_are_right(void *ctx)
{
    (void)ctx;
    struct mlt_buf body;
    if (mlt_stack_exchange_status(&stack, "finished") != 1) {
        return false;
    }
    mlt_buf_init(&body, 1u << 20);
    mlt_stack_get(&stack, "exchange", "/api/v3/ticker/bookTicker", &body);
    cJSON *list = cJSON_ParseWithLength((const char *)body.data, body.len);
    mlt_buf_fini(&body);
    assert_int_equal(cJSON_GetArraySize(list), SYMBOLS);
    bool right = true;
    const cJSON *one = NULL;
    cJSON_ArrayForEach(one, list)
    {
        unsigned symbol = 0;
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(one, "symbol"));
        assert_int_equal(sscanf(name, "SYM%4uUSDT", &symbol), 1);
        assert_in_range(symbol, 1, SYMBOLS);
        const struct mlt_bbo *bbo = &seen.bbo[symbol - 1];
        right = right && is(&bbo->bid_price, one, "bidPrice") &&
                is(&bbo->bid_quantity, one, "bidQty") && is(&bbo->ask_price, one, "askPrice") &&
                is(&bbo->ask_quantity, one, "askQty");
    }
    cJSON_Delete(list);
    return right;
}

static uint64_t merged(const char *label)
{
    return mlt_stack_metric(&stack, "conductor", "meltica_conductor_merged_total", label);
}

static bool quotes_merge(void *ctx)
{
    (void)ctx;
    return merged("type=\"BBO\"") >= 100;
}

static void test_what_the_exchange_said_last_is_what_comes_last(void **state)
{
    (void)state;
    struct mlt_tally_totals totals;
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BBO, 2000, 60));
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BOOK, 2 * SYMBOLS, 60));
    assert_int_equal(kill(mlt_stack_pid(&stack, "data-bus"), SIGSTOP), 0);
    assert_true(mlt_consumer_wait(&consumer, quotes_merge, NULL, 60));
    assert_int_equal(kill(mlt_stack_pid(&stack, "data-bus"), SIGCONT), 0);
    assert_true(mlt_consumer_wait(&consumer, newest_are_right, NULL, 90));
    mlt_consumer_totals(&consumer, &totals);
    assert_int_equal(totals.sequence_holes, 0);
    assert_int_equal(totals.duplicates, 0);
    if (totals.lost == 0) { /* it stood still for too long otherwise, and then it was said */
        assert_int_equal(totals.gaps, 0);
        assert_true(seen.merged >= 100);
        assert_int_equal(seen.merged, merged("type=\"BBO\""));
    } else {
        print_message("    it stood still for too long, and the loss was said\n");
    }
    assert_int_equal(seen.disorder, 0);
    assert_true(
        mlt_stack_metric(&stack, "conductor", "meltica_conductor_books_conflated_total", "") > 0);
    assert_int_equal(mlt_stack_metric(&stack, "conductor", "meltica_conductor_withheld", ""), 0);
}

static int set_up(void **state)
{
    (void)state;
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "8", "--rate", "2000", "--seed", "23", "--levels",
                      "100", "--seconds", "25" },
        .conductor = { "--ring-bytes", "1048576" },
        .table = table_path,
    };
    const int fd = mkstemp(table_path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, table, sizeof table - 1), sizeof table - 1);
    assert_int_equal(close(fd), 0);
    memset(&consumer, 0, sizeof consumer);
    consumer.look = look;
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
    assert_int_equal(unlink(table_path), 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(
        test_what_the_exchange_said_last_is_what_comes_last, set_up, tear_down) };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
