#include "catalogue.h"

#include <stdlib.h>

#include "meltica/base/map.h"

#define DELISTED "DELISTED" /* the Adapter's word for what exchangeInfo has no longer */

struct mlt_catalogue {
    const struct mlt_table *table;
    size_t table_bytes; /* of it alone */
    struct mlt_map map;
    struct mlt_catalogue_entry *first, *last;
    /* By patterns as they are written. Of a token there are three that can cover it: looking those
     * up costs the same however many are asked for, and all of this is done under the lock that the
     * flow needs. */
    struct mlt_map wildcards; /* types that are subscribed, as integers, never 0 */
    struct mlt_map covered;   /* how many listed instruments; uint32_t of the heap; without "*" */
    uint64_t revision;
    bool bumped; /* since begin */
    bool flows;  /* something was routed */
    struct mlt_catalogue_counts counts;
};

static void changed(struct mlt_catalogue *catalogue)
{
    if (!catalogue->bumped) {
        catalogue->revision++;
        catalogue->bumped = true;
    }
}

static uint32_t types_at(const struct mlt_map *map, struct mlt_slice pattern)
{
    return (uint32_t)(uintptr_t)mlt_map_get(map, pattern);
}

static uint32_t wildcard_types(const struct mlt_catalogue *catalogue, struct mlt_slice token)
{
    struct mlt_pattern_cover cover;
    if (catalogue->wildcards.count == 0) {
        return 0;
    }
    uint32_t types = types_at(&catalogue->wildcards, MLT_SLICE_LITERAL("*"));
    if (mlt_pattern_cover(token, &cover)) {
        types |= types_at(&catalogue->wildcards, mlt_pattern_covering(&cover, 0)) |
                 types_at(&catalogue->wildcards, mlt_pattern_covering(&cover, 1));
    }
    return types;
}

static enum mlt_status add(struct mlt_catalogue *catalogue, struct mlt_slice token, uint32_t types,
                           struct mlt_catalogue_entry **out)
{
    struct mlt_catalogue_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return MLT_E_NOMEM;
    }
    const enum mlt_status status = mlt_map_put(&catalogue->map, token, entry);
    if (status != MLT_OK) {
        catalogue->counts.refused += status == MLT_E_LIMIT;
        free(entry);
        return status;
    }
    if (token.len > 0) {
        memcpy(entry->token, token.data, token.len);
    }
    entry->slot = mlt_instrument_slot(token);
    entry->types = types;
    if (catalogue->last == NULL) {
        catalogue->first = entry;
    } else {
        catalogue->last->next = entry;
    }
    catalogue->last = entry;
    catalogue->counts.known++;
    if (types != 0) {
        catalogue->counts.subscribed++;
        changed(catalogue);
    }
    *out = entry;
    return MLT_OK;
}

/* ---- the union of what is subscribed ---- */

typedef enum mlt_status (*visit_fn)(void *ctx, struct mlt_slice pattern, uint32_t types);

static enum mlt_status visit_one(const struct mlt_subscription *subscription, visit_fn visit,
                                 void *ctx)
{
    const uint32_t types = mlt_table_types_of(subscription->type);
    enum mlt_status status = MLT_OK;
    for (size_t k = 0; k < subscription->pattern_count && status == MLT_OK; k++) {
        status = visit(ctx, mlt_slice_of_string(subscription->patterns[k]), types);
    }
    return status;
}

static enum mlt_status visit_all(const struct mlt_table *table, const struct mlt_live *live,
                                 visit_fn visit, void *ctx)
{
    enum mlt_status status = MLT_OK;
    for (size_t i = 0; i < table->subscription_count && status == MLT_OK; i++) {
        status = visit_one(&table->subscriptions[i], visit, ctx);
    }
    for (size_t i = 0; live != NULL && i < live->count && status == MLT_OK; i++) {
        status = visit_one(&live->items[i]->subscription, visit, ctx);
    }
    return status;
}

/* Everything that can fail: the patterns, and a place for each name, with no types yet. */
static enum mlt_status take_pattern(void *ctx, struct mlt_slice pattern, uint32_t types)
{
    struct mlt_map *wildcards = ctx;
    return mlt_pattern_wild(pattern)
               ? mlt_map_put(wildcards, pattern,
                             (void *)(uintptr_t)(types_at(wildcards, pattern) | types))
               : MLT_OK;
}

static enum mlt_status make_places(void *ctx, struct mlt_slice pattern, uint32_t types)
{
    struct mlt_catalogue *catalogue = ctx;
    struct mlt_catalogue_entry *entry = NULL;
    (void)types;
    return mlt_pattern_wild(pattern) || mlt_map_get(&catalogue->map, pattern) != NULL
               ? MLT_OK
               : add(catalogue, pattern, 0, &entry);
}

