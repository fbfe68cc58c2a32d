#include "server.h"

#include <cjson/cJSON.h>
#include <stdio.h>

#include "meltica/base/clock.h"
#include "meltica/bus/store.h"

static struct server server;
static struct mlt_bus *bus, *other_bus;

static int set_up(void **state)
{
    (void)state;
    server_start(&server, false, "");
    bus = server_connect(&server, NULL);
    other_bus = server_connect(&server, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_bus_destroy(bus, 0);
    mlt_bus_destroy(other_bus, 0);
    server_end(&server);
    return 0;
}

/* ---- a service ---- */

static void on_echo(void *ctx, const struct mlt_bus_message *request, struct mlt_micro_request *to)
{
    (void)ctx;
    assert_int_equal(mlt_micro_respond(to, request->payload, 0, NULL), MLT_OK);
    assert_int_equal(mlt_micro_respond(to, request->payload, 0, NULL), MLT_E_INVALID);
}

static void on_fail(void *ctx, const struct mlt_bus_message *request, struct mlt_micro_request *to)
{
    (void)ctx, (void)request;
    assert_int_equal(mlt_micro_respond(to, MLT_SLICE_LITERAL("{\"ok\":false}"), 409, "not\r\nnow"),
                     MLT_OK);
}

static void on_silence(void *ctx, const struct mlt_bus_message *request,
                       struct mlt_micro_request *to)
{
    (void)request, (void)to;
    latch_add(ctx, 1);
}

static void add_stats(void *ctx, struct mlt_buf *out)
{
    assert_int_equal(mlt_buf_printf(out, "{\"events\":%d}", *(int *)ctx), MLT_OK);
}

static int figure = 42;
static struct latch asked;

static struct mlt_micro *start(struct mlt_bus *on)
{
    static const struct mlt_micro_pair service[] = { { "instance", "a \"b\" \\ c" },
                                                     { "empty", "" } };
    static const struct mlt_micro_pair echo[] = { { "schema", "EventBatch" } };
    const struct mlt_micro_options options = { .name = "meltica-test",
                                               .version = "1.2.3-rc.1+build",
                                               .description = "says \"it\"\n",
                                               .metadata = service,
                                               .metadata_count = 2,
                                               .stats = add_stats,
                                               .ctx = &figure };
    const struct mlt_micro_endpoint endpoints[] = {
        { .name = "echo",
          .subject = "test.echo",
          .handler = on_echo,
          .metadata = echo,
          .metadata_count = 1 },
        { .name = "fail", .subject = "test.as.*.fail", .queue = "own", .handler = on_fail },
        { .name = "silence",
          .subject = "test.silence",
          .queue = "",
          .handler = on_silence,
          .ctx = &asked },
    };
    struct mlt_micro *micro = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    if (mlt_micro_start(on, &options, endpoints, 3, &micro, &err) != MLT_OK) {
        fail_msg("%s", err.text);
    }
    return micro;
}

static enum mlt_status ask(const char *subject, const char *payload, char *out, size_t size,
                           struct mlt_error *err)
{
    struct mlt_buf answer;
    mlt_buf_init(&answer, size - 1);
    const enum mlt_status status = mlt_bus_request(other_bus, subject, mlt_slice_of_string(payload),
                                                   10 * MLT_NS_PER_S, &answer, err);
    (void)snprintf(out, size, "%.*s", MLT_SLICE_FMT(mlt_buf_view(&answer)));
    mlt_buf_fini(&answer);
    return status;
}

static cJSON *ask_json(const char *subject)
{
    char out[16384];
    struct mlt_error err = MLT_ERROR_INIT;
    if (ask(subject, "", out, sizeof out, &err) != MLT_OK) {
        fail_msg("%s", err.text);
    }
    cJSON *json = cJSON_Parse(out);
    if (json == NULL) {
        fail_msg("no JSON: %s", out);
    }
    return json;
}

static const char *string_of(const cJSON *json, const char *key)
{
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));
    if (value == NULL) {
        fail_msg("no string %s", key);
    }
    return value != NULL ? value : "";
}

static double number_of(const cJSON *json, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(json, key);
    assert_true(cJSON_IsNumber(value));
    return value->valuedouble;
}

