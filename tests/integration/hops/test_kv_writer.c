#include "server.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "meltica/bus/kv_writer.h"
#include "meltica/bus/store.h"

#define KEYS 200u
#define WAIT_NS (20 * MLT_NS_PER_S)
/* For tests of other things than the time that a writer waits: a busy server is no fault of its. */
#define PATIENT_NS (10 * MLT_NS_PER_S)
#define HANGS_NS (2 * MLT_NS_PER_S)         /* a server that answers again is in time by that */
#define CALL_NS (1500 * MLT_NS_PER_MS)      /* of a call that does not wait, on a busy machine */
#define FIRST UINT64_C(1785000000123456789) /* revisions as of a time in ns */

/* What became of one put. */
struct put {
    unsigned answers;
    struct mlt_kv_answer answer;
};

struct rig {
    struct mlt_bus *bus, *data;
    struct mlt_store *store;
    struct mlt_kv_writer *writer;
    struct latch answered;
    uint64_t asked;
};

static struct server server;

static void on_answer(void *ctx, const struct mlt_kv_answer *answer)
{
    struct rig *rig = ctx;
    struct put *put = answer->about;
    put->answers++;
    put->answer = *answer;
    latch_add(&rig->answered, 1);
}

/* answer_ns: 0 is the writer's own, MLT_KV_ANSWER_NS. */
static void rig_open(struct rig *rig, const struct server *at, const char *bucket,
                     int64_t answer_ns, uint32_t in_flight_max, size_t bytes_max)
{
    *rig = (struct rig){ 0 };
    latch_init(&rig->answered);
    rig->bus = server_connect(at, NULL);
    rig->data = server_connect_data(at);
    assert_int_equal(mlt_store_create(rig->bus, 1, &rig->store, NULL), MLT_OK);
    const struct mlt_kv_writer_options options = { .bucket = bucket,
                                                   .on_answer = on_answer,
                                                   .ctx = rig,
                                                   .answer_ns = answer_ns,
                                                   .in_flight_max = in_flight_max,
                                                   .bytes_max = bytes_max };
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_kv_writer_create(rig->data, &options, &rig->writer, &err), MLT_OK);
}

static void rig_close(struct rig *rig)
{
    mlt_kv_writer_destroy(rig->writer);
    mlt_store_destroy(rig->store);
    mlt_bus_destroy(rig->bus, 0);
    mlt_bus_destroy(rig->data, 0);
}

static enum mlt_status put(struct rig *rig, struct put *to, const char *key, const char *value,
                           uint64_t expected)
{
    *to = (struct put){ 0 };
    const enum mlt_status status =
        mlt_kv_writer_put(rig->writer, key, mlt_slice_of_string(value), expected, to);
    rig->asked += status == MLT_OK ? 1 : 0;
    return status;
}

static void await_all(struct rig *rig)
{
    assert_true(latch_wait(&rig->answered, rig->asked, WAIT_NS));
}

static enum mlt_kv_outcome put_and_wait(struct rig *rig, struct put *to, const char *key,
                                        const char *value, uint64_t expected)
{
    assert_int_equal(put(rig, to, key, value, expected), MLT_OK);
    await_all(rig);
    assert_int_equal(to->answers, 1);
    return to->answer.outcome;
}

static void ensure(struct rig *rig, const char *bucket)
{
    struct mlt_error err = MLT_ERROR_INIT;
    if (mlt_store_ensure_bucket(rig->store, bucket, true, 0, FIRST, &err) != MLT_OK) {
        fail_msg("%s", err.text);
    }
}

static void assert_value(struct rig *rig, const char *bucket, const char *key, const char *value,
                         uint64_t revision)
{
    struct mlt_buf got;
    mlt_buf_init(&got, 4096);
    uint64_t at = 0;
    struct mlt_error err = MLT_ERROR_INIT;
    if (mlt_kv_get(rig->store, bucket, key, &got, &at, &err) != MLT_OK) {
        fail_msg("%s", err.text);
    }
    assert_true(mlt_slice_equal_string(mlt_buf_view(&got), value));
    assert_int_equal(at, revision);
    mlt_buf_fini(&got);
}

