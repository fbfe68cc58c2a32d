#include "told.h"

#include <errno.h>
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faults.h"
#include "json.h"
#include "meltica/base/clock.h"
#include "meltica/base/log.h"
#include "rest.h"

#define WHAT_BYTES_MAX 512u
#define AFTER_S_MAX 31536000.0
#define PREFIX "/sim/"
#define EXTENT_MAX (INT64_C(1) << 30)
#define NEWEST_MAX 100000

struct entry {
    int64_t after_ns; /* the market's beginning */
    char *what;       /* "stall?ms=500" */
};

struct sim_told {
    lws_sorted_usec_list_t sul;
    struct sim_server *server;
    int64_t begun_ns; /* monotonic; 0: not yet */
    struct entry *due;
    size_t due_count, next;
    struct entry *done;
    size_t done_count, done_capacity;
};

/* One of them, being done or (check) only looked at. */
struct telling {
    struct sim_server *server;
    const struct sim_request *request;
    struct sim_answer *answer;
    bool check;
};

/* ---- arguments ---- */

static enum mlt_status wrong(struct telling *t, const char *text)
{
    t->answer->status = 400;
    return mlt_buf_printf(&t->answer->body, "{\"error\":\"%s\"}", text);
}

/* Number in [0, max]; absent: fallback. */
static bool number(const struct telling *t, const char *name, int64_t fallback, int64_t max,
                   int64_t *out)
{
    struct mlt_slice text;
    *out = fallback;
    return !sim_argument_find(t->request, name, &text) ||
           (sim_json_integer(text, out) && *out >= 0 && *out <= max);
}

/* A price with up to 8 decimals, above 0. */
static bool price(struct mlt_slice text, int64_t *e8)
{
    int64_t value = 0;
    int decimals = -1;
    for (size_t i = 0; i < text.len; i++) {
        const uint8_t c = text.data[i];
        if (c == '.' && decimals < 0 && i > 0) {
            decimals = 0;
        } else if (c >= '0' && c <= '9' && value < INT64_MAX / 1000 && decimals < 8) {
            value = value * 10 + (c - '0');
            decimals += decimals >= 0;
        } else {
            return false;
        }
    }
    for (int i = decimals > 0 ? decimals : 0; i < 8; i++) {
        if (value > INT64_MAX / 10) {
            return false;
        }
        value *= 10;
    }
    *e8 = value;
    return value > 0;
}

static enum mlt_status lines_answer(struct telling *t)
{
    return mlt_buf_printf(&t->answer->body, "{\"lines\":%zu}", t->server->hub.line_count);
}

/* ---- lines ---- */

static enum mlt_status shutdown_notice(struct telling *t)
{
    if (!t->check) {
        sim_server_shutdown_notice(t->server);
    }
    return lines_answer(t);
}

static bool newest_lines(struct telling *t, struct sim_newest *which)
{
    int64_t count = 0, but = 0;
    const bool right =
        number(t, "newest", 0, NEWEST_MAX, &count) && number(t, "but", 0, NEWEST_MAX, &but);
    *which = (struct sim_newest){ .count = (size_t)count, .but = (size_t)but };
    return right;
}

static enum mlt_status end_lines(struct telling *t)
{
    int64_t code = 0;
    struct sim_newest which;
    if (!number(t, "code", 0, 4999, &code) || (code > 0 && code < 1000)) {
        return wrong(t, "code is 0 or that of a close frame");
    }
    if (!newest_lines(t, &which)) {
        return wrong(t, "newest or but is no number up to 100000");
    }
    if (!t->check) {
        sim_server_end_lines(t->server, (uint16_t)code, which);
    }
    return lines_answer(t);
}

static enum mlt_status stall(struct telling *t)
{
    int64_t ms = 0;
    if (!number(t, "ms", 1000, 600000, &ms)) {
        return wrong(t, "ms is no number up to 600000");
    }
    if (!t->check) {
        sim_server_stall(t->server, ms);
    }
    return lines_answer(t);
}

static enum mlt_status silence(struct telling *t)
{
    int64_t ms = 0, pings = 0;
    if (!number(t, "ms", 1000, 86400000, &ms) || !number(t, "pings", 1, 1, &pings)) {
        return wrong(t, "ms is a number, pings 0 or 1");
    }
    if (!t->check) {
        sim_server_silence(t->server, ms, pings == 1);
    }
    return lines_answer(t);
}

