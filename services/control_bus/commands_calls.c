/* What a command asks of others: the Dispatcher, the log, the audit (commands_internal.h). */
#include <stdio.h>
#include <stdlib.h>

#include "commands_internal.h"
#include "meltica/base/log.h"
#include "meltica/base/unconst.h"

#define SUBJECT_TABLE "meltica.int.table"
#define SUBJECT_APPLY "meltica.int.apply.00"
#define TABLE_TIMEOUT_NS (400 * MLT_NS_PER_MS)
#define LAST_READS_MAX 16u                 /* more than the log keeps of one subscription */
#define REPLY_ROOM_NS (80 * MLT_NS_PER_MS) /* for the Dispatcher to say that it is pending */

/* ---- the Dispatcher ---- */

enum mlt_status mlt_run_ask_table(struct run *r, char **names, size_t count, const char *only)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf question, answer;
    Meltica__V1__TableRequest request;
    meltica__v1__table_request__init(&request);
    request.match = names;
    request.n_match = count;
    if (only != NULL) {
        request.subscription = mlt_unconst(only);
    }
    r->table = NULL;
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
Meltica__V1__ApplyReply *mlt_run_ask_applied(struct run *r, const char *id, bool active,
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
    request.traceparent = mlt_unconst(r->traceparent);
    request.wait_ms =
        wait_ns > REPLY_ROOM_NS ? (uint32_t)((wait_ns - REPLY_ROOM_NS) / MLT_NS_PER_MS) : 0;
    const size_t len = meltica__v1__apply_request__pack(&request, bytes);
    mlt_buf_init(&answer, MLT_BUS_PAYLOAD_BYTES_MAX);
    Meltica__V1__ApplyReply *reply = NULL;
    if (mlt_bus_request(r->c->control, SUBJECT_APPLY, mlt_slice_of(bytes, len),
                        wait_ns > REPLY_ROOM_NS ? wait_ns : REPLY_ROOM_NS, &answer,
                        &err) == MLT_OK) {
        reply = mlt_applied_read(mlt_buf_view(&answer));
    }
    mlt_buf_fini(&answer);
    return reply;
}

/* ---- the log ---- */

static enum mlt_status ensure(struct mlt_commands *c, bool *there, enum mlt_stored which,
                              struct mlt_error *err)
{
    (void)pthread_mutex_lock(&c->lock);
    const bool known = *there;
    (void)pthread_mutex_unlock(&c->lock);
    if (known) {
        return MLT_OK;
    }
    const enum mlt_status status = mlt_stored_ensure(c->store, which, err);
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
    return ensure(c, &c->log_there, MLT_STORED_CONTROL, err);
}

/* The request's id was used before: what the log has at that place counts, if it is of this
 * subscription. E_PROTOCOL with the refusal filled. */
static enum mlt_status take_logged(struct run *r, const char *subject, uint64_t sequence)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    uint64_t found = 0;
    mlt_buf_init(&bytes, MLT_BUS_PAYLOAD_BYTES_MAX);
    const enum mlt_status status = mlt_stream_next_current(r->c->store, MLT_STREAM_CONTROL, subject,
                                                           sequence, &bytes, &found, &err);
    Meltica__V1__ControlRecord *record =
        status == MLT_OK && found == sequence
            ? meltica__v1__control_record__unpack(NULL, bytes.len, bytes.data)
            : NULL;
    mlt_buf_fini(&bytes);
    if (status != MLT_OK && status != MLT_E_NOT_FOUND) {
        return mlt_control_refuse(r->refusal, 503, "", STORE_AWAY);
    }
    if (record == NULL) {
        return mlt_control_refuse(r->refusal, 409, "id",
                                  "another request with the same \"id\" was carried out before, or "
                                  "later commands have replaced what it did: use another \"id\"");
    }
    r->outcome.unchanged = true;
    r->outcome.lease_end = record->lease_end;
    meltica__v1__control_record__free_unpacked(record, NULL);
    return MLT_OK;
}

enum mlt_status mlt_run_last(struct run *r, const char *id, uint64_t *sequence, bool *ended)
{
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    char subject[MLT_BUS_SUBJECT_BYTES_MAX + 1];
    enum mlt_status status = MLT_OK;
    (void)snprintf(subject, sizeof subject, "meltica.int.control.%s.%s", r->owner, id);
    mlt_buf_init(&bytes, MLT_BUS_PAYLOAD_BYTES_MAX);
    *sequence = 0;
    *ended = false;
    for (unsigned n = 0; status == MLT_OK && n < LAST_READS_MAX; n++) { /* few are kept of each */
        uint64_t found = 0;
        mlt_buf_clear(&bytes);
        status = mlt_stream_next_current(r->c->store, MLT_STREAM_CONTROL, subject, *sequence + 1,
                                         &bytes, &found, &err);
        Meltica__V1__ControlRecord *record =
            status == MLT_OK ? meltica__v1__control_record__unpack(NULL, bytes.len, bytes.data)
                             : NULL;
        if (status == MLT_OK) {
            *sequence = found;
            *ended = record != NULL && !record->active;
        }
        if (record != NULL) {
            meltica__v1__control_record__free_unpacked(record, NULL);
        }
    }
    mlt_buf_fini(&bytes);
    return status == MLT_E_NOT_FOUND ? MLT_OK : mlt_control_refuse(r->refusal, 503, "", STORE_AWAY);
}

