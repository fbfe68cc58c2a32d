/* The command line tool where principals are told apart: asking as one of them, replacing a demand,
 * and reading who did what. */
#include "mlt_test.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "command.h"
#include "meltica/base/clock.h"
#include "meltica/bus/stored.h"
#include "steer_rig.h"

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define HERE "--nats-url", rig.stack.nats_url
#define POLICY                                                                                     \
    "{\"version\":1,\"roles\":{\"viewer\":{\"verbs\":[\"list\"],\"types\":[\"*\"],"                \
    "\"instruments\":[\"*\"],\"subscriptions\":0,\"streams\":0,\"wildcard_matches\":0},"           \
    "\"trader\":{\"verbs\":[\"*\"],\"types\":[\"*\"],\"instruments\":[\"*\"],"                     \
    "\"subscriptions\":9,\"streams\":90,\"wildcard_matches\":90},"                                 \
    "\"operator\":{\"verbs\":[\"*\"],\"types\":[\"*\"],\"instruments\":[\"*\"],"                   \
    "\"scope\":\"all\",\"subscriptions\":9,\"streams\":90,\"wildcard_matches\":90}},"              \
    "\"principals\":{\"local\":\"trader\",\"desk\":\"trader\",\"ops\":\"operator\","               \
    "\"eve\":\"viewer\"}}"
/* Records of 2020, a minute apart, that are there before the first command. */
#define OLD_COUNT 300u
#define OLD_BEGIN_S INT64_C(1577836800)

static struct rig rig;

/* Again where a busy machine kept the Dispatcher from answering in time: nothing changed. */
static void run(struct command *c, const char *const *arguments, int status)
{
    int ended = command_run(c, arguments, NULL);
    for (unsigned again = 0;
         again < RIG_AGAIN_MAX && mlt_stack_is_stalled(mlt_slice_of_string(command_err(c)));
         again++) {
        command_free(c);
        ended = command_run(c, arguments, NULL);
    }
    if (ended != status) {
        fail_msg("%s: exit %d: %s%s", arguments[0], ended, command_out(c), command_err(c));
    }
}

static void expect(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("no \"%s\" in: %s", part, text);
    }
}

static unsigned lines_of(const char *text)
{
    unsigned count = 0;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) {
        count++;
    }
    return count;
}

/* ---- asking ---- */

/* The word after "subscription" in an outcome. */
static void subscription_of(const struct command *c, char *out)
{
    assert_int_equal(sscanf(strstr(command_out(c), "subscription"), "subscription %63s", out), 1);
}

static void test_each_asks_as_the_one_that_is_named(void **state)
{
    (void)state;
    struct command c;
    run(&c, ARGS("sub", "TRADE", "SYM0001-USDT", "--as", "desk", "--consumer", "d", HERE), 0);
    expect(command_out(&c), "CONFIRMED");
    command_free(&c);
    run(&c, ARGS("subs", "--as", "desk", HERE), 0);
    expect(command_out(&c), " d ");
    command_free(&c);
    run(&c, ARGS("subs", HERE), 0); /* another principal's */
    assert_int_equal(lines_of(command_out(&c)), 1);
    command_free(&c);
    run(&c, ARGS("subs", "--as", "ops", HERE), 0); /* sees all, and whose it is */
    expect(command_out(&c), " desk/d ");
    command_free(&c);
    run(&c, ARGS("sub", "TRADE", "SYM0002-USDT", "--as", "eve", HERE), 1);
    expect(command_err(&c), "code 403");
    assert_string_equal(command_out(&c), "");
    command_free(&c);
    run(&c, ARGS("subs", "--as", "nobody", HERE), 1);
    expect(command_err(&c), "code 403, field principal");
    command_free(&c);
    run(&c, ARGS("unsub", "TRADE", "SYM0001-USDT", "--as", "desk", "--consumer", "d", HERE), 0);
    command_free(&c);
    run(&c, ARGS("subs", "--as", "ops", HERE), 0);
    assert_int_equal(lines_of(command_out(&c)), 1);
    command_free(&c);
}

