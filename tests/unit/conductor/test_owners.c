/* Who takes over what, and when: mlt_owners alone, with the time as an argument. */
#include "mlt_test.h"

#include <string.h>

#include "meltica/bus/owners.h"

#define MS MLT_NS_PER_MS
#define PARTITIONS 4u

/* Replicas that hear each other, and beat ten times a second of this time. */
#define REPLICAS_MAX 3u
struct replica {
    struct mlt_owners owners;
    struct mlt_owners_beat beat;
    bool running, deaf;
    bool hears_nothing;                 /* and is heard: one of its two connections is dead */
    uint64_t taken[MLT_OWNERS_REASONS]; /* partitions that were due, by reason */
};

static struct {
    int64_t now;
    uint64_t epoch; /* of the newest claim */
    struct replica of[REPLICAS_MAX];
} world;

static void claim(struct replica *r, uint64_t partitions)
{
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        if ((partitions >> p & 1) != 0) {
            r->beat.partitions |= UINT64_C(1) << p;
            r->beat.epochs[p] = ++world.epoch;
        }
    }
}

static void run(unsigned n, uint32_t replicas)
{
    struct replica *r = &world.of[n];
    memset(r, 0, sizeof *r);
    r->beat = (struct mlt_owners_beat){ .boot = ++world.epoch + 1000,
                                        .replica = n,
                                        .replicas = replicas };
    mlt_owners_init(&r->owners, PARTITIONS, n, replicas, r->beat.boot, world.now);
    r->running = true;
    claim(r, mlt_owners_home(&r->owners));
}

static void lose(struct replica *r, uint64_t partitions)
{
    r->beat.partitions &= ~partitions;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        if ((partitions >> p & 1) != 0) {
            r->beat.epochs[p] = 0;
        }
    }
    mlt_owners_lost(&r->owners, partitions, world.now);
}

static void hear(struct replica *r, const struct mlt_owners_beat *beat)
{
    const uint64_t lost = mlt_owners_hear(&r->owners, beat, r->beat.epochs, world.now);
    if (lost != 0) {
        lose(r, lost);
    }
}

static void say(struct replica *from)
{
    const int64_t heard = from->owners.self_heard_ns;
    from->beat.sent_ns = world.now;
    from->beat.deaf = heard == INT64_MIN || world.now - heard >= MLT_OWNERS_DEAF_NS;
    for (unsigned to = 0; to < REPLICAS_MAX; to++) {
        if (world.of[to].running && !world.of[to].deaf && !world.of[to].hears_nothing &&
            !from->deaf) {
            hear(&world.of[to], &from->beat);
        }
    }
}

/* All of them, in steps of ten milliseconds; a beat comes each hundred. */
static void pass(int64_t for_ns)
{
    for (const int64_t end = world.now + for_ns; world.now < end; world.now += 10 * MS) {
        for (unsigned n = REPLICAS_MAX; n-- > 0;) { /* the wrong ones are asked first */
            struct replica *r = &world.of[n];
            uint64_t take = 0;
            if (!r->running) {
                continue;
            }
            if (world.now % (100 * MS) == n * 10 * MS) {
                say(r);
            }
            const enum mlt_owners_reason reason =
                mlt_owners_due(&r->owners, r->beat.partitions, world.now, &take);
            assert_int_equal(reason == MLT_OWNERS_NOTHING, take == 0);
            r->taken[reason] |= take;
            if (take != 0) {
                claim(r, take);
                say(r);
            }
        }
    }
}

static void begin(unsigned replicas)
{
    memset(&world, 0, sizeof world);
    world.now = 5 * MLT_NS_PER_S;
    for (unsigned n = 0; n < replicas; n++) {
        run(n, replicas);
    }
    pass(4 * MLT_NS_PER_S);
}

/* Each partition is owned by one that runs, once; by that one where it is said. */
static void assert_owned(const char *owners)
{
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        unsigned count = 0, by = 0;
        for (unsigned n = 0; n < REPLICAS_MAX; n++) {
            if (world.of[n].running && (world.of[n].beat.partitions >> p & 1) != 0) {
                count++;
                by = n;
            }
        }
        if (count != 1 || owners[p] != (char)('0' + by)) {
            fail_msg("partition %u: %u owners, %u the last, wanted %c", p, count, by, owners[p]);
        }
    }
}

