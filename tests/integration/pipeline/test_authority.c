/*
 * Users told apart: a NATS server with the configuration that `meltica nats-auth` prints, all five
 * services as users of it with no more rights than that gives them, and principals that try to do
 * what is not theirs.
 */
#include "mlt_test.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "meltica/base/clock.h"
#include "mlt_consumer.h"
#include "mlt_stack.h"

/* A key pair of tests, in no other use. */
#define OPS_SEED "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
#define OPS_KEY "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"

#define TABLE                                                                                      \
    "{\"version\":1,\"routes\":[{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"},"                   \
    "{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"                                           \
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}]}"
#define POLICY(eve)                                                                                \
    "{\"version\":1,\"roles\":{\"viewer\":{\"verbs\":[\"list\",\"describe\",\"status\"],"          \
    "\"types\":[\"*\"],\"instruments\":[\"*\"],\"subscriptions\":0,\"streams\":0,"                 \
    "\"wildcard_matches\":0},"                                                                     \
    "\"trader\":{\"verbs\":[\"*\"],\"types\":[\"TRADE\"],\"instruments\":[\"*\"],"                 \
    "\"subscriptions\":3,\"streams\":6,\"wildcard_matches\":4},"                                   \
    "\"operator\":{\"verbs\":[\"*\"],\"types\":[\"*\"],\"instruments\":[\"*\"],"                   \
    "\"scope\":\"all\",\"subscriptions\":9,\"streams\":90,\"wildcard_matches\":90}},"              \
    "\"principals\":{\"desk\":\"trader\",\"ops\":\"operator\",\"eve\":\"" eve "\"}}"

static struct mlt_stack stack;
static struct mlt_consumer consumer;
static char folder[] = "/tmp/meltica-authority.XXXXXX";
static struct mlt_bus *desk, *eve, *ops;

static const char *in_folder(const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* Written aside and renamed, as one does. */
static void write_file(const char *name, const char *text)
{
    FILE *to = fopen(in_folder("aside"), "w");
    if (to == NULL) {
        fail_msg("%s cannot be written", name);
        return;
    }
    assert_true(fprintf(to, "%s\n", text) > 0);
    assert_int_equal(fclose(to), 0);
    assert_int_equal(rename(in_folder("aside"), in_folder(name)), 0);
}

/* What the tool prints; the caller's to free. */
static char *nats_auth(void)
{
    static const char *const services[] = { "adapter",  "dispatcher",  "conductor",
                                            "data-bus", "control-bus", "console" };
    char command[2048], part[256];
    const char *build = getenv("MELTICA_BINARY_DIR");
    (void)snprintf(command, sizeof command,
                   "%s/bin/meltica nats-auth --cost 4 --policy %s --user desk=%s --user eve=%s "
                   "--nkey ops=" OPS_KEY " --console ops",
                   build != NULL ? build : "build/dev", in_folder("policy"), in_folder("desk"),
                   in_folder("eve"));
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++) {
        write_file(services[i], services[i]); /* its password */
        (void)snprintf(part, sizeof part, " --service-user %s=%s", services[i],
                       in_folder(services[i]));
        (void)strncat(command, part, sizeof command - strlen(command) - 1);
    }
    FILE *from = popen(command, "re");
    assert_non_null(from);
    char *text = calloc(1, 65536);
    assert_non_null(text);
    assert_true(fread(text, 1, 65535, from) > 100);
    assert_int_equal(pclose(from), 0);
    return text;
}

static struct mlt_bus *connect_as(const char *name, const char *password_file,
                                  const char *seed_file)
{
    struct mlt_bus *bus = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    char inbox[32];
    (void)snprintf(inbox, sizeof inbox, "_INBOX_%s", name);
    const struct mlt_bus_options options = { .kind = MLT_BUS_CONTROL,
                                             .url = stack.nats_url,
                                             .name = "test",
                                             .user = password_file != NULL ? name : NULL,
                                             .password_file = password_file,
                                             .nkey_seed_file = seed_file,
                                             .inbox_prefix = inbox };
    if (mlt_bus_connect(&options, &bus, &err) != MLT_OK ||
        mlt_bus_wait_connected(bus, 10 * MLT_NS_PER_S) != MLT_OK) {
        fail_msg("%s cannot connect: %s", name, err.text);
    }
    return bus;
}

/* ---- asking ---- */

#define AGAIN_MAX 10u

struct said {
    cJSON *json;
    enum mlt_status status;
};

static struct said ask_for(struct mlt_bus *bus, const char *principal, const char *verb,
                           const char *body, int64_t wait_ns)
{
    struct said s = { 0 };
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    char subject[96];
    (void)snprintf(subject, sizeof subject, "meltica.control.as.%s.%s", principal, verb);
    mlt_buf_init(&bytes, 1u << 20);
    s.status = mlt_bus_request(bus, subject, mlt_slice_of_string(body), wait_ns, &bytes, &err);
    s.json = bytes.len > 0 ? cJSON_ParseWithLength((const char *)bytes.data, bytes.len) : NULL;
    mlt_buf_fini(&bytes);
    return s;
}

static const char *text_of(const cJSON *json, const char *member)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(json, member);
    return cJSON_IsString(m) ? m->valuestring : "";
}

