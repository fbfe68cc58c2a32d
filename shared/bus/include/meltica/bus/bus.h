/*
 * The only way to NATS. Two kinds of connection (docs/decisions/0005-hops.md):
 *  - DATA runs on an event loop of ours, one thread: what was published since the last write leaves
 *    together, at once when the last write is at least spacing_ns old (twice that where the last
 *    one was big), else when it is. Nothing
 * else ever flushes.
 *  - CONTROL is nats.c's own, each publish is written at once: requests, micro service, KV,
 * journal. Both reconnect for ever (50 ms with jitter, capped at 1 s), have a write deadline, ping
 * every 10 s and give up a server that missed two. A CONTROL bus alone ends for good, and says so
 * by on_state
 * ("closed for good"), when a server refuses its credentials twice or ends it with a fatal error.
 * No <nats/nats.h> outside of shared/bus.
 */
#ifndef MELTICA_BUS_BUS_H
#define MELTICA_BUS_BUS_H

#include <stdbool.h>
#include <stdint.h>

#include "meltica/base/buf.h"
#include "meltica/base/error.h"

#define MLT_BUS_SUBJECT_BYTES_MAX 255u
#define MLT_BUS_PAYLOAD_BYTES_MAX                                                                  \
    (960u << 10) /* below the server's default max_payload of 1 MiB                                \
                  */
/* Between two writes of a DATA connection; twice that after one of MLT_BUS_CROWD_BYTES or more,
 * where fewer and bigger writes are worth more than the wait (docs/decisions/0009-spacing.md). */
#define MLT_BUS_SPACING_NS INT64_C(250000)
#define MLT_BUS_CROWD_BYTES 4096
#define MLT_BUS_LISTEN_AGAIN_NS INT64_C(30000000000) /* for mlt_bus_listen_again */
#define MLT_BUS_PREFIX_INT "meltica.int"

struct mlt_bus;
struct mlt_bus_subscription;

enum mlt_bus_kind { MLT_BUS_DATA, MLT_BUS_CONTROL };

struct mlt_bus_options {
    enum mlt_bus_kind kind;
    const char *url;  /* one or several, separated by commas; tls:// for TLS */
    const char *name; /* as the server lists it: "meltica-adapter/<instance>" */
    /* Credentials; NULL or "" where unused. Secrets are files, never arguments. */
    const char *creds_file, *nkey_seed_file, *user, *password_file, *token_file;
    const char *tls_ca_file, *tls_cert_file, *tls_key_file;
    /* Where answers come, for users that may not listen to _INBOX.>; NULL or "": _INBOX. */
    const char *inbox_prefix;
    int64_t spacing_ns;        /* DATA; 0: MLT_BUS_SPACING_NS */
    size_t buffered_bytes_max; /* DATA: unwritten bytes above which publish says E_FULL; 0: 4 MiB */
    /* Every change of the connection: connected, or not and why. On a thread of the bus; must not
     * block. NULL is fine. */
    void (*on_state)(void *ctx, bool connected, const char *reason);
    void *ctx;
};

struct mlt_bus_stats {
    uint64_t published, published_bytes, received, received_bytes;
    uint64_t writes; /* DATA: write calls that carried something */
    uint64_t reconnects, disconnects;
    uint64_t attempts_failed;        /* to connect: no server, or one that refuses */
    uint64_t refused_full;           /* publishes that got E_FULL */
    uint64_t slow_consumer_dropped;  /* messages that our own limits dropped */
    uint64_t errors;                 /* asynchronous errors of nats.c (permissions, protocol) */
    uint64_t unwritten_bytes;        /* now: taken and not yet written to the socket */
    uint64_t waiting, waiting_bytes; /* now: messages that wait for their handlers */
    /* The most that waited for one handler, of the connections of now. */
    uint64_t waiting_max;
    uint64_t subscriptions_refused; /* now: by the server, since this user has no right to them */
    uint64_t listened_again;        /* subscriptions that were refused and are heard by now */
};

/* Starts the connection and returns without waiting for it when the server is away (on_state tells
 * when it is there). E_CONFIG (bad URL, unreadable credentials), E_AUTH, E_VERSION (server before
 * 2.10.0; DATA: or with a max_payload below MLT_BUS_PAYLOAD_BYTES_MAX; said once connected by
 * on_state instead when it is not there yet), E_NOMEM. Options are
 * copied. Any thread. */
enum mlt_status mlt_bus_connect(const struct mlt_bus_options *options, struct mlt_bus **bus,
                                struct mlt_error *err) MLT_MUST_CHECK;
/* Drains (subscriptions first, then what is buffered) for at most drain_ns, then closes; every
 * subscription ends and those that were not unsubscribed are freed. on_state is not called any
 * more. NULL is fine. Not from a callback of the bus. */
