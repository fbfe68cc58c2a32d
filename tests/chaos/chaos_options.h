/* Options of ./dev chaos. One thread. */
#ifndef MELTICA_CHAOS_OPTIONS_H
#define MELTICA_CHAOS_OPTIONS_H

#include <stdio.h>

#include "chaos_report.h"

/* Writes the usage and hands the status back. */
int chaos_usage(FILE *to, int status);
/* Into a plan that has the defaults; false: wrong, and said on stderr. */
bool chaos_parse(struct chaos_plan *plan, int argc, char **argv);

#endif
