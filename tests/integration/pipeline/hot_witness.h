/*
 * Whether every quote of the exchange came. Quotes have ids with gaps, so that only somebody who
 * hears the exchange itself knows which ones there were: a line of the test's own, beside those of
 * the Adapters. Any thread; fails the test (cmocka) in the functions that say so.
 */
#ifndef MELTICA_TEST_HOT_WITNESS_H
#define MELTICA_TEST_HOT_WITNESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ws_raw.h"

#define HOT_WITNESS_SYMBOLS 6u
#define HOT_WITNESS_QUOTES 65536u /* of a symbol; more fail the test */

struct hot_quotes {
    int64_t ids[HOT_WITNESS_QUOTES]; /* ascending */
    size_t count;
};

struct hot_witness {
    pthread_t thread;
    pthread_mutex_t lock; /* the owner's to make: quotes may come before the start */
    struct raw_ws ws;
    bool stop, ended; /* to end; the line ended by itself, or there were too many quotes */
    struct hot_quotes said[HOT_WITNESS_SYMBOLS], came[HOT_WITNESS_SYMBOLS];
    uint64_t again; /* that came, and not above the one before */
};

/* How many quotes of each symbol the exchange had said. */
struct hot_mark {
    size_t of[HOT_WITNESS_SYMBOLS];
};

/* Listens to the synthetic symbols 1..HOT_WITNESS_SYMBOLS of the exchange on that port, until
 * hot_witness_stop. Fails the test. */
void hot_witness_start(struct hot_witness *witness, int port);
/* Fails the test where the line ended by itself. */
void hot_witness_stop(struct hot_witness *witness);
/* A consumer got the quote of that id of a symbol (from 0). */
void hot_witness_came(struct hot_witness *witness, unsigned symbol, int64_t id);
struct hot_mark hot_witness_mark(struct hot_witness *witness);
/* Whether what came is as far as the exchange was then. */
bool hot_witness_reached(struct hot_witness *witness, const struct hot_mark *mark);
/* Quotes that the exchange said between the two and that did not come. */
uint64_t hot_witness_missing(struct hot_witness *witness, const struct hot_mark *from,
                             const struct hot_mark *to);

#endif