static enum mlt_status half_open(struct telling *t)
{
    struct sim_newest which;
    if (!newest_lines(t, &which)) {
        return wrong(t, "newest or but is no number up to 100000");
    }
    if (!t->check) {
        sim_server_freeze(t->server, which);
    }
    return lines_answer(t);
}

/* ---- control messages ---- */

static enum mlt_status next_messages(struct telling *t, const char *name, uint64_t *to)
{
    int64_t count = 0;
    if (!number(t, "messages", 1, INT64_MAX, &count)) {
        return wrong(t, "messages is no number");
    }
    if (!t->check) {
        *to = (uint64_t)count;
    }
    return mlt_buf_printf(&t->answer->body, "{\"%s\":%lld}", name, (long long)count);
}

static enum mlt_status unheard(struct telling *t)
{
    return next_messages(t, "unheard", &t->server->control_faults.unheard);
}

static enum mlt_status unanswered(struct telling *t)
{
    return next_messages(t, "unanswered", &t->server->control_faults.unanswered);
}

static enum mlt_status hollow_acks(struct telling *t)
{
    return next_messages(t, "hollow", &t->server->control_faults.hollow);
}

/* ---- REST ---- */

static enum mlt_status answers(struct telling *t)
{
    struct mlt_slice function = MLT_SLICE_LITERAL("depth"), kind;
    int64_t count = 0, extent = 0;
    size_t which = 0;
    enum sim_fault fault = SIM_FAULT_COUNT;
    (void)sim_argument_find(t->request, "function", &function);
    while (which < SIM_REST_FUNCTION_COUNT &&
           !mlt_slice_equal_string(function, sim_function_names[which])) {
        which++;
    }
    if (sim_argument_find(t->request, "kind", &kind)) {
        fault = sim_fault_of(kind);
    }
    if (which == SIM_REST_FUNCTION_COUNT) {
        return wrong(t, "no such function");
    }
    if (fault == SIM_FAULT_COUNT || fault < SIM_FAULT_FRAME_KINDS ||
        (fault == SIM_FAULT_STALE && which != SIM_REST_DEPTH)) {
        return wrong(t, "kind is none of that function");
    }
    if (!number(t, "count", 1, INT64_MAX, &count) || !number(t, "extent", 0, EXTENT_MAX, &extent) ||
        (fault == SIM_FAULT_HTML && extent > 0 && (extent < 200 || extent > 599))) {
        return wrong(t, "count and extent are numbers");
    }
    if (!t->check) {
        if (t->server->faults == NULL && extent == 0) {
            static struct sim_faults dice; /* no script: its numbers all the same */
            extent = (int64_t)sim_faults_extent(&dice, fault);
        } else if (extent == 0) {
            extent = (int64_t)sim_faults_extent(t->server->faults, fault);
        }
        t->server->answer_faults[which] =
            (struct sim_answer_fault){ (uint64_t)count, fault, (uint64_t)extent };
    }
    return mlt_buf_printf(&t->answer->body, "{\"answers\":%lld}", (long long)count);
}

static bool is_status(struct mlt_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!((text.data[i] >= 'A' && text.data[i] <= 'Z') || text.data[i] == '_')) {
            return false;
        }
    }
    return text.len > 0 && text.len < sizeof(((struct sim_listing *)NULL)->status);
}

static enum mlt_status listing(struct telling *t)
{
    struct sim_market *market = t->server->market;
    struct mlt_slice name, text;
    size_t symbol = 0;
    int64_t listed = 1;
    if (!sim_argument_find(t->request, "symbol", &name) ||
        !market->ops->find(market, name, &symbol)) {
        return wrong(t, "no such symbol");
    }
    struct sim_listing change = *sim_server_listing(t->server, symbol);
    if (!number(t, "listed", change.unlisted ? 0 : 1, 1, &listed)) {
        return wrong(t, "listed is 0 or 1");
    }
    change.unlisted = listed == 0;
    if (sim_argument_find(t->request, "status", &text)) {
        if (!is_status(text)) {
            return wrong(t, "status is a word of capitals");
        }
        (void)snprintf(change.status, sizeof change.status, "%.*s", MLT_SLICE_FMT(text));
    }
    if (sim_argument_find(t->request, "tick", &text) && !price(text, &change.tick_e8)) {
        return wrong(t, "tick is a price");
    }
    if (!t->check) {
        sim_server_list(t->server, symbol, &change);
    }
    return mlt_buf_printf(&t->answer->body, "{\"listed\":%lld}", (long long)listed);
}

/* ---- the script ---- */

