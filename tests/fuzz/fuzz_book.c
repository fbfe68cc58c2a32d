/*
 * Any sequence of operations gives the naive book: two bytes an operation or a level, so that a
 * mutation changes one thing. Once with room for every price, once in a book that has to prune.
 */
#include "fuzz.h"
#include "meltica/base/check.h"
#include "naive_book.h"

#define SIDE_MAX 200u

struct input {
    const uint8_t *data;
    size_t size;
};

static unsigned take(struct input *in)
{
    if (in->size < 2) {
        in->size = 0;
        return 0;
    }
    const unsigned value = (unsigned)in->data[0] | (unsigned)in->data[1] << 8;
    in->data += 2;
    in->size -= 2;
    return value;
}

struct columns {
    int64_t prices[SIDE_MAX], quantities[SIDE_MAX];
};

/* 9 bits price, 7 bits quantity, as they come. */
static struct mlt_levels changes(struct input *in, struct columns *c, size_t count)
{
    size_t n = 0;
    for (; n < count && in->size > 0; n++) {
        const unsigned word = take(in);
        c->prices[n] = word % NAIVE_PRICES;
        c->quantities[n] = word / NAIVE_PRICES;
    }
    return (struct mlt_levels){ 0, 0, n, c->prices, c->quantities };
}

/* Sorted away from `from`: 4 bits step. */
static struct mlt_levels sorted(struct input *in, struct columns *c, size_t count, int64_t from,
                                int64_t direction)
{
    size_t n = 0;
    for (; n < count && in->size > 0 && from >= 0 && from < NAIVE_PRICES; n++) {
        const unsigned word = take(in);
        c->prices[n] = from;
        c->quantities[n] = 1 + (int64_t)(word >> 4);
        from += direction * (1 + (int64_t)(word & 15));
    }
    return (struct mlt_levels){ 0, 0, n, c->prices, c->quantities };
}

static void operate(struct input *in, struct naive_book *naive, struct mlt_orderbook *book)
{
    static struct columns bids, asks;
    const unsigned word = take(in);
    const size_t count = (word >> 3) % SIDE_MAX;
    if ((word & 7) >= 2) {
        const struct mlt_levels b = changes(in, &bids, (word & 7) == 7 ? 0 : count);
        const struct mlt_levels a = changes(in, &asks, (word & 7) == 6 ? 0 : count);
        const int64_t last = naive->last + 1;
        MLT_CHECK(mlt_orderbook_apply(book, &b, &a, last) == MLT_OK);
        naive_apply(naive, &b, &a, last);
        return;
    }
    const unsigned more = take(in);
    const int64_t middle = more % NAIVE_PRICES;
    struct mlt_book_snapshot s = { .last_update_id = naive->last + (word >> 14) - 1,
                                   .requested_depth = more >> 9 };
    s.bids = sorted(in, &bids, count, middle - 1, -1);
    s.asks = sorted(in, &asks, count, middle, 1);
    if ((word & 7) == 0) {
        MLT_CHECK(mlt_orderbook_seed(book, &s) == MLT_OK);
        naive_seed(naive, &s);
    } else {
        MLT_CHECK(mlt_orderbook_merge(book, &s) == MLT_OK);
        naive_merge(naive, &s);
    }
}

static void run(struct input in, uint32_t levels_max)
{
    static struct naive_book naive;
    struct mlt_orderbook *book = NULL;
    const struct mlt_orderbook_options options = { levels_max, 0, 0 };
    MLT_CHECK(mlt_orderbook_create(&options, &book) == MLT_OK);
    naive_clear(&naive);
    while (in.size > 0) {
        operate(&in, &naive, book);
        MLT_CHECK(naive_differs(&naive, book, levels_max >= NAIVE_PRICES) == NULL);
    }
    mlt_orderbook_destroy(book);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run((struct input){ data, size }, NAIVE_PRICES);
    run((struct input){ data, size }, MLT_ORDERBOOK_LEVELS_MIN);
    return 0;
}
