#include "meltica/trace/context.h"

#include "meltica/base/hash.h"

static char *put_hex(char *out, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    return out;
}

void mlt_traceparent_format(const struct mlt_trace_context *context,
                            char out[MLT_TRACEPARENT_BYTES])
{
    const uint8_t version = 0, flags = (uint8_t)context->flags;
    char *p = put_hex(out, &version, 1);
    *p++ = '-';
    p = put_hex(p, context->trace_id, MLT_TRACE_ID_BYTES);
    *p++ = '-';
    p = put_hex(p, context->span_id, MLT_SPAN_ID_BYTES);
    *p++ = '-';
    p = put_hex(p, &flags, 1);
    *p = '\0';
}

/* Lower case only. */
static bool take_hex(const char *text, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < 2 * len; i++) {
        const char c = text[i];
        const bool digit = c >= '0' && c <= '9';
        if (!digit && !(c >= 'a' && c <= 'f')) {
            return false;
        }
        const uint8_t value = (uint8_t)(digit ? c - '0' : c - 'a' + 10);
        out[i / 2] = (uint8_t)(i % 2 == 0 ? value << 4 : out[i / 2] | value);
    }
    return true;
}

static bool trace_id_set(const uint8_t id[MLT_TRACE_ID_BYTES])
{
    return mlt_span_id_set(id) || mlt_span_id_set(id + MLT_SPAN_ID_BYTES);
}

bool mlt_traceparent_parse(const char *text, struct mlt_trace_context *context)
{
    const size_t len = text != NULL ? strlen(text) : 0;
    struct mlt_trace_context read = { .flags = 0 };
    uint8_t version = 0xff, flags = 0;
    const bool shaped = len >= MLT_TRACEPARENT_BYTES - 1 && text[2] == '-' && text[35] == '-' &&
                        text[52] == '-' && take_hex(text, &version, 1) && version != 0xff &&
                        (version == 0 ? len == MLT_TRACEPARENT_BYTES - 1
                                      : len == MLT_TRACEPARENT_BYTES - 1 || text[55] == '-');
    const bool good = shaped && take_hex(text + 3, read.trace_id, MLT_TRACE_ID_BYTES) &&
                      take_hex(text + 36, read.span_id, MLT_SPAN_ID_BYTES) &&
                      take_hex(text + 53, &flags, 1) && trace_id_set(read.trace_id) &&
                      mlt_span_id_set(read.span_id);
    read.flags = flags;
    *context = good ? read : (struct mlt_trace_context){ .flags = 0 };
    return good;
}

static uint64_t load(const uint8_t *bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static void store(uint64_t value, uint8_t *bytes)
{
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(value >> (56 - 8 * i));
    }
}

void mlt_trace_stage_span(const uint8_t trace_id[MLT_TRACE_ID_BYTES], enum mlt_trace_stage stage,
                          enum mlt_event_type type, uint64_t sequence,
                          uint8_t out[MLT_SPAN_ID_BYTES])
{
    uint64_t which = (uint64_t)stage;
    if (stage >= MLT_TRACE_CONDUCT) {
        which = mlt_mix64(sequence) ^ ((uint64_t)stage << 8 | (uint64_t)type);
    }
    const uint64_t id = mlt_mix64(load(trace_id + 8) ^ mlt_mix64(load(trace_id) + which));
    store(id != 0 ? id : 1, out);
}

void mlt_trace_new_trace(struct mlt_trace_context *context)
{
    store(mlt_random64(), context->trace_id);
    store(mlt_random64(), context->trace_id + 8);
    mlt_trace_new_span(context);
}

void mlt_trace_new_span(struct mlt_trace_context *context)
{
    store(mlt_random64(), context->span_id);
}
