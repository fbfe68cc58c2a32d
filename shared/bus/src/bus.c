/* Connections to NATS: life, state, figures. What is sent is in publish.c, what a DATA bus does on
 * its own thread in loop.c. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connection.h"
#include "meltica/base/hash.h"
#include "meltica/base/log.h"

#define BUFFERED_BYTES_MAX (4u << 20)

static const struct {
    natsStatus from;
    enum mlt_status to;
} status_map[] = {
    { NATS_CONNECTION_CLOSED, MLT_E_CLOSED },
    { NATS_CONNECTION_DISCONNECTED, MLT_E_CLOSED },
    { NATS_DRAINING, MLT_E_CLOSED },
    { NATS_NOT_YET_CONNECTED, MLT_E_CLOSED },
    { NATS_NO_SERVER, MLT_E_CONNECT },
    { NATS_STALE_CONNECTION, MLT_E_CONNECT },
    { NATS_IO_ERROR, MLT_E_IO },
    { NATS_SYS_ERROR, MLT_E_IO },
    { NATS_CONNECTION_AUTH_FAILED, MLT_E_AUTH },
    { NATS_NOT_PERMITTED, MLT_E_AUTH },
    { NATS_SSL_ERROR, MLT_E_CONFIG },
    { NATS_SECURE_CONNECTION_WANTED, MLT_E_CONFIG },
    { NATS_SECURE_CONNECTION_REQUIRED, MLT_E_CONFIG },
    { NATS_ADDRESS_MISSING, MLT_E_CONFIG },
    { NATS_TIMEOUT, MLT_E_TIMEOUT },
    { NATS_NO_RESPONDERS, MLT_E_UNAVAILABLE },
    { NATS_NOT_FOUND, MLT_E_NOT_FOUND },
    { NATS_INSUFFICIENT_BUFFER, MLT_E_FULL },
    { NATS_SLOW_CONSUMER, MLT_E_FULL },
    { NATS_NO_MEMORY, MLT_E_NOMEM },
    { NATS_MAX_PAYLOAD, MLT_E_TOO_BIG },
    { NATS_LINE_TOO_LONG, MLT_E_TOO_BIG },
    { NATS_INVALID_ARG, MLT_E_INVALID },
    { NATS_INVALID_SUBJECT, MLT_E_INVALID },
    { NATS_INVALID_QUEUE_NAME, MLT_E_INVALID },
    { NATS_INVALID_SUBSCRIPTION, MLT_E_INVALID },
    { NATS_INVALID_TIMEOUT, MLT_E_INVALID },
    { NATS_PROTOCOL_ERROR, MLT_E_PROTOCOL },
    { NATS_NO_SERVER_SUPPORT, MLT_E_VERSION },
    { NATS_LIMIT_REACHED, MLT_E_LIMIT },
    { NATS_MISMATCH, MLT_E_CONFLICT },
};

enum mlt_status mlt_bus_status(natsStatus status, struct mlt_error *err, const char *what)
{
    enum mlt_status to = MLT_E_IO;
    if (status == NATS_OK) {
        return MLT_OK;
    }
    for (size_t i = 0; i < sizeof status_map / sizeof status_map[0]; i++) {
        if (status_map[i].from == status) {
            to = status_map[i].to;
            break;
        }
    }
    return mlt_error_set_foreign(err, to, "nats", (int)status, "%s: %s", what,
                                 natsStatus_GetText(status));
}

void mlt_bus_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(cond, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

bool mlt_bus_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t deadline_mono_ns)
{
    const struct timespec at = { .tv_sec = (time_t)(deadline_mono_ns / MLT_NS_PER_S),
                                 .tv_nsec = (long)(deadline_mono_ns % MLT_NS_PER_S) };
    return pthread_cond_timedwait(cond, mutex, &at) != ETIMEDOUT;
}

bool mlt_bus_subject_valid(const char *subject)
{
    size_t len = 0;
    char before = '.';
    if (subject == NULL) {
        return false;
    }
    for (; subject[len] != '\0'; len++) {
        const char c = subject[len];
        if (len == MLT_BUS_SUBJECT_BYTES_MAX || (unsigned char)c <= ' ' || c == 0x7f || c == '*' ||
            c == '>' || (c == '.' && before == '.')) {
            return false;
        }
        before = c;
    }
    return before != '.'; /* also when empty */
}

