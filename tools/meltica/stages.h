/*
 * When one event was where, by its stamps, and how long each stage took. In whole us: each stamp is
 * cut to us first, so that the stages add up to the whole to the us. Pure; one thread.
 */
#ifndef MELTICA_TOOL_STAGES_H
#define MELTICA_TOOL_STAGES_H

#include "meltica/base/buf.h"
#include "meltica/event/event.h"

#define MLT_STAGES 7u

struct mlt_stage {
    const char *name;
    int64_t at_ns;   /* or MLT_STAMP_UNKNOWN */
    bool has_took;   /* there is a stage before it whose time is known too */
    int64_t took_us; /* since that one; negative where the clocks of two hosts differ */
};

struct mlt_stages {
    char token[MLT_INSTRUMENT_BYTES_MAX + 1];
    enum mlt_event_type type;
    uint64_t key, epoch, sequence, throttled_ns;
    uint8_t trace_id[MLT_TRACE_ID_BYTES];
    bool sampled;
    bool from_journal; /* then nobody knows when a consumer had it */
    struct mlt_stage stages[MLT_STAGES];
    int64_t sum_us;   /* of all stages */
    int64_t total_us; /* from the first known one to the last: the same */
};

/* Copies what it needs. consumer_ns: wall time at which it was here, or MLT_STAMP_UNKNOWN: it is
 * out of the journal. */
void mlt_stages_of(const struct mlt_event *event, int64_t consumer_ns, struct mlt_stages *out);
/* Appends the table, or one JSON object and a line end. */
enum mlt_status mlt_stages_table(const struct mlt_stages *s, struct mlt_buf *out) MLT_MUST_CHECK;
enum mlt_status mlt_stages_json(const struct mlt_stages *s, struct mlt_buf *out) MLT_MUST_CHECK;

#endif
