#include "meltica/base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#define CAPACITY_MIN 256u

void mlt_buf_init(struct mlt_buf *buf, size_t max_bytes)
{
    *buf = (struct mlt_buf){ .max = max_bytes };
}

void mlt_buf_fini(struct mlt_buf *buf)
{
    free(buf->data);
    mlt_buf_init(buf, buf->max);
}

enum mlt_status mlt_buf_reserve(struct mlt_buf *buf, size_t extra_bytes)
{
    if (extra_bytes > buf->max || buf->len > buf->max - extra_bytes) {
        return MLT_E_TOO_BIG;
    }
    const size_t need = buf->len + extra_bytes;
    if (need <= buf->capacity) {
        return MLT_OK;
    }
    size_t capacity = buf->capacity < CAPACITY_MIN ? CAPACITY_MIN : buf->capacity;
    while (capacity < need) {
        capacity = capacity > buf->max / 2 ? buf->max : capacity * 2;
    }
    if (capacity > buf->max) {
        capacity = buf->max;
    }
    uint8_t *data = realloc(buf->data, capacity);
    if (data == NULL) {
        return MLT_E_NOMEM;
    }
    buf->data = data;
    buf->capacity = capacity;
    return MLT_OK;
}

enum mlt_status mlt_buf_append(struct mlt_buf *buf, const void *data, size_t len)
{
    if (len == 0) {
        return MLT_OK;
    }
    const enum mlt_status status = mlt_buf_reserve(buf, len);
    if (status == MLT_OK) {
        memcpy(buf->data + buf->len, data, len);
        buf->len += len;
    }
    return status;
}

enum mlt_status mlt_buf_append_string(struct mlt_buf *buf, const char *text)
{
    return mlt_buf_append(buf, text, strlen(text));
}

enum mlt_status mlt_buf_append_byte(struct mlt_buf *buf, uint8_t byte)
{
    return mlt_buf_append(buf, &byte, 1);
}

/* Appends the len bytes that format gives. vsnprintf wants room for a NUL that does not become part
 * of the buffer; a text that fills the buffer to its ceiling is therefore printed beside it. */
MLT_PRINTF(3, 0)
static enum mlt_status print_exactly(struct mlt_buf *buf, size_t len, const char *format,
                                     va_list args)
{
    const size_t room = len + 1;
    enum mlt_status status = mlt_buf_reserve(buf, len);
    if (status != MLT_OK || len == 0) {
        return status;
    }
    if (buf->max - buf->len >= room) {
        status = mlt_buf_reserve(buf, room);
        if (status != MLT_OK) {
            return status;
        }
        if (vsnprintf((char *)buf->data + buf->len, room, format, args) != (int)len) {
            return MLT_E_INVALID;
        }
        buf->len += len;
        return MLT_OK;
    }
    char *text = malloc(room);
    if (text == NULL) {
        return MLT_E_NOMEM;
    }
    status = vsnprintf(text, room, format, args) == (int)len ? mlt_buf_append(buf, text, len)
                                                             : MLT_E_INVALID;
    free(text);
    return status;
}

enum mlt_status mlt_buf_printf(struct mlt_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    const int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    enum mlt_status status = MLT_E_INVALID;
    if (len >= 0) {
        status = print_exactly(buf, (size_t)len, format, again);
    }
    va_end(again);
    return status;
}

void mlt_buf_consume(struct mlt_buf *buf, size_t count)
{
    if (count >= buf->len) {
        buf->len = 0;
        return;
    }
    memmove(buf->data, buf->data + count, buf->len - count);
    buf->len -= count;
}

size_t mlt_utf8_length(const uint8_t *text, size_t len)
{
    const uint8_t c = text[0];
    if (c < 0x80) {
        return 1;
    }
    size_t n;
    uint8_t low = 0x80, high = 0xbf;
    if (c >= 0xc2 && c <= 0xdf) {
        n = 2;
    } else if (c >= 0xe0 && c <= 0xef) {
        n = 3;
        low = c == 0xe0 ? 0xa0 : low;
        high = c == 0xed ? 0x9f : high;
    } else if (c >= 0xf0 && c <= 0xf4) {
        n = 4;
        low = c == 0xf0 ? 0x90 : low;
        high = c == 0xf4 ? 0x8f : high;
    } else {
        return 0;
    }
    if (len < n || text[1] < low || text[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < n; i++) {
        if (text[i] < 0x80 || text[i] > 0xbf) {
            return 0;
        }
    }
    return n;
}

bool mlt_utf8_is_control(const uint8_t *text, size_t len)
{
    return text[0] < 0x20 || text[0] == 0x7f ||
           (len > 1 && text[0] == 0xc2 && text[1] >= 0x80 && text[1] <= 0x9f);
}

static enum mlt_status append_escaped(struct mlt_buf *buf, uint8_t c)
{
    switch (c) {
    case '"':
        return mlt_buf_append(buf, "\\\"", 2);
    case '\\':
        return mlt_buf_append(buf, "\\\\", 2);
    case '\n':
        return mlt_buf_append(buf, "\\n", 2);
    case '\r':
        return mlt_buf_append(buf, "\\r", 2);
    case '\t':
        return mlt_buf_append(buf, "\\t", 2);
    default:
        return mlt_buf_printf(buf, "\\u%04x", (unsigned)c);
    }
}

/* Length of the prefix of text that goes into a JSON string as it is. */
static size_t plain_length(struct mlt_slice text)
{
    size_t i = 0;
    while (i < text.len) {
        const uint8_t c = text.data[i];
        if (c == '"' || c == '\\' || mlt_utf8_is_control(text.data + i, text.len - i)) {
            break;
        }
        const size_t n = mlt_utf8_length(text.data + i, text.len - i);
        if (n == 0) {
            break;
        }
        i += n;
    }
    return i;
}

enum mlt_status mlt_buf_append_json_string(struct mlt_buf *buf, struct mlt_slice text)
{
    const size_t start = buf->len;
    enum mlt_status status = mlt_buf_append_byte(buf, '"');
    while (status == MLT_OK && text.len > 0) {
        size_t n = plain_length(text);
        if (n > 0) {
            status = mlt_buf_append(buf, text.data, n);
        } else {
            n = mlt_utf8_length(text.data, text.len);
            status = n == 0 ? mlt_buf_append(buf, "\xef\xbf\xbd", 3)
                            /* of two bytes: U+0080 to U+009F, whose second byte it is */
                            : append_escaped(buf, text.data[n - 1]);
            n = n > 0 ? n : 1;
        }
        text = mlt_slice_of(text.data + n, text.len - n);
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_byte(buf, '"');
    }
    if (status != MLT_OK) {
        buf->len = start;
    }
    return status;
}
