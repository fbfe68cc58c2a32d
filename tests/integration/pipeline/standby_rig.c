/* See standby_rig.h. */
#include "standby_rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FIRST_ID 100
#define WINDOW_MS "50"
#define ROUND_NS (4 * MLT_NS_PER_MS)
#define WAIT_NS (30 * MLT_NS_PER_S)
/* Two seconds are promised after a kill, and test_recovery holds the services to that; here a book
 * that waits for something else is a fault. */
#define LIVE_NS ((MLT_TEST_SANITIZED ? 10 : 5) * MLT_NS_PER_S)
#define PAGE_BYTES 262144u

/* Of those that wait for an owner the first one takes what it had after its silence, less a beat.
 */
#define STILL_NS (MLT_OWNERS_SILENCE_NS - MLT_OWNERS_BEAT_NS)

struct standby_rig rig;
static int64_t still_ns; /* the longest that one stood still, of all tests of a group; under lock */

/* ---- feeding ---- */

/* Of all instruments: a delta with the next update id. */
static void send_round(void)
{
    rig.last++;
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        feeder_send_depth(&rig.feeder, i, rig.last);
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

void pause_feeding(void)
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

/* False: it is not greater than the last one, and to be ignored. */
static bool follow_number(struct followed *f, const struct mlt_event *e)
{
    const bool begins = e->epoch != f->epochs[e->type];
    const uint64_t expected = begins ? 1 : f->sequences[e->type] + 1;
    if (e->epoch < f->epochs[e->type] || e->sequence < expected) {
        rig.repeats++;
        if (!rig.repeating) {
            problem(e, "repeat", f->sequences[e->type]);
        }
        return false;
    }
    if (e->sequence > expected && !rig.lossy) {
        problem(e, "hole", f->sequences[e->type]);
    }
    f->epochs[e->type] = e->epoch;
    f->sequences[e->type] = e->sequence;
    return true;
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
    if (!follow_number(f, e)) {
        return;
    }
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

/* ---- who says that it owns something ---- */

static void on_beat(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_owners_beat beat;
    const int64_t now = mlt_clock_mono_ns();
    const bool is_conductor = strcmp(message->subject, "meltica.int.owners.conductor") == 0;
    (void)ctx;
    if (mlt_owners_decode(message->payload, &beat) != MLT_OK ||
        beat.replica >= (is_conductor ? CONDUCTORS : DATA_BUSES)) {
        return;
    }
    (void)pthread_mutex_lock(&rig.mutex);
    struct beater *b = &rig.beaters[is_conductor ? beat.replica : CONDUCTORS + beat.replica];
    if (b->boot == beat.boot && b->heard_ns != 0 && !b->held && now - b->heard_ns > still_ns) {
        still_ns = now - b->heard_ns;
    }
    b->boot = beat.boot;
    b->heard_ns = now;
    (void)pthread_mutex_unlock(&rig.mutex);
}

static void set_held(unsigned beater, bool held)
{
    (void)pthread_mutex_lock(&rig.mutex);
    for (unsigned i = 0; i < BEATERS; i++) {
        if (i == beater || beater == BEATERS) {
            rig.beaters[i].held = held;
            rig.beaters[i].heard_ns = 0;
        }
    }
    (void)pthread_mutex_unlock(&rig.mutex);
}

void rig_hold(unsigned beater)
{
    set_held(beater, true);
}

void rig_let_go(unsigned beater)
{
    set_held(beater, false);
}

int standby_run(int (*group)(void))
{
    still_ns = 0;
    const int failed = group();
    if (failed == 0 || still_ns < STILL_NS) {
        return failed;
    }
    print_message(
        "one of them did not run for %lld ms, and what it had was rightly taken: once more\n",
        (long long)(still_ns / MLT_NS_PER_MS));
    return group();
}

static uint32_t partition_of(unsigned i)
{
    return mlt_instrument_slot(mlt_slice_of_string(feeder_token(i))) % FLOW_PARTITIONS;
}

struct place place(void)
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

int64_t await_live(const struct place *then, uint64_t partitions, int64_t begin)
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
        if ((rig.ownerless >> partition_of(i) & 1) != 0) {
            continue;
        }
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

void assert_clean(void)
{
    (void)pthread_mutex_lock(&rig.mutex);
    const bool clean = rig.problem[0] == '\0' && (rig.lost == 0 || rig.lossy);
    (void)pthread_mutex_unlock(&rig.mutex); /* a failure ends the rig, which takes it */
    if (!clean) {
        fail_msg("%s; %llu LOST", rig.problem, (unsigned long long)rig.lost);
    }
}

void assert_complete(void)
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

void assert_in_time(const char *what, int64_t took_ns)
{
    print_message("    %s: every book LIVE after %lld ms\n", what,
                  (long long)(took_ns / MLT_NS_PER_MS));
    assert_true(took_ns < LIVE_NS);
}

/* ---- the rig ---- */

void run_conductor(unsigned replica, const char *replicas)
{
    static const char *const numbers[CONDUCTORS] = { "0", "1", "2" };
    static const char *const instances[CONDUCTORS] = { "conductor-0", "conductor-1",
                                                       "conductor-2" };
    const char *const arguments[] = { "--instance",     instances[replica], "--replica",
                                      numbers[replica], "--replicas",       replicas,
                                      "--throttle-ms",  WINDOW_MS,          NULL };
    process_start(&rig.conductors[replica], "meltica-conductor", rig.server.url, arguments);
}

static void data_bus_at(const char *url, unsigned replica, const char *replicas)
{
    static const char *const numbers[DATA_BUSES] = { "0", "1", "2" };
    static const char *const instances[DATA_BUSES] = { "data-bus-0", "data-bus-1", "data-bus-2" };
    const char *const arguments[] = { "--instance", instances[replica],
                                      "--replica",  numbers[replica],
                                      "--replicas", replicas,
                                      NULL };
    process_start(&rig.data_buses[replica], "meltica-data-bus", url, arguments);
}

/* As a user of NATS that may not hear what owners say, and may say everything. */
static const char users[] =
    "authorization { users: [ { user: all, password: x },"
    " { user: deaf, password: x, permissions: { publish: \">\","
    " subscribe: { allow: \">\", deny: [\"meltica.int.owners.>\"] } } } ] }\n"
    "no_auth_user: all\n";

void run_deaf_data_bus(unsigned replica)
{
    char url[128];
    (void)snprintf(url, sizeof url, "nats://deaf:x@127.0.0.1:%d", rig.server.port);
    data_bus_at(url, replica, "2");
}

void run_data_bus(unsigned replica, const char *replicas)
{
    data_bus_at(rig.server.url, replica, replicas);
}

/* One that a busy machine starts late finds what is its own taken, and has it back after some time.
 */
static void await_home(unsigned conductors)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    const struct timespec until = { .tv_sec = deadline / MLT_NS_PER_S,
                                    .tv_nsec = deadline % MLT_NS_PER_S };
    for (unsigned n = 0; n < conductors; n++) {
        uint64_t own = 0;
        for (unsigned p = n; p < FLOW_PARTITIONS; p += conductors) {
            own++;
        }
        while (process_metric(&rig.conductors[n], "meltica_conductor_owned_partitions") != own) {
            assert_true(mlt_clock_mono_ns() < deadline);
            (void)pthread_mutex_lock(&rig.mutex);
            (void)pthread_cond_timedwait(&rig.changed, &rig.mutex, &until); /* the next event */
            (void)pthread_mutex_unlock(&rig.mutex);
        }
    }
}

void rig_start(bool jetstream, unsigned conductors, unsigned data_buses)
{
    memset(&rig, 0, sizeof rig);
    server_start(&rig.server, jetstream, users);
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
    const struct mlt_bus_subscribe_options beats = { .subject = "meltica.int.owners.*" };
    assert_int_equal(mlt_bus_subscribe(rig.bus, &beats, on_beat, NULL, &rig.beats, &err), MLT_OK);
    assert_true(mlt_bus_rtt_ns(rig.bus) >= 0); /* the server has the subscriptions */
    feeder_start(&rig.feeder, rig.server.url);
    feeder_set_table(
        &rig.feeder, 2,
        1u << MLT_EVENT_BOOK_DELTA | 1u << MLT_EVENT_BOOK_SNAPSHOT | 1u << MLT_EVENT_BOOK, false);
    for (unsigned n = 0; n < data_buses; n++) {
        run_data_bus(n, data_buses == 1 ? "1" : data_buses == 2 ? "2" : "3");
    }
    for (unsigned n = 0; n < conductors; n++) {
        run_conductor(n, conductors == 1 ? "1" : conductors == 2 ? "2" : "3");
    }
    rig.last = FIRST_ID;
    send_round();
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        feeder_send_answer(&rig.feeder, i, rig.last);
    }
    assert_int_equal(pthread_create(&rig.thread, NULL, feed_all, NULL), 0);
    rig.running = true;
    const struct place nothing = { 0 };
    (void)await_live(&nothing, UINT64_MAX, 0);
    await_home(conductors);
}

int rig_end(void **state)
{
    (void)state;
    pause_feeding();
    for (unsigned n = 0; n < CONDUCTORS; n++) {
        if (rig.conductors[n].pid != 0) {
            (void)kill(rig.conductors[n].pid, SIGCONT);
        }
        process_kill(&rig.conductors[n]);
    }
    for (unsigned n = 0; n < DATA_BUSES; n++) {
        if (rig.data_buses[n].pid != 0) {
            (void)kill(rig.data_buses[n].pid, SIGCONT);
        }
        process_kill(&rig.data_buses[n]);
    }
    mlt_bus_unsubscribe(rig.beats);
    mlt_bus_unsubscribe(rig.sub);
    mlt_bus_destroy(rig.bus, 0);
    feeder_end(&rig.feeder);
    server_end(&rig.server);
    mlt_arena_fini(&rig.arena);
    return 0;
}
