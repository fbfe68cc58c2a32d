#include "board.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "latency.h"
#include "meltica/base/clock.h"
#include "meltica/base/map.h"

#define CELL_BYTES 48u
#define LINE_BYTES 512u
/* Rates are over about a second, so that they can be read; percentiles are of the last span that
 * ended; a silence is worth a word from here on. */
#define RATE_NS (900 * INT64_C(1000000))
#define LATENCY_NS (10000 * INT64_C(1000000))
#define QUIET_NS (3000 * INT64_C(1000000))

struct row {
    char token[MLT_INSTRUMENT_BYTES_MAX + 1];
    struct mlt_decimal bid, bid_quantity, ask, ask_quantity, last;
    bool has_bbo, has_last;
    unsigned price_decimals, quantity_decimals; /* most seen: so that the points stand in line */
    enum mlt_side side;
    uint64_t events, rate_events, rate; /* rate: events/s in the last span */
    uint64_t market;                    /* events that are more than a listing */
    uint64_t trades, deltas, holes;
    uint64_t epoch[MLT_EVENT_TYPE_COUNT], sequence[MLT_EVENT_TYPE_COUNT];
    const char *status; /* last STATUS that matters to a reader */
};

enum column {
    INSTRUMENT,
    BID,
    BID_QUANTITY,
    ASK,
    ASK_QUANTITY,
    LAST,
    TRADES,
    DELTAS,
    RATE,
    HOLES,
    STATUS,
    COLUMN_COUNT
};
/* What goes first where the terminal is narrow: the highest number; 0 stays. */
static const struct {
    const char *title;
    unsigned dispensable;
} columns[COLUMN_COUNT] = {
    [INSTRUMENT] = { "INSTRUMENT", 0 }, [BID] = { "BID", 1 },
    [BID_QUANTITY] = { "QUANTITY", 3 }, [ASK] = { "ASK", 1 },
    [ASK_QUANTITY] = { "QUANTITY", 3 }, [LAST] = { "LAST ", 0 }, /* the last byte is the side */
    [TRADES] = { "TRADES", 2 },         [DELTAS] = { "DELTAS", 4 },
    [RATE] = { "EVENTS/S", 0 },         [HOLES] = { "HOLES", 0 },
    [STATUS] = { "STATUS", 0 },
};
#define DISPENSABLE_MAX 4u
#define GAP 2u /* spaces between two columns */

struct mlt_board {
    struct mlt_map map;
    struct row **rows; /* in order of appearance; sorted when drawn */
    size_t count, capacity;
    unsigned widths[COLUMN_COUNT]; /* widest cell so far: columns do not jump */
    uint64_t events, drawn_events, rate_events, rate, lost;
    int64_t rate_elapsed_ns, latency_elapsed_ns, quiet_ns;
    /* Received by the Adapter to here: of the span that runs, and of the one before. */
    struct mlt_latency latency, latency_before;
};

enum mlt_status mlt_board_create(struct mlt_board **board)
{
    struct mlt_board *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return MLT_E_NOMEM;
    }
    mlt_map_init(&b->map, MLT_BOARD_INSTRUMENTS_MAX);
    for (unsigned c = 0; c < COLUMN_COUNT; c++) {
        b->widths[c] = (unsigned)strlen(columns[c].title);
    }
    *board = b;
    return MLT_OK;
}

void mlt_board_destroy(struct mlt_board *board)
{
    if (board == NULL) {
        return;
    }
    for (size_t i = 0; i < board->count; i++) {
        free(board->rows[i]);
    }
    free(board->rows);
    mlt_map_fini(&board->map);
    free(board);
}

static enum mlt_status row_of(struct mlt_board *board, struct mlt_slice token, struct row **out)
{
    *out = mlt_map_get(&board->map, token);
    if (*out != NULL) {
        return MLT_OK;
    }
    if (token.len > MLT_INSTRUMENT_BYTES_MAX) {
        return MLT_E_TOO_BIG;
    }
    if (board->count == board->capacity) {
        const size_t capacity = board->capacity > 0 ? 2 * board->capacity : 64;
        struct row **rows = realloc(board->rows, capacity * sizeof(struct row *));
        if (rows == NULL) {
            return MLT_E_NOMEM;
        }
        board->rows = rows;
        board->capacity = capacity;
    }
    struct row *row = calloc(1, sizeof *row);
    if (row == NULL) {
        return MLT_E_NOMEM;
    }
    memcpy(row->token, token.data, token.len);
    row->status = "";
    const enum mlt_status status = mlt_map_put(&board->map, token, row);
    if (status != MLT_OK) {
        free(row);
        return status;
    }
    board->rows[board->count++] = row;
    *out = row;
    return MLT_OK;
}

