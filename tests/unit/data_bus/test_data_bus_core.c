#include "table.h"

#include <stdio.h>

#include "core.h"
#include "meltica/base/buf.h"

#define SEEN_MAX 4096
#define INSTRUMENT "BTC-USDT"

/* The world around the core: what left, the clock, and the table that await_table finds. */
struct world {
    size_t count;
    struct mlt_event events[SEEN_MAX];
    char reasons[SEEN_MAX][32];
    int64_t mono_ns;
    struct mlt_data_bus_core *core;
    struct mlt_routing *newer;
    uint64_t awaited;
    unsigned waits;
    bool refuse;
    bool quiet;                /* count only */
    struct mlt_buf *encode_to; /* as the service does before it publishes; NULL: not */
};

static struct world world;

static int64_t wall_now(void *ctx)
{
    (void)ctx;
    return 5000;
}

static int64_t mono_now(void *ctx)
{
    const struct world *w = ctx;
    return w->mono_ns;
}

static const struct mlt_clock clock_of_world = { wall_now, mono_now, &world };

static bool on_publish(void *ctx, uint32_t partition, const struct mlt_event *event)
{
    struct world *w = ctx;
    assert_int_equal(partition, mlt_instrument_slot(event->instrument) % 4);
    assert_int_equal(event->stamps.published, 5000);
    if (w->refuse) {
        return false;
    }
    if (w->encode_to != NULL) {
        mlt_buf_clear(w->encode_to);
        assert_int_equal(mlt_buf_reserve(w->encode_to, mlt_event_encoded_size(event)), MLT_OK);
        w->encode_to->len = mlt_event_encode(event, w->encode_to->data);
    }
    if (w->quiet) {
        w->count++;
        return true;
    }
    assert_true(w->count < SEEN_MAX);
    w->events[w->count] = *event;
    if (event->type == MLT_EVENT_STATUS) {
        const struct mlt_slice reason = event->u.status.reason;
        assert_true(reason.len < sizeof w->reasons[0]);
        memset(w->reasons[w->count], 0, sizeof w->reasons[0]);
        if (reason.len > 0) {
            memcpy(w->reasons[w->count], reason.data, reason.len);
        }
    }
    w->count++;
    return true;
}

static void on_await_table(void *ctx, uint64_t revision)
{
    struct world *w = ctx;
    w->awaited = revision;
    w->waits++;
    if (w->newer != NULL) {
        mlt_data_bus_core_set_table(w->core, w->newer);
        w->newer = NULL;
    }
}

static struct mlt_routing *everything(uint64_t revision)
{
    const struct line lines[] = { { MLT_EVENT_TRADE, "*" },
                                  { MLT_EVENT_BBO, "*" },
                                  { MLT_EVENT_KLINE, "*" } };
    return table_of(revision, 1, lines, 3);
}

static struct mlt_data_bus_core *new_core(struct mlt_routing *routing)
{
    memset(&world, 0, sizeof world);
    const struct mlt_data_bus_ports ports = { on_publish, NULL, on_await_table, &world,
                                              &clock_of_world };
    assert_int_equal(mlt_data_bus_core_create(4, &ports, &world.core), MLT_OK);
    if (routing != NULL) {
        mlt_data_bus_core_set_table(world.core, routing);
    }
    return world.core;
}

static struct mlt_event event_of(enum mlt_event_type type, uint64_t epoch, uint64_t sequence)
{
    struct mlt_event e;
    memset(&e, 0, sizeof e);
    e.instrument = MLT_SLICE_LITERAL(INSTRUMENT);
    e.type = type;
    e.epoch = epoch;
    e.sequence = sequence;
    e.route_revision = 1;
    e.first = (int64_t)sequence;
    e.last = (int64_t)sequence;
    e.u.kline.interval = MLT_SLICE_LITERAL("1m");
    if (type == MLT_EVENT_STATUS) {
        memset(&e.u, 0, sizeof e.u);
    }
    return e;
}

static void send_event(enum mlt_event_type type, uint64_t epoch, uint64_t sequence)
{
    struct mlt_event e = event_of(type, epoch, sequence);
    assert_int_equal(mlt_data_bus_core_event(world.core, &e), MLT_OK);
}

