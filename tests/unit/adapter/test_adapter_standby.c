/* What a hot standby goes by: whether it may take over without a loss, and since when it has what.
 */
#include "mlt_test.h"

#include "cover.h"
#include "lines_internal.h"
#include "meltica/base/clock.h"
#include "plan_maker.h"
#include "rest.h"

#define S MLT_NS_PER_S
#define MS MLT_NS_PER_MS

/* ---- the rule ---- */

#define HEARD (100 * S)
#define FROM (HEARD - 2 * S - MLT_COVER_MARGIN_NS)

/* One that is covered to the nanosecond. */
static const struct mlt_cover_said said = {
    .boot = 5, .epoch = 9, .heard_ns = HEARD, .need_ns = 2 * S, .plan_boot = 7, .plan_revision = 40
};
static const struct mlt_cover_have have = {
    .ring_since_ns = FROM, .topics_since_ns = FROM, .plan_boot = 7, .plan_revision = 40
};

static void test_each_condition_by_itself(void **state)
{
    (void)state;
    const struct {
        const char *what;
        struct mlt_cover_said said;
        struct mlt_cover_have have;
        enum mlt_cover cover;
    } cases[] = {
        { "all holds", said, have, MLT_COVERED },
        { "it released the partition", { 5, 9, HEARD, 2 * S, 7, 40, true }, have, MLT_COVERED },
        { "nobody was heard", { 0 }, have, MLT_COVER_NOBODY },
        { "it says nothing of needs", { 5, 9, HEARD, 0, 0, 0, false }, have, MLT_COVER_UNSAID },
        { "what it says makes no sense",
          { 5, 9, HEARD, -1, 7, 40, false },
          have,
          MLT_COVER_UNSAID },
        { "it needs all there ever was",
          { 5, 9, HEARD, INT64_MAX, 7, 40, false },
          have,
          MLT_COVER_UNSAID },
        { "no plan here", said, { FROM, FROM, 0, 0 }, MLT_COVER_PLAN },
        { "the plan of another Dispatcher", said, { FROM, FROM, 8, 41 }, MLT_COVER_PLAN },
        { "an older plan", said, { FROM, FROM, 7, 39 }, MLT_COVER_PLAN },
        { "a newer plan", said, { FROM, FROM, 7, 41 }, MLT_COVERED },
        { "a ring that begins too late", said, { FROM + 1, FROM, 7, 40 }, MLT_COVER_RING },
        { "a topic that came too late", said, { FROM, FROM + 1, 7, 40 }, MLT_COVER_TOPICS },
        { "a topic that does not stand", said, { FROM, INT64_MAX, 7, 40 }, MLT_COVER_TOPICS },
        { "no topic at all", said, { FROM, INT64_MIN, 7, 40 }, MLT_COVERED },
        { "it needs more", { 5, 9, HEARD, 2 * S + 1, 7, 40, false }, have, MLT_COVER_RING },
        { "it is not known when it was heard",
          { 5, 9, INT64_MIN, 0, 7, 40, false },
          have,
          MLT_COVER_UNSAID },
        { "it was heard earlier", { 5, 9, HEARD - 1, 2 * S, 7, 40, false }, have, MLT_COVER_RING },
        { "it needs nothing", { 5, 9, HEARD, 0, 7, 40, false }, have, MLT_COVERED },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const enum mlt_cover cover = mlt_cover_judge(&cases[i].said, &cases[i].have);
        if (cover != cases[i].cover) {
            fail_msg("%s: %s, not %s", cases[i].what, mlt_cover_word(cover),
                     mlt_cover_word(cases[i].cover));
        }
    }
}

static void test_from_is_what_is_needed_and_a_margin(void **state)
{
    (void)state;
    assert_int_equal(mlt_cover_from(&said), FROM);
    assert_int_equal(mlt_cover_from(&(struct mlt_cover_said){ 0 }), INT64_MIN);
    const struct mlt_cover_said early = { 5, 9, 1, 2 * S, 7, 40, false };
    assert_int_equal(mlt_cover_from(&early), 1 - 2 * S - MLT_COVER_MARGIN_NS);
    assert_string_equal(mlt_cover_word(MLT_COVERED), "covered");
    assert_string_equal(mlt_cover_word(MLT_COVER_COUNT), "?");
}