static const cJSON *endpoint_of(const cJSON *json, int i)
{
    return cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, "endpoints"), i);
}

static void assert_identity(const cJSON *json, const char *type)
{
    assert_string_equal(string_of(json, "type"), type);
    assert_string_equal(string_of(json, "name"), "meltica-test");
    assert_string_equal(string_of(json, "version"), "1.2.3-rc.1+build");
    assert_int_equal(strlen(string_of(json, "id")), 22);
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(json, "metadata");
    assert_string_equal(string_of(metadata, "instance"), "a \"b\" \\ c");
    assert_string_equal(string_of(metadata, "empty"), "");
}

/* ---- tests ---- */

static void test_ping_and_info_tell_who_serves_what(void **state)
{
    (void)state;
    struct mlt_micro *micro = start(bus);
    cJSON *ping = ask_json("$SRV.PING");
    assert_identity(ping, "io.nats.micro.v1.ping_response");
    cJSON *info = ask_json("$SRV.INFO.meltica-test");
    assert_identity(info, "io.nats.micro.v1.info_response");
    assert_string_equal(string_of(info, "description"), "says \"it\"\n");
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(info, "endpoints")), 3);
    assert_string_equal(string_of(endpoint_of(info, 0), "name"), "echo");
    assert_string_equal(string_of(endpoint_of(info, 0), "subject"), "test.echo");
    assert_string_equal(string_of(endpoint_of(info, 0), "queue_group"), "q");
    assert_string_equal(string_of(cJSON_GetObjectItem(endpoint_of(info, 0), "metadata"), "schema"),
                        "EventBatch");
    assert_string_equal(string_of(endpoint_of(info, 1), "subject"), "test.as.*.fail");
    assert_string_equal(string_of(endpoint_of(info, 1), "queue_group"), "own");
    assert_string_equal(string_of(endpoint_of(info, 2), "queue_group"), "");
    char subject[128];
    (void)snprintf(subject, sizeof subject, "$SRV.PING.meltica-test.%s", string_of(ping, "id"));
    cJSON *one = ask_json(subject);
    assert_string_equal(string_of(one, "id"), string_of(ping, "id"));
    cJSON_Delete(one);
    cJSON_Delete(info);
    cJSON_Delete(ping);
    mlt_micro_stop(micro);
    assert_true(mlt_bus_rtt_ns(bus) >= 0); /* the server knows it too */
    char out[256];
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(ask("$SRV.PING", "", out, sizeof out, &err), MLT_E_UNAVAILABLE);
    assert_int_equal(ask("test.echo", "", out, sizeof out, &err), MLT_E_UNAVAILABLE);
}

static void test_stats_count_requests_and_only_real_errors(void **state)
{
    (void)state;
    struct mlt_micro *micro = start(bus);
    char out[1024];
    struct mlt_error err = MLT_ERROR_INIT;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask("test.echo", "hello", out, sizeof out, &err), MLT_OK);
        assert_string_equal(out, "hello");
    }
    assert_int_equal(ask("test.as.me.fail", "x", out, sizeof out, &err), MLT_E_PROTOCOL);
    assert_int_equal(err.code, 409);
    assert_string_equal(err.text, "not  now");
    assert_string_equal(out, "{\"ok\":false}");
    cJSON *stats = ask_json("$SRV.STATS.meltica-test");
    assert_identity(stats, "io.nats.micro.v1.stats_response");
    assert_int_equal(strlen(string_of(stats, "started")), strlen("2026-01-01T00:00:00.000000Z"));
    const cJSON *echo = endpoint_of(stats, 0);
    assert_int_equal(number_of(echo, "num_requests"), 3);
    assert_int_equal(number_of(echo, "num_errors"), 0);
    assert_string_equal(string_of(echo, "last_error"), "");
    assert_true(number_of(echo, "processing_time") > 0);
    assert_int_equal(number_of(echo, "average_processing_time"),
                     (long)number_of(echo, "processing_time") / 3);
    assert_int_equal(number_of(cJSON_GetObjectItem(echo, "data"), "events"), 42);
    const cJSON *fail = endpoint_of(stats, 1);
    assert_int_equal(number_of(fail, "num_requests"), 1);
    assert_int_equal(number_of(fail, "num_errors"), 1);
    assert_string_equal(string_of(fail, "last_error"), "409: not  now");
    cJSON_Delete(stats);
    mlt_micro_stop(micro);
}

