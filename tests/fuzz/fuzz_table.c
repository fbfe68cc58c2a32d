/* A dispatch table from outside: refused with words, or within every limit that table.h names and
 * free of contradictions. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "meltica/base/check.h"
#include "table.h"

static void check_policies(const struct mlt_route *route)
{
    char text[MLT_TABLE_POLICY_BYTES_MAX];
    size_t count = 0;
    while (mlt_table_policy_text(route, count, text, sizeof text)) {
        MLT_CHECK(text[0] != '\0' && strlen(text) < sizeof text);
        count++;
    }
    size_t expected = route->filter_count + route->enrich_notional;
    for (unsigned d = 0; d < MLT_DISCARD_COUNT; d++) {
        expected += (route->discards >> d & 1) != 0;
    }
    MLT_CHECK(count == expected && route->discards >> MLT_DISCARD_COUNT == 0);
    for (size_t i = 0; i < route->filter_count; i++) {
        const struct mlt_filter *filter = &route->filters[i];
        MLT_CHECK(filter->op < MLT_EVENT_OP_COUNT);
        MLT_CHECK(mlt_event_field_find(route->type, mlt_slice_of_string(filter->field->name)) ==
                  filter->field);
        MLT_CHECK(filter->field->kind == MLT_EVENT_FIELD_NUMBER || filter->op < MLT_EVENT_OP_LT);
    }
}

static void check_route(const struct mlt_table *table, const struct mlt_route *route)
{
    MLT_CHECK(route->type > 0 && route->type < MLT_EVENT_TYPE_COUNT);
    MLT_CHECK(route->ws_topic[0] != '\0' || route->rest_function[0] != '\0');
    MLT_CHECK(strlen(route->ws_topic) <= MLT_TABLE_TOPIC_BYTES_MAX);
    MLT_CHECK(route->ws_topic[0] == '\0' || strncmp(route->ws_topic, "{symbol}@", 9) == 0);
    MLT_CHECK(strpbrk(route->ws_topic + (route->ws_topic[0] != '\0' ? 8 : 0), "{} \"\\") == NULL);
    MLT_CHECK(route->rest_interval_ms == 0 ||
              (route->rest_interval_ms >= MLT_TABLE_REST_INTERVAL_MS_MIN &&
               route->rest_interval_ms <= MLT_TABLE_REST_INTERVAL_MS_MAX));
    MLT_CHECK(route->rest_limit <= MLT_TABLE_REST_LIMIT_MAX);
    MLT_CHECK(route->rest_function[0] != '\0' ||
              (route->rest_interval_ms == 0 && route->rest_limit == 0));
    MLT_CHECK((route->type == MLT_EVENT_KLINE) == (route->interval[0] != '\0'));
    MLT_CHECK(route->stale_after_ns >= 0 &&
              route->stale_after_ns <= (int64_t)MLT_TABLE_AGE_MS_MAX * 1000000);
    MLT_CHECK(mlt_table_route(table, route->type, mlt_slice_of_string(route->interval)) == route);
    check_policies(route);
}

static void check_subscription(const struct mlt_table *table, size_t index)
{
    const struct mlt_subscription *s = &table->subscriptions[index];
    MLT_CHECK(s->id[0] != '\0' && s->pattern_count > 0);
    for (size_t i = 0; i < index; i++) {
        MLT_CHECK(strcmp(table->subscriptions[i].id, s->id) != 0);
    }
    for (int type = 1; type < MLT_EVENT_TYPE_COUNT; type++) {
        MLT_CHECK((mlt_table_sources_of(s->type) >> type & 1) == 0 ||
                  table->first_of_type[type] != NULL);
    }
    for (size_t i = 0; i < s->pattern_count; i++) {
        const struct mlt_slice pattern = mlt_slice_of_string(s->patterns[i]);
        MLT_CHECK(mlt_pattern_valid(pattern));
        MLT_CHECK(mlt_pattern_wild(pattern) == (strchr(s->patterns[i], '*') != NULL));
        MLT_CHECK(mlt_pattern_wild(pattern) || mlt_pattern_match(pattern, pattern));
    }
}

static void check_table(const struct mlt_table *table)
{
    size_t chained = 0, patterns = 0;
    MLT_CHECK(table->route_count > 0 && table->route_count <= MLT_TABLE_ROUTES_MAX);
    MLT_CHECK(table->subscription_count <= MLT_TABLE_SUBSCRIPTIONS_MAX);
    for (size_t i = 0; i < table->route_count; i++) {
        MLT_CHECK(table->routes[i].number == i + 1);
        check_route(table, &table->routes[i]);
    }
    for (int type = 0; type < MLT_EVENT_TYPE_COUNT; type++) {
        for (const struct mlt_route *r = table->first_of_type[type]; r != NULL;
             r = r->next_of_type) {
            MLT_CHECK((int)r->type == type && ++chained <= table->route_count);
        }
    }
    MLT_CHECK(chained == table->route_count);
    for (size_t i = 0; i < table->subscription_count; i++) {
        check_subscription(table, i);
        patterns += table->subscriptions[i].pattern_count;
    }
    MLT_CHECK(patterns <= MLT_TABLE_PATTERNS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mlt_table *table = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const enum mlt_status status = mlt_table_parse(mlt_slice_of(data, size), &table, &err);
    if (status == MLT_OK) {
        check_table(table);
        mlt_table_destroy(table);
    } else {
        MLT_CHECK(status == MLT_E_CONFIG && err.text[0] != '\0' && table == NULL);
    }
    return 0;
}
