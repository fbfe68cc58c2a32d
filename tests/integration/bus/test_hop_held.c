/* Senders of the same elements, of which one speaks and the others hold what they have: what a
 * receiver gets, and is told, when another one of them speaks. */
#include "hop_hand.h"
#include "hop_support.h"
#include "mlt_test.h"
#include "nats_fixture.h"

#define SUBJECT "t.h"
#define P 0u     /* that is held */
#define OTHER 1u /* that never is */
#define FIRST 101u
#define SECOND 102u
/* Two of them are more than a batch holds: each is sealed when the next one begins, or before. */
#define BIG 70000u
#define COUNT_MAX 128u

static struct mlt_bus *near_bus, *far_bus;
static struct far far, next;
static struct mlt_hop_receiver *receiver;
static struct mlt_hop_sender *first, *second;
static int64_t at[COUNT_MAX]; /* just before that element came to anybody */

static struct mlt_hop_sender *sender_of(uint64_t boot, uint64_t epoch, uint64_t held,
                                        size_t ring_bytes)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_hop_sender *sender = NULL;
    const struct mlt_hop_sender_options options = { .service = "a",
                                                    .subject = SUBJECT,
                                                    .partitions = PARTITIONS,
                                                    .boot = boot,
                                                    .epoch = epoch,
                                                    .held_mask = held,
                                                    .ring_bytes = ring_bytes };
    assert_int_equal(mlt_hop_sender_create(near_bus, &options, &sender, &err), MLT_OK);
    return sender;
}

/* The elements from..to-1, to those of the two that there are. */
static void put(struct mlt_hop_sender *a, struct mlt_hop_sender *b, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n < to; n++) {
        assert_true(n < COUNT_MAX);
        at[n] = mlt_clock_mono_ns();
        test_put_sized(a, P, n, BIG);
        if (b != NULL) {
            test_put_sized(b, P, n, BIG);
        }
    }
}

static void speak(struct mlt_hop_sender *sender, uint64_t epoch, int64_t from_ns, bool covered)
{
    assert_int_equal(mlt_hop_sender_speak(sender, P, epoch, from_ns, covered), MLT_OK);
}

/* Until all that the sender sent of the partition is acknowledged. */
static void await_acked_of(struct mlt_hop_sender *sender, uint32_t partition)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    while (mlt_hop_sender_unacked_since(sender, partition) != INT64_MAX) {
        assert_true(mlt_bus_rtt_ns(near_bus) > 0 && mlt_bus_rtt_ns(far_bus) > 0);
        assert_true(mlt_clock_mono_ns() < deadline);
    }
}

static void await_acked(struct mlt_hop_sender *sender)
{
    await_acked_of(sender, P);
}

static void await_next(uint32_t partition, uint64_t number)
{
    const int64_t until_ns = mlt_clock_mono_ns() + WAIT_NS;
    const struct timespec until = { .tv_sec = until_ns / MLT_NS_PER_S,
                                    .tv_nsec = until_ns % MLT_NS_PER_S };
    int rc = 0;
    (void)pthread_mutex_lock(&far.lock);
    while (far.next[partition] < number && rc == 0) {
        rc = pthread_cond_timedwait(&far.changed, &far.lock, &until);
    }
    const uint64_t reached = far.next[partition];
    (void)pthread_mutex_unlock(&far.lock);
    assert_int_equal(reached, number);
}

static void await_epoch(uint64_t epoch)
{
    uint64_t epochs[MLT_HOP_PARTITIONS_MAX];
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    do {
        assert_true(mlt_bus_rtt_ns(near_bus) > 0 && mlt_bus_rtt_ns(far_bus) > 0);
        assert_true(mlt_clock_mono_ns() < deadline);
        mlt_hop_receiver_epochs(receiver, epochs);
    } while (epochs[P] != epoch);
}

static void assert_far(uint64_t repeats, uint64_t missing, unsigned losses)
{
    (void)pthread_mutex_lock(&far.lock);
    const uint64_t repeated = far.repeats, missed = far.missing, damaged = far.damaged;
    const unsigned lost = far.loss_count;
    (void)pthread_mutex_unlock(&far.lock);
    assert_int_equal(repeated, repeats);
    assert_int_equal(missed, missing);
    assert_int_equal(lost, losses);
    assert_int_equal(damaged, 0);
}

