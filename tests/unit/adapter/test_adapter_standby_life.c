/* Who speaks, what is said of it, and how it ends, with the other Adapters, the claims, the hop's
 * rings and the time in the test's hands. */
#include "mlt_test.h"

#include <stdlib.h>

#include "meltica/base/clock.h"
#include "standby_world.h"

#define S MLT_NS_PER_S
#define MS MLT_NS_PER_MS
#define T0 (1000 * S)
#define OTHER 9u

static struct mlt_adapter_config config;
static struct mlt_adapter *adapter;

/* ---- the test's side ---- */

static void source(void *ctx, const struct mlt_topic_instrument *instrument, bool down,
                   const char *reason)
{
    (void)ctx;
    (void)instrument;
    (void)down;
    (void)reason;
}

static void run_posted(void)
{
    const unsigned count = world.posted_count;
    world.posted_count = 0;
    for (unsigned i = 0; i < count; i++) {
        world.posted[i].fn(world.posted[i].ctx);
    }
}

/* Time passes by 5 ms, with all that is due; our own beats come back. */
static void pass(int64_t ns)
{
    for (const int64_t end = world.now_ns + ns; world.now_ns < end; world.now_ns += 5 * MS) {
        world.self_heard_ns = world.in_touch ? world.now_ns : world.self_heard_ns;
        run_posted();
        for (unsigned i = 0; i < world.timer_count; i++) {
            struct fake_timer *timer = &world.timers[i];
            if (timer->at_ns != 0 && timer->at_ns <= world.now_ns) {
                timer->at_ns = 0;
                timer->fn(timer->ctx);
            }
        }
    }
}

static struct mlt_owners_beat of_other(uint64_t partitions, uint64_t epoch)
{
    struct mlt_owners_beat beat = { .boot = OTHER,
                                    .replicas = 2,
                                    .sent_ns = world.now_ns - 300 * S, /* by its clock */
                                    .partitions = partitions };
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        if ((partitions >> p & 1) != 0) {
            beat.epochs[p] = epoch;
            beat.needs_ns[p] = 2 * S;
            beat.plan_boots[p] = 5;
            beat.plan_revisions[p] = 40;
        }
    }
    return beat;
}

static void hear(const struct mlt_owners_beat *beat)
{
    world.ports.heard(world.ports.ctx, beat);
}

static int set_up(void **state)
{
    (void)state;
    memset(&world, 0, sizeof world);
    world.now_ns = world.self_heard_ns = T0;
    world.next_epoch = 100;
    world.in_touch = true;
    world.home = 0x3;
    adapter = calloc(1, sizeof *adapter);
    assert_non_null(adapter);
    adapter->config = &config;
    adapter->partitions = PARTITIONS;
    adapter->listed = true;
    assert_int_equal(mlt_metrics_create(&adapter->metrics), MLT_OK);
    mlt_plans_init(&adapter->plans, PARTITIONS);
    adapter->plans.mine = (UINT64_C(1) << PARTITIONS) - 1;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        adapter->plans.parts[p].known = true;
        adapter->plans.parts[p].boot = 5;
        adapter->plans.parts[p].revision = 40;
        world.held[p] = true;
        world.held_since_ns[p] = T0 - 20 * S;
        world.unacked_since_ns[p] = INT64_MAX;
    }
    mlt_topics_init(&adapter->topics, PARTITIONS);
    const struct mlt_lines_options options = { .streams_per_line = 1024,
                                               .attempts = 1,
                                               .copies = 1 };
    const struct mlt_lines_ports ports = { .source = source };
    mlt_lines_init(&adapter->lines, &options, &ports, &adapter->topics);
    mlt_governor_init(&adapter->governor, 50, 1);
    mlt_rest_init(&adapter->rest, PARTITIONS, &adapter->governor, 1);
    assert_int_equal(
        mlt_rest_schedule(&adapter->rest, MLT_REST_EXCHANGE_INFO, 3600 * S, T0 + 3600 * S), MLT_OK);
    assert_int_equal(mlt_standby_start(adapter, NULL), MLT_OK);
    const struct mlt_owners_beat beat = of_other(0, 0);
    hear(&beat); /* it is there for a while */
    pass(MLT_COVER_STEADY_NS + 100 * MS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_standby_destroy(adapter->standby);
    assert_int_equal(world.claims_ended, world.claims_made);
    mlt_rest_fini(&adapter->rest);
    mlt_lines_fini(&adapter->lines);
    mlt_topics_fini(&adapter->topics);
    mlt_plans_fini(&adapter->plans);
    mlt_metrics_destroy(adapter->metrics);
    free(adapter);
    return 0;
}

