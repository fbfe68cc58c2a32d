/* Words, tokens, slots, keys and digests: the parts of the contract that are not the wire format.
 */
#include "meltica/event/event.h"

#include "meltica/base/hash.h"

static const char *const type_words[MLT_EVENT_TYPE_COUNT] = {
    "UNSPECIFIED", "TICKER",        "BBO",  "TRADE",      "AGG_TRADE", "KLINE",
    "BOOK_DELTA",  "BOOK_SNAPSHOT", "BOOK", "INSTRUMENT", "STATUS",
};

static const char *const kind_words[] = {
    "UNSPECIFIED", "EPOCH_STARTED", "LOST",    "SOURCE_DOWN", "SOURCE_UP",
    "LIVE",        "GAP",           "STALE",   "HEADS",       "SYNCING",
    "IDLE",        "CACHE_REBUILT", "MISSING", "UNFILLABLE",
};

static const char *const book_state_words[] = { "UNSPECIFIED", "IDLE", "SYNCING",
                                                "LIVE",        "GAP",  "STALE" };

const char *mlt_event_type_word(int type)
{
    return type_words[type > 0 && type < MLT_EVENT_TYPE_COUNT ? type : 0];
}

const char *mlt_status_kind_word(int kind)
{
    const int count = (int)(sizeof kind_words / sizeof kind_words[0]);
    return kind_words[kind > 0 && kind < count ? kind : 0];
}

const char *mlt_book_state_word(int state)
{
    const int count = (int)(sizeof book_state_words / sizeof book_state_words[0]);
    return book_state_words[state > 0 && state < count ? state : 0];
}

/* '-' separates base from quote, so inside an asset it is encoded too: the token is reversible. */
static bool plain(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static bool append_asset(struct mlt_slice asset, char *out, size_t size, size_t *len)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < asset.len; i++) {
        const uint8_t c = asset.data[i];
        const size_t need = plain(c) ? 1 : 3;
        if (*len + need >= size || *len + need > MLT_INSTRUMENT_BYTES_MAX) {
            return false;
        }
        if (plain(c)) {
            out[(*len)++] = (char)c;
        } else {
            out[(*len)++] = '=';
            out[(*len)++] = hex[c >> 4];
            out[(*len)++] = hex[c & 15];
        }
    }
    return true;
}

enum mlt_status mlt_instrument_token(struct mlt_slice base, struct mlt_slice quote, char *out,
                                     size_t size)
{
    if (base.len == 0 || quote.len == 0) {
        return MLT_E_INVALID;
    }
    size_t len = 0;
    if (!append_asset(base, out, size, &len) || len + 1 >= size ||
        len >= MLT_INSTRUMENT_BYTES_MAX) {
        return MLT_E_TOO_BIG;
    }
    out[len++] = '-';
    if (!append_asset(quote, out, size, &len)) {
        return MLT_E_TOO_BIG;
    }
    out[len] = '\0';
    return MLT_OK;
}

bool mlt_instrument_token_valid(struct mlt_slice token)
{
    if (token.len == 0 || token.len > MLT_INSTRUMENT_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < token.len; i++) {
        if (!plain(token.data[i]) && token.data[i] != '-' && token.data[i] != '=') {
            return false;
        }
    }
    return true;
}

uint32_t mlt_instrument_slot(struct mlt_slice token)
{
    return mlt_fnv1a32(token) % MLT_SLOT_COUNT;
}

static void i64le(int64_t value, uint8_t out[8])
{
    for (unsigned i = 0; i < 8; i++) {
        out[i] = (uint8_t)((uint64_t)value >> (8 * i));
    }
}

uint64_t mlt_event_key(struct mlt_slice token, enum mlt_event_type type, int64_t first,
                       int64_t last, int64_t discriminator)
{
    uint8_t tail[26] = { 0, (uint8_t)type };
    i64le(first, tail + 2);
    i64le(last, tail + 10);
    i64le(discriminator, tail + 18);
    return mlt_fnv1a64(mlt_fnv1a64(MLT_FNV1A64_INIT, token), mlt_slice_of(tail, sizeof tail));
}

#define DIGEST_LEVELS 20u

static uint32_t digest_side(uint32_t crc, const struct mlt_levels *side)
{
    uint8_t bytes[4 + DIGEST_LEVELS * 16];
    const uint32_t count = side->count < DIGEST_LEVELS ? (uint32_t)side->count : DIGEST_LEVELS;
    for (unsigned i = 0; i < 4; i++) {
        bytes[i] = (uint8_t)(count >> (8 * i));
    }
    for (uint32_t i = 0; i < count; i++) {
        i64le(side->prices[i], bytes + 4 + (size_t)i * 16);
        i64le(side->quantities[i], bytes + 12 + (size_t)i * 16);
    }
    return mlt_crc32c(crc, mlt_slice_of(bytes, 4 + (size_t)count * 16));
}

uint32_t mlt_book_digest(const struct mlt_levels *bids, const struct mlt_levels *asks)
{
    return digest_side(digest_side(0, bids), asks);
}
