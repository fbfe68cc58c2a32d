#include "flow_peers.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "meltica/base/clock.h"
#include "meltica/base/hash.h"
#include "meltica/v1/internal.pb-c.h"

/* Nobody answers a resync here, so that what a Conductor reads again has to be there still when a
 * busy machine has started it. */
#define KEEP_NS (12 * MLT_NS_PER_S)
#define WAIT_NS (20 * MLT_NS_PER_S)
#define LOG_BYTES_MAX (8u << 20)
#define ARGUMENTS_MAX 24

static struct timespec until(int64_t for_ns)
{
    const int64_t at = mlt_clock_mono_ns() + for_ns;
    return (struct timespec){ .tv_sec = at / MLT_NS_PER_S, .tv_nsec = at % MLT_NS_PER_S };
}

/* ---- processes ---- */

static void *read_log(void *arg)
{
    struct process *p = arg;
    char bytes[4096];
    ssize_t got = 0;
    while ((got = read(p->fd, bytes, sizeof bytes)) > 0) {
        (void)pthread_mutex_lock(&p->mutex);
        if (p->log_len + (size_t)got < LOG_BYTES_MAX) {
            memcpy(p->log + p->log_len, bytes, (size_t)got);
            p->log_len += (size_t)got;
            p->log[p->log_len] = '\0';
        }
        (void)pthread_cond_broadcast(&p->changed);
        (void)pthread_mutex_unlock(&p->mutex);
        if (getenv("MELTICA_TEST_LOG") != NULL) {
            (void)!write(STDERR_FILENO, bytes, (size_t)got);
        }
    }
    (void)pthread_mutex_lock(&p->mutex);
    p->log_ended = true;
    (void)pthread_cond_broadcast(&p->changed);
    (void)pthread_mutex_unlock(&p->mutex);
    return NULL;
}

void process_start(struct process *p, const char *name, const char *url,
                   const char *const *arguments)
{
    char path[512];
    const char *args[ARGUMENTS_MAX] = { path,        "--nats-url",  url, "--http-host",
                                        "127.0.0.1", "--http-port", "0" };
    size_t count = 7;
    for (size_t i = 0; arguments != NULL && arguments[i] != NULL; i++) {
        assert_true(count < ARGUMENTS_MAX - 1);
        args[count++] = arguments[i];
    }
    (void)snprintf(path, sizeof path, "%s/bin/%s", getenv("MELTICA_BINARY_DIR"), name);
    int out[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    *p = (struct process){ .fd = out[0] };
    p->log = calloc(1, LOG_BYTES_MAX);
    assert_non_null(p->log);
    (void)pthread_mutex_init(&p->mutex, NULL);
    (void)pthread_cond_init(&p->changed, NULL);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(out[1], STDERR_FILENO);
        (void)execv(path, (char *const *)(uintptr_t)args);
        _exit(127);
    }
    (void)close(out[1]);
    assert_int_equal(pthread_create(&p->reader, NULL, read_log, p), 0);
}

static bool wait_log(struct process *p, const char *text, size_t *from, int64_t for_ns)
{
    const struct timespec end = until(for_ns);
    (void)pthread_mutex_lock(&p->mutex);
    const char *at = NULL;
    int rc = 0;
    while ((at = strstr(p->log + *from, text)) == NULL && rc == 0 && !p->log_ended && for_ns > 0) {
        rc = pthread_cond_clockwait(&p->changed, &p->mutex, CLOCK_MONOTONIC, &end);
    }
    if (at != NULL) {
        *from = (size_t)(at - p->log) + strlen(text);
    }
    (void)pthread_mutex_unlock(&p->mutex);
    return at != NULL;
}

void process_wait_log(struct process *p, const char *text, size_t *from)
{
    if (!wait_log(p, text, from, WAIT_NS)) {
        fail_msg("'%s' was not logged: %s", text, p->log);
    }
}