/* ---- what beats say ---- */

static struct mlt_owners_beat beat_of(uint64_t boot, uint64_t epoch)
{
    struct mlt_owners_beat beat = { .boot = boot, .replicas = 2, .partitions = UINT64_C(1) << 3 };
    beat.epochs[3] = epoch;
    beat.needs_ns[3] = 4 * S;
    beat.plan_boots[3] = 7;
    beat.plan_revisions[3] = 40;
    return beat;
}

static void test_the_last_word_of_whoever_speaks_counts(void **state)
{
    (void)state;
    struct mlt_cover_said of = { 0 };
    struct mlt_owners_beat beat = beat_of(5, 9);
    mlt_cover_heard(&of, &beat, 2, 10 * S);
    assert_int_equal(of.boot, 0); /* it names another partition */
    mlt_cover_heard(&of, &beat, 3, 10 * S);
    assert_int_equal(of.boot, 5);
    assert_int_equal(of.epoch, 9);
    assert_int_equal(of.heard_ns, 10 * S);
    assert_int_equal(of.need_ns, 4 * S);
    assert_int_equal(of.plan_boot, 7);
    assert_int_equal(of.plan_revision, 40);

    struct mlt_owners_beat own = beat_of(5, 0); /* it had it, and claims it anew */
    mlt_cover_heard(&of, &own, 3, 11 * S);
    assert_int_equal(of.epoch, 9);

    beat.deaf = true; /* it may have been replaced, and does not know */
    mlt_cover_heard(&of, &beat, 3, 11 * S);
    assert_int_equal(of.heard_ns, 10 * S);

    struct mlt_owners_beat other = beat_of(6, 0); /* it claims */
    mlt_cover_heard(&of, &other, 3, 12 * S);
    assert_int_equal(of.boot, 5);
    other = beat_of(6, 8); /* it slept, and is below */
    mlt_cover_heard(&of, &other, 3, 12 * S);
    assert_int_equal(of.boot, 5);
    other = beat_of(6, 10);
    other.plan_boots[3] = 0; /* it says nothing of itself: nothing is known from now on */
    mlt_cover_heard(&of, &other, 3, 12 * S);
    assert_int_equal(of.boot, 6);
    assert_int_equal(mlt_cover_judge(&of, &have), MLT_COVER_UNSAID);
}

static void test_who_names_it_no_more_released_it(void **state)
{
    (void)state;
    struct mlt_cover_said of = { 0 };
    struct mlt_owners_beat beat = beat_of(5, 9), other = beat_of(6, 1);
    mlt_cover_heard(&of, &beat, 3, 10 * S);
    other.partitions = 0;
    mlt_cover_heard(&of, &other, 3, 11 * S);
    assert_false(of.released); /* it was not the other one's */
    beat.partitions = 0;
    mlt_cover_heard(&of, &beat, 3, 11 * S);
    assert_true(of.released);
    assert_int_equal(of.heard_ns, 10 * S); /* what it needs is as of then */
    beat = beat_of(5, 11);
    mlt_cover_heard(&of, &beat, 3, 12 * S);
    assert_false(of.released);
}

/* ---- when a beat was made ---- */

static struct mlt_cover_peer peers[MLT_COVER_PEERS_MAX];

/* Its clock began 400 s after ours. */
static int64_t made(uint64_t boot, int64_t sent_ns, int64_t at_ns)
{
    const struct mlt_owners_beat beat = { .boot = boot, .sent_ns = sent_ns - 400 * S };
    return mlt_cover_made(peers, &beat, at_ns);
}

