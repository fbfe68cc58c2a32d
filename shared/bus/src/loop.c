/* The event loop of a DATA bus: one thread that connects, reads, and is the only one that writes.
 * nats.c calls the four callbacks with its connection's lock held and from any thread: they set
 * flags, change the poll set and wake the loop, nothing else. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "connection.h"
#include "meltica/base/check.h"
#include "meltica/base/hash.h"
#include "meltica/base/log.h"

#define EVENTS_MAX 4
#define NEVER INT64_MAX
/* What epoll gives back: which of the three it was, and of which connection. */
#define TAG_WAKE UINT64_C(1)
#define TAG_TIMER UINT64_C(2)
#define TAG_SOCKET UINT64_C(4)

/* The bus whose loop this thread is. */
static _Thread_local const struct mlt_bus *loop_of;

static uint64_t socket_tag(const struct mlt_bus *bus)
{
    return TAG_SOCKET << 32 | atomic_load(&bus->generation);
}

void mlt_bus_loop_wake(struct mlt_bus *bus)
{
    const uint64_t one = 1;
    /* Full is impossible (nobody reads it, 2^64 wakes), EINTR does not come from an eventfd. */
    const ssize_t written = write(bus->loop.event_fd, &one, sizeof one);
    (void)written;
}

void mlt_bus_want_flush(struct mlt_bus *bus)
{
    /* The load spares the common case, a flush that is pending already, the locked instruction. */
    if (bus->kind == MLT_BUS_DATA &&
        !atomic_load_explicit(&bus->loop.pending, memory_order_seq_cst) &&
        !atomic_exchange_explicit(&bus->loop.pending, true, memory_order_seq_cst) &&
        loop_of != bus && !atomic_load_explicit(&bus->loop.cooling, memory_order_seq_cst)) {
        mlt_bus_loop_wake(bus);
    }
}

/* ---- callbacks of nats.c ---- */

static natsStatus on_attach(void **user, void *loop, natsConnection *nc, natsSock socket)
{
    struct mlt_bus *bus = loop;
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = socket_tag(bus) };
    (void)nc;
    *user = bus;
    (void)pthread_mutex_lock(&bus->loop.socket_lock);
    const int failed = epoll_ctl(bus->loop.epoll_fd, EPOLL_CTL_ADD, (int)socket, &event);
    bus->loop.fd = failed == 0 ? (int)socket : -1;
    (void)pthread_mutex_unlock(&bus->loop.socket_lock);
    return failed == 0 ? NATS_OK : NATS_SYS_ERROR;
}

static natsStatus on_read(void *user, bool add)
{
    struct mlt_bus *bus = user;
    if (!add) {
        /* nats.c is done with the socket and leaves closing it to the loop. */
        atomic_store(&bus->up, false);
        (void)pthread_mutex_lock(&bus->loop.socket_lock);
        if (bus->loop.fd >= 0) {
            (void)epoll_ctl(bus->loop.epoll_fd, EPOLL_CTL_DEL, bus->loop.fd, NULL);
            natsSock socket = bus->loop.fd;
            bus->loop.fd = -1;
            natsConnection_ProcessCloseEvent(&socket);
        }
        (void)pthread_mutex_unlock(&bus->loop.socket_lock);
    }
    return NATS_OK;
}

static natsStatus on_write(void *user, bool add)
{
    struct mlt_bus *bus = user;
    if (!add) {
        atomic_store(&bus->loop.wrote_all, true);
    } else if (loop_of != bus || !bus->loop.in_flush) {
        mlt_bus_want_flush(bus);
    }
    return NATS_OK;
}

static natsStatus on_detach(void *user)
{
    struct mlt_bus *bus = user;
    atomic_store(&bus->loop.dead, true);
    mlt_bus_loop_wake(bus);
    (void)pthread_mutex_lock(&bus->state_lock);
    bus->detached++;
    (void)pthread_cond_broadcast(&bus->state_changed);
    (void)pthread_mutex_unlock(&bus->state_lock); /* the bus may be gone from here on */
    return NATS_OK;
}

/* ---- flush ---- */

static void want_write_events(struct mlt_bus *bus, bool on)
{
    struct epoll_event event = { .events = on ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                 .data.u64 = socket_tag(bus) };
    (void)pthread_mutex_lock(&bus->loop.socket_lock);
    if (bus->loop.fd >= 0) {
        (void)epoll_ctl(bus->loop.epoll_fd, EPOLL_CTL_MOD, bus->loop.fd, &event);
    }
    (void)pthread_mutex_unlock(&bus->loop.socket_lock);
}

