/*
 * What may be done to a data frame on its way out, one frame of one line at a time. The mutator
 * (mutate.h) is the first user; a script of faults is meant to be the next. Answers, pings and
 * notices do not pass here.
 */
#ifndef SIM_FILTER_H
#define SIM_FILTER_H

#include "meltica/base/buf.h"

enum sim_verdict {
    SIM_PASS,    /* send it as it is */
    SIM_REPLACE, /* send what stands in `out` instead */
    SIM_DROP     /* send nothing; counted as dropped */
};

struct sim_outgoing {
    struct mlt_slice stream;  /* name of the stream */
    struct mlt_slice payload; /* text of the frame, without WebSocket framing */
    uint64_t line;            /* number of the line, from 1 in order of connection */
    uint64_t number;          /* of the frame among all that passed here, from 1 */
};

struct sim_filter {
    /* `out` is empty on entry and is the filter's for the length of the call. */
    enum sim_verdict (*frame)(void *ctx, const struct sim_outgoing *frame, struct mlt_buf *out);
    /* True when the filter wants the market to end here (--mutate-count). */
    bool (*done)(void *ctx);
    void *ctx;
};

#endif
