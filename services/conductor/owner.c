/*
 * Owning partitions: claim, ask the Data Bus where it stands, stand down when outbid. See
 * conductor_internal.h for the threads and README.md for the rules.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "conductor_internal.h"
#include "heads.h"
#include "meltica/base/log.h"

#define HEADS_SUBJECT "meltica.int.out.heads"
#define HEADS_TIMEOUT_NS MLT_NS_PER_S
#define ABSENT_NS (2 * MLT_NS_PER_S) /* a Data Bus that connects again is there by then */
#define HEADS_REPLY_BYTES_MAX (1u << 20)
#define RETRY_NS (200 * MLT_NS_PER_MS)
#define CONNECT_SLICE_NS (200 * MLT_NS_PER_MS)
#define FLUSH_NS (500 * MLT_NS_PER_MS)

static uint64_t bit(uint32_t partition)
{
    return UINT64_C(1) << partition;
}

/* ---- state, under the lock ---- */

static bool ending(const struct conductor *c)
{
    return c->stopping || c->draining;
}

static void set_phase(struct conductor *c, enum conductor_phase phase)
{
    (void)pthread_mutex_lock(&c->lock);
    c->phase = phase;
    (void)pthread_mutex_unlock(&c->lock);
}

static void set_trouble(struct conductor *c, const char *trouble)
{
    (void)pthread_mutex_lock(&c->lock);
    c->trouble = trouble;
    (void)pthread_mutex_unlock(&c->lock);
}

static void set_epoch(struct conductor *c, uint32_t partition, uint64_t epoch)
{
    c->epochs[partition] = epoch;
    for (uint32_t slot = partition; slot < MLT_SLOT_COUNT; slot += c->partitions) {
        mlt_conductor_core_set_epoch(c->core, slot, epoch);
    }
    if (epoch != 0 && c->sender != NULL) {
        mlt_hop_sender_set_epoch(c->sender, partition, epoch);
    }
}

static void lose(struct conductor *c, uint32_t partition)
{
    if ((c->outbid & bit(partition)) == 0) {
        mlt_counter_add(c->metrics->outbid, 1);
    }
    c->outbid |= bit(partition);
    set_epoch(c, partition, 0);
    if (c->receiver_open) {
        /* In this order: what is not sent any more must not be acknowledged. */
        mlt_hop_receiver_leave(c->receiver, partition);
        mlt_hop_sender_leave(c->sender, partition);
    }
    (void)pthread_cond_broadcast(&c->changed);
}

/* Waits for a change, at most for_ns. Locked. */
static void wait_changed(struct conductor *c, int64_t for_ns)
{
    const int64_t at = mlt_clock_mono_ns() + for_ns;
    const struct timespec until = { .tv_sec = (time_t)(at / MLT_NS_PER_S),
                                    .tv_nsec = (long)(at % MLT_NS_PER_S) };
    (void)pthread_cond_timedwait(&c->changed, &c->lock, &until);
}

/* ---- claims ---- */

static void on_outbid(void *ctx, uint32_t slot, uint64_t epoch)
{
    struct conductor *c = ctx;
    const uint32_t partition = slot % c->partitions;
    if (slot != partition) {
        return; /* the lowest slot decides for its partition */
    }
    (void)pthread_mutex_lock(&c->lock);
    const uint64_t own = c->epochs[partition];
    lose(c, partition);
    (void)pthread_mutex_unlock(&c->lock);
    mlt_log(MLT_LOG_WARN, "outbid", "another instance took this partition over",
            MLT_U("partition", partition), MLT_U("epoch", epoch), MLT_U("own_epoch", own));
    mlt_replicas_changed(c->replica->replicas);
}

/* A claim may be read late, or never where JetStream is away: the new owner says it, too. */
void mlt_conductor_outbid(struct conductor *c, const struct mlt_owners_beat *beat)
{
    (void)pthread_mutex_lock(&c->lock);
    for (uint32_t p = 0; p < c->partitions; p++) {
        const uint64_t own = c->epochs[p];
        if ((beat->partitions & bit(p)) != 0 && own != 0 && beat->epochs[p] > own) {
            lose(c, p);
            mlt_log(MLT_LOG_WARN, "outbid", "another instance says that it owns this partition",
                    MLT_U("partition", p), MLT_U("epoch", beat->epochs[p]),
                    MLT_U("own_epoch", own));
        }
    }
    (void)pthread_mutex_unlock(&c->lock);
}

