#include "meltica/rt/metrics.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/base/map.h"

#define CACHE_LINE_BYTES 64u /* series that two threads write must not share one */
#define KEY_BYTES_MAX 1024u  /* name and labels of one series */

struct mlt_counter {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t value;
};

struct mlt_gauge {
    _Alignas(CACHE_LINE_BYTES) _Atomic int64_t value;
    atomic_bool withdrawn;
};

/* Upper bounds in ns: 1, 2.5, 5 in each decade, and how they are written in seconds. */
#define BOUNDS(X)                                                                                  \
    X(1000, "0.000001")                                                                            \
    X(2500, "0.0000025")                                                                           \
    X(5000, "0.000005")                                                                            \
    X(10000, "0.00001")                                                                            \
    X(25000, "0.000025")                                                                           \
    X(50000, "0.00005")                                                                            \
    X(100000, "0.0001")                                                                            \
    X(250000, "0.00025")                                                                           \
    X(500000, "0.0005")                                                                            \
    X(1000000, "0.001")                                                                            \
    X(2500000, "0.0025")                                                                           \
    X(5000000, "0.005")                                                                            \
    X(10000000, "0.01")                                                                            \
    X(25000000, "0.025")                                                                           \
    X(50000000, "0.05")                                                                            \
    X(100000000, "0.1")                                                                            \
    X(250000000, "0.25")                                                                           \
    X(500000000, "0.5")                                                                            \
    X(1000000000, "1")                                                                             \
    X(2500000000, "2.5")                                                                           \
    X(5000000000, "5")                                                                             \
    X(10000000000, "10")

static const int64_t bounds_ns[] = {
#define X(ns, text) INT64_C(ns),
    BOUNDS(X)
#undef X
};
static const char *const bound_texts[] = {
#define X(ns, text) text,
    BOUNDS(X)
#undef X
};
#define BOUND_COUNT (sizeof bounds_ns / sizeof bounds_ns[0])

struct mlt_histogram {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t sum_ns;
    _Atomic uint64_t buckets[BOUND_COUNT + 1]; /* not cumulative; the last is +Inf */
    struct mlt_counter *negative;
};

/* Those in seconds are kept in ns. */
enum kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM, KIND_COUNTER_SECONDS, KIND_GAUGE_SECONDS };

struct series {
    struct series *next; /* of the family, in order of making */
    char *labels;        /* "" when there are none */
    union {
        struct mlt_counter *counter;
        struct mlt_gauge *gauge;
        struct mlt_histogram *histogram;
        void *any;
    } value;
};

struct family {
    struct family *next; /* in order of making */
    enum kind kind;
    char *name, *help;
    struct series *first, **last;
};

struct mlt_metrics {
    pthread_mutex_t lock; /* guards everything but the values */
    struct mlt_map family_of_name, series_of_key;
    struct family *first, **last;
    bool process;
    int64_t process_start_wall_ns;

    struct mlt_counter *overflow;
    struct mlt_counter *negative;
    /* What a caller gets when nothing can be made: counted there, never rendered. */
    struct mlt_counter spare_counter;
    struct mlt_gauge spare_gauge;
    struct mlt_histogram spare_histogram;
};

/* ---- making ---- */

static size_t value_bytes(enum kind kind)
{
    switch (kind) {
    case KIND_COUNTER:
    case KIND_COUNTER_SECONDS:
        return sizeof(struct mlt_counter);
    case KIND_GAUGE:
    case KIND_GAUGE_SECONDS:
        return sizeof(struct mlt_gauge);
    case KIND_HISTOGRAM:
        return sizeof(struct mlt_histogram);
    }
    return 0;
}

static struct series *series_new(enum kind kind, const char *labels)
{
    struct series *series = calloc(1, sizeof *series);
    if (series == NULL) {
        return NULL;
    }
    series->labels = strdup(labels);
    series->value.any = aligned_alloc(CACHE_LINE_BYTES, value_bytes(kind));
    if (series->labels == NULL || series->value.any == NULL) {
        free(series->labels);
        free(series->value.any);
        free(series);
        return NULL;
    }
    memset(series->value.any, 0, value_bytes(kind));
    return series;
}

static void series_free(struct series *series)
{
    free(series->labels);
    free(series->value.any);
    free(series);
}

