#include "command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "meltica/base/hash.h"

static const char *const verb_words[] = { "subscribe", "unsubscribe", "update",  "renew",
                                          "list",      "status",      "describe" };
_Static_assert(sizeof verb_words / sizeof verb_words[0] == MLT_VERB_ALL, "one word each");

const char *mlt_verb_word(enum mlt_verb verb)
{
    return (unsigned)verb < MLT_VERB_ALL ? verb_words[verb] : "unknown";
}

void mlt_command_fini(struct mlt_command *command)
{
    for (size_t i = 0; i < command->instrument_count; i++) {
        free(command->instruments[i]);
    }
    free(command->instruments);
    free(command->demand);
    memset(command, 0, sizeof *command);
}

/* ---- members ---- */

#define IN(verb) (1u << MLT_VERB_##verb)

static const struct {
    const char *name;
    unsigned verbs, required;
} members[] = {
    { "id", IN(SUBSCRIBE) | IN(UNSUBSCRIBE) | IN(UPDATE) | IN(RENEW), 0 },
    { "consumer", IN(SUBSCRIBE) | IN(UNSUBSCRIBE) | IN(UPDATE) | IN(RENEW) | IN(LIST),
      IN(SUBSCRIBE) | IN(UNSUBSCRIBE) | IN(UPDATE) | IN(RENEW) },
    { "subscription", IN(UNSUBSCRIBE) | IN(UPDATE) | IN(RENEW), IN(UPDATE) | IN(RENEW) },
    { "type", IN(SUBSCRIBE) | IN(UNSUBSCRIBE) | IN(UPDATE), IN(SUBSCRIBE) },
    { "instruments", IN(SUBSCRIBE) | IN(UNSUBSCRIBE) | IN(UPDATE), IN(SUBSCRIBE) | IN(UPDATE) },
    { "ttl_s", IN(SUBSCRIBE) | IN(UPDATE) | IN(RENEW), IN(RENEW) },
    { "channel", IN(SUBSCRIBE) | IN(UPDATE), 0 },
    { "filter", IN(SUBSCRIBE) | IN(UPDATE), 0 },
    { "throttle_ms", IN(SUBSCRIBE) | IN(UPDATE), 0 },
    { "offset", IN(LIST), 0 },
    { "limit", IN(LIST), 0 },
};
#define MEMBER_COUNT (sizeof members / sizeof members[0])

static enum mlt_status check_members(const cJSON *tree, enum mlt_verb verb,
                                     struct mlt_control_refusal *refusal)
{
    unsigned seen = 0;
    for (const cJSON *m = tree->child; m != NULL; m = m->next) {
        size_t i = 0;
        while (i < MEMBER_COUNT && strcmp(members[i].name, m->string) != 0) {
            i++;
        }
        if (i == MEMBER_COUNT || (members[i].verbs & 1u << verb) == 0) {
            return mlt_control_refuse(refusal, 400, m->string,
                                      "\"%.60s\" is no member of %s: remove it", m->string,
                                      mlt_verb_word(verb));
        }
        if ((seen & 1u << i) != 0) {
            return mlt_control_refuse(refusal, 400, m->string, "\"%s\" is there twice", m->string);
        }
        seen |= 1u << i;
    }
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        if ((members[i].required & 1u << verb) != 0 && (seen & 1u << i) == 0) {
            return mlt_control_refuse(refusal, 400, members[i].name, "%s needs \"%s\"",
                                      mlt_verb_word(verb), members[i].name);
        }
    }
    return MLT_OK;
}

static bool name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == ':' || c == '@';
}

static enum mlt_status read_name(const cJSON *tree, const char *name, char *out,
                                 struct mlt_control_refusal *refusal)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(tree, name);
    if (member == NULL) {
        return MLT_OK;
    }
    const size_t len = cJSON_IsString(member) ? strlen(member->valuestring) : 0;
    bool valid = len > 0 && len <= MLT_COMMAND_NAME_BYTES_MAX;
    for (size_t i = 0; valid && i < len; i++) {
        valid = name_byte(member->valuestring[i]);
    }
    if (!valid) {
        return mlt_control_refuse(
            refusal, 400, name, "\"%s\" must be a string of 1 to %u bytes of A-Z a-z 0-9 - _ . : @",
            name, MLT_COMMAND_NAME_BYTES_MAX);
    }
    memcpy(out, member->valuestring, len + 1);
    return MLT_OK;
}

