#include "log_restore.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/log.h"
#include "meltica/base/unconst.h"
#include "meltica/bus/stored.h"
#include "meltica/trace/context.h"

#define STREAM MLT_STREAM_CONTROL
#define STREAM_SUBJECTS "meltica.int.control.*.*"
#define SUBJECT_APPLY "meltica.int.apply.00"
#define SUBJECT_MARK "meltica.int.out.table"
#define BUCKET MLT_DISPATCH_BUCKET
#define PENDING_MAX 1024u
#define REFUSED_MAX 64u
#define WAIT_MS_MAX 1900u
/* Something may be in the log that nobody told of: its writer ended before it could. */
#define LOOK_NS MLT_NS_PER_S
#define GRACE_NS MLT_NS_PER_S
#define MAY_RETRY_NS (50 * MLT_NS_PER_MS)
#define CONNECT_SLICE_NS (200 * MLT_NS_PER_MS)
#define MARK_TIMEOUT_NS (700 * MLT_NS_PER_MS)
#define MARK_RETRY_NS (100 * MLT_NS_PER_MS)
#define RECORD_BYTES_MAX MLT_BUS_PAYLOAD_BYTES_MAX
/* Values of the bucket that one turn makes anew, so that who waits is not held up by them. */
#define WRITES_A_TURN 8u
#define WRITE_RETRY_NS MLT_NS_PER_S

struct waiter {
    char reply[MLT_BUS_SUBJECT_BYTES_MAX + 1];
    char id[MLT_LIVE_NAME_BYTES_MAX + 1];
    bool active;
    uint64_t sequence;
    uint64_t revision; /* of the table that has it; 0: not looked at */
    int64_t deadline_ns;
    char traceparent[MLT_TRACEPARENT_BYTES];
    int64_t begin_ns; /* wall */
};

struct mlt_control {
    struct mlt_bus *bus;
    struct mlt_store *store;
    struct mlt_bus_subscription *requests;
    struct mlt_control_ports ports;
    uint64_t boot;
    pthread_t thread;
    bool started;

    /* Of the thread. */
    bool provisioned, bucket, opened;
    bool restoring;                     /* not all that is live is in the log that there is now */
    int64_t created_ns;                 /* of the log that is read; 0: none so far */
    enum mlt_status told;               /* to the log, of the log */
    uint64_t cursor;                    /* last sequence read */
    uint64_t last_revision;             /* of the table, after the last record */
    uint64_t marked_revision;           /* that the Data Bus judges by */
    int64_t look_ns, mark_ns, write_ns; /* when again */
    struct {
        uint64_t sequence;
        enum mlt_status status;
    } refused[REFUSED_MAX];
    size_t refused_next;
    struct mlt_buf bytes;

    pthread_mutex_t lock; /* what follows; never held while a port or the bus is called */
    pthread_cond_t wake;  /* monotonic clock */
    bool stop, news;
    struct mlt_confirm confirm;
    size_t waiter_count;
    struct waiter waiters[PENDING_MAX];
    struct mlt_control_stats stats;
};

static void lock(struct mlt_control *c)
{
    (void)pthread_mutex_lock(&c->lock);
}

static void unlock(struct mlt_control *c)
{
    (void)pthread_mutex_unlock(&c->lock);
}

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
    lock(c);
    c->stats.sequence = 0;
    unlock(c);
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
        lock(c);
        status = c->stop ? MLT_E_CLOSED : status == MLT_E_CONFLICT ? MLT_OK : status;
        unlock(c);
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
        c->refused_next = (c->refused_next + 1) % REFUSED_MAX;
        mlt_log(MLT_LOG_ERROR, "record_refused", "a record of the log cannot be in force",
                MLT_U("sequence", sequence), MLT_S("reason", mlt_status_word(status)));
    } else {
        mlt_log(MLT_LOG_INFO, "applied", "a record of the log is in force",
                MLT_S("verb", record->verb), MLT_S("subscription", record->subscription),
                MLT_S("principal", record->principal), MLT_S("consumer", record->consumer),
                MLT_U("sequence", sequence), MLT_U("revision", revision));
    }
    lock(c);
    c->stats.applied += status == MLT_OK;
    c->stats.refused += status != MLT_OK;
    c->stats.sequence = sequence;
    unlock(c);
    if (record != NULL) {
        meltica__v1__control_record__free_unpacked(record, NULL);
    }
}

