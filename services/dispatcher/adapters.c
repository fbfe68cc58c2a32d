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

static bool has(const struct mlt_adapter *adapter, uint32_t partition)
{
    return adapter->partitions == 0 || (adapter->partitions >> partition & 1) != 0;
}

void mlt_adapters_silent(struct mlt_adapters *adapters, uint32_t partition, int64_t at_ns)
{
    for (size_t i = 0; i < adapters->count; i++) {
        struct mlt_adapter *adapter = &adapters->items[i];
        if (has(adapter, partition) && adapter->heard_ns <= at_ns) {
            adapter->silent = true;
        }
    }
}

uint64_t mlt_adapters_away(const struct mlt_adapters *adapters, uint32_t partitions, bool silent,
                           int64_t now_ns)
{
    uint64_t there = 0;
    for (size_t i = 0; i < adapters->count; i++) {
        const struct mlt_adapter *adapter = &adapters->items[i];
        if (is_live(adapter, now_ns) && !(silent && adapter->silent)) {
            there |= adapter->partitions != 0 ? adapter->partitions : UINT64_MAX;
        }
    }
    const uint64_t all = partitions < 64 ? (UINT64_C(1) << partitions) - 1 : UINT64_MAX;
    return there == 0 ? 0 : all & ~there;
}
