/* Replay of the real recordings: every byte, in order, and the true book. */
#include "sim_test.h"

#include <time.h>

#include "meltica/recording/recording.h"

#define MAIN_STREAMS "btcusdt@depth@100ms/btcusdt@bookTicker/btcusdt@trade"
#define MAIN_FRAMES 99573

#define MAIN_FILES capture("btcusdt_20240808.gz"), capture("btcusdt_20240809.gz")

/* Walks the frames of recordings, one file after the other. */
struct expected {
    struct mlt_recording files[2];
    size_t count, at;
};

static void expected_open(struct expected *expected, const char *a, const char *b)
{
    memset(expected, 0, sizeof *expected);
    assert_int_equal(mlt_recording_open(&expected->files[expected->count++], a, NULL), MLT_OK);
    if (b != NULL) {
        assert_int_equal(mlt_recording_open(&expected->files[expected->count++], b, NULL), MLT_OK);
    }
}

static bool expected_next(struct expected *expected, struct mlt_slice *json)
{
    struct mlt_record record;
    while (expected->at < expected->count) {
        const enum mlt_status status =
            mlt_recording_next(&expected->files[expected->at], &record, NULL);
        if (status == MLT_E_EMPTY) {
            expected->at++;
        } else if (status == MLT_OK && record.kind == MLT_RECORD_FRAME) {
            *json = record.json;
            return true;
        }
    }
    return false;
}

static void expected_close(struct expected *expected)
{
    for (size_t i = 0; i < expected->count; i++) {
        mlt_recording_close(&expected->files[i]);
    }
}

/* Data of a recorded combined frame. */
static struct mlt_slice inner_of(struct mlt_slice json)
{
    const uint8_t *at = memmem(json.data, json.len, "\"data\":", 7);
    assert_non_null(at);
    const size_t before = (size_t)(at - json.data) + 7;
    return mlt_slice_of(json.data + before, json.len - before - 1);
}

static size_t receive_all(struct raw_ws *ws, struct expected *expected, bool inner)
{
    struct mlt_slice json;
    size_t count = 0;
    while (expected_next(expected, &json)) {
        struct raw_frame frame;
        assert_int_equal(raw_ws_receive(ws, WAIT_MS, &frame), RAW_FRAME);
        const struct mlt_slice wanted = inner ? inner_of(json) : json;
        if (frame.opcode != RAW_TEXT ||
            !mlt_slice_equal(wanted, mlt_slice_of(frame.data, frame.len))) {
            fail_msg("frame %zu differs", count);
        }
        count++;
    }
    return count;
}

static int64_t sent_of(const cJSON *status, const char *stream)
{
    return number_of(member(member(status, "streams"), stream), "sent");
}

static void test_main_recording_arrives_byte_for_byte_and_leaves_the_true_book(void **state)
{
    (void)state;
    const char *const arguments[] = { "--replay", MAIN_FILES, "--speed", "max", NULL };
    struct sim_process sim;
    struct expected expected;
    struct raw_ws ws;
    start(&sim, arguments);
    expected_open(&expected, MAIN_FILES);
    open_line(&ws, &sim, "/stream?streams=" MAIN_STREAMS);
    assert_int_equal(receive_all(&ws, &expected, false), MAIN_FRAMES);
    expected_close(&expected);

    cJSON *status = get_json(sim.port, "/sim/status", 200);
    assert_true(cJSON_IsTrue(member(status, "finished")));
    assert_int_equal(number_of(status, "frames_sent"), MAIN_FRAMES);
    assert_int_equal(sent_of(status, "btcusdt@bookTicker"), 73174);
    assert_int_equal(sent_of(status, "btcusdt@trade"), 19904);
    assert_int_equal(sent_of(status, "btcusdt@depth@100ms"), 6495);
    assert_true(number_of(status, "finished_ns") > number_of(status, "started_ns"));
    cJSON_Delete(status);

    cJSON *book = get_json(sim.port, "/sim/book?symbol=BTCUSDT&limit=1", 200);
    assert_int_equal(number_of(book, "lastUpdateId"), 50093696318);
    assert_int_equal(number_of(book, "bidLevels"), 1971);
    assert_int_equal(number_of(book, "askLevels"), 2962);
    const cJSON *bid = cJSON_GetArrayItem(member(book, "bids"), 0);
    const cJSON *ask = cJSON_GetArrayItem(member(book, "asks"), 0);
    assert_string_equal(cJSON_GetArrayItem(bid, 0)->valuestring, "61602.01000000");
    assert_string_equal(cJSON_GetArrayItem(bid, 1)->valuestring, "1.67177000");
    assert_string_equal(cJSON_GetArrayItem(ask, 0)->valuestring, "61602.02000000");
    assert_string_equal(cJSON_GetArrayItem(ask, 1)->valuestring, "2.66795000");
    cJSON_Delete(book);

    cJSON *day = get_json(sim.port, "/api/v3/ticker/24hr?symbol=BTCUSDT", 200);
    assert_string_equal(text_of(day, "volume"), "437.91552000");
    assert_string_equal(text_of(day, "quoteVolume"), "27006929.59103480");
    assert_int_equal(number_of(day, "firstId"), 3735683259);
    assert_int_equal(number_of(day, "lastId"), 3735703162);
    cJSON_Delete(day);
    raw_ws_close(&ws);
    stop(&sim);
}