static int set_up(void **state)
{
    (void)state;
    server_start(&server, true, "");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    server_end(&server);
    return 0;
}

static void test_revisions_follow_and_another_one_is_a_conflict(void **state)
{
    (void)state;
    struct rig rig;
    struct put first, second, third;
    rig_open(&rig, &server, "cas", PATIENT_NS, 0, 0);
    ensure(&rig, "cas");
    assert_int_equal(put_and_wait(&rig, &first, "a.b", "one", 0), MLT_KV_WRITTEN);
    assert_true(first.answer.revision == FIRST);
    assert_true(first.answer.duration_ns > 0 && first.answer.duration_ns < PATIENT_NS);
    assert_int_equal(put_and_wait(&rig, &second, "a.b", "two", FIRST), MLT_KV_WRITTEN);
    assert_true(second.answer.revision == FIRST + 1);
    assert_value(&rig, "cas", "a.b", "two", FIRST + 1);

    assert_int_equal(put_and_wait(&rig, &third, "a.b", "x", FIRST), MLT_KV_CONFLICT);
    assert_int_equal(third.answer.code, 10071);
    assert_int_equal(third.answer.revision, 0);
    assert_int_equal(put_and_wait(&rig, &third, "a.b", "x", 0), MLT_KV_CONFLICT);
    assert_int_equal(put_and_wait(&rig, &third, "other", "x", FIRST + 1), MLT_KV_CONFLICT);
    assert_value(&rig, "cas", "a.b", "two", FIRST + 1);

    struct mlt_kv_writer_stats stats;
    mlt_kv_writer_get_stats(rig.writer, &stats);
    assert_int_equal(stats.puts, 5);
    assert_int_equal(stats.answers[MLT_KV_WRITTEN], 2);
    assert_int_equal(stats.answers[MLT_KV_CONFLICT], 3);
    assert_int_equal(stats.in_flight, 0);
    assert_true(stats.slowest_ns > 0);
    rig_close(&rig);
}

static void put_keys(struct rig *rig, struct put *puts, const char *value, const uint64_t *expected)
{
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%u", i);
        assert_int_equal(put(rig, &puts[i], key, value, expected != NULL ? expected[i] : 0),
                         MLT_OK);
    }
    await_all(rig);
}

static void test_of_two_writers_the_older_is_refused_on_every_key(void **state)
{
    (void)state;
    static struct put old_puts[KEYS], new_puts[KEYS];
    uint64_t revisions[KEYS];
    struct rig old_one, new_one;
    rig_open(&old_one, &server, "owners", PATIENT_NS, 0, 0);
    rig_open(&new_one, &server, "owners", PATIENT_NS, 0, 0);
    ensure(&old_one, "owners");
    put_keys(&old_one, old_puts, "old", NULL);
    for (unsigned i = 0; i < KEYS; i++) { /* all in flight at once, in order */
        assert_int_equal(old_puts[i].answer.outcome, MLT_KV_WRITTEN);
        assert_true(old_puts[i].answer.revision == FIRST + i);
        revisions[i] = old_puts[i].answer.revision;
    }
    put_keys(&new_one, new_puts, "new", revisions);
    put_keys(&old_one, old_puts, "again", revisions);
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%u", i);
        assert_int_equal(new_puts[i].answer.outcome, MLT_KV_WRITTEN);
        assert_int_equal(old_puts[i].answers, 1);
        assert_int_equal(old_puts[i].answer.outcome, MLT_KV_CONFLICT);
        assert_value(&new_one, "owners", key, "new", new_puts[i].answer.revision);
    }
    rig_close(&old_one);
    rig_close(&new_one);
}