static bool await_nats(struct conductor *c)
{
    for (;;) {
        (void)pthread_mutex_lock(&c->lock);
        const bool end = ending(c);
        (void)pthread_mutex_unlock(&c->lock);
        if (end) {
            return false;
        }
        if (mlt_bus_wait_connected(c->control, CONNECT_SLICE_NS) == MLT_OK &&
            mlt_bus_wait_connected(c->data, CONNECT_SLICE_NS) == MLT_OK) {
            return true;
        }
        if (c->taken_over) { /* when it is back, the owner may be, too */
            c->unclaimed = true;
            return false;
        }
    }
}

static enum mlt_status try_claims(struct conductor *c, uint64_t epochs[MLT_SLOT_COUNT],
                                  struct mlt_error *err)
{
    struct mlt_claims_options options = {
        .service = MLT_CONDUCTOR_SERVICE,
        .boot = c->boot,
        .on_outbid = on_outbid,
        .ctx = c,
    };
    for (uint32_t slot = 0; slot < MLT_SLOT_COUNT; slot++) {
        if ((c->mine & bit(slot % c->partitions)) != 0) {
            options.slots |= bit(slot);
        }
    }
    return mlt_replicas_claim(c->service, &options, &c->store, epochs, &c->claims, err);
}

/* Epochs for all partitions wanted. False: the service ends, or they cannot be had. */
static bool claim(struct conductor *c)
{
    uint64_t epochs[MLT_SLOT_COUNT] = { 0 };
    struct mlt_error err = MLT_ERROR_INIT;
    enum mlt_status status = MLT_OK;
    do {
        if (!await_nats(c)) {
            return false;
        }
        set_phase(c, PHASE_CLAIMING);
        status = try_claims(c, epochs, &err);
        /* Only a server that is there can be without JetStream. */
    } while (status != MLT_OK && !mlt_bus_connected(c->control));
    const bool by_time = status != MLT_OK;
    const uint64_t now = (uint64_t)mlt_clock_wall_ns();
    if (by_time && c->taken_over) {
        /* Whoever has it may live, and would never learn of an epoch that is no claim. */
        mlt_log(MLT_LOG_WARN, "takeover_failed",
                "partitions cannot be claimed: they stay as they are until JetStream answers",
                MLT_S("status", mlt_status_word(status)), MLT_S("reason", err.text));
        c->unclaimed = true;
        return false;
    }
    if (by_time) {
        mlt_log(MLT_LOG_WARN, "epoch_by_time",
                "slots cannot be claimed: numbering goes on with the time as epoch",
                MLT_S("status", mlt_status_word(status)), MLT_S("reason", err.text),
                MLT_U("epoch", now));
    }
    (void)pthread_mutex_lock(&c->lock);
    for (uint32_t p = 0; p < c->partitions; p++) {
        if ((c->mine & bit(p)) != 0) {
            c->claimed[p] = by_time ? 0 : epochs[p];
            set_epoch(c, p, (c->outbid & bit(p)) != 0 ? 0 : (by_time ? now : epochs[p]));
        }
    }
    (void)pthread_mutex_unlock(&c->lock);
    mlt_replicas_changed(c->replica->replicas);
    return true;
}

/* ---- heads ---- */

/* The Data Bus knows an epoch above ours. Either somebody owns the partition by now and the watcher
 * has not told us yet, or an owner before us took the time as epoch because it had no JetStream;
 * then ours must be above that one, or nobody would believe us. */
