#include "books.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "follow.h"
#include "held_book.h"
#include "meltica/base/map.h"

#define INSTRUMENTS_MAX 16384u
/* Best bids and offers come as they change, deltas ten times a second: the one of a delta's last id
 * is among the last few hundred. */
#define BBO_KEPT 512u

struct top {
    bool has[2];
    bool unknown; /* a side of which no level is known, and yet it may have some */
    struct mlt_decimal price[2], quantity[2];
};

struct kept_bbo {
    int64_t id;
    bool compared;
    struct mlt_bbo bbo;
};

struct book {
    char token[MLT_INSTRUMENT_BYTES_MAX + 1];
    struct mlt_follow *follow;
    struct mlt_held_book held;
    struct kept_bbo *bbos; /* a ring of BBO_KEPT, rising ids */
    size_t bbo_start, bbo_count;
    bool seen;       /* a BOOK came */
    struct top last; /* of the last BOOK */
    int64_t last_id;
    uint64_t levels; /* of the last BOOK, the lesser of both sides */
    uint64_t books, matches, mismatches, by_held, crossed;
};

struct mlt_books {
    struct mlt_map map;
};

enum mlt_status mlt_books_create(struct mlt_books **books)
{
    *books = calloc(1, sizeof **books);
    if (*books == NULL) {
        return MLT_E_NOMEM;
    }
    mlt_map_init(&(*books)->map, INSTRUMENTS_MAX);
    return MLT_OK;
}

static void free_book(struct book *b)
{
    if (b != NULL) {
        mlt_follow_destroy(b->follow);
        mlt_held_book_fini(&b->held);
        free(b->bbos);
        free(b);
    }
}

void mlt_books_destroy(struct mlt_books *books)
{
    if (books == NULL) {
        return;
    }
    size_t position = 0;
    const struct mlt_map_entry *entry;
    while ((entry = mlt_map_next(&books->map, &position)) != NULL) {
        free_book(entry->value);
    }
    mlt_map_fini(&books->map);
    free(books);
}

static enum mlt_status book_of(struct mlt_books *books, struct mlt_slice token, struct book **out)
{
    *out = mlt_map_get(&books->map, token);
    if (*out != NULL) {
        return MLT_OK;
    }
    struct book *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return MLT_E_NOMEM;
    }
    memcpy(b->token, token.data, token.len); /* decoded: at most MLT_INSTRUMENT_BYTES_MAX long */
    b->bbos = calloc(BBO_KEPT, sizeof *b->bbos);
    enum mlt_status status = b->bbos != NULL ? mlt_follow_create(&b->follow) : MLT_E_NOMEM;
    if (status == MLT_OK) {
        status = mlt_map_put(&books->map, token, b);
    }
    if (status != MLT_OK) {
        free_book(b);
        return status;
    }
    *out = b;
    return MLT_OK;
}

/* ---- comparing ---- */

static bool same(const struct top *top, int side, struct mlt_decimal price,
                 struct mlt_decimal quantity)
{
    /* The exchange says 0 where there is nothing. */
    return top->has[side] ? mlt_decimal_compare(top->price[side], price) == 0 &&
                                mlt_decimal_compare(top->quantity[side], quantity) == 0
                          : price.mantissa == 0;
}

/* The best bid and offer of that id, when it is held. Each id is compared once. */
static void compare(struct book *b, int64_t id, const struct top *top, bool by_held)
{
    if (top->unknown) {
        return;
    }
    for (size_t i = b->bbo_count; i-- > 0;) {
        struct kept_bbo *k = &b->bbos[(b->bbo_start + i) % BBO_KEPT];
        if (k->id == id && k->compared) {
            return;
        }
        if (k->id == id) {
            const bool right = same(top, 0, k->bbo.bid_price, k->bbo.bid_quantity) &&
                               same(top, 1, k->bbo.ask_price, k->bbo.ask_quantity);
            b->matches += right ? 1 : 0;
            b->mismatches += right ? 0 : 1;
            b->by_held += by_held ? 1 : 0;
            k->compared = true;
            return;
        }
        if (k->id < id) {
            return;
        }
    }
}

