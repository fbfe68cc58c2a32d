/* A policy file from outside: what is taken is whole and its roles are found, what is not is named
 * in words. */
#include <stdlib.h>
#include <string.h>

#include "authority.h"
#include "fuzz.h"
#include "meltica/base/check.h"

static void ask(const struct mlt_role *role, const char *principal)
{
    static char btc[] = "BTC-USDT", all[] = "*-USDT", eth[] = "ETH-*";
    static char *names[] = { btc, all, eth };
    const struct mlt_command command = { .type = MLT_EVENT_TRADE,
                                         .instruments = names,
                                         .instrument_count = 3 };
    struct mlt_control_refusal refusal = { .code = 0 };
    for (int verb = 0; verb < MLT_VERB_ALL; verb++) {
        if (mlt_role_check_verb(role, principal, (enum mlt_verb)verb, &refusal) != MLT_OK) {
            MLT_CHECK(refusal.code == 403 && refusal.message[0] != '\0');
        }
    }
    if (role != NULL && mlt_role_check_demand(role, principal, &command, &refusal) == MLT_OK) {
        MLT_CHECK(mlt_role_sees(role, btc) && mlt_role_sees(role, eth));
        MLT_CHECK(mlt_role_sees_type(role, MLT_EVENT_TRADE));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_policy *policy = NULL;
    if (mlt_policy_parse(mlt_slice_of(data, size), &policy, &err) != MLT_OK) {
        MLT_CHECK(policy == NULL && err.text[0] != '\0');
        return 0;
    }
    MLT_CHECK(policy->role_count > 0);
    for (size_t i = 0; i < policy->role_count; i++) {
        const struct mlt_role *role = &policy->roles[i];
        MLT_CHECK(mlt_principal_valid(role->name));
        MLT_CHECK(role->subscriptions >= 0 && role->streams >= 0 && role->wildcard_matches >= 0);
        for (size_t k = 0; k < role->pattern_count; k++) {
            MLT_CHECK(mlt_role_sees(role, role->patterns[k]));
        }
    }
    for (size_t i = 0; i < policy->principal_count; i++) {
        const struct mlt_policy_principal *p = &policy->principals[i];
        MLT_CHECK(mlt_principal_valid(p->name));
        MLT_CHECK(mlt_policy_role(policy, p->name) == &policy->roles[p->role]);
        ask(mlt_policy_role(policy, p->name), p->name);
    }
    ask(mlt_policy_role(policy, "nobody!"), "nobody!");
    mlt_policy_destroy(policy);
    return 0;
}
