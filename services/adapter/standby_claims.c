/* The ports of mlt_replicas and of claims: other threads than the loop's, which copy and post. */
#include "standby_internal.h"

#include "meltica/base/clock.h"
#include "meltica/base/log.h"

/* Without a warm one to take its place: who is not waits so long for those that are. */
#define WARM_FIRST_NS (3 * MLT_NS_PER_S)

/* Under the lock; what cannot be posted is found by the loop's next look. */
static void post(struct mlt_standby *s)
{
    if (!s->posted) {
        s->posted = mlt_loop_post(s->adapter->loop, mlt_standby_news, s) == MLT_OK;
    }
}

bool mlt_standby_spoken(const struct mlt_standby *standby, uint32_t partition, int64_t now_ns)
{
    const struct mlt_cover_said *said = &standby->said[partition];
    return (standby->own.partitions & mlt_standby_bit(partition)) != 0 ||
           (said->boot != 0 && !said->released &&
            now_ns - standby->seen_ns[partition] < MLT_OWNERS_SILENCE_NS);
}

/* ---- beats ---- */

static void on_owned(void *ctx, struct mlt_owners_beat *beat)
{
    struct mlt_standby *s = ctx;
    (void)pthread_mutex_lock(&s->lock);
    const int64_t now = mlt_clock_mono_ns();
    if (!s->gone) {
        beat->partitions |= s->own.partitions | s->claiming;
        beat->warm = s->own.warm;
    }
    for (uint32_t p = 0; p < s->adapter->partitions && !s->gone; p++) {
        if ((s->own.partitions & mlt_standby_bit(p)) != 0) {
            beat->epochs[p] = s->own.epochs[p];
            beat->needs_ns[p] = now > s->need_since_ns[p] ? now - s->need_since_ns[p] : 0;
            beat->plan_boots[p] = s->own.plan_boots[p];
            beat->plan_revisions[p] = s->own.plan_revisions[p];
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
}

/* A beat waits in a socket as long as we sleep; but one of ours that came back before it was sent
 * before it came, by our own clock. What it waited for before that shows by the other one's. */
static void on_heard(void *ctx, const struct mlt_owners_beat *beat)
{
    struct mlt_standby *s = ctx;
    (void)pthread_mutex_lock(&s->lock);
    const int64_t at_ns = s->replicas != NULL ? mlt_replicas_self_heard_ns(s->replicas) : 0;
    const int64_t made_ns = at_ns != 0 ? mlt_cover_made(s->peers, beat, at_ns) : INT64_MIN;
    for (uint32_t p = 0; p < s->adapter->partitions && at_ns != 0; p++) {
        mlt_cover_heard(&s->said[p], beat, p, made_ns);
        if (!beat->deaf && (beat->partitions & mlt_standby_bit(p)) != 0 &&
            s->said[p].boot == beat->boot) {
            s->seen_ns[p] = at_ns;
        }
        if (!beat->deaf && (beat->warm & mlt_standby_bit(p)) != 0) {
            s->warm_ns[p] = at_ns;
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
}

/* Under the lock: what is not ours any more is not said to be from now on. */
static void note_outbid(struct mlt_standby *s, uint32_t partition, uint64_t epoch)
{
    const uint64_t own = s->own.partitions & mlt_standby_bit(partition) ? s->own.epochs[partition]
                                                                        : s->granted[partition];
    if (own == 0 || epoch <= own) {
        return;
    }
    s->own.partitions &= ~mlt_standby_bit(partition);
    s->outbid[partition] = epoch;
    post(s);
}

static void on_outbid(void *ctx, const struct mlt_owners_beat *beat)
{
    struct mlt_standby *s = ctx;
    (void)pthread_mutex_lock(&s->lock);
    for (uint32_t p = 0; p < s->adapter->partitions; p++) {
        if ((beat->partitions & mlt_standby_bit(p)) != 0) {
            note_outbid(s, p, beat->epochs[p]);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
}

/* ---- claims: the keeper's thread, and those of watchers ---- */

static void on_claim_outbid(void *ctx, uint32_t slot, uint64_t epoch)
{
    struct mlt_standby *s = ctx;
    (void)pthread_mutex_lock(&s->lock);
    note_outbid(s, slot, epoch);
    (void)pthread_mutex_unlock(&s->lock);
}

/* Under the lock. */
static bool fits(const struct mlt_standby *s, uint32_t partition, int64_t now)
{
    return (s->own.warm & mlt_standby_bit(partition)) != 0 ||
           !mlt_standby_spoken(s, partition, now);
}

/* Nor is what is no longer fit to be taken from one that lives, after so long as it may take until
 * it is claimed. Once a claim may be written that one is outbid, and nobody would speak for what is
 * not claimed to the end. */
static bool wanted(void *ctx)
{
    struct mlt_standby *s = ctx;
    (void)pthread_mutex_lock(&s->lock);
    const int64_t now = mlt_clock_mono_ns();
    bool wanted = !s->draining;
    for (uint32_t p = 0; p < s->adapter->partitions && !s->tried; p++) {
        wanted = wanted && ((s->claiming & mlt_standby_bit(p)) == 0 || fits(s, p, now));
    }
    s->tried = s->tried || wanted;
    (void)pthread_mutex_unlock(&s->lock);
    return wanted;
}

/* From one that lives it takes only what it loses nothing of, one partition at a time, since it may
 * have to leave the others; and of one that does not it leaves to those that would lose nothing
 * what it would. */
static uint64_t on_fit(void *ctx, uint64_t partitions)
{
    struct mlt_standby *s = ctx;
    uint64_t fit = 0;
    (void)pthread_mutex_lock(&s->lock);
    const int64_t now = mlt_clock_mono_ns();
    for (uint32_t p = 0; p < s->adapter->partitions; p++) {
        const bool others = s->warm_ns[p] != 0 && now - s->warm_ns[p] < MLT_OWNERS_SILENCE_NS &&
                            now - s->seen_ns[p] < MLT_OWNERS_SILENCE_NS + WARM_FIRST_NS;
        const bool warm = (s->own.warm & mlt_standby_bit(p)) != 0;
        const bool lives = mlt_standby_spoken(s, p, now);
        if (fits(s, p, now) && (warm || !others) && !(lives && fit != 0)) {
            fit |= partitions & mlt_standby_bit(p);
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
    return fit;
}

static enum mlt_replicas_taken on_take_over(void *ctx, uint64_t partitions)
{
    struct mlt_standby *s = ctx;
    struct mlt_standby_claims *made = &s->claims[s->claims_count];
    struct mlt_error err = MLT_ERROR_INIT;
    if (s->claims_count == MLT_SLOT_COUNT) { /* each has a partition of its own: tidied soon */
        return MLT_REPLICAS_LATER;
    }
    const struct mlt_claims_options options = { .service = "adapter",
                                                .boot = mlt_service_boot(s->adapter->service),
                                                .slots = partitions,
                                                .on_outbid = on_claim_outbid,
                                                .wanted = wanted,
                                                .ctx = s };
    (void)pthread_mutex_lock(&s->lock);
    s->claiming |= partitions;
    s->tried = false;
    (void)pthread_mutex_unlock(&s->lock);
    *made = (struct mlt_standby_claims){ .partitions = partitions };
    const enum mlt_status status = mlt_replicas_claim(s->adapter->service, &options, &s->store,
                                                      made->epochs, &made->claims, &err);
    if (status != MLT_E_CLOSED) {
        atomic_store(&s->claimed, status == MLT_OK ? MLT_STANDBY_GRANTED : MLT_STANDBY_FAILED);
    }
    (void)pthread_mutex_lock(&s->lock);
    for (uint32_t p = 0; p < s->adapter->partitions && status == MLT_OK; p++) {
        if ((partitions & mlt_standby_bit(p)) != 0) {
            s->granted[p] = made->epochs[p];
        }
    }
    if (status == MLT_OK) {
        s->claims_count++;
        post(s);
    } else {
        s->claiming &= ~partitions;
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (status != MLT_OK && status != MLT_E_CLOSED) {
        mlt_counter_add(s->claims_failed, 1);
        mlt_log(MLT_LOG_WARN, "takeover_failed",
                "partitions cannot be claimed: they stay as they are until JetStream answers",
                MLT_S("status", mlt_status_word(status)), MLT_S("reason", err.text));
    }
    return status == MLT_OK ? MLT_REPLICAS_TAKEN : MLT_REPLICAS_REFUSED;
}

/* Under the lock: whether one of its partitions is still ours by it. */
static bool in_force(const struct mlt_standby *s, const struct mlt_standby_claims *claims)
{
    for (uint32_t p = 0; p < s->adapter->partitions; p++) {
        const bool spoken =
            (s->own.partitions & mlt_standby_bit(p)) != 0 && s->own.epochs[p] == claims->epochs[p];
        if ((claims->partitions & mlt_standby_bit(p)) != 0 &&
            (spoken || s->granted[p] == claims->epochs[p])) {
            return true;
        }
    }
    return false;
}

static enum mlt_replicas_rest on_tidy(void *ctx, uint64_t *failed)
{
    struct mlt_standby *s = ctx;
    struct mlt_claims *over = NULL;
    *failed = 0;
    (void)pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->claims_count && over == NULL; i++) {
        if (!in_force(s, &s->claims[i])) {
            over = s->claims[i].claims;
            s->claims[i] = s->claims[--s->claims_count];
        }
    }
    const bool gone = s->gone;
    (void)pthread_mutex_unlock(&s->lock);
    mlt_claims_destroy(over); /* waits for its watcher, which may wait for the lock */
    return over != NULL ? MLT_REPLICAS_ENDED : gone ? MLT_REPLICAS_EMPTY : MLT_REPLICAS_BUSY;
}

/* ---- life ---- */

enum mlt_status mlt_standby_open(struct mlt_standby *standby, struct mlt_error *err)
{
    const struct mlt_replicas_ports ports = { .owned = on_owned,
                                              .outbid = on_outbid,
                                              .take_over = on_take_over,
                                              .tidy = on_tidy,
                                              .heard = on_heard,
                                              .fit = on_fit,
                                              .ctx = standby };
    const struct mlt_replicas_options options = { .name = "adapter",
                                                  .metrics = "meltica_adapter",
                                                  .partitions = standby->adapter->partitions };
    struct mlt_replicas *replicas = NULL;
    const enum mlt_status status =
        mlt_replicas_create(standby->adapter->service, &options, &ports, &replicas, err);
    if (status != MLT_OK) {
        return status;
    }
    (void)pthread_mutex_lock(&standby->lock);
    standby->replicas = replicas; /* somebody may have been heard already */
    (void)pthread_mutex_unlock(&standby->lock);
    return mlt_replicas_start(replicas, err);
}

void mlt_standby_close(struct mlt_standby *standby)
{
    (void)pthread_mutex_lock(&standby->lock);
    standby->draining = true;
    (void)pthread_mutex_unlock(&standby->lock);
    mlt_replicas_stop(standby->replicas);
    for (size_t i = 0; i < standby->claims_count; i++) {
        mlt_claims_destroy(standby->claims[i].claims);
    }
    mlt_store_destroy(standby->store);
    mlt_replicas_destroy(standby->replicas);
}
