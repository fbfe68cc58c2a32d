/*
 * Books through the real processes on a synthetic market: what is published is the exchange's own
 * book at that id, a follower of deltas agrees with every digest, and both are so again after a
 * process was killed.
 */
#include "mlt_test.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#include "book.h"
#include "mlt_consumer.h"
#include "mlt_stack.h"

#define SYMBOLS 4u
#define SHOWN 20u
#define RESETS 8u

struct followed {
    char token[32];
    struct mlt_orderbook *book;
    bool following;
    int64_t resets[RESETS]; /* ids of the newest snapshots with `reset`, in turn */
    uint64_t reset_count;
    uint64_t digests, live_books, live, gaps, syncing;
    /* Of the last BOOK that was LIVE. */
    int64_t last;
    size_t count[2];
    int32_t price_exponent, quantity_exponent;
    int64_t prices[2][SHOWN], quantities[2][SHOWN];
};

static struct mlt_stack stack;
static struct mlt_consumer consumer;
static struct seen {
    struct followed symbols[SYMBOLS];
    uint64_t wrong_digests, wrong_books, broken;
    uint64_t wanted; /* digests and, in tens, LIVE BOOKs of each since `from` */
    uint64_t digests_from[SYMBOLS], books_from[SYMBOLS];
} seen;

static struct followed *followed_of(struct seen *s, struct mlt_slice token)
{
    for (unsigned i = 0; i < SYMBOLS; i++) {
        if (s->symbols[i].token[0] == '\0') {
            (void)snprintf(s->symbols[i].token, sizeof s->symbols[i].token, "%.*s",
                           MLT_SLICE_FMT(token));
        }
        if (mlt_slice_equal_string(token, s->symbols[i].token)) {
            return &s->symbols[i];
        }
    }
    return NULL;
}

static void look_delta(struct seen *s, struct followed *f, const struct mlt_event *event)
{
    const struct mlt_book_delta *d = &event->u.book_delta;
    if (f->following && event->last > mlt_orderbook_last(f->book)) {
        f->following = event->first <= mlt_orderbook_last(f->book) + 1 &&
                       mlt_orderbook_apply(f->book, &d->bids, &d->asks, event->last) == MLT_OK;
    }
    if (d->digest_version > 0) {
        f->digests++;
        s->broken += !f->following;
        s->wrong_digests += f->following && d->digest != mlt_orderbook_digest(f->book);
    }
}

static void look_snapshot(struct seen *s, struct followed *f, const struct mlt_event *event)
{
    const struct mlt_book_snapshot *snapshot = &event->u.book_snapshot;
    if (!snapshot->reset) {
        return;
    }
    if (f->book == NULL) {
        const struct mlt_orderbook_options options = { 8192, snapshot->bids.price_exponent,
                                                       snapshot->bids.quantity_exponent };
        s->broken += mlt_orderbook_create(&options, &f->book) != MLT_OK;
    }
    f->resets[f->reset_count++ % RESETS] = snapshot->last_update_id;
    f->following = f->book != NULL && mlt_orderbook_seed(f->book, snapshot) == MLT_OK;
    s->broken += !f->following;
}

static bool was_reset_at(const struct followed *f, int64_t id)
{
    for (uint64_t i = 0; i < RESETS && i < f->reset_count; i++) {
        if (f->resets[i] == id) {
            return true;
        }
    }
    return false;
}

