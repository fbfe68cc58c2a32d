/*
 * Passwords, tokens, credentials and keys of processes that run: the five services and the console
 * with each kind of them, connected to a NATS server that wants it. None is in what they say, in
 * their arguments, environment and pages, or in what NATS stores for them.
 */
#include "mlt_test.h"

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "mlt_nats_jwt.h"
#include "nats_fixture.h"
#include "secrets.h"

#define PROGRAMS 6u
#define ASKED "QQQQQ-USDT" /* nobody has it: a command about it is refused, and so in the audit */
#define PASSWORD "pw-7f3c19a2e4d84b6f9a51"
#define TOKEN "tk-c04d2b8e17f6493aa2c5"

static const char *const programs[PROGRAMS] = { "adapter",  "dispatcher",  "conductor",
                                                "data-bus", "control-bus", "console" };

static char folder[] = "/tmp/meltica-secrets.XXXXXX";
static struct nats_server server;
static const char *store; /* of the server, its own */

static const char *in_folder(const char *name)
{
    return secrets_path(folder, name);
}

static void write_file(const char *name, const char *text)
{
    secrets_write(in_folder(name), text);
}

/* ---- programs ---- */

/* How they connect. */
struct way {
    const char *flag, *file, *tool_flag;
    bool user;   /* with the name of each one */
    bool stores; /* the server has JetStream */
};

static void start(struct command *c, unsigned i, const struct way *way)
{
    char program[32], table[512];
    const char *source = getenv("MELTICA_SOURCE_DIR");
    assert_non_null(source);
    (void)snprintf(program, sizeof program, "meltica-%s", programs[i]);
    (void)snprintf(table, sizeof table, "%s/services/dispatcher/dispatch.json", source);
    const struct {
        const char *flag, *value;
    } flags[] = {
        { "--nats-url", server.url },
        { way->flag, way->file },
        { "--nats-user", way->user ? program : NULL },
        { "--http-host", "127.0.0.1" },
        { "--http-port", "0" },
        /* Nobody is there. */
        { "--ws-url", i == 0 ? "ws://127.0.0.1:1" : NULL },
        { "--rest-url", i == 0 ? "http://127.0.0.1:1" : NULL },
        { "--table", i == 1 ? table : NULL },
        { "--web-dir", i == 5 ? in_folder("web") : NULL },
    };
    const char *words[COMMAND_ARGUMENTS_MAX] = { NULL };
    size_t used = 0;
    for (size_t k = 0; k < sizeof flags / sizeof flags[0]; k++) {
        if (flags[k].value != NULL) {
            words[used++] = flags[k].flag;
            words[used++] = flags[k].value;
        }
    }
    command_start_program(c, program, words);
}

static void look_at_page(unsigned port, const char *path, const char *wanted)
{
    struct mlt_buf page;
    mlt_buf_init(&page, SECRETS_BYTES_MAX);
    secrets_get_page(port, path, &page);
    if (!secrets_holds(&page, wanted)) {
        fail_msg("%s of the console: %.*s", path, (int)page.len,
                 page.len > 0 ? (const char *)page.data : "");
    }
    secrets_look(&page, path);
    mlt_buf_fini(&page);
}

/* The command line tool as the principal desk: what it asks is stored. */
static void ask(const struct way *way)
{
    const char *const words[] = { "sub",
                                  "TRADE",
                                  ASKED,
                                  "--nats-url",
                                  server.url,
                                  "--json",
                                  way->tool_flag,
                                  way->file,
                                  "--as",
                                  "desk",
                                  way->user ? "--user" : NULL,
                                  "desk",
                                  NULL };
    struct command c;
    command_start(&c, words, NULL);
    assert_int_not_equal(command_end(&c), -1);
    if (!secrets_holds(&c.out_text, "REJECTED")) {
        fail_msg("meltica sub says: %s%s", command_out(&c), command_err(&c));
    }
    secrets_look(&c.out_text, "meltica sub");
    secrets_look(&c.err_text, "meltica sub");
    command_free(&c);
}

/* All six at once, for as long as it takes them to have connected and been looked at. */
static void look_at_all(const struct way *way)
{
    struct command commands[PROGRAMS];
    for (unsigned i = 0; i < PROGRAMS; i++) {
        start(&commands[i], i, way);
    }
    for (unsigned i = 0; i < PROGRAMS; i++) {
        struct command *c = &commands[i];
        if (!command_wait_said(c, "\"event\":\"listening\"") ||
            !command_wait_said(c, "\"event\":\"micro_registered\"")) {
            fail_msg("%s does not work with %s: %.*s", programs[i], way->flag, (int)c->err_text.len,
                     (const char *)c->err_text.data);
        }
        assert_true(secrets_holds(&c->err_text, "\"event\":\"bus_connected\""));
        secrets_look_at_process(c->pid);
        secrets_look_at_pages(secrets_port_said(&c->err_text));
    }
    const unsigned console = secrets_port_said(&commands[5].err_text);
    look_at_page(console, "/", "<html>");
    look_at_page(console, "/config.json", "nats_ws");
    if (way->stores) {
        ask(way);
    }
    for (unsigned i = 0; i < PROGRAMS; i++) {
        struct command *c = &commands[i];
        assert_int_equal(kill(c->pid, SIGTERM), 0);
        assert_int_equal(command_end(c), 0);
        secrets_look(&c->err_text, programs[i]);
        secrets_look(&c->out_text, programs[i]);
        command_free(c);
    }
}

