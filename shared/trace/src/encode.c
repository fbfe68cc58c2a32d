/* Spans as messages of OTLP. Everything a batch needs is allocated once. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"
#include "meltica/base/buf.h"
#include "meltica/base/unconst.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"

#define REQUEST_BYTES_MAX (16u << 20)
#define HOST_BYTES_MAX 256u

typedef Opentelemetry__Proto__Common__V1__KeyValue key_value;
typedef Opentelemetry__Proto__Common__V1__AnyValue any_value;
typedef Opentelemetry__Proto__Trace__V1__Span otlp_span;

struct span_parts {
    otlp_span message;
    Opentelemetry__Proto__Trace__V1__Status status;
    Opentelemetry__Proto__Trace__V1__Span__Link link, *links[1];
    any_value values[MLT_SPAN_ATTRIBUTES_MAX];
    key_value pairs[MLT_SPAN_ATTRIBUTES_MAX];
    key_value *list[MLT_SPAN_ATTRIBUTES_MAX];
};

struct trace_encoder {
    size_t batch_max;
    struct mlt_trace_pair resource[MLT_TRACE_PAIRS_MAX];
    size_t resource_count;
    any_value resource_values[MLT_TRACE_PAIRS_MAX];
    key_value resource_pairs[MLT_TRACE_PAIRS_MAX];
    key_value *resource_list[MLT_TRACE_PAIRS_MAX];
    struct span_parts *parts;
    otlp_span **list;
    struct mlt_buf bytes;
};

static void fill_pair(key_value *pair, any_value *value, const char *key)
{
    opentelemetry__proto__common__v1__key_value__init(pair);
    opentelemetry__proto__common__v1__any_value__init(value);
    pair->key = mlt_unconst(key);
    pair->value = value;
}

static void fill_text(key_value *pair, any_value *value, const char *key, const char *text)
{
    fill_pair(pair, value, key);
    value->value_case = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_STRING_VALUE;
    value->string_value = mlt_unconst(text);
}

/* ---- resource ---- */

/* The configuration's words win over ours. */
static enum mlt_status add_resource(struct trace_encoder *e, const char *key, const char *value)
{
    for (size_t i = 0; i < e->resource_count; i++) {
        if (strcmp(e->resource[i].key, key) == 0) {
            return MLT_OK;
        }
    }
    return e->resource_count < MLT_TRACE_PAIRS_MAX && value[0] != '\0'
               ? trace_pair_set(e->resource, &e->resource_count, key, strlen(key), value, NULL)
               : MLT_OK;
}

static enum mlt_status make_resource(struct trace_encoder *e, const struct mlt_trace_config *config,
                                     const char *instance)
{
    char host[HOST_BYTES_MAX] = "";
    char pid[16];
    (void)snprintf(pid, sizeof pid, "%ld", (long)getpid());
    if (gethostname(host, sizeof host - 1) != 0) {
        host[0] = '\0';
    }
    enum mlt_status status = add_resource(e, "service.name", config->service_name);
    for (size_t i = 0; i < config->resource_count && status == MLT_OK; i++) {
        status = add_resource(e, config->resource[i].key, config->resource[i].value);
    }
    const struct {
        const char *key, *value;
    } ours[] = { { "service.instance.id", instance != NULL ? instance : "" },
                 { "service.version", MELTICA_VERSION },
                 { "host.name", host },
                 { "process.pid", pid } };
    for (size_t i = 0; i < sizeof ours / sizeof ours[0] && status == MLT_OK; i++) {
        status = add_resource(e, ours[i].key, ours[i].value);
    }
    for (size_t i = 0; i < e->resource_count; i++) {
        fill_text(&e->resource_pairs[i], &e->resource_values[i], e->resource[i].key,
                  e->resource[i].value);
        if (strcmp(e->resource[i].key, "process.pid") == 0) {
            e->resource_values[i].value_case =
                OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_INT_VALUE;
            e->resource_values[i].int_value = getpid();
        }
        e->resource_list[i] = &e->resource_pairs[i];
    }
    return status;
}

/* ---- spans ---- */

static void fill_attributes(struct span_parts *p, const struct mlt_span *span)
{
    for (size_t i = 0; i < span->attribute_count; i++) {
        const struct mlt_span_attribute *attribute = &span->attributes[i];
        if (attribute->is_text) {
            fill_text(&p->pairs[i], &p->values[i], attribute->key, span->text + attribute->at);
        } else {
            fill_pair(&p->pairs[i], &p->values[i], attribute->key);
            p->values[i].value_case = OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_INT_VALUE;
            p->values[i].int_value = attribute->number;
        }
        p->list[i] = &p->pairs[i];
    }
    p->message.n_attributes = span->attribute_count;
    p->message.attributes = p->list;
    p->message.dropped_attributes_count = span->attributes_dropped;
}

static void fill_link(struct span_parts *p, const struct mlt_trace_context *link)
{
    if (!mlt_span_id_set(link->span_id)) {
        return;
    }
    opentelemetry__proto__trace__v1__span__link__init(&p->link);
    p->link.trace_id.data = mlt_unconst(link->trace_id);
    p->link.trace_id.len = sizeof link->trace_id;
    p->link.span_id.data = mlt_unconst(link->span_id);
    p->link.span_id.len = sizeof link->span_id;
    p->link.flags = link->flags;
    p->links[0] = &p->link;
    p->message.n_links = 1;
    p->message.links = p->links;
}

