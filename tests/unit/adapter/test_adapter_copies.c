/* Two lines for the same topics: where copies stand, when a topic is LIVE, and what a cut says. */
#include "mlt_test.h"

#include "lines_world.h"
#include "meltica/base/hash.h"

static int set_up_two(void **state)
{
    (void)set_up(state);
    x.copies = 2;
    return 0;
}

static void hear_all(void)
{
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        if (x.lines.lines[n].state == MLT_LINE_UP) {
            (void)mlt_lines_heard(&x.lines, n, x.now);
        }
    }
}

static void end_line(uint32_t line, const char *reason)
{
    mlt_lines_ended(&x.lines, line, reason, x.now);
    (void)mlt_lines_turn(&x.lines, x.now);
}

/* Lines are heard, and each has said something since both copies stand. */
static void settle(int64_t for_ns)
{
    run(for_ns);
    hear_all();
}

static size_t lacking(void)
{
    return mlt_topics_lacking(&x.topics, 2);
}

/* Whatever happens: no topic twice on a line, no line with copies of both kinds, and none with more
 * than it may have. */
static void assert_placed_well(uint32_t room)
{
    uint32_t on[MLT_LINES_MAX] = { 0 }, kinds[MLT_LINES_MAX] = { 0 };
    for (size_t i = 0; i < x.topics.count; i++) {
        const struct mlt_topic *topic = x.topics.items[i];
        for (unsigned k = 0; k < MLT_TOPIC_SEATS; k++) {
            const uint32_t line = topic->seats[k].line;
            if (line == MLT_LINE_NONE) {
                continue;
            }
            on[line]++;
            kinds[line] |= 1u << k / 2;
            for (unsigned j = 0; j < k; j++) {
                assert_true(topic->seats[j].line != line);
            }
        }
    }
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        assert_true(on[n] <= room && kinds[n] != 3);
    }
}

static void assert_both_stand(const char *name)
{
    assert_int_equal(named(name)->seats[0].state, MLT_SEAT_ON);
    assert_int_equal(named(name)->seats[2].state, MLT_SEAT_ON);
    assert_true(named(name)->seats[0].line != named(name)->seats[2].line);
}

/* ---- places ---- */

static void test_each_topic_has_two_lines(void **state)
{
    (void)state;
    start(100, true);
    plan(0, "{symbol}@trade", 0, 250);
    run(20 * S);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 250);
    assert_int_equal(lacking(), 0);
    assert_placed_well(90);
    assert_int_equal(mlt_lines_up_count(&x.lines), 7); /* 3, 3 and an empty one */
    plan(0, "{symbol}@trade", 0, 10);
    run(20 * S);
    assert_int_equal(x.topics.count, 10); /* both copies of the others were let go */
    assert_int_equal(lacking(), 0);
    assert_int_equal(mlt_lines_up_count(&x.lines), 3);
    plan(0, "{symbol}@trade", 0, 0);
    run(20 * S);
    assert_int_equal(x.topics.count, 0);
    assert_int_equal(mlt_lines_up_count(&x.lines), 1);
    assert_int_equal(x.source_count, 0);
}

static void test_one_copy_is_one_line(void **state)
{
    (void)state;
    x.copies = 1;
    start(100, false);
    plan(0, "{symbol}@trade", 0, 50);
    run(20 * S);
    assert_int_equal(mlt_lines_up_count(&x.lines), 1);
    assert_int_equal(x.sent_count, 1);
    assert_int_equal(mlt_topics_lacking(&x.topics, 1), 0);
    assert_int_equal(lacking(), 50);
}

static void test_second_copies_take_no_line_of_first_ones(void **state)
{
    (void)state;
    start(2, false);
    plan(0, "{symbol}@trade", 0, 144); /* two on a line: all lines, half of them for each */
    run(60 * S);
    assert_int_equal(lacking(), 0);
    assert_int_equal(mlt_lines_up_count(&x.lines), MLT_LINES_MAX);
    plan(0, "{symbol}@trade", 0, 0);
    run(60 * S);
    plan(0, "{symbol}@trade", 0, 200); /* 100 lines for first ones, 44 are left for second ones */
    run(400 * S);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 200);
    assert_int_equal(lacking(), 200 - 88);
    assert_placed_well(2);
}

