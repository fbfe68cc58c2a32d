/* meltica doctor: a whole Meltica is well, and each thing that can be wrong is found and said. */
#include "mlt_certificate.h"
#include "mlt_test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "command.h"
#include "meltica/base/clock.h"
#include "meltica/bus/stored.h"
#include "server.h"
#include "steer_rig.h"

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* ---- what it says ---- */

/* The command's JSON; fails unless it ended with that status. The caller's. */
/* Again where a busy machine kept one from answering in time. */
static int look(struct command *c, const char *const *arguments, int status)
{
    const int64_t until_ns = mlt_clock_mono_ns() + 20 * MLT_NS_PER_S;
    int ended = command_run(c, arguments, NULL);
    while (ended != status && mlt_clock_mono_ns() < until_ns) {
        command_free(c);
        ended = command_run(c, arguments, NULL);
    }
    return ended;
}

static cJSON *examine(const char *const *arguments, int status)
{
    struct command c;
    const int ended = look(&c, arguments, status);
    if (ended != status) {
        fail_msg("exit %d: %s%s", ended, command_out(&c), command_err(&c));
    }
    cJSON *json = cJSON_Parse(command_out(&c));
    assert_non_null(json);
    command_free(&c);
    return json;
}

static const cJSON *check_of(const cJSON *json, const char *name)
{
    const cJSON *at = cJSON_GetObjectItem(json, "checks")->child;
    while (at != NULL && strcmp(rig_text(at, "check"), name) != 0) {
        at = at->next;
    }
    if (at == NULL) {
        fail_msg("no check \"%s\"", name);
    }
    return at;
}

/* The check has that state, and its words contain these ("": any). */
static void expect(const cJSON *json, const char *name, const char *state, const char *found,
                   const char *advice)
{
    const cJSON *check = check_of(json, name);
    if (strcmp(rig_text(check, "state"), state) != 0 ||
        strstr(rig_text(check, "found"), found) == NULL ||
        strstr(rig_text(check, "advice"), advice) == NULL) {
        fail_msg("%s: %s: %s -> %s", name, rig_text(check, "state"), rig_text(check, "found"),
                 rig_text(check, "advice"));
    }
    /* Whatever is wrong is followed by what to do. */
    if (strcmp(state, "warn") == 0 || strcmp(state, "fail") == 0) {
        assert_true(strlen(rig_text(check, "advice")) > 10);
    }
}

/* ---- a whole one ---- */

static struct rig rig;

#define WHOLE                                                                                      \
    "doctor", "--json", "--nats-url", rig.stack.nats_url, "--rest-url", rig.stack.exchange_http

static bool all_well(struct rig *r, void *ctx)
{
    struct command c;
    (void)r;
    const int status = command_run(&c, ARGS(WHOLE), NULL);
    cJSON *json = cJSON_Parse(command_out(&c));
    const int ok = rig_number(json, "ok"),
              all = cJSON_GetArraySize(cJSON_GetObjectItem(json, "checks"));
    (void)snprintf(ctx, 8192, "%s", command_out(&c));
    cJSON_Delete(json);
    command_free(&c);
    return status == 0 && all > 20 && ok == all;
}

static void test_a_whole_one_is_well(void **state)
{
    (void)state;
    char said[8192] = "";
    if (!rig_until(all_well, &rig, said, 20)) {
        fail_msg("%s", said);
    }
    cJSON *json = cJSON_Parse(said); /* the one that was well */
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(json, "healthy")));
    assert_int_equal(rig_number(json, "fail"), 0);
    expect(json, "service data-bus", "ok", "data-bus-0 ready", "");
    expect(json, "versions", "ok", "all services and this tool", "");
    expect(json, "stream MELTICA_AUDIT", "ok", "not made yet: the first command", "");
    expect(json, "control table", "ok", "0 live subscriptions", "");
    cJSON_Delete(json);
    /* The log of commands has one: what it leads to must be there. */
    rig_confirm(&rig, "subscribe",
                "{\"consumer\":\"doctor\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"]}",
                NULL);
    if (!rig_until(all_well, &rig, said, 20)) {
        fail_msg("%s", said);
    }
    json = cJSON_Parse(said);
    expect(json, "stream MELTICA_AUDIT", "ok", "as meltica-control makes it", "");
    expect(json, "bucket meltica-dispatch", "ok", "as meltica-dispatcher makes it", "");
    cJSON_Delete(json);
}

