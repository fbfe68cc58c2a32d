#include "topics.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/check.h"

#define INSTRUMENTS_MAX 32768u
#define PLACEHOLDER "{symbol}"

void mlt_topics_init(struct mlt_topics *topics, uint32_t partitions)
{
    MLT_CHECK(partitions >= 1 && partitions <= MLT_SLOT_COUNT);
    *topics = (struct mlt_topics){ .partitions = partitions };
    mlt_map_init(&topics->by_name, MLT_TOPICS_MAX);
    mlt_map_init(&topics->instruments, INSTRUMENTS_MAX);
}

static void topic_free(struct mlt_topic *topic)
{
    free(topic->name);
    free(topic);
}

void mlt_topics_fini(struct mlt_topics *topics)
{
    for (size_t i = 0; i < topics->count; i++) {
        topic_free(topics->items[i]);
    }
    size_t position = 0;
    const struct mlt_map_entry *entry;
    while ((entry = mlt_map_next(&topics->instruments, &position)) != NULL) {
        struct mlt_topic_instrument *instrument = entry->value;
        free(instrument->token);
        free(instrument);
    }
    free(topics->items);
    mlt_map_fini(&topics->by_name);
    mlt_map_fini(&topics->instruments);
    *topics = (struct mlt_topics){ 0 };
}

enum mlt_status mlt_topic_expand(const char *template_text, const char *symbol, char *out,
                                 size_t size, bool *has_symbol)
{
    const char *at = strstr(template_text, PLACEHOLDER);
    *has_symbol = at != NULL;
    const size_t head = at != NULL ? (size_t)(at - template_text) : strlen(template_text);
    const char *tail = at != NULL ? at + sizeof PLACEHOLDER - 1 : "";
    if (memchr(template_text, '{', head) != NULL || memchr(template_text, '}', head) != NULL ||
        strpbrk(tail, "{}") != NULL) {
        return MLT_E_INVALID;
    }
    const int len =
        snprintf(out, size, "%.*s%s%s", (int)head, template_text, at != NULL ? symbol : "", tail);
    return len >= 0 && (size_t)len < size ? MLT_OK : MLT_E_TOO_BIG;
}

struct mlt_topic *mlt_topics_find(const struct mlt_topics *topics, struct mlt_slice name)
{
    return mlt_map_get(&topics->by_name, name);
}

bool mlt_topic_set(struct mlt_topic *topic, enum mlt_topic_state state, const char *reason)
{
    char text[MLT_TOPIC_REASON_BYTES_MAX];
    (void)snprintf(text, sizeof text, "%s", reason != NULL ? reason : "");
    if (topic->state == state && strcmp(topic->reason, text) == 0) {
        return false;
    }
    topic->state = state;
    memcpy(topic->reason, text, sizeof text);
    return true;
}

void mlt_topic_regain(struct mlt_topic *topic)
{
    bool doubted = false, sure = false;
    for (unsigned k = 0; k < MLT_TOPIC_SEATS; k++) {
        struct mlt_seat *seat = &topic->seats[k];
        const bool unanswered = seat->state == MLT_SEAT_ON && seat->failed; /* only so it is both */
        if (k % 2 == 0) {
            doubted = doubted || unanswered || seat->state == MLT_SEAT_UNSUBSCRIBING;
            sure = sure || (seat->state == MLT_SEAT_ON && !seat->failed && !seat->again);
        }
        if (unanswered) {
            seat->again = true;
            seat->failed = false;
            seat->retry_at_ns = 0;
        }
    }
    if (doubted && !sure) {
        topic->seen = false;
        topic->reminded = 0;
        (void)mlt_topic_set(topic, MLT_TOPIC_PENDING, "unsubscribing");
    }
}

/* Instruments are never freed: they remember that their source is down over a time without topics.
 */
