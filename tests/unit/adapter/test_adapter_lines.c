#include "mlt_test.h"

#include "lines_world.h"

static void test_subscribes_and_is_acknowledged(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 2);
    x.auto_ack = false;
    run(S);
    assert_int_equal(x.connects, 1);
    assert_int_equal(x.sent_count, 2); /* the second is the repeat after 700 ms */
    assert_string_equal(x.sent[0].text, "{\"method\":\"SUBSCRIBE\",\"params\":[\"c000usdt@trade\","
                                        "\"c001usdt@trade\"],\"id\":1}");
    assert_int_equal(in_state(MLT_TOPIC_PENDING), 2);
    assert_int_equal(x.sources_started, 0);
    mlt_lines_answer(&x.lines, x.sent[0].line, true, 1, NULL, x.now);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 2);
    assert_true(mlt_lines_take_changed(&x.lines));
    run(30 * S);
    assert_int_equal(x.sent_count, 2);
    assert_int_equal(x.source_count, 0);
    assert_int_equal(x.sources_started, 2); /* an Adapter before may have said that they are down */
}

static void test_missing_ack_is_asked_once_more_then_reported(void **state)
{
    (void)state;
    start(1024, false);
    x.auto_ack = false;
    plan(0, "{symbol}@trade", 0, 1);
    run(2 * S);
    assert_int_equal(x.sent_count, 2);
    assert_int_equal(x.sent[1].id, x.sent[0].id);
    assert_int_equal(x.sent[1].at - x.sent[0].at, 700 * MS);
    assert_int_equal(named("c000usdt@trade")->state, MLT_TOPIC_FAILED);
    assert_string_equal(named("c000usdt@trade")->reason, "no_ack");
    run(8 * S);
    assert_int_equal(x.sent_count, 2);
    x.auto_ack = true;
    x.acked = x.sent_count;
    run(5 * S); /* asked again after retry_ns */
    assert_int_equal(x.sent_count, 3);
    assert_int_equal(named("c000usdt@trade")->state, MLT_TOPIC_LIVE);
}

/* An ack proves nothing: what stays silent is subscribed again, less and less often. */
static void test_silent_topic_is_subscribed_again_until_it_speaks(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 2);
    run(5 * S);
    assert_int_equal(x.sent_count, 1);
    see("c000usdt@trade");
    assert_true(mlt_topics_watch(&x.topics, x.now));
    const struct mlt_topic *silent = named("c001usdt@trade");
    int64_t since = x.now;
    for (unsigned round = 1; round <= 3; round++) { /* 10 s, 20 s, 40 s after the ack */
        while (x.sent_count == round) {
            (void)mlt_lines_remind(&x.lines, 10 * S, x.now);
            run(S);
            assert_true(x.now < since + 60 * S);
        }
        assert_int_equal(x.sent_count, 1 + round);
        assert_int_equal(x.sent[round].names, 1);
        assert_true(x.sent[round].subscribe);
        assert_non_null(strstr(x.sent[round].text, "c001usdt@trade"));
        assert_true(x.sent[round].at - silent->acked_at_ns <= S);
        assert_int_equal(silent->state, MLT_TOPIC_SILENT); /* that ack proves nothing either */
        const int64_t waited = x.sent[round].at - x.sent[round - 1].at;
        assert_true(waited >= (10 << (round - 1)) * S && waited <= ((10 << (round - 1)) + 6) * S);
        since = x.now;
    }
    see("c001usdt@trade");
    assert_int_equal(silent->state, MLT_TOPIC_LIVE);
    assert_false(mlt_lines_remind(&x.lines, 10 * S, x.now + HOUR));
    run(10 * S);
    assert_int_equal(x.sent_count, 4);
    assert_int_equal(x.source_count, 0);
}

static void test_halted_or_unwanted_topics_are_not_subscribed_again(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 998, 2); /* c999 is in BREAK */
    run(5 * S);
    (void)mlt_topics_watch(&x.topics, x.now);
    struct plan *none = make_plan(0, 2, 7);
    assert_int_equal(mlt_topics_apply(&x.topics, &none->message, x.symbols), MLT_OK);
    free(none);
    assert_false(mlt_lines_remind(&x.lines, S, x.now + HOUR));
    assert_int_equal(x.lines.counters.reminders, 0);
    plan(0, "{symbol}@trade", 999, 1);
    assert_false(mlt_lines_remind(&x.lines, S, x.now + HOUR));
    assert_int_equal(x.lines.counters.reminders, 0);
}