static void hear_speaker(uint64_t partitions)
{
    const struct mlt_owners_beat beat = of_other(partitions, 50);
    hear(&beat);
}

static void hear_warm(uint64_t partitions)
{
    struct mlt_owners_beat beat = of_other(0, 0);
    beat.warm = partitions;
    hear(&beat);
}

static void take(uint64_t partitions)
{
    assert_int_equal(world.ports.take_over(world.ports.ctx, partitions), MLT_REPLICAS_TAKEN);
}

static uint64_t fit(uint64_t partitions)
{
    return world.ports.fit(world.ports.ctx, partitions);
}

static void test_it_speaks_for_nothing_before_it_has_claimed(void **state)
{
    (void)state;
    pass(S);
    assert_int_equal(world_owned().partitions, 0);
    assert_int_equal(fit(0x3), 0x3);
    take(0x3);
    struct mlt_owners_beat beat = world_owned();
    assert_int_equal(beat.partitions, 0x3); /* it is about to, and says nothing more of them */
    assert_int_equal(beat.epochs[1], 0);
    assert_int_equal(adapter->speaks, 0);
    run_posted();
    assert_int_equal(adapter->speaks, 0x3);
    assert_int_equal(world.spoken_count, 2);
    assert_int_equal(world.spoken[1].partition, 1);
    assert_int_equal(world.spoken[1].epoch, 101);
    assert_int_equal(world.spoken[1].from_ns, INT64_MIN); /* all that it has */
    assert_false(world.spoken[1].covered);
    assert_int_equal(world.announced, 1);
    beat = world.beats[world.beat_count - 1]; /* said at once */
    assert_int_equal(beat.partitions, 0x3);
    assert_int_equal(beat.epochs[1], 101);
    assert_int_equal(beat.plan_boots[1], 5);
    assert_int_equal(beat.plan_revisions[1], 40);
    assert_int_equal(adapter->rest.held, 0xc);
}

static void test_a_grant_that_could_not_be_posted_is_found(void **state)
{
    (void)state;
    world.full = true;
    take(0x1);
    assert_int_equal(world.posted_count, 0);
    pass(200 * MS);
    assert_int_equal(adapter->speaks, 0x1);
}

static void test_one_that_is_warm_goes_on_from_there(void **state)
{
    (void)state;
    pass(S);
    const int64_t heard_ns = world.now_ns;
    world.self_heard_ns = heard_ns;
    hear_speaker(0x3);
    assert_int_equal(world_owned().warm, 0);
    pass(200 * MS);
    assert_int_equal(world_owned().warm, 0x3);
    assert_int_equal(fit(0x2), 0x2); /* also from one that lives, */
    assert_int_equal(fit(0x3), 0x1); /* but one at a time */
    take(0x2);
    run_posted();
    assert_true(world.spoken[0].covered);
    assert_int_equal(world.spoken[0].from_ns, heard_ns - 2 * S - MLT_COVER_MARGIN_NS);
    pass(200 * MS);
    assert_int_equal(world_owned().warm, 0x1);
}

