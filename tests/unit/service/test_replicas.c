/* What a service hears of its other replicas, and when: the service and the bus around mlt_replicas
 * are this program's. */
#include <pthread.h>
#include <time.h>

#include "meltica/rt/loop.h"
#include "meltica/service/replicas.h"
#include "mlt_test.h"

#define OWN 11u
#define OTHER 22u
#define WAIT_NS (20 * MLT_NS_PER_S)

static mlt_bus_handler_fn handler;
static void *handler_ctx;
static struct mlt_metrics *metrics;
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned heard, taken, heard_when_taken;
    unsigned asked; /* what is fit to be taken, */
    uint64_t unfit; /* which these are not */
    bool early;     /* taken over while it was told */
    struct mlt_owners_beat last;
    int64_t last_ns;
} saw = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- the service and its bus ---- */

uint64_t mlt_service_boot(const struct mlt_service *service)
{
    (void)service;
    return OWN;
}

uint32_t mlt_service_replica(const struct mlt_service *service)
{
    (void)service;
    return 0;
}

uint32_t mlt_service_replicas(const struct mlt_service *service)
{
    (void)service;
    return 2;
}

const char *mlt_service_instance(const struct mlt_service *service)
{
    (void)service;
    return "tiny-0";
}

struct mlt_metrics *mlt_service_metrics(struct mlt_service *service)
{
    (void)service;
    return metrics;
}

struct mlt_loop *mlt_service_loop(struct mlt_service *service)
{
    (void)service;
    return NULL;
}

struct mlt_bus *mlt_service_data_bus(struct mlt_service *service)
{
    (void)service;
    return NULL;
}

struct mlt_bus *mlt_service_control_bus(struct mlt_service *service)
{
    (void)service;
    return NULL;
}

uint32_t mlt_service_provision_replicas(const struct mlt_service *service)
{
    (void)service;
    return 1;
}

void mlt_service_drained(struct mlt_service *service)
{
    (void)service;
}

enum mlt_status mlt_timer_create(struct mlt_loop *loop, void (*fn)(void *ctx), void *ctx,
                                 struct mlt_timer **timer)
{
    (void)loop, (void)fn, (void)ctx;
    *timer = NULL;
    return MLT_OK;
}

void mlt_timer_start(struct mlt_timer *timer, int64_t delay_ns)
{
    (void)timer, (void)delay_ns;
}

void mlt_timer_destroy(struct mlt_timer *timer)
{
    (void)timer;
}

enum mlt_status mlt_bus_subscribe(struct mlt_bus *bus,
                                  const struct mlt_bus_subscribe_options *options,
                                  mlt_bus_handler_fn fn, void *ctx,
                                  struct mlt_bus_subscription **subscription, struct mlt_error *err)
{
    (void)bus, (void)err;
    assert_string_equal(options->subject, "meltica.int.owners.tiny");
    handler = fn;
    handler_ctx = ctx;
    *subscription = NULL;
    return MLT_OK;
}

void mlt_bus_unsubscribe(struct mlt_bus_subscription *subscription)
{
    (void)subscription;
}

bool mlt_bus_subscription_refused(struct mlt_bus_subscription *subscription)
{
    (void)subscription;
    return false;
}

enum mlt_status mlt_bus_publish(struct mlt_bus *bus, const char *subject, struct mlt_slice payload)
{
    (void)bus, (void)subject, (void)payload;
    return MLT_OK;
}

enum mlt_status mlt_bus_publish_wait(struct mlt_bus *bus, const char *subject,
                                     struct mlt_slice payload, int64_t deadline_mono_ns)
{
    (void)bus, (void)subject, (void)payload, (void)deadline_mono_ns;
    return MLT_OK;
}

enum mlt_status mlt_store_create(struct mlt_bus *control, uint32_t provision_replicas,
                                 struct mlt_store **store, struct mlt_error *err)
{
    (void)control, (void)provision_replicas, (void)store;
    return mlt_error_set(err, MLT_E_UNAVAILABLE, "no store here");
}

enum mlt_status mlt_claims_create(struct mlt_store *store, const struct mlt_claims_options *options,
                                  uint64_t epochs[MLT_SLOT_COUNT], struct mlt_claims **claims,
                                  struct mlt_error *err)
{
    (void)store, (void)options, (void)epochs, (void)claims;
    return mlt_error_set(err, MLT_E_UNAVAILABLE, "no claims here");
}

