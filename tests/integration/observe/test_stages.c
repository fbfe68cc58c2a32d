/*
 * The stage latencies of an event add up to its end-to-end latency, through the real processes:
 *  - what each service measured of its stage, over all events of a market, is to the nanosecond
 * what the stamps on the wire say, and the four together are the end-to-end latency that the Data
 * Bus measured;
 *  - of every type each event that came from the exchange has all stamps, in order, and the
 *    end-to-end histogram is their sum without what throttling added.
 */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "mlt_consumer.h"
#include "mlt_stack.h"
#include "scrape.h"

#define PATIENCE_S 60
#define BODY_BYTES_MAX (4u << 20)
#define STAGES 4u

static const struct {
    const char *service, *family, *label;
} measured[STAGES + 1] = {
    { "adapter", "meltica_stage_duration_seconds", "{stage=\"adapt\"}" },
    { "dispatcher", "meltica_stage_duration_seconds", "{stage=\"dispatch\"}" },
    { "conductor", "meltica_stage_duration_seconds", "{stage=\"conduct\"}" },
    { "data-bus", "meltica_stage_duration_seconds", "{stage=\"publish\"}" },
    { "data-bus", "meltica_end_to_end_duration_seconds", "" },
};

static struct mlt_stack stack;
static struct mlt_consumer consumer;

/* What this consumer saw on the wire; under its lock. */
static struct {
    uint64_t count, incomplete, disordered;
    int64_t stages[STAGES];
    int64_t whole; /* throttling left out */
} seen;

static void look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes)
{
    const struct mlt_stamps *s = &event->stamps;
    (void)ctx, (void)bytes;
    if (s->dispatched == MLT_STAMP_UNKNOWN) {
        return; /* Meltica's own */
    }
    const int64_t at[STAGES + 1] = { s->received, s->adapted, s->dispatched, s->conducted,
                                     s->published };
    seen.count++;
    for (unsigned i = 0; i < STAGES; i++) {
        seen.incomplete += at[i + 1] == MLT_STAMP_UNKNOWN;
        seen.disordered += at[i + 1] < at[i];
        seen.stages[i] += at[i + 1] - at[i];
    }
    /* The exchange puts no time on its best prices, nor on most answers of REST, of which a BOOK
     * may be; that a source is up is the Adapter's word. */
    seen.incomplete += s->exchange == MLT_STAMP_UNKNOWN && event->type != MLT_EVENT_BBO &&
                       event->type != MLT_EVENT_BOOK && event->type != MLT_EVENT_STATUS &&
                       event->rest_function.len == 0;
    seen.whole += s->published - s->received - (int64_t)event->throttled_ns;
}

struct sums {
    uint64_t count[STAGES + 1];
    int64_t ns[STAGES + 1];
};

static int64_t ns_of(const char *text)
{
    char *end = NULL;
    const int64_t seconds = strtoll(text, &end, 10);
    assert_true(*end == '.');
    return seconds * MLT_NS_PER_S + strtoll(end + 1, NULL, 10); /* always nine digits */
}

static void read_sums(struct sums *out)
{
    for (unsigned i = 0; i <= STAGES; i++) {
        struct mlt_buf page;
        char line[128];
        mlt_buf_init(&page, BODY_BYTES_MAX);
        mlt_stack_get(&stack, measured[i].service, "/metrics", &page);
        assert_int_equal(mlt_buf_append_byte(&page, 0), MLT_OK);
        (void)snprintf(line, sizeof line, "\n%s_sum%s ", measured[i].family, measured[i].label);
        const char *at = strstr((const char *)page.data, line);
        assert_non_null(at);
        out->ns[i] = ns_of(at + strlen(line));
        (void)snprintf(line, sizeof line, "\n%s_count%s ", measured[i].family, measured[i].label);
        at = strstr((const char *)page.data, line);
        assert_non_null(at);
        out->count[i] = strtoull(at + strlen(line), NULL, 10);
        mlt_buf_fini(&page);
    }
}

