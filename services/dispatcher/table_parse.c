/* dispatch.json to struct mlt_table. dispatch.schema.json says the same for editors; this decides.
 */
#include "table.h"

#include "table_json.h"

#include <stdio.h>
#include <stdlib.h>

#define SYMBOL "{symbol}"
#define INTERVAL "{interval}"

#define TYPE_BIT(type) (UINT32_C(1) << MLT_EVENT_##type)

/* Types that a route can give: what comes from the exchange. BOOK and STATUS are Meltica's own. */
static const uint32_t routed_types = TYPE_BIT(TICKER) | TYPE_BIT(BBO) | TYPE_BIT(TRADE) |
                                     TYPE_BIT(AGG_TRADE) | TYPE_BIT(KLINE) | TYPE_BIT(BOOK_DELTA) |
                                     TYPE_BIT(BOOK_SNAPSHOT) | TYPE_BIT(INSTRUMENT);
static const uint32_t subscribed_types =
    TYPE_BIT(TICKER) | TYPE_BIT(BBO) | TYPE_BIT(TRADE) | TYPE_BIT(AGG_TRADE) | TYPE_BIT(KLINE) |
    TYPE_BIT(BOOK_DELTA) | TYPE_BIT(BOOK_SNAPSHOT) | TYPE_BIT(BOOK) | TYPE_BIT(INSTRUMENT);

/* Which types a discard makes sense for. BOOK_DELTA and BOOK_SNAPSHOT are in none: a book with
 * holes would be a wrong book. BBO, BOOK_SNAPSHOT and INSTRUMENT have no exchange time. */
static const uint32_t discard_types[MLT_DISCARD_COUNT] = {
    [MLT_DISCARD_ZERO] = TYPE_BIT(TRADE) | TYPE_BIT(AGG_TRADE),
    [MLT_DISCARD_CROSSED] = TYPE_BIT(BBO),
    [MLT_DISCARD_STALE] =
        TYPE_BIT(TICKER) | TYPE_BIT(TRADE) | TYPE_BIT(AGG_TRADE) | TYPE_BIT(KLINE),
    [MLT_DISCARD_NOT_TRADING] =
        TYPE_BIT(TICKER) | TYPE_BIT(BBO) | TYPE_BIT(TRADE) | TYPE_BIT(AGG_TRADE) | TYPE_BIT(KLINE),
};

/* Functions that an Adapter can turn into events, and what they give. */
static const struct {
    const char *name;
    enum mlt_event_type type;
    bool has_limit;
    bool has_interval;
} functions[] = { { "depth", MLT_EVENT_BOOK_SNAPSHOT, true, true },
                  { "exchangeInfo", MLT_EVENT_INSTRUMENT, false, true },
                  { "historicalTrades", MLT_EVENT_TRADE, false, false },
                  { "aggTrades", MLT_EVENT_AGG_TRADE, false, false } };

static void type_list(uint32_t types, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (int type = 1; type < MLT_EVENT_TYPE_COUNT && used < size; type++) {
        if ((types & UINT32_C(1) << type) != 0) {
            const int n = snprintf(out + used, size - used, "%s%s", used == 0 ? "" : ", ",
                                   mlt_event_type_word((int)type));
            used += n > 0 ? (size_t)n : 0;
        }
    }
}

static enum mlt_status parse_type(const struct json_place *at, uint32_t allowed,
                                  enum mlt_event_type *out)
{
    char word[32], list[160];
    enum mlt_status status = json_string(at, "type", true, word, sizeof word - 1);
    if (status != MLT_OK) {
        return status;
    }
    for (int type = 1; type < MLT_EVENT_TYPE_COUNT; type++) {
        if ((allowed & UINT32_C(1) << type) != 0 &&
            strcmp(word, mlt_event_type_word((int)type)) == 0) {
            *out = (enum mlt_event_type)type;
            return MLT_OK;
        }
    }
    type_list(allowed, list, sizeof list);
    return json_fail(at, "type", "\"%s\" is none of %s", word, list);
}

/* ---- policies ---- */

