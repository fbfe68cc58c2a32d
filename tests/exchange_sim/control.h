/* Control messages of the clients: SUBSCRIBE and the rest, with the answers that Binance gives. */
#ifndef SIM_CONTROL_H
#define SIM_CONTROL_H

#include "hub.h"

/* Of the next messages, whatever line they come on; 0: none. */
struct sim_control_faults {
    uint64_t unheard;    /* neither carried out nor answered */
    uint64_t unanswered; /* carried out, not answered */
    uint64_t hollow;     /* SUBSCRIBE: acknowledged, not carried out */
};

/* Handles one text message. Answers go to the line; a malformed stream name or too many streams
 * also end it. `scratch` is working space. */
void sim_control_handle(struct sim_hub *hub, struct sim_line *line, struct mlt_slice text,
                        struct sim_control_faults *faults, struct mlt_buf *scratch);

/* Streams of a URL, separated by '/'. E_PARSE for a malformed name, E_LIMIT, E_NOMEM. */
enum mlt_status sim_control_subscribe_path(struct sim_hub *hub, struct sim_line *line,
                                           struct mlt_slice names) MLT_MUST_CHECK;
/* As above without subscribing. */
enum mlt_status sim_control_check_path(struct mlt_slice names, size_t streams_max) MLT_MUST_CHECK;

#endif
