/* The real Conductor and a Data Bus that stands still, or is away, while the market goes on: the
 * delivery tiers of docs/wire-format.md. What is lossless comes, or is said to be lost; of BBO and
 * TICKER the newest comes, and says what it stands for. */
#include "flow_peers.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "meltica/base/clock.h"

#define WAIT_NS (30 * MLT_NS_PER_S)
#define QUOTES 10 /* BBOs for each trade */
#define RESIDENT_KB_MAX (64u << 10)
#define TABLE_TYPES                                                                                \
    (1u << MLT_EVENT_TRADE | 1u << MLT_EVENT_BOOK_DELTA | 1u << MLT_EVENT_BBO |                    \
     1u << MLT_EVENT_TICKER)

/* A channel as a consumer sees it. */
struct seen {
    uint64_t epoch, sequence;
    int64_t position, price;
    uint64_t states; /* that the events stand for */
    uint32_t merged; /* the most of one */
    uint64_t excused_from, excused_to;
};

static struct {
    struct server server;
    struct feeder feeder;
    struct process conductor, data_bus;
    struct mlt_bus *bus;
    struct mlt_bus_subscription *sub;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* monotonic clock */
    struct mlt_arena arena;
    struct seen seen[FLOW_INSTRUMENTS][MLT_EVENT_TYPE_COUNT];
    uint64_t lost;  /* STATUS LOST */
    uint64_t holes; /* jumps that nothing was said of */
    uint64_t wrong; /* an older state after a newer one, or a range that does not follow */
    char problem[192];
    /* What was sent: the last position by instrument and type, and how many of all. */
    int64_t sent[FLOW_INSTRUMENTS][MLT_EVENT_TYPE_COUNT];
    uint64_t sent_count;
} rig;

/* ---- the market ---- */

static void send_next(unsigned instrument, enum mlt_event_type type)
{
    struct mlt_event e;
    memset(&e, 0, sizeof e);
    const int64_t position = ++rig.sent[instrument][type], one = 1;
    e.instrument = mlt_slice_of_string(feeder_token(instrument));
    e.type = type;
    e.first = e.last = position;
    e.route_revision = 2;
    e.stamps.received = e.stamps.adapted = e.stamps.dispatched = mlt_clock_wall_ns();
    e.stamps.exchange = e.stamps.conducted = e.stamps.published = MLT_STAMP_UNKNOWN;
    e.key = mlt_event_key(e.instrument, type, position, position, 0);
    if (type == MLT_EVENT_TRADE) {
        e.u.trade.trade_id = position;
    } else if (type == MLT_EVENT_BBO) {
        e.u.bbo.bid_price = (struct mlt_decimal){ 1000 + position, -2 };
    } else if (type == MLT_EVENT_TICKER) {
        e.u.ticker.last_price = (struct mlt_decimal){ 1000 + position, -2 };
    } else {
        e.u.book_delta.bids = (struct mlt_levels){ -2, -8, 1, &one, &one };
    }
    feeder_send_event(&rig.feeder, &e);
    rig.sent_count++;
}

static void send_rounds(unsigned rounds)
{
    while (rounds-- > 0) {
        (void)mlt_hop_wait_room(rig.feeder.sender, WAIT_NS);
        for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
            send_next(i, MLT_EVENT_TRADE);
            send_next(i, MLT_EVENT_BOOK_DELTA);
            for (unsigned n = 0; n < QUOTES; n++) {
                send_next(i, MLT_EVENT_BBO);
            }
            send_next(i, MLT_EVENT_TICKER);
        }
    }
}

/* ---- the consumer ---- */

static void problem(uint64_t *count, const struct mlt_event *e, const struct seen *s)
{
    if ((*count)++ == 0) {
        (void)snprintf(rig.problem, sizeof rig.problem,
                       "%.*s %s %llu.%llu covers %lld to %lld; stood at %llu.%llu, %lld",
                       MLT_SLICE_FMT(e->instrument), mlt_event_type_word((int)e->type),
                       (unsigned long long)e->epoch, (unsigned long long)e->sequence,
                       (long long)e->first, (long long)e->last, (unsigned long long)s->epoch,
                       (unsigned long long)s->sequence, (long long)s->position);
    }
}

