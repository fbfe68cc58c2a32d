/*
 * Every book is LIVE again within two seconds after a fault is over: lines to the exchange that
 * were cut, stalled or half-open, and each service killed with -9 under load. Of a line STATUS says
 * so, before and after; of a kill no channel has a hole that nobody names.
 */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "mlt_consumer.h"
#include "mlt_stack.h"

#define SYMBOLS 4u
#define WAIT_S 60
#define VALID_NS ((MLT_TEST_SANITIZED ? 6 : 2) * MLT_NS_PER_S)
#define STALL_NS (2 * MLT_NS_PER_S)

/* When the consumer heard it first, monotonic; 0: not since the fault began. */
struct book {
    int64_t down_ns, stale_ns, up_ns, live_said_ns; /* STATUS; up: after down, live: after STALE */
    int64_t live_ns; /* a BOOK that is LIVE; of a line that ended: after up */
};

static struct mlt_stack stack;
static struct mlt_consumer consumer;
static struct {
    struct book books[SYMBOLS];
    int64_t received_ns; /* wall clock: a BOOK of what came to the Adapter before it is no proof */
    bool line_ends;
} seen; /* under the consumer's lock */

static struct book *book_of(struct mlt_slice token)
{
    for (unsigned i = 0; i < SYMBOLS; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "SYM%04u-USDT", i + 1);
        if (mlt_slice_equal_string(token, name)) {
            return &seen.books[i];
        }
    }
    return NULL;
}

static void first(int64_t *at_ns, bool counts)
{
    if (*at_ns == 0 && counts) {
        *at_ns = mlt_clock_mono_ns();
    }
}

static void look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes)
{
    struct book *b = book_of(event->instrument);
    (void)ctx, (void)bytes;
    if (b == NULL) {
        return;
    }
    if (event->type == MLT_EVENT_STATUS) {
        const enum mlt_status_kind kind = event->u.status.kind;
        first(&b->down_ns, kind == MLT_STATUS_SOURCE_DOWN);
        first(&b->stale_ns, kind == MLT_STATUS_STALE);
        first(&b->up_ns, kind == MLT_STATUS_SOURCE_UP && b->down_ns != 0);
        first(&b->live_said_ns, kind == MLT_STATUS_LIVE && b->stale_ns != 0);
    } else if (event->type == MLT_EVENT_BOOK) {
        first(&b->live_ns,
              event->u.book.state == MLT_BOOK_LIVE && (event->quality & MLT_QUALITY_STALE) == 0 &&
                  event->stamps.received >= seen.received_ns && (b->up_ns != 0 || !seen.line_ends));
    }
}

/* A fault begins: what was seen is of before. */
static void begin(bool line_ends)
{
    (void)pthread_mutex_lock(&consumer.lock);
    memset(seen.books, 0, sizeof seen.books);
    seen.received_ns = mlt_clock_wall_ns();
    seen.line_ends = line_ends;
    (void)pthread_mutex_unlock(&consumer.lock);
}

static bool all_are_live(void *ctx)
{
    (void)ctx;
    for (unsigned i = 0; i < SYMBOLS; i++) {
        if (seen.books[i].live_ns == 0) {
            return false;
        }
    }
    return true;
}

static void await_live(const char *what)
{
    if (!mlt_consumer_wait(&consumer, all_are_live, NULL, WAIT_S)) {
        fail_msg("%s: no LIVE book of each within %d s", what, WAIT_S);
    }
}

static void assert_in_time(const char *what, int64_t over_ns, int64_t live_ns)
{
    const int64_t took_ns = live_ns > over_ns ? live_ns - over_ns : 0;
    print_message("    %s: LIVE after %lld ms\n", what, (long long)(took_ns / MLT_NS_PER_MS));
    assert_true(took_ns < VALID_NS);
}

static void start(const char *const *adapter, const char *stale_after_ms)
{
    struct mlt_stack_options options = { .exchange = { "--synthetic", "--symbols", "4", "--rate",
                                                       "2000", "--seed", "13", "--ping-interval-s",
                                                       "1" },
                                         .conductor = { "--stale-after-ms", stale_after_ms } };
    for (unsigned i = 0; adapter[i] != NULL; i++) {
        options.adapter[i] = adapter[i];
    }
    memset(&consumer, 0, sizeof consumer);
    memset(&seen, 0, sizeof seen);
    consumer.look = look;
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
    await_live("at the start");
}

static void stop(void)
{
    static const char *const services[] = { "dispatcher", "control-bus", "data-bus", "conductor",
                                            "adapter" };
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(mlt_stack_terminate(&stack, services[i]), 0);
    }
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
}

static void tell(const char *target)
{
    struct mlt_buf body;
    mlt_buf_init(&body, 1u << 16);
    mlt_stack_get(&stack, "exchange", target, &body);
    mlt_buf_fini(&body);
}