static int number_of(const cJSON *json, const char *member)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(json, member);
    return cJSON_IsNumber(m) ? m->valueint : -1;
}

/* Again where a busy machine kept the Dispatcher from answering the Control Bus in time, or what
 * was asked for from being in force in 1.9 s. */
static struct said ask(struct mlt_bus *bus, const char *principal, const char *verb,
                       const char *body)
{
    struct said s = ask_for(bus, principal, verb, body, 5 * MLT_NS_PER_S);
    for (unsigned again = 0;
         again < AGAIN_MAX &&
         (mlt_stack_is_stalled(mlt_slice_of_string(text_of(s.json, "message"))) ||
          strcmp(text_of(s.json, "status"), "PENDING") == 0);
         again++) {
        cJSON_Delete(s.json);
        s = ask_for(bus, principal, verb, body, 5 * MLT_NS_PER_S);
    }
    return s;
}

static void expect(struct mlt_bus *bus, const char *principal, const char *verb, const char *body,
                   const char *word, int code, const char *field)
{
    struct said s = ask(bus, principal, verb, body);
    if (s.json == NULL || strcmp(text_of(s.json, "status"), word) != 0 ||
        number_of(s.json, "code") != code || strcmp(text_of(s.json, "field"), field) != 0) {
        char *text = s.json != NULL ? cJSON_PrintUnformatted(s.json) : NULL;
        fail_msg("%s %s %s: %s", principal, verb, body, text != NULL ? text : "no answer");
    }
    cJSON_Delete(s.json);
}

#define DEMAND(type, instrument)                                                                   \
    "{\"consumer\":\"c\",\"type\":\"" type "\",\"instruments\":[\"" instrument "\"]}"

static int listed(struct mlt_bus *bus, const char *principal)
{
    struct said s = ask(bus, principal, "list", "");
    const int total = s.json != NULL ? number_of(s.json, "total") : -1;
    cJSON_Delete(s.json);
    return total;
}

static bool knows_listing(void *ctx)
{
    (void)ctx;
    struct said s = ask(eve, "eve", "describe", "");
    const cJSON *instruments = cJSON_GetObjectItemCaseSensitive(s.json, "instruments");
    const int count = number_of(instruments, "listed");
    const bool complete = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(instruments, "complete"));
    cJSON_Delete(s.json);
    return count >= 3 && complete && listed(eve, "eve") == 0;
}

static uint64_t errors_of(struct mlt_bus *bus)
{
    struct mlt_bus_stats stats;
    mlt_bus_get_stats(bus, &stats);
    return stats.errors;
}

