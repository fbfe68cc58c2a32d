#include "mlt_test.h"

#include "adapter_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meltica/base/clock.h"

#define REQUEST_NS (10 * MLT_NS_PER_S)

static const char *bin_directory(void)
{
    static char path[512];
    const char *build = getenv("MELTICA_BINARY_DIR");
    (void)snprintf(path, sizeof path, "%s/bin", build != NULL ? build : "build/dev");
    return path;
}

static struct timespec deadline(int64_t in_ns)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += in_ns / MLT_NS_PER_S;
    return at;
}

/* ---- processes
 * ------------------------------------------------------------------------------------ */

static void find_port(struct rig_process *p, const char *line)
{
    static const struct {
        const char *marker, *before;
    } shapes[] = {
        { "\"event\":\"listening\"", "\"port\":" },
        { "\"event\":\"listening\"", "\"http\":\"http://127.0.0.1:" },
        { "Listening for client connections on", "connections on 127.0.0.1:" },
    };
    for (unsigned i = 0; p->port[0] == '\0' && i < 3; i++) {
        const char *at =
            strstr(line, shapes[i].marker) != NULL ? strstr(line, shapes[i].before) : NULL;
        if (at != NULL) {
            at += strlen(shapes[i].before);
            at += *at == '"' ? 1 : 0;
            const size_t digits = strspn(at, "0123456789");
            if (digits > 0 && digits < sizeof p->port) {
                memcpy(p->port, at, digits);
            }
        }
    }
}

static void keep_words(struct rig_process *p, const char *line, size_t len)
{
    if (len > sizeof p->words - 1) {
        len = sizeof p->words - 1;
    }
    if (p->words_len + len > sizeof p->words - 1) {
        const size_t drop = p->words_len + len - (sizeof p->words - 1);
        memmove(p->words, p->words + drop, p->words_len - drop);
        p->words_len -= drop;
    }
    memcpy(p->words + p->words_len, line, len);
    p->words_len += len;
    p->words[p->words_len] = '\0';
}

static void *read_output(void *ctx)
{
    struct rig_process *p = ctx;
    FILE *from = fdopen(p->said, "r");
    char *line = NULL;
    size_t size = 0;
    ssize_t len = 0;
    while (from != NULL && (len = getline(&line, &size, from)) > 0) {
        (void)pthread_mutex_lock(&p->lock);
        keep_words(p, line, (size_t)len);
        find_port(p, line);
        (void)pthread_cond_broadcast(&p->changed);
        (void)pthread_mutex_unlock(&p->lock);
    }
    free(line);
    if (from != NULL) {
        (void)fclose(from);
    }
    (void)pthread_mutex_lock(&p->lock);
    p->ended = true;
    (void)pthread_cond_broadcast(&p->changed);
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void run(struct rig_process *p, char *const *arguments)
{
    int ends[2];
    memset(p, 0, sizeof *p);
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->changed, NULL);
    assert_int_equal(pipe(ends), 0);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(ends[1], 1);
        (void)dup2(ends[1], 2);
        (void)close(ends[0]);
        (void)close(ends[1]);
        (void)execvp(arguments[0], arguments);
        _exit(127);
    }
    (void)close(ends[1]);
    p->said = ends[0];
    assert_int_equal(pthread_create(&p->reader, NULL, read_output, p), 0);
    const struct timespec until = deadline(RIG_WAIT_NS);
    (void)pthread_mutex_lock(&p->lock);
    while (p->port[0] == '\0' && !p->ended &&
           pthread_cond_timedwait(&p->changed, &p->lock, &until) == 0) {
    }
    const bool up = p->port[0] != '\0';
    if (!up) {
        print_error("%s did not listen:\n%s\n", arguments[0], p->words);
    }
    (void)pthread_mutex_unlock(&p->lock);
    assert_true(up);
}

