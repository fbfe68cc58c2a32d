/* The HTTP calls behind rest.h, and what their answers mean. */
#include "adapter.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"
#include "meltica/base/log.h"

#define BODY_BYTES_MAX (32u << 20)  /* exchangeInfo with everything in it */
#define CLOCK_FIRST_NS MLT_NS_PER_S /* after exchangeInfo, which everything waits for */
#define USER_AGENT "meltica-adapter"
#define ORIGINAL_BYTES_MAX 4096u

/* ---- URLs
 * ----------------------------------------------------------------------------------------- */

/* RFC 3986: everything but the unreserved is %XX, byte by byte. */
static enum mlt_status append_escaped(struct mlt_buf *url, const char *text)
{
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-._~";
    enum mlt_status status = MLT_OK;
    for (const char *p = text; *p != '\0' && status == MLT_OK; p++) {
        status = strchr(unreserved, *p) != NULL
                     ? mlt_buf_append_byte(url, (uint8_t)*p)
                     : mlt_buf_printf(url, "%%%02X", (unsigned)(uint8_t)*p);
    }
    return status;
}

static uint32_t depth_of(const struct mlt_rest_call *call)
{
    return call->limit > 0 ? call->limit : MLT_REST_DEPTH_DEFAULT;
}

static enum mlt_status make_url(const struct mlt_adapter *adapter, const struct mlt_rest_call *call,
                                const struct mlt_binance_symbol *symbol, struct mlt_buf *url)
{
    enum mlt_status status = mlt_buf_printf(url, "%s/api/v3/%s", adapter->config->rest_url,
                                            mlt_rest_function_word(call->function));
    if (status == MLT_OK && call->function == MLT_REST_EXCHANGE_INFO) {
        /* Permission sets are hundreds of strings a symbol, and nothing here reads them. */
        status = mlt_buf_append_string(url, "?showPermissionSets=false");
    }
    if (status == MLT_OK && symbol != NULL) {
        status = mlt_buf_append_string(url, "?symbol=");
        status = status == MLT_OK ? append_escaped(url, symbol->native) : status;
    }
    if (status == MLT_OK && call->function == MLT_REST_DEPTH) {
        status = mlt_buf_printf(url, "&limit=%u", depth_of(call));
    } else if (status == MLT_OK && mlt_rest_by_id(call->function)) {
        status = mlt_buf_printf(url, "&fromId=%lld&limit=%u", (long long)call->from, call->limit);
    }
    return status == MLT_OK ? mlt_buf_append_byte(url, '\0') : status;
}

/* ---- answers
 * -------------------------------------------------------------------------------------- */

struct answer {
    struct mlt_adapter *adapter;
    const struct mlt_rest_call *call;
    const struct mlt_http_response *response;
    int64_t adapted_ns;
};

static void on_instance(void *ctx, const struct mlt_binance_symbol *symbol, struct mlt_slice stream,
                        struct mlt_native_event *event)
{
    struct answer *answer = ctx;
    (void)symbol;
    (void)stream;
    event->route = answer->call->route;
    event->received = answer->response->completed_ns;
    event->adapted = answer->adapted_ns;
    event->rest_function = mlt_slice_of_string(mlt_rest_function_word(answer->call->function));
    if (event->type == MLT_EVENT_BOOK_SNAPSHOT) {
        event->u.book_snapshot.requested_depth = depth_of(answer->call);
    }
    mlt_adapter_hand_on(answer->adapter, event);
}

