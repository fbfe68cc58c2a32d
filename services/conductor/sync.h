/*
 * Keeps one instrument's order book in step with the exchange: buffers deltas until a snapshot
 * joins, checks that each delta follows the one before, and asks for another snapshot when not.
 * A pure machine: time, requests and announcements are ports. One thread at a time.
 *
 *   IDLE --started--> SYNCING --snapshot--> LIVE --sequence_gap, lost, ...--> GAP --> SYNCING
 *                                           LIVE --silent, source_down--> STALE --> SYNCING
 *
 *   IDLE --restored--> STALE --resumed--> LIVE (a book that an owner before left)
 *
 * GAP and STALE stay while no snapshot may be asked for (the back-off is not over, the source is
 * down); SYNCING stays until one joins, however often that takes. Only in LIVE may the book be
 * published as right.
 *
 * Joining. With L the snapshot's last update id: deltas with last <= L are dropped, the first one
 * kept must have first <= L+1 <= last, each later one first <= N+1 with N the last of the one
 * before (overlap is applied, quantities being absolute; last <= N is a repeat). The book is LIVE
 * as soon as the snapshot and what is buffered are applied: on a quiet instrument the next delta
 * may be long in coming, and proves itself when it comes. So a snapshot that was asked for before
 * the line ended or something was lost is used only where a buffered delta joins it: nothing else
 * says that it has what was missed, and a quiet book would stay without it.
 *
 * A snapshot does not say whose it is. One that shows none of the prices that are known of the
 * instrument (of its book, and of what is buffered) is doubted, and asked for again, with full
 * depth. It is believed when it is said again, and for 5 s no delta came where one would have come.
 * So is one that shows other quantities than deltas at or below its id set last. One ahead of all
 * deltas waits until they reach it and can speak for it, or until none came for ahead_wait_ns (and
 * 500 ms for who did not come to look): then the instrument is quiet, and it is believed, though
 * not of a LIVE book, which has missed nothing that it could be the word of. Nor does a snapshot
 * say of when it is: one that deltas go on below for more than 3 s is doubted, and a book that
 * became LIVE by it is given up (GAP, ahead); what was asked of later ones by that id is forgotten.
 *
 * Nor does a snapshot prove the stream. One beyond a book that has missed nothing, with other
 * levels than it has, shows changes that the stream owes: where no delta comes to its id within 3.5
 * s the stream is dead. The book is STALE (silent) then, nothing is asked for and no snapshot makes
 * it LIVE, before a delta comes that follows, or the source says that it is up.
 */
#ifndef MELTICA_CONDUCTOR_SYNC_H
#define MELTICA_CONDUCTOR_SYNC_H

#include "book.h"
#include "meltica/base/clock.h"

enum mlt_sync_state {
    MLT_SYNC_IDLE,
    MLT_SYNC_SYNCING,
    MLT_SYNC_LIVE,
    MLT_SYNC_GAP,
    MLT_SYNC_STALE,
    MLT_SYNC_STATE_COUNT
};

enum mlt_sync_reason {
    MLT_SYNC_STARTED,      /* -> SYNCING: somebody wants this book */
    MLT_SYNC_STOPPED,      /* -> IDLE */
    MLT_SYNC_REQUESTED,    /* GAP, STALE -> SYNCING: a snapshot was asked for */
    MLT_SYNC_JOINED,       /* -> LIVE: the snapshot and what was buffered; range: L .. N */
    MLT_SYNC_RESUMED,      /* silent, restored -> LIVE: a delta follows; range: it */
    MLT_SYNC_SEQUENCE_GAP, /* -> GAP: update ids of the range are missing */
    MLT_SYNC_LOST,         /* -> GAP: something was lost on the way here */
    MLT_SYNC_CROSSED,      /* -> GAP: best bid not below best ask after the range */
    MLT_SYNC_MALFORMED,    /* -> GAP: a delta that cannot be applied; range: that delta */
    MLT_SYNC_AUDIT, /* -> GAP: a snapshot met the book at one id and differed: both go; range: it */
    MLT_SYNC_AHEAD, /* -> GAP: the deltas stay behind the snapshot; range: delta, book */
    MLT_SYNC_SILENT,      /* -> STALE: nothing came for stale_after_ns; with a range: the ids that
                             a snapshot showed to be there, and no delta brought */
    MLT_SYNC_SOURCE_DOWN, /* -> STALE: the exchange's line ended */
    MLT_SYNC_RESTORED,    /* IDLE -> STALE: as an owner before left it; range: its last id twice */
    MLT_SYNC_REASON_COUNT
};

/* What a snapshot is wanted for, the most urgent first. */
enum mlt_sync_need {
    MLT_SYNC_NEED_RESYNC, /* it was LIVE, here or with an owner before, and is not */
    MLT_SYNC_NEED_FIRST,  /* it never was since it was started, or soon shows too little */
    MLT_SYNC_NEED_DEPTH,  /* LIVE, and not as deep as wanted */
    MLT_SYNC_NEED_AUDIT,  /* LIVE, and due to be compared with the exchange's */
    MLT_SYNC_NEED_COUNT
};