static void test_what_waited_somewhere_was_made_before(void **state)
{
    (void)state;
    memset(peers, 0, sizeof peers);
    int64_t now = 1000 * S;
    assert_int_equal(made(5, now, now + 2 * MS), INT64_MIN); /* a burst tells no time */
    assert_int_equal(made(5, now + 6 * S, now + 3 * MS), INT64_MIN);
    memset(peers, 0, sizeof peers);
    for (unsigned i = 0; i < 11; i++, now += 100 * MS) {
        (void)made(5, now, now + 2 * MS + (i == 4 ? -MS : 0));
    }
    assert_int_equal(made(5, now, now + 2 * MS), now + MS); /* by the one that came soonest */
    assert_int_equal(made(5, now, now), now);               /* not later than it came */
    const int64_t old = now + 300 * MS;
    assert_int_equal(made(5, old, old + 6 * S), old); /* a server slept meanwhile */
    assert_int_equal(made(6, now, now + 7 * S), INT64_MIN);
}

static void test_a_window_that_begins_late_does_not_forget_the_one_before(void **state)
{
    (void)state;
    memset(peers, 0, sizeof peers);
    int64_t now = 1000 * S;
    for (unsigned i = 0; i < 250; i++, now += 100 * MS) {
        (void)made(5, now, now);
    }
    /* From here on all comes 6 s later than it was made. */
    assert_int_equal(made(5, now, now + 6 * S), now);
    assert_int_equal(made(5, now + 100 * MS, now + 6 * S), now + 100 * MS);
}

static void test_a_clock_that_drifts_is_followed(void **state)
{
    (void)state;
    memset(peers, 0, sizeof peers);
    const int64_t begin = 1000 * S;
    for (int64_t i = 0; i < 1000; i++) { /* slower than ours by 1 in 1,000 */
        (void)made(5, begin + i * (100 * MS - 100 * 1000), begin + i * 100 * MS);
    }
    const int64_t at = begin + 100 * S;
    const int64_t then = made(5, begin + 1000 * (100 * MS - 100 * 1000), at);
    assert_in_range(at - then, 0, 61 * MS);
}

static void test_of_many_peers_the_least_heard_is_forgotten(void **state)
{
    (void)state;
    memset(peers, 0, sizeof peers);
    for (uint64_t boot = 1; boot <= MLT_COVER_PEERS_MAX; boot++) {
        (void)made(boot, 1000 * S, 1000 * S + (int64_t)boot);
    }
    (void)made(1, 1001 * S, 1001 * S);
    (void)made(100, 1001 * S, 1001 * S); /* in the place of 2 */
    assert_int_not_equal(made(1, 1002 * S, 1002 * S), INT64_MIN);
    assert_int_not_equal(made(3, 1002 * S, 1002 * S), INT64_MIN);
    assert_int_not_equal(made(100, 1002 * S, 1002 * S), INT64_MIN);
    assert_int_equal(made(2, 1002 * S, 1002 * S), INT64_MIN);
}

/* ---- since when it has what: lines that a test opens, acknowledges and ends ---- */

static struct {
    struct mlt_topics topics;
    struct mlt_lines lines;
    struct mlt_binance_symbols *symbols;
    int64_t now;
    uint32_t asked_line;
    int64_t asked_id;
    bool closing[MLT_LINES_MAX], connecting[MLT_LINES_MAX];
    char said[32][64];
    unsigned said_count;
} x;

static bool port_connect(void *ctx, uint32_t line)
{
    (void)ctx;
    x.connecting[line] = true;
    return true;
}

static void port_close(void *ctx, uint32_t line)
{
    (void)ctx;
    x.closing[line] = true;
}

static bool port_send(void *ctx, uint32_t line, struct mlt_slice text)
{
    char copy[1024];
    (void)ctx;
    (void)snprintf(copy, sizeof copy, "%.*s", MLT_SLICE_FMT(text));
    const char *id = strstr(copy, "\"id\":");
    assert_non_null(id);
    x.asked_line = line;
    x.asked_id = strtoll(id + 5, NULL, 10);
    return true;
}

