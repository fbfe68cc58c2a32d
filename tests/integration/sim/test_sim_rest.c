/* The REST side as Binance has it: shapes, weights, limits, errors. */
#include "sim_test.h"

#include <sys/wait.h>

#define MARKET "--synthetic", "--symbols", "3", "--rate", "2000", "--seconds", "3", "--speed", "max"

/* Runs a synthetic market to its end with one line open. */
static void run_market(struct sim_process *sim, struct raw_ws *ws, const char *const *arguments)
{
    start(sim, arguments);
    open_line(ws, sim, "/ws/sym0001usdt@depth@100ms");
    cJSON_Delete(get_json(sim->port, "/sim/start", 200));
    for (;;) {
        cJSON *status = get_json(sim->port, "/sim/status", 200);
        const bool finished = cJSON_IsTrue(member(status, "finished"));
        const int64_t sent = number_of(status, "frames_sent");
        cJSON_Delete(status);
        if (finished) {
            for (int64_t i = 0; i < sent; i++) {
                (void)expect_frame(ws, RAW_TEXT);
            }
            return;
        }
    }
}

static void expect_error(int port, const char *target, int status, int code)
{
    cJSON *error = get_json(port, target, status);
    assert_int_equal(number_of(error, "code"), code);
    assert_true(strlen(text_of(error, "msg")) > 0);
    cJSON_Delete(error);
}

static void test_bodies_have_the_documented_shapes(void **state)
{
    (void)state;
    const char *const arguments[] = { MARKET, NULL };
    struct sim_process sim;
    struct raw_ws ws;
    run_market(&sim, &ws, arguments);

    cJSON *json = get_json(sim.port, "/api/v3/ping", 200);
    assert_int_equal(cJSON_GetArraySize(json), 0);
    cJSON_Delete(json);
    json = get_json(sim.port, "/api/v3/time", 200);
    assert_true(number_of(json, "serverTime") > 1500000000000);
    cJSON_Delete(json);

    json = get_json(sim.port, "/api/v3/depth?symbol=SYM0001USDT&limit=7", 200);
    assert_int_equal(cJSON_GetArraySize(json), 3); /* no symbol, no time */
    assert_int_equal(cJSON_GetArraySize(member(json, "bids")), 7);
    assert_int_equal(cJSON_GetArraySize(member(json, "asks")), 7);
    cJSON_Delete(json);

    json = get_json(sim.port, "/api/v3/trades?symbol=SYM0001USDT&limit=4", 200);
    assert_int_equal(cJSON_GetArraySize(json), 4);
    static const char *const trade_keys[] = { "id",   "price",        "qty",        "quoteQty",
                                              "time", "isBuyerMaker", "isBestMatch" };
    for (size_t i = 0; i < 7; i++) {
        (void)member(cJSON_GetArrayItem(json, 3), trade_keys[i]);
    }
    const int64_t newest = number_of(cJSON_GetArrayItem(json, 3), "id");
    assert_int_equal(number_of(cJSON_GetArrayItem(json, 0), "id"), newest - 3); /* oldest first */
    cJSON_Delete(json);

    json = get_json(sim.port, "/api/v3/historicalTrades?symbol=SYM0001USDT&fromId=5&limit=2", 200);
    assert_int_equal(number_of(cJSON_GetArrayItem(json, 0), "id"), 5);
    assert_int_equal(number_of(cJSON_GetArrayItem(json, 1), "id"), 6);
    cJSON_Delete(json);

    json = get_json(sim.port, "/api/v3/aggTrades?symbol=SYM0001USDT&fromId=3&limit=1", 200);
    const cJSON *aggregate = cJSON_GetArrayItem(json, 0);
    assert_int_equal(number_of(aggregate, "a"), 3);
    assert_true(number_of(aggregate, "l") >= number_of(aggregate, "f"));
    assert_int_equal(cJSON_GetArraySize(aggregate), 8);
    cJSON_Delete(json);

    json = get_json(sim.port, "/api/v3/klines?symbol=SYM0001USDT&interval=1s&limit=2", 200);
    assert_int_equal(cJSON_GetArraySize(json), 2);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetArrayItem(json, 0)), 12);
    cJSON_Delete(json);

    json = get_json(sim.port, "/api/v3/avgPrice?symbol=SYM0001USDT", 200);
    assert_int_equal(number_of(json, "mins"), 5);
    assert_non_null(strchr(text_of(json, "price"), '.'));
    cJSON_Delete(json);

    json = get_json(sim.port, "/api/v3/ticker/24hr?symbol=SYM0001USDT", 200);
    assert_int_equal(cJSON_GetArraySize(json), 21);
    assert_int_equal(number_of(json, "lastId"), newest);
    assert_int_equal(number_of(json, "count"), newest - number_of(json, "firstId") + 1);
    cJSON_Delete(json);
    json = get_json(sim.port, "/api/v3/ticker/24hr?type=MINI", 200);
    assert_int_equal(cJSON_GetArraySize(json), 3);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetArrayItem(json, 2)), 12);
    cJSON_Delete(json);
    json = get_json(sim.port,
                    "/api/v3/ticker/price?symbols=%5B%22SYM0002USDT%22,%22SYM0001USDT%22%5D", 200);
    assert_int_equal(cJSON_GetArraySize(json), 2);
    assert_string_equal(text_of(cJSON_GetArrayItem(json, 0), "symbol"), "SYM0002USDT");
    cJSON_Delete(json);
    json = get_json(sim.port, "/api/v3/ticker/bookTicker?symbol=SYM0001USDT", 200);
    assert_int_equal(cJSON_GetArraySize(json), 5);
    cJSON_Delete(json);
    raw_ws_close(&ws);
    stop(&sim);
}

