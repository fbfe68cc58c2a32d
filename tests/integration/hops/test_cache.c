/* The Snapshot Cache of the Conductor at a server of its own. */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>

#include "cache_internal.h"
#include "meltica/base/clock.h"
#include "meltica/bus/stored.h"

#define INSTRUMENTS 40u
#define LEVELS 30u
#define BACK_NS (10 * MLT_NS_PER_S) /* the flag falls by then, also on a busy machine */
#define WAIT_NS (30 * MLT_NS_PER_S) /* for what has to happen */

static struct server server;

static int set_up(void **state)
{
    (void)state;
    server_start(&server, true, "");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    server_end(&server);
    return 0;
}

/* One Conductor, as far as the cache is concerned. */
struct owner {
    struct mlt_bus *bus, *data;
    struct mlt_store *store;
    struct mlt_conductor_cache *cache;
    struct mlt_orderbook *levels;
    uint64_t epoch;
    uint64_t opened_epoch; /* the first one, which stays: for the thread of the cache */
    int64_t snapshot_id;   /* of its next commits */
    pthread_mutex_t mutex;
    struct latch answered;
    uint64_t taken, outcomes[3];
    enum mlt_commit_outcome last;
    uint64_t fences, fences_early; /* told; of them those that came before FENCED */
};

static void on_outcome(void *ctx, struct mlt_slice instrument, enum mlt_commit_outcome outcome)
{
    struct owner *o = ctx;
    assert_true(mlt_instrument_token_valid(instrument));
    (void)pthread_mutex_lock(&o->mutex);
    o->outcomes[outcome]++;
    o->last = outcome;
    (void)pthread_mutex_unlock(&o->mutex);
    latch_add(&o->answered, 1);
}

static void on_fenced(void *ctx, struct mlt_slice instrument, uint64_t epoch)
{
    struct owner *o = ctx;
    assert_true(mlt_instrument_token_valid(instrument));
    assert_true(epoch > o->opened_epoch);
    (void)pthread_mutex_lock(&o->mutex);
    o->fences++;
    o->fences_early += o->outcomes[MLT_COMMIT_FENCED] < o->fences;
    (void)pthread_mutex_unlock(&o->mutex);
}

static void seed(struct mlt_orderbook *levels, int64_t last)
{
    int64_t bids[LEVELS], asks[LEVELS], quantities[LEVELS];
    for (unsigned i = 0; i < LEVELS; i++) {
        bids[i] = 10000 - (int64_t)i;
        asks[i] = 10001 + (int64_t)i;
        quantities[i] = 100 + (int64_t)i + last;
    }
    const struct mlt_book_snapshot snapshot = { .last_update_id = last,
                                                .bids = { -2, -3, LEVELS, bids, quantities },
                                                .asks = { -2, -3, LEVELS, asks, quantities },
                                                .requested_depth = LEVELS };
    assert_int_equal(mlt_orderbook_seed(levels, &snapshot), MLT_OK);
}

static void owner_open(struct owner *o, uint64_t epoch)
{
    *o = (struct owner){ .epoch = epoch, .opened_epoch = epoch, .snapshot_id = 5 };
    (void)pthread_mutex_init(&o->mutex, NULL);
    latch_init(&o->answered);
    o->bus = server_connect(&server, NULL);
    o->data = server_connect_data(&server);
    assert_int_equal(mlt_store_create(o->bus, 1, &o->store, NULL), MLT_OK);
    const struct mlt_orderbook_options book = { .levels_max = 64,
                                                .price_exponent = -2,
                                                .quantity_exponent = -3 };
    assert_int_equal(mlt_orderbook_create(&book, &o->levels), MLT_OK);
    const struct mlt_conductor_cache_options options = { .bus = o->bus,
                                                         .data = o->data,
                                                         .provision_replicas = 1,
                                                         .levels_max = 64,
                                                         .throttle_ms = 100,
                                                         .refresh_ns = 60 * MLT_NS_PER_S,
                                                         .on_outcome = on_outcome,
                                                         .on_fenced = on_fenced,
                                                         .ctx = o };
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_conductor_cache_create(&options, &o->cache, &err), MLT_OK);
}

static void owner_close(struct owner *o)
{
    mlt_conductor_cache_destroy(o->cache);
    mlt_orderbook_destroy(o->levels);
    mlt_store_destroy(o->store);
    mlt_bus_destroy(o->bus, 0);
    mlt_bus_destroy(o->data, 0);
}

