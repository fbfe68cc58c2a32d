#include "plan.h"

#include <stdlib.h>

#include "meltica/base/unconst.h"
#include "meltica/v1/internal.pb-c.h"

static enum mlt_status append_packed(const ProtobufCMessage *message, size_t bytes,
                                     struct mlt_buf *out)
{
    const enum mlt_status status = mlt_buf_reserve(out, bytes);
    if (status == MLT_OK) {
        out->len += protobuf_c_message_pack(message, out->data + out->len);
    }
    return status;
}

/* ---- plan ---- */

static bool is_listing(const struct mlt_route *route)
{
    return route->ws_topic[0] == '\0' && strcmp(route->rest_function, "exchangeInfo") == 0;
}

static size_t collect(const struct mlt_catalogue *catalogue, const struct mlt_route *route,
                      uint32_t partition, uint32_t partitions, char **tokens)
{
    size_t count = 0;
    for (const struct mlt_catalogue_entry *e = mlt_catalogue_first(catalogue); e != NULL;
         e = e->next) {
        if (e->slot % partitions == partition &&
            (mlt_catalogue_planned(e) & UINT32_C(1) << route->type) != 0) {
            tokens[count++] = mlt_unconst(e->token);
        }
    }
    return count;
}

struct plan_memory {
    Meltica__V1__PlanRoute routes[MLT_TABLE_ROUTES_MAX];
    Meltica__V1__PlanRoute *list[MLT_TABLE_ROUTES_MAX];
    char *tokens[]; /* one run of `known` places for each route */
};

enum mlt_status mlt_plan_encode(const struct mlt_table *table,
                                const struct mlt_catalogue *catalogue,
                                const struct mlt_plan_from *from, uint32_t partition,
                                uint32_t partitions, bool expanding, size_t payload_max,
                                struct mlt_buf *out, struct mlt_error *err)
{
    struct mlt_catalogue_counts counts;
    mlt_catalogue_counts(catalogue, &counts);
    struct plan_memory *memory =
        malloc(sizeof *memory + table->route_count * counts.known * sizeof(char *));
    if (memory == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the plan");
    }
    Meltica__V1__NativePlan plan;
    meltica__v1__native_plan__init(&plan);
    plan.revision = mlt_catalogue_revision(catalogue);
    plan.boot = from->boot;
    plan.epoch = from->epoch;
    plan.partition = partition;
    plan.expanding = expanding;
    plan.routes = memory->list;
    for (size_t i = 0; i < table->route_count; i++) {
        const struct mlt_route *route = &table->routes[i];
        Meltica__V1__PlanRoute *part = &memory->routes[plan.n_routes];
        meltica__v1__plan_route__init(part);
        part->instruments = memory->tokens + i * counts.known;
        if (!is_listing(route)) {
            part->n_instruments =
                collect(catalogue, route, partition, partitions, part->instruments);
            if (part->n_instruments == 0) {
                continue;
            }
        }
        part->route = route->number;
        part->type = (Meltica__V1__EventType)route->type;
        part->ws_topic = mlt_unconst(route->ws_topic);
        part->rest_function = mlt_unconst(route->rest_function);
        part->rest_interval_ms = route->rest_interval_ms;
        part->rest_limit = route->rest_limit;
        memory->list[plan.n_routes++] = part;
    }
    const size_t bytes = meltica__v1__native_plan__get_packed_size(&plan);
    enum mlt_status status;
    if (bytes > payload_max) {
        status =
            mlt_error_set(err, MLT_E_TOO_BIG,
                          "the plan of partition %u has %zu bytes, a message at most %zu: raise "
                          "--partitions of all services, or subscribe to fewer instruments",
                          partition, bytes, payload_max);
    } else {
        status = append_packed(&plan.base, bytes, out);
        if (status != MLT_OK) {
            status = mlt_error_set(err, status, "no memory for the plan");
        }
    }
    free(memory);
    return status;
}

/* ---- table ---- */

struct table_memory {
    Meltica__V1__TableRoute routes[MLT_TABLE_ROUTES_MAX];
    Meltica__V1__TableRoute *route_list[MLT_TABLE_ROUTES_MAX];
    char policies[MLT_TABLE_ROUTES_MAX][MLT_DISCARD_COUNT + 1 + MLT_TABLE_FILTERS_MAX]
                 [MLT_TABLE_POLICY_BYTES_MAX];
    char *policy_list[MLT_TABLE_ROUTES_MAX][MLT_DISCARD_COUNT + 1 + MLT_TABLE_FILTERS_MAX];
};

static void table_routes(const struct mlt_table *table, struct table_memory *memory,
                         Meltica__V1__Table *message)
{
    for (size_t i = 0; i < table->route_count; i++) {
        const struct mlt_route *route = &table->routes[i];
        Meltica__V1__TableRoute *part = &memory->routes[i];
        meltica__v1__table_route__init(part);
        part->route = route->number;
        part->type = (Meltica__V1__EventType)route->type;
        part->ws_topic = mlt_unconst(route->ws_topic);
        part->rest_function = mlt_unconst(route->rest_function);
        part->rest_interval_ms = route->rest_interval_ms;
        part->policies = memory->policy_list[i];
        while (mlt_table_policy_text(route, part->n_policies, memory->policies[i][part->n_policies],
                                     MLT_TABLE_POLICY_BYTES_MAX)) {
            part->policies[part->n_policies] = memory->policies[i][part->n_policies];
            part->n_policies++;
        }
        memory->route_list[i] = part;
    }
    message->n_routes = table->route_count;
    message->routes = memory->route_list;
}