static void test_data_before_the_ack_makes_it_live(void **state)
{
    (void)state;
    start(1024, false);
    x.auto_ack = false;
    plan(0, "{symbol}@trade", 0, 1);
    run(100 * MS);
    see("c000usdt@trade");
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 1);
    mlt_lines_answer(&x.lines, x.sent[0].line, true, x.sent[0].id, NULL, x.now);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 1);
}

static void test_shards_leave_a_tenth_free_and_batch_by_two_hundred(void **state)
{
    (void)state;
    start(100, true);
    plan(0, "{symbol}@trade", 0, 250);
    run(20 * S);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 250);
    unsigned used = 0, empty = 0;
    for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
        if (x.lines.lines[n].state == MLT_LINE_UP) {
            assert_true(x.lines.lines[n].topics <= 90);
            used += x.lines.lines[n].topics > 0 ? 1u : 0u;
            empty += x.lines.lines[n].topics == 0 ? 1u : 0u;
        }
    }
    assert_int_equal(used, 3);
    assert_int_equal(empty, 1);
    plan(0, "{symbol}@trade", 0, 0);
    run(20 * S);
    assert_int_equal(x.topics.count, 0);
    assert_int_equal(mlt_lines_up_count(&x.lines), 1); /* the spare one */
}

static void test_names_of_one_request_are_bounded(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 900);
    run(10 * S);
    unsigned names = 0;
    for (unsigned i = 0; i < x.sent_count; i++) {
        assert_true(x.sent[i].names <= 200);
        names += x.sent[i].names;
    }
    assert_int_equal(names, 900);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 900);
}

/* Plans that change all the time, and pongs: no second of any line holds more than five messages,
 * and never more than four of ours. */
static void test_pace_holds_in_every_second(void **state)
{
    (void)state;
    start(1024, false);
    static int64_t pongs[64];
    unsigned pong_count = 0;
    for (unsigned round = 0; round < 120; round++) {
        plan(round % 4, "{symbol}@trade", (round * 37) % 500, 60 + round % 40);
        run(130 * MS);
        if (round % 30 == 0) {
            pongs[pong_count++] = x.now;
            for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
                (void)mlt_lines_pong(&x.lines, n, x.now);
            }
        }
    }
    run(10 * S);
    assert_true(x.sent_count > 20);
    for (unsigned i = 0; i < x.sent_count; i++) {
        unsigned own = 0, all = 0;
        for (unsigned j = 0; j < x.sent_count; j++) {
            own += x.sent[j].line == x.sent[i].line && x.sent[j].at >= x.sent[i].at &&
                           x.sent[j].at < x.sent[i].at + S
                       ? 1u
                       : 0u;
        }
        for (unsigned j = 0; j < pong_count; j++) {
            all += pongs[j] >= x.sent[i].at && pongs[j] < x.sent[i].at + S ? 1u : 0u;
        }
        assert_true(own <= 4);
        assert_true(own + all <= 5);
    }
    assert_int_equal(in_state(MLT_TOPIC_PENDING), 0);
}

/* What a busy host or a network holds back the exchange reads at once: it must not be more than it
 * allows in a second, however long that took. */
static void test_pace_holds_where_it_is_read(void **state)
{
    (void)state;
    start(1024, false);
    for (unsigned round = 0; round < 150; round++) {
        x.auto_ack = round % 15 < 7 || round < 15; /* held for 1.04 s, then for the pace of it */
        plan(round % 4, "{symbol}@trade", (round * 37) % 500, 60 + round % 40);
        run(130 * MS);
    }
    x.auto_ack = true;
    run(10 * S);
    assert_true(x.sent_count > 20);
    for (unsigned i = 0; i < x.sent_count; i++) {
        unsigned read = 0;
        for (unsigned j = 0; j < x.sent_count; j++) {
            read += x.sent[j].line == x.sent[i].line && x.sent[j].read >= x.sent[i].read &&
                            x.sent[j].read < x.sent[i].read + S
                        ? 1u
                        : 0u;
        }
        assert_true(read <= 4);
    }
    assert_int_equal(in_state(MLT_TOPIC_PENDING), 0);
}

