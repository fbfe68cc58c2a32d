/*
 * Traces through the real processes, to a collector of the test's: one trace has an event's whole
 * way, the last span being this consumer's; one has a command's way from this client to the
 * exchange's acknowledgement; changes of state are sampled where nothing else is; and a collector
 * that is away costs spans, never data. With MELTICA_OTEL_COLLECTOR, a program, that one stands
 * between the services and the test's (./dev test collector).
 */
#include "mlt_test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/trace/trace.h"
#include "mlt_collector.h"
#include "mlt_consumer.h"
#include "mlt_real_collector.h"
#include "mlt_stack.h"

#define TABLE(instruments, more)                                                                   \
    "{\"version\":1,\"routes\":[{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"                \
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"},"                                              \
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"                                   \
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100,"                  \
    "\"interval_ms\":60000}},"                                                                     \
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}],"   \
    "\"subscriptions\":[{\"id\":\"f\",\"type\":\"BOOK\",\"instruments\":[\"SYM0002-USDT\"]},"      \
    "{\"id\":\"g\",\"type\":\"BBO\",\"instruments\":[\"" instruments "\"]}" more "]}"
#define SOME TABLE("SYM0002-USDT", "")
#define MORE TABLE("*", ",{\"id\":\"h\",\"type\":\"TRADE\",\"instruments\":[\"*\"]}")
#define CONSUME "process meltica.data.{instrument}"
#define PATIENCE_S 30

static struct collector collector;
static struct mlt_real_collector real; /* before it, or none */
static struct mlt_stack stack;
static struct mlt_consumer consumer;
static struct mlt_bus *bus;
static struct mlt_bus_subscription *subscription;
static struct mlt_trace *own; /* this process's spans */
static char table_path[64];

/* ---- this consumer ---- */

/* As a consumer would: its span has the message's as parent. */
static void on_data(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_arena arena;
    struct mlt_event event;
    const int64_t start_ns = mlt_clock_wall_ns();
    (void)ctx;
    mlt_arena_init(&arena, 64u << 10, 4u << 20);
    if (mlt_event_decode(message->payload, &arena, &event) == MLT_OK) {
        mlt_trace_consumed(own, &event, message->traceparent, start_ns, mlt_clock_wall_ns());
    }
    mlt_arena_fini(&arena);
}

/* The port that takes spans. */
static uint16_t start_collectors(void)
{
    const char *program = getenv("MELTICA_OTEL_COLLECTOR");
    assert_true(collector_start(&collector, 0));
    if (program == NULL) {
        return collector.port;
    }
    if (!mlt_real_collector_start(&real, program, collector.port)) {
        fail_msg("%s does not run: %s", program, real.last_words);
    }
    return real.port;
}

static void stop_collectors(void)
{
    if (real.pid > 0) {
        assert_int_equal(mlt_real_collector_stop(&real), 0);
    }
    collector_stop(&collector);
}

static void start(const char *sampler, const char *table, const char *rate, const char *damage)
{
    char endpoint[64];
    struct mlt_trace_config config;
    struct mlt_error err = MLT_ERROR_INIT;
    (void)snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u", start_collectors());
    assert_int_equal(setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint, 1), 0);
    assert_int_equal(setenv("OTEL_TRACES_SAMPLER", sampler, 1), 0);
    assert_int_equal(setenv("OTEL_BSP_SCHEDULE_DELAY", "50", 1), 0);
    assert_int_equal(setenv("OTEL_BSP_EXPORT_TIMEOUT", "2000", 1), 0);
    assert_int_equal(mlt_trace_config_load(environ, "test-consumer", &config, &err), MLT_OK);
    const struct mlt_trace_options options = { .instance = "test" };
    assert_int_equal(mlt_trace_create(&config, &options, &own, &err), MLT_OK);
    mlt_trace_config_fini(&config);
    (void)snprintf(table_path, sizeof table_path, "/tmp/meltica-traces.XXXXXX");
    const int fd = mkstemp(table_path);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "%s", table) > 0);
    assert_int_equal(close(fd), 0);
    const struct mlt_stack_options stack_options = {
        .exchange = { "--synthetic", "--symbols", "3", "--rate", rate, "--seed", "7",
                      "--start-subscriptions", "0", damage != NULL ? "--mutate" : NULL, damage,
                      damage != NULL ? "--mutate-count" : NULL, "500" },
        .table = table_path,
    };
    memset(&consumer, 0, sizeof consumer);
    mlt_stack_start(&stack, &stack_options);
    mlt_consumer_start(&consumer, stack.nats_url);
    const struct mlt_bus_options bus_options = { .kind = MLT_BUS_CONTROL,
                                                 .url = stack.nats_url,
                                                 .name = "test" };
    const struct mlt_bus_subscribe_options data = { .subject = "meltica.data.*" };
    assert_int_equal(mlt_bus_connect(&bus_options, &bus, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(bus, 5 * MLT_NS_PER_S), MLT_OK);
    assert_int_equal(mlt_bus_subscribe(bus, &data, on_data, NULL, &subscription, &err), MLT_OK);
    mlt_stack_run_services(&stack);
}

