#include "commands.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "meltica/base/log.h"
#include "meltica/bus/store.h"

#define SUBJECT_TABLE "meltica.int.table"
#define SUBJECT_APPLY "meltica.int.apply.00"
#define TABLE_TIMEOUT_NS (400 * MLT_NS_PER_MS)
#define DEADLINE_NS (1900 * MLT_NS_PER_MS) /* of the whole command */
#define REPLY_ROOM_NS (80 * MLT_NS_PER_MS) /* for the Dispatcher to say that it is pending */
#define ROLLBACK_NS (300 * MLT_NS_PER_MS)
#define STORE_AWAY "table store unavailable, nothing changed"

struct mlt_commands {
    struct mlt_bus *control;
    struct mlt_store *store;
    char instance[64];
    struct mlt_command_limits limits;

    pthread_mutex_t lock; /* what follows; never held while the bus is called */
    bool log_there, audit_there;
    struct mlt_commands_stats stats;
};

/* One command on its way. */
struct run {
    struct mlt_commands *c;
    struct mlt_command command;
    Meltica__V1__Table *table;
    Meltica__V1__ApplyReply *applied;
    char subscription[MLT_COMMAND_NAME_BYTES_MAX + 1];
    char replaced[MLT_COMMAND_NAME_BYTES_MAX + 1];
    struct mlt_outcome outcome;
    int64_t begin_ns;
    struct mlt_control_refusal *refusal;
};

/* ---- the Dispatcher ---- */

static enum mlt_status ask_table(struct run *r)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf question, answer;
    Meltica__V1__TableRequest request;
    meltica__v1__table_request__init(&request);
    request.n_match = r->command.instrument_count;
    request.match = r->command.instruments;
    mlt_buf_init(&question, MLT_BUS_PAYLOAD_BYTES_MAX);
    mlt_buf_init(&answer, MLT_BUS_PAYLOAD_BYTES_MAX);
    const size_t bytes = meltica__v1__table_request__get_packed_size(&request);
    enum mlt_status status = mlt_buf_reserve(&question, bytes > 0 ? bytes : 1);
    if (status == MLT_OK) {
        question.len = meltica__v1__table_request__pack(&request, question.data);
        status = mlt_bus_request(r->c->control, SUBJECT_TABLE, mlt_buf_view(&question),
                                 TABLE_TIMEOUT_NS, &answer, &err);
    }
    if (status == MLT_OK) {
        r->table = meltica__v1__table__unpack(NULL, answer.len, answer.data);
    }
    mlt_buf_fini(&answer);
    mlt_buf_fini(&question);
    if (r->table == NULL) {
        return mlt_control_refuse(r->refusal, 503, "",
                                  "the Dispatcher does not answer, nothing changed: see that "
                                  "meltica-dispatcher runs, then ask again");
    }
    if (!r->table->log_read) {
        return mlt_control_refuse(r->refusal, 503, "",
                                  STORE_AWAY ": the Dispatcher has not read the log, see that "
                                             "JetStream runs");
    }
    r->outcome.revision_before = r->outcome.revision = r->table->revision;
    return MLT_OK;
}

/* What came of it; NULL: not heard, and it will take effect all the same. */
static Meltica__V1__ApplyReply *ask_applied(struct run *r, const char *id, bool active,
                                            uint64_t sequence, int64_t wait_ns)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf answer;
    uint8_t bytes[256];
    Meltica__V1__ApplyRequest request;
    meltica__v1__apply_request__init(&request);
    char subscription[MLT_COMMAND_NAME_BYTES_MAX + 1];
    (void)snprintf(subscription, sizeof subscription, "%s", id);
    request.subscription = subscription;
    request.active = active;
    request.log_sequence = sequence;
    request.wait_ms =
        wait_ns > REPLY_ROOM_NS ? (uint32_t)((wait_ns - REPLY_ROOM_NS) / MLT_NS_PER_MS) : 0;
    const size_t len = meltica__v1__apply_request__pack(&request, bytes);
    mlt_buf_init(&answer, MLT_BUS_PAYLOAD_BYTES_MAX);
    Meltica__V1__ApplyReply *reply = NULL;
    if (mlt_bus_request(r->c->control, SUBJECT_APPLY, mlt_slice_of(bytes, len),
                        wait_ns > REPLY_ROOM_NS ? wait_ns : REPLY_ROOM_NS, &answer,
                        &err) == MLT_OK) {
        reply = meltica__v1__apply_reply__unpack(NULL, answer.len, answer.data);
    }
    mlt_buf_fini(&answer);
    return reply;
}

