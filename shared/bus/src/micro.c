/*
 * NATS micro service, ADR-32, on the bus's own subscriptions. nats.c 3.10 has one too; it is not
 * used: it ends the whole service when the queue of one endpoint overflows, counts every request as
 * an error, writes average_processing_time as text where a number is due, leaves metadata out of
 * PING and STATS, does not escape JSON, and its stop returns while handlers still run.
 *
 * Threads: one for each endpoint (requests), and three for $SRV (PING, INFO and STATS).
 */
#include <ctype.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"
#include "meltica/base/log.h"
#include "store_internal.h"

#define API_PREFIX "$SRV"
#define INBOX "_INBOX"
#define DEFAULT_QUEUE "q"
#define ENDPOINTS_MAX 64u
#define MONITORS 3u /* everybody, all of this name, this instance */
#define ID_BYTES 22u
#define ANSWER_BYTES_MAX (768u << 10)
#define DATA_BYTES_MAX (64u << 10)
#define LAST_ERROR_BYTES_MAX 256
#define MONITOR_PENDING_MAX 1024
#define DRAIN_NS MLT_NS_PER_S

struct endpoint {
    struct mlt_micro *micro;
    char *name, *subject, *queue;
    mlt_micro_handler_fn handler;
    void *ctx;
    struct mlt_bus_subscription *subscription;
    /* Under the mutex of micro. */
    uint64_t requests, errors;
    int64_t processing_ns;
    char last_error[LAST_ERROR_BYTES_MAX];
};

struct mlt_micro {
    struct mlt_bus *bus;
    char *name;
    char id[ID_BYTES + 1];
    void (*stats)(void *ctx, struct mlt_buf *out);
    void *ctx;
    char started[40];
    struct mlt_buf ping, info; /* whole answers: nothing in them changes */
    struct mlt_buf identity;   /* "name":..,"id":..,"version":..,"metadata":{..} */
    pthread_mutex_t mutex;
    struct endpoint endpoints[ENDPOINTS_MAX];
    size_t endpoint_count;
    struct mlt_bus_subscription *monitors[MONITORS];
    atomic_ullong replies_refused;
};

struct mlt_micro_request {
    struct endpoint *endpoint;
    const char *reply;
    bool answered;
};

/* ---- JSON ---- */

/* Appends: each call does nothing once *status is no OK. */
static void put(struct mlt_buf *out, enum mlt_status *status, const char *text)
{
    if (*status == MLT_OK) {
        *status = mlt_buf_append_string(out, text);
    }
}

static void put_string(struct mlt_buf *out, enum mlt_status *status, const char *key,
                       const char *value)
{
    put(out, status, key);
    if (*status == MLT_OK) {
        *status = mlt_buf_append_json_string(out, mlt_slice_of_string(value != NULL ? value : ""));
    }
}

static void put_metadata(struct mlt_buf *out, enum mlt_status *status,
                         const struct mlt_micro_pair *pairs, size_t count)
{
    put(out, status, ",\"metadata\":{");
    for (size_t i = 0; i < count; i++) {
        put_string(out, status, i > 0 ? "," : "", pairs[i].key);
        put_string(out, status, ":", pairs[i].value);
    }
    put(out, status, "}");
}

