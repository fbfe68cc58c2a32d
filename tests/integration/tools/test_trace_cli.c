/* meltica trace: one event's stages out of the journal and live, which add up to the us. */
#include "mlt_test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "command.h"
#include "events.h"
#include "meltica/base/clock.h"
#include "meltica/bus/stored.h"
#include "server.h"
#include "steer_rig.h"

#define ARGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define SECOND MLT_NS_PER_S
#define STAGES 7

static const char *const names[STAGES] = { "exchange",  "received",  "adapted", "dispatched",
                                           "conducted", "published", "consumer" };

static const cJSON *stage_of(const cJSON *json, int i)
{
    const cJSON *stage = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "stages"), i);
    assert_string_equal(rig_text(stage, "stage"), names[i]);
    return stage;
}

/* ns, or -1: not known. */
static int64_t time_of(const cJSON *json, int i)
{
    const char *text = rig_text(stage_of(json, i), "time_ns");
    return text[0] != '\0' ? strtoll(text, NULL, 10) : -1;
}

static int64_t took_of(const cJSON *json, int i)
{
    const cJSON *took = cJSON_GetObjectItem(stage_of(json, i), "took_us");
    return cJSON_IsNumber(took) ? (int64_t)took->valuedouble : INT64_MIN;
}

/* Every stage is as long as it is between its two times in us, and together they are the whole. */
static void check_adds_up(const cJSON *json)
{
    int64_t sum = 0, first = -1, before = -1;
    for (int i = 0; i < STAGES; i++) {
        const int64_t at = time_of(json, i);
        if (at < 0) {
            assert_true(took_of(json, i) == INT64_MIN);
            continue;
        }
        if (before >= 0) {
            assert_int_equal(took_of(json, i), at / 1000 - before / 1000);
            sum += took_of(json, i);
        }
        first = first < 0 ? at : first;
        before = at;
    }
    assert_int_equal((int64_t)cJSON_GetObjectItem(json, "sum_us")->valuedouble, sum);
    assert_int_equal((int64_t)cJSON_GetObjectItem(json, "total_us")->valuedouble,
                     before / 1000 - first / 1000);
    assert_int_equal(sum, before / 1000 - first / 1000);
}

static cJSON *trace(const char *const *arguments)
{
    struct command c;
    const int ended = command_run(&c, arguments, NULL);
    if (ended != 0) {
        fail_msg("exit %d: %s%s", ended, command_out(&c), command_err(&c));
    }
    cJSON *json = cJSON_Parse(command_out(&c));
    assert_non_null(json);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(json, "found")));
    command_free(&c);
    return json;
}

/* ---- a NATS server alone, and events whose stamps are known ---- */

static struct server server;
static struct mlt_bus *bus;
static struct mlt_store *store;

#define HERE "--nats-url", server.url
#define AT INT64_C(1700000000000000999)

/* Stamps whose distances, cut one by one, would not add up. */
static struct mlt_event stamped(const char *token, uint64_t key)
{
    struct mlt_event e = test_trade(3, 77, 5);
    e.instrument = mlt_slice_of_string(token);
    e.key = key;
    memset(e.trace_id, 0xab, sizeof e.trace_id);
    e.trace_flags = 1;
    e.throttled_ns = 2500;
    e.stamps = (struct mlt_stamps){ .exchange = AT - 5000500,
                                    .received = AT,
                                    .adapted = AT + 1500,
                                    .dispatched = AT + 3400,
                                    .conducted = AT + 5300,
                                    .published = AT + 1234567 };
    return e;
}

