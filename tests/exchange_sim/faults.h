/* A seeded script of faults in market data: the second user of the filter seam, and of a hook in
 * REST. What befalls the n-th frame of a stream of a symbol (or its n-th snapshot) depends on the
 * seed, the stream, the symbol and n alone; each fault is logged. One thread. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include "filter.h"
#include "meltica/base/map.h"

enum sim_fault {
    SIM_FAULT_DROP,         /* a frame is not sent */
    SIM_FAULT_DUPLICATE,    /* sent twice */
    SIM_FAULT_REORDER,      /* comes behind 1 to 4 later ones */
    SIM_FAULT_DELAY,        /* it and the next 1 to 20 wait, then come at once, in order */
    SIM_FAULT_CUT,          /* the line ends in its place, with a close frame or without */
    SIM_FAULT_SHORTEN,      /* a frame's text ends early */
    SIM_FAULT_CORRUPT,      /* one sign of its grammar is another byte: no JSON any more */
    SIM_FAULT_FALSIFY,      /* one quantity is another one; ids and all else are right */
    SIM_FAULT_STALE,        /* a snapshot as of up to 5,000 changes ago */
    SIM_FAULT_SLOW,         /* answered 0.2 to 3 s late, as of the time of the question */
    SIM_FAULT_FAIL,         /* 500 */
    SIM_FAULT_BUSY,         /* 429, Retry-After 1 or 2 s */
    SIM_FAULT_TRUNCATE,     /* the text ends early: with its Content-Length, or before it */
    SIM_FAULT_BANNED,       /* 418, Retry-After 1 or 2 s */
    SIM_FAULT_HUGE,         /* blanks behind it, more than anybody should take */
    SIM_FAULT_HTML,         /* a page of something in between: with 200, or with 502 */
    SIM_FAULT_WRONG_SYMBOL, /* the next symbol's answer */
    SIM_FAULT_COUNT
};
#define SIM_FAULT_FRAME_KINDS                                                                      \
    SIM_FAULT_STALE /* the kinds below are of frames, the rest of REST                             \
                     */
/* Whose frames an entry of a script is about. */
enum sim_fault_stream {
    SIM_FAULT_DEPTH, /* <symbol>@depth, @depth@100ms: where none is named; the snapshots, too */
    SIM_FAULT_TRADE,
    SIM_FAULT_AGG_TRADE,
    SIM_FAULT_BOOK_TICKER,
    SIM_FAULT_STREAMS
};
#define SIM_FAULTS_MAX 1048576u /* logged; then no more are made */
#define SIM_FAULT_SYMBOL_BYTES 24u
#define SIM_FAULT_HUGE_BYTES (UINT64_C(33) << 20) /* at least */

extern const char *const sim_fault_names[SIM_FAULT_COUNT];
extern const char *const sim_fault_stream_names[SIM_FAULT_STREAMS]; /* as behind the '@' */

struct sim_fault_entry {
    int64_t time_ns;     /* since 1970 */
    uint64_t line;       /* 0: REST */
    int64_t first, last; /* ids of the frame; of a snapshot both are the true book's */
    uint64_t extent;     /* frames, changes, ms, s or bytes, by kind; 0: none */
    uint64_t bytes;      /* of what left in the place of a frame; 0: nothing did */
    enum sim_fault_stream stream;
    enum sim_fault kind;
    bool told; /* by /sim/answers, and not the script's */
    char symbol[SIM_FAULT_SYMBOL_BYTES];
};

struct sim_faults_options {
    /* How often beside the others of its stream, or of REST (by depth's); 0: never. */
    unsigned weights[SIM_FAULT_STREAMS][SIM_FAULT_COUNT];
    uint64_t seed;
    uint64_t count_max;     /* then no more; 0: no end */
    unsigned frame_rate;    /* of a million depth frames */
    unsigned flow_rate;     /* of a million frames of each other stream */
    unsigned snapshot_rate; /* of a thousand snapshots */
};

struct sim_faults {
    struct sim_filter filter;
    struct sim_faults_options options;
    struct sim_fault_entry *entries; /* count */
    size_t count, capacity;
    size_t told_count; /* of them, those that the script has no part in */
    bool ended;        /* told so */
    uint64_t told;     /* extents that were asked for */
    uint64_t by_kind[SIM_FAULT_COUNT];
    struct mlt_map subjects; /* symbol -> what the script remembers of it */
};

/* Kinds with streams and weights, a later one wins: "drop:5,cut,drop@trade/bookTicker:2". "all": of
 * depth and REST all that can be seen (not falsify); "all@trade": of its frames all but that and
 * cut, which is the whole line's. False: that is no such list. */
bool sim_faults_parse(const char *spec, unsigned weights[SIM_FAULT_STREAMS][SIM_FAULT_COUNT]);
/* SIM_FAULT_COUNT: no kind has that name. */
enum sim_fault sim_fault_of(struct mlt_slice name);
/* SIM_FAULT_STREAMS: of none that a script can be about. */
enum sim_fault_stream sim_fault_stream_of(struct mlt_slice name);

void sim_faults_init(struct sim_faults *faults, const struct sim_faults_options *options);
void sim_faults_fini(struct sim_faults *faults);

/* What befalls the next snapshot of a symbol; SIM_FAULT_COUNT: nothing. *extent by kind. The caller
 * does it, and then logs it. */
enum sim_fault sim_faults_snapshot(struct sim_faults *faults, struct mlt_slice symbol,
                                   uint64_t *extent);
void sim_faults_log(struct sim_faults *faults, const struct sim_fault_entry *entry);
/* Of a fault of REST of that kind. */
uint64_t sim_faults_extent(struct sim_faults *faults, enum sim_fault kind);
/* Other options from now on, `count_max` more faults of the script's own; what was counted and
 * logged stays. */
void sim_faults_change(struct sim_faults *faults, const struct sim_faults_options *options);
/* No more from now on; what waits still leaves. */
void sim_faults_end(struct sim_faults *faults);

/* Log entries [from, from + limit) and counts as a JSON object. E_NOMEM, E_TOO_BIG. */
enum mlt_status sim_faults_write(const struct sim_faults *faults, size_t from, size_t limit,
                                 struct mlt_buf *out) MLT_MUST_CHECK;

#endif
