/*
 * Live subscriptions through the real processes: what a client asks for with a NATS request flows,
 * and what nobody asks for any more does not. The table of the file is empty, so that everything
 * that comes was asked for here.
 */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "meltica/base/clock.h"
#include "mlt_consumer.h"
#include "mlt_stack.h"

#define ROUTES                                                                                     \
    "{\"version\":1,\"routes\":[{\"type\":\"TICKER\",\"ws\":\"{symbol}@ticker\"},"                 \
    "{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"                                           \
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"},"                                              \
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"                                   \
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100,"                  \
    "\"interval_ms\":60000}},"                                                                     \
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}]"

/* An answer is due within 2 s. How soon it comes is measured by `bench control`; here only one that
 * hangs is a fault, since the machine may be busy with other things. */
#define LATE_NS (4 * MLT_NS_PER_S)
#define AGAIN_MAX 10 /* times that an answer may leave open what came of a command */

static struct mlt_stack stack;
static struct mlt_consumer consumer;
static struct mlt_bus *client;
static char table_path[64];
static bool running; /* false again when a test has ended what it started */

/* What came, beside the consumer's own counts; under its lock. */
static struct {
    uint64_t trades[4];     /* of SYM0001.. */
    int64_t ended_wall_ns;  /* 0: nothing has ended */
    uint64_t after_the_end; /* trades of SYM0001 that were published later */
} seen;

static void look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes)
{
    (void)ctx;
    (void)bytes;
    if (event->type != MLT_EVENT_TRADE || event->instrument.len < 7) {
        return;
    }
    const unsigned n = (unsigned)(event->instrument.data[6] - '0');
    seen.trades[n < 4 ? n : 0]++;
    if (n == 1 && seen.ended_wall_ns != 0 && event->stamps.published > seen.ended_wall_ns) {
        seen.after_the_end++;
    }
}

/* ---- asking ---- */

struct said {
    cJSON *json;
    int64_t begin_ns, took_ns;
    bool refused, again;
};

static struct said ask(const char *verb, const char *body)
{
    struct said s = { 0 };
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    char subject[64];
    (void)snprintf(subject, sizeof subject, "meltica.control.%s", verb);
    mlt_buf_init(&bytes, 1u << 20);
    const int64_t until_ns = mlt_clock_mono_ns() + 10 * MLT_NS_PER_S;
    enum mlt_status status;
    do { /* one that was just started listens before it serves; nobody there is said at once */
        mlt_buf_clear(&bytes);
        s.begin_ns = mlt_clock_mono_ns();
        status = mlt_bus_request(client, subject, mlt_slice_of_string(body), 5 * MLT_NS_PER_S,
                                 &bytes, &err);
    } while (status == MLT_E_UNAVAILABLE && bytes.len == 0 && mlt_clock_mono_ns() < until_ns);
    s.took_ns = mlt_clock_mono_ns() - s.begin_ns;
    s.refused = status != MLT_OK;
    s.json = bytes.len > 0 ? cJSON_ParseWithLength((const char *)bytes.data, bytes.len) : NULL;
    if (s.json == NULL) {
        fail_msg("%s %s: %s", subject, body, err.text);
    }
    mlt_buf_fini(&bytes);
    return s;
}

static const char *text_of(const struct said *s, const char *member)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(s->json, member);
    return cJSON_IsString(m) ? m->valuestring : "";
}

static int number_of(const struct said *s, const char *member)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(s->json, member);
    return cJSON_IsNumber(m) ? m->valueint : -1;
}

static bool flag_of(const struct said *s, const char *member)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(s->json, member));
}

/* Refused, since the Dispatcher did not answer the Control Bus in time: on a busy machine rightly
 * so.
 */
static bool is_stalled(const struct said *s)
{
    return number_of(s, "code") == 503 &&
           mlt_stack_is_stalled(mlt_slice_of_string(text_of(s, "message")));
}

static void fail_with(const struct said *s, const char *what)
{
    char *text = cJSON_PrintUnformatted(s->json);
    fail_msg("%s: %s", what, text);
}

