/*
 * exchangeInfo changes while everything runs: a symbol (beyond ASCII) is listed, halted, stands
 * still, has another tick size, and is taken off. Consumers are told, its book comes and goes, and
 * nobody else's notices.
 */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "mlt_consumer.h"
#include "mlt_stack.h"

#define TOKEN "=E5=B8=810004-USDT" /* of the symbol below */
#define SYMBOL "%E5%B8%810004USDT"
#define WAIT_S 30

static const char table[] =
    "{\"version\":1,\"routes\":["
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"},"
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100,"
    "\"interval_ms\":60000}},"
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":1000}}],"
    "\"subscriptions\":["
    "{\"id\":\"trades\",\"type\":\"TRADE\",\"instruments\":[\"*-USDT\"]},"
    "{\"id\":\"listing\",\"type\":\"INSTRUMENT\",\"instruments\":[\"*-USDT\"]},"
    "{\"id\":\"books\",\"type\":\"BOOK\",\"instruments\":[\"*-USDT\"]}]}";

static struct mlt_stack stack;
static struct mlt_consumer consumer;

/* Of the symbol that changes, and of the three others together. Under the consumer's lock. */
static struct {
    char status[32];
    struct mlt_decimal tick;
    uint64_t live_books, trades;
    uint64_t others_live, others_unwell; /* STATUS that says that something is wrong */
} seen;                                  /* under the consumer's lock */

static void look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes)
{
    (void)ctx;
    (void)bytes;
    const bool ours = mlt_slice_equal_string(event->instrument, TOKEN);
    const bool live = event->type == MLT_EVENT_BOOK && event->u.book.state == MLT_BOOK_LIVE;
    if (!ours) {
        seen.others_live += live;
        seen.others_unwell +=
            event->type == MLT_EVENT_STATUS &&
            (event->u.status.kind == MLT_STATUS_GAP || event->u.status.kind == MLT_STATUS_STALE ||
             event->u.status.kind == MLT_STATUS_SOURCE_DOWN);
        return;
    }
    seen.live_books += live;
    seen.trades += event->type == MLT_EVENT_TRADE;
    if (event->type == MLT_EVENT_INSTRUMENT) {
        (void)snprintf(seen.status, sizeof seen.status, "%.*s",
                       MLT_SLICE_FMT(event->u.instrument.status));
        seen.tick = event->u.instrument.tick_size;
    }
}

static void tell(const char *what)
{
    char target[160];
    struct mlt_buf body;
    (void)snprintf(target, sizeof target, "/sim/listing?symbol=%s&%s", SYMBOL, what);
    mlt_buf_init(&body, 1u << 16);
    mlt_stack_get(&stack, "exchange", target, &body);
    mlt_buf_fini(&body);
}

static bool has_status(void *ctx)
{
    return strcmp(seen.status, ctx) == 0;
}

static bool live_books_above(void *ctx)
{
    return seen.live_books > *(const uint64_t *)ctx;
}

static bool others_above(void *ctx)
{
    return seen.others_live > *(const uint64_t *)ctx;
}

static bool has_other_tick(void *ctx)
{
    (void)ctx;
    return seen.tick.mantissa == 50000000 && seen.tick.exponent == -8; /* as it is printed */
}

static void await(bool (*done)(void *ctx), void *ctx, const char *what)
{
    if (!mlt_consumer_wait(&consumer, done, ctx, WAIT_S)) {
        fail_msg("not within %d s: %s; status \"%s\", %llu LIVE books", WAIT_S, what, seen.status,
                 (unsigned long long)seen.live_books);
    }
}

/* That many LIVE books more, of it or of the others. */
static void await_books(bool own, uint64_t more, const char *what)
{
    (void)pthread_mutex_lock(&consumer.lock);
    uint64_t above = (own ? seen.live_books : seen.others_live) + more - 1;
    (void)pthread_mutex_unlock(&consumer.lock);
    await(own ? live_books_above : others_above, &above, what);
}

static uint64_t own_books(void)
{
    (void)pthread_mutex_lock(&consumer.lock);
    const uint64_t books = seen.live_books;
    (void)pthread_mutex_unlock(&consumer.lock);
    return books;
}

static void test_listing_changes_are_told_and_touch_nobody_else(void **state)
{
    (void)state;
    char path[] = "/tmp/meltica-listing-table.XXXXXX", trading[] = "TRADING", halt[] = "HALT",
         stopped[] = "BREAK", gone[] = "DELISTED";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, table, sizeof table - 1), sizeof table - 1);
    assert_int_equal(close(fd), 0);
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "4", "--rate", "400", "--seed", "9", "--unlisted",
                      "1", "--unicode", "1" },
        .table = path,
    };
    consumer.look = look;
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
    await_books(false, 30, "books of the others");
    assert_int_equal(own_books(), 0);
    (void)pthread_mutex_lock(&consumer.lock);
    const bool listed = seen.status[0] != '\0';
    seen.others_unwell = 0;
    (void)pthread_mutex_unlock(&consumer.lock);
    assert_false(listed);

    tell("listed=1"); /* new: the patterns of all three subscriptions cover it */
    await(has_status, trading, "INSTRUMENT of the new one");
    await_books(true, 5, "its book");

    tell("status=HALT"); /* data goes on */
    await(has_status, halt, "HALT");
    await_books(true, 5, "its book in HALT");

    tell("tick=0.5");
    await(has_other_tick, NULL, "the other tick size");
    await_books(true, 5, "its book with another tick size");

    tell("status=BREAK"); /* and none */
    await(has_status, stopped, "BREAK");
    await_books(false, 10, "what was on its way");
    const uint64_t before = own_books();
    await_books(false, 30, "books of the others meanwhile");
    assert_int_equal(own_books(), before);
    tell("status=TRADING");
    await(has_status, trading, "TRADING again");
    await_books(true, 5, "its book again");

    tell("listed=0");
    await(has_status, gone, "that it is taken off");
    await_books(false, 30, "books of the others after it");
    tell("listed=1"); /* and back: subscribed again without a word of anybody's */
    await(has_status, trading, "that it is back");
    await_books(true, 5, "its book after it came back");

    struct mlt_tally_totals totals;
    mlt_consumer_totals(&consumer, &totals);
    assert_int_equal(totals.sequence_holes, 0);
    assert_int_equal(totals.duplicates, 0);
    (void)pthread_mutex_lock(&consumer.lock);
    const uint64_t unwell = seen.others_unwell, trades = seen.trades;
    (void)pthread_mutex_unlock(&consumer.lock);
    assert_int_equal(unwell, 0);
    assert_true(trades > 0);
    static const char *const services[] = { "dispatcher", "control-bus", "data-bus", "conductor",
                                            "adapter" };
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(mlt_stack_terminate(&stack, services[i]), 0);
    }
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listing_changes_are_told_and_touch_nobody_else),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
