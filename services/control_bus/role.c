/* What a policy says of one principal. */
#include <stdio.h>

#include "authority.h"

const struct mlt_role *mlt_policy_role(const struct mlt_policy *policy, const char *principal)
{
    size_t low = 0, high = policy->principal_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(policy->principals[middle].name, principal);
        if (order == 0) {
            return &policy->roles[policy->principals[middle].role];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return policy->has_default ? &policy->roles[policy->default_role] : NULL;
}

/* Whether one part (BASE or QUOTE) of what is asked lies inside of that of a pattern. */
static bool part_inside(const char *pattern, size_t pattern_len, const char *asked, size_t len)
{
    return (pattern_len == 1 && pattern[0] == '*') ||
           (pattern_len == len && memcmp(pattern, asked, len) == 0);
}

static bool inside(const char *pattern, const char *asked)
{
    const char *dash = strchr(pattern, '-'), *asked_dash = strchr(asked, '-');
    return dash != NULL && asked_dash != NULL &&
           part_inside(pattern, (size_t)(dash - pattern), asked, (size_t)(asked_dash - asked)) &&
           part_inside(dash + 1, strlen(dash + 1), asked_dash + 1, strlen(asked_dash + 1));
}

bool mlt_role_sees(const struct mlt_role *role, const char *instrument)
{
    bool seen = role->any_instrument;
    for (size_t i = 0; !seen && i < role->pattern_count; i++) {
        seen = inside(role->patterns[i], instrument);
    }
    return seen;
}

bool mlt_role_sees_type(const struct mlt_role *role, int type)
{
    return type >= 0 && type < MLT_EVENT_TYPE_COUNT && (role->types & UINT32_C(1) << type) != 0;
}

enum mlt_status mlt_role_check_verb(const struct mlt_role *role, const char *principal,
                                    enum mlt_verb verb, struct mlt_control_refusal *refusal)
{
    if (role == NULL) {
        return mlt_control_refuse(refusal, 403, "principal",
                                  "the policy has no role for %s and no default role: ask who "
                                  "keeps the policy file for one",
                                  principal);
    }
    return (role->verbs & UINT32_C(1) << verb) != 0
               ? MLT_OK
               : mlt_control_refuse(refusal, 403, "",
                                    "%s has the role %s, which may not %s: ask who keeps the "
                                    "policy file for a role that may",
                                    principal, role->name, mlt_verb_word(verb));
}

enum mlt_status mlt_role_check_demand(const struct mlt_role *role, const char *principal,
                                      const struct mlt_command *command,
                                      struct mlt_control_refusal *refusal)
{
    if (command->type != MLT_EVENT_NONE && !mlt_role_sees_type(role, (int)command->type)) {
        return mlt_control_refuse(refusal, 403, "type",
                                  "%s has the role %s, which may not have %s: "
                                  "meltica.control.as.%s.describe lists what it may",
                                  principal, role->name, mlt_event_type_word((int)command->type),
                                  principal);
    }
    for (size_t i = 0; i < command->instrument_count; i++) {
        if (!mlt_role_sees(role, command->instruments[i])) {
            char field[MLT_CONTROL_FIELD_BYTES_MAX + 1];
            (void)snprintf(field, sizeof field, "instruments[%zu]", i);
            return mlt_control_refuse(refusal, 403, field,
                                      "%s has the role %s, which may not have all of %s: ask for "
                                      "instruments that its patterns cover",
                                      principal, role->name, command->instruments[i]);
        }
    }
    return MLT_OK;
}

static bool shown(const struct mlt_role *role, const char *principal,
                  const Meltica__V1__TableSubscription *s)
{
    bool seen = mlt_role_sees_type(role, (int)s->type);
    if (s->consumer[0] != '\0') {
        return role->all || strcmp(s->principal, principal) == 0;
    }
    for (size_t i = 0; seen && i < s->n_instruments; i++) {
        seen = mlt_role_sees(role, s->instruments[i]);
    }
    return seen;
}

void mlt_role_narrow(const struct mlt_role *role, const char *principal, Meltica__V1__Table *table)
{
    size_t kept = 0;
    for (size_t i = 0; i < table->n_routes; i++) {
        if (mlt_role_sees_type(role, (int)table->routes[i]->type)) {
            table->routes[kept++] = table->routes[i];
        } else {
            meltica__v1__table_route__free_unpacked(table->routes[i], NULL);
        }
    }
    table->n_routes = kept;
    kept = 0;
    for (size_t i = 0; i < table->n_subscriptions; i++) {
        if (shown(role, principal, table->subscriptions[i])) {
            table->subscriptions[kept++] = table->subscriptions[i];
        } else {
            meltica__v1__table_subscription__free_unpacked(table->subscriptions[i], NULL);
        }
    }
    table->n_subscriptions = kept;
}