static bool may(const struct mlt_control *c)
{
    return c->ports.may(c->ports.ctx);
}

/* Reads to the end; MLT_OK when it is there. look: whether it is the log that it was, too. */
static enum mlt_status read_log(struct mlt_control *c, bool look)
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
        status = mlt_stream_next_current(c->store, STREAM, "meltica.int.control.>", c->cursor + 1,
                                         &c->bytes, &sequence, &err);
        if (status == MLT_OK) {
            take_record(c, sequence);
        }
        lock(c);
        stop = c->stop;
        unlock(c);
    }
    status = status == MLT_E_NOT_FOUND && c->provisioned ? MLT_OK : status;
    c->provisioned = status == MLT_OK;
    lock(c);
    const bool first = status == MLT_OK && !c->stats.log_read && !stop;
    c->stats.available = status == MLT_OK;
    c->stats.log_read = c->stats.log_read || first;
    unlock(c);
    if (first) {
        c->ports.log_read(c->ports.ctx);
        mlt_log(MLT_LOG_INFO, "log_read", "live subscriptions are as the log has them",
                MLT_U("sequence", c->cursor));
    } else if (status != MLT_OK && status != c->told) { /* also at the start: why it is not ready */
        mlt_log(MLT_LOG_WARN, "log_away", err.text, MLT_S("reason", mlt_status_word(status)));
    }
    c->told = status;
    return status;
}

/* ---- the Data Bus ---- */

/* Nothing leaves after its answer that only an earlier table routed. */
static bool data_bus_has(struct mlt_control *c, uint64_t revision, int64_t now_ns)
{
    if (c->marked_revision >= revision) {
        return true;
    }
    if (now_ns < c->mark_ns) {
        return false;
    }
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf answer;
    uint8_t bytes[64];
    Meltica__V1__TableMark mark;
    meltica__v1__table_mark__init(&mark);
    mark.revision = c->last_revision > revision ? c->last_revision : revision;
    mark.boot = c->boot;
    const size_t len = meltica__v1__table_mark__pack(&mark, bytes);
    mlt_buf_init(&answer, sizeof bytes);
    const enum mlt_status status = mlt_bus_request(c->bus, SUBJECT_MARK, mlt_slice_of(bytes, len),
                                                   MARK_TIMEOUT_NS, &answer, &err);
    mlt_buf_fini(&answer);
    if (status == MLT_OK) {
        c->marked_revision = mark.revision;
        return true;
    }
    c->mark_ns = mlt_clock_mono_ns() + MARK_RETRY_NS;
    return false;
}

/* ---- outcomes ---- */

struct outcome {
    const char *word, *reason;
    uint64_t revision;
    struct mlt_confirm_answer *answer; /* NULL: no topics to speak of */
};

struct reply_parts {
    Meltica__V1__ApplyReply message;
    Meltica__V1__PlanStatus__Topic topics[MLT_CONFIRM_PROBLEMS_MAX];
    Meltica__V1__PlanStatus__Topic *list[MLT_CONFIRM_PROBLEMS_MAX];
};

static void fill_reply(const struct outcome *outcome, struct reply_parts *parts)
{
    Meltica__V1__ApplyReply *reply = &parts->message;
    meltica__v1__apply_reply__init(reply);
    reply->outcome = mlt_unconst(outcome->word);
    reply->reason = mlt_unconst(outcome->reason);
    reply->revision = outcome->revision;
    if (outcome->answer == NULL) {
        return;
    }
    reply->topics_pending = outcome->answer->pending;
    reply->topics_failed = outcome->answer->failed;
    reply->n_problems = outcome->answer->problem_count;
    reply->problems = parts->list;
    for (size_t i = 0; i < reply->n_problems; i++) {
        struct mlt_confirm_problem *problem = &outcome->answer->problems[i];
        meltica__v1__plan_status__topic__init(&parts->topics[i]);
        parts->topics[i].route = problem->route;
        parts->topics[i].instrument = problem->instrument;
        parts->topics[i].state = problem->state;
        parts->topics[i].reason = problem->reason;
        parts->list[i] = &parts->topics[i];
    }
}

