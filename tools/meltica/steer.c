/* meltica sub, unsub, update, subs: live subscriptions, asked of the Control Bus (docs/control.md).
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cjson/cJSON.h>

#include "authority.h"
#include "commands.h"
#include "connection.h"
#include "meltica/base/clock.h"
#include "plain.h"

#define ANSWER_NS (5 * MLT_NS_PER_S)
#define ANSWER_BYTES_MAX (1u << 20)
#define WORDS_MAX 1001
#define FILTERS_MAX 16
#define PAGE 200

enum { SUB, UNSUB, UPDATE, SUBS };

static const struct {
    const char *name, *verb;
    size_t words_min, words_max;
    bool ttl, id, type; /* options that it takes */
    bool lane;          /* --private, --filter, --throttle */
    const char *usage;
} kinds[] = {
    [SUB] = { "sub", "subscribe", 2, WORDS_MAX, true, true, false, true,
              "TYPE INSTRUMENT... [--private] [--filter 'FIELD OP VALUE']... [--throttle MS] "
              "[--ttl SECONDS] [--id ID]" },
    [UNSUB] = { "unsub", "unsubscribe", 1, WORDS_MAX, false, true, false, false,
                "SUBSCRIPTION | TYPE INSTRUMENT... [--id ID]" },
    [UPDATE] = { "update", "update", 2, WORDS_MAX, true, true, true, true,
                 "SUBSCRIPTION INSTRUMENT... [--type TYPE] [--private] [--filter 'FIELD OP "
                 "VALUE']... [--throttle MS] [--ttl SECONDS] [--id ID]" },
    [SUBS] = { "subs", "list", 0, 0, false, false, false, false, "" },
};

struct steer {
    struct mlt_tool_connection connection;
    int kind;
    const char *command;
    const char *consumer, *ttl, *id, *type;
    const char *as; /* principal; NULL: the one without a name */
    char inbox[MLT_COMMAND_NAME_BYTES_MAX + 16];
    int64_t ttl_s; /* 0: none */
    const char *throttle, *filters[FILTERS_MAX];
    size_t filter_count;
    int64_t throttle_ms; /* 0: none */
    bool private_lane;
    bool as_json;
    const char *words[WORDS_MAX];
    size_t word_count;
};

static int usage(int kind, FILE *to, int status)
{
    (void)fprintf(to,
                  "usage: meltica %s%s%s [--consumer NAME] [--as PRINCIPAL] [--json]\n       %s\n"
                  "(--as: asks as that principal, and listens at _INBOX_<principal> unless "
                  "--inbox-prefix says where)\n",
                  kinds[kind].name, kinds[kind].usage[0] != '\0' ? " " : "", kinds[kind].usage,
                  MLT_TOOL_CONNECTION_USAGE);
    return status;
}

static bool take_value(const char *name, const char **value, int argc, char **argv, int *i,
                       bool *wrong)
{
    if (strcmp(argv[*i], name) != 0) {
        return false;
    }
    *wrong = *i + 1 >= argc;
    if (!*wrong) {
        *value = argv[++*i];
    }
    return true;
}

/* --private, --throttle, --filter; true: it was one of them. */
static bool take_lane(struct steer *s, int argc, char **argv, int *i, bool *wrong)
{
    const char *filter = NULL;
    if (!kinds[s->kind].lane) {
        return false;
    }
    if (strcmp(argv[*i], "--private") == 0) {
        s->private_lane = true;
        return true;
    }
    if (take_value("--throttle", &s->throttle, argc, argv, i, wrong)) {
        return true;
    }
    if (!take_value("--filter", &filter, argc, argv, i, wrong)) {
        return false;
    }
    *wrong = *wrong || s->filter_count == FILTERS_MAX;
    if (!*wrong) {
        s->filters[s->filter_count++] = filter;
    }
    return true;
}

