/*
 * The book that this consumer keeps, and the numbers of the channels. Prices and quantities are
 * whole numbers (mantissas). One thread.
 */
#ifndef CLIENT_BOOK_H
#define CLIENT_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meltica/v1/event.pb-c.h"

#define DIGEST_LEVELS 20u
#define BUFFERED_DELTAS_MAX 4096u
#define TYPES_MAX 32u /* event types that are numbered here; those beyond are not looked at */

struct level {
    int64_t rank, quantity; /* rank: price of a bid, minus price of an ask; greater is better */
};

/* Levels of one side inside the known window, best first. */
struct side {
    int64_t sign; /* 1 bids, -1 asks */
    struct level *levels;
    size_t count, capacity;
    int64_t bound; /* worst rank that is known; INT64_MIN: there are no other levels */
};

struct book {
    struct side bids, asks;
    bool held;
    bool wanted; /* a checkpoint can be asked for: the fused book is LIVE, or nobody said otherwise
                  */
    int64_t last;
    int64_t needed; /* update id that a checkpoint has to reach: deltas up to it were sent, and are
                       missing here */
    uint64_t epoch, wrong;
    Meltica__V1__Event *buffer[BUFFERED_DELTAS_MAX]; /* deltas that came while no book is held */
    size_t buffered;
};

struct position {
    bool seen;
    uint64_t epoch, sequence;
};

struct channels {
    struct position last[TYPES_MAX];
    uint64_t events, gaps;
};

void book_init(struct book *book);
void book_fini(struct book *book);
uint32_t book_digest(const struct book *book);
/* Joins, unless it does not fit what is buffered: then it has to be read again. */
void book_checkpoint(struct book *book, const Meltica__V1__BookCheckpoint *checkpoint);
/* True when the event is kept: the book frees it later. */
bool book_on_delta(struct book *book, Meltica__V1__Event *event);
void book_on_snapshot(struct book *book, const Meltica__V1__BookSnapshot *snapshot);
/* True when the BOOK is of the same update id as the own book, and equal. */
bool book_on_book(struct book *book, const Meltica__V1__Book *published);
void book_on_status(struct book *book, const Meltica__V1__Status *status);

/* False for a repeat. */
bool channels_is_new(struct channels *channels, const Meltica__V1__Event *event);
/* Before channels_is_new: EPOCH_STARTED speaks of the epoch before its own. */
void channels_on_status(struct channels *channels, uint64_t epoch,
                        const Meltica__V1__Status *status);

#endif
