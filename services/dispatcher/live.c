#include "live.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "meltica/base/unconst.h"

const char *mlt_live_state_word(enum mlt_live_state state)
{
    static const char *const words[] = { "PENDING", "CONFIRMED", "FAILED" };
    return (unsigned)state < sizeof words / sizeof words[0] ? words[state] : "UNKNOWN";
}

void mlt_live_init(struct mlt_live *live)
{
    *live = (struct mlt_live){ 0 };
}

void mlt_live_release(struct mlt_live_item *item)
{
    if (item == NULL) {
        return;
    }
    for (size_t i = 0; i < item->subscription.pattern_count; i++) {
        free(item->subscription.patterns[i]);
    }
    free(item->subscription.patterns);
    free(item->lane);
    free(item);
}

void mlt_live_fini(struct mlt_live *live)
{
    for (size_t i = 0; i < live->count; i++) {
        mlt_live_release(live->items[i]);
    }
    free(live->items);
    mlt_live_init(live);
}

/* Of the bytes that the Control Bus lets pass: they are written as JSON and as subjects again. */
static bool is_name(const char *text)
{
    const size_t len = strlen(text);
    return len > 0 && len <= MLT_LIVE_NAME_BYTES_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:@") ==
               len;
}

static bool is_routed(const struct mlt_table *table, int type)
{
    if (type <= MLT_EVENT_NONE || type >= MLT_EVENT_TYPE_COUNT || type == MLT_EVENT_STATUS) {
        return false;
    }
    const uint32_t needed = mlt_table_sources_of((enum mlt_event_type)type);
    for (int t = 1; t < MLT_EVENT_TYPE_COUNT; t++) {
        if ((needed & UINT32_C(1) << t) != 0 && table->first_of_type[t] == NULL) {
            return false;
        }
    }
    return true;
}

static bool is_lane(const Meltica__V1__ControlRecord *record)
{
    struct mlt_filter filter;
    /* Owner and id become tokens of the lane's subject: a '.' would make more of them. */
    bool right = record->private_lane ? record->n_filter <= MLT_LIVE_FILTERS_MAX &&
                                            strchr(record->principal, '.') == NULL &&
                                            strchr(record->subscription, '.') == NULL
                                      : record->n_filter == 0 && record->throttle_ms == 0;
    for (size_t i = 0; right && i < record->n_filter; i++) {
        const Meltica__V1__Comparison *c = record->filter[i];
        right = mlt_filter_make((enum mlt_event_type)record->type, mlt_slice_of_string(c->field),
                                mlt_slice_of_string(c->op), mlt_slice_of_string(c->value),
                                &filter) == MLT_FILTER_RIGHT;
    }
    return right;
}

static enum mlt_status check_record(const struct mlt_table *table,
                                    const Meltica__V1__ControlRecord *record)
{
    if (!is_name(record->subscription) || !is_name(record->principal) ||
        !is_name(record->consumer) || strlen(record->request) > MLT_LIVE_NAME_BYTES_MAX) {
        return MLT_E_PROTOCOL;
    }
    if (!record->active) {
        return MLT_OK;
    }
    if (!is_routed(table, (int)record->type) || record->n_instruments == 0 || !is_lane(record)) {
        return MLT_E_PROTOCOL;
    }
    for (size_t i = 0; i < record->n_instruments; i++) {
        if (!mlt_pattern_valid(mlt_slice_of_string(record->instruments[i]))) {
            return MLT_E_PROTOCOL;
        }
    }
    return MLT_OK;
}