bool process_has_logged(struct process *p, const char *text)
{
    size_t from = 0;
    return wait_log(p, text, &from, 0);
}

static int reap(struct process *p, int signal)
{
    int status = 0;
    (void)kill(p->pid, signal);
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    (void)pthread_join(p->reader, NULL);
    (void)close(p->fd);
    const char *report = strstr(p->log, "Sanitizer: ");
    if (report != NULL) {
        print_error("%s\n", report);
        abort();
    }
    free(p->log);
    (void)pthread_mutex_destroy(&p->mutex);
    (void)pthread_cond_destroy(&p->changed);
    p->pid = 0;
    return status;
}

void process_kill(struct process *p)
{
    if (p->pid != 0) {
        (void)reap(p, SIGKILL);
    }
}

int process_end(struct process *p)
{
    const int status = reap(p, SIGTERM);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int health_port(struct process *p)
{
    size_t from = 0;
    process_wait_log(p, "\"event\":\"listening\"", &from);
    process_wait_log(p, "\n", &from);
    (void)pthread_mutex_lock(&p->mutex);
    const char *line = strstr(p->log, "\"event\":\"listening\"");
    const char *port = strstr(line, "\"port\":");
    const int number = port != NULL ? (int)strtol(port + 7, NULL, 10) : 0;
    (void)pthread_mutex_unlock(&p->mutex);
    return number;
}

int process_get(struct process *p, const char *path, char *out, size_t size)
{
    const struct sockaddr_in to = { .sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)health_port(p)),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    char request[256];
    const int len = snprintf(request, sizeof request,
                             "GET %s HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", path);
    assert_int_equal(write(fd, request, (size_t)len), len);
    size_t used = 0;
    ssize_t got = 0;
    while (used < size - 1 && (got = read(fd, out + used, size - 1 - used)) > 0) {
        used += (size_t)got;
    }
    out[used] = '\0';
    (void)close(fd);
    int code = 0;
    assert_int_equal(sscanf(out, "HTTP/1.%*d %d", &code), 1);
    return code;
}

uint64_t process_metric(struct process *process, const char *series)
{
    static char page[1u << 18];
    char text[128];
    (void)snprintf(text, sizeof text, "\n%s ", series);
    assert_int_equal(process_get(process, "/metrics", page, sizeof page), 200);
    const char *at = strstr(page, text);
    if (at == NULL) {
        fail_msg("no metric %s", series);
        return 0;
    }
    return strtoull(at + strlen(text), NULL, 10);
}

bool process_page_until(struct process *process, const char *line, char *page, size_t size)
{
    const int64_t until_ns = mlt_clock_mono_ns() + WAIT_NS;
    char text[128];
    (void)snprintf(text, sizeof text, "\n%s\n", line);
    do {
        assert_int_equal(process_get(process, "/metrics", page, size), 200);
    } while (strstr(page, text) == NULL && mlt_clock_mono_ns() < until_ns);
    return strstr(page, text) != NULL;
}

/* ---- the Dispatcher ---- */

const char *feeder_token(unsigned instrument)
{
    static const char *const tokens[FLOW_INSTRUMENTS] = { "BTC-USDT", "ETH-USDT", "SOL-USDT",
                                                          "XRP-USDT", "ADA-USDT", "BNB-BTC",
                                                          "LTC-BTC",  "DOT-EUR" };
    return tokens[instrument];
}

static size_t pack_table(const struct feeder *f, bool lists, uint8_t *out)
{
    Meltica__V1__Table table = MELTICA__V1__TABLE__INIT;
    Meltica__V1__TableSubscription subscriptions[MLT_EVENT_TYPE_COUNT];
    Meltica__V1__TableSubscription *pointers[MLT_EVENT_TYPE_COUNT];
    char everything[] = "*";
    char *instruments[] = { everything };
    table.revision = f->revision;
    table.boot = f->boot;
    table.epoch = f->epoch;
    for (unsigned t = 1; lists && t < MLT_EVENT_TYPE_COUNT; t++) {
        if ((f->types >> t & 1) != 0) {
            meltica__v1__table_subscription__init(&subscriptions[t]);
            subscriptions[t].type = (Meltica__V1__EventType)t;
            subscriptions[t].instruments = instruments;
            subscriptions[t].n_instruments = 1;
            pointers[table.n_subscriptions++] = &subscriptions[t];
        }
    }
    table.subscriptions = pointers;
    return meltica__v1__table__pack(&table, out);
}