static int64_t left_ns(const struct run *r)
{
    return r->begin_ns + DEADLINE_NS - mlt_clock_mono_ns();
}

/* ---- the log ---- */

static enum mlt_status ensure(struct mlt_commands *c, bool *there,
                              const struct mlt_stream_spec *spec, struct mlt_error *err)
{
    (void)pthread_mutex_lock(&c->lock);
    const bool known = *there;
    (void)pthread_mutex_unlock(&c->lock);
    if (known) {
        return MLT_OK;
    }
    const enum mlt_status status = mlt_store_ensure_stream(c->store, spec, err);
    (void)pthread_mutex_lock(&c->lock);
    *there = status == MLT_OK;
    (void)pthread_mutex_unlock(&c->lock);
    return status;
}

static void forget(struct mlt_commands *c, bool *there)
{
    (void)pthread_mutex_lock(&c->lock);
    *there = false;
    (void)pthread_mutex_unlock(&c->lock);
}

/* As the Dispatcher provisions it, whoever comes first. */
static enum mlt_status ensure_log(struct mlt_commands *c, struct mlt_error *err)
{
    static const struct mlt_stream_spec spec = { .name = "MELTICA_CONTROL",
                                                 .subjects = { "meltica.int.control.*.*", NULL },
                                                 .max_msgs_per_subject = 5,
                                                 .duplicates_ns = 120 * MLT_NS_PER_S };
    return ensure(c, &c->log_there, &spec, err);
}

struct entry {
    const char *verb, *subscription;
    bool active;
    enum mlt_event_type type;
    char *const *instruments;
    size_t instrument_count;
    uint64_t lease_end;
    bool with_id; /* the caller's request id keeps it from being stored twice */
};

static char *unconst(const char *text)
{
    union {
        const char *in;
        char *out;
    } u = { text };
    return u.out;
}

/* E_PROTOCOL with the refusal filled. */
static enum mlt_status append(struct run *r, const struct entry *entry, uint64_t *sequence)
{
    struct mlt_commands *c = r->c;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    char subject[MLT_BUS_SUBJECT_BYTES_MAX + 1];
    char message_id[3 * MLT_COMMAND_NAME_BYTES_MAX + 8];
    union { /* protobuf-c has char ** where it only reads */
        char *const *in;
        char **out;
    } instruments = { entry->instruments };
    Meltica__V1__ControlRecord record;
    meltica__v1__control_record__init(&record);
    record.subscription = unconst(entry->subscription);
    record.principal = unconst(MLT_COMMANDS_PRINCIPAL);
    record.consumer = r->command.consumer;
    record.type = (Meltica__V1__EventType)entry->type;
    record.instruments = instruments.out;
    record.n_instruments = entry->instrument_count;
    record.active = entry->active;
    record.verb = unconst(entry->verb);
    record.request = r->command.id;
    record.lease_end = entry->lease_end;
    record.time = (uint64_t)mlt_clock_wall_ns();
    (void)snprintf(subject, sizeof subject, "meltica.int.control.%s.%s", MLT_COMMANDS_PRINCIPAL,
                   entry->subscription);
    (void)snprintf(message_id, sizeof message_id, "%s/%s/%s", MLT_COMMANDS_PRINCIPAL,
                   r->command.consumer, r->command.id);
    mlt_buf_init(&bytes, MLT_BUS_PAYLOAD_BYTES_MAX);
    bool duplicate = false;
    enum mlt_status status =
        mlt_buf_reserve(&bytes, meltica__v1__control_record__get_packed_size(&record));
    if (status == MLT_OK) {
        bytes.len = meltica__v1__control_record__pack(&record, bytes.data);
        status = ensure_log(c, &err);
    }
    if (status == MLT_OK) {
        const bool named = entry->with_id && r->command.id[0] != '\0';
        status = mlt_stream_append(c->store, subject, named ? message_id : NULL, NULL,
                                   mlt_buf_view(&bytes), sequence, &duplicate, &err);
    }
    mlt_buf_fini(&bytes);
    if (status == MLT_OK) {
        r->outcome.log_sequence = *sequence;
        return MLT_OK;
    }
    forget(c, &c->log_there);
    mlt_log(MLT_LOG_WARN, "not_logged", err.text, MLT_S("verb", entry->verb),
            MLT_S("reason", mlt_status_word(status)));
    return status == MLT_E_TIMEOUT
               ? mlt_control_refuse(r->refusal, 503, "",
                                    "the table store did not acknowledge in time: ask "
                                    "meltica.control.list what is in force, and repeat with the "
                                    "same \"id\"")
               : mlt_control_refuse(r->refusal, 503, "", STORE_AWAY);
}

