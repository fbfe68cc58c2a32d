#include "exhaust.h"

#include "alloc_fail.h"
#include "mlt_test.h"

#define ALLOCATIONS_MAX 5000u

/* STRICT: what failed says so, and leaves nothing. TOLERANT: success is right, too. FOREIGN: that,
 * and something may be left. */
enum kind { STRICT, TOLERANT, FOREIGN };

static void run_out(attempt_fn attempt, bool all, enum kind kind)
{
    const long before = alloc_fail_alive();
    for (size_t nth = 1; nth < ALLOCATIONS_MAX; nth++) {
        alloc_fail_arm(nth, all);
        const bool whole = attempt();
        const bool refused = alloc_fail_disarm();
        if (kind != FOREIGN && alloc_fail_alive() != before) {
            fail_msg("allocation %zu failed: %ld are left", nth, alloc_fail_alive() - before);
        }
        if (!refused) {
            assert_true(whole);
            assert_true(nth > 1 || kind == FOREIGN); /* it did allocate */
            return;
        }
        if (whole && kind == STRICT) {
            fail_msg("allocation %zu failed, and nothing was said", nth);
        }
    }
    fail_msg("more than %u allocations", ALLOCATIONS_MAX);
}

void exhaust(attempt_fn attempt)
{
    assert_true(attempt()); /* what libraries keep for good they have now */
    run_out(attempt, false, STRICT);
    run_out(attempt, true, STRICT);
}

void exhaust_file(attempt_fn attempt)
{
    assert_true(attempt());
    run_out(attempt, false, TOLERANT);
    run_out(attempt, true, TOLERANT);
}

void exhaust_foreign(attempt_fn attempt)
{
    assert_true(attempt());
    run_out(attempt, false, FOREIGN);
    run_out(attempt, true, FOREIGN);
}