/* ---- the ports ---- */

static void on_owned(void *ctx, struct mlt_owners_beat *beat)
{
    (void)ctx;
    (void)pthread_mutex_lock(&saw.lock);
    beat->partitions |= saw.taken > 0 ? 1 : 0;
    (void)pthread_mutex_unlock(&saw.lock);
}

static void on_outbid(void *ctx, const struct mlt_owners_beat *beat)
{
    (void)ctx, (void)beat;
}

static enum mlt_replicas_taken on_take_over(void *ctx, uint64_t partitions)
{
    (void)ctx;
    (void)pthread_mutex_lock(&saw.lock);
    saw.taken += partitions == 1 ? 1 : 0;
    saw.heard_when_taken = saw.heard;
    (void)pthread_cond_broadcast(&saw.changed);
    (void)pthread_mutex_unlock(&saw.lock);
    return MLT_REPLICAS_TAKEN;
}

static uint64_t on_fit(void *ctx, uint64_t partitions)
{
    (void)ctx;
    (void)pthread_mutex_lock(&saw.lock);
    const uint64_t fit = partitions & ~saw.unfit;
    saw.asked++;
    (void)pthread_cond_broadcast(&saw.changed);
    (void)pthread_mutex_unlock(&saw.lock);
    return fit;
}

static enum mlt_replicas_rest on_tidy(void *ctx, uint64_t *failed)
{
    (void)ctx, (void)failed;
    return MLT_REPLICAS_BUSY;
}

/* Under the lock; false: nothing has changed for 200 ms. */
static bool wait_a_little(void)
{
    const int64_t at = mlt_clock_mono_ns() + 200 * MLT_NS_PER_MS;
    const struct timespec until = { .tv_sec = at / MLT_NS_PER_S, .tv_nsec = at % MLT_NS_PER_S };
    return pthread_cond_timedwait(&saw.changed, &saw.lock, &until) == 0;
}

static void on_heard(void *ctx, const struct mlt_owners_beat *beat)
{
    (void)ctx;
    (void)pthread_mutex_lock(&saw.lock);
    saw.heard++;
    saw.last = *beat;
    saw.last_ns = mlt_clock_mono_ns();
    /* Whoever takes slowly what it is told: the keeper does not take over meanwhile. */
    while (beat->leaving && saw.taken == 0 && wait_a_little()) {
    }
    saw.early = saw.early || saw.taken > 0;
    (void)pthread_mutex_unlock(&saw.lock);
}

/* ---- tests ---- */

static void say(const struct mlt_owners_beat *beat)
{
    uint8_t bytes[MLT_OWNERS_BEAT_BYTES_MAX];
    const size_t len = mlt_owners_encode(beat, "tiny-x", bytes);
    const struct mlt_bus_message message = { .subject = "meltica.int.owners.tiny",
                                             .reply = "",
                                             .payload = mlt_slice_of(bytes, len),
                                             .error_text = "" };
    handler(handler_ctx, &message);
}

static void say_own(void)
{
    const struct mlt_owners_beat own = { .boot = OWN,
                                         .replicas = 2,
                                         .sent_ns = mlt_clock_mono_ns() };
    say(&own);
}

static struct mlt_replicas *replicas_of(void (*heard)(void *ctx,
                                                      const struct mlt_owners_beat *beat),
                                        uint64_t (*fit)(void *ctx, uint64_t partitions))
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_replicas *replicas = NULL;
    const struct mlt_replicas_options options = { .name = "tiny",
                                                  .metrics = "meltica_tiny",
                                                  .partitions = 2 };
    const struct mlt_replicas_ports ports = { .owned = on_owned,
                                              .outbid = on_outbid,
                                              .take_over = on_take_over,
                                              .tidy = on_tidy,
                                              .heard = heard,
                                              .fit = fit };
    assert_int_equal(mlt_replicas_create(NULL, &options, &ports, &replicas, &err), MLT_OK);
    assert_int_equal(mlt_replicas_start(replicas, &err), MLT_OK);
    return replicas;
}

