/* What core.c (repeats, numbering) and core_books.c (books) know of each other. */
#ifndef MELTICA_CONDUCTOR_CORE_INTERNAL_H
#define MELTICA_CONDUCTOR_CORE_INTERNAL_H

#include <sys/queue.h>

#include "core.h"
#include "fusion.h"
#include "meltica/base/arena.h"
#include "meltica/base/buf.h"
#include "meltica/base/map.h"

#define TRADE_WINDOW                                                                               \
    1024 /* ids below the highest in which an unseen one may still come, RULINGS 11 */
#define KLINE_INTERVALS_MAX 20 /* more than Binance has */
#define INTERVAL_BYTES_MAX 16
#define SOURCE_WORDS 8
/* An answer of REST as the Data Bus would carry it, and its levels as numbers. */
#define WAITS_BYTES_MAX (1u << 20)
#define WAITS_ARENA_BYTES_MAX (4u << 20)
#define CHANGES_MAX 8 /* of a book's state within one call: at most four */

struct channel {
    uint64_t sequence; /* last given, 0: none in this epoch */
    int64_t position;
    bool has_position;
    bool moved;        /* since the last HEADS that named it */
    bool after_gap;    /* the next event is the first after a loss */
    int64_t new_ns;    /* when its last event that was no repeat was received; 0: none yet */
    int64_t left;      /* highest position that left in this epoch, of what may be kept */
    struct kept *kept; /* TICKER, BBO: NULL until something had to wait */
};

struct window {
    uint64_t seen[TRADE_WINDOW / 64]; /* bit i: id (highest - i) came */
};

struct kline_position {
    char interval[INTERVAL_BYTES_MAX];
    size_t interval_len;
    int64_t open_ns, event_ns;
    struct kept *kept; /* NULL until something had to wait */
};

/* The last SOURCE_DOWN and SOURCE_UP that were told. Their times are those of the hosts of several
 * Adapters, of which any may be behind another one's: they name a word, and are no order. */
struct source_words {
    struct {
        int64_t received_ns;
        enum mlt_status_kind kind; /* NONE: there is none */
    } last[SOURCE_WORDS];
    unsigned next; /* place of the oldest, which goes next */
    bool has_floor;
    int64_t floor_ns; /* up to here were others, which nobody remembers one by one */
};

/* An instrument's book, and what waits behind its commit. */
struct fused {
    struct mlt_conductor_core *core;
    struct instrument *instrument;
    struct mlt_fusion *fusion;
    struct mlt_fusion *retired; /* what `book` has views of, when exponents changed meanwhile */
    size_t index;               /* in the core's lists */
    bool was_live;
    bool wanted;               /* BOOK is subscribed, as the last delta or snapshot said */
    bool heard;                /* there was one */
    bool unheard;              /* there was none since a snapshot was asked for last */
    bool restored, unsaid;     /* by an owner before, and neither joined nor broken; not yet said */
    bool conflated;            /* its window is over, but there was no room */
    int64_t withheld_until_ns; /* monotonic: then it leaves all the same */
    bool asleep;               /* restored, and the source was down by then */
    bool down_again;         /* the source's last word was said before, to a restored book: DOWN */
    bool uncached;           /* the last BOOK left with CACHE_UNAVAILABLE */
    bool committing, late;   /* late: what came after it waits no longer */
    int64_t reset_last;      /* id of the last snapshot that left with `reset` */
    bool redrawn;            /* one did at the id of the BOOK that is being committed */
    bool recorded;           /* record and checkpoint show a book */
    bool ended;              /* and it is no more, whatever is wanted now */
    bool withdrawing;        /* that they show one no longer is on its way, too */
    uint64_t fenced_epoch;   /* nothing leaves while the slot has this one */
    int64_t hold_until_ns;   /* monotonic */
    struct mlt_event book;   /* the one being committed */
    int64_t position_before; /* of its channel */
    struct mlt_buf held;     /* encoded events, as elements of a batch */
    struct mlt_buf waits;    /* an encoded BOOK_SNAPSHOT that is ahead of the deltas */
    int64_t waits_ns;        /* monotonic, since then */
    size_t change_count;     /* of the call in hand */
    struct mlt_sync_change changes[CHANGES_MAX];
};

struct instrument {
    char token[MLT_INSTRUMENT_BYTES_MAX + 1];
    size_t token_len;
    uint32_t slot;
    uint64_t epoch; /* 0: EPOCH_STARTED not sent yet */
    uint64_t previous_epoch;
    size_t previous_head_count;
    uint32_t heads_turns; /* since HEADS named all channels */
    struct mlt_head previous_heads[MLT_STATUS_HEADS_MAX];
    struct channel channels[MLT_EVENT_TYPE_COUNT];
    struct window trades, agg_trades;
    struct source_words words;
    int64_t snapshot_id; /* last_update_id of the last BOOK_SNAPSHOT of a stream; 0: none yet */
    int64_t snapshot_ns; /* and when that was received */
    size_t kline_count;
    struct kline_position klines[KLINE_INTERVALS_MAX];
    bool has_exponents; /* as INSTRUMENT said */
    int32_t price_exponent, quantity_exponent;
    bool source_down;    /* as its source said last: each new book of it begins with that */
    struct fused *fused; /* NULL: nothing of a book came yet */
    struct gaps *gaps;   /* NULL: no trade was missing yet */
    int64_t last_ns;     /* wall: when its last event was numbered; 0: none */
    struct instrument *next;
};

