#include "meltica/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "meltica/base/buf.h"
#include "meltica/base/clock.h"
#include "meltica/base/hash.h"

#define LINE_BYTES_MAX 8192u
#define END_BYTES_MAX 16u /* ,"cut":true}\n and the room it is printed in */
#define NAME_BYTES_MAX 64
#define REPEATS_PER_SECOND 20u
#define REPEAT_SLOTS 64u

/* How often (level, event) was written in the current second. */
struct repeat {
    uint64_t hash; /* 0: free */
    int64_t second;
    uint64_t suppressed;
    uint32_t written;
    enum mlt_log_level level;
    char event[NAME_BYTES_MAX]; /* for the line that reports what was held back */
};

static char service_name[NAME_BYTES_MAX] = "meltica";
static char instance_name[NAME_BYTES_MAX] = "";
static _Atomic int threshold = MLT_LOG_INFO;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct repeat repeats[REPEAT_SLOTS];
static int64_t swept_second;

static const char *const level_words[] = { "debug", "info", "warn", "error" };
#define LEVEL_COUNT (sizeof level_words / sizeof level_words[0])

void mlt_log_init(const char *service, const char *instance, enum mlt_log_level level)
{
    (void)pthread_mutex_lock(&lock);
    (void)snprintf(service_name, sizeof service_name, "%s", service != NULL ? service : "");
    (void)snprintf(instance_name, sizeof instance_name, "%s", instance != NULL ? instance : "");
    (void)pthread_mutex_unlock(&lock);
    mlt_log_set_level(level);
}

void mlt_log_set_level(enum mlt_log_level level)
{
    atomic_store(&threshold, (int)level);
}

bool mlt_log_enabled(enum mlt_log_level level)
{
    return (int)level >= atomic_load(&threshold);
}

enum mlt_status mlt_log_parse_level(const char *word, enum mlt_log_level *out)
{
    for (unsigned i = 0; word != NULL && i < LEVEL_COUNT; i++) {
        if (strcmp(word, level_words[i]) == 0) {
            *out = (enum mlt_log_level)i;
            return MLT_OK;
        }
    }
    return MLT_E_PARSE;
}

static enum mlt_status append_time(struct mlt_buf *line)
{
    const int64_t now = mlt_clock_wall_ns();
    const time_t seconds = (time_t)(now / MLT_NS_PER_S);
    struct tm t;
    if (gmtime_r(&seconds, &t) == NULL) {
        return MLT_E_RANGE;
    }
    return mlt_buf_printf(line, "{\"ts\":\"%04d-%02d-%02dT%02d:%02d:%02d.%06dZ\"", t.tm_year + 1900,
                          t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec,
                          (int)(now % MLT_NS_PER_S / MLT_NS_PER_US));
}

static enum mlt_status append_key(struct mlt_buf *line, const char *key)
{
    enum mlt_status status = mlt_buf_append_byte(line, ',');
    if (status == MLT_OK) {
        status = mlt_buf_append_json_string(line, mlt_slice_of_string(key));
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_byte(line, ':');
    }
    return status;
}

/* A string too long for the line loses its end, a quarter at a time, and *cut is set. */
static enum mlt_status append_text(struct mlt_buf *line, const char *key, struct mlt_slice value,
                                   bool *cut)
{
    enum mlt_status status = append_key(line, key);
    if (status != MLT_OK) {
        return status;
    }
    while ((status = mlt_buf_append_json_string(line, value)) == MLT_E_TOO_BIG && value.len > 0) {
        *cut = true;
        value.len -= value.len / 4 + 1;
    }
    return status;
}

/* Leaves the line as it was when the field does not fit. */
static enum mlt_status append_field(struct mlt_buf *line, const struct mlt_log_field *field,
                                    bool *cut)
{
    const size_t before = line->len;
    enum mlt_status status = MLT_E_INVALID;
    if (field->kind == MLT_FIELD_SLICE) {
        status = append_text(line, field->key, field->u.slice, cut);
    } else if (field->kind == MLT_FIELD_STRING && field->u.string != NULL) {
        status = append_text(line, field->key, mlt_slice_of_string(field->u.string), cut);
    } else {
        status = append_key(line, field->key);
    }
    if (status == MLT_OK) {
        switch (field->kind) {
        case MLT_FIELD_INT:
            status = mlt_buf_printf(line, "%lld", (long long)field->u.integer);
            break;
        case MLT_FIELD_UINT:
            status = mlt_buf_printf(line, "%llu", (unsigned long long)field->u.uinteger);
            break;
        case MLT_FIELD_BOOL:
            status = mlt_buf_append_string(line, field->u.boolean ? "true" : "false");
            break;
        case MLT_FIELD_STRING:
            status = field->u.string != NULL ? MLT_OK : mlt_buf_append_string(line, "null");
            break;
        case MLT_FIELD_SLICE:
            break;
        }
    }
    if (status != MLT_OK) {
        line->len = before;
        *cut = true;
    }
    return status;
}

/* The count of this event in this second. Where more events than slots are alive in one second, the
 * late ones share a slot: that only makes their limit stricter. Lock held. */