static void test_handler_without_answer_gives_500(void **state)
{
    (void)state;
    latch_init(&asked);
    struct mlt_micro *micro = start(bus);
    char out[64];
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(ask("test.silence", "", out, sizeof out, &err), MLT_E_PROTOCOL);
    assert_int_equal(err.code, 500);
    assert_string_equal(err.text, "no answer");
    /* Nobody waits for an answer: the request is handled all the same. */
    assert_int_equal(mlt_bus_publish(other_bus, "test.silence", MLT_SLICE_EMPTY), MLT_OK);
    assert_true(latch_wait(&asked, 2, 5 * MLT_NS_PER_S));
    mlt_micro_stop(micro);
}

static void test_queue_group_decides_how_many_instances_answer(void **state)
{
    (void)state;
    latch_init(&asked);
    struct mlt_micro *one = start(bus);
    struct mlt_micro *two = start(other_bus);
    char out[32768];
    /* No queue group: both answer, each with its 500. */
    raw_client(&server, "SUB in 1\r\nPUB test.silence in 0\r\n\r\n", "Nats-Service-Error-Code: 500",
               2, out, sizeof out);
    assert_true(latch_wait(&asked, 2, 5 * MLT_NS_PER_S));
    /* Monitoring has none either. */
    raw_client(&server, "SUB _INBOX.in 1\r\nPUB $SRV.PING.meltica-test _INBOX.in 0\r\n\r\n",
               "ping_response", 2, out, sizeof out);
    raw_client(&server, "SUB _INBOX.in 1\r\nPUB $SRV.STATS _INBOX.in 0\r\n\r\n", "stats_response",
               2, out, sizeof out);
    /* The default group: 20 requests, 20 answers over both. The last one ends after the others. */
    struct mlt_error err = MLT_ERROR_INIT;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(ask("test.echo", "x", out, sizeof out, &err), MLT_OK);
    }
    raw_client(&server, "SUB _INBOX.in 1\r\nPUB $SRV.STATS _INBOX.in 0\r\n\r\n", "stats_response",
               2, out, sizeof out);
    double sum = 0;
    for (const char *at = out; (at = strstr(at, "{\"type\"")) != NULL; at++) {
        cJSON *stats = cJSON_Parse(at);
        assert_non_null(stats);
        sum += number_of(endpoint_of(stats, 0), "num_requests");
        cJSON_Delete(stats);
    }
    assert_int_equal(sum, 20);
    mlt_micro_stop(one);
    mlt_micro_stop(two);
}

/* The server lets a service answer wherever it is asked to: who may ask only must not write by it.
 */
