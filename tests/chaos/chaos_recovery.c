#include "mlt_test.h"

#include "chaos_recovery.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"

const char *const chaos_kind_names[CHAOS_KINDS] = { "kill_adapter",
                                                    "kill_dispatcher",
                                                    "kill_conductor",
                                                    "kill_data_bus",
                                                    "kill_control_bus",
                                                    "kill_nats",
                                                    "shutdown_notice",
                                                    "reset",
                                                    "unheard",
                                                    "close",
                                                    "stall",
                                                    "half_open",
                                                    "silence",
                                                    "mute",
                                                    "unanswered",
                                                    "hollow_acks",
                                                    "listing",
                                                    "drop",
                                                    "duplicate",
                                                    "reorder",
                                                    "delay",
                                                    "cut",
                                                    "shorten",
                                                    "corrupt",
                                                    "stale",
                                                    "slow",
                                                    "fail",
                                                    "busy",
                                                    "truncate",
                                                    "banned",
                                                    "huge",
                                                    "html",
                                                    "wrong_symbol" };

void chaos_recovery_open(struct chaos_recovery *recovery, unsigned symbols)
{
    memset(recovery, 0, sizeof *recovery);
    recovery->symbols = symbols;
    recovery->pending = calloc(CHAOS_PENDING_MAX, sizeof *recovery->pending);
    assert_non_null(recovery->pending);
    for (unsigned i = 0; i < symbols; i++) {
        recovery->of[i].moments = calloc(CHAOS_MOMENTS, sizeof *recovery->of[i].moments);
        recovery->of[i].spans = calloc(CHAOS_SPANS, sizeof *recovery->of[i].spans);
        assert_non_null(recovery->of[i].moments);
        assert_non_null(recovery->of[i].spans);
    }
}

void chaos_recovery_close(struct chaos_recovery *recovery)
{
    for (unsigned i = 0; i < recovery->symbols; i++) {
        free(recovery->of[i].moments);
        free(recovery->of[i].spans);
    }
    free(recovery->pending);
}

void chaos_recovery_live(struct chaos_recovery *recovery, unsigned symbol, int64_t came_ns,
                         int64_t received_ns, int64_t id)
{
    recovery->of[symbol].moments[recovery->of[symbol].moment_count++ % CHAOS_MOMENTS] =
        (struct chaos_moment){ came_ns, received_ns, id };
    recovery->of[symbol].live = true;
}

void chaos_recovery_fault(struct chaos_recovery *recovery, const struct chaos_fault *fault)
{
    struct chaos_recovery *r = recovery;
    r->faults++;
    r->by_kind[fault->kind]++;
    for (unsigned i = 0; i < r->symbols; i++) {
        const bool own = fault->symbol == CHAOS_ALL || fault->symbol == i;
        if (own || fault->felt_by_all) {
            const uint64_t at = r->of[i].span_count++ % CHAOS_SPANS;
            r->of[i].spans[at].begin_ns = fault->begin_ns;
            r->of[i].spans[at].end_ns = fault->end_ns;
            r->of[i].spans[at].kind = fault->kind;
            r->of[i].spans[at].own = own;
        }
    }
    if (r->pending_count == CHAOS_PENDING_MAX) {
        r->forgotten++;
        return;
    }
    r->pending[r->pending_count++] = *fault;
}

/* When one book was LIVE again, and the end of what kept it; false: not yet. */
static bool recovered_one(const struct chaos_recovery *r, const struct chaos_fault *f,
                          unsigned symbol, int64_t *took_ns)
{
    const uint64_t count = r->of[symbol].moment_count;
    const uint64_t from = count > CHAOS_MOMENTS ? count - CHAOS_MOMENTS : 0;
    for (uint64_t m = from; m < count; m++) {
        const struct chaos_moment *at = &r->of[symbol].moments[m % CHAOS_MOMENTS];
        /* Of what came to the Adapter since it began; in the place of time, the id where there is
         * one. */
        if (at->came_ns < f->begin_ns || at->id < f->id ||
            (f->id == 0 && (at->received_ns < f->begin_ns || at->came_ns < f->end_ns))) {
            continue;
        }
        int64_t end_ns = f->end_ns;
        const uint64_t spans = r->of[symbol].span_count;
        for (uint64_t s = spans > CHAOS_SPANS ? spans - CHAOS_SPANS : 0; s < spans; s++) {
            const int64_t begin = r->of[symbol].spans[s % CHAOS_SPANS].begin_ns;
            const int64_t end = r->of[symbol].spans[s % CHAOS_SPANS].end_ns;
            if (begin <= at->came_ns && end > end_ns && end >= f->begin_ns) {
                end_ns = end;
            }
        }
        *took_ns = at->came_ns > end_ns ? at->came_ns - end_ns : 0;
        return true;
    }
    return false;
}