static void test_a_private_channel_is_told_with_its_terms(void **state)
{
    (void)state;
    struct command c;
    char id[64];
    run(&c,
        ARGS("sub", "TRADE", "SYM0001-USDT", "--as", "desk", "--filter", "notional ge 1000.5",
             "--filter", "aggressor eq BUY", HERE),
        0);
    expect(command_out(&c), "meltica.lane.desk.s");
    expect(command_out(&c), "\nfilter        aggressor eq BUY\n");
    expect(command_out(&c), "\nfilter        notional ge 1000.5\n");
    assert_null(strstr(command_out(&c), "\nthrottle"));
    assert_null(strstr(command_out(&c), "\nlease"));
    subscription_of(&c, id);
    command_free(&c);
    run(&c, ARGS("subs", "--as", "desk", HERE), 0);
    expect(command_out(&c), " private ");
    expect(command_out(&c), "SYM0001-USDT [aggressor eq BUY] [notional ge 1000.5]");
    command_free(&c);
    /* By what it is of it is not found, and that is said. */
    run(&c, ARGS("unsub", "TRADE", "SYM0001-USDT", "--as", "desk", HERE), 1);
    expect(command_err(&c), "private ones end by their id (code 404, field subscription)");
    expect(command_err(&c), "\n  meltica subs --as desk shows what there is");
    command_free(&c);
    run(&c, ARGS("unsub", id, "--as", "desk", HERE), 0);
    command_free(&c);
    run(&c, ARGS("unsub", id, "--as", "desk", HERE), 1);
    assert_null(strstr(command_err(&c), "private ones"));
    command_free(&c);
    run(&c, ARGS("sub", "BBO", "SYM0001-USDT", "--as", "desk", "--throttle", "250", HERE), 0);
    expect(command_out(&c), "\nthrottle      250 ms\n");
    subscription_of(&c, id);
    command_free(&c);
    run(&c, ARGS("subs", "--as", "desk", HERE), 0);
    expect(command_out(&c), "SYM0001-USDT [250 ms]");
    command_free(&c);
    run(&c, ARGS("unsub", id, "--as", "desk", HERE), 0);
    command_free(&c);
    run(&c, ARGS("sub", "TRADE", "SYM0001-USDT", "--as", "desk", "--filter", "notional", HERE), 1);
    expect(command_err(&c), "code 400, field filter[0]");
    command_free(&c);
}

static void test_an_update_takes_the_place_of_what_was(void **state)
{
    (void)state;
    struct command c;
    char first[64], second[64], line[128];
    run(&c, ARGS("sub", "TRADE", "SYM0001-USDT", "--as", "desk", HERE), 0);
    subscription_of(&c, first);
    command_free(&c);
    run(&c,
        ARGS("update", first, "SYM0002-USDT", "SYM0003-USDT", "--type", "BBO", "--ttl", "600",
             "--as", "desk", HERE),
        0);
    expect(command_out(&c), "CONFIRMED");
    expect(command_out(&c), "SYM0002-USDT SYM0003-USDT");
    expect(command_out(&c), "\nlease         until 2");
    expect(command_out(&c), "meltica.data.SYM0002-USDT meltica.data.SYM0003-USDT");
    (void)snprintf(line, sizeof line, "replaces      %s\n", first);
    expect(command_out(&c), line);
    subscription_of(&c, second);
    command_free(&c);
    assert_string_not_equal(first, second);
    run(&c, ARGS("subs", "--as", "desk", HERE), 0);
    assert_int_equal(lines_of(command_out(&c)), 2);
    expect(command_out(&c), second);
    expect(command_out(&c), " BBO ");
    command_free(&c);
    run(&c, ARGS("update", first, "SYM0001-USDT", "--as", "desk", HERE), 1);
    expect(command_err(&c), "code 404, field subscription");
    command_free(&c);
    run(&c, ARGS("unsub", second, "--as", "desk", HERE), 0);
    command_free(&c);
}

/* ---- audit ---- */

/* Each line is a record whose member is that text; how many there are. */
static unsigned all_have(const char *lines, const char *member, const char *text)
{
    unsigned count = 0;
    for (const char *at = lines; *at != '\0'; count++) {
        const char *end = NULL;
        cJSON *record = cJSON_ParseWithOpts(at, &end, 0);
        assert_non_null(record);
        assert_int_equal(*end, '\n');
        assert_string_equal(rig_text(record, member), text);
        cJSON_Delete(record);
        at = end + 1;
    }
    return count;
}

static void test_the_audit_tells_who_did_what(void **state)
{
    (void)state;
    struct command c;
    run(&c, ARGS("sub", "TRADE", "SYM0001-USDT", "--as", "desk", "--id", "once", HERE), 0);
    command_free(&c);
    run(&c, ARGS("sub", "TRADE", "NO-SUCH", "--consumer", "x", HERE), 1);
    command_free(&c);
    run(&c, ARGS("sub", "TRADE", "SYM0001-USDT", "--as", "eve", HERE), 1);
    command_free(&c);

    run(&c, ARGS("audit", "--since", "1h", HERE), 0);
    expect(command_out(&c), "TIME ");
    expect(command_out(&c), "Z CONFIRMED subscribe   desk             cli ");
    expect(command_out(&c), "NO-SUCH code 404, field instruments[0]: ");
    expect(command_out(&c), " eve ");
    assert_null(strstr(command_out(&c), "2020-01-01"));
    command_free(&c);

    run(&c,
        ARGS("audit", "--json", "--since", "1h", "--principal", "desk", "--outcome", "CONFIRMED",
             HERE),
        0);
    expect(command_out(&c), "\"id\":\"once\"");
    assert_true(all_have(command_out(&c), "principal", "desk") > 0);
    (void)all_have(command_out(&c), "outcome", "CONFIRMED");
    command_free(&c);

    run(&c, ARGS("audit", "--json", "--outcome", "rejected", HERE), 0);
    assert_true(all_have(command_out(&c), "outcome", "REJECTED") > OLD_COUNT);
    command_free(&c);
    run(&c, ARGS("audit", "--json", "--principal", "nobody-at-all", HERE), 0);
    assert_string_equal(command_out(&c), "");
    command_free(&c);
}

