#include "mlt_test.h"

#include "adapter_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "meltica/base/clock.h"

static struct rig rig;
static const char *const none[] = { NULL };

static bool bbo_at_least(const struct rig_seen *seen, uint64_t value)
{
    return seen->by_type[MLT_EVENT_BBO] >= value;
}

static bool snapshots_at_least(const struct rig_seen *seen, uint64_t value)
{
    return seen->snapshots_scheduled >= value;
}

static bool deepest_at_least(const struct rig_seen *seen, uint64_t value)
{
    return seen->deepest >= value;
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

static int tear_down(void **state)
{
    (void)state;
    rig_stop(&rig);
    return 0;
}

static const char *const small[] = { "--synthetic",           "--symbols", "5", "--rate", "500",
                                     "--start-subscriptions", "1",         NULL };
static const char *const symbols[] = { "SYM0001-USDT", "SYM0002-USDT", "SYM0003-USDT",
                                       "SYM0004-USDT", "SYM0005-USDT" };

static void test_rest_answers_carry_their_function(void **state)
{
    (void)state;
    const struct rig_route routes[] = {
        { 6, "", "depth", 300, 20 },
        { 7, "", "ticker/24hr", 300, 0 },
    };
    rig_start(&rig, small, none);
    rig_plan(&rig, 1, routes, 2, symbols, 2);
    rig_wait(&rig, snapshots_at_least, 6, "scheduled depth");
    rig_wait(&rig, tickers_at_least, 6, "scheduled ticker/24hr");
    const struct rig_seen seen = rig_seen(&rig);
    assert_int_equal(seen.depth, 20);
    assert_int_equal(seen.snapshot_levels, 20);
    assert_int_equal(seen.missing, 0);
    rig_plan(&rig, 2, routes, 0, symbols, 2); /* one of the schedule may be under way */
    assert_string_equal(rig_fetch(&rig, "depth", "SYM0001-USDT", 50), "");
    rig_wait(&rig, deepest_at_least, 50, "depth on demand");
    assert_int_equal(rig_seen(&rig).deepest, 50);
    assert_string_equal(rig_fetch(&rig, "depth", "SYM0001-USDT", 9999), "");
    rig_wait(&rig, deepest_at_least, 5000, "deepest depth");
    assert_int_equal(rig_seen(&rig).deepest, 5000); /* what was asked of the exchange */
    assert_string_equal(rig_fetch(&rig, "depth", "NO-SUCH", 50), "unknown_symbol");
    assert_string_equal(rig_fetch(&rig, "klines", "SYM0001-USDT", 0), "unknown_function");
    assert_string_equal(rig_fetch(&rig, "depth", "", 0), "missing_instrument");
    assert_int_equal(rig_end_adapter(&rig), 0);
}

/* Each partition's are subscribed for themselves; a PlanStatus comes each second. */
static void await_live_topics(uint64_t count)
{
    const int64_t until_ns = mlt_clock_mono_ns() + RIG_WAIT_NS;
    while (rig_metric(&rig, "meltica_adapter_topics", "state=\"LIVE\"") < count) {
        assert_true(mlt_clock_mono_ns() < until_ns);
        rig_await_status(&rig);
    }
}

static void test_plan_is_answered_and_level_triggered(void **state)
{
    (void)state;
    rig_start(&rig, small, none);
    const char *const wanted[] = { "SYM0001-USDT", "SYM0002-USDT", "NO-SUCH" };
    rig_plan(&rig, 5, streams, 1, wanted, 3);
    rig_wait(&rig, instruments_at_least, 5, "the listing");
    rig_wait(&rig, bbo_at_least, 20, "BBO");
    await_live_topics(2);
    Meltica__V1__NativePlan plan;
    meltica__v1__native_plan__init(&plan);
    plan.boot = 77;
    plan.revision = 4;
    Meltica__V1__PlanStatus *status = rig_plan_part(&rig, &plan);
    assert_false(status->applied);
    assert_string_equal(status->reason, "stale_revision");
    assert_string_equal(status->instance, "adapter-test");
    assert_true(status->boot != 0);
    assert_int_equal(status->revision, 5);
    assert_int_equal(status->topics_live, 2);
    assert_int_equal(status->topics_failed, 1);
    assert_int_equal(status->n_problems, 1);
    assert_string_equal(status->problems[0]->state, "FAILED");
    assert_string_equal(status->problems[0]->reason, "unknown_symbol");
    assert_string_equal(status->problems[0]->instrument, "NO-SUCH");
    meltica__v1__plan_status__free_unpacked(status, NULL);

    /* A Dispatcher that was not known gets the whole listing again. */
    const uint64_t before = rig_seen(&rig).by_type[MLT_EVENT_INSTRUMENT];
    plan.boot = 78;
    status = rig_plan_part(&rig, &plan);
    assert_true(status->applied);
    meltica__v1__plan_status__free_unpacked(status, NULL);
    rig_wait(&rig, instruments_at_least, before + 5, "the listing again");
}

/* ---- an exchange that says wait ---- */

static struct {
    pthread_mutex_t lock;
    unsigned depth_calls;
    int64_t at[16]; /* monotonic, of the depth calls */
} stub_state = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void script(void *ctx, const char *path, int *status, char *headers, char *body, size_t size)
{
    (void)ctx;
    if (strncmp(path, "/api/v3/exchangeInfo", 20) == 0) {
        *status = 200;
        (void)snprintf(body, size,
                       "{\"symbols\":[{\"symbol\":\"SYM0001USDT\",\"status\":\"TRADING\","
                       "\"baseAsset\":\"SYM0001\",\"quoteAsset\":\"USDT\"}]}");
        return;
    }
    if (strncmp(path, "/api/v3/time", 12) == 0) { /* of the Adapter's own schedule */
        *status = 200;
        (void)snprintf(body, size, "{\"serverTime\":1499827319559}");
        return;
    }
    (void)pthread_mutex_lock(&stub_state.lock);
    const unsigned n = stub_state.depth_calls++;
    if (n < 16) {
        stub_state.at[n] = mlt_clock_mono_ns();
    }
    (void)pthread_mutex_unlock(&stub_state.lock);
    if (n == 0) {
        *status = 429;
        (void)snprintf(headers, 256, "Retry-After: 2\r\n");
        (void)snprintf(body, size, "{\"code\":-1003,\"msg\":\"Too many requests.\"}");
    } else if (n == 1) {
        *status = 418;
        (void)snprintf(headers, 256, "Retry-After: 1\r\n");
        (void)snprintf(body, size, "{\"code\":-1003,\"msg\":\"Banned.\"}");
    } else if (n == 2) {
        *status = 400;
        (void)snprintf(body, size, "{\"code\":-1121,\"msg\":\"Invalid symbol.\"}");
    } else {
        *status = 200;
        (void)snprintf(body, size, "{\"lastUpdateId\":7,\"bids\":[[\"1.0\",\"2.0\"]],\"asks\":[]}");
    }
}

static void test_429_and_418_are_obeyed_and_an_error_is_handed_on(void **state)
{
    (void)state;
    struct rig_stub stub = { .script = script };
    rig_stub_start(&stub);
    (void)snprintf(rig.rest_url, sizeof rig.rest_url, "http://127.0.0.1:%s", stub.port);
    rig_start(&rig, small, none);
    const struct rig_route routes[] = { { 6, "", "depth", 100, 20 } };
    rig_plan(&rig, 1, routes, 1, symbols, 1);
    rig_wait(&rig, snapshots_at_least, 1, "the answer after the waits");
    const struct rig_seen seen = rig_seen(&rig);
    (void)pthread_mutex_lock(&stub_state.lock);
    assert_true(stub_state.depth_calls >= 4);
    assert_true(stub_state.at[1] - stub_state.at[0] >= 2 * MLT_NS_PER_S);
    assert_true(stub_state.at[2] - stub_state.at[1] >= MLT_NS_PER_S);
    (void)pthread_mutex_unlock(&stub_state.lock);
    assert_int_equal(seen.unparsed, 1);
    assert_string_equal(seen.unparsed_reason, "exchange_error");
    assert_int_equal(rig_metric(&rig, "meltica_adapter_rest_failures_total", "reason=\"http_429\""),
                     1);
    assert_int_equal(rig_metric(&rig, "meltica_adapter_rest_failures_total", "reason=\"http_418\""),
                     1);
    assert_int_equal(rig_end_adapter(&rig), 0);
    rig_stub_stop(&stub);
}

/* ---- what goes first ---- */

#define OF_A_CLASS 10u
#define FLIGHTS 8u /* calls at once: among these the exchange may see another order */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned count, order[5 * OF_A_CLASS]; /* numbers of symbols, as the exchange was asked */
} asked = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void many_symbols(void *ctx, const char *path, int *status, char *headers, char *body,
                         size_t size)
{
    const char *symbol = strstr(path, "symbol=S");
    (void)ctx;
    *status = 200;
    if (strncmp(path, "/api/v3/exchangeInfo", 20) == 0) {
        size_t used = (size_t)snprintf(body, size, "{\"symbols\":[");
        for (unsigned i = 0; i <= 4 * OF_A_CLASS && used < size; i++) {
            used += (size_t)snprintf(body + used, size - used,
                                     "%s{\"symbol\":\"S%02uUSDT\",\"status\":\"TRADING\","
                                     "\"baseAsset\":\"S%02u\",\"quoteAsset\":\"USDT\"}",
                                     i > 0 ? "," : "", i, i);
        }
        assert_true(used + 2 < size);
        (void)snprintf(body + used, size - used, "]}");
    } else if (symbol == NULL) {
        (void)snprintf(body, size, "{\"serverTime\":1499827319559}");
    } else {
        (void)snprintf(body, size, "{\"lastUpdateId\":7,\"bids\":[[\"1.0\",\"2.0\"]],\"asks\":[]}");
        (void)pthread_mutex_lock(&asked.lock);
        if (asked.count == 0) { /* everything waits, and what is asked for meanwhile */
            *status = 429;
            (void)snprintf(headers, 256, "Retry-After: 10\r\n");
        }
        if (asked.count < sizeof asked.order / sizeof asked.order[0]) {
            asked.order[asked.count++] = (unsigned)strtoul(symbol + 8, NULL, 10);
        }
        (void)pthread_cond_broadcast(&asked.changed);
        (void)pthread_mutex_unlock(&asked.lock);
    }
}