static enum mlt_status parse_discard(const struct json_place *at, struct mlt_route *route)
{
    static const char *const known[] = { "reason", "max_age_ms", NULL };
    char word[32], list[160];
    enum mlt_status status = json_check_object(at, known);
    if (status == MLT_OK) {
        status = json_string(at, "reason", true, word, sizeof word - 1);
    }
    if (status != MLT_OK) {
        return status;
    }
    unsigned d = 0;
    while (d < MLT_DISCARD_COUNT && strcmp(word, mlt_discard_word((enum mlt_discard)d)) != 0) {
        d++;
    }
    if (d == MLT_DISCARD_COUNT) {
        return json_fail(at, "reason", "\"%s\" is none of zero, crossed, stale, not_trading", word);
    }
    if ((discard_types[d] & UINT32_C(1) << route->type) == 0) {
        type_list(discard_types[d], list, sizeof list);
        return json_fail(at, "reason", "\"%s\" does not apply to %s: only to %s", word,
                         mlt_event_type_word((int)route->type), list);
    }
    if ((route->discards & UINT32_C(1) << d) != 0) {
        return json_fail(at, "reason", "\"%s\" is there twice: remove one", word);
    }
    route->discards |= UINT32_C(1) << d;
    if (d != MLT_DISCARD_STALE) {
        return json_member(at, "max_age_ms") == NULL
                   ? MLT_OK
                   : json_fail(at, "max_age_ms", "belongs to \"stale\" only: remove it");
    }
    int64_t age_ms = 0;
    status = json_integer(at, "max_age_ms", true, 1, MLT_TABLE_AGE_MS_MAX, &age_ms);
    route->stale_after_ns = age_ms * 1000000;
    return status;
}

static enum mlt_status unknown_field(const struct json_place *at, enum mlt_event_type type,
                                     const char *name)
{
    char list[300];
    size_t used = 0;
    list[0] = '\0';
    for (const struct mlt_event_field *f = mlt_event_field_next(type, NULL);
         f != NULL && used < sizeof list; f = mlt_event_field_next(type, f)) {
        const int n =
            snprintf(list + used, sizeof list - used, "%s%s", used == 0 ? "" : ", ", f->name);
        used += n > 0 ? (size_t)n : 0;
    }
    return json_fail(at, "field", "\"%s\" cannot be compared: %s has %s", name,
                     mlt_event_type_word((int)type), list);
}

static enum mlt_status parse_filter(const struct json_place *at, struct mlt_route *route)
{
    static const char *const known[] = { "field", "op", "value", NULL };
    struct mlt_filter *filter = &route->filters[route->filter_count];
    char name[64], op[8], value[MLT_FILTER_TEXT_BYTES_MAX + 1];
    enum mlt_status status = json_check_object(at, known);
    if (status == MLT_OK) {
        status = json_string(at, "field", true, name, sizeof name - 1);
    }
    if (status == MLT_OK) {
        status = json_string(at, "op", true, op, sizeof op - 1);
    }
    if (status != MLT_OK) {
        return status;
    }
    if (cJSON_IsNumber(json_member(at, "value"))) {
        return json_fail(at, "value", "is a number: write it in quotes, so that it stays exact");
    }
    status = json_string(at, "value", true, value, sizeof value - 1);
    if (status != MLT_OK) {
        return status;
    }
    if (strcmp(name, "notional") == 0 && !route->enrich_notional &&
        mlt_event_field_find(route->type, MLT_SLICE_LITERAL("notional")) != NULL) {
        return json_fail(
            at, "field",
            "notional is there only after \"enrich\": [\"notional\"]: add it to the route");
    }
    const enum mlt_filter_fault fault =
        mlt_filter_make(route->type, mlt_slice_of_string(name), mlt_slice_of_string(op),
                        mlt_slice_of_string(value), filter);
    switch (fault) {
    case MLT_FILTER_RIGHT:
        route->filter_count++;
        return MLT_OK;
    case MLT_FILTER_NO_FIELD:
        return unknown_field(at, route->type, name);
    case MLT_FILTER_NO_OP:
        return json_fail(at, "op", "\"%s\" is none of eq, ne, lt, le, gt, ge", op);
    case MLT_FILTER_TEXT_ORDER:
        return json_fail(at, "op", "%s is text: only eq and ne compare it", name);
    default:
        return json_fail(at, "value",
                         "\"%s\" is no decimal number of 64 bits: write it like \"0.0015\"", value);
    }
}

static enum mlt_status parse_enrich(const struct json_place *at, struct mlt_route *route)
{
    if (!cJSON_IsString(at->node)) {
        return json_fail(at, NULL, "is no string: write \"notional\"");
    }
    if (strcmp(at->node->valuestring, "notional") != 0) {
        return json_fail(at, NULL, "\"%.40s\" is unknown: only \"notional\" is there",
                         at->node->valuestring);
    }
    if (route->type != MLT_EVENT_TRADE && route->type != MLT_EVENT_AGG_TRADE) {
        return json_fail(at, NULL, "\"notional\" does not apply to %s: only to TRADE, AGG_TRADE",
                         mlt_event_type_word((int)route->type));
    }
    if (route->enrich_notional) {
        return json_fail(at, NULL, "\"notional\" is there twice: remove one");
    }
    route->enrich_notional = true;
    return MLT_OK;
}

