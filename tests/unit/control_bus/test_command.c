#include "mlt_test.h"

#include <stdio.h>

#include "command.h"

static struct mlt_control_refusal refusal;

static enum mlt_status read_as(enum mlt_verb verb, const char *text, struct mlt_command *command)
{
    memset(&refusal, 0, sizeof refusal);
    return mlt_command_read(verb, mlt_slice_of_string(text), command, &refusal);
}

static void assert_refused(enum mlt_verb verb, const char *text, int code, const char *field)
{
    struct mlt_command command;
    if (read_as(verb, text, &command) != MLT_E_PROTOCOL) {
        mlt_command_fini(&command);
        fail_msg("taken: %s", text);
    }
    assert_int_equal(refusal.code, code);
    assert_string_equal(refusal.field, field);
    assert_true(strlen(refusal.message) > 10);
}

static void test_a_whole_request_is_read(void **state)
{
    (void)state;
    struct mlt_command c;
    assert_int_equal(
        read_as(MLT_VERB_SUBSCRIBE,
                " {\"id\":\"r-1\",\"consumer\":\"desk-7\",\"type\":\"BOOK\",\"instruments\":"
                "[\"ETH-*\",\"BTC-USDT\",\"ETH-*\"],\"ttl_s\":60,\"channel\":\"shared\"} ",
                &c),
        MLT_OK);
    assert_string_equal(c.id, "r-1");
    assert_string_equal(c.consumer, "desk-7");
    assert_int_equal(c.type, MLT_EVENT_BOOK);
    assert_int_equal(c.ttl_s, 60);
    assert_int_equal(c.instrument_count, 3);
    assert_string_equal(c.instruments[0], "ETH-*");
    /* The demand is a set. */
    assert_int_equal(c.demand_count, 2);
    assert_string_equal(c.demand[0], "BTC-USDT");
    assert_string_equal(c.demand[1], "ETH-*");
    mlt_command_fini(&c);
    assert_int_equal(read_as(MLT_VERB_LIST, "", &c), MLT_OK);
    assert_int_equal(c.limit, MLT_COMMAND_PAGE_DEFAULT);
    mlt_command_fini(&c);
}

