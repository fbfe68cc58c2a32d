/* See heads.h. */
#include "heads.h"

#include "meltica/v1/internal.pb-c.h"

#define CANDLES_MAX 32u

enum mlt_status mlt_conductor_heads_request(uint64_t epoch, uint32_t partition, uint32_t from,
                                            struct mlt_buf *out)
{
    Meltica__V1__HeadsRequest request = MELTICA__V1__HEADS_REQUEST__INIT;
    request.epoch = epoch;
    request.partition = partition;
    request.from = from;
    const enum mlt_status status =
        mlt_buf_reserve(out, meltica__v1__heads_request__get_packed_size(&request));
    if (status == MLT_OK) {
        out->len += meltica__v1__heads_request__pack(&request, out->data + out->len);
    }
    return status;
}

static enum mlt_status seed_instrument(struct mlt_conductor_core *core,
                                       const Meltica__V1__InstrumentHeads *from)
{
    struct mlt_head heads[MLT_STATUS_HEADS_MAX];
    struct mlt_candle_head candles[CANDLES_MAX];
    if (from->n_heads > MLT_STATUS_HEADS_MAX || from->n_candles > CANDLES_MAX) {
        return MLT_E_LIMIT;
    }
    for (size_t h = 0; h < from->n_heads; h++) {
        heads[h] = (struct mlt_head){ .type = (enum mlt_event_type)from->heads[h]->type,
                                      .sequence = from->heads[h]->sequence,
                                      .last = from->heads[h]->last };
    }
    for (size_t c = 0; c < from->n_candles; c++) {
        candles[c] = (struct mlt_candle_head){
            .interval = mlt_slice_of_string(from->candles[c]->interval),
            .open_ns = (int64_t)from->candles[c]->open_time,
            .event_ns = (int64_t)from->candles[c]->event_time,
        };
    }
    const struct mlt_instrument_heads seed = {
        .instrument = mlt_slice_of_string(from->instrument),
        .epoch = from->epoch,
        .head_count = from->n_heads,
        .heads = heads,
        .candle_count = from->n_candles,
        .candles = candles,
    };
    return mlt_conductor_core_seed(core, &seed);
}

enum mlt_status mlt_conductor_heads_seed(struct mlt_conductor_core *core, struct mlt_slice reply,
                                         uint32_t *next, uint64_t *fence)
{
    Meltica__V1__HeadsReply *answer = meltica__v1__heads_reply__unpack(NULL, reply.len, reply.data);
    if (answer == NULL) {
        return MLT_E_PARSE;
    }
    *next = answer->next;
    *fence = answer->fence;
    enum mlt_status status = MLT_OK;
    for (size_t i = 0; i < answer->n_instruments && status == MLT_OK; i++) {
        status = seed_instrument(core, answer->instruments[i]);
    }
    meltica__v1__heads_reply__free_unpacked(answer, NULL);
    return status;
}
