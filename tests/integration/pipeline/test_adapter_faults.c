/*
 * What the exchange can do to the Adapter besides ending lines: half-open lines, silence, answers
 * that do not come or mean nothing, REST of something in between, another symbol's answer, listings
 * that are none. The simulator is told each of them.
 */
#include "mlt_test.h"

#include "adapter_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"

static struct rig rig;

static bool bbo_at_least(const struct rig_seen *seen, uint64_t value)
{
    return seen->by_type[MLT_EVENT_BBO] >= value;
}

static bool down_at_least(const struct rig_seen *seen, uint64_t value)
{
    return seen->sources_down >= value;
}

static bool up_at_least(const struct rig_seen *seen, uint64_t value)
{
    return seen->sources_up >= value;
}

static bool unparsed_at_least(const struct rig_seen *seen, uint64_t value)
{
    return seen->unparsed >= value;
}

static bool snapshots_at_least(const struct rig_seen *seen, uint64_t value)
{
    return seen->snapshots_scheduled >= value;
}

static bool tickers_at_least(const struct rig_seen *seen, uint64_t value)
{
    return seen->tickers_rest >= value;
}

static bool instruments_at_least(const struct rig_seen *seen, uint64_t value)
{
    return seen->by_type[MLT_EVENT_INSTRUMENT] >= value;
}

static const struct rig_route streams[] = {
    { 1, "{symbol}@bookTicker", "", 0, 0 },
    { 2, "{symbol}@trade", "", 0, 0 },
    { 3, "{symbol}@depth@100ms", "", 0, 0 },
};
static const char *const symbols[] = { "SYM0001-USDT", "SYM0002-USDT", "SYM0003-USDT",
                                       "SYM0004-USDT", "SYM0005-USDT" };
/* Each second a ping: what the exchange does each 20 s, in short. */
static const char *const exchange[] = {
    "--synthetic", "--symbols",         "5", "--rate", "500", "--start-subscriptions",
    "1",           "--ping-interval-s", "1", NULL
};
static const char *const watchful[] = { "--ws-silence-ms", "3000", NULL };

static int tear_down(void **state)
{
    (void)state;
    rig_stop(&rig);
    return 0;
}

static void tell(const char *what)
{
    char path[256];
    struct mlt_buf body;
    int status = 0;
    (void)snprintf(path, sizeof path, "/sim/%s", what);
    mlt_buf_init(&body, 1u << 20);
    rig_get(rig.exchange.port, path, &body, &status);
    mlt_buf_fini(&body);
    assert_int_equal(status, 200);
}

/* Until the sum is between those; a PlanStatus comes each second. */
static void await_between(const char *name, const char *label, uint64_t wanted, uint64_t most)
{
    const int64_t until_ns = mlt_clock_mono_ns() + RIG_WAIT_NS;
    for (uint64_t now = 0; (now = rig_metric(&rig, name, label)) < wanted || now > most;) {
        if (mlt_clock_mono_ns() > until_ns) {
            fail_msg("%s{%s} is not %llu", name, label, (unsigned long long)wanted);
        }
        rig_await_status(&rig);
    }
}

static void await_metric(const char *name, const char *label, uint64_t wanted)
{
    await_between(name, label, wanted, wanted);
}

static uint64_t bbo(void)
{
    return rig_seen(&rig).by_type[MLT_EVENT_BBO];
}

/* ---- lines ---- */

/* Every instrument is down, by that reason, and up again on other lines; data goes on. */
static void expect_replaced(const char *reason)
{
    rig_wait(&rig, down_at_least, 5, "SOURCE_DOWN of every instrument");
    rig_wait(&rig, up_at_least, 5, "SOURCE_UP of every instrument");
    assert_string_equal(rig_seen(&rig).source_reason, reason);
    rig_wait(&rig, bbo_at_least, bbo() + 50, "data after it");
    assert_int_equal(rig_end_adapter(&rig), 0);
}