static void on_table(void *ctx, const struct mlt_bus_message *message)
{
    struct feeder *f = ctx;
    uint8_t bytes[1024];
    (void)pthread_mutex_lock(&f->mutex);
    const bool silent = f->silent;
    const size_t len = pack_table(f, true, bytes);
    (void)pthread_mutex_unlock(&f->mutex);
    if (!silent) {
        assert_int_equal(mlt_bus_reply(f->control, message->reply, mlt_slice_of(bytes, len), 0, ""),
                         MLT_OK);
    }
}

void feeder_start(struct feeder *f, const char *url)
{
    memset(f, 0, sizeof *f);
    (void)pthread_mutex_init(&f->mutex, NULL);
    (void)pthread_cond_init(&f->changed, NULL);
    f->revision = 1;
    f->boot = 4711;
    f->types = 1u << MLT_EVENT_TRADE | 1u << MLT_EVENT_BOOK_DELTA | 1u << MLT_EVENT_KLINE;
    f->control = url_connect(url, NULL);
    const struct mlt_bus_options data = { .kind = MLT_BUS_DATA, .url = url, .name = "feeder" };
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_bus_connect(&data, &f->data, &err), MLT_OK);
    assert_int_equal(mlt_bus_wait_connected(f->data, WAIT_NS), MLT_OK);
    const struct mlt_hop_sender_options options = { .service = "dispatcher",
                                                    .subject = "meltica.int.canonical",
                                                    .partitions = FLOW_PARTITIONS,
                                                    .boot = mlt_random64(),
                                                    .keep_ns = KEEP_NS };
    assert_int_equal(mlt_hop_sender_create(f->data, &options, &f->sender, &err), MLT_OK);
    const struct mlt_bus_subscribe_options table = { .subject = "meltica.int.table" };
    assert_int_equal(mlt_bus_subscribe(f->control, &table, on_table, f, &f->table_sub, &err),
                     MLT_OK);
    feeder_set_table(f, f->revision, f->types, false);
}

void feeder_set_table(struct feeder *f, uint64_t revision, unsigned types, bool silent)
{
    uint8_t bytes[1024];
    (void)pthread_mutex_lock(&f->mutex);
    f->revision = revision;
    f->types = types;
    f->silent = silent;
    const size_t len = pack_table(f, false, bytes);
    (void)pthread_mutex_unlock(&f->mutex);
    if (!silent) {
        assert_int_equal(
            mlt_bus_publish(f->control, "meltica.int.table.changed", mlt_slice_of(bytes, len)),
            MLT_OK);
    }
}

void feeder_send_event(struct feeder *f, const struct mlt_event *event)
{
    const uint32_t partition = mlt_instrument_slot(event->instrument) % FLOW_PARTITIONS;
    uint8_t *out = NULL;
    assert_int_equal(mlt_hop_begin(f->sender, partition, mlt_event_encoded_size(event), &out),
                     MLT_OK);
    (void)mlt_event_encode(event, out);
    mlt_hop_end(f->sender, partition);
}