static struct mlt_conductor_cache_counts counts_of(struct owner *o)
{
    struct mlt_conductor_cache_counts counts;
    mlt_conductor_cache_get_counts(o->cache, &counts);
    return counts;
}

static const struct mlt_head heads[] = {
    { .type = MLT_EVENT_BOOK_DELTA, .sequence = 17, .last = 9 },
    { .type = MLT_EVENT_BOOK, .sequence = 3, .last = 9 }
};

static bool commit_state(struct owner *o, const char *token, int64_t last,
                         enum mlt_book_state book_state)
{
    seed(o->levels, last);
    int64_t columns[4][20];
    struct mlt_event book = { .instrument = mlt_slice_of_string(token),
                              .type = MLT_EVENT_BOOK,
                              .epoch = o->epoch,
                              .sequence = 3,
                              .first = last,
                              .last = last,
                              .stamps = { .received = mlt_clock_wall_ns(),
                                          .exchange = MLT_STAMP_UNKNOWN,
                                          .adapted = MLT_STAMP_UNKNOWN,
                                          .dispatched = MLT_STAMP_UNKNOWN,
                                          .conducted = MLT_STAMP_UNKNOWN,
                                          .published = MLT_STAMP_UNKNOWN } };
    book.u.book = (struct mlt_book){ .last_update_id = last,
                                     .state = book_state,
                                     .snapshot_update_id = o->snapshot_id,
                                     .snapshot_time_ns = 1785000000000000000,
                                     .deltas_applied = 4,
                                     .digest = mlt_orderbook_digest(o->levels),
                                     .digest_version = MLT_ORDERBOOK_DIGEST_VERSION };
    (void)mlt_orderbook_top(o->levels, MLT_ORDERBOOK_BIDS, 20, columns[0], columns[1],
                            &book.u.book.bids);
    (void)mlt_orderbook_top(o->levels, MLT_ORDERBOOK_ASKS, 20, columns[2], columns[3],
                            &book.u.book.asks);
    const struct mlt_conductor_view view = { &book, o->levels, book_state, true, heads, 2 };
    const bool taken = mlt_conductor_cache_commit(o->cache, book.instrument, &view);
    o->taken += taken ? 1 : 0;
    return taken;
}

static bool commit(struct owner *o, const char *token, int64_t last)
{
    return commit_state(o, token, last, MLT_BOOK_LIVE);
}

/* The outcome; UNAVAILABLE also where it was not taken. */
static enum mlt_commit_outcome commit_and_wait(struct owner *o, const char *token, int64_t last)
{
    if (!commit(o, token, last)) {
        return MLT_COMMIT_UNAVAILABLE;
    }
    assert_true(latch_wait(&o->answered, o->taken, WAIT_NS));
    (void)pthread_mutex_lock(&o->mutex);
    const enum mlt_commit_outcome outcome = o->last;
    (void)pthread_mutex_unlock(&o->mutex);
    return outcome;
}

/* Each attempt is an exchange with the server or with the cache's thread, never a wait for time. */
static void commit_until_done(struct owner *o, const char *token, int64_t last, int64_t within_ns)
{
    const int64_t deadline = mlt_clock_mono_ns() + within_ns;
    while (commit_and_wait(o, token, last) != MLT_COMMIT_DONE) {
        assert_true(mlt_clock_mono_ns() < deadline);
        (void)mlt_bus_rtt_ns(o->bus);
    }
}

/* What came of it, again where the server was not in time: on a busy machine it may be late, and
 * half a second is all that it has. */
static enum mlt_commit_outcome commit_settled(struct owner *o, const char *token, int64_t last)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    enum mlt_commit_outcome outcome = commit_and_wait(o, token, last);
    while (outcome == MLT_COMMIT_UNAVAILABLE && mlt_clock_mono_ns() < deadline) {
        (void)mlt_bus_rtt_ns(o->bus);
        outcome = commit_and_wait(o, token, last);
    }
    return outcome;
}

static enum mlt_status read_value(struct owner *o, const char *key, struct mlt_buf *value)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    uint64_t revision = 0;
    enum mlt_status status;
    do { /* a server on a busy machine may not answer in time */
        mlt_buf_clear(value);
        status = mlt_kv_get(o->store, MLT_SNAPSHOTS_BUCKET, key, value, &revision, NULL);
    } while (status == MLT_E_UNAVAILABLE && mlt_clock_mono_ns() < deadline);
    return status;
}

