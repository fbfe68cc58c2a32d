#include "mlt_test.h"

#include <cjson/cJSON.h>

#include "answer.h"

static Meltica__V1__TableRoute routes[3];
static Meltica__V1__TableRoute *route_list[3] = { &routes[0], &routes[1], &routes[2] };
static Meltica__V1__TableSubscription subscriptions[3];
static Meltica__V1__TableSubscription *subscription_list[3] = { &subscriptions[0],
                                                                &subscriptions[1],
                                                                &subscriptions[2] };
static char trade_topic[] = "{symbol}@trade", kline_1m[] = "{symbol}@kline_1m",
            kline_1h[] = "{symbol}@kline_1h", policy[] = "discard:zero", token[] = "BTC-USDT",
            pattern[] = "ETH-*", id_a[] = "a", id_b[] = "say \"hi\"";
static char *policies[] = { policy };
static char *instruments[] = { token, pattern };

static Meltica__V1__Table table_of(void)
{
    Meltica__V1__Table table;
    meltica__v1__table__init(&table);
    for (size_t i = 0; i < 3; i++) {
        meltica__v1__table_route__init(&routes[i]);
        meltica__v1__table_subscription__init(&subscriptions[i]);
        routes[i].route = (uint32_t)i + 1;
        subscriptions[i].instruments = instruments;
        subscriptions[i].n_instruments = 2;
        subscriptions[i].id = i == 0 ? id_a : id_b;
    }
    routes[0].type = MELTICA__V1__EVENT_TYPE__TRADE;
    routes[0].ws_topic = trade_topic;
    routes[0].policies = policies;
    routes[0].n_policies = 1;
    routes[1].type = routes[2].type = MELTICA__V1__EVENT_TYPE__KLINE;
    routes[1].ws_topic = kline_1m;
    routes[2].ws_topic = kline_1h;
    subscriptions[0].type = MELTICA__V1__EVENT_TYPE__TRADE;
    subscriptions[1].type = MELTICA__V1__EVENT_TYPE__BOOK;
    subscriptions[2].type = MELTICA__V1__EVENT_TYPE__BOOK_DELTA;
    subscriptions[2].implied = 1;
    table.revision = UINT64_C(9007199254740993);
    table.n_routes = 3;
    table.routes = route_list;
    table.n_subscriptions = 3;
    table.subscriptions = subscription_list;
    table.instruments_listed = 2000;
    table.instruments_subscribed = 12;
    table.listing_heard = 1;
    return table;
}

static cJSON *parsed(struct mlt_buf *text)
{
    cJSON *tree = cJSON_ParseWithLength((const char *)text->data, text->len);
    if (tree == NULL) {
        fail_msg("no JSON: %.*s", (int)text->len, (const char *)text->data);
    }
    mlt_buf_clear(text);
    return tree;
}

static const cJSON *at(const cJSON *object, const char *name)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);
    if (member == NULL) {
        fail_msg("no member %s", name);
    }
    return member;
}

static const cJSON *item(const cJSON *object, const char *name, int i)
{
    const cJSON *found = cJSON_GetArrayItem(at(object, name), i);
    if (found == NULL) {
        fail_msg("no %s[%d]", name, i);
    }
    return found;
}

static const char *text_at(const cJSON *object, const char *name)
{
    const cJSON *member = at(object, name);
    assert_true(cJSON_IsString(member));
    return member->valuestring;
}

static void test_describe_offers_types_with_routes_and_filters(void **state)
{
    (void)state;
    const Meltica__V1__Table table = table_of();
    struct mlt_buf out;
    mlt_buf_init(&out, 1u << 20);
    assert_int_equal(mlt_control_describe_json(&table, &out), MLT_OK);
    cJSON *tree = parsed(&out);
    assert_string_equal(text_at(tree, "status"), "OK");
    assert_string_equal(text_at(tree, "revision"), "9007199254740993");
    assert_int_equal(cJSON_GetArraySize(at(tree, "types")), 2);
    const cJSON *trade = item(tree, "types", 0), *kline = item(tree, "types", 1);
    assert_string_equal(text_at(trade, "type"), "TRADE");
    assert_string_equal(text_at(item(trade, "routes", 0), "topic"), "{symbol}@trade");
    assert_string_equal(item(item(trade, "routes", 0), "policies", 0)->valuestring, "discard:zero");
    assert_string_equal(text_at(item(trade, "filters", 1), "field"), "price");
    assert_string_equal(text_at(item(trade, "filters", 1), "kind"), "decimal");
    assert_int_equal(cJSON_GetArraySize(at(item(trade, "filters", 1), "ops")), 6);
    assert_string_equal(text_at(item(trade, "filters", 3), "field"), "aggressor");
    assert_int_equal(cJSON_GetArraySize(at(item(trade, "filters", 3), "ops")), 2);
    assert_string_equal(text_at(kline, "type"), "KLINE");
    assert_int_equal(cJSON_GetArraySize(at(kline, "routes")), 2);
    assert_int_equal(at(item(kline, "routes", 1), "route")->valueint, 3);
    assert_int_equal(at(at(tree, "instruments"), "listed")->valueint, 2000);
    assert_int_equal(at(at(tree, "instruments"), "subscribed")->valueint, 12);
    assert_true(cJSON_IsTrue(at(at(tree, "instruments"), "complete")));
    /* What is only implied is not somebody's subscription. */
    assert_int_equal(cJSON_GetArraySize(at(tree, "subscriptions")), 2);
    assert_string_equal(text_at(item(tree, "subscriptions", 1), "id"), "say \"hi\"");
    assert_string_equal(text_at(item(tree, "subscriptions", 1), "type"), "BOOK");
    assert_string_equal(item(item(tree, "subscriptions", 0), "instruments", 1)->valuestring,
                        "ETH-*");
    cJSON_Delete(tree);
    mlt_buf_fini(&out);
}

