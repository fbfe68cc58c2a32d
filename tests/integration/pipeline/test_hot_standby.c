/*
 * Two Adapters under load, of which one stands by for the other
 * (docs/decisions/0021-hot-standby.md): killed with -9, told to end, stopped and continued, with a
 * line that is mute or hung up on, killed together with the Dispatcher, killed where the standby
 * has just begun. Judged as chaos judges, by three consumers who know every id that the exchange
 * gave, and by a line of the test's own for quotes: where the standby was warm nobody sees
 * anything, no STATUS but SOURCE_UP, no book that is not LIVE; where it was not, what may be lost
 * is said. One stack for all of it, since a standby is warm only after some seconds.
 */
#include "mlt_test.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "flow_judge.h"
#include "hot_rig.h"
#include "meltica/base/clock.h"

#define SYMBOLS HOT_WITNESS_SYMBOLS
#define READY_S 30
#define STOPPED_NS (3 * MLT_NS_PER_S)
#define SILENT_MS "8000" /* --ws-silence-ms */
#define SILENT_NS (8 * MLT_NS_PER_S)
#define HANGS_NS (2 * MLT_NS_PER_S) /* before a mute line ends */
#define MUTE_NS (5 * MLT_NS_PER_S)  /* beyond the margin of the cover rule */
/* Books are LIVE by what was received since a death: it is believed after 0.8 s. */
#define TAKEN_NS ((MLT_TEST_SANITIZED ? 15 : 8) * MLT_NS_PER_S)

static struct mlt_stack stack;
static struct flow_judge judge;
static struct hot_rig rig = { &stack, &judge.watch };
static char table_path[64];

/* ---- what is waited for ---- */

/* Asked under the lock of the consumer that waits, which flow_seen_now takes. */
static bool source_is_down(void *ctx)
{
    return chaos_group_told(&judge.group, MLT_STATUS_SOURCE_DOWN) > *(const uint64_t *)ctx;
}

/* ---- steps ---- */

/* After a step that failed nothing is as the next one wants it. */
static bool whole = true;

static int enter(void **state)
{
    (void)state;
    const bool go_on = whole;
    whole = false;
    return go_on ? 0 : -1;
}

struct death {
    const char *victim, *other;
    uint64_t partitions, covered, told; /* of the victim; that the other one took so far */
    struct flow_seen before;
};

static void count(struct death *d)
{
    d->partitions = hot_speaks(&rig, d->victim);
    d->covered = hot_taken(&rig, d->other, true);
    d->told = hot_taken(&rig, d->other, false);
    assert_true(d->partitions > 0);
}

static struct death about_to_die(const char *victim)
{
    struct death d = { .victim = victim, .other = hot_other(victim) };
    hot_await_firm(&rig, victim);
    count(&d);
    d.before = flow_seen_now(&judge);
    return d;
}

/* The other one has taken all of it, and can prove that nothing is lost. */
static void assert_covered(const struct death *d)
{
    hot_await_speaks_for_all(&rig, d->other);
    assert_int_equal(hot_taken(&rig, d->other, false), d->told);
    assert_int_equal(hot_taken(&rig, d->other, true), d->covered + d->partitions);
}

/* Nothing of a book came for longer than its deltas may be behind, while the snapshots of the table
 * showed that the exchange goes on: it was STALE meanwhile, and that is no fault of the take-over.
 */
static void forgive_stale(struct flow_seen *before)
{
    const struct flow_seen now = flow_seen_now(&judge);
    for (size_t i = 0; i < FLOW_LOUD; i++) {
        before->kinds[i] = flow_loud[i] == MLT_STATUS_STALE ? now.kinds[i] : before->kinds[i];
    }
    before->unsure = now.unsure;
}

/* One that speaks dies, by signal 9 or 15, and the other one goes on without a word of it. */
static void lose_speaker(const char *what, const char *victim, bool killed)
{
    const struct death d = about_to_die(victim);
    const int64_t at_ns = mlt_clock_wall_ns();
    if (killed) {
        mlt_stack_kill(&stack, victim);
    } else {
        assert_int_equal(mlt_stack_terminate(&stack, victim), 0);
    }
    flow_await(&judge, what, killed ? at_ns : mlt_clock_wall_ns());
    const int64_t took_ns = mlt_clock_wall_ns() - at_ns;
    print_message("    %s: flows after %lld ms\n", what, (long long)(took_ns / MLT_NS_PER_MS));
    assert_true(took_ns < TAKEN_NS);
    assert_covered(&d);
    flow_assert_nothing_seen(&judge, what, &d.before);
    whole = true;
}

