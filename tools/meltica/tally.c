#include "tally.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "meltica/base/map.h"

#define INSTRUMENTS_MAX 16384u
#define ENCODED_BYTES_MAX (4u << 20)

struct channel {
    uint64_t events, epoch, first_sequence, last_sequence;
    uint64_t head_epoch, head_sequence; /* as the last HEADS named them */
    int64_t first_id, last_id;
    EVP_MD_CTX *hash; /* source-derived types only */
};

struct instrument {
    char token[MLT_INSTRUMENT_BYTES_MAX + 1];
    struct channel channels[MLT_EVENT_TYPE_COUNT];
    struct mlt_decimal_sum quantity, notional;
    bool has_trades;
};

struct mlt_tally {
    struct mlt_map map;
    struct mlt_buf encoded;
    struct mlt_tally_totals totals;
};

/* What the exchange said, so that it must come out alike in every run. */
static bool source_derived(enum mlt_event_type type)
{
    return type >= MLT_EVENT_TICKER && type <= MLT_EVENT_BOOK_DELTA;
}

static bool has_contiguous_ids(enum mlt_event_type type)
{
    return type == MLT_EVENT_TRADE || type == MLT_EVENT_AGG_TRADE || type == MLT_EVENT_BOOK_DELTA;
}

enum mlt_status mlt_tally_create(struct mlt_tally **tally)
{
    struct mlt_tally *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return MLT_E_NOMEM;
    }
    mlt_map_init(&t->map, INSTRUMENTS_MAX);
    mlt_buf_init(&t->encoded, ENCODED_BYTES_MAX);
    *tally = t;
    return MLT_OK;
}

void mlt_tally_destroy(struct mlt_tally *tally)
{
    if (tally == NULL) {
        return;
    }
    size_t position = 0;
    const struct mlt_map_entry *entry;
    while ((entry = mlt_map_next(&tally->map, &position)) != NULL) {
        struct instrument *i = entry->value;
        for (size_t t = 0; t < MLT_EVENT_TYPE_COUNT; t++) {
            EVP_MD_CTX_free(i->channels[t].hash);
        }
        free(i);
    }
    mlt_map_fini(&tally->map);
    mlt_buf_fini(&tally->encoded);
    free(tally);
}

static enum mlt_status instrument_of(struct mlt_tally *tally, struct mlt_slice token,
                                     struct instrument **out)
{
    *out = mlt_map_get(&tally->map, token);
    if (*out != NULL) {
        return MLT_OK;
    }
    struct instrument *i = calloc(1, sizeof *i);
    if (i == NULL) {
        return MLT_E_NOMEM;
    }
    memcpy(i->token, token.data,
           token.len); /* a decoded token is at most MLT_INSTRUMENT_BYTES_MAX long */
    const enum mlt_status status = mlt_map_put(&tally->map, token, i);
    if (status != MLT_OK) {
        free(i);
        return status;
    }
    *out = i;
    return MLT_OK;
}

/* The event's encoding without what numbering and timing added, and without the digest: whether a
 * delta has one depends on when the book was LIVE. */
static enum mlt_status hash_event(struct mlt_tally *tally, struct channel *channel,
                                  const struct mlt_event *event)
{
    if (channel->hash == NULL) {
        channel->hash = EVP_MD_CTX_new();
        if (channel->hash == NULL || EVP_DigestInit_ex(channel->hash, EVP_sha256(), NULL) != 1) {
            return MLT_E_NOMEM;
        }
    }
    struct mlt_event bare = *event;
    bare.epoch = bare.sequence = bare.route_revision = bare.lane_previous = bare.throttled_ns = 0;
    bare.quality = bare.merged = bare.route = bare.trace_flags = 0;
    if (bare.type == MLT_EVENT_BOOK_DELTA) {
        bare.u.book_delta.digest = bare.u.book_delta.digest_version = 0;
    }
    memset(bare.trace_id, 0, sizeof bare.trace_id);
    bare.stamps = (struct mlt_stamps){ 0,
                                       MLT_STAMP_UNKNOWN,
                                       MLT_STAMP_UNKNOWN,
                                       MLT_STAMP_UNKNOWN,
                                       MLT_STAMP_UNKNOWN,
                                       MLT_STAMP_UNKNOWN };
    const size_t size = mlt_event_encoded_size(&bare);
    mlt_buf_clear(&tally->encoded);
    const enum mlt_status status = mlt_buf_reserve(&tally->encoded, size);
    if (status != MLT_OK) {
        return status;
    }
    (void)mlt_event_encode(&bare, tally->encoded.data);
    return EVP_DigestUpdate(channel->hash, tally->encoded.data, size) == 1 ? MLT_OK
                                                                           : MLT_E_INTERNAL;
}

