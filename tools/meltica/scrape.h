/* Reads what the services and the simulator say about themselves. Pure. */
#ifndef MELTICA_TOOL_SCRAPE_H
#define MELTICA_TOOL_SCRAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "meltica/base/slice.h"

/* Prometheus text: calls fn for each series of exactly that name; labels is the text between the
 * braces ("" without). Values are integers here; others are passed over. */
void mlt_scrape_series(struct mlt_slice body, const char *name,
                       void (*fn)(void *ctx, struct mlt_slice labels, uint64_t value), void *ctx);
/* Sum of the series whose labels contain `label` ("" : all). */
uint64_t mlt_scrape_sum(struct mlt_slice body, const char *name, const char *label);
/* Value of one label, e.g. reason; false when absent. */
bool mlt_scrape_label(struct mlt_slice labels, const char *key, struct mlt_slice *value);
/* Member of a flat JSON object as integer or boolean (1, 0); -1 when absent. */
int64_t mlt_scrape_member(struct mlt_slice json, const char *name);
/* VmHWM of a process in bytes from /proc, 0 when it is gone. */
uint64_t mlt_scrape_peak_resident_bytes(int64_t pid);
/* User and system time of a process so far in ms, 0 when it is gone. */
uint64_t mlt_scrape_cpu_ms(int64_t pid);

#endif