/* Appended to the journal as a batch of its own. */
static void journal(const struct mlt_event *event, const char *subject)
{
    uint8_t bytes[4096], header[MLT_ELEMENT_HEADER_BYTES_MAX];
    struct mlt_buf batch;
    struct mlt_error err = MLT_ERROR_INIT;
    uint64_t sequence = 0;
    bool duplicate = false;
    const size_t size = mlt_event_encoded_size(event);
    assert_true(size <= sizeof bytes);
    assert_int_equal(mlt_event_encode(event, bytes), size);
    mlt_buf_init(&batch, 8192);
    const size_t n = mlt_batch_element_header(size, header);
    assert_int_equal(mlt_buf_append(&batch, header, n), MLT_OK);
    assert_int_equal(mlt_buf_append(&batch, bytes, size), MLT_OK);
    assert_int_equal(mlt_stream_append(store, subject, NULL, NULL, mlt_buf_view(&batch), &sequence,
                                       &duplicate, &err),
                     MLT_OK);
    mlt_buf_fini(&batch);
}

static void test_stages_out_of_the_journal_add_up(void **state)
{
    (void)state;
    static const int64_t took[STAGES] = { INT64_MIN, 5000, 2, 2, 2, 1229, INT64_MIN };
    const struct mlt_event event = stamped("A-B", 0xfedcba9876543210);
    journal(&event, "meltica.journal.02");
    cJSON *json = trace(ARGS("trace", "0xfedcba9876543210", "--json", HERE));
    check_adds_up(json);
    for (int i = 0; i < STAGES; i++) {
        assert_true(took_of(json, i) == took[i]);
    }
    assert_int_equal(time_of(json, 0), AT - 5000500);
    assert_int_equal(time_of(json, 5), AT + 1234567);
    assert_string_equal(rig_text(json, "from"), "journal");
    assert_string_equal(rig_text(json, "key"), "18364758544493064720");
    assert_string_equal(rig_text(json, "trace_id"), "abababababababababababababababab");
    assert_string_equal(rig_text(json, "instrument"), "A-B");
    assert_string_equal(rig_text(json, "type"), "TRADE");
    assert_string_equal(rig_text(json, "sequence"), "77");
    assert_string_equal(rig_text(json, "throttled_ns"), "2500");
    cJSON_Delete(json);
    struct command c;
    assert_int_equal(command_run(&c, ARGS("trace", "18364758544493064720", HERE), NULL), 0);
    const char *out = command_out(&c);
    assert_non_null(strstr(out, "A-B TRADE  key 18364758544493064720  epoch 3  sequence 77"));
    assert_non_null(strstr(out, "trace id abababababababababababababababab, sampled\n"));
    assert_non_null(
        strstr(out, "received    2023-11-14 22:13:20.000000           5000           5000\n"));
    assert_non_null(strstr(out, "consumer    not known: the journal is written before"));
    assert_non_null(
        strstr(out, "sum                                              6235           6235\n"));
    assert_non_null(strstr(out, "a throttle added 2 us of it\n"));
    command_free(&c);
}

static void test_the_newest_of_a_key_is_found_wherever_it_is(void **state)
{
    (void)state;
    struct mlt_event event = stamped("OLD-B", 4711);
    journal(&event, "meltica.journal.00");
    event.sequence = 78;
    journal(&event, "meltica.journal.00");
    event = stamped("C-D", 99);
    for (unsigned i = 0; i < 600; i++) { /* more than are read at a time */
        event.key = 100000 + i;
        journal(&event, "meltica.journal.01");
    }
    cJSON *json = trace(ARGS("trace", "4711", "--json", HERE));
    assert_string_equal(rig_text(json, "sequence"), "78");
    cJSON_Delete(json);
    json = trace(ARGS("trace", "4711", "--instrument", "OLD-B", "--json", HERE));
    cJSON_Delete(json);
    struct command c;
    assert_int_equal(
        command_run(&c, ARGS("trace", "4711", "--instrument", "C-D", "--json", HERE), NULL), 1);
    assert_non_null(strstr(command_out(&c), "{\"found\":false,\"key\":\"4711\""));
    assert_non_null(strstr(command_err(&c), "not found among"));
    assert_non_null(strstr(command_err(&c), "--wait waits for one that is still to come"));
    command_free(&c);
}

