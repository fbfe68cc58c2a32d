#include "demand.h"

#define TYPE_BIT(name) (UINT32_C(1) << MLT_EVENT_##name)

static const struct mlt_route *rest_route(const struct mlt_table *table, enum mlt_event_type type)
{
    for (size_t i = 0; i < table->route_count; i++) {
        const struct mlt_route *route = &table->routes[i];
        if (route->type == type && route->rest_function[0] != '\0') {
            return route;
        }
    }
    return NULL;
}

static bool sensible(const struct mlt_want *want)
{
    return want->type == MLT_EVENT_NONE ||
           ((want->type == MLT_EVENT_TRADE || want->type == MLT_EVENT_AGG_TRADE) &&
            want->first >= 0 && want->last >= want->first &&
            want->last - want->first < (int64_t)MLT_TRADES_PAGE_MAX);
}

const char *mlt_demand_of(const struct mlt_table *table, const struct mlt_catalogue *catalogue,
                          struct mlt_slice instrument, const struct mlt_want *want,
                          struct mlt_demand *demand)
{
    const bool snapshot = want->type == MLT_EVENT_NONE;
    bool known = false;
    if (!sensible(want)) {
        return "parse";
    }
    const uint32_t types = mlt_catalogue_types(catalogue, instrument, &known);
    if (!known) {
        return "unknown_instrument";
    }
    const struct mlt_route *route =
        rest_route(table, snapshot ? MLT_EVENT_BOOK_SNAPSHOT : want->type);
    if (route == NULL) {
        return "no_route";
    }
    const uint32_t taken =
        snapshot ? TYPE_BIT(BOOK_DELTA) | TYPE_BIT(BOOK_SNAPSHOT) : UINT32_C(1) << want->type;
    if ((types & taken) == 0) {
        return "not_subscribed";
    }
    demand->route = route;
    demand->from = snapshot ? 0 : want->first;
    if (snapshot) {
        demand->limit = want->depth > 0 ? want->depth : route->rest_limit;
    } else {
        demand->limit = (uint32_t)(want->last - want->first + 1);
    }
    return "";
}
