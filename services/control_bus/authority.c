#include "authority.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#define ALL_VERBS ((UINT32_C(1) << MLT_VERB_ALL) - 1)
#define VERB_WORDS "subscribe, unsubscribe, update, renew, list, status, describe"
#define TYPE_WORDS                                                                                 \
    "TICKER, BBO, TRADE, AGG_TRADE, KLINE, BOOK_DELTA, BOOK_SNAPSHOT, BOOK, INSTRUMENT, STATUS"
#define LIMIT_MAX INT64_C(1000000000)

/* Where in the file something is, for messages. */
struct place {
    const char *role; /* NULL: outside of the roles */
    struct mlt_error *err;
};

#define FAIL(at, ...) mlt_error_set((at)->err, MLT_E_CONFIG, __VA_ARGS__)

static const char *in(const struct place *at)
{
    return at->role != NULL ? at->role : "";
}

bool mlt_principal_valid(const char *name)
{
    const size_t len = strlen(name);
    return len > 0 && len <= MLT_COMMAND_NAME_BYTES_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_:@") ==
               len;
}

/* ---- members of an object ---- */

/* Every member is one of names, and there once. */
static enum mlt_status check_members(const cJSON *object, const char *const *names,
                                     const struct place *at)
{
    unsigned seen = 0;
    for (const cJSON *m = object->child; m != NULL; m = m->next) {
        unsigned i = 0;
        while (names[i] != NULL && strcmp(names[i], m->string) != 0) {
            i++;
        }
        if (names[i] == NULL) {
            return at->role != NULL
                       ? FAIL(at, "roles.%.63s.%.60s is no member of a role: remove it", in(at),
                              m->string)
                       : FAIL(at, "%.60s is no member of a policy: remove it", m->string);
        }
        if ((seen & 1u << i) != 0) {
            return FAIL(at, "%s%.63s%s%s is there twice", at->role != NULL ? "roles." : "", in(at),
                        at->role != NULL ? "." : "", m->string);
        }
        seen |= 1u << i;
    }
    return MLT_OK;
}

/* ---- a role ---- */

/* The bits of a word; 0: it is no word that may stand there. */
typedef uint32_t word_bits_fn(const char *word);

static uint32_t verb_bits(const char *word)
{
    for (int verb = 0; verb < MLT_VERB_ALL; verb++) {
        if (strcmp(mlt_verb_word((enum mlt_verb)verb), word) == 0) {
            return UINT32_C(1) << verb;
        }
    }
    return strcmp(word, "*") == 0 ? ALL_VERBS : 0;
}

static uint32_t type_bits(const char *word)
{
    for (int type = 1; type < MLT_EVENT_TYPE_COUNT; type++) {
        if (strcmp(mlt_event_type_word(type), word) == 0) {
            return UINT32_C(1) << type;
        }
    }
    return strcmp(word, "*") == 0 ? (UINT32_C(1) << MLT_EVENT_TYPE_COUNT) - 2 : 0;
}

static enum mlt_status read_words(const cJSON *role, const char *name, const char *words,
                                  word_bits_fn *bits, uint32_t *out, const struct place *at)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(role, name);
    if (!cJSON_IsArray(list)) {
        return FAIL(at, "roles.%s.%s must be an array of \"*\" or %s", in(at), name, words);
    }
    for (const cJSON *item = list->child; item != NULL; item = item->next) {
        const uint32_t bit = cJSON_IsString(item) ? bits(item->valuestring) : 0;
        if (bit == 0) {
            return FAIL(at, "roles.%s.%s: %.40s is none of \"*\", %s", in(at), name,
                        cJSON_IsString(item) ? item->valuestring : "what is no string", words);
        }
        *out |= bit;
    }
    return MLT_OK;
}

