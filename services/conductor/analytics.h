/*
 * What a BOOK says beside its levels: docs/analytics.md gives formula, unit, window and rounding of
 * each. Integers throughout, 128 bits inside, one rounding at the end (half to even). Time is the
 * exchange's, as events carry it; it never runs backwards here. Pure; allocates only in create. One
 * thread at a time.
 */
#ifndef MELTICA_CONDUCTOR_ANALYTICS_H
#define MELTICA_CONDUCTOR_ANALYTICS_H

#include "book.h"

/* The spans of the repeated measures. */
extern const uint32_t mlt_analytics_levels[MLT_ANALYTICS_SPANS];  /* 1, 5, 20 */
extern const uint32_t mlt_analytics_bps[MLT_ANALYTICS_SPANS];     /* 5, 10, 50 */
extern const uint32_t mlt_analytics_seconds[MLT_ANALYTICS_SPANS]; /* 1, 10, 60 */

struct mlt_analytics;

/* For books and trades at these exponents. E_NOMEM. */
enum mlt_status mlt_analytics_create(int32_t price_exponent, int32_t quantity_exponent,
                                     struct mlt_analytics **out) MLT_MUST_CHECK;
void mlt_analytics_destroy(struct mlt_analytics *analytics); /* NULL is fine */

/* Trades were missed, or the book was not LIVE: those windows begin anew. */
void mlt_analytics_restart_trades(struct mlt_analytics *analytics);
void mlt_analytics_restart_book(struct mlt_analytics *analytics);

/* Counts a trade, a late one too while a window covers its time. E_MISSING: no aggressor;
 * E_PRECISION, E_RANGE: not at the exponents, negative, or beyond what can be summed; not counted
 * then. */
enum mlt_status mlt_analytics_trade(struct mlt_analytics *analytics,
                                    const struct mlt_trade *trade) MLT_MUST_CHECK;

/* The book's state from at_ns on: after each delta and snapshot in LIVE. at_ns: the exchange's
 * time; MLT_STAMP_UNKNOWN: that of what was seen before, and no state of any window while nothing
 * was. */
void mlt_analytics_book(struct mlt_analytics *analytics, const struct mlt_orderbook *book,
                        int64_t at_ns);

/* All measures at at_ns (as above), of this book and the windows so far. */
void mlt_analytics_measure(struct mlt_analytics *analytics, const struct mlt_orderbook *book,
                           int64_t at_ns, struct mlt_book_analytics *out);

#endif