static enum mlt_status read_number(const cJSON *tree, const char *name, int64_t min, int64_t max,
                                   int64_t *out, struct mlt_control_refusal *refusal)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(tree, name);
    if (member == NULL) {
        return MLT_OK;
    }
    const double value = cJSON_IsNumber(member) ? member->valuedouble : -1;
    if (!(value >= (double)min && value <= (double)max) || value != (double)(int64_t)value) {
        return mlt_control_refuse(refusal, 400, name,
                                  "\"%s\" must be an integer from %" PRId64 " to %" PRId64, name,
                                  min, max);
    }
    *out = (int64_t)value;
    return MLT_OK;
}

static enum mlt_status read_type(const cJSON *tree, struct mlt_command *command,
                                 struct mlt_control_refusal *refusal)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(tree, "type");
    if (member == NULL) {
        return MLT_OK;
    }
    for (int type = 1; cJSON_IsString(member) && type < MLT_EVENT_TYPE_COUNT; type++) {
        if (type != MLT_EVENT_STATUS &&
            (type != MLT_EVENT_INSTRUMENT || command->lane.private_lane) &&
            strcmp(mlt_event_type_word(type), member->valuestring) == 0) {
            command->type = (enum mlt_event_type)type;
            return MLT_OK;
        }
    }
    return mlt_control_refuse(refusal, 400, "type",
                              "\"type\" must be one of TICKER, BBO, TRADE, AGG_TRADE, KLINE, "
                              "BOOK_DELTA, BOOK_SNAPSHOT, BOOK, or, on a private channel, "
                              "INSTRUMENT, which comes with all "
                              "others; meltica.control.describe lists what is on offer");
}

/* ---- instruments ---- */

/* A token, BASE-* or *-QUOTE. */
bool mlt_command_pattern_valid(const char *text)
{
    const struct mlt_slice whole = mlt_slice_of_string(text);
    const char *dash = strchr(text, '-');
    if (dash == NULL || whole.len > MLT_INSTRUMENT_BYTES_MAX || strchr(dash + 1, '-') != NULL) {
        return false;
    }
    const struct mlt_slice base = mlt_slice_of(text, (size_t)(dash - text)),
                           quote = mlt_slice_of_string(dash + 1);
    const bool any_base = mlt_slice_equal_string(base, "*"),
               any_quote = mlt_slice_equal_string(quote, "*");
    return !(any_base && any_quote) && (any_base || mlt_instrument_token_valid(base)) &&
           (any_quote || mlt_instrument_token_valid(quote));
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum mlt_status make_demand(struct mlt_command *command)
{
    command->demand = calloc(command->instrument_count, sizeof *command->demand);
    if (command->demand == NULL) {
        return MLT_E_NOMEM;
    }
    memcpy(command->demand, command->instruments,
           command->instrument_count * sizeof *command->demand);
    qsort(command->demand, command->instrument_count, sizeof *command->demand, compare_texts);
    for (size_t i = 0; i < command->instrument_count; i++) {
        if (i == 0 || strcmp(command->demand[i], command->demand[command->demand_count - 1]) != 0) {
            command->demand[command->demand_count++] = command->demand[i];
        }
    }
    return MLT_OK;
}

static enum mlt_status read_instruments(const cJSON *tree, struct mlt_command *command,
                                        struct mlt_control_refusal *refusal)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(tree, "instruments");
    if (member == NULL) {
        return MLT_OK;
    }
    const int count = cJSON_IsArray(member) ? cJSON_GetArraySize(member) : 0;
    if (count < 1 || count > (int)MLT_COMMAND_INSTRUMENTS_MAX) {
        return mlt_control_refuse(refusal, 400, "instruments",
                                  "\"instruments\" must be an array of 1 to %u names or patterns",
                                  MLT_COMMAND_INSTRUMENTS_MAX);
    }
    command->instruments = calloc((size_t)count, sizeof *command->instruments);
    if (command->instruments == NULL) {
        return MLT_E_NOMEM;
    }
    for (const cJSON *item = member->child; item != NULL; item = item->next) {
        if (!cJSON_IsString(item) || !mlt_command_pattern_valid(item->valuestring)) {
            char field[MLT_CONTROL_FIELD_BYTES_MAX + 1];
            (void)snprintf(field, sizeof field, "instruments[%zu]", command->instrument_count);
            return mlt_control_refuse(
                refusal, 400, field, "%s is no instrument: write BTC-USDT, BTC-* or *-USDT", field);
        }
        char *copy = strdup(item->valuestring);
        if (copy == NULL) {
            return MLT_E_NOMEM;
        }
        command->instruments[command->instrument_count++] = copy;
    }
    return make_demand(command);
}

