/*
 * What `meltica top` shows: a screen of text, or one JSON object. Pure: no I/O, no clock. What is
 * not known is shown as "?" and, in JSON, as null. One thread.
 */
#ifndef MELTICA_TOOL_TOP_VIEW_H
#define MELTICA_TOOL_TOP_VIEW_H

#include "inside.h"
#include "meltica/base/buf.h"
#include "top_model.h"

/* Of a service: what passed it between the last two answers, a second; negative: not known. */
struct mlt_top_flow {
    double in_per_s, out_per_s;
};

struct mlt_top_services {
    bool asked;        /* there was an answer, or none came: inside and trouble are of it */
    char trouble[160]; /* why nothing is known of the services; "": something is */
    struct mlt_inside inside;
    struct mlt_top_flow flows[MLT_INSIDE_SERVICES_MAX];
};

struct mlt_top_view {
    unsigned columns, rows; /* of the terminal; 0: no limit */
    bool terminal;          /* colours, and each line ends by clearing the rest of it */
    enum mlt_top_key key;
    size_t skip; /* instruments above the first shown one */
    const char *url;
    bool connected;
    int64_t wall_ns, since_ns; /* now; how long it has been looking */
    uint64_t foreign, dropped; /* messages that were no events; that came too fast for this tool */
};

/* Appends a picture of at most that many rows. *page: how many instruments have room. */
enum mlt_status mlt_top_draw(struct mlt_top *top, const struct mlt_top_services *services,
                             const struct mlt_top_view *view, struct mlt_buf *out,
                             size_t *page) MLT_MUST_CHECK;
/* Appends one JSON object and a line end. */
enum mlt_status mlt_top_json(struct mlt_top *top, const struct mlt_top_services *services,
                             const struct mlt_top_view *view, struct mlt_buf *out) MLT_MUST_CHECK;

/* "rate" and so on, as --sort takes it. */
const char *mlt_top_key_word(enum mlt_top_key key);
bool mlt_top_key_of(const char *word, enum mlt_top_key *key);

#endif
