/*
 * Two Adapters behind one address, each with half of the partitions: 400 books drop at once while
 * deeper snapshots take all that they may, and are LIVE again as soon as the weight allows. By the
 * exchange's own count no minute of the address holds more than the share, also where one of the
 * Adapters is killed with what it has reserved; and a refusal of the exchange holds for both.
 *
 * The floor. A resync weighs 5 (depth of 100), and any 60 s hold at most B, the share. Of the 60 s
 * before the drop deepening has used its ceiling, 0.8 B. What is above B of 0.8 B and the weight of
 * all resyncs waits for whole minutes: 60 s * (ceil((0.8 B + 5 * 400) / B) - 1).
 */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "mlt_consumer.h"
#include "mlt_stack.h"

#define SYMBOLS 400u
#define WEIGHT_LIMIT 6000 /* of the exchange; the share is half of it */
#define SHARE (WEIGHT_LIMIT / 2)
#define RESYNC_WEIGHT 5
#define SPENT (SHARE * 8 / 10)
#define FLOOR_S (60 * ((SPENT + RESYNC_WEIGHT * (int)SYMBOLS + SHARE - 1) / SHARE - 1))
#define SHARING "--egress", "office", "--egress-adapters", "2", "--replicas", "2", "--replica"

static const char table[] =
    "{\"version\":1,\"routes\":["
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100}},"
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":3600000}}],"
    "\"subscriptions\":[{\"id\":\"books\",\"type\":\"BOOK\",\"instruments\":[\"*\"]}]}";

static struct mlt_stack stack;
static struct mlt_consumer consumer;

/* What the consumer sees of each book; under its lock. */
static struct {
    bool live[SYMBOLS], dropped[SYMBOLS];
    unsigned live_count, dropped_count;
    int64_t live_ns; /* when the last one became so */
} books;

static void look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes)
{
    (void)ctx, (void)bytes;
    const struct mlt_slice token = event->instrument;
    if (event->type != MLT_EVENT_BOOK || token.len < 7) {
        return;
    }
    const unsigned symbol = (unsigned)strtoul((const char *)token.data + 3, NULL, 10) - 1;
    if (symbol >= SYMBOLS) {
        return;
    }
    const bool live = event->u.book.state == MLT_BOOK_LIVE;
    books.live_count += (unsigned)live - books.live[symbol];
    books.live_ns = live && !books.live[symbol] ? mlt_clock_mono_ns() : books.live_ns;
    books.live[symbol] = live;
    books.dropped_count += !live && !books.dropped[symbol];
    books.dropped[symbol] = books.dropped[symbol] || !live;
}

static bool all_live(void *ctx)
{
    (void)ctx;
    return books.live_count == SYMBOLS;
}

static bool all_dropped_and_live(void *ctx)
{
    return books.dropped_count >= *(const unsigned *)ctx && books.live_count == SYMBOLS;
}

static void forget_drops(void)
{
    (void)pthread_mutex_lock(&consumer.lock);
    memset(books.dropped, 0, sizeof books.dropped);
    books.dropped_count = 0;
    (void)pthread_mutex_unlock(&consumer.lock);
}

static void say_books(const char *what)
{
    (void)pthread_mutex_lock(&consumer.lock);
    (void)printf("%s: %u LIVE, %u dropped; REST weight at most %lld in a minute of %d\n", what,
                 books.live_count, books.dropped_count,
                 (long long)mlt_stack_exchange_status(&stack, "rest_weight_peak"), SHARE);
    (void)fflush(stdout);
    (void)pthread_mutex_unlock(&consumer.lock);
}

static void tell_exchange(const char *path)
{
    struct mlt_buf body;
    mlt_buf_init(&body, 1u << 16);
    mlt_stack_get(&stack, "exchange", path, &body);
    mlt_buf_fini(&body);
}

static void assert_within_weight(void)
{
    const int64_t peak = mlt_stack_exchange_status(&stack, "rest_weight_peak");
    assert_true(peak > 0 && peak <= SHARE);
    assert_int_equal(mlt_stack_exchange_status(&stack, "rest_refused"), 0);
}

static uint64_t of_both(const char *metric, const char *label)
{
    return mlt_stack_metric(&stack, "adapter", metric, label) +
           mlt_stack_metric(&stack, "adapter-2", metric, label);
}

static bool deepening_waits(void *ctx)
{
    (void)ctx;
    return of_both("meltica_adapter_rest_waiting", "class=\"depth\"") > 0;
}

/* ---- the drop ---- */

static void drop_all_at_once(void)
{
    static const unsigned all = SYMBOLS;
    forget_drops();
    const int64_t begin_ns = mlt_clock_mono_ns();
    tell_exchange("/sim/end-lines?code=0");
    const bool back =
        mlt_consumer_wait(&consumer, all_dropped_and_live, (void *)(uintptr_t)&all, FLOOR_S * 3);
    say_books("dropped at once");
    assert_true(back);
    const double seconds = (double)(books.live_ns - begin_ns) / (double)MLT_NS_PER_S;
    (void)printf("all LIVE again after %.1f s; the weight's floor is %d s\n", seconds, FLOOR_S);
    (void)fflush(stdout);
    assert_true(seconds <= 1.2 * FLOOR_S);
    assert_within_weight();
}

static void kill_one_with_its_reservation(void)
{
    static const unsigned some = 1;
    forget_drops();
    mlt_stack_kill(&stack, "adapter-2");
    mlt_stack_run(&stack, "adapter-2");
    const bool back =
        mlt_consumer_wait(&consumer, all_dropped_and_live, (void *)(uintptr_t)&some, 180);
    say_books("one Adapter killed");
    assert_true(back);
    assert_within_weight();
}

