/* The real Conductor and Data Bus with books: killed and started again, books are valid without any
 * snapshot where the deltas join, and not one BOOK is wrong. */
#include "flow_peers.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "meltica/base/clock.h"
#include "meltica/v1/internal.pb-c.h"

#define LEVELS 30u
#define FIRST_ID 100
#define ROUND_NS (20 * MLT_NS_PER_MS)
#define QUIET (FLOW_INSTRUMENTS - 1)
#define WAIT_NS (20 * MLT_NS_PER_S)
#define TABLE_TYPES                                                                                \
    (1u << MLT_EVENT_BOOK_DELTA | 1u << MLT_EVENT_BOOK_SNAPSHOT | 1u << MLT_EVENT_BOOK)
#define KILLS 3u
#define VALID_NS ((MLT_TEST_SANITIZED ? 6 : 2) * MLT_NS_PER_S) /* DESIGN 13 */

/* What a consumer saw. */
struct seen {
    uint64_t epoch, sequence; /* of the newest BOOK */
    uint64_t holes, wrong, stale;
    enum mlt_book_state first_state, state; /* of the epoch's first BOOK, of the newest */
    int64_t last, delta_last;
    uint64_t delta_holes;               /* update ids that did not follow */
    uint64_t delta_epoch, untold_holes; /* of those, with nothing said about it */
    uint64_t unknown_past;              /* EPOCH_STARTED that cannot name the epoch before */
    bool past_unknown;                  /* the newest one */
    char reason[32];                    /* of the newest STATUS LIVE or STALE */
};

static struct {
    struct server server;
    struct feeder feeder;
    struct process conductor, data_bus;
    struct mlt_bus *bus;
    struct mlt_bus_subscription *sub, *resyncs;
    unsigned asked[FLOW_INSTRUMENTS]; /* requests for a snapshot */
    atomic_bool no_route;             /* is why each is refused */
    struct mlt_arena arena;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* monotonic clock */
    int64_t last[FLOW_INSTRUMENTS];
    _Atomic int64_t snapshot[FLOW_INSTRUMENTS]; /* id of the newest one that was sent */
    struct seen seen[FLOW_INSTRUMENTS];
    pthread_t thread;
    bool running, stop;
} rig;

/* ---- the market: what a level is depends on the update id alone ---- */

static int64_t quantity_at(int64_t id, unsigned level)
{
    const int64_t changed = id - ((id - (int64_t)level) % LEVELS + LEVELS) % LEVELS;
    return changed > FIRST_ID ? 1000 + changed : 1 + (int64_t)level;
}

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
    int64_t bids[LEVELS], asks[LEVELS], quantities[LEVELS];
    const int64_t id = rig.last[instrument];
    atomic_store(&rig.snapshot[instrument], id);
    for (unsigned i = 0; i < LEVELS; i++) {
        bids[i] = 10000 - (int64_t)i;
        asks[i] = 10001 + (int64_t)i;
        quantities[i] = quantity_at(id, i);
    }
    struct mlt_event e = { .type = MLT_EVENT_BOOK_SNAPSHOT,
                           .first = id,
                           .last = id,
                           .rest_function = MLT_SLICE_LITERAL("depth") };
    e.u.book_snapshot = (struct mlt_book_snapshot){ .last_update_id = id,
                                                    .bids = { -2, -3, LEVELS, bids, quantities },
                                                    .asks = { -2, -3, LEVELS, asks, quantities },
                                                    .requested_depth = 1000 };
    send_event(instrument, &e);
}

static void send_delta(unsigned instrument)
{
    const int64_t id = ++rig.last[instrument];
    const unsigned level = (unsigned)(id % LEVELS);
    const int64_t bid = 10000 - (int64_t)level, ask = 10001 + (int64_t)level,
                  quantity = quantity_at(id, level);
    struct mlt_event e = { .type = MLT_EVENT_BOOK_DELTA, .first = id, .last = id };
    e.u.book_delta.bids = (struct mlt_levels){ -2, -3, 1, &bid, &quantity };
    e.u.book_delta.asks = (struct mlt_levels){ -2, -3, 1, &ask, &quantity };
    send_event(instrument, &e);
}

