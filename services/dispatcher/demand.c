#include "demand.h"

static const struct mlt_route *snapshot_route(const struct mlt_table *table)
{
    for (size_t i = 0; i < table->route_count; i++) {
        const struct mlt_route *route = &table->routes[i];
        if (route->type == MLT_EVENT_BOOK_SNAPSHOT && route->rest_function[0] != '\0') {
            return route;
        }
    }
    return NULL;
}

const char *mlt_demand_of(const struct mlt_table *table, const struct mlt_catalogue *catalogue,
                          struct mlt_slice instrument, uint32_t depth, struct mlt_demand *demand)
{
    const uint32_t book = UINT32_C(1) << MLT_EVENT_BOOK_DELTA | UINT32_C(1)
                                                                    << MLT_EVENT_BOOK_SNAPSHOT;
    bool known = false;
    const uint32_t types = mlt_catalogue_types(catalogue, instrument, &known);
    if (!known) {
        return "unknown_instrument";
    }
    const struct mlt_route *route = snapshot_route(table);
    if (route == NULL) {
        return "no_route";
    }
    if ((types & book) == 0) {
        return "not_subscribed";
    }
    demand->route = route;
    demand->limit = depth > 0 ? depth : route->rest_limit;
    return "";
}