static void test_changes_are_gathered_and_pairs_cancelled(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 1);
    run(2 * S);
    const unsigned before = x.sent_count;
    plan(0, "{symbol}@trade", 0, 5);
    run(50 * MS);
    plan(0, "{symbol}@trade", 0, 3);
    run(50 * MS);
    plan(0, "{symbol}@trade", 1, 3); /* 0 goes, 1 to 3 come */
    assert_int_equal(x.sent_count, before);
    run(S);
    assert_int_equal(x.sent_count, before + 2);
    assert_true(x.sent[before].subscribe); /* subscribe before unsubscribe */
    assert_int_equal(x.sent[before].names, 3);
    assert_false(x.sent[before + 1].subscribe);
    assert_int_equal(x.sent[before + 1].names, 1);
    assert_true(x.sent[before].at - (x.now - S) <= 150 * MS); /* 200 ms after the first change */
    assert_int_equal(x.topics.count, 3);
}

static void test_refused_name_is_found_and_the_others_live(void **state)
{
    (void)state;
    start(1024, false);
    x.auto_ack = false;
    plan(0, "{symbol}@trade", 0, 40);
    unsigned seen = 0;
    for (unsigned i = 0; i < 400; i++) {
        run(100 * MS);
        for (; seen < x.sent_count; seen++) {
            const struct sent *sent = &x.sent[seen];
            bool bad = false;
            for (size_t t = 0; t < x.topics.count; t++) {
                const struct mlt_topic *topic = x.topics.items[t];
                bad = bad || (topic->seats[0].request == sent->id &&
                              strcmp(topic->name, "c023usdt@trade") == 0);
            }
            mlt_lines_answer(&x.lines, sent->line, !bad, bad ? 0 : sent->id,
                             bad ? "Invalid request: invalid stream" : NULL, x.now);
            if (bad) { /* and the exchange closes */
                mlt_lines_ended(&x.lines, sent->line, "closed", x.now);
                seen++;
                break;
            }
        }
    }
    assert_int_equal(in_state(MLT_TOPIC_FAILED), 1);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 39);
    assert_string_equal(named("c023usdt@trade")->reason,
                        "refused: Invalid request: invalid stream");
    const unsigned connects = x.connects;
    x.auto_ack = true;
    x.acked = x.sent_count;
    run(120 * S);
    assert_int_equal(x.connects, connects); /* it is not tried for ever */
}

static void test_line_that_ends_is_down_then_up(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 2);
    run(20 * S);
    const unsigned before = x.sent_count;
    mlt_lines_ended(&x.lines, 0, "closed", x.now);
    assert_int_equal(x.source_count, 2);
    assert_string_equal(x.sources[0], "C000-USDT down closed");
    assert_int_equal(in_state(MLT_TOPIC_PENDING), 2);
    run(6 * S);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 2);
    assert_int_equal(x.sent_count, before + 1);
    assert_int_equal(x.source_count, 4);
    assert_string_equal(x.sources[2], "C000-USDT up subscribed");
}

static void test_spare_line_takes_over_at_once(void **state)
{
    (void)state;
    start(1024, true);
    plan(0, "{symbol}@trade", 0, 3);
    run(5 * S);
    const uint32_t used = named("c000usdt@trade")->seats[0].line;
    const int64_t cut = x.now;
    const unsigned before = x.sent_count;
    mlt_lines_ended(&x.lines, used, "closed", x.now);
    x.auto_open = false; /* no new connection comes up */
    run(S);
    assert_true(named("c000usdt@trade")->seats[0].line != used);
    assert_int_equal(x.sent_count, before + 1);
    assert_int_equal(x.sent[before].at, cut);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 3);
}

/* Cuts the only line each `up_ns`, so many times; how many attempts there were in any 5 minutes.
 * *longest: the last wait of all. */