static void set_blocked(struct mlt_bus *bus, bool blocked, int64_t now)
{
    if (blocked && !bus->loop.blocked) {
        bus->loop.blocked_at_ns = now;
    }
    if (blocked != bus->loop.blocked) {
        bus->loop.blocked = blocked;
        want_write_events(bus, blocked);
    }
}

/* Writes what nats.c holds; true when something was written. */
static bool write_out(struct mlt_bus *bus, natsConnection *nc)
{
    const int before = natsConnection_Buffered(nc);
    if (before <= 0) {
        return false; /* an empty send would read as a closed connection */
    }
    atomic_store(&bus->loop.wrote_all, false);
    natsConnection_ProcessWriteEvent(nc);
    atomic_fetch_add_explicit(&bus->counters.writes, 1, memory_order_relaxed);
    const int64_t now = mlt_clock_mono_ns();
    const bool all = atomic_load(&bus->loop.wrote_all);
    /* Progress, if only in part, starts the write deadline again. */
    if (!all && natsConnection_Buffered(nc) < before) {
        bus->loop.blocked_at_ns = now;
    }
    bus->loop.next_write_ns =
        now + (before < MLT_BUS_CROWD_BYTES ? bus->spacing_ns : 2 * bus->spacing_ns);
    atomic_store_explicit(&bus->loop.cooling, true, memory_order_seq_cst);
    set_blocked(bus, !all, now);
    return true;
}

static void flush(struct mlt_bus *bus)
{
    natsConnection *nc = bus->link->nc; /* this thread alone changes it */
    atomic_store_explicit(&bus->loop.pending, false, memory_order_seq_cst);
    (void)pthread_mutex_lock(&bus->flush_lock);
    bus->loop.in_flush = true;
    bus->loop.refused = false;
    bus->loop.again_ns = NEVER;
    for (unsigned stage = 0; stage <= 2; stage++) {
        for (struct mlt_bus_flusher *f = bus->flushers; f != NULL; f = f->next) {
            f->fn(f->ctx, stage);
        }
    }
    const bool wrote = write_out(bus, nc);
    bus->loop.in_flush = false;
    (void)pthread_mutex_unlock(&bus->flush_lock);
    if (wrote && natsConnection_Buffered(nc) <= bus->buffered_max) {
        mlt_bus_signal_room(bus);
    }
}

static enum mlt_status room_in_flush(struct mlt_bus *bus)
{
    if (!atomic_load(&bus->up) || bus->link == NULL) {
        return MLT_E_CLOSED;
    }
    if (natsConnection_Buffered(bus->link->nc) > bus->buffered_max) {
        /* What is buffered goes out with this flush; the caller's turn is the next. */
        atomic_store(&bus->loop.pending, true);
        return MLT_E_FULL;
    }
    return MLT_OK;
}

enum mlt_status mlt_bus_traced_in_flush(struct mlt_bus *bus, const char *subject,
                                        struct mlt_slice payload, const char *traceparent)
{
    enum mlt_status status = room_in_flush(bus);
    if (status == MLT_OK) {
        status = mlt_bus_hand_over_traced(bus, bus->link->nc, subject, payload, traceparent);
    }
    /* No room, too big for this server, no memory: it has not left. */
    bus->loop.refused = bus->loop.refused || status != MLT_OK;
    return status;
}

enum mlt_status mlt_bus_publish_in_flush(struct mlt_bus *bus, const char *subject,
                                         struct mlt_slice payload)
{
    return mlt_bus_traced_in_flush(bus, subject, payload, NULL);
}

/* Nothing is acknowledged to a hop for such a message, so that none waits for it. */
enum mlt_status mlt_bus_message_in_flush(struct mlt_bus *bus, natsMsg *message)
{
    enum mlt_status status = room_in_flush(bus);
    if (status == MLT_OK) {
        status = mlt_bus_hand_over_message(bus, bus->link->nc, message);
    }
    return status;
}

void mlt_bus_flush_withhold(struct mlt_bus *bus)
{
    bus->loop.refused = true;
}

bool mlt_bus_flush_complete(const struct mlt_bus *bus)
{
    return !bus->loop.refused;
}

void mlt_bus_flush_again_at(struct mlt_bus *bus, int64_t mono_ns)
{
    bus->loop.again_ns = mono_ns < bus->loop.again_ns ? mono_ns : bus->loop.again_ns;
}

/* ---- connecting ---- */

