/* Wiring: what others announce is kept, the table is asked for with each request, so that an answer
 * is never older than its question. Threads: the loop (start, stop), one a subscription, one an
 * endpoint, workers for commands; what they share is behind a lock that is never held while the bus
 * is called. */
#include "control_bus.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "command_span.h"
#include "commands.h"
#include "meltica/base/clock.h"
#include "meltica/base/log.h"
#include "meters.h"
#include "workers.h"

#define SUBJECT_TABLE "meltica.int.table"
#define SUBJECT_TABLE_CHANGED "meltica.int.table.changed"
#define SUBJECT_PLAN_STATUS "meltica.int.plan.status"
/* An answer within a second: the table, then one PING for each service in what is left. */
#define TABLE_TIMEOUT_NS (400 * MLT_NS_PER_MS)
#define PING_TIMEOUT_NS (100 * MLT_NS_PER_MS)
#define ADAPTERS_MAX 16u
#define ADAPTER_FORGOTTEN_NS (60 * MLT_NS_PER_S)
#define MESSAGE_BYTES_MAX (256u << 10)

static const char *const service_names[] = { "meltica-adapter", "meltica-dispatcher",
                                             "meltica-conductor", "meltica-data-bus" };
#define SERVICE_COUNT (sizeof service_names / sizeof service_names[0])

struct heard_adapter {
    Meltica__V1__PlanStatus *status;
    int64_t heard_ns;
};

struct control_bus_config {
    int64_t max_subscriptions, max_instruments;
    char *auth, *policy;
};

struct control_bus {
    struct mlt_service *service;
    struct mlt_authority authority;
    struct mlt_commands *commands;
    struct mlt_workers *workers;
    struct mlt_bus *control;
    struct mlt_bus_subscription *tables, *plans;
    struct mlt_control_meters meters;

    pthread_mutex_t lock;
    int64_t dispatcher_heard_ns; /* monotonic; 0: never */
    uint64_t revision;           /* last announced */
    size_t adapter_count;
    struct heard_adapter adapters[ADAPTERS_MAX];
};

static void lock(struct control_bus *c)
{
    (void)pthread_mutex_lock(&c->lock);
}

static void unlock(struct control_bus *c)
{
    (void)pthread_mutex_unlock(&c->lock);
}

/* ---- what others announce ---- */

static void on_table_changed(void *ctx, const struct mlt_bus_message *message)
{
    struct control_bus *c = ctx;
    Meltica__V1__Table *table =
        message->payload.len > MESSAGE_BYTES_MAX
            ? NULL
            : meltica__v1__table__unpack(NULL, message->payload.len, message->payload.data);
    if (table == NULL) {
        mlt_log(MLT_LOG_WARN, "table_unreadable", "an announcement of the table cannot be read",
                MLT_U("bytes", message->payload.len));
        return;
    }
    lock(c);
    c->dispatcher_heard_ns = mlt_clock_mono_ns();
    c->revision = table->revision;
    unlock(c);
    meltica__v1__table__free_unpacked(table, NULL);
}

/* With the lock: the place of an instance; a new one takes that of the one heard least recently. */
static struct heard_adapter *place_of(struct control_bus *c, const char *instance)
{
    struct heard_adapter *oldest = &c->adapters[0];
    for (size_t i = 0; i < c->adapter_count; i++) {
        if (strcmp(c->adapters[i].status->instance, instance) == 0) {
            return &c->adapters[i];
        }
        if (c->adapters[i].heard_ns < oldest->heard_ns) {
            oldest = &c->adapters[i];
        }
    }
    return c->adapter_count < ADAPTERS_MAX ? &c->adapters[c->adapter_count++] : oldest;
}

static void free_status(Meltica__V1__PlanStatus *status)
{
    if (status != NULL) {
        meltica__v1__plan_status__free_unpacked(status, NULL);
    }
}