/* ---- outcomes ---- */

static void describe(struct run *r, enum mlt_event_type type, char *const *instruments,
                     size_t count)
{
    r->outcome.type = type;
    r->outcome.instruments = instruments;
    r->outcome.instrument_count = count;
}

static void take_applied(struct run *r, Meltica__V1__ApplyReply *reply)
{
    if (r->applied != NULL) {
        meltica__v1__apply_reply__free_unpacked(r->applied, NULL);
    }
    r->applied = reply;
    r->outcome.applied = reply;
    if (reply == NULL) {
        r->outcome.status = "PENDING";
        r->outcome.reason = "it is stored; the Dispatcher has not said what came of it";
        return;
    }
    r->outcome.status = reply->outcome;
    r->outcome.reason = reply->reason;
    r->outcome.revision = reply->revision != 0 ? reply->revision : r->outcome.revision;
}

static bool came_to(const struct run *r, const char *word)
{
    return strcmp(r->outcome.status, word) == 0;
}

/* Waits for what comes of a record; E_PROTOCOL when it is neither in force nor on its way. */
static enum mlt_status await(struct run *r, const char *id, bool active, uint64_t sequence)
{
    take_applied(r, ask_applied(r, id, active, sequence, left_ns(r)));
    if (came_to(r, "SUPERSEDED")) {
        return mlt_control_refuse(r->refusal, 409, "id",
                                  "this request, or another one with the same \"id\", was carried "
                                  "out before, and a later command has replaced what it did: use "
                                  "another \"id\"");
    }
    return came_to(r, "FAILED") ? MLT_E_UNAVAILABLE : MLT_OK;
}

/* A refused topic: the subscription is taken back, and what stood before stands. */
static enum mlt_status roll_back(struct run *r, const char *id)
{
    char why[200];
    (void)snprintf(why, sizeof why, "%s", r->outcome.reason);
    const struct entry end = { .verb = "rollback", .subscription = id };
    uint64_t sequence = 0;
    const Meltica__V1__PlanStatus__Topic *first =
        r->applied != NULL && r->applied->n_problems > 0 ? r->applied->problems[0] : NULL;
    (void)mlt_control_refuse(r->refusal, 502, "instruments",
                             "%s%s%s%s%s: it was taken back, nothing changed", why,
                             first != NULL ? ": " : "", first != NULL ? first->instrument : "",
                             first != NULL ? ", " : "", first != NULL ? first->reason : "");
    struct mlt_control_refusal said = *r->refusal;
    if (append(r, &end, &sequence) != MLT_OK) {
        return MLT_E_PROTOCOL; /* the refusal says that the store is away */
    }
    Meltica__V1__ApplyReply *reply = ask_applied(r, id, false, sequence, ROLLBACK_NS);
    if (reply != NULL) {
        meltica__v1__apply_reply__free_unpacked(reply, NULL);
    }
    *r->refusal = said;
    return MLT_E_PROTOCOL;
}

static uint64_t lease_of(const struct run *r, uint64_t otherwise)
{
    return r->command.ttl_s > 0 ? (uint64_t)(mlt_clock_wall_ns() + r->command.ttl_s * MLT_NS_PER_S)
                                : otherwise;
}

