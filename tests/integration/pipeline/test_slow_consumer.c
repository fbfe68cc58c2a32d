/*
 * Consumers in processes of their own, and one of them stops or is slow, with the settings of the
 * NATS server that are shipped: the others lose nothing, the server keeps no more for it than it
 * was told to and cuts it, and once it reads again it sees by the numbers what it has not got.
 */
#include "mlt_test.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "chaos_consumer.h"
#include "meltica/base/clock.h"
#include "mlt_stack.h"
#include "mlt_subscriber.h"
#include "scrape.h"

#define SYMBOLS 20u
#define CONSUMERS 4u
#define SLOW (CONSUMERS - 1)
#define WAIT_S 90
#define SOME_EVENTS 15000u
#define MAX_PENDING ((int64_t)256 << 20) /* as it is shipped */

static struct mlt_stack stack;
static struct mlt_subscriber consumers[CONSUMERS];
static int64_t nats_before, nats_most; /* its memory */

static void start(int pending_count_max)
{
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "20", "--rate", "2000", "--seed", "21" },
        .nats_users = MLT_STACK_MONITOR,
    };
    mlt_stack_start(&stack, &options);
    for (unsigned i = 0; i < CONSUMERS; i++) {
        mlt_subscriber_start(&consumers[i], stack.nats_url, i, SYMBOLS,
                             i == SLOW ? pending_count_max : 0);
    }
    mlt_stack_run_services(&stack);
}

static void stop(void)
{
    for (unsigned i = 0; i < CONSUMERS; i++) {
        mlt_subscriber_free(&consumers[i]);
    }
    mlt_stack_stop(&stack);
}

/* ---- waits ---- */

static uint64_t events[CONSUMERS]; /* at the last look */

static void note_events(void)
{
    for (unsigned i = 0; i < CONSUMERS; i++) {
        events[i] = atomic_load(&consumers[i].shared->events);
    }
}

static bool others_have_more(void *ctx)
{
    bool more = true;
    (void)ctx;
    for (unsigned i = 0; i < SLOW; i++) {
        more = more && atomic_load(&consumers[i].shared->events) >= events[i] + SOME_EVENTS;
    }
    return more;
}

static bool all_have_more(void *ctx)
{
    return others_have_more(ctx) &&
           atomic_load(&consumers[SLOW].shared->events) >= events[SLOW] + SOME_EVENTS;
}

static void await_more(bool (*have_more)(void *ctx))
{
    note_events();
    assert_true(mlt_subscriber_wait(have_more, NULL, WAIT_S));
}

static int64_t monitored(const char *path, const char *member, const char *text)
{
    struct mlt_buf body;
    mlt_buf_init(&body, 16u << 20);
    assert_true(mlt_stack_monitor(&stack, path, &body));
    const int64_t value = text != NULL ? memmem(body.data, body.len, text, strlen(text)) != NULL
                                       : mlt_scrape_member(mlt_buf_view(&body), member);
    mlt_buf_fini(&body);
    return value;
}

static void look_at_memory(void)
{
    const int64_t now = mlt_stack_resident_bytes(&stack, "nats");
    nats_most = now > nats_most ? now : nats_most;
}

static bool is_cut(void *ctx)
{
    (void)ctx;
    look_at_memory();
    return monitored("/varz", "slow_consumers", NULL) > 0;
}

static bool is_back(void *ctx)
{
    (void)ctx;
    return atomic_load(&consumers[SLOW].shared->connects) >= 2;
}

static bool all_have_reached(void *ctx)
{
    bool reached = true;
    (void)ctx;
    for (unsigned i = 0; i < CONSUMERS; i++) {
        reached = reached && mlt_subscriber_has_reached(&consumers[i]);
    }
    return reached;
}

/* All that the exchange has said by now comes to everybody. */
static void catch_up(void)
{
    static struct chaos_heads heads[CHAOS_SYMBOLS_MAX];
    assert_true(chaos_read_heads(&stack, SYMBOLS, heads));
    for (unsigned i = 0; i < CONSUMERS; i++) {
        mlt_subscriber_tell_heads(&consumers[i], heads);
    }
    assert_true(mlt_subscriber_wait(all_have_reached, NULL, WAIT_S));
}

/* ---- verdicts ---- */

static void assert_nothing_silent(unsigned number)
{
    const struct mlt_subscriber_shared *s = consumers[number].shared;
    if (s->silent_holes > 0 || s->duplicates > 0) {
        fail_msg("%s: %s %s", s->name, s->first_silent, s->first_duplicate);
    }
    assert_int_equal(s->foreign, 0);
    assert_int_equal(s->books_wrong, 0);
    assert_true(s->books_right > 0);
    assert_int_equal(atomic_load(&s->lost), 0); /* it is its own hole: nobody else is told */
}

/* Those that read have every event of the exchange, once. */
static void assert_others_are_whole(void)
{
    for (unsigned i = 0; i < SLOW; i++) {
        const struct mlt_subscriber_shared *s = consumers[i].shared;
        assert_nothing_silent(i);
        assert_int_equal(atomic_load(&s->holes), 0);
        assert_int_equal(atomic_load(&s->dropped), 0);
        assert_int_equal(atomic_load(&s->disconnects), 0);
    }
}

/* The slow one reads again: what is missing is between two numbers, of which one is of before; a
 * number that is missing after that is a silent hole, by the ledger. */
static void assert_whole_from_here(void)
{
    await_more(all_have_more);
    await_more(all_have_more);
    catch_up();
    assert_true(atomic_load(&consumers[SLOW].shared->holes) > 0);
    for (unsigned i = 0; i < CONSUMERS; i++) {
        mlt_subscriber_end(&consumers[i]);
    }
    assert_nothing_silent(SLOW);
    assert_true(consumers[SLOW].shared->named[CHAOS_BY_OUTAGE] > 0);
    assert_others_are_whole();
}

