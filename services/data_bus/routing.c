/* See routing.h. Tokens and patterns in maps: each new table asks for every instrument that flows,
 * and a list would cost as much as there are patterns each time. */
#include "routing.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/map.h"
#include "meltica/v1/internal.pb-c.h"

/* What subscriptions of one kind ask for. Values: sets of types as integers, never 0. */
struct demand {
    struct mlt_map exact;
    struct mlt_map patterns; /* "*", "BASE-*", "*-QUOTE" as they are written */
};

struct mlt_routing {
    uint64_t revision, boot, epoch;
    bool lanes_known;
    size_t ignored;
    struct demand shared, private;
    size_t lane_count;
    struct mlt_lane_spec *lanes;
};

static void demand_init(struct demand *demand)
{
    mlt_map_init(&demand->exact, MLT_ROUTING_NAMES_MAX);
    mlt_map_init(&demand->patterns, MLT_ROUTING_NAMES_MAX);
}

static void demand_fini(struct demand *demand)
{
    mlt_map_fini(&demand->exact);
    mlt_map_fini(&demand->patterns);
}

static uint32_t types_at(const struct mlt_map *map, struct mlt_slice key)
{
    return (uint32_t)(uintptr_t)mlt_map_get(map, key);
}

static enum mlt_status add_types(struct mlt_map *map, struct mlt_slice key, uint32_t types)
{
    return mlt_map_put(map, key, (void *)(uintptr_t)(types_at(map, key) | types));
}

/* A token or a pattern. E_PARSE: none of them. */
static enum mlt_status add(struct demand *demand, const char *text, uint32_t types)
{
    const struct mlt_slice s = mlt_slice_of_string(text);
    if (mlt_instrument_token_valid(s)) {
        return add_types(&demand->exact, s, types);
    }
    return mlt_pattern_wild(s) ? add_types(&demand->patterns, s, types) : MLT_E_PARSE;
}

/* ---- lanes ---- */

static void lane_fini(struct mlt_lane_spec *lane)
{
    for (size_t i = 0; i < lane->pattern_count; i++) {
        free(lane->patterns[i]);
    }
    free(lane->patterns);
}

/* One token of a subject, as every Control Bus makes them. */
static bool is_name(const char *text)
{
    const size_t len = strlen(text);
    return len > 0 && len <= MLT_ROUTING_NAME_BYTES_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_:@") ==
               len;
}

/* E_PARSE: a lane that this version does not understand. It gets nothing rather than too much. */
static enum mlt_status make_lane(const Meltica__V1__TableSubscription *from,
                                 struct mlt_lane_spec *lane)
{
    memset(lane, 0, sizeof *lane);
    if (!is_name(from->principal) || !is_name(from->id) ||
        from->n_filter > MLT_ROUTING_FILTERS_MAX) {
        return MLT_E_PARSE;
    }
    (void)snprintf(lane->principal, sizeof lane->principal, "%s", from->principal);
    (void)snprintf(lane->id, sizeof lane->id, "%s", from->id);
    lane->type = (enum mlt_event_type)from->type;
    lane->throttle_ms = from->throttle_ms;
    for (size_t i = 0; i < from->n_filter; i++) {
        const Meltica__V1__Comparison *c = from->filter[i];
        if (mlt_filter_make(lane->type, mlt_slice_of_string(c->field), mlt_slice_of_string(c->op),
                            mlt_slice_of_string(c->value), &lane->filters[i]) != MLT_FILTER_RIGHT) {
            return MLT_E_PARSE;
        }
    }
    lane->filter_count = from->n_filter;
    lane->patterns = calloc(from->n_instruments + 1, sizeof *lane->patterns);
    bool whole = lane->patterns != NULL;
    for (size_t i = 0; whole && i < from->n_instruments; i++) {
        lane->patterns[i] = strdup(from->instruments[i]);
        whole = lane->patterns[i] != NULL;
        lane->pattern_count += whole;
    }
    if (!whole) {
        lane_fini(lane);
        return MLT_E_NOMEM;
    }
    return MLT_OK;
}

static enum mlt_status add_lane(struct mlt_routing *routing,
                                const Meltica__V1__TableSubscription *subscription)
{
    const enum mlt_status status = make_lane(subscription, &routing->lanes[routing->lane_count]);
    routing->lane_count += status == MLT_OK;
    routing->ignored += status == MLT_E_PARSE;
    return status == MLT_E_PARSE ? MLT_OK : status;
}

/* ---- the table ---- */

