#include "mlt_collector.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/trace/context.h"
#include "opentelemetry/proto/collector/trace/v1/trace_service.pb-c.h"

#define BODY_BYTES_MAX (16u << 20)

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

static bool read_all(int fd, void *data, size_t len)
{
    uint8_t *p = data;
    while (len > 0) {
        const ssize_t got = read(fd, p, len);
        if (got <= 0) {
            return false;
        }
        p += got;
        len -= (size_t)got;
    }
    return true;
}

static bool read_head(int fd, char *head, size_t size)
{
    size_t len = 0;
    while (len + 1 < size && read_all(fd, head + len, 1)) {
        head[++len] = '\0';
        if (len >= 4 && memcmp(head + len - 4, "\r\n\r\n", 4) == 0) {
            return true;
        }
    }
    return false;
}

static void write_all(int fd, const void *data, size_t len)
{
    const uint8_t *p = data;
    while (len > 0) {
        const ssize_t sent = send(fd, p, len, MSG_NOSIGNAL);
        if (sent <= 0) {
            return;
        }
        p += sent;
        len -= (size_t)sent;
    }
}

static void serve(struct collector *c, int fd)
{
    char head[COLLECTOR_HEAD_BYTES_MAX];
    if (!read_head(fd, head, sizeof head)) {
        return;
    }
    const char *length = strcasestr(head, "\r\nContent-Length:");
    const size_t len = length != NULL ? strtoul(length + 17, NULL, 10) : 0;
    uint8_t *body = malloc(len + 1);
    if (body == NULL || len > BODY_BYTES_MAX || !read_all(fd, body, len)) {
        free(body);
        return;
    }
    struct collector_answer answer = { .code = 200 };
    (void)pthread_mutex_lock(&c->lock);
    if (c->request_count < c->script_len) {
        answer = c->script[c->request_count];
    }
    if (c->request_count < COLLECTOR_REQUESTS_MAX) {
        c->asked_ns[c->request_count] = mlt_clock_mono_ns();
    }
    c->request_count++;
    memcpy(c->head, head, sizeof head);
    free(c->body);
    c->body = body;
    c->body_len = len;
    if (answer.code == 200 && !take_request(c) && c->wrong == NULL) {
        c->wrong = "a body that is no ExportTraceServiceRequest";
    }
    (void)pthread_cond_broadcast(&c->changed);
    (void)pthread_mutex_unlock(&c->lock);
    if (answer.code == 0) {
        return;
    }
    char text[512];
    const int text_len =
        snprintf(text, sizeof text,
                 "HTTP/1.1 %d Scripted\r\nContent-Type: application/x-protobuf\r\n"
                 "Connection: close\r\nContent-Length: %zu\r\n%s\r\n",
                 answer.code, answer.body_len, answer.headers != NULL ? answer.headers : "");
    write_all(fd, text, (size_t)text_len);
    write_all(fd, answer.body, answer.body_len);
}

static void *run(void *argument)
{
    struct collector *c = argument;
    int fd = -1;
    while ((fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        if (!atomic_load(&c->stopping)) {
            serve(c, fd);
        }
        (void)close(fd);
    }
    return NULL;
}

bool collector_start(struct collector *c, uint16_t port)
{
    const int yes = 1;
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    memset(c, 0, sizeof *c);
    atomic_init(&c->stopping, false);
    (void)pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&c->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    c->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->listen_fd < 0 ||
        setsockopt(c->listen_fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(c->listen_fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(c->listen_fd, 64) != 0 ||
        getsockname(c->listen_fd, (struct sockaddr *)&address, &size) != 0) {
        return false;
    }
    c->port = ntohs(address.sin_port);
    return pthread_create(&c->thread, NULL, run, c) == 0;
}

void collector_stop(struct collector *c)
{
    atomic_store(&c->stopping, true);
    (void)shutdown(c->listen_fd, SHUT_RDWR); /* accept returns */
    (void)pthread_join(c->thread, NULL);
    (void)close(c->listen_fd);
    free(c->body);
    free(c->spans);
    (void)pthread_cond_destroy(&c->changed);
    (void)pthread_mutex_destroy(&c->lock);
}

void collector_script(struct collector *c, const struct collector_answer *answers, size_t count)
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
