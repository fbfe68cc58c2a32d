/* What the exchange counts per client address: REST weight a minute, bans, connections. One thread.
 */
#ifndef SIM_BUDGET_H
#define SIM_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_PEERS_MAX 64u
#define SIM_ADDRESS_BYTES_MAX 64u

struct sim_peer {
    char address[SIM_ADDRESS_BYTES_MAX]; /* empty: free */
    int64_t used_ns;                     /* last use, to replace the oldest */
    int64_t minute;                      /* since 1970, of `weight` */
    uint64_t weight;
    unsigned refused; /* requests in the minute after the limit */
    int64_t banned_until_ns;
    unsigned bans;
    int64_t *connections_ns; /* ring of the last ones */
    size_t connection_at;
};

struct sim_limits {
    unsigned weight_limit, ban_after, connections; /* 0: no limit */
    uint64_t weight_peak;                          /* most that one address used in one minute */
    uint64_t connections_refused;                  /* lines that were one too many */
    struct sim_peer peers[SIM_PEERS_MAX];
};

enum sim_admission { SIM_ADMITTED, SIM_TOO_MANY, SIM_BANNED };

void sim_limits_init(struct sim_limits *limits, unsigned weight_limit, unsigned ban_after,
                     unsigned connections);
void sim_limits_fini(struct sim_limits *limits);

/* Takes the weight of a request. *used is the weight of this minute, *retry_s the Retry-After when
 * it is refused, *until_ns when a ban ends. wall_ns: ns since 1970. */
enum sim_admission sim_limits_take(struct sim_limits *limits, const char *address, unsigned weight,
                                   int64_t wall_ns, uint64_t *used, unsigned *retry_s,
                                   int64_t *until_ns);

/* Counts a new line; false: one too many in five minutes. */
bool sim_limits_connect(struct sim_limits *limits, const char *address, int64_t wall_ns);

#endif
