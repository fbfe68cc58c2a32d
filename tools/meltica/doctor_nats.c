/* What doctor looks at in NATS itself. */
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cjson/cJSON.h>

#include "doctor.h"
#include "meltica/base/clock.h"

#define ANSWER_NS (2 * MLT_NS_PER_S)
#define ANSWER_BYTES_MAX (1u << 20)
#define AWAY "NATS is away"
#define BEHIND_NS (2 * MLT_NS_PER_S) /* for all replicas: servers tell each other once a second */
#define AGAIN_MS 100

/* Before it acknowledged writes may be lost (docs/operations.md). */
static const unsigned advised[3] = { 2, 10, 23 };

/* ---- connection ---- */

static bool is_older(const char *version)
{
    unsigned part[3] = { 0, 0, 0 };
    if (sscanf(version, "%u.%u.%u", &part[0], &part[1], &part[2]) != 3) {
        return false;
    }
    for (unsigned i = 0; i < 3; i++) {
        if (part[i] != advised[i]) {
            return part[i] < advised[i];
        }
    }
    return false;
}

static void say_version(struct mlt_doctor *d)
{
    char version[32] = "";
    mlt_bus_server_version(d->bus, version, sizeof version);
    if (version[0] == '\0') {
        mlt_doctor_say(d, MLT_VERDICT_UNKNOWN, "nats version", "the server did not tell it");
        mlt_doctor_advise(d, "see that it is 2.10.23 or later (nats-server --version)");
    } else if (is_older(version)) {
        mlt_doctor_say(d, MLT_VERDICT_WARN, "nats version", "nats-server %s", version);
        mlt_doctor_advise(d,
                          "update to %u.%u.%u or later: before it JetStream may lose what it "
                          "acknowledged",
                          advised[0], advised[1], advised[2]);
    } else {
        mlt_doctor_say(d, MLT_VERDICT_OK, "nats version", "nats-server %s", version);
    }
}

void mlt_doctor_nats(struct mlt_doctor *d)
{
    char url[400];
    mlt_tool_plain_url(d->connection.bus.url, url, sizeof url);
    if (d->bus == NULL) {
        mlt_doctor_say(d, MLT_VERDICT_FAIL, "nats", "no NATS server at %s: %.100s", url,
                       d->why_away);
        mlt_doctor_advise(d, "start it, or name another one with --nats-url; where it refuses this "
                             "user, see --user, --creds, --nkey and --tls-ca");
        mlt_doctor_say(d, MLT_VERDICT_UNKNOWN, "nats version", AWAY);
        return;
    }
    const int64_t rtt_ns = mlt_bus_rtt_ns(d->bus);
    mlt_doctor_say(d, MLT_VERDICT_OK, "nats", "%s answers in %.3f ms", url,
                   (double)rtt_ns / (double)MLT_NS_PER_MS);
    say_version(d);
}

/* ---- permissions ---- */

static void on_nothing(void *ctx, const struct mlt_bus_message *message)
{
    (void)ctx, (void)message;
}

static bool may_listen(struct mlt_doctor *d, const char *subject)
{
    struct mlt_bus_subscription *subscription = NULL;
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_bus_subscribe_options options = { .subject = subject };
    if (mlt_bus_subscribe(d->bus, &options, on_nothing, NULL, &subscription, &err) != MLT_OK) {
        return false;
    }
    const bool denied = mlt_bus_denied(d->bus, subject);
    mlt_bus_unsubscribe(subscription);
    return !denied;
}

/* Asks without waiting for an answer: whatever serves it does nothing but count it. */
static bool may_ask(struct mlt_doctor *d, const char *subject)
{
    return mlt_bus_publish(d->bus, subject, MLT_SLICE_EMPTY) == MLT_OK &&
           !mlt_bus_denied(d->bus, subject);
}

/* Appends "what (subject)" to the list of what is refused. */
static void note_right(struct mlt_doctor *d, enum mlt_doctor_right right, bool may,
                       const char *subject, char *list, size_t size)
{
    const size_t used = strlen(list);
    if (!may && !d->denied[right]) {
        (void)snprintf(list + used, size - used, "%s%s", used > 0 ? ", " : "", subject);
    }
    d->denied[right] = d->denied[right] || !may;
}