/* Until the keeper took over partition 0, our own beats coming back meanwhile. */
static void await_taken(void)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    unsigned taken = 0;
    while (taken == 0) {
        assert_true(mlt_clock_mono_ns() < deadline);
        say_own();
        (void)pthread_mutex_lock(&saw.lock);
        if (saw.taken == 0) {
            (void)wait_a_little();
        }
        taken = saw.taken;
        (void)pthread_mutex_unlock(&saw.lock);
    }
}

static void test_beats_are_heard_before_anything_is_decided_by_them(void **state)
{
    (void)state;
    struct mlt_replicas *replicas = replicas_of(on_heard, NULL);
    struct mlt_owners_beat other = {
        .boot = OTHER, .replica = 1, .replicas = 2, .partitions = 1, .epochs = { 5 }
    };
    other.plan_boots[0] = 9;
    other.needs_ns[0] = 1000;
    other.deaf = true; /* that too */
    say_own();
    const int64_t before = mlt_clock_mono_ns();
    say(&other);
    assert_int_equal(saw.heard, 1); /* not its own */
    assert_true(saw.last.deaf);
    assert_int_equal(saw.last.needs_ns[0], 1000);
    assert_in_range(saw.last_ns, before, mlt_clock_mono_ns());
    other.deaf = false;
    say(&other);
    assert_int_equal(saw.heard, 2);
    assert_int_equal(saw.taken, 0);
    other.partitions = 0;
    other.leaving = true;
    say(&other);
    await_taken();
    assert_false(saw.early);
    assert_int_equal(saw.heard_when_taken, 3);
    assert_true(saw.last.leaving);
    mlt_replicas_destroy(replicas);
}

static void test_a_service_need_not_hear(void **state)
{
    (void)state;
    struct mlt_replicas *replicas = replicas_of(NULL, NULL);
    struct mlt_owners_beat other = {
        .boot = OTHER, .replica = 1, .replicas = 2, .partitions = 1, .epochs = { 5 }
    };
    say_own();
    say(&other);
    other.partitions = 0;
    say(&other);
    await_taken();
    assert_int_equal(saw.heard, 0);
    mlt_replicas_destroy(replicas);
}

static uint64_t told_of(void)
{
    return mlt_counter_get(
        mlt_metrics_counter(metrics, "meltica_tiny_takeovers_total", "", "reason=\"released\""));
}

static void test_what_is_not_fit_is_asked_about_again_and_not_told(void **state)
{
    (void)state;
    saw.unfit = 1;
    struct mlt_replicas *replicas = replicas_of(NULL, on_fit);
    struct mlt_owners_beat other = {
        .boot = OTHER, .replica = 1, .replicas = 2, .partitions = 1, .epochs = { 5 }
    };
    assert_int_equal(mlt_replicas_self_heard_ns(replicas), 0);
    const int64_t before = mlt_clock_mono_ns();
    say_own();
    assert_in_range(mlt_replicas_self_heard_ns(replicas), before, mlt_clock_mono_ns());
    say(&other);
    other.partitions = 0;
    say(&other);
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    unsigned asked = 0;
    while (asked == 0) {
        assert_true(mlt_clock_mono_ns() < deadline);
        say_own();
        (void)pthread_mutex_lock(&saw.lock);
        if (saw.asked == 0) {
            (void)wait_a_little();
        }
        asked = saw.asked;
        assert_int_equal(saw.taken, 0);
        (void)pthread_mutex_unlock(&saw.lock);
    }
    assert_int_equal(told_of(), 0);
    (void)pthread_mutex_lock(&saw.lock);
    saw.unfit = 0;
    (void)pthread_mutex_unlock(&saw.lock);
    await_taken();
    assert_true(mlt_clock_mono_ns() - before < MLT_OWNERS_RETRY_NS); /* it did not fail */
    assert_int_equal(told_of(), 1);
    mlt_replicas_destroy(replicas);
}

static int setup(void **state)
{
    pthread_condattr_t attributes;
    (void)state;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&saw.changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    saw.early = false;
    saw.heard = saw.taken = saw.heard_when_taken = saw.asked = 0;
    saw.unfit = 0;
    return mlt_metrics_create(&metrics) == MLT_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    (void)pthread_cond_destroy(&saw.changed);
    mlt_metrics_destroy(metrics);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_beats_are_heard_before_anything_is_decided_by_them,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_service_need_not_hear, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_fit_is_asked_about_again_and_not_told,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
