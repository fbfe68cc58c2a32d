/* Plans and fetches come as requests on threads of the bus; the loop reads them and answers. */
#include "adapter.h"

#include <stdio.h>
#include <stdlib.h>

#include "meltica/base/clock.h"
#include "meltica/base/log.h"

#define SUBJECT_PLAN "meltica.int.plan"
#define SUBJECT_FETCH "meltica.int.fetch"
#define SUBJECT_STATUS "meltica.int.plan.status"
#define REPLY_BYTES_MAX (64u << 10)
#define STATUS_SOON_NS (20 * MLT_NS_PER_MS)

/* ---- status
 * --------------------------------------------------------------------------------------- */

_Static_assert(MLT_REST_UNKNOWN_MAX <= MLT_TOPIC_PROBLEMS_MAX, "they come first");

struct status_parts {
    Meltica__V1__PlanStatus message;
    Meltica__V1__PlanStatus__Topic topics[MLT_TOPIC_PROBLEMS_MAX];
    Meltica__V1__PlanStatus__Topic *pointers[MLT_TOPIC_PROBLEMS_MAX];
    char instance[128];
    char words[MLT_TOPIC_STATE_COUNT][16];
    char empty[1], unknown_function[24];
};

/* Of what this Adapter speaks for: what it holds somebody else tells of. */
static void fill_problems(struct mlt_adapter *adapter, struct status_parts *parts)
{
    size_t count = 0;
    for (size_t i = 0; i < adapter->rest.unknown_count; i++) {
        if ((adapter->speaks >> adapter->rest.unknown[i].partition & 1) == 0) {
            continue;
        }
        Meltica__V1__PlanStatus__Topic *problem = &parts->topics[count];
        meltica__v1__plan_status__topic__init(problem);
        problem->route = adapter->rest.unknown[i].route;
        problem->instrument = parts->empty;
        problem->state = parts->words[MLT_TOPIC_FAILED];
        problem->reason = parts->unknown_function;
        parts->pointers[count++] = problem;
    }
    struct mlt_topic *told[MLT_TOPIC_PROBLEMS_MAX];
    const size_t more = mlt_topics_problems(&adapter->topics, adapter->speaks, told,
                                            MLT_TOPIC_PROBLEMS_MAX - count);
    for (size_t i = 0; i < more; i++) {
        struct mlt_topic *topic = told[i];
        Meltica__V1__PlanStatus__Topic *problem = &parts->topics[count];
        meltica__v1__plan_status__topic__init(problem);
        problem->route = topic->route;
        problem->instrument = topic->instrument != NULL ? topic->instrument->token : parts->empty;
        problem->state = parts->words[topic->state];
        problem->reason = topic->reason;
        parts->pointers[count++] = problem;
    }
    parts->message.n_problems = count;
    parts->message.problems = parts->pointers;
}

static size_t unknown_count(const struct mlt_adapter *adapter)
{
    size_t count = 0;
    for (size_t i = 0; i < adapter->rest.unknown_count; i++) {
        count += adapter->speaks >> adapter->rest.unknown[i].partition & 1;
    }
    return count;
}

/* What is told of the partitions that it speaks for, or, standby, that it holds: of these only
 * whose plan it has, so that whoever sends plans knows who lacks one. */
static void fill_topics(struct mlt_adapter *adapter, struct status_parts *parts, bool standby)
{
    Meltica__V1__PlanStatus *message = &parts->message;
    const uint64_t of =
        standby ? adapter->plans.mine & ~adapter->speaks : adapter->plans.mine & adapter->speaks;
    message->revision = mlt_plans_revision(&adapter->plans, of, &message->dispatcher);
    message->partitions = of;
    message->standby = standby;
    if (standby) {
        return;
    }
    uint32_t counts[MLT_TOPIC_STATE_COUNT];
    mlt_topics_counts(&adapter->topics, of, counts);
    message->topics_pending = counts[MLT_TOPIC_PENDING];
    message->topics_live = counts[MLT_TOPIC_LIVE] + counts[MLT_TOPIC_SILENT];
    message->topics_failed = counts[MLT_TOPIC_FAILED] + (uint32_t)unknown_count(adapter);
    fill_problems(adapter, parts);
}

