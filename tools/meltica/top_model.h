/*
 * What `meltica top` knows of each instrument, from the events on meltica.data.* alone. What was
 * not said since it began is not known, and stays marked as such. No I/O and no clock of its own.
 * One thread at a time.
 */
#ifndef MELTICA_TOOL_TOP_MODEL_H
#define MELTICA_TOOL_TOP_MODEL_H

#include "meltica/event/event.h"

#define MLT_TOP_INSTRUMENTS_MAX 16384u

enum mlt_top_source { MLT_TOP_SOURCE_UNKNOWN, MLT_TOP_SOURCE_UP, MLT_TOP_SOURCE_DOWN };

struct mlt_top_row {
    char token[MLT_INSTRUMENT_BYTES_MAX + 1];
    uint64_t events;          /* all but notices */
    int64_t last_wall_ns;     /* when the last of them was here */
    enum mlt_book_state book; /* NONE: not known */
    enum mlt_top_source source;
    /* Since it began: STATUS GAP, LIVE (joined), LOST, and sequences that are missing here. */
    uint64_t gaps, resyncs, lost, holes;
    /* Of the last whole tick. lag: from received to here without what a throttle added; age: from
     * the exchange to received. */
    double per_s;
    bool has_lag, has_age;
    int64_t lag_mean_ns, lag_max_ns, age_mean_ns;
    struct { /* of the tick that runs */
        uint64_t events, aged;
        int64_t lag_sum_ns, lag_max_ns, age_sum_ns;
    } now;
    uint64_t epoch[MLT_EVENT_TYPE_COUNT], sequence[MLT_EVENT_TYPE_COUNT];
};

struct mlt_top_totals {
    size_t instruments;
    uint64_t left_out; /* events of instruments without room */
    uint64_t events, gaps, resyncs, lost, holes;
    double per_s;
    bool has_lag;
    int64_t lag_mean_ns, lag_max_ns;
    size_t books[MLT_BOOK_STALE + 1]; /* instruments by book state; NONE: not known */
    size_t sources_down;
};

struct mlt_top;

enum mlt_status mlt_top_create(struct mlt_top **top) MLT_MUST_CHECK;
void mlt_top_destroy(struct mlt_top *top);
/* Takes one event that was here at wall time now_ns. E_NOMEM; one without room is counted. */
enum mlt_status mlt_top_event(struct mlt_top *top, const struct mlt_event *event,
                              int64_t now_ns) MLT_MUST_CHECK;
/* Ends a tick that took so long: rates and lags are of it from now on. */
void mlt_top_tick(struct mlt_top *top, int64_t elapsed_ns);
void mlt_top_get_totals(const struct mlt_top *top, struct mlt_top_totals *out);

enum mlt_top_key {
    MLT_TOP_BY_NAME,
    MLT_TOP_BY_RATE,
    MLT_TOP_BY_LAG,
    MLT_TOP_BY_STALE,
    MLT_TOP_BY_GAPS, /* and what was lost */
    MLT_TOP_BY_RESYNCS,
    MLT_TOP_BY_STATE, /* what is not LIVE first */
    MLT_TOP_KEY_COUNT
};
/* The rows in that order, the most remarkable first, ties by name. They and the array are the
 * model's, valid until its next call. */
const struct mlt_top_row *const *mlt_top_sorted(struct mlt_top *top, enum mlt_top_key key,
                                                size_t *count);

#endif