static void test_what_is_wrong_is_named(void **state)
{
    (void)state;
    static const struct {
        enum mlt_verb verb;
        const char *text;
        int code;
        const char *field;
    } wrong[] = {
        { MLT_VERB_SUBSCRIBE, "", 400, "" },
        { MLT_VERB_SUBSCRIBE, "{} {}", 400, "" },
        { MLT_VERB_SUBSCRIBE, "\"x\"", 400, "" },
        { MLT_VERB_SUBSCRIBE, "{}", 400, "consumer" },
        { MLT_VERB_SUBSCRIBE, "{\"consumer\":\"a\"}", 400, "type" },
        { MLT_VERB_SUBSCRIBE, "{\"consumer\":\"a\",\"type\":\"TRADE\"}", 400, "instruments" },
        { MLT_VERB_SUBSCRIBE, "{\"Consumer\":\"a\"}", 400, "Consumer" },
        { MLT_VERB_SUBSCRIBE, "{\"consumer\":\"a\",\"consumer\":\"b\"}", 400, "consumer" },
        { MLT_VERB_SUBSCRIBE, "{\"subscription\":\"a\"}", 400, "subscription" },
        { MLT_VERB_SUBSCRIBE, "{\"consumer\":\"a\\u0000b\",\"type\":\"TRADE\"}", 400, "" },
#define WITH(more) "{\"consumer\":\"a\",\"type\":\"TRADE\",\"instruments\":[\"A-B\"]," more "}"
        { MLT_VERB_SUBSCRIBE, WITH("\"ttl_s\":0"), 400, "ttl_s" },
        { MLT_VERB_SUBSCRIBE, WITH("\"ttl_s\":1.5"), 400, "ttl_s" },
        { MLT_VERB_SUBSCRIBE, WITH("\"ttl_s\":\"60\""), 400, "ttl_s" },
        { MLT_VERB_SUBSCRIBE, WITH("\"ttl_s\":1e300"), 400, "ttl_s" },
        { MLT_VERB_SUBSCRIBE, WITH("\"id\":\"\""), 400, "id" },
        { MLT_VERB_SUBSCRIBE, WITH("\"id\":\"two words\""), 400, "id" },
        { MLT_VERB_SUBSCRIBE, WITH("\"channel\":\"x\""), 400, "channel" },
        { MLT_VERB_SUBSCRIBE, WITH("\"channel\":7"), 400, "channel" },
        { MLT_VERB_SUBSCRIBE, WITH("\"channel\":\"shared\",\"throttle_ms\":250"), 400, "channel" },
        { MLT_VERB_SUBSCRIBE, WITH("\"throttle_ms\":0"), 400, "throttle_ms" },
        { MLT_VERB_SUBSCRIBE, WITH("\"throttle_ms\":60001"), 400, "throttle_ms" },
        { MLT_VERB_SUBSCRIBE, WITH("\"throttle_ms\":\"250\""), 400, "throttle_ms" },
        { MLT_VERB_SUBSCRIBE, WITH("\"filter\":{}"), 400, "filter" },
        { MLT_VERB_SUBSCRIBE, WITH("\"filter\":[]"), 400, "filter" },
        { MLT_VERB_SUBSCRIBE, WITH("\"filter\":[7]"), 400, "filter[0]" },
        { MLT_VERB_SUBSCRIBE, WITH("\"filter\":[{\"field\":\"price\",\"op\":\"ge\",\"value\":7}]"),
          400, "filter[0]" },
        { MLT_VERB_SUBSCRIBE,
          WITH("\"filter\":[{\"field\":\"price\",\"op\":\"ge\",\"value\":\"7\",\"x\":1}]"), 400,
          "filter[0]" },
        { MLT_VERB_SUBSCRIBE,
          WITH("\"filter\":[{\"field\":\"price\",\"op\":\"ge\",\"field\":\"price\"}]"), 400,
          "filter[0]" },
#undef WITH
#define OF(type, list) "{\"consumer\":\"a\",\"type\":\"" type "\",\"instruments\":" list "}"
        { MLT_VERB_SUBSCRIBE, OF("trade", "[\"A-B\"]"), 400, "type" },
        { MLT_VERB_SUBSCRIBE, OF("STATUS", "[\"A-B\"]"), 400, "type" },
        { MLT_VERB_SUBSCRIBE, OF("INSTRUMENT", "[\"A-B\"]"), 400, "type" },
        { MLT_VERB_SUBSCRIBE, OF("TRADE", "[]"), 400, "instruments" },
        { MLT_VERB_SUBSCRIBE, OF("TRADE", "\"A-B\""), 400, "instruments" },
        { MLT_VERB_SUBSCRIBE, OF("TRADE", "[\"A-B\",7]"), 400, "instruments[1]" },
        { MLT_VERB_SUBSCRIBE, OF("TRADE", "[\"*\"]"), 400, "instruments[0]" },
        { MLT_VERB_SUBSCRIBE, OF("TRADE", "[\"*-*\"]"), 400, "instruments[0]" },
        { MLT_VERB_SUBSCRIBE, OF("TRADE", "[\"A*-B\"]"), 400, "instruments[0]" },
        { MLT_VERB_SUBSCRIBE, OF("TRADE", "[\"A.B-C\"]"), 400, "instruments[0]" },
#undef OF
        { MLT_VERB_UNSUBSCRIBE, "{\"consumer\":\"a\"}", 400, "subscription" },
        { MLT_VERB_UNSUBSCRIBE, "{\"consumer\":\"a\",\"type\":\"TRADE\"}", 400, "instruments" },
        { MLT_VERB_UNSUBSCRIBE, "{\"consumer\":\"a\",\"subscription\":\"s\",\"type\":\"TRADE\"}",
          400, "subscription" },
        { MLT_VERB_RENEW, "{\"consumer\":\"a\",\"subscription\":\"s\"}", 400, "ttl_s" },
        { MLT_VERB_UPDATE, "{\"consumer\":\"a\",\"subscription\":\"s\"}", 400, "instruments" },
        { MLT_VERB_LIST, "{\"limit\":0}", 400, "limit" },
        { MLT_VERB_LIST, "{\"type\":\"TRADE\"}", 400, "type" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_refused(wrong[i].verb, wrong[i].text, wrong[i].code, wrong[i].field);
    }
}

/* What a lane may say, by type. */
static void test_a_lane_has_what_its_type_offers(void **state)
{
    (void)state;
    static const struct {
        enum mlt_event_type type;
        int64_t throttle_ms;
        struct mlt_comparison one;
        const char *field; /* NULL: right */
    } cases[] = {
        { MLT_EVENT_BBO, 250, { "", "", "" }, NULL },
        { MLT_EVENT_BOOK, 1000, { "", "", "" }, NULL },
        { MLT_EVENT_TICKER, 1, { "", "", "" }, NULL },
        { MLT_EVENT_TRADE, 250, { "", "", "" }, "throttle_ms" },
        { MLT_EVENT_AGG_TRADE, 250, { "", "", "" }, "throttle_ms" },
        { MLT_EVENT_KLINE, 250, { "", "", "" }, "throttle_ms" },
        { MLT_EVENT_BOOK_DELTA, 250, { "", "", "" }, "throttle_ms" },
        { MLT_EVENT_TRADE, 0, { "notional", "ge", "1000" }, NULL },
        { MLT_EVENT_TRADE, 0, { "aggressor", "eq", "BUY" }, NULL },
        { MLT_EVENT_KLINE, 0, { "interval", "eq", "1m" }, NULL },
        { MLT_EVENT_INSTRUMENT, 0, { "status", "ne", "TRADING" }, NULL },
        { MLT_EVENT_BOOK, 0, { "spread_bps", "gt", "2.5" }, NULL },
        { MLT_EVENT_TRADE, 0, { "noted", "ge", "1000" }, "filter.noted" },
        { MLT_EVENT_TRADE, 0, { "price", "over", "1000" }, "filter.price" },
        { MLT_EVENT_TRADE, 0, { "price", "ge", "much" }, "filter.price" },
        { MLT_EVENT_TRADE, 0, { "aggressor", "lt", "BUY" }, "filter.aggressor" },
        { MLT_EVENT_BOOK_DELTA, 0, { "price", "ge", "1" }, "filter" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mlt_control_refusal why = { 0 };
        const struct mlt_lane_terms lane = { .private_lane = true,
                                             .throttle_ms = cases[i].throttle_ms,
                                             .filter_count = cases[i].one.field[0] != '\0',
                                             .filter = { cases[i].one } };
        const enum mlt_status status = mlt_lane_check(cases[i].type, &lane, &why);
        if (cases[i].field == NULL) {
            assert_int_equal(status, MLT_OK);
        } else {
            assert_int_equal(status, MLT_E_PROTOCOL);
            assert_int_equal(why.code, 400);
            assert_string_equal(why.field, cases[i].field);
        }
    }
}

/* The same filter is the same subscription, however it is written; another one is another. */
static void test_a_filter_is_a_set(void **state)
{
    (void)state;
#define LANE(filter)                                                                               \
    "{\"consumer\":\"a\",\"type\":\"TRADE\",\"instruments\":[\"A-B\"],\"filter\":[" filter "]}"
#define PRICE "{\"field\":\"price\",\"op\":\"ge\",\"value\":\"7\"}"
#define SIDE "{\"field\":\"aggressor\",\"op\":\"eq\",\"value\":\"BUY\"}"
    static const char *const same[] = { LANE(PRICE "," SIDE), LANE(SIDE "," PRICE),
                                        LANE(SIDE "," PRICE "," SIDE) };
    static const char *const others[] = { LANE(PRICE), LANE(SIDE),
                                          "{\"consumer\":\"a\",\"type\":\"TRADE\","
                                          "\"instruments\":[\"A-B\"]}",
                                          "{\"consumer\":\"a\",\"type\":\"TRADE\","
                                          "\"instruments\":[\"A-B\"],\"channel\":\"private\"}" };
    char ids[7][64];
    for (size_t i = 0; i < 7; i++) {
        struct mlt_command c;
        assert_int_equal(read_as(MLT_VERB_SUBSCRIBE, i < 3 ? same[i] : others[i - 3], &c), MLT_OK);
        assert_int_equal(c.lane.private_lane, i != 5);
        mlt_command_id("local", &c, ids[i]);
        for (size_t k = 0; k < i; k++) {
            assert_int_equal(strcmp(ids[i], ids[k]) == 0, i < 3);
        }
        mlt_command_fini(&c);
    }
}

static void id_of(const char *principal, const char *consumer, enum mlt_event_type type,
                  char **demand, size_t count, char *id)
{
    struct mlt_command command = { .type = type, .demand = demand, .demand_count = count };
    (void)snprintf(command.consumer, sizeof command.consumer, "%s", consumer);
    mlt_command_id(principal, &command, id);
}

static void test_an_id_is_that_of_the_demand(void **state)
{
    (void)state;
    char token_a[] = "A-B", token_b[] = "C-D", joined[] = "A-BC-D";
    char *both[] = { token_a, token_b }, *one[] = { joined };
    char id[64], other[64];
    id_of("local", "desk", MLT_EVENT_TRADE, both, 2, id);
    id_of("local", "desk", MLT_EVENT_TRADE, both, 2, other);
    assert_string_equal(id, other);
    assert_int_equal(strlen(id), 17);
    id_of("local", "desk", MLT_EVENT_TRADE, both, 1, other);
    assert_string_not_equal(id, other);
    id_of("local", "desk", MLT_EVENT_TRADE, one, 1, other);
    assert_string_not_equal(id, other);
    id_of("local", "desk", MLT_EVENT_BBO, both, 2, other);
    assert_string_not_equal(id, other);
    id_of("local", "des", MLT_EVENT_TRADE, both, 2, other);
    assert_string_not_equal(id, other);
    id_of("locald", "esk", MLT_EVENT_TRADE, both, 2, other);
    assert_string_not_equal(id, other);
}

/* ---- with a table ---- */

static Meltica__V1__TableRoute route;
static Meltica__V1__TableRoute *routes[] = { &route };
static Meltica__V1__TableSubscription live[3];
static Meltica__V1__TableSubscription *lives[] = { &live[0], &live[1], &live[2] };
static uint32_t matches[2];
static char desk[] = "desk", other_desk[] = "other", local[] = "local", id_1[] = "s1",
            id_2[] = "s2", fixed[] = "fixed", state_word[] = "CONFIRMED", a_b[] = "A-B";
static char *tokens[] = { a_b };

/* A subscription of the file, one of desk, one of another. */
static Meltica__V1__Table make_table(void)
{
    Meltica__V1__Table table;
    meltica__v1__table__init(&table);
    meltica__v1__table_route__init(&route);
    route.type = MELTICA__V1__EVENT_TYPE__TRADE;
    for (size_t i = 0; i < 3; i++) {
        meltica__v1__table_subscription__init(&live[i]);
        live[i].type = MELTICA__V1__EVENT_TYPE__TRADE;
        live[i].instruments = tokens;
        live[i].n_instruments = 1;
    }
    live[0].id = fixed;
    live[1].id = id_1;
    live[2].id = id_2;
    live[1].principal = live[2].principal = local;
    live[1].consumer = desk;
    live[2].consumer = other_desk;
    live[1].state = live[2].state = state_word;
    table.n_routes = 1;
    table.routes = routes;
    table.n_subscriptions = 3;
    table.subscriptions = lives;
    table.instruments_listed = 2;
    table.listing_heard = 1;
    table.n_matches = 2;
    table.matches = matches;
    return table;
}

static void test_a_demand_is_checked_with_the_table(void **state)
{
    (void)state;
    Meltica__V1__Table table = make_table();
    const struct mlt_command_limits limits = { 2, 2 }, narrow = { 1, 1 };
    struct mlt_command c;
    assert_int_equal(read_as(MLT_VERB_SUBSCRIBE,
                             "{\"consumer\":\"desk\",\"type\":\"TRADE\",\"instruments\":"
                             "[\"A-B\",\"C-D\"]}",
                             &c),
                     MLT_OK);
    matches[0] = matches[1] = 1;
    assert_int_equal(mlt_command_check(&c, &table, &refusal), MLT_OK);
    matches[1] = 0;
    assert_int_equal(mlt_command_check(&c, &table, &refusal), MLT_E_PROTOCOL);
    assert_int_equal(refusal.code, 404);
    assert_string_equal(refusal.field, "instruments[1]");
    assert_non_null(strstr(refusal.message, "C-D"));
    table.listing_heard = 0; /* it may come yet, and nobody is told that it does not exist */
    assert_int_equal(mlt_command_check(&c, &table, &refusal), MLT_E_PROTOCOL);
    assert_int_equal(refusal.code, 503);
    assert_string_equal(refusal.field, "instruments[1]");
    matches[1] = 1;
    assert_int_equal(mlt_command_check(&c, &table, &refusal), MLT_OK);
    matches[1] = 0;
    table.instruments_listed = 0;
    assert_int_equal(mlt_command_check(&c, &table, &refusal), MLT_E_PROTOCOL);
    assert_int_equal(refusal.code, 503);
    assert_int_equal(mlt_command_check_terms(&c, &limits, &refusal), MLT_OK);
    assert_int_equal(mlt_command_check_terms(&c, &narrow, &refusal), MLT_E_PROTOCOL);
    assert_int_equal(refusal.code, 429);
    c.type = MLT_EVENT_BOOK;
    assert_int_equal(mlt_command_check(&c, &table, &refusal), MLT_E_PROTOCOL);
    assert_int_equal(refusal.code, 404);
    assert_string_equal(refusal.field, "type");
    /* One of two places is taken. */
    assert_int_equal(mlt_command_check_room(&c, "local", &table, &limits, &refusal), MLT_OK);
    assert_int_equal(mlt_command_check_room(&c, "local", &table, &narrow, &refusal),
                     MLT_E_PROTOCOL);
    assert_int_equal(refusal.code, 429);
    assert_string_equal(refusal.field, "consumer");
    mlt_command_fini(&c);
}

/* The table answers each name once; the member at fault is told as it was given. */
static void test_names_are_told_as_they_were_given(void **state)
{
    (void)state;
    Meltica__V1__Table table = make_table();
    struct mlt_command c;
    assert_int_equal(read_as(MLT_VERB_SUBSCRIBE,
                             "{\"consumer\":\"desk\",\"type\":\"TRADE\",\"instruments\":"
                             "[\"C-D\",\"C-D\",\"A-B\",\"C-D\"]}",
                             &c),
                     MLT_OK);
    matches[0] = matches[1] = 1; /* A-B, C-D */
    assert_int_equal(mlt_command_check(&c, &table, &refusal), MLT_OK);
    matches[0] = 0;
    assert_int_equal(mlt_command_check(&c, &table, &refusal), MLT_E_PROTOCOL);
    assert_string_equal(refusal.field, "instruments[2]");
    matches[0] = 1;
    table.n_matches = 1; /* nothing is said of C-D */
    assert_int_equal(mlt_command_check(&c, &table, &refusal), MLT_E_PROTOCOL);
    assert_string_equal(refusal.field, "instruments[0]");
    mlt_command_fini(&c);
}

/* What a pattern covers is known when the listing has been read to its end: before, "all" and what
 * it costs would be of a part. */
static void test_a_pattern_waits_for_the_whole_listing(void **state)
{
    (void)state;
    Meltica__V1__Table table = make_table();
    struct mlt_command c;
    assert_int_equal(read_as(MLT_VERB_SUBSCRIBE,
                             "{\"consumer\":\"desk\",\"type\":\"TRADE\",\"instruments\":"
                             "[\"A-B\",\"*-D\"]}",
                             &c),
                     MLT_OK);
    matches[0] = matches[1] = 1;
    assert_int_equal(mlt_command_check(&c, &table, &refusal), MLT_OK);
    table.listing_heard = 0;
    assert_int_equal(mlt_command_check(&c, &table, &refusal), MLT_E_PROTOCOL);
    assert_int_equal(refusal.code, 503);
    assert_string_equal(refusal.field, "instruments[1]");
    mlt_command_fini(&c);
}

/* The table is one message. A Dispatcher of before does not say how long it is. */
static void test_space_in_the_message_of_the_table(void **state)
{
    (void)state;
    Meltica__V1__Table table = make_table();
    struct mlt_command c;
    assert_int_equal(read_as(MLT_VERB_SUBSCRIBE,
                             "{\"consumer\":\"desk\",\"type\":\"TRADE\",\"instruments\":"
                             "[\"A-B\",\"C-D\"]}",
                             &c),
                     MLT_OK);
    assert_int_equal(mlt_command_check_space(&c, &table, &refusal), MLT_OK);
    table.table_bytes = MLT_DEMAND_TABLE_BYTES_MAX - 300;
    assert_int_equal(mlt_command_check_space(&c, &table, &refusal), MLT_OK);
    table.table_bytes += 290;
    assert_int_equal(mlt_command_check_space(&c, &table, &refusal), MLT_E_PROTOCOL);
    assert_int_equal(refusal.code, 429);
    assert_non_null(strstr(refusal.message, "end others"));
    table.table_bytes = MLT_DEMAND_TABLE_BYTES_MAX + 1000; /* of a log of before */
    assert_int_equal(mlt_command_check_space(&c, &table, &refusal), MLT_E_PROTOCOL);
    mlt_command_fini(&c);
}

/* An update needs a place for its new one while the old one stands; the consumer's own number does
 * not grow. */
static void test_space_for_a_private_channel(void **state)
{
    (void)state;
    Meltica__V1__Table table = make_table();
    Meltica__V1__TableSubscription *many[MLT_COMMAND_LANES_MAX];
    struct mlt_command c;
    assert_int_equal(read_as(MLT_VERB_UPDATE,
                             "{\"consumer\":\"desk\",\"subscription\":\"s1\",\"instruments\":"
                             "[\"A-B\"],\"channel\":\"private\"}",
                             &c),
                     MLT_OK);
    for (size_t i = 0; i < MLT_COMMAND_LANES_MAX; i++) {
        many[i] = &live[1];
    }
    table.subscriptions = many;
    table.n_subscriptions = MLT_COMMAND_LANES_MAX;
    assert_int_equal(mlt_command_check_space(&c, &table, &refusal), MLT_OK);
    live[1].private_lane = true;
    assert_int_equal(mlt_command_check_space(&c, &table, &refusal), MLT_E_PROTOCOL);
    assert_int_equal(refusal.code, 429);
    assert_string_equal(refusal.field, "channel");
    table.n_subscriptions--;
    assert_int_equal(mlt_command_check_space(&c, &table, &refusal), MLT_OK);
    live[1].private_lane = false;
    mlt_command_fini(&c);
}

static void test_nobody_finds_what_is_another_ones(void **state)
{
    (void)state;
    Meltica__V1__Table table = make_table();
    assert_ptr_equal(mlt_command_find(&table, "local", "desk", "s1"), &live[1]);
    assert_null(mlt_command_find(&table, "local", "desk", "s2"));
    assert_null(mlt_command_find(&table, "else", "desk", "s1"));
    assert_null(mlt_command_find(&table, "local", "", "fixed"));
    assert_int_equal(mlt_command_check_id(&table, "s3", &refusal), MLT_OK);
    assert_int_equal(mlt_command_check_id(&table, "fixed", &refusal), MLT_OK);
    assert_int_equal(mlt_command_check_id(&table, "s2", &refusal), MLT_E_PROTOCOL);
    assert_int_equal(refusal.code, 409);
    struct mlt_command c;
    struct mlt_buf out;
    mlt_buf_init(&out, 65536);
    assert_int_equal(read_as(MLT_VERB_LIST, "{\"consumer\":\"desk\"}", &c), MLT_OK);
    assert_int_equal(mlt_list_json(&c, "local", &table, 0, &out), MLT_OK);
    assert_int_equal(mlt_buf_append_byte(&out, 0), MLT_OK);
    const char *text = (const char *)out.data;
    assert_non_null(strstr(text, "\"subscription\":\"s1\""));
    assert_null(strstr(text, "s2"));
    assert_null(strstr(text, "fixed"));
    assert_non_null(strstr(text, "\"total\":1"));
    mlt_buf_fini(&out);
    mlt_command_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_request_is_read),
        cmocka_unit_test(test_what_is_wrong_is_named),
        cmocka_unit_test(test_a_lane_has_what_its_type_offers),
        cmocka_unit_test(test_a_filter_is_a_set),
        cmocka_unit_test(test_an_id_is_that_of_the_demand),
        cmocka_unit_test(test_a_demand_is_checked_with_the_table),
        cmocka_unit_test(test_names_are_told_as_they_were_given),
        cmocka_unit_test(test_a_pattern_waits_for_the_whole_listing),
        cmocka_unit_test(test_space_in_the_message_of_the_table),
        cmocka_unit_test(test_space_for_a_private_channel),
        cmocka_unit_test(test_nobody_finds_what_is_another_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
