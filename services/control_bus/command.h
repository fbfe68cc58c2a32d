/*
 * Commands of the Control Bus without a network: requests as JSON (docs/control.md) read strictly,
 * the id that a demand has, and what the dispatch table says against a command. Pure; any thread.
 */
#ifndef MELTICA_CONTROL_BUS_COMMAND_H
#define MELTICA_CONTROL_BUS_COMMAND_H

#include "answer.h"
#include "meltica/event/demand.h"
#include "meltica/event/filter.h"

#define MLT_COMMAND_NAME_BYTES_MAX 63u
#define MLT_COMMAND_INSTRUMENTS_MAX 1000u /* in one request */
#define MLT_COMMAND_TTL_S_MAX 2592000
#define MLT_COMMAND_PAGE_MAX 1000
#define MLT_COMMAND_PAGE_DEFAULT 100
/* Of all live subscriptions; the Dispatcher has the same. */
#define MLT_COMMAND_LIVE_MAX 4096u
#define MLT_COMMAND_LIVE_PATTERNS_MAX MLT_DEMAND_LIVE_NAMES_MAX
#define MLT_COMMAND_LANES_MAX 256u /* private ones among them; the Data Bus has the same */
#define MLT_COMMAND_FILTERS_MAX 16u
#define MLT_COMMAND_THROTTLE_MS_MAX 60000

enum mlt_verb {
    MLT_VERB_SUBSCRIBE,
    MLT_VERB_UNSUBSCRIBE,
    MLT_VERB_UPDATE,
    MLT_VERB_RENEW,
    MLT_VERB_LIST,
    MLT_VERB_COUNT, /* of commands, which mlt_command_read reads */
    MLT_VERB_STATUS = MLT_VERB_COUNT,
    MLT_VERB_DESCRIBE,
    MLT_VERB_ALL
};
const char *mlt_verb_word(enum mlt_verb verb); /* static: "subscribe" */

struct mlt_comparison {
    char field[32], op[4], value[MLT_FILTER_TEXT_BYTES_MAX + 1];
};

/* Where a subscription's events go, and which of them. */
struct mlt_lane_terms {
    bool given; /* in the request; else update keeps what was */
    bool private_lane;
    int64_t throttle_ms; /* 0: none */
    size_t filter_count; /* sorted, each once */
    struct mlt_comparison filter[MLT_COMMAND_FILTERS_MAX];
};

struct mlt_command {
    enum mlt_verb verb;
    char id[MLT_COMMAND_NAME_BYTES_MAX + 1]; /* caller's request id, "" */
    char consumer[MLT_COMMAND_NAME_BYTES_MAX + 1];
    char subscription[MLT_COMMAND_NAME_BYTES_MAX + 1]; /* as given, or "" */
    enum mlt_event_type type;                          /* NONE: not given */
    int64_t ttl_s;                                     /* 0: not given */
    int64_t offset, limit;                             /* list */
    struct mlt_lane_terms lane;
    size_t instrument_count; /* as given: order and repeats stay */
    char **instruments;
    char **demand; /* the same sorted, each once; views */
    size_t demand_count;
};

/* A listed name, BASE-* or *-QUOTE, by its form. */
bool mlt_command_pattern_valid(const char *text);

void mlt_command_fini(struct mlt_command *command);
/* Reads a request. E_PROTOCOL with *refusal (400, 501) filled, E_NOMEM (500); the command is empty
 * then. */
enum mlt_status mlt_command_read(enum mlt_verb verb, struct mlt_slice request,
                                 struct mlt_command *command,
                                 struct mlt_control_refusal *refusal) MLT_MUST_CHECK;

/* The id of the command's demand: principal, consumer, type, instruments, channel with throttle and
 * filter. out has MLT_COMMAND_NAME_BYTES_MAX + 1. */
void mlt_command_id(const char *principal, const struct mlt_command *command, char *out);

/* Reads channel, filter and throttle_ms. E_PROTOCOL with *refusal (400) filled. */
enum mlt_status mlt_lane_read(const struct cJSON *tree, struct mlt_lane_terms *lane,
                              struct mlt_control_refusal *refusal) MLT_MUST_CHECK;
