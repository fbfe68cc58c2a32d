/*
 * The throttle as a property. An input is a list of steps (time passes, deltas, repeats, trades,
 * snapshots that say nothing new) and a window; what leaves is judged from outside, by rules that
 * know nothing of how the core does it. An input that breaks one is made smaller for as long as it
 * still breaks one, and printed.
 */
#include "books_fixture.h"

#include <stdio.h>

#include "meltica/base/hash.h"

#define STEPS_MAX 300u
#define ROUNDS (MLT_TEST_SANITIZED ? 40u : 300u)
#define WINDOW_NS_MAX (250 * MLT_NS_PER_MS)
#define FIRST_ID 10

enum step_kind { STEP_WAIT, STEP_DELTA, STEP_REPEAT, STEP_TRADE, STEP_SNAPSHOT, STEP_KINDS };

struct step {
    enum step_kind kind;
    int64_t n; /* WAIT: ns; DELTA: update ids in it; else nothing */
};

struct input {
    int64_t window_ns;
    size_t count;
    struct step steps[STEPS_MAX];
};

static struct books_fixture f;

static struct input make_input(uint64_t seed)
{
    struct input in = { 0 };
    uint64_t r = mlt_mix64(seed);
    in.window_ns = seed % 16 == 0 ? 0 : (int64_t)(1 + r % (uint64_t)WINDOW_NS_MAX);
    in.count = 1 + (r >> 32) % STEPS_MAX;
    for (size_t i = 0; i < in.count; i++) {
        struct step *s = &in.steps[i];
        r = mlt_mix64(seed * 1000003 + i);
        const unsigned dice = (unsigned)(r % 16);
        s->kind = dice < 6    ? STEP_WAIT
                  : dice < 12 ? STEP_DELTA
                              : (enum step_kind)(STEP_REPEAT + (int)(r >> 8) % 3);
        if (s->kind == STEP_WAIT) {
            /* Often a part of the window, at times all of it, to the ns or a bit more. */
            const uint64_t window = (uint64_t)in.window_ns + 1;
            s->n = (int64_t)(dice == 0 ? window - 1 : dice == 1 ? window * 3 : (r >> 16) % window);
        } else {
            s->n = 1 + (int64_t)((r >> 16) % 3);
        }
    }
    return in;
}

static void take_step(const struct step *s, int64_t *last)
{
    struct mlt_event trade;
    switch (s->kind) {
    case STEP_WAIT:
        fixture_run(&f, f.now_ns + s->n);
        break;
    case STEP_DELTA:
        fixture_delta(&f, *last + 1, *last + s->n);
        *last += s->n;
        break;
    case STEP_REPEAT:
        fixture_delta(&f, *last, *last);
        break;
    case STEP_TRADE:
        trade = fixture_event(&f, MLT_EVENT_TRADE);
        trade.first = trade.last = *last;
        trade.u.trade.price = (struct mlt_decimal){ 150, -2 };
        trade.u.trade.quantity = (struct mlt_decimal){ 1, -5 };
        fixture_send(&f, &trade);
        break;
    default:
        fixture_snapshot(&f, FIRST_ID - 5); /* of the past */
        break;
    }
}

/* What is said of a change: its own delta. */
struct judge {
    int64_t window_ns;
    int64_t book_ns, book_last; /* of the newest BOOK */
    uint64_t sequence;
    uint64_t deltas, told; /* changes that came, and that BOOKs stand for */
    int64_t pending_ns;    /* when the oldest change that no BOOK shows came; INT64_MAX: none */
    bool at_once;          /* it has to leave in the moment in which it came */
    int64_t last;
    uint32_t digest; /* after the newest delta */
};

static const char *judge_book(struct judge *j, const struct mlt_event *e, int64_t at_ns)
{
    const struct mlt_book *b = &e->u.book;
    if (at_ns - j->book_ns < j->window_ns) {
        return "two BOOKs within one window";
    }
    if (e->sequence != j->sequence + 1 || e->first != j->book_last + 1) {
        return "a BOOK does not follow the one before";
    }
    if (b->state != MLT_BOOK_LIVE || b->last_update_id != j->last || b->digest != j->digest) {
        return "a BOOK is not the newest state";
    }
    if (j->pending_ns == INT64_MAX) {
        return "a BOOK without a change";
    }
    if (j->at_once ? at_ns != j->pending_ns : at_ns != j->book_ns + j->window_ns) {
        return j->at_once ? "the first did not leave at once"
                          : "a window's last state did not leave when the window closed";
    }
    j->told += e->merged + 1;
    j->sequence++;
    j->book_ns = at_ns;
    j->book_last = e->last;
    j->pending_ns = INT64_MAX;
    return NULL;
}

static const char *judge_delta(struct judge *j, const struct mlt_event *e, int64_t at_ns)
{
    if (e->u.book_delta.digest_version != 1) {
        return "a delta without a digest";
    }
    j->last = e->last;
    j->digest = e->u.book_delta.digest;
    j->deltas++;
    if (j->pending_ns == INT64_MAX) {
        j->pending_ns = at_ns;
        j->at_once = at_ns - j->book_ns >= j->window_ns;
    }
    return NULL;
}

