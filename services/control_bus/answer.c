#include "answer.h"

#include <stdarg.h>
#include <stdio.h>

#include <cjson/cJSON.h>

#include "json.h"
#include "meltica/event/field.h"

/* ---- requests ---- */

enum mlt_status mlt_control_refuse(struct mlt_control_refusal *refusal, int code, const char *field,
                                   const char *format, ...)
{
    va_list arguments;
    refusal->code = code;
    (void)snprintf(refusal->field, sizeof refusal->field, "%s", field);
    va_start(arguments, format);
    (void)vsnprintf(refusal->message, sizeof refusal->message, format, arguments);
    va_end(arguments);
    return MLT_E_PROTOCOL;
}

enum mlt_status mlt_control_refusal_json(const struct mlt_control_refusal *refusal,
                                         struct mlt_buf *out)
{
    struct json json = { out, MLT_OK, false };
    json_open(&json, NULL, '{');
    json_text(&json, "status", "REJECTED");
    json_number(&json, "code", refusal->code);
    json_text(&json, "message", refusal->message);
    json_text(&json, "field", refusal->field);
    json_close(&json, '}');
    return json.status;
}

static bool is_blank(struct mlt_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (strchr(" \t\r\n", text.data[i]) == NULL || text.data[i] == '\0') {
            return false;
        }
    }
    return true;
}

cJSON *mlt_control_parse(struct mlt_slice text)
{
    const char *end = NULL;
    cJSON *tree = cJSON_ParseWithLengthOpts((const char *)text.data, text.len, &end, false);
    const size_t used = end != NULL ? (size_t)(end - (const char *)text.data) : 0;
    if (tree != NULL && !is_blank(mlt_slice_of(text.data + used, text.len - used))) {
        cJSON_Delete(tree);
        return NULL;
    }
    return tree;
}

enum mlt_status mlt_control_check_empty(struct mlt_slice request, const char *verb,
                                        struct mlt_control_refusal *refusal)
{
    if (is_blank(request)) {
        return MLT_OK;
    }
    if (request.len > MLT_CONTROL_REQUEST_BYTES_MAX) {
        return mlt_control_refuse(refusal, 400, "",
                                  "the request is longer than %u bytes: shorten it",
                                  MLT_CONTROL_REQUEST_BYTES_MAX);
    }
    cJSON *tree = mlt_control_parse(request);
    if (tree == NULL) {
        return mlt_control_refuse(refusal, 400, "",
                                  "the request is not JSON: send an empty request or {}");
    }
    enum mlt_status status = MLT_OK;
    if (!cJSON_IsObject(tree)) {
        status = mlt_control_refuse(refusal, 400, "",
                                    "the request is no JSON object: send an empty request or {}");
    } else if (tree->child != NULL) {
        status = mlt_control_refuse(refusal, 400, tree->child->string,
                                    "\"%.60s\" is unknown: %s has no parameters, remove it",
                                    tree->child->string, verb);
    }
    cJSON_Delete(tree);
    return status;
}

/* ---- status ---- */

