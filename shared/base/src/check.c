#include "meltica/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meltica/base/buf.h"

#define LINE_BYTES_MAX 4096u

void mlt_check_failed(const char *expression, const char *file, int line)
{
    /* Not the log: the invariant that broke may be its own, or its lock may be held. */
    struct mlt_buf text;
    mlt_buf_init(&text, LINE_BYTES_MAX);
    if (mlt_buf_append_string(&text, "{\"level\":\"error\",\"event\":\"check_failed\",\"text\":"
                                     "\"invariant broken: please report\",\"check\":") == MLT_OK &&
        mlt_buf_append_json_string(&text, mlt_slice_of_string(expression)) == MLT_OK &&
        mlt_buf_append_string(&text, ",\"file\":") == MLT_OK &&
        mlt_buf_append_json_string(&text, mlt_slice_of_string(file)) == MLT_OK &&
        mlt_buf_printf(&text, ",\"line\":%d}\n", line) == MLT_OK &&
        write(STDERR_FILENO, text.data, text.len) == (ssize_t)text.len) {
        abort();
    }
    (void)fprintf(stderr, "check failed at %s:%d: %s\n", file, line, expression);
    abort();
}
