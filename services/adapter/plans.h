/*
 * The plan parts that are in force, one a partition: which is newer, and what was sent, to be read
 * again when the listing changes. Pure. One thread.
 */
#ifndef MELTICA_ADAPTER_PLANS_H
#define MELTICA_ADAPTER_PLANS_H

#include "meltica/base/buf.h"
#include "meltica/event/event.h"
#include "meltica/v1/internal.pb-c.h"

#define MLT_PLAN_BYTES_MAX (1u << 20)
#define MLT_PLAN_BOOTS_MAX 8u /* Dispatcher boots remembered */

struct mlt_plan_part {
    bool known;
    uint64_t revision, boot;
    struct mlt_buf bytes;
};

struct mlt_plans {
    uint32_t partitions;
    uint64_t mine; /* bit p: partition p is this Adapter's; all after init */
    struct mlt_plan_part parts[MLT_SLOT_COUNT];
    uint64_t boots[MLT_PLAN_BOOTS_MAX]; /* ring, newest overwritten last */
    unsigned boots_next;
    uint64_t epoch; /* the highest of a Dispatcher's claim */
    uint32_t asked; /* partition of the part that was read last, taken or not */
};

void mlt_plans_init(struct mlt_plans *plans, uint32_t partitions);
void mlt_plans_fini(struct mlt_plans *plans);

/* Reads one NativePlan. OK: it is the newest of its partition; *plan (caller frees with
 * mlt_plan_free) and *new_boot: its Dispatcher was not seen before. E_PARSE, E_RANGE (partition, or
 * no boot), E_NOT_FOUND (another Adapter's partition), E_CONFLICT (a lower revision of the same
 * Dispatcher; or it has a claim, and another one a higher one), E_TOO_BIG. Nothing is kept:
 * mlt_plans_keep does that once it was applied. */
enum mlt_status mlt_plans_read(struct mlt_plans *plans, struct mlt_slice bytes,
                               Meltica__V1__NativePlan **plan, bool *new_boot) MLT_MUST_CHECK;
/* It is in force from here on. E_NOMEM, E_TOO_BIG. */
enum mlt_status mlt_plans_keep(struct mlt_plans *plans, const Meltica__V1__NativePlan *plan,
                               struct mlt_slice bytes) MLT_MUST_CHECK;
/* What is in force in a partition; NULL: nothing. Caller frees with mlt_plan_free. */
Meltica__V1__NativePlan *mlt_plans_of(const struct mlt_plans *plans, uint32_t partition);
void mlt_plan_free(Meltica__V1__NativePlan *plan);

/* Lowest revision over these of its partitions (bit p), and the boot of the Dispatcher that they
 * are of; both 0 while one has none, they are of several Dispatchers, whose revisions are no order,
 * or there are no such partitions. */
uint64_t mlt_plans_revision(const struct mlt_plans *plans, uint64_t partitions,
                            uint64_t *dispatcher);

#endif
