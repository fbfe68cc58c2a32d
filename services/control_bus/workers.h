/*
 * Commands wait for the exchange, and an endpoint has one thread: workers carry them out, so that
 * the two seconds of one consumer are not another one's. A bounded queue; who finds it full is told
 * so at once, and what waited for too long is refused, not carried out for nobody.
 */
#ifndef MELTICA_CONTROL_BUS_WORKERS_H
#define MELTICA_CONTROL_BUS_WORKERS_H

#include "command.h"
#include "meltica/base/clock.h"
#include "meltica/bus/bus.h"
#include "meltica/trace/context.h"

#define MLT_WORKERS_THREADS 16u
#define MLT_WORKERS_QUEUE_MAX 256u
#define MLT_WORKERS_PATIENCE_NS (2 * MLT_NS_PER_S) /* within which answers are promised */

struct mlt_workers;

struct mlt_work {
    enum mlt_verb verb;
    char subject[MLT_BUS_SUBJECT_BYTES_MAX + 1], reply[MLT_BUS_SUBJECT_BYTES_MAX + 1];
    struct mlt_trace_context caller; /* all zero: none */
    int64_t put_ns;                  /* monotonic */
    size_t len;
    uint8_t request[]; /* len bytes */
};

struct mlt_workers_ports {
    /* On a worker's thread, one call of one of them for each piece of work; both answer it. */
    void (*run)(void *ctx, const struct mlt_work *work);
    /* There is no time for it any more: it waited for longer than patience_ns, and who asked has
     * gone; or ends, the time to end is over. */
    void (*refuse)(void *ctx, const struct mlt_work *work, bool ends);
    void *ctx;
    int64_t patience_ns;
};

/* E_NOMEM, E_INTERNAL. */
enum mlt_status mlt_workers_create(const struct mlt_workers_ports *ports,
                                   struct mlt_workers **workers,
                                   struct mlt_error *err) MLT_MUST_CHECK;
/* Carries out what is in hand or queued; from until_ns on (monotonic) what is still queued is
 * refused, as what waited for too long is at any time. Nothing may be put any more. NULL is fine.
 */
void mlt_workers_destroy(struct mlt_workers *workers, int64_t until_ns);
/* How many pieces of work wait now, and the most that did. Any thread. */
void mlt_workers_waiting(struct mlt_workers *workers, size_t *now, size_t *most);
/* Copies the message, of a body that is longer than MLT_CONTROL_REQUEST_BYTES_MAX one byte more
 * than that: it will be refused, and a full queue of such must not take the memory of the process.
 * E_FULL, E_TOO_BIG (a subject), E_NOMEM. Any thread. */
enum mlt_status mlt_workers_put(struct mlt_workers *workers, enum mlt_verb verb,
                                const struct mlt_bus_message *message) MLT_MUST_CHECK;

#endif
