/* What servers say, and what somebody says in their place. */
#include "mlt_test.h"

#include <limits.h>
#include <stdlib.h>

#include "answer.h"

#define ACK "{\"stream\":\"S\", \"seq\":7 , \"duplicate\" : true,\"domain\":\"d\"}"
#define REFUSAL                                                                                    \
    "{\"type\":\"t\",\"error\":{\"code\":400,\"err_code\":10071,\"description\":\"\\\"seq\\\":"    \
    "5\"},"                                                                                        \
    "\"seq\":0}"
#define MESSAGE                                                                                    \
    "{\"type\":\"t\",\"message\":{\"subject\":\"s.a\",\"seq\":8,\"hdrs\":\"e30=\",\"x\":[{}, "     \
    "[1,-2.5e3],null]}}"

static struct mlt_js_answer read_text(const char *text)
{
    return mlt_js_answer_read(mlt_slice_of_string(text));
}

static void test_what_jetstream_says(void **state)
{
    (void)state;
    struct mlt_js_answer said = read_text(ACK);
    assert_int_equal(said.kind, MLT_JS_STORED);
    assert_int_equal(said.sequence, 7);
    assert_int_equal(said.code, 0);
    said = read_text("\r\n{ \"seq\" : 18446744073709551615 }\n");
    assert_int_equal(said.kind, MLT_JS_STORED);
    assert_true(said.sequence == UINT64_MAX);
    said = read_text(REFUSAL);
    assert_int_equal(said.kind, MLT_JS_REFUSED);
    assert_int_equal(said.code, 10071);
    assert_int_equal(said.sequence, 0);
    said = read_text("{\"error\":{\"code\":503}}");
    assert_int_equal(said.kind, MLT_JS_REFUSED);
    assert_int_equal(said.code, 503);
    said = read_text("{\"error\":{\"err_code\":0,\"code\":2147483647}}");
    assert_int_equal(said.kind, MLT_JS_REFUSED);
    assert_int_equal(said.code, INT_MAX);
    said = read_text(MESSAGE);
    assert_int_equal(said.kind, MLT_JS_MESSAGE);
    assert_int_equal(said.sequence, 0);
    /* Who refuses has stored nothing, whatever else is said. */
    said = read_text("{\"seq\":7,\"message\":{},\"error\":{\"code\":400,\"err_code\":10071}}");
    assert_int_equal(said.kind, MLT_JS_REFUSED);
    said = mlt_js_answer_read(MLT_SLICE_EMPTY);
    assert_int_equal(said.kind, MLT_JS_SILENT);
}

static const char *const hostile[] = {
    "no",
    "7",
    "[]",
    "\"seq\":7",
    "{}",
    " ",
    "{",
    "}",
    "{,}",
    "{\"seq\"}",
    "{\"seq\":}",
    /* Numbers that are none, or do not fit. */
    "{\"seq\":0}",
    "{\"seq\":-7}",
    "{\"seq\":7.0}",
    "{\"seq\":7e3}",
    "{\"seq\":07}",
    "{\"seq\":\"7\"}",
    "{\"seq\":null}",
    "{\"seq\":18446744073709551616}",
    "{\"seq\":99999999999999999999999}",
    "{\"error\":{\"err_code\":2147483648}}",
    "{\"error\":{\"err_code\":-1,\"code\":400}}",
    "{\"error\":{\"code\":18446744073709551617}}",
    "{\"error\":{\"err_code\":10071.5}}",
    "{\"error\":{\"err_code\":\"10071\"}}",
    /* Members that stand elsewhere than they should. */
    "{\"a\":{\"seq\":7}}",
    "{\"a\":\"\\\"seq\\\":7\"}",
    "{\"a\":\"{\\\"message\\\":{}}\"}",
    "{\"seq\\u0022\":7}",
    "{\"SEQ\":7}",
    "{\"data\":[{\"message\":{}}]}",
    "{\"error\":{\"a\":{\"err_code\":10071}}}",
    "{\"err_code\":10071}",
    /* Errors and messages that are none. */
    "{\"error\":{}}",
    "{\"error\":null,\"seq\":7}",
    "{\"error\":10071}",
    "{\"error\":[]}",
    "{\"error\":{\"code\":0,\"err_code\":0}}",
    "{\"message\":null}",
    "{\"message\":\"{}\"}",
    /* Twice. */
    "{\"seq\":7,\"seq\":7}",
    "{\"message\":{},\"message\":{}}",
    "{\"error\":{\"code\":1},\"error\":{\"code\":1}}",
    "{\"error\":{\"code\":1,\"code\":1}}",
    /* Not one whole object. */
    "{\"seq\":7}{\"seq\":8}",
    "{\"seq\":7},",
    "{\"seq\":7 \"a\":1}",
    "{\"seq\":7,}",
    "{\"a\":{\"b\":1,\"seq\":7}",
    "{\"a\":[1,\"seq\":7",
    "{\"a\":\"x,\"seq\":7}",
    "{\"a\":\"\\",
    "{\"a\":[},\"seq\":7}",
    "{\"message\":{]}",
    "{\"message\":{\"a\":[{]}]}}",
    "{\"a\":,\"seq\":7}",
    "{\"a\" \"seq\":7}",
    "{a:1,\"seq\":7}",
};