bool mlt_bus_pattern_valid(const char *subject)
{
    char plain[MLT_BUS_SUBJECT_BYTES_MAX + 1];
    if (subject == NULL || strlen(subject) >= sizeof plain) {
        return false;
    }
    size_t len = 0;
    for (const char *c = subject; *c != '\0'; c++) {
        const bool alone = (c == subject || c[-1] == '.') && (c[1] == '.' || c[1] == '\0');
        const bool wildcard = alone && (*c == '*' || (*c == '>' && c[1] == '\0'));
        plain[len] = *c;
        if (wildcard) {
            plain[len] = 'x';
        }
        len++;
    }
    plain[len] = '\0';
    return mlt_bus_subject_valid(plain);
}

/* ---- the connection in use ---- */

struct link *mlt_bus_link_acquire(struct mlt_bus *bus)
{
    (void)pthread_rwlock_rdlock(&bus->link_lock);
    struct link *link = bus->link;
    if (link != NULL) {
        atomic_fetch_add(&link->refs, 1);
    }
    (void)pthread_rwlock_unlock(&bus->link_lock);
    return link;
}

void mlt_bus_link_release(struct link *link)
{
    if (atomic_fetch_sub(&link->refs, 1) == 1) {
        natsConnection_Destroy(link->nc);
        free(link);
    }
}

bool mlt_bus_is_data(const struct mlt_bus *bus)
{
    return bus->kind == MLT_BUS_DATA;
}

natsConnection *mlt_bus_nats(struct mlt_bus *bus)
{
    return bus->kind == MLT_BUS_CONTROL ? bus->link->nc : NULL;
}

/* ---- state ---- */

void mlt_bus_signal_room(struct mlt_bus *bus)
{
    if (atomic_load(&bus->room_waiters) > 0) {
        (void)pthread_mutex_lock(&bus->room_lock);
        bus->room_turn++;
        (void)pthread_cond_broadcast(&bus->room);
        (void)pthread_mutex_unlock(&bus->room_lock);
    }
}

void mlt_bus_report(struct mlt_bus *bus, bool connected, const char *reason)
{
    (void)pthread_mutex_lock(&bus->report_lock);
    (void)pthread_mutex_lock(&bus->state_lock);
    const bool change = !bus->told || bus->reported != connected;
    bus->told = true;
    bus->reported = connected;
    if (bus->kind == MLT_BUS_CONTROL) {
        atomic_store(&bus->up, connected);
    }
    (void)pthread_cond_broadcast(&bus->state_changed);
    (void)pthread_mutex_unlock(&bus->state_lock);
    if (change && !atomic_load(&bus->destroying)) {
        mlt_log(connected ? MLT_LOG_INFO : MLT_LOG_WARN,
                connected ? "bus_connected" : "bus_disconnected", reason, MLT_S("bus", bus->name));
        if (bus->on_state != NULL) {
            bus->on_state(bus->ctx, connected, reason);
        }
    }
    (void)pthread_mutex_unlock(&bus->report_lock);
    if (connected) {
        mlt_bus_signal_room(bus);
    }
}

