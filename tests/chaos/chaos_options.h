/* Options of ./dev chaos. One thread. */
#ifndef MELTICA_CHAOS_OPTIONS_H
#define MELTICA_CHAOS_OPTIONS_H

#include "chaos_report.h"
#include "long_run.h"

/* For long_run_parse, into a struct chaos_plan that has the defaults. */
extern const struct long_run_options chaos_options;

#endif
