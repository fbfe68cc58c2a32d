/*
 * Real Conductors that share the partitions, one of which stops in some way under flow: the others
 * own what it had, each book is LIVE again within two seconds, and a consumer sees every channel of
 * every epoch numbered without a hole and every update id once. That is looked at with each event,
 * in the order of arrival, without a rule for repeats: there is none to be ignored.
 */
#include "flow_peers.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "meltica/base/clock.h"

#define FIRST_ID 100
#define LEVELS 5u
#define WINDOW_MS "50"
#define ROUND_NS (4 * MLT_NS_PER_MS)
#define CONDUCTORS 3u
#define WAIT_NS (30 * MLT_NS_PER_S)
#define LIVE_NS (2 * MLT_NS_PER_S)
#define PAGE_BYTES 262144u

struct followed {
    uint64_t epochs[MLT_EVENT_TYPE_COUNT], sequences[MLT_EVENT_TYPE_COUNT];
    int64_t delta_last, book_last;
    uint64_t live_epoch; /* of the newest BOOK that is LIVE */
    int64_t live_at_ns;  /* monotonic: when the first one of that epoch came */
    uint64_t live_books; /* of that epoch */
};

static struct {
    struct server server;
    struct feeder feeder;
    struct process conductors[CONDUCTORS], data_bus;
    struct mlt_bus *bus;
    struct mlt_bus_subscription *sub;
    struct mlt_arena arena;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* monotonic clock */
    int64_t last;           /* update id sent, of each instrument */
    struct followed of[FLOW_INSTRUMENTS];
    uint64_t lost;
    bool lossy; /* the live lane may have lost something to a server that died */
    char problem[256];
    pthread_t thread;
    bool running, stop;
} rig;

/* ---- feeding ---- */

static void send_event(unsigned instrument, struct mlt_event *e)
{
    e->instrument = mlt_slice_of_string(feeder_token(instrument));
    e->route_revision = 2;
    e->stamps.received = e->stamps.adapted = e->stamps.dispatched = mlt_clock_wall_ns();
    e->stamps.exchange = e->stamps.conducted = e->stamps.published = MLT_STAMP_UNKNOWN;
    e->key = mlt_event_key(e->instrument, e->type, e->first, e->last, 0);
    e->quality |= MLT_QUALITY_WANTS_BOOK;
    feeder_send_event(&rig.feeder, e);
}

static void send_snapshot(unsigned instrument)
{
    static const int64_t bids[LEVELS] = { 1000, 999, 998, 997, 996 },
                         asks[LEVELS] = { 1001, 1002, 1003, 1004, 1005 },
                         quantities[LEVELS] = { 1, 2, 3, 4, 5 };
    struct mlt_event e = { .type = MLT_EVENT_BOOK_SNAPSHOT,
                           .first = rig.last,
                           .last = rig.last,
                           .rest_function = MLT_SLICE_LITERAL("depth") };
    e.u.book_snapshot = (struct mlt_book_snapshot){ .last_update_id = rig.last,
                                                    .bids = { -2, -3, LEVELS, bids, quantities },
                                                    .asks = { -2, -3, LEVELS, asks, quantities },
                                                    .requested_depth = 1000 };
    send_event(instrument, &e);
}

/* Of all instruments: a delta with the next update id. */
static void send_round(void)
{
    const int64_t id = ++rig.last, bid = 1000 - id % LEVELS, ask = 1001 + id % LEVELS;
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        struct mlt_event e = { .type = MLT_EVENT_BOOK_DELTA, .first = id, .last = id };
        e.u.book_delta.bids = (struct mlt_levels){ -2, -3, 1, &bid, &id };
        e.u.book_delta.asks = (struct mlt_levels){ -2, -3, 1, &ask, &id };
        send_event(i, &e);
    }
}

static void *feed_all(void *arg)
{
    (void)arg;
    int64_t at = mlt_clock_mono_ns();
    (void)pthread_mutex_lock(&rig.mutex);
    while (!rig.stop) {
        send_round();
        at += ROUND_NS;
        const struct timespec next = { .tv_sec = at / MLT_NS_PER_S, .tv_nsec = at % MLT_NS_PER_S };
        while (!rig.stop && mlt_clock_mono_ns() < at) {
            (void)pthread_cond_timedwait(&rig.changed, &rig.mutex, &next);
        }
    }
    (void)pthread_mutex_unlock(&rig.mutex);
    return NULL;
}