bool mlt_bus_check_server(struct mlt_bus *bus, natsConnection *nc)
{
    char id[sizeof bus->server_id] = "", version[BUS_VERSION_BYTES_MAX] = "";
    if (natsConnection_GetConnectedServerId(nc, id, sizeof id) != NATS_OK) {
        id[0] = '\0';
    }
    (void)pthread_mutex_lock(&bus->state_lock);
    const bool known = id[0] != '\0' && strcmp(id, bus->server_id) == 0;
    const bool refused_before = bus->refused;
    (void)pthread_mutex_unlock(&bus->state_lock);
    if (known) {
        return !refused_before;
    }
    if (!mlt_bus_server_ask_version(nc, version, sizeof version)) {
        version[0] = '\0';
        mlt_log(MLT_LOG_WARN, "bus_version_unknown", "the server does not tell its version",
                MLT_S("bus", bus->name));
    }
    char reason[BUS_REASON_BYTES_MAX] = "";
    const int64_t payload_max = natsConnection_GetMaxPayload(nc);
    if (!mlt_bus_server_version_supported(version)) {
        (void)snprintf(reason, sizeof reason, "server version %s is below 2.10.0", version);
    } else if (bus->kind == MLT_BUS_DATA && payload_max < (int64_t)MLT_BUS_PAYLOAD_BYTES_MAX) {
        /* A batch that does not fit would stop its hop for good, at the worst moment. */
        (void)snprintf(reason, sizeof reason, "max_payload of the server is %lld, below %u",
                       (long long)payload_max, MLT_BUS_PAYLOAD_BYTES_MAX);
    }
    (void)pthread_mutex_lock(&bus->state_lock);
    (void)snprintf(bus->server_id, sizeof bus->server_id, "%s", id);
    (void)snprintf(bus->version, sizeof bus->version, "%s", version);
    (void)snprintf(bus->refusal, sizeof bus->refusal, "%s", reason);
    bus->refused = reason[0] != '\0';
    (void)pthread_mutex_unlock(&bus->state_lock);
    if (reason[0] != '\0') {
        mlt_bus_report(bus, false, reason);
    }
    return reason[0] == '\0';
}

bool mlt_bus_connected(const struct mlt_bus *bus)
{
    return atomic_load(&bus->up);
}

enum mlt_status mlt_bus_wait_connected(struct mlt_bus *bus, int64_t timeout_ns)
{
    const int64_t deadline = mlt_clock_mono_ns() + timeout_ns;
    bool in_time = true;
    (void)pthread_mutex_lock(&bus->state_lock);
    while (!atomic_load(&bus->up) && in_time) {
        in_time = mlt_bus_cond_wait(&bus->state_changed, &bus->state_lock, deadline);
    }
    (void)pthread_mutex_unlock(&bus->state_lock);
    return atomic_load(&bus->up) ? MLT_OK : MLT_E_TIMEOUT;
}

unsigned mlt_bus_generation(const struct mlt_bus *bus)
{
    return atomic_load(&bus->generation);
}

/* ---- callbacks of nats.c, on its callback thread ---- */

void mlt_bus_on_closed(natsConnection *nc, void *closure)
{
    struct mlt_bus *bus = closure;
    if (bus->kind == MLT_BUS_CONTROL && !atomic_load(&bus->destroying)) {
        const char *text = NULL;
        const natsStatus s = natsConnection_GetLastError(nc, &text);
        char why[BUS_REASON_BYTES_MAX];
        mlt_bus_why(bus, s, text, why, sizeof why);
        mlt_log(MLT_LOG_ERROR, "bus_closed", "nats.c gave the connection up for good",
                MLT_S("bus", bus->name), MLT_S("reason", why));
        /* It was away before, so that this is no change: said all the same. */
        (void)pthread_mutex_lock(&bus->state_lock);
        bus->told = false;
        (void)pthread_mutex_unlock(&bus->state_lock);
        mlt_bus_report(bus, false, "closed for good");
    }
    (void)pthread_mutex_lock(&bus->state_lock);
    bus->closed++;
    (void)pthread_cond_broadcast(&bus->state_changed);
    (void)pthread_mutex_unlock(&bus->state_lock);
}

/* nats.c may say an error of a connection (its drain that the end overtook) after it said that the
 * connection is closed, when its bus may be gone: errors are for those on this list. */
static pthread_mutex_t living_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mlt_bus *living;

static void enlist(struct mlt_bus *bus)
{
    (void)pthread_mutex_lock(&living_lock);
    bus->next_living = living;
    living = bus;
    (void)pthread_mutex_unlock(&living_lock);
}

static void delist(struct mlt_bus *bus)
{
    (void)pthread_mutex_lock(&living_lock);
    struct mlt_bus **at = &living;
    while (*at != NULL && *at != bus) {
        at = &(*at)->next_living;
    }
    if (*at != NULL) {
        *at = bus->next_living;
    }
    (void)pthread_mutex_unlock(&living_lock);
}

