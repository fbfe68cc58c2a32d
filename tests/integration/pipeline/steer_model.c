#include "mlt_test.h"

#include "steer_model.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"

#define SHORT_NS                                                                                   \
    (10 * MLT_NS_PER_S) /* a lease that ends sooner may end while a command is asked               \
                         */

static const char *const types[MODEL_TYPES] = { "TRADE", "BBO", "TICKER" };
static const char *const topics[MODEL_TYPES] = { "trade", "bookTicker", "ticker" };

static uint64_t roll(struct model *m, uint64_t sides)
{
    return rig_random(&m->dice) % sides;
}

void model_init(struct model *model, uint64_t seed, bool short_leases)
{
    memset(model, 0, sizeof *model);
    model->dice = seed;
    model->short_leases = short_leases;
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

/* ---- commands; false: it would be a matter of luck what comes of it ---- */

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
    (void)snprintf(c->verb, sizeof c->verb, "subscribe");
    (void)snprintf(c->body, sizeof c->body,
                   "{\"consumer\":\"c%u\",\"type\":\"%s\",\"instruments\":[%s]%s,\"id\":\"r%u\"}",
                   want.consumer, types[want.type], instruments, lease, m->next_request++);
    if (there == NULL && own >= MODEL_SUBSCRIPTIONS_MAX) {
        refused(c, 429, "consumer");
        return true;
    }
    c->begins = true;
    c->next = there != NULL ? *there : want;
    c->unchanged = there != NULL && ttl_s == 0;
    c->lease_end_ns = lease_after(ttl_s, there != NULL ? there->lease_end_ns : 0);
    c->can_repeat = ttl_s == 0 || ttl_s >= 3600;
    return true;
}

static bool unsubscribe(struct model *m, struct model_command *c, bool of_another)
{
    const struct model_item *item = pick(m);
    if (item == NULL) {
        return false;
    }
    char instruments[160];
    const unsigned who = of_another ? (item->consumer + 1) % MODEL_CONSUMERS : item->consumer;
    put_instruments(item->mask, instruments, sizeof instruments);
    (void)snprintf(c->verb, sizeof c->verb, "unsubscribe");
    if (!of_another && roll(m, 2) == 0) {
        (void)snprintf(c->body, sizeof c->body,
                       "{\"consumer\":\"c%u\",\"type\":\"%s\",\"instruments\":[%s],\"id\":\"r%u\"}",
                       who, types[item->type], instruments, m->next_request++);
    } else {
        (void)snprintf(c->body, sizeof c->body,
                       "{\"consumer\":\"c%u\",\"subscription\":\"%s\",\"id\":\"r%u\"}", who,
                       item->id, m->next_request++);
    }
    if (of_another) {
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
          "{\"consumer\":\"c1\",\"type\":\"BBO\",\"instruments\":[\"SYM0001-USDT\"],"
          "\"throttle_ms\":9}",
          501, "throttle_ms" },
        { "unsubscribe", "{\"consumer\":\"c1\",\"subscription\":\"s00\"}", 404, "subscription" },
        { "unsubscribe", "{\"consumer\":\"c1\"}", 400, "subscription" },
        { "renew", "{\"consumer\":\"c1\",\"subscription\":\"s00\",\"ttl_s\":1.5}", 400, "ttl_s" },
        { "update", "{\"consumer\":\"c1\",\"subscription\":\"s00\"}", 400, "instruments" },
    };
    const size_t i = roll(m, sizeof all / sizeof all[0]);
    (void)snprintf(c->verb, sizeof c->verb, "%s", all[i].verb);
    (void)snprintf(c->body, sizeof c->body, "%s", all[i].body);
    refused(c, all[i].code, all[i].field);
    return true;
}

void model_command(struct model *model, struct model_command *out)
{
    bool made = false;
    while (!made) {
        memset(out, 0, sizeof *out);
        const uint64_t kind = roll(model, 20);
        made = kind < 9    ? subscribe(model, out)
               : kind < 12 ? unsubscribe(model, out, false)
               : kind < 13 ? unsubscribe(model, out, true)
               : kind < 15 ? update(model, out)
               : kind < 17 ? renew(model, out)
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
    return out->type < MODEL_TYPES;
}

void model_compare(struct model *model, struct rig *rig, int grace_s)
{
    bool listed[sizeof model->items / sizeof model->items[0]] = { false };
    struct said s = rig_ask(rig, "list", "{\"limit\":1000}");
    const int64_t now_ns = mlt_clock_wall_ns();
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(s.json, "subscriptions");
    const cJSON *one = list != NULL ? list->child : NULL;
    for (; one != NULL; one = one->next) {
        struct model_item there;
        struct model_item *item = parse_listed(one, &there) ? find(model, &there) : NULL;
        if (item == NULL || listed[item - model->items]) {
            rig_fail(&s, item == NULL ? "listed and not in the model" : "listed twice");
            return;
        }
        listed[item - model->items] = true;
        if (item->id[0] == '\0') {
            (void)snprintf(item->id, sizeof item->id, "%s", there.id);
        }
        if (item->lease_end_ns == MODEL_LEASE_LEARN) {
            item->lease_end_ns = there.lease_end_ns;
        }
        assert_string_equal(item->id, there.id);
        if (item->lease_end_ns != there.lease_end_ns) {
            rig_fail(&s, item->id);
        }
        if (item->lease_end_ns != 0 && item->lease_end_ns + grace_s * MLT_NS_PER_S < now_ns) {
            rig_fail(&s, "a lease is over and it is still there");
        }
    }
    for (size_t i = model->count; i-- > 0;) {
        if (listed[i]) {
            continue;
        }
        if (model->items[i].lease_end_ns == 0 || model->items[i].lease_end_ns > now_ns) {
            rig_fail(&s, model->items[i].id);
        }
        model->items[i] = model->items[--model->count];
        model->expired++;
    }
    cJSON_Delete(s.json);
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
