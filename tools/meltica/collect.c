/*
 * meltica collect: follows the live lane as any consumer would, and at the end asks the services
 * what they counted; both go into one report (docs/report.md). It ends after --seconds, or when the
 * simulator has sent its whole recording and all of it has arrived.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "books.h"
#include "commands.h"
#include "connection.h"
#include "latency.h"
#include "meltica/base/clock.h"
#include "meltica/http/http.h"
#include "meltica/rt/loop.h"
#include "scrape.h"
#include "tally.h"

#define SERVICES_MAX 16u
#define TICK_NS (200 * MLT_NS_PER_MS)
#define QUIET_TICKS 8u /* no event for so many ticks: everything has arrived, or never will */
#define SETTLE_TICKS_MAX 300u /* 60 s */
#define SCRAPE_BYTES_MAX (8u << 20)
#define REPORT_BYTES_MAX (64u << 20)
#define ARENA_BYTES_MAX (16u << 20)
#define REASONS_MAX 64u

/* Stages of an event's way, each between two of its stamps; the last one is of BOOKs alone. */
enum stage { ADAPT, DISPATCH, CONDUCT, PUBLISH, DELIVER, TOTAL, BOOK, STAGE_COUNT };
static const char *const stage_names[STAGE_COUNT] = { "adapt",   "dispatch", "conduct", "publish",
                                                      "deliver", "total",    "book" };

struct collect;

struct service {
    char name[32];
    char metrics_url[256];
    int64_t pid;
    struct mlt_buf metrics;
    bool asked, answered;
    struct collect *owner;
};

struct reason {
    char word[48];
    uint64_t count;
};

struct collect {
    /* the subscription's thread */
    pthread_mutex_t lock;
    struct mlt_tally *tally;
    struct mlt_books *books;
    struct mlt_arena arena;
    struct mlt_latency latency[STAGE_COUNT];
    uint64_t foreign, messages;
    int64_t first_event_ns, last_event_ns; /* monotonic */
    uint64_t books_made;
    int64_t first_book_ns, last_book_ns; /* monotonic */
    enum mlt_status failure;

    /* the loop's thread */
    struct mlt_loop *loop;
    struct mlt_timer *timer;
    struct mlt_http_client *http;
    struct mlt_bus *bus;
    const char *report_path, *simulator, *services_path;
    FILE *report;
    int64_t seconds, started_ns, source_finished_ns;
    int64_t warm_up; /* seconds */
    struct service services[SERVICES_MAX];
    size_t service_count;
    enum { RUNNING, SETTLING, SCRAPING, DONE } phase;
    struct mlt_buf simulator_status;
    bool simulator_asked, interrupted, timed_out;
    bool services_unknown; /* the list is not there, or has a line that is none of a list */
    int64_t frames_sent;   /* by the simulator, -1: unknown */
    uint64_t messages_before;
    unsigned quiet_ticks, settle_ticks;
    struct reason reasons[REASONS_MAX];
    size_t reason_count;
};

/* ---- events ---- */

/* Durations count from then on. */
static bool warm(const struct collect *c)
{
    return c->warm_up == 0 || (c->first_event_ns > 0 && mlt_clock_mono_ns() - c->first_event_ns >=
                                                            c->warm_up * MLT_NS_PER_S);
}

static void record_stage(struct collect *c, enum stage stage, int64_t from, int64_t to)
{
    if (from != MLT_STAMP_UNKNOWN && to != MLT_STAMP_UNKNOWN) {
        mlt_latency_record(&c->latency[stage], mlt_span_ns(from, to));
    }
}

static void record_stages(struct collect *c, const struct mlt_stamps *s, int64_t now)
{
    record_stage(c, ADAPT, s->received, s->adapted);
    record_stage(c, DISPATCH, s->adapted, s->dispatched);
    record_stage(c, CONDUCT, s->dispatched, s->conducted);
    record_stage(c, PUBLISH, s->conducted, s->published);
    record_stage(c, DELIVER, s->published, now);
    record_stage(c, TOTAL, s->received, now);
}

/* From the newest frame in it, less the time that it waited for its window to close; not where a
 * snapshot is newer: that is an answer. */
static void record_book(struct collect *c, const struct mlt_event *event, int64_t now)
{
    if (event->stamps.received != event->u.book.snapshot_time_ns) {
        record_stage(c, BOOK, event->stamps.received,
                     mlt_span_ns((int64_t)event->throttled_ns, now));
    }
    c->books_made++;
    c->last_book_ns = mlt_clock_mono_ns();
    if (c->first_book_ns == 0) {
        c->first_book_ns = c->last_book_ns;
    }
}

