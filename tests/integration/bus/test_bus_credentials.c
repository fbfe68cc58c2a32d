/* Files with credentials, as an operator may mix them up: refused before a byte of them leaves, in
 * words that name the file. */
#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "connection.h"
#include "meltica/bus/bus.h"
#include "mlt_nats_jwt.h"

static char folder[] = "/tmp/meltica-creds.XXXXXX";
static struct mlt_nats_key account, user;
static char path[128];

static const char *write_text(const char *text)
{
    FILE *to = fopen(path, "we");
    assert_non_null(to);
    assert_true(fputs(text, to) >= 0);
    assert_int_equal(fclose(to), 0);
    return path;
}

/* Refused by both kinds of connection, in these words, and with nothing of what is in it. */
static void assert_refused(const struct mlt_bus_options *options, const char *words)
{
    static const enum mlt_bus_kind kinds[] = { MLT_BUS_DATA, MLT_BUS_CONTROL };
    for (size_t i = 0; i < 2; i++) {
        struct mlt_bus *bus = NULL;
        struct mlt_error err = MLT_ERROR_INIT;
        struct mlt_bus_options of_kind = *options;
        of_kind.kind = kinds[i];
        of_kind.url = "nats://127.0.0.1:1";
        assert_int_equal(mlt_bus_connect(&of_kind, &bus, &err), MLT_E_CONFIG);
        if (strstr(err.text, words) == NULL || strstr(err.text, path) == NULL) {
            fail_msg("\"%s\" does not say \"%s\" of %s", err.text, words, path);
        }
        assert_null(strstr(err.text, user.seed + 4));
    }
}

static void assert_why(const struct mlt_bus_options *options, natsStatus s, const char *detail,
                       const char *words)
{
    struct mlt_bus bus = { .name = NULL };
    char why[BUS_REASON_BYTES_MAX];
    assert_true(mlt_bus_names_take(&bus, options));
    mlt_bus_why(&bus, s, detail, why, sizeof why);
    mlt_bus_names_drop(&bus);
    if (strstr(why, words) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", why, words);
    }
}

static void test_a_credentials_file_is_taken(void **state)
{
    (void)state;
    char jwt[MLT_JWT_BYTES_MAX];
    struct mlt_error err = MLT_ERROR_INIT;
    int64_t end_s = -1;
    mlt_nats_user_jwt(&account, &user, 0, jwt);
    mlt_nats_write_creds(path, jwt, &user);
    assert_int_equal(mlt_bus_creds_check(path, &end_s, &err), MLT_OK);
    assert_int_equal(end_s, 0);
    mlt_nats_user_jwt(&account, &user, 1785000000, jwt);
    mlt_nats_write_creds(path, jwt, &user);
    assert_int_equal(mlt_bus_creds_check(path, &end_s, &err), MLT_OK);
    assert_int_equal(end_s, 1785000000);
    /* Nobody is there, which is no reason to refuse the file. */
    struct mlt_bus *bus = NULL;
    const struct mlt_bus_options options = { .kind = MLT_BUS_CONTROL,
                                             .url = "nats://127.0.0.1:1",
                                             .creds_file = path };
    assert_int_equal(mlt_bus_connect(&options, &bus, &err), MLT_OK);
    mlt_bus_destroy(bus, 0);
}

/* nats.c would send each of these to the server, whole, as a JWT. */
static void test_another_secret_is_not_sent_as_a_jwt(void **state)
{
    (void)state;
    static const char key[] = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n"
                              "-----END PRIVATE KEY-----\n";
    char jwt[MLT_JWT_BYTES_MAX], text[2 * MLT_JWT_BYTES_MAX];
    const struct mlt_bus_options options = { .creds_file = path };
    (void)write_text(user.seed);
    assert_refused(&options, "no JWT of a user");
    (void)write_text("s3cret\n");
    assert_refused(&options, "no JWT of a user");
    (void)write_text(key);
    assert_refused(&options, "no JWT of a user");
    mlt_nats_user_jwt(&account, &user, 0, jwt);
    (void)write_text(jwt); /* without its mark */
    assert_refused(&options, "no JWT of a user");
    (void)snprintf(text, sizeof text, "-----BEGIN NATS USER JWT-----\n%s\n------END", user.seed);
    (void)write_text(text);
    assert_refused(&options, "no JWT of a user");
    (void)snprintf(text, sizeof text, "-----BEGIN NATS USER JWT-----\n%s\n------END", jwt);
    (void)write_text(text);
    assert_refused(&options, "no seed of a user");
    mlt_nats_write_creds(path, jwt, &account); /* its seed is no user's */
    assert_refused(&options, "no seed of a user");
    (void)write_text("");
    assert_refused(&options, "empty");
    assert_int_equal(unlink(path), 0);
    assert_refused(&options, "cannot open");
}

