/* Which trades are missing, and what becomes of them: the pure part, with a clock of the test's. At
 * the end a property: whatever happens, each id that was found missing comes once or is lost once.
 */
#include "mlt_test.h"

#include <stdio.h>

#include "meltica/base/hash.h"
#include "trades.h"

#define IDS_MAX 4096
#define S INT64_C(1000000000)

static const struct mlt_trades_options options = { 3000, S / 2, 10 * S, 5 * S };

struct said {
    enum mlt_trades_kind kind;
    int64_t first, last;
    enum mlt_trades_loss why;
};

static struct {
    struct said missing[256], lost[256], asked[256];
    size_t missing_count, lost_count, asked_count;
} w;
static struct mlt_trades trades;

static void on_request(void *ctx, enum mlt_trades_kind kind, int64_t first, int64_t last)
{
    (void)ctx;
    assert_true(w.asked_count < 256);
    assert_true(last >= first && last - first < (int64_t)MLT_TRADES_PAGE_MAX);
    w.asked[w.asked_count++] = (struct said){ kind, first, last, 0 };
}

static void on_missing(void *ctx, enum mlt_trades_kind kind, int64_t first, int64_t last)
{
    (void)ctx;
    assert_true(w.missing_count < 256);
    w.missing[w.missing_count++] = (struct said){ kind, first, last, 0 };
}

static void on_lost(void *ctx, enum mlt_trades_kind kind, int64_t first, int64_t last,
                    enum mlt_trades_loss why)
{
    (void)ctx;
    assert_true(w.lost_count < 256);
    w.lost[w.lost_count++] = (struct said){ kind, first, last, why };
}

static int start(void **state)
{
    (void)state;
    const struct mlt_trades_ports ports = { on_request, on_missing, on_lost, NULL };
    memset(&w, 0, sizeof w);
    mlt_trades_init(&trades, &options, &ports);
    return 0;
}

static void expect(const struct said *said, enum mlt_trades_kind kind, int64_t first, int64_t last)
{
    assert_int_equal(said->kind, kind);
    assert_int_equal(said->first, first);
    assert_int_equal(said->last, last);
}

static void test_what_comes_late_by_itself_is_neither_asked_for_nor_told(void **state)
{
    (void)state;
    mlt_trades_gap(&trades, MLT_TRADES_SINGLE, 11, 13, 0);
    assert_int_equal(mlt_trades_due_ns(&trades), S / 2);
    mlt_trades_tick(&trades, S / 2 - 1);
    assert_int_equal(w.asked_count, 0);
    for (int64_t id = 13; id >= 11; id--) {
        assert_true(mlt_trades_is_missing(&trades, MLT_TRADES_SINGLE, id));
        mlt_trades_came(&trades, MLT_TRADES_SINGLE, id, false);
        assert_false(mlt_trades_is_missing(&trades, MLT_TRADES_SINGLE, id));
    }
    assert_int_equal(mlt_trades_due_ns(&trades), MLT_TRADES_NEVER);
    mlt_trades_tick(&trades, 60 * S);
    assert_int_equal(w.asked_count + w.missing_count + w.lost_count, 0);
}