static void note_memory(void)
{
    nats_before = nats_most = mlt_stack_resident_bytes(&stack, "nats");
    assert_true(nats_before > 0);
}

static void assert_memory_is_bounded(void)
{
    look_at_memory();
    print_message("    nats-server: %lld MiB before, %lld MiB at most\n",
                  (long long)(nats_before >> 20), (long long)(nats_most >> 20));
    assert_true(nats_most < nats_before + MAX_PENDING);
}

static void test_a_stopped_consumer_is_cut_and_the_others_lose_nothing(void **state)
{
    (void)state;
    start(0);
    await_more(all_have_more);
    note_memory();
    assert_int_equal(monitored("/varz", "slow_consumers", NULL), 0);
    mlt_subscriber_signal(&consumers[SLOW], SIGSTOP);
    assert_true(mlt_subscriber_wait(is_cut, NULL, WAIT_S));
    assert_true(monitored("/connz?state=closed", NULL, "Slow Consumer (Write Deadline)"));
    await_more(others_have_more);
    assert_int_equal(monitored("/varz", "slow_consumers", NULL), 1);
    assert_memory_is_bounded();
    mlt_subscriber_signal(&consumers[SLOW], SIGCONT);
    assert_true(mlt_subscriber_wait(is_back, NULL, WAIT_S));
    assert_whole_from_here();
    assert_int_equal(atomic_load(&consumers[SLOW].shared->disconnects), 1);
    stop();
}

static bool drops_some(void *ctx)
{
    (void)ctx;
    look_at_memory();
    return atomic_load(&consumers[SLOW].shared->dropped) > 5000;
}

/* Its client reads what it cannot handle, and drops it: the server has nothing to do with that. */
static void test_a_consumer_that_handles_too_slowly_loses_its_own(void **state)
{
    (void)state;
    start(20000); /* some seconds of what comes */
    await_more(all_have_more);
    assert_int_equal(atomic_load(&consumers[SLOW].shared->dropped), 0);
    note_memory();
    atomic_store(&consumers[SLOW].shared->pause_ns, 10 * MLT_NS_PER_MS);
    assert_true(mlt_subscriber_wait(drops_some, NULL, WAIT_S));
    await_more(others_have_more);
    assert_int_equal(monitored("/varz", "slow_consumers", NULL), 0);
    assert_memory_is_bounded();
    atomic_store(&consumers[SLOW].shared->pause_ns, 0);
    assert_whole_from_here();
    assert_int_equal(atomic_load(&consumers[SLOW].shared->disconnects), 0);
    stop();
}

/* A client of its own, which takes bytes from its socket, and fewer than come. */
static int connect_slow_reader(void)
{
    static const char hello[] =
        "CONNECT {\"verbose\":false,\"pedantic\":false,\"name\":\"slow-reader\"}\r\n"
        "SUB meltica.data.* 1\r\nPING\r\n";
    const int room = 65536;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = { .sin_family = AF_INET };
    to.sin_port = htons((uint16_t)strtoul(strrchr(stack.nats_url, ':') + 1, NULL, 10));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(send(fd, hello, sizeof hello - 1, MSG_NOSIGNAL), sizeof hello - 1);
    return fd;
}

struct slow_reader {
    int fd;
    size_t bytes;
};

static ssize_t take(struct slow_reader *reader, size_t most)
{
    static uint8_t some[65536];
    const ssize_t n = read(reader->fd, some, most < sizeof some ? most : sizeof some);
    reader->bytes += n > 0 ? (size_t)n : 0;
    return n;
}

/* 512 bytes each time that it is asked, which is each 5 ms at most: a tenth of what comes. */
static bool is_cut_while_it_reads(void *ctx)
{
    return take(ctx, 512) == 0 || is_cut(NULL);
}

static bool is_at_the_end(void *ctx)
{
    ssize_t n = 1;
    while (n > 0) {
        n = take(ctx, SIZE_MAX);
    }
    return n == 0 || (errno != EAGAIN && errno != EINTR);
}

static void test_a_client_that_reads_too_slowly_is_cut_and_the_others_lose_nothing(void **state)
{
    (void)state;
    start(0);
    await_more(all_have_more);
    note_memory();
    struct slow_reader reader = { .fd = connect_slow_reader() };
    assert_true(mlt_subscriber_wait(is_cut_while_it_reads, &reader, WAIT_S));
    assert_true(reader.bytes > 0);
    assert_true(monitored("/connz?state=closed", NULL, "Slow Consumer (Write Deadline)"));
    assert_true(mlt_subscriber_wait(is_at_the_end, &reader, WAIT_S));
    (void)close(reader.fd);
    await_more(all_have_more);
    assert_int_equal(monitored("/varz", "slow_consumers", NULL), 1);
    assert_memory_is_bounded();
    catch_up();
    for (unsigned i = 0; i < CONSUMERS; i++) {
        mlt_subscriber_end(&consumers[i]);
    }
    assert_others_are_whole();
    assert_nothing_silent(SLOW);
    assert_int_equal(atomic_load(&consumers[SLOW].shared->holes), 0);
    stop();
}

int main(int argc, char **argv)
{
    mlt_subscriber_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stopped_consumer_is_cut_and_the_others_lose_nothing),
        cmocka_unit_test(test_a_consumer_that_handles_too_slowly_loses_its_own),
        cmocka_unit_test(test_a_client_that_reads_too_slowly_is_cut_and_the_others_lose_nothing),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, NULL, NULL));
}