struct mlt_sync_change {
    enum mlt_sync_state from, to;
    enum mlt_sync_reason reason;
    int64_t first, last; /* update ids as the reason says, else 0 */
    int64_t at_ns;       /* wall clock */
};

/* Ports are called in the middle of a call into the machine and must not call back into it; the
 * book may be read. */
struct mlt_sync_ports {
    /* Ask for a snapshot of that many levels a side. Its answer comes as mlt_sync_snapshot or
     * mlt_sync_request_failed; silence is counted as a failure after request_timeout_ns. */
    void (*request)(void *ctx, uint32_t depth, enum mlt_sync_need need);
    void (*changed)(void *ctx, const struct mlt_sync_change *change);
    void *ctx;
    const struct mlt_clock *clock;
};

struct mlt_sync_options {
    uint32_t first_depth;        /* asked for while not LIVE: small, so it comes soon */
    uint32_t depth;              /* asked for once LIVE, when larger */
    uint32_t shown;              /* levels published; below twice that inside the window: ask */
    int64_t request_timeout_ns;  /* an answer not here by then is not coming */
    int64_t backoff_base_ns;     /* wait after the first failure; doubles, with jitter */
    int64_t backoff_max_ns;      /* at most that */
    int64_t stale_after_ns;      /* LIVE without delta or snapshot for so long: STALE; 0: never */
    int64_t refresh_interval_ns; /* LIVE: a snapshot at least that often; 0: never */
    int64_t ahead_wait_ns; /* an answer ahead of all deltas waits so long, and 500 ms; 0: not */
    uint64_t seed;         /* of the jitter */
    struct mlt_orderbook_options book;
};

enum mlt_sync_outcome {
    MLT_SYNC_APPLIED,   /* in LIVE: the book is now the state after this delta */
    MLT_SYNC_BUFFERED,  /* waits for a snapshot; also the one that showed a gap */
    MLT_SYNC_DUPLICATE, /* nothing new in it */
    MLT_SYNC_IGNORED,   /* IDLE, source down, or refused: see counts */
    MLT_SYNC_UNUSED,    /* a snapshot too old, doubted, or refused */
    MLT_SYNC_WAITS      /* an answer ahead of all deltas: see mlt_sync_answer */
};

/* What became of an answer that waits. */
enum mlt_sync_wait {
    MLT_SYNC_NOTHING_WAITS, /* none does, or what it waited for is not coming */
    MLT_SYNC_IT_WAITS,
    MLT_SYNC_RIPE /* it is to be given to mlt_sync_waited */
};

struct mlt_sync_counts {
    uint64_t applied, buffered, duplicates, overlaps;
    uint64_t replayed; /* buffered deltas applied onto snapshots */
    uint64_t gaps;     /* -> GAP */
    uint64_t stales;   /* -> STALE */
    uint64_t resyncs;  /* -> LIVE, the first one not counted */
    uint64_t requests; /* snapshots asked for */
    uint64_t timeouts, failures;
    uint64_t snapshots;                  /* taken */
    uint64_t too_old;                    /* snapshots from before the buffer, or asked for before
                                            something was missed */
    uint64_t shallow;                    /* snapshots ahead that show less than is known */
    uint64_t doubted;                    /* snapshots that may be another instrument's */
    uint64_t refused;                    /* malformed deltas and snapshots */
    uint64_t overflows;                  /* deltas dropped from a full buffer */
    uint64_t audits_right, audits_wrong; /* snapshots that met the book at one id: top 20 equal? */
};

struct mlt_sync;

/* IDLE. E_INVALID: depths, shown or times of 0 or below, depth above what the book keeps; those of
 * the book; E_NOMEM. options and ports are copied, the clock is borrowed. */
enum mlt_status mlt_sync_create(const struct mlt_sync_options *options,
                                const struct mlt_sync_ports *ports,
                                struct mlt_sync **out) MLT_MUST_CHECK;
void mlt_sync_destroy(struct mlt_sync *sync); /* NULL is fine */

/* Somebody wants the book (again: no effect), nobody does. */
void mlt_sync_start(struct mlt_sync *sync);
void mlt_sync_stop(struct mlt_sync *sync);

/* A book that an owner before left: right at its last id, and nobody knows whether the exchange has
 * moved on. */
struct mlt_sync_left {
    int64_t last_update_id;
    struct mlt_levels bids, asks; /* all inside the window */
    bool bids_whole, asks_whole;
    int64_t
        snapshot_age_ns; /* of the snapshot that it stems from: the next refresh comes in time */
};

/*
 * Takes it over: STALE, and never LIVE of itself. The first delta that follows makes it LIVE, one
 * that does not makes it GAP; so does a snapshot, at or above what is known. A loss on the way here
 * changes nothing: the update ids tell. E_INVALID: not IDLE; E_PROTOCOL: the levels are no book, as
 * mlt_orderbook_seed.
 */
enum mlt_status mlt_sync_restore(struct mlt_sync *sync,
                                 const struct mlt_sync_left *left) MLT_MUST_CHECK;

