/* URLs of the server, as an operator writes them: refused at once and in words, not at some
 * connect.
 */
#include "mlt_test.h"

#include "meltica/bus/bus.h"

static const enum mlt_bus_kind kinds[] = { MLT_BUS_DATA, MLT_BUS_CONTROL };

static void assert_refused(const char *url, const char *words)
{
    for (size_t i = 0; i < 2; i++) {
        struct mlt_bus *bus = NULL;
        struct mlt_error err = MLT_ERROR_INIT;
        const struct mlt_bus_options options = { .kind = kinds[i], .url = url, .name = "test" };
        assert_int_equal(mlt_bus_connect(&options, &bus, &err), MLT_E_CONFIG);
        assert_null(bus);
        if (strstr(err.text, words) == NULL) {
            fail_msg("%s: \"%s\" does not say \"%s\"", url, err.text, words);
        }
    }
}

static void test_port_out_of_range_is_refused(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "nats://127.0.0.1:99999", "nats://127.0.0.1:65536",      "nats://127.0.0.1:0",
        "nats://127.0.0.1:",      "nats://127.0.0.1:port",       "nats://127.0.0.1:-1",
        "nats://127.0.0.1:+4222", "nats://127.0.0.1:4222:4223",  "127.0.0.1:99999",
        "tls://[::1]:99999",      "nats://127.0.0.1:4294971518",
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        assert_refused(urls[i], "port that is no number from 1 to 65535");
    }
    assert_refused("nats://127.0.0.1:99999", "\"127.0.0.1:99999\"");
    assert_refused("nats://127.0.0.1:4222,nats://127.0.0.1:99999", "\"127.0.0.1:99999\"");
}

static void test_missing_host_is_refused(void **state)
{
    (void)state;
    assert_refused("nats://", "names no host");
    assert_refused("nats://:4222", "names no host");
    assert_refused("nats:///", "names no host");
    assert_refused("nats://me@:4222", "names no host");
    assert_refused("nats://[]:4222", "no IPv6 address");
    assert_refused("nats://[::1", "no IPv6 address");
    assert_refused("nats://[::1]4222", "behind ]");
    assert_refused(",", "no URL");
}

static void test_unknown_scheme_or_path_is_refused(void **state)
{
    (void)state;
    assert_refused("http://127.0.0.1:4222", "another scheme than nats or tls");
    assert_refused("ws://127.0.0.1:4222", "another scheme");
    assert_refused("NATS://127.0.0.1:4222", "another scheme");
    assert_refused("://127.0.0.1:4222", "another scheme");
    assert_refused("nats://127.0.0.1:4222/account", "has a path");
    assert_refused("nats://127.0.0.1\n:4222", "control byte");
}

static void test_words_hold_no_password(void **state)
{
    (void)state;
    struct mlt_bus *bus = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_bus_options options = { .url = "nats://me:se@cret@127.0.0.1:99999" };
    assert_int_equal(mlt_bus_connect(&options, &bus, &err), MLT_E_CONFIG);
    assert_null(strstr(err.text, "cret"));
    assert_non_null(strstr(err.text, "\"127.0.0.1:99999\""));
}

/* Nobody listens there: the connection is tried for as long as the bus lives. */
static void test_every_usual_form_is_taken(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "nats://127.0.0.1:1",
        "127.0.0.1:1",
        "nats://127.0.0.1:1/",
        "nats://[::1]:1",
        "nats://me:word@127.0.0.1:1",
        "tls://127.0.0.1:1",
        " nats://127.0.0.1:1 , 127.0.0.1:2",
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct mlt_bus *bus = NULL;
        struct mlt_error err = MLT_ERROR_INIT;
        const struct mlt_bus_options options = { .url = urls[i], .name = "test" };
        if (mlt_bus_connect(&options, &bus, &err) != MLT_OK) {
            fail_msg("%s: %s", urls[i], err.text);
        }
        mlt_bus_destroy(bus, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_port_out_of_range_is_refused),
        cmocka_unit_test(test_missing_host_is_refused),
        cmocka_unit_test(test_unknown_scheme_or_path_is_refused),
        cmocka_unit_test(test_words_hold_no_password),
        cmocka_unit_test(test_every_usual_form_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
