/* The control log's thread, and what it writes, beside another Dispatcher that writes the same at
 * the same time: the test does as that one whenever the thread asks whether it may. */
#include "server.h"

#include <stdio.h>

#include "applied.h"
#include "control.h"
#include "meltica/base/clock.h"
#include "meltica/bus/stored.h"

#define TABLE                                                                                      \
    "{\"version\":1,\"routes\":[{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"}],"                  \
    "\"subscriptions\":[]}"
#define WAIT_NS (15 * MLT_NS_PER_S)
#define KEY "one"
#define SUBJECT "meltica.int.control.alice.one"
#define LEASE "expire.one.1" /* message id of the end of the record with sequence 1 */

static struct server server;
static struct mlt_bus *bus;
static struct mlt_store *store;

static int set_up(void **state)
{
    struct mlt_error err = MLT_ERROR_INIT;
    (void)state;
    server_start(&server, true, "");
    bus = server_connect(&server, NULL);
    assert_int_equal(mlt_store_create(bus, 1, &store, &err), MLT_OK);
    assert_int_equal(mlt_stored_ensure(store, MLT_STORED_DISPATCH, &err), MLT_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_store_destroy(store);
    mlt_bus_destroy(bus, 0);
    server_end(&server);
    return 0;
}

/* ---- values of the bucket ---- */

static void assert_value(const char *expected)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf value;
    uint64_t revision = 0;
    mlt_buf_init(&value, 64);
    assert_int_equal(mlt_kv_get(store, MLT_DISPATCH_BUCKET, KEY, &value, &revision, &err), MLT_OK);
    assert_true(mlt_slice_equal_string(mlt_buf_view(&value), expected));
    mlt_buf_fini(&value);
}

static void other_puts(const char *text)
{
    struct mlt_error err = MLT_ERROR_INIT;
    uint64_t revision = 0;
    assert_int_equal(
        mlt_kv_put(store, MLT_DISPATCH_BUCKET, KEY, mlt_slice_of_string(text), &revision, &err),
        MLT_OK);
}

static enum mlt_status put(const char *text, uint64_t *revision, bool (*may)(void *ctx))
{
    struct mlt_error err = MLT_ERROR_INIT;
    return mlt_applied_put(store, KEY, mlt_slice_of_string(text), revision, may, NULL, &err);
}

static bool may_always(void *ctx)
{
    (void)ctx;
    return true;
}

static bool may_not(void *ctx)
{
    (void)ctx;
    return false;
}

/* It was true when it was asked, and then it slept. */
static bool may_and_sleeps(void *ctx)
{
    (void)ctx;
    other_puts("successor");
    return true;
}

static void test_a_value_of_a_successor_is_not_overwritten(void **state)
{
    uint64_t revision = 0;
    (void)state;
    assert_int_equal(put("first", &revision, may_and_sleeps), MLT_E_CONFLICT); /* there was none */
    assert_int_equal(revision, 0);
    assert_value("successor");
    assert_int_equal(put("second", &revision, may_not), MLT_E_AGAIN);
    assert_value("successor");
    assert_int_equal(put("third", &revision, may_always), MLT_OK); /* it is the one that works */
    assert_true(revision > 0);
    assert_value("third");
    const uint64_t before = revision;
    assert_int_equal(put("fourth", &revision, may_always), MLT_OK);
    assert_true(revision > before);
    assert_int_equal(put("fifth", &revision, may_and_sleeps), MLT_E_CONFLICT);
    assert_int_equal(revision, 0);
    assert_value("successor");
    uint64_t old = before; /* of a value that another one replaced long ago */
    assert_int_equal(put("sixth", &old, may_always), MLT_E_CONFLICT);
    assert_value("successor");
}

/* Revisions begin anew with a bucket that was lost: what was known of the old one holds nobody up.
 */
static void test_a_bucket_that_was_made_anew_is_written(void **state)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf answer;
    uint64_t revision = 0;
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(put("before", &revision, may_always), MLT_OK);
    }
    mlt_buf_init(&answer, 4096);
    assert_int_equal(mlt_bus_request(bus, "$JS.API.STREAM.DELETE.KV_" MLT_DISPATCH_BUCKET,
                                     MLT_SLICE_EMPTY, WAIT_NS, &answer, &err),
                     MLT_OK);
    mlt_buf_fini(&answer);
    assert_int_not_equal(put("lost", &revision, may_always), MLT_OK); /* nobody to take it */
    assert_int_equal(mlt_stored_ensure(store, MLT_STORED_DISPATCH, &err), MLT_OK);
    assert_int_equal(put("after", &revision, may_always), MLT_OK);
    assert_value("after");
    revision = 1000; /* of the old one, and not looked at since */
    assert_int_equal(put("late", &revision, may_always), MLT_E_CONFLICT);
    assert_int_equal(put("late", &revision, may_always), MLT_OK);
    assert_value("late");
}

/* ---- the end of a lease ---- */

static struct {
    pthread_mutex_t lock;
    struct mlt_table *table;
    struct mlt_live live;
    bool applied, acted;
} world = { .lock = PTHREAD_MUTEX_INITIALIZER };

