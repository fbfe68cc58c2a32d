#include "mlt_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/rt/config.h"

struct values {
    char *nats_url, *mode, *password_file;
    int64_t partitions, offset;
    bool verbose;
};
struct more {
    char *name;
    int64_t drain_timeout_ms;
};

static const struct mlt_config_item items[] = {
    { "nats_url", MLT_CONFIG_STRING, offsetof(struct values, nats_url), "nats://127.0.0.1:4222", 0,
      0, NULL, "", false, "Where NATS is." },
    { "partitions", MLT_CONFIG_INT, offsetof(struct values, partitions), "4", 1, 64, NULL, "",
      false, "Number of partitions." },
    { "offset", MLT_CONFIG_INT, offsetof(struct values, offset), "0", 0, 0, NULL, "ns", false,
      "Any number." },
    { "mode", MLT_CONFIG_CHOICE, offsetof(struct values, mode), "app", 0, 0, "app|external", "",
      false, "Who provisions: app | external." },
    { "password_file", MLT_CONFIG_STRING, offsetof(struct values, password_file), "", 0, 0, NULL,
      "", true, "File with the password." },
    { "verbose", MLT_CONFIG_BOOL, offsetof(struct values, verbose), "off", 0, 0, NULL, "", false,
      "Say more." },
};
static const struct mlt_config_item more_items[] = {
    { "name", MLT_CONFIG_STRING, offsetof(struct more, name), "", 0, 0, NULL, "", false,
      "A name." },
    { "drain_timeout_ms", MLT_CONFIG_INT, offsetof(struct more, drain_timeout_ms), "5000", 0, 60000,
      NULL, "ms", false, "Patience at the end." },
};
#define ITEM_COUNT (sizeof items / sizeof items[0])
#define MORE_COUNT (sizeof more_items / sizeof more_items[0])

static struct values v;
static struct more m;
static enum mlt_config_origin origins[ITEM_COUNT];
static struct mlt_config_table tables[] = {
    { items, ITEM_COUNT, &v, origins },
    { more_items, MORE_COUNT, &m, NULL },
};
static struct mlt_error err;
static enum mlt_config_action action;
static char file_path[64];
static char file_flag[80];
static char file_variable[96];

#define ARGS(...) ((const char *[]){ "meltica-x", __VA_ARGS__, NULL })
#define ENV(...) ((const char *[]){ __VA_ARGS__, NULL })
#define ARGS_MAX 16

/* main's vectors are not of constants, though nobody writes to them. */
static int copy_vector(const char *const *from, char **to)
{
    int count = 0;
    while (from != NULL && from[count] != NULL) {
        count++;
    }
    assert_true(count < ARGS_MAX);
    if (count > 0) {
        memcpy(to, from, (size_t)count * sizeof *from);
    }
    to[count] = NULL;
    return count;
}

static enum mlt_status load(const char *const *arguments, const char *const *variables)
{
    char *argv[ARGS_MAX];
    char *environment[ARGS_MAX];
    const int argc = copy_vector(arguments, argv);
    (void)copy_vector(variables, environment);
    mlt_config_fini(tables, 2);
    v = (struct values){ 0 };
    m = (struct more){ 0 };
    err = (struct mlt_error)MLT_ERROR_INIT;
    return mlt_config_load(tables, 2, argc, argv, environment, &action, &err);
}

