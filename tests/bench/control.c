/*
 * ./dev bench control [--report FILE] [--consumers N]: how long it takes until a command of the
 * Control Bus is in force, with all services, a NATS server and the simulator as processes of this
 * machine. Each of N consumers takes its share of 500 symbols, one after the other: subscribe, wait
 * for the first event, unsubscribe. docs/benchmarks.md says how to read it.
 */
#include "mlt_test.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/arena.h"
#include "meltica/base/clock.h"
#include "meltica/event/event.h"
#include "stack_bench.h"

#define SYMBOLS ((size_t)500)
#define REQUESTS (2 * SYMBOLS)
#define CONSUMERS_MAX 50u
#define FIRST_EVENT_NS (10 * MLT_NS_PER_S)
#define ANSWER_BYTES_MAX (1u << 20)
#define TABLE                                                                                      \
    "{\"version\":1,\"routes\":[{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\"},"                \
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}]}"

static struct stack_bench bench = {
    .name = "control", .option = "--consumers", .number = 10, .most = CONSUMERS_MAX, .table = TABLE
};

/* What came of each symbol; under the lock. */
static pthread_mutex_t seen_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t seen_changed = PTHREAD_COND_INITIALIZER;
static struct {
    int64_t first_ns;  /* monotonic, of the first event; 0: none */
    int64_t ended_ns;  /* wall clock, when the unsubscribe was confirmed; 0: not yet */
    uint64_t too_late; /* events published after that */
} seen[SYMBOLS + 1];

static int64_t take_effect_ns[REQUESTS], first_event_ns[SYMBOLS];

struct worker {
    pthread_t thread;
    unsigned first, step;
    char failure[800]; /* "": none */
};

static void on_event(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_arena *arena = ctx; /* one subscription, one thread */
    struct mlt_event event;
    const int64_t now_ns = mlt_clock_mono_ns();
    mlt_arena_reset(arena);
    if (mlt_event_decode(message->payload, arena, &event) != MLT_OK ||
        event.type != MLT_EVENT_BBO || event.instrument.len < 7) {
        return;
    }
    const unsigned long symbol = strtoul((const char *)event.instrument.data + 3, NULL, 10);
    if (symbol == 0 || symbol > SYMBOLS) {
        return;
    }
    (void)pthread_mutex_lock(&seen_lock);
    if (seen[symbol].first_ns == 0) {
        seen[symbol].first_ns = now_ns;
        (void)pthread_cond_broadcast(&seen_changed);
    }
    seen[symbol].too_late +=
        seen[symbol].ended_ns != 0 && event.stamps.published > seen[symbol].ended_ns;
    (void)pthread_mutex_unlock(&seen_lock);
}

/* When it came; 0: not in time. */
static int64_t wait_first(size_t symbol, int64_t begin_ns)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += FIRST_EVENT_NS / MLT_NS_PER_S;
    (void)pthread_mutex_lock(&seen_lock);
    while (seen[symbol].first_ns == 0 &&
           pthread_cond_timedwait(&seen_changed, &seen_lock, &until) == 0) {
    }
    const int64_t came_ns = seen[symbol].first_ns;
    (void)pthread_mutex_unlock(&seen_lock);
    return came_ns != 0 && came_ns < begin_ns ? begin_ns : came_ns;
}

/* How long until its CONFIRMED; negative: something else, which is in w->failure. */
static int64_t command(struct worker *w, const char *subject, const char *body, int64_t *begin_ns)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf answer;
    mlt_buf_init(&answer, ANSWER_BYTES_MAX);
    *begin_ns = mlt_clock_mono_ns();
    const enum mlt_status status = mlt_bus_request(bench.client, subject, mlt_slice_of_string(body),
                                                   5 * MLT_NS_PER_S, &answer, &err);
    int64_t took_ns = mlt_clock_mono_ns() - *begin_ns;
    static const char good[] = "\"status\":\"CONFIRMED\"";
    if (status != MLT_OK || memmem(answer.data, answer.len, good, sizeof good - 1) == NULL) {
        (void)snprintf(w->failure, sizeof w->failure, "%s %s: %s %.*s", subject, body, err.text,
                       (int)answer.len, (const char *)answer.data);
        took_ns = -1;
    }
    mlt_buf_fini(&answer);
    return took_ns;
}

static void *work(void *argument)
{
    struct worker *w = argument;
    char body[128];
    for (size_t s = w->first; s < SYMBOLS && w->failure[0] == '\0'; s += w->step) {
        int64_t begin_ns = 0, ignored_ns = 0;
        (void)snprintf(body, sizeof body,
                       "{\"consumer\":\"bench-%u\",\"type\":\"BBO\",\"instruments\":"
                       "[\"SYM%04zu-USDT\"]}",
                       w->first, s + 1);
        take_effect_ns[2 * s] = command(w, "meltica.control.subscribe", body, &begin_ns);
        const int64_t came_ns = wait_first(s + 1, begin_ns);
        first_event_ns[s] = came_ns - begin_ns;
        if (came_ns == 0 && w->failure[0] == '\0') {
            (void)snprintf(w->failure, sizeof w->failure, "SYM%04zu: no event in 10 s", s + 1);
        }
        take_effect_ns[2 * s + 1] = command(w, "meltica.control.unsubscribe", body, &ignored_ns);
        (void)pthread_mutex_lock(&seen_lock);
        seen[s + 1].ended_ns = mlt_clock_wall_ns();
        (void)pthread_mutex_unlock(&seen_lock);
    }
    return NULL;
}

/* ---- report ---- */

