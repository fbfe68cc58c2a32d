/* meltica audit: who asked the Control Bus for what, and what came of it, as MELTICA_AUDIT has it
 * (docs/control.md). */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "authority.h"
#include "commands.h"
#include "connection.h"
#include "meltica/base/clock.h"
#include "meltica/bus/stored.h"
#include "plain.h"

#define STREAM MLT_STREAM_AUDIT
#define SUBJECTS "meltica.int.audit."
/* Records stand in the order in which they were stored, which clocks of several services may
 * contradict by so much. */
#define DISORDER_NS (60 * MLT_NS_PER_S)
/* Whoever is told of a record may be faster than the stream is; and a connection may have missed
 * it. */
#define SOON_MS 50
#define LOOK_MS 1000
#define INSTRUMENTS_SHOWN 4

struct audit {
    struct mlt_tool_connection connection;
    const char *principal;         /* NULL: anybody */
    char subject[32], outcome[16]; /* outcome "": any */
    int64_t since_ns;              /* since 1970; 0: all there is */
    bool as_json, follow, broken;  /* broken: nobody reads what is printed */
    struct mlt_store *store;
    struct mlt_buf bytes; /* of the record read last */
    uint64_t next;        /* sequence to go on at */
    int signals, wake;
};

static int usage(FILE *to, int status)
{
    (void)fprintf(to,
                  "usage: meltica audit [--principal NAME] [--outcome OUTCOME] [--since WHEN] "
                  "[--follow] [--json]\n       %s\n"
                  "(OUTCOME: confirmed, pending, failed, rejected or expired; WHEN: 90s, 15m, 2h, "
                  "7d, or UTC as 2026-01-31\nor 2026-01-31T12:00:00Z; --follow: goes on with what "
                  "comes, until Ctrl-C)\n",
                  MLT_TOOL_CONNECTION_USAGE);
    return status;
}

/* ---- arguments ---- */

static bool read_outcome(struct audit *a, const char *text)
{
    static const char *const outcomes[] = { "confirmed", "pending", "failed", "rejected",
                                            "expired" };
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        if (strcasecmp(outcomes[i], text) == 0) {
            (void)snprintf(a->outcome, sizeof a->outcome, "%s", outcomes[i]);
            return true;
        }
    }
    return false;
}

static bool read_arguments(struct audit *a, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const int option = i;
        bool wrong = false;
        if (mlt_tool_connection_option(&a->connection, argc, argv, &i, &wrong)) {
            continue;
        }
        const bool value = i + 1 < argc;
        if (strcmp(argv[i], "--json") == 0) {
            a->as_json = true;
        } else if (strcmp(argv[i], "--follow") == 0) {
            a->follow = true;
        } else if (strcmp(argv[i], "--principal") == 0 && value) {
            a->principal = argv[++i];
            wrong = !mlt_principal_valid(a->principal);
        } else if (strcmp(argv[i], "--outcome") == 0 && value) {
            wrong = !read_outcome(a, argv[++i]);
        } else if (strcmp(argv[i], "--since") == 0 && value) {
            wrong = !mlt_tool_since(argv[++i], mlt_clock_wall_ns(), &a->since_ns);
        } else {
            wrong = true;
        }
        if (wrong) {
            mlt_tool_say_wrong("audit", argv, option, i);
            return false;
        }
    }
    (void)snprintf(a->subject, sizeof a->subject, SUBJECTS "%s",
                   a->outcome[0] != '\0' ? a->outcome : "*");
    return true;
}

/* ---- one record ---- */

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(member) ? member->valuestring : "";
}

static int64_t time_of(const cJSON *record)
{
    return strtoll(text_of(record, "time_ns"), NULL, 10);
}

static void put_column(const char *text, int width)
{
    (void)fputs(text, stdout);
    const int left = width - (int)strlen(text);
    (void)printf("%*s", left > 0 ? left + 1 : 1, "");
}

static void print_heading(void)
{
    (void)printf("%-24s %-9s %-11s %-16s %-16s %-18s %-13s %s\n", "TIME", "OUTCOME", "VERB",
                 "PRINCIPAL", "CONSUMER", "SUBSCRIPTION", "TYPE", "INSTRUMENTS");
}