static void excuse(struct seen *channels, const struct mlt_status_event *lost)
{
    for (size_t t = 1; t < MLT_EVENT_TYPE_COUNT; t++) {
        if (lost->lost_type == MLT_EVENT_NONE || lost->lost_type == (enum mlt_event_type)t) {
            channels[t].excused_from = lost->first;
            channels[t].excused_to = lost->lost_type == MLT_EVENT_NONE ? UINT64_MAX : lost->last;
        }
    }
}

static void take(const struct mlt_event *e, struct seen *channels)
{
    struct seen *s = &channels[e->type];
    if (e->type == MLT_EVENT_STATUS && e->u.status.kind == MLT_STATUS_LOST) {
        rig.lost++;
        excuse(channels, &e->u.status);
    }
    /* A Data Bus that begins again may repeat what the one before had delivered. */
    if (e->sequence == 0 || e->epoch < s->epoch ||
        (e->epoch == s->epoch && e->sequence <= s->sequence)) {
        return;
    }
    const uint64_t expected = e->epoch == s->epoch ? s->sequence + 1 : 1;
    const bool jump = e->sequence != expected;
    if (jump && (s->excused_from > expected || s->excused_to < e->sequence - 1)) {
        problem(&rig.holes, e, s);
    }
    if (e->type != MLT_EVENT_STATUS && e->type != MLT_EVENT_INSTRUMENT) {
        /* Each state is in exactly one event, unless events are missing. */
        if (e->first > e->last || e->first <= s->position ||
            (!jump && rig.lost == 0 && e->first != s->position + 1) ||
            (rig.lost == 0 && (int64_t)e->merged != e->last - e->first)) {
            problem(&rig.wrong, e, s);
        }
        s->position = e->last;
        s->states += e->merged + 1;
        s->merged = e->merged > s->merged ? e->merged : s->merged;
        s->price = e->type == MLT_EVENT_BBO      ? e->u.bbo.bid_price.mantissa
                   : e->type == MLT_EVENT_TICKER ? e->u.ticker.last_price.mantissa
                                                 : 0;
    }
    s->epoch = e->epoch;
    s->sequence = e->sequence;
    s->excused_from = s->excused_to = 0;
}

static void on_message(void *ctx, const struct mlt_bus_message *message)
{
    (void)ctx;
    struct mlt_event e;
    (void)pthread_mutex_lock(&rig.mutex);
    mlt_arena_reset(&rig.arena);
    if (mlt_event_decode(message->payload, &rig.arena, &e) == MLT_OK) {
        for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
            if (mlt_slice_equal_string(e.instrument, feeder_token(i))) {
                take(&e, rig.seen[i]);
            }
        }
    }
    (void)pthread_cond_broadcast(&rig.changed);
    (void)pthread_mutex_unlock(&rig.mutex);
}

static bool all_there(void)
{
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        for (size_t t = 1; t < MLT_EVENT_TYPE_COUNT; t++) {
            if (rig.seen[i][t].position < rig.sent[i][t]) {
                return false;
            }
        }
    }
    return true;
}

/* The last event of each channel came, and what it says is what was sent last. */
static void await_newest(void)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    const struct timespec until = { .tv_sec = deadline / MLT_NS_PER_S,
                                    .tv_nsec = deadline % MLT_NS_PER_S };
    (void)pthread_mutex_lock(&rig.mutex);
    bool in_time = true;
    while (!all_there() && in_time) {
        in_time = pthread_cond_timedwait(&rig.changed, &rig.mutex, &until) == 0;
    }
    const bool there = all_there();
    for (unsigned i = 0; there && i < FLOW_INSTRUMENTS; i++) {
        assert_int_equal(rig.seen[i][MLT_EVENT_BBO].price, 1000 + rig.sent[i][MLT_EVENT_BBO]);
        assert_int_equal(rig.seen[i][MLT_EVENT_TICKER].price, 1000 + rig.sent[i][MLT_EVENT_TICKER]);
    }
    (void)pthread_mutex_unlock(&rig.mutex);
    assert_true(there);
}

