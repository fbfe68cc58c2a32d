/* One line takes over from another, and answers that come late or not at all. See lines_world.h. */
#include "mlt_test.h"

#include "lines_world.h"

static void test_rollover_before_the_cut_has_no_hole(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 2);
    run(5 * S);
    const unsigned before = x.sent_count;
    see("c000usdt@trade");
    x.now += 23 * HOUR;
    x.auto_ack = false;
    (void)mlt_lines_turn(&x.lines, x.now);
    run(500 * MS);
    assert_int_equal(mlt_lines_up_count(&x.lines), 2);
    assert_int_equal(x.sent_count, before + 1);
    assert_int_equal(named("c000usdt@trade")->seats[0].line, 0);
    assert_int_equal(x.closes, 0); /* not before the new one has everything */
    x.auto_ack = true;
    run(S);
    assert_int_equal(named("c000usdt@trade")->seats[0].line, 1);
    assert_int_equal(named("c000usdt@trade")->seats[0].state, MLT_SEAT_ON);
    run(3 * S);
    assert_int_equal(x.closes, 1);
    assert_int_equal(mlt_lines_up_count(&x.lines), 1);
    assert_int_equal(mlt_lines_open_count(&x.lines), 1);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 2);
    assert_int_equal(x.source_count, 0);
    assert_false(named("c000usdt@trade")->seen); /* on the new line nothing has come yet */
    assert_int_equal(x.lines.counters.rollovers, 1);
}

static void test_old_line_that_dies_in_the_hand_over_costs_only_what_was_not_taken(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 300);
    run(5 * S);
    x.auto_ack = false;
    x.acked = x.sent_count;
    const unsigned before = x.sent_count;
    mlt_lines_server_shutdown(&x.lines, 0, x.now);
    run(100 * MS);
    assert_true(x.sent_count >= before + 2);
    mlt_lines_answer(&x.lines, 1, true, x.sent[before].id, NULL, x.now); /* the first 200 */
    (void)mlt_lines_heard(&x.lines, 0, x.now);
    mlt_lines_ended(&x.lines, 0, "closed", x.now);
    assert_int_equal(x.lines.lines[0].state, MLT_LINE_FREE);
    assert_int_equal(x.source_count, 300 - x.sent[before].names);
}

/* An acknowledgement on the new line says nothing of what the old one did not bring any more. */
static void test_a_hand_over_waits_for_a_word_of_the_old_line(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 2);
    run(5 * S);
    x.dumb = true;
    mlt_lines_server_shutdown(&x.lines, 0, x.now);
    run(10 * S);
    assert_int_equal(named("c000usdt@trade")->seats[1].state, MLT_SEAT_ON);
    assert_int_equal(x.lines.counters.rollovers, 0);
    assert_int_equal(x.closes, 0);
    assert_true(mlt_lines_pong(&x.lines, 0, x.now)); /* it lives */
    assert_false(mlt_lines_heard(&x.lines, 0, x.now));
    (void)mlt_lines_turn(&x.lines, x.now);
    assert_int_equal(x.lines.counters.rollovers, 1);
    assert_int_equal(named("c000usdt@trade")->seats[0].line, 1);
    run(3 * S);
    assert_int_equal(x.closes, 1);
    assert_int_equal(x.source_count, 0);
}

static void test_what_a_line_that_was_dead_did_not_bring_is_said(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 2);
    run(5 * S);
    x.dumb = true;
    mlt_lines_server_shutdown(&x.lines, 0, x.now);
    run(25 * S);
    assert_int_equal(x.source_count, 0);
    mlt_lines_ended(&x.lines, 0, "silent", x.now);
    (void)mlt_lines_turn(&x.lines, x.now);
    assert_int_equal(x.source_count, 4);
    assert_string_equal(x.sources[0], "C000-USDT down silent");
    assert_string_equal(x.sources[1], "C001-USDT down silent");
    assert_string_equal(x.sources[2], "C000-USDT up subscribed");
    assert_string_equal(x.sources[3], "C001-USDT up subscribed");
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 2);
    assert_int_equal(named("c000usdt@trade")->seats[0].line, 1);
}

static void test_an_answer_that_lies_unread_is_waited_for(void **state)
{
    (void)state;
    start(1024, false);
    x.auto_ack = false;
    plan(0, "{symbol}@trade", 0, 1);
    run(300 * MS);
    assert_int_equal(x.sent_count, 1);
    mlt_lines_paused(&x.lines);
    run(2 * S);
    assert_int_equal(x.sent_count, 1);
    assert_int_equal(in_state(MLT_TOPIC_PENDING), 1);
    mlt_lines_resumed(&x.lines, x.now);
    x.auto_ack = true;
    run(100 * MS);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 1);
    assert_int_equal(x.lines.counters.no_acks, 0);
}