static void start(const struct mlt_stack_options *options)
{
    memset(&seen, 0, sizeof seen);
    memset(&consumer, 0, sizeof consumer);
    consumer.look = look;
    mlt_stack_start(&stack, options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
}

static void end(void)
{
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
}

static bool all_subscribed(void *ctx)
{
    return mlt_stack_metric(&stack, "adapter", "meltica_adapter_topics", "state=\"LIVE\"") ==
           *(const uint64_t *)ctx;
}

static bool is_over(void *ctx)
{
    (void)ctx;
    struct mlt_buf body;
    mlt_buf_init(&body, BODY_BYTES_MAX);
    mlt_stack_get(&stack, "exchange", "/sim/status", &body);
    const bool over = memmem(body.data, body.len, "\"finished\":true", 15) != NULL;
    mlt_buf_fini(&body);
    return over;
}

/* The Data Bus has counted as many as this consumer has: nothing is under way. */
static bool all_counted(void *ctx)
{
    const uint64_t before = *(const uint64_t *)ctx;
    return mlt_stack_metric(&stack, "data-bus", "meltica_end_to_end_duration_seconds_count", "") -
               before ==
           seen.count;
}

/* A moment at which the Data Bus and this consumer have as many: books and polls go on after the
 * market. */
struct moment {
    struct sums sums;
    int64_t whole;
};

static bool is_such_a_moment(void *ctx)
{
    struct moment *m = ctx;
    read_sums(&m->sums);
    m->whole = seen.whole;
    return m->sums.count[STAGES] == seen.count;
}

static bool all_arrived(void *ctx)
{
    return seen.count == *(const uint64_t *)ctx;
}

static char table_path[64];

static void test_what_the_services_measured_is_what_the_stamps_say(void **state)
{
    (void)state;
    (void)snprintf(table_path, sizeof table_path, "/tmp/meltica-table.XXXXXX");
    const int fd = mkstemp(table_path);
    assert_true(
        dprintf(fd,
                "{\"version\":1,\"routes\":[{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"
                "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"},{\"type\":\"INSTRUMENT\",\"rest\":"
                "{\"function\":\"exchangeInfo\",\"interval_ms\":86400000}}],\"subscriptions\":["
                "{\"id\":\"b\",\"type\":\"BBO\",\"instruments\":[\"*\"]},"
                "{\"id\":\"t\",\"type\":\"TRADE\",\"instruments\":[\"*\"]}]}") > 0);
    assert_int_equal(close(fd), 0);
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "4", "--rate", "900", "--seed", "3", "--seconds",
                      "3", "--start-subscriptions", "4000000000" },
        .table = table_path,
    };
    start(&options);
    uint64_t topics = 8;
    assert_true(mlt_consumer_wait(&consumer, all_subscribed, &topics, PATIENCE_S));
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_INSTRUMENT, 4, PATIENCE_S));
    uint64_t none = 0;
    assert_true(mlt_consumer_wait(&consumer, all_counted, &none, PATIENCE_S));
    struct sums before, after;
    read_sums(&before);
    (void)pthread_mutex_lock(&consumer.lock);
    memset(&seen, 0, sizeof seen); /* the listing had its way behind it */
    (void)pthread_mutex_unlock(&consumer.lock);

    struct mlt_buf body;
    mlt_buf_init(&body, BODY_BYTES_MAX);
    mlt_stack_get(&stack, "exchange", "/sim/start", &body);
    mlt_buf_fini(&body);
    assert_true(mlt_consumer_wait(&consumer, is_over, NULL, PATIENCE_S));
    uint64_t frames = (uint64_t)mlt_stack_exchange_status(&stack, "frames_sent");
    assert_true(frames > 1000);
    assert_true(mlt_consumer_wait(&consumer, all_arrived, &frames, PATIENCE_S));
    assert_true(mlt_consumer_wait(&consumer, all_counted, &before.count[STAGES], PATIENCE_S));
    read_sums(&after);

    int64_t added = 0;
    assert_int_equal(seen.incomplete, 0);
    assert_int_equal(seen.disordered, 0);
    for (unsigned i = 0; i < STAGES; i++) {
        assert_int_equal(after.count[i] - before.count[i], frames);
        assert_int_equal(after.ns[i] - before.ns[i], seen.stages[i]);
        added += after.ns[i] - before.ns[i];
    }
    assert_int_equal(after.count[STAGES] - before.count[STAGES], frames);
    assert_int_equal(after.ns[STAGES] - before.ns[STAGES], added);
    assert_int_equal(seen.whole, added);
    end();
    (void)unlink(table_path);
}

static void test_of_every_type_the_stamps_are_complete_and_add_up(void **state)
{
    (void)state;
    const struct mlt_stack_options options = { .exchange = { "--synthetic", "--symbols", "3",
                                                             "--rate", "600", "--seed", "4",
                                                             "--seconds", "4" } };
    struct moment moment;
    start(&options);
    static const enum mlt_event_type types[] = { MLT_EVENT_TICKER, MLT_EVENT_BBO,
                                                 MLT_EVENT_TRADE,  MLT_EVENT_BOOK_DELTA,
                                                 MLT_EVENT_BOOK,   MLT_EVENT_BOOK_SNAPSHOT,
                                                 MLT_EVENT_KLINE,  MLT_EVENT_AGG_TRADE };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        assert_true(mlt_consumer_wait_count(&consumer, types[i], 2, PATIENCE_S));
    }
    assert_true(mlt_consumer_wait(&consumer, is_over, NULL, PATIENCE_S));
    assert_true(mlt_consumer_wait(&consumer, is_such_a_moment, &moment, PATIENCE_S));
    assert_int_equal(moment.sums.ns[STAGES], moment.whole);
    (void)pthread_mutex_lock(&consumer.lock);
    assert_int_equal(seen.incomplete, 0);
    assert_int_equal(seen.disordered, 0);
    (void)pthread_mutex_unlock(&consumer.lock);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_services_measured_is_what_the_stamps_say),
        cmocka_unit_test(test_of_every_type_the_stamps_are_complete_and_add_up),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
