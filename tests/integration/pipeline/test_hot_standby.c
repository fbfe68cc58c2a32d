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

#include "chaos_consumer.h"
#include "hot_rig.h"
#include "hot_witness.h"
#include "meltica/base/clock.h"

#define SYMBOLS HOT_WITNESS_SYMBOLS
#define READY_S 30
#define LIVE_S 20
#define STOPPED_NS (3 * MLT_NS_PER_S)
#define SILENT_MS "8000" /* --ws-silence-ms */
#define SILENT_NS (8 * MLT_NS_PER_S)
#define HANGS_NS (2 * MLT_NS_PER_S) /* before a mute line ends */
#define QUIET_NS (5 * MLT_NS_PER_S) /* each channel has an event in that time */
#define MUTE_NS (5 * MLT_NS_PER_S)  /* beyond the margin of the cover rule */
/* Books are LIVE by what was received since a death: it is believed after 0.8 s. */
#define TAKEN_NS (3 * MLT_NS_PER_S)

static const char table[] =
    "{\"version\":1,\"routes\":["
    "{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"
    "{\"type\":\"KLINE\",\"ws\":\"{symbol}@kline_{interval}\",\"intervals\":[\"1m\"]},"
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"rest\":{\"function\":\"historicalTrades\"}},"
    "{\"type\":\"AGG_TRADE\",\"ws\":\"{symbol}@aggTrade\",\"rest\":{\"function\":\"aggTrades\"}},"
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100,"
    "\"interval_ms\":10000}},"
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}],"
    "\"subscriptions\":["
    "{\"id\":\"books\",\"type\":\"BOOK\",\"instruments\":[\"*\"]},"
    "{\"id\":\"candles\",\"type\":\"KLINE\",\"instruments\":[\"*\"]},"
    "{\"id\":\"snapshots\",\"type\":\"BOOK_SNAPSHOT\",\"instruments\":[\"*\"]}]}";

/* What a take-over that is covered must not say; it says SOURCE_UP. */
static const enum mlt_status_kind loud[] = { MLT_STATUS_EPOCH_STARTED, MLT_STATUS_LOST,
                                             MLT_STATUS_SOURCE_DOWN,   MLT_STATUS_GAP,
                                             MLT_STATUS_STALE,         MLT_STATUS_SYNCING,
                                             MLT_STATUS_MISSING,       MLT_STATUS_UNFILLABLE };
#define LOUD (sizeof loud / sizeof loud[0])

static struct mlt_stack stack;
static struct chaos_group group;
static struct chaos_result result;
static struct mlt_consumer watch; /* whoever waits looks again with each event */
static struct hot_rig rig = { &stack, &watch };
/* Of quotes, of which no consumer can know that one is missing. */
static struct hot_witness witness = { .lock = PTHREAD_MUTEX_INITIALIZER };
static char table_path[64];
static uint64_t unsure; /* BOOKs that are not LIVE, or say that they are old */

/* ---- what consumers see ---- */

static void see(void *ctx, const struct mlt_event *e, struct mlt_slice bytes)
{
    (void)ctx;
    (void)bytes;
    unsigned symbol = 0;
    if (e->type == MLT_EVENT_BBO && chaos_symbol_of(e->instrument, SYMBOLS, &symbol)) {
        hot_witness_came(&witness, symbol, e->last);
    }
    unsure += e->type == MLT_EVENT_BOOK &&
              (e->u.book.state != MLT_BOOK_LIVE || (e->quality & MLT_QUALITY_STALE) != 0);
}

/* Until now, of all three consumers. */
struct seen {
    uint64_t kinds[LOUD], named, silent, unsure;
    struct hot_mark quotes;
};

static struct seen seen(void)
{
    struct seen s = { .quotes = hot_witness_mark(&witness) };
    for (size_t i = 0; i < LOUD; i++) {
        s.kinds[i] = chaos_group_told(&group, loud[i]);
    }
    for (unsigned i = 0; i < CHAOS_CONSUMERS; i++) {
        struct chaos_consumer *c = &group.consumers[i];
        (void)pthread_mutex_lock(&c->lock);
        for (unsigned n = 0; n < CHAOS_NAMINGS; n++) {
            s.named += c->ledger.named[n];
        }
        s.silent += c->ledger.silent_holes;
        (void)pthread_mutex_unlock(&c->lock);
    }
    (void)pthread_mutex_lock(&watch.lock);
    s.unsure = unsure;
    (void)pthread_mutex_unlock(&watch.lock);
    return s;
}

/* ---- what is waited for ---- */