/* What is not in effect in 1.9 s is PENDING, on a busy machine rightly so. The same subscription
 * twice is one, and of what a first request has ended the second finds nothing. */
static struct said settle(const char *verb, const char *body)
{
    struct said s = ask(verb, body);
    for (unsigned i = 0;
         i < AGAIN_MAX && (strcmp(text_of(&s, "status"), "PENDING") == 0 || is_stalled(&s)); i++) {
        cJSON_Delete(s.json);
        s = ask(verb, body);
        s.again = true;
    }
    return s;
}

/* A command that is confirmed; its subscription in id (64 bytes). */
static void confirm(const char *verb, const char *body, char *id)
{
    struct said s = settle(verb, body);
    const bool ended = s.again && strcmp(verb, "unsubscribe") == 0 && number_of(&s, "code") == 404;
    if ((!ended && (s.refused || strcmp(text_of(&s, "status"), "CONFIRMED") != 0)) ||
        s.took_ns >= LATE_NS) {
        fail_with(&s, body);
    }
    if (id != NULL) {
        (void)snprintf(id, 64, "%s", text_of(&s, "subscription"));
    }
    cJSON_Delete(s.json);
}

static void refuse(const char *verb, const char *body, int code, const char *field)
{
    struct said s = code != 503 ? settle(verb, body) : ask(verb, body);
    if (!s.refused || number_of(&s, "code") != code || strcmp(text_of(&s, "field"), field) != 0 ||
        strcmp(text_of(&s, "status"), "REJECTED") != 0) {
        fail_with(&s, body);
    }
    cJSON_Delete(s.json);
}

/* The last audit record of an outcome is there. */
static void assert_audited(const char *outcome)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    char body[96];
    mlt_buf_init(&bytes, 1u << 20);
    (void)snprintf(body, sizeof body, "{\"last_by_subj\":\"meltica.int.audit.%s\"}", outcome);
    assert_int_equal(mlt_bus_request(client, "$JS.API.STREAM.MSG.GET.MELTICA_AUDIT",
                                     mlt_slice_of_string(body), 5 * MLT_NS_PER_S, &bytes, &err),
                     MLT_OK);
    if (memmem(bytes.data, bytes.len, "\"data\":", 7) == NULL) {
        fail_msg("%s: %.*s", outcome, (int)bytes.len, (const char *)bytes.data);
    }
    mlt_buf_fini(&bytes);
}

static int listed(const char *body)
{
    struct said s = settle("list", body);
    const int total = number_of(&s, "total");
    cJSON_Delete(s.json);
    return total;
}

static void revision(char *out)
{
    struct said s = ask("describe", "");
    (void)snprintf(out, 32, "%s", text_of(&s, "revision"));
    cJSON_Delete(s.json);
}

/* ---- conditions; looked at ten times a second at least ---- */

static bool knows_listing(void *ctx)
{
    (void)ctx;
    struct said s = ask("describe", "");
    struct said inner = { .json = cJSON_GetObjectItemCaseSensitive(s.json, "instruments") };
    const bool known = number_of(&inner, "listed") >= 3 &&
                       cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(inner.json, "complete"));
    cJSON_Delete(s.json);
    struct said list = ask("list", "");
    const bool read = !list.refused;
    cJSON_Delete(list.json);
    return known && read;
}

/* Lines of the exchange that carry a stream. */
static int lines_of(const char *stream)
{
    struct mlt_buf body;
    mlt_buf_init(&body, 16u << 20);
    mlt_stack_get(&stack, "exchange", "/sim/status", &body);
    cJSON *tree = cJSON_ParseWithLength((const char *)body.data, body.len);
    const cJSON *streams = cJSON_GetObjectItemCaseSensitive(tree, "streams");
    struct said one = { .json = cJSON_GetObjectItemCaseSensitive(streams, stream) };
    const int lines = one.json != NULL ? number_of(&one, "lines") : 0;
    cJSON_Delete(tree);
    mlt_buf_fini(&body);
    return lines;
}

struct wanted_lines {
    const char *stream;
    int lines;
};

static bool has_lines(void *ctx)
{
    const struct wanted_lines *w = ctx;
    return lines_of(w->stream) == w->lines;
}