static uint64_t taken(unsigned n)
{
    const uint64_t *of = world.of[n].taken;
    return of[MLT_OWNERS_SILENT] | of[MLT_OWNERS_RELEASED] | of[MLT_OWNERS_HOME];
}

static void test_where_all_are_well_nobody_takes_anything(void **state)
{
    (void)state;
    begin(3);
    pass(60 * MLT_NS_PER_S);
    assert_owned("0120");
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(taken(n), 0);
        assert_int_equal(mlt_owners_peers(&world.of[n].owners, world.now), 2);
    }
}

static void test_what_is_silent_is_taken_by_the_lowest_within_a_second(void **state)
{
    (void)state;
    begin(3);
    world.of[2].running = false;
    pass(MLT_OWNERS_SILENCE_NS - 200 * MS);
    assert_int_equal(taken(0) | taken(1), 0); /* it may be slow */
    pass(300 * MS);
    assert_owned("0100");
    assert_int_equal(world.of[0].taken[MLT_OWNERS_SILENT], 1u << 2);
    pass(5 * MLT_NS_PER_S);
    assert_int_equal(taken(1), 0);
    /* The lowest itself: then the next, and only that one. */
    world.of[0].running = false;
    run(2, 3);
    pass(MLT_OWNERS_SILENCE_NS + 2 * MLT_OWNERS_RANK_NS + 200 * MS);
    assert_owned("1121");
    assert_int_equal(world.of[1].taken[MLT_OWNERS_SILENT], 1u << 0 | 1u << 3);
}

static void test_what_is_released_is_taken_at_once(void **state)
{
    (void)state;
    begin(2);
    struct replica *r = &world.of[1];
    r->beat.leaving = true;
    r->beat.partitions = 0;
    memset(r->beat.epochs, 0, sizeof r->beat.epochs);
    say(r);
    r->running = false;
    pass(20 * MS);
    assert_owned("0000");
    assert_int_equal(world.of[0].taken[MLT_OWNERS_RELEASED], 1u << 1 | 1u << 3);
}

static void test_who_comes_back_has_its_own_and_the_stand_in_falls_silent(void **state)
{
    (void)state;
    begin(2);
    world.of[1].running = false;
    pass(2 * MLT_NS_PER_S);
    assert_owned("0000");
    run(1, 2); /* it claims what is its own, as it starts */
    pass(300 * MS);
    assert_owned("0101");
    pass(30 * MLT_NS_PER_S);
    assert_owned("0101");
}

/* Stopped and continued: it learns that others own what it had, and has it back once it was well
 * for a while. */
static void test_who_slept_is_outbid_and_has_its_own_back_later(void **state)
{
    (void)state;
    begin(2);
    world.of[1].running = false;
    pass(5 * MLT_NS_PER_S);
    assert_owned("0000");
    world.of[1].running = true;
    pass(200 * MS);
    assert_owned("0000");
    pass(MLT_OWNERS_HOME_NS - MLT_NS_PER_S);
    assert_int_equal(taken(1), 0);
    pass(2 * MLT_NS_PER_S);
    assert_owned("0101");
    assert_int_equal(world.of[1].taken[MLT_OWNERS_HOME], 1u << 1 | 1u << 3);
    pass(30 * MLT_NS_PER_S);
    assert_owned("0101");
    assert_int_equal(world.of[0].taken[MLT_OWNERS_HOME], 0);
}

static void test_who_does_not_hear_itself_takes_nothing(void **state)
{
    (void)state;
    begin(3);
    for (unsigned n = 0; n < 3; n++) { /* NATS is away */
        world.of[n].deaf = true;
    }
    pass(60 * MLT_NS_PER_S);
    assert_int_equal(taken(0) | taken(1) | taken(2), 0);
    /* It is back, for one after the other. */
    for (unsigned n = 0; n < 3; n++) {
        world.of[n].deaf = false;
        pass(MLT_OWNERS_SETTLE_NS / 2);
    }
    pass(10 * MLT_NS_PER_S);
    assert_int_equal(taken(0) | taken(1) | taken(2), 0);
    assert_owned("0120");
    /* Only one of them is cut off: it takes nothing, and what it had is taken. */
    world.of[1].deaf = true;
    pass(2 * MLT_NS_PER_S);
    assert_int_equal(taken(1), 0);
    assert_int_equal(world.of[0].taken[MLT_OWNERS_SILENT], 1u << 1);
}

