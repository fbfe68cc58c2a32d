/* The WebSocket side as Binance has it: control messages, errors, limits, pings, TLS. */
#include "sim_test.h"

#include "meltica/base/clock.h"

#include <unistd.h>

/* A market that nobody starts: what arrives are answers only. */
#define QUIET "--synthetic", "--symbols", "3", "--start-subscriptions", "4000000000"

static const char *const quiet[] = { QUIET, NULL };
static const char *const quiet_unlimited[] = { QUIET, "--messages-per-second", "0", NULL };

static void ask(struct raw_ws *ws, const char *request, const char *answer)
{
    assert_true(raw_ws_send_text(ws, request));
    expect_text(ws, answer);
}

static void test_subscriptions_are_kept_listed_and_removed(void **state)
{
    (void)state;
    struct sim_process sim;
    struct raw_ws ws;
    start(&sim, quiet_unlimited);
    open_line(&ws, &sim, "/stream");
    ask(&ws,
        "{\"method\":\"SUBSCRIBE\",\"params\":[\"sym0001usdt@trade\",\"sym0002usdt@depth\"],\"id\":"
        "1}",
        "{\"result\":null,\"id\":1}");
    /* a symbol and a stream that do not exist: acknowledged, then silence */
    ask(&ws,
        "{\"method\":\"SUBSCRIBE\",\"params\":[\"nosuch@trade\",\"sym0001usdt@nosuch\"],\"id\":\"a-"
        "1\"}",
        "{\"result\":null,\"id\":\"a-1\"}");
    ask(&ws, "{ \"id\" : 9223372036854775807, \"method\" : \"LIST_SUBSCRIPTIONS\" }",
        "{\"result\":[\"sym0001usdt@trade\",\"sym0002usdt@depth\",\"nosuch@trade\","
        "\"sym0001usdt@nosuch\"],\"id\":9223372036854775807}");
    ask(&ws,
        "{\"method\":\"UNSUBSCRIBE\",\"params\":[\"sym0001usdt@trade\",\"nosuch@trade\"],\"id\":-"
        "3}",
        "{\"result\":null,\"id\":-3}");
    ask(&ws, "{\"method\":\"UNSUBSCRIBE\",\"params\":[\"never@trade\"],\"id\":null}",
        "{\"result\":null,\"id\":null}");
    ask(&ws, "{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":4}",
        "{\"result\":[\"sym0002usdt@depth\",\"sym0001usdt@nosuch\"],\"id\":4}");
    /* names may be non-ASCII, also escaped; the same name twice is one stream */
    ask(&ws,
        "{\"method\":\"SUBSCRIBE\",\"params\":[\"\\u5e01usdt@trade\",\"\xe5\xb8\x81usdt@trade\"],"
        "\"id\":5}",
        "{\"result\":null,\"id\":5}");
    ask(&ws, "{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":6}",
        "{\"result\":[\"sym0002usdt@depth\",\"sym0001usdt@nosuch\",\"\xe5\xb8\x81usdt@trade\"],"
        "\"id\":6}");
    raw_ws_close(&ws);
    stop(&sim);
}

static void test_properties(void **state)
{
    (void)state;
    struct sim_process sim;
    struct raw_ws ws;
    start(&sim, quiet_unlimited);
    open_line(&ws, &sim, "/ws");
    ask(&ws, "{\"method\":\"GET_PROPERTY\",\"params\":[\"combined\"],\"id\":1}",
        "{\"result\":false,\"id\":1}");
    ask(&ws, "{\"method\":\"SET_PROPERTY\",\"params\":[\"combined\",true],\"id\":2}",
        "{\"result\":null,\"id\":2}");
    ask(&ws, "{\"method\":\"GET_PROPERTY\",\"params\":[\"combined\"],\"id\":3}",
        "{\"result\":true,\"id\":3}");
    ask(&ws, "{\"method\":\"SET_PROPERTY\",\"params\":[\"combined\",1],\"id\":4}",
        "{\"error\":{\"code\":1,\"msg\":\"Invalid value type: expected Boolean\"},\"id\":4}");
    ask(&ws, "{\"method\":\"SET_PROPERTY\",\"params\":[\"other\",true],\"id\":5}",
        "{\"error\":{\"code\":0,\"msg\":\"Unknown property\"},\"id\":5}");
    ask(&ws, "{\"method\":\"SET_PROPERTY\",\"params\":[7,true],\"id\":6}",
        "{\"error\":{\"code\":2,\"msg\":\"Invalid request: property name must be a "
        "string\"},\"id\":6}");
    ask(&ws, "{\"method\":\"GET_PROPERTY\",\"params\":[\"combined\",1],\"id\":7}",
        "{\"error\":{\"code\":2,\"msg\":\"Invalid request: too many parameters\"},\"id\":7}");
    raw_ws_close(&ws);
    open_line(&ws, &sim, "/stream");
    ask(&ws, "{\"method\":\"GET_PROPERTY\",\"params\":[\"combined\"],\"id\":1}",
        "{\"result\":true,\"id\":1}");
    raw_ws_close(&ws);
    stop(&sim);
}