static void test_the_audit_begins_where_it_is_told(void **state)
{
    (void)state;
    struct command c;
    run(&c, ARGS("audit", "--json", "--principal", "old", HERE), 0);
    assert_int_equal(lines_of(command_out(&c)), OLD_COUNT);
    command_free(&c);
    run(&c, ARGS("audit", "--json", "--principal", "old", "--since", "2020-01-01T04:00:00Z", HERE),
        0);
    assert_int_equal(lines_of(command_out(&c)), OLD_COUNT - 240);
    expect(command_out(&c), "\"consumer\":\"c240\"");
    assert_null(strstr(command_out(&c), "\"consumer\":\"c239\""));
    command_free(&c);
    run(&c, ARGS("audit", "--json", "--since", "2200-01-01", HERE), 0);
    assert_string_equal(command_out(&c), "");
    command_free(&c);
    run(&c, ARGS("audit", "--since", "1x", HERE), 2);
    expect(command_err(&c), "meltica audit: --since does not take \"1x\"\nusage: ");
    command_free(&c);
    run(&c, ARGS("audit", "--until", HERE), 2);
    expect(command_err(&c), "meltica audit: \"--until\" is no option, or its value is missing\n");
    command_free(&c);
    /* What others wrote moves nobody's cursor. */
    run(&c, ARGS("audit", "--principal", "old", "--since", "2020-01-01", HERE), 0);
    expect(command_out(&c), "2020-01-01T00:00:00.000Z REJECTED");
    expect(command_out(&c), "red ?[31m and ?");
    assert_null(strchr(command_out(&c), '\x1b'));
    command_free(&c);
}

static void test_the_audit_is_followed_until_a_signal(void **state)
{
    (void)state;
    struct command follow, c;
    command_start(&follow,
                  ARGS("audit", "--json", "--since", "1h", "--principal", "ops", "--follow", HERE),
                  NULL);
    for (int i = 0; i < 3; i++) {
        char id[16], wanted[32];
        (void)snprintf(id, sizeof id, "follow-%d", i);
        (void)snprintf(wanted, sizeof wanted, "\"id\":\"%s\"", id);
        run(&c, ARGS("sub", "TRADE", "SYM0003-USDT", "--as", "ops", "--id", id, HERE), 0);
        command_free(&c);
        assert_true(command_wait_printed(&follow, wanted));
    }
    assert_int_equal(kill(follow.pid, SIGINT), 0);
    assert_int_equal(command_end(&follow), 0);
    assert_int_equal(all_have(command_out(&follow), "principal", "ops"), 3); /* each once */
    command_free(&follow);
}

/* ---- the stack ---- */

static void put_old_records(struct mlt_store *store)
{
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_stored_ensure(store, MLT_STORED_AUDIT, &err), MLT_OK);
    for (unsigned i = 0; i < OLD_COUNT; i++) {
        char record[400];
        uint64_t sequence = 0;
        bool duplicate = false;
        (void)snprintf(record, sizeof record,
                       "{\"time_ns\":\"%" PRId64 "\",\"verb\":\"subscribe\",\"principal\":\"old\","
                       "\"consumer\":\"c%u\",\"outcome\":\"REJECTED\",\"code\":400,"
                       "\"message\":\"red \\u001b[31m and \\u009b\",\"field\":\"\"}",
                       (OLD_BEGIN_S + 60 * (int64_t)i) * MLT_NS_PER_S, i);
        assert_int_equal(mlt_stream_append(store, "meltica.int.audit.rejected", NULL, NULL,
                                           mlt_slice_of_string(record), &sequence, &duplicate,
                                           &err),
                         MLT_OK);
    }
}

static int begin(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_store *store = NULL;
    rig_start_policed(&rig, "3", "100", "9", "9", POLICY);
    assert_int_equal(mlt_store_create(rig.client, 1, &store, &err), MLT_OK);
    put_old_records(store);
    mlt_store_destroy(store);
    return 0;
}

static int end(void **state)
{
    (void)state;
    rig_stop(&rig);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_asks_as_the_one_that_is_named),
        cmocka_unit_test(test_a_private_channel_is_told_with_its_terms),
        cmocka_unit_test(test_an_update_takes_the_place_of_what_was),
        cmocka_unit_test(test_the_audit_tells_who_did_what),
        cmocka_unit_test(test_the_audit_begins_where_it_is_told),
        cmocka_unit_test(test_the_audit_is_followed_until_a_signal),
    };
    return mlt_stack_verdict(cmocka_run_group_tests(tests, begin, end));
}
