/* What the two halves of the control log's thread know of each other: control.c, who waits and what
 * is told; control_log.c, what the log says, and ends of leases, which go into it. */
#ifndef MELTICA_DISPATCHER_CONTROL_INTERNAL_H
#define MELTICA_DISPATCHER_CONTROL_INTERNAL_H

#include <pthread.h>

#include "control.h"

#include "meltica/bus/store.h"
#include "meltica/bus/stream_reader.h"
#include "meltica/trace/context.h"

#define MLT_CONTROL_WAITERS_MAX 1024u
#define MLT_CONTROL_REFUSED_MAX 64u
/* Something may be in the log that nobody told of: its writer ended before it could. */
#define MLT_CONTROL_LOOK_NS MLT_NS_PER_S

struct mlt_control_waiter {
    char reply[MLT_BUS_SUBJECT_BYTES_MAX + 1];
    char id[MLT_LIVE_NAME_BYTES_MAX + 1];
    bool active;
    uint64_t sequence;
    uint64_t revision;            /* of the table that has it; 0: not looked at */
    int64_t came_ns, deadline_ns; /* monotonic */
    char traceparent[MLT_TRACEPARENT_BYTES];
    int64_t begin_ns; /* wall */
};

struct mlt_control {
    struct mlt_bus *bus;
    struct mlt_store *store;
    struct mlt_stream_reader *reader; /* of the log; of the thread */
    struct mlt_bus_subscription *requests;
    struct mlt_control_ports ports;
    uint64_t boot;
    pthread_t thread;
    bool started;

    /* Of the thread. */
    bool provisioned, bucket, opened;
    bool restoring;                     /* not all that is live is in the log that there is now */
    int64_t created_ns;                 /* of the log that is read; 0: none so far */
    enum mlt_status told;               /* to the log, of the log */
    uint64_t cursor;                    /* last sequence read */
    uint64_t last_revision;             /* of the table, after the last record */
    uint64_t marked_revision;           /* that the Data Bus judges by */
    int64_t look_ns, mark_ns, write_ns; /* when again */
    int64_t looked_ns;                  /* begin of the last look at the log that worked */
    int64_t apart_ns;                   /* of the wall clock from the monotonic one; 0: not read */
    struct {
        uint64_t sequence;
        enum mlt_status status;
    } refused[MLT_CONTROL_REFUSED_MAX];
    size_t refused_next;
    struct mlt_buf bytes;

    pthread_mutex_t lock; /* what follows; never held while a port or the bus is called */
    pthread_cond_t wake;  /* monotonic clock */
    bool stop, news;
    struct mlt_confirm confirm;
    size_t waiter_count;
    struct mlt_control_waiter waiters[MLT_CONTROL_WAITERS_MAX];
    struct mlt_control_stats stats;
};

/* What is said of a waiter. */
struct mlt_control_outcome {
    const char *word, *reason;
    uint64_t revision;
    struct mlt_confirm_answer *answer; /* NULL: no topics to speak of */
};

static inline void mlt_control_lock(struct mlt_control *c)
{
    (void)pthread_mutex_lock(&c->lock);
}

static inline void mlt_control_unlock(struct mlt_control *c)
{
    (void)pthread_mutex_unlock(&c->lock);
}

/* Whether this Dispatcher is the one that speaks, as far as it knows. */
static inline bool mlt_control_may(const struct mlt_control *c)
{
    return c->ports.may(c->ports.ctx);
}

/* control_log.c; the thread's. */
/* Reads to the end; MLT_OK when it is there. look: whether it is the log that it was, too. */
enum mlt_status mlt_control_read_log(struct mlt_control *c, bool look) MLT_MUST_CHECK;
/* Why a record of the log is not in force; NULL: it is. Static. */
const char *mlt_control_refusal_of(const struct mlt_control *c, uint64_t sequence);
/* Where the wall clock was set, or time went by that the monotonic one does not count (a suspended
 * machine), the ends of leases are told by its new time: they are listed, and what is written of
 * them (an update without ttl_s, a log made anew) would say another length. When they end is not
 * touched (live.h). */
void mlt_control_follow_clock(struct mlt_control *c);
/* Ends the one lease that is over, in the log, unless it was renewed there; it takes effect when it
 * is read. True: look at the log now. *next_ns: monotonic, when the next one ends. */
bool mlt_control_expire(struct mlt_control *c, int64_t *next_ns);

/* control.c; the thread's. The AppliedRecord of a subscription, unless another Dispatcher may work.
 * Not MLT_OK: the bucket has what it had, or what that one wrote; the log has the truth. */
enum mlt_status mlt_control_write_applied(struct mlt_control *c, const struct mlt_control_waiter *w,
                                          const struct mlt_control_outcome *outcome);

#endif