static void ask_rights(struct mlt_doctor *d, char *listen, char *publish, size_t size)
{
    static const struct {
        enum mlt_doctor_right right;
        const char *subject;
    } asked[] = {
        { MLT_RIGHT_MICRO, "$SRV.STATS" },
        { MLT_RIGHT_API, "$JS.API.INFO" },
        { MLT_RIGHT_JOURNAL, "$JS.API.DIRECT.GET." MLT_JOURNAL_STREAM },
        { MLT_RIGHT_AUDIT, "$JS.API.DIRECT.GET." MLT_STREAM_AUDIT },
    };
    const char *prefix = d->connection.bus.inbox_prefix;
    char subject[MLT_BUS_SUBJECT_BYTES_MAX + 1];
    (void)snprintf(subject, sizeof subject, "%.200s.doctor",
                   prefix != NULL && prefix[0] != '\0' ? prefix : "_INBOX");
    note_right(d, MLT_RIGHT_INBOX, may_listen(d, subject), subject, listen, size);
    note_right(d, MLT_RIGHT_DATA, may_listen(d, "meltica.data.*"), "meltica.data.*", listen, size);
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        note_right(d, asked[i].right, may_ask(d, asked[i].subject), asked[i].subject, publish,
                   size);
    }
    for (size_t i = 0; i < MLT_STORED_COUNT; i++) {
        (void)snprintf(subject, sizeof subject, "$JS.API.STREAM.INFO.%s",
                       mlt_stored[i].stream.name);
        note_right(d, MLT_RIGHT_STREAMS, may_ask(d, subject), "$JS.API.STREAM.INFO.*", publish,
                   size);
    }
    (void)snprintf(subject, sizeof subject, "meltica.control.%s%s%slist",
                   d->as != NULL ? "as." : "", d->as != NULL ? d->as : "",
                   d->as != NULL ? "." : "");
    note_right(d, MLT_RIGHT_CONTROL, may_ask(d, subject), subject, publish, size);
}

void mlt_doctor_rights(struct mlt_doctor *d)
{
    char listen[200] = "", publish[200] = "";
    if (d->bus == NULL) {
        mlt_doctor_say(d, MLT_VERDICT_UNKNOWN, "permissions", AWAY);
        return;
    }
    ask_rights(d, listen, publish, sizeof listen);
    if (listen[0] == '\0' && publish[0] == '\0') {
        mlt_doctor_say(d, MLT_VERDICT_OK, "permissions", "this user may look at everything");
        return;
    }
    mlt_doctor_say(d, MLT_VERDICT_FAIL, "permissions", "this user may not %s%s%s%s%s",
                   listen[0] != '\0' ? "subscribe to " : "", listen,
                   listen[0] != '\0' && publish[0] != '\0' ? "; nor " : "",
                   publish[0] != '\0' ? "publish to " : "", publish);
    mlt_doctor_advise(d, "grant it that, or come as an observer (meltica nats-auth --observer)%s%s",
                      d->denied[MLT_RIGHT_INBOX] ? "; --inbox-prefix says where it may listen" : "",
                      d->denied[MLT_RIGHT_CONTROL] && d->as == NULL ? "; --as names a principal"
                                                                    : "");
}

/* ---- JetStream ---- */

static cJSON *ask_api(struct mlt_doctor *d, const char *subject, struct mlt_error *err)
{
    struct mlt_buf answer;
    mlt_buf_init(&answer, ANSWER_BYTES_MAX);
    cJSON *tree = NULL;
    const enum mlt_status status =
        mlt_bus_request(d->bus, subject, MLT_SLICE_EMPTY, ANSWER_NS, &answer, err);
    if (status == MLT_OK) {
        tree = cJSON_ParseWithLength((const char *)answer.data, answer.len);
        if (tree == NULL) {
            (void)mlt_error_set(err, MLT_E_PARSE, "%s: the answer is no JSON", subject);
        }
    }
    mlt_buf_fini(&answer);
    return tree;
}

static double figure(const cJSON *object, const char *name)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(m) ? m->valuedouble : 0;
}

static void say_no_jetstream(struct mlt_doctor *d, const char *why)
{
    mlt_doctor_say(d, MLT_VERDICT_FAIL, "jetstream", "%.400s", why);
    mlt_doctor_advise(d, "start nats-server with a jetstream block, and enable it for the account: "
                         "without it there is no control table, no snapshots and no journal");
}