/* What the record of an instrument says; epoch 0: there is none. */
static struct mlt_snapshot_record record_of(struct owner *o, const char *token,
                                            struct mlt_buf *value)
{
    struct mlt_snapshot_record record = { 0 };
    if (read_value(o, token, value) == MLT_OK) {
        assert_int_equal(mlt_snapshot_record_decode(mlt_buf_view(value), &record), MLT_OK);
    }
    return record;
}

static int64_t last_in_record(struct owner *o, const char *token)
{
    struct mlt_buf value;
    mlt_buf_init(&value, 1 << 20);
    const struct mlt_snapshot_record record = record_of(o, token, &value);
    mlt_buf_fini(&value);
    return record.last_update_id;
}

static int64_t last_in_checkpoint(struct owner *o, const char *token)
{
    struct mlt_buf value;
    struct mlt_arena arena;
    struct mlt_book_checkpoint checkpoint = { 0 };
    char key[128];
    (void)snprintf(key, sizeof key, "%s" MLT_CHECKPOINT_SUFFIX, token);
    mlt_buf_init(&value, 1 << 20);
    mlt_arena_init(&arena, 4096, 1 << 20);
    if (read_value(o, key, &value) == MLT_OK) {
        assert_int_equal(mlt_book_checkpoint_decode(mlt_buf_view(&value), &arena, &checkpoint),
                         MLT_OK);
    }
    mlt_arena_fini(&arena);
    mlt_buf_fini(&value);
    return checkpoint.last_update_id;
}

static void await_checkpoint(struct owner *o, const char *token, int64_t last)
{
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    while (last_in_checkpoint(o, token) != last) {
        assert_true(mlt_clock_mono_ns() < deadline);
    }
}

/* ---- the values ---- */

static void test_record_and_checkpoint_say_what_the_book_is(void **state)
{
    (void)state;
    struct owner o;
    struct mlt_buf value;
    struct mlt_arena arena;
    mlt_buf_init(&value, 1 << 20);
    mlt_arena_init(&arena, 4096, 1 << 20);
    owner_open(&o, 7);
    commit_until_done(&o, "VALUES-USDT", 9, BACK_NS);
    const struct mlt_snapshot_record record = record_of(&o, "VALUES-USDT", &value);
    assert_int_equal(record.epoch, 7);
    assert_int_equal(record.last_update_id, 9);
    assert_int_equal(record.snapshot_update_id, 5);
    assert_int_equal(record.deltas_applied, 4);
    assert_int_equal(record.state, MLT_BOOK_LIVE);
    assert_int_equal(record.throttle_ms, 100);
    assert_true(record.source_up);
    assert_true(record.refresh_due_ns == 1785000060000000000);
    assert_int_equal(record.head_count, 2);
    assert_int_equal(record.heads[0].sequence, 17);
    struct mlt_event book;
    assert_int_equal(mlt_event_decode(record.event, &arena, &book), MLT_OK);
    assert_int_equal(book.type, MLT_EVENT_BOOK);
    assert_int_equal(book.u.book.bids.count, 20);
    assert_int_equal(book.u.book.asks.prices[19], 10020);

    struct mlt_book_checkpoint checkpoint;
    await_checkpoint(&o, "VALUES-USDT", 9);
    assert_int_equal(read_value(&o, "VALUES-USDT.checkpoint", &value), MLT_OK);
    assert_int_equal(mlt_book_checkpoint_decode(mlt_buf_view(&value), &arena, &checkpoint), MLT_OK);
    assert_int_equal(checkpoint.epoch, 7);
    assert_int_equal(checkpoint.bids.count, LEVELS);
    assert_int_equal(checkpoint.asks.count, LEVELS);
    assert_int_equal(checkpoint.bids.prices[LEVELS - 1], 10000 - (int64_t)LEVELS + 1);
    assert_int_equal(checkpoint.asks.quantities[0], 109);
    assert_int_equal(checkpoint.digest, mlt_book_digest(&checkpoint.bids, &checkpoint.asks));
    assert_int_equal(checkpoint.digest_version, 1);
    assert_false(checkpoint.bids_whole);
    assert_int_equal(checkpoint.head_count, 2);
    mlt_arena_fini(&arena);
    mlt_buf_fini(&value);
    owner_close(&o);
}