static unsigned flap(unsigned cuts, int64_t up_ns, int64_t *longest)
{
    static int64_t attempts[2000];
    unsigned most = 0, from = 0;
    *longest = 0;
    for (unsigned n = 0; n < cuts; n++) {
        x.source_count = x.sent_count = x.acked = 0;
        run(up_ns);
        assert_int_equal(x.lines.lines[0].state, MLT_LINE_UP);
        mlt_lines_ended(&x.lines, 0, "lost", x.now);
        const int64_t wait = x.lines.lines[0].retry_at_ns - x.now;
        *longest = wait > *longest ? wait : *longest;
        run(wait > 0 ? wait + MS : MS);
        attempts[n] = x.now;
        while (attempts[n] - attempts[from] >= 300 * S) {
            from++;
        }
        most = n - from + 1 > most ? n - from + 1 : most;
    }
    return most;
}

/* 45 lines, for half an hour, that are refused, or that come up and end at once: most attempts in
 * any 5 minutes. */
static unsigned most_attempts(uint32_t ours, bool refused)
{
    static int64_t attempts[10000];
    unsigned count = 0, most = 0, from = 0;
    start_with(10, true, ours);
    x.refuse = refused;
    plan(0, "{symbol}@trade", 0, 400);
    const int64_t end = x.now + 1800 * S;
    while (x.now < end) {
        const unsigned before = x.connects;
        const int64_t next = mlt_lines_turn(&x.lines, x.now);
        for (unsigned i = before; i < x.connects; i++) {
            attempts[count++] = x.now;
        }
        for (uint32_t n = 0; n < MLT_LINES_MAX && !refused; n++) {
            if (x.connecting[n]) {
                x.connecting[n] = false;
                mlt_lines_opened(&x.lines, n, x.now);
                mlt_lines_ended(&x.lines, n, "lost", x.now);
            }
        }
        assert_int_equal(x.lines.counters.attempts, x.connects);
        assert_true(mlt_lines_attempts_used(&x.lines, x.now) <= ours);
        assert_true(next != MLT_LINES_NEVER || !refused);
        x.now = next > x.now && next != MLT_LINES_NEVER ? next : x.now + MS;
    }
    for (unsigned n = 0; n < count; n++) {
        while (attempts[n] - attempts[from] >= 300 * S) {
            from++;
        }
        most = n - from + 1 > most ? n - from + 1 : most;
    }
    assert_true(count > 3 * ours - 30); /* never gives up */
    assert_int_equal(x.lines.counters.attempts_held > 0, !refused);
    return most;
}

static void test_attempts_stay_below_the_exchanges_limit(void **state)
{
    (void)state;
    /* The exchange refuses the 300th. */
    assert_int_equal(most_attempts(MLT_LINE_ATTEMPTS_MAX, false), 240);
}

static void test_attempts_of_one_that_shares_the_address_stay_in_its_part(void **state)
{
    (void)state;
    assert_int_equal(most_attempts(MLT_LINE_ATTEMPTS_MAX / 7, false), 34);
}

static void test_an_exchange_that_is_away_is_probed_with_three_quarters_of_them(void **state)
{
    (void)state;
    const unsigned most = most_attempts(MLT_LINE_ATTEMPTS_MAX / 2, true);
    assert_true(most >= 80 && most <= 92);
}

/* Whenever it is there again: one line within 5 s, and 5 s later all of them, though they are many.
 */
static void test_an_exchange_that_was_away_has_all_lines_soon(void **state)
{
    (void)state;
    start_with(12, true, MLT_LINE_ATTEMPTS_MAX / 2);
    plan(0, "{symbol}@trade", 0, 190); /* 18 lines and the spare */
    run(5 * S);
    assert_int_equal(mlt_lines_up_count(&x.lines), 19);
    for (int64_t away_ns = 15 * S; away_ns < 1200 * S; away_ns += 77 * S) {
        x.refuse = true;
        x.source_count = x.sent_count = x.acked = 0;
        for (uint32_t n = 0; n < MLT_LINES_MAX; n++) {
            mlt_lines_ended(&x.lines, n, "lost", x.now);
            (void)mlt_lines_turn(&x.lines, x.now);
            x.source_count = 0;
        }
        run(away_ns);
        x.refuse = false;
        const int64_t again = x.now;
        while (mlt_lines_up_count(&x.lines) == 0) {
            run(100 * MS);
        }
        assert_true(x.now - again <= 5 * S + 200 * MS);
        run(5 * S);
        assert_int_equal(mlt_lines_up_count(&x.lines), 19);
        x.source_count = 0;
        run(600 * S); /* all attempts are ours again */
    }
    assert_int_equal(x.lines.counters.attempts_held, 0);
}