static void port_source(void *ctx, const struct mlt_topic_instrument *instrument, bool down,
                        const char *reason)
{
    (void)ctx;
    assert_true(x.said_count < 32);
    (void)snprintf(x.said[x.said_count++], 64, "%s %s %s", instrument->token, down ? "down" : "up",
                   reason);
}

static int set_up(void **state)
{
    (void)state;
    memset(&x, 0, sizeof x);
    x.now = 1000 * S;
    mlt_topics_init(&x.topics, 4);
    x.symbols = make_symbols(20);
    const struct mlt_lines_options options = { .streams_per_line = 1024,
                                               .attempts = MLT_LINE_ATTEMPTS_MAX,
                                               .copies = 1,
                                               .ack_ns = 700 * MS,
                                               .retry_ns = 10 * S,
                                               .rollover_ns = 3600 * S,
                                               .linger_ns = 2 * S,
                                               .backoff_base_ns = 250 * MS,
                                               .backoff_max_ns = 5 * S,
                                               .seed = 42 };
    const struct mlt_lines_ports ports = { port_connect, port_close, port_send, port_source, NULL };
    mlt_lines_init(&x.lines, &options, &ports, &x.topics);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mlt_lines_fini(&x.lines);
    mlt_topics_fini(&x.topics);
    mlt_binance_symbols_destroy(x.symbols);
    return 0;
}

static void turn(void)
{
    (void)mlt_lines_turn(&x.lines, x.now);
}

/* The symbol with this number is wanted; the partition is its own. Returns that. */
static uint32_t want(unsigned number)
{
    char token[24];
    (void)snprintf(token, sizeof token, "C%03u-USDT", number);
    const uint32_t partition = mlt_instrument_slot(mlt_slice_of_string(token)) % 4;
    struct plan *plan = make_plan(partition, 1, 7);
    (void)add_route(plan, 1, "{symbol}@trade", number, 1);
    assert_int_equal(mlt_topics_apply(&x.topics, &plan->message, x.symbols), MLT_OK);
    mlt_lines_plan_changed(&x.lines, x.now);
    free(plan);
    turn();
    return partition;
}

static void open_line(uint32_t line)
{
    assert_true(x.connecting[line]);
    x.connecting[line] = false;
    mlt_lines_opened(&x.lines, line, x.now);
    turn();
}

/* The request that was sent last. */
static void answer(const char *error)
{
    assert_int_not_equal(x.asked_id, 0);
    mlt_lines_answer(&x.lines, x.asked_line, true, x.asked_id, error, x.now);
    x.asked_id = 0;
    turn();
}

static void end_line(uint32_t line)
{
    mlt_lines_ended(&x.lines, line, "lost", x.now);
    turn();
}

static uint64_t missing;

static int64_t since(uint32_t partition)
{
    int64_t since_ns[MLT_SLOT_COUNT];
    missing = mlt_topics_since(&x.topics, since_ns);
    return since_ns[partition];
}

static int64_t heard(uint32_t partition)
{
    int64_t since_ns[MLT_SLOT_COUNT];
    mlt_lines_heard_since(&x.lines, since_ns);
    return since_ns[partition];
}

/* One topic that stands, on line 0, since now. */
static uint32_t stand(void)
{
    const uint32_t partition = want(1);
    open_line(0);
    answer(NULL);
    return partition;
}

static void test_a_topic_is_brought_from_its_acknowledgement_on(void **state)
{
    (void)state;
    const uint32_t partition = want(1);
    assert_int_equal(since((partition + 1) % 4), INT64_MIN); /* wants nothing */
    open_line(0);
    assert_int_equal(since(partition), INT64_MIN); /* pending: its source is said to be down */
    assert_int_equal(missing, UINT64_C(1) << partition);
    x.now += S;
    const int64_t acked = x.now;
    answer(NULL);
    x.now += 5 * S;
    assert_int_equal(since(partition), acked);
    assert_int_equal(missing, 0);
}

