#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "asker.h"

#define LIMITS "\"subscriptions\":2,\"streams\":10,\"wildcard_matches\":5"
#define TRADER                                                                                     \
    "{\"verbs\":[\"subscribe\",\"list\"],\"types\":[\"TRADE\"],\"instruments\":[\"*-USDT\","       \
    "\"ETH-BTC\",\"SOL-*\"]," LIMITS "}"
#define ROLES(more) "{\"version\":1,\"roles\":{\"trader\":" TRADER "}," more "}"

static struct mlt_error err;
static struct mlt_control_refusal refusal;

static struct mlt_policy *parsed(const char *text)
{
    struct mlt_policy *policy = NULL;
    err = (struct mlt_error)MLT_ERROR_INIT;
    if (mlt_policy_parse(mlt_slice_of_string(text), &policy, &err) != MLT_OK) {
        fail_msg("refused: %s: %s", text, err.text);
    }
    return policy;
}

static void test_what_is_wrong_is_named(void **state)
{
    (void)state;
#define ROLE(member) "{\"version\":1,\"roles\":{\"r\":{" member "}},\"principals\":{}}"
#define BASE "\"verbs\":[],\"types\":[],\"instruments\":[],"
    static const struct {
        const char *text, *says;
    } wrong[] = {
        { "", "JSON" },
        { "[]", "JSON" },
        { "{\"version\":1} x", "JSON" },
        { "{\"version\":1,\"roles\":{\"a\\u0000\":{}},\"principals\":{}}", "JSON" },
        { "{\"roles\":{},\"principals\":{}}", "version" },
        { "{\"version\":2,\"roles\":{},\"principals\":{}}", "version" },
        { "{\"version\":1,\"roles\":{},\"principals\":{}}", "roles" },
        { "{\"version\":1,\"rolls\":{}}", "rolls" },
        { "{\"version\":1,\"version\":1}", "version is there twice" },
        { ROLE("\"verb\":[]"), "roles.r.verb is no member" },
        { ROLE(BASE "\"streams\":1,\"streams\":1"), "roles.r.streams is there twice" },
        { ROLE("\"verbs\":\"*\""), "roles.r.verbs" },
        { ROLE("\"verbs\":[\"sub\"]"), "sub" },
        { ROLE("\"verbs\":[7]"), "roles.r.verbs" },
        { ROLE("\"verbs\":[],\"types\":[\"trade\"]"), "roles.r.types" },
        { ROLE("\"verbs\":[],\"types\":[]"), "roles.r.instruments" },
        { ROLE("\"verbs\":[],\"types\":[],\"instruments\":[\"A*-B\"]"), "A*-B" },
        { ROLE(BASE "\"scope\":\"any\""), "roles.r.scope" },
        { ROLE(BASE "\"scope\":\"own\""), "roles.r.subscriptions" },
        { ROLE(BASE "\"subscriptions\":-1"), "roles.r.subscriptions" },
        { ROLE(BASE "\"subscriptions\":1.5"), "roles.r.subscriptions" },
        { ROLE(BASE "\"subscriptions\":1"), "roles.r.streams" },
        { ROLE(BASE "\"subscriptions\":1,\"streams\":1"), "roles.r.wildcard_matches" },
        { "{\"version\":1,\"roles\":{\"a.b\":" TRADER "},\"principals\":{}}", "a.b" },
        { "{\"version\":1,\"roles\":{\"a\":" TRADER ",\"a\":" TRADER "},\"principals\":{}}",
          "roles.a is there twice" },
        { ROLES("\"principals\":[]"), "principals" },
        { ROLES("\"principals\":{\"x\":\"viewer\"}"), "principals.x: viewer" },
        { ROLES("\"principals\":{\"x\":1}"), "principals.x" },
        { ROLES("\"principals\":{\"x y\":\"trader\"}"), "x y" },
        { ROLES("\"principals\":{\"x\":\"trader\",\"x\":\"trader\"}"),
          "principals.x is there twice" },
        { ROLES("\"principals\":{},\"default_role\":\"viewer\""), "default_role" },
        { ROLES("\"principals\":{},\"default_role\":null"), "default_role" },
    };
#undef ROLE
#undef BASE
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct mlt_policy *policy = NULL;
        err = (struct mlt_error)MLT_ERROR_INIT;
        if (mlt_policy_parse(mlt_slice_of_string(wrong[i].text), &policy, &err) != MLT_E_CONFIG) {
            fail_msg("taken: %s", wrong[i].text);
        }
        if (strstr(err.text, wrong[i].says) == NULL) {
            fail_msg("%s: does not say %s but: %s", wrong[i].text, wrong[i].says, err.text);
        }
        assert_null(policy);
    }
}

