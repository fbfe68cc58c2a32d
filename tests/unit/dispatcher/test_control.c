/* The thread of the control log with the log, the bucket and the bus in the test's hands: who waits
 * is answered whatever else there is to do. */
#include "mlt_test.h"

#include "store_stub.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

#include "catalogue.h"
#include "control.h"
#include "meltica/base/clock.h"
#include "meltica/bus/stored.h"
#include "meltica/bus/stream_reader.h"

#define TABLE                                                                                      \
    "{\"version\":1,\"routes\":[{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"}],"                  \
    "\"subscriptions\":[]}"
#define WAIT_S 60
#define RECORDS_MAX 512u

/* ---- the log, the bucket and the bus ---- */

struct record {
    char id[32];
    bool active;
    int64_t lease_end_ns, time_ns; /* wall */
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct record records[RECORDS_MAX]; /* the log: sequence is place + 1 */
    unsigned count;
    int64_t created_ns;
    bool hold; /* appends wait */
    unsigned held, appended;
    bool opened, read;
    mlt_bus_handler_fn apply_handler;
    void *apply_ctx;
    char outcome[32]; /* of the last answer; "": none yet */
    unsigned appended_then;
} world = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static struct mlt_table *table;
static struct mlt_catalogue *catalogue;
static struct mlt_live live;
static struct mlt_control *control;
static pthread_mutex_t live_lock = PTHREAD_MUTEX_INITIALIZER;

static void lock(void)
{
    (void)pthread_mutex_lock(&world.lock);
}

static void unlock(void)
{
    (void)pthread_cond_broadcast(&world.changed);
    (void)pthread_mutex_unlock(&world.lock);
}

enum mlt_status __wrap_mlt_stored_inspect(struct mlt_store *store, enum mlt_stored which,
                                          uint32_t replicas, struct mlt_stored_report *report,
                                          struct mlt_error *err);
enum mlt_status __wrap_mlt_stream_append(struct mlt_store *store, const char *subject,
                                         const char *message_id, const uint64_t *expected,
                                         struct mlt_slice payload, uint64_t *sequence,
                                         bool *duplicate, struct mlt_error *err);
enum mlt_status __wrap_mlt_stream_reader_next(struct mlt_stream_reader *reader, uint64_t from,
                                              struct mlt_buf *payload, uint64_t *sequence,
                                              struct mlt_error *err);
enum mlt_status __wrap_mlt_kv_get(struct mlt_store *store, const char *bucket, const char *key,
                                  struct mlt_buf *value, uint64_t *revision, struct mlt_error *err);
enum mlt_status __wrap_mlt_kv_update(struct mlt_store *store, const char *bucket, const char *key,
                                     struct mlt_slice value, uint64_t expected, uint64_t *revision,
                                     struct mlt_error *err);
enum mlt_status __wrap_mlt_bus_subscribe(struct mlt_bus *bus,
                                         const struct mlt_bus_subscribe_options *options,
                                         mlt_bus_handler_fn handler, void *ctx,
                                         struct mlt_bus_subscription **subscription,
                                         struct mlt_error *err);
enum mlt_status __wrap_mlt_bus_wait_connected(struct mlt_bus *bus, int64_t timeout_ns);
enum mlt_status __wrap_mlt_bus_request(struct mlt_bus *bus, const char *subject,
                                       struct mlt_slice payload, int64_t timeout_ns,
                                       struct mlt_buf *answer, struct mlt_error *err);
enum mlt_status __wrap_mlt_bus_reply(struct mlt_bus *bus, const char *reply,
                                     struct mlt_slice payload, int error_code,
                                     const char *error_text);

enum mlt_status __wrap_mlt_stored_inspect(struct mlt_store *store, enum mlt_stored which,
                                          uint32_t replicas, struct mlt_stored_report *report,
                                          struct mlt_error *err)
{
    (void)store;
    (void)replicas;
    (void)err;
    assert_int_equal(which, MLT_STORED_CONTROL);
    memset(report, 0, sizeof *report);
    lock();
    report->created_ns = world.created_ns;
    report->last_sequence = world.count;
    unlock();
    return MLT_OK;
}