/* Encodes the status of now into status_bytes. reason "": applied. */
static enum mlt_status encode_status(struct mlt_adapter *adapter, char *reason, bool standby)
{
    static struct status_parts parts; /* large; the loop is its only user */
    meltica__v1__plan_status__init(&parts.message);
    for (int i = 0; i < MLT_TOPIC_STATE_COUNT; i++) {
        (void)snprintf(parts.words[i], sizeof parts.words[i], "%s",
                       mlt_topic_state_word((enum mlt_topic_state)i));
    }
    (void)snprintf(parts.unknown_function, sizeof parts.unknown_function, "unknown_function");
    (void)snprintf(parts.instance, sizeof parts.instance, "%s",
                   mlt_service_instance(adapter->service));
    Meltica__V1__PlanStatus *message = &parts.message;
    message->instance = parts.instance;
    message->boot = mlt_service_boot(adapter->service);
    message->reason = reason;
    message->applied = reason[0] == '\0';
    message->connections = mlt_lines_up_count(&adapter->lines);
    struct mlt_clock_estimate clock;
    if (mlt_clock_offset_get(&adapter->clock, mlt_clock_mono_ns(), mlt_clock_wall_ns(), &clock)) {
        message->clock_known = true;
        message->clock_offset_ns = clock.offset_ns;
        message->clock_uncertainty_ns = (uint64_t)clock.uncertainty_ns;
    }
    fill_topics(adapter, &parts, standby);
    mlt_buf_clear(&adapter->status_bytes);
    const size_t size = meltica__v1__plan_status__get_packed_size(message);
    const enum mlt_status status = mlt_buf_reserve(&adapter->status_bytes, size);
    if (status == MLT_OK) {
        adapter->status_bytes.len =
            meltica__v1__plan_status__pack(message, adapter->status_bytes.data);
    }
    return status;
}

static void publish(struct mlt_adapter *adapter, bool standby)
{
    enum mlt_status status = encode_status(adapter, adapter->plan_reason, standby);
    if (status == MLT_OK) {
        status =
            mlt_bus_publish(adapter->control, SUBJECT_STATUS, mlt_buf_view(&adapter->status_bytes));
    }
    if (status != MLT_OK) {
        mlt_log(MLT_LOG_WARN, "status_not_published", mlt_status_text(status),
                MLT_S("subject", SUBJECT_STATUS));
    }
}

void mlt_adapter_status_publish(void *ctx)
{
    struct mlt_adapter *adapter = ctx;
    (void)mlt_lines_take_changed(&adapter->lines);
    if (!mlt_bus_connected(adapter->control)) {
        return; /* stale by the time it would arrive; the next second has another */
    }
    if ((adapter->plans.mine & adapter->speaks) != 0 &&
        (adapter->standby == NULL || mlt_standby_in_touch(adapter->standby))) {
        publish(adapter, false);
    }
    if ((adapter->plans.mine & ~adapter->speaks) != 0) {
        publish(adapter, true);
    }
}

void mlt_adapter_status_changed(struct mlt_adapter *adapter)
{
    if (!adapter->draining && !mlt_timer_active(adapter->status_timer)) {
        mlt_timer_start(adapter->status_timer, STATUS_SOON_NS);
    }
}

/* ---- plan
 * ----------------------------------------------------------------------------------------- */

static void answer(struct mlt_adapter *adapter, const char *reply, struct mlt_slice payload)
{
    if (reply[0] == '\0') {
        return;
    }
    const enum mlt_status status = mlt_bus_reply(adapter->control, reply, payload, 0, NULL);
    if (status != MLT_OK) {
        mlt_log(MLT_LOG_WARN, "reply_failed", mlt_status_text(status), MLT_S("subject", reply));
    }
}

