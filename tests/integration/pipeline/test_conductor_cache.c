/* The real Conductor and Data Bus with books and their cache: JetStream goes and comes back under
 * flow, a record of somebody else is found, and an owner that was asleep finds another one. */
#include "flow_peers.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "meltica/base/clock.h"
#include "meltica/bus/stored.h"
#include "meltica/event/record.h"

#define BUCKET "meltica-snapshots"
#define LEVELS 30u
#define ROUND_NS (20 * MLT_NS_PER_MS)
#define SNAPSHOT_ROUNDS 25u /* a snapshot of each instrument so often */
#define WAIT_NS (20 * MLT_NS_PER_S)
/* After JetStream's return. How long it takes is printed; one that waits for the next refresh, a
 * minute, is a fault. */
#define BACK_NS ((MLT_TEST_SANITIZED ? 10 : 6) * MLT_NS_PER_S)

/* What the exchange would have. */
struct market {
    int64_t last;
    int64_t bids[LEVELS], asks[LEVELS]; /* quantities */
    bool quiet, unwanted;
};

/* What a consumer saw. */
struct seen {
    uint64_t deltas, books, flagged;
    uint64_t epoch, sequence; /* of the newest BOOK */
    uint64_t rebuilt;         /* STATUS CACHE_REBUILT */
    uint64_t older, holes;    /* BOOKs of an epoch that had ended; jumps of the sequence */
    uint32_t quality;
    enum mlt_book_state state;
    int64_t last;
};

static struct {
    struct server server;
    struct feeder feeder;
    struct process conductor, second, data_bus;
    struct mlt_bus *bus;
    struct mlt_store *store;
    struct mlt_bus_subscription *sub;
    struct mlt_arena arena;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* monotonic clock */
    struct market market[FLOW_INSTRUMENTS];
    struct seen seen[FLOW_INSTRUMENTS];
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
    e->quality |=
        rig.market[instrument].unwanted ? 0 : MLT_QUALITY_WANTS_BOOK | MLT_QUALITY_WANTS_SNAPSHOT;
    feeder_send_event(&rig.feeder, e);
}

static void send_snapshot(unsigned instrument)
{
    const struct market *m = &rig.market[instrument];
    int64_t bids[LEVELS], asks[LEVELS];
    for (unsigned i = 0; i < LEVELS; i++) {
        bids[i] = 10000 - (int64_t)i;
        asks[i] = 10001 + (int64_t)i;
    }
    struct mlt_event e = { .type = MLT_EVENT_BOOK_SNAPSHOT,
                           .first = m->last,
                           .last = m->last,
                           .rest_function = MLT_SLICE_LITERAL("depth") };
    e.u.book_snapshot = (struct mlt_book_snapshot){ .last_update_id = m->last,
                                                    .bids = { -2, -3, LEVELS, bids, m->bids },
                                                    .asks = { -2, -3, LEVELS, asks, m->asks },
                                                    .requested_depth = 1000 };
    send_event(instrument, &e);
}

static void send_delta(unsigned instrument)
{
    struct market *m = &rig.market[instrument];
    m->last++;
    const unsigned level = (unsigned)(m->last % LEVELS);
    const int64_t bid = 10000 - (int64_t)level, ask = 10001 + (int64_t)level;
    m->bids[level] = 1000 + m->last;
    m->asks[level] = 2000 + m->last;
    struct mlt_event e = { .type = MLT_EVENT_BOOK_DELTA, .first = m->last, .last = m->last };
    e.u.book_delta.bids = (struct mlt_levels){ -2, -3, 1, &bid, &m->bids[level] };
    e.u.book_delta.asks = (struct mlt_levels){ -2, -3, 1, &ask, &m->asks[level] };
    send_event(instrument, &e);
}

static void *feed_all(void *arg)
{
    (void)arg;
    int64_t at = mlt_clock_mono_ns();
    (void)pthread_mutex_lock(&rig.mutex);
    for (unsigned round = 0; !rig.stop; round++) {
        for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
            if (!rig.market[i].quiet) {
                send_delta(i);
                if (round % SNAPSHOT_ROUNDS == 0) {
                    send_snapshot(i);
                }
            }
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
        rig.running = false;
    }
}

/* ---- the consumer ---- */

