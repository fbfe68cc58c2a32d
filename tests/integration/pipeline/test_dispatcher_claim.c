/* The claim of one of several Dispatchers: it is tried again where it could not be had, given up in
 * order, and had again at once. The test is the other replicas, the Adapter and the Conductor. */
#include "dispatcher_rig.h"

#include <signal.h>
#include <stdio.h>

#include "meltica/base/clock.h"
#include "meltica/bus/owners.h"
#include "meltica/bus/stored.h"

#define TABLE                                                                                      \
    "{\"version\":1,\"routes\":[{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\"}],"                  \
    "\"subscriptions\":[{\"id\":\"t\",\"type\":\"TRADE\",\"instruments\":[\"BTC-USDT\"]}]}"
#define BEATS "meltica.int.owners.dispatcher"
#define UNCLAIMED UINT64_C(1) /* its epoch as others hear it */
#define OTHER_BOOT UINT64_C(99)

static struct rig rig;

/* What is heard of it; under the rig's lock. */
struct ear {
    uint64_t epoch; /* of the last beat; 0: it owns nothing, or claims */
    uint64_t highest;
    unsigned idle; /* beats since it owned something */
    bool leaving;
    uint64_t boot, hop_epoch; /* of the last batch or head */
    unsigned boots;
};
static struct ear ear;
static struct mlt_bus_subscription *beats, *hops;

static void on_beat(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_owners_beat beat;
    (void)ctx;
    if (mlt_owners_decode(message->payload, &beat) != MLT_OK || beat.boot == OTHER_BOOT) {
        return;
    }
    (void)pthread_mutex_lock(&rig.lock);
    ear.epoch = beat.partitions == 1 ? beat.epochs[0] : 0;
    ear.idle = beat.partitions == 0 ? ear.idle + 1 : 0;
    ear.highest = ear.epoch > ear.highest ? ear.epoch : ear.highest;
    ear.leaving = ear.leaving || beat.leaving;
    (void)pthread_cond_broadcast(&rig.changed);
    (void)pthread_mutex_unlock(&rig.lock);
}

static void on_hop(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_hop hop;
    (void)ctx;
    if (mlt_hop_decode(message->payload, &hop) != MLT_OK) {
        return;
    }
    (void)pthread_mutex_lock(&rig.lock);
    ear.boots += hop.boot != ear.boot;
    ear.boot = hop.boot;
    ear.hop_epoch = hop.epoch;
    (void)pthread_cond_broadcast(&rig.changed);
    (void)pthread_mutex_unlock(&rig.lock);
}

static void listen_to(const char *subject, mlt_bus_handler_fn handler,
                      struct mlt_bus_subscription **subscription)
{
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_bus_subscribe_options options = { .subject = subject };
    assert_int_equal(mlt_bus_subscribe(rig.control, &options, handler, NULL, subscription, &err),
                     MLT_OK);
    (void)mlt_bus_rtt_ns(rig.control);
}

static void start(void)
{
    rig_start(&rig, true, TABLE);
    memset(&ear, 0, sizeof ear);
    listen_to(BEATS, on_beat, &beats);
    listen_to("meltica.int.canonical.*", on_hop, &hops);
}

static struct ear heard(void)
{
    (void)pthread_mutex_lock(&rig.lock);
    const struct ear now = ear;
    (void)pthread_mutex_unlock(&rig.lock);
    return now;
}

static void stop(void)
{
    mlt_bus_unsubscribe(beats);
    mlt_bus_unsubscribe(hops);
    rig_end(&rig);
}

static bool owns_above(struct rig *r, const void *epoch)
{
    (void)r;
    return ear.epoch > *(const uint64_t *)epoch;
}

static uint64_t await_epoch_above(uint64_t epoch)
{
    assert_true(rig_wait(&rig, owns_above, &epoch));
    return heard().epoch;
}

static bool has_left(struct rig *r, const void *ctx)
{
    (void)r, (void)ctx;
    return ear.leaving;
}

static bool speaks_with(struct rig *r, const void *epoch)
{
    (void)r;
    return ear.boot != 0 && ear.hop_epoch == *(const uint64_t *)epoch;
}

