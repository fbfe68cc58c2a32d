/* See owners.h. */
#include "meltica/bus/owners.h"

#include <stdlib.h>
#include <string.h>

#include "meltica/base/check.h"
#include "meltica/v1/internal.pb-c.h"

static uint64_t bit(uint32_t partition)
{
    return UINT64_C(1) << partition;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

const char *mlt_owners_reason_word(enum mlt_owners_reason reason)
{
    static const char *const words[MLT_OWNERS_REASONS] = { "nothing", "silent", "released",
                                                           "home" };
    return (unsigned)reason < MLT_OWNERS_REASONS ? words[reason] : "?";
}

void mlt_owners_init(struct mlt_owners *owners, uint32_t partitions, uint32_t replica,
                     uint32_t replicas, uint64_t boot, int64_t now)
{
    MLT_CHECK(partitions > 0 && partitions <= MLT_OWNERS_PARTITIONS_MAX && replica < replicas &&
              boot != 0);
    *owners = (struct mlt_owners){ .boot = boot,
                                   .partitions = partitions,
                                   .replica = replica,
                                   .replicas = replicas,
                                   .self_heard_ns = INT64_MIN,
                                   .self_steady_ns = now };
    for (uint32_t p = 0; p < partitions; p++) {
        owners->of[p].heard_ns = owners->of[p].lost_ns = owners->of[p].retry_ns = now;
    }
}

uint64_t mlt_owners_home(const struct mlt_owners *owners)
{
    uint64_t home = 0;
    for (uint32_t p = owners->replica; p < owners->partitions; p += owners->replicas) {
        home |= bit(p);
    }
    return home;
}

/* ---- peers ---- */

static bool peer_alive(const struct mlt_owners_peer *peer, int64_t now)
{
    return peer->boot != 0 && !peer->leaving && now - peer->heard_ns < MLT_OWNERS_SILENCE_NS;
}

static bool peer_is_home(const struct mlt_owners_peer *peer, uint32_t partition)
{
    return partition % peer->replicas == peer->replica;
}

static const struct mlt_owners_peer *find_peer(const struct mlt_owners *owners, uint64_t boot)
{
    for (size_t n = 0; n < MLT_OWNERS_PEERS_MAX; n++) {
        if (owners->peers[n].boot == boot) {
            return &owners->peers[n];
        }
    }
    return NULL;
}

/* Its place: the one it has, one that is free, or that of whoever was not heard for longest. */
static void note_peer(struct mlt_owners *owners, const struct mlt_owners_beat *beat, int64_t now)
{
    struct mlt_owners_peer *place = &owners->peers[0];
    for (size_t n = 0; n < MLT_OWNERS_PEERS_MAX; n++) {
        struct mlt_owners_peer *peer = &owners->peers[n];
        if (peer->boot == beat->boot) {
            place = peer;
            break;
        }
        if (place->boot != 0 && (peer->boot == 0 || peer->heard_ns < place->heard_ns)) {
            place = peer;
        }
    }
    *place = (struct mlt_owners_peer){ .boot = beat->boot,
                                       .replica = beat->replica,
                                       .replicas = beat->replicas,
                                       .leaving = beat->leaving,
                                       .heard_ns = now };
}

size_t mlt_owners_peers(const struct mlt_owners *owners, int64_t now)
{
    size_t count = 0;
    for (size_t n = 0; n < MLT_OWNERS_PEERS_MAX; n++) {
        count += peer_alive(&owners->peers[n], now) ? 1 : 0;
    }
    return count;
}

/* ---- hearing ---- */

static void hear_self(struct mlt_owners *owners, int64_t sent, int64_t now)
{
    if (owners->self_heard_ns == INT64_MIN || sent - owners->self_heard_ns >= MLT_OWNERS_DEAF_NS) {
        owners->self_steady_ns = now;
    }
    owners->self_heard_ns = later(sent, owners->self_heard_ns);
}

static bool owned(const struct mlt_owners_partition *of, int64_t now)
{
    return of->boot != 0 && now - of->heard_ns < MLT_OWNERS_SILENCE_NS;
}

static void note_owned(struct mlt_owners *owners, const struct mlt_owners_beat *beat, int64_t now)
{
    for (uint32_t p = 0; p < owners->partitions; p++) {
        struct mlt_owners_partition *of = &owners->of[p];
        if ((beat->partitions & bit(p)) == 0) {
            if (of->boot == beat->boot) {
                of->boot = of->epoch = 0;
                of->released = true;
                of->heard_ns = now;
            }
        } else if (of->boot == beat->boot || !owned(of, now) || beat->epochs[p] >= of->epoch) {
            of->boot = beat->boot;
            of->epoch = beat->epochs[p];
            of->released = false;
            of->heard_ns = now;
        }
    }
}

uint64_t mlt_owners_hear(struct mlt_owners *owners, const struct mlt_owners_beat *beat,
                         const uint64_t own[MLT_OWNERS_PARTITIONS_MAX], int64_t now)
{
    uint64_t lost = 0;
    if (beat->boot == owners->boot) {
        hear_self(owners, beat->sent_ns, now);
        return 0;
    }
    if (!beat->deaf) {
        note_peer(owners, beat, now);
        note_owned(owners, beat, now);
    }
    for (uint32_t p = 0; p < owners->partitions; p++) {
        if ((beat->partitions & bit(p)) != 0 && own[p] != 0 && beat->epochs[p] > own[p]) {
            lost |= bit(p);
        }
    }
    return lost;
}

void mlt_owners_lost(struct mlt_owners *owners, uint64_t partitions, int64_t now)
{
    for (uint32_t p = 0; p < owners->partitions; p++) {
        struct mlt_owners_partition *of = &owners->of[p];
        if ((partitions & bit(p)) == 0) {
            continue;
        }
        of->lost_ns = now;
        if (!owned(of, now)) { /* whoever it was will be heard */
            of->boot = of->epoch = 0;
            of->released = false;
            of->heard_ns = now;
        }
    }
}

void mlt_owners_failed(struct mlt_owners *owners, uint64_t partitions, int64_t now)
{
    for (uint32_t p = 0; p < owners->partitions; p++) {
        if ((partitions & bit(p)) != 0) {
            owners->of[p].retry_ns = now + MLT_OWNERS_RETRY_NS;
        }
    }
}

/* ---- deciding ---- */

/* How many come before us: whose it is, then the lowest. */
static int64_t rank(const struct mlt_owners *owners, uint32_t partition, int64_t now)
{
    int64_t before = 0;
    if (partition % owners->replicas == owners->replica) {
        return 0;
    }
    for (size_t n = 0; n < MLT_OWNERS_PEERS_MAX; n++) {
        const struct mlt_owners_peer *peer = &owners->peers[n];
        const bool lower = peer->replica < owners->replica ||
                           (peer->replica == owners->replica && peer->boot < owners->boot);
        if (peer_alive(peer, now) && (lower || peer_is_home(peer, partition))) {
            before++;
        }
    }
    return before;
}

/* Whoever has it does not call it its own: else two that were told different numbers of replicas
 * would take it from each other without end. Nor does who was told that it is alone come back: what
 * it claims does not last beside one that was told better. */
static bool may_come_home(const struct mlt_owners *owners, uint32_t partition, int64_t now)
{
    const struct mlt_owners_partition *of = &owners->of[partition];
    const struct mlt_owners_peer *peer = find_peer(owners, of->boot);
    return owners->replicas > 1 && partition % owners->replicas == owners->replica &&
           peer != NULL && !peer_is_home(peer, partition) &&
           now - later(of->lost_ns, owners->self_steady_ns) >= MLT_OWNERS_HOME_NS;
}

static enum mlt_owners_reason judge(const struct mlt_owners *owners, uint32_t partition,
                                    int64_t now)
{
    const struct mlt_owners_partition *of = &owners->of[partition];
    if (now < of->retry_ns) {
        return MLT_OWNERS_NOTHING;
    }
    if (owned(of, now)) {
        return may_come_home(owners, partition, now) ? MLT_OWNERS_HOME : MLT_OWNERS_NOTHING;
    }
    const bool released = of->boot == 0 && of->released;
    int64_t since = later(of->heard_ns, owners->self_steady_ns);
    if (!released) { /* who was not heard since we hear ourselves again has longer */
        since += MLT_OWNERS_SILENCE_NS;
        since += of->heard_ns < owners->self_steady_ns || of->boot == 0 ? MLT_OWNERS_SETTLE_NS : 0;
    }
    if (now - since < rank(owners, partition, now) * MLT_OWNERS_RANK_NS) {
        return MLT_OWNERS_NOTHING;
    }
    return released ? MLT_OWNERS_RELEASED : MLT_OWNERS_SILENT;
}

enum mlt_owners_reason mlt_owners_due(const struct mlt_owners *owners, uint64_t held, int64_t now,
                                      uint64_t *take)
{
    enum mlt_owners_reason reason = MLT_OWNERS_NOTHING;
    *take = 0;
    if (owners->self_heard_ns == INT64_MIN || now - owners->self_heard_ns >= MLT_OWNERS_DEAF_NS) {
        return MLT_OWNERS_NOTHING;
    }
    for (uint32_t p = 0; p < owners->partitions; p++) {
        const enum mlt_owners_reason due =
            (held & bit(p)) == 0 ? judge(owners, p, now) : MLT_OWNERS_NOTHING;
        if (due != MLT_OWNERS_NOTHING && (reason == MLT_OWNERS_NOTHING || due == reason)) {
            reason = due;
            *take |= bit(p);
        }
    }
    return reason;
}

/* ---- the wire ---- */

size_t mlt_owners_encode(const struct mlt_owners_beat *beat, const char *instance,
                         uint8_t out[MLT_OWNERS_BEAT_BYTES_MAX])
{
    uint32_t partitions[MLT_OWNERS_PARTITIONS_MAX];
    uint64_t epochs[MLT_OWNERS_PARTITIONS_MAX];
    uint64_t needs[MLT_OWNERS_PARTITIONS_MAX], plan_boots[MLT_OWNERS_PARTITIONS_MAX];
    uint64_t plan_revisions[MLT_OWNERS_PARTITIONS_MAX];
    char name[MLT_OWNERS_INSTANCE_BYTES_MAX];
    size_t count = 0;
    bool known = false; /* of one at least; who has no hot standby says nothing of it */
    for (uint32_t p = 0; p < MLT_OWNERS_PARTITIONS_MAX; p++) {
        if ((beat->partitions & bit(p)) != 0) {
            const bool says = beat->plan_boots[p] != 0;
            MLT_CHECK(beat->needs_ns[p] >= 0);
            partitions[count] = p;
            epochs[count] = beat->epochs[p];
            needs[count] = says ? (uint64_t)beat->needs_ns[p] : 0;
            plan_boots[count] = beat->plan_boots[p];
            plan_revisions[count++] = says ? beat->plan_revisions[p] : 0;
            known = known || says;
        }
    }
    MLT_CHECK(strlen(instance) < sizeof name);
    memcpy(name, instance, strlen(instance) + 1);
    Meltica__V1__OwnerBeat message;
    meltica__v1__owner_beat__init(&message);
    message.instance = name;
    message.boot = beat->boot;
    message.replica = beat->replica;
    message.replicas = beat->replicas;
    message.leaving = beat->leaving;
    message.deaf = beat->deaf;
    message.sent = (uint64_t)beat->sent_ns;
    message.n_partitions = message.n_epochs = count;
    message.partitions = partitions;
    message.epochs = epochs;
    message.n_needs = message.n_plan_boots = message.n_plan_revisions = known ? count : 0;
    message.needs = needs;
    message.plan_boots = plan_boots;
    message.plan_revisions = plan_revisions;
    message.warm = beat->warm;
    MLT_CHECK(meltica__v1__owner_beat__get_packed_size(&message) <= MLT_OWNERS_BEAT_BYTES_MAX);
    return meltica__v1__owner_beat__pack(&message, out);
}

static bool sensible(const Meltica__V1__OwnerBeat *message)
{
    bool in_range = true;
    for (size_t n = 0; n < message->n_partitions; n++) {
        in_range = in_range && message->partitions[n] < MLT_OWNERS_PARTITIONS_MAX;
    }
    for (size_t n = 0; n < message->n_needs; n++) {
        in_range = in_range && message->needs[n] <= INT64_MAX;
    }
    const bool complete = message->n_needs == 0 || message->n_needs == message->n_partitions;
    return in_range && complete && message->n_needs == message->n_plan_boots &&
           message->n_needs == message->n_plan_revisions && message->sent <= INT64_MAX &&
           message->boot != 0 && message->replica < message->replicas &&
           message->n_partitions == message->n_epochs;
}

enum mlt_status mlt_owners_decode(struct mlt_slice bytes, struct mlt_owners_beat *beat)
{
    Meltica__V1__OwnerBeat *message =
        bytes.len <= MLT_OWNERS_BEAT_BYTES_MAX
            ? meltica__v1__owner_beat__unpack(NULL, bytes.len, bytes.data)
            : NULL;
    if (message == NULL) {
        return MLT_E_PARSE;
    }
    const bool good = sensible(message);
    *beat = (struct mlt_owners_beat){ .boot = message->boot,
                                      .replica = message->replica,
                                      .replicas = message->replicas,
                                      .leaving = message->leaving != 0,
                                      .deaf = message->deaf != 0,
                                      .sent_ns = (int64_t)message->sent,
                                      .warm = message->warm };
    for (size_t n = 0; good && n < message->n_partitions; n++) {
        const uint32_t p = message->partitions[n];
        beat->partitions |= bit(p);
        beat->epochs[p] = message->epochs[n];
        const bool says = n < message->n_needs && message->plan_boots[n] != 0;
        beat->needs_ns[p] = says ? (int64_t)message->needs[n] : 0;
        beat->plan_boots[p] = says ? message->plan_boots[n] : 0;
        beat->plan_revisions[p] = says ? message->plan_revisions[n] : 0;
    }
    meltica__v1__owner_beat__free_unpacked(message, NULL);
    return good ? MLT_OK : MLT_E_PARSE;
}
