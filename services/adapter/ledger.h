/*
 * What the Adapters of one address have reserved of its weight together, and what they still wait
 * for: the value of meltica-weight/<egress>, changed by compare-and-set (pool.h). Every second has
 * its grants, and a grant counts until a minute after the last moment at which it may be used, so
 * that no 60 s hold more than the pool, whoever uses them, and whoever dies with one.
 * Pure; the clock is an argument: the exchange's, ns since 1970, which all of them can know. One
 * thread.
 */
#ifndef MELTICA_ADAPTER_LEDGER_H
#define MELTICA_ADAPTER_LEDGER_H

#include "governor.h"
#include "meltica/base/buf.h"
#include "meltica/base/error.h"

#define MLT_LEDGER_USE_S 2u /* a grant is used within so long, or never */
#define MLT_LEDGER_SECONDS (60u + MLT_LEDGER_USE_S + 1) /* it counts for so long */
#define MLT_LEDGER_HOLDERS_MAX 16u
#define MLT_LEDGER_HEARD_S 3 /* what somebody said that it waits for counts for so long */
#define MLT_LEDGER_AHEAD_S 5 /* a ledger so far ahead of the time was written by a wrong clock */
#define MLT_LEDGER_BYTES_MAX 4096u

struct mlt_ledger_holder {
    uint64_t boot; /* 0: free */
    int64_t second;
    uint32_t waiting[MLT_WEIGHT_CLASS_COUNT];
};

struct mlt_ledger {
    uint64_t born;
    int64_t second;                       /* of the newest grant, since 1970 */
    uint32_t granted[MLT_LEDGER_SECONDS]; /* by second mod their number */
    int64_t blocked_until_ns;             /* since 1970; 0: not */
    struct mlt_ledger_holder holders[MLT_LEDGER_HOLDERS_MAX];
};

struct mlt_ledger_want {
    uint64_t boot;
    uint32_t pool; /* weight a minute that all share */
    enum mlt_weight_class class;
    uint32_t least, most;                     /* weight; 0: nothing, only what is below is said */
    uint32_t waiting[MLT_WEIGHT_CLASS_COUNT]; /* of all calls that wait here, these included */
    uint32_t returned;                        /* of a grant that was not used */
    int64_t returned_second;
    int64_t blocked_until_ns;
};

/* One that nobody has used: what was granted before is unknown, so `full` takes all of it away
 * until it cannot count any more. */
void mlt_ledger_begin(struct mlt_ledger *ledger, uint64_t born, uint32_t pool, bool full,
                      int64_t now_ns);
/* Says what waits here, gives back, and grants: 0, or least to most. Not granted is what others
 * wait for in classes before this one, nor what is above the pool's ceiling of this class; between
 * Adapters that wait in one class it goes by how much each waits for. A call heavier than that is
 * granted when nothing else is. A refusal that is not believable is dropped. *second is the
 * grant's, to be given back with. */
uint32_t mlt_ledger_reserve(struct mlt_ledger *ledger, const struct mlt_ledger_want *want,
                            int64_t now_ns, int64_t *second);
/* Adds what was granted by a ledger before this one. */
void mlt_ledger_add(struct mlt_ledger *ledger, int64_t second, uint32_t weight);
/* Adapters that were heard lately, the last one to speak included. */
uint32_t mlt_ledger_heard(const struct mlt_ledger *ledger);
/* False: no refusal of the exchange lasts so long; it was written by a wrong clock, or no Adapter.
 */
bool mlt_ledger_believable(int64_t blocked_until_ns, int64_t now_ns);
/* Granted, and not yet out of the minute. */
uint32_t mlt_ledger_total(struct mlt_ledger *ledger, int64_t now_ns);

/* Appends. E_NOMEM, E_TOO_BIG. */
enum mlt_status mlt_ledger_encode(const struct mlt_ledger *ledger,
                                  struct mlt_buf *out) MLT_MUST_CHECK;
/* E_PARSE: no ledger of this release. */
enum mlt_status mlt_ledger_decode(struct mlt_slice bytes, struct mlt_ledger *out) MLT_MUST_CHECK;

#endif