/* A restored book begins to wait for its delta: a snapshot below `known` is too old, and after
 * wait_ns one is asked for; INT64_MAX: not before the source says that it is up, since it may have
 * been down. Without this call none is asked for. No effect on others. */
void mlt_sync_await(struct mlt_sync *sync, int64_t known, int64_t wait_ns);

/* A delta that an owner before had already: brings a restored book forward, which stays STALE, or
 * shows that something is missing (GAP). IGNORED by all other books. Errors as mlt_sync_delta. */
enum mlt_status mlt_sync_replay(struct mlt_sync *sync, int64_t first, int64_t last,
                                const struct mlt_book_delta *delta,
                                enum mlt_sync_outcome *outcome) MLT_MUST_CHECK;

/* It is restored, and neither joined nor broken yet. */
bool mlt_sync_restored(const struct mlt_sync *sync);

/* One BOOK_DELTA with update ids first .. last, in the order of arrival. Allocates only while
 * buffering, and then only to grow. *outcome is set also on failure. E_PROTOCOL: it cannot be
 * applied (the book resyncs); E_NOMEM: not buffered (as if lost). */
enum mlt_status mlt_sync_delta(struct mlt_sync *sync, int64_t first, int64_t last,
                               const struct mlt_book_delta *delta,
                               enum mlt_sync_outcome *outcome) MLT_MUST_CHECK;

/* A BOOK_SNAPSHOT, asked for or not. MLT_SYNC_APPLIED: the book was replaced or deepened, and is
 * LIVE. E_PROTOCOL: refused, counts as a failed request. */
enum mlt_status mlt_sync_snapshot(struct mlt_sync *sync, const struct mlt_book_snapshot *snapshot,
                                  enum mlt_sync_outcome *outcome) MLT_MUST_CHECK;

/* The same of an answer of REST, of which nothing says whose it is. MLT_SYNC_WAITS: it is ahead of
 * all deltas that came. The caller keeps it, looks at mlt_sync_waiting after each other call, and
 * gives it to mlt_sync_waited once it is ripe; or forgets it, where nothing waits any more.
 * One that comes meanwhile takes its place (MLT_SYNC_WAITS) or leaves it there. */
enum mlt_status mlt_sync_answer(struct mlt_sync *sync, const struct mlt_book_snapshot *snapshot,
                                enum mlt_sync_outcome *outcome) MLT_MUST_CHECK;
/* The one that waited, as mlt_sync_snapshot. E_INVALID: none is ripe, or it is another one. */
enum mlt_status mlt_sync_waited(struct mlt_sync *sync, const struct mlt_book_snapshot *snapshot,
                                enum mlt_sync_outcome *outcome) MLT_MUST_CHECK;
enum mlt_sync_wait mlt_sync_waiting(const struct mlt_sync *sync);
/* It could not be kept: as if it had not come. */
void mlt_sync_forget_waiting(struct mlt_sync *sync);
/* Deltas are on their way here and held up: that none comes says nothing. */
void mlt_sync_wait_on(struct mlt_sync *sync);

/* The snapshot asked for is not coming. No effect where it has come, and waits. */
void mlt_sync_request_failed(struct mlt_sync *sync);

/* mlt_orderbook_tighten, for who tells others what the book knows. */
void mlt_sync_tighten(struct mlt_sync *sync);

/* Something of this instrument was lost before it came here. */
void mlt_sync_lost(struct mlt_sync *sync);
/* A delta of it came and could not be read, which may be so again and again: as mlt_sync_lost, but
 * a book that was LIVE for less than 5 s since waits longer each time before it asks, and of one
 * that is not LIVE nothing is said anew. */
void mlt_sync_refused(struct mlt_sync *sync);

/* The exchange's line with its deltas ended, or they are subscribed again. A delta says the latter,
 * too: it may be another Adapter's, and the one that ended may never come back. */
void mlt_sync_source(struct mlt_sync *sync, bool up);

/* As mlt_sync_source(sync, true), by an Adapter where all that is wanted of the instrument stands
 * for the first time: a snapshot that another one was asked for, and had not sent, is not coming,
 * and is asked for again. */
void mlt_sync_source_began(struct mlt_sync *sync);

/* What is due by time. To be called at mlt_sync_due_ns (monotonic; INT64_MAX: nothing is due) or
 * later; early calls do nothing. Ask anew after every other call. */
void mlt_sync_tick(struct mlt_sync *sync);
int64_t mlt_sync_due_ns(const struct mlt_sync *sync);

enum mlt_sync_state mlt_sync_state(const struct mlt_sync *sync);
/* Not told to be down. */
bool mlt_sync_source_up(const struct mlt_sync *sync);
/* The book; right only in LIVE. In STALE it is what was last known, else of no use. */
const struct mlt_orderbook *mlt_sync_book(const struct mlt_sync *sync);
void mlt_sync_counts(const struct mlt_sync *sync, struct mlt_sync_counts *out);

/* "LIVE"; "sequence_gap". Static; "unknown" outside the list. */
const char *mlt_sync_state_word(enum mlt_sync_state state);
const char *mlt_sync_reason_word(enum mlt_sync_reason reason);

#endif
