/*
 * JetStream goes away under live subscriptions and comes back: meanwhile every command gets a clear
 * refusal within two seconds, nothing changes, no lease ends, and data keeps flowing; afterwards
 * all of it goes on where it was.
 */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "mlt_consumer.h"
#include "steer_rig.h"

static struct rig rig;
static struct mlt_consumer consumer;
static uint64_t trades, quotes; /* of SYM0001, of SYM0002; under the consumer's lock */

static void look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes)
{
    (void)ctx, (void)bytes;
    if (event->instrument.len >= 7) {
        trades += event->type == MLT_EVENT_TRADE && event->instrument.data[6] == '1';
        quotes += event->type == MLT_EVENT_BBO && event->instrument.data[6] == '2';
    }
}

struct flow {
    uint64_t trades, quotes;
};

static bool has_flowed(void *ctx)
{
    const struct flow *wanted = ctx;
    return trades >= wanted->trades && quotes >= wanted->quotes;
}

/* Both subscriptions bring so much more. */
static void wait_flow(uint64_t more)
{
    (void)pthread_mutex_lock(&consumer.lock);
    struct flow wanted = { trades + more, quotes + more };
    (void)pthread_mutex_unlock(&consumer.lock);
    assert_true(mlt_consumer_wait(&consumer, has_flowed, &wanted, 20));
}

static int lines_of(const char *stream)
{
    const cJSON *streams = NULL;
    cJSON *tree = rig_exchange(&rig, &streams);
    const cJSON *one = cJSON_GetObjectItemCaseSensitive(streams, stream);
    const int lines = one != NULL ? rig_number(one, "lines") : 0;
    cJSON_Delete(tree);
    return lines;
}

/* Revision and subscriptions as they are listed, but for what counts time; to free. */
static char *table(void)
{
    struct said s = rig_ask(&rig, "list", "");
    assert_false(s.refused);
    cJSON *list = cJSON_GetObjectItemCaseSensitive(s.json, "subscriptions");
    for (cJSON *one = list->child; one != NULL; one = one->next) {
        cJSON_DeleteItemFromObjectCaseSensitive(one, "lease_left_s");
    }
    char *text = cJSON_PrintUnformatted(s.json);
    assert_non_null(text);
    cJSON_Delete(s.json);
    return text;
}

static void restart_nats(bool jetstream)
{
    mlt_stack_set_jetstream(&rig.stack, jetstream);
    mlt_stack_kill(&rig.stack, "nats");
    mlt_stack_run(&rig.stack, "nats");
    assert_int_equal(mlt_bus_wait_connected(rig.client, 20 * MLT_NS_PER_S), MLT_OK);
    rig_wait_ready(&rig);
}

static void refuse(const char *verb, const char *body)
{
    struct said s = rig_settle(&rig, verb, body);
    if (!s.refused || rig_number(s.json, "code") != 503 || s.took_ns >= RIG_LATE_NS ||
        strstr(rig_text(s.json, "message"), "table store unavailable, nothing changed") == NULL) {
        rig_fail(&s, verb);
    }
    cJSON_Delete(s.json);
}