static void send_heads(uint64_t epoch, const struct mlt_head *heads, size_t count)
{
    struct mlt_event e = event_of(MLT_EVENT_STATUS, epoch, 0);
    e.u.status.kind = MLT_STATUS_HEADS;
    e.u.status.head_count = count;
    memcpy(e.u.status.heads, heads, count * sizeof *heads);
    assert_int_equal(mlt_data_bus_core_event(world.core, &e), MLT_OK);
}

static struct mlt_data_bus_counts counts(void)
{
    struct mlt_data_bus_counts c;
    mlt_data_bus_core_counts(world.core, &c);
    assert_int_equal(c.in, c.validated + c.unrouted + c.late);
    assert_int_equal(c.validated, c.out + c.undelivered);
    return c;
}

static void assert_event(size_t at, enum mlt_event_type type, uint64_t epoch, uint64_t sequence)
{
    assert_true(at < world.count);
    assert_int_equal(world.events[at].type, type);
    assert_int_equal(world.events[at].epoch, epoch);
    assert_int_equal(world.events[at].sequence, sequence);
}

static void assert_lost(size_t at, enum mlt_event_type type, uint64_t epoch, uint64_t first,
                        uint64_t last, const char *reason)
{
    assert_event(at, MLT_EVENT_STATUS, epoch, 0);
    const struct mlt_status_event *status = &world.events[at].u.status;
    assert_int_equal(status->kind, MLT_STATUS_LOST);
    assert_int_equal(status->lost_type, type);
    assert_int_equal(status->first, first);
    assert_int_equal(status->last, last);
    assert_string_equal(world.reasons[at], reason);
}

/* ---- pass rule ---- */

static void test_only_what_is_greater_by_epoch_and_sequence_passes(void **state)
{
    (void)state;
    struct mlt_data_bus_core *core = new_core(everything(1));
    static const struct {
        enum mlt_event_type type;
        uint64_t epoch, sequence;
        bool passes;
    } steps[] = {
        { MLT_EVENT_TRADE, 5, 1, true },  { MLT_EVENT_TRADE, 5, 1, false },
        { MLT_EVENT_TRADE, 5, 2, true },  { MLT_EVENT_BBO, 5, 1, true },
        { MLT_EVENT_TRADE, 5, 1, false }, { MLT_EVENT_BBO, 5, 2, true },
        { MLT_EVENT_TRADE, 6, 1, true },  { MLT_EVENT_TRADE, 5, 3, false },
        { MLT_EVENT_BBO, 5, 3, false }, /* its instrument has a newer owner */
        { MLT_EVENT_BBO, 6, 1, true },    { MLT_EVENT_TRADE, 6, 2, true },
    };
    size_t passed = 0;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        send_event(steps[i].type, steps[i].epoch, steps[i].sequence);
        if (steps[i].passes) {
            assert_event(passed, steps[i].type, steps[i].epoch, steps[i].sequence);
            passed++;
        }
        assert_int_equal(world.count, passed);
    }
    assert_int_equal(counts().duplicates, 2);
    assert_int_equal(counts().stale_owner, 2);
    assert_int_equal(counts().out, 7);
    assert_int_equal(counts().lost, 0);
    mlt_data_bus_core_destroy(core);
}

static void test_a_jump_is_preceded_by_a_notice_that_names_exactly_what_is_missing(void **state)
{
    (void)state;
    struct mlt_data_bus_core *core = new_core(everything(1));
    send_event(MLT_EVENT_TRADE, 5, 1);
    send_event(MLT_EVENT_TRADE, 5, 7);
    assert_int_equal(world.count, 3);
    assert_lost(1, MLT_EVENT_TRADE, 5, 2, 6, "sequence_gap");
    assert_event(2, MLT_EVENT_TRADE, 5, 7);
    assert_true((world.events[2].quality & MLT_QUALITY_AFTER_GAP) != 0);
    send_event(MLT_EVENT_TRADE, 5, 4); /* given up: it must not come after all */
    send_event(MLT_EVENT_TRADE, 5, 8);
    assert_int_equal(world.count, 4);
    assert_true((world.events[3].quality & MLT_QUALITY_AFTER_GAP) == 0);
    /* A new epoch begins at 1: its beginning can be missing too. */
    send_event(MLT_EVENT_TRADE, 6, 3);
    assert_int_equal(world.count, 6);
    assert_lost(4, MLT_EVENT_TRADE, 6, 1, 2, "sequence_gap");
    assert_int_equal(counts().lost, 2);
    assert_int_equal(counts().lost_events, 7);
    assert_int_equal(counts().duplicates, 1);
    assert_int_equal(counts().out, 4);
    mlt_data_bus_core_destroy(core);
}

