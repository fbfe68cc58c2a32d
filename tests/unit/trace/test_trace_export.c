/* The exporter against a scripted collector: each retry rule of OTLP/HTTP, what is dropped and
 * where it is counted, and that nobody who records ever waits. */
#include <stdio.h>
#include <sys/mman.h>

#include "mlt_test.h"

#include "meltica/base/clock.h"
#include "meltica/base/unconst.h"
#include "meltica/trace/trace.h"
#include "mlt_collector.h"
#include "mlt_port.h"

#define MS MLT_NS_PER_MS
#define PATIENCE_NS (20 * MLT_NS_PER_S)

static struct collector collector;
static struct mlt_trace *trace;
static struct mlt_metrics *metrics;

static void open_trace(uint16_t port, const char *const *more)
{
    char endpoint[64];
    const char *environment[12] = { endpoint, "OTEL_TRACES_SAMPLER=always_on",
                                    "OTEL_BSP_SCHEDULE_DELAY=1",
                                    "OTEL_EXPORTER_OTLP_HEADERS=x-key=s3cret" };
    size_t count = 4;
    struct mlt_trace_config config;
    struct mlt_error err = MLT_ERROR_INIT;
    (void)snprintf(endpoint, sizeof endpoint, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:%u",
                   port);
    while (more != NULL && *more != NULL) {
        environment[count++] = *more++;
    }
    assert_int_equal(mlt_trace_config_load(mlt_unconst(environment), "meltica-test", &config, &err),
                     MLT_OK);
    assert_int_equal(mlt_metrics_create(&metrics), MLT_OK);
    const struct mlt_trace_options options = {
        .instance = "test-0", .metrics = metrics, .retry_base_ns = 20 * MS, .retry_max_ns = 40 * MS
    };
    assert_int_equal(mlt_trace_create(&config, &options, &trace, &err), MLT_OK);
    assert_non_null(trace);
    mlt_trace_config_fini(&config);
}
#define OPEN(port, ...) open_trace(port, (const char *const[]){ __VA_ARGS__, NULL })

static void record(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct mlt_span span;
        mlt_span_begin(&span, "work", MLT_SPAN_INTERNAL, NULL, mlt_clock_wall_ns());
        span.end_ns = span.start_ns + 1;
        mlt_trace_record(trace, &span);
    }
}

static struct mlt_trace_stats stats(void)
{
    struct mlt_trace_stats s;
    mlt_trace_get_stats(trace, &s);
    return s;
}

/* Sends what is there; afterwards only the metrics know. */
static void close_trace(int64_t flush_ns)
{
    mlt_trace_destroy(trace, flush_ns);
    trace = NULL;
}

static uint64_t metric(const char *name, const char *labels)
{
    return mlt_counter_get(mlt_metrics_counter(metrics, name, "", labels));
}

static uint64_t dropped(const char *reason)
{
    char labels[64];
    (void)snprintf(labels, sizeof labels, "reason=\"%s\"", reason);
    return metric("meltica_trace_spans_dropped_total", labels);
}

static uint64_t exported(void)
{
    return metric("meltica_trace_spans_exported_total", NULL);
}

static int set_up(void **state)
{
    (void)state;
    return collector_start(&collector, 0) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_trace_destroy(trace, 0);
    trace = NULL;
    mlt_metrics_destroy(metrics);
    metrics = NULL;
    collector_stop(&collector);
    return 0;
}

