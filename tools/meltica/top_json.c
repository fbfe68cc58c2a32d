/* One look of `meltica top` as JSON. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "meltica/base/clock.h"
#include "top_view.h"

struct json {
    struct mlt_buf *out;
    enum mlt_status status;
};

static void put(struct json *j, const char *format, ...) MLT_PRINTF(2, 3);

static void put(struct json *j, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    const int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (j->status == MLT_OK) {
        j->status =
            n >= 0 && (size_t)n < sizeof text ? mlt_buf_append_string(j->out, text) : MLT_E_TOO_BIG;
    }
}

static void put_text(struct json *j, const char *before, const char *text)
{
    put(j, "%s", before);
    if (j->status == MLT_OK) {
        j->status = mlt_buf_append_json_string(j->out, mlt_slice_of_string(text));
    }
}

/* A figure, or null. */
static void put_figure(struct json *j, const char *before, bool known, double value)
{
    if (known) {
        put(j, "%s%.3f", before, value);
    } else {
        put(j, "%snull", before);
    }
}

static double ms(int64_t ns)
{
    return (double)ns / (double)MLT_NS_PER_MS;
}

static const char *bool_word(bool known, bool value)
{
    return !known ? "null" : value ? "true" : "false";
}

static void put_link(struct json *j, const char *before, struct mlt_inside_link link)
{
    put(j, "%s{\"connected\":%s", before, bool_word(link.known, link.connected));
    if (link.known) {
        put(j, ",\"reconnects\":%" PRId64 "}", link.reconnects);
    } else {
        put(j, ",\"reconnects\":null}");
    }
}

static void put_service(struct json *j, const struct mlt_inside_service *s,
                        const struct mlt_top_flow *flow)
{
    put_text(j, "{\"service\":", s->name);
    put_text(j, ",\"instance\":", s->instance);
    put_text(j, ",\"id\":", s->id);
    put_text(j, ",\"version\":", s->version);
    put(j, ",\"ready\":%s", bool_word(s->told, s->ready));
    put_text(j, ",\"missing\":", s->missing);
    put_figure(j, ",\"uptime_s\":", s->told && s->uptime_ms >= 0, (double)s->uptime_ms / 1e3);
    put_figure(j, ",\"in_per_s\":", flow->in_per_s >= 0, flow->in_per_s);
    put_figure(j, ",\"out_per_s\":", flow->out_per_s >= 0, flow->out_per_s);
    put_figure(j, ",\"clock_ms\":", s->has_clock, ms(s->clock_ns));
    put_figure(j, ",\"clock_half_ms\":", s->has_clock, ms(s->half_ns));
    put_link(j, ",\"nats\":{\"data\":", s->data);
    put_link(j, ",\"control\":", s->control);
    put(j, "}}");
}

static void put_line(struct json *j, const struct mlt_inside_line *line)
{
    put_text(j, "{\"instance\":", line->instance);
    put(j, ",\"line\":%" PRId64, line->number);
    put_text(j, ",\"state\":", line->state);
    put(j, ",\"topics\":%" PRId64 ",\"age_s\":%" PRId64 "}", line->topics, line->age_s);
}

static void put_row(struct json *j, const struct mlt_top_row *row, int64_t wall_ns)
{
    static const char *const sources[] = { "null", "\"UP\"", "\"DOWN\"" };
    const int64_t quiet_ns = wall_ns - row->last_wall_ns;
    put_text(j, "{\"instrument\":", row->token);
    put(j, ",\"events\":%" PRIu64, row->events);
    put_figure(j, ",\"per_s\":", true, row->per_s);
    put_figure(j, ",\"lag_ms\":", row->has_lag, ms(row->lag_mean_ns));
    put_figure(j, ",\"lag_max_ms\":", row->has_lag, ms(row->lag_max_ns));
    put_figure(j, ",\"exchange_ms\":", row->has_age, ms(row->age_mean_ns));
    if (row->book == MLT_BOOK_STATE_NONE) {
        put(j, ",\"book\":null");
    } else {
        put_text(j, ",\"book\":", mlt_book_state_word((int)row->book));
    }
    put(j, ",\"source\":%s", sources[row->source]);
    put_figure(j, ",\"stale_s\":", row->last_wall_ns > 0, quiet_ns > 0 ? ms(quiet_ns) / 1e3 : 0);
    put(j,
        ",\"gaps\":%" PRIu64 ",\"resyncs\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"holes\":%" PRIu64 "}",
        row->gaps, row->resyncs, row->lost, row->holes);
}

static void put_totals(struct json *j, const struct mlt_top_totals *t)
{
    put(j, "\"totals\":{\"instruments\":%zu,\"events\":%" PRIu64, t->instruments, t->events);
    put_figure(j, ",\"per_s\":", true, t->per_s);
    put_figure(j, ",\"lag_ms\":", t->has_lag, ms(t->lag_mean_ns));
    put_figure(j, ",\"lag_max_ms\":", t->has_lag, ms(t->lag_max_ns));
    put(j,
        ",\"gaps\":%" PRIu64 ",\"resyncs\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"holes\":%" PRIu64
        ",\"sources_down\":%zu,\"books_live\":%zu,\"books_not_known\":%zu}",
        t->gaps, t->resyncs, t->lost, t->holes, t->sources_down, t->books[MLT_BOOK_LIVE],
        t->books[MLT_BOOK_STATE_NONE]);
}

enum mlt_status mlt_top_json(struct mlt_top *top, const struct mlt_top_services *services,
                             const struct mlt_top_view *view, struct mlt_buf *out)
{
    struct json j = { .out = out, .status = MLT_OK };
    const struct mlt_inside *inside = &services->inside;
    const bool known = services->asked && services->trouble[0] == '\0';
    struct mlt_top_totals totals;
    size_t count = 0;
    mlt_top_get_totals(top, &totals);
    const struct mlt_top_row *const *rows = mlt_top_sorted(top, view->key, &count);
    put_text(&j, "{\"nats_url\":", view->url);
    put(&j, ",\"connected\":%s,\"time_ns\":\"%" PRId64 "\"", bool_word(true, view->connected),
        view->wall_ns);
    put_figure(&j, ",\"looked_s\":", true, ms(view->since_ns) / 1e3);
    put(&j,
        ",\"not_seen\":{\"too_fast\":%" PRIu64 ",\"no_room\":%" PRIu64 ",\"no_events\":%" PRIu64
        "},",
        view->dropped, totals.left_out, view->foreign);
    put_totals(&j, &totals);
    put(&j, known ? ",\"services\":[" : ",\"services\":null");
    for (size_t i = 0; known && i < inside->count; i++) {
        put(&j, i > 0 ? "," : "");
        put_service(&j, &inside->services[i], &services->flows[i]);
    }
    if (known) {
        put(&j, "],\"lines\":[");
    } else {
        put(&j, ",\"lines\":null");
        put_text(&j, ",\"services_trouble\":", services->trouble);
    }
    for (size_t i = 0; known && i < inside->line_count; i++) {
        put(&j, i > 0 ? "," : "");
        put_line(&j, &inside->lines[i]);
    }
    put(&j, "%s,\"instruments\":[", known ? "]" : "");
    for (size_t i = 0; i < count; i++) {
        put(&j, i > 0 ? "," : "");
        put_row(&j, rows[i], view->wall_ns);
    }
    put(&j, "]}\n");
    return j.status;
}
