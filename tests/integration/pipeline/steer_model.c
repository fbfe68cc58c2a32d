#include "mlt_test.h"

#include "steer_model.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"

#define SHORT_NS                                                                                   \
    (10 * MLT_NS_PER_S) /* a lease that ends sooner may end while a command is asked               \
                         */

static const char *const types[MODEL_TYPES] = { "TRADE", "BBO", "TICKER" };
static const char *const topics[MODEL_TYPES] = { "trade", "bookTicker", "ticker" };

static uint64_t roll(struct model *m, uint64_t sides)
{
    return mlt_mix64_next(&m->dice) % sides;
}

void model_init(struct model *model, uint64_t seed, bool short_leases)
{
    memset(model, 0, sizeof *model);
    model->dice = seed;
    model->short_leases = short_leases;
}

static bool is_desk(unsigned consumer)
{
    return consumer % 2 == 1;
}

static void asks(struct model_command *c, unsigned consumer)
{
    c->consumer = (int)consumer;
    (void)snprintf(c->principal, sizeof c->principal, "%s", is_desk(consumer) ? "desk" : "");
}

static bool is_short(const struct model_item *item)
{
    return item->lease_end_ns > 0 && item->lease_end_ns < mlt_clock_wall_ns() + SHORT_NS;
}

static struct model_item *find(struct model *m, const struct model_item *like)
{
    for (size_t i = 0; i < m->count; i++) {
        if (m->items[i].consumer == like->consumer && m->items[i].type == like->type &&
            m->items[i].mask == like->mask) {
            return &m->items[i];
        }
    }
    return NULL;
}

/* Instruments as JSON strings, in their order. */
static void put_instruments(unsigned mask, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    if ((mask & MODEL_ANY) != 0) {
        len += (size_t)snprintf(out, size, "\"*-USDT\"");
    }
    for (unsigned s = 0; s < MODEL_SYMBOLS; s++) {
        if ((mask & 1u << s) != 0) {
            len += (size_t)snprintf(out + len, size - len, "%s\"SYM000%u-USDT\"",
                                    len > 0 ? "," : "", s + 1);
        }
    }
}

static unsigned random_mask(struct model *m)
{
    unsigned mask = 0;
    if (roll(m, 12) == 0) {
        return MODEL_ANY;
    }
    for (uint64_t n = 1 + roll(m, MODEL_INSTRUMENTS_MAX); n > 0; n--) {
        mask |= 1u << roll(m, MODEL_SYMBOLS);
    }
    return mask;
}

/* One whose lease will not end meanwhile; NULL: none. */
static struct model_item *pick(struct model *m)
{
    for (unsigned tries = 0; m->count > 0 && tries < 20; tries++) {
        struct model_item *item = &m->items[roll(m, m->count)];
        if (!is_short(item) && item->id[0] != '\0') {
            return item;
        }
    }
    return NULL;
}

static void refused(struct model_command *c, int code, const char *field)
{
    c->code = code;
    (void)snprintf(c->field, sizeof c->field, "%s", field);
}

static int64_t lease_after(int ttl_s, int64_t otherwise)
{
    return ttl_s > 0 ? MODEL_LEASE_LEARN : otherwise;
}

/* ---- quotas of desk ---- */

struct held {
    unsigned subscriptions, streams, matches;
};

static void hold(struct held *held, unsigned mask)
{
    const unsigned any = (mask & MODEL_ANY) != 0 ? MODEL_SYMBOLS : 0;
    held->subscriptions++;
    held->matches += any;
    held->streams += any + (unsigned)__builtin_popcount(mask & (MODEL_ANY - 1));
}

