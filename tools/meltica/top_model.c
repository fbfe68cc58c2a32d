#include "top_model.h"

#include <stdlib.h>
#include <string.h>

#include "latency.h"
#include "meltica/base/clock.h"
#include "meltica/base/map.h"

#define SPAN_NS_MAX (86400 * MLT_NS_PER_S)

struct mlt_top {
    struct mlt_map map; /* token -> row */
    size_t count, capacity;
    struct mlt_top_row **rows;
    uint64_t left_out;
};

enum mlt_status mlt_top_create(struct mlt_top **top)
{
    struct mlt_top *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return MLT_E_NOMEM;
    }
    mlt_map_init(&made->map, MLT_TOP_INSTRUMENTS_MAX);
    *top = made;
    return MLT_OK;
}

void mlt_top_destroy(struct mlt_top *top)
{
    if (top == NULL) {
        return;
    }
    for (size_t i = 0; i < top->count; i++) {
        free(top->rows[i]);
    }
    free(top->rows);
    mlt_map_fini(&top->map);
    free(top);
}

static enum mlt_status add_row(struct mlt_top *top, struct mlt_slice token,
                               struct mlt_top_row **out)
{
    if (top->count == top->capacity) {
        const size_t capacity = top->capacity > 0 ? 2 * top->capacity : 64;
        struct mlt_top_row **rows = realloc(top->rows, capacity * sizeof(struct mlt_top_row *));
        if (rows == NULL) {
            return MLT_E_NOMEM;
        }
        top->rows = rows;
        top->capacity = capacity;
    }
    struct mlt_top_row *row = calloc(1, sizeof *row);
    if (row == NULL) {
        return MLT_E_NOMEM;
    }
    memcpy(row->token, token.data, token.len);
    const enum mlt_status status = mlt_map_put(&top->map, token, row);
    if (status != MLT_OK) {
        free(row);
        return status;
    }
    top->rows[top->count++] = row;
    *out = row;
    return MLT_OK;
}

/* ---- one event ---- */

/* A book's state is that of its last STATUS, BOOK or BOOK_DELTA: a delta without a digest says that
 * it is not LIVE, but not what it is. */
static void note_book(struct mlt_top_row *row, const struct mlt_event *event)
{
    if (event->type == MLT_EVENT_BOOK) {
        row->book = event->u.book.state;
    } else if (event->type == MLT_EVENT_BOOK_DELTA) {
        if (event->u.book_delta.digest_version > 0) {
            row->book = MLT_BOOK_LIVE;
        } else if (row->book == MLT_BOOK_LIVE) {
            row->book = MLT_BOOK_STATE_NONE;
        }
    }
}

static void note_status(struct mlt_top_row *row, const struct mlt_status_event *status)
{
    switch (status->kind) {
    case MLT_STATUS_LOST:
        row->lost++;
        break;
    case MLT_STATUS_SOURCE_DOWN:
        row->source = MLT_TOP_SOURCE_DOWN;
        break;
    case MLT_STATUS_SOURCE_UP:
        row->source = MLT_TOP_SOURCE_UP;
        break;
    case MLT_STATUS_GAP:
        row->gaps++;
        row->book = MLT_BOOK_GAP;
        break;
    case MLT_STATUS_STALE:
        row->book = MLT_BOOK_STALE;
        break;
    case MLT_STATUS_SYNCING:
        row->book = MLT_BOOK_SYNCING;
        break;
    case MLT_STATUS_IDLE:
        row->book = MLT_BOOK_IDLE;
        break;
    case MLT_STATUS_LIVE:
        row->resyncs += mlt_slice_equal_string(status->reason, "joined");
        row->book = MLT_BOOK_LIVE;
        break;
    default:
        break;
    }
}

/* The consumer's rule (docs/wire-format.md). A first one begins the count, wherever it stands. */
static void check_sequence(struct mlt_top_row *row, const struct mlt_event *event)
{
    uint64_t *epoch = &row->epoch[event->type], *sequence = &row->sequence[event->type];
    if (event->sequence == 0 || event->epoch < *epoch ||
        (event->epoch == *epoch && event->sequence <= *sequence)) {
        return;
    }
    if (event->epoch == *epoch) {
        row->holes += event->sequence - *sequence - 1;
    }
    *epoch = event->epoch;
    *sequence = event->sequence;
}