static void write_file(const char *text)
{
    FILE *file = fopen(file_path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static enum mlt_status load_file(const char *text)
{
    write_file(text);
    return load(ARGS(file_flag), NULL);
}

static void expect_error(enum mlt_status status, const char *text)
{
    assert_int_equal(status, MLT_E_CONFIG);
    assert_int_equal(err.status, MLT_E_CONFIG);
    assert_string_equal(err.text, text);
}

/* As expect_error, where the text names the file: "%" stands for its path. */
static void expect_file_error(const char *json, const char *text)
{
    char expected[512];
    const char *at = strchr(text, '%');
    assert_non_null(at);
    (void)snprintf(expected, sizeof expected, "%.*s%s%s", (int)(at - text), text, file_path,
                   at + 1);
    expect_error(load_file(json), expected);
}

static int make_file(void **state)
{
    (void)state;
    (void)snprintf(file_path, sizeof file_path, "/tmp/meltica-config-XXXXXX");
    const int fd = mkstemp(file_path);
    (void)snprintf(file_flag, sizeof file_flag, "--config=%s", file_path);
    (void)snprintf(file_variable, sizeof file_variable, "MELTICA_CONFIG=%s", file_path);
    return fd >= 0 ? close(fd) : -1;
}

static int drop_file(void **state)
{
    (void)state;
    mlt_config_fini(tables, 2);
    return unlink(file_path);
}

/* ---- values ---- */

static void test_defaults_fill_everything(void **state)
{
    (void)state;
    assert_int_equal(load(ARGS(NULL), NULL), MLT_OK);
    assert_int_equal(action, MLT_CONFIG_RUN);
    assert_string_equal(v.nats_url, "nats://127.0.0.1:4222");
    assert_int_equal(v.partitions, 4);
    assert_string_equal(v.mode, "app");
    assert_string_equal(v.password_file, "");
    assert_false(v.verbose);
    assert_string_equal(m.name, "");
    assert_int_equal(m.drain_timeout_ms, 5000);
    assert_int_equal(origins[0], MLT_CONFIG_FROM_DEFAULT);
}

/* Every subset of file, environment and flag: the strongest one present wins. */
static void test_precedence_of_every_combination(void **state)
{
    (void)state;
    for (unsigned set = 0; set < 8; set++) {
        const bool file = (set & 1) != 0;
        const bool variable = (set & 2) != 0;
        const bool flag = (set & 4) != 0;
        write_file(file ? "{\"partitions\": 11}" : "{}");
        assert_int_equal(load(ARGS(file_flag, flag ? "--partitions=33" : NULL),
                              ENV("PATH=/bin", variable ? "MELTICA_PARTITIONS=22" : NULL)),
                         MLT_OK);
        assert_int_equal(v.partitions, flag ? 33 : variable ? 22 : file ? 11 : 4);
        assert_int_equal(origins[1], flag       ? MLT_CONFIG_FROM_FLAG
                                     : variable ? MLT_CONFIG_FROM_ENVIRONMENT
                                     : file     ? MLT_CONFIG_FROM_FILE
                                                : MLT_CONFIG_FROM_DEFAULT);
    }
}

static void test_file_may_be_named_by_the_environment_and_the_flag_wins(void **state)
{
    (void)state;
    write_file(" {\"name\": \"from file\", \"verbose\": true, \"mode\": \"external\"}\n");
    assert_int_equal(load(ARGS(NULL), ENV(file_variable)), MLT_OK);
    assert_string_equal(m.name, "from file");
    assert_true(v.verbose);
    assert_string_equal(v.mode, "external");
    assert_int_equal(load(ARGS(file_flag), ENV("MELTICA_CONFIG=/no/such/file")), MLT_OK);
    assert_string_equal(m.name, "from file");
    assert_int_equal(load(ARGS(NULL), ENV("MELTICA_CONFIG=")), MLT_OK);
    assert_string_equal(m.name, "");
}

static void test_flags_in_both_forms_and_the_last_counts(void **state)
{
    (void)state;
    assert_int_equal(
        load(ARGS("--nats-url", "nats://a", "--partitions=2", "--verbose", "--offset", "-5",
                  "--drain-timeout-ms=7", "--partitions", "3", "--name=", "--password-file=a=b"),
             NULL),
        MLT_OK);
    assert_string_equal(v.nats_url, "nats://a");
    assert_int_equal(v.partitions, 3);
    assert_true(v.verbose);
    assert_int_equal(v.offset, -5);
    assert_int_equal(m.drain_timeout_ms, 7);
    assert_string_equal(m.name, "");
    assert_string_equal(v.password_file, "a=b");
    assert_int_equal(load(ARGS("--verbose", "no"), NULL), MLT_OK);
    assert_false(v.verbose);
    assert_int_equal(load(ARGS("--verbose"), NULL), MLT_OK);
    assert_true(v.verbose);
}

static void test_integers_are_exact(void **state)
{
    (void)state;
    assert_int_equal(load(ARGS("--offset=9223372036854775807"), NULL), MLT_OK);
    assert_true(v.offset == INT64_MAX);
    assert_int_equal(load(ARGS("--offset=-9223372036854775808"), NULL), MLT_OK);
    assert_true(v.offset == INT64_MIN);
    assert_int_equal(load_file("{\"offset\": 9007199254740991}"), MLT_OK);
    assert_true(v.offset == 9007199254740991);
    assert_int_equal(load_file("{\"offset\": -9007199254740991}"), MLT_OK);
    assert_int_equal(load_file("{\"offset\": 1e3}"), MLT_OK);
    assert_int_equal(v.offset, 1000);
    assert_int_equal(load(ARGS("--partitions=1"), NULL), MLT_OK);
    assert_int_equal(load(ARGS("--partitions=64"), NULL), MLT_OK);
}

static void test_booleans_in_all_words(void **state)
{
    (void)state;
    static const char *const yes[] = { "--verbose=true", "--verbose=1", "--verbose=yes",
                                       "--verbose=on", "--verbose=TRUE" };
    static const char *const no[] = { "--verbose=false", "--verbose=0", "--verbose=no",
                                      "--verbose=off", "--verbose=Off" };
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(load(ARGS(yes[i]), ENV("MELTICA_VERBOSE=no")), MLT_OK);
        assert_true(v.verbose);
        assert_int_equal(load(ARGS(no[i]), ENV("MELTICA_VERBOSE=yes")), MLT_OK);
        assert_false(v.verbose);
    }
}

/* ---- errors: key, origin and remedy ---- */

static void test_wrong_values_name_key_origin_and_remedy(void **state)
{
    (void)state;
    static const struct {
        const char *flag;
        const char *text;
    } cases[] = {
        { "--partitions=0",
          "partitions (--partitions): \"0\" is wrong; use a whole number from 1 to 64" },
        { "--partitions=65",
          "partitions (--partitions): \"65\" is wrong; use a whole number from 1 to 64" },
        { "--partitions=",
          "partitions (--partitions): \"\" is wrong; use a whole number from 1 to 64" },
        { "--partitions= 4",
          "partitions (--partitions): \" 4\" is wrong; use a whole number from 1 to 64" },
        { "--partitions=+4",
          "partitions (--partitions): \"+4\" is wrong; use a whole number from 1 to 64" },
        { "--partitions=4x",
          "partitions (--partitions): \"4x\" is wrong; use a whole number from 1 to 64" },
        { "--partitions=0x4",
          "partitions (--partitions): \"0x4\" is wrong; use a whole number from 1 to 64" },
        { "--offset=9223372036854775808",
          "offset (--offset): \"9223372036854775808\" is wrong; use a whole number (ns)" },
        { "--drain-timeout-ms=60001", "drain_timeout_ms (--drain-timeout-ms): \"60001\" is wrong; "
                                      "use a whole number from 0 to 60000 (ms)" },
        { "--verbose=maybe", "verbose (--verbose): \"maybe\" is wrong; use true or false" },
        { "--mode=ap", "mode (--mode): \"ap\" is wrong; use one of app|external" },
        { "--mode=app|external",
          "mode (--mode): \"app|external\" is wrong; use one of app|external" },
        { "--mode=", "mode (--mode): \"\" is wrong; use one of app|external" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_error(load(ARGS(cases[i].flag), NULL), cases[i].text);
    }
    expect_error(
        load(ARGS(NULL), ENV("MELTICA_PARTITIONS=many")),
        "partitions (MELTICA_PARTITIONS): \"many\" is wrong; use a whole number from 1 to 64");
    /* Also where a flag would hide it. */
    expect_error(
        load(ARGS("--partitions=3"), ENV("MELTICA_PARTITIONS=many")),
        "partitions (MELTICA_PARTITIONS): \"many\" is wrong; use a whole number from 1 to 64");
}

static void test_unknown_flags_name_the_nearest(void **state)
{
    (void)state;
    static const struct {
        const char *flag;
        const char *text;
    } cases[] = {
        { "--nats-ulr=x", "unknown flag --nats-ulr; did you mean --nats-url?" },
        { "--partition", "unknown flag --partition; did you mean --partitions?" },
        { "--nats_url=x", "unknown flag --nats_url; did you mean --nats-url?" },
        { "--confg=x", "unknown flag --confg; did you mean --config?" },
        { "--Verbose", "unknown flag --Verbose; did you mean --verbose?" },
        { "--completely-different", "unknown flag --completely-different; see --help" },
        { "-v", "argument \"-v\" belongs to no flag; use --key value (see --help)" },
        { "stray", "argument \"stray\" belongs to no flag; use --key value (see --help)" },
        { "--", "argument \"--\" belongs to no flag; use --key value (see --help)" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_error(load(ARGS(cases[i].flag), NULL), cases[i].text);
    }
}

static void test_a_flag_without_its_value_is_refused(void **state)
{
    (void)state;
    expect_error(load(ARGS("--partitions"), NULL),
                 "--partitions needs a value; use a whole number from 1 to 64");
    expect_error(load(ARGS("--partitions", "--verbose"), NULL),
                 "--partitions needs a value; use a whole number from 1 to 64");
    expect_error(load(ARGS("--config"), NULL), "--config needs a value; use the path of a file");
}

static void test_secrets_are_not_repeated_in_errors_and_output(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    assert_int_equal(load(ARGS("--password-file=/run/hidden"), NULL), MLT_OK);
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    mlt_config_print(tables, 2, to);
    assert_int_equal(fclose(to), 0);
    assert_null(strstr(text, "hidden"));
    assert_non_null(strstr(text, "password_file = ***   # --password-file\n"));
    free(text);
}

static void test_environment_tells_typing_errors_from_other_services_keys(void **state)
{
    (void)state;
    expect_error(
        load(ARGS(NULL), ENV("MELTICA_NATS_ULR=x")),
        "MELTICA_NATS_ULR (environment): unknown variable; did you mean MELTICA_NATS_URL?");
    /* A swap of neighbours is one edit, so that two of them are found. */
    expect_error(
        load(ARGS(NULL), ENV("MELTICA_NAST_ULR=x")),
        "MELTICA_NAST_ULR (environment): unknown variable; did you mean MELTICA_NATS_URL?");
    expect_error(
        load(ARGS(NULL), ENV("MELTICA_PARTITION=4")),
        "MELTICA_PARTITION (environment): unknown variable; did you mean MELTICA_PARTITIONS?");
    expect_error(load(ARGS(NULL), ENV("MELTICA_CONFI=x")),
                 "MELTICA_CONFI (environment): unknown variable; did you mean MELTICA_CONFIG?");
    assert_int_equal(
        load(ARGS(NULL), ENV("MELTICA_STREAMS_PER_CONNECTION=5", "MELTICA_CAPTURES=/x",
                             "MELTICA_ROOT=/x", "MELTICA_NATIVE=1", "MELTICA_REQUIRE_CAPTURES=1",
                             "MELTICA_SOURCE_DIR=/x", "MELTICA_BINARY_DIR=/x",
                             "MELTICA_TEST_NAMES=1", "MELTICAL=1", "NATS_URL=2", "odd")),
        MLT_OK);
    assert_string_equal(v.nats_url, "nats://127.0.0.1:4222");
    assert_string_equal(m.name, "");
}

static char ignored[256];

static void on_ignored(void *ctx, const char *variable)
{
    assert_ptr_equal(ctx, ignored);
    (void)snprintf(ignored + strlen(ignored), sizeof ignored - strlen(ignored), "%s;", variable);
}

static void test_what_is_left_to_others_is_named(void **state)
{
    (void)state;
    ignored[0] = '\0';
    char *environment[ARGS_MAX];
    (void)copy_vector(ENV("MELTICA_STREAMS_PER_CONNECTION=5", "HOME=/", "MELTICA_PARTITIONS=4",
                          "MELTICA_CAPTURES=/x", "MELTICA_WS_URL=ws://x"),
                      environment);
    mlt_config_ignored(tables, 2, environment, on_ignored, ignored);
    assert_string_equal(ignored, "MELTICA_STREAMS_PER_CONNECTION;MELTICA_WS_URL;");
}

static void test_file_errors_name_file_key_and_remedy(void **state)
{
    (void)state;
    expect_file_error("", "config file \"%\" is empty; write {} at least");
    expect_file_error("{\n\"name\": \"x\",\n}", "config file \"%\" is not JSON near line 3");
    expect_file_error("{} {}", "config file \"%\" is not JSON near line 1");
    expect_file_error("{\"name\": \"x\"", "config file \"%\" is not JSON near line 1");
    expect_file_error("[1]", "config file \"%\" must be one JSON object {\"key\": value}");
    expect_file_error("3", "config file \"%\" must be one JSON object {\"key\": value}");
    expect_file_error("{\"nats_ur\": \"x\"}",
                      "unknown key \"nats_ur\" (file %); did you mean \"nats_url\"?");
    expect_file_error("{\"nats-url\": \"x\"}",
                      "unknown key \"nats-url\" (file %); did you mean \"nats_url\"?");
    expect_file_error("{\"something_else\": 1}",
                      "unknown key \"something_else\" (file %); see --help");
    expect_file_error("{\"config\": \"x\"}", "unknown key \"config\" (file %); see --help");
    expect_file_error("{\"partitions\": 4, \"partitions\": 5}",
                      "partitions (file %): stands there twice; keep one");
    expect_file_error(
        "{\"partitions\": \"4\"}",
        "partitions (file %): wrong type; use a JSON number, a whole number from 1 to 64");
    expect_file_error(
        "{\"partitions\": 4.5}",
        "partitions (file %): wrong type; use a JSON number, a whole number from 1 to 64");
    expect_file_error("{\"offset\": 9007199254740993}",
                      "offset (file %): wrong type; use a JSON number, a whole number (ns)");
    expect_file_error("{\"offset\": 1e300}",
                      "offset (file %): wrong type; use a JSON number, a whole number (ns)");
    expect_file_error("{\"partitions\": 65}",
                      "partitions (file %): \"65\" is wrong; use a whole number from 1 to 64");
    expect_file_error("{\"verbose\": \"yes\"}",
                      "verbose (file %): wrong type; use true or false, true or false");
    expect_file_error("{\"name\": 5}", "name (file %): wrong type; use a JSON string, text");
    expect_file_error("{\"name\": null}", "name (file %): wrong type; use a JSON string, text");
    expect_file_error("{\"name\": {\"a\": 1}}",
                      "name (file %): wrong type; use a JSON string, text");
    expect_file_error("{\"mode\": \"other\"}",
                      "mode (file %): \"other\" is wrong; use one of app|external");
    expect_file_error("{\"name\": \"a\\u0000b\"}",
                      "config file \"%\" holds a NUL, which no value may have");
}

static void test_files_that_cannot_be_read(void **state)
{
    (void)state;
    expect_error(load(ARGS("--config=/no/such/file"), NULL),
                 "config file \"/no/such/file\" cannot be opened: No such file or directory");
    expect_error(load(ARGS("--config=/tmp"), NULL),
                 "config file \"/tmp\" cannot be read: Is a directory");
    FILE *file = fopen(file_path, "w");
    assert_non_null(file);
    for (unsigned i = 0; i < (1u << 20) + 1; i++) {
        assert_int_equal(fputc(' ', file), ' ');
    }
    assert_int_equal(fclose(file), 0);
    assert_int_equal(load(ARGS(file_flag), NULL), MLT_E_CONFIG);
    assert_non_null(strstr(err.text, "is longer than 1048576 bytes"));
}

/* ---- actions and output ---- */

static void test_actions(void **state)
{
    (void)state;
    static const struct {
        const char *flag;
        enum mlt_config_action action;
    } cases[] = {
        { "--print-config", MLT_CONFIG_PRINT },
        { "--check-config", MLT_CONFIG_CHECK },
        { "--help", MLT_CONFIG_HELP },
        { "-h", MLT_CONFIG_HELP },
        { "--version", MLT_CONFIG_VERSION },
        { "--config-docs", MLT_CONFIG_DOCS },
        { "--healthcheck", MLT_CONFIG_HEALTHCHECK },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(load(ARGS("--partitions", "7", cases[i].flag), NULL), MLT_OK);
        assert_int_equal(action, cases[i].action);
        assert_int_equal(v.partitions, cases[i].action < MLT_CONFIG_HELP ? 7 : 4);
    }
    /* Help works whatever else is wrong; a check does not. */
    assert_int_equal(load(ARGS("--partitions=x", "--help"), ENV("MELTICA_PARTITIONS=y")), MLT_OK);
    assert_int_equal(action, MLT_CONFIG_HELP);
    assert_int_equal(load(ARGS("--check-config", "--help"), NULL), MLT_OK);
    assert_int_equal(action, MLT_CONFIG_HELP);
    assert_int_equal(load(ARGS("--partitions=x", "--check-config"), NULL), MLT_E_CONFIG);
    assert_int_equal(action, MLT_CONFIG_CHECK);
}

static void expect_text(char *text, const char *expected)
{
    assert_string_equal(text, expected);
    free(text);
}

static void test_print_shows_values_and_origins(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    write_file("{\"offset\": -1}");
    assert_int_equal(load(ARGS(file_flag, "--mode=external"), ENV("MELTICA_VERBOSE=1")), MLT_OK);
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    mlt_config_print(tables, 2, to);
    assert_int_equal(fclose(to), 0);
    expect_text(text, "nats_url = nats://127.0.0.1:4222   # default\n"
                      "partitions = 4   # default\n"
                      "offset = -1   # file\n"
                      "mode = external   # --mode\n"
                      "password_file =    # default\n"
                      "verbose = true   # MELTICA_VERBOSE\n"
                      "name = \n"
                      "drain_timeout_ms = 5000\n");
}

static void assert_url_shown(const char *url, const char *shown)
{
    char flag[256], wanted[256];
    char *text = NULL;
    size_t size = 0;
    (void)snprintf(flag, sizeof flag, "--nats-url=%s", url);
    (void)snprintf(wanted, sizeof wanted, "nats_url = %s   # --nats-url\n", shown);
    assert_int_equal(load(ARGS(flag), NULL), MLT_OK);
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    mlt_config_print(tables, 2, to);
    assert_int_equal(fclose(to), 0);
    text[strcspn(text, "\n") + 1] = '\0';
    assert_string_equal(text, wanted);
    free(text);
}

static void test_print_shows_no_password_of_a_url(void **state)
{
    (void)state;
    assert_url_shown("nats://me:s3cret@h:4222", "nats://***@h:4222");
    assert_url_shown("tls://t0ken@h", "tls://***@h");
    assert_url_shown("nats://me:s3@cret@h:1,nats://h:2,me:s3cret@h:3",
                     "nats://***@h:1,nats://h:2,***@h:3");
    assert_url_shown("nats://h:1, nats://me:a://b@h:2", "nats://h:1, nats://***@h:2");
    assert_url_shown("nats://[::1]:4222", "nats://[::1]:4222");
    assert_url_shown("", "");
}

static void test_docs_are_a_markdown_table(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    mlt_config_docs(tables, 2, to);
    assert_int_equal(fclose(to), 0);
    static const char head[] = "| key | variable | flag | type, range, unit | default | what |\n"
                               "|---|---|---|---|---|---|\n"
                               "| `nats_url` | `MELTICA_NATS_URL` | `--nats-url` | text | "
                               "`nats://127.0.0.1:4222` | Where NATS is. |\n";
    assert_memory_equal(text, head, sizeof head - 1);
    assert_non_null(strstr(text, "| `mode` | `MELTICA_MODE` | `--mode` | one of app\\|external | "
                                 "`app` | Who provisions: app \\| external. |\n"));
    assert_non_null(strstr(text, "| `drain_timeout_ms` | `MELTICA_DRAIN_TIMEOUT_MS` | "
                                 "`--drain-timeout-ms` | a whole number from 0 to 60000 (ms) | "
                                 "`5000` | Patience at the end. |\n"));
    free(text);
}

static void test_help_names_every_flag(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    mlt_config_help(tables, 2, "meltica-x", "does x", to);
    assert_int_equal(fclose(to), 0);
    static const char *const words[] = {
        "meltica-x: does x\n",
        "--config FILE",
        "--print-config",
        "--check-config",
        "--healthcheck",
        "--version",
        "  --nats-url VALUE",
        "--partitions",
        "--offset",
        "--mode",
        "--password-file",
        "--verbose",
        "--name",
        "--drain-timeout-ms",
        "MELTICA_PARTITIONS",
        "default \"4\"",
        "Patience at the end.",
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strstr(text, words[i]) == NULL) {
            fail_msg("help lacks \"%s\"", words[i]);
        }
    }
    free(text);
}

#define CONFIG_TEST(f) cmocka_unit_test_setup_teardown(f, make_file, drop_file)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CONFIG_TEST(test_defaults_fill_everything),
        CONFIG_TEST(test_precedence_of_every_combination),
        CONFIG_TEST(test_file_may_be_named_by_the_environment_and_the_flag_wins),
        CONFIG_TEST(test_flags_in_both_forms_and_the_last_counts),
        CONFIG_TEST(test_integers_are_exact),
        CONFIG_TEST(test_booleans_in_all_words),
        CONFIG_TEST(test_wrong_values_name_key_origin_and_remedy),
        CONFIG_TEST(test_unknown_flags_name_the_nearest),
        CONFIG_TEST(test_a_flag_without_its_value_is_refused),
        CONFIG_TEST(test_secrets_are_not_repeated_in_errors_and_output),
        CONFIG_TEST(test_environment_tells_typing_errors_from_other_services_keys),
        CONFIG_TEST(test_what_is_left_to_others_is_named),
        CONFIG_TEST(test_file_errors_name_file_key_and_remedy),
        CONFIG_TEST(test_files_that_cannot_be_read),
        CONFIG_TEST(test_actions),
        CONFIG_TEST(test_print_shows_values_and_origins),
        CONFIG_TEST(test_print_shows_no_password_of_a_url),
        CONFIG_TEST(test_docs_are_a_markdown_table),
        CONFIG_TEST(test_help_names_every_flag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