static void test_a_cut_ends_it_and_the_next_line_begins_anew(void **state)
{
    (void)state;
    const uint32_t partition = stand();
    const int64_t first = x.now;
    x.now += 10 * S;
    assert_int_equal(since(partition), first);
    end_line(0);
    assert_int_equal(since(partition), INT64_MIN); /* down, and to be said */
    x.now += S;
    turn();
    open_line(0);
    x.now += S;
    const int64_t again = x.now;
    answer(NULL);
    x.now += S;
    assert_int_equal(since(partition), again);
}

static void test_a_planned_hand_over_goes_on(void **state)
{
    (void)state;
    const uint32_t partition = stand();
    const int64_t first = x.now;
    x.now += 10 * S;
    mlt_lines_server_shutdown(&x.lines, 0, x.now);
    turn();
    open_line(1);
    x.now += S;
    answer(NULL);
    assert_true(mlt_lines_heard(&x.lines, 0, x.now)); /* until here all came on the old one */
    turn();
    assert_int_equal(x.lines.lines[0].handed_to, 1);
    assert_int_equal(since(partition), first);
    /* The old one is gone before the new one has it all: nothing came meanwhile. */
    x.now += 10 * S;
    end_line(0);
    mlt_lines_server_shutdown(&x.lines, 1, x.now);
    turn();
    open_line(0);
    end_line(1);
    assert_int_equal(since(partition), INT64_MIN);
    x.now += S;
    const int64_t again = x.now;
    answer(NULL);
    assert_int_equal(since(partition), again);
}

/* What the old line did not bring any more is of nobody: who took over begins with itself. */
static void test_a_hand_over_from_a_line_that_was_dead_begins_anew(void **state)
{
    (void)state;
    const uint32_t partition = stand();
    x.now += 10 * S;
    (void)mlt_lines_heard(&x.lines, 0, x.now);
    mlt_lines_server_shutdown(&x.lines, 0, x.now);
    turn();
    open_line(1);
    x.now += S;
    const int64_t taken = x.now;
    answer(NULL);
    turn();
    assert_int_equal(x.lines.lines[0].handed_to, MLT_LINE_NONE);
    x.now += 25 * S;
    mlt_lines_ended(&x.lines, 0, "silent", x.now);
    turn();
    assert_int_equal(since(partition), taken);
}

static void test_a_hand_over_of_what_did_not_stand_begins_with_it(void **state)
{
    (void)state;
    const uint32_t partition = want(1);
    open_line(0);
    x.now += S / 2;
    mlt_lines_server_shutdown(&x.lines, 0, x.now); /* the old line was asked, and did not answer */
    turn();
    open_line(1);
    x.now += S / 10;
    const int64_t taken = x.now;
    answer(NULL);
    assert_int_equal(x.lines.lines[0].handed_to, 1);
    assert_int_equal(since(partition), taken);
}

static void test_an_end_that_nobody_answered_may_have_been_one(void **state)
{
    (void)state;
    const uint32_t partition = stand();
    struct plan *empty = make_plan(partition, 2, 7);
    x.now += 10 * S;
    assert_int_equal(mlt_topics_apply(&x.topics, &empty->message, x.symbols), MLT_OK);
    mlt_lines_plan_changed(&x.lines, x.now);
    turn();
    assert_int_equal(want(1), partition); /* wanted again while it is asked to end */
    for (unsigned i = 0; i < 3; i++) {
        x.now += S;
        turn();
    }
    answer(NULL); /* it was subscribed once more */
    assert_true(mlt_topic_stands(mlt_topics_find(&x.topics, MLT_SLICE_LITERAL("c001usdt@trade"))));
    assert_true(since(partition) > x.now - 4 * S);
    free(empty);
}

static void test_a_reminder_does_not_interrupt(void **state)
{
    (void)state;
    const uint32_t partition = stand();
    const int64_t first = x.now;
    x.now += 61 * S;
    assert_true(mlt_topics_watch(&x.topics, x.now - 60 * S));
    assert_true(mlt_lines_remind(&x.lines, 60 * S, x.now));
    turn();
    assert_int_equal(since(partition), first); /* while it is asked again */
    x.said_count = 0;
    mlt_lines_say_sources(&x.lines, UINT64_MAX);
    assert_string_equal(x.said[0], "C001-USDT up started");
    answer(NULL);
    assert_int_equal(since(partition), first);
}