static void on_plan_status(void *ctx, const struct mlt_bus_message *message)
{
    struct control_bus *c = ctx;
    Meltica__V1__PlanStatus *status =
        message->payload.len > MESSAGE_BYTES_MAX
            ? NULL
            : meltica__v1__plan_status__unpack(NULL, message->payload.len, message->payload.data);
    if (status == NULL) {
        mlt_log(MLT_LOG_WARN, "plan_status_unreadable", "a PlanStatus cannot be read",
                MLT_U("bytes", message->payload.len));
        return;
    }
    if (status->standby) { /* of what it holds: another one tells of that */
        free_status(status);
        return;
    }
    lock(c);
    struct heard_adapter *place = place_of(c, status->instance);
    Meltica__V1__PlanStatus *before = place->status;
    place->status = status;
    place->heard_ns = mlt_clock_mono_ns();
    unlock(c);
    free_status(before);
}

/* ---- asking ---- */

static Meltica__V1__Table *ask_table(struct control_bus *c)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf answer;
    Meltica__V1__Table *table = NULL;
    mlt_buf_init(&answer, MLT_BUS_PAYLOAD_BYTES_MAX);
    if (mlt_bus_request(c->control, SUBJECT_TABLE, MLT_SLICE_EMPTY, TABLE_TIMEOUT_NS, &answer,
                        &err) == MLT_OK) {
        table = meltica__v1__table__unpack(NULL, answer.len, answer.data);
    }
    mlt_buf_fini(&answer);
    return table;
}

static void copy_member(const cJSON *object, const char *name, char *out, size_t size)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);
    (void)snprintf(out, size, "%s", cJSON_IsString(member) ? member->valuestring : "");
}

/* Any one instance that answers the micro PING of its name; where nobody serves it the server says
 * so at once. */
static void ping(struct control_bus *c, struct mlt_control_service *service)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf answer;
    char subject[64];
    (void)snprintf(subject, sizeof subject, "$SRV.PING.%s", service->name);
    mlt_buf_init(&answer, MESSAGE_BYTES_MAX);
    service->up = mlt_bus_request(c->control, subject, MLT_SLICE_EMPTY, PING_TIMEOUT_NS, &answer,
                                  &err) == MLT_OK;
    cJSON *tree = service->up && answer.len > 0
                      ? cJSON_ParseWithLength((const char *)answer.data, answer.len)
                      : NULL;
    copy_member(tree, "id", service->id, sizeof service->id);
    copy_member(tree, "version", service->version, sizeof service->version);
    cJSON_Delete(tree);
    mlt_buf_fini(&answer);
}

/* ---- answers ---- */

static void respond(struct mlt_micro_request *to, enum mlt_status made,
                    const struct mlt_buf *answer, const struct mlt_control_refusal *refusal)
{
    struct mlt_control_refusal failed;
    struct mlt_buf body;
    if (made == MLT_OK && answer != NULL) {
        made = mlt_micro_respond(to, mlt_buf_view(answer), 0, NULL);
    } else {
        if (refusal == NULL) {
            (void)mlt_control_refuse(&failed, 500, "", "the answer cannot be made: %s",
                                     mlt_status_text(made));
            refusal = &failed;
        }
        mlt_buf_init(&body, MLT_CONTROL_REQUEST_BYTES_MAX);
        made = mlt_control_refusal_json(refusal, &body);
        if (made == MLT_OK) {
            made = mlt_micro_respond(to, mlt_buf_view(&body), refusal->code, refusal->message);
        }
        mlt_buf_fini(&body);
    }
    if (made != MLT_OK) {
        mlt_log(MLT_LOG_WARN, "not_answered", "a request was not answered",
                MLT_S("reason", mlt_status_word(made)));
    }
}

/* With the lock. Those that said nothing for a minute are left out. */
static size_t view_adapters(struct control_bus *c, struct mlt_control_adapter *out)
{
    const int64_t now_ns = mlt_clock_mono_ns();
    size_t count = 0;
    for (size_t i = 0; i < c->adapter_count; i++) {
        const int64_t ago_ns = now_ns - c->adapters[i].heard_ns;
        if (ago_ns < ADAPTER_FORGOTTEN_NS) {
            out[count].status = c->adapters[i].status;
            out[count++].heard_ms = ago_ns / MLT_NS_PER_MS;
        }
    }
    return count;
}