static void test_half_of_the_lines_are_never_for_second_copies(void **state)
{
    (void)state;
    start(1024, false);
    for (uint32_t n = 0; n < MLT_LINES_SECOND_MAX;
         n++) { /* so many are, and none of them has room */
        x.lines.lines[n].state = MLT_LINE_CLOSING;
        x.lines.lines[n].copy = 1;
        x.lines.lines[n].replaces = MLT_LINES_MAX - 1;
    }
    plan(0, "{symbol}@trade", 0, 1);
    run(S);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 1);
    assert_int_equal(named("c000usdt@trade")->seats[2].line, MLT_LINE_NONE);
    assert_int_equal(lacking(), 1);
    x.lines.lines[0].state = MLT_LINE_FREE; /* one is free again */
    plan(0, "{symbol}@trade", 0, 1);
    run(S);
    assert_int_equal(lacking(), 0);
}

/* Also where the line of the first one is away: the exchange would send it for ever. */
static void test_a_second_copy_alone_is_let_go(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 2);
    settle(5 * S);
    const uint32_t second = named("c000usdt@trade")->seats[2].line;
    x.auto_open = false;
    end_line(named("c000usdt@trade")->seats[0].line, "closed");
    const unsigned before = x.sent_count;
    plan(0, "{symbol}@trade", 0, 1);
    run(2 * S);
    assert_int_equal(x.sent_count, before + 1);
    assert_int_equal(x.sent[before].line, second);
    assert_false(x.sent[before].subscribe);
    assert_non_null(strstr(x.sent[before].text, "c001usdt@trade"));
    assert_int_equal(x.topics.count, 1);
}

/* ---- asking ---- */

static void test_the_second_copy_is_asked_for_once_the_first_one_is_there(void **state)
{
    (void)state;
    start(1024, false);
    x.auto_ack = false;
    plan(0, "{symbol}@trade", 0, 250);
    run(300 * MS);
    assert_int_equal(mlt_lines_up_count(&x.lines), 2);
    assert_int_equal(x.sent_count, 2); /* 250 names */
    const uint32_t first = named("c000usdt@trade")->seats[0].line;
    assert_int_equal(x.sent[0].line, first);
    assert_int_equal(x.sent[1].line, first);
    const int64_t acked = x.now;
    mlt_lines_answer(&x.lines, first, true, x.sent[0].id, NULL, x.now);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), x.sent[0].names); /* by one copy */
    assert_int_equal(x.sources_started, x.sent[0].names);
    run(100 * MS);
    assert_int_equal(x.sent_count, 3);
    assert_true(x.sent[2].line != first);
    assert_int_equal(x.sent[2].names, x.sent[0].names); /* not what is still on its way */
    assert_int_equal(x.sent[2].at, acked);
}

static void test_the_second_line_brings_what_the_first_one_cannot(void **state)
{
    (void)state;
    start(1024, false);
    x.auto_open = false;
    plan(0, "{symbol}@trade", 0, 2);
    run(10 * MS);
    const uint32_t second = named("c000usdt@trade")->seats[2].line;
    assert_true(x.connecting[second]);
    x.connecting[second] = false;
    mlt_lines_opened(&x.lines, second, x.now);
    run(S);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 2);
    assert_int_equal(lacking(), 2);
    x.auto_open = true;
    run(2 * S);
    assert_int_equal(lacking(), 0);
    assert_int_equal(x.source_count, 0);
}