static void test_a_beat_counts_as_of_our_own_before_it(void **state)
{
    (void)state;
    const int64_t before_ns = world.self_heard_ns;
    world.in_touch = false; /* we sleep: nothing of ours comes back */
    world.now_ns += 5 * S;
    hear_speaker(0x1); /* it waited in a socket */
    world.in_touch = true;
    pass(200 * MS);
    take(0x1);
    run_posted();
    assert_int_equal(world.spoken[0].from_ns, before_ns - 2 * S - MLT_COVER_MARGIN_NS);
}

static void test_a_beat_that_waited_at_a_server_was_made_before(void **state)
{
    (void)state;
    const struct mlt_owners_beat old = of_other(0x1, 50);
    const int64_t made_ns = world.now_ns;
    pass(6 * S); /* our own come back all the while, or first of all */
    world.self_heard_ns = world.now_ns;
    hear(&old);
    pass(200 * MS);
    take(0x1);
    run_posted();
    assert_in_range(world.spoken[0].from_ns, made_ns - 10 * MS - 2 * S - MLT_COVER_MARGIN_NS,
                    made_ns - 2 * S - MLT_COVER_MARGIN_NS);
}

static void test_one_whose_line_is_mute_is_not_warm(void **state)
{
    (void)state;
    static struct mlt_topic topic = { .wanted_by = 0x1 };
    struct mlt_topic *items[] = { &topic };
    topic.seats[0] = (struct mlt_seat){ .line = 3, .state = MLT_SEAT_ON };
    topic.seats[1].line = topic.seats[2].line = topic.seats[3].line = MLT_LINE_NONE;
    adapter->topics.items = items; /* one that stood all the time */
    adapter->topics.count = 1;
    adapter->lines.lines[3].state = MLT_LINE_UP;
    adapter->lines.lines[3].heard_ns = world.now_ns - 24 * S; /* the next ping is on its way */
    hear_speaker(0x1);
    pass(200 * MS);
    assert_int_equal(world_owned().warm, 0x1);
    pass(S);
    hear_speaker(0x1);
    pass(200 * MS);
    assert_int_equal(world_owned().warm, 0);
    take(0x1);
    run_posted();
    assert_false(world.spoken[0].covered);
    adapter->topics.items = NULL;
    adapter->topics.count = 0;
}

static void test_one_that_does_not_bring_a_topic_is_covered_and_not_warm(void **state)
{
    (void)state;
    char token[] = "A-B";
    struct mlt_topic_instrument instrument = { .token = token };
    struct mlt_topic topic = { .wanted_by = 0x1, .instrument = &instrument };
    struct mlt_topic *items[] = { &topic };
    topic.seats[0].line = topic.seats[1].line = MLT_LINE_NONE;
    topic.seats[2].line = topic.seats[3].line = MLT_LINE_NONE;
    adapter->topics.items = items;
    adapter->topics.count = 1;
    hear_speaker(0x1);
    pass(200 * MS);
    assert_int_equal(world_owned().warm, 0);
    assert_int_equal(fit(0x1), 0);
    pass(S);
    take(0x1); /* its source is said to be down */
    run_posted();
    assert_true(world.spoken[0].covered);
    assert_true(instrument.down);
    adapter->topics.items = NULL;
    adapter->topics.count = 0;
}

static void test_a_claim_is_not_wanted_any_more_where_it_would_cost_something(void **state)
{
    (void)state;
    pass(S);
    take(0x1); /* wanted is known from now on; the loop has not heard */
    assert_true(world.wanted(world.claims_ctx));
    world.held_since_ns[0] = world.held_since_ns[1] = world.now_ns;
    hear_speaker(0x1); /* it was only late, but may be outbid by now: it is claimed to the end */
    assert_true(world.wanted(world.claims_ctx));
    run_posted();
    take(0x2);
    hear_speaker(0x2); /* before anything was written */
    assert_false(world.wanted(world.claims_ctx));
}