/* False: the answer would go where none may go, so there will be none. */
static bool may_answer(struct control_bus *c, const struct mlt_bus_message *request,
                       struct mlt_micro_request *to)
{
    if (mlt_asker_reply_valid(&c->authority, request->reply)) {
        return true;
    }
    mlt_counter_add(c->meters.reply_refused, 1);
    mlt_log(MLT_LOG_WARN, "reply_refused", "a request wants its answer at what is no inbox",
            MLT_S("subject", request->subject), MLT_S("reply", request->reply));
    mlt_micro_defer(to);
    return false;
}

/* Whether who asks may, and asks for nothing besides; else it is answered. Give *asker to
 * mlt_asker_end in any case. */
static bool may_ask(struct control_bus *c, const struct mlt_bus_message *request,
                    enum mlt_verb verb, struct mlt_asker *asker, struct mlt_micro_request *to)
{
    struct mlt_control_refusal refusal;
    memset(asker, 0, sizeof *asker);
    if (!may_answer(c, request, to)) {
        return false;
    }
    enum mlt_status status =
        mlt_asker_begin(&c->authority, request->subject, verb, asker, &refusal);
    if (status != MLT_OK) {
        mlt_commands_denied(c->commands, verb, asker->principal, &refusal);
    } else {
        status = mlt_control_check_empty(request->payload, mlt_verb_word(verb), &refusal);
        mlt_counter_add(c->meters.refused, status != MLT_OK);
    }
    if (status != MLT_OK) {
        respond(to, status, NULL, &refusal);
    }
    return status == MLT_OK;
}

static void on_status(void *ctx, const struct mlt_bus_message *request,
                      struct mlt_micro_request *to)
{
    struct control_bus *c = ctx;
    struct mlt_asker asker;
    const bool may = may_ask(c, request, MLT_VERB_STATUS, &asker, to);
    mlt_asker_end(&c->authority, &asker);
    if (!may) {
        return;
    }
    struct mlt_control_service services[SERVICE_COUNT];
    struct mlt_control_adapter adapters[ADAPTERS_MAX];
    Meltica__V1__Table *table = ask_table(c);
    for (size_t i = 0; i < SERVICE_COUNT; i++) {
        services[i].name = service_names[i];
        ping(c, &services[i]);
    }
    struct mlt_buf answer;
    mlt_buf_init(&answer, MLT_BUS_PAYLOAD_BYTES_MAX);
    lock(c);
    const struct mlt_control_view view = {
        .version = MLT_VERSION,
        .instance = mlt_service_instance(c->service),
        .table = table,
        .dispatcher_heard_ms = c->dispatcher_heard_ns == 0
                                   ? -1
                                   : (mlt_clock_mono_ns() - c->dispatcher_heard_ns) / MLT_NS_PER_MS,
        .last_revision = c->revision,
        .adapters = adapters,
        .adapter_count = view_adapters(c, adapters),
        .services = services,
        .service_count = SERVICE_COUNT,
    };
    const enum mlt_status status = mlt_control_status_json(&view, &answer);
    unlock(c);
    respond(to, status, &answer, NULL);
    mlt_buf_fini(&answer);
    if (table != NULL) {
        meltica__v1__table__free_unpacked(table, NULL);
    }
}

static void describe(struct control_bus *c, const struct mlt_asker *asker,
                     struct mlt_micro_request *to)
{
    struct mlt_control_refusal refusal;
    Meltica__V1__Table *table = ask_table(c);
    if (table == NULL) {
        mlt_counter_add(c->meters.unavailable, 1);
        const enum mlt_status status =
            mlt_control_refuse(&refusal, 503, "",
                               "the Dispatcher does not answer, so the dispatch table is not "
                               "known: see that meltica-dispatcher runs, then ask again");
        respond(to, status, NULL, &refusal);
        return;
    }
    if (asker->role != NULL) {
        mlt_role_narrow(asker->role, asker->principal, table);
    }
    struct mlt_buf answer;
    mlt_buf_init(&answer, MLT_BUS_PAYLOAD_BYTES_MAX);
    respond(to, mlt_control_describe_json(table, &answer), &answer, NULL);
    mlt_buf_fini(&answer);
    meltica__v1__table__free_unpacked(table, NULL);
}