static enum mlt_status build_answers(struct mlt_micro *m, const struct mlt_micro_options *options,
                                     const struct mlt_micro_endpoint *endpoints)
{
    enum mlt_status status = MLT_OK;
    struct mlt_buf *out = &m->identity;
    put_string(out, &status, "\"name\":", m->name);
    put_string(out, &status, ",\"id\":", m->id);
    put_string(out, &status, ",\"version\":", options->version);
    put_metadata(out, &status, options->metadata, options->metadata_count);
    if (status == MLT_OK) {
        status = mlt_buf_printf(&m->ping, "{\"type\":\"io.nats.micro.v1.ping_response\",%.*s}",
                                MLT_SLICE_FMT(mlt_buf_view(&m->identity)));
    }
    out = &m->info;
    if (status == MLT_OK) {
        status = mlt_buf_printf(out, "{\"type\":\"io.nats.micro.v1.info_response\",%.*s",
                                MLT_SLICE_FMT(mlt_buf_view(&m->identity)));
    }
    put_string(out, &status, ",\"description\":", options->description);
    put(out, &status, ",\"endpoints\":[");
    for (size_t i = 0; i < m->endpoint_count; i++) {
        const struct endpoint *e = &m->endpoints[i];
        put_string(out, &status, i > 0 ? ",{\"name\":" : "{\"name\":", e->name);
        put_string(out, &status, ",\"subject\":", e->subject);
        put_string(out, &status, ",\"queue_group\":", e->queue);
        put_metadata(out, &status, endpoints[i].metadata, endpoints[i].metadata_count);
        put(out, &status, "}");
    }
    put(out, &status, "]}");
    return status;
}

static void put_endpoint_stats(struct mlt_micro *m, size_t i, struct mlt_slice data,
                               struct mlt_buf *out, enum mlt_status *status)
{
    const struct endpoint *e = &m->endpoints[i];
    (void)pthread_mutex_lock(&m->mutex);
    const uint64_t requests = e->requests;
    const uint64_t errors = e->errors;
    const int64_t processing_ns = e->processing_ns;
    char last_error[LAST_ERROR_BYTES_MAX];
    memcpy(last_error, e->last_error, sizeof last_error);
    (void)pthread_mutex_unlock(&m->mutex);
    put_string(out, status, i > 0 ? ",{\"name\":" : "{\"name\":", e->name);
    put_string(out, status, ",\"subject\":", e->subject);
    put_string(out, status, ",\"queue_group\":", e->queue);
    if (*status == MLT_OK) {
        *status = mlt_buf_printf(
            out,
            ",\"num_requests\":%" PRIu64 ",\"num_errors\":%" PRIu64 ",\"processing_time\":%" PRId64
            ",\"average_processing_time\":%" PRId64,
            requests, errors, processing_ns, requests > 0 ? processing_ns / (int64_t)requests : 0);
    }
    put_string(out, status, ",\"last_error\":", last_error);
    if (*status == MLT_OK && data.len > 0) {
        *status = mlt_buf_printf(out, ",\"data\":%.*s", MLT_SLICE_FMT(data));
    }
    put(out, status, "}");
}

static enum mlt_status build_stats(struct mlt_micro *m, struct mlt_buf *out)
{
    struct mlt_buf data;
    mlt_buf_init(&data, DATA_BYTES_MAX);
    if (m->stats != NULL) {
        m->stats(m->ctx, &data);
    }
    enum mlt_status status = mlt_buf_printf(
        out,
        "{\"type\":\"io.nats.micro.v1.stats_response\",%.*s,\"started\":\"%s\",\"endpoints\":[",
        MLT_SLICE_FMT(mlt_buf_view(&m->identity)), m->started);
    for (size_t i = 0; i < m->endpoint_count; i++) {
        put_endpoint_stats(m, i, mlt_buf_view(&data), out, &status);
    }
    put(out, &status, "]}");
    mlt_buf_fini(&data);
    return status;
}

/* ---- requests ---- */

/* NATS lets a service answer at any subject (allow_responses), also at those of streams and of the
 * flow, where who asks may not write. */
static bool may_answer(struct mlt_micro *m, const struct mlt_bus_message *message)
{
    if (strncmp(message->reply, INBOX, sizeof INBOX - 1) == 0) {
        return true;
    }
    if (message->reply[0] != '\0') {
        atomic_fetch_add(&m->replies_refused, 1);
        mlt_log(MLT_LOG_WARN, "micro_reply_refused",
                "a monitoring request wants its answer at what is no inbox",
                MLT_S("subject", message->subject), MLT_S("reply", message->reply));
    }
    return false;
}

