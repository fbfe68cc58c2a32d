/* What the two ends of a hop say, each against an other end made by hand, message by message. */
#include <stdlib.h>

#include "hop_hand.h"
#include "hop_support.h"
#include "meltica/base/hash.h"
#include "meltica/event/native.h"
#include "mlt_test.h"
#include "nats_fixture.h"

static struct mlt_bus *bus; /* of the end under test; the other one's is the hand's */
static struct far far;

static int setup(void **state)
{
    (void)state;
    bus = test_connect(nats_group.url, "tested");
    hand_init(nats_group.url);
    far_init(&far);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    mlt_bus_destroy(bus, MLT_NS_PER_S);
    hand_fini();
    far_fini(&far);
    return 0;
}

/* ---- the receiver ---- */

#define REPEAT_00 "meltica.int.repeat.s.00"

static struct mlt_hop_receiver *receiver_under_test(void)
{
    struct mlt_hop_receiver *receiver = far_receiver(&far, bus, "r", "s", "t.p");
    assert_true(mlt_bus_rtt_ns(bus) > 0);
    return receiver;
}

/* It asks everybody at its start; asks for a jump at once and again; goes on in order. */
static void test_receiver_asks(void **state)
{
    (void)state;
    struct mlt_bus_subscription *sub = listen_to("meltica.int.repeat.s.*");
    struct mlt_hop_receiver *receiver = receiver_under_test();
    struct heard heard = hear("meltica.int.repeat.s.03");
    assert_repeat(&heard, 0, 0);
    forget();
    struct mlt_hop hop = { .boot = 7, .number = 1, .oldest = 1, .resume = 1 };
    say_batch("t.p.00", hop, 0);
    assert_true(far_await(&far, 1, 1));
    hop.number = 4;
    say_batch("t.p.00", hop, 3);
    heard = hear(REPEAT_00);
    assert_repeat(&heard, 7, 2);
    heard = hear(REPEAT_00); /* nothing came of it */
    assert_repeat(&heard, 7, 2);
    for (hop.number = 2; hop.number <= 4; hop.number++) {
        say_batch("t.p.00", hop, hop.number - 1);
    }
    assert_true(far_await(&far, 1, 4));
    /* A head above what it has is a jump too; one that is not is nothing. */
    hop = (struct mlt_hop){ .boot = 7, .number = 4, .oldest = 1, .flags = MLT_HOP_HEAD };
    say_batch("t.p.00", hop, 0);
    hop.number = 5;
    say_batch("t.p.00", hop, 0);
    do {
        heard = hear(REPEAT_00);
    } while (get64(heard.bytes + 10) < 5); /* of the hole before, while it was filled */
    assert_repeat(&heard, 7, 5);
    hop.flags = 0;
    say_batch("t.p.00", hop, 4);
    assert_true(far_await(&far, 1, 5));
    assert_int_equal(far.missing + far.repeats + far.loss_count, 0);
    mlt_hop_receiver_destroy(receiver);
    mlt_bus_unsubscribe(sub);
}

/* Unknown boots begin at resume; what is below oldest is lost exactly; boots that were left stay
 * away; a hole of a boot that ended is told. */