struct mlt_conductor_core {
    struct mlt_conductor_ports ports;
    uint32_t partitions;
    uint64_t epochs[MLT_SLOT_COUNT];
    struct mlt_map map;
    struct instrument *first, *last;
    struct mlt_conductor_counts counts;
    uint64_t trace_seed, trace_count;

    struct mlt_trades_options trades;
    struct gaps *gaps;
    int64_t trades_due_ns; /* nothing of trades is due before it */

    bool makes_books, draining, held_up;
    TAILQ_HEAD(, kept) kept;      /* those that wait */
    struct mlt_arena kept_arena;  /* of the one that leaves */
    bool waits_now;               /* the event in hand does */
    struct mlt_arena waits_arena; /* of the snapshot that waited */
    size_t conflated;             /* books of which a BOOK waits for room */
    struct mlt_conductor_books books;
    struct mlt_fusion_scratch scratch;
    /* By fused.index: what has a book, and when it is due (monotonic). */
    struct fused **fused;
    int64_t *dues;
    size_t fused_count, fused_capacity, holding;
    int64_t due_ns; /* no due is before it */
};

/* ---- core.c ---- */

/* Epoch, sequence, stamp and quality of the next event of its channel; mlt_conductor_send takes it
 * on. */
void mlt_conductor_number(struct mlt_conductor_core *core, struct instrument *i,
                          struct mlt_event *event);
/* A STATUS of our own, not numbered: no source position, received is now. */
void mlt_conductor_status(struct mlt_conductor_core *core, const struct instrument *i,
                          enum mlt_status_kind kind, const char *reason, struct mlt_event *event);
enum mlt_status mlt_conductor_instrument(struct mlt_conductor_core *core, struct mlt_slice token,
                                         struct instrument **out);
/* The one that its slot has, if it is not in it yet: EPOCH_STARTED, and all numbers begin anew. */
void mlt_conductor_enter_epoch(struct mlt_conductor_core *core, struct instrument *i);
bool mlt_conductor_owns(const struct mlt_conductor_core *core, const struct instrument *i);
/* And it has begun the epoch that its slot has: something of it may leave at any time. */
bool mlt_conductor_current(const struct mlt_conductor_core *core, const struct instrument *i);
static inline int64_t mlt_conductor_mono_ns(const struct mlt_conductor_core *core)
{
    return core->ports.clock->mono_ns(core->ports.clock->ctx);
}

/* Where the candles of an interval stand, if any came; NULL for an interval that is none, or one
 * too many. */
struct kline_position *mlt_conductor_candles_of(struct instrument *i, struct mlt_slice interval);

/* ---- core_tiers.c ---- */

/* Whether the newest event replaces those before: what may be kept. */
static inline bool mlt_conductor_is_merged(enum mlt_event_type type)
{
    return type == MLT_EVENT_TICKER || type == MLT_EVENT_BBO || type == MLT_EVENT_KLINE;
}
enum mlt_conductor_room mlt_conductor_room(const struct mlt_conductor_core *core);
/* True: there is no room for this new event, and it waits, in the place of what waited. False: it
 * leaves, for what waited as well. */
bool mlt_conductor_keep(struct mlt_conductor_core *core, struct instrument *i,
                        struct mlt_event *event);
/* What waits of the instrument leaves now. */
void mlt_conductor_release(struct mlt_conductor_core *core, struct instrument *i);
void mlt_conductor_tiers_room(struct mlt_conductor_core *core);
void mlt_conductor_tiers_tick(struct mlt_conductor_core *core);
int64_t mlt_conductor_tiers_due_ns(const struct mlt_conductor_core *core);
void mlt_conductor_tiers_fini(struct instrument *i);

/* ---- core_trades.c ---- */

/* The ids first..last of TRADE or AGG_TRADE did not come before the next one did, which has not
 * left yet. */
void mlt_conductor_trades_gap(struct mlt_conductor_core *core, struct instrument *i,
                              enum mlt_event_type type, int64_t first, int64_t last);
bool mlt_conductor_trade_is_missing(const struct instrument *i, enum mlt_event_type type,
                                    int64_t id);
/* This id came; fetched: by an answer of REST. */
void mlt_conductor_trade_came(struct mlt_conductor_core *core, struct instrument *i,
                              enum mlt_event_type type, int64_t id, bool fetched);