static unsigned wait_asked(unsigned count)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 40;
    (void)pthread_mutex_lock(&asked.lock);
    int waited = 0;
    while (asked.count < count && waited == 0) {
        waited = pthread_cond_timedwait(&asked.changed, &asked.lock, &until);
    }
    const unsigned seen = asked.count;
    (void)pthread_mutex_unlock(&asked.lock);
    return seen;
}

static void test_the_exchange_is_asked_by_priority(void **state)
{
    (void)state;
    static const Meltica__V1__Priority by_class[] = { MELTICA__V1__PRIORITY__PRIORITY_RESYNC,
                                                      MELTICA__V1__PRIORITY__PRIORITY_FIRST,
                                                      MELTICA__V1__PRIORITY__PRIORITY_DEPTH,
                                                      MELTICA__V1__PRIORITY__PRIORITY_AUDIT };
    struct rig_stub stub = { .script = many_symbols };
    rig_stub_start(&stub);
    (void)snprintf(rig.rest_url, sizeof rig.rest_url, "http://127.0.0.1:%s", stub.port);
    rig_start(&rig, small, none);
    const struct rig_route routes[] = { { 6, "", "depth", 0, 20 } };
    const char *const first[] = { "S00-USDT" };
    rig_plan(&rig, 1, routes, 1, first, 1);
    rig_wait(&rig, instruments_at_least, 4 * OF_A_CLASS + 1, "the listing");
    assert_string_equal(rig_fetch_as(&rig, "depth", "S00-USDT", 20, by_class[0]), "");
    assert_int_equal(wait_asked(1), 1);
    rig_await_words(&rig.adapter, "rest_refused"); /* it knows, and calls nobody */
    for (unsigned class = 4; class --> 0;) {       /* the last ones first */
        for (unsigned i = 1; i <= OF_A_CLASS; i++) {
            char token[16];
            (void)snprintf(token, sizeof token, "S%02u-USDT", class * OF_A_CLASS + i);
            assert_string_equal(rig_fetch_as(&rig, "depth", token, 20, by_class[class]), "");
        }
    }
    assert_int_equal(wait_asked(1), 1); /* none of them before its time */
    assert_int_equal(wait_asked(4 * OF_A_CLASS + 2), 4 * OF_A_CLASS + 2);
    unsigned place = 0;
    for (unsigned i = 1; i < asked.count; i++) {
        if (asked.order[i] == 0) {
            continue; /* the one that was refused, again */
        }
        const unsigned class = (asked.order[i] - 1) / OF_A_CLASS;
        assert_true(place + FLIGHTS > class * OF_A_CLASS);
        assert_true(place < (class + 1) * OF_A_CLASS + FLIGHTS);
        place++;
    }
    assert_int_equal(place, 4 * OF_A_CLASS);
    assert_int_equal(rig_end_adapter(&rig), 0);
    rig_stub_stop(&stub);
}

