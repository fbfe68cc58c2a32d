/*
 * BOOKs that a consumer saw and that the simulator has to confirm, level by level, and when each
 * symbol was LIVE at which update id. Filled by the consumer's thread under its lock; questions are
 * asked by the test's thread.
 */
#ifndef MELTICA_TEST_STORM_TRUTH_H
#define MELTICA_TEST_STORM_TRUTH_H

#include <cjson/cJSON.h>

#include "mlt_consumer.h"
#include "mlt_stack.h"

#define STORM_SHOWN 20u
#define STORM_SYMBOLS_MAX 200u
#define STORM_PENDING 512u /* a symbol; one more is an overrun, and fails the test */

struct storm_book {
    int64_t id;
    bool limited; /* says DEPTH_LIMITED: may show fewer levels than there are */
    int32_t price_exponent, quantity_exponent;
    size_t count[2];
    int64_t prices[2][STORM_SHOWN], quantities[2][STORM_SHOWN];
};

struct storm_moment {
    int64_t time_ns, id; /* since 1970; of a BOOK that was LIVE */
};

struct storm_symbol {
    struct storm_book *pending; /* ring of STORM_PENDING */
    size_t head, waiting;
    struct storm_moment *moments;
    size_t moment_count, moment_capacity;
};

struct storm_truth {
    struct mlt_consumer *consumer;
    struct mlt_stack *stack;
    unsigned symbols;
    struct storm_symbol *of; /* symbols */
    uint64_t live, other;    /* BOOKs seen */
    uint64_t checked, wrong, unknown, overrun;
    uint64_t waiting;           /* over all symbols */
    uint64_t shown_when_unsure; /* BOOKs of GAP or SYNCING with levels */
    char first_wrong[256];
};

/* What a BOOK showed. */
void storm_book_take(struct storm_book *to, const struct mlt_event *event);
/* Whether the simulator's answer about a book at that id (one of /sim/book) is the same, level by
 * level. */
bool storm_book_right(const struct storm_book *book, const cJSON *answer);

void storm_truth_open(struct storm_truth *truth, struct mlt_consumer *consumer,
                      struct mlt_stack *stack, unsigned symbols);
void storm_truth_close(struct storm_truth *truth);

/* Index of the synthetic symbol of a token (SYM0001-USDT); false: none of the first `symbols`. */
bool storm_symbol_of(const struct storm_truth *truth, struct mlt_slice token, unsigned *index);

/* An event of the stream, under the consumer's lock. */
void storm_truth_see(struct storm_truth *truth, const struct mlt_event *event);

/* Asks for the true books of all that waits, and compares. */
void storm_truth_check(struct storm_truth *truth);

/* When the symbol was first LIVE at or beyond that id, not before that time; -1: not yet. */
int64_t storm_live_at(struct storm_truth *truth, unsigned symbol, int64_t id, int64_t time_ns);

#endif
