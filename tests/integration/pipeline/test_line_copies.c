/*
 * Two lines for the same topics (docs/decisions/0022-line-copies.md): either of them cut, hung up
 * on, mute or replaced under flow, and nobody sees anything, no STATUS, no book that is not LIVE,
 * no id and no quote that is missing or comes twice; both cut, and that is said. Judged by what the
 * exchange knows. Then the same with the empty line that takes over, and beside a hot standby.
 */
#include "mlt_test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "flow_judge.h"
#include "hot_rig.h"
#include "meltica/base/clock.h"

#define SYMBOLS HOT_WITNESS_SYMBOLS
#define READY_S 30
#define WAIT_S 40
#define CUTS 8u
#define SILENCE_MS "8000" /* --ws-silence-ms */

/* One for each group; what one leaves behind is nothing to the next one. */
struct world {
    struct mlt_stack stack;
    struct flow_judge judge;
    struct hot_rig rig;
    char table_path[64];
    bool whole; /* after a step that failed nothing is as the next one wants it */
};
static struct world worlds[3], *w;

static int enter(void **state)
{
    (void)state;
    const bool go_on = w->whole;
    w->whole = false;
    return go_on ? 0 : -1;
}

static uint64_t metric(const char *adapter, const char *name)
{
    return mlt_stack_metric(&w->stack, adapter, name, "");
}

/* ---- what is waited for ---- */

/* The Adapter's figures are one look of a second at once. */
struct lines_wanted {
    const char *adapter;
    uint64_t ended, up; /* at least; exactly */
};

static bool lines_are(void *ctx)
{
    const struct lines_wanted *l = ctx;
    return metric(l->adapter, "meltica_adapter_line_ended_total") >= l->ended &&
           metric(l->adapter, "meltica_adapter_lines") == l->up &&
           metric(l->adapter, "meltica_adapter_topics_lacking_copies") == 0;
}

static void await_lines(const char *what, const struct lines_wanted *wanted)
{
    if (!mlt_consumer_wait(&w->judge.watch, lines_are, (void *)(uintptr_t)wanted, WAIT_S)) {
        fail_msg("%s: not %" PRIu64 " lines and two copies of each topic within %d s", what,
                 wanted->up, WAIT_S);
    }
}

struct told {
    enum mlt_status_kind kind;
    uint64_t more_than;
};

static bool is_told(void *ctx)
{
    const struct told *told = ctx;
    return chaos_group_told(&w->judge.group, told->kind) > told->more_than;
}

/* ---- steps ---- */

/* One of the two lines of `adapter` ends in the way of `path`, and nobody sees it. */
static void lose_a_line(const char *what, const char *adapter, const char *path, uint64_t up)
{
    struct lines_wanted lines = { .adapter = adapter, .up = up };
    await_lines(what, &lines);
    lines.ended = metric(adapter, "meltica_adapter_line_ended_total") + 1;
    const uint64_t covered = metric(adapter, "meltica_adapter_line_cuts_covered_total");
    const struct flow_seen before = flow_seen_now(&w->judge);
    hot_tell_exchange(&w->rig, path);
    await_lines(what, &lines);
    flow_await(&w->judge, what, mlt_clock_wall_ns());
    flow_assert_nothing_seen(&w->judge, what, &before);
    assert_int_equal(metric(adapter, "meltica_adapter_line_ended_total"), lines.ended);
    assert_int_equal(metric(adapter, "meltica_adapter_line_cuts_covered_total"), covered + 1);
}

/* Each of the two in turn, with a close frame and without: a line that comes back is the newest. */
static void cut_each_in_turn(unsigned spares)
{
    for (unsigned i = 0; i < CUTS; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/sim/end-lines?newest=1&but=%u&code=%s",
                       spares + i / 2 % 2, i % 2 == 0 ? "0" : "1001");
        lose_a_line(path, "adapter", path, 2 + spares);
    }
}

static void both_lines_cut(const char *path, uint64_t up)
{
    struct lines_wanted lines = { .adapter = "adapter", .up = up };
    await_lines(path, &lines);
    lines.ended = metric("adapter", "meltica_adapter_line_ended_total") + 2;
    const struct flow_seen before = flow_seen_now(&w->judge);
    struct told down = { MLT_STATUS_SOURCE_DOWN,
                         chaos_group_told(&w->judge.group, MLT_STATUS_SOURCE_DOWN) };
    struct told rise = { MLT_STATUS_SOURCE_UP,
                         chaos_group_told(&w->judge.group, MLT_STATUS_SOURCE_UP) };
    hot_tell_exchange(&w->rig, path);
    if (!mlt_consumer_wait(&w->judge.watch, is_told, &down, WAIT_S) ||
        !mlt_consumer_wait(&w->judge.watch, is_told, &rise, WAIT_S)) {
        fail_msg("%s: SOURCE_DOWN or SOURCE_UP was not told within %d s", path, WAIT_S);
    }
    await_lines(path, &lines);
    flow_await(&w->judge, path, mlt_clock_wall_ns());
    assert_int_equal(flow_seen_now(&w->judge).silent, before.silent);
}

