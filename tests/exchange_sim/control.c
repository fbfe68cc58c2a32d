#include "control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

#define METHODS "SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS, SET_PROPERTY, GET_PROPERTY"
#define ID_BYTES_MAX 36u

struct request {
    struct sim_hub *hub;
    struct sim_line *line;
    struct mlt_buf *out; /* the answer */
    struct mlt_slice id; /* JSON text as the client sent it; empty: none that can be read */
    struct mlt_slice params;
    size_t param_count;
    size_t text_len;
    bool unanswered;
    struct sim_control_faults *faults;
};

/* Takes one of those that are left. */
static bool take(uint64_t *left)
{
    const bool some = *left > 0;
    *left -= some ? 1 : 0;
    return some;
}

static void send(struct request *request, enum mlt_status status)
{
    if (status == MLT_OK && request->id.len > 0) {
        status = mlt_buf_append_string(request->out, ",\"id\":");
        if (status == MLT_OK) {
            status = mlt_buf_append(request->out, request->id.data, request->id.len);
        }
    } else if (status == MLT_OK) {
        status = mlt_buf_append_string(request->out, ",\"id\":null");
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_byte(request->out, '}');
    }
    if (status == MLT_OK && request->unanswered) {
        return;
    }
    if (status == MLT_OK) {
        sim_line_put(request->hub, request->line, 1, mlt_buf_view(request->out));
    } else {
        sim_line_finish(request->hub, request->line, 1011, "no memory for an answer");
    }
}

static void send_result(struct request *request, const char *result)
{
    mlt_buf_clear(request->out);
    send(request, mlt_buf_printf(request->out, "{\"result\":%s", result));
}

/* The document shows code and msg at the top; what the servers send has them in "error". */
static void send_error(struct request *request, int code, const char *text)
{
    mlt_buf_clear(request->out);
    enum mlt_status status = mlt_buf_printf(request->out, "{\"error\":{\"code\":%d,\"msg\":", code);
    if (status == MLT_OK) {
        status = mlt_buf_append_json_string(request->out, mlt_slice_of_string(text));
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_byte(request->out, '}');
    }
    send(request, status);
}

static void send_stream_error(struct request *request, enum mlt_status status)
{
    send_error(request, 2,
               status == MLT_E_LIMIT ? "Invalid request: too many streams"
                                     : "Invalid request: invalid stream");
    sim_line_finish(request->hub, request->line, 1008,
                    status == MLT_E_LIMIT ? "Too many streams" : "Invalid stream");
}

/* Every name, before anything is changed. */
static enum mlt_status check_names(const struct request *request)
{
    size_t position = 0;
    struct mlt_slice value;
    struct mlt_buf name;
    enum mlt_status status = MLT_OK;
    mlt_buf_init(&name, (size_t)1 << 16);
    while (status == MLT_OK && sim_json_next(request->params, &position, &value)) {
        mlt_buf_clear(&name);
        status = sim_json_unescape(value, &name);
        if (status == MLT_OK && !sim_name_valid(mlt_buf_view(&name))) {
            status = MLT_E_PARSE;
        }
    }
    mlt_buf_fini(&name);
    return status;
}

static void change_subscriptions(struct request *request, bool add)
{
    enum mlt_status status = check_names(request);
    size_t position = 0;
    struct mlt_slice value;
    struct mlt_buf name;
    if (status == MLT_OK && add && take(&request->faults->hollow)) {
        send_result(request, "null");
        return;
    }
    mlt_buf_init(&name, (size_t)1 << 16);
    while (status == MLT_OK && sim_json_next(request->params, &position, &value)) {
        mlt_buf_clear(&name);
        status = sim_json_unescape(value, &name);
        if (status == MLT_OK && add) {
            status = sim_hub_subscribe(request->hub, request->line, mlt_buf_view(&name));
        } else if (status == MLT_OK) {
            sim_hub_unsubscribe(request->hub, request->line, mlt_buf_view(&name));
        }
    }
    mlt_buf_fini(&name);
    if (status != MLT_OK) {
        send_stream_error(request, status);
        return;
    }
    send_result(request, "null");
}

static void list_subscriptions(struct request *request)
{
    mlt_buf_clear(request->out);
    enum mlt_status status = mlt_buf_append_string(request->out, "{\"result\":[");
    for (size_t i = 0; status == MLT_OK && i < request->line->topic_count; i++) {
        const struct sim_topic *topic = request->line->topics[i];
        if (i > 0) {
            status = mlt_buf_append_byte(request->out, ',');
        }
        if (status == MLT_OK) {
            status = mlt_buf_append_json_string(request->out,
                                                mlt_slice_of(topic->name, topic->name_len));
        }
    }
    if (status == MLT_OK) {
        status = mlt_buf_append_byte(request->out, ']');
    }
    send(request, status);
}

static void property(struct request *request, bool set)
{
    struct mlt_slice name, value = MLT_SLICE_EMPTY, text;
    size_t position = 0;
    if (request->param_count > (set ? 2 : 1)) {
        send_error(request, 2, "Invalid request: too many parameters");
        return;
    }
    if (!sim_json_next(request->params, &position, &name) || !sim_json_plain(name, &text)) {
        send_error(request, 2, "Invalid request: property name must be a string");
        return;
    }
    if (!mlt_slice_equal_string(text, "combined")) {
        send_error(request, 0, "Unknown property");
        return;
    }
    if (!set) {
        send_result(request, request->line->combined ? "true" : "false");
        return;
    }
    const bool given = sim_json_next(request->params, &position, &value);
    const bool yes = given && mlt_slice_equal_string(value, "true");
    if (!yes && !(given && mlt_slice_equal_string(value, "false"))) {
        send_error(request, 1, "Invalid value type: expected Boolean");
        return;
    }
    request->line->combined = yes;
    send_result(request, "null");
}