static void test_gaps_of_a_page_are_one_request_and_kinds_are_apart(void **state)
{
    (void)state;
    mlt_trades_gap(&trades, MLT_TRADES_SINGLE, 100, 109, 0);
    mlt_trades_gap(&trades, MLT_TRADES_SINGLE, 200, 200, 1);
    mlt_trades_gap(&trades, MLT_TRADES_AGGREGATE, 7, 8, 2);
    mlt_trades_gap(&trades, MLT_TRADES_SINGLE, 1090, 1109, 3); /* beyond the page's end */
    mlt_trades_tick(&trades, S);
    assert_int_equal(w.asked_count, 1);
    expect(&w.asked[0], MLT_TRADES_SINGLE, 100, 1099);
    assert_int_equal(w.missing_count, 3);
    expect(&w.missing[2], MLT_TRADES_SINGLE, 1090, 1109);
    mlt_trades_answered(&trades, MLT_TRADES_SINGLE, 100, MLT_TRADES_TAKEN, S);
    for (int64_t id = 100; id < 1100; id++) {
        mlt_trades_came(&trades, MLT_TRADES_SINGLE, id, true);
    }
    mlt_trades_tick(&trades, S + 1); /* the aggregates are older than what is left of the trades */
    expect(&w.asked[1], MLT_TRADES_AGGREGATE, 7, 8);
    mlt_trades_came(&trades, MLT_TRADES_AGGREGATE, 7, true);
    mlt_trades_came(&trades, MLT_TRADES_AGGREGATE, 8, true);
    mlt_trades_tick(&trades, S + 2);
    expect(&w.asked[2], MLT_TRADES_SINGLE, 1100, 1109);
    assert_int_equal(w.missing_count, 4); /* told once */
    assert_int_equal(w.lost_count, 0);
}

static void test_what_may_still_come_by_itself_is_not_in_the_page(void **state)
{
    (void)state;
    mlt_trades_gap(&trades, MLT_TRADES_SINGLE, 100, 109, 0);
    mlt_trades_gap(&trades, MLT_TRADES_SINGLE, 200, 209, S / 4);
    mlt_trades_tick(&trades, S / 2);
    assert_int_equal(w.asked_count, 1);
    expect(&w.asked[0], MLT_TRADES_SINGLE, 100, 109);
    assert_int_equal(w.missing_count, 1);
}

static void test_what_the_answer_leaves_out_is_absent(void **state)
{
    (void)state;
    mlt_trades_gap(&trades, MLT_TRADES_SINGLE, 10, 19, 0);
    mlt_trades_tick(&trades, S);
    mlt_trades_answered(&trades, MLT_TRADES_SINGLE, 10, MLT_TRADES_TAKEN, S);
    mlt_trades_came(&trades, MLT_TRADES_SINGLE, 19, false); /* late by itself: no answer */
    assert_int_equal(w.lost_count, 0);
    for (int64_t id = 10; id < 20; id += 3) { /* 10, 13, 16, 19 */
        mlt_trades_came(&trades, MLT_TRADES_SINGLE, id, true);
    }
    assert_int_equal(w.lost_count, 3);
    expect(&w.lost[0], MLT_TRADES_SINGLE, 11, 12);
    expect(&w.lost[1], MLT_TRADES_SINGLE, 14, 15);
    expect(&w.lost[2], MLT_TRADES_SINGLE, 17, 18);
    assert_int_equal(w.lost[0].why, MLT_TRADES_ABSENT);
    assert_int_equal(mlt_trades_due_ns(&trades), MLT_TRADES_NEVER);
}

static void test_an_answer_that_ends_early_is_asked_for_again(void **state)
{
    (void)state;
    mlt_trades_gap(&trades, MLT_TRADES_SINGLE, 10, 19, 0);
    mlt_trades_tick(&trades, S);
    mlt_trades_answered(&trades, MLT_TRADES_SINGLE, 10, MLT_TRADES_TAKEN, S);
    for (int64_t id = 10; id < 15; id++) { /* the exchange's history is some seconds behind */
        mlt_trades_came(&trades, MLT_TRADES_SINGLE, id, true);
    }
    assert_int_equal(w.lost_count, 0);
    mlt_trades_tick(&trades, 11 * S);
    assert_int_equal(mlt_trades_due_ns(&trades), 16 * S);
    mlt_trades_tick(&trades, 16 * S);
    assert_int_equal(w.asked_count, 2);
    expect(&w.asked[1], MLT_TRADES_SINGLE, 15, 19);
    assert_int_equal(w.missing_count, 1);
}

