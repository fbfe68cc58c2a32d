/*
 * The pure half of the Conductor: what is a repeat (RULINGS 11), numbering (RULINGS 4: epoch and
 * sequence per (instrument, type), assigned here and nowhere else), order books (fusion.h), and the
 * STATUS events that belong to them. Events go in, numbered events come out through a port. No
 * NATS, no threads: the caller locks.
 */
#ifndef MELTICA_CONDUCTOR_CORE_H
#define MELTICA_CONDUCTOR_CORE_H

#include "meltica/base/clock.h"
#include "meltica/event/event.h"
#include "sync.h"
#include "trades.h"

#define MLT_CONDUCTOR_INSTRUMENTS_MAX 16384u

/* How long what comes after a BOOK waits for that BOOK to be committed, and how much of it. */
#define MLT_CONDUCTOR_HOLD_NS (5 * MLT_NS_PER_MS)
#define MLT_CONDUCTOR_HOLD_BYTES_MAX (256u << 10)

/* What is merged for want of room leaves once in that time all the same: a queue that stays full
 * makes it seldom, not silent. */
#define MLT_CONDUCTOR_WITHHELD_NS MLT_NS_PER_S

struct mlt_book_checkpoint;
struct mlt_conductor_core;
struct mlt_orderbook;

/* What there is room for where events are sent on: the tiers of docs/wire-format.md. What is left
 * out does not leave, but merges to the newest. */
enum mlt_conductor_room {
    MLT_ROOM_FOR_ALL,
    MLT_ROOM_NOT_FOR_BOOKS, /* BOOKs, but for changes of state */
    MLT_ROOM_NOT_FOR_QUOTES /* nor for TICKER, BBO, and KLINE of a candle that is open */
};

/* Ports are called in the middle of a call into the core and must not call back into it, except
 * for the functions that say so. Views are valid during the call. */
struct mlt_conductor_ports {
    /* A numbered event, to be sent at once. partition = slot mod partitions. */
    void (*emit)(void *ctx, uint32_t partition, const struct mlt_event *event);
    /* As emit, of an event that waited: its encoded bytes. May be NULL where commit is. */
    void (*emit_encoded)(void *ctx, uint32_t partition, struct mlt_slice event);
    /* Write the record of this numbered BOOK; levels: the book that it shows, with all it knows
     * (the checkpoint's). True: taken, and its answer comes later, never from inside, as
     * mlt_conductor_core_committed; until then there is no other commit of this instrument, what
     * of it comes after the BOOK waits (MLT_CONDUCTOR_HOLD_NS at most) and the BOOK itself leaves
     * with the answer only. False: there is no cache to write to, the BOOK leaves at once with
     * CACHE_UNAVAILABLE. NULL: books are not cached, and leave at once without a flag. One that is
     * IDLE, with sequence 0, takes the place of the last record, as no BOOK is made any more: it
     * never leaves, and nothing waits for it. */
    bool (*commit)(void *ctx, struct mlt_slice instrument, const struct mlt_event *book,
                   const struct mlt_orderbook *levels);
    /* Ask for a snapshot of that many levels a side; its answer is a BOOK_SNAPSHOT in the flow.
     * Must not block. NULL: there is nobody to ask, only what comes anyway is used. */
    void (*resync)(void *ctx, struct mlt_slice instrument, uint32_t depth, enum mlt_sync_need need);
    /* Fetch the trades (TRADE, AGG_TRADE) with the ids first..last, at most MLT_TRADES_PAGE_MAX,
     * which come in the flow; what becomes of the request is told, never from inside, by
     * mlt_conductor_core_backfill_answered. Must not block. NULL: nobody fetches, what is missing
     * stays so. */
    void (*backfill)(void *ctx, struct mlt_slice instrument, enum mlt_event_type type,
                     int64_t first, int64_t last);
    /* Asked before each event that might have to wait, so it must be cheap; when there may be more
     * room than it said, mlt_conductor_core_room is called. NULL: there always is for all. */
    enum mlt_conductor_room (*room)(void *ctx);
    void *ctx;
    const struct mlt_clock *clock;
};

/* What becomes of a commit. */
enum mlt_commit_outcome {
    MLT_COMMIT_DONE,        /* the BOOK leaves, then what waited behind it */
    MLT_COMMIT_UNAVAILABLE, /* not written: the same, with CACHE_UNAVAILABLE */
    MLT_COMMIT_FENCED /* somebody else owns it: the BOOK and what waited are dropped, and nothing of
                         the instrument leaves until its slot has another epoch */
};