static void check_book_at(int port, const cJSON *ticker)
{
    char target[96];
    static const char *const keys[2][2] = { { "b", "B" }, { "a", "A" } };
    (void)snprintf(target, sizeof target, "/sim/book?symbol=BTCUSDT&limit=1&id=%lld",
                   (long long)number_of(ticker, "u"));
    cJSON *book = get_json(port, target, 200);
    assert_true(cJSON_IsTrue(member(book, "exact")));
    for (int side = 0; side < 2; side++) {
        const cJSON *level = cJSON_GetArrayItem(member(book, side == 0 ? "bids" : "asks"), 0);
        assert_string_equal(cJSON_GetArrayItem(level, 0)->valuestring,
                            text_of(ticker, keys[side][0]));
        assert_string_equal(cJSON_GetArrayItem(level, 1)->valuestring,
                            text_of(ticker, keys[side][1]));
    }
    cJSON_Delete(book);
}

/* Where a depth event and a bookTicker have the same id, the exchange itself vouches for the top.
 */
static void test_book_at_an_id_equals_the_book_ticker_with_that_id(void **state)
{
    (void)state;
    const char *const arguments[] = { "--replay", MAIN_FILES, NULL };
    struct sim_process sim;
    struct expected expected;
    struct mlt_slice json;
    unsigned coincidences = 0, checked = 0;
    static int64_t ids[8192];
    size_t id_count = 0, next = 0;
    expected_open(&expected, MAIN_FILES);
    while (expected_next(&expected, &json)) {
        const uint8_t *u = memmem(json.data, json.len, ",\"u\":", 5);
        if (u != NULL && memmem(json.data, json.len, "depthUpdate", 11) != NULL) {
            ids[id_count++] = strtoll((const char *)u + 5, NULL, 10);
        }
    }
    expected_close(&expected);
    assert_int_equal(id_count, 6495);
    start(&sim, arguments);
    expected_open(&expected, MAIN_FILES);
    while (expected_next(&expected, &json)) {
        if (memmem(json.data, json.len, "@bookTicker", 11) == NULL) {
            continue;
        }
        cJSON *frame = cJSON_ParseWithLength((const char *)json.data, json.len);
        const cJSON *ticker = member(frame, "data");
        while (next < id_count && ids[next] < number_of(ticker, "u")) {
            next++;
        }
        if (next < id_count && ids[next] == number_of(ticker, "u") && ids[next] > 50093239218 &&
            coincidences++ % 10 == 0) {
            check_book_at(sim.port, ticker);
            checked++;
        }
        cJSON_Delete(frame);
    }
    expected_close(&expected);
    assert_true(coincidences >= 1070 &&
                coincidences <= 1072); /* before the join there is no book */
    assert_true(checked >= 107);
    cJSON_Delete(get_json(sim.port, "/sim/book?symbol=BTCUSDT&id=50093239000", 410));
    cJSON_Delete(get_json(sim.port, "/sim/book?symbol=BTCUSDT&id=50093696319", 404));
    cJSON_Delete(get_json(sim.port, "/sim/book?symbol=NOSUCH", 404));
    stop(&sim);
}