/* What the exchange said instead of an answer goes on as an instance that could not be read. */
static void refuse(const struct answer *answer, const char *original, size_t len)
{
    const struct mlt_rest_call *call = answer->call;
    const struct mlt_slice function = mlt_slice_of_string(mlt_rest_function_word(call->function));
    struct mlt_native_event event = {
        .instrument = mlt_slice_of_string(call->token),
        .type = MLT_NATIVE_UNPARSED,
        .route = call->route,
        .received = answer->response->completed_ns,
        .adapted = answer->adapted_ns,
        .exchange = MLT_STAMP_UNKNOWN,
        .rest_function = function,
        .u.unparsed = { .reason = MLT_SLICE_LITERAL("exchange_error"),
                        .original = mlt_slice_of(
                            original, len < ORIGINAL_BYTES_MAX ? len : ORIGINAL_BYTES_MAX),
                        .original_bytes = (uint32_t)len,
                        .topic = function }
    };
    mlt_adapter_hand_on(answer->adapter, &event);
}

/* The answer was completed by the wall clock, and is looked at a little later. */
static enum mlt_status take_time(struct mlt_adapter *adapter,
                                 const struct mlt_http_response *response, struct mlt_error *err)
{
    int64_t server_ns = 0;
    const int64_t received_ns =
        mlt_clock_mono_ns() - (mlt_clock_wall_ns() - response->completed_ns);
    const enum mlt_status status =
        mlt_binance_decode_time(mlt_slice_of(response->body, response->body_len), &server_ns, err);
    if (status == MLT_OK) {
        mlt_clock_offset_add(&adapter->clock, server_ns, MLT_NS_PER_MS,
                             received_ns - response->took_ns, received_ns);
    }
    return status;
}

static enum mlt_status decode(struct answer *answer, struct mlt_error *err)
{
    struct mlt_adapter *adapter = answer->adapter;
    const struct mlt_rest_call *call = answer->call;
    const struct mlt_http_response *response = answer->response;
    if (call->function == MLT_REST_EXCHANGE_INFO) {
        const int64_t asked_ns = mlt_clock_mono_ns() -
                                 (mlt_clock_wall_ns() - response->completed_ns) - response->took_ns;
        return mlt_adapter_listing_read(adapter, mlt_slice_of(response->body, response->body_len),
                                        asked_ns, response->completed_ns, err);
    }
    if (call->function == MLT_REST_TIME) {
        return take_time(adapter, response, err);
    }
    const struct mlt_binance_symbol *symbol =
        mlt_binance_symbol_by_token(adapter->symbols, mlt_slice_of_string(call->token));
    if (symbol == NULL && call->token[0] != '\0') {
        return mlt_error_set(err, MLT_E_NOT_FOUND, "%s is not listed any more", call->token);
    }
    if (call->function == MLT_REST_TICKER_24HR) {
        return mlt_binance_decode_ticker_24hr(adapter->decoder, adapter->symbols, symbol,
                                              response->body, response->body_len,
                                              response->completed_ns, on_instance, answer, err);
    }
    if (mlt_rest_by_id(call->function)) {
        return mlt_binance_decode_trades(
            adapter->decoder, symbol, call->function == MLT_REST_AGG_TRADES, response->body,
            response->body_len, response->completed_ns, on_instance, answer, err);
    }
    return mlt_binance_decode_depth(adapter->decoder, symbol, response->body, response->body_len,
                                    response->completed_ns, on_instance, answer, err);
}

/* 200: the body is read. */
static enum mlt_rest_outcome on_success(struct answer *answer, char original[ORIGINAL_BYTES_MAX],
                                        size_t original_len)
{
    const enum mlt_rest_function function = answer->call->function;
    struct mlt_error err = MLT_ERROR_INIT;
    const enum mlt_status status = decode(answer, &err);
    if (status == MLT_OK) {
        mlt_counter_add(answer->adapter->meters.rest_ok[function], 1);
        return MLT_REST_DONE;
    }
    mlt_adapter_rest_failed(answer->adapter, function, mlt_status_word(status));
    mlt_log(MLT_LOG_WARN, "rest_answer_unusable", err.text,
            MLT_S("function", mlt_rest_function_word(function)));
    if (status == MLT_E_PROTOCOL && function != MLT_REST_TIME) {
        refuse(answer, original, original_len);
        return MLT_REST_REFUSED;
    }
    return status == MLT_E_NOT_FOUND ? MLT_REST_REFUSED : MLT_REST_RETRY;
}