/* ---- a server that stores ---- */

static void start_server(const char *name, const char *users)
{
    static char path[160];
    (void)snprintf(path, sizeof path, "%s/store-%s", folder, name);
    store = path;
    struct mlt_buf config;
    mlt_buf_init(&config, 1u << 20);
    assert_int_equal(mlt_buf_printf(&config, "%s\njetstream { store_dir: \"%s\" }\n", users, store),
                     MLT_OK);
    assert_int_equal(mlt_buf_append_byte(&config, '\0'), MLT_OK);
    nats_server_init(&server, (const char *)config.data);
    mlt_buf_fini(&config);
}

static void end_server(void)
{
    print_message("%zu bytes stored\n", secrets_look_at_folder(store, ASKED));
    nats_server_fini(&server);
}

/* What nats-auth prints for all six with the password; the caller's to free. */
static char *make_users(void)
{
    char command[2048];
    const char *build = getenv("MELTICA_BINARY_DIR");
    char *text = calloc(1, 131072);
    assert_non_null(text);
    assert_non_null(build);
    int len = snprintf(command, sizeof command, "%s/bin/meltica nats-auth --cost 4 --user desk=%s",
                       build, in_folder("password"));
    for (unsigned i = 0; i < PROGRAMS; i++) {
        len += snprintf(command + len, sizeof command - (size_t)len, " --service-user %s=%s",
                        programs[i], in_folder("password"));
    }
    FILE *from = popen(command, "re");
    assert_non_null(from);
    assert_true(fread(text, 1, 131071, from) > 1000);
    assert_int_equal(pclose(from), 0);
    return text;
}

/* ---- tests ---- */

static void test_a_password_is_not_seen(void **state)
{
    (void)state;
    char *users = make_users();
    start_server("password", users);
    free(users);
    look_at_all(&(struct way){ "--nats-password-file", in_folder("password"), "--password-file",
                               true, true });
    end_server();
}

static void test_a_token_is_not_seen(void **state)
{
    (void)state;
    start_server("token", "authorization { token: \"" TOKEN "\" }");
    look_at_all(
        &(struct way){ "--nats-token-file", in_folder("token"), "--token-file", false, true });
    end_server();
}

static void test_the_seed_of_a_key_is_not_seen(void **state)
{
    static struct mlt_nats_key key;
    char users[256];
    (void)state;
    mlt_nats_key_make(&key, 'U');
    secrets_add(key.seed);
    write_file("seed", key.seed);
    (void)snprintf(users, sizeof users, "authorization { users: [ { nkey: \"%s\" } ] }",
                   key.public_text);
    start_server("key", users);
    look_at_all(&(struct way){ "--nats-nkey-file", in_folder("seed"), "--nkey", false, true });
    end_server();
    mlt_nats_key_fini(&key); /* not its text, which is looked for on */
}

/* Such an account has no JetStream here: nothing is stored. */
static void test_credentials_are_not_seen(void **state)
{
    static char operator_jwt[MLT_JWT_BYTES_MAX], account_jwt[MLT_JWT_BYTES_MAX],
        user_jwt[MLT_JWT_BYTES_MAX], config[3 * MLT_JWT_BYTES_MAX];
    static struct mlt_nats_key op, account, user;
    (void)state;
    mlt_nats_key_make(&op, 'O');
    mlt_nats_key_make(&account, 'A');
    mlt_nats_key_make(&user, 'U');
    mlt_nats_operator_jwt(&op, operator_jwt);
    mlt_nats_account_jwt(&op, &account, account_jwt);
    mlt_nats_user_jwt(&account, &user, 0, user_jwt);
    mlt_nats_write_creds(in_folder("creds"), user_jwt, &user);
    secrets_add(user_jwt);
    secrets_add(user.seed);
    (void)snprintf(config, sizeof config,
                   "operator: \"%s\"\nresolver: MEMORY\nresolver_preload: { %s: \"%s\" }\n",
                   operator_jwt, account.public_text, account_jwt);
    nats_server_init(&server, config);
    look_at_all(&(struct way){ "--nats-creds-file", in_folder("creds"), "--creds", false, false });
    nats_server_fini(&server);
    mlt_nats_key_fini(&op);
    mlt_nats_key_fini(&account);
    mlt_nats_key_fini(&user);
}

static int begin(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(mkdir(in_folder("web"), 0700), 0);
    write_file("web/index.html", "<html></html>");
    write_file("password", PASSWORD);
    write_file("token", TOKEN);
    secrets_add(PASSWORD);
    secrets_add(TOKEN);
    return 0;
}

static int drop(const char *path, const struct stat *about, int kind, struct FTW *at)
{
    (void)about, (void)kind, (void)at;
    return remove(path);
}

static int end(void **state)
{
    (void)state;
    return nftw(folder, drop, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_password_is_not_seen),
        cmocka_unit_test(test_a_token_is_not_seen),
        cmocka_unit_test(test_the_seed_of_a_key_is_not_seen),
        cmocka_unit_test(test_credentials_are_not_seen),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