static void test_four_symbol_recording_arrives_with_its_exchange_info_and_books(void **state)
{
    (void)state;
    const char *const arguments[] = { "--replay",
                                      capture("cryptofeed/BINANCE.0.zst"),
                                      capture("cryptofeed/BINANCE.http.0.0"),
                                      capture("cryptofeed/BINANCE.ws.1.0"),
                                      "--speed",
                                      "max",
                                      "--send-all",
                                      NULL };
    static const char *const symbols[] = { "NKNUSDT", "BLZETH", "LRCBTC", "RUNEEUR" };
    static const int64_t snapshot_ids[] = { 499869752, 281916627, 259345543, 15602511 };
    struct sim_process sim;
    struct expected expected;
    struct raw_ws ws;
    start(&sim, arguments);
    for (size_t i = 0; i < 4; i++) { /* nothing replayed: the recorded snapshot itself */
        char target[80];
        (void)snprintf(target, sizeof target, "/api/v3/depth?symbol=%s&limit=5", symbols[i]);
        cJSON *depth = get_json(sim.port, target, 200);
        assert_int_equal(number_of(depth, "lastUpdateId"), snapshot_ids[i]);
        assert_int_equal(cJSON_GetArraySize(member(depth, "bids")), 5);
        cJSON_Delete(depth);
    }
    expected_open(&expected, capture("cryptofeed/BINANCE.ws.1.0"), NULL);
    /* one stream subscribed and the start by hand: --send-all brings the rest */
    open_line(&ws, &sim, "/stream?streams=nknusdt@depth@100ms");
    cJSON_Delete(get_json(sim.port, "/sim/start", 200));
    assert_int_equal(receive_all(&ws, &expected, false), 265);
    expected_close(&expected);
    cJSON *info = get_json(sim.port, "/api/v3/exchangeInfo", 200);
    assert_int_equal(cJSON_GetArraySize(member(info, "symbols")), 1695);
    cJSON_Delete(info);
    cJSON *klines = get_json(sim.port, "/api/v3/klines?symbol=NKNUSDT&interval=1m", 200);
    cJSON_Delete(klines);
    raw_ws_close(&ws);
    stop(&sim);
}

static void test_raw_line_gets_the_inner_payload(void **state)
{
    (void)state;
    const char *const arguments[] = { "--replay", MAIN_FILES, "--speed", "max", NULL };
    struct sim_process sim;
    struct expected expected;
    struct raw_ws ws;
    start(&sim, arguments);
    expected_open(&expected, MAIN_FILES);
    open_line(&ws, &sim, "/ws/" MAIN_STREAMS);
    assert_int_equal(receive_all(&ws, &expected, true), MAIN_FRAMES);
    expected_close(&expected);
    raw_ws_close(&ws);
    stop(&sim);
}

static void test_microsecond_line_gets_scaled_times_and_unscaled_ids(void **state)
{
    (void)state;
    const char *const arguments[] = { "--replay", MAIN_FILES, "--speed", "max", NULL };
    struct sim_process sim;
    struct raw_ws ws;
    struct raw_frame frame;
    unsigned depths = 0, trades = 0;
    start(&sim, arguments);
    open_line(&ws, &sim, "/stream?streams=" MAIN_STREAMS "&timeUnit=MICROSECOND");
    for (int i = 0; i < 1000; i++) {
        frame = expect_frame(&ws, RAW_TEXT);
        cJSON *json = cJSON_ParseWithLength((const char *)frame.data, frame.len);
        const cJSON *data = member(json, "data");
        if (strcmp(text_of(json, "stream"), "btcusdt@trade") == 0) {
            trades++;
            assert_true(number_of(data, "E") / 1000000000 == 1723161 &&
                        number_of(data, "E") % 1000 == 0);
            assert_true(number_of(data, "T") / 1000000000 == 1723161);
            assert_true(number_of(data, "t") / 1000000 == 3735);
        } else if (strcmp(text_of(json, "stream"), "btcusdt@depth@100ms") == 0) {
            depths++;
            assert_true(number_of(data, "E") / 1000000000 == 1723161);
            assert_true(number_of(data, "u") / 1000000000 == 50);
        }
        cJSON_Delete(json);
    }
    assert_true(depths > 10 && trades > 10);
    raw_ws_close(&ws);
    stop(&sim);
}

