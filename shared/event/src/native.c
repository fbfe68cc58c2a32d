/* Codecs of the inner hops: native instances and the header of a batch. */
#include "meltica/event/native.h"

#include "payload.h"
#include "wire.h"

#define FIELD_UNPARSED 30u
#define FIELD_HOP 15u

static void put_unparsed(struct writer *w, const void *message)
{
    const struct mlt_native_event *e = message;
    const struct mlt_slice original = e->u.unparsed.original;
    const size_t kept = original.len < MLT_UNPARSED_ORIGINAL_BYTES_MAX
                            ? original.len
                            : MLT_UNPARSED_ORIGINAL_BYTES_MAX;
    put_bytes(w, 1, e->u.unparsed.reason);
    put_bytes(w, 2, mlt_slice_of(original.data, kept));
    put_uint(w, 3, e->u.unparsed.original_bytes);
    put_bytes(w, 4, e->u.unparsed.topic);
}

static int64_t relative(int64_t stamp, int64_t received)
{
    return (int64_t)((uint64_t)stamp - (uint64_t)received);
}

static int64_t absolute(uint64_t wire, int64_t received)
{
    return (int64_t)((uint64_t)received + (uint64_t)unzigzag(wire));
}

static void put_native(struct writer *w, const struct mlt_native_event *e)
{
    static const uint8_t no_trace[MLT_TRACE_ID_BYTES];
    put_bytes(w, 1, e->instrument);
    put_uint(w, 2, e->route);
    if (memcmp(e->trace_id, no_trace, sizeof no_trace) != 0) {
        put_bytes(w, 3, mlt_slice_of(e->trace_id, sizeof e->trace_id));
    }
    put_fixed64(w, 4, (uint64_t)e->received);
    if (e->exchange != MLT_STAMP_UNKNOWN) {
        put_tag(w, 5, WIRE_VARINT);
        put_varint(w, zigzag(relative(e->exchange, e->received)));
    }
    put_sint(w, 6, relative(e->adapted, e->received));
    put_sint(w, 7, e->first);
    put_sint(w, 8, e->last);
    put_bytes(w, 9, e->rest_function);
    put_uint(w, 10, e->trace_flags);
    if (e->type == MLT_NATIVE_UNPARSED) {
        put_message(w, FIELD_UNPARSED, put_unparsed, e);
    } else {
        mlt_payload_put(w, e->type, &e->u);
    }
}

size_t mlt_native_encoded_size(const struct mlt_native_event *event)
{
    struct writer w = { NULL, 0 };
    put_native(&w, event);
    return w.len;
}

size_t mlt_native_encode(const struct mlt_native_event *event, uint8_t *out)
{
    struct writer w = { out, 0 };
    put_native(&w, event);
    return w.len;
}

static enum mlt_status take_unparsed(struct mlt_slice rest, struct mlt_native_event *e)
{
    struct field f;
    enum mlt_status status;
    while ((status = take_field(&rest, &f)) == MLT_OK) {
        if (f.number == 0 || f.number > 4) {
            continue;
        }
        if (f.type != (f.number == 3 ? WIRE_VARINT : WIRE_BYTES) ||
            (f.number == 3 && f.value > UINT32_MAX)) {
            return MLT_E_PARSE;
        }
        switch (f.number) {
        case 1:
            e->u.unparsed.reason = f.bytes;
            break;
        case 2:
            e->u.unparsed.original = f.bytes;
            break;
        case 3:
            e->u.unparsed.original_bytes = (uint32_t)f.value;
            break;
        default:
            e->u.unparsed.topic = f.bytes;
            break;
        }
    }
    return status == MLT_E_EMPTY ? MLT_OK : status;
}

/* Stamps that are relative on the wire wait for received, which may stand anywhere. */
struct pending_stamps {
    bool exchange_known;
    uint64_t exchange, adapted;
};

static enum mlt_status take_number(const struct field *f, struct pending_stamps *stamps,
                                   struct mlt_native_event *e)
{
    if (f->type != (f->number == 4 ? WIRE_FIXED64 : WIRE_VARINT)) {
        return MLT_E_PARSE;
    }
    switch (f->number) {
    case 2:
        e->route = (uint32_t)f->value;
        return f->value <= UINT32_MAX ? MLT_OK : MLT_E_PARSE;
    case 4:
        e->received = (int64_t)f->value;
        return MLT_OK;
    case 5:
        stamps->exchange_known = true;
        stamps->exchange = f->value;
        return MLT_OK;
    case 6:
        stamps->adapted = f->value;
        return MLT_OK;
    case 7:
        e->first = unzigzag(f->value);
        return mlt_source_position_valid(e->first) ? MLT_OK : MLT_E_RANGE;
    case 10:
        e->trace_flags = (uint32_t)f->value;
        return f->value <= UINT32_MAX ? MLT_OK : MLT_E_PARSE;
    default:
        e->last = unzigzag(f->value);
        return mlt_source_position_valid(e->last) ? MLT_OK : MLT_E_RANGE;
    }
}

/* NONE also for a BOOK, which no exchange sends: an instance has no place for one. */
static enum mlt_event_type payload_of_field(uint32_t field)
{
    const enum mlt_event_type type = mlt_payload_type_of_field(field);
    return type == MLT_EVENT_BOOK ? MLT_EVENT_NONE : type;
}