/* ---- verbs ---- */

/* A demand that is there already: only its lease may change. */
static enum mlt_status again(struct run *r, const Meltica__V1__TableSubscription *there)
{
    uint64_t sequence = there->log_sequence;
    enum mlt_status status = MLT_OK;
    r->outcome.unchanged = r->command.ttl_s == 0;
    r->outcome.lease_end = lease_of(r, there->lease_end);
    if (r->command.ttl_s > 0) {
        const struct entry entry = { .verb = mlt_verb_word(r->command.verb),
                                     .subscription = r->subscription,
                                     .active = true,
                                     .type = (enum mlt_event_type)there->type,
                                     .instruments = there->instruments,
                                     .instrument_count = there->n_instruments,
                                     .lease_end = r->outcome.lease_end,
                                     .with_id = true };
        status = append(r, &entry, &sequence);
    }
    r->outcome.log_sequence = sequence;
    if (status == MLT_OK) {
        status = await(r, r->subscription, true, sequence);
    }
    return status == MLT_E_UNAVAILABLE ? MLT_OK : status; /* FAILED is what it is */
}

static enum mlt_status begin_demand(struct run *r, uint64_t lease_end)
{
    const struct mlt_command *command = &r->command;
    uint64_t sequence = 0;
    r->outcome.lease_end = lease_end;
    const struct entry entry = { .verb = mlt_verb_word(command->verb),
                                 .subscription = r->subscription,
                                 .active = true,
                                 .type = r->outcome.type,
                                 .instruments = command->demand,
                                 .instrument_count = command->demand_count,
                                 .lease_end = lease_end,
                                 .with_id = true };
    enum mlt_status status = append(r, &entry, &sequence);
    if (status == MLT_OK) {
        status = await(r, r->subscription, true, sequence);
    }
    return status == MLT_E_UNAVAILABLE ? roll_back(r, r->subscription) : status;
}

static enum mlt_status do_subscribe(struct run *r)
{
    struct mlt_command *command = &r->command;
    mlt_command_id(MLT_COMMANDS_PRINCIPAL, command->consumer, command->type, command->demand,
                   command->demand_count, r->subscription);
    describe(r, command->type, command->demand, command->demand_count);
    enum mlt_status status = mlt_command_check(command, r->table, &r->c->limits, r->refusal);
    if (status != MLT_OK) {
        return status;
    }
    const Meltica__V1__TableSubscription *there =
        mlt_command_find(r->table, MLT_COMMANDS_PRINCIPAL, command->consumer, r->subscription);
    if (there != NULL) {
        return again(r, there);
    }
    status = mlt_command_check_room(command, MLT_COMMANDS_PRINCIPAL, r->table, &r->c->limits,
                                    r->refusal);
    return status == MLT_OK ? begin_demand(r, lease_of(r, 0)) : status;
}

/* The subscription that the command names, which must be the consumer's own. */
static enum mlt_status find_named(struct run *r, const Meltica__V1__TableSubscription **there)
{
    *there =
        mlt_command_find(r->table, MLT_COMMANDS_PRINCIPAL, r->command.consumer, r->subscription);
    if (*there == NULL) {
        return mlt_control_refuse(r->refusal, 404, "subscription",
                                  "%s has no subscription %s: meltica.control.list shows what "
                                  "there is",
                                  r->command.consumer, r->subscription);
    }
    describe(r, (enum mlt_event_type)(*there)->type, (*there)->instruments,
             (*there)->n_instruments);
    return MLT_OK;
}

static enum mlt_status end_demand(struct run *r, const char *id, bool with_id)
{
    const struct entry entry = { .verb = mlt_verb_word(r->command.verb),
                                 .subscription = id,
                                 .with_id = with_id };
    uint64_t sequence = 0;
    const enum mlt_status status = append(r, &entry, &sequence);
    return status == MLT_OK ? await(r, id, false, sequence) : status;
}

