/* Trace contexts, the spans of events, and what a batch is on the wire: by the standard's own
 * definition, read by protoc. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mlt_test.h"

#include "internal.h"
#include "meltica/base/clock.h"

static const uint8_t trace_id[MLT_TRACE_ID_BYTES] = { 0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3,
                                                      0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d,
                                                      0x0e, 0x0e, 0x47, 0x36 };
#define LATER "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-else"
#define EXAMPLE "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

/* ---- context ---- */

static void traceparent(void **state)
{
    static const uint8_t span_id[MLT_SPAN_ID_BYTES] = { 0x00, 0xf0, 0x67, 0xaa,
                                                        0x0b, 0xa9, 0x02, 0xb7 };
    struct mlt_trace_context context;
    char text[MLT_TRACEPARENT_BYTES];
    (void)state;
    assert_true(mlt_traceparent_parse(EXAMPLE, &context));
    assert_memory_equal(context.trace_id, trace_id, sizeof trace_id);
    assert_memory_equal(context.span_id, span_id, sizeof span_id);
    assert_int_equal(context.flags, MLT_TRACE_SAMPLED);
    mlt_traceparent_format(&context, text);
    assert_string_equal(text, EXAMPLE);
    /* Of a version that is not known yet the known part counts. */
    assert_true(mlt_traceparent_parse(LATER, &context));
}

static void wrong_traceparents(void **state)
{
    static const char *const wrong[] = {
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736+00f067aa0ba902b7-01",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
        "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
    };
    struct mlt_trace_context context;
    (void)state;
    assert_false(mlt_traceparent_parse(NULL, &context));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        memset(&context, 0xff, sizeof context);
        assert_false(mlt_traceparent_parse(wrong[i], &context));
        assert_int_equal(context.flags, 0);
        assert_false(mlt_span_id_set(context.span_id));
    }
}

static void stage_spans(void **state)
{
    uint8_t ids[6][MLT_SPAN_ID_BYTES], again[MLT_SPAN_ID_BYTES];
    uint8_t other[MLT_TRACE_ID_BYTES];
    (void)state;
    memcpy(other, trace_id, sizeof other);
    other[0] ^= 1;
    mlt_trace_stage_span(trace_id, MLT_TRACE_ADAPT, MLT_EVENT_TRADE, 0, ids[0]);
    mlt_trace_stage_span(trace_id, MLT_TRACE_DISPATCH, MLT_EVENT_TRADE, 0, ids[1]);
    mlt_trace_stage_span(trace_id, MLT_TRACE_CONDUCT, MLT_EVENT_BOOK_DELTA, 7, ids[2]);
    mlt_trace_stage_span(trace_id, MLT_TRACE_CONDUCT, MLT_EVENT_BOOK, 7, ids[3]);
    mlt_trace_stage_span(trace_id, MLT_TRACE_CONDUCT, MLT_EVENT_BOOK, 8, ids[4]);
    mlt_trace_stage_span(other, MLT_TRACE_ADAPT, MLT_EVENT_TRADE, 0, ids[5]);
    for (size_t a = 0; a < 6; a++) {
        assert_true(mlt_span_id_set(ids[a]));
        for (size_t b = 0; b < a; b++) {
            assert_memory_not_equal(ids[a], ids[b], MLT_SPAN_ID_BYTES);
        }
    }
    /* The Dispatcher's is the same for a delta and for the BOOK that it becomes part of. */
    mlt_trace_stage_span(trace_id, MLT_TRACE_DISPATCH, MLT_EVENT_BOOK, 9, again);
    assert_memory_equal(ids[1], again, sizeof again);
}

/* ---- a span ---- */

static void a_span_never_grows(void **state)
{
    static char text[MLT_SPAN_TEXT_BYTES_MAX + 10];
    struct mlt_span span;
    (void)state;
    memset(text, 'x', sizeof text);
    mlt_span_begin(&span, "a", MLT_SPAN_SERVER, NULL, 5);
    assert_true(mlt_span_id_set(span.context.span_id));
    assert_false(mlt_span_id_set(span.parent));
    mlt_span_text(&span, "big", mlt_slice_of(text, sizeof text));
    assert_int_equal(span.attribute_count, 0);
    assert_int_equal(span.attributes_dropped, 1);
    for (unsigned i = 0; i < MLT_SPAN_ATTRIBUTES_MAX + 3; i++) {
        mlt_span_number(&span, "n", i);
    }
    assert_int_equal(span.attribute_count, MLT_SPAN_ATTRIBUTES_MAX);
    assert_int_equal(span.attributes_dropped, 4);
    struct mlt_span child;
    mlt_span_begin(&child, "b", MLT_SPAN_CLIENT, &span.context, 6);
    assert_memory_equal(child.context.trace_id, span.context.trace_id, MLT_TRACE_ID_BYTES);
    assert_memory_equal(child.parent, span.context.span_id, MLT_SPAN_ID_BYTES);
    assert_memory_not_equal(child.context.span_id, span.context.span_id, MLT_SPAN_ID_BYTES);
}

/* ---- the wire ---- */

static void load_config(struct mlt_trace_config *config)
{
    char attributes[] = "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=unit";
    char exporter[] = "OTEL_TRACES_EXPORTER=otlp";
    char batch[] = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=3";
    char *environment[] = { attributes, exporter, batch, NULL };
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_trace_config_load(environment, "meltica-test", config, &err), MLT_OK);
}