struct moment {
    int64_t came_ns, received_ns;
    struct chaos_heads heads[SYMBOLS];
    struct hot_mark quotes;
};

static bool books_are_live(void *ctx)
{
    const struct moment *since = ctx;
    return chaos_group_live(&group, since->came_ns, since->received_ns);
}

static bool caught_up(void *ctx)
{
    const struct moment *to = ctx;
    return hot_witness_reached(&witness, &to->quotes) && chaos_group_caught_up(&group, to->heads);
}

static struct moment at; /* of the last await_flow */

/* Every book is LIVE by what an Adapter received since that wall time, and all that the exchange
 * had sent by then has come, or was said to be lost. */
static void await_flow(const char *what, int64_t since_ns)
{
    at.came_ns = at.received_ns = since_ns;
    if (!mlt_consumer_wait(&watch, books_are_live, &at, LIVE_S)) {
        fail_msg("%s: not every book is LIVE within %d s", what, LIVE_S);
    }
    print_message("    %s: every book LIVE by what came since, after %lld ms\n", what,
                  (long long)((mlt_clock_wall_ns() - since_ns) / MLT_NS_PER_MS));
    assert_true(chaos_read_heads(&stack, SYMBOLS, at.heads));
    at.quotes = hot_witness_mark(&witness);
    if (!mlt_consumer_wait(&watch, caught_up, &at, LIVE_S)) {
        fail_msg("%s: not all that the exchange sent has come within %d s", what, LIVE_S);
    }
    chaos_group_compare(&group); /* the exchange keeps its books for some seconds */
}

/* Asked under the lock of the consumer that waits, which seen() takes. */
static bool source_is_down(void *ctx)
{
    return chaos_group_told(&group, MLT_STATUS_SOURCE_DOWN) > *(const uint64_t *)ctx;
}

/* Up to what await_flow has seen to come. */
static void assert_nothing_seen(const char *what, const struct seen *before)
{
    const struct seen now = seen();
    for (size_t i = 0; i < LOUD; i++) {
        if (now.kinds[i] != before->kinds[i]) {
            fail_msg("%s: consumers were told %s %" PRIu64 " times", what,
                     mlt_status_kind_word((int)loud[i]), now.kinds[i] - before->kinds[i]);
        }
    }
    if (now.named != before->named || now.silent != before->silent) {
        fail_msg("%s: %" PRIu64 " holes that were told, %" PRIu64 " that were not", what,
                 now.named - before->named, now.silent - before->silent);
    }
    const uint64_t quotes = hot_witness_missing(&witness, &before->quotes, &at.quotes);
    if (quotes > 0) {
        fail_msg("%s: %" PRIu64 " quotes of the exchange did not come", what, quotes);
    }
    if (now.unsure != before->unsure) {
        fail_msg("%s: %" PRIu64 " BOOKs that are not LIVE", what, now.unsure - before->unsure);
    }
}

static bool has_passed(void *ctx)
{
    return mlt_clock_mono_ns() >= *(const int64_t *)ctx;
}

static void pass_time(int64_t ns)
{
    int64_t until_ns = mlt_clock_mono_ns() + ns;
    assert_true(mlt_consumer_wait(&watch, has_passed, &until_ns, 2 + (int)(ns / MLT_NS_PER_S)));
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
    struct seen before;
};

static struct death about_to_die(const char *victim)
{
    const char *other = hot_other(victim);
    hot_await_warm(&rig);
    struct death d = { .victim = victim,
                       .other = other,
                       .partitions = hot_speaks(&rig, victim),
                       .covered = hot_taken(&rig, other, true),
                       .told = hot_taken(&rig, other, false) };
    assert_true(d.partitions > 0);
    d.before = seen();
    return d;
}

/* The other one has taken all of it, and can prove that nothing is lost. */
static void assert_covered(const struct death *d)
{
    hot_await_speaks_for_all(&rig, d->other);
    assert_int_equal(hot_taken(&rig, d->other, false), d->told);
    assert_int_equal(hot_taken(&rig, d->other, true), d->covered + d->partitions);
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
    await_flow(what, killed ? at_ns : mlt_clock_wall_ns());
    assert_true(mlt_clock_wall_ns() - at_ns < (MLT_TEST_SANITIZED ? 5 : 1) * TAKEN_NS);
    assert_covered(&d);
    assert_nothing_seen(what, &d.before);
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
    const struct seen before = seen();
    const int64_t at_ns = mlt_clock_wall_ns();
    mlt_stack_kill(&stack, "adapter");
    await_flow("a standby killed", at_ns);
    assert_nothing_seen("a standby killed", &before);
    whole = true;
}

