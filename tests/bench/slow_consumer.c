/*
 * ./dev bench slow-consumer [--report FILE] [--seconds N] [--rounds N] [--rate N] [--defaults]:
 * how late events are at three consumers while a fourth one reads, and while it is stopped. Five
 * services, simulator, a NATS server with the settings that are shipped and the four consumers are
 * processes of this machine. docs/benchmarks.md says how to read it.
 */
#include "mlt_test.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "chaos_consumer.h"
#include "meltica/base/clock.h"
#include "meltica/base/log.h"
#include "mlt_stack.h"
#include "mlt_subscriber.h"
#include "scrape.h"

#define SYMBOLS 20u
#define CONSUMERS 4u
#define STOPPED (CONSUMERS - 1)
#define RATIO_MAX_PER_MILLE 3000
#define WARM_UP_EVENTS 50000u
#define WAIT_S 60
/* What nats-server does when it is told nothing, to be compared with. */
#define DEFAULTS "write_deadline: \"10s\"\nmax_pending: 64MB\nno_fast_producer_stall: false\n"

enum phase { PHASE_NONE, PHASE_READING, PHASE_STOPPED };
static const char *const phase_names[] = { "", "reading", "stopped" };
static const char *const span_names[] = { "frame_to_consumer", "bus_to_consumer" };

struct bench {
    unsigned long seconds, rounds;
    const char *rate;
    bool defaults;
    const char *report;
};

static struct mlt_stack stack;
static struct mlt_subscriber consumers[CONSUMERS];
static struct mlt_latency all[MLT_SUBSCRIBER_PHASES][MLT_SUBSCRIBER_SPANS];
static uint64_t cut_after_ms, memory_max; /* of the slowest cut; of nats-server */
static unsigned cuts;

static void set_phase(enum phase phase)
{
    for (unsigned i = 0; i < STOPPED; i++) {
        atomic_store(&consumers[i].shared->phase, phase);
    }
}

static uint64_t slow_consumers(void)
{
    struct mlt_buf body;
    mlt_buf_init(&body, 1u << 20);
    assert_true(mlt_stack_monitor(&stack, "/varz", &body));
    const int64_t count = mlt_scrape_member(mlt_buf_view(&body), "slow_consumers");
    mlt_buf_fini(&body);
    return count > 0 ? (uint64_t)count : 0;
}

struct wait {
    uint64_t than;
    int64_t until_ns;
};

static bool more_are_cut(void *ctx)
{
    const struct wait *w = ctx;
    const int64_t resident = mlt_stack_resident_bytes(&stack, "nats");
    memory_max = resident > 0 && (uint64_t)resident > memory_max ? (uint64_t)resident : memory_max;
    return slow_consumers() > w->than || mlt_clock_mono_ns() >= w->until_ns;
}

static bool time_is_up(void *ctx)
{
    const struct wait *w = ctx;
    return mlt_clock_mono_ns() >= w->until_ns;
}

static bool has_more_events(void *ctx)
{
    const struct wait *w = ctx;
    bool more = true;
    for (unsigned i = 0; i < CONSUMERS; i++) {
        more = more && atomic_load(&consumers[i].shared->events) >= w->than;
    }
    return more;
}

static bool is_connected_again(void *ctx)
{
    const struct wait *w = ctx;
    return atomic_load(&consumers[STOPPED].shared->connects) > w->than;
}

static bool all_have_reached(void *ctx)
{
    (void)ctx;
    bool reached = true;
    for (unsigned i = 0; i < CONSUMERS; i++) {
        reached = reached && mlt_subscriber_has_reached(&consumers[i]);
    }
    return reached;
}