/* The member at fault where desk may not hold one more with that mask; NULL: it may. */
static const char *over_quota(const struct model *m, unsigned mask,
                              const struct model_item *replaced, bool with_short)
{
    struct held held = { 0, 0, 0 };
    const struct model_item *item = m->items;
    for (; item < m->items + m->count; item++) {
        if (is_desk(item->consumer) && item != replaced && (with_short || !is_short(item))) {
            hold(&held, item->mask);
        }
    }
    if (held.subscriptions + 1 > MODEL_DESK_SUBSCRIPTIONS) {
        return "";
    }
    hold(&held, mask);
    return ((mask & MODEL_ANY) != 0 && held.matches > MODEL_DESK_MATCHES) ||
                   held.streams > MODEL_DESK_STREAMS
               ? "instruments"
               : NULL;
}

/* ---- commands; false: it would be a matter of luck what comes of it ---- */

/* Refuses it where the quota does. */
static bool check_quota(const struct model *m, struct model_command *c,
                        const struct model_item *want, const struct model_item *replaced)
{
    if (m->wide || !is_desk(want->consumer)) {
        return true;
    }
    const char *now = over_quota(m, want->mask, replaced, true);
    const char *soon = over_quota(m, want->mask, replaced, false);
    if (now != NULL) {
        refused(c, 429, now);
    }
    return (now == NULL) == (soon == NULL) && (now == NULL || strcmp(now, soon) == 0);
}

static bool subscribe(struct model *m, struct model_command *c)
{
    char instruments[160], lease[32] = "";
    const struct model_item want = { .consumer = (unsigned)roll(m, MODEL_CONSUMERS),
                                     .type = (unsigned)roll(m, MODEL_TYPES),
                                     .mask = random_mask(m) };
    const uint64_t kind = roll(m, 10);
    const int ttl_s = kind < 6 ? 0 : kind < 8 || !m->short_leases ? 3600 : 1 + (int)roll(m, 3);
    const struct model_item *there = find(m, &want);
    size_t own = 0, own_short = 0;
    for (size_t i = 0; i < m->count; i++) {
        own += m->items[i].consumer == want.consumer;
        own_short += m->items[i].consumer == want.consumer && is_short(&m->items[i]);
    }
    if ((there != NULL && is_short(there)) ||
        (own >= MODEL_SUBSCRIPTIONS_MAX && own - own_short < MODEL_SUBSCRIPTIONS_MAX)) {
        return false;
    }
    if (ttl_s > 0) {
        (void)snprintf(lease, sizeof lease, ",\"ttl_s\":%d", ttl_s);
    }
    put_instruments(want.mask, instruments, sizeof instruments);
    asks(c, want.consumer);
    (void)snprintf(c->verb, sizeof c->verb, "subscribe");
    (void)snprintf(c->body, sizeof c->body,
                   "{\"consumer\":\"c%u\",\"type\":\"%s\",\"instruments\":[%s]%s,\"id\":\"r%u\"}",
                   want.consumer, types[want.type], instruments, lease, m->next_request++);
    if (is_desk(want.consumer) && want.type == 2) {
        refused(c, 403, "type");
        return true;
    }
    if (there == NULL && own >= MODEL_SUBSCRIPTIONS_MAX) {
        refused(c, 429, "consumer");
        return true;
    }
    if (there == NULL && !check_quota(m, c, &want, NULL)) {
        return false;
    }
    if (c->code != 0) {
        return true;
    }
    c->begins = true;
    c->next = there != NULL ? *there : want;
    c->unchanged = there != NULL && ttl_s == 0;
    c->lease_end_ns = lease_after(ttl_s, there != NULL ? there->lease_end_ns : 0);
    c->can_repeat = ttl_s == 0 || ttl_s >= 3600;
    return true;
}

enum { OWN, OF_ANOTHER, BY_OPS };

