/* A nats-server of a test's own on a free port, a client that speaks the bare protocol, and a relay
 * that can cut one connection while others live. */
#ifndef MELTICA_TEST_SERVER_H
#define MELTICA_TEST_SERVER_H

#include "meltica/bus/bus.h"
#include "mlt_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

struct server {
    pid_t pid; /* 0: does not run */
    int port;
    int log_fd;
    bool jetstream;
    char dir[64]; /* of JetStream and of the configuration, removed at the end */
    char config[2048];
    char url[64];
};

/* config: text of a configuration file beside port and JetStream, "" for none. */
void server_start(struct server *server, bool jetstream, const char *config);
void server_stop(struct server *server);    /* SIGTERM, waits; the port and the directory stay */
void server_restart(struct server *server); /* kill -9 where it runs, then again on the same port */
void server_pause(struct server *server);   /* SIGSTOP; returns when it stands still */
void server_resume(struct server *server);
void server_end(struct server *server); /* and removes the directory */

/* Connected CONTROL bus. */
struct mlt_bus *server_connect(const struct server *server, const char *user);
struct mlt_bus *server_connect_data(const struct server *server); /* a DATA one */
struct mlt_bus *url_connect(const char *url, const char *user);

/* Sends lines of the protocol, which may begin with a CONNECT of their own, and reads until `until`
 * was seen `count` times; everything read is left in out. Fails the test after 5 s. */
void raw_client(const struct server *server, const char *lines, const char *until, int count,
                char *out, size_t size);

/* A flag that tests wait for. */
struct latch {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t count;
};
void latch_init(struct latch *latch);
void latch_add(struct latch *latch, uint64_t n);
uint64_t latch_count(struct latch *latch);
/* False when the count does not reach n in time. */
bool latch_wait(struct latch *latch, uint64_t n, int64_t timeout_ns);

#define RELAY_TEXT_BYTES_MAX 32u

struct relay {
    pthread_t thread;
    int listen_fd, command_fd, port, target_port;
    char url[64];
    atomic_bool swallowing;
    char text[RELAY_TEXT_BYTES_MAX]; /* that is counted in what it swallows */
    struct latch swallowed;
    struct latch cuts;
};
void relay_start(struct relay *relay, int target_port);
/* From the text on what a client sends goes nowhere, until relay_cut; `swallowed` counts how often
 * it was in that. */
void relay_swallow(struct relay *relay, const char *text);
/* Ends every connection and refuses new ones; they are ended when it returns. */
void relay_cut(struct relay *relay);
void relay_mend(struct relay *relay);
void relay_end(struct relay *relay);

#endif
