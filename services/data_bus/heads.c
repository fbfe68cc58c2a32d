/* See heads.h. The messages of one answer live in an arena. */
#include "heads.h"

#include "meltica/v1/internal.pb-c.h"

#define ARENA_BLOCK_BYTES (64u << 10)
#define ARENA_BYTES_MAX (8u << 20)

static char *text_of(struct mlt_arena *arena, const void *data, size_t len)
{
    char *text = mlt_arena_alloc(arena, len + 1);
    if (text != NULL) {
        memcpy(text, data, len);
        text[len] = '\0';
    }
    return text;
}

static enum mlt_status add_heads(struct mlt_arena *arena, const struct mlt_delivered *delivered,
                                 Meltica__V1__InstrumentHeads *to)
{
    to->heads = mlt_arena_alloc(arena, delivered->head_count * sizeof *to->heads);
    if (to->heads == NULL) {
        return MLT_E_NOMEM;
    }
    for (; to->n_heads < delivered->head_count; to->n_heads++) {
        Meltica__V1__Head *head = mlt_arena_alloc(arena, sizeof *head);
        if (head == NULL) {
            return MLT_E_NOMEM;
        }
        meltica__v1__head__init(head);
        head->type = (Meltica__V1__EventType)delivered->heads[to->n_heads].type;
        head->sequence = delivered->heads[to->n_heads].sequence;
        head->last = delivered->heads[to->n_heads].last;
        to->heads[to->n_heads] = head;
    }
    return MLT_OK;
}

static enum mlt_status add_candles(struct mlt_arena *arena, const struct mlt_delivered *delivered,
                                   Meltica__V1__InstrumentHeads *to)
{
    to->candles = mlt_arena_alloc(arena, delivered->candle_count * sizeof *to->candles);
    if (to->candles == NULL) {
        return MLT_E_NOMEM;
    }
    for (; to->n_candles < delivered->candle_count; to->n_candles++) {
        const struct mlt_delivered_candle *from = &delivered->candles[to->n_candles];
        Meltica__V1__CandleHead *candle = mlt_arena_alloc(arena, sizeof *candle);
        if (candle == NULL) {
            return MLT_E_NOMEM;
        }
        meltica__v1__candle_head__init(candle);
        candle->interval = text_of(arena, from->interval, from->interval_len);
        if (candle->interval == NULL) {
            return MLT_E_NOMEM;
        }
        candle->open_time = (uint64_t)from->open_ns;
        candle->event_time = (uint64_t)from->event_ns;
        to->candles[to->n_candles] = candle;
    }
    return MLT_OK;
}

static enum mlt_status instrument_heads(struct mlt_arena *arena,
                                        const struct mlt_delivered *delivered,
                                        Meltica__V1__InstrumentHeads **out)
{
    Meltica__V1__InstrumentHeads *heads = mlt_arena_alloc(arena, sizeof *heads);
    if (heads == NULL) {
        return MLT_E_NOMEM;
    }
    meltica__v1__instrument_heads__init(heads);
    heads->instrument = text_of(arena, delivered->instrument.data, delivered->instrument.len);
    if (heads->instrument == NULL) {
        return MLT_E_NOMEM;
    }
    heads->epoch = delivered->epoch;
    *out = heads;
    const enum mlt_status status = add_heads(arena, delivered, heads);
    return status != MLT_OK ? status : add_candles(arena, delivered, heads);
}

static enum mlt_status fill_page(const struct mlt_data_bus_core *core, uint32_t partition,
                                 uint32_t from, struct mlt_arena *arena,
                                 Meltica__V1__HeadsReply *reply)
{
    reply->instruments =
        mlt_arena_alloc(arena, MLT_DATA_BUS_HEADS_PAGE * sizeof *reply->instruments);
    if (reply->instruments == NULL) {
        return MLT_E_NOMEM;
    }
    struct mlt_delivered delivered;
    for (size_t n = from; mlt_data_bus_core_delivered(core, partition, n, &delivered); n++) {
        if (reply->n_instruments == MLT_DATA_BUS_HEADS_PAGE) {
            reply->next = (uint32_t)n;
            break;
        }
        const enum mlt_status status =
            instrument_heads(arena, &delivered, &reply->instruments[reply->n_instruments]);
        if (status != MLT_OK) {
            return status;
        }
        reply->n_instruments++;
    }
    return MLT_OK;
}

enum mlt_status mlt_data_bus_heads_answer(struct mlt_data_bus_core *core, uint32_t partitions,
                                          const uint64_t *heard, struct mlt_slice request,
                                          struct mlt_buf *reply)
{
    Meltica__V1__HeadsRequest *asked =
        meltica__v1__heads_request__unpack(NULL, request.len, request.data);
    if (asked == NULL) {
        return MLT_E_PARSE;
    }
    const uint64_t epoch = asked->epoch;
    const uint32_t partition = asked->partition, from = asked->from;
    meltica__v1__heads_request__free_unpacked(asked, NULL);
    if (partition >= partitions) {
        return MLT_E_RANGE;
    }
    struct mlt_arena arena;
    mlt_arena_init(&arena, ARENA_BLOCK_BYTES, ARENA_BYTES_MAX);
    Meltica__V1__HeadsReply answer = MELTICA__V1__HEADS_REPLY__INIT;
    enum mlt_status status = MLT_OK;
    answer.fence = mlt_data_bus_core_fence(core, partition, heard[partition]);
    if (epoch >= answer.fence) {
        status = fill_page(core, partition, from, &arena, &answer);
        answer.fence = epoch;
    }
    if (status == MLT_OK) {
        const size_t size = meltica__v1__heads_reply__get_packed_size(&answer);
        status = mlt_buf_reserve(reply, size > 0 ? size : 1); /* an empty one has a place, too */
        if (status == MLT_OK) {
            reply->len += meltica__v1__heads_reply__pack(&answer, reply->data + reply->len);
            (void)mlt_data_bus_core_fence(core, partition, epoch);
        }
    }
    mlt_arena_fini(&arena);
    return status;
}
