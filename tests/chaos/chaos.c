/*
 * ./dev chaos: the whole of Meltica against the simulator, while it is hurt in every way there is,
 * by a seeded plan, and three consumers keep a ledger. Ends by itself with a report (docs/chaos.md)
 * and an exit status of 0 only if every check passed.
 */
#include "mlt_test.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "chaos_consumer.h"
#include "chaos_options.h"
#include "chaos_replicas.h"
#include "chaos_script.h"
#include "long_run.h"
#include "meltica/base/clock.h"
#include "meltica/base/hash.h"
#include "scrape.h"
#include "soak_steer.h"

#define READY_S 60
#define CALM_MS_MIN 400u /* between a recovery and the next kill */
#define CALM_MS_MAX 1600u
#define PATIENCE_NS (10 * MLT_NS_PER_S) /* for all books after a kill; then it goes on */
#define SETTLE_NS (40 * MLT_NS_PER_S)   /* at the end, for the last of everything */
#define DELIVERED_NS (2 * MLT_NS_PER_S) /* from the last fault to where what comes is proof */
#define NOTICE_NS (15 * MLT_NS_PER_S)   /* for the Adapter, of what it has to find out itself */
#define ATTEMPTS_S 300u
#define ADAPTERS 2u
#define HOME_NS                                                                                    \
    (20 * MLT_NS_PER_S) /* until each replica has its own back: 10 s after it lost it              \
                         */

static struct mlt_stack stack;
static struct chaos_group group;
static struct chaos_result result;
static struct soak_watch unused; /* of the steering: what it asks for is not its to judge here */
static struct soak_steer steer;

/* What flows from the beginning, and routes for what the consumers subscribe. */
static const char table[] =
    "{\"version\":1,\"routes\":["
    "{\"type\":\"TICKER\",\"ws\":\"{symbol}@ticker\"},"
    "{\"type\":\"KLINE\",\"ws\":\"{symbol}@kline_{interval}\",\"intervals\":[\"1m\"]},"
    "{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"rest\":{\"function\":\"historicalTrades\"}},"
    "{\"type\":\"AGG_TRADE\",\"ws\":\"{symbol}@aggTrade\",\"rest\":{\"function\":\"aggTrades\"}},"
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100,"
    "\"interval_ms\":10000}},"
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":2000}}],"
    "\"subscriptions\":["
    "{\"id\":\"books\",\"type\":\"BOOK\",\"instruments\":[\"*\"]},"
    "{\"id\":\"snapshots\",\"type\":\"BOOK_SNAPSHOT\",\"instruments\":[\"*\"]}]}";

static const char *const victims[CHAOS_SHUTDOWN_NOTICE] = { "adapter",  "dispatcher",  "conductor",
                                                            "data-bus", "control-bus", "nats" };
static const char *const adapters[ADAPTERS] = { "adapter", "adapter-2" };

/* ---- the plan: which fault is next ---- */

struct script {
    const struct chaos_plan *plan;
    uint64_t dice;
    enum chaos_kind bag[CHAOS_SCRIPT_KINDS]; /* each once, shuffled; then again */
    unsigned left;
};

static enum chaos_kind next_kind(struct script *s)
{
    if (s->left == 0) {
        for (unsigned i = 0; i < CHAOS_SCRIPT_KINDS; i++) {
            if (chaos_plan_has(s->plan, (enum chaos_kind)i)) {
                s->bag[s->left++] = (enum chaos_kind)i;
            }
        }
        for (unsigned i = s->left - 1; i > 0; i--) {
            const unsigned with = (unsigned)(mlt_mix64_next(&s->dice) % (i + 1));
            const enum chaos_kind kind = s->bag[i];
            s->bag[i] = s->bag[with];
            s->bag[with] = kind;
        }
    }
    return s->bag[--s->left];
}

/* ---- what is asked each second ---- */

struct watch {
    int64_t attempts[ATTEMPTS_S];
    unsigned seconds;
    int64_t looked_ns;
    bool exchange_gone;
    uint64_t rollovers[ADAPTERS]; /* of those that run */
};
static struct watch watch;