static void test_half_open_line_is_noticed_and_replaced(void **state)
{
    (void)state;
    rig_start(&rig, exchange, watchful);
    rig_plan(&rig, 1, streams, 3, symbols, 5);
    rig_wait(&rig, bbo_at_least, 50, "BBO");
    const int64_t told_ns = mlt_clock_mono_ns();
    tell("half-open");
    rig_wait(&rig, down_at_least, 1, "SOURCE_DOWN");
    assert_true(mlt_clock_mono_ns() - told_ns >= 2 * MLT_NS_PER_S); /* no word is no end */
    expect_replaced("silent");
}

static void test_line_without_pings_is_replaced(void **state)
{
    (void)state;
    rig_start(&rig, exchange, watchful);
    rig_plan(&rig, 1, streams, 3, symbols, 5);
    rig_wait(&rig, bbo_at_least, 50, "BBO");
    tell("silence?ms=0&pings=0");
    expect_replaced("silent");
}

/* A quiet market is no dead line: pings, not data, are the pulse. */
static void test_line_without_data_that_pings_is_kept(void **state)
{
    (void)state;
    static const char *const patient[] = { "--ws-silence-ms", "6000", NULL };
    rig_start(&rig, exchange, patient);
    rig_plan(&rig, 1, streams, 3, symbols, 5);
    rig_wait(&rig, bbo_at_least, 50, "BBO");
    tell("silence?ms=9000");
    const int64_t told_ns = mlt_clock_mono_ns();
    while (mlt_clock_mono_ns() - told_ns < 8500 * MLT_NS_PER_MS) {
        rig_await_status(&rig);
    }
    rig_wait(&rig, bbo_at_least, bbo() + 50, "data after it");
    assert_int_equal(rig_seen(&rig).sources_down, 0);
    assert_int_equal(rig_metric(&rig, "meltica_adapter_line_ended_total", ""), 0);
    assert_int_equal(rig_end_adapter(&rig), 0);
}

/* ---- acknowledgements ---- */

static void test_answer_that_does_not_come_is_asked_for_once_more(void **state)
{
    (void)state;
    static const char *const none[] = { NULL };
    rig_start(&rig, exchange, none);
    tell("unanswered?messages=1");
    rig_plan(&rig, 1, streams, 3, symbols, 1); /* of one partition: one message */
    await_metric("meltica_adapter_acks_total", "", 1);
    assert_int_equal(rig_metric(&rig, "meltica_adapter_requests_repeated_total", ""), 1);
    assert_int_equal(rig_metric(&rig, "meltica_adapter_no_acks_total", ""), 0);
    rig_wait(&rig, bbo_at_least, 50, "data");
    await_metric("meltica_adapter_topics", "state=\"LIVE\"", 3);
    assert_int_equal(rig_end_adapter(&rig), 0);
}

/* Acknowledged, and silent: reported, subscribed once more, and then it speaks. */
static void test_acknowledged_streams_that_stay_silent_are_subscribed_again(void **state)
{
    (void)state;
    static const char *const soon[] = { "--silent-after-ms", "5000", NULL };
    rig_start(&rig, exchange, soon);
    tell("hollow-acks?messages=1");
    rig_plan(&rig, 1, streams, 3, symbols, 1);
    await_metric("meltica_adapter_acks_total", "", 1);
    assert_int_equal(bbo(), 0);
    rig_await_words(&rig.adapter, "topics_silent");
    rig_wait(&rig, bbo_at_least, 50, "data");
    assert_int_equal(rig_metric(&rig, "meltica_adapter_reminders_total", ""), 3);
    await_metric("meltica_adapter_topics", "state=\"LIVE\"", 3);
    assert_int_equal(rig_seen(&rig).sources_down, 0);
    assert_int_equal(rig_end_adapter(&rig), 0);
}

