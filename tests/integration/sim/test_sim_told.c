/* Faults that are told: over the admin endpoint, and by a file in the same words. */
#include "sim_test.h"

#include <unistd.h>

#include "meltica/base/clock.h"

#define QUIET_MS 2500 /* longer than between two pings, which are looked at each second */
#define FILE_BYTES 2048

static struct sim_process sim;

/* A market of its own pace, each second a ping. */
static void start_market(const char *const *more)
{
    const char *arguments[32] = { "--synthetic",
                                  "--symbols",
                                  "3",
                                  "--rate",
                                  "300",
                                  "--start-subscriptions",
                                  "1",
                                  "--seed",
                                  "3",
                                  "--ping-interval-s",
                                  "1" };
    for (size_t i = 0; more != NULL && more[i] != NULL; i++) {
        arguments[11 + i] = more[i];
    }
    start(&sim, arguments);
}

static int tear_down(void **state)
{
    (void)state;
    stop(&sim);
    return 0;
}

static void tell(const char *what)
{
    char target[256];
    (void)snprintf(target, sizeof target, "/sim/%s", what);
    cJSON_Delete(get_json(sim.port, target, 200));
}

static void refuse(const char *what)
{
    char target[256];
    (void)snprintf(target, sizeof target, "/sim/%s", what);
    cJSON_Delete(get_json(sim.port, target, 400));
}

static int64_t status_number(const char *name)
{
    cJSON *status = get_json(sim.port, "/sim/status", 200);
    const int64_t number = number_of(status, name);
    cJSON_Delete(status);
    return number;
}

static void await_status(const char *name, int64_t wanted)
{
    const int64_t until_ns = mlt_clock_mono_ns() + WAIT_MS * MLT_NS_PER_MS;
    while (status_number(name) != wanted) {
        assert_true(mlt_clock_mono_ns() < until_ns);
    }
}

/* What came until nothing did for QUIET_MS; with `frames`, until so many of an opcode did. */
struct came {
    unsigned texts, pings, others;
    bool gone;
};

static struct came receive(struct raw_ws *ws, unsigned opcode, unsigned frames)
{
    const int patience_ms = frames > 0 ? WAIT_MS : QUIET_MS;
    struct came came = { 0 };
    struct raw_frame frame;
    for (;;) {
        const enum raw_result result = raw_ws_receive(ws, patience_ms, &frame);
        came.gone = result == RAW_GONE;
        if (result != RAW_FRAME) {
            return came;
        }
        came.texts += frame.opcode == RAW_TEXT;
        came.pings += frame.opcode == RAW_PING;
        came.others += frame.opcode != RAW_TEXT && frame.opcode != RAW_PING;
        if ((opcode == RAW_TEXT && came.texts == frames) ||
            (opcode == RAW_PING && came.pings == frames)) {
            return came;
        }
    }
}

static void expect_flow(struct raw_ws *ws)
{
    assert_int_equal(receive(ws, RAW_TEXT, 5).texts, 5);
}

