/* Private to the sources of the connection itself: bus.c, loop.c, options.c, publish.c,
 * subscription.c, server.c, traced.c, inbox.c, refusal.c. The other parts of shared/bus see
 * internal.h only.
 *
 * A DATA bus has a new natsConnection after each disconnect, made by its loop thread: on an
 * external event loop nats.c 3.10.1 keeps the state of its parser over a reconnect of its own, so
 * that a connection that ended inside of a message would swallow the first bytes of the next one. A
 * CONTROL bus has one natsConnection for its whole life, as micro services and JetStream want it.
 *
 * Locks, outer first: flush_lock, subs_lock, an outbox's, link_lock, nats.c's, socket_lock. */
#ifndef MELTICA_BUS_CONNECTION_H
#define MELTICA_BUS_CONNECTION_H

#include <pthread.h>
#include <stdatomic.h>

#include "creds.h"
#include "internal.h"
#include "meltica/base/clock.h"

#define BUS_CONNECT_TIMEOUT_MS 1000
#define BUS_WRITE_DEADLINE_MS 2000
#define BUS_RECONNECT_MIN_MS 50
#define BUS_RECONNECT_MAX_MS 1000
#define BUS_IO_BYTES (128 << 10)
#define BUS_TICK_NS (50 * MLT_NS_PER_MS)
#define BUS_SECRET_BYTES_MAX 4096u
#define BUS_URLS_MAX 32u
#define BUS_REASON_BYTES_MAX 448u
#define BUS_VERSION_BYTES_MAX 32u

/* One natsConnection; ends when the last user has let go of it. */
struct link {
    natsConnection *nc;
    unsigned generation; /* DATA: of the bus when it was made */
    atomic_int refs;
};

struct counters {
    atomic_ullong published, published_bytes, received, received_bytes, writes, reconnects,
        disconnects, attempts_failed, refused_full, dropped, errors, listened_again;
};

/* What waits before the handlers, what their limits dropped, and how many the server refuses. */
struct queues {
    uint64_t messages, bytes, max, dropped, refused;
};

/* What the loop thread of a DATA bus waits on. */
struct loop {
    pthread_t thread;
    bool started;
    int epoll_fd, event_fd, timer_fd;
    atomic_bool stop;
    atomic_bool pending; /* a flush is wanted and the loop was told */
    atomic_bool cooling; /* the loop wakes by itself when it may write again: no need to tell it */
    atomic_bool dead;    /* nats.c has let go of the connection */
    atomic_bool wrote_all;
    atomic_bool tick_wanted; /* a ticker was added */
    bool in_flush;           /* loop thread only */
    bool refused;            /* loop thread only: a publish of this flush found no room */
    bool blocked;            /* loop thread only: the socket takes no more, EPOLLOUT is awaited */
    int64_t blocked_at_ns, next_write_ns, next_tick_ns, next_attempt_ns, armed_ns, again_ns;
    unsigned attempts; /* since the last connection */
    pthread_mutex_t socket_lock;
    int fd; /* socket_lock; -1: none */
};

struct mlt_bus {
    struct mlt_bus *next_living; /* living_lock of bus.c */
    enum mlt_bus_kind kind;
    char *name;
    char inbox_prefix[128];
    /* For what is said of a refusal: who this is, and the files concerned; NULL: none. */
    char self[MLT_BUS_SELF_BYTES_MAX];
    char *creds_file, *ca_file, *cert_file;
    bool tls;
    int64_t spacing_ns;
    int buffered_max;
    void (*on_state)(void *ctx, bool connected, const char *reason);
    void *ctx;
    natsOptions *options;

    pthread_rwlock_t link_lock; /* guards the pointer; the loop thread is its only writer */
    struct link *link;
    atomic_bool up; /* messages are taken */
    atomic_bool destroying;
    atomic_uint generation; /* counts connections */

    pthread_mutex_t report_lock; /* one report at a time; outermost */
    pthread_mutex_t state_lock;
    pthread_cond_t state_changed;
    bool told, reported; /* on_state was called, and with what */
    bool first_done;     /* the first attempt has an outcome */
    atomic_bool refused; /* the server is too old, or takes too little at once */
    natsStatus first_status;
    char first_why[BUS_REASON_BYTES_MAX];
    unsigned connections, closed, detached; /* made, and let go of by nats.c */
    char version[BUS_VERSION_BYTES_MAX];
    char refusal[BUS_REASON_BYTES_MAX];
    char server_id[64];
    /* One that was refused a subscription which is none of subs, but nats.c's own; NULL: none.
     * Compared, never used: it may be gone. */
    const natsConnection *deaf;
    int64_t deaf_ns; /* monotonic: since then, or when it was last cut */
    char deaf_said[BUS_REASON_BYTES_MAX];

    pthread_mutex_t room_lock;
    pthread_cond_t room;
    uint64_t room_turn;
    atomic_int room_waiters;

