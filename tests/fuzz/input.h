/* Takes an input apart from its front: what a harness needs besides the bytes for the parser. */
#ifndef MELTICA_TESTS_FUZZ_INPUT_H
#define MELTICA_TESTS_FUZZ_INPUT_H

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "meltica/base/check.h"
#include "meltica/base/slice.h"

/* 0 at the end. */
static inline unsigned take_byte(struct mlt_slice *in)
{
    if (in->len == 0) {
        return 0;
    }
    in->len--;
    return *in->data++;
}

/* Two bytes of length, little-endian, and as many bytes as there are of it. */
static inline struct mlt_slice take_block(struct mlt_slice *in)
{
    const unsigned low = take_byte(in);
    const size_t want = low | (size_t)take_byte(in) << 8;
    const struct mlt_slice block = { in->data, want < in->len ? want : in->len };
    in->data += block.len;
    in->len -= block.len;
    return block;
}

/* Up to the line end, which is taken too; the rest where there is none. */
static inline struct mlt_slice take_line(struct mlt_slice *in)
{
    struct mlt_slice line = { in->data, 0 };
    while (in->len > 0) {
        const unsigned byte = take_byte(in);
        if (byte == '\n') {
            break;
        }
        line.len++;
    }
    return line;
}

/* A copy of exactly that length, so that a sanitizer sees a read behind it, and `padding` zeros
 * where a parser may write. The caller's to free. */
static inline char *copy_of(struct mlt_slice bytes, size_t padding)
{
    char *copy = malloc(bytes.len + padding + 1);
    MLT_CHECK(copy != NULL);
    if (bytes.len > 0) {
        memcpy(copy, bytes.data, bytes.len);
    }
    memset(copy + bytes.len, 0, padding + 1);
    return copy;
}

#endif