/* Ten elements to both, by the first. */
static void begin(void)
{
    receiver = far_receiver(&far, far_bus, "b", "a", SUBJECT);
    first = sender_of(FIRST, 1, 0, 0);
    second = sender_of(SECOND, 0, 1u << P, 0);
    put(first, second, 0, 10);
    assert_true(far_await(&far, 1, 10));
    assert_far(0, 0, 0);
}

static void test_who_covers_begins_where_it_was_told_and_nothing_is_lost(void **state)
{
    (void)state;
    struct mlt_hop_receiver_stats stats;
    begin();
    await_acked(first);
    assert_int_equal(mlt_hop_sender_unacked_since(second, P), INT64_MAX);
    assert_true(mlt_hop_sender_held_since(second, P) <= at[0]);
    assert_int_equal(mlt_hop_sender_held_since(first, P), INT64_MAX);
    put(second, NULL, 10, 15); /* the first has died */
    speak(second, 7, at[8], true);
    assert_true(far_await(&far, 1, 15));
    assert_far(2, 0, 0); /* 8 and 9 */
    mlt_hop_receiver_get_stats(receiver, &stats);
    assert_int_equal(far.last_boot[P], SECOND);
    assert_int_equal(far.last_epoch[P], 7);
    const uint64_t dropped = stats.duplicates;
    /* No: it slept. */
    test_put(first, P, 77);
    assert_true(mlt_bus_rtt_ns(near_bus) > 0);
    put(second, NULL, 15, 20);
    assert_true(far_await(&far, 1, 20));
    assert_far(2, 0, 0);
    mlt_hop_receiver_get_stats(receiver, &stats);
    assert_true(stats.duplicates > dropped);
    assert_int_equal(stats.lost_batches, 0);
    await_acked(second);
}

static void test_who_does_not_cover_says_so_once(void **state)
{
    (void)state;
    begin();
    speak(second, 2, at[8], false);
    assert_true(far_await_losses(&far, 1));
    put(second, NULL, 10, 15);
    assert_true(far_await(&far, 1, 15));
    assert_far(2, 0, 1);
    assert_string_equal(far.losses[0].reason, "upstream_lost");
    assert_int_equal(far.last_boot[P], SECOND);
    await_acked(second);
}

/* Nothing is left to say, and that is said: a loss, or only who speaks. */
static void test_a_ring_without_anything_in_it_speaks_too(void **state)
{
    (void)state;
    begin();
    speak(second, 2, mlt_clock_mono_ns(), true);
    await_epoch(2);
    test_put(first, P, 77);
    assert_true(mlt_bus_rtt_ns(near_bus) > 0);
    mlt_hop_sender_hold(second, P);
    speak(second, 3, mlt_clock_mono_ns(), false);
    assert_true(far_await_losses(&far, 1));
    put(second, NULL, 10, 12);
    assert_true(far_await(&far, 1, 12));
    assert_far(0, 0, 1);
    assert_string_equal(far.losses[0].reason, "upstream_lost");
}

/* The ring has less than it was asked for: it is a loss, whatever was believed. */
static void test_what_left_the_ring_is_not_covered(void **state)
{
    (void)state;
    struct mlt_hop_sender_stats stats;
    begin();
    put(second, NULL, 10, 70); /* twice the ring */
    mlt_hop_sender_get_stats(second, &stats);
    assert_int_equal(stats.overrun_batches, 0);
    assert_int_equal(stats.unacked_bytes, 0);
    assert_in_range(stats.held_bytes, stats.ring_bytes / 2, stats.ring_bytes);
    const int64_t since = mlt_hop_sender_held_since(second, P);
    assert_true(since > at[10] && since < at[60]);
    speak(second, 2, at[10], true);
    assert_true(far_await(&far, 1, 70));
    assert_true(far.missing > 10);
    assert_int_equal(far.damaged + far.repeats, 0);
    assert_int_equal(far.loss_count, 1);
    assert_int_equal(far.losses[0].batch, far.last_batch[P] - (far.elements - 10) + 1);
    await_acked(second);
}

