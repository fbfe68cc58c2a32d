/* What came out of the fixture that a test of books has: one a program, `f`. */
#ifndef MELTICA_TESTS_BOOKS_EXPECT_H
#define MELTICA_TESTS_BOOKS_EXPECT_H

#include "books_fixture.h"

static struct books_fixture f;

static inline void expect(size_t n, enum mlt_event_type type)
{
    assert_true(n < f.count);
    assert_string_equal(mlt_event_type_word((int)f.out[n].type), mlt_event_type_word((int)type));
}

static inline void expect_status(size_t n, enum mlt_status_kind kind, const char *reason,
                                 enum mlt_book_state from, int64_t first, int64_t last)
{
    expect(n, MLT_EVENT_STATUS);
    const struct mlt_status_event *s = &f.out[n].u.status;
    assert_string_equal(mlt_status_kind_word((int)s->kind), mlt_status_kind_word((int)kind));
    assert_true(mlt_slice_equal_string(s->reason, reason));
    assert_int_equal(s->from, from);
    assert_int_equal(s->update_first, first);
    assert_int_equal(s->update_last, last);
    assert_true(f.out[n].sequence > 0);
}

static inline const struct mlt_book *expect_book_at(size_t n, enum mlt_book_state state,
                                                    int64_t last)
{
    expect(n, MLT_EVENT_BOOK);
    const struct mlt_book *b = &f.out[n].u.book;
    assert_string_equal(mlt_book_state_word((int)b->state), mlt_book_state_word((int)state));
    assert_int_equal(f.out[n].last, last);
    assert_int_equal(b->last_update_id, last);
    return b;
}

static inline const struct mlt_book *expect_book(size_t n, enum mlt_book_state state, int64_t first,
                                                 int64_t last)
{
    const struct mlt_book *b = expect_book_at(n, state, last);
    assert_int_equal(f.out[n].first, first);
    return b;
}

/* As fixture_snapshot and fixture_delta make them. */
static inline void expect_delta(size_t n, int64_t last, bool with_digest)
{
    expect(n, MLT_EVENT_BOOK_DELTA);
    assert_int_equal(f.out[n].last, last);
    const int64_t bids[] = { 100, 99 }, asks[] = { 200, 201 }, quantities[] = { last, 7 };
    const struct mlt_levels bid = { -2, -5, 2, bids, quantities },
                            ask = { -2, -5, 2, asks, quantities };
    assert_int_equal(f.out[n].u.book_delta.digest_version, with_digest ? 1 : 0);
    assert_int_equal(f.out[n].u.book_delta.digest, with_digest ? mlt_book_digest(&bid, &ask) : 0);
}

#endif