static void on_event(void *ctx, const struct mlt_bus_message *message)
{
    struct collect *c = ctx;
    const int64_t now = mlt_clock_wall_ns();
    (void)pthread_mutex_lock(&c->lock);
    struct mlt_event event;
    mlt_arena_reset(&c->arena);
    c->messages++;
    if (mlt_event_decode(message->payload, &c->arena, &event) != MLT_OK) {
        c->foreign++;
        (void)pthread_mutex_unlock(&c->lock);
        return;
    }
    enum mlt_status status = mlt_tally_event(c->tally, &event);
    if (status == MLT_OK) {
        status = mlt_books_event(c->books, &event);
    }
    if (status != MLT_OK) {
        c->failure = status;
    }
    /* Frames only: what a REST answer gave may have waited for a service to start. */
    if (event.sequence > 0 && event.type <= MLT_EVENT_BOOK_DELTA && event.rest_function.len == 0) {
        if (warm(c)) {
            record_stages(c, &event.stamps, now);
        }
        c->last_event_ns = mlt_clock_mono_ns();
        if (c->first_event_ns == 0) {
            c->first_event_ns = c->last_event_ns;
        }
    }
    if (event.sequence > 0 && event.type == MLT_EVENT_BOOK && warm(c)) {
        record_book(c, &event, now);
    }
    (void)pthread_mutex_unlock(&c->lock);
}

/* ---- report ---- */

static void add_reason(void *ctx, struct mlt_slice labels, uint64_t value)
{
    struct collect *c = ctx;
    struct mlt_slice word;
    if (value == 0 || !mlt_scrape_label(labels, "reason", &word)) {
        return;
    }
    for (size_t i = 0; i < c->reason_count; i++) {
        if (mlt_slice_equal_string(word, c->reasons[i].word)) {
            c->reasons[i].count += value;
            return;
        }
    }
    if (c->reason_count < REASONS_MAX) {
        struct reason *reason = &c->reasons[c->reason_count++];
        (void)snprintf(reason->word, sizeof reason->word, "%.*s", MLT_SLICE_FMT(word));
        reason->count = value;
    }
}

static uint64_t metric(const struct collect *c, const char *service, const char *name,
                       const char *label)
{
    for (size_t i = 0; i < c->service_count; i++) {
        if (strcmp(c->services[i].name, service) == 0) {
            return mlt_scrape_sum(mlt_buf_view(&c->services[i].metrics), name, label);
        }
    }
    return 0;
}

struct out {
    struct mlt_buf *buf;
    enum mlt_status status;
};

#define PRINT(o, ...)                                                                              \
    do {                                                                                           \
        if ((o)->status == MLT_OK) {                                                               \
            (o)->status = mlt_buf_printf((o)->buf, __VA_ARGS__);                                   \
        }                                                                                          \
    } while (0)

/* What a page or a file calls something. */
static void print_text(struct out *o, const char *text)
{
    if (o->status == MLT_OK) {
        o->status = mlt_buf_append_json_string(o->buf, mlt_slice_of_string(text));
    }
}

/* A figure of each service, by its name. */
static void print_each(struct out *o, const struct collect *c, uint64_t (*figure)(int64_t pid))
{
    for (size_t i = 0; i < c->service_count; i++) {
        PRINT(o, "%s", i == 0 ? "" : ",");
        print_text(o, c->services[i].name);
        PRINT(o, ":%" PRIu64, figure(c->services[i].pid));
    }
}

static void print_latency(struct out *o, const struct collect *c)
{
    PRINT(o, ",\"latency_us\":{");
    for (unsigned s = 0; s < STAGE_COUNT; s++) {
        const struct mlt_latency *l = &c->latency[s];
        PRINT(o,
              "%s\"%s\":{\"p50\":%" PRId64 ",\"p99\":%" PRId64 ",\"p999\":%" PRId64
              ",\"max\":%" PRId64 ",\"negative\":%" PRIu64 "}",
              s == 0 ? "" : ",", stage_names[s], mlt_latency_at(l, 500) / 1000,
              mlt_latency_at(l, 990) / 1000, mlt_latency_at(l, 999) / 1000, l->max_ns / 1000,
              l->negative);
    }
    PRINT(o, "}");
}

