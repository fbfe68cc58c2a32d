/*
 * An exchange whose clock is wrong by a known time: the Adapter finds out by how much, within what
 * it says of its own uncertainty, tells the Data Bus and whoever asks for the status, and the
 * latency from the exchange on is right although the stamps are not.
 */
#include "mlt_test.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "mlt_consumer.h"
#include "mlt_stack.h"

#define PATIENCE_S 60
#define BODY_BYTES_MAX (4u << 20)
#define SKEW_NS (2500 * MLT_NS_PER_MS)

static struct mlt_stack stack;
static struct mlt_consumer consumer;

static struct { /* under the consumer's lock: of trades, as their stamps say */
    uint64_t count;
    int64_t sum_ns;
} seen;

static void look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes)
{
    (void)ctx, (void)bytes;
    if (event->type == MLT_EVENT_TRADE && event->stamps.exchange != MLT_STAMP_UNKNOWN) {
        seen.count++;
        seen.sum_ns += event->stamps.published - event->stamps.exchange;
    }
}

/* A value in seconds, as ns; false: there is no such line. */
static bool value_of(const char *service, const char *name, int64_t *ns)
{
    struct mlt_buf page;
    char line[128];
    mlt_buf_init(&page, BODY_BYTES_MAX);
    mlt_stack_get(&stack, service, "/metrics", &page);
    assert_int_equal(mlt_buf_append_byte(&page, 0), MLT_OK);
    (void)snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr((const char *)page.data, line);
    if (at != NULL) {
        *ns = (int64_t)(strtod(at + strlen(line), NULL) * 1e9);
    }
    mlt_buf_fini(&page);
    return at != NULL;
}

struct clock {
    int64_t offset_ns, uncertainty_ns;
};

/* The Adapter knows it well enough, and the Data Bus has measured by it. */
static bool is_known(void *ctx)
{
    struct clock *clock = ctx;
    /* Of two pages, since it may be measured anew between: the older uncertainty is the larger one.
     */
    return value_of("adapter", "meltica_adapter_clock_uncertainty_seconds",
                    &clock->uncertainty_ns) &&
           value_of("adapter", "meltica_adapter_clock_offset_seconds", &clock->offset_ns) &&
           clock->uncertainty_ns < 100 * MLT_NS_PER_MS &&
           mlt_stack_metric(&stack, "data-bus", "meltica_exchange_to_publish_seconds_count", "") >
               300;
}

static void status_says(const struct clock *clock)
{
    struct mlt_buf answer;
    struct mlt_error err = MLT_ERROR_INIT;
    mlt_buf_init(&answer, BODY_BYTES_MAX);
    assert_int_equal(mlt_bus_request(consumer.bus, "meltica.control.status", MLT_SLICE_EMPTY,
                                     5 * MLT_NS_PER_S, &answer, &err),
                     MLT_OK);
    assert_int_equal(mlt_buf_append_byte(&answer, 0), MLT_OK);
    cJSON *tree = cJSON_Parse((const char *)answer.data);
    const cJSON *adapter =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(tree, "adapters"), 0);
    const cJSON *told = cJSON_GetObjectItemCaseSensitive(adapter, "exchange_clock");
    const cJSON *offset = cJSON_GetObjectItemCaseSensitive(told, "offset_us");
    const cJSON *uncertainty = cJSON_GetObjectItemCaseSensitive(told, "uncertainty_us");
    assert_true(cJSON_IsNumber(offset) && cJSON_IsNumber(uncertainty));
    const int64_t apart = (int64_t)offset->valuedouble * 1000 - clock->offset_ns;
    const int64_t room = (int64_t)uncertainty->valuedouble * 1000 + clock->uncertainty_ns;
    assert_true(apart <= room && apart >= -room);
    cJSON_Delete(tree);
    mlt_buf_fini(&answer);
}

static void skewed(const char *skew_ms, int64_t skew_ns)
{
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "3", "--rate", "600", "--seed", "21",
                      "--start-subscriptions", "0", "--clock-skew-ms", skew_ms },
        .adapter = { "--clock-interval-ms", "1000" },
    };
    memset(&seen, 0, sizeof seen);
    memset(&consumer, 0, sizeof consumer);
    consumer.look = look;
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
    struct clock clock = { 0 };
    assert_true(mlt_consumer_wait(&consumer, is_known, &clock, PATIENCE_S));

    /* Both run on this machine: the skew is the truth. */
    const int64_t wrong = clock.offset_ns - skew_ns;
    if (wrong > clock.uncertainty_ns || wrong < -clock.uncertainty_ns) {
        fail_msg("offset %lld ns, uncertainty %lld ns, truth %lld ns", (long long)clock.offset_ns,
                 (long long)clock.uncertainty_ns, (long long)skew_ns);
    }
    status_says(&clock);

    int64_t sum_ns = 0;
    assert_true(value_of("data-bus", "meltica_exchange_to_publish_seconds_sum", &sum_ns));
    const int64_t count = (int64_t)mlt_stack_metric(
        &stack, "data-bus", "meltica_exchange_to_publish_seconds_count", "");
    const int64_t mean_ns = sum_ns / count;
    (void)pthread_mutex_lock(&consumer.lock);
    const int64_t stamped_ns = seen.sum_ns / (int64_t)seen.count;
    (void)pthread_mutex_unlock(&consumer.lock);
    /* By the stamps alone it is off by the skew, and may be below zero; the measured one is not. */
    assert_true(stamped_ns + skew_ns > -100 * MLT_NS_PER_MS && stamped_ns + skew_ns < MLT_NS_PER_S);
    assert_true(mean_ns >= 0 && mean_ns < MLT_NS_PER_S);
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
}

static void test_an_exchange_that_is_behind(void **state)
{
    (void)state;
    skewed("-2500", -SKEW_NS);
}

static void test_an_exchange_that_is_ahead(void **state)
{
    (void)state;
    skewed("2500", SKEW_NS);
}

/* As a recording is: hundreds of days are no latency, and their sum would overflow. */
static bool old_ones_came(void *ctx)
{
    (void)ctx;
    return mlt_stack_metric(&stack, "data-bus", "meltica_exchange_to_publish_ignored_total", "") >
           500;
}

static void test_a_market_of_another_year(void **state)
{
    (void)state;
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "3", "--rate", "600", "--seed", "22",
                      "--start-subscriptions", "0", "--clock-start", "1717200000000" },
        .adapter = { "--clock-interval-ms", "1000" },
    };
    memset(&consumer, 0, sizeof consumer);
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
    assert_true(mlt_consumer_wait(&consumer, old_ones_came, NULL, PATIENCE_S));
    assert_int_equal(
        (int)mlt_stack_metric(&stack, "data-bus", "meltica_exchange_to_publish_seconds_count", ""),
        0);
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_exchange_that_is_behind),
        cmocka_unit_test(test_an_exchange_that_is_ahead),
        cmocka_unit_test(test_a_market_of_another_year),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