static void test_without_an_answer_it_is_given_up_in_the_end(void **state)
{
    (void)state;
    int64_t now = S;
    mlt_trades_gap(&trades, MLT_TRADES_SINGLE, 10, 11, 0);
    while (w.lost_count == 0) {
        mlt_trades_tick(&trades, now);
        mlt_trades_answered(&trades, MLT_TRADES_SINGLE, 10, MLT_TRADES_TAKEN, now);
        now = mlt_trades_due_ns(&trades);
    }
    assert_int_equal(w.asked_count, 1 + MLT_TRADES_REPEATS_MAX);
    expect(&w.lost[0], MLT_TRADES_SINGLE, 10, 11);
    assert_int_equal(w.lost[0].why, MLT_TRADES_TIMEOUT);
    assert_int_equal(now, MLT_TRADES_NEVER);
}

static void test_refusals_end_at_once_or_after_tries(void **state)
{
    (void)state;
    mlt_trades_gap(&trades, MLT_TRADES_SINGLE, 10, 11, 0);
    mlt_trades_tick(&trades, S);
    mlt_trades_answered(&trades, MLT_TRADES_SINGLE, 99, MLT_TRADES_NO, S); /* not the one out */
    assert_int_equal(w.lost_count, 0);
    mlt_trades_answered(&trades, MLT_TRADES_SINGLE, 10, MLT_TRADES_NO, S);
    assert_int_equal(w.lost[0].why, MLT_TRADES_REFUSED);
    mlt_trades_gap(&trades, MLT_TRADES_AGGREGATE, 5, 5, S);
    int64_t now = 2 * S;
    for (unsigned i = 0; i <= MLT_TRADES_REPEATS_MAX; i++) {
        mlt_trades_tick(&trades, now);
        assert_int_equal(w.asked_count, 2 + i);
        assert_int_equal(w.lost_count, 1);
        mlt_trades_answered(&trades, MLT_TRADES_AGGREGATE, 5, MLT_TRADES_LATER, now);
        mlt_trades_tick(&trades, now + 5 * S - 1);
        now += 5 * S;
    }
    assert_int_equal(w.lost_count, 2);
    assert_int_equal(w.lost[1].why, MLT_TRADES_REFUSED);
}

static void test_too_many_are_lost_at_once(void **state)
{
    (void)state;
    mlt_trades_gap(&trades, MLT_TRADES_SINGLE, 0, 2999, 0);
    mlt_trades_gap(&trades, MLT_TRADES_SINGLE, 4000, 4000, 0);
    assert_int_equal(w.lost_count, 1);
    expect(&w.lost[0], MLT_TRADES_SINGLE, 4000, 4000);
    mlt_trades_gap(&trades, MLT_TRADES_AGGREGATE, 0, INT64_MAX, 0);
    expect(&w.lost[1], MLT_TRADES_AGGREGATE, 0, INT64_MAX);
    for (int64_t i = 0; i < (int64_t)MLT_TRADES_RANGES_MAX; i++) {
        mlt_trades_gap(&trades, MLT_TRADES_AGGREGATE, 2 * i, 2 * i, 0);
    }
    assert_int_equal(w.lost_count, 2);
    mlt_trades_gap(&trades, MLT_TRADES_AGGREGATE, 100, 101, 0);
    assert_int_equal(w.lost_count, 3);
    assert_int_equal(w.lost[2].why, MLT_TRADES_TOO_MANY);
}

/* ---- property ---- */

enum fate { UNSEEN, MISSING, CAME, LOST };

static struct {
    enum fate of[MLT_TRADES_KINDS][IDS_MAX];
    uint64_t r;
} p;

static uint64_t next_random(uint64_t below)
{
    p.r = mlt_mix64(p.r + 1);
    return p.r % below;
}

static void property_lost(void *ctx, enum mlt_trades_kind kind, int64_t first, int64_t last,
                          enum mlt_trades_loss why)
{
    (void)ctx;
    (void)why;
    for (int64_t id = first; id <= last; id++) {
        assert_int_equal(p.of[kind][id], MISSING);
        p.of[kind][id] = LOST;
    }
}