static enum mlt_status fill(struct mlt_routing *routing, const Meltica__V1__Table *table)
{
    routing->revision = table->revision;
    routing->boot = table->boot;
    routing->epoch = table->epoch;
    routing->lanes_known = table->log_read;
    size_t lanes = 0;
    for (size_t n = 0; n < table->n_subscriptions; n++) {
        lanes += table->subscriptions[n]->private_lane ? 1 : 0;
    }
    routing->lanes = calloc(lanes + 1, sizeof *routing->lanes);
    enum mlt_status status = routing->lanes != NULL ? MLT_OK : MLT_E_NOMEM;
    for (size_t n = 0; status == MLT_OK && n < table->n_subscriptions; n++) {
        const Meltica__V1__TableSubscription *subscription = table->subscriptions[n];
        const int type = (int)subscription->type;
        if (type <= MLT_EVENT_NONE || type >= MLT_EVENT_TYPE_COUNT) {
            routing->ignored++;
            continue;
        }
        struct demand *demand = subscription->private_lane ? &routing->private : &routing->shared;
        for (size_t i = 0; status == MLT_OK && i < subscription->n_instruments; i++) {
            status = add(demand, subscription->instruments[i], MLT_TYPE_BIT(type));
            routing->ignored += status == MLT_E_PARSE;
            status = status == MLT_E_PARSE ? MLT_OK : status;
        }
        if (status == MLT_OK && subscription->private_lane && !subscription->implied) {
            status = add_lane(routing, subscription);
        }
    }
    return status;
}

enum mlt_status mlt_routing_decode(struct mlt_slice table, struct mlt_routing **routing)
{
    Meltica__V1__Table *message = meltica__v1__table__unpack(NULL, table.len, table.data);
    if (message == NULL) {
        return MLT_E_PARSE;
    }
    enum mlt_status status = MLT_E_NOMEM;
    struct mlt_routing *r = calloc(1, sizeof *r);
    if (r != NULL) {
        demand_init(&r->shared);
        demand_init(&r->private);
        status = fill(r, message);
    }
    meltica__v1__table__free_unpacked(message, NULL);
    if (status != MLT_OK) {
        mlt_routing_destroy(r);
        return status;
    }
    *routing = r;
    return MLT_OK;
}

void mlt_routing_destroy(struct mlt_routing *routing)
{
    if (routing == NULL) {
        return;
    }
    for (size_t i = 0; i < routing->lane_count; i++) {
        lane_fini(&routing->lanes[i]);
    }
    free(routing->lanes);
    demand_fini(&routing->shared);
    demand_fini(&routing->private);
    free(routing);
}

uint64_t mlt_routing_revision(const struct mlt_routing *routing)
{
    return routing->revision;
}

uint64_t mlt_routing_boot(const struct mlt_routing *routing)
{
    return routing->boot;
}

uint64_t mlt_routing_epoch(const struct mlt_routing *routing)
{
    return routing->epoch;
}

size_t mlt_routing_ignored(const struct mlt_routing *routing)
{
    return routing->ignored;
}

/* What patterns that cover the instrument bring. */
static uint32_t covered(const struct mlt_map *patterns, struct mlt_slice instrument)
{
    struct mlt_pattern_cover cover;
    if (patterns->count == 0) {
        return 0;
    }
    uint32_t types = types_at(patterns, MLT_SLICE_LITERAL("*"));
    if (mlt_pattern_cover(instrument, &cover)) {
        types |= types_at(patterns, mlt_pattern_covering(&cover, 0)) |
                 types_at(patterns, mlt_pattern_covering(&cover, 1));
    }
    return types;
}

static uint32_t types_in(const struct demand *demand, struct mlt_slice instrument)
{
    uint32_t types = types_at(&demand->exact, instrument) | covered(&demand->patterns, instrument);
    if ((types & MLT_TYPE_BIT(MLT_EVENT_BOOK)) != 0) {
        types |= MLT_TYPE_BIT(MLT_EVENT_BOOK_DELTA);
    }
    if (types != 0) {
        types |= MLT_TYPE_BIT(MLT_EVENT_STATUS) | MLT_TYPE_BIT(MLT_EVENT_INSTRUMENT);
    }
    return types;
}

uint32_t mlt_routing_types(const struct mlt_routing *routing, struct mlt_slice instrument)
{
    return types_in(&routing->shared, instrument);
}

uint32_t mlt_routing_lane_types(const struct mlt_routing *routing, struct mlt_slice instrument)
{
    return types_in(&routing->private, instrument);
}

const struct mlt_lane_spec *mlt_routing_lane(const struct mlt_routing *routing, size_t n)
{
    return n < routing->lane_count ? &routing->lanes[n] : NULL;
}

bool mlt_routing_lanes_known(const struct mlt_routing *routing)
{
    return routing->lanes_known;
}

bool mlt_lane_covers(const struct mlt_lane_spec *lane, struct mlt_slice instrument)
{
    for (size_t i = 0; i < lane->pattern_count; i++) {
        const struct mlt_slice pattern = mlt_slice_of_string(lane->patterns[i]);
        if (mlt_slice_equal(pattern, instrument) || mlt_pattern_match(pattern, instrument)) {
            return true;
        }
    }
    return false;
}

bool mlt_routing_channel_leaves(uint32_t types, enum mlt_event_type type)
{
    uint32_t any = MLT_TYPE_BIT(type);
    if (type == MLT_EVENT_BOOK_SNAPSHOT) {
        any |= MLT_TYPE_BIT(MLT_EVENT_BOOK_DELTA);
    }
    return (types & any) != 0;
}

bool mlt_routing_leaves(uint32_t types, const struct mlt_event *event)
{
    return (types & MLT_TYPE_BIT(event->type)) != 0 ||
           (event->type == MLT_EVENT_BOOK_SNAPSHOT && event->u.book_snapshot.reset &&
            mlt_routing_channel_leaves(types, event->type));
}
