/*
 * The plain reference for live subscriptions: an array of who wants what, changed as
 * docs/control.md says, and random commands with what must come of them. Consumers with an even
 * number ask without a name, the others as principal desk, whose role has limits; ops may end what
 * is another one's, eve may only look, nobody has no role. One thread.
 */
#ifndef MELTICA_TEST_STEER_MODEL_H
#define MELTICA_TEST_STEER_MODEL_H

#include "steer_rig.h"

#define MODEL_CONSUMERS 20u
#define MODEL_SYMBOLS 8u
#define MODEL_SUBSCRIPTIONS_MAX 4u /* of a consumer */
#define MODEL_INSTRUMENTS_MAX 3u   /* of a subscription */
#define MODEL_TYPES 3u             /* TRADE, BBO, TICKER */
#define MODEL_ANY (1u << MODEL_SYMBOLS)
#define MODEL_LEASE_LEARN (-1)

/* What desk may hold. */
#define MODEL_DESK_SUBSCRIPTIONS 16u
#define MODEL_DESK_STREAMS 36u
#define MODEL_DESK_MATCHES 16u
/* The policy that the model expects; quotas out of reach, or those of above. */
#define MODEL_ROLES(desk)                                                                          \
    "{\"version\":1,\"roles\":{"                                                                   \
    "\"viewer\":{\"verbs\":[\"list\",\"describe\",\"status\"],\"types\":[\"*\"],"                  \
    "\"instruments\":[\"*\"],\"subscriptions\":0,\"streams\":0,\"wildcard_matches\":0},"           \
    "\"free\":{\"verbs\":[\"*\"],\"types\":[\"*\"],\"instruments\":[\"*\"],\"subscriptions\":400," \
    "\"streams\":4000,\"wildcard_matches\":4000},"                                                 \
    "\"desk\":{\"verbs\":[\"*\"],\"types\":[\"TRADE\",\"BBO\"],\"instruments\":[\"*-USDT\"]," desk \
    "},"                                                                                           \
    "\"operator\":{\"verbs\":[\"*\"],\"types\":[\"*\"],\"instruments\":[\"*\"],\"scope\":\"all\"," \
    "\"subscriptions\":400,\"streams\":4000,\"wildcard_matches\":4000}},"                          \
    "\"principals\":{\"local\":\"free\",\"desk\":\"desk\",\"ops\":\"operator\",\"eve\":"           \
    "\"viewer\"}}"
#define MODEL_POLICY MODEL_ROLES("\"subscriptions\":16,\"streams\":36,\"wildcard_matches\":16")
#define MODEL_POLICY_WIDE                                                                          \
    MODEL_ROLES("\"subscriptions\":400,\"streams\":4000,\"wildcard_matches\":4000")

struct model_item {
    unsigned consumer, type;
    unsigned mask;        /* bit per symbol; MODEL_ANY: the pattern *-USDT */
    int64_t lease_end_ns; /* 0: none; MODEL_LEASE_LEARN: as the list says */
    char id[64];          /* "": as the list says */
};

struct model {
    uint64_t dice;
    bool short_leases, wide; /* wide: desk has no quota to speak of */
    size_t count, expired;
    struct model_item items[MODEL_CONSUMERS * (MODEL_SUBSCRIPTIONS_MAX + 4)];
    unsigned next_request;
};

struct model_command {
    char principal[16], verb[16], body[512];
    int consumer; /* whose subscriptions it is about; -1: nobody's */
    int code;     /* that it must be refused with; 0: CONFIRMED */
    char field[32];
    bool unchanged; /* what the answer must say of that */
    bool ends;      /* old ends when it is carried out */
    bool begins;    /* next stands then, or has its lease */
    struct model_item old, next;
    int64_t lease_end_ns; /* what the answer must say; MODEL_LEASE_LEARN: it tells */
    bool can_repeat;
};

void model_init(struct model *model, uint64_t seed, bool short_leases);
/* The next random command. */
void model_command(struct model *model, struct model_command *out);
/* A command that was answered, said once more with the same bytes and request id: what must come of
 * that. */
void model_repeat(const struct model_command *done, struct model_command *out);
/* It was carried out. */
void model_apply(struct model *model, const struct model_command *command, const cJSON *answer);
/* Whether the list of the Control Bus is the model's; leases that are over may be there for grace_s
 * more. Else why (200 bytes) says what is not. */
bool model_matches(struct model *model, struct rig *rig, int grace_s, char *why);
/* The same; fails the test. */
void model_compare(struct model *model, struct rig *rig, int grace_s);
/* What the exchange must have (all of it), and may have (leases about to end), each stream once. */
bool model_native(struct model *model, struct rig *rig, bool exactly, char *why, size_t size);

#endif