static void test_lost_bucket_is_unavailable_and_written_again_with_expect_none(void **state)
{
    (void)state;
    struct rig rig;
    struct put one;
    rig_open(&rig, &server, "lost", HANGS_NS, 0, 0);
    assert_int_equal(put_and_wait(&rig, &one, "k", "v", 0), MLT_KV_UNAVAILABLE);
    assert_int_equal(one.answer.code, 503);
    assert_true(one.answer.duration_ns < HANGS_NS);
    ensure(&rig, "lost");
    assert_int_equal(put_and_wait(&rig, &one, "k", "v", 0), MLT_KV_WRITTEN);
    const uint64_t before = one.answer.revision;

    /* Between the end and the new beginning: at once, or by time where it had been sent. */
    server_stop(&server);
    for (unsigned i = 0; i < 50; i++) {
        struct put gone;
        const enum mlt_status status = put(&rig, &gone, "k", "w", before);
        await_all(&rig);
        assert_true(status == MLT_E_UNAVAILABLE || (status == MLT_OK && gone.answers == 1 &&
                                                    (gone.answer.outcome == MLT_KV_UNAVAILABLE ||
                                                     gone.answer.outcome == MLT_KV_TIMEOUT)));
    }
    assert_int_equal(put(&rig, &one, "k", "w", before), MLT_E_UNAVAILABLE);
    server_restart(&server);
    assert_int_equal(mlt_bus_wait_connected(rig.bus, WAIT_NS), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(rig.data, WAIT_NS), MLT_OK);
    assert_int_equal(put_and_wait(&rig, &one, "k", "w", before), MLT_KV_UNAVAILABLE);
    ensure(&rig, "lost");
    assert_int_equal(put_and_wait(&rig, &one, "k", "w", before + 7), MLT_KV_CONFLICT);
    assert_int_equal(put_and_wait(&rig, &one, "k", "w", 0), MLT_KV_WRITTEN);
    assert_value(&rig, "lost", "k", "w", one.answer.revision);
    rig_close(&rig);
}

/* Beside the flow every write is one more message that the flow waits for. */
static void test_puts_of_one_moment_leave_in_few_writes(void **state)
{
    (void)state;
    static struct put puts[KEYS];
    struct rig rig;
    rig_open(&rig, &server, "together", PATIENT_NS, 0, 0);
    ensure(&rig, "together");
    struct mlt_bus_stats before, after;
    mlt_bus_get_stats(rig.data, &before);
    put_keys(&rig, puts, "value", NULL);
    mlt_bus_get_stats(rig.data, &after);
    for (unsigned i = 0; i < KEYS; i++) {
        assert_int_equal(puts[i].answer.outcome, MLT_KV_WRITTEN);
    }
    assert_int_equal(after.published - before.published, KEYS);
    assert_true(after.writes - before.writes <= KEYS / 4);
    rig_close(&rig);
}

static void test_server_that_hangs_times_out_and_may_have_written_all_the_same(void **state)
{
    (void)state;
    struct rig rig;
    struct put one;
    rig_open(&rig, &server, "hangs", HANGS_NS, 0, 0);
    ensure(&rig, "hangs");
    server_pause(&server);
    assert_int_equal(put_and_wait(&rig, &one, "k", "v", 0), MLT_KV_TIMEOUT);
    server_resume(&server);
    assert_true(one.answer.duration_ns >= HANGS_NS);
    assert_true(one.answer.duration_ns < WAIT_NS);
    /* In order after it: so the late answer was there before this one's. */
    struct put two;
    assert_int_equal(put_and_wait(&rig, &two, "other", "v", 0), MLT_KV_WRITTEN);
    struct mlt_kv_writer_stats stats;
    mlt_kv_writer_get_stats(rig.writer, &stats);
    assert_int_equal(stats.answers[MLT_KV_TIMEOUT], 1);
    assert_int_equal(stats.late_answers, 1);
    assert_int_equal(one.answers, 1);
    assert_value(&rig, "hangs", "k", "v", FIRST);
    rig_close(&rig);
}

