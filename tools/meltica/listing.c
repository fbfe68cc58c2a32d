#include "listing.h"

#include <string.h>

#include "meltica/base/map.h"

#define SYMBOLS_MAX 16384u
#define SYMBOL_BYTES_MAX 64u

/* Longest first, so that FDUSD is not taken for USD. */
static const char *const quotes[] = { "FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USDP", "BIDR",
                                      "IDRT",  "BKRW", "DOGE", "BTC",  "ETH",  "BNB",  "TRY",
                                      "EUR",   "GBP",  "AUD",  "BRL",  "JPY",  "RUB",  "UAH",
                                      "NGN",   "ZAR",  "PLN",  "RON",  "ARS",  "MXN",  "CZK",
                                      "COP",   "XRP",  "TRX",  "DAI",  "VAI",  "PAX",  "SOL",
                                      "DOT",   "UST",  "USD" };

static size_t base_length(struct mlt_slice native)
{
    for (size_t i = 0; i < sizeof quotes / sizeof quotes[0]; i++) {
        const struct mlt_slice quote = mlt_slice_of_string(quotes[i]);
        if (native.len > quote.len &&
            memcmp(native.data + native.len - quote.len, quote.data, quote.len) == 0) {
            return native.len - quote.len;
        }
    }
    return native.len > 3 ? native.len - 3 : 1;
}

static enum mlt_status append_symbol(struct mlt_buf *out, struct mlt_slice native,
                                     const char *comma)
{
    const size_t base = base_length(native);
    const struct mlt_slice parts[3] = { native, mlt_slice_of(native.data, base),
                                        mlt_slice_of(native.data + base, native.len - base) };
    static const char *const keys[3] = { "{\"symbol\":", ",\"baseAsset\":", ",\"quoteAsset\":" };
    enum mlt_status status = mlt_buf_append_string(out, comma);
    for (unsigned i = 0; status == MLT_OK && i < 3; i++) {
        status = mlt_buf_append_string(out, keys[i]);
        if (status == MLT_OK) {
            status = mlt_buf_append_json_string(out, parts[i]);
        }
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_string(out, ",\"status\":\"TRADING\",\"baseAssetPrecision\":8,"
                                            "\"quoteAssetPrecision\":8}");
    }
    return status;
}

/* The first "s":"…" of a frame: a raw look, the decoder does the strict one. */
static struct mlt_slice symbol_in(struct mlt_slice json)
{
    static const char needle[] = "\"s\":\"";
    const uint8_t *at =
        json.len > 0 ? memmem(json.data, json.len, needle, sizeof needle - 1) : NULL;
    if (at == NULL) {
        return MLT_SLICE_EMPTY;
    }
    at += sizeof needle - 1;
    const size_t left = json.len - (size_t)(at - json.data);
    const uint8_t *quote = memchr(at, '"', left);
    const size_t len = quote != NULL ? (size_t)(quote - at) : 0;
    return len >= 2 && len <= SYMBOL_BYTES_MAX ? mlt_slice_of(at, len) : MLT_SLICE_EMPTY;
}

static enum mlt_status add_symbols(struct mlt_recording *recording, struct mlt_map *seen,
                                   struct mlt_buf *out)
{
    struct mlt_record record;
    enum mlt_status status;
    while ((status = mlt_recording_next(recording, &record, NULL)) == MLT_OK ||
           status == MLT_E_PARSE) {
        const struct mlt_slice native = status == MLT_OK && record.kind == MLT_RECORD_FRAME
                                            ? symbol_in(record.json)
                                            : MLT_SLICE_EMPTY;
        if (native.len == 0 || mlt_map_get(seen, native) != NULL) {
            continue;
        }
        status = append_symbol(out, native, seen->count == 0 ? "" : ",");
        if (status == MLT_OK) {
            status = mlt_map_put(seen, native, seen);
        }
        if (status != MLT_OK) {
            return status;
        }
    }
    recording->offset = recording->line = 0;
    return status == MLT_E_EMPTY ? MLT_OK : status;
}

enum mlt_status mlt_listing_from_recordings(struct mlt_recording *recordings, size_t count,
                                            struct mlt_buf *out)
{
    struct mlt_map seen;
    mlt_map_init(&seen, SYMBOLS_MAX);
    enum mlt_status status = mlt_buf_append_string(out, "{\"symbols\":[");
    for (size_t i = 0; status == MLT_OK && i < count; i++) {
        status = add_symbols(&recordings[i], &seen, out);
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_string(out, "]}");
    }
    mlt_map_fini(&seen);
    return status;
}