static enum mlt_status
parse_policy_list(const struct json_place *route_at, const char *name, size_t max,
                  enum mlt_status (*parse)(const struct json_place *, struct mlt_route *),
                  struct mlt_route *route)
{
    struct json_place list, entry;
    size_t count = 0, i = 0;
    json_enter(route_at, name, &list);
    if (list.node == NULL) {
        return MLT_OK;
    }
    enum mlt_status status = json_array_size(&list, 0, max, &count);
    for (const cJSON *item = status == MLT_OK ? list.node->child : NULL;
         item != NULL && status == MLT_OK; item = item->next) {
        json_enter_item(&list, item, i++, &entry);
        status = parse(&entry, route);
    }
    return status;
}

static enum mlt_status parse_policies(const struct json_place *at, struct mlt_route *route)
{
    const bool book = route->type == MLT_EVENT_BOOK_DELTA || route->type == MLT_EVENT_BOOK_SNAPSHOT;
    for (unsigned i = 0; i < 2 && book; i++) {
        const char *name = i == 0 ? "filter" : "discard";
        if (json_member(at, name) != NULL) {
            return json_fail(at, name, "never applies to %s, a book needs all of it: remove it",
                             mlt_event_type_word((int)route->type));
        }
    }
    enum mlt_status status =
        parse_policy_list(at, "discard", MLT_DISCARD_COUNT, parse_discard, route);
    if (status == MLT_OK) {
        status = parse_policy_list(at, "enrich", 1, parse_enrich, route);
    }
    if (status == MLT_OK) {
        status = parse_policy_list(at, "filter", MLT_TABLE_FILTERS_MAX, parse_filter, route);
    }
    return status;
}

/* ---- routes ---- */

/* Letters, digits, '@', '_' and '.' besides the placeholders; {symbol} once and first, before a
 * '@'. */
static enum mlt_status check_topic(const struct json_place *at, const char *topic, bool intervals)
{
    const char *rest = topic + strlen(SYMBOL);
    if (strncmp(topic, SYMBOL "@", strlen(SYMBOL "@")) != 0) {
        return json_fail(at, "ws", "\"%s\" does not begin with {symbol}@: write {symbol}@trade",
                         topic);
    }
    const char *placeholder = strstr(rest, INTERVAL);
    if (intervals != (placeholder != NULL)) {
        return json_fail(at, "ws",
                         intervals ? "has no {interval}: write {symbol}@kline_{interval}"
                                   : "has {interval}, but the route no \"intervals\": add them");
    }
    for (const char *p = rest; *p != '\0'; p++) {
        if (p == placeholder) {
            p += strlen(INTERVAL) - 1;
            continue;
        }
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@_.", *p) ==
            NULL) {
            return json_fail(
                at, "ws",
                "\"%s\" has a byte that no topic has at place %zu: use letters, digits, "
                "@ _ . and {symbol}, {interval}",
                topic, (size_t)(p - topic) + 1);
        }
    }
    return MLT_OK;
}

