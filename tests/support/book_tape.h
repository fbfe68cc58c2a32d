/*
 * A recording decoded once, by the Adapter's own decoder, into what a book is made of: deltas, best
 * prices, trades and snapshots in the order of their receive times. For tests and benchmarks.
 */
#ifndef MELTICA_TESTS_BOOK_TAPE_H
#define MELTICA_TESTS_BOOK_TAPE_H

#include "meltica/event/event.h"

#define TAPE_SYMBOLS_MAX 8
#define TAPE_EXPONENT (-8)

struct tape_entry {
    enum mlt_event_type type; /* BOOK_DELTA, BOOK_SNAPSHOT, BBO, TRADE */
    unsigned symbol;          /* index into tokens */
    int64_t received, exchange, first, last;
    union {
        struct mlt_book_delta delta;
        struct mlt_book_snapshot snapshot;
        struct mlt_bbo bbo;
        struct mlt_trade trade;
    } u;
};

struct tape {
    struct tape_entry *entries;
    size_t count;
    char tokens[TAPE_SYMBOLS_MAX][32];
    unsigned symbol_count;
    uint64_t changes; /* of all deltas */
};

/* The folder of the recordings; NULL when it has none. */
const char *tape_captures(void);
/* BTCUSDT, 2024-08-08 and the day after; or the four symbols of 2021-10-12. False, with a line on
 * stderr, when it cannot be read. */
bool tape_load_btc(struct tape *tape);
bool tape_load_cryptofeed(struct tape *tape);
void tape_free(struct tape *tape);

#endif