static void test_a_source_is_told_of_once_whatever_its_topics(void **state)
{
    (void)state;
    struct plan *plan = make_plan(stand(), 2, 7);
    (void)add_route(plan, 1, "{symbol}@trade", 1, 1);
    (void)add_route(plan, 2, "{symbol}@bookTicker", 1, 1);
    assert_int_equal(mlt_topics_apply(&x.topics, &plan->message, x.symbols), MLT_OK);
    mlt_lines_plan_changed(&x.lines, x.now);
    x.now += S;
    turn();
    x.said_count = 0;
    mlt_lines_say_sources(&x.lines, UINT64_MAX); /* one of its two does not stand */
    assert_int_equal(x.said_count, 1);
    assert_string_equal(x.said[0], "C001-USDT down not_subscribed");
    answer(NULL);
    x.said_count = 0;
    mlt_lines_say_sources(&x.lines, UINT64_MAX);
    assert_int_equal(x.said_count, 1);
    assert_string_equal(x.said[0], "C001-USDT up started");
    free(plan);
}

static void test_what_nobody_can_bring_is_not_missed(void **state)
{
    (void)state;
    x.topics.now_ns = x.now;
    x.topics.listing_ns = x.now - S; /* whoever made the plan may have a later one */
    const uint32_t partition = want(500);
    assert_true(x.topics.unproven);
    assert_int_equal(since(partition), INT64_MIN);
    assert_int_equal(missing, UINT64_C(1) << partition);
    mlt_lines_say_sources(&x.lines, UINT64_MAX);
    assert_int_equal(x.said_count, 1);
    assert_string_equal(x.said[0], "C500-USDT down unknown_symbol");
    x.topics.unproven = false;
    x.now += S;
    x.topics.now_ns = x.now;
    x.topics.listing_ns = x.now; /* read again, and no such symbol */
    assert_int_equal(want(500), partition);
    assert_false(x.topics.unproven);
    assert_int_equal(since(partition), INT64_MIN);
    assert_int_equal(missing, 0);
    x.said_count = 0;
    mlt_lines_say_sources(&x.lines, UINT64_MAX);
    assert_int_equal(x.said_count, 0);
}

static void test_what_was_refused_to_us_is_said_to_be_down(void **state)
{
    (void)state;
    const uint32_t partition = want(1);
    open_line(0);
    answer("bad request"); /* for good; to another one it may not have been */
    assert_int_equal(since(partition), INT64_MIN);
    assert_int_equal(missing, UINT64_C(1) << partition);
    x.said_count = 0;
    mlt_lines_say_sources(&x.lines, UINT64_MAX);
    assert_int_equal(x.said_count, 1);
    assert_string_equal(x.said[0], "C001-USDT down refused: bad request");
}

/* Its two streams, or the first one alone. */
static void want_both(uint32_t partition, uint64_t revision, bool both)
{
    struct plan *plan = make_plan(partition, revision, 7);
    (void)add_route(plan, 1, "{symbol}@trade", 1, 1);
    if (both) {
        (void)add_route(plan, 2, "{symbol}@bookTicker", 1, 1);
    }
    assert_int_equal(mlt_topics_apply(&x.topics, &plan->message, x.symbols), MLT_OK);
    mlt_lines_plan_changed(&x.lines, x.now);
    free(plan);
    x.now += S;
    turn();
}