/* Of two lines, one that says that it has the streams: the other one brings them meanwhile. */
static void test_a_copy_that_stays_silent_is_found_by_the_other_one(void **state)
{
    (void)state;
    static const char *const two[] = {
        "--line-copies", "2", "--silent-after-ms", "1500", "--spare-connection", "false", NULL
    };
    rig_start(&rig, exchange, two);
    rig_plan(&rig, 1, streams, 3, symbols, 5);
    await_metric("meltica_adapter_topics", "state=\"LIVE\"", 15);
    await_metric("meltica_adapter_topics_lacking_copies", "", 0);
    rig_wait(&rig, bbo_at_least, 50, "data");
    tell("hollow-acks?messages=1");
    tell("end-lines?newest=1");
    rig_await_words(&rig.adapter, "line_covered");
    rig_await_words(&rig.adapter, "copies_mute");
    await_between("meltica_adapter_reminders_total", "", 15, 100);
    await_metric("meltica_adapter_topics_lacking_copies", "", 0);
    assert_int_equal(rig_metric(&rig, "meltica_adapter_topics", "state=\"LIVE\""), 15);
    assert_int_equal(rig_seen(&rig).sources_down, 0);
    assert_int_equal(rig_end_adapter(&rig), 0);
}

/* ---- REST ---- */

static uint64_t failures(const char *label)
{
    return rig_metric(&rig, "meltica_adapter_rest_failures_total", label);
}

/* 418, a page by a proxy as 200 and as 502, and more bytes than anybody takes: the same is asked
 * again when it may be, and frames flow meanwhile. */
static void test_answers_of_something_in_between_are_asked_for_again(void **state)
{
    (void)state;
    static const char *const none[] = { NULL };
    static const struct {
        const char *kind, *reason;
    } faults[] = {
        { "answers?kind=banned&extent=2", "function=\"depth\",reason=\"http_418\"" },
        { "answers?kind=html&extent=502", "function=\"depth\",reason=\"http_5xx\"" },
        { "answers?kind=html&extent=200", "function=\"depth\",reason=\"parse\"" },
        { "answers?kind=huge", "function=\"depth\",reason=\"too_big\"" },
        { "answers?kind=truncate&extent=1001", "function=\"depth\"" }, /* hung up on */
    };
    rig_start(&rig, exchange, none);
    rig_plan(&rig, 1, streams, 3, symbols, 5);
    rig_wait(&rig, instruments_at_least, 5, "the listing");
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        const uint64_t snapshots = rig_seen(&rig).snapshots_scheduled;
        const uint64_t before = failures(faults[i].reason), seen = bbo();
        tell(faults[i].kind);
        const int64_t asked_ns = mlt_clock_mono_ns();
        assert_string_equal(rig_fetch(&rig, "depth", "SYM0001-USDT", 20), "");
        rig_wait(&rig, snapshots_at_least, snapshots + 1, faults[i].kind);
        assert_int_equal(failures(faults[i].reason), before + 1);
        rig_wait(&rig, bbo_at_least, seen + 5, "frames");
        if (i == 0) { /* obeyed to the second */
            assert_true(mlt_clock_mono_ns() - asked_ns >= 2 * MLT_NS_PER_S);
        }
    }
    assert_int_equal(rig_seen(&rig).snapshot_levels, 20);
    assert_int_equal(rig_end_adapter(&rig), 0);
}

static void test_ticker_of_another_symbol_is_refused(void **state)
{
    (void)state;
    static const char *const none[] = { NULL };
    const struct rig_route routes[] = { { 7, "", "ticker/24hr", 300, 0 } };
    rig_start(&rig, exchange, none);
    tell("answers?function=ticker/24hr&kind=wrong_symbol");
    rig_plan(&rig, 1, routes, 1, symbols, 1);
    rig_wait(&rig, unparsed_at_least, 1, "the refusal");
    assert_string_equal(rig_seen(&rig).unparsed_reason, "wrong_symbol");
    rig_wait(&rig, tickers_at_least, 2, "its own");
    assert_int_equal(rig_seen(&rig).unparsed, 1);
    assert_int_equal(rig_end_adapter(&rig), 0);
}

/* ---- listings ---- */

/* Whatever comes in the place of exchangeInfo, the one in force stays; so does what is subscribed.
 */