static unsigned decimals_of(struct mlt_decimal value)
{
    while (value.exponent < 0 && value.mantissa % 10 == 0) {
        value.mantissa /= 10;
        value.exponent++;
    }
    return value.exponent < 0 ? (unsigned)-value.exponent : 0;
}

static void note(struct mlt_decimal *to, unsigned *decimals, struct mlt_decimal value)
{
    const unsigned needed = decimals_of(value);
    *to = value;
    *decimals = needed > *decimals ? needed : *decimals;
}

/* With exactly that many decimals where they fit. */
static void cell(char out[CELL_BYTES], struct mlt_decimal value, unsigned decimals)
{
    int64_t mantissa = 0;
    if (mlt_decimal_rescale(value, -(int32_t)decimals, &mantissa) == MLT_OK) {
        const struct mlt_decimal padded = { mantissa, -(int32_t)decimals };
        (void)mlt_decimal_format(padded, out, CELL_BYTES);
    } else {
        (void)mlt_decimal_format_trimmed(value, out, CELL_BYTES);
    }
}

static void note_status(struct mlt_board *board, struct row *row,
                        const struct mlt_status_event *status)
{
    switch (status->kind) {
    case MLT_STATUS_LOST:
        board->lost++;
        row->status = "LOST";
        break;
    case MLT_STATUS_SOURCE_DOWN:
        row->status = "DOWN";
        break;
    case MLT_STATUS_GAP:
        row->status = "GAP";
        break;
    case MLT_STATUS_STALE:
        row->status = "STALE";
        break;
    case MLT_STATUS_HEADS:
    case MLT_STATUS_MISSING: /* of trades: what the row says of the book stands */
    case MLT_STATUS_UNFILLABLE:
        break;
    default:
        row->status = "";
        break;
    }
}

/* The consumer's rule of docs/wire-format.md; false: a repeat. */
static bool check_sequence(struct row *row, const struct mlt_event *event)
{
    uint64_t *epoch = &row->epoch[event->type], *sequence = &row->sequence[event->type];
    if (event->epoch < *epoch || (event->epoch == *epoch && event->sequence <= *sequence)) {
        return false;
    }
    if (event->epoch == *epoch && event->sequence != *sequence + 1) {
        row->holes += event->sequence - *sequence - 1;
    }
    *epoch = event->epoch;
    *sequence = event->sequence;
    return true;
}

enum mlt_status mlt_board_event(struct mlt_board *board, const struct mlt_event *event,
                                int64_t received_ns)
{
    struct row *row = NULL;
    const enum mlt_status status = row_of(board, event->instrument, &row);
    if (status != MLT_OK) {
        return status;
    }
    if (event->type == MLT_EVENT_STATUS) {
        note_status(board, row, &event->u.status);
    }
    if (event->sequence == 0 || !check_sequence(row, event)) {
        return MLT_OK;
    }
    board->events++;
    row->events++;
    row->market += event->type != MLT_EVENT_STATUS && event->type != MLT_EVENT_INSTRUMENT ? 1 : 0;
    /* Frames only: what a REST answer gave may have waited for a service to start. */
    if (event->type <= MLT_EVENT_BOOK_DELTA && event->rest_function.len == 0) {
        mlt_latency_record(&board->latency, mlt_span_ns(event->stamps.received, received_ns));
    }
    switch (event->type) {
    case MLT_EVENT_BBO:
        row->has_bbo = true;
        note(&row->bid, &row->price_decimals, event->u.bbo.bid_price);
        note(&row->bid_quantity, &row->quantity_decimals, event->u.bbo.bid_quantity);
        note(&row->ask, &row->price_decimals, event->u.bbo.ask_price);
        note(&row->ask_quantity, &row->quantity_decimals, event->u.bbo.ask_quantity);
        break;
    case MLT_EVENT_TRADE:
        row->trades++;
        row->side = event->u.trade.aggressor;
        row->has_last = true;
        note(&row->last, &row->price_decimals, event->u.trade.price);
        break;
    case MLT_EVENT_AGG_TRADE:
        row->side = event->u.agg_trade.aggressor;
        row->has_last = true;
        note(&row->last, &row->price_decimals, event->u.agg_trade.price);
        break;
    case MLT_EVENT_BOOK_DELTA:
        row->deltas++;
        break;
    default:
        break;
    }
    return MLT_OK;
}

