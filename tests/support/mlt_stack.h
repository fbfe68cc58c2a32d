/*
 * A whole Meltica for a test: nats-server with JetStream (or a cluster of three), the exchange
 * simulator and the five services, each a process of its own with free ports and a temporary
 * folder. Everything ends with mlt_stack_stop, and with the test itself should it die. What they
 * say is appended to $MELTICA_STACK_LOGS/<name>.log where that is set. One thread.
 */
#ifndef MELTICA_TEST_STACK_H
#define MELTICA_TEST_STACK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "meltica/base/buf.h"

#define MLT_STACK_ARGUMENTS_MAX 32u
#define MLT_STACK_PROCESSES 7u
#define MLT_STACK_NATS_MAX 3u /* servers of a cluster; the others stand behind the seven */
#define MLT_STACK_SECONDS 4u  /* Adapter, Conductor, Data Bus, Dispatcher beside the first ones */
#define MLT_STACK_ALL (MLT_STACK_PROCESSES + MLT_STACK_NATS_MAX - 1 + MLT_STACK_SECONDS)
#define MLT_STACK_WARNINGS 10u

struct mlt_stack_process {
    /* nats, exchange, adapter, dispatcher, conductor, data-bus, control-bus; nats-2, nats-3;
     * adapter-2, conductor-2, data-bus-2, dispatcher-2 */
    const char *name;
    const char *arguments[MLT_STACK_ARGUMENTS_MAX + 1];
    pid_t pid; /* 0: does not run */
    const char *preload;
    int said; /* read end of its stdout and stderr */
    pthread_t reader;
    bool reading;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char port[16]; /* as it said that it listens; "" before */
    bool ended;    /* its output ended */
    char last_words[4096];
    size_t last_words_len;
    uint64_t error_lines, warning_lines; /* by their level, since the first start */
    char first_error[512], warnings[MLT_STACK_WARNINGS][512]; /* a ring of the last ones */
    unsigned reloads;    /* of nats: how often it read its configuration again */
    char violation[512]; /* of nats: last line about a right that a service lacked; "": none */
    char monitor[16];    /* of a server of a cluster: port of its monitoring */
};

struct mlt_stack {
    struct mlt_stack_process processes[MLT_STACK_ALL];
    char folder[64];
    char nats_url[192]; /* of all servers */
    char exchange_http[64], exchange_ws[64], table[512];
    unsigned nats_servers; /* 1, or MLT_STACK_NATS_MAX: a cluster */
    struct {
        int held; /* a socket that keeps the port for the whole test */
        unsigned port;
    } routes[MLT_STACK_NATS_MAX];
    char nats_config[MLT_STACK_NATS_MAX][96];
    bool jetstream, seconds[MLT_STACK_SECONDS];
    const char *jetstream_limits;
    const char *nats_users;
    char credentials[MLT_STACK_PROCESSES][2][160]; /* user, password file; or seed file */
    char tls[3][160];                              /* authority, certificate, key; "": no TLS */
};

struct mlt_stack_options {
    const char *exchange[MLT_STACK_ARGUMENTS_MAX]; /* of the simulator, NULL-terminated */
    const char *adapter[12], *dispatcher[8], *conductor[8], *data_bus[8],
        *control_bus[8]; /* more options */
    /* Of a second one beside the first, "adapter-2" and so on; none: there is none. */
    const char *second_adapter[16], *second_conductor[8], *second_data_bus[8],
        *second_dispatcher[8];
    const char *table; /* dispatch table; NULL: the one that is shipped */
    bool without_jetstream;
    const char *jetstream_limits; /* of nats-server's configuration; NULL: 2 and 4 GB */
    const char *preload;          /* library that the services are started with; NULL: none */
    /* Three nats-servers, named as their processes, and services that know them all and make
     * streams with three replicas. */
    bool nats_cluster;
    /* Text added to the configuration of the NATS server. With a folder the five services connect
     * as users meltica-<name>, each with the password in the file of its name there. NULL: none. */
    const char *nats_users, *password_folder;
    /* Keys in place of passwords: the seed of each service is in the file of its name there. */
    const char *nkey_folder;
    /* TLS with localhost: the services have ca.pem, client.pem and client.key of this folder; what
     * the server needs is in nats_users. */
    const char *tls_folder;
};