static void feed(struct feeder *f, unsigned instrument, enum mlt_event_type type, int64_t position)
{
    struct mlt_event e;
    memset(&e, 0, sizeof e);
    e.instrument = mlt_slice_of_string(feeder_token(instrument));
    e.type = type;
    e.first = e.last = position;
    e.route_revision = f->revision;
    e.stamps.received = e.stamps.adapted = e.stamps.dispatched = mlt_clock_wall_ns();
    e.stamps.exchange = e.stamps.conducted = e.stamps.published = MLT_STAMP_UNKNOWN;
    int64_t discriminator = 0;
    const int64_t one = 1;
    if (type == MLT_EVENT_KLINE) {
        /* Two intervals in turn: pairs of updates share an event time. */
        e.u.kline.interval = position % 2 == 0 ? MLT_SLICE_LITERAL("1m") : MLT_SLICE_LITERAL("5m");
        e.last = (position + 1) / 2;
        e.first = 1;
        e.u.kline.closed = true; /* one that is open may be merged where there is no room */
        discriminator = (int64_t)mlt_fnv1a64(MLT_FNV1A64_INIT, e.u.kline.interval);
    } else if (type == MLT_EVENT_TRADE) {
        e.u.trade.trade_id = position;
    } else {
        e.u.book_delta.bids = (struct mlt_levels){ -2, -8, 1, &one, &one };
    }
    e.key = mlt_event_key(e.instrument, type, e.first, e.last, discriminator);
    feeder_send_event(f, &e);
}

void feeder_send(struct feeder *f, unsigned instrument)
{
    const int64_t position = ++f->position[instrument];
    feed(f, instrument, MLT_EVENT_TRADE, position);
    feed(f, instrument, MLT_EVENT_BOOK_DELTA, position);
    feed(f, instrument, MLT_EVENT_KLINE, position);
}

/* ---- depth ---- */

static void send_depth(struct feeder *f, unsigned instrument, struct mlt_event *e)
{
    e->instrument = mlt_slice_of_string(feeder_token(instrument));
    e->route_revision = 2;
    e->stamps.received = e->stamps.adapted = e->stamps.dispatched = mlt_clock_wall_ns();
    e->stamps.exchange = e->stamps.conducted = e->stamps.published = MLT_STAMP_UNKNOWN;
    e->key = mlt_event_key(e->instrument, e->type, e->first, e->last, 0);
    e->quality |= MLT_QUALITY_WANTS_BOOK;
    feeder_send_event(f, e);
}

void feeder_send_depth(struct feeder *f, unsigned instrument, int64_t id)
{
    const int64_t bid = 1000 - id % FEEDER_LEVELS, ask = 1001 + id % FEEDER_LEVELS;
    struct mlt_event e = { .type = MLT_EVENT_BOOK_DELTA, .first = id, .last = id };
    e.u.book_delta.bids = (struct mlt_levels){ -2, -3, 1, &bid, &id };
    e.u.book_delta.asks = (struct mlt_levels){ -2, -3, 1, &ask, &id };
    send_depth(f, instrument, &e);
}

void feeder_send_answer(struct feeder *f, unsigned instrument, int64_t id)
{
    int64_t bids[FEEDER_LEVELS], asks[FEEDER_LEVELS], quantities[FEEDER_LEVELS];
    for (int64_t level = 0; level < FEEDER_LEVELS; level++) {
        bids[level] = 1000 - level;
        asks[level] = 1001 + level;
        quantities[level] = id - (id - level) % FEEDER_LEVELS; /* the last one that set it */
    }
    struct mlt_event e = { .type = MLT_EVENT_BOOK_SNAPSHOT,
                           .first = id,
                           .last = id,
                           .rest_function = MLT_SLICE_LITERAL("depth") };
    e.u.book_snapshot =
        (struct mlt_book_snapshot){ .last_update_id = id,
                                    .bids = { -2, -3, FEEDER_LEVELS, bids, quantities },
                                    .asks = { -2, -3, FEEDER_LEVELS, asks, quantities },
                                    .requested_depth = 1000 };
    send_depth(f, instrument, &e);
}

