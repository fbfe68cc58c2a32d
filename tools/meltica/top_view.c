#include "top_view.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "meltica/base/clock.h"

#define LINE_BYTES_MAX 1024
#define COLUMNS_MAX 400u
#define NAME_COLUMNS_MIN 15u
#define REST_COLUMNS 65u
#define LINES_IN_A_ROW 2u

static const char *const words[MLT_TOP_KEY_COUNT] = {
    [MLT_TOP_BY_NAME] = "name",   [MLT_TOP_BY_RATE] = "rate", [MLT_TOP_BY_LAG] = "lag",
    [MLT_TOP_BY_STALE] = "stale", [MLT_TOP_BY_GAPS] = "gaps", [MLT_TOP_BY_RESYNCS] = "resyncs",
    [MLT_TOP_BY_STATE] = "book"
};

const char *mlt_top_key_word(enum mlt_top_key key)
{
    return words[key];
}

bool mlt_top_key_of(const char *word, enum mlt_top_key *key)
{
    for (int i = 0; i < MLT_TOP_KEY_COUNT; i++) {
        if (strcmp(mlt_top_key_word((enum mlt_top_key)i), word) == 0) {
            *key = (enum mlt_top_key)i;
            return true;
        }
    }
    return false;
}

/* ---- lines ---- */

struct page {
    struct mlt_buf *out;
    const struct mlt_top_view *view;
    enum mlt_status status;
    unsigned used; /* rows */
};

static bool has_room(const struct page *p, unsigned rows)
{
    return p->view->rows == 0 || p->used + rows <= p->view->rows;
}

static void append(struct page *p, const char *text, size_t len)
{
    if (p->status == MLT_OK) {
        p->status = mlt_buf_append(p->out, text, len);
    }
}

/* One row, cut at the terminal's width; style: an ANSI number, 0: none. All of it is ASCII. */
static void put_line(struct page *p, int style, const char *format, ...) MLT_PRINTF(3, 4);

static void put_line(struct page *p, int style, const char *format, ...)
{
    char line[LINE_BYTES_MAX], before[16];
    if (!has_room(p, 1)) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    const int n = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    const unsigned columns =
        p->view->columns > 0 && p->view->columns < COLUMNS_MAX ? p->view->columns : COLUMNS_MAX;
    len = len > columns ? columns : len;
    while (style == 0 && len > 0 && line[len - 1] == ' ') {
        len--;
    }
    for (size_t i = 0; i < len; i++) { /* what others say of themselves moves no cursor */
        if (line[i] < ' ' || line[i] > '~') {
            line[i] = '?';
        }
    }
    /* Between rows, so that the last one does not scroll the screen. */
    if (p->used > 0) {
        append(p, p->view->terminal ? "\r\n" : "\n", p->view->terminal ? 2 : 1);
    }
    if (p->view->terminal && style != 0) {
        append(p, before, (size_t)snprintf(before, sizeof before, "\x1b[%dm", style));
    }
    append(p, line, len);
    if (p->view->terminal) {
        append(p, style != 0 ? "\x1b[0m\x1b[K" : "\x1b[K", style != 0 ? 7 : 3);
    }
    p->used++;
}

/* ---- cells ---- */

static const char *rate_cell(char out[24], double per_s)
{
    if (per_s < 0) {
        (void)snprintf(out, 24, "-");
    } else {
        (void)snprintf(out, 24, per_s < 9.95 ? "%.1f" : "%.0f", per_s);
    }
    return out;
}

/* Seven columns for all that is sensible. */
static const char *ms_cell(char out[24], bool known, int64_t ns)
{
    const double ms = (double)ns / (double)MLT_NS_PER_MS;
    if (known && (ms >= 1e7 || ms <= -1e6)) { /* seven columns have no room for so many */
        (void)snprintf(out, 24, "%.0fh", ms / 3.6e6);
    } else if (known) {
        (void)snprintf(out, 24, ms < 1e4 && ms > -1e3 ? "%.2f" : "%.0f", ms);
    } else {
        (void)snprintf(out, 24, "-");
    }
    return out;
}