/* False for a repeat: docs/wire-format.md has consumers ignore what is not greater. */
static bool check_sequence(struct mlt_tally *tally, struct channel *channel,
                           const struct mlt_event *event)
{
    if (channel->events == 0) {
        channel->first_sequence = event->sequence;
    } else if (event->epoch < channel->epoch ||
               (event->epoch == channel->epoch && event->sequence <= channel->last_sequence)) {
        tally->totals.duplicates++;
        return false;
    }
    const uint64_t before =
        channel->events > 0 && event->epoch == channel->epoch ? channel->last_sequence : 0;
    tally->totals.sequence_holes += event->sequence - before - 1;
    channel->epoch = event->epoch;
    channel->last_sequence = event->sequence;
    return true;
}

static void take_heads(struct instrument *i, const struct mlt_event *event)
{
    for (size_t h = 0; h < event->u.status.head_count; h++) {
        const struct mlt_head *head = &event->u.status.heads[h];
        if (head->type > MLT_EVENT_NONE && head->type < MLT_EVENT_TYPE_COUNT) {
            i->channels[head->type].head_epoch = event->epoch;
            i->channels[head->type].head_sequence = head->sequence;
        }
    }
}

/* What a head names and the channel did not get. */
static uint64_t missing_below(const struct channel *c, uint64_t epoch, uint64_t sequence)
{
    if (c->events == 0 || c->epoch < epoch) {
        return sequence; /* nothing of that epoch */
    }
    return c->epoch == epoch && sequence > c->last_sequence ? sequence - c->last_sequence : 0;
}

/* EPOCH_STARTED names where the epoch before ended: what is missing there is found now or never.
 * One that names another epoch than the last one seen leaves that one's end unknown. */
static void end_epoch(struct mlt_tally *tally, struct instrument *i, const struct mlt_event *event)
{
    const struct mlt_status_event *status = &event->u.status;
    uint64_t last_epoch = 0;
    for (size_t t = 0; t < MLT_EVENT_TYPE_COUNT; t++) {
        struct channel *c = &i->channels[t];
        last_epoch = c->events > 0 && c->epoch > last_epoch ? c->epoch : last_epoch;
    }
    if (last_epoch == 0 || event->epoch <= last_epoch) {
        return; /* we begin here, or it is a repeat */
    }
    if (status->previous_epoch < last_epoch) {
        tally->totals.epoch_ends_unknown++;
        return;
    }
    for (size_t h = 0; h < status->head_count; h++) {
        const struct mlt_head *head = &status->heads[h];
        if (head->type > MLT_EVENT_NONE && head->type < MLT_EVENT_TYPE_COUNT) {
            tally->totals.sequence_holes +=
                missing_below(&i->channels[head->type], status->previous_epoch, head->sequence);
        }
    }
}

static void check_ids(struct mlt_tally *tally, struct channel *channel,
                      const struct mlt_event *event)
{
    if (channel->events == 0) {
        channel->first_id = event->first;
    } else if (has_contiguous_ids(event->type) && event->first != channel->last_id + 1) {
        tally->totals.gaps++;
    }
    channel->last_id = event->last;
}

enum mlt_status mlt_tally_event(struct mlt_tally *tally, const struct mlt_event *event)
{
    struct instrument *i = NULL;
    enum mlt_status status = instrument_of(tally, event->instrument, &i);
    if (status != MLT_OK) {
        return status;
    }
    if (event->type == MLT_EVENT_STATUS) {
        tally->totals.lost += event->u.status.kind == MLT_STATUS_LOST ? 1 : 0;
        if (event->u.status.kind == MLT_STATUS_HEADS) {
            take_heads(i, event);
        } else if (event->u.status.kind == MLT_STATUS_EPOCH_STARTED) {
            end_epoch(tally, i, event);
        }
    }
    if (event->sequence == 0) {
        return MLT_OK; /* a notice, not part of a channel */
    }
    struct channel *channel = &i->channels[event->type];
    if (!check_sequence(tally, channel, event)) {
        return MLT_OK;
    }
    check_ids(tally, channel, event);
    channel->events++;
    tally->totals.events++;
    if (source_derived(event->type)) {
        tally->totals.source_derived++;
        status = hash_event(tally, channel, event);
    }
    if (status == MLT_OK && event->type == MLT_EVENT_TRADE) {
        i->has_trades = true;
        status = mlt_decimal_sum_add(&i->quantity, event->u.trade.quantity);
        if (status == MLT_OK) {
            status = mlt_decimal_sum_add_product(&i->notional, event->u.trade.price,
                                                 event->u.trade.quantity);
        }
    }
    return status;
}

