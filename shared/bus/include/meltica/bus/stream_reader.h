/*
 * Reads a stream from some sequence to its end, in order. One message a request is a round trip
 * each, and a log of some thousands takes seconds; so once a few came one after the other, the next
 * ones are asked for together, one request for each sequence (DIRECT.GET with `next_by_subj`,
 * ADR-31 of NATS): the answer for a sequence is the first message at or after it, so that the
 * answers for a run of sequences, each of them there, have every message of that run.
 */
#ifndef MELTICA_BUS_STREAM_READER_H
#define MELTICA_BUS_STREAM_READER_H

#include "meltica/bus/store.h"

struct mlt_stream_reader;

/* The store must outlive it; stream and subject (wildcards) are copied. One thread. E_NOMEM,
 * E_INVALID (a name or subject that is none). */
enum mlt_status mlt_stream_reader_create(struct mlt_store *store, const char *stream,
                                         const char *subject, struct mlt_stream_reader **out,
                                         struct mlt_error *err) MLT_MUST_CHECK;
/* As mlt_stream_next_current. What it holds was there within the last second, and is given where
 * `from` is right behind what was given last; with any other `from` it asks anew. A quarter of a
 * second more at most. */
enum mlt_status mlt_stream_reader_next(struct mlt_stream_reader *reader, uint64_t from,
                                       struct mlt_buf *payload, uint64_t *sequence,
                                       struct mlt_error *err) MLT_MUST_CHECK;
/* Requests made so far: of one message, and of runs. */
struct mlt_stream_reader_stats {
    uint64_t singles, runs;
};
struct mlt_stream_reader_stats mlt_stream_reader_stats(const struct mlt_stream_reader *reader);
void mlt_stream_reader_destroy(struct mlt_stream_reader *reader); /* NULL is fine */

#endif