/* More than the connection and the sockets between take. */
static void test_full_socket_neither_holds_the_caller_nor_the_time_out(void **state)
{
    (void)state;
    enum { PUTS = 40, VALUE_BYTES = 900 << 10 };
    static struct put puts[PUTS];
    static char value[VALUE_BYTES];
    memset(value, 'v', sizeof value);
    struct rig rig;
    rig_open(&rig, &server, "stuck", 0, 0, (size_t)PUTS * VALUE_BYTES);
    ensure(&rig, "stuck");
    server_pause(&server);
    int64_t slowest = 0;
    for (unsigned i = 0; i < PUTS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%u", i);
        const int64_t begin = mlt_clock_mono_ns();
        assert_int_equal(mlt_kv_writer_put(rig.writer, key,
                                           mlt_slice_of((const uint8_t *)value, sizeof value), 0,
                                           &puts[i]),
                         MLT_OK);
        const int64_t took = mlt_clock_mono_ns() - begin;
        slowest = took > slowest ? took : slowest;
    }
    rig.asked = PUTS;
    await_all(&rig);
    server_resume(&server);
    assert_true(slowest < CALL_NS);
    for (unsigned i = 0; i < PUTS; i++) {
        assert_int_equal(puts[i].answers, 1);
        assert_int_equal(puts[i].answer.outcome, MLT_KV_TIMEOUT);
        assert_true(puts[i].answer.duration_ns >= MLT_KV_ANSWER_NS);
        assert_true(puts[i].answer.duration_ns < 9 * MLT_KV_ANSWER_NS);
    }
    rig_close(&rig);
}

static void test_limits_refuse_and_the_end_answers_what_waits(void **state)
{
    (void)state;
    struct rig rig;
    struct put puts[4], refused;
    rig_open(&rig, &server, "limits", PATIENT_NS, 4, 64);
    ensure(&rig, "limits");
    static const char *const bad[] = { "", "a..b", "a b", "k.*", "_kvx", NULL };
    for (unsigned i = 0; bad[i] != NULL; i++) {
        assert_int_equal(put(&rig, &refused, bad[i], "v", 0), MLT_E_INVALID);
    }
    char key[400];
    memset(key, 'k', sizeof key);
    key[sizeof key - 1] = '\0';
    assert_int_equal(put(&rig, &refused, key, "v", 0), MLT_E_TOO_BIG);
    assert_int_equal(put(&rig, &refused, "k",
                         "more than the sixty-four bytes that may wait here, and some more bytes",
                         0),
                     MLT_E_FULL);
    server_pause(&server);
    for (unsigned i = 0; i < 4; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "k%u", i);
        assert_int_equal(put(&rig, &puts[i], name, "v", 0), MLT_OK);
    }
    assert_int_equal(put(&rig, &refused, "k5", "v", 0), MLT_E_FULL);
    struct mlt_kv_writer_stats stats;
    mlt_kv_writer_get_stats(rig.writer, &stats);
    assert_int_equal(stats.refused_full, 2);
    assert_int_equal(stats.in_flight, 4);
    mlt_kv_writer_destroy(rig.writer);
    rig.writer = NULL;
    server_resume(&server);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(puts[i].answers, 1);
        assert_int_equal(puts[i].answer.outcome, MLT_KV_UNAVAILABLE);
    }
    assert_int_equal(refused.answers, 0);
    rig_close(&rig);
}