static void test_either_line_is_cut_nobody_sees_it(void **state)
{
    (void)state;
    cut_each_in_turn(0);
    w->whole = true;
}

/* Nothing comes of it, and it is not closed: it ends by its silence. */
static void test_either_line_is_mute_nobody_sees_it(void **state)
{
    (void)state;
    lose_a_line("the newer line mute", "adapter", "/sim/half-open?newest=1", 2);
    lose_a_line("the older line mute", "adapter", "/sim/half-open?newest=1&but=1", 2);
    w->whole = true;
}

/* serverShutdown on both: each is replaced as one without a copy is. */
static void test_both_lines_are_replaced_nobody_sees_it(void **state)
{
    (void)state;
    struct lines_wanted lines = { .adapter = "adapter", .up = 2 };
    await_lines("before the notice", &lines);
    lines.ended = metric("adapter", "meltica_adapter_line_ended_total") + 2;
    const uint64_t covered = metric("adapter", "meltica_adapter_line_cuts_covered_total");
    const struct flow_seen before = flow_seen_now(&w->judge);
    hot_tell_exchange(&w->rig, "/sim/shutdown-notice");
    await_lines("both lines replaced", &lines);
    flow_await(&w->judge, "both lines replaced", mlt_clock_wall_ns());
    flow_assert_nothing_seen(&w->judge, "both lines replaced", &before);
    assert_int_equal(metric("adapter", "meltica_adapter_line_cuts_covered_total"), covered);
    w->whole = true;
}

static void test_both_lines_are_cut_and_that_is_told(void **state)
{
    (void)state;
    both_lines_cut("/sim/end-lines?code=0&newest=2", 2);
    w->whole = true;
}

static void test_either_line_is_cut_again_nobody_sees_it(void **state)
{
    (void)state;
    lose_a_line("the older line once more", "adapter", "/sim/end-lines?newest=1&but=1", 2);
    w->whole = true;
}

/* The empty line takes the place of the one that ended. */
static void test_either_line_is_cut_beside_a_spare_one_nobody_sees_it(void **state)
{
    (void)state;
    cut_each_in_turn(1);
    w->whole = true;
}

static void test_both_lines_are_cut_beside_a_spare_one_and_that_is_told(void **state)
{
    (void)state;
    both_lines_cut("/sim/end-lines?code=0&newest=2&but=1", 3);
    w->whole = true;
}

/* ---- beside a hot standby ---- */

static void test_a_line_of_each_adapter_is_cut_nobody_sees_it(void **state)
{
    (void)state;
    const struct lines_wanted both[] = { { .adapter = "adapter", .up = 2 },
                                         { .adapter = "adapter-2", .up = 2 } };
    for (unsigned i = 0; i < 4;
         i++) { /* each of the four lines once: it comes back as the newest */
        await_lines("before a cut", &both[0]);
        await_lines("before a cut", &both[1]);
        hot_await_warm(&w->rig);
        const struct flow_seen before = flow_seen_now(&w->judge);
        uint64_t covered = 0;
        for (unsigned n = 0; n < 2; n++) {
            covered += metric(both[n].adapter, "meltica_adapter_line_cuts_covered_total");
        }
        hot_tell_exchange(&w->rig, "/sim/end-lines?newest=1&but=3");
        const int64_t at_ns = mlt_clock_wall_ns();
        uint64_t now = covered;
        while (now == covered && mlt_clock_wall_ns() - at_ns < WAIT_S * MLT_NS_PER_S) {
            flow_await(&w->judge, "a line of one Adapter cut", mlt_clock_wall_ns());
            now = metric("adapter", "meltica_adapter_line_cuts_covered_total") +
                  metric("adapter-2", "meltica_adapter_line_cuts_covered_total");
        }
        assert_int_equal(now, covered + 1);
        flow_assert_nothing_seen(&w->judge, "a line of one Adapter cut", &before);
    }
    w->whole = true;
}