static void test_receiver_boots_and_losses(void **state)
{
    (void)state;
    struct mlt_hop_receiver_stats stats;
    struct mlt_bus_subscription *sub = listen_to("meltica.int.repeat.s.00");
    struct mlt_hop_receiver *receiver = receiver_under_test();
    /* Starts at 10: 12 is a jump. */
    say_batch("t.p.00", (struct mlt_hop){ .boot = 1, .number = 12, .oldest = 8, .resume = 10 }, 2);
    struct heard heard = hear(REPEAT_00);
    while (get64(heard.bytes + 1) == 0) {
        heard = hear(REPEAT_00);
    }
    assert_repeat(&heard, 1, 10);
    /* Its ring has passed 10: 10 and 11 are gone, 12 is taken. */
    say_batch("t.p.00", (struct mlt_hop){ .boot = 1, .number = 12, .oldest = 12, .resume = 10 }, 2);
    assert_true(far_await(&far, 1, 3));
    assert_int_equal(far.loss_count, 1);
    assert_string_equal(far.losses[0].reason, "hop_overrun");
    assert_int_equal(far.losses[0].from, 10);
    assert_int_equal(far.losses[0].to, 11);
    /* 15 leaves a hole, then the boot ends. */
    say_batch("t.p.00", (struct mlt_hop){ .boot = 1, .number = 15, .oldest = 12, .resume = 13 }, 9);
    say_batch("t.p.00", (struct mlt_hop){ .boot = 2, .number = 1, .oldest = 1, .resume = 1 }, 3);
    assert_true(far_await_losses(&far, 2));
    assert_string_equal(far.losses[1].reason, "sender_restarted");
    assert_int_equal(far.losses[1].from, 13);
    assert_int_equal(far.losses[1].to, 15);
    assert_int_equal(far.losses[1].batch, 1);
    /* The old one speaks again: dropped. The new one's mark is told. */
    say_batch("t.p.00", (struct mlt_hop){ .boot = 1, .number = 13, .oldest = 12, .resume = 13 },
              99);
    say_batch(
        "t.p.00",
        (struct mlt_hop){ .boot = 2, .number = 2, .oldest = 1, .resume = 1, .flags = MLT_HOP_LOST },
        4);
    assert_true(far_await_losses(&far, 3));
    assert_string_equal(far.losses[2].reason, "upstream_lost");
    assert_int_equal(far.losses[2].from, 0);
    /* A single one is a loss too. */
    say_batch("t.p.00", (struct mlt_hop){ .boot = 2, .number = 4, .oldest = 4, .resume = 3 }, 5);
    assert_true(far_await_losses(&far, 4));
    assert_string_equal(far.losses[3].reason, "hop_overrun");
    assert_int_equal(far.losses[3].from, 3);
    assert_int_equal(far.losses[3].to, 3);
    mlt_hop_receiver_get_stats(receiver, &stats);
    assert_int_equal(far.next[0], 6);
    assert_int_equal(far.elements, 4);
    assert_int_equal(stats.boots, 2);
    assert_int_equal(stats.duplicates, 1);
    assert_int_equal(stats.lost_batches, 2 + 3 + 1);
    mlt_hop_receiver_destroy(receiver);
    mlt_bus_unsubscribe(sub);
}

/* An owner that slept announces itself once more: whoever took over is heard all the same, by a
 * receiver that never knew the one before, too. */
static void test_receiver_follows_the_highest_epoch(void **state)
{
    (void)state;
    struct mlt_hop_receiver_stats stats;
    uint64_t epochs[MLT_HOP_PARTITIONS_MAX];
    struct mlt_hop_receiver *receiver = receiver_under_test();
    struct mlt_hop now = { .boot = 2, .number = 1, .oldest = 1, .resume = 1, .epoch = 5 };
    struct mlt_hop before = { .boot = 1, .number = 9, .oldest = 1, .resume = 10, .epoch = 4 };
    say_batch("t.p.00", now, 0);
    before.flags = MLT_HOP_HEAD;
    say_batch("t.p.00", before, 0);
    before.flags = 0;
    before.number = 10;
    say_batch("t.p.00", before, 77);
    now.number = 2;
    say_batch("t.p.00", now, 1);
    assert_true(far_await(&far, 1, 2));
    /* It raises its epoch, by a head alone: from then on it owns again, and may come back although
     * it was left. */
    struct mlt_hop third = { .boot = 3, .number = 1, .oldest = 1, .resume = 1, .epoch = 6 };
    say_batch("t.p.00", third, 2);
    assert_true(far_await(&far, 1, 3));
    now.number = 3;
    say_batch("t.p.00", now, 88);
    now = (struct mlt_hop){ .boot = 2, .number = 2, .oldest = 3, .resume = 3, .epoch = 7 };
    now.flags = MLT_HOP_HEAD;
    say_batch("t.p.00", now, 0);
    third.number = 2;
    say_batch("t.p.00", third, 99);
    now.flags = 0;
    now.number = 3;
    say_batch("t.p.00", now, 3);
    assert_true(far_await(&far, 1, 4));
    mlt_hop_receiver_epochs(receiver, epochs);
    assert_int_equal(epochs[0], 7);
    assert_int_equal(epochs[1], 0);
    mlt_hop_receiver_get_stats(receiver, &stats);
    assert_int_equal(stats.boots, 3);
    assert_int_equal(stats.duplicates, 4);
    assert_int_equal(far.elements, 4);
    assert_int_equal(far.missing + far.repeats + far.loss_count, 0);
    mlt_hop_receiver_destroy(receiver);
}

