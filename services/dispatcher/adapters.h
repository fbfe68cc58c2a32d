/* Adapters as their PlanStatus shows them: which of them has which revision of the plan. Pure; the
 * caller locks. */
#ifndef MELTICA_DISPATCHER_ADAPTERS_H
#define MELTICA_DISPATCHER_ADAPTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meltica/base/clock.h"

#define MLT_ADAPTERS_MAX 16u /* instances; beyond, the one heard least recently makes room */
#define MLT_ADAPTER_AWAY_NS (5 * MLT_NS_PER_S) /* they speak each second */
#define MLT_ADAPTER_INSTANCE_BYTES_MAX 63u

struct mlt_adapter {
    char instance[MLT_ADAPTER_INSTANCE_BYTES_MAX + 1];
    uint64_t boot, revision;
    int64_t heard_ns; /* monotonic */
    uint32_t topics_pending, topics_live, topics_failed;
};

struct mlt_adapters {
    size_t count;
    struct mlt_adapter items[MLT_ADAPTERS_MAX];
};

/* What an instance said; another boot of it replaces the one before. True when it is a boot not
 * known before. */
bool mlt_adapters_heard(struct mlt_adapters *adapters, const struct mlt_adapter *said);

/* Those that were heard lately. */
size_t mlt_adapters_live(const struct mlt_adapters *adapters, int64_t now_ns);

#endif