static void answer_waiter(struct mlt_control *c, const struct waiter *w,
                          const struct outcome *outcome, struct mlt_buf *out)
{
    struct reply_parts parts;
    if (!may(c)) {
        return; /* since it was judged; who gets no answer asks again */
    }
    fill_reply(outcome, &parts);
    const size_t bytes = meltica__v1__apply_reply__get_packed_size(&parts.message);
    mlt_buf_clear(out);
    enum mlt_status status = mlt_buf_reserve(out, bytes);
    if (status == MLT_OK) {
        out->len = meltica__v1__apply_reply__pack(&parts.message, out->data);
        status = mlt_bus_reply(c->bus, w->reply, mlt_buf_view(out), 0, NULL);
    }
    if (status != MLT_OK) {
        mlt_log(MLT_LOG_WARN, "apply_not_answered", "an outcome was not told",
                MLT_S("subscription", w->id), MLT_S("reason", mlt_status_word(status)));
    }
}

/* NULL: it was not. */
static const char *refusal_of(const struct mlt_control *c, uint64_t sequence)
{
    for (size_t i = 0; i < REFUSED_MAX; i++) {
        if (c->refused[i].sequence == sequence && sequence != 0) {
            return mlt_status_text(c->refused[i].status);
        }
    }
    return NULL;
}

/* What is to be said of a waiter now; word NULL: nothing yet, reason says what is missing. */
static void judge(struct mlt_control *c, struct waiter *w, int64_t now_ns,
                  struct mlt_confirm_answer *answer, struct outcome *out)
{
    *out = (struct outcome){ .reason = "the log is not read so far" };
    if (c->cursor < w->sequence) {
        return;
    }
    const char *refusal = refusal_of(c, w->sequence);
    const struct mlt_table *table = NULL;
    const struct mlt_live *live = c->ports.lock(c->ports.ctx, &table);
    const struct mlt_live_item *item = mlt_live_find(live, w->id);
    if (refusal != NULL) {
        *out = (struct outcome){ .word = "FAILED", .reason = refusal };
    } else if ((item != NULL) != w->active) {
        *out = (struct outcome){ .word = "SUPERSEDED",
                                 .reason = "a later command has changed this subscription" };
    } else {
        w->revision = item != NULL ? item->revision : c->last_revision;
        lock(c);
        mlt_confirm_judge(&c->confirm, table, item != NULL ? &item->subscription : NULL,
                          w->revision, now_ns, answer);
        unlock(c);
        out->reason = answer->reason;
        out->revision = w->revision;
        out->answer = answer;
        if (answer->state != MLT_LIVE_PENDING) {
            out->word = mlt_live_state_word(answer->state);
        }
    }
    c->ports.unlock(c->ports.ctx);
}

/* Also those whose requester is gone, or that a restart brought back. */
static void judge_items(struct mlt_control *c, int64_t now_ns)
{
    const struct mlt_table *table = NULL;
    struct mlt_live *live = c->ports.lock(c->ports.ctx, &table);
    lock(c);
    for (size_t i = 0; i < live->count; i++) {
        struct mlt_confirm_answer answer;
        mlt_confirm_judge(&c->confirm, table, &live->items[i]->subscription,
                          live->items[i]->revision, now_ns, &answer);
        live->items[i]->state = answer.state;
    }
    unlock(c);
    c->ports.unlock(c->ports.ctx);
}