static void test_the_middle_of_an_epoch_is_a_fine_place_to_start_without_a_loss(void **state)
{
    (void)state;
    struct mlt_data_bus_core *core = new_core(everything(1));
    send_event(MLT_EVENT_TRADE, 5, 57);
    send_event(MLT_EVENT_TRADE, 5, 58);
    assert_int_equal(world.count, 2);
    assert_int_equal(counts().lost, 0);
    mlt_data_bus_core_destroy(core);
}

static void test_after_a_loss_of_the_hop_a_channel_first_seen_says_what_it_cannot_know(void **state)
{
    (void)state;
    struct mlt_data_bus_core *core = new_core(everything(1));
    const uint32_t partition = mlt_instrument_slot(MLT_SLICE_LITERAL(INSTRUMENT)) % 4;
    mlt_data_bus_core_lost(core, (partition + 1) % 4, "hop_overrun");
    send_event(MLT_EVENT_BBO, 5, 9);
    assert_int_equal(world.count, 1); /* of another partition */
    mlt_data_bus_core_lost(core, partition, "hop_overrun");
    send_event(MLT_EVENT_TRADE, 5, 57);
    assert_int_equal(world.count, 3);
    assert_lost(1, MLT_EVENT_TRADE, 5, 0, 56, "hop_overrun");
    assert_event(2, MLT_EVENT_TRADE, 5, 57);
    send_event(MLT_EVENT_BBO, 5, 10); /* known before, nothing missing */
    assert_int_equal(world.count, 4);
    send_event(MLT_EVENT_KLINE, 5, 1); /* the first of its channel: nothing can be missing */
    assert_int_equal(world.count, 5);
    assert_int_equal(counts().lost, 1);
    mlt_data_bus_core_destroy(core);
}

static void test_a_loss_between_two_owners_is_said_for_every_routed_instrument(void **state)
{
    (void)state;
    const struct line lines[] = { { MLT_EVENT_TRADE, INSTRUMENT } };
    struct mlt_data_bus_core *core = new_core(table_of(1, 1, lines, 1));
    const uint32_t partition = mlt_instrument_slot(MLT_SLICE_LITERAL(INSTRUMENT)) % 4;
    send_event(MLT_EVENT_TRADE, 5, 1);
    mlt_data_bus_core_lost(core, (partition + 1) % 4, "sender_restarted");
    assert_int_equal(world.count, 1);
    mlt_data_bus_core_lost(core, partition, "sender_restarted");
    assert_int_equal(world.count, 2);
    assert_lost(1, MLT_EVENT_NONE, 5, 0, 0, "sender_restarted");
    mlt_data_bus_core_destroy(core);
}

/* ---- heads ---- */

static void test_a_lost_last_event_is_found_by_the_heads(void **state)
{
    (void)state;
    struct mlt_data_bus_core *core = new_core(everything(1));
    send_event(MLT_EVENT_TRADE, 5, 1);
    send_event(MLT_EVENT_BBO, 5, 1);
    const struct mlt_head agreed[] = { { MLT_EVENT_BBO, 1, 1 }, { MLT_EVENT_TRADE, 1, 1 } };
    send_heads(5, agreed, 2);
    assert_int_equal(world.count, 3);
    assert_event(2, MLT_EVENT_STATUS, 5, 0);
    assert_int_equal(world.events[2].u.status.head_count, 2);
    const struct mlt_head above[] = { { MLT_EVENT_TRADE, 4, 44 } };
    send_heads(5, above, 1);
    assert_int_equal(world.count, 5);
    assert_lost(3, MLT_EVENT_TRADE, 5, 2, 4, "sequence_gap");
    assert_int_equal(world.events[4].u.status.kind, MLT_STATUS_HEADS);
    assert_int_equal(world.events[4].u.status.heads[0].sequence, 4);
    send_heads(5, above, 1); /* said once */
    assert_int_equal(world.count, 6);
    send_event(MLT_EVENT_TRADE, 5, 5); /* and nothing is missing before this one */
    assert_int_equal(world.count, 7);
    assert_int_equal(counts().lost, 1);
    mlt_data_bus_core_destroy(core);
}