static enum mlt_status do_unsubscribe(struct run *r)
{
    struct mlt_command *command = &r->command;
    const Meltica__V1__TableSubscription *there = NULL;
    if (command->subscription[0] != '\0') {
        (void)snprintf(r->subscription, sizeof r->subscription, "%s", command->subscription);
    } else {
        mlt_command_id(MLT_COMMANDS_PRINCIPAL, command->consumer, command->type, command->demand,
                       command->demand_count, r->subscription);
    }
    const enum mlt_status status = find_named(r, &there);
    return status == MLT_OK ? end_demand(r, r->subscription, true) : status;
}

static enum mlt_status do_renew(struct run *r)
{
    const Meltica__V1__TableSubscription *there = NULL;
    (void)snprintf(r->subscription, sizeof r->subscription, "%s", r->command.subscription);
    const enum mlt_status status = find_named(r, &there);
    return status == MLT_OK ? again(r, there) : status;
}

/* The new demand comes first; the old one stands until that is confirmed. */
static enum mlt_status do_update(struct run *r)
{
    struct mlt_command *command = &r->command;
    const Meltica__V1__TableSubscription *there = NULL;
    (void)snprintf(r->subscription, sizeof r->subscription, "%s", command->subscription);
    enum mlt_status status = find_named(r, &there);
    if (status != MLT_OK) {
        return status;
    }
    const uint64_t lease_end = lease_of(r, there->lease_end);
    if (command->type == MLT_EVENT_NONE) {
        command->type = (enum mlt_event_type)there->type;
    }
    (void)snprintf(r->replaced, sizeof r->replaced, "%s", r->subscription);
    mlt_command_id(MLT_COMMANDS_PRINCIPAL, command->consumer, command->type, command->demand,
                   command->demand_count, r->subscription);
    describe(r, command->type, command->demand, command->demand_count);
    status = mlt_command_check(command, r->table, &r->c->limits, r->refusal);
    if (status != MLT_OK) {
        return status;
    }
    if (strcmp(r->replaced, r->subscription) == 0) {
        return again(r, there);
    }
    const Meltica__V1__TableSubscription *other =
        mlt_command_find(r->table, MLT_COMMANDS_PRINCIPAL, command->consumer, r->subscription);
    status = other != NULL ? again(r, other) : begin_demand(r, lease_end);
    if (status != MLT_OK || !came_to(r, "CONFIRMED")) {
        return status;
    }
    r->outcome.unchanged = false;
    r->outcome.replaces = r->replaced;
    const uint64_t sequence = r->outcome.log_sequence;
    status = end_demand(r, r->replaced, false);
    r->outcome.log_sequence = sequence;
    return status;
}

/* ---- audit ---- */

static void audit(struct run *r, enum mlt_verb verb, bool refused)
{
    static const struct mlt_stream_spec spec = { .name = "MELTICA_AUDIT",
                                                 .subjects = { "meltica.int.audit.*", NULL },
                                                 .max_bytes = INT64_C(256) << 20 };
    struct mlt_commands *c = r->c;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    uint64_t sequence = 0;
    bool duplicate = false;
    mlt_buf_init(&bytes, MLT_BUS_PAYLOAD_BYTES_MAX);
    enum mlt_status status = mlt_audit_json(&r->outcome, verb, refused ? r->refusal : NULL,
                                            c->instance, mlt_clock_wall_ns(), &bytes);
    const char *subject = refused                   ? "meltica.int.audit.rejected"
                          : came_to(r, "CONFIRMED") ? "meltica.int.audit.confirmed"
                          : came_to(r, "PENDING")   ? "meltica.int.audit.pending"
                                                    : "meltica.int.audit.failed";
    if (status == MLT_OK) {
        status = ensure(c, &c->audit_there, &spec, &err);
    }
    if (status == MLT_OK) {
        status = mlt_stream_append(c->store, subject, NULL, NULL, mlt_buf_view(&bytes), &sequence,
                                   &duplicate, &err);
    }
    if (status != MLT_OK) { /* then the process's log has it */
        forget(c, &c->audit_there);
        mlt_log(MLT_LOG_WARN, "not_audited", "a command is not in MELTICA_AUDIT",
                MLT_S("reason", err.text), MLT_SL("record", mlt_buf_view(&bytes)));
    }
    mlt_buf_fini(&bytes);
    (void)pthread_mutex_lock(&c->lock);
    c->stats.audited += status == MLT_OK;
    c->stats.audit_failed += status != MLT_OK;
    (void)pthread_mutex_unlock(&c->lock);
}

