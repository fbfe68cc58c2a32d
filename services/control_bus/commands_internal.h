/* What commands.c (verbs) and commands_calls.c (Dispatcher, log, audit) know of each other. */
#ifndef MELTICA_CONTROL_BUS_COMMANDS_INTERNAL_H
#define MELTICA_CONTROL_BUS_COMMANDS_INTERNAL_H

#include <pthread.h>

#include "commands.h"
#include "log_end.h"
#include "meltica/base/clock.h"
#include "meltica/bus/stored.h"
#include "quota.h"

#define STORE_AWAY "table store unavailable, nothing changed"
#define STORE_FULL                                                                                 \
    STORE_AWAY ": it is full, give the JetStream of nats-server more room (max_file_store, the "   \
               "limits of the account, its disk), then ask again"

struct mlt_commands {
    struct mlt_bus *control;
    struct mlt_store *store;
    struct mlt_log_end *log_end;
    char instance[64];
    struct mlt_command_limits limits;
    const struct mlt_authority *authority;
    struct mlt_quota *quota;

    pthread_mutex_t lock; /* what follows; never held while the bus is called */
    bool log_there, audit_there;
    struct mlt_commands_stats stats;
};

/* One command on its way. */
struct run {
    struct mlt_commands *c;
    struct mlt_asker asker;
    char owner[MLT_COMMAND_NAME_BYTES_MAX + 1]; /* of the subscription; mostly who asks */
    bool entered;                               /* ticket is one of the quota's */
    unsigned ticket;
    struct mlt_command command;
    struct mlt_lane_terms lane; /* of a subscription that is there */
    Meltica__V1__Table *table;
    Meltica__V1__ApplyReply *applied;
    char subscription[MLT_COMMAND_NAME_BYTES_MAX + 1];
    char replaced[MLT_COMMAND_NAME_BYTES_MAX + 1];
    struct mlt_outcome outcome;
    bool repeated;    /* the log had the last record by its request id already */
    int64_t begin_ns; /* monotonic, when the request came */
    const char *traceparent;
    struct mlt_control_refusal *refusal;
};

struct entry {
    const char *verb, *subscription;
    bool active;
    enum mlt_event_type type;
    char *const *instruments;
    size_t instrument_count;
    uint64_t lease_end;
    const struct mlt_lane_terms *lane; /* NULL: an end, or shared */
    const uint64_t *expected; /* sequence of the last record of it; NULL: whatever that is */
    const char *stands; /* what is in force if the log does not take it; NULL: nothing changed */
    bool with_id;       /* the caller's request id keeps it from being stored twice */
};

/* The table, in the place of the one that r has; also asks how many listed instruments each of the
 * names covers. only: of the subscriptions the live one of that id, which a Dispatcher says however
 * many there are; NULL: all. E_PROTOCOL with the refusal filled. */
enum mlt_status mlt_run_ask_table(struct run *r, char **names, size_t count,
                                  const char *only) MLT_MUST_CHECK;
/* What came of a record, the caller's to free; NULL: not heard, and it will take effect all the
 * same. */
Meltica__V1__ApplyReply *mlt_run_ask_applied(struct run *r, const char *id, bool active,
                                             uint64_t sequence, int64_t wait_ns);
/* Stores an entry in the log; its place there in *sequence. E_PROTOCOL with the refusal filled;
 * E_CONFLICT: the last record is not the expected one, nothing is stored or told. */
enum mlt_status mlt_run_append(struct run *r, const struct entry *entry,
                               uint64_t *sequence) MLT_MUST_CHECK;
/* The last record of a subscription of the owner's in the log: its sequence (0: there is none), and
 * whether it ended it. E_PROTOCOL with the refusal filled. */
enum mlt_status mlt_run_last(struct run *r, const char *id, uint64_t *sequence,
                             bool *ended) MLT_MUST_CHECK;
bool mlt_run_came_to(const struct run *r, const char *word);
/* A record in MELTICA_AUDIT, or where that is away in the process's log. */
void mlt_run_audit(struct run *r, enum mlt_verb verb, bool refused);

#endif