static struct top top_of_own(const struct mlt_own_book *own)
{
    struct top top = { 0 };
    for (int side = 0; side < 2; side++) {
        int64_t price = 0, quantity = 0;
        top.has[side] = mlt_own_book_level(own, side, 0, &price, &quantity);
        top.unknown = top.unknown || (!top.has[side] && !own->sides[side].whole);
        top.price[side] = (struct mlt_decimal){ price, own->price_exponent };
        top.quantity[side] = (struct mlt_decimal){ quantity, own->quantity_exponent };
    }
    return top;
}

/* limited: the book says that it does not know as many levels as it would show. */
static struct top top_of_levels(const struct mlt_levels *bids, const struct mlt_levels *asks,
                                bool limited)
{
    const struct mlt_levels *sides[2] = { bids, asks };
    struct top top = { 0 };
    for (int side = 0; side < 2; side++) {
        const struct mlt_levels *s = sides[side];
        top.has[side] = s->count > 0;
        top.unknown = top.unknown || (limited && s->count == 0);
        if (s->count > 0) {
            top.price[side] = (struct mlt_decimal){ s->prices[0], s->price_exponent };
            top.quantity[side] = (struct mlt_decimal){ s->quantities[0], s->quantity_exponent };
        }
    }
    return top;
}

/* With the levels that are vouched for where there are any at that id, else with all that is held.
 */
static void compare_now(struct book *b)
{
    if (mlt_follow_joined(b->follow)) {
        const struct mlt_own_book *own = mlt_follow_book(b->follow);
        const struct top top = top_of_own(own);
        compare(b, own->last, &top, false);
    } else if (b->seen && mlt_follow_state(b->follow) == MLT_BOOK_LIVE) {
        compare(b, b->last_id, &b->last, false);
    }
    if (b->held.begun) {
        const struct top top = top_of_own(&b->held.book);
        compare(b, b->held.book.last, &top, true);
    }
}

static void on_bbo(struct book *b, const struct mlt_event *event)
{
    if (b->bbo_count == BBO_KEPT) {
        b->bbo_start = (b->bbo_start + 1) % BBO_KEPT;
        b->bbo_count--;
    }
    b->bbos[(b->bbo_start + b->bbo_count++) % BBO_KEPT] =
        (struct kept_bbo){ event->last, false, event->u.bbo };
    compare_now(b);
}

static void on_book(struct book *b, const struct mlt_event *event)
{
    const struct mlt_book *book = &event->u.book;
    b->books++;
    if (book->state != MLT_BOOK_LIVE) {
        return;
    }
    b->seen = true;
    b->last =
        top_of_levels(&book->bids, &book->asks, (event->quality & MLT_QUALITY_DEPTH_LIMITED) != 0);
    b->last_id = book->last_update_id;
    b->levels = book->bids.count < book->asks.count ? book->bids.count : book->asks.count;
    b->crossed += b->last.has[0] && b->last.has[1] &&
                  mlt_decimal_compare(b->last.price[0], b->last.price[1]) >= 0;
    compare(b, b->last_id, &b->last, false);
}

static enum mlt_status hold(struct book *b, const struct mlt_event *event)
{
    switch (event->type) {
    case MLT_EVENT_BOOK_DELTA:
        return mlt_held_book_delta(&b->held, event->first, event->last, &event->u.book_delta);
    case MLT_EVENT_BOOK_SNAPSHOT:
        return event->u.book_snapshot.reset
                   ? mlt_held_book_snapshot(&b->held, &event->u.book_snapshot)
                   : MLT_OK;
    case MLT_EVENT_STATUS:
        if (event->u.status.kind == MLT_STATUS_GAP || event->u.status.kind == MLT_STATUS_IDLE) {
            mlt_held_book_clear(&b->held);
        }
        return MLT_OK;
    default:
        return MLT_OK;
    }
}

