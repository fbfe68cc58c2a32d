#include "mlt_test.h"

#include "lines_world.h"

/* What is said of an instrument's source, and what comes after refusals, by the exchange of
 * lines_world.h. */

static void answer_all(unsigned from, const char *error)
{
    for (unsigned i = from; i < x.sent_count; i++) {
        mlt_lines_answer(&x.lines, x.sent[i].line, true, x.sent[i].id, error, x.now);
    }
    x.acked = x.sent_count;
}

/* Two topics of one instrument that stand; then the line is cut and is back, unanswered. */
static void cut_with_two_topics(void)
{
    start(1024, false);
    struct plan *p = make_plan(0, 1, 7);
    (void)add_route(p, 1, "{symbol}@trade", 0, 1);
    (void)add_route(p, 2, "{symbol}@depth", 0, 1);
    assert_int_equal(mlt_topics_apply(&x.topics, &p->message, x.symbols), MLT_OK);
    free(p);
    mlt_lines_plan_changed(&x.lines, x.now);
    run(S);
    assert_int_equal(x.sources_started, 1);
    mlt_lines_ended(&x.lines, 0, "lost", x.now);
    assert_int_equal(x.source_count, 1);
    x.auto_ack = false;
    x.acked = x.sent_count;
    named("c000usdt@depth")->batch = 1; /* goes in a request of its own */
}

static void answer_to(const char *name, const char *error)
{
    mlt_lines_answer(&x.lines, 0, true, named(name)->seats[0].request, error, x.now);
}

static void test_source_is_up_only_when_all_its_topics_are(void **state)
{
    (void)state;
    cut_with_two_topics();
    run(S);
    const struct sent *last = &x.sent[x.sent_count - 1];
    mlt_lines_answer(&x.lines, last->line, true, last->id, NULL, x.now);
    assert_int_equal(x.source_count, 1);
    answer_all(0, NULL);
    assert_int_equal(x.source_count, 2);
    assert_string_equal(x.sources[1], "C000-USDT up subscribed");
}

static void test_source_is_not_up_while_a_topic_of_it_failed(void **state)
{
    (void)state;
    cut_with_two_topics();
    run(S);
    answer_to("c000usdt@trade", NULL);
    run(3 * S); /* depth is never answered */
    assert_int_equal(named("c000usdt@depth")->state, MLT_TOPIC_FAILED);
    assert_int_equal(named("c000usdt@trade")->state, MLT_TOPIC_LIVE);
    assert_int_equal(x.source_count, 1);
    x.auto_ack = true; /* it is asked for again 10 s later */
    x.acked = x.sent_count;
    run(11 * S);
    assert_int_equal(named("c000usdt@depth")->state, MLT_TOPIC_LIVE);
    assert_int_equal(x.source_count, 2);
    assert_string_equal(x.sources[1], "C000-USDT up subscribed");
}

/* Accepted once, its name is right: a refusal passes. */
static void test_what_was_accepted_once_is_asked_for_after_a_refusal(void **state)
{
    (void)state;
    cut_with_two_topics();
    run(S);
    answer_to("c000usdt@depth", "Too busy");
    answer_to("c000usdt@trade", NULL);
    assert_int_equal(named("c000usdt@depth")->state, MLT_TOPIC_FAILED);
    assert_int_equal(x.source_count, 1);
    x.auto_ack = true;
    x.acked = x.sent_count;
    const unsigned before = x.sent_count;
    run(59 * S);
    assert_int_equal(x.sent_count, before);
    run(3 * S);
    assert_int_equal(named("c000usdt@depth")->state, MLT_TOPIC_LIVE);
    assert_string_equal(x.sources[1], "C000-USDT up subscribed");
}

/* One that was never accepted, and never will be, keeps nobody down. */
static void test_a_topic_refused_for_good_does_not_keep_its_source_down(void **state)
{
    (void)state;
    start(1024, false);
    x.auto_ack = false;
    struct plan *p = make_plan(0, 1, 7);
    (void)add_route(p, 1, "{symbol}@trade", 0, 1);
    (void)add_route(p, 2, "{symbol}@nothing", 0, 1);
    assert_int_equal(mlt_topics_apply(&x.topics, &p->message, x.symbols), MLT_OK);
    free(p);
    named("c000usdt@nothing")->batch = 1;
    mlt_lines_plan_changed(&x.lines, x.now);
    run(S);
    answer_to("c000usdt@nothing", "Invalid request");
    answer_to("c000usdt@trade", NULL);
    assert_int_equal(x.sources_started, 1);
    mlt_lines_ended(&x.lines, 0, "lost", x.now);
    assert_int_equal(x.source_count, 1);
    x.auto_ack = true;
    x.acked = x.sent_count;
    run(6 * S);
    assert_int_equal(named("c000usdt@nothing")->state, MLT_TOPIC_FAILED);
    assert_int_equal(x.source_count, 2);
    assert_string_equal(x.sources[1], "C000-USDT up subscribed");
}