static enum mlt_status take_bytes(const struct field *f, struct mlt_arena *arena,
                                  struct mlt_native_event *e)
{
    if (f->type != WIRE_BYTES) {
        return MLT_E_PARSE;
    }
    switch (f->number) {
    case 1:
        e->instrument = f->bytes;
        return f->bytes.len <= MLT_INSTRUMENT_BYTES_MAX ? MLT_OK : MLT_E_TOO_BIG;
    case 3:
        if (f->bytes.len != MLT_TRACE_ID_BYTES) {
            return MLT_E_PARSE;
        }
        memcpy(e->trace_id, f->bytes.data, MLT_TRACE_ID_BYTES);
        return MLT_OK;
    case 9:
        e->rest_function = f->bytes;
        return MLT_OK;
    case FIELD_UNPARSED:
        memset(&e->u, 0, sizeof e->u);
        e->type = MLT_NATIVE_UNPARSED;
        return take_unparsed(f->bytes, e);
    default:
        memset(&e->u, 0, sizeof e->u);
        e->type = (int)payload_of_field(f->number);
        return mlt_payload_take((enum mlt_event_type)e->type, f->bytes, arena, &e->u);
    }
}

enum mlt_status mlt_native_decode(struct mlt_slice bytes, struct mlt_arena *arena,
                                  struct mlt_native_event *out)
{
    struct mlt_native_event e = { .type = MLT_EVENT_NONE };
    struct pending_stamps stamps = { .exchange_known = false };
    struct field f;
    enum mlt_status status;
    while ((status = take_field(&bytes, &f)) == MLT_OK) {
        const bool number = f.number == 2 || (f.number >= 4 && f.number <= 8) || f.number == 10;
        const bool text = f.number == 1 || f.number == 3 || f.number == 9 ||
                          f.number == FIELD_UNPARSED ||
                          payload_of_field(f.number) != MLT_EVENT_NONE;
        enum mlt_status taken = MLT_OK;
        if (number) {
            taken = take_number(&f, &stamps, &e);
        } else if (text) {
            taken = take_bytes(&f, arena, &e);
        }
        if (taken != MLT_OK) {
            return taken;
        }
    }
    if (status != MLT_E_EMPTY) {
        return status;
    }
    if (e.type == MLT_EVENT_NONE || (e.instrument.len == 0 && e.type != MLT_NATIVE_UNPARSED)) {
        return MLT_E_MISSING;
    }
    e.exchange = stamps.exchange_known ? absolute(stamps.exchange, e.received) : MLT_STAMP_UNKNOWN;
    e.adapted = absolute(stamps.adapted, e.received);
    *out = e;
    return MLT_OK;
}

/* ---- hop header ---- */

static uint8_t *put_hop64(uint8_t *p, uint32_t field, uint64_t v)
{
    *p++ = (uint8_t)(field << 3 | WIRE_FIXED64);
    for (unsigned i = 0; i < 8; i++) {
        *p++ = (uint8_t)(v >> (8 * i));
    }
    return p;
}

void mlt_hop_encode(const struct mlt_hop *hop, uint8_t out[MLT_HOP_BYTES])
{
    uint8_t *p = out;
    *p++ = (uint8_t)(FIELD_HOP << 3 | WIRE_BYTES);
    *p++ = MLT_HOP_BYTES - 2;
    p = put_hop64(p, 1, hop->boot);
    p = put_hop64(p, 2, hop->number);
    p = put_hop64(p, 3, hop->oldest);
    p = put_hop64(p, 4, hop->resume);
    p = put_hop64(p, 5, hop->epoch);
    *p++ = (uint8_t)(6u << 3 | WIRE_FIXED32);
    for (unsigned i = 0; i < 4; i++) {
        *p++ = (uint8_t)(hop->flags >> (8 * i));
    }
}

static enum mlt_status take_hop(struct mlt_slice rest, struct mlt_hop *hop)
{
    uint64_t *const fields[5] = { &hop->boot, &hop->number, &hop->oldest, &hop->resume,
                                  &hop->epoch };
    struct field f;
    enum mlt_status status;
    while ((status = take_field(&rest, &f)) == MLT_OK) {
        if (f.number >= 1 && f.number <= 5) {
            if (f.type != WIRE_FIXED64) {
                return MLT_E_PARSE;
            }
            *fields[f.number - 1] = f.value;
        } else if (f.number == 6) {
            if (f.type != WIRE_FIXED32) {
                return MLT_E_PARSE;
            }
            hop->flags = (uint32_t)f.value;
        }
    }
    return status == MLT_E_EMPTY ? MLT_OK : status;
}

enum mlt_status mlt_hop_decode(struct mlt_slice batch, struct mlt_hop *hop)
{
    struct field f;
    enum mlt_status status;
    while ((status = take_field(&batch, &f)) == MLT_OK) {
        if (f.number == FIELD_HOP) {
            if (f.type != WIRE_BYTES) {
                return MLT_E_PARSE;
            }
            memset(hop, 0, sizeof *hop);
            return take_hop(f.bytes, hop);
        }
    }
    return status == MLT_E_EMPTY ? MLT_E_MISSING : status;
}