static void family_free(struct family *family)
{
    if (family != NULL) {
        free(family->name);
        free(family->help);
        free(family);
    }
}

/* Lock held. NULL: no memory, or the name is of another kind. */
static struct family *family_of(struct mlt_metrics *metrics, enum kind kind, const char *name,
                                const char *help)
{
    struct family *family = mlt_map_get(&metrics->family_of_name, mlt_slice_of_string(name));
    if (family != NULL) {
        return family->kind == kind ? family : NULL;
    }
    family = calloc(1, sizeof *family);
    if (family == NULL) {
        return NULL;
    }
    family->kind = kind;
    family->last = &family->first;
    family->name = strdup(name);
    family->help = strdup(help);
    if (family->name == NULL || family->help == NULL ||
        mlt_map_put(&metrics->family_of_name, mlt_slice_of_string(name), family) != MLT_OK) {
        family_free(family);
        return NULL;
    }
    *metrics->last = family;
    metrics->last = &family->next;
    return family;
}

static bool valid_name(const char *name)
{
    for (const char *p = name; *p != '\0'; p++) {
        const bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_';
        if (!letter && (p == name || *p < '0' || *p > '9')) {
            return false;
        }
    }
    return name[0] != '\0';
}

/* Lock held. NULL: no room, no memory, or a name that is taken by another kind. */
static struct series *series_of(struct mlt_metrics *metrics, enum kind kind, const char *name,
                                const char *help, const char *labels)
{
    char key[KEY_BYTES_MAX];
    const int len = snprintf(key, sizeof key, "%s{%s", name, labels);
    if (!valid_name(name) || len < 0 || (size_t)len >= sizeof key) {
        return NULL;
    }
    const struct mlt_slice whole = mlt_slice_of(key, (size_t)len);
    struct family *family = family_of(metrics, kind, name, help != NULL ? help : "");
    if (family == NULL) {
        return NULL;
    }
    struct series *series = mlt_map_get(&metrics->series_of_key, whole);
    if (series != NULL) {
        return series;
    }
    series = series_new(kind, labels);
    if (series == NULL || mlt_map_put(&metrics->series_of_key, whole, series) != MLT_OK) {
        if (series != NULL) {
            series_free(series);
        }
        return NULL;
    }
    if (kind == KIND_HISTOGRAM) {
        series->value.histogram->negative = metrics->negative;
    }
    *family->last = series;
    family->last = &series->next;
    return series;
}

static void *make(struct mlt_metrics *metrics, enum kind kind, const char *name, const char *help,
                  const char *labels)
{
    (void)pthread_mutex_lock(&metrics->lock);
    struct series *series = series_of(metrics, kind, name, help, labels != NULL ? labels : "");
    (void)pthread_mutex_unlock(&metrics->lock);
    if (series != NULL) {
        return series->value.any;
    }
    if (metrics->overflow != NULL) {
        mlt_counter_add(metrics->overflow, 1);
    }
    switch (kind) {
    case KIND_COUNTER:
    case KIND_COUNTER_SECONDS:
        return &metrics->spare_counter;
    case KIND_GAUGE:
    case KIND_GAUGE_SECONDS:
        return &metrics->spare_gauge;
    case KIND_HISTOGRAM:
        break;
    }
    return &metrics->spare_histogram;
}

struct mlt_counter *mlt_metrics_counter(struct mlt_metrics *metrics, const char *name,
                                        const char *help, const char *labels)
{
    return make(metrics, KIND_COUNTER, name, help, labels);
}

struct mlt_gauge *mlt_metrics_gauge(struct mlt_metrics *metrics, const char *name, const char *help,
                                    const char *labels)
{
    return make(metrics, KIND_GAUGE, name, help, labels);
}

struct mlt_counter *mlt_metrics_counter_seconds(struct mlt_metrics *metrics, const char *name,
                                                const char *help, const char *labels)
{
    return make(metrics, KIND_COUNTER_SECONDS, name, help, labels);
}

struct mlt_gauge *mlt_metrics_gauge_seconds(struct mlt_metrics *metrics, const char *name,
                                            const char *help, const char *labels)
{
    return make(metrics, KIND_GAUGE_SECONDS, name, help, labels);
}

struct mlt_histogram *mlt_metrics_histogram(struct mlt_metrics *metrics, const char *name,
                                            const char *help, const char *labels)
{
    return make(metrics, KIND_HISTOGRAM, name, help, labels);
}

