/*
 * Late joiners against a whole Meltica with a synthetic market: many of them, each beginning at
 * another moment, all have the book with every digest equal; also those that follow while the
 * Conductor is killed and another one takes over.
 */
#include "mlt_test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "mlt_consumer.h"
#include "mlt_stack.h"
#include "verify.h"

#define SYMBOLS 4u
#define JOINERS (MLT_TEST_SANITIZED ? 40u : 200u)
#define JOINERS_MAX 200u
#define CONNECTIONS 8u
#define DELTAS_BETWEEN 1u /* of all symbols: so that no two begin at the same moment */
/* For five digests and three books, which the market has in less than one. */
#define FOLLOWED_NS (3 * MLT_NS_PER_S)
#define JOIN_LIMIT_NS ((MLT_TEST_SANITIZED ? 5 : 3) * MLT_NS_PER_S)

static struct mlt_stack stack;
static struct mlt_consumer consumer;
static struct mlt_bus *buses[CONNECTIONS];
static struct joiner {
    pthread_t thread;
    char instrument[32];
    struct mlt_verify_options options;
    struct mlt_verify_result result;
    enum mlt_status status;
} joiners[JOINERS_MAX];

/* Where each symbol's deltas stood when the Conductor was killed, and the first id after that which
 * another one numbered. Under the consumer's lock. */
static struct {
    uint64_t epoch;
    int64_t after[SYMBOLS];
} next;

static void look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes)
{
    (void)ctx;
    (void)bytes;
    if (event->type == MLT_EVENT_BOOK_DELTA && event->u.book_delta.digest_version > 0 &&
        event->epoch > next.epoch) {
        const unsigned symbol = (unsigned)(event->instrument.data[6] - '1'); /* SYM0001-USDT */
        if (symbol < SYMBOLS && next.after[symbol] == 0) {
            next.after[symbol] = event->last;
        }
    }
}

static int set_up(void **state)
{
    (void)state;
    const struct mlt_stack_options options = { .exchange = { "--synthetic", "--symbols", "4",
                                                             "--rate", "300", "--seed", "23" } };
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        struct mlt_error err = MLT_ERROR_INIT;
        const struct mlt_bus_options to = { .kind = MLT_BUS_CONTROL,
                                            .url = stack.nats_url,
                                            .name = "test-joiner" };
        assert_int_equal(mlt_bus_connect(&to, &buses[i], &err), MLT_OK);
        assert_int_equal(mlt_bus_wait_connected(buses[i], 10 * MLT_NS_PER_S), MLT_OK);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        mlt_bus_destroy(buses[i], 0);
    }
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
    return 0;
}

static void *join(void *arg)
{
    struct joiner *j = arg;
    struct mlt_error err = MLT_ERROR_INIT;
    j->status = mlt_verify(&j->options, &j->result, &err);
    return NULL;
}

static void start(unsigned i, int64_t duration_ns)
{
    struct joiner *j = &joiners[i];
    (void)snprintf(j->instrument, sizeof j->instrument, "SYM%04u-USDT", 1 + i % SYMBOLS);
    j->options = (struct mlt_verify_options){ .bus = buses[i % CONNECTIONS],
                                              .instrument = j->instrument,
                                              .duration_ns = duration_ns,
                                              .stop = -1 };
    assert_int_equal(pthread_create(&j->thread, NULL, join, j), 0);
}

static int by_time(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void finish(unsigned count)
{
    int64_t times[JOINERS_MAX];
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(pthread_join(joiners[i].thread, NULL), 0);
    }
    for (unsigned i = 0; i < count; i++) {
        const struct mlt_verify_result *r = &joiners[i].result;
        assert_int_equal(joiners[i].status, MLT_OK);
        if (!r->right || r->state != MLT_BOOK_LIVE) {
            fail_msg("joiner %u of %s: %s (%s)", i, joiners[i].instrument, r->reason,
                     mlt_book_state_word((int)r->state));
        }
        assert_int_equal(r->counts.digests_wrong + r->counts.books_wrong + r->counts.crossed, 0);
        times[i] = r->join_ns;
    }
    qsort(times, count, sizeof times[0], by_time);
    print_message("%u joined: median %lld ms, slowest %lld ms\n", count,
                  (long long)(times[count / 2] / MLT_NS_PER_MS),
                  (long long)(times[count - 1] / MLT_NS_PER_MS));
    assert_true(times[count - 1] < JOIN_LIMIT_NS);
}

static void test_every_late_joiner_has_the_book(void **state)
{
    (void)state;
    /* A second of the market, so that it is late. */
    assert_true(mlt_consumer_wait_count(&consumer, MLT_EVENT_BOOK, UINT64_C(10) * SYMBOLS, 60));
    for (unsigned i = 0; i < JOINERS; i++) {
        start(i, FOLLOWED_NS);
        const uint64_t count = mlt_consumer_count(&consumer, MLT_EVENT_BOOK_DELTA);
        assert_true(
            mlt_consumer_wait_count(&consumer, MLT_EVENT_BOOK_DELTA, count + DELTAS_BETWEEN, 60));
    }
    finish(JOINERS);
    uint64_t by_checkpoint = 0;
    for (unsigned i = 0; i < JOINERS; i++) {
        const struct mlt_follow_counts *c = &joiners[i].result.counts;
        assert_true(joiners[i].result.joined);
        by_checkpoint += c->checkpoints > 0;
        assert_true(c->digests_right >= 5 && c->books_right >= 3);
        assert_int_equal(c->update_gaps, 0);
        assert_true(c->checkpoints + c->resets >= 1);
    }
    /* A few may have come just before a snapshot. */
    print_message("%llu joined by the checkpoint\n", (unsigned long long)by_checkpoint);
    assert_true(by_checkpoint >= JOINERS * 9 / 10);
}

static void test_joiners_follow_from_one_conductor_to_the_next(void **state)
{
    (void)state;
    const unsigned count = SYMBOLS * 2;
    for (unsigned i = 0; i < count; i++) {
        start(i, 6 * MLT_NS_PER_S);
    }
    const uint64_t books = mlt_consumer_count(&consumer, MLT_EVENT_BOOK);
    assert_true(
        mlt_consumer_wait_count(&consumer, MLT_EVENT_BOOK, books + UINT64_C(10) * SYMBOLS, 60));
    (void)pthread_mutex_lock(&consumer.lock);
    next.epoch = consumer.epochs[MLT_EVENT_BOOK_DELTA];
    consumer.look = look;
    (void)pthread_mutex_unlock(&consumer.lock);
    mlt_stack_kill(&stack, "conductor");
    mlt_stack_run(&stack, "conductor");
    finish(count);
    for (unsigned i = 0; i < count; i++) {
        const int64_t after = next.after[i % SYMBOLS];
        assert_true(after > 0 && joiners[i].result.last_update_id > after);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_late_joiner_has_the_book),
        cmocka_unit_test(test_joiners_follow_from_one_conductor_to_the_next),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, set_up, tear_down));
}