static struct mlt_hop_receiver *receiver_of_unclaimed(void)
{
    const struct mlt_hop_receiver_options options = { .service = "r",
                                                      .sender_service = "s",
                                                      .subject = "t.p",
                                                      .partitions = PARTITIONS,
                                                      .on_batch = far_on_batch,
                                                      .hear_unclaimed = true,
                                                      .ctx = &far };
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_hop_receiver *receiver = NULL;
    assert_int_equal(mlt_hop_receiver_create(bus, &options, &receiver, &err), MLT_OK);
    assert_true(mlt_bus_rtt_ns(bus) > 0);
    return receiver;
}

/* A service that claims nothing while it is alone is heard after one of several; and gives way to
 * it where that one speaks again, with all that it had said meanwhile. Whoever was replaced by a
 * higher claim, or has none while one of them speaks, is not heard. */
static void test_receiver_hears_who_claims_nothing(void **state)
{
    (void)state;
    struct mlt_hop_receiver_stats stats;
    struct mlt_hop_receiver *receiver = receiver_of_unclaimed();
    struct mlt_hop claimed = { .boot = 1, .number = 1, .oldest = 1, .resume = 1, .epoch = 5 };
    struct mlt_hop alone = { .boot = 2, .number = 1, .oldest = 1, .resume = 1 };
    struct mlt_hop later = { .boot = 3, .number = 1, .oldest = 1, .resume = 1, .epoch = 6 };
    say_batch("t.p.00", claimed, 0);
    say_batch("t.p.00", alone, 1);
    assert_true(far_await(&far, 1, 2));
    claimed.number = claimed.resume = 2;
    say_batch("t.p.00", claimed, 2);
    assert_true(far_await(&far, 1, 3));
    alone.number = 2;
    say_batch("t.p.00", alone, 77);
    say_batch("t.p.00", later, 3);
    assert_true(far_await(&far, 1, 4));
    alone.number = 3;
    say_batch("t.p.00", alone, 88);
    claimed.number = 3;
    say_batch("t.p.00", claimed, 99);
    later.number = 2;
    say_batch("t.p.00", later, 4);
    assert_true(far_await(&far, 1, 5));
    mlt_hop_receiver_get_stats(receiver, &stats);
    assert_int_equal(stats.boots, 4); /* the first one twice */
    assert_int_equal(stats.duplicates, 3);
    assert_int_equal(far.elements, 5);
    assert_int_equal(far.missing + far.repeats + far.loss_count, 0);
    mlt_hop_receiver_destroy(receiver);
}

/* An Adapter goes from several to one, which was there for a moment while they still spoke: it is
 * heard once they are gone, though it was left. Until then it is not, however long that takes. */
static void test_receiver_hears_again_who_claims_nothing_when_nobody_else_speaks(void **state)
{
    (void)state;
    struct mlt_hop_receiver_stats stats;
    struct mlt_hop_receiver *receiver = receiver_of_unclaimed();
    struct mlt_hop alone = { .boot = 2, .number = 1, .oldest = 1, .resume = 1 };
    struct mlt_hop claimed = { .boot = 1, .number = 1, .oldest = 1, .resume = 1, .epoch = 5 };
    say_batch("t.p.00", alone, 0);
    assert_true(far_await(&far, 1, 1));
    say_batch("t.p.00", claimed, 1);
    assert_true(far_await(&far, 1, 2));
    alone.number = alone.resume = 2;
    claimed.flags = MLT_HOP_HEAD;
    int64_t heard_ns = mlt_clock_mono_ns();
    for (unsigned n = 0; n < 15; n++) { /* for 3 s */
        heard_ns = mlt_clock_mono_ns();
        say_batch("t.p.00", claimed, 0);
        say_batch("t.p.00", alone, 2);
        assert_false(far_await_elements_for(&far, 3, 200 * MLT_NS_PER_MS));
    }
    bool taken = false;
    for (unsigned n = 0; n < 100 && !taken; n++) {
        say_batch("t.p.00", alone, 2);
        taken = far_await_elements_for(&far, 3, 100 * MLT_NS_PER_MS);
    }
    assert_true(taken);
    assert_true(mlt_clock_mono_ns() - heard_ns >= 1900 * MLT_NS_PER_MS);
    /* It had only slept, and goes on. */
    claimed = (struct mlt_hop){ .boot = 1, .number = 2, .oldest = 1, .resume = 2, .epoch = 5 };
    say_batch("t.p.00", claimed, 3);
    assert_true(far_await(&far, 1, 4));
    alone.number = 3;
    say_batch("t.p.00", alone, 99);
    claimed.number = 3;
    say_batch("t.p.00", claimed, 4);
    assert_true(far_await(&far, 1, 5));
    mlt_hop_receiver_get_stats(receiver, &stats);
    assert_int_equal(stats.boots, 4);
    assert_int_equal(far.elements, 5);
    assert_int_equal(far.missing + far.repeats + far.loss_count, 0);
    mlt_hop_receiver_destroy(receiver);
}

