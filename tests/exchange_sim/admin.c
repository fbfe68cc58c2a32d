/* The simulator about itself, under /sim/: counters, the true book, the start, a shutdown notice.
 */
#include <stdio.h>
#include <string.h>

#include "faults.h"
#include "http.h"
#include "json.h"
#include "mutate.h"
#include "rest.h"
#include "told.h"

static const char *yes_no(bool value)
{
    return value ? "true" : "false";
}

static enum mlt_status put_streams(const struct sim_hub *hub, struct mlt_buf *out)
{
    enum mlt_status status = mlt_buf_append_string(out, ",\"streams\":{");
    size_t position = 0;
    const struct mlt_map_entry *entry;
    bool first = true;
    while (status == MLT_OK && (entry = mlt_map_next(&hub->topics, &position)) != NULL) {
        const struct sim_topic *topic = entry->value;
        if (!first) {
            status = mlt_buf_append_byte(out, ',');
        }
        if (status == MLT_OK) {
            status = mlt_buf_append_json_string(out, mlt_slice_of(topic->name, topic->name_len));
        }
        if (status == MLT_OK) {
            status = mlt_buf_printf(out, ":{\"sent\":%llu,\"unsent\":%llu,\"lines\":%zu}",
                                    (unsigned long long)topic->frames,
                                    (unsigned long long)topic->unsent, topic->line_count);
        }
        first = false;
    }
    return status == MLT_OK ? mlt_buf_append_byte(out, '}') : status;
}

static enum mlt_status put_rest(const struct sim_server *server, struct mlt_buf *out)
{
    enum mlt_status status = mlt_buf_append_string(out, ",\"rest_requests\":{");
    for (size_t i = 0; status == MLT_OK && i < SIM_REST_FUNCTION_COUNT; i++) {
        status = mlt_buf_printf(out, "%s\"%s\":%llu", i > 0 ? "," : "", sim_function_names[i],
                                (unsigned long long)server->rest_requests[i]);
    }
    return status == MLT_OK ? mlt_buf_printf(out,
                                             "},\"rest_refused\":%llu,\"rest_weight_peak\":%llu,"
                                             "\"connections_refused\":%llu",
                                             (unsigned long long)server->rest_refused,
                                             (unsigned long long)server->limits.weight_peak,
                                             (unsigned long long)server->limits.connections_refused)
                            : status;
}

static enum mlt_status put_mutations(const struct sim_mutator *mutator, struct mlt_buf *out)
{
    enum mlt_status status =
        mlt_buf_printf(out, ",\"frames_mutated\":%llu,\"mutations\":{",
                       mutator != NULL ? (unsigned long long)mutator->frames : 0ULL);
    for (size_t i = 0; status == MLT_OK && mutator != NULL && i < SIM_MUTATION_COUNT; i++) {
        status = mlt_buf_printf(out, "%s\"%s\":%llu", i > 0 ? "," : "", sim_mutation_names[i],
                                (unsigned long long)mutator->by_kind[i]);
    }
    return status == MLT_OK ? mlt_buf_append_byte(out, '}') : status;
}

static enum mlt_status status_page(struct sim_server *server, struct mlt_buf *out)
{
    const struct sim_market *market = server->market;
    const struct sim_hub *hub = &server->hub;
    size_t subscriptions = 0, waiting = 0, silent = 0;
    for (const struct sim_line *line = hub->oldest; line != NULL; line = line->newer) {
        subscriptions += line->topic_count;
        silent += line->silent;
        waiting += line->out.len;
    }
    enum mlt_status status = mlt_buf_printf(
        out,
        "{\"mode\":\"%s\",\"started\":%s,\"finished\":%s,\"started_ns\":%lld,\"finished_ns\":%lld,"
        "\"symbols\":%zu,\"frames_total\":%llu,\"frames_passed\":%llu,\"frames_sent\":%llu,"
        "\"frames_dropped\":%llu,\"passes\":%llu,\"records_skipped\":%llu,\"connections\":%zu,"
        "\"connections_opened\":%llu,\"subscriptions\":%zu,\"messages_received\":%llu,"
        "\"bytes_waiting\":%zu,\"half_open\":%zu,\"silent\":%zu",
        market->mode, yes_no(server->started), yes_no(market->finished),
        (long long)server->started_wall_ns, (long long)server->finished_wall_ns,
        market->symbol_count, (unsigned long long)market->frames_total,
        (unsigned long long)market->frames_passed, (unsigned long long)hub->frames_sent,
        (unsigned long long)hub->frames_dropped, (unsigned long long)market->passes,
        (unsigned long long)market->skipped, hub->line_count, (unsigned long long)hub->lines_opened,
        subscriptions, (unsigned long long)hub->messages_received, waiting,
        sim_server_frozen(server), silent);
    if (status == MLT_OK) {
        status = put_mutations(server->mutator, out);
    }
    if (status == MLT_OK) {
        status = put_rest(server, out);
    }
    if (status == MLT_OK) {
        status = put_streams(hub, out);
    }
    return status == MLT_OK ? mlt_buf_append_byte(out, '}') : status;
}

