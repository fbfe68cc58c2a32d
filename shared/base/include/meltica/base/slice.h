/* Non-owning view of bytes, passed by value. Not NUL-terminated. The bytes outlive the view by the
 * contract of whoever handed it out. */
#ifndef MELTICA_BASE_SLICE_H
#define MELTICA_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct mlt_slice {
    const uint8_t *data; /* may be NULL when len is 0 */
    size_t len;          /* bytes */
};

#define MLT_SLICE_EMPTY ((struct mlt_slice){ NULL, 0 })
#define MLT_SLICE_LITERAL(s) ((struct mlt_slice){ (const uint8_t *)("" s), sizeof(s) - 1 })
/* For printf("%.*s"): MLT_SLICE_FMT(s) gives both arguments. */
#define MLT_SLICE_FMT(s) (int)(s).len, (const char *)((s).data ? (s).data : (const uint8_t *)"")

static inline struct mlt_slice mlt_slice_of(const void *data, size_t len)
{
    return (struct mlt_slice){ (const uint8_t *)data, len };
}

static inline struct mlt_slice mlt_slice_of_string(const char *text)
{
    return (struct mlt_slice){ (const uint8_t *)text, text != NULL ? strlen(text) : 0 };
}

static inline bool mlt_slice_equal(struct mlt_slice a, struct mlt_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool mlt_slice_equal_string(struct mlt_slice a, const char *text)
{
    return mlt_slice_equal(a, mlt_slice_of_string(text));
}

static inline bool mlt_slice_starts_with(struct mlt_slice a, struct mlt_slice prefix)
{
    return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.data, prefix.data, prefix.len) == 0);
}

#endif
