/* A core that makes books, with time, cache and snapshots in the test's hands. Exponents are -2 and
 * -5, the instrument is BTC-USDT; what comes out is kept as it is on the wire. */
#ifndef MELTICA_TESTS_BOOKS_FIXTURE_H
#define MELTICA_TESTS_BOOKS_FIXTURE_H

#include "mlt_test.h"

#include "core.h"

#define OUT_MAX 4096

struct books_fixture {
    struct mlt_conductor_core *core;
    struct mlt_clock clock;
    int64_t now_ns;
    int64_t behind_ns; /* the exchange's clock behind ours */
    struct mlt_arena arena;
    size_t count;
    struct mlt_event out[OUT_MAX];
    int64_t out_ns[OUT_MAX];
    uint32_t wants; /* quality of what is sent: what is subscribed */
    bool cache;     /* takes commits; else there is none */
    size_t commits;
    uint64_t committed_sequence, committed_epoch;
    enum mlt_book_state committed_state;
    size_t committed_levels; /* that it shows */
    size_t heads_in_commit;
    size_t requests;
    uint32_t depth;
    enum mlt_sync_need need; /* of the last request */
    enum mlt_conductor_room room;
    size_t full_at; /* `count` at which there is no room for quotes, whatever `room` says; 0: none
                     */
};

#define FIXTURE_INSTRUMENT MLT_SLICE_LITERAL("BTC-USDT")

static int64_t fixture_now(void *ctx)
{
    return ((struct books_fixture *)ctx)->now_ns;
}

static void fixture_emit_encoded(void *ctx, uint32_t partition, struct mlt_slice bytes)
{
    struct books_fixture *f = ctx;
    assert_int_equal(partition, mlt_instrument_slot(FIXTURE_INSTRUMENT) % 4);
    assert_true(f->count < OUT_MAX);
    uint8_t *copy = mlt_arena_alloc(&f->arena, bytes.len);
    assert_non_null(copy);
    memcpy(copy, bytes.data, bytes.len);
    assert_int_equal(mlt_event_decode(mlt_slice_of(copy, bytes.len), &f->arena, &f->out[f->count]),
                     MLT_OK);
    f->out_ns[f->count++] = f->now_ns;
}

static void fixture_emit(void *ctx, uint32_t partition, const struct mlt_event *event)
{
    struct books_fixture *f = ctx;
    const size_t bytes = mlt_event_encoded_size(event);
    uint8_t *out = mlt_arena_alloc(&f->arena, bytes);
    assert_non_null(out);
    (void)mlt_event_encode(event, out);
    fixture_emit_encoded(f, partition, mlt_slice_of(out, bytes));
}

static bool fixture_commit(void *ctx, struct mlt_slice instrument, const struct mlt_event *book,
                           const struct mlt_orderbook *levels)
{
    struct books_fixture *f = ctx;
    struct mlt_head heads[MLT_STATUS_HEADS_MAX];
    assert_true(mlt_slice_equal_string(instrument, "BTC-USDT"));
    assert_non_null(levels);
    if (!f->cache) {
        return false;
    }
    f->commits++;
    f->committed_sequence = book->sequence;
    f->committed_epoch = book->epoch;
    f->committed_state = book->u.book.state;
    f->committed_levels = book->u.book.bids.count + book->u.book.asks.count;
    f->heads_in_commit = mlt_conductor_core_heads_of(f->core, instrument, heads);
    return true;
}

static void fixture_resync(void *ctx, struct mlt_slice instrument, uint32_t depth,
                           enum mlt_sync_need need)
{
    struct books_fixture *f = ctx;
    assert_true(mlt_slice_equal_string(instrument, "BTC-USDT"));
    f->requests++;
    f->depth = depth;
    f->need = need;
}

static enum mlt_conductor_room fixture_room(void *ctx)
{
    const struct books_fixture *f = ctx;
    return f->full_at > 0 && f->count >= f->full_at ? MLT_ROOM_NOT_FOR_QUOTES : f->room;
}

static const struct mlt_conductor_books fixture_books = {
    .throttle_ns = 100 * MLT_NS_PER_MS,
    .published_levels = 20,
    .book_levels = 512,
    .first_depth = 5,
    .snapshot_depth = 5,
    .stale_after_ns = 60 * MLT_NS_PER_S,
    .request_timeout_ns = 5 * MLT_NS_PER_S,
    .backoff_base_ns = MLT_NS_PER_S,
    .backoff_max_ns = 8 * MLT_NS_PER_S,
    .seed = 1,
};

static inline void fixture_epoch(struct books_fixture *f, uint64_t epoch)
{
    for (uint32_t s = 0; s < MLT_SLOT_COUNT; s++) {
        mlt_conductor_core_set_epoch(f->core, s, epoch);
    }
}

/* with_commit: the port is there, whether or not it takes anything. */
static inline void fixture_open(struct books_fixture *f, const struct mlt_conductor_books *books,
                                bool with_commit)
{
    memset(f, 0, sizeof *f);
    f->now_ns = 1000 * MLT_NS_PER_S;
    f->wants = MLT_QUALITY_WANTS_BOOK | MLT_QUALITY_WANTS_SNAPSHOT;
    f->clock = (struct mlt_clock){ fixture_now, fixture_now, f };
    mlt_arena_init(&f->arena, 1u << 16, 64u << 20);
    const struct mlt_conductor_ports ports = {
        .emit = fixture_emit,
        .emit_encoded = fixture_emit_encoded,
        .commit = with_commit ? fixture_commit : NULL,
        .resync = fixture_resync,
        .room = fixture_room,
        .ctx = f,
        .clock = &f->clock,
    };
    assert_int_equal(mlt_conductor_core_create(4, &ports, &f->core), MLT_OK);
    assert_int_equal(mlt_conductor_core_books(f->core, books), MLT_OK);
    fixture_epoch(f, 7);
}