static void read_exchange(void)
{
    struct mlt_buf body;
    mlt_buf_init(&body, 16u << 20);
    if (mlt_stack_try_get(&stack, "exchange", "/sim/status", &body)) {
        const struct mlt_slice page = mlt_buf_view(&body);
        const int64_t opened = mlt_scrape_member(page, "connections_opened");
        result.connect_refused = mlt_scrape_member(page, "connections_refused");
        result.rest_refused = mlt_scrape_member(page, "rest_refused");
        result.weight_peak = mlt_scrape_member(page, "rest_weight_peak");
        const int64_t attempts = opened + result.connect_refused;
        const int64_t before =
            watch.seconds < ATTEMPTS_S ? 0 : watch.attempts[watch.seconds % ATTEMPTS_S];
        watch.attempts[watch.seconds++ % ATTEMPTS_S] = attempts;
        if (attempts - before > result.connect_attempts) {
            result.connect_attempts = attempts - before;
        }
    }
    mlt_buf_fini(&body);
}

/* Its own word, once the exchange has told it the limit. */
static void read_budget(struct mlt_slice page)
{
    if (mlt_scrape_sum(page, "meltica_adapter_weight_limit", "") == result.plan->weight_limit) {
        result.weight_budget = (int64_t)mlt_scrape_sum(page, "meltica_adapter_weight_share", "");
    }
}

/* Rollovers are counted by those that are killed now and then: what they made since they were asked
 * last may be lost. */
static void read_adapters(void)
{
    for (unsigned i = 0; i < ADAPTERS && i < result.plan->replicas; i++) {
        struct mlt_buf body;
        mlt_buf_init(&body, 4u << 20);
        if (mlt_stack_try_get(&stack, adapters[i], "/metrics", &body)) {
            read_budget(mlt_buf_view(&body));
            const uint64_t made =
                mlt_scrape_sum(mlt_buf_view(&body), "meltica_adapter_line_rollovers_total", "");
            const uint64_t before = watch.rollovers[i];
            result.rollovers += made < before ? made : made - before;
            watch.rollovers[i] = made;
        }
        mlt_buf_fini(&body);
    }
}

static void note_ended(const char *name)
{
    char first[512];
    uint64_t warnings = 0;
    (void)mlt_stack_errors(&stack, name, &warnings, first, sizeof first);
    (void)fprintf(stderr, "chaos: %s ended by itself; its first error: %s\n", name, first);
    if (result.ended_unasked++ == 0) {
        (void)snprintf(result.first_bad_end, sizeof result.first_bad_end, "%s ended; %.400s", name,
                       first);
    }
}

/* A service that ended by itself is started again; without the exchange there is nothing left. */
static void count_ended(void)
{
    for (unsigned i = 0; i < CHAOS_SHUTDOWN_NOTICE; i++) {
        if (mlt_stack_gone(&stack, victims[i])) {
            note_ended(victims[i]);
            mlt_stack_kill(&stack, victims[i]);
            mlt_stack_run(&stack, victims[i]);
        }
        const char *stand_in = chaos_stand_in((enum chaos_kind)i);
        if (stand_in != NULL && mlt_stack_gone(&stack, stand_in)) {
            note_ended(stand_in);
            mlt_stack_kill(&stack, stand_in);
            mlt_stack_run(&stack, stand_in);
        }
    }
    if (!watch.exchange_gone && mlt_stack_gone(&stack, "exchange")) {
        note_ended("exchange");
        watch.exchange_gone = true;
    }
}

/* Once a second, whoever asks more often. */
static void look(void)
{
    const int64_t now_ns = mlt_clock_mono_ns();
    if (now_ns - watch.looked_ns < MLT_NS_PER_S) {
        return;
    }
    watch.looked_ns = now_ns;
    chaos_script_read(&group);
    chaos_group_compare(&group);
    (void)chaos_group_judge(&group);
    read_exchange();
    read_adapters();
    count_ended();
}

/* Looks until then; true: a signal came. */
static bool pass_time(int64_t until_ns)
{
    bool stopped = false;
    while (!stopped && mlt_clock_mono_ns() < until_ns) {
        const int64_t step_ns = mlt_clock_mono_ns() + 50 * MLT_NS_PER_MS;
        look();
        stopped = watch.exchange_gone || long_run_is_told(step_ns < until_ns ? step_ns : until_ns);
    }
    return stopped;
}

