/* Readiness, the HTTP pages, the endpoint `status` and the mirror of the connections in the
 * metrics. */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "meltica/base/clock.h"
#include "meltica/base/log.h"

/* ---- readiness ---- */

static void add_missing(char *missing, const char *reason)
{
    const size_t len = strlen(missing);
    (void)snprintf(missing + len, SERVICE_REASON_BYTES_MAX - len, "%s%s", len > 0 ? ", " : "",
                   reason);
}

static void find_missing(struct mlt_service *service, char *missing)
{
    const char *reason = NULL;
    missing[0] = '\0';
    if (service->phase == PHASE_STARTING) {
        add_missing(missing, "starting");
        return;
    }
    if (service->phase == PHASE_DRAINING) {
        add_missing(missing, "draining");
        return;
    }
    if (!mlt_bus_connected(service->buses[BUS_DATA].bus) ||
        !mlt_bus_connected(service->buses[BUS_CONTROL].bus)) {
        add_missing(missing, "nats");
    }
    for (size_t i = 0; i < BUS_COUNT; i++) {
        char said[SERVICE_REASON_BYTES_MAX - 8];
        if (mlt_bus_deaf(service->buses[i].bus, said, sizeof said)) {
            add_missing(missing, "nats: ");
            (void)strncat(missing, said, SERVICE_REASON_BYTES_MAX - 1 - strlen(missing));
        }
    }
    if (service->spec->ready != NULL && !service->spec->ready(service->state, &reason)) {
        add_missing(missing, reason != NULL ? reason : "service");
    }
}

static const char *state_word(const struct mlt_service *service)
{
    switch (service->phase) {
    case PHASE_STARTING:
        return "starting";
    case PHASE_RUNNING:
        return service->ready ? "ready" : "not_ready";
    case PHASE_DRAINING:
        return "draining";
    }
    return "";
}

bool mlt_service_evaluate(struct mlt_service *service)
{
    char missing[SERVICE_REASON_BYTES_MAX];
    find_missing(service, missing);
    if (strcmp(missing, service->missing) != 0) {
        memcpy(service->missing, missing, sizeof missing);
        service->ready = missing[0] == '\0';
        mlt_gauge_set(service->ready_gauge, service->ready ? 1 : 0);
        if (service->ready) {
            mlt_log(MLT_LOG_INFO, "ready", "the service does its work",
                    MLT_S("boot", service->boot_text));
        } else if (service->phase == PHASE_RUNNING) {
            mlt_log(MLT_LOG_WARN, "not_ready", "the service cannot do its work",
                    MLT_S("missing", missing));
        }
    }
    (void)pthread_mutex_lock(&service->status_lock);
    service->status_ready = service->ready;
    service->status_word = state_word(service);
    memcpy(service->status_missing, service->missing, sizeof service->status_missing);
    (void)pthread_mutex_unlock(&service->status_lock);
    return service->ready;
}

/* ---- metrics ---- */

static void mirror_bus(struct bus_slot *slot)
{
    struct mlt_bus_stats stats;
    if (slot->bus == NULL) {
        return;
    }
    mlt_bus_get_stats(slot->bus, &stats);
    mlt_gauge_set(slot->connected, mlt_bus_connected(slot->bus) ? 1 : 0);
    mlt_counter_set(slot->reconnects, stats.reconnects);
    mlt_counter_set(slot->disconnects, stats.disconnects);
    mlt_counter_set(slot->attempts_failed, stats.attempts_failed);
    mlt_counter_set(slot->published, stats.published);
    mlt_counter_set(slot->published_bytes, stats.published_bytes);
    mlt_counter_set(slot->received, stats.received);
    mlt_counter_set(slot->received_bytes, stats.received_bytes);
    mlt_counter_set(slot->dropped, stats.slow_consumer_dropped);
    mlt_counter_set(slot->refused, stats.refused_full);
    mlt_counter_set(slot->errors, stats.errors);
    mlt_gauge_set(slot->unwritten, (int64_t)stats.unwritten_bytes);
    mlt_gauge_set(slot->waiting, (int64_t)stats.waiting);
    mlt_gauge_set(slot->waiting_bytes, (int64_t)stats.waiting_bytes);
    mlt_gauge_raise(slot->waiting_max, (int64_t)stats.waiting_max);
    mlt_gauge_set(slot->subscriptions_refused, (int64_t)stats.subscriptions_refused);
}