enum mlt_status __wrap_mlt_stream_append(struct mlt_store *store, const char *subject,
                                         const char *message_id, const uint64_t *expected,
                                         struct mlt_slice payload, uint64_t *sequence,
                                         bool *duplicate, struct mlt_error *err)
{
    (void)store;
    (void)message_id;
    (void)expected;
    (void)err;
    *duplicate = false;
    *sequence = 1;
    if (strncmp(subject, "meltica.int.control.", 20) != 0) { /* the audit */
        return MLT_OK;
    }
    Meltica__V1__ControlRecord *record =
        meltica__v1__control_record__unpack(NULL, payload.len, payload.data);
    assert_non_null(record);
    lock();
    world.held++;
    (void)pthread_cond_broadcast(&world.changed);
    while (world.hold) {
        (void)pthread_cond_wait(&world.changed, &world.lock);
    }
    assert_true(world.count < RECORDS_MAX);
    struct record *r = &world.records[world.count++];
    *r = (struct record){ .active = record->active };
    (void)snprintf(r->id, sizeof r->id, "%s", record->subscription);
    *sequence = world.count;
    world.appended++;
    unlock();
    meltica__v1__control_record__free_unpacked(record, NULL);
    return MLT_OK;
}

enum mlt_status __wrap_mlt_stream_reader_next(struct mlt_stream_reader *reader, uint64_t from,
                                              struct mlt_buf *payload, uint64_t *sequence,
                                              struct mlt_error *err)
{
    assert_non_null(reader);
    char desk[] = "desk", token[] = "A-B", *instruments[] = { token };
    lock();
    const bool there = from <= world.count;
    const struct record r = there ? world.records[from - 1] : (struct record){ .active = false };
    unlock();
    if (!there) {
        return mlt_error_set(err, MLT_E_NOT_FOUND, "no more");
    }
    Meltica__V1__ControlRecord record;
    meltica__v1__control_record__init(&record);
    char id[32];
    (void)snprintf(id, sizeof id, "%s", r.id);
    record.subscription = id;
    record.principal = record.consumer = desk;
    record.type = MELTICA__V1__EVENT_TYPE__TRADE;
    record.active = r.active;
    record.instruments = instruments;
    record.n_instruments = r.active ? 1 : 0;
    record.lease_end = (uint64_t)r.lease_end_ns;
    record.time = (uint64_t)r.time_ns;
    assert_int_equal(
        mlt_buf_reserve(payload, meltica__v1__control_record__get_packed_size(&record)), MLT_OK);
    payload->len += meltica__v1__control_record__pack(&record, payload->data + payload->len);
    *sequence = from;
    return MLT_OK;
}

enum mlt_status __wrap_mlt_kv_get(struct mlt_store *store, const char *bucket, const char *key,
                                  struct mlt_buf *value, uint64_t *revision, struct mlt_error *err)
{
    (void)store;
    (void)bucket;
    (void)key;
    (void)value;
    (void)revision;
    return mlt_error_set(err, MLT_E_NOT_FOUND, "none");
}

enum mlt_status __wrap_mlt_kv_update(struct mlt_store *store, const char *bucket, const char *key,
                                     struct mlt_slice value, uint64_t expected, uint64_t *revision,
                                     struct mlt_error *err)
{
    (void)store;
    (void)bucket;
    (void)key;
    (void)value;
    (void)err;
    *revision = expected + 1;
    return MLT_OK;
}

enum mlt_status __wrap_mlt_bus_subscribe(struct mlt_bus *bus,
                                         const struct mlt_bus_subscribe_options *options,
                                         mlt_bus_handler_fn handler, void *ctx,
                                         struct mlt_bus_subscription **subscription,
                                         struct mlt_error *err)
{
    (void)bus;
    (void)err;
    assert_string_equal(options->subject, "meltica.int.apply.00");
    world.apply_handler = handler;
    world.apply_ctx = ctx;
    *subscription = NULL;
    return MLT_OK;
}

enum mlt_status __wrap_mlt_bus_wait_connected(struct mlt_bus *bus, int64_t timeout_ns)
{
    (void)bus;
    (void)timeout_ns;
    return MLT_OK;
}

/* The Data Bus has any table. */
enum mlt_status __wrap_mlt_bus_request(struct mlt_bus *bus, const char *subject,
                                       struct mlt_slice payload, int64_t timeout_ns,
                                       struct mlt_buf *answer, struct mlt_error *err)
{
    (void)bus;
    (void)payload;
    (void)timeout_ns;
    (void)answer;
    (void)err;
    assert_string_equal(subject, "meltica.int.out.table");
    return MLT_OK;
}