/* What came to a receiver that wants what another one had acknowledged. */
struct took {
    struct far far;
    unsigned again, senders;
    uint64_t begin; /* first batch that is its own */
};

static void took_batch(void *ctx, const struct mlt_hop_batch *batch)
{
    struct took *took = ctx;
    if (batch->again) {
        took->again++;
        assert_false(batch->lost_before);
    } else if (took->begin == 0) {
        took->begin = batch->hop.number;
    }
    far_on_batch(&took->far, batch);
}

static void took_sender(void *ctx, uint32_t partition)
{
    struct took *took = ctx;
    assert_int_equal(partition, 0);
    took->senders++;
}

/* It begins with what the ring has, told apart from what is its own; what leaves the ring
 * meanwhile, or was marked lost before, is a loss only from its own on. */
static void test_receiver_takes_what_was_acknowledged_before(void **state)
{
    (void)state;
    struct took took = { .again = 0 };
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_hop_receiver *receiver = NULL;
    far_init(&took.far);
    const struct mlt_hop_receiver_options options = { .service = "r",
                                                      .sender_service = "s",
                                                      .subject = "t.p",
                                                      .partitions = PARTITIONS,
                                                      .on_batch = took_batch,
                                                      .on_sender = took_sender,
                                                      .with_acked = true,
                                                      .ctx = &took };
    struct mlt_bus_subscription *sub = listen_to(REPEAT_00);
    assert_int_equal(mlt_hop_receiver_create(bus, &options, &receiver, &err), MLT_OK);
    assert_true(mlt_bus_rtt_ns(bus) > 0);
    struct mlt_hop hop = {
        .boot = 1, .number = 12, .oldest = 8, .resume = 11, .flags = MLT_HOP_HEAD
    };
    say_batch("t.p.00", hop, 0);
    struct heard heard = hear(REPEAT_00);
    while (get64(heard.bytes + 1) == 0) {
        heard = hear(REPEAT_00);
    }
    assert_repeat(&heard, 1, 8);
    hop.flags = MLT_HOP_LOST;
    hop.oldest = 9; /* 8 is gone by now */
    hop.number = 9;
    say_batch("t.p.00", hop, 0);
    hop.flags = 0;
    for (hop.number = 10; hop.number <= 12; hop.number++) {
        say_batch("t.p.00", hop, hop.number - 9);
    }
    assert_true(far_await(&took.far, 1, 4));
    hop.number = hop.oldest = 15;
    say_batch("t.p.00", hop, 4);
    assert_true(far_await_losses(&took.far, 1));
    mlt_hop_receiver_destroy(receiver);
    assert_int_equal(took.again, 2);
    assert_int_equal(took.begin, 11);
    assert_int_equal(took.senders, 1);
    assert_int_equal(took.far.losses[0].from, 13);
    assert_int_equal(took.far.losses[0].to, 14);
    assert_int_equal(took.far.loss_count, 1);
    mlt_bus_unsubscribe(sub);
    far_fini(&took.far);
}