/* Four columns. */
static const char *count_cell(char out[24], uint64_t count)
{
    if (count < 10000) {
        (void)snprintf(out, 24, "%" PRIu64, count);
    } else if (count < 1000000) {
        (void)snprintf(out, 24, "%" PRIu64 "k", count / 1000);
    } else {
        (void)snprintf(out, 24, "%" PRIu64 "M", count / 1000000);
    }
    return out;
}

static const char *duration_cell(char out[24], int64_t seconds)
{
    if (seconds < 0) {
        (void)snprintf(out, 24, "?");
    } else if (seconds < 86400) {
        (void)snprintf(out, 24, "%02" PRId64 ":%02" PRId64 ":%02" PRId64, seconds / 3600,
                       seconds / 60 % 60, seconds % 60);
    } else {
        (void)snprintf(out, 24, "%" PRId64 "d%02" PRId64 "h", seconds / 86400, seconds / 3600 % 24);
    }
    return out;
}

static const char *state_cell(const struct mlt_top_row *row)
{
    if (row->source == MLT_TOP_SOURCE_DOWN) {
        return "DOWN";
    }
    return row->book == MLT_BOOK_STATE_NONE ? "?" : mlt_book_state_word((int)row->book);
}

static const char *link_cell(struct mlt_inside_link link)
{
    return !link.known ? "?" : link.connected ? "up" : "AWAY";
}

static const char *service_state(const struct mlt_inside_service *s)
{
    return !s->told ? "?" : s->ready ? "ready" : "NOT READY";
}

static int style_of(const struct mlt_top_row *row)
{
    if (row->source == MLT_TOP_SOURCE_DOWN || row->book == MLT_BOOK_GAP) {
        return 31;
    }
    return row->book == MLT_BOOK_STALE || row->book == MLT_BOOK_SYNCING ? 33 : 0;
}

/* ---- parts of the picture ---- */

static void draw_head(struct page *p, const struct mlt_top_totals *t)
{
    char clock[16] = "", since[24], rate[24], mean[24], max[24];
    struct tm tm;
    const time_t seconds = (time_t)(p->view->wall_ns / MLT_NS_PER_S);
    if (gmtime_r(&seconds, &tm) != NULL) {
        (void)strftime(clock, sizeof clock, "%H:%M:%S", &tm);
    }
    put_line(p, 1, "meltica top  %s UTC  for %s  %s %.200s", clock,
             duration_cell(since, p->view->since_ns / MLT_NS_PER_S),
             p->view->connected ? "connected to" : "NOT CONNECTED to", p->view->url);
    put_line(p, 0,
             "%zu instruments, %s events/s, lag %s ms (max %s), missing %" PRIu64
             ", said lost %" PRIu64,
             t->instruments, rate_cell(rate, t->per_s), ms_cell(mean, t->has_lag, t->lag_mean_ns),
             ms_cell(max, t->has_lag, t->lag_max_ns), t->holes, t->lost);
    put_line(p, 0,
             "books: %zu live, %zu stale, %zu gap, %zu syncing, %zu idle, %zu not known; sources "
             "down: %zu",
             t->books[MLT_BOOK_LIVE], t->books[MLT_BOOK_STALE], t->books[MLT_BOOK_GAP],
             t->books[MLT_BOOK_SYNCING], t->books[MLT_BOOK_IDLE], t->books[MLT_BOOK_STATE_NONE],
             t->sources_down);
}