struct wanted_errors {
    struct mlt_bus *bus;
    uint64_t count;
};

static bool has_errors(void *ctx)
{
    const struct wanted_errors *w = ctx;
    return errors_of(w->bus) >= w->count;
}

/* The server has said no once more. */
static void expect_violation(struct mlt_bus *bus, uint64_t before, const char *what)
{
    struct wanted_errors w = { bus, before + 1 };
    if (!mlt_consumer_wait(&consumer, has_errors, &w, 10)) {
        fail_msg("%s", what);
    }
}

/* Each service has a tenth of a second to answer, so that on a busy machine one may seem away. */
static bool has_all_services(void *ctx)
{
    (void)ctx;
    struct said s = ask(eve, "eve", "status", "");
    const bool all = s.status == MLT_OK && strcmp(text_of(s.json, "status"), "OK") == 0;
    cJSON_Delete(s.json);
    return all;
}

/* ---- tests ---- */

static void test_a_viewer_sees_and_does_not_subscribe(void **state)
{
    (void)state;
    assert_true(mlt_consumer_wait(&consumer, has_all_services, NULL, 20));
    expect(eve, "eve", "describe", "", "OK", -1, "");
    expect(eve, "eve", "list", "", "OK", -1, "");
    expect(eve, "eve", "subscribe", DEMAND("TRADE", "SYM0001-USDT"), "REJECTED", 403, "");
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    mlt_buf_init(&bytes, 1u << 20);
    /* The refusal counts, and is audited. */
    assert_int_equal(mlt_stack_metric(&stack, "control-bus", "meltica_control_denied_total", ""),
                     1);
    assert_int_equal(mlt_stack_metric(&stack, "control-bus", "meltica_control_audited_total", ""),
                     1);
    /* Nobody but services reads the audit. */
    assert_int_not_equal(
        mlt_bus_request(eve, "$JS.API.STREAM.MSG.GET.MELTICA_AUDIT",
                        mlt_slice_of_string("{\"last_by_subj\":\"meltica.int.audit.rejected\"}"),
                        MLT_NS_PER_S / 2, &bytes, &err),
        MLT_OK);
    mlt_buf_fini(&bytes);
}

/* Who wanted what, and why not: the last refusal that the audit has. */
static void expect_audited(const char *principal, const char *verb, int code, const char *field)
{
    static const char last[] = "{\"last_by_subj\":\"meltica.int.audit.rejected\"}";
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    mlt_buf_init(&bytes, 1u << 20);
    assert_int_equal(mlt_bus_request(ops, "$JS.API.DIRECT.GET.MELTICA_AUDIT",
                                     mlt_slice_of_string(last), 5 * MLT_NS_PER_S, &bytes, &err),
                     MLT_OK);
    cJSON *record = cJSON_ParseWithLength((const char *)bytes.data, bytes.len);
    assert_non_null(record);
    if (strcmp(text_of(record, "principal"), principal) != 0 ||
        strcmp(text_of(record, "verb"), verb) != 0 || number_of(record, "code") != code ||
        strcmp(text_of(record, "outcome"), "REJECTED") != 0 ||
        strcmp(text_of(record, "field"), field) != 0 || text_of(record, "message")[0] == '\0' ||
        text_of(record, "by")[0] == '\0') {
        fail_msg("%s %s %d: %.*s", principal, verb, code, (int)bytes.len, (const char *)bytes.data);
    }
    cJSON_Delete(record);
    mlt_buf_fini(&bytes);
}