static void *feed_all(void *arg)
{
    (void)arg;
    int64_t at = mlt_clock_mono_ns();
    (void)pthread_mutex_lock(&rig.mutex);
    while (!rig.stop) {
        for (unsigned i = 0; i < QUIET; i++) {
            send_delta(i);
        }
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

static void feed(void)
{
    assert_int_equal(pthread_create(&rig.thread, NULL, feed_all, NULL), 0);
    rig.running = true;
}

/* ---- the consumer ---- */

static bool side_is_right(const struct mlt_levels *side, int64_t id)
{
    for (size_t l = 0; l < side->count; l++) {
        if (side->quantities[l] != quantity_at(id, (unsigned)l)) {
            return false;
        }
    }
    return side->count == 20;
}

/* A late one at the id of a snapshot has none, and no other. */
static bool digest_is_right(const struct mlt_book *b, int64_t snapshot)
{
    return b->digest_version != 0 ? b->digest == mlt_book_digest(&b->bids, &b->asks)
                                  : b->last_update_id == snapshot;
}

static void on_book(struct seen *s, const struct mlt_event *e, int64_t snapshot)
{
    const struct mlt_book *b = &e->u.book;
    if (e->epoch != s->epoch) {
        s->first_state = b->state;
    }
    s->holes += e->epoch == s->epoch && e->sequence != s->sequence + 1;
    s->stale += b->state == MLT_BOOK_STALE;
    s->epoch = e->epoch;
    s->sequence = e->sequence;
    s->state = b->state;
    s->last = b->last_update_id;
    if (b->state == MLT_BOOK_LIVE || b->state == MLT_BOOK_STALE) {
        s->wrong += !side_is_right(&b->bids, b->last_update_id) ||
                    !side_is_right(&b->asks, b->last_update_id) || !digest_is_right(b, snapshot);
    }
}

static void on_data(void *ctx, const struct mlt_bus_message *message)
{
    (void)ctx;
    struct mlt_event e;
    mlt_arena_reset(&rig.arena);
    assert_int_equal(mlt_event_decode(message->payload, &rig.arena, &e), MLT_OK);
    unsigned i = 0;
    while (!mlt_slice_equal_string(e.instrument, feeder_token(i))) {
        i++;
    }
    struct seen *s = &rig.seen[i];
    (void)pthread_mutex_lock(&rig.mutex);
    if (e.type == MLT_EVENT_BOOK) {
        on_book(s, &e, atomic_load(&rig.snapshot[i]));
    } else if (e.type == MLT_EVENT_BOOK_DELTA) {
        const bool hole = s->delta_last != 0 && e.first != s->delta_last + 1;
        s->delta_holes += hole;
        s->untold_holes += hole && (e.epoch == s->delta_epoch || !s->past_unknown);
        s->delta_last = e.last;
        s->delta_epoch = e.epoch;
    } else if (e.type == MLT_EVENT_STATUS && e.u.status.kind == MLT_STATUS_EPOCH_STARTED) {
        s->past_unknown = e.u.status.previous_epoch == 0;
        s->unknown_past += s->past_unknown;
    } else if (e.type == MLT_EVENT_STATUS &&
               (e.u.status.kind == MLT_STATUS_LIVE || e.u.status.kind == MLT_STATUS_STALE)) {
        (void)snprintf(s->reason, sizeof s->reason, "%.*s", MLT_SLICE_FMT(e.u.status.reason));
    }
    (void)pthread_cond_broadcast(&rig.changed);
    (void)pthread_mutex_unlock(&rig.mutex);
}

/* Waits until the instruments from .. upto have a BOOK in that state of an epoch above `epoch`. */
static void await(enum mlt_book_state state, uint64_t epoch, unsigned from, unsigned upto,
                  int64_t within_ns)
{
    const int64_t deadline = mlt_clock_mono_ns() + within_ns;
    const struct timespec until = { .tv_sec = deadline / MLT_NS_PER_S,
                                    .tv_nsec = deadline % MLT_NS_PER_S };
    unsigned i = from;
    (void)pthread_mutex_lock(&rig.mutex);
    while (i < upto) {
        if (rig.seen[i].state == state && rig.seen[i].epoch > epoch) {
            i++;
        } else if (pthread_cond_timedwait(&rig.changed, &rig.mutex, &until) != 0 &&
                   mlt_clock_mono_ns() >= deadline) {
            break;
        }
    }
    const struct seen s = rig.seen[i < upto ? i : from];
    (void)pthread_mutex_unlock(&rig.mutex);
    if (i < upto) {
        fail_msg("instrument %u is %s (%s) at %lld of epoch %llu", i,
                 mlt_book_state_word((int)s.state), s.reason, (long long)s.last,
                 (unsigned long long)s.epoch);
    }
}

static uint64_t epoch_of(unsigned instrument)
{
    (void)pthread_mutex_lock(&rig.mutex);
    const uint64_t epoch = rig.seen[instrument].epoch;
    (void)pthread_mutex_unlock(&rig.mutex);
    return epoch;
}

/* Until the consumer has every delta that was sent; nothing is sent meanwhile. */
static void await_deltas(void)
{
    (void)pthread_mutex_lock(&rig.mutex);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        while (rig.seen[i].delta_last < rig.last[i]) {
            (void)pthread_cond_wait(&rig.changed, &rig.mutex);
        }
    }
    (void)pthread_mutex_unlock(&rig.mutex);
}

/* Not one book was wrong, and nothing is missing on any channel. */
static void assert_right(void)
{
    (void)pthread_mutex_lock(&rig.mutex);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        assert_int_equal(rig.seen[i].wrong, 0);
        assert_int_equal(rig.seen[i].holes, 0);
        assert_int_equal(rig.seen[i].delta_holes, 0);
    }
    (void)pthread_mutex_unlock(&rig.mutex);
}