/* The same where the ring has bytes and no place for a batch more. */
static void test_batches_that_leave_the_ring_are_holes_too(void **state)
{
    (void)state;
    second = sender_of(SECOND, 0, 1u << P, 1); /* the smallest: 256 batches */
    const int64_t before = mlt_hop_sender_held_since(second, P);
    int64_t middle = 0;
    for (uint64_t n = 0; n < 400; n++) {
        middle = n == 100 ? mlt_clock_mono_ns() : middle;
        test_put(second, P, n);
        mlt_hop_sender_set_epoch(second, P, n); /* seals */
    }
    assert_true(before < middle && mlt_hop_sender_held_since(second, P) > middle);
    receiver = far_receiver(&far, far_bus, "b", "a", SUBJECT);
    speak(second, 2, mlt_hop_sender_held_since(second, P), true);
    assert_true(far_await(&far, 1, 400));
    assert_far(0, 400 - 256, 0);
    assert_int_equal(far.last_epoch[P], 2);
}

static void test_what_was_marked_lost_is_a_hole(void **state)
{
    (void)state;
    begin();
    const int64_t before = mlt_clock_mono_ns();
    mlt_hop_mark_lost(second, P);
    const int64_t since = mlt_hop_sender_held_since(second, P);
    assert_in_range(since, before, mlt_clock_mono_ns());
    put(second, NULL, 10, 12);
    assert_int_equal(mlt_hop_sender_held_since(second, P), since);
    speak(second, 2, since, true);
    assert_true(far_await(&far, 1, 12));
    assert_far(0, 0, 0);
    /* And where it is asked for what was before. */
    mlt_hop_sender_hold(second, P);
    put(second, NULL, 12, 14);
    mlt_hop_mark_lost(second, P);
    put(second, NULL, 14, 16);
    speak(second, 3, at[13], true);
    assert_true(far_await(&far, 1, 16));
    assert_true(far.loss_count > 0 && far.losses[0].batch <= far.last_batch[P] - 2);
    assert_true(mlt_hop_sender_held_since(second, P) == INT64_MAX);
}

/* Two processes, back and forth; their numbers go on, and nobody misses those that were not sent.
 */
static void test_they_take_turns(void **state)
{
    (void)state;
    struct mlt_hop_receiver_stats stats;
    begin();
    struct mlt_hop_sender *speaks = second, *holds = first;
    for (uint64_t turn = 1; turn <= 6; turn++) {
        speak(speaks, turn + 1, at[turn * 10 - 3], true);
        mlt_hop_sender_hold(holds, P);
        put(speaks, holds, turn * 10, turn * 10 + 10);
        assert_true(far_await(&far, 1, turn * 10 + 10));
        assert_int_equal(far.last_epoch[P], turn + 1);
        assert_int_equal(far.last_boot[P], turn % 2 == 1 ? SECOND : FIRST);
        struct mlt_hop_sender *other = speaks;
        speaks = holds;
        holds = other;
    }
    assert_far(6 * 3, 0, 0);
    mlt_hop_receiver_get_stats(receiver, &stats);
    assert_int_equal(stats.lost_batches, 0);
    await_acked(holds);
}

/* The same one twice, and the receiver heard nobody in between: somebody else had those. */
static void test_one_that_speaks_again_leaves_out_what_it_held(void **state)
{
    (void)state;
    begin();
    await_acked(first);
    mlt_hop_sender_hold(first, P);
    put(first, NULL, 10, 15);
    speak(first, 3, at[13], true);
    assert_true(far_await(&far, 1, 15));
    assert_far(0, 3, 0);
    await_acked(first);
    mlt_hop_sender_hold(first, P);
    put(first, NULL, 15, 20);
    speak(first, 4, at[18], false); /* nobody can tell who had those */
    assert_true(far_await_losses(&far, 1));
    assert_true(far_await(&far, 1, 20));
    assert_far(0, 6, 1);
    assert_string_equal(far.losses[0].reason, "hop_overrun"); /* its own numbers, 15 to 17 */
    await_acked(first);
}

/* It knows nobody, and begins with what the one who speaks has not been acknowledged. */
static void test_a_receiver_that_starts_in_between(void **state)
{
    (void)state;
    begin();
    await_acked(first); /* or it would be asked for its ten, too */
    mlt_hop_receiver_destroy(receiver);
    receiver = NULL;
    speak(second, 2, at[8], true);
    put(second, NULL, 10, 12);
    assert_true(mlt_bus_rtt_ns(near_bus) > 0); /* it went out, to nobody */
    receiver = far_receiver(&next, far_bus, "b", "a", SUBJECT);
    assert_true(far_await(&next, 1, 12));
    assert_int_equal(next.elements, 4);
    assert_int_equal(next.loss_count + next.repeats + next.damaged, 0);
    await_acked(second);
}

/* ---- what it says, message by message ---- */

