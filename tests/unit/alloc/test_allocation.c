/* Memory that runs out on the way to being ready, or while a request is read: for each n the n-th
 * allocation fails, once, or for good. Whatever was begun says that it failed and leaves nothing
 * behind; when memory is back it works. */
#include "exhaust.h"
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "authority.h"
#include "binance.h"
#include "catalogue.h"
#include "data_bus/core.h"
#include "fusion.h"
#include "lanes.h"
#include "meltica/recording/recording.h"
#include "meltica/rt/config.h"
#include "meltica/trace/trace.h"
#include "rest.h"
#include "topics.h"

#define ANSWER_BYTES_MAX (1u << 20)

#define LISTING                                                                                    \
    "{\"symbols\":[{\"symbol\":\"BTCUSDT\",\"status\":\"TRADING\",\"baseAsset\":\"BTC\","          \
    "\"quoteAsset\":\"USDT\",\"baseAssetPrecision\":8,\"quoteAssetPrecision\":8,\"filters\":[]},"  \
    "{\"symbol\":\"ETHUSDT\",\"status\":\"BREAK\",\"baseAsset\":\"ETH\",\"quoteAsset\":\"USDT\"}]" \
    "}"

static char path_of_table[512], path_of_policy[512];
static struct mlt_table *table;
static struct mlt_binance_symbols *symbols;
static uint8_t table_bytes[4096], record_bytes[512], plan_bytes[512];
static size_t table_len, record_len, plan_len;

/* True: whole. What failed has words. */
static bool said(enum mlt_status status, const struct mlt_error *err)
{
    assert_true(status == MLT_OK || err->text[0] != '\0');
    return status == MLT_OK;
}

/* ---- files ---- */

struct values {
    char *url, *secret, *mode;
    int64_t small;
    bool on;
};

static const struct mlt_config_item items[] = {
    { "nats_url", MLT_CONFIG_STRING, offsetof(struct values, url), "nats://x", 0, 0, NULL, "",
      false, "Text." },
    { "secret_file", MLT_CONFIG_STRING, offsetof(struct values, secret), "", 0, 0, NULL, "", true,
      "Secret." },
    { "log_mode", MLT_CONFIG_CHOICE, offsetof(struct values, mode), "info", 0, 0, "debug|info|warn",
      "", false, "Choice." },
    { "small_ms", MLT_CONFIG_INT, offsetof(struct values, small), "5", -3, 64, NULL, "ms", false,
      "Range." },
    { "switch", MLT_CONFIG_BOOL, offsetof(struct values, on), "false", 0, 0, NULL, "", false,
      "Switch." },
};

static char config_path[] = "/tmp/meltica-alloc-XXXXXX";

static bool load_config(void)
{
    struct values values = { 0 };
    const struct mlt_config_table tables = { items, sizeof items / sizeof items[0], &values, NULL };
    enum mlt_config_action action = MLT_CONFIG_RUN;
    struct mlt_error err = MLT_ERROR_INIT;
    char program[] = "program", file[] = "--config", flag[] = "--secret-file=/run/x";
    char variable[] = "MELTICA_LOG_MODE=warn";
    char *const argv[] = { program, file, config_path, flag, NULL };
    char *const environment[] = { variable, NULL };
    const bool whole = said(mlt_config_load(&tables, 1, 4, argv, environment, &action, &err), &err);
    assert_true(!whole || (strcmp(values.mode, "warn") == 0 && values.small == 7));
    mlt_config_fini(&tables, 1);
    return whole;
}

static void test_configuration(void **state)
{
    (void)state;
    const int fd = mkstemp(config_path);
    FILE *to = fdopen(fd, "w");
    assert_non_null(to);
    (void)fputs("{\"nats_url\": \"nats://y\", \"small_ms\": 7, \"switch\": true}", to);
    assert_int_equal(fclose(to), 0);
    exhaust(load_config);
    (void)remove(config_path);
}

static bool load_table(void)
{
    struct mlt_table *loaded = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const bool whole = said(mlt_table_load(path_of_table, &loaded, &err), &err);
    assert_true(whole == (loaded != NULL));
    if (whole && table != NULL) {
        assert_int_equal(loaded->route_count, table->route_count);
        assert_int_equal(loaded->subscription_count, table->subscription_count);
    }
    mlt_table_destroy(loaded);
    return whole;
}

static void test_dispatch_table(void **state)
{
    (void)state;
    exhaust_file(load_table);
}

static bool load_policy(void)
{
    struct mlt_policy *policy = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const bool whole = said(mlt_policy_load(path_of_policy, &policy, &err), &err);
    assert_true(whole == (policy != NULL));
    mlt_policy_destroy(policy);
    return whole;
}