static void test_what_was_refused_to_us_stays_down_until_nobody_wants_it(void **state)
{
    (void)state;
    const uint32_t partition = stand();
    want_both(partition, 2, true);
    answer("bad request"); /* of one of its two */
    mlt_lines_settle_sources(&x.lines);
    x.said_count = 0;
    mlt_lines_say_sources(&x.lines, UINT64_MAX);
    assert_int_equal(x.said_count, 1);
    assert_string_equal(x.said[0], "C001-USDT down refused: bad request");
    mlt_lines_settle_sources(&x.lines); /* as after any other acknowledgement */
    assert_int_equal(x.said_count, 1);
    want_both(partition, 3, false);
    mlt_lines_settle_sources(&x.lines);
    assert_int_equal(x.said_count, 2);
    assert_string_equal(x.said[1], "C001-USDT up subscribed");
}

static void test_what_was_not_answered_is_said_to_be_down(void **state)
{
    (void)state;
    const uint32_t partition = want(1);
    open_line(0);
    for (unsigned i = 0; i < 4; i++) { /* asked twice, and given up */
        x.now += S;
        turn();
    }
    assert_int_equal(since(partition), INT64_MIN);
    assert_int_equal(missing, UINT64_C(1) << partition);
    x.said_count = 0;
    mlt_lines_say_sources(&x.lines, UINT64_MAX);
    assert_int_equal(x.said_count, 1);
    assert_string_equal(x.said[0], "C001-USDT down no_ack");
}

static void test_the_least_heard_line_counts_as_long_as_it_is_up(void **state)
{
    (void)state;
    const uint32_t partition = stand();
    assert_int_equal(heard((partition + 1) % 4), INT64_MAX);
    const int64_t opened = x.now;
    x.now += 5 * S;
    assert_int_equal(heard(partition), opened);
    (void)mlt_lines_heard(&x.lines, 0, x.now);
    assert_int_equal(heard(partition), x.now);
    const int64_t ping = x.now + 20 * S;
    (void)mlt_lines_pong(&x.lines, 0, ping);
    assert_int_equal(heard(partition), ping);
    x.now = ping + S;
    end_line(0); /* what it would have brought is said to be missing */
    assert_int_equal(heard(partition), INT64_MAX);
}

static void test_of_a_line_that_ended_is_known_when_it_was_heard(void **state)
{
    (void)state;
    const uint32_t partition = stand();
    assert_int_equal(x.lines.ended_since_ns[partition], INT64_MAX);
    const int64_t last = x.now + 5 * S;
    (void)mlt_lines_heard(&x.lines, 0, last);
    x.now += 80 * S; /* mute for so long */
    end_line(0);
    assert_int_equal(x.lines.ended_since_ns[partition], last);
    assert_int_equal(x.lines.ended_since_ns[(partition + 1) % 4], INT64_MAX);
    x.now += S;
    turn();
    open_line(0);
    answer(NULL);
    x.now += S;
    end_line(0); /* the first one counts until its owner has heard enough */
    assert_int_equal(x.lines.ended_since_ns[partition], last);
    x.now += 5 * S;
    turn();
    assert_true(x.connecting[0]);
    x.lines.ended_since_ns[partition] = INT64_MAX;
    end_line(0); /* it never opened: it brought nothing */
    assert_int_equal(x.lines.ended_since_ns[partition], INT64_MAX);
}

static void test_who_takes_over_says_how_sources_stand(void **state)
{
    (void)state;
    const uint32_t up = stand();
    unsigned other = 2;
    while (want(other) == up) {
        other++;
    }
    x.now += S;
    turn(); /* the second one is asked for, and not answered yet */
    x.said_count = 0;
    mlt_lines_say_sources(&x.lines, UINT64_C(1) << up);
    assert_int_equal(x.said_count, 1);
    assert_string_equal(x.said[0], "C001-USDT up started");
    mlt_lines_say_sources(&x.lines, ~(UINT64_C(1) << up));
    assert_int_equal(x.said_count, 2);
    char expected[64];
    (void)snprintf(expected, sizeof expected, "C%03u-USDT down not_subscribed", other);
    assert_string_equal(x.said[1], expected);
    answer(NULL);
    assert_int_equal(x.said_count, 3); /* it was said to be down: it is said to be up */
    (void)snprintf(expected, sizeof expected, "C%03u-USDT up subscribed", other);
    assert_string_equal(x.said[2], expected);
    end_line(0);
    x.said_count = 0;
    mlt_lines_say_sources(&x.lines, UINT64_C(1) << up);
    assert_string_equal(x.said[0], "C001-USDT down lost");
}