static void make_bus_metrics(struct mlt_service *service, enum bus_place place)
{
    const char *labels = place == BUS_DATA ? "connection=\"data\"" : "connection=\"control\"";
    struct mlt_metrics *m = service->metrics;
    struct bus_slot *slot = &service->buses[place];
    slot->connected = mlt_metrics_gauge(m, "meltica_nats_connected",
                                        "1 while the connection to NATS is up", labels);
    slot->reconnects = mlt_metrics_counter(m, "meltica_nats_reconnects_total",
                                           "Times the connection came back", labels);
    slot->disconnects = mlt_metrics_counter(m, "meltica_nats_disconnects_total",
                                            "Times the connection was lost", labels);
    slot->attempts_failed =
        mlt_metrics_counter(m, "meltica_nats_attempts_failed_total",
                            "Attempts to connect that found no server, or were refused", labels);
    slot->published = mlt_metrics_counter(m, "meltica_nats_published_total",
                                          "Messages handed to the connection", labels);
    slot->published_bytes = mlt_metrics_counter(m, "meltica_nats_published_bytes_total",
                                                "Payload bytes handed to the connection", labels);
    slot->received =
        mlt_metrics_counter(m, "meltica_nats_received_total", "Messages received", labels);
    slot->received_bytes = mlt_metrics_counter(m, "meltica_nats_received_bytes_total",
                                               "Payload bytes received", labels);
    slot->dropped = mlt_metrics_counter(m, "meltica_nats_dropped_total",
                                        "Messages that our own receive limits dropped", labels);
    slot->refused =
        mlt_metrics_counter(m, "meltica_nats_refused_total",
                            "Messages refused because the send buffer was full", labels);
    slot->errors = mlt_metrics_counter(m, "meltica_nats_errors_total",
                                       "Asynchronous errors of the connection", labels);
    slot->unwritten = mlt_metrics_gauge(m, "meltica_nats_unwritten_bytes",
                                        "Bytes handed over and not yet written", labels);
    slot->waiting = mlt_metrics_gauge(m, "meltica_nats_queue_messages",
                                      "Messages received that wait for their handler", labels);
    slot->waiting_bytes = mlt_metrics_gauge(
        m, "meltica_nats_queue_bytes", "Bytes of messages that wait for their handler", labels);
    slot->waiting_max = mlt_metrics_gauge(m, "meltica_nats_queue_high_water_messages",
                                          "Most messages that waited for one handler", labels);
    slot->subscriptions_refused =
        mlt_metrics_gauge(m, "meltica_nats_subscriptions_refused",
                          "Subscriptions that the server refuses to this user now", labels);
    slot->echo =
        mlt_metrics_histogram(m, "meltica_nats_echo_seconds",
                              "Of a message to the server and back to our handler", labels);
}

enum mlt_status mlt_service_health_init(struct mlt_service *service)
{
    char labels[128];
    const enum mlt_status status = mlt_metrics_create(&service->metrics);
    if (status != MLT_OK) {
        return status;
    }
    mlt_metrics_add_process(service->metrics);
    (void)snprintf(labels, sizeof labels, "version=\"%s\",service=\"%s\"", MELTICA_VERSION,
                   service->name);
    mlt_gauge_set(mlt_metrics_gauge(service->metrics, "meltica_build_info",
                                    "Always 1; the labels say what runs", labels),
                  1);
    service->ready_gauge = mlt_metrics_gauge(service->metrics, "meltica_ready",
                                             "1 while the service can do its work", NULL);
    service->drain_deadline_count =
        mlt_metrics_counter(service->metrics, "meltica_drain_deadline_total",
                            "Drains that were cut short by drain_timeout_ms", NULL);
    service->replies_refused_count = mlt_metrics_counter(
        service->metrics, "meltica_micro_replies_refused_total",
        "Monitoring requests ($SRV) that wanted their answer at what is no inbox", NULL);
    make_bus_metrics(service, BUS_DATA);
    make_bus_metrics(service, BUS_CONTROL);
    return MLT_OK;
}

/* ---- pages ---- */

static enum mlt_status page_metrics(struct mlt_service *service, struct mlt_http_answer *answer)
{
    answer->content_type = "text/plain; version=0.0.4; charset=utf-8";
    mirror_bus(&service->buses[BUS_DATA]);
    mirror_bus(&service->buses[BUS_CONTROL]);
    mlt_trace_collect(service->trace);
    if (service->micro != NULL) {
        mlt_counter_set(service->replies_refused_count, mlt_micro_replies_refused(service->micro));
    }
    if (service->spec->collect != NULL && service->state_made) {
        service->spec->collect(service->state);
    }
    const enum mlt_status status = mlt_metrics_render(service->metrics, answer->body);
    return status == MLT_OK && service->spec->families != NULL && service->state_made
               ? service->spec->families(service->state, answer->body)
               : status;
}

static enum mlt_status page_ready(struct mlt_service *service, struct mlt_http_answer *answer)
{
    if (mlt_service_evaluate(service)) {
        return mlt_buf_append_string(answer->body, "ready\n");
    }
    answer->status = 503;
    return mlt_buf_printf(answer->body, "not ready: %s\n", service->missing);
}