static void print_services(struct out *o, const struct collect *c)
{
    PRINT(o, ",\"resident_bytes\":{");
    print_each(o, c, mlt_scrape_peak_resident_bytes);
    PRINT(o, "},\"cpu_ms\":{");
    print_each(o, c, mlt_scrape_cpu_ms);
    PRINT(o, "},\"unanswered\":[");
    const char *comma = "";
    for (size_t i = 0; i < c->service_count; i++) {
        if (!c->services[i].answered) {
            PRINT(o, "%s", comma);
            print_text(o, c->services[i].name);
            comma = ",";
        }
    }
    PRINT(o, "]");
}

/* Nothing lost: no hole of any kind, each frame of the simulator read, every service answered. */
static bool nothing_lost(const struct collect *c, uint64_t frames_in, uint64_t dropped)
{
    struct mlt_tally_totals totals;
    mlt_tally_totals(c->tally, &totals);
    bool good = totals.gaps + totals.sequence_holes + totals.epoch_ends_unknown + totals.lost +
                        totals.duplicates + c->foreign + dropped ==
                    0 &&
                totals.source_derived > 0 && c->failure == MLT_OK && !c->timed_out &&
                !c->services_unknown;
    for (size_t i = 0; i < c->service_count; i++) {
        good = good && c->services[i].answered;
    }
    return good && (c->frames_sent < 0 || c->simulator == NULL || c->seconds > 0 ||
                    (uint64_t)c->frames_sent == frames_in);
}

static uint64_t per_second(uint64_t count, int64_t from_ns, int64_t to_ns)
{
    return to_ns > from_ns ? (uint64_t)((double)count * 1e9 / (double)(to_ns - from_ns)) : 0;
}

static enum mlt_status print_report(struct collect *c, struct mlt_buf *buf, bool *good)
{
    struct out o = { buf, MLT_OK };
    for (size_t i = 0; i < c->service_count; i++) {
        mlt_scrape_series(mlt_buf_view(&c->services[i].metrics), "meltica_rejected_total",
                          add_reason, c);
    }
    struct mlt_bus_stats stats;
    mlt_bus_get_stats(c->bus, &stats);
    const uint64_t frames_in =
        metric(c, "adapter", "meltica_adapter_frames_total", "kind=\"data\"");
    *good = nothing_lost(c, frames_in, stats.slow_consumer_dropped);
    struct mlt_tally_totals totals;
    mlt_tally_totals(c->tally, &totals);
    PRINT(&o,
          "{\"nothing_lost\":%s,\"frames_in\":%" PRIu64 ",\"frames_sent\":%" PRId64
          ",\"seconds\":%" PRId64 ",\"first_event_ms\":%" PRId64 ",\"events_per_s\":%" PRIu64
          ",\"books_per_s\":%" PRIu64 ",\"repeats_dropped\":%" PRIu64 ",\"unrouted\":%" PRIu64
          ",\"foreign\":%" PRIu64 ",\"dropped_here\":%" PRIu64 ",\"rejected\":{",
          *good ? "true" : "false", frames_in, c->frames_sent,
          (mlt_clock_mono_ns() - c->started_ns) / MLT_NS_PER_S,
          c->first_event_ns > 0 ? (c->first_event_ns - c->started_ns) / MLT_NS_PER_MS : -1,
          per_second(totals.source_derived, c->first_event_ns, c->last_event_ns),
          per_second(c->books_made, c->first_book_ns, c->last_book_ns),
          metric(c, "conductor", "meltica_conductor_duplicates_total", ""),
          metric(c, "data-bus", "meltica_bus_unrouted_total", ""), c->foreign,
          stats.slow_consumer_dropped);
    for (size_t i = 0; i < c->reason_count; i++) {
        PRINT(&o, "%s", i == 0 ? "" : ",");
        print_text(&o, c->reasons[i].word);
        PRINT(&o, ":%" PRIu64, c->reasons[i].count);
    }
    PRINT(&o, "},");
    if (o.status == MLT_OK) {
        o.status = mlt_tally_report(c->tally, buf);
    }
    PRINT(&o, ",");
    if (o.status == MLT_OK) {
        o.status = mlt_books_report(c->books, buf);
    }
    print_latency(&o, c);
    print_services(&o, c);
    PRINT(&o, "}\n");
    return o.status;
}