static void test_it_is_readable_for_people(void **state)
{
    (void)state;
    struct command c;
    assert_int_equal(look(&c, ARGS("doctor", "--nats-url", rig.stack.nats_url), 0), 0);
    assert_non_null(strstr(command_out(&c), "ok       nats "));
    assert_non_null(strstr(command_out(&c), "unknown  exchange "));
    assert_non_null(strstr(command_out(&c), "-> name its REST host with --rest-url"));
    assert_non_null(strstr(command_out(&c), " 0 warn, 0 fail, 2 unknown\n"));
    command_free(&c);
}

static void test_an_exchange_that_is_away_is_found(void **state)
{
    (void)state;
    cJSON *json = examine(ARGS("doctor", "--json", "--nats-url", rig.stack.nats_url, "--rest-url",
                               "http://127.0.0.1:1"),
                          1);
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(json, "healthy")));
    expect(json, "exchange", "fail", "http://127.0.0.1:1 does not answer", "URL");
    expect(json, "clock of the exchange", "unknown", "", "");
    expect(json, "nats", "ok", "", "");
    cJSON_Delete(json);
}

static void test_a_stream_that_is_gone_is_found(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf answer;
    mlt_buf_init(&answer, 65536);
    assert_int_equal(mlt_bus_request(rig.client, "$JS.API.STREAM.DELETE.MELTICA_AUDIT",
                                     MLT_SLICE_EMPTY, 2 * MLT_NS_PER_S, &answer, &err),
                     MLT_OK);
    mlt_buf_fini(&answer);
    cJSON *json = examine(ARGS(WHOLE), 1);
    /* Not "not made yet": there were commands. */
    expect(json, "stream MELTICA_AUDIT", "fail", "does not exist",
           "nats stream add MELTICA_AUDIT --subjects 'meltica.int.audit.*' --storage file");
    expect(json, "stream MELTICA_CONTROL", "ok", "", "");
    cJSON_Delete(json);
    struct mlt_store *store = NULL;
    assert_int_equal(mlt_store_create(rig.client, 1, &store, &err), MLT_OK);
    assert_int_equal(mlt_stored_ensure(store, MLT_STORED_AUDIT, &err), MLT_OK);
    mlt_store_destroy(store);
}

static void test_a_service_that_is_missing_is_found(void **state)
{
    (void)state;
    mlt_stack_kill(&rig.stack, "data-bus");
    cJSON *json = examine(ARGS(WHOLE), 1);
    expect(json, "service data-bus", "fail", "nobody answers as meltica-data-bus", "start it");
    expect(json, "service conductor", "ok", "", "");
    cJSON_Delete(json);
    mlt_stack_kill(&rig.stack, "control-bus");
    json = examine(ARGS(WHOLE), 1);
    expect(json, "control table", "fail", "", "start meltica-control-bus");
    cJSON_Delete(json);
    mlt_stack_run(&rig.stack, "data-bus");
    mlt_stack_run(&rig.stack, "control-bus");
    rig_wait_ready(&rig);
}

/* ---- services that are no services ---- */

static void other_stats(void *ctx, struct mlt_buf *out)
{
    assert_int_equal(mlt_buf_printf(out, "%s", (const char *)ctx), MLT_OK);
}

static void on_request(void *ctx, const struct mlt_bus_message *request,
                       struct mlt_micro_request *to)
{
    (void)ctx, (void)request;
    assert_int_equal(mlt_micro_respond(to, MLT_SLICE_EMPTY, 0, NULL), MLT_OK);
}

/* One more service of that version, which says of itself what data has. */
static struct mlt_micro *one_more(const char *name, const char *version, const char *partitions,
                                  char *data)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_micro *micro = NULL;
    const struct mlt_micro_pair metadata[] = { { "instance", "adapter-9" },
                                               { "partitions", partitions },
                                               { "stream_replicas", "5" } };
    const struct mlt_micro_options options = { .name = name,
                                               .version = version,
                                               .description = "for a test",
                                               .metadata = metadata,
                                               .metadata_count = 3,
                                               .stats = other_stats,
                                               .ctx = data };
    const struct mlt_micro_endpoint endpoint = { .name = "status",
                                                 .subject = "meltica.test.doctor",
                                                 .handler = on_request };
    assert_int_equal(mlt_micro_start(rig.client, &options, &endpoint, 1, &micro, &err), MLT_OK);
    return micro;
}

