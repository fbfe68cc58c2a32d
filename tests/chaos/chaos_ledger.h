/*
 * What one consumer of the chaos run got, and whether it was told of all that it did not get. The
 * exchange's ids count up without a hole, so what was sent is known: every id of TRADE, AGG_TRADE
 * and BOOK_DELTA has to come, or its absence has to be said in its place; what comes late says so,
 * and no quote (BBO) is older than the one before it. A pure machine: events and outages are handed
 * in. One thread at a time; memory is bounded.
 */
#ifndef MELTICA_CHAOS_LEDGER_H
#define MELTICA_CHAOS_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "follow.h"
#include "meltica/event/event.h"

#define CHAOS_SYMBOLS_MAX 64u
#define CHAOS_RANGES_MAX 1024u /* missing trades of a channel; more: the oldest is given up */
#define CHAOS_KEYS 1024u       /* events of a channel whose key is remembered */
#define CHAOS_OUTAGES_MAX 256u

/* How a hole was made known. */
enum chaos_naming {
    CHAOS_BY_LOST,     /* STATUS LOST in its place */
    CHAOS_BY_EPOCH,    /* EPOCH_STARTED: heads of the epoch before */
    CHAOS_BY_OUTAGE,   /* a jump in `sequence`, or HEADS, while the NATS server was away */
    CHAOS_BY_STATUS,   /* ids: GAP, STALE, SOURCE_DOWN, LOST or another book */
    CHAOS_BY_SNAPSHOT, /* ids: a BOOK_SNAPSHOT that resets the book has them */
    CHAOS_BY_MISSING,  /* ids of trades: MISSING or UNFILLABLE */
    CHAOS_BY_SEQUENCE, /* ids: numbers of the channel are missing with them */
    CHAOS_NAMINGS
};
extern const char *const chaos_naming_names[CHAOS_NAMINGS];

struct chaos_range {
    int64_t first, last;
    bool ended; /* said to be gone, or of an epoch that is over: it need not come */
};

#define CHAOS_RECENT 256u
#define CHAOS_SHOWN 5u /* times that they are shown */

struct chaos_channel {
    bool seen;
    uint64_t epoch, sequence, events;
    int64_t first_id, last_id;     /* first of all; highest so far */
    int64_t came_ns, published_ns; /* wall clock; of its last event */
    bool lost_said;                /* a LOST notice since its last event */
    bool gap_said;                 /* something that names missing ids, since its last event */
    bool missed;                   /* HEADS have said so, since its last event */
    bool unsure;                   /* numbers were missing since its highest id */
    struct chaos_range ranges[CHAOS_RANGES_MAX]; /* missing trades, ascending */
    unsigned range_count;
    struct {
        uint64_t epoch, sequence, key;
    } keys[CHAOS_KEYS]; /* by sequence */
};

/* What came last of an instrument, to be shown where something is wrong. */
struct chaos_recent {
    enum mlt_event_type type;
    int kind; /* of a STATUS */
    uint64_t epoch, sequence;
    int64_t first, last, received_ns, came_ns;
    uint32_t quality;
};

struct chaos_instrument {
    struct chaos_channel channels[MLT_EVENT_TYPE_COUNT];
    struct chaos_recent recent[CHAOS_RECENT];
    unsigned recent_count;
    struct mlt_follow *follow;
    uint64_t epoch;      /* newest EPOCH_STARTED */
    int64_t snapshot_id; /* newest BOOK_SNAPSHOT that resets the book */
};

/* Last ids that the exchange gave, by type; 0: not asked. */
struct chaos_heads {
    int64_t last[MLT_EVENT_TYPE_COUNT];
};

struct chaos_ledger {
    const struct chaos_instrument *current; /* whose event is looked at; NULL: the end */
    unsigned symbols, shown;
    struct chaos_instrument *instruments; /* symbols */
    struct {
        int64_t from_ns, until_ns; /* wall clock; until 0: it lasts */
    } outages[CHAOS_OUTAGES_MAX];  /* a ring of the last ones */
    unsigned outage_count;

    uint64_t events, notices, by_status[MLT_STATUS_UNFILLABLE + 1];
    uint64_t repeats;      /* not above the last (epoch, sequence): a consumer ignores them */
    uint64_t duplicates;   /* one id in two events, or two events of one number */
    uint64_t silent_holes; /* nobody said so */
    uint64_t disorders;    /* a quote older than the one before it; a late trade without LATE */
    uint64_t named[CHAOS_NAMINGS];
    uint64_t filled, given_up; /* missing trades that came; ranges beyond CHAOS_RANGES_MAX */
    uint64_t foreign;          /* messages that are no events of ours */
    char first_silent[256], first_duplicate[256], first_disorder[256]; /* "": none */
    enum mlt_status failure;                                           /* of the check itself */
};

/* Fails the program (cmocka) without memory. */
void chaos_ledger_open(struct chaos_ledger *ledger, unsigned symbols);
void chaos_ledger_close(struct chaos_ledger *ledger);

/* Index of a synthetic symbol (SYM0001-USDT); false: none of ours. */
bool chaos_symbol_of(struct mlt_slice token, unsigned symbols, unsigned *index);

/* now_ns: wall clock, when it came. */
void chaos_ledger_event(struct chaos_ledger *ledger, const struct mlt_event *event, int64_t now_ns);

/* The NATS server was killed; is there again. What was under way is lost, and seen by its number.
 */
void chaos_ledger_outage(struct chaos_ledger *ledger, int64_t from_ns);
void chaos_ledger_outage_over(struct chaos_ledger *ledger, int64_t until_ns);

/* Whether a channel came as far as the exchange had come. */
bool chaos_ledger_reached(const struct chaos_ledger *ledger, unsigned symbol,
                          enum mlt_event_type type, int64_t id);
/* The end: what is still missing and was never said to be gone is a silent hole, and so is a
 * channel that has not reached `heads` (symbols; by type 0: not asked). */
void chaos_ledger_end(struct chaos_ledger *ledger, const struct chaos_heads *heads);
/* Trades that have not come, of this epoch, and that nobody gave up. */
uint64_t chaos_ledger_awaited(const struct chaos_ledger *ledger);

/* Books and digests that differ from what the deltas make. */
uint64_t chaos_ledger_wrong(const struct chaos_ledger *ledger);
uint64_t chaos_ledger_right(const struct chaos_ledger *ledger);

#endif