static void test_a_later_listing_is_not_told_over(void **state)
{
    (void)state;
    adapter->topics.listing_ns = world.now_ns - 60 * S;
    hear_speaker(0x1);
    pass(2 * S);
    take(0x1);
    run_posted();
    assert_int_equal(world.announced, 0);
    assert_true(adapter->rest.entries[0]->due_ns <= world.now_ns); /* read first */
    take(0x2);                                                     /* of which nobody told */
    run_posted();
    assert_int_equal(world.announced, 1);
    adapter->plans.parts[2].boot = 6; /* of a Dispatcher that the other one had nothing from */
    hear_speaker(0x4);
    pass(2 * S);
    take(0x4);
    run_posted();
    assert_int_equal(world.announced, 2); /* or it takes what is ours for not listed */
}

static void test_what_a_line_that_ended_had_counts_until_that_is_heard(void **state)
{
    (void)state;
    take(0x3);
    run_posted();
    pass(S);
    adapter->lines.ended_since_ns[0] = world.now_ns - 60 * S;
    world.unacked_since_ns[0] = world.now_ns; /* SOURCE_DOWN */
    mlt_standby_line_ended(adapter->standby);
    pass(S);
    assert_in_range(world_owned().needs_ns[0], 61 * S, 61 * S + 200 * MS);
    assert_in_range(world_owned().needs_ns[1], 0, 105 * MS);
    world.unacked_since_ns[0] = world.now_ns; /* what came later */
    pass(200 * MS);
    assert_in_range(world_owned().needs_ns[0], 200 * MS, 400 * MS);
    assert_int_equal(adapter->lines.ended_since_ns[0], INT64_MAX);
}

static void test_one_that_is_cold_takes_nothing_from_one_that_lives(void **state)
{
    (void)state;
    world.held_since_ns[0] = world.now_ns - S;
    pass(100 * MS);
    hear_speaker(0x1);
    pass(200 * MS);
    assert_int_equal(world_owned().warm, 0);
    assert_int_equal(fit(0x1), 0);
    struct mlt_owners_beat released = of_other(0, 0);
    hear(&released);
    assert_int_equal(fit(0x1), 0x1);
    hear_speaker(0x1);
    assert_int_equal(fit(0x1), 0);
    pass(S); /* nothing of it since */
    assert_int_equal(fit(0x1), 0x1);
    released.deaf = true;
    released.warm = 0x1; /* it can take nothing */
    hear(&released);
    assert_int_equal(fit(0x1), 0x1);
    hear_warm(0x1); /* somebody who would lose nothing goes first, */
    assert_int_equal(fit(0x1), 0);
    pass(3 * S); /* but for one that does not take it, */
    hear_warm(0x1);
    assert_int_equal(fit(0x1), 0x1); /* whatever it says */
    take(0x1);
    run_posted();
    assert_false(world.spoken[0].covered);
    assert_int_equal(world.spoken[0].from_ns != INT64_MIN, 1);
}

static void test_it_says_how_far_back_another_one_would_begin(void **state)
{
    (void)state;
    take(0x3);
    run_posted();
    pass(3 * S);
    assert_in_range(world_owned().needs_ns[0], 0, 105 * MS); /* since it looked last */
    world.unacked_since_ns[0] = world.now_ns - 3 * S;
    pass(200 * MS);
    assert_in_range(world_owned().needs_ns[0], 3 * S + 200 * MS, 3 * S + 400 * MS);
    assert_in_range(world_owned().needs_ns[1], 0, 105 * MS);
    world.unacked_since_ns[0] = INT64_MAX;
    pass(200 * MS);
    assert_in_range(world_owned().needs_ns[0], 0, 105 * MS);
    const int64_t asleep_ns = world.now_ns;
    world.now_ns += 2 * S; /* the loop did not come to its lines for so long */
    pass(100 * MS);
    assert_in_range(world_owned().needs_ns[0], 2 * S, 2 * S + 300 * MS);
    pass(S); /* what waited in sockets may still do */
    assert_in_range(world_owned().needs_ns[0], world.now_ns - asleep_ns - 100 * MS,
                    world.now_ns - asleep_ns + 200 * MS);
    pass(2 * S);
    assert_in_range(world_owned().needs_ns[0], 0, 105 * MS);
    adapter->held = true; /* reading is stopped */
    pass(S);
    assert_in_range(world_owned().needs_ns[0], S - 100 * MS, S + 200 * MS);
}

