/*
 * The real Conductor with 500 instruments of 1,000 levels a side and a BOOK every 100 ms of each:
 * how much memory it needs is asserted, and that each BOOK is a put. How long puts take and how
 * many BOOKs come late depends on the machine: it is printed.
 */
#include "flow_peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "meltica/base/clock.h"

#define INSTRUMENTS 500u
#define LEVELS 1000u
#define CHANGES 10u /* a side in a delta */
#define ROUND_NS (100 * MLT_NS_PER_MS)
#define SLICES 20u /* of a round: the instruments do not change all at once */
#define ROUNDS 20u
#define RESIDENT_KB_MAX (96u << 10) /* what waits for a slow reader included */
#define WAIT_NS (30 * MLT_NS_PER_S)

static struct {
    struct server server;
    struct feeder feeder;
    struct process conductor, data_bus;
    int64_t last[INSTRUMENTS];
    pthread_mutex_t mutex;
    pthread_cond_t never; /* monotonic clock */
    char page[131072];
} rig;

static void send_event(unsigned instrument, struct mlt_event *e)
{
    char token[32];
    (void)snprintf(token, sizeof token, "LOAD%u-USDT", instrument);
    e->instrument = mlt_slice_of_string(token);
    e->route_revision = 2;
    e->stamps.received = e->stamps.adapted = e->stamps.dispatched = mlt_clock_wall_ns();
    e->stamps.exchange = e->stamps.conducted = e->stamps.published = MLT_STAMP_UNKNOWN;
    e->key = mlt_event_key(e->instrument, e->type, e->first, e->last, 0);
    e->quality |= MLT_QUALITY_WANTS_BOOK;
    while (mlt_hop_congested(rig.feeder.sender)) {
        (void)mlt_hop_wait_room(rig.feeder.sender, MLT_NS_PER_S);
    }
    feeder_send_event(&rig.feeder, e);
}

static void send_snapshot(unsigned instrument)
{
    static int64_t bids[LEVELS], asks[LEVELS], quantities[LEVELS];
    for (unsigned l = 0; l < LEVELS; l++) {
        bids[l] = 100000 - (int64_t)l;
        asks[l] = 100001 + (int64_t)l;
        quantities[l] = 100000 + (int64_t)l;
    }
    const int64_t id = rig.last[instrument];
    struct mlt_event e = { .type = MLT_EVENT_BOOK_SNAPSHOT,
                           .first = id,
                           .last = id,
                           .rest_function = MLT_SLICE_LITERAL("depth") };
    e.u.book_snapshot = (struct mlt_book_snapshot){ .last_update_id = id,
                                                    .bids = { -2, -3, LEVELS, bids, quantities },
                                                    .asks = { -2, -3, LEVELS, asks, quantities },
                                                    .requested_depth = LEVELS };
    send_event(instrument, &e);
}

static void send_delta(unsigned instrument)
{
    int64_t bids[CHANGES], asks[CHANGES], quantities[CHANGES];
    const int64_t id = ++rig.last[instrument];
    for (unsigned n = 0; n < CHANGES; n++) {
        const int64_t level = (int64_t)(n * 3) + id % 3;
        bids[n] = 100000 - level;
        asks[n] = 100001 + level;
        quantities[n] = 100000 + id % 1000 + (int64_t)n;
    }
    struct mlt_event e = { .type = MLT_EVENT_BOOK_DELTA, .first = id, .last = id };
    e.u.book_delta.bids = (struct mlt_levels){ -2, -3, CHANGES, bids, quantities };
    e.u.book_delta.asks = (struct mlt_levels){ -2, -3, CHANGES, asks, quantities };
    send_event(instrument, &e);
}

static void until_ns(int64_t at)
{
    const struct timespec until = { .tv_sec = at / MLT_NS_PER_S, .tv_nsec = at % MLT_NS_PER_S };
    (void)pthread_mutex_lock(&rig.mutex);
    while (mlt_clock_mono_ns() < at) {
        (void)pthread_cond_timedwait(&rig.never, &rig.mutex, &until);
    }
    (void)pthread_mutex_unlock(&rig.mutex);
}

/* ---- what the Conductor says ---- */

