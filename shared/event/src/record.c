#include "meltica/event/record.h"

#include "parts.h"

static void put_heads(struct writer *w, uint32_t field, const struct mlt_head *heads, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        put_message(w, field, mlt_put_head, &heads[i]);
    }
}

static void put_record(struct writer *w, const struct mlt_snapshot_record *r)
{
    put_bytes(w, 1, r->event);
    put_uint(w, 2, r->epoch);
    put_sint(w, 3, r->last_update_id);
    put_fixed64(w, 4, (uint64_t)r->committed_ns);
    put_heads(w, 5, r->heads, r->head_count);
    put_sint(w, 6, r->snapshot_update_id);
    put_fixed64(w, 7, (uint64_t)r->snapshot_time_ns);
    put_uint(w, 8, r->deltas_applied);
    put_uint(w, 9, (uint64_t)r->state);
    put_uint(w, 10, r->throttle_ms);
    put_fixed64(w, 11, (uint64_t)r->refresh_due_ns);
    put_uint(w, 12, r->source_up ? 1 : 0);
}

static void put_checkpoint(struct writer *w, const struct mlt_book_checkpoint *c)
{
    put_bytes(w, 1, c->instrument);
    put_uint(w, 2, c->epoch);
    put_sint(w, 3, c->last_update_id);
    put_message(w, 4, mlt_put_levels, &c->bids);
    put_message(w, 5, mlt_put_levels, &c->asks);
    put_fixed32(w, 6, c->digest);
    put_uint(w, 7, c->digest_version);
    put_fixed64(w, 8, (uint64_t)c->time_ns);
    put_heads(w, 9, c->heads, c->head_count);
    put_sint(w, 10, c->snapshot_update_id);
    put_fixed64(w, 11, (uint64_t)c->snapshot_time_ns);
    put_uint(w, 12, (uint64_t)c->state);
    put_uint(w, 13, c->bids_whole ? 1 : 0);
    put_uint(w, 14, c->asks_whole ? 1 : 0);
}

size_t mlt_snapshot_record_encoded_size(const struct mlt_snapshot_record *record)
{
    return mlt_snapshot_record_encode(record, NULL);
}

size_t mlt_snapshot_record_encode(const struct mlt_snapshot_record *record, uint8_t *out)
{
    struct writer w = { out, 0 };
    put_record(&w, record);
    return w.len;
}

size_t mlt_book_checkpoint_encoded_size(const struct mlt_book_checkpoint *checkpoint)
{
    return mlt_book_checkpoint_encode(checkpoint, NULL);
}

size_t mlt_book_checkpoint_encode(const struct mlt_book_checkpoint *checkpoint, uint8_t *out)
{
    struct writer w = { out, 0 };
    put_checkpoint(&w, checkpoint);
    return w.len;
}

static int64_t take_update_id(struct take *t, const struct field *f)
{
    const int64_t id = take_sint(t, f);
    if (t->status == MLT_OK && !mlt_source_position_valid(id)) {
        t->status = MLT_E_RANGE;
    }
    return id;
}

static void take_record(struct take *t, const struct field *f, struct mlt_snapshot_record *r)
{
    switch (f->number) {
    case 1:
        r->event = take_bytes(t, f);
        break;
    case 2:
        r->epoch = number(t, f, WIRE_VARINT);
        break;
    case 3:
        r->last_update_id = take_update_id(t, f);
        break;
    case 4:
        r->committed_ns = (int64_t)number(t, f, WIRE_FIXED64);
        break;
    case 5:
        mlt_take_head(t, f, r->heads, &r->head_count);
        break;
    case 6:
        r->snapshot_update_id = take_update_id(t, f);
        break;
    case 7:
        r->snapshot_time_ns = (int64_t)number(t, f, WIRE_FIXED64);
        break;
    case 8:
        r->deltas_applied = number(t, f, WIRE_VARINT);
        break;
    case 9:
        r->state = take_state(t, f);
        break;
    case 10:
        r->throttle_ms = take_uint32(t, f);
        break;
    case 11:
        r->refresh_due_ns = (int64_t)number(t, f, WIRE_FIXED64);
        break;
    case 12:
        r->source_up = number(t, f, WIRE_VARINT) != 0;
        break;
    default:
        break;
    }
}

enum mlt_status mlt_snapshot_record_decode(struct mlt_slice bytes, struct mlt_snapshot_record *out)
{
    struct take t = { NULL, MLT_OK };
    memset(out, 0, sizeof *out);
    EACH_FIELD (&t, bytes, f) {
        take_record(&t, &f, out);
    }
    if (t.status != MLT_OK) {
        return t.status;
    }
    return out->event.len > 0 ? MLT_OK : MLT_E_MISSING;
}

/* The fields that are neither who nor what, from 6 on. */
static void take_checkpoint_rest(struct take *t, const struct field *f,
                                 struct mlt_book_checkpoint *c)
{
    switch (f->number) {
    case 6:
        c->digest = (uint32_t)number(t, f, WIRE_FIXED32);
        break;
    case 7:
        c->digest_version = take_uint32(t, f);
        break;
    case 8:
        c->time_ns = (int64_t)number(t, f, WIRE_FIXED64);
        break;
    case 9:
        mlt_take_head(t, f, c->heads, &c->head_count);
        break;
    case 10:
        c->snapshot_update_id = take_sint(t, f);
        break;
    case 11:
        c->snapshot_time_ns = (int64_t)number(t, f, WIRE_FIXED64);
        break;
    case 12:
        c->state = take_state(t, f);
        break;
    case 13:
        c->bids_whole = number(t, f, WIRE_VARINT) != 0;
        break;
    case 14:
        c->asks_whole = number(t, f, WIRE_VARINT) != 0;
        break;
    default:
        break;
    }
}

static void take_checkpoint(struct take *t, const struct field *f, struct mlt_book_checkpoint *c)
{
    switch (f->number) {
    case 1:
        c->instrument = take_bytes(t, f);
        if (t->status == MLT_OK && c->instrument.len > MLT_INSTRUMENT_BYTES_MAX) {
            t->status = MLT_E_TOO_BIG;
        }
        break;
    case 2:
        c->epoch = number(t, f, WIRE_VARINT);
        break;
    case 3:
        c->last_update_id = take_update_id(t, f);
        break;
    case 4:
        mlt_take_levels(t, f, &c->bids);
        break;
    case 5:
        mlt_take_levels(t, f, &c->asks);
        break;
    default:
        take_checkpoint_rest(t, f, c);
        break;
    }
}

enum mlt_status mlt_book_checkpoint_decode(struct mlt_slice bytes, struct mlt_arena *arena,
                                           struct mlt_book_checkpoint *out)
{
    struct take t = { arena, MLT_OK };
    memset(out, 0, sizeof *out);
    EACH_FIELD (&t, bytes, f) {
        take_checkpoint(&t, &f, out);
    }
    if (t.status != MLT_OK) {
        return t.status;
    }
    if (out->instrument.len == 0) {
        return MLT_E_MISSING;
    }
    return mlt_instrument_token_valid(out->instrument) ? MLT_OK : MLT_E_PARSE;
}
