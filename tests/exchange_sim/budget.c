#include "budget.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meltica/base/clock.h"

#define MINUTE_NS (INT64_C(60) * MLT_NS_PER_S)
#define WINDOW_NS (5 * MINUTE_NS)
#define BAN_FIRST_NS (2 * MINUTE_NS)
#define BAN_LAST_NS (INT64_C(3) * 24 * 60 * MINUTE_NS)

void sim_limits_init(struct sim_limits *limits, unsigned weight_limit, unsigned ban_after,
                     unsigned connections)
{
    memset(limits, 0, sizeof *limits);
    limits->weight_limit = weight_limit;
    limits->ban_after = ban_after;
    limits->connections = connections;
}

void sim_limits_fini(struct sim_limits *limits)
{
    for (size_t i = 0; i < SIM_PEERS_MAX; i++) {
        free(limits->peers[i].connections_ns);
    }
}

/* The peer of that address; the one that was quiet longest makes room. */
static struct sim_peer *peer_of(struct sim_limits *limits, const char *address, int64_t wall_ns)
{
    struct sim_peer *oldest = &limits->peers[0];
    for (size_t i = 0; i < SIM_PEERS_MAX; i++) {
        struct sim_peer *peer = &limits->peers[i];
        if (strcmp(peer->address, address) == 0) {
            peer->used_ns = wall_ns;
            return peer;
        }
        if (peer->used_ns < oldest->used_ns) {
            oldest = peer;
        }
    }
    free(oldest->connections_ns);
    memset(oldest, 0, sizeof *oldest);
    (void)snprintf(oldest->address, sizeof oldest->address, "%s", address);
    oldest->used_ns = wall_ns;
    return oldest;
}

static unsigned seconds_up(int64_t ns)
{
    return (unsigned)((ns + MLT_NS_PER_S - 1) / MLT_NS_PER_S);
}

enum sim_admission sim_limits_take(struct sim_limits *limits, const char *address, unsigned weight,
                                   int64_t wall_ns, uint64_t *used, unsigned *retry_s,
                                   int64_t *until_ns)
{
    struct sim_peer *peer = peer_of(limits, address, wall_ns);
    const int64_t minute = wall_ns / MINUTE_NS;
    if (minute != peer->minute) {
        peer->minute = minute;
        peer->weight = 0;
        peer->refused = 0;
    }
    peer->weight += weight;
    limits->weight_peak = peer->weight > limits->weight_peak ? peer->weight : limits->weight_peak;
    *used = peer->weight;
    *until_ns = peer->banned_until_ns;
    if (wall_ns < peer->banned_until_ns) {
        *retry_s = seconds_up(peer->banned_until_ns - wall_ns);
        return SIM_BANNED;
    }
    if (limits->weight_limit == 0 || peer->weight <= limits->weight_limit) {
        return SIM_ADMITTED;
    }
    if (limits->ban_after > 0 && ++peer->refused > limits->ban_after) {
        int64_t length = BAN_FIRST_NS;
        for (unsigned i = 0; i < peer->bans && length < BAN_LAST_NS; i++) {
            length *= 2;
        }
        peer->bans++;
        peer->banned_until_ns = wall_ns + (length < BAN_LAST_NS ? length : BAN_LAST_NS);
        *until_ns = peer->banned_until_ns;
        *retry_s = seconds_up(peer->banned_until_ns - wall_ns);
        return SIM_BANNED;
    }
    *retry_s = seconds_up((minute + 1) * MINUTE_NS - wall_ns);
    return SIM_TOO_MANY;
}

bool sim_limits_connect(struct sim_limits *limits, const char *address, int64_t wall_ns)
{
    if (limits->connections == 0) {
        return true;
    }
    struct sim_peer *peer = peer_of(limits, address, wall_ns);
    if (peer->connections_ns == NULL) {
        peer->connections_ns = calloc(limits->connections, sizeof *peer->connections_ns);
        if (peer->connections_ns == NULL) {
            return false;
        }
    }
    int64_t *slot = &peer->connections_ns[peer->connection_at % limits->connections];
    if (*slot != 0 && wall_ns - *slot < WINDOW_NS) {
        limits->connections_refused++;
        return false;
    }
    *slot = wall_ns;
    peer->connection_at++;
    return true;
}