static void test_listing_that_is_none_changes_nothing(void **state)
{
    (void)state;
    static const char *const often[] = { "--listing-interval-ms", "1000", NULL };
    static const struct {
        const char *kind, *reason;
    } faults[] = {
        { "html&extent=200", "function=\"exchangeInfo\",reason=\"parse\"" },
        { "html&extent=502", "function=\"exchangeInfo\",reason=\"http_5xx\"" },
        { "banned&extent=1", "function=\"exchangeInfo\",reason=\"http_418\"" },
        { "huge", "function=\"exchangeInfo\",reason=\"too_big\"" },
        { "truncate&extent=500", "function=\"exchangeInfo\",reason=\"parse\"" },
    };
    rig_start(&rig, exchange, often);
    rig_plan(&rig, 1, streams, 3, symbols, 5);
    rig_wait(&rig, bbo_at_least, 50, "BBO");
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        char what[128];
        const uint64_t before = failures(faults[i].reason);
        (void)snprintf(what, sizeof what, "answers?function=exchangeInfo&kind=%s", faults[i].kind);
        tell(what);
        await_metric("meltica_adapter_rest_failures_total", faults[i].reason, before + 1);
        assert_int_equal(rig_metric(&rig, "meltica_adapter_instruments_listed", ""), 5);
    }
    const uint64_t listings = rig_metric(&rig, "meltica_adapter_listings_total", "");
    rig_wait(&rig, instruments_at_least, rig_seen(&rig).by_type[MLT_EVENT_INSTRUMENT] + 5,
             "the next listing");
    await_between("meltica_adapter_listings_total", "", listings + 1, UINT64_MAX);
    rig_wait(&rig, bbo_at_least, bbo() + 50, "frames");
    assert_int_equal(rig_seen(&rig).sources_down, 0);
    await_metric("meltica_adapter_topics", "state=\"LIVE\"", 15);
    assert_int_equal(rig_end_adapter(&rig), 0);
}

/* Most of it gone at once is no listing, unless it is said twice; none at all never is. */
static void test_listing_that_lost_most_is_believed_the_second_time(void **state)
{
    (void)state;
    static const char *const often[] = { "--listing-interval-ms", "1000", NULL };
    rig_start(&rig, exchange, often);
    rig_plan(&rig, 1, streams, 3, symbols, 5);
    rig_wait(&rig, bbo_at_least, 50, "BBO");
    tell("listing?symbol=SYM0001USDT&listed=0");
    await_metric("meltica_adapter_instruments_listed", "", 4); /* one is believed at once */
    const char *const doubted = "function=\"exchangeInfo\",reason=\"again\"";
    assert_int_equal(failures(doubted), 0);
    tell("listing?symbol=SYM0002USDT&listed=0");
    await_metric("meltica_adapter_instruments_listed", "", 3);
    tell("listing?symbol=SYM0003USDT&listed=0");
    tell("listing?symbol=SYM0004USDT&listed=0");
    await_metric("meltica_adapter_instruments_listed", "", 1);
    tell("listing?symbol=SYM0005USDT&listed=0");
    await_between("meltica_adapter_rest_failures_total", doubted, failures(doubted) + 2,
                  UINT64_MAX); /* again and again */
    assert_int_equal(rig_metric(&rig, "meltica_adapter_instruments_listed", ""), 1);
    tell("listing?symbol=SYM0005USDT&listed=1");
    tell("listing?symbol=SYM0001USDT&listed=1");
    await_metric("meltica_adapter_instruments_listed", "", 2);
    await_metric("meltica_adapter_topics", "state=\"LIVE\"", 6);
    assert_int_equal(rig_end_adapter(&rig), 0);
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_half_open_line_is_noticed_and_replaced),
        TEST(test_line_without_pings_is_replaced),
        TEST(test_line_without_data_that_pings_is_kept),
        TEST(test_answer_that_does_not_come_is_asked_for_once_more),
        TEST(test_acknowledged_streams_that_stay_silent_are_subscribed_again),
        TEST(test_a_copy_that_stays_silent_is_found_by_the_other_one),
        TEST(test_answers_of_something_in_between_are_asked_for_again),
        TEST(test_ticker_of_another_symbol_is_refused),
        TEST(test_listing_that_is_none_changes_nothing),
        TEST(test_listing_that_lost_most_is_believed_the_second_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