static void on_monitor(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_micro *m = ctx;
    if (!may_answer(m, message)) {
        return;
    }
    const char *verb = message->subject + sizeof API_PREFIX; /* behind the dot */
    const size_t len = strcspn(verb, ".");
    struct mlt_buf built;
    mlt_buf_init(&built, ANSWER_BYTES_MAX);
    struct mlt_slice answer = MLT_SLICE_EMPTY;
    enum mlt_status status = MLT_OK;
    if (len == 4 && memcmp(verb, "PING", 4) == 0) {
        answer = mlt_buf_view(&m->ping);
    } else if (len == 4 && memcmp(verb, "INFO", 4) == 0) {
        answer = mlt_buf_view(&m->info);
    } else if (len == 5 && memcmp(verb, "STATS", 5) == 0) {
        status = build_stats(m, &built);
        answer = mlt_buf_view(&built);
    }
    if (status == MLT_OK && answer.len > 0) {
        status = mlt_bus_reply(m->bus, message->reply, answer, 0, NULL);
    }
    if (status != MLT_OK) {
        mlt_log(MLT_LOG_WARN, "micro_monitor", "a monitoring request got no answer",
                MLT_S("subject", message->subject), MLT_S("status", mlt_status_word(status)));
    }
    mlt_buf_fini(&built);
}

uint64_t mlt_micro_replies_refused(const struct mlt_micro *micro)
{
    return atomic_load(&micro->replies_refused);
}

static void count_error(struct endpoint *e, int code, const char *text)
{
    (void)pthread_mutex_lock(&e->micro->mutex);
    e->errors++;
    (void)snprintf(e->last_error, sizeof e->last_error, "%d: %.200s", code, text);
    (void)pthread_mutex_unlock(&e->micro->mutex);
}

enum mlt_status mlt_micro_respond(struct mlt_micro_request *to, struct mlt_slice payload,
                                  int error_code, const char *error_text)
{
    if (to->answered || error_code < 0) {
        return MLT_E_INVALID;
    }
    char text[LAST_ERROR_BYTES_MAX];
    (void)snprintf(text, sizeof text, "%s", error_text != NULL ? error_text : "");
    for (char *c = text; *c != '\0'; c++) { /* it becomes the line of a header */
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            *c = ' ';
        }
    }
    if (error_code > 0) { /* before it is sent: who was answered finds it in STATS */
        count_error(to->endpoint, error_code, text);
    }
    if (to->reply[0] != '\0') { /* without one nobody waits: a command that was only published */
        const enum mlt_status status =
            mlt_bus_reply(to->endpoint->micro->bus, to->reply, payload, error_code, text);
        if (status != MLT_OK) {
            return status; /* nothing was sent: another answer may still be given */
        }
    }
    to->answered = true;
    return MLT_OK;
}

void mlt_micro_defer(struct mlt_micro_request *to)
{
    to->answered = true;
}

static void on_request(void *ctx, const struct mlt_bus_message *message)
{
    struct endpoint *e = ctx;
    struct mlt_micro_request to = { .endpoint = e, .reply = message->reply };
    (void)pthread_mutex_lock(&e->micro->mutex);
    e->requests++;
    (void)pthread_mutex_unlock(&e->micro->mutex);
    const int64_t begin_ns = mlt_clock_mono_ns();
    e->handler(e->ctx, message, &to);
    const int64_t took_ns = mlt_clock_mono_ns() - begin_ns;
    if (!to.answered) {
        const enum mlt_status status = mlt_micro_respond(&to, MLT_SLICE_EMPTY, 500, "no answer");
        mlt_log(MLT_LOG_ERROR, "micro_no_answer", "the handler of an endpoint gave no answer",
                MLT_S("endpoint", e->name), MLT_S("subject", message->subject),
                MLT_S("reply_500", mlt_status_word(status)));
    }
    (void)pthread_mutex_lock(&e->micro->mutex);
    e->processing_ns += took_ns;
    (void)pthread_mutex_unlock(&e->micro->mutex);
}

/* ---- start and stop ---- */