void mlt_doctor_jetstream(struct mlt_doctor *d)
{
    struct mlt_error err = MLT_ERROR_INIT;
    if (d->bus == NULL || d->denied[MLT_RIGHT_API] || d->denied[MLT_RIGHT_INBOX]) {
        mlt_doctor_say(d, MLT_VERDICT_UNKNOWN, "jetstream",
                       d->bus == NULL ? AWAY : "this user may not ask");
        d->jetstream = d->bus != NULL && !d->denied[MLT_RIGHT_INBOX];
        return;
    }
    cJSON *info = ask_api(d, "$JS.API.INFO", &err);
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(info, "error");
    if (info == NULL || error != NULL) {
        const cJSON *text = cJSON_GetObjectItemCaseSensitive(error, "description");
        say_no_jetstream(d, cJSON_IsString(text)              ? text->valuestring
                            : err.status == MLT_E_UNAVAILABLE ? "JetStream is not enabled"
                                                              : err.text);
        cJSON_Delete(info);
        return;
    }
    d->jetstream = true;
    mlt_doctor_say(d, MLT_VERDICT_OK, "jetstream",
                   "%.0f streams, %.1f MiB in memory, %.1f MiB in files", figure(info, "streams"),
                   figure(info, "memory") / (1 << 20), figure(info, "storage") / (1 << 20));
    cJSON_Delete(info);
}

/* ---- streams and buckets ---- */

/* What was taken by the log of commands must have left its traces. */
static bool must_be_there(const struct mlt_stored_spec *spec, uint64_t commands)
{
    return spec->when == NULL ||
           (commands > 0 && !spec->optional && strcmp(spec->when, "the first listing") != 0);
}

static void say_missing(struct mlt_doctor *d, const char *check, const struct mlt_stored_spec *spec,
                        const struct mlt_stored_report *report, uint64_t commands)
{
    if (must_be_there(spec, commands)) {
        mlt_doctor_say(d, MLT_VERDICT_FAIL, check, "it does not exist");
        mlt_doctor_advise(d, "start or restart %s, which makes it unless provision is external: %s",
                          spec->maker, report->command);
    } else {
        mlt_doctor_say(d, MLT_VERDICT_OK, check, "not made yet: %s makes it", spec->when);
    }
}

static void say_found(struct mlt_doctor *d, const char *check, const struct mlt_stored_spec *spec,
                      const struct mlt_stored_report *report)
{
    if (report->wrong[0] != '\0') {
        mlt_doctor_say(d, MLT_VERDICT_FAIL, check, "%s%s%.150s", report->wrong,
                       report->differs[0] != '\0' ? ", " : "", report->differs);
        mlt_doctor_advise(d,
                          "nats stream edit %s, or where that cannot be edited remove it, "
                          "and restart %s, which makes it again",
                          spec->stream.name, spec->maker);
    } else if (report->differs[0] != '\0') {
        mlt_doctor_say(d, MLT_VERDICT_WARN, check, "%s%s%.150s", report->differs,
                       report->lacking[0] != '\0' ? ", " : "", report->lacking);
        mlt_doctor_advise(d, "unless that is meant: nats stream edit %s%s", spec->stream.name,
                          report->options);
    } else if (report->lacking[0] != '\0') {
        mlt_doctor_say(d, MLT_VERDICT_WARN, check, "%s", report->lacking);
        mlt_doctor_advise(d, "start that server again, or see its log and its disk: until it is "
                             "current, the next one that ends may stop writes");
    } else {
        mlt_doctor_say(d, MLT_VERDICT_OK, check, "as %s makes it; %" PRIu64 " messages, %.1f MiB",
                       spec->maker, report->messages, (double)report->bytes / (1 << 20));
    }
}

/* 0: nobody tells, or the operator makes them. */
static uint32_t replicas_of(const struct mlt_inside *inside, const char *maker)
{
    for (size_t i = 0; i < inside->count; i++) {
        const struct mlt_inside_service *s = &inside->services[i];
        if (strcmp(s->name, maker) == 0 && s->stream_replicas > 0 && s->stream_replicas <= 5) {
            return (uint32_t)s->stream_replicas;
        }
    }
    return 0;
}