static bool ask(void *ctx, struct mlt_slice instrument, struct mlt_conductor_view *view)
{
    struct owner *o = ctx;
    assert_true(mlt_slice_equal_string(instrument, "OFTEN-USDT"));
    *view = (struct mlt_conductor_view){
        .levels = o->levels, .state = MLT_BOOK_LIVE, .heads = heads, .head_count = 2
    };
    return true;
}

/* Its book is no more, and the BOOK that says so has not been committed. */
static bool ask_broken(void *ctx, struct mlt_slice instrument, struct mlt_conductor_view *view)
{
    struct owner *o = ctx;
    assert_true(mlt_slice_equal_string(instrument, "BROKEN-USDT"));
    mlt_orderbook_clear(o->levels);
    *view = (struct mlt_conductor_view){
        .levels = o->levels, .state = MLT_BOOK_GAP, .heads = heads, .head_count = 2
    };
    return true;
}

static void
test_checkpoint_follows_within_its_second_and_at_once_when_the_state_changes(void **state)
{
    (void)state;
    struct owner o;
    owner_open(&o, 8);
    const int64_t begin = mlt_clock_mono_ns();
    commit_until_done(&o, "OFTEN-USDT", 10, BACK_NS);
    const uint64_t first = counts_of(&o).checkpoints;
    assert_int_equal(commit_settled(&o, "OFTEN-USDT", 11), MLT_COMMIT_DONE);
    mlt_conductor_cache_checkpoints(o.cache, UINT64_MAX, false, ask, &o);
    /* On a machine that is stopped for a second there is another one, and rightly so. */
    if (mlt_clock_mono_ns() - begin < MLT_CHECKPOINT_NS) {
        assert_int_equal(counts_of(&o).checkpoints, first);
    }
    assert_int_equal(last_in_record(&o, "OFTEN-USDT"), 11);

    /* The last one is written without a further commit, in the turn of its slot. */
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    const uint64_t its = UINT64_C(1) << mlt_instrument_slot(MLT_SLICE_LITERAL("OFTEN-USDT"));
    while (mlt_clock_mono_ns() - begin < MLT_CHECKPOINT_NS + MLT_NS_PER_MS) {
        (void)mlt_bus_rtt_ns(o.bus);
    }
    const uint64_t before_its_turn = counts_of(&o).checkpoints;
    mlt_conductor_cache_checkpoints(o.cache, ~its, false, ask, &o);
    assert_int_equal(counts_of(&o).checkpoints, before_its_turn);
    while (counts_of(&o).checkpoints == first) {
        mlt_conductor_cache_checkpoints(o.cache, UINT64_MAX, false, ask, &o);
        assert_true(mlt_clock_mono_ns() < deadline);
        (void)mlt_bus_rtt_ns(o.bus);
    }
    assert_true(mlt_clock_mono_ns() - begin >= MLT_CHECKPOINT_NS);
    await_checkpoint(&o, "OFTEN-USDT", 11);

    uint64_t before = counts_of(&o).checkpoints;
    o.snapshot_id++; /* a resync: who joins needs the new window */
    assert_int_equal(commit_settled(&o, "OFTEN-USDT", 11), MLT_COMMIT_DONE);
    assert_int_equal(counts_of(&o).checkpoints, before + 1);
    before = counts_of(&o).checkpoints;
    assert_true(commit_state(&o, "OFTEN-USDT", 12, MLT_BOOK_GAP));
    assert_int_equal(counts_of(&o).checkpoints, before + 1);
    await_checkpoint(&o, "OFTEN-USDT", 12);
    struct mlt_buf value;
    struct mlt_arena arena;
    struct mlt_book_checkpoint checkpoint;
    mlt_buf_init(&value, 1 << 20);
    mlt_arena_init(&arena, 4096, 1 << 20);
    assert_int_equal(read_value(&o, "OFTEN-USDT.checkpoint", &value), MLT_OK);
    assert_int_equal(mlt_book_checkpoint_decode(mlt_buf_view(&value), &arena, &checkpoint), MLT_OK);
    assert_int_equal(checkpoint.state, MLT_BOOK_GAP);
    assert_int_equal(checkpoint.bids.count + checkpoint.asks.count, 0);
    assert_int_equal(checkpoint.digest_version, 0);
    mlt_arena_fini(&arena);
    mlt_buf_fini(&value);
    owner_close(&o);
}

