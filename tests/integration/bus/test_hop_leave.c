/* Ends of a hop that stand back for another process, partition by partition. */
#include "hop_support.h"
#include "meltica/base/hash.h"
#include "mlt_test.h"
#include "nats_fixture.h"

#define SUBJECT "meltica.int.leave"
#define LEFT 0u
#define KEPT 1u

static struct mlt_bus *near_bus, *far_bus;
static struct far far, next, third;

static void put_both(struct mlt_hop_sender *sender, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n < to; n++) {
        test_put(sender, LEFT, n);
        test_put(sender, KEPT, n);
    }
}

/* Until the number came on that partition. */
static void await_last(struct far *f, uint32_t partition, uint64_t number)
{
    const int64_t at = mlt_clock_mono_ns() + WAIT_NS;
    const struct timespec until = { .tv_sec = at / MLT_NS_PER_S, .tv_nsec = at % MLT_NS_PER_S };
    (void)pthread_mutex_lock(&f->lock);
    int rc = 0;
    while (f->last[partition] != number && rc == 0) {
        rc = pthread_cond_timedwait(&f->changed, &f->lock, &until);
    }
    const uint64_t last = f->last[partition];
    (void)pthread_mutex_unlock(&f->lock);
    assert_int_equal(last, number);
}

/* Until the sender knows that all of both was taken: acknowledgements and requests come on two
 * threads. */
static void await_acked(struct mlt_hop_sender *sender)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    while (mlt_hop_sender_unacked_since(sender, LEFT) != INT64_MAX ||
           mlt_hop_sender_unacked_since(sender, KEPT) != INT64_MAX) {
        assert_true(mlt_bus_rtt_ns(far_bus) > 0 && mlt_bus_rtt_ns(near_bus) > 0);
        assert_true(mlt_clock_mono_ns() < deadline);
    }
}

static uint64_t last_of(struct far *f, uint32_t partition)
{
    (void)pthread_mutex_lock(&f->lock);
    const uint64_t last = f->last[partition];
    (void)pthread_mutex_unlock(&f->lock);
    return last;
}

static void test_what_a_receiver_left_waits_for_the_next_one(void **state)
{
    (void)state;
    struct mlt_hop_sender *sender = test_sender(near_bus, "a", SUBJECT, 0);
    struct mlt_hop_receiver *receiver = far_receiver(&far, far_bus, "b", "a", SUBJECT);
    put_both(sender, 0, 10);
    await_last(&far, LEFT, 9);
    await_last(&far, KEPT, 9);
    mlt_hop_receiver_leave(receiver, LEFT);
    put_both(sender, 10, 20);
    await_last(&far, KEPT, 19);
    assert_int_equal(last_of(&far, LEFT), 9);
    mlt_hop_receiver_destroy(receiver); /* acknowledges what it kept */
    receiver = far_receiver(&next, far_bus, "b", "a", SUBJECT);
    await_last(&next, LEFT, 19);
    put_both(sender, 20, 21);
    await_last(&next, KEPT, 20);
    (void)pthread_mutex_lock(&next.lock);
    /* 20 of KEPT, which the first one acknowledged, and of LEFT only what it took before. */
    assert_true(next.missing <= 20 + 10);
    assert_int_equal(next.loss_count, 0);
    (void)pthread_mutex_unlock(&next.lock);
    mlt_hop_receiver_destroy(receiver);
    mlt_hop_sender_destroy(sender, 0);
}