static bool unsubscribe(struct model *m, struct model_command *c, int how)
{
    const struct model_item *item = pick(m);
    if (item == NULL) {
        return false;
    }
    char instruments[160];
    /* A consumer of the same name is another one where another principal asks. */
    const unsigned who =
        how == OF_ANOTHER ? (item->consumer + 1) % MODEL_CONSUMERS : item->consumer;
    put_instruments(item->mask, instruments, sizeof instruments);
    asks(c, item->consumer);
    if (how == OF_ANOTHER && roll(m, 2) == 0) {
        asks(c, who);
    }
    if (how == BY_OPS) {
        (void)snprintf(c->principal, sizeof c->principal, "ops");
    }
    (void)snprintf(c->verb, sizeof c->verb, "unsubscribe");
    if (how == OWN && roll(m, 2) == 0) {
        (void)snprintf(c->body, sizeof c->body,
                       "{\"consumer\":\"c%u\",\"type\":\"%s\",\"instruments\":[%s],\"id\":\"r%u\"}",
                       who, types[item->type], instruments, m->next_request++);
    } else {
        (void)snprintf(c->body, sizeof c->body,
                       "{\"consumer\":\"c%u\",\"subscription\":\"%s\",\"id\":\"r%u\"}", who,
                       item->id, m->next_request++);
    }
    if (how == OF_ANOTHER) {
        refused(c, 404, "subscription");
        return true;
    }
    c->ends = true;
    c->old = *item;
    c->can_repeat = true;
    return true;
}

static bool update(struct model *m, struct model_command *c)
{
    char instruments[160];
    const struct model_item *item = pick(m);
    if (item == NULL) {
        return false;
    }
    struct model_item want = *item;
    want.mask = random_mask(m);
    want.id[0] = '\0';
    const struct model_item *there = find(m, &want);
    if (there != NULL && is_short(there)) {
        return false;
    }
    put_instruments(want.mask, instruments, sizeof instruments);
    (void)snprintf(c->verb, sizeof c->verb, "update");
    (void)snprintf(
        c->body, sizeof c->body,
        "{\"consumer\":\"c%u\",\"subscription\":\"%s\",\"instruments\":[%s],\"id\":\"r%u\"}",
        item->consumer, item->id, instruments, m->next_request++);
    asks(c, item->consumer);
    if (there == NULL && !check_quota(m, c, &want, item)) {
        return false;
    }
    if (c->code != 0) {
        return true;
    }
    c->begins = true;
    c->next = there != NULL ? *there : want;
    c->ends = there != item;
    c->old = *item;
    c->unchanged = there == item;
    c->lease_end_ns = there != NULL ? there->lease_end_ns : item->lease_end_ns;
    c->can_repeat = true;
    return true;
}

static bool renew(struct model *m, struct model_command *c)
{
    const struct model_item *item = pick(m);
    if (item == NULL) {
        return false;
    }
    const int ttl_s = m->short_leases && roll(m, 4) == 0 ? 1 : 3600 + (int)roll(m, 1000);
    (void)snprintf(c->verb, sizeof c->verb, "renew");
    (void)snprintf(c->body, sizeof c->body,
                   "{\"consumer\":\"c%u\",\"subscription\":\"%s\",\"ttl_s\":%d,\"id\":\"r%u\"}",
                   item->consumer, item->id, ttl_s, m->next_request++);
    asks(c, item->consumer);
    c->begins = true;
    c->next = *item;
    c->lease_end_ns = MODEL_LEASE_LEARN;
    c->can_repeat = ttl_s >= 3600;
    return true;
}