static void test_a_speaker_killed_nobody_sees_it(void **state)
{
    (void)state;
    lose_speaker("a speaker killed", "adapter", true);
}

static void test_a_standby_killed_nobody_sees_it(void **state)
{
    (void)state;
    mlt_stack_run(&stack, "adapter");
    hot_await_stands_by(&rig, "adapter");
    const struct flow_seen before = flow_seen_now(&judge);
    const int64_t at_ns = mlt_clock_wall_ns();
    mlt_stack_kill(&stack, "adapter");
    flow_await(&judge, "a standby killed", at_ns);
    flow_assert_nothing_seen(&judge, "a standby killed", &before);
    whole = true;
}

/* Of /readyz. */
struct page {
    const char *name, *words; /* words NULL: it is ready */
    struct mlt_buf text;
};

static bool page_says(void *ctx)
{
    struct page *page = ctx;
    mlt_buf_clear(&page->text);
    const bool ready = mlt_stack_try_get(&stack, page->name, "/readyz", &page->text);
    return page->words == NULL ? ready
                               : !ready && mlt_buf_append_byte(&page->text, 0) == MLT_OK &&
                                     strstr((const char *)page->text.data, page->words) != NULL;
}

static void await_page(const char *name, const char *words)
{
    struct page page = { .name = name, .words = words };
    mlt_buf_init(&page.text, 1u << 16);
    if (!mlt_consumer_wait(&judge.watch, page_says, &page, 90)) {
        fail_msg("%s: /readyz does not say \"%s\"", name, words != NULL ? words : "ready");
    }
    mlt_buf_fini(&page.text);
}

/* Nothing proves that it has what the other one had: what may be lost is said. */
static void test_a_speaker_killed_beside_one_that_began_is_told(void **state)
{
    (void)state;
    mlt_stack_run(&stack, "adapter");
    hot_await_stands_by(&rig, "adapter");
    await_page("adapter", "not warm yet"); /* whoever replaces them one by one waits for that */
    assert_true(hot_warm(&rig, "adapter") < HOT_PARTITIONS);
    const struct flow_seen before = flow_seen_now(&judge);
    const uint64_t lost = chaos_group_told(&judge.group, MLT_STATUS_LOST);
    const int64_t at_ns = mlt_clock_wall_ns();
    mlt_stack_kill(&stack, "adapter-2");
    flow_await(&judge, "a speaker killed, the standby cold", at_ns);
    hot_await_speaks_for_all(&rig, "adapter");
    assert_true(chaos_group_told(&judge.group, MLT_STATUS_LOST) >= lost + CHAOS_CONSUMERS);
    assert_true(hot_taken(&rig, "adapter", false) > 0);
    assert_int_equal(flow_seen_now(&judge).silent, before.silent);
    whole = true;
}

static void test_a_speaker_told_to_end_nobody_sees_it(void **state)
{
    (void)state;
    mlt_stack_run(&stack, "adapter-2");
    lose_speaker("a speaker told to end", "adapter", false);
    assert_true(mlt_stack_metric(&stack, "adapter-2", "meltica_adapter_takeovers_total",
                                 "reason=\"released\"") > 0);
}

/* What it has in its socket and says late has an epoch that nobody hears any more. */
static void test_a_speaker_stopped_and_continued_stands_by(void **state)
{
    (void)state;
    mlt_stack_run(&stack, "adapter");
    await_page("adapter", NULL);
    const char *sleeper = "adapter-2", *other = hot_other(sleeper);
    hot_await_firm(&rig, sleeper);
    const struct flow_seen before = flow_seen_now(&judge);
    const int64_t at_ns = mlt_clock_wall_ns();
    assert_int_equal(kill(mlt_stack_pid(&stack, sleeper), SIGSTOP), 0);
    flow_await(&judge, "a speaker stopped", at_ns);
    hot_await_speaks_for_all(&rig, other);
    hot_pass_time(&rig, at_ns + STOPPED_NS - mlt_clock_wall_ns());
    assert_int_equal(kill(mlt_stack_pid(&stack, sleeper), SIGCONT), 0);
    const int64_t awake_ns = mlt_clock_wall_ns();
    hot_await_stands_by(&rig, sleeper);
    flow_await(&judge, "it continued", awake_ns);
    flow_assert_nothing_seen(&judge, "a speaker stopped", &before);
    assert_int_equal(hot_speaks(&rig, other), HOT_PARTITIONS);
    whole = true;
}

