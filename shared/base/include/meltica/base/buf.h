/* Growable bytes with a ceiling chosen at creation. One thread at a time. */
#ifndef MELTICA_BASE_BUF_H
#define MELTICA_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>

#include "meltica/base/slice.h"
#include "meltica/base/status.h"

struct mlt_buf {
    uint8_t *data;   /* NULL until the first append */
    size_t len;      /* bytes used */
    size_t capacity; /* bytes allocated */
    size_t max;      /* bytes that capacity never exceeds */
};

/* Empty buffer that never grows beyond max_bytes. Allocates nothing. */
void mlt_buf_init(struct mlt_buf *buf, size_t max_bytes);

/* Frees what it owns; the buffer may be used again (same max). */
void mlt_buf_fini(struct mlt_buf *buf);

/* Makes room for extra_bytes more without a further allocation. E_TOO_BIG above max, E_NOMEM; on
 * failure the buffer is unchanged. */
enum mlt_status mlt_buf_reserve(struct mlt_buf *buf, size_t extra_bytes) MLT_MUST_CHECK;

/* Appends; on failure (E_TOO_BIG, E_NOMEM) the buffer is unchanged. */
enum mlt_status mlt_buf_append(struct mlt_buf *buf, const void *data, size_t len) MLT_MUST_CHECK;
enum mlt_status mlt_buf_append_string(struct mlt_buf *buf, const char *text) MLT_MUST_CHECK;
enum mlt_status mlt_buf_append_byte(struct mlt_buf *buf, uint8_t byte) MLT_MUST_CHECK;
enum mlt_status mlt_buf_printf(struct mlt_buf *buf, const char *format, ...) MLT_MUST_CHECK
    MLT_PRINTF(2, 3);

/* Length of the valid UTF-8 sequence at text, 0 when there is none (RFC 3629: no overlong forms, no
 * surrogates, nothing above U+10FFFF). len > 0. */
size_t mlt_utf8_length(const uint8_t *text, size_t len);
/* Whether a control character begins there: C0, DEL, or C1 as UTF-8 has it. Some of them a terminal
 * obeys. len > 0. */
bool mlt_utf8_is_control(const uint8_t *text, size_t len);

/* Appends text as a JSON string with its quotes, escaped per RFC 8259 and all other control
 * characters too, so that nothing in it moves the cursor of who reads it; invalid UTF-8 bytes
 * become U+FFFD, so that the output is always valid JSON. */
enum mlt_status mlt_buf_append_json_string(struct mlt_buf *buf,
                                           struct mlt_slice text) MLT_MUST_CHECK;

/* Drops the first count bytes (count <= len), moving the rest to the front. */
void mlt_buf_consume(struct mlt_buf *buf, size_t count);

/* len = 0, keeps the memory. */
static inline void mlt_buf_clear(struct mlt_buf *buf)
{
    buf->len = 0;
}

static inline struct mlt_slice mlt_buf_view(const struct mlt_buf *buf)
{
    return (struct mlt_slice){ buf->data, buf->len };
}

#endif