/* Views of the terms. */
static void fill_lane(const struct mlt_lane_terms *lane, Meltica__V1__ControlRecord *record,
                      Meltica__V1__Comparison *comparisons, Meltica__V1__Comparison **filter)
{
    if (lane == NULL || !lane->private_lane) {
        return;
    }
    record->private_lane = true;
    record->throttle_ms = (uint32_t)lane->throttle_ms;
    record->n_filter = lane->filter_count;
    record->filter = filter;
    for (size_t i = 0; i < lane->filter_count; i++) {
        meltica__v1__comparison__init(&comparisons[i]);
        comparisons[i].field = mlt_unconst(lane->filter[i].field);
        comparisons[i].op = mlt_unconst(lane->filter[i].op);
        comparisons[i].value = mlt_unconst(lane->filter[i].value);
        filter[i] = &comparisons[i];
    }
}

/* The log did not take it. stands: what is in force all the same; NULL: what was. E_PROTOCOL with
 * the refusal filled. */
static enum mlt_status refuse_unlogged(struct run *r, enum mlt_status why, const char *stands)
{
    struct mlt_commands *c = r->c;
    (void)pthread_mutex_lock(&c->lock);
    c->stats.log_full += why == MLT_E_LIMIT;
    c->stats.log_silent += why == MLT_E_TIMEOUT;
    c->stats.log_away += why != MLT_E_LIMIT && why != MLT_E_TIMEOUT;
    (void)pthread_mutex_unlock(&c->lock);
    if (stands != NULL) {
        return mlt_control_refuse(r->refusal, 503, "", "%s: %s",
                                  why == MLT_E_TIMEOUT
                                      ? "the table store did not acknowledge in time"
                                  : why == MLT_E_LIMIT ? "the table store is full"
                                                       : "the table store is unavailable",
                                  stands);
    }
    if (why == MLT_E_TIMEOUT) {
        return mlt_control_refuse(r->refusal, 503, "",
                                  "the table store did not acknowledge in time: ask "
                                  "meltica.control.list what is in force, and repeat with the "
                                  "same \"id\"");
    }
    return why == MLT_E_LIMIT ? mlt_control_refuse(r->refusal, 503, "", STORE_FULL)
                              : mlt_control_refuse(r->refusal, 503, "", STORE_AWAY);
}

/* E_PROTOCOL with the refusal filled. */
enum mlt_status mlt_run_append(struct run *r, const struct entry *entry, uint64_t *sequence)
{
    struct mlt_commands *c = r->c;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    char subject[MLT_BUS_SUBJECT_BYTES_MAX + 1];
    char message_id[3 * MLT_COMMAND_NAME_BYTES_MAX + 8];
    Meltica__V1__ControlRecord record;
    meltica__v1__control_record__init(&record);
    record.subscription = mlt_unconst(entry->subscription);
    record.principal = r->owner;
    record.consumer = r->command.consumer;
    record.type = (Meltica__V1__EventType)entry->type;
    record.instruments = mlt_unconst(entry->instruments);
    record.n_instruments = entry->instrument_count;
    record.active = entry->active;
    record.verb = mlt_unconst(entry->verb);
    record.request = r->command.id;
    record.lease_end = entry->lease_end;
    record.traceparent = mlt_unconst(r->traceparent);
    record.time = (uint64_t)mlt_clock_wall_ns();
    Meltica__V1__Comparison comparisons[MLT_COMMAND_FILTERS_MAX], *filter[MLT_COMMAND_FILTERS_MAX];
    fill_lane(entry->lane, &record, comparisons, filter);
    (void)snprintf(subject, sizeof subject, "meltica.int.control.%s.%s", r->owner,
                   entry->subscription);
    (void)snprintf(message_id, sizeof message_id, "%s/%s/%s", r->asker.principal,
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
        status = mlt_stream_append(c->store, subject, named ? message_id : NULL, entry->expected,
                                   mlt_buf_view(&bytes), sequence, &duplicate, &err);
    }
    mlt_buf_fini(&bytes);
    if (status == MLT_OK) {
        r->repeated = duplicate;
        r->outcome.log_sequence = *sequence;
        mlt_log_end_stored(c->log_end, *sequence);
        return duplicate ? take_logged(r, subject, *sequence) : MLT_OK;
    }
    if (status == MLT_E_CONFLICT && entry->expected != NULL) {
        return status;
    }
    forget(c, &c->log_there);
    mlt_log(MLT_LOG_WARN, "not_logged", err.text, MLT_S("verb", entry->verb),
            MLT_S("reason", mlt_status_word(status)));
    return refuse_unlogged(r, status, entry->stands);
}

bool mlt_run_came_to(const struct run *r, const char *word)
{
    return strcmp(r->outcome.status, word) == 0;
}

/* ---- audit ---- */

void mlt_run_audit(struct run *r, enum mlt_verb verb, bool refused)
{
    struct mlt_commands *c = r->c;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf bytes;
    uint64_t sequence = 0;
    bool duplicate = false;
    mlt_buf_init(&bytes, MLT_BUS_PAYLOAD_BYTES_MAX);
    enum mlt_status status = mlt_audit_json(&r->outcome, verb, refused ? r->refusal : NULL,
                                            c->instance, mlt_clock_wall_ns(), &bytes);
    const char *subject = refused                           ? "meltica.int.audit.rejected"
                          : mlt_run_came_to(r, "CONFIRMED") ? "meltica.int.audit.confirmed"
                          : mlt_run_came_to(r, "PENDING")   ? "meltica.int.audit.pending"
                                                            : "meltica.int.audit.failed";
    if (status == MLT_OK) {
        status = ensure(c, &c->audit_there, MLT_STORED_AUDIT, &err);
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