static void on_data(void *ctx, const struct mlt_bus_message *message)
{
    (void)ctx;
    struct mlt_event e;
    mlt_arena_reset(&rig.arena);
    assert_int_equal(mlt_event_decode(message->payload, &rig.arena, &e), MLT_OK);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        if (!mlt_slice_equal_string(e.instrument, feeder_token(i))) {
            continue;
        }
        struct seen *s = &rig.seen[i];
        (void)pthread_mutex_lock(&rig.mutex);
        s->deltas += e.type == MLT_EVENT_BOOK_DELTA;
        s->rebuilt += e.type == MLT_EVENT_STATUS && e.u.status.kind == MLT_STATUS_CACHE_REBUILT;
        if (e.type == MLT_EVENT_BOOK) {
            s->older += e.epoch < s->epoch;
            s->holes += e.epoch == s->epoch && e.sequence != s->sequence + 1;
            s->books++;
            s->flagged += (e.quality & MLT_QUALITY_CACHE_UNAVAILABLE) != 0;
            s->epoch = e.epoch;
            s->sequence = e.sequence;
            s->quality = e.quality;
            s->state = e.u.book.state;
            s->last = e.u.book.last_update_id;
        }
        (void)pthread_cond_broadcast(&rig.changed);
        (void)pthread_mutex_unlock(&rig.mutex);
    }
}

/* Waits until `holds` is true of every instrument from `from` on, before `upto`. */
static void await(const char *what, bool (*holds)(const struct seen *now, const struct seen *then),
                  const struct seen *then, unsigned from, unsigned upto, int64_t within_ns)
{
    const int64_t deadline = mlt_clock_mono_ns() + within_ns;
    const struct timespec until = { .tv_sec = deadline / MLT_NS_PER_S,
                                    .tv_nsec = deadline % MLT_NS_PER_S };
    unsigned i = from;
    (void)pthread_mutex_lock(&rig.mutex);
    while (i < upto) {
        if (holds(&rig.seen[i], then != NULL ? &then[i] : NULL)) {
            i++;
        } else if (pthread_cond_timedwait(&rig.changed, &rig.mutex, &until) != 0 &&
                   mlt_clock_mono_ns() >= deadline) {
            break;
        }
    }
    const struct seen s = rig.seen[i < upto ? i : from];
    (void)pthread_mutex_unlock(&rig.mutex);
    if (i < upto) {
        fail_msg("%s does not come: instrument %u has %llu books, %llu flagged, quality %u, state "
                 "%d, last %lld",
                 what, i, (unsigned long long)s.books, (unsigned long long)s.flagged, s.quality,
                 (int)s.state, (long long)s.last);
    }
}

static void remember(struct seen *then)
{
    (void)pthread_mutex_lock(&rig.mutex);
    memcpy(then, rig.seen, sizeof rig.seen);
    (void)pthread_mutex_unlock(&rig.mutex);
}

static bool live_and_cached(const struct seen *now, const struct seen *then)
{
    return now->state == MLT_BOOK_LIVE && (now->quality & MLT_QUALITY_CACHE_UNAVAILABLE) == 0 &&
           now->books > (then != NULL ? then->books : 0);
}

static bool flowing_flagged(const struct seen *now, const struct seen *then)
{
    return now->flagged >= then->flagged + 5 && now->deltas >= then->deltas + 25;
}

static bool of_newer_epoch(const struct seen *now, const struct seen *then)
{
    return now->epoch > then->epoch && now->state == MLT_BOOK_LIVE;
}

/* ---- the rig ---- */

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
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        rig.market[i].last = 100;
        for (unsigned l = 0; l < LEVELS; l++) {
            rig.market[i].bids[l] = rig.market[i].asks[l] = 1 + (int64_t)l;
        }
    }
    rig.bus = url_connect(rig.server.url, NULL);
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_store_create(rig.bus, 1, &rig.store, &err), MLT_OK);
    const struct mlt_bus_subscribe_options options = { .subject = "meltica.data.>" };
    assert_int_equal(mlt_bus_subscribe(rig.bus, &options, on_data, NULL, &rig.sub, &err), MLT_OK);
    feeder_start(&rig.feeder, rig.server.url);
    feeder_set_table(
        &rig.feeder, 2,
        1u << MLT_EVENT_BOOK_DELTA | 1u << MLT_EVENT_BOOK_SNAPSHOT | 1u << MLT_EVENT_BOOK, false);
    process_start(&rig.data_bus, "meltica-data-bus", rig.server.url, NULL);
    process_start(&rig.conductor, "meltica-conductor", rig.server.url, NULL);
    assert_int_equal(pthread_create(&rig.thread, NULL, feed_all, NULL), 0);
    rig.running = true;
    await("a LIVE book in the cache", live_and_cached, NULL, 0, FLOW_INSTRUMENTS, WAIT_NS);
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
    mlt_store_destroy(rig.store);
    mlt_bus_destroy(rig.bus, 0);
    feeder_end(&rig.feeder);
    server_end(&rig.server);
    mlt_arena_fini(&rig.arena);
    memset(&rig, 0, sizeof rig);
    return 0;
}