static void pause_feeding(void)
{
    if (rig.running) {
        (void)pthread_mutex_lock(&rig.mutex);
        rig.stop = true;
        (void)pthread_cond_broadcast(&rig.changed);
        (void)pthread_mutex_unlock(&rig.mutex);
        (void)pthread_join(rig.thread, NULL);
        rig.running = rig.stop = false;
    }
}

/* ---- the consumer ---- */

static void problem(const struct mlt_event *e, const char *what, uint64_t before)
{
    if (rig.problem[0] == '\0') {
        (void)snprintf(rig.problem, sizeof rig.problem, "%s: %.*s %s %llu of epoch %llu after %llu",
                       what, MLT_SLICE_FMT(e->instrument), mlt_event_type_word((int)e->type),
                       (unsigned long long)e->sequence, (unsigned long long)e->epoch,
                       (unsigned long long)before);
    }
}

static void follow_number(struct followed *f, const struct mlt_event *e)
{
    const bool begins = e->epoch != f->epochs[e->type];
    const uint64_t expected = begins ? 1 : f->sequences[e->type] + 1;
    if (e->epoch < f->epochs[e->type] || e->sequence < expected) {
        problem(e, "repeat", f->sequences[e->type]);
        return;
    }
    if (e->sequence > expected && !rig.lossy) {
        problem(e, "hole", f->sequences[e->type]);
    }
    f->epochs[e->type] = e->epoch;
    f->sequences[e->type] = e->sequence;
}

static void follow_book(struct followed *f, const struct mlt_event *e)
{
    if (e->last < f->book_last) { /* no step back between two owners either */
        problem(e, "book went back", (uint64_t)f->book_last);
    }
    f->book_last = e->last;
    if (e->u.book.state == MLT_BOOK_LIVE) {
        if (f->live_epoch != e->epoch) {
            f->live_epoch = e->epoch;
            f->live_at_ns = mlt_clock_mono_ns();
            f->live_books = 0;
        }
        f->live_books++;
    }
}

static void follow(unsigned i, const struct mlt_event *e)
{
    struct followed *f = &rig.of[i];
    if (e->type == MLT_EVENT_STATUS && e->u.status.kind == MLT_STATUS_HEADS) {
        return; /* numbered in no channel */
    }
    if (e->type == MLT_EVENT_STATUS && e->u.status.kind == MLT_STATUS_LOST) {
        rig.lost++;
        if (e->sequence == 0) {
            return;
        }
    }
    follow_number(f, e);
    if (e->type == MLT_EVENT_BOOK_DELTA) {
        if (e->last <= f->delta_last) {
            problem(e, "delta twice", (uint64_t)f->delta_last);
        } else if (f->delta_last != 0 && e->first != f->delta_last + 1 && !rig.lossy) {
            problem(e, "delta missing", (uint64_t)f->delta_last);
        }
        f->delta_last = e->last;
    } else if (e->type == MLT_EVENT_BOOK) {
        follow_book(f, e);
    }
}

static void on_data(void *ctx, const struct mlt_bus_message *message)
{
    (void)ctx;
    struct mlt_event e;
    mlt_arena_reset(&rig.arena);
    assert_int_equal(mlt_event_decode(message->payload, &rig.arena, &e), MLT_OK);
    (void)pthread_mutex_lock(&rig.mutex);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        if (mlt_slice_equal(e.instrument, mlt_slice_of_string(feeder_token(i)))) {
            follow(i, &e);
        }
    }
    (void)pthread_cond_broadcast(&rig.changed);
    (void)pthread_mutex_unlock(&rig.mutex);
}

static uint32_t partition_of(unsigned i)
{
    return mlt_instrument_slot(mlt_slice_of_string(feeder_token(i))) % FLOW_PARTITIONS;
}

/* Where the instruments of these partitions are: epochs and books. */
struct place {
    uint64_t epochs[FLOW_INSTRUMENTS], books[FLOW_INSTRUMENTS];
};

static struct place place(void)
{
    struct place at;
    (void)pthread_mutex_lock(&rig.mutex);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        at.epochs[i] = rig.of[i].live_epoch;
        at.books[i] = rig.of[i].live_books;
    }
    (void)pthread_mutex_unlock(&rig.mutex);
    return at;
}

/* Waits until each instrument of these partitions has LIVE BOOKs of a newer epoch than then, and
 * each other one further ones of the same. Returns when the last of the first did, in ns after
 * `begin`. */