static void assert_nothing_unsaid(void)
{
    (void)pthread_mutex_lock(&rig.mutex);
    if (rig.holes + rig.wrong > 0) {
        fail_msg("%llu holes, %llu wrong; first: %s", (unsigned long long)rig.holes,
                 (unsigned long long)rig.wrong, rig.problem);
    }
    (void)pthread_mutex_unlock(&rig.mutex);
}

/* Every state that was sent is in some event, and some of them stand for others. */
static void assert_all_covered(void)
{
    uint32_t merged = 0;
    (void)pthread_mutex_lock(&rig.mutex);
    assert_int_equal(rig.lost, 0);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        const struct seen *s = rig.seen[i];
        assert_int_equal(s[MLT_EVENT_BBO].states, rig.sent[i][MLT_EVENT_BBO]);
        assert_int_equal(s[MLT_EVENT_TICKER].states, rig.sent[i][MLT_EVENT_TICKER]);
        assert_int_equal(s[MLT_EVENT_TRADE].sequence, rig.sent[i][MLT_EVENT_TRADE]);
        assert_int_equal(s[MLT_EVENT_BOOK_DELTA].sequence, rig.sent[i][MLT_EVENT_BOOK_DELTA]);
        merged = s[MLT_EVENT_BBO].merged > merged ? s[MLT_EVENT_BBO].merged : merged;
    }
    assert_true(merged > 0);
    (void)pthread_mutex_unlock(&rig.mutex);
    assert_nothing_unsaid();
}

/* ---- the services ---- */

static double metric(const char *series)
{
    return (double)process_metric(&rig.conductor, series);
}

/* Each look is a request. */
static void await_metric(const char *series, double least, double most)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    double value = metric(series);
    while (value < least || value > most) {
        assert_true(mlt_clock_mono_ns() < deadline);
        value = metric(series);
    }
}

static void await_taken(void)
{
    await_metric("meltica_conductor_in_total", (double)rig.sent_count, (double)rig.sent_count);
}

static void stop_data_bus(void)
{
    int status = 0;
    assert_int_equal(kill(rig.data_bus.pid, SIGSTOP), 0);
    assert_int_equal(waitpid(rig.data_bus.pid, &status, WUNTRACED), rig.data_bus.pid);
    assert_true(WIFSTOPPED(status));
}

static void resume_data_bus(void)
{
    assert_int_equal(kill(rig.data_bus.pid, SIGCONT), 0);
}

static unsigned long peak_kb(void)
{
    char path[64], line[256];
    unsigned long kb = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)rig.conductor.pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) {
            kb = strtoul(line + 6, NULL, 10);
        }
    }
    assert_int_equal(fclose(file), 0);
    return kb;
}

/* Until quotes merge, and somewhat longer; the ring is far from half full then. */
static void send_until_merged(void)
{
    unsigned rounds = 0;
    while (metric("meltica_conductor_merged_total{type=\"BBO\"}") < 500 ||
           metric("meltica_conductor_merged_total{type=\"TICKER\"}") < 50) {
        assert_true(++rounds < 1000);
        send_rounds(1);
        await_taken();
    }
}

/* ---- tests ---- */

static void test_a_data_bus_that_stands_still_gets_all_that_is_lossless_and_the_newest(void **state)
{
    (void)state;
    stop_data_bus();
    send_until_merged();
    assert_true(metric("meltica_hop_overrun_batches_total{hop=\"out\"}") == 0);
    resume_data_bus();
    await_newest(); /* nothing more is sent */
    assert_all_covered();
    await_metric("meltica_conductor_withheld", 0, 0);
    send_rounds(1); /* and it is as before */
    await_newest();
    assert_all_covered();
}

/* None, for longer than the ring holds what cannot be merged. */
static void test_what_is_lost_is_said_and_the_newest_comes_all_the_same(void **state)
{
    (void)state;
    process_kill(&rig.data_bus);
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    while (metric("meltica_hop_overrun_batches_total{hop=\"out\"}") == 0) {
        assert_true(mlt_clock_mono_ns() < deadline);
        send_rounds(20);
    }
    await_taken();
    process_start(&rig.data_bus, "meltica-data-bus", rig.server.url, NULL);
    send_rounds(1); /* a loss is seen by what follows it */
    await_newest();
    assert_nothing_unsaid();
    (void)pthread_mutex_lock(&rig.mutex);
    assert_true(rig.lost > 0);
    (void)pthread_mutex_unlock(&rig.mutex);
    await_metric("meltica_conductor_withheld", 0, 0);
    print_message("    %llu events sent, resident %lu KiB at most\n",
                  (unsigned long long)rig.sent_count, peak_kb());
    if (!MLT_TEST_SANITIZED) {
        assert_in_range(peak_kb(), 1, RESIDENT_KB_MAX);
    }
}

