/*
 * The wall clock of all services is set an hour ahead, then an hour back, under load: the receive
 * times say it, and nothing else does. Books stay LIVE, no line ends, no snapshot is asked for out
 * of turn, no lease ends by it, and what waits waits as long as before. Clocks of NATS, exchange
 * and consumer are right all the time.
 */
#include "mlt_test.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "mlt_consumer.h"
#include "steer_rig.h"

#define SYMBOLS 4u
#define WAIT_S 60
#define HOUR_NS (3600 * MLT_NS_PER_S)
#define NEAR_NS (60 * MLT_NS_PER_S) /* a receive time is of that clock */
#define MORE 30u                    /* BOOKs of each that are LIVE, before and after */

static const char table[] =
    "{\"version\":1,\"routes\":["
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"},"
    "{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100,"
    "\"interval_ms\":600000}},"
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":600000}}],"
    "\"subscriptions\":[{\"id\":\"books\",\"type\":\"BOOK\",\"instruments\":[\"*\"]}]}";

static struct rig rig;
static struct mlt_consumer consumer;
static _Atomic int64_t *ahead; /* of the services' clock; they have the file too */
static char clock_path[] = "/tmp/meltica-clock.XXXXXX";
/* Under the consumer's lock, since look_from. */
static struct {
    int64_t ahead_ns; /* what receive times are to say */
    uint64_t live[SYMBOLS], trades;
} seen;

static bool is_near(int64_t received_ns)
{
    const int64_t off_ns = received_ns - mlt_clock_wall_ns() - seen.ahead_ns;
    return off_ns < NEAR_NS && off_ns > -NEAR_NS;
}

static void look(void *ctx, const struct mlt_event *event, struct mlt_slice bytes)
{
    (void)ctx, (void)bytes;
    if (event->instrument.len < 7 || !is_near(event->stamps.received)) {
        return;
    }
    const unsigned symbol = (unsigned)(event->instrument.data[6] - '1');
    seen.trades += event->type == MLT_EVENT_TRADE;
    if (event->type == MLT_EVENT_BOOK && symbol < SYMBOLS) {
        seen.live[symbol] += event->u.book.state == MLT_BOOK_LIVE;
    }
}

static bool all_flow(void *ctx)
{
    bool all = seen.trades >= MORE;
    (void)ctx;
    for (unsigned i = 0; i < SYMBOLS; i++) {
        all = all && seen.live[i] >= MORE;
    }
    return all;
}

/* From now on trades and LIVE books come, and their receive times are of that clock. */
static void await_flow(const char *what, int64_t ahead_ns)
{
    (void)pthread_mutex_lock(&consumer.lock);
    memset(&seen, 0, sizeof seen);
    seen.ahead_ns = ahead_ns;
    (void)pthread_mutex_unlock(&consumer.lock);
    if (!mlt_consumer_wait(&consumer, all_flow, NULL, WAIT_S)) {
        fail_msg("%s: %llu trades, LIVE books %llu %llu %llu %llu", what,
                 (unsigned long long)seen.trades, (unsigned long long)seen.live[0],
                 (unsigned long long)seen.live[1], (unsigned long long)seen.live[2],
                 (unsigned long long)seen.live[3]);
    }
}

/* ---- leases ---- */

/* A lease of three seconds ends, so leases were looked at with the clock that is now; not before
 * its time. Each is of another channel: of one that comes back, what was on its way when it ended
 * is said to be LOST, which is for assert_calm to tell from what a clock did. */
static void a_short_lease_ends(void)
{
    static char who[] = "short";
    static unsigned turn;
    char body[160];
    turn++;
    assert_true(turn <= SYMBOLS);
    (void)snprintf(body, sizeof body,
                   "{\"consumer\":\"short\",\"type\":\"BBO\",\"instruments\":"
                   "[\"SYM%04u-USDT\"],\"ttl_s\":3}",
                   turn);
    rig_confirm(&rig, "subscribe", body, NULL);
    const int64_t since_ns = mlt_clock_mono_ns();
    assert_true(rig_until(rig_lists_nothing, &rig, who, 20));
    assert_true(mlt_clock_mono_ns() - since_ns < 15 * MLT_NS_PER_S);
}

static int lease_left_s(void)
{
    struct said s = rig_ask(&rig, "list", "{\"consumer\":\"leased\"}");
    const cJSON *one =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(s.json, "subscriptions"), 0);
    const int left = one != NULL ? rig_number(one, "lease_left_s") : -1;
    cJSON_Delete(s.json);
    return left;
}

/* ---- what may not change ---- */

struct calm {
    struct mlt_tally_totals totals;
    uint64_t stale, gap, down, lost, resyncs, line_ends, expired;
    int64_t depth_asked, opened;
};

static int64_t depth_asked(void)
{
    const cJSON *streams = NULL;
    cJSON *tree = rig_exchange(&rig, &streams);
    const cJSON *requests = cJSON_GetObjectItemCaseSensitive(tree, "rest_requests");
    const int64_t asked = rig_number(requests, "depth");
    cJSON_Delete(tree);
    assert_true(asked >= 0);
    return asked;
}

static struct calm look_around(void)
{
    struct calm c = {
        .stale = mlt_consumer_status_count(&consumer, MLT_STATUS_STALE),
        .gap = mlt_consumer_status_count(&consumer, MLT_STATUS_GAP),
        .down = mlt_consumer_status_count(&consumer, MLT_STATUS_SOURCE_DOWN),
        .lost = mlt_consumer_status_count(&consumer, MLT_STATUS_LOST),
        .resyncs =
            mlt_stack_metric(&rig.stack, "conductor", "meltica_conductor_book_resyncs_total", ""),
        .line_ends =
            mlt_stack_metric(&rig.stack, "adapter", "meltica_adapter_line_ended_total", ""),
        .expired = mlt_stack_metric(&rig.stack, "dispatcher",
                                    "meltica_dispatcher_leases_expired_total", ""),
        .depth_asked = depth_asked(),
        .opened = mlt_stack_exchange_status(&rig.stack, "connections_opened"),
    };
    mlt_consumer_totals(&consumer, &c.totals);
    return c;
}