/* A joiner would take a book without levels for the whole book. */
static void test_checkpoint_between_two_books_says_what_the_book_is_by_then(void **state)
{
    (void)state;
    struct owner o;
    struct mlt_buf value;
    struct mlt_arena arena;
    struct mlt_book_checkpoint checkpoint;
    owner_open(&o, 9);
    commit_until_done(&o, "BROKEN-USDT", 10, BACK_NS);
    assert_int_equal(commit_settled(&o, "BROKEN-USDT", 11), MLT_COMMIT_DONE);
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    while (last_in_checkpoint(&o, "BROKEN-USDT") == 0) {
        assert_true(mlt_clock_mono_ns() < deadline);
    }
    mlt_conductor_cache_checkpoints(o.cache, UINT64_MAX, true, ask_broken, &o);
    await_checkpoint(&o, "BROKEN-USDT", 0);
    mlt_buf_init(&value, 1 << 20);
    mlt_arena_init(&arena, 4096, 1 << 20);
    assert_int_equal(read_value(&o, "BROKEN-USDT.checkpoint", &value), MLT_OK);
    assert_int_equal(mlt_book_checkpoint_decode(mlt_buf_view(&value), &arena, &checkpoint), MLT_OK);
    assert_int_equal(checkpoint.state, MLT_BOOK_GAP);
    assert_int_equal(checkpoint.digest_version, 0);
    assert_int_equal(checkpoint.bids.count + checkpoint.asks.count, 0);
    mlt_arena_fini(&arena);
    mlt_buf_fini(&value);
    owner_close(&o);
}

/* ---- owners ---- */

static void test_higher_epoch_takes_over_and_the_lower_one_is_fenced(void **state)
{
    (void)state;
    struct owner low, high;
    owner_open(&low, 100);
    owner_open(&high, 200);
    commit_until_done(&low, "FENCE-USDT", 20, BACK_NS);
    commit_until_done(&high, "FENCE-USDT", 21, BACK_NS);
    assert_true(counts_of(&high).conflicts > 0); /* it did not know what was there */
    assert_int_equal(commit_settled(&low, "FENCE-USDT", 22), MLT_COMMIT_FENCED);
    assert_int_equal(last_in_record(&high, "FENCE-USDT"), 21);
    assert_true(counts_of(&low).fenced > 0);
    await_checkpoint(&high, "FENCE-USDT", 21);
    const uint64_t conflicts = counts_of(&high).conflicts;
    assert_int_equal(commit_settled(&high, "FENCE-USDT", 23), MLT_COMMIT_DONE);
    assert_int_equal(counts_of(&high).conflicts, conflicts);
    assert_int_equal(low.outcomes[MLT_COMMIT_DONE], 1);

    /* With a new epoch it owns again. */
    low.epoch = 300;
    assert_int_equal(commit_settled(&low, "FENCE-USDT", 24), MLT_COMMIT_DONE);
    assert_int_equal(commit_settled(&high, "FENCE-USDT", 25), MLT_COMMIT_FENCED);
    assert_int_equal(last_in_record(&low, "FENCE-USDT"), 24);
    owner_close(&low);
    owner_close(&high);
    assert_true(low.fences > 0 && high.fences > 0);
    assert_int_equal(low.fences_early + high.fences_early, 0);
}

static void test_value_of_its_own_epoch_or_of_nobody_is_written_over(void **state)
{
    (void)state;
    struct owner o, same;
    owner_open(&o, 50);
    owner_open(&same, 50);
    commit_until_done(&o, "OWN-USDT", 30, BACK_NS);
    commit_until_done(&same, "OWN-USDT", 31, BACK_NS); /* as if an acknowledgement was lost */
    assert_int_equal(commit_settled(&o, "OWN-USDT", 32), MLT_COMMIT_DONE);
    assert_int_equal(last_in_record(&o, "OWN-USDT"), 32);
    uint64_t revision = 0;
    assert_int_equal(mlt_kv_put(o.store, MLT_SNAPSHOTS_BUCKET, "OWN-USDT",
                                mlt_slice_of_string("\xff no record"), &revision, NULL),
                     MLT_OK);
    assert_int_equal(commit_settled(&o, "OWN-USDT", 33), MLT_COMMIT_DONE);
    assert_int_equal(last_in_record(&o, "OWN-USDT"), 33);
    /* Deleted by somebody: there is a marker, with a revision. */
    char out[4096];
    raw_client(&server,
               "SUB in 1\r\nHPUB $KV.meltica-snapshots.OWN-USDT in 31 31\r\nNATS/1.0\r\n"
               "KV-Operation: DEL\r\n\r\n\r\n",
               "\"seq\":", 1, out, sizeof out);
    assert_int_equal(commit_settled(&o, "OWN-USDT", 34), MLT_COMMIT_DONE);
    assert_int_equal(last_in_record(&o, "OWN-USDT"), 34);
    assert_int_equal(o.outcomes[MLT_COMMIT_FENCED], 0);
    owner_close(&o);
    owner_close(&same);
}

