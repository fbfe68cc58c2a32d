/* Requests for snapshots with the bus in the test's hands: an Adapter that is away or silent costs
 * the others nothing. */
#include "mlt_test.h"

#include "store_stub.h"

#include <pthread.h>
#include <stdio.h>

#include "meltica/v1/internal.pb-c.h"
#include "resync.h"

/* ---- the bus and the Dispatcher ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    mlt_bus_handler_fn handler;
    void *ctx;
    unsigned calls_there, calls_away; /* fetches */
    unsigned answers, accepted;
    char reason[64]; /* of the last answer */
    bool heard;      /* the Adapter of "away" instruments is not known to be away */
    bool held;       /* calls wait */
    bool mute;       /* another Dispatcher may know better */
} world = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void lock(void)
{
    (void)pthread_mutex_lock(&world.lock);
}

static void unlock(void)
{
    (void)pthread_cond_broadcast(&world.changed);
    (void)pthread_mutex_unlock(&world.lock);
}

enum mlt_status __wrap_mlt_bus_subscribe(struct mlt_bus *bus,
                                         const struct mlt_bus_subscribe_options *options,
                                         mlt_bus_handler_fn handler, void *ctx,
                                         struct mlt_bus_subscription **subscription,
                                         struct mlt_error *err);
enum mlt_status __wrap_mlt_bus_reply(struct mlt_bus *bus, const char *reply,
                                     struct mlt_slice payload, int error_code,
                                     const char *error_text);
enum mlt_status __wrap_mlt_bus_request(struct mlt_bus *bus, const char *subject,
                                       struct mlt_slice payload, int64_t timeout_ns,
                                       struct mlt_buf *answer, struct mlt_error *err);

enum mlt_status __wrap_mlt_bus_subscribe(struct mlt_bus *bus,
                                         const struct mlt_bus_subscribe_options *options,
                                         mlt_bus_handler_fn handler, void *ctx,
                                         struct mlt_bus_subscription **subscription,
                                         struct mlt_error *err)
{
    (void)bus;
    (void)err;
    assert_string_equal(options->subject, "meltica.int.resync");
    world.handler = handler;
    world.ctx = ctx;
    *subscription = NULL;
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
    Meltica__V1__ResyncReply *said =
        meltica__v1__resync_reply__unpack(NULL, payload.len, payload.data);
    assert_non_null(said);
    lock();
    world.answers++;
    world.accepted += said->accepted != 0;
    (void)snprintf(world.reason, sizeof world.reason, "%s", said->reason);
    unlock();
    meltica__v1__resync_reply__free_unpacked(said, NULL);
    return MLT_OK;
}

/* An Adapter that is away is silent; its second is not waited for here, but counted. */
enum mlt_status __wrap_mlt_bus_request(struct mlt_bus *bus, const char *subject,
                                       struct mlt_slice payload, int64_t timeout_ns,
                                       struct mlt_buf *answer, struct mlt_error *err)
{
    (void)bus;
    (void)err;
    assert_string_equal(subject, "meltica.int.fetch");
    assert_true(timeout_ns == MLT_RESYNC_FETCH_NS);
    Meltica__V1__FetchRequest *request =
        meltica__v1__fetch_request__unpack(NULL, payload.len, payload.data);
    assert_non_null(request);
    const bool away = strncmp(request->instrument, "AWAY", 4) == 0;
    meltica__v1__fetch_request__free_unpacked(request, NULL);
    lock();
    while (world.held) {
        (void)pthread_cond_wait(&world.changed, &world.lock);
    }
    world.calls_away += away;
    world.calls_there += !away;
    unlock();
    if (away) {
        return MLT_E_TIMEOUT;
    }
    Meltica__V1__FetchReply reply;
    meltica__v1__fetch_reply__init(&reply);
    reply.accepted = true;
    assert_int_equal(mlt_buf_reserve(answer, 16), MLT_OK);
    answer->len += meltica__v1__fetch_reply__pack(&reply, answer->data + answer->len);
    return MLT_OK;
}

static const struct mlt_route route = { .rest_function = "depth", .number = 3 };

static const char *demand(void *ctx, struct mlt_slice instrument, const struct mlt_want *want,
                          struct mlt_demand *out)
{
    (void)ctx;
    (void)instrument;
    *out = (struct mlt_demand){ &route, want->depth, 0 };
    return "";
}