/* Audits and deeper snapshots go on at their pace; what came due in an hour would be far more. */
static void assert_calm(const struct calm *before, uint64_t leases_ended)
{
    const struct calm now = look_around();
    assert_int_equal(now.stale, before->stale);
    assert_int_equal(now.gap, before->gap);
    assert_int_equal(now.down, before->down);
    assert_int_equal(now.lost, before->lost);
    assert_int_equal(now.resyncs, before->resyncs);
    assert_int_equal(now.line_ends, before->line_ends);
    assert_int_equal(now.opened, before->opened);
    assert_in_range(now.depth_asked, before->depth_asked, before->depth_asked + 2 * SYMBOLS);
    assert_int_equal(now.expired, before->expired + leases_ended);
    assert_int_equal(now.totals.sequence_holes, before->totals.sequence_holes);
    assert_int_equal(now.totals.duplicates, before->totals.duplicates);
    assert_int_equal(now.totals.gaps, before->totals.gaps);
    assert_int_equal(now.totals.lost, before->totals.lost);
}

static void set_clock(int64_t ahead_ns)
{
    atomic_store(ahead, ahead_ns);
}

/* ---- the tests ---- */

static void make_clock(void)
{
    const int fd = mkstemp(clock_path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, sizeof *ahead), 0);
    void *at = mmap(NULL, sizeof *ahead, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(at != MAP_FAILED);
    assert_int_equal(close(fd), 0);
    ahead = at;
    assert_int_equal(setenv("MELTICA_TEST_CLOCK", clock_path, 1), 0);
}

static int set_up(void **state)
{
    (void)state;
    make_clock();
    memset(&rig, 0, sizeof rig);
    rig_make_file(rig.table_path, table);
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "4", "--rate", "600", "--seed", "21",
                      "--start-subscriptions", "0" },
        .table = rig.table_path,
        .preload = CLOCK_STEP,
    };
    rig_begin(&rig, &options);
    memset(&consumer, 0, sizeof consumer);
    consumer.look = look;
    mlt_consumer_start(&consumer, rig.stack.nats_url);
    rig_go(&rig);
    rig_confirm(&rig, "subscribe",
                "{\"consumer\":\"leased\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"],"
                "\"ttl_s\":600}",
                NULL);
    await_flow("at the start", 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_consumer_stop(&consumer);
    rig_stop(&rig);
    (void)munmap(ahead, sizeof *ahead);
    (void)unlink(clock_path);
    return 0;
}

static void test_a_clock_set_an_hour_ahead_changes_receive_times_alone(void **state)
{
    (void)state;
    const struct calm before = look_around();
    set_clock(HOUR_NS);
    await_flow("an hour ahead", HOUR_NS);
    a_short_lease_ends();
    await_flow("an hour ahead", HOUR_NS);
    assert_in_range(lease_left_s(), 400, 600);
    assert_calm(&before, 1);
}

static void test_a_clock_set_an_hour_back_changes_receive_times_alone(void **state)
{
    (void)state;
    const struct calm before = look_around();
    set_clock(0);
    await_flow("an hour back", 0);
    a_short_lease_ends();
    await_flow("an hour back", 0);
    assert_true(lease_left_s() > 400);
    assert_calm(&before, 1);
    set_clock(-HOUR_NS); /* behind all others, as far as it was ahead of them */
    await_flow("an hour behind", -HOUR_NS);
    a_short_lease_ends();
    assert_true(lease_left_s() > 400);
    assert_calm(&before, 2);
}

static bool lines_are_back(void *ctx)
{
    const uint64_t *before = ctx;
    return consumer.kinds[MLT_STATUS_SOURCE_DOWN] >= before[0] + SYMBOLS &&
           consumer.kinds[MLT_STATUS_SOURCE_UP] >= before[1] + SYMBOLS;
}

/* What is told by its time is not taken for old: lines that end, and NATS, still come back. */
static void test_after_a_clock_was_set_back_faults_are_told_and_healed(void **state)
{
    (void)state;
    struct mlt_buf body;
    uint64_t before[2] = { mlt_consumer_status_count(&consumer, MLT_STATUS_SOURCE_DOWN),
                           mlt_consumer_status_count(&consumer, MLT_STATUS_SOURCE_UP) };
    mlt_buf_init(&body, 1u << 16);
    mlt_stack_get(&rig.stack, "exchange", "/sim/end-lines?code=1001", &body);
    mlt_buf_fini(&body);
    assert_true(mlt_consumer_wait(&consumer, lines_are_back, before, WAIT_S));
    await_flow("lines that ended", -HOUR_NS);
    mlt_stack_kill(&rig.stack, "nats");
    mlt_stack_run(&rig.stack, "nats");
    assert_int_equal(mlt_bus_wait_connected(rig.client, 20 * MLT_NS_PER_S), MLT_OK);
    rig_wait_ready(&rig);
    await_flow("NATS that was started again", -HOUR_NS);
    a_short_lease_ends();
    assert_int_equal(rig_listed(&rig, "leased"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_clock_set_an_hour_ahead_changes_receive_times_alone),
        cmocka_unit_test(test_a_clock_set_an_hour_back_changes_receive_times_alone),
        cmocka_unit_test(test_after_a_clock_was_set_back_faults_are_told_and_healed),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, set_up, tear_down));
}