/* By a reload of the server's configuration: connections stay, streams in memory do not. */
static void set_jetstream(bool on)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/nats.conf", rig.server.dir);
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        fail_msg("cannot write %s", path);
        return;
    }
    if (on) {
        (void)fprintf(file, "jetstream { store_dir: \"%s/js\" }\n", rig.server.dir);
    }
    assert_int_equal(fclose(file), 0);
    assert_int_equal(kill(rig.server.pid, SIGHUP), 0);
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    bool is_on = !on;
    while (is_on != on) {
        struct mlt_buf answer;
        mlt_buf_init(&answer, 65536);
        is_on = mlt_bus_request(rig.bus, "$JS.API.INFO", MLT_SLICE_LITERAL(""), MLT_NS_PER_S,
                                &answer, NULL) == MLT_OK &&
                memmem(answer.data, answer.len, "\"error\"", 7) == NULL;
        mlt_buf_fini(&answer);
        assert_true(mlt_clock_mono_ns() < deadline);
    }
}

/* ---- the cache ---- */

static enum mlt_status get(const char *key, struct mlt_buf *value)
{
    uint64_t revision = 0;
    mlt_buf_clear(value);
    return mlt_kv_get(rig.store, BUCKET, key, value, &revision, NULL);
}

static bool record_is_right(unsigned i, struct mlt_buf *value)
{
    struct mlt_snapshot_record record;
    if (get(feeder_token(i), value) != MLT_OK) {
        return false;
    }
    assert_int_equal(mlt_snapshot_record_decode(mlt_buf_view(value), &record), MLT_OK);
    return record.last_update_id == rig.market[i].last && record.state == MLT_BOOK_LIVE;
}

static bool record_is_idle(unsigned i, struct mlt_buf *value)
{
    struct mlt_snapshot_record record;
    assert_int_equal(get(feeder_token(i), value), MLT_OK);
    assert_int_equal(mlt_snapshot_record_decode(mlt_buf_view(value), &record), MLT_OK);
    return record.state == MLT_BOOK_IDLE;
}

static bool checkpoint_is_idle(unsigned i, struct mlt_buf *value)
{
    struct mlt_arena arena;
    struct mlt_book_checkpoint c;
    char key[128];
    (void)snprintf(key, sizeof key, "%s.checkpoint", feeder_token(i));
    assert_int_equal(get(key, value), MLT_OK);
    mlt_arena_init(&arena, 65536, 1 << 20);
    assert_int_equal(mlt_book_checkpoint_decode(mlt_buf_view(value), &arena, &c), MLT_OK);
    const bool idle = c.state == MLT_BOOK_IDLE;
    assert_true(!idle || (c.bids.count == 0 && c.asks.count == 0 && c.digest_version == 0));
    mlt_arena_fini(&arena);
    return idle;
}

/* Its levels are the market's. */
static bool checkpoint_is_right(unsigned i, struct mlt_buf *value)
{
    struct mlt_arena arena;
    struct mlt_book_checkpoint c;
    char key[128];
    (void)snprintf(key, sizeof key, "%s.checkpoint", feeder_token(i));
    if (get(key, value) != MLT_OK) {
        return false;
    }
    mlt_arena_init(&arena, 65536, 1 << 20);
    assert_int_equal(mlt_book_checkpoint_decode(mlt_buf_view(value), &arena, &c), MLT_OK);
    bool right = c.last_update_id == rig.market[i].last && c.state == MLT_BOOK_LIVE &&
                 c.bids_whole && c.asks_whole && c.bids.count == LEVELS && c.asks.count == LEVELS &&
                 c.digest == mlt_book_digest(&c.bids, &c.asks);
    for (unsigned l = 0; right && l < LEVELS; l++) {
        right = c.bids.prices[l] == 10000 - (int64_t)l &&
                c.bids.quantities[l] == rig.market[i].bids[l] &&
                c.asks.prices[l] == 10001 + (int64_t)l &&
                c.asks.quantities[l] == rig.market[i].asks[l];
    }
    mlt_arena_fini(&arena);
    return right;
}