static struct mlt_topic_instrument *instrument_of(struct mlt_topics *topics, const char *token)
{
    const struct mlt_slice key = mlt_slice_of_string(token);
    struct mlt_topic_instrument *instrument = mlt_map_get(&topics->instruments, key);
    if (instrument != NULL) {
        return instrument;
    }
    instrument = calloc(1, sizeof *instrument);
    if (instrument == NULL) {
        return NULL;
    }
    instrument->token = strdup(token);
    instrument->partition = mlt_instrument_slot(key) % topics->partitions;
    instrument->line[0] = instrument->line[1] = MLT_LINE_NONE;
    if (instrument->token == NULL || mlt_map_put(&topics->instruments, key, instrument) != MLT_OK) {
        free(instrument->token);
        free(instrument);
        return NULL;
    }
    return instrument;
}

static enum mlt_status room_for_one(struct mlt_topics *topics)
{
    if (topics->count < topics->capacity) {
        return MLT_OK;
    }
    if (topics->count >= MLT_TOPICS_MAX) {
        return MLT_E_LIMIT;
    }
    const size_t capacity = topics->capacity == 0 ? 64 : topics->capacity * 2;
    struct mlt_topic **items = realloc(topics->items, capacity * sizeof(struct mlt_topic *));
    if (items == NULL) {
        return MLT_E_NOMEM;
    }
    topics->items = items;
    topics->capacity = capacity;
    return MLT_OK;
}

static enum mlt_status topic_make(struct mlt_topics *topics, const char *name,
                                  struct mlt_topic **out)
{
    enum mlt_status status = room_for_one(topics);
    struct mlt_topic *topic = status == MLT_OK ? calloc(1, sizeof *topic) : NULL;
    if (topic == NULL) {
        return status == MLT_OK ? MLT_E_NOMEM : status;
    }
    topic->name = strdup(name);
    status = topic->name == NULL ? MLT_E_NOMEM
                                 : mlt_map_put(&topics->by_name, mlt_slice_of_string(name), topic);
    if (status != MLT_OK) {
        topic_free(topic);
        return status;
    }
    for (unsigned k = 0; k < MLT_TOPIC_SEATS; k++) {
        topic->seats[k].line = MLT_LINE_NONE;
    }
    topic->index = topics->count;
    topics->items[topics->count++] = topic;
    *out = topic;
    return MLT_OK;
}

/* Listings that send nothing (spot glossary): BREAK. HALT and CANCEL_ONLY still have data. */
static bool halted(const struct mlt_binance_symbol *symbol)
{
    return symbol != NULL && strcmp(symbol->status, "BREAK") == 0;
}

static enum mlt_status want(struct mlt_topics *topics, const char *name, const char *token,
                            uint32_t route, uint32_t partition,
                            const struct mlt_binance_symbol *symbol, bool unlisted)
{
    struct mlt_topic *topic = mlt_topics_find(topics, mlt_slice_of_string(name));
    if (topic == NULL) {
        const enum mlt_status status = topic_make(topics, name, &topic);
        if (status != MLT_OK) {
            return status;
        }
    }
    if (token != NULL && topic->instrument == NULL) {
        topic->instrument = instrument_of(topics, token);
        if (topic->instrument == NULL) {
            return MLT_E_NOMEM;
        }
    }
    topic->wanted_by |= UINT64_C(1) << partition;
    if (topic->pass != topics->pass) { /* two routes on one stream: the first one names it */
        topic->pass = topics->pass;
        topic->route = route;
    }
    if (unlisted && !topic->unlisted) {
        topic->unlisted_ns = topics->now_ns;
        topics->unproven = true;
    }
    topic->unlisted = unlisted;
    topic->halted = halted(symbol);
    if (unlisted) {
        (void)mlt_topic_set(topic, MLT_TOPIC_FAILED, "unknown_symbol");
    } else {
        mlt_topic_regain(topic);
    }
    return MLT_OK;
}