/* What its line should have brought meanwhile the standby has, if it begins early enough: by as
 * much as the one that dies says that its line has been quiet for. */
static void test_a_speaker_whose_line_is_mute_is_killed_nobody_sees_it(void **state)
{
    (void)state;
    struct death d = about_to_die("adapter"); /* started last: its line is the newest one */
    hot_tell_exchange(&rig, "/sim/half-open?newest=1");
    hot_pass_time(&rig, MUTE_NS);
    count(&d); /* a machine that kept one of them from its beats has given all to the other */
    const int64_t at_ns = mlt_clock_wall_ns();
    mlt_stack_kill(&stack, "adapter");
    flow_await(&judge, "a speaker with a mute line killed", at_ns);
    assert_covered(&d);
    forgive_stale(&d.before);
    flow_assert_nothing_seen(&judge, "a speaker with a mute line killed", &d.before);
    whole = true;
}

/* Ten seconds after it lost them, and as soon as it has all that the other one has. */
static void test_each_has_its_own_back_and_nobody_sees_it(void **state)
{
    (void)state;
    mlt_stack_run(&stack, "adapter");
    const struct flow_seen before = flow_seen_now(&judge);
    hot_await_home(&rig);
    flow_await(&judge, "each has its own back", mlt_clock_wall_ns());
    flow_assert_nothing_seen(&judge, "each has its own back", &before);
    whole = true;
}

/* What its line would have brought was said by SOURCE_DOWN: the standby, whose line is up, has to
 * say no more. */
static void test_a_speaker_hung_up_on_and_killed_is_no_silent_hole(void **state)
{
    (void)state;
    const char *newest = "adapter"; /* started last: its line is the newest one */
    const char *other = hot_other(newest);
    hot_await_speaks_warm(&rig, newest);
    const struct flow_seen before = flow_seen_now(&judge);
    uint64_t down = chaos_group_told(&judge.group, MLT_STATUS_SOURCE_DOWN);
    const int64_t at_ns = mlt_clock_wall_ns();
    hot_tell_exchange(&rig, "/sim/end-lines?code=0&newest=1");
    assert_true(mlt_consumer_wait(&judge.watch, source_is_down, &down, FLOW_LIVE_S));
    mlt_stack_kill(&stack, newest);
    flow_await(&judge, "a speaker hung up on and killed", at_ns);
    hot_await_speaks_for_all(&rig, other);
    assert_int_equal(flow_seen_now(&judge).silent, before.silent);
    whole = true;
}

/* The standby knows of no Dispatcher but the one that died, or of one that its neighbour did not
 * know: covered or told, and nothing silent. */
static void test_speaker_and_dispatcher_killed_together_is_no_silent_hole(void **state)
{
    (void)state;
    mlt_stack_run(&stack, "adapter");
    const char *victim = "adapter-2";
    hot_await_speaks_warm(&rig, victim);
    const struct flow_seen before = flow_seen_now(&judge);
    mlt_stack_kill(&stack, victim);
    mlt_stack_kill(&stack, "dispatcher");
    mlt_stack_run(&stack, "dispatcher");
    flow_await(&judge, "speaker and Dispatcher killed", mlt_clock_wall_ns());
    hot_await_speaks_for_all(&rig, hot_other(victim));
    assert_int_equal(flow_seen_now(&judge).silent, before.silent);
    mlt_stack_run(&stack, victim);
    whole = true;
}

/* The Dispatcher has taken nothing for longer than the margin when it dies, too: the standby begins
 * with what was not acknowledged to the one that died. */
static void test_a_speaker_killed_whose_dispatcher_hung_nobody_sees_it(void **state)
{
    (void)state;
    const struct death d = about_to_die("adapter");
    assert_int_equal(kill(mlt_stack_pid(&stack, "dispatcher"), SIGSTOP), 0);
    hot_pass_time(&rig, MUTE_NS);
    mlt_stack_kill(&stack, "dispatcher");
    mlt_stack_kill(&stack, "adapter");
    assert_covered(&d);
    mlt_stack_run(&stack, "dispatcher");
    struct flow_seen before = d.before;
    flow_await(&judge, "a speaker killed whose Dispatcher hung", mlt_clock_wall_ns());
    forgive_stale(&before);
    flow_assert_nothing_seen(&judge, "a speaker killed whose Dispatcher hung", &before);
    whole = true;
}

/* The line was mute, and by the time that its end is said nobody takes anything any more: what it
 * should have brought is the standby's to bring, or to be said to be lost. */
