/* The command line tool where what it hears is not to be trusted, and where what it prints or
 * writes finds no room. */
#include "mlt_test.h"

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "events.h"
#include "http_stub.h"
#include "meltica/base/clock.h"
#include "server.h"

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define HERE "--nats-url", server.url
/* What a terminal would obey: escape, CSI of eight bits, CSI in UTF-8. */
#define EVIL "\\u001b[2J\\u0007\\u009b31m"

static struct server server;
static struct mlt_bus *bus;
static char folder[] = "/tmp/meltica-hostile.XXXXXX";

static void expect(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("no \"%s\" in: %s", part, text);
    }
}

/* Fails unless it ends so; what it said stays for who asks. */
static void end(struct command *c, const char *name, int status)
{
    const int ended = command_end(c);
    if (ended != status) {
        fail_msg("%s: exit %d: %s%s", name, ended, command_out(c), command_err(c));
    }
}

static void run(struct command *c, const char *const *arguments, int status)
{
    command_start(c, arguments, NULL);
    end(c, arguments[0], status);
}

static void expect_plain(const struct command *c)
{
    const char *const texts[] = { command_out(c), command_err(c) };
    for (unsigned i = 0; i < 2; i++) {
        if (strpbrk(texts[i], "\x1b\x07\x9b") != NULL) {
            fail_msg("a terminal would obey: %s", texts[i]);
        }
    }
}

struct message {
    char subject[160];
    struct mlt_slice payload; /* to be freed */
};

static struct message message_of(const struct mlt_event *event)
{
    struct message m;
    uint8_t *bytes = malloc(mlt_event_encoded_size(event));
    assert_non_null(bytes);
    (void)snprintf(m.subject, sizeof m.subject, "meltica.data.%.*s",
                   MLT_SLICE_FMT(event->instrument));
    m.payload = mlt_slice_of(bytes, mlt_event_encode(event, bytes));
    return m;
}

static void message_free(struct message *m)
{
    free((void *)(uintptr_t)m->payload.data);
}

static void publish(const struct mlt_event *event)
{
    struct message m = message_of(event);
    assert_int_equal(mlt_bus_publish(bus, m.subject, m.payload), MLT_OK);
    message_free(&m);
}

/* As often as it takes until somebody listens: the server says so of a request, which nobody will
 * answer. */
static void publish_heard(const struct mlt_event *event)
{
    const int64_t deadline = mlt_clock_mono_ns() + 20 * MLT_NS_PER_S;
    struct message m = message_of(event);
    enum mlt_status status = MLT_E_UNAVAILABLE;
    struct mlt_buf none;
    mlt_buf_init(&none, 1024);
    while (status == MLT_E_UNAVAILABLE && mlt_clock_mono_ns() < deadline) {
        status = mlt_bus_request(bus, m.subject, m.payload, MLT_NS_PER_S, &none, NULL);
    }
    assert_int_equal(status, MLT_E_TIMEOUT);
    message_free(&m);
}

/* ---- a Control Bus that is none ---- */

struct liar {
    pthread_mutex_t lock;
    const char *answer;
    unsigned asked;
};
static struct liar liar = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void on_command(void *ctx, const struct mlt_bus_message *message)
{
    (void)ctx;
    (void)pthread_mutex_lock(&liar.lock);
    liar.asked++;
    if (message->reply[0] != '\0') { /* doctor asks without one too, to see whether it may */
        assert_int_equal(
            mlt_bus_reply(bus, message->reply, mlt_slice_of_string(liar.answer), 0, NULL), MLT_OK);
    }
    (void)pthread_mutex_unlock(&liar.lock);
}

static void answer(const char *text)
{
    (void)pthread_mutex_lock(&liar.lock);
    liar.answer = text;
    liar.asked = 0;
    (void)pthread_mutex_unlock(&liar.lock);
}

static unsigned times_asked(void)
{
    (void)pthread_mutex_lock(&liar.lock);
    const unsigned asked = liar.asked;
    (void)pthread_mutex_unlock(&liar.lock);
    return asked;
}