static enum mlt_status want_route(struct mlt_topics *topics, const Meltica__V1__PlanRoute *route,
                                  uint32_t partition, const struct mlt_binance_symbols *symbols)
{
    char name[MLT_TOPIC_NAME_BYTES_MAX + 1];
    bool has_symbol = false;
    enum mlt_status status = mlt_topic_expand(route->ws_topic, "", name, sizeof name, &has_symbol);
    if (status == MLT_OK && !has_symbol) {
        return want(topics, name, NULL, route->route, partition, NULL, false);
    }
    for (size_t i = 0; i < route->n_instruments && status == MLT_OK; i++) {
        const char *token = route->instruments[i];
        const struct mlt_binance_symbol *symbol =
            mlt_binance_symbol_by_token(symbols, mlt_slice_of_string(token));
        if (symbol != NULL) {
            status = mlt_topic_expand(route->ws_topic, symbol->native_lower, name, sizeof name,
                                      &has_symbol);
        } else {
            /* Spaces are in no stream name: this cannot be taken for one. */
            const int len = snprintf(name, sizeof name, "%s %s", route->ws_topic, token);
            status = len > 0 && (size_t)len < sizeof name ? MLT_OK : MLT_E_TOO_BIG;
        }
        if (status == MLT_OK) {
            status = want(topics, name, token, route->route, partition, symbol, symbol == NULL);
        }
    }
    return status;
}

enum mlt_status mlt_topics_apply(struct mlt_topics *topics, const Meltica__V1__NativePlan *plan,
                                 const struct mlt_binance_symbols *symbols)
{
    if (plan->partition >= topics->partitions) {
        return MLT_E_RANGE;
    }
    const uint64_t bit = UINT64_C(1) << plan->partition;
    topics->pass++;
    enum mlt_status status = MLT_OK;
    for (size_t i = 0; i < plan->n_routes && status == MLT_OK; i++) {
        if (plan->routes[i]->ws_topic[0] != '\0') {
            status = want_route(topics, plan->routes[i], plan->partition, symbols);
        }
    }
    /* After a failure nothing is taken away: the plan comes again. By an expanding part only what
     * stands for no stream is: a symbol that was not listed and is now would be told twice. */
    for (size_t i = 0; i < topics->count && status == MLT_OK; i++) {
        struct mlt_topic *topic = topics->items[i];
        if (topic->pass != topics->pass && (!plan->expanding || topic->unlisted)) {
            topic->wanted_by &= ~bit;
        }
    }
    mlt_topics_sweep(topics);
    return status;
}

static bool is_let_go(const struct mlt_topic *topic)
{
    for (unsigned k = 0; k < MLT_TOPIC_SEATS; k++) {
        if (topic->seats[k].state != MLT_SEAT_OFF || mlt_seat_unanswered(&topic->seats[k])) {
            return false;
        }
    }
    return topic->wanted_by == 0;
}

void mlt_topics_sweep(struct mlt_topics *topics)
{
    size_t i = 0;
    while (i < topics->count) {
        struct mlt_topic *topic = topics->items[i];
        if (!is_let_go(topic)) {
            i++;
            continue;
        }
        (void)mlt_map_remove(&topics->by_name, mlt_slice_of_string(topic->name));
        topics->items[i] = topics->items[--topics->count];
        topics->items[i]->index = i;
        topic_free(topic);
    }
}

bool mlt_topics_watch(struct mlt_topics *topics, int64_t before_ns)
{
    bool changed = false;
    for (size_t i = 0; i < topics->count; i++) {
        struct mlt_topic *topic = topics->items[i];
        if (topic->state == MLT_TOPIC_LIVE && !topic->seen &&
            (topic->seats[0].state == MLT_SEAT_ON || topic->seats[2].state == MLT_SEAT_ON) &&
            topic->acked_at_ns < before_ns) {
            changed = mlt_topic_set(topic, MLT_TOPIC_SILENT, "no_message") || changed;
        }
    }
    return changed;
}

void mlt_topic_watch_copies(struct mlt_topic *topic, int64_t now_ns)
{
    topic->watched = mlt_seat_stands(&topic->seats[0]) && mlt_seat_stands(&topic->seats[2]);
    topic->watch_ns = now_ns;
    for (unsigned k = 0; k < MLT_TOPIC_SEATS; k++) {
        topic->seats[k].seen = false;
    }
}

size_t mlt_topics_find_mute(struct mlt_topics *topics, int64_t before_ns)
{
    size_t found = 0;
    for (size_t i = 0; i < topics->count; i++) {
        struct mlt_topic *topic = topics->items[i];
        struct mlt_seat *first = &topic->seats[0], *second = &topic->seats[2];
        if (!topic->watched || topic->watch_ns >= before_ns || first->seen == second->seen) {
            continue;
        }
        struct mlt_seat *mute = first->seen ? second : first;
        found += !mute->mute;
        mute->mute = true;
    }
    return found;
}