static enum mlt_status parse_rest(const struct json_place *route_at, struct mlt_route *route)
{
    static const char *const known[] = { "function", "interval_ms", "limit", NULL };
    struct json_place at;
    int64_t interval_ms = 0, limit = 0;
    json_enter(route_at, "rest", &at);
    if (at.node == NULL) {
        return MLT_OK;
    }
    enum mlt_status status = json_check_object(&at, known);
    if (status == MLT_OK) {
        status =
            json_string(&at, "function", true, route->rest_function, MLT_TABLE_FUNCTION_BYTES_MAX);
    }
    if (status != MLT_OK) {
        return status;
    }
    size_t f = 0;
    const size_t count = sizeof functions / sizeof functions[0];
    while (f < count && strcmp(route->rest_function, functions[f].name) != 0) {
        f++;
    }
    if (f == count) {
        return json_fail(&at, "function",
                         "\"%s\" is none of depth, exchangeInfo, "
                         "historicalTrades, aggTrades",
                         route->rest_function);
    }
    if (functions[f].type != route->type) {
        return json_fail(&at, "function", "\"%s\" gives %s, not %s: change the route's type",
                         route->rest_function, mlt_event_type_word((int)functions[f].type),
                         mlt_event_type_word((int)route->type));
    }
    if (!functions[f].has_limit && json_member(&at, "limit") != NULL) {
        return json_fail(&at, "limit", "is nothing that %s has: remove it", functions[f].name);
    }
    if (!functions[f].has_interval && json_member(&at, "interval_ms") != NULL) {
        return json_fail(&at, "interval_ms",
                         "is nothing that %s has, which is asked for what is missing: remove it",
                         functions[f].name);
    }
    status = json_integer(&at, "limit", false, 1, MLT_TABLE_REST_LIMIT_MAX, &limit);
    if (status == MLT_OK) {
        status = json_integer(&at, "interval_ms", false, 0, MLT_TABLE_REST_INTERVAL_MS_MAX,
                              &interval_ms);
    }
    if (status == MLT_OK && interval_ms > 0 && interval_ms < MLT_TABLE_REST_INTERVAL_MS_MIN) {
        return json_fail(
            &at, "interval_ms",
            "is below %d, which no request budget allows: raise it, or 0 for on demand",
            MLT_TABLE_REST_INTERVAL_MS_MIN);
    }
    route->rest_interval_ms = (uint32_t)interval_ms;
    route->rest_limit = (uint32_t)limit;
    return status;
}

static enum mlt_status add_route(const struct json_place *at, struct mlt_table *table,
                                 const struct mlt_route *route)
{
    if (table->route_count == MLT_TABLE_ROUTES_MAX) {
        return json_fail(at, NULL, "is more than %u routes: remove some", MLT_TABLE_ROUTES_MAX);
    }
    if (mlt_table_route(table, route->type, mlt_slice_of_string(route->interval)) != NULL) {
        return json_fail(at, NULL, "is a second route for %s%s%s: one is the limit, remove it",
                         mlt_event_type_word((int)route->type),
                         route->interval[0] != '\0' ? " " : "", route->interval);
    }
    struct mlt_route *added = &table->routes[table->route_count++];
    *added = *route;
    added->number = (uint32_t)table->route_count;
    added->next_of_type = table->first_of_type[route->type];
    table->first_of_type[route->type] = added;
    return MLT_OK;
}

/* One route a listed interval; where the topic names its interval itself, the part after the last
 * '_' is it. */
static enum mlt_status add_candles(const struct json_place *at, struct mlt_table *table,
                                   struct mlt_route *route)
{
    struct json_place list;
    size_t count = 0;
    json_enter(at, "intervals", &list);
    if (list.node == NULL) {
        const char *last = strrchr(route->ws_topic, '_');
        if (last == NULL || last[1] == '\0' || strlen(last + 1) > MLT_TABLE_INTERVAL_BYTES_MAX) {
            return json_fail(at, "ws",
                             "names no interval: write {symbol}@kline_1m, or "
                             "{symbol}@kline_{interval} and \"intervals\"");
        }
        memcpy(route->interval, last + 1, strlen(last + 1) + 1);
        return add_route(at, table, route);
    }
    enum mlt_status status = json_array_size(&list, 1, MLT_TABLE_INTERVALS_MAX, &count);
    const struct mlt_route template = *route;
    size_t i = 0;
    for (const cJSON *item = status == MLT_OK ? list.node->child : NULL;
         item != NULL && status == MLT_OK; item = item->next) {
        struct json_place entry;
        json_enter_item(&list, item, i++, &entry);
        const size_t len = cJSON_IsString(item) ? strlen(item->valuestring) : 0;
        if (len == 0 || len > MLT_TABLE_INTERVAL_BYTES_MAX ||
            strspn(item->valuestring, "0123456789smhdwMo") != len) {
            return json_fail(&entry, NULL, "is no interval: write one like \"1m\", \"4h\", \"1d\"");
        }
        *route = template;
        memcpy(route->interval, item->valuestring, len + 1);
        const char *before = strstr(template.ws_topic, INTERVAL);
        const int n = snprintf(route->ws_topic, sizeof route->ws_topic, "%.*s%s%s",
                               (int)(before - template.ws_topic), template.ws_topic,
                               item->valuestring, before + strlen(INTERVAL));
        if (n < 0 || (size_t)n >= sizeof route->ws_topic) {
            return json_fail(&entry, NULL, "makes the topic too long: shorten \"ws\"");
        }
        status = add_route(&entry, table, route);
    }
    return status;
}

