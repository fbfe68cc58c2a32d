/* Hops between two connections of one process against a real server: order, back-pressure, overrun.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "hop_support.h"
#include "mlt_test.h"
#include "nats_fixture.h"

/* Counts what the code under test allocates: the linker sends its calls here (CMakeLists.txt). */
static atomic_ullong allocations;
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_malloc(size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_realloc(memory, size);
}

static struct mlt_bus *near_bus, *far_bus;
static struct far far;

static int setup(void **state)
{
    (void)state;
    near_bus = test_connect(nats_group.url, "near");
    far_bus = test_connect(nats_group.url, "far");
    far_init(&far);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mlt_bus_destroy(near_bus, MLT_NS_PER_S);
    mlt_bus_destroy(far_bus, MLT_NS_PER_S);
    far_fini(&far);
    return 0;
}

static void assert_exactly_once(uint64_t elements)
{
    assert_int_equal(far.elements, elements);
    assert_int_equal(far.repeats, 0);
    assert_int_equal(far.missing, 0);
    assert_int_equal(far.damaged, 0);
    assert_int_equal(far.loss_count, 0);
}

/* Until the sender has taken in the last acknowledgement: each turn waits for a round trip. */
static void await_acked(struct mlt_hop_sender *sender)
{
    struct mlt_hop_sender_stats sent;
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    do {
        assert_true(mlt_bus_rtt_ns(far_bus) > 0 && mlt_bus_rtt_ns(near_bus) > 0);
        assert_true(mlt_clock_mono_ns() < deadline);
        mlt_hop_sender_get_stats(sender, &sent);
    } while (sent.unacked_bytes > 0);
}

/* 200,000 elements over four partitions, exactly once and in order, in far fewer batches. */
static void test_exactly_once_in_order(void **state)
{
    (void)state;
    enum { EACH = 50000 };
    struct mlt_hop_sender_stats sent;
    struct mlt_hop_receiver_stats got;
    struct mlt_hop_receiver *receiver = far_receiver(&far, far_bus, "b", "a", "t.order");
    struct mlt_hop_sender *sender = test_sender(near_bus, "a", "t.order", 32u << 20);
    for (uint64_t i = 0; i < EACH; i++) {
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            test_put(sender, p, i);
        }
        if (mlt_hop_congested(sender)) {
            assert_true(mlt_hop_wait_room(sender, WAIT_NS));
        }
    }
    assert_true(far_await(&far, PARTITIONS, EACH));
    assert_exactly_once((uint64_t)EACH * PARTITIONS);
    mlt_hop_sender_get_stats(sender, &sent);
    mlt_hop_receiver_get_stats(receiver, &got);
    assert_int_equal(sent.elements, EACH * PARTITIONS);
    assert_true(sent.batches < sent.elements / 10);
    assert_int_equal(got.batches, sent.batches);
    assert_int_equal(got.bytes, sent.bytes);
    assert_int_equal(got.boots, PARTITIONS);
    assert_int_equal(got.lost_batches, 0);
    assert_int_equal(sent.overrun_batches, 0);
    print_message("%llu batches, %llu repeats asked\n", (unsigned long long)sent.batches,
                  (unsigned long long)got.repeats_asked);
    mlt_hop_receiver_destroy(receiver);
    mlt_hop_sender_destroy(sender, MLT_NS_PER_S);
}

/* Once both ends stand, neither allocates for elements, batches or acknowledgements. */
static void test_no_allocations(void **state)
{
    (void)state;
    enum { EACH = 5000 };
    struct mlt_hop_receiver *receiver = far_receiver(&far, far_bus, "b", "a", "t.memory");
    struct mlt_hop_sender *sender = test_sender(near_bus, "a", "t.memory", 0);
    const unsigned long long before = atomic_load(&allocations);
    assert_true(before > 0); /* it does count */
    for (uint64_t i = 0; i < EACH; i++) {
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            test_put(sender, p, i);
        }
        (void)mlt_hop_wait_room(sender, WAIT_NS);
    }
    assert_true(far_await(&far, PARTITIONS, EACH));
    assert_int_equal(atomic_load(&allocations), before);
    assert_exactly_once((uint64_t)EACH * PARTITIONS);
    mlt_hop_receiver_destroy(receiver);
    mlt_hop_sender_destroy(sender, MLT_NS_PER_S);
}

