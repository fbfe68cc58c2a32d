/* A recording as a market: its frames as they were received, and the state that REST answers from,
 * which is what has been replayed so far. */
#ifndef SIM_REPLAY_H
#define SIM_REPLAY_H

#include "market.h"

#define SIM_REPLAY_FILES_MAX 64

struct sim_replay_options {
    const char *const *paths;
    size_t path_count;
    double speed; /* times the recorded speed; 0: as fast as the lines take it */
    bool wrap;    /* begin again at the end, until the filter is done */
};

/* Reads the recordings and makes a topic of the hub for each of their streams. One file is one
 * connection: its order is kept, files are merged by receive time. NULL with err set on failure.
 * Destroy with ops->destroy before the hub's end. */
struct sim_market *sim_replay_create(struct sim_hub *hub, const struct sim_replay_options *options,
                                     struct mlt_error *err);

#endif