static enum mlt_status write_applied(struct mlt_control *c, const struct waiter *w,
                                     const struct outcome *outcome)
{
    struct mlt_error err = MLT_ERROR_INIT;
    uint64_t revision = 0;
    Meltica__V1__AppliedRecord applied;
    if (!may(c)) {
        return MLT_E_AGAIN; /* write_missing tries again, where it is still ours to write */
    }
    Meltica__V1__ControlRecord record;
    struct reply_parts parts;
    meltica__v1__applied_record__init(&applied);
    meltica__v1__control_record__init(&record);
    const struct outcome without_topics = { outcome->word, outcome->reason, outcome->revision,
                                            NULL };
    fill_reply(&without_topics, &parts);
    applied.record = &record;
    applied.answer = &parts.message;
    applied.log_sequence = w->sequence;
    record.subscription = mlt_unconst(w->id);
    record.active = w->active;
    const struct mlt_table *table = NULL;
    const struct mlt_live *live = c->ports.lock(c->ports.ctx, &table);
    const struct mlt_live_item *item = mlt_live_find(live, w->id);
    Meltica__V1__Comparison comparisons[MLT_LIVE_FILTERS_MAX], *filter[MLT_LIVE_FILTERS_MAX];
    if (item != NULL) {
        mlt_live_record(item, &record, comparisons, filter);
    }
    mlt_buf_clear(&c->bytes);
    enum mlt_status status =
        mlt_buf_reserve(&c->bytes, meltica__v1__applied_record__get_packed_size(&applied));
    if (status == MLT_OK) {
        c->bytes.len = meltica__v1__applied_record__pack(&applied, c->bytes.data);
    }
    c->ports.unlock(c->ports.ctx);
    if (status == MLT_OK && !c->bucket) {
        status = mlt_stored_ensure(c->store, MLT_STORED_DISPATCH, &err);
        c->bucket = status == MLT_OK;
    }
    if (status == MLT_OK) {
        status = mlt_kv_put(c->store, BUCKET, w->id, mlt_buf_view(&c->bytes), &revision, &err);
    }
    if (status != MLT_OK) { /* the log has the truth */
        c->bucket = false;
        mlt_log(MLT_LOG_WARN, "applied_not_written", err.text, MLT_S("subscription", w->id));
        return status;
    }
    struct mlt_live_item *written =
        mlt_live_find(c->ports.lock(c->ports.ctx, &table), w->id); /* nobody else changes it */
    if (written != NULL) {
        written->written = strcmp(outcome->word, "PENDING") == 0 ? 0 : w->sequence;
    }
    c->ports.unlock(c->ports.ctx);
    return MLT_OK;
}

/* What the bucket lacks: all of it after a start, what nobody waited for, what was confirmed late.
 * When it is due again; INT64_MAX: it has everything that is decided. */
static int64_t write_missing(struct mlt_control *c, int64_t now_ns)
{
    if (now_ns < c->write_ns) {
        return c->write_ns;
    }
    for (unsigned n = 0; n < WRITES_A_TURN; n++) {
        const struct mlt_table *table = NULL;
        const struct mlt_live *live = c->ports.lock(c->ports.ctx, &table);
        struct waiter w = { .active = true };
        struct outcome outcome = { .reason = "" };
        for (size_t i = 0; i < live->count && outcome.word == NULL; i++) {
            const struct mlt_live_item *item = live->items[i];
            if (item->written != item->sequence && item->state != MLT_LIVE_PENDING) {
                (void)snprintf(w.id, sizeof w.id, "%s", item->subscription.id);
                w.sequence = item->sequence;
                outcome.word = mlt_live_state_word(item->state);
                outcome.revision = item->revision;
            }
        }
        c->ports.unlock(c->ports.ctx);
        if (outcome.word == NULL) {
            return INT64_MAX;
        }
        if (write_applied(c, &w, &outcome) != MLT_OK) {
            c->write_ns = now_ns + WRITE_RETRY_NS;
            return c->write_ns;
        }
    }
    return now_ns;
}