static enum mlt_status parse_route(const struct json_place *at, struct mlt_table *table)
{
    static const char *const known[] = { "type",    "ws",     "rest",   "intervals",
                                         "discard", "filter", "enrich", NULL };
    struct mlt_route route;
    memset(&route, 0, sizeof route);
    enum mlt_status status = json_check_object(at, known);
    if (status == MLT_OK) {
        status = parse_type(at, routed_types, &route.type);
    }
    if (status == MLT_OK) {
        status = json_string(at, "ws", false, route.ws_topic, MLT_TABLE_TOPIC_BYTES_MAX);
    }
    if (status != MLT_OK) {
        return status;
    }
    const bool intervals = json_member(at, "intervals") != NULL;
    if (intervals && route.type != MLT_EVENT_KLINE) {
        return json_fail(at, "intervals", "belongs to KLINE only: remove it");
    }
    if (route.ws_topic[0] != '\0') {
        status = check_topic(at, route.ws_topic, intervals);
    }
    if (status == MLT_OK) {
        status = parse_rest(at, &route);
    }
    if (status == MLT_OK && route.ws_topic[0] == '\0' && route.rest_function[0] == '\0') {
        return json_fail(at, NULL, "has no source: write \"ws\", \"rest\" or both");
    }
    if (status == MLT_OK && route.ws_topic[0] == '\0' &&
        (route.type == MLT_EVENT_TRADE || route.type == MLT_EVENT_AGG_TRADE)) {
        return json_fail(at, "rest",
                         "is asked for what is missing of \"ws\", which is not there: add it");
    }
    if (status == MLT_OK) {
        status = parse_policies(at, &route);
    }
    if (status != MLT_OK) {
        return status;
    }
    return route.type == MLT_EVENT_KLINE ? add_candles(at, table, &route)
                                         : add_route(at, table, &route);
}

/* ---- subscriptions ---- */

static enum mlt_status check_routed(const struct json_place *at, const struct mlt_table *table,
                                    enum mlt_event_type type)
{
    const uint32_t needed = mlt_table_sources_of(type);
    for (int t = 1; t < MLT_EVENT_TYPE_COUNT; t++) {
        if ((needed & UINT32_C(1) << t) != 0 && table->first_of_type[t] == NULL) {
            return json_fail(at, "type", "%s needs a route for %s: add it to \"routes\"",
                             mlt_event_type_word((int)type), mlt_event_type_word(t));
        }
    }
    return MLT_OK;
}

static enum mlt_status parse_patterns(const struct json_place *at,
                                      struct mlt_subscription *subscription, size_t *patterns_left)
{
    struct json_place list;
    size_t count = 0;
    json_enter(at, "instruments", &list);
    enum mlt_status status = json_array_size(&list, 1, MLT_TABLE_PATTERNS_MAX, &count);
    if (status != MLT_OK) {
        return status;
    }
    if (count > *patterns_left) {
        return json_fail(&list, NULL,
                         "brings the instruments of all subscriptions above %u: use "
                         "patterns such as *-USDT",
                         MLT_TABLE_PATTERNS_MAX);
    }
    *patterns_left -= count;
    subscription->patterns = calloc(count, sizeof *subscription->patterns);
    if (subscription->patterns == NULL) {
        return mlt_error_set(at->err, MLT_E_NOMEM, "no memory for %zu patterns", count);
    }
    for (const cJSON *item = list.node->child; item != NULL; item = item->next) {
        struct json_place entry;
        json_enter_item(&list, item, subscription->pattern_count, &entry);
        if (!cJSON_IsString(item) || !mlt_pattern_valid(mlt_slice_of_string(item->valuestring))) {
            return json_fail(&entry, NULL,
                             "%s%.60s%s is no instrument or pattern: write BTC-USDT, "
                             "BTC-*, *-USDT or *",
                             cJSON_IsString(item) ? "\"" : "",
                             cJSON_IsString(item) ? item->valuestring : "what is there",
                             cJSON_IsString(item) ? "\"" : "");
        }
        char *copy = strdup(item->valuestring);
        if (copy == NULL) {
            return mlt_error_set(at->err, MLT_E_NOMEM, "no memory for a pattern");
        }
        subscription->patterns[subscription->pattern_count++] = copy;
    }
    return MLT_OK;
}