/* A replica that is behind for a moment is well: it is looked at again until that time. */
static enum mlt_status inspect(struct mlt_doctor *d, enum mlt_stored which, int64_t until_ns,
                               struct mlt_stored_report *report, struct mlt_error *err)
{
    const uint32_t replicas = replicas_of(&d->inside, mlt_stored[which].maker);
    enum mlt_status status = mlt_stored_inspect(d->store, which, replicas, report, err);
    while (status == MLT_OK && report->lacking[0] != '\0' && mlt_clock_mono_ns() < until_ns) {
        (void)poll(NULL, 0, AGAIN_MS);
        status = mlt_stored_inspect(d->store, which, replicas, report, err);
    }
    return status;
}

static void say_stored(struct mlt_doctor *d, enum mlt_stored which, int64_t until_ns,
                       uint64_t *commands)
{
    const struct mlt_stored_spec *spec = &mlt_stored[which];
    struct mlt_stored_report report;
    struct mlt_error err = MLT_ERROR_INIT;
    char check[48];
    (void)snprintf(check, sizeof check, "%s %s", spec->bucket != NULL ? "bucket" : "stream",
                   spec->bucket != NULL ? spec->bucket : spec->stream.name);
    if (d->store == NULL || !d->jetstream || d->denied[MLT_RIGHT_STREAMS]) {
        mlt_doctor_say(d, MLT_VERDICT_UNKNOWN, check,
                       d->bus == NULL  ? AWAY
                       : !d->jetstream ? "JetStream did not answer"
                                       : "this user may not ask");
        return;
    }
    const enum mlt_status status = inspect(d, which, until_ns, &report, &err);
    if (which == MLT_STORED_CONTROL) {
        *commands = report.last_sequence;
    }
    if (status == MLT_OK) {
        say_found(d, check, spec, &report);
    } else if (status == MLT_E_NOT_FOUND) {
        say_missing(d, check, spec, &report, *commands);
    } else {
        mlt_doctor_say(d, MLT_VERDICT_UNKNOWN, check, "%s", err.text);
        mlt_doctor_advise(d, "see that JetStream has a leader for it: nats stream info %s",
                          spec->stream.name);
    }
}

void mlt_doctor_stored(struct mlt_doctor *d)
{
    uint64_t commands = 0;
    const int64_t until_ns = mlt_clock_mono_ns() + BEHIND_NS;
    for (int i = 0; i < MLT_STORED_COUNT; i++) {
        say_stored(d, (enum mlt_stored)i, until_ns, &commands);
    }
}

/* ---- clock ---- */

/* RFC 3339 in UTC with any number of decimals; false: it is none. */
static bool read_time(const char *text, int64_t *out)
{
    struct tm tm = { 0 };
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    int64_t fraction = 0, scale = MLT_NS_PER_S;
    if (end == NULL || tm.tm_year < 70 || tm.tm_year >= 350) { /* no time of 64 bits of ns */
        return false;
    }
    if (*end == '.') {
        for (end++; *end >= '0' && *end <= '9' && scale > 1; end++) {
            scale /= 10;
            fraction += (*end - '0') * scale;
        }
    }
    *out = (int64_t)timegm(&tm) * MLT_NS_PER_S + fraction;
    return *end == 'Z';
}

void mlt_doctor_nats_clock(struct mlt_doctor *d)
{
    static const char check[] = "clock of nats";
    struct mlt_error err = MLT_ERROR_INIT;
    if (d->bus == NULL || !d->jetstream || d->denied[MLT_RIGHT_STREAMS]) {
        mlt_doctor_say(d, MLT_VERDICT_UNKNOWN, check,
                       d->bus == NULL  ? AWAY
                       : !d->jetstream ? "without JetStream the server does not tell its time"
                                       : "this user may not ask");
        return;
    }
    int64_t theirs = 0;
    char subject[128];
    (void)snprintf(subject, sizeof subject, "$JS.API.STREAM.INFO.%s",
                   mlt_stored[MLT_STORED_OWNERS].stream.name);
    const int64_t begin = mlt_clock_wall_ns();
    cJSON *info = ask_api(d, subject, &err);
    const int64_t half = (mlt_clock_wall_ns() - begin) / 2;
    const cJSON *ts = cJSON_GetObjectItemCaseSensitive(info, "ts");
    if (cJSON_IsString(ts) && read_time(ts->valuestring, &theirs)) {
        mlt_doctor_clock(d, check, "it", theirs - (begin + half), half, true);
    } else {
        mlt_doctor_say(d, MLT_VERDICT_UNKNOWN, check, "the server did not tell its time");
    }
    cJSON_Delete(info);
}
