/* Text of others that a terminal gets. */
#include "mlt_test.h"

#include <stdio.h>

#include <cjson/cJSON.h>

#include "plain.h"

static void test_what_a_terminal_would_obey_is_a_question_mark(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        { "", "" },
        { "BTC-USDT is \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "BTC-USDT is "
                                                              "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98"
                                                              "\x80" },
        { "\x1b[2J\x1b]0;title\x07", "?[2J?]0;title?" },
        { "a\nb\r\tc\x7f", "a?b??c?" },
        { "\xc2\x9b"
          "31m\xc2\x80\xc2\x9f\xc2\xa0",
          "?31m??\xc2\xa0" },
        { "\x9b"
          "31m\xff\xe2\x82",
          "?31m???" }, /* CSI of eight bits; no UTF-8; cut short */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "%s", cases[i].in);
        mlt_tool_plain(text);
        assert_string_equal(text, cases[i].out);
    }
}

static void test_every_text_of_a_tree_is_plain(void **state)
{
    (void)state;
    cJSON *tree = cJSON_Parse("{\"a\":\"\\u001b[31m\",\"b\":[1,\"\\u009b\",{\"c\":\"\\u0007\"}],"
                              "\"d\":null,\"e\":\"good\"}");
    assert_non_null(tree);
    mlt_tool_plain_json(tree);
    char *text = cJSON_PrintUnformatted(tree);
    assert_string_equal(
        text, "{\"a\":\"?[31m\",\"b\":[1,\"?\",{\"c\":\"?\"}],\"d\":null,\"e\":\"good\"}");
    cJSON_free(text);
    cJSON_Delete(tree);
    mlt_tool_plain_json(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_terminal_would_obey_is_a_question_mark),
        cmocka_unit_test(test_every_text_of_a_tree_is_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