static void schedule_attempt(struct mlt_bus *bus)
{
    int64_t wait = BUS_RECONNECT_MIN_MS;
    for (unsigned i = 0; i < bus->loop.attempts && wait < BUS_RECONNECT_MAX_MS; i++) {
        wait *= 2;
    }
    wait = wait * MLT_NS_PER_MS;
    wait += (int64_t)(mlt_random64() % (uint64_t)(wait / 2));
    if (wait > BUS_RECONNECT_MAX_MS * MLT_NS_PER_MS) {
        wait = BUS_RECONNECT_MAX_MS * MLT_NS_PER_MS;
    }
    bus->loop.attempts++;
    bus->loop.next_attempt_ns = mlt_clock_mono_ns() + wait;
}

static void first_outcome(struct mlt_bus *bus, natsStatus s, const char *why)
{
    (void)pthread_mutex_lock(&bus->state_lock);
    if (!bus->first_done) {
        bus->first_done = true;
        bus->first_status = s;
        (void)snprintf(bus->first_why, sizeof bus->first_why, "%s", why);
        (void)pthread_cond_broadcast(&bus->state_changed);
    }
    (void)pthread_mutex_unlock(&bus->state_lock);
}

static void adopt(struct mlt_bus *bus, struct link *link)
{
    (void)pthread_mutex_lock(&bus->flush_lock);
    (void)pthread_mutex_lock(&bus->subs_lock);
    mlt_bus_subscriptions_start(bus, link->nc);
    (void)pthread_rwlock_wrlock(&bus->link_lock);
    bus->link = link;
    (void)pthread_rwlock_unlock(&bus->link_lock);
    (void)pthread_mutex_unlock(&bus->subs_lock);
    (void)pthread_mutex_unlock(&bus->flush_lock);
    bus->loop.blocked = false;
    bus->loop.next_write_ns = 0;
    bus->loop.attempts = 0;
    /* From here on messages are taken; nats.c may have lost it meanwhile, on_read said so then. */
    (void)pthread_mutex_lock(&bus->loop.socket_lock);
    atomic_store(&bus->up, bus->loop.fd >= 0);
    (void)pthread_mutex_unlock(&bus->loop.socket_lock);
    atomic_store(&bus->loop.pending, true);
    mlt_bus_signal_room(bus);
}

static void try_connect(struct mlt_bus *bus)
{
    natsConnection *nc = NULL;
    struct link *link = malloc(sizeof *link);
    atomic_store(&bus->loop.dead, false);
    atomic_fetch_add(&bus->generation, 1);
    const natsStatus s = link != NULL ? natsConnection_Connect(&nc, bus->options) : NATS_NO_MEMORY;
    if (s != NATS_OK) {
        char why[BUS_REASON_BYTES_MAX];
        mlt_bus_why_here(bus, s, why, sizeof why);
        atomic_fetch_add(&bus->counters.attempts_failed, 1);
        free(link);
        mlt_bus_report(bus, false, why);
        schedule_attempt(bus);
        first_outcome(bus, s, why);
        return;
    }
    link->nc = nc;
    link->generation = atomic_load(&bus->generation);
    atomic_init(&link->refs, 1);
    (void)pthread_mutex_lock(&bus->state_lock);
    const bool again = bus->connections++ > 0;
    (void)pthread_mutex_unlock(&bus->state_lock);
    if (again) {
        atomic_fetch_add(&bus->counters.reconnects, 1);
    }
    const bool supported = mlt_bus_check_server(bus, nc);
    if (supported) {
        adopt(bus, link);
        mlt_bus_report(bus, true, "connected");
    } else {
        mlt_bus_link_release(link);
        schedule_attempt(bus);
    }
    first_outcome(bus, NATS_OK, "");
}

/* nats.c has let go of the connection. */
static void lose(struct mlt_bus *bus)
{
    struct link *link = bus->link;
    atomic_store(&bus->loop.dead, false);
    if (link == NULL) {
        return; /* one that was never adopted */
    }
    const char *text = NULL;
    const natsStatus s = natsConnection_GetLastError(link->nc, &text);
    char reason[BUS_REASON_BYTES_MAX];
    (void)snprintf(reason, sizeof reason, "%s", s != NATS_OK ? natsStatus_GetText(s) : "closed");
    (void)pthread_rwlock_wrlock(&bus->link_lock);
    bus->link = NULL;
    (void)pthread_rwlock_unlock(&bus->link_lock);
    mlt_bus_forget_violation(bus, link->nc);
    mlt_bus_link_release(link);
    bus->loop.blocked = false;
    atomic_fetch_add(&bus->counters.disconnects, 1);
    mlt_bus_report(bus, false, reason);
    bus->loop.attempts = 0;
    schedule_attempt(bus);
}

/* ---- the loop ---- */