void mlt_bus_destroy(struct mlt_bus *bus, int64_t drain_ns);

bool mlt_bus_connected(const struct mlt_bus *bus);
/* How often the connection ended or came back: another number is another connection. Takes no lock,
 * unlike mlt_bus_get_stats. */
uint64_t mlt_bus_changes(const struct mlt_bus *bus);
/* Waits until connected; E_TIMEOUT. Not from a callback. */
enum mlt_status mlt_bus_wait_connected(struct mlt_bus *bus, int64_t timeout_ns) MLT_MUST_CHECK;
void mlt_bus_get_stats(const struct mlt_bus *bus, struct mlt_bus_stats *out);
/* "2.10.27"; "" when never connected. out at least 32 bytes. */
void mlt_bus_server_version(const struct mlt_bus *bus, char *out, size_t size);
/* Last round trip of a ping in ns, -1 unknown. Blocks for one round trip (2 s at most). */
int64_t mlt_bus_rtt_ns(struct mlt_bus *bus);

/* True for 1..255 bytes of dot-separated non-empty tokens without space, control bytes, '*', '>'.
 */
bool mlt_bus_subject_valid(const char *subject);

/* Hands one message to the connection. DATA: E_FULL above buffered_bytes_max, E_CLOSED while not
 * connected: nothing was taken. Any thread. E_INVALID for a bad subject, E_TOO_BIG. */
enum mlt_status mlt_bus_publish(struct mlt_bus *bus, const char *subject,
                                struct mlt_slice payload) MLT_MUST_CHECK;
/* As publish, but where that would say E_FULL or E_CLOSED waits until there is room and a
 * connection, until deadline_mono_ns, or until the bus is being destroyed (E_CLOSED). Not on the
 * bus's own loop thread. */
enum mlt_status mlt_bus_publish_wait(struct mlt_bus *bus, const char *subject,
                                     struct mlt_slice payload,
                                     int64_t deadline_mono_ns) MLT_MUST_CHECK;

struct mlt_bus_message {
    const char *subject;
    const char *reply; /* "" when nobody waits */
    struct mlt_slice payload;
    /* Error headers of an answer (Nats-Service-Error, -Code); "" and 0 when absent. */
    const char *error_text;
    int error_code;
    const char *traceparent; /* header of that name, as it came; NULL: absent */
};
/* One at a time, in order, on a thread of the subscription's own. Views are valid during the call.
 */
typedef void (*mlt_bus_handler_fn)(void *ctx, const struct mlt_bus_message *message);

struct mlt_bus_subscribe_options {
    const char *subject;
    const char *queue;        /* NULL: everybody gets everything */
    int pending_count_max;    /* 0: 65,536 */
    size_t pending_bytes_max; /* 0: 16 MiB; beyond either, the newest is dropped and counted */
    bool optional; /* where the server refuses it the bus is not deaf: its owner does without */
};
enum mlt_status mlt_bus_subscribe(struct mlt_bus *bus,
                                  const struct mlt_bus_subscribe_options *options,
                                  mlt_bus_handler_fn handler, void *ctx,
                                  struct mlt_bus_subscription **subscription,
                                  struct mlt_error *err) MLT_MUST_CHECK;
/* Ends it; when it returns no call of the handler is running or will come. Not inside the handler.
 * NULL is fine. */
void mlt_bus_unsubscribe(struct mlt_bus_subscription *subscription);
/* Ends several in order: the server gives them no more, and what it has given is handled first, all
 * of them together in wait_ns at most; what is left then is dropped. Else as mlt_bus_unsubscribe. A
 * CONTROL bus; NULL among them is fine. */
void mlt_bus_unsubscribe_drained(struct mlt_bus_subscription *const *subscriptions, size_t count,
                                 int64_t wait_ns);

/* Whether the server refuses it to this user; known a moment after it was begun. Any thread. */
bool mlt_bus_subscription_refused(struct mlt_bus_subscription *subscription);

/* Answers a request. With error_code > 0 the two error headers are set (ADR-32). */
enum mlt_status mlt_bus_reply(struct mlt_bus *bus, const char *reply, struct mlt_slice payload,
                              int error_code, const char *error_text) MLT_MUST_CHECK;

/* One request, one answer; the payload is appended to *answer. E_TIMEOUT, E_UNAVAILABLE (nobody
 * serves the subject, or not connected), E_PROTOCOL with the peer's words in err when it answered
 * with the error headers (the payload is appended then too), E_TOO_BIG. Blocks: not in callbacks.
 * Either kind of bus; on a DATA one it leaves with the next flush, and bulk is in its way. */
enum mlt_status mlt_bus_request(struct mlt_bus *bus, const char *subject, struct mlt_slice payload,
                                int64_t timeout_ns, struct mlt_buf *answer,
                                struct mlt_error *err) MLT_MUST_CHECK;