/* All four read; then one of them is stopped, until the time is over. */
static void round_trip(const struct bench *b)
{
    struct wait wait = { .until_ns = mlt_clock_mono_ns() + (int64_t)b->seconds * MLT_NS_PER_S };
    set_phase(PHASE_READING);
    (void)mlt_subscriber_wait(time_is_up, &wait, (int)b->seconds + WAIT_S);
    const int64_t begin_ns = mlt_clock_mono_ns();
    wait.than = slow_consumers();
    wait.until_ns = begin_ns + (int64_t)b->seconds * MLT_NS_PER_S;
    const struct wait before = { .than = atomic_load(&consumers[STOPPED].shared->connects) };
    set_phase(PHASE_STOPPED);
    mlt_subscriber_signal(&consumers[STOPPED], SIGSTOP);
    (void)mlt_subscriber_wait(more_are_cut, &wait, (int)b->seconds + WAIT_S);
    if (slow_consumers() > wait.than) {
        const uint64_t took_ms = (uint64_t)((mlt_clock_mono_ns() - begin_ns) / MLT_NS_PER_MS);
        cuts++;
        cut_after_ms = took_ms > cut_after_ms ? took_ms : cut_after_ms;
    }
    (void)mlt_subscriber_wait(time_is_up, &wait, (int)b->seconds + WAIT_S);
    set_phase(PHASE_NONE);
    const bool was_cut = slow_consumers() > wait.than;
    mlt_subscriber_signal(&consumers[STOPPED], SIGCONT);
    struct wait back = before;
    assert_true(!was_cut || mlt_subscriber_wait(is_connected_again, &back, WAIT_S));
}

static void run(const struct bench *b)
{
    static struct chaos_heads heads[CHAOS_SYMBOLS_MAX];
    struct wait wait = { .than = WARM_UP_EVENTS };
    assert_true(mlt_subscriber_wait(has_more_events, &wait, WAIT_S));
    for (unsigned long r = 0; r < b->rounds; r++) {
        round_trip(b);
    }
    assert_true(chaos_read_heads(&stack, SYMBOLS, heads));
    for (unsigned i = 0; i < CONSUMERS; i++) {
        mlt_subscriber_tell_heads(&consumers[i], heads);
    }
    assert_true(mlt_subscriber_wait(all_have_reached, NULL, WAIT_S));
}

/* ---- report ---- */

static void add(struct mlt_latency *to, const struct mlt_latency *from)
{
    for (unsigned i = 0; i < MLT_LATENCY_BUCKETS; i++) {
        to->counts[i] += from->counts[i];
    }
    to->count += from->count;
    to->negative += from->negative;
    to->max_ns = from->max_ns > to->max_ns ? from->max_ns : to->max_ns;
}

static int64_t ratio_per_mille(enum mlt_subscriber_span span)
{
    const int64_t base = mlt_latency_at(&all[PHASE_READING][span], 990);
    return base > 0 ? mlt_latency_at(&all[PHASE_STOPPED][span], 990) * 1000 / base : 0;
}

static void put_report(FILE *to, uint64_t missed)
{
    (void)fprintf(to,
                  "{\"consumers\":%u,\"cuts\":%u,\"cut_after_ms\":%" PRIu64
                  ",\"nats_resident_bytes\":%" PRIu64 ",\"missed_by_the_others\":%" PRIu64,
                  CONSUMERS, cuts, cut_after_ms, memory_max, missed);
    for (unsigned s = 0; s < MLT_SUBSCRIBER_SPANS; s++) {
        (void)fprintf(to, ",\"%s_us\":{", span_names[s]);
        for (unsigned p = PHASE_READING; p <= PHASE_STOPPED; p++) {
            const struct mlt_latency *l = &all[p][s];
            (void)fprintf(to,
                          "%s\"%s\":{\"events\":%" PRIu64 ",\"p50\":%" PRId64 ",\"p99\":%" PRId64
                          ",\"p999\":%" PRId64 ",\"max\":%" PRId64 "}",
                          p > PHASE_READING ? "," : "", phase_names[p], l->count,
                          mlt_latency_at(l, 500) / 1000, mlt_latency_at(l, 990) / 1000,
                          mlt_latency_at(l, 999) / 1000, l->max_ns / 1000);
            (void)fprintf(stderr, "%-20s%-10s%10" PRIu64 "%10.2f%10.2f%10.2f%10.2f\n",
                          span_names[s], phase_names[p], l->count,
                          (double)mlt_latency_at(l, 500) / 1e6,
                          (double)mlt_latency_at(l, 990) / 1e6,
                          (double)mlt_latency_at(l, 999) / 1e6, (double)l->max_ns / 1e6);
        }
        const int64_t ratio = ratio_per_mille((enum mlt_subscriber_span)s);
        (void)fprintf(to, ",\"p99_stopped_to_reading\":%" PRId64 ".%03" PRId64 "}", ratio / 1000,
                      ratio % 1000);
        (void)fprintf(stderr, "%-20sp99 stopped to reading: %" PRId64 ".%02" PRId64 "\n",
                      span_names[s], ratio / 1000, ratio % 1000 / 10);
    }
    (void)fprintf(to, "}\n");
}

