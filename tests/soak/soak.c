/*
 * ./dev soak: the whole of Meltica against the simulator for as long as it is told, with
 * subscriptions that change all the time, lines that are replaced, REST polls and joiners, and a
 * consumer that checks everything it gets. Ends by itself with a report (docs/soak.md) and an exit
 * status of 0 only if every check passed.
 */
#include "mlt_test.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "long_run.h"
#include "meltica/base/clock.h"
#include "scrape.h"
#include "soak_report.h"

#define READY_S 60
#define PROGRESS_S 10
#define SECONDS_MAX (7 * 86400)
#define LINE_LIFE_S_MIN 15
#define NOTICE_SECONDS_MIN 60 /* a run as long as this sees a serverShutdown in its middle */

#define POLL_MS "10000"
#define POLL_S 10

static struct mlt_stack stack;
static struct soak_watch watch;
static struct soak_steer steer;
static struct soak_probe probe;

/* ---- options ---- */

static int usage(FILE *to, int status)
{
    (void)fprintf(
        to,
        "usage: ./dev soak [--hours H] [--minutes M] [--seconds S] [options]\n"
        "  --hours, --minutes, --seconds   how long, together; an hour when none is named\n"
        "  --report FILE.json              the report, with FILE.md beside it\n"
        "                                  (docs/reports/soak-<date>.json)\n"
        "  --symbols N                     instruments, 1 to %u (50)\n"
        "  --rate N                        frames a second with trades, quotes and depth, over "
        "all\n"
        "                                  (1500)\n"
        "  --consumers N                   that change what they want, 1 to %u (8)\n"
        "  --seed N                        of market and schedule (the time)\n"
        "  --line-life N                   seconds until the exchange ends a line, in the place "
        "of\n"
        "                                  24 hours (a sixth of the run, at least %d)\n"
        "Exit status: 0 every check passed, 1 one did not, 2 wrong usage. docs/soak.md has more.\n",
        SOAK_SYMBOLS_MAX, SOAK_CONSUMERS_MAX, LINE_LIFE_S_MIN);
    return status;
}

static bool take_option(void *ctx, const char *name, const char *value)
{
    struct soak_plan *plan = ctx;
    uint64_t n = 0;
    if (strcmp(name, "--report") == 0) {
        plan->report = value;
        return true;
    }
    if (strcmp(name, "--seed") == 0) {
        return long_run_number(value, 0, UINT64_MAX, &plan->seed);
    }
    if (!long_run_number(value, 1, SECONDS_MAX, &n)) {
        return false;
    }
    if (strcmp(name, "--hours") == 0) {
        plan->seconds += (int64_t)n * 3600;
    } else if (strcmp(name, "--minutes") == 0) {
        plan->seconds += (int64_t)n * 60;
    } else if (strcmp(name, "--seconds") == 0) {
        plan->seconds += (int64_t)n;
    } else if (strcmp(name, "--line-life") == 0) {
        plan->line_life_s = (int64_t)n;
        return n >= LINE_LIFE_S_MIN && n <= 86400;
    } else if (strcmp(name, "--symbols") == 0) {
        plan->symbols = (unsigned)n;
        return n <= SOAK_SYMBOLS_MAX;
    } else if (strcmp(name, "--rate") == 0) {
        plan->rate = (unsigned)n;
    } else if (strcmp(name, "--consumers") == 0) {
        plan->consumers = (unsigned)n;
        return n <= SOAK_CONSUMERS_MAX;
    } else {
        return false;
    }
    return true;
}

static bool check_plan(void *ctx)
{
    struct soak_plan *plan = ctx;
    plan->seconds = plan->seconds > 0 ? plan->seconds : 3600;
    if (plan->line_life_s == 0) {
        const int64_t sixth = plan->seconds / 6;
        plan->line_life_s = sixth < LINE_LIFE_S_MIN ? LINE_LIFE_S_MIN
                            : sixth > 86400         ? 86400
                                                    : sixth;
    }
    plan->warm_up_s = plan->seconds / 6 > 300 ? 300 : plan->seconds / 6;
    return long_run_possible("soak", plan->seconds, SECONDS_MAX, plan->report);
}

/* ---- run ---- */

static void start(const struct soak_plan *plan, const char *table_path)
{
    static char symbols[16], rate[16], seed[24], life[16], rollover[24];
    (void)snprintf(symbols, sizeof symbols, "%u", plan->symbols);
    (void)snprintf(rate, sizeof rate, "%u", plan->rate);
    (void)snprintf(seed, sizeof seed, "%" PRIu64, plan->seed);
    (void)snprintf(life, sizeof life, "%" PRId64, plan->line_life_s);
    /* As 23 hours are to 24. */
    (void)snprintf(rollover, sizeof rollover, "%" PRId64, plan->line_life_s * 1000 * 23 / 24);
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", symbols, "--rate", rate, "--seed", seed,
                      "--line-life-s", life },
        .adapter = { "--rollover-ms", rollover },
        .table = table_path,
    };
    mlt_stack_start(&stack, &options);
    (void)fprintf(stderr, "soak: NATS at %s, exchange at %s, seed %s\n", stack.nats_url,
                  stack.exchange_http, seed);
    soak_watch_start(&watch, stack.nats_url, plan->symbols);
    mlt_stack_run_services(&stack);
}

