/*
 * One instrument's fused book: the state machine (sync.h), what is calculated beside it
 * (analytics.h), and when the next BOOK is to leave and what it says. The first change leaves at
 * once, what comes within throttle_ns after a BOOK is merged into the next, and the last state
 * always leaves, at the end of the window; a change to LIVE, GAP or STALE does not wait for it.
 * Pure; time, requests and announcements are ports. One thread at a time.
 */
#ifndef MELTICA_CONDUCTOR_FUSION_H
#define MELTICA_CONDUCTOR_FUSION_H

#include "analytics.h"
#include "sync.h"

struct mlt_fusion_options {
    struct mlt_sync_options sync; /* shown: the levels published, a side */
    int64_t throttle_ns;          /* monotonic; 0: each change leaves at once */
};

struct mlt_fusion;

/* IDLE. Options and ports (those of sync.h) are copied, the clock is borrowed. E_INVALID as
 * mlt_sync_create, and for a negative throttle; E_NOMEM. */
enum mlt_status mlt_fusion_create(const struct mlt_fusion_options *options,
                                  const struct mlt_sync_ports *ports,
                                  struct mlt_fusion **out) MLT_MUST_CHECK;
/* Announces nothing. NULL is fine. */
void mlt_fusion_destroy(struct mlt_fusion *fusion);
/* As in sync.h. */
void mlt_fusion_start(struct mlt_fusion *fusion);
void mlt_fusion_stop(struct mlt_fusion *fusion);

/* What an owner before left. */
struct mlt_fusion_left {
    struct mlt_sync_left sync;    /* its checkpoint */
    const struct mlt_event *book; /* its last BOOK, LIVE or STALE; may be newer */
    int64_t snapshot_update_id, snapshot_time_ns;
};

/* IDLE -> STALE (mlt_sync_restore): the BOOK of now shows what the last one showed, until the book
 * is LIVE or GAP. Errors as mlt_sync_restore; E_PROTOCOL also for a BOOK that shows nothing. */
enum mlt_status mlt_fusion_restore(struct mlt_fusion *fusion,
                                   const struct mlt_fusion_left *left) MLT_MUST_CHECK;
/* As mlt_sync_await, known being raised to what the last BOOK showed; mlt_sync_replay. */
void mlt_fusion_await(struct mlt_fusion *fusion, int64_t known, int64_t wait_ns);
enum mlt_status mlt_fusion_replay(struct mlt_fusion *fusion, const struct mlt_event *event,
                                  enum mlt_sync_outcome *outcome) MLT_MUST_CHECK;
bool mlt_fusion_restored(const struct mlt_fusion *fusion);

/* A new owner's epoch: the next BOOK is its first. */
void mlt_fusion_new_epoch(struct mlt_fusion *fusion);

/* A BOOK_DELTA. Sets its digest where the book is LIVE and the state after it, else version 0.
 * E_PROTOCOL, E_NOMEM: not used, the book resyncs; the event itself is as good as before. */
enum mlt_status mlt_fusion_delta(struct mlt_fusion *fusion, struct mlt_event *event) MLT_MUST_CHECK;

/* Room for the levels of a snapshot as it is published: `levels` numbers each. */
struct mlt_fusion_scratch {
    int64_t *columns[4];
    size_t levels;
};

/* A BOOK_SNAPSHOT. MLT_SYNC_APPLIED: the book was replaced or deepened by it; then reset is set,
 * and unless it is ahead of all that was seen before, its levels and ids become those of the book
 * after it, in scratch, so that who follows the deltas has only to replace what they hold.
 * MLT_SYNC_WAITS, of an answer of REST: as mlt_sync_answer. E_PROTOCOL: not used. */
enum mlt_status mlt_fusion_snapshot(struct mlt_fusion *fusion, struct mlt_event *event,
                                    const struct mlt_fusion_scratch *scratch,
                                    enum mlt_sync_outcome *outcome) MLT_MUST_CHECK;
/* The one that waited, once it is ripe (mlt_sync_waiting, mlt_sync_waited). */
enum mlt_status mlt_fusion_waited(struct mlt_fusion *fusion, struct mlt_event *event,
                                  const struct mlt_fusion_scratch *scratch,
                                  enum mlt_sync_outcome *outcome) MLT_MUST_CHECK;
enum mlt_sync_wait mlt_fusion_waiting(const struct mlt_fusion *fusion);
void mlt_fusion_forget_waiting(struct mlt_fusion *fusion);
void mlt_fusion_wait_on(struct mlt_fusion *fusion);

/* Trades before the next one are missing: their windows begin anew. */
void mlt_fusion_trades_missed(struct mlt_fusion *fusion);
/* A TRADE. Errors as mlt_analytics_trade: not counted. */
enum mlt_status mlt_fusion_trade(struct mlt_fusion *fusion,
                                 const struct mlt_trade *trade) MLT_MUST_CHECK;

/* As their namesakes in sync.h; a loss and a line that ended also begin the windows of trades anew.
 */
void mlt_fusion_lost(struct mlt_fusion *fusion);
void mlt_fusion_refused(struct mlt_fusion *fusion);
void mlt_fusion_source(struct mlt_fusion *fusion, bool up);
void mlt_fusion_source_began(struct mlt_fusion *fusion);
bool mlt_fusion_source_up(const struct mlt_fusion *fusion);
void mlt_fusion_request_failed(struct mlt_fusion *fusion);
void mlt_fusion_tick(struct mlt_fusion *fusion);

/* When tick has to be called; monotonic, INT64_MAX: nothing is due. */
int64_t mlt_fusion_due_ns(const struct mlt_fusion *fusion);
/* When a BOOK has to leave: INT64_MIN: at once; INT64_MAX: nothing new to say. */
int64_t mlt_fusion_book_at_ns(const struct mlt_fusion *fusion);

/* A BOOK has to leave at once, also where nothing changed. */
void mlt_fusion_again(struct mlt_fusion *fusion);

/* The update id that it would have: of a restored book that of the record. */
int64_t mlt_fusion_shows(const struct mlt_fusion *fusion);
/* The BOOK of now, and its window begins: payload, source ids, stamps but conducted and published,
 * quality, merged, throttled_ns, provenance of the newest event in it. Not set: instrument, epoch,
 * sequence, key. Views are valid until the next call of this function. */
void mlt_fusion_book(struct mlt_fusion *fusion, struct mlt_event *out);

enum mlt_sync_state mlt_fusion_state(const struct mlt_fusion *fusion);
const struct mlt_orderbook *mlt_fusion_levels(const struct mlt_fusion *fusion);
/* What its book was made for. */
bool mlt_fusion_fits(const struct mlt_fusion *fusion, int32_t price_exponent,
                     int32_t quantity_exponent);
void mlt_fusion_counts(const struct mlt_fusion *fusion, struct mlt_sync_counts *out);

#endif