size_t mlt_topics_lacking(const struct mlt_topics *topics, uint32_t copies)
{
    size_t count = 0;
    for (size_t i = 0; i < topics->count; i++) {
        const struct mlt_topic *topic = topics->items[i];
        uint32_t stand = 0;
        for (unsigned k = 0; k < MLT_TOPIC_SEATS; k += 2) {
            stand += mlt_seat_stands(&topic->seats[k]) && !topic->seats[k].mute;
        }
        count += mlt_topic_wanted(topic) && !topic->unlisted && topic->state != MLT_TOPIC_FAILED &&
                 stand < copies;
    }
    return count;
}

void mlt_topics_counts(const struct mlt_topics *topics, uint64_t partitions,
                       uint32_t counts[MLT_TOPIC_STATE_COUNT])
{
    memset(counts, 0, MLT_TOPIC_STATE_COUNT * sizeof counts[0]);
    for (size_t i = 0; i < topics->count; i++) {
        if ((topics->items[i]->wanted_by & partitions) != 0) {
            counts[topics->items[i]->state]++;
        }
    }
}

size_t mlt_topics_problems(const struct mlt_topics *topics, uint64_t partitions,
                           struct mlt_topic **out, size_t max)
{
    static const enum mlt_topic_state order[] = { MLT_TOPIC_FAILED, MLT_TOPIC_PENDING,
                                                  MLT_TOPIC_SILENT };
    size_t count = 0;
    for (size_t k = 0; k < sizeof order / sizeof order[0]; k++) {
        for (size_t i = 0; i < topics->count && count < max; i++) {
            struct mlt_topic *topic = topics->items[i];
            if ((topic->wanted_by & partitions) != 0 && topic->state == order[k]) {
                out[count++] = topic;
            }
        }
    }
    return count;
}

void mlt_topics_look(const struct mlt_topics *topics)
{
    for (size_t i = 0; i < topics->count; i++) {
        if (topics->items[i]->instrument != NULL) {
            topics->items[i]->instrument->pending = topics->items[i]->instrument->used = false;
            topics->items[i]->instrument->missing = false;
        }
    }
    for (size_t i = 0; i < topics->count; i++) {
        const struct mlt_topic *topic = topics->items[i];
        struct mlt_topic_instrument *instrument = topic->instrument;
        if (instrument == NULL || !mlt_topic_wanted(topic)) {
            continue;
        }
        const bool stands = mlt_topic_stands(topic);
        instrument->missing = instrument->missing || (!stands && !mlt_topic_barren(topics, topic));
        if (topic->state != MLT_TOPIC_FAILED || mlt_topic_is_tried_again(topic)) {
            instrument->used = true;
            instrument->pending = instrument->pending || !stands || mlt_topic_doubtful(topic);
        }
    }
}

uint64_t mlt_topics_since(const struct mlt_topics *topics, int64_t since_ns[MLT_SLOT_COUNT])
{
    uint64_t missing = 0;
    for (uint32_t p = 0; p < MLT_SLOT_COUNT; p++) {
        since_ns[p] = INT64_MIN;
    }
    mlt_topics_look(topics);
    for (size_t i = 0; i < topics->count; i++) {
        const struct mlt_topic *topic = topics->items[i];
        if (mlt_topic_barren(topics, topic)) {
            continue;
        }
        if (topic->instrument != NULL && topic->instrument->missing) {
            missing |= topic->wanted_by;
            continue;
        }
        const int64_t since = mlt_topic_stands(topic) ? topic->stood_since_ns : INT64_MAX;
        for (uint64_t left = topic->wanted_by; left != 0; left &= left - 1) {
            int64_t *latest = &since_ns[__builtin_ctzll(left)];
            *latest = since > *latest ? since : *latest;
        }
    }
    return missing;
}

const char *mlt_topic_state_word(enum mlt_topic_state state)
{
    static const char *const words[] = { "PENDING", "LIVE", "SILENT", "FAILED" };
    return (unsigned)state < MLT_TOPIC_STATE_COUNT ? words[state] : "PENDING";
}
