#include <stdio.h>
#include <unistd.h>

#include "fixture.h"

static struct test_ca ca, other_ca;

static void greet(struct conn *conn, void *ctx)
{
    char *server_name = ctx;
    const char *name = SSL_get_servername(conn->ssl, TLSEXT_NAMETYPE_host_name);
    if (server_name != NULL) {
        (void)snprintf(server_name, 64, "%s", name != NULL ? name : "(none)");
    }
    static char big[100000];
    memset(big, 'b', sizeof big);
    if (conn_upgrade(conn) && conn_text(conn, "hello") &&
        conn_frame_in_pieces(conn, true, 1, big, sizeof big, 999)) {
        char got[128];
        unsigned opcode = 0;
        size_t len = sizeof got;
        (void)peer_check(conn,
                         conn_frame(conn, true, 9, "ping", 4) &&
                             conn_read_frame(conn, &opcode, got, &len) && opcode == 10 &&
                             strcmp(got, "ping") == 0,
                         "no pong over TLS");
        (void)conn_close_frame(conn, 1000, "done");
        conn_drain(conn);
    }
}

static void test_a_certificate_of_the_given_ca_for_the_name_is_accepted(void **state)
{
    (void)state;
    char server_name[64] = "";
    struct told told = { 0 };
    peer.tls = test_ca_server(&ca, "localhost", false);
    assert_non_null(peer.tls);
    assert_true(peer_start(&peer, greet, server_name));
    struct mlt_ws_options options =
        line_options(&told, url_of("wss", "localhost", peer.port, "/stream"));
    options.ca_file = ca.file;
    line_through(&told, &options);
    assert_null(peer_stop(&peer));
    assert_int_equal(told.end, MLT_WS_CLOSED);
    assert_string_equal(told.text, "done");
    assert_int_equal(told.frames, 2);
    assert_int_equal(told.stats.bytes, 100005);
    assert_int_equal(told.stats.pongs, 1);
    assert_string_equal(server_name, "localhost");
}

/* wss:// to a server that should not be trusted, for one reason each. */
static void refused(const char *cert_name, bool expired, const char *ca_file)
{
    struct told told = { 0 };
    peer.tls = test_ca_server(&ca, cert_name, expired);
    assert_non_null(peer.tls);
    assert_true(peer_start(&peer, greet, NULL));
    struct mlt_ws_options options =
        line_options(&told, url_of("wss", "localhost", peer.port, "/stream"));
    options.ca_file = ca_file;
    line_through(&told, &options);
    assert_null(peer_stop(&peer));
    assert_int_equal(told.end, MLT_WS_REFUSED);
    assert_int_equal(told.opens, 0);
    assert_true(told.text[0] != 0);
}

static void test_a_certificate_for_another_name_is_refused(void **state)
{
    (void)state;
    refused("other.example", false, ca.file);
}

static void test_a_certificate_of_an_unknown_ca_is_refused(void **state)
{
    (void)state;
    refused("localhost", false, other_ca.file);
    refused("localhost", false, NULL); /* the system's */
}

static void test_a_ca_file_without_certificates_trusts_nobody(void **state)
{
    (void)state;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/garbage.pem", ca.directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("no certificate in here\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    refused("localhost", false, path);
    assert_int_equal(unlink(path), 0);
}

static void test_an_expired_certificate_is_refused(void **state)
{
    (void)state;
    refused("localhost", true, ca.file);
}

static void test_good_and_bad_lines_of_two_cas_do_not_mix(void **state)
{
    test_a_certificate_of_an_unknown_ca_is_refused(state);
    test_a_certificate_of_the_given_ca_for_the_name_is_accepted(state);
    test_a_certificate_of_an_unknown_ca_is_refused(state);
}

static void plain_server(struct conn *conn, void *ctx)
{
    (void)ctx;
    (void)conn_write(conn, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    conn_drain(conn);
}

static void test_a_server_without_tls_is_refused(void **state)
{
    (void)state;
    struct told told = { 0 };
    assert_true(peer_start(&peer, plain_server, NULL));
    struct mlt_ws_options options =
        line_options(&told, url_of("wss", "localhost", peer.port, "/stream"));
    options.ca_file = ca.file;
    line_through(&told, &options);
    assert_null(peer_stop(&peer));
    assert_int_equal(told.end, MLT_WS_REFUSED);
}

static void test_a_ca_file_that_is_not_there_is_a_wrong_configuration(void **state)
{
    (void)state;
    struct told told = { 0 };
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_ws_options options = line_options(&told, "wss://127.0.0.1/");
    options.ca_file = "/nowhere/ca.pem";
    assert_int_equal(mlt_ws_connect(loop, &options, &told.ws, &err), MLT_E_CONFIG);
    assert_non_null(strstr(err.text, "/nowhere/ca.pem"));
    assert_null(told.ws);
}

int main(void)
{
    if (mlt_signals_block() != MLT_OK || !test_ca_make(&ca) || !test_ca_make(&other_ca)) {
        return 1;
    }
#define TLS_TEST(name) cmocka_unit_test_setup_teardown(name, make_loop, drop_loop)
    const struct CMUnitTest tests[] = {
        TLS_TEST(test_a_certificate_of_the_given_ca_for_the_name_is_accepted),
        TLS_TEST(test_a_certificate_for_another_name_is_refused),
        TLS_TEST(test_a_certificate_of_an_unknown_ca_is_refused),
        TLS_TEST(test_a_ca_file_without_certificates_trusts_nobody),
        TLS_TEST(test_an_expired_certificate_is_refused),
        TLS_TEST(test_good_and_bad_lines_of_two_cas_do_not_mix),
        TLS_TEST(test_a_server_without_tls_is_refused),
        TLS_TEST(test_a_ca_file_that_is_not_there_is_a_wrong_configuration),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    test_ca_drop(&ca);
    test_ca_drop(&other_ca);
    return failed;
}