static void test_wrong_requests_get_the_documented_codes_nested(void **state)
{
    (void)state;
    struct sim_process sim;
    struct raw_ws ws;
    start(&sim, quiet_unlimited);
    open_line(&ws, &sim, "/ws");
    ask(&ws, "{\"method\":",
        "{\"error\":{\"code\":3,\"msg\":\"Invalid JSON: expected value at line 1 column "
        "11\"},\"id\":null}");
    ask(&ws, "{\"method\":\"FOO\",\"id\":1}",
        "{\"error\":{\"code\":2,\"msg\":\"Invalid request: unknown variant `FOO`, expected one of "
        "SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS, SET_PROPERTY, GET_PROPERTY at line 1 column "
        "23\"},\"id\":1}");
    ask(&ws, "{\"id\":1}",
        "{\"error\":{\"code\":2,\"msg\":\"Invalid request: missing field `method` at line 1 column "
        "8\"},\"id\":1}");
    ask(&ws, "{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":1.5}",
        "{\"error\":{\"code\":2,\"msg\":\"Invalid request: request ID must be an integer, a string "
        "or "
        "null\"},\"id\":null}");
    ask(&ws, "{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":\"0123456789012345678901234567890123456\"}",
        "{\"error\":{\"code\":2,\"msg\":\"Invalid request: request ID must be an integer, a string "
        "or "
        "null\"},\"id\":null}");
    raw_ws_close(&ws);
    stop(&sim);
}

static void test_a_malformed_name_is_an_error_and_the_end_of_the_line(void **state)
{
    (void)state;
    static const char *const names[] = { "nosuch", "", "@trade", "sym0001usdt@", "sym 0001@trade" };
    struct sim_process sim;
    struct raw_ws ws;
    start(&sim, quiet);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char request[128];
        (void)snprintf(
            request, sizeof request,
            "{\"method\":\"SUBSCRIBE\",\"params\":[\"sym0001usdt@trade\",\"%s\"],\"id\":8}",
            names[i]);
        open_line(&ws, &sim, "/ws");
        ask(&ws, request,
            "{\"error\":{\"code\":2,\"msg\":\"Invalid request: invalid stream\"},\"id\":8}");
        expect_close(&ws, 1008);
        raw_ws_close(&ws);
    }
    assert_int_equal(raw_ws_open(&ws, sim.port, NULL, "/ws/nosuch"), 400);
    assert_int_equal(raw_ws_open(&ws, sim.port, NULL, "/elsewhere"), 404);
    stop(&sim);
}