static void test_who_is_outbid_holds_and_stands_by(void **state)
{
    (void)state;
    take(0x3);
    run_posted();
    struct mlt_owners_beat beat = of_other(0x1, 90);
    world.ports.outbid(world.ports.ctx, &beat);
    run_posted();
    assert_int_equal(adapter->speaks, 0x3); /* a lower epoch is nothing */
    beat = of_other(0x1, 200);
    world.ports.outbid(world.ports.ctx, &beat);
    assert_int_equal(world_owned().partitions, 0x2); /* at once */
    assert_int_equal(world.holds, 0);
    run_posted();
    assert_int_equal(world.holds, 1);
    assert_true(world.held[0]);
    assert_int_equal(adapter->speaks, 0x2);
    assert_int_equal(adapter->rest.held, 0xd);
    world.on_outbid(world.claims_ctx, 1, 201); /* by the claims themselves */
    run_posted();
    assert_int_equal(adapter->speaks, 0);
    uint64_t failed = 0;
    assert_int_equal(world.ports.tidy(world.ports.ctx, &failed), MLT_REPLICAS_ENDED);
    assert_int_equal(world.claims_ended, 1);
    assert_int_equal(world.ports.tidy(world.ports.ctx, &failed), MLT_REPLICAS_BUSY);
    take(0x1); /* in the same boot, with a later claim */
    run_posted();
    assert_int_equal(adapter->speaks, 0x1);
    assert_int_equal(world.spoken[2].epoch, 102);
    assert_false(world.spoken[2].covered); /* it was not heard of what it needs */
}

static void test_a_claim_that_is_outbid_before_it_is_heard_of_is_none(void **state)
{
    (void)state;
    take(0x1);
    world.on_outbid(world.claims_ctx, 0, 150);
    run_posted();
    assert_int_equal(world.spoken_count, 0);
    assert_int_equal(adapter->speaks, 0);
    assert_int_equal(world_owned().partitions, 0);
}

static void test_without_claims_nothing_is_taken(void **state)
{
    (void)state;
    world.no_claims = true;
    assert_int_equal(world.ports.take_over(world.ports.ctx, 0xf), MLT_REPLICAS_REFUSED);
    assert_int_equal(world_owned().partitions, 0);
    pass(200 * MS);
    assert_non_null(strstr(mlt_standby_lacks(adapter->standby), "nobody speaks for"));
    hear_speaker(0xf); /* somebody has them all */
    pass(200 * MS);
    assert_null(strstr(mlt_standby_lacks(adapter->standby), "nobody speaks for"));
}

/* ---- the end ---- */

static void test_who_ends_hands_over_to_one_that_is_warm(void **state)
{
    (void)state;
    take(0x3);
    run_posted();
    pass(200 * MS);
    hear_warm(0x3);
    world.unacked_since_ns[0] = world.now_ns;
    pass(100 * MS);
    mlt_standby_drain(adapter->standby);
    assert_true(world.drained);
    assert_false(world.wanted(world.claims_ctx));
    assert_true(world.paused);
    const int64_t stopped_ns = world.now_ns;
    pass(100 * MS);
    hear_warm(0x3);
    pass(100 * MS);
    assert_int_equal(world_owned().partitions, 0x3); /* not all is acknowledged */
    world.unacked_since_ns[0] = INT64_MAX;
    const unsigned before = world.beat_count;
    pass(20 * MS);
    assert_int_equal(world.beat_count, before + 2);
    const struct mlt_owners_beat *last = &world.beats[before];
    assert_int_equal(last[0].partitions, 0x3);
    assert_in_range(last[0].needs_ns[1], 0, world.now_ns - stopped_ns + 105 * MS);
    assert_int_equal(last[1].partitions, 0);
    assert_false(world.lines_ended);
    hear_speaker(0x3);
    pass(20 * MS);
    assert_true(world.lines_ended);
    assert_int_equal(world.speaks_at_end, 0);    /* nothing is said to go down */
    assert_true(world.held[0] && world.held[1]); /* nor is it waited for */
}