static void test_without_jetstream_nothing_changes_and_data_flows(void **state)
{
    (void)state;
    static const char more[] =
        "{\"consumer\":\"a\",\"type\":\"TRADE\",\"instruments\":[\"SYM0003-USDT\"],\"id\":\"m\"}";
    static char leased[] = "leased";
    char id[64], ends[128], updates[192], renews[160];
    struct mlt_tally_totals before, after;
    rig_start(&rig, "3", "600");
    memset(&consumer, 0, sizeof consumer);
    consumer.look = look;
    mlt_consumer_start(&consumer, rig.stack.nats_url);
    rig_confirm(&rig, "subscribe",
                "{\"consumer\":\"a\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"]}", id);
    rig_confirm(&rig, "subscribe",
                "{\"consumer\":\"leased\",\"type\":\"BBO\",\"instruments\":[\"SYM0002-USDT\"],"
                "\"ttl_s\":8}",
                NULL);
    wait_flow(20);
    restart_nats(false);
    assert_true(rig_until(rig_lease_is_over, &rig, leased, 20));
    assert_int_equal(rig_listed(&rig, leased), 1);
    char *held = table();
    wait_flow(20); /* what was lost with the server is behind */
    mlt_consumer_totals(&consumer, &before);

    (void)snprintf(ends, sizeof ends, "{\"consumer\":\"a\",\"subscription\":\"%s\"}", id);
    (void)snprintf(updates, sizeof updates,
                   "{\"consumer\":\"a\",\"subscription\":\"%s\","
                   "\"instruments\":[\"SYM0001-USDT\",\"SYM0003-USDT\"]}",
                   id);
    (void)snprintf(renews, sizeof renews,
                   "{\"consumer\":\"a\",\"subscription\":\"%s\",\"ttl_s\":600}", id);
    refuse("subscribe", more);
    refuse("unsubscribe", ends);
    refuse("update", updates);
    refuse("renew", renews);

    char *still = table();
    assert_string_equal(still, held);
    assert_int_equal(lines_of("sym0001usdt@trade"), 1);
    assert_int_equal(lines_of("sym0002usdt@bookTicker"), 1);
    assert_int_equal(lines_of("sym0003usdt@trade"), 0);
    wait_flow(100);
    mlt_consumer_totals(&consumer, &after);
    assert_int_equal(after.sequence_holes, before.sequence_holes);
    assert_int_equal(after.gaps, before.gaps);
    assert_int_equal(after.duplicates, before.duplicates);
    assert_int_equal(after.lost, before.lost);
    assert_int_equal(
        mlt_stack_metric(&rig.stack, "control-bus", "meltica_control_audit_failed_total", ""), 4);

    /* Back again: what was refused was never kept for later, and can be had now. */
    restart_nats(true);
    assert_true(rig_until(rig_lists_nothing, &rig, leased, 20));
    assert_int_equal(rig_listed(&rig, "a"), 1);
    assert_int_equal(lines_of("sym0003usdt@trade"), 0);
    struct said s = rig_ask(&rig, "subscribe", more);
    if (s.refused || cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(s.json, "unchanged"))) {
        rig_fail(&s, more);
    }
    cJSON_Delete(s.json);
    rig_confirm(&rig, "unsubscribe", ends, NULL);
    assert_int_equal(rig_listed(&rig, "a"), 1);
    cJSON_free(held);
    cJSON_free(still);
    mlt_consumer_stop(&consumer);
    rig_stop(&rig);
}

/* ---- a log that is lost ---- */

static uint64_t log_sequence(const char *service)
{
    return strcmp(service, "dispatcher") == 0
               ? mlt_stack_metric(&rig.stack, service, "meltica_dispatcher_log_sequence", "")
               : mlt_stack_metric(&rig.stack, service, "meltica_control_log_sequence", "");
}

static bool both_stand_at(struct rig *r, void *ctx)
{
    const uint64_t *wanted = ctx;
    (void)r;
    return log_sequence("dispatcher") == *wanted && log_sequence("control-bus") == *wanted;
}

static void lose_log(void)
{
    struct mlt_buf answer;
    struct mlt_error err = MLT_ERROR_INIT;
    mlt_buf_init(&answer, 1u << 16);
    assert_int_equal(mlt_bus_request(rig.client, "$JS.API.STREAM.DELETE.MELTICA_CONTROL",
                                     MLT_SLICE_EMPTY, 5 * MLT_NS_PER_S, &answer, &err),
                     MLT_OK);
    mlt_buf_fini(&answer);
}