/* MAJOR.MINOR.PATCH with whatever SemVer allows behind it. */
static bool version_valid(const char *version)
{
    for (int part = 0; part < 3; part++) {
        const size_t digits = version != NULL ? strspn(version, "0123456789") : 0;
        if (digits == 0 || (digits > 1 && version[0] == '0')) {
            return false;
        }
        version += digits;
        if (part < 2 && *version++ != '.') {
            return false;
        }
    }
    return (*version == '\0' || *version == '-' || *version == '+') &&
           strspn(version, "-+.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") ==
               strlen(version);
}

static void make_id(char id[ID_BYTES + 1])
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (size_t i = 0; i < ID_BYTES; i++) {
        id[i] = digits[mlt_random64() % (sizeof digits - 1)];
    }
    id[ID_BYTES] = '\0';
}

static enum mlt_status copy_endpoint(struct mlt_micro *m, const struct mlt_micro_endpoint *from,
                                     struct mlt_error *err)
{
    if (!mlt_store_name_valid(from->name) || !mlt_bus_pattern_valid(from->subject) ||
        from->handler == NULL) {
        return mlt_error_set(err, MLT_E_INVALID, "micro service: endpoint %s on %s is not valid",
                             from->name != NULL ? from->name : "(no name)",
                             from->subject != NULL ? from->subject : "(no subject)");
    }
    struct endpoint *e = &m->endpoints[m->endpoint_count++];
    *e = (struct endpoint){ .micro = m, .handler = from->handler, .ctx = from->ctx };
    e->name = strdup(from->name);
    e->subject = strdup(from->subject);
    e->queue = strdup(from->queue != NULL ? from->queue : DEFAULT_QUEUE);
    if (e->name == NULL || e->subject == NULL || e->queue == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "micro service");
    }
    return MLT_OK;
}

static enum mlt_status set_up(struct mlt_micro *m, const struct mlt_micro_options *options,
                              const struct mlt_micro_endpoint *endpoints, size_t endpoint_count,
                              struct mlt_error *err)
{
    if (!mlt_store_name_valid(options->name) || !version_valid(options->version)) {
        return mlt_error_set(err, MLT_E_INVALID,
                             "micro service: name %s or version %s is not valid (SemVer)",
                             options->name != NULL ? options->name : "(none)",
                             options->version != NULL ? options->version : "(none)");
    }
    if (endpoint_count > ENDPOINTS_MAX) {
        return mlt_error_set(err, MLT_E_LIMIT, "micro service: more than %u endpoints",
                             ENDPOINTS_MAX);
    }
    m->name = strdup(options->name);
    enum mlt_status status = m->name != NULL ? MLT_OK : MLT_E_NOMEM;
    for (size_t i = 0; status == MLT_OK && i < endpoint_count; i++) {
        status = copy_endpoint(m, &endpoints[i], err);
        if (status != MLT_OK) {
            return status;
        }
    }
    make_id(m->id);
    const int64_t now = mlt_clock_wall_ns();
    const time_t seconds = (time_t)(now / MLT_NS_PER_S);
    struct tm t;
    if (gmtime_r(&seconds, &t) != NULL &&
        strftime(m->started, sizeof m->started, "%FT%T", &t) > 0) {
        const size_t used = strlen(m->started);
        (void)snprintf(m->started + used, sizeof m->started - used, ".%06dZ",
                       (int)(now % MLT_NS_PER_S / MLT_NS_PER_US));
    }
    if (status == MLT_OK) {
        status = build_answers(m, options, endpoints);
    }
    return status == MLT_OK ? MLT_OK
                            : mlt_error_set(err, status, "micro service: description or metadata");
}