static void draw_service(struct page *p, const struct mlt_inside_service *s,
                         const struct mlt_top_flow *flow)
{
    char in[24], out[24], up[24], links[32];
    const bool ready = s->told && s->ready;
    (void)snprintf(links, sizeof links, "%s/%s", link_cell(s->data), link_cell(s->control));
    put_line(p, ready ? 0 : 33, "%-20.20s %-9s %8s %8s %-9s %8s %s",
             s->instance[0] != '\0' ? s->instance : s->name, service_state(s),
             rate_cell(in, flow->in_per_s), rate_cell(out, flow->out_per_s), links,
             duration_cell(up, s->told ? s->uptime_ms / 1000 : -1), s->version);
    if (!ready && s->missing[0] != '\0') {
        put_line(p, 33, "  lacks: %s", s->missing);
    }
}

/* Those of the five that nobody answers as. */
static void list_missing(const struct mlt_inside *inside, char *out, size_t size)
{
    out[0] = '\0';
    for (size_t n = 0; n < MLT_INSIDE_NAMES; n++) {
        bool there = false;
        for (size_t i = 0; i < inside->count; i++) {
            there = there || strcmp(inside->services[i].name, mlt_inside_names[n]) == 0;
        }
        if (!there) {
            const size_t used = strlen(out);
            (void)snprintf(out + used, size - used, " %s", mlt_inside_names[n]);
        }
    }
}

/* At most a third of the screen, so that instruments have theirs. */
static void draw_services(struct page *p, const struct mlt_top_services *services)
{
    const struct mlt_inside *inside = &services->inside;
    const unsigned most = p->view->rows > 0 ? p->view->rows / 3 : MLT_INSIDE_SERVICES_MAX;
    char missing[160];
    if (!services->asked) {
        put_line(p, 0, "services: asked, no answer yet");
        return;
    }
    if (services->trouble[0] != '\0') {
        put_line(p, 33, "services: not known: %s", services->trouble);
        return;
    }
    put_line(p, 7, "%-20s %-9s %8s %8s %-9s %8s %s", "SERVICE", "STATE", "IN/s", "OUT/s",
             "NATS d/c", "UP", "VERSION");
    for (size_t i = 0; i < inside->count && i < most; i++) {
        draw_service(p, &inside->services[i], &services->flows[i]);
    }
    if (inside->count > most) {
        put_line(p, 0, "... and %zu more services", inside->count - most);
    }
    list_missing(inside, missing, sizeof missing);
    if (missing[0] != '\0') {
        put_line(p, 31, "nobody answers as:%s", missing);
    }
}

/* Lines to the exchange, some in a row. */
static void draw_lines(struct page *p, const struct mlt_inside *inside)
{
    const unsigned most =
        p->view->rows > 0 ? (p->view->rows / 12) * LINES_IN_A_ROW : MLT_INSIDE_LINES_MAX;
    char row[LINE_BYTES_MAX] = "";
    size_t shown = 0;
    for (; shown < inside->line_count && shown < most; shown++) {
        const struct mlt_inside_line *line = &inside->lines[shown];
        char age[24];
        const size_t used = strlen(row);
        (void)snprintf(row + used, sizeof row - used,
                       "%s%.20s#%" PRId64 " %s %" PRId64 " topics %s", used > 0 ? "  " : "",
                       line->instance, line->number, line->state, line->topics,
                       duration_cell(age, line->age_s));
        if ((shown + 1) % LINES_IN_A_ROW == 0) {
            put_line(p, 0, "lines: %s", row);
            row[0] = '\0';
        }
    }
    const size_t left = inside->line_count - shown + inside->lines_left_out;
    if (row[0] != '\0' || left > 0) {
        char more[48] = "";
        if (left > 0) {
            (void)snprintf(more, sizeof more, "  and %zu more", left);
        }
        put_line(p, 0, "lines: %s%s", row, more);
    }
}

/* What is left of the row for names: the rest takes 65 columns. */
static int name_columns(const struct mlt_top_view *view, const struct mlt_top_row *const *rows,
                        size_t count)
{
    size_t longest = NAME_COLUMNS_MIN;
    for (size_t i = 0; i < count; i++) {
        const size_t len = strlen(rows[i]->token);
        longest = len > longest ? len : longest;
    }
    const size_t left = view->columns > REST_COLUMNS + NAME_COLUMNS_MIN
                            ? view->columns - REST_COLUMNS
                            : NAME_COLUMNS_MIN;
    return (int)(view->columns > 0 && left < longest ? left : longest);
}

