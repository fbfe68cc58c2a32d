/*
 * The whole way of an instance, with nothing but the wire between the stages: Dispatcher's router,
 * Conductor with books, Data Bus with private lanes. Whatever the Adapter's hop brings, each stage
 * can read what the one before wrote, and what leaves is in order.
 * Input: steps of a byte (3 bits what, 5 bits how) and, where it needs one, a block.
 */
#include <stdio.h>

#include "conductor/core.h"
#include "data_bus/core.h"
#include "input.h"
#include "lanes.h"
#include "meltica/base/buf.h"
#include "meltica/base/clock.h"
#include "meltica/event/record.h"
#include "plan.h"
#include "router.h"

#define PARTITIONS 4u
#define CHANNELS_MAX 64u
#define STEPS_MAX 256u
#define ARENA_BYTES_MAX (4u << 20)
#define TABLE_BYTES_MAX (4u << 20)
#define WALL_NS INT64_C(1700000000000000000)

#define TABLE                                                                                      \
    "{\"version\":1,\"routes\":["                                                                  \
    "{\"type\":\"TICKER\",\"ws\":\"{symbol}@ticker\"},"                                            \
    "{\"type\":\"BBO\",\"ws\":\"{symbol}@bookTicker\",\"discard\":[{\"reason\":\"crossed\"}]},"    \
    "{\"type\":\"TRADE\",\"ws\":\"{symbol}@trade\",\"enrich\":[\"notional\"]},"                    \
    "{\"type\":\"AGG_TRADE\",\"ws\":\"{symbol}@aggTrade\"},"                                       \
    "{\"type\":\"KLINE\",\"ws\":\"{symbol}@kline_1m\"},"                                           \
    "{\"type\":\"BOOK_DELTA\",\"ws\":\"{symbol}@depth@100ms\"},"                                   \
    "{\"type\":\"BOOK_SNAPSHOT\",\"rest\":{\"function\":\"depth\",\"limit\":100}},"                \
    "{\"type\":\"INSTRUMENT\",\"rest\":{\"function\":\"exchangeInfo\",\"interval_ms\":60000}}],"   \
    "\"subscriptions\":["                                                                          \
    "{\"id\":\"a\",\"type\":\"TICKER\",\"instruments\":[\"*\"]},"                                  \
    "{\"id\":\"b\",\"type\":\"BBO\",\"instruments\":[\"*\"]},"                                     \
    "{\"id\":\"c\",\"type\":\"TRADE\",\"instruments\":[\"*\"]},"                                   \
    "{\"id\":\"d\",\"type\":\"AGG_TRADE\",\"instruments\":[\"*\"]},"                               \
    "{\"id\":\"e\",\"type\":\"KLINE\",\"instruments\":[\"*\"]},"                                   \
    "{\"id\":\"f\",\"type\":\"BOOK\",\"instruments\":[\"*\"]},"                                    \
    "{\"id\":\"g\",\"type\":\"BOOK_SNAPSHOT\",\"instruments\":[\"*\"]}]}"

struct channel {
    char token[MLT_INSTRUMENT_BYTES_MAX + 1];
    enum mlt_event_type type;
    uint64_t epoch, sequence;
};

static struct {
    struct mlt_table *table; /* kept over inputs */
    struct mlt_live live;
    struct mlt_catalogue *catalogue;
    struct mlt_rejector *rejector;
    struct mlt_router *router;
    struct mlt_conductor_core *conductor;
    struct mlt_data_bus_core *data_bus;
    struct mlt_lanes *lanes;
    uint8_t *place;
    size_t place_bytes;
    int64_t passed_ns;
    uint64_t sequence; /* of the control log */
    bool cache;
    enum mlt_conductor_room room;
    char committed[MLT_INSTRUMENT_BYTES_MAX + 1];
    char missed[MLT_INSTRUMENT_BYTES_MAX + 1]; /* whose trades were asked for last; "": nobody's */
    enum mlt_event_type missed_type;
    int64_t missed_first;
    struct channel channels[CHANNELS_MAX];
    size_t channel_count;
} world;

