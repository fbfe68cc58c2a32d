/* Envelope of the canonical event, and the walk over a batch of them. */
#include "meltica/event/event.h"

#include "payload.h"
#include "wire.h"

static void put_source(struct writer *w, const void *message)
{
    const struct mlt_event *e = message;
    put_uint(w, 1, e->route);
    put_sint(w, 2, e->first);
    put_sint(w, 3, e->last);
    put_bytes(w, 4, e->rest_function);
    put_bytes(w, 5, e->exchange);
}

/* Relative stamps are members of oneofs on the wire: a known 0 is written too. */
static void put_stamp(struct writer *w, uint32_t field, int64_t received, int64_t stamp)
{
    if (stamp != MLT_STAMP_UNKNOWN) {
        put_tag(w, field, WIRE_VARINT);
        put_varint(w, zigzag((int64_t)((uint64_t)stamp - (uint64_t)received)));
    }
}

static void put_stamps(struct writer *w, const void *message)
{
    const struct mlt_stamps *s = message;
    put_fixed64(w, 1, (uint64_t)s->received);
    put_stamp(w, 2, s->received, s->exchange);
    put_stamp(w, 3, s->received, s->adapted);
    put_stamp(w, 4, s->received, s->dispatched);
    put_stamp(w, 5, s->received, s->conducted);
    put_stamp(w, 6, s->received, s->published);
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++) {
        any |= bytes[i];
    }
    return any == 0;
}

static void put_event(struct writer *w, const struct mlt_event *e)
{
    put_bytes(w, 1, e->instrument);
    put_uint(w, 2, (uint64_t)e->type);
    put_fixed64(w, 3, e->key);
    put_uint(w, 4, e->epoch);
    put_uint(w, 5, e->sequence);
    put_message(w, 6, put_source, e);
    if (!all_zero(e->trace_id, sizeof e->trace_id)) {
        put_bytes(w, 7, mlt_slice_of(e->trace_id, sizeof e->trace_id));
    }
    put_message(w, 8, put_stamps, &e->stamps);
    put_uint(w, 9, e->quality);
    put_uint(w, 10, e->route_revision);
    put_uint(w, 11, e->lane_previous);
    put_uint(w, 12, e->merged);
    put_uint(w, 13, e->throttled_ns);
    put_uint(w, 14, e->trace_flags);
    mlt_payload_put(w, (int)e->type, &e->u);
}

size_t mlt_event_encoded_size(const struct mlt_event *event)
{
    struct writer w = { NULL, 0 };
    put_event(&w, event);
    return w.len;
}

size_t mlt_event_encode(const struct mlt_event *event, uint8_t *out)
{
    struct writer w = { out, 0 };
    put_event(&w, event);
    return w.len;
}

static enum mlt_status take_source(struct mlt_slice rest, struct mlt_event *e)
{
    struct field f;
    enum mlt_status status;
    bool in_range = true;
    while ((status = take_field(&rest, &f)) == MLT_OK) {
        const bool varint = f.number >= 1 && f.number <= 3;
        const bool text = f.number == 4 || f.number == 5;
        if ((varint && f.type != WIRE_VARINT) || (text && f.type != WIRE_BYTES) ||
            (f.number == 1 && f.value > UINT32_MAX)) {
            return MLT_E_PARSE;
        }
        if (f.number == 1) {
            e->route = (uint32_t)f.value;
        } else if (f.number == 2) {
            e->first = unzigzag(f.value);
            in_range = in_range && mlt_source_position_valid(e->first);
        } else if (f.number == 3) {
            e->last = unzigzag(f.value);
            in_range = in_range && mlt_source_position_valid(e->last);
        } else if (f.number == 4) {
            e->rest_function = f.bytes;
        } else if (f.number == 5) {
            e->exchange = f.bytes;
        }
    }
    if (status != MLT_E_EMPTY) {
        return status;
    }
    return in_range ? MLT_OK : MLT_E_RANGE;
}

static enum mlt_status take_stamps(struct mlt_slice rest, struct mlt_stamps *s)
{
    int64_t *const stamps[5] = { &s->exchange, &s->adapted, &s->dispatched, &s->conducted,
                                 &s->published };
    bool known[5] = { false };
    int64_t relative[5] = { 0 };
    struct field f;
    enum mlt_status status;
    while ((status = take_field(&rest, &f)) == MLT_OK) {
        if (f.number == 1) {
            if (f.type != WIRE_FIXED64) {
                return MLT_E_PARSE;
            }
            s->received = (int64_t)f.value;
        } else if (f.number >= 2 && f.number <= 6) {
            if (f.type != WIRE_VARINT) {
                return MLT_E_PARSE;
            }
            known[f.number - 2] = true;
            relative[f.number - 2] = unzigzag(f.value);
        }
    }
    /* received may stand anywhere in the message, so the sums come last. */
    for (unsigned i = 0; i < 5; i++) {
        *stamps[i] =
            known[i] ? (int64_t)((uint64_t)s->received + (uint64_t)relative[i]) : MLT_STAMP_UNKNOWN;
    }
    return status == MLT_E_EMPTY ? MLT_OK : status;
}

