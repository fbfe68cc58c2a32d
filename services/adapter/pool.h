/*
 * The Adapter's hand on the weight that it shares (reserve.h): a thread of its own asks JetStream,
 * so that the loop never waits for it, one question at a time, and posts to the loop when it knows
 * more. It also hears what the other Adapters write: a refusal of the exchange that one of them was
 * given holds for all, at once, and for one that starts later.
 */
#ifndef MELTICA_ADAPTER_POOL_H
#define MELTICA_ADAPTER_POOL_H

#include "meltica/bus/bus.h"
#include "meltica/rt/loop.h"
#include "reserve.h"

#define MLT_EGRESS_BYTES_MAX 64u

struct mlt_pool;

struct mlt_pool_options {
    struct mlt_bus *control; /* must outlive the pool */
    uint32_t provision_replicas;
    const char *egress; /* the ledger's key */
    struct mlt_loop *loop;
    void (*known)(void *ctx); /* posted to the loop: look at mlt_pool_take */
    void *ctx;
};

/* Letters, digits, '-' and '_'; not empty. */
bool mlt_egress_valid(const char *egress);

/* The bucket need not exist, nor JetStream. E_NOMEM, E_INTERNAL, those of mlt_bus_subscribe. */
enum mlt_status mlt_pool_create(const struct mlt_pool_options *options, struct mlt_pool **pool,
                                struct mlt_error *err) MLT_MUST_CHECK;
/* Waits for the question in hand, some seconds at most. NULL is fine. Thread of the loop, as all
 * that follows. */
void mlt_pool_destroy(struct mlt_pool *pool);

/* Whether a question may be asked: no answer is on its way or waits to be taken. */
bool mlt_pool_idle(struct mlt_pool *pool);
/* Only when idle. */
void mlt_pool_ask(struct mlt_pool *pool, const struct mlt_ledger_want *want, int64_t offset_ns);

/* Whether the ledger has been read since the start, or is known not to be there: what others wrote
 * before is known then. It is read without a question, again and again until it can be. */
bool mlt_pool_read(struct mlt_pool *pool);
/* Another ledger is in the place of the one that this Adapter knew: what it was granted by that one
 * must be said in the new one, by the next question, though nothing is needed. */
bool mlt_pool_lost(struct mlt_pool *pool);

struct mlt_pool_answer {
    struct mlt_ledger_want want; /* as asked */
    enum mlt_status status;
    struct mlt_error err;
    struct mlt_reserve_result result;
};
/* False: there is no answer. */
bool mlt_pool_take(struct mlt_pool *pool, struct mlt_pool_answer *answer);
/* Until when the exchange refuses the address, as others wrote (the exchange's clock, ns since
 * 1970); 0: nobody wrote so. */
int64_t mlt_pool_blocked_until_ns(struct mlt_pool *pool);

#endif