/* ---- an answer that is cut short ---- */

static void cut_short(void *ctx, const char *path, int *status, char *headers, char *body,
                      size_t size)
{
    const bool depth = strncmp(path, "/api/v3/depth", 13) == 0;
    script(ctx, path, status, headers, body, size);
    if (depth) {
        *status = 200;
        headers[0] = '\0';
        (void)snprintf(body, size, "{\"lastUpdateId\":7,\"bids\":[[\"1.0\",\"2.0\"]]%s",
                       stub_state.depth_calls == 1 ? "" : ",\"asks\":[]}");
    }
}

/* With its length right, so that HTTP has nothing to say: it is refused, and asked for again. */
static void test_an_answer_that_is_no_json_is_asked_for_again(void **state)
{
    (void)state;
    struct rig_stub stub = { .script = cut_short };
    stub_state.depth_calls = 0;
    rig_stub_start(&stub);
    (void)snprintf(rig.rest_url, sizeof rig.rest_url, "http://127.0.0.1:%s", stub.port);
    rig_start(&rig, small, none);
    const struct rig_route routes[] = { { 6, "", "depth", 0, 20 } };
    rig_plan(&rig, 1, routes, 1, symbols, 1);
    rig_wait(&rig, instruments_at_least, 1, "the listing");
    assert_string_equal(rig_fetch(&rig, "depth", "SYM0001-USDT", 20), "");
    rig_wait(&rig, snapshots_at_least, 1, "the second answer");
    const struct rig_seen seen = rig_seen(&rig);
    assert_int_equal(seen.unparsed, 1);
    assert_string_equal(seen.unparsed_reason, "parse");
    assert_int_equal(rig_metric(&rig, "meltica_adapter_rest_failures_total", "reason=\"parse\""),
                     1);
    assert_int_equal(rig_metric(&rig, "meltica_adapter_rest_answers_total", "function=\"depth\""),
                     1);
    assert_int_equal(rig_end_adapter(&rig), 0);
    rig_stub_stop(&stub);
}

