/* Adapters as their PlanStatus shows them: which of them has which revision of the plan. Pure; the
 * caller locks. */
#ifndef MELTICA_DISPATCHER_ADAPTERS_H
#define MELTICA_DISPATCHER_ADAPTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meltica/base/clock.h"

#define MLT_ADAPTERS_MAX 64u /* instances; beyond, the one heard least recently makes room */
#define MLT_ADAPTER_AWAY_NS (5 * MLT_NS_PER_S) /* they speak each second */
#define MLT_ADAPTER_INSTANCE_BYTES_MAX 63u

struct mlt_adapter {
    char instance[MLT_ADAPTER_INSTANCE_BYTES_MAX + 1];
    uint64_t boot, revision;
    int64_t heard_ns; /* monotonic */
    uint32_t topics_pending, topics_live, topics_failed;
    uint64_t partitions; /* bit p: partition p is its; 0: all are */
    bool silent;         /* it left a request without an answer, and was not heard since */
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

/* A request for this partition, made at at_ns, was not answered: whoever has it and was not heard
 * since is silent until it is. */
void mlt_adapters_silent(struct mlt_adapters *adapters, uint32_t partition, int64_t at_ns);
/* Bit p: no Adapter that was heard lately has partition p, of which there are so many; with
 * `silent` also those whose Adapter is. 0 while no Adapter at all is there: then the bus says so at
 * once. */
uint64_t mlt_adapters_away(const struct mlt_adapters *adapters, uint32_t partitions, bool silent,
                           int64_t now_ns);

#endif