static void test_attempts_are_ours_again_after_five_minutes(void **state)
{
    (void)state;
    int64_t longest = 0;
    start_with(1024, false, 3);
    plan(0, "{symbol}@trade", 0, 2);
    (void)flap(2, S, &longest);
    assert_int_equal(mlt_lines_attempts_used(&x.lines, x.now), 3);
    const int64_t first = x.lines.attempts_ns[0];
    mlt_lines_ended(&x.lines, 0, "lost", x.now);
    run(300 * S - (x.now - first) - MS);
    assert_int_equal(x.lines.lines[0].state, MLT_LINE_WAITING);
    assert_int_equal(x.lines.counters.attempts_held, 1);
    run(2 * MS);
    assert_int_equal(x.lines.lines[0].state, MLT_LINE_UP);
    assert_int_equal(mlt_lines_attempts_used(&x.lines, x.now), 3);
}

static void test_a_line_that_was_up_for_a_moment_comes_back_at_once(void **state)
{
    (void)state;
    int64_t longest = 0;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 2);
    (void)flap(50, 3 * S, &longest);
    assert_true(longest <= 250 * MS);
    (void)flap(6, S, &longest); /* too short: it waits longer each time */
    assert_true(longest > 500 * MS);
}

static void test_a_line_that_is_cut_again_and_again_waits_longer(void **state)
{
    (void)state;
    int64_t longest = 0;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 2);
    const unsigned most = flap(1000, 2010 * MS, &longest);
    assert_true(most < MLT_LINE_ATTEMPTS_MAX);
    assert_true(longest > S);
}

static void test_halted_symbol_is_silent_at_once(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 998, 2);
    run(S);
    assert_int_equal(named("c999usdt@trade")->state, MLT_TOPIC_SILENT);
    assert_string_equal(named("c999usdt@trade")->reason, "not_trading");
    see("c999usdt@trade");
    assert_int_equal(named("c999usdt@trade")->state, MLT_TOPIC_LIVE);
}

static void test_stop_closes_every_line(void **state)
{
    (void)state;
    start(100, true);
    plan(0, "{symbol}@trade", 0, 200);
    run(10 * S);
    mlt_lines_stop(&x.lines);
    deliver();
    assert_int_equal(mlt_lines_open_count(&x.lines), 0);
    assert_int_equal(mlt_lines_turn(&x.lines, x.now), MLT_LINES_NEVER);
}

/* ---- wanted again while it is unsubscribed ---- */

/* A topic that sends, and the UNSUBSCRIBE of it that the exchange has carried out and not answered.
 */
static void unsubscribe(void)
{
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 2);
    run(5 * S);
    mlt_lines_seen(&x.lines, named("c001usdt@trade"), 0);
    x.auto_ack = false;
    x.acked = x.sent_count;
    plan(0, "{symbol}@trade", 0, 1);
    run(S / 2);
    assert_int_equal(x.sent_count, 2);
    assert_false(x.sent[1].subscribe);
    assert_int_equal(named("c001usdt@trade")->seats[0].state, MLT_SEAT_UNSUBSCRIBING);
}

static void expect_subscribed_once_more(unsigned at)
{
    assert_int_equal(x.sent_count, at + 1);
    assert_true(x.sent[at].subscribe);
    assert_non_null(strstr(x.sent[at].text, "c001usdt@trade"));
    assert_int_equal(in_state(MLT_TOPIC_PENDING), 1);
    mlt_lines_answer(&x.lines, 0, true, x.sent[at].id, NULL, x.now);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 2);
    assert_false(named("c001usdt@trade")->seen); /* so that its silence is seen */
    mlt_lines_seen(&x.lines, named("c001usdt@trade"), 0);
    assert_true(named("c001usdt@trade")->seen);
}