/* The instrument begins another epoch: what was missing in the one before stays so. */
void mlt_conductor_trades_epoch(struct instrument *i);
void mlt_conductor_trades_tick(struct mlt_conductor_core *core);
void mlt_conductor_trades_fini(struct mlt_conductor_core *core);

/* ---- core_books.c ---- */

/* Out, or behind the commit that is on its way. */
void mlt_conductor_send(struct mlt_conductor_core *core, struct instrument *i,
                        const struct mlt_event *event);
void mlt_conductor_number_and_send(struct mlt_conductor_core *core, struct instrument *i,
                                   struct mlt_event *event);
/* Takes a numbered-to-be event to the instrument's book; mlt_conductor_books_after comes after it
 * left. False: a snapshot that changed nothing and that nobody subscribed to, which does not leave.
 */
bool mlt_conductor_books_before(struct mlt_conductor_core *core, struct instrument *i,
                                struct mlt_event *event);
void mlt_conductor_books_after(struct mlt_conductor_core *core, struct instrument *i,
                               const struct mlt_event *event);
void mlt_conductor_books_lost(struct mlt_conductor_core *core, struct instrument *i);
/* A delta came, and became no event. */
void mlt_conductor_books_refused(struct mlt_conductor_core *core, struct instrument *i);
/* The instrument begins another epoch: nothing of the one before waits any longer. */
void mlt_conductor_books_epoch(struct mlt_conductor_core *core, struct instrument *i);
/* STATUS for what changed within this call. */
void mlt_conductor_announce(struct mlt_conductor_core *core, struct fused *f);
void mlt_conductor_book_if_due(struct mlt_conductor_core *core, struct fused *f);
/* Sets when the instrument is due next. */
void mlt_conductor_settle_due(struct mlt_conductor_core *core, struct fused *f);
/* Adds a book's level changes and deletes of unknown levels to `to`. */
void mlt_conductor_add_levels(const struct mlt_fusion *fusion, struct mlt_conductor_counts *to);
/* The Dispatcher has the table and says by each event what is subscribed
 * (docs/decisions/0010-books.md). */
void mlt_conductor_take_wants(struct instrument *i, const struct mlt_event *event);
/* SOURCE_DOWN or SOURCE_UP; takes it to the book. */
bool mlt_conductor_of_source(const struct mlt_event *event);
void mlt_conductor_take_source(struct instrument *i, const struct mlt_event *event);
void mlt_conductor_books_fini(struct mlt_conductor_core *core);
bool mlt_conductor_fenced(const struct mlt_conductor_core *core, const struct instrument *i);

/* A BOOK_SNAPSHOT, to the book; waited: it is the one that did. Whether it leaves. */
bool mlt_conductor_snapshot_leaves(struct mlt_conductor_core *core, struct instrument *i,
                                   struct mlt_event *event, bool waited);

/* ---- core_waits.c ---- */

/* Keeps an answer for which mlt_sync_answer said MLT_SYNC_WAITS. */
void mlt_conductor_wait_for_deltas(struct mlt_conductor_core *core, struct instrument *i,
                                   const struct mlt_event *snapshot);
/* Takes it to the book when the deltas have come to it, or are not coming; forgets it where it is
 * of no use any more. */
void mlt_conductor_waited_if_ripe(struct mlt_conductor_core *core, struct fused *f);

/* ---- core_fuse.c ---- */

/* A fusion at these exponents: the one that there is, or a new one, which is IDLE. */
enum mlt_status mlt_conductor_equip(struct mlt_conductor_core *core, struct instrument *i,
                                    int32_t price_exponent, int32_t quantity_exponent);
/* The same, and it is not IDLE any more. */
enum mlt_status mlt_conductor_fuse(struct mlt_conductor_core *core, struct instrument *i,
                                   int32_t price_exponent, int32_t quantity_exponent);
/* The same by levels. They have the exponents that INSTRUMENT announces, so they tell them as well:
 * an owner that starts between two listings need not wait for the next. */
enum mlt_status mlt_conductor_fuse_for(struct mlt_conductor_core *core, struct instrument *i,
                                       const struct mlt_levels *bids,
                                       const struct mlt_levels *asks);

/* ---- core_withdraw.c ---- */

/* Nobody asks for anything of the book any more: it ends, and so does what the cache has of it. */
void mlt_conductor_books_stopped(struct mlt_conductor_core *core, struct instrument *i);
/* Writes IDLE where record and checkpoint show a book of which nothing leaves. */
void mlt_conductor_withdraw_if_due(struct mlt_conductor_core *core, struct fused *f);

/* ---- core_told.c ---- */

/* The event is a word of the Dispatcher's for us alone, and taken. */
bool mlt_conductor_take_word(struct mlt_conductor_core *core, struct instrument *i,
                             const struct mlt_event *event);

/* ---- core_warm.c ---- */

/* A delta, or a word of the source, that was delivered before: a restored book may need it. */
void mlt_conductor_books_again(struct mlt_conductor_core *core, struct instrument *i,
                               const struct mlt_event *event);

#endif
