#include "reserve.h"

#include <string.h>

void mlt_reserve_init(struct mlt_reserve *reserve, const struct mlt_reserve_store *store,
                      const struct mlt_clock *clock, uint64_t seed)
{
    memset(reserve, 0, sizeof *reserve);
    reserve->store = *store;
    reserve->clock = clock;
    reserve->seed = seed | 1;
}

/* What was granted here counts in a ledger that was made since, too. */
static void add_own(const struct mlt_reserve *reserve, struct mlt_ledger *ledger)
{
    for (int64_t ago = (int64_t)MLT_LEDGER_SECONDS - 1; ago >= 0; ago--) {
        const int64_t second = reserve->own.second - ago;
        const uint32_t weight = reserve->own.granted[(uint64_t)second % MLT_LEDGER_SECONDS];
        if (weight > 0) {
            mlt_ledger_add(ledger, second, weight);
        }
    }
}

/* There is none. Whoever knew one cannot say what others were granted by it. */
static void begin(struct mlt_reserve *reserve, const struct mlt_ledger_want *want, int64_t now_ns,
                  struct mlt_reserve_result *result)
{
    reserve->seed = reserve->seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    mlt_ledger_begin(&reserve->ledger, reserve->seed | 1, want->pool, reserve->born != 0, now_ns);
    reserve->revision = 0;
    result->began = true;
}

static enum mlt_status read_ledger(struct mlt_reserve *reserve, const struct mlt_ledger_want *want,
                                   int64_t now_ns, struct mlt_reserve_result *result,
                                   struct mlt_error *err)
{
    struct mlt_buf value;
    mlt_buf_init(&value, MLT_LEDGER_BYTES_MAX);
    enum mlt_status status =
        reserve->store.get(reserve->store.ctx, &value, &reserve->revision, err);
    if (status == MLT_E_NOT_FOUND) {
        begin(reserve, want, now_ns, result);
        status = MLT_OK;
    } else if (status == MLT_OK &&
               mlt_ledger_decode(mlt_buf_view(&value), &reserve->ledger) != MLT_OK) {
        /* Written by something else: nothing is known of what is granted. */
        const uint64_t revision = reserve->revision;
        reserve->born = reserve->born != 0 ? reserve->born : 1;
        begin(reserve, want, now_ns, result);
        reserve->revision = revision;
    } else if (status == MLT_OK && reserve->born != 0 && reserve->ledger.born != reserve->born) {
        add_own(reserve, &reserve->ledger);
        result->foreign = true;
    }
    mlt_buf_fini(&value);
    return status;
}

static enum mlt_status write_ledger(struct mlt_reserve *reserve, struct mlt_error *err)
{
    struct mlt_buf value;
    mlt_buf_init(&value, MLT_LEDGER_BYTES_MAX);
    enum mlt_status status = mlt_ledger_encode(&reserve->ledger, &value);
    if (status == MLT_OK) {
        status = reserve->store.update(reserve->store.ctx, mlt_buf_view(&value), reserve->revision,
                                       &reserve->revision, err);
    } else {
        (void)mlt_error_set(err, status, "weight ledger");
    }
    mlt_buf_fini(&value);
    return status;
}

/* One read where it is needed, and one write. */
static enum mlt_status attempt(struct mlt_reserve *reserve, const struct mlt_ledger_want *want,
                               int64_t offset_ns, struct mlt_reserve_result *result,
                               struct mlt_error *err)
{
    const struct mlt_clock *clock = reserve->clock;
    enum mlt_status status = MLT_OK;
    if (!reserve->known) {
        status = read_ledger(reserve, want, clock->wall_ns(clock->ctx) + offset_ns, result, err);
    }
    if (status != MLT_OK) {
        return status;
    }
    /* It may be used from now on, though the answer comes later. */
    const int64_t mono_ns = clock->mono_ns(clock->ctx);
    const int64_t now_ns = clock->wall_ns(clock->ctx) + offset_ns;
    result->weight = mlt_ledger_reserve(&reserve->ledger, want, now_ns, &result->second);
    result->expires_ns = mono_ns + (int64_t)MLT_LEDGER_USE_S * MLT_NS_PER_S;
    result->total = mlt_ledger_total(&reserve->ledger, now_ns);
    result->heard = mlt_ledger_heard(&reserve->ledger);
    result->blocked_until_ns = reserve->ledger.blocked_until_ns;
    status = write_ledger(reserve, err);
    reserve->known = status == MLT_OK;
    return status;
}

enum mlt_status mlt_reserve(struct mlt_reserve *reserve, const struct mlt_ledger_want *want,
                            int64_t offset_ns, struct mlt_reserve_result *result,
                            struct mlt_error *err)
{
    enum mlt_status status = MLT_E_CONFLICT;
    memset(result, 0, sizeof *result);
    for (unsigned i = 0; i < MLT_RESERVE_TRIES_MAX && status == MLT_E_CONFLICT; i++) {
        result->began = result->foreign = false;
        status = attempt(reserve, want, offset_ns, result, err);
        result->conflicts += status == MLT_E_CONFLICT;
    }
    if (status != MLT_OK) {
        result->weight = 0;
        return status;
    }
    reserve->born = reserve->ledger.born;
    if (result->weight > 0) {
        mlt_ledger_add(&reserve->own, result->second, result->weight);
    }
    return MLT_OK;
}