static inline void fixture_close(struct books_fixture *f)
{
    mlt_conductor_core_destroy(f->core);
    mlt_arena_fini(&f->arena);
}

static inline struct mlt_conductor_counts fixture_counts(const struct books_fixture *f)
{
    struct mlt_conductor_counts counts;
    mlt_conductor_core_counts(f->core, &counts);
    return counts;
}

/* Forgets what came out so far. */
static inline void fixture_forget(struct books_fixture *f)
{
    f->count = 0;
    mlt_arena_reset(&f->arena);
}

static inline struct mlt_event fixture_event(const struct books_fixture *f,
                                             enum mlt_event_type type)
{
    struct mlt_event e;
    memset(&e, 0, sizeof e);
    e.instrument = FIXTURE_INSTRUMENT;
    e.type = type;
    e.quality = type == MLT_EVENT_BOOK_DELTA || type == MLT_EVENT_BOOK_SNAPSHOT ? f->wants : 0;
    e.stamps = (struct mlt_stamps){ f->now_ns,         f->now_ns - 5 - f->behind_ns,
                                    MLT_STAMP_UNKNOWN, MLT_STAMP_UNKNOWN,
                                    MLT_STAMP_UNKNOWN, MLT_STAMP_UNKNOWN };
    return e;
}

static inline void fixture_send(struct books_fixture *f, struct mlt_event *event)
{
    assert_int_equal(mlt_conductor_core_event(f->core, event), MLT_OK);
}

/* Sets the quantity of bid 100 and ask 200 to the last update id. */
static inline void fixture_delta(struct books_fixture *f, int64_t first, int64_t last)
{
    static const int64_t bid = 100, ask = 200;
    struct mlt_event e = fixture_event(f, MLT_EVENT_BOOK_DELTA);
    e.first = first;
    e.last = last;
    e.route = 6;
    e.route_revision = 3;
    e.trace_id[0] = (uint8_t)last;
    e.u.book_delta.bids = (struct mlt_levels){ -2, -5, 1, &bid, &last };
    e.u.book_delta.asks = (struct mlt_levels){ -2, -5, 1, &ask, &last };
    fixture_send(f, &e);
}

/* Bids 100, 99 and asks 200, 201, of fewer levels than were asked for: all there are. */
static inline void fixture_snapshot(struct books_fixture *f, int64_t id)
{
    const int64_t bids[] = { 100, 99 }, asks[] = { 200, 201 }, quantities[] = { id, 7 };
    struct mlt_event e = fixture_event(f, MLT_EVENT_BOOK_SNAPSHOT);
    e.first = e.last = id;
    e.stamps.exchange = MLT_STAMP_UNKNOWN; /* as REST has it */
    e.rest_function = MLT_SLICE_LITERAL("depth");
    e.u.book_snapshot.last_update_id = id;
    e.u.book_snapshot.bids = (struct mlt_levels){ -2, -5, 2, bids, quantities };
    e.u.book_snapshot.asks = (struct mlt_levels){ -2, -5, 2, asks, quantities };
    e.u.book_snapshot.requested_depth = 5;
    fixture_send(f, &e);
}

static inline void fixture_status_of(struct books_fixture *f, enum mlt_status_kind kind,
                                     const char *reason)
{
    struct mlt_event e = fixture_event(f, MLT_EVENT_STATUS);
    e.u.status.kind = kind;
    e.u.status.reason = mlt_slice_of_string(reason);
    fixture_send(f, &e);
}

/* The Dispatcher's word that an instance of the type became no event. */
static inline void fixture_refuse(struct books_fixture *f, enum mlt_event_type type)
{
    struct mlt_event e = fixture_event(f, MLT_EVENT_STATUS);
    e.u.status.kind = MLT_STATUS_LOST;
    e.u.status.reason = MLT_SLICE_LITERAL("refused");
    e.u.status.lost_type = type;
    fixture_send(f, &e);
}

static inline void fixture_status(struct books_fixture *f, enum mlt_status_kind kind)
{
    fixture_status_of(f, kind, "closed");
}

/* LIVE at id, and nothing of it kept. Time goes on by two windows. */
static inline void fixture_live(struct books_fixture *f, int64_t id)
{
    fixture_delta(f, id, id);
    f->now_ns += MLT_NS_PER_MS;
    fixture_snapshot(f, id);
    f->now_ns += 200 * MLT_NS_PER_MS;
    fixture_forget(f);
}

/* Advances to `until`, doing what is due on the way when it is due. */
static inline void fixture_run(struct books_fixture *f, int64_t until_ns)
{
    while (mlt_conductor_core_due_ns(f->core) <= until_ns) {
        const int64_t due = mlt_conductor_core_due_ns(f->core);
        f->now_ns = due > f->now_ns ? due : f->now_ns;
        mlt_conductor_core_tick(f->core);
        assert_true(mlt_conductor_core_due_ns(f->core) > f->now_ns);
    }
    f->now_ns = until_ns;
}

#endif
