/*
 * What may be done to a data frame on its way out, one frame of one line at a time, by the mutator
 * (mutate.h) or a script of faults (faults.h). Answers, pings and notices do not pass here.
 */
#ifndef SIM_FILTER_H
#define SIM_FILTER_H

#include "meltica/base/buf.h"

enum sim_verdict {
    SIM_PASS,    /* send it as it is */
    SIM_REPLACE, /* send what stands in `out` instead */
    SIM_PIECES,  /* send the frames in `out` instead: each a uint32_t, its length, then its text;
                  * none is fine */
    SIM_DROP,    /* send nothing; counted as dropped */
    SIM_CLOSE,   /* dropped, and the line is closed */
    SIM_KILL     /* dropped, and the line is hung up on, without a close frame */
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
    /* A line is gone; or NULL. */
    void (*closed)(void *ctx, uint64_t line);
    void *ctx;
};

#endif