static enum mlt_status parse_subscription(const struct json_place *at, struct mlt_table *table,
                                          size_t *patterns_left)
{
    static const char *const known[] = { "id", "type", "instruments", NULL };
    struct mlt_subscription *subscription = &table->subscriptions[table->subscription_count++];
    enum mlt_status status = json_check_object(at, known);
    if (status == MLT_OK) {
        status = json_string(at, "id", true, subscription->id, MLT_TABLE_TEXT_BYTES_MAX);
    }
    if (status == MLT_OK) {
        status = parse_type(at, subscribed_types, &subscription->type);
    }
    if (status == MLT_OK) {
        status = check_routed(at, table, subscription->type);
    }
    if (status != MLT_OK) {
        return status;
    }
    for (size_t i = 0; i + 1 < table->subscription_count; i++) {
        if (strcmp(table->subscriptions[i].id, subscription->id) == 0) {
            return json_fail(at, "id",
                             "\"%s\" is the id of subscriptions[%zu] already: choose another",
                             subscription->id, i);
        }
    }
    return parse_patterns(at, subscription, patterns_left);
}

/* ---- the document ---- */

static enum mlt_status parse_lists(const struct json_place *root, struct mlt_table *table)
{
    struct json_place list, entry;
    size_t count = 0, i = 0, patterns_left = MLT_TABLE_PATTERNS_MAX;
    json_enter(root, "routes", &list);
    enum mlt_status status = json_array_size(&list, 1, MLT_TABLE_ROUTES_MAX, &count);
    for (const cJSON *item = status == MLT_OK ? list.node->child : NULL;
         item != NULL && status == MLT_OK; item = item->next) {
        json_enter_item(&list, item, i++, &entry);
        status = parse_route(&entry, table);
    }
    json_enter(root, "subscriptions", &list);
    if (status != MLT_OK || list.node == NULL) {
        return status;
    }
    status = json_array_size(&list, 0, MLT_TABLE_SUBSCRIPTIONS_MAX, &count);
    if (status != MLT_OK || count == 0) {
        return status;
    }
    table->subscriptions = calloc(count, sizeof *table->subscriptions);
    if (table->subscriptions == NULL) {
        return mlt_error_set(root->err, MLT_E_NOMEM, "no memory for %zu subscriptions", count);
    }
    i = 0;
    for (const cJSON *item = list.node->child; item != NULL && status == MLT_OK;
         item = item->next) {
        json_enter_item(&list, item, i++, &entry);
        status = parse_subscription(&entry, table, &patterns_left);
    }
    return status;
}

enum mlt_status mlt_table_parse(struct mlt_slice json, struct mlt_table **out,
                                struct mlt_error *err)
{
    static const char *const known[] = { "$schema", "version", "routes", "subscriptions", NULL };
    struct json_place root = { .err = err };
    cJSON *tree = NULL;
    int64_t version = 0;
    if (json.len > MLT_TABLE_FILE_BYTES_MAX) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "is longer than %u bytes: use patterns such as *-USDT",
                             MLT_TABLE_FILE_BYTES_MAX);
    }
    enum mlt_status status = json_parse_document(json, &tree, err);
    if (status != MLT_OK) {
        return status;
    }
    struct mlt_table *table = calloc(1, sizeof *table);
    if (table == NULL) {
        cJSON_Delete(tree);
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the dispatch table");
    }
    root.node = tree;
    status = json_check_object(&root, known);
    if (status == MLT_OK) {
        status = json_integer(&root, "version", true, 1, 1, &version);
    }
    if (status == MLT_OK) {
        status = parse_lists(&root, table);
    }
    cJSON_Delete(tree);
    if (status != MLT_OK) {
        mlt_table_destroy(table);
        return status;
    }
    *out = table;
    return MLT_OK;
}

enum mlt_status mlt_table_load(const char *path, struct mlt_table **out, struct mlt_error *err)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return mlt_error_set(err, MLT_E_CONFIG, "%s: cannot be opened: name a readable file", path);
    }
    uint8_t *bytes = malloc(MLT_TABLE_FILE_BYTES_MAX + 1);
    const size_t len = bytes != NULL ? fread(bytes, 1, MLT_TABLE_FILE_BYTES_MAX + 1, file) : 0;
    const bool failed = ferror(file) != 0;
    (void)fclose(file);
    enum mlt_status status;
    if (bytes == NULL) {
        status = mlt_error_set(err, MLT_E_NOMEM, "no memory to read it");
    } else if (failed) {
        status = mlt_error_set(err, MLT_E_CONFIG, "cannot be read: name a readable file");
    } else {
        status = mlt_table_parse(mlt_slice_of(bytes, len), out, err);
    }
    free(bytes);
    return status == MLT_OK ? MLT_OK : mlt_error_prepend(err, "%s", path);
}