static void test_heads_of_a_channel_not_seen_yet_are_taken_as_where_it_stands(void **state)
{
    (void)state;
    struct mlt_data_bus_core *core = new_core(everything(1));
    const struct mlt_head heads[] = { { MLT_EVENT_TRADE, 40, 400 } };
    send_heads(5, heads, 1);
    assert_int_equal(world.count, 1);
    send_event(MLT_EVENT_TRADE, 5, 41);
    assert_int_equal(world.count, 2);
    send_event(MLT_EVENT_TRADE, 5, 43);
    assert_int_equal(world.count, 4);
    assert_lost(2, MLT_EVENT_TRADE, 5, 42, 42, "sequence_gap");
    /* A newer epoch of which nothing came at all. */
    const struct mlt_head newer[] = { { MLT_EVENT_TRADE, 2, 500 } };
    send_heads(6, newer, 1);
    assert_lost(4, MLT_EVENT_TRADE, 6, 1, 2, "sequence_gap");
    /* After a loss the unknown beginning is said. */
    mlt_data_bus_core_lost(core, mlt_instrument_slot(MLT_SLICE_LITERAL(INSTRUMENT)) % 4,
                           "hop_overrun");
    const struct mlt_head other[] = { { MLT_EVENT_BBO, 12, 12 } };
    send_heads(6, other, 1);
    assert_lost(6, MLT_EVENT_BBO, 6, 0, 12, "hop_overrun");
    mlt_data_bus_core_destroy(core);
}

static void test_heads_tell_consumers_of_nothing_that_was_not_for_them(void **state)
{
    (void)state;
    const struct line lines[] = { { MLT_EVENT_TRADE, INSTRUMENT } };
    struct mlt_data_bus_core *core = new_core(table_of(1, 1, lines, 1));
    send_event(MLT_EVENT_TRADE, 5, 1);
    const struct mlt_head heads[] = { { MLT_EVENT_BBO, 7, 7 }, { MLT_EVENT_TRADE, 1, 1 } };
    send_heads(5, heads, 2);
    assert_int_equal(world.count, 2);
    assert_int_equal(world.events[1].u.status.head_count, 1);
    assert_int_equal(world.events[1].u.status.heads[0].type, MLT_EVENT_TRADE);
    const struct mlt_head only[] = { { MLT_EVENT_BBO, 9, 9 } };
    send_heads(5, only, 1);
    assert_int_equal(world.count, 2);
    assert_int_equal(counts().lost, 0);
    assert_int_equal(counts().unrouted, 0);
    mlt_data_bus_core_destroy(core);
}

/* ---- fence ---- */

static void test_a_replaced_owner_is_fenced_in_its_partition_only(void **state)
{
    (void)state;
    struct mlt_data_bus_core *core = new_core(everything(1));
    const uint32_t partition = mlt_instrument_slot(MLT_SLICE_LITERAL(INSTRUMENT)) % 4;
    send_event(MLT_EVENT_TRADE, 5, 1);
    assert_int_equal(mlt_data_bus_core_fence(core, (partition + 1) % 4, 100), 100);
    send_event(MLT_EVENT_TRADE, 5, 2);
    assert_int_equal(world.count, 2);
    assert_int_equal(mlt_data_bus_core_fence(core, partition, 6), 6);
    send_event(MLT_EVENT_TRADE, 5, 3);
    const struct mlt_head heads[] = { { MLT_EVENT_TRADE, 9, 9 } };
    send_heads(5, heads, 1);
    assert_int_equal(world.count, 2);
    assert_int_equal(counts().stale_owner, 2);
    send_event(MLT_EVENT_TRADE, 6, 1);
    assert_event(2, MLT_EVENT_TRADE, 6, 1);
    assert_int_equal(mlt_data_bus_core_fence(core, partition, 4), 6); /* never goes down */
    assert_int_equal(counts().lost, 0);
    mlt_data_bus_core_destroy(core);
}

/* ---- validation ---- */