static bool wrong(struct model *m, struct model_command *c)
{
    static const struct {
        const char *verb, *body;
        int code;
        const char *field;
    } all[] = {
        { "subscribe", "{\"consumer\":\"c1\",\"type\":\"TRADE\"", 400, "" },
        { "subscribe", "nothing", 400, "" },
        { "update", "", 400, "" },
        { "renew", "[1,2]", 400, "" },
        { "subscribe", "{\"consumer\":\"c1\",\"type\":\"TRADE\",\"instruments\":[]}", 400,
          "instruments" },
        { "subscribe",
          "{\"consumer\":\"c 1\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"]}", 400,
          "consumer" },
        { "subscribe",
          "{\"consumer\":\"c1\",\"type\":\"QUOTE\",\"instruments\":[\"SYM0001-USDT\"]}", 400,
          "type" },
        { "subscribe",
          "{\"consumer\":\"c1\",\"type\":\"KLINE\",\"instruments\":[\"SYM0001-USDT\"]}", 404,
          "type" },
        { "subscribe", "{\"consumer\":\"c1\",\"type\":\"TRADE\",\"instruments\":[\"NO-SUCH\"]}",
          404, "instruments[0]" },
        { "subscribe",
          "{\"consumer\":\"c1\",\"type\":\"BBO\",\"instruments\":[\"SYM0001-USDT\",\"NO-*\"]}", 404,
          "instruments[1]" },
        { "subscribe",
          "{\"consumer\":\"c1\",\"type\":\"BBO\",\"instruments\":[\"SYM0001-USDT\","
          "\"SYM0002-USDT\",\"SYM0003-USDT\",\"SYM0004-USDT\"]}",
          429, "instruments" },
        { "subscribe",
          "{\"consumer\":\"c1\",\"type\":\"TRADE\",\"instruments\":[\"SYM0001-USDT\"],"
          "\"throttle_ms\":9}",
          400, "throttle_ms" },
        { "unsubscribe", "{\"consumer\":\"c1\",\"subscription\":\"s00\"}", 404, "subscription" },
        { "unsubscribe", "{\"consumer\":\"c1\"}", 400, "subscription" },
        { "renew", "{\"consumer\":\"c1\",\"subscription\":\"s00\",\"ttl_s\":1.5}", 400, "ttl_s" },
        { "update", "{\"consumer\":\"c1\",\"subscription\":\"s00\"}", 400, "instruments" },
    };
    const size_t i = roll(m, sizeof all / sizeof all[0]);
    c->consumer = -1;
    (void)snprintf(c->verb, sizeof c->verb, "%s", all[i].verb);
    (void)snprintf(c->body, sizeof c->body, "%s", all[i].body);
    refused(c, all[i].code, all[i].field);
    return true;
}

/* What a principal may not do, though the command is good; also with a subscription that is there.
 */
static bool forbidden(struct model *m, struct model_command *c)
{
#define DEMAND(type, instruments)                                                                  \
    "{\"consumer\":\"c3\",\"type\":\"" type "\",\"instruments\":[" instruments "]}"
    static const struct {
        const char *principal, *verb, *body; /* NULL: names one that is there */
        int code;
        const char *field;
    } all[] = {
        { "eve", "subscribe", DEMAND("TRADE", "\"SYM0001-USDT\""), 403, "" },
        { "eve", "unsubscribe", NULL, 403, "" },
        { "eve", "renew", "no JSON", 403, "" },
        { "desk", "subscribe", DEMAND("TICKER", "\"SYM0002-USDT\""), 403, "type" },
        { "desk", "subscribe", DEMAND("BBO", "\"SYM0002-USDT\",\"SYM0002-*\""), 403,
          "instruments[1]" },
        { "nobody", "subscribe", DEMAND("TRADE", "\"SYM0001-USDT\""), 403, "principal" },
        { "nobody", "unsubscribe", NULL, 403, "principal" },
        { "nobody", "list", "", 403, "principal" },
        { "no!body", "subscribe", DEMAND("TRADE", "\"SYM0001-USDT\""), 400, "principal" },
    };
#undef DEMAND
    const size_t i = roll(m, sizeof all / sizeof all[0]);
    const struct model_item *item = pick(m);
    if (all[i].body == NULL && item == NULL) {
        return false;
    }
    c->consumer = -1;
    (void)snprintf(c->principal, sizeof c->principal, "%s", all[i].principal);
    (void)snprintf(c->verb, sizeof c->verb, "%s", all[i].verb);
    if (all[i].body != NULL) {
        (void)snprintf(c->body, sizeof c->body, "%s", all[i].body);
    } else {
        (void)snprintf(c->body, sizeof c->body, "{\"consumer\":\"c%u\",\"subscription\":\"%s\"}",
                       item->consumer, item->id);
    }
    refused(c, all[i].code, all[i].field);
    return true;
}