static void fill_span(struct span_parts *p, const struct mlt_span *span)
{
    otlp_span *message = &p->message;
    opentelemetry__proto__trace__v1__span__init(message);
    message->trace_id.data = mlt_unconst(span->context.trace_id);
    message->trace_id.len = sizeof span->context.trace_id;
    message->span_id.data = mlt_unconst(span->context.span_id);
    message->span_id.len = sizeof span->context.span_id;
    if (mlt_span_id_set(span->parent)) {
        message->parent_span_id.data = mlt_unconst(span->parent);
        message->parent_span_id.len = sizeof span->parent;
    }
    message->flags = span->context.flags;
    message->name = mlt_unconst(span->name);
    message->kind = (Opentelemetry__Proto__Trace__V1__Span__SpanKind)span->kind;
    message->start_time_unix_nano = (uint64_t)span->start_ns;
    message->end_time_unix_nano = (uint64_t)span->end_ns;
    fill_attributes(p, span);
    fill_link(p, &span->link);
    if (span->failed) {
        opentelemetry__proto__trace__v1__status__init(&p->status);
        p->status.code = OPENTELEMETRY__PROTO__TRACE__V1__STATUS__STATUS_CODE__STATUS_CODE_ERROR;
        message->status = &p->status;
    }
}

enum mlt_status trace_encode(struct trace_encoder *e, const struct mlt_span *spans, size_t count,
                             struct mlt_slice *out)
{
    Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest request;
    Opentelemetry__Proto__Trace__V1__ResourceSpans of_resource, *resources[1] = { &of_resource };
    Opentelemetry__Proto__Trace__V1__ScopeSpans of_scope, *scopes[1] = { &of_scope };
    Opentelemetry__Proto__Resource__V1__Resource resource;
    Opentelemetry__Proto__Common__V1__InstrumentationScope scope;
    opentelemetry__proto__collector__trace__v1__export_trace_service_request__init(&request);
    opentelemetry__proto__trace__v1__resource_spans__init(&of_resource);
    opentelemetry__proto__trace__v1__scope_spans__init(&of_scope);
    opentelemetry__proto__resource__v1__resource__init(&resource);
    opentelemetry__proto__common__v1__instrumentation_scope__init(&scope);
    if (count > e->batch_max) {
        return MLT_E_INVALID;
    }
    for (size_t i = 0; i < count; i++) {
        fill_span(&e->parts[i], &spans[i]);
        e->list[i] = &e->parts[i].message;
    }
    scope.name = mlt_unconst("meltica");
    scope.version = mlt_unconst(MELTICA_VERSION);
    of_scope.scope = &scope;
    of_scope.n_spans = count;
    of_scope.spans = e->list;
    resource.n_attributes = e->resource_count;
    resource.attributes = e->resource_list;
    of_resource.resource = &resource;
    of_resource.n_scope_spans = 1;
    of_resource.scope_spans = scopes;
    request.n_resource_spans = 1;
    request.resource_spans = resources;
    mlt_buf_clear(&e->bytes);
    const enum mlt_status status = mlt_buf_reserve(
        &e->bytes,
        opentelemetry__proto__collector__trace__v1__export_trace_service_request__get_packed_size(
            &request));
    if (status == MLT_OK) {
        e->bytes.len =
            opentelemetry__proto__collector__trace__v1__export_trace_service_request__pack(
                &request, e->bytes.data);
        *out = mlt_buf_view(&e->bytes);
    }
    return status;
}

bool trace_decode_answer(struct mlt_slice bytes, uint64_t *rejected, char *text, size_t size)
{
    *rejected = 0;
    text[0] = '\0';
    Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceResponse *answer =
        opentelemetry__proto__collector__trace__v1__export_trace_service_response__unpack(
            NULL, bytes.len, bytes.data);
    if (answer == NULL) {
        return false;
    }
    if (answer->partial_success != NULL) {
        const int64_t said = answer->partial_success->rejected_spans;
        *rejected = said > 0 ? (uint64_t)said : 0;
        (void)snprintf(text, size, "%s", answer->partial_success->error_message);
    }
    opentelemetry__proto__collector__trace__v1__export_trace_service_response__free_unpacked(answer,
                                                                                             NULL);
    return true;
}

/* ---- life ---- */

enum mlt_status trace_encoder_create(const struct mlt_trace_config *config, const char *instance,
                                     struct trace_encoder **encoder)
{
    struct trace_encoder *e = calloc(1, sizeof *e);
    if (e == NULL) {
        return MLT_E_NOMEM;
    }
    e->batch_max = config->batch_max;
    mlt_buf_init(&e->bytes, REQUEST_BYTES_MAX);
    e->parts = calloc(config->batch_max, sizeof *e->parts);
    e->list = calloc(config->batch_max, sizeof(otlp_span *));
    enum mlt_status status = e->parts != NULL && e->list != NULL ? MLT_OK : MLT_E_NOMEM;
    if (status == MLT_OK) {
        status = make_resource(e, config, instance);
    }
    if (status != MLT_OK) {
        trace_encoder_destroy(e);
        return status;
    }
    *encoder = e;
    return MLT_OK;
}

void trace_encoder_destroy(struct trace_encoder *encoder)
{
    if (encoder == NULL) {
        return;
    }
    for (size_t i = 0; i < encoder->resource_count; i++) {
        free(encoder->resource[i].key);
        free(encoder->resource[i].value);
    }
    mlt_buf_fini(&encoder->bytes);
    free(encoder->parts);
    free(encoder->list);
    free(encoder);
}