void mlt_service_http(void *ctx, const char *path, const char *query,
                      struct mlt_http_answer *answer)
{
    struct mlt_service *service = ctx;
    enum mlt_status status = MLT_OK;
    (void)query;
    if (strcmp(path, "/livez") == 0 || strcmp(path, "/healthz") == 0) {
        status = mlt_buf_append_string(answer->body, "live\n"); /* the loop turned to say so */
    } else if (strcmp(path, "/readyz") == 0) {
        status = page_ready(service, answer);
    } else if (strcmp(path, "/metrics") == 0) {
        status = page_metrics(service, answer);
    } else if (service->spec->page == NULL || !service->state_made ||
               !service->spec->page(service->state, path, answer)) {
        answer->status = 404;
        status = mlt_buf_append_string(answer->body, "see /livez, /readyz and /metrics\n");
    }
    if (status != MLT_OK) {
        answer->status = 500;
        mlt_buf_clear(answer->body);
        mlt_log(MLT_LOG_ERROR, "page_failed", "a page could not be written", MLT_S("path", path),
                MLT_S("status", mlt_status_word(status)));
    }
}

/* ---- micro ---- */

static void put(struct mlt_buf *out, enum mlt_status *status, const char *text)
{
    if (*status == MLT_OK) {
        *status = mlt_buf_append_string(out, text);
    }
}

static void put_member(struct mlt_buf *out, enum mlt_status *status, const char *before,
                       const char *value)
{
    put(out, status, before);
    if (*status == MLT_OK) {
        *status = mlt_buf_append_json_string(out, mlt_slice_of_string(value));
    }
}

static void put_bus(struct mlt_buf *out, enum mlt_status *status, const char *name,
                    struct mlt_bus *bus)
{
    struct mlt_bus_stats stats;
    char version[32] = "";
    mlt_bus_get_stats(bus, &stats);
    mlt_bus_server_version(bus, version, sizeof version);
    if (*status == MLT_OK) {
        *status = mlt_buf_printf(out, "\"%s\":{\"connected\":%s,\"reconnects\":%" PRIu64, name,
                                 mlt_bus_connected(bus) ? "true" : "false", stats.reconnects);
    }
    put_member(out, status, ",\"server\":", version);
    put(out, status, "}");
}

static enum mlt_status append_status(struct mlt_service *service, struct mlt_buf *out)
{
    char missing[SERVICE_REASON_BYTES_MAX];
    enum mlt_status status = MLT_OK;
    (void)pthread_mutex_lock(&service->status_lock);
    const bool ready = service->status_ready;
    const char *word = service->status_word;
    memcpy(missing, service->status_missing, sizeof missing);
    (void)pthread_mutex_unlock(&service->status_lock);
    put_member(out, &status, "{\"service\":", service->name);
    put_member(out, &status, ",\"instance\":", service->instance);
    put_member(out, &status, ",\"version\":", MELTICA_VERSION);
    put_member(out, &status, ",\"boot\":", service->boot_text);
    put_member(out, &status, ",\"state\":", word);
    put(out, &status, ready ? ",\"ready\":true" : ",\"ready\":false");
    put_member(out, &status, ",\"missing\":", missing);
    if (status == MLT_OK) {
        status = mlt_buf_printf(
            out, ",\"time_ns\":\"%" PRId64 "\",\"uptime_ms\":%" PRId64 ",\"partitions\":%" PRId64,
            mlt_clock_wall_ns(), (mlt_clock_mono_ns() - service->started_mono_ns) / MLT_NS_PER_MS,
            service->config.partitions);
    }
    put(out, &status, ",\"nats\":{");
    put_bus(out, &status, "data", service->buses[BUS_DATA].bus);
    put(out, &status, ",");
    put_bus(out, &status, "control", service->buses[BUS_CONTROL].bus);
    put(out, &status, "}}");
    return status;
}

void mlt_service_status_endpoint(void *ctx, const struct mlt_bus_message *request,
                                 struct mlt_micro_request *to)
{
    struct mlt_service *service = ctx;
    struct mlt_buf out;
    (void)request;
    mlt_buf_init(&out, SERVICE_STATUS_BYTES_MAX);
    enum mlt_status status = append_status(service, &out);
    status = status == MLT_OK
                 ? mlt_micro_respond(to, mlt_buf_view(&out), 0, NULL)
                 : mlt_micro_respond(to, MLT_SLICE_EMPTY, 500, mlt_status_text(status));
    if (status != MLT_OK) {
        mlt_log(MLT_LOG_WARN, "status_failed", "the status could not be answered",
                MLT_S("status", mlt_status_word(status)));
    }
    mlt_buf_fini(&out);
}

void mlt_service_stats(void *ctx, struct mlt_buf *out)
{
    struct mlt_service *service = ctx;
    mlt_trace_collect(service->trace);
    if (service->spec->collect != NULL) {
        service->spec->collect(service->state);
    }
    if (service->spec->stats != NULL) {
        service->spec->stats(service->state, out);
    }
    /* Its own object gets one member more. */
    const bool own = out->len > 2 && out->data[out->len - 1] == '}';
    out->len = own ? out->len - 1 : 0;
    enum mlt_status status = mlt_buf_append_string(out, own ? ",\"service\":" : "{\"service\":");
    if (status == MLT_OK) {
        status = append_status(service, out);
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_string(out, "}");
    }
    if (status != MLT_OK) {
        mlt_buf_clear(out);
    }
}