static void test_a_mute_line_that_ended_unheard_is_no_hidden_hole(void **state)
{
    (void)state;
    mlt_stack_run(&stack, "adapter");
    hot_await_home(&rig);
    const struct death d = about_to_die("adapter");
    const uint64_t lost_before = chaos_group_told(&judge.group, MLT_STATUS_LOST);
    hot_tell_exchange(&rig, "/sim/half-open?newest=1");
    hot_pass_time(&rig, SILENT_NS - HANGS_NS);
    assert_int_equal(kill(mlt_stack_pid(&stack, "dispatcher"), SIGSTOP), 0);
    hot_pass_time(&rig, HANGS_NS + 3 * MLT_NS_PER_S / 2);
    mlt_stack_kill(&stack, "dispatcher");
    mlt_stack_kill(&stack, "adapter");
    hot_await_speaks_for_all(&rig, d.other);
    mlt_stack_run(&stack, "dispatcher");
    flow_await(&judge, "a mute line that ended unheard", mlt_clock_wall_ns());
    const uint64_t missing =
        hot_witness_missing(&judge.witness, &d.before.quotes, &judge.at.quotes);
    const uint64_t lost = chaos_group_told(&judge.group, MLT_STATUS_LOST) - lost_before;
    print_message("    %" PRIu64 " quotes are missing, LOST was told %" PRIu64 " times\n", missing,
                  lost);
    assert_true(missing == 0 || lost >= CHAOS_CONSUMERS);
    assert_int_equal(flow_seen_now(&judge).silent, d.before.silent);
    mlt_stack_run(&stack, "adapter");
    whole = true;
}

/* ---- the whole ---- */

static int begin(void **state)
{
    (void)state;
    /* The market stands still for a line that takes nothing: of this many, sockets hold what comes
     * while a process is stopped. */
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "6", "--rate", "500", "--seed", "11", "--levels",
                      "300", "--weight-limit", "60000" },
        .adapter = { HOT_FIRST, "--ws-silence-ms", SILENT_MS },
        .second_adapter = { HOT_SECOND, "--ws-silence-ms", SILENT_MS },
        .table = table_path,
    };
    hot_make_table(table_path, hot_table);
    mlt_stack_start(&stack, &options);
    flow_judge_init(&judge, &stack, SYMBOLS);
    flow_judge_listen(&judge);
    mlt_stack_run_services(&stack);
    flow_judge_subscribe(&judge, READY_S);
    hot_await_home(&rig); /* where one of them began late, the other one has all */
    flow_judge_witness(&judge);
    return 0;
}

/* Every id that the exchange gave came once, or was said to be missing; no book was wrong. */
static void test_in_the_end_all_is_there_or_was_said_to_be_missing(void **state)
{
    (void)state;
    flow_judge_end(&judge);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(mlt_stack_terminate(&stack, i == 0 ? "adapter" : "adapter-2"), 0);
    }
    flow_judge_verdict(&judge, 10000);
    mlt_stack_stop(&stack);
    flow_judge_free(&judge);
    (void)unlink(table_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_speaker_killed_nobody_sees_it, enter),
        cmocka_unit_test_setup(test_a_standby_killed_nobody_sees_it, enter),
        cmocka_unit_test_setup(test_a_speaker_killed_beside_one_that_began_is_told, enter),
        cmocka_unit_test_setup(test_a_speaker_told_to_end_nobody_sees_it, enter),
        cmocka_unit_test_setup(test_a_speaker_stopped_and_continued_stands_by, enter),
        cmocka_unit_test_setup(test_a_speaker_whose_line_is_mute_is_killed_nobody_sees_it, enter),
        cmocka_unit_test_setup(test_each_has_its_own_back_and_nobody_sees_it, enter),
        cmocka_unit_test_setup(test_a_speaker_hung_up_on_and_killed_is_no_silent_hole, enter),
        cmocka_unit_test_setup(test_speaker_and_dispatcher_killed_together_is_no_silent_hole,
                               enter),
        cmocka_unit_test_setup(test_a_speaker_killed_whose_dispatcher_hung_nobody_sees_it, enter),
        cmocka_unit_test_setup(test_a_mute_line_that_ended_unheard_is_no_hidden_hole, enter),
        cmocka_unit_test_setup(test_in_the_end_all_is_there_or_was_said_to_be_missing, enter),
    };
    return mlt_stack_verdict(cmocka_run_group_tests_name("hot standby", tests, begin, NULL));
}