static void test_no_answer_on_one_line_is_no_failure_while_the_other_one_is_asked(void **state)
{
    (void)state;
    start(1024, false);
    x.auto_ack = false;
    plan(0, "{symbol}@trade", 0, 1);
    run(1300 * MS);
    assert_int_equal(named("c000usdt@trade")->state, MLT_TOPIC_PENDING);
    run(200 * MS); /* 1.4 s: given up on the first line */
    assert_int_equal(x.lines.counters.no_acks, 1);
    assert_int_equal(named("c000usdt@trade")->state, MLT_TOPIC_PENDING);
    const struct sent *last = &x.sent[x.sent_count - 1];
    assert_int_equal(last->line, named("c000usdt@trade")->seats[2].line);
    x.auto_ack = true;
    x.acked = x.sent_count;
    mlt_lines_answer(&x.lines, last->line, true, last->id, NULL, x.now);
    assert_int_equal(named("c000usdt@trade")->state, MLT_TOPIC_LIVE);
    assert_int_equal(lacking(), 1);
    run(12 * S); /* the first one is asked again after 10 s */
    assert_int_equal(lacking(), 0);
}

static void test_no_answer_on_both_lines_is_a_failure(void **state)
{
    (void)state;
    start(1024, false);
    x.auto_ack = false;
    plan(0, "{symbol}@trade", 0, 1);
    run(4 * S);
    assert_int_equal(x.lines.counters.no_acks, 2);
    assert_int_equal(named("c000usdt@trade")->state, MLT_TOPIC_FAILED);
    assert_string_equal(named("c000usdt@trade")->reason, "no_ack");
}

/* It closes the line each time: the other one must not be told, too. */
static void test_what_is_refused_on_one_line_is_not_asked_on_the_other(void **state)
{
    (void)state;
    start(1024, false);
    x.auto_ack = false;
    plan(0, "{symbol}@trade", 0, 8);
    const uint32_t first = 0;
    unsigned refused = 0;
    for (unsigned seen = 0, i = 0; i < 200; i++) {
        run(100 * MS);
        for (; seen < x.sent_count; seen++) {
            const struct sent *sent = &x.sent[seen];
            const bool bad = strstr(sent->text, "c003usdt@trade") != NULL;
            assert_true(!bad || sent->line == first);
            refused += bad;
            mlt_lines_answer(&x.lines, sent->line, true, sent->id, bad ? "invalid stream" : NULL,
                             x.now);
        }
    }
    assert_int_equal(named("c000usdt@trade")->seats[0].line, first);
    assert_int_equal(refused, 4); /* of 8, 4, 2 and 1 */
    assert_string_equal(named("c003usdt@trade")->reason, "refused: invalid stream");
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 7);
    assert_int_equal(in_state(MLT_TOPIC_FAILED), 1);
    assert_int_equal(lacking(), 0);
    hear_all();
    const unsigned before = x.sent_count;
    x.auto_ack = true;
    x.acked = x.sent_count;
    end_line(named("c003usdt@trade")->seats[2].line, "closed");
    run(20 * S);
    assert_int_equal(in_state(MLT_TOPIC_FAILED), 1); /* and not PENDING for ever */
    assert_int_equal(x.sent_count, before + 1);
    assert_int_equal(x.sent[before].names, 7);
}

/* What was accepted on one line is not refused for being wrong. */
static void test_what_is_refused_on_one_line_alone_is_asked_again_later(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 1);
    settle(5 * S);
    const uint32_t first = named("c000usdt@trade")->seats[0].line;
    x.auto_ack = false;
    end_line(first, "closed");
    run(S);
    const struct sent *last = &x.sent[x.sent_count - 1];
    assert_int_equal(last->line, first);
    mlt_lines_answer(&x.lines, first, true, last->id, "too many", x.now);
    x.acked = x.sent_count;
    x.auto_ack = true;
    assert_int_equal(named("c000usdt@trade")->state, MLT_TOPIC_LIVE);
    const unsigned before = x.sent_count;
    settle(590 * S);
    assert_int_equal(x.sent_count, before);
    settle(20 * S);
    assert_int_equal(x.sent_count, before + 1);
    assert_int_equal(lacking(), 0);
}

