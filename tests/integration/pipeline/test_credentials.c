/*
 * TLS both ways and keys: a NATS server that wants certificates of its clients and has the users
 * that `meltica nats-auth` prints, all five services with their own keys; then each service with
 * what is wrong: authority, name of the host, certificate, key, user of another service,
 * credentials that ended. It says what is wrong and whose, and no secret is seen anywhere.
 */
#include "mlt_test.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "meltica/base/clock.h"
#include "mlt_consumer.h"
#include "mlt_nats_jwt.h"
#include "mlt_stack.h"
#include "nats_fixture.h"
#include "secrets.h"

#define AGAIN_MAX 10u
#define SERVICES 5u

static const char *const services[SERVICES] = { "adapter", "dispatcher", "conductor", "data-bus",
                                                "control-bus" };

static char folder[] = "/tmp/meltica-credentials.XXXXXX";
static char logs[128];
static struct mlt_stack stack;
static struct mlt_consumer consumer;
static struct mlt_nats_key keys[SERVICES], desk, stranger;
static char *users, *users_without_data_bus;
static struct mlt_buf heard; /* what all services of these tests said */

static const char *in_folder(const char *name)
{
    return secrets_path(folder, name);
}

static void write_file(const char *name, const char *text)
{
    secrets_write(in_folder(name), text);
}

/* ---- what the server says ---- */

struct wanted_log {
    const char *text;
};

static bool server_said(void *ctx)
{
    const struct wanted_log *w = ctx;
    struct mlt_buf log;
    char path[192];
    (void)snprintf(path, sizeof path, "%s/nats.log", logs);
    mlt_buf_init(&log, SECRETS_BYTES_MAX);
    secrets_append_file(path, &log);
    const bool said = secrets_holds(&log, w->text);
    mlt_buf_fini(&log);
    return said;
}

static void expect_server_says(const char *text)
{
    struct wanted_log w = { text };
    if (!mlt_consumer_wait(&consumer, server_said, &w, 10)) {
        fail_msg("the log of nats-server does not say: %s", text);
    }
}

/* ---- a service by itself ---- */

/* How one connects; NULL: not given. */
struct way {
    const char *url, *ca, *cert, *key, *seed, *creds;
};

static struct way good_way(unsigned service)
{
    return (struct way){ .url = stack.nats_url,
                         .ca = in_folder("ca.pem"),
                         .cert = in_folder("client.pem"),
                         .key = in_folder("client.key"),
                         .seed = in_folder(services[service]) };
}

static void start_service(struct command *c, unsigned service, const struct way *way)
{
    const struct {
        const char *flag, *value;
    } flags[] = {
        { "--nats-url", way->url },
        { "--tls-ca-file", way->ca },
        { "--tls-cert-file", way->cert },
        { "--tls-key-file", way->key },
        { "--nats-nkey-file", way->seed },
        { "--nats-creds-file", way->creds },
        { "--http-host", "127.0.0.1" },
        { "--http-port", "0" },
        { "--table", service == 1 ? stack.table : NULL },
        { "--ws-url", service == 0 ? stack.exchange_ws : NULL },
        { "--rest-url", service == 0 ? stack.exchange_http : NULL },
    };
    const char *words[COMMAND_ARGUMENTS_MAX] = { NULL };
    char program[32];
    size_t used = 0;
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (flags[i].value != NULL) {
            words[used++] = flags[i].flag;
            words[used++] = flags[i].value;
        }
    }
    (void)snprintf(program, sizeof program, "meltica-%s", services[service]);
    command_start_program(c, program, words);
}

static int end_service(struct command *c)
{
    const int status = command_end(c);
    const char *text = command_err(c);
    assert_int_equal(mlt_buf_append_string(&heard, text), MLT_OK);
    return status;
}

/* Ends by itself, with that status and these words. */
static void expect_end(unsigned service, const struct way *way, int status, const char *words,
                       const char *name)
{
    struct command c;
    start_service(&c, service, way);
    const int got = end_service(&c);
    const char *said = command_err(&c);
    if (got != status || strstr(said, words) == NULL || strstr(said, name) == NULL) {
        fail_msg("%s ended with %d and not %d, or does not say \"%s\" and \"%s\":\n%s",
                 services[service], got, status, words, name, said);
    }
    command_free(&c);
}

/* One that runs without being of use. */
struct lame {
    struct command command;
    unsigned port;
    const char *words; /* wanted of the page */
    const char *path;
    struct mlt_buf page;
};

static bool page_says(void *ctx)
{
    struct lame *l = ctx;
    secrets_get_page(l->port, l->path, &l->page);
    return secrets_holds(&l->page, l->words);
}

