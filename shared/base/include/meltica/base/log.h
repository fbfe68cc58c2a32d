/*
 * One JSON object a line on stderr: {"ts":"2026-01-02T03:04:05.678901Z","level":"info",
 * "service":"adapter","instance":"…","event":"ws_connected","text":"…",…fields}. `event` is a
 * stable word to search for, fields are typed. Never per message on a data path. Any thread.
 */
#ifndef MELTICA_BASE_LOG_H
#define MELTICA_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "meltica/base/slice.h"
#include "meltica/base/status.h"

enum mlt_log_level { MLT_LOG_DEBUG, MLT_LOG_INFO, MLT_LOG_WARN, MLT_LOG_ERROR };

struct mlt_log_field {
    const char *key;
    enum { MLT_FIELD_STRING, MLT_FIELD_INT, MLT_FIELD_UINT, MLT_FIELD_BOOL, MLT_FIELD_SLICE } kind;
    union {
        const char *string; /* NULL is written as null */
        int64_t integer;
        uint64_t uinteger;
        bool boolean;
        struct mlt_slice slice;
    } u;
};

#define MLT_S(k, v)                                                                                \
    ((struct mlt_log_field){ .key = (k), .kind = MLT_FIELD_STRING, .u.string = (v) })
#define MLT_I(k, v)                                                                                \
    ((struct mlt_log_field){ .key = (k), .kind = MLT_FIELD_INT, .u.integer = (int64_t)(v) })
#define MLT_U(k, v)                                                                                \
    ((struct mlt_log_field){ .key = (k), .kind = MLT_FIELD_UINT, .u.uinteger = (uint64_t)(v) })
#define MLT_B(k, v) ((struct mlt_log_field){ .key = (k), .kind = MLT_FIELD_BOOL, .u.boolean = (v) })
#define MLT_SL(k, v) ((struct mlt_log_field){ .key = (k), .kind = MLT_FIELD_SLICE, .u.slice = (v) })

/* Once at start; strings are copied (cut at 63 bytes). Level below `level` is dropped before any
 * formatting. */
void mlt_log_init(const char *service, const char *instance, enum mlt_log_level level);
void mlt_log_set_level(enum mlt_log_level level);
bool mlt_log_enabled(enum mlt_log_level level);
/* "debug", "info", "warn", "error" -> level; E_PARSE. */
enum mlt_status mlt_log_parse_level(const char *word, enum mlt_log_level *out) MLT_MUST_CHECK;

/* Writes one line with one write(2). A line that would be longer than 8 KiB is cut and stays valid
 * JSON. The same (level, event) more than 20 times in a second is counted and reported once as
 * suppressed. */
void mlt_log_write(enum mlt_log_level level, const char *event, const char *text,
                   const struct mlt_log_field *fields, unsigned field_count);

/* mlt_log(MLT_LOG_INFO, "ws_connected", "line is up", MLT_S("url", url), MLT_I("streams", n)); at
 * least one field. */
#define mlt_log(level, event, text, ...)                                                           \
    do {                                                                                           \
        if (mlt_log_enabled(level)) {                                                              \
            const struct mlt_log_field mlt_log_fields_[] = { __VA_ARGS__ };                        \
            mlt_log_write(level, event, text, mlt_log_fields_,                                     \
                          sizeof mlt_log_fields_ / sizeof mlt_log_fields_[0]);                     \
        }                                                                                          \
    } while (0)

#endif