static void on_describe(void *ctx, const struct mlt_bus_message *request,
                        struct mlt_micro_request *to)
{
    struct control_bus *c = ctx;
    struct mlt_asker asker;
    if (may_ask(c, request, MLT_VERB_DESCRIBE, &asker, to)) {
        describe(c, &asker, to);
    }
    mlt_asker_end(&c->authority, &asker);
}

/* ---- commands ---- */

/* An answer that is made: sent, where somebody waits for one. */
static void reply(struct control_bus *c, const struct mlt_work *work, enum mlt_status made,
                  const struct mlt_buf *answer, const struct mlt_control_refusal *refusal)
{
    enum mlt_status status = made;
    if (status == MLT_OK && work->reply[0] != '\0') {
        status = mlt_bus_reply(c->control, work->reply, mlt_buf_view(answer), refusal->code,
                               refusal->message);
    }
    if (status != MLT_OK) {
        mlt_log(MLT_LOG_WARN, "not_answered", "a command was not answered",
                MLT_S("reason", mlt_status_word(status)));
    }
}

/* On the thread of a worker, of what waited for too long, or still waits when the time to end is
 * over. */
static void refuse_late(void *ctx, const struct mlt_work *work, bool ends)
{
    struct control_bus *c = ctx;
    struct mlt_control_refusal refusal;
    struct mlt_buf answer;
    (void)mlt_control_refuse(
        &refusal, 503, "", "%s did not come to this command%s, nothing changed: ask again",
        ends ? "this Control Bus ends and" : "this Control Bus", ends ? "" : " in time");
    mlt_buf_init(&answer, MLT_CONTROL_REQUEST_BYTES_MAX);
    const enum mlt_status made = mlt_control_refusal_json(&refusal, &answer);
    mlt_control_meters_answered(&c->meters, work->verb, refusal.code, -1);
    mlt_control_meters_not_begun(&c->meters, ends);
    if (ends) {
        mlt_service_cut_short(c->service);
    }
    reply(c, work, made, &answer, &refusal);
    mlt_buf_fini(&answer);
}

/* On the thread of a worker. */
static void carry_out(void *ctx, const struct mlt_work *work)
{
    struct control_bus *c = ctx;
    struct mlt_control_refusal refusal = { .code = 0 };
    struct mlt_buf answer;
    struct mlt_span span;
    char traceparent[MLT_TRACEPARENT_BYTES];
    const int64_t begin_ns = mlt_clock_mono_ns();
    mlt_command_span_begin(mlt_service_trace(c->service), work, &span, traceparent);
    mlt_buf_init(&answer, MLT_BUS_PAYLOAD_BYTES_MAX);
    enum mlt_status status = mlt_commands_run(c->commands, work->verb, work->subject,
                                              mlt_slice_of(work->request, work->len), work->put_ns,
                                              traceparent, &answer, &refusal);
    if (status != MLT_OK) {
        mlt_buf_clear(&answer);
        status = mlt_control_refusal_json(&refusal, &answer);
        for (char *m = refusal.message; *m != '\0'; m++) { /* it becomes the line of a header */
            if ((unsigned char)*m < ' ' || *m == 0x7f) {
                *m = ' ';
            }
        }
    }
    mlt_command_span_end(mlt_service_trace(c->service), &span, refusal.code);
    mlt_control_meters_answered(&c->meters, work->verb, refusal.code,
                                mlt_clock_mono_ns() - begin_ns);
    reply(c, work, status, &answer, &refusal);
    mlt_buf_fini(&answer);
}