static enum mlt_status script(struct telling *t)
{
    struct sim_faults_options options = t->server->options->script;
    struct mlt_slice text;
    char spec[WHAT_BYTES_MAX];
    int64_t seed = 0, rate = 0, flow_rate = 0, snapshot_rate = 0, count = 0;
    if (!sim_argument_find(t->request, "faults", &text) || text.len >= sizeof spec) {
        return wrong(t, "faults is a list of kinds");
    }
    (void)snprintf(spec, sizeof spec, "%.*s", MLT_SLICE_FMT(text));
    if (!sim_faults_parse(spec, options.weights) ||
        !number(t, "seed", (int64_t)(options.seed & INT64_MAX), INT64_MAX, &seed) ||
        !number(t, "rate", options.frame_rate, 1000000, &rate) ||
        !number(t, "flow-rate", options.flow_rate, 1000000, &flow_rate) ||
        !number(t, "snapshot-rate", options.snapshot_rate, 1000, &snapshot_rate) ||
        !number(t, "count", 0, SIM_FAULTS_MAX, &count)) {
        return wrong(t, "faults is a list of kinds, the others are numbers");
    }
    options.seed = (uint64_t)seed;
    options.frame_rate = (unsigned)rate;
    options.flow_rate = (unsigned)flow_rate;
    options.snapshot_rate = (unsigned)snapshot_rate;
    options.count_max = (uint64_t)count;
    if (t->server->mutator != NULL || (!t->check && !sim_server_script(t->server, &options))) {
        return wrong(t, "one of a script and --mutate at a time");
    }
    return mlt_buf_append_string(&t->answer->body, "{\"ended\":false}");
}

static enum mlt_status faults_end(struct telling *t)
{
    if (t->check) {
        return MLT_OK;
    }
    if (t->server->faults == NULL) {
        t->answer->status = 404;
        return mlt_buf_append_string(&t->answer->body,
                                     "{\"error\":\"there is no script of faults\"}");
    }
    sim_faults_end(t->server->faults);
    return mlt_buf_append_string(&t->answer->body, "{\"ended\":true}");
}

static const struct {
    const char *name, *parameters; /* known ones, each between blanks */
    enum mlt_status (*tell)(struct telling *telling);
} words[] = {
    { "shutdown-notice", "", shutdown_notice },
    { "end-lines", " code newest but ", end_lines },
    { "stall", " ms ", stall },
    { "silence", " ms pings ", silence },
    { "half-open", " newest but ", half_open },
    { "unheard", " messages ", unheard },
    { "unanswered", " messages ", unanswered },
    { "hollow-acks", " messages ", hollow_acks },
    { "answers", " function kind count extent ", answers },
    { "listing", " symbol listed status tick ", listing },
    { "script", " faults seed rate flow-rate snapshot-rate count ", script },
    { "faults-end", "", faults_end },
};

#define WORD_COUNT (sizeof words / sizeof words[0])

static size_t word_of(const char *path)
{
    size_t i = 0;
    while (i < WORD_COUNT && (strncmp(path, PREFIX, sizeof PREFIX - 1) != 0 ||
                              strcmp(path + sizeof PREFIX - 1, words[i].name) != 0)) {
        i++;
    }
    return i;
}

bool sim_told_knows(const char *path)
{
    return word_of(path) < WORD_COUNT;
}

static enum mlt_status tell(struct telling *t)
{
    const size_t word = word_of(t->request->path);
    for (size_t i = 0; i < t->request->argument_count; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, " %.*s ", MLT_SLICE_FMT(t->request->arguments[i].name));
        if (strstr(words[word].parameters, name) == NULL) {
            return wrong(t, "there is a parameter that it does not have");
        }
    }
    return words[word].tell(t);
}

/* ---- what was told ---- */

static enum mlt_status put_escaped(struct mlt_buf *out, struct mlt_slice text)
{
    enum mlt_status status = MLT_OK;
    for (size_t i = 0; i < text.len && status == MLT_OK; i++) {
        const uint8_t c = text.data[i];
        const bool plain = c > ' ' && c < 0x7f && strchr("%&=#+?\"", c) == NULL;
        status = plain ? mlt_buf_append_byte(out, c) : mlt_buf_printf(out, "%%%02X", c);
    }
    return status;
}