/* ---- the Dispatcher, as far as snapshots are asked of it ---- */

static void on_resync(void *ctx, const struct mlt_bus_message *message)
{
    (void)ctx;
    Meltica__V1__ResyncRequest *request =
        meltica__v1__resync_request__unpack(NULL, message->payload.len, message->payload.data);
    assert_non_null(request);
    unsigned i = 0;
    while (strcmp(feeder_token(i), request->instrument) != 0) {
        i++;
    }
    meltica__v1__resync_request__free_unpacked(request, NULL);
    Meltica__V1__ResyncReply reply;
    uint8_t bytes[128];
    char reason[16];
    (void)snprintf(reason, sizeof reason, "%s", rig.no_route ? "no_route" : "adapter_away");
    meltica__v1__resync_reply__init(&reply);
    reply.reason = reason;
    const size_t len = meltica__v1__resync_reply__pack(&reply, bytes);
    assert_int_equal(mlt_bus_reply(rig.bus, message->reply, mlt_slice_of(bytes, len), 0, NULL),
                     MLT_OK);
    (void)pthread_mutex_lock(&rig.mutex);
    rig.asked[i]++;
    (void)pthread_cond_broadcast(&rig.changed);
    (void)pthread_mutex_unlock(&rig.mutex);
}

/* Until each was asked for so often. */
static void await_asked(unsigned times)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    const struct timespec until = { .tv_sec = deadline / MLT_NS_PER_S,
                                    .tv_nsec = deadline % MLT_NS_PER_S };
    (void)pthread_mutex_lock(&rig.mutex);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        while (rig.asked[i] < times && mlt_clock_mono_ns() < deadline) {
            (void)pthread_cond_timedwait(&rig.changed, &rig.mutex, &until);
        }
        if (rig.asked[i] < times) {
            fail_msg("instrument %u was asked for %u times", i, rig.asked[i]);
        }
    }
    (void)pthread_mutex_unlock(&rig.mutex);
}

/* Each is sent a snapshot, and another one where it asks again before it is LIVE in an epoch above
 * `epoch`: the first word of a new Dispatcher says that something may have been lost, and that
 * outdates what was asked for just before. */