/* ---- 429 of one ---- */

static bool refused_elsewhere(void *ctx)
{
    (void)ctx;
    static const char *const adapters[] = { "adapter", "adapter-2" };
    char line[512];
    bool seen = false;
    for (size_t a = 0; a < 2; a++) {
        for (unsigned ago = 0; mlt_stack_warning(&stack, adapters[a], ago, line, sizeof line);
             ago++) {
            seen = seen || strstr(line, "weight_refused_elsewhere") != NULL;
        }
    }
    return seen;
}

static void refuse_one(void)
{
    assert_false(refused_elsewhere(NULL));
    tell_exchange("/sim/answers?kind=busy&function=depth&count=1&extent=20");
    assert_true(mlt_consumer_wait(&consumer, refused_elsewhere, NULL, 90));
    assert_within_weight();
}

static void write_table(char *path)
{
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, table, sizeof table - 1), sizeof table - 1);
    assert_int_equal(close(fd), 0);
}

static void test_two_adapters_of_one_address_keep_to_one_share(void **state)
{
    (void)state;
    char path[] = "/tmp/meltica-weight-table.XXXXXX", symbols[8], limit[8];
    (void)snprintf(symbols, sizeof symbols, "%u", SYMBOLS);
    (void)snprintf(limit, sizeof limit, "%d", WEIGHT_LIMIT);
    write_table(path);
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--levels", "300", "--seed", "5", "--symbols", symbols,
                      "--rate", "2000", "--weight-limit", limit },
        .adapter = { SHARING, "0" },
        .second_adapter = { SHARING, "1" },
        .table = path,
    };
    memset(&books, 0, sizeof books);
    consumer.look = look;
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);

    assert_true(mlt_consumer_wait(&consumer, all_live, NULL, 120));
    say_books("begun");
    /* Each stream is asked for by one of them: symbols, no more. */
    assert_int_equal(of_both("meltica_adapter_topics", "LIVE"), SYMBOLS);
    assert_true(mlt_stack_metric(&stack, "adapter", "meltica_adapter_topics", "LIVE") > 0);
    assert_true(mlt_stack_metric(&stack, "adapter-2", "meltica_adapter_topics", "LIVE") > 0);
    assert_true(mlt_consumer_wait(&consumer, deepening_waits, NULL, 60));
    drop_all_at_once();
    kill_one_with_its_reservation();
    refuse_one();
    assert_true(of_both("meltica_adapter_weight_reserved_total", "") > 0);
    assert_int_equal(of_both("meltica_adapter_weight_shared", ""), 2);

    static const char *const services[] = { "dispatcher", "control-bus", "data-bus",
                                            "conductor",  "adapter",     "adapter-2" };
    for (unsigned i = 0; i < sizeof services / sizeof services[0]; i++) {
        assert_int_equal(mlt_stack_terminate(&stack, services[i]), 0);
    }
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
    (void)unlink(path);
}

/* ---- without JetStream ---- */

#define FEW 40u
#define FEW_TEXT "40"
#define KEPT 32 /* for exchangeInfo and time: all that an Adapter has that just began */

static bool says_alone(void *ctx)
{
    (void)ctx;
    char line[512];
    bool seen = false;
    for (unsigned ago = 0; mlt_stack_warning(&stack, "adapter", ago, line, sizeof line); ago++) {
        seen = seen || strstr(line, "weight_alone") != NULL;
    }
    return seen;
}

static bool first_ones_wait(void *ctx)
{
    (void)ctx;
    return mlt_stack_metric(&stack, "adapter", "meltica_adapter_rest_waiting", "class=\"first\"") >
           0;
}

static bool few_live(void *ctx)
{
    (void)ctx;
    return books.live_count == FEW;
}

static void test_without_jetstream_an_adapter_keeps_to_its_part_and_says_so(void **state)
{
    (void)state;
    char path[] = "/tmp/meltica-weight-table.XXXXXX";
    write_table(path);
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--levels", "50", "--seed", "5", "--symbols", FEW_TEXT,
                      "--rate", "500" },
        .adapter = { "--egress", "office" },
        .table = path,
        .without_jetstream = true,
    };
    memset(&books, 0, sizeof books);
    consumer.look = look;
    mlt_stack_start(&stack, &options);
    mlt_consumer_start(&consumer, stack.nats_url);
    mlt_stack_run_services(&stack);
    assert_true(mlt_consumer_wait(&consumer, says_alone, NULL, 30));
    assert_int_equal(mlt_stack_metric(&stack, "adapter", "meltica_adapter_weight_shared", ""), 0);
    assert_true(mlt_consumer_wait(&consumer, first_ones_wait, NULL, 20));
    const int64_t peak = mlt_stack_exchange_status(&stack, "rest_weight_peak");
    assert_true(peak > 0 && peak <= KEPT);

    mlt_stack_set_jetstream(&stack, true);
    mlt_stack_kill(&stack, "nats");
    mlt_stack_run(&stack, "nats");
    assert_true(mlt_consumer_wait(&consumer, few_live, NULL, 50)); /* before the part is open */
    assert_int_equal(mlt_stack_metric(&stack, "adapter", "meltica_adapter_weight_shared", ""), 1);
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_jetstream_an_adapter_keeps_to_its_part_and_says_so),
        cmocka_unit_test(test_two_adapters_of_one_address_keep_to_one_share),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
