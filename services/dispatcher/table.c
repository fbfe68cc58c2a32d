/* What a parsed table answers; table_parse.c makes it. */
#include "table.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const discard_words[] = { "zero", "crossed", "stale", "not_trading" };
_Static_assert(sizeof discard_words / sizeof discard_words[0] == MLT_DISCARD_COUNT,
               "one word each");

const char *mlt_discard_word(enum mlt_discard discard)
{
    return (unsigned)discard < MLT_DISCARD_COUNT ? discard_words[discard] : "unknown";
}

void mlt_table_destroy(struct mlt_table *table)
{
    if (table == NULL) {
        return;
    }
    for (size_t i = 0; i < table->subscription_count; i++) {
        struct mlt_subscription *subscription = &table->subscriptions[i];
        for (size_t k = 0; k < subscription->pattern_count; k++) {
            free(subscription->patterns[k]);
        }
        free(subscription->patterns);
    }
    free(table->subscriptions);
    free(table);
}

const struct mlt_route *mlt_table_route(const struct mlt_table *table, enum mlt_event_type type,
                                        struct mlt_slice interval)
{
    const struct mlt_route *route = table->first_of_type[type];
    if (type != MLT_EVENT_KLINE) {
        return route;
    }
    while (route != NULL && !mlt_slice_equal_string(interval, route->interval)) {
        route = route->next_of_type;
    }
    return route;
}

uint32_t mlt_table_types_of(enum mlt_event_type type)
{
    const uint32_t own = UINT32_C(1) << type;
    return type == MLT_EVENT_BOOK ? own | UINT32_C(1) << MLT_EVENT_BOOK_DELTA : own;
}

uint32_t mlt_table_sources_of(enum mlt_event_type type)
{
    return type == MLT_EVENT_BOOK
               ? UINT32_C(1) << MLT_EVENT_BOOK_DELTA | UINT32_C(1) << MLT_EVENT_BOOK_SNAPSHOT
               : UINT32_C(1) << type;
}

static void discard_text(const struct mlt_route *route, enum mlt_discard discard, char *out,
                         size_t size)
{
    if (discard == MLT_DISCARD_STALE) {
        (void)snprintf(out, size, "discard:stale max_age_ms %lld",
                       (long long)(route->stale_after_ns / 1000000));
    } else {
        (void)snprintf(out, size, "discard:%s", mlt_discard_word(discard));
    }
}

bool mlt_table_policy_text(const struct mlt_route *route, size_t i, char *out, size_t size)
{
    for (unsigned d = 0; d < MLT_DISCARD_COUNT; d++) {
        if ((route->discards & UINT32_C(1) << d) != 0 && i-- == 0) {
            discard_text(route, (enum mlt_discard)d, out, size);
            return true;
        }
    }
    if (route->enrich_notional && i-- == 0) {
        (void)snprintf(out, size, "enrich:notional");
        return true;
    }
    if (i < route->filter_count) {
        const struct mlt_filter *filter = &route->filters[i];
        (void)snprintf(out, size, "filter:%s %s %s", filter->field->name,
                       mlt_event_op_word(filter->op), filter->text);
        return true;
    }
    return false;
}

/* ---- what it takes in a message ---- */

size_t mlt_subscription_bytes(const struct mlt_subscription *subscription)
{
    size_t bytes = MLT_DEMAND_SUBSCRIPTION_BYTES + strlen(subscription->id);
    for (size_t i = 0; i < subscription->pattern_count; i++) {
        bytes += MLT_DEMAND_NAME_BYTES + strlen(subscription->patterns[i]);
    }
    return bytes;
}

static size_t route_bytes(const struct mlt_route *route)
{
    char policy[MLT_TABLE_POLICY_BYTES_MAX];
    size_t bytes = MLT_DEMAND_ROUTE_BYTES + strlen(route->ws_topic) + strlen(route->rest_function);
    for (size_t i = 0; mlt_table_policy_text(route, i, policy, sizeof policy); i++) {
        bytes += MLT_DEMAND_POLICY_BYTES + strlen(policy);
    }
    return bytes;
}

size_t mlt_table_bytes(const struct mlt_table *table)
{
    size_t bytes = 0;
    for (size_t i = 0; i < table->route_count; i++) {
        bytes += route_bytes(&table->routes[i]);
    }
    for (size_t i = 0; i < table->subscription_count; i++) {
        bytes += mlt_subscription_bytes(&table->subscriptions[i]);
    }
    return bytes;
}