static bool read_arguments(struct steer *s, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        bool wrong = false;
        if (mlt_tool_connection_option(&s->connection, argc, argv, &i, &wrong) ||
            take_value("--consumer", &s->consumer, argc, argv, &i, &wrong) ||
            take_value("--as", &s->as, argc, argv, &i, &wrong) ||
            (kinds[s->kind].ttl && take_value("--ttl", &s->ttl, argc, argv, &i, &wrong)) ||
            (kinds[s->kind].type && take_value("--type", &s->type, argc, argv, &i, &wrong)) ||
            take_lane(s, argc, argv, &i, &wrong) ||
            (kinds[s->kind].id && take_value("--id", &s->id, argc, argv, &i, &wrong))) {
            if (wrong) {
                return false;
            }
        } else if (strcmp(argv[i], "--json") == 0) {
            s->as_json = true;
        } else if (wrong || argv[i][0] == '-' || s->word_count == WORDS_MAX) {
            return false;
        } else {
            s->words[s->word_count++] = argv[i];
        }
    }
    if (s->ttl != NULL && !mlt_tool_count(s->ttl, MLT_TOOL_SECONDS_MAX, &s->ttl_s)) {
        return false;
    }
    if (s->throttle != NULL &&
        !mlt_tool_count(s->throttle, MLT_COMMAND_THROTTLE_MS_MAX, &s->throttle_ms)) {
        return false;
    }
    if (s->as != NULL && !mlt_principal_valid(s->as)) {
        return false;
    }
    return s->word_count >= kinds[s->kind].words_min && s->word_count <= kinds[s->kind].words_max;
}

/* What nats-auth lets a principal listen at. */
static void choose_inbox(struct steer *s)
{
    if (s->as != NULL && s->connection.bus.inbox_prefix == NULL) {
        (void)snprintf(s->inbox, sizeof s->inbox, "_INBOX_%s", s->as);
        s->connection.bus.inbox_prefix = s->inbox;
    }
}

static bool add_instruments(cJSON *request, const struct steer *s)
{
    cJSON *instruments = cJSON_AddArrayToObject(request, "instruments");
    bool good = instruments != NULL;
    for (size_t i = 1; i < s->word_count; i++) {
        cJSON *name = cJSON_CreateString(s->words[i]);
        good = cJSON_AddItemToArray(instruments, name) != 0 && good;
    }
    return good;
}

/* "FIELD OP VALUE"; what is wrong with it the Control Bus says. */
static bool add_filter(cJSON *list, const char *text)
{
    char field[64] = "", op[16] = "";
    int value = 0;
    (void)sscanf(text, "%63s %15s %n", field, op, &value);
    cJSON *one = cJSON_CreateObject();
    const bool good = cJSON_AddStringToObject(one, "field", field) != NULL &&
                      cJSON_AddStringToObject(one, "op", op) != NULL &&
                      cJSON_AddStringToObject(one, "value", text + value) != NULL;
    return cJSON_AddItemToArray(list, one) != 0 && good;
}

static bool add_lane(cJSON *request, const struct steer *s)
{
    bool good = true;
    if (s->private_lane) {
        good = cJSON_AddStringToObject(request, "channel", "private") != NULL;
    }
    if (s->throttle_ms > 0) {
        good =
            good && cJSON_AddNumberToObject(request, "throttle_ms", (double)s->throttle_ms) != NULL;
    }
    cJSON *list = s->filter_count > 0 ? cJSON_AddArrayToObject(request, "filter") : NULL;
    for (size_t i = 0; i < s->filter_count; i++) {
        good = list != NULL && add_filter(list, s->filters[i]) && good;
    }
    return good;
}

/* NULL: no memory. The caller's to free. */
static char *make_request(const struct steer *s, int offset)
{
    cJSON *request = cJSON_CreateObject();
    bool good = true;
    if (s->consumer != NULL) {
        good = cJSON_AddStringToObject(request, "consumer", s->consumer) != NULL;
    }
    if (s->id != NULL) {
        good = good && cJSON_AddStringToObject(request, "id", s->id) != NULL;
    }
    if (s->ttl_s > 0) {
        good = good && cJSON_AddNumberToObject(request, "ttl_s", (double)s->ttl_s) != NULL;
    }
    if (s->kind == SUBS) {
        good = good && cJSON_AddNumberToObject(request, "offset", offset) != NULL &&
               cJSON_AddNumberToObject(request, "limit", PAGE) != NULL;
    } else if (s->kind == UPDATE || s->word_count == 1) {
        good = good && cJSON_AddStringToObject(request, "subscription", s->words[0]) != NULL;
        if (s->type != NULL) {
            good = good && cJSON_AddStringToObject(request, "type", s->type) != NULL;
        }
    } else {
        good = good && cJSON_AddStringToObject(request, "type", s->words[0]) != NULL;
    }
    if (s->word_count > 1) {
        good = good && add_instruments(request, s);
    }
    good = good && add_lane(request, s);
    char *text = good ? cJSON_PrintUnformatted(request) : NULL;
    cJSON_Delete(request);
    return text;
}

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(member) ? member->valuestring : "";
}

/* Whether it answers what was asked, whatever the answer is. */
static bool makes_sense(const struct steer *s, const cJSON *answer)
{
    const char *status = text_of(answer, "status");
    return strcmp(status, "REJECTED") == 0 ||
           (s->kind == SUBS
                ? cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(answer, "subscriptions")) != 0
                : status[0] != '\0');
}