void model_command(struct model *model, struct model_command *out)
{
    bool made = false;
    while (!made) {
        memset(out, 0, sizeof *out);
        const uint64_t kind = roll(model, 24);
        made = kind < 9    ? subscribe(model, out)
               : kind < 12 ? unsubscribe(model, out, OWN)
               : kind < 13 ? unsubscribe(model, out, OF_ANOTHER)
               : kind < 14 ? unsubscribe(model, out, BY_OPS)
               : kind < 16 ? update(model, out)
               : kind < 18 ? renew(model, out)
               : kind < 21 ? forbidden(model, out)
                           : wrong(model, out);
    }
}

void model_repeat(const struct model_command *done, struct model_command *out)
{
    *out = *done;
    out->can_repeat = false;
    out->begins = out->ends = false;
    if (done->code == 0 && done->ends) {
        refused(out, 404, "subscription"); /* what it named is gone */
    } else if (done->code == 0) {
        out->unchanged = true;
    }
}

void model_apply(struct model *model, const struct model_command *command, const cJSON *answer)
{
    if (command->ends) {
        struct model_item *old = find(model, &command->old);
        assert_non_null(old);
        *old = model->items[--model->count];
    }
    if (!command->begins) {
        return;
    }
    struct model_item *item = find(model, &command->next);
    if (item == NULL) {
        assert_true(model->count < sizeof model->items / sizeof model->items[0]);
        item = &model->items[model->count++];
        *item = command->next;
    }
    item->lease_end_ns = command->lease_end_ns;
    if (answer == NULL) { /* the list will tell */
        item->id[0] = '\0';
        item->lease_end_ns = MODEL_LEASE_LEARN;
        return;
    }
    const char *lease = rig_text(answer, "lease_end_ns");
    if (item->id[0] != '\0') { /* the same demand has the same id, for ever */
        assert_string_equal(item->id, rig_text(answer, "subscription"));
    }
    (void)snprintf(item->id, sizeof item->id, "%s", rig_text(answer, "subscription"));
    item->lease_end_ns = strtoll(lease, NULL, 10);
}

/* ---- comparing ---- */

static unsigned mask_of(const cJSON *instruments)
{
    unsigned mask = 0;
    const cJSON *one = instruments != NULL ? instruments->child : NULL;
    for (; one != NULL; one = one->next) {
        const char *name = cJSON_IsString(one) ? one->valuestring : "";
        mask |= strcmp(name, "*-USDT") == 0 ? MODEL_ANY : 1u << (strtoul(name + 3, NULL, 10) - 1);
    }
    return mask;
}

static bool parse_listed(const cJSON *one, struct model_item *out)
{
    memset(out, 0, sizeof *out);
    out->consumer = (unsigned)strtoul(rig_text(one, "consumer") + 1, NULL, 10);
    while (out->type < MODEL_TYPES && strcmp(types[out->type], rig_text(one, "type")) != 0) {
        out->type++;
    }
    out->mask = mask_of(cJSON_GetObjectItemCaseSensitive(one, "instruments"));
    out->lease_end_ns = strtoll(rig_text(one, "lease_end_ns"), NULL, 10);
    (void)snprintf(out->id, sizeof out->id, "%s", rig_text(one, "subscription"));
    return out->type < MODEL_TYPES &&
           strcmp(rig_text(one, "principal"), is_desk(out->consumer) ? "desk" : "local") == 0;
}