static void await_right_cache(bool (*right)(unsigned i, struct mlt_buf *value), int64_t within_ns)
{
    const int64_t deadline = mlt_clock_mono_ns() + within_ns;
    struct mlt_buf value;
    mlt_buf_init(&value, 1 << 20);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        while (!right(i, &value)) { /* each look is a request */
            if (mlt_clock_mono_ns() > deadline) {
                fail_msg("what the cache has of %s is not right in time", feeder_token(i));
            }
        }
    }
    mlt_buf_fini(&value);
}

static void assert_in_order(void)
{
    (void)pthread_mutex_lock(&rig.mutex);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        assert_int_equal(rig.seen[i].older, 0);
        assert_int_equal(rig.seen[i].holes, 0);
    }
    (void)pthread_mutex_unlock(&rig.mutex);
}

static void set_quiet(unsigned instrument)
{
    (void)pthread_mutex_lock(&rig.mutex);
    rig.market[instrument].quiet = true;
    (void)pthread_mutex_unlock(&rig.mutex);
}

/* How long JetStream is away at least; the long variant says. */
static int64_t away_ns(void)
{
    const char *seconds = getenv("MELTICA_TEST_AWAY_S");
    return seconds != NULL ? strtoll(seconds, NULL, 10) * MLT_NS_PER_S : 0;
}

/* ---- tests ---- */

static void test_jetstream_away_under_flow_flags_books_and_heals_by_itself(void **state)
{
    (void)state;
    struct seen then[FLOW_INSTRUMENTS];
    const unsigned cut = FLOW_INSTRUMENTS - 2, whole = FLOW_INSTRUMENTS - 1;
    rig_start();
    set_quiet(whole); /* says nothing while JetStream is away */
    set_jetstream(false);
    const int64_t away_until = mlt_clock_mono_ns() + away_ns();
    do {
        remember(then);
        await("flow with the flag", flowing_flagged, then, 0, whole, WAIT_NS);
    } while (mlt_clock_mono_ns() < away_until);
    set_quiet(cut); /* its last BOOK has the flag */
    remember(then);
    await("flow with the flag", flowing_flagged, then, 0, cut, WAIT_NS);

    set_jetstream(true);
    const int64_t back = mlt_clock_mono_ns();
    remember(then);
    await("a book without the flag", live_and_cached, then, 0, cut, BACK_NS);
    await("the fall of the flag where nothing changes", live_and_cached, NULL, cut, whole, BACK_NS);
    pause_feeding();
    await_right_cache(record_is_right, BACK_NS);
    const int64_t took = mlt_clock_mono_ns() - back;
    print_message("every record was right %lld ms after JetStream's return\n",
                  (long long)(took / MLT_NS_PER_MS));
    if (took > BACK_NS) {
        fail_msg("the cache came back too late");
    }
    /* Quiet instruments, too, and the whole book at most two seconds after the last change. */
    await_right_cache(checkpoint_is_right, 2 * BACK_NS);
    assert_in_order();
    (void)pthread_mutex_lock(&rig.mutex);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) { /* consumers are told */
        assert_int_equal(rig.seen[i].rebuilt, 1);
    }
    (void)pthread_mutex_unlock(&rig.mutex);
    char page[65536];
    /* The bucket shows a value before its answer has come. */
    assert_true(
        process_page_until(&rig.conductor, "meltica_conductor_cache_behind 0", page, sizeof page));
    assert_non_null(strstr(page, "\nmeltica_conductor_cache_rebuilt_total 1\n"));
    assert_non_null(strstr(page, "\nmeltica_conductor_cache_available 1\n"));
    assert_non_null(strstr(page, "\nmeltica_conductor_cache_fenced_total 0\n"));
    assert_true(process_has_logged(&rig.conductor, "\"event\":\"cache_away\""));
    assert_true(process_has_logged(&rig.conductor, "\"event\":\"cache_rebuilt\""));
    assert_int_equal(process_end(&rig.conductor), 0);
}