static enum mlt_status read_patterns(const cJSON *tree, struct mlt_role *role,
                                     const struct place *at)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(tree, "instruments");
    const int count = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : -1;
    if (count < 0 || count > (int)MLT_POLICY_PATTERNS_MAX) {
        return FAIL(at, "roles.%s.instruments must be an array of at most %u names or patterns",
                    in(at), MLT_POLICY_PATTERNS_MAX);
    }
    role->patterns = calloc((size_t)count + 1, sizeof *role->patterns);
    if (role->patterns == NULL) {
        return MLT_E_NOMEM;
    }
    for (const cJSON *item = list->child; item != NULL; item = item->next) {
        if (cJSON_IsString(item) && strcmp(item->valuestring, "*") == 0) {
            role->any_instrument = true;
            continue;
        }
        if (!cJSON_IsString(item) || !mlt_command_pattern_valid(item->valuestring)) {
            return FAIL(at,
                        "roles.%s.instruments: %.40s is no instrument: write \"*\", BTC-USDT, "
                        "BTC-* or *-USDT",
                        in(at), cJSON_IsString(item) ? item->valuestring : "what is no string");
        }
        char *copy = strdup(item->valuestring);
        if (copy == NULL) {
            return MLT_E_NOMEM;
        }
        role->patterns[role->pattern_count++] = copy;
    }
    return MLT_OK;
}

static enum mlt_status read_limit(const cJSON *role, const char *name, int64_t *out,
                                  const struct place *at)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(role, name);
    const double value = cJSON_IsNumber(member) ? member->valuedouble : -1;
    if (!(value >= 0 && value <= (double)LIMIT_MAX) || value != (double)(int64_t)value) {
        return FAIL(at, "roles.%s.%s must be an integer from 0 to %" PRId64, in(at), name,
                    LIMIT_MAX);
    }
    *out = (int64_t)value;
    return MLT_OK;
}

static enum mlt_status read_scope(const cJSON *role, bool *all, const struct place *at)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(role, "scope");
    const char *word = cJSON_IsString(member) ? member->valuestring : member == NULL ? "own" : "";
    *all = strcmp(word, "all") == 0;
    return *all || strcmp(word, "own") == 0
               ? MLT_OK
               : FAIL(at, "roles.%s.scope must be \"own\" or \"all\"", in(at));
}

static enum mlt_status read_role(const cJSON *tree, struct mlt_role *role, struct mlt_error *err)
{
    static const char *const names[] = { "verbs",         "types",   "instruments",      "scope",
                                         "subscriptions", "streams", "wildcard_matches", NULL };
    const struct place at = { role->name, err };
    if (tree == NULL || !cJSON_IsObject(tree)) {
        return FAIL(&at, "roles.%s must be an object", role->name);
    }
    enum mlt_status status = check_members(tree, names, &at);
    if (status == MLT_OK) {
        status = read_words(tree, "verbs", VERB_WORDS, verb_bits, &role->verbs, &at);
    }
    if (status == MLT_OK) {
        status = read_words(tree, "types", TYPE_WORDS, type_bits, &role->types, &at);
    }
    if (status == MLT_OK) {
        status = read_patterns(tree, role, &at);
    }
    if (status == MLT_OK) {
        status = read_scope(tree, &role->all, &at);
    }
    if (status == MLT_OK) {
        status = read_limit(tree, "subscriptions", &role->subscriptions, &at);
    }
    if (status == MLT_OK) {
        status = read_limit(tree, "streams", &role->streams, &at);
    }
    return status == MLT_OK ? read_limit(tree, "wildcard_matches", &role->wildcard_matches, &at)
                            : status;
}