static void expect_page(struct lame *l, const char *path, const char *words)
{
    l->path = path;
    l->words = words;
    if (!mlt_consumer_wait(&consumer, page_says, l, 15)) {
        fail_msg("%s does not say \"%s\":\n%.*s", path, words, (int)l->page.len,
                 l->page.len > 0 ? (const char *)l->page.data : "");
    }
}

static void lame_start(struct lame *l, unsigned service, const struct way *way)
{
    start_service(&l->command, service, way);
    mlt_buf_init(&l->page, SECRETS_BYTES_MAX);
    assert_true(command_wait_said(&l->command, "\"event\":\"listening\""));
    assert_true(command_wait_said(&l->command, "\"port\":"));
    l->port = secrets_port_said(&l->command.err_text);
}

static void lame_stop(struct lame *l)
{
    assert_int_equal(kill(l->command.pid, SIGTERM), 0);
    (void)end_service(&l->command);
    command_free(&l->command);
    mlt_buf_fini(&l->page);
}

/* ---- tests ---- */

static bool has_trades(void *ctx)
{
    (void)ctx;
    return consumer.counts[MLT_EVENT_TRADE] > 20 && consumer.counts[MLT_EVENT_BOOK_DELTA] > 20;
}

static bool all_ready(void *ctx)
{
    struct mlt_buf body;
    bool ready = true;
    (void)ctx;
    mlt_buf_init(&body, 1u << 20);
    for (unsigned i = 0; i < SERVICES; i++) {
        ready = ready && mlt_stack_try_get(&stack, services[i], "/readyz", &body);
    }
    mlt_buf_fini(&body);
    return ready;
}

static void test_all_five_work_with_their_own_keys_over_tls(void **state)
{
    static const char body[] =
        "{\"consumer\":\"c\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"]}";
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_tally_totals totals;
    struct mlt_buf answer;
    (void)state;
    assert_true(mlt_consumer_wait(&consumer, has_trades, NULL, 30));
    assert_true(mlt_consumer_wait(&consumer, all_ready, NULL, 20));
    mlt_buf_init(&answer, 1u << 20);
    for (unsigned i = 0; i < AGAIN_MAX && !secrets_holds(&answer, "\"CONFIRMED\""); i++) {
        mlt_buf_clear(&answer); /* on a busy machine it may be stalled, or PENDING */
        const enum mlt_status status =
            mlt_bus_request(consumer.bus, "meltica.control.as.desk.subscribe",
                            mlt_slice_of_string(body), 5 * MLT_NS_PER_S, &answer, &err);
        assert_true(status == MLT_OK || status == MLT_E_PROTOCOL); /* what was answered */
    }
    if (!secrets_holds(&answer, "\"CONFIRMED\"")) {
        fail_msg("%.*s", (int)answer.len, (const char *)answer.data);
    }
    mlt_buf_fini(&answer);
    mlt_consumer_totals(&consumer, &totals);
    assert_int_equal(totals.gaps + totals.duplicates + totals.sequence_holes + totals.lost, 0);
    /* Nothing that they did was refused. */
    struct wanted_log w = { " Violation - " };
    assert_false(server_said(&w));
}

static void test_a_server_that_is_not_the_right_one_is_refused(void **state)
{
    char by_number[64];
    (void)state;
    (void)snprintf(by_number, sizeof by_number, "tls://127.0.0.1%s", strrchr(stack.nats_url, ':'));
    for (unsigned i = 0; i < SERVICES; i++) {
        struct way way = good_way(i);
        way.ca = in_folder("other.pem");
        expect_end(i, &way, 2, "TLS with NATS, checked against", "other.pem");
        way = good_way(i);
        way.url = by_number; /* its certificate says localhost */
        expect_end(i, &way, 2, "TLS with NATS, checked against", "mismatch");
        way.ca = way.cert = way.key = NULL;
        way.url = stack.nats_url;
        expect_end(i, &way, 2, "the authorities of the system", "issuer");
    }
    expect_server_says("TLS handshake error");
}

static void test_a_key_that_nobody_knows_is_refused(void **state)
{
    char words[128];
    (void)state;
    for (unsigned i = 0; i < SERVICES; i++) {
        struct way way = good_way(i);
        way.seed = in_folder("stranger");
        expect_end(i, &way, 1, "NATS refuses the NKey of", in_folder("stranger"));
        way.seed = NULL;
        expect_end(i, &way, 1, "NATS refuses a client without a user", "Authorization Violation");
    }
    (void)snprintf(words, sizeof words, "authentication error - Nkey \"%s\"", stranger.public_text);
    expect_server_says(words);
}

