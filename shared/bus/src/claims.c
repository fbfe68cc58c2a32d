/*
 * Ownership of slots. A claim is a put: the newest wins, whoever held the slot before.
 *
 * The watcher hears the claims of others by a plain subscription to the subjects of the bucket,
 * which needs no consumer and outlives the loss of the stream; what it hears only says which slot
 * to read. A plain subscription misses what is claimed while the connection is away: after each
 * reconnect all slots are read, and once more a second later, when the server surely has the
 * subscription again.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "meltica/base/clock.h"
#include "meltica/base/log.h"
#include "meltica/bus/messages.h"
#include "store_internal.h"

#define CREATE_NS (5 * MLT_NS_PER_S)
#define RAISE_NS MLT_NS_PER_S
#define VALUE_BYTES_MAX 1024u
#define SERVICE_BYTES_MAX 64u
#define PUT_ATTEMPTS 2
#define CHECK_NS MLT_NS_PER_S
#define RETRY_NS (20 * MLT_NS_PER_MS)
#define RETRIES_MAX 100u /* of a slot whose new claim was heard and cannot be read yet */

struct mlt_claims {
    struct mlt_store *store;
    char service[SERVICE_BYTES_MAX];
    char instance[MLT_MESSAGES_INSTANCE_BYTES_MAX + 1];
    uint64_t boot;
    uint64_t slots;
    uint64_t epochs[MLT_SLOT_COUNT]; /* written before the watcher starts */
    void (*on_outbid)(void *ctx, uint32_t slot, uint64_t epoch);
    bool (*wanted)(void *ctx); /* NULL: always */
    void *ctx;
    struct mlt_bus_subscription *subscription;

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    bool started, stop;
    uint64_t heard; /* somebody else claimed these: to be read */

    /* Of the watcher's thread. */
    uint64_t outbid;
    /* Of listening: connections of the bus, and subscriptions that were refused before; as far as
     * they were followed. */
    uint64_t beginnings;
    unsigned retries[MLT_SLOT_COUNT];
};

static uint64_t bit(uint32_t slot)
{
    return UINT64_C(1) << slot;
}

static void key_of(const struct mlt_claims *c, uint32_t slot, char *out, size_t size)
{
    (void)snprintf(out, size, "%s.%" PRIu32, c->service, slot);
}

/* Whoever ends must not claim any more: others have heard that it gives all up, and would be outbid
 * by somebody who is not there. */
static enum mlt_status check_wanted(const struct mlt_claims *c, struct mlt_error *err)
{
    return c->wanted == NULL || c->wanted(c->ctx)
               ? MLT_OK
               : mlt_error_set(err, MLT_E_CLOSED, "claims of %s: it ends", c->service);
}

/* ---- writing ---- */

static enum mlt_status put_claim(struct mlt_claims *c, uint32_t slot, struct mlt_error *err)
{
    struct mlt_claim claim = { .boot = c->boot, .time = (uint64_t)mlt_clock_wall_ns() };
    uint8_t bytes[MLT_CLAIM_BYTES_MAX];
    (void)snprintf(claim.instance, sizeof claim.instance, "%s", c->instance);
    const size_t len = mlt_claim_write(&claim, bytes);
    char key[SERVICE_BYTES_MAX + 16];
    key_of(c, slot, key, sizeof key);
    enum mlt_status status = MLT_E_TIMEOUT;
    /* No acknowledgement in time: it may be written or not, so it is written again, with a higher
     * revision. */
    for (int i = 0; i < PUT_ATTEMPTS && status == MLT_E_TIMEOUT; i++) {
        status = check_wanted(c, err);
        if (status == MLT_OK) {
            status = mlt_kv_put(c->store, MLT_OWNERS_BUCKET, key, mlt_slice_of(bytes, len),
                                &c->epochs[slot], err);
        }
    }
    return status;
}