static void test_roles_are_found(void **state)
{
    (void)state;
    struct mlt_policy *policy = parsed(ROLES("\"principals\":{\"b\":\"trader\",\"a\":\"trader\"}"));
    assert_string_equal(mlt_policy_role(policy, "a")->name, "trader");
    assert_non_null(mlt_policy_role(policy, "b"));
    assert_null(mlt_policy_role(policy, "c"));
    assert_int_equal(mlt_role_check_verb(NULL, "c", MLT_VERB_LIST, &refusal), MLT_E_PROTOCOL);
    assert_int_equal(refusal.code, 403);
    assert_string_equal(refusal.field, "principal");
    mlt_policy_destroy(policy);
    policy = parsed(ROLES("\"principals\":{},\"default_role\":\"trader\""));
    const struct mlt_role *role = mlt_policy_role(policy, "c");
    assert_int_equal(mlt_role_check_verb(role, "c", MLT_VERB_LIST, &refusal), MLT_OK);
    assert_int_equal(mlt_role_check_verb(role, "c", MLT_VERB_STATUS, &refusal), MLT_E_PROTOCOL);
    assert_int_equal(refusal.code, 403);
    assert_non_null(strstr(refusal.message, "status"));
    assert_int_equal(role->subscriptions, 2);
    assert_int_equal(role->streams, 10);
    assert_int_equal(role->wildcard_matches, 5);
    assert_false(role->all);
    mlt_policy_destroy(policy);
}

static void test_a_demand_must_lie_inside(void **state)
{
    (void)state;
    static const struct {
        const char *instrument;
        bool seen;
    } cases[] = {
        { "BTC-USDT", true },  { "*-USDT", true },    { "BTC-*", false },   { "SOL-*", true },
        { "SOL-EUR", true },   { "SOLX-EUR", false }, { "ETH-BTC", true },  { "*-BTC", false },
        { "XETH-BTC", false }, { "ETH-BTCX", false }, { "BTC-USD", false },
    };
    struct mlt_policy *policy = parsed(ROLES("\"principals\":{\"a\":\"trader\"}"));
    const struct mlt_role *role = mlt_policy_role(policy, "a");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (mlt_role_sees(role, cases[i].instrument) != cases[i].seen) {
            fail_msg("%s", cases[i].instrument);
        }
    }
    char good[] = "BTC-USDT", bad[] = "BTC-EUR";
    char *names[] = { good, bad };
    struct mlt_command command = { .type = MLT_EVENT_TRADE,
                                   .instruments = names,
                                   .instrument_count = 1 };
    assert_int_equal(mlt_role_check_demand(role, "a", &command, &refusal), MLT_OK);
    command.instrument_count = 2;
    assert_int_equal(mlt_role_check_demand(role, "a", &command, &refusal), MLT_E_PROTOCOL);
    assert_int_equal(refusal.code, 403);
    assert_string_equal(refusal.field, "instruments[1]");
    command.type = MLT_EVENT_BBO;
    assert_int_equal(mlt_role_check_demand(role, "a", &command, &refusal), MLT_E_PROTOCOL);
    assert_string_equal(refusal.field, "type");
    mlt_policy_destroy(policy);
}

static Meltica__V1__TableSubscription *live(int type, const char *principal, const char *instrument)
{
    Meltica__V1__TableSubscription *s = malloc(sizeof *s);
    assert_non_null(s);
    meltica__v1__table_subscription__init(s);
    s->type = (Meltica__V1__EventType)type;
    s->id = strdup("s");
    s->principal = strdup(principal);
    s->consumer = strdup(principal[0] != '\0' ? "desk" : "");
    s->n_instruments = 1;
    s->instruments = malloc(sizeof *s->instruments);
    assert_non_null(s->instruments);
    s->instruments[0] = strdup(instrument);
    return s;
}