/* ---- an answer with one number that is none ---- */

static unsigned trades_calls; /* by stub_state.lock */

static void one_odd_price(void *ctx, const char *path, int *status, char *headers, char *body,
                          size_t size)
{
    if (strncmp(path, "/api/v3/historicalTrades", 24) != 0) {
        cut_short(ctx, path, status, headers, body, size);
        return;
    }
    (void)pthread_mutex_lock(&stub_state.lock);
    trades_calls++;
    (void)pthread_mutex_unlock(&stub_state.lock);
    *status = 200;
    (void)snprintf(body, size,
                   "[{\"id\":1,\"price\":\"1\",\"qty\":\"1\",\"time\":5,\"isBuyerMaker\":true},"
                   "{\"id\":2,\"price\":\"1e5\",\"qty\":\"1\",\"time\":5,\"isBuyerMaker\":true},"
                   "{\"id\":3,\"price\":\"1\",\"qty\":\"1\",\"time\":5,\"isBuyerMaker\":true}]");
}

static bool trades_at_least(const struct rig_seen *seen, uint64_t value)
{
    return seen->by_type[MLT_EVENT_TRADE] >= value;
}

/* The word of the refusal is the same as of a body that is no JSON; the answer is one all the same.
 */
static void test_an_answer_with_one_odd_price_is_not_asked_for_again(void **state)
{
    (void)state;
    struct rig_stub stub = { .script = one_odd_price };
    stub_state.depth_calls = 1; /* none of them is cut short */
    trades_calls = 0;
    rig_stub_start(&stub);
    (void)snprintf(rig.rest_url, sizeof rig.rest_url, "http://127.0.0.1:%s", stub.port);
    rig_start(&rig, small, none);
    const struct rig_route routes[] = { { 6, "", "depth", 100, 20 } };
    rig_plan(&rig, 1, routes, 1, symbols, 1);
    rig_wait(&rig, snapshots_at_least, 1, "the schedule");
    assert_string_equal(rig_fetch(&rig, "historicalTrades", "SYM0001-USDT", 3), "");
    rig_wait(&rig, trades_at_least, 2, "what is good of the answer");
    /* A second and more, by the schedule: the same again would come within a quarter of one. */
    rig_wait(&rig, snapshots_at_least, rig_seen(&rig).snapshots_scheduled + 15, "the schedule");
    const struct rig_seen seen = rig_seen(&rig);
    (void)pthread_mutex_lock(&stub_state.lock);
    assert_int_equal(trades_calls, 1);
    (void)pthread_mutex_unlock(&stub_state.lock);
    assert_int_equal(seen.by_type[MLT_EVENT_TRADE], 2);
    assert_int_equal(seen.unparsed, 1);
    assert_string_equal(seen.unparsed_reason, "parse");
    assert_int_equal(rig_metric(&rig, "meltica_adapter_rest_failures_total", "reason=\"parse\""),
                     0);
    assert_int_equal(
        rig_metric(&rig, "meltica_adapter_rest_answers_total", "function=\"historicalTrades\""), 1);
    assert_int_equal(rig_end_adapter(&rig), 0);
    rig_stub_stop(&stub);
}

