#include "chaos_options.h"

#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX (12 * 3600)

static int usage(FILE *to, int status)
{
    (void)fprintf(
        to,
        "usage: ./dev chaos [--seed S] [--minutes M] [--seconds S] [options]\n"
        "  --seed S                of faults and market (the time)\n"
        "  --minutes, --seconds    how long, together; 30 minutes when none is named\n"
        "  --report FILE.json      the report, with FILE.md beside it\n"
        "                          (docs/reports/chaos-<date>.json)\n"
        "  --logs DIR              where what each process says is kept; it has to be there\n"
        "  --symbols N             instruments, 1 to %u (12)\n"
        "  --rate N                frames a second with trades, quotes and depth (20000)\n"
        "  --only KIND[,KIND]...   of plan and script: kill_nats,mute,drop for instance; of\n"
        "                          which of the two none is named, has every one\n"
        "  --replicas N            of Adapter, Dispatcher, Conductor, Data Bus, 1 or 2\n"
        "                          (1)\n"
        "  --faults-per-minute N   of the exchange's own script, about, by frames of\n"
        "                          depth, and as many of trades and quotes (90); 0: none\n"
        "  --weight-limit N        REST weight a minute that the exchange grants (60000)\n"
        "  --recovery-ms N         what 99 of 100 recoveries may take (2000)\n"
        "Exit status: 0 every check passed, 1 one did not, 2 wrong usage. docs/chaos.md "
        "has more.\n",
        CHAOS_SYMBOLS_MAX);
    return status;
}

static bool take_kinds(const char *text, uint64_t *kinds)
{
    *kinds = 0;
    while (*text != '\0') {
        const size_t len = strcspn(text, ",");
        unsigned k = 0;
        while (k < CHAOS_KINDS && (strlen(chaos_kind_names[k]) != len ||
                                   strncmp(chaos_kind_names[k], text, len) != 0)) {
            k++;
        }
        if (k == CHAOS_KINDS) {
            return false;
        }
        *kinds |= UINT64_C(1) << k;
        text += text[len] == ',' ? len + 1 : len;
    }
    return *kinds != 0;
}

static bool take_option(void *ctx, const char *name, const char *value)
{
    struct chaos_plan *plan = ctx;
    uint64_t n = 0;
    if (strcmp(name, "--report") == 0) {
        plan->report = value;
        return true;
    }
    if (strcmp(name, "--logs") == 0) {
        return setenv("MELTICA_STACK_LOGS", value, 1) == 0;
    }
    if (strcmp(name, "--seed") == 0) {
        return long_run_number(value, 0, UINT64_MAX, &plan->seed);
    }
    if (strcmp(name, "--only") == 0) {
        return take_kinds(value, &plan->only);
    }
    if (!long_run_number(value, 0, 1000000, &n)) {
        return false;
    }
    if (strcmp(name, "--minutes") == 0) {
        plan->seconds += (int64_t)n * 60;
    } else if (strcmp(name, "--seconds") == 0) {
        plan->seconds += (int64_t)n;
    } else if (strcmp(name, "--symbols") == 0) {
        plan->symbols = (unsigned)n;
        return n >= 1 && n <= CHAOS_SYMBOLS_MAX;
    } else if (strcmp(name, "--rate") == 0) {
        plan->rate = (unsigned)n;
        return n >= 1;
    } else if (strcmp(name, "--replicas") == 0) {
        plan->replicas = (unsigned)n;
        return n == 1 || n == 2;
    } else if (strcmp(name, "--faults-per-minute") == 0) {
        plan->faults_per_minute = (unsigned)n;
    } else if (strcmp(name, "--weight-limit") == 0) {
        plan->weight_limit = (unsigned)n;
        return n >= 100;
    } else if (strcmp(name, "--recovery-ms") == 0) {
        plan->recovery_ms = (unsigned)n;
    } else {
        return false;
    }
    return true;
}

static bool check_plan(void *ctx)
{
    struct chaos_plan *plan = ctx;
    plan->seconds = plan->seconds > 0 ? plan->seconds : 1800;
    return long_run_possible("chaos", plan->seconds, SECONDS_MAX, plan->report);
}

const struct long_run_options chaos_options = { "chaos", usage, take_option, check_plan };