static enum mlt_status set_types(void *ctx, struct mlt_slice pattern, uint32_t types)
{
    struct mlt_catalogue *catalogue = ctx;
    if (!mlt_pattern_wild(pattern)) {
        struct mlt_catalogue_entry *entry = mlt_map_get(&catalogue->map, pattern);
        entry->types |= types;
        entry->named |= types;
    }
    return MLT_OK;
}

enum mlt_status mlt_catalogue_subscribe(struct mlt_catalogue *catalogue,
                                        const struct mlt_live *live)
{
    struct mlt_map wildcards;
    mlt_map_init(&wildcards, MLT_DEMAND_NAMES_MAX);
    enum mlt_status status = visit_all(catalogue->table, live, take_pattern, &wildcards);
    if (status == MLT_OK) {
        status = visit_all(catalogue->table, live, make_places, catalogue);
    }
    if (status != MLT_OK) {
        mlt_map_fini(&wildcards);
        return status;
    }
    mlt_map_fini(&catalogue->wildcards);
    catalogue->wildcards = wildcards;
    for (struct mlt_catalogue_entry *e = catalogue->first; e != NULL; e = e->next) {
        e->before = e->types;
        e->types = e->named = 0;
    }
    status = visit_all(catalogue->table, live, set_types, catalogue);
    catalogue->counts.subscribed = 0;
    for (struct mlt_catalogue_entry *e = catalogue->first; e != NULL; e = e->next) {
        /* Names in one subscription that another one's pattern covers. */
        e->types |= wildcard_types(catalogue, mlt_slice_of_string(e->token));
        catalogue->counts.subscribed += e->types != 0;
        const uint32_t begun = catalogue->flows ? e->types & ~e->before : 0;
        e->fresh = (e->fresh | begun) & e->types;
    }
    catalogue->revision++;
    return status;
}

uint32_t mlt_catalogue_matches(const struct mlt_catalogue *catalogue, struct mlt_slice pattern)
{
    if (!mlt_pattern_wild(pattern)) {
        const struct mlt_catalogue_entry *entry = mlt_map_get(&catalogue->map, pattern);
        return entry != NULL && entry->listed;
    }
    if (pattern.len == 1) { /* "*" */
        return catalogue->counts.listed;
    }
    const uint32_t *count = mlt_map_get(&catalogue->covered, pattern);
    return count != NULL ? *count : 0;
}

/* ---- places of private lanes ---- */

/* Lanes that ask for a pattern, by their order. */
struct lane_set {
    uint64_t words[MLT_LIVE_LANES_MAX / 64];
};
_Static_assert(MLT_LIVE_LANES_MAX % 64 == 0, "each lane has a bit");

static enum mlt_status join(struct mlt_map *sets, struct mlt_slice pattern, size_t lane)
{
    struct lane_set *set = mlt_map_get(sets, pattern);
    if (set == NULL) {
        set = calloc(1, sizeof *set);
        const enum mlt_status status = set != NULL ? mlt_map_put(sets, pattern, set) : MLT_E_NOMEM;
        if (status != MLT_OK) {
            free(set);
            return status;
        }
    }
    set->words[lane / 64] |= UINT64_C(1) << lane % 64;
    return MLT_OK;
}

/* By pattern the lanes that have it; names are places already. */
static enum mlt_status collect_lanes(const struct mlt_live *live, struct mlt_map *sets,
                                     size_t *places)
{
    enum mlt_status status = MLT_OK;
    size_t lane = 0;
    for (size_t i = 0; i < live->count && status == MLT_OK; i++) {
        const struct mlt_subscription *s = &live->items[i]->subscription;
        if (live->items[i]->lane == NULL) {
            continue;
        }
        for (size_t k = 0; k < s->pattern_count && status == MLT_OK; k++) {
            const struct mlt_slice pattern = mlt_slice_of_string(s->patterns[k]);
            if (mlt_pattern_wild(pattern)) {
                status = join(sets, pattern, lane);
            } else {
                ++*places;
            }
        }
        lane++;
    }
    return status;
}

static void unite(struct lane_set *all, const struct mlt_map *sets, struct mlt_slice pattern)
{
    const struct lane_set *set = mlt_map_get(sets, pattern);
    for (size_t w = 0; set != NULL && w < sizeof all->words / sizeof all->words[0]; w++) {
        all->words[w] |= set->words[w];
    }
}