static void test_time_unit_header_scales_times(void **state)
{
    (void)state;
    const char *const arguments[] = { "--synthetic", NULL };
    struct sim_process sim;
    struct raw_response response;
    start(&sim, arguments);
    raw_http_get(sim.port, NULL, "/api/v3/time", "X-MBX-TIME-UNIT: MICROSECOND\r\n", &response);
    assert_int_equal(response.status, 200);
    cJSON *json = cJSON_Parse(response.body);
    assert_true(number_of(json, "serverTime") > 1500000000000000);
    cJSON_Delete(json);
    raw_response_fini(&response);
    raw_http_get(sim.port, NULL, "/api/v3/time", "X-MBX-TIME-UNIT: hours\r\n", &response);
    assert_int_equal(response.status, 400);
    assert_non_null(strstr(response.body, "-1194"));
    raw_response_fini(&response);
    stop(&sim);
}

static void test_errors_have_their_codes(void **state)
{
    (void)state;
    const char *const arguments[] = { "--synthetic", NULL };
    struct sim_process sim;
    struct raw_response response;
    start(&sim, arguments);
    expect_error(sim.port, "/api/v3/depth", 400, -1102);
    expect_error(sim.port, "/api/v3/depth?symbol=", 400, -1102);
    expect_error(sim.port, "/api/v3/depth?symbol=NOSUCH", 400, -1121);
    expect_error(sim.port, "/api/v3/depth?symbol=sym0001usdt", 400, -1100);
    expect_error(sim.port, "/api/v3/depth?symbol=SYM0001USDT&limit=0", 400, -1130);
    expect_error(sim.port, "/api/v3/depth?symbol=SYM0001USDT&limit=x", 400, -1100);
    expect_error(sim.port, "/api/v3/depth?symbol=SYM0001USDT&depth=5", 400, -1101);
    expect_error(sim.port, "/api/v3/depth?symbol=SYM0001USDT&symbol=SYM0001USDT", 400, -1101);
    expect_error(sim.port, "/api/v3/klines?symbol=SYM0001USDT", 400, -1102);
    expect_error(sim.port, "/api/v3/klines?symbol=SYM0001USDT&interval=7m", 400, -1120);
    expect_error(sim.port, "/api/v3/ticker/price?symbol=SYM0001USDT&symbols=%5B%5D", 400, -1128);
    expect_error(sim.port, "/api/v3/ticker/price?symbols=%5B", 400, -1135);
    expect_error(sim.port, "/api/v3/ticker/price?symbols=%5B%22SYM0001USDT%22,%22SYM0001USDT%22%5D",
                 400, -1151);
    expect_error(sim.port, "/api/v3/ticker/price?symbol=SYM0001USDT&symbolStatus=HALT", 400, -1220);
    expect_error(sim.port, "/api/v3/ticker/price?symbolStatus=FOO", 400, -1122);
    expect_error(sim.port, "/api/v3/exchangeInfo?symbol=SYM0001USDT&permissions=SPOT", 400, -1128);
    raw_http_get(sim.port, NULL, "/api/v3/nosuch", NULL, &response);
    assert_int_equal(response.status, 404);
    assert_int_equal(response.body_len, 0);
    raw_response_fini(&response);
    raw_http_get(sim.port, NULL, "/nosuch", "Accept: text/html\r\n", &response);
    assert_int_equal(response.status, 404);
    assert_non_null(strstr(response.body, "<html>"));
    raw_response_fini(&response);
    stop(&sim);
}