/* Subscribed once more since it is silent. */
static void remind(void)
{
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 2);
    run(5 * S);
    assert_true(mlt_topics_watch(&x.topics, x.now));
    x.auto_ack = false;
    x.acked = x.sent_count;
    assert_true(mlt_lines_remind(&x.lines, S, x.now));
    run(500 * MS);
    assert_int_equal(x.sent_count, 2);
    assert_int_equal(named("c001usdt@trade")->seats[0].state, MLT_SEAT_SUBSCRIBING);
    assert_int_equal(x.source_count, 0);
}

static void test_a_line_that_ends_while_a_reminder_is_out_is_told(void **state)
{
    (void)state;
    remind();
    mlt_lines_ended(&x.lines, 0, "closed", x.now);
    assert_int_equal(x.source_count, 2);
    assert_string_equal(x.sources[0], "C000-USDT down closed");
    x.auto_ack = true;
    x.acked = x.sent_count;
    run(6 * S);
    assert_int_equal(x.source_count, 4);
}

static void test_a_reminder_that_nobody_answers_is_told(void **state)
{
    (void)state;
    remind();
    run(2 * S);
    assert_int_equal(x.source_count, 2);
    assert_string_equal(x.sources[1], "C001-USDT down no_ack");
    mlt_lines_ended(&x.lines, 0, "silent", x.now); /* told once */
    assert_int_equal(x.source_count, 2);
    x.auto_ack = true;
    x.acked = x.sent_count;
    run(6 * S);
    assert_int_equal(x.source_count, 4);
    assert_string_equal(x.sources[3], "C001-USDT up subscribed");
}

/* A refusal of several names ends nothing: each is asked for alone, and stands meanwhile. */
static void test_a_refused_reminder_of_several_ends_nothing(void **state)
{
    (void)state;
    remind();
    answer_all(1, "Invalid request");
    assert_int_equal(x.source_count, 0);
    run(500 * MS);
    assert_int_equal(x.sent_count, 4);
    assert_int_equal(x.sent[2].names, 1);
    mlt_lines_answer(&x.lines, 0, true, x.sent[2].id, NULL, x.now);
    assert_int_equal(x.source_count, 0);
    mlt_lines_answer(&x.lines, 0, true, x.sent[3].id, "Invalid request", x.now);
    assert_int_equal(x.source_count, 1);
    assert_string_equal(x.sources[0], "C001-USDT down refused: Invalid request");
}

/* What the new line has not answered yet the old one still brings. */
static void test_a_hand_over_waits_for_what_is_asked_for_again(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 2);
    run(5 * S);
    x.auto_ack = false;
    x.acked = x.sent_count;
    mlt_lines_server_shutdown(&x.lines, 0, x.now);
    run(5 * S); /* not answered, twice */
    assert_true(named("c000usdt@trade")->seats[1].failed);
    assert_int_equal(named("c000usdt@trade")->seats[0].line, 0);
    assert_int_equal(x.closes, 0);
    x.auto_ack = true;
    x.acked = x.sent_count;
    run(10 * S);
    assert_int_equal(named("c000usdt@trade")->seats[0].line, 1);
    assert_int_equal(x.closes, 1);
    assert_int_equal(x.source_count, 0);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 2);
}

/* The exchange closes a line for what it refuses: once more after a minute, and then no more. */
static void test_what_is_refused_again_is_not_asked_for_any_more(void **state)
{
    (void)state;
    cut_with_two_topics();
    run(S);
    answer_to("c000usdt@depth", "Invalid request: invalid stream");
    mlt_lines_ended(&x.lines, 0, "closed", x.now);
    x.auto_ack = true;
    x.acked = x.sent_count;
    const unsigned before = x.sent_count;
    run(55 * S);
    for (unsigned i = before; i < x.sent_count; i++) {
        assert_null(strstr(x.sent[i].text, "depth"));
    }
    x.auto_ack = false;
    const unsigned after = x.sent_count;
    run(6 * S);
    assert_true(x.sent_count > after);
    assert_non_null(strstr(x.sent[after].text, "depth"));
    mlt_lines_answer(&x.lines, 0, true, x.sent[after].id, "Invalid request: invalid stream", x.now);
    mlt_lines_ended(&x.lines, 0, "closed", x.now);
    x.auto_ack = true;
    x.acked = x.sent_count;
    const unsigned last = x.sent_count;
    run(600 * S);
    for (unsigned i = last; i < x.sent_count; i++) {
        assert_null(strstr(x.sent[i].text, "depth"));
    }
    assert_int_equal(named("c000usdt@depth")->state, MLT_TOPIC_FAILED);
    assert_int_equal(named("c000usdt@trade")->state, MLT_TOPIC_LIVE);
}