/* The answer, the caller's to cJSON_Delete; NULL: there is none, and it was said why. */
static cJSON *ask(const struct steer *s, struct mlt_bus *bus, int offset, struct mlt_buf *text)
{
    struct mlt_error err = MLT_ERROR_INIT;
    char subject[MLT_COMMAND_NAME_BYTES_MAX + 64];
    char *request = make_request(s, offset);
    if (request == NULL) {
        (void)fprintf(stderr, "meltica %s: no memory for the request\n", s->command);
        return NULL;
    }
    (void)snprintf(subject, sizeof subject, "meltica.control.%s%s%s%s", s->as != NULL ? "as." : "",
                   s->as != NULL ? s->as : "", s->as != NULL ? "." : "", kinds[s->kind].verb);
    mlt_buf_clear(text);
    const enum mlt_status status =
        mlt_bus_request(bus, subject, mlt_slice_of_string(request), ANSWER_NS, text, &err);
    free(request);
    cJSON *answer =
        text->len > 0 ? cJSON_ParseWithLength((const char *)text->data, text->len) : NULL;
    if (!makes_sense(s, answer)) {
        cJSON_Delete(answer);
        answer = NULL;
        mlt_tool_plain(err.text);
        (void)fprintf(stderr, "meltica %s: %s\n", s->command,
                      status == MLT_E_UNAVAILABLE ? "no Control Bus answers: is it running?"
                      : err.text[0] != '\0'       ? err.text
                                                  : "the answer is none of a Control Bus");
    }
    mlt_tool_plain_json(answer);
    return answer;
}

static double number_of(const cJSON *object, const char *name)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(member) ? member->valuedouble : 0;
}

static void print_names(const cJSON *object, const char *name, size_t max)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, name);
    size_t count = 0;
    for (const cJSON *item = list != NULL ? list->child : NULL; item != NULL; item = item->next) {
        if (count++ == max) {
            (void)printf(" ... (%d)", cJSON_GetArraySize(list));
            break;
        }
        (void)printf("%s%s", count > 1 ? " " : "", cJSON_IsString(item) ? item->valuestring : "?");
    }
}

/* Filter, throttle and lease of an outcome, as they stand now. */
static void print_asked(const cJSON *answer)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(answer, "filter"))
    {
        (void)printf("\n%-13s %s %s %s", "filter", text_of(c, "field"), text_of(c, "op"),
                     text_of(c, "value"));
    }
    if (cJSON_GetObjectItemCaseSensitive(answer, "throttle_ms") != NULL) {
        (void)printf("\n%-13s %.0f ms", "throttle", number_of(answer, "throttle_ms"));
    }
    const time_t end = (time_t)(strtoll(text_of(answer, "lease_end_ns"), NULL, 10) / MLT_NS_PER_S);
    struct tm tm;
    char when[40];
    if (end > 0 && gmtime_r(&end, &tm) != NULL &&
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0) {
        (void)printf("\n%-13s until %s, unless it is renewed", "lease", when);
    }
}

/* 0 when it was accepted. */
static int print_outcome(const struct steer *s, const cJSON *answer, const struct mlt_buf *text)
{
    const bool refused = strcmp(text_of(answer, "status"), "REJECTED") == 0;
    if (s->as_json) {
        (void)printf("%.*s\n", (int)text->len, (const char *)text->data);
        return refused;
    }
    if (refused) {
        (void)fprintf(stderr, "meltica %s: %s (code %.0f%s%s)\n", s->command,
                      text_of(answer, "message"), number_of(answer, "code"),
                      text_of(answer, "field")[0] != '\0' ? ", field " : "",
                      text_of(answer, "field"));
        if (number_of(answer, "code") == 404 &&
            strcmp(text_of(answer, "field"), "subscription") == 0) {
            (void)fprintf(stderr, "  meltica subs%s%s shows what there is, with the ids\n",
                          s->as != NULL ? " --as " : "", s->as != NULL ? s->as : "");
        }
        return 1;
    }
    (void)printf("%-13s %s%s\n", "status", text_of(answer, "status"),
                 cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, "unchanged"))
                     ? " (was there already)"
                     : "");
    if (text_of(answer, "message")[0] != '\0') {
        (void)printf("%-13s %s\n", "message", text_of(answer, "message"));
    }
    (void)printf("%-13s %s\n", "subscription", text_of(answer, "subscription"));
    if (text_of(answer, "replaces")[0] != '\0') {
        (void)printf("%-13s %s\n", "replaces", text_of(answer, "replaces"));
    }
    (void)printf("%-13s %s\n%-13s ", "type", text_of(answer, "type"), "instruments");
    print_names(answer, "instruments", 20);
    if (s->kind == SUB || s->kind == UPDATE) {
        (void)printf("\n%-13s ", "channels");
        print_names(answer, "channels", 20);
        print_asked(answer);
    }
    (void)printf("\n%-13s %.0f ms\n", "took", number_of(answer, "took_ms"));
    return 0;
}