static void draw_row(struct page *p, const struct mlt_top_row *row, int name)
{
    char rate[24], mean[24], max[24], age[24], quiet[24], gaps[24], syncs[24], lost[24], holes[24];
    const double quiet_s = (double)(p->view->wall_ns - row->last_wall_ns) / (double)MLT_NS_PER_S;
    (void)snprintf(quiet, sizeof quiet,
                   row->last_wall_ns == 0 ? "?"
                   : quiet_s < 1e3        ? "%.1f"
                                          : "%.0f",
                   quiet_s > 0 ? quiet_s : 0);
    put_line(p, style_of(row), "%-*.*s %6s %7s %7s %7s %-7s %5s %4s %4s %4s %4s", name, name,
             row->token, rate_cell(rate, row->per_s), ms_cell(mean, row->has_lag, row->lag_mean_ns),
             ms_cell(max, row->has_lag, row->lag_max_ns),
             ms_cell(age, row->has_age, row->age_mean_ns), state_cell(row), quiet,
             count_cell(gaps, row->gaps), count_cell(syncs, row->resyncs),
             count_cell(lost, row->lost), count_cell(holes, row->holes));
}

/* The last rows: what is not known, and the keys. */
static void draw_foot(struct page *p, const struct mlt_top_totals *t, size_t first, size_t shown)
{
    const struct mlt_top_view *v = p->view;
    char more[160] = "";
    if (v->foreign + v->dropped + t->left_out > 0) {
        (void)snprintf(more, sizeof more,
                       "NOT SEEN: %" PRIu64 " came too fast, %" PRIu64
                       " beyond %u instruments, %" PRIu64 " no events. ",
                       v->dropped, t->left_out, MLT_TOP_INSTRUMENTS_MAX, v->foreign);
    }
    put_line(p, more[0] != '\0' ? 33 : 2, "%s? not told, - none came; counts are since this began",
             more);
    if (v->terminal) {
        put_line(p, 2, "%zu-%zu of %zu by %s | sort: n r l s g y b | arrows | q ends",
                 shown > 0 ? first + 1 : 0, first + shown, t->instruments,
                 mlt_top_key_word(v->key));
    }
}

enum mlt_status mlt_top_draw(struct mlt_top *top, const struct mlt_top_services *services,
                             const struct mlt_top_view *view, struct mlt_buf *out, size_t *page)
{
    struct page p = { .out = out, .view = view, .status = MLT_OK };
    const unsigned foot = view->terminal ? 2 : 1;
    struct mlt_top_totals totals;
    size_t count = 0, shown = 0;
    mlt_top_get_totals(top, &totals);
    const struct mlt_top_row *const *rows = mlt_top_sorted(top, view->key, &count);
    draw_head(&p, &totals);
    draw_services(&p, services);
    draw_lines(&p, &services->inside);
    const int name = name_columns(view, rows, count);
    put_line(&p, 7, "%-*s %6s %7s %7s %7s %-7s %5s %4s %4s %4s %4s", name, "INSTRUMENT", "EV/s",
             "LAG ms", "MAX ms", "EXCH ms", "BOOK", "QUIET", "GAPS", "SYNC", "LOST", "HOLE");
    *page = view->rows > p.used + foot ? view->rows - p.used - foot : 0;
    const size_t first = view->skip < count ? view->skip : 0;
    for (; first + shown < count && has_room(&p, foot + 1); shown++) {
        draw_row(&p, rows[first + shown], name);
    }
    draw_foot(&p, &totals, first, shown);
    if (!view->terminal) {
        append(&p, "\n", 1);
    }
    return p.status;
}