struct wanted_trades {
    unsigned symbol;
    uint64_t count;
};

static bool has_trades(void *ctx)
{
    const struct wanted_trades *w = ctx;
    return seen.trades[w->symbol] >= w->count;
}

static void wait_trades(unsigned symbol, uint64_t more)
{
    (void)pthread_mutex_lock(&consumer.lock);
    struct wanted_trades w = { symbol, seen.trades[symbol] + more };
    (void)pthread_mutex_unlock(&consumer.lock);
    assert_true(mlt_consumer_wait(&consumer, has_trades, &w, 20));
}

static bool nothing_listed(void *ctx)
{
    return listed(ctx) == 0;
}

static bool is_confirmed(void *ctx)
{
    struct said s = ask("list", ctx);
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(s.json, "subscriptions");
    struct said first = { .json = cJSON_GetArrayItem(list, 0) };
    const bool confirmed = first.json != NULL && strcmp(text_of(&first, "state"), "CONFIRMED") == 0;
    cJSON_Delete(s.json);
    return confirmed;
}

/* ---- stack ---- */

static void start(bool jetstream, const char *subscriptions)
{
    (void)snprintf(table_path, sizeof table_path, "/tmp/meltica-steering.XXXXXX");
    const int fd = mkstemp(table_path);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "%s%s}", ROUTES, subscriptions) > 0);
    assert_int_equal(close(fd), 0);
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "3", "--rate", "600", "--seed", "7",
                      "--start-subscriptions", "0" },
        .table = table_path,
        .without_jetstream = !jetstream,
    };
    memset(&consumer, 0, sizeof consumer);
    memset(&seen, 0, sizeof seen);
    consumer.look = look;
    running = true;
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_bus_options bus = { .kind = MLT_BUS_CONTROL,
                                         .url = stack.nats_url,
                                         .name = "test" };
    assert_int_equal(mlt_bus_connect(&bus, &client, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(client, 10 * MLT_NS_PER_S), MLT_OK);
    mlt_stack_run_services(&stack);
}

static void end(void)
{
    running = false;
    mlt_bus_destroy(client, 0);
    client = NULL;
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
    (void)unlink(table_path);
}

/* What a failed test left must not stand in the way of the next one. */
static int tear_down(void **state)
{
    (void)state;
    if (running) {
        end();
    }
    return 0;
}

static void assert_nothing_lost(void)
{
    struct mlt_tally_totals totals;
    mlt_consumer_totals(&consumer, &totals);
    assert_int_equal(totals.gaps + totals.duplicates + totals.sequence_holes + totals.lost, 0);
}

/* ---- tests ---- */

static void test_what_is_asked_for_flows_and_ends_for_the_last_one_only(void **state)
{
    (void)state;
    char first[64], again[64], second[64];
    start(true, "");
    assert_true(mlt_consumer_wait(&consumer, knows_listing, NULL, 20));
    assert_int_equal(lines_of("sym0001usdt@trade"), 0);

    static const char asked[] =
        "{\"consumer\":\"a\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"]}";
    confirm("subscribe", asked, first);
    assert_int_equal(lines_of("sym0001usdt@trade"), 1);
    wait_trades(1, 20);

    /* Twice is once. */
    struct said s = settle("subscribe", asked);
    assert_true(flag_of(&s, "unchanged"));
    assert_string_equal(text_of(&s, "subscription"), first);
    cJSON_Delete(s.json);
    assert_int_equal(listed("{\"consumer\":\"a\"}"), 1);

    /* Another consumer of the same stream: nothing new at the exchange. */
    confirm("subscribe",
            "{\"consumer\":\"b\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"]}", second);
    assert_string_not_equal(first, second);
    assert_int_equal(mlt_stack_exchange_status(&stack, "subscriptions"), 1);

    /* Whoever leaves first takes nothing from the other. */
    (void)snprintf(again, sizeof again, "%s", first);
    char body[160];
    (void)snprintf(body, sizeof body, "{\"consumer\":\"a\",\"subscription\":\"%s\"}", again);
    confirm("unsubscribe", body, NULL);
    refuse("unsubscribe", body, 404, "subscription");
    wait_trades(1, 50);
    assert_int_equal(lines_of("sym0001usdt@trade"), 1);
    assert_nothing_lost();

    /* The last one: not one further event after the answer. */
    confirm("unsubscribe",
            "{\"consumer\":\"b\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"]}", NULL);
    const int64_t ended_ns = mlt_clock_wall_ns();
    (void)pthread_mutex_lock(&consumer.lock);
    seen.ended_wall_ns = ended_ns;
    (void)pthread_mutex_unlock(&consumer.lock);
    struct wanted_lines gone = { "sym0001usdt@trade", 0 };
    assert_true(mlt_consumer_wait(&consumer, has_lines, &gone, 15));
    confirm("subscribe",
            "{\"consumer\":\"b\",\"type\":\"TRADE\",\"instruments\":[\"SYM0002-USDT\"]}", NULL);
    wait_trades(2, 100);
    assert_int_equal(seen.after_the_end, 0);
    assert_int_equal(seen.trades[3], 0);
    assert_int_equal(mlt_consumer_count(&consumer, MLT_EVENT_BBO), 0);
    assert_int_equal(mlt_stack_metric(&stack, "data-bus", "meltica_bus_unrouted_total", ""), 0);
    assert_nothing_lost();
    end();
}