/* Each line halves what is refused, and none makes it more again. */
static void test_what_is_refused_on_both_lines_is_halved_all_the_same(void **state)
{
    (void)state;
    start(1024, false);
    x.auto_open = x.auto_ack = false;
    x.lines.options.ack_ns = 10 * S; /* nothing is given up */
    plan(0, "{symbol}@trade", 0, 8);
    run(10 * MS);
    struct mlt_topic *topic = named("c003usdt@trade");
    mlt_lines_opened(&x.lines, topic->seats[2].line, x.now);
    run(10 * MS);
    mlt_lines_opened(&x.lines, topic->seats[0].line, x.now);
    run(10 * MS);
    assert_int_equal(x.sent_count, 2);
    assert_int_equal(x.sent[0].names, 8);
    assert_int_equal(x.sent[1].names, 8);
    const uint32_t second = x.sent[0].line, first = x.sent[1].line;
    assert_int_equal(second, topic->seats[2].line);
    for (unsigned names = 8; names > 2; names /= 2) { /* on the first line, while the other waits */
        assert_int_equal(topic->batch, names < 8 ? names : 0);
        mlt_lines_answer(&x.lines, first, true, topic->seats[0].request, "invalid", x.now);
        while (topic->seats[0].state == MLT_SEAT_OFF) {
            run(10 * MS);
        }
    }
    assert_int_equal(topic->batch, 2);
    assert_int_equal(topic->seats[2].request, x.sent[0].id);
    mlt_lines_answer(&x.lines, second, true, x.sent[0].id, "invalid", x.now);
    assert_int_equal(topic->batch, 2);
}

/* ---- cuts ---- */

static void cut_either(bool spare)
{
    start(1024, spare);
    plan(0, "{symbol}@trade", 0, 5);
    settle(5 * S);
    const int64_t since = named("c000usdt@trade")->stood_since_ns;
    for (unsigned round = 0; round < 6; round++) {
        const uint32_t line = named("c000usdt@trade")->seats[round % 2 * 2].line;
        x.auto_open = false;
        end_line(line, "closed");
        assert_int_equal(in_state(MLT_TOPIC_LIVE), 5);
        assert_int_equal(lacking(), 5);
        assert_int_equal(x.lines.cut_covered, 5);
        assert_int_equal(x.lines.cut_open, 0);
        run(100 * MS);
        assert_int_equal(lacking(), spare ? 0 : 5); /* nothing had to come up for that */
        x.auto_open = true;
        settle(6 * S);
        assert_both_stand("c000usdt@trade");
        assert_int_equal(lacking(), 0);
        assert_int_equal(x.lines.counters.cuts_covered, round + 1);
        assert_placed_well(922);
    }
    assert_int_equal(x.source_count, 0);
    assert_int_equal(named("c000usdt@trade")->stood_since_ns, since);
}

static void test_a_cut_of_either_line_says_nothing(void **state)
{
    (void)state;
    cut_either(false);
}

static void test_a_cut_of_either_line_is_made_good_by_the_spare_one(void **state)
{
    (void)state;
    cut_either(true);
}

static void test_both_lines_cut_is_down_once_and_up_once(void **state)
{
    (void)state;
    start(1024, true);
    plan(0, "{symbol}@trade", 0, 3);
    settle(5 * S);
    const uint32_t first = named("c000usdt@trade")->seats[0].line;
    const uint32_t second = named("c000usdt@trade")->seats[2].line;
    mlt_lines_ended(&x.lines, first, "closed", x.now); /* both between two turns */
    assert_int_equal(x.source_count, 0);
    mlt_lines_ended(&x.lines, second, "lost", x.now);
    assert_int_equal(x.source_count, 3);
    assert_string_equal(x.sources[0], "C000-USDT down lost");
    assert_int_equal(x.lines.counters.cuts_covered, 1);
    assert_int_equal(x.lines.cut_open, 3);
    assert_int_equal(in_state(MLT_TOPIC_PENDING), 3);
    assert_placed_well(922);
    run(6 * S);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 3);
    assert_int_equal(lacking(), 0);
    assert_int_equal(x.source_count, 6);
    assert_string_equal(x.sources[3], "C000-USDT up subscribed");
    assert_both_stand("c000usdt@trade");
}