static bool has_plan_of(struct rig *r, const void *epoch)
{
    return r->plan_count > 0 && r->plan_log[r->plan_count - 1]->epoch == *(const uint64_t *)epoch;
}

static void say_beat(uint64_t partitions, uint64_t epoch, bool leaving)
{
    const struct mlt_owners_beat beat = { .boot = OTHER_BOOT,
                                          .replica = 0,
                                          .replicas = 2,
                                          .leaving = leaving,
                                          .partitions = partitions,
                                          .epochs = { epoch } };
    uint8_t bytes[MLT_OWNERS_BEAT_BYTES_MAX];
    const size_t len = mlt_owners_encode(&beat, "other", bytes);
    assert_int_equal(mlt_bus_publish(rig.control, BEATS, mlt_slice_of(bytes, len)), MLT_OK);
}

/* ---- the tests ---- */

/* Its figure, within the rig's patience; asking is what waits. */
static bool comes_to_be_active(int64_t wanted)
{
    const int64_t until_ns = mlt_clock_mono_ns() + RIG_WAIT_NS;
    while (rig_metric(&rig, "meltica_dispatcher_active") != wanted) {
        if (mlt_clock_mono_ns() > until_ns) {
            return false;
        }
    }
    return true;
}

static void never(void *ctx, uint32_t slot, uint64_t epoch)
{
    (void)ctx, (void)slot, (void)epoch;
}

/* The operator makes the bucket later than the Dispatcher is started. */
static void test_a_claim_that_could_not_be_had_is_had_later(void **state)
{
    static const char *const options[] = { "--replica",   "0",        "--replicas", "2",
                                           "--provision", "external", NULL };
    const uint64_t none = 0;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_store *store = NULL;
    size_t events = 1;
    (void)state;
    start();
    rig_run_dispatcher_with(&rig, options);
    rig_wait_serves(&rig);
    assert_int_equal(await_epoch_above(0), UNCLAIMED);
    struct mlt_native_event trade = rig_instance(MLT_EVENT_TRADE, "BTC-USDT", 1);
    rig_send(&rig, &trade);
    assert_true(rig_wait_events(&rig, events++));
    assert_true(rig_wait(&rig, speaks_with, &none));
    assert_true(comes_to_be_active(1));
    assert_int_equal(mlt_store_create(rig.control, 1, &store, &err), MLT_OK);
    assert_int_equal(mlt_stored_ensure(store, MLT_STORED_OWNERS, &err), MLT_OK);
    const uint64_t epoch = await_epoch_above(UNCLAIMED);
    /* All that it says has it now, and nobody has to begin anew. */
    trade.first = trade.last = trade.u.trade.trade_id = 2;
    rig_send(&rig, &trade);
    assert_true(rig_wait_events(&rig, events++));
    assert_true(rig_wait(&rig, speaks_with, &epoch));
    assert_true(rig_wait(&rig, has_plan_of, &epoch));
    assert_int_equal(heard().boots, 1);
    assert_int_equal(rig.losses, 0);
    assert_int_equal(rig_says(&rig, "\"event\":\"unclaimed\""), 1);
    rig_wait_says(&rig, "\"event\":\"claimed\""); /* a moment after it plans with it */
    assert_int_equal(rig_says(&rig, "\"event\":\"claimed\""), 1);
    assert_true(rig_metric(&rig, "meltica_dispatcher_claims_failed_total") >= 1);
    /* And another one can take it from it. */
    const struct mlt_claims_options claim = { .service = "dispatcher",
                                              .instance = "other",
                                              .boot = OTHER_BOOT,
                                              .slots = 1,
                                              .on_outbid = never };
    uint64_t epochs[MLT_SLOT_COUNT] = { 0 };
    struct mlt_claims *claims = NULL;
    assert_int_equal(mlt_claims_create(store, &claim, epochs, &claims, &err), MLT_OK);
    assert_true(epochs[0] > epoch);
    rig_wait_says(&rig, "\"event\":\"outbid\"");
    mlt_claims_destroy(claims);
    mlt_store_destroy(store);
    assert_int_equal(process_end(&rig.dispatcher, SIGTERM), 0);
    stop();
}