static void serve_snapshots(uint64_t epoch)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    const struct timespec until = { .tv_sec = deadline / MLT_NS_PER_S,
                                    .tv_nsec = deadline % MLT_NS_PER_S };
    unsigned served[FLOW_INSTRUMENTS];
    (void)pthread_mutex_lock(&rig.mutex);
    memcpy(served, rig.asked, sizeof served);
    (void)pthread_mutex_unlock(&rig.mutex);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        send_snapshot(i);
    }
    for (unsigned i = 0; i < FLOW_INSTRUMENTS;) {
        (void)pthread_mutex_lock(&rig.mutex);
        const bool live = rig.seen[i].state == MLT_BOOK_LIVE && rig.seen[i].epoch > epoch;
        const bool again = !live && rig.asked[i] > served[i];
        served[i] = rig.asked[i];
        if (!live && !again) {
            (void)pthread_cond_timedwait(&rig.changed, &rig.mutex, &until);
        }
        (void)pthread_mutex_unlock(&rig.mutex);
        if (again) {
            send_snapshot(i);
        }
        i += live;
        assert_true(mlt_clock_mono_ns() < deadline);
    }
}

/* ---- the rig ---- */

static void rig_start(const char *const *arguments)
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
    feeder_start(&rig.feeder, rig.server.url);
    feeder_set_table(&rig.feeder, 2, TABLE_TYPES, false);
    process_start(&rig.data_bus, "meltica-data-bus", rig.server.url, NULL);
    process_start(&rig.conductor, "meltica-conductor", rig.server.url, arguments);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) { /* the only snapshots that there are */
        rig.last[i] = FIRST_ID;
        send_delta(i);
        send_snapshot(i);
    }
    await(MLT_BOOK_LIVE, 0, 0, FLOW_INSTRUMENTS, WAIT_NS);
}

/* Also after a failure: nothing may stay behind. */
static int rig_end(void **state)
{
    (void)state;
    pause_feeding();
    process_kill(&rig.conductor);
    process_kill(&rig.data_bus);
    mlt_bus_unsubscribe(rig.sub);
    mlt_bus_unsubscribe(rig.resyncs);
    mlt_bus_destroy(rig.bus, 0);
    feeder_end(&rig.feeder);
    server_end(&rig.server);
    mlt_arena_fini(&rig.arena);
    memset(&rig, 0, sizeof rig);
    return 0;
}

static void expect_metric(const char *line)
{
    static char page[131072];
    if (!process_page_until(&rig.conductor, line, page, sizeof page)) {
        fail_msg("the Conductor does not count %s", line);
    }
}

/* Until each checkpoint was written at least once after the deltas began: the second's timer. */
static void flow_for_a_while(void)
{
    (void)pthread_mutex_lock(&rig.mutex);
    const int64_t upto = rig.last[0] + 100;
    while (rig.seen[0].last < upto) {
        (void)pthread_cond_wait(&rig.changed, &rig.mutex);
    }
    (void)pthread_mutex_unlock(&rig.mutex);
}

/* ---- tests ---- */

static void test_killed_conductor_has_valid_books_within_two_seconds_and_no_snapshot(void **state)
{
    int64_t fastest_ns = INT64_MAX;
    (void)state;
    rig_start(NULL);
    feed();
    for (unsigned time = 0; time < KILLS; time++) {
        flow_for_a_while();
        const uint64_t epoch = epoch_of(0);
        process_kill(&rig.conductor);
        const int64_t begin = mlt_clock_mono_ns();
        process_start(&rig.conductor, "meltica-conductor", rig.server.url, NULL);
        await(MLT_BOOK_LIVE, epoch, 0, QUIET, WAIT_NS);
        const int64_t took_ns = mlt_clock_mono_ns() - begin;
        print_message("    valid %lld ms after the start\n", (long long)(took_ns / MLT_NS_PER_MS));
        fastest_ns = took_ns < fastest_ns ? took_ns : fastest_ns;
        await(MLT_BOOK_STALE, epoch, QUIET, FLOW_INSTRUMENTS, WAIT_NS);
        (void)pthread_mutex_lock(&rig.mutex);
        for (unsigned i = 0; i < QUIET; i++) {
            assert_int_equal(rig.seen[i].first_state, MLT_BOOK_STALE);
            assert_string_equal(rig.seen[i].reason, "resumed");
        }
        assert_string_equal(rig.seen[QUIET].reason, "restored");
        assert_int_equal(rig.seen[QUIET].last, rig.last[QUIET]);
        (void)pthread_mutex_unlock(&rig.mutex);
        expect_metric("meltica_conductor_books_restored_total 8");
        expect_metric("meltica_conductor_books_rejoined_total 7");
        expect_metric("meltica_conductor_book_gaps_total 0");
        expect_metric("meltica_conductor_snapshots_total{used=\"yes\"} 0");
    }
    assert_true(fastest_ns < VALID_NS); /* of three: a busy machine may be late, not each time */
    pause_feeding();
    /* The quiet one is what it was, but only what follows says so. */
    const uint64_t epoch = epoch_of(QUIET) - 1;
    send_delta(QUIET);
    await(MLT_BOOK_LIVE, epoch, QUIET, FLOW_INSTRUMENTS, WAIT_NS);
    assert_right();
}