/* Lanes that cover the token by a pattern, each once. */
static size_t lanes_over(const struct mlt_map *sets, struct mlt_slice token)
{
    struct lane_set all = { { 0 } };
    struct mlt_pattern_cover cover;
    size_t count = 0;
    unite(&all, sets, MLT_SLICE_LITERAL("*"));
    if (mlt_pattern_cover(token, &cover)) {
        unite(&all, sets, mlt_pattern_covering(&cover, 0));
        unite(&all, sets, mlt_pattern_covering(&cover, 1));
    }
    for (size_t w = 0; w < sizeof all.words / sizeof all.words[0]; w++) {
        count += (size_t)__builtin_popcountll(all.words[w]);
    }
    return count;
}

/* E_LIMIT: the lanes cover more than there are places. */
static enum mlt_status check_places(const struct mlt_catalogue *catalogue,
                                    const struct mlt_live *live)
{
    struct mlt_map sets;
    size_t places = 0;
    mlt_map_init(&sets, MLT_LIVE_PATTERNS_MAX);
    const enum mlt_status status = collect_lanes(live, &sets, &places);
    for (const struct mlt_catalogue_entry *e = catalogue->first;
         status == MLT_OK && sets.count > 0 && e != NULL; e = e->next) {
        places += lanes_over(&sets, mlt_slice_of_string(e->token));
    }
    const struct mlt_map_entry *set;
    for (size_t at = 0; (set = mlt_map_next(&sets, &at)) != NULL;) {
        free(set->value);
    }
    mlt_map_fini(&sets);
    return status == MLT_OK && places > MLT_CATALOGUE_LANE_PLACES_MAX ? MLT_E_LIMIT : status;
}

size_t mlt_catalogue_table_bytes(const struct mlt_catalogue *catalogue, const struct mlt_live *live)
{
    return catalogue->table_bytes + live->table_bytes;
}

enum mlt_status mlt_catalogue_follow(struct mlt_catalogue *catalogue, const struct mlt_live *live,
                                     const struct mlt_live_item *item)
{
    /* Who could not be told of the table any more could not end anything of it either. */
    if (item != NULL && mlt_catalogue_table_bytes(catalogue, live) > MLT_DEMAND_TABLE_BYTES_MAX) {
        return MLT_E_LIMIT;
    }
    const enum mlt_status status =
        item != NULL && item->lane != NULL ? check_places(catalogue, live) : MLT_OK;
    return status == MLT_OK ? mlt_catalogue_subscribe(catalogue, live) : status;
}

enum mlt_status mlt_catalogue_create(const struct mlt_table *table, uint64_t first_revision,
                                     struct mlt_catalogue **catalogue)
{
    struct mlt_catalogue *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return MLT_E_NOMEM;
    }
    c->table = table;
    c->table_bytes = mlt_table_bytes(table);
    c->revision = first_revision - 1; /* what the table names is the first revision */
    mlt_map_init(&c->map, MLT_CATALOGUE_INSTRUMENTS_MAX);
    mlt_map_init(&c->wildcards, MLT_DEMAND_NAMES_MAX);
    mlt_map_init(&c->covered, 2 * (size_t)MLT_CATALOGUE_INSTRUMENTS_MAX);
    const enum mlt_status status = mlt_catalogue_subscribe(c, NULL);
    if (status != MLT_OK) {
        mlt_catalogue_destroy(c);
        return status;
    }
    *catalogue = c;
    return MLT_OK;
}

void mlt_catalogue_destroy(struct mlt_catalogue *catalogue)
{
    if (catalogue == NULL) {
        return;
    }
    struct mlt_catalogue_entry *entry = catalogue->first;
    while (entry != NULL) {
        struct mlt_catalogue_entry *next = entry->next;
        free(entry);
        entry = next;
    }
    const struct mlt_map_entry *covered;
    for (size_t at = 0; (covered = mlt_map_next(&catalogue->covered, &at)) != NULL;) {
        free(covered->value);
    }
    mlt_map_fini(&catalogue->map);
    mlt_map_fini(&catalogue->wildcards);
    mlt_map_fini(&catalogue->covered);
    free(catalogue);
}

uint64_t mlt_catalogue_revision(const struct mlt_catalogue *catalogue)
{
    return catalogue->revision;
}

void mlt_catalogue_bump(struct mlt_catalogue *catalogue)
{
    catalogue->revision++;
}

void mlt_catalogue_begin(struct mlt_catalogue *catalogue)
{
    catalogue->flows = true;
    catalogue->bumped = false;
}