/* Everything that is no batch is counted, and harms nothing. */
static void test_receiver_malformed(void **state)
{
    (void)state;
    struct mlt_hop_receiver_stats stats;
    struct mlt_hop_receiver *receiver = receiver_under_test();
    struct mlt_hop hop = { .boot = 7, .number = 1, .oldest = 1, .resume = 1 };
    uint8_t bytes[MLT_HOP_BYTES];
    say_batch("t.p.00", hop, 0);
    say("t.p.00", "", 0);
    say("t.p.00", "garbage that is no protobuf", 27);
    mlt_hop_encode(&hop, bytes);
    say("t.p.00", bytes, sizeof bytes - 3);
    say_batch("t.p.07", hop, 0); /* beyond the partitions */
    hop.boot = 0;
    say_batch("t.p.00", hop, 50);
    hop = (struct mlt_hop){ .boot = 7, .number = 0, .oldest = 1, .resume = 1 };
    say_batch("t.p.00", hop, 51);
    hop = (struct mlt_hop){ .boot = 7, .number = 2, .oldest = 9, .resume = 1 };
    say_batch("t.p.00", hop, 52); /* cannot be: older than its oldest */
    say("t.p.heads", "x", 1);
    say("t.p.000", "x", 1); /* a word, not a partition */
    hop = (struct mlt_hop){ .boot = 7, .number = 2, .oldest = 1, .resume = 1 };
    say_batch("t.p.00", hop, 1);
    assert_true(far_await(&far, 1, 2));
    mlt_hop_receiver_get_stats(receiver, &stats);
    assert_int_equal(stats.malformed, 7);
    assert_int_equal(far.others, 1);
    assert_int_equal(far.elements, 2);
    assert_int_equal(far.missing + far.damaged + far.loss_count, 0);
    mlt_hop_receiver_destroy(receiver);
}

/* ---- the sender ---- */

/* Asked before it could be told: it is nobody's who claims nothing. */
static void test_a_sender_has_its_epoch_from_the_first_word_on(void **state)
{
    (void)state;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus_subscription *sub = listen_to("t.e.*");
    const struct mlt_hop_sender_options options = {
        .service = "e", .subject = "t.e", .partitions = 3, .boot = 5, .epoch = 77
    };
    struct mlt_hop_sender *sender = NULL;
    assert_int_equal(mlt_hop_sender_create(bus, &options, &sender, &err), MLT_OK);
    assert_true(mlt_bus_rtt_ns(bus) > 0);
    say_repeat("meltica.int.repeat.e.02", 0, 0);
    struct heard heard = hear("t.e.02");
    struct mlt_hop hop = hop_of(&heard);
    assert_int_equal(hop.flags, MLT_HOP_HEAD);
    assert_int_equal(hop.epoch, 77);
    test_put(sender, 1, 0);
    heard = hear("t.e.01");
    hop = hop_of(&heard);
    assert_int_equal(hop.epoch, 77);
    mlt_hop_sender_set_epoch(sender, 1, 78);
    test_put(sender, 1, 1);
    do { /* after a quarter of a second of silence there is a head in between */
        heard = hear("t.e.01");
        hop = hop_of(&heard);
    } while (hop.epoch == 77);
    assert_int_equal(hop.epoch, 78);
    mlt_hop_sender_destroy(sender, 0);
    mlt_bus_unsubscribe(sub);
}