/* What the Dispatcher sent while nobody took it, and no more of it is there: a hole in the ids. */
static void test_deltas_that_are_missing_make_a_gap_and_no_wrong_book(void **state)
{
    (void)state;
    rig_start(NULL);
    feed();
    flow_for_a_while();
    pause_feeding();
    await_deltas(); /* none joins that was on its way */
    const uint64_t epoch = epoch_of(0);
    process_kill(&rig.conductor);
    for (unsigned i = 0; i < QUIET; i++) {
        rig.last[i] += 3;
    }
    feed();
    process_start(&rig.conductor, "meltica-conductor", rig.server.url, NULL);
    await(MLT_BOOK_SYNCING, epoch, 0, QUIET, WAIT_NS);
    pause_feeding();
    for (unsigned i = 0; i < QUIET; i++) {
        send_snapshot(i);
    }
    await(MLT_BOOK_LIVE, epoch, 0, QUIET, WAIT_NS);
    (void)pthread_mutex_lock(&rig.mutex);
    for (unsigned i = 0; i < QUIET; i++) {
        assert_int_equal(rig.seen[i].wrong, 0);
        assert_int_equal(rig.seen[i].delta_holes, 1);
    }
    (void)pthread_mutex_unlock(&rig.mutex);
    expect_metric("meltica_conductor_book_gaps_total 7");
    expect_metric("meltica_conductor_books_rejoined_total 0");
}

/* A known limit: what the Conductor had acknowledged and the Data Bus had not yet published is
 * gone. It is told, the books are those of the market all the same, and nobody asks by REST. */
static void test_conductor_and_data_bus_killed_together_show_no_wrong_book(void **state)
{
    (void)state;
    uint64_t holes = 0;
    rig_start(NULL);
    feed();
    for (unsigned time = 1; time <= 5; time++) {
        flow_for_a_while();
        const uint64_t epoch = epoch_of(0);
        assert_int_equal(kill(rig.data_bus.pid, SIGKILL), 0);
        assert_int_equal(kill(rig.conductor.pid, SIGKILL), 0);
        process_kill(&rig.conductor);
        process_kill(&rig.data_bus);
        process_start(&rig.conductor, "meltica-conductor", rig.server.url, NULL);
        process_start(&rig.data_bus, "meltica-data-bus", rig.server.url, NULL);
        await(MLT_BOOK_LIVE, epoch, 0, QUIET, WAIT_NS);
        expect_metric("meltica_conductor_book_gaps_total 0");
        expect_metric("meltica_conductor_snapshots_total{used=\"yes\"} 0");
    }
    pause_feeding();
    await_deltas();
    (void)pthread_mutex_lock(&rig.mutex);
    for (unsigned i = 0; i < QUIET; i++) {
        const struct seen *s = &rig.seen[i];
        assert_int_equal(s->wrong, 0);
        assert_int_equal(s->holes, 0);
        assert_int_equal(s->untold_holes, 0);
        assert_int_equal(s->unknown_past, 1 + 5); /* the first has none before it */
        assert_in_range(s->delta_holes, 0, 5);
        holes += s->delta_holes;
    }
    (void)pthread_mutex_unlock(&rig.mutex);
    print_message("    %llu holes in 35 streams of deltas, each told\n", (unsigned long long)holes);
}

/* One BOOK a minute: the newest state waits, and leaves with the end; with its checkpoint, so that
 * a successor goes on from there though no ring has what came before. */
