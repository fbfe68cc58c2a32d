/*
 * The report of a soak: one JSON object (docs/soak.md), the same for people in Markdown, and the
 * checks that decide. Everything in it was measured.
 */
#ifndef MELTICA_SOAK_REPORT_H
#define MELTICA_SOAK_REPORT_H

#include "soak_probe.h"
#include "soak_steer.h"

struct soak_plan {
    const char *report;                              /* file, .json */
    int64_t seconds, warm_up_s, line_life_s, poll_s; /* of each instrument's `depth` */
    unsigned symbols, rate, consumers;
    uint64_t seed;
};

struct soak_run {
    const struct soak_plan *plan;
    struct mlt_stack *stack;
    struct soak_watch *watch;
    struct soak_steer *steer;
    struct soak_probe *probe;
    int64_t began_wall_ns, began_ns, ended_ns;      /* ns since 1970, monotonic */
    double load_before, load_after;                 /* of the machine, over the last minute */
    int64_t frames_sent, rest_refused, weight_peak; /* as the simulator says */
    bool interrupted;
};

/* Writes FILE.json and FILE.md and says the checks on stdout. 0: every check passed; 1: one did
 * not; 2: it cannot be written. */
int soak_report(const struct soak_run *run);

#endif