static void count(struct mlt_control *c, const char *word)
{
    lock(c);
    c->stats.confirmed += strcmp(word, "CONFIRMED") == 0;
    c->stats.pending += strcmp(word, "PENDING") == 0;
    c->stats.failed += strcmp(word, "FAILED") == 0;
    unlock(c);
}

/* One pass over who waits; the next deadline, INT64_MAX: nobody. */
static int64_t serve_waiters(struct mlt_control *c)
{
    static struct mlt_confirm_answer answer; /* large; one thread */
    int64_t next_ns = INT64_MAX;
    struct mlt_buf out;
    mlt_buf_init(&out, MLT_BUS_PAYLOAD_BYTES_MAX);
    for (size_t i = 0;;) {
        lock(c);
        const bool more = i < c->waiter_count;
        struct waiter w = { .active = false };
        if (more) {
            w = c->waiters[i];
        }
        unlock(c);
        if (!more) {
            break;
        }
        struct outcome outcome;
        const int64_t now_ns = mlt_clock_mono_ns();
        judge(c, &w, now_ns, &answer, &outcome);
        if (outcome.word != NULL && outcome.revision != 0 &&
            !data_bus_has(c, outcome.revision, now_ns)) {
            outcome.word = NULL;
            outcome.reason = "the Data Bus has not taken the table yet";
            next_ns = c->mark_ns < next_ns ? c->mark_ns : next_ns;
        }
        if (outcome.word == NULL && now_ns >= w.deadline_ns) {
            outcome.word = "PENDING";
        }
        if (outcome.word == NULL) {
            next_ns = w.deadline_ns < next_ns ? w.deadline_ns : next_ns;
            i++;
            continue;
        }
        answer_waiter(c, &w, &outcome, &out);
        c->ports.answered(c->ports.ctx, &(struct mlt_control_answered){ w.traceparent, w.id,
                                                                        outcome.word, w.begin_ns });
        count(c, outcome.word);
        lock(c); /* the last one takes its place; others only append */
        c->waiters[i] = c->waiters[--c->waiter_count];
        unlock(c);
        (void)write_applied(c, &w, &outcome); /* it is said, and write_missing tries again */
    }
    mlt_buf_fini(&out);
    return next_ns;
}

/* ---- leases ---- */

/* As the Control Bus audits its commands (docs/control.md). */
static void audit_expiry(struct mlt_control *c, const char *id, const char *principal,
                         const char *consumer, uint64_t log_sequence)
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
        status = mlt_stream_append(c->store, "meltica.int.audit.expired", NULL, NULL,
                                   mlt_buf_view(&c->bytes), &sequence, &duplicate, &err);
    }
    if (status != MLT_OK) {
        mlt_log(MLT_LOG_WARN, "not_audited", err.text, MLT_S("subscription", id));
    }
}

/* Ends the one lease that is over, in the log, unless it was renewed there; it takes effect when it
 * is read. True: look at the log now. *next_ns: monotonic, when the next one ends. */
static bool expire(struct mlt_control *c, int64_t *next_ns)
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
    const int64_t left_ns = item != NULL ? item->lease_end_ns - mlt_clock_wall_ns() : INT64_MAX;
    if (left_ns <= 0) {
        (void)snprintf(id, sizeof id, "%s", item->subscription.id);
        (void)snprintf(principal, sizeof principal, "%s", item->principal);
        (void)snprintf(consumer, sizeof consumer, "%s", item->consumer);
        expected = item->sequence;
    }
    c->ports.unlock(c->ports.ctx);
    if (left_ns > 0) {
        *next_ns = left_ns == INT64_MAX ? INT64_MAX : mlt_clock_mono_ns() + left_ns;
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
    *next_ns = mlt_clock_mono_ns() + LOOK_NS;
    if (status != MLT_OK && status != MLT_E_CONFLICT) {
        mlt_log(MLT_LOG_WARN, "lease_not_ended", err.text, MLT_S("subscription", id));
        return false;
    }
    lock(c);
    c->stats.expired += status == MLT_OK;
    unlock(c);
    mlt_log(MLT_LOG_INFO, "lease_over", "a subscription was not renewed", MLT_S("subscription", id),
            MLT_S("consumer", consumer), MLT_S("outcome", mlt_status_word(status)));
    if (status == MLT_OK) {
        audit_expiry(c, id, principal, consumer, sequence);
        struct waiter w = { .sequence = sequence };
        (void)snprintf(w.id, sizeof w.id, "%s", id);
        const struct outcome outcome = { .word = "EXPIRED", .reason = "its lease was over" };
        (void)write_applied(c, &w, &outcome); /* it is said; the log has the truth */
    }
    return status == MLT_OK; /* a renewal is read with the next look */
}