static void take_error(struct mlt_bus *bus, natsConnection *nc, natsSubscription *sub, natsStatus s)
{
    const char *text = NULL;
    if (s == NATS_SLOW_CONSUMER) {
        struct mlt_bus_stats stats; /* looks at the count while nats.c still has it */
        mlt_bus_get_stats(bus, &stats);
        mlt_log(MLT_LOG_WARN, "bus_slow_consumer", "a subscription's queue is full, messages drop",
                MLT_S("bus", bus->name), MLT_S("subject", natsSubscription_GetSubject(sub)));
        return;
    }
    atomic_fetch_add(&bus->counters.errors, 1);
    /* What it says of this error is the thread's: the connection has the last one alone, and a
     * publish that was refused would hide a subscription that was before it. */
    natsStatus said = NATS_OK;
    text = nats_GetLastError(&said);
    if (said != s || text == NULL) {
        (void)natsConnection_GetLastError(nc, &text);
    }
    if (s == NATS_NOT_PERMITTED) {
        mlt_bus_note_violation(bus, nc, text);
    }
    mlt_log(MLT_LOG_WARN, "bus_error", natsStatus_GetText(s), MLT_S("bus", bus->name),
            MLT_S("detail", text));
}

static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus s, void *closure)
{
    (void)pthread_mutex_lock(&living_lock); /* it cannot go meanwhile */
    struct mlt_bus *bus = living;
    while (bus != NULL && bus != closure) {
        bus = bus->next_living;
    }
    if (bus != NULL) {
        take_error(bus, nc, sub, s);
    }
    (void)pthread_mutex_unlock(&living_lock);
}

static void on_disconnected(natsConnection *nc, void *closure)
{
    struct mlt_bus *bus = closure;
    mlt_bus_forget_violation(bus, nc);
    atomic_fetch_add(&bus->counters.disconnects, 1);
    mlt_bus_report(bus, false, "disconnected");
}

/* The first connection of a CONTROL bus, or a later one: says so unless it is gone already. */
static void now_connected(struct mlt_bus *bus, natsConnection *nc)
{
    if (!mlt_bus_check_server(bus, nc)) {
        return; /* publishes and requests are refused from now on */
    }
    if (natsConnection_Status(nc) == NATS_CONN_STATUS_CONNECTED) {
        mlt_bus_report(bus, true, "connected");
    }
}

static void on_connected(natsConnection *nc, void *closure)
{
    struct mlt_bus *bus = closure;
    atomic_fetch_add(&bus->generation, 1);
    now_connected(bus, nc);
}

static void on_reconnected(natsConnection *nc, void *closure)
{
    struct mlt_bus *bus = closure;
    atomic_fetch_add(&bus->counters.reconnects, 1);
    on_connected(nc, bus);
}

/* Doubles from 50 ms to 1 s, with up to half of it more, so that many clients do not come at once.
 * Asked after each round of the servers that found none. */
static int64_t reconnect_delay_ms(natsConnection *nc, int attempts, void *closure)
{
    struct mlt_bus *bus = closure;
    int64_t wait = BUS_RECONNECT_MIN_MS;
    (void)nc;
    atomic_fetch_add(&bus->counters.attempts_failed, 1);
    for (int i = 1; i < attempts && wait < BUS_RECONNECT_MAX_MS; i++) {
        wait *= 2;
    }
    wait += (int64_t)(mlt_random64() % (uint64_t)(wait / 2));
    return wait < BUS_RECONNECT_MAX_MS ? wait : BUS_RECONNECT_MAX_MS;
}

/* ---- connect ---- */

static enum mlt_status outcome(const struct mlt_bus *bus, natsStatus s, const char *why,
                               struct mlt_error *err)
{
    switch (s) {
    case NATS_CONNECTION_AUTH_FAILED:
    case NATS_SSL_ERROR:
    case NATS_SECURE_CONNECTION_WANTED:
    case NATS_SECURE_CONNECTION_REQUIRED:
    case NATS_ADDRESS_MISSING:
    case NATS_NO_MEMORY:
        return mlt_error_set_foreign(err, mlt_bus_status(s, NULL, ""), "nats", (int)s,
                                     "connecting to NATS: %s", why);
    case NATS_INVALID_ARG:
        return mlt_error_set_foreign(err, MLT_E_CONFIG, "nats", (int)s, "URL of the NATS server");
    default: /* away: goes on trying */
        return bus->refused ? mlt_error_set(err, MLT_E_VERSION, "%s", bus->refusal) : MLT_OK;
    }
}