/* Those that have a meaning of their own, and classes: as many series as words here. */
static const char *http_reason(int code)
{
    switch (code) {
    case 403:
        return "http_403";
    case 418:
        return "http_418";
    case 429:
        return "http_429";
    default:
        return code >= 500 ? "http_5xx" : code >= 400 ? "http_4xx" : "http_other";
    }
}

static enum mlt_rest_outcome on_http_error(struct answer *answer)
{
    const struct mlt_http_response *response = answer->response;
    mlt_adapter_rest_failed(answer->adapter, answer->call->function, http_reason(response->code));
    mlt_log(MLT_LOG_WARN, "rest_refused", "the exchange answered a call with an error",
            MLT_S("function", mlt_rest_function_word(answer->call->function)),
            MLT_S("instrument", answer->call->token), MLT_I("http_status", response->code),
            MLT_I("retry_after_s", response->retry_after_s),
            MLT_SL("body", mlt_slice_of(response->body,
                                        response->body_len < 256 ? response->body_len : 256)));
    const bool later = response->code == 429 || response->code == 418 || response->code == 403 ||
                       response->code >= 500;
    if (!later) { /* it will say no again: bad symbol, bad parameter */
        if (answer->call->function != MLT_REST_TIME) {
            refuse(answer, response->body, response->body_len);
        }
        return MLT_REST_REFUSED;
    }
    return MLT_REST_RETRY;
}

static void on_done(void *ctx, const struct mlt_http_response *response)
{
    const struct mlt_adapter_call *flown = ctx;
    struct mlt_adapter *adapter = flown->adapter;
    const int64_t now = mlt_clock_mono_ns();
    const struct mlt_rest_call call = *mlt_rest_flight(&adapter->rest, flown->flight);
    struct answer answer = {
        .adapter = adapter, .call = &call, .response = response, .adapted_ns = mlt_clock_wall_ns()
    };
    enum mlt_rest_outcome outcome = MLT_REST_RETRY;
    if (adapter->draining) {
        (void)mlt_rest_done(&adapter->rest, flown->flight, MLT_REST_DONE, now);
        return;
    }
    mlt_histogram_record_ns(adapter->meters.rest, response->took_ns);
    if (response->status != MLT_OK) {
        mlt_governor_unanswered(&adapter->governor, now);
        mlt_adapter_rest_failed(adapter, call.function, mlt_status_word(response->status));
        mlt_log(MLT_LOG_WARN, "rest_unanswered", response->text,
                MLT_S("function", mlt_rest_function_word(call.function)),
                MLT_S("instrument", call.token));
    } else {
        mlt_governor_answered(&adapter->governor, response->code, response->retry_after_s,
                              mlt_governor_weight_of(response->used_weight_1m), now);
        /* The decoder overwrites the body. */
        char original[ORIGINAL_BYTES_MAX];
        const size_t len =
            response->body_len < sizeof original ? response->body_len : sizeof original;
        if (len > 0) {
            memcpy(original, response->body, len);
        }
        outcome =
            response->code == 200 ? on_success(&answer, original, len) : on_http_error(&answer);
    }
    if (mlt_rest_done(&adapter->rest, flown->flight, outcome, now)) {
        mlt_adapter_rest_failed(adapter, call.function, "given_up");
        mlt_log(MLT_LOG_ERROR, "fetch_given_up", "a call on demand got no answer",
                MLT_S("function", mlt_rest_function_word(call.function)),
                MLT_S("instrument", call.token), MLT_U("tries", call.tries));
    }
    if (mlt_hop_congested(adapter->sender)) {
        mlt_adapter_hold(adapter);
    }
    mlt_adapter_rest_turn(adapter);
}

/* ---- turn
 * ----------------------------------------------------------------------------------------- */