static enum mlt_status problem(struct sim_answer *answer, unsigned code, const char *text)
{
    answer->status = code;
    return mlt_buf_printf(&answer->body, "{\"error\":\"%s\"}", text);
}

static enum mlt_status book_page(struct sim_server *server, const struct sim_request *request,
                                 struct sim_answer *answer)
{
    struct sim_market *market = server->market;
    struct mlt_slice name, text;
    size_t symbol = 0;
    int64_t id = 0, limit = 0;
    if (!sim_argument_find(request, "symbol", &name) || !market->ops->find(market, name, &symbol)) {
        return problem(answer, 404, "no such symbol");
    }
    if (sim_argument_find(request, "limit", &text) &&
        (!sim_json_integer(text, &limit) || limit < 1)) {
        return problem(answer, 400, "limit is no number of levels");
    }
    limit = limit > 0 ? limit : SIM_LEVELS_MAX;
    const struct sim_book *book = NULL;
    if (sim_argument_find(request, "id", &text)) {
        if (!sim_json_integer(text, &id)) {
            return problem(answer, 400, "id is no number");
        }
        const enum mlt_status status = market->ops->book_at(market, symbol, id, &book);
        if (status == MLT_E_RANGE) {
            return problem(answer, 410, "the book at that id is not known, or no longer");
        }
        if (status != MLT_OK) {
            return problem(answer, 404, "the market has not come to that id");
        }
    } else {
        book = market->ops->book(market, symbol);
        id = book != NULL ? book->id : 0;
    }
    if (book == NULL) {
        return problem(answer, 500, "the book cannot be made");
    }
    char extra[160];
    (void)snprintf(extra, sizeof extra,
                   ",\"id\":%lld,\"exact\":%s,\"bidLevels\":%zu,\"askLevels\":%zu", (long long)id,
                   yes_no(book->id == id), book->bids.count, book->asks.count);
    return sim_book_write(book, (size_t)limit, extra, &answer->body);
}

/* Number in text; false: it is none, or below 0. Absent: fallback. */
static bool number_argument(const struct sim_request *request, const char *name, int64_t fallback,
                            int64_t *out)
{
    struct mlt_slice text;
    *out = fallback;
    return !sim_argument_find(request, name, &text) || (sim_json_integer(text, out) && *out >= 0);
}