static void test_a_cut_before_the_other_copy_is_there_is_down(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 1);
    settle(5 * S);
    x.auto_ack = false;
    end_line(named("c000usdt@trade")->seats[2].line, "closed");
    run(2 * S);
    hear_all();
    assert_int_equal(x.source_count, 0);
    end_line(named("c000usdt@trade")->seats[0].line, "closed");
    assert_int_equal(x.source_count, 1);
    assert_string_equal(x.sources[0], "C000-USDT down closed");
    assert_int_equal(in_state(MLT_TOPIC_PENDING), 1);
}

/* The line was dead before the other one began: what came between is of neither. */
static void test_a_copy_that_began_after_the_last_word_of_the_line_covers_nothing(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 1);
    settle(5 * S);
    const uint32_t first = named("c000usdt@trade")->seats[0].line; /* says nothing any more */
    end_line(named("c000usdt@trade")->seats[2].line, "closed");
    run(10 * S);
    assert_both_stand("c000usdt@trade");
    const int64_t again = named("c000usdt@trade")->seats[2].since_ns;
    assert_int_equal(x.source_count, 0);
    end_line(first, "silent");
    assert_int_equal(x.source_count, 2);
    assert_string_equal(x.sources[0], "C000-USDT down silent");
    assert_string_equal(x.sources[1], "C000-USDT up subscribed");
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 1);
    assert_int_equal(named("c000usdt@trade")->stood_since_ns, again);
    assert_int_equal(x.lines.counters.cuts_covered, 1); /* the first one */
}

/* ---- hand-over ---- */

static void test_lines_are_replaced_one_as_the_other(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 3);
    settle(5 * S);
    const int64_t since = named("c000usdt@trade")->stood_since_ns;
    const uint32_t first = named("c000usdt@trade")->seats[0].line;
    const uint32_t second = named("c000usdt@trade")->seats[2].line;
    mlt_lines_server_shutdown(&x.lines, first, x.now);
    mlt_lines_server_shutdown(&x.lines, second, x.now);
    x.auto_ack = false; /* nothing is let go before it is there */
    run(500 * MS);
    assert_int_equal(lacking(), 0);
    assert_int_equal(x.lines.counters.rollovers, 0);
    x.auto_ack = true;
    for (unsigned i = 0; i < 50; i++) {
        run(100 * MS);
        assert_placed_well(922);
        assert_int_equal(lacking(), 0); /* not for a moment */
    }
    assert_int_equal(x.lines.counters.rollovers, 2);
    assert_int_equal(mlt_lines_open_count(&x.lines), 2);
    assert_true(named("c000usdt@trade")->seats[0].line != first);
    assert_true(named("c000usdt@trade")->seats[2].line != second);
    assert_both_stand("c000usdt@trade");
    assert_int_equal(lacking(), 0);
    assert_int_equal(x.source_count, 0);
    assert_int_equal(x.lines.counters.cuts_covered, 0);
    assert_int_equal(named("c000usdt@trade")->stood_since_ns, since);
    plan(0, "{symbol}@trade", 0, 9); /* the new lines take what the old ones would have */
    settle(2 * S);
    assert_placed_well(922);
    assert_int_equal(lacking(), 0);
    assert_int_equal(mlt_lines_open_count(&x.lines), 2);
    end_line(named("c000usdt@trade")->seats[0].line, "lost");
    assert_int_equal(x.source_count, 0);
}