static void test_versions_settings_and_clocks_that_differ_are_found(void **state)
{
    (void)state;
    char data[256];
    (void)snprintf(data, sizeof data,
                   "{\"service\":{\"ready\":false,\"missing\":\"its lines\",\"time_ns\":\"%" PRId64
                   "\"}}",
                   mlt_clock_wall_ns() + 60 * MLT_NS_PER_S);
    struct mlt_micro *micro = one_more("meltica-adapter", "99.0.0", "7", data);
    cJSON *json = examine(ARGS(WHOLE), 1);
    expect(json, "versions", "fail", "adapter-9 99.0.0", "one version");
    expect(json, "partitions", "fail", "", "--partitions");
    expect(json, "clocks of services", "fail", "adapter-9, is 5", "NTP");
    expect(json, "service adapter", "warn", "1 of 2 ready; adapter-9 lacks: its lines", "");
    cJSON_Delete(json);
    mlt_micro_stop(micro);
    /* One that does not say how it is, is not taken for well. */
    char nothing[] = "{}";
    micro = one_more("meltica-adapter", MELTICA_VERSION, "4", nothing);
    json = examine(ARGS(WHOLE), 0);
    expect(json, "service adapter", "unknown", "does not say how it is", "");
    expect(json, "stream replicas", "ok", "1 of what services make",
           ""); /* an Adapter makes none */
    cJSON_Delete(json);
    mlt_micro_stop(micro);
    /* One that makes streams, and would make them with five replicas. */
    micro = one_more("meltica-dispatcher", MELTICA_VERSION, "4", nothing);
    json = examine(ARGS(WHOLE), 0);
    expect(json, "stream replicas", "warn", "different numbers", "--stream-replicas");
    expect(json, "stream MELTICA_CONTROL", "warn", "num_replicas is 1, not 5",
           "nats stream edit MELTICA_CONTROL --replicas 5");
    expect(json, "stream MELTICA_JOURNAL", "ok", "", "");
    cJSON_Delete(json);
    mlt_micro_stop(micro);
}

static void test_no_jetstream_is_found(void **state)
{
    (void)state;
    mlt_stack_set_jetstream(&rig.stack, false);
    mlt_stack_kill(&rig.stack, "nats");
    mlt_stack_run(&rig.stack, "nats");
    cJSON *json = examine(ARGS(WHOLE), 1);
    expect(json, "jetstream", "fail", "not enabled", "jetstream block");
    expect(json, "stream MELTICA_CONTROL", "unknown", "JetStream did not answer", "");
    expect(json, "clock of nats", "unknown", "", "");
    cJSON_Delete(json);
}

/* ---- a NATS server alone ---- */

static struct server server;

static void start_server(bool jetstream, const char *config)
{
    server_start(&server, jetstream, config);
}

#define ALONE "doctor", "--json", "--nats-url", server.url

/* Another configuration than the Dispatcher's and the Data Bus's. */
static void make_wrong(struct mlt_store *store)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_stream_spec control = mlt_stored[MLT_STORED_CONTROL].stream;
    struct mlt_stream_spec journal = mlt_stored[MLT_STORED_JOURNAL].stream;
    struct mlt_stream_spec audit = mlt_stored[MLT_STORED_AUDIT].stream;
    struct mlt_stream_spec rejected = mlt_stored[MLT_STORED_REJECTED].stream;
    control.memory = true;
    journal.max_age_ns = 60 * MLT_NS_PER_S; /* as configured */
    audit.max_bytes = 1 << 20;
    rejected.subjects[0] = "meltica.int.rejected.adapter.>";
    assert_int_equal(mlt_store_ensure_stream(store, &control, &err), MLT_OK);
    assert_int_equal(mlt_store_ensure_stream(store, &journal, &err), MLT_OK);
    assert_int_equal(mlt_store_ensure_stream(store, &audit, &err), MLT_OK);
    assert_int_equal(mlt_store_ensure_stream(store, &rejected, &err), MLT_OK);
    assert_int_equal(mlt_store_ensure_bucket(store, "meltica-owners", false, 0, 0, &err), MLT_OK);
    assert_int_equal(mlt_stored_ensure(store, MLT_STORED_SNAPSHOTS, &err), MLT_OK);
}

