/* What REST answers say, and what is asked of REST. The first byte says what the rest is: d a body
 * of depth, s one of historicalTrades, a one of aggTrades, t one of ticker/24hr, h the headers and
 * codes of answers one after the other (lines of Retry-After, X-MBX-USED-WEIGHT-1M and code), f
 * FetchRequests one after the other, each with its length, w the ledger of a shared weight. */
#include "binance.h"
#include "governor.h"
#include "input.h"
#include "ledger.h"
#include "meltica/base/clock.h"
#include "meltica/event/native.h"
#include "meltica/http/http.h"
#include "rest.h"

#define PADDING 16u
#define TIME_NS INT64_C(1700000000000000000)
#define BAN_MAX_S INT64_C(259200)
#define SHARE_PERCENT 50u

static struct mlt_binance_symbols *symbols;
static struct mlt_binance_decoder *decoder;

static void set_up(void)
{
    static const char listing[] =
        "{\"symbols\":[{\"symbol\":\"BTCUSDT\",\"status\":\"TRADING\",\"baseAsset\":\"BTC\","
        "\"quoteAsset\":\"USDT\",\"baseAssetPrecision\":8,\"quoteAssetPrecision\":8,"
        "\"filters\":[]},{\"symbol\":\"SYM0001USDT\",\"status\":\"TRADING\",\"baseAsset\":"
        "\"SYM0001\",\"quoteAsset\":\"USDT\",\"baseAssetPrecision\":8,\"quoteAssetPrecision\":8,"
        "\"filters\":[]}]}";
    MLT_CHECK(mlt_binance_symbols_parse(mlt_slice_of_string(listing), &symbols, NULL, NULL, NULL) ==
              MLT_OK);
    MLT_CHECK(mlt_binance_decoder_create(&decoder) == MLT_OK);
}

/* ---- bodies ---- */

static void on_instance(void *ctx, const struct mlt_binance_symbol *symbol, struct mlt_slice stream,
                        struct mlt_native_event *event)
{
    (void)symbol;
    (void)stream;
    struct mlt_native_event again;
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 8u << 20);
    event->received = event->adapted = TIME_NS;
    const size_t len = mlt_native_encoded_size(event);
    uint8_t *bytes = malloc(len + 1);
    MLT_CHECK(bytes != NULL && mlt_native_encode(event, bytes) == len);
    MLT_CHECK(mlt_native_decode(mlt_slice_of(bytes, len), &arena, &again) == MLT_OK);
    MLT_CHECK(again.type == event->type && again.last == event->last);
    mlt_arena_fini(&arena);
    free(bytes);
    ++*(unsigned *)ctx;
}

static enum mlt_status decode(unsigned kind, char *copy, size_t len, unsigned *instances,
                              struct mlt_error *err)
{
    const struct mlt_binance_symbol *symbol = mlt_binance_symbols_at(symbols, 0);
    if (kind == 'd') {
        return mlt_binance_decode_depth(decoder, symbol, copy, len, TIME_NS, on_instance, instances,
                                        err);
    }
    if (kind == 's' || kind == 'a') {
        return mlt_binance_decode_trades(decoder, symbol, kind == 'a', copy, len, TIME_NS,
                                         on_instance, instances, err);
    }
    return mlt_binance_decode_ticker_24hr(decoder, symbols, len % 2 == 0 ? symbol : NULL, copy, len,
                                          TIME_NS, on_instance, instances, err);
}

static void body(struct mlt_slice bytes, unsigned kind)
{
    char *copy = copy_of(bytes, PADDING);
    struct mlt_error err = MLT_ERROR_INIT;
    unsigned instances = 0;
    const enum mlt_status status = decode(kind, copy, bytes.len, &instances, &err);
    MLT_CHECK(status == MLT_OK || err.text[0] != '\0');
    MLT_CHECK(status != MLT_OK || kind != 'd' || instances == 1);
    MLT_CHECK(status != MLT_E_PARSE || instances == 1);
    free(copy);
}

/* ---- headers ---- */