/* It says that it owns, and that it does not hear itself: nobody knows less of its partitions. */
static void test_what_a_deaf_one_owns_is_taken(void **state)
{
    (void)state;
    begin(2);
    world.of[1].hears_nothing = true;
    pass(MLT_OWNERS_DEAF_NS + MLT_OWNERS_SILENCE_NS - 200 * MS);
    assert_int_equal(taken(0), 0);
    pass(500 * MS);
    assert_int_equal(world.of[0].taken[MLT_OWNERS_SILENT], 1u << 1 | 1u << 3);
    assert_int_equal(world.of[0].taken[MLT_OWNERS_RELEASED], 0);
    assert_int_equal(mlt_owners_peers(&world.of[0].owners, world.now), 0);
    pass(10 * MLT_NS_PER_S); /* it is not believed that it has them again */
    assert_int_equal(world.of[0].beat.partitions, 0xf);
    assert_int_equal(world.of[1].beat.partitions, 1u << 1 | 1u << 3); /* it knows nothing of it */
    world.of[1].hears_nothing = false;
    pass(200 * MS);
    assert_owned("0000");
    pass(15 * MLT_NS_PER_S);
    assert_owned("0101");
}

/* What a higher epoch says is true, whoever says it. */
static void test_a_deaf_one_outbids_all_the_same(void **state)
{
    (void)state;
    begin(2);
    world.of[1].hears_nothing = true;
    pass(MLT_OWNERS_DEAF_NS + 100 * MS);
    claim(&world.of[1], 0xf);
    pass(100 * MS);
    assert_int_equal(world.of[0].beat.partitions, 0);
    pass(3 * MLT_NS_PER_S); /* and serves nobody */
    assert_int_equal(world.of[0].beat.partitions, 0xf);
}

/* What waited for us while we slept is no sign that we hear now. */
static void test_an_echo_counts_as_of_when_it_was_sent(void **state)
{
    (void)state;
    struct mlt_owners owners;
    const uint64_t own[MLT_OWNERS_PARTITIONS_MAX] = { 0 };
    struct mlt_owners_beat self = { .boot = 1, .replicas = 2 };
    const int64_t late = 5 * MLT_NS_PER_S;
    uint64_t take = 0;
    mlt_owners_init(&owners, PARTITIONS, 0, 2, 1, 0);
    for (int64_t now = late; now < 2 * late; now += MLT_OWNERS_BEAT_NS) {
        self.sent_ns = now - late;
        assert_int_equal(mlt_owners_hear(&owners, &self, own, now), 0);
        assert_int_equal(mlt_owners_due(&owners, 0, now, &take), MLT_OWNERS_NOTHING);
    }
    for (int64_t now = 2 * late; take == 0 && now < 3 * late; now += MLT_OWNERS_BEAT_NS) {
        self.sent_ns = now;
        assert_int_equal(mlt_owners_hear(&owners, &self, own, now), 0);
        (void)mlt_owners_due(&owners, 0, now, &take);
        assert_int_equal(take != 0, now >= 2 * late + MLT_OWNERS_SETTLE_NS + MLT_OWNERS_SILENCE_NS);
    }
    assert_int_equal(take, 0xf); /* its own and, with nobody else there, the others' */
}

static void test_what_cannot_be_claimed_is_tried_again_later(void **state)
{
    (void)state;
    begin(2);
    world.of[1].running = false;
    pass(MLT_NS_PER_S);
    struct replica *r = &world.of[0];
    assert_int_equal(taken(0), 1u << 1 | 1u << 3);
    lose(r, taken(0)); /* JetStream did not take the claims */
    mlt_owners_failed(&r->owners, taken(0), world.now);
    memset(r->taken, 0, sizeof r->taken);
    pass(MLT_OWNERS_RETRY_NS - 20 * MS);
    assert_int_equal(taken(0), 0);
    pass(MLT_NS_PER_S);
    assert_owned("0000");
}

/* Two are told two numbers, as in a rolling update: each partition has one owner after each step,
 * and nobody takes anything from one who calls it its own. */
static void test_scaled_two_three_two(void **state)
{
    (void)state;
    begin(2);
    run(2, 3);
    pass(15 * MLT_NS_PER_S);
    assert_owned("0121");
    for (unsigned n = 2; n-- > 0;) {
        world.of[n].running = false;
        pass(2 * MLT_NS_PER_S);
        run(n, 3);
        pass(15 * MLT_NS_PER_S);
    }
    assert_owned("0120");
    world.of[2].running = false;
    pass(2 * MLT_NS_PER_S);
    assert_owned("0100");
    for (unsigned n = 2; n-- > 0;) {
        world.of[n].running = false;
        pass(2 * MLT_NS_PER_S);
        run(n, 2);
        pass(15 * MLT_NS_PER_S);
    }
    assert_owned("0101");
    memset(world.of[0].taken, 0, sizeof world.of[0].taken);
    memset(world.of[1].taken, 0, sizeof world.of[1].taken);
    pass(60 * MLT_NS_PER_S);
    assert_int_equal(taken(0) | taken(1), 0);
}