/* HEADS say that the last events of a channel are missing. */
static void check_heads(struct mlt_top_row *row, const struct mlt_event *event)
{
    const struct mlt_status_event *status = &event->u.status;
    for (size_t i = 0; i < status->head_count; i++) {
        const struct mlt_head *head = &status->heads[i];
        const unsigned type = (unsigned)head->type;
        if (type < MLT_EVENT_TYPE_COUNT && row->epoch[type] == event->epoch &&
            row->sequence[type] > 0 && head->sequence > row->sequence[type]) {
            row->holes += head->sequence - row->sequence[type];
            row->sequence[type] = head->sequence;
        }
    }
}

/* A day is as far as anybody looks, whatever a stamp says. */
static int64_t bounded(int64_t span_ns)
{
    return span_ns > SPAN_NS_MAX ? SPAN_NS_MAX : span_ns < -SPAN_NS_MAX ? -SPAN_NS_MAX : span_ns;
}

static void add(int64_t *sum, int64_t span_ns)
{
    if (__builtin_add_overflow(*sum, span_ns, sum)) {
        *sum = span_ns < 0 ? INT64_MIN : INT64_MAX;
    }
}

static void note_times(struct mlt_top_row *row, const struct mlt_event *event, int64_t now_ns)
{
    const int64_t lag = bounded(
        mlt_span_ns((int64_t)event->throttled_ns, mlt_span_ns(event->stamps.received, now_ns)));
    row->now.lag_max_ns =
        row->now.events == 0 || lag > row->now.lag_max_ns ? lag : row->now.lag_max_ns;
    add(&row->now.lag_sum_ns, lag);
    row->now.events++;
    if (event->stamps.exchange != MLT_STAMP_UNKNOWN) {
        row->now.aged++;
        add(&row->now.age_sum_ns,
            bounded(mlt_span_ns(event->stamps.exchange, event->stamps.received)));
    }
    row->events++;
    row->last_wall_ns = now_ns;
}

enum mlt_status mlt_top_event(struct mlt_top *top, const struct mlt_event *event, int64_t now_ns)
{
    struct mlt_top_row *row = mlt_map_get(&top->map, event->instrument);
    if (row == NULL && top->count == MLT_TOP_INSTRUMENTS_MAX) {
        top->left_out++;
        return MLT_OK;
    }
    const enum mlt_status status = row == NULL ? add_row(top, event->instrument, &row) : MLT_OK;
    if (status != MLT_OK) {
        return status;
    }
    if (event->type == MLT_EVENT_STATUS && event->u.status.kind == MLT_STATUS_HEADS) {
        check_heads(row, event);
        return MLT_OK;
    }
    check_sequence(row, event);
    if (event->type == MLT_EVENT_STATUS) {
        note_status(row, &event->u.status);
    } else {
        note_book(row, event);
    }
    note_times(row, event, now_ns);
    return MLT_OK;
}

/* ---- ticks and totals ---- */

void mlt_top_tick(struct mlt_top *top, int64_t elapsed_ns)
{
    const double seconds = elapsed_ns > 0 ? (double)elapsed_ns / (double)MLT_NS_PER_S : 1;
    for (size_t i = 0; i < top->count; i++) {
        struct mlt_top_row *row = top->rows[i];
        const int64_t n = (int64_t)row->now.events, aged = (int64_t)row->now.aged;
        row->per_s = (double)n / seconds;
        row->has_lag = n > 0;
        row->lag_mean_ns = n > 0 ? row->now.lag_sum_ns / n : 0;
        row->lag_max_ns = row->now.lag_max_ns;
        row->has_age = aged > 0;
        row->age_mean_ns = aged > 0 ? row->now.age_sum_ns / aged : 0;
        memset(&row->now, 0, sizeof row->now);
    }
}