/* False: nothing flies, the call is given back. */
static bool make_call(struct mlt_adapter *adapter, unsigned flight, int64_t now_ns)
{
    const struct mlt_rest_call *call = mlt_rest_flight(&adapter->rest, flight);
    const struct mlt_binance_symbol *symbol = NULL;
    if (call->token[0] != '\0') {
        symbol = mlt_binance_symbol_by_token(adapter->symbols, mlt_slice_of_string(call->token));
        if (symbol == NULL) {
            mlt_adapter_rest_failed(adapter, call->function, "unknown_symbol");
            (void)mlt_rest_done(&adapter->rest, flight, MLT_REST_REFUSED, now_ns);
            return false;
        }
    }
    struct mlt_buf url;
    mlt_buf_init(&url, 1024);
    enum mlt_status status = make_url(adapter, call, symbol, &url);
    if (status == MLT_OK) {
        status =
            mlt_http_get(adapter->http, (const char *)url.data, on_done, &adapter->calls[flight]);
    }
    mlt_buf_fini(&url);
    if (status != MLT_OK) {
        mlt_adapter_rest_failed(adapter, call->function, mlt_status_word(status));
        (void)mlt_rest_done(&adapter->rest, flight, MLT_REST_RETRY, now_ns);
        return false;
    }
    return true;
}

void mlt_adapter_rest_turn(void *ctx)
{
    struct mlt_adapter *adapter = ctx;
    if (adapter->draining) {
        return;
    }
    const int64_t now = mlt_clock_mono_ns();
    int64_t next = MLT_REST_NEVER;
    unsigned flight = 0;
    for (unsigned i = 0; i < 2 * MLT_REST_FLIGHT_MAX; i++) {
        if (mlt_rest_next(&adapter->rest, now, &flight, &next) != MLT_OK) {
            break;
        }
        (void)make_call(adapter, flight, now);
        next = now; /* more may be due */
    }
    mlt_adapter_weight_turn(adapter);
    if (next == MLT_REST_NEVER) {
        mlt_timer_stop(adapter->rest_timer);
    } else {
        mlt_timer_start(adapter->rest_timer, next > now ? next - now : 0);
    }
}

enum mlt_status mlt_adapter_rest_start(struct mlt_adapter *adapter, struct mlt_error *err)
{
    const struct mlt_adapter_config *config = adapter->config;
    mlt_governor_init(&adapter->governor, (uint32_t)config->weight_share, mlt_random64());
    mlt_rest_init(&adapter->rest, adapter->partitions, &adapter->governor, mlt_random64());
    for (unsigned i = 0; i < MLT_REST_FLIGHT_MAX; i++) {
        adapter->calls[i] = (struct mlt_adapter_call){ adapter, i };
    }
    enum mlt_status status = mlt_adapter_weight_start(adapter, err);
    if (status != MLT_OK) {
        return status;
    }
    const struct mlt_http_options options = {
        .loop = adapter->loop,
        .ca_file = config->ca_file,
        .user_agent = USER_AGENT,
        .timeout_ns = config->rest_timeout_ms * MLT_NS_PER_MS,
        .body_bytes_max = BODY_BYTES_MAX,
        .connections_max = MLT_REST_FLIGHT_MAX, /* none waits once its weight is spent */
    };
    status = mlt_http_client_create(&options, &adapter->http, err);
    if (status == MLT_OK) {
        status =
            mlt_rest_schedule(&adapter->rest, MLT_REST_EXCHANGE_INFO,
                              config->listing_interval_ms * MLT_NS_PER_MS, mlt_clock_mono_ns());
        if (status != MLT_OK) {
            (void)mlt_error_set(err, status, "schedule of exchangeInfo");
        }
    }
    if (status == MLT_OK) {
        status = mlt_rest_schedule(&adapter->rest, MLT_REST_TIME,
                                   config->clock_interval_ms * MLT_NS_PER_MS,
                                   mlt_clock_mono_ns() + CLOCK_FIRST_NS);
        if (status != MLT_OK) {
            (void)mlt_error_set(err, status, "schedule of time");
        }
    }
    return status;
}