/* A listing and nothing else: not worth a line, with thousands of them on an exchange. */
static bool is_idle(const struct row *row)
{
    return row->market == 0 && row->holes == 0 && row->status[0] == '\0';
}

static int by_name(const void *a, const void *b)
{
    const struct row *const *x = a, *const *y = b;
    return strcmp((*x)->token, (*y)->token);
}

/* Idle ones last. */
static int busier(const void *a, const void *b)
{
    const struct row *const *x = a, *const *y = b;
    if (is_idle(*x) != is_idle(*y)) {
        return is_idle(*x) ? 1 : -1;
    }
    if ((*x)->events != (*y)->events) {
        return (*x)->events > (*y)->events ? -1 : 1;
    }
    return by_name(a, b);
}

static uint64_t per_second(uint64_t count, int64_t elapsed_ns)
{
    return elapsed_ns > 0
               ? (count * UINT64_C(1000000000) + (uint64_t)elapsed_ns / 2) / (uint64_t)elapsed_ns
               : 0;
}

/* ---- drawing ---- */

struct picture {
    struct mlt_board *board;
    const struct mlt_board_view *view;
    struct mlt_buf *out;
    enum mlt_status status;
    unsigned lines;
};

/* One line, cut at the terminal's width; colour counts nothing. */
static void line(struct picture *p, const char *colour, const char *text)
{
    if (p->status != MLT_OK) {
        return;
    }
    const size_t len = strlen(text);
    const int shown =
        (int)(p->view->columns > 0 && len > p->view->columns ? p->view->columns : len);
    const bool colours = p->view->colours;
    p->status =
        mlt_buf_printf(p->out, "%s%.*s%s%s\n", colours ? colour : "", shown, text,
                       colours && colour[0] != '\0' ? "\x1b[0m" : "", colours ? "\x1b[K" : "");
    p->lines++;
}

/* The texts of one row. */
struct cells {
    char text[COLUMN_COUNT][MLT_INSTRUMENT_BYTES_MAX + CELL_BYTES];
};

static void fill(const struct row *row, struct cells *cells)
{
    char text[CELL_BYTES];
    char(*out)[sizeof cells->text[0]] = cells->text;
    memset(cells, 0, sizeof *cells);
    (void)snprintf(out[INSTRUMENT], sizeof out[0], "%s", row->token);
    if (row->has_bbo) {
        cell(out[BID], row->bid, row->price_decimals);
        cell(out[BID_QUANTITY], row->bid_quantity, row->quantity_decimals);
        cell(out[ASK], row->ask, row->price_decimals);
        cell(out[ASK_QUANTITY], row->ask_quantity, row->quantity_decimals);
    }
    if (row->has_last) {
        cell(text, row->last, row->price_decimals);
        (void)snprintf(out[LAST], sizeof out[0], "%s%s", text,
                       row->side == MLT_SIDE_BUY    ? "^"
                       : row->side == MLT_SIDE_SELL ? "v"
                                                    : " ");
    }
    (void)snprintf(out[TRADES], sizeof out[0], "%" PRIu64, row->trades);
    (void)snprintf(out[DELTAS], sizeof out[0], "%" PRIu64, row->deltas);
    (void)snprintf(out[RATE], sizeof out[0], "%" PRIu64, row->rate);
    (void)snprintf(out[HOLES], sizeof out[0], "%" PRIu64, row->holes);
    (void)snprintf(out[STATUS], sizeof out[0], "%s", row->status);
}

static void widen(struct mlt_board *board, const struct row *row)
{
    struct cells cells;
    fill(row, &cells);
    for (unsigned c = 0; c < COLUMN_COUNT; c++) {
        const unsigned width = (unsigned)strlen(cells.text[c]);
        board->widths[c] = width > board->widths[c] ? width : board->widths[c];
    }
}