void feeder_fence(struct feeder *f, uint32_t partition, uint64_t epoch)
{
    Meltica__V1__HeadsRequest request = MELTICA__V1__HEADS_REQUEST__INIT;
    request.epoch = epoch;
    request.partition = partition;
    uint8_t bytes[64];
    const size_t len = meltica__v1__heads_request__pack(&request, bytes);
    struct mlt_buf answer;
    mlt_buf_init(&answer, 1u << 20);
    struct mlt_error err = MLT_ERROR_INIT;
    assert_int_equal(mlt_bus_request(f->control, "meltica.int.out.heads", mlt_slice_of(bytes, len),
                                     WAIT_NS, &answer, &err),
                     MLT_OK);
    mlt_buf_fini(&answer);
}

struct run {
    struct feeder *feeder;
    int64_t interval_ns;
};

static void *run(void *arg)
{
    struct run r = *(struct run *)arg;
    free(arg);
    struct feeder *f = r.feeder;
    int64_t at = mlt_clock_mono_ns();
    (void)pthread_mutex_lock(&f->mutex);
    while (!f->stop) {
        (void)pthread_mutex_unlock(&f->mutex);
        (void)mlt_hop_wait_room(f->sender, 2 * MLT_NS_PER_S);
        for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
            feeder_send(f, i);
        }
        at += r.interval_ns;
        const struct timespec next = { .tv_sec = at / MLT_NS_PER_S, .tv_nsec = at % MLT_NS_PER_S };
        (void)pthread_mutex_lock(&f->mutex);
        while (!f->stop &&
               pthread_cond_clockwait(&f->changed, &f->mutex, CLOCK_MONOTONIC, &next) == 0) {
        }
    }
    (void)pthread_mutex_unlock(&f->mutex);
    return NULL;
}

void feeder_run(struct feeder *f, unsigned rounds_per_s)
{
    struct run *r = malloc(sizeof *r);
    assert_non_null(r);
    *r = (struct run){ f, MLT_NS_PER_S / rounds_per_s };
    f->stop = false;
    assert_int_equal(pthread_create(&f->thread, NULL, run, r), 0);
    f->running = true;
}

void feeder_pause(struct feeder *f)
{
    if (f->running) {
        (void)pthread_mutex_lock(&f->mutex);
        f->stop = true;
        (void)pthread_cond_broadcast(&f->changed);
        (void)pthread_mutex_unlock(&f->mutex);
        (void)pthread_join(f->thread, NULL);
        f->running = false;
    }
}

void feeder_end(struct feeder *f)
{
    if (f->control == NULL) {
        return; /* never started */
    }
    feeder_pause(f);
    mlt_bus_unsubscribe(f->table_sub);
    mlt_hop_sender_destroy(f->sender, 0);
    mlt_bus_destroy(f->data, 0);
    mlt_bus_destroy(f->control, 0);
    f->control = NULL;
    (void)pthread_mutex_destroy(&f->mutex);
    (void)pthread_cond_destroy(&f->changed);
}

/* ---- the consumer ---- */

static int instrument_of(struct mlt_slice token)
{
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        if (mlt_slice_equal_string(token, feeder_token(i))) {
            return (int)i;
        }
    }
    return -1;
}

static void problem(struct consumer *c, uint64_t *count, const struct mlt_event *e,
                    const char *what, const struct consumer_channel *stood)
{
    if ((*count)++ == 0 && c->first_problem[0] == '\0') {
        (void)snprintf(
            c->first_problem, sizeof c->first_problem,
            "%s: %.*s %s epoch %llu sequence %llu position %lld; stood at %llu %llu %lld", what,
            MLT_SLICE_FMT(e->instrument), mlt_event_type_word((int)e->type),
            (unsigned long long)e->epoch, (unsigned long long)e->sequence, (long long)e->last,
            (unsigned long long)stood->epoch, (unsigned long long)stood->sequence,
            (long long)stood->position);
    }
}