/* In ms with a decimal; the values are sorted. */
static void put_figures(FILE *to, const char *name, const int64_t *sorted, size_t count)
{
    static const struct {
        const char *name;
        size_t per_cent;
    } ranks[] = { { "p50", 50 }, { "p95", 95 }, { "p99", 99 }, { "max", 100 } };
    (void)fprintf(to, "\"%s\":{", name);
    for (size_t r = 0; r < 4; r++) {
        const size_t rank = (count * ranks[r].per_cent + 99) / 100; /* nearest rank */
        const int64_t tenths = sorted[rank - 1] / (MLT_NS_PER_MS / 10);
        (void)fprintf(to, "%s\"%s\":%lld.%lld", r > 0 ? "," : "", ranks[r].name,
                      (long long)(tenths / 10), (long long)(tenths % 10));
    }
    (void)fprintf(to, "}");
}

static void put_row(const char *name, const int64_t *sorted, size_t count)
{
    (void)fprintf(stderr, "%-16s%10lld%10lld%10lld%10lld\n", name,
                  (long long)(sorted[(count * 50 + 99) / 100 - 1] / MLT_NS_PER_MS),
                  (long long)(sorted[(count * 95 + 99) / 100 - 1] / MLT_NS_PER_MS),
                  (long long)(sorted[(count * 99 + 99) / 100 - 1] / MLT_NS_PER_MS),
                  (long long)(sorted[count - 1] / MLT_NS_PER_MS));
}

static bool report(FILE *to, unsigned consumers, int64_t took_ns, uint64_t too_late)
{
    qsort(take_effect_ns, REQUESTS, sizeof take_effect_ns[0], stack_bench_compare);
    qsort(first_event_ns, SYMBOLS, sizeof first_event_ns[0], stack_bench_compare);
    (void)fprintf(stderr, "%-16s%10s%10s%10s%10s\n", "ms", "p50", "p95", "p99", "max");
    put_row("take_effect_ms", take_effect_ns, REQUESTS);
    put_row("first_event_ms", first_event_ns, SYMBOLS);
    (void)fprintf(to, "{\"requests\":%zu,\"consumers\":%u,\"seconds\":%lld,", REQUESTS, consumers,
                  (long long)(took_ns / MLT_NS_PER_S));
    put_figures(to, "take_effect_ms", take_effect_ns, REQUESTS);
    (void)fprintf(to, ",");
    put_figures(to, "first_event_ms", first_event_ns, SYMBOLS);
    (void)fprintf(to, ",\"events_after_unsubscribe\":%llu}\n", (unsigned long long)too_late);
    return fflush(to) == 0;
}

/* ---- run ---- */

static bool listing_known(void)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf answer;
    mlt_buf_init(&answer, ANSWER_BYTES_MAX);
    const bool known = mlt_bus_request(bench.client, "meltica.control.status", MLT_SLICE_EMPTY,
                                       2 * MLT_NS_PER_S, &answer, &err) == MLT_OK &&
                       memmem(answer.data, answer.len, "\"instruments_listed\":500", 24) != NULL &&
                       memmem(answer.data, answer.len, "\"current\":true", 14) != NULL;
    mlt_buf_fini(&answer);
    return known;
}

static void start(void)
{
    mlt_stack_run_services(&bench.stack);
    const int64_t until_ns = mlt_clock_mono_ns() + 30 * MLT_NS_PER_S;
    while (!listing_known()) {
        assert_true(mlt_clock_mono_ns() < until_ns);
    }
}

/* 0, or 1 when a command came to nothing or an event came after its end. */
static int run(unsigned consumers, FILE *to)
{
    static struct worker workers[CONSUMERS_MAX];
    static struct mlt_arena arena;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus_subscription *events = NULL;
    const struct mlt_bus_subscribe_options lane = { .subject = "meltica.data.*",
                                                    .pending_count_max = 1 << 20,
                                                    .pending_bytes_max = 256u << 20 };
    int failed = 0;
    uint64_t too_late = 0;
    mlt_arena_init(&arena, 65536, 16u << 20);
    assert_int_equal(mlt_bus_subscribe(bench.client, &lane, on_event, &arena, &events, &err),
                     MLT_OK);
    assert_true(mlt_bus_rtt_ns(bench.client) >= 0);
    const int64_t begin_ns = mlt_clock_mono_ns();
    for (unsigned i = 0; i < consumers; i++) {
        workers[i].first = i;
        workers[i].step = consumers;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < consumers; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    }
    const int64_t took_ns = mlt_clock_mono_ns() - begin_ns;
    mlt_bus_unsubscribe(events);
    mlt_arena_fini(&arena);
    for (unsigned i = 0; i < consumers; i++) {
        if (workers[i].failure[0] != '\0') {
            (void)fprintf(stderr, "bench control: %s\n", workers[i].failure);
            failed = 1;
        }
    }
    for (size_t s = 1; s <= SYMBOLS; s++) {
        too_late += seen[s].too_late;
    }
    if (failed == 0 && (!report(to, consumers, took_ns, too_late) || too_late > 0)) {
        (void)fprintf(stderr, "bench control: %llu events after their end, or no report\n",
                      (unsigned long long)too_late);
        failed = 1;
    }
    return failed;
}

int main(int argc, char **argv)
{
    static const char *const exchange[] = {
        "--synthetic",           "--symbols", "500", "--rate", "20000", "--seed", "7",
        "--start-subscriptions", "0",         NULL
    };
    const int status = stack_bench_start(&bench, argc, argv, exchange);
    if (status != 0) {
        return status;
    }
    start();
    return stack_bench_end(&bench, run((unsigned)bench.number, bench.to));
}
