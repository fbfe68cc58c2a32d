/*
 * When each book was LIVE again after a fault. A fault lasts from its beginning to its end; where
 * others befall the same book before it is LIVE again, the last end counts. A pure machine; one
 * thread at a time; memory is bounded.
 */
#ifndef MELTICA_CHAOS_RECOVERY_H
#define MELTICA_CHAOS_RECOVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "chaos_ledger.h"
#include "latency.h"

#define CHAOS_MOMENTS 4096u         /* of a symbol: LIVE BOOKs that are remembered */
#define CHAOS_PENDING_MAX 4096u     /* faults that are not recovered from */
#define CHAOS_SPANS 1024u           /* of a symbol: faults that are remembered */
#define CHAOS_ALL CHAOS_SYMBOLS_MAX /* a fault of every symbol */

enum chaos_kind {
    CHAOS_KILL_ADAPTER,
    CHAOS_KILL_DISPATCHER,
    CHAOS_KILL_CONDUCTOR,
    CHAOS_KILL_DATA_BUS,
    CHAOS_KILL_CONTROL_BUS,
    CHAOS_KILL_NATS,
    CHAOS_SHUTDOWN_NOTICE,
    CHAOS_RESET,
    CHAOS_UNHEARD, /* and the next control message is neither carried out nor answered */
    CHAOS_CLOSE,
    CHAOS_STALL,
    CHAOS_HALF_OPEN,
    CHAOS_SILENCE,     /* without data; pings come */
    CHAOS_MUTE,        /* without anything */
    CHAOS_UNANSWERED,  /* and the next control message is carried out, not answered */
    CHAOS_HOLLOW_ACKS, /* and the next SUBSCRIBE is answered, not carried out */
    CHAOS_LISTING,
    CHAOS_SCRIPT_KINDS, /* above: the plan's; below: the simulator's own script */
    CHAOS_DROP = CHAOS_SCRIPT_KINDS,
    CHAOS_DUPLICATE,
    CHAOS_REORDER,
    CHAOS_DELAY,
    CHAOS_CUT,
    CHAOS_SHORTEN,
    CHAOS_CORRUPT,
    CHAOS_STALE,
    CHAOS_SLOW,
    CHAOS_FAIL,
    CHAOS_BUSY,
    CHAOS_TRUNCATE,
    CHAOS_BANNED,
    CHAOS_HUGE,
    CHAOS_HTML,
    CHAOS_WRONG_SYMBOL,
    CHAOS_KINDS
};
extern const char *const chaos_kind_names[CHAOS_KINDS]; /* from CHAOS_DROP on the simulator's */

struct chaos_moment {
    int64_t came_ns, received_ns; /* wall clock: here; of its newest frame, at the Adapter */
    int64_t id;
};

struct chaos_fault {
    enum chaos_kind kind;
    unsigned symbol;          /* whose book has to get over it; CHAOS_ALL: every one */
    bool felt_by_all;         /* it keeps the others' books, too: nothing can be asked meanwhile */
    int64_t begin_ns, end_ns; /* wall clock */
    int64_t id;               /* a book at or above it has got over it; 0: any */
};

struct chaos_recovery {
    unsigned symbols;
    struct {
        struct chaos_moment *moments; /* a ring of CHAOS_MOMENTS */
        uint64_t moment_count;
        struct {
            int64_t begin_ns, end_ns;
            enum chaos_kind kind;
            bool own;
        } *spans; /* a ring of CHAOS_SPANS */
        uint64_t span_count;
        bool live; /* ever */
    } of[CHAOS_SYMBOLS_MAX];
    struct chaos_fault *pending; /* CHAOS_PENDING_MAX */
    unsigned pending_count;
    uint64_t faults, by_kind[CHAOS_KINDS], forgotten;
    struct mlt_latency took, took_by_kind[CHAOS_KINDS];
    char slowest[128]; /* which took longest */
    int64_t slow_ns;   /* who takes longer is said on stderr, with what met its book; 0: nobody */
};

void chaos_recovery_open(struct chaos_recovery *recovery, unsigned symbols);
void chaos_recovery_close(struct chaos_recovery *recovery);
/* A BOOK that says LIVE. */
void chaos_recovery_live(struct chaos_recovery *recovery, unsigned symbol, int64_t came_ns,
                         int64_t received_ns, int64_t id);
/* A fault that is over, or whose end is known. */
void chaos_recovery_fault(struct chaos_recovery *recovery, const struct chaos_fault *fault);
/* Looks at what is pending; how many are left. */
unsigned chaos_recovery_judge(struct chaos_recovery *recovery);
/* Whether every book was LIVE, since then by what was received since `received_ns`. */
bool chaos_recovery_all_live(const struct chaos_recovery *recovery, int64_t came_ns,
                             int64_t received_ns);

#endif