static void on_refused(struct conductor *c, uint32_t partition, uint64_t fence)
{
    uint64_t revision = 0;
    if (c->claimed[partition] != 0) {
        char key[32];
        (void)snprintf(key, sizeof key, MLT_CONDUCTOR_SERVICE ".%u", (unsigned)partition);
        struct mlt_buf value;
        mlt_buf_init(&value, 4096);
        struct mlt_error err = MLT_ERROR_INIT;
        const enum mlt_status status =
            mlt_kv_get(c->store, MLT_OWNERS_BUCKET, key, &value, &revision, &err);
        mlt_buf_fini(&value);
        if (status != MLT_OK) {
            mlt_log(MLT_LOG_WARN, "owner_unknown",
                    "refused as owner, and the claims are unreadable",
                    MLT_U("partition", partition), MLT_S("reason", err.text));
            set_trouble(c, "refused as owner by the Data Bus, and the claims are unreadable");
            return; /* the partition stays unseeded: asked again soon */
        }
    }
    (void)pthread_mutex_lock(&c->lock);
    if (revision > c->claimed[partition]) {
        lose(c, partition);
    } else if (c->epochs[partition] != 0) {
        const uint64_t now = (uint64_t)mlt_clock_wall_ns();
        set_epoch(c, partition, now > fence ? now : fence + 1);
        mlt_log(MLT_LOG_WARN, "epoch_raised", "an owner before this one had a higher epoch",
                MLT_U("partition", partition), MLT_U("fence", fence),
                MLT_U("epoch", c->epochs[partition]));
    }
    (void)pthread_mutex_unlock(&c->lock);
}

/* Nobody serves the heads. A Data Bus that lost its connection knows the past, and without one
 * nothing would be delivered anyway: so it is given a while, once for all partitions. True: there
 * is none. */
static bool absent(struct conductor *c, uint32_t partition)
{
    const int64_t now = mlt_clock_mono_ns();
    if (c->absent_since_ns == 0) {
        c->absent_since_ns = now;
        mlt_log(MLT_LOG_INFO, "heads_awaited", "no Data Bus: waiting for one",
                MLT_I("ms", ABSENT_NS / MLT_NS_PER_MS));
    }
    if (now - c->absent_since_ns < ABSENT_NS) {
        set_trouble(c, "waiting for a Data Bus");
        return false;
    }
    mlt_log(MLT_LOG_WARN, "heads_none", "no Data Bus: numbering begins without a past",
            MLT_U("partition", partition));
    return true;
}

/* One page. *next: what to ask for then, 0: all is there. False: not now. */
static bool seed_page(struct conductor *c, uint32_t partition, uint64_t epoch, uint32_t *next,
                      struct mlt_buf *request, struct mlt_buf *answer)
{
    struct mlt_error err = MLT_ERROR_INIT;
    mlt_buf_clear(request);
    mlt_buf_clear(answer);
    enum mlt_status status = mlt_conductor_heads_request(epoch, partition, *next, request);
    if (status == MLT_OK) {
        status = mlt_bus_request(c->control, HEADS_SUBJECT, mlt_buf_view(request), HEADS_TIMEOUT_NS,
                                 answer, &err);
    }
    if (status == MLT_E_UNAVAILABLE && mlt_bus_connected(c->control)) {
        *next = 0;
        return absent(c, partition);
    }
    if (status != MLT_OK) {
        mlt_log(MLT_LOG_WARN, "heads_unanswered", "the Data Bus does not say where it stands",
                MLT_U("partition", partition), MLT_S("status", mlt_status_word(status)),
                MLT_S("reason", err.text));
        set_trouble(c, "the Data Bus does not say where it stands");
        return false;
    }
    uint64_t fence = 0;
    c->absent_since_ns = 0;
    (void)pthread_mutex_lock(&c->lock);
    status = mlt_conductor_heads_seed(c->core, mlt_buf_view(answer), next, &fence);
    (void)pthread_mutex_unlock(&c->lock);
    if (status != MLT_OK) {
        /* What is not seeded costs repeats, waiting costs everything. */
        mlt_log(MLT_LOG_ERROR, "heads_unusable", "the answer of the Data Bus cannot be used",
                MLT_U("partition", partition), MLT_S("status", mlt_status_word(status)));
        *next = 0;
        return true;
    }
    if (fence > epoch) {
        on_refused(c, partition, fence);
        return false;
    }
    return true;
}

