/*
 * A consumer's own check of a canonical stream: counts, continuity of sequence and of exchange
 * positions, exact sums of the trades, and a hash of what the exchange said. It knows nothing but
 * the events it is given.
 */
#ifndef MELTICA_TOOL_TALLY_H
#define MELTICA_TOOL_TALLY_H

#include "meltica/base/buf.h"
#include "meltica/event/event.h"

struct mlt_tally;

enum mlt_status mlt_tally_create(struct mlt_tally **tally) MLT_MUST_CHECK;
void mlt_tally_destroy(struct mlt_tally *tally);

/* E_LIMIT above 16,384 instruments, E_NOMEM, E_RANGE (a sum beyond 128 bits). */
enum mlt_status mlt_tally_event(struct mlt_tally *tally,
                                const struct mlt_event *event) MLT_MUST_CHECK;

struct mlt_tally_totals {
    uint64_t events; /* source-derived ones and STATUS */
    uint64_t gaps;   /* exchange ids (update, trade, aggregate) that do not follow each other */
    uint64_t
        duplicates; /* (epoch, sequence) not above the last one: counted here and nowhere else */
    /* Sequences missing within an epoch, and last ones that HEADS or EPOCH_STARTED name. */
    uint64_t sequence_holes;
    uint64_t epoch_ends_unknown; /* EPOCH_STARTED that do not name the epoch before */
    uint64_t lost;               /* STATUS LOST */
    uint64_t source_derived;     /* TICKER, BBO, TRADE, AGG_TRADE, KLINE, BOOK_DELTA */
};
void mlt_tally_totals(const struct mlt_tally *tally, struct mlt_tally_totals *out);

/* Members of the report, without braces: events_out, duplicates, gaps, sequence_holes, lost,
 * epoch_ends_unknown, sequence, exchange_ids, trade_quantity, trade_notional, stream_hash
 * (docs/report.md). */
enum mlt_status mlt_tally_report(struct mlt_tally *tally, struct mlt_buf *out) MLT_MUST_CHECK;

#endif
