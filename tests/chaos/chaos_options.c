#include "chaos_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX (12 * 3600)

int chaos_usage(FILE *to, int status)
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
        "  --rate N                frames a second with trades, quotes and depth (5000)\n"
        "  --faults-per-minute N   of the exchange's own script, about (90); 0: none\n"
        "  --weight-limit N        REST weight a minute that the exchange grants (60000)\n"
        "  --recovery-ms N         what 99 of 100 recoveries may take (2000)\n"
        "Exit status: 0 every check passed, 1 one did not, 2 wrong usage. docs/chaos.md "
        "has more.\n",
        CHAOS_SYMBOLS_MAX);
    return status;
}

static bool number_of(const char *text, uint64_t most, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0' && *out <= most;
}

static bool take_option(struct chaos_plan *plan, const char *name, const char *value)
{
    uint64_t n = 0;
    if (strcmp(name, "--report") == 0) {
        plan->report = value;
        return true;
    }
    if (strcmp(name, "--logs") == 0) {
        return setenv("MELTICA_STACK_LOGS", value, 1) == 0;
    }
    if (strcmp(name, "--seed") == 0) {
        return number_of(value, UINT64_MAX, &plan->seed);
    }
    if (!number_of(value, 1000000, &n)) {
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

/* Whether the report can be written, before anything runs. */
static bool can_write(const char *path)
{
    FILE *to = path != NULL ? fopen(path, "a") : NULL;
    return to != NULL && fclose(to) == 0;
}

bool chaos_parse(struct chaos_plan *plan, int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc || !take_option(plan, argv[i], argv[i + 1])) {
            (void)fprintf(stderr, "chaos: what is %s %s\n", argv[i],
                          i + 1 < argc ? argv[i + 1] : "without a value");
            return false;
        }
    }
    plan->seconds = plan->seconds > 0 ? plan->seconds : 1800;
    if (plan->seconds > SECONDS_MAX) {
        (void)fprintf(stderr, "chaos: at most %d hours\n", SECONDS_MAX / 3600);
        return false;
    }
    if (!can_write(plan->report)) {
        (void)fprintf(stderr, "chaos: cannot write the report %s: name another one with --report\n",
                      plan->report != NULL ? plan->report : "(none)");
        return false;
    }
    return true;
}
