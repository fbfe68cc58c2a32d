#include "mlt_collector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "meltica/base/clock.h"
#include "meltica/trace/context.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"

typedef Opentelemetry__Proto__Common__V1__KeyValue key_value;

/* ---- what was sent ---- */

static void add_attribute(struct collector_span *span, const key_value *pair)
{
    const size_t len = strlen(span->attributes);
    char *out = span->attributes + len;
    const size_t room = sizeof span->attributes - len;
    if (pair->value == NULL) {
        return;
    }
    if (pair->value->value_case ==
        OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_STRING_VALUE) {
        (void)snprintf(out, room, "%s=%s\n", pair->key, pair->value->string_value);
    } else if (pair->value->value_case ==
               OPENTELEMETRY__PROTO__COMMON__V1__ANY_VALUE__VALUE_INT_VALUE) {
        (void)snprintf(out, room, "%s=%lld\n", pair->key, (long long)pair->value->int_value);
    }
}

static bool take_span(struct collector *c, const char *service,
                      const Opentelemetry__Proto__Trace__V1__Span *span)
{
    if (span->trace_id.len != 16 || span->span_id.len != 8 ||
        (span->parent_span_id.len != 0 && span->parent_span_id.len != 8)) {
        return false;
    }
    if (c->span_count == c->span_room) {
        c->span_room = c->span_room > 0 ? 2 * c->span_room : 1024;
        struct collector_span *more = realloc(c->spans, c->span_room * sizeof *more);
        if (more == NULL) {
            abort();
        }
        c->spans = more;
    }
    struct collector_span *to = &c->spans[c->span_count++];
    memset(to, 0, sizeof *to);
    memcpy(to->trace_id, span->trace_id.data, 16);
    memcpy(to->span_id, span->span_id.data, 8);
    to->root = span->parent_span_id.len == 0;
    if (!to->root) {
        memcpy(to->parent, span->parent_span_id.data, 8);
    }
    to->kind = (unsigned)span->kind;
    to->failed = span->status != NULL && span->status->code == 2;
    to->start_ns = span->start_time_unix_nano;
    to->end_ns = span->end_time_unix_nano;
    (void)snprintf(to->name, sizeof to->name, "%s", span->name);
    (void)snprintf(to->service, sizeof to->service, "%s", service);
    for (size_t i = 0; i < span->n_attributes; i++) {
        add_attribute(to, span->attributes[i]);
    }
    if (span->n_links > 0 && span->links[0]->trace_id.len == 16 &&
        span->links[0]->span_id.len == 8) {
        struct mlt_trace_context link = { .flags = 1 };
        memcpy(link.trace_id, span->links[0]->trace_id.data, 16);
        memcpy(link.span_id, span->links[0]->span_id.data, 8);
        mlt_traceparent_format(&link, to->link);
    }
    return true;
}

static bool take_request(struct collector *c)
{
    Opentelemetry__Proto__Collector__Trace__V1__ExportTraceServiceRequest *request =
        opentelemetry__proto__collector__trace__v1__export_trace_service_request__unpack(
            NULL, c->body_len, c->body);
    bool good = request != NULL;
    for (size_t r = 0; good && r < request->n_resource_spans; r++) {
        const Opentelemetry__Proto__Trace__V1__ResourceSpans *of = request->resource_spans[r];
        const char *service = "";
        for (size_t a = 0; of->resource != NULL && a < of->resource->n_attributes; a++) {
            if (strcmp(of->resource->attributes[a]->key, "service.name") == 0) {
                service = of->resource->attributes[a]->value->string_value;
            }
        }
        for (size_t s = 0; s < of->n_scope_spans; s++) {
            for (size_t n = 0; n < of->scope_spans[s]->n_spans; n++) {
                good = good && take_span(c, service, of->scope_spans[s]->spans[n]);
            }
        }
    }
    if (request != NULL) {
        opentelemetry__proto__collector__trace__v1__export_trace_service_request__free_unpacked(
            request, NULL);
    }
    return good;
}

/* ---- the server ---- */