static void check_heads(struct consumer *c, const struct mlt_event *e,
                        struct consumer_channel *channels, uint64_t epoch, bool exact,
                        uint64_t *count, const char *what)
{
    for (size_t h = 0; h < e->u.status.head_count; h++) {
        const struct mlt_head *head = &e->u.status.heads[h];
        const struct consumer_channel *stood = &channels[head->type];
        const bool behind = stood->epoch != epoch || stood->sequence < head->sequence;
        if (behind || (exact && stood->sequence != head->sequence)) {
            problem(c, count, e, what, stood);
        }
    }
}

static void on_status(struct consumer *c, const struct mlt_event *e,
                      struct consumer_channel *channels)
{
    uint64_t newest = 0;
    for (size_t t = 0; t < MLT_EVENT_TYPE_COUNT; t++) {
        newest = channels[t].epoch > newest ? channels[t].epoch : newest;
    }
    if (e->u.status.kind == MLT_STATUS_LOST) {
        problem(c, &c->lost, e, "lost", &channels[MLT_EVENT_STATUS]);
    } else if (e->u.status.kind == MLT_STATUS_HEADS) {
        check_heads(c, e, channels, e->epoch, false, &c->bad_heads, "heads");
    } else if (e->u.status.kind == MLT_STATUS_EPOCH_STARTED) {
        c->epochs++;
        if (e->u.status.previous_epoch != newest) {
            problem(c, &c->bad_epochs, e, "previous epoch", &channels[MLT_EVENT_STATUS]);
        }
        check_heads(c, e, channels, newest, true, &c->bad_epochs, "last of the previous epoch");
    }
}

static void accept_event(struct consumer *c, const struct mlt_event *e,
                         struct consumer_channel *channels)
{
    struct consumer_channel *channel = &channels[e->type];
    if (e->sequence > 0 && (e->epoch < channel->epoch ||
                            (e->epoch == channel->epoch && e->sequence <= channel->sequence))) {
        c->ignored++;
        return;
    }
    if (e->type == MLT_EVENT_STATUS) {
        on_status(c, e, channels);
    }
    if (e->sequence == 0) {
        return;
    }
    c->events++;
    const uint64_t expected = e->epoch == channel->epoch ? channel->sequence + 1 : 1;
    if (e->sequence != expected) {
        problem(c, &c->holes, e, "hole", channel);
    }
    /* The first of an epoch is EPOCH_STARTED, on the STATUS channel. */
    if (channels[MLT_EVENT_STATUS].epoch != e->epoch && e->type != MLT_EVENT_STATUS) {
        problem(c, &c->bad_epochs, e, "before its epoch started", &channels[MLT_EVENT_STATUS]);
    }
    int64_t position = e->last;
    if (e->type == MLT_EVENT_KLINE) {
        position = 2 * e->last - (mlt_slice_equal_string(e->u.kline.interval, "5m") ? 1 : 0);
    }
    if (e->type != MLT_EVENT_STATUS && position != channel->position + 1) {
        problem(c, &c->disorder, e, "position", channel);
    }
    channel->epoch = e->epoch;
    channel->sequence = e->sequence;
    channel->position = position;
}

void consumer_take(struct consumer *c, struct mlt_slice bytes)
{
    struct mlt_event e;
    (void)pthread_mutex_lock(&c->mutex);
    mlt_arena_reset(&c->arena);
    const bool ok = mlt_event_decode(bytes, &c->arena, &e) == MLT_OK;
    const int instrument = ok ? instrument_of(e.instrument) : -1;
    if (instrument >= 0) {
        accept_event(c, &e, c->channels[instrument]);
    } else {
        c->unknown++;
    }
    (void)pthread_cond_broadcast(&c->changed);
    (void)pthread_mutex_unlock(&c->mutex);
}

static void on_message(void *ctx, const struct mlt_bus_message *message)
{
    consumer_take(ctx, message->payload);
}