static enum mlt_status put_claims(struct mlt_claims *c, struct mlt_error *err)
{
    const int64_t begin = mlt_clock_mono_ns();
    unsigned count = 0;
    for (uint32_t slot = 0; slot < MLT_SLOT_COUNT; slot++) {
        if ((c->slots & bit(slot)) == 0) {
            continue;
        }
        enum mlt_status status = put_claim(c, slot, err);
        if (status == MLT_OK && mlt_clock_mono_ns() - begin > CREATE_NS) {
            status = mlt_error_set(err, MLT_E_TIMEOUT, "JetStream is too slow");
        }
        if (status != MLT_OK) {
            (void)mlt_error_prepend(err, "claim of slot %" PRIu32 " of %s", slot, c->service);
            /* The caller has one answer to JetStream being away, however that showed. */
            if (status == MLT_E_TIMEOUT && err != NULL) {
                err->status = MLT_E_UNAVAILABLE;
            }
            return status == MLT_E_TIMEOUT ? MLT_E_UNAVAILABLE : status;
        }
        count++;
    }
    mlt_log(MLT_LOG_INFO, "slots_claimed", "claims are written", MLT_S("service", c->service),
            MLT_U("slots", count), MLT_I("us", (mlt_clock_mono_ns() - begin) / MLT_NS_PER_US));
    return MLT_OK;
}

/* A memory stream of a cluster whose servers all ended at once is there again, empty and with the
 * first sequence of the day when it was made: revisions, which are epochs, would come twice. Empty
 * is also one that was just made, which begins with the time already. */
static enum mlt_status raise_revisions(struct mlt_claims *c, struct mlt_error *err)
{
    const char *stream = mlt_stored[MLT_STORED_OWNERS].stream.name;
    const uint64_t now = (uint64_t)mlt_clock_wall_ns();
    jsOptions options;
    (void)jsOptions_Init(&options);
    options.Wait = RAISE_NS / MLT_NS_PER_MS;
    jsStreamInfo *info = NULL;
    jsErrCode code = JSBadRequestErr; /* any: nats.c sets it, 0 is none of its values */
    natsStatus status = js_GetStreamInfo(&info, c->store->js, stream, &options, &code);
    if (status != NATS_OK) {
        return mlt_store_read_status(c->store->bus, status, (int)code, err, "look for stream",
                                     stream);
    }
    const bool raise = info->State.Msgs == 0 && info->State.LastSeq < now - MLT_NS_PER_S;
    jsStreamInfo_Destroy(info);
    if (!raise) {
        return MLT_OK;
    }
    code = JSBadRequestErr;
    options.Stream.Purge.Sequence = now; /* the next revision */
    status = js_PurgeStream(c->store->js, stream, &options, &code);
    if (status == NATS_OK) {
        mlt_log(MLT_LOG_WARN, "owners_emptied",
                "the owners bucket was empty: its revisions go on with the time",
                MLT_U("revision", now));
    }
    return mlt_store_read_status(c->store->bus, status, (int)code, err, "raise the revisions of",
                                 stream);
}

/* ---- watching ---- */

static void hear(struct mlt_claims *c, uint64_t slots)
{
    (void)pthread_mutex_lock(&c->mutex);
    c->heard |= slots;
    (void)pthread_cond_signal(&c->changed);
    (void)pthread_mutex_unlock(&c->mutex);
}

static void on_claim(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_claims *c = ctx;
    const char *dot = strrchr(message->subject, '.');
    char *end = NULL;
    const unsigned long slot = dot != NULL ? strtoul(dot + 1, &end, 10) : MLT_SLOT_COUNT;
    struct mlt_claim claim;
    if (end == NULL || *end != '\0' || slot >= MLT_SLOT_COUNT ||
        (c->slots & bit((uint32_t)slot)) == 0 ||
        mlt_claim_read(message->payload, &claim) != MLT_OK || claim.boot == c->boot) {
        return;
    }
    hear(c, bit((uint32_t)slot));
}

enum look {
    LOOK_DECIDED, /* another's claim was read, and acted upon */
    LOOK_OURS,    /* the newest that can be read is ours, or none is */
    LOOK_AWAY     /* nothing can be read at present */
};