/* What was sent before the receiver came is there for it. */
static void test_receiver_starts_late(void **state)
{
    (void)state;
    enum { EACH = 1000 };
    struct mlt_hop_sender *sender = test_sender(near_bus, "a", "t.late", 0);
    for (uint64_t i = 0; i < EACH; i++) {
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            test_put(sender, p, i);
        }
    }
    assert_true(mlt_bus_rtt_ns(near_bus) > 0); /* it went out, to nobody */
    struct mlt_hop_receiver *receiver = far_receiver(&far, far_bus, "b", "a", "t.late");
    assert_true(far_await(&far, PARTITIONS, EACH));
    assert_exactly_once((uint64_t)EACH * PARTITIONS);
    mlt_hop_receiver_destroy(receiver);
    mlt_hop_sender_destroy(sender, MLT_NS_PER_S);
}

/* A second receiver of the service goes on where the first had acknowledged. */
static void test_receiver_resumes(void **state)
{
    (void)state;
    enum { EACH = 1000 };
    struct mlt_hop_sender *sender = test_sender(near_bus, "a", "t.resume", 0);
    struct mlt_hop_receiver *receiver = far_receiver(&far, far_bus, "b", "a", "t.resume");
    for (uint64_t i = 0; i < EACH; i++) {
        test_put(sender, 0, i);
    }
    assert_true(far_await(&far, 1, EACH));
    await_acked(sender);
    mlt_hop_receiver_destroy(receiver);
    for (uint64_t i = EACH; i < 2 * EACH; i++) {
        test_put(sender, 0, i);
    }
    receiver = far_receiver(&far, far_bus, "b", "a", "t.resume");
    assert_true(far_await(&far, 1, 2 * EACH));
    assert_exactly_once(2 * EACH);
    mlt_hop_receiver_destroy(receiver);
    mlt_hop_sender_destroy(sender, MLT_NS_PER_S);
}

/* No receiver for longer than the ring holds: the next one is told exactly which batches are gone.
 */
static void test_overrun_is_told_exactly(void **state)
{
    (void)state;
    enum { RING = 4 * (64 << 10), BIG = 4000 };
    struct mlt_hop_sender_stats sent;
    struct mlt_hop_receiver_stats got;
    struct mlt_hop_sender *sender = test_sender(near_bus, "a", "t.overrun", RING);
    struct mlt_hop_receiver *receiver = far_receiver(&far, far_bus, "b", "a", "t.overrun");
    for (uint64_t i = 0; i < 10; i++) {
        test_put_sized(sender, 0, i, BIG);
    }
    assert_true(far_await(&far, 1, 10));
    await_acked(sender);
    mlt_hop_receiver_destroy(receiver);
    const uint64_t acked = far.last_batch[0];
    const uint64_t seen = far.next[0];
    for (uint64_t i = 10; i < 200; i++) {
        test_put_sized(sender, 0, i, BIG);
        mlt_hop_sender_set_epoch(sender, 0, i); /* also ends the batch: one element each */
    }
    /* What left found nobody: none of it is still on its way when the next one listens. */
    assert_true(mlt_bus_rtt_ns(near_bus) > 0);
    receiver = far_receiver(&far, far_bus, "b", "a", "t.overrun");
    assert_true(far_await(&far, 1, 200));
    mlt_hop_sender_get_stats(sender, &sent);
    mlt_hop_receiver_get_stats(receiver, &got);
    assert_int_equal(far.loss_count, 1);
    assert_string_equal(far.losses[0].reason, "hop_overrun");
    assert_int_equal(far.losses[0].from, acked + 1);
    assert_int_equal(far.losses[0].to, far.losses[0].batch - 1);
    assert_int_equal(got.lost_batches, far.losses[0].to - acked);
    assert_int_equal(got.malformed, 0); /* nothing was sent from memory that is in use again */
    /* One element a batch: as many are missing as batches were lost, and no other. */
    assert_int_equal(far.missing, got.lost_batches);
    assert_int_equal(sent.overrun_batches, got.lost_batches);
    assert_int_equal(far.elements, 200 - far.missing);
    assert_true(far.missing > 100 && seen == 10);
    for (uint64_t i = 200; i < 1200; i++) { /* and then it flows */
        test_put(sender, 0, i);
        assert_true(mlt_hop_wait_room(sender, WAIT_NS));
        assert_true(i % 100 != 0 || far_await(&far, 1, i + 1));
    }
    assert_true(far_await(&far, 1, 1200));
    assert_int_equal(far.missing, got.lost_batches);
    assert_int_equal(far.loss_count, 1);
    mlt_hop_receiver_destroy(receiver);
    mlt_hop_sender_destroy(sender, MLT_NS_PER_S);
}