static enum mlt_status apply(struct mlt_adapter *adapter, const Meltica__V1__NativePlan *plan)
{
    const int64_t now = mlt_clock_mono_ns();
    adapter->topics.now_ns = now;
    adapter->topics.unproven = false;
    enum mlt_status status = mlt_topics_apply(&adapter->topics, plan, adapter->symbols);
    if (adapter->topics.unproven && adapter->standby != NULL) { /* another one may know better */
        mlt_adapter_listing_again(adapter);
    }
    if (status == MLT_OK) {
        status = mlt_rest_apply(&adapter->rest, plan, now);
    }
    for (size_t i = 0; i < plan->n_routes; i++) {
        if (mlt_rest_function_of(plan->routes[i]->rest_function) == MLT_REST_EXCHANGE_INFO) {
            adapter->listing_route = plan->routes[i]->route;
        }
    }
    mlt_lines_plan_changed(&adapter->lines, now);
    return status;
}

void mlt_adapter_plans_again(struct mlt_adapter *adapter)
{
    bool waiting = false;
    for (uint32_t p = 0; p < adapter->partitions; p++) {
        Meltica__V1__NativePlan *plan = mlt_plans_of(&adapter->plans, p);
        if (plan == NULL) {
            continue;
        }
        waiting = true;
        const enum mlt_status status = apply(adapter, plan);
        if (status != MLT_OK) {
            mlt_log(MLT_LOG_ERROR, "plan_not_applied", mlt_status_text(status),
                    MLT_U("partition", p));
        }
        mlt_plan_free(plan);
    }
    if (waiting) {
        adapter->plan_reason[0] = '\0';
        mlt_adapter_lines_turn(adapter);
        mlt_adapter_rest_turn(adapter);
    }
}

static const char *refusal_of(enum mlt_status status)
{
    switch (status) {
    case MLT_E_CONFLICT:
        return "stale_revision";
    case MLT_E_RANGE:
        return "bad_partition";
    case MLT_E_INVALID:
        return "bad_template";
    default:
        return mlt_status_word(status);
    }
}

/* Reason why it is not applied; "" when it is; NULL: it is another Adapter's. *told: whether this
 * one answers, and not the one that speaks for the partition that it holds. */
static const char *take_plan(struct mlt_adapter *adapter, struct mlt_slice bytes, bool *told)
{
    Meltica__V1__NativePlan *plan = NULL;
    struct mlt_adapter_plan_trace trace;
    bool new_boot = false;
    enum mlt_status status = mlt_plans_read(&adapter->plans, bytes, &plan, &new_boot);
    const uint32_t asked = adapter->plans.asked;
    *told = adapter->standby == NULL || asked >= adapter->partitions ||
            mlt_adapter_answers(adapter, asked);
    if (status != MLT_OK) {
        return status == MLT_E_NOT_FOUND ? NULL : refusal_of(status);
    }
    mlt_adapter_trace_plan(adapter, plan, &trace);
    if (adapter->listed) {
        status = apply(adapter, plan);
    }
    if (status == MLT_OK) {
        status = mlt_plans_keep(&adapter->plans, plan, bytes);
    }
    mlt_adapter_trace_planned(adapter, plan, &trace, status);
    mlt_plan_free(plan);
    if (status != MLT_OK) {
        return refusal_of(status);
    }
    if (new_boot) {
        uint64_t of = 0;
        mlt_log(MLT_LOG_INFO, "dispatcher_new", "a Dispatcher that was not known sends its plan",
                MLT_U("revision", mlt_plans_revision(&adapter->plans, UINT64_MAX, &of)));
        mlt_adapter_listing_announce(adapter);
    }
    return adapter->listed ? "" : "listing_not_read";
}

