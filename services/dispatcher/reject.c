#include "reject.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/v1/internal.pb-c.h"

/* Upper bound of a packed Rejection: the texts, the original, and 64 bytes for tags, lengths,
 * numbers. */
#define PACKED_BYTES_MAX                                                                           \
    (MLT_UNPARSED_ORIGINAL_BYTES_MAX + MLT_INSTRUMENT_BYTES_MAX + MLT_REJECT_TOPIC_BYTES_MAX +     \
     2 * MLT_REJECT_WORD_BYTES_MAX + MLT_TRACE_ID_BYTES + 128)

struct mlt_rejector {
    struct mlt_reject_ports ports;
    struct mlt_reject_series series[MLT_REJECT_SERIES_MAX];
    size_t series_count;
    int64_t window_at_ns;
    uint32_t window_count;
    uint8_t packed[PACKED_BYTES_MAX];
};

enum mlt_status mlt_rejector_create(const struct mlt_reject_ports *ports,
                                    struct mlt_rejector **rejector)
{
    struct mlt_rejector *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return MLT_E_NOMEM;
    }
    r->ports = *ports;
    *rejector = r;
    return MLT_OK;
}

void mlt_rejector_destroy(struct mlt_rejector *rejector)
{
    free(rejector);
}

/* The reason came over the wire and becomes a subject token and a label: only a plain word may. */
static void word_of(struct mlt_slice text, char out[MLT_REJECT_WORD_BYTES_MAX + 1])
{
    bool good = text.len > 0 && text.len <= MLT_REJECT_WORD_BYTES_MAX;
    for (size_t i = 0; good && i < text.len; i++) {
        const uint8_t c = text.data[i];
        good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    }
    const struct mlt_slice word = good ? text : MLT_SLICE_LITERAL("other");
    memcpy(out, word.data, word.len);
    out[word.len] = '\0';
}

static struct mlt_reject_series *series_of(struct mlt_rejector *r, const char *stage,
                                           struct mlt_slice reason_text)
{
    char reason[MLT_REJECT_WORD_BYTES_MAX + 1];
    word_of(reason_text, reason);
    for (size_t i = 0; i < r->series_count; i++) {
        if (strcmp(r->series[i].stage, stage) == 0 && strcmp(r->series[i].reason, reason) == 0) {
            return &r->series[i];
        }
    }
    /* The last place is kept for what no longer fits. */
    const bool room = r->series_count < MLT_REJECT_SERIES_MAX - 1;
    struct mlt_reject_series *added =
        &r->series[room ? r->series_count : MLT_REJECT_SERIES_MAX - 1];
    if (r->series_count < MLT_REJECT_SERIES_MAX) {
        r->series_count++;
        (void)snprintf(added->stage, sizeof added->stage, "%s", room ? stage : "any");
        (void)snprintf(added->reason, sizeof added->reason, "%s", room ? reason : "other");
    }
    return added;
}

static bool may_publish(struct mlt_rejector *r)
{
    const int64_t now_ns = r->ports.clock->mono_ns(r->ports.clock->ctx);
    if (now_ns - r->window_at_ns >= MLT_NS_PER_S || r->window_at_ns == 0) {
        r->window_at_ns = now_ns;
        r->window_count = 0;
    }
    return r->window_count < MLT_REJECT_PER_SECOND;
}

static void copy_text(char *out, size_t max, struct mlt_slice text)
{
    const size_t len = text.len < max ? text.len : max;
    if (len > 0) {
        memcpy(out, text.data, len);
    }
    out[len] = '\0';
}

static size_t pack(struct mlt_rejector *r, struct mlt_reject_series *series,
                   const struct mlt_rejection *rejection)
{
    char instrument[MLT_INSTRUMENT_BYTES_MAX + 1], topic[MLT_REJECT_TOPIC_BYTES_MAX + 1];
    uint8_t original[MLT_UNPARSED_ORIGINAL_BYTES_MAX], trace_id[MLT_TRACE_ID_BYTES];
    copy_text(instrument, MLT_INSTRUMENT_BYTES_MAX, rejection->instrument);
    copy_text(topic, MLT_REJECT_TOPIC_BYTES_MAX, rejection->topic);
    Meltica__V1__Rejection message;
    meltica__v1__rejection__init(&message);
    message.stage = series->stage;
    message.reason = series->reason;
    message.instrument = instrument;
    message.topic = topic;
    message.original.len =
        rejection->original.len < sizeof original ? rejection->original.len : sizeof original;
    if (message.original.len > 0) {
        memcpy(original, rejection->original.data, message.original.len);
        message.original.data = original;
    }
    message.original_bytes = rejection->original_bytes;
    message.received = (uint64_t)rejection->received;
    if (rejection->trace_id != NULL) {
        memcpy(trace_id, rejection->trace_id, sizeof trace_id);
        message.trace_id.len = sizeof trace_id;
        message.trace_id.data = trace_id;
    }
    message.suppressed = series->suppressed;
    return meltica__v1__rejection__get_packed_size(&message) <= sizeof r->packed
               ? meltica__v1__rejection__pack(&message, r->packed)
               : 0;
}

bool mlt_reject(struct mlt_rejector *rejector, const struct mlt_rejection *rejection)
{
    struct mlt_reject_series *series = series_of(rejector, rejection->stage, rejection->reason);
    series->count++;
    if (may_publish(rejector)) {
        char subject[sizeof MLT_REJECT_SUBJECT_PREFIX + sizeof series->stage +
                     sizeof series->reason];
        (void)snprintf(subject, sizeof subject, MLT_REJECT_SUBJECT_PREFIX "%s.%s", series->stage,
                       series->reason);
        const size_t bytes = pack(rejector, series, rejection);
        if (bytes > 0 && rejector->ports.publish(rejector->ports.ctx, subject,
                                                 mlt_slice_of(rejector->packed, bytes))) {
            rejector->window_count++;
            series->suppressed = 0;
            return true;
        }
    }
    series->suppressed++;
    return false;
}

const struct mlt_reject_series *mlt_rejector_series(const struct mlt_rejector *rejector,
                                                    size_t *count)
{
    *count = rejector->series_count;
    return rejector->series;
}