static void run_tickers(struct mlt_bus *bus, int64_t now)
{
    (void)pthread_mutex_lock(&bus->flush_lock);
    for (struct mlt_bus_ticker *t = bus->tickers; t != NULL; t = t->next) {
        t->fn(t->ctx, now);
    }
    const bool any = bus->tickers != NULL;
    (void)pthread_mutex_unlock(&bus->flush_lock);
    bus->loop.next_tick_ns = any ? now + BUS_TICK_NS : NEVER;
}

/* The read event that the shutdown causes lets nats.c find out. */
void mlt_bus_loop_cut(struct mlt_bus *bus)
{
    (void)pthread_mutex_lock(&bus->loop.socket_lock);
    if (bus->loop.fd >= 0) {
        (void)shutdown(bus->loop.fd, SHUT_RDWR);
    }
    (void)pthread_mutex_unlock(&bus->loop.socket_lock);
}

/* A server that takes nothing for the write deadline is given up. */
static void check_write_deadline(struct mlt_bus *bus, int64_t now)
{
    if (bus->loop.blocked &&
        now - bus->loop.blocked_at_ns >= BUS_WRITE_DEADLINE_MS * MLT_NS_PER_MS) {
        mlt_log(MLT_LOG_WARN, "bus_write_deadline", "the server takes nothing, connecting again",
                MLT_S("bus", bus->name));
        mlt_bus_loop_cut(bus);
        bus->loop.blocked_at_ns = now;
    }
}

static int64_t next_due(const struct mlt_bus *bus)
{
    const struct loop *loop = &bus->loop;
    int64_t due = loop->next_tick_ns;
    if (bus->link == NULL) {
        return loop->next_attempt_ns < due ? loop->next_attempt_ns : due;
    }
    if (loop->blocked) {
        const int64_t limit = loop->blocked_at_ns + BUS_WRITE_DEADLINE_MS * MLT_NS_PER_MS;
        return limit < due ? limit : due;
    }
    if (atomic_load_explicit(&loop->cooling, memory_order_relaxed) ||
        atomic_load_explicit(&loop->pending, memory_order_acquire)) {
        due = loop->next_write_ns < due ? loop->next_write_ns : due;
    }
    return loop->again_ns < due ? loop->again_ns : due;
}

static void arm(struct mlt_bus *bus, int64_t due)
{
    struct itimerspec at = { .it_value = { 0, 0 } };
    if (due == bus->loop.armed_ns) {
        return;
    }
    bus->loop.armed_ns = due;
    if (due != NEVER) {
        due = due > 0 ? due : 1;
        at.it_value = (struct timespec){ .tv_sec = (time_t)(due / MLT_NS_PER_S),
                                         .tv_nsec = (long)(due % MLT_NS_PER_S) };
    }
    MLT_CHECK(timerfd_settime(bus->loop.timer_fd, TFD_TIMER_ABSTIME, &at, NULL) == 0);
}