static int64_t await_live(const struct place *then, uint64_t partitions, int64_t begin)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    const struct timespec until = { .tv_sec = deadline / MLT_NS_PER_S,
                                    .tv_nsec = deadline % MLT_NS_PER_S };
    int64_t last = begin;
    int rc = 0;
    (void)pthread_mutex_lock(&rig.mutex);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        const struct followed *f = &rig.of[i];
        const bool newer = (partitions >> partition_of(i) & 1) != 0;
        while (rc == 0 && (newer ? f->live_epoch <= then->epochs[i] || f->live_books < 3
                                 : f->live_books < then->books[i] + 3)) {
            rc = pthread_cond_timedwait(&rig.changed, &rig.mutex, &until);
        }
        if (newer && f->live_at_ns > last) {
            last = f->live_at_ns;
        }
        if (!newer && f->live_epoch != then->epochs[i] && rig.problem[0] == '\0') {
            (void)snprintf(rig.problem, sizeof rig.problem, "%s has another owner",
                           feeder_token(i));
        }
    }
    (void)pthread_mutex_unlock(&rig.mutex);
    if (rc != 0) {
        fail_msg("no LIVE BOOKs; %s", rig.problem);
    }
    return last - begin;
}

static void assert_clean(void)
{
    (void)pthread_mutex_lock(&rig.mutex);
    if (rig.problem[0] != '\0' || (rig.lost > 0 && !rig.lossy)) {
        fail_msg("%s; %llu LOST", rig.problem, (unsigned long long)rig.lost);
    }
    (void)pthread_mutex_unlock(&rig.mutex);
}

/* Everything that was fed has come. */
static void assert_complete(void)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    const struct timespec until = { .tv_sec = deadline / MLT_NS_PER_S,
                                    .tv_nsec = deadline % MLT_NS_PER_S };
    int rc = 0;
    pause_feeding();
    (void)pthread_mutex_lock(&rig.mutex);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        while (rc == 0 && (rig.of[i].delta_last != rig.last || rig.of[i].book_last != rig.last)) {
            rc = pthread_cond_timedwait(&rig.changed, &rig.mutex, &until);
        }
    }
    (void)pthread_mutex_unlock(&rig.mutex);
    assert_int_equal(rc, 0);
    assert_clean();
}

static void assert_in_time(const char *what, int64_t took_ns)
{
    print_message("    %s: every book LIVE after %lld ms\n", what,
                  (long long)(took_ns / MLT_NS_PER_MS));
    assert_true(took_ns < (MLT_TEST_SANITIZED ? 5 : 1) * LIVE_NS);
}

/* ---- the rig ---- */

static void run(unsigned replica, const char *replicas)
{
    static const char *const numbers[CONDUCTORS] = { "0", "1", "2" };
    static const char *const instances[CONDUCTORS] = { "conductor-0", "conductor-1",
                                                       "conductor-2" };
    const char *const arguments[] = { "--instance",     instances[replica], "--replica",
                                      numbers[replica], "--replicas",       replicas,
                                      "--throttle-ms",  WINDOW_MS,          NULL };
    process_start(&rig.conductors[replica], "meltica-conductor", rig.server.url, arguments);
}

static void rig_start(bool jetstream, unsigned conductors)
{
    memset(&rig, 0, sizeof rig);
    server_start(&rig.server, jetstream, "");
    (void)pthread_mutex_init(&rig.mutex, NULL);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&rig.changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    mlt_arena_init(&rig.arena, 65536, 1 << 20);
    rig.bus = url_connect(rig.server.url, NULL);
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_bus_subscribe_options options = { .subject = "meltica.data.>" };
    assert_int_equal(mlt_bus_subscribe(rig.bus, &options, on_data, NULL, &rig.sub, &err), MLT_OK);
    assert_true(mlt_bus_rtt_ns(rig.bus) >= 0); /* the server has the subscription */
    feeder_start(&rig.feeder, rig.server.url);
    feeder_set_table(
        &rig.feeder, 2,
        1u << MLT_EVENT_BOOK_DELTA | 1u << MLT_EVENT_BOOK_SNAPSHOT | 1u << MLT_EVENT_BOOK, false);
    process_start(&rig.data_bus, "meltica-data-bus", rig.server.url, NULL);
    for (unsigned n = 0; n < conductors; n++) {
        run(n, conductors == 2 ? "2" : "3");
    }
    rig.last = FIRST_ID;
    send_round();
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        send_snapshot(i);
    }
    assert_int_equal(pthread_create(&rig.thread, NULL, feed_all, NULL), 0);
    rig.running = true;
    const struct place nothing = { 0 };
    (void)await_live(&nothing, UINT64_MAX, 0);
}

