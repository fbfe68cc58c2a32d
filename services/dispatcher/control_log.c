/* What the log of live subscriptions says, in order, and ends of leases, which go into it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "catalogue.h"
#include "control_internal.h"
#include "log_restore.h"
#include "meltica/base/log.h"
#include "meltica/base/unconst.h"
#include "meltica/bus/stored.h"

#define MAY_RETRY_NS (50 * MLT_NS_PER_MS)
/* More than two readings of the clocks are apart when nobody sets them. */
#define CLOCK_STEP_NS MLT_NS_PER_S

/* ---- the log ---- */

/* One that was lost and made anew begins with 1: its records would pass for read. */
static void check_identity(struct mlt_control *c, const struct mlt_stored_report *found)
{
    const bool another = c->created_ns != 0 && found->created_ns != c->created_ns;
    c->created_ns = found->created_ns;
    if (!another && found->last_sequence >= c->cursor) {
        return;
    }
    mlt_log(MLT_LOG_WARN, "log_lost", "the log is another one: what is live is written into it",
            MLT_U("read", c->cursor), MLT_U("last", found->last_sequence));
    c->cursor = 0;
    c->restoring = true;
    memset(c->refused, 0, sizeof c->refused);
    mlt_control_lock(c);
    c->stats.sequence = 0;
    mlt_control_unlock(c);
}

static enum mlt_status provision(struct mlt_control *c, struct mlt_error *err)
{
    struct mlt_stored_report found;
    enum mlt_status status = MLT_E_NOT_FOUND;
    if (c->provisioned) {
        status = mlt_stored_inspect(c->store, MLT_STORED_CONTROL, 0, &found, err);
    }
    if (status == MLT_E_NOT_FOUND) {
        status = mlt_stored_ensure(c->store, MLT_STORED_CONTROL, err);
        if (status == MLT_OK) {
            status = mlt_stored_inspect(c->store, MLT_STORED_CONTROL, 0, &found, err);
        }
    }
    c->provisioned = status == MLT_OK;
    if (c->provisioned) {
        check_identity(c, &found);
    }
    return status;
}

/* Writes into a new log what the lost one said. */
static enum mlt_status restore(struct mlt_control *c, struct mlt_error *err)
{
    enum mlt_status status = MLT_OK;
    uint64_t written = 0;
    for (size_t n = 0; status == MLT_OK; n++) {
        status = mlt_log_restore_one(c->store, &c->ports, n, &c->bytes, err);
        written += status == MLT_OK;
        mlt_control_lock(c);
        status = c->stop ? MLT_E_CLOSED : status == MLT_E_CONFLICT ? MLT_OK : status;
        mlt_control_unlock(c);
    }
    c->restoring = status != MLT_E_EMPTY;
    if (c->restoring) {
        mlt_log(MLT_LOG_WARN, "log_not_restored", err->text, MLT_U("records", written),
                MLT_S("reason", mlt_status_word(status)));
        return status;
    }
    mlt_log(MLT_LOG_INFO, "log_restored", "what is live is in the log again",
            MLT_U("records", written));
    return MLT_OK;
}

static void take_record(struct mlt_control *c, uint64_t sequence)
{
    Meltica__V1__ControlRecord *record =
        meltica__v1__control_record__unpack(NULL, c->bytes.len, c->bytes.data);
    uint64_t revision = c->last_revision;
    enum mlt_status status = MLT_E_PARSE;
    if (record != NULL) {
        status = c->ports.apply(c->ports.ctx, record, sequence, &revision);
    }
    c->cursor = sequence;
    c->last_revision = revision;
    if (status != MLT_OK) {
        c->refused[c->refused_next].sequence = sequence;
        c->refused[c->refused_next].status = status;
        c->refused_next = (c->refused_next + 1) % MLT_CONTROL_REFUSED_MAX;
        mlt_log(MLT_LOG_ERROR, "record_refused", "a record of the log cannot be in force",
                MLT_U("sequence", sequence), MLT_S("reason", mlt_status_word(status)));
    } else {
        mlt_log(MLT_LOG_INFO, "applied", "a record of the log is in force",
                MLT_S("verb", record->verb), MLT_S("subscription", record->subscription),
                MLT_S("principal", record->principal), MLT_S("consumer", record->consumer),
                MLT_U("sequence", sequence), MLT_U("revision", revision));
    }
    mlt_control_lock(c);
    c->stats.applied += status == MLT_OK;
    c->stats.refused += status != MLT_OK;
    c->stats.sequence = sequence;
    mlt_control_unlock(c);
    if (record != NULL) {
        meltica__v1__control_record__free_unpacked(record, NULL);
    }
}