void mlt_tally_totals(const struct mlt_tally *tally, struct mlt_tally_totals *out)
{
    *out = tally->totals;
    size_t position = 0;
    const struct mlt_map_entry *entry;
    while ((entry = mlt_map_next(&tally->map, &position)) != NULL) {
        const struct instrument *i = entry->value;
        for (size_t t = 0; t < MLT_EVENT_TYPE_COUNT; t++) {
            const struct channel *c = &i->channels[t];
            out->sequence_holes += missing_below(c, c->head_epoch, c->head_sequence);
        }
    }
}

/* ---- report
 * ------------------------------------------------------------------------------------------- */

static int by_token(const void *a, const void *b)
{
    const struct instrument *const *x = a, *const *y = b;
    return strcmp((*x)->token, (*y)->token);
}

/* Every instrument, sorted; caller frees. */
static struct instrument **sorted(const struct mlt_tally *tally)
{
    struct instrument **list = calloc(tally->map.count + 1, sizeof *list);
    size_t position = 0, n = 0;
    const struct mlt_map_entry *entry;
    while (list != NULL && (entry = mlt_map_next(&tally->map, &position)) != NULL) {
        list[n++] = entry->value;
    }
    if (list != NULL) {
        qsort(list, n, sizeof(struct instrument *), by_token);
    }
    return list;
}

struct out {
    struct mlt_buf *buf;
    enum mlt_status status;
};

#define PRINT(o, ...)                                                                              \
    do {                                                                                           \
        if ((o)->status == MLT_OK) {                                                               \
            (o)->status = mlt_buf_printf((o)->buf, __VA_ARGS__);                                   \
        }                                                                                          \
    } while (0)

static void print_counts(struct out *o, const struct instrument *i)
{
    const char *comma = "";
    for (int t = 1; t < MLT_EVENT_TYPE_COUNT; t++) {
        if (i->channels[t].events > 0) {
            PRINT(o, "%s\"%s\":%" PRIu64, comma, mlt_event_type_word(t), i->channels[t].events);
            comma = ",";
        }
    }
}

static void print_sequence(struct out *o, const struct instrument *i)
{
    uint64_t first = UINT64_MAX, last = 0;
    for (int t = 1; t < MLT_EVENT_TYPE_COUNT; t++) {
        const struct channel *c = &i->channels[t];
        if (c->events > 0) {
            first = c->first_sequence < first ? c->first_sequence : first;
            last = c->last_sequence > last ? c->last_sequence : last;
        }
    }
    PRINT(o, "\"first\":%" PRIu64 ",\"last\":%" PRIu64 ",\"types\":{", first, last);
    const char *comma = "";
    for (int t = 1; t < MLT_EVENT_TYPE_COUNT; t++) {
        const struct channel *c = &i->channels[t];
        if (c->events > 0) {
            PRINT(o, "%s\"%s\":{\"first\":%" PRIu64 ",\"last\":%" PRIu64 "}", comma,
                  mlt_event_type_word(t), c->first_sequence, c->last_sequence);
            comma = ",";
        }
    }
    PRINT(o, "}");
}

/* The instrument's own first and last are those of its book deltas: the update ids that bound the
 * book. */
static void print_ids(struct out *o, const struct instrument *i)
{
    const struct channel *deltas = &i->channels[MLT_EVENT_BOOK_DELTA];
    if (deltas->events > 0) {
        PRINT(o, "\"first\":%" PRId64 ",\"last\":%" PRId64 ",", deltas->first_id, deltas->last_id);
    }
    PRINT(o, "\"types\":{");
    const char *comma = "";
    for (int t = 1; t < MLT_EVENT_TYPE_COUNT; t++) {
        const struct channel *c = &i->channels[t];
        if (c->events > 0 && t != MLT_EVENT_STATUS) {
            PRINT(o, "%s\"%s\":{\"first\":%" PRId64 ",\"last\":%" PRId64 "}", comma,
                  mlt_event_type_word(t), c->first_id, c->last_id);
            comma = ",";
        }
    }
    PRINT(o, "}");
}