static void test_unauthorised_and_malformed_commands_are_audited_with_who_and_why(void **state)
{
    (void)state;
    expect(eve, "eve", "subscribe", DEMAND("TRADE", "SYM0001-USDT"), "REJECTED", 403, "");
    expect_audited("eve", "subscribe", 403, "");
    expect(eve, "eve", "update", DEMAND("TRADE", "SYM0001-USDT"), "REJECTED", 403, "");
    expect_audited("eve", "update", 403, "");
    expect(desk, "desk", "subscribe", DEMAND("BBO", "SYM0001-USDT"), "REJECTED", 403, "type");
    expect_audited("desk", "subscribe", 403, "type");
    expect(desk, "desk", "subscribe", "{\"consumer\":\"c\",\"what\":1}", "REJECTED", 400, "what");
    expect_audited("desk", "subscribe", 400, "what");
    expect(desk, "desk", "unsubscribe", DEMAND("TRADE", "SYM0001-USDT"), "REJECTED", 404,
           "subscription");
    expect_audited("desk", "unsubscribe", 404, "subscription");
}

static bool has_trades(void *ctx)
{
    (void)ctx;
    return consumer.counts[MLT_EVENT_TRADE] > 20;
}

static void test_a_trader_gets_what_its_role_allows(void **state)
{
    (void)state;
    expect(desk, "desk", "subscribe", DEMAND("BBO", "SYM0001-USDT"), "REJECTED", 403, "type");
    expect(desk, "desk", "subscribe", DEMAND("TRADE", "SYM0001-USDT"), "CONFIRMED", -1, "");
    assert_true(mlt_consumer_wait(&consumer, has_trades, NULL, 20));
    assert_int_equal(listed(desk, "desk"), 1);
    assert_int_equal(listed(eve, "eve"), 0);
    assert_int_equal(listed(ops, "ops"), 1);
    struct mlt_tally_totals totals;
    mlt_consumer_totals(&consumer, &totals);
    assert_int_equal(totals.gaps + totals.duplicates + totals.sequence_holes + totals.lost, 0);
}

static void nothing(void *ctx, const struct mlt_bus_message *message)
{
    (void)message;
    *(int *)ctx += 1;
}

static void test_nobody_speaks_or_listens_as_another(void **state)
{
    (void)state;
    static const char *const forbidden[] = { "meltica.control.list", "meltica.int.control.desk.s1",
                                             "meltica.int.canonical.00",
                                             "meltica.data.SYM0001-USDT" };
    static const char *const deaf[] = { "_INBOX.>", "_INBOX_desk.>", "meltica.int.>",
                                        "meltica.control.>" };
    struct mlt_error err = MLT_ERROR_INIT;
    uint64_t before = errors_of(eve);
    /* It would end what desk has. */
    struct said s =
        ask_for(eve, "desk", "unsubscribe", DEMAND("TRADE", "SYM0001-USDT"), MLT_NS_PER_S / 2);
    assert_int_not_equal(s.status, MLT_OK);
    assert_null(s.json);
    expect_violation(eve, before, "eve speaks as desk");
    assert_int_equal(listed(desk, "desk"), 1);
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++) {
        before = errors_of(eve);
        assert_int_equal(mlt_bus_publish(eve, forbidden[i], mlt_slice_of_string("{}")), MLT_OK);
        expect_violation(eve, before, forbidden[i]);
    }
    for (size_t i = 0; i < sizeof deaf / sizeof deaf[0]; i++) {
        int heard = 0;
        struct mlt_bus_subscription *subscription = NULL;
        const struct mlt_bus_subscribe_options options = { .subject = deaf[i] };
        before = errors_of(eve);
        assert_int_equal(mlt_bus_subscribe(eve, &options, nothing, &heard, &subscription, &err),
                         MLT_OK);
        expect_violation(eve, before, deaf[i]);
        mlt_bus_unsubscribe(subscription);
        assert_int_equal(heard, 0);
    }
}

static bool has_heard(void *ctx)
{
    return *(const atomic_int *)ctx > 0;
}

static void count_one(void *ctx, const struct mlt_bus_message *message)
{
    (void)message;
    atomic_fetch_add((atomic_int *)ctx, 1);
}