static enum mlt_status apply(void *ctx, const Meltica__V1__ControlRecord *record, uint64_t sequence,
                             uint64_t *revision)
{
    struct mlt_live_item *released = NULL;
    bool changed = false;
    (void)ctx;
    (void)pthread_mutex_lock(&world.lock);
    const enum mlt_status status =
        mlt_live_apply(&world.live, world.table, record, sequence, &released, &changed);
    struct mlt_live_item *item = mlt_live_find(&world.live, record->subscription);
    if (item != NULL) {
        const struct mlt_live_clocks now = { mlt_clock_wall_ns(), mlt_clock_mono_ns() };
        mlt_live_lease(item, record, true, &now);
    }
    world.applied = true;
    (void)pthread_mutex_unlock(&world.lock);
    mlt_live_release(released);
    *revision = sequence;
    return status;
}

static void nothing(void *ctx)
{
    (void)ctx;
}

static struct mlt_live *lock_live(void *ctx, const struct mlt_table **table)
{
    (void)ctx;
    (void)pthread_mutex_lock(&world.lock);
    *table = world.table;
    return &world.live;
}

static void unlock_live(void *ctx)
{
    (void)ctx;
    (void)pthread_mutex_unlock(&world.lock);
}

static void answered(void *ctx, const struct mlt_control_answered *of)
{
    (void)ctx, (void)of;
}

static uint64_t append(const char *subject, const char *id, Meltica__V1__ControlRecord *record)
{
    struct mlt_error err = MLT_ERROR_INIT;
    uint8_t bytes[512];
    uint64_t sequence = 0;
    bool duplicate = false;
    assert_true(meltica__v1__control_record__get_packed_size(record) <= sizeof bytes);
    const size_t len = meltica__v1__control_record__pack(record, bytes);
    assert_int_equal(mlt_stream_append(store, subject, id, NULL, mlt_slice_of(bytes, len),
                                       &sequence, &duplicate, &err),
                     MLT_OK);
    assert_false(duplicate);
    return sequence;
}

/* A record of the subscription; a lease that was over before it began. */
static void make_record(Meltica__V1__ControlRecord *record, bool active)
{
    static char id[] = KEY, alice[] = "alice", consumer[] = "c", verb[] = "subscribe",
                instrument[] = "BTC-USDT";
    static char *instruments[] = { instrument };
    meltica__v1__control_record__init(record);
    record->subscription = id;
    record->principal = alice;
    record->consumer = consumer;
    record->verb = verb;
    record->active = active;
    record->type = (Meltica__V1__EventType)MLT_EVENT_TRADE;
    record->instruments = instruments;
    record->n_instruments = 1;
    record->lease_end = 1;
}

/* Once, between the log's being read and the lease's being ended, another one ends it. */
static bool may_while_another_one_does(void *ctx)
{
    (void)ctx;
    (void)pthread_mutex_lock(&world.lock);
    const bool act = world.applied && !world.acted;
    world.acted = world.acted || act;
    (void)pthread_mutex_unlock(&world.lock);
    if (act) {
        Meltica__V1__ControlRecord record;
        make_record(&record, false);
        assert_int_equal(append(SUBJECT, LEASE, &record), 2);
        (void)append("meltica.int.audit.expired", LEASE, &record);
    }
    return true;
}

static uint64_t messages(enum mlt_stored which)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_stored_report report;
    assert_int_equal(mlt_stored_inspect(store, which, 1, &report, &err), MLT_OK);
    return report.messages;
}

static void test_a_lease_that_another_one_ended_is_ended_once(void **state)
{
    const struct mlt_control_ports ports = {
        apply, nothing, nothing, lock_live, unlock_live, answered, may_while_another_one_does, NULL
    };
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_control *control = NULL;
    struct mlt_control_stats stats;
    Meltica__V1__ControlRecord record;
    (void)state;
    assert_int_equal(mlt_table_parse(mlt_slice_of_string(TABLE), &world.table, &err), MLT_OK);
    mlt_live_init(&world.live);
    assert_int_equal(mlt_stored_ensure(store, MLT_STORED_CONTROL, &err), MLT_OK);
    assert_int_equal(mlt_stored_ensure(store, MLT_STORED_AUDIT, &err), MLT_OK);
    make_record(&record, true);
    assert_int_equal(append(SUBJECT, NULL, &record), 1);
    assert_int_equal(mlt_control_create(bus, 4, 1, 7, &ports, &control, &err), MLT_OK);
    assert_int_equal(mlt_control_start(control, &err), MLT_OK);
    const int64_t until_ns = mlt_clock_mono_ns() + WAIT_NS;
    do { /* until it has read that the subscription is over */
        assert_true(mlt_clock_mono_ns() < until_ns);
        assert_true(mlt_bus_rtt_ns(bus) > 0);
        mlt_control_get_stats(control, &stats);
    } while (stats.sequence < 2);
    mlt_control_stop(control);
    assert_true(world.acted);
    assert_int_equal(world.live.count, 0);
    mlt_control_get_stats(control, &stats);
    assert_int_equal(stats.expired, 0); /* the other one has counted it */
    assert_int_equal(stats.applied, 2);
    assert_int_equal(messages(MLT_STORED_CONTROL), 2);
    assert_int_equal(messages(MLT_STORED_AUDIT), 1);
    mlt_control_destroy(control);
    mlt_live_fini(&world.live);
    mlt_table_destroy(world.table);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_value_of_a_successor_is_not_overwritten),
        TEST(test_a_bucket_that_was_made_anew_is_written),
        TEST(test_a_lease_that_another_one_ended_is_ended_once),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