static int64_t wall(void *ctx)
{
    (void)ctx;
    return WALL_NS + world.passed_ns;
}

static int64_t mono(void *ctx)
{
    (void)ctx;
    return MLT_NS_PER_S + world.passed_ns;
}

static const struct mlt_clock clock_of_world = { wall, mono, NULL };

/* ---- the Data Bus ---- */

static void check_readable(const struct mlt_event *event)
{
    struct mlt_arena arena;
    struct mlt_event again;
    mlt_arena_init(&arena, 4096, ARENA_BYTES_MAX);
    const size_t len = mlt_event_encoded_size(event);
    uint8_t *bytes = malloc(len + 1);
    MLT_CHECK(bytes != NULL && mlt_event_encode(event, bytes) == len);
    MLT_CHECK(mlt_event_decode(mlt_slice_of(bytes, len), &arena, &again) == MLT_OK);
    MLT_CHECK(again.sequence == event->sequence && again.type == event->type);
    free(bytes);
    mlt_arena_fini(&arena);
}

static struct channel *channel_of(const struct mlt_event *event)
{
    for (size_t i = 0; i < world.channel_count; i++) {
        struct channel *c = &world.channels[i];
        if (c->type == event->type && mlt_slice_equal_string(event->instrument, c->token)) {
            return c;
        }
    }
    if (world.channel_count == CHANNELS_MAX) {
        return NULL;
    }
    struct channel *c = &world.channels[world.channel_count++];
    (void)snprintf(c->token, sizeof c->token, "%.*s", MLT_SLICE_FMT(event->instrument));
    c->type = event->type;
    c->epoch = c->sequence = 0;
    return c;
}

static bool on_publish(void *ctx, uint32_t partition, const struct mlt_event *event)
{
    (void)ctx;
    MLT_CHECK(partition == mlt_instrument_slot(event->instrument) % PARTITIONS);
    check_readable(event);
    struct channel *c = event->sequence > 0 ? channel_of(event) : NULL;
    if (c != NULL) {
        MLT_CHECK(event->epoch > c->epoch ||
                  (event->epoch == c->epoch && event->sequence > c->sequence));
        c->epoch = event->epoch;
        c->sequence = event->sequence;
    }
    return true;
}

static void on_lane(void *ctx, const struct mlt_event *event)
{
    (void)ctx;
    mlt_lanes_event(world.lanes, event);
}

static bool on_lane_publish(void *ctx, const char *subject, struct mlt_slice bytes)
{
    (void)ctx;
    struct mlt_arena arena;
    struct mlt_event event;
    mlt_arena_init(&arena, 4096, ARENA_BYTES_MAX);
    MLT_CHECK(strncmp(subject, "meltica.lane.", 13) == 0 && strpbrk(subject, " *>") == NULL);
    MLT_CHECK(mlt_event_decode(bytes, &arena, &event) == MLT_OK);
    mlt_arena_fini(&arena);
    return true;
}

static void on_await(void *ctx, uint64_t revision)
{
    (void)ctx;
    (void)revision;
}

/* ---- the Conductor ---- */

static void on_emit_encoded(void *ctx, uint32_t partition, struct mlt_slice bytes)
{
    (void)ctx;
    (void)partition;
    struct mlt_arena arena;
    struct mlt_event event;
    mlt_arena_init(&arena, 4096, ARENA_BYTES_MAX);
    MLT_CHECK(mlt_event_decode(bytes, &arena, &event) == MLT_OK);
    MLT_CHECK(mlt_data_bus_core_event(world.data_bus, &event) == MLT_OK);
    mlt_arena_fini(&arena);
}

static void on_emit(void *ctx, uint32_t partition, const struct mlt_event *event)
{
    const size_t len = mlt_event_encoded_size(event);
    uint8_t *bytes = malloc(len + 1);
    MLT_CHECK(bytes != NULL && mlt_event_encode(event, bytes) == len);
    on_emit_encoded(ctx, partition, mlt_slice_of(bytes, len));
    free(bytes);
}