/* Also after a failure: nothing may stay behind. */
static int rig_end(void **state)
{
    (void)state;
    pause_feeding();
    for (unsigned n = 0; n < CONDUCTORS; n++) {
        if (rig.conductors[n].pid != 0) {
            (void)kill(rig.conductors[n].pid, SIGCONT);
        }
        process_kill(&rig.conductors[n]);
    }
    process_kill(&rig.data_bus);
    mlt_bus_unsubscribe(rig.sub);
    mlt_bus_destroy(rig.bus, 0);
    feeder_end(&rig.feeder);
    server_end(&rig.server);
    mlt_arena_fini(&rig.arena);
    return 0;
}

static uint64_t metric(unsigned conductor, const char *name)
{
    static char page[PAGE_BYTES];
    char text[128];
    (void)snprintf(text, sizeof text, "\n%s ", name);
    assert_int_equal(process_get(&rig.conductors[conductor], "/metrics", page, sizeof page), 200);
    const char *at = strstr(page, text);
    assert_non_null(at);
    return strtoull(at + strlen(text), NULL, 10);
}

static void assert_owned(unsigned conductor, uint64_t partitions)
{
    assert_int_equal(metric(conductor, "meltica_conductor_owned_partitions"), partitions);
}

static uint64_t taken(unsigned conductor)
{
    return metric(conductor, "meltica_conductor_takeovers_total{reason=\"silent\"}") +
           metric(conductor, "meltica_conductor_takeovers_total{reason=\"released\"}") +
           metric(conductor, "meltica_conductor_takeovers_total{reason=\"home\"}");
}

#define OF_0 (1u << 0 | 1u << 2) /* of two replicas */
#define OF_1 (1u << 1 | 1u << 3)

/* ---- tests ---- */

static void test_an_owner_killed_under_load_is_replaced(void **state)
{
    (void)state;
    rig_start(true, 2);
    for (unsigned turn = 0; turn < 2; turn++) { /* each of them once */
        const unsigned gone = 1 - turn, stays = turn;
        struct place then = place();
        int64_t at = mlt_clock_mono_ns();
        process_kill(&rig.conductors[gone]);
        assert_in_time("killed", await_live(&then, gone == 0 ? OF_0 : OF_1, at));
        assert_owned(stays, FLOW_PARTITIONS);
        assert_int_equal(metric(stays, "meltica_conductor_takeovers_total{reason=\"silent\"}"), 2);
        /* It is back, and has its own. */
        then = place();
        at = mlt_clock_mono_ns();
        run(gone, "2");
        assert_in_time("back", await_live(&then, gone == 0 ? OF_0 : OF_1, at));
        size_t from = 0;
        process_wait_log(&rig.conductors[stays], "\"event\":\"standby\"", &from);
        assert_owned(stays, 2);
        assert_owned(gone, 2);
        char page[4096];
        assert_int_equal(process_get(&rig.conductors[stays], "/readyz", page, sizeof page), 200);
    }
    assert_int_equal(metric(0, "meltica_conductor_peers"), 1);
    assert_complete();
}

static void test_an_owner_that_ends_hands_over_at_once(void **state)
{
    (void)state;
    rig_start(true, 2);
    struct place then = place();
    assert_int_equal(process_end(&rig.conductors[1]), 0);
    const int64_t at = mlt_clock_mono_ns();
    assert_in_time("ended", await_live(&then, OF_1, at));
    assert_int_equal(metric(0, "meltica_conductor_takeovers_total{reason=\"released\"}"), 2);
    assert_int_equal(metric(0, "meltica_conductor_takeovers_total{reason=\"silent\"}"), 0);
    assert_owned(0, FLOW_PARTITIONS);
    assert_complete();
}

static void test_an_owner_that_slept_stands_by_and_has_its_own_back(void **state)
{
    (void)state;
    rig_start(true, 2);
    struct place then = place();
    int64_t at = mlt_clock_mono_ns();
    assert_int_equal(kill(rig.conductors[1].pid, SIGSTOP), 0);
    assert_in_time("stopped", await_live(&then, OF_1, at));
    assert_owned(0, FLOW_PARTITIONS);
    then = place();
    assert_int_equal(kill(rig.conductors[1].pid, SIGCONT), 0);
    size_t from = 0;
    process_wait_log(&rig.conductors[1], "\"event\":\"standby\"", &from);
    assert_owned(1, 0);
    (void)await_live(&then, 0, 0); /* nobody else notices */
    assert_clean();
    /* Without a restart. */
    (void)await_live(&then, OF_1, 0);
    assert_int_equal(metric(1, "meltica_conductor_takeovers_total{reason=\"home\"}"), 2);
    from = 0;
    process_wait_log(&rig.conductors[0], "\"event\":\"standby\"", &from);
    assert_owned(0, 2);
    assert_owned(1, 2);
    assert_complete();
}