static void test_wrong_settings_are_found(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_store *store = NULL;
    start_server(true, "");
    struct mlt_bus *bus = server_connect(&server, NULL);
    assert_int_equal(mlt_store_create(bus, 1, &store, &err), MLT_OK);
    make_wrong(store);
    cJSON *json = examine(ARGS(ALONE), 1);
    expect(json, "stream MELTICA_CONTROL", "fail", "storage is memory, not file", "remove it");
    expect(json, "stream MELTICA_JOURNAL", "ok", "", "");
    expect(json, "stream MELTICA_AUDIT", "warn", "max_bytes is 1048576, not 268435456",
           "nats stream edit MELTICA_AUDIT");
    expect(json, "stream MELTICA_REJECTED", "fail", "does not capture meltica.int.rejected.>", "");
    expect(json, "bucket meltica-owners", "warn", "storage is file, not memory", "");
    expect(json, "bucket meltica-snapshots", "ok", "", "");
    expect(json, "bucket meltica-dispatch", "ok", "not made yet", "");
    expect(json, "clock of nats", "ok", "", "");
    expect(json, "versions", "unknown", "no service answers", "");
    cJSON_Delete(json);
    mlt_store_destroy(store);
    mlt_bus_destroy(bus, 0);
    server_end(&server);
}

static void write_password(char *path)
{
    (void)snprintf(path, 64, "/tmp/meltica-doctor.XXXXXX");
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "secret\n") > 0);
    assert_int_equal(close(fd), 0);
}

static void test_a_user_without_rights_is_told_which(void **state)
{
    (void)state;
    char password[64];
    write_password(password);
    start_server(true, "authorization { users: [ { user: \"eye\", password: \"secret\", "
                       "permissions: { publish: [\"$JS.API.INFO\"], "
                       "subscribe: [\"_INBOX.>\"] } } ] }");
    cJSON *json = examine(ARGS(ALONE, "--user", "eye", "--password-file", password), 1);
    expect(json, "nats", "ok", "", "");
    expect(json, "permissions", "fail", "may not subscribe to meltica.data.*; nor publish to",
           "--observer");
    expect(json, "permissions", "fail", "meltica.control.list", "");
    expect(json, "permissions", "fail", "$SRV.STATS", "");
    expect(json, "permissions", "fail", "$JS.API.DIRECT.GET.MELTICA_JOURNAL", "");
    expect(json, "jetstream", "ok", "", "");
    expect(json, "service adapter", "unknown", "may not ask", "");
    expect(json, "control table", "unknown", "may not ask", "");
    expect(json, "stream MELTICA_CONTROL", "unknown", "may not ask", "");
    cJSON_Delete(json);
    server_end(&server);
    (void)unlink(password);
}

static void test_an_observer_may_look_at_everything_and_do_nothing(void **state)
{
    (void)state;
    char password[64], user[96];
    struct command c;
    write_password(password);
    (void)snprintf(user, sizeof user, "eye=%s", password);
    assert_int_equal(command_run(&c, ARGS("nats-auth", "--observer", user, "--cost", "4"), NULL),
                     0);
    start_server(true, command_out(&c));
    command_free(&c);
    cJSON *json = examine(ARGS(ALONE, "--user", "eye", "--password-file", password,
                               "--inbox-prefix", "_INBOX_eye", "--as", "eye"),
                          1);
    expect(json, "permissions", "ok", "", "");
    expect(json, "jetstream", "ok", "", "");
    expect(json, "service adapter", "fail", "nobody answers", "");
    expect(json, "stream MELTICA_CONTROL", "fail", "does not exist", "");
    cJSON_Delete(json);
    /* Without its inbox it hears nothing, and says so in place of waiting. */
    json = examine(ARGS(ALONE, "--user", "eye", "--password-file", password), 1);
    expect(json, "permissions", "fail", "_INBOX.doctor", "--inbox-prefix");
    expect(json, "service adapter", "unknown", "", "");
    cJSON_Delete(json);
    assert_int_equal(command_run(&c,
                                 ARGS("sub", "TRADE", "BTC-USDT", "--as", "eye", "--user", "eye",
                                      "--password-file", password, "--nats-url", server.url),
                                 NULL),
                     1);
    command_free(&c);
    server_end(&server);
    (void)unlink(password);
}