static void test_sixth_message_within_a_second_ends_the_line_with_1008(void **state)
{
    (void)state;
    struct sim_process sim;
    struct raw_ws ws;
    struct raw_frame frame;
    start(&sim, quiet);
    open_line(&ws, &sim, "/ws");
    /* pongs count like requests: three of each */
    for (int i = 0; i < 3; i++) {
        assert_true(raw_ws_send(&ws, RAW_PONG, "x", 1));
        assert_true(raw_ws_send_text(&ws, "{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":1}"));
    }
    expect_text(&ws, "{\"result\":[],\"id\":1}");
    expect_text(&ws, "{\"result\":[],\"id\":1}");
    expect_close(&ws, 1008);
    assert_int_equal(raw_ws_receive(&ws, WAIT_MS, &frame), RAW_GONE);
    raw_ws_close(&ws);
    /* five are fine */
    open_line(&ws, &sim, "/ws");
    for (int i = 0; i < 5; i++) {
        assert_true(raw_ws_send_text(&ws, "{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":1}"));
    }
    for (int i = 0; i < 5; i++) {
        expect_text(&ws, "{\"result\":[],\"id\":1}");
    }
    assert_int_equal(raw_ws_receive(&ws, 100, &frame), RAW_TIMEOUT);
    raw_ws_close(&ws);
    stop(&sim);
}

static void subscribe_many(struct raw_ws *ws, int first, int count)
{
    static char request[65536];
    int len = snprintf(request, sizeof request, "{\"id\":1,\"method\":\"SUBSCRIBE\",\"params\":[");
    for (int i = 0; i < count; i++) {
        len += snprintf(request + len, sizeof request - (size_t)len, "%s\"s%d@trade\"",
                        i > 0 ? "," : "", first + i);
    }
    (void)snprintf(request + len, sizeof request - (size_t)len, "]}");
    assert_true(raw_ws_send_text(ws, request));
}

static void test_stream_1025_is_refused(void **state)
{
    (void)state;
    struct sim_process sim;
    struct raw_ws ws;
    start(&sim, quiet);
    open_line(&ws, &sim, "/ws");
    subscribe_many(&ws, 0, 1000);
    expect_text(&ws, "{\"result\":null,\"id\":1}");
    subscribe_many(&ws, 1000, 24);
    expect_text(&ws, "{\"result\":null,\"id\":1}");
    subscribe_many(&ws, 0, 24); /* known ones are no new streams */
    expect_text(&ws, "{\"result\":null,\"id\":1}");
    subscribe_many(&ws, 1024, 1);
    expect_text(&ws,
                "{\"error\":{\"code\":2,\"msg\":\"Invalid request: too many streams\"},\"id\":1}");
    expect_close(&ws, 1008);
    raw_ws_close(&ws);
    stop(&sim);
}

static void test_too_many_connections_are_refused(void **state)
{
    (void)state;
    const char *const arguments[] = { QUIET, "--connections-per-5min", "4", NULL };
    struct sim_process sim;
    struct raw_ws ws;
    start(&sim, arguments);
    for (int i = 0; i < 4; i++) {
        open_line(&ws, &sim, "/ws");
        raw_ws_close(&ws);
    }
    assert_int_equal(raw_ws_open(&ws, sim.port, NULL, "/ws"), 429);
    cJSON *status = get_json(sim.port, "/sim/status", 200);
    assert_int_equal(number_of(status, "connections_refused"), 1);
    cJSON_Delete(status);
    stop(&sim);
}

static void test_lines_end_when_it_is_told_so(void **state)
{
    (void)state;
    struct sim_process sim;
    struct raw_ws ws, other;
    struct raw_frame frame;
    start(&sim, quiet);
    open_line(&ws, &sim, "/ws");
    open_line(&other, &sim, "/ws");
    cJSON *answer = get_json(sim.port, "/sim/end-lines?code=1012", 200);
    assert_int_equal(number_of(answer, "lines"), 2);
    cJSON_Delete(answer);
    frame = expect_frame(&ws, RAW_CLOSE);
    assert_true(frame.len >= 2 && frame.data[0] == 1012 >> 8 && frame.data[1] == (1012 & 0xff));
    raw_ws_close(&ws);
    raw_ws_close(&other);
    open_line(&ws, &sim, "/ws");
    cJSON_Delete(get_json(sim.port, "/sim/end-lines", 200));
    assert_int_equal(raw_ws_receive(&ws, WAIT_MS, &frame), RAW_GONE); /* without a word */
    raw_ws_close(&ws);
    cJSON_Delete(get_json(sim.port, "/sim/end-lines?code=7", 400));
    stop(&sim);
}

static void test_a_stalled_line_says_nothing_and_then_all(void **state)
{
    (void)state;
    struct sim_process sim;
    struct raw_ws ws;
    start(&sim, quiet);
    open_line(&ws, &sim, "/ws");
    const int64_t begin_ns = mlt_clock_mono_ns();
    cJSON_Delete(get_json(sim.port, "/sim/stall?ms=400", 200));
    ask(&ws, "{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":1}", "{\"result\":[],\"id\":1}");
    assert_true(mlt_clock_mono_ns() - begin_ns >= 400 * MLT_NS_PER_MS);
    raw_ws_close(&ws);
    stop(&sim);
}

static void test_a_message_that_is_not_heard(void **state)
{
    (void)state;
    struct sim_process sim;
    struct raw_ws ws;
    start(&sim, quiet);
    open_line(&ws, &sim, "/ws");
    cJSON_Delete(get_json(sim.port, "/sim/unheard", 200));
    assert_true(raw_ws_send_text(
        &ws, "{\"method\":\"SUBSCRIBE\",\"params\":[\"sym0001usdt@trade\"],\"id\":1}"));
    ask(&ws, "{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":2}", "{\"result\":[],\"id\":2}");
    raw_ws_close(&ws);
    stop(&sim);
}

static void test_shutdown_notice_reaches_every_line_without_subscription(void **state)
{
    (void)state;
    struct sim_process sim;
    struct raw_ws raw, combined;
    start(&sim, quiet);
    open_line(&raw, &sim, "/ws");
    open_line(&combined, &sim, "/stream?timeUnit=microsecond");
    cJSON *answer = get_json(sim.port, "/sim/shutdown-notice", 200);
    assert_int_equal(number_of(answer, "lines"), 2);
    cJSON_Delete(answer);
    struct raw_frame frame = expect_frame(&raw, RAW_TEXT);
    cJSON *json = cJSON_ParseWithLength((const char *)frame.data, frame.len);
    assert_string_equal(text_of(json, "e"), "serverShutdown");
    assert_true(number_of(json, "E") > 1500000000000 && number_of(json, "E") < 100000000000000);
    cJSON_Delete(json);
    frame = expect_frame(&combined, RAW_TEXT);
    json = cJSON_ParseWithLength((const char *)frame.data, frame.len);
    assert_string_equal(text_of(json, "stream"), "!serverShutdown");
    assert_true(number_of(member(json, "data"), "E") > 1500000000000000);
    cJSON_Delete(json);
    raw_ws_close(&raw);
    raw_ws_close(&combined);
    stop(&sim);
}

static void test_urls_may_be_encoded_and_name_zones(void **state)
{
    (void)state;
    struct sim_process sim;
    struct raw_ws ws;
    start(&sim, quiet);
    open_line(&ws, &sim,
              "/stream?streams=sym0001usdt%40trade%2Fsym0002usdt%40kline_1d%40%2B08%3A00/"
              "x@kline_1d@+08:00");
    ask(&ws, "{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":1}",
        "{\"result\":[\"sym0001usdt@trade\",\"sym0002usdt@kline_1d@+08:00\",\"x@kline_1d@+08:00\"],"
        "\"id\":1}");
    raw_ws_close(&ws);
    open_line(&ws, &sim, "/ws/sym0001usdt%40trade/sym0001usdt@depth@100ms");
    ask(&ws, "{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":1}",
        "{\"result\":[\"sym0001usdt@trade\",\"sym0001usdt@depth@100ms\"],\"id\":1}");
    raw_ws_close(&ws);
    stop(&sim);
}