static void on_plan(struct mlt_adapter *adapter, const struct mlt_adapter_mail *mail)
{
    bool told = true;
    const char *reason = take_plan(adapter, mlt_slice_of(mail->bytes, mail->len), &told);
    if (reason == NULL) {
        return;
    }
    const bool stale = strcmp(reason, "stale_revision") == 0;
    mlt_counter_add(
        reason[0] == '\0' ? adapter->meters.plans_applied : adapter->meters.plans_refused, 1);
    char text[sizeof adapter->plan_reason];
    (void)snprintf(text, sizeof text, "%s", reason);
    if (!stale) { /* what an old Dispatcher still says does not touch the plan in force */
        memcpy(adapter->plan_reason, text, sizeof text);
    }
    if (told && encode_status(adapter, text, false) == MLT_OK) {
        answer(adapter, mail->reply, mlt_buf_view(&adapter->status_bytes));
    }
    mlt_adapter_lines_turn(adapter);
    mlt_adapter_rest_turn(adapter);
    mlt_adapter_status_changed(adapter);
    if (adapter->standby != NULL) {
        mlt_standby_look(adapter->standby); /* before what it brings by this plan is on its way */
    }
}

/* ---- fetch
 * ---------------------------------------------------------------------------------------- */

static enum mlt_weight_class class_of(Meltica__V1__Priority priority)
{
    switch ((int)priority) {
    case MELTICA__V1__PRIORITY__PRIORITY_RESYNC:
        return MLT_WEIGHT_RESYNC;
    case MELTICA__V1__PRIORITY__PRIORITY_FIRST:
        return MLT_WEIGHT_FIRST;
    case MELTICA__V1__PRIORITY__PRIORITY_AUDIT:
        return MLT_WEIGHT_AUDIT;
    default: /* also what a later release may say */
        return MLT_WEIGHT_DEPTH;
    }
}

/* NULL: another Adapter answers. */
static const char *take_fetch(struct mlt_adapter *adapter, const Meltica__V1__FetchRequest *request)
{
    if (!mlt_adapter_mine(adapter, mlt_slice_of_string(request->instrument))) {
        return NULL;
    }
    const enum mlt_rest_function function = mlt_rest_function_of(request->function);
    if (function == MLT_REST_FUNCTION_COUNT) {
        return "unknown_function";
    }
    if (!adapter->listed && function != MLT_REST_EXCHANGE_INFO) {
        return "listing_not_read";
    }
    const bool all = request->instrument[0] == '\0';
    if (all && (function == MLT_REST_DEPTH || mlt_rest_by_id(function))) {
        return "missing_instrument";
    }
    if (!all && mlt_binance_symbol_by_token(adapter->symbols,
                                            mlt_slice_of_string(request->instrument)) == NULL) {
        return "unknown_symbol";
    }
    const struct mlt_rest_asked asked = {
        .function = function,
        .token = function == MLT_REST_EXCHANGE_INFO ? "" : request->instrument,
        .limit = request->limit,
        .from = request->from,
        .route = request->route,
        .class = class_of(request->priority),
    };
    const enum mlt_status status = mlt_rest_demand(&adapter->rest, &asked, mlt_clock_mono_ns());
    mlt_counter_add(adapter->meters.fetches, 1);
    return status == MLT_OK ? "" : mlt_status_word(status);
}

static void on_fetch(struct mlt_adapter *adapter, const struct mlt_adapter_mail *mail)
{
    Meltica__V1__FetchRequest *request =
        meltica__v1__fetch_request__unpack(NULL, mail->len, mail->bytes);
    char reason[48];
    const char *word = request != NULL ? take_fetch(adapter, request) : "parse";
    if (word == NULL) {
        meltica__v1__fetch_request__free_unpacked(request, NULL);
        return;
    }
    (void)snprintf(reason, sizeof reason, "%s", word);
    Meltica__V1__FetchReply reply;
    meltica__v1__fetch_reply__init(&reply);
    reply.accepted = reason[0] == '\0';
    reply.reason = reason;
    uint8_t bytes[128];
    const size_t len = meltica__v1__fetch_reply__get_packed_size(&reply);
    if (len <= sizeof bytes) {
        (void)meltica__v1__fetch_reply__pack(&reply, bytes);
        answer(adapter, mail->reply, mlt_slice_of(bytes, len));
    }
    if (request != NULL) {
        meltica__v1__fetch_request__free_unpacked(request, NULL);
    }
    mlt_adapter_rest_turn(adapter);
}

/* ---- mail
 * ----------------------------------------------------------------------------------------- */

