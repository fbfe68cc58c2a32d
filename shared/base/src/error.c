#include "meltica/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

MLT_PRINTF(2, 0)
static void set_text(struct mlt_error *err, const char *format, va_list args)
{
    if (vsnprintf(err->text, sizeof err->text, format, args) < 0) {
        err->text[0] = '\0';
    }
}

enum mlt_status mlt_error_set(struct mlt_error *err, enum mlt_status status, const char *format,
                              ...)
{
    if (err != NULL) {
        err->status = status;
        err->domain = "";
        err->code = 0;
        va_list args;
        va_start(args, format);
        set_text(err, format, args);
        va_end(args);
    }
    return status;
}

enum mlt_status mlt_error_set_foreign(struct mlt_error *err, enum mlt_status status,
                                      const char *domain, int code, const char *format, ...)
{
    if (err != NULL) {
        err->status = status;
        err->domain = domain;
        err->code = code;
        va_list args;
        va_start(args, format);
        set_text(err, format, args);
        va_end(args);
    }
    return status;
}

enum mlt_status mlt_error_prepend(struct mlt_error *err, const char *format, ...)
{
    if (err == NULL) {
        return MLT_E_INTERNAL;
    }
    char old[MLT_ERROR_TEXT_BYTES_MAX];
    memcpy(old, err->text, sizeof old);
    va_list args;
    va_start(args, format);
    set_text(err, format, args);
    va_end(args);
    const size_t used = strlen(err->text);
    /* A text that is full loses its end: the newest context is the outermost and comes first. */
    const int written = snprintf(err->text + used, sizeof err->text - used, ": %s", old);
    if (written < 0) {
        err->text[used] = '\0';
    }
    return err->status;
}