static void test_without_a_table_nothing_happens_and_nothing_is_forgotten(void **state)
{
    (void)state;
    struct mlt_data_bus_core *core = new_core(NULL);
    assert_null(mlt_data_bus_core_table(core));
    struct mlt_event e = event_of(MLT_EVENT_TRADE, 5, 1);
    assert_int_equal(mlt_data_bus_core_event(core, &e), MLT_E_AGAIN);
    assert_int_equal(world.count, 0);
    assert_int_equal(counts().in, 0);
    mlt_data_bus_core_set_table(core, everything(1));
    assert_int_equal(mlt_data_bus_core_event(core, &e), MLT_OK);
    assert_event(0, MLT_EVENT_TRADE, 5, 1);
    mlt_data_bus_core_destroy(core);
}

static void test_what_no_subscription_asks_for_does_not_leave(void **state)
{
    (void)state;
    const struct line lines[] = { { MLT_EVENT_TRADE, INSTRUMENT } };
    struct mlt_data_bus_core *core = new_core(table_of(1, 1, lines, 1));
    static const struct {
        enum mlt_event_type type;
        bool leaves;
    } cases[] = {
        { MLT_EVENT_TICKER, false },        { MLT_EVENT_BBO, false },
        { MLT_EVENT_TRADE, true },          { MLT_EVENT_AGG_TRADE, false },
        { MLT_EVENT_KLINE, false },         { MLT_EVENT_BOOK_DELTA, false },
        { MLT_EVENT_BOOK_SNAPSHOT, false }, { MLT_EVENT_BOOK, false },
        { MLT_EVENT_INSTRUMENT, true },     { MLT_EVENT_STATUS, true },
    };
    uint64_t unrouted = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const size_t before = world.count;
        send_event(cases[i].type, 5, 1);
        assert_int_equal(world.count - before, cases[i].leaves ? 1 : 0);
        unrouted += cases[i].leaves ? 0 : 1;
        assert_int_equal(counts().unrouted, unrouted);
    }
    struct mlt_event other = event_of(MLT_EVENT_STATUS, 5, 1);
    other.instrument = MLT_SLICE_LITERAL("ETH-USDT");
    const size_t before = world.count;
    assert_int_equal(mlt_data_bus_core_event(core, &other), MLT_OK);
    assert_int_equal(world.count, before);
    assert_int_equal(counts().unrouted, unrouted + 1);
    assert_int_equal(counts().late, 0);
    mlt_data_bus_core_destroy(core);
}

static void send_snapshot(uint64_t sequence, bool reset)
{
    struct mlt_event e = event_of(MLT_EVENT_BOOK_SNAPSHOT, 5, sequence);
    memset(&e.u, 0, sizeof e.u);
    e.u.book_snapshot.reset = reset;
    assert_int_equal(mlt_data_bus_core_event(world.core, &e), MLT_OK);
}

/* The Conductor numbers only the snapshots that leave, so a book's channel of them has no holes. */
static void test_snapshots_of_a_book_pass_when_they_reset_it(void **state)
{
    (void)state;
    const struct line book[] = { { MLT_EVENT_BOOK, INSTRUMENT } };
    struct mlt_data_bus_core *core = new_core(table_of(1, 1, book, 1));
    send_event(MLT_EVENT_BOOK, 5, 1);
    send_event(MLT_EVENT_BOOK_DELTA, 5, 1);
    send_snapshot(1, true);
    send_snapshot(2, true);
    assert_event(0, MLT_EVENT_BOOK, 5, 1);
    assert_event(1, MLT_EVENT_BOOK_DELTA, 5, 1);
    assert_event(2, MLT_EVENT_BOOK_SNAPSHOT, 5, 1);
    assert_event(3, MLT_EVENT_BOOK_SNAPSHOT, 5, 2);
    assert_int_equal(world.count, 4);
    /* The last one of them is lost: the heads find it, as of any channel. */
    const struct mlt_head head = { MLT_EVENT_BOOK_SNAPSHOT, 3, 3 };
    send_heads(5, &head, 1);
    assert_int_equal(world.events[4].u.status.kind, MLT_STATUS_LOST);
    assert_int_equal(world.events[4].u.status.lost_type, MLT_EVENT_BOOK_SNAPSHOT);
    assert_int_equal(world.events[4].u.status.first, 3);
    assert_int_equal(world.events[5].u.status.kind, MLT_STATUS_HEADS);
    mlt_data_bus_core_destroy(core);
}

