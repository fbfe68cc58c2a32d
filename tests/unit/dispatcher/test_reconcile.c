/* Rounds of the plan with the bus and the time in the test's hands: in which order the parts leave,
 * and which do not. */
#include "mlt_test.h"

#include "store_stub.h"

#include <pthread.h>
#include <stdio.h>

#include "meltica/bus/stored.h"
#include "meltica/v1/internal.pb-c.h"
#include "reconcile.h"

#define S MLT_NS_PER_S
#define PARTS_MAX 64u

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    mlt_bus_handler_fn handler;
    void *ctx;
    int64_t ahead_ns; /* of real time */
    uint32_t parts[PARTS_MAX];
    unsigned count;
    uint64_t silent; /* bit p: part p is not answered */
    bool mute;       /* another Dispatcher may know better */
    unsigned asked;  /* whether it is */
    unsigned told;   /* statuses that went on */
} world = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

int64_t __real_mlt_clock_mono_ns(void);
int64_t __wrap_mlt_clock_mono_ns(void);
int __real_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until);
enum mlt_status __wrap_mlt_bus_subscribe(struct mlt_bus *bus,
                                         const struct mlt_bus_subscribe_options *options,
                                         mlt_bus_handler_fn handler, void *ctx,
                                         struct mlt_bus_subscription **subscription,
                                         struct mlt_error *err);
bool __wrap_mlt_bus_connected(const struct mlt_bus *bus);
enum mlt_status __wrap_mlt_bus_request(struct mlt_bus *bus, const char *subject,
                                       struct mlt_slice payload, int64_t timeout_ns,
                                       struct mlt_buf *answer, struct mlt_error *err);

static int64_t ahead(void)
{
    (void)pthread_mutex_lock(&world.lock);
    const int64_t ahead_ns = world.ahead_ns;
    (void)pthread_mutex_unlock(&world.lock);
    return ahead_ns;
}

int64_t __wrap_mlt_clock_mono_ns(void)
{
    return __real_mlt_clock_mono_ns() + ahead();
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until)
{
    const int64_t at_ns = until->tv_sec * S + until->tv_nsec - ahead();
    const struct timespec real = { .tv_sec = (time_t)(at_ns / S), .tv_nsec = (long)(at_ns % S) };
    return __real_pthread_cond_timedwait(cond, mutex, &real);
}

enum mlt_status __wrap_mlt_bus_subscribe(struct mlt_bus *bus,
                                         const struct mlt_bus_subscribe_options *options,
                                         mlt_bus_handler_fn handler, void *ctx,
                                         struct mlt_bus_subscription **subscription,
                                         struct mlt_error *err)
{
    (void)bus;
    (void)options;
    (void)err;
    world.handler = handler;
    world.ctx = ctx;
    *subscription = NULL;
    return MLT_OK;
}

bool __wrap_mlt_bus_connected(const struct mlt_bus *bus)
{
    (void)bus;
    return false; /* no stream of rejections here */
}

/* What an Adapter says of the plan that it has. */
struct word {
    const char *instance;
    uint64_t boot;
    uint64_t partitions;
    uint64_t revision;
    bool standby;
};

static size_t pack_status(const struct word *word, uint8_t *out)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%s", word->instance);
    Meltica__V1__PlanStatus status;
    meltica__v1__plan_status__init(&status);
    status.instance = text;
    status.boot = word->boot;
    status.revision = word->revision;
    status.standby = word->standby;
    status.applied = true;
    status.partitions = word->partitions;
    return meltica__v1__plan_status__pack(&status, out);
}

/* "a" brings 2 and 3, "b" 0 and 1. */
enum mlt_status __wrap_mlt_bus_request(struct mlt_bus *bus, const char *subject,
                                       struct mlt_slice payload, int64_t timeout_ns,
                                       struct mlt_buf *answer, struct mlt_error *err)
{
    (void)bus;
    (void)subject;
    (void)timeout_ns;
    (void)err;
    const uint32_t part = payload.data[0];
    (void)pthread_mutex_lock(&world.lock);
    if (world.count < PARTS_MAX) {
        world.parts[world.count++] = part;
    }
    const bool silent = (world.silent >> part & 1) != 0;
    (void)pthread_cond_broadcast(&world.changed);
    (void)pthread_mutex_unlock(&world.lock);
    if (silent) {
        return MLT_E_TIMEOUT;
    }
    const enum mlt_status status = mlt_buf_reserve(answer, 64);
    if (status == MLT_OK) {
        const struct word word = part < 2 ? (struct word){ "b", 1, 0x3, 7, false }
                                          : (struct word){ "a", 1, 0xc, 7, false };
        answer->len += pack_status(&word, answer->data);
    }
    return status;
}

