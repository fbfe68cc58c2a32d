/* Weight that is shared with the other Adapters of the address: what the governor needs is asked of
 * the pool, and what the pool says is told to the governor. Loop thread. */
#include "adapter.h"

#include "meltica/base/clock.h"
#include "meltica/base/log.h"

#define BLOCK_PART 8u  /* of the pool: most that one question reserves */
#define CRUMB_PART 64u /* of the pool: least, so that light calls do not ask one by one */
#define AWAY_NS MLT_NS_PER_S
/* For the ledger to be read at the start. */
#define READ_NS (3 * MLT_NS_PER_S)
/* One that was started again is heard twice for as long as the one before it is. */
#define CROWDED_NS ((MLT_LEDGER_HEARD_S + 2) * MLT_NS_PER_S)

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* False: the exchange's clock is not known, and a ledger needs one time for all. */
static bool offset_of(const struct mlt_adapter *adapter, int64_t *offset_ns)
{
    struct mlt_clock_estimate estimate = { 0 };
    const bool known =
        mlt_clock_offset_get(&adapter->clock, mlt_clock_mono_ns(), mlt_clock_wall_ns(), &estimate);
    *offset_ns = estimate.offset_ns;
    return known;
}

/* Between our monotonic clock and the exchange's, for ends of refusals. */
static int64_t ahead_of_mono(int64_t offset_ns)
{
    return mlt_clock_wall_ns() + offset_ns - mlt_clock_mono_ns();
}

/* Whether there is something to ask or to say; then *want is filled. */
static bool fill_want(struct mlt_adapter *adapter, int64_t offset_ns, int64_t now_ns,
                      struct mlt_ledger_want *want)
{
    struct mlt_governor *governor = &adapter->governor;
    enum mlt_weight_class class = MLT_WEIGHT_AUDIT;
    uint32_t least = 0;
    const uint32_t pool = mlt_governor_pool(governor);
    const bool needs = mlt_governor_take_need(governor, &class, &least);
    const bool refused =
        governor->blocked_until_ns > now_ns && governor->blocked_until_ns > adapter->told_block_ns;
    *want = (struct mlt_ledger_want){
        .boot = mlt_service_boot(adapter->service), .pool = pool, .class = class, .least = least
    };
    want->returned = mlt_governor_take_rest(governor, needs, now_ns, &want->returned_second);
    mlt_rest_weights(&adapter->rest, now_ns, want->waiting);
    const uint32_t most = larger(larger(want->waiting[class], least), pool / CRUMB_PART);
    want->most = least > 0 ? larger(least, most < pool / BLOCK_PART ? most : pool / BLOCK_PART) : 0;
    if (refused) {
        adapter->told_block_ns = governor->blocked_until_ns;
        want->blocked_until_ns = governor->blocked_until_ns + ahead_of_mono(offset_ns);
    }
    return needs || refused || want->returned > 0 || mlt_pool_lost(adapter->pool);
}

/* look: also where nothing is needed, to know whether the ledger can be reached. */
static void turn(struct mlt_adapter *adapter, bool look)
{
    int64_t offset_ns = 0;
    struct mlt_ledger_want want;
    if (adapter->pool == NULL || adapter->draining || !mlt_pool_idle(adapter->pool)) {
        return; /* what is needed stays so */
    }
    const int64_t now_ns = mlt_clock_mono_ns();
    if (now_ns < adapter->weight_again_ns || !offset_of(adapter, &offset_ns)) {
        return;
    }
    if (fill_want(adapter, offset_ns, now_ns, &want) || look) {
        mlt_pool_ask(adapter->pool, &want, offset_ns);
    }
}

void mlt_adapter_weight_turn(struct mlt_adapter *adapter)
{
    turn(adapter, false);
}

/* Once for each change. */
static void say_reach(struct mlt_adapter *adapter, const struct mlt_pool_answer *answer)
{
    const bool reached = answer->status == MLT_OK;
    if (adapter->weight_shared == reached && adapter->weight_said) {
        return;
    }
    adapter->weight_shared = reached;
    adapter->weight_said = true;
    mlt_gauge_set(adapter->meters.weight_shared, reached);
    if (reached) {
        mlt_log(MLT_LOG_INFO, "weight_shared",
                "the weight of the address is shared with its other Adapters",
                MLT_S("egress", adapter->config->egress),
                MLT_U("own", mlt_governor_own(&adapter->governor)),
                MLT_U("pool", mlt_governor_pool(&adapter->governor)));
    } else {
        mlt_log(MLT_LOG_WARN, "weight_alone",
                "the shared weight cannot be reached: only this Adapter's own part is used",
                MLT_S("egress", adapter->config->egress),
                MLT_U("own", mlt_governor_own(&adapter->governor)),
                MLT_S("reason", answer->err.text));
    }
}