static enum mlt_status read_roles(const cJSON *tree, struct mlt_policy *policy,
                                  struct mlt_error *err)
{
    const struct place at = { NULL, err };
    const cJSON *roles = cJSON_GetObjectItemCaseSensitive(tree, "roles");
    const int count = cJSON_IsObject(roles) ? cJSON_GetArraySize(roles) : 0;
    if (count < 1 || count > (int)MLT_POLICY_ROLES_MAX) {
        return FAIL(&at, "roles must be an object of 1 to %u roles", MLT_POLICY_ROLES_MAX);
    }
    policy->roles = calloc((size_t)count, sizeof *policy->roles);
    if (policy->roles == NULL) {
        return MLT_E_NOMEM;
    }
    for (const cJSON *item = roles->child; item != NULL; item = item->next) {
        if (!mlt_principal_valid(item->string)) {
            return FAIL(&at,
                        "roles: %.60s is no name of a role: 1 to %u bytes of A-Z a-z 0-9 - _ : @",
                        item->string, MLT_COMMAND_NAME_BYTES_MAX);
        }
        for (size_t i = 0; i < policy->role_count; i++) {
            if (strcmp(policy->roles[i].name, item->string) == 0) {
                return FAIL(&at, "roles.%s is there twice", item->string);
            }
        }
        struct mlt_role *role = &policy->roles[policy->role_count++];
        (void)snprintf(role->name, sizeof role->name, "%s", item->string);
        const enum mlt_status status = read_role(item, role, err);
        if (status != MLT_OK) {
            return status;
        }
    }
    return MLT_OK;
}

/* ---- principals ---- */

