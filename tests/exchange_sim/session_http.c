/* HTTP over libwebsockets: from its request to ours and back. */
#include <stdio.h>
#include <string.h>

#include "session.h"

#define CHUNK_BYTES ((size_t)64 << 10)

/* "name=value", already percent-decoded, into an argument. */
static bool add_argument(struct sim_query *query, const char *text, size_t len)
{
    if (query->argument_count == SIM_ARGUMENTS_MAX) {
        return false;
    }
    const char *equals = memchr(text, '=', len);
    const size_t name = equals != NULL ? (size_t)(equals - text) : len;
    struct sim_argument *argument = &query->arguments[query->argument_count++];
    argument->name = mlt_slice_of(text, name);
    argument->value = equals != NULL ? mlt_slice_of(equals + 1, len - name - 1) : MLT_SLICE_EMPTY;
    return true;
}

bool sim_session_query(struct lws *wsi, struct sim_query *query)
{
    static const enum lws_token_indexes methods[] = { WSI_TOKEN_GET_URI, WSI_TOKEN_POST_URI,
                                                      WSI_TOKEN_PUT_URI, WSI_TOKEN_DELETE_URI,
                                                      WSI_TOKEN_HEAD_URI };
    query->argument_count = 0;
    query->path[0] = '\0';
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (lws_hdr_total_length(wsi, methods[i]) > 0) {
            if (lws_hdr_copy(wsi, query->path, sizeof query->path, methods[i]) < 0) {
                return false;
            }
            break;
        }
    }
    size_t used = 0;
    for (int fragment = 0;; fragment++) {
        const int len =
            lws_hdr_copy_fragment(wsi, query->storage + used, (int)(sizeof query->storage - used),
                                  WSI_TOKEN_HTTP_URI_ARGS, fragment);
        if (len < 0) { /* -1: no more, -2: does not fit */
            return len == -1;
        }
        if (len > 0 && !add_argument(query, query->storage + used, (size_t)len)) {
            return false;
        }
        used += (size_t)len + 1;
        if (used >= sizeof query->storage) {
            return false;
        }
    }
}

static bool add_header(struct lws *wsi, const char *name, const char *value, uint8_t **at,
                       uint8_t *end)
{
    return lws_add_http_header_by_name(wsi, (const unsigned char *)name,
                                       (const unsigned char *)value, (int)strlen(value), at,
                                       end) == 0;
}

static bool write_head(struct lws *wsi, const struct sim_answer *answer, size_t body_len)
{
    uint8_t buffer[LWS_PRE + 1024], *start = buffer + LWS_PRE, *at = start,
                                    *end = buffer + sizeof buffer;
    char number[24];
    if (lws_add_http_common_headers(wsi, answer->status, answer->type, body_len, &at, end) != 0) {
        return false;
    }
    if (answer->has_weight) {
        (void)snprintf(number, sizeof number, "%llu", (unsigned long long)answer->used_weight);
        if (!add_header(wsi, "x-mbx-used-weight:", number, &at, end) ||
            !add_header(wsi, "x-mbx-used-weight-1m:", number, &at, end)) {
            return false;
        }
    }
    if (answer->retry_after_s > 0) {
        (void)snprintf(number, sizeof number, "%u", answer->retry_after_s);
        if (!add_header(wsi, "retry-after:", number, &at, end)) {
            return false;
        }
    }
    return lws_finalize_write_http_header(wsi, start, &at, end) == 0;
}

static bool accepts_html(struct lws *wsi)
{
    char accept[256];
    return lws_hdr_copy(wsi, accept, sizeof accept, WSI_TOKEN_HTTP_ACCEPT) > 0 &&
           strstr(accept, "text/html") != NULL;
}

static enum mlt_status make_answer(struct sim_server *server, struct lws *wsi,
                                   struct sim_answer *answer)
{
    static struct sim_query query; /* one thread, and it is large */
    char address[SIM_ADDRESS_BYTES_MAX] = "", unit[32] = "";
    struct sim_request request = { .address = address };
    if (!sim_session_query(wsi, &query)) {
        answer->status = 414;
        return MLT_OK;
    }
    (void)snprintf(request.path, sizeof request.path, "%s", query.path);
    memcpy(request.arguments, query.arguments, sizeof request.arguments);
    request.argument_count = query.argument_count;
    request.get = lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) > 0;
    request.accepts_html = accepts_html(wsi);
    (void)lws_get_peer_simple(wsi, address, sizeof address);
    if (lws_hdr_custom_copy(wsi, unit, sizeof unit, "x-mbx-time-unit:", 16) > 0) {
        request.time_unit = mlt_slice_of_string(unit);
    }
    if (strncmp(request.path, "/sim/", 5) == 0) {
        return sim_admin_answer(server, &request, answer);
    }
    return sim_rest_answer(server, &request, answer);
}

int sim_session_http_timer(struct lws *wsi, struct sim_session *session)
{
    const struct sim_answer *answer = &session->answer;
    const size_t announced = answer->body.len + answer->missing + answer->padding;
    if (!write_head(wsi, answer, announced)) {
        return -1;
    }
    if (announced == 0) {
        return lws_http_transaction_completed(wsi) != 0 ? -1 : 0;
    }
    (void)lws_callback_on_writable(wsi);
    return 0;
}

int sim_session_http(struct sim_server *server, struct lws *wsi, struct sim_session *session)
{
    struct sim_answer answer = { .status = 500, .type = "text/plain" };
    mlt_buf_init(&answer.body, SIM_BODY_BYTES_MAX);
    if (make_answer(server, wsi, &answer) != MLT_OK) {
        answer.status = 500;
        mlt_buf_clear(&answer.body);
    }
    mlt_buf_fini(&session->answer.body);
    session->answer = answer;
    session->sent = 0;
    if (answer.delay_ms > 0) {
        lws_set_timer_usecs(wsi, (lws_usec_t)answer.delay_ms * LWS_US_PER_MS);
        return 0;
    }
    return sim_session_http_timer(wsi, session);
}

/* Once more where the body is at its end. */
static void pad(struct sim_session *session)
{
    struct sim_answer *answer = &session->answer;
    if (session->sent < answer->body.len || answer->padding == 0) {
        return;
    }
    const size_t n = answer->padding < CHUNK_BYTES ? (size_t)answer->padding : CHUNK_BYTES;
    mlt_buf_clear(&answer->body);
    session->sent = 0;
    if (mlt_buf_reserve(&answer->body, n) == MLT_OK) {
        memset(answer->body.data, ' ', n);
        answer->body.len = n;
    }
    answer->padding -= n;
}

int sim_session_http_writable(struct lws *wsi, struct sim_session *session)
{
    pad(session);
    struct mlt_buf *body = &session->answer.body;
    const size_t left = body->len - session->sent;
    const bool hang_up = session->answer.missing > 0;
    if (left == 0) {
        return hang_up ? -1 : 0;
    }
    const size_t n = left < CHUNK_BYTES ? left : CHUNK_BYTES;
    const bool last = n == left && session->answer.padding == 0;
    if (lws_write(wsi, body->data + session->sent, n,
                  last && !hang_up ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < 0) {
        return -1;
    }
    session->sent += n;
    if (!last || hang_up) {
        (void)lws_callback_on_writable(wsi);
        return 0;
    }
    mlt_buf_fini(body);
    session->sent = 0;
    return lws_http_transaction_completed(wsi) != 0 ? -1 : 0;
}
