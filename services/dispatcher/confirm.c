#include "confirm.h"

#include <stdio.h>
#include <string.h>

static void free_status(Meltica__V1__PlanStatus *status)
{
    if (status != NULL) {
        meltica__v1__plan_status__free_unpacked(status, NULL);
    }
}

void mlt_confirm_fini(struct mlt_confirm *confirm)
{
    for (size_t i = 0; i < confirm->count; i++) {
        free_status(confirm->adapters[i].status);
    }
    confirm->count = 0;
}

/* Those that spoke before for what `said` speaks for now. One that names none speaks for all, and
 * takes none from others. */
static void pass_on(struct mlt_confirm *confirm, const Meltica__V1__PlanStatus *said)
{
    for (size_t i = 0; i < confirm->count; i++) {
        Meltica__V1__PlanStatus *status = confirm->adapters[i].status;
        if (status != said && status->partitions != 0) {
            status->partitions &= ~said->partitions;
            confirm->adapters[i].over = confirm->adapters[i].over || status->partitions == 0;
        }
    }
}

void mlt_confirm_heard(struct mlt_confirm *confirm, Meltica__V1__PlanStatus *status, int64_t now_ns)
{
    size_t at = 0, oldest = 0;
    while (at < confirm->count &&
           strcmp(confirm->adapters[at].status->instance, status->instance) != 0) {
        oldest = confirm->adapters[at].heard_ns < confirm->adapters[oldest].heard_ns ? at : oldest;
        at++;
    }
    if (at == MLT_ADAPTERS_MAX) {
        at = oldest;
    }
    if (at == confirm->count) {
        confirm->adapters[confirm->count++].status = NULL;
    }
    free_status(confirm->adapters[at].status);
    confirm->adapters[at].status = status;
    confirm->adapters[at].heard_ns = now_ns;
    confirm->adapters[at].over = false;
    pass_on(confirm, status);
}

static bool concerns(const struct mlt_table *table, const struct mlt_subscription *subscription,
                     const Meltica__V1__PlanStatus__Topic *topic)
{
    if (topic->route == 0 || topic->route > table->route_count) {
        return false;
    }
    const struct mlt_route *route = &table->routes[topic->route - 1];
    if ((mlt_table_sources_of(subscription->type) & UINT32_C(1) << route->type) == 0) {
        return false;
    }
    /* What a pattern matched once and the exchange took off its list since: nobody asked for it by
     * name, and the pattern is none the worse. */
    const bool gone = strcmp(topic->reason, "unknown_symbol") == 0;
    const struct mlt_slice token = mlt_slice_of_string(topic->instrument);
    for (size_t i = 0; i < subscription->pattern_count; i++) {
        const struct mlt_slice pattern = mlt_slice_of_string(subscription->patterns[i]);
        if (mlt_slice_equal(pattern, token) ||
            (!gone && mlt_pattern_wild(pattern) && mlt_pattern_match(pattern, token))) {
            return true;
        }
    }
    return topic->instrument[0] == '\0'; /* the route itself is of no use to the Adapter */
}

/* True when the list of problems may lack a topic that is still pending, or one that failed. */
static bool judge_topics(const Meltica__V1__PlanStatus *status, const struct mlt_table *table,
                         const struct mlt_subscription *subscription,
                         struct mlt_confirm_answer *out)
{
    uint32_t pending = 0, failed = 0;
    for (size_t i = 0; i < status->n_problems; i++) {
        const Meltica__V1__PlanStatus__Topic *topic = status->problems[i];
        const bool is_pending = strcmp(topic->state, "PENDING") == 0;
        const bool is_failed = strcmp(topic->state, "FAILED") == 0;
        pending += is_pending;
        failed += is_failed;
        if ((!is_pending && !is_failed) || !concerns(table, subscription, topic)) {
            continue;
        }
        out->pending += is_pending;
        out->failed += is_failed;
        if (out->problem_count < MLT_CONFIRM_PROBLEMS_MAX) {
            struct mlt_confirm_problem *problem = &out->problems[out->problem_count++];
            problem->route = topic->route;
            (void)snprintf(problem->instrument, sizeof problem->instrument, "%s",
                           topic->instrument);
            (void)snprintf(problem->state, sizeof problem->state, "%s", topic->state);
            (void)snprintf(problem->reason, sizeof problem->reason, "%s", topic->reason);
        }
    }
    return pending < status->topics_pending || failed < status->topics_failed;
}

/* Partitions that somebody must bring; a pattern may match in any. */
static uint64_t partitions_of(uint32_t partitions, const struct mlt_subscription *subscription)
{
    uint64_t needed = 0;
    for (size_t i = 0; partitions > 0 && i < subscription->pattern_count; i++) {
        const struct mlt_slice pattern = mlt_slice_of_string(subscription->patterns[i]);
        needed |= mlt_pattern_wild(pattern)
                      ? UINT64_MAX >> (MLT_SLOT_COUNT - partitions)
                      : UINT64_C(1) << mlt_instrument_slot(pattern) % partitions;
    }
    return needed;
}

/* Ours: the Dispatcher before, whose clock may have been ahead, counted from above. An Adapter that
 * does not say whose plan it has is older than this word. */
static bool has_plan(const struct mlt_confirm *confirm, const Meltica__V1__PlanStatus *status,
                     uint64_t revision)
{
    const bool ours = status->dispatcher == 0 || status->dispatcher == confirm->boot;
    return ours && status->applied && status->revision >= revision;
}

void mlt_confirm_judge(const struct mlt_confirm *confirm, const struct mlt_table *table,
                       const struct mlt_subscription *subscription, uint64_t revision,
                       int64_t now_ns, struct mlt_confirm_answer *out)
{
    size_t live = 0;
    bool planned = true, hidden = false;
    uint64_t there = 0;
    out->state = MLT_LIVE_PENDING;
    out->reason = "";
    out->pending = out->failed = 0;
    out->problem_count = 0;
    for (size_t i = 0; i < confirm->count; i++) {
        const Meltica__V1__PlanStatus *status = confirm->adapters[i].status;
        if (confirm->adapters[i].over ||
            now_ns - confirm->adapters[i].heard_ns >= MLT_ADAPTER_AWAY_NS) {
            continue;
        }
        live++;
        there |= status->partitions != 0 ? status->partitions : UINT64_MAX;
        if (!has_plan(confirm, status, revision)) {
            planned = false;
        } else if (subscription != NULL) {
            hidden = judge_topics(status, table, subscription, out) || hidden;
        }
    }
    if (live == 0) {
        out->reason = "no Adapter is there";
    } else if (out->failed > 0) {
        out->state = MLT_LIVE_FAILED;
        out->reason = "the exchange refused a topic";
    } else if (subscription != NULL &&
               (partitions_of(confirm->partitions, subscription) & ~there) != 0) {
        out->reason = "the Adapter of some of its instruments is not there";
    } else if (!planned) {
        out->reason = "an Adapter has not taken the plan yet";
    } else if (out->pending > 0 || hidden) {
        out->reason = "the exchange has not acknowledged every topic yet, or more failed than "
                      "the Adapter names";
    } else {
        out->state = MLT_LIVE_CONFIRMED;
    }
}