/* ---- one request ---- */

static enum mlt_status carry_out(struct run *r, enum mlt_verb verb)
{
    switch (verb) {
    case MLT_VERB_SUBSCRIBE:
        return do_subscribe(r);
    case MLT_VERB_UNSUBSCRIBE:
        return do_unsubscribe(r);
    case MLT_VERB_UPDATE:
        return do_update(r);
    case MLT_VERB_RENEW:
        return do_renew(r);
    default:
        return MLT_OK;
    }
}

static void count(struct run *r)
{
    (void)pthread_mutex_lock(&r->c->lock);
    r->c->stats.unchanged += r->outcome.unchanged;
    r->c->stats.confirmed += came_to(r, "CONFIRMED");
    r->c->stats.pending += came_to(r, "PENDING");
    (void)pthread_mutex_unlock(&r->c->lock);
}

static void end_run(struct run *r)
{
    if (r->table != NULL) {
        meltica__v1__table__free_unpacked(r->table, NULL);
    }
    if (r->applied != NULL) {
        meltica__v1__apply_reply__free_unpacked(r->applied, NULL);
    }
    mlt_command_fini(&r->command);
}

enum mlt_status mlt_commands_run(struct mlt_commands *commands, enum mlt_verb verb,
                                 struct mlt_slice request, struct mlt_buf *answer,
                                 struct mlt_control_refusal *refusal)
{
    struct run r = { .c = commands,
                     .refusal = refusal,
                     .begin_ns = mlt_clock_mono_ns(),
                     .outcome = {
                         .principal = MLT_COMMANDS_PRINCIPAL, .status = "", .reason = "" } };
    r.outcome.command = &r.command;
    r.outcome.subscription = r.subscription;
    enum mlt_status status = mlt_command_read(verb, request, &r.command, refusal);
    if (status == MLT_OK) {
        status = ask_table(&r);
    }
    if (status == MLT_OK && verb == MLT_VERB_LIST) {
        status =
            mlt_list_json(&r.command, MLT_COMMANDS_PRINCIPAL, r.table, mlt_clock_wall_ns(), answer);
    } else if (status == MLT_OK) {
        status = carry_out(&r, verb);
        r.outcome.took_ms = (mlt_clock_mono_ns() - r.begin_ns) / MLT_NS_PER_MS;
        if (status == MLT_OK) {
            count(&r);
            status = mlt_outcome_json(&r.outcome, answer);
        }
    }
    if (status != MLT_OK && status != MLT_E_PROTOCOL) {
        status = mlt_control_refuse(refusal, 500, "", "the answer cannot be made: %s",
                                    mlt_status_text(status));
    }
    if (verb != MLT_VERB_LIST) {
        audit(&r, verb, status != MLT_OK);
    }
    end_run(&r);
    return status;
}

void mlt_commands_get_stats(struct mlt_commands *commands, struct mlt_commands_stats *out)
{
    (void)pthread_mutex_lock(&commands->lock);
    *out = commands->stats;
    (void)pthread_mutex_unlock(&commands->lock);
}

enum mlt_status mlt_commands_create(struct mlt_bus *control, bool may_provision,
                                    const char *instance, const struct mlt_command_limits *limits,
                                    struct mlt_commands **commands, struct mlt_error *err)
{
    struct mlt_commands *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for commands");
    }
    c->control = control;
    c->limits = *limits;
    (void)snprintf(c->instance, sizeof c->instance, "%s", instance);
    (void)pthread_mutex_init(&c->lock, NULL);
    const enum mlt_status status = mlt_store_create(control, may_provision, &c->store, err);
    if (status != MLT_OK) {
        mlt_commands_destroy(c);
        return status;
    }
    *commands = c;
    return MLT_OK;
}

void mlt_commands_destroy(struct mlt_commands *commands)
{
    if (commands != NULL) {
        mlt_store_destroy(commands->store);
        (void)pthread_mutex_destroy(&commands->lock);
        free(commands);
    }
}
