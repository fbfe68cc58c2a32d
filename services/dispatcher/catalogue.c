#include "catalogue.h"

#include <stdlib.h>

#include "meltica/base/map.h"

#define DELISTED "DELISTED" /* the Adapter's word for what exchangeInfo has no longer */

struct wildcard {
    struct mlt_slice pattern; /* view of the table */
    uint32_t types;
};

struct mlt_catalogue {
    const struct mlt_table *table;
    struct mlt_map map;
    struct mlt_catalogue_entry *first, *last;
    struct wildcard *wildcards;
    size_t wildcard_count;
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

static uint32_t wildcard_types(const struct mlt_catalogue *catalogue, struct mlt_slice token)
{
    uint32_t types = 0;
    for (size_t i = 0; i < catalogue->wildcard_count; i++) {
        if (mlt_pattern_match(catalogue->wildcards[i].pattern, token)) {
            types |= catalogue->wildcards[i].types;
        }
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

static enum mlt_status count_wild(void *ctx, struct mlt_slice pattern, uint32_t types)
{
    size_t *count = ctx;
    (void)types;
    *count += mlt_pattern_wild(pattern);
    return MLT_OK;
}

/* Everything that can fail: a place for each name, with no types yet. */
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
    if (mlt_pattern_wild(pattern)) {
        catalogue->wildcards[catalogue->wildcard_count].pattern = pattern;
        catalogue->wildcards[catalogue->wildcard_count++].types = types;
    } else {
        struct mlt_catalogue_entry *entry = mlt_map_get(&catalogue->map, pattern);
        entry->types |= types;
        entry->named |= types;
    }
    return MLT_OK;
}

enum mlt_status mlt_catalogue_subscribe(struct mlt_catalogue *catalogue,
                                        const struct mlt_live *live)
{
    size_t wild = 0;
    enum mlt_status status = visit_all(catalogue->table, live, count_wild, &wild);
    struct wildcard *wildcards = calloc(wild > 0 ? wild : 1, sizeof *wildcards);
    if (wildcards == NULL) {
        return MLT_E_NOMEM;
    }
    if (status == MLT_OK) {
        status = visit_all(catalogue->table, live, make_places, catalogue);
    }
    if (status != MLT_OK) {
        free(wildcards);
        return status;
    }
    free(catalogue->wildcards);
    catalogue->wildcards = wildcards;
    catalogue->wildcard_count = 0;
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
    uint32_t count = 0;
    for (const struct mlt_catalogue_entry *e = catalogue->first; e != NULL; e = e->next) {
        count += e->listed && mlt_pattern_match(pattern, mlt_slice_of_string(e->token));
    }
    return count;
}

static bool wild_covers(const struct mlt_subscription *subscription, struct mlt_slice token)
{
    for (size_t i = 0; i < subscription->pattern_count; i++) {
        const struct mlt_slice pattern = mlt_slice_of_string(subscription->patterns[i]);
        if (mlt_pattern_wild(pattern) && mlt_pattern_match(pattern, token)) {
            return true;
        }
    }
    return false;
}

static size_t lane_places(const struct mlt_catalogue *catalogue, const struct mlt_live *live)
{
    size_t places = 0;
    for (size_t i = 0; i < live->count; i++) {
        const struct mlt_subscription *s = &live->items[i]->subscription;
        size_t wild = 0;
        if (live->items[i]->lane == NULL) {
            continue;
        }
        for (size_t k = 0; k < s->pattern_count; k++) {
            wild += mlt_pattern_wild(mlt_slice_of_string(s->patterns[k]));
        }
        places += s->pattern_count - wild;
        for (const struct mlt_catalogue_entry *e = catalogue->first; wild > 0 && e != NULL;
             e = e->next) {
            places += wild_covers(s, mlt_slice_of_string(e->token));
        }
    }
    return places;
}

enum mlt_status mlt_catalogue_follow(struct mlt_catalogue *catalogue, const struct mlt_live *live,
                                     const struct mlt_live_item *item)
{
    return item != NULL && item->lane != NULL &&
                   lane_places(catalogue, live) > MLT_CATALOGUE_LANE_PLACES_MAX
               ? MLT_E_LIMIT
               : mlt_catalogue_subscribe(catalogue, live);
}

enum mlt_status mlt_catalogue_create(const struct mlt_table *table, uint64_t first_revision,
                                     struct mlt_catalogue **catalogue)
{
    struct mlt_catalogue *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return MLT_E_NOMEM;
    }
    c->table = table;
    c->revision = first_revision - 1; /* what the table names is the first revision */
    mlt_map_init(&c->map, MLT_CATALOGUE_INSTRUMENTS_MAX);
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
    mlt_map_fini(&catalogue->map);
    free(catalogue->wildcards);
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
    if (entry != NULL || catalogue->wildcard_count == 0 || !mlt_instrument_token_valid(token)) {
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
    catalogue->counts.listed += listed && !entry->listed;
    catalogue->counts.listed -= !listed && entry->listed;
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
    return catalogue->wildcard_count > 0;
}

const struct mlt_catalogue_entry *mlt_catalogue_first(const struct mlt_catalogue *catalogue)
{
    return catalogue->first;
}
