/*
 * Random sequences of operations against a naive book. A sequence that fails is cut down by leaving
 * out halves, quarters, ... of it as long as it still fails, and what remains is printed.
 */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/hash.h"
#include "naive_book.h"

#define OPERATIONS 400
#define LEVELS_A_SIDE 90
#define SEEDS (MLT_TEST_SANITIZED ? 60u : 250u)

/* An operation is a seed of its own: what it does depends on nothing before it, so that others can
 * be left out. */
struct dice {
    uint64_t state;
};

static uint64_t roll(struct dice *dice, uint64_t sides)
{
    dice->state = mlt_mix64(dice->state);
    return dice->state % sides;
}

struct columns {
    int64_t prices[LEVELS_A_SIDE], quantities[LEVELS_A_SIDE];
};

static struct mlt_levels sorted(struct dice *dice, struct columns *c, bool bids, int64_t from,
                                size_t count, bool deletes)
{
    int64_t price = from;
    size_t n = 0;
    while (n < count && price >= 0 && price < NAIVE_PRICES) {
        c->prices[n] = price;
        c->quantities[n++] = deletes && roll(dice, 2) == 0 ? 0 : 1 + (int64_t)roll(dice, 1000);
        const int64_t step = 1 + (int64_t)roll(dice, roll(dice, 4) == 0 ? 20 : 2);
        price += bids ? -step : step;
    }
    return (struct mlt_levels){ 0, 0, n, c->prices, c->quantities };
}

/* Now and then not in order, or a price twice. */
static void disturb(struct dice *dice, struct columns *c, size_t count)
{
    for (uint64_t i = roll(dice, 4) == 0 ? roll(dice, 6) : 0; i > 0 && count > 1; i--) {
        const size_t a = roll(dice, count), b = roll(dice, count);
        const int64_t held = c->prices[a];
        c->prices[a] = c->prices[b];
        if (roll(dice, 3) != 0) {
            c->prices[b] = held;
        }
    }
}

static void operate(uint64_t seed, struct naive_book *naive, struct mlt_orderbook *book)
{
    struct dice dice = { seed };
    struct columns bids_columns, asks_columns;
    const uint64_t kind = roll(&dice, 40);
    const int64_t middle = 200 + (int64_t)roll(&dice, 100);
    struct mlt_levels bids =
        sorted(&dice, &bids_columns, true, middle - 1, roll(&dice, LEVELS_A_SIDE + 1), kind > 1);
    struct mlt_levels asks =
        sorted(&dice, &asks_columns, false, middle, roll(&dice, LEVELS_A_SIDE + 1), kind > 1);
    if (kind > 1) {
        disturb(&dice, &bids_columns, bids.count);
        disturb(&dice, &asks_columns, asks.count);
        const int64_t last = naive->last + 1 + (int64_t)roll(&dice, 5);
        assert_int_equal(mlt_orderbook_apply(book, &bids, &asks, last), MLT_OK);
        naive_apply(naive, &bids, &asks, last);
        return;
    }
    const struct mlt_book_snapshot snapshot = { naive->last + (int64_t)roll(&dice, 4) - 2, bids,
                                                asks, (uint32_t)roll(&dice, LEVELS_A_SIDE), false };
    if (kind == 0) {
        assert_int_equal(mlt_orderbook_seed(book, &snapshot), MLT_OK);
        naive_seed(naive, &snapshot);
    } else {
        assert_int_equal(mlt_orderbook_merge(book, &snapshot), MLT_OK);
        naive_merge(naive, &snapshot);
    }
}

/* NULL, or what differs; *at: after how many operations. */
static const char *run(const uint64_t *operations, size_t count, uint32_t levels_max, size_t *at)
{
    static struct naive_book naive;
    struct mlt_orderbook *book = NULL;
    const struct mlt_orderbook_options options = { levels_max, 0, 0 };
    assert_int_equal(mlt_orderbook_create(&options, &book), MLT_OK);
    naive_clear(&naive);
    const char *differs = NULL;
    for (*at = 0; *at < count && differs == NULL; ++*at) {
        operate(operations[*at], &naive, book);
        differs = naive_differs(&naive, book, levels_max >= NAIVE_PRICES);
    }
    mlt_orderbook_destroy(book);
    return differs;
}

static size_t shrink(uint64_t *operations, size_t count, uint32_t levels_max)
{
    uint64_t tried[OPERATIONS];
    size_t at = 0;
    for (size_t piece = count / 2; piece > 0; piece /= 2) {
        for (size_t from = 0; from + piece <= count;) {
            memcpy(tried, operations, from * sizeof tried[0]);
            memcpy(tried + from, operations + from + piece,
                   (count - from - piece) * sizeof tried[0]);
            if (run(tried, count - piece, levels_max, &at) != NULL) {
                count = at;
                memcpy(operations, tried, count * sizeof tried[0]);
            } else {
                from += piece;
            }
        }
    }
    return count;
}

static void holds_for(uint32_t levels_max)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t operations[OPERATIONS];
        for (size_t i = 0; i < OPERATIONS; i++) {
            operations[i] = mlt_mix64(seed << 32 | i);
        }
        size_t at = 0;
        if (run(operations, OPERATIONS, levels_max, &at) == NULL) {
            continue;
        }
        const size_t count = shrink(operations, at, levels_max);
        const char *differs = run(operations, count, levels_max, &at);
        print_error("seed %llu, levels_max %u: \"%s\" differs after these operations:",
                    (unsigned long long)seed, levels_max, differs);
        for (size_t i = 0; i < count; i++) {
            print_error(" %#llx", (unsigned long long)operations[i]);
        }
        fail_msg("not the naive book");
    }
}

static void test_every_sequence_gives_the_naive_book(void **state)
{
    (void)state;
    holds_for(1024);
}

static void test_a_book_that_prunes_shows_how_the_naive_book_begins(void **state)
{
    (void)state;
    holds_for(MLT_ORDERBOOK_LEVELS_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_sequence_gives_the_naive_book),
        cmocka_unit_test(test_a_book_that_prunes_shows_how_the_naive_book_begins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