static void seed(struct conductor *c, uint32_t partition)
{
    (void)pthread_mutex_lock(&c->lock);
    const uint64_t epoch = c->epochs[partition];
    (void)pthread_mutex_unlock(&c->lock);
    struct mlt_buf request, answer;
    mlt_buf_init(&request, 256);
    mlt_buf_init(&answer, HEADS_REPLY_BYTES_MAX);
    uint32_t next = 0;
    bool ok = epoch != 0;
    do {
        ok = ok && seed_page(c, partition, epoch, &next, &request, &answer);
    } while (ok && next != 0);
    mlt_buf_fini(&request);
    mlt_buf_fini(&answer);
    (void)pthread_mutex_lock(&c->lock);
    if (ok) {
        c->seeded |= bit(partition);
        c->trouble = NULL;
        if (c->sender != NULL) {
            mlt_conductor_core_restored(c->core, partition);
            mlt_conductor_touched(c);
        }
        (void)pthread_cond_broadcast(&c->changed);
    } else if (c->epochs[partition] == epoch) { /* neither lost nor raised: not now */
        wait_changed(c, RETRY_NS);
    }
    (void)pthread_mutex_unlock(&c->lock);
}

/* ---- life ---- */

/* Not before the claims are written: who speaks on the hop is taken for the owner. */
static bool open_hops(struct conductor *c)
{
    const struct mlt_hop_sender_options to = {
        .service = MLT_CONDUCTOR_SERVICE,
        .subject = "meltica.int.out",
        .partitions = c->partitions,
        .boot = c->boot,
        .ring_bytes = c->ring_bytes,
        .partition_mask = c->mine,
    };
    const struct mlt_hop_receiver_options from = {
        .service = MLT_CONDUCTOR_SERVICE,
        .sender_service = "dispatcher",
        .subject = "meltica.int.canonical",
        .partitions = c->partitions,
        .on_batch = mlt_conductor_on_batch,
        .with_acked = true,     /* for the books that the owner before left */
        .hear_unclaimed = true, /* a Dispatcher that is alone */
        .on_sender = mlt_conductor_on_sender,
        .ctx = c,
        .partition_mask = c->mine,
    };
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_hop_sender *sender = NULL;
    struct mlt_hop_receiver *receiver = NULL;
    enum mlt_status status = mlt_hop_sender_create(c->data, &to, &sender, &err);
    if (status == MLT_OK) {
        mlt_hop_on_room(sender, mlt_conductor_on_room, c);
        (void)pthread_mutex_lock(&c->lock);
        c->sender = sender;
        for (uint32_t p = 0; p < c->partitions; p++) {
            if (c->epochs[p] != 0) {
                mlt_hop_sender_set_epoch(sender, p, c->epochs[p]);
            } else {
                mlt_hop_sender_leave(sender, p);
            }
        }
        (void)pthread_mutex_unlock(&c->lock);
        status = mlt_hop_receiver_create(c->data, &from, &receiver, &err);
    }
    if (status != MLT_OK) {
        mlt_service_fail(c->service, "hops_failed", err.text);
        return false;
    }
    (void)pthread_mutex_lock(&c->lock);
    c->receiver = receiver;
    c->receiver_open = true;
    c->phase = PHASE_RUNNING;
    for (uint32_t p = 0; p < c->partitions; p++) {
        if ((c->outbid & bit(p)) != 0) { /* while the hops were made */
            lose(c, p);
        }
    }
    (void)pthread_cond_broadcast(&c->changed);
    (void)pthread_mutex_unlock(&c->lock);
    return true;
}

/* What the records say of owners before: above ours is none but one that had the time as epoch, or
 * one that took over just now. */
static void load(struct conductor *c)
{
    uint64_t epochs[MLT_CONDUCTOR_PARTITIONS_MAX] = { 0 };
    mlt_conductor_load_cache(c, epochs);
    for (uint32_t p = 0; p < c->partitions; p++) {
        (void)pthread_mutex_lock(&c->lock);
        const uint64_t own = c->epochs[p];
        (void)pthread_mutex_unlock(&c->lock);
        if (own != 0 && epochs[p] > own) {
            on_refused(c, p, epochs[p]);
        }
    }
}