static size_t left_of(const char *text, const char *principal)
{
    struct mlt_policy *policy = parsed(text);
    Meltica__V1__Table *table = malloc(sizeof *table);
    assert_non_null(table);
    meltica__v1__table__init(table);
    table->n_subscriptions = 5;
    table->subscriptions = calloc(5, sizeof *table->subscriptions);
    assert_non_null(table->subscriptions);
    table->subscriptions[0] = live(MLT_EVENT_TRADE, "a", "BTC-USDT");
    table->subscriptions[1] = live(MLT_EVENT_TRADE, "b", "BTC-USDT");
    table->subscriptions[2] = live(MLT_EVENT_TRADE, "", "BTC-USDT");
    table->subscriptions[3] = live(MLT_EVENT_TRADE, "", "BTC-EUR");
    table->subscriptions[4] = live(MLT_EVENT_BBO, "", "BTC-USDT");
    mlt_role_narrow(mlt_policy_role(policy, principal), principal, table);
    const size_t left = table->n_subscriptions;
    meltica__v1__table__free_unpacked(table, NULL);
    mlt_policy_destroy(policy);
    return left;
}

static void test_a_table_is_narrowed(void **state)
{
    (void)state;
    assert_int_equal(left_of(ROLES("\"principals\":{\"a\":\"trader\"}"), "a"), 2);
    assert_int_equal(left_of("{\"version\":1,\"roles\":{\"o\":{\"verbs\":[],\"types\":[\"*\"],"
                             "\"instruments\":[\"*\"],\"scope\":\"all\"," LIMITS
                             "}},\"principals\":{},\"default_role\":\"o\"}",
                             "x"),
                     5);
}

static void assert_asker(bool required, const char *subject, int code, const char *principal)
{
    const struct mlt_authority authority = { required, NULL };
    struct mlt_asker asker;
    memset(&refusal, 0, sizeof refusal);
    const enum mlt_status status =
        mlt_asker_begin(&authority, subject, MLT_VERB_LIST, &asker, &refusal);
    assert_int_equal(status, code == 0 ? MLT_OK : MLT_E_PROTOCOL);
    assert_int_equal(refusal.code, code);
    assert_string_equal(asker.principal, principal);
    mlt_asker_end(&authority, &asker);
}

static void test_who_asks_is_in_the_subject(void **state)
{
    (void)state;
    assert_asker(false, "meltica.control.list", 0, "local");
    assert_asker(true, "meltica.control.list", 401, "");
    assert_asker(true, "meltica.control.as.desk-7.list", 0, "desk-7");
    assert_asker(false, "meltica.control.as.desk-7.list", 0, "desk-7");
    assert_asker(true, "meltica.control.as.d\"x.list", 400, "");
    assert_asker(true,
                 "meltica.control.as."
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.list",
                 400, "");
}

static void test_answers_go_to_inboxes_only(void **state)
{
    (void)state;
    const struct mlt_authority required = { true, NULL }, off = { false, NULL };
    assert_true(mlt_asker_reply_valid(&required, "_INBOX.x.y"));
    assert_true(mlt_asker_reply_valid(&required, "_INBOX_desk.x"));
    assert_true(mlt_asker_reply_valid(&required, ""));
    assert_false(mlt_asker_reply_valid(&required, "meltica.int.control.desk.s1"));
    assert_true(mlt_asker_reply_valid(&off, "my.own.subject"));
}

static void test_the_shipped_policy_is_one(void **state)
{
    (void)state;
    char path[512];
    const char *source = getenv("MELTICA_SOURCE_DIR");
    struct mlt_policy *policy = NULL;
    (void)snprintf(path, sizeof path, "%s/services/control_bus/policy.json",
                   source != NULL ? source : ".");
    if (mlt_policy_load(path, &policy, &err) != MLT_OK) {
        fail_msg("%s", err.text);
    }
    const struct mlt_role *viewer = mlt_policy_role(policy, "anybody");
    assert_string_equal(viewer->name, "viewer");
    assert_int_equal(mlt_role_check_verb(viewer, "anybody", MLT_VERB_SUBSCRIBE, &refusal),
                     MLT_E_PROTOCOL);
    mlt_policy_destroy(policy);
    assert_int_equal(mlt_policy_load("/nowhere/policy.json", &policy, &err), MLT_E_CONFIG);
    assert_non_null(strstr(err.text, "/nowhere/policy.json"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_wrong_is_named),
        cmocka_unit_test(test_roles_are_found),
        cmocka_unit_test(test_a_demand_must_lie_inside),
        cmocka_unit_test(test_a_table_is_narrowed),
        cmocka_unit_test(test_who_asks_is_in_the_subject),
        cmocka_unit_test(test_answers_go_to_inboxes_only),
        cmocka_unit_test(test_the_shipped_policy_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