/* Where the id is, or would be. */
static size_t place_of(const struct mlt_live *live, const char *id)
{
    size_t low = 0, high = live->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (strcmp(live->items[middle]->subscription.id, id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct mlt_live_item *item_at(const struct mlt_live *live, size_t at, const char *id)
{
    return at < live->count && strcmp(live->items[at]->subscription.id, id) == 0 ? live->items[at]
                                                                                 : NULL;
}

struct mlt_live_item *mlt_live_find(const struct mlt_live *live, const char *id)
{
    return item_at(live, place_of(live, id), id);
}

/* Its part of what there is room for. */
static void count_in(struct mlt_live *live, const struct mlt_live_item *item)
{
    live->patterns += item->subscription.pattern_count;
    live->lanes += item->lane != NULL;
    live->table_bytes += item->table_bytes;
}

static void count_out(struct mlt_live *live, const struct mlt_live_item *item)
{
    live->patterns -= item->subscription.pattern_count;
    live->lanes -= item->lane != NULL;
    live->table_bytes -= item->table_bytes;
}

/* There is room. */
static void insert_at(struct mlt_live *live, size_t at, struct mlt_live_item *item)
{
    memmove(&live->items[at + 1], &live->items[at],
            (live->count - at) * sizeof(struct mlt_live_item *));
    live->items[at] = item;
    live->count++;
}

static void remove_at(struct mlt_live *live, size_t at)
{
    live->count--;
    memmove(&live->items[at], &live->items[at + 1],
            (live->count - at) * sizeof(struct mlt_live_item *));
}

/* Past the end of the clock is its end. */
static int64_t lease_end(const Meltica__V1__ControlRecord *record)
{
    return record->lease_end > INT64_MAX ? INT64_MAX : (int64_t)record->lease_end;
}

static void take_words(struct mlt_live_item *item, const Meltica__V1__ControlRecord *record,
                       uint64_t sequence)
{
    (void)snprintf(item->principal, sizeof item->principal, "%s", record->principal);
    (void)snprintf(item->consumer, sizeof item->consumer, "%s", record->consumer);
    (void)snprintf(item->request, sizeof item->request, "%s", record->request);
    item->sequence = sequence;
    item->lease_end_ns = lease_end(record);
    item->lease_over_ns = INT64_MAX; /* until mlt_live_lease */
}

/* NULL: no memory. The record was checked. */
static struct mlt_live_lane *make_lane(const Meltica__V1__ControlRecord *record)
{
    struct mlt_live_lane *lane =
        calloc(1, sizeof *lane + record->n_filter * sizeof lane->filters[0]);
    if (lane == NULL) {
        return NULL;
    }
    lane->throttle_ms = record->throttle_ms;
    for (size_t i = 0; i < record->n_filter; i++) {
        const Meltica__V1__Comparison *c = record->filter[i];
        lane->filter_count +=
            mlt_filter_make((enum mlt_event_type)record->type, mlt_slice_of_string(c->field),
                            mlt_slice_of_string(c->op), mlt_slice_of_string(c->value),
                            &lane->filters[i]) == MLT_FILTER_RIGHT;
    }
    return lane;
}

static size_t table_bytes_of(const struct mlt_live_item *item)
{
    size_t bytes = mlt_subscription_bytes(&item->subscription) + strlen(item->principal) +
                   strlen(item->consumer);
    for (size_t i = 0; item->lane != NULL && i < item->lane->filter_count; i++) {
        const struct mlt_filter *filter = &item->lane->filters[i];
        bytes += MLT_DEMAND_COMPARISON_BYTES + strlen(filter->field->name) +
                 strlen(mlt_event_op_word(filter->op)) + strlen(filter->text);
    }
    return bytes;
}

static struct mlt_live_item *make_item(const Meltica__V1__ControlRecord *record, uint64_t sequence)
{
    struct mlt_live_item *item = calloc(1, sizeof *item);
    char **patterns = calloc(record->n_instruments, sizeof *patterns);
    if (item == NULL || patterns == NULL) {
        free(patterns);
        free(item);
        return NULL;
    }
    struct mlt_subscription *subscription = &item->subscription;
    subscription->patterns = patterns;
    subscription->type = (enum mlt_event_type)record->type;
    (void)snprintf(subscription->id, sizeof subscription->id, "%s", record->subscription);
    take_words(item, record, sequence);
    item->lane = record->private_lane ? make_lane(record) : NULL;
    if (record->private_lane && item->lane == NULL) {
        mlt_live_release(item);
        return NULL;
    }
    for (size_t i = 0; i < record->n_instruments; i++) {
        patterns[i] = strdup(record->instruments[i]);
        if (patterns[i] == NULL) {
            mlt_live_release(item);
            return NULL;
        }
        subscription->pattern_count++;
    }
    item->table_bytes = table_bytes_of(item);
    return item;
}

size_t mlt_live_comparisons(const struct mlt_live_lane *lane, Meltica__V1__Comparison *out,
                            Meltica__V1__Comparison **list)
{
    for (size_t i = 0; i < lane->filter_count; i++) {
        meltica__v1__comparison__init(&out[i]);
        out[i].field = mlt_unconst(lane->filters[i].field->name);
        out[i].op = mlt_unconst(mlt_event_op_word(lane->filters[i].op));
        out[i].value = mlt_unconst(lane->filters[i].text);
        list[i] = &out[i];
    }
    return lane->filter_count;
}

void mlt_live_record(const struct mlt_live_item *item, Meltica__V1__ControlRecord *record,
                     Meltica__V1__Comparison *comparisons, Meltica__V1__Comparison **filter)
{
    record->subscription = mlt_unconst(item->subscription.id);
    record->principal = mlt_unconst(item->principal);
    record->consumer = mlt_unconst(item->consumer);
    record->request = mlt_unconst(item->request);
    record->type = (Meltica__V1__EventType)item->subscription.type;
    record->instruments = item->subscription.patterns;
    record->n_instruments = item->subscription.pattern_count;
    record->lease_end = (uint64_t)item->lease_end_ns;
    record->private_lane = item->lane != NULL;
    if (item->lane != NULL) {
        record->throttle_ms = item->lane->throttle_ms;
        record->filter = filter;
        record->n_filter = mlt_live_comparisons(item->lane, comparisons, filter);
    }
}

static bool same_lane(const struct mlt_live_lane *lane, const Meltica__V1__ControlRecord *record)
{
    if (lane == NULL || !record->private_lane) {
        return lane == NULL && !record->private_lane;
    }
    bool same = lane->throttle_ms == record->throttle_ms && lane->filter_count == record->n_filter;
    for (size_t i = 0; same && i < lane->filter_count; i++) {
        const Meltica__V1__Comparison *c = record->filter[i];
        same = strcmp(lane->filters[i].field->name, c->field) == 0 &&
               strcmp(mlt_event_op_word(lane->filters[i].op), c->op) == 0 &&
               strcmp(lane->filters[i].text, c->value) == 0;
    }
    return same;
}

static bool same_demand(const struct mlt_live_item *item, const Meltica__V1__ControlRecord *record)
{
    const struct mlt_subscription *s = &item->subscription;
    bool same = (int)s->type == (int)record->type && s->pattern_count == record->n_instruments;
    for (size_t i = 0; same && i < s->pattern_count; i++) {
        same = strcmp(s->patterns[i], record->instruments[i]) == 0;
    }
    return same && same_lane(item->lane, record);
}

/* The id is a hash of terms, which who asks may choose: that it is the same proves nothing. */
static bool same_owner(const struct mlt_live_item *item, const Meltica__V1__ControlRecord *record)
{
    return strcmp(item->principal, record->principal) == 0 &&
           strcmp(item->consumer, record->consumer) == 0;
}

static enum mlt_status make_room(struct mlt_live *live)
{
    if (live->count < live->capacity) {
        return MLT_OK;
    }
    if (live->count == MLT_LIVE_SUBSCRIPTIONS_MAX) {
        return MLT_E_LIMIT;
    }
    const size_t capacity = live->capacity == 0 ? 64 : live->capacity * 2;
    struct mlt_live_item **items = realloc(live->items, capacity * sizeof *items);
    if (items == NULL) {
        return MLT_E_NOMEM;
    }
    live->items = items;
    live->capacity = capacity;
    return MLT_OK;
}

static enum mlt_status put(struct mlt_live *live, const Meltica__V1__ControlRecord *record,
                           uint64_t sequence, size_t at, struct mlt_live_item **released)
{
    struct mlt_live_item *old = item_at(live, at, record->subscription);
    const size_t patterns = old != NULL ? old->subscription.pattern_count : 0;
    const size_t lanes = old != NULL && old->lane != NULL ? 1 : 0;
    if (live->patterns - patterns + record->n_instruments > MLT_LIVE_PATTERNS_MAX ||
        live->lanes - lanes + (record->private_lane ? 1 : 0) > MLT_LIVE_LANES_MAX) {
        return MLT_E_LIMIT;
    }
    enum mlt_status status = old != NULL ? MLT_OK : make_room(live);
    struct mlt_live_item *item = status == MLT_OK ? make_item(record, sequence) : NULL;
    if (item == NULL) {
        return status != MLT_OK ? status : MLT_E_NOMEM;
    }
    count_in(live, item);
    if (old != NULL) {
        count_out(live, old);
        live->items[at] = item;
    } else {
        insert_at(live, at, item);
    }
    *released = old;
    return MLT_OK;
}

enum mlt_status mlt_live_apply(struct mlt_live *live, const struct mlt_table *table,
                               const Meltica__V1__ControlRecord *record, uint64_t sequence,
                               struct mlt_live_item **released, bool *changed)
{
    *released = NULL;
    *changed = false;
    enum mlt_status status = check_record(table, record);
    if (status != MLT_OK) {
        return status;
    }
    const size_t at = place_of(live, record->subscription);
    struct mlt_live_item *old = item_at(live, at, record->subscription);
    if (old != NULL && !same_owner(old, record)) {
        return MLT_E_PROTOCOL;
    }
    if (record->active && old != NULL && same_demand(old, record)) {
        take_words(old, record, sequence);
        return MLT_OK;
    }
    if (record->active) {
        status = put(live, record, sequence, at, released);
    } else if (old != NULL) {
        count_out(live, old);
        remove_at(live, at);
        *released = old;
    }
    *changed = status == MLT_OK && (record->active || old != NULL);
    return status;
}

void mlt_live_undo(struct mlt_live *live, const char *id, struct mlt_live_item *released)
{
    const size_t at = place_of(live, id);
    struct mlt_live_item *item = item_at(live, at, id);
    if (item != NULL) {
        count_out(live, item);
        remove_at(live, at);
        mlt_live_release(item);
    }
    if (released != NULL) { /* there is still the room that it had */
        count_in(live, released);
        insert_at(live, at, released);
    }
}

void mlt_live_lease(struct mlt_live_item *item, const Meltica__V1__ControlRecord *record, bool old,
                    const struct mlt_live_clocks *now)
{
    if (item->lease_end_ns == 0) {
        return;
    }
    const int64_t time_ns = record->time > INT64_MAX ? INT64_MAX : (int64_t)record->time;
    const int64_t lasts_ns = mlt_span_ns(time_ns, item->lease_end_ns);
    const int64_t to_end_ns = mlt_span_ns(now->wall_ns, item->lease_end_ns);
    int64_t left_ns = old && to_end_ns < lasts_ns ? to_end_ns : lasts_ns;
    left_ns = left_ns > 0 ? left_ns : 0; /* it is over; its end is what it was */
    item->lease_over_ns = mlt_later_ns(now->mono_ns, left_ns);
    const int64_t off_ns = mlt_span_ns(to_end_ns, left_ns);
    if (left_ns > 0 && (off_ns > MLT_LIVE_LEASE_OFF_NS || off_ns < -MLT_LIVE_LEASE_OFF_NS)) {
        item->lease_end_ns = mlt_later_ns(now->wall_ns, left_ns);
    }
}

void mlt_live_tell_leases(struct mlt_live *live, const struct mlt_live_clocks *now)
{
    for (size_t i = 0; i < live->count; i++) {
        struct mlt_live_item *item = live->items[i];
        if (item->lease_end_ns != 0) {
            const int64_t left_ns = mlt_span_ns(now->mono_ns, item->lease_over_ns);
            const int64_t end_ns = mlt_later_ns(now->wall_ns, left_ns);
            item->lease_end_ns = end_ns > 0 ? end_ns : 1; /* 0 would be none */
        }
    }
}

struct mlt_live_item *mlt_live_next_lease(const struct mlt_live *live)
{
    struct mlt_live_item *first = NULL;
    for (size_t i = 0; i < live->count; i++) {
        struct mlt_live_item *item = live->items[i];
        if (item->lease_end_ns != 0 &&
            (first == NULL || item->lease_over_ns < first->lease_over_ns)) {
            first = item;
        }
    }
    return first;
}
