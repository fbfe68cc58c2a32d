/* See routing.h. Exact tokens in a map, patterns in a list: nobody has many of those. */
#include "routing.h"

#include <stdlib.h>

#include "meltica/base/map.h"
#include "meltica/v1/internal.pb-c.h"

struct pattern {
    char text[MLT_INSTRUMENT_BYTES_MAX + 1]; /* without the '*' */
    size_t len;
    bool prefix; /* "BASE-*"; else "*-QUOTE"; "*" has len 0 */
    uint32_t types;
};

struct mlt_routing {
    uint64_t revision, boot;
    size_t ignored;
    struct mlt_map exact; /* value: set of types as an integer, never 0 */
    struct pattern *patterns;
    size_t pattern_count, pattern_capacity;
};

static enum mlt_status add_exact(struct mlt_routing *routing, struct mlt_slice token,
                                 uint32_t types)
{
    const uintptr_t known = (uintptr_t)mlt_map_get(&routing->exact, token);
    return mlt_map_put(&routing->exact, token, (void *)(known | (uintptr_t)types));
}

static enum mlt_status add_pattern(struct mlt_routing *routing, struct mlt_slice text, bool prefix,
                                   uint32_t types)
{
    if (routing->pattern_count == routing->pattern_capacity) {
        const size_t capacity = routing->pattern_capacity == 0 ? 16 : routing->pattern_capacity * 2;
        if (capacity > MLT_ROUTING_PATTERNS_MAX) {
            return MLT_E_LIMIT;
        }
        struct pattern *more = realloc(routing->patterns, capacity * sizeof *more);
        if (more == NULL) {
            return MLT_E_NOMEM;
        }
        routing->patterns = more;
        routing->pattern_capacity = capacity;
    }
    struct pattern *pattern = &routing->patterns[routing->pattern_count++];
    memset(pattern, 0, sizeof *pattern);
    if (text.len > 0) {
        memcpy(pattern->text, text.data, text.len);
    }
    pattern->len = text.len;
    pattern->prefix = prefix;
    pattern->types = types;
    return MLT_OK;
}

/* "*", "BASE-*", "*-QUOTE" or a token. */
static enum mlt_status add(struct mlt_routing *routing, const char *text, uint32_t types)
{
    struct mlt_slice s = mlt_slice_of_string(text);
    if (mlt_instrument_token_valid(s)) {
        return add_exact(routing, s, types);
    }
    bool prefix = false;
    if (s.len >= 1 && s.len <= MLT_INSTRUMENT_BYTES_MAX + 1) {
        prefix = s.len > 1 && s.data[s.len - 1] == '*';
        const bool suffix = !prefix && s.data[0] == '*';
        if (suffix) {
            s.data++;
        }
        s.len--;
        /* What is left of a pattern ends, or begins, with the '-' between the assets. */
        if ((suffix && (s.len == 0 || s.data[0] == '-')) || (prefix && s.data[s.len - 1] == '-')) {
            if (s.len == 0 || mlt_instrument_token_valid(s)) {
                return add_pattern(routing, s, prefix, types);
            }
        }
    }
    routing->ignored++;
    return MLT_OK;
}

static enum mlt_status fill(struct mlt_routing *routing, const Meltica__V1__Table *table)
{
    routing->revision = table->revision;
    routing->boot = table->boot;
    for (size_t n = 0; n < table->n_subscriptions; n++) {
        const Meltica__V1__TableSubscription *subscription = table->subscriptions[n];
        const int type = (int)subscription->type;
        if (type <= MLT_EVENT_NONE || type >= MLT_EVENT_TYPE_COUNT) {
            routing->ignored++;
            continue;
        }
        for (size_t i = 0; i < subscription->n_instruments; i++) {
            const enum mlt_status status =
                add(routing, subscription->instruments[i], MLT_TYPE_BIT(type));
            if (status != MLT_OK) {
                return status;
            }
        }
    }
    return MLT_OK;
}

enum mlt_status mlt_routing_decode(struct mlt_slice table, struct mlt_routing **routing)
{
    Meltica__V1__Table *message = meltica__v1__table__unpack(NULL, table.len, table.data);
    if (message == NULL) {
        return MLT_E_PARSE;
    }
    enum mlt_status status = MLT_E_NOMEM;
    struct mlt_routing *r = calloc(1, sizeof *r);
    if (r != NULL) {
        mlt_map_init(&r->exact, MLT_ROUTING_INSTRUMENTS_MAX);
        status = fill(r, message);
    }
    meltica__v1__table__free_unpacked(message, NULL);
    if (status != MLT_OK) {
        mlt_routing_destroy(r);
        return status;
    }
    *routing = r;
    return MLT_OK;
}

void mlt_routing_destroy(struct mlt_routing *routing)
{
    if (routing == NULL) {
        return;
    }
    mlt_map_fini(&routing->exact);
    free(routing->patterns);
    free(routing);
}

uint64_t mlt_routing_revision(const struct mlt_routing *routing)
{
    return routing->revision;
}

uint64_t mlt_routing_boot(const struct mlt_routing *routing)
{
    return routing->boot;
}

size_t mlt_routing_ignored(const struct mlt_routing *routing)
{
    return routing->ignored;
}

static bool matches(const struct pattern *pattern, struct mlt_slice token)
{
    if (token.len < pattern->len) {
        return false;
    }
    const uint8_t *at = pattern->prefix ? token.data : token.data + token.len - pattern->len;
    return memcmp(at, pattern->text, pattern->len) == 0;
}

uint32_t mlt_routing_types(const struct mlt_routing *routing, struct mlt_slice instrument)
{
    uint32_t types = (uint32_t)(uintptr_t)mlt_map_get(&routing->exact, instrument);
    for (size_t i = 0; i < routing->pattern_count; i++) {
        if (matches(&routing->patterns[i], instrument)) {
            types |= routing->patterns[i].types;
        }
    }
    if ((types & MLT_TYPE_BIT(MLT_EVENT_BOOK)) != 0) {
        types |= MLT_TYPE_BIT(MLT_EVENT_BOOK_DELTA);
    }
    if (types != 0) {
        types |= MLT_TYPE_BIT(MLT_EVENT_STATUS) | MLT_TYPE_BIT(MLT_EVENT_INSTRUMENT);
    }
    return types;
}

bool mlt_routing_channel_leaves(uint32_t types, enum mlt_event_type type)
{
    uint32_t any = MLT_TYPE_BIT(type);
    if (type == MLT_EVENT_BOOK_SNAPSHOT) {
        any |= MLT_TYPE_BIT(MLT_EVENT_BOOK_DELTA);
    }
    return (types & any) != 0;
}

bool mlt_routing_leaves(uint32_t types, const struct mlt_event *event)
{
    return (types & MLT_TYPE_BIT(event->type)) != 0 ||
           (event->type == MLT_EVENT_BOOK_SNAPSHOT && event->u.book_snapshot.reset &&
            mlt_routing_channel_leaves(types, event->type));
}