static void test_a_sender_that_left_is_not_heard_beside_the_next_one(void **state)
{
    (void)state;
    struct mlt_hop_sender *first = test_sender(near_bus, "a", SUBJECT, 0);
    struct mlt_hop_receiver *receiver = far_receiver(&far, far_bus, "b", "a", SUBJECT);
    put_both(first, 0, 10);
    await_last(&far, LEFT, 9);
    await_last(&far, KEPT, 9);
    mlt_hop_sender_leave(first, LEFT);
    const struct mlt_hop_sender_options options = { .service = "a",
                                                    .subject = SUBJECT,
                                                    .partitions = PARTITIONS,
                                                    .boot = mlt_random64(),
                                                    .partition_mask = 1u << LEFT };
    struct mlt_hop_sender *second = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_hop_sender_create(near_bus, &options, &second, &err), MLT_OK);
    put_both(first, 1000, 1010); /* on LEFT it goes nowhere */
    test_put(second, LEFT, 10);
    await_last(&far, LEFT, 10);
    await_last(&far, KEPT, 1009);
    /* A receiver that knows nobody asks who is there: each answers for its own. */
    mlt_hop_receiver_destroy(receiver);
    receiver = far_receiver(&next, far_bus, "b", "a", SUBJECT);
    for (uint64_t n = 11; n < 200; n++) {
        test_put(second, LEFT, n);
        test_put(first, KEPT, n);
    }
    await_last(&next, LEFT, 199);
    await_last(&next, KEPT, 199);
    struct mlt_hop_receiver_stats stats;
    mlt_hop_receiver_get_stats(receiver, &stats);
    assert_true(stats.boots <= PARTITIONS); /* one a partition: none was taken for another */
    mlt_hop_receiver_destroy(receiver);
    mlt_hop_sender_destroy(second, 0);
    mlt_hop_sender_destroy(first, 0);
}

static void test_what_is_deferred_is_acknowledged_when_it_is_settled_and_not_before(void **state)
{
    (void)state;
    struct mlt_hop_sender *sender = test_sender(near_bus, "a", SUBJECT, 0);
    struct mlt_hop_receiver *receiver = far_receiver(&far, far_bus, "b", "a", SUBJECT);
    mlt_hop_receiver_defer(receiver);
    put_both(sender, 0, 10);
    await_last(&far, LEFT, 9);
    await_last(&far, KEPT, 9);
    mlt_hop_receiver_destroy(receiver); /* as if it had died with all of it in hand */
    receiver = far_receiver(&next, far_bus, "b", "a", SUBJECT);
    await_last(&next, LEFT, 9);
    await_last(&next, KEPT, 9);
    mlt_hop_receiver_defer(receiver);
    put_both(sender, 10, 20);
    await_last(&next, LEFT, 19);
    await_last(&next, KEPT, 19);
    (void)pthread_mutex_lock(&next.lock);
    assert_int_equal(next.elements, 40);
    assert_int_equal(next.missing, 0);
    (void)pthread_mutex_unlock(&next.lock);
    mlt_hop_receiver_settled(receiver);
    mlt_hop_receiver_destroy(receiver);
    await_acked(sender);
    receiver = far_receiver(&third, far_bus, "b", "a", SUBJECT);
    put_both(sender, 20, 21);
    await_last(&third, LEFT, 20);
    await_last(&third, KEPT, 20);
    (void)pthread_mutex_lock(&third.lock);
    assert_int_equal(third.elements, 2);
    (void)pthread_mutex_unlock(&third.lock);
    mlt_hop_receiver_destroy(receiver);
    mlt_hop_sender_destroy(sender, 0);
}

static int setup(void **state)
{
    (void)state;
    near_bus = test_connect(nats_group.url, "near");
    far_bus = test_connect(nats_group.url, "far");
    far_init(&far);
    far_init(&next);
    far_init(&third);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mlt_bus_destroy(near_bus, MLT_NS_PER_S);
    mlt_bus_destroy(far_bus, MLT_NS_PER_S);
    far_fini(&far);
    far_fini(&next);
    far_fini(&third);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_a_receiver_left_waits_for_the_next_one, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_what_is_deferred_is_acknowledged_when_it_is_settled_and_not_before, setup,
            teardown),
        cmocka_unit_test_setup_teardown(test_a_sender_that_left_is_not_heard_beside_the_next_one,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, nats_group_start, nats_group_end);
}