static void look_book(struct seen *s, struct followed *f, const struct mlt_book *book)
{
    if (book->state != MLT_BOOK_LIVE) {
        return;
    }
    f->live_books++;
    if (book->digest_version == 0) { /* a late one at the id of a snapshot, and no other */
        s->wrong_books += !was_reset_at(f, book->last_update_id);
    } else {
        s->wrong_books += book->digest != mlt_book_digest(&book->bids, &book->asks);
        s->wrong_books += f->following && book->last_update_id == mlt_orderbook_last(f->book) &&
                          book->digest != mlt_orderbook_digest(f->book);
    }
    const struct mlt_levels *sides[2] = { &book->bids, &book->asks };
    f->last = book->last_update_id;
    f->price_exponent = book->bids.price_exponent;
    f->quantity_exponent = book->bids.quantity_exponent;
    for (unsigned i = 0; i < 2; i++) {
        f->count[i] = sides[i]->count < SHOWN ? sides[i]->count : SHOWN;
        memcpy(f->prices[i], sides[i]->prices, f->count[i] * sizeof(int64_t));
        memcpy(f->quantities[i], sides[i]->quantities, f->count[i] * sizeof(int64_t));
    }
}

static void look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes)
{
    struct seen *s = ctx;
    struct followed *f = followed_of(s, event->instrument);
    (void)bytes;
    if (f == NULL) {
        return;
    }
    switch (event->type) {
    case MLT_EVENT_BOOK_DELTA:
        look_delta(s, f, event);
        break;
    case MLT_EVENT_BOOK_SNAPSHOT:
        look_snapshot(s, f, event);
        break;
    case MLT_EVENT_BOOK:
        look_book(s, f, &event->u.book);
        break;
    case MLT_EVENT_STATUS:
        f->live += event->u.status.kind == MLT_STATUS_LIVE;
        f->gaps += event->u.status.kind == MLT_STATUS_GAP;
        f->syncing += event->u.status.kind == MLT_STATUS_SYNCING;
        break;
    default:
        break;
    }
}

/* `wanted` digests and a tenth of that in LIVE BOOKs more, of every symbol. */
static bool enough(void *ctx)
{
    const struct seen *s = ctx;
    for (unsigned i = 0; i < SYMBOLS; i++) {
        if (s->symbols[i].digests < s->digests_from[i] + s->wanted ||
            s->symbols[i].live_books < s->books_from[i] + s->wanted / 10) {
            return false;
        }
    }
    return true;
}

static bool each_had_a_gap(void *ctx)
{
    const struct seen *s = ctx;
    for (unsigned i = 0; i < SYMBOLS; i++) {
        if (s->symbols[i].gaps == 0) {
            return false;
        }
    }
    return true;
}

static void want_more(uint64_t digests)
{
    (void)pthread_mutex_lock(&consumer.lock);
    seen.wanted = digests;
    for (unsigned i = 0; i < SYMBOLS; i++) {
        seen.digests_from[i] = seen.symbols[i].digests;
        seen.books_from[i] = seen.symbols[i].live_books;
    }
    (void)pthread_mutex_unlock(&consumer.lock);
}

static void assert_side(const cJSON *levels, const struct followed *f, unsigned side)
{
    assert_true(f->count[side] > 0);
    for (size_t i = 0; i < f->count[side]; i++) {
        const cJSON *level = cJSON_GetArrayItem(levels, (int)i);
        struct mlt_decimal price, quantity;
        assert_non_null(level);
        assert_int_equal(
            mlt_decimal_parse(mlt_slice_of_string(cJSON_GetArrayItem(level, 0)->valuestring),
                              &price),
            MLT_OK);
        assert_int_equal(
            mlt_decimal_parse(mlt_slice_of_string(cJSON_GetArrayItem(level, 1)->valuestring),
                              &quantity),
            MLT_OK);
        const struct mlt_decimal shown[2] = { { f->prices[side][i], f->price_exponent },
                                              { f->quantities[side][i], f->quantity_exponent } };
        assert_int_equal(mlt_decimal_compare(price, shown[0]), 0);
        assert_int_equal(mlt_decimal_compare(quantity, shown[1]), 0);
    }
}

