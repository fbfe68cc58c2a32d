/* Numbers and times as they are written on the command line. Pure, any thread. */
#ifndef MELTICA_TOOL_NUMBERS_H
#define MELTICA_TOOL_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

#define MLT_TOOL_SECONDS_MAX 31536000 /* a year */

/* The whole text as an integer from 1 to max, else false. */
bool mlt_tool_count(const char *text, int64_t max, int64_t *out);

/* So long before now_ns (90s, 15m, 1h, 7d; a year at most), or a time in UTC (2026-01-31 or
 * 2026-01-31T12:00:00Z, from 1971 to 2249), in ns since 1970; else false. */
bool mlt_tool_since(const char *text, int64_t now_ns, int64_t *out);

#endif