/* What we close ourselves is no cut, and nothing goes on. */
static void test_the_end_of_all_lines_is_down(void **state)
{
    (void)state;
    start(1024, true);
    plan(0, "{symbol}@trade", 0, 3);
    settle(5 * S);
    mlt_lines_stop(&x.lines);
    deliver();
    assert_int_equal(mlt_lines_open_count(&x.lines), 0);
    assert_int_equal(x.source_count, 3);
    assert_string_equal(x.sources[0], "C000-USDT down by_us");
    assert_int_equal(x.lines.counters.cuts_covered, 0);
}

static void test_old_line_that_dies_in_the_hand_over_is_covered(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 300);
    settle(5 * S);
    x.auto_ack = false;
    const uint32_t first = named("c000usdt@trade")->seats[0].line;
    mlt_lines_server_shutdown(&x.lines, first, x.now);
    run(100 * MS);
    hear_all();
    end_line(first, "closed");
    assert_int_equal(x.source_count, 0);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 300);
    assert_int_equal(lacking(), 300);
    assert_int_equal(x.lines.counters.cuts_covered, 1);
    x.auto_ack = true;
    run(2 * S);
    assert_int_equal(lacking(), 0);
}

/* ---- a copy that is acknowledged and sends nothing ---- */

static void test_a_mute_copy_is_found_asked_again_and_covers_nothing(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 2);
    settle(5 * S);
    struct mlt_topic *topic = named("c000usdt@trade");
    const uint32_t first = topic->seats[0].line, second = topic->seats[2].line;
    see("c000usdt@trade"); /* the other topic is quiet on both */
    assert_true(topic->watched);
    assert_int_equal(mlt_topics_find_mute(&x.topics, topic->watch_ns), 0);
    assert_int_equal(mlt_topics_find_mute(&x.topics, topic->watch_ns + 1), 1);
    assert_int_equal(mlt_topics_find_mute(&x.topics, topic->watch_ns + 1), 0); /* told once */
    assert_int_equal(lacking(), 1);
    assert_int_equal(topic->state, MLT_TOPIC_LIVE);
    const unsigned before = x.sent_count;
    run(60 * S);
    assert_true(mlt_lines_remind(&x.lines, 60 * S, x.now));
    run(S);
    assert_int_equal(x.sent_count, before + 1);
    assert_int_equal(x.sent[before].line, second);
    assert_int_equal(x.sent[before].names, 1);
    see("c000usdt@trade");
    assert_false(mlt_lines_remind(&x.lines, 60 * S, x.now + 100 * S)); /* now after 120 s */
    hear_all();
    end_line(first, "closed");
    assert_string_equal(x.sources[0], "C000-USDT down closed");
    assert_string_equal(x.sources[1], "C000-USDT up subscribed"); /* acknowledged it is */
    assert_int_equal(x.source_count, 2);
    assert_false(topic->seen); /* and its first message is waited for */
    mlt_lines_seen(&x.lines, topic, second);
    assert_true(topic->seen);
    run(6 * S);
    assert_int_equal(lacking(), 0);
}

static void test_a_mute_copy_that_speaks_is_a_copy_again(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 1);
    settle(5 * S);
    struct mlt_topic *topic = named("c000usdt@trade");
    mlt_lines_seen(&x.lines, topic, topic->seats[2].line);
    assert_int_equal(mlt_topics_find_mute(&x.topics, INT64_MAX), 1);
    assert_true(topic->seats[0].mute);
    mlt_lines_seen(&x.lines, topic, topic->seats[0].line);
    assert_int_equal(lacking(), 0);
    assert_false(topic->watched); /* both have sent something */
    hear_all();
    end_line(topic->seats[2].line, "closed");
    assert_int_equal(x.source_count, 0);
}

/* ---- attempts ---- */