enum mlt_status mlt_control_read_log(struct mlt_control *c, bool look)
{
    struct mlt_error err = MLT_ERROR_INIT;
    enum mlt_status status = c->provisioned && !look ? MLT_OK : provision(c, &err);
    bool stop = false;
    if (status == MLT_OK && c->restoring) {
        status = restore(c, &err);
    }
    while (status == MLT_OK && !stop) {
        uint64_t sequence = 0;
        mlt_buf_clear(&c->bytes);
        status = mlt_stream_reader_next(c->reader, c->cursor + 1, &c->bytes, &sequence, &err);
        if (status == MLT_OK) {
            take_record(c, sequence);
        }
        mlt_control_lock(c);
        stop = c->stop;
        mlt_control_unlock(c);
    }
    status = status == MLT_E_NOT_FOUND && c->provisioned ? MLT_OK : status;
    c->provisioned = status == MLT_OK;
    mlt_control_lock(c);
    const bool first = status == MLT_OK && !c->stats.log_read && !stop;
    c->stats.available = status == MLT_OK;
    c->stats.log_read = c->stats.log_read || first;
    mlt_control_unlock(c);
    if (first) {
        const struct mlt_stream_reader_stats asked = mlt_stream_reader_stats(c->reader);
        c->ports.log_read(c->ports.ctx);
        mlt_log(MLT_LOG_INFO, "log_read", "live subscriptions are as the log has them",
                MLT_U("sequence", c->cursor), MLT_U("singles", asked.singles),
                MLT_U("runs", asked.runs));
    } else if (status != MLT_OK && status != c->told) { /* also at the start: why it is not ready */
        mlt_log(MLT_LOG_WARN, "log_away", err.text, MLT_S("reason", mlt_status_word(status)));
    }
    c->told = status;
    return status;
}

_Static_assert(MLT_LIVE_SUBSCRIPTIONS_MAX == 4096 && MLT_LIVE_PATTERNS_MAX == 16384 &&
                   MLT_LIVE_LANES_MAX == 256 && MLT_CATALOGUE_LANE_PLACES_MAX == 16384 &&
                   MLT_DEMAND_TABLE_BYTES_MAX == 944u << 10,
               "the text says so");
#define NO_ROOM                                                                                    \
    "there is no room for it: 4096 live subscriptions with 16384 instruments and patterns fit, "   \
    "all in 944 KiB, 256 private channels among them with 16384 instruments, patterns expanded. "  \
    "End others, use patterns, or read the shared channel"

const char *mlt_control_refusal_of(const struct mlt_control *c, uint64_t sequence)
{
    for (size_t i = 0; i < MLT_CONTROL_REFUSED_MAX; i++) {
        if (c->refused[i].sequence == sequence && sequence != 0) {
            return c->refused[i].status == MLT_E_LIMIT ? NO_ROOM
                                                       : mlt_status_text(c->refused[i].status);
        }
    }
    return NULL;
}

/* ---- leases ---- */

/* As the Control Bus audits its commands (docs/control.md). By the record's id: another Dispatcher
 * that ended the same lease may have ended itself before it said so, and said twice it is once. */
static void audit_expiry(struct mlt_control *c, const char *request, const char *id,
                         const char *principal, const char *consumer, uint64_t log_sequence)
{
    struct mlt_error err = MLT_ERROR_INIT;
    uint64_t sequence = 0;
    bool duplicate = false;
    mlt_buf_clear(&c->bytes);
    /* Names are of bytes that JSON takes as they are (command.h). */
    enum mlt_status status = mlt_buf_printf(
        &c->bytes,
        "{\"time_ns\":\"%" PRId64 "\",\"verb\":\"expire\",\"principal\":\"%s\","
        "\"consumer\":\"%s\",\"subscription\":\"%s\",\"outcome\":\"EXPIRED\","
        "\"revision_before\":\"%" PRIu64 "\",\"log_sequence\":\"%" PRIu64 "\"}",
        mlt_clock_wall_ns(), principal, consumer, id, c->last_revision, log_sequence);
    if (status == MLT_OK) {
        status = mlt_stored_ensure(c->store, MLT_STORED_AUDIT, &err);
    }
    if (status == MLT_OK) {
        status = mlt_stream_append(c->store, "meltica.int.audit.expired", request, NULL,
                                   mlt_buf_view(&c->bytes), &sequence, &duplicate, &err);
    }
    if (status != MLT_OK) {
        mlt_log(MLT_LOG_WARN, "not_audited", err.text, MLT_S("subscription", id));
    }
}