/* The highest `dispensable` that still has room. */
static unsigned fitting(const struct mlt_board *board, unsigned width)
{
    unsigned level = DISPENSABLE_MAX;
    for (; width > 0 && level > 0; level--) {
        unsigned needed = 0;
        for (unsigned c = 0; c < COLUMN_COUNT; c++) {
            needed += columns[c].dispensable <= level ? board->widths[c] + GAP : 0;
        }
        if (needed - GAP <= width) {
            break;
        }
    }
    return level;
}

/* Names and status to the left, numbers to the right. */
static void draw_cells(struct picture *p, const char *colour, unsigned level,
                       const struct cells *cells)
{
    char out[LINE_BYTES * 2];
    size_t at = 0;
    for (unsigned c = 0; c < COLUMN_COUNT; c++) {
        if (columns[c].dispensable > level) {
            continue;
        }
        const int width = (int)p->board->widths[c];
        const int n = snprintf(out + at, sizeof out - at, "%s%*s", c == 0 ? "" : "  ",
                               c == INSTRUMENT || c == STATUS ? -width : width, cells->text[c]);
        at = n > 0 && at + (size_t)n < sizeof out ? at + (size_t)n : at;
    }
    line(p, colour, out);
}

static void draw_row(struct picture *p, unsigned level, const struct row *row)
{
    struct cells cells;
    fill(row, &cells);
    const char *colour = row->holes > 0 || row->status[0] != '\0' ? "\x1b[31m"
                         : row->rate == 0                         ? "\x1b[2m"
                         : row->side == MLT_SIDE_BUY              ? "\x1b[32m"
                         : row->side == MLT_SIDE_SELL             ? "\x1b[35m"
                                                                  : "";
    draw_cells(p, colour, level, &cells);
}

static uint64_t holes_of(const struct mlt_board *board)
{
    uint64_t holes = 0;
    for (size_t i = 0; i < board->count; i++) {
        holes += board->rows[i]->holes;
    }
    return holes;
}

/* One line, or two where the terminal is narrow. */
static void draw_totals(struct picture *p)
{
    struct mlt_board *board = p->board;
    char text[LINE_BYTES], more[LINE_BYTES] = "";
    const uint64_t holes = holes_of(board);
    const char *colour = holes + board->lost > 0 ? "\x1b[1;31m" : "\x1b[1m";
    int n = snprintf(text, sizeof text,
                     "%" PRIu64 " events, %" PRIu64 "/s, %zu instrument%s | missing %" PRIu64
                     ", said lost %" PRIu64,
                     board->events, board->rate, board->count, board->count == 1 ? "" : "s", holes,
                     board->lost);
    const struct mlt_latency *latency =
        board->latency_before.count > 0 ? &board->latency_before : &board->latency;
    if (board->quiet_ns >= QUIET_NS && board->events > 0) {
        (void)snprintf(more, sizeof more, "nothing for %" PRId64 " s",
                       board->quiet_ns / INT64_C(1000000000));
    } else if (latency->count > 0) {
        (void)snprintf(more, sizeof more,
                       "Adapter to here p50 %" PRId64 " us, p99 %" PRId64 " us%s",
                       mlt_latency_at(latency, 500) / 1000, mlt_latency_at(latency, 990) / 1000,
                       latency->negative > 0 ? " (clocks differ)" : "");
    }
    if (p->view->columns == 0 || (size_t)n + strlen(more) + 3 <= p->view->columns) {
        (void)snprintf(text + n, sizeof text - (size_t)n, "%s%s", more[0] != '\0' ? " | " : "",
                       more);
        more[0] = '\0';
    }
    line(p, colour, text);
    if (more[0] != '\0') {
        line(p, colour, more);
    }
}