static void test_answers_move_no_cursor(void **state)
{
    (void)state;
    struct command c;
    answer("{\"status\":\"CONFIRMED" EVIL "\",\"message\":\"" EVIL "\",\"subscription\":\"" EVIL
           "\",\"replaces\":\"" EVIL "\",\"type\":\"" EVIL "\",\"instruments\":[\"" EVIL
           "\"],\"channels\":[\"" EVIL "\",1]}");
    run(&c, ARGS("sub", "TRADE", "BTC-USDT", HERE), 0);
    expect_plain(&c);
    expect(command_out(&c), "CONFIRMED?[2J??31m");
    command_free(&c);
    answer("{\"status\":\"REJECTED\",\"code\":1e300,\"message\":\"" EVIL "\",\"field\":\"" EVIL
           "\"}");
    run(&c, ARGS("unsub", "s1", HERE), 1);
    expect_plain(&c);
    command_free(&c);
    answer("{\"subscriptions\":[{\"subscription\":\"" EVIL "\",\"consumer\":\"" EVIL
           "\",\"state\":[],\"filter\":[{\"field\":\"" EVIL "\"},null,7],\"instruments\":[\"" EVIL
           "\"]},null],\"complete\":true}");
    run(&c, ARGS("subs", HERE), 0);
    expect_plain(&c);
    expect(command_out(&c), "?[2J??31m");
    command_free(&c);
}

static void test_an_answer_that_says_nothing_is_none(void **state)
{
    (void)state;
    static const char *const nothing[] = { "{}", "[]", "\"CONFIRMED\"", "7", "{\"status\":1}", "" };
    struct command c;
    for (unsigned i = 0; i < sizeof nothing / sizeof nothing[0]; i++) {
        answer(nothing[i]);
        run(&c, ARGS("sub", "TRADE", "BTC-USDT", HERE), 1);
        assert_string_equal(command_out(&c), "");
        expect(command_err(&c), "meltica sub: ");
        command_free(&c);
        run(&c, ARGS("subs", "--json", HERE), 1); /* and asks no further */
        assert_int_equal(times_asked(), 2);
        command_free(&c);
    }
    answer("{\"subscriptions\":[],\"complete\":false}"); /* there is always more of nothing */
    run(&c, ARGS("subs", "--json", HERE), 0);
    assert_int_equal(times_asked(), 1);
    command_free(&c);
}

/* ---- services and pages that lie ---- */

static void on_request(void *ctx, const struct mlt_bus_message *request,
                       struct mlt_micro_request *to)
{
    (void)ctx, (void)request;
    assert_int_equal(mlt_micro_respond(to, MLT_SLICE_EMPTY, 0, NULL), MLT_OK);
}

static void put_stats(void *ctx, struct mlt_buf *out)
{
    (void)ctx;
    assert_int_equal(mlt_buf_append_string(out, "{\"service\":{\"ready\":false,\"missing\":\"" EVIL
                                                "\",\"time_ns\":\"9223372036854775807\","
                                                "\"uptime_ms\":\"99999999999999999999\"},"
                                                "\"connections\":[null,7,{\"line\":\"-9\"}]}"),
                     MLT_OK);
}

static struct mlt_micro *start_adapter(const char *partitions)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_micro *micro = NULL;
    const struct mlt_micro_pair metadata[] = { { "instance", "\x1b[2J\xc2\x9b"
                                                             "31m" },
                                               { "partitions", partitions } };
    const struct mlt_micro_options options = { .name = "meltica-adapter",
                                               .version = "1.0.0",
                                               .description = "for a test",
                                               .metadata = metadata,
                                               .metadata_count = 2,
                                               .stats = put_stats };
    const struct mlt_micro_endpoint endpoint = { .name = "status",
                                                 .subject = "meltica.test.hostile",
                                                 .handler = on_request };
    assert_int_equal(mlt_micro_start(bus, &options, &endpoint, 1, &micro, &err), MLT_OK);
    return micro;
}