static void print_record(const cJSON *record)
{
    char when[40] = "-";
    const int64_t time_ns = time_of(record);
    const time_t seconds = (time_t)(time_ns / MLT_NS_PER_S);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) != NULL) {
        const size_t len = strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
        (void)snprintf(when + len, sizeof when - len, ".%03dZ",
                       (int)(time_ns % MLT_NS_PER_S / MLT_NS_PER_MS));
    }
    put_column(when, 24);
    put_column(text_of(record, "outcome"), 9);
    put_column(text_of(record, "verb"), 11);
    put_column(text_of(record, "principal"), 16);
    put_column(text_of(record, "consumer"), 16);
    put_column(text_of(record, "subscription"), 18);
    put_column(text_of(record, "type"), 13);
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(record, "instruments");
    int count = 0;
    for (const cJSON *name = list != NULL ? list->child : NULL; name != NULL; name = name->next) {
        if (count++ == INSTRUMENTS_SHOWN) {
            (void)printf("... (%d) ", cJSON_GetArraySize(list));
            break;
        }
        (void)fputs(cJSON_IsString(name) ? name->valuestring : "?", stdout);
        (void)putchar(' ');
    }
    const cJSON *code = cJSON_GetObjectItemCaseSensitive(record, "code");
    if (cJSON_IsNumber(code) && code->valueint != 0) {
        (void)printf("code %d%s%s: ", code->valueint,
                     text_of(record, "field")[0] != '\0' ? ", field " : "",
                     text_of(record, "field"));
    }
    (void)puts(text_of(record, "message"));
}

static bool is_wanted(const struct audit *a, const cJSON *record)
{
    return time_of(record) >= a->since_ns &&
           (a->principal == NULL || strcmp(text_of(record, "principal"), a->principal) == 0 ||
            strcmp(text_of(record, "owner"), a->principal) == 0);
}

/* What was read last. */
static void show(struct audit *a)
{
    cJSON *record = cJSON_ParseWithLength((const char *)a->bytes.data, a->bytes.len);
    if (record == NULL) {
        (void)fprintf(stderr, "meltica audit: record %" PRIu64 " is no JSON\n", a->next - 1);
        return;
    }
    if (is_wanted(a, record)) {
        if (a->as_json) {
            (void)printf("%.*s\n", (int)a->bytes.len, (const char *)a->bytes.data);
        } else {
            mlt_tool_plain_json(record); /* what others wrote does not move anybody's cursor */
            print_record(record);
        }
    }
    cJSON_Delete(record);
    a->broken = a->broken || ferror(stdout) != 0;
}

/* ---- the stream ---- */

/* The first record at or after a sequence, into bytes. E_NOT_FOUND: none. */
static enum mlt_status read_at(struct audit *a, uint64_t from, uint64_t *found,
                               struct mlt_error *err)
{
    mlt_buf_clear(&a->bytes);
    return mlt_stream_next(a->store, STREAM, a->subject, from, &a->bytes, found, err);
}

/* Whether nothing from there on is too old; else *after is behind the one that is. */
static enum mlt_status look_at(struct audit *a, uint64_t from, int64_t since_ns, bool *late,
                               uint64_t *after, struct mlt_error *err)
{
    uint64_t found = 0;
    const enum mlt_status status = read_at(a, from, &found, err);
    if (status != MLT_OK) {
        *late = true;
        return status == MLT_E_NOT_FOUND ? MLT_OK : status;
    }
    cJSON *record = cJSON_ParseWithLength((const char *)a->bytes.data, a->bytes.len);
    *late = record == NULL || time_of(record) >= since_ns;
    *after = found + 1;
    cJSON_Delete(record);
    return MLT_OK;
}

/* Where to begin, in some 40 reads however much is kept. */
static enum mlt_status seek(struct audit *a, struct mlt_error *err)
{
    const int64_t since_ns = a->since_ns - DISORDER_NS;
    uint64_t low = 1, high = 1, after = 0;
    bool late = false;
    a->next = 1;
    if (a->since_ns == 0) {
        return MLT_OK;
    }
    enum mlt_status status = look_at(a, high, since_ns, &late, &after, err);
    while (status == MLT_OK && !late) {
        low = after;
        high = low * 2;
        status = look_at(a, high, since_ns, &late, &after, err);
    }
    while (status == MLT_OK && low < high) { /* high is late enough */
        const uint64_t middle = low + (high - low) / 2;
        status = look_at(a, middle, since_ns, &late, &after, err);
        if (late) {
            high = middle;
        } else {
            low = after;
        }
    }
    a->next = low;
    return status;
}