static struct mlt_hop hop_heard(const char *subject)
{
    const struct heard heard = hear(subject);
    return hop_of(&heard);
}

static void test_the_words_of_who_speaks_after_holding(void **state)
{
    (void)state;
    struct mlt_hop_sender_stats stats;
    struct mlt_bus_subscription *sub = listen_to(SUBJECT ".*");
    second = sender_of(SECOND, 5, 1u << P, 0);
    say_repeat("meltica.int.repeat.a.00", 0, 0); /* who is there? Not this one. */
    say_repeat("meltica.int.repeat.a.00", SECOND, 1);
    say_ack("meltica.int.ack.a", P, SECOND, 3);
    assert_true(mlt_bus_rtt_ns(hand_bus()) > 0);
    put(second, NULL, 0, 6);
    /* Silence brings heads of the other partitions. */
    test_put(second, OTHER, 0);
    for (unsigned heads = 0; heads < 2;) {
        heads += hop_heard(SUBJECT ".01").flags == MLT_HOP_HEAD ? 1 : 0;
    }
    forget();
    speak(second, 9, at[4], true);
    struct mlt_hop hop = hop_heard(SUBJECT ".00"); /* the first that ever was said */
    assert_int_equal(hop.epoch, 9);
    assert_int_equal(hop.flags, MLT_HOP_COVERS);
    assert_int_equal(hop.number, 5); /* they are counted from 1 */
    assert_int_equal(hop.oldest, hop.number);
    assert_int_equal(hop.resume, hop.number);
    const uint64_t oldest = hop.number;
    uint64_t last = hop.number;
    while ((hop = hop_heard(SUBJECT ".00")).flags == MLT_HOP_COVERS) {
        assert_int_equal(hop.number, ++last);
    }
    assert_int_equal(hop.flags, MLT_HOP_COVERS | MLT_HOP_HEAD);
    assert_int_equal(hop.number, last);
    assert_int_equal(hop.oldest, oldest);
    /* Asked for what it dropped it begins with what it has. */
    say_repeat("meltica.int.repeat.a.00", SECOND, 1);
    while (((hop = hop_heard(SUBJECT ".00")).flags & MLT_HOP_HEAD) != 0) {
    }
    assert_int_equal(hop.number, oldest);
    assert_int_equal(hop.resume, oldest);
    /* Acknowledged, it is one like any other. An acknowledgement of what it dropped is none. */
    say_ack("meltica.int.ack.a", P, SECOND, 1);
    assert_true(mlt_bus_rtt_ns(hand_bus()) > 0 && mlt_bus_rtt_ns(near_bus) > 0);
    forget();
    while (((hop = hop_heard(SUBJECT ".00")).flags & MLT_HOP_HEAD) == 0) { /* of the repeat */
    }
    assert_int_equal(hop.flags, MLT_HOP_COVERS | MLT_HOP_HEAD);
    assert_int_equal(hop.resume, oldest);
    assert_in_range(mlt_hop_sender_unacked_since(second, P), at[4], at[5]);
    say_ack("meltica.int.ack.a", P, SECOND, last);
    while ((hop = hop_heard(SUBJECT ".00")).flags != MLT_HOP_HEAD) {
        assert_true((hop.flags & MLT_HOP_COVERS) != 0);
    }
    assert_int_equal(hop.resume, last + 1);
    assert_int_equal(mlt_hop_sender_unacked_since(second, P), INT64_MAX);
    /* Held again it says nothing more, not even that it is there. */
    mlt_hop_sender_hold(second, P);
    assert_true(mlt_bus_rtt_ns(near_bus) > 0);
    forget();
    for (unsigned heads = 0; heads < 2; heads++) {
        assert_int_equal(hop_heard(SUBJECT ".01").flags, MLT_HOP_HEAD);
    }
    test_put(second, P, 6);
    speak(second, 11, 0, false);
    do { /* what it had said before it was held may be heard only now */
        hop = hop_heard(SUBJECT ".00");
    } while (hop.epoch != 11);
    assert_int_equal(hop.number, last + 1);
    assert_int_equal(hop.flags, MLT_HOP_LOST);
    mlt_hop_sender_get_stats(second, &stats);
    assert_int_equal(stats.repeats_served, 1);
    assert_int_equal(stats.overrun_batches, 0);
    mlt_bus_unsubscribe(sub);
}

