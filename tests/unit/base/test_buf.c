#include "unit.h"

#include "meltica/base/buf.h"

static void assert_text(const struct mlt_buf *buf, const char *expected)
{
    assert_int_equal(buf->len, strlen(expected));
    assert_memory_equal(buf->data, expected, buf->len);
}

static void test_buf_append_up_to_the_ceiling_and_not_one_byte_more(void **state)
{
    (void)state;
    const size_t ceilings[] = { 1, 10, 255, 256, 257, 1000, 5000 };
    for (size_t c = 0; c < ARRAY_COUNT(ceilings); c++) {
        struct mlt_buf buf;
        mlt_buf_init(&buf, ceilings[c]);
        for (size_t i = 0; i < ceilings[c]; i++) {
            assert_int_equal(mlt_buf_append_byte(&buf, (uint8_t)i), MLT_OK);
        }
        const struct mlt_buf before = buf;
        assert_int_equal(mlt_buf_append_byte(&buf, 0), MLT_E_TOO_BIG);
        assert_int_equal(mlt_buf_append(&buf, "ab", 2), MLT_E_TOO_BIG);
        assert_int_equal(mlt_buf_reserve(&buf, SIZE_MAX), MLT_E_TOO_BIG);
        assert_int_equal(mlt_buf_printf(&buf, "%d", 1), MLT_E_TOO_BIG);
        assert_int_equal(mlt_buf_append(&buf, NULL, 0), MLT_OK);
        assert_memory_equal(&buf, &before, sizeof buf);
        assert_true(buf.capacity <= ceilings[c]);
        for (size_t i = 0; i < ceilings[c]; i++) {
            assert_int_equal(buf.data[i], (uint8_t)i);
        }
        mlt_buf_fini(&buf);
        assert_null(buf.data);
        assert_int_equal(buf.max, ceilings[c]);
    }
}

static void test_buf_reserve_makes_later_appends_allocation_free(void **state)
{
    (void)state;
    struct mlt_buf buf;
    mlt_buf_init(&buf, 4096);
    assert_int_equal(mlt_buf_reserve(&buf, 3000), MLT_OK);
    const uint8_t *data = buf.data;
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(mlt_buf_append_byte(&buf, 'x'), MLT_OK);
    }
    assert_ptr_equal(buf.data, data);
    mlt_buf_clear(&buf);
    assert_int_equal(buf.len, 0);
    assert_ptr_equal(buf.data, data);
    mlt_buf_fini(&buf);
}

static void test_buf_printf_fills_to_the_last_byte(void **state)
{
    (void)state;
    struct mlt_buf buf;
    mlt_buf_init(&buf, 10);
    assert_int_equal(mlt_buf_printf(&buf, "%s-%03d", "abc", 7), MLT_OK);
    assert_text(&buf, "abc-007");
    assert_int_equal(mlt_buf_printf(&buf, "%04d", 1), MLT_E_TOO_BIG);
    assert_text(&buf, "abc-007");
    assert_int_equal(mlt_buf_printf(&buf, "%03d", 1), MLT_OK);
    assert_text(&buf, "abc-007001");
    mlt_buf_fini(&buf);
}

static void test_buf_consume_moves_the_rest_to_the_front(void **state)
{
    (void)state;
    struct mlt_buf buf;
    mlt_buf_init(&buf, 64);
    assert_int_equal(mlt_buf_append_string(&buf, "headtail"), MLT_OK);
    mlt_buf_consume(&buf, 4);
    assert_text(&buf, "tail");
    mlt_buf_consume(&buf, 0);
    assert_text(&buf, "tail");
    mlt_buf_consume(&buf, 4);
    assert_int_equal(buf.len, 0);
    mlt_buf_fini(&buf);
}

static void test_buf_json_string_escapes_and_repairs(void **state)
{
    (void)state;
#define FFFD "\xef\xbf\xbd"
    static const struct {
        const char *in;
        const char *out;
    } cases[] = {
        { "", "\"\"" },
        { "plain text", "\"plain text\"" },
        { "q\" b\\ n\n r\r t\t", "\"q\\\" b\\\\ n\\n r\\r t\\t\"" },
        { "\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"" },
        { "\xc2\x80 \xc2\x9b" /* CSI */ "31m \xc2\xa0", "\"\\u0080 \\u009b31m \xc2\xa0\"" },
        { "é€😀", "\"é€😀\"" },
        { "a\xff"
          "b",
          "\"a" FFFD "b\"" },
        { "\xc3", "\"" FFFD "\"" },                            /* cut short */
        { "\xe2\x82", "\"" FFFD FFFD "\"" },                   /* cut short */
        { "\xc0\xaf", "\"" FFFD FFFD "\"" },                   /* overlong */
        { "\xe0\x80\xaf", "\"" FFFD FFFD FFFD "\"" },          /* overlong */
        { "\xed\xa0\x80", "\"" FFFD FFFD FFFD "\"" },          /* surrogate */
        { "\xf4\x90\x80\x80", "\"" FFFD FFFD FFFD FFFD "\"" }, /* above U+10FFFF */
        { "\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\"" },
        { "\x80\"", "\"" FFFD "\\\"\"" },
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct mlt_buf buf;
        mlt_buf_init(&buf, 256);
        assert_int_equal(mlt_buf_append_json_string(&buf, mlt_slice_of_string(cases[i].in)),
                         MLT_OK);
        assert_text(&buf, cases[i].out);
        mlt_buf_fini(&buf);
    }
}

static void test_buf_json_string_keeps_nul_and_fails_whole(void **state)
{
    (void)state;
    struct mlt_buf buf;
    mlt_buf_init(&buf, 12);
    assert_int_equal(mlt_buf_append_string(&buf, "[]"), MLT_OK);
    assert_int_equal(mlt_buf_append_json_string(&buf, MLT_SLICE_LITERAL("\0")), MLT_OK);
    assert_text(&buf, "[]\"\\u0000\"");
    assert_int_equal(mlt_buf_append_json_string(&buf, MLT_SLICE_LITERAL("a")), MLT_E_TOO_BIG);
    assert_text(&buf, "[]\"\\u0000\"");
    assert_int_equal(mlt_buf_append_json_string(&buf, MLT_SLICE_EMPTY), MLT_OK);
    assert_text(&buf, "[]\"\\u0000\"\"\"");
    mlt_buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_append_up_to_the_ceiling_and_not_one_byte_more),
        cmocka_unit_test(test_buf_reserve_makes_later_appends_allocation_free),
        cmocka_unit_test(test_buf_printf_fills_to_the_last_byte),
        cmocka_unit_test(test_buf_consume_moves_the_rest_to_the_front),
        cmocka_unit_test(test_buf_json_string_escapes_and_repairs),
        cmocka_unit_test(test_buf_json_string_keeps_nul_and_fails_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