static unsigned puts_seen; /* of claims; under the rig's lock */

static void on_put(void *ctx, const struct mlt_bus_message *message)
{
    (void)ctx, (void)message;
    (void)pthread_mutex_lock(&rig.lock);
    puts_seen++;
    (void)pthread_cond_broadcast(&rig.changed);
    (void)pthread_mutex_unlock(&rig.lock);
}

static void forget_puts(void)
{
    (void)pthread_mutex_lock(&rig.lock);
    puts_seen = 0;
    (void)pthread_mutex_unlock(&rig.lock);
}

static bool has_put(struct rig *r, const void *ctx)
{
    (void)r, (void)ctx;
    return puts_seen > 0;
}

/* A bucket, but for its acknowledgements. */
static void make_mute_bucket(const char *name)
{
    char config[512], subject[96];
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf answer;
    (void)snprintf(config, sizeof config,
                   "{\"name\":\"KV_%s\",\"subjects\":[\"$KV.%s.>\"],\"max_msgs_per_subject\":1,"
                   "\"storage\":\"memory\",\"allow_direct\":true,\"allow_rollup_hdrs\":true,"
                   "\"no_ack\":true,\"num_replicas\":1}",
                   name, name);
    (void)snprintf(subject, sizeof subject, "$JS.API.STREAM.CREATE.KV_%s", name);
    mlt_buf_init(&answer, 65536);
    assert_int_equal(mlt_bus_request(rig.control, subject, mlt_slice_of_string(config), RIG_WAIT_NS,
                                     &answer, &err),
                     MLT_OK);
    mlt_buf_fini(&answer);
}

/* A subscription in the log, so that what came of it is put into meltica-dispatch. */
static void log_subscription(void)
{
    static char id[] = "one", alice[] = "alice", consumer[] = "c", verb[] = "subscribe",
                instrument[] = "BTC-USDT";
    char *instruments[] = { instrument };
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_store *store = NULL;
    Meltica__V1__ControlRecord record;
    uint8_t bytes[256];
    uint64_t sequence = 0;
    bool duplicate = false;
    meltica__v1__control_record__init(&record);
    record.subscription = id;
    record.principal = alice;
    record.consumer = consumer;
    record.verb = verb;
    record.active = true;
    record.type = (Meltica__V1__EventType)MLT_EVENT_TRADE;
    record.instruments = instruments;
    record.n_instruments = 1;
    assert_true(meltica__v1__control_record__get_packed_size(&record) <= sizeof bytes);
    const size_t len = meltica__v1__control_record__pack(&record, bytes);
    assert_int_equal(mlt_store_create(rig.control, 1, &store, &err), MLT_OK);
    assert_int_equal(mlt_stored_ensure(store, MLT_STORED_CONTROL, &err), MLT_OK);
    assert_int_equal(mlt_stream_append(store, "meltica.int.control.alice.one", NULL, NULL,
                                       mlt_slice_of(bytes, len), &sequence, &duplicate, &err),
                     MLT_OK);
    mlt_store_destroy(store);
}

/* The other one's beats: each time as an owner that lives says them. */
static void outbid_until_it_is_idle(uint64_t epoch)
{
    const int64_t until_ns = mlt_clock_mono_ns() + RIG_WAIT_NS;
    int rc = 0;
    (void)pthread_mutex_lock(&rig.lock);
    while (ear.idle < 3 && mlt_clock_mono_ns() < until_ns) {
        (void)pthread_mutex_unlock(&rig.lock);
        say_beat(1, epoch, false);
        const int64_t at = mlt_clock_mono_ns() + 100 * MLT_NS_PER_MS;
        const struct timespec next = { .tv_sec = at / MLT_NS_PER_S, .tv_nsec = at % MLT_NS_PER_S };
        (void)pthread_mutex_lock(&rig.lock);
        for (rc = 0; ear.idle < 3 && rc == 0;) {
            rc = pthread_cond_clockwait(&rig.changed, &rig.lock, CLOCK_MONOTONIC, &next);
        }
    }
    const bool idle = ear.idle >= 3;
    (void)pthread_mutex_unlock(&rig.lock);
    assert_true(idle);
}