/* A line of it was mute, and the other one brought all: what is not here the stand-by has. */
static void test_a_speaker_with_a_mute_line_killed_nobody_sees_it(void **state)
{
    (void)state;
    const struct lines_wanted of_other = { .adapter = "adapter-2", .up = 2 };
    mlt_stack_kill(&w->stack, "adapter");
    mlt_stack_run(&w->stack, "adapter"); /* its lines are the newest ones from here on */
    await_lines("the other one", &of_other);
    const struct lines_wanted of_victim = { .adapter = "adapter", .up = 2 };
    await_lines("the victim", &of_victim);
    hot_await_home(&w->rig);
    hot_await_firm(&w->rig, "adapter");
    const uint64_t partitions = hot_speaks(&w->rig, "adapter");
    const uint64_t covered = hot_taken(&w->rig, "adapter-2", true);
    const uint64_t open = hot_taken(&w->rig, "adapter-2", false);
    assert_true(partitions > 0);
    const struct flow_seen before = flow_seen_now(&w->judge);
    hot_tell_exchange(&w->rig, "/sim/half-open?newest=1");
    flow_await(&w->judge, "a line of the speaker mute", mlt_clock_wall_ns());
    const int64_t at_ns = mlt_clock_wall_ns();
    mlt_stack_kill(&w->stack, "adapter");
    flow_await(&w->judge, "the speaker killed", at_ns);
    hot_await_speaks_for_all(&w->rig, "adapter-2");
    assert_int_equal(hot_taken(&w->rig, "adapter-2", false), open);
    assert_int_equal(hot_taken(&w->rig, "adapter-2", true), covered + partitions);
    flow_assert_nothing_seen(&w->judge, "the speaker killed", &before);
    mlt_stack_run(&w->stack, "adapter");
    w->whole = true;
}

/* ---- the whole ---- */

static int begin(unsigned number, const struct mlt_stack_options *more, uint64_t up)
{
    w = &worlds[number];
    w->rig = (struct hot_rig){ &w->stack, &w->judge.watch };
    w->whole = true;
    flow_judge_init(&w->judge, &w->stack, SYMBOLS);
    struct mlt_stack_options options = *more;
    const char *const exchange[] = { "--synthetic", "--symbols",      "6",    "--rate",
                                     "500",         "--seed",         "11",   "--levels",
                                     "300",         "--weight-limit", "60000" };
    memcpy(options.exchange, exchange, sizeof exchange);
    options.table = w->table_path;
    hot_make_table(w->table_path, hot_table);
    mlt_stack_start(&w->stack, &options);
    flow_judge_witness(&w->judge); /* so that its line is the oldest one */
    flow_judge_listen(&w->judge);
    mlt_stack_run_services(&w->stack);
    flow_judge_subscribe(&w->judge, READY_S);
    const struct lines_wanted lines = { .adapter = "adapter", .up = up };
    await_lines("at the start", &lines);
    return 0;
}

static int begin_two_lines(void **state)
{
    (void)state;
    const struct mlt_stack_options options = { .adapter = { "--line-copies", "2",
                                                            "--spare-connection", "false",
                                                            "--ws-silence-ms", SILENCE_MS } };
    return begin(0, &options, 2);
}

static int begin_three_lines(void **state)
{
    (void)state;
    const struct mlt_stack_options options = { .adapter = { "--line-copies", "2" } };
    return begin(1, &options, 3);
}

static int begin_standby(void **state)
{
    (void)state;
    const struct mlt_stack_options options = {
        .adapter = { HOT_FIRST, "--line-copies", "2" },
        .second_adapter = { HOT_SECOND, "--line-copies", "2" },
    };
    (void)begin(2, &options, 2);
    hot_await_home(&w->rig);
    return 0;
}

/* Every id that the exchange gave came once, or was said to be missing; no book was wrong. */
static void test_in_the_end_all_is_there_or_was_said_to_be_missing(void **state)
{
    (void)state;
    flow_judge_end(&w->judge);
    assert_int_equal(mlt_stack_terminate(&w->stack, "adapter"), 0);
    flow_judge_verdict(&w->judge, 3000);
    mlt_stack_stop(&w->stack);
    flow_judge_free(&w->judge);
    (void)unlink(w->table_path);
}

#define STEP(name) cmocka_unit_test_setup(name, enter)

int main(void)
{
    const struct CMUnitTest two[] = {
        STEP(test_either_line_is_cut_nobody_sees_it),
        STEP(test_either_line_is_mute_nobody_sees_it),
        STEP(test_both_lines_are_replaced_nobody_sees_it),
        STEP(test_both_lines_are_cut_and_that_is_told),
        STEP(test_either_line_is_cut_again_nobody_sees_it),
        STEP(test_in_the_end_all_is_there_or_was_said_to_be_missing),
    };
    const struct CMUnitTest three[] = {
        STEP(test_either_line_is_cut_beside_a_spare_one_nobody_sees_it),
        STEP(test_both_lines_are_cut_beside_a_spare_one_and_that_is_told),
        STEP(test_in_the_end_all_is_there_or_was_said_to_be_missing),
    };
    const struct CMUnitTest standby[] = {
        STEP(test_a_line_of_each_adapter_is_cut_nobody_sees_it),
        STEP(test_a_speaker_with_a_mute_line_killed_nobody_sees_it),
        STEP(test_in_the_end_all_is_there_or_was_said_to_be_missing),
    };
    int failed = cmocka_run_group_tests_name("two lines", two, begin_two_lines, NULL);
    failed = failed != 0
                 ? failed
                 : cmocka_run_group_tests_name("a spare one, too", three, begin_three_lines, NULL);
    failed = failed != 0
                 ? failed
                 : cmocka_run_group_tests_name("a hot standby, too", standby, begin_standby, NULL);
    return mlt_stack_verdict(failed);
}