static int64_t mono_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* 650.6 s of market at 1000 times: neither early nor (on a busy machine) absurdly late. */
static void test_speed_sets_the_pace(void **state)
{
    (void)state;
    const char *const arguments[] = { "--replay", MAIN_FILES, "--speed", "1000", NULL };
    struct sim_process sim;
    struct expected expected;
    struct raw_ws ws;
    start(&sim, arguments);
    expected_open(&expected, MAIN_FILES);
    const int64_t began = mono_ms();
    open_line(&ws, &sim, "/stream?streams=" MAIN_STREAMS);
    assert_int_equal(receive_all(&ws, &expected, false), MAIN_FRAMES);
    const int64_t took = mono_ms() - began;
    assert_true(took >= 640);
    assert_true(took < 20000);
    expected_close(&expected);
    raw_ws_close(&ws);
    stop(&sim);
}

/* All is subscribed, and yet it begins only when its depth was asked for deep enough. */
static void test_the_beginning_waits_for_depth(void **state)
{
    (void)state;
    const char *const arguments[] = { "--replay",      MAIN_FILES, "--speed", "max",
                                      "--start-depth", "1000",     NULL };
    struct sim_process sim;
    struct expected expected;
    struct raw_ws ws;
    struct raw_frame frame;
    start(&sim, arguments);
    expected_open(&expected, MAIN_FILES);
    open_line(&ws, &sim, "/stream?streams=" MAIN_STREAMS);
    cJSON_Delete(get_json(sim.port, "/api/v3/depth?symbol=BTCUSDT&limit=100", 200));
    assert_int_equal(raw_ws_receive(&ws, 400, &frame), RAW_TIMEOUT);
    cJSON *depth = get_json(sim.port, "/api/v3/depth?symbol=BTCUSDT&limit=1000", 200);
    assert_int_equal(number_of(depth, "lastUpdateId"), 50093239218);
    assert_int_equal(cJSON_GetArraySize(member(depth, "bids")), 1000);
    cJSON_Delete(depth);
    assert_int_equal(receive_all(&ws, &expected, false), MAIN_FRAMES);
    expected_close(&expected);
    raw_ws_close(&ws);
    stop(&sim);
}

static void test_the_beginning_waits_for_depth_no_longer_than_five_seconds(void **state)
{
    (void)state;
    const char *const arguments[] = { "--replay",      MAIN_FILES, "--speed", "max",
                                      "--start-depth", "1000",     NULL };
    struct sim_process sim;
    struct expected expected;
    struct raw_ws ws;
    start(&sim, arguments);
    expected_open(&expected, MAIN_FILES);
    const int64_t began = mono_ms();
    open_line(&ws, &sim, "/stream?streams=" MAIN_STREAMS);
    assert_int_equal(receive_all(&ws, &expected, false), MAIN_FRAMES);
    assert_true(mono_ms() - began >= 4900);
    expected_close(&expected);
    raw_ws_close(&ws);
    stop(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_main_recording_arrives_byte_for_byte_and_leaves_the_true_book),
        cmocka_unit_test(test_book_at_an_id_equals_the_book_ticker_with_that_id),
        cmocka_unit_test(test_four_symbol_recording_arrives_with_its_exchange_info_and_books),
        cmocka_unit_test(test_raw_line_gets_the_inner_payload),
        cmocka_unit_test(test_microsecond_line_gets_scaled_times_and_unscaled_ids),
        cmocka_unit_test(test_speed_sets_the_pace),
        cmocka_unit_test(test_the_beginning_waits_for_depth),
        cmocka_unit_test(test_the_beginning_waits_for_depth_no_longer_than_five_seconds),
    };
    return captures_present() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