/* Nobody else claims: it was an owner that had the time as epoch, and is gone. */
static void test_record_of_a_higher_epoch_that_nobody_claims_raises_the_epoch(void **state)
{
    (void)state;
    struct seen then[FLOW_INSTRUMENTS];
    struct mlt_buf value, forged;
    struct mlt_snapshot_record record;
    mlt_buf_init(&value, 1 << 20);
    mlt_buf_init(&forged, 1 << 20);
    rig_start();
    assert_int_equal(get(feeder_token(0), &value), MLT_OK);
    assert_int_equal(mlt_snapshot_record_decode(mlt_buf_view(&value), &record), MLT_OK);
    record.epoch = (uint64_t)mlt_clock_wall_ns();
    const size_t bytes = mlt_snapshot_record_encoded_size(&record);
    assert_int_equal(mlt_buf_reserve(&forged, bytes), MLT_OK);
    forged.len = mlt_snapshot_record_encode(&record, forged.data);
    remember(then);
    uint64_t revision = 0;
    assert_int_equal(
        mlt_kv_put(rig.store, BUCKET, feeder_token(0), mlt_buf_view(&forged), &revision, NULL),
        MLT_OK);
    await("a book of a raised epoch", of_newer_epoch, then, 0, 1, WAIT_NS);
    (void)pthread_mutex_lock(&rig.mutex);
    const uint64_t epoch = rig.seen[0].epoch;
    (void)pthread_mutex_unlock(&rig.mutex);
    assert_true(epoch > record.epoch);
    size_t from = 0;
    process_wait_log(&rig.conductor, "\"event\":\"cache_fenced\"", &from);
    from = 0;
    process_wait_log(&rig.conductor, "\"event\":\"epoch_raised\"", &from);
    pause_feeding();
    await_right_cache(record_is_right, BACK_NS);
    assert_in_order();
    mlt_buf_fini(&value);
    mlt_buf_fini(&forged);
}

/* Else who joins late would take for its book what was written last, however long ago. */
static void test_books_that_are_made_no_longer_are_idle_in_the_cache(void **state)
{
    (void)state;
    rig_start();
    pause_feeding();
    await_right_cache(checkpoint_is_right, 2 * BACK_NS);
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        rig.market[i].unwanted = true;
        if (i % 2 == 0) { /* deltas alone go on */
            send_delta(i);
        } else {
            struct mlt_event e = { .type = MLT_EVENT_STATUS };
            e.u.status.kind = MLT_STATUS_IDLE;
            e.u.status.reason = MLT_SLICE_LITERAL("stopped");
            send_event(i, &e);
        }
    }
    await_right_cache(record_is_idle, WAIT_NS);
    await_right_cache(checkpoint_is_idle, WAIT_NS);
    assert_in_order();
}

static void test_owner_that_slept_finds_another_one_and_writes_nothing(void **state)
{
    (void)state;
    struct seen then[FLOW_INSTRUMENTS];
    const char *const other[] = { "--instance", "conductor-other", NULL };
    rig_start();
    remember(then);
    assert_int_equal(kill(rig.conductor.pid, SIGSTOP), 0);
    process_start(&rig.second, "meltica-conductor", rig.server.url, other);
    await("a book of the next owner", of_newer_epoch, then, 0, FLOW_INSTRUMENTS, WAIT_NS);
    size_t from = 0;
    process_wait_log(&rig.second, "\"event\":\"cache_loaded\"", &from);
    assert_int_equal(kill(rig.conductor.pid, SIGCONT), 0);
    from = 0;
    process_wait_log(&rig.conductor, "\"event\":\"standby\"", &from);
    remember(then);
    await("a further book", live_and_cached, then, 0, FLOW_INSTRUMENTS, WAIT_NS);
    pause_feeding();
    await_right_cache(record_is_right, BACK_NS);
    await_right_cache(checkpoint_is_right, 2 * BACK_NS);
    assert_in_order();
    char page[65536];
    assert_int_equal(process_get(&rig.second, "/metrics", page, sizeof page), 200);
    assert_non_null(strstr(page, "\nmeltica_conductor_cache_fenced_total 0\n"));
    /* What it found when it started is what it expected to find. */
    struct mlt_buf value;
    struct mlt_snapshot_record record;
    mlt_buf_init(&value, 1 << 20);
    assert_int_equal(get(feeder_token(3), &value), MLT_OK);
    assert_int_equal(mlt_snapshot_record_decode(mlt_buf_view(&value), &record), MLT_OK);
    (void)pthread_mutex_lock(&rig.mutex);
    assert_int_equal(record.epoch, rig.seen[3].epoch);
    (void)pthread_mutex_unlock(&rig.mutex);
    mlt_buf_fini(&value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_jetstream_away_under_flow_flags_books_and_heals_by_itself,
                                  rig_end),
        cmocka_unit_test_teardown(test_record_of_a_higher_epoch_that_nobody_claims_raises_the_epoch,
                                  rig_end),
        cmocka_unit_test_teardown(test_books_that_are_made_no_longer_are_idle_in_the_cache,
                                  rig_end),
        cmocka_unit_test_teardown(test_owner_that_slept_finds_another_one_and_writes_nothing,
                                  rig_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