/* What a console shows of everybody: for whom it was said, and for nobody else. */
static void test_a_console_sees_figures_and_audit(void **state)
{
    static const struct {
        const char *subject, *body;
    } asked[] = { { "$SRV.STATS", "" },
                  { "$JS.API.DIRECT.GET.MELTICA_AUDIT",
                    "{\"last_by_subj\":\"meltica.int.audit.*\"}" } };
    const struct mlt_bus_subscribe_options options = { .subject = "meltica.int.audit.*" };
    struct mlt_bus_subscription *subscription = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    atomic_int heard = 0;
    (void)state;
    mlt_buf_init(&bytes, 1u << 20);
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        const struct mlt_slice body = mlt_slice_of_string(asked[i].body);
        mlt_buf_clear(&bytes);
        assert_int_equal(
            mlt_bus_request(ops, asked[i].subject, body, 5 * MLT_NS_PER_S, &bytes, &err), MLT_OK);
        assert_true(bytes.len > 2 && bytes.data[0] == '{');
        const uint64_t before = errors_of(eve);
        assert_int_not_equal(
            mlt_bus_request(eve, asked[i].subject, body, MLT_NS_PER_S / 2, &bytes, &err), MLT_OK);
        expect_violation(eve, before, asked[i].subject);
    }
    mlt_buf_fini(&bytes);
    assert_int_equal(mlt_bus_subscribe(ops, &options, count_one, &heard, &subscription, &err),
                     MLT_OK);
    assert_true(mlt_bus_rtt_ns(ops) > 0); /* the server knows of it */
    expect(desk, "desk", "subscribe", DEMAND("BBO", "SYM0001-USDT"), "REJECTED", 403, "type");
    assert_true(mlt_consumer_wait(&consumer, has_heard, &heard, 10));
    mlt_bus_unsubscribe(subscription);
}

static void test_nobody_without_a_name_gets_in(void **state)
{
    (void)state;
    struct mlt_bus *bus = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_bus_options options = { .kind = MLT_BUS_CONTROL,
                                             .url = stack.nats_url,
                                             .name = "anonymous" };
    const enum mlt_status status = mlt_bus_connect(&options, &bus, &err);
    if (status == MLT_OK) {
        assert_int_not_equal(mlt_bus_wait_connected(bus, MLT_NS_PER_S), MLT_OK);
        mlt_bus_destroy(bus, 0);
    } else {
        assert_int_equal(status, MLT_E_AUTH);
    }
}

/* NATS does not check where an answer is to go, so the Control Bus does: it says nothing, and
 * lives.
 */