/* Until all books are LIVE again, or patience ends; true: a signal came. */
static bool await_books(int64_t begin_ns, int64_t end_ns, int64_t until_ns)
{
    bool stopped = false;
    while (!stopped && !chaos_group_live(&group, end_ns, begin_ns) &&
           mlt_clock_mono_ns() < until_ns) {
        stopped = pass_time(mlt_clock_mono_ns() + 20 * MLT_NS_PER_MS);
    }
    return stopped;
}

/* ---- what the Adapter has to notice itself: its watches are some seconds (docs/chaos.md) ---- */

static int64_t exchange_number(const char *member)
{
    struct mlt_buf body;
    mlt_buf_init(&body, 16u << 20);
    const int64_t number = mlt_stack_try_get(&stack, "exchange", "/sim/status", &body)
                               ? mlt_scrape_member(mlt_buf_view(&body), member)
                               : -1;
    mlt_buf_fini(&body);
    return number;
}

static bool lines_let_go(const char *member)
{
    return exchange_number(member) == 0;
}

static uint64_t reminders(void)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < ADAPTERS && i < result.plan->replicas; i++) {
        sum += mlt_stack_metric(&stack, adapters[i], "meltica_adapter_reminders_total", "");
    }
    return sum;
}

/* False: it did not within its patience, and it is over all the same. */
static bool await_noticed(enum chaos_kind kind, uint64_t reminded)
{
    const int64_t began_ns = mlt_clock_mono_ns();
    const int64_t until_ns = began_ns + NOTICE_NS;
    bool noticed = false, stopped = false;
    while (!noticed && !stopped && mlt_clock_mono_ns() < until_ns) {
        stopped = pass_time(mlt_clock_mono_ns() + 20 * MLT_NS_PER_MS);
        noticed = kind == CHAOS_HOLLOW_ACKS
                      ? reminders() > reminded
                      : lines_let_go(kind == CHAOS_MUTE ? "silent" : "half_open");
    }
    if (noticed) {
        mlt_latency_record(&result.noticed[kind], mlt_clock_mono_ns() - began_ns);
    }
    return noticed;
}

/* The last symbol comes, is halted, stands still, has another tick size, and goes: a step each
 * time. Nobody follows it; what the others have must not notice. */
static void change_listing(void)
{
    static const char *const steps[] = { "listed=1&status=TRADING", "status=HALT", "status=BREAK",
                                         "status=TRADING&tick=0.5", "listed=0" };
    static unsigned step;
    char target[128];
    (void)snprintf(target, sizeof target, "/sim/listing?symbol=%%E5%%B8%%81%04uUSDT&%s",
                   result.plan->symbols + 1, steps[step++ % (sizeof steps / sizeof steps[0])]);
    (void)chaos_tell(&group, target);
}

/* ---- replicas ---- */

/* One of the two, by the dice, stays dead until every book is LIVE again by the other, and comes
 * back. The next fault waits until each has its own: of two neighbours that change at once nobody
 * can vouch for what was between them. */
static void kill_one_of_two(enum chaos_kind kind, uint64_t dice, struct chaos_fault *fault)
{
    const char *victim = dice % 2 == 0 ? victims[kind] : chaos_stand_in(kind);
    const struct chaos_takeover before = chaos_takeover_begin(&group, kind, victim);
    mlt_stack_kill(&stack, victim);
    fault->end_ns = mlt_clock_wall_ns();
    chaos_group_fault(&group, fault);
    bool stopped = await_books(fault->begin_ns, fault->end_ns, mlt_clock_mono_ns() + PATIENCE_NS);
    chaos_takeover_end(&group, &before);
    mlt_stack_run(&stack, victim);
    const int64_t until_ns = mlt_clock_mono_ns() + HOME_NS;
    bool home = false;
    while (!home && !stopped && mlt_clock_mono_ns() < until_ns) {
        stopped = pass_time(mlt_clock_mono_ns() + 50 * MLT_NS_PER_MS);
        home = chaos_replicas_home(&stack);
    }
    if (!home && !stopped) {
        (void)fprintf(stderr, "chaos: %s does not have its own back\n", victim);
        result.not_home++;
    }
}