/* One that was numbered while somebody still wanted all of them. */
static void test_snapshot_that_no_longer_leaves_is_said_before_the_next_one(void **state)
{
    (void)state;
    const struct line all[] = { { MLT_EVENT_BOOK_DELTA, INSTRUMENT },
                                { MLT_EVENT_BOOK_SNAPSHOT, INSTRUMENT } };
    struct mlt_data_bus_core *core = new_core(table_of(1, 1, all, 2));
    send_snapshot(1, false);
    assert_event(0, MLT_EVENT_BOOK_SNAPSHOT, 5, 1);
    mlt_data_bus_core_set_table(core, table_of(2, 1, all, 1));
    send_snapshot(2, false);
    assert_int_equal(world.count, 1);
    assert_int_equal(counts().late, 1);
    send_snapshot(3, true);
    assert_int_equal(world.events[1].u.status.kind, MLT_STATUS_LOST);
    assert_int_equal(world.events[1].u.status.first, 2);
    assert_int_equal(world.events[1].u.status.last, 2);
    assert_string_equal(world.reasons[1], "unrouted");
    assert_event(2, MLT_EVENT_BOOK_SNAPSHOT, 5, 3);
    assert_int_equal(counts().unrouted, 0);
    mlt_data_bus_core_destroy(core);
}

static void test_marks_between_the_services_do_not_leave(void **state)
{
    (void)state;
    const struct line book[] = { { MLT_EVENT_BOOK, INSTRUMENT } };
    struct mlt_data_bus_core *core = new_core(table_of(1, 1, book, 1));
    struct mlt_event e = event_of(MLT_EVENT_BOOK_DELTA, 5, 1);
    e.quality = MLT_QUALITY_WANTS_BOOK | MLT_QUALITY_WANTS_SNAPSHOT | MLT_QUALITY_LATE;
    assert_int_equal(mlt_data_bus_core_event(core, &e), MLT_OK);
    assert_int_equal(world.events[0].quality, MLT_QUALITY_LATE);
    mlt_data_bus_core_destroy(core);
}

static void test_an_event_of_a_newer_table_waits_for_it(void **state)
{
    (void)state;
    const struct line lines[] = { { MLT_EVENT_TRADE, INSTRUMENT } };
    struct mlt_data_bus_core *core = new_core(table_of(7, 1, lines, 1));
    world.newer = everything(8);
    struct mlt_event e = event_of(MLT_EVENT_BBO, 5, 1);
    e.route_revision = 8;
    assert_int_equal(mlt_data_bus_core_event(core, &e), MLT_OK);
    assert_int_equal(world.waits, 1);
    assert_int_equal(world.awaited, 8);
    assert_event(0, MLT_EVENT_BBO, 5, 1);
    assert_int_equal(counts().table_waits, 1);
    assert_int_equal(counts().table_timeouts, 0);
    mlt_data_bus_core_destroy(core);
}

static void test_a_table_that_does_not_come_is_waited_for_once_a_revision(void **state)
{
    (void)state;
    const struct line lines[] = { { MLT_EVENT_TRADE, INSTRUMENT } };
    struct mlt_data_bus_core *core = new_core(table_of(7, 1, lines, 1));
    for (uint64_t n = 1; n <= 3; n++) {
        struct mlt_event e = event_of(MLT_EVENT_BBO, 5, n);
        e.route_revision = 8;
        assert_int_equal(mlt_data_bus_core_event(core, &e), MLT_OK);
    }
    assert_int_equal(world.waits, 1);
    assert_int_equal(counts().unrouted, 3);
    assert_int_equal(counts().table_timeouts, 1);
    struct mlt_event e = event_of(MLT_EVENT_TRADE, 5, 1);
    e.route_revision = 9; /* a higher one is worth another wait, and old routes still hold */
    assert_int_equal(mlt_data_bus_core_event(core, &e), MLT_OK);
    assert_int_equal(world.waits, 2);
    assert_event(0, MLT_EVENT_TRADE, 5, 1);
    mlt_data_bus_core_destroy(core);
}