/* How books are made; durations in ns. */
struct mlt_conductor_books {
    int64_t throttle_ns;       /* between two BOOKs of an instrument; 0: one after each change */
    uint32_t published_levels; /* a side in a BOOK */
    uint32_t book_levels;      /* kept a side */
    uint32_t first_depth;      /* levels asked for while not LIVE */
    uint32_t snapshot_depth;   /* levels asked for once LIVE */
    int64_t stale_after_ns;    /* without a delta; 0: never */
    int64_t refresh_ns;        /* a snapshot at least that often; 0: never */
    int64_t request_timeout_ns, backoff_base_ns, backoff_max_ns;
    int64_t ahead_wait_ns;   /* as in sync.h */
    int64_t restore_wait_ns; /* a restored book waits so long for a delta before it asks */
    uint64_t seed;           /* of the jitter */
};

/* Where the candles of one interval stood: KLINE is one channel, but repeats within an interval. */
struct mlt_candle_head {
    struct mlt_slice interval;
    int64_t open_ns, event_ns;
};

/* Where the channels of an instrument stood when an earlier owner stopped. */
struct mlt_instrument_heads {
    struct mlt_slice instrument;
    uint64_t epoch;
    size_t head_count;
    /* last is mlt_event_position of the last event; sequence 0: the channel did not move in
     * `epoch`, its position is that of an earlier one. */
    const struct mlt_head *heads;
    size_t candle_count;
    const struct mlt_candle_head *candles;
};

struct mlt_conductor_counts {
    uint64_t in, out, duplicates, late, stale_owner, refused;
    uint64_t ids_below; /* of the duplicates, those that are none: the exchange set ids back */
    uint64_t lost_reports;
    uint64_t instances_refused; /* that became no event, of which the Dispatcher told */
    /* Books. */
    uint64_t books;           /* BOOK events made, those fenced or late among them */
    uint64_t books_merged;    /* changes that a later BOOK showed too */
    uint64_t books_late;      /* whose commit took longer than what came after could wait */
    uint64_t books_overtaken; /* late ones that left with the state of then, no longer LIVE */
    uint64_t books_fenced;    /* dropped, another owner writing */
    uint64_t uncached;        /* sent with CACHE_UNAVAILABLE */
    uint64_t withdrawn;       /* records that say IDLE, since no BOOK follows */
    uint64_t conflated;       /* that left later than their window said, for want of room */
    uint64_t digests;         /* on BOOK_DELTA */
    uint64_t crossed, gaps, stales, resyncs, requests, snapshots, unused_snapshots;
    uint64_t snapshots_kept;    /* changed nothing, and nobody subscribed to them */
    uint64_t snapshots_doubted; /* may be another instrument's */
    uint64_t snapshots_waited;  /* for the deltas to come to their ids */
    uint64_t audits_right, audits_wrong;
    uint64_t books_refused;   /* deltas, snapshots and trades that a book cannot use */
    uint64_t level_changes;   /* applied to books, those without effect included */
    uint64_t unknown_deletes; /* of them deletes of a level that is not held */
    uint64_t hold_overruns;   /* more waited than may: it left before the BOOK */
    uint64_t restored;        /* books taken over from an owner before */
    uint64_t rejoined;        /* of those, LIVE by a delta that followed */
    uint64_t replayed;        /* deltas of before that brought one forward */
    uint64_t states[6];       /* books now, by BookState */
    /* Trades and aggregates. */
    uint64_t trades_gaps;                          /* places in the flow where ids are missing */
    uint64_t trades_missing;                       /* ids found missing, of which some came late */
    uint64_t trades_requests;                      /* pages asked for */
    uint64_t trades_filled;                        /* that came BACKFILLED */
    uint64_t trades_unfillable[MLT_TRADES_LOSSES]; /* ids that will not come, by reason */
    /* TICKER, BBO, KLINE. */
    uint64_t merged[MLT_EVENT_TYPE_COUNT]; /* by type: a newer one left in its place */
    uint64_t kept;                         /* that wait for room now */
    uint64_t kept_dropped;                 /* that waited until another one was the owner */
};

enum mlt_status mlt_conductor_core_create(uint32_t partitions,
                                          const struct mlt_conductor_ports *ports,
                                          struct mlt_conductor_core **core) MLT_MUST_CHECK;
