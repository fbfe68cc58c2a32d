/* Who waits for the outcome of a command, and what is told; the thread. See control_log.c for the
 * log. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applied.h"
#include "control_internal.h"
#include "meltica/base/log.h"
#include "meltica/base/unconst.h"
#include "meltica/bus/messages.h"
#include "meltica/bus/stored.h"

#define SUBJECT_APPLY "meltica.int.apply.00"
#define SUBJECT_MARK "meltica.int.out.table"
#define WAIT_MS_MAX 1900u
#define GRACE_NS MLT_NS_PER_S
#define MAY_RETRY_NS (50 * MLT_NS_PER_MS)
#define CONNECT_SLICE_NS (200 * MLT_NS_PER_MS)
#define MARK_TIMEOUT_NS (700 * MLT_NS_PER_MS)
#define MARK_RETRY_NS (100 * MLT_NS_PER_MS)
#define RECORD_BYTES_MAX MLT_BUS_PAYLOAD_BYTES_MAX
/* Values of the bucket that one turn makes anew, so that who waits is not held up by them. */
#define WRITES_A_TURN 8u
/* Leases that one turn ends, each with a record, its acknowledgement and a value of the bucket. */
#define LEASES_A_TURN 8u
#define WRITE_RETRY_NS MLT_NS_PER_S

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

struct reply_parts {
    Meltica__V1__ApplyReply message;
    Meltica__V1__PlanStatus__Topic topics[MLT_CONFIRM_PROBLEMS_MAX];
    Meltica__V1__PlanStatus__Topic *list[MLT_CONFIRM_PROBLEMS_MAX];
};

static void fill_reply(const struct mlt_control_outcome *outcome, struct reply_parts *parts)
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