static void test_a_route_that_ended_a_moment_ago_makes_late_events_not_unrouted_ones(void **state)
{
    (void)state;
    struct mlt_data_bus_core *core = new_core(everything(1));
    send_event(MLT_EVENT_BBO, 5, 1);
    const struct line lines[] = { { MLT_EVENT_TRADE, INSTRUMENT } };
    world.mono_ns = 10 * MLT_NS_PER_S;
    mlt_data_bus_core_set_table(core, table_of(2, 1, lines, 1));
    world.mono_ns += MLT_NS_PER_S;
    mlt_data_bus_core_set_table(core, table_of(3, 1, lines, 1));
    world.mono_ns += MLT_NS_PER_S - 1;
    send_event(MLT_EVENT_BBO, 5, 2);
    assert_int_equal(counts().late, 1);
    assert_int_equal(counts().unrouted, 0);
    world.mono_ns += 1;
    send_event(MLT_EVENT_BBO, 5, 3);
    assert_int_equal(counts().late, 1);
    assert_int_equal(counts().unrouted, 1);
    assert_int_equal(world.count, 1);
    mlt_data_bus_core_destroy(core);
}

static void test_sequences_that_were_not_routed_are_said_when_the_channel_goes_on(void **state)
{
    (void)state;
    struct mlt_data_bus_core *core = new_core(everything(1));
    send_event(MLT_EVENT_BBO, 5, 1);
    const struct line lines[] = { { MLT_EVENT_TRADE, INSTRUMENT } };
    mlt_data_bus_core_set_table(core, table_of(2, 1, lines, 1));
    send_event(MLT_EVENT_BBO, 5, 2);
    send_event(MLT_EVENT_BBO, 5, 3);
    mlt_data_bus_core_set_table(core, everything(3));
    send_event(MLT_EVENT_BBO, 5, 4);
    assert_int_equal(world.count, 3);
    assert_lost(1, MLT_EVENT_BBO, 5, 2, 3, "unrouted");
    assert_event(2, MLT_EVENT_BBO, 5, 4);
    mlt_data_bus_core_destroy(core);
}

static void test_what_could_not_be_delivered_is_said_before_what_follows(void **state)
{
    (void)state;
    struct mlt_data_bus_core *core = new_core(everything(1));
    send_event(MLT_EVENT_BBO, 5, 1);
    world.refuse = true;
    send_event(MLT_EVENT_BBO, 5, 2);
    assert_int_equal(counts().undelivered, 1);
    world.refuse = false;
    send_event(MLT_EVENT_BBO, 5, 3);
    assert_int_equal(world.count, 3);
    assert_lost(1, MLT_EVENT_BBO, 5, 2, 2, "undelivered");
    assert_event(2, MLT_EVENT_BBO, 5, 3);
    mlt_data_bus_core_destroy(core);
}

static void test_the_conductors_own_losses_are_counted_as_lost(void **state)
{
    (void)state;
    struct mlt_data_bus_core *core = new_core(everything(1));
    struct mlt_event e = event_of(MLT_EVENT_STATUS, 5, 1);
    e.u.status.kind = MLT_STATUS_LOST;
    assert_int_equal(mlt_data_bus_core_event(core, &e), MLT_OK);
    assert_int_equal(counts().lost, 1);
    assert_int_equal(counts().out, 1);
    /* What was refused is a Rejection, and counted as such. */
    e = event_of(MLT_EVENT_STATUS, 5, 2);
    e.u.status.kind = MLT_STATUS_LOST;
    e.u.status.reason = MLT_SLICE_LITERAL("refused");
    e.u.status.lost_type = MLT_EVENT_BOOK_DELTA;
    assert_int_equal(mlt_data_bus_core_event(core, &e), MLT_OK);
    assert_int_equal(counts().lost, 1);
    assert_int_equal(counts().out, 2);
    mlt_data_bus_core_destroy(core);
}

static void test_one_instrument_too_many_is_refused_and_the_others_go_on(void **state)
{
    (void)state;
    struct mlt_data_bus_core *core = new_core(everything(1));
    world.quiet = true;
    struct mlt_event e = event_of(MLT_EVENT_TRADE, 5, 1);
    char token[32];
    for (unsigned n = 0; n <= MLT_DATA_BUS_INSTRUMENTS_MAX; n++) {
        const int len = snprintf(token, sizeof token, "A%u-B", n);
        e.instrument = mlt_slice_of(token, (size_t)len);
        assert_int_equal(mlt_data_bus_core_event(core, &e),
                         n < MLT_DATA_BUS_INSTRUMENTS_MAX ? MLT_OK : MLT_E_LIMIT);
    }
    assert_int_equal(counts().refused, 1);
    assert_int_equal(counts().out, MLT_DATA_BUS_INSTRUMENTS_MAX);
    e.instrument = MLT_SLICE_LITERAL("A0-B");
    e.sequence = 2;
    assert_int_equal(mlt_data_bus_core_event(core, &e), MLT_OK);
    assert_int_equal(counts().out, MLT_DATA_BUS_INSTRUMENTS_MAX + 1);
    mlt_data_bus_core_destroy(core);
}

