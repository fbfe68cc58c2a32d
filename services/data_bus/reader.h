/*
 * Keeps the dispatch table at hand: hears meltica.int.table.changed, asks meltica.int.table on a
 * thread of its own, and hands the newest table to the one who takes it. Nothing here runs on the
 * hot path but mlt_table_reader_take, which costs one atomic load where nothing is new.
 */
#ifndef MELTICA_DATA_BUS_READER_H
#define MELTICA_DATA_BUS_READER_H

#include "meltica/bus/bus.h"
#include "routing.h"

struct mlt_table_reader;

struct mlt_table_reader_stats {
    uint64_t reads, failures;
    uint64_t revision; /* of the newest table read, 0: none */
};

/* control: a CONTROL bus that outlives the reader. E_NOMEM, and what subscribing gives. */
enum mlt_status mlt_table_reader_create(struct mlt_bus *control, struct mlt_table_reader **reader,
                                        struct mlt_error *err) MLT_MUST_CHECK;
/* Nobody may wait in it any more (mlt_table_reader_end first). NULL is fine. */
void mlt_table_reader_destroy(struct mlt_table_reader *reader);
/* Every wait returns at once from now on. Any thread. */
void mlt_table_reader_end(struct mlt_table_reader *reader);

/* A table that was read since the last call, the caller's from now on; NULL: none. One taker. */
struct mlt_routing *mlt_table_reader_take(struct mlt_table_reader *reader);
/* Waits until a table is there to be taken. False: the reader was ended. */
bool mlt_table_reader_wait(struct mlt_table_reader *reader);
/* Asks for the table now and waits until one of at least that revision, or of another boot than the
 * last one read, can be taken; false after timeout_ns or when the reader was ended. */
bool mlt_table_reader_await(struct mlt_table_reader *reader, uint64_t revision, int64_t timeout_ns);

/* Any thread. */
void mlt_table_reader_get_stats(struct mlt_table_reader *reader,
                                struct mlt_table_reader_stats *out);

#endif