void mlt_conductor_core_destroy(struct mlt_conductor_core *core);

/* Books are made from now on; before the first event. Without this call every event only passes
 * through, and a BOOK_DELTA has no digest. E_INVALID: values that mlt_sync_create refuses, or no
 * levels to publish. */
enum mlt_status mlt_conductor_core_books(struct mlt_conductor_core *core,
                                         const struct mlt_conductor_books *options) MLT_MUST_CHECK;

/* How missing trades are asked for; before the first event. Without this call they are not (each
 * is told to be UNFILLABLE, `too_many`). */
void mlt_conductor_core_trades(struct mlt_conductor_core *core,
                               const struct mlt_trades_options *options);

/* What became of a request by the port backfill for the ids from `first` on. */
void mlt_conductor_core_backfill_answered(struct mlt_conductor_core *core,
                                          struct mlt_slice instrument, enum mlt_event_type type,
                                          int64_t first, enum mlt_trades_answer answer);

/* Slots owned from now on, by epoch; 0: not owned (its events are refused and counted). */
void mlt_conductor_core_set_epoch(struct mlt_conductor_core *core, uint32_t slot, uint64_t epoch);

/* Where the Data Bus stands for an instrument: repeats of what it delivered are dropped, and
 * EPOCH_STARTED names the previous epoch and its last sequences. Before the instrument's first
 * event (E_EXISTS after it). E_PROTOCOL for a token that is none, E_LIMIT, E_NOMEM. */
enum mlt_status mlt_conductor_core_seed(struct mlt_conductor_core *core,
                                        const struct mlt_instrument_heads *heads) MLT_MUST_CHECK;

/* Number one event, or drop it as a repeat. event is changed (epoch, sequence, stamp, quality). A
 * STATUS IDLE is the Dispatcher's word that nobody asks for the book or its deltas any more: the
 * book ends, which is said where there was one, and the word itself goes nowhere. A STATUS LOST is
 * its word that an instance of lost_type became no event: STATUS LOST (`refused`) where none was
 * said since the last event of that type, and AFTER_GAP on the next; of BOOK_DELTA a GAP.
 * E_STALE_OWNER: slot not owned; E_LIMIT (instruments, candle intervals), E_NOMEM, E_PROTOCOL:
 * refused and counted. */
enum mlt_status mlt_conductor_core_event(struct mlt_conductor_core *core,
                                         struct mlt_event *event) MLT_MUST_CHECK;

/*
 * A book that an owner before left, with its last BOOK and its checkpoint, both LIVE or STALE: from
 * now on the instrument has it, STALE (mlt_sync_restore), and after mlt_conductor_core_restored
 * says so. source_up: what mlt_conductor_core_source_up said when the BOOK was made; else a STALE
 * one asks for no snapshot before the source says that it is up. Before the instrument's first
 * event. E_EXISTS: it has a book or an epoch; E_PROTOCOL: the two show no levels, or the
 * checkpoint's digest is not that of its levels; E_INVALID: no books are made; E_LIMIT, E_NOMEM.
 */
enum mlt_status mlt_conductor_core_restore(struct mlt_conductor_core *core,
                                           const struct mlt_event *book,
                                           const struct mlt_book_checkpoint *checkpoint,
                                           bool source_up) MLT_MUST_CHECK;
/* The source of its book is not known to be down, by this owner or by the one before. */
bool mlt_conductor_core_source_up(const struct mlt_conductor_core *core,
                                  struct mlt_slice instrument);
/* The partition is owned and seeded: of each restored book of it EPOCH_STARTED, STATUS STALE
 * (`restored`) and the last BOOK as STALE go out. Once per book. */
void mlt_conductor_core_restored(struct mlt_conductor_core *core, uint32_t partition);

/* An event that an owner before had taken and put out: only restored books use it (BOOK_DELTA,
 * SOURCE_DOWN, SOURCE_UP). It is neither judged nor numbered. */
void mlt_conductor_core_again(struct mlt_conductor_core *core, const struct mlt_event *event);

/* The hop lost something of this partition: STATUS LOST for each instrument seen in it, and
 * AFTER_GAP on the next event of each channel. reason is a word of docs/wire-format.md. */
void mlt_conductor_core_lost(struct mlt_conductor_core *core, uint32_t partition,
                             const char *reason);

/* Once a second for each slot: STATUS HEADS (sequence 0) for each owned instrument in one of
 * `slots` (bit s: slot s), of the channels that moved since the last call, and in each tenth call
 * of all of them: who was away when a channel moved last, and hears of nothing since, finds it. */