/* Batches carry where the sender stands; a request moves it back; silence brings heads. */
static void test_sender_speaks(void **state)
{
    (void)state;
    struct mlt_hop_sender_stats stats;
    struct mlt_bus_subscription *sub = listen_to("t.q.*");
    struct mlt_hop_sender *sender = test_sender(bus, "s", "t.q", 0);
    assert_true(mlt_bus_rtt_ns(bus) > 0);
    /* Asked by who knows nobody, before anything was sent. */
    say_repeat("meltica.int.repeat.s.02", 0, 0);
    struct heard heard = hear("t.q.02");
    struct mlt_hop hop = hop_of(&heard);
    const uint64_t boot = hop.boot;
    assert_true(boot != 0);
    assert_int_equal(hop.flags, MLT_HOP_HEAD);
    assert_int_equal(hop.number, 0);
    assert_int_equal(hop.oldest, 1);
    assert_int_equal(hop.resume, 1);
    for (uint64_t i = 0; i < 3; i++) {
        mlt_hop_sender_set_epoch(sender, 2, 100 + i);
        test_put(sender, 2, i);
        do { /* one comes with each quarter of a second of silence */
            heard = hear("t.q.02");
            hop = hop_of(&heard);
        } while (hop.flags == MLT_HOP_HEAD);
        assert_int_equal(hop.boot, boot);
        assert_int_equal(hop.number, i + 1);
        assert_int_equal(hop.oldest, 1);
        assert_int_equal(hop.resume, 1);
        assert_int_equal(hop.epoch, 100 + i);
        assert_int_equal(hop.flags, 0);
    }
    heard = hear("t.q.02"); /* silence */
    hop = hop_of(&heard);
    assert_int_equal(hop.flags, MLT_HOP_HEAD);
    assert_int_equal(hop.number, 3);
    assert_int_equal(heard.len, MLT_HOP_BYTES);
    say_ack("meltica.int.ack.s", 2, boot, 2);
    say_ack("meltica.int.ack.s", 2, boot + 1, 3); /* another boot's */
    say_ack("meltica.int.ack.s", 2, boot, 4);     /* was never sent */
    say_ack("meltica.int.ack.s", 9, boot, 1);     /* no such partition */
    say("meltica.int.ack.s", "\x12\x7f", 2);      /* cut off */
    say_repeat("meltica.int.repeat.s.02", boot + 1, 1);
    say_repeat("meltica.int.repeat.s.02", boot, 9); /* nothing to do */
    say("meltica.int.repeat.s.02", "\x0d", 1);
    say_repeat("meltica.int.repeat.s.xx", boot, 1);
    say_repeat("meltica.int.repeat.s.02", boot, 1);
    do {
        heard = hear("t.q.02");
        hop = hop_of(&heard);
    } while (hop.flags == MLT_HOP_HEAD);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(hop.number, i);
        assert_int_equal(hop.epoch, 99 + i); /* as it was */
        heard = hear("t.q.02");
        hop = hop_of(&heard);
    }
    assert_int_equal(hop.flags, MLT_HOP_HEAD);
    assert_int_equal(hop.number, 3);
    assert_int_equal(hop.resume, 3); /* acknowledgements and requests come on two threads */
    mlt_hop_mark_lost(sender, 2);
    test_put(sender, 2, 3);
    test_put(sender, 1, 0);
    do {
        heard = hear("t.q.02");
        hop = hop_of(&heard);
    } while (hop.flags == MLT_HOP_HEAD);
    assert_int_equal(hop.flags, MLT_HOP_LOST);
    assert_int_equal(hop.number, 4);
    mlt_hop_sender_get_stats(sender, &stats);
    assert_int_equal(stats.repeats_served, 1);
    assert_int_equal(stats.repeated_batches, 3);
    assert_int_equal(stats.overrun_batches, 0);
    mlt_hop_sender_destroy(sender, MLT_NS_PER_S);
    mlt_bus_unsubscribe(sub);
}

/* A loss leaves although no element follows it, once however often it is marked before it does. */
static void test_sender_says_a_loss_alone(void **state)
{
    (void)state;
    struct mlt_hop_sender_stats stats;
    struct mlt_bus_subscription *sub = listen_to("t.q.*");
    struct mlt_hop_sender *sender = test_sender(bus, "s", "t.q", 0);
    mlt_hop_mark_lost(sender, 2);
    mlt_hop_mark_lost(sender, 2);
    struct heard heard = hear("t.q.02");
    struct mlt_hop hop = hop_of(&heard);
    assert_int_equal(hop.flags, MLT_HOP_LOST);
    assert_int_equal(hop.number, 1);
    assert_int_equal(heard.len, MLT_HOP_BYTES);
    struct mlt_slice rest = mlt_slice_of(heard.bytes, heard.len), element;
    assert_int_equal(mlt_batch_next(&rest, &element), MLT_E_EMPTY);
    test_put(sender, 2, 0);
    do { /* the second mark, where the first had left by then; heads */
        heard = hear("t.q.02");
        hop = hop_of(&heard);
    } while (heard.len == MLT_HOP_BYTES);
    assert_true(hop.flags == 0 || hop.number == 2);
    assert_in_range(hop.number, 2, 3);
    mlt_hop_sender_get_stats(sender, &stats);
    assert_int_equal(stats.batches, hop.number);
    assert_int_equal(stats.elements, 1);
    mlt_hop_sender_destroy(sender, MLT_NS_PER_S);
    mlt_bus_unsubscribe(sub);
}

/* ---- the end of a sender ---- */

struct ending {
    struct mlt_hop_sender *sender;
    pthread_mutex_t lock;
    bool released, early;
};