static void end(void)
{
    mlt_bus_unsubscribe(subscription);
    mlt_bus_destroy(bus, 0);
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
    mlt_trace_destroy(own, 0);
    own = NULL;
    (void)unlink(table_path);
}

/* ---- what is looked for; with the collector's lock ---- */

/* The span of a service with this id in this trace. */
static const struct collector_span *by_id(const uint8_t *trace_id, const uint8_t *span_id)
{
    for (size_t i = 0; i < collector.span_count; i++) {
        if (memcmp(collector.spans[i].trace_id, trace_id, 16) == 0 &&
            memcmp(collector.spans[i].span_id, span_id, 8) == 0) {
            return &collector.spans[i];
        }
    }
    return NULL;
}

static const struct {
    const char *service, *name;
    unsigned kind;
} way[] = { { "test-consumer", CONSUME, MLT_SPAN_CONSUMER },
            { "meltica-data-bus", "publish meltica.data.{instrument}", MLT_SPAN_PRODUCER },
            { "meltica-conductor", "process meltica.int.canonical", MLT_SPAN_CONSUMER },
            { "meltica-dispatcher", "process meltica.int.native", MLT_SPAN_CONSUMER },
            { "meltica-adapter", "send meltica.int.native", MLT_SPAN_PRODUCER } };
#define WAY (sizeof way / sizeof way[0])

/* From the consumer's span back to the root, each stage the parent of the one before. */
static bool is_whole_way(const struct collector_span *span, const char *type)
{
    for (size_t i = 0; i < WAY; i++) {
        if (span == NULL || strcmp(span->service, way[i].service) != 0 ||
            strcmp(span->name, way[i].name) != 0 || span->kind != way[i].kind ||
            span->end_ns < span->start_ns || span->root != (i + 1 == WAY)) {
            return false;
        }
        if (i == 1 && strcmp(collector_attribute(span, "meltica.event.type"), type) != 0) {
            return false;
        }
        span = span->root ? NULL : by_id(span->trace_id, span->parent);
    }
    return true;
}

/* ctx: the type of the event. */
static bool has_whole_way(struct collector *c, void *ctx)
{
    const struct collector_span *span = NULL;
    while ((span = collector_find(c, NULL, CONSUME, span)) != NULL) {
        if (is_whole_way(span, ctx)) {
            return true;
        }
    }
    return false;
}

/* Not one of those that came first is missing a stage: ctx is how many. */
static bool first_are_whole(struct collector *c, void *ctx)
{
    const struct collector_span *span = NULL;
    unsigned left = *(const unsigned *)ctx;
    while (left > 0 && (span = collector_find(c, NULL, CONSUME, span)) != NULL) {
        const struct collector_span *published = by_id(span->trace_id, span->parent);
        if (strcmp(collector_attribute(span, "meltica.event.type"), "BBO") == 0) {
            if (published == NULL || !is_whole_way(span, "BBO")) {
                return false;
            }
            left--;
        }
    }
    return left == 0;
}

static const struct collector_span *child(const struct collector *c, const uint8_t *trace_id,
                                          const char *service, const char *name,
                                          const uint8_t *parent)
{
    const struct collector_span *span = NULL;
    while ((span = collector_find(c, trace_id, name, span)) != NULL) {
        if (strcmp(span->service, service) == 0 && memcmp(span->parent, parent, 8) == 0) {
            return span;
        }
    }
    return NULL;
}

