/*
 * Two real Conductors that run at the same time and own the same instrument, under flow. The older
 * one is fenced, and a consumer sees neither its BOOKs again nor anything missing: every channel of
 * every epoch is numbered without a hole, every update id comes once, no key twice.
 */
#include "flow_peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "meltica/base/clock.h"
#include "meltica/bus/store.h"

#define FIRST_ID 100
#define WINDOW_MS "50"
#define ROUND_NS (2 * MLT_NS_PER_MS) /* many deltas in a window: BOOKs merge */
#define TURNS (MLT_TEST_SANITIZED ? 3u : 6u)
#define EVENTS_MAX 65536u
#define WAIT_NS (20 * MLT_NS_PER_S)

struct seen {
    enum mlt_event_type type;
    uint64_t epoch, sequence;
    int64_t first, last;
    uint64_t key;
};

static struct {
    struct server server;
    struct feeder feeder;
    struct process conductor, second, data_bus;
    struct mlt_bus *bus;
    struct mlt_bus_subscription *sub;
    struct mlt_arena arena;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* monotonic clock */
    int64_t last;           /* update id sent */
    struct seen seen[EVENTS_MAX];
    size_t count;
    uint64_t book_epoch; /* of the newest BOOK that is LIVE */
    int64_t book_last;
    uint64_t books; /* LIVE ones of that epoch */
    pthread_t thread;
    bool running, stop;
} rig;

/* ---- feeding ---- */

static void send_delta(void)
{
    feeder_send_depth(&rig.feeder, 0, ++rig.last);
}