static struct http_stub_answer take(void *ctx, const char *head, const void *body, size_t len)
{
    struct collector *c = ctx;
    struct http_stub_answer answer = { .code = 200 };
    uint8_t *kept = malloc(len + 1);
    if (kept == NULL) {
        abort();
    }
    memcpy(kept, body, len);
    (void)pthread_mutex_lock(&c->lock);
    if (c->request_count < c->script_len) {
        answer = c->script[c->request_count];
    }
    if (c->request_count < COLLECTOR_REQUESTS_MAX) {
        c->asked_ns[c->request_count] = mlt_clock_mono_ns();
    }
    c->request_count++;
    (void)snprintf(c->head, sizeof c->head, "%s", head);
    free(c->body);
    c->body = kept;
    c->body_len = len;
    if (answer.code == 200 && !take_request(c) && c->wrong == NULL) {
        c->wrong = "a body that is no ExportTraceServiceRequest";
    }
    (void)pthread_cond_broadcast(&c->changed);
    (void)pthread_mutex_unlock(&c->lock);
    (void)snprintf(c->headers, sizeof c->headers, "Content-Type: application/x-protobuf\r\n%s",
                   answer.headers != NULL ? answer.headers : "");
    answer.headers = c->headers;
    return answer;
}

bool collector_start(struct collector *c, uint16_t port)
{
    memset(c, 0, sizeof *c);
    (void)pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&c->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    const bool up = http_stub_start(&c->http, port, take, c);
    c->port = c->http.port;
    return up;
}

void collector_stop(struct collector *c)
{
    http_stub_stop(&c->http);
    free(c->body);
    free(c->spans);
    (void)pthread_cond_destroy(&c->changed);
    (void)pthread_mutex_destroy(&c->lock);
}

void collector_script(struct collector *c, const struct http_stub_answer *answers, size_t count)
{
    (void)pthread_mutex_lock(&c->lock);
    c->script = answers;
    c->script_len = count;
    (void)pthread_mutex_unlock(&c->lock);
}

bool collector_wait(struct collector *c, bool (*seen)(struct collector *collector, void *ctx),
                    void *ctx, int64_t timeout_ns)
{
    const int64_t at_ns = mlt_clock_mono_ns() + timeout_ns;
    const struct timespec at = { .tv_sec = (time_t)(at_ns / MLT_NS_PER_S),
                                 .tv_nsec = (long)(at_ns % MLT_NS_PER_S) };
    (void)pthread_mutex_lock(&c->lock);
    bool is = seen(c, ctx);
    while (!is && pthread_cond_timedwait(&c->changed, &c->lock, &at) == 0) {
        is = seen(c, ctx);
    }
    (void)pthread_mutex_unlock(&c->lock);
    return is;
}

static bool has_requests(struct collector *c, void *ctx)
{
    return c->request_count >= *(const size_t *)ctx;
}

bool collector_wait_requests(struct collector *c, size_t count, int64_t timeout_ns)
{
    return collector_wait(c, has_requests, &count, timeout_ns);
}

const struct collector_span *collector_find(const struct collector *c, const uint8_t *trace_id,
                                            const char *name, const struct collector_span *after)
{
    for (size_t i = after != NULL ? (size_t)(after - c->spans) + 1 : 0; i < c->span_count; i++) {
        if ((trace_id == NULL || memcmp(c->spans[i].trace_id, trace_id, 16) == 0) &&
            strcmp(c->spans[i].name, name) == 0) {
            return &c->spans[i];
        }
    }
    return NULL;
}

const char *collector_attribute(const struct collector_span *span, const char *key)
{
    static char values[4][256];
    static unsigned next;
    char *out = values[next++ % 4];
    const size_t len = strlen(key);
    out[0] = '\0';
    for (const char *line = span->attributes; *line != '\0'; line += strcspn(line, "\n") + 1) {
        if (strncmp(line, key, len) == 0 && line[len] == '=') {
            (void)snprintf(out, sizeof values[0], "%.*s", (int)strcspn(line + len + 1, "\n"),
                           line + len + 1);
            break;
        }
    }
    return out;
}