static void test_no_answer_goes_to_what_is_no_inbox(void **state)
{
    (void)state;
    struct mlt_bus *bus = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf answer;
    const struct mlt_bus_options options = { .kind = MLT_BUS_CONTROL,
                                             .url = stack.nats_url,
                                             .name = "test",
                                             .user = "desk",
                                             .password_file = in_folder("desk"),
                                             .inbox_prefix = "meltica_int" };
    assert_int_equal(mlt_bus_connect(&options, &bus, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(bus, 10 * MLT_NS_PER_S), MLT_OK);
    mlt_buf_init(&answer, 65536);
    assert_int_not_equal(mlt_bus_request(bus, "meltica.control.as.desk.list", MLT_SLICE_EMPTY,
                                         MLT_NS_PER_S, &answer, &err),
                         MLT_OK);
    mlt_buf_fini(&answer);
    mlt_bus_destroy(bus, 0);
    assert_int_equal(
        mlt_stack_metric(&stack, "control-bus", "meltica_control_reply_refused_total", ""), 1);
}

/* ---- quotas ---- */

static int outcomes[3]; /* confirmed, over quota, other; under lock */
static pthread_mutex_t outcome_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t at_once;

static void *subscribe(void *ctx)
{
    char body[128];
    (void)snprintf(body, sizeof body,
                   "{\"consumer\":\"q%d\",\"type\":\"TRADE\",\"instruments\":[\"SYM0002-USDT\"]}",
                   *(const int *)ctx);
    (void)pthread_barrier_wait(&at_once);
    struct said s = ask(desk, "desk", "subscribe", body);
    const int which = strcmp(text_of(s.json, "status"), "CONFIRMED") == 0 ? 0
                      : number_of(s.json, "code") == 429                  ? 1
                                                                          : 2;
    cJSON_Delete(s.json);
    (void)pthread_mutex_lock(&outcome_lock);
    outcomes[which]++;
    (void)pthread_mutex_unlock(&outcome_lock);
    return NULL;
}

static void test_of_six_at_once_two_fit(void **state)
{
    (void)state;
    pthread_t threads[6];
    int numbers[6];
    /* One of three is live; the wildcard covers three of four, and fits. */
    expect(desk, "desk", "subscribe", DEMAND("TRADE", "*-EUR"), "REJECTED", 404, "instruments[0]");
    assert_int_equal(pthread_barrier_init(&at_once, NULL, 6), 0);
    for (int i = 0; i < 6; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, subscribe, &numbers[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    (void)pthread_barrier_destroy(&at_once);
    assert_int_equal(outcomes[0], 2);
    assert_int_equal(outcomes[1], 4);
    assert_int_equal(listed(desk, "desk"), 3);
}

static void test_an_operator_ends_what_is_another_ones(void **state)
{
    (void)state;
    struct said s = ask(ops, "ops", "list", "");
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(s.json, "subscriptions");
    assert_int_equal(cJSON_GetArraySize(list), 3);
    for (const cJSON *one = list->child; one != NULL; one = one->next) {
        char body[256];
        assert_string_equal(text_of(one, "principal"), "desk");
        (void)snprintf(body, sizeof body, "{\"consumer\":\"%s\",\"subscription\":\"%s\"}",
                       text_of(one, "consumer"), text_of(one, "subscription"));
        expect(eve, "eve", "unsubscribe", body, "REJECTED", 403, "");
        expect(ops, "ops", "unsubscribe", body, "CONFIRMED", -1, "");
    }
    cJSON_Delete(s.json);
    assert_int_equal(listed(desk, "desk"), 0);
    /* And there is room again: three by a pattern, of four. */
    expect(desk, "desk", "subscribe", DEMAND("TRADE", "*-USDT"), "CONFIRMED", -1, "");
    expect(desk, "desk", "subscribe", DEMAND("TRADE", "SYM0001-*"), "CONFIRMED", -1, "");
    expect(desk, "desk", "subscribe", DEMAND("TRADE", "SYM0002-*"), "REJECTED", 429, "instruments");
}

static bool is_taken(void *ctx)
{
    return mlt_stack_metric(&stack, "control-bus", "meltica_control_policy_files_total", "taken") >=
           *(const uint64_t *)ctx;
}

static bool is_refused(void *ctx)
{
    return mlt_stack_metric(&stack, "control-bus", "meltica_control_policy_files_total",
                            "refused") >= *(const uint64_t *)ctx;
}

static void test_a_changed_policy_needs_no_restart(void **state)
{
    (void)state;
    uint64_t taken = 2, refused = 1;
    write_file("policy", "{\"version\":1,\"rolls\":{}}");
    assert_true(mlt_consumer_wait(&consumer, is_refused, &refused, 10));
    expect(eve, "eve", "subscribe", DEMAND("TRADE", "SYM0001-USDT"), "REJECTED", 403, "");
    write_file("policy", POLICY("trader"));
    assert_true(mlt_consumer_wait(&consumer, is_taken, &taken, 10));
    expect(eve, "eve", "subscribe", DEMAND("TRADE", "SYM0001-USDT"), "CONFIRMED", -1, "");
}

static void test_a_console_for_nobody_is_refused(void **state)
{
    char command[512], text[512] = "";
    const char *build = getenv("MELTICA_BINARY_DIR");
    (void)state;
    (void)snprintf(command, sizeof command,
                   "%s/bin/meltica nats-auth --cost 4 --user desk=%s --console dask 2>&1",
                   build != NULL ? build : "build/dev", in_folder("desk"));
    FILE *from = popen(command, "re");
    assert_non_null(from);
    assert_non_null(fgets(text, sizeof text, from));
    assert_int_equal(WEXITSTATUS(pclose(from)), 1);
    assert_non_null(strstr(text, "--console dask: give the user itself too"));
}

static bool weight_is_shared(void *ctx)
{
    (void)ctx;
    return mlt_stack_metric(&stack, "adapter", "meltica_adapter_weight_shared", "") == 1;
}

/* Nothing that a service wanted was refused to it, on any of its connections: so the server says.
 */
static void test_services_have_the_rights_that_they_need(void **state)
{
    (void)state;
    struct mlt_stack_process *nats = &stack.processes[0];
    assert_true(mlt_consumer_wait(&consumer, weight_is_shared, NULL, 20));
    char violation[sizeof nats->violation];
    (void)pthread_mutex_lock(&nats->lock);
    memcpy(violation, nats->violation, sizeof violation);
    (void)pthread_mutex_unlock(&nats->lock);
    assert_string_equal(violation, "");
    assert_int_equal(
        mlt_stack_metric(&stack, "control-bus", "meltica_control_audit_failed_total", ""), 0);
}

/* ---- the stack ---- */

static char *users;

static int begin(void **state)
{
    (void)state;
    char url[128];
    assert_non_null(mkdtemp(folder));
    write_file("policy", POLICY("viewer"));
    write_file("table", TABLE);
    write_file("desk", "pw-desk");
    write_file("eve", "pw-eve");
    write_file("ops", OPS_SEED);
    users = nats_auth();
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "3", "--rate", "300", "--seed", "7",
                      "--start-subscriptions", "0" },
        .adapter = { "--egress", "office" },
        .table = in_folder("table"),
        .control_bus = { "--auth", "required", "--policy", in_folder("policy") },
        .nats_users = users,
        .password_folder = folder,
    };
    mlt_stack_start(&stack, &options);
    (void)snprintf(url, sizeof url, "nats://desk:pw-desk@%s", stack.nats_url + strlen("nats://"));
    mlt_consumer_start(&consumer, url);
    desk = connect_as("desk", in_folder("desk"), NULL);
    eve = connect_as("eve", in_folder("eve"), NULL);
    ops = connect_as("ops", NULL, in_folder("ops"));
    mlt_stack_run_services(&stack);
    assert_true(mlt_consumer_wait(&consumer, knows_listing, NULL, 20));
    return 0;
}

static int end(void **state)
{
    (void)state;
    mlt_bus_destroy(ops, 0);
    mlt_bus_destroy(eve, 0);
    mlt_bus_destroy(desk, 0);
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
    free(users);
    DIR *files = opendir(folder);
    const struct dirent *entry;
    while (files != NULL && (entry = readdir(files)) != NULL) {
        (void)unlink(in_folder(entry->d_name));
    }
    if (files != NULL) {
        (void)closedir(files);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_viewer_sees_and_does_not_subscribe),
        cmocka_unit_test(test_unauthorised_and_malformed_commands_are_audited_with_who_and_why),
        cmocka_unit_test(test_a_trader_gets_what_its_role_allows),
        cmocka_unit_test(test_nobody_speaks_or_listens_as_another),
        cmocka_unit_test(test_a_console_sees_figures_and_audit),
        cmocka_unit_test(test_nobody_without_a_name_gets_in),
        cmocka_unit_test(test_no_answer_goes_to_what_is_no_inbox),
        cmocka_unit_test(test_of_six_at_once_two_fit),
        cmocka_unit_test(test_an_operator_ends_what_is_another_ones),
        cmocka_unit_test(test_a_changed_policy_needs_no_restart),
        cmocka_unit_test(test_a_console_for_nobody_is_refused),
        cmocka_unit_test(test_services_have_the_rights_that_they_need),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, begin, end));
}