static void *feed_all(void *arg)
{
    (void)arg;
    int64_t at = mlt_clock_mono_ns();
    (void)pthread_mutex_lock(&rig.mutex);
    while (!rig.stop) {
        send_delta();
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

static void on_data(void *ctx, const struct mlt_bus_message *message)
{
    (void)ctx;
    struct mlt_event e;
    mlt_arena_reset(&rig.arena);
    assert_int_equal(mlt_event_decode(message->payload, &rig.arena, &e), MLT_OK);
    if (e.type == MLT_EVENT_STATUS && e.u.status.kind == MLT_STATUS_HEADS) {
        return; /* of the Data Bus, and numbered in no channel */
    }
    (void)pthread_mutex_lock(&rig.mutex);
    if (rig.count < EVENTS_MAX) {
        struct seen *s = &rig.seen[rig.count];
        *s = (struct seen){ e.type, e.epoch, e.sequence, e.first, e.last, e.key };
    }
    rig.count++;
    if (e.type == MLT_EVENT_BOOK && e.u.book.state == MLT_BOOK_LIVE) {
        rig.books = e.epoch == rig.book_epoch ? rig.books + 1 : 1;
        rig.book_epoch = e.epoch;
        rig.book_last = e.last;
    }
    (void)pthread_cond_broadcast(&rig.changed);
    (void)pthread_mutex_unlock(&rig.mutex);
}

/* Waits for that many LIVE BOOKs of an epoch above `epoch`, the newest at or beyond `last`; the
 * epoch they have. */
static uint64_t await_books(uint64_t epoch, uint64_t books, int64_t last)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    const struct timespec until = { .tv_sec = deadline / MLT_NS_PER_S,
                                    .tv_nsec = deadline % MLT_NS_PER_S };
    int rc = 0;
    (void)pthread_mutex_lock(&rig.mutex);
    while (rc == 0 && (rig.book_epoch <= epoch || rig.books < books || rig.book_last < last)) {
        rc = pthread_cond_timedwait(&rig.changed, &rig.mutex, &until);
    }
    const uint64_t found = rig.book_epoch;
    (void)pthread_mutex_unlock(&rig.mutex);
    if (rc != 0) {
        fail_msg("no %llu LIVE BOOKs above epoch %llu", (unsigned long long)books,
                 (unsigned long long)epoch);
    }
    return found;
}

static int by_key(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    return x->key != y->key ? (x->key > y->key) - (x->key < y->key)
                            : (x->epoch > y->epoch) - (x->epoch < y->epoch);
}

/* In the order of arrival, without a rule for repeats: there is none to be ignored. */
static void assert_sequences(void)
{
    uint64_t epochs[MLT_EVENT_TYPE_COUNT] = { 0 }, sequences[MLT_EVENT_TYPE_COUNT] = { 0 };
    int64_t delta_last = FIRST_ID, book_last = 0;
    for (size_t n = 0; n < rig.count; n++) {
        const struct seen *s = &rig.seen[n];
        const bool begins = s->epoch != epochs[s->type];
        if (s->epoch < epochs[s->type] || s->sequence != (begins ? 1 : sequences[s->type] + 1)) {
            fail_msg("%s %llu of epoch %llu after %llu of %llu", mlt_event_type_word((int)s->type),
                     (unsigned long long)s->sequence, (unsigned long long)s->epoch,
                     (unsigned long long)sequences[s->type], (unsigned long long)epochs[s->type]);
        }
        epochs[s->type] = s->epoch;
        sequences[s->type] = s->sequence;
        if (s->type == MLT_EVENT_BOOK_DELTA) {
            assert_int_equal(s->first, delta_last + 1);
            delta_last = s->last;
        } else if (s->type == MLT_EVENT_BOOK) {
            assert_true(s->last >= book_last); /* no step back between two owners either */
            assert_true(begins || s->first == book_last + 1 || s->first == s->last);
            book_last = s->last;
        }
    }
    assert_int_equal(delta_last, rig.last);
    assert_int_equal(book_last, rig.last);
}

/* A BOOK of the same update id and state may come once in each epoch: the second owner shows the
 * record of the first. Nothing else has a key twice. */
static void assert_keys(void)
{
    qsort(rig.seen, rig.count, sizeof rig.seen[0], by_key);
    for (size_t n = 1; n < rig.count; n++) {
        const struct seen *a = &rig.seen[n - 1], *b = &rig.seen[n];
        if (a->key == b->key && (b->type == MLT_EVENT_BOOK_DELTA || a->epoch == b->epoch) &&
            b->type != MLT_EVENT_STATUS) {
            fail_msg("a key twice: %s %llu and %llu of epochs %llu and %llu",
                     mlt_event_type_word((int)b->type), (unsigned long long)a->sequence,
                     (unsigned long long)b->sequence, (unsigned long long)a->epoch,
                     (unsigned long long)b->epoch);
        }
    }
}

/* ---- the rig ---- */

static const char *const names[2][5] = {
    { "--instance", "conductor-one", "--throttle-ms", WINDOW_MS, NULL },
    { "--instance", "conductor-two", "--throttle-ms", WINDOW_MS, NULL },
};

static void rig_start(void)
{
    server_start(&rig.server, true, "");
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
    process_start(&rig.conductor, "meltica-conductor", rig.server.url, names[0]);
    rig.last = FIRST_ID;
    send_delta();
    feeder_send_answer(&rig.feeder, 0, rig.last);
    assert_int_equal(pthread_create(&rig.thread, NULL, feed_all, NULL), 0);
    rig.running = true;
}

/* Also after a failure: nothing may stay behind. */
static int rig_end(void **state)
{
    (void)state;
    pause_feeding();
    process_kill(&rig.conductor);
    process_kill(&rig.second);
    process_kill(&rig.data_bus);
    mlt_bus_unsubscribe(rig.sub);
    mlt_bus_destroy(rig.bus, 0);
    feeder_end(&rig.feeder);
    server_end(&rig.server);
    mlt_arena_fini(&rig.arena);
    return 0;
}

/* The bucket of the claims is gone, and nobody writes into it until the next owner makes it anew.
 */
static void lose_claims(void)
{
    struct mlt_buf answer;
    mlt_buf_init(&answer, 65536);
    assert_int_equal(mlt_bus_request(rig.bus, "$JS.API.STREAM.DELETE.KV_" MLT_OWNERS_BUCKET,
                                     MLT_SLICE_LITERAL(""), 5 * MLT_NS_PER_S, &answer, NULL),
                     MLT_OK);
    assert_non_null(memmem(answer.data, answer.len, "\"success\":true", 14));
    mlt_buf_fini(&answer);
}

/* ---- the test ---- */

static void test_of_two_conductors_one_is_fenced_and_no_consumer_notices(void **state)
{
    (void)state;
    rig_start();
    struct process *owner = &rig.conductor, *next = &rig.second;
    uint64_t epoch = await_books(0, 5, 0);
    for (unsigned turn = 1; turn <= TURNS; turn++) {
        if (turn % 3 == 0) {
            lose_claims(); /* the next claim is above all the same */
        }
        process_start(next, "meltica-conductor", rig.server.url, names[turn % 2]);
        size_t from = 0;
        process_wait_log(owner, "\"event\":\"standby\"", &from);
        const uint64_t later = await_books(epoch, 1, 0);
        /* Both run, deltas go to both. The older one makes its last BOOK, and numbers its last
         * event, about a window after the next owner's first one. */
        (void)await_books(epoch, 4, 0);
        bool ended = false;
        for (unsigned n = 1; n <= 5 && !ended; n++) {
            const uint64_t books = process_metric(owner, "meltica_conductor_books_total"),
                           out = process_metric(owner, "meltica_conductor_out_total");
            assert_int_equal(await_books(epoch, 4 + 10 * n, 0), later);
            ended = process_metric(owner, "meltica_conductor_books_total") == books &&
                    process_metric(owner, "meltica_conductor_out_total") == out;
        }
        assert_true(ended);
        assert_int_equal(process_metric(owner, "meltica_conductor_owned_partitions"), 0);
        epoch = later;
        assert_int_equal(process_end(owner), 0);
        struct process *const gone = owner;
        owner = next;
        next = gone;
    }
    pause_feeding();
    assert_int_equal(await_books(epoch - 1, 1, rig.last), epoch);
    (void)pthread_mutex_lock(&rig.mutex);
    assert_in_range(rig.count, 1, EVENTS_MAX);
    print_message("    %zu events of %u owners\n", rig.count, TURNS + 1);
    assert_sequences();
    assert_keys();
    (void)pthread_mutex_unlock(&rig.mutex);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_teardown(
        test_of_two_conductors_one_is_fenced_and_no_consumer_notices, rig_end) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