static int write_report(struct collect *c)
{
    struct mlt_buf buf;
    mlt_buf_init(&buf, REPORT_BYTES_MAX);
    bool good = false;
    (void)pthread_mutex_lock(&c->lock);
    enum mlt_status status = print_report(c, &buf, &good);
    (void)pthread_mutex_unlock(&c->lock);
    if (status == MLT_OK && fwrite(buf.data, 1, buf.len, c->report) != buf.len) {
        status = MLT_E_IO;
    }
    if (fflush(c->report) != 0) {
        status = MLT_E_IO;
    }
    mlt_buf_fini(&buf);
    if (status != MLT_OK) {
        (void)fprintf(stderr, "meltica collect: no report: %s\n", mlt_status_text(status));
        return 1;
    }
    if (!good) {
        (void)fprintf(stderr,
                      "meltica collect: something was lost or is not accounted for%s: see "
                      "the report\n",
                      c->timed_out             ? " (not all frames arrived in time)"
                      : c->first_event_ns == 0 ? " (no market data arrived)"
                      : c->services_unknown    ? " (the list of services cannot be read)"
                                               : "");
    }
    return good ? 0 : 1;
}

/* ---- services ---- */

/* NAME=PID=HTTP_URL */
static bool add_service(struct collect *c, const char *text)
{
    const char *pid = strchr(text, '=');
    const char *url = pid != NULL ? strchr(pid + 1, '=') : NULL;
    if (url == NULL || c->service_count == SERVICES_MAX ||
        (size_t)(pid - text) >= sizeof c->services[0].name) {
        return false;
    }
    struct service *s = &c->services[c->service_count];
    (void)snprintf(s->name, sizeof s->name, "%.*s", (int)(pid - text), text);
    s->pid = strtoll(pid + 1, NULL, 10);
    (void)snprintf(s->metrics_url, sizeof s->metrics_url, "%s/metrics", url + 1);
    mlt_buf_init(&s->metrics, SCRAPE_BYTES_MAX);
    s->owner = c;
    c->service_count++;
    return s->pid > 0;
}

/* Read when it is needed: the services start after their consumer, so that it sees their first
 * event.
 */
static void read_services(struct collect *c)
{
    if (c->services_path == NULL || c->service_count > 0) {
        return;
    }
    FILE *from = fopen(c->services_path, "r");
    char text[512];
    while (from != NULL && fgets(text, sizeof text, from) != NULL) {
        text[strcspn(text, "\n")] = '\0';
        if (text[0] != '\0' && !add_service(c, text)) {
            (void)fprintf(stderr, "meltica collect: %s: not NAME=PID=URL: %s\n", c->services_path,
                          text);
            c->services_unknown = true;
        }
    }
    if (from == NULL) {
        (void)fprintf(stderr, "meltica collect: %s: %s\n", c->services_path, strerror(errno));
        c->services_unknown = true;
    } else {
        (void)fclose(from);
    }
}

/* ---- phases ---- */

static void keep_body(struct mlt_buf *to, const struct mlt_http_response *response, bool *ok)
{
    mlt_buf_clear(to);
    *ok = response->status == MLT_OK && response->code == 200 &&
          mlt_buf_append(to, response->body, response->body_len) == MLT_OK;
}

static void on_metrics(void *ctx, const struct mlt_http_response *response)
{
    struct service *s = ctx;
    bool ok = false;
    keep_body(&s->metrics, response, &ok);
    s->asked = false;
    s->answered = ok;
    if (s->owner->phase != SCRAPING) {
        return;
    }
    for (size_t i = 0; i < s->owner->service_count; i++) {
        if (s->owner->services[i].asked) {
            return;
        }
    }
    s->owner->phase = DONE;
    mlt_loop_stop(s->owner->loop);
}

static void ask_metrics(struct collect *c, struct service *s)
{
    if (!s->asked) {
        s->asked = mlt_http_get(c->http, s->metrics_url, on_metrics, s) == MLT_OK;
    }
}

static void begin_scraping(struct collect *c)
{
    c->phase = SCRAPING;
    read_services(c);
    bool any = false;
    for (size_t i = 0; i < c->service_count; i++) {
        ask_metrics(c, &c->services[i]);
        any = any || c->services[i].asked;
    }
    if (!any) {
        c->phase = DONE;
        mlt_loop_stop(c->loop);
    }
}