struct loaded {
    unsigned count, with_checkpoint;
    uint64_t epoch;
    int64_t last;
};

static void on_loaded(void *ctx, const struct mlt_conductor_cached *cached)
{
    struct loaded *loaded = ctx;
    loaded->count++;
    if (mlt_slice_equal_string(cached->instrument, "LOAD3-USDT")) {
        loaded->epoch = cached->record->epoch;
        loaded->last = cached->book->u.book.last_update_id;
    }
    if (cached->checkpoint != NULL && cached->checkpoint->bids.count == LEVELS) {
        loaded->with_checkpoint++;
    }
}

static void test_successor_loads_its_slots_and_is_not_refused(void **state)
{
    (void)state;
    struct owner before, after;
    char token[32];
    uint64_t slots = 0;
    unsigned own = 0;
    owner_open(&before, 400);
    for (unsigned i = 0; i < INSTRUMENTS; i++) {
        (void)snprintf(token, sizeof token, "LOAD%u-USDT", i);
        commit_until_done(&before, token, 40 + (int64_t)i, BACK_NS);
        await_checkpoint(&before, token, 40 + (int64_t)i);
        slots |= i < 10 ? UINT64_C(1) << mlt_instrument_slot(mlt_slice_of_string(token)) : 0;
    }
    for (unsigned i = 0; i < INSTRUMENTS; i++) {
        (void)snprintf(token, sizeof token, "LOAD%u-USDT", i);
        own += (slots >> mlt_instrument_slot(mlt_slice_of_string(token)) & 1) != 0;
    }
    owner_close(&before);

    struct loaded loaded = { 0 };
    struct mlt_error err = MLT_ERROR_INIT;
    owner_open(&after, 401);
    assert_int_equal(mlt_conductor_cache_load(after.cache, slots, on_loaded, &loaded, &err),
                     MLT_OK);
    assert_true(loaded.count >= own && loaded.count < INSTRUMENTS + 10);
    assert_true(loaded.with_checkpoint >= own);
    assert_int_equal(loaded.epoch, 400);
    assert_int_equal(loaded.last, 43);
    for (unsigned i = 0; i < 10; i++) {
        (void)snprintf(token, sizeof token, "LOAD%u-USDT", i);
        commit_until_done(&after, token, 90, BACK_NS);
    }
    assert_int_equal(counts_of(&after).conflicts, 0);
    owner_close(&after);
}

/* ---- away ---- */

static void commit_some(struct owner *o, const char *family, unsigned count, int64_t last)
{
    char token[32];
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(token, sizeof token, "%s%u-USDT", family, i);
        commit_until_done(o, token, last, BACK_NS);
    }
}

static void test_bucket_that_died_with_its_server_is_made_again_with_everything(void **state)
{
    (void)state;
    struct owner o;
    char token[32];
    owner_open(&o, 500);
    commit_some(&o, "BACK", INSTRUMENTS, 50);
    server_stop(&server);
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    while (commit_and_wait(&o, "BACK0-USDT", 51) == MLT_COMMIT_DONE) {
        assert_true(mlt_clock_mono_ns() < deadline);
    }
    assert_false(commit(&o, "BACK0-USDT", 52)); /* at once: nothing is waited for any more */
    assert_false(commit(&o, "BACK1-USDT", 53));
    assert_false(counts_of(&o).available);
    server_restart(&server);
    const int64_t back = mlt_clock_mono_ns();
    while (counts_of(&o).waiting > 0 || !counts_of(&o).available) {
        assert_true(mlt_clock_mono_ns() - back < BACK_NS);
        (void)mlt_bus_rtt_ns(o.bus);
    }
    assert_int_equal(counts_of(&o).rebuilt, 1);
    for (unsigned i = 0; i < INSTRUMENTS; i++) { /* quiet ones too; the newest of the others */
        (void)snprintf(token, sizeof token, "BACK%u-USDT", i);
        const int64_t last = i == 0 ? 52 : i == 1 ? 53 : 50;
        assert_int_equal(last_in_record(&o, token), last);
        assert_true(last_in_checkpoint(&o, token) >= 50);
    }
    assert_int_equal(commit_settled(&o, "BACK0-USDT", 54), MLT_COMMIT_DONE);
    assert_int_equal(commit_settled(&o, "BACK7-USDT", 54), MLT_COMMIT_DONE);
    owner_close(&o);
}