static char *what_of(const struct sim_request *request)
{
    struct mlt_buf text;
    mlt_buf_init(&text, (size_t)4 << 10);
    enum mlt_status status = mlt_buf_append_string(&text, request->path + sizeof PREFIX - 1);
    for (size_t i = 0; i < request->argument_count && status == MLT_OK; i++) {
        status = mlt_buf_append_byte(&text, i == 0 ? '?' : '&');
        status = status == MLT_OK ? put_escaped(&text, request->arguments[i].name) : status;
        status = status == MLT_OK ? mlt_buf_append_byte(&text, '=') : status;
        status = status == MLT_OK ? put_escaped(&text, request->arguments[i].value) : status;
    }
    status = status == MLT_OK ? mlt_buf_append_byte(&text, '\0') : status;
    char *what = status == MLT_OK ? strdup((const char *)text.data) : NULL;
    mlt_buf_fini(&text);
    return what;
}

/* Takes what over; NULL is fine. */
static bool keep(struct entry **entries, size_t *count, size_t *capacity, int64_t after_ns,
                 char *what)
{
    if (what != NULL && *count == *capacity && *count < SIM_TOLD_MAX) {
        const size_t more = *capacity > 0 ? *capacity * 2 : 16;
        struct entry *moved = realloc(*entries, more * sizeof *moved);
        *entries = moved != NULL ? moved : *entries;
        *capacity = moved != NULL ? more : *capacity;
    }
    if (what == NULL || *count == *capacity || *count >= SIM_TOLD_MAX) {
        free(what);
        return false;
    }
    (*entries)[(*count)++] = (struct entry){ after_ns, what };
    return true;
}

enum mlt_status sim_told_answer(struct sim_server *server, const struct sim_request *request,
                                struct sim_answer *answer)
{
    struct telling telling = { server, request, answer, false };
    struct sim_told *told = server->told;
    answer->status = 200;
    const enum mlt_status status = tell(&telling);
    if (status == MLT_OK && answer->status == 200) {
        (void)keep(&told->done, &told->done_count, &told->done_capacity,
                   told->begun_ns > 0 ? mlt_clock_mono_ns() - told->begun_ns : 0, what_of(request));
    }
    return status;
}

enum mlt_status sim_told_write(const struct sim_told *told, struct mlt_buf *out)
{
    enum mlt_status status = MLT_OK;
    for (size_t i = 0; i < told->done_count && status == MLT_OK; i++) {
        status =
            mlt_buf_printf(out, "%.3f %s\n", (double)told->done[i].after_ns / (double)MLT_NS_PER_S,
                           told->done[i].what);
    }
    return status;
}

/* ---- a file ---- */

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* In place; the length. */
static size_t unescape(char *text, size_t len)
{
    size_t to = 0;
    for (size_t i = 0; i < len; i++) {
        const int high = i + 2 < len && text[i] == '%' ? hex(text[i + 1]) : -1;
        const int low = high >= 0 ? hex(text[i + 2]) : -1;
        if (low >= 0) {
            text[to++] = (char)(high * 16 + low);
            i += 2;
        } else {
            text[to++] = text[i];
        }
    }
    return to;
}

/* "stall?ms=500" as a request; text is overwritten and has to stay. False: too many arguments, or
 * no fault has that name. */
static bool read_what(char *text, struct sim_request *request)
{
    memset(request, 0, sizeof *request);
    request->get = true;
    request->address = "file";
    char *query = strchr(text, '?');
    if (query != NULL) {
        *query++ = '\0';
    }
    (void)snprintf(request->path, sizeof request->path, PREFIX "%s", text);
    while (query != NULL && *query != '\0') {
        const size_t len = strcspn(query, "&");
        char *after = query[len] == '&' ? query + len + 1 : NULL;
        const size_t name = strcspn(query, "=&");
        if (request->argument_count == SIM_ARGUMENTS_MAX || name == len) {
            return false;
        }
        struct sim_argument *argument = &request->arguments[request->argument_count++];
        argument->name = mlt_slice_of(query, name);
        argument->value =
            mlt_slice_of(query + name + 1, unescape(query + name + 1, len - name - 1));
        query = after;
    }
    return sim_told_knows(request->path);
}

/* Whether it could be done; why not stands in the answer's body. */
static bool can_be_told(struct sim_server *server, const char *what, struct sim_answer *answer)
{
    char text[WHAT_BYTES_MAX];
    struct sim_request request;
    struct telling telling = { server, &request, answer, true };
    answer->status = 200;
    (void)snprintf(text, sizeof text, "%s", what);
    if (strlen(what) >= sizeof text || !read_what(text, &request)) {
        answer->status = 404;
        return false;
    }
    return tell(&telling) == MLT_OK && answer->status == 200;
}