static void test_tls_with_the_ca_it_made(void **state)
{
    (void)state;
    const char *const arguments[] = { "--synthetic", "--symbols", "2",   "--tls-port",
                                      "0",           "--speed",   "max", "--start-subscriptions",
                                      "1",           NULL };
    struct sim_process sim;
    struct raw_ws ws;
    struct raw_response response;
    char other[300];
    start(&sim, arguments);
    assert_true(sim.tls_port > 0 && sim.ca[0] == '/');
    raw_http_get(sim.tls_port, sim.ca, "/api/v3/ping", NULL, &response);
    assert_int_equal(response.status, 200);
    assert_string_equal(response.body, "{}");
    raw_response_fini(&response);
    assert_int_equal(
        raw_ws_open(&ws, sim.tls_port, sim.ca, "/stream?streams=sym0001usdt@bookTicker"), 101);
    int64_t last = 0;
    for (int i = 0; i < 20000; i++) {
        const struct raw_frame frame = expect_frame(&ws, RAW_TEXT);
        const uint8_t *u = memmem(frame.data, frame.len, "\"u\":", 4);
        assert_non_null(u);
        assert_true(strtoll((const char *)u + 4, NULL, 10) > last);
        last = strtoll((const char *)u + 4, NULL, 10);
    }
    raw_ws_close(&ws);
    /* another CA does not vouch for it */
    struct sim_process second;
    start(&second, arguments);
    (void)snprintf(other, sizeof other, "%s", second.ca);
    assert_int_equal(raw_ws_open(&ws, sim.tls_port, other, "/ws"), -1);
    stop(&second);
    stop(&sim);
    assert_int_not_equal(access(sim.ca, F_OK), 0); /* the temporary folder is gone */
}

static void test_it_ends_at_once_with_a_busy_line(void **state)
{
    (void)state;
    const char *const arguments[] = { "--synthetic",           "--speed", "max",
                                      "--start-subscriptions", "1",       NULL };
    struct sim_process sim;
    struct raw_ws ws;
    start(&sim, arguments);
    open_line(&ws, &sim, "/stream?streams=sym0001usdt@bookTicker");
    (void)expect_frame(&ws, RAW_TEXT); /* and no more: the line is full */
    stop(&sim);
    raw_ws_close(&ws);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subscriptions_are_kept_listed_and_removed),
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_wrong_requests_get_the_documented_codes_nested),
        cmocka_unit_test(test_a_malformed_name_is_an_error_and_the_end_of_the_line),
        cmocka_unit_test(test_sixth_message_within_a_second_ends_the_line_with_1008),
        cmocka_unit_test(test_stream_1025_is_refused),
        cmocka_unit_test(test_too_many_connections_are_refused),
        cmocka_unit_test(test_lines_end_when_it_is_told_so),
        cmocka_unit_test(test_a_stalled_line_says_nothing_and_then_all),
        cmocka_unit_test(test_a_message_that_is_not_heard),
        cmocka_unit_test(test_shutdown_notice_reaches_every_line_without_subscription),
        cmocka_unit_test(test_urls_may_be_encoded_and_name_zones),
        cmocka_unit_test(test_tls_with_the_ca_it_made),
        cmocka_unit_test(test_it_ends_at_once_with_a_busy_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