static void test_monitoring_answers_inboxes_only(void **state)
{
    (void)state;
    struct server guarded;
    struct mlt_error err = MLT_ERROR_INIT;
    char url[96], lines[1024], out[32768];
    server_start(&guarded, true,
                 "authorization { users: [\n"
                 "  { user: root, password: x }\n"
                 "  { user: service, password: x, permissions: { publish: [\"_INBOX.>\"],"
                 "    subscribe: [\"$SRV.>\", \"test.>\"], allow_responses: true } }\n"
                 "  { user: eye, password: x, permissions: { publish: [\"$SRV.>\"],"
                 "    subscribe: [\"_INBOX_eye.>\"] } } ] }");
    (void)snprintf(url, sizeof url, "nats://root:x@127.0.0.1:%d", guarded.port);
    struct mlt_bus *root = url_connect(url, NULL);
    (void)snprintf(url, sizeof url, "nats://service:x@127.0.0.1:%d", guarded.port);
    struct mlt_bus *served = url_connect(url, NULL);
    struct mlt_store *store = NULL;
    const struct mlt_stream_spec kept = { .name = "KEPT", .subjects = { "kept.*", NULL } };
    uint64_t sequence = 0, found = 0;
    bool duplicate = false;
    struct mlt_buf bytes;
    mlt_buf_init(&bytes, 4096);
    assert_int_equal(mlt_store_create(root, 1, &store, &err), MLT_OK);
    assert_int_equal(mlt_store_ensure_stream(store, &kept, &err), MLT_OK);
    assert_int_equal(mlt_stream_append(store, "kept.a", NULL, NULL, MLT_SLICE_LITERAL("1"),
                                       &sequence, &duplicate, &err),
                     MLT_OK);
    struct mlt_micro *micro = start(served);
    /* The last one of each is answered, behind the others: it goes where answers may go. */
    static const char *const verbs[] = { "$SRV.STATS", "$SRV.PING.meltica-test" };
    for (unsigned i = 0; i < 2; i++) {
        (void)snprintf(lines, sizeof lines,
                       "CONNECT {\"verbose\":false,\"user\":\"eye\",\"pass\":\"x\"}\r\n"
                       "SUB _INBOX_eye.in 1\r\n"
                       "PUB %s kept.b 0\r\n\r\nPUB %s $JS.API.STREAM.PURGE.KEPT 0\r\n\r\n"
                       "PUB %s meltica.data.BTC-USDT 0\r\n\r\nPUB %s _INBOX_eye.in 0\r\n\r\n",
                       verbs[i], verbs[i], verbs[i], verbs[i]);
        raw_client(&guarded, lines, "meltica-test", 1, out, sizeof out);
    }
    assert_true(mlt_bus_rtt_ns(served) >= 0); /* whatever it sent is with the server */
    assert_int_equal(mlt_stream_next(store, "KEPT", "kept.*", 1, &bytes, &found, &err), MLT_OK);
    assert_int_equal(found, 1);
    assert_int_equal(mlt_stream_next(store, "KEPT", "kept.*", 2, &bytes, &found, &err),
                     MLT_E_NOT_FOUND);
    assert_int_equal(mlt_micro_replies_refused(micro), 6);
    mlt_micro_stop(micro);
    mlt_buf_fini(&bytes);
    mlt_store_destroy(store);
    mlt_bus_destroy(served, 0);
    mlt_bus_destroy(root, 0);
    server_end(&guarded);
}

static void test_start_refuses_what_the_protocol_does_not_allow(void **state)
{
    (void)state;
    static const char *const versions[] = { "", "1", "1.2", "1.2.x", "01.2.3", "1.2.3 ", "v1.2.3" };
    const struct mlt_micro_endpoint good = { .name = "e", .subject = "s", .handler = on_echo };
    struct mlt_micro_options options = { .name = "ok" };
    struct mlt_micro *micro = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        options.version = versions[i];
        assert_int_equal(mlt_micro_start(bus, &options, &good, 1, &micro, &err), MLT_E_INVALID);
    }
    options.version = "1.0.0";
    options.name = "not ok";
    assert_int_equal(mlt_micro_start(bus, &options, &good, 1, &micro, &err), MLT_E_INVALID);
    options.name = "ok";
    static const char *const subjects[] = { "", "a b", "a..b", ".a", "a*", "a.>.b", NULL };
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
        const struct mlt_micro_endpoint bad = { .name = "e",
                                                .subject = subjects[i],
                                                .handler = on_echo };
        assert_int_equal(mlt_micro_start(bus, &options, &bad, 1, &micro, &err), MLT_E_INVALID);
    }
    const struct mlt_micro_endpoint nameless = { .name = "e.f",
                                                 .subject = "s",
                                                 .handler = on_echo };
    assert_int_equal(mlt_micro_start(bus, &options, &nameless, 1, &micro, &err), MLT_E_INVALID);
    assert_null(micro);
    mlt_micro_stop(NULL);
}

/* With a URL as argument, serves until standard input ends: for looking at it with other tools. */
static int serve(const char *url)
{
    bus = url_connect(url, NULL);
    struct mlt_micro *micro = start(bus);
    while (getchar() != EOF) {
    }
    mlt_micro_stop(micro);
    mlt_bus_destroy(bus, 0);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2) {
        return serve(argv[1]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ping_and_info_tell_who_serves_what),
        cmocka_unit_test(test_stats_count_requests_and_only_real_errors),
        cmocka_unit_test(test_handler_without_answer_gives_500),
        cmocka_unit_test(test_queue_group_decides_how_many_instances_answer),
        cmocka_unit_test(test_monitoring_answers_inboxes_only),
        cmocka_unit_test(test_start_refuses_what_the_protocol_does_not_allow),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
