/* How the Adapter ends while its lines do not, and what it does while NATS is away. A sanitizer
 * that finds something changes the exit status. */
#include "mlt_test.h"

#include "adapter_rig.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "meltica/base/clock.h"

#define SHORT_DRAIN_MS 300
#define EXIT_CUT_SHORT 1 /* something may be lost */

static struct rig rig;

static bool trades_at_least(const struct rig_seen *seen, uint64_t value)
{
    return seen->by_type[MLT_EVENT_TRADE] >= value;
}

static const struct rig_route trades[] = { { 2, "{symbol}@trade", "", 0, 0 } };
static const char *const symbols[] = { "SYM0001-USDT", "SYM0002-USDT", "SYM0003-USDT" };
static const char *const small[] = { "--synthetic",           "--symbols", "3", "--rate", "5000",
                                     "--start-subscriptions", "1",         NULL };

static int tear_down(void **state)
{
    (void)state;
    rig_stop(&rig);
    return 0;
}

/* ---- ends ---- */

/* The exchange reads nothing any more: its lines never answer a close. */
static void start_with_deaf_exchange(const char *drain_ms)
{
    const char *const adapter[] = { "--drain-timeout-ms", drain_ms, NULL };
    rig_start(&rig, small, adapter);
    rig_plan(&rig, 1, trades, 1, symbols, 3);
    rig_wait(&rig, trades_at_least, 20, "trades");
    rig_freeze(&rig.exchange);
}

static void test_drain_is_cut_short_while_lines_are_open(void **state)
{
    (void)state;
    start_with_deaf_exchange("300");
    const int64_t began = mlt_clock_mono_ns();
    assert_int_equal(rig_end_adapter(&rig), EXIT_CUT_SHORT);
    assert_true(mlt_clock_mono_ns() - began >= SHORT_DRAIN_MS * MLT_NS_PER_MS);
    assert_non_null(strstr(rig.adapter.words, "\"event\":\"drain_deadline\""));
    assert_null(strstr(rig.adapter.words, "Sanitizer")); /* its exit status is 1, too */
}

static void test_second_signal_ends_a_drain_at_once(void **state)
{
    (void)state;
    start_with_deaf_exchange("60000");
    assert_int_equal(kill(rig.adapter.pid, SIGTERM), 0);
    rig_await_words(&rig.adapter, "\"event\":\"draining\"");
    const int64_t began = mlt_clock_mono_ns();
    assert_int_equal(rig_end_adapter(&rig), EXIT_CUT_SHORT);
    assert_true(mlt_clock_mono_ns() - began < RIG_WAIT_NS); /* else it was killed */
    assert_non_null(strstr(rig.adapter.words, "\"event\":\"ended_at_once\""));
}

/* A host that takes the connection and says nothing: the line is neither open nor ended. */
static void test_drain_does_not_wait_for_a_line_that_was_never_up(void **state)
{
    (void)state;
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    char url[64];
    const int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (silent < 0) {
        fail_msg("%s", "no socket");
        return;
    }
    assert_int_equal(bind(silent, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(silent, 16), 0);
    assert_int_equal(getsockname(silent, (struct sockaddr *)&at, &size), 0);
    (void)snprintf(url, sizeof url, "ws://127.0.0.1:%u", (unsigned)ntohs(at.sin_port));
    const char *const adapter[] = { "--ws-url", url, "--drain-timeout-ms", "60000", NULL };
    rig_start(&rig, small, adapter);
    rig_plan(&rig, 1, trades, 1, symbols, 3);
    const int connected = accept(silent, NULL, NULL); /* it is on its way */
    assert_true(connected >= 0);
    assert_int_equal(rig_end_adapter(&rig), 0);
    assert_null(strstr(rig.adapter.words, "\"event\":\"drain_deadline\""));
    (void)close(connected);
    (void)close(silent);
}

/* ---- NATS ---- */

static void test_nats_that_dies_and_returns_costs_nothing(void **state)
{
    (void)state;
    const char *const none[] = { NULL };
    rig_start(&rig, small, none);
    rig_plan(&rig, 1, trades, 1, symbols, 1);
    rig_wait(&rig, trades_at_least, 100, "trades");
    for (unsigned round = 0; round < 2; round++) {
        const struct rig_seen before = rig_seen(&rig);
        rig_restart_nats(&rig);
        rig_wait(&rig, trades_at_least, before.by_type[MLT_EVENT_TRADE] + 200, "trades after it");
        const struct rig_seen after = rig_seen(&rig);
        assert_int_equal(after.trade_holes, 0);
        assert_int_equal(after.order_faults, 0);
        assert_int_equal(after.malformed, 0);
        assert_int_equal(after.lost_before, before.lost_before);
        assert_int_equal(after.sources_down, 0); /* the lines stayed */
    }
    assert_int_equal(rig_metric(&rig, "meltica_adapter_line_ended_total", ""), 0);
    assert_int_equal(rig_metric(&rig, "meltica_hop_overrun_batches_total", ""), 0);

    rig_await_status(&rig); /* requests and statuses have a connection of their own */
    const uint64_t instances = rig_metric(&rig, "meltica_adapter_instances_total", "TRADE");
    rig_plan(&rig, 2, trades, 1, symbols + 1, 1);
    rig_wait(&rig, trades_at_least, instances + 200, "trades of the new plan");
    assert_int_equal(rig_end_adapter(&rig), 0);
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_drain_is_cut_short_while_lines_are_open),
        TEST(test_second_signal_ends_a_drain_at_once),
        TEST(test_drain_does_not_wait_for_a_line_that_was_never_up),
        TEST(test_nats_that_dies_and_returns_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