/* What is wrong with one that is listed; NULL: nothing, and the model has learned what it may. */
static const char *compare_one(struct model *model, const cJSON *one, bool *listed, int64_t over_ns)
{
    struct model_item there;
    struct model_item *item = parse_listed(one, &there) ? find(model, &there) : NULL;
    if (item == NULL) {
        return "listed and not in the model";
    }
    if (listed[item - model->items]) {
        return "listed twice";
    }
    listed[item - model->items] = true;
    if (item->id[0] == '\0') {
        (void)snprintf(item->id, sizeof item->id, "%s", there.id);
    }
    if (item->lease_end_ns == MODEL_LEASE_LEARN) {
        item->lease_end_ns = there.lease_end_ns;
    }
    return strcmp(item->id, there.id) != 0                           ? "has another id"
           : item->lease_end_ns != there.lease_end_ns                ? "has another lease"
           : item->lease_end_ns != 0 && item->lease_end_ns < over_ns ? "its lease is over"
                                                                     : NULL;
}

bool model_matches(struct model *model, struct rig *rig, int grace_s, char *why)
{
    bool listed[sizeof model->items / sizeof model->items[0]] = { false };
    struct said s = rig_ask_as(rig, "ops", "list", "{\"limit\":1000}");
    const int64_t now_ns = mlt_clock_wall_ns();
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(s.json, "subscriptions");
    why[0] = '\0';
    if (list == NULL) {
        (void)snprintf(why, 200, "no list: %s", rig_text(s.json, "message"));
    }
    for (const cJSON *one = list != NULL ? list->child : NULL; one != NULL && why[0] == '\0';
         one = one->next) {
        const char *wrong = compare_one(model, one, listed, now_ns - grace_s * MLT_NS_PER_S);
        if (wrong != NULL) {
            (void)snprintf(why, 200, "%s of %s: %s", rig_text(one, "subscription"),
                           rig_text(one, "consumer"), wrong);
        }
    }
    cJSON_Delete(s.json);
    for (size_t i = model->count; i-- > 0 && why[0] == '\0';) {
        const struct model_item *item = &model->items[i];
        if (listed[i]) {
            continue;
        }
        if (item->lease_end_ns <= 0 || item->lease_end_ns > now_ns) {
            (void)snprintf(why, 200, "%s of c%u, type %u, mask %x: not listed", item->id,
                           item->consumer, item->type, item->mask);
            break;
        }
        model->items[i] = model->items[--model->count];
        model->expired++;
    }
    return why[0] == '\0';
}

void model_compare(struct model *model, struct rig *rig, int grace_s)
{
    char why[200];
    if (!model_matches(model, rig, grace_s, why)) {
        fail_msg("%s", why);
    }
}

bool model_native(struct model *model, struct rig *rig, bool exactly, char *why, size_t size)
{
    bool must[MODEL_TYPES][MODEL_SYMBOLS] = { { false } }, may[MODEL_TYPES][MODEL_SYMBOLS];
    memset(may, 0, sizeof may);
    for (size_t i = 0; i < model->count; i++) {
        const struct model_item *item = &model->items[i];
        for (unsigned s = 0; s < MODEL_SYMBOLS; s++) {
            const bool wants = (item->mask & (MODEL_ANY | 1u << s)) != 0;
            must[item->type][s] = must[item->type][s] || (wants && !is_short(item));
            may[item->type][s] = may[item->type][s] || wants;
        }
    }
    const cJSON *streams = NULL;
    cJSON *tree = rig_exchange(rig, &streams);
    bool good = true;
    for (unsigned t = 0; t < MODEL_TYPES; t++) {
        for (unsigned s = 0; s < MODEL_SYMBOLS; s++) {
            char name[64];
            (void)snprintf(name, sizeof name, "sym000%uusdt@%s", s + 1, topics[t]);
            const cJSON *stream = cJSON_GetObjectItemCaseSensitive(streams, name);
            const int lines = stream != NULL ? rig_number(stream, "lines") : 0;
            if ((must[t][s] && lines != 1) || lines > 1 || (exactly && !may[t][s] && lines > 0)) {
                (void)snprintf(why, size, "%s on %d lines, wanted: %d", name, lines, must[t][s]);
                good = false;
            }
        }
    }
    cJSON_Delete(tree);
    return good;
}