static int end(struct rig_process *p, int signal_number)
{
    int status = 0;
    if (p->pid <= 0) {
        return 0;
    }
    (void)kill(p->pid, signal_number);
    const struct timespec until = deadline(RIG_WAIT_NS);
    (void)pthread_mutex_lock(&p->lock);
    while (!p->ended && pthread_cond_timedwait(&p->changed, &p->lock, &until) == 0) {
    }
    if (!p->ended) {
        (void)kill(p->pid, SIGKILL);
    }
    (void)pthread_mutex_unlock(&p->lock);
    (void)pthread_join(p->reader, NULL);
    while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR) {
    }
    p->pid = 0;
    (void)pthread_mutex_destroy(&p->lock);
    (void)pthread_cond_destroy(&p->changed);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void run_program(struct rig_process *p, const char *program, const char *const *first,
                        const char *const *more)
{
    char path[640];
    char *arguments[2 * RIG_ARGUMENTS_MAX + 2] = { path };
    size_t count = 1;
    if (strchr(program, '/') == NULL && strcmp(program, "nats-server") != 0) {
        (void)snprintf(path, sizeof path, "%s/%s", bin_directory(), program);
    } else {
        (void)snprintf(path, sizeof path, "%s", program);
    }
    const char *const *lists[] = { first, more };
    for (unsigned l = 0; l < 2; l++) {
        for (const char *const *a = lists[l]; a != NULL && *a != NULL; a++) {
            assert_true(count < sizeof arguments / sizeof arguments[0] - 1);
            arguments[count] = strdup(*a);
            assert_non_null(arguments[count]);
            count++;
        }
    }
    run(p, arguments);
    while (count > 1) {
        free(arguments[--count]);
    }
}

/* ---- receiver
 * ------------------------------------------------------------------------------------- */

static void follow(struct rig_seen *seen, const struct mlt_native_event *e)
{
    switch (e->type) {
    case MLT_EVENT_BBO:
        seen->order_faults += e->last <= seen->last_bbo ? 1 : 0;
        seen->last_bbo = e->last;
        break;
    case MLT_EVENT_TRADE:
        seen->order_faults += seen->last_trade != 0 && e->first - 1 != seen->last_trade ? 1 : 0;
        seen->last_trade = e->last;
        if (e->last > seen->highest_trade) {
            seen->trade_holes +=
                seen->highest_trade != 0 && e->first - 1 != seen->highest_trade ? 1 : 0;
            seen->highest_trade = e->last;
        }
        break;
    case MLT_EVENT_BOOK_DELTA:
        seen->order_faults += seen->last_delta != 0 && e->first - 1 != seen->last_delta ? 1 : 0;
        seen->last_delta = e->last;
        break;
    default:
        break;
    }
}

static void note_status(struct rig_seen *seen, const struct mlt_native_event *e)
{
    const bool down = e->u.status.kind == MLT_STATUS_SOURCE_DOWN;
    seen->sources_down += down ? 1 : 0;
    seen->sources_up += e->u.status.kind == MLT_STATUS_SOURCE_UP ? 1 : 0;
    if (down) {
        (void)snprintf(seen->source_reason, sizeof seen->source_reason, "%.*s",
                       MLT_SLICE_FMT(e->u.status.reason));
    }
}

static void note_snapshot(struct rig_seen *seen, const struct mlt_native_event *e)
{
    const uint64_t n = seen->snapshots_scheduled++;
    if (n < 64) {
        seen->snapshot_at[n] = mlt_clock_mono_ns();
    }
    seen->depth = e->u.book_snapshot.requested_depth;
    seen->deepest = seen->depth > seen->deepest ? seen->depth : seen->deepest;
    seen->snapshot_levels = e->u.book_snapshot.bids.count;
}

static void note(struct rig_seen *seen, const struct mlt_native_event *e)
{
    static const uint8_t no_trace[MLT_TRACE_ID_BYTES];
    seen->missing +=
        memcmp(e->trace_id, no_trace, sizeof no_trace) == 0 || e->received <= 0 || e->adapted <= 0
            ? 1
            : 0;
    if (e->type == MLT_NATIVE_UNPARSED) {
        seen->unparsed++;
        (void)snprintf(seen->unparsed_reason, sizeof seen->unparsed_reason, "%.*s",
                       MLT_SLICE_FMT(e->u.unparsed.reason));
        return;
    }
    seen->by_type[e->type]++;
    if (e->type == MLT_EVENT_STATUS) {
        note_status(seen, e);
    } else if (e->type != MLT_EVENT_INSTRUMENT) {
        seen->missing += e->route == 0 ? 1 : 0;
    }
    if (e->type == MLT_EVENT_BOOK_SNAPSHOT && mlt_slice_equal_string(e->rest_function, "depth")) {
        note_snapshot(seen, e);
    }
    seen->tickers_rest +=
        e->type == MLT_EVENT_TICKER && mlt_slice_equal_string(e->rest_function, "ticker/24hr") ? 1
                                                                                               : 0;
    follow(seen, e);
}