/* The last LIVE BOOK of each symbol is the exchange's book at that id. */
static void assert_true_books(void)
{
    for (unsigned i = 0; i < SYMBOLS; i++) {
        (void)pthread_mutex_lock(&consumer.lock);
        const struct followed f = seen.symbols[i];
        (void)pthread_mutex_unlock(&consumer.lock);
        char target[128], symbol[32];
        (void)snprintf(symbol, sizeof symbol, "%.*sUSDT", (int)(strchr(f.token, '-') - f.token),
                       f.token);
        (void)snprintf(target, sizeof target, "/sim/book?symbol=%s&limit=20&id=%lld", symbol,
                       (long long)f.last);
        struct mlt_buf body;
        mlt_buf_init(&body, 1u << 20);
        mlt_stack_get(&stack, "exchange", target, &body);
        cJSON *truth = cJSON_ParseWithLength((const char *)body.data, body.len);
        assert_non_null(truth);
        assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(truth, "exact")));
        assert_side(cJSON_GetObjectItemCaseSensitive(truth, "bids"), &f, 0);
        assert_side(cJSON_GetObjectItemCaseSensitive(truth, "asks"), &f, 1);
        cJSON_Delete(truth);
        mlt_buf_fini(&body);
    }
}

static void assert_right(uint64_t digests, int seconds)
{
    want_more(digests);
    assert_true(mlt_consumer_wait(&consumer, enough, &seen, seconds));
    (void)pthread_mutex_lock(&consumer.lock);
    const uint64_t wrong = seen.wrong_digests + seen.wrong_books + seen.broken;
    (void)pthread_mutex_unlock(&consumer.lock);
    assert_int_equal(wrong, 0);
    assert_true_books();
}

static void test_books_are_the_exchanges_own_also_after_kills(void **state)
{
    (void)state;
    const struct mlt_stack_options options = { .exchange = { "--synthetic", "--symbols", "4",
                                                             "--rate", "2000", "--seed", "11" } };
    consumer.look = look;
    consumer.ctx = &seen;
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
    assert_right(30, 60);
    assert_int_equal(
        mlt_stack_metric(&stack, "conductor", "meltica_conductor_book_states", "state=\"LIVE\""),
        SYMBOLS);
    assert_int_equal(mlt_stack_metric(&stack, "conductor", "meltica_conductor_book_gaps_total", ""),
                     0);
    assert_int_equal(
        mlt_stack_metric(&stack, "conductor", "meltica_conductor_book_audits_total", "wrong"), 0);
    assert_true(mlt_stack_metric(&stack, "conductor", "meltica_conductor_resync_requests_total",
                                 "accepted") >= 1);

    /* What was missed at the exchange is a gap, and mended. */
    mlt_stack_kill(&stack, "adapter");
    mlt_stack_run(&stack, "adapter");
    assert_true(mlt_consumer_wait(&consumer, each_had_a_gap, &seen, 60));
    assert_right(20, 60);

    /* One that ends in order says that the source is down; the next one says that it is up, and the
     * books do not wait for anything else. */
    const uint64_t ups = mlt_consumer_status_count(&consumer, MLT_STATUS_SOURCE_UP);
    assert_int_equal(mlt_stack_terminate(&stack, "adapter"), 0);
    mlt_stack_run(&stack, "adapter");
    assert_right(20, 60);
    assert_int_equal(mlt_consumer_status_count(&consumer, MLT_STATUS_SOURCE_DOWN), SYMBOLS);
    assert_true(mlt_consumer_status_count(&consumer, MLT_STATUS_SOURCE_UP) >= ups + SYMBOLS);

    /* A new owner makes its books anew. */
    mlt_stack_kill(&stack, "conductor");
    mlt_stack_run(&stack, "conductor");
    assert_right(20, 60);

    static const char *const services[] = { "dispatcher", "control-bus", "data-bus", "conductor",
                                            "adapter" };
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(mlt_stack_terminate(&stack, services[i]), 0);
    }
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
    for (unsigned i = 0; i < SYMBOLS; i++) {
        mlt_orderbook_destroy(seen.symbols[i].book);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_books_are_the_exchanges_own_also_after_kills),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
