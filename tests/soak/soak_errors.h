/*
 * What went wrong in a soak without ending it: lines at level error, counters that stand still
 * while all is well, and processes that ended unasked, did not answer, or ended with another status
 * than 0. docs/soak.md has the members.
 */
#ifndef MELTICA_SOAK_ERRORS_H
#define MELTICA_SOAK_ERRORS_H

#include <cjson/cJSON.h>

#include "soak_report.h"

struct soak_error_counts {
    uint64_t lines, metrics, ends;
    uint64_t unmeasured; /* counters that no service has, so that they can say nothing */
};

/* The member `errors`; the caller's. */
cJSON *soak_errors(const struct soak_run *run, struct soak_error_counts *counts);

#endif