static void on_batch(void *ctx, const struct mlt_hop_batch *batch)
{
    struct rig *rig = ctx;
    struct mlt_slice rest = batch->bytes, element;
    (void)pthread_mutex_lock(&rig->lock);
    while (mlt_clock_mono_ns() < rig->stall_until_ns) {
        struct timespec until;
        (void)clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 20000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&rig->changed, &rig->lock, &until);
    }
    rig->seen.batches++;
    rig->seen.lost_before += batch->lost_before ? 1 : 0;
    while (mlt_batch_next(&rest, &element) == MLT_OK) {
        struct mlt_native_event event;
        mlt_arena_reset(&rig->arena);
        if (mlt_native_decode(element, &rig->arena, &event) == MLT_OK) {
            note(&rig->seen, &event);
        } else {
            rig->seen.malformed++;
        }
    }
    (void)pthread_cond_broadcast(&rig->changed);
    (void)pthread_mutex_unlock(&rig->lock);
}

static void on_status(void *ctx, const struct mlt_bus_message *message)
{
    struct rig *rig = ctx;
    (void)message;
    (void)pthread_mutex_lock(&rig->lock);
    rig->status_count++;
    (void)pthread_cond_broadcast(&rig->changed);
    (void)pthread_mutex_unlock(&rig->lock);
}

struct rig_seen rig_seen(struct rig *rig)
{
    (void)pthread_mutex_lock(&rig->lock);
    const struct rig_seen seen = rig->seen;
    (void)pthread_mutex_unlock(&rig->lock);
    return seen;
}

void rig_wait(struct rig *rig, bool (*test)(const struct rig_seen *seen, uint64_t value),
              uint64_t value, const char *what)
{
    const struct timespec until = deadline(RIG_WAIT_NS);
    int waited = 0;
    (void)pthread_mutex_lock(&rig->lock);
    while (!test(&rig->seen, value) && waited == 0) {
        waited = pthread_cond_timedwait(&rig->changed, &rig->lock, &until);
    }
    const bool holds = test(&rig->seen, value);
    if (!holds) {
        const struct rig_seen *s = &rig->seen;
        print_error("not within 20 s: %s (bbo %llu trade %llu delta %llu snapshot %llu instrument "
                    "%llu down %llu up %llu unparsed %llu)\n%s\n",
                    what, (unsigned long long)s->by_type[MLT_EVENT_BBO],
                    (unsigned long long)s->by_type[MLT_EVENT_TRADE],
                    (unsigned long long)s->by_type[MLT_EVENT_BOOK_DELTA],
                    (unsigned long long)s->by_type[MLT_EVENT_BOOK_SNAPSHOT],
                    (unsigned long long)s->by_type[MLT_EVENT_INSTRUMENT],
                    (unsigned long long)s->sources_down, (unsigned long long)s->sources_up,
                    (unsigned long long)s->unparsed, rig->adapter.words);
    }
    (void)pthread_mutex_unlock(&rig->lock);
    assert_true(holds);
}

/* ---- plan
 * ----------------------------------------------------------------------------------------- */

Meltica__V1__PlanStatus *rig_plan_part(struct rig *rig, Meltica__V1__NativePlan *plan)
{
    struct mlt_buf answer;
    mlt_buf_init(&answer, 1u << 20);
    const size_t size = meltica__v1__native_plan__get_packed_size(plan);
    uint8_t *bytes = malloc(size + 1);
    assert_non_null(bytes);
    (void)meltica__v1__native_plan__pack(plan, bytes);
    struct mlt_error err = MLT_ERROR_INIT;
    Meltica__V1__PlanStatus *status = NULL;
    if (mlt_bus_request(rig->control, "meltica.int.plan", mlt_slice_of(bytes, size), REQUEST_NS,
                        &answer, &err) == MLT_OK) {
        status = meltica__v1__plan_status__unpack(NULL, answer.len, answer.data);
    } else {
        print_error("plan: %s\n", err.text);
    }
    free(bytes);
    mlt_buf_fini(&answer);
    assert_non_null(status);
    return status;
}