/* A receiver that falls so far behind that its own queue drops asks for the rest afterwards. */
static void test_own_queue_drops_are_repeated(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_hop_receiver *receiver = NULL;
    struct mlt_hop_receiver_stats got;
    struct mlt_bus_stats stats;
    const struct mlt_hop_receiver_options options = { .service = "b",
                                                      .sender_service = "a",
                                                      .subject = "t.slow",
                                                      .partitions = PARTITIONS,
                                                      .on_batch = far_on_batch,
                                                      .ctx = &far,
                                                      .pending_bytes_max = 16 << 10 };
    assert_int_equal(mlt_hop_receiver_create(far_bus, &options, &receiver, &err), MLT_OK);
    struct mlt_hop_sender *sender = test_sender(near_bus, "a", "t.slow", 0);
    far_set_hold(&far, true);
    for (uint64_t i = 0; i < COUNT; i++) {
        test_put(sender, 0, i);
        mlt_hop_sender_set_epoch(sender, 0, 1);
    }
    assert_true(far_await_handling(&far));
    assert_true(mlt_bus_rtt_ns(near_bus) > 0 && mlt_bus_rtt_ns(far_bus) > 0);
    far_set_hold(&far, false);
    assert_true(far_await(&far, 1, COUNT));
    assert_exactly_once(COUNT);
    mlt_hop_receiver_get_stats(receiver, &got);
    mlt_bus_get_stats(far_bus, &stats);
    assert_true(stats.slow_consumer_dropped > 0);
    assert_true(got.jumps > 0 && got.repeats_asked > 0);
    mlt_hop_receiver_destroy(receiver);
    mlt_hop_sender_destroy(sender, MLT_NS_PER_S);
}

static void count_room(void *ctx)
{
    atomic_fetch_add((atomic_int *)ctx, 1);
}

/* Half of the ring not acknowledged is congestion; it ends with the acknowledgements. */
static void test_congestion(void **state)
{
    (void)state;
    atomic_int rooms = 0;
    struct mlt_hop_sender_stats sent;
    struct mlt_hop_sender *sender = test_sender(near_bus, "a", "t.full", 4 * (128 << 10));
    struct mlt_hop_receiver *receiver = far_receiver(&far, far_bus, "b", "a", "t.full");
    mlt_hop_on_room(sender, count_room, &rooms);
    test_put(sender, 1, 0);
    assert_true(far_await_elements(&far, 1));
    far_set_hold(&far, true);
    uint64_t count = 1;
    while (!mlt_hop_congested(sender)) {
        test_put(sender, 1, count++);
        assert_true(count < 2000);
    }
    assert_true(count * ELEMENT_BYTES > (64 << 10) / 2);
    for (int i = 0; i < 100; i++) { /* well above, whatever of the first is acknowledged now */
        test_put(sender, 1, count++);
    }
    /* Longer than a dead receiver would be waited for: this one is only busy. */
    assert_false(mlt_hop_wait_room(sender, 1300 * MLT_NS_PER_MS));
    mlt_hop_sender_get_stats(sender, &sent);
    assert_true(sent.unacked_bytes > (64 << 10));
    assert_int_equal(atomic_load(&rooms), 0);
    far_set_hold(&far, false);
    assert_true(mlt_hop_wait_room(sender, WAIT_NS));
    assert_true(far_await(&far, 0, 0));
    mlt_hop_sender_get_stats(sender, &sent);
    assert_true(sent.blocked_ns >= 1300 * MLT_NS_PER_MS);
    assert_int_equal(sent.overrun_batches, 0);
    assert_true(mlt_bus_rtt_ns(near_bus) > 0);
    (void)mlt_hop_wait_room(sender, WAIT_NS);
    /* The flush that carries on_room comes with the next element at the latest. */
    for (uint64_t i = 0; atomic_load(&rooms) == 0; i++) {
        test_put(sender, 2, i);
        assert_true(mlt_bus_rtt_ns(near_bus) > 0);
    }
    mlt_hop_receiver_destroy(receiver); /* whose thread counts what is missing */
    assert_int_equal(far.missing, 0);
    mlt_hop_sender_destroy(sender, MLT_NS_PER_S);
}