/* ---- requests ---- */

static void on_apply(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_control *c = ctx;
    Meltica__V1__ApplyRequest *request =
        meltica__v1__apply_request__unpack(NULL, message->payload.len, message->payload.data);
    if (request == NULL || message->reply[0] == '\0' || !may(c)) {
        if (request != NULL) {
            meltica__v1__apply_request__free_unpacked(request, NULL);
        }
        return;
    }
    const uint32_t wait_ms = request->wait_ms < WAIT_MS_MAX ? request->wait_ms : WAIT_MS_MAX;
    struct waiter w = { .active = request->active,
                        .sequence = request->log_sequence,
                        .deadline_ns = mlt_clock_mono_ns() + wait_ms * MLT_NS_PER_MS,
                        .begin_ns = mlt_clock_wall_ns() };
    (void)snprintf(w.reply, sizeof w.reply, "%s", message->reply);
    (void)snprintf(w.id, sizeof w.id, "%s", request->subscription);
    (void)snprintf(w.traceparent, sizeof w.traceparent, "%s", request->traceparent);
    meltica__v1__apply_request__free_unpacked(request, NULL);
    lock(c);
    const bool room = c->waiter_count < PENDING_MAX;
    if (room) {
        c->waiters[c->waiter_count++] = w;
        c->stats.waiting_most =
            c->waiter_count > c->stats.waiting_most ? c->waiter_count : c->stats.waiting_most;
        c->news = true;
        (void)pthread_cond_signal(&c->wake);
    }
    unlock(c);
    if (!room && mlt_bus_reply(c->bus, message->reply, MLT_SLICE_EMPTY, 503,
                               "too many commands wait for their outcome") != MLT_OK) {
        mlt_log(MLT_LOG_WARN, "apply_not_answered", "too many commands wait",
                MLT_S("subscription", w.id));
    }
}

void mlt_control_status(struct mlt_control *control, struct mlt_slice bytes)
{
    Meltica__V1__PlanStatus *status = meltica__v1__plan_status__unpack(NULL, bytes.len, bytes.data);
    if (status == NULL) {
        return;
    }
    lock(control);
    mlt_confirm_heard(&control->confirm, status, mlt_clock_mono_ns());
    control->news = true;
    (void)pthread_cond_signal(&control->wake);
    unlock(control);
}

void mlt_control_get_stats(struct mlt_control *control, struct mlt_control_stats *out)
{
    lock(control);
    *out = control->stats;
    out->waiting = control->waiter_count;
    unlock(control);
}

/* ---- thread ---- */

static bool someone_ahead(struct mlt_control *c)
{
    bool ahead = false;
    lock(c);
    for (size_t i = 0; i < c->waiter_count; i++) {
        ahead = ahead || c->waiters[i].sequence > c->cursor;
    }
    unlock(c);
    return ahead;
}

