#include "ladder.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "latency.h"
#include "meltica/base/clock.h"

#define LINE_BYTES 256u
#define COLUMNS_DEFAULT 80u
#define OTHER_ROWS 8u /* title, head, spread, two of measures, two of quality, the cursor */
#define NUMBERS_WIDTH 54u
#define BAR_MAX 40u

#define RED "\x1b[31m"
#define GREEN "\x1b[32m"
#define BOLD "\x1b[1m"
#define BOLD_RED "\x1b[1;31m"
#define DIM "\x1b[2m"

struct picture {
    struct mlt_buf *out;
    const struct mlt_ladder_view *view;
    enum mlt_status status;
};

static void line(struct picture *p, const char *colour, const char *text)
{
    if (p->status == MLT_OK) {
        const bool colours = p->view->colours;
        const unsigned columns = p->view->columns > 0 ? p->view->columns : LINE_BYTES;
        p->status = mlt_buf_printf(p->out, "%s%.*s%s\n", colours ? colour : "", (int)columns, text,
                                   colours ? "\x1b[0m\x1b[K" : "");
    }
}

void mlt_quality_words(uint32_t quality, char out[128])
{
    static const char *const words[] = { "stale",   "late",    "backfilled", "cache unavailable",
                                         "limited", "warming", "merged",     "after gap" };
    size_t len = 0;
    out[0] = '\0';
    for (unsigned bit = 0; bit < sizeof words / sizeof words[0]; bit++) {
        if ((quality & (1u << bit)) != 0) {
            const int n = snprintf(out + len, 128 - len, "%s%s", len > 0 ? ", " : "", words[bit]);
            len += n > 0 ? (size_t)n : 0;
        }
    }
    if (len == 0) {
        (void)snprintf(out, 128, "%s", quality == 0 ? "good" : "unknown");
    }
}

static const char *number(struct mlt_decimal value, char out[MLT_DECIMAL_TEXT_BYTES_MAX])
{
    (void)mlt_decimal_format(value, out, MLT_DECIMAL_TEXT_BYTES_MAX);
    return out;
}

/* "-" where the measure cannot be told; a mark where it is of a part only. */
static const char *measure(const struct mlt_measure *m, char out[MLT_DECIMAL_TEXT_BYTES_MAX + 2])
{
    if ((m->flags & MLT_MEASURE_PRESENT) == 0) {
        return "-";
    }
    const size_t len = mlt_decimal_format_trimmed(m->value, out, MLT_DECIMAL_TEXT_BYTES_MAX);
    if ((m->flags & (MLT_MEASURE_WARMING | MLT_MEASURE_LIMITED)) != 0) {
        out[len] = '~';
        out[len + 1] = '\0';
    }
    return out;
}

/* The greatest quantity shown, which has the longest bar. */
static int64_t greatest(const struct mlt_levels *side, size_t shown)
{
    int64_t most = 1;
    for (size_t i = 0; i < shown; i++) {
        most = side->quantities[i] > most ? side->quantities[i] : most;
    }
    return most;
}

static void level(struct picture *p, const struct mlt_levels *side, size_t i, int64_t most,
                  struct mlt_decimal total, const char *colour)
{
    char price[MLT_DECIMAL_TEXT_BYTES_MAX], quantity[MLT_DECIMAL_TEXT_BYTES_MAX];
    char sum[MLT_DECIMAL_TEXT_BYTES_MAX], text[LINE_BYTES], bar[BAR_MAX + 1];
    const unsigned columns = p->view->columns > 0 ? p->view->columns : COLUMNS_DEFAULT;
    const unsigned room = columns > NUMBERS_WIDTH ? columns - NUMBERS_WIDTH : 0;
    const unsigned longest = room < BAR_MAX ? room : BAR_MAX;
    __extension__ const __int128 scaled = (__int128)side->quantities[i] * longest;
    const size_t len = side->quantities[i] > 0 ? (size_t)(scaled / most) : 0;
    memset(bar, '#', len);
    bar[len] = '\0';
    (void)snprintf(
        text, sizeof text, "  %16s %16s %16s  %s",
        number((struct mlt_decimal){ side->prices[i], side->price_exponent }, price),
        number((struct mlt_decimal){ side->quantities[i], side->quantity_exponent }, quantity),
        number(total, sum), bar);
    line(p, colour, text);
}

/* Sum of the best n quantities; it stops where 64 bits do. */
static struct mlt_decimal total_of(const struct mlt_levels *side, size_t n)
{
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (__builtin_add_overflow(sum, side->quantities[i], &sum)) {
            sum = INT64_MAX;
            break;
        }
    }
    return (struct mlt_decimal){ sum, side->quantity_exponent };
}

