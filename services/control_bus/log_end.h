/*
 * Where the log of commands ends: the sequence of its last record, whoever stored it. It is looked
 * at again and again, since other instances store records too, and a log that was lost and made
 * anew begins with 1.
 */
#ifndef MELTICA_CONTROL_BUS_LOG_END_H
#define MELTICA_CONTROL_BUS_LOG_END_H

#include "meltica/bus/store.h"

struct mlt_log_end;

/* The store lives longer. E_NOMEM, E_INTERNAL. */
enum mlt_status mlt_log_end_create(struct mlt_store *store, struct mlt_log_end **end,
                                   struct mlt_error *err) MLT_MUST_CHECK;
/* Waits for a look that is under way, a second at most. NULL is fine. */
void mlt_log_end_destroy(struct mlt_log_end *end);
/* A record was acknowledged with this sequence. Any thread. */
void mlt_log_end_stored(struct mlt_log_end *end, uint64_t sequence);
/* 0: there is no record, or nothing was learnt so far; while nobody answers it stays. Any thread.
 */
uint64_t mlt_log_end_get(struct mlt_log_end *end);

#endif