void rig_plan(struct rig *rig, uint64_t revision, const struct rig_route *routes, size_t count,
              const char *const *instruments, size_t instrument_count)
{
    assert_true(count <= 8 && instrument_count <= 512);
    char texts[8][2][64];
    static char tokens[512][64];
    for (uint32_t p = 0; p < RIG_PARTITIONS; p++) {
        Meltica__V1__NativePlan plan;
        Meltica__V1__PlanRoute parts[8];
        Meltica__V1__PlanRoute *pointers[8];
        char *mine[512];
        size_t mine_count = 0;
        for (size_t i = 0; i < instrument_count; i++) {
            (void)snprintf(tokens[i], sizeof tokens[i], "%s", instruments[i]);
            if (mlt_instrument_slot(mlt_slice_of_string(tokens[i])) % RIG_PARTITIONS == p) {
                mine[mine_count++] = tokens[i];
            }
        }
        meltica__v1__native_plan__init(&plan);
        plan.revision = revision;
        plan.boot = 77;
        plan.partition = p;
        for (size_t i = 0; i < count; i++) {
            (void)snprintf(texts[i][0], 64, "%s", routes[i].topic);
            (void)snprintf(texts[i][1], 64, "%s", routes[i].function);
            meltica__v1__plan_route__init(&parts[i]);
            parts[i].route = routes[i].route;
            parts[i].ws_topic = texts[i][0];
            parts[i].rest_function = texts[i][1];
            parts[i].rest_interval_ms = routes[i].interval_ms;
            parts[i].rest_limit = routes[i].limit;
            parts[i].instruments = mine;
            parts[i].n_instruments = mine_count;
            pointers[i] = &parts[i];
        }
        plan.routes = pointers;
        plan.n_routes = mine_count > 0 ? count : 0;
        Meltica__V1__PlanStatus *status = rig_plan_part(rig, &plan);
        assert_true(status->applied || strcmp(status->reason, "listing_not_read") == 0);
        meltica__v1__plan_status__free_unpacked(status, NULL);
    }
}

const char *rig_fetch_as(struct rig *rig, const char *function, const char *instrument,
                         uint32_t limit, Meltica__V1__Priority priority)
{
    static char reason[64];
    char texts[2][64];
    uint8_t bytes[256];
    Meltica__V1__FetchRequest request;
    meltica__v1__fetch_request__init(&request);
    (void)snprintf(texts[0], 64, "%s", function);
    (void)snprintf(texts[1], 64, "%s", instrument);
    request.function = texts[0];
    request.instrument = texts[1];
    request.limit = limit;
    request.route = 9;
    request.priority = priority;
    const size_t size = meltica__v1__fetch_request__pack(&request, bytes);
    struct mlt_buf answer;
    mlt_buf_init(&answer, 4096);
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_bus_request(rig->control, "meltica.int.fetch", mlt_slice_of(bytes, size),
                                     REQUEST_NS, &answer, &err),
                     MLT_OK);
    Meltica__V1__FetchReply *reply =
        meltica__v1__fetch_reply__unpack(NULL, answer.len, answer.data);
    assert_non_null(reply);
    assert_int_equal(reply->accepted, reply->reason[0] == '\0');
    (void)snprintf(reason, sizeof reason, "%s", reply->reason);
    meltica__v1__fetch_reply__free_unpacked(reply, NULL);
    mlt_buf_fini(&answer);
    return reason;
}

const char *rig_fetch(struct rig *rig, const char *function, const char *instrument, uint32_t limit)
{
    return rig_fetch_as(rig, function, instrument, limit, MELTICA__V1__PRIORITY__PRIORITY_DEPTH);
}

/* ---- HTTP
 * ----------------------------------------------------------------------------------------- */

void rig_get(const char *port, const char *path, struct mlt_buf *body, int *status)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) {
        fail_msg("%s", "no socket");
        return;
    }
    const struct timeval limit = { .tv_sec = 10 };
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    char request[512];
    const int len =
        snprintf(request, sizeof request,
                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", path);
    assert_int_equal(write(fd, request, (size_t)len), len);
    char piece[4096];
    ssize_t got = 0;
    mlt_buf_clear(body);
    while ((got = read(fd, piece, sizeof piece)) > 0) {
        assert_int_equal(mlt_buf_append(body, piece, (size_t)got), MLT_OK);
    }
    (void)close(fd);
    assert_int_equal(mlt_buf_append_byte(body, '\0'), MLT_OK);
    const char *text = (const char *)body->data;
    assert_true(strncmp(text, "HTTP/1.", 7) == 0);
    *status = (int)strtol(text + 9, NULL, 10);
}