/* One line. False: it is none; text says why. */
static bool read_line(struct sim_told *told, size_t *capacity, char *line, char *text, size_t size)
{
    char *at = line;
    line[strcspn(line, "\r\n")] = '\0';
    if (line[strspn(line, " \t")] == '\0' || line[strspn(line, " \t")] == '#') {
        return true;
    }
    const double after_s = strtod(line, &at);
    const int64_t before_ns = told->due_count > 0 ? told->due[told->due_count - 1].after_ns : 0;
    const size_t blanks = strspn(at, " \t");
    if (at == line || blanks == 0 || !(after_s >= 0) || after_s > AFTER_S_MAX) {
        (void)snprintf(text, size, "a line is: seconds since the market began, what is told");
        return false;
    }
    at += blanks;
    const int64_t after_ns = (int64_t)(after_s * (double)MLT_NS_PER_S);
    if (after_ns < before_ns) {
        (void)snprintf(text, size, "it is earlier than the line before");
        return false;
    }
    struct sim_answer answer = { 0 };
    mlt_buf_init(&answer.body, 4096);
    const bool fine = can_be_told(told->server, at, &answer);
    if (!fine) {
        (void)snprintf(text, size, "%s: %.*s", at,
                       (int)(answer.body.len > 0 ? answer.body.len : 12),
                       answer.body.len > 0 ? (const char *)answer.body.data : "no such word");
    }
    mlt_buf_fini(&answer.body);
    return fine && keep(&told->due, &told->due_count, capacity, after_ns, strdup(at));
}

static enum mlt_status read_file(struct sim_told *told, const char *path, struct mlt_error *err)
{
    FILE *file = fopen(path, "r");
    char *line = NULL, text[2 * WHAT_BYTES_MAX] = "too many lines";
    size_t room = 0, capacity = 0;
    unsigned number_of_line = 0;
    bool fine = true;
    if (file == NULL) {
        return mlt_error_set(err, MLT_E_CONFIG, "%s: %s", path, strerror(errno));
    }
    while (fine && getline(&line, &room, file) >= 0) {
        number_of_line++;
        fine = read_line(told, &capacity, line, text, sizeof text);
    }
    free(line);
    (void)fclose(file);
    return fine ? MLT_OK
                : mlt_error_set(err, MLT_E_CONFIG, "%s:%u: %s", path, number_of_line, text);
}

static void tell_due(lws_sorted_usec_list_t *sul)
{
    struct sim_told *told = lws_container_of(sul, struct sim_told, sul);
    const int64_t since_ns = mlt_clock_mono_ns() - told->begun_ns;
    while (told->next < told->due_count && told->due[told->next].after_ns <= since_ns) {
        char text[WHAT_BYTES_MAX];
        struct sim_request request;
        struct sim_answer answer = { 0 };
        const char *what = told->due[told->next++].what;
        mlt_buf_init(&answer.body, 4096);
        (void)snprintf(text, sizeof text, "%s", what);
        if (!read_what(text, &request) ||
            sim_told_answer(told->server, &request, &answer) != MLT_OK || answer.status != 200) {
            mlt_log(MLT_LOG_ERROR, "not_told", "a fault of the file cannot be done",
                    MLT_S("what", what), MLT_SL("answer", mlt_buf_view(&answer.body)));
        }
        mlt_buf_fini(&answer.body);
    }
    if (told->next < told->due_count) {
        const int64_t left_ns = told->due[told->next].after_ns - since_ns;
        lws_sul_schedule(told->server->context, 0, sul, tell_due,
                         (left_ns + MLT_NS_PER_US - 1) / MLT_NS_PER_US);
    }
}

void sim_told_begin(struct sim_told *told)
{
    told->begun_ns = mlt_clock_mono_ns();
    if (told->due_count > 0) {
        lws_sul_schedule(told->server->context, 0, &told->sul, tell_due, 1);
    }
}

enum mlt_status sim_told_create(struct sim_server *server, const char *file, struct sim_told **told,
                                struct mlt_error *err)
{
    struct sim_told *made = calloc(1, sizeof *made);
    if (made == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for what is told");
    }
    made->server = server;
    const enum mlt_status status = file != NULL ? read_file(made, file, err) : MLT_OK;
    if (status != MLT_OK) {
        sim_told_destroy(made);
        return status;
    }
    *told = made;
    return MLT_OK;
}

static void free_entries(struct entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(entries[i].what);
    }
    free(entries);
}

void sim_told_destroy(struct sim_told *told)
{
    if (told != NULL) {
        free_entries(told->due, told->due_count);
        free_entries(told->done, told->done_count);
        free(told);
    }
}
