#include <stdio.h>

#include "fixture.h"

#include "internal.h"

struct good {
    const char *text;
    bool tls;
    const char *host;
    uint16_t port;
    const char *host_header, *path;
};

static void test_urls_are_taken_apart_and_path_and_query_stay_byte_for_byte(void **state)
{
    (void)state;
    const struct good cases[] = {
        { "wss://data-stream.binance.vision/stream", true, "data-stream.binance.vision", 443,
          "data-stream.binance.vision", "/stream" },
        { "wss://stream.binance.com:9443/ws", true, "stream.binance.com", 9443,
          "stream.binance.com:9443", "/ws" },
        { "wss://h:443/x", true, "h", 443, "h", "/x" },
        { "ws://h", false, "h", 80, "h", "/" },
        { "ws://127.0.0.1:8080?a=b", false, "127.0.0.1", 8080, "127.0.0.1:8080", "/?a=b" },
        { "ws://[::1]:9/s", false, "::1", 9, "[::1]:9", "/s" },
        { "ws://[::1]/s", false, "::1", 80, "[::1]", "/s" },
        { "ws://h/stream?streams=a@trade/%E5%B8%81@depth@100ms&timeUnit=MICROSECOND//..?:[]", false,
          "h", 80, "h",
          "/stream?streams=a@trade/%E5%B8%81@depth@100ms&timeUnit=MICROSECOND//..?:[]" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ws_url url;
        struct mlt_error err = MLT_ERROR_INIT;
        assert_int_equal(ws_url_parse(cases[i].text, &url, &err), MLT_OK);
        assert_int_equal(url.tls, cases[i].tls);
        assert_string_equal(url.host, cases[i].host);
        assert_int_equal(url.port, cases[i].port);
        assert_string_equal(url.host_header, cases[i].host_header);
        assert_string_equal(url.path, cases[i].path);
    }
}

static void test_urls_that_are_none_are_refused_with_a_reason(void **state)
{
    (void)state;
    const char *cases[] = { "",
                            "http://h/",
                            "WS://h/",
                            "ws:/h",
                            "ws://",
                            "ws://:80/",
                            "ws://h:/",
                            "ws://h:0/",
                            "ws://h:65536/",
                            "ws://h:8o/",
                            "ws://h:123456/",
                            "ws://user@h/",
                            "ws://user:pass@h/",
                            "ws://h/a b",
                            "ws://h/\r\nX: y",
                            "ws://h\n/",
                            "ws://h/#x",
                            "ws://[::1/",
                            "ws://[::1]x/",
                            "wss://[::1]/",
                            "ws://h/\x7f" };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ws_url url;
        struct mlt_error err = MLT_ERROR_INIT;
        assert_int_equal(ws_url_parse(cases[i], &url, &err), MLT_E_CONFIG);
        assert_non_null(strstr(err.text, "WebSocket URL: "));
    }
}

static void test_host_and_path_are_taken_up_to_their_limits_and_not_beyond(void **state)
{
    (void)state;
    char text[PATH_BYTES_MAX + HOST_BYTES_MAX + 32];
    struct ws_url url;
    struct mlt_error err = MLT_ERROR_INIT;
    for (unsigned over = 0; over <= 1; over++) {
        (void)snprintf(text, sizeof text, "ws://%0*d/", (int)(HOST_BYTES_MAX + over), 0);
        assert_int_equal(ws_url_parse(text, &url, &err), over ? MLT_E_CONFIG : MLT_OK);
        (void)snprintf(text, sizeof text, "ws://h/%0*d", (int)(PATH_BYTES_MAX - 1 + over), 0);
        assert_int_equal(ws_url_parse(text, &url, &err), over ? MLT_E_CONFIG : MLT_OK);
    }
    (void)snprintf(text, sizeof text, "ws://%0*d:65535/", (int)HOST_BYTES_MAX, 0);
    assert_int_equal(ws_url_parse(text, &url, &err), MLT_OK);
    assert_int_equal(strlen(url.host_header), HOST_BYTES_MAX + 6);
}

static void test_every_end_has_its_word(void **state)
{
    (void)state;
    assert_string_equal(mlt_ws_end_word(MLT_WS_REFUSED), "refused");
    assert_string_equal(mlt_ws_end_word(MLT_WS_CLOSED), "closed");
    assert_string_equal(mlt_ws_end_word(MLT_WS_LOST), "lost");
    assert_string_equal(mlt_ws_end_word(MLT_WS_SILENT), "silent");
    assert_string_equal(mlt_ws_end_word(MLT_WS_TOO_BIG), "too_big");
    assert_string_equal(mlt_ws_end_word(MLT_WS_BY_US), "by_us");
    assert_string_equal(mlt_ws_end_word((enum mlt_ws_end)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls_are_taken_apart_and_path_and_query_stay_byte_for_byte),
        cmocka_unit_test(test_urls_that_are_none_are_refused_with_a_reason),
        cmocka_unit_test(test_host_and_path_are_taken_up_to_their_limits_and_not_beyond),
        cmocka_unit_test(test_every_end_has_its_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