static bool on_commit(void *ctx, struct mlt_slice instrument, const struct mlt_event *book,
                      const struct mlt_orderbook *levels)
{
    (void)ctx;
    MLT_CHECK(levels != NULL);
    check_readable(book);
    if (world.cache && world.committed[0] == '\0') {
        (void)snprintf(world.committed, sizeof world.committed, "%.*s", MLT_SLICE_FMT(instrument));
        return true;
    }
    return false;
}

static void on_resync(void *ctx, struct mlt_slice instrument, uint32_t depth,
                      enum mlt_sync_need need)
{
    (void)ctx;
    (void)need;
    MLT_CHECK(mlt_instrument_token_valid(instrument) && depth > 0);
}

static void on_backfill(void *ctx, struct mlt_slice instrument, enum mlt_event_type type,
                        int64_t first, int64_t last)
{
    (void)ctx;
    MLT_CHECK(mlt_instrument_token_valid(instrument));
    MLT_CHECK(type == MLT_EVENT_TRADE || type == MLT_EVENT_AGG_TRADE);
    MLT_CHECK(last >= first && last - first < (int64_t)MLT_TRADES_PAGE_MAX);
    (void)snprintf(world.missed, sizeof world.missed, "%.*s", MLT_SLICE_FMT(instrument));
    world.missed_type = type;
    world.missed_first = first;
}

static void answer_backfill(enum mlt_trades_answer answer)
{
    if (world.missed[0] != '\0') {
        mlt_conductor_core_backfill_answered(world.conductor, mlt_slice_of_string(world.missed),
                                             world.missed_type, world.missed_first, answer);
    }
}

static void answer_commit(enum mlt_commit_outcome outcome)
{
    char token[sizeof world.committed];
    memcpy(token, world.committed, sizeof token);
    world.committed[0] = '\0';
    if (token[0] != '\0') {
        mlt_conductor_core_committed(world.conductor, mlt_slice_of_string(token), outcome);
    }
}

static enum mlt_conductor_room on_room(void *ctx)
{
    (void)ctx;
    return world.room;
}

/* ---- the Dispatcher ---- */

static enum mlt_status on_begin(void *ctx, uint32_t partition, size_t bytes, uint8_t **out)
{
    (void)ctx;
    MLT_CHECK(partition < PARTITIONS && world.place == NULL);
    world.place = malloc(bytes + 1);
    world.place_bytes = bytes;
    MLT_CHECK(world.place != NULL);
    *out = world.place;
    return MLT_OK;
}

static void on_end(void *ctx, uint32_t partition)
{
    (void)ctx;
    (void)partition;
    struct mlt_arena arena;
    struct mlt_event event;
    mlt_arena_init(&arena, 4096, ARENA_BYTES_MAX);
    MLT_CHECK(mlt_event_decode(mlt_slice_of(world.place, world.place_bytes), &arena, &event) ==
              MLT_OK);
    (void)(mlt_conductor_core_event(world.conductor, &event) == MLT_OK); /* or it is counted */
    mlt_arena_fini(&arena);
    free(world.place);
    world.place = NULL;
}

static void on_lost(void *ctx, uint32_t partition)
{
    (void)ctx;
    mlt_conductor_core_lost(world.conductor, partition, "upstream_lost");
}

static void on_rejected(void *ctx, const struct mlt_rejection *rejection)
{
    (void)ctx;
    MLT_CHECK(rejection->stage != NULL);
}

static bool on_reject_publish(void *ctx, const char *subject, struct mlt_slice payload)
{
    (void)ctx;
    MLT_CHECK(strncmp(subject, MLT_REJECT_SUBJECT_PREFIX, sizeof MLT_REJECT_SUBJECT_PREFIX - 1) ==
              0);
    MLT_CHECK(strpbrk(subject, " *>") == NULL && payload.len > 0);
    return true;
}

/* ---- life ---- */