/* Nothing proves that it has what the other one had: what may be lost is said. */
static void test_a_speaker_killed_beside_one_that_began_is_told(void **state)
{
    (void)state;
    mlt_stack_run(&stack, "adapter");
    hot_await_stands_by(&rig, "adapter");
    assert_true(hot_warm(&rig, "adapter") < HOT_PARTITIONS);
    const struct seen before = seen();
    const uint64_t lost = chaos_group_told(&group, MLT_STATUS_LOST);
    const int64_t at_ns = mlt_clock_wall_ns();
    mlt_stack_kill(&stack, "adapter-2");
    await_flow("a speaker killed, the standby cold", at_ns);
    hot_await_speaks_for_all(&rig, "adapter");
    assert_true(chaos_group_told(&group, MLT_STATUS_LOST) >= lost + CHAOS_CONSUMERS);
    assert_true(hot_taken(&rig, "adapter", false) > 0);
    assert_int_equal(seen().silent, before.silent);
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
    hot_await_warm(&rig);
    const char *sleeper = "adapter-2", *other = hot_other(sleeper);
    assert_true(hot_speaks(&rig, sleeper) > 0);
    const struct seen before = seen();
    const int64_t at_ns = mlt_clock_wall_ns();
    assert_int_equal(kill(mlt_stack_pid(&stack, sleeper), SIGSTOP), 0);
    await_flow("a speaker stopped", at_ns);
    hot_await_speaks_for_all(&rig, other);
    pass_time(at_ns + STOPPED_NS - mlt_clock_wall_ns());
    assert_int_equal(kill(mlt_stack_pid(&stack, sleeper), SIGCONT), 0);
    const int64_t awake_ns = mlt_clock_wall_ns();
    hot_await_stands_by(&rig, sleeper);
    await_flow("it continued", awake_ns);
    assert_nothing_seen("a speaker stopped", &before);
    assert_int_equal(hot_speaks(&rig, other), HOT_PARTITIONS);
    whole = true;
}

/* What its line should have brought meanwhile the standby has, if it begins early enough: by as
 * much as the one that dies says that its line has been quiet for. */
static void test_a_speaker_whose_line_is_mute_is_killed_nobody_sees_it(void **state)
{
    (void)state;
    const struct death d = about_to_die("adapter"); /* started last: its line is the newest one */
    hot_tell_exchange(&rig, "/sim/half-open?newest=1");
    pass_time(MUTE_NS);
    const int64_t at_ns = mlt_clock_wall_ns();
    mlt_stack_kill(&stack, "adapter");
    await_flow("a speaker with a mute line killed", at_ns);
    assert_covered(&d);
    assert_nothing_seen("a speaker with a mute line killed", &d.before);
    whole = true;
}

/* Ten seconds after it lost them, and as soon as it has all that the other one has. */
static void test_each_has_its_own_back_and_nobody_sees_it(void **state)
{
    (void)state;
    mlt_stack_run(&stack, "adapter");
    const struct seen before = seen();
    hot_await_home(&rig);
    await_flow("each has its own back", mlt_clock_wall_ns());
    assert_nothing_seen("each has its own back", &before);
    whole = true;
}

/* What its line would have brought was said by SOURCE_DOWN: the standby, whose line is up, has to
 * say no more. */
static void test_a_speaker_hung_up_on_and_killed_is_no_silent_hole(void **state)
{
    (void)state;
    hot_await_warm(&rig);
    const char *newest = "adapter"; /* started last: its line is the newest one */
    const char *other = hot_other(newest);
    assert_true(hot_speaks(&rig, newest) > 0);
    const struct seen before = seen();
    uint64_t down = chaos_group_told(&group, MLT_STATUS_SOURCE_DOWN);
    const int64_t at_ns = mlt_clock_wall_ns();
    hot_tell_exchange(&rig, "/sim/end-lines?code=0&newest=1");
    assert_true(mlt_consumer_wait(&watch, source_is_down, &down, LIVE_S));
    mlt_stack_kill(&stack, newest);
    await_flow("a speaker hung up on and killed", at_ns);
    hot_await_speaks_for_all(&rig, other);
    assert_int_equal(seen().silent, before.silent);
    whole = true;
}

/* The standby knows of no Dispatcher but the one that died, or of one that its neighbour did not
 * know: covered or told, and nothing silent. */