static void test_it_waits_for_one_that_comes(void **state)
{
    (void)state;
    struct command c;
    uint8_t bytes[4096];
    struct mlt_event event = stamped("LIVE-B", 555);
    const size_t size = mlt_event_encoded_size(&event);
    assert_int_equal(mlt_event_encode(&event, bytes), size);
    command_start(&c, ARGS("trace", "555", "--wait", "--json", HERE), NULL);
    assert_true(command_wait_said(&c, "waiting for it on meltica.data.*"));
    const int64_t begin = mlt_clock_wall_ns();
    assert_int_equal(mlt_bus_publish(bus, "meltica.data.LIVE-B", mlt_slice_of(bytes, size)),
                     MLT_OK);
    assert_int_equal(command_end(&c), 0);
    const int64_t end = mlt_clock_wall_ns();
    cJSON *json = cJSON_Parse(command_out(&c));
    assert_non_null(json);
    assert_string_equal(rig_text(json, "from"), "live");
    check_adds_up(json);
    assert_true(time_of(json, 6) >= begin && time_of(json, 6) <= end);
    cJSON_Delete(json);
    command_free(&c);
    /* One that does not come. */
    assert_int_equal(command_run(&c, ARGS("trace", "556", "--wait", "--seconds", "1", HERE), NULL),
                     1);
    assert_non_null(strstr(command_err(&c), "not found"));
    command_free(&c);
}

static void test_stamps_that_are_not_known_and_clocks_that_differ(void **state)
{
    (void)state;
    struct mlt_event event = stamped("E-F", 8080);
    event.stamps.exchange = MLT_STAMP_UNKNOWN;
    event.stamps.adapted = MLT_STAMP_UNKNOWN;
    event.stamps.dispatched = AT - 7000; /* another host's */
    event.throttled_ns = 0;
    journal(&event, "meltica.journal.03");
    cJSON *json = trace(ARGS("trace", "8080", "--json", HERE));
    check_adds_up(json);
    assert_int_equal(time_of(json, 0), -1);
    assert_int_equal(took_of(json, 3), -7);
    cJSON_Delete(json);
    struct command c;
    assert_int_equal(command_run(&c, ARGS("trace", "8080", HERE), NULL), 0);
    assert_non_null(strstr(command_out(&c), "exchange    not known\n"));
    assert_non_null(strstr(command_out(&c), "two clocks that differ"));
    assert_null(strstr(command_out(&c), "throttle"));
    command_free(&c);
}

static void test_arguments_and_a_journal_that_is_not_there(void **state)
{
    (void)state;
    struct command c;
    static const char *const wrong[][4] = { { "trace", NULL },
                                            { "trace", "12x", NULL },
                                            { "trace", "-5", NULL },
                                            { "trace", "1", "2", NULL },
                                            { "trace", "1", "--next", NULL } };
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(command_run(&c, wrong[i], NULL), 2);
        command_free(&c);
    }
    assert_int_equal(command_run(&c, ARGS("trace", ""), NULL), 2);
    assert_non_null(strstr(command_err(&c), "meltica trace: \"\" is not what it takes\nusage: "));
    command_free(&c);
    assert_int_equal(command_run(&c, ARGS("trace", "--next", "--seconds", "1x"), NULL), 2);
    assert_non_null(strstr(command_err(&c), "meltica trace: --seconds does not take \"1x\"\n"));
    command_free(&c);
    assert_int_equal(command_run(&c, ARGS("trace", "--help"), NULL), 0);
    command_free(&c);
    struct server without;
    server_start(&without, false, "");
    assert_int_equal(command_run(&c, ARGS("trace", "1", "--nats-url", without.url), NULL), 1);
    assert_non_null(strstr(command_err(&c), "MELTICA_JOURNAL"));
    assert_non_null(strstr(command_err(&c), "JetStream"));
    command_free(&c);
    server_end(&without);
}

