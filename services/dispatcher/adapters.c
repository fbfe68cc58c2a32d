#include "adapters.h"

#include <string.h>

bool mlt_adapters_heard(struct mlt_adapters *adapters, const struct mlt_adapter *said)
{
    struct mlt_adapter *place = NULL, *oldest = &adapters->items[0];
    for (size_t i = 0; i < adapters->count && place == NULL; i++) {
        if (strcmp(adapters->items[i].instance, said->instance) == 0) {
            place = &adapters->items[i];
        } else if (adapters->items[i].heard_ns < oldest->heard_ns) {
            oldest = &adapters->items[i];
        }
    }
    const bool known = place != NULL && place->boot == said->boot;
    if (place == NULL) {
        place = adapters->count < MLT_ADAPTERS_MAX ? &adapters->items[adapters->count++] : oldest;
    }
    *place = *said;
    return !known;
}

static bool is_live(const struct mlt_adapter *adapter, int64_t now_ns)
{
    return now_ns - adapter->heard_ns < MLT_ADAPTER_AWAY_NS;
}

size_t mlt_adapters_live(const struct mlt_adapters *adapters, int64_t now_ns)
{
    size_t live = 0;
    for (size_t i = 0; i < adapters->count; i++) {
        live += is_live(&adapters->items[i], now_ns);
    }
    return live;
}