static void test_trace_believes_no_number_of_partitions(void **state)
{
    (void)state;
    static const char *const numbers[] = { "4294967296", "9223372036854775807", "-1", "0", "x" };
    struct command c;
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct mlt_micro *micro = start_adapter(numbers[i]);
        run(&c, ARGS("trace", "1", "--instrument", "BTC-USDT", "--seconds", "1", HERE), 1);
        command_free(&c);
        mlt_micro_stop(micro);
    }
}

/* Answers so many requests, in this order. */
struct pages {
    struct http_stub http;
    char url[64];
    const char *const *bodies;
    unsigned count, asked;
};

static struct http_stub_answer next_page(void *ctx, const char *head, const void *none, size_t len)
{
    struct pages *p = ctx;
    (void)head, (void)none, (void)len;
    if (p->asked++ >= p->count) {
        return (struct http_stub_answer){ 0 };
    }
    const char *body = p->bodies[p->asked - 1];
    return (struct http_stub_answer){ .code = 200, .body = body, .body_len = strlen(body) };
}

static void pages_start(struct pages *p, const char *const *bodies)
{
    *p = (struct pages){ .bodies = bodies };
    while (bodies[p->count] != NULL) {
        p->count++;
    }
    assert_true(http_stub_start(&p->http, 0, next_page, p));
    (void)snprintf(p->url, sizeof p->url, "http://127.0.0.1:%u", p->http.port);
}

/* Each was asked for. */
static void pages_end(struct pages *p)
{
    http_stub_stop(&p->http);
    assert_int_equal(p->asked, p->count);
}

static void test_doctor_believes_no_clock_and_moves_no_cursor(void **state)
{
    (void)state;
    struct command c;
    struct pages pages;
    struct mlt_micro *micro = start_adapter("4");
    answer("{\"status\":\"REJECTED\",\"message\":\"" EVIL "\"}");
    pages_start(&pages, ARGS("{}", "{\"serverTime\":9223372036854775807}"));
    run(&c, ARGS("doctor", "--rest-url", pages.url, HERE), 1);
    pages_end(&pages);
    expect_plain(&c);
    expect(command_out(&c), "lacks: ?[2J??31m");
    expect(command_out(&c), "refused: ?[2J??31m");
    expect(command_out(&c), "clock of the exchange        it did not tell its time");
    command_free(&c);
    mlt_micro_stop(micro);
}

static void test_health_shows_a_page_that_moves_no_cursor(void **state)
{
    (void)state;
    struct command c;
    struct pages pages;
    pages_start(&pages, ARGS("good \x1b[2J\x9b"
                             "31m\nnext\n"));
    run(&c, ARGS("health", pages.url), 0);
    pages_end(&pages);
    assert_string_equal(command_out(&c), "good ?[2J?31m\nnext\n");
    command_free(&c);
}

static void test_a_report_is_json_whatever_a_page_says(void **state)
{
    (void)state;
    struct command c;
    struct pages pages;
    char path[128], line[128];
    pages_start(&pages, ARGS("meltica_rejected_total{reason=\"a\\\"b\"} 3\n"));
    (void)snprintf(path, sizeof path, "%s/services", folder);
    (void)snprintf(line, sizeof line, "one \"more\"=1=%s\n", pages.url);
    FILE *to = fopen(path, "w");
    assert_non_null(to);
    assert_true(fputs(line, to) >= 0 && fclose(to) == 0);
    run(&c, ARGS("collect", "--seconds", "1", "--services", path, HERE), 1);
    pages_end(&pages);
    cJSON *json = cJSON_Parse(command_out(&c));
    if (json == NULL) {
        fail_msg("no JSON: %s", command_out(&c));
    }
    assert_non_null(cJSON_GetObjectItem(cJSON_GetObjectItem(json, "rejected"), "a\\"));
    assert_non_null(cJSON_GetObjectItem(cJSON_GetObjectItem(json, "cpu_ms"), "one \"more\""));
    cJSON_Delete(json);
    command_free(&c);
}

/* ---- events ---- */