static void on_simulator(void *ctx, const struct mlt_http_response *response)
{
    struct collect *c = ctx;
    bool ok = false;
    c->simulator_asked = false;
    keep_body(&c->simulator_status, response, &ok);
    if (!ok) {
        return;
    }
    const struct mlt_slice json = mlt_buf_view(&c->simulator_status);
    c->frames_sent = mlt_scrape_member(json, "frames_sent");
    if (c->phase == RUNNING && c->seconds == 0 && mlt_scrape_member(json, "finished") == 1) {
        c->phase = SETTLING;
        read_services(c);
        c->source_finished_ns = mlt_clock_mono_ns();
    }
}

/* Everything sent has been read, and nothing has come for a while (HEADS come each second, so that
 * "a while" is counted without them: source-derived events only). */
static void settle(struct collect *c)
{
    struct mlt_tally_totals totals;
    (void)pthread_mutex_lock(&c->lock);
    mlt_tally_totals(c->tally, &totals);
    (void)pthread_mutex_unlock(&c->lock);
    c->quiet_ticks = totals.source_derived == c->messages_before ? c->quiet_ticks + 1 : 0;
    c->messages_before = totals.source_derived;
    const uint64_t frames_in =
        metric(c, "adapter", "meltica_adapter_frames_total", "kind=\"data\"");
    for (size_t i = 0; i < c->service_count; i++) {
        if (strcmp(c->services[i].name, "adapter") == 0) {
            ask_metrics(c, &c->services[i]);
        }
    }
    const bool all_read = c->frames_sent < 0 || frames_in >= (uint64_t)c->frames_sent;
    if (c->quiet_ticks >= QUIET_TICKS && all_read) {
        begin_scraping(c);
    } else if (++c->settle_ticks > SETTLE_TICKS_MAX) {
        c->timed_out = true;
        begin_scraping(c);
    }
}

static void on_tick(void *ctx)
{
    struct collect *c = ctx;
    if (c->phase == RUNNING) {
        if (c->interrupted ||
            (c->seconds > 0 && mlt_clock_mono_ns() - c->started_ns >= c->seconds * MLT_NS_PER_S)) {
            begin_scraping(c);
        } else if (c->simulator != NULL && !c->simulator_asked) {
            char url[512];
            (void)snprintf(url, sizeof url, "%s/sim/status", c->simulator);
            c->simulator_asked = mlt_http_get(c->http, url, on_simulator, c) == MLT_OK;
        }
    } else if (c->phase == SETTLING) {
        if (c->interrupted) {
            c->timed_out = true;
            begin_scraping(c);
        } else {
            settle(c);
        }
    }
    if (c->phase != DONE) {
        mlt_timer_start(c->timer, TICK_NS);
    }
}

static void on_signal(void *ctx, int signal_number)
{
    struct collect *c = ctx;
    if (signal_number != SIGHUP) {
        if (c->interrupted) {
            mlt_loop_stop(c->loop); /* the second one does not wait for the services */
        }
        c->interrupted = true;
    }
}

/* ---- set-up ---- */

static enum mlt_status set_up(struct collect *c, struct mlt_error *err)
{
    mlt_arena_init(&c->arena, 64u << 10, ARENA_BYTES_MAX);
    mlt_buf_init(&c->simulator_status, SCRAPE_BYTES_MAX);
    enum mlt_status status = mlt_tally_create(&c->tally);
    if (status == MLT_OK) {
        status = mlt_books_create(&c->books);
    }
    if (status == MLT_OK) {
        status = mlt_loop_create(&c->loop, err);
    }
    if (status == MLT_OK) {
        status = mlt_loop_on_signal(c->loop, on_signal, c, err);
    }
    if (status == MLT_OK) {
        status = mlt_timer_create(c->loop, on_tick, c, &c->timer);
    }
    if (status == MLT_OK) {
        const struct mlt_http_options options = { .loop = c->loop,
                                                  .user_agent = "meltica-cli",
                                                  .timeout_ns = 5 * MLT_NS_PER_S,
                                                  .body_bytes_max = SCRAPE_BYTES_MAX,
                                                  .connections_max = 2 };
        status = mlt_http_client_create(&options, &c->http, err);
    }
    return status;
}

static void take_down(struct collect *c)
{
    mlt_http_client_destroy(c->http);
    mlt_timer_destroy(c->timer);
    mlt_loop_destroy(c->loop);
    mlt_books_destroy(c->books);
    mlt_tally_destroy(c->tally);
    for (size_t i = 0; i < c->service_count; i++) {
        mlt_buf_fini(&c->services[i].metrics);
    }
    mlt_buf_fini(&c->simulator_status);
    mlt_arena_fini(&c->arena);
}

