/* What doctor looks at in the exchange: whether its REST host answers, and what time it has. */
#include <inttypes.h>
#include <string.h>

#include "doctor.h"
#include "meltica/base/clock.h"
#include "meltica/http/http.h"
#include "scrape.h"

#define ANSWER_NS (5 * MLT_NS_PER_S)
#define BODY_BYTES_MAX 65536
#define SERVER_MS_MAX (INT64_MAX / MLT_NS_PER_MS) /* beyond it is no time of ns */

struct visit {
    struct mlt_loop *loop;
    struct mlt_http_client *http;
    const char *url;
    bool pinged; /* the ping was answered: now the time is asked for */
    int code;
    char text[128];
    int64_t ping_ns;
    bool timed;
    int64_t server_ms, offset_ns, half_ns;
};

static void ask(struct visit *v, const char *path);

static void take_time(struct visit *v, const struct mlt_http_response *response)
{
    v->server_ms =
        mlt_scrape_member(mlt_slice_of(response->body, response->body_len), "serverTime");
    v->timed = response->status == MLT_OK && response->code == 200 && v->server_ms > 0 &&
               v->server_ms < SERVER_MS_MAX;
    if (!v->timed) {
        return;
    }
    v->half_ns = response->took_ns / 2 + MLT_NS_PER_MS / 2; /* it tells whole ms */
    v->offset_ns = v->server_ms * MLT_NS_PER_MS + MLT_NS_PER_MS / 2 -
                   (response->completed_ns - response->took_ns / 2);
}

static void on_answer(void *ctx, const struct mlt_http_response *response)
{
    struct visit *v = ctx;
    if (response->status == MLT_E_CLOSED) {
        return; /* we end */
    }
    if (v->pinged) {
        take_time(v, response);
        mlt_loop_stop(v->loop);
        return;
    }
    v->code = response->code;
    v->ping_ns = response->took_ns;
    (void)snprintf(v->text, sizeof v->text, "%s", response->text);
    v->pinged = response->status == MLT_OK && response->code == 200;
    if (v->pinged) {
        ask(v, "/api/v3/time");
    } else {
        mlt_loop_stop(v->loop);
    }
}

static void ask(struct visit *v, const char *path)
{
    char url[512];
    const size_t len = strlen(v->url);
    const int slash = len > 0 && v->url[len - 1] == '/';
    (void)snprintf(url, sizeof url, "%.*s%s", (int)len - slash, v->url, path);
    if (mlt_http_get(v->http, url, on_answer, v) != MLT_OK) {
        (void)snprintf(v->text, sizeof v->text, "it cannot be asked");
        mlt_loop_stop(v->loop);
    }
}

static void begin(void *ctx)
{
    ask(ctx, "/api/v3/ping");
}

static enum mlt_status visit(struct visit *v, struct mlt_error *err)
{
    enum mlt_status status = mlt_loop_create(&v->loop, err);
    if (status == MLT_OK) {
        const struct mlt_http_options options = { .loop = v->loop,
                                                  .user_agent = "meltica-cli",
                                                  .timeout_ns = ANSWER_NS,
                                                  .body_bytes_max = BODY_BYTES_MAX,
                                                  .connections_max = 1 };
        status = mlt_http_client_create(&options, &v->http, err);
    }
    if (status == MLT_OK) {
        status = mlt_loop_post(v->loop, begin, v);
    }
    if (status == MLT_OK) {
        status = mlt_loop_run(v->loop, err);
    }
    mlt_http_client_destroy(v->http);
    mlt_loop_destroy(v->loop);
    return status;
}

static void say_ping(struct mlt_doctor *d, const struct visit *v)
{
    static const char check[] = "exchange";
    if (v->pinged) {
        mlt_doctor_say(d, MLT_VERDICT_OK, check, "%.300s answers in %.1f ms", v->url,
                       (double)v->ping_ns / (double)MLT_NS_PER_MS);
    } else if (v->code == 429 || v->code == 418) {
        mlt_doctor_say(d, MLT_VERDICT_FAIL, check,
                       "%.300s answers %d: this address asked too often", v->url, v->code);
        mlt_doctor_advise(d, "ask nothing until Retry-After is over, and see what else uses this "
                             "address; the Adapter waits by itself");
    } else if (v->code != 0) {
        mlt_doctor_say(d, MLT_VERDICT_FAIL, check, "%.300s answers %d", v->url, v->code);
        mlt_doctor_advise(d, "see that it is the REST host of the exchange, and not a proxy or a "
                             "place where it does not serve");
    } else {
        mlt_doctor_say(d, MLT_VERDICT_FAIL, check, "%.300s does not answer: %s", v->url, v->text);
        mlt_doctor_advise(d, "see the URL, DNS, and that this host may reach it");
    }
}

void mlt_doctor_exchange(struct mlt_doctor *d)
{
    struct visit v = { .url = d->rest_url };
    struct mlt_error err = MLT_ERROR_INIT;
    if (d->rest_url == NULL) {
        mlt_doctor_say(d, MLT_VERDICT_UNKNOWN, "exchange", "not asked");
        mlt_doctor_advise(d, "name its REST host with --rest-url, as the Adapter has it");
        mlt_doctor_say(d, MLT_VERDICT_UNKNOWN, "clock of the exchange", "not asked");
        return;
    }
    if (visit(&v, &err) != MLT_OK) {
        (void)snprintf(v.text, sizeof v.text, "%.120s", err.text);
    }
    say_ping(d, &v);
    if (v.timed) {
        mlt_doctor_clock(d, "clock of the exchange", "it", v.offset_ns, v.half_ns, false);
    } else {
        mlt_doctor_say(d, MLT_VERDICT_UNKNOWN, "clock of the exchange",
                       v.pinged ? "it did not tell its time" : "the exchange does not answer");
    }
}
