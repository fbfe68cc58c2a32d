#include <stdio.h>
#include <stdlib.h>

#include "commands_internal.h"

#define DEADLINE_NS (1900 * MLT_NS_PER_MS) /* of the whole command */
#define ROLLBACK_NS (300 * MLT_NS_PER_MS)
#define RENEW_TRIES 2u

static int64_t left_ns(const struct run *r)
{
    return r->begin_ns + DEADLINE_NS - mlt_clock_mono_ns();
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

/* What the record did was undone by a later one, before the Dispatcher was asked. Only where the
 * record is one of before did this command change nothing. */
static enum mlt_status refuse_superseded(struct run *r, const char *id, bool active)
{
    if (r->repeated) {
        return mlt_control_refuse(r->refusal, 409, "id",
                                  "this \"id\" was used before, for another command or for one "
                                  "whose effect was replaced since, nothing changed: use another "
                                  "\"id\"");
    }
    return active ? mlt_control_refuse(r->refusal, 409, "",
                                       "another command, or the end of its lease, ended "
                                       "subscription %s meanwhile: ask again",
                                       id)
                  : mlt_control_refuse(r->refusal, 409, "",
                                       "subscription %s was ended, and another command has asked "
                                       "for it since: it stands, ask again if it is to end",
                                       id);
}

/* Waits for what comes of a record; E_PROTOCOL when it is neither in force nor on its way. */
static enum mlt_status await(struct run *r, const char *id, bool active, uint64_t sequence)
{
    take_applied(r, mlt_run_ask_applied(r, id, active, sequence, left_ns(r)));
    if (mlt_run_came_to(r, "SUPERSEDED")) {
        return refuse_superseded(r, id, active);
    }
    return mlt_run_came_to(r, "FAILED") ? MLT_E_UNAVAILABLE : MLT_OK;
}

/* A refused topic: the subscription is taken back, and what stood before stands. Unless somebody
 * wrote of it after our record, at `written`: then it is that one's, whose answer says what stands.
 */
static enum mlt_status roll_back(struct run *r, const char *id, uint64_t written)
{
    char why[300]; /* the longest, of what there is no room for, to its end */
    (void)snprintf(why, sizeof why, "%s", r->outcome.reason);
    char stands[200];
    (void)snprintf(stands, sizeof stands,
                   "subscription %s was refused and could not be taken back, it stands as FAILED: "
                   "see meltica.control.list, and unsubscribe from it",
                   id);
    const struct entry end = {
        .verb = "rollback", .subscription = id, .expected = &written, .stands = stands
    };
    uint64_t sequence = 0;
    const Meltica__V1__PlanStatus__Topic *first =
        r->applied != NULL && r->applied->n_problems > 0 ? r->applied->problems[0] : NULL;
    (void)mlt_control_refuse(r->refusal, 502, "instruments",
                             "%s%s%s%s%s: it was taken back, nothing changed", why,
                             first != NULL ? ": " : "", first != NULL ? first->instrument : "",
                             first != NULL ? ", " : "", first != NULL ? first->reason : "");
    struct mlt_control_refusal said = *r->refusal;
    const enum mlt_status status = mlt_run_append(r, &end, &sequence);
    if (status == MLT_E_CONFLICT) {
        return mlt_control_refuse(r->refusal, 502, "instruments",
                                  "%s; another command for the same subscription came meanwhile, "
                                  "and its answer says what stands",
                                  why);
    }
    if (status != MLT_OK) {
        return MLT_E_PROTOCOL; /* the refusal says that the store is away */
    }
    Meltica__V1__ApplyReply *reply = mlt_run_ask_applied(r, id, false, sequence, ROLLBACK_NS);
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

/* A lease that goes on: its end in the table is by the Dispatcher's clock, that of a record by the
 * clock of whoever writes it. */
static uint64_t lease_left(const struct run *r, uint64_t end)
{
    if (end == 0 || r->table->now == 0 || end > INT64_MAX || r->table->now > INT64_MAX) {
        return end;
    }
    const int64_t left_ns = mlt_span_ns((int64_t)r->table->now, (int64_t)end);
    const int64_t ours = mlt_later_ns(mlt_clock_wall_ns(), left_ns);
    return ours > 0 ? (uint64_t)ours : 1; /* 0 would be none */
}

/* ---- verbs ---- */

/* The lease of one that is there, in the log, where nobody ended it meanwhile: a record that makes
 * it active would bring it back. */
static enum mlt_status renew(struct run *r, const Meltica__V1__TableSubscription *there,
                             uint64_t *sequence)
{
    uint64_t last = there->log_sequence;
    bool ended = false;
    const struct entry entry = { .verb = mlt_verb_word(r->command.verb),
                                 .subscription = r->subscription,
                                 .active = true,
                                 .type = (enum mlt_event_type)there->type,
                                 .instruments = there->instruments,
                                 .instrument_count = there->n_instruments,
                                 .lease_end = r->outcome.lease_end,
                                 .lane = &r->lane,
                                 .expected = &last,
                                 .with_id = true };
    enum mlt_status status = mlt_run_append(r, &entry, sequence);
    for (unsigned n = 0; n < RENEW_TRIES && status == MLT_E_CONFLICT; n++) {
        status = mlt_run_last(r, r->subscription, &last, &ended);
        if (status == MLT_OK && ended) {
            return mlt_control_refuse(r->refusal, 404, "subscription",
                                      "subscription %s was ended meanwhile, nothing changed",
                                      r->subscription);
        }
        status = status == MLT_OK ? mlt_run_append(r, &entry, sequence) : status;
    }
    return status == MLT_E_CONFLICT
               ? mlt_control_refuse(r->refusal, 503, "subscription",
                                    "others change subscription %s all the time, nothing changed: "
                                    "ask again",
                                    r->subscription)
               : status;
}

/* A demand that is there already: only its lease may change. */
static enum mlt_status again(struct run *r, const Meltica__V1__TableSubscription *there)
{
    uint64_t sequence = there->log_sequence;
    enum mlt_status status = MLT_OK;
    mlt_lane_of(there, &r->lane);
    r->outcome.lane = &r->lane;
    r->outcome.unchanged = r->command.ttl_s == 0;
    r->outcome.lease_end = lease_of(r, there->lease_end);
    if (r->command.ttl_s > 0) {
        status = renew(r, there, &sequence);
        if (status == MLT_OK && sequence <= there->log_sequence) { /* its id: carried out before */
            r->outcome.unchanged = true;
            r->outcome.lease_end = there->lease_end;
        }
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
                                 .lane = &command->lane,
                                 .with_id = true };
    enum mlt_status status = mlt_run_append(r, &entry, &sequence);
    if (status == MLT_OK) {
        status = await(r, r->subscription, true, sequence);
    }
    return status == MLT_E_UNAVAILABLE ? roll_back(r, r->subscription, sequence) : status;
}

/* What the demand holds, by the table that answers it. */
static struct mlt_quota_size size_of(const struct run *r)
{
    struct mlt_quota_size size = { 0, 0 };
    for (size_t d = 0; d < r->command.demand_count; d++) {
        const int64_t count = d < r->table->n_matches ? r->table->matches[d] : 1;
        size.streams += count;
        size.wildcard_matches += strchr(r->command.demand[d], '*') != NULL ? count : 0;
    }
    return size;
}

/* Whether the role has room for one more subscription, in the place of replaced (NULL: of none).
 * Patterns that the principal has already are asked for once more: only the Dispatcher knows what
 * they cover. */
static enum mlt_status grant(struct run *r, const char *replaced)
{
    if (r->asker.role == NULL) {
        return MLT_OK;
    }
    char *patterns[MLT_QUOTA_PATTERNS_MAX];
    size_t count = 0;
    const struct mlt_quota_size size = size_of(r);
    Meltica__V1__Table *before = NULL;
    enum mlt_status status =
        mlt_quota_patterns(r->table, r->asker.principal, patterns, MLT_QUOTA_PATTERNS_MAX, &count);
    if (status != MLT_OK) {
        return mlt_control_refuse(r->refusal, 429, "instruments",
                                  "%s holds more than %u different patterns: unsubscribe from one "
                                  "first",
                                  r->asker.principal, MLT_QUOTA_PATTERNS_MAX);
    }
    if (count > 0) {
        before = r->table; /* patterns are views of it */
        status = mlt_run_ask_table(r, patterns, count, NULL);
    }
    if (status == MLT_OK && count > 0 && r->table->n_matches < count) {
        status = mlt_control_refuse(r->refusal, 503, "",
                                    "the Dispatcher does not say what patterns cover, nothing "
                                    "changed: ask again");
    }
    if (status == MLT_OK) {
        const struct mlt_quota_question question = {
            .role = r->asker.role,
            .principal = r->asker.principal,
            .subscription = r->subscription,
            .replaced = replaced,
            .size = size,
            .table = r->table,
            .patterns = patterns,
            .matches = count > 0 ? r->table->matches : NULL,
            .pattern_count = count,
        };
        status = mlt_quota_grant(r->c->quota, r->ticket, &question, r->refusal);
    }
    if (before != NULL) {
        meltica__v1__table__free_unpacked(before, NULL);
    }
    return status;
}

/* Whether a new demand may begin, in the place of `replaced` (NULL: of none). */
static enum mlt_status may_begin(struct run *r, const struct mlt_command *command,
                                 const char *replaced)
{
    enum mlt_status status = mlt_command_check_id(r->table, r->subscription, r->refusal);
    if (status == MLT_OK) {
        status = replaced != NULL ? mlt_command_check_space(command, r->table, r->refusal)
                                  : mlt_command_check_room(command, r->asker.principal, r->table,
                                                           &r->c->limits, r->refusal);
    }
    return status == MLT_OK ? grant(r, replaced) : status;
}

/* What the role says of type and instruments. */
static enum mlt_status may_have(struct run *r, const struct mlt_command *demand)
{
    return r->asker.role != NULL
               ? mlt_role_check_demand(r->asker.role, r->asker.principal, demand, r->refusal)
               : MLT_OK;
}

static enum mlt_status do_subscribe(struct run *r)
{
    struct mlt_command *command = &r->command;
    mlt_command_id(r->asker.principal, command, r->subscription);
    describe(r, command->type, command->demand, command->demand_count);
    r->outcome.lane = &command->lane;
    enum mlt_status status = mlt_command_check(command, r->table, r->refusal);
    if (status != MLT_OK) {
        return status;
    }
    const Meltica__V1__TableSubscription *there =
        mlt_command_find(r->table, r->asker.principal, command->consumer, r->subscription);
    if (there != NULL) {
        return again(r, there);
    }
    status = may_begin(r, command, NULL);
    return status == MLT_OK ? begin_demand(r, lease_of(r, 0)) : status;
}

/* The subscription that the command names, which must be the consumer's own; to end it, a role that
 * says so may name another principal's. */
static enum mlt_status find_named(struct run *r, const Meltica__V1__TableSubscription **there)
{
    *there = mlt_command_find(r->table, r->asker.principal, r->command.consumer, r->subscription);
    if (*there == NULL && r->command.verb == MLT_VERB_UNSUBSCRIBE &&
        mlt_asker_sees_all(&r->asker)) {
        *there = mlt_command_find(r->table, NULL, r->command.consumer, r->subscription);
    }
    if (*there != NULL) {
        (void)snprintf(r->owner, sizeof r->owner, "%s", (*there)->principal);
    } else {
        return mlt_control_refuse(
            r->refusal, 404, "subscription",
            "%s has no subscription %s: meltica.control.list shows what "
            "there is%s",
            r->command.consumer, r->subscription,
            r->command.subscription[0] == '\0' ? "; private ones end by their id" : "");
    }
    describe(r, (enum mlt_event_type)(*there)->type, (*there)->instruments,
             (*there)->n_instruments);
    mlt_lane_of(*there, &r->lane);
    r->outcome.lane = &r->lane;
    return MLT_OK;
}

/* stands as in struct entry. */
static enum mlt_status end_demand(struct run *r, const char *id, bool with_id, const char *stands)
{
    const struct entry entry = { .verb = mlt_verb_word(r->command.verb),
                                 .subscription = id,
                                 .stands = stands,
                                 .with_id = with_id };
    uint64_t sequence = 0;
    enum mlt_status status = mlt_run_append(r, &entry, &sequence);
    if (status == MLT_OK) {
        status = await(r, id, false, sequence);
        mlt_quota_forget(r->c->quota, r->owner, id);
    }
    return status;
}

static enum mlt_status do_unsubscribe(struct run *r)
{
    const Meltica__V1__TableSubscription *there = NULL;
    const enum mlt_status status = find_named(r, &there);
    return status == MLT_OK ? end_demand(r, r->subscription, true, NULL) : status;
}

static enum mlt_status do_renew(struct run *r)
{
    const Meltica__V1__TableSubscription *there = NULL;
    enum mlt_status status = find_named(r, &there);
    if (status == MLT_OK) { /* the policy may have changed since */
        const struct mlt_command had = { .type = (enum mlt_event_type)there->type,
                                         .instrument_count = there->n_instruments,
                                         .instruments = there->instruments };
        status = may_have(r, &had);
    }
    return status == MLT_OK ? again(r, there) : status;
}

/* The new demand is in force: whatever comes of the old one's end, the answer says so. */
static enum mlt_status end_replaced(struct run *r)
{
    r->outcome.unchanged = false;
    r->outcome.replaces = r->replaced;
    const uint64_t sequence = r->outcome.log_sequence;
    char stands[200];
    (void)snprintf(stands, sizeof stands,
                   "the new subscription %s is in force, and %s, which it replaces, was not ended: "
                   "see meltica.control.list, and repeat the update, or unsubscribe from one",
                   r->subscription, r->replaced);
    enum mlt_status status = end_demand(r, r->replaced, false, stands);
    if (mlt_run_came_to(r, "SUPERSEDED")) {
        r->outcome.status = "CONFIRMED"; /* as the new one is */
        status = mlt_control_refuse(r->refusal, 409, "",
                                    "the new subscription %s is in force; %s, which it replaces, "
                                    "was ended, and another command has asked for it since: see "
                                    "meltica.control.list, and unsubscribe from one",
                                    r->subscription, r->replaced);
    }
    r->outcome.log_sequence = sequence;
    return status;
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
    const uint64_t lease_end = lease_of(r, lease_left(r, there->lease_end));
    if (command->type == MLT_EVENT_NONE) {
        command->type = (enum mlt_event_type)there->type;
    }
    if (!command->lane.given) {
        command->lane = r->lane;
    }
    r->outcome.lane = &command->lane;
    (void)snprintf(r->replaced, sizeof r->replaced, "%s", r->subscription);
    mlt_command_id(r->asker.principal, command, r->subscription);
    describe(r, command->type, command->demand, command->demand_count);
    status = may_have(r, command);
    if (status == MLT_OK) {
        status = mlt_command_check(command, r->table, r->refusal);
    }
    if (status != MLT_OK) {
        return status;
    }
    if (strcmp(r->replaced, r->subscription) == 0) {
        return again(r, there);
    }
    const Meltica__V1__TableSubscription *other =
        mlt_command_find(r->table, r->asker.principal, command->consumer, r->subscription);
    if (other != NULL) {
        status = again(r, other);
    } else {
        status = may_begin(r, command, r->replaced);
        status = status == MLT_OK ? begin_demand(r, lease_end) : status;
    }
    return status == MLT_OK && mlt_run_came_to(r, "CONFIRMED") ? end_replaced(r) : status;
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

static bool is_denial(const struct mlt_control_refusal *refusal)
{
    return refusal->code == 401 || refusal->code == 403;
}

static void count_denied(struct mlt_commands *c, const struct mlt_control_refusal *refusal)
{
    (void)pthread_mutex_lock(&c->lock);
    c->stats.denied += is_denial(refusal);
    (void)pthread_mutex_unlock(&c->lock);
}

static void count(struct run *r)
{
    (void)pthread_mutex_lock(&r->c->lock);
    r->c->stats.unchanged += r->outcome.unchanged;
    r->c->stats.confirmed += mlt_run_came_to(r, "CONFIRMED");
    r->c->stats.pending += mlt_run_came_to(r, "PENDING");
    (void)pthread_mutex_unlock(&r->c->lock);
}

static void end_run(struct run *r)
{
    if (r->entered) { /* a 503 leaves open whether the log has it */
        mlt_quota_leave(r->c->quota, r->ticket,
                        mlt_run_came_to(r, "CONFIRMED") ? MLT_QUOTA_APPLIED
                        : mlt_run_came_to(r, "PENDING") || r->refusal->code == 503
                            ? MLT_QUOTA_STORED
                            : MLT_QUOTA_NOTHING,
                        mlt_clock_mono_ns());
    }
    mlt_asker_end(r->c->authority, &r->asker);
    if (r->table != NULL) {
        meltica__v1__table__free_unpacked(r->table, NULL);
    }
    if (r->applied != NULL) {
        meltica__v1__apply_reply__free_unpacked(r->applied, NULL);
    }
    mlt_command_fini(&r->command);
}

static bool demands(enum mlt_verb verb)
{
    return verb == MLT_VERB_SUBSCRIBE || verb == MLT_VERB_UPDATE;
}

/* Who asks, what, and whether it may, before the Dispatcher is asked: what can be refused without
 * it costs it nothing. */
static enum mlt_status begin_run(struct run *r, enum mlt_verb verb, const char *subject,
                                 struct mlt_slice request)
{
    struct mlt_control_refusal unread;
    enum mlt_status status = mlt_asker_begin(r->c->authority, subject, verb, &r->asker, r->refusal);
    const enum mlt_status read =
        mlt_command_read(verb, request, &r->command, status == MLT_OK ? r->refusal : &unread);
    (void)snprintf(r->owner, sizeof r->owner, "%s", r->asker.principal);
    describe(r, r->command.type, r->command.demand, r->command.demand_count); /* for the audit */
    r->outcome.lane = &r->command.lane;
    status = status == MLT_OK ? read : status;
    if (status == MLT_OK && demands(verb)) {
        status = may_have(r, &r->command);
        if (status == MLT_OK) {
            status = mlt_command_check_terms(&r->command, &r->c->limits, r->refusal);
        }
        if (status == MLT_OK && r->asker.role != NULL) {
            r->entered = mlt_quota_enter(r->c->quota, r->asker.principal, &r->ticket) == MLT_OK;
            status = r->entered ? MLT_OK
                                : mlt_control_refuse(r->refusal, 503, "",
                                                     "too many commands are on their way, nothing "
                                                     "changed: ask again");
        }
    }
    return status;
}

/* As much of the table as the verb needs: who ends something can do so however much there is. */
static enum mlt_status ask_table(struct run *r)
{
    const struct mlt_command *command = &r->command;
    if (demands(command->verb)) {
        return mlt_run_ask_table(r, command->demand, command->demand_count, NULL);
    }
    if (command->verb == MLT_VERB_LIST) {
        return mlt_run_ask_table(r, NULL, 0, NULL);
    }
    if (command->subscription[0] != '\0') {
        (void)snprintf(r->subscription, sizeof r->subscription, "%s", command->subscription);
    } else {
        mlt_command_id(r->asker.principal, command, r->subscription);
    }
    return mlt_run_ask_table(r, NULL, 0, r->subscription);
}

enum mlt_status mlt_commands_run(struct mlt_commands *commands, enum mlt_verb verb,
                                 const char *subject, struct mlt_slice request, int64_t asked_ns,
                                 const char *traceparent, struct mlt_buf *answer,
                                 struct mlt_control_refusal *refusal)
{
    struct run r = { .c = commands,
                     .refusal = refusal,
                     .begin_ns = asked_ns,
                     .traceparent = traceparent,
                     .outcome = { .status = "", .reason = "" } };
    refusal->code = 0;
    r.outcome.command = &r.command;
    r.outcome.principal = r.asker.principal;
    r.outcome.owner = r.owner;
    r.outcome.subscription = r.subscription;
    enum mlt_status status = begin_run(&r, verb, subject, request);
    if (status == MLT_OK) {
        status = ask_table(&r);
    }
    if (status == MLT_OK && verb == MLT_VERB_LIST) {
        status = mlt_list_json(&r.command, mlt_asker_sees_all(&r.asker) ? NULL : r.asker.principal,
                               r.table, mlt_clock_wall_ns(), answer);
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
    if (status != MLT_OK) {
        count_denied(commands, refusal);
    }
    if (verb != MLT_VERB_LIST || is_denial(refusal)) {
        mlt_run_audit(&r, verb, status != MLT_OK);
    }
    end_run(&r);
    return status;
}

void mlt_commands_denied(struct mlt_commands *commands, enum mlt_verb verb, const char *principal,
                         struct mlt_control_refusal *refusal)
{
    struct run r = { .c = commands,
                     .refusal = refusal,
                     .outcome = {
                         .principal = principal, .subscription = "", .status = "", .reason = "" } };
    r.outcome.command = &r.command;
    count_denied(commands, refusal);
    mlt_run_audit(&r, verb, true);
}

void mlt_commands_get_stats(struct mlt_commands *commands, struct mlt_commands_stats *out)
{
    (void)pthread_mutex_lock(&commands->lock);
    *out = commands->stats;
    (void)pthread_mutex_unlock(&commands->lock);
    out->log_sequence = mlt_log_end_get(commands->log_end);
}

enum mlt_status mlt_commands_create(struct mlt_bus *control,
                                    const struct mlt_commands_options *options,
                                    struct mlt_commands **commands, struct mlt_error *err)
{
    struct mlt_commands *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for commands");
    }
    c->control = control;
    c->limits = options->limits;
    c->authority = options->authority;
    (void)snprintf(c->instance, sizeof c->instance, "%s", options->instance);
    (void)pthread_mutex_init(&c->lock, NULL);
    enum mlt_status status = mlt_quota_create(&c->quota);
    if (status == MLT_OK) {
        status = mlt_store_create(control, options->provision_replicas, &c->store, err);
    } else {
        (void)mlt_error_set(err, status, "no memory for quotas");
    }
    if (status == MLT_OK) {
        status = mlt_log_end_create(c->store, &c->log_end, err);
    }
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
        mlt_log_end_destroy(commands->log_end);
        mlt_store_destroy(commands->store);
        mlt_quota_destroy(commands->quota);
        (void)pthread_mutex_destroy(&commands->lock);
        free(commands);
    }
}