struct parts {
    size_t count;
    Meltica__V1__TableSubscription *items, **list;
    size_t comparison_count; /* of all lanes */
    Meltica__V1__Comparison *comparisons, **comparison_list;
};

/* Filters of a lane as messages, views of the live half. */
static void table_lane(const struct mlt_live_lane *lane, struct parts *parts,
                       Meltica__V1__TableSubscription *part)
{
    part->private_lane = true;
    part->throttle_ms = lane->throttle_ms;
    part->filter = &parts->comparison_list[parts->comparison_count];
    part->n_filter =
        mlt_live_comparisons(lane, &parts->comparisons[parts->comparison_count], part->filter);
    parts->comparison_count += part->n_filter;
}

static size_t count_comparisons(const struct mlt_live *live)
{
    size_t count = 0;
    for (size_t i = 0; live != NULL && i < live->count; i++) {
        count += live->items[i]->lane != NULL ? live->items[i]->lane->filter_count : 0;
    }
    return count;
}

static void table_subscription(const struct mlt_subscription *subscription,
                               const struct mlt_live_item *live, struct parts *parts)
{
    Meltica__V1__TableSubscription *part = &parts->items[parts->count];
    meltica__v1__table_subscription__init(part);
    part->id = mlt_unconst(subscription->id);
    part->type = (Meltica__V1__EventType)subscription->type;
    part->n_instruments = subscription->pattern_count;
    part->instruments = subscription->patterns;
    if (live != NULL) {
        part->principal = mlt_unconst(live->principal);
        part->consumer = mlt_unconst(live->consumer);
        part->lease_end = (uint64_t)live->lease_end_ns;
        part->log_sequence = live->sequence;
        part->state = mlt_unconst(mlt_live_state_word(live->state));
        if (live->lane != NULL) {
            table_lane(live->lane, parts, part);
        }
    }
    parts->list[parts->count++] = part;
}

static void table_subscriptions(const struct mlt_table *table, const struct mlt_live *live,
                                struct parts *parts)
{
    for (size_t i = 0; i < table->subscription_count; i++) {
        table_subscription(&table->subscriptions[i], NULL, parts);
    }
    for (size_t i = 0; live != NULL && i < live->count; i++) {
        table_subscription(&live->items[i]->subscription, live->items[i], parts);
    }
}

static enum mlt_status fill_lists(const struct mlt_table *table, const struct mlt_live *live,
                                  const char *only, Meltica__V1__Table *message,
                                  struct mlt_buf *out)
{
    const size_t parts_max = table->subscription_count + (live != NULL ? live->count : 0) + 1;
    struct table_memory *memory = malloc(sizeof *memory);
    struct parts parts = { .items = malloc(parts_max * sizeof *parts.items),
                           .list = malloc(parts_max * sizeof *parts.list) };
    const size_t comparisons = count_comparisons(live) + 1;
    parts.comparisons = malloc(comparisons * sizeof *parts.comparisons);
    parts.comparison_list = malloc(comparisons * sizeof *parts.comparison_list);
    enum mlt_status status = MLT_E_NOMEM;
    if (memory != NULL && parts.items != NULL && parts.list != NULL && parts.comparisons != NULL &&
        parts.comparison_list != NULL) {
        table_routes(table, memory, message);
        if (only == NULL) {
            table_subscriptions(table, live, &parts);
        } else {
            const struct mlt_live_item *item = live != NULL ? mlt_live_find(live, only) : NULL;
            if (item != NULL) {
                table_subscription(&item->subscription, item, &parts);
            }
        }
        message->subscriptions = parts.list;
        message->n_subscriptions = parts.count;
        status = append_packed(&message->base, meltica__v1__table__get_packed_size(message), out);
    }
    free(parts.comparison_list);
    free(parts.comparisons);
    free(parts.list);
    free(parts.items);
    free(memory);
    return status;
}

enum mlt_status mlt_plan_encode_table(const struct mlt_table *table,
                                      const struct mlt_catalogue *catalogue,
                                      const struct mlt_plan_live *live,
                                      const struct mlt_plan_from *from, bool with_lists,
                                      struct mlt_buf *out)
{
    struct mlt_catalogue_counts counts;
    mlt_catalogue_counts(catalogue, &counts);
    Meltica__V1__Table message;
    meltica__v1__table__init(&message);
    message.revision = mlt_catalogue_revision(catalogue);
    message.boot = from->boot;
    message.epoch = from->epoch;
    message.instruments_listed = counts.listed;
    message.instruments_subscribed = counts.subscribed;
    message.log_read = live != NULL && live->log_read;
    message.now = live != NULL ? (uint64_t)live->now_ns : 0;
    message.listing_heard = live != NULL && live->listing_heard;
    message.table_bytes = live != NULL && live->live != NULL
                              ? (uint32_t)mlt_catalogue_table_bytes(catalogue, live->live)
                              : 0;
    if (!with_lists) {
        return append_packed(&message.base, meltica__v1__table__get_packed_size(&message), out);
    }
    uint32_t *matches = NULL;
    const size_t match_count = live != NULL ? live->match_count : 0;
    if (match_count > 0) {
        matches = calloc(match_count, sizeof *matches);
        if (matches == NULL) {
            return MLT_E_NOMEM;
        }
        for (size_t i = 0; i < match_count; i++) {
            matches[i] = mlt_catalogue_matches(catalogue, mlt_slice_of_string(live->match[i]));
        }
        message.matches = matches;
        message.n_matches = match_count;
    }
    const enum mlt_status status = fill_lists(table, live != NULL ? live->live : NULL,
                                              live != NULL ? live->only : NULL, &message, out);
    free(matches);
    return status;
}
