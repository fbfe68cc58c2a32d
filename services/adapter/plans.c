#include "plans.h"

#include "meltica/base/check.h"

void mlt_plans_init(struct mlt_plans *plans, uint32_t partitions)
{
    MLT_CHECK(partitions >= 1 && partitions <= MLT_SLOT_COUNT);
    *plans = (struct mlt_plans){ .partitions = partitions, .mine = UINT64_MAX };
    for (uint32_t p = 0; p < MLT_SLOT_COUNT; p++) {
        mlt_buf_init(&plans->parts[p].bytes, MLT_PLAN_BYTES_MAX);
    }
}

void mlt_plans_fini(struct mlt_plans *plans)
{
    for (uint32_t p = 0; p < MLT_SLOT_COUNT; p++) {
        mlt_buf_fini(&plans->parts[p].bytes);
    }
}

void mlt_plan_free(Meltica__V1__NativePlan *plan)
{
    if (plan != NULL) {
        meltica__v1__native_plan__free_unpacked(plan, NULL);
    }
}

static bool knows_boot(const struct mlt_plans *plans, uint64_t boot)
{
    for (unsigned i = 0; i < MLT_PLAN_BOOTS_MAX; i++) {
        if (plans->boots[i] == boot) {
            return true;
        }
    }
    return false;
}

enum mlt_status mlt_plans_read(struct mlt_plans *plans, struct mlt_slice bytes,
                               Meltica__V1__NativePlan **plan, bool *new_boot)
{
    if (bytes.len > MLT_PLAN_BYTES_MAX) {
        return MLT_E_TOO_BIG;
    }
    Meltica__V1__NativePlan *read = meltica__v1__native_plan__unpack(NULL, bytes.len, bytes.data);
    if (read == NULL) {
        return MLT_E_PARSE;
    }
    enum mlt_status status = MLT_OK;
    plans->asked = read->partition;
    if (read->partition >= plans->partitions || read->boot == 0) {
        status = MLT_E_RANGE;
    } else if ((plans->mine >> read->partition & 1) == 0) {
        status = MLT_E_NOT_FOUND;
    } else {
        const struct mlt_plan_part *part = &plans->parts[read->partition];
        /* One that slept speaks before it learns that another one took over. Who has no claim is
         * alone. */
        const bool replaced = read->epoch != 0 && read->epoch < plans->epoch;
        if (replaced ||
            (part->known && part->boot == read->boot && read->revision < part->revision)) {
            status = MLT_E_CONFLICT;
        }
    }
    if (status != MLT_OK) {
        mlt_plan_free(read);
        return status;
    }
    *new_boot = !knows_boot(plans, read->boot);
    *plan = read;
    return MLT_OK;
}

enum mlt_status mlt_plans_keep(struct mlt_plans *plans, const Meltica__V1__NativePlan *plan,
                               struct mlt_slice bytes)
{
    struct mlt_plan_part *part = &plans->parts[plan->partition];
    mlt_buf_clear(&part->bytes);
    part->known = false;
    const enum mlt_status status = mlt_buf_append(&part->bytes, bytes.data, bytes.len);
    if (status != MLT_OK) {
        return status;
    }
    part->known = true;
    part->revision = plan->revision;
    part->boot = plan->boot;
    plans->epoch = plan->epoch > plans->epoch ? plan->epoch : plans->epoch;
    if (!knows_boot(plans, plan->boot)) {
        plans->boots[plans->boots_next] = plan->boot;
        plans->boots_next = (plans->boots_next + 1) % MLT_PLAN_BOOTS_MAX;
    }
    return MLT_OK;
}

Meltica__V1__NativePlan *mlt_plans_of(const struct mlt_plans *plans, uint32_t partition)
{
    const struct mlt_plan_part *part = &plans->parts[partition];
    return part->known ? meltica__v1__native_plan__unpack(NULL, part->bytes.len, part->bytes.data)
                       : NULL;
}

uint64_t mlt_plans_revision(const struct mlt_plans *plans, uint64_t partitions,
                            uint64_t *dispatcher)
{
    uint64_t lowest = UINT64_MAX;
    *dispatcher = 0;
    for (uint32_t p = 0; p < plans->partitions; p++) {
        const struct mlt_plan_part *part = &plans->parts[p];
        if ((plans->mine & partitions & UINT64_C(1) << p) == 0) {
            continue;
        }
        if (!part->known || (*dispatcher != 0 && *dispatcher != part->boot)) {
            *dispatcher = 0;
            return 0;
        }
        *dispatcher = part->boot;
        lowest = part->revision < lowest ? part->revision : lowest;
    }
    return *dispatcher != 0 ? lowest : 0;
}