static struct repeat *repeat_of(enum mlt_log_level level, const char *event, int64_t second)
{
    const struct mlt_slice name = mlt_slice_of_string(event);
    const uint64_t hash = mlt_mix64(mlt_fnv1a64(MLT_FNV1A64_INIT + (uint64_t)level, name)) | 1;
    struct repeat *free_slot = NULL;
    for (unsigned i = 0; i < REPEAT_SLOTS; i++) {
        struct repeat *r = &repeats[i];
        if (r->hash == hash) {
            free_slot = r->second == second ? NULL : r;
            if (free_slot == NULL) {
                return r;
            }
            break;
        }
        if (r->second != second && r->suppressed == 0 && free_slot == NULL) {
            free_slot = r;
        }
    }
    if (free_slot == NULL) {
        return &repeats[hash % REPEAT_SLOTS];
    }
    /* A thread whose second began later may have come first: what it has not reported is kept. */
    const uint64_t unreported = free_slot->hash == hash ? free_slot->suppressed : 0;
    *free_slot =
        (struct repeat){ .hash = hash, .second = second, .suppressed = unreported, .level = level };
    (void)snprintf(free_slot->event, sizeof free_slot->event, "%s", event != NULL ? event : "");
    return free_slot;
}

/* True when the line may go out. Lock held. */
static bool admit(enum mlt_log_level level, const char *event, int64_t second)
{
    struct repeat *r = repeat_of(level, event, second);
    if (r->written >= REPEATS_PER_SECOND) {
        r->suppressed++;
        return false;
    }
    r->written++;
    return true;
}

/* Takes one report of an earlier second out of the table; false when there is none. Lock held. */
static bool take_report(int64_t second, struct repeat *out)
{
    for (unsigned i = 0; i < REPEAT_SLOTS; i++) {
        if (repeats[i].second != second && repeats[i].suppressed > 0) {
            *out = repeats[i];
            repeats[i] = (struct repeat){ 0 };
            return true;
        }
    }
    return false;
}

static void write_all(const uint8_t *data, size_t len)
{
    while (len > 0) {
        const ssize_t n = write(STDERR_FILENO, data, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return; /* nowhere left to say so */
        }
        data += n;
        len -= (size_t)n;
    }
}

static void write_line(enum mlt_log_level level, const char *event, const char *text,
                       const struct mlt_log_field *fields, unsigned field_count)
{
    char service[NAME_BYTES_MAX];
    char instance[NAME_BYTES_MAX];
    (void)pthread_mutex_lock(&lock);
    memcpy(service, service_name, sizeof service);
    memcpy(instance, instance_name, sizeof instance);
    (void)pthread_mutex_unlock(&lock);
    struct mlt_buf line;
    /* Room for the end is kept back, so that what is cut is cut inside of a value. */
    mlt_buf_init(&line, LINE_BYTES_MAX - END_BYTES_MAX);
    bool cut = false;
    const char *const members[][2] = { { "level", level_words[level] },
                                       { "service", service },
                                       { "instance", instance },
                                       { "event", event },
                                       { "text", text } };
    enum mlt_status status = append_time(&line);
    for (unsigned i = 0; status == MLT_OK && i < sizeof members / sizeof members[0]; i++) {
        status = append_text(&line, members[i][0], mlt_slice_of_string(members[i][1]), &cut);
    }
    for (unsigned i = 0; status == MLT_OK && i < field_count; i++) {
        const enum mlt_status fit = append_field(&line, &fields[i], &cut);
        status = fit == MLT_E_NOMEM ? fit : MLT_OK; /* a later, shorter field may still fit */
    }
    line.max = LINE_BYTES_MAX;
    if (status == MLT_OK && cut) {
        status = mlt_buf_append_string(&line, ",\"cut\":true");
    }
    if (status == MLT_OK && mlt_buf_append_string(&line, "}\n") == MLT_OK) {
        write_all(line.data, line.len);
    }
    mlt_buf_fini(&line);
}

/* Once a second, on whatever line comes next: what was held back before. */
static void write_reports(int64_t second)
{
    struct repeat report;
    for (unsigned i = 0; i < REPEAT_SLOTS; i++) {
        (void)pthread_mutex_lock(&lock);
        const bool found = take_report(second, &report);
        (void)pthread_mutex_unlock(&lock);
        if (!found) {
            return;
        }
        const struct mlt_log_field fields[] = { MLT_S("of", report.event),
                                                MLT_U("suppressed", report.suppressed) };
        write_line(report.level, "log_suppressed", "the same line came too often", fields, 2);
    }
}

void mlt_log_write(enum mlt_log_level level, const char *event, const char *text,
                   const struct mlt_log_field *fields, unsigned field_count)
{
    if ((unsigned)level >= LEVEL_COUNT || !mlt_log_enabled(level)) {
        return;
    }
    const int64_t second = mlt_clock_mono_ns() / MLT_NS_PER_S;
    (void)pthread_mutex_lock(&lock);
    const bool sweep = second != swept_second;
    swept_second = second;
    (void)pthread_mutex_unlock(&lock);
    if (sweep) {
        write_reports(second);
    }
    (void)pthread_mutex_lock(&lock);
    const bool admitted = admit(level, event, second);
    (void)pthread_mutex_unlock(&lock);
    if (admitted) {
        write_line(level, event, text, fields, field_count);
    }
}