/* A 64-bit integer, an alphanumeric string of up to 36 bytes, or null. */
static bool id_is_valid(struct mlt_slice id)
{
    int64_t unused = 0;
    struct mlt_slice text;
    if (mlt_slice_equal_string(id, "null") || sim_json_integer(id, &unused)) {
        return true;
    }
    if (!sim_json_plain(id, &text) || text.len > ID_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        const uint8_t c = text.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '-' || c == '_')) {
            return false;
        }
    }
    return true;
}

static void send_unknown_method(struct request *request, struct mlt_slice method)
{
    struct mlt_buf text;
    mlt_buf_init(&text, 1024);
    const struct mlt_slice shown = mlt_slice_of(method.data, method.len < 64 ? method.len : 64);
    const enum mlt_status status = mlt_buf_printf(
        &text,
        "Invalid request: unknown variant `%.*s`, expected one of " METHODS " at line 1 column %zu",
        MLT_SLICE_FMT(shown), request->text_len);
    send_error(request, 2, status == MLT_OK ? (const char *)text.data : "Invalid request");
    mlt_buf_fini(&text);
}

static void dispatch(struct request *request, struct mlt_slice method)
{
    if (mlt_slice_equal_string(method, "SUBSCRIBE")) {
        change_subscriptions(request, true);
    } else if (mlt_slice_equal_string(method, "UNSUBSCRIBE")) {
        change_subscriptions(request, false);
    } else if (mlt_slice_equal_string(method, "LIST_SUBSCRIPTIONS")) {
        list_subscriptions(request);
    } else if (mlt_slice_equal_string(method, "SET_PROPERTY")) {
        property(request, true);
    } else if (mlt_slice_equal_string(method, "GET_PROPERTY")) {
        property(request, false);
    } else {
        send_unknown_method(request, method);
    }
}

static void send_invalid_json(struct request *request, struct mlt_slice text, size_t at)
{
    char message[96];
    unsigned line = 1;
    size_t column = 1;
    for (size_t i = 0; i < at && i < text.len; i++) {
        column++;
        if (text.data[i] == '\n') {
            line++;
            column = 1;
        }
    }
    (void)snprintf(message, sizeof message, "Invalid JSON: expected value at line %u column %zu",
                   line, column);
    send_error(request, 3, message);
}

/* Array of params and its length; a missing one is an empty one. */
static bool read_params(struct request *request, struct mlt_slice text)
{
    const struct mlt_slice none = MLT_SLICE_LITERAL("[]");
    size_t position = 0;
    struct mlt_slice value;
    if (!sim_json_member(text, "params", &request->params) ||
        mlt_slice_equal_string(request->params, "null")) {
        request->params = none;
    }
    if (request->params.data[0] != '[') {
        return false;
    }
    while (sim_json_next(request->params, &position, &value)) {
        request->param_count++;
    }
    return true;
}

void sim_control_handle(struct sim_hub *hub, struct sim_line *line, struct mlt_slice text,
                        struct sim_control_faults *faults, struct mlt_buf *scratch)
{
    struct request request = {
        .hub = hub, .line = line, .out = scratch, .text_len = text.len, .faults = faults
    };
    struct mlt_slice id, method, word;
    size_t at = 0;
    if (take(&faults->unheard)) {
        return;
    }
    request.unanswered = take(&faults->unanswered);
    if (!sim_json_valid(text, &at)) {
        send_invalid_json(&request, text, at);
        return;
    }
    if (sim_json_member(text, "id", &id)) {
        if (!id_is_valid(id)) {
            send_error(&request, 2,
                       "Invalid request: request ID must be an integer, a string or null");
            return;
        }
        request.id = id;
    }
    if (!sim_json_member(text, "method", &method)) {
        char message[80];
        (void)snprintf(message, sizeof message,
                       "Invalid request: missing field `method` at line 1 column %zu", text.len);
        send_error(&request, 2, message);
    } else if (!sim_json_plain(method, &word)) {
        send_error(&request, 2, "Invalid request: invalid type, expected a string as method");
    } else if (!read_params(&request, text)) {
        send_error(&request, 2, "Invalid request: invalid type, expected an array as params");
    } else {
        dispatch(&request, word);
    }
}

/* Next name of "a/b/c". */
static bool next_name(struct mlt_slice *rest, struct mlt_slice *name)
{
    if (rest->len == 0) {
        return false;
    }
    const uint8_t *slash = memchr(rest->data, '/', rest->len);
    const size_t len = slash != NULL ? (size_t)(slash - rest->data) : rest->len;
    *name = mlt_slice_of(rest->data, len);
    const size_t taken = len + (slash != NULL ? 1 : 0);
    *rest = mlt_slice_of(rest->data + taken, rest->len - taken);
    return true;
}

enum mlt_status sim_control_check_path(struct mlt_slice names, size_t streams_max)
{
    struct mlt_slice name;
    size_t count = 0;
    while (next_name(&names, &name)) {
        if (!sim_name_valid(name)) {
            return MLT_E_PARSE;
        }
        if (++count > streams_max) {
            return MLT_E_LIMIT;
        }
    }
    return MLT_OK;
}

enum mlt_status sim_control_subscribe_path(struct sim_hub *hub, struct sim_line *line,
                                           struct mlt_slice names)
{
    struct mlt_slice name;
    enum mlt_status status = sim_control_check_path(names, hub->streams_max);
    while (status == MLT_OK && next_name(&names, &name)) {
        status = sim_hub_subscribe(hub, line, name);
    }
    return status;
}
