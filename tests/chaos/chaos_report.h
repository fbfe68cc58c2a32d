/*
 * What a run of chaos found, the checks that decide, and the report: one JSON object
 * (docs/chaos.md), the same for people in Markdown.
 */
#ifndef MELTICA_CHAOS_REPORT_H
#define MELTICA_CHAOS_REPORT_H

#include <cjson/cJSON.h>

#include "chaos_damaged.h"
#include "chaos_quotes.h"
#include "chaos_recovery.h"

#define CHAOS_CONSUMERS 3u
#define CHAOS_FLOWS 3u /* streams of the script beside depth: trade, aggTrade, bookTicker */
#define CHAOS_LINE_LIFE_S                                                                          \
    8 /* in the place of the 24 hours after which the exchange ends a line                         \
       */

struct chaos_plan {
    const char *report; /* file, .json */
    int64_t seconds;
    unsigned symbols, rate, faults_per_minute, weight_limit, recovery_ms;
    unsigned replicas; /* 2: of Adapter, Dispatcher, Conductor and Data Bus, one stays dead until
                          the other stood in */
    uint64_t only;     /* bit k: only these kinds; plan or script without any: every one of it */
    uint64_t seed;
};

extern const char *const chaos_flow_names[CHAOS_FLOWS]; /* as the simulator has them */

/* Whether such faults were asked for. */
bool chaos_plan_has(const struct chaos_plan *plan, enum chaos_kind kind);
/* Kinds that frames of trades and quotes meet; the other ones of the script are depth's alone. */
bool chaos_kind_of_flow(enum chaos_kind kind);

/* Everything that the checks go by; all of it is measured. */
struct chaos_result {
    const struct chaos_plan *plan;
    bool interrupted;
    double seconds, load_before, load_after;
    int64_t began_wall_ns;
    const struct chaos_ledger *ledgers[CHAOS_CONSUMERS];
    uint64_t dropped_here; /* messages that a consumer had no room for */
    const struct chaos_recovery *recovery;
    unsigned unrecovered;
    uint64_t flow_faults[CHAOS_FLOWS]
                        [CHAOS_KINDS]; /* of trades and quotes: no book waits for them */
    const struct chaos_quotes *quotes;
    const struct chaos_damaged *damaged; /* judged; NULL: not with two Adapters */
    uint64_t books_checked, books_wrong, books_skipped, books_unknown; /* by the exchange's own */
    char first_wrong[256];
    uint64_t subscriptions, lost_subscriptions;
    uint64_t commands, commands_failed, commands_refused;
    char first_failed_command[512];
    char first_lost_subscription[256];
    int64_t frames,
        frames_sent; /* that the market made for lines meanwhile; that went out on them */
    int64_t connect_attempts, connect_refused, weight_peak, rest_refused; /* -1: not known */
    int64_t weight_budget; /* of it the Adapter's, by its word; 0: it did not say */
    uint64_t ended_unasked, bad_exits, error_lines;
    char first_bad_end[512], first_error[512];
    uint64_t steps, kills, rollovers;
    /* Of partitions by the hot standby of a killed Adapter: with nothing lost by its word; with
     * LOST; how often LOST was told all the same where it was only the former. */
    uint64_t takeovers_covered, takeovers_told, takeovers_lost;
    uint64_t not_home; /* replicas that did not get their own back in time */
    struct mlt_latency noticed[CHAOS_SCRIPT_KINDS]; /* until the Adapter found out by itself */
};

/* The report; the caller deletes it. *passed: every check. */
cJSON *chaos_report_make(const struct chaos_result *result, bool *passed);
/* Writes FILE.json and FILE.md, says the checks on stdout. 0: every check passed; 1: one did not;
 * 2: it cannot be written. */
int chaos_report(const struct chaos_result *result);

#endif