/* ctx: the client's context. */
static bool has_command(struct collector *c, void *ctx)
{
    const struct mlt_trace_context *client = ctx;
    const uint8_t *trace = client->trace_id;
    const struct collector_span *command = child(
        c, trace, "meltica-control-bus", "process meltica.control.subscribe", client->span_id);
    const struct collector_span *applied =
        command == NULL ? NULL
                        : child(c, trace, "meltica-dispatcher", "process meltica.int.control",
                                command->span_id);
    const struct collector_span *plan =
        applied == NULL
            ? NULL
            : child(c, trace, "meltica-adapter", "process meltica.int.plan", applied->span_id);
    const struct collector_span *asked =
        plan == NULL ? NULL
                     : child(c, trace, "meltica-adapter", "SUBSCRIBE exchange", plan->span_id);
    const struct collector_span *told =
        command == NULL
            ? NULL
            : child(c, trace, "meltica-dispatcher", "process meltica.int.apply", command->span_id);
    return asked != NULL && told != NULL && !command->failed && !asked->failed &&
           command->start_ns <= applied->start_ns && applied->end_ns <= plan->end_ns &&
           plan->start_ns <= asked->start_ns && asked->start_ns < asked->end_ns &&
           asked->end_ns <= told->end_ns && told->end_ns <= command->end_ns &&
           strcmp(collector_attribute(told, "meltica.outcome"), "CONFIRMED") == 0;
}

/* ctx: the client's context. A refused command is a span too, and it says so. */
static bool has_refusal(struct collector *c, void *ctx)
{
    const struct mlt_trace_context *client = ctx;
    const struct collector_span *span = child(c, client->trace_id, "meltica-control-bus",
                                              "process meltica.control.subscribe", client->span_id);
    return span != NULL && span->failed &&
           strcmp(collector_attribute(span, "error.type"), "404") == 0;
}

static void print_trace(const uint8_t *trace_id)
{
    for (size_t i = 0; i < collector.span_count; i++) {
        const struct collector_span *s = &collector.spans[i];
        if (memcmp(s->trace_id, trace_id, 16) == 0) {
            print_error("%s: %s, id %02x%02x, parent %02x%02x%s\n", s->service, s->name,
                        s->span_id[0], s->span_id[1], s->parent[0], s->parent[1],
                        s->failed ? ", failed" : "");
        }
    }
}

/* ---- commands ---- */

static bool was_pending; /* a command, once */

static bool holds(const struct mlt_buf *answer, const char *text)
{
    return answer->len > 0 && memmem(answer->data, answer->len, text, strlen(text)) != NULL;
}

/* True: the answer has that text. */
static bool ask(const char *instrument, const char *text, struct mlt_trace_context *client)
{
    char body[128];
    char traceparent[MLT_TRACEPARENT_BYTES];
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf answer;
    mlt_trace_new_trace(client);
    client->flags = MLT_TRACE_SAMPLED;
    mlt_traceparent_format(client, traceparent);
    mlt_buf_init(&answer, 1u << 20);
    (void)snprintf(body, sizeof body,
                   "{\"consumer\":\"t\",\"type\":\"TRADE\",\"instruments\":[\"%s\"]}", instrument);
    const enum mlt_status status =
        mlt_bus_request_traced(bus, "meltica.control.subscribe", mlt_slice_of_string(body),
                               traceparent, 5 * MLT_NS_PER_S, &answer, &err);
    const bool has = (status == MLT_OK || status == MLT_E_PROTOCOL) && holds(&answer, text);
    was_pending = was_pending || holds(&answer, "\"PENDING\"");
    mlt_buf_fini(&answer);
    return has;
}

/* Until the listing is known it is refused; each attempt is a trace of its own. What was PENDING
 * would be CONFIRMED as it is, by a trace without the way: it is another instrument's turn. */
static bool subscribed(void *ctx)
{
    return ask(was_pending ? "SYM0003-USDT" : "SYM0001-USDT", "CONFIRMED", ctx);
}

/* Until it is known to its end nothing is refused as unknown. */
static bool refused_as_unknown(void *ctx)
{
    return ask("NO-SUCH", "\"code\":404", ctx);
}

static uint64_t dropped(const char *service)
{
    return mlt_stack_metric(&stack, service, "meltica_trace_spans_dropped_total", "");
}