enum mlt_status __wrap_mlt_bus_reply(struct mlt_bus *bus, const char *reply,
                                     struct mlt_slice payload, int error_code,
                                     const char *error_text)
{
    (void)bus;
    (void)error_code;
    (void)error_text;
    assert_string_equal(reply, "inbox");
    Meltica__V1__ApplyReply *said =
        meltica__v1__apply_reply__unpack(NULL, payload.len, payload.data);
    assert_non_null(said);
    lock();
    (void)snprintf(world.outcome, sizeof world.outcome, "%s", said->outcome);
    world.appended_then = world.appended;
    unlock();
    meltica__v1__apply_reply__free_unpacked(said, NULL);
    return MLT_OK;
}

/* ---- the Dispatcher ---- */

static struct mlt_live *lock_live(void *ctx, const struct mlt_table **of)
{
    (void)ctx;
    (void)pthread_mutex_lock(&live_lock);
    *of = table;
    return &live;
}

static void unlock_live(void *ctx)
{
    (void)ctx;
    (void)pthread_mutex_unlock(&live_lock);
}

static enum mlt_status apply(void *ctx, const Meltica__V1__ControlRecord *record, uint64_t sequence,
                             uint64_t *revision)
{
    const struct mlt_table *of = NULL;
    struct mlt_live_item *released = NULL;
    bool changed = false;
    (void)lock_live(ctx, &of);
    enum mlt_status status = mlt_live_apply(&live, table, record, sequence, &released, &changed);
    if (status == MLT_OK && changed) {
        status = mlt_catalogue_subscribe(catalogue, &live);
    }
    *revision = mlt_catalogue_revision(catalogue);
    struct mlt_live_item *item = mlt_live_find(&live, record->subscription);
    if (item != NULL) {
        const struct mlt_live_clocks now = { mlt_clock_wall_ns(), mlt_clock_mono_ns() };
        mlt_live_lease(item, record, true, &now);
        item->revision = *revision;
    }
    unlock_live(ctx);
    mlt_live_release(released);
    return status;
}

static void on_read(void *ctx)
{
    (void)ctx;
    lock();
    world.read = true;
    unlock();
}

static void on_open(void *ctx)
{
    (void)ctx;
    lock();
    world.opened = true;
    unlock();
}

static void on_answered(void *ctx, const struct mlt_control_answered *answered)
{
    (void)ctx;
    (void)answered;
}

static bool may(void *ctx)
{
    (void)ctx;
    return true;
}

static int setup(void **state)
{
    (void)state;
    static const struct mlt_control_ports ports = { apply,       on_read,     on_open, lock_live,
                                                    unlock_live, on_answered, may,     NULL };
    struct mlt_error err = MLT_ERROR_INIT;
    world.count = world.held = world.appended = world.appended_then = 0;
    world.hold = world.opened = world.read = false;
    world.created_ns = 1;
    world.outcome[0] = '\0';
    mlt_live_init(&live);
    assert_int_equal(mlt_table_parse(mlt_slice_of_string(TABLE), &table, &err), MLT_OK);
    assert_int_equal(mlt_catalogue_create(table, 100, &catalogue), MLT_OK);
    return mlt_control_create(NULL, 1, 1, 7, &ports, &control, &err) == MLT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    lock();
    world.hold = false;
    unlock();
    mlt_control_destroy(control);
    mlt_catalogue_destroy(catalogue);
    mlt_live_fini(&live);
    mlt_table_destroy(table);
    return 0;
}

static void begin(void)
{
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_control_start(control, &err), MLT_OK);
}

/* Under the lock; ends with lease_ns from now, 0: it has none. */
static uint64_t log_one(const char *id, bool active, int64_t lease_ns)
{
    struct record *r = &world.records[world.count++];
    *r = (struct record){ .active = active, .time_ns = mlt_clock_wall_ns() };
    r->lease_end_ns = lease_ns != 0 ? r->time_ns + lease_ns : 0;
    (void)snprintf(r->id, sizeof r->id, "%s", id);
    return world.count;
}