/* ---- the first listing has nothing in it ---- */

static unsigned listings; /* by stub_state.lock */

static void nothing_at_first(void *ctx, const char *path, int *status, char *headers, char *body,
                             size_t size)
{
    script(ctx, path, status, headers, body, size);
    if (strncmp(path, "/api/v3/exchangeInfo", 20) == 0) {
        (void)pthread_mutex_lock(&stub_state.lock);
        const bool first = listings++ < 2;
        (void)pthread_mutex_unlock(&stub_state.lock);
        if (first) {
            (void)snprintf(body, size, "{\"symbols\":[]}");
        }
    }
}

/* It is none, also where there was none before: the next one would be an hour away. */
static void test_an_empty_listing_is_not_believed_at_the_start(void **state)
{
    (void)state;
    struct rig_stub stub = { .script = nothing_at_first };
    listings = 0;
    rig_stub_start(&stub);
    (void)snprintf(rig.rest_url, sizeof rig.rest_url, "http://127.0.0.1:%s", stub.port);
    rig_start(&rig, small, none);
    rig_wait(&rig, instruments_at_least, 1, "the listing");
    assert_int_equal(rig_metric(&rig, "meltica_adapter_rest_failures_total",
                                "function=\"exchangeInfo\",reason=\"again\""),
                     2);
    assert_int_equal(rig_metric(&rig, "meltica_adapter_listings_total", ""), 1);
    assert_int_equal(rig_end_adapter(&rig), 0);
    rig_stub_stop(&stub);
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rest_answers_carry_their_function),
        TEST(test_plan_is_answered_and_level_triggered),
        TEST(test_429_and_418_are_obeyed_and_an_error_is_handed_on),
        TEST(test_the_exchange_is_asked_by_priority),
        TEST(test_an_answer_that_is_no_json_is_asked_for_again),
        TEST(test_an_answer_with_one_odd_price_is_not_asked_for_again),
        TEST(test_an_empty_listing_is_not_believed_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