void consumer_start(struct consumer *c, const char *url)
{
    memset(c, 0, sizeof *c);
    (void)pthread_mutex_init(&c->mutex, NULL);
    (void)pthread_cond_init(&c->changed, NULL);
    mlt_arena_init(&c->arena, 4096, 1u << 20);
    if (url != NULL) {
        c->bus = url_connect(url, NULL);
        const struct mlt_bus_subscribe_options options = { .subject = "meltica.data.*",
                                                           .pending_count_max = 1 << 20,
                                                           .pending_bytes_max = 256u << 20 };
        struct mlt_error err = MLT_ERROR_INIT;
        assert_int_equal(mlt_bus_subscribe(c->bus, &options, on_message, c, &c->sub, &err), MLT_OK);
        /* A round trip: the server has the subscription. */
        assert_true(mlt_bus_rtt_ns(c->bus) >= 0);
    }
}

static bool reached(const struct consumer *c, const struct feeder *f)
{
    for (unsigned i = 0; i < FLOW_INSTRUMENTS; i++) {
        if (c->channels[i][MLT_EVENT_TRADE].position < f->position[i] ||
            c->channels[i][MLT_EVENT_BOOK_DELTA].position < f->position[i] ||
            c->channels[i][MLT_EVENT_KLINE].position < f->position[i]) {
            return false;
        }
    }
    return true;
}

void consumer_wait(struct consumer *c, const struct feeder *f)
{
    const struct timespec end = until(WAIT_NS);
    (void)pthread_mutex_lock(&c->mutex);
    int rc = 0;
    while (!reached(c, f) && rc == 0) {
        rc = pthread_cond_clockwait(&c->changed, &c->mutex, CLOCK_MONOTONIC, &end);
    }
    const bool ok = reached(c, f);
    (void)pthread_mutex_unlock(&c->mutex);
    if (!ok) {
        fail_msg("only %llu events came; first problem: %s", (unsigned long long)c->events,
                 c->first_problem);
    }
}

static bool wait_count(struct consumer *c, const uint64_t *count, uint64_t least)
{
    const struct timespec end = until(WAIT_NS);
    (void)pthread_mutex_lock(&c->mutex);
    int rc = 0;
    while (*count < least && rc == 0) {
        rc = pthread_cond_clockwait(&c->changed, &c->mutex, CLOCK_MONOTONIC, &end);
    }
    const bool ok = *count >= least;
    (void)pthread_mutex_unlock(&c->mutex);
    return ok;
}

bool consumer_wait_events(struct consumer *c, uint64_t events)
{
    return wait_count(c, &c->events, events);
}

bool consumer_wait_epochs(struct consumer *c, uint64_t epochs)
{
    return wait_count(c, &c->epochs, epochs);
}

uint64_t consumer_events(struct consumer *c)
{
    (void)pthread_mutex_lock(&c->mutex);
    const uint64_t events = c->events;
    (void)pthread_mutex_unlock(&c->mutex);
    return events;
}

void consumer_assert_clean(struct consumer *c)
{
    (void)pthread_mutex_lock(&c->mutex);
    const uint64_t problems =
        c->holes + c->disorder + c->bad_epochs + c->bad_heads + c->lost + c->unknown;
    (void)pthread_mutex_unlock(&c->mutex);
    if (problems > 0) {
        fail_msg("holes %llu, disorder %llu, bad epochs %llu, bad heads %llu, lost %llu, unknown "
                 "%llu; first: %s",
                 (unsigned long long)c->holes, (unsigned long long)c->disorder,
                 (unsigned long long)c->bad_epochs, (unsigned long long)c->bad_heads,
                 (unsigned long long)c->lost, (unsigned long long)c->unknown, c->first_problem);
    }
}

void consumer_end(struct consumer *c)
{
    if (c->bus != NULL) {
        mlt_bus_unsubscribe(c->sub);
        mlt_bus_destroy(c->bus, 0);
        c->bus = NULL;
    }
    mlt_arena_fini(&c->arena);
    (void)pthread_mutex_destroy(&c->mutex);
    (void)pthread_cond_destroy(&c->changed);
}