static void look(void)
{
    assert_int_equal(process_get(&rig.conductor, "/metrics", rig.page, sizeof rig.page), 200);
}

static double metric(const char *name)
{
    char text[128];
    (void)snprintf(text, sizeof text, "\n%s ", name);
    const char *at = strstr(rig.page, text);
    if (at == NULL) {
        fail_msg("no metric %s", name);
        return 0;
    }
    return strtod(at + strlen(text), NULL);
}

static unsigned long resident_kb(const char *what)
{
    char path[64], line[256];
    unsigned long kb = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)rig.conductor.pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fail_msg("cannot read %s", path);
        return 0;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, what, strlen(what)) == 0) {
            kb = strtoul(line + strlen(what), NULL, 10);
        }
    }
    assert_int_equal(fclose(file), 0);
    return kb;
}

static void await_live(void)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    do { /* each look is a request */
        look();
        assert_true(mlt_clock_mono_ns() < deadline);
    } while (metric("meltica_conductor_book_states{state=\"LIVE\"}") < INSTRUMENTS ||
             metric("meltica_conductor_cache_behind") > 0);
}

static void flow(unsigned rounds)
{
    int64_t at = mlt_clock_mono_ns();
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned slice = 0; slice < SLICES; slice++) {
            for (unsigned i = slice; i < INSTRUMENTS; i += SLICES) {
                send_delta(i);
            }
            at += ROUND_NS / SLICES;
            until_ns(at);
        }
    }
}

static void test_five_hundred_books_ten_times_a_second(void **state)
{
    (void)state;
    server_start(&rig.server, true, "");
    feeder_start(&rig.feeder, rig.server.url);
    feeder_set_table(
        &rig.feeder, 2,
        1u << MLT_EVENT_BOOK_DELTA | 1u << MLT_EVENT_BOOK_SNAPSHOT | 1u << MLT_EVENT_BOOK, false);
    process_start(&rig.data_bus, "meltica-data-bus", rig.server.url, NULL);
    process_start(&rig.conductor, "meltica-conductor", rig.server.url, NULL);
    for (unsigned i = 0; i < INSTRUMENTS; i++) {
        rig.last[i] = 100;
        send_snapshot(i);
        send_delta(i);
    }
    await_live();
    const double books = metric("meltica_conductor_books_total"),
                 late = metric("meltica_conductor_books_late_total"),
                 puts = metric("meltica_conductor_cache_put_duration_seconds_count"),
                 sum = metric("meltica_conductor_cache_put_duration_seconds_sum");
    const unsigned long at_rest = resident_kb("VmRSS:");
    flow(ROUNDS);
    look();
    const double made = metric("meltica_conductor_books_total") - books,
                 made_late = metric("meltica_conductor_books_late_total") - late,
                 put = metric("meltica_conductor_cache_put_duration_seconds_count") - puts,
                 took = metric("meltica_conductor_cache_put_duration_seconds_sum") - sum;
    const unsigned long peak = resident_kb("VmHWM:");
    print_message("    %.0f BOOKs in %.1f s, %.0f late; %.0f puts, %.3f ms each on average; "
                  "resident %lu KiB when LIVE, %lu under load, at most %lu\n",
                  made, (double)ROUNDS * ROUND_NS / MLT_NS_PER_S, made_late, put, 1000 * took / put,
                  at_rest, resident_kb("VmRSS:"), peak);
    assert_true(made >= INSTRUMENTS);
    assert_true(put >= made - INSTRUMENTS); /* each BOOK is a put; one of each may be on its way */
    assert_true(metric("meltica_conductor_book_gaps_total") == 0);
    assert_true(metric("meltica_conductor_book_states{state=\"LIVE\"}") == INSTRUMENTS);
    if (!MLT_TEST_SANITIZED) {
        assert_in_range(peak, 1, RESIDENT_KB_MAX);
    }
}

static int set_up(void **state)
{
    (void)state;
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&rig.mutex, NULL);
    (void)pthread_cond_init(&rig.never, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    process_kill(&rig.conductor);
    process_kill(&rig.data_bus);
    feeder_end(&rig.feeder);
    server_end(&rig.server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_setup_teardown(
        test_five_hundred_books_ten_times_a_second, set_up, tear_down) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