/* Outbid while it waits for a second for an acknowledgement, it takes so long to end; and whoever
 * outbid it leaves meanwhile: it has all again as soon as it has ended. */
static void test_what_is_released_while_it_ends_is_taken_when_it_has(void **state)
{
    static const char *const options[] = { "--replica", "1", "--replicas", "2", NULL };
    struct mlt_bus_subscription *puts = NULL;
    (void)state;
    start();
    log_subscription();
    make_mute_bucket(MLT_DISPATCH_BUCKET);
    listen_to("$KV." MLT_DISPATCH_BUCKET ".one", on_put, &puts);
    rig_run_dispatcher_with(&rig, options);
    const uint64_t first = await_epoch_above(UNCLAIMED);
    forget_puts();
    assert_true(rig_wait(&rig, has_put, NULL));
    outbid_until_it_is_idle(first + 1); /* and knows that it is not the owner */
    say_beat(0, 0, true);
    const int64_t at = mlt_clock_mono_ns();
    assert_true(await_epoch_above(first) > first);
    const int64_t took = mlt_clock_mono_ns() - at;
    print_message("    claimed again after %lld ms\n", (long long)(took / MLT_NS_PER_MS));
    assert_true(took < 2 * MLT_OWNERS_RETRY_NS); /* of which a second is the claim's that hangs */
    assert_int_equal(rig_says(&rig, "\"event\":\"outbid\""), 1);
    rig_wait_serves(&rig);
    assert_int_equal(rig_metric(&rig, "meltica_dispatcher_takeovers_total{reason=\"released\"}"),
                     1);
    mlt_bus_unsubscribe(puts);
    assert_int_equal(process_end(&rig.dispatcher, SIGTERM), 0);
    assert_true(rig_wait(&rig, has_left, NULL));
    stop();
}

/* A claim is on its way, and is never answered, as the service is told to end: it is not sent
 * again, nothing begins, and the others hear that it leaves. */
static void test_who_ends_while_it_claims_leaves_it(void **state)
{
    static const char *const options[] = { "--replica", "0", "--replicas", "2", NULL };
    struct mlt_bus_subscription *puts = NULL;
    (void)state;
    start();
    forget_puts();
    make_mute_bucket(MLT_OWNERS_BUCKET);
    listen_to("$KV.meltica-owners.dispatcher.0", on_put, &puts);
    rig_run_dispatcher_with(&rig, options);
    assert_true(rig_wait(&rig, has_put, NULL));
    assert_int_equal(process_end(&rig.dispatcher, SIGTERM), 0);
    assert_true(rig_wait(&rig, has_left, NULL)); /* after all that it has put */
    mlt_bus_unsubscribe(puts);
    assert_int_equal(puts_seen, 1);
    assert_int_equal(rig_says(&rig, "\"event\":\"unclaimed\""), 0);
    assert_int_equal(heard().highest, 0);
    assert_int_equal(heard().boots, 0);
    stop();
}

/* It holds still: another one may work. */
static void test_one_that_does_not_hear_itself_is_not_active(void **state)
{
    static const char *const options[] = { "--replica", "0", "--replicas", "2", NULL };
    (void)state;
    start();
    rig_run_dispatcher_with(&rig, options);
    rig_wait_serves(&rig);
    assert_true(comes_to_be_active(1));
    assert_int_equal(kill(rig.server.pid, SIGSTOP), 0);
    const bool left = comes_to_be_active(0);
    assert_int_equal(kill(rig.server.pid, SIGCONT), 0);
    assert_true(left);
    assert_true(comes_to_be_active(1));
    assert_int_equal(process_end(&rig.dispatcher, SIGTERM), 0);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_claim_that_could_not_be_had_is_had_later),
        cmocka_unit_test(test_what_is_released_while_it_ends_is_taken_when_it_has),
        cmocka_unit_test(test_who_ends_while_it_claims_leaves_it),
        cmocka_unit_test(test_one_that_does_not_hear_itself_is_not_active),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