static void decide(struct mlt_claims *c, uint32_t slot, uint64_t revision, const char *by)
{
    const bool outbid = revision > c->epochs[slot];
    mlt_log(outbid ? MLT_LOG_WARN : MLT_LOG_ERROR, outbid ? "slot_outbid" : "owners_went_back",
            outbid ? "another instance owns this slot now"
                   : "a later claim has a lower epoch: the owners bucket was made again without a "
                     "first sequence; delete it, and create its stream with --first-sequence "
                     "$(date +%s%N)",
            MLT_S("service", c->service), MLT_U("slot", slot), MLT_S("by", by),
            MLT_U("epoch", revision), MLT_U("own_epoch", c->epochs[slot]));
    if (outbid) {
        c->outbid |= bit(slot);
        c->on_outbid(c->ctx, slot, revision);
    }
}

static enum look look(struct mlt_claims *c, uint32_t slot)
{
    char key[SERVICE_BYTES_MAX + 16];
    key_of(c, slot, key, sizeof key);
    struct mlt_buf value;
    mlt_buf_init(&value, VALUE_BYTES_MAX);
    struct mlt_error err = MLT_ERROR_INIT;
    uint64_t revision = 0;
    struct mlt_claim claim;
    const enum mlt_status status =
        mlt_kv_get(c->store, MLT_OWNERS_BUCKET, key, &value, &revision, &err);
    const bool others = status == MLT_OK &&
                        mlt_claim_read(mlt_buf_view(&value), &claim) == MLT_OK &&
                        claim.boot != c->boot;
    mlt_buf_fini(&value);
    if (others) {
        decide(c, slot, revision, claim.instance);
        return LOOK_DECIDED;
    }
    return status == MLT_OK || status == MLT_E_NOT_FOUND ? LOOK_OURS : LOOK_AWAY;
}

/* Of the slots that others were heard to claim; returns those to look at again, since what was
 * heard may be stored only after it was read. A store that is away ends the round. */
static uint64_t look_at_heard(struct mlt_claims *c, uint64_t slots, bool *away)
{
    uint64_t again = 0;
    slots &= ~c->outbid;
    for (uint32_t slot = 0; slot < MLT_SLOT_COUNT && !*away; slot++) {
        if ((slots & bit(slot)) == 0) {
            continue;
        }
        const enum look seen = look(c, slot);
        *away = seen == LOOK_AWAY;
        if (seen == LOOK_OURS && ++c->retries[slot] < RETRIES_MAX) {
            again |= bit(slot);
        } else {
            c->retries[slot] = 0;
        }
    }
    return again;
}

/* All that is still ours; false when the store is away. */
static bool look_at_all(struct mlt_claims *c)
{
    for (uint32_t slot = 0; slot < MLT_SLOT_COUNT; slot++) {
        if ((c->slots & ~c->outbid & bit(slot)) != 0 && look(c, slot) == LOOK_AWAY) {
            return false;
        }
    }
    return true;
}

/* Waits until something was heard, at most for_ns; takes it. False at the end. */
static bool wait_heard(struct mlt_claims *c, int64_t for_ns, uint64_t *slots)
{
    const int64_t at = mlt_clock_mono_ns() + for_ns;
    const struct timespec until = { .tv_sec = at / MLT_NS_PER_S, .tv_nsec = at % MLT_NS_PER_S };
    (void)pthread_mutex_lock(&c->mutex);
    while (!c->stop && c->heard == 0) {
        if (pthread_cond_clockwait(&c->changed, &c->mutex, CLOCK_MONOTONIC, &until) != 0) {
            break;
        }
    }
    *slots = c->heard;
    c->heard = 0;
    const bool go_on = !c->stop;
    (void)pthread_mutex_unlock(&c->mutex);
    return go_on;
}

static void *watch(void *arg)
{
    struct mlt_claims *c = arg;
    uint64_t slots = 0;
    uint64_t again = 0;
    unsigned looks_due = 0; /* at everything */
    while (wait_heard(c, again != 0 ? RETRY_NS : CHECK_NS, &slots)) {
        struct mlt_bus_stats stats;
        mlt_bus_get_stats(c->store->bus, &stats);
        const uint64_t beginnings = stats.reconnects + stats.listened_again;
        if (beginnings != c->beginnings) {
            c->beginnings = beginnings;
            looks_due = 2;
        }
        bool away = false;
        again = look_at_heard(c, slots | again, &away);
        if (away) {
            looks_due = 2; /* what was heard is forgotten, and found by these */
        } else if (looks_due > 0 && again == 0 && mlt_bus_connected(c->store->bus)) {
            looks_due -= look_at_all(c) ? 1 : 0;
        }
    }
    return NULL;
}