/* Every book that it concerned; took: the slowest. */
static bool recovered(const struct chaos_recovery *r, const struct chaos_fault *f, int64_t *took_ns,
                      unsigned *slowest)
{
    bool all = true;
    *took_ns = 0;
    *slowest = 0;
    for (unsigned i = 0; all && i < r->symbols; i++) {
        int64_t one_ns = 0;
        if (f->symbol != CHAOS_ALL && f->symbol != i) {
            continue;
        }
        all = recovered_one(r, f, i, &one_ns);
        if (one_ns > *took_ns) {
            *took_ns = one_ns;
            *slowest = i;
        }
    }
    return all;
}

/* For whoever looks for the reason: what met that book from a second before on. */
static void say_slow(const struct chaos_recovery *r, const struct chaos_fault *f, unsigned symbol,
                     int64_t took_ns)
{
    (void)fprintf(stderr, "chaos: slow: %s at %" PRId64 ", SYM%04u-USDT, %.0f ms; met by",
                  chaos_kind_names[f->kind], f->begin_ns, symbol + 1,
                  (double)took_ns / MLT_NS_PER_MS);
    const uint64_t spans = r->of[symbol].span_count;
    for (uint64_t s = spans > CHAOS_SPANS ? spans - CHAOS_SPANS : 0; s < spans; s++) {
        const int64_t begin_ns = r->of[symbol].spans[s % CHAOS_SPANS].begin_ns;
        const int64_t end_ns = r->of[symbol].spans[s % CHAOS_SPANS].end_ns;
        if (end_ns >= f->begin_ns - MLT_NS_PER_S &&
            begin_ns <= f->end_ns + took_ns + MLT_NS_PER_S) {
            (void)fprintf(stderr, " %s%s +%.0f..%.0f",
                          r->of[symbol].spans[s % CHAOS_SPANS].own ? "" : "other's ",
                          chaos_kind_names[r->of[symbol].spans[s % CHAOS_SPANS].kind],
                          (double)(begin_ns - f->begin_ns) / MLT_NS_PER_MS,
                          (double)(end_ns - f->begin_ns) / MLT_NS_PER_MS);
        }
    }
    (void)fprintf(stderr, "\n");
}

unsigned chaos_recovery_judge(struct chaos_recovery *recovery)
{
    struct chaos_recovery *r = recovery;
    unsigned left = 0;
    for (unsigned i = 0; i < r->pending_count; i++) {
        const struct chaos_fault f = r->pending[i];
        int64_t took_ns = 0;
        unsigned slowest = 0;
        if (!recovered(r, &f, &took_ns, &slowest)) {
            r->pending[left++] = f;
            continue;
        }
        if (r->slow_ns > 0 && took_ns > r->slow_ns) {
            say_slow(r, &f, slowest, took_ns);
        }
        if (took_ns > r->took.max_ns || r->slowest[0] == '\0') {
            (void)snprintf(r->slowest, sizeof r->slowest,
                           "%s at %" PRId64 ", SYM%04u-USDT: %.1f ms", chaos_kind_names[f.kind],
                           f.begin_ns, slowest + 1, (double)took_ns / MLT_NS_PER_MS);
        }
        mlt_latency_record(&r->took, took_ns);
        mlt_latency_record(&r->took_by_kind[f.kind], took_ns);
    }
    r->pending_count = left;
    return left;
}

bool chaos_recovery_all_live(const struct chaos_recovery *recovery, int64_t came_ns,
                             int64_t received_ns)
{
    for (unsigned i = 0; i < recovery->symbols; i++) {
        const uint64_t count = recovery->of[i].moment_count;
        const struct chaos_moment *last =
            &recovery->of[i].moments[(count + CHAOS_MOMENTS - 1) % CHAOS_MOMENTS];
        if (count == 0 || last->came_ns < came_ns || last->received_ns < received_ns) {
            return false;
        }
    }
    return true;
}