static void set_table(void)
{
    const struct mlt_plan_live live = { .live = &world.live, .log_read = true };
    struct mlt_routing *routing = NULL;
    struct mlt_buf bytes;
    mlt_buf_init(&bytes, TABLE_BYTES_MAX);
    MLT_CHECK(mlt_plan_encode_table(world.table, world.catalogue, &live,
                                    &(struct mlt_plan_from){ 1, 0 }, true, &bytes) == MLT_OK);
    MLT_CHECK(mlt_routing_decode(mlt_buf_view(&bytes), &routing) == MLT_OK);
    MLT_CHECK(mlt_routing_ignored(routing) == 0);
    mlt_lanes_set(world.lanes, routing);
    mlt_data_bus_core_set_table(world.data_bus, routing);
    mlt_buf_fini(&bytes);
}

static void open_data_bus(void)
{
    const struct mlt_lanes_ports lanes = { on_lane_publish, NULL, &clock_of_world };
    const struct mlt_data_bus_ports ports = {
        .publish = on_publish, .lane = on_lane, .await_table = on_await, .clock = &clock_of_world
    };
    MLT_CHECK(mlt_lanes_create(&lanes, &world.lanes) == MLT_OK);
    MLT_CHECK(mlt_data_bus_core_create(PARTITIONS, &ports, &world.data_bus) == MLT_OK);
    set_table();
}

static void open_conductor(void)
{
    const struct mlt_conductor_ports ports = { .emit = on_emit,
                                               .emit_encoded = on_emit_encoded,
                                               .commit = on_commit,
                                               .resync = on_resync,
                                               .backfill = on_backfill,
                                               .room = on_room,
                                               .clock = &clock_of_world };
    const struct mlt_conductor_books books = { .throttle_ns = 100 * MLT_NS_PER_MS,
                                               .published_levels = 5,
                                               .book_levels = 64,
                                               .first_depth = 5,
                                               .snapshot_depth = 20,
                                               .stale_after_ns = 5 * MLT_NS_PER_S,
                                               .request_timeout_ns = 5 * MLT_NS_PER_S,
                                               .backoff_base_ns = MLT_NS_PER_S,
                                               .backoff_max_ns = 8 * MLT_NS_PER_S,
                                               .ahead_wait_ns = MLT_NS_PER_S,
                                               .restore_wait_ns = MLT_NS_PER_S,
                                               .seed = 1 };
    static const struct mlt_trades_options trades = { 2000, MLT_NS_PER_S / 2, 5 * MLT_NS_PER_S,
                                                      MLT_NS_PER_S };
    MLT_CHECK(mlt_conductor_core_create(PARTITIONS, &ports, &world.conductor) == MLT_OK);
    MLT_CHECK(mlt_conductor_core_books(world.conductor, &books) == MLT_OK);
    mlt_conductor_core_trades(world.conductor, &trades);
    for (uint32_t slot = 0; slot < MLT_SLOT_COUNT; slot++) {
        mlt_conductor_core_set_epoch(world.conductor, slot, 7);
    }
}

static void open_world(void)
{
    struct mlt_table *table = world.table;
    struct mlt_error err = MLT_ERROR_INIT;
    if (table == NULL) {
        MLT_CHECK(mlt_table_parse(mlt_slice_of_string(TABLE), &table, &err) == MLT_OK);
    }
    memset(&world, 0, sizeof world);
    world.table = table;
    mlt_live_init(&world.live);
    const struct mlt_reject_ports reject = { on_reject_publish, NULL, &clock_of_world };
    const struct mlt_router_ports ports = { .begin = on_begin,
                                            .end = on_end,
                                            .lost = on_lost,
                                            .rejected = on_rejected,
                                            .clock = &clock_of_world };
    MLT_CHECK(mlt_catalogue_create(table, 1, &world.catalogue) == MLT_OK);
    MLT_CHECK(mlt_rejector_create(&reject, &world.rejector) == MLT_OK);
    open_data_bus();
    open_conductor();
    MLT_CHECK(mlt_router_create(table, world.catalogue, world.rejector, PARTITIONS, "binance",
                                &ports, &world.router) == MLT_OK);
}