static void test_a_line_that_is_not_needed_leaves_a_quarter_of_the_attempts(void **state)
{
    (void)state;
    start_with(1024, false, 8);
    plan(0, "{symbol}@trade", 0, 2);
    settle(3 * S);
    const uint32_t first = named("c000usdt@trade")->seats[0].line;
    const uint32_t second = named("c000usdt@trade")->seats[2].line;
    for (unsigned i = 0; i < 4; i++) { /* two attempts, and these: six of eight */
        end_line(second, "lost");
        settle(20 * S);
        assert_int_equal(lacking(), 0);
    }
    assert_int_equal(mlt_lines_attempts_used(&x.lines, x.now), 6);
    end_line(second, "lost");
    settle(20 * S);
    assert_int_equal(x.lines.lines[second].state, MLT_LINE_WAITING);
    assert_int_equal(x.connects, 6);
    assert_int_equal(x.lines.counters.attempts_held, 0);
    end_line(first, "lost"); /* now one of them is needed */
    assert_int_equal(x.source_count, 2);
    run(5 * S);
    assert_int_equal(x.connects, 7);
    assert_int_equal(lacking(), 2);
    assert_int_equal(x.source_count, 4);
}

static void test_a_line_that_waits_for_attempts_has_them_after_five_minutes(void **state)
{
    (void)state;
    start_with(1024, false, 8);
    plan(0, "{symbol}@trade", 0, 2);
    settle(3 * S);
    const uint32_t second = named("c000usdt@trade")->seats[2].line;
    for (unsigned i = 0; i < 5; i++) {
        end_line(second, "lost");
        settle(3 * S);
    }
    assert_int_equal(lacking(), 2);
    run(300 * S);
    assert_int_equal(lacking(), 0);
    assert_int_equal(x.source_count, 0);
}

/* ---- what a stand-by goes by ---- */

static int64_t heard_since(void)
{
    int64_t since_ns[MLT_SLOT_COUNT];
    mlt_lines_heard_since(&x.lines, since_ns);
    return since_ns[0];
}

static void test_what_was_brought_is_by_both_lines(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 1);
    settle(5 * S);
    const uint32_t first = named("c000usdt@trade")->seats[0].line;
    const uint32_t second = named("c000usdt@trade")->seats[2].line;
    const int64_t both = x.now;
    x.now += 3 * S;
    (void)mlt_lines_heard(&x.lines, second, x.now);
    assert_int_equal(heard_since(), x.now); /* the first one is quiet, the other one is not */
    x.now += S;
    end_line(second, "lost");
    assert_int_equal(heard_since(), both); /* the rest is on its way on the first one */
    assert_int_equal(x.lines.ended_since_ns[0], INT64_MAX);
    run(5 * S);
    (void)mlt_lines_heard(&x.lines, second, x.now);
    assert_both_stand("c000usdt@trade");
    assert_int_equal(heard_since(), both); /* the second one began after that */
    (void)mlt_lines_heard(&x.lines, first, x.now);
    assert_int_equal(heard_since(), x.now);
    end_line(first, "lost");
    assert_int_equal(x.lines.ended_since_ns[0], INT64_MAX); /* nothing of it is missing */
    x.now += S;
    end_line(second, "lost");
    assert_int_equal(x.lines.ended_since_ns[0], x.now - S);
}

/* ---- all of it ---- */

/* Down is said of an instrument that stood, and up before it is down again. */
static void assert_words_alternate(void)
{
    for (unsigned i = 0; i < x.source_count; i++) {
        char token[24], word[8], before[8] = "up";
        assert_int_equal(sscanf(x.sources[i], "%23s %7s", token, word), 2);
        for (unsigned j = 0; j < i; j++) {
            char other[24], said[8];
            assert_int_equal(sscanf(x.sources[j], "%23s %7s", other, said), 2);
            if (strcmp(other, token) == 0) {
                memcpy(before, said, sizeof before);
            }
        }
        assert_string_not_equal(before, word);
    }
}