static void test_subscriptions_outlive_their_services(void **state)
{
    (void)state;
    static char who[] = "{\"consumer\":\"a\"}";
    start(true, ",\"subscriptions\":[]");
    assert_true(mlt_consumer_wait(&consumer, knows_listing, NULL, 20));
    confirm("subscribe",
            "{\"consumer\":\"a\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"]}", NULL);
    wait_trades(1, 20);
    mlt_stack_kill(&stack, "control-bus");
    mlt_stack_run(&stack, "control-bus");
    assert_int_equal(listed(who), 1);
    mlt_stack_kill(&stack, "dispatcher");
    mlt_stack_run(&stack, "dispatcher");
    wait_trades(1, 50);
    assert_true(mlt_consumer_wait(&consumer, is_confirmed, who, 10));
    assert_int_equal(listed(who), 1);
    assert_int_equal(lines_of("sym0001usdt@trade"), 1);
    assert_int_equal(mlt_stack_exchange_status(&stack, "subscriptions"), 1);
    /* And it can still be ended. */
    confirm("unsubscribe",
            "{\"consumer\":\"a\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"]}", NULL);
    struct wanted_lines gone = { "sym0001usdt@trade", 0 };
    assert_true(mlt_consumer_wait(&consumer, has_lines, &gone, 15));
    end();
}

static void test_malformed_commands_change_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *verb, *body;
        int code;
        const char *field;
    } wrong[] = {
        { "subscribe", "", 400, "" },
        { "subscribe", "[]", 400, "" },
        { "subscribe", "{\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"]}", 400, "consumer" },
        { "subscribe", "{\"consumer\":\"a\",\"typ\":\"TRADE\"}", 400, "typ" },
        { "subscribe", "{\"consumer\":\"a\",\"type\":\"NONE\",\"instruments\":[\"SYM0001-USDT\"]}",
          400, "type" },
        { "subscribe", "{\"consumer\":\"a\",\"type\":\"KLINE\",\"instruments\":[\"SYM0001-USDT\"]}",
          404, "type" },
        { "subscribe",
          "{\"consumer\":\"a\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\",\"NO-SUCH\"]}",
          404, "instruments[1]" },
        { "subscribe", "{\"consumer\":\"a\",\"type\":\"TRADE\",\"instruments\":[\"*\"]}", 400,
          "instruments[0]" },
        { "subscribe",
          "{\"consumer\":\"a\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"],"
          "\"throttle_ms\":250}",
          400, "throttle_ms" },
        { "unsubscribe", "{\"consumer\":\"a\",\"subscription\":\"s0\"}", 404, "subscription" },
        { "renew", "{\"consumer\":\"a\",\"subscription\":\"s0\",\"ttl_s\":0}", 400, "ttl_s" },
    };
    char before[32], after[32];
    start(true, "");
    assert_true(mlt_consumer_wait(&consumer, knows_listing, NULL, 20));
    revision(before);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        refuse(wrong[i].verb, wrong[i].body, wrong[i].code, wrong[i].field);
    }
    revision(after);
    assert_string_equal(before, after);
    assert_int_equal(listed(""), 0);
    assert_int_equal(mlt_stack_exchange_status(&stack, "subscriptions"), 0);
    /* Refused ones are audited too. */
    assert_int_equal(mlt_stack_metric(&stack, "control-bus", "meltica_control_audited_total", ""),
                     sizeof wrong / sizeof wrong[0]);
    end();
}

