/*
 * Which trades of one instrument are missing, and what becomes of them. Ids of trades follow each
 * other, and so do those of aggregates: what lies between two is missing until it comes late, is
 * fetched, or is given up. Ranges that wait are merged into requests of one page, one request at a
 * time for the instrument, and no id is asked for twice. Every id that was found missing either
 * comes or is named once by the port `lost`. Pure: no allocation, the clock is an argument
 * (monotonic ns). The caller locks.
 */
#ifndef MELTICA_CONDUCTOR_TRADES_H
#define MELTICA_CONDUCTOR_TRADES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meltica/event/event.h"

#define MLT_TRADES_RANGES_MAX 16u /* missing at once, of each kind */
#define MLT_TRADES_REPEATS_MAX 5u /* times that a request is made again without success */
#define MLT_TRADES_NEVER INT64_MAX

enum mlt_trades_kind { MLT_TRADES_SINGLE, MLT_TRADES_AGGREGATE, MLT_TRADES_KINDS };

enum mlt_trades_loss {
    MLT_TRADES_TOO_MANY, /* more is missing than is filled in */
    MLT_TRADES_REFUSED,  /* nobody fetches it, or nobody takes the request */
    MLT_TRADES_TIMEOUT,  /* taken again and again, and not here: no budget, or no answer */
    MLT_TRADES_ABSENT,   /* the answer came without it */
    MLT_TRADES_LOSSES
};
const char *mlt_trades_loss_word(enum mlt_trades_loss loss); /* "too_many"; static */

struct mlt_trades_options {
    uint32_t ids_max;   /* missing at once of a kind; 0: nothing is filled in */
    int64_t wait_ns;    /* before a range is asked for: what is late may come by itself */
    int64_t timeout_ns; /* from a request to its last id: then it is made again */
    int64_t again_ns;   /* from a request that was not taken, or timed out, to the next one */
};

struct mlt_trades_ports {
    /* Fetch these ids, at most MLT_TRADES_PAGE_MAX; answered by mlt_trades_answered, never from
     * inside. Those that are found missing for the first time are told by `missing` before. */
    void (*request)(void *ctx, enum mlt_trades_kind kind, int64_t first, int64_t last);
    void (*missing)(void *ctx, enum mlt_trades_kind kind, int64_t first, int64_t last);
    /* They will not come. */
    void (*lost)(void *ctx, enum mlt_trades_kind kind, int64_t first, int64_t last,
                 enum mlt_trades_loss why);
    void *ctx;
};

struct mlt_trades_range {
    int64_t first, last;
    int64_t ready_ns; /* when it may be asked for */
    bool told;        /* by `missing` */
};

struct mlt_trades {
    const struct mlt_trades_options *options; /* of the caller, as long as this lives */
    struct mlt_trades_ports ports;
    size_t counts[MLT_TRADES_KINDS];
    uint64_t missing[MLT_TRADES_KINDS];                                      /* ids in the ranges */
    struct mlt_trades_range ranges[MLT_TRADES_KINDS][MLT_TRADES_RANGES_MAX]; /* by id */
    bool asked; /* a request is out: for these ids */
    enum mlt_trades_kind kind;
    int64_t first, last;
    int64_t until_ns; /* when it is given up */
    int64_t again_ns; /* no request before */
    unsigned repeats; /* requests in a row without success */
};

void mlt_trades_init(struct mlt_trades *trades, const struct mlt_trades_options *options,
                     const struct mlt_trades_ports *ports);

/* The ids first..last (0 <= first <= last, above all that came) were not seen. */
void mlt_trades_gap(struct mlt_trades *trades, enum mlt_trades_kind kind, int64_t first,
                    int64_t last, int64_t now_ns);
/* It was found missing, and has neither come nor been given up. */
bool mlt_trades_is_missing(const struct mlt_trades *trades, enum mlt_trades_kind kind, int64_t id);
/* This id came, missing or not. fetched: by an answer, which is in order of ids: what it did not
 * have before its last one the exchange does not have. */
void mlt_trades_came(struct mlt_trades *trades, enum mlt_trades_kind kind, int64_t id,
                     bool fetched);

enum mlt_trades_answer {
    MLT_TRADES_TAKEN, /* it is being fetched */
    MLT_TRADES_LATER, /* not now */
    MLT_TRADES_NO     /* nor at any other time */
};
/* What became of the request. One that is not the one out (it timed out meanwhile) is ignored. */
void mlt_trades_answered(struct mlt_trades *trades, enum mlt_trades_kind kind, int64_t first,
                         enum mlt_trades_answer answer, int64_t now_ns);

/* Requests and timeouts that are due. mlt_trades_due_ns: when there is anything to do
 * (MLT_TRADES_NEVER: nothing). */
void mlt_trades_tick(struct mlt_trades *trades, int64_t now_ns);
int64_t mlt_trades_due_ns(const struct mlt_trades *trades);

/* Forgets what is missing: somebody else cares for it from now on. */
void mlt_trades_forget(struct mlt_trades *trades);

#endif