/* 0, or 1 where the others noticed. */
static int judge(const struct bench *b, FILE *to)
{
    uint64_t missed = 0;
    for (unsigned i = 0; i < CONSUMERS; i++) {
        mlt_subscriber_end(&consumers[i]);
        const struct mlt_subscriber_shared *s = consumers[i].shared;
        missed += i == STOPPED
                      ? s->silent_holes
                      : s->silent_holes + atomic_load(&s->holes) + atomic_load(&s->dropped);
        if (s->first_silent[0] != '\0') {
            (void)fprintf(stderr, "bench slow-consumer: %u: %s\n", i, s->first_silent);
        }
        for (unsigned p = PHASE_READING; i != STOPPED && p <= PHASE_STOPPED; p++) {
            add(&all[p][0], &s->latency[p][0]);
            add(&all[p][1], &s->latency[p][1]);
        }
    }
    (void)fprintf(stderr, "%-20s%-10s%10s%10s%10s%10s%10s\n", "ms", "", "events", "p50", "p99",
                  "p99.9", "max");
    put_report(to, missed);
    int failed = 0;
    if (cuts < b->rounds) {
        (void)fprintf(stderr,
                      "bench slow-consumer: nats-server cut the stopped one %u times of %lu\n",
                      cuts, b->rounds);
        failed = 1;
    }
    if (missed > 0) {
        (void)fprintf(stderr, "bench slow-consumer: %" PRIu64 " holes\n", missed);
        failed = 1;
    }
    for (unsigned s = 0; s < MLT_SUBSCRIBER_SPANS; s++) {
        failed |= ratio_per_mille((enum mlt_subscriber_span)s) > RATIO_MAX_PER_MILLE;
    }
    return failed;
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: ./dev bench slow-consumer [--report FILE] [--seconds 5..600] "
                          "[--rounds 1..20] [--rate N] [--defaults]\n");
    return 2;
}

static bool read_options(struct bench *b, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--defaults") == 0) {
            b->defaults = true;
        } else if (i + 1 == argc) {
            return false;
        } else if (strcmp(argv[i], "--report") == 0) {
            b->report = argv[++i];
        } else if (strcmp(argv[i], "--seconds") == 0) {
            b->seconds = strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--rounds") == 0) {
            b->rounds = strtoul(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--rate") == 0) {
            b->rate = argv[++i];
        } else {
            return false;
        }
    }
    return b->seconds >= 5 && b->seconds <= 600 && b->rounds >= 1 && b->rounds <= 20 &&
           strtoul(b->rate, NULL, 10) > 0;
}

int main(int argc, char **argv)
{
    mlt_subscriber_main(argc, argv);
    struct bench b = { .seconds = 15, .rounds = 3, .rate = "25000" };
    if (!read_options(&b, argc, argv)) {
        return usage();
    }
    FILE *to = b.report != NULL ? fopen(b.report, "we") : stdout;
    if (to == NULL) {
        (void)fprintf(stderr, "bench slow-consumer: cannot write %s\n", b.report);
        return 2;
    }
    mlt_log_init("bench", "", MLT_LOG_ERROR); /* a person reads this */
    mlt_stack_find_binaries();
    const struct mlt_stack_options options = {
        .exchange = { "--synthetic", "--symbols", "20", "--rate", b.rate, "--seed", "7" },
        .nats_users = b.defaults ? MLT_STACK_MONITOR DEFAULTS : MLT_STACK_MONITOR,
    };
    mlt_stack_start(&stack, &options);
    for (unsigned i = 0; i < CONSUMERS; i++) {
        mlt_subscriber_start(&consumers[i], stack.nats_url, i, SYMBOLS, 0);
    }
    mlt_stack_run_services(&stack);
    run(&b);
    const int failed = judge(&b, to);
    for (unsigned i = 0; i < CONSUMERS; i++) {
        mlt_subscriber_free(&consumers[i]);
    }
    mlt_stack_stop(&stack);
    return to != stdout && fclose(to) != 0 ? 1 : failed;
}