static void *end_sender(void *ctx)
{
    struct ending *e = ctx;
    mlt_hop_sender_destroy(e->sender, WAIT_NS);
    (void)pthread_mutex_lock(&e->lock);
    e->early = !e->released;
    (void)pthread_mutex_unlock(&e->lock);
    return NULL;
}

/* The acknowledgement that the test heard has come to the sender, too: on a thread of its own. */
static void await_taken(struct mlt_hop_sender *sender)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    struct mlt_hop_sender_stats stats;
    do {
        assert_true(mlt_clock_mono_ns() < deadline);
        assert_true(mlt_bus_rtt_ns(bus) > 0);
        mlt_hop_sender_get_stats(sender, &stats);
    } while (stats.unacked_bytes > 0);
}

/* While a receiver is at work, what it was sent is not left to itself. */
static void test_sender_ends_when_all_is_acknowledged(void **state)
{
    (void)state;
    struct mlt_bus *far_bus = test_connect(nats_group.url, "far");
    struct mlt_hop_receiver *receiver = far_receiver(&far, far_bus, "r", "s", "t.z");
    struct mlt_bus_subscription *acks = listen_to("meltica.int.ack.s");
    struct ending e = { .sender = test_sender(bus, "s", "t.z", 0),
                        .lock = PTHREAD_MUTEX_INITIALIZER };
    assert_true(mlt_bus_rtt_ns(bus) > 0 && mlt_bus_rtt_ns(far_bus) > 0);
    test_put(e.sender, 0, 0);
    assert_true(far_await(&far, 1, 1));
    (void)hear("meltica.int.ack.s");
    await_taken(e.sender);
    far_set_hold(&far, true);
    test_put(e.sender, 0, 1);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, end_sender, &e), 0);
    assert_true(far_await_handling(&far));
    forget();
    for (int i = 0; i < 3; i++) { /* it says what it had: the sender waits for more */
        (void)hear("meltica.int.ack.s");
    }
    (void)pthread_mutex_lock(&e.lock);
    e.released = true;
    (void)pthread_mutex_unlock(&e.lock);
    far_set_hold(&far, false);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(e.early);
    assert_true(far_await(&far, 1, 2));
    mlt_bus_unsubscribe(acks);
    mlt_hop_receiver_destroy(receiver);
    mlt_bus_destroy(far_bus, MLT_NS_PER_S);
}

/* A boot that ended out of hearing: what it had sent on the connection before may be gone, though
 * nothing that was heard says so. One that ended within hearing is no loss. */
static void test_receiver_new_boot_on_a_new_connection(void **state)
{
    (void)state;
    struct mlt_hop_receiver *receiver = receiver_under_test();
    say_batch("t.p.00", (struct mlt_hop){ .boot = 1, .number = 1, .oldest = 1, .resume = 1 }, 0);
    say_batch("t.p.01", (struct mlt_hop){ .boot = 1, .number = 1, .oldest = 1, .resume = 1 }, 0);
    say_batch("t.p.01", (struct mlt_hop){ .boot = 2, .number = 1, .oldest = 1, .resume = 1 }, 1);
    say_batch("t.p.02", (struct mlt_hop){ .boot = 1, .number = 1, .oldest = 1, .resume = 1 }, 0);
    assert_true(far_await(&far, 1, 1));
    assert_true(far_await_elements(&far, 4));
    assert_int_equal(far.loss_count, 0);
    nats_server_kill(&nats_group);
    nats_server_start(&nats_group);
    assert_int_equal(mlt_bus_wait_connected(bus, WAIT_NS), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(hand_bus(), WAIT_NS), MLT_OK);
    assert_true(mlt_bus_rtt_ns(bus) > 0);
    /* Partition 1's boot is heard again first. */
    say_batch("t.p.01", (struct mlt_hop){ .boot = 2, .number = 2, .oldest = 1, .resume = 2 }, 2);
    say_batch("t.p.01", (struct mlt_hop){ .boot = 3, .number = 1, .oldest = 1, .resume = 1 }, 3);
    /* Partition 2's is followed by one that has all that it may not have brought. */
    struct mlt_hop covers = { .boot = 2, .number = 1, .oldest = 1, .resume = 1, .epoch = 1 };
    covers.flags = MLT_HOP_COVERS;
    say_batch("t.p.02", covers, 1);
    say_batch("t.p.00", (struct mlt_hop){ .boot = 2, .number = 1, .oldest = 1, .resume = 1 }, 1);
    assert_true(far_await_losses(&far, 1));
    assert_true(far_await_elements(&far, 8));
    assert_int_equal(far.loss_count, 1);
    assert_int_equal(far.losses[0].partition, 0);
    assert_string_equal(far.losses[0].reason, "sender_restarted");
    mlt_hop_receiver_destroy(receiver);
}