/* With TLS 1.3 it hears of that behind its own part, as an end of the connection. */
static void test_a_client_without_the_right_certificate_is_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SERVICES; i++) {
        struct way way = good_way(i);
        way.cert = way.key = NULL;
        expect_end(i, &way, 1, "does NATS take the certificate", "tls_cert_file is not set");
        way.cert = in_folder("rogue.pem");
        way.key = in_folder("rogue.key");
        expect_end(i, &way, 1, "does NATS take the certificate", "rogue.pem");
        assert_true(secrets_holds(&heard, "\"event\":\"nats_closed\""));
    }
    expect_server_says("client didn't provide a certificate");
}

/* Service i with the user of another one. */
static void expect_no_use(unsigned i, unsigned other)
{
    char words[128];
    struct lame l = { .port = 0 };
    struct way way = good_way(i);
    way.seed = in_folder(services[other]);
    lame_start(&l, i, &way);
    expect_page(&l, "/readyz", "nats: Permissions Violation for Subscription to");
    expect_page(&l, "/metrics", "meltica_ready 0");
    assert_false(secrets_holds(&l.page, "meltica_nats_errors_total{connection=\"control\"} 0\n") &&
                 secrets_holds(&l.page, "meltica_nats_errors_total{connection=\"data\"} 0\n"));
    assert_true(command_wait_said(&l.command, "Permissions Violation"));
    lame_stop(&l);
    (void)snprintf(words, sizeof words, "Subscription Violation - Nkey \"%s\"",
                   keys[other].public_text);
    expect_server_says(words);
}

static void test_the_user_of_another_service_is_of_no_use(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SERVICES; i++) {
        for (unsigned other = 0; other < SERVICES; other++) {
            if (other != i) {
                expect_no_use(i, other);
            }
        }
    }
    /* Whoever was disturbed is well. */
    assert_true(mlt_consumer_wait(&consumer, all_ready, NULL, 20));
}

/* ---- JWTs: an operator, its account, users whose time is over ---- */

static void test_credentials_that_ended_are_refused(void **state)
{
    static char operator_jwt[MLT_JWT_BYTES_MAX], account_jwt[MLT_JWT_BYTES_MAX],
        user_jwt[3][MLT_JWT_BYTES_MAX], config[3 * MLT_JWT_BYTES_MAX];
    struct mlt_nats_key op, account, user;
    struct nats_server server;
    struct command c;
    (void)state;
    mlt_nats_key_make(&op, 'O');
    mlt_nats_key_make(&account, 'A');
    mlt_nats_key_make(&user, 'U');
    mlt_nats_operator_jwt(&op, operator_jwt);
    mlt_nats_account_jwt(&op, &account, account_jwt);
    (void)snprintf(config, sizeof config,
                   "operator: \"%s\"\nresolver: MEMORY\nresolver_preload: { %s: \"%s\" }\n",
                   operator_jwt, account.public_text, account_jwt);
    nats_server_init(&server, config);
    mlt_nats_user_jwt(&account, &user, time(NULL) - 60, user_jwt[0]);
    mlt_nats_user_jwt(&account, &user, time(NULL) + 600, user_jwt[1]);
    mlt_nats_write_creds(in_folder("ended"), user_jwt[0], &user);
    mlt_nats_write_creds(in_folder("good"), user_jwt[1], &user);
    for (unsigned i = 0; i < SERVICES; i++) {
        const struct way way = { .url = server.url, .creds = in_folder("ended") };
        expect_end(i, &way, 1, "NATS refuses the credentials of", "ended; they ended at 20");
        nats_server_wait_said(&server, "authentication error");
    }
    const struct way good = { .url = server.url, .creds = in_folder("good") };
    start_service(&c, 3, &good);
    assert_true(command_wait_said(&c, "\"event\":\"bus_connected\""));
    assert_int_equal(kill(c.pid, SIGTERM), 0);
    (void)end_service(&c);
    command_free(&c);
    /* While it runs: NATS ends the connection, and the service ends for whoever starts it again. */
    mlt_nats_user_jwt(&account, &user, time(NULL) + 10, user_jwt[2]);
    mlt_nats_write_creds(in_folder("short"), user_jwt[2], &user);
    const struct way way = { .url = server.url, .creds = in_folder("short") };
    start_service(&c, 3, &way);
    assert_true(command_wait_said(&c, "\"event\":\"bus_connected\""));
    assert_int_equal(end_service(&c), 1);
    assert_non_null(strstr(command_err(&c), "\"event\":\"nats_closed\""));
    assert_non_null(strstr(command_err(&c), "NATS refuses the credentials of"));
    command_free(&c);
    /* A server without TLS is no server for whom wants it. */
    char tls[64];
    (void)snprintf(tls, sizeof tls, "tls://localhost:%d", server.port);
    const struct way plain = { .url = tls, .ca = in_folder("ca.pem"), .creds = in_folder("good") };
    expect_end(3, &plain, 2, "start_failed", "ecure");
    for (unsigned i = 0; i < 3; i++) {
        assert_false(secrets_holds(&heard, user_jwt[i]));
    }
    assert_false(secrets_holds(&heard, user.seed));
    nats_server_fini(&server);
    mlt_nats_key_fini(&op);
    mlt_nats_key_fini(&account);
    mlt_nats_key_fini(&user);
}