static void test_a_conductor_that_is_told_to_end_leaves_the_newest_behind(void **state)
{
    (void)state;
    stop_data_bus();
    send_until_merged();
    send_rounds(1);
    await_taken();
    assert_int_equal(process_end(&rig.conductor), 0);
    resume_data_bus();
    await_newest();
    assert_all_covered();
}

/* merge_quotes false: more than three eighths of the ring, and each quote comes by itself. */
static void test_quotes_that_must_not_merge_wait_as_all_else_does(void **state)
{
    (void)state;
    static const char *const arguments[] = { "--ring-bytes", "1048576", "--merge-quotes", "false",
                                             NULL };
    assert_int_equal(process_end(&rig.conductor), 0);
    process_start(&rig.conductor, "meltica-conductor", rig.server.url, arguments);
    send_rounds(1);
    await_newest();
    stop_data_bus();
    const double ring = metric("meltica_hop_ring_bytes{hop=\"out\"}");
    unsigned rounds = 0;
    while (metric("meltica_hop_unacked_bytes{hop=\"out\"}") < ring * 7 / 16) {
        assert_true(++rounds < 1000);
        send_rounds(1);
    }
    resume_data_bus();
    await_newest();
    assert_nothing_unsaid();
    (void)pthread_mutex_lock(&rig.mutex);
    assert_int_equal(rig.lost, 0);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        assert_int_equal(rig.seen[i][MLT_EVENT_BBO].merged, 0);
        assert_int_equal(rig.seen[i][MLT_EVENT_TICKER].merged, 0);
        assert_int_equal(rig.seen[i][MLT_EVENT_BBO].states, rig.sent[i][MLT_EVENT_BBO]);
    }
    (void)pthread_mutex_unlock(&rig.mutex);
}

static int set_up(void **state)
{
    (void)state;
    static const char *const arguments[] = { "--ring-bytes", "1048576", NULL };
    memset(&rig, 0, sizeof rig);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&rig.mutex, NULL);
    (void)pthread_cond_init(&rig.changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    mlt_arena_init(&rig.arena, 4096, 1u << 20);
    server_start(&rig.server, true, "");
    feeder_start(&rig.feeder, rig.server.url);
    feeder_set_table(&rig.feeder, 2, TABLE_TYPES, false);
    rig.bus = server_connect(&rig.server, NULL);
    const struct mlt_bus_subscribe_options options = { .subject = "meltica.data.*" };
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_bus_subscribe(rig.bus, &options, on_message, NULL, &rig.sub, &err),
                     MLT_OK);
    assert_true(mlt_bus_rtt_ns(rig.bus) > 0);
    process_start(&rig.data_bus, "meltica-data-bus", rig.server.url, NULL);
    process_start(&rig.conductor, "meltica-conductor", rig.server.url, arguments);
    send_rounds(1);
    await_newest();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    process_kill(&rig.conductor);
    process_kill(&rig.data_bus);
    mlt_bus_unsubscribe(rig.sub);
    mlt_bus_destroy(rig.bus, 0);
    feeder_end(&rig.feeder);
    server_end(&rig.server);
    mlt_arena_fini(&rig.arena);
    (void)pthread_cond_destroy(&rig.changed);
    (void)pthread_mutex_destroy(&rig.mutex);
    return 0;
}

int main(void)
{
#define ONE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ONE(test_a_data_bus_that_stands_still_gets_all_that_is_lossless_and_the_newest),
        ONE(test_what_is_lost_is_said_and_the_newest_comes_all_the_same),
        ONE(test_a_conductor_that_is_told_to_end_leaves_the_newest_behind),
        ONE(test_quotes_that_must_not_merge_wait_as_all_else_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