static void test_a_line_in_which_something_may_lie_is_not_closed(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 1);
    run(5 * S);
    mlt_lines_server_shutdown(&x.lines, 0, x.now);
    run(S);
    assert_int_equal(x.lines.counters.rollovers, 1);
    mlt_lines_paused(&x.lines);
    run(4 * S);
    assert_int_equal(x.closes, 0);
    mlt_lines_resumed(&x.lines, x.now);
    run(100 * MS);
    assert_int_equal(x.closes, 1);
}

/* Two seconds, where it is given up after 1.4: it is what the exchange did. */
static void test_an_acknowledgement_that_comes_late_counts(void **state)
{
    (void)state;
    start(1024, false);
    x.auto_ack = false;
    plan(0, "{symbol}@trade", 0, 2);
    run(2 * S);
    assert_int_equal(in_state(MLT_TOPIC_FAILED), 2);
    mlt_lines_answer(&x.lines, 0, true, x.sent[0].id, NULL, x.now);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 2);
    assert_int_equal(x.sources_started, 2);
    assert_int_equal(x.lines.counters.acks, 1);
    mlt_lines_answer(&x.lines, 0, true, x.sent[0].id, NULL, x.now); /* it was asked twice */
    assert_int_equal(x.lines.counters.unknown_acks, 1);
    const unsigned sent = x.sent_count;
    run(30 * S);
    assert_int_equal(x.sent_count, sent);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 2);
}

/* Nobody wants it any more by then: it is ended, and takes no place of the line for good. */
static void test_what_is_acknowledged_late_and_not_wanted_is_ended(void **state)
{
    (void)state;
    start(1024, false);
    x.auto_ack = false;
    plan(0, "{symbol}@trade", 0, 2);
    run(2 * S);
    plan(0, "{symbol}@trade", 0, 1);
    mlt_lines_answer(&x.lines, 0, true, x.sent[0].id, NULL, x.now);
    x.auto_ack = true;
    run(2 * S);
    const struct sent *last = &x.sent[x.sent_count - 1];
    assert_false(last->subscribe);
    assert_non_null(strstr(last->text, "c001usdt@trade"));
    assert_null(named("c001usdt@trade"));
}

/* Nor is it where no answer comes at all. */
static void test_what_was_never_answered_and_is_not_wanted_is_ended(void **state)
{
    (void)state;
    start(1024, false);
    x.auto_ack = false;
    plan(0, "{symbol}@trade", 0, 2);
    run(2 * S);
    plan(0, "{symbol}@trade", 0, 1);
    run(20 * S);
    bool ended = false;
    for (unsigned i = 0; i < x.sent_count; i++) {
        ended = ended || (!x.sent[i].subscribe && strstr(x.sent[i].text, "c001usdt@trade") != NULL);
    }
    assert_true(ended);
    assert_non_null(named("c001usdt@trade"));
    x.auto_ack = true;
    run(20 * S);
    assert_null(named("c001usdt@trade"));
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 1);
}

static void test_what_the_new_line_refuses_is_down_once_the_old_one_goes(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 1);
    run(5 * S);
    x.now += 23 * HOUR;
    x.auto_ack = false;
    const unsigned before = x.sent_count;
    (void)mlt_lines_turn(&x.lines, x.now);
    run(500 * MS);
    for (unsigned refusal = 0; refusal < 2; refusal++) { /* it was accepted once: asked again */
        assert_int_equal(x.sent_count, before + refusal + 1);
        assert_int_equal(x.lines.counters.rollovers, 0);
        assert_int_equal(x.source_count, 0);
        mlt_lines_answer(&x.lines, x.sent[before + refusal].line, false, 0,
                         "Invalid request: invalid stream", x.now);
        run(60 * S + 500 * MS);
    }
    assert_int_equal(x.lines.counters.rollovers, 1);
    assert_int_equal(in_state(MLT_TOPIC_FAILED), 1);
    assert_int_equal(x.source_count, 1);
    assert_string_equal(x.sources[0], "C000-USDT down refused");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rollover_before_the_cut_has_no_hole),
        TEST(test_old_line_that_dies_in_the_hand_over_costs_only_what_was_not_taken),
        TEST(test_a_hand_over_waits_for_a_word_of_the_old_line),
        TEST(test_what_a_line_that_was_dead_did_not_bring_is_said),
        TEST(test_an_answer_that_lies_unread_is_waited_for),
        TEST(test_a_line_in_which_something_may_lie_is_not_closed),
        TEST(test_an_acknowledgement_that_comes_late_counts),
        TEST(test_what_is_acknowledged_late_and_not_wanted_is_ended),
        TEST(test_what_was_never_answered_and_is_not_wanted_is_ended),
        TEST(test_what_the_new_line_refuses_is_down_once_the_old_one_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