enum mlt_status mlt_metrics_create(struct mlt_metrics **out)
{
    *out = NULL;
    struct mlt_metrics *metrics = aligned_alloc(CACHE_LINE_BYTES, sizeof *metrics);
    if (metrics == NULL) {
        return MLT_E_NOMEM;
    }
    memset(metrics, 0, sizeof *metrics);
    if (pthread_mutex_init(&metrics->lock, NULL) != 0) {
        free(metrics);
        return MLT_E_NOMEM;
    }
    mlt_map_init(&metrics->family_of_name, MLT_METRICS_SERIES_MAX);
    mlt_map_init(&metrics->series_of_key, MLT_METRICS_SERIES_MAX);
    metrics->last = &metrics->first;
    metrics->overflow = mlt_metrics_counter(
        metrics, "meltica_metrics_overflow_total",
        "Series that could not be made: their updates are lost to this page", NULL);
    metrics->negative =
        mlt_metrics_counter(metrics, "meltica_negative_durations_total",
                            "Durations below zero (clocks of two hosts differ)", NULL);
    metrics->spare_histogram.negative = metrics->negative;
    if (metrics->overflow == &metrics->spare_counter ||
        metrics->negative == &metrics->spare_counter) {
        mlt_metrics_destroy(metrics);
        return MLT_E_NOMEM;
    }
    *out = metrics;
    return MLT_OK;
}