/* ---- ports ---- */

static enum mlt_status plan(void *ctx, uint32_t partition, struct mlt_buf *out, uint64_t *revision,
                            struct mlt_error *err)
{
    (void)ctx;
    (void)err;
    const uint8_t byte = (uint8_t)partition;
    *revision = 7;
    return mlt_buf_append(out, &byte, 1);
}

static uint64_t revision_of(void *ctx)
{
    (void)ctx;
    return 7;
}

static bool settled(void *ctx)
{
    (void)ctx;
    return false;
}

static void heard(void *ctx, struct mlt_slice status)
{
    (void)ctx;
    (void)status;
    (void)pthread_mutex_lock(&world.lock);
    world.told++;
    (void)pthread_cond_broadcast(&world.changed);
    (void)pthread_mutex_unlock(&world.lock);
}

static bool may(void *ctx)
{
    (void)ctx;
    (void)pthread_mutex_lock(&world.lock);
    const bool mute = world.mute;
    world.asked++;
    (void)pthread_cond_broadcast(&world.changed);
    (void)pthread_mutex_unlock(&world.lock);
    return !mute;
}

/* ---- the test's side ---- */

static struct mlt_reconciler *reconciler;

static int set_up(void **state)
{
    (void)state;
    const struct mlt_reconciler_ports ports = { plan, revision_of, settled, heard, may, NULL };
    struct mlt_error err = MLT_ERROR_INIT;
    world.ahead_ns = 0;
    world.count = 0;
    world.silent = 0;
    world.mute = false;
    world.asked = world.told = 0;
    return mlt_reconciler_create(NULL, 4, 1, &ports, &reconciler, &err) == MLT_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_reconciler_destroy(reconciler);
    return 0;
}

static void hear_word(const struct word *word)
{
    uint8_t bytes[64];
    const size_t len = pack_status(word, bytes);
    const struct mlt_bus_message message = { .subject = "meltica.int.plan.status",
                                             .reply = "",
                                             .payload = mlt_slice_of(bytes, len) };
    world.handler(world.ctx, &message);
}

static void hear(const char *instance, uint64_t boot, uint64_t partitions)
{
    hear_word(&(struct word){ instance, boot, partitions, 7, false });
}

static void hear_standby(const char *instance, uint64_t boot, uint64_t partitions,
                         uint64_t revision)
{
    hear_word(&(struct word){ instance, boot, partitions, revision, true });
}

/* How many statuses went on, once there are so many: an answer does after its part was sent. */
static unsigned told(unsigned at_least)
{
    (void)pthread_mutex_lock(&world.lock);
    while (world.told < at_least) {
        (void)pthread_cond_wait(&world.changed, &world.lock);
    }
    const unsigned count = world.told;
    (void)pthread_mutex_unlock(&world.lock);
    return count;
}

static void pass(int64_t ns)
{
    (void)pthread_mutex_lock(&world.lock);
    world.ahead_ns += ns;
    (void)pthread_mutex_unlock(&world.lock);
}

/* Bounded by the time of the whole test. */
static void expect_parts(const uint32_t *parts, unsigned count)
{
    (void)pthread_mutex_lock(&world.lock);
    while (world.count < count) {
        (void)pthread_cond_wait(&world.changed, &world.lock);
    }
    uint32_t got[PARTS_MAX];
    memcpy(got, world.parts, sizeof got);
    world.count = 0;
    (void)pthread_mutex_unlock(&world.lock);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(got[i], parts[i]);
    }
}

/* Until each of these was sent, whatever else was. */
static void expect_sent(uint64_t parts)
{
    uint64_t sent = 0;
    (void)pthread_mutex_lock(&world.lock);
    for (;;) {
        for (unsigned i = 0; i < world.count; i++) {
            sent |= UINT64_C(1) << world.parts[i];
        }
        world.count = 0;
        if ((sent & parts) == parts) {
            break;
        }
        (void)pthread_cond_wait(&world.changed, &world.lock);
    }
    (void)pthread_mutex_unlock(&world.lock);
}