/* One turn; when the next one is due at the latest. */
static int64_t turn(struct mlt_control *c, int64_t grace_ns)
{
    const int64_t now_ns = mlt_clock_mono_ns();
    int64_t lease_ns = INT64_MAX;
    if (!may(c)) {
        return now_ns + MAY_RETRY_NS;
    }
    const bool look = now_ns >= c->look_ns;
    if (look || someone_ahead(c)) {
        bool again = true;
        while (again) { /* leases end only by what the log says now */
            again = read_log(c, look) == MLT_OK && expire(c, &lease_ns);
        }
        c->look_ns = mlt_clock_mono_ns() + LOOK_NS;
    }
    lock(c);
    const bool read = c->stats.log_read;
    unlock(c);
    if (!c->opened && (read || now_ns >= grace_ns)) {
        c->opened = true;
        c->ports.open(c->ports.ctx);
    }
    judge_items(c, mlt_clock_mono_ns());
    const int64_t waiters_ns = serve_waiters(c);
    int64_t next_ns = c->look_ns < waiters_ns ? c->look_ns : waiters_ns;
    next_ns = !c->opened && grace_ns < next_ns ? grace_ns : next_ns;
    const int64_t write_ns = read ? write_missing(c, mlt_clock_mono_ns()) : INT64_MAX;
    next_ns = write_ns < next_ns ? write_ns : next_ns;
    if (lease_ns < next_ns) {
        c->look_ns = next_ns = lease_ns;
    }
    return next_ns;
}

static void *run(void *argument)
{
    struct mlt_control *c = argument;
    int64_t grace_ns = 0;
    lock(c);
    while (!c->stop) {
        unlock(c);
        int64_t next_ns = mlt_clock_mono_ns();
        if (c->opened || mlt_bus_wait_connected(c->bus, CONNECT_SLICE_NS) == MLT_OK) {
            grace_ns = grace_ns == 0 ? mlt_clock_mono_ns() + GRACE_NS : grace_ns;
            next_ns = turn(c, grace_ns);
        }
        const struct timespec at = { .tv_sec = (time_t)(next_ns / MLT_NS_PER_S),
                                     .tv_nsec = (long)(next_ns % MLT_NS_PER_S) };
        lock(c);
        while (!c->stop && !c->news && pthread_cond_timedwait(&c->wake, &c->lock, &at) == 0) {
        }
        c->news = false;
    }
    unlock(c);
    return NULL;
}

void mlt_control_stop(struct mlt_control *control)
{
    if (control == NULL) {
        return;
    }
    mlt_bus_unsubscribe(control->requests);
    control->requests = NULL;
    if (control->started) {
        lock(control);
        control->stop = true;
        (void)pthread_cond_signal(&control->wake);
        unlock(control);
        (void)pthread_join(control->thread, NULL);
        control->started = false;
    }
}

void mlt_control_destroy(struct mlt_control *control)
{
    if (control == NULL) {
        return;
    }
    mlt_control_stop(control);
    mlt_confirm_fini(&control->confirm);
    mlt_store_destroy(control->store);
    mlt_buf_fini(&control->bytes);
    (void)pthread_cond_destroy(&control->wake);
    (void)pthread_mutex_destroy(&control->lock);
    free(control);
}

enum mlt_status mlt_control_create(struct mlt_bus *bus, uint32_t partitions,
                                   uint32_t provision_replicas, uint64_t boot,
                                   const struct mlt_control_ports *ports, struct mlt_control **out,
                                   struct mlt_error *err)
{
    struct mlt_control *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for the control log");
    }
    c->bus = bus;
    c->boot = boot;
    c->confirm.partitions = partitions;
    c->ports = *ports;
    mlt_buf_init(&c->bytes, RECORD_BYTES_MAX);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&c->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&c->lock, NULL);
    const enum mlt_status status = mlt_store_create(bus, provision_replicas, &c->store, err);
    if (status != MLT_OK) {
        mlt_control_destroy(c);
        return status;
    }
    *out = c;
    return MLT_OK;
}

enum mlt_status mlt_control_start(struct mlt_control *control, struct mlt_error *err)
{
    const struct mlt_bus_subscribe_options options = { .subject = SUBJECT_APPLY };
    const enum mlt_status status =
        mlt_bus_subscribe(control->bus, &options, on_apply, control, &control->requests, err);
    if (status != MLT_OK) {
        return status;
    }
    if (pthread_create(&control->thread, NULL, run, control) != 0) {
        return mlt_error_set(err, MLT_E_INTERNAL, "the control log's thread does not start");
    }
    control->started = true;
    return MLT_OK;
}