static const char *with_id(char *body, size_t size, const char *subscription, int ttl_s,
                           const char *id)
{
    (void)snprintf(body, size,
                   "{\"consumer\":\"a\",\"subscription\":\"%s\",\"ttl_s\":%d,\"id\":\"%s\"}",
                   subscription, ttl_s, id);
    return body;
}

/* The lease of the first one listed. */
static const char *lease_of(const struct said *list)
{
    const cJSON *first =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(list->json, "subscriptions"), 0);
    const cJSON *lease = cJSON_GetObjectItemCaseSensitive(first, "lease_end_ns");
    assert_true(cJSON_IsString(lease));
    return lease->valuestring;
}

static void test_leases_end_and_updates_replace(void **state)
{
    (void)state;
    static char who[] = "{\"consumer\":\"a\"}";
    char id[64], body[200], lease[32];
    start(true, "");
    assert_true(mlt_consumer_wait(&consumer, knows_listing, NULL, 20));
    confirm("subscribe",
            "{\"consumer\":\"a\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"],"
            "\"ttl_s\":600}",
            id);
    /* A request that comes again is not carried out again, and says what stands. */
    confirm("renew", with_id(body, sizeof body, id, 900, "once"), NULL);
    struct said s = settle("list", who);
    (void)snprintf(lease, sizeof lease, "%s", lease_of(&s));
    cJSON_Delete(s.json);
    s = settle("renew", with_id(body, sizeof body, id, 9000, "once"));
    assert_string_equal(text_of(&s, "status"), "CONFIRMED");
    assert_string_equal(text_of(&s, "lease_end_ns"), lease);
    assert_true(flag_of(&s, "unchanged"));
    cJSON_Delete(s.json);
    refuse("subscribe",
           "{\"consumer\":\"a\",\"type\":\"TRADE\",\"instruments\":[\"SYM0003-USDT\"],\"id\":"
           "\"once\"}",
           409, "id");
    assert_int_equal(listed(who), 1);
    /* The new demand stands before the old one ends. */
    (void)snprintf(body, sizeof body,
                   "{\"consumer\":\"a\",\"subscription\":\"%s\",\"instruments\":[\"SYM000*\"]}",
                   id);
    refuse("update", body, 400, "instruments[0]");
    (void)snprintf(body, sizeof body,
                   "{\"consumer\":\"a\",\"subscription\":\"%s\","
                   "\"instruments\":[\"SYM0002-USDT\",\"SYM0001-USDT\"]}",
                   id);
    s = settle("update", body);
    if (strcmp(text_of(&s, "status"), "CONFIRMED") != 0) {
        fail_with(&s, body);
    }
    assert_string_equal(text_of(&s, "replaces"), id);
    (void)snprintf(id, sizeof id, "%s", text_of(&s, "subscription"));
    cJSON_Delete(s.json);
    assert_int_equal(listed(who), 1);
    wait_trades(1, 20);
    wait_trades(2, 20);
    assert_nothing_lost();
    /* Renewed to three seconds, it ends after that, and so does what it brought. */
    (void)snprintf(body, sizeof body, "{\"consumer\":\"a\",\"subscription\":\"%s\",\"ttl_s\":3}",
                   id);
    confirm("renew", body, NULL);
    assert_int_equal(listed(who), 1);
    assert_true(mlt_consumer_wait(&consumer, nothing_listed, who, 15));
    assert_audited("confirmed");
    assert_audited("rejected");
    assert_audited("expired");
    struct wanted_lines gone = { "sym0001usdt@trade", 0 };
    assert_true(mlt_consumer_wait(&consumer, has_lines, &gone, 15));
    end();
}