static void test_nats_that_is_away_is_found(void **state)
{
    (void)state;
    cJSON *json =
        examine(ARGS("doctor", "--json", "--nats-url", "nats://me:secret@127.0.0.1:1"), 1);
    expect(json, "nats", "fail", "no NATS server at nats://127.0.0.1:1: ", "--nats-url");
    assert_string_equal(rig_text(json, "nats_url"), "nats://127.0.0.1:1");
    assert_int_equal(rig_number(json, "ok"), 0);
    assert_int_equal(rig_number(json, "fail"), 1); /* one cause, said once */
    cJSON_Delete(json);
}

static void test_its_arguments_are_checked(void **state)
{
    (void)state;
    struct command c;
    assert_int_equal(command_run(&c, ARGS("doctor", "--help"), NULL), 0);
    assert_non_null(strstr(command_out(&c), "Exit status: 0 no check failed"));
    command_free(&c);
    assert_int_equal(command_run(&c, ARGS("doctor", "--rest-url", "ftp://x"), NULL), 2);
    command_free(&c);
    assert_int_equal(command_run(&c, ARGS("doctor", "--as", "a b"), NULL), 2);
    command_free(&c);
}

static int begin(void **state)
{
    (void)state;
    rig_start(&rig, "3", "100");
    return 0;
}

static int end(void **state)
{
    (void)state;
    rig_stop(&rig);
    return 0;
}

/* A server that asks for a certificate is reached with one, and not without. */
static void test_a_server_may_want_a_certificate(void **state)
{
    (void)state;
    char dir[] = "/tmp/meltica-doctor.XXXXXX", cert[64], key[64], config[400], url[64];
    struct server picky;
    assert_non_null(mkdtemp(dir));
    mlt_make_certificate(dir);
    (void)snprintf(cert, sizeof cert, "%s/cert.pem", dir);
    (void)snprintf(key, sizeof key, "%s/key.pem", dir);
    (void)snprintf(config, sizeof config,
                   "tls { cert_file: \"%s\", key_file: \"%s\", ca_file: \"%s\", verify: true }",
                   cert, key, cert);
    server_start(&picky, false, config);
    (void)snprintf(url, sizeof url, "tls://localhost%s", strrchr(picky.url, ':'));
    cJSON *json = examine(ARGS("doctor", "--json", "--nats-url", url, "--tls-ca", cert,
                               "--tls-cert", cert, "--tls-key", key),
                          1);
    expect(json, "nats", "ok", "answers in", "");
    cJSON_Delete(json);
    json = examine(ARGS("doctor", "--json", "--nats-url", url, "--tls-ca", cert), 1);
    expect(json, "nats", "fail", "", "");
    cJSON_Delete(json);
    server_stop(&picky);
    (void)unlink(cert);
    (void)unlink(key);
    (void)rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest whole[] = {
        cmocka_unit_test(test_a_whole_one_is_well),
        cmocka_unit_test(test_it_is_readable_for_people),
        cmocka_unit_test(test_an_exchange_that_is_away_is_found),
        cmocka_unit_test(test_a_stream_that_is_gone_is_found),
        cmocka_unit_test(test_versions_settings_and_clocks_that_differ_are_found),
        cmocka_unit_test(test_a_service_that_is_missing_is_found),
        cmocka_unit_test(test_no_jetstream_is_found),
    };
    const struct CMUnitTest alone[] = {
        cmocka_unit_test(test_wrong_settings_are_found),
        cmocka_unit_test(test_a_user_without_rights_is_told_which),
        cmocka_unit_test(test_an_observer_may_look_at_everything_and_do_nothing),
        cmocka_unit_test(test_nats_that_is_away_is_found),
        cmocka_unit_test(test_its_arguments_are_checked),
        cmocka_unit_test(test_a_server_may_want_a_certificate),
    };
    const int result = cmocka_run_group_tests_name("alone", alone, NULL, NULL);
    return mlt_stack_verdict(result + cmocka_run_group_tests_name("whole", whole, begin, end));
}