/* Whether the type has these terms on offer. E_PROTOCOL with *refusal (400) filled. */
enum mlt_status mlt_lane_check(enum mlt_event_type type, const struct mlt_lane_terms *lane,
                               struct mlt_control_refusal *refusal) MLT_MUST_CHECK;
/* The terms of a live subscription. */
void mlt_lane_of(const Meltica__V1__TableSubscription *subscription, struct mlt_lane_terms *lane);

struct mlt_command_limits {
    int64_t subscriptions; /* of a consumer */
    int64_t instruments;   /* of a subscription, as written */
};

/* The live subscription of that id, principal (NULL: anyone's) and consumer; NULL: none. */
const Meltica__V1__TableSubscription *mlt_command_find(const Meltica__V1__Table *table,
                                                       const char *principal, const char *consumer,
                                                       const char *id);
/* Whether the id of a new demand is free: ids are hashes, and one that is another's (of this table)
 * would take its place. E_PROTOCOL with *refusal (409), which does not say whose it is. */
enum mlt_status mlt_command_check_id(const Meltica__V1__Table *table, const char *id,
                                     struct mlt_control_refusal *refusal) MLT_MUST_CHECK;
/* What can be said of a demand without a table: how much it names, and its terms as far as they are
 * given. E_PROTOCOL with *refusal (400, 429). */
enum mlt_status mlt_command_check_terms(const struct mlt_command *command,
                                        const struct mlt_command_limits *limits,
                                        struct mlt_control_refusal *refusal) MLT_MUST_CHECK;
/* Whether the demand can be had: its type, the terms, its instruments (table->matches answers
 * command->demand). E_PROTOCOL with *refusal (400, 404, 503). */
enum mlt_status mlt_command_check(const struct mlt_command *command,
                                  const Meltica__V1__Table *table,
                                  struct mlt_control_refusal *refusal) MLT_MUST_CHECK;
/* Whether there is room for one more subscription, of this consumer too. E_PROTOCOL with *refusal
 * (429). */
enum mlt_status mlt_command_check_room(const struct mlt_command *command, const char *principal,
                                       const Meltica__V1__Table *table,
                                       const struct mlt_command_limits *limits,
                                       struct mlt_control_refusal *refusal) MLT_MUST_CHECK;

/* Whether there is room for one more, whoever has it: also an update needs it, since what it
 * replaces stands until the new one is confirmed. E_PROTOCOL with *refusal (429). */
enum mlt_status mlt_command_check_space(const struct mlt_command *command,
                                        const Meltica__V1__Table *table,
                                        struct mlt_control_refusal *refusal) MLT_MUST_CHECK;

/* What a command came to. */
struct mlt_outcome {
    const struct mlt_command *command;
    const char *principal, *subscription;
    const char *owner;    /* whose the subscription is; NULL: the principal's own */
    const char *replaces; /* update: what ended; NULL */
    const char *status;   /* CONFIRMED, PENDING */
    const char *reason;   /* "" */
    bool unchanged;
    enum mlt_event_type type;
    char *const *instruments;
    size_t instrument_count;
    const struct mlt_lane_terms *lane; /* NULL: shared */
    uint64_t revision_before, revision, log_sequence;
    uint64_t lease_end;                     /* ns since 1970, 0: none */
    const Meltica__V1__ApplyReply *applied; /* NULL: not heard */
    int64_t took_ms;
};
/* What the Dispatcher said of a subscription, the caller's to free; NULL: unreadable, or none of
 * the outcomes that there are: it counts as not heard. */
Meltica__V1__ApplyReply *mlt_applied_read(struct mlt_slice bytes);
enum mlt_status mlt_outcome_json(const struct mlt_outcome *outcome,
                                 struct mlt_buf *out) MLT_MUST_CHECK;
/* Record for MELTICA_AUDIT; refusal NULL: accepted. */
enum mlt_status mlt_audit_json(const struct mlt_outcome *outcome, enum mlt_verb verb,
                               const struct mlt_control_refusal *refusal, const char *instance,
                               int64_t time_ns, struct mlt_buf *out) MLT_MUST_CHECK;
/* Answer to list; principal NULL: everybody's, each with its principal. */
enum mlt_status mlt_list_json(const struct mlt_command *command, const char *principal,
                              const Meltica__V1__Table *table, int64_t now_ns,
                              struct mlt_buf *out) MLT_MUST_CHECK;

#endif