static void test_speaker_and_dispatcher_killed_together_is_no_silent_hole(void **state)
{
    (void)state;
    mlt_stack_run(&stack, "adapter");
    hot_await_warm(&rig);
    const char *victim = "adapter-2";
    assert_true(hot_speaks(&rig, victim) > 0);
    const struct seen before = seen();
    mlt_stack_kill(&stack, victim);
    mlt_stack_kill(&stack, "dispatcher");
    mlt_stack_run(&stack, "dispatcher");
    await_flow("speaker and Dispatcher killed", mlt_clock_wall_ns());
    hot_await_speaks_for_all(&rig, hot_other(victim));
    assert_int_equal(seen().silent, before.silent);
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
    pass_time(MUTE_NS);
    mlt_stack_kill(&stack, "dispatcher");
    mlt_stack_kill(&stack, "adapter");
    assert_covered(&d);
    mlt_stack_run(&stack, "dispatcher");
    await_flow("a speaker killed whose Dispatcher hung", mlt_clock_wall_ns());
    assert_nothing_seen("a speaker killed whose Dispatcher hung", &d.before);
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
    const uint64_t lost_before = chaos_group_told(&group, MLT_STATUS_LOST);
    hot_tell_exchange(&rig, "/sim/half-open?newest=1");
    pass_time(SILENT_NS - HANGS_NS);
    assert_int_equal(kill(mlt_stack_pid(&stack, "dispatcher"), SIGSTOP), 0);
    pass_time(HANGS_NS + 3 * MLT_NS_PER_S / 2);
    mlt_stack_kill(&stack, "dispatcher");
    mlt_stack_kill(&stack, "adapter");
    hot_await_speaks_for_all(&rig, d.other);
    mlt_stack_run(&stack, "dispatcher");
    await_flow("a mute line that ended unheard", mlt_clock_wall_ns());
    const uint64_t missing = hot_witness_missing(&witness, &d.before.quotes, &at.quotes);
    const uint64_t lost = chaos_group_told(&group, MLT_STATUS_LOST) - lost_before;
    print_message("    %" PRIu64 " quotes are missing, LOST was told %" PRIu64 " times\n", missing,
                  lost);
    assert_true(missing == 0 || lost >= CHAOS_CONSUMERS);
    assert_int_equal(seen().silent, d.before.silent);
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
    hot_make_table(table_path, table);
    mlt_stack_start(&stack, &options);
    watch.look = see;
    mlt_consumer_start(&watch, stack.nats_url);
    chaos_group_start(&group, &stack, SYMBOLS, &result);
    mlt_stack_run_services(&stack);
    struct moment since = { .came_ns = 1, .received_ns = 1 };
    if (!mlt_consumer_wait(&watch, books_are_live, &since, READY_S) ||
        !chaos_group_subscribe(&group, READY_S)) {
        fail_msg("not every book was LIVE and subscribed within %d s", READY_S);
    }
    hot_await_home(&rig); /* where one of them began late, the other one has all */
    hot_witness_start(&witness, (int)strtol(strrchr(stack.exchange_ws, ':') + 1, NULL, 10));
    return 0;
}

/* Every id that the exchange gave came once, or was said to be missing; no book was wrong. */
static void test_in_the_end_all_is_there_or_was_said_to_be_missing(void **state)
{
    (void)state;
    const int64_t since_ns = mlt_clock_wall_ns();
    await_flow("the end", since_ns);
    chaos_group_count_lost(&group, since_ns - QUIET_NS);
    chaos_group_end(&group, at.heads);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(mlt_stack_terminate(&stack, i == 0 ? "adapter" : "adapter-2"), 0);
    }
    for (unsigned i = 0; i < CHAOS_CONSUMERS; i++) {
        const struct chaos_ledger *l = &group.consumers[i].ledger;
        if (l->silent_holes > 0 || l->duplicates > 0 || l->foreign > 0 || l->given_up > 0 ||
            chaos_ledger_wrong(l) > 0) {
            fail_msg("silent holes %" PRIu64 " (%s), duplicates %" PRIu64 " (%s), wrong %" PRIu64,
                     l->silent_holes, l->first_silent, l->duplicates, l->first_duplicate,
                     chaos_ledger_wrong(l));
        }
        assert_true(l->events > 10000 && chaos_ledger_right(l) > 100);
    }
    print_message("    %" PRIu64 " books compared with the exchange's own\n", result.books_checked);
    assert_int_equal(result.books_wrong, 0);
    assert_true(result.books_checked > 100);
    assert_int_equal(result.dropped_here, 0);
    assert_int_equal(result.lost_subscriptions, 0);
    mlt_consumer_stop(&watch);
    hot_witness_stop(&witness);
    print_message("    %zu quotes of the first symbol\n", witness.said[0].count);
    assert_int_equal(witness.again, 0);
    assert_true(witness.said[0].count > 1000);
    mlt_stack_stop(&stack);
    chaos_group_free(&group);
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