static void progress(const struct soak_run *run)
{
    (void)pthread_mutex_lock(&watch.lock);
    const uint64_t events = watch.events + watch.lane_events, lost = soak_watch_lost(&watch.losses);
    (void)pthread_mutex_unlock(&watch.lock);
    (void)pthread_mutex_lock(&steer.lock);
    uint64_t commands = steer.pending + steer.failed;
    for (unsigned v = 0; v < SOAK_VERBS; v++) {
        commands += steer.done[v];
    }
    (void)pthread_mutex_unlock(&steer.lock);
    uint64_t errors = 0, warnings = 0;
    char first[512];
    for (unsigned i = 0; i < SOAK_PROCESSES; i++) {
        errors += mlt_stack_errors(&stack, soak_process_names[i], &warnings, first, sizeof first);
    }
    (void)fprintf(stderr,
                  "soak: %" PRId64 " of %" PRId64 " s, %" PRIu64 " events, %" PRIu64
                  " lost, %" PRIu64 " commands, %" PRIu64 " errors in logs\n",
                  (mlt_clock_mono_ns() - run->began_ns) / MLT_NS_PER_S, run->plan->seconds, events,
                  lost, commands, errors);
}

/* Planned work at the exchange: every line is to be replaced now. */
static void announce_shutdown(void)
{
    struct mlt_buf body;
    mlt_buf_init(&body, 1u << 16);
    if (!mlt_stack_try_get(&stack, "exchange", "/sim/shutdown-notice", &body)) {
        (void)fprintf(stderr, "soak: the exchange takes no notice of its shutdown\n");
    }
    mlt_buf_fini(&body);
}

/* Second by second until the end. */
static void run_on(struct soak_run *run)
{
    const struct soak_plan *plan = run->plan;
    bool warm = false;
    for (int64_t second = 0; second < plan->seconds; second++) {
        if (!warm && second >= plan->warm_up_s) {
            soak_watch_warm(&watch);
            soak_steer_warm(&steer);
            warm = true;
        }
        if (!soak_probe_tick(&probe, warm)) {
            (void)fprintf(stderr, "soak: a process ended\n");
            break;
        }
        if (plan->seconds >= NOTICE_SECONDS_MIN && second == plan->seconds / 2) {
            announce_shutdown();
        }
        if (second > 0 && second % PROGRESS_S == 0) {
            progress(run);
        }
        if (long_run_is_told(run->began_ns + (second + 1) * MLT_NS_PER_S)) {
            run->interrupted = true;
            break;
        }
    }
}

static void read_exchange(struct soak_run *run)
{
    struct mlt_buf body;
    mlt_buf_init(&body, 16u << 20);
    run->frames_sent = run->rest_refused = run->weight_peak = -1;
    if (mlt_stack_try_get(&stack, "exchange", "/sim/status", &body)) {
        run->frames_sent = mlt_scrape_member(mlt_buf_view(&body), "frames_sent");
        run->rest_refused = mlt_scrape_member(mlt_buf_view(&body), "rest_refused");
        run->weight_peak = mlt_scrape_member(mlt_buf_view(&body), "rest_weight_peak");
    }
    mlt_buf_fini(&body);
}

/* Where one is gone its neighbours wait for it as long as they may: all at once then. */
static void tell_all_to_end(void)
{
    for (unsigned i = 0; i < SOAK_SERVICES; i++) {
        if (!probe.processes[i].gone) {
            (void)kill(mlt_stack_pid(&stack, soak_process_names[i]), SIGTERM);
        }
    }
}

/* Asks, stops and ends everything, the senders first. */
static void end(struct soak_run *run)
{
    soak_steer_stop(&steer);
    const bool all = soak_probe_tick(&probe, false);
    run->ended_ns = mlt_clock_mono_ns();
    soak_watch_end(&watch);
    soak_probe_end(&probe);
    read_exchange(run);
    run->load_after = long_run_machine_load();
    if (!all) {
        tell_all_to_end();
    }
    for (unsigned i = 0; i < SOAK_SERVICES; i++) {
        probe.processes[i].exit_status = mlt_stack_terminate(&stack, soak_process_names[i]);
    }
}

static int soak(const void *ctx, const char *table_path)
{
    const struct soak_plan *plan = ctx;
    struct soak_run run = { .plan = plan,
                            .stack = &stack,
                            .watch = &watch,
                            .steer = &steer,
                            .probe = &probe,
                            .load_before = long_run_machine_load() };
    start(plan, table_path);
    const int64_t ready_until_ns = mlt_clock_mono_ns() + READY_S * MLT_NS_PER_S;
    bool ready = false, stopped = false;
    while (!(ready = soak_watch_live(&watch)) && !stopped && mlt_clock_mono_ns() < ready_until_ns) {
        stopped = long_run_is_told(mlt_clock_mono_ns() + 100 * MLT_NS_PER_MS);
    }
    int status = 1;
    if (ready) {
        run.began_wall_ns = mlt_clock_wall_ns();
        run.began_ns = mlt_clock_mono_ns();
        soak_steer_start(&steer, &watch, stack.nats_url, plan->consumers, plan->seed);
        soak_probe_start(&probe, &stack, &watch, plan->seed);
        (void)fprintf(stderr, "soak: every book is LIVE, it begins\n");
        run_on(&run);
        end(&run);
        status = soak_report(&run);
        soak_probe_free(&probe);
    } else if (!stopped) {
        (void)fprintf(stderr, "soak: not every book was LIVE within %d s\n", READY_S);
    }
    mlt_stack_stop(&stack);
    soak_watch_free(&watch);
    return status;
}

int main(int argc, char **argv)
{
    struct soak_plan plan = { .symbols = 50,
                              .rate = 1500,
                              .consumers = 8,
                              .poll_s = POLL_S,
                              .seed = (uint64_t)mlt_clock_wall_ns() / MLT_NS_PER_S };
    static const struct long_run_options options = { "soak", usage, take_option, check_plan };
    int status = 2;
    return long_run_parse(&options, &plan, argc, argv, &status)
               ? long_run_with_table("soak", SOAK_TABLE(POLL_MS), soak, &plan)
               : status;
}
