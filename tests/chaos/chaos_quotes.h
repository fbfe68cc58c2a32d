/*
 * Quotes (BBO) that a consumer saw, some of them, and whether the exchange's book has that touch at
 * that update id. What waits is under the caller's lock, the counts are of one thread, which
 * compares; memory is bounded.
 */
#ifndef MELTICA_CHAOS_QUOTES_H
#define MELTICA_CHAOS_QUOTES_H

#include <cjson/cJSON.h>

#include "chaos_ledger.h"

#define CHAOS_QUOTES 8u /* of a symbol that wait to be compared; more are not */

struct chaos_quote {
    int64_t id;
    struct mlt_bbo bbo;
};

struct chaos_quotes {
    struct {
        struct chaos_quote waiting[CHAOS_QUOTES];
        unsigned count;
    } of[CHAOS_SYMBOLS_MAX];
    uint64_t checked, wrong, unknown; /* unknown: the exchange does not know a book at that id */
    char first_wrong[256];            /* "": none */
};

/* Keeps a BBO of that symbol, unless so many wait. */
void chaos_quotes_take(struct chaos_quotes *quotes, unsigned symbol, const struct mlt_event *event);
/* Moves what waits of a symbol to `to` (CHAOS_QUOTES); how many. */
unsigned chaos_quotes_waiting(struct chaos_quotes *quotes, unsigned symbol, struct chaos_quote *to);
/* answer: the exchange's book at the quote's id, one of /sim/books. Counts. */
void chaos_quotes_compare(struct chaos_quotes *quotes, unsigned symbol,
                          const struct chaos_quote *quote, const cJSON *answer);

#endif