/* protoc's text of an ExportTraceServiceRequest. */
static void decode(struct mlt_slice bytes, char *text, size_t size)
{
    char path[] = "/tmp/meltica-otlp-XXXXXX", command[1024];
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.data, bytes.len), bytes.len);
    (void)close(fd);
    (void)snprintf(command, sizeof command,
                   "%s -I %s "
                   "--decode=opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest "
                   "opentelemetry/proto/collector/trace/v1/trace_service.proto < %s",
                   PROTOC, OTLP_PROTO_DIR, path);
    FILE *pipe = popen(command, "r"); /* NOLINT(cert-env33-c): a test's own command */
    if (pipe == NULL) {
        fail_msg("%s", command);
        return;
    }
    const size_t len = fread(text, 1, size - 1, pipe);
    text[len] = '\0';
    assert_int_equal(pclose(pipe), 0);
    (void)unlink(path);
}

static void expect(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("missing: %s\nin: %s", part, text);
    }
}

static void protoc_reads_a_batch(void **state)
{
    static char text[65536];
    struct mlt_trace_config config;
    struct trace_encoder *encoder = NULL;
    struct mlt_span spans[2];
    struct mlt_trace_context parent;
    struct mlt_slice bytes;
    (void)state;
    load_config(&config);
    assert_int_equal(trace_encoder_create(&config, "test-3", &encoder), MLT_OK);
    assert_true(mlt_traceparent_parse(EXAMPLE, &parent));
    mlt_span_begin(&spans[0], "process x", MLT_SPAN_CONSUMER, &parent, 1700000000000000001);
    spans[0].end_ns = 1700000000000000003;
    memcpy(spans[0].context.span_id, "SPANSPAN", 8);
    spans[0].link = parent;
    mlt_span_text(&spans[0], "messaging.system", mlt_slice_of_string("nats"));
    mlt_span_number(&spans[0], "meltica.sequence", -12);
    mlt_span_fail(&spans[0], mlt_slice_of_string("no_ack"));
    mlt_span_begin(&spans[1], "root", MLT_SPAN_INTERNAL, NULL, 1);
    spans[1].end_ns = 2;
    assert_int_equal(trace_encode(encoder, spans, 2, &bytes), MLT_OK);
    decode(bytes, text, sizeof text);
    expect(text, "key: \"service.name\"\n      value {\n        string_value: \"meltica-test\"");
    expect(text, "string_value: \"test-3\"");
    expect(text, "key: \"deployment.environment.name\"");
    expect(text, "name: \"meltica\"");
    expect(text, "trace_id: \"K\\371/5w\\263M\\246\\243\\316\\222\\235\\016\\016G6\"\n"
                 "      span_id: \"SPANSPAN\"\n"
                 "      parent_span_id: \"\\000\\360g\\252\\013\\251\\002\\267\"\n"
                 "      name: \"process x\"\n"
                 "      kind: SPAN_KIND_CONSUMER\n"
                 "      start_time_unix_nano: 1700000000000000001\n"
                 "      end_time_unix_nano: 1700000000000000003\n");
    expect(text, "key: \"meltica.sequence\"\n        value {\n          int_value: -12");
    expect(text, "key: \"error.type\"\n        value {\n          string_value: \"no_ack\"");
    expect(text,
           "links {\n        trace_id: \"K\\371/5w\\263M\\246\\243\\316\\222\\235\\016\\016G6\"");
    expect(text, "code: STATUS_CODE_ERROR");
    expect(text, "STATUS_CODE_ERROR\n      }\n      flags: 1\n"); /* the span's */
    /* Nothing that the standard's definition does not know: protoc would print numbers. */
    assert_null(strstr(text, "\n1: "));
    /* The root has no parent. */
    const char *root = strstr(text, "name: \"root\"");
    assert_non_null(root);
    const char *begin = root;
    while (strncmp(begin, "spans {", 7) != 0) {
        begin--;
    }
    const char *of_parent = strstr(begin, "parent_span_id");
    assert_true(of_parent == NULL || of_parent > root);
    assert_int_equal(trace_encode(encoder, spans, 4, &bytes), MLT_E_INVALID); /* above the batch */
    trace_encoder_destroy(encoder);
    mlt_trace_config_fini(&config);
}

static void answers(void **state)
{
    /* partial_success { rejected_spans: 3 error_message: "full" } */
    static const uint8_t partial[] = { 0x0a, 0x08, 0x08, 0x03, 0x12, 0x04, 'f', 'u', 'l', 'l' };
    uint64_t rejected = 9;
    char text[16];
    (void)state;
    assert_true(trace_decode_answer(MLT_SLICE_EMPTY, &rejected, text, sizeof text));
    assert_int_equal(rejected, 0);
    assert_true(
        trace_decode_answer(mlt_slice_of(partial, sizeof partial), &rejected, text, sizeof text));
    assert_int_equal(rejected, 3);
    assert_string_equal(text, "full");
    assert_false(trace_decode_answer(mlt_slice_of_string("<html>"), &rejected, text, sizeof text));
    assert_int_equal(rejected, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(traceparent),          cmocka_unit_test(wrong_traceparents),
        cmocka_unit_test(stage_spans),          cmocka_unit_test(a_span_never_grows),
        cmocka_unit_test(protoc_reads_a_batch), cmocka_unit_test(answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
