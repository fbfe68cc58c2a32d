/* Pure parts of the simulator: JSON, book, candles, mutations, budgets. */
#include "mlt_test.h"

#include "book.h"
#include "budget.h"
#include "format.h"
#include "json.h"
#include "market.h"
#include "mutate.h"

static bool valid(const char *text)
{
    size_t at = 0;
    return sim_json_valid(mlt_slice_of_string(text), &at);
}

static void test_json_takes_what_rfc_8259_takes(void **state)
{
    (void)state;
    static const char *const good[] = { "{}",     "[]",   " [1, -2.5e+3 ,\"a\\u00e9\\n\"] ", "0",
                                        "\"\"",   "null", "{\"a\":{\"b\":[true,false]}}",    "-0.5",
                                        "[[[]]]", "1E9" };
    static const char *const bad[] = { "",       "{",   "}",     "[1,]",       "{\"a\"}",
                                       "01",     "1.",  "+1",    "\"\\x\"",    "\"\\u12\"",
                                       "\"\n\"", "tru", "[1 2]", "{a:1}",      "\"a",
                                       "[1]]",   "-",   "nul",   "{\"a\":1,}", "1e" };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(valid(good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(valid(bad[i]));
    }
    char deep[2 * SIM_JSON_DEPTH_MAX + 3] = { 0 };
    memset(deep, '[', SIM_JSON_DEPTH_MAX);
    memset(deep + SIM_JSON_DEPTH_MAX, ']', SIM_JSON_DEPTH_MAX);
    assert_true(valid(deep));
    memset(deep, '[', SIM_JSON_DEPTH_MAX + 1);
    memset(deep + SIM_JSON_DEPTH_MAX + 1, ']', SIM_JSON_DEPTH_MAX + 1);
    assert_false(valid(deep));
}

static void test_json_members_and_strings(void **state)
{
    (void)state;
    const struct mlt_slice json = mlt_slice_of_string(
        "{\"U\":1,\"x\":{\"u\":2},\"u\":-9223372036854775808,\"s\":\"a\\ud83d\\ude00\"}");
    struct mlt_slice value;
    int64_t number = 0;
    assert_true(sim_json_member(json, "u", &value) && sim_json_integer(value, &number));
    assert_true(number == INT64_MIN);
    assert_false(sim_json_member(json, "z", &value));
    assert_false(sim_json_integer(mlt_slice_of_string("9223372036854775808"), &number));
    assert_false(sim_json_integer(mlt_slice_of_string("1.5"), &number));
    struct mlt_buf text;
    mlt_buf_init(&text, 64);
    assert_true(sim_json_member(json, "s", &value));
    assert_int_equal(sim_json_unescape(value, &text), MLT_OK);
    assert_int_equal(text.len, 5);
    assert_memory_equal(text.data, "a\xf0\x9f\x98\x80", 5);
    assert_int_equal(sim_json_unescape(mlt_slice_of_string("\"\\ud83d\""), &text), MLT_E_PARSE);
    mlt_buf_fini(&text);
}

static void test_numbers_are_printed_exactly(void **state)
{
    (void)state;
    char text[64];
    static const struct {
        int64_t value;
        int decimals;
        const char *text;
    } cases[] = { { 0, 8, "0.00000000" },
                  { 1, 8, "0.00000001" },
                  { -150000000, 2, "-1.50" },
                  { INT64_MAX, 8, "92233720368.54775807" },
                  { 123456789012, 0, "1234" } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        *sim_put_e8(text, cases[i].value, cases[i].decimals) = '\0';
        assert_string_equal(text, cases[i].text);
    }
    *sim_put_i64(text, INT64_MIN) = '\0';
    assert_string_equal(text, "-9223372036854775808");
}

static void test_book_applies_absolute_quantities(void **state)
{
    (void)state;
    struct sim_book book;
    struct mlt_buf out;
    sim_book_init(&book);
    mlt_buf_init(&out, 4096);
    assert_int_equal(
        sim_book_load(&book,
                      mlt_slice_of_string("{\"lastUpdateId\":10,\"bids\":[[\"1.00\",\"2.0\"],"
                                          "[\"0.99\",\"3.0\"]],\"asks\":[[\"1.01\",\"4.0\"]]}")),
        MLT_OK);
    assert_int_equal(
        sim_book_apply(
            &book, mlt_slice_of_string("{\"e\":\"depthUpdate\",\"U\":11,\"u\":12,\"b\":[[\"1.00\","
                                       "\"0.0\"],[\"0.98\",\"1.5\"],[\"0.50\",\"0.0\"]],\"a\":[["
                                       "\"1.01\",\"5.5\"],[\"1.00\",\"1.0\"]]}")),
        MLT_OK);
    assert_int_equal(sim_book_write(&book, 2, "", &out), MLT_OK);
    assert_int_equal(mlt_buf_append_byte(&out, 0), MLT_OK);
    assert_string_equal((const char *)out.data,
                        "{\"lastUpdateId\":12,\"bids\":[[\"0.99\",\"3.0\"],[\"0.98\",\"1.5\"]],"
                        "\"asks\":[[\"1.00\",\"1.0\"],[\"1.01\",\"5.5\"]]}");
    assert_int_equal(sim_book_load(&book, mlt_slice_of_string("{\"bids\":[],\"asks\":[]}")),
                     MLT_E_MISSING);
    mlt_buf_fini(&out);
    sim_book_fini(&book);
}

static void test_intervals_begin_where_binance_begins_them(void **state)
{
    (void)state;
    const int64_t time_us = INT64_C(1723161905809) * 1000; /* Friday 2024-08-09 00:05:05 UTC */
    static const struct {
        const char *name;
        int64_t open_s, next_s;
    } cases[] = { { "1s", 1723161905, 1723161906 },  { "1m", 1723161900, 1723161960 },
                  { "15m", 1723161600, 1723162500 }, { "1d", 1723161600, 1723248000 },
                  { "1w", 1722816000, 1723420800 }, /* Monday 5th */
                  { "1M", 1722470400, 1725148800 } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t open_us = 0, next_us = 0;
        const int interval = sim_interval_find(mlt_slice_of_string(cases[i].name));
        assert_true(interval >= 0);
        sim_interval_bounds(interval, time_us, &open_us, &next_us);
        assert_int_equal(open_us, cases[i].open_s * 1000000);
        assert_int_equal(next_us, cases[i].next_s * 1000000);
    }
    assert_int_equal(sim_interval_find(mlt_slice_of_string("2m")), -1);
}

static void test_every_kind_of_mutation_happens_and_repeats_with_its_seed(void **state)
{
    (void)state;
    const struct mlt_slice text =
        mlt_slice_of_string("{\"stream\":\"btcusdt@trade\",\"data\":{\"e\":\"trade\",\"t\":1,\"p\":"
                            "\"1.0\",\"m\":true}}");
    struct sim_mutator a, b;
    struct mlt_buf out_a, out_b;
    sim_mutator_init(&a, 3, 60000);
    sim_mutator_init(&b, 3, 0);
    mlt_buf_init(&out_a, (size_t)32 << 20);
    mlt_buf_init(&out_b, (size_t)32 << 20);
    uint64_t changed = 0;
    for (uint64_t i = 1; i <= 60000; i++) {
        const struct sim_outgoing frame = { MLT_SLICE_LITERAL("btcusdt@trade"), text, 1, i };
        mlt_buf_clear(&out_a);
        mlt_buf_clear(&out_b);
        assert_false(a.filter.done(&a));
        assert_int_equal(a.filter.frame(&a, &frame, &out_a), SIM_REPLACE);
        assert_int_equal(b.filter.frame(&b, &frame, &out_b), SIM_REPLACE);
        assert_true(mlt_slice_equal(mlt_buf_view(&out_a), mlt_buf_view(&out_b)));
        changed += mlt_slice_equal(mlt_buf_view(&out_a), text) ? 0 : 1;
        for (size_t k = 0; k < out_a.len && out_a.len < 10000; k++) {
            assert_true(out_a.data[k] < 0x80); /* still text */
        }
    }
    assert_true(a.filter.done(&a));
    assert_true(changed > 55000); /* a flip may undo itself, a value may be replaced by itself */
    for (int kind = 0; kind < SIM_MUTATION_COUNT; kind++) {
        assert_true(a.by_kind[kind] > 0);
    }
    mlt_buf_fini(&out_a);
    mlt_buf_fini(&out_b);
}

static void test_budget_bans_those_who_go_on(void **state)
{
    (void)state;
    struct sim_limits limits;
    const int64_t second = 1000000000, start = 1700000040 * second; /* a whole minute */
    uint64_t used = 0;
    unsigned retry = 0;
    int64_t until = 0;
    sim_limits_init(&limits, 100, 1, 2);
    assert_int_equal(sim_limits_take(&limits, "a", 100, start, &used, &retry, &until),
                     SIM_ADMITTED);
    assert_int_equal(used, 100);
    assert_int_equal(sim_limits_take(&limits, "b", 1, start, &used, &retry, &until), SIM_ADMITTED);
    assert_int_equal(sim_limits_take(&limits, "a", 1, start + 15 * second, &used, &retry, &until),
                     SIM_TOO_MANY);
    assert_int_equal(retry, 45);
    assert_int_equal(sim_limits_take(&limits, "a", 1, start + 16 * second, &used, &retry, &until),
                     SIM_BANNED);
    assert_int_equal(retry, 120);
    assert_int_equal(sim_limits_take(&limits, "a", 1, start + 135 * second, &used, &retry, &until),
                     SIM_BANNED);
    assert_int_equal(retry, 1);
    assert_int_equal(sim_limits_take(&limits, "a", 1, start + 136 * second, &used, &retry, &until),
                     SIM_ADMITTED);
    /* the second ban is twice as long */
    assert_int_equal(
        sim_limits_take(&limits, "a", 100, start + 137 * second, &used, &retry, &until),
        SIM_TOO_MANY);
    assert_int_equal(sim_limits_take(&limits, "a", 1, start + 138 * second, &used, &retry, &until),
                     SIM_BANNED);
    assert_int_equal(retry, 240);
    assert_true(sim_limits_connect(&limits, "a", start));
    assert_true(sim_limits_connect(&limits, "a", start + second));
    assert_false(sim_limits_connect(&limits, "a", start + 299 * second));
    assert_true(sim_limits_connect(&limits, "a", start + 300 * second));
    sim_limits_fini(&limits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_takes_what_rfc_8259_takes),
        cmocka_unit_test(test_json_members_and_strings),
        cmocka_unit_test(test_numbers_are_printed_exactly),
        cmocka_unit_test(test_book_applies_absolute_quantities),
        cmocka_unit_test(test_intervals_begin_where_binance_begins_them),
        cmocka_unit_test(test_every_kind_of_mutation_happens_and_repeats_with_its_seed),
        cmocka_unit_test(test_budget_bans_those_who_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
