#include <stdio.h>

#include "internal.h"

void mlt_span_begin(struct mlt_span *span, const char *name, enum mlt_span_kind kind,
                    const struct mlt_trace_context *parent, int64_t start_ns)
{
    static const uint8_t no_trace[MLT_TRACE_ID_BYTES];
    memset(span, 0, sizeof *span);
    if (parent != NULL && memcmp(parent->trace_id, no_trace, sizeof no_trace) != 0) {
        memcpy(span->context.trace_id, parent->trace_id, sizeof span->context.trace_id);
        memcpy(span->parent, parent->span_id, sizeof span->parent);
        mlt_trace_new_span(&span->context);
    } else {
        mlt_trace_new_trace(&span->context);
    }
    span->context.flags = MLT_TRACE_SAMPLED;
    span->kind = kind;
    span->start_ns = start_ns;
    (void)snprintf(span->name, sizeof span->name, "%s", name);
}

static void drop(struct mlt_span *span)
{
    if (span->attributes_dropped < UINT8_MAX) {
        span->attributes_dropped++;
    }
}

static struct mlt_span_attribute *next_attribute(struct mlt_span *span, const char *key)
{
    if (span->attribute_count == MLT_SPAN_ATTRIBUTES_MAX) {
        drop(span);
        return NULL;
    }
    struct mlt_span_attribute *attribute = &span->attributes[span->attribute_count++];
    attribute->key = key;
    return attribute;
}

void mlt_span_text(struct mlt_span *span, const char *key, struct mlt_slice value)
{
    const size_t room = sizeof span->text - span->text_len;
    if (value.len >= room) { /* each text has its NUL */
        drop(span);
        return;
    }
    struct mlt_span_attribute *attribute = next_attribute(span, key);
    if (attribute == NULL) {
        return;
    }
    attribute->is_text = true;
    attribute->at = span->text_len;
    attribute->len = (uint16_t)value.len;
    if (value.len > 0) {
        memcpy(span->text + span->text_len, value.data, value.len);
    }
    span->text[span->text_len + value.len] = '\0';
    span->text_len = (uint16_t)(span->text_len + value.len + 1);
}

void mlt_span_number(struct mlt_span *span, const char *key, int64_t value)
{
    struct mlt_span_attribute *attribute = next_attribute(span, key);
    if (attribute != NULL) {
        attribute->number = value;
    }
}

void mlt_span_fail(struct mlt_span *span, struct mlt_slice error)
{
    span->failed = true;
    mlt_span_text(span, "error.type", error);
}
