/* See hot_rig.h. */
#include "mlt_test.h"

#include "hot_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/clock.h"

#define WAIT_S 40
#define FIRM_NS (2 * MLT_NS_PER_S) /* from just warm to warm whatever an acknowledgement takes */

const char hot_table[] =
    "{\"version\":1,\"routes\":["
    "{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"
    "{\"type\":\"KLINE\",\"ws\":\"{symbol}@kline_{interval}\",\"intervals\":[\"1m\"]},"
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"rest\":{\"function\":\"historicalTrades\"}},"
    "{\"type\":\"AGG_TRADE\",\"ws\":\"{symbol}@aggTrade\",\"rest\":{\"function\":\"aggTrades\"}},"
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100,"
    "\"interval_ms\":10000}},"
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}],"
    "\"subscriptions\":["
    "{\"id\":\"books\",\"type\":\"BOOK\",\"instruments\":[\"*\"]},"
    "{\"id\":\"candles\",\"type\":\"KLINE\",\"instruments\":[\"*\"]},"
    "{\"id\":\"snapshots\",\"type\":\"BOOK_SNAPSHOT\",\"instruments\":[\"*\"]}]}";

const char *hot_other(const char *adapter)
{
    return strcmp(adapter, "adapter") == 0 ? "adapter-2" : "adapter";
}

uint64_t hot_speaks(const struct hot_rig *rig, const char *adapter)
{
    return mlt_stack_metric(rig->stack, adapter, "meltica_adapter_speaking_partitions", "");
}

uint64_t hot_holds(const struct hot_rig *rig, const char *adapter)
{
    return mlt_stack_metric(rig->stack, adapter, "meltica_adapter_held_partitions", "");
}

uint64_t hot_warm(const struct hot_rig *rig, const char *adapter)
{
    return mlt_stack_metric(rig->stack, adapter, "meltica_adapter_warm_partitions", "");
}

uint64_t hot_taken(const struct hot_rig *rig, const char *adapter, bool covered)
{
    return mlt_stack_metric(rig->stack, adapter, "meltica_adapter_standby_takeovers_total",
                            covered ? "covered=\"yes\"" : "covered=\"no\"");
}

/* Partitions that it speaks for, and has not heard that the other one is warm for them. */
static uint64_t unguarded(const struct hot_rig *rig, const char *adapter)
{
    return mlt_stack_metric(rig->stack, adapter, "meltica_adapter_unguarded_partitions", "");
}

/* ---- waits ---- */

struct wanted {
    const struct hot_rig *rig;
    const char *adapter;
};

static void await(const struct hot_rig *rig, bool (*done)(void *ctx), const char *adapter,
                  const char *what)
{
    struct wanted wanted = { rig, adapter };
    if (mlt_consumer_wait(rig->consumer, done, &wanted, WAIT_S)) {
        return;
    }
    char state[256] = "";
    size_t len = 0;
    for (const char *at = "adapter"; at != NULL;
         at = strcmp(at, "adapter") == 0 ? "adapter-2" : NULL) {
        if (mlt_stack_pid(rig->stack, at) > 0) {
            len += (size_t)snprintf(state + len, sizeof state - len,
                                    "; %s speaks for %llu, holds %llu, is warm for %llu", at,
                                    (unsigned long long)hot_speaks(rig, at),
                                    (unsigned long long)hot_holds(rig, at),
                                    (unsigned long long)hot_warm(rig, at));
        }
    }
    fail_msg("%s within %d s: %s%s", what, WAIT_S, adapter, state);
}

static bool are_warm(void *ctx)
{
    const struct wanted *w = ctx;
    uint64_t speaks = 0;
    bool warm = true;
    for (unsigned i = 0; i < 2; i++) {
        const char *adapter = i == 0 ? "adapter" : "adapter-2";
        const uint64_t holds = hot_holds(w->rig, adapter);
        speaks += hot_speaks(w->rig, adapter);
        warm = warm && hot_warm(w->rig, adapter) == holds && unguarded(w->rig, adapter) == 0;
    }
    return warm && speaks == HOT_PARTITIONS;
}

void hot_await_warm(const struct hot_rig *rig)
{
    await(rig, are_warm, "both", "not warm");
}

static bool speaks_warm(void *ctx)
{
    const struct wanted *w = ctx;
    return are_warm(ctx) && hot_speaks(w->rig, w->adapter) > 0;
}

void hot_await_speaks_warm(const struct hot_rig *rig, const char *adapter)
{
    await(rig, speaks_warm, adapter, "not warm, or does not speak");
}

static bool has_passed(void *ctx)
{
    return mlt_clock_mono_ns() >= *(const int64_t *)ctx;
}

void hot_pass_time(const struct hot_rig *rig, int64_t ns)
{
    int64_t until_ns = mlt_clock_mono_ns() + ns;
    assert_true(
        mlt_consumer_wait(rig->consumer, has_passed, &until_ns, 2 + (int)(ns / MLT_NS_PER_S)));
}

void hot_await_firm(const struct hot_rig *rig, const char *adapter)
{
    hot_await_speaks_warm(rig, adapter);
    hot_pass_time(rig, FIRM_NS);
    hot_await_speaks_warm(rig, adapter);
}

static bool speaks_for_all(void *ctx)
{
    const struct wanted *w = ctx;
    return hot_speaks(w->rig, w->adapter) == HOT_PARTITIONS;
}

void hot_await_speaks_for_all(const struct hot_rig *rig, const char *adapter)
{
    await(rig, speaks_for_all, adapter, "does not speak for all");
}

static bool stands_by(void *ctx)
{
    const struct wanted *w = ctx;
    return hot_holds(w->rig, w->adapter) == HOT_PARTITIONS &&
           mlt_stack_metric(w->rig->stack, w->adapter, "meltica_adapter_peers", "") == 1;
}

void hot_await_stands_by(const struct hot_rig *rig, const char *adapter)
{
    await(rig, stands_by, adapter, "does not stand by");
}

static bool are_home(void *ctx)
{
    const struct wanted *w = ctx;
    return hot_speaks(w->rig, "adapter") == HOT_PARTITIONS / 2 &&
           hot_speaks(w->rig, "adapter-2") == HOT_PARTITIONS / 2;
}

void hot_await_home(const struct hot_rig *rig)
{
    await(rig, are_home, "both", "not home");
}

/* ---- around them ---- */

void hot_tell_exchange(const struct hot_rig *rig, const char *path)
{
    struct mlt_buf body;
    mlt_buf_init(&body, 1u << 16);
    mlt_stack_get(rig->stack, "exchange", path, &body);
    mlt_buf_fini(&body);
}

void hot_make_table(char path[64], const char *text)
{
    (void)snprintf(path, 64, "/tmp/meltica-hot-table.XXXXXX");
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}