/* ---- the request ---- */

static enum mlt_status read_values(const cJSON *tree, struct mlt_command *command,
                                   struct mlt_control_refusal *refusal)
{
    const int64_t huge = INT64_C(1) << 40;
    enum mlt_status status = read_name(tree, "id", command->id, refusal);
    if (status == MLT_OK) {
        status = read_name(tree, "consumer", command->consumer, refusal);
    }
    if (status == MLT_OK) {
        status = read_name(tree, "subscription", command->subscription, refusal);
    }
    if (status == MLT_OK) {
        status = mlt_lane_read(tree, &command->lane, refusal);
    }
    if (status == MLT_OK) {
        status = read_type(tree, command, refusal);
    }
    if (status == MLT_OK) {
        status = read_instruments(tree, command, refusal);
    }
    if (status == MLT_OK) {
        status = read_number(tree, "ttl_s", 1, MLT_COMMAND_TTL_S_MAX, &command->ttl_s, refusal);
    }
    if (status == MLT_OK) {
        status = read_number(tree, "offset", 0, huge, &command->offset, refusal);
    }
    if (status == MLT_OK) {
        status = read_number(tree, "limit", 1, MLT_COMMAND_PAGE_MAX, &command->limit, refusal);
    }
    return status;
}

static enum mlt_status check_whole(const struct mlt_command *command,
                                   struct mlt_control_refusal *refusal)
{
    const bool demand = command->type != MLT_EVENT_NONE && command->instrument_count > 0;
    const bool some = command->type != MLT_EVENT_NONE || command->instrument_count > 0;
    if (command->verb == MLT_VERB_UNSUBSCRIBE && (command->subscription[0] != '\0') == some) {
        return mlt_control_refuse(refusal, 400, "subscription",
                                  "unsubscribe needs either \"subscription\", or \"type\" and "
                                  "\"instruments\" as they were subscribed");
    }
    if (command->verb == MLT_VERB_UNSUBSCRIBE && some && !demand) {
        return mlt_control_refuse(refusal, 400,
                                  command->type == MLT_EVENT_NONE ? "type" : "instruments",
                                  "unsubscribe without \"subscription\" needs \"type\" and "
                                  "\"instruments\"");
    }
    return MLT_OK;
}

static enum mlt_status read_text(struct mlt_slice request, struct mlt_command *command,
                                 struct mlt_control_refusal *refusal)
{
    static const char nul[] = "\\u0000";
    if (request.len > MLT_CONTROL_REQUEST_BYTES_MAX) {
        return mlt_control_refuse(refusal, 400, "",
                                  "the request is longer than %u bytes: shorten it",
                                  MLT_CONTROL_REQUEST_BYTES_MAX);
    }
    if (request.len == 0 && command->verb == MLT_VERB_LIST) {
        return MLT_OK;
    }
    cJSON *tree = request.len > 0 && memmem(request.data, request.len, nul, sizeof nul - 1) == NULL
                      ? mlt_control_parse(request)
                      : NULL;
    if (tree == NULL || !cJSON_IsObject(tree)) {
        cJSON_Delete(tree);
        return mlt_control_refuse(refusal, 400, "",
                                  "the request is no JSON object: see docs/control.md");
    }
    enum mlt_status status = check_members(tree, command->verb, refusal);
    if (status == MLT_OK) {
        status = read_values(tree, command, refusal);
    }
    cJSON_Delete(tree);
    return status == MLT_OK ? check_whole(command, refusal) : status;
}

enum mlt_status mlt_command_read(enum mlt_verb verb, struct mlt_slice request,
                                 struct mlt_command *command, struct mlt_control_refusal *refusal)
{
    memset(command, 0, sizeof *command);
    command->verb = verb;
    command->limit = MLT_COMMAND_PAGE_DEFAULT;
    const enum mlt_status status = read_text(request, command, refusal);
    if (status != MLT_OK) {
        mlt_command_fini(command);
        if (status != MLT_E_PROTOCOL) {
            (void)mlt_control_refuse(refusal, 500, "", "the request cannot be read: %s",
                                     mlt_status_text(status));
        }
    }
    return status;
}

/* ---- what it means ---- */