void mlt_metrics_destroy(struct mlt_metrics *metrics)
{
    if (metrics == NULL) {
        return;
    }
    for (struct family *family = metrics->first; family != NULL;) {
        struct family *next_family = family->next;
        for (struct series *series = family->first; series != NULL;) {
            struct series *next = series->next;
            series_free(series);
            series = next;
        }
        family_free(family);
        family = next_family;
    }
    mlt_map_fini(&metrics->family_of_name);
    mlt_map_fini(&metrics->series_of_key);
    (void)pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

/* ---- updates ---- */

void mlt_counter_add(struct mlt_counter *counter, uint64_t by)
{
    (void)atomic_fetch_add_explicit(&counter->value, by, memory_order_relaxed);
}

uint64_t mlt_counter_get(const struct mlt_counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

void mlt_counter_set(struct mlt_counter *counter, uint64_t value)
{
    uint64_t seen = atomic_load_explicit(&counter->value, memory_order_relaxed);
    while (seen < value &&
           !atomic_compare_exchange_weak_explicit(&counter->value, &seen, value,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

void mlt_gauge_set(struct mlt_gauge *gauge, int64_t value)
{
    atomic_store_explicit(&gauge->value, value, memory_order_relaxed);
    atomic_store_explicit(&gauge->withdrawn, false, memory_order_release);
}

void mlt_gauge_withdraw(struct mlt_gauge *gauge)
{
    atomic_store_explicit(&gauge->withdrawn, true, memory_order_relaxed);
}

void mlt_gauge_add(struct mlt_gauge *gauge, int64_t by)
{
    (void)atomic_fetch_add_explicit(&gauge->value, by, memory_order_relaxed);
}

void mlt_gauge_raise(struct mlt_gauge *gauge, int64_t value)
{
    int64_t seen = atomic_load_explicit(&gauge->value, memory_order_relaxed);
    while (seen < value &&
           !atomic_compare_exchange_weak_explicit(&gauge->value, &seen, value, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

int64_t mlt_gauge_get(const struct mlt_gauge *gauge)
{
    return atomic_load_explicit(&gauge->value, memory_order_relaxed);
}

/* Index of the first bound that is not below the duration; BOUND_COUNT for +Inf. */
static size_t bucket_of(int64_t duration_ns)
{
    size_t low = 0;
    size_t high = BOUND_COUNT;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (bounds_ns[middle] < duration_ns) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* What took longer took no time that anybody waited: a clock is wrong, or was. A few of them would
 * outweigh all others in the sum, and with some more it would begin again. */
#define SUM_NS_MAX (3600 * MLT_NS_PER_S)

void mlt_histogram_record_ns(struct mlt_histogram *histogram, int64_t duration_ns)
{
    if (duration_ns < 0) {
        mlt_counter_add(histogram->negative, 1);
        duration_ns = 0;
    }
    (void)atomic_fetch_add_explicit(&histogram->buckets[bucket_of(duration_ns)], 1,
                                    memory_order_relaxed);
    duration_ns = duration_ns < SUM_NS_MAX ? duration_ns : SUM_NS_MAX;
    (void)atomic_fetch_add_explicit(&histogram->sum_ns, (uint64_t)duration_ns,
                                    memory_order_relaxed);
}

/* ---- text ---- */

static enum mlt_status append_help(struct mlt_buf *out, const char *help)
{
    enum mlt_status status = MLT_OK;
    for (const char *p = help; *p != '\0' && status == MLT_OK; p++) {
        if (*p == '\\' || *p == '\n') {
            status = mlt_buf_append_string(out, *p == '\n' ? "\\n" : "\\\\");
        } else {
            status = mlt_buf_append_byte(out, (uint8_t)*p);
        }
    }
    return status;
}

enum mlt_status mlt_metrics_append_head(struct mlt_buf *out, const char *name, const char *help,
                                        const char *type)
{
    enum mlt_status status = mlt_buf_printf(out, "# HELP %s ", name);
    if (status == MLT_OK) {
        status = append_help(out, help);
    }
    if (status == MLT_OK) {
        status = mlt_buf_printf(out, "\n# TYPE %s %s\n", name, type);
    }
    return status;
}

static enum mlt_status append_name(struct mlt_buf *out, const char *name, const char *labels)
{
    return labels[0] == '\0' ? mlt_buf_printf(out, "%s ", name)
                             : mlt_buf_printf(out, "%s{%s} ", name, labels);
}

/* Seconds, exactly. */
static enum mlt_status append_seconds(struct mlt_buf *out, uint64_t ns)
{
    return mlt_buf_printf(out, "%" PRIu64 ".%09" PRIu64 "\n", ns / (uint64_t)MLT_NS_PER_S,
                          ns % (uint64_t)MLT_NS_PER_S);
}

static enum mlt_status append_signed_seconds(struct mlt_buf *out, int64_t ns)
{
    const enum mlt_status status = ns < 0 ? mlt_buf_append_byte(out, '-') : MLT_OK;
    return status == MLT_OK ? append_seconds(out, ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns)
                            : status;
}

static enum mlt_status append_histogram(struct mlt_buf *out, const struct family *family,
                                        const struct series *series)
{
    const struct mlt_histogram *h = series->value.histogram;
    const char *comma = series->labels[0] != '\0' ? "," : "";
    const char *open = series->labels[0] != '\0' ? "{" : "";
    const char *close = series->labels[0] != '\0' ? "}" : "";
    enum mlt_status status = MLT_OK;
    uint64_t count = 0;
    for (size_t i = 0; i <= BOUND_COUNT && status == MLT_OK; i++) {
        count += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        status =
            mlt_buf_printf(out, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", family->name,
                           series->labels, comma, i < BOUND_COUNT ? bound_texts[i] : "+Inf", count);
    }
    if (status == MLT_OK) {
        status = mlt_buf_printf(out, "%s_sum%s%s%s ", family->name, open, series->labels, close);
    }
    if (status == MLT_OK) {
        status = append_seconds(out, atomic_load_explicit(&h->sum_ns, memory_order_relaxed));
    }
    if (status == MLT_OK) {
        status = mlt_buf_printf(out, "%s_count%s%s%s %" PRIu64 "\n", family->name, open,
                                series->labels, close, count);
    }
    return status;
}

static enum mlt_status append_series(struct mlt_buf *out, const struct family *family,
                                     const struct series *series)
{
    if (family->kind == KIND_HISTOGRAM) {
        return append_histogram(out, family, series);
    }
    const enum mlt_status status = append_name(out, family->name, series->labels);
    if (status != MLT_OK) {
        return status;
    }
    switch (family->kind) {
    case KIND_COUNTER:
        return mlt_buf_printf(out, "%" PRIu64 "\n", mlt_counter_get(series->value.counter));
    case KIND_GAUGE:
        return mlt_buf_printf(out, "%" PRId64 "\n", mlt_gauge_get(series->value.gauge));
    case KIND_COUNTER_SECONDS:
        return append_seconds(out, mlt_counter_get(series->value.counter));
    case KIND_GAUGE_SECONDS:
        return append_signed_seconds(out, mlt_gauge_get(series->value.gauge));
    case KIND_HISTOGRAM:
        break;
    }
    return MLT_OK;
}

static bool is_withdrawn(const struct family *family, const struct series *series)
{
    return (family->kind == KIND_GAUGE || family->kind == KIND_GAUGE_SECONDS) &&
           atomic_load_explicit(&series->value.gauge->withdrawn, memory_order_acquire);
}

/* The head comes with the first line, so that there is none without. */
static enum mlt_status append_family(struct mlt_buf *out, const struct family *family)
{
    static const char *const types[] = { "counter", "gauge", "histogram", "counter", "gauge" };
    enum mlt_status status = MLT_OK;
    bool begun = false;
    for (const struct series *s = family->first; s != NULL && status == MLT_OK; s = s->next) {
        if (is_withdrawn(family, s)) {
            continue;
        }
        if (!begun) {
            begun = true;
            status = mlt_metrics_append_head(out, family->name, family->help, types[family->kind]);
        }
        if (status == MLT_OK) {
            status = append_series(out, family, s);
        }
    }
    return status;
}

/* ---- the process ---- */

static uint64_t resident_bytes(void)
{
    char text[128] = "";
    const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    const ssize_t n = read(fd, text, sizeof text - 1);
    (void)close(fd);
    const char *second = n > 0 ? strchr(text, ' ') : NULL;
    return second != NULL ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static uint64_t open_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return 0;
    }
    uint64_t count = 0;
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        count += entry->d_name[0] != '.' ? 1 : 0;
    }
    (void)closedir(dir);
    return count - 1; /* the one that looked */
}

static uint64_t cpu_ns(void)
{
    struct timespec used;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) != 0) {
        return 0;
    }
    return (uint64_t)used.tv_sec * (uint64_t)MLT_NS_PER_S + (uint64_t)used.tv_nsec;
}

/* In seconds: ns true. The value is read when the line is written. */
static enum mlt_status append_process_line(struct mlt_buf *out, const char *name, const char *help,
                                           const char *type, uint64_t value, bool ns)
{
    enum mlt_status status = mlt_metrics_append_head(out, name, help, type);
    if (status == MLT_OK) {
        status = append_name(out, name, "");
    }
    if (status == MLT_OK) {
        status = ns ? append_seconds(out, value) : mlt_buf_printf(out, "%" PRIu64 "\n", value);
    }
    return status;
}

static enum mlt_status append_process(struct mlt_buf *out, int64_t start_wall_ns)
{
    enum mlt_status status =
        append_process_line(out, "process_resident_memory_bytes", "Resident memory in bytes",
                            "gauge", resident_bytes(), false);
    if (status == MLT_OK) {
        status = append_process_line(out, "process_cpu_seconds_total",
                                     "User and system time in seconds", "counter", cpu_ns(), true);
    }
    if (status == MLT_OK) {
        status = append_process_line(out, "process_open_fds", "Open file descriptors", "gauge",
                                     open_descriptors(), false);
    }
    if (status == MLT_OK) {
        status = append_process_line(out, "process_start_time_seconds",
                                     "Start of the process since the epoch in seconds", "gauge",
                                     (uint64_t)start_wall_ns, true);
    }
    return status;
}

enum mlt_status mlt_metrics_render(struct mlt_metrics *metrics, struct mlt_buf *out)
{
    const size_t before = out->len;
    enum mlt_status status = MLT_OK;
    (void)pthread_mutex_lock(&metrics->lock);
    for (const struct family *f = metrics->first; f != NULL && status == MLT_OK; f = f->next) {
        status = append_family(out, f);
    }
    const bool process = metrics->process;
    const int64_t start_wall_ns = metrics->process_start_wall_ns;
    (void)pthread_mutex_unlock(&metrics->lock);
    if (status == MLT_OK && process) {
        status = append_process(out, start_wall_ns);
    }
    if (status != MLT_OK) {
        out->len = before;
    }
    return status;
}

void mlt_metrics_add_process(struct mlt_metrics *metrics)
{
    (void)pthread_mutex_lock(&metrics->lock);
    metrics->process = true;
    metrics->process_start_wall_ns = mlt_clock_wall_ns();
    (void)pthread_mutex_unlock(&metrics->lock);
}