/* Moves the spans over which rates and latencies are said. */
static void turn(struct mlt_board *board, int64_t elapsed_ns)
{
    board->quiet_ns = board->events == board->drawn_events ? board->quiet_ns + elapsed_ns : 0;
    board->drawn_events = board->events;
    board->latency_elapsed_ns += elapsed_ns;
    if (board->latency_elapsed_ns >= LATENCY_NS) {
        board->latency_elapsed_ns = 0;
        board->latency_before = board->latency;
        memset(&board->latency, 0, sizeof board->latency);
    }
    board->rate_elapsed_ns += elapsed_ns;
    if (board->rate_elapsed_ns < RATE_NS) {
        return;
    }
    board->rate = per_second(board->events - board->rate_events, board->rate_elapsed_ns);
    board->rate_events = board->events;
    for (size_t i = 0; i < board->count; i++) {
        struct row *row = board->rows[i];
        row->rate = per_second(row->events - row->rate_events, board->rate_elapsed_ns);
        row->rate_events = row->events;
    }
    board->rate_elapsed_ns = 0;
}

/* For those that are not shown: no room, or nothing to show. */
static void draw_rest(struct picture *p, size_t hidden, size_t idle)
{
    char text[LINE_BYTES] = "...";
    if (hidden > 0) {
        (void)snprintf(text, sizeof text, "... and %zu more", hidden);
    }
    if (idle > 0) {
        const size_t n = strlen(text);
        (void)snprintf(text + n, sizeof text - n, " and %zu without market data", idle);
    }
    if (hidden + idle > 0) {
        line(p, "\x1b[2m", text);
    }
}

static void draw_rows(struct picture *p)
{
    struct mlt_board *board = p->board;
    struct cells titles;
    size_t busy = 0;
    if (board->count > 0) {
        qsort(board->rows, board->count, sizeof(struct row *), busier);
    }
    while (busy < board->count && !is_idle(board->rows[busy])) {
        widen(board, board->rows[busy++]);
    }
    memset(&titles, 0, sizeof titles);
    for (unsigned c = 0; c < COLUMN_COUNT; c++) {
        (void)snprintf(titles.text[c], sizeof titles.text[0], "%s", columns[c].title);
    }
    const unsigned level = fitting(board, p->view->columns);
    draw_cells(p, "\x1b[7m", level, &titles);
    /* Below: one line for those that are not shown, and the one the cursor ends on. */
    const unsigned around = p->lines + 2;
    const size_t room = p->view->rows == 0       ? SIZE_MAX
                        : p->view->rows > around ? p->view->rows - around
                                                 : 1;
    const size_t shown = busy < room ? busy : room;
    if (shown > 0) {
        qsort(board->rows, shown, sizeof(struct row *), by_name);
    }
    for (size_t i = 0; i < shown; i++) {
        draw_row(p, level, board->rows[i]);
    }
    draw_rest(p, busy - shown, board->count - busy);
}

/* The table is what was asked for: a small terminal has fewer lines of the head, the first ones. */
static void draw_head(struct picture *p)
{
    char text[LINE_BYTES];
    const unsigned rows = p->view->rows;
    unsigned room = rows == 0 ? UINT_MAX : rows / 3;
    for (const char *at = p->view->head; at != NULL && *at != '\0' && room > 0; room--) {
        const size_t len = strcspn(at, "\n");
        (void)snprintf(text, sizeof text, "%.*s", (int)len, at);
        line(p, "", text);
        at += len + (at[len] == '\n' ? 1 : 0);
    }
}

enum mlt_status mlt_board_draw(struct mlt_board *board, const struct mlt_board_view *view,
                               struct mlt_buf *out)
{
    struct picture p = { board, view, out, MLT_OK, 0 };
    if (view->colours) {
        p.status = mlt_buf_append_string(out, "\x1b[H");
    }
    char text[LINE_BYTES];
    (void)snprintf(text, sizeof text, "meltica tail | %s%s", view->title,
                   view->connected ? "" : " | NOT CONNECTED");
    line(&p, view->connected ? "\x1b[1m" : "\x1b[1;31m", text);
    draw_head(&p);
    turn(board, view->elapsed_ns);
    draw_totals(&p);
    draw_rows(&p);
    if (view->colours && p.status == MLT_OK) {
        p.status = mlt_buf_append_string(out, "\x1b[J");
    }
    return p.status;
}

enum mlt_status mlt_board_summary(const struct mlt_board *board, struct mlt_buf *out)
{
    return mlt_buf_printf(
        out, "%" PRIu64 " events of %zu instrument%s, missing %" PRIu64 ", said lost %" PRIu64 "\n",
        board->events, board->count, board->count == 1 ? "" : "s", holes_of(board), board->lost);
}