/* Starts nats and the simulator; the services one by one with mlt_stack_run. Fails the test
 * (cmocka) when something does not come up within 20 s, with its last words. */
void mlt_stack_start(struct mlt_stack *stack, const struct mlt_stack_options *options);
/* Starts (again) one process by name and waits until it listens; nats where it listened before. */
void mlt_stack_run(struct mlt_stack *stack, const char *name);
/* Of a cluster: the server that leads what JetStream knows of itself, as soon as every server that
 * runs says the same one; fails the test after 20 s. */
const char *mlt_stack_meta_leader(struct mlt_stack *stack);
/* Whether NATS has JetStream when it is started next; not of a cluster. */
void mlt_stack_set_jetstream(struct mlt_stack *stack, bool jetstream);
/* Other users for the running NATS, as of struct mlt_stack_options: it reads its configuration
 * again, and when this returns all connections have the rights that it says. The text is not
 * copied. */
void mlt_stack_reload_nats(struct mlt_stack *stack, const char *users);
/* All services: a second Dispatcher last, the other second ones first, and of the first ones
 * receivers before senders. */
void mlt_stack_run_services(struct mlt_stack *stack);
/* SIGKILL, and gone when it returns. */
void mlt_stack_kill(struct mlt_stack *stack, const char *name);
/* SIGTERM, then waits; returns the exit status, 128 + signal when it was killed (after 10 s). */
int mlt_stack_terminate(struct mlt_stack *stack, const char *name);
void mlt_stack_stop(struct mlt_stack *stack);

pid_t mlt_stack_pid(struct mlt_stack *stack, const char *name);
/* Memory that a process has in RAM; -1: it is gone. */
int64_t mlt_stack_resident_bytes(struct mlt_stack *stack, const char *name);
/* Body of an HTTP GET on a service or the simulator ("exchange"); fails the test unless 200. */
void mlt_stack_get(struct mlt_stack *stack, const char *name, const char *path,
                   struct mlt_buf *body);
/* The same; false where there is no answer, or another one. */
bool mlt_stack_try_get(struct mlt_stack *stack, const char *name, const char *path,
                       struct mlt_buf *body);
/* Body of an HTTP GET on the monitoring of the only NATS server, which `nats_users` has to have
 * switched on by MLT_STACK_MONITOR; false where there is no answer, or another one than 200. */
#define MLT_STACK_MONITOR "http: \"127.0.0.1:-1\"\n"
bool mlt_stack_monitor(struct mlt_stack *stack, const char *path, struct mlt_buf *body);
/* Whether it ended without having been told to. */
bool mlt_stack_gone(struct mlt_stack *stack, const char *name);
/* Lines at level error that it wrote so far, and the first of them ("": none). */
uint64_t mlt_stack_errors(struct mlt_stack *stack, const char *name, uint64_t *warnings,
                          char *first, size_t size);
/* The last warning but `ago` that it wrote; false: not that many, or no longer kept. */
bool mlt_stack_warning(struct mlt_stack *stack, const char *name, unsigned ago, char *line,
                       size_t size);
/* Sum of a metric's series whose labels contain label. */
uint64_t mlt_stack_metric(struct mlt_stack *stack, const char *name, const char *metric,
                          const char *label);
/* Integer member of the simulator's status. */
int64_t mlt_stack_exchange_status(struct mlt_stack *stack, const char *member);

/* For a program that ctest did not start: the services are the build's own, beside it. */
void mlt_stack_find_binaries(void);

/* Last call of main: after a failed test nothing has been stopped, so what its processes said last
 * is shown and this one ends at once (and all it started with it); else result is handed back. */
int mlt_stack_verdict(int result);

/* Recording under MELTICA_CAPTURES; NULL where it is absent. Static storage, 4 at a time. */
const char *mlt_stack_recording(const char *name);

/* Whether an answer of the Control Bus, or its message, says that the Dispatcher did not answer it
 * in time: 503, nothing has changed, and on a busy machine rightly so. */
bool mlt_stack_is_stalled(struct mlt_slice answer);

#endif