/* An Adapter that has every plan. */
static void adapter_has_all(void)
{
    Meltica__V1__PlanStatus status;
    uint8_t bytes[64];
    char name[] = "adapter";
    meltica__v1__plan_status__init(&status);
    status.instance = name;
    status.revision = UINT64_MAX;
    status.applied = true;
    const size_t len = meltica__v1__plan_status__pack(&status, bytes);
    mlt_control_status(control, mlt_slice_of(bytes, len));
}

static void ask(const char *id, bool active, uint64_t sequence)
{
    Meltica__V1__ApplyRequest request;
    uint8_t bytes[128];
    char text[32];
    (void)snprintf(text, sizeof text, "%s", id);
    meltica__v1__apply_request__init(&request);
    request.subscription = text;
    request.active = active;
    request.log_sequence = sequence;
    request.wait_ms = 1900;
    const size_t len = meltica__v1__apply_request__pack(&request, bytes);
    const struct mlt_bus_message message = { .subject = "meltica.int.apply.00",
                                             .reply = "inbox",
                                             .payload = mlt_slice_of(bytes, len) };
    world.apply_handler(world.apply_ctx, &message);
}

/* What was answered, when it is, or the time is over. */
static const char *outcome(void)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    lock();
    while (world.outcome[0] == '\0' &&
           pthread_cond_timedwait(&world.changed, &world.lock, &until) == 0) {
    }
    unlock();
    return world.outcome;
}

/* ---- tests ---- */

/* Hundreds of leases that end at once are hundreds of records, each with an acknowledgement: who
 * waits meanwhile is answered between them. */
static void test_who_waits_is_answered_before_many_leases_have_ended(void **state)
{
    (void)state;
    enum { LEASES = 200 };
    char id[32];
    lock();
    for (unsigned i = 0; i < LEASES; i++) {
        (void)snprintf(id, sizeof id, "leased%03u", i);
        (void)log_one(id, true, -MLT_NS_PER_S); /* over since */
    }
    const uint64_t sequence = log_one("mine", true, 0);
    world.hold = true;
    unlock();
    begin();
    lock();
    while (world.held == 0) {
        (void)pthread_cond_wait(&world.changed, &world.lock);
    }
    unlock();
    adapter_has_all();
    ask("mine", true, sequence);
    lock();
    world.hold = false;
    (void)pthread_cond_broadcast(&world.changed);
    unlock();
    assert_string_equal(outcome(), "CONFIRMED");
    assert_true(world.appended_then < LEASES / 2);
    lock();
    while (world.appended < LEASES) { /* and the rest of them end, too */
        (void)pthread_cond_wait(&world.changed, &world.lock);
    }
    unlock();
}

static bool has_read(uint64_t sequence)
{
    struct mlt_control_stats stats;
    mlt_control_get_stats(control, &stats);
    return stats.log_read && stats.sequence >= sequence;
}

/* The first command after the log was lost: its sequence is one that was read of the log before. */
static void test_a_command_of_a_log_that_was_made_anew_takes_effect(void **state)
{
    (void)state;
    lock();
    for (unsigned i = 0; i < 3; i++) {
        (void)log_one("other", true, 0);
    }
    unlock();
    begin();
    const int64_t until_ns = mlt_clock_mono_ns() + WAIT_S * MLT_NS_PER_S;
    while (!has_read(3) && mlt_clock_mono_ns() < until_ns) {
        (void)sched_yield();
    }
    assert_true(has_read(3));
    adapter_has_all();
    lock();
    world.count = 0;
    world.created_ns = 2;
    const uint64_t sequence = log_one("mine", true, 0);
    unlock();
    ask("mine", true, sequence);
    assert_string_equal(outcome(), "CONFIRMED");
}

/* In the log that is read, on the other hand, a later record has changed it. */
static void test_a_command_whose_effect_was_replaced_is_superseded(void **state)
{
    (void)state;
    lock();
    const uint64_t sequence = log_one("mine", true, 0);
    (void)log_one("mine", false, 0);
    unlock();
    begin();
    adapter_has_all();
    ask("mine", true, sequence);
    assert_string_equal(outcome(), "SUPERSEDED");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_command_of_a_log_that_was_made_anew_takes_effect),
        TEST(test_a_command_whose_effect_was_replaced_is_superseded),
        TEST(test_who_waits_is_answered_before_many_leases_have_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