enum mlt_status mlt_books_event(struct mlt_books *books, const struct mlt_event *event)
{
    if (event->type != MLT_EVENT_BOOK && event->type != MLT_EVENT_BOOK_DELTA &&
        event->type != MLT_EVENT_BOOK_SNAPSHOT && event->type != MLT_EVENT_BBO &&
        event->type != MLT_EVENT_STATUS) {
        return MLT_OK;
    }
    struct book *b = NULL;
    enum mlt_status status = book_of(books, event->instrument, &b);
    if (status == MLT_OK) {
        status = mlt_follow_event(b->follow, event);
    }
    if (status == MLT_OK) {
        status = hold(b, event);
    }
    if (status != MLT_OK) {
        return status;
    }
    if (event->type == MLT_EVENT_BBO) {
        on_bbo(b, event);
    } else if (event->type == MLT_EVENT_BOOK) {
        on_book(b, event);
    } else if (event->type != MLT_EVENT_STATUS) {
        compare_now(b);
    }
    return MLT_OK;
}

/* ---- report ---- */

static int by_token(const void *a, const void *b)
{
    const struct book *const *x = a, *const *y = b;
    return strcmp((*x)->token, (*y)->token);
}

static enum mlt_status print_side(struct mlt_buf *out, const char *name, const struct book *b,
                                  int side)
{
    char price[MLT_DECIMAL_TEXT_BYTES_MAX], quantity[MLT_DECIMAL_TEXT_BYTES_MAX];
    if (!b->last.has[side]) {
        return mlt_buf_printf(out, "\"%s\":null,", name);
    }
    (void)mlt_decimal_format_trimmed(b->last.price[side], price, sizeof price);
    (void)mlt_decimal_format_trimmed(b->last.quantity[side], quantity, sizeof quantity);
    return mlt_buf_printf(out, "\"%s\":[\"%s\",\"%s\"],", name, price, quantity);
}

static enum mlt_status print_book(struct mlt_buf *out, const struct book *b)
{
    const struct mlt_follow_counts *c = mlt_follow_get_counts(b->follow);
    enum mlt_status status = print_side(out, "bid", b, 0);
    if (status == MLT_OK) {
        status = print_side(out, "ask", b, 1);
    }
    if (status != MLT_OK) {
        return status;
    }
    return mlt_buf_printf(
        out,
        "\"levels\":%" PRIu64 ",\"last_update_id\":%" PRId64 ",\"books\":%" PRIu64
        ",\"bbo_matches\":%" PRIu64 ",\"bbo_mismatches\":%" PRIu64 ",\"bbo_by_held\":%" PRIu64
        ",\"digest_matches\":%" PRIu64 ",\"digest_mismatches\":%" PRIu64 ",\"crossed\":%" PRIu64
        ",\"resyncs\":%" PRIu64 ",\"state\":\"%s\"",
        b->levels, b->last_id, b->books, b->matches, b->mismatches, b->by_held,
        c->digests_right + c->books_right, c->digests_wrong + c->books_wrong, b->crossed,
        c->lives > 0 ? c->lives - 1 : 0, mlt_book_state_word((int)mlt_follow_state(b->follow)));
}

enum mlt_status mlt_books_report(const struct mlt_books *books, struct mlt_buf *out)
{
    const struct book **list = calloc(books->map.count + 1, sizeof *list);
    if (list == NULL) {
        return MLT_E_NOMEM;
    }
    size_t position = 0, n = 0;
    const struct mlt_map_entry *entry;
    while ((entry = mlt_map_next(&books->map, &position)) != NULL) {
        const struct book *b = entry->value;
        if (b->books > 0) {
            list[n++] = b;
        }
    }
    qsort(list, n, sizeof(const struct book *), by_token);
    enum mlt_status status = mlt_buf_append_string(out, "\"books\":{");
    for (size_t i = 0; i < n && status == MLT_OK; i++) {
        status = mlt_buf_printf(out, "%s\"%s\":{", i == 0 ? "" : ",", list[i]->token);
        if (status == MLT_OK) {
            status = print_book(out, list[i]);
        }
        if (status == MLT_OK) {
            status = mlt_buf_append_byte(out, '}');
        }
    }
    free(list);
    return status == MLT_OK ? mlt_buf_append_byte(out, '}') : status;
}