static const uint32_t all[] = { 0, 1, 2, 3 };

static void test_parts_of_an_adapter_that_is_away_are_left_out(void **state)
{
    (void)state;
    mlt_reconciler_begin(reconciler);
    expect_parts(all, 4);
    assert_false(mlt_reconciler_away(reconciler, 0));
    pass(6 * S);
    hear("a", 1, 0xc);
    assert_true(mlt_reconciler_away(reconciler, 0));
    assert_false(mlt_reconciler_away(reconciler, 2));
    mlt_reconciler_changed(reconciler);
    static const uint32_t twice[] = { 2, 3, 2, 3 }; /* it is tried again, and no more is */
    expect_parts(twice, 4);
    hear("b", 2, 0x3);
    assert_false(mlt_reconciler_away(reconciler, 0));
    expect_sent(0x3); /* at the end of that round, or in the next one, or one in each */
}

/* It died a moment ago. */
static void test_parts_of_one_that_does_not_answer_are_sent_after_all_others(void **state)
{
    (void)state;
    mlt_reconciler_begin(reconciler);
    expect_parts(all, 4);
    pass(4 * S); /* from now on it is known who is there */
    hear("a", 1, 0xc);
    hear("b", 1, 0x3);
    pass(S / 2);
    (void)pthread_mutex_lock(&world.lock);
    world.silent = 0x3;
    (void)pthread_mutex_unlock(&world.lock);
    mlt_reconciler_changed(reconciler);
    static const uint32_t order[] = { 0, 2, 3, 1 };
    expect_parts(order, 4);
    assert_true(mlt_reconciler_away(reconciler, 1)); /* its resyncs need not wait */
    hear("b", 1, 0x3);
    assert_false(mlt_reconciler_away(reconciler, 1));
}

/* Nobody has spoken yet: all parts are sent. */
static void test_before_it_is_known_who_is_there_nothing_is_left_out(void **state)
{
    (void)state;
    hear("a", 1, 0xc);
    assert_false(mlt_reconciler_away(reconciler, 0));
    mlt_reconciler_begin(reconciler);
    expect_parts(all, 4);
}

/* It slept, or NATS is away: it is tried again, and nothing leaves meanwhile. */
static void test_no_part_leaves_while_another_one_may_know_better(void **state)
{
    (void)state;
    (void)pthread_mutex_lock(&world.lock);
    world.mute = true;
    (void)pthread_mutex_unlock(&world.lock);
    mlt_reconciler_begin(reconciler);
    (void)pthread_mutex_lock(&world.lock);
    while (world.asked == 0) {
        (void)pthread_cond_wait(&world.changed, &world.lock);
    }
    const unsigned sent = world.count;
    world.mute = false;
    (void)pthread_mutex_unlock(&world.lock);
    assert_int_equal(sent, 0);
    expect_parts(all, 4); /* a second later */
    struct mlt_reconciler_stats stats;
    mlt_reconciler_get_stats(reconciler, &stats);
    assert_int_equal(stats.plans_failed, 1);
}

/* One that holds what another one speaks for gets the plan when it lacks it, and counts for nothing
 * else: nobody would answer for it. */
static void test_a_standby_gets_the_plan_and_counts_for_nothing(void **state)
{
    (void)state;
    struct mlt_reconciler_stats stats;
    mlt_reconciler_begin(reconciler);
    expect_parts(all, 4);
    pass(6 * S);
    hear("a", 1, 0xc);
    assert_int_equal(told(5), 5);
    mlt_reconciler_get_stats(reconciler, &stats);
    const size_t adapters = stats.adapters;
    hear_standby("c", 3, 0x3, 7); /* it has this plan */
    mlt_reconciler_get_stats(reconciler, &stats);
    assert_int_equal(stats.adapters, adapters);
    assert_int_equal(told(5), 5);
    assert_true(mlt_reconciler_away(reconciler, 0));
    hear("b", 1, 0x3);
    hear_standby("c", 3, 0x3, 6);
    expect_parts(all, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_parts_of_an_adapter_that_is_away_are_left_out),
        TEST(test_parts_of_one_that_does_not_answer_are_sent_after_all_others),
        TEST(test_before_it_is_known_who_is_there_nothing_is_left_out),
        TEST(test_no_part_leaves_while_another_one_may_know_better),
        TEST(test_a_standby_gets_the_plan_and_counts_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