/* ---- what is seen of secrets ---- */

static unsigned port_of(const char *name)
{
    unsigned long port = 0;
    for (size_t i = 0; i < MLT_STACK_PROCESSES; i++) {
        if (strcmp(stack.processes[i].name, name) == 0) {
            port = strtoul(stack.processes[i].port, NULL, 10);
        }
    }
    assert_true(port > 0);
    return (unsigned)port;
}

static void test_no_secret_is_seen_anywhere(void **state)
{
    (void)state;
    assert_true(secrets_count() >= SERVICES + 3);
    secrets_look(&heard, "what the services said");
    for (unsigned i = 0; i < SERVICES; i++) {
        secrets_look_at_process(mlt_stack_pid(&stack, services[i]));
        secrets_look_at_pages(port_of(services[i]));
    }
    /* Logs of NATS and of all that runs; streams and buckets: commands, audit, journal. */
    const size_t looked = secrets_look_at_folder(logs, "\"event\":\"bus_connected\"") +
                          secrets_look_at_folder(stack.folder, "SYM0001-USDT");
    print_message("%zu bytes looked at\n", looked);
    assert_true(looked > 10000);
}

/* ---- a user that is taken away ---- */

static bool data_bus_is_gone(void *ctx)
{
    (void)ctx;
    return mlt_stack_gone(&stack, "data-bus");
}

static void test_a_user_that_is_taken_away_ends_its_service_alone(void **state)
{
    struct mlt_buf body;
    (void)state;
    mlt_stack_reload_nats(&stack, users_without_data_bus);
    assert_true(mlt_consumer_wait(&consumer, data_bus_is_gone, NULL, 20));
    assert_int_equal(mlt_stack_terminate(&stack, "data-bus"), 1);
    mlt_buf_init(&body, 1u << 20);
    mlt_stack_get(&stack, "conductor", "/readyz", &body);
    mlt_stack_get(&stack, "adapter", "/readyz", &body);
    /* And back: nothing but its start is needed. */
    mlt_stack_reload_nats(&stack, users);
    mlt_stack_run(&stack, "data-bus");
    assert_true(mlt_consumer_wait(&consumer, all_ready, NULL, 20));
    mlt_buf_fini(&body);
}

/* ---- set-up ---- */

static void run(const char *command)
{
    FILE *from = popen(command, "re");
    assert_non_null(from);
    if (pclose(from) != 0) {
        fail_msg("failed: %s", command);
    }
}

/* A certificate; by the authority `by`, or by itself. */
static void certify(const char *name, const char *by)
{
    char command[1024], signer[256] = "";
    if (by != NULL) {
        (void)snprintf(signer, sizeof signer, "-CA %s/%s.pem -CAkey %s/%s.key", folder, by, folder,
                       by);
    }
    (void)snprintf(command, sizeof command,
                   "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
                   "-days 2 -subj /CN=%s -addext subjectAltName=DNS:%s -keyout %s/%s.key "
                   "-out %s/%s.pem %s 2>/dev/null",
                   name, strcmp(name, "server") == 0 ? "localhost" : name, folder, name, folder,
                   name, signer);
    run(command);
}

/* The block of TLS, and what nats-auth prints for these services and desk; the caller's to free. */
static char *make_users(const char *without)
{
    char command[2048];
    const char *build = getenv("MELTICA_BINARY_DIR");
    char *text = calloc(1, 131072);
    assert_non_null(text);
    int len = snprintf(command, sizeof command, "%s/bin/meltica nats-auth --nkey desk=%s",
                       build != NULL ? build : "build/dev", desk.public_text);
    for (unsigned i = 0; i < SERVICES; i++) {
        if (without == NULL || strcmp(without, services[i]) != 0) {
            len += snprintf(command + len, sizeof command - (size_t)len, " --service-nkey %s=%s",
                            services[i], keys[i].public_text);
        }
    }
    const int used = snprintf(text, 4096,
                              "tls { cert_file: \"%s/server.pem\", key_file: \"%s/server.key\", "
                              "ca_file: \"%s/ca.pem\", verify: true }\n",
                              folder, folder, folder);
    FILE *from = popen(command, "re");
    assert_non_null(from);
    assert_true(fread(text + used, 1, 131071 - (size_t)used, from) > 1000);
    assert_int_equal(pclose(from), 0);
    return text;
}