/* NULL: all rules hold. They are those of a window of in->window_ns + off_ns. */
static const char *broken(const struct input *in, int64_t off_ns)
{
    struct mlt_conductor_books books = fixture_books;
    books.throttle_ns = in->window_ns;
    books.stale_after_ns = 3600 * MLT_NS_PER_S;
    fixture_open(&f, &books, false);
    struct judge j = { .window_ns = in->window_ns + off_ns,
                       .book_last = FIRST_ID,
                       .last = FIRST_ID,
                       .pending_ns = INT64_MAX };
    fixture_live(&f, FIRST_ID);
    j.book_ns = f.now_ns - 200 * MLT_NS_PER_MS;
    j.sequence = 1;
    int64_t last = FIRST_ID;
    for (size_t i = 0; i < in->count; i++) {
        take_step(&in->steps[i], &last);
    }
    fixture_run(&f, f.now_ns + in->window_ns);
    const char *what = NULL;
    for (size_t n = 0; n < f.count && what == NULL; n++) {
        if (f.out[n].type == MLT_EVENT_BOOK) {
            what = judge_book(&j, &f.out[n], f.out_ns[n]);
        } else if (f.out[n].type == MLT_EVENT_BOOK_DELTA) {
            what = judge_delta(&j, &f.out[n], f.out_ns[n]);
        }
    }
    if (what == NULL && (j.pending_ns != INT64_MAX || j.book_last != last)) {
        what = "the last state was not delivered";
    }
    if (what == NULL && j.told != j.deltas) {
        what = "BOOKs do not stand for each change once";
    }
    fixture_close(&f);
    return what;
}

/* ---- making it smaller ---- */

static struct input without(const struct input *in, size_t from, size_t count)
{
    struct input out = { .window_ns = in->window_ns };
    for (size_t i = 0; i < in->count; i++) {
        if (i < from || i >= from + count) {
            out.steps[out.count++] = in->steps[i];
        }
    }
    return out;
}

static bool drop_steps(struct input *in, int64_t off_ns)
{
    for (size_t size = in->count / 2 + 1; size > 0; size /= 2) {
        for (size_t from = 0; from < in->count; from += size) {
            const struct input less = without(in, from, size);
            if (less.count < in->count && broken(&less, off_ns) != NULL) {
                *in = less;
                return true;
            }
        }
    }
    return false;
}

/* Rounder and smaller numbers: milliseconds instead of nanoseconds, one update id. */
static bool simplify_steps(struct input *in, int64_t off_ns)
{
    for (size_t i = 0; i < in->count; i++) {
        const int64_t n = in->steps[i].n;
        const int64_t tries[] = { 1, n / MLT_NS_PER_MS * MLT_NS_PER_MS, n / 2 };
        for (size_t t = 0; t < 3; t++) {
            struct input less = *in;
            less.steps[i].n = tries[t];
            if (tries[t] > 0 && tries[t] < n && broken(&less, off_ns) != NULL) {
                *in = less;
                return true;
            }
        }
    }
    return false;
}

static void shrink(struct input *in, int64_t off_ns)
{
    while (drop_steps(in, off_ns) || simplify_steps(in, off_ns)) {
        /* each pass makes it smaller, so this ends */
    }
}

static void print_input(const struct input *in)
{
    static const char *const words[STEP_KINDS] = { "wait", "delta", "repeat", "trade", "snapshot" };
    print_message("window %lld ns; LIVE at %d, 200 ms ago\n", (long long)in->window_ns, FIRST_ID);
    for (size_t i = 0; i < in->count; i++) {
        const struct step *s = &in->steps[i];
        print_message("  %s %lld%s\n", words[s->kind], (long long)s->n,
                      s->kind == STEP_WAIT ? " ns" : "");
    }
}

/* ---- tests ---- */

static void test_first_at_once_one_a_window_and_the_last_state_always(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        struct input in = make_input(seed);
        if (broken(&in, 0) != NULL) {
            shrink(&in, 0);
            print_input(&in);
            fail_msg("seed %llu: %s", (unsigned long long)seed, broken(&in, 0));
        }
    }
}

/* Judged by another window than the core has, the rules break, and what is left is the heart of
 * it: a change that opens a window and one in it. */
static void test_a_window_of_another_length_is_found_and_shrunk(void **state)
{
    (void)state;
    unsigned found = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct input in = make_input(seed);
        if (broken(&in, MLT_NS_PER_MS) == NULL) {
            continue; /* too few steps */
        }
        found++;
        shrink(&in, MLT_NS_PER_MS);
        assert_in_range(in.count, 1, 3);
        assert_non_null(broken(&in, MLT_NS_PER_MS));
        assert_null(broken(&in, 0));
    }
    assert_true(found >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_at_once_one_a_window_and_the_last_state_always),
        cmocka_unit_test(test_a_window_of_another_length_is_found_and_shrunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