void mlt_conductor_core_heads(struct mlt_conductor_core *core, uint64_t slots);

/* The snapshot asked for by the port is not coming: asked for again after a back-off. */
void mlt_conductor_core_resync_failed(struct mlt_conductor_core *core, struct mlt_slice instrument);

/* The snapshot will not come at any other time either, since nobody follows the instrument: as
 * resync_failed, but a restored book of which nothing was heard, and one that was LIVE and of which
 * nothing was heard since it was asked for, ends (IDLE) and is not asked for again. */
void mlt_conductor_core_resync_refused(struct mlt_conductor_core *core,
                                       struct mlt_slice instrument);

/* The book of an instrument, with all it knows; NULL: it has none. Until the next call that changes
 * it. */
const struct mlt_orderbook *mlt_conductor_core_levels(const struct mlt_conductor_core *core,
                                                      struct mlt_slice instrument);
/* What it is now, which a BOOK may not have said yet; NONE: there is no book. */
enum mlt_book_state mlt_conductor_core_state(const struct mlt_conductor_core *core,
                                             struct mlt_slice instrument);

/* There may be more room than the port said: what waited for it leaves as far as there is. Each
 * BOOK, TICKER, BBO or KLINE that waits is the newest of its kind, and leaves before a STATUS that
 * came or is due to a loss, and after MLT_CONDUCTOR_WITHHELD_NS (by tick), too. */
void mlt_conductor_core_room(struct mlt_conductor_core *core);

/* The end: what waits for its window or for room leaves now, and later ones do not wait. Returns
 * how many BOOKs wait for the answer of their commit; when one came, changes since then leave in
 * the same way. */
size_t mlt_conductor_core_drain(struct mlt_conductor_core *core);

/* The cache takes commits again; rebuilt: it was found empty, which STATUS CACHE_REBUILT says of
 * each instrument that has a BOOK. Of books that left with CACHE_UNAVAILABLE, the last one is made
 * again, so that the flag falls also where nothing changes. */
void mlt_conductor_core_cache_back(struct mlt_conductor_core *core, bool rebuilt);

/* The answer of a commit that was taken. Without one out only FENCED has an effect. */
void mlt_conductor_core_committed(struct mlt_conductor_core *core, struct mlt_slice instrument,
                                  enum mlt_commit_outcome outcome);

/* Events are here and are not given to the core yet: that none comes says nothing meanwhile. */
void mlt_conductor_core_held_up(struct mlt_conductor_core *core, bool held_up);

/* What is due by time: BOOKs at the end of their window, books that went silent, snapshots and
 * trades to ask for, what has waited long enough for a commit or for room. To be called at
 * mlt_conductor_core_due_ns (monotonic; INT64_MAX: nothing is due) or later; early calls do
 * nothing. Ask anew after every other call. */
void mlt_conductor_core_tick(struct mlt_conductor_core *core);
int64_t mlt_conductor_core_due_ns(const struct mlt_conductor_core *core);

/* How many instruments have events that wait behind a commit. */
size_t mlt_conductor_core_holding(const struct mlt_conductor_core *core);

/* Where the channels of an instrument stand: those that moved in its epoch. Returns how many; 0 for
 * an instrument that is not known. Also from inside commit, and then with the BOOK. */
size_t mlt_conductor_core_heads_of(const struct mlt_conductor_core *core,
                                   struct mlt_slice instrument,
                                   struct mlt_head heads[MLT_STATUS_HEADS_MAX]);

/* What there is to know of an instrument from outside. */
struct mlt_instrument_view {
    struct mlt_slice instrument;
    int64_t last_event_ns; /* wall: of its last event; 0: none yet */
    bool has_book;
    enum mlt_book_state state; /* of the book */
    uint64_t gaps, stales, resyncs;
    uint64_t sequences[MLT_EVENT_TYPE_COUNT]; /* by type: of the last event in its epoch */
};
/* The instruments of owned slots in the order in which they first came, at most max of them.
 * Returns how many there are. Views are valid during the call. */
size_t mlt_conductor_core_views(const struct mlt_conductor_core *core, size_t max,
                                void (*each)(void *ctx, const struct mlt_instrument_view *view),
                                void *ctx);

void mlt_conductor_core_counts(const struct mlt_conductor_core *core,
                               struct mlt_conductor_counts *out);

#endif