static void test_describe_offers_a_book_where_its_sources_have_routes(void **state)
{
    (void)state;
    Meltica__V1__Table table = table_of();
    struct mlt_buf out;
    mlt_buf_init(&out, 1u << 20);
    routes[1].type = MELTICA__V1__EVENT_TYPE__BOOK_DELTA;
    assert_int_equal(mlt_control_describe_json(&table, &out), MLT_OK);
    cJSON *tree = parsed(&out);
    assert_int_equal(cJSON_GetArraySize(at(tree, "types")), 3); /* TRADE, KLINE, BOOK_DELTA */
    cJSON_Delete(tree);
    routes[2].type = MELTICA__V1__EVENT_TYPE__BOOK_SNAPSHOT;
    assert_int_equal(mlt_control_describe_json(&table, &out), MLT_OK);
    tree = parsed(&out);
    assert_int_equal(cJSON_GetArraySize(at(tree, "types")), 4);
    const cJSON *book = item(tree, "types", 3);
    assert_string_equal(text_at(book, "type"), "BOOK");
    assert_int_equal(cJSON_GetArraySize(at(book, "routes")), 0);
    assert_string_equal(item(book, "derived_from", 0)->valuestring, "BOOK_DELTA");
    assert_string_equal(item(book, "derived_from", 1)->valuestring, "BOOK_SNAPSHOT");
    cJSON_Delete(tree);
    mlt_buf_fini(&out);
}

static void test_status_says_who_is_there_and_what_adapters_have(void **state)
{
    (void)state;
    const Meltica__V1__Table table = table_of();
    char instance[] = "adapter-0", problem_state[] = "FAILED", reason[] = "unknown_symbol";
    Meltica__V1__PlanStatus__Topic problem;
    meltica__v1__plan_status__topic__init(&problem);
    Meltica__V1__PlanStatus__Topic *problems[] = { &problem };
    problem.instrument = token;
    problem.state = problem_state;
    problem.reason = reason;
    problem.route = 3;
    Meltica__V1__PlanStatus plan;
    meltica__v1__plan_status__init(&plan);
    plan.instance = instance;
    plan.revision = table.revision;
    plan.applied = 1;
    plan.topics_live = 12;
    plan.topics_failed = 1;
    plan.connections = 2;
    plan.n_problems = 1;
    plan.problems = problems;
    const struct mlt_control_adapter adapter = { &plan, 250 };
    struct mlt_control_service services[2] = { { "meltica-adapter", true, "X1", "0.1.0" },
                                               { "meltica-conductor", true, "X2", "0.1.0" } };
    struct mlt_control_view view = { .version = "0.1.0",
                                     .instance = "control-bus-0",
                                     .table = &table,
                                     .dispatcher_heard_ms = 40,
                                     .adapters = &adapter,
                                     .adapter_count = 1,
                                     .services = services,
                                     .service_count = 2 };
    struct mlt_buf out;
    mlt_buf_init(&out, 1u << 20);
    assert_int_equal(mlt_control_status_json(&view, &out), MLT_OK);
    cJSON *tree = parsed(&out);
    assert_string_equal(text_at(tree, "status"), "OK");
    assert_string_equal(text_at(tree, "service"), "meltica-control");
    assert_string_equal(text_at(tree, "instance"), "control-bus-0");
    assert_string_equal(text_at(at(tree, "dispatcher"), "state"), "UP");
    assert_string_equal(text_at(at(tree, "dispatcher"), "revision"), "9007199254740993");
    const cJSON *said = item(tree, "adapters", 0);
    assert_string_equal(text_at(said, "instance"), "adapter-0");
    assert_true(cJSON_IsTrue(at(said, "current")));
    assert_int_equal(at(at(said, "topics"), "live")->valueint, 12);
    assert_string_equal(text_at(item(said, "problems", 0), "reason"), "unknown_symbol");
    assert_string_equal(text_at(item(tree, "services", 1), "id"), "X2");
    cJSON_Delete(tree);

    /* One away is enough, and an Adapter with another revision is not current. */
    services[1].up = false;
    plan.revision--;
    assert_int_equal(mlt_control_status_json(&view, &out), MLT_OK);
    tree = parsed(&out);
    assert_string_equal(text_at(tree, "status"), "DEGRADED");
    assert_string_equal(text_at(item(tree, "services", 1), "state"), "AWAY");
    assert_true(cJSON_IsFalse(at(item(tree, "adapters", 0), "current")));
    cJSON_Delete(tree);

    view.table = NULL;
    view.last_revision = 77;
    view.dispatcher_heard_ms = -1;
    assert_int_equal(mlt_control_status_json(&view, &out), MLT_OK);
    tree = parsed(&out);
    assert_string_equal(text_at(at(tree, "dispatcher"), "state"), "AWAY");
    assert_string_equal(text_at(at(tree, "dispatcher"), "revision"), "77");
    assert_int_equal(at(at(tree, "dispatcher"), "heard_ms_ago")->valueint, -1);
    cJSON_Delete(tree);
    mlt_buf_fini(&out);
}

