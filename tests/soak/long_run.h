/* What ./dev soak and ./dev chaos have in common as programs: signals, time, options. One a
 * process. */
#ifndef LONG_RUN_H
#define LONG_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* SIGINT, SIGTERM and SIGHUP are kept for long_run_is_told from now on. */
void long_run_catch_signals(void);
/* Waits until then (monotonic, ns), or a signal: true. */
bool long_run_is_told(int64_t until_ns);
/* Processes that wanted to run, over the last minute; -1: not known. */
double long_run_machine_load(void);

/* What was checked out, as ./dev says it (MELTICA_COMMIT); "unknown": it was not ./dev. */
const char *long_run_commit(void);

/* A whole number in these bounds. */
bool long_run_number(const char *text, uint64_t least, uint64_t most, uint64_t *out);

struct long_run_options {
    const char *program; /* "soak": before what is said on stderr */
    int (*usage)(FILE *to, int status);
    /* One option with its value; false: there is none of that name, or not of that value. */
    bool (*take)(void *plan, const char *name, const char *value);
    /* After the last one: what was not named, and whether all of it goes together; says why not. */
    bool (*check)(void *plan);
};
/* True: run it. False: *status is the exit status, and all is said (--help, wrong usage: 2). */
bool long_run_parse(const struct long_run_options *options, void *plan, int argc, char **argv,
                    int *status);

/* For check: at most so long, and the report can be written; says why not. */
bool long_run_possible(const char *program, int64_t seconds, int64_t seconds_max,
                       const char *report);

/* Prepares the process and runs it with a dispatch table of that text in a file of its own, which
 * is gone afterwards. Returns what run does. */
int long_run_with_table(const char *program, const char *table,
                        int (*run)(const void *plan, const char *table_path), const void *plan);

#endif