/* Does it, and says when it was over: a service listens again, or another one stands in. */
static void hurt(enum chaos_kind kind, struct script *script)
{
    const uint64_t reminded = kind == CHAOS_HOLLOW_ACKS ? reminders() : 0;
    char target[64];
    struct chaos_fault fault = { .kind = kind, .symbol = CHAOS_ALL };
    bool known = false; /* to those who judge it */
    const uint64_t dice = mlt_mix64_next(&script->dice);
    static const unsigned codes[] = { 1000, 1001, 1006, 1008, 1011, 1012 };
    fault.begin_ns = mlt_clock_wall_ns();
    switch (kind) {
    case CHAOS_SHUTDOWN_NOTICE:
        (void)chaos_tell(&group, "/sim/shutdown-notice");
        break;
    case CHAOS_RESET:
        (void)chaos_tell(&group, "/sim/end-lines?code=0");
        break;
    case CHAOS_UNHEARD:
        (void)chaos_tell(&group, "/sim/unheard?messages=1");
        (void)chaos_tell(&group, "/sim/end-lines?code=0");
        break;
    case CHAOS_UNANSWERED:
        (void)chaos_tell(&group, "/sim/unanswered?messages=1");
        (void)chaos_tell(&group, "/sim/end-lines?code=0");
        break;
    case CHAOS_HOLLOW_ACKS:
        (void)chaos_tell(&group, "/sim/hollow-acks?messages=1");
        (void)chaos_tell(&group, "/sim/end-lines?code=0");
        (void)await_noticed(kind, reminded);
        break;
    case CHAOS_HALF_OPEN:
        (void)chaos_tell(&group, "/sim/half-open");
        (void)await_noticed(kind, 0);
        break;
    case CHAOS_MUTE:
        (void)chaos_tell(&group, "/sim/silence?ms=0&pings=0");
        (void)await_noticed(kind, 0);
        break;
    case CHAOS_LISTING:
        change_listing();
        break;
    case CHAOS_CLOSE:
        (void)snprintf(target, sizeof target, "/sim/end-lines?code=%u",
                       codes[dice % (sizeof codes / sizeof codes[0])]);
        (void)chaos_tell(&group, target);
        break;
    case CHAOS_STALL:
    case CHAOS_SILENCE:
        (void)snprintf(target, sizeof target, "/sim/%s?ms=%u",
                       kind == CHAOS_STALL ? "stall" : "silence", 200 + (unsigned)(dice % 1801));
        (void)chaos_tell(&group, target);
        fault.begin_ns = mlt_clock_wall_ns();
        fault.end_ns = fault.begin_ns + (int64_t)(200 + dice % 1801) * MLT_NS_PER_MS;
        break;
    default:
        if (kind == CHAOS_KILL_NATS) {
            chaos_group_outage(&group, fault.begin_ns, false);
        }
        if (result.plan->replicas > 1 && chaos_stand_in(kind) != NULL) {
            kill_one_of_two(kind, dice, &fault);
            known = true;
            result.kills++;
            break;
        }
        mlt_stack_kill(&stack, victims[kind]);
        mlt_stack_run(&stack, victims[kind]);
        if (kind == CHAOS_KILL_NATS) {
            chaos_group_outage(&group, mlt_clock_wall_ns(), true);
        }
        result.kills++;
        break;
    }
    if (fault.end_ns == 0) {
        fault.end_ns = mlt_clock_wall_ns();
    }
    (void)fprintf(stderr, "chaos: %" PRId64 " %s, %.0f ms\n", fault.begin_ns,
                  chaos_kind_names[kind], (double)(fault.end_ns - fault.begin_ns) / MLT_NS_PER_MS);
    if (!known) {
        chaos_group_fault(&group, &fault);
    }
    result.steps++;
}

/* ---- run ---- */