static void command(void *ctx, enum mlt_verb verb, const struct mlt_bus_message *request,
                    struct mlt_micro_request *to)
{
    struct control_bus *c = ctx;
    struct mlt_control_refusal refusal;
    if (!may_answer(c, request, to)) {
        return;
    }
    const enum mlt_status status = mlt_workers_put(c->workers, verb, request);
    if (status == MLT_OK) {
        mlt_micro_defer(to);
        return;
    }
    mlt_control_meters_answered(&c->meters, verb, 503, -1);
    (void)mlt_control_refuse(&refusal, 503, "",
                             "too many commands wait (%u), nothing changed: ask again",
                             MLT_WORKERS_QUEUE_MAX);
    respond(to, status, NULL, &refusal);
}

static void on_subscribe(void *ctx, const struct mlt_bus_message *request,
                         struct mlt_micro_request *to)
{
    command(ctx, MLT_VERB_SUBSCRIBE, request, to);
}

static void on_unsubscribe(void *ctx, const struct mlt_bus_message *request,
                           struct mlt_micro_request *to)
{
    command(ctx, MLT_VERB_UNSUBSCRIBE, request, to);
}

static void on_update(void *ctx, const struct mlt_bus_message *request,
                      struct mlt_micro_request *to)
{
    command(ctx, MLT_VERB_UPDATE, request, to);
}

static void on_renew(void *ctx, const struct mlt_bus_message *request, struct mlt_micro_request *to)
{
    command(ctx, MLT_VERB_RENEW, request, to);
}

static void on_list(void *ctx, const struct mlt_bus_message *request, struct mlt_micro_request *to)
{
    command(ctx, MLT_VERB_LIST, request, to);
}

static void collect(void *state)
{
    struct control_bus *c = state;
    mlt_control_meters_collect(&c->meters, c->commands, c->workers, &c->authority);
}

/* ---- life ---- */

static void stop(void *state)
{
    struct control_bus *c = state;
    mlt_bus_unsubscribe(c->tables);
    mlt_bus_unsubscribe(c->plans);
    for (size_t i = 0; i < c->adapter_count; i++) {
        free_status(c->adapters[i].status);
    }
    /* The endpoints have ended: nobody puts any more. */
    mlt_workers_destroy(c->workers, mlt_clock_mono_ns() + mlt_service_drain_left_ns(c->service));
    mlt_commands_destroy(c->commands);
    mlt_policy_file_destroy(c->authority.file);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}

static enum mlt_status start(struct mlt_service *service, const void *config, void **state,
                             struct mlt_error *err)
{
    const struct control_bus_config *options = config;
    static const struct mlt_bus_subscribe_options tables = { .subject = SUBJECT_TABLE_CHANGED };
    static const struct mlt_bus_subscribe_options plans = { .subject = SUBJECT_PLAN_STATUS };
    struct control_bus *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the Control Bus");
    }
    c->service = service;
    c->control = mlt_service_control_bus(service);
    (void)pthread_mutex_init(&c->lock, NULL);
    mlt_control_meters_make(&c->meters, mlt_service_metrics(c->service));
    c->authority.required = strcmp(options->auth, "required") == 0;
    const struct mlt_commands_options commands = {
        .provision_replicas = mlt_service_provision_replicas(service),
        .instance = mlt_service_instance(service),
        .limits = { options->max_subscriptions, options->max_instruments },
        .authority = &c->authority,
    };
    enum mlt_status status = options->policy[0] != '\0'
                                 ? mlt_policy_file_create(options->policy, &c->authority.file, err)
                                 : MLT_OK;
    if (status == MLT_OK) {
        status = mlt_commands_create(c->control, &commands, &c->commands, err);
    }
    if (status == MLT_OK) {
        const struct mlt_workers_ports ports = { carry_out, refuse_late, c,
                                                 MLT_WORKERS_PATIENCE_NS };
        status = mlt_workers_create(&ports, &c->workers, err);
    }
    if (status == MLT_OK) {
        status = mlt_bus_subscribe(c->control, &tables, on_table_changed, c, &c->tables, err);
    }
    if (status == MLT_OK) {
        status = mlt_bus_subscribe(c->control, &plans, on_plan_status, c, &c->plans, err);
    }
    if (status != MLT_OK) {
        stop(c);
        return status;
    }
    *state = c;
    return MLT_OK;
}