/* A record of a higher epoch was found while writing. */
static void check_fence(struct conductor *c, uint32_t partition)
{
    (void)pthread_mutex_lock(&c->lock);
    const uint64_t own = c->epochs[partition], fence = c->fence[partition];
    c->fence[partition] = 0;
    (void)pthread_mutex_unlock(&c->lock);
    if (own == 0 || fence <= own) {
        return;
    }
    if (c->claimed[partition] != 0) {
        on_refused(c, partition, fence);
    }
    (void)pthread_mutex_lock(&c->lock);
    /* The claims are unreadable, or the time is our epoch too and raising it would go on for ever:
     * who writes owns. */
    if (c->epochs[partition] == own) {
        lose(c, partition);
    }
    const bool lost = c->epochs[partition] == 0;
    if (!lost && c->sender != NULL) { /* what came of a fenced instrument meanwhile was dropped */
        mlt_conductor_core_lost(c->core, partition, "fenced");
        mlt_conductor_touched(c);
    }
    (void)pthread_mutex_unlock(&c->lock);
    if (lost) {
        mlt_log(MLT_LOG_WARN, "fenced", "another instance writes the records of this partition",
                MLT_U("partition", partition), MLT_U("epoch", fence), MLT_U("own_epoch", own));
    }
}

/* A partition that waits for check_fence, or `partitions`. Under the lock. */
static uint32_t fenced_partition(const struct conductor *c)
{
    uint32_t p = 0;
    while (p < c->partitions && c->fence[p] == 0) {
        p++;
    }
    return p;
}

/* Seeds partitions as their first batches come, until the end or until nothing is left to own. */
static void serve(struct conductor *c)
{
    (void)pthread_mutex_lock(&c->lock);
    while (!ending(c) && (c->outbid & c->mine) != c->mine) {
        const uint32_t fenced = fenced_partition(c);
        if (fenced < c->partitions) {
            (void)pthread_mutex_unlock(&c->lock);
            check_fence(c, fenced);
            (void)pthread_mutex_lock(&c->lock);
            continue;
        }
        const uint64_t wanted = c->seed_wanted & ~c->seeded & ~c->outbid;
        if (wanted == 0) {
            (void)pthread_cond_wait(&c->changed, &c->lock);
            continue;
        }
        (void)pthread_mutex_unlock(&c->lock);
        seed(c, (uint32_t)__builtin_ctzll(wanted));
        (void)pthread_mutex_lock(&c->lock);
    }
    (void)pthread_mutex_unlock(&c->lock);
}

/* Intake first; what it put out then leaves with the sender. */
static void close_hops(struct conductor *c)
{
    (void)pthread_mutex_lock(&c->lock);
    c->receiver_open = false;
    mlt_conductor_settle_all(c);
    struct mlt_hop_receiver *receiver = c->receiver;
    const bool standby = !ending(c);
    mlt_conductor_keep_hop_stats(c);
    (void)pthread_mutex_unlock(&c->lock);
    mlt_hop_receiver_destroy(receiver);
    if (!standby) {
        mlt_conductor_drain_books(c);
    }
    (void)pthread_mutex_lock(&c->lock);
    c->receiver = NULL;
    mlt_conductor_keep_hop_stats(c);
    struct mlt_hop_sender *sender = c->sender;
    c->sender = NULL;
    (void)pthread_mutex_unlock(&c->lock);
    /* Who was outbid has nothing to say that would pass. */
    mlt_hop_sender_destroy(sender, standby ? 0 : FLUSH_NS);
}

void *mlt_conductor_owner(void *arg)
{
    struct conductor *c = arg;
    if (claim(c)) {
        load(c);
        if (open_hops(c)) {
            serve(c);
        }
    }
    close_hops(c);
    (void)pthread_mutex_lock(&c->lock);
    const bool outbid = !ending(c) && !c->unclaimed;
    c->phase = PHASE_ENDED;
    (void)pthread_mutex_unlock(&c->lock);
    if (outbid) {
        mlt_log(MLT_LOG_WARN, "standby",
                "every partition of these was taken over: standing by for them",
                MLT_U("partitions", (uint64_t)__builtin_popcountll(c->mine)),
                MLT_S("instance", mlt_service_instance(c->service)));
    }
    mlt_replicas_changed(c->replica->replicas);
    return NULL;
}