static bool take_mail(struct mlt_adapter *adapter, struct mlt_adapter_mail *out)
{
    (void)pthread_mutex_lock(&adapter->mail_lock);
    const bool some = adapter->mail_count > 0;
    if (some) {
        *out = adapter->mail[adapter->mail_first];
        adapter->mail_first = (adapter->mail_first + 1) % MLT_ADAPTER_MAIL_MAX;
        adapter->mail_count--;
    } else {
        adapter->mail_posted = false;
    }
    (void)pthread_mutex_unlock(&adapter->mail_lock);
    return some;
}

static void read_mail(void *ctx)
{
    struct mlt_adapter *adapter = ctx;
    struct mlt_adapter_mail mail;
    while (take_mail(adapter, &mail)) {
        if (!adapter->draining) {
            if (mail.fetch) {
                on_fetch(adapter, &mail);
            } else {
                on_plan(adapter, &mail);
            }
        }
        free(mail.bytes);
    }
}

static void put_mail(struct mlt_adapter *adapter, bool fetch, const struct mlt_bus_message *message)
{
    struct mlt_adapter_mail mail = { .fetch = fetch, .len = message->payload.len };
    const int len = snprintf(mail.reply, sizeof mail.reply, "%s", message->reply);
    mail.bytes = malloc(mail.len + 1);
    bool kept = false, post = false;
    (void)pthread_mutex_lock(&adapter->mail_lock);
    if (mail.bytes != NULL && len >= 0 && (size_t)len < sizeof mail.reply &&
        mail.len <= MLT_PLAN_BYTES_MAX && adapter->mail_count < MLT_ADAPTER_MAIL_MAX) {
        if (mail.len > 0) {
            memcpy(mail.bytes, message->payload.data, mail.len);
        }
        adapter->mail[(adapter->mail_first + adapter->mail_count++) % MLT_ADAPTER_MAIL_MAX] = mail;
        mlt_gauge_raise(adapter->meters.mail_most, adapter->mail_count);
        kept = true;
        post = !adapter->mail_posted;
        adapter->mail_posted = true;
    }
    (void)pthread_mutex_unlock(&adapter->mail_lock);
    if (!kept) { /* the sender repeats itself */
        free(mail.bytes);
        mlt_counter_add(adapter->meters.mail_dropped, 1);
        return;
    }
    if (post && mlt_loop_post(adapter->loop, read_mail, adapter) != MLT_OK) {
        (void)pthread_mutex_lock(&adapter->mail_lock);
        adapter->mail_posted = false; /* the next one posts again, and takes this one along */
        (void)pthread_mutex_unlock(&adapter->mail_lock);
    }
}

static void on_plan_message(void *ctx, const struct mlt_bus_message *message)
{
    put_mail(ctx, false, message);
}

static void on_fetch_message(void *ctx, const struct mlt_bus_message *message)
{
    put_mail(ctx, true, message);
}

enum mlt_status mlt_adapter_control_start(struct mlt_adapter *adapter, struct mlt_error *err)
{
    const struct mlt_bus_subscribe_options plan = { .subject = SUBJECT_PLAN };
    const struct mlt_bus_subscribe_options fetch = { .subject = SUBJECT_FETCH };
    mlt_buf_init(&adapter->status_bytes, REPLY_BYTES_MAX);
    enum mlt_status status = mlt_bus_subscribe(adapter->control, &plan, on_plan_message, adapter,
                                               &adapter->plan_subscription, err);
    if (status == MLT_OK) {
        status = mlt_bus_subscribe(adapter->control, &fetch, on_fetch_message, adapter,
                                   &adapter->fetch_subscription, err);
    }
    return status;
}

void mlt_adapter_control_stop(struct mlt_adapter *adapter)
{
    mlt_bus_unsubscribe(adapter->plan_subscription);
    mlt_bus_unsubscribe(adapter->fetch_subscription);
    adapter->plan_subscription = adapter->fetch_subscription = NULL;
    struct mlt_adapter_mail mail;
    while (take_mail(adapter, &mail)) {
        free(mail.bytes);
    }
}