/* What is listed, but for what a log and a run of the Dispatcher number anew; to free. */
static char *what_is_live(void)
{
    char *text = table();
    cJSON *tree = cJSON_Parse(text);
    cJSON_free(text);
    assert_non_null(tree);
    cJSON_DeleteItemFromObjectCaseSensitive(tree, "revision");
    for (cJSON *one = cJSON_GetObjectItemCaseSensitive(tree, "subscriptions")->child; one != NULL;
         one = one->next) {
        cJSON_DeleteItemFromObjectCaseSensitive(one, "log_sequence");
    }
    text = cJSON_PrintUnformatted(tree);
    assert_non_null(text);
    cJSON_Delete(tree);
    return text;
}

/* Without it the next Dispatcher would know nothing, and commands would look old to this one. */
static void test_a_log_that_was_lost_is_written_anew_and_followed(void **state)
{
    (void)state;
    static const char kept[] =
        "{\"consumer\":\"a\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"]}";
    static const char other[] =
        "{\"consumer\":\"b\",\"type\":\"BBO\",\"instruments\":[\"SYM0002-USDT\"]}";
    static const char lane[] =
        "{\"consumer\":\"a\",\"type\":\"BBO\",\"instruments\":[\"SYM0001-USDT\"],\"throttle_ms\":"
        "200,\"filter\":[{\"field\":\"bid_price\",\"op\":\"gt\",\"value\":\"0\"}],\"ttl_s\":600}";
    uint64_t stands = 0;
    rig_start(&rig, "3", "600");
    rig_confirm(&rig, "subscribe", kept, NULL);
    rig_confirm(&rig, "subscribe", lane, NULL);
    for (unsigned i = 0; i < 3; i++) {
        rig_confirm(&rig, "subscribe", other, NULL);
        rig_confirm(&rig, "unsubscribe", other, NULL);
    }
    stands = 8;
    assert_true(both_stand_at(&rig, &stands));
    char *before = what_is_live();

    lose_log();
    stands = 2; /* of what is live one record each */
    assert_true(rig_until(both_stand_at, &rig, &stands, 20));
    rig_confirm(&rig, "subscribe", other, NULL);
    stands = 3;
    assert_true(rig_until(both_stand_at, &rig, &stands, 20));
    rig_confirm(&rig, "unsubscribe", other, NULL);

    /* All of it is what the next one reads. */
    mlt_stack_kill(&rig.stack, "dispatcher");
    mlt_stack_run(&rig.stack, "dispatcher");
    rig_wait_ready(&rig);
    assert_int_equal(rig_listed(&rig, "a"), 2);
    assert_int_equal(rig_listed(&rig, "b"), 0);
    char *after = what_is_live();
    assert_string_equal(after, before);
    cJSON_free(before);
    cJSON_free(after);
    rig_stop(&rig);
}

static void empty_log(void)
{
    struct mlt_buf answer;
    struct mlt_error err = MLT_ERROR_INIT;
    mlt_buf_init(&answer, 1u << 16);
    assert_int_equal(mlt_bus_request(rig.client, "$JS.API.STREAM.PURGE.MELTICA_CONTROL",
                                     MLT_SLICE_EMPTY, 5 * MLT_NS_PER_S, &answer, &err),
                     MLT_OK);
    mlt_buf_fini(&answer);
}

/* The Dispatcher once tried for ever, and answered nobody. */
static void test_a_lease_whose_record_is_gone_ends(void **state)
{
    (void)state;
    static char leased[] = "leased";
    rig_start(&rig, "3", "600");
    rig_confirm(&rig, "subscribe",
                "{\"consumer\":\"leased\",\"type\":\"BBO\",\"instruments\":[\"SYM0002-USDT\"],"
                "\"ttl_s\":1}",
                NULL);
    empty_log();
    assert_true(rig_until(rig_lists_nothing, &rig, leased, 20));
    rig_confirm(&rig, "subscribe",
                "{\"consumer\":\"a\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"]}", NULL);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_jetstream_nothing_changes_and_data_flows),
        cmocka_unit_test(test_a_log_that_was_lost_is_written_anew_and_followed),
        cmocka_unit_test(test_a_lease_whose_record_is_gone_ends),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