static enum mlt_status connect_data(struct mlt_bus *bus, struct mlt_error *err)
{
    enum mlt_status status = mlt_bus_loop_start(bus, err);
    if (status != MLT_OK) {
        return status;
    }
    (void)pthread_mutex_lock(&bus->state_lock);
    while (!bus->first_done) {
        (void)pthread_cond_wait(&bus->state_changed, &bus->state_lock);
    }
    status = outcome(bus, bus->first_status, bus->first_why, err);
    (void)pthread_mutex_unlock(&bus->state_lock);
    return status;
}

static natsStatus set_callbacks(struct mlt_bus *bus)
{
    natsStatus s = natsOptions_SetErrorHandler(bus->options, on_error, bus);
    if (s == NATS_OK) {
        s = natsOptions_SetClosedCB(bus->options, mlt_bus_on_closed, bus);
    }
    if (bus->kind == MLT_BUS_DATA) {
        return s;
    }
    if (s == NATS_OK) {
        s = natsOptions_SetDisconnectedCB(bus->options, on_disconnected, bus);
    }
    if (s == NATS_OK) {
        s = natsOptions_SetReconnectedCB(bus->options, on_reconnected, bus);
    }
    if (s == NATS_OK) {
        s = natsOptions_SetCustomReconnectDelay(bus->options, reconnect_delay_ms, bus);
    }
    return s;
}

/* Tries once in plain manner, so that wrong credentials are told to the caller; only then lets
 * nats.c try for ever. */
static enum mlt_status connect_control(struct mlt_bus *bus, struct mlt_error *err)
{
    struct link *link = malloc(sizeof *link);
    natsConnection *nc = NULL;
    if (link == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for a connection");
    }
    natsStatus s = natsConnection_Connect(&nc, bus->options);
    const bool at_once = s == NATS_OK;
    char why[BUS_REASON_BYTES_MAX];
    mlt_bus_why_here(bus, s, why, sizeof why);
    atomic_fetch_add(&bus->counters.attempts_failed, at_once ? 0 : 1);
    enum mlt_status status = outcome(bus, s, why, err);
    if (status == MLT_OK && !at_once) {
        mlt_bus_report(bus, false, why);
        s = natsOptions_SetRetryOnFailedConnect(bus->options, true, on_connected, bus);
        if (s == NATS_OK) {
            s = natsConnection_Connect(&nc, bus->options);
        }
        s = s == NATS_NOT_YET_CONNECTED ? NATS_OK : s;
        status = mlt_bus_status(s, err, "connecting to NATS");
    }
    if (status != MLT_OK) {
        free(link);
        return status;
    }
    link->nc = nc;
    atomic_init(&link->refs, 1);
    bus->link = link;
    (void)pthread_mutex_lock(&bus->state_lock);
    bus->connections = 1;
    (void)pthread_mutex_unlock(&bus->state_lock);
    if (natsConnection_Status(nc) == NATS_CONN_STATUS_CONNECTED) {
        now_connected(bus, nc);
    }
    (void)pthread_mutex_lock(&bus->state_lock);
    status = outcome(bus, NATS_OK, "", err);
    (void)pthread_mutex_unlock(&bus->state_lock);
    return status;
}

static void bus_free(struct mlt_bus *bus)
{
    delist(bus);
    if (bus->kind == MLT_BUS_DATA) {
        mlt_bus_loop_fini(bus);
    }
    natsOptions_Destroy(bus->options);
    (void)pthread_rwlock_destroy(&bus->link_lock);
    (void)pthread_mutex_destroy(&bus->report_lock);
    (void)pthread_mutex_destroy(&bus->state_lock);
    (void)pthread_cond_destroy(&bus->state_changed);
    (void)pthread_mutex_destroy(&bus->room_lock);
    (void)pthread_cond_destroy(&bus->room);
    (void)pthread_mutex_destroy(&bus->flush_lock);
    (void)pthread_mutex_destroy(&bus->subs_lock);
    mlt_bus_names_drop(bus);
    free(bus);
}