static void headers(struct mlt_slice in)
{
    struct mlt_governor governor;
    int64_t now = MLT_NS_PER_S;
    mlt_governor_init(&governor, SHARE_PERCENT, 1);
    while (in.len > 0) {
        char *retry_after = copy_of(take_line(&in), 0), *weight = copy_of(take_line(&in), 0);
        const struct mlt_slice code = take_line(&in);
        const int64_t seconds = mlt_http_retry_after(retry_after);
        const int64_t used = mlt_governor_weight_of(weight);
        MLT_CHECK(seconds >= -1 && seconds <= INT32_MAX && used >= -1);
        const int number = code.len == 3 ? (code.data[0] - '0') * 100 + (code.data[1] - '0') * 10 +
                                               (code.data[2] - '0')
                                         : 200;
        mlt_governor_answered(&governor, number, seconds, used, now);
        const int64_t wait = mlt_governor_admit(&governor, 5, MLT_WEIGHT_RESYNC, now);
        MLT_CHECK(wait == 0 || wait > now);
        /* Obeyed to the second. */
        const int64_t told = seconds < 1 ? 1 : seconds > BAN_MAX_S ? BAN_MAX_S : seconds;
        MLT_CHECK((number != 429 && number != 418) || wait - now >= told * MLT_NS_PER_S);
        now += MLT_NS_PER_S;
        free(weight);
        free(retry_after);
    }
}

/* ---- fetches ---- */

static void take_fetch(struct mlt_rest *rest, struct mlt_slice bytes, int64_t now)
{
    Meltica__V1__FetchRequest *request =
        meltica__v1__fetch_request__unpack(NULL, bytes.len, bytes.data);
    if (request == NULL) {
        return;
    }
    const enum mlt_rest_function function = mlt_rest_function_of(request->function);
    if (function != MLT_REST_FUNCTION_COUNT) {
        const size_t before = rest->demand_count;
        const struct mlt_rest_asked asked = {
            function,
            request->instrument,
            request->limit,
            request->from,
            request->route,
            (enum mlt_weight_class)((unsigned)request->priority % MLT_WEIGHT_CLASS_COUNT)
        };
        const enum mlt_status status = mlt_rest_demand(rest, &asked, now);
        MLT_CHECK(status == MLT_OK || rest->demand_count == before);
    }
    meltica__v1__fetch_request__free_unpacked(request, NULL);
}

static void fetches(struct mlt_slice in)
{
    static struct mlt_rest rest; /* large */
    struct mlt_governor governor;
    int64_t now = MLT_NS_PER_S, next = 0;
    unsigned flight = 0;
    mlt_governor_init(&governor, SHARE_PERCENT, 1);
    mlt_rest_init(&rest, 4, &governor, 1);
    while (in.len > 0) {
        const unsigned outcome = take_byte(&in);
        take_fetch(&rest, take_block(&in), now);
        MLT_CHECK(rest.demand_count <= MLT_REST_DEMAND_MAX);
        if (mlt_rest_next(&rest, now, &flight, &next) == MLT_OK) {
            const struct mlt_rest_call *call = mlt_rest_flight(&rest, flight);
            MLT_CHECK(strlen(call->token) <= MLT_INSTRUMENT_BYTES_MAX && call->demand);
            (void)mlt_rest_done(&rest, flight, (enum mlt_rest_outcome)(outcome % 3), now);
        } else {
            MLT_CHECK(next > now);
        }
        now += MLT_NS_PER_MS * (1 + outcome);
    }
    mlt_rest_fini(&rest);
}

/* ---- the ledger ---- */

static void weight_ledger(struct mlt_slice in)
{
    struct mlt_ledger ledger, again;
    struct mlt_buf bytes;
    if (mlt_ledger_decode(in, &ledger) != MLT_OK) {
        return;
    }
    const int64_t now = (ledger.second - 3 + (int64_t)(in.len % 7)) * MLT_NS_PER_S;
    struct mlt_ledger_want want = { .boot = 7, .pool = 2400, .least = 5, .most = 300 };
    want.class = (enum mlt_weight_class)(in.len % MLT_WEIGHT_CLASS_COUNT);
    want.waiting[want.class] = 1000;
    int64_t second = 0;
    if (now <= 0) {
        return;
    }
    const uint32_t before = mlt_ledger_total(&ledger, now);
    const uint32_t weight = mlt_ledger_reserve(&ledger, &want, now, &second);
    MLT_CHECK(weight == 0 || (weight >= want.least && weight <= want.most));
    MLT_CHECK(weight == 0 || (uint64_t)before + weight <= want.pool);
    mlt_buf_init(&bytes, MLT_LEDGER_BYTES_MAX);
    MLT_CHECK(mlt_ledger_encode(&ledger, &bytes) == MLT_OK);
    MLT_CHECK(mlt_ledger_decode(mlt_buf_view(&bytes), &again) == MLT_OK);
    MLT_CHECK(memcmp(ledger.granted, again.granted, sizeof again.granted) == 0);
    mlt_buf_fini(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mlt_slice in = { data, size };
    if (decoder == NULL) {
        set_up();
    }
    const unsigned kind = take_byte(&in);
    if (kind == 'h') {
        headers(in);
    } else if (kind == 'f') {
        fetches(in);
    } else if (kind == 'w') {
        weight_ledger(in);
    } else {
        body(in, kind);
    }
    return 0;
}