/* ---- acknowledgements ---- */

static void relay_batch(void *ctx, const struct mlt_hop_batch *batch)
{
    struct mlt_slice rest = batch->bytes, element;
    while (mlt_batch_next(&rest, &element) == MLT_OK) {
        uint8_t *out = NULL;
        if (mlt_hop_begin(ctx, batch->partition, element.len, &out) == MLT_OK) {
            memcpy(out, element.data, element.len);
            mlt_hop_end(ctx, batch->partition);
        }
    }
}

/* Whoever hears all that is said never hears an acknowledgement before every output of what it
 * acknowledges. */
static void test_ack_follows_outputs(void **state)
{
    (void)state;
    enum { COUNT = 150, BOOT = 77 };
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_hop_receiver *receiver = NULL;
    struct mlt_hop_sender *sender = test_sender(bus, "m", "t.y", 0);
    const struct mlt_hop_receiver_options options = { .service = "m",
                                                      .sender_service = "l",
                                                      .subject = "t.x",
                                                      .partitions = PARTITIONS,
                                                      .on_batch = relay_batch,
                                                      .ctx = sender };
    assert_int_equal(mlt_hop_receiver_create(bus, &options, &receiver, &err), MLT_OK);
    assert_true(mlt_bus_rtt_ns(bus) > 0);
    struct mlt_bus_subscription *sub = listen_to(">");
    struct mlt_hop hop = { .boot = BOOT, .oldest = 1, .resume = 1 };
    for (uint64_t i = 0; i < COUNT; i++) {
        hop.number = i + 1;
        say_batch("t.x.00", hop, i);
        if (i % 5 == 4) {
            /* So that there are many acknowledgements. */
            assert_true(mlt_bus_rtt_ns(hand_bus()) > 0);
        }
    }
    uint64_t outputs = 0, acked = 0, acks = 0;
    while (acked < COUNT) {
        const struct heard heard = hear(NULL);
        if (strcmp(heard.subject, "t.y.00") == 0) {
            struct mlt_slice rest = mlt_slice_of(heard.bytes, heard.len), element;
            while (mlt_batch_next(&rest, &element) == MLT_OK) {
                assert_int_equal(get64(element.data), outputs);
                outputs++;
            }
        } else if (strcmp(heard.subject, "meltica.int.ack.l") == 0) {
            /* service "m", one position: partition 0, boot, number */
            assert_int_equal(heard.len, 3 + 22);
            assert_int_equal(get64(heard.bytes + 8), BOOT);
            acked = get64(heard.bytes + 17);
            assert_true(acked <= outputs);
            acks++;
        }
    }
    assert_int_equal(outputs, COUNT);
    assert_true(acks > 0 && acks < COUNT);
    mlt_hop_receiver_destroy(receiver);
    mlt_hop_sender_destroy(sender, MLT_NS_PER_S);
    mlt_bus_unsubscribe(sub);
}

int main(void)
{
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_receiver_asks),
        ONE(test_receiver_boots_and_losses),
        ONE(test_receiver_follows_the_highest_epoch),
        ONE(test_receiver_hears_who_claims_nothing),
        ONE(test_receiver_hears_again_who_claims_nothing_when_nobody_else_speaks),
        ONE(test_receiver_takes_what_was_acknowledged_before),
        ONE(test_receiver_malformed),
        ONE(test_a_sender_has_its_epoch_from_the_first_word_on),
        ONE(test_sender_speaks),
        ONE(test_sender_says_a_loss_alone),
        ONE(test_sender_ends_when_all_is_acknowledged),
        ONE(test_ack_follows_outputs),
        ONE(test_receiver_new_boot_on_a_new_connection),
    };
    return cmocka_run_group_tests_name("hop_protocol", tests, nats_group_start, nats_group_end);
}