static void say_ledger(const struct mlt_adapter *adapter, const struct mlt_reserve_result *result)
{
    if (result->foreign) {
        mlt_log(MLT_LOG_WARN, "weight_ledger_lost",
                "the ledger of the shared weight is another one than before: its bucket was lost",
                MLT_S("egress", adapter->config->egress), MLT_U("total", result->total));
    } else if (result->began) {
        mlt_log(MLT_LOG_INFO, "weight_ledger_made",
                "there was no ledger of the shared weight; where there was one before, this one "
                "begins with nothing to reserve for a minute",
                MLT_S("egress", adapter->config->egress), MLT_U("total", result->total));
    }
}

/* Each has a part of its own: more than were said use more than the share. */
static void heed_crowd(struct mlt_adapter *adapter, uint32_t heard, int64_t now_ns)
{
    mlt_gauge_set(adapter->meters.weight_adapters, heard);
    mlt_governor_heard(&adapter->governor, heard);
    if (heard <= adapter->governor.adapters) {
        adapter->crowded_since_ns = 0;
        adapter->crowded_said = false;
        return;
    }
    adapter->crowded_since_ns = adapter->crowded_since_ns == 0 ? now_ns : adapter->crowded_since_ns;
    if (!adapter->crowded_said && now_ns - adapter->crowded_since_ns >= CROWDED_NS) {
        adapter->crowded_said = true;
        mlt_log(MLT_LOG_WARN, "weight_crowded",
                "more Adapters share the address than egress_adapters says: their parts are taken "
                "off what is shared; set it higher in all of them",
                MLT_S("egress", adapter->config->egress), MLT_U("heard", heard),
                MLT_U("egress_adapters", adapter->governor.adapters));
    }
}

static void take_answer(struct mlt_adapter *adapter, const struct mlt_pool_answer *answer,
                        int64_t now_ns)
{
    struct mlt_adapter_meters *meters = &adapter->meters;
    const struct mlt_reserve_result *result = &answer->result;
    say_reach(adapter, answer);
    if (answer->status != MLT_OK) {
        mlt_counter_add(meters->weight_away, 1);
        adapter->told_block_ns = answer->want.blocked_until_ns > 0 ? 0 : adapter->told_block_ns;
        adapter->weight_again_ns = now_ns + AWAY_NS; /* whatever there is to ask or to say */
        mlt_governor_refused(&adapter->governor, MLT_WEIGHT_OWN, adapter->weight_again_ns);
        return;
    }
    say_ledger(adapter, result);
    heed_crowd(adapter, result->heard, now_ns);
    mlt_counter_add(meters->weight_conflicts, result->conflicts);
    mlt_counter_add(meters->weight_returned, answer->want.returned);
    mlt_gauge_set(meters->weight_egress, result->total);
    if (result->weight > 0) {
        const struct mlt_weight_block block = { result->weight, answer->want.class, result->second,
                                                result->expires_ns };
        mlt_counter_add(meters->weight_granted, 1);
        mlt_counter_add(meters->weight_reserved, result->weight);
        mlt_governor_granted(&adapter->governor, &block);
    } else if (answer->want.least > 0) {
        mlt_counter_add(meters->weight_refused, 1);
        mlt_governor_refused(&adapter->governor, answer->want.class,
                             (now_ns / MLT_NS_PER_S + 1) * MLT_NS_PER_S);
    }
}

/* Another Adapter was refused by the exchange. */
static void heed_others(struct mlt_adapter *adapter)
{
    int64_t offset_ns = 0;
    const int64_t until_ns = mlt_pool_blocked_until_ns(adapter->pool);
    if (until_ns == 0) {
        return;
    }
    if (!offset_of(adapter, &offset_ns)) {
        offset_ns = 0; /* to ask for it is a call, too: our own clock is near enough */
    }
    const int64_t mono_ns = until_ns - ahead_of_mono(offset_ns);
    struct mlt_governor *governor = &adapter->governor;
    if (mono_ns > mlt_clock_mono_ns() && mono_ns > governor->blocked_until_ns + MLT_NS_PER_S) {
        mlt_log(MLT_LOG_WARN, "weight_refused_elsewhere",
                "the exchange refused another Adapter of this address: no call is made here either",
                MLT_S("egress", adapter->config->egress),
                MLT_I("ms", (mono_ns - mlt_clock_mono_ns()) / MLT_NS_PER_MS));
    }
    mlt_governor_block(governor, mono_ns);
    if (governor->blocked_until_ns == mono_ns && mono_ns > adapter->told_block_ns) {
        adapter->told_block_ns = mono_ns; /* theirs: they know */
    }
}