/* As a rolling update does it: one after the other is told the new number. */
static void test_scaled_from_two_to_three_and_back(void **state)
{
    (void)state;
    rig_start(true, 2);
    struct place then = place();
    run(2, "3");
    (void)await_live(&then, 1u << 2, 0);
    for (unsigned n = 2; n-- > 0;) {
        then = place();
        assert_int_equal(process_end(&rig.conductors[n]), 0);
        (void)await_live(&then, n == 1 ? OF_1 : 1u << 0, 0);
        then = place();
        run(n, "3");
        (void)await_live(&then, n == 1 ? 1u << 1 : 1u << 0 | 1u << 3, 0);
    }
    assert_owned(0, 2);
    assert_owned(1, 1);
    assert_owned(2, 1);
    assert_clean();
    then = place();
    assert_int_equal(process_end(&rig.conductors[2]), 0);
    (void)await_live(&then, 1u << 2, 0);
    for (unsigned n = 2; n-- > 0;) {
        then = place();
        assert_int_equal(process_end(&rig.conductors[n]), 0);
        (void)await_live(&then, n == 1 ? 1u << 1 : OF_0, 0);
        then = place();
        run(n, "2");
        (void)await_live(&then, n == 1 ? OF_1 : OF_0, 0);
    }
    assert_owned(0, 2);
    assert_owned(1, 2);
    assert_complete();
}

/* Nobody is heard while NATS is away, and nobody takes anything for that. */
static void test_nats_killed_changes_no_owner(void **state)
{
    (void)state;
    rig_start(true, 3);
    rig.lossy = true;
    for (unsigned turn = 0; turn < 2; turn++) {
        struct place then = place();
        if (turn == 0) {
            server_restart(&rig.server);
        } else { /* away for longer than an owner may be silent */
            server_stop(&rig.server);
            const int64_t until = mlt_clock_mono_ns() + 2 * MLT_NS_PER_S;
            const struct timespec end = { .tv_sec = until / MLT_NS_PER_S,
                                          .tv_nsec = until % MLT_NS_PER_S };
            (void)pthread_mutex_lock(&rig.mutex);
            while (mlt_clock_mono_ns() < until) {
                (void)pthread_cond_timedwait(&rig.changed, &rig.mutex, &end);
            }
            (void)pthread_mutex_unlock(&rig.mutex);
            server_restart(&rig.server);
        }
        (void)await_live(&then, 0, 0);
        for (unsigned round = 0; round < 40; round++) { /* 3 x 50 ms each: past all that waits */
            then = place();
            (void)await_live(&then, 0, 0);
        }
    }
    for (unsigned n = 0; n < 3; n++) {
        assert_int_equal(taken(n), 0);
        assert_int_equal(metric(n, "meltica_conductor_outbid_total"), 0);
    }
    (void)pthread_mutex_lock(&rig.mutex);
    if (rig.problem[0] != '\0') {
        fail_msg("%s", rig.problem);
    }
    (void)pthread_mutex_unlock(&rig.mutex);
}

/* A claim that cannot be written is none: the owner might live, and never learn of it. */
static void test_without_jetstream_nobody_stands_in(void **state)
{
    (void)state;
    rig_start(false, 2);
    struct place then = place();
    process_kill(&rig.conductors[1]);
    size_t from = 0;
    process_wait_log(&rig.conductors[0], "\"event\":\"takeover_failed\"", &from);
    assert_owned(0, 2);
    (void)await_live(&then, 0, 0);
    run(1, "2"); /* it numbers from the time, as ever */
    from = 0;
    process_wait_log(&rig.conductors[1], "\"event\":\"epoch_by_time\"", &from);
    pause_feeding();
    assert_clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_an_owner_killed_under_load_is_replaced, rig_end),
        cmocka_unit_test_teardown(test_an_owner_that_ends_hands_over_at_once, rig_end),
        cmocka_unit_test_teardown(test_an_owner_that_slept_stands_by_and_has_its_own_back, rig_end),
        cmocka_unit_test_teardown(test_scaled_from_two_to_three_and_back, rig_end),
        cmocka_unit_test_teardown(test_nats_killed_changes_no_owner, rig_end),
        cmocka_unit_test_teardown(test_without_jetstream_nobody_stands_in, rig_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