/* The one before left a hole, which it would have been asked for. */
static void test_a_hole_of_the_one_before_is_told_unless_it_is_covered(void **state)
{
    (void)state;
    struct mlt_hop_receiver_stats stats;
    receiver = far_receiver(&far, far_bus, "b", "a", SUBJECT);
    assert_true(mlt_bus_rtt_ns(far_bus) > 0);
    struct mlt_hop one = { .boot = 1, .number = 1, .oldest = 1, .resume = 1, .epoch = 1 };
    struct mlt_hop two = { .boot = 2, .number = 9, .oldest = 8, .resume = 8, .epoch = 2 };
    two.flags = MLT_HOP_COVERS | MLT_HOP_HEAD; /* its first word */
    say_batch(SUBJECT ".00", one, 0);
    one.number = 3;
    say_batch(SUBJECT ".00", one, 2);
    say_batch(SUBJECT ".00", two, 0);
    one.number = 2; /* what was asked for comes too late */
    say_batch(SUBJECT ".00", one, 77);
    two.flags = MLT_HOP_COVERS;
    two.number = 8;
    say_batch(SUBJECT ".00", two, 1);
    two.number = 9;
    say_batch(SUBJECT ".00", two, 2);
    assert_true(far_await(&far, 1, 3));
    assert_far(0, 0, 0);
    /* It has no more of what it said that it would begin with: that is lost all the same. */
    two = (struct mlt_hop){ .boot = 3, .number = 7, .oldest = 7, .resume = 5, .epoch = 3 };
    two.flags = MLT_HOP_COVERS;
    say_batch(SUBJECT ".00", two, 3);
    assert_true(far_await_losses(&far, 1));
    assert_string_equal(far.losses[0].reason, "hop_overrun");
    assert_int_equal(far.losses[0].from, 5);
    assert_int_equal(far.losses[0].to, 6);
    /* And a hole that nobody covers. */
    two.number = 9;
    say_batch(SUBJECT ".00", two, 5);
    one = (struct mlt_hop){ .boot = 4, .number = 1, .oldest = 1, .resume = 1, .epoch = 4 };
    say_batch(SUBJECT ".00", one, 4);
    assert_true(far_await_losses(&far, 2));
    assert_string_equal(far.losses[1].reason, "sender_restarted");
    mlt_hop_receiver_get_stats(receiver, &stats);
    assert_int_equal(stats.boots, 4);
    assert_int_equal(stats.duplicates, 1);
    assert_far(0, 0, 2);
}

/* ---- room, time, refusals ---- */

static void test_nobody_waits_for_what_is_held(void **state)
{
    (void)state;
    receiver = far_receiver(&far, far_bus, "b", "a", SUBJECT);
    second = sender_of(SECOND, 1, 1u << P, 0);
    test_put(second, OTHER, 0);
    await_acked_of(second, OTHER); /* a receiver is there, and it is known */
    put(second, NULL, 0, 25);
    assert_false(mlt_hop_congested(second));
    /* Said, it is what anybody has to wait for; held again, it is not. */
    far_set_hold(&far, true);
    speak(second, 2, 0, true);
    assert_true(mlt_hop_congested(second));
    mlt_hop_sender_hold(second, P);
    assert_false(mlt_hop_congested(second));
    assert_true(mlt_hop_wait_room(second, 0));
    far_set_hold(&far, false);
    put(second, NULL, 25, 30);
    test_put(second, OTHER, 1);
    const int64_t start = mlt_clock_mono_ns();
    mlt_hop_sender_destroy(second, WAIT_NS);
    second = NULL;
    assert_true(mlt_clock_mono_ns() - start < WAIT_NS / 2);
    await_next(OTHER, 2); /* but for what is spoken for it does */
}