static void test_policy(void **state)
{
    (void)state;
    exhaust(load_policy);
}

static bool open_recording(void)
{
    struct mlt_recording recording;
    struct mlt_error err = MLT_ERROR_INIT;
    struct stat file;
    if (!said(mlt_recording_open(&recording, path_of_table, &err), &err)) {
        return false;
    }
    assert_int_equal(stat(path_of_table, &file), 0);
    assert_int_equal(recording.bytes.len, file.st_size);
    mlt_recording_close(&recording);
    return true;
}

static void test_recording(void **state)
{
    (void)state;
    exhaust_file(open_recording);
}

static bool load_trace(void)
{
    static struct mlt_trace_config config; /* large */
    struct mlt_error err = MLT_ERROR_INIT;
    char endpoint[] = "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318";
    char resource[] = "OTEL_RESOURCE_ATTRIBUTES=a=b,c=d",
         headers[] = "OTEL_EXPORTER_OTLP_HEADERS=k=v";
    char *const environment[] = { endpoint, resource, headers, NULL };
    const bool whole = said(mlt_trace_config_load(environment, "s", &config, &err), &err);
    mlt_trace_config_fini(&config);
    return whole;
}

static void test_variables_of_traces(void **state)
{
    (void)state;
    exhaust(load_trace);
}

/* ---- the Adapter ---- */

static bool read_listing(void)
{
    struct mlt_binance_symbols *read = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const bool whole =
        mlt_binance_symbols_parse(mlt_slice_of_string(LISTING), &read, NULL, NULL, &err) == MLT_OK;
    assert_true(!whole || mlt_binance_symbols_count(read) == 2);
    mlt_binance_symbols_destroy(read);
    return whole;
}

static void test_listing(void **state)
{
    (void)state;
    exhaust(read_listing);
}

static bool apply_plan(void)
{
    static struct mlt_rest rest; /* large */
    struct mlt_topics topics;
    struct mlt_governor governor;
    Meltica__V1__NativePlan *plan = meltica__v1__native_plan__unpack(NULL, plan_len, plan_bytes);
    if (plan == NULL) {
        return false;
    }
    mlt_governor_init(&governor, 50, 1);
    mlt_topics_init(&topics, 4);
    mlt_rest_init(&rest, 4, &governor, 1);
    const bool whole = mlt_topics_apply(&topics, plan, symbols) == MLT_OK &&
                       mlt_rest_apply(&rest, plan, 1) == MLT_OK;
    assert_true(!whole || (topics.count == 2 && rest.count == 1));
    mlt_rest_fini(&rest);
    mlt_topics_fini(&topics);
    meltica__v1__native_plan__free_unpacked(plan, NULL);
    return whole;
}

static void test_plan(void **state)
{
    (void)state;
    exhaust(apply_plan);
}

/* ---- books ---- */

static void on_request(void *ctx, uint32_t depth, enum mlt_sync_need need)
{
    (void)ctx, (void)depth, (void)need;
}

static void on_change(void *ctx, const struct mlt_sync_change *change)
{
    (void)ctx, (void)change;
}

static bool create_book(void)
{
    const struct mlt_fusion_options options = { .sync = { .first_depth = 5,
                                                          .depth = 20,
                                                          .shown = 5,
                                                          .request_timeout_ns = MLT_NS_PER_S,
                                                          .backoff_base_ns = MLT_NS_PER_S,
                                                          .backoff_max_ns = MLT_NS_PER_S,
                                                          .book = { 64, -2, -5 } } };
    const struct mlt_sync_ports ports = { on_request, on_change, NULL, mlt_clock_system() };
    struct mlt_fusion *fusion = NULL;
    const enum mlt_status status = mlt_fusion_create(&options, &ports, &fusion);
    assert_true(status == MLT_OK || (status == MLT_E_NOMEM && fusion == NULL));
    mlt_fusion_destroy(fusion);
    return status == MLT_OK;
}

static void test_book(void **state)
{
    (void)state;
    exhaust(create_book);
}

/* ---- subscriptions ---- */

static bool take_record(void)
{
    Meltica__V1__ControlRecord *record =
        meltica__v1__control_record__unpack(NULL, record_len, record_bytes);
    struct mlt_catalogue *catalogue = NULL;
    struct mlt_live live;
    struct mlt_live_item *released = NULL;
    bool changed = false;
    mlt_live_init(&live);
    bool whole = record != NULL && mlt_catalogue_create(table, 1, &catalogue) == MLT_OK;
    if (whole) {
        whole = mlt_live_apply(&live, table, record, 1, &released, &changed) == MLT_OK;
        assert_int_equal(live.count, whole ? 1 : 0);
    }
    whole = whole && mlt_catalogue_subscribe(catalogue, &live) == MLT_OK;
    mlt_live_release(released);
    mlt_catalogue_destroy(catalogue);
    mlt_live_fini(&live);
    if (record != NULL) {
        meltica__v1__control_record__free_unpacked(record, NULL);
    }
    return whole;
}