    pthread_mutex_t flush_lock; /* held while flushers run and while the loop writes */
    struct mlt_bus_flusher *flushers;
    struct mlt_bus_ticker *tickers;

    pthread_mutex_t subs_lock;
    struct mlt_bus_subscription *subs;

    struct counters counters;
    struct loop loop;
};

/* options.c: nats.c's options from ours; E_CONFIG, E_NOMEM. creds_file must live as long as they
 * do. */
enum mlt_status mlt_bus_options_make(const struct mlt_bus_options *options, natsOptions **out,
                                     struct mlt_error *err);

/* refusal.c: what is said of a connection: its name, and what the options have of credentials and
 * TLS. False: no memory; drop also then. */
bool mlt_bus_names_take(struct mlt_bus *bus, const struct mlt_bus_options *options);
void mlt_bus_names_drop(struct mlt_bus *bus);
/* Why an attempt failed, from its status and what nats.c says of it (NULL: nothing). */
void mlt_bus_why(const struct mlt_bus *bus, natsStatus s, const char *detail, char *out,
                 size_t size);
/* The same of a call that this thread has just made. */
void mlt_bus_why_here(const struct mlt_bus *bus, natsStatus s, char *out, size_t size);
/* nats.c says that the server refused something: kept where it is a subscription. nats.c's callback
 * thread. */
void mlt_bus_note_violation(struct mlt_bus *bus, const natsConnection *nc, const char *text);
/* nc has ended; subs_lock is free. */
void mlt_bus_forget_violation(struct mlt_bus *bus, const natsConnection *nc);

/* server.c: version of the server that nc is connected to, read from the greeting that it gives to
 * another connection (nats.c 3.10.1 does not tell). False when it cannot be had. */
bool mlt_bus_server_ask_version(natsConnection *nc, char *out, size_t size);
/* False when text is a version and below 2.10.0. */
bool mlt_bus_server_version_supported(const char *text);

/* bus.c */
struct link *mlt_bus_link_acquire(struct mlt_bus *bus); /* NULL while there is none */
void mlt_bus_link_release(struct link *link);
/* Learns the version of a new connection's server; false when it is refused. */
bool mlt_bus_check_server(struct mlt_bus *bus, natsConnection *nc);
void mlt_bus_report(struct mlt_bus *bus, bool connected, const char *reason);
void mlt_bus_on_closed(natsConnection *nc, void *closure);
void mlt_bus_signal_room(struct mlt_bus *bus);
/* publish.c: on a connection that stays meanwhile; counted. */
enum mlt_status mlt_bus_hand_over(struct mlt_bus *bus, natsConnection *nc, const char *subject,
                                  struct mlt_slice payload);
enum mlt_status mlt_bus_hand_over_message(struct mlt_bus *bus, natsConnection *nc,
                                          natsMsg *message);
/* Of them the one that it is: with the header traceparent, or NULL. And a request with it. traced.c
 */
enum mlt_status mlt_bus_hand_over_traced(struct mlt_bus *bus, natsConnection *nc,
                                         const char *subject, struct mlt_slice payload,
                                         const char *traceparent);
natsStatus mlt_bus_request_message(natsMsg **answer, natsConnection *nc, const char *subject,
                                   struct mlt_slice payload, const char *traceparent,
                                   int64_t timeout_ms);

/* loop.c */
enum mlt_status mlt_bus_loop_init(struct mlt_bus *bus, struct mlt_error *err);
enum mlt_status mlt_bus_loop_start(struct mlt_bus *bus, struct mlt_error *err);
void mlt_bus_loop_stop(struct mlt_bus *bus); /* ends the thread */
void mlt_bus_loop_fini(struct mlt_bus *bus);
void mlt_bus_loop_wake(struct mlt_bus *bus);
void mlt_bus_loop_cut(struct mlt_bus *bus); /* ends the connection: another one is made */

/* subscription.c; subs_lock is held. */
void mlt_bus_subscriptions_start(struct mlt_bus *bus, natsConnection *nc);
void mlt_bus_subscriptions_end_all(struct mlt_bus *bus);
void mlt_bus_subscriptions_queues(struct mlt_bus *bus, struct queues *out);
/* subscription.c; subs_lock is free. Refuse: the server refuses that subject on nc; false: that is
 * none of ours. Forget: the connection has ended. Again: see mlt_bus_listen_again. Deaf: one that
 * is needed is refused; its subject into said, where it takes that. */
bool mlt_bus_subscriptions_refuse(struct mlt_bus *bus, const natsConnection *nc,
                                  const char *subject);
void mlt_bus_subscriptions_forget(struct mlt_bus *bus);
void mlt_bus_subscriptions_again(struct mlt_bus *bus, int64_t after_ns);
bool mlt_bus_subscriptions_deaf(struct mlt_bus *bus, char *said, size_t size);

/* For locks and counters of an object that the contract hands out as const. */
static inline struct mlt_bus *mlt_bus_mutable(const struct mlt_bus *bus)
{
    return (struct mlt_bus *)(uintptr_t)bus;
}

#endif
