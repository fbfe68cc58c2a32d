/*
 * Reserves weight of an address's pool in its ledger (ledger.h) by compare-and-set. Blocks as its
 * store does: for a thread that may wait (pool.h). One thread.
 */
#ifndef MELTICA_ADAPTER_RESERVE_H
#define MELTICA_ADAPTER_RESERVE_H

#include "ledger.h"
#include "meltica/base/clock.h"

#define MLT_RESERVE_TRIES_MAX 64u /* others write at the same time */

/* As mlt_kv_get and mlt_kv_update (store.h) of the ledger's key. */
struct mlt_reserve_store {
    enum mlt_status (*get)(void *ctx, struct mlt_buf *value, uint64_t *revision,
                           struct mlt_error *err);
    enum mlt_status (*update)(void *ctx, struct mlt_slice value, uint64_t expected,
                              uint64_t *revision, struct mlt_error *err);
    void *ctx;
};

/* What one Adapter knows of the ledger. */
struct mlt_reserve {
    struct mlt_reserve_store store;
    const struct mlt_clock *clock;
    uint64_t seed;           /* of the name of a ledger that it makes; never 0 */
    bool known;              /* ledger is what the key holds at revision, as far as we know */
    uint64_t revision, born; /* born: of the last ledger that it saw; 0: none yet */
    struct mlt_ledger ledger;
    struct mlt_ledger own; /* what was granted here: of use when the ledger is lost */
};

struct mlt_reserve_result {
    uint32_t weight;          /* granted; 0: nothing is free for this class now */
    int64_t second;           /* of the ledger: to give it back with */
    int64_t expires_ns;       /* monotonic: not to be used at or after it */
    uint32_t total;           /* of all Adapters, this grant included */
    uint32_t heard;           /* Adapters, as ledger.h has it */
    int64_t blocked_until_ns; /* as ledger.h has it */
    unsigned conflicts;
    bool began;   /* there was no ledger, and this call made it */
    bool foreign; /* the ledger is another one than before */
};

void mlt_reserve_init(struct mlt_reserve *reserve, const struct mlt_reserve_store *store,
                      const struct mlt_clock *clock, uint64_t seed);
/* offset_ns: the exchange's clock less ours. Where it fails nothing may be used: E_UNAVAILABLE,
 * E_TIMEOUT and what else the store says (what was asked for may be taken all the same, and then
 * counts until it is out of the minute), E_CONFLICT (after MLT_RESERVE_TRIES_MAX), E_NOMEM. */
enum mlt_status mlt_reserve(struct mlt_reserve *reserve, const struct mlt_ledger_want *want,
                            int64_t offset_ns, struct mlt_reserve_result *result,
                            struct mlt_error *err) MLT_MUST_CHECK;

#endif