static bool ask_none(void *ctx, struct mlt_slice instrument, struct mlt_conductor_view *view)
{
    (void)ctx;
    (void)instrument;
    (void)view;
    return false;
}

static void test_quiet_cache_finds_out_by_itself_that_the_server_is_another_one(void **state)
{
    (void)state;
    struct owner o;
    owner_open(&o, 600);
    commit_some(&o, "QUIET", 3, 60);
    /* What is still on its way would find out by its answer. */
    const int64_t begin = mlt_clock_mono_ns();
    while (counts_of(&o).waiting > 0) {
        assert_true(mlt_clock_mono_ns() - begin < WAIT_NS);
        (void)mlt_bus_rtt_ns(o.bus);
    }
    server_restart(&server);
    const int64_t deadline = mlt_clock_mono_ns() + WAIT_NS;
    while (last_in_record(&o, "QUIET2-USDT") != 60) { /* no commit comes */
        mlt_conductor_cache_checkpoints(o.cache, UINT64_MAX, false, ask_none, NULL);
        assert_true(mlt_clock_mono_ns() < deadline);
    }
    assert_int_equal(counts_of(&o).rebuilt, 1);
    owner_close(&o);
}

static void test_server_that_hangs_costs_one_answer_time_and_comes_back(void **state)
{
    (void)state;
    struct owner o;
    owner_open(&o, 700);
    commit_some(&o, "HANG", 2, 70);
    server_pause(&server);
    const int64_t begin = mlt_clock_mono_ns();
    assert_true(commit(&o, "HANG0-USDT", 71));
    const bool answered = latch_wait(&o.answered, o.taken, WAIT_NS);
    const int64_t took = mlt_clock_mono_ns() - begin;
    const bool taken = commit(&o, "HANG1-USDT", 72);
    server_resume(&server);
    assert_true(answered);
    assert_false(taken);
    assert_int_equal(o.last, MLT_COMMIT_UNAVAILABLE);
    print_message("    given up after %lld ms\n", (long long)(took / MLT_NS_PER_MS));
    assert_true(took >= 500 * MLT_NS_PER_MS && took < BACK_NS);
    commit_until_done(&o, "HANG0-USDT", 73, BACK_NS);
    commit_until_done(&o, "HANG1-USDT", 74, BACK_NS);
    assert_int_equal(last_in_record(&o, "HANG1-USDT"), 74);
    assert_int_equal(counts_of(&o).rebuilt, 0);
    owner_close(&o);
}

/* More at once than the writer takes, as when the bucket of a large market is made again: what has
 * to wait for room is late, but it is neither flagged nor forgotten. */
static void test_commits_beyond_the_writers_room_wait_for_it(void **state)
{
    (void)state;
    struct owner o;
    char token[32];
    unsigned n = 0;
    owner_open(&o, 750);
    commit_some(&o, "ROOM", 1, 75);
    server_pause(&server);
    bool taken = true;
    while (taken && n < 5000) { /* a record and a checkpoint each: above 8,192 puts */
        (void)snprintf(token, sizeof token, "ROOM%u-USDT", n + 1);
        taken = commit(&o, token, 76);
        n += taken;
    }
    const bool available = counts_of(&o).available;
    server_resume(&server);
    /* On a machine that needs half a second for that the cache was given up, and rightly so. */
    assert_true(taken || !available);
    assert_true(latch_wait(&o.answered, o.taken, WAIT_NS));
    /* Where it was given up each of thousands is read before it is written, one by one. */
    int64_t moved_ns = mlt_clock_mono_ns();
    uint64_t left = UINT64_MAX;
    for (struct mlt_conductor_cache_counts now = counts_of(&o); now.waiting > 0 || !now.available;
         now = counts_of(&o)) {
        if (now.waiting < left) {
            left = now.waiting;
            moved_ns = mlt_clock_mono_ns();
        }
        assert_true(mlt_clock_mono_ns() - moved_ns < WAIT_NS);
        (void)mlt_bus_rtt_ns(o.bus);
    }
    (void)snprintf(token, sizeof token, "ROOM%u-USDT", n);
    assert_int_equal(last_in_record(&o, token), 76);
    owner_close(&o);
}