static void test_whatever_ends_topics_have_two_lines_again(void **state)
{
    (void)state;
    uint64_t seed = 7;
    start(20, true);
    plan(0, "{symbol}@trade", 0, 40);
    settle(10 * S);
    for (unsigned round = 0; round < 400; round++) {
        seed = mlt_mix64(seed + round);
        const uint32_t line = (uint32_t)(seed >> 8) % 12;
        if (seed % 8 < 3 && x.lines.lines[line].state == MLT_LINE_UP) {
            end_line(line, "lost");
        } else if (seed % 8 == 3) {
            mlt_lines_server_shutdown(&x.lines, line, x.now);
        } else if (seed % 8 == 4) {
            plan(0, "{symbol}@trade", (unsigned)(seed >> 16) % 30,
                 20 + (unsigned)(seed >> 24) % 30);
        }
        assert_placed_well(18);
        settle((int64_t)(seed >> 32) % (3 * S));
        assert_placed_well(18);
        if (round % 20 == 19) {
            assert_words_alternate();
            run(320 * S); /* all attempts are there again */
            for (size_t i = 0; i < x.topics.count; i++) {
                assert_false(x.topics.items[i]->instrument->down);
            }
            assert_int_equal(lacking(), 0);
            x.source_count = x.sent_count = x.acked = 0;
        }
    }
    assert_true(x.lines.counters.cuts_covered > 20);
}

/* No copy of it brings anything: it is asked for once more, by both. */
static void test_a_silent_topic_is_subscribed_once_more_on_both_lines(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 1);
    settle(5 * S);
    const unsigned before = x.sent_count;
    assert_true(mlt_topics_watch(&x.topics, x.now));
    run(60 * S);
    assert_true(mlt_lines_remind(&x.lines, 60 * S, x.now));
    run(S);
    assert_int_equal(x.sent_count, before + 2);
    assert_true(x.sent[before].line != x.sent[before + 1].line);
    assert_int_equal(named("c000usdt@trade")->reminded, 1);
    assert_int_equal(in_state(MLT_TOPIC_SILENT), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_two, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_topic_has_two_lines),
        TEST(test_one_copy_is_one_line),
        TEST(test_second_copies_take_no_line_of_first_ones),
        TEST(test_half_of_the_lines_are_never_for_second_copies),
        TEST(test_a_second_copy_alone_is_let_go),
        TEST(test_the_second_copy_is_asked_for_once_the_first_one_is_there),
        TEST(test_the_second_line_brings_what_the_first_one_cannot),
        TEST(test_no_answer_on_one_line_is_no_failure_while_the_other_one_is_asked),
        TEST(test_no_answer_on_both_lines_is_a_failure),
        TEST(test_what_is_refused_on_one_line_is_not_asked_on_the_other),
        TEST(test_what_is_refused_on_one_line_alone_is_asked_again_later),
        TEST(test_what_is_refused_on_both_lines_is_halved_all_the_same),
        TEST(test_a_cut_of_either_line_says_nothing),
        TEST(test_a_cut_of_either_line_is_made_good_by_the_spare_one),
        TEST(test_both_lines_cut_is_down_once_and_up_once),
        TEST(test_a_cut_before_the_other_copy_is_there_is_down),
        TEST(test_a_copy_that_began_after_the_last_word_of_the_line_covers_nothing),
        TEST(test_lines_are_replaced_one_as_the_other),
        TEST(test_the_end_of_all_lines_is_down),
        TEST(test_old_line_that_dies_in_the_hand_over_is_covered),
        TEST(test_a_mute_copy_is_found_asked_again_and_covers_nothing),
        TEST(test_a_mute_copy_that_speaks_is_a_copy_again),
        TEST(test_a_line_that_is_not_needed_leaves_a_quarter_of_the_attempts),
        TEST(test_a_line_that_waits_for_attempts_has_them_after_five_minutes),
        TEST(test_what_was_brought_is_by_both_lines),
        TEST(test_whatever_ends_topics_have_two_lines_again),
        TEST(test_a_silent_topic_is_subscribed_once_more_on_both_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