static void start(const struct chaos_plan *plan, const char *table_path)
{
    static char symbols[16], rate[24], seed[24], weight[16], life[16], rollover[16];
    (void)snprintf(symbols, sizeof symbols, "%u", plan->symbols + 1); /* and a visitor */
    /* Nobody follows the visitor's share. */
    (void)snprintf(rate, sizeof rate, "%" PRIu64,
                   (uint64_t)plan->rate * (plan->symbols + 1) / plan->symbols);
    (void)snprintf(seed, sizeof seed, "%" PRIu64, plan->seed);
    (void)snprintf(weight, sizeof weight, "%u", plan->weight_limit);
    (void)snprintf(life, sizeof life, "%d", CHAOS_LINE_LIFE_S);
    (void)snprintf(rollover, sizeof rollover, "%d", CHAOS_LINE_LIFE_S * 1000 * 23 / 24);
    struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", symbols, "--rate", rate, "--seed", seed,
                      "--levels", "300", "--ping-interval-s", "1", "--unlisted", "1", "--unicode",
                      "1", "--weight-limit", weight, "--line-life-s", life },
        .adapter = { "--ws-silence-ms", "3000", "--silent-after-ms", "3000", "--rollover-ms",
                     rollover },
        .table = table_path,
    };
    if (plan->replicas > 1) {
        chaos_replicas_add(&options);
    }
    mlt_stack_start(&stack, &options);
    (void)fprintf(stderr, "chaos: NATS at %s, exchange at %s, seed %s\n", stack.nats_url,
                  stack.exchange_http, seed);
    chaos_group_start(&group, &stack, plan->symbols, &result);
    group.recovery.slow_ns = (int64_t)plan->recovery_ms * MLT_NS_PER_MS;
    mlt_stack_run_services(&stack);
}

static bool run_on(struct script *script, int64_t until_ns)
{
    bool stopped = false;
    while (!stopped && mlt_clock_mono_ns() < until_ns) {
        const unsigned calm =
            CALM_MS_MIN + (unsigned)(mlt_mix64_next(&script->dice) % (CALM_MS_MAX - CALM_MS_MIN));
        stopped = pass_time(mlt_clock_mono_ns() + calm * MLT_NS_PER_MS);
        if (stopped || mlt_clock_mono_ns() >= until_ns) {
            break;
        }
        const int64_t begin_ns = mlt_clock_wall_ns();
        hurt(next_kind(script), script);
        stopped = await_books(begin_ns, mlt_clock_wall_ns(), mlt_clock_mono_ns() + PATIENCE_NS);
    }
    return stopped;
}

/* Each subscription that was CONFIRMED is listed, and no other. */
static void end_steering(void)
{
    soak_steer_stop(&steer);
    for (unsigned v = 0; v < SOAK_VERBS; v++) {
        result.commands += steer.done[v];
    }
    /* An exchange that does not answer refuses, and it is said that nothing changed. */
    result.commands_refused = steer.exchange_refused;
    result.commands_failed = steer.failed - steer.exchange_refused;
    (void)snprintf(result.first_failed_command, sizeof result.first_failed_command, "%s",
                   steer.first_failure);
    if (!steer.lists_right) {
        result.lost_subscriptions++;
        (void)snprintf(result.first_lost_subscription, sizeof result.first_lost_subscription,
                       "a list is not what its consumer holds");
    }
    soak_watch_free(&unused);
}

/* No more faults but those of the exchange's script: all has to come, or to be said. */
static void settle(const struct chaos_plan *plan)
{
    static struct chaos_heads heads[CHAOS_SYMBOLS_MAX];
    const int64_t since_ns = mlt_clock_wall_ns();
    const int64_t until_ns = mlt_clock_mono_ns() + SETTLE_NS;
    end_steering();
    (void)chaos_tell(&group, "/sim/faults-end");
    bool stopped = pass_time(mlt_clock_mono_ns() + DELIVERED_NS);
    const bool known = chaos_read_heads(&stack, plan->symbols, heads);
    chaos_script_read(&group);
    while (!stopped && mlt_clock_mono_ns() < until_ns &&
           (chaos_group_judge(&group) > 0 || !chaos_group_caught_up(&group, heads))) {
        stopped = pass_time(mlt_clock_mono_ns() + 100 * MLT_NS_PER_MS);
    }
    chaos_group_compare(&group);
    result.unrecovered = chaos_group_judge(&group);
    for (unsigned i = 0; i < result.unrecovered; i++) {
        const struct chaos_fault *f = &group.recovery.pending[i];
        (void)fprintf(stderr,
                      "chaos: not recovered from: %" PRId64 " %s, SYM%04u, id %" PRId64 "\n",
                      f->begin_ns, chaos_kind_names[f->kind], f->symbol + 1, f->id);
    }
    chaos_group_count_lost(&group, since_ns);
    result.interrupted = result.interrupted || stopped || !known;
    chaos_group_end(&group, heads);
    /* Of two Adapters the one that does not speak refuses what came on its lines in silence. */
    result.damaged = plan->replicas == 1 ? &group.damaged : NULL;
}