static void print_map(struct out *o, const char *name, struct instrument **list,
                      void (*print)(struct out *o, const struct instrument *i))
{
    PRINT(o, ",\"%s\":{", name);
    for (size_t n = 0; list[n] != NULL; n++) {
        PRINT(o, "%s\"%s\":{", n == 0 ? "" : ",", list[n]->token);
        print(o, list[n]);
        PRINT(o, "}");
    }
    PRINT(o, "}");
}

static void print_sums(struct out *o, const char *name, struct instrument **list, bool notional)
{
    PRINT(o, ",\"%s\":{", name);
    const char *comma = "";
    for (size_t n = 0; list[n] != NULL; n++) {
        if (list[n]->has_trades) {
            char text[64];
            (void)mlt_decimal_sum_format(notional ? &list[n]->notional : &list[n]->quantity, text,
                                         sizeof text);
            PRINT(o, "%s\"%s\":\"%s\"", comma, list[n]->token, text);
            comma = ",";
        }
    }
    PRINT(o, "}");
}

/* SHA-256 over "<instrument> <TYPE> <32 bytes: SHA-256 of the channel>\n", instruments sorted,
 * types in their order. */
static enum mlt_status stream_hash(struct instrument **list, char hex[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *all = EVP_MD_CTX_new();
    enum mlt_status status = MLT_E_NOMEM;
    if (all != NULL && EVP_DigestInit_ex(all, EVP_sha256(), NULL) == 1) {
        status = MLT_OK;
    }
    for (size_t n = 0; status == MLT_OK && list[n] != NULL; n++) {
        for (int t = 1; status == MLT_OK && t < MLT_EVENT_TYPE_COUNT; t++) {
            EVP_MD_CTX *const hash = list[n]->channels[t].hash;
            if (hash == NULL) {
                continue;
            }
            EVP_MD_CTX *copy = EVP_MD_CTX_new(); /* so that the report can be asked for again */
            const char *word = mlt_event_type_word(t);
            if (copy == NULL || EVP_MD_CTX_copy_ex(copy, hash) != 1 ||
                EVP_DigestFinal_ex(copy, digest, NULL) != 1 ||
                EVP_DigestUpdate(all, list[n]->token, strlen(list[n]->token)) != 1 ||
                EVP_DigestUpdate(all, " ", 1) != 1 ||
                EVP_DigestUpdate(all, word, strlen(word)) != 1 ||
                EVP_DigestUpdate(all, " ", 1) != 1 || EVP_DigestUpdate(all, digest, 32) != 1 ||
                EVP_DigestUpdate(all, "\n", 1) != 1) {
                status = MLT_E_INTERNAL;
            }
            EVP_MD_CTX_free(copy);
        }
    }
    if (status == MLT_OK && EVP_DigestFinal_ex(all, digest, NULL) != 1) {
        status = MLT_E_INTERNAL;
    }
    EVP_MD_CTX_free(all);
    for (size_t i = 0; status == MLT_OK && i < 32; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    hex[64] = '\0';
    return status;
}

enum mlt_status mlt_tally_report(struct mlt_tally *tally, struct mlt_buf *buf)
{
    struct instrument **list = sorted(tally);
    char hex[65] = "";
    struct out o = { buf, list == NULL ? MLT_E_NOMEM : stream_hash(list, hex) };
    if (o.status == MLT_OK) {
        struct mlt_tally_totals totals;
        mlt_tally_totals(tally, &totals);
        PRINT(&o,
              "\"duplicates\":%" PRIu64 ",\"gaps\":%" PRIu64 ",\"sequence_holes\":%" PRIu64
              ",\"lost\":%" PRIu64 ",\"epoch_ends_unknown\":%" PRIu64,
              totals.duplicates, totals.gaps, totals.sequence_holes, totals.lost,
              totals.epoch_ends_unknown);
        print_map(&o, "events_out", list, print_counts);
        print_map(&o, "sequence", list, print_sequence);
        print_map(&o, "exchange_ids", list, print_ids);
        print_sums(&o, "trade_quantity", list, false);
        print_sums(&o, "trade_notional", list, true);
        PRINT(&o, ",\"stream_hash\":\"%s\"", hex);
    }
    free(list);
    return o.status;
}