static void close_world(void)
{
    mlt_router_destroy(world.router);
    mlt_conductor_core_destroy(world.conductor);
    mlt_data_bus_core_destroy(world.data_bus);
    mlt_lanes_destroy(world.lanes);
    mlt_rejector_destroy(world.rejector);
    mlt_catalogue_destroy(world.catalogue);
    mlt_live_fini(&world.live);
}

/* ---- steps ---- */

static void take_record(struct mlt_slice bytes)
{
    Meltica__V1__ControlRecord *record =
        meltica__v1__control_record__unpack(NULL, bytes.len, bytes.data);
    struct mlt_live_item *released = NULL;
    bool changed = false;
    if (record == NULL) {
        return;
    }
    if (mlt_live_apply(&world.live, world.table, record, ++world.sequence, &released, &changed) ==
            MLT_OK &&
        changed) {
        MLT_CHECK(mlt_catalogue_subscribe(world.catalogue, &world.live) == MLT_OK);
        mlt_router_ended(world.router);
        set_table();
    }
    mlt_live_release(released);
    meltica__v1__control_record__free_unpacked(record, NULL);
}

/* What an owner before left: a record and a checkpoint, as the bucket has them. */
static void take_over(struct mlt_slice record_bytes, struct mlt_slice checkpoint_bytes)
{
    struct mlt_snapshot_record record;
    struct mlt_book_checkpoint checkpoint;
    struct mlt_event book;
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, ARENA_BYTES_MAX);
    if (mlt_snapshot_record_decode(record_bytes, &record) == MLT_OK &&
        mlt_event_decode(record.event, &arena, &book) == MLT_OK && book.type == MLT_EVENT_BOOK &&
        mlt_book_checkpoint_decode(checkpoint_bytes, &arena, &checkpoint) == MLT_OK &&
        mlt_slice_equal(book.instrument, checkpoint.instrument) &&
        mlt_conductor_core_restore(world.conductor, &book, &checkpoint, record.source_up) ==
            MLT_OK) {
        mlt_conductor_core_restored(world.conductor,
                                    mlt_instrument_slot(book.instrument) % PARTITIONS);
    }
    mlt_arena_fini(&arena);
}

static void pass_time(unsigned how)
{
    world.passed_ns += (int64_t)(how + 1) * 50 * MLT_NS_PER_MS;
    if (mlt_conductor_core_due_ns(world.conductor) <= mono(NULL)) {
        mlt_conductor_core_tick(world.conductor);
    }
    mlt_lanes_flush(world.lanes, how == 0);
}

static void step(struct mlt_slice *in)
{
    const unsigned word = take_byte(in), how = word >> 3;
    switch (word & 7u) {
    case 0:
    case 1:
        mlt_router_batch(world.router, how % PARTITIONS, take_block(in), (word & 1u) != 0);
        break;
    case 2:
        pass_time(how);
        break;
    case 3:
        answer_commit((enum mlt_commit_outcome)(how % 3));
        answer_backfill((enum mlt_trades_answer)(how / 3 % 3));
        break;
    case 4:
        take_record(take_block(in));
        break;
    case 5:
        world.cache = (how & 1u) != 0;
        world.room = (enum mlt_conductor_room)(how / 2 % 3);
        mlt_conductor_core_room(world.conductor);
        mlt_conductor_core_heads(world.conductor, UINT64_MAX);
        break;
    case 6:
        mlt_data_bus_core_lost(world.data_bus, how % PARTITIONS, "hop_overrun");
        break;
    default: {
        const struct mlt_slice record = take_block(in);
        take_over(record, take_block(in));
        break;
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mlt_slice in = { data, size };
    open_world();
    for (unsigned i = 0; i < STEPS_MAX && in.len > 0; i++) {
        step(&in);
    }
    (void)mlt_conductor_core_drain(world.conductor);
    answer_commit(MLT_COMMIT_DONE);
    close_world();
    return 0;
}