enum { SHARE_BYTES = 128 << 10 };

static void await_rooms(atomic_int *rooms, int count)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    while (atomic_load(rooms) < count) {
        assert_true(mlt_bus_rtt_ns(near_bus) > 0);
        assert_true(mlt_clock_mono_ns() < deadline);
    }
}

/* How full it is is known before it is congestion, and whoever was told hears when it is not so any
 * more. */
static void test_fill(void **state)
{
    (void)state;
    static const size_t above[] = { [MLT_HOP_QUARTER] = SHARE_BYTES / 4,
                                    [MLT_HOP_THREE_EIGHTHS] = SHARE_BYTES / 8 * 3,
                                    [MLT_HOP_HALF] = SHARE_BYTES / 2 };
    atomic_int rooms = 0;
    struct mlt_hop_sender_stats sent;
    struct mlt_hop_sender *sender = test_sender(near_bus, "a", "t.fill", 4 * SHARE_BYTES);
    struct mlt_hop_receiver *receiver = far_receiver(&far, far_bus, "b", "a", "t.fill");
    mlt_hop_on_room(sender, count_room, &rooms);
    test_put(sender, 1, 0);
    assert_true(far_await_elements(&far, 1));
    await_acked(sender);
    far_set_hold(&far, true);
    test_put(sender, 1, 1);
    assert_true(far_await_handling(&far)); /* nothing is acknowledged from here on */
    assert_int_equal(mlt_hop_fill(sender), MLT_HOP_ROOM);
    uint64_t count = 2;
    for (int fill = MLT_HOP_QUARTER; fill <= MLT_HOP_HALF; fill++) {
        do {
            mlt_hop_sender_get_stats(sender, &sent);
            assert_true((int)mlt_hop_fill(sender) == fill - 1);
            assert_true(sent.unacked_bytes <= above[fill]);
            test_put(sender, 1, count++);
            mlt_hop_sender_get_stats(sender, &sent);
        } while (sent.unacked_bytes <= above[fill]);
        assert_int_equal(mlt_hop_fill(sender), fill);
        assert_int_equal(mlt_hop_congested(sender), fill == MLT_HOP_HALF);
    }
    for (uint64_t n = 0; n * ELEMENT_BYTES < SHARE_BYTES / 3; n++) {
        test_put(sender, 2, n); /* one that is emptier changes nothing */
        assert_int_equal(mlt_hop_fill(sender), MLT_HOP_HALF);
    }
    assert_int_equal(atomic_load(&rooms), 0);
    far_set_hold(&far, false);
    await_acked(sender);
    await_rooms(&rooms, 1);
    assert_int_equal(mlt_hop_fill(sender), MLT_HOP_ROOM);
    /* Told less than congestion, and nothing else. */
    const int before = atomic_load(&rooms);
    far_set_hold(&far, true);
    while (mlt_hop_fill(sender) == MLT_HOP_ROOM) {
        test_put(sender, 1, count++);
    }
    assert_int_equal(mlt_hop_fill(sender), MLT_HOP_QUARTER);
    far_set_hold(&far, false);
    await_rooms(&rooms, before + 1);
    await_acked(sender);
    assert_int_equal(mlt_hop_fill(sender), MLT_HOP_ROOM);
    mlt_hop_receiver_destroy(receiver);
    mlt_hop_sender_destroy(sender, MLT_NS_PER_S);
}