/* True books at several ids, in the order of the question; an unknown one is null. */
static enum mlt_status books_page(struct sim_server *server, const struct sim_request *request,
                                  struct sim_answer *answer)
{
    struct sim_market *market = server->market;
    struct mlt_slice name, ids;
    size_t symbol = 0;
    int64_t limit = 0;
    if (!sim_argument_find(request, "symbol", &name) || !market->ops->find(market, name, &symbol)) {
        return problem(answer, 404, "no such symbol");
    }
    if (!sim_argument_find(request, "ids", &ids) ||
        !number_argument(request, "limit", SIM_LEVELS_MAX, &limit)) {
        return problem(answer, 400, "ids and limit are numbers");
    }
    enum mlt_status status = mlt_buf_append_byte(&answer->body, '[');
    for (size_t at = 0, end = 0; status == MLT_OK && at < ids.len; at = end + 1) {
        const uint8_t *comma = memchr(ids.data + at, ',', ids.len - at);
        int64_t id = 0;
        end = comma != NULL ? (size_t)(comma - ids.data) : ids.len;
        if (!sim_json_integer(mlt_slice_of(ids.data + at, end - at), &id)) {
            mlt_buf_clear(&answer->body);
            return problem(answer, 400, "ids and limit are numbers");
        }
        const struct sim_book *book = NULL;
        if (at > 0) {
            status = mlt_buf_append_byte(&answer->body, ',');
        }
        if (status == MLT_OK) {
            status = market->ops->book_at(market, symbol, id, &book) == MLT_OK
                         ? sim_book_write(book, (size_t)limit,
                                          book->id == id ? ",\"exact\":true" : ",\"exact\":false",
                                          &answer->body)
                         : mlt_buf_append_string(&answer->body, "null");
        }
    }
    return status == MLT_OK ? mlt_buf_append_byte(&answer->body, ']') : status;
}

static enum mlt_status faults_page(const struct sim_server *server,
                                   const struct sim_request *request, struct sim_answer *answer)
{
    int64_t from = 0, limit = 0;
    if (!number_argument(request, "from", 0, &from) ||
        !number_argument(request, "limit", SIM_FAULTS_MAX, &limit)) {
        return problem(answer, 400, "from and limit are numbers");
    }
    return server->faults != NULL
               ? sim_faults_write(server->faults, (size_t)from, (size_t)limit, &answer->body)
               : problem(answer, 404, "there is no script of faults");
}

/* Last id that was given of a symbol's trades; 0: none yet. */
static int64_t last_trade(struct sim_market *market, size_t symbol, bool aggregates)
{
    struct sim_trade trade = { 0 };
    const size_t count = market->ops->trade_count(market, symbol, aggregates);
    if (count > 0) {
        market->ops->trade(market, symbol, aggregates, count - 1, &trade);
    }
    return trade.id;
}

/* How far the market has come: the last ids of each symbol. */
static enum mlt_status heads_page(struct sim_server *server, struct mlt_buf *out)
{
    struct sim_market *market = server->market;
    enum mlt_status status = mlt_buf_append_byte(out, '{');
    for (size_t i = 0; status == MLT_OK && i < market->symbol_count; i++) {
        struct sim_symbol symbol;
        market->ops->symbol(market, i, &symbol);
        const struct sim_book *book = market->ops->book(market, i);
        status = mlt_buf_printf(
            out, "%s\"%.*s\":{\"depth\":%lld,\"trade\":%lld,\"aggTrade\":%lld}", i > 0 ? "," : "",
            MLT_SLICE_FMT(symbol.name), (long long)(book != NULL ? book->id : 0),
            (long long)last_trade(market, i, false), (long long)last_trade(market, i, true));
    }
    return status == MLT_OK ? mlt_buf_append_byte(out, '}') : status;
}

enum mlt_status sim_admin_answer(struct sim_server *server, const struct sim_request *request,
                                 struct sim_answer *answer)
{
    answer->status = 200;
    answer->type = "application/json;charset=UTF-8";
    if (strcmp(request->path, "/sim/status") == 0) {
        return status_page(server, &answer->body);
    }
    if (strcmp(request->path, "/sim/book") == 0) {
        return book_page(server, request, answer);
    }
    if (strcmp(request->path, "/sim/books") == 0) {
        return books_page(server, request, answer);
    }
    if (strcmp(request->path, "/sim/faults") == 0) {
        return faults_page(server, request, answer);
    }
    if (strcmp(request->path, "/sim/heads") == 0) {
        return heads_page(server, &answer->body);
    }
    if (strcmp(request->path, "/sim/told") == 0) {
        answer->type = "text/plain;charset=UTF-8";
        return sim_told_write(server->told, &answer->body);
    }
    if (sim_told_knows(request->path)) {
        return sim_told_answer(server, request, answer);
    }
    if (strcmp(request->path, "/sim/start") == 0) {
        sim_server_start(server);
        return mlt_buf_append_string(&answer->body, "{\"started\":true}");
    }
    return problem(answer, 404, "no such page");
}