uint64_t rig_metric(struct rig *rig, const char *name, const char *label)
{
    struct mlt_buf body;
    mlt_buf_init(&body, 1u << 20);
    int status = 0;
    rig_get(rig->adapter.port, "/metrics", &body, &status);
    assert_int_equal(status, 200);
    uint64_t sum = 0;
    char *save = NULL;
    for (char *line = strtok_r((char *)body.data, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        const size_t len = strlen(name);
        if (strncmp(line, name, len) == 0 && (line[len] == ' ' || line[len] == '{') &&
            strstr(line, label) != NULL) {
            sum += strtoull(strrchr(line, ' ') + 1, NULL, 10);
        }
    }
    mlt_buf_fini(&body);
    return sum;
}

/* ---- rig
 * ------------------------------------------------------------------------------------------ */

void rig_start(struct rig *rig, const char *const *exchange, const char *const *adapter)
{
    char rest_url[sizeof rig->rest_url];
    memcpy(rest_url, rig->rest_url, sizeof rest_url);
    memset(rig, 0, sizeof *rig);
    memcpy(rig->rest_url, rest_url, sizeof rest_url);
    (void)pthread_mutex_init(&rig->lock, NULL);
    (void)pthread_cond_init(&rig->changed, NULL);
    mlt_arena_init(&rig->arena, 1u << 20, 8u << 20);
    const char *const nats[] = { "-a", "127.0.0.1", "-p", "-1", NULL };
    run_program(&rig->nats, "nats-server", nats, NULL);
    const char *const any[] = { "--port", "0", NULL };
    run_program(&rig->exchange, "meltica-exchange-sim", any, exchange);
    (void)snprintf(rig->nats_url, sizeof rig->nats_url, "nats://127.0.0.1:%s", rig->nats.port);
    if (rig->rest_url[0] == '\0') {
        (void)snprintf(rig->rest_url, sizeof rig->rest_url, "http://127.0.0.1:%s",
                       rig->exchange.port);
    }
    (void)snprintf(rig->ws_url, sizeof rig->ws_url, "ws://127.0.0.1:%s", rig->exchange.port);

    struct mlt_error err = MLT_ERROR_INIT;
    const struct mlt_bus_options data = { .kind = MLT_BUS_DATA,
                                          .url = rig->nats_url,
                                          .name = "test-data" };
    const struct mlt_bus_options control = { .kind = MLT_BUS_CONTROL,
                                             .url = rig->nats_url,
                                             .name = "test-control" };
    assert_int_equal(mlt_bus_connect(&data, &rig->data, &err), MLT_OK);
    assert_int_equal(mlt_bus_connect(&control, &rig->control, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(rig->data, RIG_WAIT_NS), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(rig->control, RIG_WAIT_NS), MLT_OK);
    const struct mlt_hop_receiver_options receiver = { .service = "dispatcher",
                                                       .sender_service = "adapter",
                                                       .subject = "meltica.int.native",
                                                       .partitions = RIG_PARTITIONS,
                                                       .on_batch = on_batch,
                                                       .ctx = rig };
    assert_int_equal(mlt_hop_receiver_create(rig->data, &receiver, &rig->receiver, &err), MLT_OK);

    const char *const own[] = { "--nats-url",  rig->nats_url, "--ws-url",    rig->ws_url,
                                "--rest-url",  rig->rest_url, "--http-host", "127.0.0.1",
                                "--http-port", "0",           "--instance",  "adapter-test",
                                NULL };
    const struct mlt_bus_subscribe_options statuses = { .subject = "meltica.int.plan.status" };
    assert_int_equal(
        mlt_bus_subscribe(rig->control, &statuses, on_status, rig, &rig->statuses, &err), MLT_OK);
    run_program(&rig->adapter, "meltica-adapter", own, adapter);
    const struct timespec until = deadline(RIG_WAIT_NS);
    (void)pthread_mutex_lock(&rig->lock);
    while (rig->status_count == 0 &&
           pthread_cond_timedwait(&rig->changed, &rig->lock, &until) == 0) {
    }
    const bool heard = rig->status_count > 0;
    (void)pthread_mutex_unlock(&rig->lock);
    assert_true(heard); /* its requests are served from here on */
}

void rig_restart_exchange(struct rig *rig, const char *const *exchange)
{
    char port[sizeof rig->exchange.port];
    memcpy(port, rig->exchange.port, sizeof port);
    (void)end(&rig->exchange, SIGKILL);
    const char *const same[] = { "--port", port, NULL };
    run_program(&rig->exchange, "meltica-exchange-sim", same, exchange);
}

void rig_restart_nats(struct rig *rig)
{
    char port[sizeof rig->nats.port];
    memcpy(port, rig->nats.port, sizeof port);
    (void)end(&rig->nats, SIGKILL);
    const char *const same[] = { "-a", "127.0.0.1", "-p", port, NULL };
    run_program(&rig->nats, "nats-server", same, NULL);
}

void rig_freeze(struct rig_process *process)
{
    int status = 0;
    assert_int_equal(kill(process->pid, SIGSTOP), 0);
    assert_int_equal(waitpid(process->pid, &status, WUNTRACED), process->pid);
    assert_true(WIFSTOPPED(status));
}

void rig_await_words(struct rig_process *process, const char *text)
{
    const struct timespec until = deadline(RIG_WAIT_NS);
    (void)pthread_mutex_lock(&process->lock);
    while (strstr(process->words, text) == NULL && !process->ended &&
           pthread_cond_timedwait(&process->changed, &process->lock, &until) == 0) {
    }
    const bool said = strstr(process->words, text) != NULL;
    if (!said) {
        print_error("\"%s\" was not said:\n%s\n", text, process->words);
    }
    (void)pthread_mutex_unlock(&process->lock);
    assert_true(said);
}

void rig_await_status(struct rig *rig)
{
    const struct timespec until = deadline(RIG_WAIT_NS);
    (void)pthread_mutex_lock(&rig->lock);
    const uint64_t before = rig->status_count;
    while (rig->status_count == before &&
           pthread_cond_timedwait(&rig->changed, &rig->lock, &until) == 0) {
    }
    const bool heard = rig->status_count > before;
    (void)pthread_mutex_unlock(&rig->lock);
    assert_true(heard);
}

int rig_end_adapter(struct rig *rig)
{
    return end(&rig->adapter, SIGTERM);
}

void rig_stop(struct rig *rig)
{
    (void)end(&rig->adapter, SIGKILL);
    mlt_hop_receiver_destroy(rig->receiver);
    mlt_bus_destroy(rig->data, 0);
    mlt_bus_destroy(rig->control, 0);
    (void)end(&rig->exchange, SIGKILL);
    (void)end(&rig->nats, SIGKILL);
    mlt_arena_fini(&rig->arena);
    (void)pthread_mutex_destroy(&rig->lock);
    (void)pthread_cond_destroy(&rig->changed);
    rig->rest_url[0] = '\0';
}

/* ---- REST stub
 * ------------------------------------------------------------------------------------ */

static struct http_stub_answer answer(void *ctx, const char *head, const void *none, size_t len)
{
    struct rig_stub *stub = ctx;
    char path[2048];
    (void)none, (void)len;
    const char *from = strchr(head, ' ');
    const char *to = from != NULL ? strchr(from + 1, ' ') : NULL;
    if (to == NULL || (size_t)(to - from) > sizeof path) {
        return (struct http_stub_answer){ 0 };
    }
    (void)snprintf(path, sizeof path, "%.*s", (int)(to - from - 1), from + 1);
    int status = 404;
    stub->headers[0] = '\0';
    stub->body[0] = '\0';
    stub->script(stub->ctx, path, &status, stub->headers, stub->body, sizeof stub->body);
    return (struct http_stub_answer){
        .code = status, .headers = stub->headers, .body = stub->body, .body_len = strlen(stub->body)
    };
}

void rig_stub_start(struct rig_stub *stub)
{
    assert_true(http_stub_start(&stub->http, 0, answer, stub));
    (void)snprintf(stub->port, sizeof stub->port, "%u", (unsigned)stub->http.port);
}

void rig_stub_stop(struct rig_stub *stub)
{
    http_stub_stop(&stub->http);
}
