/* Whatever a line delivers becomes instances, an answer or a refusal, and every instance survives
 * the native codec. */
#include <stdlib.h>
#include <string.h>

#include "binance.h"
#include "fuzz.h"
#include "meltica/base/check.h"
#include "meltica/event/native.h"

#define PADDING 16u

static struct mlt_binance_symbols *symbols;
static struct mlt_binance_decoder *decoder;

static void set_up(void)
{
    static const char listing[] =
        "{\"symbols\":[{\"symbol\":\"BTCUSDT\",\"status\":\"TRADING\",\"baseAsset\":\"BTC\","
        "\"quoteAsset\":\"USDT\",\"baseAssetPrecision\":8,\"quoteAssetPrecision\":8,"
        "\"filters\":[]}]}";
    MLT_CHECK(mlt_binance_symbols_parse(mlt_slice_of_string(listing), &symbols, NULL, NULL, NULL) ==
              MLT_OK);
    MLT_CHECK(mlt_binance_decoder_create(&decoder) == MLT_OK);
}

struct seen {
    unsigned instances;
};

static void on_instance(void *ctx, const struct mlt_binance_symbol *symbol, struct mlt_slice stream,
                        struct mlt_native_event *event)
{
    struct seen *seen = ctx;
    (void)symbol;
    (void)stream;
    seen->instances++;
    const size_t len = mlt_native_encoded_size(event);
    uint8_t *bytes = malloc(len + 1);
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 8u << 20);
    struct mlt_native_event again;
    MLT_CHECK(bytes != NULL && mlt_native_encode(event, bytes) == len);
    MLT_CHECK(mlt_native_decode(mlt_slice_of(bytes, len), &arena, &again) == MLT_OK);
    MLT_CHECK(again.type == event->type && again.first == event->first &&
              again.last == event->last);
    mlt_arena_fini(&arena);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (decoder == NULL) {
        set_up();
    }
    char *json = malloc(size + PADDING);
    MLT_CHECK(json != NULL);
    memcpy(json, data, size);
    memset(json + size, 0, PADDING);
    struct mlt_binance_frame frame;
    struct seen seen = { 0 };
    MLT_CHECK(mlt_binance_decode_frame(decoder, json, size, MLT_BINANCE_MS_NS, symbols, on_instance,
                                       &seen, &frame) == MLT_OK);
    MLT_CHECK(seen.instances > 0 || frame.kind != MLT_FRAME_EVENTS);
    memcpy(json, data, size);
    memset(json + size, 0, PADDING);
    (void)(mlt_binance_decode_depth(decoder, mlt_binance_symbols_at(symbols, 0), json, size, 1,
                                    on_instance, &seen, NULL) == MLT_OK);
    free(json);
    return 0;
}