/* ---- life ---- */

static enum mlt_status start(struct mlt_claims *c, struct mlt_error *err)
{
    enum mlt_status status = mlt_stored_ensure(c->store, MLT_STORED_OWNERS, err);
    if (status != MLT_OK) {
        return status;
    }
    char subject[MLT_BUS_SUBJECT_BYTES_MAX + 1];
    (void)snprintf(subject, sizeof subject, "$KV." MLT_OWNERS_BUCKET ".%s.*", c->service);
    struct mlt_bus_stats stats;
    mlt_bus_get_stats(c->store->bus, &stats);
    c->beginnings = stats.reconnects + stats.listened_again;
    /* Before the puts, so that nobody's claim after ours is missed. */
    const struct mlt_bus_subscribe_options options = { .subject = subject };
    status = mlt_bus_subscribe(c->store->bus, &options, on_claim, c, &c->subscription, err);
    if (status == MLT_OK) {
        status = check_wanted(c, err);
    }
    if (status == MLT_OK) {
        status = raise_revisions(c, err);
    }
    if (status == MLT_OK) {
        status = put_claims(c, err);
    }
    if (status == MLT_OK && pthread_create(&c->thread, NULL, watch, c) != 0) {
        status = mlt_error_set(err, MLT_E_NOMEM, "claims: no thread for the watcher");
    }
    c->started = status == MLT_OK;
    return status;
}

enum mlt_status mlt_claims_create(struct mlt_store *store, const struct mlt_claims_options *options,
                                  uint64_t epochs[MLT_SLOT_COUNT], struct mlt_claims **claims,
                                  struct mlt_error *err)
{
    if (!mlt_store_name_valid(options->service) || strlen(options->service) >= SERVICE_BYTES_MAX ||
        options->instance == NULL || strlen(options->instance) > MLT_MESSAGES_INSTANCE_BYTES_MAX ||
        options->boot == 0 || options->slots == 0 || options->on_outbid == NULL) {
        return mlt_error_set(err, MLT_E_INVALID, "claims: service, instance, boot or slots");
    }
    struct mlt_claims *c = calloc(1, sizeof *c);
    if (c == NULL || pthread_mutex_init(&c->mutex, NULL) != 0) {
        free(c);
        return mlt_error_set(err, MLT_E_NOMEM, "claims");
    }
    (void)pthread_cond_init(&c->changed, NULL);
    c->store = store;
    (void)snprintf(c->service, sizeof c->service, "%s", options->service);
    (void)snprintf(c->instance, sizeof c->instance, "%s", options->instance);
    c->boot = options->boot;
    c->slots = options->slots;
    c->on_outbid = options->on_outbid;
    c->wanted = options->wanted;
    c->ctx = options->ctx;
    enum mlt_status status = check_wanted(c, err);
    if (status == MLT_OK) {
        status = start(c, err);
    }
    if (status != MLT_OK) {
        mlt_claims_destroy(c);
        return status;
    }
    memcpy(epochs, c->epochs, sizeof c->epochs);
    *claims = c;
    return MLT_OK;
}

void mlt_claims_destroy(struct mlt_claims *claims)
{
    if (claims == NULL) {
        return;
    }
    mlt_bus_unsubscribe(claims->subscription);
    if (claims->started) {
        (void)pthread_mutex_lock(&claims->mutex);
        claims->stop = true;
        (void)pthread_cond_signal(&claims->changed);
        (void)pthread_mutex_unlock(&claims->mutex);
        (void)pthread_join(claims->thread, NULL);
    }
    (void)pthread_cond_destroy(&claims->changed);
    (void)pthread_mutex_destroy(&claims->mutex);
    free(claims);
}
