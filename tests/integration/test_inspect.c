/* Real recordings with known answers through the command line tool. The answers come from the
 * recordings' own description and its independent checker, not from us. */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "meltica/base/buf.h"

#define OUTPUT_BYTES_MAX (64u << 20)

static const char *captures(void)
{
    const char *folder = getenv("MELTICA_CAPTURES");
    return folder != NULL ? folder : "../shared/captures";
}

/* Runs a shell command line; its stdout is appended to out. Returns the exit status. */
static int run(struct mlt_buf *out, const char *line)
{
    FILE *pipe = popen(line, "r"); /* a fixed command line of this test */
    assert_non_null(pipe);
    size_t n = 1;
    while (n > 0) {
        assert_int_equal(mlt_buf_reserve(out, 65536), MLT_OK);
        n = fread(out->data + out->len, 1, 65535, pipe);
        out->len += n;
    }
    out->data[out->len] = '\0';
    const int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static cJSON *report(const char *arguments, int expected_exit)
{
    struct mlt_buf line, out;
    mlt_buf_init(&line, 8192);
    mlt_buf_init(&out, OUTPUT_BYTES_MAX);
    assert_int_equal(
        mlt_buf_printf(&line, "cd '%s' && %s inspect %s", captures(), MELTICA_TOOL, arguments),
        MLT_OK);
    assert_int_equal(mlt_buf_append_byte(&line, 0), MLT_OK);
    assert_int_equal(run(&out, (const char *)line.data), expected_exit);
    cJSON *json = cJSON_Parse((const char *)out.data);
    assert_non_null(json);
    mlt_buf_fini(&out);
    mlt_buf_fini(&line);
    return json;
}

static const cJSON *at(const cJSON *json, const char *a, const char *b, const char *c)
{
    const char *const path[] = { a, b, c };
    for (size_t i = 0; i < 3 && path[i] != NULL; i++) {
        json = cJSON_GetObjectItemCaseSensitive(json, path[i]);
        assert_non_null(json);
    }
    return json;
}

static double number(const cJSON *json, const char *a, const char *b, const char *c)
{
    return at(json, a, b, c)->valuedouble;
}

#define MAIN_RECORDING "btcusdt_20240808.gz btcusdt_20240809.gz"

static void test_main_recording_comes_through_to_the_last_digit(void **state)
{
    (void)state;
    cJSON *r = report(MAIN_RECORDING, 0);
    assert_true(number(r, "frames_in", NULL, NULL) == 99573);
    assert_true(number(r, "events_out", "BTC-USDT", "BBO") == 73174);
    assert_true(number(r, "events_out", "BTC-USDT", "TRADE") == 19904);
    assert_true(number(r, "events_out", "BTC-USDT", "BOOK_DELTA") == 6495);
    assert_true(number(r, "events_out", "BTC-USDT", "BOOK_SNAPSHOT") == 1);
    assert_true(number(r, "duplicates", NULL, NULL) == 0);
    assert_true(number(r, "gaps", NULL, NULL) == 0);
    assert_true(number(r, "sequence_holes", NULL, NULL) == 0);
    assert_int_equal(cJSON_GetArraySize(at(r, "rejected", NULL, NULL)), 0);
    assert_true(number(r, "exchange_ids", "BTC-USDT", "first") == 50093239189.0);
    assert_true(number(r, "exchange_ids", "BTC-USDT", "last") == 50093696318.0);
    assert_string_equal(at(r, "trade_quantity", "BTC-USDT", NULL)->valuestring, "437.91552");
    assert_string_equal(at(r, "trade_notional", "BTC-USDT", NULL)->valuestring, "27006929.5910348");
    cJSON_Delete(r);
}

static void test_two_runs_give_the_same_canonical_stream(void **state)
{
    (void)state;
    cJSON *a = report(MAIN_RECORDING, 0), *b = report(MAIN_RECORDING, 0),
          *half = report("btcusdt_20240808.gz", 0);
    const char *hash = at(a, "stream_hash", NULL, NULL)->valuestring;
    assert_string_equal(hash, at(b, "stream_hash", NULL, NULL)->valuestring);
    assert_string_not_equal(hash, at(half, "stream_hash", NULL, NULL)->valuestring);
    cJSON_Delete(half);
    cJSON_Delete(b);
    cJSON_Delete(a);
}

static void test_four_symbol_recording_with_its_whole_exchange_info(void **state)
{
    (void)state;
    cJSON *r =
        report("cryptofeed/BINANCE.0.zst cryptofeed/BINANCE.http.0.0 cryptofeed/BINANCE.ws.1.0", 0);
    assert_true(number(r, "instruments_listed", NULL, NULL) == 1695);
    static const char *const instruments[] = { "NKN-USDT", "BLZ-ETH", "LRC-BTC", "RUNE-EUR" };
    static const struct {
        const char *type;
        double count;
    } expected[] = { { "BOOK_DELTA", 177 },
                     { "BBO", 84 },
                     { "AGG_TRADE", 2 },
                     { "KLINE", 2 },
                     { "BOOK_SNAPSHOT", 4 } };
    for (size_t e = 0; e < sizeof expected / sizeof expected[0]; e++) {
        double total = 0;
        for (size_t i = 0; i < sizeof instruments / sizeof instruments[0]; i++) {
            const cJSON *count = cJSON_GetObjectItemCaseSensitive(
                at(r, "events_out", instruments[i], NULL), expected[e].type);
            total += count != NULL ? count->valuedouble : 0;
        }
        assert_true(total == expected[e].count);
    }
    assert_int_equal(cJSON_GetArraySize(at(r, "rejected", NULL, NULL)), 0);
    cJSON_Delete(r);
}

/* One depth frame and one trade left out: the check must see both, and the exit status must say so.
 */
static void test_a_frame_left_out_is_a_gap(void **state)
{
    (void)state;
    char path[] = "/tmp/meltica-inspect-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    struct mlt_buf line, out;
    mlt_buf_init(&line, 8192);
    mlt_buf_init(&out, 65536);
    assert_int_equal(
        mlt_buf_printf(
            &line,
            "zcat '%s/btcusdt_20240808.gz' | awk '/depth@100ms/ { if (++d == 900) next } "
            "/@trade/ { if (++t == 700) next } { print }' > %s",
            captures(), path),
        MLT_OK);
    assert_int_equal(mlt_buf_append_byte(&line, 0), MLT_OK);
    assert_int_equal(run(&out, (const char *)line.data), 0);
    cJSON *r = report(path, 1);
    assert_true(number(r, "gaps", NULL, NULL) == 2);
    assert_true(number(r, "sequence_holes", NULL, NULL) == 0);
    cJSON_Delete(r);
    mlt_buf_fini(&out);
    mlt_buf_fini(&line);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/btcusdt_20240808.gz", captures());
    if (access(path, R_OK) != 0) {
        (void)printf("skipped: no recordings in %s (MELTICA_CAPTURES names the folder)\n",
                     captures());
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_main_recording_comes_through_to_the_last_digit),
        cmocka_unit_test(test_two_runs_give_the_same_canonical_stream),
        cmocka_unit_test(test_four_symbol_recording_with_its_whole_exchange_info),
        cmocka_unit_test(test_a_frame_left_out_is_a_gap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
