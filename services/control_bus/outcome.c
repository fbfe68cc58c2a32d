/* What commands came to, as JSON. */
#include <stdio.h>

#include "command.h"
#include "json.h"

static void put_instruments(struct json *json, char *const *instruments, size_t count)
{
    json_open(json, "instruments", '[');
    for (size_t i = 0; i < count; i++) {
        json_text(json, NULL, instruments[i]);
    }
    json_close(json, ']');
}

/* Where to listen. Patterns are expanded by NATS as little as by us: one subject for all. */
static void put_channels(struct json *json, const char *prefix, char *const *instruments,
                         size_t count)
{
    char subject[MLT_INSTRUMENT_BYTES_MAX + 2 * MLT_COMMAND_NAME_BYTES_MAX + 32];
    bool wild = false;
    json_open(json, "channels", '[');
    for (size_t i = 0; i < count; i++) {
        wild = wild || strchr(instruments[i], '*') != NULL;
    }
    if (wild) {
        (void)snprintf(subject, sizeof subject, "%s.*", prefix);
        json_text(json, NULL, subject);
    }
    for (size_t i = 0; i < count && !wild; i++) {
        (void)snprintf(subject, sizeof subject, "%s.%s", prefix, instruments[i]);
        json_text(json, NULL, subject);
    }
    json_close(json, ']');
}

static void put_lane(struct json *json, const struct mlt_lane_terms *lane)
{
    const bool private_lane = lane != NULL && lane->private_lane;
    json_text(json, "channel", private_lane ? "private" : "shared");
    if (private_lane && lane->throttle_ms > 0) {
        json_number(json, "throttle_ms", lane->throttle_ms);
    }
    if (private_lane && lane->filter_count > 0) {
        json_open(json, "filter", '[');
        for (size_t i = 0; i < lane->filter_count; i++) {
            json_open(json, NULL, '{');
            json_text(json, "field", lane->filter[i].field);
            json_text(json, "op", lane->filter[i].op);
            json_text(json, "value", lane->filter[i].value);
            json_close(json, '}');
        }
        json_close(json, ']');
    }
}

static void put_subjects(struct json *json, const struct mlt_outcome *outcome)
{
    char prefix[2 * MLT_COMMAND_NAME_BYTES_MAX + 32] = "meltica.data";
    if (outcome->lane != NULL && outcome->lane->private_lane) {
        (void)snprintf(prefix, sizeof prefix, "meltica.lane.%s.%s",
                       outcome->owner != NULL ? outcome->owner : outcome->principal,
                       outcome->subscription);
    }
    put_channels(json, prefix, outcome->instruments, outcome->instrument_count);
}

static void put_native(struct json *json, const Meltica__V1__ApplyReply *applied)
{
    json_open(json, "native", '{');
    json_number(json, "pending", applied->topics_pending);
    json_number(json, "failed", applied->topics_failed);
    json_open(json, "problems", '[');
    for (size_t i = 0; i < applied->n_problems; i++) {
        json_open(json, NULL, '{');
        json_number(json, "route", applied->problems[i]->route);
        json_text(json, "instrument", applied->problems[i]->instrument);
        json_text(json, "state", applied->problems[i]->state);
        json_text(json, "reason", applied->problems[i]->reason);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_close(json, '}');
}

static void put_lease(struct json *json, uint64_t lease_end)
{
    if (lease_end != 0) {
        json_big(json, "lease_end_ns", lease_end);
    }
}

Meltica__V1__ApplyReply *mlt_applied_read(struct mlt_slice bytes)
{
    static const char *const words[] = { "CONFIRMED", "PENDING", "FAILED", "SUPERSEDED" };
    Meltica__V1__ApplyReply *reply = meltica__v1__apply_reply__unpack(NULL, bytes.len, bytes.data);
    for (size_t i = 0; reply != NULL && i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(reply->outcome, words[i]) == 0) {
            return reply;
        }
    }
    if (reply != NULL) {
        meltica__v1__apply_reply__free_unpacked(reply, NULL);
    }
    return NULL;
}

enum mlt_status mlt_outcome_json(const struct mlt_outcome *outcome, struct mlt_buf *out)
{
    struct json json = { out, MLT_OK, false };
    json_open(&json, NULL, '{');
    json_text(&json, "status", outcome->status);
    if (outcome->reason[0] != '\0') {
        json_text(&json, "message", outcome->reason);
    }
    json_text(&json, "subscription", outcome->subscription);
    if (outcome->replaces != NULL) {
        json_text(&json, "replaces", outcome->replaces);
    }
    json_text(&json, "consumer", outcome->command->consumer);
    json_text(&json, "type", mlt_event_type_word((int)outcome->type));
    put_instruments(&json, outcome->instruments, outcome->instrument_count);
    put_lane(&json, outcome->lane);
    put_subjects(&json, outcome);
    json_flag(&json, "unchanged", outcome->unchanged);
    if (outcome->command->id[0] != '\0') {
        json_text(&json, "id", outcome->command->id);
    }
    put_lease(&json, outcome->lease_end);
    json_big(&json, "revision", outcome->revision);
    json_big(&json, "log_sequence", outcome->log_sequence);
    if (outcome->applied != NULL) {
        put_native(&json, outcome->applied);
    }
    json_number(&json, "took_ms", outcome->took_ms);
    json_close(&json, '}');
    return json.status;
}

