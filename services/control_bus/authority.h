/*
 * Who may do what: the policy file (docs/control.md) read strictly, and what it says of one
 * principal. A policy does not change once it was read: whoever holds one sees one state of it.
 * Pure but for mlt_policy_load; any thread.
 */
#ifndef MELTICA_CONTROL_BUS_AUTHORITY_H
#define MELTICA_CONTROL_BUS_AUTHORITY_H

#include "command.h"
#include "meltica/base/error.h"

#define MLT_POLICY_BYTES_MAX (1u << 20)
#define MLT_POLICY_ROLES_MAX 64u
#define MLT_POLICY_PRINCIPALS_MAX 4096u
#define MLT_POLICY_PATTERNS_MAX 1000u /* of a role */
#define MLT_PRINCIPAL_LOCAL "local"   /* who asks without a name */

struct mlt_role {
    char name[MLT_COMMAND_NAME_BYTES_MAX + 1];
    uint32_t verbs; /* 1 << enum mlt_verb */
    uint32_t types; /* 1 << enum mlt_event_type */
    bool all;       /* sees, and ends, what is another principal's */
    bool any_instrument;
    size_t pattern_count;
    char **patterns; /* BTC-USDT, BTC-*, *-USDT */
    /* What all live subscriptions of the principal together may hold. */
    int64_t subscriptions;
    int64_t streams;          /* instruments, patterns expanded */
    int64_t wildcard_matches; /* those of them that patterns brought */
};

struct mlt_policy_principal {
    char name[MLT_COMMAND_NAME_BYTES_MAX + 1];
    size_t role;
};

struct mlt_policy {
    size_t role_count;
    struct mlt_role *roles;
    size_t principal_count;
    struct mlt_policy_principal *principals; /* by name */
    bool has_default;
    size_t default_role;
};

/* *policy is the caller's to mlt_policy_destroy. E_CONFIG with *err naming the member at fault and
 * what it must be, E_NOMEM. */
enum mlt_status mlt_policy_parse(struct mlt_slice text, struct mlt_policy **policy,
                                 struct mlt_error *err) MLT_MUST_CHECK;
/* Bytes of a file, appended to *text (max MLT_POLICY_BYTES_MAX). E_CONFIG, E_NOMEM. Blocks. */
enum mlt_status mlt_policy_read(const char *path, struct mlt_buf *text,
                                struct mlt_error *err) MLT_MUST_CHECK;
/* The file, read and parsed; *err begins with its path. */
enum mlt_status mlt_policy_load(const char *path, struct mlt_policy **policy,
                                struct mlt_error *err) MLT_MUST_CHECK;
void mlt_policy_destroy(struct mlt_policy *policy); /* NULL is fine */

/* 1 to 63 bytes of A-Z a-z 0-9 - _ : @ : one token of a subject. */
bool mlt_principal_valid(const char *name);
/* NULL: neither named nor a default role. A view. */
const struct mlt_role *mlt_policy_role(const struct mlt_policy *policy, const char *principal);
/* Whether everything that a name or pattern stands for is the role's to see. */
bool mlt_role_sees(const struct mlt_role *role, const char *instrument);
bool mlt_role_sees_type(const struct mlt_role *role, int type);

/* The checks below: E_PROTOCOL with *refusal (403) filled. role NULL is refused. */
enum mlt_status mlt_role_check_verb(const struct mlt_role *role, const char *principal,
                                    enum mlt_verb verb,
                                    struct mlt_control_refusal *refusal) MLT_MUST_CHECK;
/* Type and instruments, as far as given. */
enum mlt_status mlt_role_check_demand(const struct mlt_role *role, const char *principal,
                                      const struct mlt_command *command,
                                      struct mlt_control_refusal *refusal) MLT_MUST_CHECK;

/* Takes out of a table (unpacked; what goes is freed) the routes of types that the role does not
 * see, the subscriptions of the file that it could not have, and, unless it sees all, the live
 * subscriptions that are another principal's. */
void mlt_role_narrow(const struct mlt_role *role, const char *principal, Meltica__V1__Table *table);

#endif