static void a_batch_arrives(void **state)
{
    (void)state;
    OPEN(collector.port, "OTEL_BSP_SCHEDULE_DELAY=600000", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=3");
    record(3); /* a full batch does not wait */
    assert_true(collector_wait_requests(&collector, 1, PATIENCE_NS));
    assert_int_equal(collector.span_count, 3);
    assert_string_equal(collector.spans[0].service, "meltica-test");
    assert_non_null(strstr(collector.head, "POST /v1/traces HTTP/1.1\r\n"));
    assert_non_null(strstr(collector.head, "Content-Type: application/x-protobuf\r\n"));
    assert_non_null(strstr(collector.head, "x-key: s3cret\r\n"));
    record(2);
    close_trace(PATIENCE_NS); /* what is left goes with the end */
    assert_int_equal(collector.span_count, 5);
    assert_int_equal(exported(), 5);
    assert_null(collector.wrong);
}

/* Two spans are one request, however late the second one comes. */
#define TOGETHER "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=2", "OTEL_BSP_SCHEDULE_DELAY=600000"

/* The four codes, and an answer that does not come. */
static void what_may_be_tried_again_is(void **state)
{
    static const struct http_stub_answer script[] = {
        { .code = 429 }, { .code = 502 }, { .code = 503 }, { .code = 504 }, { .code = 0 }
    };
    (void)state;
    collector_script(&collector, script, 5);
    OPEN(collector.port, "OTEL_BSP_EXPORT_TIMEOUT=20000", TOGETHER);
    record(2);
    assert_true(collector_wait_requests(&collector, 6, PATIENCE_NS));
    close_trace(PATIENCE_NS);
    assert_int_equal(collector.request_count, 6);
    assert_int_equal(collector.span_count, 2);
    assert_int_equal(exported(), 2);
    assert_int_equal(metric("meltica_trace_retries_total", NULL), 5);
}

static void retry_after_is_waited_for(void **state)
{
    static const struct http_stub_answer script[] = { { .code = 503,
                                                        .headers = "Retry-After: 1\r\n" } };
    (void)state;
    collector_script(&collector, script, 1);
    OPEN(collector.port, "OTEL_BSP_EXPORT_TIMEOUT=20000"); /* its own waits are 40 ms at most */
    record(1);
    assert_true(collector_wait_requests(&collector, 2, PATIENCE_NS));
    const int64_t waited_ns = collector.asked_ns[1] - collector.asked_ns[0];
    assert_true(waited_ns >= 990 * MS);
}

/* Longer than a batch may take: no use in waiting. */
static void a_retry_after_beyond_patience_drops(void **state)
{
    static const struct http_stub_answer script[] = { { .code = 429,
                                                        .headers = "Retry-After: 3000\r\n" } };
    (void)state;
    collector_script(&collector, script, 1);
    OPEN(collector.port, "OTEL_BSP_EXPORT_TIMEOUT=20000");
    record(1);
    assert_true(collector_wait_requests(&collector, 1, PATIENCE_NS));
    record(1);
    assert_true(collector_wait_requests(&collector, 2, PATIENCE_NS));
    close_trace(PATIENCE_NS);
    assert_int_equal(dropped("unreachable"), 1);
    assert_int_equal(exported(), 1);
}

static void nothing_else_is_tried_again(void **state)
{
    static const int codes[] = { 400, 401, 404, 413, 418, 500, 501, 505, 301 };
    static struct http_stub_answer script[9];
    (void)state;
    for (size_t i = 0; i < 9; i++) {
        script[i] =
            (struct http_stub_answer){ .code = codes[i], .headers = "Location: /elsewhere\r\n" };
    }
    collector_script(&collector, script, 9);
    OPEN(collector.port, "OTEL_BSP_EXPORT_TIMEOUT=20000");
    for (size_t i = 0; i < 9; i++) {
        record(1);
        assert_true(collector_wait_requests(&collector, i + 1, PATIENCE_NS));
    }
    close_trace(PATIENCE_NS);
    assert_int_equal(collector.request_count, 9);
    assert_int_equal(dropped("refused"), 9);
    assert_int_equal(metric("meltica_trace_retries_total", NULL), 0);
}

static void a_partial_success_is_counted_and_final(void **state)
{
    static const uint8_t partial[] = { 0x0a, 0x08, 0x08, 0x03, 0x12, 0x04, 'f', 'u', 'l', 'l' };
    static const struct http_stub_answer script[] = {
        { .code = 200, .body = partial, .body_len = sizeof partial }
    };
    (void)state;
    collector_script(&collector, script, 1);
    OPEN(collector.port, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=5", "OTEL_BSP_SCHEDULE_DELAY=600000");
    record(5);
    assert_true(collector_wait_requests(&collector, 1, PATIENCE_NS));
    close_trace(PATIENCE_NS);
    assert_int_equal(collector.request_count, 1);
    assert_int_equal(exported(), 2);
    assert_int_equal(dropped("rejected"), 3);
}

/* An answer without an end, as of something that is no collector: its code counts, no more than its
 * beginning is read, and the batch does not go again and again until patience is over. */
static void an_answer_without_end_is_cut(void **state)
{
    static struct http_stub_answer script[1];
    const size_t len = (size_t)8 << 30; /* pages that nobody wrote to: they take no memory */
    void *body = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    (void)state;
    assert_true(body != MAP_FAILED);
    script[0] = (struct http_stub_answer){ .code = 200, .body = body, .body_len = len };
    collector_script(&collector, script, 1);
    OPEN(collector.port, "OTEL_EXPORTER_OTLP_TIMEOUT=5000", "OTEL_BSP_EXPORT_TIMEOUT=20000",
         TOGETHER);
    record(2);
    assert_true(collector_wait_requests(&collector, 1, PATIENCE_NS));
    close_trace(PATIENCE_NS);
    assert_int_equal(collector.request_count, 1);
    assert_int_equal(metric("meltica_trace_retries_total", NULL), 0);
    assert_int_equal(exported(), 2);
    collector_stop(&collector);
    assert_int_equal(munmap(body, len), 0);
    assert_true(collector_start(&collector, 0)); /* for the tear-down */
}

/* Nobody listens: tried until patience is over, then counted; the next batch goes the same way. */
static void a_collector_that_is_away(void **state)
{
    struct collector gone;
    (void)state;
    const uint16_t port = mlt_free_port();
    assert_true(port > 0);
    OPEN(port, "OTEL_BSP_EXPORT_TIMEOUT=4000");
    record(1);
    struct mlt_trace_stats s = stats();
    const int64_t until_ns = mlt_clock_mono_ns() + PATIENCE_NS;
    while (s.gave_up == 0 && mlt_clock_mono_ns() < until_ns) {
        s = stats();
    }
    assert_int_equal(s.gave_up, 1);
    assert_true(s.retries > 0);
    assert_true(collector_start(&gone, port));
    record(1); /* and when it is back */
    assert_true(collector_wait_requests(&gone, 1, PATIENCE_NS));
    close_trace(PATIENCE_NS);
    assert_int_equal(exported(), 1);
    assert_int_equal(dropped("unreachable"), 1);
    collector_stop(&gone);
}

/* A collector that never answers holds the exporter, not those who record. */
static void the_queue_is_bounded(void **state)
{
    static const struct http_stub_answer script[] = { { .code = 429,
                                                        .headers = "Retry-After: 600\r\n" } };
    (void)state;
    collector_script(&collector, script, 1);
    OPEN(collector.port, "OTEL_BSP_MAX_QUEUE_SIZE=10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=1",
         "OTEL_BSP_EXPORT_TIMEOUT=600000");
    /* patience is no longer than Retry-After, so it is given up at once; the next one is not. */
    record(1);
    assert_true(collector_wait_requests(&collector, 1, PATIENCE_NS));
    static struct http_stub_answer silent[1001];
    for (size_t i = 0; i < 1001; i++) {
        silent[i] = (struct http_stub_answer){ .code = 503, .headers = "Retry-After: 500\r\n" };
    }
    collector_script(&collector, silent, 1001);
    record(1);
    assert_true(collector_wait_requests(&collector, 2, PATIENCE_NS)); /* it waits 500 s now */
    const int64_t before_ns = mlt_clock_mono_ns();
    record(1000);
    assert_true(mlt_clock_mono_ns() - before_ns < 2 * MLT_NS_PER_S);
    const struct mlt_trace_stats s = stats();
    assert_int_equal(s.queued, 10);
    assert_int_equal(s.queue_full, 990);
    assert_int_equal(s.recorded, 1002);
    close_trace(0); /* the end does not wait for it */
    assert_int_equal(dropped("queue_full"), 990);
    assert_int_equal(dropped("unreachable"), 12);
    assert_true(mlt_clock_mono_ns() - before_ns < 10 * MLT_NS_PER_S);
}

static void what_is_off_takes_nothing(void **state)
{
    struct mlt_trace_config config = { .enabled = false };
    const struct mlt_trace_options options = { .instance = "x" };
    struct mlt_trace *off = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_native_event native = { .type = MLT_NATIVE_UNPARSED };
    struct mlt_event event = { .type = MLT_EVENT_STATUS, .trace_flags = 1 };
    struct mlt_trace_stats s;
    (void)state;
    assert_int_equal(mlt_trace_create(&config, &options, &off, &err), MLT_OK);
    assert_null(off);
    assert_int_equal(mlt_trace_begin_native(off, &native), 0);
    assert_false(mlt_trace_takes(off, &event));
    mlt_trace_native(off, &native, 1);
    mlt_trace_event(off, MLT_TRACE_PUBLISH, &event, 1, 2);
    mlt_trace_get_stats(off, &s);
    assert_int_equal(s.recorded, 0);
}

/* One event through four stages: one chain of parents, whatever process each stage is in. */
static void the_stages_of_an_event_are_a_chain(void **state)
{
    static const char *const names[] = { "send meltica.int.native", "process meltica.int.native",
                                         "process meltica.int.canonical",
                                         "publish meltica.data.{instrument}" };
    struct mlt_native_event native = { .instrument = mlt_slice_of_string("BTC-USDT"),
                                       .type = MLT_EVENT_TRADE,
                                       .received = 1000,
                                       .exchange = 900,
                                       .adapted = 1100 };
    struct mlt_event event = { .instrument = mlt_slice_of_string("BTC-USDT"),
                               .type = MLT_EVENT_TRADE,
                               .sequence = 5 };
    struct mlt_trace_context out;
    (void)state;
    OPEN(collector.port, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=4", "OTEL_BSP_SCHEDULE_DELAY=600000");
    memcpy(native.trace_id, "0123456789abcdef", 16);
    memcpy(event.trace_id, native.trace_id, 16);
    native.trace_flags = event.trace_flags = mlt_trace_begin_native(trace, &native);
    assert_int_equal(native.trace_flags, MLT_TRACE_SAMPLED);
    event.stamps = (struct mlt_stamps){ 1000, 900, 1100, 1200, 1300, 1400 };
    mlt_trace_native(trace, &native, 1150);
    mlt_trace_event(trace, MLT_TRACE_DISPATCH, &event, 1160, 1210);
    mlt_trace_event(trace, MLT_TRACE_CONDUCT, &event, 1220, 1310);
    mlt_trace_event(trace, MLT_TRACE_PUBLISH, &event, 1320, 1300); /* a clock set back */
    assert_true(collector_wait_requests(&collector, 1, PATIENCE_NS));
    assert_int_equal(collector.span_count, 4);
    for (size_t i = 0; i < 4; i++) {
        const struct collector_span *span = &collector.spans[i];
        assert_string_equal(span->name, names[i]);
        assert_memory_equal(span->trace_id, event.trace_id, 16);
        assert_int_equal(span->root, i == 0);
        assert_true(i == 0 || memcmp(span->parent, collector.spans[i - 1].span_id, 8) == 0);
        assert_true(span->end_ns >= span->start_ns);
        assert_string_equal(collector_attribute(span, "messaging.system"), "nats");
        assert_string_equal(collector_attribute(span, "meltica.instrument"), "BTC-USDT");
        assert_string_equal(collector_attribute(span, "meltica.event.type"), "TRADE");
    }
    assert_string_equal(collector_attribute(&collector.spans[3], "messaging.destination.name"),
                        "meltica.data.BTC-USDT");
    assert_string_equal(collector_attribute(&collector.spans[3], "messaging.destination.template"),
                        "meltica.data.{instrument}");
    mlt_trace_event_context(&event, MLT_TRACE_PUBLISH, &out);
    assert_memory_equal(out.span_id, collector.spans[3].span_id, 8);
}

/* The exchange says what time it is; a time at the end of 64 bits is not taken for one of now. */
static void an_age_stops_at_the_end_of_64_bits(void **state)
{
    struct mlt_native_event native = { .type = MLT_EVENT_TRADE,
                                       .received = mlt_clock_wall_ns(),
                                       .exchange = INT64_MIN + 1,
                                       .trace_flags = MLT_TRACE_SAMPLED };
    (void)state;
    OPEN(collector.port, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=1");
    memcpy(native.trace_id, "0123456789abcdef", 16);
    mlt_trace_native(trace, &native, native.received);
    assert_true(collector_wait_requests(&collector, 1, PATIENCE_NS));
    assert_string_equal(collector_attribute(&collector.spans[0], "meltica.exchange_age_ns"),
                        "9223372036854775807");
}

/* What is a change, or no event, is sampled by itself; HEADS, once a second, are neither. */
static void changes_and_refusals_are_always_sampled(void **state)
{
    struct mlt_native_event native = { .type = MLT_EVENT_TRADE };
    struct mlt_event event = { .type = MLT_EVENT_STATUS, .u.status.kind = MLT_STATUS_GAP };
    (void)state;
    OPEN(collector.port, "OTEL_TRACES_SAMPLER_ARG=");
    mlt_trace_destroy(trace, 0);
    mlt_metrics_destroy(metrics);
    trace = NULL;
    char endpoint[] = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1";
    char sampler[] = "OTEL_TRACES_SAMPLER=parentbased_always_off";
    char *environment[] = { endpoint, sampler, NULL };
    struct mlt_trace_config config;
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_trace_config_load(environment, "x", &config, &err), MLT_OK);
    assert_int_equal(mlt_metrics_create(&metrics), MLT_OK);
    const struct mlt_trace_options options = { .instance = "x" };
    assert_int_equal(mlt_trace_create(&config, &options, &trace, &err), MLT_OK);
    assert_int_equal(mlt_trace_begin_native(trace, &native), 0);
    native.type = MLT_NATIVE_UNPARSED;
    assert_int_equal(mlt_trace_begin_native(trace, &native), MLT_TRACE_SAMPLED);
    native.type = MLT_EVENT_STATUS;
    assert_int_equal(mlt_trace_begin_native(trace, &native), MLT_TRACE_SAMPLED);
    assert_true(mlt_trace_takes(trace, &event));
    event.u.status.kind = MLT_STATUS_HEADS;
    assert_false(mlt_trace_takes(trace, &event));
    event.type = MLT_EVENT_TRADE;
    assert_false(mlt_trace_takes(trace, &event));
    event.trace_flags = MLT_TRACE_SAMPLED;
    assert_true(mlt_trace_takes(trace, &event));
    mlt_trace_config_fini(&config);
}

/* ---- allocations of the thread that records ---- */

static _Thread_local size_t allocations;
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    allocations++;
    return __real_realloc(memory, size);
}

static void pass_an_event(struct mlt_trace *t)
{
    struct mlt_native_event native = { .instrument = mlt_slice_of_string("BTC-USDT"),
                                       .type = MLT_EVENT_TRADE };
    struct mlt_event event = { .instrument = mlt_slice_of_string("BTC-USDT"),
                               .type = MLT_EVENT_TRADE };
    event.trace_flags = native.trace_flags = mlt_trace_begin_native(t, &native);
    mlt_trace_native(t, &native, 1);
    for (int stage = MLT_TRACE_DISPATCH; stage <= MLT_TRACE_PUBLISH; stage++) {
        if (mlt_trace_takes(t, &event)) {
            mlt_trace_event(t, (enum mlt_trace_stage)stage, &event, 1, 2);
        }
    }
}

static void recording_allocates_nothing(void **state)
{
    (void)state;
    OPEN(collector.port, "OTEL_BSP_MAX_QUEUE_SIZE=64");
    const size_t before = allocations;
    assert_true(before > 0); /* they are counted */
    for (unsigned i = 0; i < 1000; i++) {
        pass_an_event(trace); /* also when it is full */
        pass_an_event(NULL);
    }
    assert_int_equal(allocations, before);
    assert_int_equal(stats().recorded, 4000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_batch_arrives),
        TEST(what_may_be_tried_again_is),
        TEST(retry_after_is_waited_for),
        TEST(a_retry_after_beyond_patience_drops),
        TEST(nothing_else_is_tried_again),
        TEST(a_partial_success_is_counted_and_final),
        TEST(an_answer_without_end_is_cut),
        TEST(a_collector_that_is_away),
        TEST(the_queue_is_bounded),
        TEST(what_is_off_takes_nothing),
        TEST(the_stages_of_an_event_are_a_chain),
        TEST(an_age_stops_at_the_end_of_64_bits),
        TEST(changes_and_refusals_are_always_sampled),
        TEST(recording_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