static void test_who_was_told_that_it_is_alone_stands_by_for_who_was_not(void **state)
{
    (void)state;
    begin(0);
    run(0, 1);
    pass(4 * MLT_NS_PER_S);
    assert_owned("0000");
    run(1, 2);
    claim(&world.of[1], 0xf);
    pass(60 * MLT_NS_PER_S);
    assert_owned("1111");
    assert_int_equal(taken(0), 0);
    world.of[1].running = false; /* it stands in all the same */
    pass(2 * MLT_NS_PER_S);
    assert_owned("0000");
}

static void test_a_higher_epoch_ends_a_lower_one_and_not_the_other_way_round(void **state)
{
    (void)state;
    struct mlt_owners owners;
    uint64_t own[MLT_OWNERS_PARTITIONS_MAX] = { 7, 7, 7, 0 };
    mlt_owners_init(&owners, PARTITIONS, 0, 1, 1, 0);
    const struct mlt_owners_beat beat = {
        .boot = 2, .replicas = 1, .partitions = 0xf, .epochs = { 6, 7, 8, 9 }
    };
    assert_int_equal(mlt_owners_hear(&owners, &beat, own, 10), 1u << 2);
    /* Named without an epoch, as by one that claims just now: nothing yet. */
    const struct mlt_owners_beat claiming = { .boot = 3, .replicas = 1, .partitions = 0xf };
    assert_int_equal(mlt_owners_hear(&owners, &claiming, own, 20), 0);
}

static void test_beats_on_the_wire(void **state)
{
    (void)state;
    uint8_t bytes[MLT_OWNERS_BEAT_BYTES_MAX];
    struct mlt_owners_beat beat = { .boot = UINT64_MAX, .replica = 2, .replicas = 3 }, read;
    char instance[MLT_OWNERS_INSTANCE_BYTES_MAX];
    memset(instance, 'x', sizeof instance - 1);
    instance[sizeof instance - 1] = '\0';
    for (uint32_t p = 0; p < MLT_OWNERS_PARTITIONS_MAX; p++) { /* the longest there is */
        beat.partitions |= UINT64_C(1) << p;
        beat.epochs[p] = UINT64_MAX - p;
        beat.needs_ns[p] = INT64_MAX - p;
        beat.plan_boots[p] = UINT64_MAX - 2 * p;
        beat.plan_revisions[p] = UINT64_MAX - 3 * p;
    }
    beat.warm = UINT64_MAX / 3;
    beat.leaving = beat.deaf = true;
    beat.sent_ns = INT64_MAX;
    size_t len = mlt_owners_encode(&beat, instance, bytes);
    assert_int_equal(mlt_owners_decode(mlt_slice_of(bytes, len), &read), MLT_OK);
    assert_memory_equal(&read, &beat, sizeof beat);
    for (size_t cut = 1; cut < len; cut++) { /* a part of it is none, or another one */
        struct mlt_owners_beat part;
        if (mlt_owners_decode(mlt_slice_of(bytes, len - cut), &part) == MLT_OK) {
            assert_true(memcmp(&part, &beat, sizeof beat) != 0);
        }
    }
    beat = (struct mlt_owners_beat){ .boot = 1, .replica = 3, .replicas = 3 };
    len = mlt_owners_encode(&beat, "a", bytes);
    assert_int_equal(mlt_owners_decode(mlt_slice_of(bytes, len), &read), MLT_E_PARSE);
    beat = (struct mlt_owners_beat){ .boot = 0, .replica = 0, .replicas = 3 };
    len = mlt_owners_encode(&beat, "a", bytes);
    assert_int_equal(mlt_owners_decode(mlt_slice_of(bytes, len), &read), MLT_E_PARSE);
    assert_int_equal(mlt_owners_decode(mlt_slice_of("\xff\xff", 2), &read), MLT_E_PARSE);
}

static size_t encode(const struct mlt_owners_beat *beat, uint8_t *bytes)
{
    return mlt_owners_encode(beat, "a", bytes);
}