static void test_without_jetstream_commands_are_refused_and_data_flows(void **state)
{
    (void)state;
    start(false, ",\"subscriptions\":[{\"id\":\"fixed\",\"type\":\"TRADE\","
                 "\"instruments\":[\"SYM0001-USDT\"]}]");
    wait_trades(1, 20);
    struct said s = ask(
        "subscribe", "{\"consumer\":\"a\",\"type\":\"TRADE\",\"instruments\":[\"SYM0002-USDT\"]}");
    assert_true(s.refused);
    assert_int_equal(number_of(&s, "code"), 503);
    assert_non_null(strstr(text_of(&s, "message"), "table store unavailable, nothing changed"));
    assert_true(s.took_ns < LATE_NS);
    cJSON_Delete(s.json);
    wait_trades(1, 50);
    assert_int_equal(lines_of("sym0002usdt@trade"), 0);
    assert_nothing_lost();
    end();
}

/* The CLI's exit status; what it printed in out. */
static int run_once(const char *arguments, char *out, size_t size)
{
    char line[512];
    const char *build = getenv("MELTICA_BINARY_DIR");
    (void)snprintf(line, sizeof line, "%s/bin/meltica %s --nats-url %s 2>&1",
                   build != NULL ? build : "build/dev", arguments, stack.nats_url);
    FILE *from = popen(line, "r");
    assert_non_null(from);
    const size_t len = fread(out, 1, size - 1, from);
    out[len] = '\0';
    return pclose(from);
}

/* Again where a busy machine kept the Dispatcher from answering in time: nothing changed. */
static int run_cli(const char *arguments, char *out, size_t size)
{
    int ended = run_once(arguments, out, size);
    for (unsigned i = 0; i < AGAIN_MAX && mlt_stack_is_stalled(mlt_slice_of_string(out)); i++) {
        ended = run_once(arguments, out, size);
    }
    return ended;
}

static void test_the_cli_says_what_was_asked_for(void **state)
{
    (void)state;
    static char out[8192];
    start(true, "");
    assert_true(mlt_consumer_wait(&consumer, knows_listing, NULL, 20));
    assert_int_equal(
        run_cli("sub TRADE SYM0001-USDT SYM0002-USDT --consumer desk --ttl 60", out, sizeof out),
        0);
    assert_non_null(strstr(out, "CONFIRMED"));
    assert_non_null(strstr(out, "meltica.data.SYM0001-USDT meltica.data.SYM0002-USDT"));
    assert_int_equal(run_cli("subs", out, sizeof out), 0);
    assert_non_null(strstr(out, "desk"));
    assert_non_null(strstr(out, "SYM0001-USDT SYM0002-USDT"));
    assert_int_equal(run_cli("subs --json --consumer desk", out, sizeof out), 0);
    assert_non_null(strstr(out, "\"total\":1"));
    assert_true(run_cli("sub TRADE NO-SUCH", out, sizeof out) != 0);
    assert_non_null(strstr(out, "code 404, field instruments[0]"));
    assert_int_equal(
        run_cli("unsub TRADE SYM0002-USDT SYM0001-USDT --consumer desk", out, sizeof out), 0);
    assert_int_equal(listed(""), 0);
    end();
}

#define CONSUMERS 20
#define ROUNDS 5

struct asker {
    pthread_t thread;
    unsigned number;
    int64_t worst_ns;
    char failure[600]; /* "": none */
};

static bool says(const struct mlt_buf *answer, const char *text)
{
    return answer->len > 0 && memmem(answer->data, answer->len, text, strlen(text)) != NULL;
}

