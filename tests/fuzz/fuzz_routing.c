/* Tables and events from outside as a Data Bus takes them: a block with a Table, and then events
 * (blocks) on its private lanes, which leave on the lanes' own subjects or not at all. */
#include "input.h"
#include "lanes.h"

#define ARENA_BYTES_MAX (4u << 20)

static int64_t now_ns;

static int64_t now(void *ctx)
{
    (void)ctx;
    return now_ns;
}

static const struct mlt_clock stopped = { now, now, NULL };

static bool on_publish(void *ctx, const char *subject, struct mlt_slice bytes)
{
    struct mlt_arena arena;
    struct mlt_event event;
    (void)ctx;
    mlt_arena_init(&arena, 4096, ARENA_BYTES_MAX);
    MLT_CHECK(strncmp(subject, "meltica.lane.", 13) == 0);
    MLT_CHECK(strpbrk(subject, " *>\r\n\t") == NULL && strstr(subject, "..") == NULL);
    MLT_CHECK(mlt_event_decode(bytes, &arena, &event) == MLT_OK);
    mlt_arena_fini(&arena);
    return true;
}

static void check_lanes(const struct mlt_routing *routing)
{
    const struct mlt_lane_spec *lane;
    for (size_t n = 0; (lane = mlt_routing_lane(routing, n)) != NULL; n++) {
        MLT_CHECK(lane->principal[0] != '\0' && lane->id[0] != '\0');
        MLT_CHECK(lane->type > MLT_EVENT_NONE && lane->type < MLT_EVENT_TYPE_COUNT);
        MLT_CHECK(lane->filter_count <= MLT_ROUTING_FILTERS_MAX);
        for (size_t i = 0; i < lane->filter_count; i++) {
            MLT_CHECK(lane->filters[i].field->type == lane->type);
        }
        for (size_t i = 0; i < lane->pattern_count; i++) {
            const struct mlt_slice pattern = mlt_slice_of_string(lane->patterns[i]);
            MLT_CHECK(!mlt_instrument_token_valid(pattern) || mlt_lane_covers(lane, pattern));
            MLT_CHECK(!mlt_instrument_token_valid(pattern) ||
                      (mlt_routing_lane_types(routing, pattern) & MLT_TYPE_BIT(lane->type)) != 0);
        }
    }
}

static void take_event(struct mlt_lanes *lanes, struct mlt_slice bytes)
{
    struct mlt_arena arena;
    struct mlt_event event;
    mlt_arena_init(&arena, 4096, ARENA_BYTES_MAX);
    if (mlt_event_decode(bytes, &arena, &event) == MLT_OK &&
        mlt_instrument_token_valid(event.instrument)) {
        mlt_lanes_event(lanes, &event);
    }
    mlt_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct mlt_lanes_ports ports = { on_publish, NULL, &stopped };
    struct mlt_slice in = { data, size };
    struct mlt_routing *routing = NULL;
    struct mlt_lanes *lanes = NULL;
    if (mlt_routing_decode(take_block(&in), &routing) != MLT_OK) {
        MLT_CHECK(routing == NULL);
        return 0;
    }
    now_ns = 1000 * MLT_NS_PER_S;
    check_lanes(routing);
    MLT_CHECK(mlt_lanes_create(&ports, &lanes) == MLT_OK);
    mlt_lanes_set(lanes, routing);
    while (in.len > 0) {
        take_event(lanes, take_block(&in));
        now_ns += 10 * MLT_NS_PER_MS;
        mlt_lanes_flush(lanes, false);
    }
    mlt_lanes_set(lanes, routing);
    mlt_lanes_flush(lanes, true);
    MLT_CHECK(mlt_lanes_due_ns(lanes) == INT64_MAX);
    mlt_lanes_destroy(lanes);
    mlt_routing_destroy(routing);
    return 0;
}