static void test_the_greatest_book_is_shown(void **state)
{
    (void)state;
    static int64_t prices[2][MLT_EVENT_LEVELS_MAX], quantities[MLT_EVENT_LEVELS_MAX];
    struct mlt_event book = test_event(MLT_EVENT_BOOK, 1, 1);
    struct command c;
    for (int64_t i = 0; i < MLT_EVENT_LEVELS_MAX; i++) {
        prices[0][i] = INT64_MAX - 20000 - i;
        prices[1][i] = INT64_MAX - 19999 + i;
        quantities[i] = INT64_MAX - i;
    }
    book.u.book.state = MLT_BOOK_LIVE;
    book.u.book.bids = (struct mlt_levels){ 18, 18, MLT_EVENT_LEVELS_MAX, prices[0], quantities };
    book.u.book.asks = (struct mlt_levels){ 18, 18, MLT_EVENT_LEVELS_MAX, prices[1], quantities };
    for (unsigned i = 0; i < 2; i++) {
        command_start(&c,
                      i == 0
                          ? ARGS("book", "BTC-USDT", "--once", "--seconds", "20", HERE)
                          : ARGS("book", "BTC-USDT", "--json", "--once", "--seconds", "20", HERE),
                      NULL);
        publish_heard(&book);
        end(&c, "book", 0);
        expect(command_out(&c), "9223372036854755807000000000000000000");
        command_free(&c);
    }
}

static void test_a_recording_has_events_only(void **state)
{
    (void)state;
    char path[128];
    struct command c;
    struct mlt_event event = test_trade(1, 1, 7);
    (void)snprintf(path, sizeof path, "%s/day.events", folder);
    command_start(&c, ARGS("record", path, "--seconds", "2", HERE), NULL);
    assert_true(command_wait_said(&c, "following"));
    publish(&event);
    assert_int_equal(mlt_bus_publish(bus, "meltica.data.BTC-USDT", mlt_slice_of_string("hello")),
                     MLT_OK);
    assert_int_equal(mlt_bus_publish(bus, "meltica.data.BTC-USDT", MLT_SLICE_EMPTY), MLT_OK);
    event.sequence = 2;
    publish(&event);
    end(&c, "record", 0);
    expect(command_err(&c), "2 events, 0 not written, 0 dropped before they got here, 2 messages "
                            "were no events");
    command_free(&c);
    run(&c, ARGS("replay", path, "--speed", "max", HERE), 0);
    expect(command_err(&c), "replay: 2 events\n");
    command_free(&c);
}

static void test_a_terminal_that_goes_ends_a_recording_in_order(void **state)
{
    (void)state;
    char path[128];
    struct command c;
    struct mlt_event event = test_trade(1, 1, 7);
    (void)snprintf(path, sizeof path, "%s/hung_up.events", folder);
    command_start(&c, ARGS("record", path, HERE), NULL);
    assert_true(command_wait_said(&c, "following"));
    const int watch = inotify_init1(IN_CLOEXEC);
    assert_true(inotify_add_watch(watch, path, IN_MODIFY) >= 0);
    publish_heard(&event);
    struct inotify_event modified; /* nobody waits for the end to have it in the file */
    assert_int_equal(read(watch, &modified, sizeof modified), sizeof modified);
    assert_int_equal(close(watch), 0);
    assert_int_equal(kill(c.pid, SIGHUP), 0);
    end(&c, "record", 0);
    expect(command_err(&c), "1 events, 0 not written");
    command_free(&c);
    /* Under nohup it goes on. */
    assert_true(signal(SIGHUP, SIG_IGN) != SIG_ERR);
    command_start(&c, ARGS("record", path, "--seconds", "2", HERE), NULL);
    assert_true(signal(SIGHUP, SIG_DFL) != SIG_ERR);
    assert_true(command_wait_said(&c, "following"));
    assert_int_equal(kill(c.pid, SIGHUP), 0);
    publish_heard(&event);
    end(&c, "record", 0);
    expect(command_err(&c), "1 events, 0 not written");
    command_free(&c);
}