/* Where a request's form is written down. */
#define SCHEMA_OF(verb)                                                                            \
    static const struct mlt_micro_pair schema_##verb[] = {                                         \
        { "format", "application/json" }, { "schema", "docs/schema/control.json#/$defs/" #verb }   \
    };
SCHEMA_OF(status)
SCHEMA_OF(describe)
SCHEMA_OF(subscribe)
SCHEMA_OF(unsubscribe)
SCHEMA_OF(update)
SCHEMA_OF(renew)
SCHEMA_OF(list)

#define SERVED(prefix, under, verb)                                                                \
    { .name = prefix #verb,                                                                        \
      .subject = under #verb,                                                                      \
      .handler = on_##verb,                                                                        \
      .metadata = schema_##verb,                                                                   \
      .metadata_count = sizeof schema_##verb / sizeof schema_##verb[0] }
#define SERVED_TWICE(verb)                                                                         \
    SERVED("", MLT_SUBJECT_CONTROL, verb), SERVED("as-", MLT_SUBJECT_AS "*.", verb)

static const struct mlt_micro_endpoint endpoints[] = {
    SERVED_TWICE(status),      SERVED_TWICE(describe), SERVED_TWICE(subscribe),
    SERVED_TWICE(unsubscribe), SERVED_TWICE(update),   SERVED_TWICE(renew),
    SERVED_TWICE(list),
};

static const struct mlt_config_item items[] = {
    { .key = "max_subscriptions",
      .type = MLT_CONFIG_INT,
      .offset = offsetof(struct control_bus_config, max_subscriptions),
      .default_text = "100",
      .min = 1,
      .max = MLT_COMMAND_LIVE_MAX,
      .unit = "",
      .doc = "Live subscriptions that one consumer may hold." },
    { .key = "max_instruments",
      .type = MLT_CONFIG_INT,
      .offset = offsetof(struct control_bus_config, max_instruments),
      .default_text = "200",
      .min = 1,
      .max = MLT_COMMAND_INSTRUMENTS_MAX,
      .unit = "",
      .doc = "Instruments and patterns that one subscription may name." },
    { .key = "auth",
      .type = MLT_CONFIG_CHOICE,
      .offset = offsetof(struct control_bus_config, auth),
      .default_text = "off",
      .choices = "off|required",
      .unit = "",
      .doc = "Whether who asks must be named: required serves only "
             "meltica.control.as.<principal>.<verb>, which NATS permissions pin." },
    { .key = "policy",
      .type = MLT_CONFIG_STRING,
      .offset = offsetof(struct control_bus_config, policy),
      .default_text = "",
      .unit = "",
      .doc = "File with roles and principals (docs/control.md); read again when it changes. Empty: "
             "everybody may do everything with what is its own." },
};

/* --check-config reads the policy too. */
static enum mlt_status check(const void *config, struct mlt_error *err)
{
    const struct control_bus_config *options = config;
    struct mlt_policy *policy = NULL;
    if (options->policy[0] == '\0') {
        return MLT_OK;
    }
    const enum mlt_status status = mlt_policy_load(options->policy, &policy, err);
    if (status != MLT_OK) {
        return mlt_error_prepend(err, "policy");
    }
    mlt_policy_destroy(policy);
    return MLT_OK;
}

const struct mlt_service_spec mlt_control_bus_spec = {
    .name = "control_bus",
    .micro_name = "meltica-control",
    .description = "Steers what flows, and says what Meltica does and offers, over NATS.",
    .items = items,
    .item_count = sizeof items / sizeof items[0],
    .config_bytes = sizeof(struct control_bus_config),
    .check = check,
    .start = start,
    .stop = stop,
    .collect = collect,
    .endpoints = endpoints,
    .endpoint_count = sizeof endpoints / sizeof endpoints[0],
};