static void come(enum mlt_trades_kind kind, int64_t id, bool fetched)
{
    assert_int_equal(mlt_trades_is_missing(&trades, kind, id), p.of[kind][id] == MISSING);
    if (p.of[kind][id] == MISSING) {
        p.of[kind][id] = CAME;
    }
    mlt_trades_came(&trades, kind, id, fetched);
}

static void answer_some(void)
{
    if (!trades.asked) {
        return;
    }
    const enum mlt_trades_kind kind = trades.kind;
    const int64_t first = trades.first, last = trades.last;
    const uint64_t kinds_of_answers = next_random(8);
    for (int64_t id = first; id <= last && kinds_of_answers < 5; id++) {
        if (next_random(10) > kinds_of_answers) {
            come(kind, id, true);
        }
    }
    if (kinds_of_answers >= 5) {
        mlt_trades_answered(&trades, kind, first, (enum mlt_trades_answer)(kinds_of_answers - 5),
                            0);
    }
}

static void property_step(int64_t highest[MLT_TRADES_KINDS], int64_t now)
{
    const enum mlt_trades_kind kind = (enum mlt_trades_kind)next_random(MLT_TRADES_KINDS);
    const int64_t skip = next_random(4) == 0 ? (int64_t)next_random(60) : 0;
    const int64_t id = highest[kind] + 1 + skip;
    if (id < IDS_MAX) {
        for (int64_t m = highest[kind] + 1; m < id; m++) {
            p.of[kind][m] = MISSING;
        }
        if (skip > 0) {
            mlt_trades_gap(&trades, kind, highest[kind] + 1, id - 1, now);
        }
        p.of[kind][id] = CAME;
        highest[kind] = id;
    }
    if (next_random(3) == 0) {
        come(kind, (int64_t)next_random((uint64_t)highest[kind] + 1), false);
    }
    if (next_random(3) == 0) {
        answer_some();
    }
    mlt_trades_tick(&trades, now);
}

static void test_each_missing_id_comes_once_or_is_lost_once(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        const struct mlt_trades_ports ports = { on_request, on_missing, property_lost, NULL };
        int64_t highest[MLT_TRADES_KINDS] = { 0, 0 }, now = 0;
        memset(&p, 0, sizeof p);
        p.r = seed;
        mlt_trades_init(&trades, &options, &ports);
        for (unsigned step = 0; step < 400; step++) {
            w.asked_count = w.missing_count = 0;
            now += (int64_t)next_random(3 * (uint64_t)S);
            property_step(highest, now);
        }
        while (mlt_trades_due_ns(&trades) != MLT_TRADES_NEVER) {
            w.asked_count = w.missing_count = 0;
            now = mlt_trades_due_ns(&trades) > now ? mlt_trades_due_ns(&trades) : now;
            mlt_trades_tick(&trades, now);
        }
        for (size_t k = 0; k < MLT_TRADES_KINDS; k++) {
            for (size_t id = 0; id < IDS_MAX; id++) {
                if (p.of[k][id] == MISSING) {
                    fail_msg("seed %llu: id %zu of kind %zu is neither here nor lost",
                             (unsigned long long)seed, id, k);
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_what_comes_late_by_itself_is_neither_asked_for_nor_told, start),
        cmocka_unit_test_setup(test_gaps_of_a_page_are_one_request_and_kinds_are_apart, start),
        cmocka_unit_test_setup(test_what_may_still_come_by_itself_is_not_in_the_page, start),
        cmocka_unit_test_setup(test_what_the_answer_leaves_out_is_absent, start),
        cmocka_unit_test_setup(test_an_answer_that_ends_early_is_asked_for_again, start),
        cmocka_unit_test_setup(test_without_an_answer_it_is_given_up_in_the_end, start),
        cmocka_unit_test_setup(test_refusals_end_at_once_or_after_tries, start),
        cmocka_unit_test_setup(test_too_many_are_lost_at_once, start),
        cmocka_unit_test_setup(test_each_missing_id_comes_once_or_is_lost_once, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