static void test_what_a_script_runs_beside_itself_ends_by_sigint(void **state)
{
    (void)state;
    char path[128];
    struct command c;
    (void)snprintf(path, sizeof path, "%s/beside.events", folder);
    /* As a shell does it for `meltica record ... &`. */
    assert_true(signal(SIGINT, SIG_IGN) != SIG_ERR);
    command_start(&c, ARGS("record", path, HERE), NULL);
    assert_true(signal(SIGINT, SIG_DFL) != SIG_ERR);
    assert_true(command_wait_said(&c, "following"));
    assert_int_equal(kill(c.pid, SIGINT), 0);
    end(&c, "record", 0);
    expect(command_err(&c), "0 events, 0 not written");
    command_free(&c);
}

/* ---- no room ---- */

static void test_a_recording_ends_where_the_disk_does(void **state)
{
    (void)state;
    char path[128];
    struct stat about;
    struct command c;
    struct mlt_event event = test_trade(1, 1, 7);
    struct rlimit before, small = { 1000, 1000 };
    (void)snprintf(path, sizeof path, "%s/full.events", folder);
    /* A file that may have 1000 bytes, and a write beyond them fails. */
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    command_start(&c, ARGS("record", path, HERE), NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(signal(SIGXFSZ, SIG_DFL) != SIG_ERR);
    assert_true(command_wait_said(&c, "following"));
    for (uint64_t i = 1; i <= 100; i++) {
        event.sequence = i;
        publish(&event);
    }
    end(&c, "record", 1); /* by itself: nobody has to come and look */
    expect(command_err(&c), "full.events: File too large");
    assert_int_equal(stat(path, &about), 0);
    assert_true(about.st_size > 900 && about.st_size <= 1000);
    command_free(&c);
    command_start(&c, ARGS("decode", "--batch"), path);
    end(&c, "decode", 0); /* whole events */
    unsigned lines = 0;
    for (const char *at = command_out(&c); (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    assert_true(lines > 10);
    command_free(&c);

    command_start(&c, ARGS("record", "/dev/full", HERE), NULL);
    assert_true(command_wait_said(&c, "following"));
    publish(&event);
    end(&c, "record", 1);
    expect(command_err(&c), "0 events, 1 not written");
    expect(command_err(&c), "/dev/full: No space left on device");
    command_free(&c);
}

/* What was recorded of an answer that came cut short is one refusal; the rest is read. */
static void test_inspect_goes_on_after_an_answer_that_is_no_json(void **state)
{
    (void)state;
    char path[128];
    struct command c;
    (void)snprintf(path, sizeof path, "%s/answers", folder);
    FILE *to = fopen(path, "w");
    assert_non_null(to);
    (void)fputs(
        "https://x/api/v3/exchangeInfo -> 1700000000.25: {\"symbols\":[{\"symbol\":\"BTCUSDT\","
        "\"status\":\"TRADING\",\"baseAsset\":\"BTC\",\"quoteAsset\":\"USDT\"}]}\n"
        "https://x/api/v3/depth?symbol=BTCUSDT&limit=5 -> 1700000000.5: "
        "{\"lastUpdateId\":7,\"bids\":[[\"1.0\",\"2.0\"]]\n"
        "https://x/api/v3/depth?symbol=BTCUSDT&limit=5 -> 1700000001.5: "
        "{\"lastUpdateId\":8,\"bids\":[[\"1.0\",\"2.0\"]],\"asks\":[]}\n",
        to);
    assert_int_equal(fclose(to), 0);
    run(&c, ARGS("inspect", path), 0);
    expect(command_out(&c), "\"parse\":1");
    expect(command_out(&c), "\"BOOK_SNAPSHOT\":1");
    command_free(&c);
}

static void test_output_that_is_lost_is_a_failure(void **state)
{
    (void)state;
    static const char *const places[] = { "/dev/full", "" };
    char path[128];
    struct command c;
    (void)snprintf(path, sizeof path, "%s/frames", folder);
    FILE *to = fopen(path, "w");
    assert_non_null(to);
    (void)fputs("1700000000000000000 {\"stream\":\"btcusdt@trade\",\"data\":{\"e\":\"trade\","
                "\"E\":1700000000000,\"s\":\"BTCUSDT\",\"t\":1,\"p\":\"1.5\",\"q\":\"2.5\","
                "\"T\":1700000000000,\"m\":true,\"M\":true}}\n",
                to);
    assert_int_equal(fclose(to), 0);
    run(&c, ARGS("inspect", "--events", path), 0);
    expect(command_out(&c), "BTC-USDT");
    command_free(&c);
    answer("{\"subscriptions\":[],\"complete\":true}");
    const char *const *const calls[] = { ARGS("inspect", "--events", path), ARGS("subs", HERE),
                                         ARGS("tail", "--seconds", "1", HERE), ARGS("--help"),
                                         ARGS("tail", "--help") };
    for (unsigned i = 0; i < 2 * sizeof calls / sizeof calls[0]; i++) {
        const char *const *call = calls[i / 2];
        command_start_into(&c, call, places[i % 2]);
        end(&c, call[0], 1);
        expect(command_err(&c), "not all of its output could be written");
        command_free(&c);
    }
}

static void test_a_reader_that_goes_is_no_failure(void **state)
{
    (void)state;
    struct command c;
    struct mlt_event event = test_trade(1, 1, 7);
    command_start(&c, ARGS("tail", "--json", "--seconds", "30", HERE), NULL);
    const int64_t began = mlt_clock_mono_ns();
    publish_heard(&event);
    assert_true(command_wait_printed(&c, "\n"));
    assert_int_equal(close(c.out), 0);
    c.out = -1;
    event.sequence++;
    publish(&event);
    end(&c, "tail", 0);
    assert_true(mlt_clock_mono_ns() - began < 25 * MLT_NS_PER_S);
    assert_string_equal(command_err(&c), "");
    command_free(&c);
}

static void test_no_password_is_shown(void **state)
{
    (void)state;
    char url[96];
    struct command c;
    for (unsigned i = 0; i < 2; i++) {
        (void)snprintf(url, sizeof url, "%sme:secret@127.0.0.1:%d", i == 0 ? "nats://" : "",
                       server.port);
        run(&c, ARGS("tail", "--seconds", "1", "--nats-url", url), 0);
        expect(command_out(&c), "127.0.0.1");
        assert_null(strstr(command_out(&c), "secret"));
        command_free(&c);
    }
}

static int begin(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus_subscription *commands = NULL;
    const struct mlt_bus_subscribe_options all = { .subject = "meltica.control.>" };
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    server_start(&server, true, "");
    bus = server_connect(&server, NULL);
    return mlt_bus_subscribe(bus, &all, on_command, NULL, &commands, &err) == MLT_OK ? 0 : -1;
}

static int finish(void **state)
{
    (void)state;
    char command[128];
    mlt_bus_destroy(bus, 0);
    server_end(&server);
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_move_no_cursor),
        cmocka_unit_test(test_an_answer_that_says_nothing_is_none),
        cmocka_unit_test(test_trace_believes_no_number_of_partitions),
        cmocka_unit_test(test_doctor_believes_no_clock_and_moves_no_cursor),
        cmocka_unit_test(test_health_shows_a_page_that_moves_no_cursor),
        cmocka_unit_test(test_a_report_is_json_whatever_a_page_says),
        cmocka_unit_test(test_the_greatest_book_is_shown),
        cmocka_unit_test(test_a_recording_has_events_only),
        cmocka_unit_test(test_a_terminal_that_goes_ends_a_recording_in_order),
        cmocka_unit_test(test_what_a_script_runs_beside_itself_ends_by_sigint),
        cmocka_unit_test(test_a_recording_ends_where_the_disk_does),
        cmocka_unit_test(test_inspect_goes_on_after_an_answer_that_is_no_json),
        cmocka_unit_test(test_output_that_is_lost_is_a_failure),
        cmocka_unit_test(test_a_reader_that_goes_is_no_failure),
        cmocka_unit_test(test_no_password_is_shown),
    };
    return cmocka_run_group_tests(tests, begin, finish);
}