/* A receiver that is dead for a second holds nobody up: the ring overwrites. */
static void test_dead_receiver_does_not_hold_up(void **state)
{
    (void)state;
    struct mlt_hop_sender_stats sent;
    struct mlt_hop_sender *sender = test_sender(near_bus, "a", "t.dead", 4 * (64 << 10));
    struct mlt_hop_receiver *receiver = far_receiver(&far, far_bus, "b", "a", "t.dead");
    test_put(sender, 3, 0);
    assert_true(far_await_elements(&far, 1));
    await_acked(sender);
    mlt_hop_receiver_destroy(receiver);
    const int64_t before = mlt_clock_mono_ns();
    for (uint64_t i = 1; i < 500; i++) {
        test_put(sender, 3, i);
    }
    assert_true(mlt_hop_congested(sender) || mlt_clock_mono_ns() - before > MLT_NS_PER_S);
    assert_true(mlt_hop_wait_room(sender, WAIT_NS));
    assert_true(mlt_clock_mono_ns() - before > MLT_NS_PER_S);
    for (uint64_t i = 500; i < 2000; i++) {
        test_put(sender, 3, i);
    }
    assert_false(mlt_hop_congested(sender));
    mlt_hop_sender_get_stats(sender, &sent);
    assert_true(sent.overrun_batches > 0);
    mlt_hop_sender_destroy(sender, MLT_NS_PER_S);
}

/* Elements up to the documented size pass, larger ones are refused and leave no trace. */
static void test_element_sizes(void **state)
{
    (void)state;
    uint8_t *out = NULL;
    struct mlt_hop_sender *sender = test_sender(near_bus, "a", "t.size", 0);
    struct mlt_hop_receiver *receiver = far_receiver(&far, far_bus, "b", "a", "t.size");
    static const size_t sizes[] = { 8,      127,    128,    16383,
                                    131071, 131072, 500000, MLT_HOP_ELEMENT_BYTES_MAX,
                                    8 };
    enum { COUNT = sizeof sizes / sizeof sizes[0] };
    for (uint64_t i = 0; i < COUNT; i++) {
        test_put_sized(sender, 0, i, sizes[i]);
        assert_int_equal(mlt_hop_begin(sender, 0, MLT_HOP_ELEMENT_BYTES_MAX + 1, &out),
                         MLT_E_TOO_BIG);
        assert_true(mlt_hop_wait_room(sender, WAIT_NS));
    }
    assert_int_equal(mlt_hop_begin(sender, PARTITIONS, 8, &out), MLT_E_INVALID);
    assert_true(far_await(&far, 1, COUNT));
    assert_exactly_once(COUNT);
    mlt_hop_receiver_destroy(receiver);
    mlt_hop_sender_destroy(sender, MLT_NS_PER_S);
}

/* Destroying a sender sends what is open. */
static void test_destroy_sends_the_rest(void **state)
{
    (void)state;
    struct mlt_hop_receiver *receiver = far_receiver(&far, far_bus, "b", "a", "t.rest");
    assert_true(mlt_bus_rtt_ns(far_bus) > 0);
    struct mlt_hop_sender *sender = test_sender(near_bus, "a", "t.rest", 0);
    for (uint64_t i = 0; i < 500; i++) {
        test_put(sender, 2, i);
    }
    mlt_hop_sender_destroy(sender, WAIT_NS);
    assert_true(far_await_elements(&far, 500));
    assert_exactly_once(500);
    mlt_hop_receiver_destroy(receiver);
}

int main(void)
{
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_exactly_once_in_order),
        ONE(test_no_allocations),
        ONE(test_receiver_starts_late),
        ONE(test_receiver_resumes),
        ONE(test_overrun_is_told_exactly),
        ONE(test_own_queue_drops_are_repeated),
        ONE(test_congestion),
        ONE(test_fill),
        ONE(test_dead_receiver_does_not_hold_up),
        ONE(test_element_sizes),
        ONE(test_destroy_sends_the_rest),
    };
    return cmocka_run_group_tests_name("hops", tests, nats_group_start, nats_group_end);
}