static struct mlt_bus *bus_make(const struct mlt_bus_options *options)
{
    struct mlt_bus *bus = calloc(1, sizeof *bus);
    if (bus == NULL) {
        return NULL;
    }
    const size_t buffered =
        options->buffered_bytes_max > 0 ? options->buffered_bytes_max : BUFFERED_BYTES_MAX;
    bus->kind = options->kind;
    bus->spacing_ns = options->spacing_ns > 0 ? options->spacing_ns : MLT_BUS_SPACING_NS;
    bus->buffered_max = buffered < INT_MAX / 4 ? (int)buffered : INT_MAX / 4;
    bus->on_state = options->on_state;
    bus->ctx = options->ctx;
    bus->loop.epoll_fd = bus->loop.event_fd = bus->loop.timer_fd = -1;
    (void)pthread_rwlock_init(&bus->link_lock, NULL);
    (void)pthread_mutex_init(&bus->report_lock, NULL);
    (void)pthread_mutex_init(&bus->state_lock, NULL);
    mlt_bus_cond_init(&bus->state_changed);
    (void)pthread_mutex_init(&bus->room_lock, NULL);
    mlt_bus_cond_init(&bus->room);
    (void)pthread_mutex_init(&bus->flush_lock, NULL);
    (void)pthread_mutex_init(&bus->subs_lock, NULL);
    const bool named = mlt_bus_names_take(bus, options);
    (void)snprintf(bus->inbox_prefix, sizeof bus->inbox_prefix, "%s",
                   options->inbox_prefix != NULL ? options->inbox_prefix : "");
    if (named) {
        enlist(bus);
        return bus;
    }
    mlt_bus_names_drop(bus);
    free(bus);
    return NULL;
}

enum mlt_status mlt_bus_connect(const struct mlt_bus_options *options, struct mlt_bus **bus,
                                struct mlt_error *err)
{
    struct mlt_bus *made = bus_make(options);
    if (made == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for a connection");
    }
    struct mlt_bus_options own = *options;
    own.creds_file = made->creds_file; /* read at each connection */
    enum mlt_status status = mlt_bus_options_make(&own, &made->options, err);
    if (status == MLT_OK) {
        status = mlt_bus_status(set_callbacks(made), err, "callbacks");
    }
    if (status == MLT_OK && made->kind == MLT_BUS_DATA) {
        status = mlt_bus_loop_init(made, err);
    }
    if (status != MLT_OK) {
        bus_free(made);
        return status;
    }
    status = made->kind == MLT_BUS_DATA ? connect_data(made, err) : connect_control(made, err);
    if (status != MLT_OK) {
        mlt_bus_destroy(made, 0);
        return status;
    }
    *bus = made;
    return MLT_OK;
}

/* ---- destroy ---- */

static bool all_closed(const struct mlt_bus *bus)
{
    return bus->closed == bus->connections &&
           (bus->kind == MLT_BUS_CONTROL || bus->detached == bus->connections);
}

/* Until nats.c has let go of every connection, or the deadline. */
static bool wait_closed(struct mlt_bus *bus, int64_t deadline_ns)
{
    bool in_time = true;
    (void)pthread_mutex_lock(&bus->state_lock);
    while (!all_closed(bus) && in_time) {
        in_time = mlt_bus_cond_wait(&bus->state_changed, &bus->state_lock, deadline_ns);
    }
    const bool closed = all_closed(bus);
    (void)pthread_mutex_unlock(&bus->state_lock);
    return closed;
}

static void end_publish_waits(struct mlt_bus *bus)
{
    (void)pthread_mutex_lock(&bus->room_lock);
    bus->room_turn++;
    (void)pthread_cond_broadcast(&bus->room);
    while (atomic_load(&bus->room_waiters) > 0) {
        (void)pthread_cond_wait(&bus->room, &bus->room_lock);
    }
    (void)pthread_mutex_unlock(&bus->room_lock);
}

static void close_link(struct mlt_bus *bus, int64_t drain_ns)
{
    struct link *link = mlt_bus_link_acquire(bus);
    if (link == NULL) {
        return;
    }
    if (drain_ns > 0 && atomic_load(&bus->up) &&
        natsConnection_DrainTimeout(link->nc, drain_ns / MLT_NS_PER_MS + 1) == NATS_OK) {
        (void)wait_closed(bus, mlt_clock_mono_ns() + drain_ns);
    }
    natsConnection_Close(link->nc);
    mlt_bus_link_release(link);
}