static bool away(void *ctx, struct mlt_slice instrument)
{
    (void)ctx;
    lock();
    const bool heard = world.heard;
    unlock();
    return !heard && instrument.len >= 4 && memcmp(instrument.data, "AWAY", 4) == 0;
}

static void silent(void *ctx, struct mlt_slice instrument, int64_t at_ns)
{
    (void)ctx;
    assert_memory_equal(instrument.data, "AWAY", 4);
    assert_true(at_ns > 0 && at_ns <= mlt_clock_mono_ns());
    lock();
    world.heard = false;
    unlock();
}

static bool may(void *ctx)
{
    (void)ctx;
    lock();
    const bool mute = world.mute;
    unlock();
    return !mute;
}

/* ---- requests ---- */

static struct mlt_resync *resync;

static int set_up(void **state)
{
    (void)state;
    const struct mlt_resync_ports ports = { demand, away, silent, may, NULL };
    struct mlt_error err = MLT_ERROR_INIT;
    world.calls_there = world.calls_away = world.answers = world.accepted = 0;
    world.heard = world.held = world.mute = false;
    return mlt_resync_create(NULL, &ports, &resync, &err) == MLT_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_resync_destroy(resync);
    return 0;
}

static void request(const char *instrument)
{
    uint8_t bytes[128];
    char token[32];
    (void)snprintf(token, sizeof token, "%s", instrument);
    Meltica__V1__ResyncRequest message;
    meltica__v1__resync_request__init(&message);
    message.instrument = token;
    message.depth = 100;
    message.priority = MELTICA__V1__PRIORITY__PRIORITY_RESYNC;
    const size_t len = meltica__v1__resync_request__pack(&message, bytes);
    const struct mlt_bus_message mail = { .subject = "meltica.int.resync",
                                          .reply = "inbox",
                                          .payload = mlt_slice_of(bytes, len) };
    world.handler(world.ctx, &mail);
}

/* Bounded by the time of the whole test. */
static void await_answers(unsigned count)
{
    lock();
    while (world.answers < count) {
        (void)pthread_cond_wait(&world.changed, &world.lock);
    }
    unlock();
}

static void test_an_adapter_that_is_away_is_not_asked(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        request("AWAY-USDT");
        assert_int_equal(world.answers, i + 1); /* before it returned */
        assert_string_equal(world.reason, "adapter_away");
    }
    request("BTC-USDT");
    await_answers(11);
    assert_int_equal(world.accepted, 1);
    assert_int_equal(world.calls_there, 1);
    assert_int_equal(world.calls_away, 0);
    struct mlt_resync_stats stats;
    mlt_resync_get_stats(resync, &stats);
    assert_int_equal(stats.outcomes[MLT_RESYNC_AWAY], 10);
}

/* It died a moment ago: the first one finds out, for all that wait behind it. */
static void test_an_adapter_that_is_silent_costs_one_wait(void **state)
{
    (void)state;
    world.heard = true;
    world.held = true;
    for (unsigned i = 0; i < 10; i++) {
        request("AWAY-USDT");
        request("BTC-USDT");
    }
    lock();
    world.held = false;
    unlock();
    await_answers(20);
    assert_int_equal(world.calls_away, 1);
    assert_int_equal(world.calls_there, 10);
    assert_int_equal(world.accepted, 10);
    request("AWAY-USDT");
    assert_int_equal(world.answers, 21);
    lock();
    world.heard = true; /* it is back */
    unlock();
    request("AWAY-USDT");
    await_answers(22);
    assert_int_equal(world.calls_away, 2);
}

/* One that is not sure that nobody else answers says nothing, not even no. */
static void test_what_another_one_may_know_better_is_not_answered(void **state)
{
    (void)state;
    lock();
    world.mute = true;
    unlock();
    request("AWAY-USDT");
    request("BTC-USDT");
    lock();
    world.mute = false;
    unlock();
    request("ETH-USDT"); /* behind them */
    await_answers(1);
    assert_int_equal(world.answers, 1);
    assert_int_equal(world.calls_there, 1);
    assert_int_equal(world.accepted, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_adapter_that_is_away_is_not_asked, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_an_adapter_that_is_silent_costs_one_wait, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_another_one_may_know_better_is_not_answered,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