static void test_since_when_something_is_not_acknowledged(void **state)
{
    (void)state;
    struct mlt_bus_subscription *sub = listen_to(SUBJECT ".00");
    first = sender_of(FIRST, 1, 0, 1); /* 256 batches */
    assert_int_equal(mlt_hop_sender_unacked_since(first, P), INT64_MAX);
    for (uint64_t n = 0; n < 3; n++) {
        at[n] = mlt_clock_mono_ns();
        test_put(first, P, n);
        mlt_hop_sender_set_epoch(first, P, 1);
    }
    assert_in_range(mlt_hop_sender_unacked_since(first, P), at[0], at[1]);
    while (hop_heard(SUBJECT ".00").number < 3) {
    }
    say_ack("meltica.int.ack.a", P, FIRST, 1);
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    while (mlt_hop_sender_unacked_since(first, P) < at[1]) {
        assert_true(mlt_bus_rtt_ns(near_bus) > 0 && mlt_clock_mono_ns() < deadline);
    }
    assert_in_range(mlt_hop_sender_unacked_since(first, P), at[1], at[2]);
    for (uint64_t n = 3; n < 320; n++) { /* it leaves the ring, and stays unacknowledged */
        test_put(first, P, n);
        mlt_hop_sender_set_epoch(first, P, 1); /* seals */
    }
    assert_in_range(mlt_hop_sender_unacked_since(first, P), at[1], at[2]);
    mlt_hop_sender_hold(first, P);
    assert_int_equal(mlt_hop_sender_unacked_since(first, P), INT64_MAX);
    speak(first, 2, mlt_clock_mono_ns(), false); /* a loss, and nobody knows since when */
    assert_int_equal(mlt_hop_sender_unacked_since(first, P), 0);
    struct mlt_hop hop;
    while ((hop = hop_heard(SUBJECT ".00")).epoch != 2) {
    }
    assert_int_equal(hop.flags, MLT_HOP_LOST);
    say_ack("meltica.int.ack.a", P, FIRST, hop.number);
    await_acked(first);
    mlt_bus_unsubscribe(sub);
}

static void test_what_cannot_be_is_refused(void **state)
{
    (void)state;
    first = sender_of(FIRST, 1, 0, 0);
    assert_int_equal(mlt_hop_sender_speak(first, P, 2, 0, true), MLT_E_INVALID);
    mlt_hop_sender_hold(first, P);
    assert_int_equal(mlt_hop_sender_speak(first, P, 0, 0, true), MLT_E_INVALID);
    assert_int_equal(mlt_hop_sender_speak(first, PARTITIONS, 2, 0, true), MLT_E_INVALID);
    const int64_t since = mlt_hop_sender_held_since(first, P);
    assert_in_range(since, 1, mlt_clock_mono_ns());
    mlt_hop_sender_hold(first, P); /* it is already */
    assert_int_equal(mlt_hop_sender_held_since(first, P), since);
    speak(first, 2, 0, true);
    mlt_hop_sender_hold(first, OTHER);
    mlt_hop_sender_leave(first, P);
    mlt_hop_sender_leave(first, OTHER);
    for (uint32_t p = P; p <= OTHER; p++) { /* what was left stays that */
        mlt_hop_sender_hold(first, p);
        assert_int_equal(mlt_hop_sender_held_since(first, p), INT64_MAX);
        assert_int_equal(mlt_hop_sender_unacked_since(first, p), INT64_MAX);
        assert_int_equal(mlt_hop_sender_speak(first, p, 3, 0, true), MLT_E_INVALID);
    }
}

static int setup(void **state)
{
    (void)state;
    near_bus = test_connect(nats_group.url, "near");
    far_bus = test_connect(nats_group.url, "far");
    hand_init(nats_group.url);
    far_init(&far);
    far_init(&next);
    receiver = NULL;
    first = second = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    far_set_hold(&far, false);
    mlt_hop_receiver_destroy(receiver);
    mlt_hop_sender_destroy(first, 0);
    mlt_hop_sender_destroy(second, 0);
    mlt_bus_destroy(near_bus, MLT_NS_PER_S);
    mlt_bus_destroy(far_bus, MLT_NS_PER_S);
    hand_fini();
    far_fini(&far);
    far_fini(&next);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_who_covers_begins_where_it_was_told_and_nothing_is_lost),
        TEST(test_who_does_not_cover_says_so_once),
        TEST(test_a_ring_without_anything_in_it_speaks_too),
        TEST(test_what_left_the_ring_is_not_covered),
        TEST(test_batches_that_leave_the_ring_are_holes_too),
        TEST(test_what_was_marked_lost_is_a_hole),
        TEST(test_they_take_turns),
        TEST(test_one_that_speaks_again_leaves_out_what_it_held),
        TEST(test_a_receiver_that_starts_in_between),
        TEST(test_the_words_of_who_speaks_after_holding),
        TEST(test_a_hole_of_the_one_before_is_told_unless_it_is_covered),
        TEST(test_nobody_waits_for_what_is_held),
        TEST(test_since_when_something_is_not_acknowledged),
        TEST(test_what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, nats_group_start, nats_group_end);
}