static void test_answer_that_does_not_fit_is_an_error(void **state)
{
    (void)state;
    const Meltica__V1__Table table = table_of();
    struct mlt_buf out;
    mlt_buf_init(&out, 100);
    assert_int_equal(mlt_control_describe_json(&table, &out), MLT_E_TOO_BIG);
    mlt_buf_fini(&out);
}

static const struct {
    const char *request;
    bool good;
    const char *field, *message;
} requests[] = {
    { "", true, "", "" },
    { "  \n", true, "", "" },
    { "{}", true, "", "" },
    { " { } ", true, "", "" },
    { "{", false, "", "is not JSON: send an empty request or {}" },
    { "{} x", false, "", "is not JSON" },
    { "[]", false, "", "is no JSON object" },
    { "\"x\"", false, "", "is no JSON object" },
    { "{\"verbose\":true}", false, "verbose", "\"verbose\" is unknown: status has no parameters" },
};

static void test_requests_are_empty_or_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct mlt_control_refusal refusal = { 0 };
        const enum mlt_status status =
            mlt_control_check_empty(mlt_slice_of_string(requests[i].request), "status", &refusal);
        if ((status == MLT_OK) != requests[i].good) {
            fail_msg("%s", requests[i].request);
        }
        if (!requests[i].good) {
            assert_int_equal(refusal.code, 400);
            assert_string_equal(refusal.field, requests[i].field);
            assert_non_null(strstr(refusal.message, requests[i].message));
        }
    }
    static char longest[MLT_CONTROL_REQUEST_BYTES_MAX + 1];
    struct mlt_control_refusal refusal = { 0 };
    memset(longest, ' ', sizeof longest);
    longest[0] = '{';
    longest[MLT_CONTROL_REQUEST_BYTES_MAX - 1] = '}';
    assert_int_equal(mlt_control_check_empty(mlt_slice_of(longest, MLT_CONTROL_REQUEST_BYTES_MAX),
                                             "status", &refusal),
                     MLT_OK);
    assert_int_equal(
        mlt_control_check_empty(mlt_slice_of(longest, sizeof longest), "status", &refusal),
        MLT_E_PROTOCOL);
}

static void test_refusal_is_a_body_with_code_message_and_field(void **state)
{
    (void)state;
    struct mlt_control_refusal refusal;
    struct mlt_buf out;
    mlt_buf_init(&out, 4096);
    assert_int_equal(mlt_control_refuse(&refusal, 400, "a\"b", "\"%s\" is unknown", "a\"b"),
                     MLT_E_PROTOCOL);
    assert_int_equal(mlt_control_refusal_json(&refusal, &out), MLT_OK);
    cJSON *tree = parsed(&out);
    assert_string_equal(text_at(tree, "status"), "REJECTED");
    assert_int_equal(at(tree, "code")->valueint, 400);
    assert_string_equal(text_at(tree, "message"), "\"a\"b\" is unknown");
    assert_string_equal(text_at(tree, "field"), "a\"b");
    cJSON_Delete(tree);
    mlt_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_describe_offers_types_with_routes_and_filters),
        cmocka_unit_test(test_describe_offers_a_book_where_its_sources_have_routes),
        cmocka_unit_test(test_status_says_who_is_there_and_what_adapters_have),
        cmocka_unit_test(test_answer_that_does_not_fit_is_an_error),
        cmocka_unit_test(test_requests_are_empty_or_refused_by_name),
        cmocka_unit_test(test_refusal_is_a_body_with_code_message_and_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