enum mlt_status mlt_audit_json(const struct mlt_outcome *outcome, enum mlt_verb verb,
                               const struct mlt_control_refusal *refusal, const char *instance,
                               int64_t time_ns, struct mlt_buf *out)
{
    const struct mlt_command *command = outcome->command;
    struct json json = { out, MLT_OK, false };
    json_open(&json, NULL, '{');
    json_big(&json, "time_ns", (uint64_t)time_ns);
    json_text(&json, "verb", mlt_verb_word(verb));
    json_text(&json, "principal", outcome->principal);
    if (outcome->owner != NULL && strcmp(outcome->owner, outcome->principal) != 0) {
        json_text(&json, "owner", outcome->owner);
    }
    json_text(&json, "consumer", command->consumer);
    json_text(&json, "id", command->id);
    json_text(&json, "subscription", outcome->subscription);
    json_text(&json, "replaces", outcome->replaces);
    json_text(&json, "type",
              outcome->type != MLT_EVENT_NONE ? mlt_event_type_word((int)outcome->type) : "");
    put_instruments(&json, outcome->instruments, outcome->instrument_count);
    put_lane(&json, outcome->lane);
    json_text(&json, "outcome", refusal != NULL ? "REJECTED" : outcome->status);
    json_number(&json, "code", refusal != NULL ? refusal->code : 0);
    json_text(&json, "message", refusal != NULL ? refusal->message : outcome->reason);
    json_text(&json, "field", refusal != NULL ? refusal->field : "");
    json_flag(&json, "unchanged", outcome->unchanged);
    json_big(&json, "revision_before", outcome->revision_before);
    json_big(&json, "revision", outcome->revision);
    json_big(&json, "log_sequence", outcome->log_sequence);
    put_lease(&json, outcome->lease_end);
    if (outcome->applied != NULL) {
        put_native(&json, outcome->applied);
    }
    json_text(&json, "by", instance);
    json_number(&json, "took_ms", outcome->took_ms);
    json_close(&json, '}');
    return json.status;
}

static void put_listed(struct json *json, const Meltica__V1__TableSubscription *s,
                       bool with_principal, int64_t now_ns)
{
    json_open(json, NULL, '{');
    json_text(json, "subscription", s->id);
    if (with_principal) {
        json_text(json, "principal", s->principal);
    }
    json_text(json, "consumer", s->consumer);
    json_text(json, "type", mlt_event_type_word((int)s->type));
    put_instruments(json, s->instruments, s->n_instruments);
    struct mlt_lane_terms lane;
    mlt_lane_of(s, &lane);
    put_lane(json, &lane);
    json_text(json, "state", s->state);
    if (s->lease_end != 0) {
        const int64_t left_ns = (int64_t)s->lease_end - now_ns;
        put_lease(json, s->lease_end);
        json_number(json, "lease_left_s", left_ns > 0 ? left_ns / INT64_C(1000000000) : 0);
    }
    json_big(json, "log_sequence", s->log_sequence);
    json_close(json, '}');
}

enum mlt_status mlt_list_json(const struct mlt_command *command, const char *principal,
                              const Meltica__V1__Table *table, int64_t now_ns, struct mlt_buf *out)
{
    struct json json = { out, MLT_OK, false };
    int64_t total = 0;
    json_open(&json, NULL, '{');
    json_text(&json, "status", "OK");
    json_big(&json, "revision", table->revision);
    json_open(&json, "subscriptions", '[');
    for (size_t i = 0; i < table->n_subscriptions; i++) {
        const Meltica__V1__TableSubscription *s = table->subscriptions[i];
        const bool shown =
            !s->implied && s->consumer[0] != '\0' &&
            (principal == NULL || strcmp(s->principal, principal) == 0) &&
            (command->consumer[0] == '\0' || strcmp(command->consumer, s->consumer) == 0);
        if (shown && total >= command->offset && total < command->offset + command->limit) {
            put_listed(&json, s, principal == NULL, now_ns);
        }
        total += shown;
    }
    json_close(&json, ']');
    json_number(&json, "total", total);
    json_number(&json, "offset", command->offset);
    json_flag(&json, "complete", command->offset + command->limit >= total);
    json_close(&json, '}');
    return json.status;
}