/* ---- allocations ---- */

static size_t allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    allocations++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    allocations++;
    return __real_realloc(memory, size);
}

static void test_after_warm_up_an_event_costs_no_allocation(void **state)
{
    (void)state;
    struct mlt_data_bus_core *core = new_core(everything(1));
    struct mlt_buf encoded;
    mlt_buf_init(&encoded, 1u << 20);
    assert_int_equal(mlt_buf_reserve(&encoded, 4096), MLT_OK); /* grown before, as it comes */
    world.quiet = true;
    world.encode_to = &encoded;
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 1u << 20);
    size_t before = 0;
    for (uint64_t n = 1; n <= 1000; n++) {
        uint8_t wire[512];
        /* Every third is missing: notices are free of allocations too. */
        const struct mlt_event sent = event_of(MLT_EVENT_KLINE, 5, n + n / 2);
        const size_t size = mlt_event_encode(&sent, wire);
        mlt_arena_reset(&arena);
        struct mlt_event decoded;
        assert_int_equal(mlt_event_decode(mlt_slice_of(wire, size), &arena, &decoded), MLT_OK);
        assert_int_equal(mlt_data_bus_core_event(core, &decoded), MLT_OK);
        if (n == 1) {
            assert_true(allocations > 0); /* the counter counts */
            before = allocations;
        }
    }
    assert_int_equal(allocations, before);
    assert_true(counts().lost > 100);
    assert_true(encoded.len > 0);
    mlt_buf_fini(&encoded);
    mlt_arena_fini(&arena);
    mlt_data_bus_core_destroy(core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_is_greater_by_epoch_and_sequence_passes),
        cmocka_unit_test(test_a_jump_is_preceded_by_a_notice_that_names_exactly_what_is_missing),
        cmocka_unit_test(test_the_middle_of_an_epoch_is_a_fine_place_to_start_without_a_loss),
        cmocka_unit_test(
            test_after_a_loss_of_the_hop_a_channel_first_seen_says_what_it_cannot_know),
        cmocka_unit_test(test_a_loss_between_two_owners_is_said_for_every_routed_instrument),
        cmocka_unit_test(test_a_lost_last_event_is_found_by_the_heads),
        cmocka_unit_test(test_heads_of_a_channel_not_seen_yet_are_taken_as_where_it_stands),
        cmocka_unit_test(test_heads_tell_consumers_of_nothing_that_was_not_for_them),
        cmocka_unit_test(test_a_replaced_owner_is_fenced_in_its_partition_only),
        cmocka_unit_test(test_without_a_table_nothing_happens_and_nothing_is_forgotten),
        cmocka_unit_test(test_what_no_subscription_asks_for_does_not_leave),
        cmocka_unit_test(test_snapshots_of_a_book_pass_when_they_reset_it),
        cmocka_unit_test(test_snapshot_that_no_longer_leaves_is_said_before_the_next_one),
        cmocka_unit_test(test_marks_between_the_services_do_not_leave),
        cmocka_unit_test(test_an_event_of_a_newer_table_waits_for_it),
        cmocka_unit_test(test_a_table_that_does_not_come_is_waited_for_once_a_revision),
        cmocka_unit_test(test_a_route_that_ended_a_moment_ago_makes_late_events_not_unrouted_ones),
        cmocka_unit_test(test_sequences_that_were_not_routed_are_said_when_the_channel_goes_on),
        cmocka_unit_test(test_what_could_not_be_delivered_is_said_before_what_follows),
        cmocka_unit_test(test_the_conductors_own_losses_are_counted_as_lost),
        cmocka_unit_test(test_one_instrument_too_many_is_refused_and_the_others_go_on),
        cmocka_unit_test(test_after_warm_up_an_event_costs_no_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