/* Answers each put with the next of these. */
static const struct {
    const char *text;
    enum mlt_kv_outcome outcome;
    uint64_t revision;
    int code;
    unsigned malformed;
} odd[] = {
    { "{\"stream\":\"KV_odd\", \"seq\": 18446744073709551615}", MLT_KV_WRITTEN, UINT64_MAX, 0, 0 },
    { "{\"seq\":7,\"stream\":\"KV_odd\",\"duplicate\":true}", MLT_KV_WRITTEN, 7, 0, 0 },
    { "{\"error\":{\"code\":400,\"err_code\":10164,\"description\":\"wrong last sequence\"}}",
      MLT_KV_CONFLICT, 0, 10164, 0 },
    { "{\"error\":{\"code\":503,\"err_code\":10077,\"description\":\"\\\"seq\\\":5\"},\"seq\":0}",
      MLT_KV_UNAVAILABLE, 0, 10077, 0 },
    { "{\"error\":{\"code\":503}}", MLT_KV_UNAVAILABLE, 0, 503, 0 },
    { "{\"stream\":\"KV_odd\",\"seq\":18446744073709551616}", MLT_KV_UNAVAILABLE, 0, 0, 1 },
    { "{\"stream\":\"KV_odd\",\"seq\":0}", MLT_KV_UNAVAILABLE, 0, 0, 1 },
    { "{\"stream\":\"KV_odd\",\"seq\"", MLT_KV_UNAVAILABLE, 0, 0, 1 },
    { "no", MLT_KV_UNAVAILABLE, 0, 0, 1 },
};
#define ODD_COUNT (sizeof odd / sizeof odd[0])

struct teller {
    struct mlt_bus *bus;
    atomic_uint next;
};

static void on_put(void *ctx, const struct mlt_bus_message *message)
{
    struct teller *teller = ctx;
    const unsigned i = atomic_fetch_add(&teller->next, 1);
    assert_int_equal(mlt_bus_reply(teller->bus, message->reply,
                                   mlt_slice_of_string(odd[i % ODD_COUNT].text), 0, NULL),
                     MLT_OK);
}

static void test_every_answer_has_one_outcome_and_without_jetstream_it_is_away(void **state)
{
    (void)state;
    struct server plain;
    struct rig rig;
    struct put one;
    server_start(&plain, false, "");
    rig_open(&rig, &plain, "odd", PATIENT_NS, 0, 0);
    assert_int_equal(put_and_wait(&rig, &one, "k", "v", 0), MLT_KV_UNAVAILABLE);
    assert_int_equal(one.answer.code, 503);
    struct teller teller = { .bus = server_connect(&plain, NULL) };
    const struct mlt_bus_subscribe_options options = { .subject = "$KV.odd.k" };
    struct mlt_bus_subscription *sub = NULL;
    assert_int_equal(mlt_bus_subscribe(teller.bus, &options, on_put, &teller, &sub, NULL), MLT_OK);
    assert_true(mlt_bus_rtt_ns(teller.bus) >= 0); /* then the server has the subscription */
    unsigned malformed = 0;
    for (size_t i = 0; i < ODD_COUNT; i++) {
        assert_int_equal(put_and_wait(&rig, &one, "k", "v", 0), odd[i].outcome);
        assert_true(one.answer.revision == odd[i].revision);
        assert_int_equal(one.answer.code, odd[i].code);
        malformed += odd[i].malformed;
    }
    struct mlt_kv_writer_stats stats;
    mlt_kv_writer_get_stats(rig.writer, &stats);
    assert_int_equal(stats.malformed, malformed);
    mlt_bus_unsubscribe(sub);
    mlt_bus_destroy(teller.bus, 0);
    rig_close(&rig);
    server_end(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_revisions_follow_and_another_one_is_a_conflict),
        cmocka_unit_test(test_of_two_writers_the_older_is_refused_on_every_key),
        cmocka_unit_test(test_puts_of_one_moment_leave_in_few_writes),
        cmocka_unit_test(test_server_that_hangs_times_out_and_may_have_written_all_the_same),
        cmocka_unit_test(test_full_socket_neither_holds_the_caller_nor_the_time_out),
        cmocka_unit_test(test_limits_refuse_and_the_end_answers_what_waits),
        cmocka_unit_test(test_every_answer_has_one_outcome_and_without_jetstream_it_is_away),
        cmocka_unit_test(test_lost_bucket_is_unavailable_and_written_again_with_expect_none),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