/* Takes what was on its way when it is called: the answer comes behind it, on the same line. */
static void drain(struct raw_ws *ws)
{
    struct raw_frame frame;
    assert_true(raw_ws_send_text(ws, "{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":77}"));
    do {
        assert_int_equal(raw_ws_receive(ws, WAIT_MS, &frame), RAW_FRAME);
    } while (frame.opcode != RAW_TEXT || memmem(frame.data, frame.len, "\"id\":77", 7) == NULL);
}

/* ---- lines ---- */

static void test_half_open_line_stays_and_says_nothing(void **state)
{
    (void)state;
    struct raw_ws ws, next;
    start_market(NULL);
    open_line(&ws, &sim, "/stream?streams=sym0001usdt@bookTicker");
    expect_flow(&ws);
    tell("half-open");
    const struct came came = receive(&ws, 0, 0); /* what was on its way, then nothing */
    assert_false(came.gone);
    assert_true(raw_ws_send_text(&ws, "{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":1}"));
    const struct came after = receive(&ws, 0, 0);
    assert_true(after.texts == 0 && after.pings == 0 && !after.gone);
    assert_int_equal(status_number("half_open"), 1);
    assert_int_equal(status_number("connections"), 1);
    open_line(&next, &sim, "/stream?streams=sym0001usdt@bookTicker"); /* a later one is whole */
    expect_flow(&next);
    raw_ws_close(&ws);
    await_status("half_open", 0);
    await_status("connections", 1);
    raw_ws_close(&next);
}

static void test_the_newest_lines_alone(void **state)
{
    (void)state;
    struct raw_ws first, second;
    start_market(NULL);
    open_line(&first, &sim, "/stream?streams=sym0001usdt@bookTicker");
    open_line(&second, &sim, "/stream?streams=sym0001usdt@bookTicker");
    expect_flow(&first);
    expect_flow(&second);
    tell("half-open?newest=1");
    assert_false(receive(&second, 0, 0).gone);
    assert_int_equal(status_number("half_open"), 1);
    expect_flow(&first);
    raw_ws_close(&second);
    await_status("connections", 1);
    open_line(&second, &sim, "/stream?streams=sym0001usdt@bookTicker");
    expect_flow(&second);
    tell("end-lines?newest=1");
    assert_true(receive(&second, 0, 0).gone);
    await_status("connections", 1);
    expect_flow(&first);
    raw_ws_close(&first);
    raw_ws_close(&second);
}

static void test_the_last_line_but_one_alone(void **state)
{
    (void)state;
    struct raw_ws first, second, third;
    start_market(NULL);
    open_line(&first, &sim, "/stream?streams=sym0001usdt@bookTicker");
    open_line(&second, &sim, "/stream?streams=sym0001usdt@bookTicker");
    open_line(&third, &sim, "/stream?streams=sym0001usdt@bookTicker");
    expect_flow(&third);
    tell("end-lines?newest=1&but=1");
    assert_true(receive(&second, 0, 0).gone);
    await_status("connections", 2);
    tell("half-open?newest=1&but=1");
    assert_false(receive(&first, 0, 0).gone);
    assert_int_equal(status_number("half_open"), 1);
    expect_flow(&third);
    tell("end-lines?but=2"); /* there are no more */
    await_status("connections", 2);
    expect_flow(&third);
    raw_ws_close(&first);
    raw_ws_close(&second);
    raw_ws_close(&third);
}

static void test_silence_with_pings_loses_what_was_to_come(void **state)
{
    (void)state;
    struct raw_ws ws;
    start_market(NULL);
    open_line(&ws, &sim, "/stream?streams=sym0001usdt@bookTicker");
    expect_flow(&ws);
    tell("silence?ms=0");
    drain(&ws); /* it hears and answers */
    const struct came came = receive(&ws, RAW_PING, 2);
    assert_true(came.pings == 2 && came.texts == 0);
    assert_true(status_number("frames_dropped") > 0);
    tell("silence?ms=1"); /* and is over soon */
    expect_flow(&ws);
    raw_ws_close(&ws);
}

static void test_silence_without_pings_says_nothing_and_ends(void **state)
{
    (void)state;
    struct raw_ws ws;
    start_market(NULL);
    open_line(&ws, &sim, "/stream?streams=sym0001usdt@bookTicker");
    expect_flow(&ws);
    tell("silence?ms=6000&pings=0");
    const struct came came = receive(&ws, 0, 0); /* ends with QUIET_MS of nothing */
    assert_false(came.gone);
    assert_true(raw_ws_send_text(&ws, "{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":1}"));
    struct raw_frame frame;
    assert_int_equal(raw_ws_receive(&ws, WAIT_MS, &frame), RAW_FRAME); /* it is over */
    const struct came after = receive(&ws, RAW_PING, 1);
    assert_true(after.pings == 1 && after.texts > 0);
    raw_ws_close(&ws);
}

/* ---- control messages ---- */

#define SUBSCRIBE(stream, id) "{\"method\":\"SUBSCRIBE\",\"params\":[\"" stream "\"],\"id\":" id "}"
#define LIST(id) "{\"method\":\"LIST_SUBSCRIPTIONS\",\"id\":" id "}"

static void test_messages_unheard_unanswered_and_acknowledged_for_nothing(void **state)
{
    (void)state;
    struct raw_ws ws;
    const char *const still[] = { "--start-subscriptions", "99", "--ping-interval-s", "0", NULL };
    start_market(still);
    open_line(&ws, &sim, "/stream");
    tell("unheard");
    assert_true(raw_ws_send_text(&ws, SUBSCRIBE("sym0001usdt@trade", "1")));
    assert_true(raw_ws_send_text(&ws, LIST("2")));
    expect_text(&ws, "{\"result\":[],\"id\":2}");
    tell("unanswered?messages=1");
    assert_true(raw_ws_send_text(&ws, SUBSCRIBE("sym0001usdt@trade", "3")));
    assert_true(raw_ws_send_text(&ws, LIST("4")));
    expect_text(&ws, "{\"result\":[\"sym0001usdt@trade\"],\"id\":4}");
    raw_ws_close(&ws);
    open_line(&ws, &sim, "/stream");
    tell("hollow-acks?messages=1");
    assert_true(raw_ws_send_text(&ws, LIST("5"))); /* not one of those that are meant */
    expect_text(&ws, "{\"result\":[],\"id\":5}");
    assert_true(raw_ws_send_text(&ws, SUBSCRIBE("sym0002usdt@trade", "6")));
    expect_text(&ws, "{\"result\":null,\"id\":6}");
    assert_true(raw_ws_send_text(&ws, LIST("7")));
    expect_text(&ws, "{\"result\":[],\"id\":7}");
    raw_ws_close(&ws);
}

/* ---- REST ---- */

static int status_of(const char *target, const char *header, char *value, size_t size)
{
    struct raw_response response;
    raw_http_get(sim.port, NULL, target, NULL, &response);
    const int status = response.status;
    if (header != NULL) {
        raw_response_header(&response, header, value, size);
    }
    raw_response_fini(&response);
    return status;
}

static void test_answers_that_ban_or_come_from_something_in_between(void **state)
{
    (void)state;
    char value[64];
    start_market(NULL);
    tell("answers?function=exchangeInfo&kind=banned&count=2&extent=7");
    assert_int_equal(status_of("/api/v3/exchangeInfo", "retry-after", value, sizeof value), 418);
    assert_string_equal(value, "7");
    assert_int_equal(status_of("/api/v3/exchangeInfo", NULL, NULL, 0), 418);
    assert_int_equal(status_of("/api/v3/exchangeInfo", NULL, NULL, 0), 200);
    tell("answers?kind=html&extent=502"); /* depth */
    assert_int_equal(
        status_of("/api/v3/depth?symbol=SYM0001USDT", "content-type", value, sizeof value), 502);
    assert_string_equal(value, "text/html");
    tell("answers?kind=html&extent=200");
    assert_int_equal(
        status_of("/api/v3/depth?symbol=SYM0001USDT", "content-type", value, sizeof value), 200);
    assert_string_equal(value, "text/html");
    assert_int_equal(status_number("rest_refused"), 0); /* not by weight */
}

static void test_answer_that_is_huge_is_as_long_as_it_says(void **state)
{
    (void)state;
    struct raw_response response;
    start_market(NULL);
    tell("answers?kind=huge&extent=40000000");
    raw_http_get(sim.port, NULL, "/api/v3/depth?symbol=SYM0001USDT&limit=5", NULL, &response);
    assert_int_equal(response.status, 200);
    assert_true(response.body_len > 40000000 && response.body_len < 40001000);
    cJSON *book = cJSON_Parse(response.body); /* blanks alone stand behind it */
    assert_int_equal(cJSON_GetArraySize(member(book, "bids")), 5);
    for (size_t i = response.body_len - 40000000; i < response.body_len; i += 999) {
        assert_int_equal(response.body[i], ' ');
    }
    cJSON_Delete(book);
    raw_response_fini(&response);
}

static void test_answer_of_another_symbol(void **state)
{
    (void)state;
    start_market(NULL);
    tell("answers?kind=wrong_symbol");
    cJSON *wrong = get_json(sim.port, "/api/v3/depth?symbol=SYM0001USDT&limit=20", 200);
    cJSON *other = get_json(sim.port, "/api/v3/depth?symbol=SYM0002USDT&limit=20", 200);
    assert_true(cJSON_Compare(wrong, other, true));
    cJSON_Delete(wrong);
    cJSON_Delete(other);
    tell("answers?function=ticker/24hr&kind=wrong_symbol");
    cJSON *ticker = get_json(sim.port, "/api/v3/ticker/24hr?symbol=SYM0003USDT", 200);
    assert_string_equal(text_of(ticker, "symbol"), "SYM0001USDT");
    cJSON_Delete(ticker);
    ticker = get_json(sim.port, "/api/v3/ticker/24hr?symbol=SYM0003USDT", 200);
    assert_string_equal(text_of(ticker, "symbol"), "SYM0003USDT");
    cJSON_Delete(ticker);
}

static void test_what_cannot_be_told_is_refused(void **state)
{
    (void)state;
    start_market(NULL);
    refuse("answers?kind=drop");
    refuse("answers?kind=nothing");
    refuse("answers?function=nothing&kind=fail");
    refuse("answers?function=ping&kind=stale");
    refuse("answers?kind=html&extent=99");
    refuse("listing?symbol=NOTHING");
    refuse("listing?symbol=SYM0001USDT&status=break");
    refuse("listing?symbol=SYM0001USDT&tick=0");
    refuse("listing?symbol=SYM0001USDT&tick=1e5");
    refuse("silence?ms=x");
    refuse("silence?pings=2");
    refuse("stall?mss=5");
    refuse("end-lines?code=999");
    refuse("end-lines?newest=-1");
    refuse("end-lines?but=-1");
    refuse("half-open?newest=x");
    refuse("script?faults=dropp");
    refuse("script");
    struct raw_response told;
    raw_http_get(sim.port, NULL, "/sim/told", NULL, &told);
    assert_int_equal(told.body_len, 0);
    raw_response_fini(&told);
}

/* ---- listings ---- */

static const cJSON *listed(cJSON **info, const char *name)
{
    cJSON_Delete(*info);
    *info = get_json(sim.port, "/api/v3/exchangeInfo", 200);
    const cJSON *symbol;
    cJSON_ArrayForEach(symbol, member(*info, "symbols"))
    {
        if (strcmp(text_of(symbol, "symbol"), name) == 0) {
            return symbol;
        }
    }
    return NULL;
}

static const char *tick_of(const cJSON *symbol)
{
    return text_of(cJSON_GetArrayItem(member(symbol, "filters"), 0), "tickSize");
}

static void test_symbols_are_listed_halted_and_taken_off(void **state)
{
    (void)state;
    const char *const one[] = { "--unlisted", "1", NULL };
    struct raw_ws ws;
    cJSON *info = NULL;
    start_market(one);
    open_line(&ws, &sim, "/stream?streams=sym0003usdt@depth@100ms/sym0003usdt@bookTicker");
    assert_null(listed(&info, "SYM0003USDT"));
    assert_non_null(listed(&info, "SYM0002USDT"));
    cJSON_Delete(get_json(sim.port, "/api/v3/depth?symbol=SYM0003USDT", 400));
    const struct came none = receive(&ws, RAW_PING, 2);
    assert_true(none.pings == 2 && none.texts == 0); /* it has no market yet */
    tell("listing?symbol=SYM0003USDT&listed=1");
    expect_flow(&ws);
    assert_string_equal(text_of(listed(&info, "SYM0003USDT"), "status"), "TRADING");
    tell("listing?symbol=SYM0003USDT&status=HALT&tick=0.05");
    const cJSON *symbol = listed(&info, "SYM0003USDT");
    assert_string_equal(text_of(symbol, "status"), "HALT");
    assert_string_equal(tick_of(symbol), "0.05000000");
    assert_string_equal(tick_of(listed(&info, "SYM0002USDT")), "0.01000000");
    expect_flow(&ws); /* data goes on */
    tell("listing?symbol=SYM0003USDT&status=BREAK");
    drain(&ws);
    const struct came halted = receive(&ws, RAW_PING, 2);
    assert_true(halted.pings == 2 && halted.texts == 0);
    tell("listing?symbol=SYM0003USDT&status=TRADING");
    expect_flow(&ws);
    tell("listing?symbol=SYM0003USDT&listed=0");
    assert_null(listed(&info, "SYM0003USDT"));
    cJSON_Delete(info);
    raw_ws_close(&ws);
}

static void test_symbol_beyond_ascii(void **state)
{
    (void)state;
    const char *const one[] = { "--unicode", "1", NULL };
    struct raw_ws ws;
    cJSON *info = NULL;
    start_market(one);
    assert_string_equal(text_of(listed(&info, "\u5e010003USDT"), "baseAsset"), "\u5e010003");
    assert_null(listed(&info, "SYM0003USDT"));
    open_line(&ws, &sim, "/stream?streams=%E5%B8%810003usdt@bookTicker");
    expect_flow(&ws);
    cJSON *book = get_json(sim.port, "/api/v3/depth?symbol=%E5%B8%810003USDT&limit=5", 200);
    assert_int_equal(cJSON_GetArraySize(member(book, "bids")), 5);
    cJSON_Delete(book);
    cJSON_Delete(get_json(sim.port, "/api/v3/depth?symbol=SYM0003USDT", 400));
    tell("listing?symbol=%E5%B8%810003USDT&status=HALT");
    assert_string_equal(text_of(listed(&info, "\u5e010003USDT"), "status"), "HALT");
    cJSON_Delete(info);
    raw_ws_close(&ws);
}

static void write_file(char *path, const char *text)
{
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
}

/* What was recorded of it stays but for what was told. */
static void test_recorded_listing_changes_where_it_is_told(void **state)
{
    (void)state;
    static const char recording[] =
        "https://api.binance.com/api/v3/exchangeInfo -> 1700000000.1: {\"symbols\":[{\"symbol\":"
        "\"AAABBB\",\"status\":\"TRADING\",\"baseAsset\":\"AAA\",\"quoteAsset\":\"BBB\",\"odd\":7,"
        "\"filters\":[{\"filterType\":\"LOT_SIZE\",\"stepSize\":\"1\"},{\"filterType\":"
        "\"PRICE_FILTER\",\"tickSize\":\"0.10\",\"minPrice\":\"0.10\"}],\"permissionSets\":[[\"X\"]"
        "]"
        "}]}\n"
        "1700000000.2: {\"stream\":\"aaabbb@trade\",\"data\":{\"e\":\"trade\",\"s\":\"AAABBB\"}}\n";
    char path[] = "/tmp/meltica-told-recording.XXXXXX";
    write_file(path, recording);
    const char *const arguments[] = { "--replay", path, NULL };
    start(&sim, arguments);
    tell("listing?symbol=AAABBB&status=HALT&tick=2.5");
    cJSON *info = get_json(sim.port, "/api/v3/exchangeInfo?showPermissionSets=false", 200);
    const cJSON *symbol = cJSON_GetArrayItem(member(info, "symbols"), 0);
    assert_string_equal(text_of(symbol, "status"), "HALT");
    assert_int_equal(number_of(symbol, "odd"), 7);
    const cJSON *filter = cJSON_GetArrayItem(member(symbol, "filters"), 1);
    assert_string_equal(text_of(filter, "tickSize"), "2.50000000");
    assert_string_equal(text_of(filter, "minPrice"), "0.10");
    assert_int_equal(cJSON_GetArraySize(member(symbol, "permissionSets")), 0);
    cJSON_Delete(info);
    (void)unlink(path);
}

/* ---- files ---- */

static void read_told(char *text, size_t size)
{
    struct raw_response told;
    raw_http_get(sim.port, NULL, "/sim/told", NULL, &told);
    assert_int_equal(told.status, 200);
    (void)snprintf(text, size, "%s", told.body);
    raw_response_fini(&told);
}

/* Lines without their times. */
static void without_times(char *text)
{
    char *to = text;
    for (char *line = text; *line != '\0';) {
        const size_t len = strcspn(line, "\n") + 1, time = strcspn(line, " ") + 1;
        memmove(to, line + time, len - time);
        to += len - time;
        line += len;
    }
    *to = '\0';
}

static void await_told(unsigned lines, char *text, size_t size)
{
    const int64_t until_ns = mlt_clock_mono_ns() + WAIT_MS * MLT_NS_PER_MS;
    for (unsigned count = 0; count < lines;) {
        count = 0;
        read_told(text, size);
        for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) {
            count++;
        }
        assert_true(mlt_clock_mono_ns() < until_ns);
    }
}

/* What was told of a run is a file, and that file does the same. */
static void test_file_does_what_it_says_and_is_what_was_told(void **state)
{
    (void)state;
    static const char file[] = "# two changes, then a script of three\n"
                               "\n"
                               "0.3 listing?symbol=SYM0001USDT&status=HALT\n"
                               "0.6 answers?function=ticker/24hr&kind=html&count=2\n"
                               "0.6 script?faults=drop&rate=1000000&count=3\n";
    char path[] = "/tmp/meltica-told-file.XXXXXX", first[FILE_BYTES], second[FILE_BYTES];
    struct raw_ws ws;
    write_file(path, file);
    const char *const with[] = { "--fault-file", path, NULL };
    start_market(with);
    cJSON *info = NULL;
    read_told(first, sizeof first);
    assert_string_equal(first, ""); /* the market has not begun */
    const int64_t begun_ns = mlt_clock_mono_ns();
    open_line(&ws, &sim, "/stream?streams=sym0001usdt@depth@100ms");
    await_told(3, first, sizeof first);
    const int64_t took_ns = mlt_clock_mono_ns() - begun_ns;
    assert_true(took_ns >= 600 * MLT_NS_PER_MS);
    /* When it was done, in seconds of the market, which began a moment after begun_ns. */
    const int64_t told_ms =
        strtol(first, NULL, 10) * 1000 + strtol(strchr(first, '.') + 1, NULL, 10);
    assert_in_range(told_ms, 300, took_ns / MLT_NS_PER_MS);
    assert_string_equal(text_of(listed(&info, "SYM0001USDT"), "status"), "HALT");
    cJSON_Delete(info);
    assert_true(status_of("/api/v3/ticker/24hr", NULL, NULL, 0) > 0);
    int64_t dropped = 0;
    for (bool ended = false; !ended;) { /* frames go on coming */
        expect_flow(&ws);
        cJSON *faults = get_json(sim.port, "/sim/faults", 200);
        ended = cJSON_IsTrue(member(faults, "ended"));
        dropped = number_of(member(faults, "by_kind"), "drop");
        cJSON_Delete(faults);
    }
    assert_int_equal(dropped, 3);
    raw_ws_close(&ws);
    stop(&sim);
    (void)unlink(path);

    char again[] = "/tmp/meltica-told-file.XXXXXX";
    write_file(again, first);
    const char *const with_again[] = { "--fault-file", again, NULL };
    start_market(with_again);
    open_line(&ws, &sim, "/stream?streams=sym0001usdt@depth@100ms");
    await_told(3, second, sizeof second);
    without_times(first);
    without_times(second);
    assert_string_equal(first, second);
    raw_ws_close(&ws);
    (void)unlink(again);
}

static void test_file_with_a_line_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const files[] = {
        "stall",
        "1 stal",
        "1 stall?ms",
        "1stall",
        "-1 stall",
        "2 stall\n1 stall",
        "1 listing?symbol=NOTHING",
        "1 answers?kind=drop",
        "1 script?faults=all&rates=1",
        "1 status",
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[] = "/tmp/meltica-told-file.XXXXXX";
        write_file(path, files[i]);
        const char *const arguments[] = { "--synthetic", "--fault-file", path, NULL };
        if (sim_process_start(&sim, arguments)) {
            fail_msg("taken: %s", files[i]);
        }
        (void)unlink(path);
    }
    start_market(NULL);
}

#define TEST(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_half_open_line_stays_and_says_nothing),
        TEST(test_the_newest_lines_alone),
        TEST(test_the_last_line_but_one_alone),
        TEST(test_silence_with_pings_loses_what_was_to_come),
        TEST(test_silence_without_pings_says_nothing_and_ends),
        TEST(test_messages_unheard_unanswered_and_acknowledged_for_nothing),
        TEST(test_answers_that_ban_or_come_from_something_in_between),
        TEST(test_answer_that_is_huge_is_as_long_as_it_says),
        TEST(test_answer_of_another_symbol),
        TEST(test_what_cannot_be_told_is_refused),
        TEST(test_symbols_are_listed_halted_and_taken_off),
        TEST(test_symbol_beyond_ascii),
        TEST(test_recorded_listing_changes_where_it_is_told),
        TEST(test_file_does_what_it_says_and_is_what_was_told),
        TEST(test_file_with_a_line_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