static int begin_alone(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    server_start(&server, true, "");
    bus = server_connect(&server, NULL);
    assert_int_equal(mlt_store_create(bus, 1, &store, &err), MLT_OK);
    assert_int_equal(mlt_stored_ensure(store, MLT_STORED_JOURNAL, &err), MLT_OK);
    return 0;
}

static int end_alone(void **state)
{
    (void)state;
    mlt_store_destroy(store);
    mlt_bus_destroy(bus, 0);
    server_end(&server);
    return 0;
}

/* ---- a whole Meltica ---- */

static struct rig rig;

#define WHOLE "--json", "--nats-url", rig.stack.nats_url

static bool is_in_journal(struct rig *r, void *ctx)
{
    struct command c;
    const cJSON *live = ctx;
    (void)r;
    const int ended = command_run(
        &c,
        ARGS("trace", rig_text(live, "key"), "--instrument", rig_text(live, "instrument"), WHOLE),
        NULL);
    cJSON *json = cJSON_Parse(command_out(&c));
    if (ended == 0) { /* the same event, as it left */
        assert_string_equal(rig_text(json, "from"), "journal");
        if (strcmp(rig_text(json, "trace_id"), rig_text(live, "trace_id")) != 0) {
            fail_msg("another one: %s", command_out(&c));
        }
        assert_string_equal(rig_text(json, "sequence"), rig_text(live, "sequence"));
        for (int i = 0; i < STAGES - 1; i++) {
            assert_int_equal(time_of(json, i), time_of(live, i));
        }
        assert_int_equal(time_of(json, STAGES - 1), -1);
        check_adds_up(json);
    }
    cJSON_Delete(json);
    command_free(&c);
    return ended == 0;
}

/* Of a book that is fetched twice there are two BOOK_SNAPSHOT, and two BOOK, with one key. */
static bool has_own_key(const cJSON *json)
{
    const char *type = rig_text(json, "type");
    return strcmp(type, "TRADE") == 0 || strcmp(type, "BBO") == 0 ||
           strcmp(type, "BOOK_DELTA") == 0;
}

static void test_any_event_is_followed_through_all_stages(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 5; round++) {
        cJSON *json = trace(ARGS("trace", "--next", WHOLE));
        while (!has_own_key(json)) {
            cJSON_Delete(json);
            json = trace(ARGS("trace", "--next", WHOLE));
        }
        check_adds_up(json);
        for (int i = 1; i < STAGES; i++) { /* on one host no stage lies before another */
            assert_true(time_of(json, i) > 0);
            assert_true(i == 1 || time_of(json, i) >= time_of(json, i - 1));
        }
        assert_int_equal(strlen(rig_text(json, "trace_id")), 32);
        assert_true(rig_until(is_in_journal, &rig, json, 20));
        cJSON_Delete(json);
    }
}

static int begin_whole(void **state)
{
    (void)state;
    const struct mlt_stack_options options = { .exchange = { "--synthetic", "--symbols", "3",
                                                             "--rate", "200", "--seed", "7" } };
    mlt_stack_start(&rig.stack, &options);
    mlt_stack_run_services(&rig.stack);
    return 0;
}

static int end_whole(void **state)
{
    (void)state;
    mlt_stack_stop(&rig.stack);
    return 0;
}

int main(void)
{
    const struct CMUnitTest alone[] = {
        cmocka_unit_test(test_stages_out_of_the_journal_add_up),
        cmocka_unit_test(test_the_newest_of_a_key_is_found_wherever_it_is),
        cmocka_unit_test(test_it_waits_for_one_that_comes),
        cmocka_unit_test(test_stamps_that_are_not_known_and_clocks_that_differ),
        cmocka_unit_test(test_arguments_and_a_journal_that_is_not_there),
    };
    const struct CMUnitTest whole[] = {
        cmocka_unit_test(test_any_event_is_followed_through_all_stages),
    };
    const int result = cmocka_run_group_tests_name("alone", alone, begin_alone, end_alone);
    return mlt_stack_verdict(result +
                             cmocka_run_group_tests_name("whole", whole, begin_whole, end_whole));
}