static bool all_dropped_some(void *ctx)
{
    (void)ctx;
    return dropped("adapter") > 0 && dropped("dispatcher") > 0 && dropped("conductor") > 0 &&
           dropped("data-bus") > 0;
}

/* meltica tail is a consumer too, by the same variables. */
static void run_tail(void)
{
    char command[512];
    (void)snprintf(command, sizeof command,
                   "%s/bin/meltica tail --json --count 200 --seconds 20 --nats-url %s > /dev/null",
                   getenv("MELTICA_BINARY_DIR"), stack.nats_url);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a test's own command */
}

static bool has_tail(struct collector *c, void *ctx)
{
    const struct collector_span *span = NULL;
    (void)ctx;
    while ((span = collector_find(c, NULL, CONSUME, span)) != NULL) {
        const struct collector_span *from = by_id(span->trace_id, span->parent);
        if (strcmp(span->service, "meltica-tail") == 0 && from != NULL &&
            strcmp(from->service, "meltica-data-bus") == 0) {
            return true;
        }
    }
    return false;
}

/* ---- tests ---- */

static void one_trace_has_the_whole_way(void **state)
{
    struct mlt_trace_context client, refused;
    (void)state;
    start("parentbased_always_on", SOME, "300", NULL);
    assert_true(mlt_consumer_wait(&consumer, subscribed, &client, PATIENCE_S));
    if (!collector_wait(&collector, has_command, &client, PATIENCE_S * MLT_NS_PER_S)) {
        print_trace(client.trace_id);
        fail_msg("no whole trace of a command");
    }
    static char trade[] = "TRADE", book[] = "BOOK", bbo[] = "BBO";
    assert_true(collector_wait(&collector, has_whole_way, trade, PATIENCE_S * MLT_NS_PER_S));
    assert_true(collector_wait(&collector, has_whole_way, bbo, PATIENCE_S * MLT_NS_PER_S));
    /* Of a BOOK the way is that of the last event in it. */
    assert_true(collector_wait(&collector, has_whole_way, book, PATIENCE_S * MLT_NS_PER_S));
    unsigned first = 300;
    assert_true(collector_wait(&collector, first_are_whole, &first, PATIENCE_S * MLT_NS_PER_S));
    assert_true(mlt_consumer_wait(&consumer, refused_as_unknown, &refused, PATIENCE_S));
    assert_true(collector_wait(&collector, has_refusal, &refused, PATIENCE_S * MLT_NS_PER_S));
    run_tail();
    assert_true(collector_wait(&collector, has_tail, NULL, PATIENCE_S * MLT_NS_PER_S));
    assert_null(collector.wrong);

    /* Nobody takes spans any more. */
    stop_collectors();
    assert_true(mlt_consumer_wait(&consumer, all_dropped_some, NULL, 60));
    const uint64_t trades = mlt_consumer_count(&consumer, MLT_EVENT_TRADE);
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_TRADE, trades + 500, PATIENCE_S));
    struct mlt_tally_totals totals;
    mlt_consumer_totals(&consumer, &totals);
    assert_int_equal(totals.gaps + totals.duplicates + totals.sequence_holes + totals.lost, 0);
    static const char *const services[] = { "adapter", "dispatcher", "conductor", "data-bus",
                                            "control-bus" };
    for (size_t i = 0; i < 5; i++) { /* and nobody's end waits for it */
        assert_int_equal(mlt_stack_terminate(&stack, services[i]), 0);
    }
    end();
}

/* A frame's way from the Adapter's span to this consumer's, downwards. */
static bool reached_the_consumer(struct collector *c, const struct collector_span *from)
{
    const struct collector_span *span = NULL;
    while ((span = collector_find(c, from->trace_id, CONSUME, span)) != NULL) {
        if (is_whole_way(span, collector_attribute(from, "meltica.event.type"))) {
            return true;
        }
    }
    return false;
}

/* Every trace that the Adapter took is whole; ctx: how many they are. */
static bool all_reached_the_consumer(struct collector *c, void *ctx)
{
    unsigned *count = ctx;
    const struct collector_span *span = NULL;
    *count = 0;
    while ((span = collector_find(c, NULL, "send meltica.int.native", span)) != NULL) {
        const char *type = collector_attribute(span, "meltica.event.type");
        if (strcmp(type, "BBO") == 0 || strcmp(type, "TRADE") == 0) {
            ++*count;
            if (!reached_the_consumer(c, span)) {
                return false;
            }
        }
    }
    return true;
}