static int follow(struct collect *c, struct mlt_error *err)
{
    const struct mlt_bus_subscribe_options options = { .subject = "meltica.data.*",
                                                       .pending_count_max = 1 << 21,
                                                       .pending_bytes_max = 512u << 20 };
    struct mlt_bus_subscription *subscription = NULL;
    enum mlt_status status = mlt_bus_subscribe(c->bus, &options, on_event, c, &subscription, err);
    if (status == MLT_OK) {
        c->started_ns = mlt_clock_mono_ns();
        (void)fprintf(stderr, "meltica collect: following\n");
        mlt_timer_start(c->timer, TICK_NS);
        status = mlt_loop_run(c->loop, err);
    }
    mlt_bus_unsubscribe(subscription);
    if (status != MLT_OK) {
        (void)fprintf(stderr, "meltica collect: %s\n",
                      err->text[0] != '\0' ? err->text : mlt_status_text(status));
        return 1;
    }
    return write_report(c);
}

static int usage(FILE *to, int status)
{
    (void)fprintf(to,
                  "usage: meltica collect (--seconds N | --simulator URL) [--report FILE] "
                  "[--services FILE] [--warm-up N]\n       %s\n"
                  "(the services FILE has a line NAME=PID=HTTP_URL for each service, read at the "
                  "end; docs/report.md)\n",
                  MLT_TOOL_CONNECTION_USAGE);
    return status;
}

static bool parse(struct collect *c, struct mlt_tool_connection *connection, int argc, char **argv)
{
    bool wrong = false;
    for (int i = 1; i < argc && !wrong; i++) {
        const bool value = i + 1 < argc;
        if (mlt_tool_connection_option(connection, argc, argv, &i, &wrong)) {
            continue;
        }
        if (strcmp(argv[i], "--seconds") == 0 && value) {
            wrong = !mlt_tool_count(argv[++i], MLT_TOOL_SECONDS_MAX, &c->seconds);
        } else if (strcmp(argv[i], "--warm-up") == 0 && value) {
            wrong = !mlt_tool_count(argv[++i], MLT_TOOL_SECONDS_MAX, &c->warm_up);
        } else if (strcmp(argv[i], "--report") == 0 && value) {
            c->report_path = argv[++i];
        } else if (strcmp(argv[i], "--simulator") == 0 && value) {
            c->simulator = argv[++i];
        } else if (strcmp(argv[i], "--services") == 0 && value) {
            c->services_path = argv[++i];
        } else {
            wrong = true;
        }
    }
    return !wrong && (c->seconds > 0 || c->simulator != NULL);
}

static int collect(struct collect *c, const struct mlt_tool_connection *connection)
{
    struct mlt_error err = MLT_ERROR_INIT;
    int result = 1;
    /* Now, so that nobody waits to the end to hear that it cannot be written. */
    c->report = c->report_path != NULL ? fopen(c->report_path, "w") : stdout;
    if (c->report == NULL) {
        (void)fprintf(stderr, "meltica collect: %s: %s\n", c->report_path, strerror(errno));
        return 1;
    }
    if (mlt_signals_block() != MLT_OK || set_up(c, &err) != MLT_OK) {
        (void)fprintf(stderr, "meltica collect: %s\n", err.text);
    } else if ((c->bus = mlt_tool_connect(connection, "collect")) != NULL) {
        result = follow(c, &err);
        mlt_bus_destroy(c->bus, 0);
    }
    take_down(c);
    if (c->report != stdout && fclose(c->report) != 0) {
        (void)fprintf(stderr, "meltica collect: %s: %s\n", c->report_path, strerror(errno));
        result = 1;
    }
    return result;
}

int mlt_command_collect(int argc, char **argv)
{
    struct mlt_tool_connection connection;
    mlt_tool_connection_init(&connection);
    if (mlt_tool_help(argc, argv)) {
        return usage(stdout, 0);
    }
    struct collect *c = calloc(1, sizeof *c);
    if (c == NULL || pthread_mutex_init(&c->lock, NULL) != 0) {
        free(c);
        return 1;
    }
    c->frames_sent = -1;
    const int result =
        parse(c, &connection, argc, argv) ? collect(c, &connection) : usage(stderr, 2);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
    return result;
}