/* As request, with the header traceparent; NULL: without. */
enum mlt_status mlt_bus_request_traced(struct mlt_bus *bus, const char *subject,
                                       struct mlt_slice payload, const char *traceparent,
                                       int64_t timeout_ns, struct mlt_buf *answer,
                                       struct mlt_error *err) MLT_MUST_CHECK;

/* One answer of several; false: no more are wanted. On the caller's thread. */
typedef bool (*mlt_bus_answer_fn)(void *ctx, struct mlt_slice answer);
/* One request that everybody who serves the subject answers: calls fn for each answer that comes
 * within wait_ns, and ends earlier once nothing more has come for quiet_ns after the last one (0:
 * does not) or fn says so. CONTROL only. E_UNAVAILABLE (nobody serves it, or not connected),
 * E_TIMEOUT (no answer; also where this user may not ask), E_INVALID, E_NOMEM. Blocks. */
enum mlt_status mlt_bus_gather(struct mlt_bus *bus, const char *subject, int64_t wait_ns,
                               int64_t quiet_ns, mlt_bus_answer_fn fn, void *ctx,
                               struct mlt_error *err) MLT_MUST_CHECK;
/* Whether the last thing that the server refused this user was to publish or subscribe to exactly
 * that subject. Waits a round trip, so that what was sent before it is known. CONTROL only. */
bool mlt_bus_denied(struct mlt_bus *bus, const char *subject);
/* Whether the server refuses a subscription that is not optional on the connection that there is
 * now; what it said of one, NUL-terminated. Known a moment after the subscription. Any thread. */
bool mlt_bus_deaf(const struct mlt_bus *bus, char *said, size_t size);
/* Asks again for what was refused at least after_ns ago, since the rights of a user change while it
 * is connected, and NATS tells nobody. Each subscription is begun anew, without the others hearing
 * of it; where nats.c itself was refused one (that for answers), the connection is made anew. To be
 * called about each second: what is no more refused is known 2 s after it was asked for again. Any
 * thread but those of handlers. */
void mlt_bus_listen_again(struct mlt_bus *bus, int64_t after_ns);

/* ---- micro service (ADR-32) ---- */

struct mlt_micro;

struct mlt_micro_pair {
    const char *key, *value;
};
struct mlt_micro_options {
    const char *name;    /* "meltica-adapter" */
    const char *version; /* SemVer */
    const char *description;
    const struct mlt_micro_pair *metadata;
    size_t metadata_count;
    /* JSON object for the `data` of STATS of every endpoint; appended to out. NULL: none. */
    void (*stats)(void *ctx, struct mlt_buf *out);
    void *ctx;
};
struct mlt_micro_request;
/* Answers with mlt_micro_respond, exactly once, before it returns. Thread of the endpoint. */
typedef void (*mlt_micro_handler_fn)(void *ctx, const struct mlt_bus_message *request,
                                     struct mlt_micro_request *to);
struct mlt_micro_endpoint {
    const char *name, *subject;
    const char *queue; /* NULL: the default group "q"; "": none, every instance answers */
    mlt_micro_handler_fn handler;
    void *ctx;
    const struct mlt_micro_pair *metadata;
    size_t metadata_count;
};
/* Registers on a CONTROL bus. Strings are copied. PING, INFO and STATS are answered from then on,
 * to subjects that begin with _INBOX: the server lets an answer go anywhere, and who may ask for
 * monitoring must not write by it. */
enum mlt_status mlt_micro_start(struct mlt_bus *bus, const struct mlt_micro_options *options,
                                const struct mlt_micro_endpoint *endpoints, size_t endpoint_count,
                                struct mlt_micro **micro, struct mlt_error *err) MLT_MUST_CHECK;
/* The handler's request is answered later, by mlt_bus_reply to its reply subject (copy it), from
 * any thread. STATS count the request, but neither its time nor whether it failed. */
void mlt_micro_defer(struct mlt_micro_request *to);
/* Monitoring requests that wanted their answer somewhere else. Any thread. */
uint64_t mlt_micro_replies_refused(const struct mlt_micro *micro);
/* Before the bus is destroyed. Requests that were given to us are handled, a second long at most;
 * no handler runs when it returns. NULL is fine. */
void mlt_micro_stop(struct mlt_micro *micro);
/* The same, wait_ns long at most where that is less than a second; a millisecond at least. */
void mlt_micro_stop_within(struct mlt_micro *micro, int64_t wait_ns);
enum mlt_status mlt_micro_respond(struct mlt_micro_request *to, struct mlt_slice payload,
                                  int error_code, const char *error_text) MLT_MUST_CHECK;

#endif