void mlt_bus_destroy(struct mlt_bus *bus, int64_t drain_ns)
{
    if (bus == NULL) {
        return;
    }
    atomic_store(&bus->destroying, true);
    end_publish_waits(bus);
    close_link(bus, drain_ns);
    if (bus->kind == MLT_BUS_DATA) {
        mlt_bus_loop_stop(bus);
        close_link(bus, 0); /* one that came up meanwhile */
    }
    (void)wait_closed(bus, INT64_MAX);
    (void)pthread_mutex_lock(&bus->subs_lock);
    mlt_bus_subscriptions_end_all(bus);
    (void)pthread_mutex_unlock(&bus->subs_lock);
    if (bus->link != NULL) {
        mlt_bus_link_release(bus->link);
    }
    bus_free(bus);
}

/* ---- figures ---- */

static uint64_t unwritten_bytes(struct mlt_bus *bus)
{
    struct link *link = mlt_bus_link_acquire(bus);
    if (link == NULL) {
        return 0;
    }
    const int bytes = natsConnection_Buffered(link->nc);
    mlt_bus_link_release(link);
    return bytes > 0 ? (uint64_t)bytes : 0;
}

void mlt_bus_get_stats(const struct mlt_bus *bus, struct mlt_bus_stats *out)
{
    struct mlt_bus *b = mlt_bus_mutable(bus);
    const struct counters *c = &bus->counters;
    struct queues queues = { 0 };
    (void)pthread_mutex_lock(&b->subs_lock);
    mlt_bus_subscriptions_queues(b, &queues);
    (void)pthread_mutex_unlock(&b->subs_lock);
    *out =
        (struct mlt_bus_stats){ .published = atomic_load(&c->published),
                                .published_bytes = atomic_load(&c->published_bytes),
                                .received = atomic_load(&c->received),
                                .received_bytes = atomic_load(&c->received_bytes),
                                .writes = atomic_load(&c->writes),
                                .reconnects = atomic_load(&c->reconnects),
                                .disconnects = atomic_load(&c->disconnects),
                                .attempts_failed = atomic_load(&c->attempts_failed),
                                .refused_full = atomic_load(&c->refused_full),
                                .slow_consumer_dropped = atomic_load(&c->dropped) + queues.dropped,
                                .errors = atomic_load(&c->errors),
                                .listened_again = atomic_load(&c->listened_again),
                                .subscriptions_refused = queues.refused,
                                .unwritten_bytes = unwritten_bytes(b),
                                .waiting = queues.messages,
                                .waiting_bytes = queues.bytes,
                                .waiting_max = queues.max };
}

uint64_t mlt_bus_changes(const struct mlt_bus *bus)
{
    return atomic_load(&bus->counters.reconnects) + atomic_load(&bus->counters.disconnects);
}

void mlt_bus_server_version(const struct mlt_bus *bus, char *out, size_t size)
{
    struct mlt_bus *b = mlt_bus_mutable(bus);
    (void)pthread_mutex_lock(&b->state_lock);
    (void)snprintf(out, size, "%s", b->version);
    (void)pthread_mutex_unlock(&b->state_lock);
}

int64_t mlt_bus_rtt_ns(struct mlt_bus *bus)
{
    int64_t rtt = -1;
    struct link *link = atomic_load(&bus->up) ? mlt_bus_link_acquire(bus) : NULL;
    if (link == NULL) {
        return -1;
    }
    if (natsConnection_GetRTT(link->nc, &rtt) != NATS_OK) {
        rtt = -1;
    }
    mlt_bus_link_release(link);
    return rtt;
}

bool mlt_bus_flush_on(struct mlt_bus *bus, unsigned generation, int64_t timeout_ns)
{
    struct link *link = atomic_load(&bus->up) ? mlt_bus_link_acquire(bus) : NULL;
    bool read = false;
    if (link != NULL) {
        read = link->generation == generation && timeout_ns >= MLT_NS_PER_MS &&
               natsConnection_FlushTimeout(link->nc, timeout_ns / MLT_NS_PER_MS) == NATS_OK;
        mlt_bus_link_release(link);
    }
    return read;
}