/* ---- calls ---- */

static void test_the_schedule_of_a_held_partition_rests(void **state)
{
    (void)state;
    static struct mlt_rest rest;
    struct mlt_governor governor;
    unsigned flight = 0;
    int64_t next = 0;
    mlt_governor_init(&governor, 50, 1);
    mlt_rest_init(&rest, 4, &governor, 1);
    struct plan *plan = make_plan(2, 1, 7);
    Meltica__V1__PlanRoute *route = add_route(plan, 1, "", 0, 1);
    char function[] = "depth";
    route->rest_function = function;
    route->rest_interval_ms = 1000;
    mlt_rest_hold(&rest, UINT64_MAX, x.now); /* the last one is no partition here */
    assert_int_equal(mlt_rest_apply(&rest, &plan->message, x.now), MLT_OK);
    assert_int_equal(mlt_rest_schedule(&rest, MLT_REST_TIME, 10 * S, x.now), MLT_OK);
    assert_int_equal(mlt_rest_next(&rest, x.now + 60 * S, &flight, &next), MLT_OK);
    assert_int_equal(mlt_rest_flight(&rest, flight)->function, MLT_REST_TIME); /* its own */
    assert_int_equal(mlt_rest_next(&rest, x.now + 60 * S, &flight, &next), MLT_E_EMPTY);
    uint32_t weights[MLT_WEIGHT_CLASS_COUNT];
    mlt_rest_weights(&rest, x.now + 60 * S, weights);
    assert_int_equal(weights[MLT_WEIGHT_SCHEDULE], 0); /* no weight is reserved for it */
    x.now += 60 * S;
    mlt_rest_hold(&rest, ~UINT64_C(4), x.now); /* 2 is ours */
    assert_int_equal(mlt_rest_next(&rest, x.now + S, &flight, &next), MLT_OK);
    assert_int_equal(mlt_rest_flight(&rest, flight)->function, MLT_REST_DEPTH);
    free(plan);
    mlt_rest_fini(&rest);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_condition_by_itself),
        cmocka_unit_test(test_from_is_what_is_needed_and_a_margin),
        cmocka_unit_test(test_the_last_word_of_whoever_speaks_counts),
        cmocka_unit_test(test_who_names_it_no_more_released_it),
        cmocka_unit_test(test_what_waited_somewhere_was_made_before),
        cmocka_unit_test(test_a_window_that_begins_late_does_not_forget_the_one_before),
        cmocka_unit_test(test_a_clock_that_drifts_is_followed),
        cmocka_unit_test(test_of_many_peers_the_least_heard_is_forgotten),
        TEST(test_a_topic_is_brought_from_its_acknowledgement_on),
        TEST(test_a_cut_ends_it_and_the_next_line_begins_anew),
        TEST(test_a_planned_hand_over_goes_on),
        TEST(test_a_hand_over_from_a_line_that_was_dead_begins_anew),
        TEST(test_a_hand_over_of_what_did_not_stand_begins_with_it),
        TEST(test_an_end_that_nobody_answered_may_have_been_one),
        TEST(test_a_reminder_does_not_interrupt),
        TEST(test_a_source_is_told_of_once_whatever_its_topics),
        TEST(test_what_nobody_can_bring_is_not_missed),
        TEST(test_what_was_refused_to_us_is_said_to_be_down),
        TEST(test_what_was_refused_to_us_stays_down_until_nobody_wants_it),
        TEST(test_what_was_not_answered_is_said_to_be_down),
        TEST(test_of_a_line_that_ended_is_known_when_it_was_heard),
        TEST(test_the_least_heard_line_counts_as_long_as_it_is_up),
        TEST(test_who_takes_over_says_how_sources_stand),
        TEST(test_the_schedule_of_a_held_partition_rests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