static void end_services(void)
{
    static const char *const services[] = { "adapter",      "adapter-2", "dispatcher",
                                            "dispatcher-2", "conductor", "conductor-2",
                                            "data-bus-2",   "data-bus",  "control-bus" };
    const unsigned count = sizeof services / sizeof services[0];
    for (unsigned i = 0; i < count; i++) {
        if (mlt_stack_pid(&stack, services[i]) == 0) {
            continue; /* there is no second one */
        }
        const int status = mlt_stack_terminate(&stack, services[i]);
        result.bad_exits += status != 0;
        if (status != 0 && result.first_bad_end[0] == '\0') {
            (void)snprintf(result.first_bad_end, sizeof result.first_bad_end,
                           "%s ended with status %d", services[i], status);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        char first[512];
        uint64_t warnings = 0;
        result.error_lines += mlt_stack_errors(&stack, services[i], &warnings, first, sizeof first);
        if (first[0] != '\0' && result.first_error[0] == '\0') {
            (void)snprintf(result.first_error, sizeof result.first_error, "%.20s %.480s",
                           services[i], first);
        }
    }
}

static int chaos(const void *ctx, const char *table_path)
{
    const struct chaos_plan *plan = ctx;
    struct script script = { .plan = plan, .dice = plan->seed };
    int status = 1;
    result = (struct chaos_result){ .plan = plan, .load_before = long_run_machine_load() };
    start(plan, table_path);
    bool stopped = await_books(1, 1, mlt_clock_mono_ns() + READY_S * MLT_NS_PER_S);
    const bool ready =
        !stopped && chaos_group_live(&group, 1, 1) && chaos_group_subscribe(&group, READY_S);
    if (ready) {
        (void)fprintf(stderr, "chaos: every book is LIVE, it begins\n");
        const int64_t began_ns = mlt_clock_mono_ns();
        result.began_wall_ns = mlt_clock_wall_ns();
        const int64_t frames = exchange_number("frames_passed");
        const int64_t sent = exchange_number("frames_sent");
        chaos_script_begin(&group);
        soak_watch_open(&unused, plan->symbols);
        soak_steer_start(&steer, &unused, stack.nats_url, CHAOS_CONSUMERS, plan->seed);
        result.interrupted = run_on(&script, began_ns + plan->seconds * MLT_NS_PER_S);
        result.seconds = (double)(mlt_clock_mono_ns() - began_ns) / MLT_NS_PER_S;
        result.frames = exchange_number("frames_passed") - frames;
        result.frames_sent = exchange_number("frames_sent") - sent;
        settle(plan);
        read_exchange();
        result.load_after = long_run_machine_load();
        end_services();
        status = chaos_report(&result);
    } else {
        chaos_group_end(&group, NULL);
        if (!stopped) {
            (void)fprintf(stderr, "chaos: not every book was LIVE within %d s\n", READY_S);
        }
    }
    mlt_stack_stop(&stack);
    chaos_group_free(&group);
    return status;
}

int main(int argc, char **argv)
{
    struct chaos_plan plan = { .symbols = 12,
                               .rate = 20000,
                               .faults_per_minute = 90,
                               .weight_limit = 60000,
                               .recovery_ms = 2000,
                               .replicas = 1,
                               .seed = (uint64_t)mlt_clock_wall_ns() / MLT_NS_PER_S };
    int status = 2;
    return long_run_parse(&chaos_options, &plan, argc, argv, &status)
               ? long_run_with_table("chaos", table, chaos, &plan)
               : status;
}
