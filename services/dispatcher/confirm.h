/* Whether Adapters have brought what a subscription asks for, by their PlanStatus. Pure; the caller
 * locks. */
#ifndef MELTICA_DISPATCHER_CONFIRM_H
#define MELTICA_DISPATCHER_CONFIRM_H

#include "adapters.h"
#include "live.h"

#define MLT_CONFIRM_PROBLEMS_MAX 100u

struct mlt_confirm {
    uint32_t partitions; /* 0: any Adapter has all */
    uint64_t boot;       /* of this Dispatcher: revisions of another one's plans are no order */
    size_t count;
    struct {
        Meltica__V1__PlanStatus *status;
        int64_t heard_ns; /* monotonic */
        bool over;        /* others speak for all that it spoke for */
    } adapters[MLT_ADAPTERS_MAX];
};

void mlt_confirm_fini(struct mlt_confirm *confirm);
/* What an Adapter said last; status is taken over. Of a partition that another one says it speaks
 * for (hot standby) that one's word counts from then on. */
void mlt_confirm_heard(struct mlt_confirm *confirm, Meltica__V1__PlanStatus *status,
                       int64_t now_ns);

struct mlt_confirm_problem {
    uint32_t route;
    char instrument[MLT_INSTRUMENT_BYTES_MAX + 1], state[16], reason[64];
};

struct mlt_confirm_answer {
    enum mlt_live_state state;
    const char *reason; /* static; "" when CONFIRMED */
    uint32_t pending, failed;
    size_t problem_count;
    struct mlt_confirm_problem problems[MLT_CONFIRM_PROBLEMS_MAX];
};

/* CONFIRMED: those Adapters that live have the partitions of the subscription's instruments, each a
 * plan of this Dispatcher of at least this revision, and of the subscription's topics all are
 * acknowledged (LIVE or SILENT). FAILED: one of them is; but what the exchange does not list any
 * more fails only whoever named it, not a pattern. NULL for a subscription that ended: only
 * the plan matters. */
void mlt_confirm_judge(const struct mlt_confirm *confirm, const struct mlt_table *table,
                       const struct mlt_subscription *subscription, uint64_t revision,
                       int64_t now_ns, struct mlt_confirm_answer *out);

#endif
