/*
 * Keeps KV meltica-instruments: one key an instrument (its token), the value its canonical
 * INSTRUMENT Event as of its last change. A thread of its own writes, so that JetStream, slow or
 * away, is nothing to the flow: what could not be written waits, the newest of each instrument, and
 * is written when it can be. Where the bucket went away everything is written again with the next
 * change.
 */
#ifndef MELTICA_DISPATCHER_INSTRUMENTS_H
#define MELTICA_DISPATCHER_INSTRUMENTS_H

#include "meltica/bus/bus.h"
#include "meltica/event/event.h"

#define MLT_INSTRUMENTS_MAX 16384u /* as of the catalogue; beyond: counted as failed */
#define MLT_INSTRUMENTS_RETRY_MS 1000

struct mlt_instruments;

struct mlt_instruments_stats {
    uint64_t written, failed; /* puts; failed ones are tried again */
    size_t known, waiting;
};

/* Starts the thread. control must outlive it. E_NOMEM, E_INTERNAL. */
enum mlt_status mlt_instruments_create(struct mlt_bus *control, uint32_t provision_replicas,
                                       struct mlt_instruments **instruments,
                                       struct mlt_error *err) MLT_MUST_CHECK;
/* Waits for a put in hand, a second at most; what waits is left. NULL is fine. */
void mlt_instruments_destroy(struct mlt_instruments *instruments);

/* An INSTRUMENT event: written unless it says what the last one of its instrument said. Does not
 * block. One thread at a time. */
void mlt_instruments_heard(struct mlt_instruments *instruments, const struct mlt_event *event);
/* Any thread. */
void mlt_instruments_get_stats(struct mlt_instruments *instruments,
                               struct mlt_instruments_stats *out);

#endif