static void test_one_that_just_becomes_warm_is_waited_for(void **state)
{
    (void)state;
    take(0x3);
    run_posted();
    hear_warm(0); /* it is there, and cold */
    mlt_standby_drain(adapter->standby);
    pass(100 * MS);
    assert_false(world.lines_ended);
    hear_warm(0x3);
    pass(20 * MS);
    assert_int_equal(world_owned().partitions, 0);
    hear_speaker(0x3);
    pass(20 * MS);
    assert_true(world.lines_ended);
    assert_int_equal(world.speaks_at_end, 0);
}

static void test_one_that_stays_cold_is_not_waited_for(void **state)
{
    (void)state;
    take(0x3);
    run_posted();
    hear_warm(0);
    mlt_standby_drain(adapter->standby);
    pass(400 * MS);
    assert_true(world.lines_ended);
    assert_int_equal(world.speaks_at_end, 0x3);
}

static void test_who_becomes_warm_says_so_at_once(void **state)
{
    (void)state;
    hear_speaker(0x3);
    const unsigned before = world.beat_count;
    pass(100 * MS);
    assert_true(world.beat_count > before);
    assert_int_equal(world.beats[world.beat_count - 1].warm, 0x3);
    const unsigned then = world.beat_count;
    pass(200 * MS);
    assert_int_equal(world.beat_count, then); /* and once */
}

static void assert_lacks(const char *words)
{
    const char *lacks = mlt_standby_lacks(adapter->standby);
    if (words == NULL) {
        assert_null(lacks);
    } else {
        assert_non_null(lacks);
        assert_non_null(strstr(lacks, words));
    }
}

/* The other one speaks for these, for so long. */
static void beside_speaker(uint64_t partitions, int64_t ns)
{
    const int64_t end = world.now_ns + ns;
    while (world.now_ns < end) {
        hear_speaker(partitions);
        pass(200 * MS);
    }
}

/* So that whoever replaces them one by one waits for it. */
static void test_it_is_ready_once_it_has_been_warm(void **state)
{
    (void)state;
    world.held_since_ns[3] = INT64_MAX; /* nothing yet */
    hear_speaker(0xc);
    take(0x3);
    run_posted();
    pass(200 * MS);
    assert_int_equal(world_owned().warm, 0x4);
    assert_lacks("not warm yet");
    world.held_since_ns[3] = world.now_ns - 20 * S;
    beside_speaker(0xc, 400 * MS);
    assert_lacks(NULL);
    world.held_since_ns[3] = INT64_MAX;
    pass(200 * MS);
    assert_lacks(NULL); /* once is enough */
    world.in_touch = false;
    assert_lacks("beats do not come back");
}

static void test_who_speaks_for_all_is_ready(void **state)
{
    (void)state;
    assert_lacks("not warm yet");
    take(0xf);
    run_posted();
    pass(200 * MS);
    assert_lacks(NULL);
}

/* Warm is not enough: it could take nothing over. */
static void test_one_that_can_claim_nothing_is_not_ready(void **state)
{
    (void)state;
    beside_speaker(0xf, S);
    assert_int_equal(world_owned().warm, 0xf);
    assert_lacks("not warm yet"); /* its own are not home yet */
    world.no_claims = true;
    assert_int_equal(world.ports.take_over(world.ports.ctx, 0x1), MLT_REPLICAS_REFUSED);
    beside_speaker(0xf, 2 * MLT_STANDBY_PREPARE_NS);
    assert_lacks("its partitions cannot be claimed");
    world.no_claims = false;
    take(0x1);
    run_posted();
    beside_speaker(0xe, 400 * MS);
    assert_lacks(NULL);
}