/* One in a thousand, decided once: each of them with all stages. */
static void a_share_of_the_traces_is_taken_whole(void **state)
{
    unsigned taken = 0;
    (void)state;
    assert_int_equal(setenv("OTEL_TRACES_SAMPLER_ARG", "0.001", 1), 0);
    start("parentbased_traceidratio", MORE, "4000", NULL);
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BBO, 20000, 3 * PATIENCE_S));
    const uint64_t events = mlt_consumer_count(&consumer, MLT_EVENT_BBO) +
                            mlt_consumer_count(&consumer, MLT_EVENT_TRADE);
    assert_true(
        collector_wait(&collector, all_reached_the_consumer, &taken, PATIENCE_S * MLT_NS_PER_S));
    print_message("%u of about %" PRIu64 " events\n", taken, events);
    assert_true(taken > events / 5000 && taken < events / 250);
    end();
    stop_collectors();
    assert_int_equal(unsetenv("OTEL_TRACES_SAMPLER_ARG"), 0);
}

/* The chain from the Data Bus's span of a SOURCE_DOWN to the Adapter's. */
static bool has_source_down(struct collector *c, void *ctx)
{
    const struct collector_span *span = NULL;
    (void)ctx;
    while ((span = collector_find(c, NULL, CONSUME, span)) != NULL) {
        const struct collector_span *published = by_id(span->trace_id, span->parent);
        if (is_whole_way(span, "STATUS") && published != NULL &&
            strcmp(collector_attribute(published, "meltica.status"), "SOURCE_DOWN") == 0) {
            return true;
        }
    }
    return false;
}

/* A change that the Conductor found itself: its trace begins there. */
static bool has_live(struct collector *c, void *ctx)
{
    const struct collector_span *span = NULL;
    (void)ctx;
    while ((span = collector_find(c, NULL, "process meltica.int.canonical", span)) != NULL) {
        if (span->root && strcmp(collector_attribute(span, "meltica.status"), "LIVE") == 0) {
            return true;
        }
    }
    return false;
}

static void changes_of_state_are_always_sampled(void **state)
{
    (void)state;
    start("parentbased_always_off", SOME, "300", NULL);
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BBO, 50, PATIENCE_S));
    assert_true(collector_wait(&collector, has_live, NULL, PATIENCE_S * MLT_NS_PER_S));
    mlt_stack_kill(&stack, "exchange");
    assert_true(collector_wait(&collector, has_source_down, NULL, PATIENCE_S * MLT_NS_PER_S));
    (void)pthread_mutex_lock(&collector.lock);
    for (size_t i = 0; i < collector.span_count; i++) {
        const char *type = collector_attribute(&collector.spans[i], "meltica.event.type");
        assert_true(type[0] == '\0' || strcmp(type, "STATUS") == 0);
    }
    (void)pthread_mutex_unlock(&collector.lock);
    end();
    stop_collectors();
}

/* What could not become an event: the Adapter's span, and below it the Dispatcher's, with the
 * reason. */
static bool has_rejection(struct collector *c, void *ctx)
{
    const struct collector_span *span = NULL;
    (void)ctx;
    while ((span = collector_find(c, NULL, "process meltica.int.native", span)) != NULL) {
        const struct collector_span *from = by_id(span->trace_id, span->parent);
        if (span->failed && from != NULL && from->failed && from->root &&
            strcmp(from->service, "meltica-adapter") == 0 &&
            collector_attribute(from, "error.type")[0] != '\0' &&
            strcmp(collector_attribute(span, "error.type"),
                   collector_attribute(from, "error.type")) == 0) {
            return true;
        }
    }
    return false;
}

static void refusals_are_always_sampled(void **state)
{
    (void)state;
    start("parentbased_always_off", SOME, "300", "7");
    assert_true(collector_wait(&collector, has_rejection, NULL, PATIENCE_S * MLT_NS_PER_S));
    end();
    stop_collectors();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_trace_has_the_whole_way),
        cmocka_unit_test(a_share_of_the_traces_is_taken_whole),
        cmocka_unit_test(changes_of_state_are_always_sampled),
        cmocka_unit_test(refusals_are_always_sampled),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
