/* Private lanes behind a gate that does not open. */
#include "lane_flow.h"
#include "table.h"

#include <pthread.h>
#include <time.h>

#define WAIT_NS (10 * MLT_NS_PER_S)

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* monotonic clock */
    bool asked, told;
    struct mlt_lane_flow *flow;
    struct mlt_lanes_counts counts;
} world = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void say(bool *what)
{
    (void)pthread_mutex_lock(&world.lock);
    *what = true;
    (void)pthread_cond_broadcast(&world.changed);
    (void)pthread_mutex_unlock(&world.lock);
}

static bool await(const bool *what)
{
    const int64_t at = mlt_clock_mono_ns() + WAIT_NS;
    const struct timespec until = { .tv_sec = at / MLT_NS_PER_S, .tv_nsec = at % MLT_NS_PER_S };
    int rc = 0;
    (void)pthread_mutex_lock(&world.lock);
    while (rc == 0 && !*what) {
        rc = pthread_cond_timedwait(&world.changed, &world.lock, &until);
    }
    const bool said = *what;
    (void)pthread_mutex_unlock(&world.lock);
    return said;
}

static bool closed(void *ctx)
{
    (void)ctx;
    say(&world.asked);
    return false;
}

static void *send_trade(void *arg)
{
    struct mlt_event e = { .type = MLT_EVENT_TRADE,
                           .instrument = MLT_SLICE_LITERAL("BTC-USDT"),
                           .epoch = 7,
                           .sequence = 1,
                           .first = 10,
                           .last = 10 };
    (void)arg;
    e.u.trade = (struct mlt_trade){ .price = { 5, 0 }, .quantity = { 1, 0 } };
    mlt_lane_flow_event(world.flow, &e);
    return NULL;
}

static void *count(void *arg)
{
    (void)arg;
    struct mlt_lanes_counts counts;
    mlt_lane_flow_counts(world.flow, &counts);
    world.counts = counts;
    say(&world.told);
    return NULL;
}

/* Whoever looks at the counts may be the one that hears what opens the gate. */
static void test_counts_wait_for_nothing(void **state)
{
    (void)state;
    static const struct lane_line lines[] = { { MLT_EVENT_TRADE, "*", "all", 0, NULL, NULL,
                                                NULL } };
    const struct mlt_lane_gate gate = { closed, NULL };
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_lanes_counts counts;
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&world.changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    assert_int_equal(mlt_lane_flow_create(NULL, &gate, &world.flow, &err), MLT_OK);
    struct mlt_routing *routing = table_of_lanes(1, 1, lines, 1);
    mlt_lane_flow_set(world.flow, routing);
    mlt_lane_flow_counts(world.flow, &counts);
    assert_int_equal(counts.lanes, 1);
    pthread_t sender, counter;
    assert_int_equal(pthread_create(&sender, NULL, send_trade, NULL), 0);
    const bool asked = await(&world.asked);
    assert_int_equal(pthread_create(&counter, NULL, count, NULL), 0);
    const bool told = await(&world.told);
    mlt_lane_flow_give_up(world.flow);
    (void)pthread_join(sender, NULL);
    (void)pthread_join(counter, NULL);
    assert_true(asked);
    assert_true(told);
    assert_int_equal(world.counts.lanes, 1); /* as seen before */
    assert_int_equal(world.counts.undelivered, 0);
    mlt_lane_flow_counts(world.flow, &counts);
    assert_int_equal(counts.undelivered, 1);
    mlt_lane_flow_destroy(world.flow);
    mlt_routing_destroy(routing);
    (void)pthread_cond_destroy(&world.changed);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_counts_wait_for_nothing) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