static void assert_ready_in_the_end(void)
{
    beside_speaker(0xf, MLT_STANDBY_PREPARE_NS - S);
    assert_lacks("not warm yet");
    beside_speaker(0xf, 2 * S);
    assert_lacks(NULL);
}

/* All begins while JetStream is away: what it could not claim then the other one has since, and it
 * claims nothing while it is cold. */
static void test_a_cold_one_does_not_wait_for_a_claim_that_it_does_not_make(void **state)
{
    (void)state;
    world.held_since_ns[0] = world.held_since_ns[1] = INT64_MAX;
    world.no_claims = true;
    assert_int_equal(world.ports.take_over(world.ports.ctx, 0x1), MLT_REPLICAS_REFUSED);
    world.no_claims = false;
    assert_ready_in_the_end();
}

static void test_one_without_a_place_of_its_own_is_ready_once_it_is_warm(void **state)
{
    (void)state;
    world.home = 0;
    beside_speaker(0xf, S);
    assert_int_equal(world_owned().warm, 0xf);
    assert_lacks(NULL);
}

static void test_one_that_stays_cold_is_ready_in_the_end(void **state)
{
    (void)state;
    world.held_since_ns[3] = INT64_MAX;
    assert_ready_in_the_end();
}

/* The time begins when the rest is there. */
static void test_one_that_has_no_listing_or_hears_nobody_is_never_ready(void **state)
{
    (void)state;
    world.held_since_ns[3] = INT64_MAX;
    adapter->listed = false;
    beside_speaker(0xf, 2 * MLT_STANDBY_PREPARE_NS);
    assert_lacks("not warm yet");
    adapter->listed = true;
    beside_speaker(0xf, MLT_STANDBY_PREPARE_NS - S);
    assert_lacks("not warm yet");
    beside_speaker(0x7, 5 * S); /* nobody speaks for the last one */
    beside_speaker(0xf, MLT_STANDBY_PREPARE_NS - S);
    assert_lacks("not warm yet");
    world.in_touch = false;
    beside_speaker(0xf, 5 * S);
    world.in_touch = true;
    beside_speaker(0xf, MLT_STANDBY_PREPARE_NS - S);
    assert_lacks("not warm yet");
    beside_speaker(0xf, 2 * S);
    assert_lacks(NULL);
}

static void test_a_warm_one_that_ends_too_is_nobody_to_hand_over_to(void **state)
{
    (void)state;
    take(0x3);
    run_posted();
    hear_speaker(0x4);
    hear_warm(0x3);
    pass(100 * MS);
    assert_int_equal(world_owned().warm, 0x4);
    mlt_standby_drain(adapter->standby);
    assert_int_equal(world.beats[world.beat_count - 1].warm, 0); /* it says so itself, at once */
    pass(500 * MS);
    assert_false(world.lines_ended);
    hear_warm(0x1); /* of the other partition it says so no more */
    pass(600 * MS);
    assert_int_equal(world_owned().partitions, 0x2);
    hear_speaker(0x1);
    pass(20 * MS);
    assert_true(world.lines_ended);
    assert_int_equal(world.speaks_at_end, 0x2);
}

static void test_what_nobody_takes_goes_down_as_ever(void **state)
{
    (void)state;
    take(0x3);
    run_posted();
    hear_warm(0x3);
    pass(100 * MS);
    mlt_standby_drain(adapter->standby);
    pass(50 * MS);
    hear_warm(0x3);
    pass(50 * MS);
    assert_int_equal(world_owned().partitions, 0);
    assert_false(world.lines_ended);
    pass(S + 50 * MS); /* nobody does */
    assert_true(world.lines_ended);
    assert_int_equal(world.speaks_at_end, 0x3);
}