static bool must_end(const struct audit *a)
{
    struct pollfd fd = { .fd = a->signals, .events = POLLIN };
    return a->broken || poll(&fd, 1, 0) > 0;
}

/* Shows all there is; *any: there was something. */
static enum mlt_status read_on(struct audit *a, bool *any, struct mlt_error *err)
{
    enum mlt_status status = MLT_OK;
    *any = false;
    while (status == MLT_OK && !must_end(a)) {
        uint64_t found = 0;
        status = read_at(a, a->next, &found, err);
        if (status == MLT_OK) {
            a->next = found + 1;
            *any = true;
            show(a);
        }
    }
    a->broken = fflush(stdout) != 0 || a->broken;
    return status == MLT_E_NOT_FOUND ? MLT_OK : status;
}

static void on_record(void *ctx, const struct mlt_bus_message *message)
{
    const struct audit *a = ctx;
    (void)message;
    if (eventfd_write(a->wake, 1) != 0) {
        return; /* it is full: awake already */
    }
}

static void follow(struct audit *a)
{
    struct pollfd fds[2] = { { .fd = a->signals, .events = POLLIN },
                             { .fd = a->wake, .events = POLLIN } };
    bool told = false, said = false;
    while (!must_end(a)) {
        struct mlt_error err = MLT_ERROR_INIT;
        eventfd_t count = 0;
        bool any = false;
        told = poll(fds, 2, told ? SOON_MS : LOOK_MS) > 0 && fds[1].revents != 0 &&
               eventfd_read(a->wake, &count) == 0;
        const enum mlt_status status = read_on(a, &any, &err);
        told = told && !any;
        if (status != MLT_OK && !said) {
            (void)fprintf(stderr, "meltica audit: %s; trying again\n", err.text);
        }
        said = status != MLT_OK;
    }
}

static int run(struct audit *a, struct mlt_bus *bus)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_bus_subscription *subscription = NULL;
    const struct mlt_bus_subscribe_options options = { .subject = a->subject };
    bool any = false;
    enum mlt_status status = mlt_store_create(bus, 0, &a->store, &err);
    if (status == MLT_OK && a->follow) { /* before the first look: nothing falls in between */
        status = mlt_bus_subscribe(bus, &options, on_record, a, &subscription, &err);
    }
    if (status == MLT_OK) {
        status = seek(a, &err);
    }
    if (status == MLT_OK) {
        if (!a->as_json) {
            print_heading();
        }
        status = read_on(a, &any, &err);
    }
    if (status == MLT_OK && a->follow) {
        follow(a);
    }
    mlt_bus_unsubscribe(subscription);
    mlt_store_destroy(a->store);
    if (status != MLT_OK) {
        (void)fprintf(stderr, "meltica audit: %s%s\n", err.text,
                      status == MLT_E_UNAVAILABLE ? ": the first command makes " STREAM
                                                    "; see that JetStream runs and "
                                                    "that this user may read it"
                                                  : "");
    }
    return status != MLT_OK || (a->broken && !a->follow);
}

int mlt_command_audit(int argc, char **argv)
{
    struct audit a = { .signals = -1, .wake = -1 };
    mlt_tool_connection_init(&a.connection);
    if (mlt_tool_help(argc, argv)) {
        return usage(stdout, 0);
    }
    if (!read_arguments(&a, argc, argv)) {
        return usage(stderr, 2);
    }
    a.signals = mlt_tool_signals();
    a.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    mlt_buf_init(&a.bytes, MLT_BUS_PAYLOAD_BYTES_MAX);
    struct mlt_bus *bus =
        a.signals >= 0 && a.wake >= 0 ? mlt_tool_connect(&a.connection, "audit") : NULL;
    const int result = bus != NULL ? run(&a, bus) : 1;
    mlt_bus_destroy(bus, 0);
    mlt_buf_fini(&a.bytes);
    if (a.wake >= 0) {
        (void)close(a.wake);
    }
    return result;
}