static bool find_role(const struct mlt_policy *policy, const cJSON *name, size_t *out)
{
    for (size_t i = 0; cJSON_IsString(name) && i < policy->role_count; i++) {
        if (strcmp(policy->roles[i].name, name->valuestring) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static int compare_principals(const void *a, const void *b)
{
    return strcmp(((const struct mlt_policy_principal *)a)->name,
                  ((const struct mlt_policy_principal *)b)->name);
}

static enum mlt_status read_principals(const cJSON *tree, struct mlt_policy *policy,
                                       struct mlt_error *err)
{
    const struct place at = { NULL, err };
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(tree, "principals");
    const int count = cJSON_IsObject(list) ? cJSON_GetArraySize(list) : -1;
    if (count < 0 || count > (int)MLT_POLICY_PRINCIPALS_MAX) {
        return FAIL(&at, "principals must be an object of at most %u names with their roles",
                    MLT_POLICY_PRINCIPALS_MAX);
    }
    policy->principals = calloc((size_t)count + 1, sizeof *policy->principals);
    if (policy->principals == NULL) {
        return MLT_E_NOMEM;
    }
    for (const cJSON *item = list->child; item != NULL; item = item->next) {
        struct mlt_policy_principal *p = &policy->principals[policy->principal_count];
        if (!mlt_principal_valid(item->string)) {
            return FAIL(&at,
                        "principals: %.60s is no name of a principal: 1 to %u bytes of "
                        "A-Z a-z 0-9 - _ : @",
                        item->string, MLT_COMMAND_NAME_BYTES_MAX);
        }
        if (!find_role(policy, item, &p->role)) {
            return FAIL(&at, "principals.%s: %.60s is no role of this file", item->string,
                        cJSON_IsString(item) ? item->valuestring : "what is no string");
        }
        (void)snprintf(p->name, sizeof p->name, "%s", item->string);
        policy->principal_count++;
    }
    qsort(policy->principals, policy->principal_count, sizeof *policy->principals,
          compare_principals);
    for (size_t i = 1; i < policy->principal_count; i++) {
        if (strcmp(policy->principals[i - 1].name, policy->principals[i].name) == 0) {
            return FAIL(&at, "principals.%s is there twice", policy->principals[i].name);
        }
    }
    return MLT_OK;
}

static enum mlt_status read_policy(const cJSON *tree, struct mlt_policy *policy,
                                   struct mlt_error *err)
{
    static const char *const names[] = { "$schema",    "version",      "roles",
                                         "principals", "default_role", NULL };
    const struct place at = { NULL, err };
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(tree, "version");
    const cJSON *otherwise = cJSON_GetObjectItemCaseSensitive(tree, "default_role");
    enum mlt_status status = check_members(tree, names, &at);
    if (status == MLT_OK && (!cJSON_IsNumber(version) || version->valuedouble != 1)) {
        status = FAIL(&at, "version must be 1");
    }
    if (status == MLT_OK) {
        status = read_roles(tree, policy, err);
    }
    if (status == MLT_OK) {
        status = read_principals(tree, policy, err);
    }
    if (status == MLT_OK && otherwise != NULL) {
        policy->has_default = find_role(policy, otherwise, &policy->default_role);
        if (!policy->has_default) {
            status = FAIL(&at, "default_role must be a role of this file");
        }
    }
    return status;
}

enum mlt_status mlt_policy_parse(struct mlt_slice text, struct mlt_policy **policy,
                                 struct mlt_error *err)
{
    static const char nul[] = "\\u0000"; /* would cut a name short without being seen */
    cJSON *tree = text.len > 0 && text.len <= MLT_POLICY_BYTES_MAX &&
                          memmem(text.data, text.len, nul, sizeof nul - 1) == NULL
                      ? mlt_control_parse(text)
                      : NULL;
    if (tree == NULL || !cJSON_IsObject(tree)) {
        cJSON_Delete(tree);
        return mlt_error_set(err, MLT_E_CONFIG,
                             "no JSON object of at most %u bytes: docs/control.md, \"Who may do "
                             "what\", says what a policy is",
                             MLT_POLICY_BYTES_MAX);
    }
    struct mlt_policy *made = calloc(1, sizeof *made);
    enum mlt_status status = made != NULL ? read_policy(tree, made, err) : MLT_E_NOMEM;
    cJSON_Delete(tree);
    if (status == MLT_E_NOMEM) {
        (void)mlt_error_set(err, status, "no memory for the policy");
    }
    if (status != MLT_OK) {
        mlt_policy_destroy(made);
        return status;
    }
    *policy = made;
    return MLT_OK;
}

enum mlt_status mlt_policy_read(const char *path, struct mlt_buf *text, struct mlt_error *err)
{
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : 1;
    enum mlt_status status = MLT_OK;
    while (got > 0 && status == MLT_OK) {
        uint8_t part[4096];
        got = read(file, part, sizeof part);
        if (got > 0) {
            status = mlt_buf_append(text, part, (size_t)got);
        }
    }
    if (got < 0) {
        status = mlt_error_set_foreign(err, MLT_E_CONFIG, "errno", errno, "%s: cannot read it: %s",
                                       path, strerror(errno));
    } else if (status != MLT_OK) {
        status = mlt_error_set(err, status == MLT_E_NOMEM ? status : MLT_E_CONFIG,
                               "%s: longer than %u bytes, or no memory for it", path,
                               MLT_POLICY_BYTES_MAX);
    }
    if (file >= 0) {
        (void)close(file);
    }
    return status;
}

enum mlt_status mlt_policy_load(const char *path, struct mlt_policy **policy, struct mlt_error *err)
{
    struct mlt_buf text;
    mlt_buf_init(&text, MLT_POLICY_BYTES_MAX);
    enum mlt_status status = mlt_policy_read(path, &text, err);
    if (status == MLT_OK) {
        status = mlt_policy_parse(mlt_buf_view(&text), policy, err);
        if (status != MLT_OK) {
            (void)mlt_error_prepend(err, "%s", path);
        }
    }
    mlt_buf_fini(&text);
    return status;
}

void mlt_policy_destroy(struct mlt_policy *policy)
{
    if (policy == NULL) {
        return;
    }
    for (size_t i = 0; i < policy->role_count; i++) {
        for (size_t p = 0; p < policy->roles[i].pattern_count; p++) {
            free(policy->roles[i].patterns[p]);
        }
        free(policy->roles[i].patterns);
    }
    free(policy->roles);
    free(policy->principals);
    free(policy);
}