static int64_t weight_after(int port, const char *target)
{
    char value[32];
    struct raw_response response;
    raw_http_get(port, NULL, target, NULL, &response);
    raw_response_header(&response, "X-MBX-USED-WEIGHT-1M", value, sizeof value);
    raw_response_fini(&response);
    return strtoll(value, NULL, 10);
}

static void test_each_request_costs_its_weight(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        int64_t weight;
    } cases[] = {
        { "/api/v3/ping", 1 },
        { "/api/v3/exchangeInfo", 20 },
        { "/api/v3/depth?symbol=SYM0001USDT", 5 },
        { "/api/v3/depth?symbol=SYM0001USDT&limit=500", 25 },
        { "/api/v3/depth?symbol=SYM0001USDT&limit=1000", 50 },
        { "/api/v3/depth?symbol=SYM0001USDT&limit=5000", 250 },
        { "/api/v3/trades?symbol=SYM0001USDT", 25 },
        { "/api/v3/aggTrades?symbol=SYM0001USDT", 4 },
        { "/api/v3/klines?symbol=SYM0001USDT&interval=1m", 2 },
        { "/api/v3/ticker/24hr?symbol=SYM0001USDT", 2 },
        { "/api/v3/ticker/24hr", 80 },
        { "/api/v3/ticker/bookTicker?symbol=SYM0001USDT", 2 },
        { "/api/v3/ticker/bookTicker", 4 },
    };
    const char *const arguments[] = { "--synthetic", NULL };
    struct sim_process sim;
    start(&sim, arguments);
    int64_t before = weight_after(sim.port, "/api/v3/ping");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int64_t after = weight_after(sim.port, cases[i].target);
        if (after >= before) { /* else a minute began in between */
            assert_int_equal(after - before, cases[i].weight);
        }
        before = after;
    }
    stop(&sim);
}

/* 429 with Retry-After beyond the limit, then 418 for one who goes on. */
static void test_over_the_limit_comes_429_and_then_418(void **state)
{
    (void)state;
    const char *const arguments[] = { "--synthetic", "--weight-limit", "40", "--ban-after", "3",
                                      NULL };
    struct sim_process sim;
    struct raw_response response;
    char retry[32];
    int seen[6] = { 0 };
    start(&sim, arguments);
    for (int attempt = 0; attempt < 2; attempt++) { /* a second one if a minute began in between */
        for (size_t i = 0; i < 6; i++) {
            raw_http_get(sim.port, NULL, "/api/v3/exchangeInfo", NULL, &response);
            seen[i] = response.status;
            raw_response_header(&response, "Retry-After", retry, sizeof retry);
            const long seconds = strtol(retry, NULL, 10);
            if (response.status == 429) {
                assert_true(seconds >= 1 && seconds <= 60);
                assert_non_null(strstr(response.body, "-1003"));
            } else if (response.status == 418) {
                assert_true(seconds >= 110 && seconds <= 120);
                assert_non_null(strstr(response.body, "banned until"));
            }
            raw_response_fini(&response);
        }
        if (seen[5] == 418) {
            break;
        }
    }
    assert_int_equal(seen[5], 418);
    assert_true(seen[0] == 200 || seen[0] == 429);
    raw_http_get(sim.port, NULL, "/api/v3/ping", NULL, &response);
    assert_int_equal(response.status, 418); /* everything is refused now */
    raw_response_fini(&response);
    cJSON *status = get_json(sim.port, "/sim/status", 200); /* but not the administration */
    assert_true(number_of(status, "rest_refused") >= 2);
    assert_true(number_of(member(status, "rest_requests"), "exchangeInfo") >= 6);
    cJSON_Delete(status);
    stop(&sim);
}