/* ---- lines ---- */

/* Each instrument is down and STALE, then up and LIVE. */
static void lines_return(const char *what, const char *target)
{
    begin(true);
    tell(target);
    await_live(what);
    (void)pthread_mutex_lock(&consumer.lock);
    for (unsigned i = 0; i < SYMBOLS; i++) {
        const struct book *b = &seen.books[i];
        assert_true(b->down_ns > 0 && b->stale_ns >= b->down_ns);
        assert_true(b->up_ns >= b->stale_ns && b->live_said_ns >= b->stale_ns);
        assert_true(b->live_ns >= b->live_said_ns);
        assert_in_time(what, b->up_ns, b->live_ns);
    }
    (void)pthread_mutex_unlock(&consumer.lock);
    struct mlt_tally_totals totals;
    mlt_consumer_totals(&consumer, &totals);
    assert_int_equal(totals.sequence_holes, 0);
    assert_int_equal(totals.duplicates, 0);
}

static void test_cut_lines_books_are_live_two_seconds_after_their_return(void **state)
{
    static const char *const none[] = { NULL };
    (void)state;
    start(none, "60000");
    lines_return("lines without a close frame", "/sim/end-lines?code=0");
    lines_return("lines with a close frame", "/sim/end-lines?code=1001");
    stop();
}

static void test_half_open_lines_books_are_live_two_seconds_after_their_return(void **state)
{
    static const char *const watchful[] = { "--ws-silence-ms", "3000", NULL };
    (void)state;
    start(watchful, "60000");
    lines_return("half-open lines", "/sim/half-open");
    stop();
}

/* The lines stay: books are STALE by what does not come. */
static void test_stalled_lines_books_are_live_two_seconds_after_them(void **state)
{
    static const char *const none[] = { NULL };
    (void)state;
    start(none, "500");
    begin(false);
    (void)pthread_mutex_lock(&consumer.lock);
    seen.received_ns += STALL_NS; /* frames that came after it */
    (void)pthread_mutex_unlock(&consumer.lock);
    tell("/sim/stall?ms=2000");
    const int64_t over_ns = mlt_clock_mono_ns() + STALL_NS;
    await_live("stalled lines");
    (void)pthread_mutex_lock(&consumer.lock);
    for (unsigned i = 0; i < SYMBOLS; i++) {
        const struct book *b = &seen.books[i];
        assert_int_equal(b->down_ns, 0);
        assert_true(b->stale_ns > 0 && b->stale_ns < over_ns);
        assert_true(b->live_said_ns > b->stale_ns);
        assert_in_time("stalled lines", over_ns, b->live_ns);
    }
    (void)pthread_mutex_unlock(&consumer.lock);
    assert_int_equal(mlt_stack_metric(&stack, "adapter", "meltica_adapter_line_ended_total", ""),
                     0);
    struct mlt_tally_totals totals;
    mlt_consumer_totals(&consumer, &totals);
    assert_int_equal(totals.sequence_holes, 0);
    assert_int_equal(totals.duplicates, 0);
    stop();
}

/* ---- kills ---- */

static void test_any_service_killed_books_are_live_two_seconds_after_its_return(void **state)
{
    static const char *const services[] = { "control-bus", "dispatcher", "conductor", "data-bus",
                                            "adapter" };
    static const char *const none[] = { NULL };
    (void)state;
    start(none, "60000");
    for (unsigned i = 0; i < 5; i++) {
        struct mlt_tally_totals before, after;
        mlt_consumer_totals(&consumer, &before);
        mlt_stack_kill(&stack, services[i]);
        begin(false); /* no book of before */
        mlt_stack_run(&stack, services[i]);
        const int64_t over_ns = mlt_clock_mono_ns();
        await_live(services[i]);
        (void)pthread_mutex_lock(&consumer.lock);
        for (unsigned k = 0; k < SYMBOLS; k++) {
            assert_in_time(services[i], over_ns, seen.books[k].live_ns);
        }
        (void)pthread_mutex_unlock(&consumer.lock);
        mlt_consumer_totals(&consumer, &after);
        assert_int_equal(after.sequence_holes, before.sequence_holes);
        assert_int_equal(after.epoch_ends_unknown, before.epoch_ends_unknown);
        if (strcmp(services[i], "adapter") == 0) { /* what it did not hear is gone */
            assert_true(after.lost > before.lost);
        } else {
            assert_int_equal(after.lost, before.lost);
        }
    }
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_lines_books_are_live_two_seconds_after_their_return),
        cmocka_unit_test(test_half_open_lines_books_are_live_two_seconds_after_their_return),
        cmocka_unit_test(test_stalled_lines_books_are_live_two_seconds_after_them),
        cmocka_unit_test(test_any_service_killed_books_are_live_two_seconds_after_its_return),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