static void test_without_a_warm_one_lines_end_at_once(void **state)
{
    (void)state;
    take(0x3);
    run_posted();
    pass(100 * MS);
    mlt_standby_drain(adapter->standby);
    assert_true(world.lines_ended);
    assert_int_equal(world.speaks_at_end, 0x3);
    world.unacked_since_ns[1] = world.now_ns;
    mlt_standby_lines_ended(adapter->standby);
    uint64_t failed = 0;
    pass(100 * MS);
    assert_int_equal(world_owned().partitions, 0x3);
    assert_int_equal(world.ports.tidy(world.ports.ctx, &failed), MLT_REPLICAS_BUSY);
    world.unacked_since_ns[1] = INT64_MAX;
    pass(20 * MS);
    assert_int_equal(world_owned().partitions, 0);
    assert_int_equal(world.ports.tidy(world.ports.ctx, &failed), MLT_REPLICAS_ENDED);
    assert_int_equal(world.ports.tidy(world.ports.ctx, &failed), MLT_REPLICAS_EMPTY);
}

static void test_an_end_waits_for_no_dispatcher(void **state)
{
    (void)state;
    take(0x1);
    run_posted();
    world.unacked_since_ns[0] = world.now_ns;
    hear_warm(0x1);
    pass(50 * MS);
    mlt_standby_drain(adapter->standby);
    pass(50 * MS);
    hear_warm(0x1);
    pass(S);
    assert_int_equal(world_owned().partitions, 0); /* it is the other one's to say all of it */
    hear_speaker(0x1);
    pass(20 * MS);
    assert_true(world.lines_ended);
    mlt_standby_lines_ended(adapter->standby);
    pass(20 * MS);
    uint64_t failed = 0;
    assert_int_equal(world.ports.tidy(world.ports.ctx, &failed), MLT_REPLICAS_ENDED);
    assert_int_equal(world.ports.tidy(world.ports.ctx, &failed), MLT_REPLICAS_EMPTY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_it_speaks_for_nothing_before_it_has_claimed),
        TEST(test_a_grant_that_could_not_be_posted_is_found),
        TEST(test_one_that_is_warm_goes_on_from_there),
        TEST(test_a_beat_counts_as_of_our_own_before_it),
        TEST(test_a_beat_that_waited_at_a_server_was_made_before),
        TEST(test_one_whose_line_is_mute_is_not_warm),
        TEST(test_one_that_does_not_bring_a_topic_is_covered_and_not_warm),
        TEST(test_a_claim_is_not_wanted_any_more_where_it_would_cost_something),
        TEST(test_a_later_listing_is_not_told_over),
        TEST(test_what_a_line_that_ended_had_counts_until_that_is_heard),
        TEST(test_one_that_is_cold_takes_nothing_from_one_that_lives),
        TEST(test_it_says_how_far_back_another_one_would_begin),
        TEST(test_who_is_outbid_holds_and_stands_by),
        TEST(test_a_claim_that_is_outbid_before_it_is_heard_of_is_none),
        TEST(test_without_claims_nothing_is_taken),
        TEST(test_who_ends_hands_over_to_one_that_is_warm),
        TEST(test_one_that_just_becomes_warm_is_waited_for),
        TEST(test_one_that_stays_cold_is_not_waited_for),
        TEST(test_who_becomes_warm_says_so_at_once),
        TEST(test_it_is_ready_once_it_has_been_warm),
        TEST(test_who_speaks_for_all_is_ready),
        TEST(test_one_that_can_claim_nothing_is_not_ready),
        TEST(test_a_cold_one_does_not_wait_for_a_claim_that_it_does_not_make),
        TEST(test_one_without_a_place_of_its_own_is_ready_once_it_is_warm),
        TEST(test_one_that_has_no_listing_or_hears_nobody_is_never_ready),
        TEST(test_one_that_stays_cold_is_ready_in_the_end),
        TEST(test_a_warm_one_that_ends_too_is_nobody_to_hand_over_to),
        TEST(test_what_nobody_takes_goes_down_as_ever),
        TEST(test_without_a_warm_one_lines_end_at_once),
        TEST(test_an_end_waits_for_no_dispatcher),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
