#include "dispatcher_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"

/* ---- processes ---- */

static void keep_words(struct process *p, const char *bytes, size_t len)
{
    const size_t room = sizeof p->words - 1;
    if (p->words_len + len > room) {
        const size_t drop = p->words_len + len - room;
        const size_t kept = drop < p->words_len ? p->words_len - drop : 0;
        memmove(p->words, p->words + (p->words_len - kept), kept);
        p->words_len = kept;
    }
    const size_t taken = len < room ? len : room;
    memcpy(p->words + p->words_len, bytes + (len - taken), taken);
    p->words_len += taken;
    p->words[p->words_len] = '\0';
}

/* {"event":"listening",..."port":1234...} */
static void find_port(struct process *p)
{
    const char *at = p->http_port[0] == '\0' ? strstr(p->words, "\"listening\"") : NULL;
    const char *port = at != NULL ? strstr(at, "\"port\":") : NULL;
    if (port != NULL && strchr(port, '\n') != NULL) {
        port += strlen("\"port\":");
        port += *port == '"';
        const size_t len = strspn(port, "0123456789");
        (void)snprintf(p->http_port, sizeof p->http_port, "%.*s", (int)len, port);
    }
}

static void *read_output(void *argument)
{
    struct process *p = argument;
    char bytes[4096];
    ssize_t got;
    while ((got = read(p->output, bytes, sizeof bytes)) > 0) {
        (void)pthread_mutex_lock(&p->lock);
        keep_words(p, bytes, (size_t)got);
        find_port(p);
        (void)pthread_cond_broadcast(&p->changed);
        (void)pthread_mutex_unlock(&p->lock);
    }
    (void)pthread_mutex_lock(&p->lock);
    p->ended = true;
    (void)pthread_cond_broadcast(&p->changed);
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

void process_start(struct process *p, const char *program, const char *const *arguments)
{
    int out[2];
    memset(p, 0, sizeof *p);
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->changed, NULL);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    const char *argv[32] = { program };
    for (size_t i = 0; arguments[i] != NULL; i++) {
        assert_true(i + 2 < sizeof argv / sizeof argv[0]);
        argv[i + 1] = arguments[i];
    }
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(out[1], STDOUT_FILENO);
        (void)dup2(out[1], STDERR_FILENO);
        (void)execv(program, (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    (void)close(out[1]);
    p->pid = pid;
    p->output = out[0];
    assert_int_equal(pthread_create(&p->reader, NULL, read_output, p), 0);
}

static bool is_up(const struct process *p)
{
    return p->http_port[0] != '\0' && strstr(p->words, "\"micro_registered\"") != NULL;
}

void process_wait_up(struct process *p)
{
    const int64_t at = mlt_clock_mono_ns() + RIG_WAIT_NS;
    const struct timespec until = { .tv_sec = at / MLT_NS_PER_S, .tv_nsec = at % MLT_NS_PER_S };
    (void)pthread_mutex_lock(&p->lock);
    int rc = 0;
    while (!is_up(p) && !p->ended && rc == 0) {
        rc = pthread_cond_clockwait(&p->changed, &p->lock, CLOCK_MONOTONIC, &until);
    }
    const bool there = is_up(p);
    (void)pthread_mutex_unlock(&p->lock);
    if (!there) {
        fail_msg("the process does not come up: %s", p->words);
    }
}

int process_end(struct process *p, int signal_number)
{
    int status = 0;
    if (p->pid == 0) {
        return 0;
    }
    if (signal_number != 0) {
        (void)kill(p->pid, signal_number);
    }
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    p->pid = 0;
    (void)pthread_join(p->reader, NULL);
    (void)close(p->output);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- peers ---- */

static void notify(struct rig *rig)
{
    (void)pthread_cond_broadcast(&rig->changed);
    (void)pthread_mutex_unlock(&rig->lock);
}

static void on_canonical(void *ctx, const struct mlt_hop_batch *batch)
{
    struct rig *rig = ctx;
    struct mlt_slice rest = batch->bytes, element;
    struct mlt_arena arena;
    mlt_arena_init(&arena, 4096, 4u << 20);
    (void)pthread_mutex_lock(&rig->lock);
    bool lost = batch->lost_before;
    rig->losses += lost;
    while (mlt_batch_next(&rest, &element) == MLT_OK) {
        struct mlt_event event;
        mlt_arena_reset(&arena);
        if (mlt_event_decode(element, &arena, &event) != MLT_OK ||
            rig->event_count == RIG_EVENTS_MAX) {
            continue;
        }
        struct seen *seen = &rig->events[rig->event_count++];
        (void)snprintf(seen->instrument, sizeof seen->instrument, "%.*s",
                       MLT_SLICE_FMT(event.instrument));
        seen->type = event.type;
        seen->first = event.first;
        seen->lost_before = lost;
        lost = false;
        if (element.len <= sizeof rig->last_bytes) {
            memcpy(rig->last_bytes, element.data, element.len);
            rig->last_len = element.len;
        }
    }
    notify(rig);
    mlt_arena_fini(&arena);
}

static void answer_plan(struct rig *rig, const char *reply, const Meltica__V1__NativePlan *plan)
{
    char instance[] = "adapter-0", reason[] = "not yet";
    uint8_t bytes[256];
    Meltica__V1__PlanStatus status;
    meltica__v1__plan_status__init(&status);
    status.instance = instance;
    status.boot = rig->adapter_boot;
    status.revision = rig->refuse_plans ? 0 : plan->revision;
    status.applied = !rig->refuse_plans;
    if (rig->refuse_plans) {
        status.reason = reason;
    }
    const size_t len = meltica__v1__plan_status__pack(&status, bytes);
    /* Not sent: the plan comes again, and the test fails by its own measure. */
    (void)(mlt_bus_reply(rig->control, reply, mlt_slice_of(bytes, len), 0, NULL) == MLT_OK);
}

static void on_plan(void *ctx, const struct mlt_bus_message *message)
{
    struct rig *rig = ctx;
    Meltica__V1__NativePlan *plan =
        meltica__v1__native_plan__unpack(NULL, message->payload.len, message->payload.data);
    if (plan == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&rig->lock);
    answer_plan(rig, message->reply, plan);
    if (rig->plan_count < RIG_PLANS_MAX) {
        rig->plan_log[rig->plan_count++] = plan;
    } else {
        meltica__v1__native_plan__free_unpacked(plan, NULL);
    }
    notify(rig);
}

static void on_rejection(void *ctx, const struct mlt_bus_message *message)
{
    struct rig *rig = ctx;
    (void)pthread_mutex_lock(&rig->lock);
    if (rig->rejection_count < RIG_REJECTIONS_MAX) {
        (void)snprintf(rig->rejection_log[rig->rejection_count].subject, 96, "%s",
                       message->subject);
        rig->rejection_log[rig->rejection_count++].message =
            meltica__v1__rejection__unpack(NULL, message->payload.len, message->payload.data);
    }
    notify(rig);
}

void rig_end_conductor(struct rig *rig)
{
    mlt_hop_receiver_destroy(rig->canonicals);
    rig->canonicals = NULL;
}

void rig_run_conductor(struct rig *rig)
{
    const struct mlt_hop_receiver_options receiver = { .service = "conductor",
                                                       .sender_service = "dispatcher",
                                                       .subject = "meltica.int.canonical",
                                                       .partitions = RIG_PARTITIONS,
                                                       .on_batch = on_canonical,
                                                       .ctx = rig };
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_hop_receiver_create(rig->data, &receiver, &rig->canonicals, &err), MLT_OK);
}

static void start_peers(struct rig *rig)
{
    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_bus_options data = { .kind = MLT_BUS_DATA,
                                          .url = rig->server.url,
                                          .name = "test-peers" };
    assert_int_equal(mlt_bus_connect(&data, &rig->data, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(rig->data, RIG_WAIT_NS), MLT_OK);
    rig->control = server_connect(&rig->server, NULL);
    const struct mlt_hop_sender_options sender = { .service = "adapter",
                                                   .subject = "meltica.int.native",
                                                   .partitions = RIG_PARTITIONS,
                                                   .boot = rig->adapter_boot,
                                                   /* All of a test, while a Dispatcher starts. */
                                                   .ring_bytes = (size_t)32u << 20 };
    const struct mlt_bus_subscribe_options plans = { .subject = "meltica.int.plan" };
    const struct mlt_bus_subscribe_options rejections = { .subject = "meltica.int.rejected.>" };
    assert_int_equal(mlt_hop_sender_create(rig->data, &sender, &rig->natives, &err), MLT_OK);
    rig_run_conductor(rig);
    assert_int_equal(mlt_bus_subscribe(rig->control, &plans, on_plan, rig, &rig->plans, &err),
                     MLT_OK);
    assert_int_equal(
        mlt_bus_subscribe(rig->control, &rejections, on_rejection, rig, &rig->rejections, &err),
        MLT_OK);
    /* A round trip: the subscriptions are with the server. */
    (void)mlt_bus_rtt_ns(rig->control);
}

void rig_start(struct rig *rig, bool jetstream, const char *table_json)
{
    memset(rig, 0, sizeof *rig);
    rig->adapter_boot = mlt_random64();
    rig->events = calloc(RIG_EVENTS_MAX, sizeof *rig->events);
    assert_non_null(rig->events);
    (void)pthread_mutex_init(&rig->lock, NULL);
    (void)pthread_cond_init(&rig->changed, NULL);
    server_start(&rig->server, jetstream, "");
    (void)snprintf(rig->table, sizeof rig->table, "%s/dispatch.json", rig->server.dir);
    FILE *file = fopen(rig->table, "w");
    if (file == NULL) {
        fail_msg("%s cannot be written", rig->table);
        return;
    }
    assert_true(fputs(table_json, file) >= 0);
    assert_int_equal(fclose(file), 0);
    start_peers(rig);
}

void rig_end(struct rig *rig)
{
    (void)process_end(&rig->control_bus, SIGKILL);
    (void)process_end(&rig->dispatcher, SIGKILL);
    mlt_bus_unsubscribe(rig->plans);
    mlt_bus_unsubscribe(rig->rejections);
    mlt_hop_receiver_destroy(rig->canonicals);
    mlt_hop_sender_destroy(rig->natives, 0);
    mlt_bus_destroy(rig->control, 0);
    mlt_bus_destroy(rig->data, 0);
    server_end(&rig->server);
    for (size_t i = 0; i < rig->plan_count; i++) {
        meltica__v1__native_plan__free_unpacked(rig->plan_log[i], NULL);
    }
    for (size_t i = 0; i < rig->rejection_count; i++) {
        meltica__v1__rejection__free_unpacked(rig->rejection_log[i].message, NULL);
    }
    free(rig->events);
}

/* It listens before it has read the log, and answers when it has. Nobody there is said at once. */
void rig_wait_serves(struct rig *rig)
{
    const int64_t until_ns = mlt_clock_mono_ns() + 20 * MLT_NS_PER_S;
    struct mlt_error err = MLT_ERROR_INIT;
    struct mlt_buf table;
    mlt_buf_init(&table, 1u << 20);
    enum mlt_status status = MLT_E_UNAVAILABLE;
    while (status != MLT_OK && mlt_clock_mono_ns() < until_ns) {
        mlt_buf_clear(&table);
        status = mlt_bus_request(rig->control, "meltica.int.table", MLT_SLICE_EMPTY, MLT_NS_PER_S,
                                 &table, &err);
    }
    mlt_buf_fini(&table);
    assert_int_equal(status, MLT_OK);
}

void rig_run_dispatcher_with(struct rig *rig, const char *const *more)
{
    const char *arguments[31] = { "--nats-url",  rig->server.url, "--table",     rig->table,
                                  "--http-host", "127.0.0.1",     "--http-port", "0" };
    for (size_t i = 0; more[i] != NULL; i++) {
        assert_true(9 + i < sizeof arguments / sizeof arguments[0]);
        arguments[8 + i] = more[i];
    }
    process_start(&rig->dispatcher, MELTICA_DISPATCHER, arguments);
    process_wait_up(&rig->dispatcher);
}

void rig_run_dispatcher(struct rig *rig)
{
    static const char *const none[] = { NULL };
    rig_run_dispatcher_with(rig, none);
    rig_wait_serves(rig);
}

unsigned rig_says(struct rig *rig, const char *text)
{
    unsigned count = 0;
    (void)pthread_mutex_lock(&rig->dispatcher.lock);
    for (const char *at = rig->dispatcher.words; (at = strstr(at, text)) != NULL;
         at += strlen(text)) {
        count++;
    }
    (void)pthread_mutex_unlock(&rig->dispatcher.lock);
    return count;
}

void rig_wait_says(struct rig *rig, const char *text)
{
    struct process *p = &rig->dispatcher;
    const int64_t at = mlt_clock_mono_ns() + RIG_WAIT_NS;
    const struct timespec until = { .tv_sec = at / MLT_NS_PER_S, .tv_nsec = at % MLT_NS_PER_S };
    (void)pthread_mutex_lock(&p->lock);
    int rc = 0;
    while (strstr(p->words, text) == NULL && rc == 0) {
        rc = pthread_cond_clockwait(&p->changed, &p->lock, CLOCK_MONOTONIC, &until);
    }
    const bool said = strstr(p->words, text) != NULL;
    (void)pthread_mutex_unlock(&p->lock);
    if (!said) {
        fail_msg("it does not say %s: %s", text, p->words);
    }
}

void rig_run_control_bus(struct rig *rig)
{
    const char *const arguments[] = { "--nats-url", rig->server.url, "--http-host",
                                      "127.0.0.1",  "--http-port",   "0",
                                      NULL };
    process_start(&rig->control_bus, MELTICA_CONTROL_BUS, arguments);
    process_wait_up(&rig->control_bus);
}

void rig_send(struct rig *rig, const struct mlt_native_event *native)
{
    const uint32_t partition = mlt_instrument_slot(native->instrument) % RIG_PARTITIONS;
    const size_t bytes = mlt_native_encoded_size(native);
    uint8_t *out;
    assert_int_equal(mlt_hop_begin(rig->natives, partition, bytes, &out), MLT_OK);
    assert_int_equal(mlt_native_encode(native, out), bytes);
    mlt_hop_end(rig->natives, partition);
}

void rig_say_status(struct rig *rig, uint64_t boot, uint64_t revision)
{
    char instance[] = "adapter-0";
    uint8_t bytes[256];
    Meltica__V1__PlanStatus status;
    meltica__v1__plan_status__init(&status);
    status.instance = instance;
    status.boot = boot;
    status.revision = revision;
    status.applied = 1;
    status.topics_live = 3;
    const size_t len = meltica__v1__plan_status__pack(&status, bytes);
    assert_int_equal(
        mlt_bus_publish(rig->control, "meltica.int.plan.status", mlt_slice_of(bytes, len)), MLT_OK);
}

bool rig_wait(struct rig *rig, bool (*holds)(struct rig *rig, const void *ctx), const void *ctx)
{
    const int64_t at = mlt_clock_mono_ns() + RIG_WAIT_NS;
    const struct timespec until = { .tv_sec = at / MLT_NS_PER_S, .tv_nsec = at % MLT_NS_PER_S };
    (void)pthread_mutex_lock(&rig->lock);
    int rc = 0;
    bool held = holds(rig, ctx);
    while (!held && rc == 0) {
        rc = pthread_cond_clockwait(&rig->changed, &rig->lock, CLOCK_MONOTONIC, &until);
        held = holds(rig, ctx);
    }
    (void)pthread_mutex_unlock(&rig->lock);
    return held;
}

static bool has_events(struct rig *rig, const void *ctx)
{
    const size_t *count = ctx;
    return rig->event_count >= *count;
}

bool rig_wait_events(struct rig *rig, size_t count)
{
    return rig_wait(rig, has_events, &count);
}

static int connect_http(const char *port)
{
    const struct sockaddr_in a = { .sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)strtol(port, NULL, 10)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof a) != 0) {
        fail_msg("no connection to port %s", port);
    }
    return fd;
}

int64_t rig_metric(struct rig *rig, const char *series)
{
    static char text[1u << 20];
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    const int fd = connect_http(rig->dispatcher.http_port);
    assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
    size_t used = 0;
    ssize_t got;
    while (used < sizeof text - 1 && (got = read(fd, text + used, sizeof text - 1 - used)) > 0) {
        used += (size_t)got;
    }
    text[used] = '\0';
    (void)close(fd);
    for (const char *at = text; (at = strstr(at, series)) != NULL; at += strlen(series)) {
        if (at > text && at[-1] == '\n' && at[strlen(series)] == ' ') {
            return strtoll(at + strlen(series) + 1, NULL, 10);
        }
    }
    return -1;
}

struct mlt_native_event rig_instance(int type, const char *token, int64_t first)
{
    struct mlt_native_event n;
    memset(&n, 0, sizeof n);
    n.type = type;
    n.instrument = mlt_slice_of_string(token);
    n.received = mlt_clock_wall_ns();
    n.adapted = n.received + 1000;
    n.exchange = n.received - MLT_NS_PER_MS;
    n.first = n.last = first;
    memcpy(n.trace_id, "0123456789abcdef", sizeof n.trace_id);
    if (type == MLT_EVENT_TRADE) {
        n.u.trade.trade_id = first;
        n.u.trade.price = (struct mlt_decimal){ 6160201, -2 };
        n.u.trade.quantity = (struct mlt_decimal){ 5, -1 };
        n.u.trade.aggressor = MLT_SIDE_BUY;
    } else if (type == MLT_EVENT_TICKER) {
        n.u.ticker.last_price = (struct mlt_decimal){ 6160201, -2 };
    } else if (type == MLT_EVENT_INSTRUMENT) {
        n.u.instrument.native_symbol = n.instrument;
        n.u.instrument.status = MLT_SLICE_LITERAL("TRADING");
        n.u.instrument.price_exponent = n.u.instrument.quantity_exponent = -8;
        n.rest_function = MLT_SLICE_LITERAL("exchangeInfo");
    }
    return n;
}
