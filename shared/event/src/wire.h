/*
 * Protobuf wire format, just what the event codec needs (docs/decisions/0003-event-codec.md):
 * https://protobuf.dev/programming-guides/encoding/. A writer without memory only counts.
 */
#ifndef MELTICA_EVENT_WIRE_H
#define MELTICA_EVENT_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "meltica/base/slice.h"
#include "meltica/base/status.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct writer {
    uint8_t *out; /* NULL: count only */
    size_t len;
};

static inline uint64_t zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static inline size_t varint_size(uint64_t v)
{
    /* 7 bits a byte: (bits + 6) / 7, with at least one bit. */
    return ((size_t)(64 - __builtin_clzll(v | 1)) + 6) / 7;
}

static inline void put_varint(struct writer *w, uint64_t v)
{
    if (w->out == NULL) {
        w->len += varint_size(v);
        return;
    }
    uint8_t *p = w->out + w->len;
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    w->len = (size_t)(p - w->out);
}

static inline void put_tag(struct writer *w, uint32_t field, enum wire_type type)
{
    put_varint(w, (uint64_t)field << 3 | (uint64_t)type);
}

static inline void put_raw(struct writer *w, const void *data, size_t len)
{
    if (w->out != NULL && len > 0) {
        memcpy(w->out + w->len, data, len);
    }
    w->len += len;
}

/* The put_… of a field leave out the default value, as proto3 does. */
static inline void put_uint(struct writer *w, uint32_t field, uint64_t v)
{
    if (v != 0) {
        put_tag(w, field, WIRE_VARINT);
        put_varint(w, v);
    }
}

static inline void put_sint(struct writer *w, uint32_t field, int64_t v)
{
    put_uint(w, field, zigzag(v));
}

static inline void put_fixed64(struct writer *w, uint32_t field, uint64_t v)
{
    if (v != 0) {
        put_tag(w, field, WIRE_FIXED64);
        uint8_t bytes[8];
        for (unsigned i = 0; i < 8; i++) {
            bytes[i] = (uint8_t)(v >> (8 * i));
        }
        put_raw(w, bytes, sizeof bytes);
    }
}

static inline void put_fixed32(struct writer *w, uint32_t field, uint32_t v)
{
    if (v != 0) {
        put_tag(w, field, WIRE_FIXED32);
        uint8_t bytes[4];
        for (unsigned i = 0; i < 4; i++) {
            bytes[i] = (uint8_t)(v >> (8 * i));
        }
        put_raw(w, bytes, sizeof bytes);
    }
}

static inline void put_bytes(struct writer *w, uint32_t field, struct mlt_slice v)
{
    if (v.len != 0) {
        put_tag(w, field, WIRE_BYTES);
        put_varint(w, v.len);
        put_raw(w, v.data, v.len);
    }
}

typedef void (*put_fn)(struct writer *w, const void *message);

/* A nested message, present even when all its fields are defaults. */
static inline void put_message(struct writer *w, uint32_t field, put_fn put, const void *message)
{
    struct writer count = { NULL, 0 };
    put(&count, message);
    put_tag(w, field, WIRE_BYTES);
    put_varint(w, count.len);
    if (w->out == NULL) {
        w->len += count.len;
    } else {
        put(w, message);
    }
}

struct field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;         /* VARINT, FIXED64, FIXED32 */
    struct mlt_slice bytes; /* BYTES */
};

/* False on malformed bytes. */
static inline bool take_varint(struct mlt_slice *rest, uint64_t *v)
{
    uint64_t result = 0;
    for (unsigned i = 0; i < 10 && i < rest->len; i++) {
        const uint8_t byte = rest->data[i];
        if (i == 9 && byte > 1) {
            return false;
        }
        result |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            rest->data += i + 1;
            rest->len -= i + 1;
            *v = result;
            return true;
        }
    }
    return false;
}

static inline bool take_fixed(struct mlt_slice *rest, size_t size, uint64_t *v)
{
    if (rest->len < size) {
        return false;
    }
    *v = 0;
    for (size_t i = 0; i < size; i++) {
        *v |= (uint64_t)rest->data[i] << (8 * i);
    }
    rest->data += size;
    rest->len -= size;
    return true;
}

/* Next field; E_EMPTY at the end, E_PARSE on malformed bytes. */
static inline enum mlt_status take_field(struct mlt_slice *rest, struct field *f)
{
    if (rest->len == 0) {
        return MLT_E_EMPTY;
    }
    uint64_t tag = 0;
    if (!take_varint(rest, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff) {
        return MLT_E_PARSE;
    }
    f->number = (uint32_t)(tag >> 3);
    f->value = 0;
    f->bytes = MLT_SLICE_EMPTY;
    bool ok = false;
    switch (tag & 7) {
    case WIRE_VARINT:
        f->type = WIRE_VARINT;
        ok = take_varint(rest, &f->value);
        break;
    case WIRE_FIXED64:
        f->type = WIRE_FIXED64;
        ok = take_fixed(rest, 8, &f->value);
        break;
    case WIRE_FIXED32:
        f->type = WIRE_FIXED32;
        ok = take_fixed(rest, 4, &f->value);
        break;
    case WIRE_BYTES:
        f->type = WIRE_BYTES;
        ok = take_varint(rest, &f->value) && f->value <= rest->len;
        if (ok) {
            f->bytes = mlt_slice_of(rest->data, (size_t)f->value);
            rest->data += f->bytes.len;
            rest->len -= f->bytes.len;
        }
        break;
    default: /* groups are not part of proto3 */
        break;
    }
    return ok ? MLT_OK : MLT_E_PARSE;
}

#endif