static uint64_t hash_text(uint64_t state, const char *text)
{
    return mlt_fnv1a64(state, mlt_slice_of(text, strlen(text) + 1)); /* with its end */
}

void mlt_command_id(const char *principal, const struct mlt_command *command, char *out)
{
    const struct mlt_lane_terms *lane = &command->lane;
    uint64_t hash = hash_text(MLT_FNV1A64_INIT, principal);
    hash = hash_text(hash, command->consumer);
    hash = hash_text(hash, mlt_event_type_word((int)command->type));
    for (size_t i = 0; i < command->demand_count; i++) {
        hash = hash_text(hash, command->demand[i]);
    }
    hash = hash_text(hash, lane->private_lane ? "private" : "shared");
    if (lane->private_lane) {
        char throttle[24];
        (void)snprintf(throttle, sizeof throttle, "%" PRId64, lane->throttle_ms);
        hash = hash_text(hash, throttle);
        for (size_t i = 0; i < lane->filter_count; i++) {
            hash = hash_text(hash, lane->filter[i].field);
            hash = hash_text(hash, lane->filter[i].op);
            hash = hash_text(hash, lane->filter[i].value);
        }
    }
    (void)snprintf(out, MLT_COMMAND_NAME_BYTES_MAX + 1, "s%016" PRIx64, mlt_mix64(hash));
}

static bool belongs(const Meltica__V1__TableSubscription *s, const char *principal,
                    const char *consumer)
{
    return !s->implied && s->consumer[0] != '\0' &&
           (principal == NULL || strcmp(s->principal, principal) == 0) &&
           (consumer[0] == '\0' || strcmp(s->consumer, consumer) == 0);
}

const Meltica__V1__TableSubscription *mlt_command_find(const Meltica__V1__Table *table,
                                                       const char *principal, const char *consumer,
                                                       const char *id)
{
    for (size_t i = 0; i < table->n_subscriptions; i++) {
        const Meltica__V1__TableSubscription *s = table->subscriptions[i];
        if (belongs(s, principal, consumer) && strcmp(s->id, id) == 0) {
            return s;
        }
    }
    return NULL;
}

enum mlt_status mlt_command_check_id(const Meltica__V1__Table *table, const char *id,
                                     struct mlt_control_refusal *refusal)
{
    return mlt_command_find(table, NULL, "", id) == NULL
               ? MLT_OK
               : mlt_control_refuse(refusal, 409, "consumer",
                                    "the id of this demand, %s, is that of another subscription, "
                                    "nothing changed: ask as another \"consumer\"",
                                    id);
}

static bool routed(const Meltica__V1__Table *table, int type)
{
    for (size_t i = 0; i < table->n_routes; i++) {
        if ((int)table->routes[i]->type == type) {
            return true;
        }
    }
    return false;
}

enum mlt_status mlt_command_check_terms(const struct mlt_command *command,
                                        const struct mlt_command_limits *limits,
                                        struct mlt_control_refusal *refusal)
{
    if ((int64_t)command->demand_count > limits->instruments) {
        return mlt_control_refuse(refusal, 429, "instruments",
                                  "%zu instruments in one subscription, %" PRId64
                                  " are allowed: use a pattern, or several subscriptions",
                                  command->demand_count, limits->instruments);
    }
    return command->type != MLT_EVENT_NONE /* else an update: that of its old one, in the table */
               ? mlt_lane_check(command->type, &command->lane, refusal)
               : MLT_OK;
}

/* What the table says that the name covers; 0 where it does not say. */
static uint32_t matches_of(const struct mlt_command *command, const Meltica__V1__Table *table,
                           char *const *name)
{
    char *const *at = bsearch(name, command->demand, command->demand_count, sizeof *command->demand,
                              compare_texts);
    const size_t n = at != NULL ? (size_t)(at - command->demand) : table->n_matches;
    return n < table->n_matches ? table->matches[n] : 0;
}