static void test_live_subscription(void **state)
{
    (void)state;
    exhaust(take_record);
}

static bool on_publish(void *ctx, const char *subject, struct mlt_slice event)
{
    (void)ctx, (void)subject, (void)event;
    return true;
}

static bool add_lanes(void)
{
    const struct mlt_lanes_ports ports = { on_publish, NULL, mlt_clock_system() };
    struct mlt_lanes_counts counts = { 0 };
    struct mlt_routing *routing = NULL;
    struct mlt_lanes *lanes = NULL;
    bool whole = mlt_routing_decode(mlt_slice_of(table_bytes, table_len), &routing) == MLT_OK &&
                 mlt_lanes_create(&ports, &lanes) == MLT_OK;
    if (whole) {
        struct mlt_event event = { .type = MLT_EVENT_TRADE,
                                   .instrument = MLT_SLICE_LITERAL("BTC-USDT"),
                                   .epoch = 1,
                                   .sequence = 1 };
        mlt_lanes_set(lanes, routing);
        mlt_lanes_event(lanes, &event);
        mlt_lanes_counts(lanes, &counts);
        /* What found no memory is counted: as a lane or a place, or as an event. */
        whole = counts.refused == 0 && counts.undelivered == 0;
        assert_true(!whole || (counts.lanes == 1 && counts.out == 1));
    }
    mlt_lanes_destroy(lanes);
    mlt_routing_destroy(routing);
    return whole;
}

static void test_lanes(void **state)
{
    (void)state;
    exhaust(add_lanes);
}

static bool publish_event(void *ctx, uint32_t partition, const struct mlt_event *event)
{
    (void)ctx, (void)partition, (void)event;
    return true;
}

/* With a table and the first event of an instrument. */
static bool make_data_bus(void)
{
    const struct mlt_data_bus_ports ports = { .publish = publish_event,
                                              .clock = mlt_clock_system() };
    struct mlt_data_bus_counts counts;
    struct mlt_routing *routing = NULL;
    struct mlt_data_bus_core *core = NULL;
    bool whole = mlt_data_bus_core_create(4, &ports, &core) == MLT_OK;
    assert_true(whole == (core != NULL));
    whole = whole && mlt_routing_decode(mlt_slice_of(table_bytes, table_len), &routing) == MLT_OK;
    if (whole) {
        struct mlt_event event = { .type = MLT_EVENT_TRADE,
                                   .instrument = MLT_SLICE_LITERAL("BTC-USDT"),
                                   .epoch = 1,
                                   .sequence = 1 };
        mlt_data_bus_core_set_table(core, routing);
        const enum mlt_status status = mlt_data_bus_core_event(core, &event);
        mlt_data_bus_core_counts(core, &counts);
        whole = status == MLT_OK;
        assert_int_equal(counts.refused, whole ? 0 : 1);
    }
    mlt_data_bus_core_destroy(core);
    return whole;
}

static void test_data_bus(void **state)
{
    (void)state;
    exhaust(make_data_bus);
}

static bool answer_command(void)
{
    static const char request[] =
        "{\"consumer\":\"desk-7\",\"type\":\"TRADE\",\"instruments\":[\"BTC-USDT\",\"ETH-*\"],"
        "\"channel\":\"private\",\"filter\":[{\"field\":\"price\",\"op\":\"ge\",\"value\":\"1\"}]}";
    struct mlt_control_refusal refusal = { .code = 0 };
    struct mlt_command command;
    struct mlt_buf answer;
    char id[MLT_COMMAND_NAME_BYTES_MAX + 1];
    if (mlt_command_read(MLT_VERB_SUBSCRIBE, mlt_slice_of_string(request), &command, &refusal) !=
        MLT_OK) {
        assert_true(refusal.code >= 400 && refusal.message[0] != '\0');
        return false;
    }
    mlt_command_id("local", &command, id);
    const struct mlt_outcome outcome = { .command = &command,
                                         .principal = "local",
                                         .subscription = id,
                                         .status = "PENDING",
                                         .reason = "",
                                         .type = command.type,
                                         .instruments = command.demand,
                                         .instrument_count = command.demand_count,
                                         .lane = &command.lane };
    mlt_buf_init(&answer, ANSWER_BYTES_MAX);
    const bool whole = mlt_outcome_json(&outcome, &answer) == MLT_OK;
    mlt_buf_fini(&answer);
    mlt_command_fini(&command);
    return whole;
}