static void draw_title(struct picture *p, const struct mlt_event *e)
{
    char text[LINE_BYTES];
    const struct mlt_book *b = &e->u.book;
    const int64_t age = mlt_span_ns(e->stamps.received, p->view->now_ns) / MLT_NS_PER_MS;
    (void)snprintf(text, sizeof text,
                   "%.*s  %s  update %" PRId64 "  %" PRIu64 " deltas since snapshot %" PRId64
                   "  %" PRId64 " ms old%s",
                   MLT_SLICE_FMT(e->instrument), mlt_book_state_word((int)b->state),
                   b->last_update_id, b->deltas_applied, b->snapshot_update_id, age,
                   p->view->connected ? "" : "  NOT CONNECTED");
    line(p, b->state == MLT_BOOK_LIVE && p->view->connected ? BOLD : BOLD_RED, text);
}

static void draw_spread(struct picture *p, const struct mlt_book *b)
{
    char a[4][MLT_DECIMAL_TEXT_BYTES_MAX + 2], text[LINE_BYTES];
    if (!b->has_analytics) {
        line(p, DIM, "  ----------------");
        return;
    }
    (void)snprintf(text, sizeof text, "  ---- spread %s (%s bps)  mid %s  microprice %s",
                   measure(&b->analytics.spread, a[0]), measure(&b->analytics.spread_bps, a[1]),
                   measure(&b->analytics.mid, a[2]), measure(&b->analytics.microprice, a[3]));
    line(p, BOLD, text);
}

static void draw_foot(struct picture *p, const struct mlt_event *e)
{
    char a[2][MLT_DECIMAL_TEXT_BYTES_MAX + 2], text[LINE_BYTES], words[128];
    const struct mlt_book *b = &e->u.book;
    if (b->has_analytics) {
        (void)snprintf(text, sizeof text, "  imbalance of 5 levels %s  flow of 60 s %s",
                       measure(&b->analytics.imbalance[1], a[0]),
                       measure(&b->analytics.trade_flow[2], a[1]));
        line(p, "", text);
        (void)snprintf(text, sizeof text, "  vwap of 60 s %s  volatility of 60 s %s",
                       measure(&b->analytics.vwap[2], a[0]),
                       measure(&b->analytics.volatility, a[1]));
        line(p, "", text);
    }
    mlt_quality_words(e->quality, words);
    (void)snprintf(text, sizeof text, "  quality: %s", words);
    line(p, e->quality == 0 ? DIM : RED, text);
    (void)snprintf(text, sizeof text,
                   "  known %" PRIu32 " x %" PRIu32 "  merged %" PRIu32 "  digest %08" PRIx32,
                   b->known_bids, b->known_asks, e->merged, b->digest);
    line(p, DIM, text);
}

enum mlt_status mlt_ladder_draw(const struct mlt_event *book, const char *instrument,
                                const struct mlt_ladder_view *view, struct mlt_buf *out)
{
    struct picture p = { out, view, MLT_OK };
    char text[LINE_BYTES];
    if (view->colours) {
        p.status = mlt_buf_append_string(out, "\x1b[H");
    }
    if (book == NULL) {
        (void)snprintf(text, sizeof text, "%s  no BOOK yet%s", instrument,
                       view->connected ? "" : "  NOT CONNECTED");
        line(&p, BOLD, text);
    } else {
        const struct mlt_levels *bids = &book->u.book.bids, *asks = &book->u.book.asks;
        const size_t room = view->rows == 0           ? SIZE_MAX
                            : view->rows > OTHER_ROWS ? (view->rows - OTHER_ROWS) / 2
                                                      : 1;
        const size_t a = asks->count < room ? asks->count : room;
        const size_t b = bids->count < room ? bids->count : room;
        const int64_t ask_most = greatest(asks, a), bid_most = greatest(bids, b);
        const int64_t most = ask_most > bid_most ? ask_most : bid_most;
        draw_title(&p, book);
        (void)snprintf(text, sizeof text, "  %16s %16s %16s", "PRICE", "QUANTITY", "TOTAL");
        line(&p, DIM, text);
        for (size_t i = a; i-- > 0;) {
            level(&p, asks, i, most, total_of(asks, i + 1), RED);
        }
        draw_spread(&p, &book->u.book);
        for (size_t i = 0; i < b; i++) {
            level(&p, bids, i, most, total_of(bids, i + 1), GREEN);
        }
        draw_foot(&p, book);
    }
    if (view->colours && p.status == MLT_OK) {
        p.status = mlt_buf_append_string(out, "\x1b[J");
    }
    return p.status;
}