/* One command, until it is not PENDING; false, and why, where it is not confirmed. */
static bool ask_once(struct asker *a, const char *verb, const char *body, struct mlt_buf *answer)
{
    struct mlt_error err = MLT_ERROR_INIT;
    char subject[64];
    bool good = false, pending = true;
    (void)snprintf(subject, sizeof subject, "meltica.control.%s", verb);
    for (unsigned i = 0; i <= AGAIN_MAX && pending; i++) {
        mlt_buf_clear(answer);
        const int64_t begin_ns = mlt_clock_mono_ns();
        const enum mlt_status status = mlt_bus_request(client, subject, mlt_slice_of_string(body),
                                                       5 * MLT_NS_PER_S, answer, &err);
        const int64_t took_ns = mlt_clock_mono_ns() - begin_ns;
        a->worst_ns = took_ns > a->worst_ns ? took_ns : a->worst_ns;
        pending =
            says(answer, "\"status\":\"PENDING\"") || mlt_stack_is_stalled(mlt_buf_view(answer));
        good = (status == MLT_OK && says(answer, "\"status\":\"CONFIRMED\"")) ||
               (i > 0 && strcmp(verb, "unsubscribe") == 0 && says(answer, "\"code\":404"));
    }
    if (!good) {
        (void)snprintf(a->failure, sizeof a->failure, "%s %s: %s %.*s", verb, body, err.text,
                       (int)answer->len, (const char *)answer->data);
    }
    return good;
}

/* Subscribes and leaves again, over and over; cmocka's failures belong to the main thread. */
static void *ask_often(void *argument)
{
    struct asker *a = argument;
    struct mlt_buf answer;
    char body[160];
    bool good = true;
    mlt_buf_init(&answer, 1u << 20);
    (void)snprintf(body, sizeof body,
                   "{\"consumer\":\"c%u\",\"type\":\"%s\",\"instruments\":[\"SYM000%u-USDT\"]}",
                   a->number, a->number % 2 == 0 ? "TRADE" : "BBO", a->number % 3 + 1);
    for (int i = 0; i < 2 * ROUNDS && good; i++) {
        good = ask_once(a, i % 2 == 0 ? "subscribe" : "unsubscribe", body, &answer);
    }
    mlt_buf_fini(&answer);
    return NULL;
}

static bool has_no_subscription(void *ctx)
{
    (void)ctx;
    return mlt_stack_exchange_status(&stack, "subscriptions") == 0;
}

static void test_many_consumers_at_once_are_confirmed_in_time(void **state)
{
    (void)state;
    static struct asker askers[CONSUMERS];
    int64_t worst_ns = 0;
    start(true, "");
    assert_true(mlt_consumer_wait(&consumer, knows_listing, NULL, 20));
    for (unsigned i = 0; i < CONSUMERS; i++) {
        askers[i].number = i;
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask_often, &askers[i]), 0);
    }
    for (unsigned i = 0; i < CONSUMERS; i++) {
        assert_int_equal(pthread_join(askers[i].thread, NULL), 0);
        worst_ns = askers[i].worst_ns > worst_ns ? askers[i].worst_ns : worst_ns;
    }
    for (unsigned i = 0; i < CONSUMERS; i++) {
        if (askers[i].failure[0] != '\0') {
            fail_msg("%s", askers[i].failure);
        }
    }
    (void)printf("%d consumers, %d commands each: worst %lld ms\n", CONSUMERS, 2 * ROUNDS,
                 (long long)(worst_ns / MLT_NS_PER_MS));
    assert_true(worst_ns < LATE_NS);
    assert_int_equal(listed(""), 0);
    assert_true(mlt_consumer_wait(&consumer, has_no_subscription, NULL, 15));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_what_is_asked_for_flows_and_ends_for_the_last_one_only,
                                  tear_down),
        cmocka_unit_test_teardown(test_subscriptions_outlive_their_services, tear_down),
        cmocka_unit_test_teardown(test_malformed_commands_change_nothing, tear_down),
        cmocka_unit_test_teardown(test_leases_end_and_updates_replace, tear_down),
        cmocka_unit_test_teardown(test_without_jetstream_commands_are_refused_and_data_flows,
                                  tear_down),
        cmocka_unit_test_teardown(test_the_cli_says_what_was_asked_for, tear_down),
        cmocka_unit_test_teardown(test_many_consumers_at_once_are_confirmed_in_time, tear_down),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