static void put_adapter(struct json *json, const struct mlt_control_adapter *adapter,
                        const Meltica__V1__Table *table)
{
    const Meltica__V1__PlanStatus *s = adapter->status;
    json_open(json, NULL, '{');
    json_text(json, "instance", s->instance);
    json_number(json, "heard_ms_ago", adapter->heard_ms);
    json_big(json, "revision", s->revision);
    json_flag(json, "current", table != NULL && s->revision == table->revision);
    json_flag(json, "applied", s->applied);
    json_text(json, "reason", s->reason);
    json_number(json, "connections", s->connections);
    if (s->clock_known) {
        json_open(json, "exchange_clock", '{');
        json_number(json, "offset_us", s->clock_offset_ns / 1000);
        json_number(json, "uncertainty_us", (int64_t)(s->clock_uncertainty_ns + 999) / 1000);
        json_close(json, '}');
    }
    json_open(json, "topics", '{');
    json_number(json, "pending", s->topics_pending);
    json_number(json, "live", s->topics_live);
    json_number(json, "failed", s->topics_failed);
    json_close(json, '}');
    json_open(json, "problems", '[');
    for (size_t i = 0; i < s->n_problems; i++) {
        json_open(json, NULL, '{');
        json_number(json, "route", s->problems[i]->route);
        json_text(json, "instrument", s->problems[i]->instrument);
        json_text(json, "state", s->problems[i]->state);
        json_text(json, "reason", s->problems[i]->reason);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_close(json, '}');
}

static void put_dispatcher(struct json *json, const struct mlt_control_view *view)
{
    const Meltica__V1__Table *table = view->table;
    json_open(json, "dispatcher", '{');
    json_text(json, "state", table != NULL ? "UP" : "AWAY");
    json_number(json, "heard_ms_ago", view->dispatcher_heard_ms);
    json_big(json, "revision", table != NULL ? table->revision : view->last_revision);
    if (table != NULL) {
        json_number(json, "routes", (int64_t)table->n_routes);
        json_number(json, "instruments_listed", table->instruments_listed);
        json_number(json, "instruments_subscribed", table->instruments_subscribed);
        json_flag(json, "listing_complete", table->listing_heard);
    }
    json_close(json, '}');
}

static void put_service(struct json *json, const struct mlt_control_service *service)
{
    json_open(json, NULL, '{');
    json_text(json, "name", service->name);
    json_text(json, "state", service->up ? "UP" : "AWAY");
    if (service->up) {
        json_text(json, "id", service->id);
        json_text(json, "version", service->version);
    }
    json_close(json, '}');
}

enum mlt_status mlt_control_status_json(const struct mlt_control_view *view, struct mlt_buf *out)
{
    struct json json = { out, MLT_OK, false };
    bool whole = view->table != NULL && view->adapter_count > 0;
    for (size_t i = 0; i < view->service_count; i++) {
        whole = whole && view->services[i].up;
    }
    json_open(&json, NULL, '{');
    json_text(&json, "status", whole ? "OK" : "DEGRADED");
    json_text(&json, "service", "meltica-control");
    json_text(&json, "version", view->version);
    json_text(&json, "instance", view->instance);
    put_dispatcher(&json, view);
    json_open(&json, "adapters", '[');
    for (size_t i = 0; i < view->adapter_count; i++) {
        put_adapter(&json, &view->adapters[i], view->table);
    }
    json_close(&json, ']');
    json_open(&json, "services", '[');
    for (size_t i = 0; i < view->service_count; i++) {
        put_service(&json, &view->services[i]);
    }
    json_close(&json, ']');
    json_close(&json, '}');
    return json.status;
}

/* ---- describe ---- */

static const char *const descriptions[MLT_EVENT_TYPE_COUNT] = {
    [MLT_EVENT_TICKER] = "rolling 24 h statistics",
    [MLT_EVENT_BBO] = "best bid and offer",
    [MLT_EVENT_TRADE] = "one match",
    [MLT_EVENT_AGG_TRADE] = "fills of one taker order at one price",
    [MLT_EVENT_KLINE] = "one state of one candle",
    [MLT_EVENT_BOOK_DELTA] = "changed price levels, absolute quantities",
    [MLT_EVENT_BOOK_SNAPSHOT] = "price levels as one REST answer gave them",
    [MLT_EVENT_INSTRUMENT] = "listing, tick and lot sizes, status, exponents",
};

static void put_route(struct json *json, const Meltica__V1__TableRoute *route)
{
    json_open(json, NULL, '{');
    json_number(json, "route", route->route);
    json_text(json, "topic", route->ws_topic);
    json_text(json, "rest_function", route->rest_function);
    json_number(json, "rest_interval_ms", route->rest_interval_ms);
    json_open(json, "policies", '[');
    for (size_t i = 0; i < route->n_policies; i++) {
        json_text(json, NULL, route->policies[i]);
    }
    json_close(json, ']');
    json_close(json, '}');
}

static void put_filters(struct json *json, enum mlt_event_type type)
{
    json_open(json, "filters", '[');
    for (const struct mlt_event_field *f = mlt_event_field_next(type, NULL); f != NULL;
         f = mlt_event_field_next(type, f)) {
        const bool number = f->kind == MLT_EVENT_FIELD_NUMBER;
        json_open(json, NULL, '{');
        json_text(json, "field", f->name);
        json_text(json, "kind", number ? "decimal" : "text");
        json_open(json, "ops", '[');
        for (int op = 0; op < (number ? MLT_EVENT_OP_COUNT : MLT_EVENT_OP_LT); op++) {
            json_text(json, NULL, mlt_event_op_word((enum mlt_event_op)op));
        }
        json_close(json, ']');
        json_close(json, '}');
    }
    json_close(json, ']');
}

/* Types without a route are not on offer. */
static void put_type(struct json *json, const Meltica__V1__Table *table, enum mlt_event_type type)
{
    size_t routes = 0;
    for (size_t i = 0; i < table->n_routes; i++) {
        if ((int)table->routes[i]->type != (int)type) {
            continue;
        }
        if (routes++ == 0) {
            json_open(json, NULL, '{');
            json_text(json, "type", mlt_event_type_word((int)type));
            json_text(json, "description", descriptions[type]);
            json_open(json, "routes", '[');
        }
        put_route(json, table->routes[i]);
    }
    if (routes > 0) {
        json_close(json, ']');
        put_filters(json, type);
        json_close(json, '}');
    }
}

static bool has_route(const Meltica__V1__Table *table, enum mlt_event_type type)
{
    for (size_t i = 0; i < table->n_routes; i++) {
        if ((int)table->routes[i]->type == (int)type) {
            return true;
        }
    }
    return false;
}

/* BOOK has no route of its own: it is on offer where its sources are. */
static void put_book(struct json *json, const Meltica__V1__Table *table)
{
    static const enum mlt_event_type sources[] = { MLT_EVENT_BOOK_DELTA, MLT_EVENT_BOOK_SNAPSHOT };
    if (!has_route(table, sources[0]) || !has_route(table, sources[1])) {
        return;
    }
    json_open(json, NULL, '{');
    json_text(json, "type", mlt_event_type_word((int)MLT_EVENT_BOOK));
    json_text(json, "description", "the fused book");
    json_open(json, "derived_from", '[');
    json_text(json, NULL, mlt_event_type_word((int)sources[0]));
    json_text(json, NULL, mlt_event_type_word((int)sources[1]));
    json_close(json, ']');
    json_open(json, "routes", '[');
    json_close(json, ']');
    put_filters(json, MLT_EVENT_BOOK);
    json_close(json, '}');
}

static void put_subscription(struct json *json, const Meltica__V1__TableSubscription *subscription)
{
    json_open(json, NULL, '{');
    json_text(json, "id", subscription->id);
    json_text(json, "type", mlt_event_type_word((int)subscription->type));
    json_open(json, "instruments", '[');
    for (size_t i = 0; i < subscription->n_instruments; i++) {
        json_text(json, NULL, subscription->instruments[i]);
    }
    json_close(json, ']');
    json_close(json, '}');
}

enum mlt_status mlt_control_describe_json(const Meltica__V1__Table *table, struct mlt_buf *out)
{
    struct json json = { out, MLT_OK, false };
    json_open(&json, NULL, '{');
    json_text(&json, "status", "OK");
    json_big(&json, "revision", table->revision);
    json_open(&json, "types", '[');
    for (int type = 1; type < MLT_EVENT_TYPE_COUNT; type++) {
        if (descriptions[type] != NULL) {
            put_type(&json, table, (enum mlt_event_type)type);
        }
    }
    put_book(&json, table);
    json_close(&json, ']');
    json_open(&json, "instruments", '{');
    json_number(&json, "listed", table->instruments_listed);
    json_number(&json, "subscribed", table->instruments_subscribed);
    json_flag(&json, "complete", table->listing_heard);
    json_close(&json, '}');
    json_open(&json, "subscriptions", '[');
    for (size_t i = 0; i < table->n_subscriptions; i++) {
        if (!table->subscriptions[i]->implied) {
            put_subscription(&json, table->subscriptions[i]);
        }
    }
    json_close(&json, ']');
    json_close(&json, '}');
    return json.status;
}