static enum mlt_status take_scalar(const struct field *f, struct mlt_event *e)
{
    if (f->type != WIRE_VARINT) {
        return MLT_E_PARSE;
    }
    switch (f->number) {
    case 2:
        if (f->value >= MLT_EVENT_TYPE_COUNT) {
            return MLT_E_UNMAPPED;
        }
        e->type = (enum mlt_event_type)f->value;
        return MLT_OK;
    case 4:
        e->epoch = f->value;
        return MLT_OK;
    case 5:
        e->sequence = f->value;
        return MLT_OK;
    case 9:
        e->quality = (uint32_t)f->value;
        return f->value <= UINT32_MAX ? MLT_OK : MLT_E_PARSE;
    case 10:
        e->route_revision = f->value;
        return MLT_OK;
    case 11:
        e->lane_previous = f->value;
        return MLT_OK;
    case 12:
        e->merged = (uint32_t)f->value;
        return f->value <= UINT32_MAX ? MLT_OK : MLT_E_PARSE;
    case 14:
        e->trace_flags = (uint32_t)f->value;
        return f->value <= UINT32_MAX ? MLT_OK : MLT_E_PARSE;
    default:
        e->throttled_ns = f->value;
        return MLT_OK;
    }
}

static enum mlt_status take_bytes_field(const struct field *f, struct mlt_arena *arena,
                                        enum mlt_event_type *payload_type, struct mlt_event *e)
{
    if (f->type != WIRE_BYTES) {
        return MLT_E_PARSE;
    }
    switch (f->number) {
    case 1:
        if (f->bytes.len > MLT_INSTRUMENT_BYTES_MAX) {
            return MLT_E_TOO_BIG;
        }
        e->instrument = f->bytes;
        return MLT_OK;
    case 6:
        return take_source(f->bytes, e);
    case 7:
        if (f->bytes.len != MLT_TRACE_ID_BYTES) {
            return MLT_E_PARSE;
        }
        memcpy(e->trace_id, f->bytes.data, MLT_TRACE_ID_BYTES);
        return MLT_OK;
    case 8:
        return take_stamps(f->bytes, &e->stamps);
    default:
        /* Two payloads: the last one counts, as protobuf has it for a oneof. */
        *payload_type = mlt_payload_type_of_field(f->number);
        memset(&e->u, 0, sizeof e->u);
        return mlt_payload_take(*payload_type, f->bytes, arena, &e->u);
    }
}

enum mlt_status mlt_event_decode(struct mlt_slice bytes, struct mlt_arena *arena,
                                 struct mlt_event *out)
{
    memset(out, 0, sizeof *out);
    out->stamps.exchange = MLT_STAMP_UNKNOWN;
    out->stamps.adapted = MLT_STAMP_UNKNOWN;
    out->stamps.dispatched = MLT_STAMP_UNKNOWN;
    out->stamps.conducted = MLT_STAMP_UNKNOWN;
    out->stamps.published = MLT_STAMP_UNKNOWN;
    enum mlt_event_type payload_type = MLT_EVENT_NONE;
    struct field f;
    enum mlt_status status;
    while ((status = take_field(&bytes, &f)) == MLT_OK) {
        if (f.number == 3) {
            status = f.type == WIRE_FIXED64 ? MLT_OK : MLT_E_PARSE;
            out->key = f.value;
        } else if (f.number == 2 || f.number == 4 || f.number == 5 ||
                   (f.number >= 9 && f.number <= 14)) {
            status = take_scalar(&f, out);
        } else if (f.number == 1 || (f.number >= 6 && f.number <= 8) ||
                   mlt_payload_type_of_field(f.number) != MLT_EVENT_NONE) {
            status = take_bytes_field(&f, arena, &payload_type, out);
        }
        if (status != MLT_OK) {
            return status;
        }
    }
    if (status != MLT_E_EMPTY) {
        return status;
    }
    if (out->instrument.len == 0 || out->type == MLT_EVENT_NONE || payload_type != out->type) {
        return MLT_E_MISSING;
    }
    return mlt_instrument_token_valid(out->instrument) ? MLT_OK : MLT_E_PARSE;
}

enum mlt_status mlt_batch_next(struct mlt_slice *rest, struct mlt_slice *element)
{
    struct field f;
    enum mlt_status status;
    while ((status = take_field(rest, &f)) == MLT_OK) {
        if (f.number == 1) {
            if (f.type != WIRE_BYTES) {
                return MLT_E_PARSE;
            }
            *element = f.bytes;
            return MLT_OK;
        }
    }
    return status;
}

size_t mlt_batch_element_header(size_t element_bytes, uint8_t *out)
{
    struct writer w = { out, 0 };
    put_tag(&w, 1, WIRE_BYTES);
    put_varint(&w, element_bytes);
    return w.len;
}