const struct mlt_catalogue_entry *mlt_catalogue_find(struct mlt_catalogue *catalogue,
                                                     struct mlt_slice token)
{
    struct mlt_catalogue_entry *entry = mlt_map_get(&catalogue->map, token);
    if (entry != NULL || catalogue->wildcards.count == 0 || !mlt_instrument_token_valid(token)) {
        return entry;
    }
    const uint32_t types = wildcard_types(catalogue, token);
    return types != 0 && add(catalogue, token, types, &entry) == MLT_OK ? entry : NULL;
}

bool mlt_catalogue_begins(struct mlt_catalogue *catalogue, struct mlt_slice token,
                          enum mlt_event_type type)
{
    struct mlt_catalogue_entry *entry = mlt_map_get(&catalogue->map, token);
    const uint32_t bit = UINT32_C(1) << type;
    const bool begins = entry != NULL && (entry->fresh & bit) != 0;
    if (begins) {
        entry->fresh &= ~bit;
    }
    return begins;
}

uint32_t mlt_catalogue_types(const struct mlt_catalogue *catalogue, struct mlt_slice token,
                             bool *known)
{
    const struct mlt_catalogue_entry *entry = mlt_map_get(&catalogue->map, token);
    uint32_t types = 0;
    if (entry != NULL) {
        types = entry->types;
    } else if (mlt_instrument_token_valid(token)) {
        types = wildcard_types(catalogue, token);
    }
    *known = entry != NULL || types != 0;
    return types;
}

/* NULL: no memory. */
static uint32_t *count_of(struct mlt_map *covered, struct mlt_slice pattern)
{
    uint32_t *count = mlt_map_get(covered, pattern);
    if (count != NULL) {
        return count;
    }
    count = calloc(1, sizeof *count);
    if (count != NULL && mlt_map_put(covered, pattern, count) != MLT_OK) {
        free(count);
        count = NULL;
    }
    return count;
}

/* One more, or one less, that patterns cover. E_NOMEM: none. */
static enum mlt_status count_listed(struct mlt_catalogue *catalogue, struct mlt_slice token,
                                    bool listed)
{
    const uint32_t by = listed ? 1 : UINT32_MAX;
    struct mlt_pattern_cover cover;
    if (mlt_pattern_cover(token, &cover)) {
        uint32_t *base = count_of(&catalogue->covered, mlt_pattern_covering(&cover, 0));
        uint32_t *quote = count_of(&catalogue->covered, mlt_pattern_covering(&cover, 1));
        if (base == NULL || quote == NULL) {
            return MLT_E_NOMEM;
        }
        *base += by;
        *quote += by;
    }
    catalogue->counts.listed += by;
    return MLT_OK;
}

enum mlt_status mlt_catalogue_listing(struct mlt_catalogue *catalogue, struct mlt_slice token,
                                      const struct mlt_instrument *instrument,
                                      const struct mlt_catalogue_entry **out)
{
    struct mlt_catalogue_entry *entry = mlt_map_get(&catalogue->map, token);
    if (entry == NULL) {
        if (!mlt_instrument_token_valid(token)) {
            return MLT_E_PROTOCOL;
        }
        const enum mlt_status status =
            add(catalogue, token, wildcard_types(catalogue, token), &entry);
        if (status != MLT_OK) {
            return status;
        }
    }
    const bool listed = !mlt_slice_equal_string(instrument->status, DELISTED);
    if (listed != entry->listed) {
        const enum mlt_status status = count_listed(catalogue, token, listed);
        if (status != MLT_OK) {
            return status;
        }
    }
    entry->listed = listed;
    if (entry->gone == listed) {
        entry->gone = !listed;
        if (entry->types != entry->named) {
            changed(catalogue);
        }
    }
    const size_t len = instrument->status.len < MLT_CATALOGUE_STATUS_BYTES_MAX
                           ? instrument->status.len
                           : MLT_CATALOGUE_STATUS_BYTES_MAX;
    if (len > 0) {
        memcpy(entry->status, instrument->status.data, len);
    }
    entry->status[len] = '\0';
    entry->halted = !mlt_slice_equal_string(instrument->status, "TRADING");
    entry->price_exponent = instrument->price_exponent;
    entry->quantity_exponent = instrument->quantity_exponent;
    *out = entry;
    return MLT_OK;
}

void mlt_catalogue_counts(const struct mlt_catalogue *catalogue, struct mlt_catalogue_counts *out)
{
    *out = catalogue->counts;
}

bool mlt_catalogue_has_wildcards(const struct mlt_catalogue *catalogue)
{
    return catalogue->wildcards.count > 0;
}

const struct mlt_catalogue_entry *mlt_catalogue_first(const struct mlt_catalogue *catalogue)
{
    return catalogue->first;
}