static void test_control_request(void **state)
{
    (void)state;
    exhaust(answer_command);
}

/* ---- what they read ---- */

static void make_messages(void)
{
    char id[] = "lane", desk[] = "desk", pattern[] = "BTC-USDT", field[] = "quantity", op[] = "ge";
    char value[] = "0", topic[] = "{symbol}@trade", function[] = "depth", eth[] = "ETH-USDT";
    char *patterns[] = { pattern, eth };
    Meltica__V1__Comparison comparison, *filter = &comparison;
    meltica__v1__comparison__init(&comparison);
    comparison.field = field;
    comparison.op = op;
    comparison.value = value;
    Meltica__V1__TableSubscription s, *list = &s;
    meltica__v1__table_subscription__init(&s);
    s.id = id;
    s.principal = desk;
    s.type = MELTICA__V1__EVENT_TYPE__TRADE;
    s.instruments = patterns;
    s.n_instruments = 1;
    s.private_lane = true;
    s.filter = &filter;
    s.n_filter = 1;
    Meltica__V1__Table t = MELTICA__V1__TABLE__INIT;
    t.subscriptions = &list;
    t.n_subscriptions = 1;
    t.log_read = true;
    assert_true(meltica__v1__table__get_packed_size(&t) <= sizeof table_bytes);
    table_len = meltica__v1__table__pack(&t, table_bytes);
    Meltica__V1__ControlRecord r;
    meltica__v1__control_record__init(&r);
    r.subscription = id;
    r.principal = r.consumer = desk;
    r.type = MELTICA__V1__EVENT_TYPE__TRADE;
    r.instruments = patterns;
    r.n_instruments = 2;
    r.active = true;
    r.private_lane = true;
    r.filter = &filter;
    r.n_filter = 1;
    assert_true(meltica__v1__control_record__get_packed_size(&r) <= sizeof record_bytes);
    record_len = meltica__v1__control_record__pack(&r, record_bytes);
    Meltica__V1__PlanRoute routes[2], *route_list[2] = { &routes[0], &routes[1] };
    meltica__v1__plan_route__init(&routes[0]);
    meltica__v1__plan_route__init(&routes[1]);
    routes[0].route = 1;
    routes[0].type = MELTICA__V1__EVENT_TYPE__TRADE;
    routes[0].ws_topic = topic;
    routes[0].instruments = patterns;
    routes[0].n_instruments = 2;
    routes[1].route = 2;
    routes[1].type = MELTICA__V1__EVENT_TYPE__BOOK_SNAPSHOT;
    routes[1].rest_function = function;
    routes[1].rest_interval_ms = 1000;
    routes[1].instruments = patterns;
    routes[1].n_instruments = 1;
    Meltica__V1__NativePlan p;
    meltica__v1__native_plan__init(&p);
    p.revision = p.boot = 1;
    p.routes = route_list;
    p.n_routes = 2;
    assert_true(meltica__v1__native_plan__get_packed_size(&p) <= sizeof plan_bytes);
    plan_len = meltica__v1__native_plan__pack(&p, plan_bytes);
}

static int begin(void **state)
{
    (void)state;
    const char *source = getenv("MELTICA_SOURCE_DIR");
    struct mlt_error err = MLT_ERROR_INIT;
    assert_non_null(source);
    (void)snprintf(path_of_table, sizeof path_of_table, "%s/services/dispatcher/dispatch-all.json",
                   source);
    (void)snprintf(path_of_policy, sizeof path_of_policy, "%s/services/control_bus/policy.json",
                   source);
    assert_int_equal(mlt_table_load(path_of_table, &table, &err), MLT_OK);
    assert_int_equal(
        mlt_binance_symbols_parse(mlt_slice_of_string(LISTING), &symbols, NULL, NULL, &err),
        MLT_OK);
    make_messages();
    return 0;
}

static int end(void **state)
{
    (void)state;
    mlt_binance_symbols_destroy(symbols);
    mlt_table_destroy(table);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configuration),
        cmocka_unit_test(test_dispatch_table),
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_recording),
        cmocka_unit_test(test_variables_of_traces),
        cmocka_unit_test(test_listing),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_book),
        cmocka_unit_test(test_live_subscription),
        cmocka_unit_test(test_lanes),
        cmocka_unit_test(test_data_bus),
        cmocka_unit_test(test_control_request),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