/* As nats.c asks at each connection: of what is there then, and never of anything else. */
static void test_what_nats_asks_for_is_of_a_good_file_only(void **state)
{
    (void)state;
    char jwt[MLT_JWT_BYTES_MAX], *got = NULL, *error = NULL;
    unsigned char *signature = NULL;
    int len = 0;
    mlt_nats_user_jwt(&account, &user, 0, jwt);
    mlt_nats_write_creds(path, jwt, &user);
    assert_int_equal(mlt_bus_creds_jwt(&got, &error, path), NATS_OK);
    assert_string_equal(got, jwt);
    free(got);
    assert_int_equal(mlt_bus_creds_sign(&error, &signature, &len, "nonce", path), NATS_OK);
    assert_int_equal(len, 64);
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(digest, NULL, NULL, NULL, user.key), 1);
    assert_int_equal(EVP_DigestVerify(digest, signature, 64, (const uint8_t *)"nonce", 5), 1);
    EVP_MD_CTX_free(digest);
    free(signature);
    (void)write_text(user.seed);
    assert_int_not_equal(mlt_bus_creds_jwt(&got, &error, path), NATS_OK);
    assert_null(got);
    assert_int_not_equal(mlt_bus_creds_sign(&error, &signature, &len, "nonce", path), NATS_OK);
    assert_null(error);
    const struct mlt_bus_options options = { .creds_file = path };
    assert_why(&options, NATS_ILLEGAL_STATE, "x", "no JWT of a user");
}

static void test_a_file_of_tls_is_named(void **state)
{
    (void)state;
    (void)write_text("no certificate\n");
    struct mlt_bus_options options = { .tls_ca_file = path };
    assert_refused(&options, "TLS files");
    options = (struct mlt_bus_options){ .tls_cert_file = path, .tls_key_file = path };
    assert_refused(&options, "TLS files");
    options = (struct mlt_bus_options){ .nkey_seed_file = path };
    assert_refused(&options, "no NKey seed of a user");
}

static void test_who_it_is_names_files(void **state)
{
    (void)state;
    char text[MLT_BUS_SELF_BYTES_MAX];
    const struct {
        struct mlt_bus_options options;
        const char *words;
    } all[] = {
        { { .creds_file = "/c" }, "the credentials of /c" },
        { { .nkey_seed_file = "/n" }, "the NKey of /n" },
        { { .token_file = "/t" }, "the token of /t" },
        { { .user = "me", .password_file = "/p" }, "the user me with the password of /p" },
        { { .url = "nats://me:word@host" }, "the user of nats_url" },
        { { .url = "nats://host" }, "a client without a user (no credentials are configured)" },
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        mlt_bus_self(&all[i].options, text);
        assert_string_equal(text, all[i].words);
    }
}

static void test_why_there_is_no_connection_is_said(void **state)
{
    (void)state;
    char jwt[MLT_JWT_BYTES_MAX];
    struct mlt_bus bus = { .name = NULL };
    char why[BUS_REASON_BYTES_MAX];
    const struct mlt_bus_options key = { .nkey_seed_file = "/n" };
    const struct mlt_bus_options tls = { .url = "tls://h", .tls_ca_file = "/ca" };
    const struct mlt_bus_options both = { .url = "tls://h", .tls_cert_file = "/cert" };
    const struct mlt_bus_options creds = { .creds_file = path };
    const struct mlt_bus_options plain = { .url = "nats://me:word@h" };
    assert_why(&key, NATS_CONNECTION_AUTH_FAILED, "Authorization Violation",
               "NATS refuses the NKey of /n (Authorization Violation)");
    assert_why(&key, NATS_CONNECTION_AUTH_FAILED, NULL, "NATS refuses the NKey of /n (");
    assert_why(&tls, NATS_SSL_ERROR, "certificate is old", "checked against /ca: certificate is");
    assert_why(&both, NATS_SSL_ERROR, "x", "checked against the authorities of the system: x");
    assert_why(&both, NATS_IO_ERROR, NULL, "does NATS take the certificate of this client (/cert)");
    assert_why(&tls, NATS_CONNECTION_CLOSED, NULL, "(tls_cert_file is not set)");
    mlt_nats_user_jwt(&account, &user, 1700000000, jwt);
    mlt_nats_write_creds(path, jwt, &user);
    assert_why(&creds, NATS_CONNECTION_AUTH_FAILED, "", "; they ended at 2023-11-14T22:13:20Z (");
    mlt_nats_user_jwt(&account, &user, 4000000000, jwt);
    mlt_nats_write_creds(path, jwt, &user);
    assert_true(mlt_bus_names_take(&bus, &creds));
    mlt_bus_why(&bus, NATS_CONNECTION_AUTH_FAILED, "", why, sizeof why);
    assert_null(strstr(why, "ended"));
    mlt_bus_names_drop(&bus);
    /* Other words of nats.c may have the URL in them. */
    assert_true(mlt_bus_names_take(&bus, &plain));
    static const natsStatus others[] = { NATS_ERR, NATS_IO_ERROR, NATS_NO_SERVER, NATS_TIMEOUT,
                                         NATS_INVALID_ARG };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        mlt_bus_why(&bus, others[i], "cannot reach nats://me:word@h", why, sizeof why);
        assert_string_equal(why, natsStatus_GetText(others[i]));
    }
    mlt_bus_names_drop(&bus);
}

static int begin(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/secret", folder);
    mlt_nats_key_make(&account, 'A');
    mlt_nats_key_make(&user, 'U');
    return 0;
}

static int end(void **state)
{
    (void)state;
    mlt_nats_key_fini(&user);
    mlt_nats_key_fini(&account);
    (void)unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_credentials_file_is_taken),
        cmocka_unit_test(test_another_secret_is_not_sent_as_a_jwt),
        cmocka_unit_test(test_what_nats_asks_for_is_of_a_good_file_only),
        cmocka_unit_test(test_a_file_of_tls_is_named),
        cmocka_unit_test(test_who_it_is_names_files),
        cmocka_unit_test(test_why_there_is_no_connection_is_said),
    };
    return cmocka_run_group_tests_name("bus_credentials", tests, begin, end);
}
