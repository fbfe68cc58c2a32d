#include "mlt_test.h"

#include "chaos_script.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"

#define FAULTS_PAGE 1000u

bool chaos_tell(const struct chaos_group *group, const char *target)
{
    struct mlt_buf body;
    mlt_buf_init(&body, 1u << 20);
    const bool done = mlt_stack_try_get(group->stack, "exchange", target, &body);
    mlt_buf_fini(&body);
    if (!done) {
        (void)fprintf(stderr, "chaos: the exchange does not do %s\n", target);
    }
    return done;
}

/* ---- what it is told ---- */

static size_t put(char *target, size_t len, const char *what)
{
    return len + (size_t)snprintf(target + len, CHAOS_SCRIPT_BYTES - len, "%s", what);
}

/* A line that is cut is every stream's, so depth's share of it is enough. */
static size_t put_kinds(const struct chaos_plan *plan, char *target, size_t len)
{
    static const char flows[] = "@trade/aggTrade/bookTicker";
    const bool all = plan->only >> CHAOS_SCRIPT_KINDS == 0;
    if (all) {
        return put(target, put(target, len, "all,all"), flows);
    }
    for (unsigned k = CHAOS_SCRIPT_KINDS; k < CHAOS_KINDS; k++) {
        const enum chaos_kind kind = (enum chaos_kind)k;
        if (!chaos_plan_has(plan, kind)) {
            continue;
        }
        len = target[len - 1] == '=' ? len : put(target, len, ",");
        len = put(target, len, chaos_kind_names[k]);
        if (chaos_kind_of_flow(kind)) {
            len = put(target, put(target, put(target, len, ","), chaos_kind_names[k]), flows);
        }
    }
    return len;
}

static uint64_t of_a_million(uint64_t faults_per_minute, uint64_t frames_per_minute)
{
    const uint64_t million = faults_per_minute * 1000000 / frames_per_minute;
    return faults_per_minute == 0 ? 0 : million < 1 ? 1 : million < 500000 ? million : 500000;
}

void chaos_script_target(const struct chaos_plan *plan, char target[CHAOS_SCRIPT_BYTES])
{
    size_t len = put(target, 0, "/sim/script?faults=");
    /* At no rate it does not matter which, but there has to be one. */
    len = plan->faults_per_minute > 0 ? put_kinds(plan, target, len) : put(target, len, "all");
    /* Each symbol has ten depth frames a second; what else there is of trades and quotes is about
     * five frames where --rate has four, since aggregates are not among its frames. */
    (void)snprintf(target + len, CHAOS_SCRIPT_BYTES - len,
                   "&seed=%" PRIu64 "&rate=%" PRIu64 "&flow-rate=%" PRIu64 "&snapshot-rate=%u",
                   (plan->seed + 1) & INT64_MAX,
                   of_a_million(plan->faults_per_minute, 600 * (uint64_t)plan->symbols),
                   of_a_million(plan->faults_per_minute, 75 * (uint64_t)plan->rate),
                   plan->faults_per_minute > 0 ? 100 : 0);
}

void chaos_script_begin(const struct chaos_group *group)
{
    char target[CHAOS_SCRIPT_BYTES];
    chaos_script_target(group->result->plan, target);
    (void)chaos_tell(group, target);
}

/* ---- what it did ---- */

static int64_t fault_end_ns(enum chaos_kind kind, int64_t begin_ns, int64_t extent)
{
    switch (kind) {
    case CHAOS_REORDER:
    case CHAOS_DELAY: /* depth is each 100 ms */
        return begin_ns + (extent + 1) * 100 * MLT_NS_PER_MS;
    case CHAOS_SLOW:
        return begin_ns + extent * MLT_NS_PER_MS;
    case CHAOS_BUSY:
    case CHAOS_BANNED:
        return begin_ns + extent * MLT_NS_PER_S;
    default:
        return begin_ns;
    }
}

static const char *text_of(const cJSON *of, const char *member)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(of, member));
    assert_non_null(text);
    return text;
}

static int64_t number_of(const cJSON *of, const char *member)
{
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(of, member);
    assert_true(cJSON_IsNumber(number));
    return (int64_t)number->valuedouble; /* below 2^53 */
}

static void count_flow(struct chaos_result *result, const char *stream, enum chaos_kind kind)
{
    unsigned flow = 0;
    while (flow < CHAOS_FLOWS && strcmp(stream, chaos_flow_names[flow]) != 0) {
        flow++;
    }
    assert_true(flow < CHAOS_FLOWS);
    result->flow_faults[flow][kind]++;
}

static void take_fault(struct chaos_group *group, const cJSON *one)
{
    struct chaos_fault fault = { .kind = CHAOS_KINDS };
    const char *kind = text_of(one, "kind"), *stream = text_of(one, "stream");
    for (unsigned k = CHAOS_SCRIPT_KINDS; k < CHAOS_KINDS; k++) {
        fault.kind = strcmp(kind, chaos_kind_names[k]) == 0 ? (enum chaos_kind)k : fault.kind;
    }
    assert_true(fault.kind < CHAOS_KINDS);
    if (!chaos_symbol_of(mlt_slice_of_string(text_of(one, "symbol")), group->symbols,
                         &fault.symbol)) {
        return; /* of the visitor: nobody waits for its book */
    }
    fault.begin_ns = strtoll(text_of(one, "time"), NULL, 10);
    const int64_t bytes = number_of(one, "bytes");
    if (bytes > 0) {
        chaos_group_damaged(group, fault.begin_ns, (uint64_t)bytes);
    }
    if (strcmp(stream, "depth") != 0) { /* no book stops for it: the ledgers judge what came */
        count_flow(group->result, stream, fault.kind);
        return;
    }
    fault.end_ns = fault_end_ns(fault.kind, fault.begin_ns, number_of(one, "extent"));
    /* No usable answer, and the Adapter waits with all its calls. */
    fault.felt_by_all = fault.kind == CHAOS_BUSY || fault.kind == CHAOS_FAIL ||
                        fault.kind == CHAOS_TRUNCATE || fault.kind == CHAOS_BANNED ||
                        fault.kind == CHAOS_HUGE || fault.kind == CHAOS_HTML;
    if (fault.kind == CHAOS_CUT) {
        fault.symbol = CHAOS_ALL; /* the line has them all */
    } else {
        fault.id = number_of(one, "last");
    }
    chaos_group_fault(group, &fault);
}

void chaos_script_read(struct chaos_group *group)
{
    bool more = true;
    while (more) {
        char target[64];
        struct mlt_buf body;
        (void)snprintf(target, sizeof target, "/sim/faults?from=%u&limit=%u", group->next_fault,
                       FAULTS_PAGE);
        mlt_buf_init(&body, 4u << 20);
        cJSON *page = mlt_stack_try_get(group->stack, "exchange", target, &body)
                          ? cJSON_ParseWithLength((const char *)body.data, body.len)
                          : NULL;
        mlt_buf_fini(&body);
        const cJSON *one, *faults = cJSON_GetObjectItemCaseSensitive(page, "faults");
        cJSON_ArrayForEach(one, faults)
        {
            take_fault(group, one);
            group->next_fault++;
        }
        more = cJSON_GetArraySize(faults) == (int)FAULTS_PAGE;
        cJSON_Delete(page);
    }
}