void mlt_top_get_totals(const struct mlt_top *top, struct mlt_top_totals *out)
{
    double lag_sum = 0;
    memset(out, 0, sizeof *out);
    out->instruments = top->count;
    out->left_out = top->left_out;
    for (size_t i = 0; i < top->count; i++) {
        const struct mlt_top_row *row = top->rows[i];
        out->events += row->events;
        out->gaps += row->gaps;
        out->resyncs += row->resyncs;
        out->lost += row->lost;
        out->holes += row->holes;
        out->per_s += row->per_s;
        out->books[row->book <= MLT_BOOK_STALE ? row->book : MLT_BOOK_STATE_NONE]++;
        out->sources_down += row->source == MLT_TOP_SOURCE_DOWN;
        if (row->has_lag) {
            out->lag_max_ns = !out->has_lag || row->lag_max_ns > out->lag_max_ns ? row->lag_max_ns
                                                                                 : out->lag_max_ns;
            out->has_lag = true;
            lag_sum += (double)row->lag_mean_ns * row->per_s;
        }
    }
    out->lag_mean_ns = out->per_s > 0 ? (int64_t)(lag_sum / out->per_s) : 0;
}

/* ---- order ---- */

static const struct mlt_top_row *row_at(const void *place)
{
    return *(const struct mlt_top_row *const *)place;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(row_at(a)->token, row_at(b)->token);
}

/* Greater first, then by name. */
static int first_greater(double x, double y, const void *a, const void *b)
{
    return x > y ? -1 : x < y ? 1 : by_name(a, b);
}

static int by_rate(const void *a, const void *b)
{
    return first_greater(row_at(a)->per_s, row_at(b)->per_s, a, b);
}

static double lag_rank(const struct mlt_top_row *row)
{
    return row->has_lag ? (double)row->lag_max_ns : -1e300;
}

static int by_lag(const void *a, const void *b)
{
    return first_greater(lag_rank(row_at(a)), lag_rank(row_at(b)), a, b);
}

static int by_stale(const void *a, const void *b)
{
    return first_greater(-(double)row_at(a)->last_wall_ns, -(double)row_at(b)->last_wall_ns, a, b);
}

static double trouble_of(const struct mlt_top_row *row)
{
    return (double)row->gaps + (double)row->lost + (double)row->holes;
}

static int by_gaps(const void *a, const void *b)
{
    return first_greater(trouble_of(row_at(a)), trouble_of(row_at(b)), a, b);
}

static int by_resyncs(const void *a, const void *b)
{
    return first_greater((double)row_at(a)->resyncs, (double)row_at(b)->resyncs, a, b);
}

static double state_rank(const struct mlt_top_row *row)
{
    static const double ranks[MLT_BOOK_STALE + 1] = {
        [MLT_BOOK_STATE_NONE] = 1, [MLT_BOOK_IDLE] = 2, [MLT_BOOK_SYNCING] = 4,
        [MLT_BOOK_LIVE] = 0,       [MLT_BOOK_GAP] = 5,  [MLT_BOOK_STALE] = 3
    };
    return ranks[row->book <= MLT_BOOK_STALE ? row->book : MLT_BOOK_STATE_NONE] +
           (row->source == MLT_TOP_SOURCE_DOWN ? 10 : 0);
}

static int by_state(const void *a, const void *b)
{
    return first_greater(state_rank(row_at(a)), state_rank(row_at(b)), a, b);
}

const struct mlt_top_row *const *mlt_top_sorted(struct mlt_top *top, enum mlt_top_key key,
                                                size_t *count)
{
    static int (*const orders[MLT_TOP_KEY_COUNT])(const void *a, const void *b) = {
        [MLT_TOP_BY_NAME] = by_name,   [MLT_TOP_BY_RATE] = by_rate,
        [MLT_TOP_BY_LAG] = by_lag,     [MLT_TOP_BY_STALE] = by_stale,
        [MLT_TOP_BY_GAPS] = by_gaps,   [MLT_TOP_BY_RESYNCS] = by_resyncs,
        [MLT_TOP_BY_STATE] = by_state,
    };
    *count = top->count;
    if (top->count > 0) {
        qsort(top->rows, top->count, sizeof(struct mlt_top_row *), orders[key]);
    }
    return (const struct mlt_top_row *const *)top->rows;
}