static void test_wanted_again_while_it_ends_is_pending_until_it_is_subscribed(void **state)
{
    (void)state;
    unsubscribe();
    plan(0, "{symbol}@trade", 0, 2);
    assert_int_equal(named("c001usdt@trade")->state, MLT_TOPIC_PENDING);
    mlt_lines_seen(&x.lines, named("c001usdt@trade"), 0); /* the last that it sent */
    assert_int_equal(named("c001usdt@trade")->state, MLT_TOPIC_PENDING);
    mlt_lines_answer(&x.lines, 0, true, x.sent[1].id, NULL, x.now);
    assert_int_equal(named("c001usdt@trade")->state, MLT_TOPIC_PENDING);
    run(S / 2);
    expect_subscribed_once_more(2);
}

static void test_wanted_again_before_an_unsubscribe_is_given_up(void **state)
{
    (void)state;
    unsubscribe();
    plan(0, "{symbol}@trade", 0, 2);
    run(3 * S / 2); /* asked twice, not answered */
    mlt_lines_seen(&x.lines, named("c001usdt@trade"), 0);
    expect_subscribed_once_more(3);
}

static void test_wanted_again_after_an_unsubscribe_was_given_up(void **state)
{
    (void)state;
    unsubscribe();
    run(2 * S);
    assert_int_equal(x.sent_count, 3);
    assert_int_equal(named("c001usdt@trade")->seats[0].state, MLT_SEAT_ON);
    plan(0, "{symbol}@trade", 0, 2);
    assert_int_equal(named("c001usdt@trade")->state, MLT_TOPIC_PENDING);
    run(S / 2);
    expect_subscribed_once_more(3);
}

/* What nobody asked to end goes on as it was. */
static void test_wanted_again_before_it_was_unsubscribed_is_live(void **state)
{
    (void)state;
    start(1024, false);
    plan(0, "{symbol}@trade", 0, 2);
    run(5 * S);
    plan(0, "{symbol}@trade", 0, 1);
    plan(0, "{symbol}@trade", 0, 2);
    assert_int_equal(in_state(MLT_TOPIC_LIVE), 2);
    run(5 * S);
    assert_int_equal(x.sent_count, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_subscribes_and_is_acknowledged),
        TEST(test_wanted_again_while_it_ends_is_pending_until_it_is_subscribed),
        TEST(test_wanted_again_before_an_unsubscribe_is_given_up),
        TEST(test_wanted_again_after_an_unsubscribe_was_given_up),
        TEST(test_wanted_again_before_it_was_unsubscribed_is_live),
        TEST(test_missing_ack_is_asked_once_more_then_reported),
        TEST(test_silent_topic_is_subscribed_again_until_it_speaks),
        TEST(test_halted_or_unwanted_topics_are_not_subscribed_again),
        TEST(test_data_before_the_ack_makes_it_live),
        TEST(test_shards_leave_a_tenth_free_and_batch_by_two_hundred),
        TEST(test_names_of_one_request_are_bounded),
        TEST(test_pace_holds_in_every_second),
        TEST(test_pace_holds_where_it_is_read),
        TEST(test_changes_are_gathered_and_pairs_cancelled),
        TEST(test_refused_name_is_found_and_the_others_live),
        TEST(test_line_that_ends_is_down_then_up),
        TEST(test_spare_line_takes_over_at_once),
        TEST(test_attempts_stay_below_the_exchanges_limit),
        TEST(test_attempts_of_one_that_shares_the_address_stay_in_its_part),
        TEST(test_attempts_are_ours_again_after_five_minutes),
        TEST(test_an_exchange_that_is_away_is_probed_with_three_quarters_of_them),
        TEST(test_an_exchange_that_was_away_has_all_lines_soon),
        TEST(test_a_line_that_was_up_for_a_moment_comes_back_at_once),
        TEST(test_a_line_that_is_cut_again_and_again_waits_longer),
        TEST(test_halted_symbol_is_silent_at_once),
        TEST(test_stop_closes_every_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