/* What makes a private channel of it, behind the instruments. */
static void print_terms(const cJSON *one)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(one, "filter"))
    {
        (void)printf(" [%s %s %s]", text_of(c, "field"), text_of(c, "op"), text_of(c, "value"));
    }
    if (cJSON_GetObjectItemCaseSensitive(one, "throttle_ms") != NULL) {
        (void)printf(" [%.0f ms]", number_of(one, "throttle_ms"));
    }
}

static void print_listed(const cJSON *one)
{
    char lease[32] = "-", whose[2 * MLT_COMMAND_NAME_BYTES_MAX + 2];
    const char *principal = text_of(one, "principal"); /* where everybody's are listed */
    (void)snprintf(whose, sizeof whose, "%s%s%s", principal, principal[0] != '\0' ? "/" : "",
                   text_of(one, "consumer"));
    if (cJSON_GetObjectItemCaseSensitive(one, "lease_left_s") != NULL) {
        (void)snprintf(lease, sizeof lease, "%.0f s", number_of(one, "lease_left_s"));
    }
    (void)printf("%-18s %-16s %-14s %-8s %-10s %-9s ", text_of(one, "subscription"), whose,
                 text_of(one, "type"), text_of(one, "channel"), text_of(one, "state"), lease);
    print_names(one, "instruments", 4);
    print_terms(one);
    (void)printf("\n");
}

static int print_list(const struct steer *s, struct mlt_bus *bus, struct mlt_buf *text)
{
    bool complete = false;
    if (!s->as_json) {
        (void)printf("%-18s %-16s %-14s %-8s %-10s %-9s %s\n", "SUBSCRIPTION", "CONSUMER", "TYPE",
                     "CHANNEL", "STATE", "LEASE", "INSTRUMENTS");
    }
    for (int offset = 0; !complete && offset <= INT_MAX - PAGE; offset += PAGE) {
        cJSON *answer = ask(s, bus, offset, text);
        if (answer == NULL) {
            return 1;
        }
        const cJSON *list = cJSON_GetObjectItemCaseSensitive(answer, "subscriptions");
        complete = list == NULL || list->child == NULL ||
                   cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, "complete"));
        int result = 0;
        if (s->as_json || strcmp(text_of(answer, "status"), "REJECTED") == 0) {
            result = print_outcome(s, answer, text);
        } else {
            for (const cJSON *one = list != NULL ? list->child : NULL; one != NULL;
                 one = one->next) {
                print_listed(one);
            }
        }
        cJSON_Delete(answer);
        if (result != 0) {
            return result;
        }
    }
    return 0;
}

static int run(int kind, int argc, char **argv)
{
    struct steer s = { .kind = kind, .command = kinds[kind].name };
    mlt_tool_connection_init(&s.connection);
    if (mlt_tool_help(argc, argv)) {
        return usage(kind, stdout, 0);
    }
    if (!read_arguments(&s, argc, argv)) {
        return usage(kind, stderr, 2);
    }
    choose_inbox(&s);
    if (kind != SUBS && s.consumer == NULL) {
        s.consumer = "cli";
    }
    struct mlt_bus *bus = mlt_tool_connect(&s.connection, s.command);
    if (bus == NULL) {
        return 1;
    }
    struct mlt_buf text;
    mlt_buf_init(&text, ANSWER_BYTES_MAX);
    int result = 1;
    if (kind == SUBS) {
        result = print_list(&s, bus, &text);
    } else {
        cJSON *answer = ask(&s, bus, 0, &text);
        result = answer != NULL ? print_outcome(&s, answer, &text) : 1;
        cJSON_Delete(answer);
    }
    mlt_buf_fini(&text);
    mlt_bus_destroy(bus, 0);
    return result;
}

int mlt_command_sub(int argc, char **argv)
{
    return run(SUB, argc, argv);
}

int mlt_command_unsub(int argc, char **argv)
{
    return run(UNSUB, argc, argv);
}

int mlt_command_update(int argc, char **argv)
{
    return run(UPDATE, argc, argv);
}

int mlt_command_subs(int argc, char **argv)
{
    return run(SUBS, argc, argv);
}
