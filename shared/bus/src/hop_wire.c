/* The two small messages between receiver and sender of a hop. */
#include "hop_wire.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct field {
    uint32_t number, type;
    uint64_t value; /* varint, fixed */
    struct mlt_slice bytes;
};

static uint8_t *put_fixed64(uint8_t *out, uint32_t number, uint64_t value)
{
    *out++ = (uint8_t)(number << 3 | WIRE_FIXED64);
    for (int i = 0; i < 8; i++) {
        *out++ = (uint8_t)(value >> (8 * i));
    }
    return out;
}

static enum mlt_status take_varint(struct mlt_slice *rest, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && rest->len > 0; shift += 7) {
        const uint8_t byte = *rest->data++;
        rest->len--;
        *value |= (uint64_t)(byte & 0x7fu) << shift;
        if (byte < 0x80) {
            return MLT_OK;
        }
    }
    return MLT_E_PARSE;
}

static enum mlt_status take_fixed(struct mlt_slice *rest, size_t len, uint64_t *value)
{
    *value = 0;
    if (rest->len < len) {
        return MLT_E_PARSE;
    }
    for (size_t i = 0; i < len; i++) {
        *value |= (uint64_t)rest->data[i] << (8 * i);
    }
    rest->data += len;
    rest->len -= len;
    return MLT_OK;
}

static enum mlt_status take_field(struct mlt_slice *rest, struct field *f)
{
    uint64_t tag = 0;
    if (rest->len == 0) {
        return MLT_E_EMPTY;
    }
    enum mlt_status status = take_varint(rest, &tag);
    if (status != MLT_OK || tag >> 3 == 0 || tag > UINT32_MAX) {
        return MLT_E_PARSE;
    }
    f->number = (uint32_t)(tag >> 3);
    f->type = (uint32_t)(tag & 7u);
    switch (f->type) {
    case WIRE_VARINT:
        return take_varint(rest, &f->value);
    case WIRE_FIXED64:
        return take_fixed(rest, 8, &f->value);
    case WIRE_FIXED32:
        return take_fixed(rest, 4, &f->value);
    case WIRE_BYTES:
        status = take_varint(rest, &f->value);
        if (status != MLT_OK || f->value > rest->len) {
            return MLT_E_PARSE;
        }
        f->bytes = mlt_slice_of(rest->data, (size_t)f->value);
        rest->data += f->bytes.len;
        rest->len -= f->bytes.len;
        return MLT_OK;
    default:
        return MLT_E_PARSE;
    }
}

void hop_repeat_encode(uint64_t boot, uint64_t from, uint8_t out[HOP_REPEAT_BYTES])
{
    (void)put_fixed64(put_fixed64(out, 1, boot), 2, from);
}

enum mlt_status hop_repeat_decode(struct mlt_slice bytes, uint64_t *boot, uint64_t *from)
{
    struct field f;
    enum mlt_status status;
    *boot = *from = 0; /* proto3: what is absent is zero */
    while ((status = take_field(&bytes, &f)) == MLT_OK) {
        if (f.number > 2) {
            continue;
        }
        if (f.type != WIRE_FIXED64) {
            return MLT_E_PARSE;
        }
        *(f.number == 1 ? boot : from) = f.value;
    }
    return status == MLT_E_EMPTY ? MLT_OK : status;
}

size_t hop_ack_encode(const char *service, const struct hop_position *positions, size_t count,
                      uint8_t out[HOP_ACK_BYTES_MAX])
{
    const size_t service_len = strnlen(service, HOP_SERVICE_BYTES_MAX);
    uint8_t *at = out;
    *at++ = 1 << 3 | WIRE_BYTES;
    *at++ = (uint8_t)service_len;
    memcpy(at, service, service_len);
    at += service_len;
    for (size_t i = 0; i < count; i++) {
        *at++ = 2 << 3 | WIRE_BYTES;
        *at++ = HOP_POSITION_BYTES - 2;
        *at++ = 1 << 3 | WIRE_VARINT;
        *at++ = (uint8_t)positions[i].partition;
        at = put_fixed64(at, 2, positions[i].boot);
        at = put_fixed64(at, 3, positions[i].number);
    }
    return (size_t)(at - out);
}

static enum mlt_status take_position(struct mlt_slice bytes, struct hop_position *position)
{
    struct field f;
    enum mlt_status status;
    *position = (struct hop_position){ 0 };
    while ((status = take_field(&bytes, &f)) == MLT_OK) {
        if (f.number > 3) {
            continue;
        }
        if (f.type != (f.number == 1 ? WIRE_VARINT : WIRE_FIXED64)) {
            return MLT_E_PARSE;
        }
        if (f.number == 1) {
            if (f.value > UINT32_MAX) {
                return MLT_E_PARSE;
            }
            position->partition = (uint32_t)f.value;
        } else {
            *(f.number == 2 ? &position->boot : &position->number) = f.value;
        }
    }
    return status == MLT_E_EMPTY ? MLT_OK : status;
}

enum mlt_status hop_ack_next(struct mlt_slice *rest, struct hop_position *position)
{
    struct field f;
    enum mlt_status status;
    while ((status = take_field(rest, &f)) == MLT_OK) {
        if (f.number == 2) {
            return f.type == WIRE_BYTES ? take_position(f.bytes, position) : MLT_E_PARSE;
        }
    }
    return status;
}

enum mlt_status hop_subject_partition(const char *subject, uint32_t *partition, const char **word)
{
    const char *dot = strrchr(subject, '.');
    const char *last = dot != NULL ? dot + 1 : subject;
    *word = last;
    if (last[0] < '0' || last[0] > '9' || last[1] < '0' || last[1] > '9' || last[2] != '\0') {
        return MLT_E_NOT_FOUND;
    }
    *partition = (uint32_t)(last[0] - '0') * 10 + (uint32_t)(last[1] - '0');
    return MLT_OK;
}