static void test_ended_conductor_leaves_the_newest_state_behind(void **state)
{
    (void)state;
    const char *const slow[] = { "--throttle-ms", "60000", NULL };
    rig_start(slow);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
            send_delta(i);
        }
    }
    await_deltas();
    (void)pthread_mutex_lock(&rig.mutex);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        assert_int_equal(rig.seen[i].last, FIRST_ID + 1);
    }
    (void)pthread_mutex_unlock(&rig.mutex);
    assert_int_equal(process_end(&rig.conductor), 0);
    const uint64_t epoch = epoch_of(0);
    process_start(&rig.conductor, "meltica-conductor", rig.server.url, NULL);
    await(MLT_BOOK_STALE, epoch, 0, FLOW_INSTRUMENTS, WAIT_NS);
    (void)pthread_mutex_lock(&rig.mutex);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        assert_int_equal(rig.seen[i].last, rig.last[i]);
    }
    (void)pthread_mutex_unlock(&rig.mutex);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        send_delta(i);
    }
    await(MLT_BOOK_LIVE, epoch, 0, FLOW_INSTRUMENTS, WAIT_NS);
    expect_metric("meltica_conductor_deltas_replayed_total 0");
    assert_right();
}

/* Conductor and Dispatcher are others, books are STALE, and each request is refused. */
static void restart_with_no_answer(bool no_route)
{
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_bus_subscribe_options options = { .subject = "meltica.int.resync" };
    rig_start(NULL);
    await_deltas();
    const uint64_t epoch = epoch_of(0);
    process_kill(&rig.conductor);
    atomic_store(&rig.no_route, no_route);
    feeder_end(&rig.feeder);
    feeder_start(&rig.feeder, rig.server.url);
    feeder_set_table(&rig.feeder, 2, TABLE_TYPES, false);
    assert_int_equal(mlt_bus_subscribe(rig.bus, &options, on_resync, NULL, &rig.resyncs, &err),
                     MLT_OK);
    process_start(&rig.conductor, "meltica-conductor", rig.server.url, NULL);
    await(MLT_BOOK_STALE, epoch, 0, FLOW_INSTRUMENTS, WAIT_NS);
}

/* Conductor, Dispatcher and Adapter restarted together: that there is no Adapter for a while says
 * nothing about who follows a book. */
static void test_quiet_books_are_asked_for_again_where_the_adapter_is_away(void **state)
{
    (void)state;
    restart_with_no_answer(false);
    /* Once more: what it left is STALE by now, and all the same nobody's line was down. */
    const uint64_t second = epoch_of(0);
    process_kill(&rig.conductor);
    (void)pthread_mutex_lock(&rig.mutex);
    memset(rig.asked, 0, sizeof rig.asked);
    (void)pthread_mutex_unlock(&rig.mutex);
    process_start(&rig.conductor, "meltica-conductor", rig.server.url, NULL);
    await(MLT_BOOK_STALE, second, 0, FLOW_INSTRUMENTS, WAIT_NS);
    await_asked(3);
    serve_snapshots(second);
    assert_right();
}

/* A table without a function to fetch snapshots by says nothing of who wants a book. */
static void test_books_that_nothing_can_be_asked_for_are_not_ended(void **state)
{
    (void)state;
    restart_with_no_answer(true);
    await_asked(3); /* and again */
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        (void)pthread_mutex_lock(&rig.mutex);
        const enum mlt_book_state now = rig.seen[i].state;
        (void)pthread_mutex_unlock(&rig.mutex);
        assert_int_equal(now, MLT_BOOK_STALE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(
            test_killed_conductor_has_valid_books_within_two_seconds_and_no_snapshot, rig_end),
        cmocka_unit_test_teardown(test_ended_conductor_leaves_the_newest_state_behind, rig_end),
        cmocka_unit_test_teardown(test_conductor_and_data_bus_killed_together_show_no_wrong_book,
                                  rig_end),
        cmocka_unit_test_teardown(test_deltas_that_are_missing_make_a_gap_and_no_wrong_book,
                                  rig_end),
        cmocka_unit_test_teardown(test_quiet_books_are_asked_for_again_where_the_adapter_is_away,
                                  rig_end),
        cmocka_unit_test_teardown(test_books_that_nothing_can_be_asked_for_are_not_ended, rig_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