static enum mlt_status listen(struct mlt_micro *m, struct mlt_error *err)
{
    for (size_t i = 0; i < m->endpoint_count; i++) {
        struct endpoint *e = &m->endpoints[i];
        const struct mlt_bus_subscribe_options options = { .subject = e->subject,
                                                           .queue = e->queue[0] != '\0' ? e->queue
                                                                                        : NULL };
        const enum mlt_status status =
            mlt_bus_subscribe(m->bus, &options, on_request, e, &e->subscription, err);
        if (status != MLT_OK) {
            (void)mlt_error_prepend(err, "endpoint %s", e->name);
            return status;
        }
    }
    /* Last: who finds the service finds it complete. */
    char subjects[MONITORS][MLT_BUS_SUBJECT_BYTES_MAX + 1];
    (void)snprintf(subjects[0], sizeof subjects[0], API_PREFIX ".*");
    (void)snprintf(subjects[1], sizeof subjects[1], API_PREFIX ".*.%s", m->name);
    (void)snprintf(subjects[2], sizeof subjects[2], API_PREFIX ".*.%s.%s", m->name, m->id);
    for (size_t i = 0; i < MONITORS; i++) {
        const struct mlt_bus_subscribe_options options = { .subject = subjects[i],
                                                           .pending_count_max =
                                                               MONITOR_PENDING_MAX };
        const enum mlt_status status =
            mlt_bus_subscribe(m->bus, &options, on_monitor, m, &m->monitors[i], err);
        if (status != MLT_OK) {
            (void)mlt_error_prepend(err, "%s", subjects[i]);
            return status;
        }
    }
    /* A round trip: now the server has the subscriptions too. */
    (void)mlt_bus_rtt_ns(m->bus);
    return MLT_OK;
}

enum mlt_status mlt_micro_start(struct mlt_bus *bus, const struct mlt_micro_options *options,
                                const struct mlt_micro_endpoint *endpoints, size_t endpoint_count,
                                struct mlt_micro **micro, struct mlt_error *err)
{
    struct mlt_micro *m = calloc(1, sizeof *m);
    if (m == NULL || pthread_mutex_init(&m->mutex, NULL) != 0) {
        free(m);
        return mlt_error_set(err, MLT_E_NOMEM, "micro service");
    }
    m->bus = bus;
    m->stats = options->stats;
    m->ctx = options->ctx;
    mlt_buf_init(&m->ping, ANSWER_BYTES_MAX);
    mlt_buf_init(&m->info, ANSWER_BYTES_MAX);
    mlt_buf_init(&m->identity, ANSWER_BYTES_MAX);
    enum mlt_status status = set_up(m, options, endpoints, endpoint_count, err);
    if (status == MLT_OK) {
        status = listen(m, err);
    }
    if (status != MLT_OK) {
        mlt_micro_stop(m);
        return status;
    }
    *micro = m;
    return MLT_OK;
}

void mlt_micro_stop(struct mlt_micro *micro)
{
    mlt_micro_stop_within(micro, DRAIN_NS);
}

void mlt_micro_stop_within(struct mlt_micro *micro, int64_t wait_ns)
{
    if (micro == NULL) {
        return;
    }
    for (size_t i = 0; i < MONITORS; i++) {
        mlt_bus_unsubscribe(micro->monitors[i]);
    }
    /* Who was sent here by the server waits for an answer; of a queue group nobody else has it. */
    struct mlt_bus_subscription *subscriptions[ENDPOINTS_MAX];
    for (size_t i = 0; i < micro->endpoint_count; i++) {
        subscriptions[i] = micro->endpoints[i].subscription;
    }
    wait_ns = wait_ns > DRAIN_NS ? DRAIN_NS : wait_ns;
    mlt_bus_unsubscribe_drained(subscriptions, micro->endpoint_count,
                                wait_ns > MLT_NS_PER_MS ? wait_ns : MLT_NS_PER_MS);
    for (size_t i = 0; i < micro->endpoint_count; i++) {
        struct endpoint *e = &micro->endpoints[i];
        free(e->name);
        free(e->subject);
        free(e->queue);
    }
    mlt_buf_fini(&micro->ping);
    mlt_buf_fini(&micro->info);
    mlt_buf_fini(&micro->identity);
    (void)pthread_mutex_destroy(&micro->mutex);
    free(micro->name);
    free(micro);
}