/* What failed on the old line is as good as the rest once the new one has it. */
static void test_what_had_failed_stands_after_a_hand_over(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 1);
    x.auto_ack = false;
    run(3 * S);
    assert_int_equal(in_state(MLT_TOPIC_FAILED), 1);
    assert_int_equal(x.sources_started, 0);
    x.auto_ack = true;
    x.acked = x.sent_count;
    mlt_lines_server_shutdown(&x.lines, 0, x.now);
    run(5 * S);
    assert_int_equal(named("c000usdt@trade")->seats[0].line, 1);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 1);
    assert_int_equal(x.sources_started, 1);
}

/* Nobody knows whether a topic is brought whose UNSUBSCRIBE was not answered. */
static void test_source_is_not_up_while_a_topic_of_it_is_doubtful(void **state)
{
    (void)state;
    cut_with_two_topics();
    x.auto_ack = true;
    x.acked = x.sent_count;
    run(6 * S);
    assert_int_equal(x.source_count, 2);
    x.auto_ack = false;
    x.acked = x.sent_count;
    plan(0, "{symbol}@depth", 0, 1); /* trade is unsubscribed, and that is not answered */
    run(S);
    assert_int_equal(named("c000usdt@trade")->seats[0].state, MLT_SEAT_UNSUBSCRIBING);
    struct mlt_topic_instrument *instrument = named("c000usdt@trade")->instrument;
    struct plan *p = make_plan(0, 3, 7);
    (void)add_route(p, 1, "{symbol}@trade", 0, 1);
    (void)add_route(p, 2, "{symbol}@depth", 0, 1);
    assert_int_equal(mlt_topics_apply(&x.topics, &p->message, x.symbols), MLT_OK);
    free(p);
    mlt_lines_plan_changed(&x.lines, x.now);
    mlt_topics_look(&x.topics);
    assert_true(instrument->pending);
    run(S); /* and is given up */
    mlt_topics_look(&x.topics);
    assert_true(instrument->pending);
    x.auto_ack = true;
    run(2 * S);
    mlt_topics_look(&x.topics);
    assert_false(instrument->pending);
}

/* What is listed no more is asked for on no line, and no line waits for it. */
static void test_a_hand_over_does_not_wait_for_what_is_not_listed(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 2);
    run(5 * S);
    named("c001usdt@trade")->unlisted = true;
    mlt_lines_server_shutdown(&x.lines, 0, x.now);
    run(5 * S);
    assert_int_equal(named("c000usdt@trade")->seats[0].line, 1);
    assert_int_equal(x.closes, 1);
}

/* Its end was never asked for: nobody is to hear of it. */
static void test_what_is_wanted_again_in_a_hand_over_goes_along(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 2);
    run(5 * S);
    x.auto_open = false;
    plan(0, "{symbol}@trade", 0, 1);
    mlt_lines_server_shutdown(&x.lines, 0, x.now);
    plan(0, "{symbol}@trade", 0, 2);
    x.auto_open = true;
    run(5 * S);
    assert_int_equal(named("c001usdt@trade")->seats[0].line, 1);
    assert_int_equal(named("c001usdt@trade")->seats[0].state, MLT_SEAT_ON);
    assert_int_equal(x.source_count, 0);
    assert_int_equal(x.closes, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_source_is_up_only_when_all_its_topics_are),
        TEST(test_source_is_not_up_while_a_topic_of_it_failed),
        TEST(test_what_was_accepted_once_is_asked_for_after_a_refusal),
        TEST(test_a_topic_refused_for_good_does_not_keep_its_source_down),
        TEST(test_a_line_that_ends_while_a_reminder_is_out_is_told),
        TEST(test_a_reminder_that_nobody_answers_is_told),
        TEST(test_a_refused_reminder_of_several_ends_nothing),
        TEST(test_a_hand_over_waits_for_what_is_asked_for_again),
        TEST(test_what_is_refused_again_is_not_asked_for_any_more),
        TEST(test_what_had_failed_stands_after_a_hand_over),
        TEST(test_source_is_not_up_while_a_topic_of_it_is_doubtful),
        TEST(test_a_hand_over_does_not_wait_for_what_is_not_listed),
        TEST(test_what_is_wanted_again_in_a_hand_over_goes_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
