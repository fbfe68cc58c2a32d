/*
 * Rich error of the cold paths (set-up, configuration, REST, control): status, the foreign code it
 * came from, and a text that grows while the call unwinds. Fixed size, lives on the caller's stack.
 */
#ifndef MELTICA_BASE_ERROR_H
#define MELTICA_BASE_ERROR_H

#include "meltica/base/status.h"

#define MLT_ERROR_TEXT_BYTES_MAX 512

struct mlt_error {
    enum mlt_status status;
    const char
        *domain; /* whose code it is: "nats", "curl", "lws", "errno", or "" ; static string */
    int code;    /* foreign code, 0 when there is none */
    char text[MLT_ERROR_TEXT_BYTES_MAX];
};

#define MLT_ERROR_INIT { MLT_OK, "", 0, { 0 } }

/* Sets *err (which may be NULL) and returns status, so that `return mlt_error_set(...)` reads well.
 * The text is cut at MLT_ERROR_TEXT_BYTES_MAX - 1 bytes. Any thread. */
enum mlt_status mlt_error_set(struct mlt_error *err, enum mlt_status status, const char *format,
                              ...) MLT_PRINTF(3, 4);

/* As mlt_error_set, with the foreign code the failure came from. domain must be a static string. */
enum mlt_status mlt_error_set_foreign(struct mlt_error *err, enum mlt_status status,
                                      const char *domain, int code, const char *format, ...)
    MLT_PRINTF(5, 6);

/* Puts "context: " before the text (err may be NULL) and returns its status. */
enum mlt_status mlt_error_prepend(struct mlt_error *err, const char *format, ...) MLT_PRINTF(2, 3);

#endif
