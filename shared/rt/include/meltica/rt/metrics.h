/*
 * Counters, gauges and latency histograms, rendered as Prometheus text (exposition format 0.0.4).
 * Instruments are made at start-up and live as long as the registry; updates are one relaxed atomic
 * operation and may come from any thread. Names: meltica_..., base units, _total, _seconds, _bytes.
 */
#ifndef MELTICA_RT_METRICS_H
#define MELTICA_RT_METRICS_H

#include <stdint.h>

#include "meltica/base/buf.h"

#define MLT_METRICS_SERIES_MAX 2048u /* in one registry */

struct mlt_metrics;
struct mlt_counter;
struct mlt_gauge;
struct mlt_histogram;

enum mlt_status mlt_metrics_create(struct mlt_metrics **metrics) MLT_MUST_CHECK;
void mlt_metrics_destroy(struct mlt_metrics *metrics);

/* The series of (name, labels), made on first use: the same pair gives the same object again.
 * labels is "reason=\"parse\",side=\"bid\"" or NULL; values must be escaped by the caller. help is
 * that of the first call for a name. Never NULL: beyond MLT_METRICS_SERIES_MAX, without memory, for
 * a name that is no metric name, is taken by another kind, or is longer than 1,023 bytes with its
 * labels, a shared overflow object comes back, and meltica_metrics_overflow_total counts. Any
 * thread (takes a lock: not on a data path, keep the pointer). */
struct mlt_counter *mlt_metrics_counter(struct mlt_metrics *metrics, const char *name,
                                        const char *help, const char *labels);
struct mlt_gauge *mlt_metrics_gauge(struct mlt_metrics *metrics, const char *name, const char *help,
                                    const char *labels);
/* The same for a time: set and added in ns, written in seconds. */
struct mlt_counter *mlt_metrics_counter_seconds(struct mlt_metrics *metrics, const char *name,
                                                const char *help, const char *labels);
struct mlt_gauge *mlt_metrics_gauge_seconds(struct mlt_metrics *metrics, const char *name,
                                            const char *help, const char *labels);
/* Bounds 1, 2.5, 5 x 10^k from 1 us to 10 s, and +Inf. */
struct mlt_histogram *mlt_metrics_histogram(struct mlt_metrics *metrics, const char *name,
                                            const char *help, const char *labels);

void mlt_counter_add(struct mlt_counter *counter, uint64_t by);
uint64_t mlt_counter_get(const struct mlt_counter *counter);
/* For a counter that mirrors one kept elsewhere: value never goes down. */
void mlt_counter_set(struct mlt_counter *counter, uint64_t value);
void mlt_gauge_set(struct mlt_gauge *gauge, int64_t value);
/* Not on the page until it is set again: nothing is known, and its last value would be a statement.
 */
void mlt_gauge_withdraw(struct mlt_gauge *gauge);
void mlt_gauge_add(struct mlt_gauge *gauge, int64_t by);
/* For a high-water mark: never goes down. */
void mlt_gauge_raise(struct mlt_gauge *gauge, int64_t value);
int64_t mlt_gauge_get(const struct mlt_gauge *gauge);
/* A negative duration (clocks of two hosts) goes to the lowest bucket and is counted in
 * meltica_negative_durations_total; one of more than an hour counts as an hour in the sum. */
void mlt_histogram_record_ns(struct mlt_histogram *histogram, int64_t duration_ns);

/* Appends the whole registry, one HELP and TYPE a name, series in order of making. E_TOO_BIG,
 * E_NOMEM. Any thread. */
enum mlt_status mlt_metrics_render(struct mlt_metrics *metrics, struct mlt_buf *out) MLT_MUST_CHECK;

/* HELP and TYPE ("counter", "gauge") of a family whose lines the caller appends itself: for what
 * comes and goes, which a registry cannot forget. Any thread. */
enum mlt_status mlt_metrics_append_head(struct mlt_buf *out, const char *name, const char *help,
                                        const char *type) MLT_MUST_CHECK;

/* Adds process_resident_memory_bytes, process_cpu_seconds_total, process_open_fds,
 * process_start_time_seconds (the time of this call), renewed at each render. Any thread. */
void mlt_metrics_add_process(struct mlt_metrics *metrics);

#endif