static void answer_waiter(struct mlt_control *c, const struct mlt_control_waiter *w,
                          const struct mlt_control_outcome *outcome, struct mlt_buf *out)
{
    struct reply_parts parts;
    if (!mlt_control_may(c)) {
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

/* What is to be said of a waiter now; word NULL: nothing yet, reason says what is missing. */
static void judge(struct mlt_control *c, struct mlt_control_waiter *w, int64_t now_ns,
                  struct mlt_confirm_answer *answer, struct mlt_control_outcome *out)
{
    *out = (struct mlt_control_outcome){ .reason = "the log is not read so far" };
    if (c->cursor < w->sequence) {
        return;
    }
    const char *refusal = mlt_control_refusal_of(c, w->sequence);
    const struct mlt_table *table = NULL;
    const struct mlt_live *live = c->ports.lock(c->ports.ctx, &table);
    const struct mlt_live_item *item = mlt_live_find(live, w->id);
    if (refusal != NULL) {
        *out = (struct mlt_control_outcome){ .word = "FAILED", .reason = refusal };
    } else if ((item != NULL) != w->active && c->looked_ns < w->came_ns) {
        /* A log that was lost and made anew since the last look begins with 1: what was read of the
         * one before would pass for it. */
        c->look_ns = c->told == MLT_OK ? now_ns : c->look_ns;
        out->reason = "whether the log is another one is looked at";
    } else if ((item != NULL) != w->active) {
        *out = (struct mlt_control_outcome){ .word = "SUPERSEDED",
                                             .reason =
                                                 "a later command has changed this subscription" };
    } else {
        w->revision = item != NULL ? item->revision : c->last_revision;
        mlt_control_lock(c);
        mlt_confirm_judge(&c->confirm, table, item != NULL ? &item->subscription : NULL,
                          w->revision, now_ns, answer);
        mlt_control_unlock(c);
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
    mlt_control_lock(c);
    for (size_t i = 0; i < live->count; i++) {
        struct mlt_confirm_answer answer;
        mlt_confirm_judge(&c->confirm, table, &live->items[i]->subscription,
                          live->items[i]->revision, now_ns, &answer);
        live->items[i]->state = answer.state;
    }
    mlt_control_unlock(c);
    c->ports.unlock(c->ports.ctx);
}

enum mlt_status mlt_control_write_applied(struct mlt_control *c, const struct mlt_control_waiter *w,
                                          const struct mlt_control_outcome *outcome)
{
    struct mlt_error err = MLT_ERROR_INIT;
    uint64_t revision = 0;
    Meltica__V1__AppliedRecord applied;
    Meltica__V1__ControlRecord record;
    struct reply_parts parts;
    meltica__v1__applied_record__init(&applied);
    meltica__v1__control_record__init(&record);
    const struct mlt_control_outcome without_topics = { outcome->word, outcome->reason,
                                                        outcome->revision, NULL };
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
        revision = item->written_revision;
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
        status = mlt_applied_put(c->store, w->id, mlt_buf_view(&c->bytes), &revision, c->ports.may,
                                 c->ports.ctx, &err);
    }
    struct mlt_live_item *written =
        mlt_live_find(c->ports.lock(c->ports.ctx, &table), w->id); /* nobody else changes it */
    if (written != NULL) {
        written->written_revision = revision;
        if (status == MLT_OK) {
            written->written = strcmp(outcome->word, "PENDING") == 0 ? 0 : w->sequence;
        }
    }
    c->ports.unlock(c->ports.ctx);
    if (status != MLT_OK) { /* the log has the truth */
        c->bucket = c->bucket && (status == MLT_E_AGAIN || status == MLT_E_CONFLICT);
        mlt_log(status == MLT_E_AGAIN ? MLT_LOG_DEBUG : MLT_LOG_WARN, "applied_not_written",
                err.text, MLT_S("subscription", w->id));
    }
    return status;
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
        struct mlt_control_waiter w = { .active = true };
        struct mlt_control_outcome outcome = { .reason = "" };
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
        if (mlt_control_write_applied(c, &w, &outcome) != MLT_OK) {
            c->write_ns = now_ns + WRITE_RETRY_NS;
            return c->write_ns;
        }
    }
    return now_ns;
}

static void count(struct mlt_control *c, const char *word)
{
    mlt_control_lock(c);
    c->stats.confirmed += strcmp(word, "CONFIRMED") == 0;
    c->stats.pending += strcmp(word, "PENDING") == 0;
    c->stats.failed += strcmp(word, "FAILED") == 0;
    mlt_control_unlock(c);
}

/* One pass over who waits; the next deadline, INT64_MAX: nobody. */
static int64_t serve_waiters(struct mlt_control *c)
{
    static struct mlt_confirm_answer answer; /* large; one thread */
    int64_t next_ns = INT64_MAX;
    struct mlt_buf out;
    mlt_buf_init(&out, MLT_BUS_PAYLOAD_BYTES_MAX);
    for (size_t i = 0;;) {
        mlt_control_lock(c);
        const bool more = i < c->waiter_count;
        struct mlt_control_waiter w = { .active = false };
        if (more) {
            w = c->waiters[i];
        }
        mlt_control_unlock(c);
        if (!more) {
            break;
        }
        struct mlt_control_outcome outcome;
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
        mlt_control_lock(c); /* the last one takes its place; others only append */
        c->waiters[i] = c->waiters[--c->waiter_count];
        mlt_control_unlock(c);
        (void)mlt_control_write_applied(c, &w,
                                        &outcome); /* it is said, and write_missing tries again */
    }
    mlt_buf_fini(&out);
    return next_ns;
}

/* ---- requests ---- */

static void on_apply(void *ctx, const struct mlt_bus_message *message)
{
    struct mlt_control *c = ctx;
    struct mlt_apply_request request;
    if (message->reply[0] == '\0' || !mlt_control_may(c) ||
        mlt_apply_request_read(message->payload, &request) != MLT_OK) {
        return;
    }
    const uint32_t wait_ms = request.wait_ms < WAIT_MS_MAX ? request.wait_ms : WAIT_MS_MAX;
    const int64_t now_ns = mlt_clock_mono_ns();
    struct mlt_control_waiter w = { .active = request.active,
                                    .sequence = request.log_sequence,
                                    .came_ns = now_ns,
                                    .deadline_ns = now_ns + wait_ms * MLT_NS_PER_MS,
                                    .begin_ns = mlt_clock_wall_ns() };
    (void)snprintf(w.reply, sizeof w.reply, "%s", message->reply);
    (void)snprintf(w.id, sizeof w.id, "%s", request.subscription);
    (void)snprintf(w.traceparent, sizeof w.traceparent, "%s", request.traceparent);
    mlt_control_lock(c);
    const bool room = c->waiter_count < MLT_CONTROL_WAITERS_MAX;
    if (room) {
        c->waiters[c->waiter_count++] = w;
        c->stats.waiting_most =
            c->waiter_count > c->stats.waiting_most ? c->waiter_count : c->stats.waiting_most;
        c->news = true;
        (void)pthread_cond_signal(&c->wake);
    }
    mlt_control_unlock(c);
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
    mlt_control_lock(control);
    mlt_confirm_heard(&control->confirm, status, mlt_clock_mono_ns());
    control->news = true;
    (void)pthread_cond_signal(&control->wake);
    mlt_control_unlock(control);
}

void mlt_control_get_stats(struct mlt_control *control, struct mlt_control_stats *out)
{
    mlt_control_lock(control);
    *out = control->stats;
    out->waiting = control->waiter_count;
    mlt_control_unlock(control);
}

/* ---- thread ---- */

static bool someone_ahead(struct mlt_control *c)
{
    bool ahead = false;
    mlt_control_lock(c);
    for (size_t i = 0; i < c->waiter_count; i++) {
        ahead = ahead || c->waiters[i].sequence > c->cursor;
    }
    mlt_control_unlock(c);
    return ahead;
}

/* One turn; when the next one is due at the latest. */
static int64_t turn(struct mlt_control *c, int64_t grace_ns)
{
    const int64_t now_ns = mlt_clock_mono_ns();
    int64_t lease_ns = INT64_MAX;
    mlt_control_follow_clock(c);
    if (!mlt_control_may(c)) {
        return now_ns + MAY_RETRY_NS;
    }
    const bool look = now_ns >= c->look_ns;
    if (look || someone_ahead(c)) {
        bool again = true;
        for (unsigned n = 0; again && n < LEASES_A_TURN; n++) {
            /* leases end only by what the log says now */
            const bool there = mlt_control_read_log(c, look && n == 0) == MLT_OK;
            c->looked_ns = there && look ? now_ns : c->looked_ns;
            again = there && mlt_control_expire(c, &lease_ns);
        }
        c->look_ns = mlt_clock_mono_ns() + (again ? 0 : MLT_CONTROL_LOOK_NS);
    }
    mlt_control_lock(c);
    const bool read = c->stats.log_read;
    mlt_control_unlock(c);
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
    mlt_control_lock(c);
    while (!c->stop) {
        mlt_control_unlock(c);
        int64_t next_ns = mlt_clock_mono_ns();
        if (c->opened || mlt_bus_wait_connected(c->bus, CONNECT_SLICE_NS) == MLT_OK) {
            grace_ns = grace_ns == 0 ? mlt_clock_mono_ns() + GRACE_NS : grace_ns;
            next_ns = turn(c, grace_ns);
        }
        const struct timespec at = { .tv_sec = (time_t)(next_ns / MLT_NS_PER_S),
                                     .tv_nsec = (long)(next_ns % MLT_NS_PER_S) };
        mlt_control_lock(c);
        while (!c->stop && !c->news && pthread_cond_timedwait(&c->wake, &c->lock, &at) == 0) {
        }
        c->news = false;
    }
    mlt_control_unlock(c);
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
        mlt_control_lock(control);
        control->stop = true;
        (void)pthread_cond_signal(&control->wake);
        mlt_control_unlock(control);
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
    mlt_stream_reader_destroy(control->reader);
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
    c->confirm.boot = boot;
    c->ports = *ports;
    mlt_buf_init(&c->bytes, RECORD_BYTES_MAX);
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&c->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&c->lock, NULL);
    enum mlt_status status = mlt_store_create(bus, provision_replicas, &c->store, err);
    if (status == MLT_OK) {
        status = mlt_stream_reader_create(c->store, MLT_STREAM_CONTROL, "meltica.int.control.>",
                                          &c->reader, err);
    }
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
