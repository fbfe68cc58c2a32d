/*
 * Refused instances become Rejection messages on meltica.int.rejected.<stage>.<reason>: at most
 * MLT_REJECT_PER_SECOND in a second, each saying how many of its stage and reason were suppressed
 * since the last one. Counted always. Never allocates; the caller locks.
 */
#ifndef MELTICA_DISPATCHER_REJECT_H
#define MELTICA_DISPATCHER_REJECT_H

#include "meltica/base/clock.h"
#include "meltica/event/native.h"

#define MLT_REJECT_PER_SECOND 100u
#define MLT_REJECT_SERIES_MAX 48u /* (stage, reason) pairs; what comes beyond is "other" */
#define MLT_REJECT_WORD_BYTES_MAX 31u
#define MLT_REJECT_TOPIC_BYTES_MAX 127u
#define MLT_REJECT_SUBJECT_PREFIX "meltica.int.rejected."

struct mlt_rejection {
    const char *stage;       /* "adapter": refused there already; "dispatcher" */
    struct mlt_slice reason; /* a word; other bytes than a-z, 0-9 and _ make it "other" */
    struct mlt_slice instrument, topic; /* may be empty */
    struct mlt_slice original;          /* cut at MLT_UNPARSED_ORIGINAL_BYTES_MAX */
    uint32_t original_bytes;            /* how long it was in full */
    int64_t received;
    const uint8_t *trace_id; /* MLT_TRACE_ID_BYTES, or NULL */
};

struct mlt_reject_series {
    char stage[MLT_REJECT_WORD_BYTES_MAX + 1];
    char reason[MLT_REJECT_WORD_BYTES_MAX + 1];
    uint64_t count;      /* all */
    uint64_t suppressed; /* since the last one that was published */
};

struct mlt_reject_ports {
    /* Hands the message on without blocking; false: not taken, counted as suppressed. */
    bool (*publish)(void *ctx, const char *subject, struct mlt_slice payload);
    void *ctx;
    const struct mlt_clock *clock;
};

struct mlt_rejector;

enum mlt_status mlt_rejector_create(const struct mlt_reject_ports *ports,
                                    struct mlt_rejector **rejector) MLT_MUST_CHECK;
void mlt_rejector_destroy(struct mlt_rejector *rejector); /* NULL is fine */
/* True when it was published (then a log line is in place too). */
bool mlt_reject(struct mlt_rejector *rejector, const struct mlt_rejection *rejection);
/* Series in order of their first refusal; valid while the rejector lives. */
const struct mlt_reject_series *mlt_rejector_series(const struct mlt_rejector *rejector,
                                                    size_t *count);

#endif