void mlt_control_follow_clock(struct mlt_control *c)
{
    const struct mlt_live_clocks now = { mlt_clock_wall_ns(), mlt_clock_mono_ns() };
    const int64_t apart_ns = now.wall_ns - now.mono_ns;
    const int64_t step_ns = c->apart_ns != 0 ? mlt_span_ns(c->apart_ns, apart_ns) : 0;
    if (step_ns < CLOCK_STEP_NS && step_ns > -CLOCK_STEP_NS && c->apart_ns != 0) {
        return; /* small ones add up */
    }
    c->apart_ns = apart_ns;
    if (step_ns == 0) {
        return;
    }
    const struct mlt_table *table = NULL;
    mlt_live_tell_leases(c->ports.lock(c->ports.ctx, &table), &now);
    c->ports.unlock(c->ports.ctx);
    mlt_log(MLT_LOG_WARN, "clock_step",
            step_ns > 0 ? "the wall clock went ahead of the monotonic one: leases end when they "
                          "would have, and their ends are told by the new time"
                        : "the wall clock was set back: leases end when they would have, and their "
                          "ends are told by the new time",
            MLT_I("step_ms", step_ns / MLT_NS_PER_MS));
}

bool mlt_control_expire(struct mlt_control *c, int64_t *next_ns)
{
    struct mlt_error err = MLT_ERROR_INIT;
    Meltica__V1__ControlRecord record;
    char id[MLT_LIVE_NAME_BYTES_MAX + 1], principal[MLT_LIVE_NAME_BYTES_MAX + 1],
        consumer[MLT_LIVE_NAME_BYTES_MAX + 1], request[2 * MLT_LIVE_NAME_BYTES_MAX],
        subject[MLT_BUS_SUBJECT_BYTES_MAX + 1];
    uint64_t expected = 0, sequence = 0;
    bool duplicate = false;
    const struct mlt_table *table = NULL;
    const struct mlt_live *live = c->ports.lock(c->ports.ctx, &table);
    const struct mlt_live_item *item = mlt_live_next_lease(live);
    const int64_t over_ns = item != NULL ? item->lease_over_ns : INT64_MAX;
    const bool over = item != NULL && over_ns <= mlt_clock_mono_ns();
    if (over) {
        (void)snprintf(id, sizeof id, "%s", item->subscription.id);
        (void)snprintf(principal, sizeof principal, "%s", item->principal);
        (void)snprintf(consumer, sizeof consumer, "%s", item->consumer);
        expected = item->sequence;
    }
    c->ports.unlock(c->ports.ctx);
    if (!over) {
        *next_ns = over_ns;
        return false;
    }
    if (!mlt_control_may(c)) { /* since the log was read */
        *next_ns = mlt_clock_mono_ns() + MAY_RETRY_NS;
        return false;
    }
    (void)snprintf(subject, sizeof subject, "meltica.int.control.%s.%s", principal, id);
    (void)snprintf(request, sizeof request, "expire.%.50s.%" PRIu64, id, expected);
    meltica__v1__control_record__init(&record);
    record.subscription = id;
    record.principal = principal;
    record.consumer = consumer;
    record.verb = mlt_unconst("expire");
    record.time = (uint64_t)mlt_clock_wall_ns();
    mlt_buf_clear(&c->bytes);
    enum mlt_status status =
        mlt_buf_reserve(&c->bytes, meltica__v1__control_record__get_packed_size(&record));
    if (status == MLT_OK) {
        c->bytes.len = meltica__v1__control_record__pack(&record, c->bytes.data);
        status = mlt_stream_append(c->store, subject, request, &expected, mlt_buf_view(&c->bytes),
                                   &sequence, &duplicate, &err);
    }
    if (status == MLT_E_CONFLICT) { /* renewed, or somebody emptied the log */
        expected = 0;
        status = mlt_stream_append(c->store, subject, request, &expected, mlt_buf_view(&c->bytes),
                                   &sequence, &duplicate, &err);
    }
    *next_ns = mlt_clock_mono_ns() + MLT_CONTROL_LOOK_NS;
    if (status != MLT_OK && status != MLT_E_CONFLICT) {
        mlt_log(MLT_LOG_WARN, "lease_not_ended", err.text, MLT_S("subscription", id));
        return false;
    }
    mlt_control_lock(c);
    c->stats.expired += status == MLT_OK && !duplicate; /* another one's: it has counted it */
    mlt_control_unlock(c);
    mlt_log(MLT_LOG_INFO, "lease_over", "a subscription was not renewed", MLT_S("subscription", id),
            MLT_S("consumer", consumer), MLT_S("outcome", mlt_status_word(status)));
    if (status == MLT_OK) {
        audit_expiry(c, request, id, principal, consumer, sequence);
        struct mlt_control_waiter w = { .sequence = sequence };
        (void)snprintf(w.id, sizeof w.id, "%s", id);
        const struct mlt_control_outcome outcome = { .word = "EXPIRED",
                                                     .reason = "its lease was over" };
        (void)mlt_control_write_applied(c, &w, &outcome); /* it is said; the log has the truth */
    }
    return status == MLT_OK; /* a renewal is read with the next look */
}