/* Another key's put is not answered, and then this one's is refused: to find out whose value that
 * is would take until the cache is back. */
static void test_refused_put_is_answered_where_the_cache_went_away_meanwhile(void **state)
{
    (void)state;
    struct owner o;
    owner_open(&o, 760);
    commit_some(&o, "REFUSED", 1, 76);
    server_pause(&server);
    assert_true(commit(&o, "REFUSED0-USDT", 77));
    (void)pthread_mutex_lock(&o.cache->lock);
    struct entry *entry = mlt_cache_entry(o.cache, MLT_SLICE_LITERAL("REFUSED0-USDT"));
    mlt_cache_set_away(o.cache, "as if another one's was not answered", 0);
    (void)pthread_mutex_unlock(&o.cache->lock);
    const struct mlt_kv_answer refused = { .about = &entry->record, .outcome = MLT_KV_CONFLICT };
    mlt_cache_on_answer(o.cache, &refused);
    assert_true(latch_wait(&o.answered, o.taken, 0));
    assert_int_equal(o.last, MLT_COMMIT_UNAVAILABLE);
    server_resume(&server);
    commit_until_done(&o, "REFUSED0-USDT", 78, WAIT_NS);
    owner_close(&o);
}

/* Both keys have to be read first, one after the other; while the first is, the cache goes away. */
static void test_who_waits_to_be_read_is_answered_when_the_cache_goes_away(void **state)
{
    (void)state;
    struct owner o;
    owner_open(&o, 770);
    commit_some(&o, "READ", 2, 77);
    (void)pthread_mutex_lock(&o.cache->lock);
    mlt_cache_entry(o.cache, MLT_SLICE_LITERAL("READ0-USDT"))->record.suspect = true;
    mlt_cache_entry(o.cache, MLT_SLICE_LITERAL("READ1-USDT"))->record.suspect = true;
    (void)pthread_mutex_unlock(&o.cache->lock);
    server_pause(&server);
    const bool first = commit(&o, "READ0-USDT", 78), second = commit(&o, "READ1-USDT", 78);
    const bool answered = latch_wait(&o.answered, o.taken, WAIT_NS);
    server_resume(&server);
    assert_true(first && second && answered);
    assert_int_equal(o.last, MLT_COMMIT_UNAVAILABLE);
    commit_until_done(&o, "READ1-USDT", 79, WAIT_NS);
    owner_close(&o);
}

static void test_end_answers_who_waits(void **state)
{
    (void)state;
    struct owner o;
    owner_open(&o, 800);
    commit_some(&o, "END", 1, 80);
    server_pause(&server);
    assert_true(commit(&o, "END0-USDT", 81));
    mlt_conductor_cache_destroy(o.cache);
    o.cache = NULL;
    server_resume(&server);
    assert_true(latch_wait(&o.answered, o.taken, 0));
    assert_int_equal(o.last, MLT_COMMIT_UNAVAILABLE);
    owner_close(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_and_checkpoint_say_what_the_book_is),
        cmocka_unit_test(
            test_checkpoint_follows_within_its_second_and_at_once_when_the_state_changes),
        cmocka_unit_test(test_checkpoint_between_two_books_says_what_the_book_is_by_then),
        cmocka_unit_test(test_higher_epoch_takes_over_and_the_lower_one_is_fenced),
        cmocka_unit_test(test_value_of_its_own_epoch_or_of_nobody_is_written_over),
        cmocka_unit_test(test_successor_loads_its_slots_and_is_not_refused),
        cmocka_unit_test(test_server_that_hangs_costs_one_answer_time_and_comes_back),
        cmocka_unit_test(test_commits_beyond_the_writers_room_wait_for_it),
        cmocka_unit_test(test_refused_put_is_answered_where_the_cache_went_away_meanwhile),
        cmocka_unit_test(test_who_waits_to_be_read_is_answered_when_the_cache_goes_away),
        cmocka_unit_test(test_end_answers_who_waits),
        cmocka_unit_test(test_bucket_that_died_with_its_server_is_made_again_with_everything),
        cmocka_unit_test(test_quiet_cache_finds_out_by_itself_that_the_server_is_another_one),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