enum mlt_status mlt_command_check(const struct mlt_command *command,
                                  const Meltica__V1__Table *table,
                                  struct mlt_control_refusal *refusal)
{
    const int type = (int)command->type;
    const bool on_offer = type == MLT_EVENT_BOOK ? routed(table, MLT_EVENT_BOOK_DELTA) &&
                                                       routed(table, MLT_EVENT_BOOK_SNAPSHOT)
                                                 : routed(table, type);
    if (!on_offer) {
        return mlt_control_refuse(refusal, 404, "type",
                                  "%s has no route in the dispatch table: "
                                  "meltica.control.describe lists what is on offer",
                                  mlt_event_type_word(type));
    }
    const enum mlt_status lane = mlt_lane_check(command->type, &command->lane, refusal);
    if (lane != MLT_OK) {
        return lane;
    }
    if (table->instruments_listed == 0) {
        return mlt_control_refuse(refusal, 503, "",
                                  "the exchange's listing is not known yet, nothing changed: ask "
                                  "again in a few seconds");
    }
    for (size_t i = 0; i < command->instrument_count; i++) {
        const bool matches = matches_of(command, table, &command->instruments[i]) > 0;
        const bool wild = strchr(command->instruments[i], '*') != NULL;
        if (!matches || (wild && !table->listing_heard)) {
            char field[MLT_CONTROL_FIELD_BYTES_MAX + 1];
            (void)snprintf(field, sizeof field, "instruments[%zu]", i);
            if (!table->listing_heard) {
                return mlt_control_refuse(refusal, 503, field,
                                          "%s: the exchange's listing is being read, and %s has "
                                          "not come%s yet, nothing changed: ask again in a second",
                                          field, command->instruments[i],
                                          wild ? " to its end" : "");
            }
            return mlt_control_refuse(refusal, 404, field,
                                      "%s: the exchange lists nothing that is called %s", field,
                                      command->instruments[i]);
        }
    }
    return MLT_OK;
}

/* What the demand takes in the table at most, with names of any length. */
static size_t table_bytes_of(const struct mlt_command *command)
{
    size_t bytes = MLT_DEMAND_SUBSCRIPTION_BYTES + 3 * MLT_COMMAND_NAME_BYTES_MAX;
    for (size_t i = 0; i < command->demand_count; i++) {
        bytes += MLT_DEMAND_NAME_BYTES + strlen(command->demand[i]);
    }
    for (size_t i = 0; i < command->lane.filter_count; i++) {
        const struct mlt_comparison *c = &command->lane.filter[i];
        bytes += MLT_DEMAND_COMPARISON_BYTES + strlen(c->field) + strlen(c->op) + strlen(c->value);
    }
    return bytes;
}

enum mlt_status mlt_command_check_space(const struct mlt_command *command,
                                        const Meltica__V1__Table *table,
                                        struct mlt_control_refusal *refusal)
{
    size_t live = 0, patterns = 0, lanes = 0;
    for (size_t i = 0; i < table->n_subscriptions; i++) {
        const Meltica__V1__TableSubscription *s = table->subscriptions[i];
        if (!s->implied && s->consumer[0] != '\0') {
            live++;
            lanes += s->private_lane ? 1 : 0;
            patterns += s->n_instruments;
        }
    }
    if (command->lane.private_lane && lanes >= MLT_COMMAND_LANES_MAX) {
        return mlt_control_refuse(
            refusal, 429, "channel",
            "there are %zu private channels, and no more fit: read the shared "
            "one, or end another first",
            lanes);
    }
    if (live >= MLT_COMMAND_LIVE_MAX ||
        patterns + command->demand_count > MLT_COMMAND_LIVE_PATTERNS_MAX) {
        return mlt_control_refuse(refusal, 429, "",
                                  "there are %zu live subscriptions with %zu instruments, and no "
                                  "more fit: use patterns such as *-USDT",
                                  live, patterns);
    }
    if (table->table_bytes + table_bytes_of(command) > MLT_DEMAND_TABLE_BYTES_MAX) {
        return mlt_control_refuse(refusal, 429, "",
                                  "all that is subscribed takes %u bytes, and more than %u do not "
                                  "fit in a message: use patterns such as *-USDT, or end others",
                                  table->table_bytes, MLT_DEMAND_TABLE_BYTES_MAX);
    }
    return MLT_OK;
}

enum mlt_status mlt_command_check_room(const struct mlt_command *command, const char *principal,
                                       const Meltica__V1__Table *table,
                                       const struct mlt_command_limits *limits,
                                       struct mlt_control_refusal *refusal)
{
    int64_t own = 0;
    for (size_t i = 0; i < table->n_subscriptions; i++) {
        own += belongs(table->subscriptions[i], principal, command->consumer);
    }
    if (own >= limits->subscriptions) {
        return mlt_control_refuse(refusal, 429, "consumer",
                                  "%s has %" PRId64 " subscriptions, and no more are allowed: "
                                  "unsubscribe from one first",
                                  command->consumer, own);
    }
    return mlt_command_check_space(command, table, refusal);
}