static void serve_socket(struct mlt_bus *bus, const struct epoll_event *event)
{
    if (bus->link == NULL || event->data.u64 != socket_tag(bus)) {
        return; /* of a connection that is gone */
    }
    if ((event->events & EPOLLOUT) != 0) {
        set_blocked(bus, false, 0);
        atomic_store(&bus->loop.pending, true);
        bus->loop.next_write_ns = 0;
    }
    if ((event->events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0) {
        natsConnection_ProcessReadEvent(bus->link->nc);
    }
}

static void wait_and_serve(struct mlt_bus *bus)
{
    struct epoll_event events[EVENTS_MAX];
    arm(bus, next_due(bus));
    const int count = epoll_wait(bus->loop.epoll_fd, events, EVENTS_MAX, -1);
    for (int i = 0; i < count; i++) {
        if (events[i].data.u64 == TAG_TIMER) {
            bus->loop.armed_ns = 0; /* set again before the next wait, which also clears it */
        } else if (events[i].data.u64 != TAG_WAKE) {
            serve_socket(bus, &events[i]);
        }
    }
}

static void *loop_main(void *closure)
{
    struct mlt_bus *bus = closure;
    struct loop *loop = &bus->loop;
    loop_of = bus;
    while (!atomic_load(&loop->stop)) {
        const int64_t now = mlt_clock_mono_ns();
        if (atomic_load(&loop->dead)) {
            lose(bus);
        }
        if (bus->link == NULL && now >= loop->next_attempt_ns) {
            if (atomic_load(&bus->destroying)) {
                loop->next_attempt_ns = NEVER;
            } else {
                try_connect(bus);
                continue;
            }
        }
        if (atomic_exchange(&loop->tick_wanted, false) || now >= loop->next_tick_ns) {
            run_tickers(bus, now);
        }
        check_write_deadline(bus, now);
        if (now >= loop->next_write_ns) { /* before a look at what is pending */
            atomic_store_explicit(&loop->cooling, false, memory_order_seq_cst);
        }
        if (now >= loop->again_ns) {
            loop->again_ns = NEVER;
            atomic_store(&loop->pending, true);
        }
        if (bus->link != NULL && atomic_load(&bus->up) && !loop->blocked &&
            atomic_load_explicit(&loop->pending, memory_order_seq_cst) &&
            now >= loop->next_write_ns) {
            flush(bus);
            continue;
        }
        wait_and_serve(bus);
    }
    return NULL;
}

/* ---- set-up ---- */

static enum mlt_status watch(struct mlt_bus *bus, int fd, uint32_t events, uint64_t tag)
{
    struct epoll_event event = { .events = events, .data.u64 = tag };
    return fd >= 0 && epoll_ctl(bus->loop.epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? MLT_OK
                                                                                    : MLT_E_LIMIT;
}

enum mlt_status mlt_bus_loop_init(struct mlt_bus *bus, struct mlt_error *err)
{
    struct loop *loop = &bus->loop;
    (void)pthread_mutex_init(&loop->socket_lock, NULL);
    loop->fd = -1;
    loop->next_tick_ns = loop->again_ns = NEVER;
    loop->armed_ns = NEVER;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->epoll_fd < 0 ||
        /* Edge-triggered: each wake is an edge, and nobody has to read the counter. */
        watch(bus, loop->event_fd, EPOLLIN | EPOLLET, TAG_WAKE) != MLT_OK ||
        watch(bus, loop->timer_fd, EPOLLIN, TAG_TIMER) != MLT_OK) {
        return mlt_error_set_foreign(err, MLT_E_LIMIT, "errno", errno, "event loop: %s",
                                     strerror(errno));
    }
    return mlt_bus_status(
        natsOptions_SetEventLoop(bus->options, bus, on_attach, on_read, on_write, on_detach), err,
        "event loop");
}

enum mlt_status mlt_bus_loop_start(struct mlt_bus *bus, struct mlt_error *err)
{
    const int code = pthread_create(&bus->loop.thread, NULL, loop_main, bus);
    if (code != 0) {
        return mlt_error_set_foreign(err, MLT_E_LIMIT, "errno", code, "loop thread: %s",
                                     strerror(code));
    }
    bus->loop.started = true;
    (void)pthread_setname_np(bus->loop.thread, "mlt-bus");
    return MLT_OK;
}

void mlt_bus_loop_stop(struct mlt_bus *bus)
{
    if (bus->loop.started) {
        atomic_store(&bus->loop.stop, true);
        mlt_bus_loop_wake(bus);
        (void)pthread_join(bus->loop.thread, NULL);
        bus->loop.started = false;
    }
}

void mlt_bus_loop_fini(struct mlt_bus *bus)
{
    const int fds[] = { bus->loop.epoll_fd, bus->loop.event_fd, bus->loop.timer_fd };
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
    (void)pthread_mutex_destroy(&bus->loop.socket_lock);
}

/* ---- flushers and tickers ---- */

void mlt_bus_add_flusher(struct mlt_bus *bus, struct mlt_bus_flusher *flusher)
{
    (void)pthread_mutex_lock(&bus->flush_lock);
    flusher->next = bus->flushers;
    bus->flushers = flusher;
    (void)pthread_mutex_unlock(&bus->flush_lock);
}

void mlt_bus_remove_flusher(struct mlt_bus *bus, struct mlt_bus_flusher *flusher)
{
    (void)pthread_mutex_lock(&bus->flush_lock);
    struct mlt_bus_flusher **at = &bus->flushers;
    while (*at != NULL && *at != flusher) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = flusher->next;
    }
    (void)pthread_mutex_unlock(&bus->flush_lock);
}

void mlt_bus_add_ticker(struct mlt_bus *bus, struct mlt_bus_ticker *ticker)
{
    (void)pthread_mutex_lock(&bus->flush_lock);
    ticker->next = bus->tickers;
    bus->tickers = ticker;
    (void)pthread_mutex_unlock(&bus->flush_lock);
    atomic_store(&bus->loop.tick_wanted, true);
    mlt_bus_loop_wake(bus);
}

void mlt_bus_remove_ticker(struct mlt_bus *bus, struct mlt_bus_ticker *ticker)
{
    (void)pthread_mutex_lock(&bus->flush_lock);
    struct mlt_bus_ticker **at = &bus->tickers;
    while (*at != NULL && *at != ticker) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = ticker->next;
    }
    (void)pthread_mutex_unlock(&bus->flush_lock);
}