static void on_known(void *ctx)
{
    struct mlt_adapter *adapter = ctx;
    struct mlt_pool_answer answer;
    if (adapter->draining) {
        return;
    }
    const bool answered = mlt_pool_take(adapter->pool, &answer);
    heed_others(adapter);
    if (adapter->governor.wait_until_ns != 0 && mlt_pool_read(adapter->pool)) {
        mlt_governor_wait(&adapter->governor, 0);
        mlt_adapter_rest_turn(adapter);
    }
    if (answered) {
        take_answer(adapter, &answer, mlt_clock_mono_ns());
        mlt_adapter_rest_turn(adapter);
    } else if (mlt_pool_lost(adapter->pool)) {
        mlt_adapter_weight_turn(adapter);
    }
}

void mlt_adapter_weight_second(struct mlt_adapter *adapter)
{
    if (adapter->pool != NULL) {
        on_known(adapter);                      /* where it could not be posted */
        turn(adapter, !adapter->weight_shared); /* what is left of a block goes back, too */
        mlt_gauge_set(adapter->meters.weight_block, adapter->governor.block.left);
    }
}

static void make_meters(struct mlt_adapter *adapter)
{
    static const char questions[] = "meltica_adapter_weight_questions_total";
    static const char questions_help[] = "Questions to the ledger of the shared weight.";
    struct mlt_metrics *m = adapter->metrics;
    struct mlt_adapter_meters *to = &adapter->meters;
    to->weight_granted = mlt_metrics_counter(m, questions, questions_help, "outcome=\"granted\"");
    to->weight_refused = mlt_metrics_counter(m, questions, questions_help, "outcome=\"refused\"");
    to->weight_away = mlt_metrics_counter(m, questions, questions_help, "outcome=\"away\"");
    to->weight_conflicts =
        mlt_metrics_counter(m, "meltica_adapter_weight_conflicts_total",
                            "Writes of the ledger that another Adapter was before.", NULL);
    to->weight_reserved = mlt_metrics_counter(m, "meltica_adapter_weight_reserved_total",
                                              "Shared weight that was reserved.", NULL);
    to->weight_returned =
        mlt_metrics_counter(m, "meltica_adapter_weight_returned_total",
                            "Shared weight that was reserved and given back unused.", NULL);
    to->weight_block = mlt_metrics_gauge(m, "meltica_adapter_weight_block",
                                         "Shared weight that is reserved and not used yet.", NULL);
    to->weight_egress = mlt_metrics_gauge(
        m, "meltica_adapter_weight_egress",
        "Shared weight that all Adapters of the address have reserved of the minute.", NULL);
    to->weight_adapters = mlt_metrics_gauge(
        m, "meltica_adapter_weight_adapters",
        "Adapters of the address that asked the ledger within 3 s of our last question.", NULL);
    to->weight_shared =
        mlt_metrics_gauge(m, "meltica_adapter_weight_shared",
                          "1 while the ledger of the shared weight can be reached.", NULL);
}

enum mlt_status mlt_adapter_weight_start(struct mlt_adapter *adapter, struct mlt_error *err)
{
    const struct mlt_pool_options options = {
        .control = adapter->control,
        .provision_replicas = mlt_service_provision_replicas(adapter->service),
        .egress = adapter->config->egress,
        .loop = adapter->loop,
        .known = on_known,
        .ctx = adapter,
    };
    if (adapter->config->egress[0] == '\0') {
        return MLT_OK;
    }
    make_meters(adapter);
    mlt_governor_share_with(&adapter->governor, (uint32_t)adapter->config->egress_adapters,
                            mlt_clock_mono_ns());
    mlt_governor_wait(&adapter->governor, mlt_clock_mono_ns() + READ_NS);
    return mlt_pool_create(&options, &adapter->pool, err);
}