static void test_what_a_hot_standby_has_to_know_on_the_wire(void **state)
{
    (void)state;
    uint8_t bytes[MLT_OWNERS_BEAT_BYTES_MAX], as_before[MLT_OWNERS_BEAT_BYTES_MAX];
    struct mlt_owners_beat read;
    struct mlt_owners_beat beat = {
        .boot = 5, .replicas = 2, .partitions = 0x15, .epochs = { 7, 0, 8, 0, 9 }
    };
    const size_t before = encode(&beat, as_before);
    assert_int_equal(mlt_owners_decode(mlt_slice_of(as_before, before), &read), MLT_OK);
    assert_memory_equal(&read, &beat, sizeof beat); /* as it was without: not known */
    /* Nothing is known without a plan, nor said of what is another one's: not a byte more. */
    beat.needs_ns[2] = 6;
    beat.plan_revisions[4] = 7;
    beat.plan_boots[1] = 99;
    assert_int_equal(encode(&beat, bytes), before);
    assert_memory_equal(bytes, as_before, before);
    /* Of some of what it owns, each at its own place. */
    beat.plan_boots[1] = 0;
    beat.plan_boots[2] = beat.plan_boots[4] = 33;
    beat.plan_revisions[2] = 5;
    beat.warm = 2;
    size_t len = encode(&beat, bytes);
    assert_int_equal(mlt_owners_decode(mlt_slice_of(bytes, len), &read), MLT_OK);
    assert_memory_equal(&read, &beat, sizeof beat);
    /* Fewer than there are partitions, or less than nothing: none of it can be meant. */
    const uint8_t one_need[] = { 0x50, 1 };
    memcpy(bytes + len, one_need, sizeof one_need);
    assert_int_equal(mlt_owners_decode(mlt_slice_of(bytes, len + sizeof one_need), &read),
                     MLT_E_PARSE);
    beat = (struct mlt_owners_beat){ .boot = 5, .replicas = 2, .partitions = 1 };
    len = encode(&beat, bytes);
    const uint8_t endless[] = { 0x50, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
                                0x59, 1,    0,    0,    0,    0,    0,    0,    0,    0x60, 1 };
    memcpy(bytes + len, endless, sizeof endless);
    assert_int_equal(mlt_owners_decode(mlt_slice_of(bytes, len + sizeof endless), &read),
                     MLT_E_PARSE);
    /* All three of fewer than it owns. */
    bytes[len + 10] = 0;
    struct mlt_owners_beat two = beat;
    two.partitions = 3;
    const size_t len_of_two = mlt_owners_encode(&two, "a", as_before);
    memcpy(as_before + len_of_two, bytes + len, sizeof endless);
    assert_int_equal(mlt_owners_decode(mlt_slice_of(as_before, len_of_two + sizeof endless), &read),
                     MLT_E_PARSE);
    /* The same of what it does own. */
    assert_int_equal(mlt_owners_decode(mlt_slice_of(bytes, len + sizeof endless), &read), MLT_OK);
    assert_int_equal(read.needs_ns[0], INT64_MAX);
    assert_int_equal(read.plan_boots[0], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_all_are_well_nobody_takes_anything),
        cmocka_unit_test(test_what_is_silent_is_taken_by_the_lowest_within_a_second),
        cmocka_unit_test(test_what_is_released_is_taken_at_once),
        cmocka_unit_test(test_who_comes_back_has_its_own_and_the_stand_in_falls_silent),
        cmocka_unit_test(test_who_slept_is_outbid_and_has_its_own_back_later),
        cmocka_unit_test(test_who_does_not_hear_itself_takes_nothing),
        cmocka_unit_test(test_what_a_deaf_one_owns_is_taken),
        cmocka_unit_test(test_a_deaf_one_outbids_all_the_same),
        cmocka_unit_test(test_an_echo_counts_as_of_when_it_was_sent),
        cmocka_unit_test(test_what_cannot_be_claimed_is_tried_again_later),
        cmocka_unit_test(test_scaled_two_three_two),
        cmocka_unit_test(test_who_was_told_that_it_is_alone_stands_by_for_who_was_not),
        cmocka_unit_test(test_a_higher_epoch_ends_a_lower_one_and_not_the_other_way_round),
        cmocka_unit_test(test_beats_on_the_wire),
        cmocka_unit_test(test_what_a_hot_standby_has_to_know_on_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