static void test_what_nobody_should_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        const struct mlt_js_answer said = read_text(hostile[i]);
        if (said.kind != MLT_JS_MALFORMED || said.code != 0 || said.sequence != 0) {
            fail_msg("%s is taken for %d", hostile[i], (int)said.kind);
        }
    }
}

/* Also a sanitizer reads along: the bytes end where they end. */
static void test_what_was_cut_short_says_nothing(void **state)
{
    (void)state;
    static const char *const whole[] = { ACK, REFUSAL, MESSAGE };
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        for (size_t len = 1; len < strlen(whole[i]); len++) {
            char *cut = malloc(len);
            assert_non_null(cut);
            memcpy(cut, whole[i], len);
            assert_int_equal(mlt_js_answer_read(mlt_slice_of(cut, len)).kind, MLT_JS_MALFORMED);
            free(cut);
        }
    }
}

static void test_a_deep_answer_costs_no_stack(void **state)
{
    (void)state;
    static char deep[4u << 20];
    const size_t half = (sizeof deep - 16) / 2;
    memcpy(deep, "{\"a\":", 5);
    memset(deep + 5, '[', half);
    assert_int_equal(mlt_js_answer_read(mlt_slice_of(deep, 5 + half)).kind, MLT_JS_MALFORMED);
    memset(deep + 5 + half, ']', half);
    memcpy(deep + 5 + 2 * half, ",\"seq\":7}", 9);
    assert_int_equal(mlt_js_answer_read(mlt_slice_of(deep, 14 + 2 * half)).kind, MLT_JS_MALFORMED);
    for (size_t levels = 64; levels <= 65; levels++) { /* what there may be, and one more */
        memset(deep + 5, '[', levels);
        memset(deep + 5 + levels, ']', levels);
        memcpy(deep + 5 + 2 * levels, ",\"seq\":7}", 9);
        assert_int_equal(mlt_js_answer_read(mlt_slice_of(deep, 14 + 2 * levels)).sequence,
                         levels == 64 ? 7 : 0);
    }
}

static void test_codes_of_services(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
    } codes[] = {
        { "1", 1 },
        { "404", 404 },
        { "2147483647", INT_MAX },
        { "2147483648", 500 },
        { "", 500 },
        { "0", 500 },
        { "-404", 500 },
        { " 404", 500 },
        { "404 gone", 500 },
        { "0x10", 500 },
        { "99999999999999999999999", 500 },
    };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        assert_int_equal(mlt_service_error_code(codes[i].text), codes[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_jetstream_says),
        cmocka_unit_test(test_what_nobody_should_say),
        cmocka_unit_test(test_what_was_cut_short_says_nothing),
        cmocka_unit_test(test_a_deep_answer_costs_no_stack),
        cmocka_unit_test(test_codes_of_services),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