/* Of a PEM file: a line of its key. */
static const char *line_of_key(const char *name)
{
    static char lines[4][128];
    static unsigned next;
    char *line = lines[next++ % 4];
    FILE *from = fopen(in_folder(name), "re");
    assert_non_null(from);
    assert_non_null(fgets(line, sizeof lines[0], from));
    assert_non_null(fgets(line, sizeof lines[0], from));
    (void)fclose(from);
    line[strcspn(line, "\n")] = '\0';
    assert_true(strlen(line) > 20);
    return line;
}

static int begin(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(logs, sizeof logs, "%s", in_folder("logs"));
    assert_int_equal(mkdir(logs, 0700), 0);
    assert_int_equal(setenv("MELTICA_STACK_LOGS", logs, 1), 0);
    mlt_buf_init(&heard, SECRETS_BYTES_MAX);
    certify("ca", NULL);
    certify("other", NULL);
    certify("server", "ca");
    certify("client", "ca");
    certify("rogue", "other");
    mlt_nats_key_make(&desk, 'U');
    mlt_nats_key_make(&stranger, 'U');
    write_file("desk", desk.seed);
    write_file("stranger", stranger.seed);
    secrets_add(desk.seed);
    secrets_add(stranger.seed);
    secrets_add(line_of_key("client.key"));
    secrets_add(line_of_key("rogue.key"));
    for (unsigned i = 0; i < SERVICES; i++) {
        mlt_nats_key_make(&keys[i], 'U');
        write_file(services[i], keys[i].seed);
        secrets_add(keys[i].seed);
    }
    users = make_users(NULL);
    users_without_data_bus = make_users("data-bus");
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "3", "--rate", "300", "--seed", "11" },
        .control_bus = { "--auth", "required" },
        .nats_users = users,
        .nkey_folder = folder,
        .tls_folder = folder,
    };
    mlt_stack_start(&stack, &options);
    const struct mlt_bus_options as = { .url = stack.nats_url,
                                        .nkey_seed_file = in_folder("desk"),
                                        .tls_ca_file = in_folder("ca.pem"),
                                        .tls_cert_file = in_folder("client.pem"),
                                        .tls_key_file = in_folder("client.key"),
                                        .inbox_prefix = "_INBOX_desk" };
    mlt_consumer_start_as(&consumer, &as);
    mlt_stack_run_services(&stack);
    return 0;
}

static int end(void **state)
{
    static const char *const kept[] = { "ca", "other", "server", "client", "rogue" };
    (void)state;
    mlt_consumer_stop(&consumer);
    mlt_stack_stop(&stack);
    free(users);
    free(users_without_data_bus);
    mlt_buf_fini(&heard);
    mlt_nats_key_fini(&desk);
    mlt_nats_key_fini(&stranger);
    for (unsigned i = 0; i < SERVICES; i++) {
        mlt_nats_key_fini(&keys[i]);
        (void)unlink(in_folder(services[i]));
    }
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%s.pem", kept[i]);
        (void)unlink(in_folder(name));
        (void)snprintf(name, sizeof name, "%s.key", kept[i]);
        (void)unlink(in_folder(name));
    }
    static const char *const others[] = { "desk", "stranger", "ended", "good", "short" };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        (void)unlink(in_folder(others[i]));
    }
    DIR *files = opendir(logs);
    const struct dirent *entry;
    while (files != NULL && (entry = readdir(files)) != NULL) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", logs, entry->d_name);
        (void)unlink(path);
    }
    if (files != NULL) {
        (void)closedir(files);
    }
    (void)rmdir(logs);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_five_work_with_their_own_keys_over_tls),
        cmocka_unit_test(test_a_server_that_is_not_the_right_one_is_refused),
        cmocka_unit_test(test_a_key_that_nobody_knows_is_refused),
        cmocka_unit_test(test_a_client_without_the_right_certificate_is_refused),
        cmocka_unit_test(test_the_user_of_another_service_is_of_no_use),
        cmocka_unit_test(test_credentials_that_ended_are_refused),
        cmocka_unit_test(test_no_secret_is_seen_anywhere),
        cmocka_unit_test(test_a_user_that_is_taken_away_ends_its_service_alone),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, begin, end));
}