static void test_exchange_info_selects_and_tells_the_rules(void **state)
{
    (void)state;
    const char *const arguments[] = { "--synthetic", "--symbols", "5", NULL };
    struct sim_process sim;
    start(&sim, arguments);
    cJSON *info = get_json(sim.port, "/api/v3/exchangeInfo", 200);
    assert_int_equal(cJSON_GetArraySize(member(info, "symbols")), 5);
    assert_int_equal(number_of(cJSON_GetArrayItem(member(info, "rateLimits"), 0), "limit"), 6000);
    const cJSON *symbol = cJSON_GetArrayItem(member(info, "symbols"), 4);
    assert_string_equal(text_of(symbol, "symbol"), "SYM0005USDT");
    assert_string_equal(text_of(symbol, "baseAsset"), "SYM0005");
    assert_string_equal(text_of(symbol, "quoteAsset"), "USDT");
    assert_string_equal(text_of(symbol, "status"), "TRADING");
    assert_string_equal(text_of(cJSON_GetArrayItem(member(symbol, "filters"), 0), "tickSize"),
                        "0.01000000");
    assert_int_equal(cJSON_GetArraySize(member(symbol, "permissionSets")), 1);
    cJSON_Delete(info);
    info =
        get_json(sim.port, "/api/v3/exchangeInfo?symbol=SYM0002USDT&showPermissionSets=false", 200);
    assert_int_equal(cJSON_GetArraySize(member(info, "symbols")), 1);
    symbol = cJSON_GetArrayItem(member(info, "symbols"), 0);
    assert_int_equal(cJSON_GetArraySize(member(symbol, "permissionSets")), 0);
    cJSON_Delete(info);
    info = get_json(sim.port, "/api/v3/exchangeInfo?permissions=MARGIN", 200);
    assert_int_equal(cJSON_GetArraySize(member(info, "symbols")), 0);
    cJSON_Delete(info);
    info = get_json(sim.port, "/api/v3/exchangeInfo?symbolStatus=HALT", 200);
    assert_int_equal(cJSON_GetArraySize(member(info, "symbols")), 0);
    cJSON_Delete(info);
    stop(&sim);
}

static void test_recorded_exchange_info_and_what_is_not_known(void **state)
{
    (void)state;
    if (!captures_present()) {
        skip();
    }
    const char *const arguments[] = { "--replay", capture("cryptofeed/BINANCE.0.zst"),
                                      capture("cryptofeed/BINANCE.ws.1.0"), NULL };
    struct sim_process sim;
    start(&sim, arguments);
    cJSON *info = get_json(sim.port, "/api/v3/exchangeInfo?symbolStatus=BREAK", 200);
    const int in_break = cJSON_GetArraySize(member(info, "symbols"));
    assert_true(in_break > 400 && in_break < 440); /* a quarter of 1695 */
    cJSON_Delete(info);
    info =
        get_json(sim.port, "/api/v3/exchangeInfo?symbols=%5B%22NKNUSDT%22,%22BTCUSDT%22%5D", 200);
    assert_int_equal(cJSON_GetArraySize(member(info, "symbols")), 2);
    assert_string_equal(text_of(cJSON_GetArrayItem(member(info, "symbols"), 0), "baseAsset"),
                        "NKN");
    cJSON_Delete(info);
    /* without a snapshot the book is what the diffs told: nothing yet */
    cJSON *depth = get_json(sim.port, "/api/v3/depth?symbol=NKNUSDT", 200);
    assert_int_equal(cJSON_GetArraySize(member(depth, "bids")), 0);
    cJSON_Delete(depth);
    cJSON *trades = get_json(sim.port, "/api/v3/trades?symbol=BTCUSDT", 200);
    assert_int_equal(cJSON_GetArraySize(trades), 0);
    cJSON_Delete(trades);
    stop(&sim);
}

static int healthcheck(int port)
{
    char command[128];
    (void)snprintf(command, sizeof command,
                   "exec \"$MELTICA_BINARY_DIR/bin/meltica-exchange-sim\" --healthcheck --port %d",
                   port);
    const int status = system(command); /* NOLINT(cert-env33-c) */
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_healthcheck_tells_whether_a_simulator_listens(void **state)
{
    (void)state;
    const char *const arguments[] = { "--synthetic", "--symbols", "1", NULL };
    struct sim_process sim;
    start(&sim, arguments);
    const int port = sim.port;
    assert_int_equal(healthcheck(port), 0);
    assert_int_equal(sim_process_stop(&sim), 0);
    assert_int_equal(healthcheck(port), 1);
    assert_int_equal(healthcheck(0), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies_have_the_documented_shapes),
        cmocka_unit_test(test_time_unit_header_scales_times),
        cmocka_unit_test(test_errors_have_their_codes),
        cmocka_unit_test(test_each_request_costs_its_weight),
        cmocka_unit_test(test_over_the_limit_comes_429_and_then_418),
        cmocka_unit_test(test_exchange_info_selects_and_tells_the_rules),
        cmocka_unit_test(test_recorded_exchange_info_and_what_is_not_known),
        cmocka_unit_test(test_healthcheck_tells_whether_a_simulator_listens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
